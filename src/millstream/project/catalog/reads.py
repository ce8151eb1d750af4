"""Who read what: the reads of people, commands and trainings, as the ledger has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from millstream.errors import NotFound, UserError, near
from millstream.ledger.reads import reads_of
from millstream.project.people import ALL, Person, columns_told, record_read
from millstream.project.telling import blind
from millstream.state import versions
from millstream.types import parse_instant

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.ledger import LedgerRow
    from millstream.project.root import Project

SHOWN = 50
"""Reads listed, the newest."""
_HOW = ("profile", "training_set", "training", "score", "why", "features", "sql", "diff", "suggest", "missing")


def reads(
    project: Project, *, table: str, by: str = "", since: str = "", limit: int = SHOWN, actor: str = "somebody"
) -> dict[str, Any]:
    """List who read a table, when, which version and columns, and by what.

    A read of a table that is computed from it at each read is a read of it, and told under that table's name.
    The words of others' queries are shown to whoever sees all of the table: they name values.

    Raises
    ------
    NotFound
        For a table that is not there.
    UserError
        For a text that is no instant.
    """
    known = {*project.manifest.tables, *versions.heads(project.state)}
    if table not in known:
        raise NotFound(f"there is no table {table!r}", do=near(table, known))
    if limit < 1:
        raise UserError(f"limit is {limit}", expected="at least 1")
    try:
        begin = parse_instant(since) if since else None
    except ValueError as wrong:
        raise UserError(str(wrong)) from None
    start = begin.isoformat() if begin is not None else ""
    names = [table, *_computed(project, table)]
    found, people = reads_of(project.state, names, by=by, since=start, limit=limit)
    hidden = blind(Person(project, actor), table)
    return {
        "table": table,
        "reads": [_told(each, names, words=not hidden or each.actor == actor) for each in found],
        "count": sum(people.values()),
        "people": people,
        "by": by,
        "since": start,
    }


def record_training(project: Project, plan: FeaturePlan, pins: Mapping[str, int], *, actor: str, rows: int) -> None:
    """Write down that a training read its tables, whole and unmasked."""
    detail = {"training": plan.model, "rows": rows}
    _record(project, plan, pins, actor=actor, detail=detail)


def record_scoring(project: Project, plan: FeaturePlan, pins: Mapping[str, int], *, actor: str, rows: int) -> None:
    """Write down that scoring in batch read its tables."""
    _record(project, plan, pins, actor=actor, detail={"score": plan.model, "rows": rows})


def columns_of(plan: FeaturePlan, *, rows: bool = True) -> dict[str, list[str]]:
    """Name what is read of each table; without ``rows``, of those that features come from."""
    said = [each.columns for each in (plan.label, plan.where, plan.decide_at) if each is not None]
    request = [name for each in plan.request_features.values() for name in each.columns]
    found: dict[str, list[str]] = {}
    if rows:
        found[plan.rows_table] = [*plan.request_columns, *request, *(name for each in said for name in each)]
    for view in plan.views:
        values = [name for each in view.features.values() if each.value is not None for name in each.value.columns]
        found[view.table] = [*found.get(view.table, []), *view.entity, *values]
    if rows and plan.ahead is not None:
        parts = [each.columns for each in (plan.ahead.value, plan.ahead.where) if each is not None]
        found[plan.ahead.table] = [*found.get(plan.ahead.table, []), *plan.ahead.entity, *(n for e in parts for n in e)]
    if rows and plan.ranking is not None:
        given = [plan.ranking.candidate, *plan.ranking.given]
        found[plan.ranking.candidates] = [*found.get(plan.ranking.candidates, []), *given]
    return {table: sorted(set(columns)) for table, columns in found.items()}


def _record(
    project: Project, plan: FeaturePlan, pins: Mapping[str, int], *, actor: str, detail: Mapping[str, Any]
) -> None:
    told = {}
    for name, columns in columns_of(plan).items():
        head = versions.head(project.state, name)
        told[name] = columns_told(columns, () if head is None else head.schema)
    record_read(project, actor, pins, told, detail)


def _version(row: LedgerRow, table: str) -> int | None:
    for each in row.subject.split():
        name, _, number = each.partition("@")
        if name == table and number.isdigit():
            return int(number)
    return None


def _computed(project: Project, table: str) -> list[str]:
    """Name the tables that are computed from this one at each read, however many steps on."""
    every, found = project.manifest.tables, [table]
    for name in found:
        found += [each.name for each in every.values() if each.derived and name in each.of and each.name not in found]
    return found[1:]


def _told(row: LedgerRow, names: Sequence[str], *, words: bool) -> dict[str, Any]:
    said = row.detail
    table = next((each for each in names if _version(row, each) is not None), names[0])
    columns = said.get("reads", {}).get(table, _before(said.get("columns"), table))
    how = next((each for each in _HOW if each in said), "table")
    return {
        "at": row.at,
        "actor": row.actor,
        "table": table,
        "version": _version(row, table),
        "how": how,
        "what": _what(said, how, words=words),
        "columns": columns,
        "rows": said.get("rows"),
        "role": said.get("role", ""),
        "masked": said.get("masked", {}).get(table, []),
        "sequence": row.sequence,
    }


def _what(said: Mapping[str, Any], how: str, *, words: bool) -> Any:
    """Say what was asked; the words of a query name values, and are shown to whoever sees the whole table."""
    if how == "sql" and not words:
        return "(a query)"
    return said[how] if how in ("sql", "training_set", "training", "score", "why") else ""


def _before(columns: Any, table: str) -> list[str] | str:
    """Read the columns of a row that was written before reads named them by table."""
    if isinstance(columns, Mapping):
        return list(columns.get(table, ()))
    return list(columns) if isinstance(columns, Iterable) and not isinstance(columns, str) else ALL
