"""Frames for checks: batches of small tables, and the year of flights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from types import ModuleType
from typing import Any

import polars as pl

from millstream.checks import CheckReport, run
from millstream.definitions import sources
from millstream.definitions.checks import Check
from millstream.definitions.table import Table
from millstream.lake.frame import TableFrame
from millstream.types import DType

NOW = datetime(2013, 6, 1, tzinfo=UTC)
TYPES: dict[Any, DType] = {
    pl.Int64(): "bigint",
    pl.Float64(): "double",
    pl.String(): "varchar",
    pl.Boolean(): "boolean",
    pl.Datetime("us", "UTC"): "timestamptz",
}


def table_of(*checks: Check, key: str | Sequence[str] = "id", event_time: str | None = None, lag: str = "0s") -> Table:
    return Table(
        "things", source=sources.Delta("things"), key=key, event_time=event_time, lag=lag, timezone="UTC", checks=checks
    )


def batch_of(
    frame: pl.DataFrame,
    *,
    name: str = "things",
    key: Sequence[str] = ("id",),
    event_time: str | None = None,
    known: dict[str, str] | None = None,
) -> TableFrame:
    hidden = set((known or {}).values())
    schema = {column: TYPES[kind] for column, kind in frame.schema.items() if column not in hidden}
    return TableFrame(name, 3, frame, schema, tuple(key), event_time, known or {})


def others(**tables: TableFrame) -> Callable[..., TableFrame]:
    def read(name: str, *, columns: Any = None, between: Any = None) -> TableFrame:
        return tables[name]

    return read


def run_on(
    frame: pl.DataFrame, *checks: Check, known_keys: Any = None, now: datetime = NOW, **more: Any
) -> CheckReport:
    event_time = more.pop("event_time", None)
    known = more.pop("known", None)
    key = more.pop("key", ("id",))
    newest = more.pop("newest", None)
    return run(
        table_of(*checks, key=key, event_time=event_time),
        batch_of(frame, key=key, event_time=event_time, known=known),
        known_keys=known_keys,
        other=others(**more),
        now=now,
        timezone="UTC",
        newest=newest,
    )


class Year:
    """Schedule and movements of the year, published day by day, and the checks of movements run after each day."""

    def __init__(self, airline: ModuleType, frames: dict[str, pl.DataFrame]) -> None:
        self.airline = airline
        known = (pl.col("scheduled_departure") - timedelta(days=30)).alias("known")
        self.schedule = frames["schedule"].drop("published").with_columns(known)
        self.movements = frames["movements"].sort("published", "scheduled_departure")

    def read(self, until: date) -> Callable[..., TableFrame]:
        def read(name: str, *, columns: Any = None, between: Any = (None, None)) -> TableFrame:
            start, end = between
            when = pl.col("scheduled_departure")
            if name == "schedule":
                frame, known = self.schedule, {"flight_id": "known"}
            else:
                frame, known = self.movements.filter(pl.col("published") <= until).drop("published"), {}
            frame = frame.filter(*([when >= start] if start else []), *([when < end] if end else []))
            return batch_of(frame, name=name, key=("flight_id",), event_time="scheduled_departure", known=known)

        return read

    def check(self, day: date, check: Check, *, since: date | None = None) -> CheckReport:
        """Run a check on what was published on ``day`` (from the day after ``since`` on)."""
        published = pl.col("published")
        came = published <= day if since is None else published.is_between(since, day, closed="right")
        table = Table(
            "movements",
            source=sources.Delta("ops/movements"),
            key="flight_id",
            event_time="scheduled_departure",
            lag="1d",
            timezone="America/New_York",
            checks=[check],
        )
        return run(
            table,
            batch_of(
                self.movements.filter(came).drop("published"),
                name="movements",
                key=("flight_id",),
                event_time="scheduled_departure",
            ),
            known_keys=None,
            other=self.read(day),
            now=self.airline.midnight(day + timedelta(days=1)),
            timezone="America/New_York",
            since=None if since is None else self.airline.midnight(since + timedelta(days=1)),
        )
