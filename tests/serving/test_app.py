import asyncio
import http.client
import json
import socket
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.errors import StorageFull, Unavailable
from millstream.serving import records
from millstream.serving.app import Limits
from millstream.serving.client import Client
from tests.serving import mill
from tests.serving.conftest import Served, serving

PREDICT = "/v1/models/late/predict"


def ask(served, method, path, body=None, headers=None):
    """Send one request; return status, decoded body and headers."""
    connection = http.client.HTTPConnection(*served.address, timeout=10)
    try:
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, body=raw, headers=headers or {})
        answer = connection.getresponse()
        said = answer.read()
        kind = answer.headers.get("content-type", "")
        return answer.status, json.loads(said) if "json" in kind else said, answer.headers
    finally:
        connection.close()


def test_an_answer_says_who_gave_it_and_its_record_is_there_when_it_arrives(served):
    status, said, _ = ask(served, "POST", PREDICT, {"rows": [mill.ROW, mill.ROW | {"carrier": "AA", "flight_id": 8}]})
    assert status == 200
    first, second = said["predictions"]
    assert set(first) == {"id", "value", "version", "answered_by", "degraded"}
    assert (first["version"], first["answered_by"], first["degraded"]) == (2, "champion", False)
    logged = records.find(first["id"], served.log.folder).record
    assert (logged.model, logged.version, logged.release, logged.key) == ("late", 2, "new", {"flight_id": 7})
    assert (logged.at_us, logged.value, logged.row) == (5_000_000, first["value"], mill.ROW)
    assert logged.values() == [13.5, 61.0, 7.0, 1.0] and logged.applied == {"flights": 3}
    assert records.find(second["id"], served.log.folder).record.key == {"flight_id": 8}


def test_a_replay_server_answers_for_the_instant_that_is_asked(served):
    status, said, _ = ask(served, "POST", PREDICT, {"rows": [mill.ROW], "at": "1970-01-01T00:00:00.5Z"})
    assert status == 200
    logged = records.find(said["predictions"][0]["id"], served.log.folder).record
    assert logged.at_us == 500_000 and logged.values()[:2] == [12.5, 60.0]


def test_no_rows_are_no_predictions(served):
    assert ask(served, "POST", PREDICT, {"rows": []})[:2] == (200, {"predictions": []})


def test_many_rows_answer_as_one_by_one(served):
    batch = [mill.ROW | {"flight_id": n, "distance": float(n * 37 % 3000)} for n in range(200)]
    _, many, _ = ask(served, "POST", PREDICT, {"rows": batch})
    one = [ask(served, "POST", PREDICT, {"rows": [row]})[1]["predictions"][0]["value"] for row in batch[::20]]
    assert [each["value"] for each in many["predictions"]][::20] == one


@pytest.mark.parametrize(
    "key", [7, {"flight_id": 7}],
)  # fmt: skip
def test_outcomes_are_durable(served, key):
    status, said, _ = ask(served, "POST", "/v1/models/late/outcomes", {"outcomes": [{"key": key, "label": True}]})
    assert status == 200
    logged = records.find(said["outcomes"][0]["id"], served.log.folder).record
    assert logged == records.Outcome(5_000_000, logged.wall_us, "late", {"flight_id": 7}, True)


@pytest.mark.parametrize("key", [None, {"flight": 7}, {}, {"flight_id": 7, "x": 1}])
def test_an_outcome_names_its_row(served, key):
    status, said, _ = ask(served, "POST", "/v1/models/late/outcomes", {"outcomes": [{"key": key, "label": 1}]})
    assert status == 422 and "flight_id" in said["expected"]


