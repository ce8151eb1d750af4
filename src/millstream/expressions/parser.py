"""Read and type expressions. The only file of the row language that imports SQLGlot."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from millstream.errors import ExpressionError, near
from millstream.expressions import advice
from millstream.expressions.constants import WrongConstantError, settle
from millstream.expressions.forms import FORMS, HINTS
from millstream.expressions.kernel import BIGINT, date_of_varchar, timestamptz_of_varchar
from millstream.expressions.lengths import UnequalLengthError, interval_micros
from millstream.expressions.node import Call, Case, Column, Expression, Literal, Node, columns
from millstream.expressions.table import BY_NAME, FUNCTIONS, resolve
from millstream.types import DType, Schema

# fmt: off
BINARY: dict[type[exp.Expression], str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.IntDiv: "//", exp.Mod: "%", exp.DPipe: "||",
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.And: "and", exp.Or: "or", exp.NullSafeEQ: "is not distinct from", exp.Pow: "power",
    exp.Contains: "contains", exp.StartsWith: "starts_with", exp.EndsWith: "ends_with",
    exp.Left: "left", exp.Right: "right", exp.Atan2: "atan2",
}
UNARY: dict[type[exp.Expression], str] = {
    exp.Not: "not", exp.Neg: "negate", exp.Abs: "abs", exp.Sign: "sign", exp.Floor: "floor", exp.Ceil: "ceil",
    exp.Sqrt: "sqrt", exp.Ln: "ln", exp.Exp: "exp", exp.Lower: "lower", exp.Upper: "upper", exp.Length: "length",
    exp.Hour: "hour", exp.Minute: "minute", exp.Second: "second", exp.Year: "year", exp.Quarter: "quarter",
    exp.Month: "month", exp.Week: "week", exp.WeekOfYear: "week", exp.Day: "day", exp.DayOfMonth: "day",
    exp.Sin: "sin", exp.Cos: "cos", exp.Tan: "tan", exp.Asin: "asin", exp.Acos: "acos", exp.Atan: "atan",
    exp.Radians: "radians", exp.Degrees: "degrees",
    exp.DayOfYear: "dayofyear", exp.DayOfWeek: "dayofweek", exp.DayOfWeekIso: "isodow", exp.TimeToUnix: "epoch",
}
TYPES: dict[str, DType] = {
    "BOOLEAN": "boolean", "BIGINT": "bigint", "DOUBLE": "double",
    "VARCHAR": "varchar", "TEXT": "varchar", "TIMESTAMPTZ": "timestamptz", "DATE": "date", "TIMESTAMP": "timestamp",
    "INTERVAL": "interval",
}
HARMLESS = {"safe", "typed", "ignore_nulls", "coalesce", "big_int", "binary", "is_string", "quoted", "copy"}
# fmt: on
PARTS = (
    *(each.name for each in FUNCTIONS.values() if each.arguments == ("timestamp",) and each.result == "bigint"),
    "epoch",
)
MOST_CHARACTERS = 20_000


def read(text: str, schema: Schema, *, where: str) -> Expression:
    """Parse and type one expression; see ``expressions.parse``."""
    reader = _Reader(text, schema, where)
    node = reader.read()
    return Expression(text=text, node=node, dtype=node.dtype, columns=columns(node))


def mentioned(text: str) -> tuple[str, ...]:
    """Name the columns and features an expression mentions; see ``expressions.mentioned``."""
    try:
        tree = sqlglot.parse_one(_PREFIX + text, read="duckdb")
    except SqlglotError:
        return ()
    named = (".".join(part.name for part in each.parts) for each in tree.find_all(exp.Column, bfs=False))
    return tuple(dict.fromkeys(named))


class _Reader:
    """Turns SQLGlot's tree into typed nodes; keeps what messages need."""

    def __init__(self, text: str, schema: Schema, where: str) -> None:
        self.text = text
        self.schema = schema
        self.where = where

    def read(self) -> Node:
        if not isinstance(self.text, str) or not self.text.strip():
            self.fail("the expression is empty", None, expected="a SQL expression over the columns of a row")
        if len(self.text) > MOST_CHARACTERS:
            self.fail(f"the expression has {len(self.text)} characters", None, expected=f"at most {MOST_CHARACTERS}")
        try:
            tree = self.parsed()
            node = self.node(tree)
        except RecursionError:
            self.fail("the expression is nested too deeply", None, do="split it over several columns")
        if node is None:
            self.fail("a bare NULL has no type", tree, do="write for instance cast(null as double)")
        return node

    def parsed(self) -> exp.Expression:
        try:
            statements = sqlglot.parse(_PREFIX + self.text, read="duckdb")
        except SqlglotError as wrong:
            self.syntax(wrong)
        select = statements[0]
        if len(statements) != 1 or not isinstance(select, exp.Select):
            self.fail("this is more than one expression", None, expected="one SQL expression")
        more = [name for name, given in select.args.items() if given and name not in ("expressions", "kind")]
        if more or len(select.expressions) != 1 or isinstance(select.expressions[0], exp.Alias):
            self.fail("this is a query, not an expression", None, expected="what could stand alone after SELECT")
        found: exp.Expression = select.expressions[0]
        return found

    # Messages -------------------------------------------------------------------------------------------------

    def fail(
        self, problem: str, at: exp.Expression | tuple[int, int] | None, *, expected: str = "", do: str = ""
    ) -> NoReturn:
        """Raise an ExpressionError that shows the place."""
        place = _place(at) if isinstance(at, exp.Expression) else at
        shown = advice.caret(self.text, place) if isinstance(self.text, str) else ""
        raise ExpressionError(f"{self.where}: {problem}{shown}", expected=expected, do=do)

    def syntax(self, wrong: SqlglotError) -> NoReturn:
        """Show where SQLGlot stopped."""
        errors = getattr(wrong, "errors", None) or [{}]
        told, line, col = errors[0].get("description"), errors[0].get("line"), errors[0].get("col")
        place = (len(self.text), len(self.text) + 1)
        if line and col:
            before = (_PREFIX + self.text).split("\n")[: line - 1]
            end = sum(len(each) + 1 for each in before) + col - len(_PREFIX)
            place = (max(end - len(errors[0].get("highlight") or " "), 0), max(end, 1))
        if not told or "Required keyword" in told:
            told = "something is missing or left over here"
        self.fail(
            f"this is not a SQL expression: {told.rstrip('.')}", place, expected="a SQL expression in DuckDB's dialect"
        )

    def source(self, tree: exp.Expression) -> str:
        """Return the text of a part, as it was written where that is known."""
        place = _place(tree)
        return self.text[place[0] : place[1]] if place else tree.sql("duckdb")

    def refuse_types(self, name: str, args: Sequence[Node | None], tree: exp.Expression) -> NoReturn:
        """Say which types a function takes, and what was probably meant."""
        types = [each.dtype if each is not None else None for each in args]
        if isinstance(tree, exp.Anonymous):
            inner = tree.expressions[0] if types[0] == "timestamptz" else tree.expressions[-1]
        else:
            inner = tree.args.get("expression") or tree.this
        source = self.source(inner) if isinstance(inner, exp.Expression) else "x"
        given = ", ".join(each or "NULL" for each in types)
        problem = f"{name} does not take ({given})"
        self.fail(problem, tree, expected=advice.expected(name, types), do=advice.instead(name, types, source))

    # Nodes ----------------------------------------------------------------------------------------------------

    def node(self, tree: exp.Expression) -> Node | None:
        """Type one part of the tree; None is a bare NULL."""
        reader = _READERS.get(type(tree))
        if reader is not None:
            return reader(self, tree)
        if type(tree) in BINARY:
            self.only(tree, "this", "expression")
            return self.call(BINARY[type(tree)], [tree.this, tree.expression], tree)
        if type(tree) in UNARY:
            self.only(tree, "this")
            return self.call(UNARY[type(tree)], [tree.this], tree)
        self.unknown(tree)

    def unknown(self, tree: exp.Expression) -> NoReturn:
        """Refuse what is not in the language."""
        name = _written(tree, self.text)
        hint = HINTS.get(name, "")
        if not isinstance(tree, exp.Func):
            problem = f"{type(tree).__name__.upper()} is not part of the row language"
            self.fail(problem, tree, expected="" if hint else _LISTED, do=hint)
        known = sorted(
            {
                *(each for each in BY_NAME if each.isidentifier() and each not in _OPERATORS),
                *(each for each in FORMS if " " not in each),
            }
        )
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
        expected = "" if hint else near(name, known) if close else _LISTED
        self.fail(f"there is no function {name!r}", tree, expected=expected, do=hint)

    def only(self, tree: exp.Expression, *names: str) -> None:
        """Refuse options of a function that the language does not have."""
        for name, given in tree.args.items():
            if name not in names and name not in HARMLESS and given:
                hint = HINTS["subquery"] if name == "query" else HINTS.get(_written(tree, self.text), "")
                self.fail(f"{_written(tree, self.text)} does not take {name.rstrip('_')!r}", tree, do=hint)

    def call(self, name: str, trees: Sequence[exp.Expression | None], tree: exp.Expression) -> Node:
        """Type a call of a function."""
        if any(each is None for each in trees):
            self.fail(f"{name} needs more arguments", tree, expected=advice.signatures(name))
        return self.apply(name, [self.node(each) for each in trees if each is not None], tree)

    def apply(self, name: str, args: Sequence[Node | None], tree: exp.Expression) -> Node:
        """Apply a function to typed arguments."""
        types = [each.dtype if each is not None else None for each in args]
        if not any(each.takes(len(args)) for each in BY_NAME[name]):
            self.fail(f"{name} does not take {len(args)} arguments", tree, expected=advice.signatures(name))
        function = resolve(name, types)
        if function is None:
            self.refuse_types(name, args, tree)
        typed = tuple(self.coerced(each, function.argument(place)) for place, each in enumerate(args))
        for place, each in enumerate(typed):
            if function.is_constant(place) and (not isinstance(each, Literal) or each.value is None):
                self.fail(f"argument {place + 1} of {name} must be a literal", tree)
        try:
            settled = settle(name, typed)
        except WrongConstantError as wrong:
            self.fail(str(wrong), tree, expected=wrong.expected, do=wrong.do)
        return Call(function.signature, settled, function.result)

    def coerced(self, node: Node | None, dtype: DType) -> Node:
        """Give a NULL its type, make a double of a bigint where one is wanted."""
        if node is None:
            return Literal(None, dtype)
        if node.dtype == dtype:
            return node
        if isinstance(node, Literal):
            return Literal(float(node.value), dtype)  # type: ignore[arg-type]
        return Call("cast as double(bigint)", (node,), "double")

    def condition(self, tree: exp.Expression) -> Node:
        """Type what must be a boolean."""
        found = self.node(tree)
        if found is not None and found.dtype != "boolean":
            self.fail(
                f"a condition is a boolean, this is a {found.dtype}", tree, do="write a comparison, for instance x > 0"
            )
        return self.coerced(found, "boolean")

    def case(
        self, conditions: Sequence[Node], results: Sequence[Node | None], trees: Iterable[exp.Expression | None]
    ) -> Node | None:
        """Build a case whose results have one type; the last result is the otherwise."""
        dtype: DType | None = None
        for result, tree in zip(results, trees, strict=True):
            if result is None or dtype == result.dtype:
                continue
            if dtype is None:
                dtype = result.dtype
            elif {dtype, result.dtype} == {"bigint", "double"}:
                dtype = "double"
            else:
                self.fail(f"the results have different types: {dtype} and {result.dtype}", tree, do="cast one of them")
        if dtype is None:
            return None
        typed = [self.coerced(each, dtype) for each in results]
        return Case(tuple(conditions), tuple(typed[:-1]), typed[-1], dtype)


