"""Work out how an unknown file is written: encoding, separator, decimal comma, thousands, formats of times.

Used once, by ``init --from``; what was found is written into the definitions, where a person can change it.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec
import polars as pl

from millstream.definitions.sources import Csv
from millstream.errors import BadData, NotFound, near
from millstream.sources.broken import short_lines
from millstream.sources.csvs import header, read_csv
from millstream.sources.figures import figures
from millstream.sources.instants import instants
from millstream.sources.unpacking import CUT_SHORT, unpacked

MOST_ROWS = 1_000_000
"""Rows of which the texts are looked at; later ones that differ are refused by name when they are taken in."""

_CHUNK = 1 << 20
_LINES = 50
_SEPARATORS = (",", ";", "\t", "|")
_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_KINDS = {
    b"PK\x03\x04": ("a zip archive, as Excel workbooks are", "unpack it, or save the sheet as CSV"),
    b"PAR1": ("a Parquet file", "give it a name that ends in .parquet"),
    b"\x1f\x8b": ("a gzip file", "give it a name that ends in .csv.gz"),
    b"\xd0\xcf\x11\xe0": ("a workbook of old Excel", "save the sheet as CSV"),
    b"SQLite format 3": ("an SQLite database", "export the table as CSV"),
}


class Found(msgspec.Struct, frozen=True):
    """How a file is written, with a sentence for each thing that was not plain.

    Parameters
    ----------
    source
        What its definition will say.
    says
        What was seen.
    uncertain
        Columns of days and months that nothing tells apart; they are text.
    """

    source: Csv
    says: tuple[str, ...]
    uncertain: tuple[str, ...] = ()


def sniff(file: Path, *, path: str, ways: Mapping[str, str] | None = None) -> Found:
    """Work out how a CSV file is written.

    Parameters
    ----------
    file
        The file.
    path
        How the definitions will name it.
    ways
        Column to the format of its times, where somebody knows it.

    Raises
    ------
    NotFound
        When it is not there.
    BadData
        When it is empty, no text, or has no header.
    """
    if not file.is_file():
        beside = [each.name for each in file.parent.iterdir()] if file.parent.is_dir() else []
        raise NotFound(f"there is no file {file}", do=near(file.name, beside))
    where = file.name
    encoding = _encoding(file)
    source = Csv(path, encoding=encoding, separator=_separator(file, encoding))
    _refuse_no_header(file, source, where)
    names = header(file, source, where=where)
    _refuse_no_names(names, where)
    texts = read_csv(file, source, kinds={}, where=where, as_text=True, rows=MOST_ROWS)
    if not texts.height:
        raise BadData(
            f"{where} is empty: it has a header and no rows",
            expected="at least one row",
            do="look at the export that wrote it",
        )
    found, said_of_numbers = figures(texts, source)
    rest = [each for each in texts.columns if each not in found.numbers and each not in found.texts]
    times = instants(texts.select(rest), ways=ways or {})
    found = msgspec.structs.replace(found, times=times.formats)
    says = (*_said_of_text(texts, source), *_said_of_short_lines(file, texts, source))
    return Found(found, (*says, *said_of_numbers, *times.says), times.uncertain)


def _said_of_text(texts: pl.DataFrame, source: Csv) -> list[str]:
    says = []
    if source.encoding != "utf-8":
        letters = (
            texts[each].drop_nulls().filter(texts[each].drop_nulls().str.contains(r"[^\x00-\x7f]"))
            for each in texts.columns
        )
        example = next((each[0] for each in letters if each.len()), "")
        shown = f", for instance {example[:40]!r}: if that is not right, name the encoding" if example else ""
        says.append(f"its text is not UTF-8, it was read as {source.encoding}{shown}")
    if source.separator != ",":
        says.append(f"its fields are separated by {source.separator!r}")
    return says


def _said_of_short_lines(file: Path, texts: pl.DataFrame, source: Csv) -> list[str]:
    """Say which lines have fewer fields than the header; only a last column with gaps can hide any."""
    if texts.width < 2 or not texts.to_series(texts.width - 1).null_count():
        return []
    count, first = short_lines(file, source, width=texts.width)
    if not count:
        return []
    said = "1 line has" if count == 1 else f"{count:,} lines have"
    return [f"{said} fewer fields than the header, the first is line {first:,}: what they miss has no value"]


def _encoding(file: Path) -> str:
    """Return utf-8 where the whole file is, else the 8-bit encoding most often met."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    first, ends = True, False
    try:
        with unpacked(file) as raw:
            while chunk := raw.read(_CHUNK):
                if first:
                    _refuse_other_kinds(chunk, file.name)
                if first and chunk[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                    return "utf-32" if chunk[:4] in _WIDE else "utf-16"
                if b"\0" in chunk:
                    raise BadData(
                        f"{file.name} is not a text file: it holds zero bytes",
                        expected="CSV, Parquet or a Delta table's folder",
                        do="save it as UTF-8 text; UTF-16 is read where the file begins with its byte order mark",
                    )
                ends = ends or b"\n" in chunk
                if first and not ends and b"\r" in chunk:
                    raise BadData(
                        f"the lines of {file.name} end in CR alone, as those of old systems do",
                        expected="lines that end in LF or CR LF",
                        do="write it with such line ends",
                    )
                first = False
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252" if _decodes(file, "cp1252") else "latin-1"
    except CUT_SHORT as wrong:
        kind = {".gz": "gzip"}.get(file.suffix, file.suffix)
        raise BadData(
            f"{file.name} is not a {kind} file: {wrong}",
            expected=f"a {kind} file that is whole",
            do=f"copy or export it again; a file that is not packed should not be called {file.suffix}",
        ) from None
    if first:
        raise BadData(f"{file.name} is empty", expected="a header line and rows")
    return "utf-8"


def _refuse_other_kinds(start: bytes, where: str) -> None:
    for magic, (kind, do) in _KINDS.items():
        if start.startswith(magic):
            raise BadData(f"{where} is not a text file: it is {kind}", expected="what its name says", do=do)


def _decodes(file: Path, encoding: str) -> bool:
    with unpacked(file) as raw:
        try:
            while chunk := raw.read(_CHUNK):
                chunk.decode(encoding)
        except UnicodeDecodeError:
            return False
    return True


def _first_rows(file: Path, encoding: str, separator: str) -> list[list[str]]:
    with io.TextIOWrapper(unpacked(file), encoding=encoding, newline="") as text:
        try:
            return [row for row in itertools.islice(csv.reader(text, delimiter=separator), _LINES) if row]
        except csv.Error:
            return []


def _separator(file: Path, encoding: str) -> str:
    """Choose the separator that parts the first lines into the same number of fields, the more the better."""
    best, most = ",", 1
    for each in _SEPARATORS:
        widths = [len(row) for row in _first_rows(file, encoding, each)]
        if widths and widths.count(widths[0]) >= 0.9 * len(widths) and widths[0] > most:
            best, most = each, widths[0]
    return best


def _refuse_no_header(file: Path, source: Csv, where: str) -> None:
    """Refuse a first line of one field above lines of several: a title, a remark, or Excel's ``sep=``."""
    for each in (source.separator, *_SEPARATORS):
        rows = _first_rows(file, source.encoding, each)
        if len(rows) < 3:
            continue
        if len([name for name in rows[0] if name.strip()]) > 1:
            return
        (width, often), *_ = Counter(len(row) for row in rows[1:]).most_common(1)
        if width > 1 and often >= 0.9 * (len(rows) - 1):
            place, names = next((n, row) for n, row in enumerate(rows, start=1) if n > 1 and len(row) == width)
            raise BadData(
                f"the first line of {where} names no columns: {each.join(rows[0])[:60]!r}, where the next have "
                f"{width} fields",
                expected="a first line that names the columns",
                do=f"take out what stands above them; line {place} begins with {each.join(names)[:60]!r}",
            )


def _refuse_no_names(names: list[str], where: str) -> None:
    numbers = [each for each in names if re.fullmatch(r"[-+]?\d+([.,]\d+)?", each.strip())]
    if len(numbers) > len(names) / 2:
        raise BadData(
            f"the first line of {where} looks like data, not names: {', '.join(names[:5])}",
            expected="a first line that names the columns",
            do="add one",
        )
    if not any(each.strip() for each in names):
        raise BadData(f"the first line of {where} names no columns", expected="a first line that names the columns")
