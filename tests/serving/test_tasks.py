"""Every kind of answer, from a file to an answer over HTTP, in a batch and in MLflow: they say the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from millstream.definitions.monitors import Classic
from millstream.monitoring.drift import drift_findings
from millstream.project import Project
from millstream.project.answering import answers
from millstream.project.models.reference import reference_of
from millstream.project.models.ship import live
from millstream.releases import rehearse
from millstream.serving import records
from millstream.serving.app import App
from millstream.serving.chain import Chain
from millstream.serving.live import Live
from millstream.serving.log import PredictionLog
from millstream.serving.scorer import Scorer
from millstream.serving.shape import told
from millstream.state import decisions
from tests.serving.conftest import serving
from tests.serving.test_app import ask

DEFINITIONS = """
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from millstream import Each, FeatureView, Model, Table, features as f, sources, splits, tasks

orders = Table("orders", source=sources.Csv("orders.csv"), key="order_id", event_time="at")
wines = Table("wines", source=sources.Csv("wines.csv"), key="wine_id")
form = FeatureView("form", of=f.Request(amount="double", city="varchar"), features=dict(amount="amount", city="city"))
taste = FeatureView("taste", of=f.Request(acid="double", sugar="double"), features=dict(acid="acid", sugar="sugar"))
shared = dict(rows=Each(orders), features=[form], split=splits.Time(test="6d", folds=2))
trees = dict(n_estimators=15, num_leaves=7, min_child_samples=5)
kind = Model("kind", label="kind", estimator=LGBMClassifier(**trees), metrics=["accuracy", "macro_f1"],
             goal="log_loss", **shared)
days = Model("days", label="days", estimator=LinearRegression(), metrics=["mae", "mape", "r2", "bias"], goal="rmse",
             **shared)
span = Model("span", label="days", estimator=LGBMRegressor(**trees), task=tasks.Quantiles(), metrics=["coverage"],
             goal="pinball", **shared)
wine = Model("wine", rows=Each(wines), label="colour", features=[taste], estimator=LogisticRegression(),
             metrics=["accuracy"], goal="log_loss")
odd = Model("odd", rows=Each(orders), label=None, features=[form])
groups = Model("groups", rows=Each(orders), label=None, features=[form], task=tasks.Clusters(3), metrics=["silhouette"],
               split=splits.Time(test="6d", folds=1))
slow = Model("slow", label="days > 6", estimator=LGBMClassifier(**trees), goal="brier", threshold="f1",
             segments=["city"], **shared)
