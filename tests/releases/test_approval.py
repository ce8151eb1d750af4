import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import Conflict, IntegrityError, NotFound, Refused, UserError
from millstream.releases.approval import same_person
from millstream.state import decisions, releases
from tests.releases.made import APPROVER, TRAINER, constant

VERDICT = {"passed": True, "says": "better by 0.02"}


def asked(house, release=None):
    return house.releases.ask(release or house.rehearsed(), VERDICT, actor="system:loop")


def status(house, decision):
    return releases.get(house.state, decision.release).status


def test_somebody_else_approves_and_everything_is_kept(house):
    question = asked(house)
    assert (question.status, question.trained_by, question.verdict) == ("waiting", TRAINER, VERDICT)
    assert decisions.waiting(house.state) == [question]
    answer = house.releases.decide(question.id, True, by=APPROVER, reason="better")
    assert (answer.status, answer.decided_by, answer.reason, answer.simulated) == (
        "approved",
        APPROVER,
        "better",
        False,
    )
    assert status(house, question) == "approved"
    assert decisions.waiting(house.state) == []
    row = house.ledger.rows(act="decision.approve")[0]
    assert (row.actor, row.subject, row.detail["reason"]) == (APPROVER, "late@1", "better")
    assert house.acts() == ["release.build", "release.rehearse", "decision.ask", "decision.approve"]


@pytest.mark.parametrize("name", [TRAINER, "Ann", " ann ", "ANN\t", "\uff41\uff4e\uff4e"])
def test_who_trained_cannot_approve_however_they_spell_their_name(house, name):
    question = asked(house)
    with pytest.raises(Refused, match="cannot approve"):
        house.releases.decide(question.id, True, by=name, reason="mine")
    assert decisions.get(house.state, question.id).status == "waiting"
    assert "decision.approve" not in house.acts()


def test_builder_trainer_and_who_registered_are_all_barred(house):
    house.ledger.record(actor="rita", act="model.register", subject="late@7", detail={"run": "run-1"})
    release = house.releases.build(house.artifact(0.5), actor="carl", trained_by="zoe", model_version=7)
    question = asked(house, release)
    for name in ("carl", "zoe", "rita"):
        with pytest.raises(Refused, match=f"{name} .* late@7 and cannot approve"):
            house.releases.decide(question.id, True, by=name, reason="mine")
    assert house.releases.decide(question.id, True, by=APPROVER, reason="fine").status == "approved"


def test_who_registered_a_version_whose_number_begins_alike_is_not_barred(house):
    house.ledger.record(actor=APPROVER, act="model.register", subject="late@71", detail={"run": "run-71"})
    release = house.releases.build(house.artifact(0.5), actor="carl", trained_by="zoe", model_version=7)
    assert house.releases.decide(asked(house, release).id, True, by=APPROVER, reason="fine").status == "approved"


def test_a_trainer_may_reject_their_own(house):
    question = asked(house)
    assert house.releases.decide(question.id, False, by=TRAINER, reason="I found a mistake").status == "rejected"
    assert status(house, question) == "rejected"


def test_a_system_cannot_approve_but_a_simulated_approval_says_that_it_is_one(house):
    question = asked(house)
    with pytest.raises(Refused, match="part of the system"):
        house.releases.decide(question.id, True, by="system:loop", reason="why not")
    answer = house.releases.decide(question.id, True, by="system:demo", reason="to show it", simulated=True)
    assert answer.simulated
    assert house.ledger.rows(act="decision.approve")[0].detail["simulated"] is True


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_a_decision_is_made_once(house, first, second):
    question = asked(house)
    house.releases.decide(question.id, first, by=APPROVER, reason="first")
    with pytest.raises(Conflict, match="already"):
        house.releases.decide(question.id, second, by="eve", reason="second")
    assert decisions.get(house.state, question.id).decided_by == APPROVER
    assert status(house, question) == ("approved" if first else "rejected")


