"""How other processes of this machine talk to the control plane."""

from __future__ import annotations

import http.client
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from millstream import errors
from millstream.settings import places, read

POSTING = "MILLSTREAM_POST_TOKEN"
"""Environment variable: a token that is the same after each start, for those who post rows and do nothing else."""


class Address(msgspec.Struct, frozen=True):
    """Where the control plane listens, and the token that opens it; written to ``run/control.json``, mode 0600."""

    url: str
    token: str
    pid: int


class Control:
    """A client of the control plane.

    Parameters
    ----------
    address
        Where it is.
    timeout_s
        How long one call may take.
    """

    def __init__(self, address: Address, *, timeout_s: float = 3600.0) -> None:
        self.address = address
        self._timeout_s = timeout_s
        parts = urlsplit(address.url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80

    def command(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Run a command there and return its record; its error is raised here as the same class."""
        return self.send("POST", f"/api/commands/{name}", dict(arguments))

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request; a problem document becomes the error it describes."""
        headers = {"Authorization": f"Bearer {self.address.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            raw = answer.read()
        except (OSError, ValueError, http.client.HTTPException) as wrong:
            raise errors.Unavailable(
                f"the control plane at {self.address.url} did not answer: {wrong or type(wrong).__name__}",
                do="millstream status, then millstream up",
            ) from None
        finally:
            connection.close()
        said = json.loads(raw) if raw else None
        if answer.status >= 400:
            raise rebuilt(said if isinstance(said, dict) else {}, answer.status)
        return said

    def alive(self) -> bool:
        """Ask whether it is up."""
        try:
            self.send("GET", "/health")
        except errors.MillstreamError:
            return False
        return True


def running(root: Path) -> Control | None:
    """Return a client of the project's control plane, or None when none is up."""
    file = places(root, read(root)).run / "control.json"
    try:
        address = msgspec.json.decode(file.read_bytes(), type=Address)
    except (FileNotFoundError, UnicodeDecodeError, msgspec.MsgspecError):
        return None
    if not Path(f"/proc/{address.pid}").exists() and Path("/proc/self").exists():
        return None
    if not re.fullmatch(r"http://[0-9A-Za-z.:\[\]]+", address.url) or not re.fullmatch(r"[\w-]+", address.token):
        return None  # not what a control plane wrote
    control = Control(address)
    return control if control.alive() else None


def posting_token() -> str:
    """Return the token for posting rows that the environment says; empty where it says none.

    Raises
    ------
    UserError
        For one that could be guessed; it is not repeated.
    """
    said = os.environ.get(POSTING, "")
    if said and not re.fullmatch(r"[\w-]{24,200}", said, re.ASCII):
        raise errors.UserError(f"{POSTING} is no token", expected="24 to 200 random letters, digits, - and _")
    return said


def rebuilt(problem: Mapping[str, Any], status: int) -> errors.MillstreamError:
    """Turn a problem document back into the error it describes."""
    kind = getattr(errors, str(problem.get("title", "")), errors.MillstreamError)
    if not (isinstance(kind, type) and issubclass(kind, errors.MillstreamError)):
        kind = errors.MillstreamError
    happened = str(problem.get("detail") or f"the control plane answered {status}")
    return kind(happened, expected=str(problem.get("expected", "")), do=str(problem.get("do", "")))
