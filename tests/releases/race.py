"""A process that races: ``swap ROOT RELEASE GENERATION`` once, or ``move ROOT SEED COUNT`` reads and moves."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from millstream.errors import Conflict
from millstream.state import State, pointer
from tests.releases.made import APPROVER, House


def swap(root: Path, release: str, generation: int) -> None:
    house = House(root)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        house.releases.swap("late", release, expected_generation=generation, actor=APPROVER, reason="mine")
        print("won", flush=True)
    except Conflict as lost:
        print(lost.http_status, flush=True)


def move(root: Path, seed: int, count: int) -> None:
    """Read most of the time, sometimes compare-and-set on what was read; say what happened and when."""
    state = State(root / ".millstream" / "state.db")
    draw = random.Random(seed)
    ids = [each["id"] for each in state.query("SELECT id FROM releases ORDER BY version")]
    done = []
    print("ready", flush=True)
    sys.stdin.readline()
    seen = pointer.get(state, "late")
    for _ in range(count):
        began = time.monotonic_ns()
        if draw.random() < 0.96:
            seen = pointer.get(state, "late")
            done.append(("read", began, time.monotonic_ns(), seen.generation, seen.release))
            continue
        release = draw.choice(ids)
        try:
            with state.transact() as tx:
                moved = pointer.swap(
                    tx, model="late", release=release, expected_generation=seen.generation, at=str(seed)
                )
        except Conflict:
            done.append(("lost", began, time.monotonic_ns(), seen.generation, release))
        else:
            done.append(("won", began, time.monotonic_ns(), moved.generation, release))
    print(json.dumps(done), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "swap":
        swap(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        move(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
