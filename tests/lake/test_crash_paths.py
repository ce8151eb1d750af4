"""Laws 6 and 8 over every way a lake is changed: killed at any instant, or out of room, it goes on to the same end."""

from __future__ import annotations

import functools
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.lake.crashes import BROKEN, JOURNEYS, filled, in_a_child


class Undisturbed:
    """A journey prepared once, and what is there at its end when nothing disturbs it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.journey, self.folder = name, (JOURNEYS | BROKEN)[name], folder
        self.journey.prepare(folder / "prepared")
        root = self.copy("whole")
        told, code = in_a_child(name, root, 0)
        assert code == 0, told
        *self.acknowledged, self.instants = told
        self.facts = self.journey.facts(root)
        assert self.facts["ledger"] and not self.facts["bad"], self.facts

    def copy(self, name: str) -> Path:
        root = self.folder / name / "prepared"  # of the same length, whatever says a path
        shutil.copytree(self.folder / "prepared", root)
        return root

    def ends_well(self, root: Path, told: list[Any], why: str) -> None:
        """What was acknowledged is there before anything else is done; then the end is the same."""
        assert set(told) <= self.journey.has(root), f"{why}: acknowledged and lost"
        list(self.journey.act(root))
        made = self.journey.facts(root)
        assert made == self.facts, why
        shutil.rmtree(root.parent)

    def killed_at(self, instant: int) -> None:
        root = self.copy(f"killed-{instant}")
        told, code = in_a_child(self.name, root, instant)
        assert code == -signal.SIGKILL, f"it was to die at {instant} of {self.instants}: {told}"
        self.ends_well(root, told, f"killed at instant {instant} of {self.instants}")

    def out_of_room(self, most: int) -> str:
        root = self.copy(f"full-{most}")
        told, code = in_a_child(self.name, root, most, act=filled)
        assert code == 0 and len(told) == 1, f"no file beyond {most} bytes: {told}"
        assert told[0].startswith(("done", "full")), f"no file beyond {most} bytes: {told}"
        self.ends_well(root, [], f"no file beyond {most} bytes")
        return str(told[0])


@pytest.fixture(scope="module", params=JOURNEYS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return _undisturbed(request.param, tmp_path_factory.mktemp(request.param))


@functools.cache
def _undisturbed(name: str, folder: Path) -> Undisturbed:
    return Undisturbed(name, folder)


def test_laws_6_and_8_killed_on_the_way(path: Undisturbed) -> None:
    assert path.instants >= 2
    path.killed_at(2 * path.instants // 3)


def test_what_is_acknowledged_too_early_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="acknowledged and lost"):
        Undisturbed("Boasting", tmp_path).killed_at(2)


@pytest.mark.nightly
def test_laws_6_and_8_killed_at_every_instant(path: Undisturbed) -> None:
    for instant in range(1, path.instants + 1):
        path.killed_at(instant)


@pytest.mark.nightly
def test_a_disk_without_room_acknowledges_nothing_and_what_was_there_stays(path: Undisturbed) -> None:
    said = [path.out_of_room(most) for most in (0, 100, 700, 1_500, 4_000, 9_000, 30_000, 100_000, 400_000, 1 << 20)]
    assert any(each.startswith("full") for each in said)


def test_a_file_that_finds_no_room_is_told_and_taken_later(tmp_path: Path) -> None:
    assert Undisturbed("Taking", tmp_path).out_of_room(700).startswith("full")
