"""Branches: tables changed for an experiment; production's files and records are as they were, whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import millstream
from millstream.console.pages import BOARD, CATALOG, LINEAGE, TABLE, View, _environment
from millstream.errors import BadData, Conflict, MillstreamError, NotFound, Refused, UserError
from millstream.lake.faults import DISCARD_POINTS, EDIT_POINTS, RELEASED, VARIABLE
from millstream.project import Project
from millstream.project.branches.branches import assigned
from millstream.state import edits, pins, versions

SHOP = """
from millstream import Table, checks, sources

prices = Table("prices", source=sources.Csv("prices/*.csv"), key="id", event_time="at", timezone="Europe/Berlin",
    columns={"twice": "price * 2"}, checks=[checks.unique("id"), checks.nulls("price", at_most=0.5)])
dear = Table("dear", of=prices, sql="select id, at, store, price from prices where price > 10", key="id")
days = Table("days", source=sources.Delta("ops/days"), key="id", event_time="at", timezone="UTC")
free = Table("free", source=sources.Csv("free.csv"))
"""
START = datetime(2024, 1, 1)


def day(number: int, *, count: int = 10, price: float = 0.5) -> str:
    rows = [
        f"{number * 100 + each},{each % 4},{START + timedelta(days=number, minutes=each)},{each + price}"
        for each in range(count)
    ]
    return "\n".join(["id,store,at,price", *rows]) + "\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    from deltalake import write_deltalake

    folder = tmp_path / "shop"
    (folder / "prices").mkdir(parents=True)
    (folder / "millstream.toml").write_text('name = "shop"\n')
    (folder / "shop.py").write_text(SHOP)
    (folder / "free.csv").write_text("a,b\n1,2\n")
    for number in range(3):
        (folder / f"prices/{number}.csv").write_text(day(number))
        rows = pl.DataFrame({"id": [number], "at": [START], "region": ["north" if number % 2 else "south"]})
        write_deltalake(folder / "ops/days", rows, mode="append", partition_by="region")
        run(folder, "refresh")
    return folder


def run(root: Path, command: str, *, env: str = "prod", **words: Any) -> Any:
    with Project(root, lock=True, environment=env) as project:
        return project.run(command, {"actor": "tina", **words})


def raised(root: Path, env: str = "exp", **words: Any) -> Any:
    said = {"table": "prices", "set": ["price = price * 1.1"], "where": "store = 3"} | words
    return run(root, "edit", env=env, **said)


def rows(root: Path, table: str = "prices", env: str = "exp") -> pl.DataFrame:
    with Project(root, environment=env) as project:
        return project.lake.read(table).frame.sort("id")


def production(root: Path) -> dict[str, Any]:
    """Everything production holds: its files, its sources, and what its database says."""
    state = root / ".millstream"
    held: dict[str, Any] = {
        str(each.relative_to(root)): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in sorted(root.rglob("*"))
        if each.is_file() and not {"env", "run"} & set(each.relative_to(root).parts) and ".db" not in each.name
    }
    with closing(sqlite3.connect(state / "state.db")) as opened:
        for (table,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            held[table] = sorted(map(repr, opened.execute(f'SELECT * FROM "{table}"').fetchall()))
    return held


def test_rows_change_in_the_branch_alone_and_only_files_that_hold_them_are_written(root: Path) -> None:
    before, was = production(root), rows(root, env="prod")
    made = raised(root, where="store = 3 and id < 100")
    assert (made["changed"], made["new"], made["gone"], made["bytes_copied"]) == (2, 0, 0, 0)
    with Project(root, environment="exp") as project:
        shared, base = project.lake.catalog.places.over, versions.before(project.state, "prices", versions.BRANCHED)
        assert shared is not None and base is not None and base.version == made["base"]
        told = edits.newest(project.state, "prices")
        assert told is not None and len(told.removed) == 1, "one of three files holds them"
        own = sum(each.stat().st_size for each in (root / ".millstream/env/exp/lake").rglob("*.parquet"))
        assert own == made["bytes_written"]
        total = sum(each.size for each in project.lake.catalog.files(project.manifest.table("prices"), base.version))
        kept = [
            each
            for each in project.lake.catalog.files(project.manifest.table("prices"), base.version)
            if each.path not in told.removed
        ]
        assert made["bytes_shared"] == sum(each.size for each in kept) and 0 < made["bytes_shared"] < total
        assert [(each.table, each.version) for each in pins.every(project.state)] == [("prices", base.version)]
        assert all(each.ok for each in project.lake.verify())
    expected = was.with_columns(
        pl.when((pl.col("store") == 3) & (pl.col("id") < 100))
        .then(pl.col("price") * 1.1)
        .otherwise("price")
        .alias("price")
    ).with_columns(twice=pl.col("price") * 2)
    assert rows(root).equals(expected.select(was.columns)), (
        "known-at, computed columns and all other rows are as they were"
    )
    run(root, "refresh", env="exp")
    assert set(rows(root, "dear")["id"]) == set(expected.filter(pl.col("price") > 10)["id"])
    run(root, "check", env="exp")
    again = run(root, "branches")["branches"]
    assert production(root) == before
    assert [(each["name"], each["by"], each["behind"]) for each in again] == [("exp", "tina", [])]
    assert again[0]["tables"][0]["edits"][0]["says"] == "set price = price * 1.1 where store = 3 and id < 100"


def test_rows_come_by_their_key_and_go(root: Path) -> None:
    fresh = pl.DataFrame({"id": [1, 999], "store": [1, 9], "at": [START, START], "price": [7.0, 8.0]})
    with millstream.open(root, environment="exp") as project:
        record = next(iter(project.edit("prices", fresh, note="as the shop says")))
        assert (record["changed"], record["new"]) == (1, 1)
        assert project.sql("select price from prices where id in (1, 999) order by id").frame["price"].to_list() == [
            7,
            8,
        ]
        partly = pl.DataFrame({"id": [2], "price": [3]})
        assert next(iter(project.edit("prices", partly)))["changed"] == 1
        assert next(iter(project.edit("prices", partly)))["says"] == "no row is other than it was"
        assert next(iter(project.edit("days", set={"region": "'west'"}, where="id = 1")))["changed"] == 1
        assert next(iter(project.edit("prices", remove=True, where="store = 2")))["gone"] == 6
        assert project.sql("select count(*) as n from prices where store = 2").frame["n"].item() == 0
        assert sorted(project.table("days").frame()["region"]) == ["south", "south", "west"]
        assert all(each.ok for each in project.lake.verify(deep=True))
    told = {each["table"]: each for each in run(root, "changes", env="exp")["tables"]}
    assert (told["prices"]["changed"], told["prices"]["new"], told["prices"]["gone"]) == (1, 1, 6)
    assert told["prices"]["examples"]["changed"] == [
        {"key": {"id": 1}, "columns": {"at": ["2024-01-01 00:01:00", "2024-01-01 00:00:00"], "price": [1.5, 7.0]}}
    ]
    out = root / "fix.csv"
    run(root, "changes", env="exp", table="prices", out=str(out))
    assert sorted(pl.read_csv(out)["change"].value_counts().rows()) == [("changed", 1), ("gone", 6), ("new", 1)]


WRONG: dict[str, tuple[dict[str, Any], type[MillstreamError], str]] = {
    "prod": ({"env": "prod"}, Refused, "prod is production"),
    "unknown": ({"table": "price"}, NotFound, "did you mean 'prices'"),
    "derived": ({"table": "dear"}, Refused, "would be computed again"),
    "no key": ({"table": "free", "set": ["b = 1"], "where": ""}, UserError, "no key"),
    "key": ({"set": ["id = 1"]}, UserError, "names the row"),
    "computed": ({"set": ["twice = 1"]}, UserError, "is computed"),
    "column": ({"set": ["prise = 1"]}, UserError, "did you mean 'price'"),
    "type": ({"set": ["store = price"]}, UserError, "is a double"),
    "where": ({"where": "price"}, UserError, "is a double"),
    "nothing": ({"set": []}, UserError, "nothing is said to change"),
    "all away": ({"set": [], "where": "", "remove": True}, UserError, "would take every row away"),
    "two": ({"remove": True}, UserError, "--set and --remove were given"),
    "no file": ({"set": [], "where": "", "rows": "/nowhere.csv"}, NotFound, "no file"),
}


def test_what_cannot_be_is_refused_and_changes_nothing(root: Path) -> None:
    before = production(root)
    for name, (words, kind, says) in WRONG.items():
        with pytest.raises(kind) as wrong:
            raised(root, **words)
        assert says in str(wrong.value), name
    for frame, says in (
        (pl.DataFrame({"id": [1, 1], "price": [1.0, 2.0]}), "more than once"),
        (pl.DataFrame({"id": [None], "price": [1.0]}, schema={"id": pl.Int64, "price": pl.Float64}), "has no key"),
        (pl.DataFrame({"id": [1], "price": ["dear"]}), "price"),
        (pl.DataFrame({"id": [1], "store": [1.5]}), "whole numbers"),
        (pl.DataFrame({"id": [998], "price": [1.0]}), "a new row needs every column"),
        (pl.DataFrame({"price": [1.0]}), "lack the key"),
        (pl.DataFrame({"id": [1], "twice": [1.0]}), "it is computed"),
    ):
        with millstream.open(root, environment="exp") as project, pytest.raises((BadData, UserError)) as wrong:
            project.edit("prices", frame)
        assert says in str(wrong.value)
    with millstream.open(root) as project, pytest.raises(Refused, match="production's tables are not edited"):
        project.edit("prices", remove=True, where="id = 1")
    with Project(root, environment="exp") as project:
        assert edits.tables(project.state) == []
    assert production(root) == before
    for said in ("price", "= 2", "price ="):
        with pytest.raises(UserError, match="nothing to set"):
            assigned([said])
    assert assigned(["a = b == c"]) == {"a": "b == c"}


def test_a_rebase_takes_productions_newest_under_the_same_edits_and_names_what_both_changed(root: Path) -> None:
    raised(root)
    raised(root, env="other", set=["price = 1"], where="id = 1")
    (root / "prices/3.csv").write_text(day(3))
    (root / "prices/0.csv").write_text(day(0).replace(",1.5", ",90.0"))  # the row of id 1, which exp left alone
    run(root, "refresh")
    run(root, "refresh", env="exp")
    assert rows(root).filter(pl.col("id") >= 300).height == 0, "an edited table stays where it is"
    (late,) = run(root, "changes", env="exp")["behind"]
    assert (late["table"], late["versions"], late["edited"]) == ("prices", 1, True)
    (moved,) = run(root, "rebase", env="exp")["rebased"]
    assert moved["conflicts"] == "" and run(root, "rebase", env="exp")["rebased"] == []
    found = rows(root)
    assert found.filter(pl.col("id") == 1)["price"].item() == 90 and found.filter(pl.col("id") == 303).height == 1
    assert found.filter(pl.col("id") == 3)["price"].item() == pytest.approx(3.5 * 1.1)
    assert found.filter(pl.col("id") == 303)["price"].item() == 3.5, "rows that came since were not edited"

    with pytest.raises(Conflict, match=r"by prices@3 that this branch changed too: id 1;") as wrong:
        run(root, "rebase", env="other")
    assert "--keep mine" in wrong.value.do and rows(root, env="other").filter(pl.col("id") == 1)["price"].item() == 1
    kept = run(root, "rebase", env="other", keep="mine")["rebased"][0]
    assert kept["conflicts"] == "id 1" and rows(root, env="other").filter(pl.col("id") == 1)["price"].item() == 1
    for env in ("exp", "other"):
        with Project(root, environment=env) as project:
            assert all(each.ok for each in project.lake.verify())
            assert project.lake.read("prices", version=versions.BRANCHED + 1).frame.height == 30, "runs rest on it"


def test_production_wins_a_conflict_when_that_is_asked_for(root: Path) -> None:
    raised(root, set=["price = 1"], where="id in (1, 2)")
    (root / "prices/0.csv").write_text(day(0).replace(",1.5", ",90.0"))
    run(root, "refresh")
    run(root, "rebase", env="exp", keep="prod")
    assert rows(root).filter(pl.col("id").is_in([1, 2]))["price"].to_list() == [90, 1]
    with pytest.raises(UserError, match="says nothing"):
        run(root, "rebase", env="exp", keep="both")


def test_a_branch_is_thrown_away_with_all_it_wrote_and_production_says_who_did(root: Path) -> None:
    before = production(root)
    raised(root), raised(root, env="other")
    with Project(root, lock=True, environment="exp"), pytest.raises(Conflict, match="another process works"):
        run(root, "discard", name="exp")
    gone = run(root, "discard", name="exp")
    assert gone["tables"][0]["table"] == "prices" and not (root / ".millstream/env/exp").exists()
    assert [each["name"] for each in run(root, "branches")["branches"]] == ["other"]
    with Project(root) as project:
        (told,) = project.ledger.rows(act="branch.discard")
        assert (told.actor, told.subject) == ("tina", "exp") and told.detail["tables"] == gone["tables"]
    after = production(root)
    assert {each for each in after if after[each] != before.get(each)} == {"ledger"}
    with pytest.raises(NotFound, match="no branch 'exp'"):
        run(root, "discard", name="exp")
    for name, env in (("prod", "prod"), ("other", "other")):
        with pytest.raises(Refused):
            run(root, "discard", env=env, name=name)
    raised(root)
    assert rows(root).filter(pl.col("id") == 3)["price"].item() == pytest.approx(3.85), "the name is free again"


ROLES = """
[roles.boss]
people = ["tina"]
mask = { "*" = "show" }
[roles.clerk]
people = ["carl"]
mask = { money = "null", who = "show" }
[roles.keyless]
people = ["kim"]
mask = { money = "show", who = "hash" }
[roles.north]
people = ["nora"]
mask = { "*" = "show" }
rows = { prices = "store = 1", dear = "true" }
"""


def test_who_sees_columns_masked_learns_nothing_of_them_from_a_branch(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_USER", "carl")
    said = SHOP.replace('columns={"twice"', 'sensitive={"price": "money", "id": "who"}, columns={"twice"')
    (root / "shop.py").write_text(said)
    (root / "millstream.toml").write_text('name = "shop"\n' + ROLES)
    raised(root)
    (root / "prices/0.csv").write_text(day(0).replace(",3.5", ",90.0"))
    run(root, "refresh")
    for actor, words in (
        ("carl", {"set": ["store = 1"], "where": "price > 3"}),
        ("carl", {"set": ["price = 3.5"], "where": "id = 3"}),
        ("carl", {"set": ["store = 1"], "where": "twice > 3"}),
        ("kim", {"set": ["store = 7"], "where": "store = 1"}),
        ("nora", {"set": ["store = 7"], "where": "store = 1"}),
    ):
        with pytest.raises(Refused, match=r"masked for|sees only some rows"):
            raised(root, actor=actor, **words)
    with millstream.open(root, environment="exp") as project, pytest.raises(Refused, match="price of table 'prices'"):
        project.edit("prices", pl.DataFrame({"id": [3], "price": [3.5]}))
    (seen,) = run(root, "changes", env="exp", actor="carl")["tables"]
    assert seen["changed"] == 6 and seen["edits"][0]["says"] == ""
    assert seen["examples"]["changed"][0] == {"key": {"id": 3}, "columns": {"price": [None, None]}}
    (hashed,) = run(root, "changes", env="exp", actor="kim")["tables"]
    assert hashed["examples"]["changed"][0]["key"]["id"] != 3
    with pytest.raises(Refused, match="would be in the file"):
        run(root, "changes", env="exp", actor="carl", table="prices", out=str(root / "all.csv"))
    for actor, command in (("nora", "changes"), ("nora", "rebase"), ("kim", "rebase")):
        with pytest.raises(Refused):
            run(root, command, env="exp", actor=actor)
    told = run(root, "branches", actor="carl")["branches"][0]["tables"][0]["edits"][0]
    assert told["says"] == "" and told["by"] == "tina"
    assert raised(root, actor="carl", set=["store = 8"], where="store = 0")["changed"] == 9, (
        "what is seen may be edited"
    )
    with Project(root, environment="exp") as project:
        reads = project.run("reads", {"table": "prices", "actor": "tina"})["reads"]
    assert [(each["actor"], each["how"]) for each in reads[:2]] == [("kim", "diff"), ("carl", "diff")]
    assert not (root / "all.csv").exists()


def test_keys_that_production_has_twice_by_now_are_named_and_its_rows_can_be_kept(root: Path) -> None:
    raised(root, where="id in (3, 7)")
    (root / "prices/3.csv").write_text(day(0, count=4, price=0.75))
    run(root, "refresh")
    with pytest.raises(Conflict, match="id 3 of table 'prices' is in more than one row") as wrong:
        run(root, "rebase", env="exp", keep="mine")
    assert wrong.value.do.startswith("millstream branch exp --rebase --keep prod")
    assert run(root, "rebase", env="exp", keep="prod")["rebased"][0]["conflicts"] == "id 3"
    found = rows(root)
    assert found.filter(pl.col("id") == 3)["price"].sort().to_list() == [3.5, 3.75]
    assert found.filter(pl.col("id") == 7)["price"].to_list() == [pytest.approx(7.5 * 1.1)]


PAGES: dict[str, tuple[View, dict[str, Any]]] = {
    "board": (BOARD, {}),
    "catalog": (CATALOG, {}),
    "table": (TABLE, {"table": "prices"}),
    "lineage": (LINEAGE, {"name": "prices"}),
}


def test_every_page_says_that_one_stands_in_a_branch_and_which_edit_one_sees(root: Path) -> None:
    raised(root)
    for env, stands in (("exp", True), ("prod", False)):
        drawn = {}
        with Project(root, environment=env) as project:
            for name, (view, asked) in PAGES.items():
                record = project.run(view.command, asked)
                drawn[name] = _environment().get_template(view.template).render(page=view.shown(record))
        assert {name: "environment exp, not production" in text for name, text in drawn.items()} == dict.fromkeys(
            PAGES, stands
        )
        assert ["edit 1 of 2" in drawn[name] for name in ("board", "table")] == [stands] * 2


def test_edited_rows_go_to_production_as_a_file_and_a_definition_to_commit(root: Path) -> None:
    run(root, "branch", env="exp")
    with pytest.raises(Refused, match="changed no table"):
        run(root, "release_rows", name="exp")
    raised(root)
    raised(root, set=[], remove=True, where="id = 5")
    raised(root, table="days", set=["region = 'west'"], where="id = 1")
    words = {"name": "exp", "table": "prices", "note": 'as the shop "says"'}
    for wrong, kind, says in (
        ({"name": "exp"}, UserError, "changed days, prices"),
        ({"name": "exp", "table": "dear"}, NotFound, "changed nothing of table 'dear'"),
        ({**words, "note": " "}, UserError, "no reason"),
        ({**words, "name": "nope"}, NotFound, "no branch 'nope'"),
    ):
        with pytest.raises(kind, match=says):
            run(root, "release_rows", **wrong)
    (root / "prices/3.csv").write_text(day(3))
    run(root, "refresh")
    with pytest.raises(Conflict, match="production has prices@3 by now, and exp rests on version 2") as late:
        run(root, "release_rows", **words)
    assert late.value.do.startswith("millstream branch exp --rebase")
    run(root, "rebase", env="exp", table="prices")
    before = production(root)
    killed(root, RELEASED, "release_rows", "prod", **words)
    assert not (root / "prices_exp.py").exists()
    made = run(root, "release_rows", **words)
    files = {"prices_exp.py", "released/prices_exp.parquet"}
    assert made["written"] == ["prices_exp.py"] and set(made["files"]) == files and made["used_by"] == ["dear"]
    after = production(root)
    moved = {each for each in after if after[each] != before.get(each) and "manifests" not in each}
    assert moved == files | {"ledger"}, "production is as it was"
    assert run(root, "release_rows", **words)["written"] == []
    with Project(root) as project:
        (told,) = project.ledger.rows(act="branch.release")
    assert (told.actor, told.detail["note"]) == ("tina", words["note"])
    assert (told.detail["changed"], told.detail["new"], told.detail["gone"]) == (6, 0, 1)
    wanted = rows(root)
    run(root, "refresh")
    for name in ("id", "price", "twice"):
        assert rows(root, "prices_exp", "prod")[name].equals(wanted[name])
    assert run(root, "check", tables=["prices_exp"])["reports"], "it has the contract of the table it comes from"
    run(root, "discard", name="exp")
    (root / "prices/4.csv").write_text(day(4))
    run(root, "refresh")
    assert rows(root, "prices_exp", "prod").height == 49, "it is true of what the source brings later too"

    raised(root, set=["price = 0"])
    assert run(root, "release_rows", **words)["written"], "files that a release wrote may be written again"
    (root / "prices_exp.py").write_text((root / "prices_exp.py").read_text() + "# mine\n")
    raised(root, set=["price = 1"])
    with pytest.raises(Refused, match="changed by somebody"):
        run(root, "release_rows", **words)


def killed(root: Path, point: str, command: str, env: str, **words: Any) -> None:
    code = (
        "import sys, json; from millstream.project import Project\n"
        "root, env, command, words = sys.argv[1:]\n"
        "with Project(root, lock=True, environment=env) as project: project.run(command, json.loads(words))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root), env, command, json.dumps({"actor": "tina", **words})],
        env=os.environ | {VARIABLE: point}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


ALL = (*EDIT_POINTS, *DISCARD_POINTS)


@pytest.mark.parametrize(
    "points", [("edit.registering", "discard.moved"), pytest.param(ALL, marks=pytest.mark.nightly)], ids=["few", "all"]
)
def test_a_kill_in_the_midst_leaves_nothing_half(root: Path, points: tuple[str, ...]) -> None:
    before, was = production(root), rows(root, env="prod")
    run(root, "branch", env="exp")
    for point in (each for each in EDIT_POINTS if each in points):
        done = point == EDIT_POINTS[-1]
        killed(root, point, "edit", "exp", table="prices", set=["price = 5"], where="id = 1")
        with Project(root, environment="exp") as project:
            assert all(each.ok for each in project.lake.verify())
            assert bool(edits.tables(project.state)) is done
        assert rows(root).equals(was) is not done
    raised(root, set=["price = 5"], where="id = 1"), raised(root)
    own = {each.name for each in (root / ".millstream/env/exp/lake").rglob("*.parquet")}
    with Project(root, environment="exp") as project:
        told = edits.history(project.state, "prices")
        assert own == {file.path.removeprefix("branch://") for each in told for file in each.added}
    assert production(root) == before
    (root / "prices/3.csv").write_text(day(3))
    run(root, "refresh")
    killed(root, "edit.registering", "rebase", "exp")
    assert rows(root).filter(pl.col("id") == 1)["price"].item() == 5
    assert run(root, "rebase", env="exp")["rebased"][0]["base"] == 3
    for point in (each for each in DISCARD_POINTS if each in points):
        killed(root, point, "discard", "prod", name="exp")
        left = [each["name"] for each in run(root, "branches")["branches"]]
        assert left == (["exp"] if point == DISCARD_POINTS[0] else [])
        run(root, "branch", env="exp")
    with Project(root) as project:
        assert len(project.ledger.rows(act="branch.discard")) == len({"discard.moved", "discard.told"} & set(points))
    assert not list((root / ".millstream/env").glob(".gone-*"))


def test_a_changed_record_of_an_edit_is_found(root: Path) -> None:
    raised(root)
    with closing(sqlite3.connect(root / ".millstream/env/exp/state.db")) as opened, opened:
        opened.execute("UPDATE table_edits SET body = CAST(replace(body, 'store = 3', 'store = 2') AS BLOB)")
    with Project(root, environment="exp") as project:
        wrong = [each.says for each in project.lake.verify() if not each.ok]
    assert wrong == ["what is kept of this edit is not as the ledger tells"]


def test_what_production_brought_meanwhile_is_new_in_the_branch_and_no_duplicate(root: Path) -> None:
    """A rebased branch checks production's new rows as new, and trusts the correction of a row it had set aside."""
    text = (root / "shop.py").read_text()
    (root / "shop.py").write_text(text.replace("checks=[", 'checks=[checks.between("price", 0, 50), '))
    (root / "prices/3.csv").write_text(day(3).replace(",3.5", ",93.5"))
    run(root, "refresh")
    raised(root, where="id = 1")
    run(root, "check", env="exp")
    assert rows(root).filter(pl.col("id") == 303).is_empty(), "set aside in the branch"
    (root / "prices/3.csv").write_text(day(3))
    (root / "prices/4.csv").write_text(day(4))
    run(root, "refresh")
    run(root, "rebase", env="exp")
    (report,) = run(root, "check", env="exp")["reports"]
    assert [each["says"] for each in report["results"] if not each["ok"]] == [] and report["rows"] == 21
    found = rows(root)
    assert found.filter(pl.col("id") == 303)["price"].to_list() == [3.5] and found.height == 50
    with Project(root, environment="exp") as project:
        assert all(each.ok for each in project.lake.verify())
