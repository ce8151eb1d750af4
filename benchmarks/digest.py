"""What naming each served vector costs: one row over HTTP at the 95th percentile, with digests and without.

One scoring server answers some requests with the digest and as many without, in turn. Two servers of the same code
differ by a fifth and more at the 95th percentile, as their memory happens to lie: far more than what is looked for.
``make bench ONLY=answer-digest``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from benchmarks.answer import _PREDICT, FEATURES, TREES, WARM, Caller, peak_mb, train, write_project
from benchmarks.harness import Record

BURST, BURSTS, SERVERS = 50, 400, 3
"""Requests in a row that are answered alike, how many such, and how many servers are asked one after another."""
_IN_TURN = f"""
import itertools, sys
from millstream.serving import app
named, asked = app.digest, itertools.count()
app.digest = lambda features, **said: "" if next(asked) // {BURST} % 2 else named(features, **said)
from millstream.serving.server import main
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def in_turn(root: Path):
    """Run the scoring server with the digest taken out of every other burst; yield its port and process."""
    from millstream.serving.server import read_running

    command = [sys.executable, "-c", _IN_TURN, "--project", str(root), "--port", "0", "--acknowledge", "written"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    file = root / ".millstream" / "run" / "scoring.json"
    try:
        while (said := read_running(file)) is None or said.pid != process.pid:
            assert process.poll() is None, "the server ended"
            time.sleep(0.005)
        yield int(said.url.rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.wait()


def asked(root: Path, rows: list[dict[str, object]]) -> tuple[list[list[float]], float]:
    """Ask a server; return the microseconds of answers with and without a digest, and its peak memory."""
    found: list[list[float]] = [[], []]
    with in_turn(root) as (port, pid):
        caller = Caller(port, _PREDICT, [{"rows": [row]} for row in rows])
        caller.ask_us(2 * BURST * -(-WARM // (2 * BURST)))  # whole turns, so that the next one is with a digest
        for turn in range(2 * BURSTS):
            found[turn % 2] += caller.ask_us(BURST)
        return found, peak_mb(pid)


def answer_digest() -> Record:
    """Ask some servers; return the medians over them of both 95th percentiles, and of both medians."""
    model = train()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "project"
        rows = write_project(root, model)
        servers = [asked(root, rows) for _ in range(SERVERS)]
    ours, limit = (
        (
            statistics.median(statistics.quantiles(found[side], n=20)[-1] for found, _ in servers),
            statistics.median(statistics.median(found[side]) for found, _ in servers),
        )
        for side in (0, 1)
    )
    many = f"p95 of {BURST * BURSTS:,} with and without, {SERVERS} servers"
    return {
        "work": "answer-digest",
        "size": f"1 row, {FEATURES} features, {TREES} trees, 1 connection, {many}; limit: no digest",
        "unit": "us",
        "better": "lower",
        "ours": round(ours[0], 1),
        "limit": round(limit[0], 1),
        "peers": {},
        "peak_mb": max(peak for _, peak in servers),
        "least": {"ours": round(ours[1], 1), "limit": round(limit[1], 1)},
    }


WORKS = {"answer-digest": answer_digest}
