"""How the cost of features grows: 30,000,000 rows and facts, one giant entity, millions, many views, a whole year.

The 15 features of ``windows`` by the embedded engine with the memory it takes unless told otherwise, each size in a
process of its own. The limit of a size is what n log n makes of the smallest one of its kind, n being rows and facts
together (times views): a ratio of 1 or less grows no faster than that. Facts, corrections among them, are generated
from a seed. ``python -m benchmarks.scale`` shows the sizes, with the name of one it measures that.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Record
from benchmarks.windows import DAY, SAID, YEAR, World, world

SMALL, MIDDLE, LARGE = 300_000, 3_000_000, 30_000_000


@dataclass(frozen=True)
class Size:
    """So many rows ask so many views over so many facts of so many entities; spans are of a week or a year."""

    rows: int
    facts: int
    entities: int = 20_000
    views: int = 1
    year: bool = False
    kind: str = "even"

    @property
    def steps(self) -> float:
        """What n log n says."""
        n = self.rows + self.facts
        return self.views * n * math.log2(n)


SIZES = {
    "even-small": Size(SMALL, SMALL),
    "even": Size(MIDDLE, MIDDLE),
    "facts": Size(SMALL, MIDDLE, kind="uneven"),
    "giant-small": Size(SMALL, SMALL, 1, kind="giant"),
    "giant": Size(MIDDLE, MIDDLE, 1, kind="giant"),
    "many-small": Size(SMALL, SMALL, SMALL, kind="many"),
    "many": Size(MIDDLE, MIDDLE, MIDDLE, kind="many"),
    "views-5": Size(SMALL, SMALL, views=5, kind="views"),
    "views-50": Size(SMALL, SMALL, views=50, kind="views"),
    "year-small": Size(SMALL, SMALL, 1_000, year=True, kind="year"),
    "year": Size(MIDDLE, MIDDLE, 1_000, year=True, kind="year"),
    "facts-30m": Size(MIDDLE, LARGE, kind="uneven"),
    "rows-30m": Size(LARGE, MIDDLE, kind="uneven"),
}


def made(size: Size) -> World:
    """Make a world of a size."""
    import msgspec

    plan, asks, tables = world(size.rows, size.facts, size.entities)
    views = []
    for number in range(size.views):
        view = plan.views[0]
        windows = view.features
        if size.year:
            windows = {name: msgspec.structs.replace(each, over_us=YEAR, ago_us=0) for name, each in windows.items()}
        if size.views > 1:
            chosen = [*windows][number % 5 :: 5]
            spans = (number + 1) * DAY
            windows = {name: msgspec.structs.replace(windows[name], over_us=spans) for name in chosen}
        views.append(msgspec.structs.replace(view, name=f"v{number}", features=windows))
    columns = [(f"{view.name}.{name}", said.dtype) for view in views for name, said in view.features.items()]
    kind = type(plan.columns[0])
    plan = msgspec.structs.replace(plan, views=tuple(views), columns=tuple(kind(*each) for each in columns))
    return plan, asks, tables


def held(what: str) -> float:
    """Return the megabytes this process holds, or held at most since it was told to begin anew."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith(what)) / 1000


def one(name: str) -> dict[str, float]:
    """Compute the features of a size here; return seconds and megabytes."""
    from millstream.features import PolarsEngine

    size = SIZES[name]
    plan, asks, tables = made(size)
    engine, few = PolarsEngine(), asks.head(5)
    engine.point_in_time(plan, few, {"facts": _head(tables["facts"])})  # what is loaded once is no growth
    Path("/proc/self/clear_refs").write_text("5")
    given, load = held("VmRSS"), os.getloadavg()[0]
    begun, spent = time.perf_counter(), time.process_time()
    joined = engine.point_in_time(plan, asks, tables)
    wall, cpu = time.perf_counter() - begun, time.process_time() - spent
    peak = held("VmHWM")
    assert joined["row"].equals(asks["row"])
    return {
        "ours": round(cpu, 2),
        "wall": round(wall, 2),
        "given_mb": round(given),
        "answers_mb": round(joined.select(plan.names).estimated_size() / 1e6),
        "peak_mb": round(peak),
        "load": round(load, 1),
    }


def _head(table: Any) -> Any:
    from dataclasses import replace

    return replace(table, frame=table.frame.head(5))


def measure() -> Record:
    """Measure every size, each in a process of its own."""
    points: dict[str, dict[str, float]] = {}
    for name in SIZES:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.scale", name], cwd=ROOT, capture_output=True, text=True, check=True
        )
        points[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name}: {points[name]}", file=sys.stderr, flush=True)
    return record(points)


def record(points: Mapping[str, Mapping[str, float]]) -> Record:
    """Hold each size against what n log n makes of the smallest one of its kind."""
    curve: list[dict[str, float]] = []
    first: dict[str, tuple[Size, float]] = {}
    for name, point in points.items():
        size = SIZES[name]
        smallest, cost = first.setdefault(size.kind, (size, point["ours"]))
        said = {word: value for word, value in asdict(size).items() if word not in ("kind", "year")}
        curve.append({**said, **point, "limit": round(cost * size.steps / smallest.steps, 2)})
    middle = curve[[*points].index("even")]
    return Record(
        work="scale",
        size=f"{MIDDLE:,} rows, {MIDDLE:,} facts, {len(SAID)} features",
        unit="s of processor time",
        better="lower",
        ours=middle["ours"],
        limit=middle["limit"],
        peers={},
        peak_mb=middle["peak_mb"],
        load=middle["load"],
        curve=curve,
    )


WORKS = {"scale": measure}


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(one(sys.argv[1])))
    else:
        print("\n".join(f"{name:12} {size}" for name, size in SIZES.items()))
