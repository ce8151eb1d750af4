"""What the state says of releases must be what the ledger tells; whoever can write the file cannot write both."""

import sqlite3

import pytest

from tests.releases.made import APPROVER, TRAINER, House


def altered(house: House, *statements: str) -> list[str]:
    """Change the state behind its back, as whoever can write the file can; return what verify finds."""
    assert all(each.ok for each in house.releases.verify())
    with sqlite3.connect(house.places.state_db) as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        for each in statements:
            assert database.execute(each).rowcount, each
    database.close()
    return [f"{each.subject}: {each.says}" for each in house.releases.verify() if not each.ok]


@pytest.mark.parametrize(
    ("statement", "subject", "names"),
    [
        ("UPDATE decisions SET decided_by = 'zoe'", "decision 1", "zoe"),
        ("UPDATE decisions SET trained_by = 'zoe'", "decision 1", "trained_by"),
        ("UPDATE decisions SET simulated = 1", "decision 1", "simulated"),
        ("UPDATE decisions SET reason = 'nothing'", "decision 1", "it is better"),
        ("UPDATE decisions SET status = 'rejected'", "decision 1", "approved"),
        ("UPDATE decisions SET decided_at = '2001-01-01T00:00:00+00:00'", "decision 1", "2001"),
        ("UPDATE decisions SET verdict = '{\"passed\":false}'", "decision 1", "verdict"),
        ("DELETE FROM decisions", "decision 1", "gone"),
        ("UPDATE releases SET built_by = 'zoe'", "release late@1", "zoe"),
        ("UPDATE releases SET run_id = 'other'", "release late@1", "run-1"),
        ("UPDATE releases SET goal_value = 0.99", "release late@1", "0.99"),
        ("UPDATE pointer SET changed_at = '2001-01-01T00:00:00+00:00'", "pointer late", "2001"),
        ("UPDATE pointer SET generation = 7", "pointer late", "7"),
        ("UPDATE pointer_history SET at = '2001-01-01T00:00:00+00:00'", "pointer late", "2001"),
        ("DELETE FROM pointer_history", "pointer late", "1"),
        ("DELETE FROM ledger WHERE sequence > 3", "decision 1", "no row of the ledger"),
    ],
)
def test_a_changed_record_is_named(house, statement, subject, names):
    house.live(0.1)
    found = altered(house, statement)
    assert any(each.startswith(f"{subject}: ") and names in each for each in found), found


def test_a_whole_life_is_as_the_ledger_tells(house):
    for value in (0.1, 0.2, 0.3):
        house.live(value)
    house.releases.rollback("late", actor=APPROVER, reason="worse")
    waits = house.releases.ask(house.rehearsed(0.4), {"passed": True}, actor=TRAINER)
    house.releases.decide(waits.id, False, by=APPROVER, reason="no need")
    overtaken, other = house.approved(0.5), house.approved(0.6)
    house.releases.swap("late", other, actor=APPROVER, reason="this one")
    assert house.releases.rehearse(overtaken, lambda path, rows: [0.5] * len(rows), actor=TRAINER)
    house.releases.ask(house.rehearsed(0.7), {}, actor=TRAINER)
    found = house.releases.verify()
    assert all(each.ok for each in found), [each for each in found if not each.ok]
    assert "7 decisions" in found[-1].says


def test_an_approval_nobody_gave_is_named(house):
    house.releases.ask(house.rehearsed(0.1), {"passed": True}, actor=TRAINER)
    given = "UPDATE decisions SET status = 'approved', decided_by = 'bob', decided_at = asked_at, reason = 'fine'"
    assert "no row of the ledger says so" in altered(house, given)[0]


def test_a_broken_ledger_proves_nothing(house):
    house.live(0.1)
    changed = "UPDATE ledger SET body = CAST(replace(CAST(body AS TEXT), 'better', 'bettes') AS BLOB)"
    assert altered(house, changed) == []
    assert not house.ledger.verify().ok
