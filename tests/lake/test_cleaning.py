"""Cleaning the lake: what nothing names may go, what anything names never does, whenever it is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.errors import BadData, Conflict, IntegrityError, NotFound
from millstream.lake import Lake
from millstream.lake.attached.pins import copy, pin, unpin
from millstream.lake.catalog import folders
from millstream.lake.faults import COMPACT_POINTS, GC_POINTS, VARIABLE
from millstream.lake.housekeeping import cleaning
from millstream.lake.housekeeping.cleaning import Plan, carry_out, plan
from millstream.lake.housekeeping.compact import compact
from millstream.lake.housekeeping.holding import holding
from millstream.lake.ingest import landing
from millstream.lake.verify import unreadable
from millstream.state import housekeeping, pins, taken, versions
from tests.lake.house import House, planes, schedule

REPOSITORY = Path(__file__).parents[2]
DAY = timedelta(days=1)


def planned(lake: Lake, *, keep: timedelta | None = DAY) -> Callable[[], Plan]:
    """Plan with what a lake alone knows of: newest versions and pins."""

    def made() -> Plan:
        state = lake.catalog.state
        held = {(name, number): ["the newest version"] for name, number in versions.heads(state).items()}
        held |= {(each.table, each.version): ["a pin"] for each in pins.every(state)}
        return plan(lake.catalog, held, keeps=lambda name: keep)

    return made


def rows(number: int) -> pl.DataFrame:
    return pl.DataFrame({"batch": [number] * 3, "row": [0, 1, 2]})


def grown(house: House, count: int) -> Lake:
    """Append so many batches, a day each, compact them, and let ten days go by."""
    lake = house.lake([planes()])
    for number in range(count):
        lake.append("answers", rows(number), app_id="s", app_version=number, actor="ann")
        house.clock.at += DAY
    compact(lake, "answers", actor="ann")
    house.clock.at += 10 * DAY
    return lake


def data(house: House, table: str = "answers") -> set[str]:
    return {each.name for each in (house.places.lake / table).glob("*.parquet")}


def old(path: Path, *, seconds: float = 200_000) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_what_nothing_names_goes_and_a_pin_holds_the_rest(house: House) -> None:
    lake = grown(house, 6)
    pin(lake.catalog, "answers", 2, actor="ann")
    pinned = lake.read("answers", version=2).frame
    made, proof = carry_out(lake.catalog, planned(lake), actor="bo")
    of = made.tables["answers"]
    assert sorted(of.goes) == [0, 1, 3, 4, 5] and sorted(of.held) == [2, 6] and len(of.files) == 3
    assert all("kept for 1 days" in each for each in of.goes.values())
    assert proof["wrong"] == [] and (proof["versions"], proof["files"], proof["hashed"]) == (2, 4, 4)
    assert len(data(house)) == 4
    again = house.lake([planes()])
    assert again.read("answers", version=2).frame.equals(pinned)
    assert again.read("answers").frame.height == 18
    with pytest.raises(NotFound, match=r"answers@3 went with gc on 2013-04-17 by bo") as wrong:
        again.read("answers", version=3)
    assert "answers@2, answers@6" in wrong.value.expected
    assert "went with gc" in unreadable(again.catalog, "answers", 3)
    with pytest.raises(NotFound, match="went with gc"):
        pin(again.catalog, "answers", 3, actor="late")
    told = house.ledger.rows(act="lake.gc")
    assert [each.act for each in told] == ["lake.gc.proof", "lake.gc"] and told[1].actor == "bo"
    assert told[1].detail["versions"] == {"answers": [[0, 1], [3, 5]]} and told[1].detail["files"] == 3
    assert told[0].detail["list"] == told[1].detail["list"]
    findings = again.verify()
    assert all(each.ok for each in findings)
    assert any("5 of them went with gc" in each.says for each in findings)


def test_a_batch_whose_version_went_is_read_from_the_newest(house: House) -> None:
    lake = grown(house, 6)
    carry_out(lake.catalog, planned(lake), actor="bo")
    lake.append("answers", rows(6), app_id="s", app_version=6, actor="ann")
    for number in range(6):
        since = number - 1 if number else None
        found = lake.added("answers", since=since, version=number).frame
        assert found["batch"].unique().to_list() == [number]


def test_young_versions_and_unlimited_ones_stay(house: House) -> None:
    lake = grown(house, 4)
    for keep in (None, 100 * DAY):
        made = planned(lake, keep=keep)()
        assert not made.tables["answers"].goes and not made.files() and made.tables["answers"].young
    assert planned(lake, keep=12 * DAY)().tables["answers"].goes.keys() == {0, 1}
    before = data(house)
    carry_out(lake.catalog, planned(lake, keep=None), actor="bo")
    assert data(house) == before


def test_what_was_left_by_crashes_goes_and_what_is_young_or_committed_stays(house: House) -> None:
    lake = house.lake([planes()])
    lake.append("answers", rows(0), app_id="s", app_version=0, actor="ann")
    folder = house.places.lake / "answers"
    for name in ("part-old.parquet", "part-young.parquet"):
        (folder / name).write_bytes(b"half a file")
    old(folder / "part-old.parquet")
    for each in folder.glob("part-0*"):
        old(each)
    made, _ = carry_out(lake.catalog, planned(lake), actor="bo")
    assert [(each.kind, Path(each.path).name) for each in made.files()] == [("orphan", "part-old.parquet")]
    assert "part-young.parquet" in data(house) and lake.read("answers").frame.height == 3


def test_rows_that_waited_too_long_for_a_version_go(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "ROWS", 500)
    table = Table("bikes", source=Csv("files/bikes-*.csv"), key="id")
    lake = house.lake([table])
    (house.root / "files/bikes-1.csv").write_text("id,seats\n1,100\n")
    lake.refresh(actor="ann")
    rows = "\n".join(f"{each},1" for each in range(600))
    (house.root / "files/bikes-2.csv").write_text(f"id,seats\n{rows}\n")
    (house.root / "files/bikes-3.csv").write_text("id,seats\n9,100,3,4\n")
    with pytest.raises(BadData):
        lake.refresh(actor="ann")
    waiting = taken.all_landed(house.state)["bikes"]
    assert waiting and not planned(lake)().files(), "the next refresh goes on with it"
    for each in waiting:
        old(house.places.lake / "bikes" / each)
    made, _ = carry_out(lake.catalog, planned(lake), actor="bo")
    assert {each.kind for each in made.files()} == {"waiting"} and not taken.all_landed(house.state)
    (house.root / "files/bikes-3.csv").unlink()
    assert lake.refresh(actor="ann")[0].rows == 601


def test_copies_that_nothing_pins_go_and_others_stay(house: House) -> None:
    for day in range(3):
        house.publish(day)
    lake = house.lake([schedule()])
    lake.refresh(actor="ann")
    house.publish(3)
    lake.refresh(actor="ann")
    copy(lake.catalog, "schedule", 2, actor="ann")
    assert not planned(lake)().files()
    unpin(lake.catalog, "schedule", 2, actor="ann")
    assert not planned(lake)().files(), "the newest version has the same files"
    before = set((house.root / "ops").rglob("*.parquet"))
    write_deltalake(house.root / "ops/schedule", pl.DataFrame({"id": [1]}).with_columns(
        leaves=pl.lit("2013-03-08").str.to_datetime()), mode="overwrite")  # fmt: skip
    lake.refresh(actor="ann")
    made, _ = carry_out(lake.catalog, planned(lake), actor="bo")
    assert {each.kind for each in made.files()} == {"copy"} and not pins.copies(house.state, "schedule")
    assert before <= set((house.root / "ops").rglob("*.parquet")), "the owner's files are the owner's"
    assert all(each.ok for each in lake.verify())


def test_a_copy_that_came_back_while_a_cleaning_was_interrupted_stays(house: House) -> None:
    for day in range(3):
        house.publish(day)
    lake = house.lake([schedule()])
    lake.refresh(actor="ann")
    first = lake.head("schedule").version
    copy(lake.catalog, "schedule", first, actor="ann")
    unpin(lake.catalog, "schedule", first, actor="ann")
    lost = pl.DataFrame({"id": [1]}).with_columns(leaves=pl.lit("2013-03-08").str.to_datetime())
    write_deltalake(house.root / "ops/schedule", lost, mode="overwrite")
    lake.refresh(actor="ann")
    _killed(lake, after=3)
    assert housekeeping.going(house.state) and not pins.copies(house.state, "schedule")
    again = house.lake([schedule()])
    copy(again.catalog, "schedule", first, actor="ann")
    made, proof = carry_out(again.catalog, planned(again), actor="bo")
    assert not made.files() and not housekeeping.going(house.state) and proof["wrong"] == []
    copied = pins.copies(house.state, "schedule")
    assert copied and all(folders(again.catalog, schedule()).copy(each).is_file() for each in copied)


def test_what_an_interrupted_cleaning_left_elsewhere_is_not_touched(house: House) -> None:
    lake = grown(house, 3)
    other = house.root.parent / "other.parquet"
    other.write_bytes(b"another project's")
    with house.state.transact() as tx:
        housekeeping.go(tx, [], [housekeeping.Going(str(other), 17, "version")])
    made, _ = carry_out(lake.catalog, planned(lake), actor="bo")
    assert other.exists() and str(other) not in {each.path for each in made.files()}
    assert not housekeeping.going(house.state)


def test_nothing_goes_while_somebody_holds_all_versions(house: House) -> None:
    lake = grown(house, 3)
    before = data(house)
    with holding(house.places), pytest.raises(Conflict, match="a training, a backup or a pin holds all versions"):
        carry_out(lake.catalog, planned(lake), actor="bo")
    assert data(house) == before and not house.ledger.rows(act="lake.gc")
    carry_out(lake.catalog, planned(lake), actor="bo")
    assert data(house) < before


def test_damage_that_is_called_cleaning_is_found(house: House) -> None:
    lake = grown(house, 3)
    gone = housekeeping.Gone("answers", 1, "2013-04-01", "eve", "nothing")
    with house.state.transact() as tx:
        housekeeping.go(tx, [gone], [])
    assert [each.says for each in lake.verify() if not each.ok] == [
        "is said to have gone with gc, and no row of the ledger tells so"
    ]


def test_a_lost_file_of_a_kept_version_is_said_by_the_proof(house: House) -> None:
    lake = grown(house, 3)
    head = lake.catalog.files(lake.catalog.table("answers"), 3)[0]
    (house.places.lake / "answers" / head.path).unlink()
    with pytest.raises(IntegrityError, match="of kept versions are not as they were registered"):
        carry_out(lake.catalog, planned(lake), actor="bo")
    assert house.ledger.rows(act="lake.gc.proof")[0].detail["wrong"]


def child(root: Path, what: str, fault: str = "") -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.lake.keeping_child", str(root), what],
        cwd=REPOSITORY, env=os.environ | {VARIABLE: fault}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.parametrize("point", ["gc.intended", "gc.deleted:2"])
def test_a_kill_inside_a_cleaning_is_ended_by_the_next(house: House, point: str) -> None:
    _killed_while_cleaning(house, point)


@pytest.mark.nightly
@pytest.mark.parametrize("point", GC_POINTS)
def test_a_kill_at_every_step_of_a_cleaning_is_ended_by_the_next(house: House, point: str) -> None:
    _killed_while_cleaning(house, point)


def _killed_while_cleaning(house: House, point: str) -> None:
    lake = grown(house, 5)
    pin(lake.catalog, "answers", 1, actor="ann")
    before = {number: lake.read("answers", version=number).frame for number in (1, 5)}
    assert child(house.root, "gc", point) == -signal.SIGKILL
    house.clock.at += 100 * DAY
    again = house.lake([planes()])
    carry_out(again.catalog, planned(again), actor="bo")
    assert all(again.read("answers", version=number).frame.equals(each) for number, each in before.items())
    assert len(data(house)) == 3 and not housekeeping.going(house.state)
    assert all(each.ok for each in again.verify()) and house.ledger.verify().ok


@pytest.mark.parametrize("point", ["compact.written", "lake.committed"])
def test_a_kill_inside_a_compaction_loses_nothing(house: House, point: str) -> None:
    _killed_while_compacting(house, point)


@pytest.mark.nightly
@pytest.mark.parametrize("point", COMPACT_POINTS)
def test_a_kill_at_every_step_of_a_compaction_loses_nothing(house: House, point: str) -> None:
    _killed_while_compacting(house, point)


def _killed_while_compacting(house: House, point: str) -> None:
    lake = house.lake([planes()])
    for number in range(4):
        lake.append("answers", rows(number), app_id="s", app_version=number, actor="ann")
    before = lake.read("answers").frame
    assert child(house.root, "compact", point) == -signal.SIGKILL
    again = house.lake([planes()])
    compact(again, "answers", actor="ann")
    head = again.head("answers")
    assert head.version == 4 and len(again.catalog.files(again.catalog.table("answers"), 4)) == 1
    assert again.read("answers").frame.equals(before)
    assert again.added("answers", since=1, version=4).frame["batch"].unique().sort().to_list() == [2, 3]
    assert all(each.ok for each in again.verify())


ACTS = st.lists(
    st.one_of(
        st.just(("write",)), st.just(("write",)), st.just(("compact",)), st.just(("pass",)),
        st.just(("gc",)),
        st.tuples(st.just("pin"), st.integers(0, 30)), st.tuples(st.just("killed"), st.integers(1, 4)),
    ),
    max_size=14,
)  # fmt: skip


class Killed(BaseException):
    """What a kill is inside one process."""


@settings(max_examples=5, deadline=None)
@given(ACTS)
def test_whatever_is_done_every_pinned_read_stays_what_it_was(acts: list[tuple[object, ...]]) -> None:
    _lived(acts)


@pytest.mark.nightly
@settings(max_examples=100, deadline=None)
@given(ACTS)
def test_whatever_is_done_however_often_every_pinned_read_stays_what_it_was(acts: list[tuple[object, ...]]) -> None:
    _lived(acts)


def _lived(acts: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder) / "project")
        _lived_through(house, acts)
        house.state.close()


def _lived_through(house: House, acts: list[tuple[object, ...]]) -> None:
    lake = house.lake([planes()])
    lake.append("answers", rows(0), app_id="s", app_version=0, actor="ann")
    count, kept = 1, dict[int, pl.DataFrame]()
    for act, *more in acts:
        if act == "write":
            lake.append("answers", rows(count), app_id="s", app_version=count, actor="ann")
            count += 1
        elif act == "compact":
            compact(lake, "answers", actor="ann")
        elif act == "pass":
            house.clock.at += 2 * DAY
        elif act == "gc":
            carry_out(lake.catalog, planned(lake), actor="bo")
        elif act == "pin":
            known = [
                each.version
                for each in lake.history("answers")
                if each.version not in housekeeping.gone(house.state, "answers")
            ]
            number = known[int(str(more[0])) % len(known)]
            pin(lake.catalog, "answers", number, actor="ann")
            kept[number] = lake.read("answers", version=number).frame
        else:
            _killed(lake, after=int(str(more[0])))
            lake = house.lake([planes()])
    fresh = house.lake([planes()])
    for number, frame in kept.items():
        assert fresh.read("answers", version=number).frame.equals(frame)
    assert sorted(fresh.read("answers").frame["batch"].unique()) == list(range(count))
    carry_out(fresh.catalog, planned(fresh), actor="bo")
    assert all(each.ok for each in fresh.verify())


def _killed(lake: Lake, *, after: int) -> None:
    """Clean until so many points are reached, and then no further."""
    reached = 0

    def stop(point: str) -> None:
        nonlocal reached
        reached += 1
        if reached > after:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "reach", stop)
        with contextlib.suppress(Killed):
            carry_out(lake.catalog, planned(lake), actor="bo")
