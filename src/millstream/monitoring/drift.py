"""How far the features that were answered from have moved from those that were learnt from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from millstream.definitions.monitors import Classic
from millstream.metrics.divergence import kl
from millstream.metrics.profile import ColumnProfile, Profile
from millstream.monitoring.change import changed_on
from millstream.monitoring.finding import Finding
from millstream.monitoring.outcomes import Floats
from millstream.monitoring.reference import Reference
from millstream.types import parse_duration

FEWEST_DAYS = 14
"""Days a window needs before it is judged: two of every weekday."""

_REACH_DAYS = 7
_BACK = 0.8
"""An alarm counts as passing below this part of its threshold, so that it does not open and close around it."""

DayBins = dict[str, Floats]


class DriftWindow:
    """The features of the last days, counted in a release's bins.

    Days are counted once; when another release goes live they are counted again in its bins, which is why their
    values are kept (for 28 days of 1,000 rows and 20 features 5 MB).

    Parameters
    ----------
    span
        How many days are kept.
    """

    def __init__(self, span: timedelta = timedelta(days=28)) -> None:
        self._span = span
        self._values: dict[date, dict[str, npt.NDArray[Any]]] = {}
        self._bins: dict[date, DayBins] = {}
        self._profile: Profile | None = None

    def add(self, day: date, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take in a day's features, shape (n,) each, NULL as NaN; the same day again replaces it."""
        self._values[day] = {name: np.asarray(values) for name, values in columns.items()}
        self._bins.pop(day, None)
        for old in [each for each in self._values if each <= max(self._values) - self._span]:
            del self._values[old]
            self._bins.pop(old, None)

    def bins(self, profile: Profile, last: date) -> list[tuple[date, DayBins]]:
        """Return the days up to ``last``, oldest first, as counts per bin by feature."""
        if profile is not self._profile and profile != self._profile:
            self._bins.clear()
        self._profile = profile
        first = last - self._span
        for day, values in self._values.items():
            if day not in self._bins:
                known = {name: each for name, each in values.items() if name in profile.columns and each.size}
                counted = profile.counts(known).columns
                self._bins[day] = {
                    name: np.asarray(each.bins, dtype=np.float64) for name, each in counted.items() if any(each.bins)
                }
        return [(day, self._bins[day]) for day in sorted(self._bins) if first < day <= last]


def drift_findings(
    day: date,
    *,
    model: str,
    monitors: Classic,
    reference: Reference,
    window: DriftWindow,
    performance: Sequence[Finding] = (),
) -> list[Finding]:
    """Hold each feature's rolling window against the reference by Kullback-Leibler divergence (nats).

    Parameters
    ----------
    performance
        What the goal metric did over its window; drift words lean on it, because drift alone is not harm.
    """
    days = window.bins(reference.profile, day)
    aside = _aside(performance)
    found = []
    for feature, column in reference.profile.columns.items():
        counted = [(each, bins[feature]) for each, bins in days if feature in bins]
        found.append(_judge(day, model, monitors, reference, feature, column, counted, aside))
    return found


def _judge(
    day: date,
    model: str,
    monitors: Classic,
    reference: Reference,
    feature: str,
    column: ColumnProfile,
    counted: Sequence[tuple[date, Floats]],
    aside: str,
) -> Finding:
    shared: dict[str, Any] = {"day": day.isoformat(), "model": model, "kind": "drift", "subject": feature}
    by_day = np.stack([bins for _, bins in counted]) if counted else np.zeros((0, 1))
    total = by_day.sum(axis=0)
    measurable = len(counted) >= FEWEST_DAYS and sum(column.counts) > 0
    moved = max(0.0, kl(column.counts, total) - sampling(by_day)) if measurable else math.nan
    if math.isnan(moved):
        says = f"{feature}: {len(counted)} days; judging starts at {FEWEST_DAYS}"
        return Finding(**shared, verdict="unknown", value=None, threshold=monitors.kl, says=says)
    if moved <= monitors.kl:
        says = f"{feature}: {moved:.2f} nats from {reference.release}"
        calm = moved <= _BACK * monitors.kl
        return Finding(**shared, verdict="ok", value=moved, threshold=monitors.kl, says=says, calm=calm)
    before, now = np.asarray(column.shares), total / total.sum()
    top = int(np.argmax(np.abs(now - before)))
    middle = (now[top] + before[top]) / 2
    each_day = (by_day[:, top] / by_day.sum(axis=1) - middle) * np.sign(now[top] - before[top])
    since = changed_on(np.array([each.toordinal() for each, _ in counted]), each_day)
    says = (
        f"{feature} has moved {moved:.2f} nats from what {reference.release} learnt from, since about {since}:"
        f" {_bin_words(column, top)} in {now[top]:.0%} of rows over {len(counted)} days,"
        f" {before[top]:.0%} then. {aside}"
    )
    return Finding(
        **shared,
        verdict="alarm",
        value=moved,
        threshold=monitors.kl,
        says=says,
        since=since.isoformat(),
        next=f"compare performance on the page; millstream retrain {model} if it suffers",
        detail={"share": float(now[top]), "share_before": float(before[top]), "days": len(counted)},
    )


def sampling(by_day: Floats) -> float:
    """Estimate what days alone contribute to a window's divergence (nats), to be taken off it.

    Rows of a day share its weather and its form of the last week, so a window of 28 days holds far fewer than its
    rows' worth of independent draws. To second order the divergence of the observed shares from their own mean is
    half the sum of their variance over their mean; the variance is the long-run one over days, with Bartlett's
    weights over a week (Newey and West 1987). It is counted twice, because the reference is a window as well.
    """
    count = len(by_day)
    shares = by_day / by_day.sum(axis=1, keepdims=True)
    mean = shares.mean(axis=0)
    used = mean > 0
    apart = (shares - mean)[:, used]
    variance = (apart * apart).sum(axis=0)
    reach = min(_REACH_DAYS, count // 2)
    for lag in range(1, reach + 1):
        variance += 2 * (1 - lag / (reach + 1)) * (apart[lag:] * apart[:-lag]).sum(axis=0)
    return float(np.sum(np.maximum(variance, 0.0) / mean[used])) / count**2


def days_of(monitors: Classic) -> DriftWindow:
    """Return an empty window of the span the monitors ask for."""
    return DriftWindow(parse_duration(monitors.window))


def _bin_words(column: ColumnProfile, index: int) -> str:
    if column.categories:
        return f"value {column.categories[index]}" if index < len(column.categories) else "a value never seen before"
    if not column.edges:
        return "any value"
    if index == 0:
        return f"at most {column.edges[0]:.4g}"
    if index == len(column.edges):
        return f"above {column.edges[-1]:.4g}"
    return f"{column.edges[index - 1]:.4g} to {column.edges[index]:.4g}"


def _aside(performance: Sequence[Finding]) -> str:
    goal = next((each for each in performance if each.kind == "performance"), None)
    words = "Drift alone is not harm, most of it is season"
    if goal is None or goal.value is None:
        return f"{words}; too few outcomes yet to say whether it hurts"
    stands = "worse than tolerated" if goal.verdict == "alarm" else "within tolerance"
    return f"{words}; {goal.subject} is {goal.value:.3f}, {stands}"
