import asyncio
import errno
import multiprocessing
import os
import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.errors import Conflict, NotFound, StorageFull, Unavailable
from millstream.serving import records
from millstream.serving.log import PredictionLog
from millstream.serving.records import Outcome, Prediction
from millstream.serving.seal import Tail, discard, ended, seal
from millstream.state import State, segments
from tests.serving.log_child import log_until_killed, outcome, prediction


def written(log, batches):
    async def run():
        return [await log.append(batch) for batch in batches]

    ids = [id for batch in asyncio.run(run()) for id in batch]
    return ids


@pytest.mark.parametrize("acknowledge", ["fsynced", "written"])
def test_what_is_appended_is_read_back_found_and_sealed(tmp_path, acknowledge):
    log = PredictionLog(tmp_path, acknowledge=acknowledge)
    sent = [[prediction(n, size=n % 7) for n in range(start, start + 5)] + [outcome(start)] for start in range(50)]
    ids = written(log, sent)
    [path] = records.segments(tmp_path)
    with pytest.raises(Conflict):
        seal(path)
    assert ended(tmp_path) == []
    read, _ = records.read(path)
    assert [each.id for each in read] == ids
    assert [each.record for each in read] == [record for batch in sent for record in batch]
    for index in (0, 1, 63, 64, 65, 128, 299):
        assert records.find(ids[index], tmp_path).record == read[index].record
    log.close()
    assert ended(tmp_path) == [path]
    first = seal(path)
    assert (first.first, first.last, first.records) == (1, 300, 300)
    assert seal(path) == first
    discard(path)
    assert list(tmp_path.iterdir()) == []


def test_finding_works_without_the_offsets_and_says_what_is_missing(tmp_path):
    log = PredictionLog(tmp_path)
    ids = written(log, [[prediction(n) for n in range(200)]])
    log.close()
    [path] = records.segments(tmp_path)
    records.hint_file(path).write_bytes(b"\xff" * 8 * 4)
    assert records.find(ids[150], tmp_path).record == prediction(150)
    records.hint_file(path).unlink()
    assert records.find(ids[150], tmp_path).record == prediction(150)
    assert records.describe(records.find(ids[3], tmp_path))["key"] == {"flight_id": 3}
    with pytest.raises(NotFound):
        records.find(ids[0] + "999", tmp_path)
    for nonsense in ("", "x", "../../etc/passwd-1", "a-b", "a-1-2", "é-1"):
        with pytest.raises(NotFound):
            records.find(nonsense, tmp_path)


def test_segments_rotate_by_size_and_a_tail_follows_them(tmp_path):
    log = PredictionLog(tmp_path, rotate_bytes=3000)
    tail = Tail(tmp_path)
    seen = []
    ids = []
    for start in range(0, 100, 10):
        ids += written(log, [[prediction(n) for n in range(start, start + 10)]])
        seen += [each.id for each in tail.poll()]
    assert seen == ids
    assert len(records.segments(tmp_path)) > 2
    log.rotate()
    log.close()
    resumed = Tail(tmp_path, offsets=tail.offsets)
    assert resumed.poll() == []
    assert sum(seal(path).records for path in ended(tmp_path)) == 100


