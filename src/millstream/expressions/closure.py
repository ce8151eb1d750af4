"""Compile expressions to one generated Python function for one row. Standard library and msgspec records only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from millstream.expressions import kernel
from millstream.expressions.almanac import almanac
from millstream.expressions.function import Function
from millstream.expressions.node import Call, Case, Column, Expression, Literal, Node
from millstream.expressions.node import columns as columns_of
from millstream.expressions.table import FUNCTIONS

_MATH = ("floor", "ceil", "sqrt", "log", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "radians",
         "degrees")  # fmt: skip
_NAMES: dict[str, Any] = {
    "almanac": almanac,
    **{name: getattr(kernel, name) for name in dir(kernel) if not name.startswith("_")},
    **{name: getattr(math, name) for name in _MATH},
}


def to_closure(expressions: Mapping[str, Expression]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Compile named expressions to one function of one row.

    The row holds every column the expressions read, as values of ``expressions.door.value``: None is NULL, a
    timestamptz or interval is int microseconds, a date int days since 1970. The answer holds the same kinds of
    values, one for each name. Equal parts of the expressions are computed once.

    Raises
    ------
    BadData
        When the function is called: for an overflow or a failed cast.
    KeyError
        When the function is called: for a row without one of the columns.

    Notes
    -----
    About 0.1 µs for each operation; a calendar part about 0.2 µs once its hour has been seen.
    """
    source, names = generate(expressions)
    exec(compile(source, "<row expressions>", "exec"), names)
    made: Callable[[Mapping[str, Any]], dict[str, Any]] = names["evaluate"]
    return made


def generate(expressions: Mapping[str, Expression]) -> tuple[str, dict[str, Any]]:
    """Write the Python source of the function, and the names it uses."""
    writer = _Writer()
    read = dict.fromkeys(name for each in expressions.values() for name in columns_of(each.node))
    for name in read:
        writer.columns[name] = writer.fresh(f"row[{name!r}]")
    results = {}
    for name, each in expressions.items():
        writer.text = each.text
        results[name] = writer.value(each.node)
    body = writer.lines or ["    pass"]
    answer = ", ".join(f"{name!r}: {variable}" for name, variable in results.items())
    return "\n".join(["def evaluate(row):", *body, f"    return {{{answer}}}"]), writer.names


class _Writer:
    """Writes statements, one variable for each distinct node; branches see what was computed outside of them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = dict(_NAMES)
        self.columns: dict[str, str] = {}
        self.scopes: list[dict[Node, str]] = [{}]
        self.sure: set[str] = set()
        self.depth = 1
        self.count = 0
        self.text = ""

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def fresh(self, source: str) -> str:
        """Assign a new variable."""
        self.count += 1
        name = f"v{self.count}"
        self.line(f"{name} = {source}")
        return name

    def value(self, node: Node) -> str:
        """Write what computes a node, unless it is there already; return its variable."""
        if isinstance(node, Column):
            return self.columns[node.name]
        if isinstance(node, Literal):
            return self.literal(node)
        for scope in self.scopes:
            if node in scope:
                return scope[node]
        made = self.case(node) if isinstance(node, Case) else self.call(node, FUNCTIONS[node.function])
        self.scopes[-1][node] = made
        return made

    def literal(self, node: Literal) -> str:
        value = float(node.value) if node.dtype == "double" and node.value is not None else node.value
        source = repr(value) if not isinstance(value, int | float) or value >= 0 else f"({value!r})"
        if value is not None:
            self.sure.add(source)
        return source

    def named(self, node: Node, place: str) -> str:
        """Give a literal a variable, for sources that ask what it is."""
        return self.fresh(place) if isinstance(node, Literal) else place

    def call(self, node: Call, function: Function) -> str:
        places = ["" if function.is_constant(place) else self.value(child) for place, child in enumerate(node.args)]
        if function.nulls == "any" and "None" in places:
            return self.fresh("None")
        places = self.constants(node, function, places)
        if function.nulls == "own":
            places = [self.named(each, place) for each, place in zip(node.args, places, strict=True)]
        args = [each for place, each in enumerate(places) if not function.is_constant(place)]
        source = function.python.format(*places, all=", ".join(places))
        loose = [] if function.nulls == "own" else [each for each in dict.fromkeys(args) if each not in self.sure]
        if loose:
            absent = " or ".join(f"{each} is None" for each in loose)
            made = self.fresh(f"None if {absent} else {source}")
        else:
            made = self.fresh(source)
        nullable = bool(loose) or function.nullable or (function.nulls == "own" and function.name not in _NEVER_NULL)
        self.check(made, function, nullable=nullable)
        if not nullable and function.check != "finite":
            self.sure.add(made)
        return made

    def constants(self, node: Call, function: Function, places: list[str]) -> list[str]:
        """Write constant arguments: as they are, or the last ones prepared once, outside of the function."""
        values = [each.value for each in node.args if isinstance(each, Literal)]
        if not function.prepare:
            return [
                repr(each.value) if function.is_constant(place) and isinstance(each, Literal) else places[place]
                for place, each in enumerate(node.args)
            ]
        constant = [
            each.value
            for place, each in enumerate(node.args)
            if function.is_constant(place) and isinstance(each, Literal)
        ]
        self.count += 1
        name = f"c{self.count}"
        prepared = tuple(constant) if function.variadic else values[-1]
        self.names[name] = _NAMES[function.prepare](prepared)
        return [places[0], name]

    def check(self, made: str, function: Function, *, nullable: bool) -> None:
        """Write what keeps a result in the range of its type."""
        if not function.check:
            return
        present = f"{made} is not None and " if nullable else ""
        if function.check == "finite":
            self.line(f"if {present}{made} - {made}: {made} = None")
            return
        low, high = kernel.BOUNDS[function.check]
        self.line(f"if {present}not {low} <= {made} <= {high}: out_of_range({function.check!r}, {self.text!r})")

    def case(self, node: Case) -> str:
        self.count += 1
        made = f"v{self.count}"
        start, scopes = self.depth, len(self.scopes)
        for condition, result in zip(node.conditions, node.results, strict=True):
            self.line(f"if {self.value(condition)}:")
            self.branch(made, result)
            self.line("else:")
            self.depth += 1
            self.scopes.append({})
        self.line(f"{made} = {self.value(node.otherwise)}")
        self.depth = start
        del self.scopes[scopes:]
        return made

    def branch(self, made: str, result: Node) -> None:
        self.depth += 1
        self.scopes.append({})
        self.line(f"{made} = {self.value(result)}")
        self.scopes.pop()
        self.depth -= 1


_NEVER_NULL = ("is null", "is not distinct from", "concat")
