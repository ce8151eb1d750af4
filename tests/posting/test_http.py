"""Facts over HTTP: acknowledged by the control plane, usable by the scoring server within the second."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from millstream.features.online import LmdbOnline, Lookup
from millstream.project import Project
from millstream.types import to_micros
from tests.awaited import until
from tests.server.example import up

from . import shop
from .shop import order


def send(control: Any, table: str, body: object, *, token: str | None = None) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {control.address.token if token is None else token}"}
    request = urllib.request.Request(f"{control.address.url}/v1/tables/{table}/rows", data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as wrong:
        assert wrong.headers["content-type"] == "application/problem+json"
        return wrong.code, json.load(wrong)


POSTING = "a-token-that-stays-0123456789"


def predicted(root: Path) -> dict[str, Any] | None:
    """Ask the scoring server, wherever it is by now; None while nothing answers there."""
    try:
        scoring = json.loads((root / ".millstream" / "run" / "scoring.json").read_text())["url"]
        body = b'{"rows": [{"id": 1, "shop": "a"}]}'
        with urllib.request.urlopen(f"{scoring}/v1/models/late/predict", data=body, timeout=30) as answer:
            return dict(json.load(answer)["predictions"][0])
    except OSError:
        return None


def test_a_fact_goes_from_a_post_to_an_answer(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = shop.copy(made, tmp_path / "shop")
    monkeypatch.setenv("MILLSTREAM_POST_TOKEN", POSTING)
    with Project(root) as project:
        plan, online = shop.plan(project), project.places.online
    with up(root) as (supervisor, control):
        store = LmdbOnline(online, readonly=True)
        lookup, place = Lookup(plan, store), plan.names.index("form.last")
        waits = []
        for each in range(20):
            amount = 100.0 + each
            status, said = send(control, "orders", {"rows": [order(1000 + each, minutes=0.001, amount=amount)]})
            assert (status, said["accepted"]) == (200, 1), said
            since = time.monotonic()
            until(
                lambda amount=amount: lookup.lookup_one({"shop": "a"}, to_micros(datetime.now(UTC)))[place] == amount,
                "the fact is served",
            )
            waits.append(time.monotonic() - since)
        assert sorted(waits)[len(waits) // 2] < 1.0, waits
        assert send(control, "orders", {"rows": [order(1000, minutes=0.001, amount=100.0)]})[1]["repeated"] == 1

        answered = predicted(root)
        assert answered is not None and answered["version"] == 1

        for table, body, code, says in (
            ("orders", {"rows": [{**order(1), "x": 1}]}, 422, "'x' is not one of its columns"),
            ("orders", {"rows": order(1)}, 400, "rows alone"),
            ("orders", b'{"rows": [{"amount": NaN}]}', 400, "NaN is no number"),
            ("orders", {"rows": [order(1)], "actor": 7}, 400, "the actor is 7"),
            ("orders", b"\xff", 400, "is not JSON"),
            ("orders", b'{"rows": [{"amount": 1.0, "amount": 7.0}]}', 400, "'amount' is said twice"),
            ("whole", {"rows": [order(1)]}, 403, "is computed from orders"),
            ("nothing", {"rows": [order(1)]}, 404, "nothing"),
        ):
            status, problem = send(control, table, body)
            assert status == code and says in problem["detail"], problem
        assert send(control, "orders", {"rows": []}, token="wrong")[0] == 401
        assert send(control, "orders", {"rows": [order(1020)], "actor": "till-7"}, token=POSTING)[1]["accepted"] == 1
        control.send("POST", "/api/tick")
        store.close()

        answered = predicted(root)
        assert answered is not None and supervisor.scoring.process is not None
        before = supervisor.scoring.process.pid
        os.truncate(online / "data.mdb", 8192)  # both processes have it open
        os.kill(before, signal.SIGBUS)  # as when it is read just then
        again = until(
            lambda: (said := predicted(root)) is not None and said["answered_by"] == "champion" and said,
            "the store is there again, and answers come from it",
            within_s=60.0,
        )
        assert again["value"] == answered["value"] and supervisor.scoring.process.pid != before
    with Project(root, lock=True) as project:
        assert project.lake.read("orders").frame.height == 221
        assert shop.served(project) == shop.computed(project)
        assert len(project.ledger.rows(acts=("online.damaged",))) == 1
        [told] = [each.detail["posted"] for each in project.ledger.rows(act="table.version") if "posted" in each.detail]
        assert told == {"rows": 21, "by": {"somebody": 20, "till-7": 1}}
