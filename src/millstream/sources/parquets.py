"""Parquet files in frames: only the columns wanted are read, a few row groups at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from millstream.definitions.sources import Parquet
from millstream.errors import BadData, near
from millstream.sources.texts import as_json

ROWS = 500_000
"""Rows of a frame; fewer where there are many columns."""
_CELLS = 20_000_000
_ELEMENTS = 100
"""How many columns a list is taken to be worth."""


def parquet_frames(file: Path, source: Parquet, *, where: str) -> Iterator[pl.DataFrame]:
    """Read a file in frames of the columns wanted.

    Raises
    ------
    BadData
        For a file that is no Parquet, is cut short, or lacks a column wanted.
    """
    try:
        kinds = pl.read_parquet_schema(file)
        inside = [each for each in source.columns if each not in source.folders]
        for each in (*inside, *source.without):
            if each not in kinds:
                raise BadData(f"{file} of {where} has no column {each!r}", do=near(each, kinds))
        wanted = [each for each in kinds if each not in source.without and (not inside or each in inside)]
        lists = [each for each in wanted if each in source.texts and _listed(kinds[each])]
        _refuse_nested({each: kinds[each] for each in wanted if each not in lists}, file, where=where)
        rows = max(1_000, min(ROWS, _CELLS // max(1, len(wanted) + _ELEMENTS * len(lists))))
        scan = pl.scan_parquet(file, glob=False, hive_partitioning=False).select(wanted)
        count, start = scan.select(pl.len()).collect().item(), 0
        while start < count or not start:
            yield scan.slice(start, rows).collect().with_columns(as_json(each) for each in lists)
            start += rows
    except (pl.exceptions.ComputeError, OSError) as wrong:
        if isinstance(wrong, FileNotFoundError | PermissionError):
            raise
        raise BadData(
            f"{file} of {where} is not Parquet, or cut short: {str(wrong).splitlines()[0]}",
            expected="a whole Parquet file",
            do="copy or export it again",
        ) from None


def _listed(kind: pl.DataType) -> bool:
    """Say whether a type is a list or array of numbers, which can be kept as text."""
    return isinstance(kind, pl.List | pl.Array) and kind.inner.is_numeric()


def _refuse_nested(kinds: dict[str, pl.DataType], file: Path, *, where: str) -> None:
    for name, kind in kinds.items():
        if kind.is_nested() or kind == pl.Binary:
            cast = f"cast({name} as float[{kind.size if isinstance(kind, pl.Array) else 'N'}])"
            other = f", or texts=({name!r},): as text, '[0.5, 0.25]', of which a derived table makes an array: {cast}"
            raise BadData(
                f"column {name!r} of {file} of {where} is a {kind}",
                expected="numbers, texts, booleans, dates or times",
                do=f"without=({name!r},) in its source{other if _listed(kind) else ''}",
            )
