"""The control plane's routes: commands for other processes of this machine, and the page for people."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from millstream.errors import MillstreamError, UserError
from millstream.server.conductor import Conductor
from millstream.server.guard import Guard
from millstream.server.problems import problem_response

_BODY_LIMIT = 1 << 20


def application(conductor: Conductor, *, token: str, hosts: frozenset[str]) -> ASGIApp:
    """Build the guarded application."""
    from millstream.console.pages import routes as pages

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "up", "project": conductor.project.settings.name})

    async def command(request: Request) -> Response:
        arguments = await _body(request)
        record = await run_in_threadpool(conductor.command, request.path_params["command"], arguments)
        return JSONResponse(record)

    async def tick(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(conductor.tick))

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/api/commands/{command}", command, methods=["POST"]),
            Route("/api/tick", tick, methods=["POST"]),
            Mount("/", routes=pages(conductor)),
        ],
        exception_handlers={MillstreamError: _tell},
    )
    return Guard(app, token=token, hosts=hosts)


async def _tell(_: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, MillstreamError)
    return problem_response(wrong)


async def _body(request: Request) -> dict[str, Any]:
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _BODY_LIMIT:
            raise UserError(f"the request is larger than {_BODY_LIMIT} bytes")
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError) as wrong:
        raise UserError(f"the request is not JSON: {wrong}", expected="an object of arguments") from None
    if not isinstance(body, dict):
        raise UserError("the request is not an object", expected='arguments by name, such as {"model": "late"}')
    return body
