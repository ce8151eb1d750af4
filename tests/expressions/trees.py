"""Random typed expressions over a small schema, and random rows for them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from millstream.expressions import Expression, feasts
from millstream.expressions.function import Function
from millstream.expressions.holidays import calendar
from millstream.expressions.kernel_polars import TYPES
from millstream.expressions.node import Call, Case, Column, Literal, Node, columns
from millstream.expressions.table import FUNCTIONS
from millstream.types import DType

SCHEMA: dict[str, DType] = {
    "b1": "boolean", "b2": "boolean", "i1": "bigint", "i2": "bigint", "d1": "double", "d2": "double",
    "s1": "varchar", "s2": "varchar", "t1": "timestamptz", "t2": "timestamptz", "y1": "date", "y2": "date",
    "n1": "interval", "n2": "interval",
}  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ZONES = ("America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC")
TURNS = [
    datetime(2013, 3, 10, 7, tzinfo=UTC), datetime(2013, 11, 3, 6, tzinfo=UTC), datetime(2013, 3, 31, 1, tzinfo=UTC),
    datetime(2013, 10, 27, 1, tzinfo=UTC), datetime(2013, 4, 6, 15, tzinfo=UTC),
    datetime(2013, 10, 5, 15, 30, tzinfo=UTC),
    datetime(1883, 11, 18, 17, tzinfo=UTC), datetime(2012, 12, 31, tzinfo=UTC), datetime(2016, 2, 29, tzinfo=UTC),
]  # fmt: skip
"""Instants near which clocks turn, leap or change years."""

LIBM = {"ln", "log10", "exp", "power", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "radians", "degrees"}
"""Functions whose last digit depends on the library: judged on their own, not inside of larger trees."""


def micros(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


_INSTANTS = st.one_of(
    st.tuples(st.sampled_from(TURNS), st.integers(-(10**10), 10**10)).map(lambda pair: micros(pair[0]) + pair[1]),
    st.integers(micros(datetime(1890, 1, 1, tzinfo=UTC)), micros(datetime(2099, 12, 1, tzinfo=UTC))),
    st.sampled_from([0, -1, micros(datetime(1, 1, 3, tzinfo=UTC)), micros(datetime(9999, 12, 30, tzinfo=UTC))]),
)
_WORDS = [
    "", "a", "Ab", " ab ", "ab%", "a_b", "1", "-3", "+07", "2.5", "-1.5e3", ".5", "1e999", "true", "FALSE", "é", "🤦x",
    "2013-07-04", "2013-02-30", "0000-01-01", "2013-07-04 12:30:00Z", "2013-07-04T12:30:00.123+05:30",
    "2013-07-04 12:30-04", "9" * 19, "x\n",
]  # fmt: skip
VALUES: dict[DType, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "bigint": st.one_of(
        st.integers(-9, 9), st.integers(-(10**6), 10**6), st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1, 2**62])
    ),
    "double": st.one_of(
        st.sampled_from(
            [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e15, 0.49999999999999994, 1e308, -1e308, 5e-324, 2.0**63]
        ),
        st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3)),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    "varchar": st.sampled_from(_WORDS),
    "timestamptz": _INSTANTS,
    "date": st.one_of(st.integers(-30_000, 47_000), st.sampled_from([-719_162, 2_932_896, 0])),
    "interval": st.one_of(st.integers(-(10**11), 10**11), st.sampled_from([2**63 - 1, -(2**63), 0])),
}
"""What a closure reads, by type."""


def constants(function: Function, place: int) -> st.SearchStrategy[Any]:
    if function.name == "at time zone":
        return st.sampled_from(ZONES)
    if function.name == "like":
        return st.sampled_from(["", "%", "_", "a%", "%b%", "_b", "a_b", "ab%", "%é", ".*", "%\n", "[a]%"])
    if function.name == "substring":
        return st.integers(1, 4) if place == 1 else st.integers(0, 3)
    if function.name == "round":
        return st.integers(0, 6)
    if function.name in ("left", "right"):
        return st.sampled_from([0, 1, 2, 5, 2**31 - 1])
    if function.name == "replace":
        return (
            st.sampled_from(["a", "b", "ab", "-", "$1", "é", " "]) if place == 1 else st.sampled_from(["", "a", "$0x"])
        )
    if function.name == "split_part":
        return st.sampled_from(["-", " ", "a", "07"]) if place == 1 else st.sampled_from([1, 2, 3, 100])
    if function.name == "hash_bucket":
        return st.sampled_from([1, 2, 32, 1_000_003, 2**31])
    if function.name in feasts.NAMES:
        return st.sampled_from(("US", "US-NY", "SA", "CN", "XNYS")).map(lambda code: calendar(code, function.name))
    return VALUES[function.argument(place)]


@st.composite
def nodes(draw: Any, dtype: DType, depth: int = 3) -> Node:
    """Draw a tree of a type."""
    leaves = [name for name, kind in SCHEMA.items() if kind == dtype]
    makers = [each for each in FUNCTIONS.values() if each.result == dtype and each.name not in LIBM]
    if leaves and (depth == 0 or draw(st.integers(0, 3)) == 0):
        if draw(st.integers(0, 3)):
            return Column(draw(st.sampled_from(leaves)), dtype)
        return Literal(draw(st.one_of(st.none(), VALUES[dtype])), dtype)
    if leaves and draw(st.integers(0, 6)) == 0:
        count = draw(st.integers(1, 2))
        return Case(
            tuple(draw(nodes("boolean", depth - 1)) for _ in range(count)),
            tuple(draw(nodes(dtype, depth - 1)) for _ in range(count)),
            draw(nodes(dtype, depth - 1)),
            dtype,
        )
    by_name: dict[str, list[Function]] = {}
    for each in makers:
        by_name.setdefault(each.name, []).append(each)
    return draw(calls(draw(st.sampled_from(by_name[draw(st.sampled_from(sorted(by_name)))])), depth - 1))


@st.composite
def calls(draw: Any, function: Function, depth: int) -> Call:
    """Draw a call of a function."""
    count = len(function.arguments) + (draw(st.integers(0, 2)) if function.variadic else 0)
    if function.name == "bucket":
        kind = function.arguments[0]
        edges = sorted(draw(st.sets(VALUES[kind], min_size=count - 1, max_size=count - 1)))
        value = draw(nodes(kind, max(depth, 0)))
        return Call(function.signature, (value, *(Literal(each, kind) for each in edges)), function.result)
    args = []
    for place in range(count):
        kind = function.argument(place)
        if function.is_constant(place):
            args.append(Literal(draw(constants(function, place)), kind))
        else:
            args.append(draw(nodes(kind, max(depth, 0))))
    return Call(function.signature, tuple(args), function.result)


def expression(node: Node) -> Expression:
    return Expression(text="generated", node=node, dtype=node.dtype, columns=columns(node))


ROWS = st.lists(
    st.fixed_dictionaries({name: st.one_of(st.none(), VALUES[kind]) for name, kind in SCHEMA.items()}),
    min_size=1,
    max_size=6,
)


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Make the frame that holds these closure rows."""
    physical = {"timestamptz": pl.Int64, "interval": pl.Int64, "date": pl.Int32}
    made = pl.DataFrame(rows, schema={name: physical.get(kind, TYPES[kind]) for name, kind in SCHEMA.items()})
    return made.with_columns(pl.col(name).cast(TYPES[kind]) for name, kind in SCHEMA.items())


def plain(value: Any) -> Any:
    """Turn what a frame holds into what a closure gives."""
    if isinstance(value, datetime):
        return micros(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, timedelta):
        return value // MICROSECOND
    if isinstance(value, date):
        return value.toordinal() - date(1970, 1, 1).toordinal()
    return value
