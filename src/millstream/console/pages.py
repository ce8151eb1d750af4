"""Routes of the page: the whole, the part that is asked for again, and the forms of the people who decide."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from urllib.parse import parse_qs, quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from millstream.console.board import board
from millstream.console.bodies import read_body
from millstream.console.cataloged import catalog_page, lineage_page, table_page
from millstream.console.views import decision_page, decisions_page, model_page
from millstream.errors import MillstreamError, NotFound, UserError

_ACTS = {
    "approve": ("decision", "reason"),
    "reject": ("decision", "reason"),
    "rollback": ("model", "reason"),
    "note": ("decision", "text"),
}
"""Act to what it is about, and the field of its form that is kept in the ledger beside the name."""
_FORM_LIMIT = 1 << 16
_FIELDS = 20


Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class View:
    """One page: the command whose record it shows, what it adds to it, how it is drawn and how often it asks again.

    Parameters
    ----------
    path
        Where it is served; what it asks for again lies below, at ``/board``.
    command
        Whose record it shows; parts of the path are its arguments.
    shown
        Adds what only the page needs.
    template
        Draws it.
    every_s
        Seconds between two questions while somebody looks.
    asks
        Arguments that come with the query of the address.
    below
        Where what it asks for again is served, if not below its path.
    """

    path: str
    command: str
    shown: Callable[[Mapping[str, Any]], dict[str, Any]]
    template: str
    every_s: int
    asks: tuple[str, ...] = ()
    below: str = ""


BOARD = View("/", "status", board, "board.html", 1)
DECISION = View("/decisions/{decision:int}", "decision", decision_page, "decision.html", 2)
DECISIONS = View("/decisions", "decisions", decisions_page, "decisions.html", 5)
MODEL = View("/models/{model}", "look", model_page, "model.html", 5)
CATALOG = View("/catalog", "catalog", catalog_page, "catalog.html", 30, asks=("find",), below="/board/catalog")
TABLE = View("/catalog/{table}", "catalog", table_page, "table.html", 30)
LINEAGE = View("/lineage/{name}", "lineage", lineage_page, "lineage.html", 60)
VIEWS = (BOARD, DECISION, DECISIONS, MODEL, CATALOG, TABLE, LINEAGE)


class Commands(Protocol):
    """What the page needs: a way to carry out a command."""

    def command(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out a command and return its record."""
        ...


class Pages:
    """Draws the pages and takes in their forms, over a way to carry out commands."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def page(self, view: View) -> Handler:
        """Return what draws the whole of a page."""

        async def page(request: Request) -> Response:
            token = request.query_params.get("token")
            if token is not None:
                moved = RedirectResponse(request.url.path, status_code=303, headers=_HEADERS)
                # one cookie a port: browsers do not keep the ports of a host apart
                moved.set_cookie(f"millstream-{request.url.port}", token, httponly=True, samesite="strict", path="/")
                return moved
            try:
                return await self._whole(view, _arguments(view, request))
            except NotFound as wrong:
                if "text/html" not in request.headers.get("accept", ""):
                    raise
                return HTMLResponse(_render("nowhere.html", wrong=wrong), wrong.http_status, headers=_HEADERS)

        return page

    def part(self, view: View) -> Handler:
        """Return what draws the part of a page that is asked for again."""

        async def part(request: Request) -> Response:
            drawn = await self._drawn(view.template, view, _arguments(view, request))
            return HTMLResponse(drawn, headers=_HEADERS)

        return part

    def act(self, name: str) -> Handler:
        """Return what carries out an act of a form."""
        about, written = _ACTS[name]

        async def act(request: Request) -> Response:
            subject = request.path_params["subject"]
            try:
                form = await _form(request)
                given = {about: subject, written: form.get(written, ""), "actor": form.get("actor", "").strip()}
                record = await run_in_threadpool(self._commands.command, name, given)
                told, status = {"tone": "good", "says": f"{_sentence(record['says'])}.", "do": ""}, 200
            except MillstreamError as wrong:
                told, status = _refusal(wrong), wrong.http_status
            if "hx-request" in request.headers:  # the page stands already, with what was typed
                return HTMLResponse(_render("told.html", told=told), status_code=status, headers=_HEADERS)
            if name == "note" and status == 200:
                return await self._whole(DECISION, {"decision": int(subject)}, told=told)
            return await self._whole(BOARD, {}, told=told, status=status)

        return act

    async def _whole(
        self, view: View, arguments: Mapping[str, Any], *, told: Any = None, status: int = 200
    ) -> Response:
        said = {"told": told, "part": view.template, "poll": _again(view, arguments), "every": view.every_s}
        return HTMLResponse(await self._drawn("page.html", view, arguments, **said), status, headers=_HEADERS)

    async def _drawn(self, template: str, view: View, arguments: Mapping[str, Any], **said: Any) -> str:
        """Ask for the record and draw it; neither holds up another request."""

        def draw() -> str:
            record = self._commands.command(view.command, arguments)
            return _render(template, page=view.shown(record), **said)

        return await run_in_threadpool(draw)


def routes(commands: Commands) -> Sequence[BaseRoute]:
    """Build the page's routes over a way to carry out commands."""
    pages = Pages(commands)
    static = Path(str(files("millstream.console"))) / "static"
    return [
        *(Route(each.path, pages.page(each)) for each in VIEWS),
        *(Route(_below(each), pages.part(each)) for each in VIEWS),
        *(Route(f"/{name}/{{subject}}", pages.act(name), methods=["POST"]) for name in _ACTS),
        Mount("/static", StaticFiles(directory=static)),
    ]


def _render(template: str, **said: Any) -> str:
    return _environment().get_template(template).render(**said)


def _arguments(view: View, request: Request) -> dict[str, Any]:
    """Take a command's arguments from the path, what it asks for and where a list begins from the query."""
    before = request.query_params.get("before")
    asked = {name: request.query_params[name] for name in view.asks if request.query_params.get(name)}
    if before is None:
        return {**request.path_params, **asked}
    if not before.isdigit():
        raise UserError(f"{before!r} is no decision", expected="the number the list goes on before")
    return {**request.path_params, "before": int(before)}


def _below(view: View) -> str:
    return view.below or f"{view.path.rstrip('/')}/board"


def _again(view: View, arguments: Mapping[str, Any]) -> str:
    """Return where a page asks for itself again."""
    path = _below(view).replace("{decision:int}", str(arguments.get("decision", "")))
    for name in ("model", "table", "name"):
        path = path.replace(f"{{{name}}}", quote(str(arguments.get(name, "")), safe=""))
    asked = {name: arguments[name] for name in ("before", *view.asks) if name in arguments}
    return f"{path}?{urlencode(asked)}" if asked else path


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
        raise UserError(f"the form cannot be read: {wrong}", expected="a name and a few words") from None


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
