"""Facts over HTTP: ``POST /v1/tables/{table}/rows``, and the thread that brings them into what is served."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from millstream.console.bodies import read_body
from millstream.errors import MillstreamError, Refused, UserError
from millstream.project.answering.serving_state import found_again
from millstream.project.tables.posting import catch_up, post

if TYPE_CHECKING:
    from millstream.project import Project

LIMIT = 8 << 20
"""Bytes of a request."""
_AGAIN_S = 1.0


def routes(project: Project) -> list[Route]:
    """Return the routes that take facts."""

    async def rows(request: Request) -> Response:
        said = _body(await read_body(request, limit=LIMIT))
        made = await run_in_threadpool(post, project, table=request.path_params["table"], rows=said)
        return JSONResponse(made)

    return [Route("/v1/tables/{table}/rows", rows, methods=["POST"])]


def _body(raw: bytes) -> list[Any]:
    expected = '{"rows": [{"column": value, ...}, ...]}'
    try:
        raw.decode()
        said = json.loads(raw, parse_constant=_refuse, object_pairs_hook=_once)
        json.dumps(said, ensure_ascii=False).encode()  # half a surrogate pair is no text that can be kept
    except (ValueError, RecursionError) as wrong:
        raise UserError(f"the request is not JSON: {wrong}", expected=expected) from None
    if not isinstance(said, dict) or set(said) != {"rows"} or not isinstance(said["rows"], list):
        raise UserError("the request is not an object with rows alone", expected=expected)
    return list(said["rows"])


def _once(said: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(said)
    if len(made) < len(said):
        names = [name for name, _ in said]
        twice = next(each for each in names if names.count(each) > 1)
        raise ValueError(f"{twice!r} is said twice in one object")
    return made


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number")


class Applier:
    """Brings posted facts into what is served, as soon as they are acknowledged.

    Parameters
    ----------
    project
        The project, whose one writer this process is.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="facts", daemon=True)
        self.trouble = ""
        """Why facts wait; empty while they do not."""

    def start(self) -> None:
        """Begin with what a stop left in the journal."""
        found_again(self._project)  # opened once, before threads ask for it
        self._project.posted.set()
        self._thread.start()

    def stop(self) -> None:
        """End after what is being applied."""
        self._stopping.set()
        self._project.posted.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10.0)

    def _run(self) -> None:
        project = self._project
        while not self._stopping.is_set():
            project.posted.wait()
            project.posted.clear()
            try:
                while not self._stopping.is_set() and catch_up(project).facts:
                    pass
                self.trouble = ""
            except Exception as wrong:  # noqa: BLE001 - a border: nobody would see this thread end
                known = (
                    wrong if isinstance(wrong, MillstreamError) else MillstreamError(f"{type(wrong).__name__}: {wrong}")
                )
                if self.trouble != known.happened:  # once, however often it is tried
                    project.ledger.record(
                        actor="system:facts", act="facts.wait", subject="online", detail={"error": known.problem()}
                    )
                self.trouble = known.happened
                if not isinstance(known, Refused) and not self._stopping.wait(_AGAIN_S):
                    project.posted.set()  # what does not fit is tried again with the next fact, not every second
