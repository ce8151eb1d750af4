"""A worker that holds one fitted Python model and answers for it: ``python -m millstream.training.worker FD``.

It speaks over one Unix socket, frames of msgpack with their length before them: first the model (its bytes and the
project's own code, so that nothing is read from disk), then rows, then answers. It imports what the model needs, runs
one thread, ends with its parent, and is the only place where a pickle is opened.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from typing import Any

import msgspec

from millstream.errors import Refused
from millstream.processes import die_with_parent

_LENGTH_BYTES = 8
_here = False
"""Whether this process is a worker."""


class Opening(msgspec.Struct, frozen=True):
    """A model: what ``model.json`` says of it, and its files beside."""

    said: dict[str, Any]
    files: dict[str, bytes]


class Asked(msgspec.Struct, frozen=True):
    """Requests that are answered together: how many rows each has, and all rows as float64, one after another."""

    rows: list[int]
    features: bytes


class Part(msgspec.Struct, frozen=True):
    """The answer to one request: float64, ``width`` a row (0: one number a row), or what went wrong."""

    values: bytes = b""
    width: int = 0
    wrong: str = ""


class Told(msgspec.Struct, frozen=True):
    """Answers, one a request; the answer to an opening is one empty part."""

    parts: list[Part]


def send(connection: socket.socket, message: Opening | Asked | Told) -> None:
    """Send one message."""
    body = msgspec.msgpack.encode(message)
    connection.sendall(len(body).to_bytes(_LENGTH_BYTES, "little") + body)


def receive(connection: socket.socket) -> bytes:
    """Receive the body of one message.

    Raises
    ------
    EOFError
        When the other side has ended.
    """
    return _exactly(connection, int.from_bytes(_exactly(connection, _LENGTH_BYTES), "little"))


def _exactly(connection: socket.socket, size: int) -> bytes:
    body = bytearray()
    while len(body) < size:
        part = connection.recv(min(size - len(body), 1 << 20))
        if not part:
            raise EOFError("the other side has ended")
        body += part
    return bytes(body)


def open_model(opening: Opening) -> Any:
    """Read the model of an opening, its own code first.

    Raises
    ------
    Refused
        Outside a worker: reading a pickle runs what it says.
    """
    if not _here:
        raise Refused(
            f"{opening.said.get('file', 'the model')} may run code when it is opened",
            expected="a worker, which holds no keys and no state",
            do="score with the release: millstream score, or the scoring server",
        )
    from millstream.tracking import portable_python
    from millstream.training.own_code import OwnCode

    files = {
        name.removeprefix("code/"): content.decode()
        for name, content in opening.files.items()
        if name.startswith("code/")
    }
    OwnCode(files).__enter__()  # for as long as this process lives
    return portable_python.read(opening.files[opening.said["file"]], opening.said["format"])


def main() -> None:
    """Open a model and answer until the other side ends."""
    global _here
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _here, sys.dont_write_bytecode = True, True
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        try:
            opening = msgspec.msgpack.decode(receive(connection), type=Opening)
            model = open_model(opening)
        except Exception as wrong:  # noqa: BLE001 - a border: a model may raise anything when it is read
            traceback.print_exc()
            send(connection, Told([Part(wrong=_words(wrong))]))
            return
        send(connection, Told([Part()]))
        try:
            while True:
                asked = msgspec.msgpack.decode(receive(connection), type=Asked)
                send(connection, Told(_answers(model, opening.said, asked)))
        except (EOFError, ConnectionError):
            return


def _answers(model: Any, said: dict[str, Any], asked: Asked) -> list[Part]:
    """Answer requests together; when that fails each alone, so that only the bad one has no answer."""
    try:
        return _together(model, said, asked.rows, asked.features)
    except Exception as wrong:  # noqa: BLE001 - a border: a model may raise anything
        if len(asked.rows) == 1:
            traceback.print_exc()
            return [Part(wrong=_words(wrong))]
    row = 8 * len(said["features"])
    parts, start = [], 0
    for rows in asked.rows:
        parts += _answers(model, said, Asked([rows], asked.features[start * row : (start + rows) * row]))
        start += rows
    return parts


def _together(model: Any, said: dict[str, Any], rows: list[int], features: bytes) -> list[Part]:
    import numpy as np

    from millstream.tracking import portable_python

    matrix = np.frombuffer(features, dtype=np.float64).reshape(sum(rows), len(said["features"]))
    values = portable_python.answer(model, said, matrix)
    parts, start = [], 0
    for each in rows:
        mine = values[start : start + each]
        parts.append(Part(mine.tobytes(), mine.shape[1] if mine.ndim == 2 else 0))
        start += each
    return parts


def _words(wrong: BaseException) -> str:
    return f"{type(wrong).__name__}: {wrong}"[:2000]


if __name__ == "__main__":
    from millstream.training.worker import main as run  # not __main__'s: a flag of a module is one flag

    run()
