"""The two failures that cost demand forecasting most, on real sales: noticed at once, held, repaired."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from millstream.definitions.loop import Every
from millstream.loop.triggers import due
from millstream.project import Project
from millstream.project.watch import Watch
from millstream.state import alarms
from tests.journeys import quiet
from tests.journeys.command import millstream

SATURDAY, LISTED = date(2017, 6, 24), date(2017, 6, 28)
BEGINS = date(2017, 6, 14)


@dataclass
class Shop:
    """The grocer, the project beside it, and what was found so far."""

    standin: Any
    grocer: Any
    project: Project
    watch: Watch
    opened: list[Any] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def morning(self, day: date, *, deliver: bool = False, correct: bool = False) -> dict[str, Any]:
        """Live a morning: yesterday's batch and repairs arrive, are checked and judged; say what was found of daily."""
        yesterday = day - timedelta(days=1)
        self.grocer.publish(yesterday)
        if deliver:
            self.grocer.deliver_lost(yesterday)
        if correct:
            self.grocer.correct_zeros(yesterday)
        self.project.clock.advance(self.standin.morning(day))  # type: ignore[attr-defined]
        reports = self.project.run("check")["reports"]
        for each in self.watch.judge():
            self.opened += each.opened
            self.closed += [alarm.subject for alarm in each.closed]
        found: dict[str, Any] = next(each for each in reports if each["table"] == "daily")
        return found

    def held(self) -> str | None:
        """Say what a retrain that is long due waits for; None where it does not."""
        now = self.project.clock.now()
        opened = alarms.opened(self.project.state)
        asked = due("demand", Every("28d"), last_at=now - timedelta(days=99), alarms=opened, now=now)
        assert asked is not None
        return asked.says if asked.held else None


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    root = tmp_path_factory.mktemp("shop") / "retail"
    standin = quiet.untouched("retail", root, begins=BEGINS)
    grocer = standin.Grocer(root / "ops")
    weekend = frozenset({SATURDAY, SATURDAY + timedelta(days=1)})
    grocer.prepare(standin.Incidents(lossy_weekends=weekend, listed=LISTED, zeros=56))
    grocer.publish_until(BEGINS - timedelta(days=1))
    with Project(root, lock=True) as project:
        project.run("check")
        shop = Shop(standin, grocer, project, Watch(project))
        for number in range(1, (SATURDAY - BEGINS).days + 1):
            shop.morning(BEGINS + timedelta(days=number))
        assert not shop.opened, "ten days as they were raise no alarm"
        yield shop


def test_a_weekend_that_lost_pairs_is_noticed_that_day_and_holds_until_they_are_delivered(shop: Shop) -> None:
    lost = pl.read_parquet(shop.grocer.kept / "lost.parquet").filter(pl.col("date") == SATURDAY)
    assert 0.12 < lost.height / 252 < 0.18
    report = shop.morning(SATURDAY + timedelta(days=1))
    (found,) = (each for each in report["results"] if not each["ok"])
    named = {(each["store_id"], each["category"], each["period"]) for each in found["detail"]["missing"]}
    assert named == {(*pair, "2017-06-24") for pair in lost.select("store_id", "category").rows()}
    assert "Sat 24 Jun 2017 has 214 of 252" in found["says"] and "spread evenly" in found["says"]
    assert shop.held() is not None
    for number in range(2, 4):  # Sunday is short too; Monday is whole, and what was lost is still missing
        report = shop.morning(SATURDAY + timedelta(days=number))
        assert shop.held() is not None
    (found,) = (each for each in report["results"] if not each["ok"])
    assert "252 of 252" in found["says"] and "2 earlier periods from 2017-06-24 still short" in found["says"]
    assert [each.subject for each in shop.opened] == ["daily.store_id,category.expected"], "one alarm"
    report = shop.morning(SATURDAY + timedelta(days=4), deliver=True)
    assert all(each["ok"] for each in report["results"])
    assert shop.closed == ["daily.store_id,category.expected"] and shop.held() is None


