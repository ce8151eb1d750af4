"""Text in parts of whole records, so that a file of any size is read in bounded memory, and a line keeps its number."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

CHUNK_BYTES = 32 * 1024 * 1024
"""Bytes of text in a part; a record that is longer makes a longer part."""


@dataclass(frozen=True)
class Chunk:
    """Whole records of a file.

    Parameters
    ----------
    text
        UTF-8.
    line
        Number of the first line in it, from 1.
    last
        Whether the file ends with it.
    """

    text: bytes
    line: int
    last: bool


def chunks(stream: IO[bytes], *, encoding: str, quoted: bool, size: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """Cut text where a record ends.

    Parameters
    ----------
    stream
        What is in the file, unpacked.
    encoding
        How it is written.
    quoted
        Whether a line end inside double quotes ends no record.
    size
        Bytes of a part.

    Raises
    ------
    UnicodeDecodeError
        For bytes that are no text of the encoding; its ``start`` counts from the start of the file.
    """
    plain = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    decoder = None if plain else codecs.getincrementaldecoder(encoding)()
    rest, line, read = b"", 1, 0
    while True:
        part = _full(stream, size)
        last = len(part) < size
        if decoder is not None:
            part = _decoded(decoder, part, read, last=last).encode()
        elif read == 0:
            part = part.removeprefix(codecs.BOM_UTF8)
        read += size
        held = rest + part
        cut = len(held) if last else _end(held, quoted=quoted)
        if cut:
            yield Chunk(held[:cut], line, last)
            line += held.count(b"\n", 0, cut)
            rest = held[cut:]
        else:
            rest = held
        if last:
            return


def _full(stream: IO[bytes], size: int) -> bytes:
    """Read until the part is full or the file ends; a stream may give less at a time."""
    parts, missing = [], size
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _decoded(decoder: codecs.IncrementalDecoder, part: bytes, read: int, *, last: bool) -> str:
    try:
        return decoder.decode(part, final=last).removeprefix("\ufeff")
    except UnicodeDecodeError as wrong:
        raise UnicodeDecodeError(
            wrong.encoding, wrong.object, wrong.start + read, wrong.end + read, wrong.reason
        ) from None


def _end(text: bytes, *, quoted: bool) -> int:
    """Return where the last record that is whole ends."""
    end = text.rfind(b"\n") + 1
    if not quoted:
        return end
    odd = text.count(b'"', 0, end) % 2
    while end and odd:  # the last line end is inside quotes: go back to one that is not
        before = text.rfind(b"\n", 0, end - 1) + 1
        odd ^= text.count(b'"', before, end) % 2
        end = before
    return end
