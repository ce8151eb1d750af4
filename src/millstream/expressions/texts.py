"""Functions of text. Positions and lengths count Unicode code points."""

from __future__ import annotations

from millstream.expressions.function import Function
from millstream.types import DType

_TWO_TEXTS: tuple[DType, ...] = ("varchar", "varchar")

# fmt: off
FUNCTIONS = (
    Function(
        "lower", ("varchar",), "varchar", "{0}.lower()", lambda k, a: a.str.to_lowercase(), "lower({0})",
        says="In lower case.", example="lower('JFK')",
    ),
    Function(
        "upper", ("varchar",), "varchar", "{0}.upper()", lambda k, a: a.str.to_uppercase(), "upper({0})",
        says="In upper case.", example="upper('jfk')",
    ),
    Function(
        "length", ("varchar",), "bigint", "len({0})", lambda k, a: k.length(a), "length({0})",
        says="Number of characters.", example="length('Zürich')",
    ),
    Function(
        "trim", ("varchar",), "varchar", "{0}.strip(' ')", lambda k, a: a.str.strip_chars(" "), "trim({0}, ' ')",
        says="Without spaces at both ends.", example="trim('  a ')",
    ),
    Function(
        "ltrim", ("varchar",), "varchar", "{0}.lstrip(' ')", lambda k, a: a.str.strip_chars_start(" "),
        "ltrim({0}, ' ')", says="Without spaces at the start.", example="ltrim('  a ')",
    ),
    Function(
        "rtrim", ("varchar",), "varchar", "{0}.rstrip(' ')", lambda k, a: a.str.strip_chars_end(" "),
        "rtrim({0}, ' ')", says="Without spaces at the end.", example="rtrim('  a ')",
    ),
    Function(
        "||", _TWO_TEXTS, "varchar", "{0} + {1}", lambda k, a, b: a + b, "({0} || {1})",
        says="Both, one after the other; NULL when either is NULL.", example="'a' || 'b'",
    ),
    Function(
        "concat", ("varchar",), "varchar", "''.join([each for each in ({all},) if each is not None])",
        lambda k, *args: k.concat(args), "concat({all})", nulls="own", variadic=True,
        says="All, one after the other; NULLs are left out.", example="concat('a', null, 'b')",
    ),
    Function(
        "substring", ("varchar", "bigint"), "varchar", "{0}[{1} - 1:]", lambda k, a, start: a.str.slice(start - 1),
        "substring({0}, {1})", constants=(1,),
        says="From a position (a literal, from 1), at most so many characters (a literal).",
        example="substring('N14228', 2, 3)",
    ),
    Function(
        "substring", ("varchar", "bigint", "bigint"), "varchar", "{0}[{1} - 1:{1} - 1 + {2}]",
        lambda k, a, start, count: a.str.slice(start - 1, count), "substring({0}, {1}, {2})", constants=(1, 2),
    ),
    Function(
        "left", ("varchar", "bigint"), "varchar", "{0}[:{1}]", lambda k, a, count: a.str.head(count),
        "left({0}, {1})", constants=(1,), says="The first so many characters (a literal).", example="left('N14228', 2)",
    ),
    Function(
        "right", ("varchar", "bigint"), "varchar", "{0}[max(len({0}) - {1}, 0):]",
        lambda k, a, count: a.str.tail(count),
        "right({0}, {1})", constants=(1,), says="The last so many characters (a literal).",
        example="right('N14228', 2)",
    ),
    Function(
        "replace", ("varchar", "varchar", "varchar"), "varchar", "{0}.replace({1}, {2})",
        lambda k, a, old, new: a.str.replace_all(old, new, literal=True), "replace({0}, {1}, {2})", constants=(1, 2),
        says="With every occurrence of one text (a literal) replaced by another (a literal).",
        example="replace('a-b-c', '-', '')",
    ),
    Function(
        "split_part", ("varchar", "varchar", "bigint"), "varchar", "part_of({0}, {1}, {2})",
        lambda k, a, mark, place: k.part_of(a, mark, place), "split_part({0}, {1}, {2})", constants=(1, 2),
        says="The n-th part (a literal, from 1) between marks (a literal); empty where there is none.",
        example="split_part('JFK-LAX', '-', 2)",
    ),
    Function(
        "contains", _TWO_TEXTS, "boolean", "{1} in {0}", lambda k, a, b: a.str.contains(b, literal=True),
        "contains({0}, {1})", says="Whether the second text occurs in the first.", example="contains('N14228', '42')",
    ),
    Function(
        "starts_with", _TWO_TEXTS, "boolean", "{0}.startswith({1})", lambda k, a, b: a.str.starts_with(b),
        "starts_with({0}, {1})", says="Whether the first text begins with the second.",
        example="starts_with('N14228', 'N')",
    ),
    Function(
        "ends_with", _TWO_TEXTS, "boolean", "{0}.endswith({1})", lambda k, a, b: a.str.ends_with(b),
        "ends_with({0}, {1})", says="Whether the first text ends with the second.",
        example="ends_with('N14228', 'N')",
    ),
    Function(
        "like", _TWO_TEXTS, "boolean", "{1}({0}) is not None", lambda k, a, pattern: k.like(a, pattern),
        "({0} LIKE {1})", constants=(1,), prepare="like",
        says="Whether the whole text has a pattern (a literal): `%` is any text, `_` one character; also `not like`.",
        example="'N14228' like 'N%8'",
    ),
)
