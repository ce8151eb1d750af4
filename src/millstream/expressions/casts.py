"""Casts between types. ``cast`` of a value that has no counterpart is an error, ``try_cast`` gives NULL."""

from __future__ import annotations

from millstream.expressions.function import Function
from millstream.types import DType


def _plain(source: DType, to: DType, python: str, sql: str) -> Function:
    return Function(
        f"cast as {to}", (source,), to, python, lambda k, a: k.cast(a, to), sql, says=_SAYS[to], example=_EXAMPLES[to]
    )


def _strict(source: DType, to: DType, valid: str, sql: str = "") -> tuple[Function, Function]:
    """Make cast and try_cast of something that may have no counterpart; ``valid`` is SQL that says whether it has."""
    parser = f"{to}_of_{source}"
    cast = sql or f"CAST({{0}} AS {to.upper()})"
    tried = sql or f"TRY_CAST({{0}} AS {to.upper()})"
    return (
        Function(
            f"cast as {to}",
            (source,),
            to,
            f"strict({parser}({{0}}), {{0}}, {to!r})",
            lambda k, a: getattr(k, parser)(a, strict=True),
            f"(CASE WHEN {{0}} IS NULL THEN NULL WHEN {valid} THEN {cast} ELSE error('cannot be cast to {to}') END)",
            fails=True,
            nullable=True,
            says=_SAYS[to],
            example=_EXAMPLES[to],
        ),
        Function(
            f"try_cast as {to}",
            (source,),
            to,
            f"{parser}({{0}})",
            lambda k, a: getattr(k, parser)(a, strict=False),
            f"(CASE WHEN {valid} THEN {tried} END)",
            nullable=True,
            says=f"As `cast`, but NULL where there is no such {to}.",
            example=f"try_cast('?' as {to})",
        ),
    )


def _matches(pattern: str) -> str:
    """Write in SQL that the whole text has a pattern; braces are doubled because places are filled in later."""
    return f"regexp_full_match({{0}}, '{pattern}')".replace("{", "{{").replace("}", "}}").replace("{{0}}", "{0}", 1)


_SAYS: dict[str, str] = {
    "bigint": "A whole number: of a double the nearest (halves to even), of text its digits, of a boolean 0 or 1.",
    "double": "A double: of text a decimal number such as `-1.5e3`, of a boolean 0 or 1.",
    "varchar": "Text, of a bigint, boolean or date.",
    "boolean": "Of a bigint whether it is not zero; of text `true` or `false`, in any case.",
    "date": "The day of a local time, or of text such as `2013-07-04`.",
    "timestamptz": "An instant, of text with an offset such as `2013-07-04 12:30:00Z`.",
}
_EXAMPLES: dict[str, str] = {
    "bigint": "cast('12' as bigint)",
    "double": "cast('1.5e3' as double)",
    "varchar": "cast(12 as varchar)",
    "boolean": "cast('TRUE' as boolean)",
    "date": "year(cast('2013-07-04' as date))",
    "timestamptz": "epoch(cast('2013-07-04 12:30:00Z' as timestamptz))",
}

INTEGER = "[+-]?[0-9]+"
DECIMAL = "[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?"
DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
INSTANT = DATE + "[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
BOOLEAN = "[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]"

FUNCTIONS = (
    _plain("boolean", "bigint", "int({0})", "CAST({0} AS BIGINT)"),
    _plain("bigint", "double", "float({0})", "CAST({0} AS DOUBLE)"),
    _plain("boolean", "double", "float({0})", "CAST({0} AS DOUBLE)"),
    _plain("bigint", "varchar", "str({0})", "CAST({0} AS VARCHAR)"),
    _plain("boolean", "varchar", "('true' if {0} else 'false')", "CAST({0} AS VARCHAR)"),
    _plain("date", "varchar", "date_text({0})", "CAST({0} AS VARCHAR)"),
    _plain("bigint", "boolean", "{0} != 0", "({0} <> 0)"),
    _plain("timestamp", "date", "{0} // 86400000000", "CAST({0} AS DATE)"),
    *_strict("double", "bigint", "true"),
    *_strict("varchar", "bigint", _matches(INTEGER)),
    *_strict("varchar", "double", f"{_matches(DECIMAL)} AND isfinite(TRY_CAST({{0}} AS DOUBLE))"),
    *_strict("varchar", "boolean", _matches(BOOLEAN), "(lower({0}) = 'true')"),
    *_strict("varchar", "date", f"{_matches(DATE)} AND {{0}} NOT LIKE '0000%'"),
    *_strict("varchar", "timestamptz", f"{_matches(INSTANT)} AND {{0}} NOT LIKE '0000%'"),
)
