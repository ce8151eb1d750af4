"""Work out how an unknown file is written: encoding, separator, decimal comma, thousands, formats of times.

Used once, by ``init --from``; what was found is written into the definitions, where a person can change it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import itertools
import re
from pathlib import Path

import msgspec
import polars as pl

from millstream.definitions.sources import Csv
from millstream.errors import BadData, NotFound, near
from millstream.sources.csvs import header, read_csv
from millstream.sources.texts import times

MOST_ROWS = 1_000_000
"""Rows of which the texts are looked at; later ones that differ are refused by name when they are taken in."""

_CHUNK = 1 << 20
_SEPARATORS = (",", ";", "\t", "|")
_STYLES = ((".", ","), (",", "."), (".", "'"), (",", " "), (",", "\u00a0"), (",", "\u202f"), (".", " "), (",", "'"))
"""Character before the fraction and between thousands; the first of those that fit equally well is taken."""
_PLAIN = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
_DAY_DIGITS = r"^(19|20)\d{6}$"
_DIGITS = r"^[-+]?\d[\d.,' \u00a0\u202f]*([eE][-+]?\d+)?$"
_DAYS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%Y%m%d",
    "%d %b %Y",
    "%b %d, %Y",
    "%d.%m.%y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d-%b-%Y",
    "%d %B %Y",
    "%B %d, %Y",
)
_CLOCKS = (
    "",
    " %H:%M:%S",
    " %H:%M",
    "T%H:%M:%S",
    "T%H:%M",
    " %H:%M:%S%.f",
    "T%H:%M:%S%.f",
    " %I:%M %p",
    " %I:%M:%S %p",
)
_OFFSETS = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S%z", "%Y-%m-%dT%H:%M:%S%.f%z")
_SWAPPED = {"%d/%m/": "%m/%d/", "%m/%d/": "%d/%m/"}
_EPOCH_WORD = re.compile(
    r"(?:^|_)(ts|time|timestamp|epoch|unixtime|unix|datetime|at|date|created|event)(?:_|$)", re.IGNORECASE
)
_EPOCHS = {"epoch_s": (631_152_000, 4_102_444_800), "epoch_ms": (631_152_000_000, 4_102_444_800_000)}


class Found(msgspec.Struct, frozen=True):
    """How a file is written, with a sentence for each thing that was not plain."""

    source: Csv
    says: tuple[str, ...]


def sniff(file: Path, *, path: str) -> Found:
    """Work out how a CSV file is written.

    Parameters
    ----------
    file
        The file.
    path
        How the definitions will name it.

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
    says = [] if encoding == "utf-8" else [f"its text is not UTF-8, it was read as {encoding}"]
    source = Csv(path, encoding=encoding, separator=_separator(file, encoding))
    if source.separator != ",":
        says.append(f"its fields are separated by {source.separator!r}")
    names = header(file, source, where=where)
    _refuse_no_names(names, where)
    texts = read_csv(file, source, kinds={}, where=where, as_text=True, rows=MOST_ROWS)
    if not texts.height:
        raise BadData(f"{where} is empty: it has a header and no rows", expected="at least one row")
    found = _numbers(texts, source)
    rest = [each for each in texts.columns if each not in found.numbers]
    formats, said = formats_of(texts.select(rest))
    return Found(msgspec.structs.replace(found, times=formats), (*says, *_said_of_numbers(found), *said))


