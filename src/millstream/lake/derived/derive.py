"""Rows of derived tables, computed on read by DuckDB from pinned versions of their inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from millstream.definitions.table import Table
from millstream.errors import DefinitionError, UserError
from millstream.lake import duck
from millstream.lake.cache import Range
from millstream.lake.derived.lineage import Input, Lineage, registered, trace
from millstream.lake.derived.validity import timeline
from millstream.lake.files import Between, inside
from millstream.lake.shape import POLARS, Shape, compile_shape

ReadInput = Callable[[str, Between | None, Mapping[str, Range], tuple[str, ...] | None], pl.DataFrame]
"""Reads an input: table, range of event time, ranges of columns outside which rows do not matter, columns or all."""


@dataclass(frozen=True)
class Derivation:
    """A derived table's definition, compiled against its inputs.

    Parameters
    ----------
    table
        The definition.
    lineage
        Its query.
    shape
        What becomes of the query's result.
    driver
        Source whose event time is the result's event time, unchanged; a range of time can be read from it alone.
    """

    table: Table
    lineage: Lineage
    shape: Shape
    driver: str | None

    def raw(self, frames: Mapping[str, pl.DataFrame], *, limit_s: float | None = None) -> pl.DataFrame:
        """Run the query over whole rows of its inputs, by table; what it gives is not shaped yet."""
        return _run(self, {source: frames[name] for source, name in self.lineage.sources.items()}, limit_s=limit_s)

    def rows(self, read: ReadInput, *, between: Between | None = None) -> pl.DataFrame:
        """Compute the rows whose event lies in a range, ordered by event time and key.

        Parameters
        ----------
        read
            How inputs are read.
        between
            Half-open range of event time; None for all.
        """
        lineage, event_time = self.lineage, self.table.event_time
        frames: dict[str, pl.DataFrame] = {}
        for source, name in lineage.sources.items():
            if not lineage.plain:
                frames[source] = read(name, None, {}, None)
                continue
            zone = _zone(lineage, source, frames) if between is not None and self.driver is not None else {}
            asked = between if source == self.driver else None
            frames[source] = read(name, asked, zone, lineage.used[source])
        made = self.shape.apply(_run(self, frames))
        if between is not None and event_time is not None:
            made = made.filter(inside(event_time, between))
        order = list(dict.fromkeys([*([event_time] if event_time else []), *self.table.key])) or list(self.shape.schema)
        return made.sort(order, maintain_order=False, nulls_last=True)


def derivation(table: Table, inputs: Mapping[str, Input]) -> Derivation:
    """Compile a derived table.

    Raises
    ------
    DefinitionError
        For a wrong query, or one that merges rows of tables with time and does not declare known-at.
    """
    lineage = trace(table.name, table.sql or "", inputs)
    timed = sorted(name for name, each in inputs.items() if each.known)
    if not lineage.plain and timed and "*" not in table.known_at:
        raise DefinitionError(
            f"table {table.name!r} merges rows of {', '.join(timed)} (aggregate, union, window, limit or subquery), "
            "so when its columns became known does not follow from its sql",
            expected="known_at='...' on the table: an expression over its columns, such as the end of the period",
        )
    empty = {
        source: pl.DataFrame(
            schema={
                **{column: POLARS[kind] for column, kind in inputs[name].schema.items()},
                **{known: pl.Datetime("us", "UTC") for known in inputs[name].known.values() if lineage.plain},
            }
        )
        for source, name in lineage.sources.items()
    }
    bare = Derivation(table=table, lineage=lineage, shape=Shape(table=table, schema={}), driver=None)
    raw = _run(bare, empty)
    shape = compile_shape(table, raw, inherited=lineage.inherited, carried=lineage.hidden)
    return Derivation(table=table, lineage=lineage, shape=shape, driver=_driver(table, lineage, inputs))


def _driver(table: Table, lineage: Lineage, inputs: Mapping[str, Input]) -> str | None:
    source, column = lineage.straight.get(table.event_time or "", (None, None))
    if source is not None and inputs[lineage.sources[source]].event_time == column:
        return source
    return None


def _zone(lineage: Lineage, source: str, frames: Mapping[str, pl.DataFrame]) -> dict[str, Range]:
    """Say within which values rows of a source can find a partner among those read already."""
    zone: dict[str, Range] = {}
    for each in lineage.equals.get(source, ()):
        if each.other in frames:
            values = frames[each.other][each.other_column]
            low = values.min()
            if low is not None:
                zone[each.column] = (low, values.max())
    return zone


def _run(made: Derivation, frames: Mapping[str, pl.DataFrame], *, limit_s: float | None = None) -> pl.DataFrame:
    lineage = made.lineage
    frames = {**frames, **{source: timeline(frames[source], each) for source, each in lineage.valid.items()}}
    named = {registered(source) if lineage.plain else source: frame for source, frame in frames.items()}
    try:
        return duck.run(lineage.sql, named, limit_s=limit_s)
    except UserError as wrong:
        raise DefinitionError(f"sql of table {made.table.name!r}: {wrong.happened}", do=wrong.do) from None
