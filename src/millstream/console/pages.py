"""Routes of the page: the whole, the part that is asked for again, and the forms of the people who decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
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
from millstream.console.bodies import read_body
from millstream.errors import MillstreamError, UserError

_ACTS = {"approve": "decision", "reject": "decision", "rollback": "model"}
_FORM_LIMIT = 1 << 16
_FIELDS = 20


class Commands(Protocol):
    """What the page needs: a way to carry out a command."""

    def command(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out a command and return its record."""
        ...


def routes(commands: Commands) -> Sequence[BaseRoute]:
    """Build the page's routes over a way to carry out commands."""

    def render(template: str, **said: Any) -> str:
        return _environment().get_template(template).render(**said)

    async def current() -> dict[str, Any]:
        return board(await run_in_threadpool(commands.command, "status", {}))

    async def page(request: Request) -> Response:
        token = request.query_params.get("token")
        if token is not None:
            moved = RedirectResponse("/", status_code=303, headers=_HEADERS)
            # one cookie a port: browsers do not keep the ports of a host apart
            moved.set_cookie(f"millstream-{request.url.port}", token, httponly=True, samesite="strict", path="/")
            return moved
        return HTMLResponse(render("page.html", board=await current(), told=None), headers=_HEADERS)

    async def part(_: Request) -> Response:
        return HTMLResponse(render("board.html", board=await current()), headers=_HEADERS)

    async def act(request: Request) -> Response:
        name, subject = request.path_params["act"], request.path_params["subject"]
        try:
            form = await _form(request)
            arguments = {_ACTS[name]: subject, "reason": form.get("reason", ""), "actor": form.get("actor", "").strip()}
            record = await run_in_threadpool(commands.command, name, arguments)
            told, status = {"tone": "good", "says": f"{_sentence(record['says'])}.", "do": ""}, 200
        except MillstreamError as wrong:
            told, status = _refusal(wrong), wrong.http_status
        if "hx-request" in request.headers:  # the page stands already, with what was typed
            return HTMLResponse(render("told.html", told=told), status_code=status, headers=_HEADERS)
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
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


async def _form(request: Request) -> dict[str, str]:
    raw = await read_body(request, limit=_FORM_LIMIT)
    try:
        return {name: values[0] for name, values in parse_qs(raw.decode(), max_num_fields=_FIELDS).items()}
    except ValueError as wrong:  # bytes that are no text are of this kind too
        raise UserError(f"the form cannot be read: {wrong}", expected="a name and a reason") from None


def _refusal(wrong: MillstreamError) -> dict[str, str]:
    expected = f"Expected: {wrong.expected}." if wrong.expected else ""
    next_ = f"Next: {wrong.do}." if wrong.do else ""
    return {"tone": "bad", "says": f"{_sentence(wrong.happened)}.", "do": f"{expected} {next_}".strip()}


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}".rstrip(".")


def lost_page(wrong: MillstreamError) -> Response:
    """Tell a person who came without the token how to get one, as a page."""
    said = _environment().get_template("lost.html").render(wrong=wrong)
    return HTMLResponse(said, status_code=wrong.http_status, headers=_HEADERS)


@cache
def _environment() -> Environment:
    return Environment(loader=PackageLoader("millstream.console"), autoescape=True, undefined=StrictUndefined)
