"""A segment that has ended moves into the lake and nothing of it is lost."""

import asyncio

import pytest

from millstream.errors import NotFound
from millstream.project.answers import AnswerTail, find, ids, keep_ended
from millstream.project.root import Project
from millstream.serving.log import PredictionLog
from millstream.serving.records import Prediction
from millstream.state import segments


@pytest.fixture
def project(tmp_path):
    (tmp_path / "millstream.toml").write_text('name = "sealed"\n')
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "t.csv").write_text("k\n1\n")
    (tmp_path / "tables.py").write_text(
        "from millstream import Table, sources\nt = Table('t', source=sources.Csv('files/t.csv'), key='k')\n"
    )
    with Project(tmp_path, lock=True) as opened:
        yield opened


def answer(number):
    return Prediction(
        at_us=number, wall_us=number, model="late", version=1, release="r", key={"k": number}, row={"k": number},
        value=number / 100, answered_by="champion", degraded=False, reason="", features=b"", applied={}, latency_us=5,
    )  # fmt: skip


def write(project, count):
    async def work():
        log = PredictionLog(project.places.log)
        try:
            return [(await log.append([answer(number)]))[0] for number in range(count)]
        finally:
            log.close()

    return asyncio.run(work())


def test_an_ended_segment_becomes_one_commit_and_its_file_goes(project):
    write(project, 50)
    before = list(ids(project))
    tailed = [each.id for each in AnswerTail(project).poll()]
    assert len(before) == 50 and tailed == before

    assert keep_ended(project) == 1
    assert keep_ended(project) == 0

    assert list(project.places.log.glob("*")) == []
    assert sorted(ids(project)) == sorted(before)
    assert find(project, before[17]).prediction == answer(17)
    assert [each.id for each in AnswerTail(project).poll()] == before
    (row,) = segments.all(project.state)
    (act,) = project.ledger.rows(act="log.seal")
    assert act.detail["sha256"] == row.sha256 and row.records == 50


def test_two_segments_are_told_apart(project):
    write(project, 3)
    keep_ended(project)
    write(project, 4)
    every = list(ids(project))
    keep_ended(project)
    assert sorted(ids(project)) == sorted(every) and len(set(every)) == 7
    assert [find(project, each).id for each in every] == every


def test_an_id_that_was_never_given(project):
    write(project, 1)
    (known,) = ids(project)
    keep_ended(project)
    with pytest.raises(NotFound):
        find(project, f"{known.partition('-')[0]}-99")


def test_an_answer_damaged_on_disk_takes_no_other_with_it_and_is_named(project):
    given = write(project, 50)
    (path,) = project.places.log.glob("*.log")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert any(not each["ok"] and path.name in each["subject"] for each in project.run("verify")["findings"])
    keep_ended(project)
    kept = set(ids(project))
    assert len(kept) == 49 and kept < set(given)
    (aside,) = project.places.log.glob("*.damaged")
    assert aside.read_bytes() == data
    (told,) = project.ledger.rows(act="log.seal")
    assert told.detail["damaged"] == 1
    said = project.run("verify")
    assert said["exit_code"] == 8 and any(aside.name in each["subject"] for each in said["findings"] if not each["ok"])


def test_a_sealed_segment_that_was_altered_is_named(project):
    write(project, 3)
    keep_ended(project)
    assert project.run("verify")["ok"]
    with project.state.transact() as tx:
        tx.execute("UPDATE segments SET records = 2")
    bad = [each for each in project.run("verify")["findings"] if not each["ok"]]
    assert len(bad) == 1 and "as row" in bad[0]["says"], bad
