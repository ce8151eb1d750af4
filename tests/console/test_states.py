"""Pages before anything happened, and with far more than they were drawn for: nothing sticks out of them."""

from copy import deepcopy
from importlib.resources import files

import pytest

from millstream.cli.examples import write
from millstream.console import profiled
from millstream.console.cataloged import table_page
from millstream.console.pages import VIEWS, _environment
from millstream.project import Project

SIZES = {"desk": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
LONG = "probability_that_a_flight_from_new_york_arrives_more_than_an_hour_late"
ASKED = {
    "board": {}, "model": {"model": "late"}, "decision": {"decision": 2}, "decisions": {}, "catalog": {},
    "table": {"table": "flights"}, "lineage": {"name": "movements.dep_delay"},
}  # fmt: skip
"""Page, by its template, to the arguments of its command."""


def whole(view, record):
    """Draw a page with its style inside, so that it needs no server."""
    page = _environment().get_template("page.html").render(
        page=view.shown(record), part=view.template, told=None, poll="", every=3600
    )  # fmt: skip
    style = (files("millstream.console") / "static" / "style.css").read_text(encoding="utf-8")
    return page.replace('<link rel="stylesheet" href="/static/style.css">', f"<style>{style}</style>")


def much(command, record):
    """Give a record long names, many models and many alarms."""
    said = deepcopy(record)
    if command == "status":
        said["models"] = [{**said["models"][0], "name": f"{LONG}_{number}"} for number in range(4)]
        alarm = {
            "kind": "drift", "model": LONG, "subject": f"carrier_form.{LONG}", "severity": "stop", "value": 9.0,
            "since": "2013-01-05T05:00:00+00:00", "threshold": 0.5, "says": "far from what it was", "next": "nothing",
        }  # fmt: skip
        said["alarms"], said["alarms_open"] = [alarm] * 9, 1000
        said["tables"] = [{**each, "name": f"{each['name']}_{LONG}"} for each in said["tables"]]
        said["decisions"] = [{**each, "model": LONG, "name": f"{LONG}@2"} for each in said["decisions"]]
    if command == "look":
        said["model"]["name"] = said["what"]["label"] = LONG
        said["versions"] *= 5
    if command == "decision":
        said["model"], said["name"] = LONG, f"{LONG}@2"
        side = {"rows": 12_345, "challenger": 0.61, "champion": 0.62, "worse": True}
        said["segments"] = [{**side, "segment": f"carrier {LONG}"}] * 5
        said["by_horizon"] = [{"ahead": f"{day} days", "challenger": 3.2, "baseline": 4.5} for day in range(7)]
    if command == "catalog" and "tables" in said:
        said["tables"] = [{**each, "name": f"{each['name']}_{LONG}", "late": True} for each in said["tables"]] * 12
    if command == "catalog" and "column_list" in said:
        wide = {"name": LONG, "how": f"{LONG} + 1", "about": "what it is", "sensitive": {"personal": f"a.{LONG}"}}
        said["column_list"] = [{**said["column_list"][0], **wide}] * 100
    if command == "lineage":
        deep = []
        for number in range(8):
            deep = [{"kind": "column", "name": f"t.{LONG}_{number}", "how": ["rows"], "says": LONG, "again": True,
                     "children": deep}, {"kind": "more", "name": "88 more", "count": 88}]  # fmt: skip
        said["upstream"], said["name"] = deep, f"t.{LONG}"
        said["says"] = ["a step makes it"]
    if command == "decisions":
        said["decisions"] = [{**each, "name": f"{LONG}@2"} for each in said["decisions"]] * 3
    return said


@pytest.fixture(scope="module")
def pages(waiting, tmp_path_factory):
    """Write every page, empty and full, to a file."""
    folder = tmp_path_factory.mktemp("states")
    write("flights", folder / "new")
    with Project(folder / "new", lock=True) as new, Project(waiting) as old:
        for view in VIEWS:
            full = much(view.command, old.run(view.command, ASKED[view.template.partition(".")[0]]))
            (folder / f"full-{view.template}").write_text(whole(view, full), encoding="utf-8")
            if view.command not in ("decision", "lineage"):
                empty = whole(view, new.run(view.command, ASKED[view.template.partition(".")[0]]))
                (folder / f"empty-{view.template}").write_text(empty, encoding="utf-8")
        profile = profiled.page(old.run("profile", {"table": "weather", "label": "temp"}))
        (folder / "profile.html").write_text(profile, encoding="utf-8")
    return sorted(folder.glob("*.html"))


VIOLATIONS = "axe.run({resultTypes: ['violations']}).then(found => found.violations)"
"""What axe finds wrong; what it finds right, it need not say of each of some thousand elements."""


@pytest.mark.parametrize("size", SIZES)
def test_every_page_in_every_state_fits_and_reads_well(browser, axe, pages, size):
    context = browser.new_context(viewport=SIZES[size])
    page = context.new_page()
    assert len(pages) == 13
    for each in pages:
        page.goto(each.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"], each.name
        page.evaluate(axe)
        found = page.evaluate(VIOLATIONS)
        said = [(each.name, one["id"], one["impact"], one["nodes"][0]["html"]) for one in found]
        assert said == []
    context.close()


def test_empty_pages_say_what_to_do_next(pages):
    said = {each.name: each.read_text(encoding="utf-8") for each in pages}
    assert "millstream check" in said["empty-board.html"]
    assert "Nothing was checked or judged yet" in said["empty-board.html"]
    assert "millstream release MODEL" in said["empty-decisions.html"]
    assert "millstream release late" in said["empty-model.html"]


CUT = """[...document.querySelectorAll('main *')].filter(each => {
  const style = getComputedStyle(each);
  return (each.scrollWidth > each.clientWidth + 1 && /auto|hidden|scroll/.test(style.overflowX))
    || (each.scrollHeight > each.clientHeight + 1 && /auto|hidden|scroll/.test(style.overflowY)
        && style.maskImage === 'none') || (each.tagName === 'TD' && each.scrollWidth > each.clientWidth + 1);
}).map(each => each.className + ' ' + (each.getAttribute('aria-label') || ''))"""
"""What is cut off without a fade that says so."""
FOLDED = """[...document.querySelectorAll('td.on')].filter(each => {
  const range = document.createRange();
  range.selectNodeContents(each);
  const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
  return /^\\d+ \\w+ \\d{4}$/.test(each.textContent) && lines.size > 1;
}).map(each => each.textContent)"""
"""Dates that go on in a second line."""


@pytest.mark.parametrize("size", {"desk": (1280, 900), "phone": (390, 844)}.items(), ids=lambda each: each[0])
def test_nothing_is_cut_off_in_a_new_or_a_common_project(browser, waiting, pages, tmp_path, size):
    context = browser.new_context(viewport=dict(zip(("width", "height"), size[1], strict=True)))
    page = context.new_page()
    with Project(waiting) as project:
        for view in VIEWS:
            record = common(project.run(view.command, ASKED[view.template.partition(".")[0]]))
            (tmp_path / view.template).write_text(whole(view, record), encoding="utf-8")
    for each in [*sorted(tmp_path.iterdir()), *(one for one in pages if one.name.startswith("empty-"))]:
        page.goto(each.as_uri())
        assert (each.name, page.evaluate(CUT)) == (each.name, [])
        assert (each.name, page.evaluate(FOLDED)) == (each.name, [])
    context.close()


def common(record):
    """Give a record what a project has that runs for some months: long dates, many versions, three alarms."""
    said = deepcopy(record)
    alarm = {
        "kind": "drift", "model": "late", "subject": "carrier_form.late_share_7d", "severity": "warn", "value": 9.0,
        "since": "2013-09-25T05:00:00+00:00", "threshold": 0.5, "next": "millstream retrain late, or wait",
        "says": "it has moved 0.31 nats from what late@5 learnt from, since about 2013-07-30 " * 3,
    }  # fmt: skip
    if "alarms" in said:
        said["alarms"], said["alarms_open"] = [alarm] * 3, 3
    if "jobs" in said and "versions" in said:
        rows = said.get("versions", [])
        said["versions"] = (
            [{**rows[0], "built_at": "2013-09-28T05:00:00+00:00", "status": "candidate", "built_by": "system:loop"}] * 5
            if rows
            else rows
        )
    if "column_list" in said:
        said["versions"] = [
            {**each, "version": 243, "rows": 218_026, "at": "2013-09-28T05:00:00+00:00"} for each in said["versions"]
        ] * 3
    return said


def test_a_read_through_another_table_names_what_was_read(waiting):
    with Project(waiting) as project:
        through = table_page(project.run("catalog", {"table": "movements"}))["reads"]
        itself = table_page(project.run("catalog", {"table": "flights"}))["reads"]
    assert {each["version_says"] for each in through} == {"through flights@0"}
    assert {each["version_says"] for each in itself} == {"version 0"}
