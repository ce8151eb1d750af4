"""How leaks show in numbers: a label in two parts, the mean of the labels themselves, rows on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.training.matrix import Array
from millstream.training.sets import TrainingSet
from millstream.training.splits import NEVER, Split

_ROWS, _FEWEST = 4_000, 30
_EXACT = 1e-9
_LIKELY_SHARE, _PROMISING = 0.999, 0.99
"""The share of a label that two numbers explain together from which on it is said; and, on a few rows, looked into."""
_GROUP, _GROUPS = 10, 8
_SURE, _LIKELY = 0.1, 0.3
"""How far, in standard errors, means of labels lie from a feature that is their mean, at most; by chance it is 1."""
_TEST_ROWS, _FIT_ROWS = 5_000, 50_000
MORE = 10.0
"""How many times less two numbers leave open than either of them alone, or the other would say it already."""
_TWINS = 5
_NUMBERS = ("bigint", "double", "boolean")


def parts(training: TrainingSet, *, without: Iterable[str] = ()) -> tuple[tuple[str, str], bool, str] | None:
    """Find two numbers of which sum, difference, product or quotient is the label, or tells it without any mistake.

    Returns
    -------
    tuple, or None
        Both features, whether it is certain (not where a number is only nearly met, as by rounded parts), and what
        was seen.
    """
    binary, number = training.label_dtype == "boolean", training.label_dtype in ("bigint", "double")
    if not (binary or number):
        return None
    names, values, label = numbers(training, without=without)
    if len(names) < 2 or (number and not np.isfinite(label).all()):
        return None
    tells = _separates if binary else _equals
    alone = [tells(values[:, place], label) for place in range(len(names))]
    best = float(np.append(0.0, _explained(values, label) if number else []).max())
    near, score = None, max(_LIKELY_SHARE, 1 - (1 - best) / MORE)  # what moves slowly is foretold by its last value
    for one in range(len(names)):
        for sign, both in joined(values[:, one], values[:, one + 1 :]):
            for found in np.flatnonzero(_promising(both, label, binary=binary)):
                other = one + 1 + int(found)
                pair = (names[one], names[other])
                said = f"features {pair[0]} and {pair[1]}: {pair[0]} {sign} {pair[1]}"
                if not (alone[one] or alone[other]) and tells(both[:, found], label):
                    says = "is the label" if number else "tells the label without any mistake"
                    return pair, True, f"{said} {says} in all of {label.size:,} sampled rows"
                share = float(_explained(both[:, [found]], label)[0]) if number else 0.0
                if share > score:
                    near, score = (pair, False, f"{said} explains {_percent(share)} of the label"), share
    return near


def numbers(training: TrainingSet, *, without: Iterable[str] = ()) -> tuple[list[str], Array, Array]:
    """Return names, values (rows, names) and labels (rows) of a sample of labelled rows; NULL is NaN."""
    left_out = set(without)
    names = [each.name for each in training.plan.columns if each.dtype in _NUMBERS and each.name not in left_out]
    rows = _some(training, binary=training.label_dtype == "boolean")
    values = [_floats(training.frame[name][rows]) for name in names]
    return names, np.column_stack(values) if names else np.empty((rows.size, 0)), training.label[rows]


def _some(training: TrainingSet, *, binary: bool) -> npt.NDArray[np.intp]:
    """Return a sample of labelled rows, of two classes as many of the rarer as there are."""
    labelled = np.flatnonzero(training.known != NEVER)
    chance = np.random.default_rng(7)
    if labelled.size <= _ROWS:
        return labelled
    if not binary:
        return np.sort(chance.choice(labelled, _ROWS, replace=False))
    sides = [labelled[training.label[labelled] == side] for side in (0.0, 1.0)]
    picked = [chance.choice(each, min(each.size, _ROWS // 2), replace=False) for each in sides]
    return np.sort(np.concatenate(picked))


def joined(one: Array, others: Array) -> Iterator[tuple[str, Array]]:
    """Yield the sum, difference, product and quotient (NaN by zero) of a column (rows) and each of others (rows, n)."""
    column = one[:, None]
    with np.errstate(all="ignore"):
        yield from (("+", column + others), ("-", column - others), ("*", column * others))
        yield "/", np.where(others != 0, column / np.where(others == 0, 1.0, others), np.nan)


def _promising(joined: Array, label: Array, *, binary: bool) -> npt.NDArray[np.bool_]:
    """Say which columns may tell the label, by a few rows of each: most are thrown out here."""
    few = slice(None, None, max(1, label.size // 200))
    if binary:
        return np.array([_separates(each, label[few], fewest=3) for each in joined[few].T], dtype=bool)
    with np.errstate(all="ignore"):
        near = np.abs(joined[few] - label[few, None]) <= _EXACT * np.maximum(1.0, np.abs(label[few, None]))
    same = (near | np.isnan(joined[few])).all(axis=0) & near.any(axis=0)
    promising: npt.NDArray[np.bool_] = np.asarray(same | (_explained(joined[few], label[few]) > _PROMISING))
    return promising


def _explained(values: Array, label: Array) -> Array:
    """Return the share of the label's spread that each column explains as it stands, 0 where it is seldom there."""
    there = np.isfinite(values)
    count = there.sum(axis=0)
    with np.errstate(all="ignore"):
        errors = np.where(there, values - label[:, None], 0.0)
        middle = (there * label[:, None]).sum(axis=0) / count
        spread = (there * np.square(label[:, None] - middle)).sum(axis=0)
        share = 1.0 - np.square(errors).sum(axis=0) / spread
    return np.where((count >= 0.5 * label.size) & np.isfinite(share), share, 0.0)


