"""A stand-in for a control room's own systems: one table of readings, and apart from it what is known of them.

The readings are real: 49,097 of nine sensors of a NASA space shuttle (UCI Statlog Shuttle, as the package river ships
it). Their times are not: whoever published them shuffled them, so one reading every ten minutes is made up here.
"""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import polars as pl

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
EVERY = timedelta(minutes=10)


def source_file() -> Path:
    """Find the data file of river without importing it, which takes seconds."""
    spec = find_spec("river")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the anomalies example needs its data: pip install river==0.26.1")
    return Path(next(iter(spec.submodule_search_locations))) / "datasets" / "shuttle.csv.gz"


def prepare(folder: Path) -> None:
    """Write the readings into ``files`` of a project, and what is known of them into ``known``, which nothing reads."""
    read = pl.read_csv(gzip.decompress(source_file().read_bytes())).with_row_index("reading_id")
    read = read.with_columns(pl.col("reading_id").cast(pl.Int64))
    at = (pl.lit(BEGIN) + pl.col("reading_id") * EVERY).dt.cast_time_unit("us").alias("read_at")
    sensors = read.select("reading_id", at, pl.col("^f[1-9]$").cast(pl.Float64))
    for name, frame in (("files/sensors", sensors), ("known/anomalies", read.select("reading_id", "anomaly"))):
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path)
