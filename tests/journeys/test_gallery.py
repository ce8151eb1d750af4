"""Each project of the gallery: read, checked, trained, released, approved, answering and watched."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from millstream.cli.examples import models, write
from millstream.project import Project
from millstream.serving.client import Client
from tests.awaited import until
from tests.server import example

GALLERY = {"churn": "churn", "failures": "fails", "recommendations": "picks"}
REAL = {"recommendations"}


def ask(url: str, model: str, row: dict[str, Any], at: str | None = None) -> dict[str, Any]:
    asked = {"rows": [row], **({} if at is None else {"at": at})}

    async def post() -> tuple[int, bytes]:
        async with Client(url, timeout_s=10) as client:
            return await client.post(f"/v1/models/{model}/predict", msgspec.json.encode(asked))

    status, body = asyncio.run(post())
    assert status == 200, body
    answer: dict[str, Any] = json.loads(body)["predictions"][0]
    return answer


FACTS: dict[str, tuple[str, str, str, dict[str, Any], int]] = {
    "churn": ("orders", "customer_id", "ordered_at", {"order_id": 10**7, "amount": 30.0}, -1),
    "failures": (
        "telemetry", "machine_id", "read_at",
        {"reading_id": 10**7, "temperature": 120.0, "vibration": 9.0, "state": "running"}, 1,
    ),
}  # fmt: skip
"""What somebody posts: table, whom it is about, when, the rest of the row; and whether the answer goes up by it."""

LONG = {"recommendations"}
"""What takes half a minute is left to the nightly run."""


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.nightly) if each in LONG else each for each in sorted(GALLERY)]
)
def test_a_project_of_the_gallery_turns(name: str, tmp_path: Path) -> None:
    root, model = tmp_path / name, GALLERY[name]
    write(name, root)
    assert models(root) == [model]
    said = (root / "README.md").read_text()
    assert ("real" if name in REAL else "generated") in said and f"millstream train {model}" in said
    with Project(root, lock=True) as project:
        checked = project.run("check")
        assert checked["reports"] and not any(each["quarantined"] for each in checked["reports"])
        trained = project.run("train", {"model": model, "actor": "tess"})
        assert trained["verdict"]["passed"] and trained["counts"]["sampled" if name in REAL else "not_yet_known"] > 0
        released = project.run("release", {"model": model, "actor": "tess"})
        project.run("approve", {"actor": "ada", "reason": "better than the simple rule"})
        now = project.clock.now().isoformat()
        path = Path(project.releases.history(model)[0].path)
        row = json.loads((path / "sample.json").read_text())["rows"][-1]
    row.pop("decided_at")
    row = {"user_id": row["user_id"]} if model == "picks" else row
    with example.up(root) as (supervisor, control):
        until(lambda: _answers(supervisor.scoring_url, model, row, now))
        answer = ask(supervisor.scoring_url, model, row, now)
        assert answer["answered_by"] == "champion"
        if model == "picks":
            _lists(supervisor.scoring_url, answer, row, now)
        else:
            assert 0 <= answer["value"] <= 1
        assert answer["version"] == released["version"]
        if name in FACTS:
            _a_fact_is_heard_of(supervisor.scoring_url, control, name, row, now)
        _a_day_passes(root)
        turned = control.send("POST", "/api/tick", {})
        assert turned["decisions"] == []
        why = control.command("why", {"prediction": answer["id"]})
        assert why["value"] == pytest.approx(answer["value"])
        proved = control.command("features_parity", {"model": model})
        assert proved["compared"] == proved["equal"] >= 1 and not proved["unproved"], proved["says"]
        if name in FACTS:  # by its own clock the fact was known before either answer, and the first did not have it
            today = proved["today"]
            assert today["late"] >= 1 <= today["equal"] and today["late"] + today["equal"] == proved["compared"], today
        status = control.command("status", {})
    assert status["models"][0]["live"]["version"] == 1 and status["models"][0]["parity"]["verdict"] == "ok"
    assert status["predictions"] >= 1, "the day was judged"
    with Project(root, lock=True) as project:
        assert project.run("reproduce", {"subject": f"{model}@champion"})["equal"]
        assert project.run("verify")["ok"]


def _a_fact_is_heard_of(url: str, control: Any, name: str, row: dict[str, Any], at: str) -> None:
    """What is posted of an entity, three hours old, is in its answers within moments."""
    table, who, when, fact, way = FACTS[name]
    before = ask(url, GALLERY[name], row, at)["value"]
    three_hours_ago = (datetime.fromisoformat(at) - timedelta(hours=3)).isoformat()
    told = {who: row[who], when: three_hours_ago, **fact}
    sent = control.send("POST", f"/v1/tables/{table}/rows", {"rows": [told]})
    assert sent["accepted"] == 1 and not sent["quarantined"]
    until(lambda: (ask(url, GALLERY[name], row, at)["value"] - before) * way > 0)


def _lists(url: str, answer: dict[str, Any], row: dict[str, Any], at: str) -> None:
    """Ten films best first for somebody known, the most chosen ones for somebody who is not, and it says which."""
    assert len(set(answer["value"])) == 10 and answer["known"] is True
    assert answer["scores"] == sorted(answer["scores"], reverse=True) and min(answer["scores"]) >= 0
    stranger = ask(url, "picks", {"user_id": 10**9}, at)
    assert len(stranger["value"]) == 10 and stranger["known"] is False and not stranger["degraded"]
    assert stranger["value"] != answer["value"]


def _a_day_passes(root: Path) -> None:
    with Project(root) as project:
        project.clock.advance(project.clock.now() + timedelta(days=1))  # type: ignore[attr-defined]


def _answers(url: str, model: str, row: dict[str, Any], at: str) -> bool:
    try:
        return bool(ask(url, model, row, at)["answered_by"] == "champion")
    except (OSError, AssertionError):
        return False
