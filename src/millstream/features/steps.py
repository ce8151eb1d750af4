"""The answers of a view as step functions of time: for each entity, when they change and what holds from then on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.errors import Refused
from millstream.features.facts import Codes, Instants
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
        Values per step and feature; NULL is NaN, a boolean 0 or 1, a text its place in ``texts``.
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
        never = np.array(view.never_seen)
        text_columns = [n for n, each in enumerate(view.features.values()) if each.dtype == "varchar"]
        for entity, start, stop in zip(self.entities, self.offsets[:-1], self.offsets[1:], strict=True):
            rows = self.rows[start:stop]
            if stop - start == 1 and np.array_equal(rows[0], never, equal_nan=True):
                continue
            texts: list[str] = []
            if text_columns:
                rows, texts = self._own_texts(rows, text_columns)
            yield (
                layout.entity_key(view.id, entity),
                layout.pack(self.instants[start:stop].tobytes(), rows.tobytes(), texts),
            )

    def _own_texts(
        self, rows: npt.NDArray[np.float64], columns: list[int]
    ) -> tuple[npt.NDArray[np.float64], list[str]]:
        """Number an entity's texts by themselves, so that its value stands alone."""
        rows = rows.copy()
        codes = rows[:, columns]
        there = ~np.isnan(codes)
        used = np.unique(codes[there])
        codes[there] = np.searchsorted(used, codes[there])
        rows[:, columns] = codes
        return rows, [self.texts[int(each)] for each in used]


def steps(view: ViewPlan, table: TableFrame, *, since: int, bound_bytes: int) -> Steps:
    """Compute the step functions of every entity from ``since`` (microseconds) until nothing changes any more.

    Raises
    ------
    Refused
        When they would take more than ``bound_bytes``; names the view.
    """
    facts = ViewFacts(view, table)
    entity, instants = facts.changes(since)
    size = len(instants) * 8 * (len(view.features) + 1)
    if size > bound_bytes:
        raise Refused(
            f"feature view {view.name!r} would keep {size / 1e6:,.0f} MB online: {len(facts.entities):,} entities,"
            f" {len(instants):,} changes, {len(view.features)} features",
            expected=f"at most {bound_bytes / 1e6:,.0f} MB a view",
            do="shorten its windows, split it by need, or raise the bound",
        )
    rows, texts = _as_floats(facts, entity, instants)
    offsets = np.searchsorted(entity, np.arange(len(facts.entities) + 1))
    return Steps(_parts(facts.entities), offsets, instants, rows, texts)


def _as_floats(facts: ViewFacts, entity: Codes, instants: Instants) -> tuple[npt.NDArray[np.float64], list[str]]:
    answers = facts.ask(entity, instants)
    rows = np.empty((len(instants), len(answers)))
    worded = [each.unique().drop_nulls() for each in answers.values() if each.dtype == pl.String]
    texts = pl.concat(worded).unique().sort() if worded else pl.Series([], dtype=pl.String)
    for column, each in enumerate(answers.values()):
        said = texts.search_sorted(each) if each.dtype == pl.String and len(texts) else each
        numbers = pl.Series(said).cast(pl.Float64, strict=each.dtype != pl.String)
        rows[:, column] = numbers.to_frame("v").select(pl.when(each.is_not_null()).then("v"))["v"].fill_null(np.nan)
    return rows, texts.to_list()


def _parts(entities: pl.DataFrame) -> list[tuple[layout.Part, ...]]:
    """Return entities as plain values: instants and dates as the whole numbers they are everywhere online."""
    plain = [
        pl.col(name).to_physical().cast(pl.Int64).alias(name) if dtype.is_temporal() else pl.col(name)
        for name, dtype in entities.schema.items()
    ]
    return entities.select(plain).rows()
