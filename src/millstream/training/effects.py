"""What a candidate would have done to people: counts from its backtest that need no knowledge of metrics.

Computed once, when the candidate is judged, from the very predictions its verdict is made of: every number here is a
count of rows that neither the candidate nor the champion had learnt from.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from millstream.definitions.model import Model
from millstream.definitions.tasks import Ranking
from millstream.training.backtests import Backtest
from millstream.training.matrix import Array
from millstream.training.splits import Rows
from millstream.types import from_micros

MONTH_DAYS = 30
"""Only the latest so many judged days count: what it would have done lately."""
SHARE = 0.1
"""Share of rows that is flagged where the model names no threshold: those each rates highest."""
_DAY_US = 86_400_000_000
_TIES = 7
"""Seed of the one order in which equal answers are flagged, the same for everybody who is compared."""


class Side(msgspec.Struct, frozen=True):
    """How one predictor did.

    Parameters
    ----------
    flagged, right
        Rows it flags, and how many of those came true; expected values where it rates rows alike and only some of
        them can be flagged. None for a model that answers a number.
    miss
        How far its number was off on average; None for a model that flags.
    """

    flagged: float | None = None
    right: float | None = None
    miss: float | None = None


class Change(msgspec.Struct, frozen=True):
    """Rows that would be decided differently than by the champion.

    Parameters
    ----------
    rows
        How many: flagged by one and not by the other; for numbers, answers further apart than the champion's usual
        miss.
    added, added_right
        Flagged by the candidate alone, and how many of them came true.
    dropped, dropped_right
        Flagged by the champion alone, and how many of them came true.
    closer
        For numbers: rows on which the candidate was nearer to the truth.
    """

    rows: int
    added: int | None = None
    added_right: int | None = None
    dropped: int | None = None
    dropped_right: int | None = None
    closer: int | None = None


class Effect(msgspec.Struct, frozen=True):
    """What the candidate would have done on the latest rows it was judged on.

    Parameters
    ----------
    kind
        ``flags`` for a probability, ``numbers`` for a number, ``lists`` for lists: flagged are lists, right are those
        that held something that was chosen.
    of, outcome
        What a row is (the rows' table, of lists the candidates'), and the label's expression.
    rows, days, since, until
        Rows counted, days (UTC) they were decided on, the first and the last of these; 0 days and no dates where rows
        have no time of their own, and all that were judged count.
    came_true
        Rows whose label was true; None for numbers.
    share, threshold
        How flags are set: the share of rows rated highest at each origin, or the probability from which on.
    candidate, champion, baseline
        Each on the same rows; no champion where there is none, or none that can be compared.
    change
        What would be decided differently; None without a champion.
    champion_threshold
        The champion's own probability from which on it flags, where flags are set by a probability.
    k
        Items of a list; 0 for other answers.
    """

    kind: Literal["flags", "numbers", "lists"]
    of: str
    outcome: str
    rows: int
    days: int
    since: str
    until: str
    came_true: int | None
    share: float | None
    threshold: float | None
    candidate: Side
    baseline: Side
    champion: Side | None = None
    change: Change | None = None
    champion_threshold: float | None = None
    k: int = 0


def effect(
    model: Model, tested: Backtest, *, threshold: float | None = None, theirs: float | None = None
) -> Effect | None:
    """Count what a candidate would have done, beside the champion and the baseline.

    Parameters
    ----------
    model
        The recipe, for the names of its rows and label.
    tested
        Its backtest.
    threshold
        Probability from which on a row is flagged. Without one, each flags the tenth of rows it rates highest at each
        origin, so that all flag equally many.
    theirs
        The champion's own threshold; the candidate's when it has none.

    Returns
    -------
    Effect or None
        None for an answer that is neither one probability nor one number a row.
    """
    if tested.report.task == "topk":
        return _of_lists(model, tested)
    cuts = {"champion": threshold if theirs is None or threshold is None else theirs}
    sides = {"candidate": tested.candidate, "baseline": tested.baseline}
    fresh = np.zeros(0, dtype=bool) if tested.champion is None else ~np.isnan(tested.champion)
    if tested.report.task not in ("binary", "regression") or any(each.ndim != 1 for each in sides.values()):
        return None
    rows = np.ones(tested.label.size, dtype=bool)
    if tested.champion is not None and fresh.ndim == 1 and fresh.any():
        sides["champion"], rows = tested.champion, fresh
    timed = tested.report.blocks == "days"
    if timed:
        days = tested.days[rows]
        rows[rows] = days > days.max() - MONTH_DAYS
    label, days, origin = tested.label[rows], tested.days[rows], tested.origin[rows]
    said = {name: each[rows] for name, each in sides.items()}
    flags = tested.report.task == "binary"
    if flags:
        chances = {name: _chances(each, origin, threshold=cuts.get(name, threshold)) for name, each in said.items()}
        found = {name: Side(float(each.sum()), float(each @ label)) for name, each in chances.items()}
    else:
        found = {name: Side(miss=float(np.abs(each - label).mean())) for name, each in said.items()}
    change = None
    if "champion" in said:
        changed = _flags_changed if flags else _numbers_changed
        change = changed(label, said["candidate"], said["champion"], origin, (threshold, cuts["champion"]))
    return Effect(
        kind="flags" if flags else "numbers",
        of=model.rows.of,
        outcome=model.label if isinstance(model.label, str) else "",
        rows=int(label.size),
        days=int(np.unique(days).size) if timed else 0,
        since=_day(int(days.min())) if timed else "",
        until=_day(int(days.max())) if timed else "",
        came_true=int(label.sum()) if flags else None,
        share=SHARE if flags and threshold is None else None,
        threshold=threshold if flags else None,
        champion_threshold=cuts["champion"] if flags and "champion" in said else None,
        candidate=found["candidate"],
        baseline=found["baseline"],
        champion=found.get("champion"),
        change=change,
    )


def _of_lists(model: Model, tested: Backtest) -> Effect:
    """Count lists that held something chosen, of the latest origin only: what it would have done lately."""
    last = tested.origin == tested.origin.max()
    sides = {"candidate": tested.candidate, "baseline": tested.baseline}
    if tested.champion is not None and (fresh := last & ~np.isnan(tested.champion[:, 0])).any():
        sides["champion"], last = tested.champion, fresh
    hits = {name: each[last].any(axis=1) for name, each in sides.items()}
    found = {name: Side(float(last.sum()), float(each.sum())) for name, each in hits.items()}
    judged = tested.folds[-1].lists
    assert judged is not None and isinstance(model.task, Ranking)
    days = judged.decisions.frame["decided_at"].to_physical().to_numpy() // _DAY_US
    change = None
    if "champion" in hits:
        added, dropped = hits["candidate"] & ~hits["champion"], hits["champion"] & ~hits["candidate"]
        count, lost = int(added.sum()), int(dropped.sum())
        change = Change(rows=count + lost, added=count, added_right=count, dropped=lost, dropped_right=lost)
    return Effect(
        kind="lists",
        of=model.task.candidates,
        outcome=model.label if isinstance(model.label, str) else "",
        rows=int(last.sum()),
        days=int(np.unique(days).size),
        since=_day(int(days.min())),
        until=_day(int(days.max())),
        came_true=int(tested.label[last].sum()),
        share=None,
        threshold=None,
        candidate=found["candidate"],
        baseline=found["baseline"],
        champion=found.get("champion"),
        change=change,
        k=tested.report.k,
    )


def _chances(predicted: Array, origin: Rows, *, threshold: float | None) -> Array:
    """Return with which chance each row is flagged: 1 or 0, between them only where answers are equal.

    >>> _chances(np.array([0.9, 0.2, 0.2, 0.1] * 5), np.zeros(20, dtype=np.intp), threshold=None).sum().item()
    2.0
    """
    if threshold is not None:
        return (predicted >= threshold).astype(np.float64)
    chances = np.zeros(predicted.size)
    for fold in np.unique(origin):
        rows = np.flatnonzero(origin == fold)
        values, wanted = predicted[rows], _wanted(rows.size)
        edge = np.partition(values, values.size - wanted)[values.size - wanted]
        above, equal = values > edge, values == edge
        chances[rows[above]] = 1.0
        chances[rows[equal]] = (wanted - int(above.sum())) / int(equal.sum())
    return chances


def _flags(predicted: Array, origin: Rows, threshold: float | None) -> npt.NDArray[np.bool_]:
    """Return which rows are flagged, equal answers in one fixed order."""
    if threshold is not None:
        return np.asarray(predicted >= threshold)
    flagged = np.zeros(predicted.size, dtype=bool)
    lot = np.random.default_rng(_TIES).random(predicted.size)
    for fold in np.unique(origin):
        rows = np.flatnonzero(origin == fold)
        best = np.lexsort((lot[rows], -predicted[rows]))[: _wanted(rows.size)]
        flagged[rows[best]] = True
    return flagged


_Cuts: TypeAlias = "tuple[float | None, float | None]"


def _flags_changed(label: Array, ours: Array, theirs: Array, origin: Rows, cuts: _Cuts) -> Change:
    mine, their = (_flags(each, origin, cut) for each, cut in zip((ours, theirs), cuts, strict=True))
    added, dropped = mine & ~their, their & ~mine
    return Change(
        rows=int(added.sum() + dropped.sum()),
        added=int(added.sum()),
        added_right=int(label[added].sum()),
        dropped=int(dropped.sum()),
        dropped_right=int(label[dropped].sum()),
    )


def _numbers_changed(label: Array, ours: Array, theirs: Array, _: Rows, __: _Cuts) -> Change:
    off, their_off = np.abs(ours - label), np.abs(theirs - label)
    apart = np.abs(ours - theirs) > their_off.mean()
    return Change(rows=int(apart.sum()), closer=int((off < their_off).sum()))


def _wanted(rows: int) -> int:
    return max(1, round(rows * SHARE))


def _day(number: int) -> str:
    return from_micros(number * _DAY_US).date().isoformat()
