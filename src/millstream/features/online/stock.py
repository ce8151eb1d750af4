"""What lists are made from, as it is served: the items there are, what is said of each, and who chose which.

The shelf holds the items in the order in which they became known, under one key; what features need of an item is a
view of its own; choices lie under whoever made them, each with the instant from which it is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl

from millstream.features.choices import known_items, known_since
from millstream.features.engine import FeatureEngine
from millstream.features.facts import FOREVER
from millstream.features.online import layout
from millstream.features.plan import FeaturePlan
from millstream.features.steps import packed, parts
from millstream.features.ticks import timeless
from millstream.lake.frame import TableFrame

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Stock:
    """One thing that lists are made from.

    Parameters
    ----------
    kind
        ``shelf``, ``item`` (a view of what is said of each) or ``seen``.
    plan
        A plan with a ranking.
    """

    kind: str
    plan: FeaturePlan

    @property
    def name(self) -> str:
        """How messages call it."""
        return {"shelf": "candidates", "item": "items", "seen": "choices"}[self.kind]

    @property
    def id(self) -> str:
        """Name what is kept: equal ids share it."""
        assert self.plan.ranking is not None
        if self.kind == "item":
            return self.plan.ranking.item_view.id
        return self.plan.ranking.shelf_id if self.kind == "shelf" else self.plan.ranking.seen_id(self.plan.rows_table)

    @property
    def table(self) -> str:
        """The table it is made from."""
        assert self.plan.ranking is not None
        return self.plan.rows_table if self.kind == "seen" else self.plan.ranking.candidates

    @property
    def horizon_us(self) -> int | None:
        """Nothing of it is ever too old."""
        return None

    def packed(
        self, engine: FeatureEngine, rows: TableFrame, *, span: tuple[int, int], bound_bytes: int
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values, from the rows of its table."""
        assert self.plan.ranking is not None
        if self.kind == "item":
            view = self.plan.ranking.item_view
            yield from packed(view, engine.changes(view, timeless(rows), span=span, bound_bytes=bound_bytes))
        elif self.kind == "shelf":
            found, known = known_items(rows, self.plan.ranking)
            items = [each for (each,) in parts(found)]
            yield layout.view_prefix(self.id) + layout.SHELF, _encode((items, known.tolist()))
        else:
            yield from self._seen(rows)

    def _seen(self, rows: TableFrame) -> Iterator[tuple[bytes, bytes]]:
        """Yield what each person chose, by when it was known."""
        ranking, prefix = self.plan.ranking, layout.view_prefix(self.id)
        assert ranking is not None
        since = known_since(rows, ranking)
        told = rows.frame.select(*ranking.by, ranking.item).with_columns(pl.Series("__since", since))
        told = told.filter(pl.col("__since") != FOREVER).drop_nulls()
        by = parts(told.select(ranking.by))
        items = np.array([each for (each,) in parts(told.select(ranking.item))], dtype=object)
        place = told.select(pl.struct(ranking.by).rank("dense"))[:, 0].to_numpy().astype(np.int64)
        instants = told["__since"].to_numpy()
        order = np.lexsort((instants, place))
        starts = np.flatnonzero(np.diff(place[order], prepend=-1))
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
            mine = order[start:stop]
            yield layout.key_of(prefix, by[int(mine[0])]), _encode((items[mine].tolist(), instants[mine].tolist()))


def stocks(plans: Iterable[FeaturePlan]) -> list[Stock]:
    """Return all that lists of some plans are made from, each once."""
    found: dict[str, Stock] = {}
    for plan in plans:
        if plan.ranking is not None:
            kinds = ("shelf", "seen", *(("item",) if plan.ranking.given else ()))
            for each in (Stock(kind, plan) for kind in kinds):
                found.setdefault(each.id, each)
    return list(found.values())
