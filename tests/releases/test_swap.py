import threading
import time

import pytest

from millstream.errors import Conflict, IntegrityError, NotFound, Refused, UserError
from millstream.state import leases, outbox, pointer, releases
from millstream.state.leases import Lease
from tests.releases.made import APPROVER


def statuses(house):
    return {each.version: each.status for each in house.releases.history("late")}


def lease(house, server, generation, *, ttl_s=30.0, models=("late",)):
    held = Lease(server, "http://127.0.0.1:1", 1, dict.fromkeys(models, generation), time.time() + ttl_s)
    with house.state.transact() as tx:
        return leases.renew(tx, held)


def test_a_swap_is_pointer_statuses_ledger_and_outbox_at_once(house):
    first = house.live(0.1, model_version=1)
    second = house.approved(0.2, model_version=2)
    went = house.releases.swap("late", second, expected_generation=1, actor=APPROVER, reason="better")
    assert (went.release, went.was, went.generation, went.name) == (second.id, first.id, 2, "late@2")
    at = pointer.get(house.state, "late")
    assert (at.release, at.previous, at.generation) == (second.id, first.id, 2)
    assert statuses(house) == {1: "retired", 2: "live"}
    row = house.ledger.rows(act="pointer.swap")[0]
    assert (row.subject, row.actor, row.detail["was"]) == ("late@2", APPROVER, first.id)
    told = [(each.kind, each.body["version"]) for each in outbox.pending(house.state)]
    assert told == [("alias", 1), ("notify", 1), ("alias", 2), ("notify", 2)]


def test_the_exact_bytes_come_back(house):
    first = house.live(0.1)
    before = {each.name: each.read_bytes() for each in first.path.iterdir()}
    house.live(0.2)
    went = house.releases.rollback("late", actor="on call", reason="worse")
    row = releases.get(house.state, pointer.get(house.state, "late").release)
    path = house.releases.open(row).path
    assert {each.name: each.read_bytes() for each in path.iterdir()} == before
    assert {"model.json", "plan.json", "manifest.json", "environment.lock"} <= set(before)
    assert (went.name, statuses(house)) == ("late@1", {1: "live", 2: "retired"})
    assert house.acts()[-1] == "pointer.rollback"
    assert went.ms < 2000


def test_two_rollbacks_go_back_twice_and_a_bad_release_is_never_the_fallback(house):
    for value in (0.1, 0.2, 0.3):
        house.live(value)
    assert house.releases.rollback("late", actor="o", reason="r").name == "late@2"
    at = pointer.get(house.state, "late")
    assert releases.get(house.state, at.previous).name == "late@1"
    assert house.releases.rollback("late", actor="o", reason="r").name == "late@1"
    with pytest.raises(NotFound, match="no release before late@1") as raised:
        house.releases.rollback("late", actor="o", reason="r")
    assert "--to" in raised.value.do and "late@3" in raised.value.do
    assert pointer.get(house.state, "late").generation == 5


def test_a_release_after_a_rollback_stands_on_what_was_rolled_back_to(house):
    for value in (0.1, 0.2):
        house.live(value)
    house.releases.rollback("late", actor="o", reason="r")
    house.live(0.3)
    assert house.releases.rollback("late", actor="o", reason="r").name == "late@1"


def test_rolling_back_to_a_version(house):
    for value in (0.1, 0.2, 0.3):
        house.live(value)
    waiting = house.approved(0.4)
    with pytest.raises(Conflict, match="late@3 is live already"):
        house.releases.rollback("late", to=3, actor="o", reason="r")
    with pytest.raises(Refused, match="late@4 was never live"):
        house.releases.rollback("late", to=4, actor="o", reason="r")
    with pytest.raises(NotFound, match="no release late@9"):
        house.releases.rollback("late", to=9, actor="o", reason="r")
    assert house.releases.rollback("late", to=1, actor="o", reason="r").name == "late@1"
    assert pointer.get(house.state, "late").previous is None
    assert house.releases.rollback("late", to=3, actor="o", reason="it was better").name == "late@3"
    assert releases.get(house.state, waiting.id).status == "approved"


def test_nothing_to_roll_back(house):
    with pytest.raises(NotFound, match="no release of late is live"):
        house.releases.rollback("late", actor="o", reason="r")
    house.live()
    with pytest.raises(NotFound, match="no release before late@1"):
        house.releases.rollback("late", actor="o", reason="r")
    assert statuses(house) == {1: "live"}


def test_a_broken_target_leaves_what_is_live(house):
    first = house.live(0.1)
    house.live(0.2)
    (first.path / "plan.json").unlink()
    with pytest.raises(IntegrityError, match=r"plan\.json"):
        house.releases.rollback("late", actor="o", reason="r")
    assert statuses(house) == {1: "retired", 2: "live"}


