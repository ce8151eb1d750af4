"""Three-valued logic and comparisons."""

from __future__ import annotations

from millstream.expressions.function import Function
from millstream.types import DType

_ORDERED: tuple[DType, ...] = ("bigint", "double", "varchar", "timestamptz", "timestamp", "date", "interval")
_ANY: tuple[DType, ...] = ("boolean", *_ORDERED)
_TWO_BOOLEAN: tuple[DType, ...] = ("boolean", "boolean")


# fmt: off
def _comparisons() -> tuple[Function, ...]:
    made = [
        Function("=", (each, each), "boolean", "{0} == {1}", lambda k, a, b: a == b, "({0} = {1})",
                 says="Equal; NULL when either is NULL.", example="1 = 1.0")
        for each in _ANY
    ]
    made += [
        Function("<>", (each, each), "boolean", "{0} != {1}", lambda k, a, b: a != b, "({0} <> {1})",
                 says="Not equal, also written `!=`; NULL when either is NULL.", example="'a' <> 'b'")
        for each in _ANY
    ]
    for each in _ORDERED:
        made += [
            Function("<", (each, each), "boolean", "{0} < {1}", lambda k, a, b: a < b, "({0} < {1})",
                     says="Less; text by Unicode code point.", example="'Z' < 'a'"),
            Function("<=", (each, each), "boolean", "{0} <= {1}", lambda k, a, b: a <= b, "({0} <= {1})",
                     says="Less or equal.", example="1 <= 1"),
            Function(">", (each, each), "boolean", "{0} > {1}", lambda k, a, b: a > b, "({0} > {1})",
                     says="Greater.", example="interval '1 day' > interval '23 hours'"),
            Function(">=", (each, each), "boolean", "{0} >= {1}", lambda k, a, b: a >= b, "({0} >= {1})",
                     says="Greater or equal.", example="2 >= 3"),
        ]
    return tuple(made)


def _of_any() -> tuple[Function, ...]:
    made: list[Function] = []
    for each in _ANY:
        made += [
            Function("is null", (each,), "boolean", "{0} is None", lambda k, a: a.is_null(), "({0} IS NULL)",
                     nulls="own", says="Whether there is no value; also `is not null`.", example="null is null"),
            Function("is not distinct from", (each, each), "boolean", "{0} == {1}", lambda k, a, b: a.eq_missing(b),
                     "({0} IS NOT DISTINCT FROM {1})", nulls="own",
                     says="Equal, or both NULL; also `is distinct from`.", example="null is not distinct from 1"),
        ]
    for each in _ORDERED:
        made += [
            Function("least", (each,), each, "least(({all},))", lambda k, *args: k.least(args), "least({all})",
                     nulls="own", variadic=True, says="The smallest value that is not NULL.",
                     example="least(2, null, 1)"),
            Function("greatest", (each,), each, "greatest(({all},))", lambda k, *args: k.greatest(args),
                     "greatest({all})", nulls="own", variadic=True, says="The largest value that is not NULL.",
                     example="greatest('a', 'b')"),
        ]
    return tuple(made)


def _members() -> tuple[Function, ...]:
    kinds: tuple[DType, ...] = ("bigint", "double", "varchar")
    return tuple(
        Function("in", (each, each), "boolean", "{0} in {1}", lambda k, a, *values: k.members(a, values),
                 "({0} IN ({rest}))", constants=(1,), prepare="members", variadic=True,
                 says="Equal to one of several values; as in SQL, NULL rather than false when NULL is among them.",
                 example="'b' in ('a', 'b')")
        for each in kinds
    )


FUNCTIONS = (
    Function(
        "and", _TWO_BOOLEAN, "boolean",
        "False if {0} is False or {1} is False else None if {0} is None or {1} is None else True",
        lambda k, a, b: a & b, "({0} AND {1})", nulls="own",
        says="False if either is false, else NULL if either is NULL. Both sides are evaluated.",
        example="null and false",
    ),
    Function(
        "or", _TWO_BOOLEAN, "boolean",
        "True if {0} or {1} else None if {0} is None or {1} is None else False",
        lambda k, a, b: a | b, "({0} OR {1})", nulls="own",
        says="True if either is true, else NULL if either is NULL. Both sides are evaluated.",
        example="null or true",
    ),
    Function(
        "not", ("boolean",), "boolean", "not {0}", lambda k, a: ~a, "(NOT {0})",
        says="The opposite; NULL of NULL.", example="not (1 > 2)",
    ),
    *_comparisons(),
    *_of_any(),
    *_members(),
)
