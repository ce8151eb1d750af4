"""A model that stock MLflow logged: bound to a definition, judged, released and served as it answers itself."""

import contextlib
import json
import sys
import urllib.request
import warnings

import cloudpickle
import mlflow
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

import millstream
from millstream.errors import BadData, DefinitionError, NotFound, Refused, UserError
from millstream.project import Project
from tests.awaited import until
from tests.server import example

with warnings.catch_warnings():  # MLflow warns at its import, and of a model's missing type hints
    warnings.simplefilter("ignore")
    import mlflow.lightgbm
    import mlflow.pyfunc
    import mlflow.sklearn
    from mlflow.models import infer_signature

    class Halved(mlflow.pyfunc.PythonModel):
        """A model of one's own: half the share of late flights of the carrier."""

        def predict(self, context, model_input, params=None):
            return (model_input["carrier_form.late_share_7d"].fillna(0.2) / 2).to_numpy()


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as of a class in a notebook: the worker has no tests
FORM = {"serialization_format": "cloudpickle"}
UNTIL = "2013-01-20"


@contextlib.contextmanager
def stock():
    """Log as a notebook does: stock MLflow, with the warnings it gives of itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            mlflow.autolog(disable=True, silent=True)
            mlflow.set_tracking_uri(None)
            mlflow.set_registry_uri(None)


def few(p):
    late = p.model("late")
    return late.but(features=[late.features[0], late.features[-1]])


@pytest.fixture(scope="module")
def logged(made, tmp_path_factory):
    """A project, and models logged with stock MLflow beside the columns and labels they were fitted on."""
    root = example.copy(made, tmp_path_factory.mktemp("logged") / "flights")
    models = {
        "lightgbm": LGBMClassifier(n_estimators=10, verbosity=-1),
        "linear": LogisticRegression(max_iter=2000),
        "trees": HistGradientBoostingClassifier(max_iter=10),
    }
    with millstream.open(root) as project, stock():
        project.progress = lambda line: None
        ts = project.training_set(few(project), until=UNTIL)
        frame = ts.to_pandas()
        frame = frame[frame["label"].notna()]
        features, label = frame[list(ts.features)].astype("float64"), frame["label"].astype(int)
        project.autolog("late", log_models=False)
        runs = {}
        for name, model in models.items():
            flavor = mlflow.lightgbm if name == "lightgbm" else mlflow.sklearn
            known = features.fillna(features.mean()) if name == "linear" else features
            with mlflow.start_run() as run:
                model.fit(known, label)
                signature = infer_signature(known, label)
                flavor.log_model(model, name="model", signature=signature, pip_requirements=[], **FORM)
            runs[name] = run.info.run_id
        with mlflow.start_run() as run:
            signature = infer_signature(features, np.zeros(1))
            mlflow.pyfunc.log_model(name="model", python_model=Halved(), signature=signature, pip_requirements=[])
        runs["own"] = run.info.run_id
        with mlflow.start_run() as run:
            odd, text = (
                features.rename(columns={"at_request.hour": "hour"}),
                features.assign(**{"at_request.hour": "noon"}),
            )
            for name, table in (("odd", odd), ("bare", None), ("text", text)):
                signature = None if table is None else infer_signature(table)
                mlflow.sklearn.log_model(models["trees"], name=name, signature=signature, pip_requirements=[], **FORM)
        runs["odd"] = run.info.run_id
    return root, runs, models


@pytest.fixture
def p(logged):
    with millstream.open(logged[0]) as project:
        project.progress = lambda line: None
        yield project


def test_each_kind_becomes_a_version_that_answers_as_it_does(p, logged):
    _, runs, models = logged
    for name, kind in (("lightgbm", "lightgbm"), ("linear", "linear"), ("trees", "python"), ("own", "python")):
        run = p.register(few(p), f"runs:/{runs[name]}/model", learnt_to=UNTIL, note="by hand")
        from millstream.training import read_predictor
        from millstream.training.matrix import matrix

        predictor = read_predictor(run.path)
        assert predictor.fitted.kind == kind, name
        ts = p.training_set(few(p))
        mine = matrix(ts.frame, ts._set.plan.columns, predictor.categories)
        answers = predictor.predict(mine)
        table = pd.DataFrame(mine, columns=list(ts.features))
        if name == "own":
            wanted = Halved().predict(None, table)
        else:
            filled = table.fillna(pd.Series(predictor.fitted.fill, table.columns)) if name == "linear" else table
            wanted = models[name].predict_proba(filled)[:, 1]
        np.testing.assert_allclose(answers, wanted, rtol=1e-12, atol=1e-15)
        assert run.metrics["baseline"]["roc_auc"] == 0.5 and run.verdict.comparisons
        assert (
            "carrier" not in run.record.says
            and "flights@" in run.record.says
            and "later ones alone" in run.verdict.says
        )
        assert run.record.logged.startswith("models:/m-") and run.record.shipped_rows == 0
        if kind == "python":
            predictor.fitted.close()
    read = p.run("reads", {"table": "flights", "limit": 1_000})["reads"]
    assert sum(each["how"] == "training" for each in read) >= 4, "each registered version read its rows"


def test_what_it_learnt_is_unknown_unless_somebody_says_so(p, logged):
    run = p.register(few(p), logged[1]["lightgbm"])
    assert "is not known, so it may look better than it is" in run.verdict.says
    with pytest.raises(BadData, match="every labelled row to judge it on is older"):
        p.register(few(p), logged[1]["lightgbm"], learnt_to="2013-03")
    with pytest.raises(UserError, match="cannot be replayed"):
        p.compare(run, "champion")


@pytest.mark.parametrize(
    ("said", "error", "says"),
    [
        ("runs:/{odd}/odd", DefinitionError, "lacks at_request.hour and wants hour"),
        ("runs:/{odd}/bare", DefinitionError, "no signature with named columns"),
        ("runs:/{odd}/text", DefinitionError, "takes at_request.hour as string, the feature is bigint"),
        ("runs:/{odd}", UserError, "logged 3 models"),
        ("runs:/{odd}/old", NotFound, "did you mean 'odd'"),
        ("runs:/" + "0" * 32, NotFound, "there is no run"),
        ("models:/m-" + "0" * 32, NotFound, "no logged model"),
        ("late@3", UserError, "no address of a logged model"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_fit_is_refused_in_words(p, logged, said, error, says):
    with pytest.raises(error) as wrong:
        p.register(few(p), said.format(**logged[1]))
    assert says in str(wrong.value)


def test_from_stock_mlflow_to_http(logged):
    """Adopted, released by the command, approved by another person, answered over HTTP as the model itself answers."""
    root, runs, models = logged
    with millstream.open(root) as project:
        project.progress = lambda line: None
        project.adopt(few(project))
    for words, run in (((), example.run), (("--json",), example.said)):
        done = run("register", "late", f"runs:/{runs['trees']}/model", *words, "-p", root, user="tina")
        assert done.returncode == 0 and ("answered by a worker" in done.stdout or words), done.stderr
    assert json.loads(done.stdout)["logged"].startswith("models:/m-")
    done = example.said("release", "late", "--dirty", "-p", root, user="tina")
    assert done.returncode == 0, done.stderr
    with Project(root, lock=True) as project:
        waiting = project.run("decisions", {})
        assert "has learnt from the rows it is judged on is not known" in str(waiting)
        number = max(each["id"] for each in waiting["decisions"] if each["status"] == "waiting")
        project.run("approve", {"decision": str(number), "actor": "ada", "reason": "tried by hand"})
        with pytest.raises(Refused, match="its recipe is not known here"):
            project.run("reproduce", {"subject": "late@champion"})
        ts = millstream.open(root).training_set(few(project), since="2013-01-25")
    rows = ts.to_pandas()[list(ts.features)].dropna()[:40]
    with example.up(root) as (supervisor, _):
        body = json.dumps({"dataframe_split": {"columns": list(rows.columns), "data": rows.values.tolist()}})
        asked = urllib.request.Request(
            f"{supervisor.scoring_url}/invocations", body.encode(), {"Content-Type": "application/json"}
        )

        def answered():
            with contextlib.suppress(OSError), urllib.request.urlopen(asked, timeout=20) as answer:
                said = [each["value"] if isinstance(each, dict) else each for each in json.load(answer)["predictions"]]
                return said if len({*said}) > 1 else None  # until its worker has begun, the simple rule answers
            return None

        answers = until(answered, within_s=60)
    wanted = models["trees"].predict_proba(rows.astype("float64"))[:, 1]
    np.testing.assert_allclose(answers, wanted, rtol=1e-12)
