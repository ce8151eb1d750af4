"""A stand-in for a plant's own systems: it writes two tables of generated telemetry and failures.

Generated, because real run-to-failure data cannot be shipped. Wear grows at each machine's own pace, by jumps;
temperature and vibration follow it with noise; the hazard of failing grows steeply with wear; a repair sets it back.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, MACHINES, A_DAY = 182, 60, 4


def prepare(folder: Path) -> None:
    """Write the tables into ``files`` of a project."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    for name, frame in generate(np.random.default_rng(5)).items():
        frame.write_parquet(files / f"{name}.parquet")


def generate(random: np.random.Generator) -> dict[str, pl.DataFrame]:
    """Generate telemetry and failures; the same generator gives the same tables."""
    readings: list[tuple[int, datetime, float, float | None, str]] = []
    failures: list[tuple[int, datetime]] = []
    step = timedelta(days=1) / A_DAY
    for machine in range(MACHINES):
        wear, pace = float(random.uniform(0, 0.6)), float(random.gamma(4, 0.0012))
        warm, shaky = float(random.normal(62, 3)), float(random.normal(1.0, 0.1))
        down = 0
        for number in range(DAYS * A_DAY):
            at = BEGIN + number * step + timedelta(minutes=machine % 30)
            running = down == 0 and random.random() > 0.06
            if running:
                wear += pace * float(random.gamma(1, 1))
                if random.random() < 0.25 * max(wear - 0.85, 0.0) ** 1.2:
                    failures.append((machine, at + timedelta(minutes=float(random.uniform(5, 300)))))
                    wear, down = float(random.uniform(0, 0.15)), int(random.integers(4, 13))
            down = max(down - 1, 0)
            temperature = warm + 14 * wear**3 + 3 * np.sin(number / A_DAY / 29) + float(random.normal(0, 1.6))
            vibration = None if random.random() < 0.01 else shaky + 0.9 * wear**4 + float(random.normal(0, 0.12))
            state = "running" if running else "idle"
            readings.append((machine, at, round(float(temperature), 2), vibration, state))
    schema = ["machine_id", "read_at", "temperature", "vibration", "state"]
    telemetry = pl.DataFrame(readings, schema=schema, orient="row").sort("read_at", "machine_id")
    broken = pl.DataFrame(failures, schema=["machine_id", "failed_at"], orient="row").sort("failed_at", "machine_id")
    return {"telemetry": _numbered(telemetry, "reading_id"), "failures": _numbered(broken, "failure_id")}


def _numbered(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    return frame.with_row_index(key).with_columns(pl.col(key).cast(pl.Int64))
