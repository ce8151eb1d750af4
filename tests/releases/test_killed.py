"""Killed at any step: exactly one whole release is live, and whoever tries again succeeds."""

import shutil
import subprocess
import sys
import time

import pytest

from millstream.errors import Conflict
from millstream.releases.swap import STEPS
from millstream.state import outbox, pointer, releases
from tests.releases.made import APPROVER, TRAINER, House, write_artifact

BUILD = ("begin", "copied", "signed", "renamed", "registering", "registered", "end")
POINTS = [
    *(f"build:{each}" for each in BUILD),
    *(f"swap:{each}" for each in STEPS),
    *(f"rollback:{each}" for each in STEPS),
]
TRUE_FROM = {"build": "end", "swap": "committed", "rollback": "committed"}
"""The first point of an act at which what it does is true."""
RECOVERY_S = 2.0


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A project with late@1 retired, late@2 live, late@3 approved, and an artifact for late@4."""
    root = tmp_path_factory.mktemp("killed") / "template"
    house = House(root)
    house.live(0.1)
    house.live(0.2)
    house.approved(0.3)
    write_artifact(root / "new", value=0.4)
    house.close()
    return root


@pytest.fixture(scope="module")
def killed(template, tmp_path_factory):
    """Kill one copy of the project at each point; return the folder of the copies."""
    folder = tmp_path_factory.mktemp("points")
    done = subprocess.run(
        [sys.executable, "-m", "tests.releases.killed", "points", str(template), str(folder), *POINTS],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{each} killed" for each in POINTS]
    return folder


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_step_it_is_whole_or_was_never_begun(killed, point):
    act, _, step = point.partition(":")
    steps = BUILD if act == "build" else STEPS
    true = steps.index(step) >= steps.index(TRUE_FROM[act])
    began = time.monotonic()
    house = House(killed / point.replace(":", "-"))
    live = _exactly_one_whole(house)
    assert time.monotonic() - began < RECOVERY_S
    versions = {"build": ("late@2", "late@2"), "swap": ("late@2", "late@3"), "rollback": ("late@2", "late@1")}
    assert live.name == versions[act][true]
    assert len(house.releases.history("late")) == (4 if act == "build" and true else 3)
    _again(house, act, true=true)
    _exactly_one_whole(house)
    house.close()


def _exactly_one_whole(house):
    """Check that pointer, statuses, ledger and outbox tell one story, and return the live release."""
    at = pointer.get(house.state, "late")
    live = [each for each in house.releases.history("late") if each.status == "live"]
    assert [each.id for each in live] == [at.release]
    assert all(each.ok for each in house.releases.verify())
    assert house.ledger.verify().ok
    moves = house.ledger.rows(act="pointer.", newest=False)
    assert [each.detail["generation"] for each in moves] == list(range(1, at.generation + 1))
    assert moves[-1].detail["release"] == at.release
    told = [each.body for each in outbox.pending(house.state) if each.kind == "notify"]
    assert [each["generation"] for each in told] == list(range(1, at.generation + 1))
    assert len(pointer.was_live(house.state, "late")) == at.generation
    return live[0]


def _again(house, act, *, true):
    """Do again what was killed; what was done already is not done twice."""
    if act == "build":
        assert house.releases.build(house.root / "new", actor=TRAINER, trained_by=TRAINER).name == "late@4"
        assert [each.version for each in house.releases.history("late")] == [4, 3, 2, 1]
    elif act == "swap":
        row = house.releases.named("late", 3)
        if true:
            with pytest.raises(Conflict, match="late@3 is live already"):
                house.releases.swap("late", row, actor=APPROVER, reason="again")
        else:
            assert house.releases.swap("late", row, actor=APPROVER, reason="again").name == "late@3"
    elif not true:
        assert house.releases.rollback("late", actor=APPROVER, reason="again").name == "late@1"


def test_killed_at_any_instant_no_promised_move_is_lost(template, tmp_path):
    promised = 0
    root = tmp_path / "mill"
    shutil.copytree(template, root)
    for wanted in (1, 2, 3, 5, 8, 4, 6):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.releases.killed", "flip", str(root)], stdout=subprocess.PIPE, text=True
        )
        said = [child.stdout.readline() for _ in range(wanted)]
        child.kill()
        said += child.stdout.readlines()
        child.wait()
        child.stdout.close()
        generation, release = [each for each in said if each.endswith("\n")][-1].split()
        house = House(root)
        at = pointer.get(house.state, "late")
        assert int(generation) <= at.generation <= int(generation) + 1
        assert int(generation) > promised
        promised = int(generation)
        if at.generation == promised:
            assert at.release == release
        assert releases.get(house.state, at.release).status == "live"
        _exactly_one_whole(house)
        house.close()
