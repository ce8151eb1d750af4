"""The ledger: any change of any row is noticed, and named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import IntegrityError
from millstream.ledger import Anchor, Ledger
from millstream.state import State

ROWS = 12


class Still:
    def now(self) -> datetime:
        return datetime(2013, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger whose triggers were dropped, as somebody with the file in hand can do."""
    path = tmp_path_factory.mktemp("ledger") / "state.db"
    state = State(path)
    ledger = Ledger(state, Still())
    for number in range(1, ROWS + 1):
        ledger.record(actor="ann", act=f"test.{number}", subject=f"s@{number}", detail={"n": number})
    state.close()
    raw = sqlite3.connect(path)
    raw.execute("DROP TRIGGER ledger_never_changes")
    raw.execute("DROP TRIGGER ledger_never_shrinks")
    raw.commit()
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    return path


class Tampered:
    """An in-memory copy to change, verified by the ledger's own reader."""

    def __init__(self, path: Path) -> None:
        self.raw = sqlite3.connect(":memory:")
        self.raw.row_factory = sqlite3.Row
        with sqlite3.connect(path) as source:
            source.backup(self.raw)
        source.close()

    def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        return self.raw.execute(sql, parameters).fetchall()

    def verify(self, anchor: Anchor | None = None) -> object:
        return Ledger(self, Still()).verify(anchor)  # type: ignore[arg-type]


def flip(copy: Tampered, chance: Random) -> int:
    row = chance.randint(1, ROWS)
    column = chance.choice(["at", "body", "previous", "hash"])
    value = copy.query(f"SELECT {column} FROM ledger WHERE sequence = ?", (row,))[0][0]
    body = bytearray(value if isinstance(value, bytes) else value.encode())
    body[chance.randrange(len(body))] ^= 1 << chance.randrange(7)
    changed: object = bytes(body) if isinstance(value, bytes) else body.decode("latin-1")
    copy.raw.execute(f"UPDATE ledger SET {column} = ? WHERE sequence = ?", (changed, row))
    return row


def delete(copy: Tampered, chance: Random) -> int:
    row = chance.randint(1, ROWS - 1)
    copy.raw.execute("DELETE FROM ledger WHERE sequence = ?", (row,))
    return row


def close_the_gap(copy: Tampered, chance: Random) -> int:
    row = delete(copy, chance)
    copy.raw.execute("UPDATE ledger SET sequence = sequence - 1 WHERE sequence > ?", (row,))
    return row


def insert(copy: Tampered, chance: Random) -> int:
    row = chance.randint(1, ROWS)
    for each in range(ROWS, row - 1, -1):
        copy.raw.execute("UPDATE ledger SET sequence = sequence + 1 WHERE sequence = ?", (each,))
    copy.raw.execute(
        "INSERT INTO ledger SELECT ?, at, body, previous, hash FROM ledger WHERE sequence = ?", (row, row + 1)
    )
    return row + 1


def swap(copy: Tampered, chance: Random) -> int:
    first, second = sorted(chance.sample(range(1, ROWS + 1), 2))
    for old, new in ((first, -1), (second, first), (-1, second)):
        copy.raw.execute("UPDATE ledger SET sequence = ? WHERE sequence = ?", (new, old))
    return first


def swap_bodies(copy: Tampered, chance: Random) -> int:
    first, second = sorted(chance.sample(range(1, ROWS + 1), 2))
    bodies = [copy.query("SELECT body FROM ledger WHERE sequence = ?", (each,))[0][0] for each in (first, second)]
    for row, body in zip((first, second), reversed(bodies), strict=True):
        copy.raw.execute("UPDATE ledger SET body = ? WHERE sequence = ?", (body, row))
    return first


def rehash_one(copy: Tampered, chance: Random) -> int:
    """Change a row and give it the hash that fits: the next row gives it away."""
    from millstream.ledger.chain import row_hash

    row = chance.randint(1, ROWS - 1)
    stored = copy.query("SELECT * FROM ledger WHERE sequence = ?", (row,))[0]
    body = stored["body"].replace(b"ann", b"bob")
    fitting = row_hash(stored["previous"], row, stored["at"], body)
    copy.raw.execute("UPDATE ledger SET body = ?, hash = ? WHERE sequence = ?", (body, fitting, row))
    return row + 1


MUTATIONS = [flip, delete, close_the_gap, insert, swap, swap_bodies, rehash_one]


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_law_11_changing_any_row_is_noticed_and_the_first_bad_row_named(
    written: Path, mutate: Callable[[Tampered, Random], int]
) -> None:
    for seed in range(150):
        copy = Tampered(written)
        expected = mutate(copy, Random(seed))
        found = copy.verify()
        assert not found.ok, seed  # type: ignore[attr-defined]
        assert found.first_bad == expected, seed  # type: ignore[attr-defined]
        assert found.rows == expected - 1  # type: ignore[attr-defined]
        copy.raw.close()


