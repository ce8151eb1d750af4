"""The loop begins while the control plane answers already, and may be told to stop before it has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millstream.errors import NotFound
from millstream.project import Project
from millstream.server.conductor import Conductor


@pytest.fixture
def conductor(project: Path) -> Iterator[Conductor]:
    with Project(project, lock=True) as opened:
        made = Conductor(opened)
        try:
            yield made
        finally:
            made.stop()


def held(conductor: Conductor, monkeypatch: pytest.MonkeyPatch) -> tuple[Callable[[], None], list[str]]:
    """Hold the loop back just before it begins; return what lets it go, and what it did."""
    go, begin, did = threading.Event(), conductor.wheel.start, []

    def start() -> None:
        assert go.wait(20)
        begin()
        did.append("begun")

    monkeypatch.setattr(conductor.wheel, "start", start)
    return go.set, did


def test_who_needs_the_loop_waits_until_it_has_begun(conductor: Conductor, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go, did = held(conductor, monkeypatch)
    conductor.start()
    seen: list[list[str]] = []

    def ask() -> None:
        with pytest.raises(NotFound, match="no model 'lat'"):
            conductor.command("retrain", {"model": "lat", "reason": "why not", "actor": "ann"})
        seen.append([*did])

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(0.2)
    assert asking.is_alive() and conductor.command("decisions", {})["decisions"], "others are answered meanwhile"
    let_go()
    asking.join(20)
    assert seen == [["begun"]]


def test_a_stop_waits_for_a_loop_that_is_just_beginning(conductor: Conductor, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go, did = held(conductor, monkeypatch)
    conductor.start()
    stopping = threading.Thread(target=conductor.stop)
    stopping.start()
    stopping.join(0.2)
    begun = [*did]
    let_go()
    stopping.join(30)
    assert not stopping.is_alive() and begun == []


def test_a_loop_that_is_to_stop_already_does_not_begin(conductor: Conductor, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go, did = held(conductor, monkeypatch)
    let_go()
    conductor.stop()
    conductor.start()
    turning = conductor._turning
    assert turning is not None
    turning.join(20)
    assert not turning.is_alive() and did == []
