"""Routes of the page: the whole, the part that is asked for again, and the forms of the people who decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from millstream.console.board import board
from millstream.errors import MillstreamError

_ACTS = {"approve": "decision", "reject": "decision", "rollback": "model"}
_FORM_LIMIT = 1 << 16


class Commands(Protocol):
    """What the page needs: a way to carry out a command."""

    def command(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out a command and return its record."""
        ...


def routes(commands: Commands) -> Sequence[BaseRoute]:
    """Build the page's routes over a way to carry out commands."""
    environment = Environment(loader=PackageLoader("millstream.console"), autoescape=True, undefined=StrictUndefined)

    def render(template: str, **said: Any) -> str:
        return environment.get_template(template).render(**said)

    async def current() -> dict[str, Any]:
        return board(await run_in_threadpool(commands.command, "status", {}))

    async def page(request: Request) -> Response:
        token = request.query_params.get("token")
        if token is not None:
            moved = RedirectResponse("/", status_code=303)
            moved.set_cookie("millstream", token, httponly=True, samesite="strict", path="/")
            return moved
        return HTMLResponse(render("page.html", board=await current(), told=None), headers=_HEADERS)

    async def part(_: Request) -> Response:
        return HTMLResponse(render("board.html", board=await current()), headers=_HEADERS)

    async def act(request: Request) -> Response:
        name, subject = request.path_params["act"], request.path_params["subject"]
        form = await _form(request)
        arguments = {_ACTS[name]: subject, "reason": form.get("reason", ""), "actor": form.get("actor", "").strip()}
        try:
            record = await run_in_threadpool(commands.command, name, arguments)
            told, status = {"tone": "good", "says": record["says"], "do": ""}, 200
        except MillstreamError as wrong:
            told, status = {"tone": "bad", "says": wrong.happened, "do": wrong.do or wrong.expected}, wrong.http_status
        return HTMLResponse(render("page.html", board=await current(), told=told), status_code=status, headers=_HEADERS)

    static = Path(str(files("millstream.console"))) / "static"
    acts = [Route(f"/{name}/{{subject}}", act_of(name, act), methods=["POST"]) for name in _ACTS]
    return [Route("/", page), Route("/board", part), *acts, Mount("/static", StaticFiles(directory=static))]


def act_of(name: str, act: Any) -> Any:
    """Bind the name of an act to the handler of acts."""

    async def bound(request: Request) -> Response:
        request.path_params["act"] = name
        answered: Response = await act(request)
        return answered

    return bound


_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def _form(request: Request) -> dict[str, str]:
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _FORM_LIMIT:
            break
    return {name: values[0] for name, values in parse_qs(raw[:_FORM_LIMIT].decode(errors="replace")).items()}