def test_an_untouched_chain_holds(written: Path) -> None:
    found = Tampered(written).verify()
    assert (found.ok, found.rows, found.first_bad) == (True, ROWS, None)  # type: ignore[attr-defined]


@given(cut=st.integers(1, ROWS), anchored=st.integers(1, ROWS))
@settings(max_examples=30, deadline=None)
def test_a_cut_tail_is_found_only_against_a_head_kept_elsewhere(written: Path, cut: int, anchored: int) -> None:
    copy = Tampered(written)
    kept = copy.query("SELECT hash FROM ledger WHERE sequence = ?", (anchored,))[0]["hash"]
    copy.raw.execute("DELETE FROM ledger WHERE sequence > ?", (ROWS - cut,))
    assert copy.verify().ok, "without an anchor it cannot be noticed"  # type: ignore[attr-defined]
    found = copy.verify(Anchor(anchored, kept))
    assert found.ok == (anchored <= ROWS - cut)  # type: ignore[attr-defined]
    if not found.ok:  # type: ignore[attr-defined]
        assert "tail was cut" in found.says  # type: ignore[attr-defined]
    copy.raw.close()


def test_a_whole_rewrite_is_found_against_a_head_kept_elsewhere(tmp_path: Path, written: Path) -> None:
    state = State(tmp_path / "state.db")
    ledger = Ledger(state, Still())
    for number in range(1, ROWS + 1):
        ledger.record(actor="mallory", act=f"test.{number}", subject=f"s@{number}", detail={"n": number})
    kept = Ledger(Tampered(written), Still()).head()  # type: ignore[arg-type]
    assert ledger.verify().ok
    found = ledger.verify(kept)
    assert not found.ok
    assert found.first_bad == ROWS
    state.close()


@pytest.mark.parametrize("sql", ["UPDATE ledger SET at = 'x' WHERE sequence = 1", "DELETE FROM ledger"])
def test_the_database_itself_refuses_changes(tmp_path: Path, sql: str) -> None:
    state = State(tmp_path / "state.db")
    Ledger(state, Still()).record(actor="ann", act="test.one", subject="s")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), state.transact() as tx:
        tx.execute(sql)
    assert Ledger(state, Still()).verify().ok
    state.close()


def test_a_row_rolls_back_with_its_act(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db")
    ledger = Ledger(state, Still())
    ledger.record(actor="ann", act="test.one", subject="s")
    with pytest.raises(RuntimeError), state.transact() as tx:
        assert ledger.append(tx, actor="ann", act="test.two", subject="s") == 2
        raise RuntimeError
    assert ledger.head().sequence == 1
    assert ledger.record(actor="ann", act="test.three", subject="s") == 2
    assert ledger.verify().ok
    state.close()


def test_rows_are_read_newest_first_by_prefix(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db")
    ledger = Ledger(state, Still())
    for act, subject in (("table.version", "a@1"), ("table.read", "a@1"), ("table.version", "b@1")):
        ledger.record(actor="ann", act=act, subject=subject, detail={"é": None})
    assert [each.subject for each in ledger.rows(act="table.version")] == ["b@1", "a@1"]
    assert [each.act for each in ledger.rows(subject="a@", newest=False)] == ["table.version", "table.read"]
    assert ledger.rows(limit=1)[0].sequence == 3
    assert ledger.rows()[0].detail == {"é": None}
    assert ledger.head() == Anchor(3, ledger.rows(limit=1)[0].hash)
    state.close()


def test_an_empty_ledger_holds(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db")
    ledger = Ledger(state, Still())
    assert ledger.verify(ledger.head()).ok
    assert ledger.verify().rows == 0
    state.close()
    shutil.rmtree(tmp_path)


def test_a_row_that_is_none_any_more_is_an_error_that_leads_to_verify(written: Path, tmp_path: Path) -> None:
    shutil.copy(written, tmp_path / "state.db")
    state = State(tmp_path / "state.db")
    ledger = Ledger(state, Still())
    with state.transact() as tx:
        tx.execute("DROP TRIGGER IF EXISTS ledger_never_changes")
        tx.execute("UPDATE ledger SET body = x'ff' WHERE sequence = 4")
    for wanted in ({}, {"act": "test.1"}, {"acts": ("test.1",)}, {"subjects": ("x",)}):
        with pytest.raises(IntegrityError, match="cannot be read"):
            ledger.rows(**wanted)  # type: ignore[arg-type]
    assert ledger.verify().first_bad == 4
    state.close()