MLFLOW = {"form.mean": 12.5, "form.max": None, "at_request.hour": 7, "at_request.long_haul": True}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": list(MLFLOW), "data": [list(MLFLOW.values())]}},
        {"dataframe_records": [MLFLOW]},
        {"instances": [MLFLOW]},
        {"instances": [list(MLFLOW.values())]},
        {"inputs": {name: [value] for name, value in MLFLOW.items()}},
        {"inputs": [MLFLOW]},
    ],
)
def test_mlflow_scoring_protocol_in_its_forms(served, body):
    status, said, _ = ask(served, "POST", "/invocations", body)
    assert status == 200
    expected = served.chain.champion.score_features([[12.5, None, 7, True]])[0].value
    assert said == {"predictions": [expected]}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"instances": [], "inputs": []},
        {"dataframe_records": [{"form.mean": 1}]},
        {"dataframe_records": [{"form.maen": 1, **MLFLOW}]},
        {"dataframe_records": [{**MLFLOW, "form.mean": "1"}]},
        {"dataframe_split": {"columns": list(MLFLOW), "data": [[1]]}},
        {"inputs": {"form.mean": [1, 2], "form.max": [1]}},
        {"instances": [[1, 2]]},
        {"instances": "x"},
        {"params": {}},
    ],
)
def test_mlflow_bodies_that_are_not_the_models_are_refused(served, body):
    assert ask(served, "POST", "/invocations", body)[0] == 422


def test_what_it_says_of_itself(served):
    assert ask(served, "GET", "/ping")[0] == 200
    status, health, _ = ask(served, "GET", "/health")
    assert (status, health["status"], health["leased"], health["acknowledges"]) == (200, "ok", True, "fsynced")
    _, models, _ = ask(served, "GET", "/v1/models")
    [model] = models["models"]
    assert ask(served, "GET", "/v1/models/late")[1] == model
    assert model["row"] == {
        "flight_id": "any", "carrier": "varchar", "scheduled_departure": "timestamptz", "distance": "double"
    }  # fmt: skip
    assert (model["version"], model["previous"], model["generation"]) == (2, 1, 2)
    _, metrics, _ = ask(served, "GET", "/metrics")
    assert b'millstream_predictions_total{answered_by="champion",model="late"}' in metrics
    _, api, _ = ask(served, "GET", "/openapi.json")
    assert "/v1/models/{model}/predict" in api["paths"]
    assert ask(served, "HEAD", "/ping")[0] == 200


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (PREDICT, '{"rows": [{column: value, ...}, ...]}'),
        ("/v1/models/late/outcomes", '{"outcomes": [{"id": "06gv-12", "label": value}, ...]}'),
        ("/invocations", '{"dataframe_records": [{feature: value, ...}, ...]}'),
    ],
)
def test_a_body_that_cannot_be_read_is_told_the_form_of_one_that_can(served, path, form):
    status, said, _ = ask(served, "POST", path, b'{"row": []}')
    assert status == 422 and form in said["expected"] and "openapi.json" in said["do"]


NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"1e400", b'"1"', b"true", b"1" * 400]


