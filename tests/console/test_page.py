"""The page in a real browser, over a real control plane."""

from itertools import pairwise
from pathlib import Path

import pytest

from millstream.project import Project
from tests.server import example


@pytest.fixture(scope="module")
def served(waiting, tmp_path_factory):
    """One project for the whole journey: its acts follow on each other."""
    root = example.copy(waiting, tmp_path_factory.mktemp("page") / "flights")
    with Project(root, lock=True) as project:
        project.run("release", {"model": "late", "actor": "tina"})
        project.run("train", {"model": "late", "actor": "tina", "until": "2013-01-27"})
        project.run("release", {"model": "late", "actor": "tina"})
    with example.up(root) as (_, control):
        yield root, control


@pytest.fixture(params=["desk"])
def page(browser, served, request):
    """The page, opened as a person opens it: by the printed address."""
    _, control = served
    size = {"width": 1280, "height": 900} if request.param == "desk" else {"width": 390, "height": 844}
    context = browser.new_context(viewport=size)
    opened, troubles = context.new_page(), []
    opened.on("pageerror", lambda wrong: troubles.append(str(wrong)))
    opened.on("console", lambda said: troubles.append(said.text) if "Content Security" in said.text else None)
    opened.goto(f"{control.address.url}/?token={control.address.token}")
    yield opened
    context.close()
    assert troubles == []


def went(page, path):
    """Go to another page of the same server."""
    page.goto(page.evaluate("location.origin") + path)


def polled(page):
    """Wait until the page has asked for itself once more, and shows the answer."""
    with page.expect_response(lambda answer: answer.url.endswith("/board") and answer.ok):
        pass
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def acts(root, act):
    with Project(root) as project:
        return [(row.actor, row.subject, row.detail["reason"]) for row in project.ledger.rows(act=act, newest=False)]


def live(root):
    with Project(root) as project:
        return project.run("status")["models"][0]["live"]["version"]


def decide(page, form, button, *, name, reason):
    page.fill(f"#{form}-actor", name)
    page.fill(f"#{form}-reason", reason)
    page.click(f"form:has(#{form}-actor) button:text-is('{button}')")


def test_it_opens_only_with_the_token(browser, served):
    _, control = served
    context = browser.new_context()
    page = context.new_page()
    assert page.goto(control.address.url).status == 401
    assert "needs its key" in page.inner_text("body")
    assert "flights" not in page.inner_text("body")
    assert page.goto(f"{control.address.url}/?token=wrong").status == 401
    assert page.goto(f"{control.address.url}/?token={control.address.token}").status == 200
    assert "token" not in page.url
    assert page.goto(control.address.url).status == 200  # the browser keeps it
    assert page.goto(f"{control.address.url}/?token=wrong").status == 401
    assert page.goto(control.address.url).status == 200  # and a wrong one does not replace it
    context.close()


@pytest.mark.parametrize("page", ["desk", "phone"], indirect=True)
def test_nothing_sticks_out(page):
    page.click("summary") if page.query_selector("summary") else None
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    small = page.evaluate(
        "[...document.querySelectorAll('button')].filter(each => each.getBoundingClientRect().height < 40).length"
    )
    assert small == 0


PAGES = ["/", "/decisions/2", "/decisions", "/models/late"]


@pytest.mark.parametrize(
    ("page", "scheme"), [("desk", "light"), ("phone", "light"), ("desk", "dark")], indirect=["page"]
)
def test_axe_finds_nothing(page, axe, scheme):
    page.emulate_media(color_scheme=scheme)
    for path in PAGES if scheme == "light" else PAGES[:2]:
        went(page, path)
        page.evaluate(axe)
        found = page.evaluate("axe.run({resultTypes: ['violations']})")
        assert len(found["passes"]) > 20
        said = [(path, each["id"], each["impact"], each["nodes"][0]["html"]) for each in found["violations"]]
        assert said == []


@pytest.mark.parametrize("page", ["phone"], indirect=True)
@pytest.mark.parametrize("path", PAGES[1:])
def test_no_page_sticks_out_of_a_phone(page, path):
    went(page, path)
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    small = "[...document.querySelectorAll('button, input, textarea')].filter(each => each.offsetHeight < 40).length"
    assert page.evaluate(small) == 0


def test_the_keyboard_goes_through_a_decision_in_the_order_it_is_read(page):
    went(page, "/decisions/2")
    named = """() => { const at = document.activeElement;
      return at.labels?.[0]?.textContent || at.getAttribute('aria-label') || at.textContent.trim(); }"""
    order = []
    while len(order) < 20 and "Keep the note" not in order:
        page.keyboard.press("Tab")
        order.append(page.evaluate(named))
    pages, form = ["flights", "Decisions", "Catalog"], ["Your name", "Reason", "Approve", "Reject"]
    assert order[:8] == ["Skip to content", *pages, *form]
    assert order[-3:] == ["Your name", "Note", "Keep the note"]
    headings = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(each => Number(each.tagName[1]))")
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_a_person_reads_a_decision_and_leaves_a_note(page, served):
    root, _ = served
    page.click("text=Read all about decision 2")
    page.wait_for_url("**/decisions/2")
    assert "May late version 2 go live?" in page.inner_text("h1")
    assert "What happens if I say no?" in page.inner_text("#decision-2")
    page.fill("#decision-2-reason", "half a reason")
    page.fill("#note-2-actor", "carla")
    page.fill("#note-2-text", "<b>mornings</b> first")
    page.click("button:text-is('Keep the note')")
    page.wait_for_selector(".told.good")
    assert "The note of carla is kept with decision 2" in page.inner_text("#told")
    page.wait_for_selector("#notes li:has-text('<b>mornings</b> first')")
    assert page.evaluate("document.activeElement.id") == "told"  # where a screen reader and a keyboard go on
    assert page.input_value("#note-2-text") == ""
    assert page.input_value("#decision-2-reason") == "half a reason"
    with Project(root) as project:
        (row,) = project.ledger.rows(acts=("decision.note",))
    assert (row.actor, row.subject, row.detail["says"]) == ("carla", "late@2", "<b>mornings</b> first")


