"""Lists of candidates made off line: what would have been shown at past decisions, and what was chosen afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from millstream.features.plan import FeatureColumn, FeaturePlan
from millstream.metrics.ranking import places
from millstream.training.matrix import Array
from millstream.training.splits import Rows

if TYPE_CHECKING:
    import polars as pl

    from millstream.features import FeatureEngine
    from millstream.lake.frame import TableFrame

PAIRS = 1_000_000
"""Pairs whose features are computed at a time."""


@dataclass(frozen=True)
class Decisions:
    """Past decisions to make lists for.

    Parameters
    ----------
    frame
        What a caller would have sent, and ``decided_at``; one row a list.
    chosen
        Of each, the places (see ``Choices.items``) of the items that were chosen and could have been listed.
    of
        Decisions after which something was chosen that could have been listed; these are a sample of them.
    out_of_reach
        Choices of those that no list could have held: the item was not known yet, or known to be chosen before.
    candidates
        Items known at the latest decision.
    """

    frame: pl.DataFrame
    chosen: tuple[npt.NDArray[np.int64], ...]
    of: int
    out_of_reach: int
    candidates: int

    @classmethod
    def of_nothing(cls, frame: pl.DataFrame) -> Decisions:
        """Return decisions of which nobody asks what became."""
        return cls(frame, tuple(np.zeros(0, np.int64) for _ in range(len(frame))), 0, 0, 0)

    @property
    def relevant(self) -> Array:
        """Number of the chosen items of each list."""
        return np.array([len(each) for each in self.chosen], dtype=np.float64)


@dataclass(frozen=True)
class Lists:
    """Lists that somebody would have shown.

    Parameters
    ----------
    listed
        Whether the item at each place was chosen afterwards, shape (n, k).
    shown
        The pairs that were listed, with their features, by list and place; None where nobody asked for them.
    scores
        The score at each place, NaN for none, shape (n, k).
    items
        The places in ``Choices.items`` of what was listed, -1 for none, shape (n, k).
    """

    listed: Array
    scores: Array
    items: npt.NDArray[np.intp]
    shown: pl.DataFrame | None = None


class Ranker:
    """Makes lists of all candidates known at an instant.

    Parameters
    ----------
    plan
        With a ranking.
    tables
        Every table it is learnt from.
    engine
        Who computes features; the embedded one unless said.
    """

    def __init__(
        self, plan: FeaturePlan, tables: Mapping[str, TableFrame], engine: FeatureEngine | None = None
    ) -> None:
        from millstream.features import PolarsEngine
        from millstream.features.choices import Choices

        assert plan.ranking is not None
        self.plan, self.ranking, self.tables = plan, plan.ranking, tables
        self.engine: FeatureEngine = engine or PolarsEngine()
        self.choices = Choices(plan, tables[plan.rows_table], tables[plan.ranking.candidates])

    def decisions(self, rows: pl.DataFrame, *, most: int, known_by: int | None = None) -> Decisions:
        """Choose decisions to judge on, and find what was chosen after each.

        Parameters
        ----------
        rows
            Rows of a training set; their distinct decisions are sampled by a hash of seed, who asks and instant.
        most
            How many at most.
        known_by
            Nothing known later is used, microseconds.
        """
        import polars as pl

        by = list(self.ranking.by)
        asked = rows.select(*self.ranking.asked, "decided_at").unique([*by, "decided_at"], maintain_order=True)
        kept = dict(self.after(asked, known_by=known_by))
        chosen: list[tuple[int, npt.NDArray[np.int64]]] = []
        out_of_reach = 0
        for number, found in kept.items():
            reach = self._reachable(asked, number, found)
            out_of_reach += len(found) - len(reach)
            if len(reach):
                chosen.append((number, reach))
        keys = asked.select(
            pl.concat_str([pl.col(each).cast(pl.String) for each in (*by, "decided_at")], separator="|")
        )
        named = keys.to_series().to_list()
        order = sorted(chosen, key=lambda each: _place(f"{self.ranking.seed}|{named[each[0]]}"))
        sample = sorted(order[:most])
        frame = asked[[number for number, _ in sample]]
        latest = frame["decided_at"].to_physical().to_numpy()[-1:] if len(frame) else np.zeros(0, np.int64)
        candidates = int(self.choices.there(latest).max(initial=0))
        return Decisions(frame, tuple(each for _, each in sample), len(chosen), out_of_reach, candidates)

    def after(self, asked: pl.DataFrame, *, known_by: int | None = None) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Yield for each decision the places of the items chosen within its span, -1 for no candidate.

        Only items of which the label is true, of choices that are known by then.
        """
        import polars as pl

        from millstream.expressions.polars import to_polars

        plan, table, time = self.plan, self.choices.rows, self.ranking.choice_time
        assert plan.label is not None
        frame = table.frame
        needed = table.known_for((*plan.label.columns, *self.ranking.by, self.ranking.item, time))
        usable = to_polars(plan.label).fill_null(False) & pl.col(time).is_not_null()
        if known_by is not None and needed:
            instants = [pl.col(each).to_physical() for each in needed]
            usable = usable & (pl.max_horizontal(instants) <= known_by).fill_null(False)
        what = pl.Series("__what", self.choices.places(frame))
        made = frame.with_columns(what).filter(usable).select(*self.ranking.by, pl.col(time).alias("__event"), "__what")
        asked = asked.with_row_index("__list")
        both = asked.select("__list", *self.ranking.by, "decided_at").join(made, on=list(self.ranking.by), how="inner")
        since, event = pl.col("decided_at").to_physical(), pl.col("__event").to_physical()
        both = both.filter((event > since) & (event <= since + self.ranking.within_us)).unique(["__list", "__what"])
        for (number,), part in both.sort("__list", "__what").group_by("__list", maintain_order=True):
            yield int(str(number)), part["__what"].to_numpy()

    def outcomes(self, asked: pl.DataFrame, *, known_by: int) -> list[list[Any]]:
        """Return for each decision the items that were chosen within its span and that a list could have held."""
        found: list[list[Any]] = [[] for _ in range(len(asked))]
        names = self.choices.items[self.ranking.item]
        for number, chosen in self.after(asked, known_by=known_by):
            found[number] = names[self._reachable(asked, number, chosen)].to_list()
        return found

    def _reachable(self, asked: pl.DataFrame, number: int, found: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        at = asked["decided_at"][number : number + 1].to_physical().to_numpy()
        good = (found >= 0) & (found < self.choices.there(at)[0])
        if self.ranking.exclude_seen:
            who = np.repeat(self.choices.people(asked[number : number + 1]), len(found))
            good &= ~self.choices.seen(who, found, np.repeat(at, len(found)))
        return np.asarray(found[good])

    def lists(
        self, decisions: Decisions, scores: list[Callable[[pl.DataFrame], Array]], *, popular: Mapping[object, float]
    ) -> list[Lists]:
        """Make the lists of several predictors at every decision, from all candidates known then.

        Parameters
        ----------
        decisions
            For whom and when.
        scores
            Each takes pairs with their features and returns one number a pair.
        popular
            How often each item was chosen: of equal scores the more often chosen item comes first.

        Returns
        -------
        list
            One for each of ``scores``; the pairs shown are kept of the first.
        """
        k, item = self.ranking.k, self.ranking.item
        names = self.choices.items[item].to_list()
        counts = np.array([popular.get(name, 0.0) for name in names])
        order = np.lexsort((_key_order(self.choices.items[item]), -counts))
        made: list[list[Lists]] = [[] for _ in scores]
        for start, stop in self._slices(decisions.frame):
            frame = decisions.frame[start:stop]
            number, place = self._pairs(frame, order)
            relevant = np.zeros(len(number))
            for each in range(stop - start):
                mine = number == each
                relevant[mine] = np.isin(place[mine], decisions.chosen[start + each])
            pairs = self.features(frame, number, place)
            known = self.choices.known_people(frame)[number]
            shares = np.array([popular.get(name, 0.0) for name in names])[place] / (sum(popular.values()) or 1.0)
            for side, score in enumerate(scores):
                said = np.where(known, score(pairs), shares)
                _, listed, which = places(said, relevant, number, k=k, lists=stop - start)
                there = which >= 0
                stood, items = np.full(which.shape, np.nan), np.full(which.shape, -1, dtype=np.intp)
                stood[there], items[there] = said[which[there]], place[which[there]]
                shown = which[there]
                kept = pairs[shown[known[shown]]] if side == 0 else None
                made[side].append(Lists(listed, stood, items, kept))
        return [_joined(each, k) for each in made]

    def features(self, frame: pl.DataFrame, number: Rows, place: npt.NDArray[np.int64]) -> pl.DataFrame:
        """Compute the features of pairs: those of who asks once a decision, all others for each pair."""
        asked = set(self.ranking.asked)
        mine = [view for view in self.plan.views if set(view.keys) <= asked]
        others = tuple(view for view in self.plan.views if view not in mine)
        prefix = tuple(f"{view.name}." for view in mine)
        first = tuple(each for each in self.plan.columns if each.name.startswith(prefix)) if prefix else ()
        first += tuple(
            FeatureColumn(name, dtype)
            for name, _, dtype in self.plan.combined_parts
            if prefix and name.startswith(prefix) and name not in self.plan.names
        )
        of_who = self.engine.point_in_time(
            msgspec.structs.replace(self.plan, views=tuple(mine), columns=first, request_features={}, combined={}),
            frame,
            self.tables,
        )
        pairs = of_who[number].with_columns(self.choices.items[self.ranking.item][place])
        rest = msgspec.structs.replace(
            self.plan, views=others, columns=tuple(each for each in self.plan.columns if each not in first)
        )
        return self.engine.point_in_time(rest, self.choices.with_columns(pairs), self.tables)

    def _pairs(self, frame: pl.DataFrame, order: Rows) -> tuple[Rows, npt.NDArray[np.int64]]:
        at = frame["decided_at"].to_physical().to_numpy()
        there, who = self.choices.there(at), self.choices.people(frame)
        number = np.repeat(np.arange(len(frame)), len(order))
        place = np.tile(order, len(frame)).astype(np.int64)
        good = place < there[number]
        if self.ranking.exclude_seen:
            good &= ~self.choices.seen(who[number], place, at[number])
        return number[good].astype(np.intp), place[good]

    def _slices(self, frame: pl.DataFrame) -> Iterator[tuple[int, int]]:
        step = max(1, PAIRS // max(len(self.choices.items), 1))
        for start in range(0, len(frame), step):
            yield start, min(start + step, len(frame))


def _joined(parts: list[Lists], k: int) -> Lists:
    import polars as pl

    if not parts:
        return Lists(np.zeros((0, k)), np.zeros((0, k)), np.zeros((0, k), np.intp))
    shown = [each.shown for each in parts if each.shown is not None]
    return Lists(
        listed=np.concatenate([each.listed for each in parts]),
        scores=np.concatenate([each.scores for each in parts]),
        items=np.concatenate([each.items for each in parts]),
        shown=pl.concat(shown) if shown else None,
    )


def _key_order(items: pl.Series) -> npt.NDArray[np.int64]:
    """Return the place of each item in the order of keys."""
    return items.rank("ordinal").to_numpy().astype(np.int64)


def _place(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8).digest()
