"""One row over HTTP on one connection: ``answer-1`` (record written) and ``answer-1-fsync`` (record synced).

Ours is the whole scoring server, lookup in LMDB and log included, in a process of its own. The limit is the least a
server could do: uvicorn, msgspec and LightGBM's C library on the same features, nothing looked up, nothing logged.
Both are asked in turn by the same raw-socket client. ``make bench ONLY=answer-1``.
"""

from __future__ import annotations

import json
import math
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Record

FEATURES, TREES, REQUESTS, WARM, ROUNDS = 20, 120, 2000, 300, 7
ROWS = 500
"""Different rows asked in turn: one row again and again keeps branches and pages warm and flatters everybody."""
VIEWS = 3
_PREDICT = "/v1/models/late/predict"


def train() -> str:
    """Train a model of the demo's size on noise with a signal; return its text."""
    import lightgbm
    import numpy as np

    rng = np.random.default_rng(3)
    x = rng.normal(size=(20_000, FEATURES))
    y = (x[:, 0] + x[:, 1] ** 2 + rng.normal(size=len(x)) > 1).astype(float)
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": 31}
    return lightgbm.train(settings, lightgbm.Dataset(x, y), num_boost_round=TREES).model_to_string()


def write_project(root: Path, model: str) -> list[dict[str, object]]:
    """Write a project with one live release whose features come from LMDB; return rows to ask for."""
    import msgspec

    from millstream import settings
    from millstream.expressions import parse
    from millstream.features.online import LmdbOnline, layout
    from millstream.features.plan import FeatureColumn, FeaturePlan, ViewPlan, WindowPlan
    from millstream.ledger import Ledger
    from millstream.releases.bundle import build
    from millstream.releases.desk import Desk
    from millstream.state import State, pointer
    from millstream.types import SystemClock

    root.mkdir()
    (root / "millstream.toml").write_text('name = "bench"\n')
    places = settings.places(root, settings.read(root))
    request = {"distance": "double"}
    own = {"request.far": parse("distance > 1500", request, where="far"),
           "request.distance": parse("distance", request, where="distance")}  # fmt: skip
    window = WindowPlan("mean", parse("delay", {"delay": "double"}, where="delay"), 86_400_000_000, "double")
    each = (FEATURES - len(own)) // VIEWS
    names = [f"f{place}" for place in range(each)]
    keys = [f"key_{view}" for view in range(VIEWS)]
    views = tuple(
        ViewPlan(
            f"view_{view}", f"table_{view}", ("entity",), ("varchar",), (keys[view],), dict.fromkeys(names, window)
        )
        for view in range(VIEWS)
    )
    columns = [FeatureColumn(f"{view.name}.{name}", "double") for view in views for name in names]
    columns += [FeatureColumn(name, said.dtype) for name, said in own.items()]
    plan = FeaturePlan("late", "rows", ("id",), tuple(columns), views, request, own, None, None, None, None)
    artifact = root / "artifact"
    artifact.mkdir()
    for name, content in {
        "model.json": {"kind": "lightgbm", "task": "binary", "file": "model.txt", "features": plan.names},
        "baseline.json": {"kind": "prior", "value": 0.2},
        "manifest.json": {"tables": {}, "views": {}, "models": {}},
        "training.json": {"model": "late", "estimator": "", "run_id": "", "metrics": {}},
        "sample.json": {"rows": [], "features": [], "values": []},
    }.items():
        (artifact / name).write_bytes(msgspec.json.encode(content))
    (artifact / "plan.json").write_bytes(plan.encode())
    (artifact / "model.txt").write_text(model)

    state, clock = State(places.state_db), SystemClock()
    desk = Desk(places, state, Ledger(state, clock), clock)
    release = build(desk, artifact, actor="bench", trained_by="bench").id
    with state.transact() as tx:
        pointer.swap(tx, model="late", release=release, expected_generation=0, at="")
    state.close()
    online = LmdbOnline(places.online)
    changes = [(layout.APPLIED, msgspec.json.encode({view.id: layout.Applied({view.table: 1}, 0) for view in views}))]
    for view in views:
        for entity in range(1000):
            instants = array("q", range(0, 24_000, 1000)).tobytes()
            rows = array("d", [math.sin(entity + place) for place in range(24 * len(names))]).tobytes()
            changes.append(
                (layout.key_of(layout.view_prefix(view.id), (f"e{entity}",)), layout.pack(instants, rows, []))
            )
    online.commit(changes)
    online.close()
    return [
        {"id": n, "distance": 5.0 * n, **{key: f"e{(n * 7 + place) % 1000}" for place, key in enumerate(keys)}}
        for n in range(ROWS)
    ]


