"""What a model was trained on, held against a slow recomputation from raw facts cut at each row's decision."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from millstream.errors import IntegrityError
from millstream.features.plan import FeaturePlan
from millstream.features.proof.cells import Behind, Recomputed, equal
from millstream.training.splits import NEVER
from millstream.types import from_micros, parse_instant, to_micros

if TYPE_CHECKING:
    import polars as pl

    from millstream.training.sets import TrainingSet

BUDGET_S = 120.0
"""An audit ends by then, and says how many rows it came to."""
SHOWN = 50
LABEL = "label"
SET, KEPT = "training set", "kept with the model"


class Proven(msgspec.Struct, frozen=True):
    """One feature (or the label): how many of its sampled values are equal, and why some could not be recomputed."""

    feature: str
    equal: int
    all: int
    unproven: str = ""


class Difference(msgspec.Struct, frozen=True):
    """A value that is not what raw facts known by then give.

    Parameters
    ----------
    feature, row, decided_at
        Which cell.
    source
        Where the value was read: the training set made again from its pins, or the sample kept with the model.
    trained, recomputed
        Both values.
    fact
        The fact behind it: its table, key, when it happened and when it was known; None where no single fact explains
        it.
    says
        The same in words.
    """

    feature: str
    row: dict[str, str]
    decided_at: str
    source: str
    trained: Any
    recomputed: Any
    fact: dict[str, Any] | None
    says: str


class Audit(msgspec.Struct, frozen=True):
    """An audit of one model version's features.

    Parameters
    ----------
    rows, kept
        Rows of the training set, and of the sample kept with the model, that were recomputed.
    asked
        Rows that were to be, of the two together; more than those recomputed where time ran out.
    equal, all
        Values that are equal, of all that could be recomputed.
    features
        The same by feature, in the model's order.
    different
        Differences in all; the first of them are ``differences``.
    """

    rows: int
    kept: int
    asked: int
    equal: int
    all: int
    features: tuple[Proven, ...]
    different: int
    differences: tuple[Difference, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every value is equal and every feature could be recomputed."""
        return self.equal == self.all and self.all > 0 and not any(each.unproven for each in self.features)


@dataclass(frozen=True)
class _Asked:
    """A row to recompute, and what was trained on there: values, or numbers as the model sees them."""

    source: str
    row: dict[str, Any]
    trained: dict[str, Any]


def audit_set(
    training: TrainingSet,
    recomputed: Recomputed,
    *,
    rows: int = 100,
    seed: int = 7,
    folder: Path | None = None,
    budget_s: float = BUDGET_S,
    tell: Callable[[str], None] | None = None,
) -> Audit:
    """Recompute sampled rows of a training set, and of the sample kept with a model, and compare every value.

    Parameters
    ----------
    training
        The set, made again from its pins.
    recomputed
        The slow half, over the same versions.
    rows, seed
        How many rows, drawn evenly over time with a chance that the seed fixes.
    folder
        The model's artifact, whose ``sample.json`` holds what the model was given when it was trained.
    budget_s
        No row is begun after so many seconds.
    tell
        Called with a line now and then.
    """
    began = time.monotonic()
    asked = [*_drawn(training, rows, seed)]
    kept = list(_kept(training.plan, folder, rows)) if folder is not None else []
    asked = [each for pair in _alternating(asked, kept) for each in pair]
    categories = _categories(folder) if kept and folder is not None else {}
    right = dict.fromkeys((*training.plan.names, LABEL), 0)
    counted, why = dict(right), dict.fromkeys(right, "")
    differences: list[Difference] = []
    different, done = 0, {SET: 0, KEPT: 0}
    for each in asked:
        if time.monotonic() - began > budget_s:
            break
        done[each.source] += 1
        cells = recomputed.row(each.row)
        if LABEL in each.trained:
            until = NEVER if training.until is None else to_micros(training.until)
            cells[LABEL] = recomputed.label(each.row, known_by=until)
        for name, trained in each.trained.items():
            cell = cells[name]
            if cell.unproven:
                why[name] = cell.unproven if name != LABEL else ""
                continue
            value = cell.value if each.source == SET else _as_number(cell.value, categories.get(name))
            counted[name] += 1
            if equal(trained, value):
                right[name] += 1
                continue
            different += 1
            if len(differences) < SHOWN:
                differences.append(_difference(training.plan, recomputed, each, name, value))
        if tell is not None and sum(done.values()) % 25 == 0:
            tell(f"{sum(done.values())} of {len(asked)} rows recomputed, {different} values differ")
    named = [each for each in right if each != LABEL or counted[LABEL]]
    return Audit(
        rows=done[SET],
        kept=done[KEPT],
        asked=len(asked),
        equal=sum(right.values()),
        all=sum(counted.values()),
        features=tuple(Proven(each, right[each], counted[each], why[each]) for each in named),
        different=different,
        differences=tuple(differences),
        seconds=round(time.monotonic() - began, 2),
    )


