"""Processes that release at once: one wins, the others are told; reads never go back in time."""

import json
import subprocess
import sys
from bisect import bisect_left
from itertools import pairwise

from millstream.state import pointer

PROCESSES, OPERATIONS = 4, 2500


def race(*commands):
    """Run processes that start together; return the last line each said."""
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.releases.race", *map(str, each)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for each in commands
    ]  # fmt: skip
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate(timeout=120)[0].strip() for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    return said


def test_of_processes_that_release_at_once_one_wins_and_the_others_get_409(house):
    rivals = [house.approved(0.1 + number / 10) for number in range(PROCESSES)]
    said = race(*(("swap", house.root, each.id, 0) for each in rivals))
    assert sorted(said) == ["409"] * (PROCESSES - 1) + ["won"]
    at = pointer.get(house.state, "late")
    assert (at.generation, at.release) == (1, rivals[said.index("won")].id)
    assert house.acts().count("pointer.swap") == 1
    assert sorted(each.status for each in house.releases.history("late")) == ["approved"] * (PROCESSES - 1) + ["live"]


def test_the_pointer_is_linearizable(house):
    """Every history of reads and moves by several processes has an order that explains it."""
    for number in range(3):
        house.built(0.1 + number / 10)
    said = race(*(("move", house.root, seed, OPERATIONS) for seed in range(PROCESSES)))
    done = [each for text in said for each in json.loads(text)]
    assert len(done) == PROCESSES * OPERATIONS
    moves = sorted((each for each in done if each[0] == "won"), key=lambda each: each[3])
    assert [each[3] for each in moves] == list(range(1, len(moves) + 1)) and len(moves) > 50
    kept = {each["generation"]: each["release"] for each in pointer.was_live(house.state, "late")}
    assert kept == {generation: release for _, _, _, generation, release in moves}
    # a move took effect between its begin and its end, and moves took effect in the order of their generations
    for (_, began, _, _, _), (_, _, ended, _, _) in pairwise(moves):
        assert began < ended
    begun = [began for _, began, _, _, _ in moves]
    ended = sorted((each[2], each[3]) for each in moves)
    for kind, start, end, generation, release in done:
        if kind != "read":
            continue
        assert release == kept.get(generation)
        assert generation == 0 or begun[generation - 1] < end, "a read saw a move that had not begun"
        assert generation >= _latest_before(ended, start), "a read missed a move that had ended"


def _latest_before(ended, instant):
    before = bisect_left(ended, (instant, 0))
    return max((generation for _, generation in ended[max(0, before - PROCESSES - 1) : before]), default=0)
