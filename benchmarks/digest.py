"""What naming each served vector costs: one row over HTTP at the 95th percentile, with digests and without.

Two whole scoring servers on the same release, one of which has the digest taken out, are asked in turn by the same
client. ``make bench ONLY=answer-digest``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from benchmarks.answer import _PREDICT, FEATURES, TREES, WARM, Caller, our_server, peak_mb, train, write_project
from benchmarks.harness import Record

BURST, BURSTS = 50, 400
"""Requests asked of one server in a row, and how often: short turns, so that a busy machine slows both alike."""
_WITHOUT = """
import sys
from millstream.serving import app
app.digest = lambda features, **said: ""
from millstream.serving.server import main
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def without(root: Path):
    """Run the scoring server with the digest taken out; yield its port."""
    from millstream.serving.server import read_running

    command = [sys.executable, "-c", _WITHOUT, "--project", str(root), "--port", "0", "--acknowledge", "written"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    file = root / ".millstream" / "run" / "scoring.json"
    try:
        while (said := read_running(file)) is None or said.pid != process.pid:
            assert process.poll() is None, "the server ended"
            time.sleep(0.005)
        yield int(said.url.rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()


def answer_digest() -> Record:
    """Ask both in turn; return the 95th percentile of all requests of each, and the medians."""
    model = train()
    with tempfile.TemporaryDirectory() as scratch:
        first, second = Path(scratch) / "with", Path(scratch) / "without"
        rows = write_project(first, model)
        write_project(second, model)
        with our_server(first, "written") as (port, pid), without(second) as other:
            bodies: list[object] = [{"rows": [row]} for row in rows]
            ours, limit = Caller(port, _PREDICT, bodies), Caller(other, _PREDICT, bodies)
            found: dict[Caller, list[float]] = {ours: [], limit: []}
            for each in found:
                each.ask_us(WARM)
            for turn in range(BURSTS):
                for each in (ours, limit) if turn % 2 else (limit, ours):
                    found[each] += each.ask_us(BURST)
            peak = peak_mb(pid)
    return {
        "work": "answer-digest",
        "size": f"1 row, {FEATURES} features, {TREES} trees, 1 connection, p95 of {BURST * BURSTS}; limit: no digest",
        "unit": "us",
        "better": "lower",
        "ours": round(statistics.quantiles(found[ours], n=20)[-1], 1),
        "limit": round(statistics.quantiles(found[limit], n=20)[-1], 1),
        "peers": {},
        "peak_mb": peak,
        "least": {name: round(statistics.median(found[each]), 1) for name, each in (("ours", ours), ("limit", limit))},
    }


WORKS = {"answer-digest": answer_digest}