_PREFIX = "select "
_OPERATORS = ("and", "or", "not", "in", "like", "negate")
_LISTED = "one of the functions that docs/expressions.md lists"


def _place(tree: exp.Expression | None) -> tuple[int, int] | None:
    """Return where a part stands in the text: from its first to its last known token."""
    if tree is None:
        return None
    marks = [each.meta for each in tree.walk() if "start" in each.meta]
    if not marks:
        return None
    start = min(each["start"] for each in marks) - len(_PREFIX)
    return max(start, 0), max(each["end"] for each in marks) - len(_PREFIX) + 1


def _written(tree: exp.Expression, text: str) -> str:
    """Return the name of a function as it was written, else as SQLGlot calls it."""
    if isinstance(tree, exp.Anonymous):
        return str(tree.this).lower()
    if "start" in tree.meta:
        name = text[tree.meta["start"] - len(_PREFIX) : tree.meta["end"] - len(_PREFIX) + 1].lower()
        if name.isidentifier():
            return name
    return tree.sql_name().lower() if isinstance(tree, exp.Func) else type(tree).__name__.lower()


def _column(reader: _Reader, tree: exp.Column) -> Node:
    name = ".".join(part.name for part in tree.parts)
    if tree.args.get("table") and name not in reader.schema:
        features = [each for each in reader.schema if "." in each]
        if features:
            views = {each.partition(".")[0] for each in features}
            lost = "" if name.partition(".")[0] in views else "name the view it is of: f.Request(view, ...)"
            reader.fail(f"there is no feature {name!r}", tree, expected=near(name, features), do=lost)
        reader.fail("a column is named without its table", tree, do=f"write {tree.name}")
    dtype = reader.schema.get(name)
    if dtype is None:
        alike = [each for each in reader.schema if each.lower() == name.lower()]
        reader.fail(f"there is no column {name!r}", tree, expected=near(alike[0] if alike else name, reader.schema))
    return Column(name, dtype)


