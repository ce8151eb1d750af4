"""The one scorer: HTTP, batch and embedded use all call it, so they cannot disagree."""

from __future__ import annotations

import logging
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from millstream.definitions.rows import at_most
from millstream.errors import BadData, IntegrityError, MillstreamError, Unavailable, near
from millstream.expressions.closure import to_closure
from millstream.expressions.values import value as through_the_door
from millstream.features.online.lookup import Lookup
from millstream.features.online.store import OnlineStore
from millstream.features.plan import TARGET, FeaturePlan
from millstream.features.requests import Gate, Requests
from millstream.serving import models
from millstream.serving.lister import Lister, Pool
from millstream.serving.models import Numbers
from millstream.serving.shape import NOTHING, Said, Shaped, listed, shaped
from millstream.training.remote import Remote
from millstream.types import MICROSECOND, DType, from_micros

_log = logging.getLogger("millstream.serving")


class _Named(msgspec.Struct, frozen=True):
    """What a scorer reads of ``release.json``."""

    model: str
    version: int


class Scored(NamedTuple):
    """One prediction before it is routed and logged.

    ``features`` are those the model saw, as float64; ``applied`` the table versions they reflect; ``said`` what the
    answer says beside its value, for tasks whose answer is more than a number.
    """

    value: float
    features: array[float]
    applied: Mapping[str, int]
    said: Said = NOTHING