"""
MODELS = ("kind", "days", "span", "wine", "odd", "groups", "slow")
ROWS = {
    "kind": {"order_id": "o5", "amount": 120.0, "city": "Oslo"},
    "days": {"order_id": "o5", "amount": 120.0, "city": "Oslo"},
    "span": {"order_id": "o5", "amount": 120.0, "city": "Oslo"},
    "wine": {"wine_id": "w3", "acid": 0.2, "sugar": 3.0},
    "odd": {"order_id": "o5", "amount": 99999.0, "city": "Oslo"},
    "slow": {"order_id": "o5", "amount": 300.0, "city": "Rome"},
    "groups": {"order_id": "o5", "amount": 600.0, "city": "Oslo"},
}


def write(root: Path) -> None:
    """Write a project of two small files: orders over 20 days, and a hundred wines without a time."""
    random = np.random.default_rng(11)
    rows = 800
    amount, city = random.gamma(2.0, 60.0, rows), random.choice(["Oslo", "Bergen", "Rome"], rows)
    far = amount / 100 + (city == "Rome") + random.normal(0, 0.5, rows)
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=21)
    orders = {
        "order_id": [f"o{row}" for row in range(rows)],
        "at": [(start + timedelta(days=20 * row / rows)).isoformat() for row in range(rows)],
        "amount": amount,
        "city": city,
        "kind": np.where(far < 1, "road", np.where(far < 2, "rail", "sea")),
        "days": np.round(2 + far * 3 + random.normal(0, 1, rows), 2),
    }
    pl.DataFrame(orders).write_csv(root / "orders.csv")
    acid, sugar = random.random(100), random.random(100) * 9
    colour = np.where(acid * 9 - sugar + random.normal(0, 1.5, 100) > 0, "red", "white")
    wines = {"wine_id": [f"w{row}" for row in range(100)], "acid": acid, "sugar": sugar, "colour": colour}
    pl.DataFrame(wines).write_csv(root / "wines.csv")
    (root / "millstream.toml").write_text('name = "tasks"\n')
    (root / "definitions.py").write_text(DEFINITIONS)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
        subprocess.run(["git", *command], cwd=root, check=True)


class House:
    """The project with every model live, a scorer of each, and an HTTP server of all."""

    def __init__(self, root: Path) -> None:
        write(root)
        self.project = Project(root)
        self.project.run("refresh", {"actor": "tess"})
        self.trained = {each: self.project.run("train", {"model": each, "actor": "tess"}) for each in MODELS}
        for each in MODELS:
            asked = self.project.run("release", {"model": each, "actor": "tess", "dirty": True})
            self.project.run("approve", {"decision": asked["decision"], "reason": "fine", "actor": "ada"})
        self.scored = {each: pl.read_parquet(self._score(each, root / f"{each}.parquet")) for each in MODELS}
        servers = Live(leased=True)
        self.scorers = {each: Scorer.open(self._release(each), self.project.online) for each in MODELS}
        servers.replace({name: Chain(each) for name, each in self.scorers.items()}, {})
        self.log = PredictionLog(self.project.places.log)
        self.app = App(servers, self.log, now_us=lambda: int(datetime.now(UTC).timestamp() * 1e6))

    def _score(self, model: str, out: Path) -> Path:
        self.project.run("score", {"model": model, "out": str(out), "actor": "tess"})
        return out

    def _release(self, model: str) -> Path:
        return Path(live(self.project, model).path)  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    made = House(tmp_path_factory.mktemp("tasks"))
    with serving(made.app) as made.address:
        yield made
    made.log.close()
    made.project.close()


@pytest.mark.parametrize("model", MODELS)
def test_http_the_batch_and_the_scorer_say_the_same(house, model):
    status, said, _ = ask(house, "POST", f"/v1/models/{model}/predict", {"rows": [ROWS[model]]})
    assert status == 200, said
    answer = said["predictions"][0]
    assert answer["answered_by"] == "champion", answer
    logged = records.find(answer["id"], house.project.places.log).record
    _, model_said, _ = ask(house, "GET", f"/v1/models/{model}")
    if model in ("kind", "wine"):
        chances = answer["probabilities"]
        assert list(chances) == model_said["classes"] and sum(chances.values()) == pytest.approx(1.0)
        assert answer["value"] == max(chances, key=chances.get)
        assert (logged.value, logged.said["class"]) == (chances[answer["value"]], answer["value"])
    elif model == "span":
        ordered = list(answer["quantiles"].values())
        assert ordered == sorted(ordered) and answer["value"] == answer["quantiles"]["0.5"] == logged.value
        assert model_said["levels"] == [0.1, 0.5, 0.9]
    elif model == "odd":
        assert answer["flagged"] is True and answer["value"] > model_said["threshold"]
        assert logged.said == {"flagged": True}
    elif model == "groups":
        away = answer["distances"]
        assert list(away) == model_said["classes"] == ["1", "2", "3"]
        assert answer["value"] == min(away, key=away.get) and answer["distance"] == away[answer["value"]]
        assert (logged.value, logged.said["class"]) == (answer["distance"], answer["value"])
    elif model == "slow":
        assert answer["decision"] is (answer["value"] >= model_said["threshold"]) is True
    else:
        assert set(answer) == {"id", "value", "version", "answered_by", "degraded"}
        assert answer["value"] == logged.value
    why = house.project.run("why", {"prediction": answer["id"], "actor": "tess"})
    assert why["value"] == answer["value"] and why["recomputed"]["equal"]
    assert (why["outcome"] is None) == (model in ("odd", "groups"))


STOCK = """
import json, sys
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
said = {}
for model, (names, row) in json.loads(sys.argv[2]).items():
    given = pandas.DataFrame([row], columns=names, dtype="float64")
    found = mlflow.pyfunc.load_model(f"models:/{model}@champion").predict(given)
    params = {"decide": True}
    decided = mlflow.pyfunc.load_model(f"models:/{model}@champion").predict(given, params=params)
    if model in ("odd", "slow"):
        said[model + " decided"] = decided.to_dict("records")[0]
    said[model] = found.to_dict("records")[0] if hasattr(found, "to_dict") else float(found[0])