def _literal(reader: _Reader, tree: exp.Literal) -> Node:
    if tree.is_string:
        return Literal(tree.this, "varchar")
    return _number(reader, tree, str(tree.this))


def _number(reader: _Reader, tree: exp.Expression, text: str) -> Node:
    try:
        number: int | float = int(text)
    except ValueError:
        number = float(text)
        if not math.isfinite(number):
            reader.fail(f"{text} is beyond the doubles", tree)
        return Literal(number, "double")
    if not BIGINT[0] <= number <= BIGINT[1]:
        reader.fail(f"{text} is beyond 64 bits", tree, do=f"write {text}.0 for a double")
    return Literal(number, "bigint")


def _negate(reader: _Reader, tree: exp.Neg) -> Node:
    if isinstance(tree.this, exp.Literal) and not tree.this.is_string:
        return _number(reader, tree, f"-{tree.this.this}")
    return reader.call("negate", [tree.this], tree)


def _is(reader: _Reader, tree: exp.Is) -> Node:
    if isinstance(tree.expression, exp.Null):
        return reader.call("is null", [tree.this], tree)
    if isinstance(tree.expression, exp.Boolean):
        truth = Literal(bool(tree.expression.this), "boolean")
        return reader.apply("is not distinct from", [reader.condition(tree.this), truth], tree)
    reader.fail("after IS stands NULL, TRUE, FALSE or DISTINCT FROM", tree)