@pytest.mark.parametrize("approve", [True, False])
@pytest.mark.parametrize(("by", "reason"), [("", "why"), (APPROVER, " "), ("  ", "")])
def test_a_name_and_a_reason_are_needed(house, approve, by, reason):
    question = asked(house)
    with pytest.raises(UserError, match="empty"):
        house.releases.decide(question.id, approve, by=by, reason=reason)
    assert decisions.get(house.state, question.id).status == "waiting"


def test_an_artifact_changed_after_the_question_voids_it(house):
    release = house.rehearsed()
    question = asked(house, release)
    (release.path / "model.json").chmod(0o644)
    (release.path / "model.json").write_bytes(b" " * release.said.files["model.json"].size)
    with pytest.raises(IntegrityError, match=r"void: model\.json"):
        house.releases.decide(question.id, True, by=APPROVER, reason="fine")
    assert decisions.get(house.state, question.id).status == "void"
    assert status(house, question) == "rejected"
    assert house.acts()[-1] == "decision.void"
    with pytest.raises(Conflict, match="already void"):
        house.releases.decide(question.id, True, by=APPROVER, reason="again")


def test_an_artifact_changed_after_the_approval_never_goes_live(house):
    release = house.approved()
    (release.path / "model.json").chmod(0o644)
    (release.path / "model.json").write_bytes(b" " * release.said.files["model.json"].size)
    with pytest.raises(IntegrityError, match=r"model\.json"):
        house.releases.swap("late", release, actor=APPROVER, reason="go")
    assert house.releases.live("late") is None


def test_asking_twice_is_one_question(house):
    release = house.rehearsed()
    question = asked(house, release)
    assert asked(house, release) == question
    answer = house.releases.decide(question.id, True, by=APPROVER, reason="fine")
    assert asked(house, release) == answer
    house.releases.swap("late", release, actor=APPROVER, reason="go")
    assert asked(house, release) == answer
    assert house.acts().count("decision.ask") == 1


def test_a_rejected_release_may_be_asked_about_anew(house):
    release = house.rehearsed()
    first = asked(house, release)
    house.releases.decide(first.id, False, by=APPROVER, reason="on a Friday?")
    with pytest.raises(Refused, match="rejected, not approved"):
        house.releases.swap("late", release, actor=APPROVER, reason="go")
    second = asked(house, release)
    assert second.id != first.id
    house.releases.decide(second.id, True, by=APPROVER, reason="it is Monday")
    assert [each.status for each in decisions.about(house.state, release.id)] == ["approved", "rejected"]


def test_an_approval_lapses_when_something_else_went_live(house):
    slow, quick = house.approved(0.1), house.approved(0.2)
    house.releases.swap("late", quick, actor=APPROVER, reason="first")
    with pytest.raises(Conflict, match="rehearsed against baseline"):
        house.releases.swap("late", slow, actor=APPROVER, reason="second")
    assert house.releases.rehearse(slow, constant, actor=TRAINER).ok
    with pytest.raises(Refused, match="candidate, not approved"):
        house.releases.swap("late", slow, actor=APPROVER, reason="second")
    assert decisions.about(house.state, slow.id)[0].status == "void"
    house.releases.decide(asked(house, slow).id, True, by=APPROVER, reason="still better")
    assert house.releases.swap("late", slow, actor=APPROVER, reason="second").name == slow.name


def test_decisions_nobody_asked_about(house):
    question = asked(house)
    with pytest.raises(NotFound, match="no decision 99"):
        house.releases.decide(99, True, by=APPROVER, reason="x")
    with pytest.raises(UserError, match="not a decision's number"):
        house.releases.decide("late", True, by=APPROVER, reason="x")
    assert house.releases.decide(str(question.id), False, by=APPROVER, reason="x").status == "rejected"


@given(st.text(max_size=12), st.text(max_size=12))
def test_being_the_same_person_is_an_equivalence(one, other):
    assert same_person(one, one)
    assert same_person(one, other) == same_person(other, one)
    assert same_person(one, f" {one.upper()} ") or one.upper().casefold() != one.casefold()
