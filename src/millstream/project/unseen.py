"""Who may change or compare rows of a branch: nobody whom a count or a named key would tell what is masked for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from millstream.errors import Refused
from millstream.project.people import Person

if TYPE_CHECKING:
    from millstream.project.root import Project


def refuse_blind(reader: Person, table: str, columns: Iterable[str] = ()) -> None:
    """Refuse to compare or change rows whose count, or whose keys in a message, would tell what somebody does not see.

    Parameters
    ----------
    reader
        Who asks.
    table
        Of which rows.
    columns
        What the change reads or sets.

    Raises
    ------
    Refused
        For somebody who sees only some rows of the table, or one of these columns masked.
    """
    sight = reader.sight(table)
    if sight.where is not None:
        raise Refused(
            f"{reader.actor} sees only some rows of {table!r}, and others may be among those",
            expected="a role that sees every row of it",
        )
    hidden = sorted({each for each in columns if each in sight.masks})
    if hidden:
        raise Refused(
            f"{', '.join(hidden)} of table {table!r} is masked for {reader.actor}: what this changes would tell",
            expected="other columns, or a role that sees these",
        )


def refuse_edit(
    project: Project, table: str, *, set_: Mapping[str, str], where: str, rows: Iterable[str], actor: str
) -> None:
    """Refuse an edit that would tell somebody what is masked for them: by its key, its columns or its expressions."""
    from millstream.expressions import parse

    reader = Person(project, actor)
    if reader.sight(table).whole:
        return
    schema = project.lake.schema(table)
    said = [parse(each, schema, where=f"table {table!r}").columns for each in (*set_.values(), where) if each]
    key = project.manifest.table(table).key
    refuse_blind(reader, table, [*key, *set_, *rows, *(name for each in said for name in each)])