def _between(reader: _Reader, tree: exp.Between) -> Node:
    reader.only(tree, "this", "low", "high")
    value = reader.node(tree.this)
    low = reader.apply(">=", [value, reader.node(tree.args["low"])], tree)
    return reader.apply("and", [low, reader.apply("<=", [value, reader.node(tree.args["high"])], tree)], tree)


def _in(reader: _Reader, tree: exp.In) -> Node:
    reader.only(tree, "this", "expressions")
    if not tree.expressions:
        reader.fail("IN needs values", tree, expected="for instance x in ('a', 'b')")
    value = reader.node(tree.this)
    plain: list[Literal] = []
    others: list[Node | None] = []
    for each in tree.expressions:
        found = reader.node(each)
        if isinstance(found, Literal) and found.dtype in ("bigint", "double", "varchar"):
            plain.append(found)
        else:
            others.append(found)
    made: Node | None = None
    if plain and (resolve("in", [value.dtype if value is not None else None, *(each.dtype for each in plain)]) is None):
        reader.refuse_types(
            "=", [value, next((each for each in plain if value and each.dtype != value.dtype), plain[0])], tree
        )
    if plain:
        made = reader.apply("in", [value, *plain], tree)
    for each in others:
        equal = reader.apply("=", [value, each], tree)
        made = equal if made is None else reader.apply("or", [made, equal], tree)
    assert made is not None
    return made


