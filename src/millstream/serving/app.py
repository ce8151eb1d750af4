"""The scoring server as one ASGI application: a thin path from bytes to a logged answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from millstream.errors import BadData, MillstreamError, Refused, Unavailable
from millstream.features.plan import FeaturePlan
from millstream.serving import openapi
from millstream.serving.chain import Answer, Chain
from millstream.serving.digest import digest
from millstream.serving.http import (
    JSON,
    TEXT,
    Header,
    Receive,
    Refusal,
    Reply,
    Scope,
    Send,
    check_host,
    check_origin,
    decode,
    problem,
    read_body,
    send,
)
from millstream.serving.invocations import Invocation, feature_rows, wants_decision
from millstream.serving.live import Live
from millstream.serving.log import PredictionLog
from millstream.serving.meters import Meters
from millstream.serving.outcomes import OutcomesBody, taken_all
from millstream.serving.records import Prediction, Record, Scalar
from millstream.serving.scorer import Scorer
from millstream.serving.shape import told
from millstream.serving.targets import expanded
from millstream.types import parse_instant, to_micros
from millstream.version import __version__

HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
SLICE = 64
"""Rows scored before other requests get their turn."""

_log = logging.getLogger("millstream.serving")
_LOG_TIMEOUT_S = 5.0
_LONGEST = 1 << 63
_YEARS = (1678, 2262)
"""What every clock and table can hold, nanoseconds included."""


class Limits(msgspec.Struct, frozen=True):
    """What one process takes on: bytes of a body, seconds for it to come, requests at a time."""

    body_bytes: int = 1_000_000
    body_s: float = 4.0
    in_flight: int = 256


class PredictBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a predict request."""

    rows: list[dict[str, Scalar]]
    at: str | None = None


class OnePrediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer of a predict request; what only some tasks say is left out by the others."""

    id: str
    value: float | str | list[Any]
    version: int
    answered_by: str
    degraded: bool
    probabilities: dict[str, float] | None = None
    quantiles: dict[str, float] | None = None
    decision: bool | None = None
    flagged: bool | None = None
    distance: float | None = None
    distances: dict[str, float] | None = None
    scores: list[float] | None = None
    known: bool | None = None
    row: int | None = None
    target_at: str | None = None
    warnings: list[str] | None = None


_predict_body = msgspec.json.Decoder(PredictBody)
_outcomes_body = msgspec.json.Decoder(OutcomesBody)
_invocation = msgspec.json.Decoder(Invocation)
_PREDICT_FORM = '{"rows": [{column: value, ...}, ...]}'
_OUTCOMES_FORM = '{"outcomes": [{"id": "06gv-12", "label": value}, ...]}'
_INVOCATION_FORM = '{"dataframe_records": [{feature: value, ...}, ...]}'
_encode = msgspec.json.Encoder().encode


class App:
    """The ASGI application.

    Parameters
    ----------
    live
        What is served now.
    log
        Where every answer goes before it leaves.
    now_us
        The project's clock, in microseconds since the epoch.
    replay
        Whether a request may say ``at`` which instant it asks.
    hosts
        Names a request may be addressed to.
    limits
        What the process takes on.
    """

    def __init__(
        self,
        live: Live,
        log: PredictionLog,
        *,
        now_us: Callable[[], int],
        replay: bool = False,
        hosts: frozenset[str] = HOSTS,
        limits: Limits | None = None,
    ) -> None:
        self.live = live
        self.log = log
        self.meters = Meters(log)
        self._now_us = now_us
        self._replay = replay
        self._hosts = hosts
        self._limits = limits or Limits()
        self._in_flight = 0
        self._gets: dict[str, Callable[[], Reply]] = {
            "/ping": lambda: Reply(200, b"\n", (TEXT,)),
            "/version": lambda: Reply(200, __version__.encode(), (TEXT,)),
            "/health": self._health,
            "/metrics": self._metrics,
            "/openapi.json": lambda: Reply(200, openapi.ENCODED),
            "/v1/models": lambda: _json({"models": [self._model(name) for name in sorted(self.live.chains)]}),
        }

    async def __call__(self, scope: Scope, receive: Receive, to: Send) -> None:
        """Answer one request; nothing but a reply leaves, whatever happens inside."""
        if scope["type"] != "http":
            return
        try:
            reply = await self._answer(scope, receive)
        except MillstreamError as wrong:
            self.meters.refused(wrong.http_status)
            reply = problem(wrong)
        except Exception:  # noqa: BLE001 - a border: the request
            _log.exception("a request failed")
            self.meters.refused(500)
            reply = problem(MillstreamError("the server failed", do="look at run/scoring.log"))
        await send(reply, to)

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        begun = time.perf_counter()
        headers: list[Header] = scope["headers"]
        check_host(headers, self._hosts)
        method, path = scope["method"], scope["path"]
        if path in self._gets:
            _only(method, "GET", "HEAD")
            reply = self._gets[path]()
            return reply._replace(body=b"") if method == "HEAD" else reply
        work, model = self._route(path)
        if work == "model":
            _only(method, "GET")
            self.live.chain(model)
            return _json(self._model(model))
        _only(method, "POST")
        check_origin(headers)
        if self._in_flight >= self._limits.in_flight:
            raise Unavailable(f"{self._in_flight} requests are in flight", expected="fewer", do="try again in a second")
        self._in_flight += 1
        try:
            body = await read_body(headers, receive, limit=self._limits.body_bytes, timeout_s=self._limits.body_s)
            with self._only_chain() if work == "invocations" else self.live.chain(model) as chain:
                if work == "predict":
                    return await self._predict(chain, body, begun)
                if work == "outcomes":
                    return await self._outcomes(model, chain, body)
                return await self._invocations(chain, body, begun)
        finally:
            self._in_flight -= 1

    def _route(self, path: str) -> tuple[str, str]:
        if path == "/invocations":
            return "invocations", ""
        parts = path.split("/")
        if path.startswith("/v1/models/") and parts[3]:
            if len(parts) == 4:
                return "model", parts[3]
            if len(parts) == 5 and parts[4] in ("predict", "outcomes"):
                return parts[4], parts[3]
        raise Refusal(404, f"there is nothing at {path[:120]}", do="GET /openapi.json")

    async def _predict(self, chain: Chain, body: bytes, begun: float) -> Reply:
        asked = decode(body, _predict_body, _PREDICT_FORM)
        _refuse_long(asked.rows)
        at_us = self._now_us() if asked.at is None else self._at(asked.at)
        plan = chain.champion.plan
        rows, of = asked.rows, None
        if plan.ticks is not None and plan.ticks.horizon is not None:
            rows, of = expanded(plan, rows, at_us)
            if len(rows) != len(asked.rows):  # an error names the row that was asked
                chain.champion.check_many(list(dict(zip(of, rows, strict=True)).values()))
        until = time.monotonic() + chain.deadline_s
        answers: list[Answer] = []
        for start in range(0, len(rows), SLICE):
            if start:
                await asyncio.sleep(0)
            part = rows[start : start + SLICE]
            answers += await chain.answer_soon(part, [at_us] * len(part), until=until, stopped=self.live.stopped)
        if chain.champion.gate.rules:
            answers = self._warned(chain.champion, rows, answers)
        ids = await self._record(chain, rows, answers, at_us, begun)
        predictions = [
            OnePrediction(
                id=id, version=each.scorer.version, answered_by=each.answered_by, degraded=each.degraded,
                row=None if of is None else of[place],
                target_at=None if of is None else chain.champion.target(rows[place]),
                **told(each.value, each.said),
            )
            for place, (id, each) in enumerate(zip(ids, answers, strict=True))
        ]  # fmt: skip
        return Reply(200, _encode({"predictions": predictions}))

    def _warned(self, champion: Scorer, rows: Sequence[Mapping[str, Scalar]], answers: list[Answer]) -> list[Answer]:
        """Say beside an answer what of its request the contract or training does not know, and count it."""
        found = [champion.gate.look(row) for row in rows]
        if not any(found):
            return answers
        self.meters.odd(champion.model, [(each.field, each.of) for odd in found for each in odd])
        return [
            each._replace(said={**each.said, "warnings": [one.says for one in odd]}) if odd else each
            for each, odd in zip(answers, found, strict=True)
        ]

    async def _invocations(self, chain: Chain, body: bytes, begun: float) -> Reply:
        asked = decode(body, _invocation, _INVOCATION_FORM)
        rows, decided = feature_rows(asked, chain.champion), wants_decision(asked, chain.champion)
        until = time.monotonic() + chain.deadline_s
        answers: list[Answer] = []
        for start in range(0, len(rows), SLICE):
            if start:
                await asyncio.sleep(0)
            part = rows[start : start + SLICE]
            answers += await chain.answer_features(part, until=until, stopped=self.live.stopped)
        await self._record(chain, [], answers, self._now_us(), begun)
        told_all = [
            told(each.value, each.said) if decided or each.scorer.shape.width > 1 else each.value for each in answers
        ]
        return Reply(200, _encode({"predictions": told_all}))

    async def _record(
        self, chain: Chain, rows: list[dict[str, Scalar]], answers: list[Answer], at_us: int, begun: float
    ) -> list[str]:
        """Log answers; return their ids once they are safe."""
        if not answers:
            return []
        latency_us = int((time.perf_counter() - begun) * 1e6)
        wall_us = time.time_ns() // 1000
        champion = chain.champion
        vectors = [each.features.tobytes() for each in answers]
        records: list[Record] = [
            Prediction(
                at_us,
                wall_us,
                champion.model,
                each.scorer.version,
                each.scorer.release,
                champion.key(rows[place], at_us) if rows else {},
                rows[place] if rows else {},
                each.value,
                each.answered_by,
                each.degraded,
                each.reason,
                vectors[place],
                dict(each.applied),
                latency_us,
                said=dict(each.said),
                digest=digest(vectors[place], at_us=at_us, release=each.scorer.release, applied=each.applied),
            )
            for place, each in enumerate(answers)
        ]
        ids = await self._append(records)
        self.meters.answered(champion.model, [each.answered_by for each in answers], time.perf_counter() - begun)
        return ids

    async def _outcomes(self, model: str, chain: Chain, body: bytes) -> Reply:
        asked = decode(body, _outcomes_body, _OUTCOMES_FORM)
        ranking = chain.champion.plan.ranking
        if ranking is not None:
            raise BadData(
                f"{model} answers with lists, and what became of one is what was chosen after it",
                expected=f"rows of table {chain.champion.plan.rows_table!r}, where choices are",
            )
        _refuse_long({"label": each.label} for each in asked.outcomes)
        at_us, wall_us = self._now_us(), time.time_ns() // 1000
        made = taken_all(asked.outcomes, chain.champion, at_us=at_us, wall_us=wall_us)
        records: list[Record] = [each for each, _ in made]
        _refuse_long(each.key for each, _ in made)
        ids = await self._append(records) if records else []
        self.meters.outcomes(model, len(ids))
        said = [{"id": id} | ({"note": note} if note else {}) for id, (_, note) in zip(ids, made, strict=True)]
        return Reply(200, _encode({"outcomes": said}))

    async def _append(self, records: list[Any]) -> list[str]:
        try:
            async with asyncio.timeout(_LOG_TIMEOUT_S):
                return await self.log.append(records)
        except TimeoutError:
            raise Unavailable(
                f"the prediction log did not answer in {_LOG_TIMEOUT_S:g} s", expected="a disk that takes writes"
            ) from None

    def _at(self, text: str) -> int:
        if not self._replay:
            raise Refused("this server answers for now only", expected="no 'at'", do="start it with --replay")
        try:
            at = parse_instant(text)
        except ValueError as wrong:
            raise BadData(str(wrong)) from None
        if not _YEARS[0] <= at.year < _YEARS[1]:  # in other zones, and days later, it must still be an instant
            raise BadData(f"'at' is {text[:40]!r}", expected=f"an instant of the years {_YEARS[0]} to {_YEARS[1] - 1}")
        return to_micros(at)

    def _only_chain(self) -> Chain:
        if len(self.live.chains) != 1:
            raise Refusal(
                404,
                f"/invocations is for a server of one model, and {len(self.live.chains)} are live here",
                do="POST /v1/models/{model}/predict",
            )
        return next(iter(self.live.chains.values()))

    def _health(self) -> Reply:
        live = self.live
        workers = [chain.champion.worker for chain in live.chains.values()]
        well = live.leased and not live.problems and not any(each.problem for each in workers if each is not None)
        said = {
            "status": "ok" if well else "degraded",
            "leased": live.leased,
            "acknowledges": self.log.acknowledge,
            "log": {"incarnation": self.log.incarnation, "failures": self.log.failures, "spooling": self.log.spooling},
            "models": {name: self._serving(chain) for name, chain in live.chains.items()},
            "problems": live.problems,
        }
        return _json(said)

    def _model(self, name: str) -> dict[str, Any]:
        chain = self.live.chain(name)
        plan = chain.champion.plan
        types = plan.request_types
        said = self._serving(chain)
        return {
            "name": name,
            **said,
            "task": chain.champion.shape.task,
            **_names(chain.champion),
            "row": {column: types.get(column, "any") for column in plan.request_columns},
            "key": plan.prediction_key,
            **_horizon(plan),
            "features": {each.name: each.dtype for each in plan.columns},
            "deadline_ms": chain.traffic.deadline_ms,
            "fallback": chain.traffic.fallback,
        }

    def _serving(self, chain: Chain) -> dict[str, Any]:
        worker = chain.champion.worker
        problem = worker.problem if worker is not None else ""
        return {
            "version": chain.champion.version,
            "release": chain.champion.release,
            "previous": chain.previous.version if chain.previous else None,
            "generation": chain.generation,
            "answers_as": "champion" if not (self.live.stopped or chain.refused or problem) else "fallback",
            **({"worker": problem or "ready"} if worker is not None else {}),
        }

    def _metrics(self) -> Reply:
        text = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        return Reply(200, self.meters.expose(self.live.generations, leased=self.live.leased), (text,))


def _names(scorer: Scorer) -> dict[str, Any]:
    """Name the classes, the levels or the threshold of answers that have them."""
    shape = scorer.shape
    said = {
        "classes": shape.classes or None,
        "levels": shape.levels or None,
        "threshold": scorer.threshold,
        "k": shape.k or None,
    }
    return {name: each for name, each in said.items() if each is not None}


def _horizon(plan: FeaturePlan) -> dict[str, Any]:
    """Say how far ahead is predicted, and at which steps, of a model that has a horizon."""
    ticks = plan.ticks
    if ticks is None or ticks.horizon is None:
        return {}
    first, last = ticks.horizon
    return {"horizon": {"first": first, "last": last, "step": ticks.step, "timezone": ticks.timezone}}


def _refuse_long(rows: Iterable[Mapping[str, Scalar]]) -> None:
    """Refuse whole numbers of more than 64 bits: neither the log nor a table can hold one."""
    for row in rows:
        for name, value in row.items():
            if type(value) is int and not -_LONGEST <= value < _LONGEST:
                raise BadData(
                    f"{name[:80]!r} is {value if abs(value) < _LONGEST * 1000 else 'a very large number'}",
                    expected="a whole number of at most 64 bits",
                    do="send a long identifier as text",
                )


def _only(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise Refusal(405, f"{method[:20]} is not for this address", expected=" or ".join(allowed))


def _json(said: Any) -> Reply:
    return Reply(200, _encode(said), (JSON,))
