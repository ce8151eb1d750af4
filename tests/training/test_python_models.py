import signal
import sys
from textwrap import dedent

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC

from millstream.definitions.estimator import Estimator
from millstream.errors import DefinitionError
from millstream.features.plan import FeatureColumn
from millstream.training.estimators import fit
from millstream.training.predictors import hash_files, model_files, read_predictor

NAMES = ("form.delay", "form.wind", "at.hour")
COLUMNS = [FeatureColumn(name, "double") for name in NAMES]
FOREST = Pipeline([("scale", StandardScaler()), ("rf", RandomForestClassifier(12, max_depth=5))])


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(5)
    features = random.normal(size=(600, 3))
    label = (features[:, 0] + random.normal(size=600) > 0.3).astype(float)
    features[random.random(features.shape) < 0.1] = np.nan
    return features, label


def fitted(estimator, data, *, task="binary", threads=1, seed=7):
    said = estimator if isinstance(estimator, Estimator) else Estimator.of(estimator)
    return fit(said, *data, task=task, columns=COLUMNS, seed=seed, threads=threads)


def files(found, task="binary"):
    return model_files(found.fitted, task=task, features=NAMES, known={})


def written(found, folder, task="binary"):
    for name, content in files(found, task).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return read_predictor(folder)


def test_the_same_data_and_seed_give_the_same_bytes_whatever_the_threads(data):
    made = [hash_files(files(fitted(FOREST, data, threads=threads))) for threads in (1, 2)]
    assert made[0] == made[1] != hash_files(files(fitted(FOREST, data, seed=8)))


@pytest.mark.parametrize(("form", "estimator"), [("skops", FOREST), ("pickle", MLPClassifier((40,), max_iter=5))])
def test_what_ships_answers_from_a_worker_what_was_fitted(data, tmp_path, form, estimator, monkeypatch):
    if form == "pickle":
        monkeypatch.setitem(sys.modules, "skops", None)
    found = fitted(estimator, data)
    assert found.fitted.said.format == form
    assert any("is a pickle" in each for each in found.fitted.notes) is (form == "pickle")
    read = written(found, tmp_path)
    assert read.content_hash == hash_files(files(found))
    many = read.predict(data[0][:50])
    np.testing.assert_allclose(many, found.predict(data[0][:50]), rtol=1e-12)
    # together and alone to the last bit, whatever a matrix product of a neural net rounds to
    np.testing.assert_array_equal(many, [read.predict(row[None])[0] for row in data[0][:50]])
    assert 0 < many.min() < many.max() < 1
    read.fitted.close()


def test_seeds_and_threads_are_fixed_wherever_there_are_some_and_recorded(data):
    params = fitted(Pipeline([("rf", RandomForestClassifier(3, random_state=99, n_jobs=8))]), data).params
    steps = params["steps"][0]["$tuple"][1]["params"]
    assert (steps["random_state"], steps["n_jobs"]) == (99, 1)
    params = fitted(FOREST, data, threads=2, seed=5).params
    steps = params["steps"][1]["$tuple"][1]["params"]
    assert (steps["random_state"], steps["n_jobs"]) == (5, 2)


def test_an_estimator_without_missing_values_gets_means_and_the_record_says_so(data):
    whole = np.where(np.isnan(data[0]), 0.5, data[0])
    for features in (data[0], whole):  # a served row may miss what no training row missed
        found = fitted(Pipeline([("p", PolynomialFeatures(2)), ("m", LogisticRegression())]), (features, data[1]))
        np.testing.assert_allclose(found.fitted.said.fill, np.nanmean(features, axis=0))
        assert "missing feature is replaced by its mean" in found.fitted.notes[0]
        assert np.isfinite(found.predict(np.full((1, 3), np.nan))).all()
    for takes in (HistGradientBoostingClassifier(max_iter=5), RandomForestClassifier(3)):
        assert fitted(takes, data).fitted.notes == ()


def test_a_column_transformer_may_name_features(data):
    def named(*columns):
        chosen = ColumnTransformer([("some", SimpleImputer(), list(columns))])
        return Pipeline([("chosen", chosen), ("rf", RandomForestClassifier(5))])

    answers = fitted(named("delay", "at.hour"), data).predict(data[0])
    np.testing.assert_array_equal(answers, fitted(named(0, 2), data).predict(data[0]))
    with pytest.raises(DefinitionError, match="names 'dely'") as refused:
        fitted(named("dely"), data)
    assert "did you mean 'delay'" in str(refused.value)