def _case(reader: _Reader, tree: exp.Case) -> Node | None:
    operand = tree.args.get("this")
    ifs = tree.args["ifs"]
    if operand is None:
        conditions = [reader.condition(each.this) for each in ifs]
    else:
        value = reader.node(operand)
        conditions = [reader.apply("=", [value, reader.node(each.this)], each.this) for each in ifs]
    trees = [*(each.args["true"] for each in ifs), tree.args.get("default")]
    return reader.case(conditions, [reader.node(each) if each is not None else None for each in trees], trees)


def _if(reader: _Reader, tree: exp.If) -> Node | None:
    trees = [tree.args["true"], tree.args.get("false")]
    return reader.case(
        [reader.condition(tree.this)], [reader.node(each) if each is not None else None for each in trees], trees
    )


def _coalesce(reader: _Reader, tree: exp.Coalesce) -> Node | None:
    trees = [tree.this, *tree.expressions]
    values = [reader.node(each) for each in trees]
    present = [reader.apply("not", [reader.apply("is null", [each], tree)], tree) for each in values[:-1]]
    return reader.case(present, values, trees) if present else values[0]


def _nullif(reader: _Reader, tree: exp.Nullif) -> Node | None:
    value = reader.node(tree.this)
    equal = reader.apply("=", [value, reader.node(tree.expression)], tree)
    return reader.case([equal], [None, value], [None, tree.this])


def _cast(reader: _Reader, tree: exp.Cast) -> Node:
    wanted = tree.args["to"]
    name = wanted.this.name if hasattr(wanted.this, "name") else str(wanted.this)
    to = TYPES.get(name)
    if to is None or to == "interval" or wanted.expressions:
        known = "bigint, double, boolean, varchar, date or timestamptz"
        reader.fail(f"there is no cast to {wanted.sql('duckdb')}", tree, expected=known)
    value = reader.node(tree.this)
    if value is None or value.dtype == to:
        return reader.coerced(value, to)
    tried = isinstance(tree, exp.TryCast)
    if isinstance(value, Literal) and value.dtype == "varchar" and to in ("date", "timestamptz"):
        read_it = date_of_varchar if to == "date" else timestamptz_of_varchar
        found = read_it(str(value.value))
        if found is None and not tried:
            example = "2013-02-01" if to == "date" else "2013-02-01T10:00:00Z, with its offset"
            reader.fail(f"{value.value!r} is not a {to}", tree, expected=f"for instance {example}")
        return Literal(found, to)
    if to == "timestamp":
        reader.fail("there is no cast to timestamp: every instant has a zone", tree, do="use timestamptz")
    function = resolve(f"try_cast as {to}" if tried else f"cast as {to}", [value.dtype])
    function = function or resolve(f"cast as {to}", [value.dtype])
    if function is None or function.arguments[0] != value.dtype:
        advice = ""
        if value.dtype == "timestamptz" and to == "date":
            advice = f"say in which zone: cast({reader.source(tree.this)} at time zone 'America/New_York' as date)"
        elif value.dtype == "double" and to == "varchar":
            advice = "engines write doubles differently; cast to bigint first"
        elif value.dtype == "interval":
            advice = "take its seconds: epoch(x)"
        reader.fail(f"a {value.dtype} cannot be cast to {to}", tree, do=advice)
    return Call(function.signature, (value,), to)


def _interval(reader: _Reader, tree: exp.Interval) -> Node:
    amount, unit = tree.args.get("this"), tree.args.get("unit")
    if not isinstance(amount, exp.Literal | exp.Neg) or (unit is not None and not isinstance(unit, exp.Var)):
        reader.fail("an interval has a literal length", tree, do="multiply instead: x * interval '1 minute'")
    text = f"{'-' if isinstance(amount, exp.Neg) else ''}{amount.name} {unit.name if unit is not None else ''}".strip()
    try:
        return Literal(interval_micros(text), "interval")
    except UnequalLengthError as wrong:
        reader.fail(
            f"a {wrong} is not a fixed length of time",
            tree,
            expected="weeks, days (24 hours), hours, minutes, seconds",
            do="write days, for instance interval '30 days'",
        )
    except ValueError:
        reader.fail(f"{text!r} is not a length of time", tree, expected="for instance '90 minutes' or '1 day 12 hours'")


