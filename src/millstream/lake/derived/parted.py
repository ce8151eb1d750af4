"""Making a table in partitions: only those whose rows, code or environment changed, resumed where a kill ended it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl

from millstream.definitions.table import Table
from millstream.errors import BadData, MillstreamError
from millstream.lake.batches import Batches
from millstream.lake.derived.due import Bounds, Due
from millstream.lake.derived.kept import Kept, Result
from millstream.lake.derived.slices import place
from millstream.lake.derived.steps import StepFailed
from millstream.lake.shape import PIECE
from millstream.sources import refuse_change
from millstream.state.runs import Run
from millstream.types import content_hash

Execute = Callable[
    [dict[str, pl.DataFrame], dict[str, str], Mapping[str, str] | None], tuple[pl.DataFrame, tuple[str, ...]]
]
"""Runs a step on frames, with what is said of the partition and the columns it must have; gives rows and files."""
Settle = Callable[[tuple[str, ...]], tuple[dict[str, str], dict[str, str]]]
"""Gives the code and environment that ran, for the files that were imported."""


@dataclass
class Batch:
    """The partitions of one version, as they are made.

    Parameters
    ----------
    table, definition
        What is made, and the hash of its definition.
    due
        What is to be done.
    kept
        Where finished partitions lie.
    environment
        Says for files of code what counts of what is installed.
    execute, settle
        See above.
    tell
        Called with a line as each partition is done.
    """

    table: Table
    definition: str
    due: Due
    kept: Kept
    environment: Callable[[Iterable[str]], dict[str, str]]
    execute: Execute
    settle: Settle
    tell: Callable[[str], object]
    code: dict[str, str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    def make(self, expected: Mapping[str, str] | None) -> Batches:
        """Make every partition that is due; return all their rows.

        Parameters
        ----------
        expected
            Column to type the rows must have; None when the first partition with rows may say.

        Raises
        ------
        StepFailed
            When one failed; those that were finished are kept for the next try.
        """
        columns: dict[str, pl.DataType] = {}
        filled: list[str] = []
        wanted = expected
        count = len(self.due.why)
        for number, (piece, why) in enumerate(self.due.why.items(), 1):
            made, again = self._one(piece, wanted)
            self.code |= made.code
            rows = self.kept.rows(piece)
            if made.rows:
                wanted = wanted or {name: str(kind) for name, kind in rows.schema.items()}
                self._refuse(piece, wanted, rows)
                filled.append(piece)
            if made.rows or not columns:
                columns = dict(rows.schema)
            took = "was finished before" if again else f"took {made.seconds:.1f} s"
            self.tell(f"partition {piece} ({number} of {count}): {why}; {took}")
            self.runs.append(Run(piece, made.seconds, made.rows, why, self.due.rests[piece]))
        self.runs += [Run(piece, 0.0, 0, "no rows of its inputs are left", gone=True) for piece in self.due.gone]
        return Batches({**columns, PIECE: pl.String()}, self._frames(filled))

    def _frames(self, pieces: list[str]) -> Iterator[pl.DataFrame]:
        for piece in pieces:
            yield self.kept.rows(piece).with_columns(pl.lit(piece).alias(PIECE))

    def _one(self, piece: str, expected: Mapping[str, str] | None) -> tuple[Result, bool]:
        """Make one partition, or take what was finished before."""
        bounds = self.due.bounds[piece]
        rests = content_hash([self.definition, self.due.rests[piece]])
        found = self.kept.get(piece, rests=rests, environment=self.environment)
        if found is not None:
            return found, True
        began = time.perf_counter()
        try:
            rows, imported = self.execute(self.due.frames(piece), _about(piece, bounds), expected)
            rows = place(self.table, piece, bounds, rows)
        except StepFailed as failed:
            raise StepFailed(_of(piece, failed.error), failed.files) from None
        except MillstreamError as wrong:
            raise StepFailed(wrong) from None
        seconds = round(time.perf_counter() - began, 3)
        code, environment = self.settle(imported)
        result = Result(piece, rests, code, environment, seconds, rows.height, "")
        return self.kept.put(result, rows), False

    def _refuse(self, piece: str, expected: Mapping[str, str], rows: pl.DataFrame) -> None:
        found = {name: str(kind) for name, kind in rows.schema.items()}
        try:
            refuse_change(expected, found, where=f"table {self.table.name!r}, partition {piece}")
        except BadData as wrong:
            do = (
                f"give what it gave, or take it: millstream refresh {self.table.name} --accept-schema {self.table.name}"
            )
            raise StepFailed(BadData(wrong.happened, expected=wrong.expected, do=do)) from None


def noted(batch: Batch, *, everything: bool) -> dict[str, Any]:
    """Say what of a version in partitions its intent has to know."""
    return {
        "by": PIECE,
        "only": None if everything else [*batch.due.why, *batch.due.gone],
        "runs": [msgspec.to_builtins(each) for each in batch.runs],
    }


def _about(piece: str, bounds: Bounds) -> dict[str, str]:
    low, high = bounds
    span = {"since": low.isoformat(), "until": high.isoformat()} if low is not None and high is not None else {}
    return {"partition": piece, **span}


def _of(piece: str, error: MillstreamError) -> MillstreamError:
    """Say of which partition an error is."""
    return error.but(f"partition {piece}: {error.happened}")
