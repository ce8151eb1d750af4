"""Which rows should have come: against a slow judge, and on days of which some are taken away."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from millstream.checks import CheckReport, run
from millstream.checks.periods import number
from millstream.definitions import checks
from millstream.definitions.checks import Check
from tests.checks.scenes import batch_of, table_of

START = date(2024, 1, 1)


def rows_of(triples: list[tuple[int, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": range(len(triples)),
            "at": [datetime(2024, 1, 1, 12, tzinfo=UTC) + timedelta(days=day) for day, _, _ in triples],
            "store": [each[1] for each in triples],
            "kind": [each[2] for each in triples],
        },
        schema={"id": pl.Int64, "at": pl.Datetime("us", "UTC"), "store": pl.String, "kind": pl.String},
    )


def judge(frame: pl.DataFrame, check: Check, *, days: int, since: int | None = None) -> CheckReport:
    came = (
        frame
        if since is None
        else frame.filter(pl.col("at") >= datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=since))
    )

    def other(name: str, *, columns: object = None, between: tuple[datetime, datetime] | None = None) -> object:
        read = frame if between is None else frame.filter(pl.col("at").is_between(*between, closed="left"))
        return batch_of(read, event_time="at")

    now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=days)
    then = None if since is None else datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=since)
    return run(
        table_of(check, event_time="at"), batch_of(came, event_time="at"), known_keys=None, other=other,  # type: ignore[arg-type]
        now=now, timezone="UTC", since=then,
    )  # fmt: skip


def year(*, days: int = 140, kinds: int = 6, seed: int = 1) -> list[tuple[int, str, str]]:
    draw = np.random.default_rng(seed)
    return [
        (day, f"s{store}", f"k{kind}")
        for day in range(days)
        for store in range(12)
        for kind in range(kinds)
        if draw.random() < (0.4 if kind == 5 else 0.98)
    ]


def slow(triples: list[tuple[int, str, str]], day: int, *, seen: int, of: int) -> tuple[set[tuple[str, str]], int]:
    """Name what is expected on a day and count what of it is there, pair by pair."""
    present = defaultdict(set)
    for at, store, kind in triples:
        present[at].add((store, kind))
    first = min(present)
    like = [each for each in range(day - 7 * of, day, 7) if each >= first]
    if len(like) < min(4, of):
        return set(), 0
    pairs = {pair for found in present.values() for pair in found}
    due = {pair for pair in pairs if sum(pair in present[each] for each in like) >= math.ceil(seen * len(like) / of)}
    return due, len(due & present[day])


@given(
    st.lists(st.tuples(st.integers(0, 59), st.sampled_from("abc"), st.sampled_from("xy")), min_size=1, max_size=250),
    st.integers(1, 5),
)
@examples(max_examples=40)
def test_what_is_expected_is_what_a_slow_judge_expects(triples: list[tuple[int, str, str]], seen: int) -> None:
    check = checks.expected("store", "kind", seen=seen, of=5)
    found = judge(rows_of(triples), check, days=60).results[0].detail["periods"]
    judged = {(date.fromisoformat(each["start"]) - START).days: (each["expected"], each["present"]) for each in found}
    wanted = {day: (len(due), here) for day in range(60) for due, here in [slow(triples, day, seen=seen, of=5)] if due}
    first = min(day for day, _, _ in triples)
    assert judged == {day: each for day, each in wanted.items() if day >= first}


def test_whole_days_say_nothing_and_a_lossy_one_names_what_is_missing() -> None:
    whole = year(kinds=20)
    assert judge(rows_of(whole), checks.expected("store", "kind"), days=140).results[0].ok
    draw = np.random.default_rng(5)
    pairs = sorted({(store, kind) for _, store, kind in whole})
    lost = {pair for pair in pairs if draw.random() < 0.15}
    day = 138
    broken = [each for each in whole if each[0] != day or each[1:] not in lost]
    result = judge(rows_of(broken), checks.expected("store", "kind"), days=139, since=138).results[0]
    assert not result.ok and [each["start"] for each in result.detail["periods"]] == ["2024-05-18"]
    due, _ = slow(broken, day, seen=6, of=8)
    absent = due - {each[1:] for each in broken if each[0] == day}
    assert {(each["store"], each["kind"]) for each in result.detail["missing"]} == absent
    assert result.failed_rows == len(absent) and lost & due <= absent
    assert "spread evenly" in result.says and "missing are store 's" in result.says


def test_a_store_that_sends_nothing_piles_up() -> None:
    broken = [each for each in year(kinds=16) if each[0] != 138 or each[1] not in ("s3", "s4")]
    result = judge(rows_of(broken), checks.expected("store", "kind"), days=139, since=138).results[0]
    assert not result.ok and "pile up at store = 's" in result.says


def test_weeks_are_judged_on_their_sunday() -> None:
    whole = year(days=200)
    result = judge(rows_of(whole), checks.expected("store", "kind", every="1w"), days=200).results[0]
    assert result.ok and result.detail["periods"][-1]["start"] == "2024-07-08"
    broken = [each for each in whole if not (each[0] >= 189 and each[2] == "k1")]
    result = judge(rows_of(broken), checks.expected("store", "kind", every="1w"), days=196, since=189).results[0]
    assert not result.ok and {each["kind"] for each in result.detail["missing"]} == {"k1"}


@pytest.mark.parametrize(("share", "ok"), [(1.0, True), (0.4, False), (0.0, False), (2.6, False)])
def test_the_volume_of_a_day_is_held_against_its_weekday(share: float, ok: bool) -> None:
    whole = [each for each in year(kinds=16) if each[0] % 7 < 5 or each[2] < "k12"]  # half-empty weekends
    today = [each for each in whole if each[0] == 138]
    copies = [today[each % len(today)] for each in range(round(share * len(today)))]
    frame = rows_of([each for each in whole if each[0] != 138] + copies)
    result = judge(frame, checks.volume(), days=139, since=138).results[0]
    assert result.ok == ok, result.says
    assert result.detail["periods"][0]["start"] == "2024-05-18"


def test_nothing_came_is_noticed_by_the_clock() -> None:
    whole = rows_of([each for each in year() if each[0] < 138])
    empty = judge(whole, checks.volume(), days=139, since=138).results[0]
    assert not empty.ok and "has 0 rows" in empty.says


@pytest.mark.parametrize("triples", [[], [(0, "a", "x")], [(day, "a", "x") for day in range(100)]])
def test_little_and_lopsided_data_is_judged_or_said_to_be_too_little(triples: list[tuple[int, str, str]]) -> None:
    for check in (checks.expected("store"), checks.expected("store", every="1w"), checks.volume()):
        result = judge(rows_of(triples), check, days=100).results[0]
        assert result.ok, result.says


def test_periods_are_numbered_by_their_monday() -> None:
    assert number(date(2024, 1, 7), "1w") + 1 == number(date(2024, 1, 8), "1w")


def lively(*, days: int, quiet: dict[int, float], seed: int = 3, pairs: int = 60) -> list[tuple[int, str, str]]:
    """Rows as they are bought, by pair at its own rate; on quiet days each rate is a part of it."""
    draw = np.random.default_rng(seed)
    rates = draw.uniform(2, 7, pairs)
    return [
        (day, f"s{pair % 10}", f"k{pair // 10}")
        for day in range(days)
        for pair in range(pairs)
        for _ in range(draw.poisson(rates[pair] * quiet.get(day, 1.0)))
    ]


@pytest.mark.parametrize("seed", [4, 5, 7])
def test_a_holiday_is_a_note_and_the_third_in_a_row_is_not(seed: int) -> None:
    rows = lively(days=110, quiet={105: 0.4, 106: 0.4, 107: 0.4}, seed=seed)
    first, second, third = (
        judge(
            rows_of([each for each in rows if each[0] < day]), checks.expected("store", "kind"), days=day, since=day - 1
        )
        for day in (106, 107, 108)
    )
    for each in (first, second):
        (result,) = each.results
        assert not result.ok and result.severity == "note" and "as on a holiday: no alarm" in result.says
        assert result.detail["missing"] and all(period["ok"] for period in result.detail["periods"])
    (result,) = third.results
    assert not result.ok and result.severity == "warn"


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("part", [0.75, 0.9, 1.0, 1.2])
def test_a_loss_is_no_holiday_whatever_the_day_is_like(seed: int, part: float) -> None:
    draw = np.random.default_rng(seed)
    rows = lively(days=106, quiet={105: part}, seed=seed, pairs=200)
    lost = {(f"s{pair % 10}", f"k{pair // 10}") for pair in range(200) if draw.random() < 0.25}
    rows = [each for each in rows if each[0] != 105 or each[1:] not in lost]
    (result,) = judge(rows_of(rows), checks.expected("store", "kind"), days=106, since=105).results
    assert not result.ok and result.severity == "warn"


def test_a_day_without_any_row_is_told_however_quiet_it_may_have_been() -> None:
    (result,) = judge(
        rows_of(lively(days=106, quiet={105: 0.0})), checks.expected("store", "kind"), days=106, since=105
    ).results
    assert not result.ok and result.severity == "warn"


def counted(rows: list[int]) -> list[tuple[int, str, str]]:
    return [(day, "s", "k") for day, count in enumerate(rows) for _ in range(count)]


@pytest.mark.parametrize(
    ("last", "ok"), [(40, False), (45, False), (160, True), (190, True), (260, False), (0, False), (95, True)]
)
def test_a_volume_is_odd_beyond_its_bounds_and_everything_before(last: int, ok: bool) -> None:
    draw = np.random.default_rng(1)
    rows = [int(each) for each in draw.poisson(100, 70)]
    (result,) = judge(rows_of(counted([*rows, last])), checks.volume(), days=71, since=70).results
    assert result.ok == ok, result.says


@pytest.mark.parametrize("usual", [0, 1, 3, 10])
def test_few_rows_have_no_habit(usual: int) -> None:
    rows = [usual + each % 2 for each in range(70)]
    (result,) = judge(rows_of(counted([*rows, 60])), checks.volume(), days=71, since=70).results
    assert result.ok, result.says
