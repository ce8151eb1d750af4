"""Reading one CSV file: its encoding, its header, the types of its columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from millstream.definitions.sources import Csv
from millstream.errors import BadData
from millstream.sources.broken import line_of, refuse_cut_off, refuse_other_encoding, rewritten
from millstream.sources.unpacking import CUT_SHORT, is_packed, unpacked

INFER_ROWS, DATE_ROWS = 100_000, 1_000
NOT_READ = (pl.exceptions.ComputeError, pl.exceptions.ShapeError)
NO_VALUE = re.compile(
    r"could not parse `(?P<value>.*)` as dtype `(?P<kind>.*?)` at column .* \(column number (?P<number>\d+)\)", re.S
)
_ISO = r"^\s*\d{4}[-/]\d{1,2}[-/]\d"


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
    texts = dict.fromkeys((*source.numbers, *source.times, *source.texts, *source.nulls), pl.String())
    # Polars keeps a quote inside a name doubled, as it stands in the file
    wanted = {name.replace('"', '""'): kind for name, kind in {**kinds, **texts}.items() if name in names}
    try:
        refuse_cut_off(file, source, width=len(names), where=_named(file, where))
        content = _content(file, source)
        try:
            frame = frame_of(content, source, wanted, as_text=as_text, rows=rows)
        except NOT_READ:
            plainly = rewritten(file, source, width=len(names), where=_named(file, where))
            frame = frame_of(plainly, source, wanted, as_text=as_text, rows=rows)
    except pl.exceptions.NoDataError:
        raise BadData(f"{_named(file, where)} is empty", expected="a header line and rows") from None
    except (UnicodeDecodeError, *CUT_SHORT) as wrong:
        raise not_text(file, source, wrong, where=where) from None
    except NOT_READ as wrong:
        if "utf" in str(wrong).lower():
            refuse_other_encoding(file, source, where=_named(file, where))
        raise not_read(wrong, file, file, source, names, kinds=kinds, where=where) from None
    if frame.width != len(names):
        raise BadData(
            f"the header of {_named(file, where)} names {len(names)} columns, its rows have {frame.width}",
            expected="lines that end in LF or CR LF",
            do="write it with such line ends; CR alone, as of old systems, is not read",
        )
    frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    if frame.width > 1 and frame.height and min(frame.null_count().row(0)) > 0:
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))  # blank lines
    return frame


def header(file: Path, source: Csv, *, where: str) -> list[str]:
    """Return the names of the columns.

    Raises
    ------
    BadData
        For no names, a name twice, or bytes that are no text of the encoding.
    """
    encoding = "utf-8-sig" if _plain(source) else source.encoding
    try:
        with io.TextIOWrapper(unpacked(file), encoding=encoding, newline="") as opened:
            names = next(csv.reader(opened, delimiter=source.separator), [])
    except (UnicodeError, csv.Error, *CUT_SHORT) as wrong:
        if isinstance(wrong, UnicodeDecodeError) and _plain(source) and not is_packed(file.name):
            refuse_other_encoding(file, source, where=_named(file, where))
        expected = "UTF-8 text" if _plain(source) else f"{source.encoding} text"
        raise BadData(
            f"{_named(file, where)} is not CSV: {wrong}",
            expected=expected,
            do="sources.Csv(..., encoding='cp1252') for text of an older system",
        ) from None
    except LookupError:
        raise BadData(f"there is no encoding {source.encoding!r}", expected="utf-8, cp1252, latin-1 ...") from None
    if not names:
        raise BadData(
            f"{_named(file, where)} is empty or begins with an empty line",
            expected="a first line that names the columns, and rows",
        )
    counts = Counter(names)
    twice = sorted(name for name, count in counts.items() if count > 1 and name.strip())
    if twice or counts[""] > 1:
        said = [f"two columns called {', '.join(map(repr, twice))}"] if twice else []
        said += [f"{counts['']} columns without a name, which cannot be told apart"] if counts[""] > 1 else []
        raise BadData(
            f"{_named(file, where)} has {' and '.join(said)}",
            expected="one name, one column, in the file's first line",
            do="give them names there, or take them out",
        )
    return names


def not_text(file: Path, source: Csv, wrong: Exception, *, where: str) -> BadData:
    """Say of a file that is cut short, or no text of its encoding, what is wrong with it."""
    if isinstance(wrong, UnicodeDecodeError):
        try:
            refuse_other_encoding(file, source, where=_named(file, where))
        except BadData as found:
            return found
    cut = is_packed(file.name) and not isinstance(wrong, UnicodeDecodeError)
    said = f"it is cut short, or not packed as its name says ({wrong})" if cut else str(wrong)
    return BadData(
        f"{_named(file, where)} is not CSV: {said}",
        expected="a whole file" if cut else f"{source.encoding} text",
        do="copy or export it again" if cut else "look whether the file is whole, and of this encoding",
    )


def not_read(
    wrong: Exception,
    file: Path,
    text: Path | bytes,
    source: Csv,
    names: list[str],
    *,
    kinds: Mapping[str, pl.DataType],
    where: str,
    before: int = 0,
) -> BadData:
    """Say of a value that is not of its column's type in which line it stands; ``before`` are lines above."""
    said = str(wrong).splitlines()[0]
    place = ""
    if found := NO_VALUE.search(said):
        column = int(found["number"]) - 1
        line = line_of(text, source, column=column, value=found["value"].strip('"')) if column < len(names) else 0
        place = f"line {line + before:,} of " if line else ""
    return BadData(
        f"{place}{_named(file, where)} cannot be read: {said}",
        expected=", ".join(f"{name} {kind}" for name, kind in kinds.items()) or "a value of its type in every row",
        do="correct the file: a field that is missing or split moves all that follow it"
        if place
        else "correct the file",
    )


