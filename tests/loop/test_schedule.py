from __future__ import annotations

import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from millstream.definitions.loop import Monthly
from millstream.definitions.model import Model
from millstream.ledger import Ledger
from millstream.loop.durable import Durable
from millstream.loop.retraining import Retraining
from millstream.loop.schedule import Minutely, Schedule
from millstream.state import State, jobs
from millstream.state.jobs import Job
from millstream.types import ReplayClock, parse_instant
from tests.loop.works import Works

FIRST = parse_instant("2013-02-01")


class Undriven(Durable):
    """Writes a retrain down; nobody drives it."""

    def begin(self, model: str, *, actor: str, reason: str) -> tuple[Job, bool]:
        return self.retraining.ask(model, actor=actor, reason=reason)


class Named:
    """As much of a model as the schedule reads."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.retrain = Monthly()


def test_a_replayed_year_is_retrained_by_the_projects_clock(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db")
    clock = ReplayClock(tmp_path / "clock", start=FIRST)
    retraining = Retraining(state, Ledger(state, clock), clock, Works(tmp_path))
    models = cast("dict[str, Model]", {"late": Named("late"), "new": Named("new")})
    live: dict[str, datetime] = {"late": FIRST}
    schedule = Schedule(models, state=state, durable=Undriven(tmp_path / "loop.db", retraining), since=live.get)
    started: list[Any] = []
    for day in range(100):
        now = FIRST + timedelta(days=day)
        clock.advance(now)
        for trigger in schedule.tick(now):
            (job,) = jobs.at_work(state, model=trigger.model)
            assert schedule.due(now) == [], "one at work is not due again"
            retraining.end(job.id, "done", {})
            started.append((trigger.model, day))
    assert started == [("late", 28), ("late", 56), ("late", 84)]
    state.close()


def test_wall_clock_projects_tick_by_themselves() -> None:
    ticked = threading.Event()
    ticker = Minutely(ticked.set, every_s=0.001)
    ticker.start()
    assert ticked.wait(5)
    ticker.stop()
    assert not ticker.is_alive()