def _percent(share: float) -> str:
    return "all but a rounding" if share > 1 - 1e-6 else f"{share:.2%}"


def _separates(values: Array, label: Array, *, fewest: int = _FEWEST) -> bool:
    """Say whether all values of one side lie above all of the other."""
    there = ~np.isnan(values)
    yes, no = values[there & (label == 1)], values[there & (label == 0)]
    if min(yes.size, no.size) < fewest:
        return False
    return bool(yes.min() > no.max() or no.min() > yes.max())


def _equals(values: Array, label: Array) -> bool:
    there = ~np.isnan(values)
    if there.sum() < 2 * _FEWEST or np.unique(label[there]).size < 3:
        return False
    return bool((np.abs(values - label)[there] <= _EXACT * np.maximum(1.0, np.abs(label[there]))).all())


def group_means(training: TrainingSet, *, without: Iterable[str] = ()) -> Iterator[tuple[str, bool, str]]:
    """Find features that are the mean label of the rows which have the same value, far nearer than chance allows.

    A share of the past agrees with the labels to come within their own scatter. One that was taken over the very rows
    that are learnt from and judged, whole period and test included, agrees with them beyond it.

    Yields
    ------
    tuple
        The feature, whether it is certain, and what was seen.
    """
    if training.label_dtype not in _NUMBERS:
        return
    labelled = np.flatnonzero(~np.isnan(training.label))  # those not known yet too: whoever made it may have had them
    label = pl.Series("label", training.label[labelled])
    for column in training.plan.columns:
        if column.dtype not in ("double", "bigint") or column.name in set(without):
            continue
        pairs = pl.DataFrame({"value": training.frame[column.name][labelled].cast(pl.Float64), "label": label})
        means = pairs.drop_nulls().group_by("value").agg(
            pl.col("label").mean().alias("mean"), pl.col("label").std().alias("std"), pl.len().alias("rows")
        )  # fmt: skip
        means = means.filter((pl.col("rows") >= _GROUP) & (pl.col("std") > 0))
        if means.height < _GROUPS or means["rows"].sum() < 0.8 * labelled.size:
            continue
        away = _away(*(means[each].to_numpy() for each in ("value", "mean", "std", "rows")))
        if away is not None and away < _LIKELY:
            says = (
                f"feature {column.name}: each of its {means.height:,} values is the mean label of the rows that have "
                f"it, {1 / max(away, 1e-3):,.0f} times nearer than labels scatter: it was made of the labels it is to "
                "predict, those of the test period included"
            )
            yield column.name, away < _SURE, says


