"""A thousand of everything costs the page no more than a few, and several models stand in one table."""

from copy import deepcopy

import pytest

from millstream.console.pages import VIEWS, _environment
from millstream.project import Project
from millstream.state import State, alarms, decisions, jobs, notes, observations
from tests.console.test_decision import Page, drawn

AT = "2013-01-{:02d}T05:00:00+00:00"
ASKED = {
    "board": {}, "model": {"model": "late"}, "decision": {"decision": 2}, "decisions": {}, "catalog": {},
    "table": {"table": "flights"}, "lineage": {"name": "movements.dep_delay"},
}  # fmt: skip
"""Page, by its template, to the arguments of its command."""


@pytest.fixture
def opened(project):
    with Project(project, lock=True) as found:
        yield found


def fill(project, count, *, start=0):
    """Write so many alarms, decisions with notes, retrains, timeline entries and judged days, and reads beside them."""
    about = decisions.get(project.state, 2)
    kinds = (("performance", "roc_auc"), ("bias", "mean"), ("latency", "p95"), ("totals", "predictions"))
    with project.state.transact() as tx:
        for number in range(start, start + count):
            at = AT.format(1 + number % 28)
            alarms.put(tx, alarms.Alarm(
                id=f"a{number}", model="late", kind="drift", subject=f"f{number}", severity="warn", opened_at=at,
                since=at, last_at=at, value=1.0, threshold=0.5, says="far", next="millstream retrain late",
            ))  # fmt: skip
            said = {"release": decisions.get(project.state, 1).release, "trained_by": "tina", "verdict": about.verdict}
            made = decisions.ask(tx, model="late", at=at, by="tina", **said)
            decisions.answer(tx, made, "rejected", by="ada", at=at, reason="no")
            notes.add(tx, made, at=at, by="ben", text="hm")
            job = {"kind": "retrain", "model": "late", "step": "", "asked_at": at, "actor": "x", "reason": "y"}
            jobs.start(tx, jobs.Job(id=f"r{number}", status="running", **job))
            jobs.finish(tx, f"r{number}", status="done", at=at, result=None)
            project.ledger.append(tx, actor="system:loop", act="alarm.open", subject=f"f{number}", detail={"says": "x"})
            project.ledger.append(tx, actor="ann", act="table.read", subject="flights@1")
            day = f"{1900 + number // 336:04d}-{1 + number // 28 % 12:02d}-{1 + number % 28:02d}"
            measured = {"model": "late", "day": day, "value": 0.6, "threshold": None, "verdict": "ok", "says": ""}
            observations.put(
                tx, [observations.Observation(kind=kind, subject=name, **measured) for kind, name in kinds]
            )


@pytest.fixture
def read(monkeypatch):
    """Count the queries asked of the state, and the rows they give."""
    counted = {"queries": 0, "rows": 0}
    ask = State.query

    def query(self, sql, parameters=()):
        found = ask(self, sql, parameters)
        counted["queries"] += 1
        counted["rows"] += len(found)
        return found

    monkeypatch.setattr(State, "query", query)
    return counted


def test_a_thousand_of_everything_reads_and_draws_no_more_than_a_few_hundred(opened, read):
    def cost():
        found = {}
        for view in VIEWS:
            read.update(queries=0, rows=0)
            text = (
                _environment()
                .get_template(view.template)
                .render(page=view.shown(opened.run(view.command, ASKED[view.template.partition(".")[0]])))
            )
            found[view.template] = (read["queries"], read["rows"], len(text) // 5000)
        return found

    cost()  # the first look at tables settles what a crash may have left
    fill(opened, 300)
    few = cost()
    fill(opened, 700, start=300)
    assert cost() == few
    assert max(rows for _, rows, _ in few.values()) < 1500


def test_the_ledger_is_read_by_what_is_asked_for_not_row_by_row(opened):
    """The timeline and the history of a version use an index, so reads that nobody is told of cost them nothing."""
    state = opened.state
    seen = []
    state._connection.set_trace_callback(seen.append)
    opened.run("status")
    opened.run("decision", {"decision": 2})
    state._connection.set_trace_callback(None)
    asked = [each for each in seen if "FROM ledger WHERE" in each and " IN (" in each]
    assert len(asked) >= 3
    for each in asked:
        plan = " ".join(row["detail"] for row in state.query(f"EXPLAIN QUERY PLAN {each}"))
        assert "USING INDEX ledger_by_" in plan, (each, plan)


def test_many_alarms_are_counted_and_only_the_worst_shown(opened):
    fill(opened, 60)
    page = drawn(opened, "status")
    assert "60 open" in page.text
    assert "60 alarms are open" in page.text
    assert "And 50 more, less bad" in page.text
    assert len(opened.run("status")["alarms"]) == 50


def test_many_decisions_are_paged(opened):
    fill(opened, 45)
    seen, before = [], None
    while True:
        record = opened.run("decisions", {} if before is None else {"before": before})
        seen += [each["id"] for each in record["decisions"]]
        before = record["older"]
        if before is None:
            break
        assert (
            f"/decisions?before={before}"
            in drawn(opened, "decisions", **({"before": seen[-21]} if len(seen) > 20 else {})).links
        )
    assert seen == sorted(range(1, 48), reverse=True)
    assert (record["all"], record["waiting"]) == (47, 1)


def several(waiting):
    """A status of three models: one live, one that waits, one never trained."""
    with Project(waiting) as project:
        status = project.run("status")
    live = status["models"][0]
    asks, new = deepcopy(live), deepcopy(live)
    asks.update(name="churn", live=None, previous=None, waiting=7, alarms=3)
    new.update(name="<b>demand</b>", live=None, waiting=None, alarms=0, trained_at=None)
    new["next"] = {"says": "train one", "do": "millstream train demand"}
    status["models"] = [live, asks, new]
    return status


def test_several_models_stand_in_one_table(waiting):
    status = several(waiting)
    (view,) = [each for each in VIEWS if each.command == "status"]
    page = Page(_environment().get_template(view.template).render(page=view.shown(status)))
    assert {"/models/late", "/models/churn", "/models/churn#alarms", "/decisions/7", "/models/<b>demand</b>"} <= set(
        page.links
    )
    assert "millstream train demand" in page.text
    assert "7 waits" in page.text
    assert "not live yet" in page.text
    assert "never" in page.text
    assert "svg" not in page.tags
    assert "b" not in [tag for tag in page.tags if tag == "b"]
