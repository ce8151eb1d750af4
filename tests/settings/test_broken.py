"""A broken millstream.toml, or a broken file of the state, is an error that names it."""

import sqlite3

import pytest

from millstream import settings
from millstream.errors import DefinitionError, IntegrityError, Refused, UserError
from millstream.project import Project
from millstream.server.client import running
from millstream.state import State


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (b"name = ", "Invalid value"),
        (b"name = '\xff'", "utf-8"),
        (b"timezone = 'America/New_Yrok'", "did you mean 'America/New_York'"),
        (b"timezone = '../../etc/passwd'", "no time zone"),
        (b"timezone = ''", "no time zone"),
        (b"[server]\nscoring_port = 99999", "scoring_port is 99999"),
        (b"[server]\ncontrol_port = -1", "control_port is -1"),
        (b"[replay]\nstart = 'yesterday'\nlabel = 'x'", "replay.start"),
        (b"nmae = 'x'", "nmae"),
        (b"[engine]\nmemory = 'much'", "engine.memory is 'much'"),
        (b"[engine]\nmemory = '3MB'", "64 MB or more"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(tmp_path, said, names):
    (tmp_path / settings.FILE).write_bytes(said)
    with pytest.raises(DefinitionError) as wrong:
        settings.read(tmp_path)
    assert names in str(wrong.value) and settings.FILE in str(wrong.value)


def test_a_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / settings.FILE).mkdir()
    with pytest.raises(DefinitionError, match="cannot be read"):
        settings.read(tmp_path)


@pytest.fixture
def mill(tmp_path):
    (tmp_path / settings.FILE).write_text("[replay]\nstart = '2013-02-01'\nlabel = 'x'\n")
    return tmp_path


def test_a_clock_file_that_holds_no_instant(mill):
    (mill / ".millstream").mkdir()
    (mill / ".millstream/clock").write_text("soon")
    with pytest.raises(IntegrityError, match="soon"):
        Project(mill)


@pytest.mark.parametrize("empty", [True, False])
def test_a_state_that_is_gone_while_releases_remain_is_not_begun_anew(mill, empty):
    (mill / ".millstream/releases" / ("0" * 64)).mkdir(parents=True)
    if empty:
        (mill / ".millstream/state.db").touch()
    with Project(mill) as project, pytest.raises(IntegrityError, match="the ledger, the decisions"):
        _ = project.state
    assert (mill / ".millstream/state.db").exists() == empty


def test_a_state_that_cannot_be_opened(tmp_path):
    (tmp_path / "state.db").mkdir()
    with pytest.raises(Refused, match="cannot be opened"):
        State(tmp_path / "state.db")


def test_a_damaged_page_is_an_integrity_error_wherever_it_is_read(tmp_path):
    state = State(tmp_path / "state.db")
    with state.transact() as tx:
        for number in range(400):
            tx.execute("INSERT INTO outbox (kind, body) VALUES ('x', ?)", (str(number) * 100,))
    state.close()
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    data = bytearray((tmp_path / "state.db").read_bytes())
    for start in range(4096 * 20, len(data), 4096):
        data[start : start + 64] = b"\xff" * 64
    (tmp_path / "state.db").write_bytes(data)
    with pytest.raises(IntegrityError, match="not an intact database"):
        State(tmp_path / "state.db").query("SELECT sum(length(body)) FROM outbox")


@pytest.mark.parametrize("given", [2**70, "\ud800"])
def test_what_no_row_can_hold_is_the_callers_mistake(tmp_path, given):
    state = State(tmp_path / "state.db")
    with pytest.raises(UserError, match="none that can be kept"):
        state.query("SELECT ?", (given,))
    with pytest.raises(UserError, match="none that can be kept"), state.transact() as tx:
        tx.execute("INSERT INTO outbox (kind, body) VALUES ('x', ?)", (given,))
    state.close()


@pytest.mark.parametrize(
    "said",
    ["{", '{"url":"zzz://[","token":"x","pid":1}', '{"url":"http://127.0.0.1:1","token":"x\\ny","pid":1}'],
)
def test_an_address_no_control_plane_wrote_is_none(mill, said):
    (mill / ".millstream/run").mkdir(parents=True)
    (mill / ".millstream/run/control.json").write_text(said)
    assert running(mill) is None
