"""Reading one CSV file: its encoding, its header, the types of its columns."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from millstream.definitions.sources import Csv
from millstream.errors import BadData

INFER_ROWS = 100_000
DATE_ROWS = 1_000


def read_csv(
    file: Path,
    source: Csv,
    *,
    kinds: Mapping[str, pl.DataType],
    where: str,
    as_text: bool = False,
    rows: int | None = None,
) -> pl.DataFrame:
    """Read a file as its source says, columns of ``numbers`` and ``times`` still as text.

    Parameters
    ----------
    file, source
        What to read, and how.
    kinds
        Column to the type it must have; all others are inferred, from every row if the first 100,000 mislead.
    where
        What is read, for messages.
    as_text
        Read every column as text.
    rows
        Read so many rows at most.

    Raises
    ------
    BadData
        For a file that is empty, not text of the encoding, has a name twice, or a value not of its column's type.
    """
    names = header(file, source, where=where)
    texts = dict.fromkeys((*source.numbers, *source.times), pl.String())
    # Polars keeps a quote inside a name doubled, as it stands in the file
    wanted = {name.replace('"', '""'): kind for name, kind in {**kinds, **texts}.items() if name in names}
    try:
        content = _content(file, source)
        try:
            frame = _parse(content, source, wanted, INFER_ROWS, as_text=as_text, rows=rows)
        except pl.exceptions.ComputeError:
            if kinds or as_text:
                raise
            frame = _parse(content, source, wanted, None, as_text=False, rows=rows)
    except pl.exceptions.NoDataError:
        raise BadData(f"{file} of {where} is empty", expected="a header line and rows") from None
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as wrong:
        raise BadData(f"{file} of {where} is not CSV: {wrong}", expected=f"{source.encoding} text") from None
    except (pl.exceptions.ComputeError, pl.exceptions.ShapeError) as wrong:
        said = str(wrong).splitlines()[0]
        raise BadData(
            f"{file} of {where} cannot be read: {said}",
            expected=", ".join(f"{name} {kind}" for name, kind in kinds.items()),
        ) from None
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def header(file: Path, source: Csv, *, where: str) -> list[str]:
    """Return the names of the columns.

    Raises
    ------
    BadData
        For no names, a name twice, or bytes that are no text of the encoding.
    """
    encoding = "utf-8-sig" if _plain(source) else source.encoding
    try:
        raw = gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")  # noqa: SIM115 - closed by the text
        with io.TextIOWrapper(raw, encoding=encoding, newline="") as opened:
            names = next(csv.reader(opened, delimiter=source.separator), [])
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError, OSError) as wrong:
        expected = "UTF-8 text" if _plain(source) else f"{source.encoding} text"
        raise BadData(
            f"{file} of {where} is not CSV: {wrong}",
            expected=expected,
            do="sources.Csv(..., encoding='cp1252') for text of an older system",
        ) from None
    except LookupError:
        raise BadData(f"there is no encoding {source.encoding!r}", expected="utf-8, cp1252, latin-1 ...") from None
    if not names:
        raise BadData(f"{file} of {where} is empty", expected="a header line and rows")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise BadData(
            f"{file} of {where} has two columns called {', '.join(map(repr, twice))}",
            expected="one name, one column",
            do="give one of them another name in the file's first line",
        )
    return names


def _content(file: Path, source: Csv) -> Path | io.BytesIO:
    """Return the file itself where Polars reads it as it is, else its text as UTF-8."""
    if _plain(source) and file.suffix != ".gz":
        return file
    raw = file.read_bytes()
    if file.suffix == ".gz":
        raw = gzip.decompress(raw)
    return io.BytesIO(raw if _plain(source) else raw.decode(source.encoding).encode())


def _parse(
    content: Path | io.BytesIO,
    source: Csv,
    kinds: Mapping[str, pl.DataType],
    infer: int | None,
    *,
    as_text: bool,
    rows: int | None,
    dates: bool = True,
) -> pl.DataFrame:
    if infer == INFER_ROWS and dates and not as_text:
        kinds, infer = _inferred(content, source, kinds, rows=rows)
    if isinstance(content, io.BytesIO):
        content.seek(0)
    return pl.read_csv(
        content,
        separator=source.separator,
        null_values=list(source.null_values),
        infer_schema=not as_text,
        infer_schema_length=infer,
        schema_overrides=dict(kinds),
        try_parse_dates=dates and not as_text,
        n_rows=rows,
        glob=False,
    )


def _inferred(
    content: Path | io.BytesIO, source: Csv, kinds: Mapping[str, pl.DataType], *, rows: int | None
) -> tuple[Mapping[str, pl.DataType], int]:
    """Infer types from 100,000 rows, and which texts are times from 1,000: to try every text as a time is slow.

    Returns
    -------
    tuple
        Column to type, without those that may be times; and from how many rows these are to be inferred.
    """
    most = INFER_ROWS if rows is None else min(rows, INFER_ROWS)
    plain = _parse(content, source, kinds, INFER_ROWS, as_text=False, rows=most, dates=False)
    start = _parse(content, source, kinds, DATE_ROWS, as_text=False, rows=min(most, DATE_ROWS))
    texts = [name for name, kind in plain.schema.items() if kind == pl.String and name not in kinds]
    unsaid = [name for name in texts if start[name].null_count() == start.height and plain[name].null_count() < most]
    if unsaid and plain.height > start.height:
        return kinds, INFER_ROWS
    timed = {name for name in texts if start.schema[name].is_temporal()}
    return {**{name: kind for name, kind in plain.schema.items() if name not in timed}, **kinds}, DATE_ROWS


def _plain(source: Csv) -> bool:
    return source.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
