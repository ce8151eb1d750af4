"""A killed writer: nothing acknowledged is lost, nothing is doubled, whatever step it died in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from millstream.lake.faults import POINTS, VARIABLE
from tests.lake.house import House, planes

REPOSITORY = Path(__file__).parents[2]


def child(
    root: Path, *, first: int = 0, count: int = 3, fault: str = "", what: str = "append"
) -> tuple[list[str], int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.lake.crash_child", str(root), str(first), str(count), what],
        cwd=REPOSITORY, env=os.environ | {VARIABLE: fault}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.stdout.split(), done.returncode


def batches(lake: object) -> list[int]:
    frame = lake.read("answers").frame  # type: ignore[attr-defined]
    assert frame.group_by("batch").len()["len"].to_list().count(3) == frame["batch"].n_unique()
    return sorted(frame["batch"].unique())


@pytest.mark.parametrize("point", POINTS)
def test_law_8_a_kill_at_any_step_of_an_append(house: House, point: str) -> None:
    acknowledged, code = child(house.root, fault=f"{point}:2")
    assert code == -signal.SIGKILL
    assert acknowledged == ["0"]
    lake = house.lake([planes()])
    committed = POINTS.index(point) >= POINTS.index("lake.committed")
    assert batches(lake) == ([0, 1] if committed else [0])
    assert all(each.ok for each in lake.recover())
    assert all(each.ok for each in lake.verify())
    for number in range(3):
        rows = pl.DataFrame({"batch": [number] * 3, "row": [0, 1, 2]})
        lake.append("answers", rows, app_id="segment", app_version=number, actor="child")
    assert batches(lake) == [0, 1, 2]
    assert len(lake.history("answers")) == 3
    assert house.acts("table.version") == 3
    assert house.ledger.verify().ok


@pytest.mark.parametrize("point", ["lake.intended", "lake.committed", "lake.registering"])
def test_law_6_a_kill_at_any_step_of_an_ingest(house: House, point: str) -> None:
    _, code = child(house.root, fault=point, what="ingest")
    assert code == -signal.SIGKILL
    lake = house.lake([planes()])
    lake.refresh(actor="ann")
    assert [each.version for each in lake.history("planes")] == [0]
    assert lake.read("planes").frame.height == 2
    assert all(each.ok for each in lake.verify())
    assert lake.refresh(actor="ann") == []


def test_a_commit_that_nobody_intended_is_reported_and_not_read(house: House) -> None:
    from deltalake import write_deltalake

    lake = house.lake([planes()])
    lake.append("answers", pl.DataFrame({"batch": [1]}), app_id="a", app_version=1, actor="ann")
    write_deltalake(house.places.lake / "answers", pl.DataFrame({"batch": [666]}), mode="append")
    for each in (lake, house.lake([planes()])):
        bad = [found for found in each.recover() if not found.ok]
        assert [found.subject for found in bad] == ["answers@1"]
        assert "nobody here" in bad[0].says
    lake.append("answers", pl.DataFrame({"batch": [2]}), app_id="a", app_version=2, actor="ann")
    assert sorted(lake.read("answers").frame["batch"]) == [1, 2]
    assert [each.subject for each in lake.verify() if not each.ok] == ["answers@1"]


def test_an_empty_last_commit_of_our_own_is_noticed(house: House) -> None:
    lake = house.lake([planes()])
    for number in range(2):
        lake.append("answers", pl.DataFrame({"batch": [number]}), app_id="a", app_version=number, actor="ann")
    (house.places.lake / f"answers/_delta_log/{1:020d}.json").write_bytes(b"")
    bad = [each for each in house.lake([planes()]).verify() if not each.ok]
    assert "empty or cut" in bad[0].says
    assert house.lake([planes()]).read("answers").frame.height == 2, "registered files are still there"


def test_the_files_of_a_commit_and_both_folders_are_synced_before_it_is_registered(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def noting(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        assert house.lake([planes()]).heads() == {}
        real(handle)

    lake = house.lake([planes()])
    monkeypatch.setattr("os.fsync", noting)
    monkeypatch.setattr("millstream.lake.writer.versions.open_intents", lambda _: [])
    lake.append("answers", pl.DataFrame({"batch": [1]}), app_id="a", app_version=1, actor="ann")
    folder = house.places.lake / "answers"
    assert {str(each) for each in (*folder.glob("*.parquet"), *folder.glob("_delta_log/*.json"))} <= set(synced)
    assert {str(folder), str(folder / "_delta_log"), str(house.places.lake)} <= set(synced)
