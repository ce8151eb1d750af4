"""Rows of lists: what was chosen, and beside it what was there to be chosen and was not.

An item can be chosen by somebody at T if it is known at T and, as known at T, they have not chosen it before. Beside a
row, items are drawn from those by a hash of the model's seed and the row's key: the same row has the same samples
whenever and wherever the set is made, and rows that come later do not move them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.errors import BadData, LeakError
from millstream.features.facts import FOREVER, Codes, Instants, encode_entities, find_entities, read_facts
from millstream.features.listed import SAMPLED
from millstream.features.plan import FeaturePlan, RankingPlan
from millstream.features.ticks import as_believed, timeless
from millstream.lake.frame import TableFrame

_TRIES = 40
"""Draws before every item that is left is looked through."""
_WORD = 0xFFFFFFFFFFFFFFFF


class Choices:
    """The items there are, and who chose which, as known at any instant.

    Parameters
    ----------
    plan
        A plan with a ranking.
    rows, candidates
        The table of choices, and that of the items.

    Attributes
    ----------
    items
        The items in the order in which they became known, then of their key; a place in it names an item.
    known
        Instant each item is known from, microseconds.
    """

    def __init__(self, plan: FeaturePlan, rows: TableFrame, candidates: TableFrame) -> None:
        assert plan.ranking is not None
        self.plan, self.ranking, self.rows, self.candidates = plan, plan.ranking, rows, candidates
        self.items, self.known = known_items(candidates, plan.ranking)
        self._people = rows.frame.select(plan.ranking.by).unique(maintain_order=True).drop_nulls()

    @cached_property
    def _seen(self) -> tuple[npt.NDArray[np.int64], Instants]:
        """Return every choice as somebody's number times the items plus the item's, sorted, and since when known."""
        who, what = self.people(self.rows.frame), self.places(self.rows.frame)
        since = known_since(self.rows, self.ranking)
        there = (who >= 0) & (what >= 0) & (since != FOREVER)
        pair = who[there] * max(len(self.items), 1) + what[there]
        order = np.lexsort((since[there], pair))
        pair, since = pair[order], since[there][order]
        first = np.ones(len(pair), dtype=bool)
        first[1:] = pair[1:] != pair[:-1]
        return pair[first], since[first]

    def people(self, frame: pl.DataFrame) -> Codes:
        """Number who asks, -1 for somebody no choice is known of."""
        return find_entities(self._people, frame.select(self.ranking.by))

    @cached_property
    def met(self) -> Instants:
        """Return from when anything is known of each of those who ask, by their number."""
        since, who = known_since(self.rows, self.ranking), self.people(self.rows.frame)
        first = np.full(len(self._people) + 1, FOREVER)
        np.minimum.at(first, who[who >= 0], since[who >= 0])
        return first

    def known_people(self, frame: pl.DataFrame) -> npt.NDArray[np.bool_]:
        """Say of whom a choice is known at ``decided_at``."""
        return np.asarray(self.met[self.people(frame)] <= frame["decided_at"].to_physical().to_numpy())

    def places(self, frame: pl.DataFrame) -> Codes:
        """Return the place of the item of each row, -1 for one that is no candidate."""
        return find_entities(self.items.select(self.ranking.item), frame.select(self.ranking.item))

    def there(self, at: Instants) -> npt.NDArray[np.int64]:
        """Count the items known at instants: those are the first so many."""
        return np.searchsorted(self.known, at, side="right").astype(np.int64)

    def seen(self, who: Codes, what: Codes, at: Instants) -> npt.NDArray[np.bool_]:
        """Say of which pairs a choice is known at instants."""
        pairs, since = self._seen
        if not len(pairs):
            return np.zeros(len(who), dtype=bool)
        asked = who * len(self.items) + what
        place = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
        return np.asarray((who >= 0) & (what >= 0) & (pairs[place] == asked) & (since[place] <= at))

    def with_columns(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add the columns of each row's item, as believed at ``decided_at``."""
        given = list(self.ranking.given)
        if not given:
            return frame
        key = self.ranking.candidate
        asked = frame.select(pl.col(self.ranking.item).alias(key), "decided_at")
        told = as_believed(self.candidates, asked, given)
        return frame.with_columns(told[name] for name in given)