class Scorer:
    """One release, ready to score; not safe to share between threads.

    Parameters
    ----------
    read
        Returns a file of the release by name.
    release, model, version
        Which release: its id, and the name people use, ``late@3``.
    store
        Where features of tables are served from; without it only rows of features can be scored.
    python
        Interpreter that a Python model's worker runs on; this one unless given.
    requests
        What rows that callers send are held against.

    Raises
    ------
    IntegrityError
        When a file of the release cannot be used, or the model's features are not the plan's.
    Unavailable
        When the model's library is missing.

    Notes
    -----
    Loading a 1 MB model takes about 20 ms. One row costs about 40 µs with 20 features.
    """

    def __init__(
        self,
        read: models.Read,
        *,
        release: str,
        model: str,
        version: int,
        store: OnlineStore | None = None,
        python: str = "",
        requests: Requests | None = None,
    ) -> None:
        self.release, self.model, self.version = release, model, version
        self.plan: FeaturePlan = models.decode(read, "plan.json", FeaturePlan)
        file = models.read_model(read)
        self.gate = Gate(requests)
        self.shape = models.read_shape(read)
        self.threshold = models.read_threshold(read)
        self.baseline = shaped(models.read_baseline(read, self.shape), self.shape, self.threshold)
        self._offsets = models.read_offsets(read, self.shape)
        self.features = file.features
        self.lister = self._lists(read, file, store)
        self._lookup = Lookup(self.plan, store) if store is not None and self.plan.ranking is None else None
        self._order = _order(self.plan, self.features)
        self._door = _door(self.plan)
        self._encode = models.Encoder(file.features, file.categories).encode
        self._predictor = models.load(file, read, name=f"{model}@{version}", python=python)

    def _lists(self, read: models.Read, file: models.ModelFile, store: OnlineStore | None) -> Lister | None:
        if self.plan.ranking is None or store is None:
            return None
        codes = {
            name: {text: float(code) for code, text in enumerate(texts)} for name, texts in file.categories.items()
        }
        popular = models.read_popular(read)
        lister = Lister(self.plan, store, features=file.features, codes=codes, popular=popular)
        lister.warm()
        return lister

    @classmethod
    def open(cls, folder: Path, store: OnlineStore | None = None) -> Scorer:
        """Load the folder of a release that was verified; its name is the release's id."""
        read = models.read_from(folder)
        said = models.decode(read, "release.json", _Named)
        return cls(read, release=folder.name, model=said.model, version=said.version, store=store)

    def check(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Take one row as JSON gave it through the door: every column there, of its type, nothing else.

        Raises
        ------
        BadData
            Naming what is missing, unknown (with near matches) or of the wrong type.
        """
        return self._check(raw, self._door)

    def _check(self, raw: Mapping[str, Any], door: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
        if len(raw) != len(door) or raw.keys() != door.keys():
            _refuse_columns(raw, door)
        return {name: None if raw[name] is None else take(raw[name]) for name, take in door.items()}

    def check_many(self, raws: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Take rows through the door; an error says which row."""
        return self._through(raws, self._door)

    def check_pairs(self, raws: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Take rows of what features are made of through the door: of a list, pairs of who asks and an item."""
        return self._through(raws, self._door if self.plan.ranking is None else _pair_door(self.plan))

    def _through(
        self, raws: Sequence[Mapping[str, Any]], door: Mapping[str, Callable[[Any], Any]]
    ) -> list[dict[str, Any]]:
        checked: list[dict[str, Any]] = []
        for raw in raws:
            try:
                checked.append(self._check(raw, door))
            except BadData as wrong:
                if len(raws) > 1:
                    wrong.happened = f"row {len(checked)}: {wrong.happened}"
                raise
        return checked

    def key(self, raw: Mapping[str, Any], at_us: int) -> dict[str, Any]:
        """Return what tells the prediction for a row from every other: of an entity, also when it was made."""
        named = {name: raw[name] for name in self.plan.row_key}
        if self.plan.of_rows:
            return named
        if TARGET in named:
            named[TARGET] = self.target(raw)
        return named | {"decided_at": from_micros(at_us).isoformat()}

    def target(self, raw: Mapping[str, Any]) -> str:
        """Return the instant that a row is about as one text: one instant may be written in many ways."""
        return from_micros(self._door[TARGET](raw[TARGET])).isoformat()

    def refuse_targets(self, rows: Sequence[Mapping[str, Any]], at_us: Sequence[int]) -> None:
        """Refuse checked rows about instants that the model has never learnt to predict from where it stands.

        Raises
        ------
        BadData
            For a ``target_at`` that is missing, before the answer's instant, or beyond the horizon.
        """
        ticks = self.plan.ticks
        if ticks is None or ticks.horizon is None:
            return
        furthest = at_most(ticks.horizon[1]) // MICROSECOND
        for place, (row, at) in enumerate(zip(rows, at_us, strict=True)):
            target = row[TARGET]
            if target is None or not 0 <= target - at <= furthest:
                said = "missing" if target is None else from_micros(target).isoformat()
                raise BadData(
                    f"{f'row {place}: ' if len(rows) > 1 else ''}target_at is {said}, asked at"
                    f" {from_micros(at).isoformat()}",
                    expected=f"an instant at most {ticks.horizon[1]} ahead, the horizon the model has learnt",
                )

    @property
    def worker(self) -> Remote | None:
        """The worker that holds the model; None where this process does."""
        return self._predictor if isinstance(self._predictor, Remote) else None

    async def score_soon(self, rows: Sequence[Mapping[str, Any]], at_us: Sequence[int], until: float) -> list[Scored]:
        """Score checked rows by the model's worker, by an instant of ``time.monotonic``; the same answers."""
        if self.lister is not None:
            return [await self._list_soon(self.lister, row, at, until) for row, at in zip(rows, at_us, strict=True)]
        lookup = self._online()
        features = [self._features(values) for values in lookup.lookup_many(rows, at_us)]
        return await self._soon(features, lookup.reflects(), until)

    async def score_features_soon(self, rows: Sequence[Sequence[Any]], until: float) -> list[Scored]:
        """Score rows of feature values by the model's worker, by an instant of ``time.monotonic``."""
        return await self._soon([self._encode(row) for row in rows], {}, until)

    def score_one(self, row: Mapping[str, Any], at_us: int) -> Scored:
        """Score one checked row as of an instant (microseconds since the epoch).

        Raises
        ------
        Unavailable
            When the online store has no features for this model.
        """
        if self.lister is not None:
            pool = self.lister.pool(row, at_us)
            scores = self._predictor.predict_many(pool.features, pool.rows) if pool.known else ()
            return self._listed(self.lister, pool, scores)
        lookup = self._online()
        features = self._features(lookup.lookup_one(row, at_us))
        value, said = shaped(self._predictor.predict_one(features), self.shape, self.threshold)
        return Scored(value, features, lookup.reflects(), said)

    def score_many(self, rows: Sequence[Mapping[str, Any]], at_us: Sequence[int]) -> list[Scored]:
        """Score checked rows, each as of its instant; the same answers as one by one."""
        if self.lister is not None:
            return [self.score_one(row, at) for row, at in zip(rows, at_us, strict=True)]
        lookup = self._online()
        features = [self._features(values) for values in lookup.lookup_many(rows, at_us)]
        return self._scored(features, lookup.reflects())

    def score_features(self, rows: Sequence[Sequence[Any]]) -> list[Scored]:
        """Score rows of feature values, in the order of ``features``; no lookup."""
        return self._scored([self._encode(row) for row in rows], {})

    def score_encoded(self, features: array[float], rows: int) -> Sequence[Numbers]:
        """Score rows of encoded features that lie one after another: one number a row, or several."""
        return self._predictor.predict_many(features, rows)

    def most_chosen(self, row: Mapping[str, Any], at_us: int) -> Shaped:
        """Return the most often chosen items for a row, which stand in for a list; whoever asks, where nobody can tell.

        Of a row that does not go through the door, or without the online store, what was chosen before is not known.
        """
        assert self.lister is not None
        try:
            pool = self.lister.pool(self.check(row), at_us)
        except MillstreamError:
            return listed(*self.lister.most_chosen(None), known=False)
        return listed(*self.lister.most_chosen(pool), known=pool.known)

    async def _list_soon(self, lister: Lister, row: Mapping[str, Any], at_us: int, until: float) -> Scored:
        pool, worker = lister.pool(row, at_us), self.worker
        if not pool.known or worker is None:
            return self._listed(lister, pool, ())
        return self._listed(lister, pool, await worker.predict_soon(pool.features, pool.rows, until))

    def _listed(self, lister: Lister, pool: Pool, scores: Sequence[Numbers]) -> Scored:
        """Make the list of a pool: the best by score, or the most chosen items for somebody nothing is known of."""
        applied = lister.applied()
        if not pool.known:
            value, said = listed(*lister.most_chosen(pool), known=False)
            return Scored(value, array("d"), applied, said)
        single = [each for each in scores if isinstance(each, float) and math.isfinite(each)]
        if len(single) != len(scores):
            return Scored(math.nan, array("d"), applied)
        best, width = lister.best(single, pool), len(self.features)
        features = array("d")
        for place in best:
            features += pool.features[place * width : (place + 1) * width]
        value, said = listed([lister.items[each] for each in best], [single[each] for each in best], known=True)
        return Scored(value, features, applied, said)

    def score_recorded(self, rows: Sequence[Mapping[str, Any]], recorded: Sequence[Sequence[float]]) -> list[Scored]:
        """Score checked rows with recorded float64 features in place of a lookup; request features are computed."""
        compute = to_closure(self.plan.request_features)
        features: list[array[float]] = []
        for row, seen in zip(rows, recorded, strict=True):
            if len(seen) != len(self.features):
                raise BadData(f"a row has {len(seen)} recorded features", expected=f"{len(self.features)}")
            computed = compute(row)
            mine = self._encode([computed.get(name) for name in self.features])
            features.append(
                array(
                    "d",
                    [
                        own if name in computed else old
                        for name, own, old in zip(self.features, mine, seen, strict=True)
                    ],
                )
            )
        return self._scored(features, {})

    def simple_many(self, rows: Sequence[Mapping[str, Any]], at_us: Sequence[int]) -> list[Shaped]:
        """Return what the baseline says of checked rows: of a forecast, what was known of the last season.

        Where the store holds nothing of one, and for models that forecast nothing, it says the same of every row.
        """
        if self.plan.seasonal is None or self._lookup is None:
            return [self.baseline] * len(rows)
        try:
            found = self._lookup.simple_many(rows, at_us)
        except Exception:  # noqa: BLE001 - a border: what stands in last must not fail, whatever the store does
            _log.warning("the seasonal naive rule of %s@%s could not be read", self.model, self.version, exc_info=True)
            return [self.baseline] * len(rows)
        offsets = self._offsets
        return [
            self.baseline
            if not math.isfinite(each)
            else shaped([each + more for more in offsets] if offsets else each, self.shape, self.threshold)
            for each in found
        ]

    def close(self) -> None:
        """Free the model."""
        self._predictor.close()

    async def _soon(self, features: list[array[float]], applied: Mapping[str, int], until: float) -> list[Scored]:
        worker = self.worker
        if worker is None:
            return self._scored(features, applied)
        return self._shaped(await worker.predict_soon(_joined(features), len(features), until), features, applied)

    def _online(self) -> Lookup:
        if self._lookup is None:
            raise Unavailable("this scorer was opened without an online store", expected="Scorer.open(folder, store)")
        return self._lookup

    def _features(self, values: Sequence[Any]) -> array[float]:
        return self._encode(values if self._order is None else [values[place] for place in self._order])

    def _scored(self, features: Sequence[array[float]], applied: Mapping[str, int]) -> list[Scored]:
        return self._shaped(self._predict(features), features, applied)

    def _shaped(
        self, numbers: Sequence[Numbers], features: Sequence[array[float]], applied: Mapping[str, int]
    ) -> list[Scored]:
        answers = (shaped(each, self.shape, self.threshold) for each in numbers)
        return [Scored(value, each, applied, said) for (value, said), each in zip(answers, features, strict=True)]

    def _predict(self, features: Sequence[array[float]]) -> Sequence[Numbers]:
        if len(features) == 1:
            return [self._predictor.predict_one(features[0])]
        return self._predictor.predict_many(_joined(features), len(features))


def _joined(features: Sequence[array[float]]) -> array[float]:
    matrix = array("d")
    for each in features:
        matrix.extend(each)
    return matrix


def _order(plan: FeaturePlan, features: Sequence[str]) -> tuple[int, ...] | None:
    """Say where each of the model's features lies among the plan's columns; None when they are in the same order."""
    there = {name: place for place, name in enumerate(plan.names)}
    if set(features) != set(there) or len(set(features)) != len(features):
        missing = sorted(set(features) ^ set(there))
        raise IntegrityError(
            f"the model and the feature plan of the release disagree about {', '.join(missing) or 'a feature twice'}",
            expected="the same features in model.json and plan.json",
            do="rebuild the release from its run",
        )
    order = tuple(there[name] for name in features)
    return None if order == tuple(range(len(order))) else order


def _door(plan: FeaturePlan) -> dict[str, Callable[[Any], Any]]:
    """Say for each column a caller sends how its JSON value is taken, by the type its use demands."""
    return _doors(plan.request_columns, plan.request_types)


def _pair_door(plan: FeaturePlan) -> dict[str, Callable[[Any], Any]]:
    assert plan.ranking is not None
    types = plan.request_types | plan.ranking.given | {plan.ranking.item: plan.ranking.item_type}
    return _doors(plan.pair_columns, types)


def _doors(columns: Sequence[str], types: Mapping[str, DType]) -> dict[str, Callable[[Any], Any]]:
    return {
        name: partial(through_the_door, dtype=types[name], where=f"column {name!r} of the request")
        if name in types
        else partial(_plain, name)
        for name in columns
    }


def _plain(name: str, raw: Any) -> Any:
    """Take a key whose type nothing declares."""
    if isinstance(raw, float) and not math.isfinite(raw):
        raise BadData(f"column {name!r} of the request is {raw}", expected="a finite number, a text or a boolean")
    return raw


def _refuse_columns(raw: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    missing = [name for name in wanted if name not in raw]
    unknown = sorted(set(raw) - set(wanted))
    said = [f"misses {', '.join(map(repr, missing))}"] if missing else []
    said += [f"has {name!r}, which the model does not read ({near(name, wanted)})" for name in unknown]
    raise BadData(f"the row {' and '.join(said)}", expected=f"exactly {', '.join(wanted)}", do="GET /v1/models/{model}")
