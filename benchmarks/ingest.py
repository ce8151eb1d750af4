"""Files into a lake table with checks on, beside a bare Polars-to-Delta write (``ingest``: Parquet, ``ingest-csv``).

Ours notices the file, copies its bytes, reads them through the door, writes and syncs a Delta version with its record
in the state database and the ledger, and runs 27 checks and what is noticed unasked. The limit reads the same file with
Polars and writes it with deltalake, which syncs nothing. Both start with nothing there, in a process of their own for
each size: 50,000 rows to a hundred times as many.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import polars as pl

from benchmarks.checks import HOLDS, NULLS, RANGES, files
from benchmarks.harness import ROOT, Record

SIZES = (50_000, 500_000, 5_000_000)
HEADLINE = 500_000
ROUNDS = {50_000: 5, 500_000: 5, 5_000_000: 3}
DEFINITIONS = """
from millstream import Table, checks, sources
CHECKS = [
    checks.unique("id"),
    *(checks.between(name, low, high) for name, (low, high) in {ranges}.items()),
    *(checks.nulls(name, at_most=share) for name, share in {nulls}.items()),
    *(checks.holds(text) for text in {holds}),
]
def table(name):
    source = sources.{kind}(name + ".{ending}")
    return Table(name, source=source, key="id", event_time="time_hour", timezone="UTC", checks=CHECKS)
flights, first = table("flights"), table("first")
"""


def rows_of(folder: Path, ending: str, count: int) -> Path:
    """Write so many flights, each with an id of its own, and a hundred beside them."""
    with ZipFile(files() / "flights.csv.zip") as archive:
        year = pl.read_csv(archive.read("flights.csv"), null_values=["NA", ""], infer_schema_length=None)
    year = year.with_columns(pl.col("time_hour").str.to_datetime(time_zone="UTC"))
    frame = pl.concat([year] * (-(-count // year.height))).head(count).with_row_index("id")
    frame = frame.with_columns(pl.col("id").cast(pl.Int64))
    path = folder / f"flights.{ending}"
    for file, rows in ((path, frame), (first_of(path), frame.head(100))):
        if ending == "csv":
            rows.with_columns(pl.col("time_hour").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_csv(file)
        else:
            rows.write_parquet(file)
    return path


def ours(file: Path) -> float:
    """Bring the file into a table of a new project, and check it; return the seconds."""
    from millstream.project.root import Project

    root = file.parent
    kind = "Csv" if file.suffix == ".csv" else "Parquet"
    (root / "millstream.toml").write_text('name = "ingest"\n')
    text = DEFINITIONS.format(kind=kind, ending=file.suffix[1:], ranges=RANGES, nulls=NULLS, holds=HOLDS)
    (root / "tables.py").write_text(text)
    with Project(root, lock=True) as project:
        project.run("check", {"tables": ["first"]})  # so that nothing is imported or set up while the clock runs
        begun = time.perf_counter()
        made = project.run("check", {"tables": ["flights"]})
        took = time.perf_counter() - begun
    (report,) = made["reports"]
    assert len(report["results"]) >= 27 and report["rows"] > 0, report
    return took


def limit(file: Path) -> float:
    """Read the file with Polars and write it with deltalake; return the seconds."""
    took = 0.0
    for each in (first_of(file), file):
        begun = time.perf_counter()
        csv = each.suffix == ".csv"
        read = pl.read_csv(each, null_values=["NA", ""], try_parse_dates=True) if csv else pl.read_parquet(each)
        read.write_delta(str(each.with_suffix(".delta")))
        took = time.perf_counter() - begun
    return took


def first_of(file: Path) -> Path:
    """Return the small file beside it, which is done first and not timed."""
    return file.with_name(f"first{file.suffix}")


def measured(ending: str, count: int) -> dict[str, float]:
    """Measure one size: ours and the limit in turn, each in a process of its own; medians, and the most memory."""
    took: dict[str, list[float]] = {"ours": [], "limit": []}
    peak = dict.fromkeys(took, 0.0)
    with TemporaryDirectory() as held:
        made = rows_of(Path(held), ending, count)
        for _ in range(ROUNDS[count]):
            for which in took:
                with TemporaryDirectory(dir=held) as folder:
                    file = Path(folder) / made.name
                    os.link(made, file)
                    os.link(first_of(made), first_of(file))
                    command = [sys.executable, "-m", "benchmarks.ingest", which, str(file)]
                    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
                    said = json.loads(done.stdout.splitlines()[-1])
                took[which].append(said["took"])
                peak[which] = max(peak[which], said["peak_mb"])
    return {
        "rows": count,
        "ours": round(statistics.median(took["ours"]), 4),
        "limit": round(statistics.median(took["limit"]), 4),
        "ours_least": round(min(took["ours"]), 4),
        "limit_least": round(min(took["limit"]), 4),
        "rows_a_second": round(count / statistics.median(took["ours"])),
        "peak_mb": peak["ours"],
        "limit_peak_mb": peak["limit"],
    }


def work(name: str, ending: str) -> Callable[[], Record]:
    """Describe the work for one kind of file."""

    def measure() -> Record:
        curve = [measured(ending, count) for count in SIZES]
        head = next(each for each in curve if each["rows"] == HEADLINE)
        return {
            "work": name,
            "size": f"{HEADLINE:,} rows x 20 from {ending}, 27 checks",
            "unit": "s",
            "better": "lower",
            "ours": head["ours"],
            "limit": head["limit"],
            "peers": {},
            "peak_mb": head["peak_mb"],
            "least": {"ours": head["ours_least"], "limit": head["limit_least"]},
            "curve": curve,
            "load": round(os.getloadavg()[0], 1),
        }

    return measure


WORKS = {name: work(name, ending) for name, ending in (("ingest", "parquet"), ("ingest-csv", "csv"))}


if __name__ == "__main__":
    seconds = {"ours": ours, "limit": limit}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({"took": seconds, "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1)}))
