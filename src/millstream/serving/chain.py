"""Who answers: the champion, else the previous release, else the baseline; every answer says who and why."""

from __future__ import annotations

import logging
import math
import time
from array import array
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeAlias

from millstream.definitions.traffic import Champion
from millstream.errors import BadData, MillstreamError, Unavailable
from millstream.serving.scorer import Scored, Scorer
from millstream.serving.shape import NOTHING, Said

_log = logging.getLogger("millstream.serving")
_CHAMPIONS_SHARE = 0.8
"""Of the deadline, where the release before could still answer in the rest."""
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

    @property
    def ready(self) -> bool:
        """Whether the model can answer; a worker is started before its release goes live.

        Raises
        ------
        IntegrityError
            When the model cannot be opened at all.
        """
        worker = self.champion.worker
        return worker is None or worker.ready

    def close(self, keep: Iterable[Chain]) -> None:
        """Let go of the releases that no chain to keep answers with."""
        kept = {id(scorer) for chain in keep for scorer in (chain.champion, chain.previous)}
        for scorer in (self.champion, self.previous):
            if scorer is not None and id(scorer) not in kept:
                scorer.close()

    def answer(
        self, raws: Sequence[Mapping[str, Any]], at_us: Sequence[int], *, until: float, stopped: str = ""
    ) -> list[Answer]:
        """Answer rows of models this process holds; see ``answer_soon``."""
        return _at_once(self.answer_soon(raws, at_us, until=until, stopped=stopped))

    async def answer_soon(
        self, raws: Sequence[Mapping[str, Any]], at_us: Sequence[int], *, until: float, stopped: str = ""
    ) -> list[Answer]:
        """Answer rows as JSON gave them, each as of its instant; others are served while a worker is asked.

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
            When a row does not have the champion's columns and types, or breaks the contract of a strict model.
        """
        champion = self.champion
        rows = champion.check_many(raws)
        if self.traffic.strict:
            champion.gate.refuse(raws)
        champion.refuse_targets(rows, at_us)
        scored, reason, of_a_row = None, stopped or self.refused, False
        if not reason:
            share = self._share(until)
            scored, reason, of_a_row = await _run(champion, lambda: _score(champion, rows, at_us, share), until)
        if of_a_row and len(raws) > 1:  # it costs none of the others their answer
            each_alone = [
                await self.answer_soon([raw], [at], until=until, stopped=stopped)
                for raw, at in zip(raws, at_us, strict=True)
            ]
            return [answer for answers in each_alone for answer in answers]
        if scored is None:
            return await self._stand_in(raws, at_us, until=until, reason=reason)
        return [
            Answer(each.value, champion, "champion", "", each.features, each.applied, each.said)
            if math.isfinite(each.value)
            else (
                await self._stand_in(
                    [raws[place]], [at_us[place]], until=until, reason=f"the champion said {each.value}"
                )
            )[0]
            for place, each in enumerate(scored)
        ]

    def _share(self, until: float) -> float:
        """Say by when the champion's worker must have answered, so that the release before still can."""
        if self.previous is None or "previous" not in self.traffic.fallback or math.isinf(until):
            return until
        now = time.monotonic()
        return now + _CHAMPIONS_SHARE * (until - now)

    async def answer_features(self, rows: Sequence[Sequence[Any]], *, until: float, stopped: str = "") -> list[Answer]:
        """Answer rows of feature values with the champion, else the baseline."""
        champion = self.champion
        scored, reason = None, stopped or self.refused
        if not reason:
            scored, reason, _ = await _run(champion, lambda: _score_features(champion, rows, until), until)
        if scored is None:
            return self._baseline(len(rows), reason)
        return self._finite(champion, "champion", scored, "")

    async def _stand_in(
        self, raws: Sequence[Mapping[str, Any]], at_us: Sequence[int], *, until: float, reason: str
    ) -> list[Answer]:
        previous = self.previous
        if previous is None or "previous" not in self.traffic.fallback:
            return self._simple(raws, at_us, reason)
        scored, *_ = await _run(previous, lambda: _score(previous, previous.check_many(raws), at_us, until), until)
        if scored is None:
            return self._simple(raws, at_us, reason)
        return self._finite(previous, "previous", scored, reason, asked=(raws, at_us))

    def _finite(
        self, scorer: Scorer, answered_by: str, scored: Sequence[Scored], reason: str, *, asked: Asked | None = None
    ) -> list[Answer]:
        return [
            Answer(each.value, scorer, answered_by, reason, each.features, each.applied, each.said)
            if math.isfinite(each.value)
            else self._instead(asked, place, reason or f"the {answered_by} said {each.value}")
            for place, each in enumerate(scored)
        ]

    def _instead(self, asked: Asked | None, place: int, reason: str) -> Answer:
        if asked is None:
            return self._baseline(1, reason)[0]
        return self._simple([asked[0][place]], [asked[1][place]], reason)[0]

    def _simple(self, raws: Sequence[Mapping[str, Any]], at_us: Sequence[int], reason: str) -> list[Answer]:
        """Answer rows with the simple rule: a constant, the last season, or the most chosen items."""
        champion = self.champion
        if champion.lister is not None:
            shaped = [champion.most_chosen(row, at) for row, at in zip(raws, at_us, strict=True)]
        elif champion.plan.seasonal is not None:
            shaped = champion.simple_many(champion.check_many(raws), at_us)
        else:
            return self._baseline(len(raws), reason)
        return [Answer(value, champion, "baseline", reason, _NO_FEATURES, {}, said) for value, said in shaped]

    def _baseline(self, rows: int, reason: str) -> list[Answer]:
        value, said = self.champion.baseline
        return [Answer(value, self.champion, "baseline", reason, _NO_FEATURES, {}, said)] * rows


