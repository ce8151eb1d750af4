"""What a lake must do wherever it keeps its files: acknowledge once, keep versions as they were, survive an end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import polars as pl

from millstream.lake.faults import POINTS, interrupted
from millstream.testing.bench import Bench, refused, require


class LakeSuite:
    """Laws of a lake's own tables. Inherit, and define the fixture ``bench``, a new ``Bench`` each time."""

    def test_law_4_the_same_identity_again_is_the_same_version(self, bench: Bench) -> None:
        """An identity is acknowledged once however often it is tried."""
        with bench as lake:
            for number in (0, 1, 0, 1, 1):
                made = lake.append("own", _batch(number), app_id="a", app_version=number, actor="suite")
                require(made.version == number, f"batch {number} became version {made.version}")
            require(_batches(bench, lake.read("own").frame) == [0, 1], "a batch came twice, or not")

    def test_a_version_reads_the_same_for_ever(self, bench: Bench) -> None:
        """Each version has the rows of its time, after others and after a restart."""
        with bench as lake:
            for number in range(3):
                lake.append("own", _batch(number), app_id="a", app_version=number, actor="suite")
        with bench as lake:
            for number in range(3):
                found = _batches(bench, lake.read("own", version=number).frame)
                require(found == list(range(number + 1)), f"version {number} has batches {found}")
            require(all(each.ok for each in lake.verify(deep=True)), "verify finds fault with what was just written")

    def test_other_columns_are_refused_and_leave_nothing(self, bench: Bench) -> None:
        """Rows of other columns are refused whole, and the next good ones are taken."""
        with bench as lake:
            lake.append("own", _batch(0), app_id="a", app_version=0, actor="suite")
            other = _batch(1).rename({"row": "line"})
            wrong = refused(
                lambda: lake.append("own", other, app_id="a", app_version=1, actor="suite"), why="a column changed"
            )
            require("row" in wrong.happened and "line" in wrong.happened, wrong.happened)
            require(lake.head("own").version == 0, "a version was made of it all the same")
            lake.append("own", _batch(1), app_id="a", app_version=1, actor="suite")
            require(_batches(bench, lake.read("own").frame) == [0, 1], "after a refusal nothing can be written")

    def test_law_8_many_writers_lose_and_double_nothing(self, bench: Bench) -> None:
        """Threads that write the same and other rows at once leave each once."""
        with bench as lake:
            lake.append("own", _batch(0), app_id="a", app_version=0, actor="suite")

            def write(number: int) -> int:
                return lake.append("own", _batch(number), app_id="a", app_version=number, actor="suite").version

            with ThreadPoolExecutor(4) as together:
                made = sorted(together.map(write, [1, 2, 3, 4, 4, 3, 2, 1]))
            require(made == [1, 1, 2, 2, 3, 3, 4, 4], f"the versions are {made}")
            require(_batches(bench, lake.read("own").frame) == [0, 1, 2, 3, 4], "a batch was lost or doubled")

    def test_law_8_ended_at_any_point_what_was_acknowledged_is_there_once(self, bench: Bench) -> None:
        """Ended at each named point, a write is whole or not there, and trying again makes it one."""
        for number, point in enumerate(POINTS):
            acknowledged = False
            with bench as lake, interrupted(point):
                lake.append("own", _batch(number), app_id="a", app_version=number, actor="suite")
                acknowledged = True
            require(not acknowledged, f"{point} was not reached")
            with bench as lake:
                require(all(each.ok for each in lake.recover()), f"ended at {point}, it cannot recover")
                lake.append("own", _batch(number), app_id="a", app_version=number, actor="suite")
                found = _batches(bench, lake.read("own").frame)
                require(found == list(range(number + 1)), f"ended at {point}, it has batches {found}")
                require(bench.ledger.verify().ok, f"ended at {point}, the ledger does not hold")
                written = len(bench.ledger.rows(act="table.version", limit=1_000))
                require(written == number + 1, f"ended at {point}, the ledger tells {written} versions")


def _batch(number: int) -> pl.DataFrame:
    return pl.DataFrame({"batch": [number] * 3, "row": [0, 1, 2]})


def _batches(bench: Bench, frame: pl.DataFrame) -> list[int]:
    counts = frame.group_by("batch").len().sort("batch")
    require(set(counts["len"]) == {3}, f"a batch has not its three rows: {counts}")
    return counts["batch"].to_list()