def choices_and_samples(
    plan: FeaturePlan, shown: pl.DataFrame, rows: TableFrame, candidates: TableFrame | None
) -> pl.DataFrame:
    """Add to choices the rows of items that were not chosen.

    Parameters
    ----------
    plan
        With a ranking.
    shown
        One row a choice: key, who asks, item, ``decided_at``, ``label``, ``label_known_at``.
    rows, candidates
        The tables.

    Returns
    -------
    pl.DataFrame
        Each choice with the columns of its item and ``sampled`` 0, followed by its samples, numbered from 1, whose
        label is false (NULL where the choice has none) and known when the choice's is.

    Raises
    ------
    BadData
        Without the candidates, or for a choice without an item.
    LeakError
        When a choice was known already at its own decision: features of its instant would hold it.
    """
    assert plan.ranking is not None
    if candidates is None:
        raise BadData(f"the rows of {plan.model} need its candidates, table {plan.ranking.candidates!r}")
    item = plan.ranking.item
    missing = shown[item].null_count()
    if missing:
        raise BadData(
            f"{missing} of {len(shown)} choices of table {rows.table!r} have no {item}", expected="an item for each",
            do=f'Each(..., where="{item} is not null")',
        )  # fmt: skip
    choices = Choices(plan, rows, candidates)
    _refuse_known(plan, choices, shown)
    shown = shown.with_columns(pl.lit(0, dtype=pl.Int64).alias(SAMPLED))
    if plan.ranking.negatives and len(shown):
        row, number, place = draw(choices, shown)
        beside = shown[row].with_columns(
            choices.items[item][place],
            pl.Series(SAMPLED, number, dtype=pl.Int64),
            pl.when(pl.col("label").is_not_null()).then(False).alias("label"),
        )
        shown = pl.concat([shown, beside])
    return choices.with_columns(shown).select(
        *dict.fromkeys((*plan.spine_columns, *plan.pair_columns)), SAMPLED, "decided_at", "label", "label_known_at"
    )


