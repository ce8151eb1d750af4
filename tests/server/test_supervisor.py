"""One process tree: what dies comes back on the same socket, and nothing is left when it stops."""

import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from urllib.parse import urlsplit

import pytest

from millstream.errors import Conflict, NotFound, Refused, Unavailable
from millstream.server.supervisor import Supervisor
from millstream.server.workers import Worker
from tests.awaited import until
from tests.server import example


@pytest.fixture(scope="module")
def tree(waiting, tmp_path_factory):
    root = example.copy(waiting, tmp_path_factory.mktemp("tree") / "flights")
    with example.up(root) as (supervisor, control):
        until(lambda: get(supervisor.scoring_url, "/ping") == 200)
        yield root, supervisor, control


def get(url, path, *, timeout_s=20.0):
    """Ask once; a refused connection is raised, one that broke in the middle gives 0."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionRefusedError:
        raise
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


class Callers:
    """Somebody who goes on asking, one new connection after the other."""

    def __init__(self, url, path):
        self.answers, self.refused = [], []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(url, path), daemon=True)

    def _ask(self, url, path):
        while not self._stop.is_set():
            try:
                self.answers.append(get(url, path))
            except ConnectionRefusedError as wrong:
                self.refused.append(wrong)
            self._stop.wait(0.005)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()


@pytest.mark.parametrize(("name", "path"), [("scoring", "/ping"), ("control", "/health")])
def test_a_killed_process_comes_back_and_no_connection_is_refused(tree, name, path):
    _, supervisor, control = tree
    child = getattr(supervisor, name)
    url = supervisor.scoring_url if name == "scoring" else control.address.url
    with Callers(url, path) as callers:
        until(lambda: callers.answers.count(200) > 5)
        was = child.process.pid
        os.kill(was, signal.SIGKILL)
        until(lambda: child.process.pid != was)
        so_far = len(callers.answers)
        until(lambda: 200 in callers.answers[so_far + 1 :])
    assert callers.refused == []
    assert child.starts == 2


def test_after_a_kill_commands_go_on(tree):
    _, supervisor, _ = tree
    control = supervisor.ready()
    before = control.command("status", {})
    os.kill(control.address.pid, signal.SIGKILL)
    until(lambda: supervisor.control.process.pid != control.address.pid)
    again = supervisor.ready()
    assert again.address.token != control.address.token
    after = again.command("status", {})
    assert (after["ledger_rows"], after["decisions"]) == (before["ledger_rows"], before["decisions"])
    with pytest.raises(Exception, match="no valid token"):
        control.command("status", {})


def test_only_its_owner_reads_the_token(tree):
    root, supervisor, _ = tree
    supervisor.ready()
    assert (root / ".millstream/run/control.json").stat().st_mode & 0o777 == 0o600


def test_the_token_is_in_no_log(tree):
    root, supervisor, _ = tree
    token = supervisor.ready().address.token
    get(supervisor.ready().address.url, f"/?token={token}")
    for each in (root / ".millstream/run").glob("*.log"):
        assert token not in each.read_text()


def test_a_large_or_slow_body_is_turned_away(tree):
    _, supervisor, _ = tree
    address = supervisor.ready().address
    parts = urlsplit(address.url)
    head = (
        f"POST /api/commands/status HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {address.token}\r\n"
        "Content-Length: 100000000\r\n\r\n"
    )
    for chunk in (b"x" * 2_000_000, b"{"):
        began = time.monotonic()
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as raw:
            raw.sendall(head.encode())
            try:
                raw.sendall(chunk)
                answer = raw.recv(2000)
            except (BrokenPipeError, ConnectionResetError):
                answer = b"HTTP/1.1 400"  # it was cut off before it was read
        assert answer.startswith(b"HTTP/1.1 400")
        assert time.monotonic() - began < 6
    assert get(address.url, "/health") == 200


def test_a_second_one_finds_the_port_in_use(tree):
    root, supervisor, _ = tree
    port = urlsplit(supervisor.scoring_url).port
    with pytest.raises(Conflict, match=f"scoring server cannot listen on 127.0.0.1:{port}") as wrong:
        Supervisor(root, scoring_port=port, control_port=0)
    assert "--scoring-port 0" in wrong.value.do
    said = example.run("up", "-p", root)
    assert said.returncode == 2
    assert "this project is up already" in said.stderr


def test_a_port_in_use_ends_up_with_code_5_and_leaves_nothing(project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = example.run("up", "-p", project, "--control-port", port, "--scoring-port", 0)
    assert said.returncode == 5
    assert f"the control server cannot listen on 127.0.0.1:{port}" in said.stderr
    assert "do next: set server.control_port" in said.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org", ""])
def test_it_does_not_listen_to_other_machines(tmp_path, host):
    (tmp_path / "millstream.toml").write_text(f'[server]\nhost = "{host}"\n')
    with pytest.raises(Refused, match="which other machines may reach"):
        Supervisor(tmp_path, scoring_port=0, control_port=0)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_no_process_is_left(project, how):
    started = subprocess.Popen(
        [*example.MILLSTREAM, "up", "-p", str(project), "--control-port", "0", "--scoring-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "page" in started.stdout.readline()
        tree = until(lambda: len(found := example.descendants(started.pid)) >= 3 and found)
        started.send_signal(how)
        _, errors = started.communicate(timeout=30)
    finally:
        started.kill()
        started.wait()
    until(lambda: not [each for each in tree if example.alive(each)])
    assert "Traceback" not in errors
    assert "Traceback" not in (project / ".millstream/run/control.log").read_text()
    assert not (project / ".millstream/run/control.json").exists()
    assert started.returncode == (130 if how is signal.SIGINT else -how)


def test_a_worker_that_dies_is_said_and_replaced(project):
    """The kernel ends a child with the thread that started it: the new one must outlive the thread that asked."""
    worker = Worker(project, log=project / "worker.log")
    said = []

    def ask():
        try:
            worker.run("train", {"model": "late", "actor": "tina"})
        except Unavailable as wrong:
            said.append(wrong)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        until(lambda: worker._busy.locked() and worker._ready, within_s=60)
        was = worker._process.pid
        os.kill(was, signal.SIGKILL)
        asking.join(timeout=60)
        assert [each.happened for each in said] == [
            "the worker was killed by the system while it ran train, most often because memory ran out"
        ]
        replaced = worker._process.pid
        assert replaced != was
        assert worker.run("backtest", {"model": "late", "actor": "tina"})["verdict"]["says"]
        with pytest.raises(NotFound, match="late@99"):  # an error there is the same error here
            worker.run("reproduce", {"subject": "late@99"})
        assert worker._process.pid == replaced
    finally:
        worker.stop()
    assert worker._process.poll() is not None
