"""Rows as PostgreSQL writes them out (``COPY ... TO STDOUT``, its text format), read into frames.

The text format tells NULL from an empty text, has one row a line whatever the texts hold, and floats to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import polars as pl

from millstream.errors import BadData

CHUNK_BYTES = 32 * 1024 * 1024
"""Bytes that are read at a time: a frame is made of each."""
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\t": "\t", "\\r": "\r", "\\b": "\b", "\\f": "\f", "\\v": "\v"}
_TIMES = {"timestamptz": "%Y-%m-%d %H:%M:%S%.f%#z", "timestamp": "%Y-%m-%d %H:%M:%S%.f", "date": "%Y-%m-%d"}
_KINDS: dict[str, pl.DataType] = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), pl.Int64()),
    **dict.fromkeys(("float4", "float8", "numeric", "money", "interval"), pl.Float64()),
    "bool": pl.Boolean(),
    "timestamptz": pl.Datetime("us", "UTC"),
    "timestamp": pl.Datetime("us"),
    "date": pl.Date(),
}

REFUSED = {"bytea"}
"""Types whose values cannot be kept; a text of theirs says nothing."""


@dataclass(frozen=True)
class Field:
    """A column as it is read.

    Parameters
    ----------
    name
        What the database calls it.
    kind
        PostgreSQL's name of its type.
    """

    name: str
    kind: str

    @property
    def dtype(self) -> pl.DataType:
        """How it stands in a frame: numbers Int64 or Float64, times and dates, all else text."""
        return _KINDS.get(self.kind, pl.String())


def frames(
    written: IO[bytes], fields: Sequence[Field], *, where: str, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[pl.DataFrame]:
    """Read rows in frames of about 32 MB of text each.

    Raises
    ------
    BadData
        Naming a column whose values are not of its type (years beyond 9999, texts that are not UTF-8).
    """
    rest = b""
    while chunk := written.read(chunk_bytes):
        cut = chunk.rfind(b"\n") + 1
        lines, rest = (rest + chunk[:cut], chunk[cut:]) if cut else (b"", rest + chunk)
        if lines:
            yield _frame(lines, fields, where=where)
    if rest:
        yield _frame(rest, fields, where=where)


def _frame(lines: bytes, fields: Sequence[Field], *, where: str) -> pl.DataFrame:
    plain = {each.name: each.dtype if each.dtype.is_numeric() else pl.String() for each in fields}
    try:
        read = pl.read_csv(
            lines,
            has_header=False,
            separator="\t",
            quote_char=None,
            null_values="\\N",
            empty_string_is_null=False,
            schema=plain,
        )
    except pl.exceptions.PolarsError as wrong:
        raise BadData(
            f"rows of {where} cannot be read: {str(wrong).splitlines()[0]}", expected="UTF-8 texts and 64-bit numbers"
        ) from None
    escaped = read.select(
        pl.col(each.name).str.contains("\\", literal=True).any() for each in fields if each.dtype == pl.String
    )
    back = [name for name in escaped.columns if escaped[name][0]]
    made = [pl.col(name).str.replace_many(list(_ESCAPES), list(_ESCAPES.values())) for name in back]
    made += [pl.col(each.name) == "t" for each in fields if each.kind == "bool"]
    return read.with_columns(
        *made, *(_times(read[each.name], each, where=where) for each in fields if each.kind in _TIMES)
    )


def _times(texts: pl.Series, field: Field, *, where: str) -> pl.Series:
    """Read times; ``infinity``, which is no instant, is NULL."""
    if field.kind == "date":
        made = texts.str.to_date(_TIMES["date"], strict=False)
    else:
        made = texts.str.to_datetime(_TIMES[field.kind], time_unit="us", strict=False)
    lost = texts.is_not_null() & made.is_null() & ~texts.is_in(["infinity", "-infinity"])
    if lost.any():
        raise BadData(
            f"column {field.name!r} of {where} has {int(lost.sum()):,} times that cannot be kept, "
            f"such as {texts.filter(lost)[0]!r}",
            expected="the years 1 to 9999",
            do="where=... of sources.Postgres without them, or columns=... without the column",
        )
    return made
