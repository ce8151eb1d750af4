"""Robust distance: how far a row's most unusual feature is from the middle of what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from millstream.features.plan import FeatureColumn
from millstream.training.matrix import Array

NORMAL = 1.4826
"""Median absolute deviation to standard deviation, where values are normal."""


class RobustZ:
    """The estimator of a model without label that names none; learns from features alone.

    A row's score is the largest of its features' distances from their median, in robust standard deviations (Iglewicz
    and Hoaglin, How to Detect and Handle Outliers, 1993). Texts and features that never vary do not count, a missing
    one counts nothing.
    """

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return its parameters: none."""
        return {}

    def fit(self, matrix: Array, label: object = None, *, columns: Sequence[FeatureColumn] = ()) -> Robust:
        """Learn the middle and the spread of each feature."""
        centre, scale = np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1])
        texts = {place for place, each in enumerate(columns) if each.dtype == "varchar"}
        for place, values in enumerate(matrix.T):
            known = values[~np.isnan(values)]
            if not known.size or place in texts:
                continue
            centre[place] = np.median(known)
            away = np.abs(known - centre[place])
            scale[place] = NORMAL * float(np.median(away)) or float(np.sqrt(np.pi / 2) * away.mean())
        return Robust(centre, scale)


class Robust:
    """Fitted robust distances, as plain data; a scale of 0 leaves a feature out."""

    kind = "robust"

    def __init__(self, centre: Array, scale: Array) -> None:
        self.centre, self.scale = centre, scale

    def predict(self, matrix: Array) -> Array:
        """Score rows: the largest distance of a feature."""
        if not matrix.shape[1]:
            return np.zeros(len(matrix))
        used = self.scale > 0
        away = np.abs(matrix - self.centre) / np.where(used, self.scale, 1.0)
        answer: Array = np.where(used & ~np.isnan(matrix), away, 0.0).max(axis=1)
        return answer

    def described(self) -> dict[str, Any]:
        """Return centre and scale of each feature."""
        return {"centre": self.centre.tolist(), "scale": self.scale.tolist()}

    def files(self) -> dict[str, bytes]:
        """Return nothing: ``model.json`` holds all of it."""
        return {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was assumed."""
        return ("A missing feature, a text and one that never varied count nothing in how unusual a row is.",)
