"""The way of a branch's rows into production: a file of them and a definition to commit, which production computes.

Nobody writes into production's tables. The definition is a table of its own, production's rows with those of the branch
in their place; it is reviewed and committed like any, and stays true when the source delivers again.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.definitions.table import Table
from millstream.errors import Conflict, NotFound, Refused, StorageFull, UserError, near
from millstream.lake.faults import reach
from millstream.project.branches.branches import behind, home, known, standing
from millstream.project.notebook.source import literal
from millstream.project.people import ALL, Person, record_read
from millstream.project.unseen import refuse_blind
from millstream.settings import PRODUCTION
from millstream.state import edits

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.state.edits import Edit

FOLDER = "released"
"""Folder of the project for rows that were released."""
_MARK = '"""Written by millstream branch {name} --to prod:'
_CODE = '''{mark} {said}."""

from millstream import Table, {checks}sources

{table}_rows = Table(
    "{table}_rows",
    source=sources.Parquet("{file}"),
{rows})
{table} = Table(
    "{table}",
    of=["{of}", "{table}_rows"],
    sql="""
    select {columns}
    from "{of}"
    where not exists (select 1 from {table}_rows where {same})
    union all
    select {columns}
    from {table}_rows
    where change <> 'gone'
    """,
{words})
'''


def release_rows(
    project: Project, *, name: str, table: str = "", note: str = "", actor: str = "somebody"
) -> dict[str, Any]:
    """Write the rows of a branch, and the definition by which production has them, into the project to be committed.

    Parameters
    ----------
    name
        The branch; one stands in production.
    table
        Which of its tables; may be left out when it changed one.
    note
        Why; goes into the definition and onto production's ledger.

    Raises
    ------
    Conflict
        When production has a newer version than the edits rest on.
    Refused
        Without a note, where columns are masked for the person, and where a file of that name is somebody else's.
    """
    from millstream.lake.branches.edited import differs
    from millstream.lake.catalog import lock

    if project.settings.overlay or name == PRODUCTION:
        raise Refused("rows go from a branch to prod", expected="the name of a branch, and to stand in prod")
    known(project, name)
    with standing(project, name) as one, lock(home(project) / name / "lake"):
        edit = _chosen(one, name, table)
        reader = Person(one, actor)
        refuse_blind(reader, edit.table, one.lake.schema(edit.table))
        _refuse_behind(one, name, edit)
        if not note.strip():
            raise UserError("no reason is given", expected="why production should have these rows", do="--note '...'")
        made = differs(one.lake.catalog, edit)
        if not made.keys:
            raise Refused(
                f"rows of {edit.table!r} are in {name} as they are in production: there is nothing to release"
            )
        definition = project.manifest.table(edit.table)
        body = io.BytesIO()
        made.rows().write_parquet(body)
        record_read(one, actor, {edit.table: edit.version}, {edit.table: ALL}, {"diff": name, "rows": made.keys})
        counts = {"changed": made.after.height, "new": made.new.height, "gone": made.gone.height}
    new = f"{edit.table}_{name.replace('-', '_')}"
    said = f"{', '.join(f'{count:,} {word}' for word, count in counts.items())} rows of {edit.table}@{edit.base}"
    code = _code(definition, list(project.lake.schema(edit.table)), name=name, new=new, said=said, note=note)
    files = {Path(FOLDER) / f"{new}.parquet": body.getvalue(), Path(f"{new}.py"): code.encode()}
    hashes = {str(path): _sha(held) for path, held in files.items()}
    subject = f"{new} from {name}"
    before = [each.detail["files"] for each in project.ledger.rows(act="branch.release", subject=subject)]
    _refuse_others(project, new, hashes, before)
    fresh = {path: held for path, held in files.items() if _now(project.root / path) != _sha(held)}
    for path, held in fresh.items():
        _put(project.root / path, held)
        reach("rows.put")
    record = {
        "branch": name, "table": edit.table, "base": edit.base, "version": edit.version, "into": new, "note": note,
        "files": hashes, **counts,
    }  # fmt: skip
    if fresh or hashes not in before:
        project.ledger.record(actor=actor, act="branch.release", subject=subject, detail=record)
    return record | {"written": [str(path) for path in fresh], "used_by": _users(project, edit.table, new)}


