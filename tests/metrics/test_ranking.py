"""Metrics of lists against the plainest way to compute them, and their draws against measuring the lists drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from millstream.errors import BadData
from millstream.metrics import metric, ranking, uncertainty

K = 4
one_list = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=9)


def made(lists: list[list[tuple[int, bool]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    score = [float(each) for one in lists for each, _ in one]
    truth = [float(each) for one in lists for _, each in one]
    group = [number for number, one in enumerate(lists) for _ in one]
    return ranking.places(score, truth, group, k=K)


@given(lists=st.lists(one_list, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_metrics_are_those_of_their_definitions(lists: list[list[tuple[int, bool]]]) -> None:
    count, listed, which = made(lists)
    wanted: dict[str, list[float]] = {"ndcg_at_k": [], "recall_at_k": [], "map_at_k": [], "hit_rate_at_k": []}
    start = 0
    for number, one in enumerate(lists):
        order = sorted(range(len(one)), key=lambda each: -one[each][0])  # of equals the first given stands first
        assert [each - start for each in which[number].tolist() if each >= 0] == order[:K]
        hits = [one[each][1] for each in order[:K]]
        right = sum(truth for _, truth in one)
        start += len(one)
        if not right:
            continue
        gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits))
        best = sum(1 / math.log2(place + 2) for place in range(min(right, K)))
        wanted["ndcg_at_k"].append(gain / best)
        wanted["recall_at_k"].append(sum(hits) / right)
        precision = [sum(hits[: place + 1]) / (place + 1) for place in range(len(hits)) if hits[place]]
        wanted["map_at_k"].append(sum(precision) / min(right, K))
        wanted["hit_rate_at_k"].append(float(any(hits)))
    for name, values in wanted.items():
        found = metric(name).measure(count, listed)
        assert found == (pytest.approx(np.mean(values)) if values else None)


def test_ndcg_agrees_with_scikit_learn_where_nothing_ties() -> None:
    random = np.random.default_rng(4)
    truth, score = (random.random((20, 12)) < 0.3).astype(float), random.random((20, 12))
    truth[:, 0] = 1.0
    count, listed, _ = ranking.places(score.ravel(), truth.ravel(), np.repeat(np.arange(20), 12), k=5)
    assert ranking.ndcg_at_k(count, listed) == pytest.approx(ndcg_score(truth, score, k=5))


def test_lists_of_nobody_and_lists_without_candidates_are_no_evidence() -> None:
    count, listed, which = ranking.places([], [], [], k=2, lists=2)
    assert count.tolist() == [0, 0] and which.tolist() == [[-1, -1]] * 2
    assert metric("ndcg_at_k").measure(count, listed) is None


def test_a_list_has_no_more_hits_than_were_chosen() -> None:
    with pytest.raises(BadData, match="2 hits and 1 items were chosen"):
        ranking.recall_at_k([1], [[1, 1]])
    with pytest.raises(BadData, match="1 counts and places of shape"):
        ranking.recall_at_k([1], [[1, 0], [0, 0]])


@pytest.mark.parametrize("name", ["ndcg_at_k", "recall_at_k", "map_at_k", "hit_rate_at_k"])
def test_people_are_drawn_whole(name: str) -> None:
    random = np.random.default_rng(8)
    people = np.repeat(np.arange(12), 5)
    count = random.integers(0, 4, 60).astype(float)
    listed = np.sort((random.random((60, K)) < 0.3).astype(float), axis=1)
    listed *= np.cumsum(listed, axis=1) <= count[:, None]
    found = uncertainty.interval(name, count, listed, people, resamples=400)
    draws = []
    for _ in range(300):
        rows = np.concatenate([np.flatnonzero(people == each) for each in random.integers(0, 12, 12)])
        draws.append(metric(name).measure(count[rows], listed[rows]))
    assert found.low is not None and found.high is not None and found.blocks == 12
    assert found.low == pytest.approx(np.quantile(draws, 0.025), abs=0.06)
    assert found.high == pytest.approx(np.quantile(draws, 0.975), abs=0.06)