def test_a_closed_log_takes_nothing(tmp_path):
    log = PredictionLog(tmp_path)
    log.close()
    with pytest.raises(Unavailable):
        written(log, [[prediction(1)]])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_torn_or_flipped_tail_is_cut_and_everything_before_it_stays(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("log")
    log = PredictionLog(folder, acknowledge="written")
    written(log, [[prediction(n, size=n % 4) for n in range(12)]])
    log.close()
    [path] = records.segments(folder)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    kept, offset = records.read(path)
    assert [each.record for each in kept] == [prediction(n, size=n % 4) for n in range(len(kept))]
    assert offset <= at
    sealed = seal(path)
    behind = sealed.records - len(kept)
    if at < offset or not behind:
        assert (sealed.records, sealed.damaged, sealed.bytes) == (len(kept), 0, offset)
    else:  # a flip in the middle costs the one record it is in
        assert (sealed.damaged, sealed.records) == (1, 11)
    assert path.stat().st_size == sealed.bytes
    assert seal(path) == sealed


def test_damage_in_the_middle_costs_one_record_and_not_those_behind_it(tmp_path):
    log = PredictionLog(tmp_path)
    ids = written(log, [[prediction(n) for n in range(300)]])
    log.close()
    [path] = records.segments(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    before, _ = records.read(path)
    assert len(before) < 200
    sealed = seal(path)
    assert (sealed.records, sealed.damaged, sealed.last) == (299, 1, 300)
    every = [each.id for each in records.read(path, over_damage=True)[0]]
    assert every == [id for id in ids if id != ids[len(before)]]


class FailingDisk:
    def __init__(self, *, fails, partial=False, kind=errno.ENOSPC):
        self.calls, self.fails, self.partial, self.kind = 0, fails, partial, kind

    def fail(self):
        self.calls += 1
        if self.fails(self.calls):
            raise OSError(self.kind, os.strerror(self.kind))

    def write(self, descriptor, data):
        if self.partial:
            os.write(descriptor, data[: len(data) // 2])
        self.fail()
        return os.write(descriptor, data)

    def sync(self, descriptor):
        self.fail()
        os.fdatasync(descriptor)


@pytest.mark.parametrize("which", ["write", "sync"])
@pytest.mark.parametrize("nth", [1, 2, 5])
def test_a_failed_disk_seals_the_segment_and_the_second_path_takes_over(tmp_path, which, nth):
    disk = FailingDisk(fails=lambda call: call == nth, kind=errno.EIO)
    log = PredictionLog(tmp_path / "a", spool=tmp_path / "b", **{which: getattr(disk, which)})
    ids = written(log, [[prediction(n)] for n in range(8)])
    assert log.failures == 1 and log.spooling
    log.close()
    for number, id in enumerate(ids):
        assert records.find(id, tmp_path / "a", tmp_path / "b").record == prediction(number)
    sealed = [seal(path) for path in ended(tmp_path / "a", tmp_path / "b")]
    logged = [each.id for path in records.segments(tmp_path / "a", tmp_path / "b") for each in records.read(path)[0]]
    assert len(logged) == len(set(logged)) and set(ids) <= set(logged)
    assert sum(each.records for each in sealed) - len(ids) == (1 if which == "sync" else 0)


def test_without_a_second_path_the_caller_is_told_and_service_resumes_when_space_returns(tmp_path):
    full = True
    disk = FailingDisk(fails=lambda call: full, partial=False)
    log = PredictionLog(tmp_path, write=disk.write)
    with pytest.raises(StorageFull, match="No space left"):
        written(log, [[prediction(1)]])
    with pytest.raises(StorageFull):
        written(log, [[prediction(1)]])
    full = False
    deadline = time.monotonic() + 5
    ids = []
    while not ids and time.monotonic() < deadline:
        try:
            ids = written(log, [[prediction(2)]])
        except StorageFull:
            time.sleep(0.02)
    log.close()
    assert records.find(ids[0], tmp_path).record == prediction(2)
    assert sum(seal(path).records for path in ended(tmp_path)) == 1


@pytest.mark.parametrize("acknowledge", ["fsynced", "written"])
def test_killed_at_random_instants_nothing_acknowledged_is_lost_or_doubled(tmp_path, acknowledge):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.serving.log_child"])
    chance = random.Random(11)
    acknowledged: dict[str, str] = {}
    for _ in range(25):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=log_until_killed, args=(str(tmp_path), theirs, acknowledge), daemon=True)
        child.start()
        theirs.close()
        assert ours.poll(20)
        until = time.monotonic() + chance.uniform(0.0, 0.05)
        try:
            while True:
                if time.monotonic() >= until and child.is_alive():
                    child.kill()
                id, rest = ours.recv_bytes().decode().split(" ", 1)
                assert id not in acknowledged
                acknowledged[id] = rest
        except EOFError:
            pass
        child.join()
        ours.close()
    assert len(acknowledged) > 25 * 16
    found: dict[str, str] = {}
    for path in ended(tmp_path):
        seal(path)
        for each in records.read(path)[0]:
            assert each.id not in found
            found[each.id] = f"{type(each.record).__name__} {each.record.key['flight_id']}"
    assert len(ended(tmp_path)) == len(records.segments(tmp_path)) >= 25
    lost = {id: said for id, said in acknowledged.items() if found.get(id) != said}
    assert lost == {}
    some = random.Random(3).sample(sorted(acknowledged), 20)
    for id in some:
        assert isinstance(records.find(id, tmp_path).record, Prediction | Outcome)


def test_sealed_segments_are_rows_and_an_id_leads_to_its_lake_version(tmp_path):
    state = State(tmp_path / "state.db")
    one = segments.Segment("abc-1.log", "abc", 1, 90, 90, "0" * 64, 1234, "2013-02-01T00:00:00+00:00")
    two = segments.Segment("abc-91.log", "abc", 91, 100, 10, "1" * 64, 123, "2013-02-02T00:00:00+00:00")
    for _ in range(2):
        with state.transact() as tx:
            segments.put(tx, one)
            segments.put(tx, two)
    assert segments.pending(state) == segments.all(state) == [one, two]
    with state.transact() as tx:
        segments.committed(tx, "abc-1.log", 7)
    assert segments.pending(state) == [two]
    assert segments.get(state, "abc-1.log").lake_version == 7
    assert segments.get(state, "nothing") is None
    assert segments.holding(state, "abc", 90).name == "abc-1.log"
    assert segments.holding(state, "abc", 91) == two
    assert segments.holding(state, "abc", 101) is None
    state.close()
