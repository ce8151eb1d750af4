import asyncio
import contextlib
import functools
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from millstream.serving import live as live_
from millstream.serving import records, watch
from millstream.serving.client import Client
from millstream.serving.load import Loader
from millstream.serving.seal import ended, seal
from tests import awaited
from tests.serving import mill

PREDICT = "/v1/models/late/predict"
HEAVY = ("polars", "numpy", "pandas", "deltalake", "mlflow", "duckdb", "sqlglot", "starlette", "lightgbm", "pyarrow",
         "dbos", "sqlalchemy", "scipy", "sklearn", "jinja2", "rich", "typer")  # fmt: skip


until = functools.partial(awaited.until, within_s=20.0)


@pytest.fixture
def project(tmp_path):
    made = mill.Project(tmp_path / "project")
    yield made
    made.state.close()


@contextlib.contextmanager
def started(project, *options, flags=(), **popen):
    """Run the server; yield its process once it says where it is."""
    (project.places.run / "scoring.json").unlink(missing_ok=True)
    command = [sys.executable, *flags, "-m", "millstream.serving.server", "--project", str(project.root), *options]
    if "--fd" not in options:
        command += ["--port", "0"]
    errors = project.root / "stderr.txt"
    with errors.open("w") as stderr:
        process = subprocess.Popen(command, stderr=stderr, **popen)
    try:
        until(lambda: ((found := project.running()) and found.pid == process.pid) or process.poll() is not None)
        assert process.poll() is None, errors.read_text()
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=10)


