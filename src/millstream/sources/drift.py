"""Whether the columns that arrive are those agreed: what is taken silently, and what somebody has to accept.

Taken silently: another order of columns, and a wider type of the same kind (``integer`` to ``long``, ``float`` to
``double``, a decimal with more digits), because every value stays what it was. Everything else asks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from millstream.errors import BadData, near

if TYPE_CHECKING:
    from millstream.definitions.table import Table

_WIDER = (("byte", "short", "integer", "long"), ("float", "double"))
_WORDS = {
    "Int8": "byte",
    "Int16": "short",
    "Int32": "integer",
    "Int64": "long",
    "Float32": "float",
    "Float64": "double",
    "String": "string",
    "Boolean": "boolean",
    "Date": "date",
}
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_TIMES = {"timestamp", "timestamp_ntz"}


class SchemaChanged(BadData):
    """Columns that arrived are not those agreed, and somebody has to accept them.

    Parameters
    ----------
    before, after
        Column to type, as Delta names it: agreed, and arrived.
    """

    def __init__(self, happened: str, *, expected: str, do: str, before: dict[str, str], after: dict[str, str]) -> None:
        super().__init__(happened, expected=expected, do=do)
        self.before = before
        self.after = after


def word(kind: str) -> str:
    """Return Delta's name of a type that may be named as Polars does."""
    if kind.startswith("Datetime("):
        return "timestamp_ntz" if "time_zone=None" in kind else "timestamp"
    return _WORDS.get(kind, kind)


def wider(before: str, after: str) -> bool:
    """Say whether every value of a type is a value of another of the same kind."""
    old, new = _DECIMAL.fullmatch(before), _DECIMAL.fullmatch(after)
    if old and new:
        whole = [int(each[1]) - int(each[2]) for each in (old, new)]
        return whole[0] <= whole[1] and int(old[2]) <= int(new[2])
    return any(before in row and after in row and row.index(before) <= row.index(after) for row in _WIDER)


def differences(
    before: Mapping[str, str], after: Mapping[str, str], *, table: Table | None = None, silent: bool = True
) -> list[str]:
    """Say every difference between agreed columns and others.

    Parameters
    ----------
    before, after
        Column to type.
    table
        Its definition: what a column is to it is said too, and new columns are no difference where it grows.
    silent
        Whether to say also what would be taken silently.
    """
    grows = table is not None and table.grows and not silent
    gone = [each for each in before if each not in after]
    new = [each for each in after if each not in before]
    said = [f"{each!r} is missing ({near(each, new)}){_role(each, table)}" for each in gone]
    said += [] if grows else [f"{each!r} is new ({after[each]})" for each in new]
    for name, kind in before.items():
        now = after.get(name, kind)
        if now != kind and (silent or not wider(word(kind), word(now))):
            said.append(f"{name!r} was {kind}, is {now}{_zone(kind, now, table)}{_role(name, table)}")
    return said


def refuse_change(
    expected: Mapping[str, str], found: Mapping[str, str], *, where: str, table: Table | None = None
) -> None:
    """Refuse columns that are missing, new or of another type than agreed, but for a wider one of the same kind.

    Raises
    ------
    SchemaChanged
        Naming every difference, and what each such column is to the table.
    """
    said = differences(expected, found, table=table, silent=False)
    if said:
        name = "TABLE" if table is None else table.name
        raise SchemaChanged(
            f"the columns of {where} changed: {'; '.join(said)}",
            expected=", ".join(f"{column} {kind}" for column, kind in expected.items()),
            do=f"ask its owner, or take them: millstream refresh --accept-schema {name}",
            before={column: word(kind) for column, kind in expected.items()},
            after={column: word(kind) for column, kind in found.items()},
        )


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the columns in which two lists differ, with their types in the one and in the other."""
    differ: Collection[str] = {each for each in {**before, **after} if before.get(each) != after.get(each)}
    return (
        {name: kind for name, kind in before.items() if name in differ},
        {name: kind for name, kind in after.items() if name in differ},
    )


def _zone(before: str, after: str, table: Table | None) -> str:
    """Say what it means that a time lost its zone, or has one now."""
    old, new = word(before), word(after)
    if not {old, new} <= _TIMES or old == new:
        return ""
    zone = table.timezone if table is not None else None
    if new == "timestamp_ntz":
        read = f"its times would be read in {zone}" if zone else "and the table says no timezone to read its times in"
        return f": it lost its time zone, {read}"
    return f": it has a time zone now; its times were read in {zone or 'none'} before"


def _role(name: str, table: Table | None) -> str:
    """Say what a column is to its table."""
    if table is None:
        return ""
    if name in table.key:
        return "; it is of the key, by which corrections and rows in quarantine are found"
    return "; it is the event time" if name == table.event_time else ""
