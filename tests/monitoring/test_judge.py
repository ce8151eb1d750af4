from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from millstream.checks.report import CheckReport, CheckResult
from millstream.definitions.checks import Severity
from millstream.ledger import Ledger
from millstream.monitoring import Finding, Judgement, apply, judge_data
from millstream.monitoring.contracts import from_checks, from_lag, from_record
from millstream.monitoring.finding import CALM_DAYS
from millstream.monitoring.judge import reconcile
from millstream.state import State, alarms, observations
from millstream.types import SystemClock
from tests.monitoring.worlds import World

DAY = date(2013, 8, 20)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(tmp_path / "state.db")
    yield opened
    opened.close()


def end(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def finding(day: date, verdict: str, *, kind: str = "nulls", value: float = 1.0, about: str = "") -> Finding:
    return msgspec.convert(
        {
            "day": day.isoformat(),
            "model": "late",
            "kind": kind,
            "subject": "weather.visib",
            "verdict": verdict,
            "value": value,
            "threshold": 0.05,
            "says": f"{value:.0%} NULL",
            "about": about,
            "next": "millstream check weather",
        },
        Finding,
    )


def write(state: State, judgement: Judgement, planted: frozenset[tuple[str, str]] = frozenset()) -> None:
    with state.transact() as tx:
        apply(tx, judgement, ledger=Ledger(state, SystemClock()), planted=planted)


def live(state: State, verdicts: str, *, kind: str = "nulls") -> list[Judgement]:
    """Judge days, one letter each: a(larm), o(k), u(nknown)."""
    words = {"a": "alarm", "o": "ok", "u": "unknown"}
    judged = []
    for number, letter in enumerate(verdicts):
        day = DAY + timedelta(days=number)
        found = [finding(day, words[letter], kind=kind, value=float(number))]
        judged.append(reconcile(day, found, alarms.opened(state), now=end(day)))
        write(state, judged[-1])
    return judged


def acts(state: State) -> list[str]:
    return [each.act for each in Ledger(state, SystemClock()).rows(newest=False)]


def test_one_alarm_is_opened_updated_and_closed_after_its_calm_days(state: State) -> None:
    live(state, "aaoaouoo")
    (alarm,) = alarms.history(state)
    assert CALM_DAYS["nulls"] == 3
    assert alarm.since == "2013-08-20" and alarm.opened_at == end(DAY).isoformat()
    assert alarm.closed_at == end(DAY + timedelta(days=7)).isoformat()
    assert alarm.value == 3.0 and alarm.says == "300% NULL"
    assert acts(state) == ["alarm.open", "alarm.close"]
    assert [each.value for each in observations.series(state, "late", "nulls", "weather.visib")] == [
        float(each) for each in range(8)
    ]


def test_a_new_breach_after_the_end_is_a_new_alarm(state: State) -> None:
    live(state, "aoooa")
    assert len(alarms.history(state)) == 2 and len(alarms.opened(state, "late")) == 1


def test_judging_a_day_twice_changes_nothing(state: State) -> None:
    day = reconcile(DAY, [finding(DAY, "alarm")], [], now=end(DAY))
    write(state, day)
    write(state, reconcile(DAY, [finding(DAY, "alarm")], alarms.opened(state), now=end(DAY)))
    again = reconcile(DAY, [finding(DAY, "ok")], alarms.opened(state), now=end(DAY))
    assert not again.updated and not again.closed
    assert len(alarms.history(state)) == 1 and acts(state) == ["alarm.open"]


def test_what_is_planted_is_marked(state: State) -> None:
    judgement = reconcile(DAY, [finding(DAY, "alarm")], [], now=end(DAY))
    write(state, judgement, frozenset({("nulls", "weather.visib")}))
    assert alarms.opened(state)[0].planted
    live(state, "aa")
    assert alarms.opened(state)[0].planted


def test_alarms_about_a_release_end_with_it(state: State) -> None:
    write(state, reconcile(DAY, [finding(DAY, "alarm", kind="harm", about="late@1")], [], now=end(DAY), live="late@1"))
    next_day = DAY + timedelta(days=1)
    found = [finding(next_day, "unknown", kind="harm", about="late@2")]
    write(state, reconcile(next_day, found, alarms.opened(state), now=end(next_day), live="late@2"))
    assert alarms.opened(state) == []
    assert "no longer live" in alarms.history(state)[0].detail["closed"]


def test_a_crash_writes_all_of_a_day_or_nothing(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("gone")

    monkeypatch.setattr(Ledger, "append", broken)
    with pytest.raises(OSError, match="gone"):
        write(state, reconcile(DAY, [finding(DAY, "alarm")], [], now=end(DAY)))
    assert alarms.history(state) == [] and observations.of_day(state, DAY.isoformat()) == []


def test_a_world_is_written_down_and_read_back(state: State) -> None:
    world = World(seed=9)
    world.run(3)
    judgement = world.day(DAY)
    write(state, judgement)
    assert observations.of_day(state, DAY.isoformat(), model="m") == sorted(
        (each for each in judgement.observations if each.day == DAY.isoformat()), key=lambda o: (o.kind, o.subject)
    )
    assert ("latency", "p95") in observations.subjects(state, "m")
    assert observations.last_day(state, "m") == DAY.isoformat()
    assert observations.last_day(state, "other") is None
    assert json.loads(msgspec.json.encode(judgement))  # no NaN leaves the room


def report(*, ok: bool, severity: Severity = "warn", check: str = "complete") -> CheckReport:
    result = CheckResult(
        check=check,
        subject="movements",
        severity=severity,
        ok=ok,
        failed_rows=0 if ok else 31,
        share=0.85,
        threshold=0.9,
        says="85 % of the flights planned for 2013-10-12 are there",
    )
    return CheckReport("movements", 255, 800, (result,), pl.DataFrame())


def test_broken_contracts_become_alarms_about_data(state: State) -> None:
    write(state, judge_data(DAY, from_checks(report(ok=False), DAY), opened=[], now=end(DAY)))
    (alarm,) = alarms.opened(state, "late")
    assert (alarm.model, alarm.kind, alarm.subject) == ("", "contract", "movements.complete")
    assert alarm.severity == "warn" and alarm.next == "millstream check movements"
    assert alarm.detail["check"] == "complete" and "movements@255" in alarm.says
    assert from_checks(report(ok=False, severity="note"), DAY)[0].verdict == "ok"
    made = report(ok=False)
    kept = {"table": made.table, "version": made.version, "rows": made.rows}
    kept["results"] = [msgspec.to_builtins(each) for each in made.results]
    assert from_record(kept, DAY) == from_checks(made, DAY)


def test_days_caught_up_in_one_go_are_days(state: State) -> None:
    late = end(DAY + timedelta(days=30))
    for number, verdict in enumerate(["alarm", "ok", "ok", "ok", "alarm"]):
        day = DAY + timedelta(days=number)
        write(state, reconcile(day, [finding(day, verdict)], alarms.opened(state), now=late))
    assert [each.closed_at is None for each in alarms.history(state)].count(True) == 1
    assert len(alarms.history(state)) == 2


def test_lossy_weekends_are_one_alarm(state: State) -> None:
    for number in range(14):
        day = DAY + timedelta(days=number)
        found = from_checks(report(ok=number % 7 > 1), day)
        write(state, judge_data(day, found, opened=alarms.opened(state), now=end(day)))
    assert len(alarms.history(state)) == 1


def test_a_lag_beyond_the_declared_one_is_noticed() -> None:
    seen = end(DAY)
    known = pl.Series([seen - timedelta(hours=each % 30) for each in range(300)])
    late = from_lag("movements", DAY, known_at=known, seen_at=seen, declared=timedelta(days=1))
    kept = from_lag("movements", DAY, known_at=known, seen_at=seen, declared=timedelta(hours=30))
    none = from_lag("movements", DAY, known_at=known.clear(), seen_at=seen, declared=timedelta(days=1))
    assert (late.verdict, kept.verdict, none.verdict) == ("alarm", "ok", "unknown")
    assert late.detail["late"] == 50 and "declared 24 h" in late.says


def noticed(check: str, column: str, **detail: object) -> CheckResult:
    return CheckResult(
        check=check, subject=f"daily.{column}", severity="warn", ok=False, failed_rows=9, share=0.9, threshold=0.5,
        says=f"daily.{column}: odd", detail={"noticed": True, "by": "category", "values": ["YOGURT"]} | detail,
    )  # fmt: skip


def test_one_cause_is_one_alarm_whichever_columns_show_it(state: State) -> None:
    results = (noticed("new_category", "category"), noticed("zeros", "units"), noticed("zeros", "sales"))
    made = CheckReport("daily", 3, 90, results, pl.DataFrame())
    judged = judge_data(DAY, from_checks(made, DAY), opened=[], now=end(DAY))
    (alarm,) = judged.opened
    assert (
        alarm.subject == "daily.zeros" and "daily.units: odd" in alarm.says and alarm.says.endswith("and daily.sales")
    )
    alone = CheckReport("daily", 3, 90, results[:1], pl.DataFrame())
    (alarm,) = judge_data(DAY, from_checks(alone, DAY), opened=[], now=end(DAY)).opened
    assert alarm.subject == "daily.new_category", "without zeros the new category is the news"
    eggs = (noticed("new_category", "category", values=["EGGS"]), *results[1:])
    other = CheckReport("daily", 3, 90, eggs, pl.DataFrame())
    assert len(judge_data(DAY, from_checks(other, DAY), opened=[], now=end(DAY)).opened) == 2


def test_an_alarm_closes_at_once_when_its_data_are_repaired(state: State) -> None:
    bad = CheckReport("daily", 3, 90, (noticed("zeros", "units"),), pl.DataFrame())
    write(state, judge_data(DAY, from_checks(bad, DAY), opened=[], now=end(DAY)))
    good = msgspec.structs.replace(noticed("zeros", "units", repaired=True), ok=True)
    after = DAY + timedelta(days=1)
    repaired = CheckReport("daily", 4, 90, (good,), pl.DataFrame())
    judged = judge_data(after, from_checks(repaired, after), opened=alarms.opened(state), now=end(after))
    assert [each.subject for each in judged.closed] == ["daily.zeros"]