@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_not_a_number_is_no_number(served, number):
    body = json.dumps({"rows": [mill.ROW]}).encode().replace(b"1600.0", number)
    status, said, headers = ask(served, "POST", PREDICT, body)
    assert status == 422 and headers["content-type"] == "application/problem+json"
    assert said["status"] == 422 and said["detail"] and said["expected"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", PREDICT, b"", 422),
        ("POST", PREDICT, b"{", 422),
        ("POST", PREDICT, b"\xff\xfe", 422),
        ("POST", PREDICT, b'{"rows": [' + b"9" * 900_000 + b"]}", 422),
        ("POST", PREDICT, b'{"rows": [{"distance": ' + b"9" * 900_000 + b"}]}", 422),
        ("POST", PREDICT, b'{"rows": ' + b"[" * 200_000, 422),
        ("POST", PREDICT, b'{"rows": [{"a": ' + b'{"a":' * 100_000, 422),
        ("POST", PREDICT, b"[" * 900_000, 422),
        ("POST", PREDICT, b'{"rows": [], "x": ' + b"[" * 200_000, 422),
        ("POST", PREDICT, b'{"rows": [], "at": "yesterday"}', 422),
        ("POST", PREDICT, {"rows": [{}]}, 422),
        ("POST", PREDICT, {"rows": [mill.ROW | {"tail": 1}]}, 422),
        ("POST", PREDICT, {"rows": [mill.ROW], "extra": 1}, 422),
        ("POST", PREDICT, b"x" * 1_500_000, 413),
        ("GET", PREDICT, None, 405),
        ("DELETE", "/v1/models/late", None, 405),
        ("POST", "/ping", b"", 405),
        ("POST", "/v1/models/lat/predict", b"{}", 404),
        ("GET", "/v1/models/lat", None, 404),
        ("GET", "/", None, 404),
        ("GET", "/v1/models/", None, 404),
        ("GET", "/v1/models/late/../../etc/passwd", None, 404),
        ("GET", "/v1/models/%2e%2e/%252e", None, 404),
    ],
)  # fmt: skip
def test_bad_requests_are_refused_with_a_problem_that_helps(served, method, path, body, status):
    begun = time.monotonic()
    found, said, headers = ask(served, method, path, body)
    assert found == status and time.monotonic() - begun < 5
    assert headers["content-type"] == "application/problem+json"
    assert said["status"] == status and said["detail"] and "Traceback" not in json.dumps(said)
    assert ask(served, "POST", PREDICT, {"rows": [mill.ROW]})[0] == 200


def test_near_matches_are_named(served):
    _, said, _ = ask(served, "POST", "/v1/models/lat/predict", {"rows": []})
    assert "did you mean 'late'?" in said["expected"] and said["do"] == "GET /health says what is live"
    _, said, _ = ask(served, "POST", PREDICT, {"rows": [mill.ROW | {"distanec": 1.0}]})
    assert "did you mean 'distance'?" in said["detail"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost@evil", ""])
def test_a_foreign_host_is_refused_on_every_route(served, host):
    for method, path in [("GET", "/ping"), ("GET", "/v1/models"), ("POST", PREDICT), ("POST", "/invocations")]:
        status, _, _ = ask(served, method, path, {"rows": []} if method == "POST" else None, {"Host": host})
        assert status == 400


def raw(served, data, *, wait=8.0, pieces=1, pause=0.0):
    """Send bytes as they are, maybe slowly; return what comes back before the connection ends or goes quiet."""
    with socket.create_connection(served.address, timeout=wait) as connection:
        step = max(1, len(data) // pieces)
        try:
            for start in range(0, len(data), step):
                connection.sendall(data[start : start + step])
                if pause:
                    time.sleep(pause)
            return connection.recv(65536)
        except (ConnectionError, TimeoutError):
            return b""


def test_two_hosts_no_host_and_a_bad_length_are_refused(served):
    for head in (b"host: localhost\r\nhost: evil\r\n", b"", b"host: localhost\r\ncontent-length: x\r\n"):
        assert raw(served, b"GET /ping HTTP/1.1\r\n" + head + b"\r\n")[9:12] == b"400"


def test_a_body_that_grows_beyond_the_limit_is_cut_off(served):
    head = f"POST {PREDICT} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    assert raw(served, head + chunk * 40 + b"0\r\n\r\n")[9:12] == b"413"
    assert raw(served, head.replace(b"transfer-encoding: chunked", b"content-length: 100000000"))[9:12] == b"413"


def test_a_slow_body_is_given_up(tmp_path):
    made = Served(tmp_path, limits=Limits(body_s=0.2))
    with serving(made.app) as made.address:
        head = f"POST {PREDICT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n".encode()
        begun = time.monotonic()
        assert raw(made, head + b'{"rows"')[9:12] == b"408"
        assert time.monotonic() - begun < 5
    made.log.close()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*mill.ROW, "rows", "x"]), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=anything | st.lists(st.fixed_dictionaries(dict.fromkeys(mill.ROW, anything)), max_size=3))
