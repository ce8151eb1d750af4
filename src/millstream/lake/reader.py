"""Reading pinned versions: pruned, shaped, and without the rows in quarantine unless asked otherwise."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from millstream.definitions.table import Table
from millstream.errors import NotFound, UserError, near
from millstream.lake.bitemporal.beliefs import settled
from millstream.lake.cache import FileCache, Range
from millstream.lake.catalog import Catalog, columns_of, folders
from millstream.lake.files import Between, FileReader, empty, inside, matching, ordered, overlapping
from millstream.lake.frame import GONE, MARKS, TableFrame
from millstream.lake.housekeeping.gone import Span, basis, compacted, parts, refuse_gone
from millstream.lake.ingest.posted import by_arrival
from millstream.lake.shape import POLARS, Shape
from millstream.state import quarantine
from millstream.state.versions import BRANCHED, DataFile, TableVersion
from millstream.types import DType, Pins, from_micros, to_micros

_SINCE = "__millstream_since"
_MASKED = "__millstream_masked"
_UPON = "__millstream_upon"
_READS_KEPT, _READS_BYTES = 24, 512 << 20
"""Latest reads, which narrower reads of the same version are answered from: how many, and their bytes, at most."""


class _Read(NamedTuple):
    """What was read: of which version with which masks, of which range, and its bytes."""

    of: tuple[str, int, bool, int]
    between: Between | None
    shape: Shape
    frame: pl.DataFrame
    size: int


class Reader:
    """Reads rows of any version of any table."""

    def __init__(self, catalog: Catalog, cache: FileCache) -> None:
        self._catalog = catalog
        self._cache = cache
        self._readers: dict[tuple[str, str], FileReader] = {}
        self._reads: deque[_Read] = deque(maxlen=_READS_KEPT)
        self._masks: dict[tuple[str, int], tuple[int, pl.DataFrame]] = {}

    def read(
        self,
        version: TableVersion,
        *,
        columns: Iterable[str] | None = None,
        between: Between | None = None,
        zone: Mapping[str, Range] | None = None,
        trusted: bool = True,
        without: Iterable[DataFile] = (),
        rows_of: Span | None = None,
    ) -> TableFrame:
        """Read a version. Parameters as in ``Lake.read``; ``zone`` and ``without`` leave out files.

        Of files that compaction wrote, ``rows_of`` leaves only the rows that a range of versions brought.
        """
        table = self._catalog.table(version.table)
        if between == (None, None):
            between = None
        if between is not None and table.event_time is None:
            raise UserError(
                f"table {table.name!r} has no event time, so no range of it can be read", do="leave out between"
            )
        left_out = tuple(without)
        kept = None if zone or left_out or rows_of else self._kept(table, version, between, trusted=trusted)
        if kept is not None:
            shape, frame = kept
        elif version.kind == "derived":
            shape, frame = self._derived(table, version, between=between, trusted=trusted)
        else:
            shape, frame = self._stored(
                table, version, between=between, zone=zone or {}, trusted=trusted, without=left_out, rows_of=rows_of
            )
        if kept is None and not zone and not left_out and not rows_of:
            self._keep(table, version, between, trusted=trusted, read=(shape, frame))
        chosen = _chosen(table, shape, columns)
        known = {each: shape.known[each] for each in chosen if each in shape.known}
        marks = [each for each in MARKS if each in frame.columns]
        return TableFrame(
            table=table.name,
            version=version.version,
            frame=frame.select(*chosen, *dict.fromkeys(known.values()), *marks),
            schema={each: shape.schema[each] for each in chosen},
            key=table.key,
            event_time=table.event_time,
            known=known,
            gone=GONE if GONE in marks else None,
        )

    def _kept(
        self, table: Table, version: TableVersion, between: Between | None, *, trusted: bool
    ) -> tuple[Shape, pl.DataFrame] | None:
        """Answer from a read of the same version that was at least as wide."""
        masked = self._masked_so_far(table) if trusted else 0
        for kept in list(self._reads):
            if kept.of == (table.name, version.version, trusted, masked) and _covers(kept.between, between):
                if between is None or between == kept.between or table.event_time is None:
                    return kept.shape, kept.frame
                return kept.shape, kept.frame.filter(inside(table.event_time, between))
        return None

    def _keep(
        self,
        table: Table,
        version: TableVersion,
        between: Between | None,
        *,
        trusted: bool,
        read: tuple[Shape, pl.DataFrame],
    ) -> None:
        masked, size = self._masked_so_far(table) if trusted else 0, int(read[1].estimated_size())
        if size > _READS_BYTES:
            return
        self._reads.appendleft(_Read((table.name, version.version, trusted, masked), between, *read, size))
        while len(self._reads) > 1 and sum(each.size for each in list(self._reads)) > _READS_BYTES:
            self._reads.pop()

    def _masked_so_far(self, table: Table) -> int:
        """Return a number that grows whenever something of a table, or of what it is computed of, is masked."""
        own = quarantine.latest(self._catalog.state, table.name)
        return own + sum(self._masked_so_far(self._catalog.table(each)) for each in table.of)

    def quarantined(self, name: str, number: int) -> pl.DataFrame:
        """Return what is masked at a version: key columns, ``version`` of the check, ``check``, ``reason``."""
        table = self._catalog.table(name)
        schema = self._catalog.version(name, number).schema
        masked = quarantine.upto(self._catalog.state, name, number)
        return _decode(table, schema, masked).with_columns(
            pl.Series("version", [each.version for each in masked], dtype=pl.Int64),
            pl.Series("check", [each.check for each in masked], dtype=pl.String),
            pl.Series("reason", [each.reason for each in masked], dtype=pl.String),
        )

    def _stored(
        self,
        table: Table,
        version: TableVersion,
        *,
        between: Between | None,
        zone: Mapping[str, Range],
        trusted: bool,
        without: Iterable[DataFile],
        rows_of: Span | None = None,
    ) -> tuple[Shape, pl.DataFrame]:
        catalog = self._catalog
        refuse_gone(catalog, version)
        raw = columns_of(catalog, version)
        shape = catalog.shape(table, raw)
        gone = {each.path for each in without}
        files = [each for each in ordered(catalog.files(table, version.version)) if each.path not in gone]
        if table.history or by_arrival(catalog.state, table, version.version):
            # of beliefs known at one instant the one that was written later holds
            files.sort(key=lambda each: (each.since, each.path))
        if between is not None:
            files = overlapping(files, table.event_time, between)
        digest = f"{table.name}:{id(shape)}"
        if (table.name, digest) not in self._readers:
            where = f"table {table.name!r}"
            self._readers[(table.name, digest)] = FileReader(self._cache, folders(catalog, table), raw, where=where)
        rows = self._readers[(table.name, digest)].rows(files, shape, digest=digest)
        masks = self._mask(table, version) if trusted else None
        brought = compacted(catalog, table.name, files) if masks is not None or rows_of is not None else {}
        held = [
            (since, part)
            for file, each in zip(files, rows, strict=True)
            if each.frame.height and (not zone or matching(each, zone))
            for since, part in parts(file, each.frame, brought.get(file.path), rows_of)
        ]
        if not held:
            return shape, shape.apply(empty(raw, where=f"table {table.name!r}"))
        frame = pl.concat([each for _, each in held], rechunk=False)
        if masks is not None:
            since = np.repeat([number for number, _ in held], [each.height for _, each in held])
            frame = frame.with_columns(pl.Series(_SINCE, since, dtype=pl.Int64))
        if between is not None and table.event_time is not None:
            frame = frame.filter(inside(table.event_time, between))
        return shape, frame if masks is None else _unmasked(frame, masks, table.key)

    def _derived(
        self, table: Table, version: TableVersion, *, between: Between | None, trusted: bool
    ) -> tuple[Shape, pl.DataFrame]:
        catalog = self._catalog
        made = catalog.derivation(table, version.inputs)

        def read(
            name: str, asked: Between | None, zone: Mapping[str, Range], columns: tuple[str, ...] | None
        ) -> pl.DataFrame:
            pinned = catalog.version(name, version.inputs[name])
            kept = {} if catalog.table(name).history else zone  # a correction may lie anywhere
            found = settled(self.read(pinned, between=asked, zone=kept, trusted=trusted))
            return found.frame.select(columns if columns is not None else list(found.schema))

        frame = made.rows(read, between=between)
        masks = self._mask(table, version) if trusted else None
        if masks is not None:
            frame = _unmasked(frame.with_columns(pl.lit(0, dtype=pl.Int64).alias(_SINCE)), masks, table.key)
        return made.shape, frame

    def _mask(self, table: Table, version: TableVersion) -> pl.DataFrame | None:
        """Return the masked keys of a version, each with the last version at which it was masked, and what is below."""
        state = self._catalog.state
        latest = quarantine.latest(state, table.name)
        if latest == 0 or not table.key:
            return None
        kept = self._masks.get((table.name, version.version))
        if kept is None or kept[0] != latest:
            masked = quarantine.upto(state, table.name, version.version)
            keys = _decode(table, version.schema, masked)
            at = pl.Series(_MASKED, [each.version for each in masked], dtype=pl.Int64)
            below = {each: basis(self._catalog, table.name, each) for each in at.unique()}
            upon = pl.Series(_UPON, [below[each] for each in at], dtype=pl.Int64)
            made = keys.with_columns(at, upon).group_by(table.key).agg(pl.col(_MASKED, _UPON).max())
            self._masks = {where: each for where, each in self._masks.items() if where[0] != table.name}
            kept = self._masks[(table.name, version.version)] = (latest, made)
        return kept[1] if kept[1].height else None


def _covers(wide: Between | None, asked: Between | None) -> bool:
    """Say whether a range holds another."""
    if wide is None:
        return True
    if asked is None:
        return False
    starts = wide[0] is None or (asked[0] is not None and wide[0] <= asked[0])
    return starts and (wide[1] is None or (asked[1] is not None and asked[1] <= wide[1]))


def pinned(catalog: Catalog, name: str, version: int | None, pins: Pins | None) -> TableVersion:
    """Return the version that is to be read: the one named, else the one pinned, else the newest."""
    if version is None and pins is not None and name in pins:
        version = pins[name]
    return catalog.head(name) if version is None else catalog.version(name, version)


def encode_keys(rows: pl.DataFrame, key: tuple[str, ...]) -> list[str]:
    """Write keys as JSON lists, as quarantine keeps them."""
    return [msgspec.json.encode([_plain(each) for each in row]).decode() for row in rows.select(key).iter_rows()]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_micros(value)
    return value.isoformat() if isinstance(value, date) else value


def _decode(table: Table, schema: Mapping[str, Any], masked: list[quarantine.Masked]) -> pl.DataFrame:
    rows = [msgspec.json.decode(each.key) for each in masked]
    columns = {}
    for position, name in enumerate(table.key):
        columns[name] = _values(name, schema[name], [row[position] for row in rows])
    return pl.DataFrame(columns)


def _values(name: str, kind: DType, values: list[Any]) -> pl.Series:
    """Make a column of keys; those masked when the key was of another type are compared by how they are written."""
    made = values
    try:
        if kind == "timestamptz":
            made = [None if each is None else from_micros(each) for each in values]
        elif kind == "date":
            made = [None if each is None else date.fromisoformat(each) for each in values]
        return pl.Series(name, made, dtype=POLARS[kind])
    except (TypeError, ValueError):
        written = [None if each is None else str(each) for each in values]
        return pl.Series(name, written, dtype=pl.String).cast(POLARS[kind], strict=False)


def _unmasked(frame: pl.DataFrame, masks: pl.DataFrame, key: tuple[str, ...]) -> pl.DataFrame:
    joined = frame.join(masks, on=key, how="left", nulls_equal=True, maintain_order="left")
    had = pl.when(pl.col(_SINCE) > BRANCHED).then(pl.col(_MASKED)).otherwise(pl.col(_UPON))  # see ``gone.had_by``
    keep = pl.col(_MASKED).is_null() | (had < pl.col(_SINCE))
    return joined.filter(keep).drop(_MASKED, _UPON, _SINCE)


def _chosen(table: Table, shape: Shape, columns: Iterable[str] | None) -> list[str]:
    if columns is None:
        return list(shape.schema)
    chosen = list(dict.fromkeys(columns))
    for each in chosen:
        if each not in shape.schema:
            raise NotFound(f"table {table.name!r} has no column {each!r}", do=near(each, shape.schema))
    return chosen
