"""Who answers: the champion, else the previous release, else the baseline; every answer says who and why."""

from __future__ import annotations

import logging
import math
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from millstream.definitions.traffic import Champion
from millstream.errors import MillstreamError
from millstream.serving.scorer import Scored, Scorer
from millstream.serving.shape import NOTHING, Said

_log = logging.getLogger("millstream.serving")
_NO_FEATURES: array[float] = array("d")


class Answer(NamedTuple):
    """One answer as it will leave: a finite value, who gave it, and why it was not the champion."""

    value: float
    scorer: Scorer
    answered_by: str
    reason: str
    features: array[float]
    applied: Mapping[str, int]
    said: Said = NOTHING

    @property
    def degraded(self) -> bool:
        """Whether somebody stood in for the champion."""
        return self.answered_by != "champion"


class Chain:
    """The releases that answer for one model, at one generation of its pointer.

    Parameters
    ----------
    champion, previous
        The live release and the one before it, if there is one.
    traffic
        The order of the fallback and the deadline.
    generation
        Of the pointer; a chain is replaced whole when it changes.
    refused
        Why the live release is not ``champion``: it could not be verified or loaded, so an older one stands in.
    """

    def __init__(
        self,
        champion: Scorer,
        *,
        previous: Scorer | None = None,
        traffic: Champion | None = None,
        generation: int = 0,
        refused: str = "",
    ) -> None:
        self.champion = champion
        self.previous = previous
        self.traffic = traffic or Champion()
        self.generation = generation
        self.refused = refused
        self.in_use = 0

    def __enter__(self) -> Self:
        """Count a request that this chain answers, so that a swap can wait for it."""
        self.in_use += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.in_use -= 1

    @property
    def deadline_s(self) -> float:
        """By when a caller has an answer, after the request was read."""
        return self.traffic.deadline_ms / 1000

    def answer(
        self, raws: Sequence[Mapping[str, Any]], at_us: Sequence[int], *, until: float, stopped: str = ""
    ) -> list[Answer]:
        """Answer rows as JSON gave them, each as of its instant.

        Parameters
        ----------
        raws, at_us
            Rows and their instants.
        until
            ``time.monotonic`` by which a model must have started; after it the baseline answers.
        stopped
            Why this server may not answer as champion; empty when it may.

        Raises
        ------
        BadData
            When a row does not have the champion's columns and types.
        """
        champion = self.champion
        rows = champion.check_many(raws)
        champion.refuse_targets(rows, at_us)
        scored, reason = None, stopped or self.refused
        if not reason:
            scored, reason = _run(champion, lambda: _score(champion, rows, at_us), until)
        if scored is None:
            return self._stand_in(raws, at_us, until=until, reason=reason)
        return [
            Answer(each.value, champion, "champion", "", each.features, each.applied, each.said)
            if math.isfinite(each.value)
            else self._stand_in([raws[place]], [at_us[place]], until=until, reason=f"the champion said {each.value}")[0]
            for place, each in enumerate(scored)
        ]

    def answer_features(self, rows: Sequence[Sequence[Any]], *, until: float, stopped: str = "") -> list[Answer]:
        """Answer rows of feature values with the champion, else the baseline."""
        champion = self.champion
        scored, reason = None, stopped or self.refused
        if not reason:
            scored, reason = _run(champion, lambda: champion.score_features(rows), until)
        if scored is None:
            return self._baseline(len(rows), reason)
        return self._finite(champion, "champion", scored, "")

    def _stand_in(
        self, raws: Sequence[Mapping[str, Any]], at_us: Sequence[int], *, until: float, reason: str
    ) -> list[Answer]:
        previous = self.previous
        if previous is None or "previous" not in self.traffic.fallback:
            return self._baseline(len(raws), reason)
        scored, _ = _run(previous, lambda: _score(previous, previous.check_many(raws), at_us), until)
        return (
            self._baseline(len(raws), reason) if scored is None else self._finite(previous, "previous", scored, reason)
        )

    def _finite(self, scorer: Scorer, answered_by: str, scored: Sequence[Scored], reason: str) -> list[Answer]:
        return [
            Answer(each.value, scorer, answered_by, reason, each.features, each.applied, each.said)
            if math.isfinite(each.value)
            else self._baseline(1, reason or f"the {answered_by} said {each.value}")[0]
            for each in scored
        ]

    def _baseline(self, rows: int, reason: str) -> list[Answer]:
        value, said = self.champion.baseline
        return [Answer(value, self.champion, "baseline", reason, _NO_FEATURES, {}, said)] * rows


def _score(scorer: Scorer, rows: Sequence[Mapping[str, Any]], at_us: Sequence[int]) -> list[Scored]:
    return [scorer.score_one(rows[0], at_us[0])] if len(rows) == 1 else scorer.score_many(rows, at_us)


def _run(scorer: Scorer, score: Callable[[], list[Scored]], until: float) -> tuple[list[Scored] | None, str]:
    """Run a model; whatever it raises becomes a reason, because the caller gets an answer from the next in line."""
    if time.monotonic() >= until:
        return None, "the deadline had passed"
    try:
        return score(), ""
    except MillstreamError as wrong:
        return None, wrong.happened
    except Exception as wrong:  # noqa: BLE001 - a border: the request; logged, and answered for
        _log.warning("%s@%s failed", scorer.model, scorer.version, exc_info=True)
        return None, f"{type(wrong).__name__}: {wrong}"
