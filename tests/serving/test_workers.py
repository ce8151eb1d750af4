import asyncio
import json
import os
import signal
import time
from array import array
from pathlib import Path

import msgspec
import pytest

from millstream.errors import IntegrityError, Refused, Unavailable
from millstream.serving import records
from millstream.serving.client import Client
from millstream.serving.models import PythonFile, load
from millstream.training.remote import Remote
from millstream.training.worker import Opening, open_model
from tests.serving import mill, moods
from tests.serving.test_server import PREDICT, ask, has_ended, started, until

NOON = moods.at_hour(mill.ROW, 12)
BASELINE, BEFORE = 0.2, 0.3


@pytest.fixture(scope="module")
def remote():
    files = moods.files()
    content = {name: each if isinstance(each, bytes) else each.encode() for name, each in files.items()}
    said = msgspec.convert(moods.said() | {"task": "binary", "features": ["a", "b", "hour", "c"]}, PythonFile)
    made = load(said, content.__getitem__, name="late@9")
    made.wait()
    yield made
    made.close()


def rows(*hours):
    return array("d", [value for hour in hours for value in (13.5, 0.0, hour, 1.0)])


def test_many_answers_are_those_of_one_by_one(remote):
    hours = [each % 24 for each in range(700) if each % 24 not in (1, 2, 3)]
    one = [remote.predict_one(rows(hour)) for hour in hours[:40]]
    assert remote.predict_many(rows(*hours), len(hours))[:40] == one
    assert remote.predict_many(array("d"), 0) == []


def test_waiting_requests_go_together_and_only_the_bad_one_fails(remote):
    async def ask_all():
        end = time.monotonic() + 10
        asked = [remote.predict_soon(rows(hour), 1, end) for hour in (5, 6, 1, 7)]
        return await asyncio.gather(*asked, return_exceptions=True)

    five, six, bad, seven = asyncio.run(ask_all())
    assert [five, six, seven] == [[remote.predict_one(rows(hour))] for hour in (5, 6, 7)]
    assert isinstance(bad, Unavailable) and "ValueError: an hour I do not like" in bad.happened


def test_a_pickle_is_not_opened_outside_a_worker():
    files = {name: each for name, each in moods.files().items() if name == "model.pickle"}
    with pytest.raises(Refused, match=r"model\.pickle may run code"):
        open_model(Opening(moods.said(code=[]), files))


def test_a_model_that_cannot_be_opened_says_why():
    remote = Remote(Opening(moods.said(code=[]) | {"features": []}, {"model.pickle": b"no"}), name="late@9", width=4)
    try:
        with pytest.raises(IntegrityError, match="late@9 cannot be opened: UnpicklingError"):
            remote.wait()
    finally:
        remote.close()


def opened(**changes):
    files = moods.files()
    beside = {name: each.encode() if isinstance(each, str) else each for name, each in files.items()}
    said = moods.said(**changes) | {"features": ["a", "b", "hour", "c"]}
    return Opening(said, beside)


def test_several_values_a_row_come_as_they_were_given():
    remote = Remote(opened(method="predict_proba"), name="late@9", width=4)
    try:
        late = 0.5 + 5 / 1000 + 13.5e-6
        assert remote.predict_many(rows(5, 5), 2) == [pytest.approx((1 - late, late), abs=1e-15)] * 2
    finally:
        remote.close()