def _named(file: Path, where: str) -> str:
    return where if where == file.name else f"{file} of {where}"


def frame_of(
    content: Path | io.BytesIO, source: Csv, kinds: Mapping[str, pl.DataType], *, as_text: bool, rows: int | None
) -> pl.DataFrame:
    """Parse a content; times are left as text where they are not written as ISO 8601 says: a guess otherwise."""
    try:
        frame = parse(content, source, kinds, INFER_ROWS, as_text=as_text, rows=rows)
    except pl.exceptions.ComputeError as wrong:
        if as_text:
            raise
        no_time = re.search(r"as dtype `(?:date|time).*?` at column '(.*)' \(column number", str(wrong))
        if no_time and no_time[1] not in kinds:
            return frame_of(content, source, {**kinds, no_time[1]: pl.String()}, as_text=False, rows=rows)
        frame = parse(content, source, kinds, None, as_text=False, rows=rows)
    guessed = {
        name: pl.String()
        for name, kind in frame.schema.items()
        if name not in kinds and kind.is_temporal() and not _iso(content, source, name, kind)
    }
    return frame_of(content, source, {**kinds, **guessed}, as_text=as_text, rows=rows) if guessed else frame


def _iso(content: Path | io.BytesIO, source: Csv, name: str, kind: pl.DataType) -> bool:
    """Say whether the first value that Polars took for a time begins with a year."""
    if kind == pl.Time:
        return False
    for rows in (1_000, None):
        texts = parse(content, source, {}, INFER_ROWS, as_text=True, rows=rows, only=name)
        if (first := texts.to_series().drop_nulls().head(1)).len():
            return bool(first.str.contains(_ISO).all())
    return True


def _content(file: Path, source: Csv) -> Path | io.BytesIO:
    """Return the file itself where Polars reads it as it is, else its text as UTF-8."""
    if _plain(source) and not is_packed(file.name):
        return file
    with unpacked(file) as opened:
        raw = opened.read()
    return io.BytesIO(raw if _plain(source) else raw.decode(source.encoding).encode())


def parse(
    content: Path | io.BytesIO,
    source: Csv,
    kinds: Mapping[str, pl.DataType],
    infer: int | None,
    *,
    as_text: bool,
    rows: int | None,
    only: str | None = None,
    dates: bool = True,
) -> pl.DataFrame:
    """Parse a content once: ``kinds`` hold, all other columns are inferred from ``infer`` rows (None: from all)."""
    if infer == INFER_ROWS and dates and not as_text:
        kinds, infer = _inferred(content, source, kinds, rows=rows)
    if isinstance(content, io.BytesIO):
        content.seek(0)
    return pl.read_csv(
        content,
        columns=None if only is None else [only],
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
    plain = parse(content, source, kinds, INFER_ROWS, as_text=False, rows=most, dates=False)
    start = parse(content, source, kinds, DATE_ROWS, as_text=False, rows=min(most, DATE_ROWS))
    texts = [name for name, kind in plain.schema.items() if kind == pl.String and name not in kinds]
    unsaid = [name for name in texts if start[name].null_count() == start.height and plain[name].null_count() < most]
    if unsaid and plain.height > start.height:
        return kinds, INFER_ROWS
    timed = {name for name in texts if start.schema[name].is_temporal()}
    return {**{name: kind for name, kind in plain.schema.items() if name not in timed}, **kinds}, DATE_ROWS


def _plain(source: Csv) -> bool:
    return source.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
