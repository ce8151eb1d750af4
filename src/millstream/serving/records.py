"""What the prediction log holds: framed records in segments, and reading them back.

A segment is one file, ``<incarnation>-<first sequence>.log``: frames of length, CRC-32, sequence and payload. Sequences
of a segment have no gaps. An id is incarnation and sequence, so it says which segment holds its record. Beside a
segment lies ``.at``: the offset of every 64th frame, which makes finding one record a short walk. It is a hint, never
trusted: every frame found through it is checked.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec

from millstream.errors import NotFound

Scalar: TypeAlias = bool | int | float | str | None
"""What JSON can say in one field."""

FRAME = struct.Struct("<IIQ")
STRIDE = 64
_FURTHEST = 256
"""How many frames in a row may be damaged with those behind them still being looked for."""
LARGEST_PAYLOAD = 16 << 20
_OFFSET = struct.Struct("<Q")
_SEQUENCE = struct.Struct("<Q")


class Prediction(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """One answer as it left.

    Parameters
    ----------
    at_us, wall_us
        Instant the answer is for, by the project's clock, and by the machine's; microseconds since the epoch.
    model, version, release
        Who answered: model, version in the registry, hash of the release.
    key, row
        The row's key, and all that the caller sent.
    value
        The answer's number: of classes the probability of the one that was said, of quantiles the median, of clusters
        the distance to its own.
    answered_by, degraded, reason
        "champion", "previous" or "baseline"; whether it is not the champion's, and why.
    features
        Features as the model saw them, little-endian float64, in the order of the model's features.
    applied
        Versions of the tables that the features reflect.
    latency_us
        From request read to answer computed, before the log.
    bucket
        "live", or "shadow" for an answer nobody saw.
    said
        What the answer said beside its number: ``class`` and ``probabilities``, ``quantiles``, ``decision``,
        ``flagged``, or ``class``, ``distance`` and ``distances``.
    digest
        Of features, instant, release and versions (see ``serving.digest``); empty where no features were looked up.
    """

    at_us: int
    wall_us: int
    model: str
    version: int
    release: str
    key: dict[str, Scalar]
    row: dict[str, Scalar]
    value: float
    answered_by: str
    degraded: bool
    reason: str
    features: bytes
    applied: dict[str, int]
    latency_us: int
    bucket: str = "live"
    said: dict[str, Any] = {}
    digest: str = ""

    @property
    def about(self) -> str:
        """Name the row it is about: the parts of its key with ``|`` between."""
        return key_text(self.key)

    def values(self) -> list[float]:
        """Return the features as numbers; a missing one is NaN."""
        numbers = array("d")
        numbers.frombytes(self.features)
        return numbers.tolist()


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag="o"):
    """The truth about one row, as it was reported.

    Parameters
    ----------
    at_us, wall_us
        Instant it was reported, by the project's clock and by the machine's; microseconds since the epoch.
    model, key, label
        Of which model's rows, which row (empty where ``prediction`` says which answer), and what came out.
    prediction
        Id of the one prediction it is about; empty where it is about a row.
    """

    at_us: int
    wall_us: int
    model: str
    key: dict[str, Scalar]
    label: bool | int | float | str | None
    prediction: str = ""

    @property
    def about(self) -> str:
        """Name what it is about as predictions are named: an id, or the parts of a key with ``|`` between."""
        return self.prediction or key_text(self.key)


def key_text(key: Mapping[str, Scalar]) -> str:
    """Write a key as one text.

    >>> key_text({"origin": "JFK", "flight": 7})
    'JFK|7'
    """
    return "|".join(map(str, key.values()))


Record: TypeAlias = Prediction | Outcome


class Logged(NamedTuple):
    """A record with the id it got when it was written."""

    id: str
    sequence: int
    record: Record

    @property
    def prediction(self) -> Prediction | None:
        """Return the record if it is a prediction."""
        return self.record if isinstance(self.record, Prediction) else None

    @property
    def outcome(self) -> Outcome | None:
        """Return the record if it is an outcome."""
        return self.record if isinstance(self.record, Outcome) else None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Prediction | Outcome)


def encode(record: Record) -> bytes:
    """Pack a record."""
    return _encoder.encode(record)


def frame(payload: bytes, sequence: int) -> bytes:
    """Wrap a packed record; the checksum covers the sequence too."""
    return FRAME.pack(len(payload), checksum(payload, sequence), sequence) + payload


def checksum(payload: bytes, sequence: int) -> int:
    """CRC-32 of a payload that follows its sequence."""
    return zlib.crc32(payload, zlib.crc32(_SEQUENCE.pack(sequence)))


def record_id(incarnation: str, sequence: int) -> str:
    """Name a record.

    >>> record_id("k3v9q2x7", 12)
    'k3v9q2x7-12'
    """
    return f"{incarnation}-{sequence}"


def parse_id(id: str) -> tuple[str, int]:
    """Read an id.

    >>> parse_id("k3v9q2x7-12")
    ('k3v9q2x7', 12)

    Raises
    ------
    NotFound
        When it is not the id of a record.
    """
    incarnation, _, sequence = id.partition("-")
    if not (incarnation.isalnum() and incarnation.isascii() and sequence.isdecimal() and sequence.isascii()):
        raise NotFound(
            f"{id!r} is not the id of a prediction", expected="an id as an answer gave it, such as 'k3v9q2x7-12'"
        )
    return incarnation, int(sequence)


def segment_name(incarnation: str, first: int) -> str:
    """Name the file of a segment; names of one incarnation sort by sequence."""
    return f"{incarnation}-{first:016d}.log"


def parse_segment(path: Path) -> tuple[str, int]:
    """Return a segment's incarnation and first sequence."""
    incarnation, _, first = path.stem.partition("-")
    return incarnation, int(first)