def _extract(reader: _Reader, tree: exp.Extract) -> Node:
    return _part(reader, tree, tree.name.lower(), tree.expression)


def _part(reader: _Reader, tree: exp.Expression, name: str, of: exp.Expression) -> Node:
    name = {"dow": "dayofweek", "doy": "dayofyear"}.get(name, name)
    if name not in PARTS:
        reader.fail(f"there is no calendar part {name!r}", tree, expected=near(name, PARTS))
    return reader.call(name, [of], tree)


def _like(reader: _Reader, tree: exp.Like) -> Node:
    reader.only(tree, "this", "expression", "negate")
    found = reader.call("like", [tree.this, tree.expression], tree)
    return reader.apply("not", [found], tree) if tree.args.get("negate") else found


def _zone(reader: _Reader, tree: exp.AtTimeZone) -> Node:
    return reader.call("at time zone", [tree.this, tree.args.get("zone")], tree)


def _round(reader: _Reader, tree: exp.Round) -> Node:
    reader.only(tree, "this", "decimals")
    digits = tree.args.get("decimals")
    return reader.call("round", [tree.this, digits] if digits is not None else [tree.this], tree)


def _log(reader: _Reader, tree: exp.Log) -> Node:
    if _written(tree, reader.text) != "log10" or tree.args.get("expression") is None:
        reader.unknown(tree)
    return reader.call("log10", [tree.expression], tree)


def _trim(reader: _Reader, tree: exp.Trim) -> Node:
    reader.only(tree, "this", "position")
    side = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(tree.args.get("position") or "").upper(), "trim")
    return reader.call(side, [tree.this], tree)


def _substring(reader: _Reader, tree: exp.Substring) -> Node:
    reader.only(tree, "this", "start", "length")
    length = tree.args.get("length")
    return reader.call(
        "substring", [tree.this, tree.args.get("start"), *([length] if length is not None else [])], tree
    )


def _anonymous(reader: _Reader, tree: exp.Anonymous) -> Node:
    name = str(tree.this).lower()
    if (
        name in ("date_part", "datepart")
        and len(tree.expressions) == 2
        and isinstance(tree.expressions[0], exp.Literal)
    ):
        return _part(reader, tree, tree.expressions[0].name.lower(), tree.expressions[1])
    if name in BY_NAME:
        return reader.call(name, tree.expressions, tree)
    reader.unknown(tree)


_READERS: dict[type[exp.Expression], Callable[[_Reader, Any], Node | None]] = {
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Null: lambda reader, tree: None,
    exp.Boolean: lambda reader, tree: Literal(bool(tree.this), "boolean"),
    exp.Paren: lambda reader, tree: reader.node(tree.this),
    exp.Neg: _negate,
    exp.Is: _is,
    exp.NullSafeNEQ: lambda reader, tree: reader.apply(
        "not", [reader.call("is not distinct from", [tree.this, tree.expression], tree)], tree
    ),
    exp.Between: _between,
    exp.In: _in,
    exp.Case: _case,
    exp.If: _if,
    exp.Coalesce: _coalesce,
    exp.Nullif: _nullif,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Interval: _interval,
    exp.Extract: _extract,
    exp.AtTimeZone: _zone,
    exp.Like: _like,
    exp.Round: _round,
    exp.Log: _log,
    exp.Trim: _trim,
    exp.Substring: _substring,
    exp.Anonymous: _anonymous,
    exp.Replace: lambda reader, tree: reader.call(
        "replace", [tree.this, tree.args.get("expression"), tree.args.get("replacement")], tree
    ),
    exp.SplitPart: lambda reader, tree: reader.call(
        "split_part", [tree.this, tree.args.get("delimiter"), tree.args.get("part_index")], tree
    ),
    exp.Pi: lambda reader, tree: Literal(math.pi, "double"),
    exp.Least: lambda reader, tree: reader.call("least", [tree.this, *tree.expressions], tree),
    exp.Greatest: lambda reader, tree: reader.call("greatest", [tree.this, *tree.expressions], tree),
    exp.Concat: lambda reader, tree: reader.call("concat", tree.expressions, tree),
}
