"""The state database: transactions, processes, disks."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millstream.errors import Conflict, IntegrityError, Refused, StorageFull
from millstream.state import State, database

INSERT = "INSERT INTO lake_intents (name, app_id, app_version, actor, at, note) VALUES ('t', 'a', ?, 'x', 'y', '{}')"
COUNT = "SELECT count(*) AS n FROM lake_intents"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], State]]:
    """Open the test's database; all are closed at the end."""
    made: list[State] = []

    def open_one() -> State:
        made.append(State(tmp_path / "state.db"))
        return made[-1]

    yield open_one
    for each in made:
        each.close()


def count(state: State) -> int:
    return int(state.query(COUNT)[0]["n"])


def test_a_transaction_becomes_true_as_a_whole(opened: Callable[[], State]) -> None:
    state = opened()
    with state.transact() as tx:
        tx.execute(INSERT, (1,))
        tx.execute(INSERT, (2,))
        assert tx.query(COUNT)[0]["n"] == 2
    assert count(state) == 2


@pytest.mark.parametrize("wrong", [RuntimeError, KeyboardInterrupt, sqlite3.IntegrityError])
def test_a_transaction_that_raises_leaves_nothing(wrong: type[BaseException], opened: Callable[[], State]) -> None:
    state = opened()
    with pytest.raises(wrong), state.transact() as tx:
        tx.execute(INSERT, (1,))
        raise wrong
    assert count(state) == 0
    with state.transact() as tx:
        tx.execute(INSERT, (1,))
    assert count(state) == 1


def test_it_is_in_wal_mode_and_syncs_every_commit(opened: Callable[[], State]) -> None:
    state = opened()
    assert state.query("PRAGMA journal_mode")[0][0] == "wal"
    assert state.query("PRAGMA synchronous")[0][0] == 2


def test_threads_write_one_after_the_other(opened: Callable[[], State]) -> None:
    state = opened()

    def work(first: int) -> None:
        for number in range(first, first + 25):
            with state.transact() as tx:
                tx.execute(INSERT, (number,))

    threads = [threading.Thread(target=work, args=(100 * each,)) for each in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert count(state) == 100


def test_two_processes_write_and_each_sees_the_other(tmp_path: Path, opened: Callable[[], State]) -> None:
    state = opened()
    before = state.data_version()
    code = (
        "import sys; from pathlib import Path; from millstream.state import State\n"
        f"state = State(Path(sys.argv[1]))\nfor number in range(50):\n"
        f"    with state.transact() as tx: tx.execute({INSERT!r}, (1000 + number,))"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "state.db")])
    for number in range(50):
        with state.transact() as tx:
            tx.execute(INSERT, (number,))
    assert other.wait(60) == 0
    assert count(state) == 100
    assert state.data_version() != before


def test_a_lock_that_is_held_too_long_is_a_conflict(
    monkeypatch: pytest.MonkeyPatch, opened: Callable[[], State]
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_S", 0.05)
    one, other = opened(), opened()
    with one.transact(), pytest.raises(Conflict, match="locked by another process"), other.transact():
        pass


def test_a_full_disk_is_storage_full_and_what_was_there_stays(opened: Callable[[], State]) -> None:
    state = opened()
    with state.transact() as tx:
        tx.execute(INSERT, (1,))
    pages = state.query("PRAGMA page_count")[0][0]
    state.query(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFull, match="full"), state.transact() as tx:
        for number in range(2, 2000):
            tx.execute(INSERT, (number,))
    assert count(state) == 1
    state.query("PRAGMA max_page_count = 1000000")
    with state.transact() as tx:
        tx.execute(INSERT, (2,))
    assert count(state) == 2


def test_what_is_no_database_is_an_integrity_error(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(IntegrityError, match="not an intact database"):
        State(tmp_path / "state.db")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} {kind} rw 0 0\n")
    with pytest.raises(Refused, match=f"network file system \\({kind} at"):
        database._refuse_network(tmp_path / "state.db", mounts)
    mounts.write_text(f"server:/x / {kind} rw 0 0\n/dev/sda1 {tmp_path} ext4 rw 0 0\n")
    database._refuse_network(tmp_path / "state.db", mounts)


def test_every_owner_has_a_schema_that_can_be_applied_again(tmp_path: Path) -> None:
    State(tmp_path / "state.db").close()
    again = State(tmp_path / "state.db")
    names = {each["name"] for each in again.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"ledger", "table_versions", "table_files", "quarantine"} <= names
    again.close()
