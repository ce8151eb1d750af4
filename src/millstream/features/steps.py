"""The answers of a view as step functions of time: for each entity, when they change and what holds from then on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.errors import Refused
from millstream.features.facts import FOREVER, Instants
from millstream.features.online import layout
from millstream.features.plan import ViewPlan
from millstream.features.views import ViewFacts
from millstream.lake.frame import TableFrame


@dataclass(frozen=True)
class Steps:
    """Step functions of all entities of a view.

    Parameters
    ----------
    entities
        Values of the entity columns, one row per entity.
    offsets
        The steps of entity i are those from ``offsets[i]`` to ``offsets[i + 1]``.
    instants
        From when a step holds, microseconds, ascending within an entity.
    rows
        Values per step and feature; NULL is NaN, a boolean 0 or 1, a text its place in ``texts``, a time since the
        instant it counts from.
    texts
        All texts of the view's text features.
    """

    entities: list[tuple[layout.Part, ...]]
    offsets: npt.NDArray[np.int64]
    instants: Instants
    rows: npt.NDArray[np.float64]
    texts: list[str]

    def packed(self, view: ViewPlan) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and value of each entity that is not simply never seen."""
        starts, stops = self.offsets[:-1], self.offsets[1:]
        told = (stops - starts > 1) | self._differs(np.array(view.never_seen))[starts]
        keys = layout.keys_of(layout.view_prefix(view.id), compress(self.entities, told.tolist()))
        return zip(keys, self.blobs(view, told), strict=True)

    def blobs(self, view: ViewPlan, told: npt.NDArray[np.bool_] | None = None) -> Iterator[bytes]:
        """Yield the packed steps between neighbouring offsets, or of those that are told."""
        worded = [place for place, each in enumerate(view.features.values()) if each.dtype == "varchar"]
        chosen = slice(None) if told is None else told
        starts, stops = self.offsets[:-1][chosen], self.offsets[1:][chosen]
        if not worded:
            yield from layout.pack_many(self.instants, self.rows, starts, stops)
            return
        instants = self.instants.tobytes()
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            own, texts = self._own_texts(self.rows[start:stop], worded)
            yield layout.pack(instants[start * layout.WORD : stop * layout.WORD], own, texts)

    def _differs(self, row: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Say which rows are not this one."""
        differs: npt.NDArray[np.bool_] = ~((self.rows == row) | (np.isnan(self.rows) & np.isnan(row))).all(axis=1)
        return differs

    def _own_texts(self, rows: npt.NDArray[np.float64], columns: list[int]) -> tuple[bytes, list[str]]:
        """Number an entity's texts by themselves, so that its value stands alone."""
        rows = rows.copy()
        codes = rows[:, columns]
        there = ~np.isnan(codes)
        used = np.unique(codes[there])
        codes[there] = np.searchsorted(used, codes[there])
        rows[:, columns] = codes
        return rows.tobytes(), [self.texts[int(each)] for each in used]


def steps(view: ViewPlan, table: TableFrame, *, since: int, bound_bytes: int, until: int = FOREVER) -> Steps:
    """Compute the step functions of every entity from ``since`` to ``until`` (microseconds).

    Without ``until`` they go on until nothing changes any more.

    Raises
    ------
    Refused
        When they would take more than ``bound_bytes``; names the view.
    """
    facts = ViewFacts(view, table)
    entity, instants = facts.changes(since, until)
    size = len(instants) * 8 * (len(view.features) + 1)
    if size > bound_bytes:
        raise Refused(
            f"feature view {view.name!r} would keep {size / 1e6:,.0f} MB online: {len(facts.entities):,} entities,"
            f" {len(instants):,} changes, {len(view.features)} features",
            expected=f"at most {bound_bytes / 1e6:,.0f} MB a view",
            do="shorten its windows, or split it into views of fewer features",
        )
    rows, texts = as_floats(facts.kept(entity, instants), len(instants))
    offsets = np.searchsorted(entity, np.arange(len(facts.entities) + 1))
    return Steps(parts(facts.entities), offsets, instants, rows, texts)


def as_floats(answers: Mapping[str, pl.Series], count: int) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Lay answers out as rows of floats (NULL is NaN, a boolean 0 or 1), and the texts to which floats are places."""
    rows = np.empty((count, len(answers)))
    worded = [each.unique().drop_nulls() for each in answers.values() if each.dtype == pl.String]
    texts = pl.concat(worded).unique().sort() if worded else pl.Series([], dtype=pl.String)
    for column, each in enumerate(answers.values()):
        if each.dtype == pl.String:
            rows[:, column] = texts.search_sorted(each) if len(texts) else np.nan
            rows[each.is_null().to_numpy(), column] = np.nan
        else:
            rows[:, column] = (each if each.dtype == pl.Float64 else each.cast(pl.Float64)).to_numpy()  # NULL is NaN
    return rows, texts.to_list()


def parts(entities: pl.DataFrame) -> list[tuple[layout.Part, ...]]:
    """Return entities as plain values: instants and dates as the whole numbers they are everywhere online."""
    plain = [
        pl.col(name).to_physical().cast(pl.Int64).alias(name) if dtype.is_temporal() else pl.col(name)
        for name, dtype in entities.schema.items()
    ]
    return entities.select(plain).rows()