def test_no_body_makes_the_server_fail(served, rows):
    for path, field in ((PREDICT, "rows"), ("/v1/models/late/outcomes", "outcomes"), ("/invocations", "inputs")):
        status, said, _ = ask(served, "POST", path, {field: rows})
        assert status in (200, 422), said
        for each in said.get("predictions", []):
            assert np.isfinite(each["value"] if isinstance(each, dict) else each)


def test_a_broken_online_store_degrades_and_the_log_says_why(served):
    served.store.broken = True
    try:
        _, said, _ = ask(served, "POST", PREDICT, {"rows": [mill.ROW]})
    finally:
        served.store.broken = False
    [one] = said["predictions"]
    assert (one["value"], one["answered_by"], one["degraded"]) == (0.2, "baseline", True)
    assert "online store" in records.find(one["id"], served.log.folder).record.reason


def test_without_a_lease_nothing_answers_as_champion(served):
    until, served.live.lease_until = served.live.lease_until, 0.0
    try:
        _, said, _ = ask(served, "POST", PREDICT, {"rows": [mill.ROW]})
        _, health, _ = ask(served, "GET", "/health")
    finally:
        served.live.lease_until = until
    [one] = said["predictions"]
    assert (one["value"], one["answered_by"], one["version"], one["degraded"]) == (0.4, "previous", 1, True)
    assert health["status"] == "degraded"


def test_only_a_replay_server_takes_an_instant_and_a_full_log_lets_nothing_leave(tmp_path):
    def refuse(_descriptor, _data):
        raise OSError(28, "No space left on device")

    made = Served(tmp_path, log={"write": refuse})
    with serving(made.app) as made.address:
        status, said, _ = ask(made, "POST", PREDICT, {"rows": [mill.ROW], "at": "2013-02-01T00:00:00Z"})
        assert status == 403 and "--replay" in said["do"]
        status, said, _ = ask(made, "POST", PREDICT, {"rows": [mill.ROW]})
        assert status == 507 and said["title"] == StorageFull.__name__
        assert ask(made, "GET", "/ping")[0] == 200
    made.log.close()


def test_more_than_it_can_take_is_refused_at_once_and_goodput_stays(tmp_path):
    release = threading.Event()

    def slow(descriptor):
        release.wait(10)

    made = Served(tmp_path, limits=Limits(in_flight=8), log={"sync": slow})

    async def flood():
        async with Client("http://{}:{}".format(*made.address), connections=24) as client:
            body = json.dumps({"rows": [mill.ROW]}).encode()
            asked = [asyncio.create_task(client.post(PREDICT, body)) for _ in range(24)]
            begun = time.perf_counter()
            while sum(each.done() for each in asked) < 16:
                await asyncio.sleep(0.001)
            refused_s = time.perf_counter() - begun
            release.set()
            return [status for status, _ in await asyncio.gather(*asked)], refused_s

    with serving(made.app) as made.address:
        statuses, refused_s = asyncio.run(flood())
        assert sorted(statuses) == [200] * 8 + [503] * 16
        assert refused_s < 2
        assert ask(made, "POST", PREDICT, {"rows": [mill.ROW]})[0] == 200
    made.log.close()


def test_a_log_that_hangs_is_no_answer_and_503_says_when_to_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr("millstream.serving.app._LOG_TIMEOUT_S", 0.1)
    release = threading.Event()
    made = Served(tmp_path, log={"sync": lambda _descriptor: release.wait(10)})
    with serving(made.app) as made.address:
        status, said, headers = ask(made, "POST", PREDICT, {"rows": [mill.ROW]})
        release.set()
    assert (status, said["title"], headers["retry-after"]) == (503, Unavailable.__name__, "1")
    made.log.close()


