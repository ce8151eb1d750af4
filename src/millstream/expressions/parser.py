"""From text to a typed tree; the only file that knows SQLGlot."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, available_timezones

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from millstream.errors import ExpressionError, near
from millstream.expressions.functions import CALENDAR, FUNCTIONS, fits
from millstream.expressions.node import Call, Column, Expression, Literal, Node, walk
from millstream.types import DType, Schema, to_micros

_UNITS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
    "WEEK": 604_800_000_000,
}
_TYPES: dict[str, DType] = {
    "BIGINT": "bigint",
    "INT": "bigint",
    "SMALLINT": "bigint",
    "TINYINT": "bigint",
    "DOUBLE": "double",
    "FLOAT": "double",
    "VARCHAR": "varchar",
    "TEXT": "varchar",
    "BOOLEAN": "boolean",
    "TIMESTAMPTZ": "timestamptz",
    "DATE": "date",
}
_BINARY: dict[type[exp.Expression], str] = {
    exp.And: "and",
    exp.Or: "or",
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
    exp.Pow: "power",
    exp.DPipe: "||",
    exp.Nullif: "nullif",
    exp.StartsWith: "starts_with",
    exp.EndsWith: "ends_with",
    exp.Contains: "contains",
}
_UNARY: dict[type[exp.Expression], str] = {
    exp.Not: "not",
    exp.Neg: "negate",
    exp.Abs: "abs",
    exp.Sign: "sign",
    exp.Floor: "floor",
    exp.Ceil: "ceil",
    exp.Sqrt: "sqrt",
    exp.Ln: "ln",
    exp.Exp: "exp",
    exp.Lower: "lower",
    exp.Upper: "upper",
    exp.Length: "length",
    exp.TimeToUnix: "epoch",
}
_PARTS: dict[type[exp.Expression], str] = {
    exp.Year: "year",
    exp.Quarter: "quarter",
    exp.Month: "month",
    exp.Week: "week",
    exp.Day: "day",
    exp.DayOfYear: "dayofyear",
    exp.DayOfWeek: "dayofweek",
    exp.DayOfWeekIso: "isodow",
    exp.Hour: "hour",
    exp.Minute: "minute",
}
_VARIADIC: dict[type[exp.Expression], str] = {exp.Least: "least", exp.Greatest: "greatest", exp.Coalesce: "coalesce"}


class Parser:
    """Parses one text against one schema.

    Parameters
    ----------
    text, schema, where
        As for ``millstream.expressions.parse``.
    """

    def __init__(self, text: str, schema: Schema, *, where: str) -> None:
        self._text = text
        self._schema = schema
        self._where = where

    def parse(self) -> Expression:
        """Parse, type and check the whole text."""
        try:
            found = sqlglot.parse(self._text, read="duckdb")
        except (SqlglotError, RecursionError) as wrong:
            details = getattr(wrong, "errors", None) or [{}]
            column = details[0].get("col")
            self._refuse(
                details[0].get("description") or "it is nested too deeply", at=(column - 1) if column else None
            )
        if len(found) != 1 or found[0] is None:
            self._refuse("it is not one expression")
        node = self._node(found[0])
        if node is None:
            self._refuse("it is NULL and nothing else, which has no type")
        columns = tuple(dict.fromkeys(each.name for each in walk(node) if isinstance(each, Column)))
        return Expression(text=self._text, node=node, dtype=node.dtype, columns=columns)

    def _node(self, tree: Any) -> Node | None:
        """Type one node; None is a bare NULL, whose type its neighbours give."""
        kind = type(tree)
        if kind is exp.Paren:
            return self._node(tree.this)
        if kind is exp.Column:
            return self._column(tree)
        if kind is exp.Null:
            return None
        if kind in (exp.Literal, exp.Boolean, exp.Interval):
            return self._literal(tree)
        if kind in _BINARY:
            return self._call(_BINARY[kind], tree, tree.this, tree.expression)
        if kind in _UNARY:
            return self._unary(_UNARY[kind], tree)
        if kind in _PARTS:
            return self._part(_PARTS[kind], tree)
        if kind in _VARIADIC:
            return self._call(_VARIADIC[kind], tree, tree.this, *tree.expressions)
        if kind in (exp.Cast, exp.TryCast):
            return self._cast(tree, "try_cast" if kind is exp.TryCast else "cast")
        return self._rest(tree)

    def _rest(self, tree: Any) -> Node | None:
        kind = type(tree)
        if kind is exp.Is:
            return self._is(tree)
        if kind is exp.Between:
            low = self._call(">=", tree, tree.this, tree.args["low"])
            return self._typed("and", tree, [low, self._call("<=", tree, tree.this, tree.args["high"])])
        if kind is exp.In and tree.expressions:
            found: Node | None = None
            for each in tree.expressions:
                one = self._call("=", tree, tree.this, each)
                found = one if found is None else self._typed("or", tree, [found, one])
            return found
        if kind in (exp.Case, exp.If):
            return self._case(tree)
        if kind is exp.Round and tree.args.get("decimals") is None:
            return self._call("round", tree, tree.this)
        if kind is exp.Log and tree.expression is not None and tree.this.name == "10":
            return self._call("log10", tree, tree.expression)
        if kind is exp.Trim and tree.expression is None:
            return self._call("trim", tree, tree.this)
        if kind is exp.AtTimeZone:
            self._refuse(
                "a time in a zone is only for calendar parts", tree, expected="hour(t at time zone 'Zone') and its like"
            )
        name = (
            tree.name
            if kind is exp.Anonymous
            else tree.sql_name().lower()
            if hasattr(tree, "sql_name")
            else kind.__name__
        )
        self._refuse(f"there is no {name!r} in the row language", tree, do=near(name.lower(), FUNCTIONS))

    def _column(self, tree: Any) -> Node:
        name = tree.name
        if tree.table:
            self._refuse(f"{tree.table}.{name} names a table; an expression reads one row", tree, expected=name)
        if name not in self._schema:
            self._refuse(f"there is no column {name!r}", tree, do=near(name, self._schema))
        dtype = self._schema[name]
        if dtype == "timestamp":
            self._refuse(f"column {name!r} has times without a zone", tree, expected="Table(..., timezone='Area/City')")
        return Column(name, dtype)

    def _literal(self, tree: Any) -> Node:
        if isinstance(tree, exp.Boolean):
            return Literal(bool(tree.this), "boolean")
        if isinstance(tree, exp.Interval):
            return self._interval(tree)
        if tree.is_string:
            return Literal(str(tree.this), "varchar")
        text = str(tree.this)
        if re.fullmatch(r"\d+", text):
            value = int(text)
            if value > 2**63 - 1:
                self._refuse(f"{text} does not fit a bigint", tree)
            return Literal(value, "bigint")
        return Literal(float(text), "double")

    def _interval(self, tree: Any) -> Node:
        unit = (tree.unit.name if tree.unit is not None else "").upper().removesuffix("S")
        number = tree.this.name if isinstance(tree.this, exp.Literal) else ""
        if unit in ("MONTH", "YEAR", "QUARTER"):
            self._refuse("a month has no fixed length", tree, expected="days or weeks, for instance interval '30 days'")
        if unit not in _UNITS or not re.fullmatch(r"-?\d+(\.\d+)?", number):
            self._refuse(
                "this interval is not understood", tree, expected="a number and a unit, for instance interval '2 hours'"
            )
        return Literal(round(float(number) * _UNITS[unit]), "interval")

    def _unary(self, name: str, tree: Any) -> Node | None:
        inner = self._node(tree.this)
        if name == "negate" and isinstance(inner, Literal) and isinstance(inner.value, int | float):
            return Literal(-inner.value, inner.dtype)
        return self._typed(name, tree, [inner])

    def _part(self, name: str, tree: Any) -> Node:
        inner = tree.this
        while isinstance(inner, exp.Paren | exp.TsOrDsToDate):
            inner = inner.this
        if not isinstance(inner, exp.AtTimeZone):
            self._refuse(
                f"{name} of an instant depends on where one stands",
                tree,
                expected=f"{name}({inner.sql('duckdb')} at time zone 'Area/City')",
            )
        zone = inner.args["zone"].name
        if zone not in available_timezones():
            self._refuse(f"there is no time zone {zone!r}", inner, do=near(zone, available_timezones()))
        instant = self._node(inner.this)
        typed = self._typed(name, tree, [instant])
        assert isinstance(typed, Call)
        return Call(name, (*typed.arguments, Literal(zone, "varchar")), typed.dtype)

    def _cast(self, tree: Any, how: str) -> Node:
        kind = tree.to.this.name
        if kind not in _TYPES:
            self._refuse(
                f"there is no type {tree.to.sql('duckdb')}", tree, expected=", ".join(sorted(set(_TYPES.values())))
            )
        wanted = _TYPES[kind]
        inner = self._node(tree.this)
        if wanted in ("timestamptz", "date"):
            if not (isinstance(inner, Literal) and isinstance(inner.value, str)):
                self._refuse(f"only a written {wanted} can be cast to one", tree, expected=f"{wanted} '2013-02-01 ...'")
            return self._instant(str(inner.value), wanted, tree)
        if inner is None:
            return Literal(None, wanted)
        return inner if inner.dtype == wanted else self._typed(f"{how} {wanted}", tree, [inner])

    def _instant(self, text: str, wanted: DType, tree: Any) -> Node:
        try:
            if wanted == "date":
                return Literal((date.fromisoformat(text) - date(1970, 1, 1)).days, "date")
            value = datetime.fromisoformat(text)
        except ValueError:
            self._refuse(f"{text!r} is not a {wanted}", tree, expected="ISO 8601, for instance 2013-02-01 10:00:00+00")
        return Literal(to_micros(value if value.tzinfo else value.replace(tzinfo=UTC)), "timestamptz")

    def _is(self, tree: Any) -> Node:
        inner = self._node(tree.this)
        if isinstance(tree.expression, exp.Null):
            return Literal(True, "boolean") if inner is None else self._typed("is null", tree, [inner])
        if isinstance(tree.expression, exp.Boolean):
            same = self._typed("=", tree, [inner, Literal(bool(tree.expression.this), "boolean")])
            return self._typed("coalesce", tree, [same, Literal(False, "boolean")])
        self._refuse("'is' compares with null, true or false", tree)

    def _case(self, tree: Any) -> Node:
        branches = tree.args["ifs"] if isinstance(tree, exp.Case) else [tree]
        default = tree.args.get("default") if isinstance(tree, exp.Case) else tree.args.get("false")
        conditions = []
        for each in branches:
            condition = each.this
            if isinstance(tree, exp.Case) and tree.this is not None:
                condition = exp.EQ(this=tree.this.copy(), expression=condition.copy())
            conditions.append(self._as(self._node(condition), "boolean", each))
        values = [self._node(each.args["true"]) for each in branches]
        values.append(self._node(default) if default is not None else None)
        if all(each is None for each in values):
            self._refuse("every branch is NULL, which has no type", tree)
        typed = self._typed("coalesce", tree, values)
        assert isinstance(typed, Call)
        arguments: list[Node] = []
        for condition, value in zip(conditions, typed.arguments, strict=False):
            arguments += [condition, value]
        return Call("case", (*arguments, typed.arguments[-1]), typed.dtype)

    def _as(self, node: Node | None, wanted: DType, tree: Any) -> Node:
        if node is None:
            return Literal(None, wanted)
        if node.dtype != wanted:
            self._refuse(f"this is a {node.dtype}", tree, expected=f"a {wanted}")
        return node

    def _call(self, name: str, tree: Any, *arguments: Any) -> Node | None:
        return self._typed(name, tree, [self._node(each) for each in arguments])

    def _typed(self, name: str, tree: Any, arguments: list[Node | None]) -> Node:
        given = [None if each is None else each.dtype for each in arguments]
        if given and all(each is None for each in given) and name not in ("is null",):
            self._refuse(f"{name} of nothing but NULL has no type", tree)
        found = fits(FUNCTIONS[name], given)
        if found is None:
            shown = ", ".join(each or "NULL" for each in given)
            takes = "; ".join(", ".join(wanted) for wanted, _ in FUNCTIONS[name].signatures)
            self._refuse(f"{name} does not take {shown}", tree, expected=f"{name} of {takes}")
        wanted, result = found
        settled = tuple(_settle(node, kind) for node, kind in zip(arguments, wanted, strict=True))
        return Call(name, settled, result)

    def _refuse(
        self, happened: str, tree: Any = None, *, at: int | None = None, expected: str = "", do: str = ""
    ) -> NoReturn:
        place = _position(self._text, tree) if at is None else at
        caret = "" if place is None else f"\n    {' ' * place}^"
        line = self._text.replace("\n", " ")
        raise ExpressionError(f"{self._where}: {happened}\n    {line}{caret}", expected=expected, do=do)


def _settle(node: Node | None, wanted: DType) -> Node:
    """Give a bare NULL its type, and widen a bigint where a double is wanted."""
    if node is None:
        return Literal(None, wanted)
    if node.dtype == "bigint" and wanted == "double":
        if isinstance(node, Literal):
            return Literal(None if node.value is None else float(node.value), "double")
        return Call("cast double", (node,), "double")
    return node


def _position(text: str, tree: Any) -> int | None:
    """Find where a node stands in the text: by the leftmost name or literal in it that SQLGlot placed."""
    if tree is None:
        return None
    starts = [each.meta["start"] for each in tree.walk() if "start" in getattr(each, "meta", {})]
    if starts:
        return int(min(starts))
    found = re.search(re.escape(tree.name), text) if getattr(tree, "name", "") else None
    return found.start() if found else None


def zone(name: str) -> ZoneInfo:
    """Return a time zone that ``parse`` accepted."""
    return ZoneInfo(name)


__all__ = ["CALENDAR", "Parser", "zone"]
