"""What a refresh would do, and why, without doing it: nothing is run, registered or written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from millstream.definitions.sources import Csv, Delta, Json, Parquet, Posted
from millstream.errors import MillstreamError
from millstream.project.tables.habits import why_pieces
from millstream.state import runs, versions

if TYPE_CHECKING:
    from millstream.definitions.table import Table
    from millstream.project.root import Project


def plan(project: Project, wanted: Iterable[str], *, again: Mapping[str, Collection[str]]) -> list[dict[str, Any]]:
    """Say of each table, inputs first, whether a refresh would move it, and why.

    Of a table whose inputs move with the same refresh it is said that it may be made: which of its partitions are
    known when their rows are here. A database is not asked.

    Returns
    -------
    One record for each table: ``table``, ``does`` (``nothing``, ``register``, ``ingest``, ``run``, ``maybe``,
    ``refuse``), ``why``, and for a table that is made ``pieces`` (those to make, each with its reason), ``unchanged``
    (how many stay) and ``seconds`` (what it is expected to take by its habit; None when nothing is known).
    """
    said: list[dict[str, Any]] = []
    moving: set[str] = set()
    for name in wanted:
        table = project.manifest.table(name)
        try:
            record = _one(project, table, moving, again.get(name))
        except MillstreamError as wrong:
            record = _say(name, "refuse", wrong.happened)
        if record["does"] != "nothing":
            moving.add(name)
        said.append(record)
    return said


def _one(project: Project, table: Table, moving: Collection[str], again: Collection[str] | None) -> dict[str, Any]:
    head = versions.head(project.state, table.name)
    waits = [each for each in table.of if each in moving]
    if table.name in project.lake.shared():
        return _say(table.name, "nothing", "it is production's, whose newest version is taken over")
    if not table.of:
        return _source(project, table)
    if table.derived:
        if waits or head is None:
            why = f"{', '.join(waits)} would move" if waits else "it was not read yet"
            return _say(table.name, "register", f"{why}; it is computed when it is read")
        digest, now = project.lake.catalog.digest(table.name), versions.heads(project.state)
        changed = ["its definition changed"] * (head.definition != digest)
        changed += [f"{each}@{now[each]} came" for each in table.of if head.inputs.get(each) != now[each]]
        return _say(table.name, "register" if changed else "nothing", " and ".join(changed))
    return _made(project, table, head, waits, again)


def _made(
    project: Project,
    table: Table,
    head: versions.TableVersion | None,
    waits: list[str],
    again: Collection[str] | None,
) -> dict[str, Any]:
    now = versions.heads(project.state)
    missing = [each for each in table.of if each not in now]
    if missing:
        return _say(table.name, "run", f"it was not made yet, and waits for {', '.join(missing)}")
    maker = project.lake.maker
    look = maker.look(table, {each: now[each] for each in table.of}, head=head)
    asked = ["asked for"] if again is not None else []
    why = [*look.why, *([] if look.why else asked)]
    if waits and not look.because:
        why.append(f"{', '.join(waits)} would move")
    if not why:
        return _say(table.name, "nothing", "")
    does = "maybe" if waits and not (look.why or asked) else "run"
    if not table.partition or does == "maybe":
        return _say(table.name, does, " and ".join(why)) | {"seconds": _expected(project, table, 1)}
    due = maker.due(table, look, head=head, again=again)
    pieces = {**due.why, **dict.fromkeys(due.gone, "no rows of its inputs are left")}
    record = _say(table.name, does, why_pieces(pieces) + (f"; {why[-1]}" if waits else ""))
    count = len(due.bounds) - len(due.why)
    return record | {"pieces": pieces, "unchanged": count, "seconds": _expected(project, table, len(due.why))}


def _source(project: Project, table: Table) -> dict[str, Any]:
    head, catalog = versions.head(project.state, table.name), project.lake.catalog
    if isinstance(table.source, Delta):
        newest = catalog.log(table).head().version
        if head is None:
            return _say(table.name, "register", f"it was not read yet; its log is at {newest}")
        count = newest - head.version
        return _say(table.name, "register" if count else "nothing", f"its log grew by {count}" if count else "")
    if not isinstance(table.source, Csv | Json | Parquet | Posted):
        return _say(table.name, "maybe", "what it holds is known when it is asked")
    from millstream.lake.attached import parquets
    from millstream.lake.ingest import taking

    attached = isinstance(table.source, Parquet) and table.source.attach
    does = "register" if attached else "ingest"
    if head is None:
        return _say(table.name, does, "it was not read yet")
    if isinstance(table.source, Parquet) and attached:
        same = parquets.snapshot(catalog, table, table.source, head) is None
    else:
        same = not taking.moves(catalog, table, head=head)
    return _say(table.name, "nothing" if same else does, "" if same else "what is in its files changed")


def _expected(project: Project, table: Table, count: int) -> float | None:
    last = runs.latest(project.state, table.name)
    return round(count * sum(each.seconds for each in last) / len(last), 1) if last else None


def _say(table: str, does: str, why: str) -> dict[str, Any]:
    return {"table": table, "does": does, "why": why, "pieces": {}, "unchanged": 0, "seconds": None}
