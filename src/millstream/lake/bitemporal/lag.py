"""How late the facts of a version were here: from when they were known, as declared, until the version was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import polars as pl

from millstream.errors import IntegrityError
from millstream.lake.frame import EVER, HERE, TableFrame
from millstream.types import parse_duration, parse_instant

if TYPE_CHECKING:
    from millstream.lake.lake import Lake
    from millstream.state.versions import TableVersion

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


class Lag(msgspec.Struct, frozen=True):
    """The lag of the facts that a version brought, in seconds.

    Parameters
    ----------
    table, version
        What was measured.
    rows
        Facts that are new in it and were known by then.
    p50, p95, p99, longest
        From known-at until the version was seen; None where there was none.
    declared
        What the table's definition says.
    future
        Facts that are here and, by the definition, known only later: the clock, the zone or the definition is wrong.
    """

    table: str
    version: int
    rows: int
    p50: float | None
    p95: float | None
    p99: float | None
    longest: float | None
    declared: float
    future: int = 0

    @property
    def late(self) -> bool:
        """Whether more than one fact in twenty was here later than declared."""
        return self.p95 is not None and self.declared > 0 and self.p95 > self.declared

    @property
    def says(self) -> str:
        """What was measured, in words."""
        declared = f"declared lag={short(self.declared)}" if self.declared else "no lag declared"
        if self.p95 is None:
            return f"{declared}, no new facts in version {self.version}"
        said = f"{declared}, measured p95 {written(self.p95)} in version {self.version}"
        return f"{said}: features would have been trained on facts that were not there yet" if self.late else said

    @property
    def suggested(self) -> str:
        """The lag to declare: what 99 of 100 facts took, rounded up."""
        seconds = self.p99 or 0.0
        unit = next((size for limit, size in ((172_800, 3600), (7200, 600), (120, 60)) if seconds > limit), 1)
        return short(-(-seconds // unit) * unit)


def measure(lake: Lake, version: TableVersion, *, before: TableVersion | None) -> Lag | None:
    """Measure a version of a source; None for a first load, which is history, and for what has no time of its own.

    Rows that came before, or were only corrected and are known since they were seen, say nothing about lag.
    """
    table = lake.catalog.table(version.table)
    if before is None or version.kind not in ("attached", "ingested"):
        return None
    batch = lake.added(table.name, since=before.version, version=version.version)
    if not batch.known or (table.event_time is None and not table.known_at):
        return None
    rows = _news(lake, batch, version, before)
    if rows is None:
        return None
    lag, seen = parse_duration(table.lag), parse_instant(version.registered_at)
    known = [pl.col(each) - lag for each in dict.fromkeys(batch.known.values())]
    by_then = pl.max_horizontal(pl.when((each <= seen) & (each > EVER)).then(each) for each in known)
    first = pl.min_horizontal(known)
    waits = rows.select((pl.lit(seen) - by_then).dt.total_microseconds().alias("us"), (first > seen).alias("future"))
    found = waits["us"].drop_nulls() / 1e6
    if batch.gone is not None:
        found = found.filter(found > 0)
    p50, p95, p99 = (found.quantile(each, interpolation="higher") for each in (0.5, 0.95, 0.99))
    longest = None if found.is_empty() else float(found.max())  # type: ignore[arg-type]
    future = int(waits["future"].sum())
    return Lag(table.name, version.version, len(found), p50, p95, p99, longest, lag.total_seconds(), future)


def _news(lake: Lake, batch: TableFrame, version: TableVersion, before: TableVersion) -> pl.DataFrame | None:
    """Return the rows of a batch that no earlier version had; None where that cannot be told."""
    rows = batch.frame if batch.gone is None else batch.frame.filter(pl.col(batch.gone) == HERE)
    catalog, table = lake.catalog, lake.catalog.table(version.table)
    had, has = ({each.path for each in catalog.files(table, each.version)} for each in (before, version))
    if had & has:
        return rows
    if not table.key:
        return None
    try:
        keys = lake.read(table.name, version=before.version, columns=table.key, trusted=False).frame.select(table.key)
    except IntegrityError:  # its owner vacuumed it: which rows are new cannot be told any more
        return None
    return rows.join(keys, on=list(table.key), how="anti", nulls_equal=True)


def written(seconds: float) -> str:
    """Write a length of time with its two largest units.

    >>> written(183_600), written(59.2), written(0)
    ('2d 3h', '59s', '0s')
    """
    left = round(seconds)
    said: list[str] = []
    for unit, size in _UNITS:
        if left >= size and len(said) < 2:
            said.append(f"{left // size}{unit}")
        left %= size
    return " ".join(said) or "0s"


def short(seconds: float) -> str:
    """Write a length of time as a definition says it.

    >>> short(183_600)
    '2d3h'
    """
    left, said = round(seconds), ""
    for unit, size in _UNITS:
        if left >= size:
            said += f"{left // size}{unit}"
        left %= size
    return said or "0s"
