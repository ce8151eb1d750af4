"""What a branch changed: rows, definitions and models, as the one who asks may see them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.errors import NotFound, Refused, UserError
from millstream.project.branches.branches import behind, edits_told, here, models
from millstream.project.people import ALL, Person, record_read
from millstream.project.unseen import refuse_blind
from millstream.state import edits

if TYPE_CHECKING:
    import polars as pl

    from millstream.lake.branches.edited import Differs
    from millstream.project.root import Project

SHOWN = 5
"""Rows of each kind that are shown as examples."""


def changes(project: Project, *, table: str = "", out: str = "", actor: str = "somebody") -> dict[str, Any]:
    """Show what the overlay changed: rows of each table with examples, definitions, models beside the champion.

    With ``out`` the rows of one table, as they are to be, are written to a file for whoever keeps its source. Examples
    are masked as the person's role says.

    Raises
    ------
    NotFound
        For a table that was not changed.
    Refused
        For somebody who sees only some rows of a table, and for ``out`` where columns are masked.
    """
    from millstream.lake.branches.edited import differs, edited

    name = here(project)
    catalog, reader = project.lake.catalog, Person(project, actor)
    found = [each for each in edited(catalog) if not table or each.table == table]
    if table and not found:
        known = edits.tables(project.state)
        project.manifest.table(table)
        raise NotFound(f"{name} changed nothing of table {table!r}", expected=", ".join(known) or "no table is changed")
    if out and len(found) != 1:
        raise UserError("--out writes the rows of one table", expected="--table NAME beside it")
    for each in found:
        refuse_blind(reader, each.table)
    shown = []
    for each in found:
        made = differs(catalog, each)
        shown.append(edits_told(project, each, reader) | _rows(reader, made, each.table))
        if out:
            shown[-1]["out"] = _written(reader, each.table, made, Path(out))
        detail = {"diff": name, "rows": made.keys} | ({"role": reader.role} if reader.role else {})
        record_read(project, actor, {each.table: each.version}, {each.table: ALL}, detail)
    return {
        "branch": name,
        "tables": shown,
        "behind": behind(project),
        "definitions": _definitions(project),
        "models": models(project),
    }


def _definitions(project: Project) -> str:
    """Return how the definitions differ from the commit; what an environment wrote is none."""
    from millstream.project import git

    state = (project.places.over or project.places).state.relative_to(project.root).as_posix()
    lines = git.changes(project.root).splitlines()
    return "\n".join(each for each in lines if not each.startswith(f"{state}/"))


def _rows(reader: Person, made: Differs, table: str) -> dict[str, Any]:
    key, masks = list(reader.project.manifest.table(table).key), reader.sight(table).masks
    olds, news = made.before.head(SHOWN), made.after.head(SHOWN)
    moved = []
    for old, new, old_seen, new_seen in zip(
        olds.to_dicts(),
        news.to_dicts(),
        reader.hide(olds, masks).to_dicts(),
        reader.hide(news, masks).to_dicts(),
        strict=True,
    ):
        cells = {name: [_plain(old_seen[name]), _plain(new_seen[name])] for name in new if old[name] != new[name]}
        moved.append({"key": {each: _plain(new_seen[each]) for each in key}, "columns": cells})
    few = {word: reader.hide(rows.head(SHOWN), masks) for word, rows in (("new", made.new), ("gone", made.gone))}
    return {
        "changed": made.after.height,
        "new": made.new.height,
        "gone": made.gone.height,
        "examples": {"changed": moved, **{word: _few(rows) for word, rows in few.items()}},
    }


def _few(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in each.items()} for each in rows.to_dicts()]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _written(reader: Person, table: str, made: Differs, out: Path) -> str:
    """Write the rows that differ."""
    if reader.sight(table).masks:
        raise Refused(
            f"columns of table {table!r} are masked for {reader.actor}, and would be in the file",
            expected="a role that sees the whole table",
        )
    if out.suffix not in (".csv", ".parquet"):
        raise UserError(f"{out.name} ends in neither .csv nor .parquet", expected=f"for instance {out.stem}.csv")
    if not out.parent.is_dir():
        raise NotFound(f"there is no folder {out.parent}", expected="a file in a folder that is there")
    if out.suffix == ".csv":
        made.rows().write_csv(out)
    else:
        made.rows().write_parquet(out)
    return str(out)
