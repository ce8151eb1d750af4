import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.definitions.splits import Time
from millstream.errors import BadData
from millstream.training.splits import NEVER, rolling, split_at

DAY = 86_400_000_000
ROW = st.tuples(st.integers(0, 30 * DAY), st.one_of(st.none(), st.integers(0, 6 * DAY)))


def arrays(rows: list[tuple[int, int | None]]) -> tuple[np.ndarray, np.ndarray]:
    decided = np.array([row[0] for row in rows], dtype=np.int64)
    known = np.array([NEVER if wait is None else at + wait for at, wait in rows], dtype=np.int64)
    return decided, known


@given(st.lists(ROW, max_size=60), st.integers(0, 30 * DAY), st.integers(1, 10 * DAY))
def test_a_cut_never_learns_from_what_it_could_not_know(rows, cut, span):
    decided, known = arrays(rows)
    found = split_at(decided, known, cut=cut, end=cut + span)
    fitted = set(found.fit.tolist())
    tested = set(found.test.tolist())
    purged = 0
    for row, (at, wait) in enumerate(rows):
        learnable = wait is not None and at < cut and at + wait <= cut
        assert (row in fitted) == learnable
        assert (row in tested) == (wait is not None and cut <= at < cut + span)
        purged += wait is not None and at < cut and at + wait > cut
    assert found.counts.purged == purged
    assert found.counts.unlabelled == sum(wait is None for _, wait in rows)
    assert (found.counts.fitted, found.counts.tested, found.counts.total) == (len(fitted), len(tested), len(rows))
    assert found.counts.later == sum(wait is not None and at >= cut + span for at, wait in rows)
    accounted = ("unlabelled", "purged", "fitted", "tested", "later")
    assert sum(getattr(found.counts, each) for each in accounted) == len(rows), "every row is accounted for"


@given(st.lists(ROW, min_size=5, max_size=60), st.integers(1, 4))
def test_rolling_spans_lie_end_to_end_and_the_last_ends_with_the_latest_label(rows, folds):
    decided, known = arrays(rows)
    try:
        splits = rolling(decided, known, Time(test="3d", folds=folds))
    except BadData:
        return
    assert len(splits) <= folds
    labelled = decided[known != NEVER]
    assert splits[-1].end == labelled.max() + 1
    for left, right in itertools.pairwise(splits):
        assert left.end == right.cut
    for each in splits:
        assert each.end - each.cut == 3 * DAY
        assert each.counts.fitted and each.counts.tested
        assert known[each.fit].max() <= each.cut <= decided[each.test].min()


def test_rows_decided_before_the_cut_and_known_after_are_purged_even_if_positive():
    decided, known = arrays([(0, DAY), (9 * DAY, 3 * DAY), (10 * DAY, DAY), (13 * DAY - 1, DAY)])
    (only,) = rolling(decided, known, Time(test="3d", folds=1))
    assert only.cut == 10 * DAY
    assert only.fit.tolist() == [0]
    assert only.counts.purged == 1


def test_no_label_at_all_is_said():
    decided, known = arrays([(0, None), (DAY, None)])
    with pytest.raises(BadData, match="none of 2 rows has a label"):
        rolling(decided, known, Time())


def test_a_span_too_short_to_hold_out_is_said_with_its_numbers():
    decided, known = arrays([(DAY * day, 0) for day in range(5)])
    with pytest.raises(BadData, match="leaves 0 rows to fit and 5 to judge"):
        rolling(decided, known, Time(test="7d"))
