from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from millstream.definitions.monitors import Classic
from millstream.metrics.profile import Profile
from millstream.monitoring import NullHabit, Reference, null_habits
from millstream.monitoring.nulls import lower_bound, null_findings

REFERENCE = Reference(
    release="late@1",
    version=1,
    goal="roc_auc",
    goal_value=0.7,
    baseline=0.2,
    profile=Profile(0, {}),
    nulls={
        "weather.visib": NullHabit(0.0, 0.0),
        "weather.wind_gust": NullHabit(0.76, 1.0),
        "weather.pressure": NullHabit(0.11, 0.53),
    },
)


def verdict(column: str, rows: int, missing: int) -> str:
    (found,) = null_findings(
        date(2013, 8, 20), model="late", monitors=Classic(), reference=REFERENCE, batches={column: (rows, missing)}
    )
    assert found.next == "millstream check weather" or found.verdict == "unknown"
    return found.verdict


def test_a_column_never_null_is_noticed_the_day_it_fails() -> None:
    assert verdict("weather.visib", 72, 72) == "alarm"
    assert verdict("weather.visib", 72, 24) == "alarm"  # one of three airports
    assert verdict("weather.visib", 72, 4) == "ok"  # 6 %, but of 72 rows
    assert verdict("weather.visib", 7200, 600) == "alarm"


def test_columns_usually_null_do_not_cry() -> None:
    assert verdict("weather.wind_gust", 72, 72) == "ok"
    assert verdict("weather.pressure", 72, 42) == "ok"  # the worst day of 2013
    assert verdict("weather.pressure", 72, 72) == "alarm"


def test_what_cannot_be_judged_says_so() -> None:
    assert verdict("weather.visib", 0, 0) == "unknown"
    assert verdict("weather.never_seen", 72, 72) == "unknown"


def test_habits_are_learnt_from_days() -> None:
    habits = null_habits([{"a": (10, 0), "b": (10, 5)}, {"a": (30, 2)}, {"b": (0, 0)}])
    assert habits == {"a": NullHabit(0.05, 2 / 30), "b": NullHabit(0.5, 0.5)}


@given(of=st.integers(1, 10_000), data=st.data())
def test_the_bound_is_below_the_share_and_grows_with_it(of: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, of))
    bound = lower_bound(count, of)
    assert 0.0 <= bound <= count / of + 1e-12
    assert bound <= lower_bound(min(of, count + 1), of) + 1e-12
    assert bound <= lower_bound(count * 4, of * 4) + 1e-12
