"""A table that another process writes: its columns change, its old files vanish under a model; what people then do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import IntegrityError
from millstream.lake.ingest.schema_history import schema_history
from millstream.project import Project
from millstream.project.tables.pins import refuse_lost
from tests.journeys.command import millstream
from tests.lake.owner import Owner

TEXTS = {
    "millstream.toml": 'name = "trips"\n',
    "trips.py": """from millstream import Table, sources

trips = Table("trips", source=sources.Delta("ops/trips"), key="id", event_time="leaves", timezone="UTC")
""",
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    made = Owner(tmp_path_factory.mktemp("nowhere"))
    yield made
    made.close()


@pytest.fixture
def owner(other: Owner, tmp_path: Path) -> Owner:
    """The owner of the table of a new project."""
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    other.path = tmp_path / "ops/trips"
    return other


def said(root: Path, command: str, **words: Any) -> Any:
    with Project(root, lock=True) as project:
        return project.run(command, {"actor": "ann", **words} if command != "status" else words)


def test_a_table_of_somebody_else_from_drift_to_a_version_that_is_kept(owner: Owner, tmp_path: Path) -> None:
    root = tmp_path
    owner.do("append", first=0, count=10, configuration={"delta.deletedFileRetentionDuration": "interval 2 days"})
    assert said(root, "refresh")["versions"][0]["bytes_copied"] == 0

    owner.do("append", first=10, count=5, also={"stop": "x"}, merge=True)
    record = said(root, "refresh")
    assert (record["versions"], record["exit_code"]) == ([], 2)
    assert record["stopped"][0]["do"].endswith("millstream refresh --accept-schema trips")
    status = said(root, "status")
    assert "'stop' is new (string)" in status["tables"][0]["schema_waits"]
    assert [each["subject"] for each in status["alarms"]] == ["trips"]
    assert "next: millstream refresh --accept-schema trips" in millstream("status", "-p", root).out
    record = said(root, "refresh", accept_schema=["trips"])
    assert record["versions"][0]["why"] == "its log grew by 1 commit: 5 rows new; columns: 'stop' is new (string)"
    status = said(root, "status")
    assert (status["tables"][0]["schema_waits"], status["alarms"]) == ("", [])
    with Project(root) as project:
        assert schema_history(project.lake.catalog, "trips")[-1].accepted_by == "ann"
        project.ledger.record(  # as training writes it down
            actor="tess", act="model.register", subject="late@1", detail={"run": "0123456789", "pins": {"trips": 1}}
        )

    owner.do("overwrite", first=100, count=4, also={"stop": "y"})
    record = said(root, "refresh")
    (soon,) = record["pins"]
    assert (soon["version"], soon["missing"], soon["leaving"]) == ("trips@1", 0, 2)
    assert "model version late@1 (run 01234567)" in soon["says"] and soon["next"] == "millstream pin trips@1 --copy"
    kept = said(root, "pin", version="trips@1", copy=True)
    assert (kept["copied"], kept["standing"]) == (2, [])

    owner.do("vacuum")
    assert said(root, "refresh")["pins"] == []
    found = [
        each for each in said(root, "verify")["findings"] if each["subject"].startswith(("trips", "pin", "ledger"))
    ]
    assert len(found) == 2 and all(each["ok"] for each in found)
    with Project(root) as project:
        assert project.lake.read("trips", version=1).frame.height == 15


def test_a_version_that_was_vacuumed_is_noticed_with_all_that_rests_on_it(owner: Owner, tmp_path: Path) -> None:
    owner.do("append", first=0, count=10)
    said(tmp_path, "refresh")
    with Project(tmp_path) as project:
        project.ledger.record(
            actor="tess", act="model.register", subject="late@1", detail={"run": "0123456789", "pins": {"trips": 0}}
        )
    owner.do("overwrite", first=100, count=4)
    owner.do("vacuum")
    record = said(tmp_path, "refresh")
    assert record["pins"][0]["missing"] == 1
    (alarm,) = said(tmp_path, "status")["alarms"]
    assert (alarm["kind"], alarm["subject"]) == ("lost", "trips@0")
    assert "late@1" in alarm["says"] and "pin trips@0 --copy" in alarm["next"]
    found = [each for each in said(tmp_path, "verify")["findings"] if not each["ok"]]
    assert any(each["subject"] == "pin trips@0" and "late@1" in each["says"] for each in found)
    with Project(tmp_path) as project, pytest.raises(IntegrityError, match="training late needs trips@0"):
        refuse_lost(project, {"trips": 0}, of="training late")
    refused = millstream("pin", "trips@0", "--copy", "-p", tmp_path)
    assert refused.code == 8 and "its owner deleted it" in refused.err
