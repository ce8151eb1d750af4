"""The facts of an entity, as an explanation shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.expressions import Expression
    from millstream.lake.frame import TableFrame

_INSTANT = pl.Datetime("us", "UTC")
_NEVER = 2**62
"""Beyond every instant, in microseconds; before every one with the sign turned."""


def mine_of(table: TableFrame, entity: Sequence[str], asked: dict[str, Any]) -> tuple[Any, Any]:
    """Return which rows are facts of an entity, and the code of each row's entity."""
    from millstream.features.facts import encode_entities, find_entities

    entities, codes = encode_entities(table.frame, tuple(entity))
    keys = pl.DataFrame({name: pl.Series([value], dtype=entities.schema[name]) for name, value in asked.items()})
    code = int(find_entities(entities, keys)[0])
    mine = codes == code
    if any(each is None for each in asked.values()) or code < 0:
        mine = np.zeros(len(codes), dtype=bool)
    if table.gone is not None:  # such a row says that something is no longer so, and is no fact
        mine &= (table.frame[table.gone] == 0).to_numpy()
    return mine, codes


def shown_facts(table: TableFrame, value: Expression | None, *, known: Any, knowable: Any) -> pl.DataFrame:
    """Show each row's key, event time, when it was known, and value."""
    from millstream.expressions.polars import compute

    frame = table.frame
    found = pl.lit(1) if value is None else compute(frame, {"value": value}, where="why")["value"]
    event = pl.lit(None, _INSTANT) if table.event_time is None else pl.col(table.event_time)
    told = pl.Series(np.where(known > -_NEVER, known, 0)).cast(_INSTANT)
    there = pl.Series(knowable & (known > -_NEVER))
    return frame.select(*table.key, event.alias("event_time")).with_columns(
        pl.when(there).then(told).alias("known_at"), found.alias("value")
    )


def happened_at(table: TableFrame) -> Any:
    """Return event times in microseconds; a row without one never happened, one of a static table always did."""
    if table.event_time is None:
        return np.full(table.frame.height, -_NEVER)
    return table.frame[table.event_time].cast(pl.Int64).fill_null(_NEVER).to_numpy()


def known_at(table: TableFrame, columns: tuple[str, ...]) -> tuple[Any, Any]:
    """Return when each row was known in all the columns that matter, and whether it ever was."""
    latest, there = np.full(table.frame.height, -_NEVER), np.ones(table.frame.height, dtype=bool)
    for each in columns:
        series = table.frame[each]
        there &= series.is_not_null().to_numpy()
        latest = np.maximum(latest, series.cast(pl.Int64).fill_null(-_NEVER).to_numpy())
    return latest, there