def draw(
    choices: Choices, shown: pl.DataFrame
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw the items sampled beside each choice: the choice's row, the sample's number from 1, the item's place.

    Draw number n of a row is ``splitmix64(hash(seed, key) + n)`` modulo the items known; items already seen, chosen at
    the same decision, or drawn before are passed over. Where few are left, the rest is looked through from there on.
    """
    ranking = choices.ranking
    at = shown["decided_at"].to_physical().to_numpy()
    who, own, there = choices.people(shown), choices.places(shown), choices.there(at)
    begun = _hashes(shown, ranking)
    _, code = encode_entities(shown, (*ranking.by, "decided_at"))
    span = max(len(choices.items), 1)
    taken = np.unique((code * span + own)[(code >= 0) & (own >= 0)])
    left = np.flatnonzero(there > 0)
    got = np.zeros(len(shown), dtype=np.int64)
    mine = np.full((len(shown), ranking.negatives), -1, dtype=np.int64)
    for attempt in range(_TRIES * ranking.negatives):
        if not len(left):
            break
        with np.errstate(over="ignore"):
            place = (_mixed(begun[left] + np.uint64(attempt + 1)) % there[left].astype(np.uint64)).astype(np.int64)
        good = ~choices.seen(who[left], place, at[left]) & ~_among(code[left] * span + place, taken)
        good &= ~(mine[left] == place[:, None]).any(axis=1)
        hit = left[good]
        mine[hit, got[hit]] = place[good]
        got[hit] += 1
        left = left[got[left] < ranking.negatives]
    for one in left.tolist():  # hardly anything is left to draw
        first = int(begun[one] % np.uint64(there[one]))
        every = (first + np.arange(there[one])) % there[one]
        alone = np.full(len(every), one)
        good = ~choices.seen(who[alone], every, at[alone]) & ~_among(code[alone] * span + every, taken)
        rest = [each for each in every[good].tolist() if each not in mine[one]][: ranking.negatives - int(got[one])]
        mine[one, got[one] : got[one] + len(rest)] = rest
        got[one] += len(rest)
    row, column = np.nonzero(mine >= 0)
    return row.astype(np.int64), (column + 1).astype(np.int64), mine[row, column]


def _refuse_known(plan: FeaturePlan, choices: Choices, shown: pl.DataFrame) -> None:
    """Refuse choices that are known at their own decision."""
    assert plan.ranking is not None
    rows = choices.rows
    since = pl.Series("__since", known_since(choices.rows, choices.ranking))
    known = rows.frame.select(*rows.key, pl.col(plan.ranking.item).alias("__item")).with_columns(since)
    mine = shown.select(*rows.key, "decided_at", pl.col(plan.ranking.item).alias("__item"))
    both = mine.join(known, on=[*rows.key, "__item"], how="inner", maintain_order="left")
    early = both.filter(pl.col("__since") <= pl.col("decided_at").to_physical())
    if len(early):
        first = early.row(0, named=True)
        named = ", ".join(f"{each}={first[each]!r}" for each in rows.key)
        raise LeakError(
            f"{len(early)} of {len(shown)} choices of table {rows.table!r} are known at their own decision; the first"
            f" is {named}, decided at {first['decided_at'].isoformat()}: features of that instant would hold it",
            expected="decisions before the choice",
            do=f"Each(..., decide_at=\"{plan.ranking.choice_time} - interval '1 second'\")",
        )


def known_since(rows: TableFrame, ranking: RankingPlan) -> Instants:
    """Return from when each row of the table of choices is known to be one; ``FOREVER`` for never."""
    needed = (*ranking.by, ranking.item, ranking.choice_time)
    facts = read_facts(rows, np.zeros(rows.frame.height, dtype=np.int64), waits_for=rows.known_for(needed))
    return np.where(facts.entity >= 0, facts.start, FOREVER)


def known_items(candidates: TableFrame, ranking: RankingPlan) -> tuple[pl.DataFrame, Instants]:
    """Return the items in the order in which they became known, and since when each is."""
    frame, key = candidates.frame, ranking.candidate
    held = timeless(candidates)
    facts = read_facts(held, np.zeros(frame.height, dtype=np.int64), waits_for=held.known_for(held.key))
    told = frame.select(pl.col(key).alias(ranking.item)).with_columns(pl.Series("__known", facts.known))
    told = told.filter(pl.Series(facts.entity >= 0) & pl.col(ranking.item).is_not_null())
    found = told.group_by(ranking.item).agg(pl.col("__known").min()).sort("__known", ranking.item)
    return found.select(ranking.item), found["__known"].to_numpy().astype(np.int64)


def _hashes(shown: pl.DataFrame, ranking: RankingPlan) -> npt.NDArray[np.uint64]:
    """Return a number of 64 bits for the key of each row."""
    columns: Iterable[pl.Expr] = [pl.col(each).cast(pl.String).fill_null("") for each in ranking.choice_key]
    keys = shown.select(pl.concat_str(columns, separator="|").alias("key"))["key"].to_list()
    digests = b"".join(hashlib.blake2b(f"{ranking.seed}|{each}".encode(), digest_size=8).digest() for each in keys)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def _mixed(number: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix bits: SplitMix64's output function (Steele, Lea and Flood, OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        mixed = number * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def _among(asked: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(asked), dtype=bool)
    return np.asarray(known[np.minimum(np.searchsorted(known, asked), len(known) - 1)] == asked)