def segments(*folders: Path) -> list[Path]:
    """List the segments of folders, each incarnation's in order."""
    return sorted((path for folder in folders for path in folder.glob("*-*.log")), key=lambda path: path.name)


def read(path: Path, offset: int = 0, *, most: int = 100_000, over_damage: bool = False) -> tuple[list[Logged], int]:
    """Read whole records from a byte offset on; safe while another process appends.

    Parameters
    ----------
    path
        A segment.
    offset
        0, or the offset an earlier read returned.
    most
        Records to return at most; about 2 µs each.
    over_damage
        Go on behind a frame that does not hold, if whole ones follow: for a segment that nobody writes any more.

    Returns
    -------
    tuple
        The records, and the offset to go on from. A torn tail ends the reading.
    """
    incarnation, here = parse_segment(path)
    found: list[Logged] = []
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    at, last = 0, here - 1
    while len(found) < most:
        payload, sequence, after = whole_frame(data, at)
        if payload is None and over_damage:
            at = next_whole(data, at, last)
            payload, sequence, after = whole_frame(data, at)
        if payload is None:
            break
        last = sequence
        found.append(Logged(record_id(incarnation, sequence), sequence, _decoder.decode(payload)))
        at = after
    return found, offset + at


def whole_frame(data: bytes, at: int) -> tuple[bytes | None, int, int]:
    """Return payload, sequence and end of the frame at an offset; None when it is torn or not a frame."""
    if at + FRAME.size > len(data):
        return None, 0, at
    length, crc, sequence = FRAME.unpack_from(data, at)
    start = at + FRAME.size
    payload = data[start : start + length]
    if length == 0 or length > LARGEST_PAYLOAD or len(payload) != length or checksum(payload, sequence) != crc:
        return None, 0, at
    return payload, sequence, start + length


def next_whole(data: bytes, at: int, last: int) -> int:
    """Return where the next whole frame begins behind one that does not hold, or ``at`` when none follows.

    ``last`` is the sequence of the last frame that held. A torn tail is followed by nothing; whole frames behind it
    mean that something in the middle was damaged later.
    """
    places = []
    for sequence in range(last + 1, last + 2 + _FURTHEST):
        place = data.find(_SEQUENCE.pack(sequence), at) - (FRAME.size - _SEQUENCE.size)
        if place > at and whole_frame(data, place)[0] is not None:
            places.append(place)
            break
    return min(places, default=at)


def find(id: str, *folders: Path) -> Logged:
    """Find one record by its id: its segment by name, its frame through the offsets beside, at most 64 frames walked.

    Raises
    ------
    NotFound
        When no segment here holds it; it may have been sealed and moved to the lake.
    """
    incarnation, sequence = parse_id(id)
    candidates = [path for path in segments(*folders) if path.name.startswith(f"{incarnation}-")]
    for path in reversed(candidates):
        _, first = parse_segment(path)
        if first > sequence:
            continue
        record = _find_in(path, sequence, first)
        if record is not None:
            return Logged(id, sequence, record)
    raise NotFound(
        f"no prediction {id!r} is in the log",
        expected=f"a segment of {incarnation} with sequence {sequence}; sealed segments are in the lake",
    )


def _find_in(path: Path, sequence: int, first: int) -> Record | None:
    with path.open("rb") as file:
        for start in (_hint(path, sequence - first), 0):
            file.seek(start)
            while head := file.read(FRAME.size):
                if len(head) < FRAME.size:
                    break
                length, crc, here = FRAME.unpack(head)
                if here < first or here > sequence or length > LARGEST_PAYLOAD:
                    break
                if here < sequence:
                    file.seek(length, 1)
                    continue
                payload = file.read(length)
                if len(payload) == length and checksum(payload, here) == crc:
                    record: Record = _decoder.decode(payload)
                    return record
                break
    return None


def hint_file(path: Path) -> Path:
    """Return where the offsets of every 64th frame of a segment lie."""
    return path.with_suffix(".at")


def pack_offset(offset: int) -> bytes:
    """Pack one offset for the file beside a segment."""
    return _OFFSET.pack(offset)


def _hint(path: Path, index: int) -> int:
    try:
        with hint_file(path).open("rb") as file:
            size = file.seek(0, 2) // _OFFSET.size
            if not size:
                return 0
            file.seek(min(index // STRIDE, size - 1) * _OFFSET.size)
            offset: int = _OFFSET.unpack(file.read(_OFFSET.size))[0]
            return offset if offset < path.stat().st_size else 0
    except (OSError, struct.error):
        return 0


def describe(logged: Logged) -> dict[str, Any]:
    """Return a record as plain data for people: features as a list, NaN as None."""
    said: dict[str, Any] = {"id": logged.id, **msgspec.structs.asdict(logged.record)}
    if isinstance(logged.record, Prediction):
        said["features"] = [None if value != value else value for value in logged.record.values()]
    return said
