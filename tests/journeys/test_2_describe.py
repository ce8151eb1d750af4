"""Step 2: features are what was known at the decision, which plain loops over the company's own rows confirm."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from tests.journeys.conftest import Prepared
from tests.journeys.house import MODEL

DAY = timedelta(days=1)


class Company(NamedTuple):
    """The company's rows, read without Millstream."""

    flights: list[dict[str, Any]]
    weather: list[dict[str, Any]]
    airports: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def company(prepared: Prepared) -> Company:
    ops = prepared.house.root / "ops"

    def january(name: str) -> list[dict[str, Any]]:
        files = sorted((ops / name).glob(f"{name}-2013-01-*.parquet"))
        return [row for each in files for row in pl.read_parquet(each).to_dicts()]

    moved = {each["flight_id"]: each for each in january("movements")}
    flights = [each | {"moved": moved.get(each["flight_id"])} for each in january("schedule")]
    with (prepared.house.root / "files/airports.csv").open() as file:
        airports = {each["faa"]: each for each in csv.DictReader(file)}
    return Company(flights, january("weather"), airports)


@pytest.fixture(scope="module")
def sample(prepared: Prepared) -> list[dict[str, Any]]:
    """Decisions with the features the model learnt from, as the release keeps them."""
    with prepared.house.opened() as project:
        folder = Path(project.releases.live(MODEL).path)  # type: ignore[union-attr]
    kept, model = (json.loads((folder / each).read_text()) for each in ("sample.json", "model.json"))
    return [
        row | {"features": dict(zip(model["features"], values, strict=True))}
        for row, values in zip(kept["rows"], kept["features"], strict=True)
    ]


def departed(flight: dict[str, Any]) -> datetime | None:
    moved = flight["moved"]
    return flight["scheduled_departure"] + timedelta(minutes=moved["dep_delay"]) if moved else None


def arrived(flight: dict[str, Any]) -> datetime | None:
    left = departed(flight)
    if left is None or flight["moved"]["air_time"] is None:
        return None
    return left + timedelta(minutes=flight["moved"]["air_time"] + 50)


def window(
    flights: list[dict[str, Any]], at: datetime, over: timedelta, *, column: str, known: Callable[[Any], Any]
) -> list[float]:
    """Values in the window at an instant: it happened, not too long ago, and was known a day before."""
    return [
        each["moved"][column]
        for each in flights
        if each["scheduled_departure"] <= at < each["scheduled_departure"] + over
        and (instant := known(each)) is not None
        and instant + DAY <= at
        and each["moved"][column] is not None
    ]


def share_late(delays: list[float]) -> float | None:
    return sum(each > 15 for each in delays) / len(delays) if delays else None


def drawn(delays: list[float], everybodys: float | None, *, smooth: float) -> float | None:
    """Of n flights the share of late ones, drawn toward everybody's as if so many more had been seen."""
    if not delays or everybodys is None:
        return None
    return (sum(each > 15 for each in delays) + smooth * everybodys) / (len(delays) + smooth)


def recomputed(company: Company, row: dict[str, Any], at: datetime) -> dict[str, float | None]:
    carrier = [each for each in company.flights if each["carrier"] == row["carrier"]]
    origin = [each for each in company.flights if each["origin"] == row["origin"]]
    route = [each for each in origin if each["dest"] == row["dest"] and each["carrier"] == row["carrier"]]
    late = lambda flights, over: share_late(window(flights, at, over, column="arr_delay", known=arrived))  # noqa: E731
    left = window(origin, at, 2 * DAY, column="dep_delay", known=arrived)
    ours = window(route, at, 90 * DAY, column="arr_delay", known=arrived)
    today = at.replace(hour=0, minute=0, second=0, microsecond=0)
    everybodys = share_late(window(company.flights, today, 90 * DAY, column="arr_delay", known=arrived))
    seen = [
        each
        for each in company.weather
        if each["origin"] == row["origin"] and each["observed_at"] <= at < each["observed_at"] + timedelta(hours=36)
        and each["observed_at"] + DAY <= at
    ]  # fmt: skip
    newest = sorted(seen, key=lambda each: each["observed_at"], reverse=True)
    last = lambda name: next((each[name] for each in newest if each[name] is not None), None)  # noqa: E731
    departure = datetime.fromisoformat(row["scheduled_departure"]).astimezone(ZoneInfo("America/New_York"))
    return {
        "carrier_form.late_share_7d": late(carrier, 7 * DAY),
        "carrier_form.late_share_3d": late(carrier, 3 * DAY),
        "origin_form.late_share_2d": late(origin, 2 * DAY),
        "origin_form.dep_delay_2d": statistics.fmean(left) if left else None,
        "origin_form.dep_delay_std_2d": statistics.stdev(left) if len(left) > 1 else None,
        "route_form.late_90d": drawn(ours, everybodys, smooth=20),
        "weather_seen.wind": last("wind_speed"),
        "weather_seen.visib": last("visib"),
        "weather_seen.pressure": last("pressure"),
        "dest_airport.alt": float(company.airports[row["dest"]]["alt"]) if row["dest"] in company.airports else None,
        "at_request.hour": float(departure.hour),
        "at_request.weekday": float(departure.isoweekday()),
        "at_request.distance": row["distance"],
        "at_request.long_haul": float(row["distance"] > 1500),
    }


def test_features_are_what_was_known_two_hours_before_departure(company: Company, sample: list[dict[str, Any]]) -> None:
    checked = missing = 0
    for row in sample[::8]:
        at = datetime.fromisoformat(row["decided_at"])
        assert at == datetime.fromisoformat(row["scheduled_departure"]) - timedelta(hours=2)
        for name, value in recomputed(company, row, at.astimezone(UTC)).items():
            if name not in row["features"]:
                continue
            served = row["features"][name]
            if value is None:
                assert served is None or math.isnan(served), (row, name, served)
                missing += 1
                continue
            assert served == pytest.approx(value, rel=1e-9, abs=1e-9), (row, name)
            checked += 1
    assert checked > 250 and missing < checked


@pytest.mark.parametrize(
    ("known_at", "says"),
    [
        ('"arrived_at"', "becomes known only together with the label"),
        ('{"*": "arrived_at", "dep_delay": "departed_at"}', "not known"),
    ],
)
def test_a_feature_not_known_at_the_decision_is_refused_by_name(
    prepared: Prepared, tmp_path: Path, known_at: str, says: str
) -> None:
    house = prepared.house.copy(tmp_path / "mill")
    file = house.root / "flights.py"
    text = file.read_text()
    assert 'long_haul="distance > 1500"' in text and 'known_at="arrived_at"' in text
    text = text.replace('known_at="arrived_at"', f"known_at={known_at}")
    leaking = text.replace('f.Request(scheduled_departure="timestamptz", distance="double")', (
        'f.Request(scheduled_departure="timestamptz", distance="double", dep_delay="double")'
    )).replace('long_haul="distance > 1500"', 'long_haul="distance > 1500", left_late="dep_delay > 0"')  # fmt: skip
    file.write_text(leaking)
    with pytest.raises(Exception, match="dep_delay") as refused:
        house.run("train", model=MODEL)
    assert type(refused.value).__name__ == "LeakError"
    assert says in str(refused.value)