def _chosen(one: Project, name: str, table: str) -> Edit:
    """Return the last edit of the table that is meant."""
    there = edits.tables(one.state)
    if not there:
        raise Refused(
            f"{name} changed no table",
            expected="a model to release",
            do=f"millstream --env {name} release MODEL --to prod",
        )
    if not table and len(there) > 1:
        raise UserError(f"{name} changed {', '.join(there)}", expected="one of them", do=f"--table {there[0]}")
    found = edits.newest(one.state, table or there[0])
    if found is None:
        raise NotFound(f"{name} changed nothing of table {table!r}", expected=near(table, there))
    return found


def _refuse_behind(one: Project, name: str, edit: Edit) -> None:
    for each in behind(one):
        if each["table"] == edit.table:
            raise Conflict(
                f"production has {edit.table}@{each['production']} by now, and {name} rests on version {edit.base}",
                expected="edits upon production's newest version",
                do=f"millstream branch {name} --rebase, look at it with --diff, and release it then",
            )


def _refuse_others(project: Project, new: str, hashes: dict[str, str], before: list[dict[str, str]]) -> None:
    """Refuse to write over what somebody else wrote, or to define a table that is defined elsewhere."""
    for path, wanted in hashes.items():
        now = _now(project.root / path)
        if now not in (None, wanted) and all(each.get(path) != now for each in before):
            raise Refused(
                f"{path} is there, and was written or changed by somebody",
                expected="no file of that name, or one as a release wrote it",
                do=f"move {path} away, or take back what was changed",
            )
    taken = [each for each in (new, f"{new}_rows") if each in project.manifest.tables]
    if taken and not (project.root / f"{new}.py").exists():
        raise Refused(f"there is a table {taken[0]!r} already", do="give the branch, or that table, another name")


def _code(table: Table, columns: list[str], *, name: str, new: str, said: str, note: str) -> str:
    """Write the definitions of the rows and of production's table with them."""
    words: dict[str, Any] = {"key": list(table.key)}
    for word in ("event_time", "known_at", "timezone", "columns", "sensitive", "valid_from", "valid_to"):
        if getattr(table, word):
            words[word] = getattr(table, word)
    if table.lag != "0s":
        words["lag"] = table.lag
    rows = dict(words)
    del words["key"]
    for word in ("columns", "timezone", "sensitive"):
        words.pop(word, None)
    if table.event_time:
        words["known_at"] = {"*": table.event_time} | table.known_at
    kinds = sorted({type(each).__name__ for each in table.checks})
    told = {"key": list(table.key), **words, "owner": table.owner, "description": f"{table.name}, corrected: {note}"}
    lines = _lines({word: each for word, each in told.items() if each})
    if table.checks:
        lines += "    checks=[\n" + "".join(f"        checks.{each!r},\n" for each in table.checks) + "    ],\n"
    return _CODE.format(
        mark=_MARK.format(name=name),
        said=said,
        checks="checks, " if kinds else "",
        table=new,
        of=table.name,
        file=f"{FOLDER}/{new}.parquet",
        columns=", ".join(quoted(each) for each in columns),
        same=" and ".join(f'{new}_rows.{quoted(each)} = "{table.name}".{quoted(each)}' for each in table.key),
        rows=_lines(rows),
        words=lines,
    )


def quoted(name: str) -> str:
    """Write a name for SQL."""
    return chr(34) + name.replace(chr(34), 2 * chr(34)) + chr(34)


def _lines(words: dict[str, Any]) -> str:
    return "".join(f"    {word}={literal(value)},\n" for word, value in words.items())


def _users(project: Project, table: str, new: str) -> list[str]:
    """Name who reads the table as it is: what may be pointed at the new one."""
    manifest = project.manifest
    made = [each.name for each in manifest.tables.values() if table in each.of and each.name != new]
    return [*made, *(each.name for each in manifest.views.values() if each.of == table)]


def _sha(held: bytes) -> str:
    return hashlib.sha256(held).hexdigest()


def _now(path: Path) -> str | None:
    """Hash a file as it is; None when there is none."""
    return _sha(path.read_bytes()) if path.exists() else None


def _put(path: Path, held: bytes) -> None:
    """Write a file whole, or leave it as it was."""
    scratch = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(exist_ok=True)
        with scratch.open("wb") as file:
            file.write(held)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as wrong:
        scratch.unlink(missing_ok=True)
        raise StorageFull(f"{path} could not be written: {wrong}", do="free some space and try again") from None
