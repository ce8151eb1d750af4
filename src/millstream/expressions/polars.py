"""From a tree to a Polars expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import TypeAlias

import polars as pl

from millstream.expressions.functions import CALENDAR
from millstream.expressions.node import Call, Column, Expression, Literal, Node
from millstream.types import DType

_TYPES: dict[DType, pl.DataType] = {
    "boolean": pl.Boolean(),
    "bigint": pl.Int64(),
    "double": pl.Float64(),
    "varchar": pl.String(),
    "timestamptz": pl.Datetime("us", "UTC"),
    "timestamp": pl.Datetime("us"),
    "date": pl.Date(),
    "interval": pl.Duration("us"),
}
_Args: TypeAlias = Sequence[pl.Expr]


def to_polars(expression: Expression) -> pl.Expr:
    """Compile to Polars, over a frame that came through the door.

    Overflow and casts that fail raise ``polars.exceptions.InvalidOperationError`` when the frame is computed.
    """
    return _compile(expression.node)


def dtype_to_polars(dtype: DType) -> pl.DataType:
    """Return the Polars type of a column of the row language."""
    return _TYPES[dtype]


def _compile(node: Node) -> pl.Expr:
    if isinstance(node, Column):
        return pl.col(node.name)
    if isinstance(node, Literal):
        return _literal(node)
    if node.function in CALENDAR:
        zone = node.arguments[1]
        assert isinstance(zone, Literal)
        return _part(node.function, _compile(node.arguments[0]), str(zone.value))
    arguments = [_compile(each) for each in node.arguments]
    kinds = [each.dtype for each in node.arguments]
    made = _COMPILERS[node.function](arguments, kinds, node)
    return _finite(made) if node.dtype == "double" and node.function not in _CHOOSE else made


def _literal(node: Literal) -> pl.Expr:
    kind = _TYPES[node.dtype]
    if node.value is None:
        return pl.lit(None, dtype=kind)
    if node.dtype == "date":
        return pl.lit(date(1970, 1, 1) + timedelta(days=int(node.value)), dtype=kind)
    if node.dtype in ("timestamptz", "interval"):
        return pl.lit(int(node.value), dtype=pl.Int64).cast(kind)
    return pl.lit(node.value, dtype=kind)


def _finite(made: pl.Expr) -> pl.Expr:
    return pl.when(made.is_finite()).then(made)


def _exact(made: pl.Expr) -> pl.Expr:
    """Bring a whole number computed in 128 bits back to 64; what does not fit is an error."""
    return made.cast(pl.Int64, strict=True)


def _wide(made: pl.Expr) -> pl.Expr:
    return made.cast(pl.Int128)


def _micros(made: pl.Expr) -> pl.Expr:
    return made.dt.total_microseconds()


def _arithmetic(operate: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Callable[..., pl.Expr]:
    def compiled(arguments: _Args, kinds: Sequence[DType], node: Call) -> pl.Expr:
        left, right = arguments
        if node.dtype == "bigint":
            return _exact(operate(_wide(left), _wide(right)))
        return operate(left, right)

    return compiled


def _times(arguments: _Args, kinds: Sequence[DType], node: Call) -> pl.Expr:
    left, right = arguments
    if node.dtype != "interval":
        return _exact(_wide(left) * _wide(right)) if node.dtype == "bigint" else left * right
    if kinds[0] == "interval":
        left, right = right, left
        kinds = (kinds[1], kinds[0])
    if kinds[0] == "bigint":
        micros = _exact(_wide(left) * _wide(_micros(right)))
    else:
        micros = _half_away(left * _micros(right).cast(pl.Float64)).cast(pl.Int64, strict=True)
    return micros.cast(_TYPES["interval"])


def _over(left: pl.Expr, right: pl.Expr, made: pl.Expr) -> pl.Expr:
    return pl.when((right != 0) & left.is_not_null()).then(made)


def _whole_quotient(arguments: _Args, kinds: Sequence[DType], node: Call) -> pl.Expr:
    left, right = (_wide(each) for each in arguments)
    safe = pl.when(right != 0).then(right)
    towards_zero = (left.abs() // safe.abs()) * left.sign() * safe.sign()
    return _exact(towards_zero)


def _remainder(arguments: _Args, kinds: Sequence[DType], node: Call) -> pl.Expr:
    left, right = arguments
    if node.dtype == "bigint":
        safe = pl.when(right != 0).then(_wide(right))
        return _exact((_wide(left).abs() % safe.abs()) * _wide(left).sign())
    safe = pl.when(right != 0).then(right).abs()
    rest = left.abs() % safe
    return pl.when(left < 0).then(-rest).otherwise(rest)


def _half_away(made: pl.Expr) -> pl.Expr:
    whole = made.abs().floor()
    up = (made.abs() - whole >= 0.5).cast(pl.Float64)
    return (whole + up) * pl.when(made < 0).then(-1.0).otherwise(1.0)


def _rounding(how: str) -> Callable[..., pl.Expr]:
    def compiled(arguments: _Args, kinds: Sequence[DType], node: Call) -> pl.Expr:
        (made,) = arguments
        if kinds[0] == "bigint":
            return made
        return _half_away(made) if how == "round" else made.floor() if how == "floor" else made.ceil()

    return compiled


def _domain(operate: Callable[[pl.Expr], pl.Expr], allowed: Callable[[pl.Expr], pl.Expr]) -> Callable[..., pl.Expr]:
    def compiled(arguments: _Args, kinds: Sequence[DType], node: Call) -> pl.Expr:
        safe = pl.when(allowed(arguments[0])).then(arguments[0])
        return operate(safe)

    return compiled


def _case(arguments: _Args, kinds: Sequence[DType], node: Call) -> pl.Expr:
    *pairs, default = arguments
    made = default
    for at in range(len(pairs) - 2, -1, -2):
        made = pl.when(pairs[at]).then(pairs[at + 1]).otherwise(made)
    return made


def _negate(arguments: _Args, kinds: Sequence[DType], node: Call) -> pl.Expr:
    return _exact(-_wide(arguments[0])) if node.dtype == "bigint" else -arguments[0]


def _abs(arguments: _Args, kinds: Sequence[DType], node: Call) -> pl.Expr:
    return _exact(_wide(arguments[0]).abs()) if node.dtype == "bigint" else arguments[0].abs()


def _epoch(arguments: _Args, kinds: Sequence[DType], node: Call) -> pl.Expr:
    (made,) = arguments
    micros = _micros(made) if kinds[0] == "interval" else made.dt.epoch("us")
    return micros.cast(pl.Float64) / 1e6


def _cast(wanted: DType, *, strict: bool) -> Callable[..., pl.Expr]:
    def compiled(arguments: _Args, kinds: Sequence[DType], node: Call) -> pl.Expr:
        (made,), kind = arguments, kinds[0]
        if kind == "varchar" and wanted == "boolean":
            return _text_to_boolean(made, strict=strict)
        if kind == "varchar":
            made = made.str.strip_chars()
        if wanted == "bigint" and kind == "double":
            made = _half_even(made)
        if wanted == "varchar" and kind == "boolean":
            return pl.when(made).then(pl.lit("true")).when(~made).then(pl.lit("false"))
        return made.cast(_TYPES[wanted], strict=strict)

    return compiled


def _half_even(made: pl.Expr) -> pl.Expr:
    return made.round(0, mode="half_to_even")


def _text_to_boolean(made: pl.Expr, *, strict: bool) -> pl.Expr:
    low = made.str.strip_chars().str.to_lowercase()
    known = low.replace_strict(
        {"true": 1, "t": 1, "1": 1, "false": 0, "f": 0, "0": 0}, default=-1, return_dtype=pl.Int64
    )
    if strict:  # -1 does not fit an unsigned byte, so what is neither is an error
        return known.cast(pl.UInt8, strict=True) == 1
    return pl.when(known >= 0).then(known == 1)


def _part(name: str, instant: pl.Expr, zone: str) -> pl.Expr:
    local = instant.dt.convert_time_zone(zone).dt
    made = {
        "year": local.year,
        "quarter": local.quarter,
        "month": local.month,
        "week": local.week,
        "day": local.day,
        "dayofyear": local.ordinal_day,
        "isodow": local.weekday,
        "dayofweek": local.weekday,
        "hour": local.hour,
        "minute": local.minute,
    }[name]().cast(pl.Int64)
    return made % 7 if name == "dayofweek" else made


_CHOOSE = frozenset({"case", "coalesce", "least", "greatest", "nullif"})

_COMPILERS: dict[str, Callable[..., pl.Expr]] = {
    "and": lambda a, k, n: a[0] & a[1],
    "or": lambda a, k, n: a[0] | a[1],
    "not": lambda a, k, n: ~a[0],
    "=": lambda a, k, n: a[0] == a[1],
    "<>": lambda a, k, n: a[0] != a[1],
    "<": lambda a, k, n: a[0] < a[1],
    "<=": lambda a, k, n: a[0] <= a[1],
    ">": lambda a, k, n: a[0] > a[1],
    ">=": lambda a, k, n: a[0] >= a[1],
    "is null": lambda a, k, n: a[0].is_null(),
    "+": _arithmetic(lambda left, right: left + right),
    "-": _arithmetic(lambda left, right: left - right),
    "*": _times,
    "/": lambda a, k, n: _over(a[0], a[1], a[0] / a[1]),
    "//": _whole_quotient,
    "%": _remainder,
    "negate": _negate,
    "abs": _abs,
    "sign": lambda a, k, n: a[0].sign().cast(pl.Int64),
    "floor": _rounding("floor"),
    "ceil": _rounding("ceil"),
    "round": _rounding("round"),
    "sqrt": _domain(lambda x: x.sqrt(), lambda x: x >= 0),
    "ln": _domain(lambda x: x.log(), lambda x: x > 0),
    "log10": _domain(lambda x: x.log10(), lambda x: x > 0),
    "exp": lambda a, k, n: a[0].exp(),
    "power": lambda a, k, n: a[0].pow(a[1]),
    "least": lambda a, k, n: pl.min_horizontal(*a),
    "greatest": lambda a, k, n: pl.max_horizontal(*a),
    "coalesce": lambda a, k, n: pl.coalesce(*a),
    "nullif": lambda a, k, n: pl.when(a[0].ne_missing(a[1]) | a[1].is_null()).then(a[0]),
    "case": _case,
    "lower": lambda a, k, n: a[0].str.to_lowercase(),
    "upper": lambda a, k, n: a[0].str.to_uppercase(),
    "length": lambda a, k, n: a[0].str.len_chars().cast(pl.Int64),
    "trim": lambda a, k, n: a[0].str.strip_chars(" "),
    "||": lambda a, k, n: a[0] + a[1],
    "contains": lambda a, k, n: a[0].str.contains(a[1], literal=True),
    "starts_with": lambda a, k, n: a[0].str.starts_with(a[1]),
    "ends_with": lambda a, k, n: a[0].str.ends_with(a[1]),
    "epoch": _epoch,
    **{f"cast {kind}": _cast(kind, strict=True) for kind in ("bigint", "double", "varchar", "boolean")},
    **{f"try_cast {kind}": _cast(kind, strict=False) for kind in ("bigint", "double", "varchar", "boolean")},
}