def test_what_may_not_go_live(house):
    release = house.rehearsed()
    for reason, expected in (("", UserError), ("go", Refused)):
        with pytest.raises(expected):
            house.releases.swap("late", release, actor=APPROVER, reason=reason)
    with pytest.raises(NotFound, match="not a release of churn"):
        house.releases.swap("churn", release, actor=APPROVER, reason="go")
    with pytest.raises(NotFound, match="no release has the id"):
        house.releases.swap("late", "0" * 64, actor=APPROVER, reason="go")
    live = house.live(0.2)
    with pytest.raises(Conflict, match="live already"):
        house.releases.swap("late", live, actor=APPROVER, reason="again")
    assert pointer.get(house.state, "late").generation == 1


def test_the_loser_of_a_race_is_told(house):
    release = house.approved(0.1)
    with pytest.raises(Conflict, match="generation 0") as raised:
        house.releases.swap("late", release, expected_generation=3, actor=APPROVER, reason="go")
    assert raised.value.http_status == 409 and raised.value.expected == "generation 3"
    assert house.releases.live("late") is None


def test_it_returns_when_servers_followed(house):
    house.live(0.1)
    release = house.approved(0.2)
    lease(house, "quick", 1)
    lease(house, "slow", 1)
    moved = threading.Event()

    def follow():
        while pointer.get(house.state, "late").generation < 2:
            time.sleep(0.001)
        lease(house, "quick", 2)
        moved.wait(5)
        lease(house, "slow", 2)

    thread = threading.Thread(target=follow)
    thread.start()
    threading.Timer(0.05, moved.set).start()
    went = house.releases.swap("late", release, actor=APPROVER, reason="go")
    thread.join()
    assert went.acknowledged == ("quick", "slow") and not went.expired and not went.waiting
    assert moved.is_set() and went.ms < 2000


def test_it_waits_no_longer_than_a_lease_of_a_dead_server(house):
    house.live(0.1)
    release = house.approved(0.2)
    lease(house, "dead", 1, ttl_s=0.3)
    lease(house, "here", 99)
    went = house.releases.swap("late", release, actor=APPROVER, reason="go")
    assert (went.acknowledged, went.expired, went.waiting) == (("here",), ("dead",), ())
    assert 0.0 < went.ms < 2000


def test_a_server_that_does_not_follow_is_named(house):
    house.live(0.1)
    release = house.approved(0.2)
    lease(house, "stuck", 1)
    went = house.releases.swap("late", release, actor=APPROVER, reason="go", wait_s=0.05)
    assert went.waiting == ("stuck",) and not went.acknowledged
    assert house.releases.live("late").id == release.id


def test_a_server_whose_lease_ran_out_gets_no_new_one_before_it_loaded_what_is_live(house):
    house.live(0.1)
    assert lease(house, "sleeper", 1, ttl_s=0.01) == ()
    house.live(0.2)
    deadline = time.monotonic() + 5
    while leases.live(house.state, time.time()) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert lease(house, "sleeper", 1) == ("late",)
    assert leases.live(house.state, time.time()) == []
    assert lease(house, "sleeper", 2) == ()
    assert [each.server for each in leases.live(house.state, time.time())] == ["sleeper"]


def test_a_server_with_a_lease_may_prolong_it_while_it_loads(house):
    house.live(0.1)
    assert lease(house, "loading", 1) == ()
    house.live_behind = house.approved(0.2)
    house.releases.swap("late", house.live_behind, actor=APPROVER, reason="go", wait_s=0.02)
    assert lease(house, "loading", 1) == ("late",)
    assert [each.generations for each in leases.live(house.state, time.time())] == [{"late": 1}]


def test_leases_given_back_and_forgotten(house):
    lease(house, "one", 0, ttl_s=-5)
    lease(house, "two", 0)
    with house.state.transact() as tx:
        assert leases.forget(tx, time.time()) == 1
        leases.end(tx, "two")
    assert leases.live(house.state, 0.0) == []


def test_the_history_of_the_pointer_is_not_rewritten(house):
    house.live(0.1)
    for statement in ("UPDATE pointer_history SET release = release", "DELETE FROM pointer_history"):
        with pytest.raises(Exception, match="append-only"), house.state.transact() as tx:
            tx.execute(statement)


def test_the_pointer_cannot_name_what_is_not_registered(house):
    with pytest.raises(Exception, match="FOREIGN KEY"), house.state.transact() as tx:
        pointer.swap(tx, model="late", release="0" * 64, expected_generation=0, at="")
    assert pointer.get(house.state, "late").generation == 0
