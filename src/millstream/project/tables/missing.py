"""Which rows should be there and are not, in the periods that were found short of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from millstream.definitions.checks import Complete, Expected
from millstream.errors import Refused
from millstream.project.people import Person
from millstream.state import contracts, versions

if TYPE_CHECKING:
    import polars as pl

    from millstream.checks.scene import Scene
    from millstream.project.root import Project

MOST = 10_000
"""Rows of a check that are handed over."""


def missing(project: Project, *, tables: Iterable[str] | None = None, actor: str = "somebody") -> dict[str, Any]:
    """Name each expected row that is missing from periods found short of rows, as the table is now.

    Nothing is run or judged again: rows that came since are left out. Each reading goes on the ledger.

    Raises
    ------
    NotFound
        For a table that is not there.
    Refused
        For somebody who sees only some rows or columns of a table that is read.
    """
    named = list(tables or [])
    wanted = [project.manifest.table(each) for each in named or project.manifest.tables]
    asked = [(table, [each for each in table.checks if isinstance(each, Complete | Expected)]) for table in wanted]
    return {"tables": [_table(project, table, found, actor) for table, found in asked if found or named]}


def _table(project: Project, table: Any, asked: list[Complete | Expected], actor: str) -> dict[str, Any]:
    from millstream.checks.contract import kind, subject
    from millstream.checks.scene import Scene
    from millstream.project.tables.data import any_table

    last = contracts.last(project.state, table.name)
    told = {} if last is None else {(each["check"], each["subject"]): each for each in last.report["results"]}
    found = []
    for check in asked:
        result = told.get((kind(check), subject(table, check)))
        short = [] if result is None else sorted(_short(result))
        if not short:
            continue
        others = [table.name, *([check.against] if isinstance(check, Complete) else [])]
        _seen_whole(project, others, actor)
        now = project.clock.now()
        columns = (check.key,) if isinstance(check, Complete) else (*check.columns, str(table.event_time))
        none = any_table(project)(table.name, columns=columns, between=(now, now))
        none = dataclasses.replace(none, frame=none.frame.clear())
        scene = Scene(table, none, None, any_table(project), now, project.settings.timezone)
        rows = _rows(check, scene, [date.fromisoformat(each) for each in short])
        found.append(
            {
                "check": kind(check),
                "subject": subject(table, check),
                "periods": short,
                "columns": rows.columns,
                "rows": [[_plain(cell) for cell in row] for row in rows.head(MOST).rows()],
                "count": rows.height,
            }
        )
        pins = {each: versions.head(project.state, each).version for each in others}  # type: ignore[union-attr]
        Person(project, actor).record(
            pins, dict.fromkeys(others, rows.columns), {"missing": found[-1]["subject"], "rows": rows.height}
        )
    return {"table": table.name, "asked": len(asked), "checks": found}


def _rows(check: Complete | Expected, scene: Scene, periods: list[date]) -> pl.DataFrame:
    from millstream.checks import completeness, expected

    if isinstance(check, Complete):
        return completeness.missing(check, scene, days=periods)
    return expected.missing(check, scene, periods=periods)


def _short(result: Mapping[str, Any]) -> set[str]:
    """Name the periods of a result that were short of rows, those of earlier results that still are, and quiet ones."""
    detail = result["detail"]
    days = {each["day"] for each in detail.get("days", []) if not each["ok"]}
    periods = {each["start"] for each in detail.get("periods", []) if not each["ok"] or each.get("quiet")}
    return days | periods | set(detail.get("open", {}))


def _seen_whole(project: Project, tables: Iterable[str], actor: str) -> None:
    person = Person(project, actor)
    for each in tables:
        sight = person.sight(each)
        if sight.where is not None or sight.masks:
            raise Refused(
                f"what is missing from {each!r} may be what {actor} does not see",
                expected="a role that sees every row and column of it",
            )


def _plain(cell: object) -> object:
    return cell if cell is None or isinstance(cell, str | int | float | bool) else str(cell)
