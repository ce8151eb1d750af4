"""Join rows to what was known of their entities when each was decided."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping

import numpy as np
import polars as pl

from millstream.errors import NotFound, near
from millstream.expressions.polars import compute
from millstream.features.facts import NOBODY, Instants, to_micros
from millstream.features.plan import TARGET, FeaturePlan
from millstream.features.planned import PlannedFacts
from millstream.features.views import ViewFacts
from millstream.lake.frame import TableFrame


def point_in_time(
    plan: FeaturePlan,
    spine: pl.DataFrame,
    tables: Mapping[str, TableFrame],
    *,
    took: MutableMapping[str, float] | None = None,
    learning: bool = False,
) -> pl.DataFrame:
    """Add to every row of a spine the features as known at its ``decided_at``.

    Parameters
    ----------
    plan
        What to compute.
    spine
        Rows with the plan's entity columns, request fields and ``decided_at`` (see ``spine``).
    tables
        Table to the rows of the version that is read.
    took
        Where the seconds that each view took are put.
    learning
        Whether these are rows to learn from and judge on: then a row of a table without time is encoded by the labels
        of other folds, where what is served may know them all.

    Returns
    -------
    pl.DataFrame
        The spine, every row in its place, and one column per ``plan.columns``. A row without an instant, or with a
        NULL key, is like one of an entity never seen.

    Raises
    ------
    NotFound
        When a table of the plan is not among ``tables``.

    Notes
    -----
    No fact known after ``decided_at`` is used, corrections included. Cost: O(n log n) in facts and rows.
    """
    decided = spine["decided_at"].cast(pl.Datetime("us", "UTC"))
    instants = to_micros(decided.fill_null(pl.lit(0).cast(decided.dtype)))
    undecided = decided.is_null().to_numpy()
    found: dict[str, pl.Series] = {}
    for view in plan.views:
        began = time.perf_counter()
        if view.table not in tables:
            raise NotFound(f"feature view {view.name} needs table {view.table!r}", do=near(view.table, tables))
        table = tables[view.table]
        facts = PlannedFacts(view, table) if view.at == TARGET else ViewFacts(view, table)
        entity = facts.find(spine.select(pl.col(key).alias(f"{n}") for n, key in enumerate(view.keys)))
        entity = np.where(undecided, NOBODY, entity) if undecided.any() else entity
        if isinstance(facts, PlannedFacts):
            answers = facts.ask(entity, instants, _targets(spine))
        else:
            answers = facts.ask(entity, instants)
            if learning and table.table == plan.rows_table and table.event_time is None and not table.known:
                answers |= facts.ask_out_of_fold(entity, spine.select(table.key))
        found |= {each.name: each for each in answers.values()}
        if took is not None:
            took[view.name] = time.perf_counter() - began
    request = compute(spine, plan.request_features, where=f"request features of model {plan.model}")
    found |= {name: request[name] for name in plan.request_features}
    found |= combine(plan, spine, found)
    return spine.with_columns(found[name] for name in plan.names)


def combine(plan: FeaturePlan, rows: pl.DataFrame, found: Mapping[str, pl.Series]) -> dict[str, pl.Series]:
    """Compute what is made of the features of views, which ``found`` (or the rows) hold by their names.

    A bigint of a view is read as it is served: as a double holds it.
    """
    if not plan.combined:
        return {}
    whole = {f"{v.name}.{name}" for v in plan.views for name, said in v.features.items() if said.dtype == "bigint"}
    given = rows.with_columns(each.alias(name) for name, each in found.items())
    given = given.with_columns(
        pl.col(name).cast(pl.Float64).cast(pl.Int64, strict=False) for name in given.columns if name in whole
    )
    made = compute(given, plan.combined, where=f"combined features of model {plan.model}")
    return {name: made[name] for name in plan.combined}


def _targets(spine: pl.DataFrame) -> Instants:
    return to_micros(spine[TARGET].cast(pl.Datetime("us", "UTC")))
