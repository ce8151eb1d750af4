"""Data files that are written before they belong to a version: each is synced and noted, so that a kill costs one."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from millstream.disk import sync
from millstream.errors import StorageFull
from millstream.lake.catalog import Catalog
from millstream.lake.delta import file_sha256
from millstream.lake.faults import LANDED, reach
from millstream.state import taken
from millstream.state.taken import Content, Landed, Piece

ROWS = 500_000
"""Rows of a data file; small deliveries share one."""
BYTES = 192 << 20
_MEASURED = 32
"""Columns of which the log says the range, as other writers of Delta do; the event time is always one."""


class Landing:
    """Writes the rows of deliveries into data files of a table's folder.

    Parameters
    ----------
    catalog
        Where the table is known.
    table
        Its name.
    event_time, timezone
        Its column of event times, where the files have it, and the zone of naive ones.
    reading
        Under what the files are noted.
    number
        Version they are for.
    """

    def __init__(
        self, catalog: Catalog, table: str, *, event_time: str | None, timezone: str | None, reading: str, number: int
    ) -> None:
        self._catalog = catalog
        self._table = table
        self._folder = catalog.folder(catalog.table(table))
        self._event_time = event_time
        self._zone = ZoneInfo(timezone) if timezone else UTC
        self._reading = reading
        self._number = number
        self._empty: pl.Schema | None = None
        self._pending: list[tuple[pl.DataFrame, Content]] = []
        self.files: list[Landed] = []

    def resume(self, wanted: set[str]) -> set[str]:
        """Take up the data files that an earlier try left whole and that are still wanted; return their contents."""
        state = self._catalog.state
        left = taken.landed(state, self._table, self._reading)
        ended = {each.what for file in left for each in (file.contents if file.whole else file.contents[:-1])}
        keep = [
            each
            for each in left
            if all(one.what in ended and one.what in wanted for one in each.contents) and self._intact(each)
        ]
        lost = {one.what for each in left if each not in keep for one in each.contents}
        self.files = [each for each in keep if not any(one.what in lost for one in each.contents)]
        names = {each.data for each in self.files}
        for path in self._folder.glob("part-*.parquet"):  # of no version, and of no use: a try that was cut off
            if path.name.startswith(f"part-{self._number:05d}-") and path.name not in names:
                path.unlink()
        with state.transact() as tx:
            taken.forget_landed(tx, self._table)
            for each in self.files:
                taken.land(tx, self._table, self._reading, each)
        return {one.what for each in self.files for one in each.contents}

    def add(self, frame: pl.DataFrame, content: Content, *, whole: bool, alone: bool) -> None:
        """Take rows of a delivery; ``alone`` is a large one, whose rows share no data file with others."""
        if alone:
            self.flush()
            self._write([(frame, content)], whole=whole)
            return
        self._pending.append((frame, content))
        rows = sum(each.height for each, _ in self._pending)
        if rows >= ROWS or sum(each.estimated_size() for each, _ in self._pending) >= BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._pending:
            pending, self._pending = self._pending, []
            self._write(pending, whole=True)

    def rewrite(self, frames: list[pl.DataFrame], whats: list[str]) -> str:
        """Write rows that stay into a data file of their own; return its name."""
        self.flush()
        self._write([(pl.concat(frames), Content("".join(whats), "", 0, 0, ""))], whole=True)
        return self.files[-1].data

    def rows(self) -> int:
        """Count the rows taken so far."""
        return sum(each.rows for each in self.files) + sum(each.height for each, _ in self._pending)

    def types(self) -> dict[str, str] | None:
        """Return the columns of what an earlier try had written, if it had."""
        return dict(self.files[0].schema) if self.files else None

    def schema(self) -> pl.Schema:
        """Return the columns of the data files."""
        if self._empty is not None:
            return self._empty
        file = next(each for each in self.files if each.rows)
        return pl.Schema(pl.read_parquet_schema(self._folder / file.data))

    def drop(self, what: str) -> None:
        """Take back the data files of a delivery that has to be read anew."""
        gone = [each for each in self.files if any(one.what == what for one in each.contents)]
        self.files = [each for each in self.files if each not in gone]
        with self._catalog.state.transact() as tx:
            taken.forget_landed(tx, self._table)
            for each in self.files:
                taken.land(tx, self._table, self._reading, each)
        for each in gone:
            (self._folder / each.data).unlink()

    def _intact(self, landed: Landed) -> bool:
        file = self._folder / landed.data
        return file.is_file() and file.stat().st_size == landed.size and file_sha256(file) == landed.sha256

    def _write(self, parts: list[tuple[pl.DataFrame, Content]], *, whole: bool) -> None:
        frame = pl.concat([each for each, _ in parts], rechunk=False)
        self._empty = frame.schema
        place = 1 + max((int(each.data.split("-")[2]) for each in self.files), default=-1)
        mark = hashlib.sha256("".join(each.what for _, each in parts).encode()).hexdigest()[:12]
        data = f"part-{self._number:05d}-{place:06d}-{mark}.parquet"
        contents, start = [], 0
        for rows, content in parts:
            piece = (Piece(data, start, rows.height),) if rows.height else ()
            contents.append(msgspec.structs.replace(content, rows=rows.height, pieces=piece))
            start += rows.height
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / data
        if frame.height:
            try:
                frame.write_parquet(file, compression="zstd", compression_level=1, row_group_size=ROWS)
                sync(file)
            except (OSError, pl.exceptions.ComputeError) as wrong:  # as which Polars tells what the disk said
                file.unlink(missing_ok=True)
                raise StorageFull(f"{file} could not be written: {wrong}", do="free some space and try again") from None
        made = Landed(
            data=data,
            size=file.stat().st_size if frame.height else 0,
            rows=frame.height,
            sha256=file_sha256(file) if frame.height else "",
            stats=statistics(frame, self._event_time),
            schema={name: str(kind) for name, kind in frame.schema.items()},
            contents=tuple(contents),
            whole=whole,
            future=self._future(frame),
        )
        self.files.append(made)
        if frame.height:
            with self._catalog.state.transact() as tx:
                taken.land(tx, self._table, self._reading, made)
            reach(LANDED)

    def _future(self, frame: pl.DataFrame) -> int:
        """Count the rows whose event is after the project's clock."""
        kind = frame.schema.get(self._event_time or "")
        if not isinstance(kind, pl.Datetime | pl.Date):
            return 0
        now = self._catalog.clock.now()
        said: date = now if isinstance(kind, pl.Datetime) and kind.time_zone else now.astimezone(self._zone).replace(
            tzinfo=None)  # fmt: skip
        if isinstance(kind, pl.Date):
            said = now.astimezone(self._zone).date() + timedelta(days=0)
        return int(frame.select((pl.col(str(self._event_time)) > said).sum()).item())


