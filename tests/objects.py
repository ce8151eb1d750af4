"""A real S3 server for tests: one process on free ports of this machine, started once a session.

It keeps what it holds in a folder of its own and says nothing to anybody. A test asks for a ``Bucket``, which is empty
and its own, and sets the variables by which an object store is usually found.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

STARTS_S = 60.0
KEY, SECRET = "reader", "opens-it"
"""Who may do everything; anybody else may do nothing."""
_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)


class ObjectServer:
    """One S3 server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data").mkdir()
        who = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
        (folder / "who.json").write_text(json.dumps({"identities": [who]}))
        self.ports = dict(zip(_PORTS, _free(len(_PORTS)), strict=True))
        self.process: subprocess.Popen[bytes] | None = None
        self._made = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3.port']}"

    def start(self) -> None:
        said = [f"-{name}={port}" for name, port in self.ports.items()]
        command = [
            str(Path(sys.executable).with_name("weed")), "server", "-filer", "-s3", *said,
            f"-dir={self.folder / 'data'}", f"-s3.config={self.folder / 'who.json'}", "-s3.iam=false",
            "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64", "-volume.max=1000", "-volume.preStopSeconds=0",
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        until = time.monotonic() + STARTS_S
        store = self.store("ready")
        while True:
            try:
                obstore.put(store, "ready", b"1")
            except (OSError, BaseError) as wrong:
                assert self.process.poll() is None and time.monotonic() < until, (wrong, self.log())
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(timeout=60)
        for port in self.ports.values():  # it makes sockets beside the folders of everybody
            for kind in ("master-grpc", "volume-grpc", "filer", "filer-grpc", "s3", "s3-grpc"):
                Path(f"/tmp/seaweedfs-{kind}-{port}.sock").unlink(missing_ok=True)

    def bucket(self) -> Bucket:
        """Name a bucket of its own, which the first object makes."""
        self._made += 1
        return Bucket(self, f"landing{self._made}")

    def store(self, bucket: str) -> S3Store:
        return S3Store(
            bucket, endpoint=self.url, access_key_id=KEY, secret_access_key=SECRET, region="us-east-1",
            client_options={"allow_http": True}, retry_config={"max_retries": 0},
        )  # fmt: skip

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4_000:]


@dataclass(frozen=True)
class Bucket:
    """A bucket of a server."""

    server: ObjectServer
    name: str

    def put(self, key: str, body: bytes) -> None:
        obstore.put(self.server.store(self.name), key, body)

    def environment(self, **words: str) -> dict[str, str]:
        """Return the variables by which it is found."""
        said = {
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        return said | words


def _free(count: int) -> list[int]:
    with ExitStack() as held:
        found = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in found]


@contextmanager
def running() -> Iterator[ObjectServer]:
    """Run a server for as long as it is needed."""
    folder = Path(tempfile.mkdtemp(prefix="millstream-objects-"))
    try:
        server = ObjectServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def objects() -> Iterator[ObjectServer]:
    """The one S3 server of this session."""
    with running() as found:
        yield found


@pytest.fixture
def bucket(objects: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, which the environment names."""
    made = objects.bucket()
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


class Cut:
    """A road to a server that ends in the middle: after so many bytes of answers everything on it is reset."""

    def __init__(self, port: int, *, after: int) -> None:
        self._port, self._left = port, after
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._welcome, daemon=True).start()

    def _welcome(self) -> None:
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            self._open += [near, far]
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near), kwargs={"counted": True}, daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, *, counted: bool = False) -> None:
        try:
            while part := one.recv(1 << 16):
                with self._lock:
                    left = self._left
                    self._left -= len(part) if counted else 0
                other.sendall(part[: max(left, 0)] if counted else part)
                if counted and left < len(part):
                    return self.end()
        except OSError:
            pass
        _shut(other)
        return None

    def end(self) -> None:
        """Reset all that goes on, and answer nobody any more."""
        _shut(self._door)
        for each in self._open:
            _shut(each)


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)  # a close alone is not noticed by a thread that waits there
    each.close()
