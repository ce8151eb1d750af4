"""A decision in plain words, the notes kept with it, and the decisions taken before it."""

from html.parser import HTMLParser

import pytest

from millstream.console.pages import VIEWS, _environment
from millstream.errors import NotFound, UserError
from millstream.project import Project
from millstream.project.models import plain

EFFECT = {
    "kind": "flags", "of": "late_flights", "outcome": "arr_delay > 15", "rows": 10_000, "days": 30, "came_true": 2300,
    "since": "2013-01-02", "until": "2013-01-31", "share": 0.1, "threshold": None,
    "candidate": {"flagged": 1000.0, "right": 436.5, "miss": None},
    "champion": {"flagged": 1000.0, "right": 391.2, "miss": None},
    "baseline": {"flagged": 1000.0, "right": 230.0, "miss": None},
    "change": {"rows": 702, "added": 351, "added_right": 129, "dropped": 351, "dropped_right": 107, "closer": None},
}  # fmt: skip
NUMBERS = {
    **EFFECT, "kind": "numbers", "share": None, "came_true": None,
    "candidate": {"flagged": None, "right": None, "miss": 12.345},
    "champion": {"flagged": None, "right": None, "miss": 13.1},
    "baseline": {"flagged": None, "right": None, "miss": 20.0},
    "change": {"rows": 73, "added": None, "added_right": None, "dropped": None, "dropped_right": None, "closer": 5600},
}  # fmt: skip


def compared(against, gain, low, high, *, worse=0.02, passed=True, rows=10_000, days=30):
    said = {"against": against, "candidate": 0.63, "other": 0.6, "gain": gain, "low": low, "high": high}
    return {**said, "probability_worse": worse, "rows": rows, "days": days, "passed": passed, "says": "As counted."}


def verdict(effect=EFFECT, baseline=None, champion=None):
    beside = [
        baseline or compared("baseline", 0.1, 0.05, 0.2, worse=0.0),
        champion or compared("late@1", 0.02, 0.001, 0.04),
    ]
    return {"passed": True, "says": "it may go live", "goal": "roc_auc", "comparisons": beside, "effect": effect}


def answered(said, *, live="late@1", status="waiting", retrain=""):
    found = plain.answers(said, name="late@2", model="late", live=live, status=status, retrain=retrain)
    return {each["question"]: (each["answer"], each["tone"]) for each in found}


def test_the_answers_are_the_counts_in_words():
    found = answered(verdict())
    assert found["What changes, and for whom?"][0] == (
        "If you say yes, late@2 answers everybody who asks late about late flights, in place of late@1. They need to"
        " change nothing. About 7 of 100 late flights would be decided differently."
    )
    assert found["Is it better than late@1?"] == (
        "Yes, surely. Of 100 late flights it flags, 44 turn out so (arr_delay > 15); of 100 that late@1 flags, 39.",
        "good",
    )
    assert found["Is it better than the simple rule?"][0].endswith("of 100 that the simple rule flags, 23.")
    assert "in 98" in found["How sure is that?"][0]
    assert "better than the simple rule in 100 of them" in found["How sure is that?"][0]
    lately = found["What would it have done in the last month?"][0]
    assert lately.startswith(
        "From 2 January 2013 to 31 January 2013: 702 of 10,000 late flights would have been decided"
    )
    assert "flags 351 that late@1 lets pass, and 129 of those turned out so" in lately
    no = found["What happens if I say no?"][0]
    assert no.startswith("Nothing changes for anybody: late@1 goes on answering.")
    assert "`millstream retrain late`" in no
    said = "Of 100 late flights it flags, 44 turn out so (arr_delay > 15). Today: 39. With the simple rule: 23."
    assert plain.short(verdict()) == said


def test_numbers_are_told_by_how_far_they_are_off():
    found = answered(verdict(NUMBERS))
    assert found["Is it better than late@1?"][0] == "Yes, surely. It is off by 12.3 on average, late@1 by 13.1."
    assert "nearer to the truth than late@1 in 56 of 100" in found["What would it have done in the last month?"][0]
    assert plain.short(verdict(NUMBERS)) == "It is off by 12.3 on average. Today: 13.1. With the simple rule: 20."


@pytest.mark.parametrize(
    ("champion", "says", "tone"),
    [
        (compared("late@1", -0.02, -0.04, -0.001, passed=False), "No, it is surely worse.", "bad"),
        (compared("late@1", -0.02, -0.04, 0.01, passed=False), "No, it looks worse.", "bad"),
        (compared("late@1", 0.01, -0.01, 0.03), "Perhaps: the difference may be chance.", "warn"),
        (compared("late@1", -0.001, -0.01, 0.01), "About as good: no difference beyond chance.", "warn"),
        (compared("late@1", None, None, None, worse=None, rows=0), "That cannot be told. As counted.", "warn"),
    ],
)
def test_better_is_said_only_as_surely_as_it_is_known(champion, says, tone):
    answer = answered(verdict(champion=champion))["Is it better than late@1?"]
    assert answer[0].startswith(says)
    assert answer[1] == tone