def ask(project, method="POST", path=PREDICT, body=None):
    host = project.running().url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request(method, path, body=json.dumps({"rows": [mill.ROW]} if body is None else body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def one(project):
    status, said = ask(project)
    assert status == 200, said
    return said["predictions"][0]


def test_a_server_is_small_says_where_it_is_and_leaves_tidily(project):
    project.point(project.build(model={"kind": "constant", "value": 0.3}))
    with started(project, flags=["-X", "importtime"]) as process:
        said = project.running()
        answer = one(project)
        assert (answer["value"], answer["answered_by"], answer["version"]) == (0.3, "champion", 1)
        logged = records.find(answer["id"], project.places.log).record
        assert logged.applied == {"flights": 3} and logged.values()[:2] == [13.5, 61.0]
        assert project.lease().server == said.server and project.lease().generations == {"late": 1}
        status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        resident_kb = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        process.terminate()
        assert process.wait(timeout=10) == 0
    assert project.running() is None and project.lease() is None
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in
                (project.root / "stderr.txt").read_text().splitlines() if "import time:" in line}  # fmt: skip
    assert {"uvicorn", "msgspec", "lmdb"} <= imported
    assert imported.isdisjoint(HEAVY)
    assert resident_kb < 80_000
    [segment] = ended(project.places.log)
    assert seal(segment).records == 1


def test_a_swap_is_followed_under_traffic_without_a_failed_request(project):
    first, second = (project.build(model={"kind": "constant", "value": value}) for value in (0.3, 0.6))
    project.point(first)
    moved = {}

    async def run(url):
        async with Client(url, connections=8) as client:
            body = json.dumps({"rows": [mill.ROW]}).encode()
            found = []

            async def caller():
                while "done" not in moved:
                    begun = time.monotonic()
                    status, said = await client.post(PREDICT, body)
                    found.append((begun, status, json.loads(said)["predictions"][0]))

            async def mover():
                await asyncio.sleep(0.1)
                for release in (second, first, second):
                    generation = await asyncio.to_thread(project.point, release)
                    await asyncio.to_thread(until, lambda g=generation: project.lease().generations == {"late": g})
                    moved[generation] = time.monotonic()
                await asyncio.sleep(0.05)
                moved["done"] = True

            await asyncio.gather(mover(), *(caller() for _ in range(8)))
            return found

    with started(project):
        found = asyncio.run(run(project.running().url))
    assert {status for _, status, _ in found} == {200}
    assert {(said["value"], said["version"]) for _, _, said in found} == {(0.3, 1), (0.6, 2)}
    assert {said["answered_by"] for _, _, said in found} == {"champion"}
    late = [said["version"] for begun, _, said in found if begun > moved[4]]
    assert late and set(late) == {2}


def test_a_flipped_bit_is_never_live_and_the_old_release_stands_in_labelled(project):
    good, bad = (project.build(model={"kind": "constant", "value": value}) for value in (0.3, 0.6))
    project.point(good)
    file = project.places.releases / bad / "baseline.json"
    file.chmod(0o600)
    file.write_bytes(file.read_bytes().replace(b"0.2", b"0.3"))
    with started(project):
        assert one(project)["answered_by"] == "champion"
        project.point(bad)
        answer = until(lambda: (said := one(project))["degraded"] and said)
        assert (answer["value"], answer["answered_by"], answer["version"]) == (0.3, "previous", 1)
        _, health = ask(project, "GET", "/health")
        assert health["status"] == "degraded" and "baseline.json" in health["problems"]["late"]
        assert until(lambda: (lease := project.lease()) and "late" not in lease.generations)
        project.point(good)
        until(lambda: not one(project)["degraded"])
        assert until(lambda: (lease := project.lease()) and lease.generations == {"late": 3})
        assert ask(project, "GET", "/health")[1]["status"] == "ok"


def test_before_the_first_release_there_is_no_model_and_the_first_one_is_taken_up(project):
    with started(project):
        status, said = ask(project)
        assert status == 404 and said["do"] == "millstream release late"
        project.point(project.build())
        assert until(lambda: ask(project)[0] == 200)


def test_a_killed_server_loses_nothing_and_another_takes_the_socket_over(project):
    project.point(project.build())
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        descriptor = str(listening.fileno())
        passed = {"pass_fds": [listening.fileno()]}
        acknowledged, refused = [], 0
        stop = threading.Event()

        def call():
            nonlocal refused
            connection = None
            while not stop.is_set():
                try:
                    if connection is None:
                        connection = http.client.HTTPConnection(*listening.getsockname(), timeout=10)
                    connection.request("POST", PREDICT, body=json.dumps({"rows": [mill.ROW]}))
                    answer = json.loads(connection.getresponse().read())
                    acknowledged.append(answer["predictions"][0]["id"])
                except ConnectionRefusedError:
                    refused += 1
                except (ConnectionError, http.client.HTTPException):
                    connection.close()
                    connection = None
            connection.close()

        with started(project, "--fd", descriptor, **passed) as process:
            callers = [threading.Thread(target=call) for _ in range(4)]
            for each in callers:
                each.start()
            until(lambda: len(acknowledged) > 100)
            process.kill()
            process.wait()
        before = len(acknowledged)
        with started(project, "--fd", descriptor, **passed):
            until(lambda: len(acknowledged) > before + 50)
            stop.set()
            for each in callers:
                each.join()
    assert refused == 0
    kept = [each.id for path in records.segments(project.places.log) for each in records.read(path)[0]]
    assert len(kept) == len(set(kept)) and set(acknowledged) <= set(kept)


def test_a_port_in_use_and_a_folder_that_is_no_project_are_said(project, tmp_path):
    run = [sys.executable, "-m", "millstream.serving.server", "--project"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run([*run, str(project.root), "--port", port], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 5 and port in ended.stderr and "--port 0" in ended.stderr
    assert "Traceback" not in ended.stderr
    ended = subprocess.run([*run, str(tmp_path)], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 3 and "millstream init" in ended.stderr


def test_an_address_others_can_reach_is_refused(project):
    (project.root / "millstream.toml").write_text('[server]\nhost = "0.0.0.0"\n')
    run = [sys.executable, "-m", "millstream.serving.server", "--project", str(project.root), "--port", "0"]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 4 and "loopback" in ended.stderr


def test_a_server_dies_with_its_parent(project):
    command = [sys.executable, "-m", "millstream.serving.server", "--project", str(project.root), "--port", "0"]
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({command!r})"], stderr=subprocess.DEVNULL
    )
    child = until(project.running).pid
    parent.kill()
    parent.wait()
    until(lambda: has_ended(child))


def has_ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_hangup_ends_the_segment_so_that_it_can_be_sealed(project):
    project.point(project.build())
    with started(project) as process:
        first = one(project)["id"]
        process.send_signal(signal.SIGHUP)
        [segment] = until(lambda: ended(project.places.log))
        second = one(project)["id"]
        assert [each.id for each in records.read(segment)[0]] == [first]
        assert first.partition("-")[0] == second.partition("-")[0]


@pytest.fixture
def watched(project):
    live = live_.Live()
    loader = Loader(keys=project.places.keys, online=project.places.online)
    watcher = watch.Watcher(project.state, live, server="s1", url="http://127.0.0.1:1", open_chain=loader.open_chain)
    return project, live, watcher


def test_a_server_that_cannot_renew_stops_answering_as_champion_and_comes_back(watched, monkeypatch):
    project, live, watcher = watched
    monkeypatch.setattr(watch, "LEASE_S", 0.4)
    monkeypatch.setattr(watch, "RENEW_S", 0.0)
    project.point(project.build())
    watcher.tick()
    assert live.leased and live.stopped == ""
    until(lambda: not live.leased)
    assert live.stopped
    watcher.tick()
    assert live.leased


def test_a_server_whose_lease_ran_out_while_the_pointer_moved_gets_none_until_it_follows(watched, monkeypatch):
    project, live, watcher = watched
    monkeypatch.setattr(watch, "LEASE_S", 0.4)
    first, second = (project.build(model={"kind": "constant", "value": value}) for value in (0.3, 0.6))
    project.point(first)
    watcher.tick()
    until(lambda: not live.leased)
    project.point(second)
    watcher._renew()
    assert not live.leased
    watcher._seen = -1
    watcher.tick()
    assert live.leased and live.generations == {"late": 2}
    assert live.chain("late").previous.version == 1


def test_an_acknowledgement_waits_for_the_requests_of_the_release_before(watched):
    project, live, watcher = watched
    first, second = (project.build(model={"kind": "constant", "value": value}) for value in (0.3, 0.6))
    project.point(first)
    watcher.tick()
    project.point(second)
    watcher._seen = -1
    with live.chain("late"):
        follower = threading.Thread(target=watcher.tick)
        follower.start()
        until(lambda: live.chain("late").generation == 2)
        assert project.lease().generations == {"late": 1}
    follower.join()
    assert project.lease().generations == {"late": 2}


def test_a_missing_online_store_degrades_and_returns_with_the_store(watched):
    project, live, watcher = watched
    for each in project.places.online.iterdir():
        each.unlink()
    project.point(project.build())
    watcher.tick()
    [answer] = live.chain("late").answer([mill.ROW], [0], until=float("inf"))
    assert answer.answered_by == "baseline" and "online store" in answer.reason
