"""Lists on the scoring server: every item that is known and not chosen yet, scored for whoever asks, the best shown.

What is said of items alone is kept as columns of numbers from request to request and brought forward where an item's
step function changes; only what depends on who asks is read for each request. Standard library, lmdb and msgspec only.
"""

from __future__ import annotations

import heapq
import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import msgspec

from millstream.errors import MillstreamError, Unavailable
from millstream.expressions.closure import to_closure
from millstream.features.online import layout
from millstream.features.online.lookup import Lookup, typed
from millstream.features.online.reader import Value, ViewReader
from millstream.features.online.store import OnlineStore, Snapshot
from millstream.features.plan import DAY_US, FeaturePlan, ViewPlan
from millstream.types import Pins

_NAN = math.nan
_shelf = msgspec.msgpack.Decoder(tuple[list[Any], list[int]])
_applied = msgspec.json.Decoder(dict[str, layout.Applied])
Get: TypeAlias = Callable[[bytes], "memoryview | bytes | None"]
Codes: TypeAlias = Mapping[str, Mapping[str, float]]


class Pool(NamedTuple):
    """What a list is made from.

    Parameters
    ----------
    rows
        Candidates known at the instant; they stand first on the shelf.
    seen
        Items that who asks is known to have chosen.
    known
        Whether anything is known of who asks.
    features
        One row a candidate, as the model takes them.
    """

    rows: int
    seen: frozenset[Any]
    known: bool
    features: array[float]


