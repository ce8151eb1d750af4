"""What an incident does to a forecast: the model learnt from the data with it, without it, and repaired.

Each variant of the facts trains the project's own model on what was known by one instant, and forecasts the same days
after it. Truth is what the first variant, the data as they should have been, says of those days: no variant is judged
by data that the incident touched.

Money is an estimate: units forecast too high (``over``) or too low (``under``), each times the average price of its
group in the data, that is sales divided by units. Not all of it is lost: what was ordered too much may be sold later,
and a customer may take something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.project import Project
from millstream.project.models import learn

if TYPE_CHECKING:
    import polars as pl

    from millstream.lake.frame import TableFrame


class Error(msgspec.Struct, frozen=True):
    """How wrong one variant's forecasts of the tested days are.

    Parameters
    ----------
    rows, sold
        Forecasts judged, and the units that were sold.
    rmse, bias
        Root mean squared error in units; sum of forecasts over sum sold, less 1.
    over, under
        Units times price forecast too high and too low, in the data's money.
    """

    rows: int
    sold: float
    rmse: float
    bias: float
    over: float
    under: float


@dataclass(frozen=True)
class Question:
    """What is compared.

    Parameters
    ----------
    model, table
        The model, and the table of facts that comes in variants.
    learnt_by
        Only labels known by this instant are learnt from.
    tested
        First and last instant of the targets that are judged, the last one excluded.
    price
        Price of each group, columns ``group`` and ``price``.
    group
        The column of the rows that names their group.
    """

    model: str
    table: str
    learnt_by: datetime
    tested: tuple[datetime, datetime]
    price: pl.DataFrame
    group: str


def compare(
    project: Project, asked: Question, variants: Mapping[str, TableFrame], *, concerned: pl.Expr
) -> dict[str, dict[str, Error]]:
    """Train on each variant and judge all against the first one's truth.

    Parameters
    ----------
    project
        Where everything else is read from.
    asked
        What is compared.
    variants
        Name to facts; the first is the data as they should have been.
    concerned
        Condition over the rows: those that the incident is about.

    Returns
    -------
    dict
        Variant to ``all`` and ``concerned``, each an ``Error``.
    """
    forecasts = {name: _forecast(project, asked, facts) for name, facts in variants.items()}
    keys = [name for name in next(iter(forecasts.values())).columns if name not in ("label", "predicted")]
    truth = next(iter(forecasts.values())).select(*keys, "label").drop_nulls("label")
    told = {}
    for name, made in forecasts.items():
        judged = truth.join(made.drop("label"), on=keys, how="left", validate="1:1").join(
            asked.price, left_on=asked.group, right_on="group", how="left"
        )
        told[name] = {"all": _error(judged), "concerned": _error(judged.filter(concerned))}
    return told


def _forecast(project: Project, asked: Question, facts: TableFrame) -> pl.DataFrame:
    """Train on what was known by an instant and forecast the days after it, as would have been done then."""
    import numpy as np
    import polars as pl

    from millstream.training import build_set
    from millstream.training.estimators import default_threads
    from millstream.training.folds import fit_rows
    from millstream.training.matrix import matrix
    from millstream.training.shapes import shape_of
    from millstream.types import to_micros

    definition, plan = project.manifest.model(asked.model), learn.plan(project, asked.model)
    read = {asked.table: facts}
    rows = build_set(
        plan,
        lambda name: read.get(name) or project.lake.read(name),
        until=project.clock.now(),
        model=definition,
        engine=project.engine,
    )
    learnt = np.flatnonzero(rows.known <= to_micros(asked.learnt_by))
    fitted, known = fit_rows(definition, rows, learnt, shape=shape_of(definition, rows), threads=default_threads())
    first, last = asked.tested
    tested = rows.frame.filter((pl.col("target_at") >= first) & (pl.col("target_at") < last))
    predicted = fitted.predict(matrix(tested, plan.columns, known))
    named = list(dict.fromkeys((*plan.row_key, "target_at", "label")))
    return tested.select(named).with_columns(pl.Series("predicted", predicted))


def _error(judged: pl.DataFrame) -> Error:
    import polars as pl

    off = pl.col("predicted") - pl.col("label")
    said: dict[str, Any] = judged.select(
        rows=pl.len(),
        sold=pl.col("label").sum().cast(pl.Float64),
        rmse=(off**2).mean().sqrt(),
        bias=off.sum() / pl.col("label").sum(),
        over=(off.clip(lower_bound=0) * pl.col("price")).sum(),
        under=(-off.clip(upper_bound=0) * pl.col("price")).sum(),
    ).row(0, named=True)
    return Error(**said)


def said(compared: Mapping[str, Mapping[str, Error]], about: str) -> Sequence[tuple[str, ...]]:
    """Write a comparison as rows of a table: variant, rmse, bias, over, under."""
    return [
        (name, f"{one.rmse:.3f}", f"{one.bias:+.1%}", f"${one.over:,.0f}", f"${one.under:,.0f}")
        for name, one in ((name, errors[about]) for name, errors in compared.items())
    ]
