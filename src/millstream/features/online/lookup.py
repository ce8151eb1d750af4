"""Read served features for a request: standard library, lmdb and msgspec only, microseconds a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

import msgspec

from millstream.errors import Unavailable
from millstream.expressions.closure import to_closure
from millstream.features.online import layout
from millstream.features.online.reader import Row, Value, ViewReader, nothing, reading
from millstream.features.online.store import OnlineStore, Snapshot
from millstream.features.plan import NULL, FeaturePlan
from millstream.types import DType, Pins, from_micros

_applied_decoder = msgspec.json.Decoder(dict[str, layout.Applied])


_FOREVER = 1 << 63
_BIGINT = 2.0**63


class Lookup:
    """Features of one model, read from an online store.

    Parameters
    ----------
    plan
        What the model reads.
    store
        Where it is read.
    """

    def __init__(self, plan: FeaturePlan, store: OnlineStore) -> None:
        self.plan = plan
        self._store = store
        self._first, *self._others = reading(plan.views) or [nothing]
        self._rule = None if plan.seasonal is None else ViewReader(plan.seasonal.view)
        self._request = to_closure(plan.request_features) if plan.request_features else None
        self._combined = to_closure(plan.combined) if plan.combined else None
        self._parts = plan.combined_parts
        self._order = self._column_order()
        self._one_view = not (self._others or self._request or self._combined or self._order)
        self._record: bytes = b""
        self._since, self._until = 0, _FOREVER
        self._provenance: dict[str, Pins] = {}
        self._reflects: Pins = {}

    def lookup_one(self, row: Row, at_us: int) -> list[Value]:
        """Return the features of one row as they are at an instant.

        Parameters
        ----------
        row
            Entity keys and request fields, as ``expressions.door.value`` gives them. A missing entity key is NULL;
            what the request's expressions read must be there.
        at_us
            The instant, microseconds since 1970.

        Returns
        -------
        list
            In the order of ``plan.columns``: floats (NULL is NaN, a boolean 0 or 1), texts as they are.

        Raises
        ------
        Unavailable
            When a view was never written to the store, or the instant lies outside of what was refreshed.
        """
        with self._store.snapshot() as snapshot:
            self._learn_applied(snapshot)
            if not self._since <= at_us < self._until:
                raise self._outside(at_us)
            return self._read(snapshot, row, at_us)

    def lookup_many(self, rows: Iterable[Row], at_us: Iterable[int]) -> list[list[Value]]:
        """Return the features of many rows, each at its own instant, from one snapshot of the store."""
        read, first = self._read, self._first
        with self._store.snapshot() as snapshot:
            self._learn_applied(snapshot)
            instants = list(at_us)
            since, until = self._since, self._until
            for at in instants:
                if not since <= at < until:
                    raise self._outside(at)
            if self._one_view:
                get = snapshot.get
                return [first(get, row, at) for row, at in zip(rows, instants, strict=True)]
            return [read(snapshot, row, at) for row, at in zip(rows, instants, strict=True)]

    def refuse_outside(self, snapshot: Snapshot, at_us: int) -> None:
        """Refuse an instant that what is served does not hold for."""
        self._learn_applied(snapshot)
        if not self._since <= at_us < self._until:
            raise self._outside(at_us)

    def holds_since(self, snapshot: Snapshot) -> int:
        """Return from when what is served holds, microseconds."""
        self._learn_applied(snapshot)
        return self._since

    def simple_many(self, rows: Iterable[Row], at_us: Iterable[int]) -> list[float]:
        """Return what the simple rule of a forecast says of rows; NaN where nothing is kept of one."""
        rule, plan = self._rule, self.plan.seasonal
        if rule is None or plan is None:
            return [NULL for _ in rows]
        with self._store.snapshot() as snapshot:
            found = _applied_decoder.decode(bytes(snapshot.get(layout.APPLIED) or b"{}")).get(plan.view.id)
            if found is None:
                return [NULL for _ in rows]
            read = [
                next(iter(rule.read(snapshot.get, row, at))) if at >= found.since_us else NULL
                for row, at in zip(rows, at_us, strict=True)
            ]
        return [NULL if isinstance(each, str) else each for each in read]

    def applied(self) -> dict[str, Pins]:
        """Return, per view, the table versions that the latest lookup's values reflect (read with them)."""
        return self._provenance

    def reflects(self) -> Pins:
        """Return the same by table, as an answer names it; a view that reflects something else is named before it."""
        return self._reflects

    def _read(self, snapshot: Snapshot, row: Row, at_us: int) -> list[Value]:
        get = snapshot.get
        values = self._first(get, row, at_us)
        for read in self._others:
            values += read(get, row, at_us)
        if self._request is not None:
            values += [_plain(each) for each in self._request(row).values()]
        if self._combined is not None:
            said = {name: typed(values[place], dtype) for name, place, dtype in self._parts}
            values += [_plain(each) for each in self._combined({**row, **said}).values()]
        order = self._order
        return values if order is None else list(order(values))

    def _learn_applied(self, snapshot: Snapshot) -> None:
        record = snapshot.get(layout.APPLIED) or b"{}"
        if record == self._record:
            return
        record = bytes(record)
        applied = _applied_decoder.decode(record)
        missing = [view.name for view in self.plan.views if view.id not in applied]
        if missing:
            raise Unavailable(
                f"the online store has no features of {', '.join(missing)} for model {self.plan.model}",
                expected="features refreshed from the lake before they are served",
                do="millstream refresh (millstream up does it by itself)",
            )
        self._provenance = {view.name: layout.reflected(applied[view.id]) for view in self.plan.views}
        self._reflects = layout.flat(self._provenance)
        found = [applied[view.id] for view in self.plan.views]
        self._since = max((each.since_us for each in found), default=0)
        self._until = min((each.until_us for each in found if each.until_us is not None), default=_FOREVER)
        self._record = record

    def _outside(self, at_us: int) -> Unavailable:
        """Say that the store has no answer for an instant: one it gave would be of another instant."""
        model, instant = self.plan.model, from_micros(at_us).isoformat()
        if at_us < self._since:
            return Unavailable(
                f"features of model {model} at {instant} were asked for; what is served begins at"
                f" {from_micros(self._since).isoformat()}, with the latest refresh",
                expected="an instant that is not past",
                do="millstream score computes features of past instants from the lake",
            )
        return Unavailable(
            f"features of model {model} at {instant} were asked for; what is served ends at"
            f" {from_micros(self._until).isoformat()}, because nothing refreshed it since",
            expected="a control plane that refreshes served features as tables move",
            do="millstream status, then millstream up",
        )

    def _column_order(self) -> Callable[[list[Value]], tuple[Value, ...]] | None:
        """Return how to bring values, read view by view and then the request, into the plan's order."""
        read = [f"{view.name}.{feature}" for view in self.plan.views for feature in view.features]
        read += [*self.plan.request_features, *self.plan.combined]
        places = {name: place for place, name in enumerate(read)}
        order = [places[name] for name in self.plan.names]
        if order == list(range(len(read))):
            return None
        return itemgetter(*order) if len(order) > 1 else lambda values: (values[order[0]],)


def typed(value: Value, dtype: DType) -> Any:
    """Turn a served number back into a value of the row language."""
    if isinstance(value, str):
        return value
    if value != value:
        return None
    if dtype == "bigint":
        return int(value) if abs(value) < _BIGINT else None
    return bool(value) if dtype == "boolean" else value


def _plain(value: Any) -> Value:
    return NULL if value is None else value if isinstance(value, str) else float(value)
