"""Posted rows on their way into a table: typed at the door, sealed into files that are delivered like any other.

What was acknowledged lies in the journal of the state database. ``seal`` writes what waits there into a Parquet file
beside the table's other deliveries, named by the numbers of its rows, and the next refresh takes it in. So every rule
of files holds: taken once, gone on with after a kill, read again when all files are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import polars as pl

from millstream.definitions.sources import Csv, Delta, Json, Parquet
from millstream.definitions.sources import Posted as PostedSource
from millstream.definitions.table import Table
from millstream.disk import sync
from millstream.errors import BadData, MillstreamError, NotFound, Refused, StorageFull, near
from millstream.lake.catalog import Catalog
from millstream.lake.faults import reach
from millstream.lake.files import KINDS, empty
from millstream.lake.frame import TableFrame
from millstream.lake.shape import POLARS
from millstream.settings import Places
from millstream.sources.stores import Entry, Folder
from millstream.state import posted, taken, versions
from millstream.state.database import State
from millstream.state.posted import Posted

Row = dict[str, Any]
Kinds = Mapping[str, pl.DataType]
_NAME = re.compile(r"\d{12}-\d{12}\.parquet")
_LARGEST = 1.7976931348623157e308
_NAMED = 5
_WORDS = {
    "Int64": "a whole number of at most 64 bits",
    "Float64": "a number",
    "String": "a text",
    "Boolean": "true or false",
}


class PostedFiles:
    """The files of rows that were posted to a table.

    Parameters
    ----------
    places
        Where the project's folders are.
    table
        Its name.
    columns
        Its columns, where its definition says them; else those that are agreed.
    """

    def __init__(self, places: Places, table: str, columns: Kinds | None = None) -> None:
        self._columns = dict(columns or {})
        self.folder = places.state / "posted" / table
        inside = self.folder.is_relative_to(places.root)
        self._prefix = f"{self.folder.relative_to(places.root) if inside else self.folder}/"
        self.store = Folder(f"{self._prefix}*.parquet", places.root)
        self.source = Parquet(f"{self._prefix}*.parquet")

    def entries(self) -> list[Entry]:
        """List the files, oldest rows first; none is fine."""
        return self.store.entries(where="posted rows") if any(self.folder.glob("*.parquet")) else []

    def holds(self, path: str) -> bool:
        """Say whether a delivered file is one of these."""
        return path.startswith(self._prefix)

    def aligned(self, rows: pl.DataFrame, agreed: Mapping[str, str] | None) -> pl.DataFrame:
        """Return rows in the columns the table has by now; one that it had not when they came is NULL."""
        wanted = self._columns or {name: KINDS[kind] for name, kind in (agreed or {}).items()}
        if not wanted:
            return rows
        return rows.select(
            pl.col(name) if name in rows.columns else pl.lit(None, dtype=kind).alias(name)
            for name, kind in wanted.items()
        )

    def upto(self) -> int:
        """Return the number of the last row that lies in a file."""
        return max((number_of(each.name) for each in self.folder.glob("*.parquet")), default=0)


def number_of(name: str) -> int:
    """Return the number of the last row in a file of posted rows.

    >>> number_of("000000000001-000000000040.parquet")
    40
    """
    return int(name.rpartition("/")[2].removesuffix(".parquet").partition("-")[2])


def kinds_of(catalog: Catalog, table: Table) -> dict[str, pl.DataType]:
    """Return the columns that a table's rows are posted in, before its definition computes more.

    Raises
    ------
    Refused
        For a table whose rows come from somewhere else alone.
    NotFound
        For a table of files before its first version, from which its columns are known.
    """
    refuse_others(catalog, table)
    if isinstance(table.source, PostedSource):
        return said_by(table.source)
    return dict(empty(catalog.columns(table), where=f"table {table.name!r}").schema)


def said_by(source: PostedSource) -> dict[str, pl.DataType]:
    """Return the columns that a source of posted rows says."""
    made = {name: POLARS[kind] for name, kind in source.columns.items()}
    return made | ({source.arrived: pl.Datetime("us", "UTC")} if source.arrived else {})


def refuse_others(catalog: Catalog, table: Table) -> None:
    """Refuse rows for a table that somebody else writes, or in which a row sent twice could not be told.

    Raises
    ------
    Refused
        Naming the table, whose rows it has, and where to write instead.
    """
    source, where = table.source, f"table {table.name!r}"
    if table.of:
        raise Refused(f"{where} is computed from {', '.join(table.of)}", expected="rows of a table that it is made of")
    if isinstance(source, Delta) or (isinstance(source, Parquet) and source.attach):
        raise Refused(
            f"{where} is attached: its owner writes it, and nothing of it is copied",
            expected="a table that is ingested, or one with source=sources.Posted(...)",
            do=f"have the owner of {source.path} write the rows; millstream refresh sees them",
        )
    if not isinstance(source, PostedSource | Csv | Json | Parquet):
        raise Refused(f"the rows of {where} come from its database", do="write them there; millstream refresh")
    if table.name in catalog.shared():
        raise Refused(f"{where} is production's, and this environment only reads it", do="post to production")
    word = "history=True" if table.history else "row_number" if getattr(source, "row_number", "") else ""
    if word or not table.key:
        what = f"has {word}: its files alone say what is so" if word else "has no key"
        raise Refused(
            f"{where} {what}, so no row can be posted to it",
            expected="a table with a key, by which a row that is sent twice is recognised",
            do="Table(..., key='...')" if not word else "a table of its own with source=sources.Posted(...)",
        )


def admit(rows: Sequence[object], kinds: Kinds, table: Table, *, now: datetime) -> list[Row]:
    """Read rows of a request as values of a table's columns.

    Raises
    ------
    BadData
        Naming row and column, for one that is missing, unknown, of another type or NULL where it must not be.
    """
    arrived = getattr(table.source, "arrived", "")
    wanted = [each for each in kinds if each != arrived]
    must = {*table.key, table.event_time} - set(table.columns)
    made: list[Row] = []
    for place, row in enumerate(rows):
        where = f"row {place} for table {table.name!r}"
        if not isinstance(row, dict):
            raise BadData(f"{where} is not an object", expected="columns by name")
        unknown = [each for each in row if each not in kinds or each == arrived]
        if unknown:
            said = "is filled in when the row comes" if unknown[0] == arrived else "is not one of its columns"
            expected = ", ".join(wanted)
            raise BadData(f"{where}: {unknown[0]!r} {said}", expected=expected, do=near(unknown[0], wanted))
        missing = [each for each in wanted if each not in row]
        if missing:
            said = ", ".join(missing)
            raise BadData(f"{where} lacks {said}", expected=", ".join(wanted), do="send null for what is not known")
        values = {name: _value(row[name], kinds[name], f"{where}: {name}") for name in wanted}
        none = [each for each in must if each in values and values[each] is None]
        if none:
            raise BadData(f"{where}: {none[0]} is null", expected="a key and an event time in every row")
        made.append(values | ({arrived: now.astimezone(UTC)} if arrived else {}))
    return made


def mark_of(row: Row, table: Table) -> bytes:
    """Return by what a row is recognised when it comes again: a hash of all that it says."""
    arrived = getattr(table.source, "arrived", "")
    said = sorted((name, value) for name, value in row.items() if name != arrived)
    return hashlib.sha256(msgspec.json.encode(said)).digest()[:16]


def frame_of(rows: Sequence[Row], kinds: Kinds) -> pl.DataFrame:
    """Return rows as a frame of a table's raw columns."""
    return pl.DataFrame(
        {name: pl.Series(name, [row.get(name) for row in rows], dtype=kind) for name, kind in kinds.items()}
    )


