"""Contracts in a project: noticed unasked, held until repaired, let back by a person, proposed from the data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import NotFound, Refused, UserError
from millstream.project import Project

SHOP = """
from millstream import Table, checks, sources

sales = Table("sales", source=sources.Delta("sales"), key="id", event_time="at", timezone="UTC",
    checks=[checks.between("units", 0, 50)CHECKS])
"""


def deliver(root: Path, day: int, *, kind: str = "", units: int = -1, rows: int = 90) -> None:
    import deltalake
    import polars as pl

    start = datetime(2024, 1, 1) + timedelta(days=day)
    frame = pl.DataFrame(
        {
            "id": [1000 * day + each for each in range(rows)],
            "at": [start + timedelta(minutes=each) for each in range(rows)],
            "kind": [kind if kind and each % 3 == 0 else ("bread", "milk")[each % 2] for each in range(rows)],
            "units": [units if units >= 0 and each % 3 == 0 else 1 + each % 7 for each in range(rows)],
        },
        schema_overrides={"at": pl.Datetime("us")},
    )
    deltalake.write_deltalake(
        str(root / "sales"), frame.with_columns(pl.col("at").dt.replace_time_zone("UTC")), mode="append"
    )


def shop(root: Path, checks: str = "") -> None:
    (root / "shop.py").write_text(SHOP.replace("CHECKS", checks))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "millstream.toml").write_text('name = "shop"\n')
    shop(folder)
    for day in range(8):
        deliver(folder, day)
    return folder


def run(root: Path, command: str, *, at: int = 0, **words: Any) -> Any:
    with Project(root, lock=True) as project:
        if at:
            project.clock.advance(datetime(2024, 1, 1, 6, tzinfo=UTC) + timedelta(days=at))  # type: ignore[attr-defined]
        return project.run(command, words)


def failed(record: Any) -> list[tuple[str, str]]:
    return [(each["check"], each["severity"]) for each in record["reports"][-1]["results"] if not each["ok"]]


def test_what_nobody_asked_for_is_told_and_nothing_is_set_aside(root: Path) -> None:
    assert failed(run(root, "check")) == []
    deliver(root, 8)
    assert failed(run(root, "check")) == []
    deliver(root, 9, kind="cheese", units=0)
    bad = run(root, "check")
    assert failed(bad) == [("new_category", "warn"), ("zeros", "warn")]
    assert bad["exit_code"] == 0 and bad["reports"][-1]["quarantined"] == 0
    shop(root, ', checks.defaults(off=["new_category"])')
    assert failed(run(root, "check")) == [("zeros", "warn")], "a contract that is written anew asks again"
    deliver(root, 10)
    assert failed(run(root, "check")) == []


def test_rows_go_to_quarantine_and_a_person_lets_them_back(root: Path) -> None:
    shop(root, ', checks.zeros("units", severity="stop")')
    run(root, "check")
    deliver(root, 8)
    run(root, "check")
    deliver(root, 9, kind="cheese", units=0)
    assert run(root, "check")["exit_code"] == 6
    listed = run(root, "quarantine", table="sales")
    assert listed["count"] == 30 and listed["rows"][0]["key"] == "9000"
    assert listed["checks"] == [
        {"check": "zeros sales.units", "version": 9, "rows": 30, "reason": "units is 0, and usually is not"}
    ]
    assert run(root, "sql", query="select count(*) from sales where units = 0")["rows"] == [[0]]
    for words, wrong in (
        ({"keys": ["9000"]}, UserError),
        ({"reason": "seen"}, UserError),
        ({"keys": ["9001"], "reason": "seen"}, NotFound),
        ({"check": "zeroes", "reason": "seen"}, NotFound),
    ):
        with pytest.raises(wrong):
            run(root, "let_back", table="sales", **words)
    assert run(root, "let_back", table="sales", keys=["9000"], reason="a free loaf", actor="ana")["rows"] == 1
    assert run(root, "sql", query="select count(*) from sales where units = 0")["rows"] == [[1]]
    assert run(root, "let_back", table="sales", check="zeros", reason="all were free", actor="ana")["rows"] == 29
    after = run(root, "quarantine", table="sales")
    assert after["count"] == 0 and {each["actor"] for each in after["released"]} == {"ana"}
    assert run(root, "verify")["ok"]
    with Project(root, lock=True) as project, project.state.transact() as tx:
        tx.execute("DELETE FROM released WHERE key = '[9000]'")
    assert not run(root, "verify")["ok"]


def test_a_contract_is_proposed_that_would_not_have_alarmed(root: Path) -> None:
    for day in range(8, 12):
        deliver(root, day)
    run(root, "refresh")
    (one,) = run(root, "suggest")["tables"]
    codes = {each["code"]: each for each in one["suggestions"]}
    assert {"checks.unique('id')", "checks.isin('kind', ['bread', 'milk'])", "checks.nulls('units')"} <= set(codes)
    assert all(each["alarms"] == 0 for each in codes.values() if each["kept"]) and one["held"].startswith(
        "held against 4"
    )
    kept = [code for code, each in codes.items() if each["kept"]]
    shop(root, ", " + ", ".join(kept))
    assert failed(run(root, "check")) in ([], [("fresh", "warn")])


def test_missing_rows_are_named_until_they_are_there(root: Path) -> None:
    shop(root, ', checks.expected("kind")')
    (root / "millstream.toml").write_text('name = "shop"\n[replay]\nstart = "2024-03-11T06:00:00Z"\nlabel = "then"\n')
    stores = [f"s{each:02}" for each in range(60)]
    for day in range(10, 70):
        bring(root, day, stores)
    assert run(root, "check")["exit_code"] == 0
    assert run(root, "missing", tables=["sales"])["tables"][0]["checks"] == []
    bring(root, 70, stores[:40])
    assert ("expected", "warn") in failed(run(root, "check", at=71))
    found = run(root, "missing")["tables"][0]["checks"][0]
    assert found["periods"] == ["2024-03-11"] and found["count"] == 20 and found["columns"] == ["period", "kind"]
    assert sorted(row[1] for row in found["rows"]) == stores[40:]
    settings = (root / "millstream.toml").read_text()
    roles = '[roles.few]\npeople = ["eva"]\nmask = { "*" = "show" }\nrows = { sales = "units = 1" }\n'
    (root / "millstream.toml").write_text(settings + roles)
    with pytest.raises(Refused, match="may be what eva does not see"):
        run(root, "missing", actor="eva")
    (root / "millstream.toml").write_text(settings)
    bring(root, 71, stores)
    bring(root, 70, stores[40:45], first=900)
    run(root, "check", at=72)
    assert run(root, "missing")["tables"][0]["checks"][0]["count"] == 15, "a later batch is whole, that day is not yet"
    bring(root, 70, stores[45:], first=950)
    run(root, "check")
    assert run(root, "missing")["tables"][0]["checks"] == []
    with pytest.raises(NotFound, match="saels"):
        run(root, "missing", tables=["saels"])


def test_a_table_that_expects_nothing_says_so(root: Path) -> None:
    assert run(root, "missing", tables=["sales"])["tables"] == [{"table": "sales", "asked": 0, "checks": []}]
    assert run(root, "missing")["tables"] == []


def bring(root: Path, day: int, stores: list[str], *, first: int = 0) -> None:
    import deltalake
    import polars as pl

    at = datetime(2024, 1, 1) + timedelta(days=day)
    frame = pl.DataFrame(
        {
            "id": [1000 * day + first + each for each in range(len(stores))],
            "at": [at + timedelta(minutes=each) for each in range(len(stores))],
            "kind": stores,
            "units": [1 + each % 7 for each in range(len(stores))],
        },
        schema_overrides={"at": pl.Datetime("us")},
    )
    rows = frame.with_columns(pl.col("at").dt.replace_time_zone("UTC"))
    deltalake.write_deltalake(str(root / "sales"), rows, mode="append")