Asked: TypeAlias = tuple[Sequence[Mapping[str, Any]], Sequence[int]]
"""Rows as JSON gave them, and their instants."""

_Scoring: TypeAlias = "list[Scored] | Coroutine[Any, Any, list[Scored]]"
"""What a model of this process says, or what a worker will say."""


def _score(scorer: Scorer, rows: Sequence[Mapping[str, Any]], at_us: Sequence[int], until: float) -> _Scoring:
    if scorer.worker is not None:
        return scorer.score_soon(rows, at_us, until)
    return [scorer.score_one(rows[0], at_us[0])] if len(rows) == 1 else scorer.score_many(rows, at_us)


def _score_features(scorer: Scorer, rows: Sequence[Sequence[Any]], until: float) -> _Scoring:
    return scorer.score_features(rows) if scorer.worker is None else scorer.score_features_soon(rows, until)


def _at_once(answering: Coroutine[Any, Any, list[Answer]]) -> list[Answer]:
    """Run what never waits."""
    try:
        answering.send(None)
    except StopIteration as done:
        answers: list[Answer] = done.value
        return answers
    answering.close()
    raise Unavailable("this model answers from a worker", expected="a caller that waits: await chain.answer_soon(...)")


async def _run(scorer: Scorer, score: Callable[[], _Scoring], until: float) -> tuple[list[Scored] | None, str, bool]:
    """Run a model; whatever it raises becomes a reason, because the caller gets an answer from the next in line.

    The third says whether it is the values of a row that cannot be computed.
    """
    if time.monotonic() >= until:
        return None, "the deadline had passed", False
    try:
        found = score()
        return (found if isinstance(found, list) else await found), "", False
    except MillstreamError as wrong:
        return None, wrong.happened, isinstance(wrong, BadData)
    except Exception as wrong:  # noqa: BLE001 - a border: the request; logged, and answered for
        _log.warning("%s@%s failed", scorer.model, scorer.version, exc_info=True)
        return None, f"{type(wrong).__name__}: {wrong}", False
