"""A first look at a Delta table that no project has attached yet."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from millstream.definitions.sources import Delta
from millstream.definitions.table import Table
from millstream.lake.cache import FileCache
from millstream.lake.delta import DeltaLog
from millstream.lake.files import FileReader, empty, ordered
from millstream.lake.shape import compile_shape
from millstream.lake.spare import Folders


def peek(folder: Path, *, timezone: str, at_least: int) -> pl.DataFrame:
    """Read the first files of a Delta table's newest version, until there are enough rows.

    Parameters
    ----------
    folder
        Of the table.
    timezone
        Zone of its naive times.
    at_least
        Rows that are enough.

    Raises
    ------
    BadData
        For a folder without a readable log, or a column whose type the row language has not.
    """
    where = f"the Delta table {folder.name}"
    head = DeltaLog(folder).head()
    shape = compile_shape(Table("peek", source=Delta(str(folder)), timezone=timezone), empty(head.columns, where=where))
    reader = FileReader(FileCache(), Folders(folder, folder), head.columns, where=where)
    frames: list[pl.DataFrame] = []
    for each in ordered(list(head.files.values())):
        frames += [rows.frame for rows in reader.rows([each], shape, digest="peek")]
        if sum(frame.height for frame in frames) >= at_least:
            break
    return pl.concat(frames) if frames else empty(head.columns, where=where)
