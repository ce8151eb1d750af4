"""The few words of HTTP the scoring server speaks: bounded bodies, strict JSON, problem documents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from millstream.errors import BadData, MillstreamError, Refused, UserError

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", b"application/problem+json")
TEXT = (b"content-type", b"text/plain; charset=utf-8")
CLOSE = (b"connection", b"close")

_DISCARD = 16 << 20
"""Too large a body is read and thrown away up to here: a caller still sending would not hear why it was refused."""

_DIGITS = 18
"""Digits of a length that anybody means."""

_Kind = TypeVar("_Kind")
Header: TypeAlias = tuple[bytes, bytes]


class Refusal(UserError):
    """A request that HTTP itself has a status for."""

    def __init__(self, status: int, happened: str, *, expected: str = "", do: str = "") -> None:
        super().__init__(happened, expected=expected, do=do)
        self.http_status = status


class Reply(NamedTuple):
    """What goes back."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = (JSON,)


def problem(wrong: MillstreamError) -> Reply:
    """Turn an error into its problem document; 503 says when to come back, a broken body ends the connection."""
    status = wrong.http_status
    headers: tuple[Header, ...] = (PROBLEM,)
    if status == 503:
        headers += ((b"retry-after", b"1"),)
    if status in (408, 413):
        headers += (CLOSE,)
    return Reply(status, msgspec.json.encode(wrong.problem()), headers)


async def send(reply: Reply, to: Send) -> None:
    """Send a reply with its length."""
    length = (b"content-length", str(len(reply.body)).encode())
    await to({"type": "http.response.start", "status": reply.status, "headers": [*reply.headers, length]})
    await to({"type": "http.response.body", "body": reply.body})


def check_host(headers: list[Header], hosts: frozenset[str]) -> None:
    """Refuse a request that was addressed to somebody else, as a page of another site would send it."""
    named = [value for name, value in headers if name == b"host"]
    host = named[0].decode("latin-1") if len(named) == 1 else ""
    bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if bare.lower() not in hosts:
        raise Refusal(
            400,
            f"the request is addressed to {host[:80]!r}",
            expected=f"one Host header with one of {', '.join(sorted(hosts))}",
            do="use the address the server printed",
        )


def check_origin(headers: list[Header]) -> None:
    """Refuse what a page of another site has a browser send: it would be logged as an answer or an outcome of ours."""
    named = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    host = next((value.decode("latin-1").lower() for name, value in headers if name == b"host"), "")
    if any(origin.lower() != f"http://{host}" for origin in named):
        raise Refused(
            f"a page of {named[0][:80]!r} may not ask this server",
            expected="a request that no other site's page sends",
            do="ask from a program; a page asks the server it came from, which asks this one",
        )


async def read_body(headers: list[Header], receive: Receive, *, limit: int, timeout_s: float) -> bytes:
    """Read a whole body.

    Raises
    ------
    Refusal
        413 when it is larger than ``limit`` bytes, 408 when it takes longer than ``timeout_s``, 400 when it ends early.
    """
    said = next((value.lstrip(b"0") for name, value in headers if name == b"content-length"), b"")
    if len(said) > _DIGITS or int(said or b"0") > max(limit, _DISCARD):
        raise _too_large(limit)
    body, size = b"", 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "the connection closed before the whole body came")
                part = message.get("body", b"")
                size += len(part)
                body = body + part if size <= limit else b""
                if not message.get("more_body"):
                    break
                if size > max(limit, _DISCARD):
                    raise _too_large(limit)
    except TimeoutError:
        if size > limit:
            raise _too_large(limit) from None
        raise Refusal(
            408, f"the body did not come in {timeout_s:g} s", expected="a body sent at once", do="send it again"
        ) from None
    if size > limit:
        raise _too_large(limit)
    return body


def decode(body: bytes, decoder: msgspec.json.Decoder[_Kind], form: str) -> _Kind:
    """Decode JSON strictly; ``form`` shows what was expected.

    Raises
    ------
    BadData
        For what is not JSON (NaN and Infinity are not), has the wrong shape, is too deep or a number too large.
    """
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as wrong:
        raise BadData(
            f"the body cannot be read: {str(wrong)[:200]}",
            expected=f"JSON such as {form}; numbers finite, nothing nested in a row",
            do="GET /openapi.json",
        ) from None


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the body is larger than {limit:,} bytes", expected="fewer rows", do="send several requests")
