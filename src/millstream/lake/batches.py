"""Rows that are too many to hold at once: their columns, and frames that are made one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from millstream.state.taken import Landed
from millstream.state.versions import DataFile


@dataclass(frozen=True)
class Batches:
    """Rows in several frames of the same columns, to be taken once."""

    columns: Mapping[str, pl.DataType]
    frames: Iterable[pl.DataFrame]

    @property
    def schema(self) -> pl.Schema:
        """Column to type."""
        return pl.Schema(dict(self.columns))


@dataclass(frozen=True)
class Shelved:
    """Rows that are in data files of the table's folder already, and files whose rows go when they come.

    ``anew`` says that these are the same rows, only written anew.
    """

    schema: pl.Schema
    files: Sequence[Landed]
    removed: Sequence[DataFile]
    anew: bool = False


def peeked(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame] | None:
    """Return the frames that have rows, the first of them made already; None where there is none."""
    filled = (each for each in frames if each.height)
    first = next(filled, None)
    return None if first is None else itertools.chain([first], filled)
