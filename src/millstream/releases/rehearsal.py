"""Rehearsing a release before it may go live: swap to it, compare its answers, roll back, compare again."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from millstream.errors import IntegrityError, MillstreamError
from millstream.releases.desk import Desk
from millstream.releases.verify import Release
from millstream.state import State, decisions, pointer, releases
from millstream.state.releases import ReleaseRow

Score: TypeAlias = Callable[[Path, list[dict[str, Any]]], "Sequence[float | Sequence[float]]"]
"""Answer the rows of a release's ``sample.json`` with the release in that folder, as a server would.

The features recorded beside the rows, in the same order, stand in for the online store. An answer is one number, or the
number that is logged followed by every number of the answer.
"""

Numbers: TypeAlias = tuple[float, ...]

TOLERANCE = 1e-12
"""Relative; the same model on the same features is the same to the last bits."""
BASELINE = "baseline"


class Rehearsal(msgspec.Struct, frozen=True):
    """How a rehearsal went.

    Parameters
    ----------
    ok
        Whether the release may go live.
    says
        In words; the first difference when it failed.
    ms
        How long it took; ``rollback_ms`` of it went into rolling back and answering again.
    against
        The release swapped from and rolled back to, or ``baseline``.
    rows
        How many requests were replayed on the new release.
    """

    ok: bool
    says: str
    ms: float
    rollback_ms: float
    against: str
    rows: int


class Sample(msgspec.Struct, frozen=True):
    """What ``sample.json`` holds: requests, the features the model saw and the answers it gave, all their numbers."""

    rows: list[dict[str, Any]]
    values: list[float]
    features: list[list[float | None]] = []
    numbers: list[list[float]] = []

    @property
    def answers(self) -> list[Numbers]:
        """What must be answered again: the number that is logged, and every number of the answer."""
        beside = self.numbers or [[]] * len(self.values)
        return [(value, *each) for value, each in zip(self.values, beside, strict=True)]


def rehearse(new: Release, previous: Release | None, score: Score) -> Rehearsal:
    """Go through a release and its rollback on replayed requests, with a pointer of its own.

    The previous release (for the first one: the baseline) answers its sample; the pointer moves to the new release,
    which must give the answers recorded at training; the pointer moves back, and the answers must be the first again.
    What is opened each time is what the pointer says.

    Parameters
    ----------
    new, previous
        Verified releases.
    score
        How a server would answer; its errors of Millstream's make the rehearsal fail, others are raised.
    """
    began = time.perf_counter()
    against = previous.id if previous else BASELINE
    rolled_ms, rows = 0.0, 0
    try:
        sample = _sample(new)
        rows = len(sample.rows)
        stage = [each for each in (previous, new) if each is not None]
        with tempfile.TemporaryDirectory(prefix="millstream-rehearsal-") as scratch:
            state = _stage(Path(scratch), stage)
            try:
                first = _answers(state, new, stage, score)
                with state.transact() as tx:
                    generation = 1 if previous else 0
                    pointer.swap(tx, model=new.model, release=new.id, expected_generation=generation, at="")
                swapped = _answers(state, new, stage, score)
                _compare(swapped, sample.answers, f"{new.name} does not answer as it did when it was trained")
                back = time.perf_counter()
                if previous is not None:
                    with state.transact() as tx:
                        pointer.back(tx, model=new.model, release=previous.id, expected_generation=2, at="")
                    again = _answers(state, new, stage, score)
                else:
                    again = _baseline(new)
                _compare(again, first, "after rolling back the answers are not those from before")
                rolled_ms = (time.perf_counter() - back) * 1000
            finally:
                state.close()
    except MillstreamError as wrong:
        return Rehearsal(False, wrong.happened, _since(began), rolled_ms, against, rows)
    to = previous.name if previous else "the baseline"
    says = f"{rows} requests answered as at training; rolled back to {to} with equal answers in {rolled_ms:.0f} ms"
    return Rehearsal(True, says, _since(began), rolled_ms, against, rows)


def record(desk: Desk, release: Release, rehearsal: Rehearsal, *, actor: str) -> Rehearsal:
    """Keep how a rehearsal went, with a ledger row; only after one that passed may the release go live.

    An approval that was given while something else was live lapses: it compared the release with another one.
    """
    against = rehearsal.against if rehearsal.ok else None
    with desk.state.transact() as tx:
        before = releases.rehearsed_against(tx, release.id)
        releases.rehearsed(tx, release.id, against)
        detail = {"release": release.id, **msgspec.to_builtins(rehearsal)}
        if before not in (None, against) and releases.status_of(tx, release.id) == "approved":
            given = decisions.latest(tx, release.id, ("approved",))
            releases.mark(tx, release.id, "candidate")
            if given is not None:
                decisions.lapse(tx, given, reason="it was rehearsed again, after another release went live")
                detail["void"] = given
        desk.ledger.append(tx, actor=actor, act="release.rehearse", subject=release.name, detail=detail)
    return rehearsal


def _stage(folder: Path, stage: list[Release]) -> State:
    """Make a state of its own with the releases registered and the first of two live."""
    state = State(folder / "state.db")
    with state.transact() as tx:
        for number, each in enumerate(stage, start=1):
            row = ReleaseRow(
                id=each.id,
                model=each.model,
                version=number,
                path=str(each.path),
                run_id="",
                model_version=None,
                status="approved",
                built_at="",
                built_by="",
                goal_value=None,
                summary={},
            )
            releases.add(tx, row, root=folder)
        if len(stage) == 2:
            pointer.swap(tx, model=stage[0].model, release=stage[0].id, expected_generation=0, at="")
    return state


def _answers(state: State, new: Release, stage: list[Release], score: Score) -> list[Numbers]:
    """Answer the sample of whatever the pointer says is live, with what the pointer says is live."""
    live = pointer.get(state, new.model).release
    if live is None:
        return _baseline(new)
    release = next(each for each in stage if each.id == live)
    rows = _sample(release).rows
    said = score(Path(releases.get(state, live).path), rows)
    values = [tuple(map(float, each)) if isinstance(each, Sequence) else (float(each),) for each in said]
    if len(values) != len(rows):
        raise IntegrityError(f"{release.name} gave {len(values)} answers to {len(rows)} requests")
    wrong = next((place for place, each in enumerate(values) if not all(map(math.isfinite, each))), None)
    if wrong is not None:
        raise IntegrityError(
            f"{release.name} answered request {wrong} with {_shown(values[wrong])}", expected="finite numbers"
        )
    return values


def _baseline(release: Release) -> list[Numbers]:
    said = release.load("baseline.json")
    values = (float(said["value"]), *map(float, said.get("values", ())))
    if not all(map(math.isfinite, values)):
        raise IntegrityError(f"the baseline of {release.name} is {_shown(values)}", expected="a finite number")
    return [values] * len(_sample(release).rows)


def _sample(release: Release) -> Sample:
    try:
        sample = msgspec.json.decode(release.read("sample.json"), type=Sample)
    except msgspec.MsgspecError as wrong:
        raise IntegrityError(f"sample.json of {release.name} cannot be read: {wrong}", do="train again") from None
    beside = len(sample.numbers) or len(sample.rows)
    if not len(sample.rows) == len(sample.values) == beside or not sample.rows:
        raise IntegrityError(
            f"sample.json of {release.name} holds {len(sample.rows)} requests and {len(sample.values)} answers",
            expected="as many answers as requests, and at least one",
            do="train again",
        )
    return sample


def _compare(got: list[Numbers], wanted: list[Numbers], says: str) -> None:
    """Compare whole answers; of a sample that an older release recorded without all numbers, the one it has."""
    for place, (values, were) in enumerate(zip(got, wanted, strict=True)):
        if len(were) > 1 and len(values) != len(were):
            raise IntegrityError(f"{says}: request {place} gave {len(values)} numbers instead of {len(were)}")
        for value, was in zip(values, were, strict=False):
            if not math.isclose(value, was, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
                raise IntegrityError(
                    f"{says}: request {place} gave {value!r} instead of {was!r}", expected="equal answers"
                )


def _shown(values: Numbers) -> str:
    return next((str(each) for each in values if not math.isfinite(each)), str(values[0]))


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
