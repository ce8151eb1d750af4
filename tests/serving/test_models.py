import math
from array import array
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import IntegrityError
from millstream.serving import models
from millstream.serving.lightgbm import Booster


@pytest.fixture(scope="module")
def trained():
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(5)
    x = rng.normal(size=(3000, 7))
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 6] = rng.integers(0, 5, 3000)
    y = (np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1]) ** 2 + (x[:, 6] == 3) > 0.8).astype(float)
    data = lightgbm.Dataset(x, y, categorical_feature=[6], free_raw_data=False)
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": 15}, data, num_boost_round=30
    )
    return booster, x


def without_parameters(text: str) -> str:
    return text[: text.index("\nparameters:")] + text[text.index("end of parameters") + len("end of parameters") :]


@pytest.mark.parametrize("strip", [str, without_parameters])
def test_lightgbm_predicts_exactly_what_its_own_package_predicts(trained, strip):
    booster, x = trained
    mine = Booster(strip(booster.model_to_string()).encode(), width=7)
    theirs = booster.predict(x[:400], num_threads=1)
    one = [mine.predict_one(array("d", row)) for row in x[:400]]
    many = mine.predict_many(array("d", x[:400].ravel()), 400)
    assert one == many == theirs.tolist()
    assert mine.predict_many(array("d"), 0) == []
    mine.close()
    mine.close()


def test_a_model_of_another_shape_is_refused(trained):
    booster, _ = trained
    with pytest.raises(IntegrityError, match="7 features"):
        Booster(booster.model_to_string().encode(), width=6)
    with pytest.raises(IntegrityError):
        Booster(b"not a model", width=7)


def test_model_files_are_read_by_kind_and_bad_ones_refused(tmp_path: Path):
    def write(**said):
        (tmp_path / "model.json").write_bytes(msgspec.json.encode(said))
        read = models.read_from(tmp_path)
        return models.load(models.read_model(read), read)

    assert write(kind="constant", task="regression", features=["a"], value=2.5).predict_one(array("d", [1.0])) == 2.5
    linear = write(kind="linear", task="binary", features=["a", "b"], intercept=0.0, coefficients=[1, 2], fill=[0, 0])
    assert linear.predict_one(array("d", [0.0, math.nan])) == 0.5
    with pytest.raises(IntegrityError, match="coefficients"):
        write(kind="linear", task="binary", features=["a", "b"], intercept=0.0, coefficients=[1])
    with pytest.raises(IntegrityError):
        write(kind="pickle", task="binary", features=["a"])
    with pytest.raises(IntegrityError, match="of its own"):
        write(kind="lightgbm", task="binary", features=["a"], file="../elsewhere.txt")
    with pytest.raises(IntegrityError):
        write(kind="lightgbm", task="binary", features=["a"])


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), max_size=20))
def test_linear_many_equals_one_and_a_probability_is_one(rows):
    said = models.LinearFile("binary", ("a", "b", "c"), 0.1, (3.0, -2.0, 1e3))
    model = models.load(said, models.read_from(Path()))
    one = [model.predict_one(array("d", row)) for row in rows]
    assert one == model.predict_many(array("d", [value for row in rows for value in row]), len(rows))
    assert all(0 <= value <= 1 for value in one)


def test_encoding_knows_booleans_categories_and_nothing():
    encoder = models.Encoder(["late", "carrier", "wind"], {"carrier": ["AA", "UA"]})
    assert encoder.encode([False, "UA", 3]).tolist() == [0.0, 1.0, 3.0]
    unknown = encoder.encode([None, "ZZ", None])
    assert all(math.isnan(value) for value in unknown)


def test_a_baseline_is_finite(tmp_path):
    (tmp_path / "baseline.json").write_text('{"kind":"prior","value":0.25}')
    assert models.read_baseline(models.read_from(tmp_path)) == 0.25
    (tmp_path / "baseline.json").write_text('{"kind":"prior","value":"x"}')
    with pytest.raises(IntegrityError):
        models.read_baseline(models.read_from(tmp_path))
