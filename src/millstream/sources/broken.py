"""CSV that the quick reader refuses: what is wrong with it and in which line, or the same rows written plainly."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from millstream.definitions.sources import Csv
from millstream.errors import BadData
from millstream.sources.unpacking import is_packed, unpacked

_TAIL = 1 << 16
_LONGEST = 1 << 24


def rewritten(file: Path | bytes, source: Csv, *, width: int, where: str, before: int = 0) -> io.BytesIO:
    """Read a file record by record, slowly, and write it again with every quote as the quick reader wants it.

    Parameters
    ----------
    file
        The file, or UTF-8 text of it.
    source, where
        How to read it, and what it is, for messages.
    width
        Fields that its header names.
    before
        Lines of the file that stand before the text.

    Raises
    ------
    BadData
        Naming the line with more fields than the header, or where a quote opens that is never closed.
    """
    _refuse_open_quote(file, source, where=where, before=before)
    made = io.StringIO()
    writer = csv.writer(made, delimiter=source.separator, lineterminator="\n")
    for number, record in _records(file, source, strict=False):
        line = number + before
        if len(record) > width:
            raise BadData(
                f"line {line:,} of {where} has {len(record)} fields, its header names {width}: "
                f"{source.separator.join(record)[:80]}",
                expected=f"{width} fields, each that holds a {source.separator!r} in double quotes",
                do="correct the line, or what is above the names of the columns",
            )
        writer.writerow(record)
    return io.BytesIO(made.getvalue().encode())


def refuse_cut_off(file: Path, source: Csv, *, width: int, where: str) -> None:
    """Refuse a file whose last line ends in the middle, as one does that was copied or written in part.

    Raises
    ------
    BadData
        When the last line has no end and fewer fields than the header.
    """
    if is_packed(file.name) or width < 2:
        return
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - _TAIL))
        last = opened.read().decode(source.encoding, errors="replace").rpartition("\n")[2]
    fields = last.count(source.separator) + 1
    if last.strip() and '"' not in last and fields < width:
        raise BadData(
            f"the last line of {where} is cut off: it has {fields} of {width} fields and no end: {last[:80]}",
            expected="a whole file",
            do="copy or export it again",
        )


def short_lines(file: Path | bytes, source: Csv, *, width: int) -> tuple[int, int]:
    """Count the lines with fewer fields than the header, and name the first (0 where there is none)."""
    short = [line for line, record in _records(file, source, strict=False) if 0 < len(record) < width]
    return len(short), short[0] if short else 0


def line_of(file: Path | bytes, source: Csv, *, column: int, value: str) -> int:
    """Return the first line with a value in a column, counted from 0; 0 where it is not found."""
    for line, record in _records(file, source, strict=False):
        if len(record) > column and record[column].strip() == value.strip():
            return line
    return 0


def refuse_other_encoding(file: Path, source: Csv, *, where: str) -> None:
    """Refuse text that is not of its encoding: which line, and what it looks like.

    Raises
    ------
    BadData
        Naming the first such line, how many there are, and the encoding they look like.
    """
    first, count, other, example = 0, 0, 0, b""
    with unpacked(file) as raw:
        for number, line in enumerate(raw, start=1):
            try:
                line.decode(source.encoding)
                other += not line.isascii()
            except UnicodeDecodeError as wrong:
                count += 1
                if not first:
                    first, example = number, line[max(0, wrong.start - 20) : wrong.start + 20]
    if not first:
        return
    looks = _looks(example)
    said = f"{count:,} lines are not, {other:,} are: two encodings in one file" if other else "as far as the file goes"
    shown = repr(example.decode(looks))
    raise BadData(
        f"line {first:,} of {where} is not {source.encoding}: it looks like {looks}, {shown} ({said})",
        expected=f"{source.encoding} text throughout",
        do="write the file in one encoding" if other else f"encoding={looks!r} in its source",
    )


def _looks(text: bytes) -> str:
    try:
        text.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _refuse_open_quote(file: Path | bytes, source: Csv, *, where: str, before: int) -> None:
    began = 1 + before
    try:
        for line, _ in _records(file, source, strict=True):
            began = line + 1 + before
    except csv.Error as wrong:
        if "unexpected end of data" in str(wrong) or "field limit" in str(wrong):
            raise BadData(
                f"a quote that opens in line {began:,} of {where}, or soon after, is never closed",
                expected='pairs of double quotes; one inside a quoted field written twice ("")',
                do=f"look at the file from line {began:,}",
            ) from None


def _records(file: Path | bytes, source: Csv, *, strict: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the line it ends in."""
    utf8 = isinstance(file, bytes) or source.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    encoding = "utf-8-sig" if utf8 else source.encoding
    before = csv.field_size_limit(_LONGEST)
    try:
        raw: IO[bytes] = io.BytesIO(file) if isinstance(file, bytes) else unpacked(file)
        with io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="") as text:
            reader = csv.reader(text, delimiter=source.separator, strict=strict)
            for record in reader:
                yield reader.line_num, record
    finally:
        csv.field_size_limit(before)