print(json.dumps({"said": said, "has_millstream": "millstream" in sys.modules}))
"""
FEATURES = {
    "kind": [120.0, "Oslo"],
    "days": [120.0, "Rome"],
    "span": [None, "Oslo"],
    "wine": [0.2, 3.0],
    "odd": [5.0, "Oslo"],
    "groups": [260.0, None],
    "slow": [300.0, "Rome"],
}


def test_stock_mlflow_and_the_batch_say_what_the_scorer_says(house):
    house.project.run("mirror", {})
    seen = {each: house.scorers[each].score_features([FEATURES[each]])[0] for each in MODELS}
    rows = {each: (house.scorers[each].features, said.features.tolist()) for each, said in seen.items()}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-c", STOCK, house.project.tracking.uri, json.dumps(rows)], capture_output=True, check=False,
        env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true"}, cwd=house.project.root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout.splitlines()[-1])
    assert not answer["has_millstream"]
    word = {"odd": "flagged", "slow": "decision"}
    for model, name in word.items():
        own, decided = seen[model], answer["said"].pop(f"{model} decided")
        assert decided == {"value": pytest.approx(own.value, rel=1e-12), name: own.said[name]}
    for model, said in answer["said"].items():
        own = told(seen[model].value, seen[model].said)
        wanted = own if isinstance(said, dict) else {"value": own["value"]}
        got = said if isinstance(said, dict) else {"value": said}
        assert got.keys() == wanted.keys()
        for name, each in wanted.items():
            assert got[name] == (each if isinstance(each, str) else pytest.approx(each, rel=1e-12)), model
        beside = ["distance"] if model == "groups" else []
        beside += [f"{name}.{part}" for name, each in own.items() if isinstance(each, dict) for part in each]
        beside += [word[model]] if model in word else []
        assert house.scored[model].columns[2:] == ["value", *beside]
        assert house.scored[model].height == (100 if model == "wine" else 800)


def test_invocations_answer_records_of_classes(house):
    chain = house.app.live.chains
    house.app.live.chains = {"kind": chain["kind"]}
    try:
        body = {
            "dataframe_records": [{"form.amount": 120.0, "form.city": "Oslo"}, {"form.amount": 5.0, "form.city": "?"}]
        }
        status, said, _ = ask(house, "POST", "/invocations", body)
    finally:
        house.app.live.chains = chain
    assert status == 200, said
    assert [set(each) for each in said["predictions"]] == [{"value", "probabilities"}] * 2


def test_invocations_say_what_is_decided_where_that_is_asked(house):
    chain = house.app.live.chains
    body = {
        "dataframe_records": [{"form.amount": 1.0, "form.city": "Oslo"}, {"form.amount": 300.0, "form.city": "Rome"}]
    }
    said = {}
    for model in ("slow", "kind"):
        house.app.live.chains = {model: chain[model]}
        try:
            asked = ({}, {"decide": False}, {"decide": True}, {"decide": 1}, {"temperature": 0.2})
            for number, params in enumerate(asked):
                said[model, number] = ask(house, "POST", "/invocations", body | {"params": params})
        finally:
            house.app.live.chains = chain
    numbers = said["slow", 0][1]["predictions"]
    assert numbers == said["slow", 1][1]["predictions"] and all(isinstance(each, float) for each in numbers)
    decided = said["slow", 2][1]["predictions"]
    assert decided == [{"value": numbers[0], "decision": False}, {"value": numbers[1], "decision": True}]
    assert said["slow", 3][0] == 422 and "params.decide is 1" in said["slow", 3][1]["detail"]
    assert said["slow", 4][0] == 422 and "params has 'temperature'" in said["slow", 4][1]["detail"]
    assert said["kind", 0][0] == 200 and said["kind", 2][0] == 422 and "no threshold" in said["kind", 2][1]["detail"]


def test_a_rehearsal_compares_every_number_of_an_answer(house):
    from millstream.serving.batch import replay

    for model, wide in {"kind": 4, "span": 4, "groups": 4, "slow": 1}.items():
        folder = house._release(model)
        rows = msgspec.json.decode((folder / "sample.json").read_bytes())["rows"]
        assert {len(each) for each in replay(folder, rows)} == {wide}
        opened = house.project.releases.open(live(house.project, model))
        assert rehearse(opened, None, replay).ok

    def swapped(path, rows):
        return [(value, *reversed(beside)) for value, *beside in replay(path, rows)]

    went = rehearse(house.project.releases.open(live(house.project, "kind")), None, swapped)
    assert not went.ok and "does not answer as it did when it was trained" in went.says


def test_the_verdicts_and_cards_speak_of_the_task(house):
    assert house.trained["kind"]["verdict"]["passed"], house.trained["kind"]["verdict"]["says"]
    assert "parted by their key" in house.trained["wine"]["verdict"]["says"]
    assert house.trained["odd"]["verdict"]["passed"] and "of rows it had not" in house.trained["odd"]["verdict"]["says"]
    assert set(house.trained["days"]["metrics"]["model"]) == {"rmse", "mae", "mape", "r2", "bias"}
    cards = {each: (house._release(each) / "card.md").read_text() for each in MODELS}
    assert "the most probable of 3 classes (rail, road, sea)" in cards["kind"]
    assert "the median, with the quantiles 0.1, 0.5, 0.9" in cards["span"]
    assert "Rows without a time of their own were decided at" in cards["wine"]
    assert "Rows without a time" not in cards["kind"]
    assert "which of 3 groups it belongs to (1, 2, 3)" in cards["groups"]
    assert "| form.city | " in cards["groups"] and "form.amount high (typically" in cards["groups"]


def test_training_again_gives_the_same_classes(house):
    made = house.project.run("reproduce", {"subject": "kind@champion"})
    assert made["equal"], made
    assert house.project.run("reproduce", {"subject": "wine@champion"})["equal"]
    assert house.project.run("reproduce", {"subject": "groups@champion"})["equal"]


def test_monitors_meet_every_release(house):
    assert house.project.run("monitor", {})["alarms"] == []


def test_the_shares_of_groups_are_watched_as_answered(house):
    from millstream.metrics.profile import Profile
    from millstream.project.watch import Watch

    said = [
        ask(house, "POST", "/v1/models/groups/predict", {"rows": [{**ROWS["groups"], "amount": each}]})[1]
        for each in (20.0, 900.0)
    ]
    groups = [each["predictions"][0]["value"] for each in said]
    assert len(set(groups)) == 2
    watch = Watch(house.project)
    watch._take_answers()
    (day, seen), *_ = watch._models["groups"].grouped.items()
    assert seen[-2:] == groups
    kept = msgspec.json.decode((house._release("groups") / "reference.json").read_bytes(), type=Profile)
    assert sorted(kept.columns["cluster"].categories) == ["1", "2", "3"] and kept.columns["cluster"].count == 800
    plan, reference = reference_of(house.project, live(house.project, "groups"))
    watch._models["groups"].plan = plan
    watch._features(watch._models["groups"], plan, day)
    window = watch._models["groups"].drift
    assert window.bins(reference.profile, day)[0][1]["cluster"].sum() == len(seen)
    for back in range(1, 16):
        window.add(day - timedelta(days=back), {"cluster": np.array(["2"] * 90 + ["3"] * 10, dtype=object)})
    found = drift_findings(day, model="groups", monitors=Classic(), reference=reference, window=window)
    moved = next(each for each in found if each.subject == "cluster")
    assert moved.verdict == "alarm" and "cluster has moved" in moved.says and "value 2 in 9" in moved.says


def test_who_is_worse_off_is_shown_with_the_decision_and_beside_another_run(house, capsys):
    from millstream.cli import render

    asked = next(each for each in decisions.recent(house.project.state, model="slow", limit=1))
    told_ = house.project.run("decision", {"decision": asked.id})
    shown = told_["segments"]
    assert sorted(each["for"] for each in shown) == ["city Bergen", "city Oslo", "city Rome"]
    assert {each["beside"] for each in shown} == {"the simple rule"} and "looked at" in told_["segments_say"]
    assert told_["segments_judged"][0]["standing"] in ("worse", "better", "unsure")
    render.decision(told_)
    out = capsys.readouterr().out
    render.backtest(house.project.run("backtest", {"model": "slow", "version": 1}))
    assert "city Oslo" in capsys.readouterr().out
    assert "By segment" in out and "city Rome" in out
    beside = house.project.compare("slow@1", "slow@1")
    assert sorted(beside.segments["segment"]) == ["city Bergen", "city Oslo", "city Rome"]
    assert (
        set(beside.segments["in short"]) == {"unsure"}
        and "city Oslo" in repr(beside)
        and "city Oslo" in (beside._repr_html_())
    )
    groups = house.project.compare("groups@1", "groups@1")
    assert "the two agree to 1.00" in groups.says and not groups.segments.height


def test_the_table_of_answers_names_class_group_and_decision(house):
    said = {each: ask(house, "POST", f"/v1/models/{each}/predict", {"rows": [ROWS[each]]})[1] for each in MODELS}
    said = {model: each["predictions"][0] for model, each in said.items()}
    (segment,) = records.segments(house.project.places.log)
    rows = answers._frame(list(answers.of_segment(segment)))
    found = {row["model"]: row for row in rows.to_dicts()}
    for model in ("kind", "wine", "groups"):
        assert (found[model]["class"], found[model]["decision"]) == (said[model]["value"], None)
    assert (found["slow"]["class"], found["slow"]["decision"]) == (None, said["slow"]["decision"])
    assert found["odd"]["decision"] is True and found["days"]["class"] is found["days"]["decision"] is None
    # a table begun before there were such columns stays as it is, and holds every record whole
    before = rows.drop("class", "decision")
    house.project.lake.append(answers.TABLE, before, app_id="log.before", app_version=1, actor="tess")
    assert answers._as_known(house.project, rows).columns == before.columns


def test_why_shows_classes_quantiles_and_flags_to_people(house, capsys):
    from millstream.cli import render

    for model, shown in {"kind": "probabilities", "span": "quantiles", "odd": "flagged", "groups": "distances"}.items():
        _, said, _ = ask(house, "POST", f"/v1/models/{model}/predict", {"rows": [ROWS[model]]})
        answer = said["predictions"][0]
        render.why(house.project.run("why", {"prediction": answer["id"]}))
        told_people = capsys.readouterr().out
        assert shown in told_people
        if model == "kind":
            assert answer["value"] in told_people


OUTCOMES = "/v1/models/{}/outcomes"
TRUTHS = {"kind": "rail", "days": 3.5, "span": 4, "wine": "red"}
WRONG = {"kind": 3, "days": "3.5", "span": True, "wine": None}


@pytest.mark.parametrize("model", TRUTHS)
def test_a_reported_outcome_is_of_the_models_type_and_why_tells_it(house, model):
    key = next(iter(ROWS[model]))
    row = ROWS[model] | {key: f"nobody-{model}"}
    _, said, _ = ask(house, "POST", f"/v1/models/{model}/predict", {"rows": [row]})
    id_ = said["predictions"][0]["id"]
    body = {"outcomes": [{"id": id_, "label": TRUTHS[model]}, {"key": row[key], "label": WRONG[model]}]}
    status, refused, _ = ask(house, "POST", OUTCOMES.format(model), body)
    assert status == 422 and refused["detail"].startswith("outcome 1 of 2: the label of an outcome is")
    assert model in refused["expected"]
    assert house.project.run("why", {"prediction": id_})["outcome"] is None  # of a request all or nothing is taken
    for _ in range(2):
        status, taken, _ = ask(house, "POST", OUTCOMES.format(model), {"outcomes": body["outcomes"][:1]})
        assert status == 200 and set(taken["outcomes"][0]) == {"id"}
    why = house.project.run("why", {"prediction": id_})
    assert (why["outcome"]["label"], why["outcome"]["told_by"]) == (TRUTHS[model], "report")
    assert [each["label"] for each in why["reported"]] == [TRUTHS[model]] * 2


def test_a_table_knows_better_than_a_report(house):
    _, said, _ = ask(house, "POST", "/v1/models/days/predict", {"rows": [ROWS["days"]]})
    ask(house, "POST", OUTCOMES.format("days"), {"outcomes": [{"key": ROWS["days"]["order_id"], "label": 99999.0}]})
    why = house.project.run("why", {"prediction": said["predictions"][0]["id"]})
    assert why["outcome"]["told_by"] == "table orders" and why["outcome"]["label"] != 99999.0
    assert [each["label"] for each in why["reported"]] == [99999.0]


def test_a_class_nobody_learnt_is_taken_and_said(house):
    body = {"outcomes": [{"key": "w-new", "label": "rde"}]}
    status, said, _ = ask(house, "POST", OUTCOMES.format("wine"), body)
    assert status == 200 and "no class of wine@1" in said["outcomes"][0]["note"]


def test_a_model_without_label_takes_no_outcomes(house):
    status, said, _ = ask(house, "POST", OUTCOMES.format("odd"), {"outcomes": [{"key": "o5", "label": True}]})
    assert status == 422 and "has no label" in said["detail"]


def test_an_outcome_names_one_thing(house):
    for each in ({"label": 1.0}, {"id": "not an id", "label": 1.0}, {"id": "ab-1", "key": "o5", "label": 1.0}):
        status, said, _ = ask(house, "POST", OUTCOMES.format("days"), {"outcomes": [each]})
        assert (status, bool(said["expected"])) == (422, True), each
