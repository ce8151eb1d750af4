"""May a candidate go on? The verdict on a backtest, in words, with how sure it is."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from millstream.definitions.tasks import HORIZON, WITHOUT_LABEL
from millstream.metrics.registry import Metric, metric
from millstream.metrics.uncertainty import Difference, difference
from millstream.training.backtests import Backtest, comparable, compared
from millstream.training.cluster_words import group_words
from millstream.training.matrix import Array
from millstream.training.segments import Beside, beside
from millstream.training.unlabelled import beside_words, verdict_words

FEW_DAYS = 10
"""Under so many days an interval is known to be too narrow, and the verdict says so."""

FEW_ROWS = 30
"""Under so many rows judged on, nobody can say who is better."""

FEW_TIMELESS = 200
"""Under so many rows without time, the verdict says that its range is a rough one."""

_WORDS = {
    "roc_auc": "ranking (roc_auc)",
    "log_loss": "log loss",
    "brier": "squared error of probabilities (brier)",
    "rmse": "typical error (rmse)",
    "mae": "mean error (mae)",
    "mape": "mean percentage error (mape)",
    "accuracy": "share of right answers (accuracy)",
    "balanced_accuracy": "share of right answers, every class counting alike (balanced_accuracy)",
    "macro_f1": "balance of hits and false calls over classes (macro_f1)",
    "r2": "share of the spread explained (r2)",
    "pinball": "distance from the quantiles (pinball)",
    "ndcg_at_k": "order of what is listed (ndcg_at_k)",
    "recall_at_k": "share of what is chosen that is listed (recall_at_k)",
    "map_at_k": "precision of what is listed (map_at_k)",
    "hit_rate_at_k": "share of lists with a hit (hit_rate_at_k)",
}


class Comparison(msgspec.Struct, frozen=True):
    """The candidate against one other, on the goal metric.

    Parameters
    ----------
    against
        ``baseline``, or the champion's name.
    candidate, other
        Values on the same rows.
    gain, low, high
        How much better the candidate is (negative is worse), with a 95 % interval from drawing whole days.
    probability_worse
        Share of the draws in which the candidate is worse.
    rows, days
        What was compared on; no days where rows have no time of their own.
    passed
        Whether this comparison lets the candidate pass.
    says
        In words.
    """

    against: str
    candidate: float | None
    other: float | None
    gain: float | None
    low: float | None
    high: float | None
    probability_worse: float | None
    rows: int
    days: int
    passed: bool
    says: str


class Verdict(msgspec.Struct, frozen=True):
    """The gate's answer.

    Parameters
    ----------
    passed
        Whether the candidate may be released.
    says
        The reason, for somebody who runs the business.
    goal, goal_value
        Metric that decides, and the candidate's value.
    comparisons
        With the baseline, and with the champion where there is one.
    segments
        The same on each segment of the definition, those it is surely worse for first.
    """

    passed: bool
    says: str
    model: str
    goal: str
    goal_value: float | None
    comparisons: tuple[Comparison, ...]
    segments: tuple[Beside, ...] = ()


def judge(tested: Backtest, *, tolerance: float = 0.01, seed: int = 7) -> Verdict:
    """Decide whether a candidate may go on.

    It must beat the baseline for sure (the whole 95 % interval of the gain above 0), and must not be worse than the
    champion: not surely worse, and not worse by more than the tolerance.

    Parameters
    ----------
    tested
        A backtest, with the champion's predictions where there is one.
    tolerance
        Loss against the champion that is let pass, relative to the champion's value (0.01 is 1 %).
    seed
        Of the draws; equal seeds give equal verdicts.
    """
    if tested.report.task in WITHOUT_LABEL:
        return _unlabelled(tested)
    goal = metric(tested.report.goal, levels=tested.report.levels, scale=tested.report.scale)
    value = tested.report.pooled["candidate"][goal.name]
    compared = [_beside_baseline(goal, tested, seed=seed)]
    if tested.champion is not None:
        compared.append(_beside_champion(goal, tested, tested.champion, tolerance=tolerance, seed=seed))
    if tested.report.blocks == "rows":
        compared = [msgspec.structs.replace(each, days=0) for each in compared]
    passed = all(each.passed for each in compared)
    opening = "The candidate may go live." if passed else "The candidate should not go live."
    segments = _segments(goal, tested, seed)
    said = [*(each.says for each in compared), *_worse_off(segments), *_ahead(goal, tested), *_caveats(tested)]
    return Verdict(passed, " ".join([opening, *said]), tested.report.model, goal.name, value, tuple(compared), segments)


def _unlabelled(tested: Backtest) -> Verdict:
    report = tested.report
    ours, simple = report.pooled["candidate"], report.pooled["baseline"]
    if report.task == "clusters":
        passed, says = group_words(
            ours, tested.label, smallest=report.share, champion=tested.champion, name=report.champion
        )
    else:
        beside = beside_words(
            tested.candidate, tested.origin, share=report.share, simple=tested.baseline, champion=tested.champion,
            name=report.champion,
        )  # fmt: skip
        passed, says = verdict_words(ours, simple, report.share, beside=beside)
    opening = "The candidate may go live." if passed else "The candidate should not go live."
    says = " ".join([opening, says, *_caveats(tested)])
    return Verdict(passed, says, report.model, report.goal, ours.get(report.goal), ())


def _beside_baseline(goal: Metric, tested: Backtest, *, seed: int) -> Comparison:
    every = np.ones(tested.label.size, dtype=bool)
    found = _difference(goal, tested, tested.baseline, every, seed=seed)
    gain, low, high = _gain(goal, found)
    ours, simple = (tested.report.pooled[each][goal.name] for each in ("candidate", "baseline"))
    passed = gain is not None and low is not None and low > 0
    beside = "" if gain is None else f"{_words(goal)} {ours:.4f} against {simple:.4f}{_range(low, high)}"
    judged = f"{tested.label.size:,} {_things(tested)}"
    if gain is None:
        says = f"Its {_words(goal)} cannot be computed: the {judged} judged on are all alike."
    elif low is None:
        says = "All rows judged on were decided on one day, so chance cannot be told from skill."
        if tested.report.blocks == "people":
            says = "All lists judged were for one and the same, so chance cannot be told from skill."
        if tested.report.blocks == "rows":
            says = "One row was judged on, so chance cannot be told from skill."
    elif every.size < FEW_ROWS:
        passed = False
        says = f"{judged} to judge on are too few to say whether it beats the simple guess: {beside}."
    elif passed:
        says = f"It beats the simple guess for sure: {beside}."
    else:
        worse = "is worse than" if gain <= 0 else "is not surely better than"
        says = f"It {worse} the simple guess: {beside}."
    return _comparison("baseline", (ours, simple), (gain, low, high), found, int(every.sum()), passed, says)


def _beside_champion(goal: Metric, tested: Backtest, champion: Array, *, tolerance: float, seed: int) -> Comparison:
    name = tested.report.champion
    fresh = compared(champion)
    if not fresh.any():
        says = f"{name} has learnt from every row judged on, so the two cannot be compared fairly."
        if tested.report.blocks == "rows":
            says = (
                f"Rows have no time of their own, so nobody can tell which {name} has learnt from: the two are not "
                "compared."
            )
        nothing = Difference(None, None, None, None, 0, 0)
        return _comparison(name, (None, None), (None, None, None), nothing, 0, True, says)
    found = _difference(goal, tested, champion, fresh, seed=seed)
    gain, low, high = _gain(goal, found)
    ours, theirs = (tested.report.pooled[each][goal.name] for each in ("candidate_beside_champion", "champion"))
    rows = int(fresh.sum())
    if gain is None or ours is None or theirs is None:
        says = f"The {_words(goal)} of {name} cannot be computed on {rows:,} rows, so the two are not compared."
        return _comparison(name, (ours, theirs), (gain, low, high), found, rows, True, says)
    lost = goal.relative_loss(ours, theirs)
    surely_worse = high is not None and high < 0
    beyond = lost is not None and lost > tolerance
    if surely_worse or beyond:
        says = f"It is {'surely ' if surely_worse else ''}worse than {name}"
    elif low is not None and low > 0:
        says = f"It is surely better than {name}"
    else:
        says = f"It is about as good as {name}"
    says += f": {ours:.4f} against {theirs:.4f} on the same {rows:,} {_things(tested)}{_range(low, high)}."
    passed = not (surely_worse or beyond)
    return _comparison(name, (ours, theirs), (gain, low, high), found, rows, passed, says)


def _difference(goal: Metric, tested: Backtest, other: Array, rows: npt.NDArray[np.bool_], *, seed: int) -> Difference:
    ours, theirs = (comparable(goal, each[rows], tested.origin[rows]) for each in (tested.candidate, other))
    return difference(goal, tested.label[rows], ours, theirs, blocks=tested.days[rows], seed=seed)


def _gain(goal: Metric, found: Difference) -> tuple[float | None, float | None, float | None]:
    """Turn a difference into how much better the candidate is, whichever way is good."""
    if goal.greater_is_better:
        return found.estimate, found.low, found.high
    flipped = [None if each is None else -each for each in (found.estimate, found.high, found.low)]
    return flipped[0], flipped[1], flipped[2]


def _comparison(
    against: str, values: tuple[float | None, float | None], gain: tuple[float | None, float | None, float | None],
    found: Difference, rows: int, passed: bool, says: str,
) -> Comparison:  # fmt: skip
    return Comparison(
        against, *values, *gain, probability_worse=found.probability_worse, rows=rows, days=found.blocks,
        passed=passed, says=says,
    )  # fmt: skip


def _segments(goal: Metric, tested: Backtest, seed: int) -> tuple[Beside, ...]:
    """Compare the candidate with the others for each segment: it may be better on the whole and worse for some."""
    others = {"baseline": tested.baseline}
    if tested.champion is not None:
        others[tested.report.champion] = tested.champion
    ours = comparable(goal, tested.candidate, tested.origin)
    found: list[Beside] = []
    for name, other in others.items():
        fresh, theirs = compared(other), np.full_like(other, np.nan)
        theirs[fresh] = comparable(goal, other[fresh], tested.origin[fresh])
        found += beside(
            goal, tested.label, ours, theirs, blocks=tested.days, among=tested.segments, against=name, seed=seed
        )
    return tuple(found)


def _worse_off(segments: tuple[Beside, ...]) -> list[str]:
    """Say for whom the candidate is surely worse, and how many were looked at."""
    said = []
    for name in dict.fromkeys(each.against for each in segments):
        mine = [each for each in segments if each.against == name]
        worse = [each.says for each in mine if each.standing == "worse"]
        judged = sum(each.standing != "few" for each in mine)
        other = "the simple guess" if name == "baseline" else name
        if worse:
            of = f" Corrected for the {judged} segments looked at." if judged > 1 else ""
            said.append(f"It is surely worse than {other} for {', '.join(worse)}.{of}")
    return said


def _ahead(goal: Metric, tested: Backtest) -> list[str]:
    """Say how it does on the nearest and on the furthest targets, and on how many it beats the simple guess."""
    parts = [each for each in tested.segments if each.column == HORIZON]
    if len(parts) < 2:
        return []
    told: list[tuple[str | None, float, float]] = []
    for part in parts:
        ours, simple = (
            goal.measure(tested.label[part.rows], who[part.rows]) for who in (tested.candidate, tested.baseline)
        )
        if ours is not None and simple is not None:
            told.append((part.value, ours, simple))
    if not told:
        return []
    better = sum(goal.loss(ours) < goal.loss(simple) for _, ours, simple in told)
    ends = " and ".join(
        f"{ours:.4f} against {simple:.4f} at {step} ahead" for step, ours, simple in (told[0], told[-1])
    )
    return [f"By how far ahead: {ends}; it is better on {better} of {len(told)} distances."]


def _caveats(tested: Backtest) -> list[str]:
    days = tested.report.days
    said: list[str] = []
    if tested.report.blocks == "rows":
        said.append(
            "Rows have no time of their own: they were parted by their key, so this says how it does on other rows of "
            "the same time, not on later ones."
        )
        if tested.label.size < FEW_TIMELESS:
            said.append(f"Judged on {tested.label.size:,} rows only, so take the range as a rough one.")
    elif tested.report.blocks == "people":
        said.append(tested.report.lists)
        if days < FEW_DAYS:
            said.append(f"They were for {days} only, so take the range as a rough one.")
    elif 1 < days < FEW_DAYS:
        said.append(f"Judged on {days} days only, so take the range as a rough one.")
    if tested.report.rare:
        named = [f"{name} ({rows})" for name, rows in tested.report.rare.items()]
        shown = ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")
        said.append(f"Of classes with so few rows nothing can be said: {shown}.")
    return said


def _things(tested: Backtest) -> str:
    return "lists" if tested.report.blocks == "people" else "rows"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" (gain {low:+.4f} to {high:+.4f} with 95 % confidence)"


def _words(goal: Metric) -> str:
    return _WORDS.get(goal.name, goal.name)
