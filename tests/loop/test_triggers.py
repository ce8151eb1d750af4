from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from millstream.definitions.loop import Harm, Monthly
from millstream.loop import due
from millstream.state.alarms import Alarm

LAST = datetime(2013, 3, 1, tzinfo=UTC)
RULE = Monthly(or_on=Harm(), at_most_every="14d")


def alarm(kind: str, **said: object) -> Alarm:
    fields: dict[str, object] = {
        "id": kind,
        "model": "late",
        "kind": kind,
        "subject": "roc_auc",
        "severity": "warn",
        "opened_at": "2013-03-20",
        "since": "2013-03-18",
        "last_at": "2013-03-20",
        "value": 0.2,
        "threshold": 0.1,
        "says": "20 % worse",
        "next": "",
    }
    return Alarm(**(fields | said))  # type: ignore[arg-type]


LOSSY = alarm("contract", model="", subject="movements.complete", detail={"check": "complete"})


def test_schedule_and_harm() -> None:
    harm = [alarm("harm")]
    assert due("late", RULE, last_at=LAST, alarms=[], now=LAST + timedelta(days=27)) is None
    scheduled = due("late", RULE, last_at=LAST, alarms=[], now=LAST + timedelta(days=28))
    assert scheduled is not None and scheduled.kind == "schedule" and not scheduled.held
    assert due("late", RULE, last_at=LAST, alarms=harm, now=LAST + timedelta(days=13)) is None
    hurt = due("late", RULE, last_at=LAST, alarms=harm, now=LAST + timedelta(days=14))
    assert hurt is not None and hurt.kind == "harm" and "20 % worse" in hurt.says
    assert due("other", RULE, last_at=LAST, alarms=harm, now=LAST + timedelta(days=14)) is None
    assert due("late", Monthly(), last_at=LAST, alarms=harm, now=LAST + timedelta(days=14)) is None
    assert due("late", None, last_at=LAST, alarms=harm, now=LAST + timedelta(days=99)) is None


def test_drift_alone_starts_nothing() -> None:
    alarms = [alarm(each) for each in ("drift", "bias", "nulls", "performance", "outcomes")]
    assert due("late", RULE, last_at=LAST, alarms=alarms, now=LAST + timedelta(days=20)) is None


def test_broken_data_holds_a_retrain_and_says_why() -> None:
    now = LAST + timedelta(days=30)
    held = due("late", RULE, last_at=LAST, alarms=[LOSSY], now=now)
    assert held is not None and held.held and "movements.complete" in held.says
    stopped = alarm("contract", model="", severity="stop", subject="schedule.unique", detail={"check": "unique"})
    assert (trigger := due("late", RULE, last_at=LAST, alarms=[stopped], now=now)) is not None and trigger.held
    for harmless in (
        alarm("contract", model="", detail={"check": "fresh"}),
        alarm("contract", model="", detail={"check": "complete"}, calm_days=3),
        alarm("nulls"),
    ):
        free = due("late", RULE, last_at=LAST, alarms=[harmless], now=now)
        assert free is not None and not free.held


@given(days=st.integers(0, 400), hurt=st.booleans(), broken=st.booleans())
def test_a_trigger_never_comes_too_soon(days: int, hurt: bool, broken: bool) -> None:
    alarms = [*([alarm("harm")] if hurt else []), *([LOSSY] if broken else [])]
    trigger = due("late", RULE, last_at=LAST, alarms=alarms, now=LAST + timedelta(days=days))
    assert (trigger is not None) == (days >= 28 or (hurt and days >= 14))
    assert trigger is None or trigger.held == broken


def test_rows_that_are_missing_and_false_zeros_hold_until_their_alarm_is_closed() -> None:
    now = LAST + timedelta(days=30)
    for check in ("expected", "zeros"):
        calm = alarm("contract", model="", subject=f"daily.{check}", detail={"check": check}, calm_days=7)
        trigger = due("late", RULE, last_at=LAST, alarms=[calm], now=now)
        assert trigger is not None and trigger.held and f"daily.{check}" in trigger.says
    calm = alarm("contract", model="", subject="movements.complete", detail={"check": "complete"}, calm_days=7)
    trigger = due("late", RULE, last_at=LAST, alarms=[calm], now=now)
    assert trigger is not None and not trigger.held, "what never comes, as after a storm, does not hold for ever"
