"""A file that is delivered again, or a table that its owner rewrites, repeats nothing."""

from datetime import datetime

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from millstream.project.root import Project

DEFINITIONS = """
from millstream import Table, checks, sources
planes = Table("planes", source=sources.Csv("planes.csv"), key="tailnum", checks=[checks.unique("tailnum")])
orders = Table("orders", source=sources.Delta("orders"), key="id", event_time="at", timezone="UTC",
               checks=[checks.unique("id")])
joined = Table("joined", of=[orders, planes], key="id", event_time="at", checks=[checks.unique("id")],
             sql="select o.*, p.seats from orders o left join planes p using (tailnum)")
"""


def orders(first: int, count: int) -> pl.DataFrame:
    ids = list(range(first, first + count))
    return pl.DataFrame({"id": ids, "tailnum": ["A"] * count, "at": [datetime(2013, 1, 1 + each) for each in ids]})


@pytest.fixture
def project(tmp_path):
    (tmp_path / "millstream.toml").write_text('name = "again"\n')
    (tmp_path / "tables.py").write_text(DEFINITIONS)
    (tmp_path / "planes.csv").write_text("tailnum,seats\nA,100\nB,200\n")
    for day in range(4):
        write_deltalake(tmp_path / "orders", orders(2 * day, 2), mode="append")
    with Project(tmp_path, lock=True) as opened:
        assert opened.run("check")["exit_code"] == 0
        yield opened


def test_a_file_with_a_row_more_repeats_nothing_and_one_that_repeats_is_told(project):
    project.root.joinpath("planes.csv").write_text("tailnum,seats\nA,100\nB,200\nC,300\n")
    said = project.run("check")
    assert said["exit_code"] == 0, said
    assert project.run("sql", {"query": "select count(*) from planes"})["rows"] == [[3]]
    project.root.joinpath("planes.csv").write_text("tailnum,seats\nA,100\nB,200\nC,300\nB,5\n")
    told = {each["table"]: each for each in project.run("check")["reports"]}
    assert told["planes"]["quarantined"] == 2 or told["planes"]["quarantined"] == 1, told


def test_a_compacted_table_repeats_nothing_and_a_repeated_row_is_still_told(project):
    DeltaTable(project.root / "orders").optimize.compact()
    assert project.run("check")["exit_code"] == 0
    assert project.run("sql", {"query": "select count(*) from orders"})["rows"] == [[8]]
    write_deltalake(project.root / "orders", orders(3, 1), mode="append")
    told = {each["table"]: each for each in project.run("check")["reports"]}
    assert not told["orders"]["results"][0]["ok"], told


def test_a_row_of_a_derived_table_that_changed_repeats_nothing(project):
    project.root.joinpath("planes.csv").write_text("tailnum,seats\nA,150\nB,200\n")
    said = project.run("check")
    assert {each["table"] for each in said["reports"]} == {"planes", "joined"}
    assert said["exit_code"] == 0, said
    assert project.run("sql", {"query": "select max(seats) from joined"})["rows"] == [[150]]
