"""Scoring many rows off line: the same scorer as over HTTP, a slice at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import BadData, near
from millstream.serving import models
from millstream.serving.scorer import Scorer
from millstream.serving.shape import told, whole

if TYPE_CHECKING:
    import polars as pl

SLICE = 4096


def score_frame(release: Path, frame: pl.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Score rows whose features were joined as known at their instants.

    Parameters
    ----------
    release
        Folder of a verified release.
    frame
        Holds the features under their names in the plan.
    columns
        The plan's columns.

    Returns
    -------
    list
        One answer a row, in order, as a caller reads it: ``value``, and beside it ``probabilities`` or ``quantiles``
        where the task has them. A model that has no answer for a row gives NaN.

    Raises
    ------
    BadData
        When a feature is missing.

    Notes
    -----
    About 5 µs a row and tree depth permitting; nothing is logged, the batch is what it returns.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise BadData(f"the rows have no {', '.join(missing)}", expected=near(missing[0], frame.columns))
    scorer = Scorer.open(release)
    try:
        wanted = frame.select(scorer.features)
        return [
            told(scored.value, scored.said)
            for start in range(0, wanted.height, SLICE)
            for scored in scorer.score_features(wanted.slice(start, SLICE).rows())
        ]
    finally:
        scorer.close()


class _Sample(msgspec.Struct, frozen=True):
    features: list[list[float | None]]


def replay(release: Path, rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, ...]]:
    """Answer the requests of a release's ``sample.json`` as a server would.

    Rows go through the door and request features are computed; the features recorded beside the rows, in the same
    order, stand in for the online store. An answer is its value and, of a task with several numbers, all of them.

    Parameters
    ----------
    release
        Folder of a verified release.
    rows
        The requests; what a caller does not send (``decided_at``) is left out.

    Raises
    ------
    BadData
        When a row does not go through the door, or there are not as many recorded features as rows.
    """
    recorded = models.decode(models.read_from(release), "sample.json", _Sample).features
    if len(recorded) != len(rows):
        raise BadData(f"sample.json has features of {len(recorded)} requests", expected=f"{len(rows)}, one a row")
    scorer = Scorer.open(release)
    try:
        wanted = scorer.plan.request_columns if scorer.plan.ranking is None else scorer.plan.pair_columns
        checked = scorer.check_pairs([{name: row[name] for name in wanted if name in row} for row in rows])
        seen = [[math.nan if each is None else each for each in features] for features in recorded]
        return [whole(scored.value, scored.said) for scored in scorer.score_recorded(checked, seen)]
    finally:
        scorer.close()
