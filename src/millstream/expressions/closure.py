"""From trees to one plain Python function of one row; standard library only, for the scoring server.

Instants and lengths of time are whole microseconds, dates are days since 1970. All expressions become one generated
function in which equal parts are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from millstream.expressions import runtime
from millstream.expressions.functions import CALENDAR
from millstream.expressions.node import Call, Column, Expression, Literal, Node

Row = Mapping[str, Any]

_INLINE: dict[str, str] = {
    "=": "{0} == {1}",
    "<>": "{0} != {1}",
    "<": "{0} < {1}",
    "<=": "{0} <= {1}",
    ">": "{0} > {1}",
    ">=": "{0} >= {1}",
    "+": "{0} + {1}",
    "-": "{0} - {1}",
    "*": "{0} * {1}",
    "not": "not {0}",
    "negate": "-{0}",
    "abs": "abs({0})",
    "lower": "{0}.lower()",
    "upper": "{0}.upper()",
    "length": "len({0})",
    "trim": "{0}.strip(' ')",
    "||": "{0} + {1}",
    "contains": "{1} in {0}",
    "starts_with": "{0}.startswith({1})",
    "ends_with": "{0}.endswith({1})",
}
_OWN: dict[str, str] = {
    "and": "(False if {0} is False or {1} is False else None if {0} is None or {1} is None else True)",
    "or": "(True if {0} is True or {1} is True else None if {0} is None or {1} is None else False)",
    "is null": "({0} is None)",
    "nullif": "(None if {0} == {1} else {0})",
}
_CHECKED = frozenset({"+", "-", "*", "negate", "abs"})


def to_closure(expressions: Mapping[str, Expression]) -> Callable[[Row], dict[str, Any]]:
    """Compile named expressions into one function of a row that returns their values by name.

    The row maps column to value as ``values.value`` gives them. Overflow and failed casts raise ``BadData``.
    """
    writer = _Writer()
    results = {name: writer.write(each.node) for name, each in expressions.items()}
    items = ", ".join(f"{name!r}: {variable}" for name, variable in results.items())
    source = "\n    ".join(["def compiled(row):", *writer.lines, f"return {{{items}}}"])
    space: dict[str, Any] = {"r": runtime, **runtime.NAMES, **writer.constants}
    exec(compile(source, "<row expressions>", "exec"), space)
    made: Callable[[Row], dict[str, Any]] = space["compiled"]
    return made


class _Writer:
    """Writes one assignment for each distinct part of the trees."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self._done: dict[Node, str] = {}

    def write(self, node: Node) -> str:
        kept = self._done.get(node)
        if kept is not None:
            return kept
        if isinstance(node, Literal):
            made = repr(node.value)
            made = f"({made})" if made.startswith("-") else made
            self._done[node] = made
            return made
        if isinstance(node, Column):
            line = f"row[{node.name!r}]"
        else:
            line = self._call(node)
        name = f"v{len(self._done)}"
        self.lines.append(f"{name} = {line}")
        self._done[node] = name
        return name

    def _call(self, node: Call) -> str:
        arguments = [self.write(each) for each in node.arguments]
        kinds = [each.dtype for each in node.arguments]
        name = node.function
        if name in _OWN:
            return _OWN[name].format(*arguments)
        if name == "case":
            return self._case(arguments)
        if name in ("least", "greatest", "coalesce"):
            return f"{name}({', '.join(arguments)})"
        if name in CALENDAR:
            made = f"{name}({', '.join(arguments)})"
        elif name in _INLINE and not (node.dtype == "interval" and "double" in kinds):
            made = _INLINE[name].format(*arguments)
            if name in _CHECKED and node.dtype == "double":
                made = f"finite({made})"
            elif name in _CHECKED:
                made = f"whole({made})"
        else:
            made = f"{_FUNCTIONS.get(name, name)}({', '.join(arguments)})"
            if name == "*":
                made = f"length_of({', '.join(arguments)})"
            if name in ("floor", "ceil", "round") and kinds[0] == "bigint":
                made = arguments[0]
            if name == "%":
                made = f"remainder({', '.join(arguments)})"
        guards = [each for each in dict.fromkeys(arguments) if each == "None" or each.startswith("v")]
        return f"None if {' or '.join(f'{each} is None' for each in guards)} else {made}" if guards else made

    def _case(self, arguments: list[str]) -> str:
        *pairs, default = arguments
        words = [f"{pairs[at + 1]} if {pairs[at]} is True else " for at in range(0, len(pairs), 2)]
        return f"({''.join(words)}{default})"


_FUNCTIONS = {
    "/": "quotient",
    "//": "whole_quotient",
    "round": "half_away",
    **{
        f"{how} {kind}": f"{how}_{kind}"
        for how in ("cast", "try_cast")
        for kind in ("bigint", "double", "varchar", "boolean")
    },
}
