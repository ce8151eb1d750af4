"""The facts behind a table's served features, held so that those of a few entities are found at once.

Rows lie in the order in which they came, as the lake reads them. Beside them stand, for each way to name an entity and
for the table's key, the hashes of what they are about in ascending order: finding an entity is a binary search in each
part. A part that new rows made is merged with the one before it when it has grown half as large, so there are few.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.features.intervals import ascending
from millstream.lake.frame import TableFrame

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_PLACE = "__place"


class Held:
    """Rows of one table.

    Parameters
    ----------
    rows
        What the lake read at a version, with what was posted since.
    posted
        Number of the last posted row among them.
    """

    def __init__(self, rows: TableFrame, *, posted: int) -> None:
        self._like = replace(rows, frame=rows.frame.clear())
        self._parts = [_Part(rows.frame)]
        self._again = self._repeated(self._parts[0], [])
        self.version = rows.version
        self.posted = posted

    @property
    def key(self) -> tuple[str, ...]:
        """Columns by which a row corrects another."""
        return self._like.key

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(each.frame.height for each in self._parts)

    @property
    def bytes(self) -> int:
        """Their size in memory, indices included."""
        return sum(each.bytes for each in self._parts)

    def add(self, rows: pl.DataFrame, *, posted: int) -> None:
        """Take rows that came after all others."""
        self.posted = posted
        if not rows.height:
            return
        new = _Part(rows.select(self._like.frame.columns))
        self._again = ascending(np.concatenate([self._again, self._repeated(new, self._parts)]))
        self._parts.append(new)
        while len(self._parts) > 1 and 2 * self._parts[-1].frame.height >= self._parts[-2].frame.height:
            last, before = self._parts.pop(), self._parts.pop()
            self._parts.append(_Part(pl.concat([before.frame, last.frame], rechunk=False)))

    def leave_out(self, keys: pl.DataFrame) -> None:
        """Let go of the rows of some keys."""
        gone = keys.unique()
        self._parts = [_Part(each.frame.join(gone, on=keys.columns, how="anti", maintain_order="left"))
                       for each in self._parts]  # fmt: skip

    def about(self, columns: tuple[str, ...], values: pl.DataFrame) -> pl.DataFrame:
        """Return the rows whose columns hold one of some values, in the order in which they came."""
        return pl.concat(each.frame[places] for each, places in self._found(columns, values))

    def of(self, entity: tuple[str, ...], entities: pl.DataFrame) -> TableFrame:
        """Return all that is needed to say what is known of some entities: their rows, and what corrects these."""
        found = self._found(entity, entities)
        key = self._like.key
        if key and len(self._again):
            mine = [each.frame.select(key)[places[_within(each.hashes(key)[places], self._again)]]
                    for each, places in found]  # fmt: skip
            more = self._found(key, pl.concat(mine))
            found = [(part, ascending(np.concatenate([some, others])))
                     for (part, some), (_, others) in zip(found, more, strict=True)]  # fmt: skip
        return replace(self._like, frame=pl.concat(each.frame[places] for each, places in found))

    def _repeated(self, new: _Part, others: list[_Part]) -> npt.NDArray[np.uint64]:
        """Return the hashes of keys that come twice in a part, or that are in others too: what may be corrected."""
        key = self._like.key
        if not key:
            return np.empty(0, dtype=np.uint64)
        mine = new.sorted(key)[0]
        twice = mine[1:][mine[1:] == mine[:-1]]
        return ascending(np.concatenate([twice, *(mine[_within(mine, each.sorted(key)[0])] for each in others)]))

    def _found(self, columns: tuple[str, ...], values: pl.DataFrame) -> list[tuple[_Part, npt.NDArray[np.int64]]]:
        wanted = values.select(columns).drop_nulls()
        return [(each, each.places(columns, wanted)) for each in self._parts]


class _Part:
    """Rows that came together, and where each entity's are."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self._hashes: dict[tuple[str, ...], Hashes] = {}
        self._sorted: dict[tuple[str, ...], tuple[Hashes, Places]] = {}

    @property
    def bytes(self) -> int:
        """Size in memory."""
        indices = sum(hashes.nbytes + order.nbytes for hashes, order in self._sorted.values())
        return int(self.frame.estimated_size()) + indices + sum(each.nbytes for each in self._hashes.values())

    def hashes(self, columns: tuple[str, ...]) -> Hashes:
        """Return the hash of what each row is about."""
        if columns not in self._hashes:
            self._hashes[columns] = self.frame.select(columns).hash_rows().to_numpy()
        return self._hashes[columns]

    def sorted(self, columns: tuple[str, ...]) -> tuple[Hashes, Places]:
        """Return these hashes ascending, and the rows they are of."""
        if columns not in self._sorted:
            hashes = self.hashes(columns)
            order = np.argsort(hashes, kind="stable")
            self._sorted[columns] = hashes[order], order
        return self._sorted[columns]

    def places(self, columns: tuple[str, ...], wanted: pl.DataFrame) -> Places:
        """Find the rows of some values, in order. A hash that two values share is told apart by the values."""
        if not self.frame.height or not wanted.height:
            return np.empty(0, dtype=np.int64)
        hashes, order = self.sorted(columns)
        asked = ascending(wanted.hash_rows().to_numpy())
        starts, stops = np.searchsorted(hashes, asked, side="left"), np.searchsorted(hashes, asked, side="right")
        places = order[_ranges(starts, stops)]
        places.sort()
        rows = self.frame.select(columns)[places].with_columns(pl.Series(_PLACE, places, dtype=pl.Int64))
        return rows.join(wanted, on=columns, how="semi", maintain_order="left")[_PLACE].to_numpy()


def _within(values: Hashes, among: Hashes) -> npt.NDArray[np.bool_]:
    """Say which values are among others, which ascend."""
    if not len(among):
        return np.zeros(len(values), dtype=bool)
    found: npt.NDArray[np.bool_] = among[np.minimum(np.searchsorted(among, values), len(among) - 1)] == values
    return found


def _ranges(starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count from each start to before its stop, one range behind the other.

    >>> _ranges(np.array([0, 5]), np.array([2, 7])).tolist()
    [0, 1, 5, 6]
    """
    lengths = stops - starts
    total = int(lengths.sum())
    ends = np.cumsum(lengths)
    places: Places = np.arange(total) - np.repeat(ends - lengths, lengths) + np.repeat(starts, lengths)
    return places


def distinct(frames: Iterable[pl.DataFrame], columns: tuple[str, ...]) -> pl.DataFrame:
    """Return the distinct entities that some rows are about; a NULL names nobody."""
    return pl.concat(each.select(columns) for each in frames).drop_nulls().unique()
