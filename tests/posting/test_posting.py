"""Posted facts: safe when acknowledged, once whatever is sent again, served at once, in the lake by batches."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from millstream import Table, sources
from millstream.errors import BadData, NotFound, Refused, Unavailable, UserError
from millstream.features.online import LmdbOnline, Lookup
from millstream.lake import Lake
from millstream.lake.ingest import posted as posted_rows
from millstream.project import Project
from millstream.project.tables.data import keep_served, serve_plans
from millstream.project.tables.posting import catch_up, post
from millstream.state import posted, versions
from millstream.testing import Bench, refused
from millstream.types import parse_instant, to_micros

from . import shop
from .shop import computed, order, served


def test_a_fact_is_served_at_once_and_in_the_lake_by_batch(project: Project) -> None:
    before = served(project)
    assert before == computed(project)
    head = project.lake.head("orders").version
    said = post(project, table="orders", rows=[order(1000, minutes=1, amount=900.0), order(1001, minutes=2)])
    assert (said["accepted"], said["repeated"], said["sequence"], said["future"]) == (2, 0, 2, 0)
    assert served(project) == before  # acknowledged, not applied yet
    assert catch_up(project).facts == 2
    now = served(project)
    assert now["form.n"] == before["form.n"] + 2 and now["form.last"] == now["form.top"] == 900.0
    assert now["form.word"] == "hi"
    assert project.lake.head("orders").version == head
    project.run("check", {})
    assert project.lake.head("orders").version == head + 1
    assert served(project) == now == computed(project)
    assert posted.counts(project.state)["orders"] == (2, 0)  # the version has them: nothing is left in the journal
    assert project.lake.verify()[0].ok and all(each.ok for each in project.lake.verify())


def test_sent_again_nothing_changes(project: Project) -> None:
    rows = [order(1000, minutes=1), order(1001, minutes=2)]
    post(project, table="orders", rows=rows)
    catch_up(project)
    before = served(project)
    for _ in range(2):
        said = post(project, table="orders", rows=[*rows, rows[0]])
        assert (said["accepted"], said["repeated"]) == (0, 3)
        catch_up(project)
        assert served(project) == before
        project.run("check", {})
    assert project.lake.read("orders").frame.height == 202


def test_corrections_late_facts_and_moves_to_another_entity(project: Project) -> None:
    post(project, table="orders", rows=[order(1000, minutes=30, amount=10.0)])
    catch_up(project)
    first = served(project), served(project, "b")
    post(project, table="orders", rows=[order(1000, minutes=30, amount=20.0, shop="b", known=0)])  # it was b's
    post(project, table="orders", rows=[order(2000, minutes=3 * 60 * 24 * 30, known=0)])  # three months late
    catch_up(project)
    a, b = served(project), served(project, "b")
    assert a["form.n"] == first[0]["form.n"] and a["form.n_1h"] == first[0]["form.n_1h"] - 1
    assert b["form.n"] == first[1]["form.n"] + 1 and b["form.last"] == 20.0
    project.run("check", {})
    assert (a, b) == (computed(project), computed(project, "b"))


def test_a_fact_leaves_its_window_without_another(project: Project) -> None:
    post(project, table="orders", rows=[order(1000, minutes=1)])
    catch_up(project)
    leaves = shop.now() - timedelta(minutes=1) + timedelta(hours=1)
    early, late = served(project, at=leaves - timedelta(microseconds=1)), served(project, at=leaves)
    assert early["form.n_1h"] == late["form.n_1h"] + 1


def test_a_table_of_posted_rows_alone(project: Project) -> None:
    assert served(project)["seen.visits_1h"] == 0
    row = {"id": 1, "shop": "a", "at": f"{shop.now() - timedelta(minutes=3):%FT%TZ}"}
    post(project, table="visits", rows=[row, row])
    catch_up(project)
    assert served(project)["seen.visits_1h"] == 1
    project.run("check", {})
    assert served(project)["seen.visits_1h"] == computed(project)["seen.visits_1h"] == 1
    assert post(project, table="visits", rows=[row])["repeated"] == 1  # its first arrival stays


def test_a_row_that_a_check_puts_aside_is_not_served(project: Project) -> None:
    before = served(project)
    said = post(project, table="orders", rows=[order(1000), order(1001, amount=5000.0, minutes=1)])
    assert [(each["row"], each["check"]) for each in said["quarantined"]] == [(1, "between orders.amount")]
    catch_up(project)
    now = served(project)
    assert now["form.n"] == before["form.n"] + 1 and now["form.top"] < 5000
    project.run("check", {})
    assert served(project) == now == computed(project)


def test_files_and_posts_go_side_by_side(project: Project) -> None:
    post(project, table="orders", rows=[order(1000, minutes=1)])
    at = shop.now() - timedelta(minutes=9)
    with (project.root / "orders.csv").open("a") as file:
        file.write(f"\n500,a,{at:%FT%TZ},{at:%FT%TZ},3.5,x,true\n")
    catch_up(project)
    post(project, table="orders", rows=[order(1001, minutes=1)])
    project.run("check", {})
    catch_up(project)
    assert served(project) == computed(project)
    assert project.lake.read("orders").frame.height == 203


def test_bad_rows_are_refused_whole_and_named(project: Project) -> None:
    good = order(1000)
    for wrong, says in (
        ({**good, "amuont": 1.0}, "'amuont' is not one of its columns"),
        ({key: each for key, each in good.items() if key != "amount"}, "lacks amount"),
        ({**good, "id": None}, "id is null"),
        ({**good, "at": None}, "at is null"),
        ({**good, "id": True}, "id is True"),
        ({**good, "amount": "7"}, "amount is '7'"),
        ({**good, "at": "yesterday"}, "at is 'yesterday'"),
        ({**good, "at": "2024-01-31T10:00:00"}, "at is '2024-01-31T10:00:00'"),
        ({**good, "id": 2**63}, "id is 9223372036854775808"),
        ({**good, "amount": float("inf")}, "amount is inf"),
        ({**good, "amount": 10**400}, "amount is 1000"),
        ("no object", "is not an object"),
    ):
        with pytest.raises(BadData) as told:
            post(project, table="orders", rows=[good, wrong])
        assert "row 1" in told.value.happened and says in told.value.happened
        assert ("64 bits" in f"{told.value.expected}") == (wrong in ({**good, "id": True}, {**good, "id": 2**63}))
    assert posted.counts(project.state) == {}
    with pytest.raises(UserError, match="0 rows"):
        post(project, table="orders", rows=[])
    with pytest.raises(NotFound):
        post(project, table="odrers", rows=[good])
    with pytest.raises(Refused, match="is computed from orders"):
        post(project, table="whole", rows=[good])
    assert post(project, table="orders", rows=[order(1, minutes=-60)])["future"] == 1


def test_nulls_repeats_and_the_future_are_no_trouble(project: Project) -> None:
    ahead = order(1003, minutes=-30)
    post(project, table="orders", rows=[order(1000, shop=None), order(1001, amount=None), ahead])
    catch_up(project)
    for at in (shop.now(), shop.now() + timedelta(minutes=29, seconds=59), shop.now() + timedelta(minutes=30)):
        project.run("check", {})
        assert served(project, at=at) == computed(project, at=at)


def test_an_unseen_entity_and_a_missing_one(project: Project) -> None:
    assert served(project, "nobody")["form.n"] == 0
    post(project, table="orders", rows=[order(1000, shop="nobody")])
    catch_up(project)
    assert served(project, "nobody")["form.n"] == 1


def test_a_restart_goes_on_from_the_journal(project: Project) -> None:
    post(project, table="orders", rows=[order(1000, minutes=1)])
    root = project.root
    project.close()
    with Project(root, lock=True) as again:
        catch_up(again)
        assert served(again)["form.last"] == 7.0
        post(again, table="orders", rows=[order(1001, minutes=0.5, amount=8.0)])
        head = versions.head(again.state, "orders")
        again.run("ingest", {})
        assert versions.head(again.state, "orders") != head
        assert served(again)["form.last"] == 8.0


def test_a_lost_store_is_rebuilt_with_what_the_journal_holds(project: Project) -> None:
    post(project, table="orders", rows=[order(1000, minutes=1)])
    catch_up(project)
    before, root = served(project), project.root
    project.close()
    for each in (root / ".millstream" / "online").iterdir():
        each.unlink()
    with Project(root, lock=True) as again:
        keep_served(again)
        assert served(again) == before


def test_status_says_what_is_served_and_what_waits(project: Project) -> None:
    post(project, table="orders", rows=[order(1000, minutes=1)])
    form, seen, _ = project.run("status", {})["served"]
    assert (form["view"], form["entities"], form["waiting"], form["posted"]) == ("form", 2, 1, 0)
    assert form["bytes"] > 100 and not form["stopped"] and seen["entities"] == 0
    catch_up(project)
    form = project.run("status", {})["served"][0]
    assert (form["waiting"], form["posted"], form["facts_held"]) == (0, 1, 201)

    said: list[str] = []
    project.said = said.append
    serve_plans(project, [])
    assert said == []
    plan = shop.plan(project)
    other = {name: each for name, each in plan.views[0].features.items() if name != "top"}
    changed = msgspec.structs.replace(plan, views=(msgspec.structs.replace(plan.views[0], features=other),))
    serve_plans(project, [changed])
    assert said == [
        "served features: computes form: its definition changed",
        "served features: removes form: no release uses it",
        "served features: removes seen: no release uses it",
        "served features: removes unseen: no release uses it",
    ]


def test_a_view_whose_facts_do_not_fit_is_refused_by_name(project: Project) -> None:
    project.live._bound_bytes = 1000
    post(project, table="orders", rows=[order(1000, minutes=1)])
    with pytest.raises(Refused, match="the facts behind form"):
        catch_up(project)
    before = served(project)
    project.run("check", {})  # it follows the versions of its table
    assert served(project)["form.n"] == before["form.n"] + 1


def test_an_entity_that_grows_too_large_is_not_served_rather_than_old(project: Project) -> None:
    project.writer._bound_bytes = 400
    post(project, table="orders", rows=[order(1000 + each, minutes=each + 1) for each in range(20)])
    catch_up(project)
    with pytest.raises(Unavailable, match="ends at"):
        served(project)
    stopped = [each for each in project.run("status", {})["served"] if each["stopped"]]
    assert [each["view"] for each in stopped] == ["form", "unseen"] and "would keep" in stopped[0]["stopped"]


def test_a_store_lost_while_it_is_read_is_rebuilt_while_answers_go_on(project: Project) -> None:
    post(project, table="orders", rows=[order(1000, minutes=1)])
    catch_up(project)
    before, plan, root, online = served(project), shop.plan(project), project.root, project.places.online
    project.close()
    reader = LmdbOnline(online, readonly=True)  # as a scoring server's
    lookup, at = Lookup(plan, reader), to_micros(shop.now() + timedelta(minutes=1))
    answer = lookup.lookup_one({"shop": "a"}, at)
    shutil.rmtree(online)
    reader._look_at = 0.0
    assert repr(lookup.lookup_one({"shop": "a"}, at)) == repr(answer) and reader.lost
    with Project(root, lock=True) as again:
        again.run("check", {})
        assert served(again) == before
        post(again, table="orders", rows=[order(1001, minutes=0.5, amount=99.0)])
        catch_up(again)
        shutil.rmtree(online)  # and while its writer has it open
        again.run("check", {})
        assert served(again)["form.last"] == 99.0
    reader._look_at = 0.0
    assert lookup.lookup_one({"shop": "a"}, at)[plan.names.index("form.last")] == 99.0 and not reader.lost
    reader.close()


def test_rows_leave_the_journal_although_no_release_is_live(tmp_path: Path) -> None:
    (tmp_path / "millstream.toml").write_text('name = "bare"\n')
    (tmp_path / "bare.py").write_text(
        "from millstream import Table, sources\n"
        'seen = Table("seen", source=sources.Posted({"id": "bigint", "at": "timestamptz"}),'
        ' key="id", event_time="at")\n'
    )
    with Project(tmp_path, lock=True) as project:
        post(project, table="seen", rows=[{"id": 1, "at": "2024-01-01T00:00:00Z"}], actor="ann")
        assert posted.newest(project.state, "seen") == "2024-01-01T00:00:00.000000+00:00"
        project.run("check", {})
        assert posted.counts(project.state) == {"seen": (1, 0)}
        assert posted.newest(project.state, "seen") is None and posted.by(project.state, "seen", after=0, upto=1) == {}
        assert project.lake.read("seen").frame.height == 1
        assert project.run("catalog", {"table": "seen"})["table"]["seconds_behind"] > 86_400


def test_what_is_served_is_kept_on_although_nothing_comes(project: Project) -> None:
    project.writer.amend({}, {
        view: msgspec.structs.replace(each, until_us=to_micros(shop.now() + timedelta(hours=30)))
        for view, each in project.writer.applied().items()
    })  # fmt: skip
    project.run("check", {})
    ends = [parse_instant(each["until"]) for each in project.run("status", {})["served"]]
    assert min(ends) > shop.now() + timedelta(days=3)


def test_columns_that_a_table_of_posted_rows_gains(tmp_path: Path) -> None:
    columns = {"id": "bigint", "at": "timestamptz"}

    def put(lake: Lake, table: Table, row: dict[str, object]) -> None:
        kinds = posted_rows.kinds_of(lake.catalog, table)
        [said] = posted_rows.admit([row], kinds, table, now=shop.now())
        with lake.catalog.state.transact() as tx:
            posted.add(tx, "t", [posted.Posted(posted_rows.mark_of(said, table), msgspec.json.encode(said), "now")])
        posted_rows.seal(lake.catalog, table)

    table = Table("t", source=sources.Posted(columns), key="id", event_time="at")
    with Bench(tmp_path, [table]) as lake:
        lake.refresh(actor="suite")
        put(lake, table, {"id": 1, "at": "2024-01-01T00:00:00Z"})
        lake.refresh(actor="suite")
    wider = Table("t", source=sources.Posted({**columns, "note": "varchar"}), key="id", event_time="at")
    with Bench(tmp_path, [wider]) as lake:
        put(lake, wider, {"id": 2, "at": "2024-01-02T00:00:00Z", "note": "x"})
        refused(lambda: lake.refresh(actor="suite"), why="nobody has agreed to the column yet")
        lake.accept_schema("t", actor="suite")
        lake.refresh(actor="suite")
        assert lake.read("t").frame.select("id", "note").rows() == [(1, None), (2, "x")]
