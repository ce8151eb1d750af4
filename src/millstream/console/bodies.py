"""Reading what a request carries, within a size and a time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from millstream.errors import UserError

LIMIT = 1 << 20
"""Bytes of a body that is read at all."""
PATIENCE_S = 4.0
"""How long a body may take to arrive."""


async def read_body(request: Request, *, limit: int = LIMIT, patience_s: float = PATIENCE_S) -> bytes:
    """Read the body of a request.

    Raises
    ------
    UserError
        When it is larger than ``limit`` bytes, does not arrive in ``patience_s`` seconds, or breaks off.
    """
    raw = bytearray()
    try:
        async with asyncio.timeout(patience_s):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > limit:
                    raise UserError(f"the request is larger than {limit:,} bytes", expected="a small object")
    except TimeoutError:
        raise UserError(f"the request did not arrive whole in {patience_s:g} s", do="send it again") from None
    except ClientDisconnect:
        raise UserError("the request broke off") from None
    return bytes(raw)
