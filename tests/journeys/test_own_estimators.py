"""Any estimator, from its definition to its answers: a scikit-learn pipeline and a class of the project's own."""

from __future__ import annotations

import http.client
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import pytest

from millstream.errors import DefinitionError
from millstream.project import Project
from tests.awaited import until
from tests.journeys.house import APPROVER, TRAINER

FILES = {
    "millstream.toml": 'name = "shop"\n',
    "near.py": """
        import numpy as np

        from shop.distance import squared


        class Near:
            \"\"\"Adds the share of late ones among the nearest orders.\"\"\"

            def __init__(self, k=9, scale=(1.0, 1.0)):
                self.k = k
                self.scale = scale

            def fit(self, matrix, label):
                print("learning by heart")
                self.matrix_, self.label_ = np.nan_to_num(matrix), np.array(label)
                return self

            def transform(self, matrix):
                distance = squared(np.nan_to_num(matrix), self.matrix_, self.scale)
                nearest = np.argsort(distance, axis=1, kind="stable")[:, : self.k]
                return np.column_stack([matrix, self.label_[nearest].mean(axis=1)])
        """,
    "shop/distance.py": """
        import numpy as np


        def squared(some, others, scale):
            return (((some[:, None, :] - others[None, :, :]) / np.asarray(scale)) ** 2).sum(axis=2)
        """,
    "orders.py": """
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import Pipeline

        from millstream import Each, FeatureView, Model, Table, sources, splits, traffic
        from millstream import features as f
        from near import Near

        orders = Table("orders", source=sources.Csv("orders.csv"), key="order_id", event_time="at")
        asked = FeatureView("asked", of=f.Request(amount="double", visits="double"),
                            features=dict(amount="amount", visits="visits"))
        late = Model("late", rows=Each(orders, decide_at="at"), label="late", features=[asked], metrics=["brier"],
                     estimator=Pipeline([("near", Near(k=15, scale=(10.0, 1.0))), ("rf", RandomForestClassifier(15))]),
                     goal="roc_auc", split=splits.Time(test="4d", folds=1), traffic=traffic.Champion(deadline_ms=3000))
        """,
}
MODEL = "late"


def write(root: Path) -> None:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(dedent(text))
    chance = random.Random(3)
    lines = ["order_id,at,amount,visits,late"]
    for number in range(400):
        at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=number)
        amount, visits = chance.gauss(50, 10), chance.gauss(0, 1)
        late = amount / 10 + visits + chance.gauss(0, 0.7) > 5.2
        seen = "" if number % 9 == 0 else f"{visits:.3f}"
        lines.append(f"{number},{at.isoformat()},{amount:.3f},{seen},{str(late).lower()}")
    (root / "orders.csv").write_text("\n".join(lines) + "\n")