def test_a_new_category_with_zeros_for_a_past_is_set_aside_until_it_is_corrected(shop: Shop) -> None:
    shop.opened.clear()
    shop.closed.clear()
    report = shop.morning(LISTED + timedelta(days=1))
    broken = {each["subject"]: each for each in report["results"] if not each["ok"]}
    assert set(broken) == {"daily.units", "daily.sales", "daily.category"}
    assert "category = 'YOGURT', which has no history" in broken["daily.units"]["says"]
    assert [each.subject for each in shop.opened] == ["daily.zeros"], "one cause, one alarm"
    project = shop.project
    aside = project.lake.quarantined("daily", report["version"]).filter(check="zeros daily.units")
    past = aside.filter(pl.col("day") < shop.standin.begins(LISTED))
    assert past.height == 12 * 56 and set(aside["category"]) == {"YOGURT"}
    assert _past(project, shop.standin).is_empty(), "trusted reads leave the invented zeros out"
    assert "daily.zeros" in str(shop.held())
    shop.morning(LISTED + timedelta(days=2))
    assert shop.held() is not None, "a good batch does not repair the one before"
    report = shop.morning(LISTED + timedelta(days=3), correct=True)
    assert all(each["ok"] for each in report["results"]) and shop.held() is None
    assert shop.closed == ["daily.zeros"] and len(shop.opened) == 1
    corrected = _past(project, shop.standin)
    assert corrected.height == 12 * 56 and corrected["units"].null_count() == corrected.height


def _past(project: Project, standin: Any) -> pl.DataFrame:
    return project.lake.read("daily").frame.filter(
        pl.col("category") == standin.NEW, pl.col("day") < standin.begins(LISTED)
    )


@pytest.mark.nightly
def test_the_whole_story(tmp_path: Path) -> None:
    said = millstream("demo", "retail", "--exit", "--json", "--dir", tmp_path / "demo", timeout_s=900)
    assert said.code == 0, said.err[-3000:]
    told = json.loads(said.out)
    assert told["failed"] == 0 and told["lost"] == 0 and told["asked"] >= told["predictions"] > 20_000
    assert set(told["answered_by"]) == {"champion"}
    assert told["reproduced"] is True and told["verify"] is True
    for each in told["incidents"]:
        assert each["batches_missed"] == 0 and len(each["alarms"]) == 1, each
        assert each["held"] and max(each["held"]) < each["repaired"] == each["retrain_begun"] == each["live"], each
        assert "may go live" in each["verdict"] and set(each["answered_by"]) == {"champion"}
        assert all({"store_id", "category"} < set(row) for row in each["rows"])
        errors = {name: said["concerned"] for name, said in each["forecast"].items()}
        clean, bad, repaired = (errors[name] for name in list(errors)[:3])
        assert bad["bias"] < clean["bias"] - 0.02, "what is lost or zero is forecast too low"
        assert bad["under"] > clean["under"] and bad["rmse"] > clean["rmse"]
        assert abs(repaired["bias"] - clean["bias"]) < 0.01 and abs(repaired["rmse"] - clean["rmse"]) < 0.02
    print(json.dumps(told["incidents"], indent=1))


@pytest.mark.nightly
def test_a_year_as_it_was_raises_at_most_one_alarm_a_quarter_a_table(tmp_path: Path) -> None:
    root = tmp_path / "retail"
    standin = quiet.untouched("retail", root, begins=date(2017, 1, 2))
    grocer = standin.Grocer(root / "ops")
    grocer.prepare(standin.Incidents())
    opened = quiet.replay(root, standin, grocer, first=date(2017, 1, 2), last=date(2018, 1, 1))
    counts = quiet.told(opened, ["daily", "assortment"])
    assert counts == {"daily": [0, 0, 0, 1], "assortment": [0, 0, 0, 0]}, "25 December: every store was closed"


@pytest.mark.nightly
def test_a_year_of_flights_as_it_was_raises_alarms_for_storms_alone(tmp_path: Path) -> None:
    root = tmp_path / "flights"
    standin = quiet.untouched("flights", root, begins=date(2013, 1, 2))
    airline = standin.Airline(root / "ops")
    airline.prepare(standin.Incidents())
    standin.copy_files(root / "files")
    opened = quiet.replay(root, standin, airline, first=date(2013, 1, 2), last=date(2014, 1, 1))
    counts = quiet.told(opened, ["schedule", "movements", "weather", "planes", "airports", "flights"])
    assert {name for name, quarters in counts.items() if sum(quarters)} == {"movements"}
    assert max(counts["movements"]) <= 3, "each a day on which a tenth of the flights and more were cancelled"
    assert all("pile up" in alarm.says for _, alarm in opened)
