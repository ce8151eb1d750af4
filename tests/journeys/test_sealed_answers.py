"""A segment that has ended moves into the lake and nothing of it is lost."""

import asyncio

import pytest

from millstream.errors import NotFound
from millstream.project.answering.answers import AnswerTail, find, ids, keep_ended
from millstream.project.root import Project
from millstream.serving.live import Live
from millstream.serving.log import PredictionLog
from millstream.serving.records import Prediction
from millstream.serving.watch import Watcher
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


def write(project, count, **words):
    async def work():
        log = PredictionLog(project.places.log, **words)
        watcher = Watcher(project.state, Live(), server="s", url="http://x", open_chain=lambda *_: None, log=log)
        try:
            return [(await log.append([answer(number)]))[0] for number in range(count)]
        finally:
            watcher.tick()
            log.close()
            watcher.stop()

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


def bad(project):
    return [each for each in project.run("verify")["findings"] if not each["ok"]]


def test_a_segment_that_was_deleted_before_it_was_sealed_is_missed(project):
    write(project, 7)
    assert not bad(project)
    (path,) = project.places.log.glob("*.log")
    path.unlink()
    (said,) = bad(project)
    assert path.name in said["subject"] and "7 or more answers and outcomes are lost" in said["says"]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_segment_whose_end_was_cut_is_missed(project, sealed):
    write(project, 7)
    (path,) = project.places.log.glob("*.log")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    if sealed:
        assert keep_ended(project) == 1
    (said,) = bad(project)
    assert path.name in said["subject"] and "record 7 was acknowledged" in said["says"]


def test_answers_on_a_spool_are_followed_found_sealed_and_missed(project, tmp_path):
    (project.places.log).parent.mkdir(parents=True, exist_ok=True)
    project.places.log.write_text("no folder: the first path refuses")
    spool = tmp_path / "spool"
    given = write(project, 5, spool=spool)
    project.places.log.unlink()
    tail = AnswerTail(project)
    assert [each.id for each in tail.poll()] == given and find(project, given[2]).id == given[2]
    assert keep_ended(project) == 1 and not list(spool.glob("*")) and list(ids(project)) == given
    assert not bad(project)
    more = write(project, 2, spool=spool)
    assert [each.id for each in tail.poll()] == more
