"""Filling the online store: what is laid out at once is as laid out one by one, and a benchmark's world is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import join, online
from millstream.features.online import layout


@pytest.mark.parametrize("width", [1, 3])
def test_steps_laid_out_at_once_are_those_laid_out_one_by_one(width: int) -> None:
    random = np.random.default_rng(1)
    counts = np.array([1, 3, 1, 0, 2, 5])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    instants, rows = random.integers(-(10**15), 10**15, 12), random.normal(size=(12, width))
    rows[3, 0] = np.nan
    told = np.array([True, True, False, True, True, True])
    starts, stops = offsets[:-1][told], offsets[1:][told]
    one_by_one = [
        layout.pack(instants[start:stop].tobytes(), rows[start:stop].tobytes(), [])
        for start, stop in zip(starts, stops, strict=True)
    ]
    assert list(layout.pack_many(instants, rows, starts, stops)) == one_by_one
    nobody = np.empty(0, dtype=np.int64)
    assert list(layout.pack_many(instants, rows, nobody, nobody)) == []


def test_keys_of_many_are_the_keys_of_each() -> None:
    entities: list[tuple[layout.Part, ...]] = [("a",), (7, "b" * 30), ("c" * 600,), ("d" * 498,), ("d" * 499,), (True,)]
    prefix = bytes(8)
    keys = list(layout.keys_of(prefix, entities))
    assert keys == [layout.key_of(prefix, each) for each in entities]
    assert len(set(keys)) == len(keys) and max(map(len, keys)) <= 511


@pytest.mark.parametrize("windows", [0, 2])
def test_the_bench_fills_every_entity_and_its_limit_writes_the_same_bytes(windows: int) -> None:
    import lmdb

    given = online.to_fill(300, windows=windows)
    with given.folder as folder:
        online.bare_fill(given)
        with lmdb.open(str(Path(folder) / "bare")) as bare, bare.begin() as transaction:
            assert len(given.pairs) == 300 * max(windows, 1)
            assert all(transaction.get(key) == packed for key, packed in given.pairs)
        given.store.close()


def test_the_bench_looks_up_what_its_limit_unpacks_and_the_file_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(online.CALLS, 100, 2)
    given = online.to_look(200, 100)
    asked, keys = given["rows"][0], given["keys"][0]
    mine = given["lookup"].lookup_many(asked, [given["at"]] * len(asked))
    with given["begin"]() as transaction:
        assert mine == [list(given["unpack"](transaction.get(key))) for key in keys]
    latest = pl.read_parquet(given["world"].file).sort("at").group_by("who").last().rows_by_key("who", named=True)
    for row, found in zip(asked, mine, strict=True):
        (said,) = latest[row["who"]]
        assert found == [said[f"f{place}"] for place in range(online.WIDTH)]
    online.look_many(given)
    online.bare_look(given)
    given["world"].store.close()
    given["world"].folder.cleanup()


def test_what_another_library_answers_is_held_against_what_was_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "FACTS", 4_000)
    monkeypatch.setattr(join, "VIEWS", {"store": (2, 50)})
    plan, asks, tables = join.world(1, 500)
    join.check(join.ours((plan, asks, tables)), asks, tables)
    right = join.ours((plan, asks, tables)).select("row", *plan.names)
    right = right.rename({each: each.partition(".")[2] for each in plan.names})
    assert join.wrong(right, right) == "0 of 500 rows are not what was known then"
    assert join.wrong(right.head(490), right).startswith("drops 10 rows of 500; 0 of 490")
    odd = int(join.wrong(join.by_event(asks, tables), right).partition(" ")[0])
    assert 0 < odd < 250  # event time alone knows what was corrected later