def formats_of(frame: pl.DataFrame) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Find the columns of a frame that are times written as text, date or number, and how they are written.

    Returns
    -------
    tuple
        Column to formats, without those that need none; and a sentence for each thing worth saying.
    """
    formats: dict[str, tuple[str, ...]] = {}
    says: list[str] = []
    written = frame.select(pl.col(pl.String))
    numbers = _all_like(written, _PLAIN) - _all_like(written, _DAY_DIGITS) if written.width else set()
    for name, kind in frame.schema.items():
        if name in numbers and not _EPOCH_WORD.search(name):
            continue
        column = frame[name].drop_nulls()
        if column.is_empty():
            continue
        if kind == pl.Date:
            formats[name] = ("date",)
        elif kind == pl.String:
            found, said = _text_times(column.unique().head(20_000)) if name not in numbers else ((), "")
            found = found or _epoch(name, column.cast(pl.Float64, strict=False))
            if found:
                formats[name] = found
            says += [f"{name!r}: {said}"] if said else []
        elif kind.is_numeric() and (found := _epoch(name, column.cast(pl.Float64))):
            formats[name] = found
    return formats, says


def _encoding(file: Path) -> str:
    """Return utf-8 where the whole file is, else the 8-bit encoding most often met."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    first = True
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as raw:
            while chunk := raw.read(_CHUNK):
                if first and chunk[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                    return "utf-16"
                if first and b"\0" in chunk:
                    raise BadData(f"{file.name} is not a text file", expected="CSV, Parquet or a Delta table's folder")
                first = False
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252" if _decodes(file, "cp1252") else "latin-1"
    except (gzip.BadGzipFile, EOFError) as wrong:
        raise BadData(f"{file.name} is not a gzip file: {wrong}", expected="a file that ends well") from None
    if first:
        raise BadData(f"{file.name} is empty", expected="a header line and rows")
    return "utf-8"


def _decodes(file: Path, encoding: str) -> bool:
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as raw:
        try:
            while chunk := raw.read(_CHUNK):
                chunk.decode(encoding)
        except UnicodeDecodeError:
            return False
    return True


def _separator(file: Path, encoding: str) -> str:
    """Choose the separator that parts the first lines into the same number of fields, the more the better."""
    best, most = ",", 1
    for each in _SEPARATORS:
        with (
            gzip.open(file, "rt", encoding=encoding, newline="")
            if file.suffix == ".gz"
            else file.open(encoding=encoding, newline="") as text
        ):
            rows = [row for row in itertools.islice(csv.reader(text, delimiter=each), 50) if row]
        widths = [len(row) for row in rows]
        if widths and widths.count(widths[0]) >= 0.9 * len(widths) and widths[0] > most:
            best, most = each, widths[0]
    return best


def _refuse_no_names(names: list[str], where: str) -> None:
    numbers = [each for each in names if re.fullmatch(r"[-+]?\d+([.,]\d+)?", each.strip())]
    if len(numbers) > len(names) / 2:
        raise BadData(
            f"the first line of {where} looks like data, not names: {', '.join(names[:5])}",
            expected="a first line that names the columns",
            do="add one",
        )


def _numbers(texts: pl.DataFrame, source: Csv) -> Csv:
    """Find the columns that are numbers with a decimal comma or thousands separators; one style a file."""
    plain = _all_like(texts, _PLAIN)
    odd: dict[str, pl.Series] = {}
    for name in texts.columns:
        if name in plain:
            continue
        column = texts[name].drop_nulls().unique().str.strip_chars()
        if not column.is_empty() and column.head(100).str.contains(_DIGITS).all():
            odd[name] = column
    fits = {
        style: [name for name, column in odd.items() if column.str.contains(_written(*style)).all()]
        for style in _STYLES
    }
    decimal, thousands = max(_STYLES, key=lambda style: len(fits[style]))
    chosen = fits[decimal, thousands]
    if not chosen:
        return source
    if thousands == ".":
        chosen = [*chosen, *(each for each in plain if _three_digits(texts[each].drop_nulls().str.strip_chars()))]
    ordered = tuple(each for each in texts.columns if each in chosen)
    return msgspec.structs.replace(source, decimal=decimal, thousands=thousands, numbers=ordered)


def _all_like(texts: pl.DataFrame, pattern: str) -> set[str]:
    """Name the columns of which every value has a pattern; a column without values has all patterns."""
    fits = texts.select(pl.all().str.strip_chars().str.contains(pattern).all()).row(0, named=True)
    return {name for name, fit in fits.items() if fit}


def _written(decimal: str, thousands: str) -> str:
    return rf"^[-+]?(\d+|\d{{1,3}}({re.escape(thousands)}\d{{3}})+)({re.escape(decimal)}\d+)?$"


def _three_digits(column: pl.Series) -> bool:
    """Say whether every value with a point has exactly three digits behind it, as thousands have."""
    pointed = column.filter(column.str.contains(".", literal=True))
    return bool(not pointed.is_empty() and pointed.str.contains(r"^[-+]?[1-9]\d{0,2}(\.\d{3})+$").all())


def _said_of_numbers(source: Csv) -> list[str]:
    if not source.numbers:
        return []
    marks = [f"{source.decimal!r} before the fraction"] if source.decimal != "." else []
    marks += [f"{source.thousands!r} between thousands"] if source.thousands else []
    return [f"numbers with {' and '.join(marks)}: {', '.join(source.numbers)}"]


def _text_times(values: pl.Series) -> tuple[tuple[str, ...], str]:
    """Find the formats of texts that are times, and what is uncertain about them."""
    start = values.head(200).str.strip_chars()
    if not start.str.contains(r"\d.*[-/.: ].*\d|^\d{8}$").mean():
        return (), ""
    fits: dict[str, pl.Series] = {}
    for each in (*_OFFSETS, *(day + clock for clock in _CLOCKS for day in _DAYS)):
        if times(start, (each,)).is_not_null().any():
            read = times(values, (each,)).is_not_null()
            if read.any():
                fits[each] = read
    whole = [each for each, read in fits.items() if read.all()]
    if whole:
        other = _swapped(whole[0])
        if other in whole:
            return (whole[0],), f"days and months cannot be told apart; read as {whole[0]}"
        return (whole[0],), ""
    chosen: list[str] = []
    left = pl.repeat(True, values.len(), eager=True)
    for each in sorted(fits, key=lambda name: -int(fits[name].sum())):
        if (fits[each] & left).any():
            chosen.append(each)
            left = left & ~fits[each]
    if not chosen or left.any():
        share = float((~left).sum()) / values.len()
        return (), f"{share:.0%} of its values look like times, the others do not; kept as text" if share > 0.5 else ""
    if any(_swapped(each) in fits for each in chosen):
        return (), "its dates are written day first and month first, which cannot be told apart; kept as text"
    if len({each.endswith("%z") for each in chosen}) > 1:
        return (), "some of its times have a zone and others have none; kept as text"
    return tuple(chosen), f"its times are written in {len(chosen)} ways: {', '.join(chosen)}"


def _swapped(form: str) -> str:
    for day_first, month_first in _SWAPPED.items():
        if form.startswith(day_first):
            return form.replace(day_first, month_first, 1)
    return ""


def _epoch(name: str, column: pl.Series) -> tuple[str, ...]:
    """Take numbers for times only where they are named like one and lie between 1990 and 2100."""
    if not _EPOCH_WORD.search(name) or column.null_count():
        return ()
    for form, (low, high) in _EPOCHS.items():
        if column.is_between(low, high).all():
            return (form,)
    return ()
