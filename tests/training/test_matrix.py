import numpy as np
import polars as pl
import pytest

from millstream.errors import BadData
from millstream.features.plan import FeatureColumn
from millstream.serving.models import Encoder
from millstream.training.matrix import categories, labels, matrix
from tests.training.made import COLUMNS, frame


def test_every_type_becomes_a_number_and_null_becomes_nan():
    rows = pl.DataFrame(
        {
            "form.delay": [1.5, None, -2.0],
            "form.long": [True, False, None],
            "form.carrier": ["UA", "AA", None],
            "form.flights": [3, None, 0],
        }
    )
    known = categories(rows, COLUMNS)
    assert known == {"form.carrier": ["AA", "UA"]}
    nan = np.nan
    expected = [[1.5, 1, 1, 3], [nan, 0, 0, nan], [-2, nan, nan, 0]]
    np.testing.assert_array_equal(matrix(rows, COLUMNS, known), np.array(expected))


def test_a_category_never_seen_is_missing():
    rows = pl.DataFrame({"form.carrier": ["XX", "AA"]})
    found = matrix(rows, COLUMNS[2:3], {"form.carrier": ["AA", "UA"]})
    np.testing.assert_array_equal(found, [[np.nan], [0.0]])


def test_the_scoring_server_encodes_the_same_numbers():
    rows = frame(300)
    known = categories(rows[:100], COLUMNS)
    encoder = Encoder([each.name for each in COLUMNS], known)
    names = [each.name for each in COLUMNS]
    one_by_one = np.array([encoder.encode(row).tolist() for row in rows.select(names).iter_rows()])
    np.testing.assert_array_equal(matrix(rows, COLUMNS, known), one_by_one)


def test_an_instant_is_refused_by_name():
    with pytest.raises(BadData, match=r"feature seen\.at is timestamptz"):
        matrix(pl.DataFrame({"seen.at": [None]}), [FeatureColumn("seen.at", "timestamptz")], {})


def test_labels_become_numbers():
    np.testing.assert_array_equal(labels(pl.Series([True, None, False])), [1.0, np.nan, 0.0])
