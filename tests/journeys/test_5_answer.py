"""Step 5: every decision is answered over HTTP, logged before the answer leaves, and joined with what became true."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from millstream.features import point_in_time
from millstream.features.plan import FeaturePlan
from millstream.features.rows import from_request
from millstream.project import Project
from millstream.serving.client import Client
from millstream.serving.records import Prediction
from millstream.state import observations
from millstream.types import from_micros
from tests.awaited import until
from tests.journeys.answered import logged
from tests.journeys.conftest import FIRST, LAST, February, Prepared
from tests.journeys.house import MODEL, Up


def test_every_request_is_answered_by_the_champion_and_is_in_the_log(february: February) -> None:
    kept = logged(february.house)
    given = [answer for answers in february.answers.values() for answer in answers.given]
    assert len(february.answers) == (LAST - FIRST).days + 1 and len(given) > 2000
    assert all(not each.refused and not each.broken for each in february.answers.values())
    assert len({each["id"] for each in given}) == len(given) == len(kept)
    for each in given:
        said = kept[each["id"]]
        assert (said.value, said.version, said.answered_by) == (each["value"], 1, "champion")
        assert 0.0 < each["value"] < 1.0 and not each["degraded"]


def test_law_1_served_features_are_those_of_a_point_in_time_read(february: February) -> None:
    answers = list(logged(february.house).values())
    assert len({from_micros(each.at_us).date() for each in answers}) >= (LAST - FIRST).days
    with february.house.opened() as project:
        plan = _plan(project)
        groups: dict[tuple[tuple[str, int], ...], list[Prediction]] = {}
        for each in answers:
            groups.setdefault(tuple(sorted(each.applied.items())), []).append(each)
        assert len(groups) >= (LAST - FIRST).days, "features were kept current every day"
        compared = 0
        for applied, some in list(groups.items())[::3]:
            compared += _compare(project, plan, dict(applied), some)
    assert compared >= 200


def test_every_night_proves_all_that_was_served_on_the_day(february: February) -> None:
    """Row by row, at the versions each answer named, through the servers, the log and the lake."""
    with february.house.opened() as project:
        proofs = observations.series(project.state, MODEL, "parity", "served")
        stands = project.run("status")["models"][0]["parity"]
    assert [each.day for each in proofs] == [str(day) for day in february.answers]
    for each, answers in zip(proofs, february.answers.values(), strict=True):
        assert each.verdict == "ok" and each.detail["digests"] == {"held": len(answers.given)}, each.says
        assert each.detail["equal"] == each.detail["compared"] == each.detail["answers"] == len(answers.given)
    assert stands["day"] == str(LAST) and stands["different"] == 0
    late = {each.day: each.detail["late"] + each.detail["unseen"] for each in proofs}
    assert not any(late.values()), f"facts came later than their table's lag, so training would read otherwise: {late}"


def _plan(project: Project) -> FeaturePlan:
    live = project.releases.live(MODEL)
    assert live is not None
    return FeaturePlan.decode((Path(live.path) / "plan.json").read_bytes())


def _compare(project: Project, plan: FeaturePlan, applied: dict[str, int], some: list[Prediction]) -> int:
    spine = pl.concat(from_request(plan, each.row, at=from_micros(each.at_us)) for each in some)
    tables = {name: project.lake.read(name, version=applied[name]) for name in plan.tables}
    numbers = [pl.col(each.name).cast(pl.Float64).fill_null(float("nan")) for each in plan.columns]
    read = point_in_time(plan, spine, tables).select(numbers)
    for place, (said, row) in enumerate(zip(some, read.iter_rows(), strict=True)):
        assert said.values() == pytest.approx(row, rel=1e-9, abs=1e-9, nan_ok=True), (said.row, applied, place)
    return len(some)


def test_windows_expire_between_commits(february: February) -> None:
    """Answers of one day about one airport differ in features of old facts alone: nothing was committed between."""
    day = next(iter(february.answers.values()))
    kept = logged(february.house)
    with february.house.opened() as project:
        names = [each.name for each in _plan(project).columns]
    place = names.index("origin_form.dep_delay_2d")
    mine = [kept[each] for each in day.ids if kept[each].row["origin"] == "JFK"]
    assert len({tuple(sorted(each.applied.items())) for each in mine}) == 1
    assert len({each.values()[place] for each in mine}) > len(mine) / 2


def test_outcomes_join_when_flights_land(february: February) -> None:
    status = february.house.run("status")
    assert status["predictions"] == sum(len(each.given) for each in february.answers.values())
    assert 0.85 * status["predictions"] < status["outcomes"] < status["predictions"]
    with february.house.opened() as project:
        first = next(iter(february.answers.values())).ids[0]
        told = project.run("why", {"prediction": first})
    assert told["outcome"] is not None and isinstance(told["outcome"]["label"], bool)
    landed = pl.read_parquet(february.house.root / "ops/movements/movements-2013-02-01.parquet")
    (truth,) = landed.filter(pl.col("flight_id") == told["row"]["flight_id"])["arr_delay"]
    assert told["outcome"]["label"] is (truth > 15)


@pytest.fixture(scope="module")
def served(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Any:
    house = prepared.house.copy(tmp_path_factory.mktemp("served") / "mill")
    with house.up() as up:
        up.answering()
        yield up


def test_a_restarted_scoring_server_answers_the_same(served: Up) -> None:
    decisions = served.house.decisions(FIRST)[:40]
    before = served.ask(decisions)
    process = served.supervisor.scoring.process
    assert process is not None
    os.kill(process.pid, signal.SIGTERM)
    until(lambda: served.supervisor.scoring.process is not process, "started again")
    served.answering()
    after = served.ask(decisions)
    value = lambda answers: sorted(each["value"] for each in answers.given)  # noqa: E731
    assert len(before.given) == 40 and value(after) == value(before)
    assert {each["answered_by"] for each in after.given} == {"champion"}
    assert not set(before.ids) & set(after.ids)
    kept = logged(served.house)
    assert set(before.ids) | set(after.ids) <= set(kept)


def test_batch_answers_are_those_of_the_server(served: Up) -> None:
    decisions = served.house.decisions(FIRST)[:40]
    answers = served.ask(decisions, in_flight=1)
    since, end = served.house.standin.midnight(FIRST), served.house.standin.midnight(FIRST + timedelta(days=1))
    out = served.house.root / "scored.parquet"
    said = served.command("score", model=MODEL, since=since.isoformat(), until=end.isoformat(), out=str(out))
    scored = dict(pl.read_parquet(out).select("flight_id", "value").rows())
    assert said["rows"] == len(scored) > 500
    for asked, answer in zip(decisions, answers.given, strict=True):
        assert scored[asked["flight_id"]] == answer["value"]


def test_bad_requests_are_refused_with_a_hint_and_nothing_breaks(served: Up) -> None:
    good = {"rows": [_plain(served.house.decisions(FIRST)[0])]}
    row = good["rows"][0]
    bad = [
        ({"rows": [row | {"distance": "1"}]}, 422, "distance"),
        ({"rows": [{name: each for name, each in row.items() if name != "carrier"}]}, 422, "carrier"),
        ({"rows": [row | {"carier": "B6"}]}, 422, "carrier"),
        ({"rows": [row], "at": "2013-02-30T00:00:00Z"}, 422, "2013-02-30"),
        ({"rows": [row], "when": "now"}, 422, "when"),
    ]

    async def ask() -> list[tuple[int, bytes]]:
        async with Client(served.url) as client:
            path = f"/v1/models/{MODEL}/predict"
            said = [await client.post(path, json.dumps(body).encode()) for body, *_ in bad]
            said.append(await client.post(path, b'{"rows": [{"distance": NaN}]}'))
            said.append(await client.post("/v1/models/lat/predict", json.dumps(good).encode()))
            said.append(await client.post(path, json.dumps({"rows": [row | {"carrier": "??"}]}).encode()))
            return said

    *refused, nan, unknown, unseen = asyncio.run(ask())
    for (status, body), (_, expected, named) in zip(refused, bad, strict=True):
        assert status in (expected, 400), (status, body)
        assert named.encode() in body and b"Traceback" not in body
    assert nan[0] in (400, 422)
    assert unknown[0] == 404 and b"late" in unknown[1]
    assert unseen[0] == 200, "a carrier nobody has seen is answered"


def _plain(decision: dict[str, Any]) -> dict[str, Any]:
    said = {name: each for name, each in decision.items() if name != "decided_at"}
    return said | {"scheduled_departure": said["scheduled_departure"].isoformat()}
