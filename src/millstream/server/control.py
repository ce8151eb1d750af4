"""The control plane's process: ``python -m millstream.server.control --project DIR --fd N``."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import sys
import threading
from pathlib import Path

import msgspec
import uvicorn

from millstream.errors import MillstreamError
from millstream.processes import die_with_parent
from millstream.project import Project
from millstream.server.api import application
from millstream.server.client import Address, posting_token
from millstream.server.conductor import Conductor


def main() -> int:
    """Run the control plane until it is told to stop."""
    parser = argparse.ArgumentParser(prog="millstream.server.control")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--fd", type=int, required=True, help="inherited listening socket")
    asked = parser.parse_args()
    die_with_parent()
    listening = socket.socket(fileno=asked.fd)
    host, port = listening.getsockname()[:2]
    try:
        posting = posting_token()
        project = Project(asked.project, lock=True, holder="millstream up")
    except MillstreamError as wrong:
        sys.stderr.write(f"millstream: {wrong}\n")
        return wrong.exit_code
    with project:
        token = secrets.token_urlsafe(24)
        conductor = Conductor(project)
        hosts = frozenset({f"{host}:{port}", f"localhost:{port}"})
        app = application(conductor, token=token, hosts=hosts, posting=posting)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=3)
        server = uvicorn.Server(config)
        address = Address(url=f"http://{host}:{port}", token=token, pid=os.getpid())
        publish = threading.Thread(
            target=_publish, args=(server, project.places.run / "control.json", address), daemon=True
        )
        publish.start()
        # uvicorn raises the signal that stopped it once more when it has ended: go on then, and clean up
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: None)
        conductor.start()
        try:
            server.run(sockets=[listening])
        finally:  # nobody answers there any more: take the address away before waiting for the workers
            (project.places.run / "control.json").unlink(missing_ok=True)
            conductor.stop()
    return 0


def _publish(server: uvicorn.Server, file: Path, address: Address) -> None:
    """Write where the control plane is once it answers, readable by its owner only."""
    ready = threading.Event()
    while not server.started:
        ready.wait(0.01)
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(msgspec.json.encode(address))
    scratch.replace(file)


if __name__ == "__main__":
    sys.exit(main())
