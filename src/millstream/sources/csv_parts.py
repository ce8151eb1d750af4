"""CSV of any size, in frames: what the first part shows of the columns holds for all that follow."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl

from millstream.definitions.sources import Csv
from millstream.errors import BadData
from millstream.sources import csvs
from millstream.sources.broken import refuse_cut_off, refuse_other_encoding, rewritten, short_lines
from millstream.sources.chunks import Chunk, chunks
from millstream.sources.unpacking import CUT_SHORT, unpacked

_LOOKED_THROUGH = 1 << 23
"""Text with quotes is looked through for short lines up to this size: it takes long."""


class Misled(Exception):
    """The first rows of a file showed another type than a later one has.

    Parameters
    ----------
    name
        The column, as the file calls it.
    kind
        The type that holds them all.
    """

    def __init__(self, name: str, kind: pl.DataType) -> None:
        super().__init__(name, kind)
        self.name = name
        self.kind = kind


def csv_frames(
    file: Path,
    source: Csv,
    *,
    kinds: Mapping[str, pl.DataType],
    where: str,
    tell: Callable[[str], object] = lambda said: None,
) -> Iterator[pl.DataFrame]:
    """Read a file in frames, columns of ``numbers`` and ``times`` still as text.

    Parameters
    ----------
    file, source
        What to read, and how.
    kinds
        Column to the type it must have; all others are inferred.
    where
        What is read, for messages.
    tell
        Called with what there is to say of lines that are short.

    Raises
    ------
    BadData
        As ``csvs.read_csv``.
    Misled
        When a value is not of the type that was inferred from those before.
    """
    names = csvs.header(file, source, where=where)
    shown = where if where == file.name else f"{file} of {where}"
    try:
        with unpacked(file) as stream:
            parts = chunks(stream, encoding=source.encoding, quoted=True)
            first = next(parts, None)
            if first is None or first.last:
                frame = csvs.read_csv(file, source, kinds=kinds, where=where)
                if first is not None:
                    _tell_short(first, frame, source, shown, tell)
                yield frame
                return
            refuse_cut_off(file, source, width=len(names), where=where)
            yield from _Parts(file, source, names, kinds, where=where, tell=tell).read(first, parts)
    except (UnicodeDecodeError, *CUT_SHORT) as wrong:
        raise csvs.not_text(file, source, wrong, where=where) from None


class _Parts:
    """Parts of one file, read after the first has shown what its columns are."""

    def __init__(
        self,
        file: Path,
        source: Csv,
        names: list[str],
        kinds: Mapping[str, pl.DataType],
        *,
        where: str,
        tell: Callable[[str], object],
    ) -> None:
        self._file = file
        self._source = source
        self._names = names
        self._said = kinds
        self._where = where
        self._shown = f"{file} of {where}"
        self._tell = tell

    def read(self, first: Chunk, rest: Iterator[Chunk]) -> Iterator[pl.DataFrame]:
        """Yield the frame of each part."""
        end = _header_end(first.text)
        self._header = first.text[:end]
        own = dict.fromkeys(
            (*self._source.numbers, *self._source.times, *self._source.texts, *self._source.nulls), pl.String()
        )
        self._kinds: dict[str, pl.DataType] = {
            name.replace('"', '""'): kind for name, kind in {**self._said, **own}.items() if name in self._names
        }
        frame = self._one(first, b"")
        unsure = [
            name for name in frame.columns if name not in self._kinds and frame[name].null_count() == frame.height
        ]
        shown = self._ahead(unsure) if unsure else {}
        frame = frame.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in shown.items())
        self._kinds = dict(frame.schema)
        yield self._named(frame)
        for each in rest:
            yield self._named(self._one(each, self._header))

    def _one(self, part: Chunk, header: bytes) -> pl.DataFrame:
        text = header + part.text
        before = part.line - 1 - header.count(b"\n")
        try:
            frame = self._parsed(io.BytesIO(text), whole=bool(header))
        except csvs.NOT_READ as wrong:
            if "utf" in str(wrong).lower():
                refuse_other_encoding(self._file, self._source, where=self._shown)
            plainly = rewritten(text, self._source, width=len(self._names), where=self._shown, before=before)
            try:
                frame = self._parsed(plainly, whole=bool(header))
            except csvs.NOT_READ as again:
                self._refuse(again, text, before)
                raise
        _tell_short(part, frame, self._source, self._shown, self._tell)
        return frame

    def _parsed(self, content: io.BytesIO, *, whole: bool) -> pl.DataFrame:
        if whole:
            return csvs.parse(content, self._source, self._kinds, 1, as_text=False, rows=None)
        return csvs.frame_of(content, self._source, self._kinds, as_text=False, rows=None)

    def _refuse(self, wrong: Exception, text: bytes, before: int) -> None:
        """Say which line is wrong; or what type the column is of, where it was only inferred."""
        found = csvs.NO_VALUE.search(str(wrong))
        if found:
            name = self._names[int(found["number"]) - 1]
            if name not in self._said:
                number = re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", found["value"].strip().strip('"'))
                raise Misled(name, pl.Float64() if number and found["kind"].startswith("i") else pl.String()) from None
        raise csvs.not_read(
            wrong, self._file, text, self._source, self._names, kinds=self._said, where=self._where, before=before
        ) from None

    def _ahead(self, unsure: list[str]) -> dict[str, pl.DataType]:
        """Look further on for the types of columns that have no value in the first part."""
        found: dict[str, pl.DataType] = {}
        with unpacked(self._file) as stream:
            parts = chunks(stream, encoding=self._source.encoding, quoted=True)
            next(parts)
            for each in parts:
                left = [name for name in unsure if name not in found]
                if not left:
                    break
                try:
                    frame = csvs.frame_of(
                        io.BytesIO(self._header + each.text), self._source, self._kinds, as_text=False, rows=None
                    )
                except csvs.NOT_READ:  # told of when the part is read
                    break
                found |= {name: frame.schema[name] for name in left if frame[name].null_count() < frame.height}
        return found

    def _named(self, frame: pl.DataFrame) -> pl.DataFrame:
        if frame.width != len(self._names):
            raise BadData(
                f"the header of {self._shown} names {len(self._names)} columns, its rows have {frame.width}",
                expected="lines that end in LF or CR LF",
            )
        frame = frame.rename(dict(zip(frame.columns, self._names, strict=True)))
        if frame.width > 1 and frame.height and min(frame.null_count().row(0)) > 0:
            frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
        return frame


def _header_end(text: bytes) -> int:
    end, quotes = 0, 0
    while True:
        line = text.find(b"\n", end) + 1
        if not line:
            return len(text)
        quotes += text.count(b'"', end, line)
        end = line
        if quotes % 2 == 0:
            return end


def _tell_short(part: Chunk, frame: pl.DataFrame, source: Csv, shown: str, tell: Callable[[str], object]) -> None:
    """Say which lines have fewer fields than the header; counting separators finds most files that have none."""
    text, width = part.text, frame.width
    if width < 2 or not frame.height or not frame.to_series(width - 1).null_count():
        return
    if b'"' in text:
        if len(text) > _LOOKED_THROUGH:
            return
    else:
        lines = text.count(b"\n") + (not text.endswith(b"\n"))
        if text.count(source.separator.encode()) >= lines * (width - 1):
            return
    count, first = short_lines(text, source, width=width)
    if count:
        said = "1 line has" if count == 1 else f"{count:,} lines have"
        tell(
            f"{shown}: {said} fewer fields than the header, the first is line {first + part.line - 1:,}; "
            "what they miss is NULL"
        )
