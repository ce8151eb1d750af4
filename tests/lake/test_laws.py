"""Laws 4, 6 and 8 over any order of events: files that come, change and go, ends at any point, restarts, writers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.lake import Lake
from millstream.lake.faults import LANDED, POINTS, interrupted
from millstream.testing import Bench

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("abc"), st.integers(0, 3)),
        st.tuples(st.just("remove"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("end"), st.sampled_from([LANDED, *POINTS]), st.just(0)),
        st.tuples(st.just("refresh"), st.just(""), st.just(0)),
    ),
    min_size=1,
    max_size=9,
)
WRITES = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["", "", *POINTS])), min_size=1, max_size=9)


def files(events: list[tuple[str, str, int]], *, mirror: bool) -> None:
    """Whatever happens, at the end each name has brought the rows of its last content, each content once."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "in").mkdir()
        (root / "in/z.csv").write_text("n\n-1\n")
        there = {"z": -1}
        brought = {"z": -1}
        bench = Bench(root, [Table("t", source=Csv("in/*.csv", mirror=mirror), key="n")])

        def seen(lake: Lake) -> None:
            made = lake.refresh(actor="ann")
            assert lake.refresh(actor="ann") == [], "law 4: the same again"
            kept = {} if mirror else brought
            brought.clear() if mirror else None
            brought.update({**kept, **there})
            wanted = sorted(each for content in {*brought.values()} for each in _rows(content))
            assert sorted(lake.read("t").frame["n"]) == wanted
            assert len(made) <= 1

        for what, name, content in events:
            if what == "write":
                (root / f"in/{name}.csv").write_text("n\n" + "".join(f"{each}\n" for each in _rows(content)))
                there[name] = content
            elif what == "remove":
                (root / f"in/{name}.csv").unlink(missing_ok=True)
                there.pop(name, None)
            elif what == "end":
                with bench as lake, interrupted(name):
                    lake.refresh(actor="ann")
                with bench as lake:
                    seen(lake)
            else:
                with bench as lake:
                    seen(lake)
        with bench as lake:
            seen(lake)
            assert all(each.ok for each in [*lake.recover(), *lake.verify()])
            assert bench.ledger.verify().ok
            assert len(bench.ledger.rows(act="table.version", limit=1_000)) == len(lake.history("t"))


def _rows(content: int) -> list[int]:
    return [content] if content < 0 else [content * 10, content * 10 + 1]


def writers(writes: list[tuple[int, str]]) -> None:
    """What was acknowledged is there once, and of what was not, all or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        acknowledged: set[int] = set()
        tried: set[int] = set()
        for number, point in writes:
            tried.add(number)
            with bench as lake, interrupted(point):
                rows = pl.DataFrame({"batch": [number] * 3})
                lake.append("own", rows, app_id="a", app_version=number, actor="ann")
                acknowledged.add(number)
        with bench as lake:
            assert all(each.ok for each in lake.recover())
            found = lake.read("own").frame["batch"].to_list() if lake.heads() else []
            assert acknowledged <= set(found) <= tried
            assert all(found.count(each) == 3 for each in found)
            assert bench.ledger.verify().ok


@given(EVENTS, st.booleans())
@settings(max_examples=6)
def test_property_laws_4_and_6_of_files(events: list[tuple[str, str, int]], mirror: bool) -> None:
    files(events, mirror=mirror)


@given(WRITES)
@settings(max_examples=8)
def test_property_law_8_of_writers(writes: list[tuple[int, str]]) -> None:
    writers(writes)


@pytest.mark.nightly
@given(EVENTS, st.booleans())
@settings(max_examples=150)
def test_property_laws_4_and_6_of_files_at_length(events: list[tuple[str, str, int]], mirror: bool) -> None:
    files(events, mirror=mirror)


@pytest.mark.nightly
@given(WRITES)
@settings(max_examples=200)
def test_property_law_8_of_writers_at_length(writes: list[tuple[int, str]]) -> None:
    writers(writes)