def _away(value: Array, mean: Array, std: Array, rows: Array) -> float | None:
    """Return how many standard errors means lie from the line through them, None where there is no slope to see."""
    error = std / np.sqrt(rows)
    weight = 1.0 / error**2
    middle = np.average(value, weights=weight)
    with np.errstate(over="ignore"):
        wide = np.average((value - middle) ** 2, weights=weight)
    if not 0 < wide < np.inf or np.sqrt(np.average((mean - np.average(mean, weights=weight)) ** 2 * weight)) < 1.0:
        return None
    slope = np.average((value - middle) * (mean - np.average(mean, weights=weight)), weights=weight) / wide
    residual = mean - np.average(mean, weights=weight) - slope * (value - middle)
    return float(np.sqrt(((residual / error) ** 2).sum() / max(1, value.size - 2)))


def twins(training: TrainingSet, split: Split) -> str | None:
    """Count judged rows that have a twin among the rows learnt from: the same in every way but their key and time.

    Rows that are alike by chance have many neighbours that differ in one thing only; copies have none.
    """
    plan, chance = training.plan, np.random.default_rng(7)
    test, fit = (
        np.sort(chance.choice(each, most, replace=False)) if each.size > most else each
        for each, most in ((split.test, _TEST_ROWS), (split.fit, _FIT_ROWS))
    )
    frame = training.frame.with_columns(pl.Series("label", training.label))
    own = [each for each in (*plan.request_columns, *plan.request_features) if each not in plan.row_key]
    for columns in ((*own, *plan.names), tuple(own)):
        named = list(dict.fromkeys(each for each in columns if not frame.schema[each].is_temporal()))
        if len(named) < 2:
            continue
        held, learnt = (frame[rows].select(*named, "label") for rows in (test, fit))
        exact = int(_met(held, learnt).sum())
        if exact < max(_TWINS, 0.005 * test.size):
            continue
        apart = max(_nearly(held, learnt, each) for each in (*named, "label"))
        if exact > 5 * apart:
            of = f" ({test.size:,} of {split.test.size:,} looked at)" if test.size < split.test.size else ""
            return (
                f"{exact:,} of {test.size:,} judged rows{of} have a twin among the rows learnt from, with the same"
                f" label and the same {len(named)} columns under another {', '.join(plan.row_key)}: duplicates"
                " across the split make a model look better than it is"
            )
    return None


def _met(held: pl.DataFrame, learnt: pl.DataFrame) -> npt.NDArray[np.bool_]:
    met: npt.NDArray[np.bool_] = np.isin(held.hash_rows().to_numpy(), learnt.hash_rows().to_numpy())
    return met


def _nearly(held: pl.DataFrame, learnt: pl.DataFrame, column: str) -> int:
    """Count the rows that some row learnt from equals in everything but one column, and differs from in that."""
    kinds = pl.DataFrame({"rest": learnt.drop(column).hash_rows(), "whole": learnt.hash_rows()})
    kinds = kinds.group_by("rest").agg(pl.col("whole").n_unique().alias("kinds"))
    asked = pl.DataFrame({"rest": held.drop(column).hash_rows(), "exact": _met(held, learnt)})
    known = asked.join(kinds, on="rest", how="inner")
    return int(known.select((pl.col("kinds") > pl.col("exact").cast(pl.Int64)).sum()).item())


def _floats(series: pl.Series) -> Array:
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