def test_an_interpreter_that_is_not_there_is_named():
    remote = Remote(opened(), name="late@9", width=4, python="/no/such/python")
    try:
        with pytest.raises(IntegrityError, match="cannot be started: /no/such/python: No such file") as refused:
            remote.wait()
        assert "server.python" in refused.value.do
    finally:
        remote.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server that had a plain release live and was told to swap to a moody one; what callers saw meanwhile."""
    project = mill.Project(tmp_path_factory.mktemp("moody") / "project")
    manifest = {"manifest.json": json.dumps(moods.MANIFEST)}
    first = project.build(model={"kind": "constant", "value": BEFORE}, files=manifest)
    second = project.build(model=moods.said(), files=moods.files())
    project.point(first)
    with started(project) as process:
        project.process = process
        until(lambda: not one(project)["degraded"])
        generation = project.point(second)
        project.seen = []
        until(lambda: project.seen.append(one(project)) or project.lease().generations == {"late": generation})
        yield project
    project.state.close()


def one(project, hour=12):
    status, said = ask(project, body={"rows": [moods.at_hour(mill.ROW, hour)]})
    assert status == 200, said
    return said["predictions"][0]


def again(project):
    """Wait until the champion answers again."""
    return until(lambda: (said := one(project))["answered_by"] == "champion" and said)


def reason(project, answer):
    return records.find(answer["id"], project.places.log).record.reason


def workers(project):
    listed = Path(f"/proc/{project.process.pid}/task").glob("*/children")
    return [int(pid) for each in listed for pid in each.read_text().split()]


def test_a_worker_is_started_before_its_release_answers(served):
    assert {(each["version"], each["answered_by"], each["degraded"]) for each in served.seen} <= {
        (1, "champion", False),
        (2, "champion", False),
    }
    assert served.seen[0]["version"] == 1
    answer = one(served)
    assert (answer["version"], answer["answered_by"]) == (2, "champion")
    assert answer["value"] == pytest.approx(0.5 + 12 / 1000 + 13.5e-6, abs=1e-15)
    assert "numpy" not in Path(f"/proc/{served.process.pid}/maps").read_text(), "the server itself stays small"
    assert ask(served, "GET", "/health")[1]["models"]["late"]["worker"] == "ready"


def test_an_answer_that_raises_is_the_release_before_and_says_why(served):
    answer = one(served, hour=1)
    assert (answer["value"], answer["version"], answer["answered_by"]) == (BEFORE, 1, "previous")
    assert "ValueError: an hour I do not like" in reason(served, answer)
    assert one(served)["answered_by"] == "champion"


@pytest.mark.parametrize(("hour", "words"), [(2, "ended with code 3"), (3, "did not answer by the deadline")])
def test_a_request_that_ends_or_hangs_the_worker_fails_over_in_time(served, hour, words):
    again(served)
    began = time.monotonic()
    answer = one(served, hour=hour)
    assert time.monotonic() - began < moods.DEADLINE_MS / 1000 + 0.5
    assert (answer["value"], answer["answered_by"]) == (BEFORE, "previous") and words in reason(served, answer)
    assert again(served)["version"] == 2


def test_a_killed_worker_is_replaced_and_meanwhile_the_fallback_answers(served):
    again(served)
    [pid] = workers(served)
    os.kill(pid, signal.SIGKILL)
    until(lambda: one(served)["answered_by"] == "previous" or workers(served) not in ([pid], []))
    assert again(served)["value"] == pytest.approx(0.5, abs=0.1)
    assert workers(served) != [pid]


def test_callers_at_once_get_each_their_own_answer(served):
    again(served)

    async def ask_all():
        async with Client(served.running().url, connections=16) as client:
            bodies = [json.dumps({"rows": [moods.at_hour(mill.ROW, hour)] * 3}).encode() for hour in range(4, 16)] * 4
            return await asyncio.gather(*(client.post(PREDICT, body) for body in bodies))

    answers = [[each["value"] for each in json.loads(body)["predictions"]] for _, body in asyncio.run(ask_all())]
    assert answers == [[one(served, hour)["value"]] * 3 for hour in range(4, 16)] * 4


def test_a_worker_of_a_release_that_is_gone_ends(served):
    again(served)
    [pid] = workers(served)
    plain = served.build(model={"kind": "constant", "value": 0.6}, files={"manifest.json": json.dumps(moods.MANIFEST)})
    served.point(plain)
    until(lambda: one(served)["value"] == 0.6)
    assert not has_ended(pid), "it is the release before: it stands in"
    served.point(served.build(model={"kind": "constant", "value": 0.7}))
    until(lambda: has_ended(pid))


def test_a_tampered_pickle_is_never_live(served):
    good = one(served)
    bad = served.build(model=moods.said(), files=moods.files(share=0.4))
    file = served.places.releases / bad / "model.pickle"
    file.chmod(0o600)
    file.write_bytes(bytes(reversed(file.read_bytes())))
    served.point(bad)
    answer = until(lambda: (said := one(served))["degraded"] and said)
    assert (answer["value"], answer["answered_by"]) == (good["value"], "previous")
    assert "model.pickle" in ask(served, "GET", "/health")[1]["problems"]["late"]


def test_a_release_holds_only_the_code_that_its_model_names(tmp_path):
    project = mill.Project(tmp_path / "project")
    try:
        for name in ("code/other.py", "other.pickle"):
            with pytest.raises(Refused, match=name):
                project.build(model=moods.said(), files=moods.files(**{name: b"x"}))
        with pytest.raises(Refused, match=r"model\.pickle"):
            project.build(model={"kind": "constant"}, files={"model.pickle": b"x"})
    finally:
        project.state.close()