class Lister:
    """Makes lists for one release; not safe to share between threads.

    Parameters
    ----------
    plan
        With a ranking.
    store
        Where features, candidates and choices are served from.
    features, codes
        The model's features in order, and the codes of those that are texts.
    popular
        Item to how often it was chosen (as a share of all choices), the most often chosen first.
    """

    def __init__(
        self,
        plan: FeaturePlan,
        store: OnlineStore,
        *,
        features: Sequence[str],
        codes: Codes,
        popular: Mapping[Any, float],
    ) -> None:
        assert plan.ranking is not None
        self.plan, self.ranking, self.popular = plan, plan.ranking, popular
        self._store, self._features, self._codes = store, tuple(features), codes
        self._lookup = Lookup(plan, store)
        self._shelf_key = layout.view_prefix(plan.ranking.shelf_id) + layout.SHELF
        self._seen_prefix = layout.view_prefix(plan.ranking.seen_id(plan.rows_table))
        self._request = to_closure(plan.request_features) if plan.request_features else None
        self._combined = to_closure(plan.combined) if plan.combined else None
        self._parts = [(name, dtype) for name, _, dtype in plan.combined_parts]
        self._applied: Pins = {}
        self._record = b""
        self.items: list[Any] = []
        self._known: list[int] = []
        self._by_rank: list[int] = []
        self._rank: list[int] = []
        asked = set(plan.ranking.asked)
        self._mine = [view for view in plan.views if set(view.keys) <= asked]
        of_items = [view for view in plan.views if view.keys == (plan.ranking.item,)]
        self._kept = {view.name: _Kept(view, self._texts(view)) for view in of_items}
        self._mixed = [view for view in plan.views if view not in self._mine and view not in of_items]
        self._given = _Kept(plan.ranking.item_view, {}, raw=True) if plan.ranking.given else None

    def _texts(self, view: ViewPlan) -> Codes:
        return {
            name: self._codes[f"{view.name}.{name}"] for name in view.features if f"{view.name}.{name}" in self._codes
        }

    def warm(self) -> None:
        """Read the items once, before anybody waits for it; without served features there is nothing to read."""
        with suppress(MillstreamError), self._store.snapshot() as snapshot:
            self._learn(snapshot, self._lookup.holds_since(snapshot))

    def applied(self) -> Pins:
        """Return the table versions that the latest list reflects, the candidates' and the choices' among them."""
        return self._applied

    def pool(self, row: Mapping[str, Any], at_us: int) -> Pool:
        """Gather what a list for a checked row is made from, as of an instant.

        Raises
        ------
        Unavailable
            When the store has no candidates or features, or not of that instant.
        """
        with self._store.snapshot() as snapshot:
            self._lookup.refuse_outside(snapshot, at_us)
            self._learn(snapshot, at_us)
            rows = bisect_right(self._known, at_us)
            seen, known = self._seen(snapshot.get, row, at_us)
            return Pool(rows, seen, known, self._matrix(snapshot.get, row, at_us, rows) if known else array("d"))

    def best(self, scores: Sequence[float], pool: Pool) -> list[int]:
        """Return the places of the best candidates, best first; of equal scores the more often chosen first."""
        k, barred = self.ranking.k, pool.seen if self.ranking.exclude_seen else frozenset()
        edges = heapq.nlargest(k + len(barred), scores)
        edge = edges[-1] if edges else 0.0
        near = [place for place, score in enumerate(scores) if score >= edge and self.items[place] not in barred]
        rank = self._rank
        return sorted(near, key=lambda place: (-scores[place], rank[place]))[:k]

    def most_chosen(self, pool: Pool | None) -> tuple[list[Any], list[float]]:
        """Return the most often chosen items and their shares; without a pool those of the release, whoever asks."""
        if pool is None:
            items = list(islice(self.popular, self.ranking.k))
        else:
            barred = pool.seen if self.ranking.exclude_seen else frozenset()
            there = (self.items[place] for place in self._by_rank if place < pool.rows)
            items = list(islice((each for each in there if each not in barred), self.ranking.k))
        return items, [self.popular.get(each, 0.0) for each in items]

    def _learn(self, snapshot: Snapshot, at_us: int) -> None:
        """Take in what a refresh brought, and bring what is kept of items to an instant."""
        record = snapshot.get(layout.APPLIED) or b"{}"
        if record != self._record:
            self._record = bytes(record)
            self._learn_shelf(snapshot, _applied.decode(self._record))
        for each in (*self._kept.values(), *(() if self._given is None else (self._given,))):
            each.bring(snapshot.get, self.items, at_us, self._record)

    def _learn_shelf(self, snapshot: Snapshot, applied: Mapping[str, layout.Applied]) -> None:
        ranking, value = self.ranking, snapshot.get(self._shelf_key)
        wanted = {view.name: view.id for view in self.plan.views}
        wanted |= {"candidates": ranking.shelf_id, "choices": ranking.seen_id(self.plan.rows_table)}
        if value is None or any(each not in applied for each in wanted.values()):
            raise Unavailable(
                f"the online store has no candidates of model {self.plan.model}",
                expected="candidates and choices refreshed from the lake before they are served",
                do="millstream refresh (millstream up does it by itself)",
            )
        self._applied = layout.flat({name: layout.reflected(applied[each]) for name, each in wanted.items()})
        items, self._known = _shelf.decode(value)
        if items != self.items:
            self.items = items
            place = {item: number for number, item in enumerate(items)}
            first = [place[each] for each in self.popular if each in place]
            rest = sorted(set(range(len(items))) - set(first), key=lambda number: items[number])
            self._by_rank = first + rest
            self._rank = [0] * len(items)
            for standing, number in enumerate(self._by_rank):
                self._rank[number] = standing

    def _seen(self, get: Get, row: Mapping[str, Any], at_us: int) -> tuple[frozenset[Any], bool]:
        who: list[Any] = [row.get(each) for each in self.ranking.by]
        value = None if None in who else get(layout.key_of(self._seen_prefix, who))
        if value is None:
            return frozenset(), False
        items, instants = _shelf.decode(value)
        seen = frozenset(items[: bisect_right(instants, at_us)])
        return seen, bool(seen)

    def _matrix(self, get: Get, row: Mapping[str, Any], at_us: int, rows: int) -> array[float]:
        columns: dict[str, array[float]] = {}
        for view in self._mine:
            read = ViewReader(view).read(get, row, at_us)
            for name, value in zip(view.features, read, strict=True):
                columns[f"{view.name}.{name}"] = array("d", [self._number(f"{view.name}.{name}", value)]) * rows
        for view_name, kept in self._kept.items():
            columns |= {f"{view_name}.{name}": column[:rows] for name, column in kept.at(at_us).items()}
        for view in self._mixed:
            columns |= self._of_pairs(view, get, row, at_us, rows)
        columns |= self._of_request(row, rows)
        columns |= self._of_combined(row, rows, columns)
        width = len(self._features)
        matrix = array("d", bytes(8 * rows * width))
        for place, name in enumerate(self._features):
            matrix[place::width] = columns[name]
        return matrix

    def _of_pairs(
        self, view: ViewPlan, get: Get, row: Mapping[str, Any], at_us: int, rows: int
    ) -> dict[str, array[float]]:
        """Read a view about who asks and something of the item, once for each such pair."""
        free = [key for key in view.keys if key == self.ranking.item or key in self.ranking.given]
        values = [self._of_item(key)[:rows] for key in free]
        reader, names = ViewReader(view), [f"{view.name}.{name}" for name in view.features]
        found: dict[Any, list[float]] = {}
        entities = values[0] if len(values) == 1 else list(zip(*values, strict=True))
        for entity in set(entities):
            parts = dict(zip(free, (entity,) if len(values) == 1 else entity, strict=True))
            read = reader.read(get, {**row, **parts}, at_us)
            found[entity] = [self._number(name, value) for name, value in zip(names, read, strict=True)]
        told = [found[each] for each in entities]
        return {name: array("d", [each[place] for each in told]) for place, name in enumerate(names)}

    def _of_request(self, row: Mapping[str, Any], rows: int) -> dict[str, array[float]]:
        if self._request is None:
            return {}
        fields = [name for name in self.plan.request if name == self.ranking.item or name in self.ranking.given]
        names, values = list(self.plan.request_features), [self._of_item(name)[:rows] for name in fields]
        made = [
            [
                self._number(name, value)
                for name, value in self._request({**row, **dict(zip(fields, said, strict=True))}).items()
            ]
            for said in (zip(*values, strict=True) if fields else [()])
        ]
        told = made if fields else made * rows
        return {name: array("d", [each[place] for each in told]) for place, name in enumerate(names)}

    def _of_combined(
        self, row: Mapping[str, Any], rows: int, columns: Mapping[str, array[float]]
    ) -> dict[str, array[float]]:
        if self._combined is None:
            return {}
        fields = [name for name in self.plan.request if name == self.ranking.item or name in self.ranking.given]
        values = [self._of_item(name)[:rows] for name in fields]
        values += [[typed(each, dtype) for each in columns[name]] for name, dtype in self._parts]
        names = [*fields, *(name for name, _ in self._parts)]
        made = [self._combined({**row, **dict(zip(names, said, strict=True))}) for said in zip(*values, strict=True)]
        return {name: array("d", [self._number(name, each[name]) for each in made]) for name in self.plan.combined}

    def _of_item(self, column: str) -> list[Any]:
        """Return a column of the items as the row language has it."""
        if column == self.ranking.item:
            return self.items
        assert self._given is not None
        return self._given.values[column]

    def _number(self, name: str, value: Value | bool | None) -> float:
        if value is None:
            return _NAN
        codes = self._codes.get(name)
        return codes.get(str(value), _NAN) if codes is not None else float(value)


