"""Where production data comes from.

``Delta`` is attached: a version only names files, nothing is copied. ``Csv`` and ``Parquet`` files are ingested
into the lake, because a plain file can change under one's feet and cannot be pinned.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Delta(msgspec.Struct, frozen=True, tag="delta"):
    """A Delta table read where it lies.

    Parameters
    ----------
    path
        Folder of the table, relative to the project or absolute.
    """

    path: str


class Csv(msgspec.Struct, frozen=True, tag="csv"):
    """A CSV file or glob, ingested.

    Parameters
    ----------
    path
        File or glob, relative to the project or absolute.
    null_values
        Texts that mean NULL.
    separator
        One character between fields.
    """

    path: str
    null_values: tuple[str, ...] = ("", "NA")
    separator: str = ","


class Parquet(msgspec.Struct, frozen=True, tag="parquet"):
    """A Parquet file or glob, ingested.

    Parameters
    ----------
    path
        File or glob, relative to the project or absolute.
    """

    path: str


Source: TypeAlias = Delta | Csv | Parquet