def test_few_days_and_fewer_rows_beside_the_champion_are_said():
    champion = compared("late@1", 0.02, 0.001, 0.04, rows=400, days=3)
    sure = answered(verdict(baseline=compared("baseline", 0.1, 0.05, 0.2, days=4), champion=champion))[
        "How sure is that?"
    ]
    assert sure[0].endswith("That is few days: take it as rough.")
    assert "late@1 is compared on the 400 of them" in sure[0]
    assert sure[1] == "warn"


def test_rows_without_time_are_told_without_days():
    timeless = {**EFFECT, "of": "telecom", "days": 0, "since": "", "until": "", "champion": None, "change": None}
    said = verdict(timeless, baseline=compared("baseline", 0.1, 0.05, 0.2, worse=0.0, days=0))
    del said["comparisons"][1]
    found = answered(said, live=None)
    assert "days" not in " ".join(answer for answer, _ in found.values())
    assert found["How sure is that?"][0].startswith("Its recipe was judged on 10,000 rows of telecom, fitted each time")
    assert found["What would it have done on data it had not seen?"][0].startswith(
        "It would have flagged 1,000 of 10,000 rows of telecom, and 436 of those turned out so."
    )
    assert "no version before it" in found["Can it be taken back?"][0]


def test_how_often_it_is_wrong_is_both_ways():
    said = answered(verdict())["How often is it wrong?"][0]
    assert said == "Of 100 it flags, 56 turn out otherwise. Of 100 that turn out so, it lets pass 81."
    assert "How often is it wrong?" not in answered(verdict(NUMBERS))


def test_an_answer_no_count_tells_is_told_by_its_metric():
    found = answered(verdict(None))
    assert found["Is it better than late@1?"][0] == "Yes, surely. By roc_auc it reaches 0.63, late@1 0.6."


def test_a_question_asked_without_a_verdict_says_so():
    found = answered({})
    assert "nobody measured it" in found["How sure is that?"][0]
    assert found["Is it better than late@1?"][0] == "Nobody compared the two on the same rows."
    assert plain.short({}) == ""
    assert "Until then no model does." in answered({}, live=None)["What changes, and for whom?"][0]
    assert "What happens if I say no?" not in answered({}, status="approved")


def test_figures_that_differ_are_not_rounded_alike():
    close = {**EFFECT, "champion": {"flagged": 1000.0, "right": 438.0, "miss": None}}
    assert "43.6 turn out so" in plain.short(verdict({**close, "candidate": {"flagged": 1000.0, "right": 436.0}}))
    none = {**EFFECT, "share": None, "threshold": 0.5, "baseline": {"flagged": 0.0, "right": 0.0, "miss": None}}
    assert plain.short(verdict(none)).endswith("With the simple rule: none are flagged.")