class _Kept:
    """A view of items alone: what it says of each at one instant, brought forward item by item."""

    def __init__(self, view: ViewPlan, codes: Codes, *, raw: bool = False) -> None:
        self._reader, self._view, self._codes, self._raw = ViewReader(view, kept=True), view, codes, raw
        self._prefix = layout.view_prefix(view.id)
        self._keys: list[bytes] = []
        self._items: list[Any] = []
        self._held: list[bytes | None] = []
        self._changes: list[tuple[int, int]] = []
        self._at, self._record = 0, b""
        self.numbers: dict[str, array[float]] = {}
        self.values: dict[str, list[Any]] = {}

    def bring(self, get: Get, items: list[Any], at_us: int, record: bytes) -> None:
        """Bring every item to an instant: read what a refresh changed, and step where steps end."""
        if items is not self._items:
            self._items, self._held = items, [b""] * len(items)
            self._keys = [layout.key_of(self._prefix, (each,)) for each in items]
            blank = range(len(items))
            self.numbers = {name: array("d", bytes(8 * len(items))) for name in self._view.features}
            self.values = {name: [None for _ in blank] for name in self._view.features} if self._raw else {}
            self._changes, self._record = [], b""
        if record != self._record or at_us < self._at:
            again = at_us < self._at
            self._record, self._at = record, at_us
            if again:
                self._changes = []
            for place, key in enumerate(self._keys):
                value = get(key)
                if again or value != self._held[place]:
                    self._held[place] = None if value is None else bytes(value)
                    self._step(place, at_us)
        self._at = at_us
        while self._changes and self._changes[0][0] <= at_us:
            self._step(heapq.heappop(self._changes)[1], at_us)

    def at(self, at_us: int) -> dict[str, array[float]]:
        """Return what is said of every item at the instant it was brought to."""
        aged = [name for name, said in self._view.features.items() if said.aged]
        days = {name: array("d", [(at_us - since) / DAY_US for since in self.numbers[name]]) for name in aged}
        return self.numbers | days

    def _step(self, place: int, at_us: int) -> None:
        value = self._held[place]
        read = self._reader.read(lambda _: value, {self._view.keys[0]: self._items[place]}, at_us)
        for (name, said), each in zip(self._view.features.items(), read, strict=True):
            if self._raw:
                self.values[name][place] = typed(each, said.dtype)
            else:
                codes = self._codes.get(name)
                self.numbers[name][place] = codes.get(str(each), _NAN) if codes is not None else float(each)
        if value is not None:
            (count,) = layout.COUNT.unpack_from(value)
            instants = memoryview(value)[8 : 8 + 8 * count].cast("q")
            following = bisect_right(instants, at_us)
            if following < count:
                heapq.heappush(self._changes, (instants[following], place))
