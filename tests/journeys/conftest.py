from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from tests.journeys.house import APPROVER, MODEL, TRAINER, Answers, House
from tests.server import example

SENSORS_DEAD = (date(2013, 2, 13), date(2013, 2, 14))
LOSSY = (date(2013, 2, 23), date(2013, 2, 24))
FIRST, LAST = date(2013, 2, 1), date(2013, 2, 24)


class Prepared(NamedTuple):
    """A project with a live model, and what the commands said on the way."""

    house: House
    said: dict[str, Any]


class February(NamedTuple):
    """A replayed February: what was asked and answered on each day, and what the wheel said the morning after."""

    house: House
    answers: dict[date, Answers]
    turns: dict[date, dict[str, Any]]
    seconds: float

    def opened(self, day: date) -> list[dict[str, Any]]:
        """Alarms opened by judging a day, which happens when it has ended."""
        found: list[dict[str, Any]] = self.turns[day + timedelta(days=1)]["opened"]
        return found

    @property
    def alarms(self) -> list[dict[str, Any]]:
        return [alarm for turned in self.turns.values() for alarm in turned["opened"]]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Read, checked, trained, released and approved; never written to afterwards."""
    root = example.new(tmp_path_factory, tmp_path_factory.mktemp("prepared") / "mill")
    house = House(root)
    with house.opened() as project:
        said = {"refresh": project.run("refresh", {}), "check": project.run("check", {})}
        said["train"] = project.run("train", {"model": MODEL, "actor": TRAINER})
        said["backtest"] = project.run("backtest", {"model": MODEL, "actor": TRAINER})
        said["release"] = project.run("release", {"model": MODEL, "actor": TRAINER})
        said["approve"] = project.run("approve", {"actor": APPROVER, "reason": "better than the simple rule"})
    return Prepared(house, said)


@pytest.fixture
def house(prepared: Prepared, tmp_path: Path) -> House:
    """A copy to do anything with."""
    return prepared.house.copy(tmp_path / "mill")


@pytest.fixture(scope="session")
def february(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> February:
    """Most of February replayed against the servers, with two incidents planted; then all is stopped."""
    house = prepared.house.copy(tmp_path_factory.mktemp("february") / "mill")
    for day in SENSORS_DEAD:
        house.rewrite("weather", day, lambda frame: frame.with_columns(visib=pl.lit(None, pl.Float64)))
    for day in LOSSY:
        house.rewrite("movements", day, lambda frame: frame.filter(pl.col("flight_id").hash(seed=7) % 100 >= 15))
    answers: dict[date, Answers] = {}
    turns: dict[date, dict[str, Any]] = {}
    began = time.perf_counter()
    with house.up() as up:
        up.answering()
        day = FIRST
        while day <= LAST:
            turns[day] = up.turn(day)
            answers[day] = up.ask(house.decisions(day))
            day += timedelta(days=1)
        turns[day] = up.turn(day)
    return February(house, answers, turns, time.perf_counter() - began)
