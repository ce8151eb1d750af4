"""Versions whose files their owner deletes: noticed without reading, foretold, and kept by copies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.errors import IntegrityError, StorageFull, UserError
from millstream.lake.attached import pins
from millstream.lake.faults import PIN_POINTS, VARIABLE
from millstream.state import pins as kept
from tests.lake.house import House, planes
from tests.lake.owner import Owner
from tests.lake.test_foreign import trips

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    owner = Owner(tmp_path_factory.mktemp("nowhere"))
    yield owner
    owner.close()


@pytest.fixture
def owner(other: Owner, house: House) -> Owner:
    """A table of two files, attached, then overwritten by its owner."""
    other.path = house.root / "ops/trips"
    for number in range(2):
        other.do(
            "append",
            first=number * 10,
            count=10,
            configuration={"delta.deletedFileRetentionDuration": "interval 2 days"},
        )
    house.lake([trips()]).refresh(actor="ann")
    other.do("overwrite", first=100, count=5)
    return other


def copies(house: House) -> list[Path]:
    return sorted((house.places.lake / ".pins").rglob("*.p*"))


def test_a_version_that_may_soon_be_deleted_is_foretold_and_one_that_is_gone_is_named(
    house: House, owner: Owner
) -> None:
    lake = house.lake([trips()])
    assert pins.stand(lake.catalog, [("trips", 1)]) == []
    lake.refresh(actor="ann")
    (soon,) = pins.stand(lake.catalog, [("trips", 1), ("trips", 2)])
    assert (soon.version, soon.missing, len(soon.leaving)) == (1, (), 2)
    assert soon.leaving_bytes == sum(each.size for each in lake.catalog.files(trips(), 1))
    removed = (owner.path / f"_delta_log/{2:020d}.json").stat().st_mtime
    from datetime import datetime

    assert abs(datetime.fromisoformat(soon.until).timestamp() - removed - 2 * 86_400) < 60
    owner.do("vacuum")
    (gone,) = pins.stand(lake.catalog, [("trips", 1), ("trips", 2)])
    assert len(gone.missing) == 2
    with pytest.raises(IntegrityError, match="--copy keeps one for good"):
        house.lake([trips()]).read("trips", version=1)


def test_a_copied_version_is_read_and_verified_after_its_owner_deleted_it(house: House, owner: Owner) -> None:
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    before = lake.read("trips", version=1).frame
    made = pins.copy(lake.catalog, "trips", 1, actor="eve", note="audit")
    assert len(made) == 2 and pins.copy(lake.catalog, "trips", 1, actor="eve") == []
    told = house.ledger.rows(acts=("table.pin",))[-1]
    assert told.detail["hashes"] == {each.path: each.sha256 for each in made}
    owner.do("vacuum")
    for each in (lake, house.lake([trips()])):
        assert each.read("trips", version=1).frame.equals(before)
        assert all(found.ok for found in each.verify(deep=True, actor="ann"))
    assert pins.stand(lake.catalog, [("trips", 1)]) == []
    copy = copies(house)[0]
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    assert any("has not the bytes that were copied" in each.says for each in lake.verify())


def test_a_file_that_is_not_as_registered_is_not_copied(house: House, owner: Owner) -> None:
    lake = house.lake([trips()])
    victim = owner.path / lake.catalog.files(trips(), 1)[1].path
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="has not the bytes it had"):
        pins.copy(lake.catalog, "trips", 1, actor="eve")
    victim.unlink()
    with pytest.raises(IntegrityError, match="its owner deleted it"):
        pins.copy(lake.catalog, "trips", 1, actor="eve")
    assert kept.every(house.state) == [] and kept.copies(house.state, "trips") == {}
    assert not [each for each in copies(house) if each.suffix == ".part"]


def test_pins_are_kept_let_go_and_refused_where_there_is_nothing_to_copy(house: House, owner: Owner) -> None:
    lake = house.lake([trips(), planes()])
    lake.refresh(actor="ann")
    pins.pin(lake.catalog, "trips", 1, actor="eve", note="why")
    assert [(each.table, each.version, each.note) for each in kept.every(house.state)] == [("trips", 1, "why")]
    pins.unpin(lake.catalog, "trips", 1, actor="eve")
    with pytest.raises(UserError, match="is not pinned"):
        pins.unpin(lake.catalog, "trips", 1, actor="eve")
    with pytest.raises(UserError, match="stored in the lake"):
        pins.copy(lake.catalog, "planes", 0, actor="eve")


_CHILD = """
import sys
from pathlib import Path
from millstream.lake.attached import pins
from tests.lake.house import House
from tests.lake.test_foreign import trips
pins.copy(House(Path(sys.argv[1])).lake([trips()]).catalog, "trips", 1, actor="child")
"""


@pytest.mark.parametrize(
    "point",
    [
        each if each in ("pin.copied", "pin.registering") else pytest.param(each, marks=pytest.mark.nightly)
        for each in PIN_POINTS
    ],
)
def test_law_8_a_kill_at_any_step_of_a_copy_takes_all_or_nothing(house: House, owner: Owner, point: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(house.root)], cwd=REPOSITORY,
        env=os.environ | {VARIABLE: point}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    whole = point == "pin.registered"
    assert bool(kept.every(house.state)) is whole
    assert len(kept.copies(house.state, "trips")) == (2 if whole else 0)
    lake = house.lake([trips()])
    assert all(each.ok for each in lake.verify())
    pins.copy(lake.catalog, "trips", 1, actor="eve")
    assert len(kept.copies(house.state, "trips")) == 2
    assert len(copies(house)) == 2
    owner.do("vacuum")
    assert house.lake([trips()]).read("trips", version=1).frame.height == 20


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_disk_that_fills_at_any_write_takes_nothing(
    house: House, owner: Owner, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = house.lake([trips()])
    count = 0
    real = os.fsync

    def full(handle: int) -> None:
        nonlocal count
        count += 1
        if count == nth:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("millstream.lake.attached.pins.os.fsync", full)
    with pytest.raises(StorageFull, match="no pin was made"):
        pins.copy(lake.catalog, "trips", 1, actor="eve")
    assert kept.every(house.state) == [] and not [each for each in copies(house) if each.suffix == ".part"]
    monkeypatch.setattr("millstream.lake.attached.pins.os.fsync", real)
    assert len(pins.copy(lake.catalog, "trips", 1, actor="eve")) == 2


def test_what_the_disk_has_no_room_for_is_refused_before_anything_is_written(
    house: House, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = house.lake([trips()])
    monkeypatch.setattr("millstream.lake.attached.pins.shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(StorageFull, match="has 10 free; nothing was copied"):
        pins.copy(lake.catalog, "trips", 1, actor="eve")
    assert copies(house) == []
