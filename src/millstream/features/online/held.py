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

from millstream.lake.frame import TableFrame

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
        self._parts.append(_Part(rows.select(self._like.frame.columns)))
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
        if key:
            mine = pl.concat(each.frame.select(key)[places] for each, places in found)
            more = self._found(key, mine.unique())
            found = [(part, np.union1d(some, others)) for (part, some), (_, others) in zip(found, more, strict=True)]
        return replace(self._like, frame=pl.concat(each.frame[places] for each, places in found))

    def _found(self, columns: tuple[str, ...], values: pl.DataFrame) -> list[tuple[_Part, npt.NDArray[np.int64]]]:
        wanted = values.select(columns).drop_nulls().unique()
        return [(each, each.places(columns, wanted)) for each in self._parts]


class _Part:
    """Rows that came together, and where each entity's are."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self._hashes: dict[tuple[str, ...], tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]] = {}

    @property
    def bytes(self) -> int:
        return int(self.frame.estimated_size()) + sum(
            hashes.nbytes + order.nbytes for hashes, order in self._hashes.values()
        )

    def places(self, columns: tuple[str, ...], wanted: pl.DataFrame) -> npt.NDArray[np.int64]:
        """Find the rows of some values, in order. A hash that two values share is told apart by the values."""
        if not self.frame.height or not wanted.height:
            return np.empty(0, dtype=np.int64)
        if columns not in self._hashes:
            hashes = self.frame.select(columns).hash_rows().to_numpy()
            order = np.argsort(hashes, kind="stable")
            self._hashes[columns] = hashes[order], order
        hashes, order = self._hashes[columns]
        asked = np.unique(wanted.hash_rows().to_numpy())
        starts, stops = np.searchsorted(hashes, asked, side="left"), np.searchsorted(hashes, asked, side="right")
        places = order[_ranges(starts, stops)]
        places.sort()
        rows = self.frame.select(columns)[places].with_columns(pl.Series(_PLACE, places, dtype=pl.Int64))
        return rows.join(wanted, on=columns, how="semi", maintain_order="left")[_PLACE].to_numpy()


def _ranges(starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count from each start to before its stop, one range behind the other.

    >>> _ranges(np.array([0, 5]), np.array([2, 7])).tolist()
    [0, 1, 5, 6]
    """
    lengths = stops - starts
    total = int(lengths.sum())
    ends = np.cumsum(lengths)
    return np.arange(total) - np.repeat(ends - lengths, lengths) + np.repeat(starts, lengths)


def distinct(frames: Iterable[pl.DataFrame], columns: tuple[str, ...]) -> pl.DataFrame:
    """Return the distinct entities that some rows are about; a NULL names nobody."""
    return pl.concat(each.select(columns) for each in frames).drop_nulls().unique()
