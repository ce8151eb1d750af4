"""How good the answers were, once their truth arrived."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from millstream.definitions.monitors import Classic
from millstream.features.ticks import steps_ahead
from millstream.metrics import Metric, metric
from millstream.metrics.uncertainty import interval
from millstream.monitoring.change import changed_on
from millstream.monitoring.finding import Finding
from millstream.monitoring.outcomes import OutcomeBook, Settled
from millstream.monitoring.reference import Reference
from millstream.types import parse_duration

FEWEST_DAYS = 7
FEWEST_OUTCOMES = 300
SURE = 0.90
"""How sure one must be that a loss is beyond its tolerance to call it harm (days drawn with replacement)."""

_BOTH_ENDS = 2 * SURE - 1.0
"""An interval of this level has ``SURE`` of the draws on the better side of its worse end, and the other way round."""

_BIAS_LEVEL = 0.95
"""A bias is looked for on both sides and on every day, so it must be surer than harm."""

_BACK = 0.8
"""An alarm counts as passing below this part of its threshold, so that it does not open and close around it."""

_DEGRADED = 0.01
_FEWEST_DEGRADED = 3


def performance_findings(
    day: date, *, model: str, monitors: Classic, reference: Reference, book: OutcomeBook, now: datetime
) -> list[Finding]:
    """Judge the goal metric, harm and bias over the rolling window, on outcomes of complete days of a release."""
    settled = book.settled(
        day,
        parse_duration(monitors.window),
        now,
        version=reference.version,
        classes=reference.classes,
        width=reference.width,
    )
    if settled.days < FEWEST_DAYS or len(settled.label) < FEWEST_OUTCOMES:
        says = (
            f"{len(settled.label)} outcomes of {settled.days} complete days of {reference.release};"
            f" judging starts at {FEWEST_OUTCOMES} of {FEWEST_DAYS}"
        )
        subjects = [("performance", reference.goal), ("harm", reference.goal)]
        subjects += [("bias", "mean")] if _has_bias(monitors, reference) else []
        return [_unknown(day, model, kind, subject, says, reference) for kind, subject in subjects]
    return [
        *_goal(day, model, monitors, reference, settled),
        *([_bias(day, model, monitors.bias or 0.0, reference, settled)] if _has_bias(monitors, reference) else []),
    ]


def _has_bias(monitors: Classic, reference: Reference) -> bool:
    """Say whether the mean of answers is watched: a list has none."""
    return monitors.bias is not None and not reference.k


def answer_findings(day: date, *, model: str, monitors: Classic, book: OutcomeBook) -> list[Finding]:
    """Judge how fast a day's answers came and how many were given by somebody else than the champion."""
    answers = book.answers(day)
    at = day.isoformat()
    timed = not math.isnan(answers.p95_ms)
    slow = timed and answers.p95_ms > monitors.p95_ms
    share = answers.degraded / answers.count if answers.count else None
    fallen = share is not None and share > _DEGRADED and answers.degraded >= _FEWEST_DEGRADED
    return [
        Finding(
            day=at,
            model=model,
            kind="latency",
            subject="p95",
            verdict="unknown" if not timed else "alarm" if slow else "ok",
            value=answers.p95_ms if timed else None,
            threshold=monitors.p95_ms,
            says=f"95 % of {answers.count} answers came within {answers.p95_ms:.2g} ms" if timed else "no timed answer",
            since=at,
            next="millstream status",
        ),
        Finding(
            day=at,
            model=model,
            kind="degraded",
            subject="share",
            verdict="unknown" if share is None else "alarm" if fallen else "ok",
            value=share,
            threshold=_DEGRADED,
            says=f"{answers.degraded} of {answers.count} answers were given by a fallback",
            since=at,
            next="millstream status, then millstream why PREDICTION for one of them",
        ),
    ]


def _goal(day: date, model: str, monitors: Classic, reference: Reference, settled: Settled) -> list[Finding]:
    goal = metric(reference.goal, levels=reference.levels, scale=reference.scale)
    value = goal.measure(settled.label, settled.predicted)
    loss = None if value is None else goal.relative_loss(value, reference.goal_value)
    if value is None or loss is None or not math.isfinite(loss):
        says = f"{goal.name} cannot be held against its value when released ({len(settled.label)} outcomes)"
        return [_unknown(day, model, kind, goal.name, says, reference) for kind in ("performance", "harm")]
    simple = None if reference.k else goal.measure(settled.label, _simple(reference, settled))  # no list is kept
    beaten = simple is not None and goal.loss(value) >= goal.loss(simple)
    worse = loss > monitors.goal_worse
    harm = worse and _is_harm(goal, monitors, reference, settled)
    rule = "" if simple is None else f"; the simple rule has {simple:.3f}" + (" and is no worse" if beaten else "")
    says = (
        f"{goal.name} of {reference.release} is {value:.3f} over {len(settled.label):,} outcomes of {settled.days} days"
        f" to {settled.last}; it was {reference.goal_value:.3f} when released, {_words(loss)}{rule}"
    )
    ahead = _by_horizon(goal, reference, settled)
    if len(ahead) > 1:
        says += f"; {_nearest_and_furthest(ahead)}"
    left_out = [each.isoformat() for each in settled.left_out]
    since = date.fromordinal(int(settled.block.min())).isoformat()
    shared: dict[str, Any] = {
        "day": day.isoformat(),
        "model": model,
        "subject": goal.name,
        "about": reference.release,
        "since": since,
    }
    detail: dict[str, Any] = {
        "baseline": simple,
        "reference": reference.goal_value,
        "value": value,
        "left_out": left_out,
    }
    detail |= {"by_horizon": ahead} if ahead else {}
    step = f"millstream retrain {model}"
    return [
        Finding(
            **shared,
            kind="performance",
            verdict="alarm" if worse else "ok",
            value=value,
            threshold=_limit(goal, reference.goal_value, monitors.goal_worse),
            says=says,
            next=step,
            calm=loss <= _BACK * monitors.goal_worse,
            detail=detail | {"loss": loss},
        ),
        Finding(
            **shared,
            kind="harm",
            verdict="alarm" if harm else "ok",
            value=loss,
            threshold=monitors.goal_worse,
            says=f"measured harm, {SURE:.0%} sure of a loss beyond {monitors.goal_worse:.0%}: {says}" if harm else says,
            calm=loss <= _BACK * monitors.goal_worse,
            severity="page",
            next=f"{step}, or millstream rollback {model}",
            detail=detail | {"loss": loss},
        ),
    ]


