from copy import deepcopy
from html.parser import HTMLParser

import pytest
from jinja2 import Environment, PackageLoader, StrictUndefined

from millstream.console.board import board
from millstream.project import Project

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """Tags, ids, labels and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.labelled, self.inputs, self.text = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        self.tags.append(tag)
        self.ids += [said["id"]] if "id" in said else []
        self.labelled += [said["for"]] if tag == "label" else []
        self.inputs += [said["id"]] if tag == "input" else []

    def handle_data(self, data):
        self.text += f"{data} "


@pytest.fixture(scope="module")
def status(waiting):
    with Project(waiting) as project:
        return project.run("status")


def drawn(status):
    environment = Environment(loader=PackageLoader("millstream.console"), autoescape=True, undefined=StrictUndefined)
    said = {"page": board(status), "told": None, "part": "board.html", "poll": "/board", "every": 1}
    return environment.get_template("page.html").render(**said)


def everything(status):
    """A status with something of everything that can be shown."""
    full = deepcopy(status)
    days = [f"2013-02-{day:02d}" for day in range(1, 29)]
    full["models"][0]["series"] = {
        "performance": [(day, 0.6) for day in days if day != "2013-02-08"],
        "limit": [(day, 0.55) for day in days],
        "baseline": [(day, 0.5) for day in days],
        "predicted": [(day, 0.2) for day in days],
        "actual": [(day, 0.25) for day in days],
        "latency": [(day, 3.5) for day in days],
    }
    full["models"][0]["previous"] = dict(full["models"][0]["live"], version=7)
    full["alarms"] = [
        {
            "severity": "page",
            "kind": "harm",
            "subject": "roc_auc",
            "since": "2013-02-14",
            "value": 0.31,
            "threshold": 0.1,
            "says": "worse than when released",
            "next": "millstream retrain late",
        },
        {
            "severity": "note",
            "kind": "outcomes",
            "subject": "arrived",
            "since": "2013-02-08T05:00:00+00:00",
            "value": 0.4,
            "threshold": None,
            "says": "outcomes incomplete",
            "next": "nothing: judging goes on",
        },
    ]
    full.update(alarms_open=2, alarms_serious=1)
    full["jobs"] = [{"status": "running", "model": "late", "step": "backtest"}]
    return full


def test_a_real_project_is_shown(status):
    page = Page(drawn(status))
    assert "A decision waits for you." in page.text
    assert "may late version 2 go live?" in page.text
    assert "Trained by tina, who cannot approve it" in page.text
    assert "version 1 is live since 1 Feb 2013" in page.text
    assert "names given here are asserted, not yet authenticated" in page.text.lower()
    assert "mlflow ui" in page.text
    assert "millstream.open(" in page.text
    for name in ("schedule", "movements", "weather", "planes", "airports", "flights"):
        assert name in page.text


def test_every_input_has_one_label_of_its_own(status):
    full = everything(status)
    full["decisions"].append(dict(full["decisions"][0], id=99))
    page = Page(drawn(full))
    assert len(page.ids) == len(set(page.ids))
    assert len(page.inputs) == 6
    assert sorted(page.inputs) == sorted(page.labelled)


def test_alarms_say_since_when_how_bad_and_what_next(status):
    page = Page(drawn(everything(status)))
    for said in (
        "2 open",
        "since 14 Feb 2013 · 0.31, limit 0.1",
        "millstream retrain late",
        "since 8 Feb 2013",
        "nothing: judging",
    ):
        assert said in page.text
    assert "1 alarm is open" in page.text
    assert "late is being retrained: backtest" in page.text


def test_charts_fill_and_roll_back_is_offered(status):
    page = Page(drawn(everything(status)))
    assert page.tags.count("svg") == 3
    assert "Roll back to version 7" in page.text
    assert "version 7 before it" in page.text


def test_an_empty_project_says_what_to_do(status):
    empty = deepcopy(status)
    model = empty["models"][0]
    model.update(live=None, previous=None, lately=None, series={})
    model.update(waiting=None, trained_at=None, next={"says": "train one", "do": "millstream train late"})
    empty.update(decisions=[], decisions_waiting=0, alarms=[], alarms_open=0, alarms_serious=0)
    empty.update(timeline=[], jobs=[], servers=[])
    page = Page(drawn(empty))
    assert "No model is live yet." in page.text
    assert "millstream train late" in page.text
    assert "Nothing yet." in page.text
    assert "none open" in page.text
    assert "form" not in page.tags
    empty.update(models=[], tables=[])
    bare = Page(drawn(empty))
    assert "No model is defined yet" in bare.text
    assert "No table is defined yet" in bare.text


def test_all_is_well_is_said_when_nothing_is_open(status):
    calm = deepcopy(status)
    calm.update(decisions=[], decisions_waiting=0, alarms=[], alarms_open=0, alarms_serious=0, jobs=[])
    assert board(calm)["headline"] == {"tone": "good", "says": "All is well. Nothing needs you."}


@pytest.mark.parametrize("where", ["project", "decision", "alarm", "timeline", "table", "model", "reason"])
def test_a_hostile_word_stays_a_word(status, where):
    full = everything(status)
    target = {
        "project": (full, "project"),
        "decision": (full["decisions"][0], "trained_by"),
        "alarm": (full["alarms"][0], "says"),
        "timeline": (full["timeline"][0], "actor"),
        "table": (full["tables"][0], "description"),
        "model": (full["models"][0], "goal"),
        "reason": (full["timeline"][0], "says"),
    }[where]
    target[0][target[1]] = EVIL
    page = Page(drawn(full))
    assert page.tags.count("script") == 2  # our own two files
    assert "img" not in page.tags
    assert "alert(2)" in page.text


def test_days_and_hours_are_the_projects_own(status):
    moved = deepcopy(status)
    moved["timezone"], moved["now"] = "America/New_York", "2013-02-01T04:59:00+00:00"
    assert board(moved)["clock_says"] == "Thu 31 Jan 2013, 23:59"