def test_a_pipeline_is_what_its_last_step_is(data):
    regressor = Pipeline([("s", StandardScaler()), ("rf", RandomForestRegressor(3))])
    answers = fitted(regressor, (data[0], 5 + data[1]), task="regression").predict(data[0])
    assert 5 <= answers.min() < answers.max() <= 6
    with pytest.raises(DefinitionError, match="Pipeline is a regressor, the task is binary"):
        fitted(regressor, data)
    with pytest.raises(DefinitionError, match="Pipeline is a classifier, the task is regression"):
        fitted(FOREST, data, task="regression")
    with pytest.raises(DefinitionError, match="classes and no probabilities"):
        fitted(Pipeline([("svc", LinearSVC())]), data)


def test_an_anomaly_has_a_score_and_needs_no_label(data):
    found = fitted(IsolationForest(n_estimators=10), (data[0], np.full(600, np.nan)), task="anomaly")
    assert found.fitted.said.method == "-score_samples" and found.predict(data[0]).shape == (600,)
    far = np.full((1, data[0].shape[1]), 50.0)
    assert found.predict(far)[0] > np.median(found.predict(data[0])), "strange rows score high"


def own(source):
    return Estimator("mine:Mine", {}, {"mine.py": dedent(source)})


def test_what_an_estimator_prints_goes_to_the_log(data, capfd):
    found = fitted(
        own("""
        import os

        class Mine:
            def fit(self, matrix, label):
                print("row by row")
                os.write(1, b"from below\\n")
                self.mean_ = label.mean()

            def predict(self, matrix):
                return matrix[:, 0] * 0 + self.mean_
        """),
        data,
    )
    printed = capfd.readouterr()
    assert printed.out == "" and "row by row" in printed.err and "from below" in printed.err
    assert found.predict(data[0][:1])[0] == data[1].mean()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise KeyError('delay')", r"mine:Mine failed: KeyError: 'delay'\nmine.py, line 4: raise KeyError"),
        ("import no_such_thing", "No module named 'no_such_thing'"),
        ("self.lock = __import__('threading').Lock()", "cannot be written down: TypeError"),
        ("return self", "otherwise alone than among others"),
    ],
)
def test_an_estimator_that_cannot_be_used_is_named_with_what_it_said(data, body, words):
    source = f"""
        class Mine:
            def fit(self, matrix, label):
                {body}

            def predict(self, matrix):
                import numpy as np
                return np.nan_to_num(matrix[:, 0]) * 0 + (1 / len(matrix) if {body == "return self"} else 0.5)
        """
    with pytest.raises(DefinitionError, match=words):
        fitted(own(source), data)


def test_a_search_in_parallel_knows_the_own_code(data):
    source = """
        from sklearn.base import BaseEstimator, ClassifierMixin
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV

        class Mine(ClassifierMixin, BaseEstimator):
            def __init__(self, share=0.1):
                self.share = share

            def fit(self, matrix, label):
                self.classes_ = [0.0, 1.0]
                return self

            def predict_proba(self, matrix):
                import late_import
                return [[1 - late_import.share(self), late_import.share(self)]] * len(matrix)

            def predict(self, matrix):
                return [self.share > 0.5] * len(matrix)
        """
    code = {"mine.py": dedent(source), "late_import.py": "def share(model):\n    return model.share\n"}
    search = {"estimator": {"$object": "mine:Mine"}, "param_grid": {"share": [0.2, 0.6]}, "scoring": "neg_brier_score"}
    said = Estimator("sklearn.model_selection:GridSearchCV", search | {"cv": 2}, code)
    found = fitted(said, (np.nan_to_num(data[0]), data[1]), threads=2)
    assert found.params["n_jobs"] == 2
    assert found.predict(data[0][:2]).tolist() in ([0.2, 0.2], [0.6, 0.6])
    assert "mine" not in sys.modules and "late_import" not in sys.modules


def test_ctrl_c_ends_a_fit(data):
    """Whatever the process that runs the tests was started with: one in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    source = """
        import os, signal, threading

        class Mine:
            def fit(self, matrix, label):
                os.kill(os.getpid(), signal.SIGINT)
                threading.Event().wait()

            def predict(self, matrix):
                return matrix[:, 0]
        """
    try:
        with pytest.raises(KeyboardInterrupt):
            fitted(own(source), data)
    finally:
        signal.signal(signal.SIGINT, before)


def test_edited_code_is_what_is_fitted_next(data):
    def saying(value):
        return own(f"""
        class Mine:
            def fit(self, matrix, label):
                return self

            def predict(self, matrix):
                return matrix[:, 0] * 0 + {value}
        """)

    first, second = (fitted(saying(value), (np.nan_to_num(data[0]), data[1])) for value in (0.25, 0.75))
    assert (first.predict(data[0][:0].reshape(0, 3)).size, second.predict(np.zeros((1, 3)))[0]) == (0, 0.75)
    assert first.predict(np.zeros((1, 3)))[0] == 0.25, "what was fitted before keeps its class"
    assert hash_files(files(first)) != hash_files(files(second))
