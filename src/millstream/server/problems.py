"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from millstream.errors import MillstreamError


def problem_response(wrong: MillstreamError) -> Response:
    """Turn an error into the response that says what happened, what was expected and what to do."""
    return Response(
        msgspec.json.encode(wrong.problem()), status_code=wrong.http_status, media_type="application/problem+json"
    )