def test_what_is_not_there_is_said_as_a_page(page, served):
    _, control = served
    assert page.goto(f"{control.address.url}/decisions/99").status == 404
    assert "There is no decision 99" in page.inner_text("body")
    assert page.goto(f"{control.address.url}/models/lat").status == 404
    assert "There is no model 'lat'" in page.inner_text("body")


def test_what_is_typed_survives_the_polling(page):
    page.fill("#decision-2-actor", "ada")
    page.focus("#decision-2-reason")
    page.keyboard.type("half a rea")
    page.evaluate("document.querySelector('#decision-2 .verdict').textContent = 'stale'")
    polled(page)
    page.wait_for_selector("#decision-2 .verdict:not(:text-is('stale'))")
    polled(page)
    assert page.input_value("#decision-2-actor") == "ada"
    assert page.input_value("#decision-2-reason") == "half a rea"
    assert page.evaluate("document.activeElement.id") == "decision-2-reason"
    page.keyboard.type("son")
    assert page.input_value("#decision-2-reason") == "half a reason"


def test_focus_is_seen(page):
    page.focus("#decision-2-reason")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Approve"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2


def test_a_reason_must_be_given(page, served):
    root, _ = served
    page.fill("#decision-2-actor", "ada")
    page.click("#decision-2 button:text-is('Approve')")
    assert page.evaluate("document.querySelector('#decision-2-reason').validity.valueMissing")
    polled(page)
    assert live(root) == 1


def test_the_trainer_is_refused_in_words_and_keeps_what_was_typed(page, served):
    root, _ = served
    decide(page, "decision-2", "Approve", name=" TINA ", reason="I made it")
    page.wait_for_selector(".told.bad")
    assert "TINA built late@2 and cannot approve it" in page.inner_text("#told")
    assert "somebody else" in page.inner_text("#told")
    assert page.input_value("#decision-2-reason") == "I made it"
    assert live(root) == 1


def test_a_person_rejects_and_nothing_changes(page, served):
    root, _ = served
    decide(page, "decision-2", "Reject", name="ada", reason="no better")
    page.wait_for_selector(".told.good")
    assert "what was live stays live" in page.inner_text("#told")
    page.wait_for_selector("#decision-2", state="detached")
    assert live(root) == 1
    assert acts(root, "decision.reject") == [("ada", "late@2", "no better")]


def test_forms_work_without_script(browser, served):
    root, control = served
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{control.address.url}/?token={control.address.token}")
    decide(page, "decision-3", "Reject", name="ada", reason="not now")
    page.wait_for_selector(".told.good")
    assert "Late@3 is rejected" in page.inner_text("#told")
    assert acts(root, "decision.reject")[-1] == ("ada", "late@3", "not now")
    context.close()


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_a_person_approves_and_it_is_live(page, served):
    root, _ = served
    page.click("text=Read all about decision 4")
    page.wait_for_url("**/decisions/4")
    decide(page, "decision-4", "Approve", name="ben", reason="<script>alert(1)</script> better")
    page.wait_for_selector(".told.good")
    assert "Late@4 is live on 1 server" in page.inner_text("#told")
    page.wait_for_selector("h1:text-is('late version 4: approved')")
    assert "Approved by ben" in page.inner_text("header")
    page.click("nav >> text=flights")
    page.wait_for_selector("#timeline")
    assert page.query_selector(".decision") is None
    assert "version 4 is live" in page.inner_text("#model-late")
    assert "<script>alert(1)</script> better" in page.inner_text("#timeline")
    assert live(root) == 4
    assert acts(root, "decision.approve")[-1] == ("ben", "late@4", "<script>alert(1)</script> better")


def test_a_person_rolls_back(page, served):
    root, _ = served
    page.click("summary")
    page.fill("#rollback-late-reason", "worse at night")
    polled(page)
    assert page.is_visible("#rollback-late-reason")  # still open, still typed
    decide(page, "rollback-late", "Roll back", name="on call", reason="worse at night")
    page.wait_for_selector(".told.good")
    assert "rolled back to late@1" in page.inner_text("#told")
    page.wait_for_selector("#model-late:has-text('version 1 is live')")
    assert live(root) == 1
    assert acts(root, "pointer.rollback") == [("on call", "late@1", "worse at night")]


def test_it_says_when_it_is_cut_off(page):
    page.route("**/board", lambda route: route.abort())
    page.wait_for_selector(".cut", state="visible")
    page.unroute("**/board")
    page.wait_for_selector(".cut", state="hidden")


def test_the_static_files_are_ours_alone():
    static = Path(__file__).parents[2] / "src" / "millstream" / "console" / "static"
    for each in static.iterdir():
        text = each.read_text(encoding="utf-8")
        assert "//cdn" not in text
        assert "@import" not in text
