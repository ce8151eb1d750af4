"""Step 1: production tables are read where they lie, and what cannot be trusted is masked, not dropped or copied."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import polars as pl

from tests.journeys.command import millstream
from tests.journeys.conftest import Prepared
from tests.journeys.house import House

ATTACHED, INGESTED = {"schedule", "movements", "weather"}, {"planes", "airports"}


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_tables_are_attached_where_they_lie_and_nothing_is_copied(prepared: Prepared, tmp_path: Path) -> None:
    versions = {each["table"]: each for each in prepared.said["refresh"]["versions"]}
    assert {name for name, each in versions.items() if each["kind"] == "attached"} == ATTACHED
    assert {name for name, each in versions.items() if each["kind"] == "ingested"} == INGESTED
    assert versions["flights"]["kind"] == "derived"
    assert versions["flights"]["inputs"] == {name: versions[name]["version"] for name in ("schedule", "movements")}
    assert all(versions[name]["bytes_copied"] == 0 for name in (*ATTACHED, "flights"))
    assert all(versions[name]["version"] == versions[name]["delta_version"] == 31 for name in ATTACHED)
    lake = prepared.house.places.lake
    owned = {file.relative_to(lake).parts[0] for file in lake.rglob("*.parquet")}
    assert owned == INGESTED, "only ingested tables have data files of ours"
    # the company's own files are as they were before anybody read them
    fresh = House(prepared.house.root).airline
    untouched = type(fresh)(tmp_path / "ops")
    untouched.prepare(prepared.house.standin.planted(), last=date(2013, 2, 28))
    before = hashes(untouched.folder)
    after = hashes(fresh.folder)
    data = {name: digest for name, digest in before.items() if name.endswith(".parquet") and "_delta_log" not in name}
    assert len(data) > 150
    assert {name: after[name] for name in data} == data


def test_the_same_input_twice_changes_nothing(house: House) -> None:
    before = hashes(house.root / "ops") | hashes(house.places.lake)
    assert house.run("refresh")["versions"] == []
    assert hashes(house.root / "ops") | hashes(house.places.lake) == before


def test_refresh_says_why_each_table_moved(house: House) -> None:
    house.publish(date(2013, 2, 1))
    definitions = house.root / "flights.py"
    text = definitions.read_text()
    definitions.write_text(text.replace("select s.*,", "select s.*, m.dep_delay as again,", 1))
    assert definitions.read_text() != text
    planes = house.root / "files" / "planes.csv"
    planes.write_text("".join(planes.read_text().splitlines(keepends=True)[:-1]))
    why = {each["table"]: each["why"] for each in house.run("refresh")["versions"]}
    assert why["movements"].startswith("its log grew by 1 commit: ") and why["movements"].endswith(" rows new")
    assert why["flights"] == "its definition changed and schedule@32, movements@32 came"
    assert why["planes"] == "1 file changed: 3,321 rows in place of 3,322, which earlier versions keep"
    assert "airports" not in why


def test_contracts_run_in_one_pass_over_what_arrived(prepared: Prepared) -> None:
    reports = {each["table"]: each for each in prepared.said["check"]["reports"]}
    assert set(reports) == ATTACHED | INGESTED
    assert prepared.said["check"]["exit_code"] == 0
    assert reports["schedule"]["rows"] == 53_678
    failed = {each["check"] for each in reports["movements"]["results"] if not each["ok"]}
    assert failed <= {"complete"}, reports["movements"]


def test_quarantine_masks_rows_by_key_and_reason_and_drops_nothing(house: House) -> None:
    day = date(2013, 2, 1)

    def break_three(frame: pl.DataFrame) -> pl.DataFrame:
        frame = frame.sort("flight_id")
        bad = pl.int_range(pl.len()) < 3
        return frame.with_columns(air_time=pl.when(bad).then(-5.0).otherwise("air_time"))

    house.rewrite("movements", day, break_three)
    broken = pl.read_parquet(house.root / f"ops/movements/movements-{day}.parquet").sort("flight_id")["flight_id"][:3]
    house.publish(day)
    with house.opened() as project:
        said = project.run("check", {"tables": ["movements"]})
        (report,) = [each for each in said["reports"] if each["table"] == "movements"]
        assert report["quarantined"] == 3
        (holds,) = [each for each in report["results"] if each["check"] == "holds"]
        assert not holds["ok"] and holds["failed_rows"] == 3 and "air_time > 0" in holds["says"]
        kept = project.lake.quarantined("movements", 32)
        assert set(kept["flight_id"]) == set(broken) and all("air_time > 0" in each for each in kept["reason"])
        every = project.lake.read("movements", trusted=False).frame
        trusted = project.lake.read("movements").frame
        assert every.height - trusted.height == 3
        assert set(every["flight_id"]) - set(trusted["flight_id"]) == set(broken)
        flights = project.lake.read("flights").frame.filter(pl.col("flight_id").is_in(list(broken)))
        assert flights.height == 3 and flights["arr_delay"].null_count() == 3, "the join keeps them, without a movement"
        assert project.lake.read("movements", version=31).frame.height == trusted.height - (report["rows"] - 3)
        asked = project.run("sql", {"query": "select count(*) from movements"})
        assert asked["pins"] == {"movements": 32}


def test_a_breach_of_severity_stop_is_an_exit_code_and_stops_training(house: House) -> None:
    day = date(2013, 2, 1)
    house.rewrite("schedule", day, lambda frame: pl.concat([frame, frame.head(2)]))
    house.publish(day)
    said = millstream("check", "schedule", "--json", "-p", house.root)
    assert said.code == 6, said
    (report,) = said.record["reports"]
    broken = [each["check"] for each in report["results"] if not each["ok"] and each["severity"] == "stop"]
    assert broken == ["unique"]
    refused = millstream("train", "late", "--json", "-p", house.root)
    assert refused.code == 6 and "schedule" in refused.err and "Traceback" not in refused.err
