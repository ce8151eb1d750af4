"""Join rows to what was known of their entities when each was decided."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass

import msgspec
import polars as pl

from millstream.errors import NotFound, near
from millstream.expressions.polars import compute
from millstream.features.changes import Changes, of_facts
from millstream.features.engine import MEMORY
from millstream.features.facts import Instants, to_micros
from millstream.features.parts import Sizes, ask_in_parts
from millstream.features.plan import TARGET, FeaturePlan, ViewPlan
from millstream.features.planned import PlannedFacts
from millstream.features.targets import AGGREGATE
from millstream.features.views import Part, ViewFacts
from millstream.lake.frame import TableFrame


@dataclass(frozen=True)
class PolarsEngine:
    """The embedded engine: Polars and numpy, in process.

    Parameters
    ----------
    memory
        Bytes it takes at most beside the rows and facts it is given, the answers, and an index of about 40 bytes a
        fact and 100 a row: what would take more is computed some entities at a time, and of an entity with too many
        facts some time at a time. Windows without length need all its facts, a target mean everybody's labels.
    """

    memory: int = MEMORY

    def point_in_time(
        self,
        plan: FeaturePlan,
        spine: pl.DataFrame,
        tables: Mapping[str, TableFrame],
        *,
        took: MutableMapping[str, float] | None = None,
        learning: bool = False,
    ) -> pl.DataFrame:
        """Join as ``FeatureEngine`` says. Cost: O(n log n) in facts and rows."""
        found: dict[str, pl.Series] = {}
        for view in plan.views:
            began = time.perf_counter()
            if view.table not in tables:
                raise NotFound(f"feature view {view.name} needs table {view.table!r}", do=near(view.table, tables))
            learns = learning and view.table == plan.rows_table
            found |= {each.name: each for each in self._answers(view, spine, tables[view.table], learns=learns)}
            if took is not None:
                took[view.name] = time.perf_counter() - began
        request = compute(spine, plan.request_features, where=f"request features of model {plan.model}")
        found |= {name: request[name] for name in plan.request_features}
        found |= combine(plan, spine, found)
        return spine.with_columns(found[name] for name in plan.names)

    def changes(self, view: ViewPlan, table: TableFrame, *, span: tuple[int, int], bound_bytes: int) -> Changes:
        """Answer as ``FeatureEngine`` says, from one reading of the facts; the bound is the caller's."""
        return of_facts(view, table, span=span, bound_bytes=bound_bytes)

    def _answers(self, view: ViewPlan, spine: pl.DataFrame, table: TableFrame, *, learns: bool) -> Iterable[pl.Series]:
        """Answer one view for every row."""
        if Sizes.of(view).of_all(len(table.frame), len(spine)) <= self.memory:
            return _at_once(view, spine, table, learns=learns).values()
        together = {name: each for name, each in view.features.items() if each.aggregate == AGGREGATE}
        apart = {name: each for name, each in view.features.items() if name not in together}
        found: dict[str, pl.Series] = {}
        if together:
            found |= _at_once(msgspec.structs.replace(view, features=together), spine, table, learns=learns)
        if apart:
            keys, when = _keys(view, spine), _instants(view, spine)
            some = msgspec.structs.replace(view, features=apart)
            found |= ask_in_parts(some, table, keys, when, memory=self.memory)
        return found.values()


point_in_time = PolarsEngine().point_in_time
"""Join by the embedded engine, as ``FeatureEngine.point_in_time`` says.

No fact known after ``decided_at`` is used, corrections included. Cost: O(n log n) in facts and rows.
"""


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


def _at_once(view: ViewPlan, spine: pl.DataFrame, table: TableFrame, *, learns: bool) -> dict[str, pl.Series]:
    when = _instants(view, spine)
    part = Part.whole(view, table).asked_from(when[0])
    facts = PlannedFacts(view, table, part) if view.at == TARGET else ViewFacts(view, table, part)
    entity = facts.find(_keys(view, spine))
    answers = facts.ask(entity, *when)
    if learns and isinstance(facts, ViewFacts) and table.event_time is None and not table.known:
        answers |= facts.ask_out_of_fold(entity, spine.select(table.key))
    return answers


def _keys(view: ViewPlan, spine: pl.DataFrame) -> pl.DataFrame:
    """Return the entity of each row; a row without an instant is about nobody."""
    keys = spine.select(pl.col(key).alias(f"{place}") for place, key in enumerate(view.keys))
    decided = spine["decided_at"]
    if not decided.null_count():
        return keys
    return keys.with_columns(pl.when(decided.is_not_null()).then(pl.all()))


def _instants(view: ViewPlan, spine: pl.DataFrame) -> tuple[Instants, ...]:
    """Return when each row is decided and, for a view about targets, its target."""
    columns = ("decided_at", TARGET) if view.at == TARGET else ("decided_at",)
    instants = [spine[each].cast(pl.Datetime("us", "UTC")) for each in columns]
    return tuple(to_micros(each.fill_null(pl.lit(0).cast(each.dtype))) for each in instants)
