import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

from millstream.definitions.model import Estimator
from millstream.errors import BadData, DefinitionError
from millstream.features.plan import FeatureColumn
from millstream.training.estimators import fit
from millstream.training.predictors import hash_files, model_files, read_predictor

NAMES = tuple(f"view.f{place}" for place in range(4))
COLUMNS = [*(FeatureColumn(name, "double") for name in NAMES[:3]), FeatureColumn(NAMES[3], "varchar")]


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(5)
    features = random.normal(size=(1500, 4))
    features[:, 3] = random.integers(0, 5, 1500)
    label = (features[:, 0] + (features[:, 3] == 2) + random.normal(size=1500) > 0.3).astype(float)
    features[random.random(features.shape) < 0.1] = np.nan
    return features, label


def fitted(said, data, *, task="binary", threads=1, seed=7, label=None):
    return fit(
        said, data[0], data[1] if label is None else label, task=task, columns=COLUMNS, seed=seed, threads=threads
    )


def hashed(result, task="binary"):
    return hash_files(model_files(result.fitted, task=task, features=NAMES, known={}))


def test_the_same_data_gives_the_same_bytes(data):
    said = Estimator.of(LGBMClassifier(n_estimators=15, subsample=0.7, subsample_freq=1))
    assert len({hashed(fitted(said, data, threads=threads)) for threads in (1, 1)}) == 1
    assert hashed(fitted(said, data, seed=8)) != hashed(fitted(said, data))


def test_the_shipped_text_predicts_what_the_estimator_does_and_records_no_parameters(data):
    found = fitted(Estimator.of(LGBMClassifier(n_estimators=15)), data)
    again = LGBMClassifier(**found.params).fit(data[0], data[1], categorical_feature=[3])
    np.testing.assert_array_equal(found.predict(data[0]), again.predict_proba(data[0])[:, 1])
    assert "parameters" not in found.fitted.text
    assert "view.f0 view.f1" in found.fitted.text


def test_what_ships_says_how_it_was_fixed(data):
    params = fitted(Estimator.of(LGBMClassifier(n_estimators=5, n_jobs=8)), data).params
    assert params["deterministic"] and params["force_row_wise"]
    assert (params["n_jobs"], params["random_state"]) == (1, 7)


@pytest.mark.parametrize(("estimator", "task"), [(LogisticRegression(), "binary"), (LinearRegression(), "regression")])
def test_a_linear_model_ships_as_its_coefficients(data, estimator, task, tmp_path):
    found = fitted(Estimator.of(estimator), data, task=task)
    filled = np.where(np.isnan(data[0]), found.fitted.fill, data[0])
    again = type(estimator)(**found.params).fit(filled, data[1])
    expected = again.predict_proba(filled)[:, 1] if task == "binary" else again.predict(filled)
    np.testing.assert_allclose(found.predict(data[0]), expected, rtol=0, atol=1e-12)
    for name, content in model_files(found.fitted, task=task, features=NAMES, known={}).items():
        (tmp_path / name).write_bytes(content)
    read = read_predictor(tmp_path)
    np.testing.assert_array_equal(read.predict(data[0]), found.predict(data[0]))
    assert read.content_hash == hashed(found, task)


def test_a_regression_gives_the_mean(data):
    label = 3 * np.nan_to_num(data[0][:, 0])
    found = fitted(Estimator.of(LGBMRegressor(n_estimators=40)), data, task="regression", label=label)
    assert np.mean(np.square(found.predict(data[0]) - label)) < 0.2 * np.var(label)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (Estimator("lightgbm.sklearn:LGBMRegressor", {}), DefinitionError, "is a regressor, the task is binary"),
        (
            Estimator("lightgbm.sklearn:LGBMClassifier", {"n_estimators": -3}),
            DefinitionError,
            "LGBMClassifier failed: V",
        ),
        (Estimator("lightgbm.sklearn:LGBMClassifier", {"objective": "nonsense"}), DefinitionError, "nonsense"),
        (Estimator("sklearn.svm:LinearSVC", {}), DefinitionError, "gives classes and no probabilities"),
        (Estimator("sklearn.linear_model:LogisticRegression", {"typo": 1}), DefinitionError, "typo"),
        (Estimator("no_such_package:Thing", {}), DefinitionError, "cannot be imported"),
        (Estimator("lightgbm.sklearn:LGBMClasifier", {}), DefinitionError, "has no 'LGBMClasifier'"),
        (Estimator("collections:OrderedDict", {}), DefinitionError, "has no fit and predict"),
    ],
)
def test_an_estimator_that_cannot_be_used_is_named(data, said, error, words):
    with pytest.raises(error, match=words):
        fitted(said, data)


def test_labels_of_one_class_are_refused(data):
    with pytest.raises(BadData, match="all 1500 labels that could be learnt from are true"):
        fitted(Estimator.of(LGBMClassifier()), data, label=np.ones(1500))