def _simple(reference: Reference, settled: Settled) -> npt.NDArray[np.float64]:
    """Return what the simple rule said of each: of forecasts what was known of the last season, where it was."""
    said = np.full(settled.predicted.shape, reference.simple if reference.width else reference.baseline)
    if settled.simple is None:
        return said
    rule = settled.simple if not reference.width else settled.simple[:, None] + np.array(reference.offsets or (0.0,))
    return np.where(np.isnan(rule), said, rule)


def _by_horizon(goal: Metric, reference: Reference, settled: Settled) -> dict[str, dict[str, float | None]]:
    """Return the goal metric and the bias of the answers so many ticks ahead; nothing without a horizon."""
    if reference.ticks is None or reference.ticks.horizon is None or settled.asked is None or settled.about is None:
        return {}
    ahead, found = steps_ahead(reference.ticks, settled.asked, settled.about), {}
    for step in np.unique(ahead).tolist():
        rows = ahead == step
        found[str(step)] = {
            "value": goal.measure(settled.label[rows], settled.predicted[rows]),
            "bias": metric("bias").measure(settled.label[rows], settled.value[rows]),
            "outcomes": float(rows.sum()),
        }
    return found


def _nearest_and_furthest(ahead: dict[str, dict[str, float | None]]) -> str:
    said = []
    for step in (next(iter(ahead)), next(reversed(ahead))):
        value = ahead[step]["value"]
        said.append(f"{'unknown' if value is None else f'{value:.3f}'} {step} ahead")
    return " and ".join(said)


def _is_harm(goal: Metric, monitors: Classic, reference: Reference, settled: Settled) -> bool:
    """Say whether even the better end of the interval is beyond the tolerance."""
    range_ = interval(goal, settled.label, settled.predicted, settled.block, level=_BOTH_ENDS)
    best = range_.high if goal.greater_is_better else range_.low
    loss = None if best is None else goal.relative_loss(best, reference.goal_value)
    return loss is not None and loss > monitors.goal_worse


def _bias(day: date, model: str, limit: float, reference: Reference, settled: Settled) -> Finding:
    truths = _truths(settled, reference)
    range_ = interval("bias", truths, settled.value, settled.block, level=_BIAS_LEVEL)
    bias, low, high = range_.estimate, range_.low, range_.high
    if bias is None or low is None or high is None:
        return _unknown(day, model, "bias", "mean", "the mean truth is zero", reference)
    answer, truth = float(settled.value.mean()), float(truths.mean())
    alarm = low > limit or high < -limit
    excess = np.sign(bias) * (settled.value - truths * (1 + np.sign(bias) * limit))
    told = (
        f"the classes said are held for {answer:.0%} sure on average, and {truth:.0%} of them are right"
        if reference.classes
        else f"answers average {answer:.3f}, the truth {truth:.3f}"
    )
    return Finding(
        day=day.isoformat(),
        model=model,
        kind="bias",
        subject="mean",
        verdict="alarm" if alarm else "ok",
        value=bias,
        threshold=limit,
        says=(
            f"{told}: {abs(bias):.0%} too"
            f" {'high' if bias > 0 else 'low'} ({low:+.0%} to {high:+.0%}) over {len(settled.label):,} outcomes of"
            f" {settled.days} days to {settled.last}"
        ),
        since=changed_on(settled.block, excess).isoformat() if alarm else "",
        next=f"millstream retrain {model}",
        about=reference.release,
        calm=abs(bias) <= limit,
        detail={"mean_answer": answer, "mean_truth": truth, "low": low, "high": high},
    )


def _truths(settled: Settled, reference: Reference) -> npt.NDArray[np.float64]:
    """Return what answers should average to: the labels, of classes whether the class said is right."""
    if not reference.classes or settled.numbers is None:
        return settled.label
    return np.asarray(settled.numbers.argmax(axis=1) == settled.label, dtype=np.float64)


def _limit(goal: Metric, reference: float, tolerance: float) -> float:
    return reference - tolerance * abs(reference) if goal.greater_is_better else reference + tolerance * abs(reference)


def _words(loss: float) -> str:
    return f"{loss:.0%} worse" if loss >= 0.005 else f"{-loss:.0%} better" if loss <= -0.005 else "the same"


def _unknown(day: date, model: str, kind: str, subject: str, says: str, reference: Reference) -> Finding:
    return Finding(
        day=day.isoformat(),
        model=model,
        kind=kind,
        subject=subject,
        verdict="unknown",
        value=None,
        threshold=None,
        says=says,
        about=reference.release,
    )