def shaped(catalog: Catalog, table: Table, raw: pl.DataFrame, *, version: int) -> TableFrame:
    """Return raw rows as the lake gives them: with computed columns, and when each column became known.

    Raises
    ------
    BadData
        When a computed column fails for one of them, or a time never was.
    """
    shape = catalog.shape(table, catalog.columns(table))
    frame = shape.apply(raw)
    return TableFrame(table.name, version, frame, shape.schema, table.key, table.event_time, shape.known)


def read_back(kept: Sequence[Posted], kinds: Kinds) -> list[Row]:
    """Return the values of rows in the journal."""
    made = []
    for each in kept:
        said = msgspec.json.decode(each.body)
        made.append({name: _value(said.get(name), kind, name) for name, kind in kinds.items()})
    return made


def seal(catalog: Catalog, table: Table) -> int:
    """Write what waits in the journal into a file that the next refresh takes in; return how many rows it holds.

    A kill in between costs nothing: a file that is there says by its name which rows it has.

    Raises
    ------
    StorageFull
        When the disk refuses; the rows stay in the journal.
    """
    files = PostedFiles(catalog.places, table.name)
    kept = posted.waiting(catalog.state, table.name, after=files.upto())
    if not kept:
        return 0
    kinds = kinds_of(catalog, table)
    frame = frame_of(read_back(kept, kinds), kinds)
    files.folder.mkdir(parents=True, exist_ok=True)
    file = files.folder / f"{kept[0].sequence:012d}-{kept[-1].sequence:012d}.parquet"
    scratch = file.with_suffix(".new")
    try:
        frame.write_parquet(scratch, compression="zstd")
        sync(scratch)
        reach("posted.written")
        scratch.replace(file)
        sync(files.folder)
    except (OSError, pl.exceptions.ComputeError) as wrong:
        scratch.unlink(missing_ok=True)
        raise StorageFull(f"{file} could not be written: {wrong}", do="free some space and try again") from None
    reach("posted.sealed")
    return len(kept)


