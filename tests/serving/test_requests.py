"""Rows that callers send, held against the contract and against what training has seen."""

import time

import msgspec
import pytest

from millstream.definitions.traffic import Champion
from millstream.errors import BadData
from millstream.features.requests import Gate, Requests, Rule, safe_pattern
from millstream.serving import records
from millstream.serving.chain import Chain
from tests.serving import mill
from tests.serving.conftest import Served, serving
from tests.serving.test_app import PREDICT, ask

RULES = Requests(
    "flights",
    (
        Rule("distance", "contract", low=0, high=6000),
        Rule("distance", "contract", filled=True),
        Rule("carrier", "contract", pattern="[A-Z0-9]{2}"),
        Rule("distance", "training", low=80, high=4983),
        Rule("carrier", "training", values=("AA", "UA")),
    ),
)


@pytest.fixture(scope="module")
def gated(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("gated"))
    made.chain.champion.gate = Gate(RULES)
    with serving(made.app) as made.address:
        yield made
    made.log.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"distance": -5.0}, ["distance is -5.0, outside 0 to 6000 (contract of flights)"]),
        ({"distance": None}, ["distance is NULL, which it may not be (contract of flights)"]),
        ({"distance": 5500.0}, ["distance is 5500.0, outside 80 to 4983, all that training has seen"]),
        ({"carrier": "DL"}, ["carrier is 'DL', never seen in training"]),
        (
            {"carrier": "delta", "distance": 1e9},
            [
                "distance is 1000000000.0, outside 0 to 6000 (contract of flights)",
                "carrier is 'delta', which does not match [A-Z0-9]{2} (contract of flights)",
            ],
        ),
    ],
)
def test_a_request_outside_is_answered_and_said_so(gated, change, says):
    status, said, _ = ask(gated, "POST", PREDICT, {"rows": [mill.ROW, mill.ROW | change]})
    assert status == 200
    good, odd = said["predictions"]
    assert "warnings" not in good and odd["warnings"] == says and odd["answered_by"] == "champion"
    assert records.find(odd["id"], gated.log.folder).record.said["warnings"] == says
    assert b'millstream_request_fields_odd_total{field="' in ask(gated, "GET", "/metrics")[1]


def test_a_strict_model_refuses_what_breaks_the_contract_and_only_that(gated):
    loose = gated.chain
    strict = Chain(loose.champion, previous=loose.previous, traffic=Champion(strict=True), generation=3)
    gated.live.replace({"late": strict}, {})
    try:
        status, said, _ = ask(gated, "POST", PREDICT, {"rows": [mill.ROW, mill.ROW | {"distance": -5.0}]})
        assert status == 422 and "row 1: field distance is -5.0, outside 0 to 6000" in said["detail"]
        status, said, _ = ask(gated, "POST", PREDICT, {"rows": [mill.ROW | {"distance": 5500.0}]})
        assert status == 200 and said["predictions"][0]["warnings"]
    finally:
        gated.live.replace({"late": loose}, {})


def test_rules_travel_as_plain_data():
    assert msgspec.json.decode(msgspec.json.encode(RULES), type=Requests) == RULES
    with pytest.raises(BadData, match="field distance"):
        Gate(RULES).refuse([{"distance": 7000.0, "carrier": "UA"}])


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|aa)+b", "a*a*a*b", "(?i)x", r"\p{Lu}", "[a-z&&[^b]]", "^a$", "(a{1,9}){9}"]
)
def test_patterns_that_could_hang_or_mean_something_else_are_left_out(pattern):
    assert not safe_pattern(pattern)


def test_what_is_taken_cannot_hang():
    pattern = "[a-z]*[a-z]*b"
    assert safe_pattern(pattern)
    gate = Gate(Requests("t", (Rule("x", "contract", pattern=pattern),)))
    began = time.perf_counter()
    assert gate.look({"x": "a" * 1000})
    assert gate.look({"x": "a" * 1_000_000})
    assert time.perf_counter() - began < 0.5