def statistics(frame: pl.DataFrame, event_time: str | None) -> str:
    """Say of a data file what Delta's readers skip it by."""
    named = [name for place, name in enumerate(frame.columns) if place < _MEASURED or name == event_time]
    found = frame.select(
        [pl.col(each).null_count().alias(f"n{place}") for place, each in enumerate(named)]
        + [pl.col(each).min().alias(f"l{place}") for place, each in enumerate(named)]
        + [pl.col(each).max().alias(f"h{place}") for place, each in enumerate(named)]
    ).row(0, named=True)
    low = {each: found[f"l{place}"] for place, each in enumerate(named)}
    high = {each: found[f"h{place}"] for place, each in enumerate(named)}
    kept = [each for each in named if _kept(low[each]) and _kept(high[each])]
    said = {
        "numRecords": frame.height,
        "minValues": {each: _said(low[each]) for each in kept},
        "maxValues": {each: _said(high[each]) for each in kept},
        "nullCount": {each: found[f"n{place}"] for place, each in enumerate(named)},
    }
    return msgspec.json.encode(said).decode()


def _kept(value: Any) -> bool:
    if isinstance(value, float):
        return abs(value) < float("inf")
    if isinstance(value, str):
        return len(value) <= 64 and not re.search(r"[\x00-\x1f]", value)
    return isinstance(value, int | date) and not isinstance(value, bool)


def _said(value: Any) -> Any:
    if isinstance(value, datetime):
        plain = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return plain.isoformat(timespec="microseconds") + ("Z" if value.tzinfo else "")
    return value.isoformat() if isinstance(value, date) else value
