"""What a request's fields are held against: what the contract of the rows' table says, and what training has seen.

Plain data that travels in the release as ``requests.json``. The scoring server makes closures of it, without a
dataframe; a row without anything odd costs it about 1 µs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from millstream.errors import BadData

REQUESTS = "requests.json"
"""Its name in a release; releases from before there was one have none."""
_LONGEST = 1000
"""Characters of a text that are held against a pattern: a longer one does not match."""
_MOST_REPEATS = 2
_SHOWN = 60

Of: TypeAlias = Literal["contract", "training"]


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One demand on one field.

    Parameters
    ----------
    field
        Its name.
    of
        Who demands it: the contract of the rows' table, or only the rows of training.
    low, high
        A closed range; None where it has none.
    values
        A set; empty where it has none.
    pattern
        A regular expression that texts match as a whole.
    filled
        Whether NULL is refused; otherwise NULL passes everything.
    """

    field: str
    of: Of
    low: float | None = None
    high: float | None = None
    values: tuple[str | int | float | bool, ...] = ()
    pattern: str = ""
    filled: bool = False


class Requests(msgspec.Struct, frozen=True):
    """What ``requests.json`` holds.

    Parameters
    ----------
    table
        The table whose contract it is.
    rules
        By field; the first that fails is told.
    unchecked
        What of the contract cannot be asked of a request, in words.
    """

    table: str
    rules: tuple[Rule, ...]
    unchecked: tuple[str, ...] = ()


class Odd(msgspec.Struct, frozen=True):
    """One field that is not as it should be."""

    field: str
    of: Of
    says: str


class Gate:
    """Holds rows against rules.

    Parameters
    ----------
    requests
        The rules; none look at nothing.
    """

    def __init__(self, requests: Requests | None = None) -> None:
        self.rules = requests.rules if requests is not None else ()
        table = requests.table if requests is not None else ""
        self._tests = tuple((rule.field, _fails(rule), rule, table) for rule in self.rules)

    def look(self, row: Mapping[str, Any]) -> tuple[Odd, ...]:
        """Name the fields of a row, as JSON gave it and of the right types, that are not as they should be."""
        odd: list[Odd] = []
        for field, fails, rule, table in self._tests:
            value = row.get(field)
            if fails(value) and not any(each.field == field for each in odd):
                odd.append(Odd(field, rule.of, _says(rule, value, table)))
        return tuple(odd)

    def refuse(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Refuse rows that break the contract; what training has not seen is no reason.

        Raises
        ------
        BadData
            Naming the row, the field and what is demanded of it.
        """
        for place, row in enumerate(rows):
            for each in self.look(row):
                if each.of == "contract":
                    raise BadData(
                        f"{f'row {place}: ' if len(rows) > 1 else ''}field {each.says}",
                        expected="what the contract allows: this model refuses other requests (Champion(strict=True))",
                    )


def safe_pattern(pattern: str) -> bool:
    """Say whether a pattern may be held against texts that anybody sends: it means the same, and it cannot hang.

    Python's matcher goes back and forth, so repeats of groups and more than two repeats are left out.

    >>> safe_pattern("[A-Z]{3}"), safe_pattern("(a+)+"), safe_pattern("[0-9]+-[a-z]+")
    (True, False, True)
    """
    bare = re.sub(r"\\[dwsDWS.+*?()\[\]{}|^$/\\-]", "x", pattern)
    bare = re.sub(r"\[\^?[^\[\]&~]+\]", "x", bare)
    if re.search(r"\\|[\[\]^$]|\)[*+{?]|\(\?", bare) or len(re.findall(r"[*+{]", bare)) > _MOST_REPEATS:
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _fails(rule: Rule) -> Callable[[Any], bool]:
    low, high, values = rule.low, rule.high, frozenset(rule.values)
    if rule.filled:
        return lambda value: value is None
    if low is not None and high is not None:
        return lambda value: value is not None and not low <= value <= high
    if rule.pattern:
        matches = re.compile(rule.pattern).fullmatch
        return lambda value: value is not None and (len(value) > _LONGEST or matches(value) is None)
    return lambda value: value is not None and value not in values


def _says(rule: Rule, value: Any, table: str) -> str:
    by = f" (contract of {table})" if rule.of == "contract" else ""
    shown = "NULL" if value is None else repr(value) if isinstance(value, str) else str(value)
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
    said = f"{rule.field} is {shown}"
    if rule.filled:
        return f"{said}, which it may not be{by}" if by else f"{said}, and never was in training"
    if rule.low is not None and rule.high is not None:
        where = f"outside {rule.low:.12g} to {rule.high:.12g}"
        return f"{said}, {where}{by}" if by else f"{said}, {where}, all that training has seen"
    if rule.pattern:
        return f"{said}, which does not match {rule.pattern}{by}"
    return f"{said}, not one of the set{by}" if by else f"{said}, never seen in training"