class Shop(NamedTuple):
    """A project whose model is live, and what the commands said on the way."""

    root: Path
    trained: dict[str, Any]
    released: dict[str, Any]

    def sample(self) -> tuple[list[dict[str, Any]], list[float]]:
        """The requests a release replays and the answers its model gave when it was trained."""
        folder = self.root / ".millstream" / "releases" / self.released["release"]
        kept = json.loads((folder / "sample.json").read_text())
        rows = [{name: value for name, value in row.items() if name != "decided_at"} for row in kept["rows"]]
        return rows, kept["values"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    root = tmp_path_factory.mktemp("shop") / "mill"
    write(root)
    with Project(root, lock=True) as project:
        project.run("ingest", {})
        trained = project.run("train", {"model": MODEL, "actor": TRAINER})
        released = project.run("release", {"model": MODEL, "actor": TRAINER})
        project.run("approve", {"actor": APPROVER, "reason": "better than the simple rule"})
    return Shop(root, trained, released)


@pytest.fixture(scope="module")
def url(shop: Shop) -> Iterator[str]:
    command = [sys.executable, "-m", "millstream.serving.server", "--project", str(shop.root), "--port", "0"]
    errors = (shop.root / "stderr.txt").open("w")
    server = subprocess.Popen(command, stderr=errors)
    file = shop.root / ".millstream" / "run" / "scoring.json"
    try:
        until(lambda: file.exists() or server.poll() is not None, "the server says where it is")
        assert server.poll() is None, (shop.root / "stderr.txt").read_text()
        yield json.loads(file.read_text())["url"].removeprefix("http://")
    finally:
        server.terminate()
        server.wait(timeout=20)
        errors.close()


def ask(url: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection(url, timeout=20)
    try:
        connection.request("GET" if body is None else "POST", path, body=json.dumps(body) if body else None)
        answer = connection.getresponse()
        said = json.loads(answer.read())
    finally:
        connection.close()
    assert answer.status == 200, said
    return said


def test_the_server_answers_what_the_model_said_when_it_was_trained(shop: Shop, url: str) -> None:
    assert shop.trained["metrics"]["model"]["roc_auc"] > 0.75
    assert "requests answered as at training" in shop.released["rehearsal"]
    until(lambda: ask(url, "/health")["models"][MODEL]["worker"] == "ready", "its worker is ready")
    rows, values = shop.sample()
    assert any(row["visits"] is None for row in rows)
    answers = ask(url, f"/v1/models/{MODEL}/predict", {"rows": rows})["predictions"]
    assert {each["answered_by"] for each in answers} == {"champion"}
    assert [each["value"] for each in answers] == values
    one = ask(url, f"/v1/models/{MODEL}/predict", {"rows": rows[:1]})["predictions"]
    assert one[0]["value"] == values[0]


def test_the_auditor_reads_what_runs_and_the_batch_agrees(shop: Shop, tmp_path: Path) -> None:
    import polars as pl

    root = shutil.copytree(shop.root, tmp_path / "mill")
    with Project(root, lock=True) as project:
        audit = {
            each["question"]: each["answer"] for each in project.run("audit", {"subject": f"{MODEL}@1"})["answers"]
        }
        live = project.releases.live(MODEL)
        assert live is not None
        folder = Path(live.path)
        scored = tmp_path / "scored.parquet"
        project.run("score", {"model": MODEL, "since": "2024-01-14T00:00:00Z", "out": str(scored)})
    assert "code/near.py, code/shop/distance.py" in audit["Does it hold code?"]
    card = (folder / "card.md").read_text()
    assert "code/near.py" in card and "only a worker process opens it" in card
    assert "numpy==" in (folder / "environment.lock").read_text()
    rows, values = shop.sample()
    given = dict(pl.read_parquet(scored).select("order_id", "value").rows())
    asked = {row["order_id"]: value for row, value in zip(rows, values, strict=True) if row["order_id"] in given}
    assert len(asked) > 20 and {key: given[key] for key in asked} == asked


def test_it_is_trained_again_byte_for_byte_from_the_code_in_the_release(shop: Shop, tmp_path: Path) -> None:
    root = shutil.copytree(shop.root, tmp_path / "mill")
    (root / "shop" / "distance.py").write_text("raise RuntimeError('edited since')\n")
    with Project(root, lock=True) as project, pytest.raises(DefinitionError, match="edited since"):
        project.manifest.model(MODEL)  # the definitions are read again where only own code changed
    (root / "shop" / "distance.py").write_text(dedent(FILES["shop/distance.py"]) + "# edited\n")
    with Project(root, lock=True) as project:
        assert project.run("reproduce", {"subject": f"{MODEL}@1"})["equal"]


@pytest.mark.nightly
def test_stock_mlflow_loads_and_answers_the_same_without_millstream(shop: Shop, tmp_path: Path) -> None:
    rows, values = shop.sample()
    program = f"""
        import json, sys
        import mlflow
        import pandas as pd
        mlflow.set_tracking_uri({f"sqlite:///{shop.root}/.millstream/tracking.db"!r})
        loaded = mlflow.pyfunc.load_model("models:/{MODEL}@champion")
        rows = pd.DataFrame({[{"asked.amount": row["amount"], "asked.visits": row["visits"]} for row in rows]!r})
        print(json.dumps([loaded.predict(rows.astype(float)).tolist(), "millstream" in sys.modules]))
        """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", dedent(program)], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    answers, has_millstream = json.loads(done.stdout.splitlines()[-1])
    assert answers == values and not has_millstream
