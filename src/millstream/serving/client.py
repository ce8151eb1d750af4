"""A small HTTP client with kept connections, for many requests in flight from one event loop.

It speaks what the scoring server speaks: HTTP/1.1, one request at a time on a connection, answers with a length.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from millstream.errors import Unavailable

_HEAD_END = b"\r\n\r\n"


class Client:
    """Asks a scoring server.

    Parameters
    ----------
    url
        Its address, such as ``http://127.0.0.1:8311``.
    connections
        At most this many requests are in flight; others wait their turn.
    timeout_s
        How long one answer may take.

    Notes
    -----
    A request whose kept connection was closed before any of the answer came is sent once more: an answer may then be
    logged twice under two ids, of which one never left.
    """

    def __init__(self, url: str, *, connections: int = 32, timeout_s: float = 10.0) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        named = f"[{self._host}]" if ":" in self._host else self._host
        self._ends = f" HTTP/1.1\r\nhost: {named}:{self._port}\r\n".encode()
        self._timeout_s = timeout_s
        self._free: list[_Connection] = []
        self._open = 0
        self._most = connections
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, wrong: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use."""
        for each in self._free:
            each.close()
        self._free.clear()

    async def predict(
        self, model: str, rows: Sequence[Mapping[str, Any]], *, at: str | None = None
    ) -> list[dict[str, Any]]:
        """Predict rows; ``at`` is for replay servers.

        Raises
        ------
        Unavailable
            When the server does not answer 200; the message holds what it said.
        """
        asked = {"rows": rows} if at is None else {"rows": rows, "at": at}
        predictions: list[dict[str, Any]] = await self._asked(f"/v1/models/{model}/predict", asked, "predictions")
        return predictions

    async def outcomes(self, model: str, outcomes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Report outcomes; raises as ``predict`` does."""
        taken: list[dict[str, Any]] = await self._asked(
            f"/v1/models/{model}/outcomes", {"outcomes": outcomes}, "outcomes"
        )
        return taken

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Send JSON; return status and body.

        Raises
        ------
        OSError
            When the connection fails; ``TimeoutError`` when the answer takes too long.
        """
        head = b"POST " + path.encode() + self._ends
        head += b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        return await self._send(head + body)

    async def get(self, path: str) -> tuple[int, bytes]:
        """Fetch a path; return status and body. Raises as ``post`` does."""
        return await self._send(b"GET " + path.encode() + self._ends + b"\r\n")

    async def _asked(self, path: str, asked: Any, field: str) -> Any:
        status, answer = await self.post(path, msgspec.json.encode(asked))
        if status != 200:
            raise Unavailable(f"the scoring server said {status}: {answer[:500].decode(errors='replace')}")
        return msgspec.json.decode(answer)[field]

    async def _send(self, request: bytes) -> tuple[int, bytes]:
        while not self._free and self._open >= self._most:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self._open += 1
        try:
            while self._free:
                connection = self._free.pop()
                try:
                    return await self._exchange(connection, request)
                except ConnectionResetError:
                    if not connection.untouched:
                        raise
            return await self._exchange(await self._connect(), request)
        finally:
            self._open -= 1
            while self._waiting:
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    break

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_s):
            _, connection = await loop.create_connection(_Connection, self._host, self._port)
        return connection

    async def _exchange(self, connection: _Connection, request: bytes) -> tuple[int, bytes]:
        answer = connection.ask(request)
        handle = answer.get_loop().call_later(self._timeout_s, connection.late)
        try:
            reply = await answer
        except BaseException:
            connection.close()
            raise
        finally:
            handle.cancel()
        if connection.kept:
            self._free.append(connection)
        else:
            connection.close()
        return reply


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.kept = True
        self.untouched = True
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._data = b""
        self._status = self._start = self._end = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._answer = asyncio.get_running_loop().create_future()
        self.untouched, self._data, self._end = True, b"", 0
        if self._transport is None or self._transport.is_closing():
            self._answer.set_exception(ConnectionResetError("the server closed the connection"))
        else:
            self._transport.write(request)
        return self._answer

    def late(self) -> None:
        self._fail(TimeoutError("the server did not answer in time"))

    def close(self) -> None:
        self.kept = False
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self.untouched = False
        self._data = self._data + data if self._data else data
        if not self._end and not self._read_head():
            return
        if len(self._data) >= self._end and self._answer is not None and not self._answer.done():
            self._answer.set_result((self._status, self._data[self._start : self._end]))

    def _read_head(self) -> bool:
        at = self._data.find(_HEAD_END)
        if at < 0:
            return False
        head = self._data[:at].lower()
        self._status = int(head[9:12])
        self._start = self._end = at + len(_HEAD_END)
        place = head.find(b"\r\ncontent-length:")
        if place >= 0:
            self._end += int(head[place + 17 :].split(b"\r\n", 1)[0])
        self.kept = b"\r\nconnection: close" not in head
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.kept = False
        self._fail(ConnectionResetError("the server closed the connection"))

    def _fail(self, wrong: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(wrong)
