"""The control plane's routes: commands for other processes of this machine, and the page for people."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from millstream.console.bodies import read_body
from millstream.errors import MillstreamError, NotFound, UserError
from millstream.server.conductor import Conductor
from millstream.server.guard import Guard
from millstream.server.posts import routes as facts
from millstream.server.problems import problem_response


def application(conductor: Conductor, *, token: str, hosts: frozenset[str], posting: str = "") -> ASGIApp:
    """Build the guarded application."""
    from millstream.console.pages import routes as pages

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "up", "project": conductor.project.settings.name})

    async def command(request: Request) -> Response:
        arguments = await _body(request)
        record = await run_in_threadpool(conductor.command, request.path_params["command"], arguments)
        return JSONResponse(record)

    async def tick(request: Request) -> Response:
        part = (await _body(request)).get("part", "all")
        return JSONResponse(await run_in_threadpool(conductor.tick, str(part)))

    async def unknown(request: Request, wrong: Exception) -> Response:
        assert isinstance(wrong, HTTPException)
        return problem_response(_of_http(request, wrong))

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/api/commands/{command}", command, methods=["POST"]),
            Route("/api/tick", tick, methods=["POST"]),
            *facts(conductor.project),
            *pages(conductor),
        ],
        exception_handlers={MillstreamError: _tell, HTTPException: unknown, Exception: _unexpected},
    )
    return Guard(app, token=token, hosts=hosts, posting=posting)


async def _tell(_: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, MillstreamError)
    return problem_response(wrong)


async def _unexpected(_: Request, wrong: Exception) -> Response:
    """Answer for a fault of ours; its traceback goes to the log, not to the caller."""
    said = f"the control plane failed: {type(wrong).__name__}"
    return problem_response(MillstreamError(said, do="look at .millstream/run/control.log"))


def _of_http(request: Request, wrong: HTTPException) -> MillstreamError:
    said: MillstreamError
    if wrong.status_code == 404:
        said = NotFound(
            f"there is nothing at {request.url.path!r}",
            expected="/, /decisions, /models/MODEL, /catalog, /lineage/NAME, /v1/tables/TABLE/rows"
            " or /api/commands/COMMAND",
        )
    else:
        said = UserError(f"{request.method} {request.url.path}: {wrong.detail}")
    said.http_status = wrong.status_code
    return said


async def _body(request: Request) -> dict[str, Any]:
    raw = await read_body(request)
    try:
        raw.decode()
        body = json.loads(raw or b"{}")
        json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text that can be kept or shown
    except (ValueError, RecursionError) as wrong:
        raise UserError(f"the request is not JSON: {wrong}", expected="an object of arguments") from None
    if not isinstance(body, dict):
        raise UserError("the request is not an object", expected='arguments by name, such as {"model": "late"}')
    return body
