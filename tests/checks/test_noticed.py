"""What is noticed without being asked for: in the first batch that has it, once, and not on quiet data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from millstream.checks.memory import Memory
from millstream.checks.noticed import Noticed, notice
from millstream.definitions import checks
from millstream.definitions.checks import Check
from millstream.errors import DefinitionError
from tests.checks.scenes import batch_of, run_on, table_of

DAY = datetime(2024, 1, 1, tzinfo=UTC)
KINDS = ("bread", "fruit", "milk")


def day(number: int, *, rows: int = 60, zeros: float = 0.05) -> pl.DataFrame:
    draw = np.random.default_rng(number)
    units = draw.integers(1, 9, rows)
    units[draw.random(rows) < zeros] = 0
    return pl.DataFrame(
        {
            "id": np.arange(rows) + 1000 * number,
            "kind": [KINDS[each % 3] for each in range(rows)],
            "units": units.astype(np.int64),
            "price": draw.random(rows).round(2) + 1,
            "at": [DAY + timedelta(days=number, minutes=minute) for minute in range(rows)],
        }
    ).with_columns(pl.col("at").dt.cast_time_unit("us").dt.convert_time_zone("UTC"))


class Days:
    """A table whose batches are judged one after the other."""

    def __init__(self, *asked: Check) -> None:
        self.table = table_of(*asked, event_time="at")
        self.memory: Memory | None = None
        self.number = 0

    def take(self, frame: pl.DataFrame | None = None, **more: Any) -> Noticed:
        frame = day(self.number, **more) if frame is None else frame
        self.number += 1
        made = notice(self.table, batch_of(frame, event_time="at"), self.memory, timezone="UTC")
        self.memory = made.memory
        return made

    def quiet(self, days: int = 10) -> Days:
        for _ in range(days):
            assert self.take().results == ()
        return self


def said(made: Noticed) -> list[tuple[str, str, bool]]:
    return [(each.check, each.subject, each.ok) for each in made.results]


def with_category(number: int, name: str, units: int, rows: int = 20) -> pl.DataFrame:
    frame = day(number)
    new = frame.head(rows).with_columns(kind=pl.lit(name), units=pl.lit(units, pl.Int64), id=pl.col("id") + 500)
    return pl.concat([frame, new])


def test_quiet_days_say_nothing() -> None:
    Days().quiet(100)


def test_a_new_category_is_noticed_once_and_named() -> None:
    days = Days().quiet()
    made = days.take(with_category(10, "cheese", 4))
    assert said(made) == [("new_category", "things.kind", False)] and made.aside == []
    assert "'cheese' never was among the 3 values before; 20 rows of 80 (25 %) have it" in made.results[0].says
    assert made.results[0].severity == "warn" and made.results[0].detail["values"] == ["cheese"]
    assert said(days.take(with_category(11, "cheese", 4))) == [("new_category", "things.kind", True)]


def dated(number: int) -> pl.DataFrame:
    """A day whose rows say the day and the month as well, as many systems write them."""
    at = DAY + timedelta(days=number)
    return day(number).with_columns(date=pl.lit(f"{at:%Y-%m-%d}"), month=pl.lit(at.month, pl.Int64))


def test_what_is_new_each_day_is_no_news_and_a_month_is_no_frozen_column() -> None:
    days = Days()
    found = [each for number in range(200) for each in days.take(dated(number)).results if each.severity != "note"]
    assert found == []
    made = days.take(dated(200).with_columns(kind=pl.lit("cheese")))
    assert ("new_category", "things.kind", False) in said(made), "another column of the same table is still looked at"


def test_days_of_a_first_batch_count_as_batches() -> None:
    days = Days()
    days.take(pl.concat([dated(number) for number in range(100)]))
    assert all(each.severity == "note" for each in days.take(dated(100)).results)
    new = dated(101).with_columns(kind=pl.when(pl.col("id") % 2 == 0).then(pl.lit("cheese")).otherwise("kind"))
    assert [each.subject for each in days.take(new).results if each.severity == "warn"] == ["things.kind"]


def test_a_column_that_often_has_something_new_is_told_as_a_note() -> None:
    days = Days()
    for number in range(60):
        name = f"special {number // 20}" if number % 20 == 19 else "bread"
        made = days.take(day(number).with_columns(kind=pl.lit(name)))
        if number == 39:
            assert [(each.subject, each.severity) for each in made.results if not each.ok] == [("things.kind", "note")]


def test_one_row_of_a_new_category_is_a_note() -> None:
    days = Days()
    for _ in range(10):
        assert days.take(rows=900).results == ()
    odd = day(10, rows=900).with_columns(kind=pl.when(pl.col("id") == 10_000).then(pl.lit("?")).otherwise("kind"))
    assert [each.severity for each in days.take(odd).results] == ["note"]


def test_zeros_of_a_category_without_history_are_noticed_until_they_are_gone() -> None:
    days = Days().quiet()
    for number in (10, 11):
        made = days.take(with_category(number, "cheese", 0))
        zeros = next(each for each in made.results if each.check == "zeros")
        assert not zeros.ok and zeros.subject == "things.units" and zeros.detail["values"] == ["cheese"]
    assert "20 of 20 values (100 %) are exactly 0 where kind = 'cheese'" in zeros.says
    assert ("zeros", "things.units", True) in said(days.take(with_category(12, "cheese", 5)))


def test_zeros_where_none_ever_was_and_of_a_known_group() -> None:
    days = Days().quiet()
    broken = day(10).with_columns(price=pl.when(pl.col("id") % 2 == 0).then(0.0).otherwise("price"))
    made = days.take(broken)
    assert said(made) == [("zeros", "things.price", False)]
    assert "none of 600 values before was" in made.results[0].says
    days.take()
    big = day(11, rows=200).with_columns(units=pl.when(pl.col("kind") == "milk").then(0).otherwise("units"))
    made = days.take(big)
    assert [(each.check, each.detail.get("values")) for each in made.results if not each.ok] == [("zeros", ["milk"])]


@pytest.mark.parametrize("value", [pl.lit(3.5), pl.lit(None, pl.Float64)])
def test_a_column_that_froze_is_noticed(value: pl.Expr) -> None:
    made = Days().quiet().take(day(10).with_columns(price=value))
    assert said(made) == [("frozen", "things.price", False)]


def test_the_same_value_batch_after_batch_and_a_clock_that_stopped() -> None:
    days = Days()
    one = {"id": 1, "price": 1.0}
    for number in range(20):
        at = [DAY + timedelta(days=number)]
        row = pl.DataFrame(one | {"id": number, "price": number + 0.5}).with_columns(
            at=pl.Series(at).dt.cast_time_unit("us")
        )
        assert days.take(row).results == ()
    found = []
    for number in range(20, 30):
        row = pl.DataFrame(one | {"id": number, "price": 7.5}).with_columns(
            at=pl.Series([DAY + timedelta(days=19)]).dt.cast_time_unit("us")
        )
        found.append([each.subject for each in days.take(row).results])
    assert "things.at" in found[1] and any("things.price" in each for each in found)


def test_what_is_turned_off_is_not_told() -> None:
    for off in (["new_category", "zeros"], ["new_category.kind", "zeros.units"]):
        assert Days(checks.defaults(off=off)).quiet().take(with_category(10, "cheese", 0)).results == ()


def test_what_was_asked_for_sets_rows_aside() -> None:
    days = Days(checks.new_category("kind", severity="stop"), checks.zeros("units")).quiet()
    made = days.take(with_category(10, "cheese", 0))
    assert {each.check: each.severity for each in made.results} == {"new_category": "stop", "zeros": "warn"}
    aside = pl.concat(made.aside)
    assert sorted(set(aside["id"])) == [10_500 + each for each in range(20)]
    assert set(aside["reason"]) == {"kind is cheese, which never was before", "units is 0, and usually is not"}


def test_bad_input_is_no_news() -> None:
    days = Days().quiet()
    assert days.take(day(0).head(0)).results == ()
    wide = pl.DataFrame({f"c{n}": [1.0, 2.0] for n in range(3000)}).with_columns(id=pl.Series([1, 2]))
    made = notice(table_of(), batch_of(wide), None, timezone="UTC")
    assert notice(table_of(), batch_of(wide), made.memory, timezone="UTC").results == ()
    empty = day(1).with_columns(pl.lit(None, pl.String).alias("kind"), pl.lit(None, pl.Int64).alias("units"))
    assert notice(table_of(event_time="at"), batch_of(empty, event_time="at"), None, timezone="UTC").results == ()


def test_a_default_that_is_none_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"turns off 'zeroes'.*\n.*did you mean 'zeros'"):
        run_on(day(0), checks.defaults(off=["zeroes"]), event_time="at")
    with pytest.raises(DefinitionError, match=r"'knd'.*\n.*did you mean 'kind'"):
        run_on(day(0), checks.new_category("knd"), event_time="at")
