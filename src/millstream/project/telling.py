"""What checks and alarms say, as somebody may read it: their sentences quote values, which masks would hide elsewhere.

What was found is kept whole, in the state and on the ledger. Who sees columns of a table masked, or only some of its
rows, is told which check failed, and nothing that it found.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from millstream.definitions.checks import Agrees, Complete, References
from millstream.errors import MillstreamError, NotFound, Refused
from millstream.project.people import Person

if TYPE_CHECKING:
    from millstream.project.root import Project

_EXAMPLE = re.compile(r"[;,:]? (?:the first is|such as) ")
_HIDDEN = "what it found is told to whoever sees all of {table}"


def blind(reader: Person, table: str) -> bool:
    """Whether somebody sees less than all of a table, or of one that its checks read beside it."""
    if reader.sees_all:
        return False
    definition = reader.project.manifest.tables.get(table)
    beside = {table} if definition is None else {table, *_beside(definition.checks)}
    return not all(_whole(reader, each) for each in beside)


def results_told(reader: Person, table: str, results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return results of a table's checks as somebody may read them; of those that hold values are left out too."""
    hidden = blind(reader, table)
    return [_bare(table, each) if hidden else dict(each) for each in results]


def reports_told(project: Project, reports: Iterable[Mapping[str, Any]], *, actor: str) -> list[dict[str, Any]]:
    """Return reports of tables as somebody may read them."""
    reader = Person(project, actor)
    return [{**each, "results": results_told(reader, each["table"], each["results"])} for each in reports]


def alarms_told(reader: Person, opened: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return alarms as somebody may read them: those about what a table's checks found without their sentence."""
    return [_alarm_told(reader, each) for each in opened]


def events_told(reader: Person, events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return events of the timeline as somebody may read them: see ``alarms_told``."""
    return [
        {**each, "says": each["subject"]}
        if each["kind"] == "alarm" and (table := _contract(each["subject"])) and blind(reader, table)
        else dict(each)
        for each in events
    ]


def broken_told(project: Project, result: Mapping[str, Any]) -> str:
    """Return the sentence of a check that stops a training: with values only where no role hides any."""
    if Person(project, "").sees_all:
        return str(result["says"])
    return f"{result['subject']}: {result['check']} does not hold"


@contextlib.contextmanager
def unquoted(project: Project, actor: str) -> Iterator[None]:
    """Cut the row, or the value, that an error names as its example, where somebody does not see everything."""
    try:
        yield
    except MillstreamError as wrong:
        said = _EXAMPLE.split(wrong.happened, maxsplit=1)[0]
        if said != wrong.happened and not Person(project, actor).sees_all:
            wrong.happened, wrong.args = said, (said, wrong.expected, wrong.do)
        raise


def _alarm_told(reader: Person, alarm: Mapping[str, Any]) -> dict[str, Any]:
    table = alarm["subject"].partition(".")[0]
    if alarm["kind"] != "contract" or not blind(reader, table):
        return dict(alarm)
    says = f"{alarm['subject']} does not hold; {_HIDDEN.format(table=table)}"
    return {**alarm, "says": says, "value": None, "threshold": None, "detail": {}}


def _contract(subject: str) -> str:
    """Name the table whose checks an event of the timeline is about; empty for other events."""
    kind, _, about = subject.partition(" ")
    return about.partition(".")[0] if kind == "contract" else ""


def _bare(table: str, result: Mapping[str, Any]) -> dict[str, Any]:
    held = "holds" if result["ok"] else "does not hold"
    says = f"{result['subject']}: {result['check']} {held}; {_HIDDEN.format(table=table)}"
    return {**result, "failed_rows": None, "share": None, "says": says, "rows": [], "detail": {}}


def _beside(checks: Iterable[Any]) -> set[str]:
    """Name the tables that checks read beside their own."""
    found = set()
    for each in checks:
        if isinstance(each, References):
            found.add(each.to.partition(".")[0])
        elif isinstance(each, Complete):
            found.add(each.against)
        elif isinstance(each, Agrees):
            found.add(each.table)
    return found


def _whole(reader: Person, table: str) -> bool:
    try:
        return reader.sight(table).whole
    except (NotFound, Refused):  # never read, or computed from rows of which somebody sees some
        return False
