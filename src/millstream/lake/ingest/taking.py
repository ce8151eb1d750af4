"""Taking files into the lake: what is new is read, once; what changed replaces what it brought; the rest is left alone.

A delivery is its content: the hash of a file's bytes, and of the folder values that become columns. A table holds the
rows of the contents that its names brought last. So a file that comes twice, under whatever name, is taken once; one
that is renamed moves nothing; one that changed lets exactly the rows go that it brought before; a run that was killed
goes on with the data files it had written; and the same files again change nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import polars as pl

from millstream.definitions.sources import Posted
from millstream.definitions.table import Table
from millstream.lake.batches import Shelved
from millstream.lake.catalog import Catalog
from millstream.lake.files import empty
from millstream.lake.ingest import snapshots
from millstream.lake.ingest.landing import Landing
from millstream.lake.ingest.posted import kinds_of
from millstream.lake.ingest.receiving import FilesTable, Known, identify, received
from millstream.sources.arrival import no_rows
from millstream.state import taken, versions
from millstream.state.taken import Content, Landed, Piece, Stamp, Taking
from millstream.state.versions import DataFile, TableVersion
from millstream.types import content_hash

Tell = Callable[[str], object]
_SETTLED_S = 2.0
"""A file changed less than this ago may change again within one tick of its clock: it is hashed anew."""


@dataclass(frozen=True)
class Taken:
    """What is to become a version."""

    rows: Shelved
    content: str
    taking: Taking


def take(
    catalog: Catalog, table: Table, *, head: TableVersion | None, expected: Mapping[str, str] | None, tell: Tell
) -> Taken | None:
    """Read what is new of a table's files into data files that wait for a version; None where nothing is.

    Raises
    ------
    NotFound
        When there is no file.
    BadData
        For a file that is not as its source or the table says; what was read whole before it need not be read again.
    Conflict
        For a file that is still being written, or is taken away meanwhile.
    Refused
        For one that may not be read, or rows that could not be read again.
    """
    files, found, stamps, plan = _look(catalog, table, head=head, anew=expected is None)
    if plan is None:
        _remember(catalog, table.name, found, stamps, tell)
        return None
    return _carry_out(catalog, files, plan, head=head, expected=expected, tell=tell)


def moves(catalog: Catalog, table: Table, *, head: TableVersion) -> bool:
    """Say whether the files of a table hold something else than its newest version; nothing is taken."""
    if table.history:
        return snapshots.content(FilesTable.of(catalog, table)) != head.content
    return _look(catalog, table, head=head, anew=False)[-1] is not None


def _look(
    catalog: Catalog, table: Table, *, head: TableVersion | None, anew: bool
) -> tuple[FilesTable, list[Known], dict[str, Stamp], _Plan | None]:
    """Look what is there, and what of it is new."""
    files = FilesTable.of(catalog, table)
    before = taken.taking(catalog.state, table.name, head.version) if head else None
    had = taken.contents(catalog.state, table.name) if before else {}
    stamps = taken.stamps(catalog.state, table.name)
    other = before is None or before.reading != files.reading
    found = identify(files, stamps if not other else {})
    agreed = versions.expected_schema(catalog.state, table.name)
    accepted = head is not None and bool(head.columns) and agreed != head.columns  # a commit of all files says so
    anew = anew or other or accepted
    plan = _plan(catalog, files, found, had, stamps, head=head, anew=anew)
    return files, found, stamps, plan


@dataclass(frozen=True)
class _Plan:
    found: Sequence[Known]
    fresh: Sequence[Known]
    kept: dict[str, Content]
    went: Sequence[Content]
    anew: bool
    says: tuple[str, ...]
    forgotten: tuple[str, ...]


def _plan(
    catalog: Catalog,
    files: FilesTable,
    found: Sequence[Known],
    had: dict[str, Content],
    stamps: dict[str, Stamp],
    *,
    head: TableVersion | None,
    anew: bool,
) -> _Plan | None:
    """Say what is new, what stays and what goes."""
    present = {each.entry.path: each.what for each in found}
    brought = set(present.values())
    away = {path: files.what(path, stamp.sha256) for path, stamp in stamps.items() if path not in present}
    gone = {path: what for path, what in away.items() if what not in brought and what in had}
    held = {path: what for path, what in gone.items() if not files.source.mirror}
    wanted = brought | set(held.values())
    same = set(had) == wanted and not anew
    if files.source.row_number:
        same = same and [each.what for each in _first(found)] == list(had)
        anew = anew or not same
    if same:
        return None
    if not anew:
        lie = {each.path for each in catalog.files(files.table, head.version)} if head else set()
        anew = any(piece.data not in lie for each in had.values() for piece in each.pieces)
    if anew and held and had:
        files.refuse_unreadable(sorted(held))
    kept = {} if anew else {what: each for what, each in had.items() if what in wanted}
    went = [] if anew else [each for what, each in had.items() if what not in wanted]
    fresh = [each for each in _first(found) if each.what not in kept]
    says = [*_said_twice(found, stamps)]
    if held:
        says.append(f"{_files(len(held))} gone, what they brought stays: {_names(held)}")
    forgotten = tuple(path for path in away if path not in held)
    return _Plan(found, fresh, kept, went, anew, tuple(says), forgotten)


def _carry_out(
    catalog: Catalog,
    files: FilesTable,
    plan: _Plan,
    *,
    head: TableVersion | None,
    expected: Mapping[str, str] | None,
    tell: Tell,
) -> Taken:
    number = 0 if head is None else head.version + 1
    table = files.table
    landing = Landing(
        catalog,
        table.name,
        event_time=None if table.event_time in table.columns else table.event_time,
        timezone=table.timezone,
        reading=f"{files.reading}:{number}:{plan.anew}",
        number=number,
    )
    says = list(plan.says)
    received(files, plan.fresh, landing, expected=expected, tell=tell, says=says)
    came = _whole(landing.files)
    fresh = tuple(landing.files)
    moved, removed = _let_go(catalog, files, plan, landing, head)
    landed = [each for each in landing.files if each.rows]
    waits = isinstance(table.source, Posted)
    if not waits and not sum(each.rows for each in (*came, *plan.kept.values())):
        raise no_rows([each.entry.name for each in plan.found], files.where)
    if future := sum(each.future for each in fresh):
        says.append(_said_future(table, future, catalog.clock.now()))
    says += _said_late(table, fresh, head)
    says[:0] = _said_counts(came, plan, first=head is None)
    for each in says:
        tell(f"{table.name}: {each}")
    order = {each.what: place for place, each in enumerate(plan.found)}
    came.sort(key=lambda each: order.get(each.what, 0))
    taking = Taking(
        reading=files.reading,
        came=tuple(came),
        went=tuple(plan.went),
        moved=tuple(moved),
        anew=plan.anew,
        says=tuple(says),
        stamps=tuple(_stamp(each) for each in plan.found),
        forgotten=plan.forgotten,
    )
    if waits and not landed and head is None:
        schema = pl.Schema(kinds_of(catalog, table))
    else:
        schema = landing.schema() if landed else empty(catalog.columns(table), where=files.where).schema
    content = content_hash([files.reading, sorted({*plan.kept, *(each.what for each in came)})])
    return Taken(Shelved(schema, landed, removed), content, taking)


def _whole(landed: Sequence[Landed]) -> list[Content]:
    """Gather what each content brought from the data files it lies in."""
    made: dict[str, Content] = {}
    for each in (one for file in landed for one in file.contents):
        had = made.get(each.what)
        made[each.what] = (
            each
            if had is None
            else msgspec.structs.replace(had, rows=had.rows + each.rows, pieces=(*had.pieces, *each.pieces))
        )
    return list(made.values())


def _let_go(
    catalog: Catalog, files: FilesTable, plan: _Plan, landing: Landing, head: TableVersion | None
) -> tuple[list[Content], list[DataFile]]:
    """Find the data files that go with what went; rows of others in them are written again."""
    if head is None or not plan.went:
        return [], []
    touched = {piece.data for each in plan.went for piece in each.pieces}
    stay = {what: each for what, each in plan.kept.items() if any(piece.data in touched for piece in each.pieces)}
    folder = catalog.folder(files.table)
    moved: dict[str, Content] = {}
    for data in sorted(touched):
        inside = [(each, piece) for each in stay.values() for piece in each.pieces if piece.data == data]
        if not inside:
            continue
        rows = pl.read_parquet(folder / data, glob=False, hive_partitioning=False)
        whats = [each.what for each, _ in inside]
        name = landing.rewrite([rows.slice(piece.start, piece.rows) for _, piece in inside], whats)
        start = 0
        for each, piece in inside:
            so_far = moved.get(each.what, each)
            pieces = tuple(Piece(name, start, piece.rows) if one == piece else one for one in so_far.pieces)
            moved[each.what] = msgspec.structs.replace(so_far, pieces=pieces)
            start += piece.rows
    return list(moved.values()), [each for each in catalog.files(files.table, head.version) if each.path in touched]


def _remember(catalog: Catalog, table: str, found: Sequence[Known], stamps: dict[str, Stamp], tell: Tell) -> None:
    """Keep what names bring, where no row changed: a file was renamed, came twice, or was only touched."""
    made = [_stamp(each) for each in found]
    new = [each for each in made if stamps.get(each.path) != each]
    by_content = {each.sha256: each for each in made}
    present = {each.path for each in made}
    gone = [path for path, each in stamps.items() if path not in present and each.sha256 in by_content]
    if not new and not gone:
        return
    for each in _said_twice(found, stamps):
        tell(f"{table}: {each}")
    with catalog.state.transact() as tx:
        taken.keep_stamps(tx, table, new, gone)


def _stamp(known: Known) -> Stamp:
    settled = time.time() - known.entry.at.timestamp() > _SETTLED_S
    return Stamp(known.entry.path, known.entry.size, known.entry.stamp if settled else "", known.sha256)


def _first(found: Sequence[Known]) -> list[Known]:
    """Return the first name, in order, of each content."""
    made: dict[str, Known] = {}
    for each in found:
        made.setdefault(each.what, each)
    return list(made.values())


def _said_twice(found: Sequence[Known], stamps: Mapping[str, Stamp]) -> list[str]:
    """Say which of the names that are new bring what another brought before them."""
    known = {path: each.sha256 for path, each in stamps.items()}
    new = [each for each in found if known.get(each.entry.path) != each.sha256]
    old = [each for each in found if known.get(each.entry.path) == each.sha256]
    first = {each.what: each.entry for each in reversed([*old, *new])}
    twice = [each.entry for each in new if first[each.what].path != each.entry.path]
    if not twice:
        return []
    shown = f"{twice[0].name} brings what {first_name(found, first, twice[0].path)} brings"
    return [f"{_files(len(twice))} delivered twice and taken once: {shown}{', ...' * (len(twice) > 1)}"]


def first_name(found: Sequence[Known], first: Mapping[str, object], path: str) -> str:
    """Name the file that brought first what another brings again."""
    what = next(each.what for each in found if each.entry.path == path)
    return str(getattr(first[what], "name", ""))


def _said_counts(came: Sequence[Content], plan: _Plan, *, first: bool) -> list[str]:
    if first and not came:
        return ["no row was posted yet"]
    if first:
        return [f"{_files(len(came))} with {sum(each.rows for each in came):,} rows"]
    if plan.anew:
        return [f"all files anew: {len(came):,} with {sum(each.rows for each in came):,} rows"]
    paths = {each.path for each in plan.went}
    changed = [each for each in came if each.path in paths]
    new = [each for each in came if each.path not in paths]
    said = [f"{_files(len(new))} new with {sum(each.rows for each in new):,} rows"] if new else []
    if changed:
        said.append(
            f"{_files(len(changed))} changed: {sum(each.rows for each in changed):,} rows in place of "
            f"{sum(each.rows for each in plan.went if each.path in {one.path for one in changed}):,}, "
            "which earlier versions keep"
        )
    still = {each.path for each in changed}
    dropped = [each for each in plan.went if each.path not in still]
    if dropped:
        said.append(f"{sum(each.rows for each in dropped):,} rows gone with {_files(len(dropped))}")
    return said


def _said_future(table: Table, rows: int, now: datetime) -> str:
    return (
        f"{rows:,} rows have {table.event_time!r} after now ({now.astimezone(UTC):%Y-%m-%d %H:%M} UTC): "
        "a plan, or a clock that is wrong; they are kept as they are"
    )


def _said_late(table: Table, landed: Sequence[Landed], head: TableVersion | None) -> list[str]:
    """Say of rows that come after later ones that nothing tells when they became known."""
    if head is None or head.event_max is None or table.known_at or not table.event_time:
        return []
    newest = datetime.fromisoformat(head.event_max)
    late = 0
    for each in landed:
        high = msgspec.json.decode(each.stats)["maxValues"].get(table.event_time)
        if isinstance(high, str):
            told = datetime.fromisoformat(high)
            late += each.rows if (told if told.tzinfo else told.replace(tzinfo=UTC)) < newest else 0
    if not late:
        return []
    return [
        f"{late:,} rows came late, after rows of {newest:%Y-%m-%d}; by the definition they were known at their event: "
        "arrived='arrived_at' in the source and known_at='arrived_at' say when they came"
    ]


def _files(count: int) -> str:
    return f"{count:,} file{'s' * (count != 1)}"


def _names(paths: Mapping[str, str]) -> str:
    names = sorted(each.rpartition("/")[2] for each in paths)
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)
