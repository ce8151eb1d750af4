"""Rows that are too many to hold at once: their columns, and frames that are made one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Batches:
    """Rows in several frames of the same columns, to be taken once."""

    columns: Mapping[str, pl.DataType]
    frames: Iterable[pl.DataFrame]

    @property
    def schema(self) -> pl.Schema:
        """Column to type."""
        return pl.Schema(dict(self.columns))