LIMIT = """
import sys, msgspec, uvicorn, socket
from array import array
from millstream.serving.lightgbm import Booster
booster = Booster(open(sys.argv[1], "rb").read(), width=int(sys.argv[2]))
decode = msgspec.json.Decoder(dict[str, list[list[float]]]).decode
encode = msgspec.json.Encoder().encode
async def app(scope, receive, send):
    rows = decode((await receive())["body"])["rows"]
    body = encode({"predictions": [booster.predict_one(array("d", row)) for row in rows]})
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
listening = socket.create_server(("127.0.0.1", 0))
listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print(listening.getsockname()[1], flush=True)
config = uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="error",
                        timeout_keep_alive=600)
uvicorn.Server(config).run(sockets=[listening])
"""


class Caller:
    """One kept connection that sends some requests again and again, each when the one before it was answered."""

    def __init__(self, port: int, path: str, bodies: list[object]) -> None:
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        raws = [json.dumps(body).encode() for body in bodies]
        self.requests = [f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw for raw in raws]
        self.connection = socket.create_connection(("127.0.0.1", port))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask_us(self, times: int) -> list[float]:
        """Ask; return how long each answer took."""
        took: list[float] = []
        send, receive, requests = self.connection.sendall, self.connection.recv, self.requests
        for turn in range(times):
            request = requests[turn % len(requests)]
            begun = time.perf_counter()
            send(request)
            answer = receive(65536)
            while not answer.endswith(b"]}"):
                part = receive(65536)
                assert part, f"the server closed the connection after {answer!r}"
                answer += part
            took.append((time.perf_counter() - begun) * 1e6)
            assert answer.startswith(b"HTTP/1.1 200") and b'"degraded":true' not in answer, answer
        return took


@contextmanager
def our_server(root: Path, acknowledge: str):
    """Run the scoring server; yield its port and process id."""
    from millstream.serving.server import read_running

    command = [sys.executable, "-m", "millstream.serving.server", "--project", str(root), "--port", "0"]
    process = subprocess.Popen([*command, "--acknowledge", acknowledge], stderr=subprocess.DEVNULL)
    file = root / ".millstream" / "run" / "scoring.json"
    try:
        while (said := read_running(file)) is None or said.pid != process.pid:
            assert process.poll() is None, "the server ended"
            time.sleep(0.005)
        yield int(said.url.rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def bare_server(model: Path):
    """Run the limit; yield its port."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIMIT, str(model), str(FEATURES)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def peak_mb(pid: int) -> float:
    """Return the most memory a process had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000, 1)


def measure(acknowledge: str) -> Record:
    """Ask ours and the limit in turn; return the median of the rounds' medians."""
    model = train()
    with tempfile.TemporaryDirectory(dir=os.environ.get("MILLSTREAM_BENCH_DIR")) as scratch:
        root = Path(scratch) / "project"
        rows = write_project(root, model)
        text = Path(scratch) / "model.txt"
        text.write_text(model)
        with our_server(root, acknowledge) as (port, pid), bare_server(text) as bare_port:
            ours = Caller(port, _PREDICT, [{"rows": [row]} for row in rows])
            draw = random.Random(5)
            limit = Caller(
                bare_port, "/", [{"rows": [[draw.gauss(0, 1) for _ in range(FEATURES)]]} for _ in range(ROWS)]
            )
            medians: dict[Caller, list[float]] = {ours: [], limit: []}
            for each in medians:
                each.ask_us(WARM)
            for _ in range(ROUNDS):
                for each, found in medians.items():
                    found.append(statistics.median(each.ask_us(REQUESTS)))
                    time.sleep(0.05)
            peak = peak_mb(pid)
    return {
        "work": "answer-1" if acknowledge == "written" else "answer-1-fsync",
        "size": f"1 row, {FEATURES} features, {TREES} trees, 1 connection, p50 of {REQUESTS}",
        "unit": "us",
        "better": "lower",
        "ours": round(statistics.median(medians[ours]), 1),
        "limit": round(statistics.median(medians[limit]), 1),
        "peers": {},
        "peak_mb": peak,
    }


def answer_1() -> Record:
    """Measure with the record written before the answer leaves."""
    return measure("written")


def answer_1_fsync() -> Record:
    """Measure with the record synced before the answer leaves."""
    return measure("fsynced")


WORKS = {"answer-1": answer_1, "answer-1-fsync": answer_1_fsync}