def _drawn(training: TrainingSet, rows: int, seed: int) -> Iterator[_Asked]:
    """Draw rows evenly over time: one from each of so many equal runs of the set."""
    from millstream.features.proof.facts import plain

    edges = np.linspace(0, training.rows, min(rows, training.rows) + 1).astype(np.intp)
    chance = np.random.default_rng(seed)
    picked = [int(chance.integers(low, high)) for low, high in pairwise(edges)]
    frame = training.frame[picked]
    labels = frame[LABEL].to_list() if LABEL in frame.columns else [None] * frame.height
    for row, values, label in zip(plain(frame), frame.to_dicts(), labels, strict=True):
        trained = {name: values[name] for name in training.plan.names}
        told = label is not None and training.plan.ranking is None
        yield _Asked(SET, row, {**trained, LABEL: row[LABEL]} if told else trained)


def _kept(plan: FeaturePlan, folder: Path, rows: int) -> Iterator[_Asked]:
    """Read what the model was given for rows of its hold-out when it was trained; none of a model that lists items."""
    from millstream.features.proof.facts import plain
    from millstream.features.rows import from_request

    if plan.ranking is not None:
        return
    path = folder / "sample.json"
    try:
        said = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as wrong:
        raise IntegrityError(f"{path} cannot be read: {wrong}", do="train again, or restore the folder") from None
    step = max(1, -(-len(said["rows"]) // max(rows, 1)))
    for row, numbers in list(zip(said["rows"], said["features"], strict=True))[::step]:
        frame: pl.DataFrame = from_request(plan, row, at=parse_instant(row["decided_at"]))
        yield _Asked(KEPT, plain(frame)[0], dict(zip(plan.names, numbers, strict=True)))


def _alternating(one: list[_Asked], other: list[_Asked]) -> Iterator[list[_Asked]]:
    for place in range(max(len(one), len(other))):
        yield [*one[place : place + 1], *other[place : place + 1]]


def _categories(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = msgspec.json.decode((folder / "model.json").read_bytes()).get("categories", {})
    return found


def _as_number(value: Any, known: list[str] | None) -> float | None:
    """Return a value as a model sees it: a text as its place among those known, NULL and unknown ones as none."""
    if isinstance(value, str):
        return float(known.index(value)) if known and value in known else None
    return None if value is None or math.isnan(value) else float(value)


def _difference(plan: FeaturePlan, recomputed: Recomputed, asked: _Asked, name: str, value: Any) -> Difference:
    trained = asked.trained[name]
    behind = recomputed.behind(name, asked.row, trained)
    row = {each: str(asked.row[each]) for each in plan.prediction_key if each in asked.row and each != "decided_at"}
    decided = _when(int(asked.row["decided_at"]))
    named = ", ".join(f"{key} {each}" for key, each in row.items())
    says = (
        f"{name} of {named or 'a row'}, decided at {decided}: trained on {_told(trained)}, raw facts known by then give"
    )
    says += f" {_told(value)}" + (f"; {_worded(behind)}" if behind else "; no single fact explains it")
    fact = None if behind is None else _fact(behind)
    return Difference(name, row, decided, asked.source, trained, value, fact, says)


def _worded(behind: Behind) -> str:
    key = ", ".join(f"{name} {value}" for name, value in behind.key.items())
    known = "never known" if behind.known_at is None else f"known at {_when(behind.known_at)}"
    return f"behind it is {key} of {behind.table}, {known}: {behind.kind}"


def _fact(behind: Behind) -> dict[str, Any]:
    told: Mapping[str, int | None] = {"event_time": behind.event_time, "known_at": behind.known_at}
    times = {name: None if at is None else from_micros(at).isoformat() for name, at in told.items()}
    return {
        "table": behind.table,
        "key": {name: str(each) for name, each in behind.key.items()},
        **times,
        "kind": behind.kind,
    }


def _told(value: Any) -> str:
    return "nothing (NULL)" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _when(micros: int) -> str:
    return f"{from_micros(micros):%Y-%m-%d %H:%M:%S} UTC"
