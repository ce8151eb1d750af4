"""How a library answers: once for each line it is sent, with the seconds, the most memory so far and what it found."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

MARK = "said: "


def serve(run: Callable[[], Any], found: Callable[[Any], Any] = lambda made: made) -> None:
    """Run once a line; what ``found`` does with what was made is not timed."""
    say({})
    for _ in sys.stdin:
        begun, spent = time.perf_counter(), time.process_time()
        made = run()
        took, cpu = time.perf_counter() - begun, time.process_time() - spent
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1)
        say({"took": took, "cpu": cpu, "found": found(made), "peak_mb": peak})


def say(said: dict[str, Any]) -> None:
    """Print a line that is told apart from what a library prints."""
    print(f"\n{MARK}{json.dumps(said)}", flush=True)
