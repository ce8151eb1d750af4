import threading

import pytest

from millstream.errors import Unavailable
from millstream.releases import project_outbox
from millstream.state import outbox
from tests.releases.made import APPROVER


@pytest.fixture
def two(house):
    """Return a house where late@1 and then late@2 went live, and nobody was told."""
    house.live(0.1, model_version=1)
    house.live(0.2, model_version=2)
    return house


class Registry:
    """A registry's alias, and the mails that were sent."""

    def __init__(self):
        self.champion, self.moves, self.mails = {}, [], []

    def alias(self, body):
        self.moves.append(body["model_version"])
        self.champion[body["model"]] = body["model_version"]

    def notify(self, body):
        if body["id"] not in self.mails:
            self.mails.append(body["id"])

    @property
    def handlers(self):
        return {"alias": self.alias, "notify": self.notify}


def test_everything_is_told_once_and_an_alias_only_where_it_ends(two):
    registry = Registry()
    assert two.releases.project(registry.handlers) == 4
    assert registry.moves == [2] and len(registry.mails) == 2
    assert two.releases.project(registry.handlers) == 0
    assert outbox.pending(two.state) == []


def test_telling_again_after_a_stop_changes_nothing(two):
    registry = Registry()

    def stopped(body):
        registry.alias(body)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        two.releases.project({"alias": stopped})
    assert [each.kind for each in outbox.pending(two.state)] == ["notify", "alias", "notify"]
    two.releases.project(registry.handlers)
    assert registry.champion == {"late": 2} and registry.moves == [2, 2]


def test_what_cannot_be_told_waits_with_its_reason_and_holds_up_nobody_else(two):
    registry = Registry()

    def down(body):
        raise Unavailable("the registry is down")

    assert two.releases.project({"alias": down, "notify": registry.notify}) == 3
    left = outbox.pending(two.state)
    assert [(each.kind, each.attempts) for each in left] == [("alias", 1)]
    assert "the registry is down" in left[0].says
    assert two.releases.project(registry.handlers) == 1
    assert registry.champion == {"late": 2}


def test_a_kind_nobody_handles_stays(two):
    assert project_outbox(two.state, {}, clock=two.clock) == 0
    assert len(outbox.pending(two.state)) == 4


def test_tellers_take_turns(two):
    registry = Registry()
    threads = [threading.Thread(target=two.releases.project, args=(registry.handlers,)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert registry.moves == [2] and len(registry.mails) == 2


def test_an_alias_somebody_moved_is_a_finding_and_not_a_release(two):
    registry = Registry()
    assert two.releases.reconcile(registry.champion.get) == []  # not told yet, so not compared
    two.releases.project(registry.handlers)
    assert [each.ok for each in two.releases.reconcile(registry.champion.get)] == [True]
    live = two.releases.live("late").id
    for moved, says in ((1, "names version 1"), (None, "names nothing")):
        registry.champion["late"] = moved
        (found,) = two.releases.reconcile(registry.champion.get)
        assert not found.ok and says in found.says and "late@2 (version 2) is live" in found.says
    assert two.releases.live("late").id == live
    assert two.releases.realign("late", actor=APPROVER, reason="back to the truth")
    two.releases.project(registry.handlers)
    assert registry.champion == {"late": 2}
    assert two.releases.reconcile(registry.champion.get)[0].ok
    assert two.acts()[-1] == "alias.realign"


def test_a_release_without_a_registry_has_no_alias(house):
    house.live(0.1)
    assert [each.kind for each in outbox.pending(house.state)] == ["notify"]
    assert house.releases.reconcile(lambda model: 7) == []
    assert house.releases.realign("late", actor="o", reason="r") == 0
    assert house.releases.realign("unknown", actor="o", reason="r") == 0