def test_the_client_keeps_connections_and_sends_again_what_a_closed_one_swallowed(served):
    async def run():
        async with Client("http://{}:{}".format(*served.address), connections=4) as client:
            found = await asyncio.gather(*(client.predict("late", [mill.ROW | {"flight_id": n}]) for n in range(50)))
            assert len({each[0]["id"] for each in found}) == 50
            [free, *_] = client._free
            assert len(client._free) <= 4
            free._transport.abort()
            await asyncio.sleep(0)
            assert len(await client.outcomes("late", [{"key": 7, "label": False}])) == 1
            with pytest.raises(Unavailable, match="422"):
                await client.predict("late", [{}])
            return await client.get("/ping")

    assert asyncio.run(run())[0] == 200


def test_swaps_under_load_drop_nothing_and_each_answer_is_from_one_release(tmp_path):
    made = Served(tmp_path)
    chains = [made.chain, type(made.chain)(made.chain.previous, previous=made.chain.champion, generation=3)]
    values = {2: ask_value(made, chains[0]), 1: ask_value(made, chains[1])}
    stop = threading.Event()

    def swap():
        turn = 0
        while not stop.wait(0.001):
            turn += 1
            made.live.replace({"late": chains[turn % 2]}, {})

    async def load():
        async with Client("http://{}:{}".format(*made.address), connections=16) as client:
            body = json.dumps({"rows": [mill.ROW]}).encode()

            async def caller():
                found = []
                for _ in range(60):
                    status, said = await client.post(PREDICT, body)
                    assert status == 200
                    found += json.loads(said)["predictions"]
                return found

            return [each for found in await asyncio.gather(*(caller() for _ in range(16))) for each in found]

    with serving(made.app) as made.address:
        swapper = threading.Thread(target=swap)
        swapper.start()
        answers = asyncio.run(load())
        stop.set()
        swapper.join()
    made.log.close()
    assert len(answers) == 960
    assert {each["version"] for each in answers} == {1, 2}
    assert all(each["value"] == values[each["version"]] and each["answered_by"] == "champion" for each in answers)


def ask_value(made, chain):
    [answer] = chain.answer([mill.ROW], [5_000_000], until=float("inf"))
    return answer.value


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**70), 10**300])
@pytest.mark.parametrize("work", ["predict", "outcomes"])
def test_a_number_no_log_can_hold_is_refused_and_not_an_error_of_ours(served, work, number):
    sent = {
        "predict": {"rows": [mill.ROW | {"flight_id": number}]},
        "outcomes": {"outcomes": [{"key": number, "label": True}]},
    }[work]
    status, said, _ = ask(served, "POST", f"/v1/models/late/{work}", sent)
    assert status == 422 and "64 bits" in said["expected"], said


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2262-01-01T00:00:00Z"])
def test_an_instant_that_has_no_day_before_or_after_is_refused(served, at):
    status, said, _ = ask(served, "POST", PREDICT, {"rows": [mill.ROW], "at": at})
    assert status == 422 and "1678" in said["expected"], said


@pytest.mark.parametrize("work", ["predict", "outcomes"])
def test_a_page_of_another_site_may_neither_ask_nor_report(served, work):
    host, port = served.address
    path = f"/v1/models/late/{work}"
    body = {"rows": []} if work == "predict" else {"outcomes": []}
    for origin in ("http://evil.example", "null", f"http://{host}:{port + 1}", "http://localhost"):
        assert ask(served, "POST", path, body, {"Origin": origin})[0] == 403, origin
    assert ask(served, "POST", path, body, {"Origin": f"http://{host}:{port}"})[0] == 200
    assert ask(served, "POST", path, body)[0] == 200


def test_a_length_of_five_thousand_digits(served):
    for digits, status in (("0" * 5000 + "2", 422), ("9" * 17, 413)):
        with socket.create_connection(served.address, timeout=10) as raw:
            raw.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {digits}\r\n\r\n{{}}".encode())
            assert raw.recv(4096).split(b" ")[1] == str(status).encode()
