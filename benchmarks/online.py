"""The embedded online store: filled (``materialise-embedded``) and looked into (``lookup-1``, ``lookup-100``).

Each entity has two facts; a view takes the last value of each of its columns, which is what Feast
serves too. Both read the same Parquet file, and a sample of what they serve must be the same numbers. Feast keeps its
default SQLite store; ours is LMDB, and so are the limits: they put and get values of the same bytes and do no more.

``materialise-windows`` fills windows that change with time, counts, sums, means and extremes, which Feast would have to
be given ready-made; ``lookup-1-windows`` and ``-100-`` look for 25 of them in 5 views.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from struct import Struct
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import Peer, Work
from benchmarks.other import Other, started

KEYS, FEATURES = 100_000, 5
STORED, WIDTH = 10_000, 25
CALLS = {1: 2_000, 100: 100}
"""Entities at a time, and how often a turn asks for so many."""
DAY = 86_400_000_000
AHEAD = timedelta(days=4)
SAMPLE = 50
MAP = 4 << 30


@dataclass
class World:
    """A file of facts, the plan of a model over them, and a place for stores."""

    folder: TemporaryDirectory[str]
    plan: Any
    keys: int
    features: tuple[str, ...]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    store: Any = None
    bare: Any = None
    pairs: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """Where the facts lie."""
        return Path(self.folder.name) / "facts.parquet"

    def read(self, *_: object) -> Any:
        """Read the facts, as the writer of the store asks for them."""
        import polars as pl

        from millstream.lake.frame import TableFrame

        return TableFrame("facts", 1, pl.read_parquet(self.file), schema(self.features), ("id",), "at", known(self))


def schema(features: tuple[str, ...]) -> dict[str, Any]:
    """Return the types of the facts."""
    return {"id": "bigint", "who": "varchar", "at": "timestamptz", **dict.fromkeys(features, "double")}


def known(world: World) -> dict[str, str]:
    """Return where it stands when each column was known."""
    return dict.fromkeys(schema(world.features), "known")


def world(keys: int, width: int, *, windows: int = 0) -> World:
    """Write the facts of so many entities; one view of ``width`` last values, or so many views of windows."""
    import numpy as np
    import polars as pl

    from millstream.expressions import parse
    from millstream.features.plan import FeatureColumn, FeaturePlan, ViewPlan, WindowPlan

    names = tuple(f"f{place}" for place in range(1 if windows else width))
    made = World(TemporaryDirectory(), None, keys, names)
    rng, count = np.random.default_rng(3), 2 * keys
    end = int(made.now.timestamp() * 1e6) - DAY // 12
    at = np.sort(end - rng.integers(0, 20 * DAY, count))
    who = np.concatenate([rng.permutation(keys), rng.permutation(keys)])
    instant = pl.Datetime("us", "UTC")
    frame = pl.DataFrame(
        {"id": np.arange(count), "who": pl.Series(who).cast(pl.String), "at": at}
        | {"known": at + rng.integers(0, DAY // 24, count)}
        | {name: rng.normal(size=count) for name in names}
    )
    frame.with_columns(("s" + pl.col("who")).alias("who"), pl.col("at", "known").cast(instant)).write_parquet(made.file)
    of = {each: parse(each, schema(names), where=each) for each in names}
    views = []
    for view in range(max(windows, 1)):
        if windows:
            over = (view + 2) * 7 * DAY
            said: dict[str, Any] = {
                "n": WindowPlan("count", None, None, "bigint"),
                "last": WindowPlan("last", of["f0"], None, "double"),
                **{each: WindowPlan(each, of["f0"], over, "double") for each in ("sum", "mean", "max")},  # type: ignore[arg-type]
            }
        else:
            said = {each: WindowPlan("last", of[each], None, "double") for each in names}
        views.append(ViewPlan(f"facts_{view}", "facts", ("who",), ("varchar",), ("who",), said))
    columns = tuple(
        FeatureColumn(f"{each.name}.{name}", w.dtype) for each in views for name, w in each.features.items()
    )
    made.plan = FeaturePlan("bench", "asks", ("row",), columns, tuple(views), {}, {}, None, None, None, None)
    return made


def fill(given: World) -> Any:
    """Fill a new store from the file; return it."""
    from millstream.features.online import LmdbOnline, Writer

    path = Path(given.folder.name) / "ours"
    if given.store is not None:
        given.store.close()
    shutil.rmtree(path, ignore_errors=True)
    given.store = LmdbOnline(path)
    done = Writer(given.store).refresh([given.plan], given.read, pins={"facts": 1}, now=given.now, ahead=AHEAD)
    assert done.written == given.keys * len(given.plan.views), done
    return given.store


def to_fill(keys: int, *, windows: int = 0) -> World:
    """Make a world whose bytes are known, for the limit to write as many."""
    made = world(keys, FEATURES, windows=windows)
    store = fill(made)
    with store.snapshot() as seen:
        for view in made.plan.views:
            made.pairs += [(key, bytes(seen.get(key) or b"")) for key in store.keys(bytes.fromhex(view.id))]
    return made


def bare_fill(given: World) -> object:
    """Write the same bytes into bare LMDB, one synced transaction."""
    import lmdb

    path = Path(given.folder.name) / "bare"
    shutil.rmtree(path, ignore_errors=True)
    store = lmdb.open(str(path), map_size=MAP)
    with store.begin(write=True) as transaction:
        for key, packed in given.pairs:
            transaction.put(key, packed)
    store.close()
    return None


def served(given: World, entities: list[str]) -> list[list[Any]]:
    """Look entities up in our store."""
    from millstream.features.online import Lookup
    from millstream.types import to_micros

    rows, at = [{"who": each} for each in entities], to_micros(datetime.now(UTC))
    return Lookup(given.plan, given.store).lookup_many(rows, [at] * len(rows))


def sample(given: World) -> list[str]:
    """Draw some entities."""
    return [f"s{each}" for each in random.Random(1).sample(range(given.keys), min(SAMPLE, given.keys))]


def same(given: World, found: Any) -> str | None:
    """Stop unless Feast serves the numbers that we do, of as many entities."""
    mine = served(given, sample(given))
    assert not any(math.isnan(each) for row in mine for each in row)
    if found.get("entities", given.keys) != given.keys:
        raise SystemExit(f"Feast serves {found['entities']} entities of {given.keys}")
    for ours_, theirs in zip(mine, found["sample"], strict=True):
        assert all(math.isclose(a, b, rel_tol=1e-12) for a, b in zip(ours_, theirs, strict=True)), (ours_, theirs)
    return None


@contextmanager
def feast(given: World, *, work: str, **more: Any) -> Iterator[Mapping[str, Peer]]:
    """Start Feast over the same file."""
    fill(given) if given.store is None else None
    tables = {"facts": {"entity": "who", "features": given.features}}
    said = {"tables": tables, "sample": sample(given), **more}
    (Path(given.folder.name) / "given.json").write_text(json.dumps(said))
    start = partial(Other, "Feast", "feast_store", work, given.folder.name, check=partial(same, given))
    with started({"feast": start}) as running:
        yield running


def asked(keys: int, many: int) -> list[list[str]]:
    """Draw who is asked for, so many at a time."""
    draw = random.Random(2)
    return [[f"s{each}" for each in draw.sample(range(keys), many)] for _ in range(CALLS[many])]


def to_look(keys: int, many: int, *, windows: int = 0) -> dict[str, Any]:
    """Fill a store to look into, and lay the questions ready."""
    import lmdb

    from millstream.features.online import Lookup
    from millstream.features.online.layout import key_of, view_prefix
    from millstream.types import to_micros

    made = world(keys, WIDTH, windows=windows)
    fill(made)
    made.store.close()  # a process opens it once: the bare limit reads through ours
    turns = asked(keys, many)
    made.store = reader = _reader(made)
    prefixes = [view_prefix(view.id) for view in made.plan.views]
    return {
        "world": made,
        "lookup": Lookup(made.plan, reader),
        "rows": [[{"who": each} for each in some] for some in turns],
        "at": to_micros(datetime.now(UTC)),
        "keys": [[key_of(prefix, (each,)) for each in some for prefix in prefixes] for some in turns],
        "begin": partial(lmdb.Transaction, reader._env, buffers=True),
        "unpack": Struct(f"<16x{WIDTH // len(prefixes)}d").unpack_from,
    }


def _reader(made: World) -> Any:
    from millstream.features.online import LmdbOnline

    return LmdbOnline(Path(made.folder.name) / "ours", readonly=True)


def look_one(given: dict[str, Any]) -> None:
    """Look one entity up, again and again."""
    one, at = given["lookup"].lookup_one, given["at"]
    for (row,) in given["rows"]:
        one(row, at)


def look_many(given: dict[str, Any]) -> None:
    """Look entities up together, again and again."""
    many, at = given["lookup"].lookup_many, given["at"]
    for rows in given["rows"]:
        many(rows, [at] * len(rows))


def bare_look(given: dict[str, Any]) -> None:
    """Get the values of keys that are ready, and take the numbers out."""
    begin, unpack = given["begin"], given["unpack"]
    for keys in given["keys"]:
        with begin() as transaction:
            get = transaction.get
            for key in keys:
                unpack(get(key))


@contextmanager
def feast_looking(given: dict[str, Any], *, many: int) -> Iterator[Mapping[str, Peer]]:
    """Start Feast over the same file, and let it ask for the same entities; as many calls, or fewer: it is slower."""
    turns = [[row["who"] for row in rows] for rows in given["rows"]]
    with feast(given["world"], work="lookup", asked=turns, times=CALLS[many] // SLOWER, each=many) as running:
        yield {name: _Fewer(each) for name, each in running.items()}


SLOWER = 10
"""Feast is asked a tenth as often in a turn; what it takes counts tenfold."""


class _Fewer:
    """A peer that did the work a fraction as often."""

    def __init__(self, peer: Other) -> None:
        self._peer = peer
        self.peak_mb, self.cpu_s, self.said = 0.0, 0.0, ""

    def __call__(self) -> float:
        """Do it once; return the seconds that all of it would take."""
        took = self._peer() * SLOWER
        self.peak_mb, self.cpu_s, self.said = self._peer.peak_mb, self._peer.cpu_s * SLOWER, self._peer.said
        return took


def filling(name: str, size: str, *, windows: int = 0) -> Work:
    """Describe a work that fills."""
    make: Callable[[int], Callable[[], World]] = lambda keys: partial(to_fill, keys, windows=windows)  # noqa: E731
    peers = None if windows else partial(feast, work="materialise")
    curve = () if windows else tuple((keys, make(keys)) for keys in (KEYS // 10, KEYS, KEYS * 10))
    return Work(name, size, make(KEYS), fill, bare_fill, peers=peers, curve=curve, rounds=5)


def looking(name: str, many: int, *, windows: int = 0) -> Work:
    """Describe a work that looks up."""
    views = f"{windows} views of windows" if windows else "1 view"
    size = f"{many} of {STORED:,} entities, {WIDTH} features, {views}"
    peers = None if windows else partial(feast_looking, many=many)
    curve = () if windows else tuple((keys, partial(to_look, keys, many)) for keys in (1_000, STORED, 100_000))
    make, ours = partial(to_look, STORED, many, windows=windows), look_one if many == 1 else look_many
    return Work(name, size, make, ours, bare_look, peers=peers, curve=curve, each=CALLS[many])


WORKS = {
    "materialise-embedded": filling("materialise-embedded", f"{KEYS:,} entities x {FEATURES}, {2 * KEYS:,} facts"),
    "materialise-windows": filling("materialise-windows", f"{KEYS:,} entities x 5 windows", windows=1),
    "lookup-1": looking("lookup-1", 1),
    "lookup-100": looking("lookup-100", 100),
    "lookup-1-windows": looking("lookup-1-windows", 1, windows=5),
    "lookup-100-windows": looking("lookup-100-windows", 100, windows=5),
}
