"""Step 6: each day is judged; what breaks is noticed within a day, and a blizzard is not taken for a broken model."""

from __future__ import annotations

import os
import signal
from datetime import date, timedelta
from typing import Any

from millstream.state import observations
from tests.awaited import until
from tests.journeys.conftest import FIRST, LOSSY, SENSORS_DEAD, February, Prepared
from tests.journeys.house import MODEL, House

BLIZZARD = (date(2013, 2, 8), date(2013, 2, 9))


def test_a_dead_sensor_is_noticed_within_a_day(february: February) -> None:
    opened = {(each["kind"], each["subject"]): each for each in february.opened(SENSORS_DEAD[0])}
    nulls = opened["nulls", "weather.visib"]
    assert nulls["since"][:10] == str(SENSORS_DEAD[0]) and "100%" in nulls["says"].replace(" %", "%")
    assert nulls["next"], "an alarm says what to do"
    before = [each for each in february.alarms if each["subject"].startswith("weather.visib")]
    assert all(each["since"][:10] >= str(SENSORS_DEAD[0]) for each in before)


def test_a_lossy_weekend_is_noticed_by_completeness_within_a_day(february: February) -> None:
    complete = [
        (day, alarm)
        for day, turned in february.turns.items()
        for alarm in turned["opened"]
        if alarm["subject"].startswith("movements.complete") and day > LOSSY[0]
    ]
    assert complete, [each["subject"] for each in february.alarms]
    day, alarm = complete[0]
    arrived = LOSSY[0] + timedelta(days=1)  # the midnight at which Saturday's batch is committed; Sunday's lag is a day
    assert day - arrived <= timedelta(days=1)
    assert "schedule" in alarm["says"] and alarm["next"]


def test_the_blizzard_reads_as_outcomes_incomplete(february: February) -> None:
    around = [BLIZZARD[0] + timedelta(days=each) for each in range(-1, 7)]
    opened = [alarm for day in around for alarm in february.opened(day)]
    incomplete = [each for each in opened if each["kind"] == "outcomes"]
    assert incomplete and incomplete[0]["since"][:10] == str(BLIZZARD[0])
    assert "incomplete" in incomplete[0]["says"]
    assert not [each for each in opened if each["kind"] in ("performance", "harm")]
    assert not [each for each in february.alarms if each["kind"] == "harm"]
    with february.house.opened() as project:
        day = [
            each
            for each in observations.series(project.state, MODEL, "outcomes", "arrived")
            if each.day == str(BLIZZARD[0])
        ]
        assert day and day[-1].verdict != "ok"


def test_every_alarm_says_what_since_when_how_bad_and_what_to_do(february: February) -> None:
    assert february.alarms
    for each in february.alarms:
        assert each["says"] and each["since"] and each["next"] and each["severity"] in ("note", "warn", "stop"), each
    status = february.house.run("status")
    told = [each for each in status["timeline"] if each["kind"] == "alarm"]
    assert len(told) == len(february.alarms)


def _seen(house: House, last: date) -> tuple[list[Any], list[Any]]:
    """What was observed of the days up to one, and every alarm of that time as the ledger has it.

    Left out are what the machine decides (times of answering) and what days to come still add to (outcomes).
    """
    days = [str(FIRST + timedelta(days=each)) for each in range((last - FIRST).days + 1)]
    with house.opened() as project:
        kept = [
            (each.day, each.model, each.kind, each.subject, each.value, each.verdict, each.says)
            for day in days
            for each in observations.of_day(project.state, day)
            if each.kind not in ("latency", "outcomes")
        ]
        alarms = [
            (each.at, each.act, each.subject, each.detail.get("says"))
            for each in project.ledger.rows(act="alarm.", newest=False)
            if each.at <= house.standin.midnight(last + timedelta(days=1)).isoformat()
        ]
    return kept, alarms


def test_law_6_a_killed_control_plane_judges_the_days_as_one_that_lived(
    february: February, prepared: Prepared, tmp_path: Any
) -> None:
    house, last = prepared.house.copy(tmp_path / "mill"), date(2013, 2, 9)
    with house.up() as up:
        up.answering()
        day = FIRST
        while day <= last:
            up.turn(day)
            up.ask(house.decisions(day))
            if day in (date(2013, 2, 4), date(2013, 2, 7)):
                process = up.supervisor.control.process
                assert process is not None
                os.kill(process.pid, signal.SIGKILL)
                until(lambda old=process: up.supervisor.control.process is not old, "started again")
            day += timedelta(days=1)
        up.turn(day)
    observed, alarms = _seen(house, last)
    lived, lived_alarms = _seen(february.house, last)
    assert alarms == lived_alarms
    assert len(observed) > 100
    assert observed == lived


def test_a_sender_that_falls_silent_is_noticed_without_a_new_version(house: House) -> None:
    house.publish(date(2013, 2, 1))
    house.run("check")
    house.clock.advance(house.standin.midnight(date(2013, 2, 4)))  # type: ignore[attr-defined]
    checked = house.run("check")
    (movements,) = [each for each in checked["reports"] if each["table"] == "movements"]
    (complete,) = [each for each in movements["results"] if each["check"] == "complete"]
    assert not complete["ok"] and "0 of" in complete["says"], complete["says"]
    assert len(movements["results"]) == 5, "what was said of the last batch still stands"
    opened = {each["subject"]: each for each in house.run("monitor")["alarms"]}
    assert "0 of" in opened["movements.complete"]["says"]
    assert not [each for each in house.run("check")["reports"] if each["table"] == "movements"], "said once"
