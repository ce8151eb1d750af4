"""Which row of a table that is valid from a time held, and was known, at each instant.

A belief is a row of one key and one ``valid_from``; a later-known row of the same corrects it. At an instant, of what
is believed then, the row that began to hold last and has not ended holds. ``timeline`` turns rows into changes of that:
an as-of join with them finds, for a fact, what held at its time and was known then: no later row, no late-known one.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

SINCE = "__valid_since"
"""Column of a timeline: from when on its row holds."""


@dataclass(frozen=True)
class Validity:
    """How rows of a table hold.

    Parameters
    ----------
    by
        Columns by which a fact finds its rows.
    valid_from, valid_to
        Its columns; ``valid_to`` may be left out.
    known
        Known-at columns; the latest counts, and one that is NULL is never known.
    """

    by: tuple[str, ...]
    valid_from: str
    valid_to: str | None
    known: tuple[str, ...]


def timeline(rows: pl.DataFrame, said: Validity) -> pl.DataFrame:
    """Return the changes of what holds: the rows with ``SINCE``, and all NULL but the key where nothing holds any more.

    Costs one pass over the sorted rows; n log n in rows of one key.
    """
    known = [pl.col(each).to_physical() for each in said.known]
    never = pl.any_horizontal([pl.lit(False), *(each.is_null() for each in known)])
    latest = pl.max_horizontal([pl.lit(0, dtype=pl.Int64), *known])
    start = pl.col(said.valid_from).to_physical()
    end = pl.lit(None, dtype=pl.Int64) if said.valid_to is None else pl.col(said.valid_to).to_physical()
    named = pl.all_horizontal(pl.col(each).is_not_null() for each in (*said.by, said.valid_from))
    facts = (
        rows.with_row_index("__row")
        .filter(named & ~never)
        .select("__row", *said.by, __from=start, __to=end, __use=pl.max_horizontal([start, *known]), __known=latest)
        .sort("__use", "__known", "__row")
    )
    groups: dict[tuple[object, ...], list[tuple[int, int, int, int | None]]] = defaultdict(list)
    for *key, row, begin, use, until in facts.select(*said.by, "__row", "__from", "__use", "__to").iter_rows():
        groups[tuple(key)].append((use, begin, row, until))
    found = [(row, since, each[0][2]) for each in groups.values() for since, row in _changes(each)]
    picked = pl.DataFrame(
        {"__row": [each[0] for each in found], SINCE: [each[1] for each in found], "__of": [each[2] for each in found]},
        schema={"__row": pl.UInt32, SINCE: pl.Int64, "__of": pl.UInt32},
    )
    index = rows.with_row_index("__row")
    whole = picked.join(index.drop(said.by), on="__row", how="left", maintain_order="left")
    keys = index.select(pl.col("__row").alias("__of"), *said.by)
    made = whole.join(keys, on="__of", how="left", maintain_order="left")
    return made.select(*rows.columns, pl.col(SINCE).cast(rows.schema[said.valid_from]))


def _changes(facts: Sequence[tuple[int, int, int, int | None]]) -> list[tuple[int, int | None]]:
    """Return when which row of one key begins to hold; None where none does. ``facts`` are sorted by their use."""
    events = sorted(
        {each[0] for each in facts} | {each[3] for each in facts if each[3] is not None and each[3] > each[0]}
    )
    believed: dict[int, int] = {}
    open_: list[tuple[int, int, int | None]] = []  # (-begin, row, until), the latest to begin first
    found: list[tuple[int, int | None]] = []
    place, last = 0, None
    for at in events:
        while place < len(facts) and facts[place][0] <= at:
            _, begin, row, until = facts[place]
            believed[begin] = row
            heapq.heappush(open_, (-begin, -row, until))
            place += 1
        while open_ and (believed[-open_[0][0]] != -open_[0][1] or (open_[0][2] is not None and open_[0][2] <= at)):
            heapq.heappop(open_)
        now = -open_[0][1] if open_ else None
        if now != last:
            found.append((at, now))
            last = now
    return found
