"""Functions of numbers. ``bigint`` results beyond 64 bits are errors; doubles without a finite result are NULL."""

from __future__ import annotations

from millstream.expressions.function import Function
from millstream.types import DType

_TWO_BIGINT: tuple[DType, ...] = ("bigint", "bigint")
_TWO_DOUBLE: tuple[DType, ...] = ("double", "double")

# fmt: off
FUNCTIONS = (
    Function(
        "+", _TWO_BIGINT, "bigint", "{0} + {1}", lambda k, a, b: a + b, "({0} + {1})",
        check="bigint", says="Sum.", example="2 + 3",
    ),
    Function("+", _TWO_DOUBLE, "double", "{0} + {1}", lambda k, a, b: a + b, "({0} + {1})", check="finite"),
    Function(
        "-", _TWO_BIGINT, "bigint", "{0} - {1}", lambda k, a, b: a - b, "({0} - {1})",
        check="bigint", says="Difference; of two dates the days, of two instants the interval.", example="2 - 3",
    ),
    Function("-", _TWO_DOUBLE, "double", "{0} - {1}", lambda k, a, b: a - b, "({0} - {1})", check="finite"),
    Function(
        "negate", ("bigint",), "bigint", "-{0}", lambda k, a: 0 - a, "(CAST(0 AS BIGINT) - {0})",
        check="bigint", says="Written `-x`.", example="-(2)",
    ),
    Function("negate", ("double",), "double", "-{0}", lambda k, a: -a, "(- {0})"),
    Function(
        "*", _TWO_BIGINT, "bigint", "{0} * {1}", lambda k, a, b: a * b, "({0} * {1})",
        check="bigint", says="Product; a number times an interval is an interval, to the nearest microsecond.",
        example="2 * 3",
    ),
    Function("*", _TWO_DOUBLE, "double", "{0} * {1}", lambda k, a, b: a * b, "({0} * {1})", check="finite"),
    Function(
        "/", _TWO_DOUBLE, "double", "{0} / {1} if {1} else None", lambda k, a, b: k.divide(a, b), "({0} / {1})",
        check="finite", nullable=True, says="Quotient, always a double; NULL when the divisor is zero.",
        example="7 / 2",
    ),
    Function(
        "//", _TWO_BIGINT, "bigint", "truncated_division({0}, {1}) if {1} else None",
        lambda k, a, b: k.truncated_division(a, b), "({0} // nullif({1}, 0))",
        check="bigint", nullable=True, says="Quotient without its fraction; NULL when the divisor is zero.",
        example="-7 // 2",
    ),
    Function(
        "%", _TWO_BIGINT, "bigint", "remainder({0}, {1}) if {1} else None", lambda k, a, b: k.remainder(a, b),
        "(CASE WHEN {1} = -1 THEN {0} - {0} ELSE {0} % nullif({1}, 0) END)", nullable=True,
        says="What `//` leaves, with the sign of the dividend; NULL when the divisor is zero. Whole numbers only.",
        example="-7 % 2",
    ),
    Function(
        "abs", ("bigint",), "bigint", "abs({0})", lambda k, a: a.abs(), "abs({0})",
        check="bigint", says="Distance from zero.", example="abs(-2.5)",
    ),
    Function("abs", ("double",), "double", "abs({0})", lambda k, a: a.abs(), "abs({0})"),
    Function(
        "sign", ("bigint",), "bigint", "({0} > 0) - ({0} < 0)", lambda k, a: k.sign(a), "CAST(sign({0}) AS BIGINT)",
        says="-1, 0 or 1.", example="sign(-2.5)",
    ),
    Function(
        "sign", ("double",), "bigint", "({0} > 0) - ({0} < 0)", lambda k, a: k.sign(a), "CAST(sign({0}) AS BIGINT)"
    ),
    Function(
        "round", ("bigint",), "bigint", "{0}", lambda k, a: a, "round({0})",
        says="Nearest whole number, or to 0-15 decimal digits (a literal); halves away from zero.",
        example="round(-2.5)",
    ),
    Function("round", ("double",), "double", "half_away({0})", lambda k, a: k.half_away(a), "round({0})"),
    Function(
        "round", ("double", "bigint"), "double", "round_to({0}, {1})", lambda k, a, digits: k.round_to(a, digits),
        "round({0}, CAST({1} AS INTEGER))", constants=(1,),
    ),
    Function(
        "floor", ("double",), "double", "float(floor({0}))", lambda k, a: a.floor(), "floor({0})",
        says="Next whole number below, as a double.", example="floor(-2.5)",
    ),
    Function(
        "ceil", ("double",), "double", "float(ceil({0}))", lambda k, a: a.ceil(), "ceil({0})",
        says="Next whole number above, as a double.", example="ceil(2.1)",
    ),
    Function(
        "sqrt", ("double",), "double", "sqrt({0}) if {0} >= 0 else None", lambda k, a: a.sqrt(), "sqrt({0})",
        check="finite", nullable=True, says="Square root; NULL of negative numbers.", example="sqrt(2.25)",
    ),
    Function(
        "ln", ("double",), "double", "log({0}) if {0} > 0 else None", lambda k, a: a.log(), "ln({0})",
        check="finite", nullable=True, says="Natural logarithm; NULL unless positive.", example="ln(1)",
    ),
    Function(
        "log10", ("double",), "double", "log10({0}) if {0} > 0 else None", lambda k, a: k.log10(a), "log10({0})",
        check="finite", nullable=True, says="Logarithm to base 10; NULL unless positive.", example="log10(1000)",
    ),
    Function(
        "exp", ("double",), "double", "exponential({0})", lambda k, a: a.exp(), "exp({0})",
        check="finite", nullable=True, says="e to a power; NULL beyond the doubles.", example="exp(0)",
    ),
    Function(
        "power", _TWO_DOUBLE, "double", "power({0}, {1})", lambda k, a, b: k.power(a, b), "power({0}, {1})",
        check="finite", nullable=True, says="A power; NULL where it is not a finite real number.",
        example="power(2, 10)",
    ),
)
