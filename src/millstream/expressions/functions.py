"""The closed set of functions: what each takes and gives.

An operator is a function too. ``number`` stands for bigint or double; a call that mixes them is made of doubles.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from millstream.types import DType

ORDERED: tuple[DType, ...] = ("bigint", "double", "varchar", "boolean", "timestamptz", "date", "interval")
CALENDAR = ("year", "quarter", "month", "week", "day", "dayofyear", "dayofweek", "isodow", "hour", "minute")


class Function(msgspec.Struct, frozen=True):
    """One function.

    Parameters
    ----------
    name
        As it is written.
    signatures
        Argument types and the type of the result; the first that fits is taken.
    nulls
        ``any``: NULL when any argument is; ``own``: a rule of its own, said in ``says``.
    says
        One line for the reference.
    example
        An expression over literals, and its value as JSON.
    variadic
        The last argument type may repeat.
    """

    name: str
    signatures: tuple[tuple[tuple[DType, ...], DType], ...]
    nulls: str
    says: str
    example: tuple[str, bool | int | float | str | None]
    variadic: bool = False


def _same(*kinds: DType, count: int, gives: DType | None = None) -> tuple[tuple[tuple[DType, ...], DType], ...]:
    return tuple(((kind,) * count, gives or kind) for kind in kinds)


_ARITHMETIC = _same("bigint", "double", count=2)
_REAL = (((("double",)), "double"),)

_LIST: tuple[Function, ...] = (
    Function(
        "and", _same("boolean", count=2), "own", "false if either is, else NULL if either is", ("true and null", None)
    ),
    Function(
        "or", _same("boolean", count=2), "own", "true if either is, else NULL if either is", ("true or null", True)
    ),
    Function("not", _same("boolean", count=1), "any", "the contrary", ("not true", False)),
    Function("=", _same(*ORDERED, count=2, gives="boolean"), "any", "equal", ("1 = 1.0", True)),
    Function("<>", _same(*ORDERED, count=2, gives="boolean"), "any", "not equal", ("'a' <> 'b'", True)),
    Function("<", _same(*ORDERED, count=2, gives="boolean"), "any", "less", ("1 < 2", True)),
    Function("<=", _same(*ORDERED, count=2, gives="boolean"), "any", "at most", ("2 <= 1", False)),
    Function(">", _same(*ORDERED, count=2, gives="boolean"), "any", "greater", ("2 > 1", True)),
    Function(">=", _same(*ORDERED, count=2, gives="boolean"), "any", "at least", ("2 >= null", None)),
    Function("is null", _same(*ORDERED, count=1, gives="boolean"), "own", "whether it is NULL", ("null is null", True)),
    Function(
        "+",
        (
            *_ARITHMETIC,
            (("timestamptz", "interval"), "timestamptz"),
            (("interval", "timestamptz"), "timestamptz"),
            (("interval", "interval"), "interval"),
        ),
        "any",
        "sum; a time moved by a length",
        ("1 + 2", 3),
    ),
    Function(
        "-",
        (
            *_ARITHMETIC,
            (("timestamptz", "interval"), "timestamptz"),
            (("timestamptz", "timestamptz"), "interval"),
            (("interval", "interval"), "interval"),
        ),
        "any",
        "difference; the length between two times",
        ("1 - 2.5", -1.5),
    ),
    Function(
        "*",
        (
            *_ARITHMETIC,
            (("bigint", "interval"), "interval"),
            (("interval", "bigint"), "interval"),
            (("double", "interval"), "interval"),
            (("interval", "double"), "interval"),
        ),
        "any",
        "product; so many lengths, to the microsecond",
        ("3 * 4", 12),
    ),
    Function("/", ((("double", "double"), "double"),), "own", "quotient, always double; NULL by zero", ("1 / 2", 0.5)),
    Function(
        "//", ((("bigint", "bigint"), "bigint"),), "own", "whole quotient, towards zero; NULL by zero", ("7 // 2", 3)
    ),
    Function("%", _ARITHMETIC, "own", "remainder with the dividend's sign; NULL by zero", ("-7 % 2", -1)),
    Function(
        "negate", _same("bigint", "double", "interval", count=1), "any", "the contrary number, written -x", ("-(3)", -3)
    ),
    Function("abs", _same("bigint", "double", count=1), "any", "size without sign", ("abs(-3)", 3)),
    Function("sign", ((("bigint",), "bigint"), (("double",), "bigint")), "any", "-1, 0 or 1", ("sign(-2.5)", -1)),
    Function(
        "floor", _same("bigint", "double", count=1), "any", "largest whole number not above", ("floor(-1.5)", -2.0)
    ),
    Function(
        "ceil", _same("bigint", "double", count=1), "any", "smallest whole number not below", ("ceil(-1.5)", -1.0)
    ),
    Function(
        "round",
        _same("bigint", "double", count=1),
        "any",
        "nearest whole number, half away from zero",
        ("round(2.5)", 3.0),
    ),
    Function("sqrt", _REAL, "own", "square root; NULL below zero", ("sqrt(9)", 3.0)),
    Function("ln", _REAL, "own", "natural logarithm; NULL at or below zero", ("ln(1)", 0.0)),
    Function("log10", _REAL, "own", "decimal logarithm; NULL at or below zero", ("log10(1000)", 3.0)),
    Function("exp", _REAL, "own", "e to the power; NULL when not finite", ("exp(0)", 1.0)),
    Function(
        "power", ((("double", "double"), "double"),), "own", "power; NULL when not finite", ("power(2, 10)", 1024.0)
    ),
    Function(
        "least", _same(*ORDERED, count=1), "own", "smallest that is not NULL", ("least(3, null, 2)", 2), variadic=True
    ),
    Function(
        "greatest",
        _same(*ORDERED, count=1),
        "own",
        "largest that is not NULL",
        ("greatest(3, null, 2)", 3),
        variadic=True,
    ),
    Function(
        "coalesce", _same(*ORDERED, count=1), "own", "first that is not NULL", ("coalesce(null, 2)", 2), variadic=True
    ),
    Function(
        "nullif", _same(*ORDERED, count=2), "own", "NULL if both are equal, else the first", ("nullif(1, 1)", None)
    ),
    Function(
        "case",
        _same(*ORDERED, count=1),
        "own",
        "case when condition then value else value end; if(c, a, b)",
        ("case when 1 > 2 then 'a' else 'b' end", "b"),
    ),
    Function("lower", _same("varchar", count=1), "any", "in lower case", ("lower('Ab')", "ab")),
    Function("upper", _same("varchar", count=1), "any", "in upper case", ("upper('Ab')", "AB")),
    Function("length", ((("varchar",), "bigint"),), "any", "number of characters", ("length('abc')", 3)),
    Function("trim", _same("varchar", count=1), "any", "without spaces at both ends", ("trim(' a ')", "a")),
    Function("||", _same("varchar", count=2), "any", "one after the other", ("'a' || 'b'", "ab")),
    Function(
        "contains",
        ((("varchar", "varchar"), "boolean"),),
        "any",
        "whether the second is in the first",
        ("contains('abc', 'b')", True),
    ),
    Function(
        "starts_with",
        ((("varchar", "varchar"), "boolean"),),
        "any",
        "whether the first begins so",
        ("starts_with('abc', 'ab')", True),
    ),
    Function(
        "ends_with",
        ((("varchar", "varchar"), "boolean"),),
        "any",
        "whether the first ends so",
        ("ends_with('abc', 'bc')", True),
    ),
    Function(
        "epoch",
        ((("interval",), "double"), (("timestamptz",), "double")),
        "any",
        "seconds of a length, or since 1970",
        ("epoch(interval '90 minutes')", 5400.0),
    ),
    *(
        Function(
            name,
            ((("timestamptz",), "bigint"),),
            "any",
            f"{name} of a time in a named zone: {name}(t at time zone 'Zone')",
            (f"{name}(timestamptz '2013-02-03 16:05:00+00' at time zone 'America/New_York')", value),
        )
        for name, value in zip(CALENDAR, (2013, 1, 2, 5, 3, 34, 0, 7, 11, 5), strict=True)
    ),
    *(
        Function(
            f"{how} {kind}",
            tuple(((taken,), kind) for taken in ("bigint", "double", "varchar", "boolean")),
            "own",
            f"{how.split('_')[-1]} to {kind}; what cannot be is {'NULL' if how == 'try_cast' else 'an error'}",
            (f"{how}('1' as {kind})", value),
        )
        for how in ("cast", "try_cast")
        for kind, value in (("bigint", 1), ("double", 1.0), ("varchar", "1"), ("boolean", True))
    ),
)

FUNCTIONS: dict[str, Function] = {each.name: each for each in _LIST}


def fits(function: Function, given: Sequence[DType | None]) -> tuple[tuple[DType, ...], DType] | None:
    """Find the signature that takes these types; None stands for a bare NULL, which fits everything.

    A bigint widens to a double where the signature wants one. Exact matches win over widened ones.
    """
    for widen in (False, True):
        for wanted, result in function.signatures:
            repeated = wanted * len(given) if function.variadic and given else wanted
            if len(repeated) == len(given) and all(
                have is None or have == want or (widen and have == "bigint" and want == "double")
                for have, want in zip(given, repeated, strict=True)
            ):
                return repeated, result
    return None
