"""Who may talk to the control plane: its own Host, its own Origin, and whoever holds the printed token."""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from millstream.console.pages import lost_page
from millstream.errors import MillstreamError, Refused, UserError
from millstream.server.problems import problem_response

COOKIE = "millstream-"
"""Begin of the cookie's name; the port follows, since browsers do not keep the ports of a host apart."""
POSTS = "/v1/tables/"
_SAFE = {"GET", "HEAD", "OPTIONS"}
_OPEN = {"/health"}


class Unauthenticated(UserError):
    """No token, or not this project's."""

    http_status = 401


class Guard:
    """ASGI middleware that lets a request through only when Host, Origin and token are right.

    Parameters
    ----------
    app
        What is guarded.
    token
        The token, printed once when the server starts; a browser that opens ``/?token=...`` keeps it as a cookie.
    hosts
        Values of Host that name this server; a page from elsewhere, or a name rebound to loopback, is refused.
    posting
        A second token, with which rows may be posted and nothing else; empty for none.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: frozenset[str], posting: str = "") -> None:
        self._app = app
        self._token = token
        self._hosts = hosts
        self._posting = posting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one request."""
        if scope["type"] == "websocket":  # there is none here
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._judge(scope, headers)
        if refused is not None:
            looked_at = isinstance(refused, Unauthenticated) and "text/html" in headers.get("accept", "")
            await (lost_page(refused) if looked_at else problem_response(refused))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _judge(self, scope: Scope, headers: dict[str, str]) -> MillstreamError | None:
        host = headers.get("host", "")
        if host not in self._hosts:
            return UserError(f"this server is not {host!r}", expected=" or ".join(sorted(self._hosts)))
        origin = headers.get("origin")
        if (
            scope["method"] not in _SAFE
            and origin is not None
            and origin not in {f"http://{each}" for each in self._hosts}
        ):
            return Refused(f"a page of {origin!r} may not act here", expected="a request from this server's own page")
        if scope["path"] in _OPEN or scope["path"].startswith("/static/"):
            return None
        posts = self._posting and scope["method"] == "POST" and scope["path"].startswith(POSTS)
        good = [each.encode() for each in ([self._token, self._posting] if posts else [self._token])]
        if not any(hmac.compare_digest(one, each.encode()) for one in good for each in _tokens(scope, headers)):
            return Unauthenticated(
                "no valid token with this request",
                expected="the address that `millstream up` printed, with its token",
                do="look where millstream up runs, or into .millstream/run/control.json",
            )
        return None


def _tokens(scope: Scope, headers: dict[str, str]) -> list[str]:
    """List the tokens that came along; one in the address counts alone, since it is kept from then on."""
    asked = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True).get("token")
    if asked is not None:
        return asked[:1] if scope["method"] == "GET" else []
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    cookies = [each.strip().partition("=") for each in headers.get("cookie", "").split(";")]
    found = [value.strip('"') for name, _, value in cookies if name.startswith(COOKIE)]
    return [bearer.strip(), *found] if scheme.lower() == "bearer" else found