def contained(state: State, table: str, version: int) -> int:
    """Return the number of the last posted row that a version has; 0 where it has none."""
    return max((number_of(each) for each in _paths(state, table, version)), default=0)


def only_posted(state: State, table: str, *, since: int, version: int) -> bool:
    """Say whether all that came after a version are posted rows, and nothing went."""
    for number in range(since + 1, version + 1):
        made = taken.taking(state, table, number)
        if made is None or made.anew or made.went or not all(_is_posted(each.path, table) for each in made.came):
            return False
    return True


def told(state: State, table: str, since: int | None, came: Iterable[taken.Content]) -> dict[str, Any]:
    """Say of posted rows that a version takes how many they are and who posted them; empty where it takes none.

    Returns
    -------
    dict
        ``posted``: ``rows``, and ``by``, who to how many: the few who posted most. ``others`` counts everybody else,
        and ``others_rows`` theirs.
    """
    upto = max((number_of(each.path) for each in came if _is_posted(each.path, table)), default=0)
    after = 0 if since is None else contained(state, table, since)
    if upto <= after:
        return {}
    people = posted.by(state, table, after=after, upto=upto)
    some = dict(list(people.items())[:_NAMED])
    others = [rows for name, rows in people.items() if name not in some]
    more = {"others": len(others), "others_rows": sum(others)} if others else {}
    return {"posted": {"rows": upto - after, "by": some, **more}}


def by_arrival(state: State, table: Table, version: int) -> bool:
    """Say whether rows of a version are read in the order in which they came, as those that were posted must be."""
    if isinstance(table.source, PostedSource):
        return True
    return posted.last(state, table.name) > 0 and bool(_paths(state, table.name, version))


def _paths(state: State, table: str, version: int) -> list[str]:
    return [each.path for each in taken.contents_at(state, table, version) if _is_posted(each.path, table)]


def _is_posted(path: str, table: str) -> bool:
    return f"/posted/{table}/" in f"/{path}" and _NAME.fullmatch(path.rpartition("/")[2]) is not None


def refuse_before_first(catalog: Catalog, table: Table) -> None:
    """Refuse rows for a table that was never read."""
    if versions.head(catalog.state, table.name) is None:
        raise NotFound(f"table {table.name!r} has no version yet", do=f"millstream ingest {table.name}")


def _value(said: object, kind: pl.DataType, where: str) -> Any:
    """Read one value of JSON as a column's type; times as ISO 8601 writes them."""
    if said is None:
        return None
    if kind == pl.Int64 and isinstance(said, int) and not isinstance(said, bool) and -(2**63) <= said < 2**63:
        return said
    if kind == pl.Float64 and isinstance(said, int | float) and not isinstance(said, bool) and abs(said) <= _LARGEST:
        return float(said)
    if kind == pl.Boolean and isinstance(said, bool):
        return said
    if kind == pl.String and isinstance(said, str):
        return said
    if isinstance(kind, pl.Date | pl.Datetime) and isinstance(said, str):
        return _time(said, kind, where)
    expected = _WORDS.get(str(kind), "a time as ISO 8601 writes it" if kind.is_temporal() else f"a {kind}")
    raise BadData(f"{where} is {said!r}", expected=expected)


def _time(said: str, kind: pl.DataType, where: str) -> date:
    try:
        if kind == pl.Date:
            return date.fromisoformat(said)
        made = datetime.fromisoformat(said)
    except ValueError:
        raise BadData(f"{where} is {said!r}", expected="a time such as 2024-01-31T10:00:00Z") from None
    zoned = getattr(kind, "time_zone", None) is not None
    if zoned != (made.tzinfo is not None):
        word = "an offset from UTC, such as Z" if zoned else "no offset: the table's times are naive, in its timezone"
        raise BadData(f"{where} is {said!r}", expected=f"a time with {word}")
    try:
        return made.astimezone(UTC) if zoned else made
    except OverflowError:
        raise BadData(f"{where} is {said!r}", expected="a time of the years 1 to 9999") from None


def first_wrong(catalog: Catalog, table: Table, raw: pl.DataFrame, wrong: MillstreamError) -> MillstreamError:
    """Name the row because of which rows could not be shaped."""
    for place in range(raw.height):
        try:
            shaped(catalog, table, raw.slice(place, 1), version=0)
        except MillstreamError as found:
            return found.but(f"row {place}: {found.happened}")
    return wrong