class Page(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.links = [], "", []
        self.feed(text)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [dict(attrs)["href"]] if tag == "a" else []

    def handle_data(self, data):
        self.text += f"{data} "


def drawn(project, command, **arguments):
    """Draw the part of the page that shows a command's record."""
    (view,) = [each for each in VIEWS if each.command == command]
    return Page(_environment().get_template(view.template).render(page=view.shown(project.run(command, arguments))))


@pytest.fixture
def opened(project):
    with Project(project, lock=True) as found:
        yield found


def test_a_real_decision_is_told_from_its_own_backtest(waiting):
    with Project(waiting) as project:
        first, record = (project.run("decision", {"decision": each}) for each in (1, None))
        page = drawn(project, "decision", decision=2)
    effect = record["effect"]
    assert effect["candidate"]["flagged"] == pytest.approx(effect["baseline"]["flagged"])
    assert effect["came_true"] / effect["rows"] == pytest.approx(
        effect["baseline"]["right"] / effect["baseline"]["flagged"], abs=0.02
    )
    assert record["status"] == "waiting"
    assert record["live"] == "late@1"
    assert (first["status"], first["decided_by"], first["reason"]) == ("approved", "ada", "better than the simple rule")
    assert "May late version 2 go live?" in page.text
    for each in record["answers"]:
        assert each["question"] in page.text
    assert "200 requests answered as at training" in page.text
    assert {"train", "release", "ask"} <= {each["kind"] for each in record["history"]}
    assert page.tags.count("form") == 2


def test_segments_and_days_ahead_stand_beside_what_they_are_compared_with(waiting):
    (view,) = [each for each in VIEWS if each.command == "decision"]
    with Project(waiting) as project:
        record = project.run("decision", {"decision": 2})
    record["segments"] = [
        {"segment": "carrier AA", "rows": 1234, "challenger": 0.71, "champion": 0.66, "worse": False},
        {"segment": "carrier <b>UA</b>", "rows": 900, "challenger": 0.58, "champion": None, "worse": True},
    ]
    record["by_horizon"] = [{"ahead": "7 days", "challenger": 3.25, "baseline": 4.5}]
    drawn = _environment().get_template(view.template).render(page=view.shown(record))
    text = Page(drawn).text
    assert "For whom worse for carrier <b>UA</b>" in text
    assert "segment rows this one late@1 carrier AA 1,234 0.710 0.660" in text
    assert "carrier <b>UA</b> worse 900 0.580 ·" in text
    assert "ahead this one the simple rule 7 days 3.250 4.500" in text
    record["segments"] = [{"for": "carrier AA", "this": "0.71", "in short": "surely better"}]
    record["segments_say"] = "Beside late@1 it is for none surely worse."
    text = Page(_environment().get_template(view.template).render(page=view.shown(record))).text
    assert "For whom Beside late@1 it is for none surely worse. for this in short carrier AA 0.71 surely better" in text
    assert "For whom" not in Page(_environment().get_template(view.template).render(
        page=view.shown({**record, "segments": []}))).text  # fmt: skip


def test_notes_are_kept_before_and_after_with_a_ledger_row_and_an_answer_to_the_auditor(opened):
    evil = "look at <script>alert(1)</script> mornings"
    opened.run("note", {"decision": 2, "text": evil, "actor": "carla"})
    opened.run("reject", {"decision": 2, "reason": "not now", "actor": "ada"})
    opened.run("note", {"decision": "2", "text": "mornings were fine", "actor": "ben"})
    rows = opened.ledger.rows(acts=("decision.note",), newest=False)
    assert [(each.actor, each.subject, each.detail["says"]) for each in rows] == [
        ("carla", "late@2", evil), ("ben", "late@2", "mornings were fine"),
    ]  # fmt: skip
    record = opened.run("decision", {"decision": 2})
    assert [(each["by"], each["text"]) for each in record["notes"]] == [("carla", evil), ("ben", "mornings were fine")]
    page = drawn(opened, "decision", decision=2)
    assert evil in page.text
    assert "script" not in page.tags
    assert "late version 2: rejected" in page.text
    assert "Rejected by ada" in page.text
    said = {each["question"]: each["answer"] for each in opened.run("audit", {"subject": "late@2"})["answers"]}
    assert "carla" in said["What was said about it?"]
    assert "mornings were fine" in said["What was said about it?"]
    assert opened.run("status")["timeline"][0]["says"] == "note on late@2: mornings were fine"
    assert opened.ledger.verify().ok


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"decision": 99, "text": "x"}, NotFound, "there is no decision 99"),
        ({"decision": "two", "text": "x"}, UserError, "'two' is no decision"),
        ({"decision": 2, "text": "  "}, UserError, "the note is empty"),
        ({"decision": 2, "text": "x" * 2001}, UserError, "the note has 2,001 characters"),
        ({"decision": 2, "text": "x", "actor": " "}, UserError, "the name of who writes is empty"),
    ],
)
def test_a_note_that_cannot_be_kept_is_refused_in_words(opened, arguments, kind, says):
    with pytest.raises(kind, match=says):
        opened.run("note", arguments)
    assert opened.ledger.rows(acts=("decision.note",)) == []


def test_decisions_taken_stay_reachable(opened):
    opened.run("reject", {"decision": 2, "reason": "not now", "actor": "ada"})
    page = drawn(opened, "decisions")
    assert page.links == ["/decisions/2", "/decisions/1"]
    assert "None waits." in page.text
    assert "Rejected by ada, 1 Feb 2013: not now" in page.text
    assert drawn(opened, "decisions", before=2).links == ["/decisions/1"]
    assert "asks for one" in drawn(opened, "decisions", before=1).text


def test_it_says_when_what_is_live_has_moved_on(opened):
    opened.run("release", {"model": "late", "actor": "tina"})  # the third version, beside the second
    opened.run("approve", {"decision": 3, "reason": "better", "actor": "ada"})
    assert opened.run("decision", {"decision": 2})["moved_on"] == "It was compared with late@1; late@3 is live now."
    assert "late@3 is live now" in drawn(opened, "status").text
