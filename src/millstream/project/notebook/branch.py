"""Changing rows of a table from a notebook, in an environment of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millstream.errors import UserError
from millstream.lake.branches import editing
from millstream.project.branches.branches import begin, edit_record
from millstream.project.notebook import show
from millstream.project.notebook.asked import framed
from millstream.project.unseen import refuse_edit

if TYPE_CHECKING:
    from millstream.project.root import Project


def changed_rows(
    project: Project, table: str, rows: Any, *, set_: Mapping[str, str], where: str, remove: bool, note: str
) -> show.Answer:
    """Change rows of a table and say what that did; see ``Door.edit``."""
    given = [word for word, said in (("rows", rows is not None), ("set", set_), ("remove", remove)) if said]
    if len(given) != 1:
        said = f"{' and '.join(given)} were given" if given else "nothing is said to change"
        raise UserError(said, expected="one of rows, set={...} and remove=True")
    if rows is not None and where:
        raise UserError("where was given with rows", expected="one of them: rows say by their key which they are")
    if remove and not where:
        raise UserError("remove=True without where would take every row away", expected="where='CONDITION'")
    catalog = project.lake.catalog
    begin(project, actor=project.actor)
    put = None if rows is None else framed(rows)
    named = () if put is None else put.columns
    if project.settings.overlay and table in project.manifest.tables:
        refuse_edit(project, table, set_=set_, where=where, rows=named, actor=project.actor)
    if put is not None:
        made = editing.edit_rows(catalog, table, put, actor=project.actor, note=note)
    else:
        made = editing.edit_where(catalog, table, where=where, set_=set_, remove=remove, actor=project.actor, note=note)
    record = edit_record(project, table, made)
    words = ("table", "version", "base", "changed", "new", "gone", "bytes_shared", "bytes_written", "says")
    shown = show.records(words, [tuple(record.get(each) for each in words)])
    return show.Answer(shown, title=f"{table} in {record['branch']}")
