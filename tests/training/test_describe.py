import sys
from collections import OrderedDict
from textwrap import dedent

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from millstream.definitions.estimator import Estimator
from millstream.definitions.load import run_files
from millstream.errors import DefinitionError
from millstream.training.building import rebuild, recipe
from millstream.training.own_code import OwnCode


class Holder:
    """An estimator without get_params: its parameters are read back from it."""

    def __init__(self, value, other=None):
        self.value = value
        self.other = other

    def fit(self, matrix, label):
        return self

    def predict(self, matrix):
        return matrix[:, 0]


def again(estimator):
    """Describe, write as JSON, read, and make it anew."""
    said = Estimator.of(estimator)
    kept = msgspec.json.decode(msgspec.json.encode(said), type=Estimator)
    assert kept == said
    return rebuild({"$object": kept.path, "params": kept.params})


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other or (one != one and other != other)


plain = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats() | st.text(max_size=5)
keys = st.sampled_from(["a", "$tuple", ""]) | st.integers(-3, 3)


@settings(deadline=None)
@given(
    st.recursive(
        plain,
        lambda each: st.lists(each, max_size=3) | st.tuples(each, each) | st.dictionaries(keys, each, max_size=3),
        max_leaves=8,
    )
)
def test_what_is_described_is_rebuilt_exactly(value):
    assert same(again(Holder(value)).value, value)


@settings(deadline=None)
@given(st.floats(width=32) | st.integers(-(2**31), 2**31 - 1) | st.booleans())
def test_numpy_scalars_become_the_numbers_they_are(value):
    kind = {float: np.float64, int: np.int32, bool: np.bool_}[type(value)]
    assert same(again(Holder(kind(value))).value, value)


@pytest.mark.parametrize(
    "estimator",
    [
        Pipeline([("scale", StandardScaler()), ("rf", RandomForestClassifier())]),
        RandomForestClassifier(max_features=None, class_weight={0: 1, 1: 2.5}),
        Pipeline([("f", FunctionTransformer(np.log1p)), ("m", LGBMClassifier(n_estimators=7))]),
        ColumnTransformer([("a", SimpleImputer(), slice(0, 2)), ("b", "passthrough", ["view.late"])]),
        VotingClassifier([("a", RandomForestClassifier(3)), ("b", Pipeline([("s", SimpleImputer())]))], weights=(1, 2)),
        RandomizedSearchCV(RandomForestClassifier(), {"max_depth": [2, None]}, cv=KFold(3), n_iter=2),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_scikit_learn_nests_is_rebuilt(estimator):
    # A transformer alone is no model, but what is nested in one is described likewise.
    made = again(estimator)
    assert repr(made) == repr(estimator) and type(made) is type(estimator)


def test_private_modules_hide_behind_the_public_one():
    assert Estimator.of(RandomForestClassifier()).path == "sklearn.ensemble:RandomForestClassifier"
    assert Estimator.of(LGBMClassifier()).path == "lightgbm.sklearn:LGBMClassifier"


def test_an_array_and_a_none_that_is_not_the_default_come_back():
    back = again(Holder(np.array([[1.5, np.nan]]), other=np.array([1, 2], dtype=np.int8)))
    np.testing.assert_array_equal(back.value, [[1.5, np.nan]])
    assert back.other.dtype == np.int8
    assert again(RandomForestClassifier(max_features=None)).max_features is None


class Forgetful(Holder):
    def __init__(self, depth):
        super().__init__(None)
        self.limit = depth


def in_a_notebook():
    def predict(self, matrix):
        return matrix[:, 0]

    return type("LateRisk", (), {"__module__": "__main__", "fit": predict, "predict": predict})()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (in_a_notebook, r"put LateRisk into late_risk\.py and write: from late_risk import LateRisk"),
        (lambda: Holder(in_a_notebook()), r"Holder\.value: LateRisk is defined where it is used"),
        (lambda: Holder([1, lambda: 2]), r"Holder\.value\[1\]: .*cannot be imported by name"),
        (lambda: Forgetful(3), r"parameter 'depth' of Forgetful cannot be read back(.|\n)*self\.depth = depth"),
        (lambda: Holder(np.random.RandomState(3)), r"Holder\.value is(.|\n)*a number as seed"),
        (lambda: Holder({"a": object()}), r"Holder\.value\['a'\] is"),
        (lambda: Holder(2**80), "at most 64 bits"),
        (lambda: Holder(OrderedDict().items), r"Holder\.value: .*items.* cannot be imported by that name"),
        (lambda: RandomForestClassifier, "has no fit until it is made"),
        (lambda: "lgbm", "has no fit"),
    ],
)
def test_what_cannot_be_described_says_which_and_what_to_do(make, words):
    with pytest.raises(DefinitionError) as refused:
        Estimator.of(make())
    assert __import__("re").search(words, str(refused.value)), refused.value


SHOP = {
    "shop/__init__.py": "",
    "shop/near.py": """
        import numpy as np

        from .far import half
        from prices import PRICE


        class Near:
            def __init__(self, k=3):
                self.k = k

            def fit(self, matrix, label):
                self.mean_ = half(label.mean())

            def predict(self, matrix):
                return np.full(len(matrix), self.mean_ * PRICE)
        """,
    "shop/far.py": "def half(number):\n    import statistics\n    return number / 2\n",
    "prices.py": "PRICE = 2\n",
    "unused.py": "1 / 0\n",
}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    for name, source in SHOP.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(dedent(source))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [each for each in sys.modules if each.partition(".")[0] in ("shop", "prices")]:
        del sys.modules[name]


def test_own_code_travels_with_what_it_imports_and_no_more(shop):
    from shop.near import Near

    said = Estimator.of(Pipeline([("near", Near(k=4))]))
    assert set(said.code) == {"shop/__init__.py", "shop/near.py", "shop/far.py", "prices.py"}
    assert said.code["prices.py"] == "PRICE = 2\n"
    (shop / "prices.py").write_text("1 / 0\n")  # what lies on disk is not what was described
    with OwnCode(said.code):
        made = recipe(said, names=(), seed=1, threads=1)
        near = made.make().steps[0][1]
    assert made.packages == ("numpy", "sklearn")
    assert near.k == 4 and type(near) is not Near
    assert sys.modules["shop.near"].Near is Near, "a notebook keeps the modules it has imported"


def test_a_definition_file_that_defines_its_estimator_is_told_where_to_put_it(tmp_path):
    source = """
        from millstream import Each, Model, Table, sources

        class Mine:
            def fit(self, matrix, label):
                return self

            def predict(self, matrix):
                return matrix[:, 0]

        flights = Table("flights", source=sources.Csv("flights.csv"), key="id")
        late = Model("late", rows=Each(flights), label="late", features=[], estimator=Mine(), goal="roc_auc")
        """
    (tmp_path / "flights.py").write_text(dedent(source))
    with pytest.raises(DefinitionError, match=r"(?s)flights\.py, line 12.*put Mine into mine\.py"):
        run_files(tmp_path)
