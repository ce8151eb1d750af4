"""Where production data comes from.

``Delta`` is attached: a version only names files, nothing is copied. ``Csv`` and ``Parquet`` files and tables of a
``Postgres`` database are ingested into the lake, because they can change under one's feet and cannot be pinned. So is
what another database (``Sql``) or a resource of dlt (``Dlt``) gives; see ``definitions.databases``.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from millstream.definitions.databases import Dlt, Postgres, Sql

__all__ = ["Csv", "Delta", "Dlt", "Parquet", "Postgres", "Source", "Sql"]


class Delta(msgspec.Struct, frozen=True, tag="delta"):
    """A Delta table read where it lies.

    Parameters
    ----------
    path
        Folder of the table, relative to the project or absolute.
    """

    path: str


class Csv(msgspec.Struct, frozen=True, tag="csv"):
    """A CSV file or glob, plain or ``.gz``, ingested; lines without any value are no rows.

    Numbers, truth values and times as ISO 8601 writes them (``2024-01-31T10:00:00Z``) are found without being named;
    other times are text until ``times`` says how they are written, because days and months are never guessed.

    Parameters
    ----------
    path
        File or glob, relative to the project or absolute.
    null_values
        Texts that mean NULL.
    separator
        One character between fields.
    encoding
        How text is written: ``utf-8``, or an 8-bit one such as ``cp1252``.
    decimal, thousands
        Character before the fraction, and the one between groups of three digits, in the columns of ``numbers``.
    numbers
        Columns that are numbers although their texts have a decimal comma, thousands separators, spaces around them,
        or a percent or currency sign, which is left out (``12%`` is 12).
    times
        Column to the formats its times are written in (``"%d.%m.%Y %H:%M"``; ``"epoch_s"`` and ``"epoch_ms"`` for
        seconds and milliseconds since 1970), tried in order. Naive times are read in the table's ``timezone``.
    rename
        Name in the file to name in the table; all other words here use the file's names.
    row_number
        A column to add that numbers the rows from 1, for a file without a key. Rows may only be added at its end.
    texts
        Columns that are text although they look like numbers: ``02139``, or whole numbers beyond 64 bits.
    nulls
        Column to the texts that mean NULL in it alone: ``{"amount": ("-", "unknown")}``.
    """

    path: str
    null_values: tuple[str, ...] = ("", "NA")
    separator: str = ","
    encoding: str = "utf-8"
    decimal: str = "."
    thousands: str = ""
    numbers: tuple[str, ...] = ()
    times: dict[str, tuple[str, ...]] = {}
    rename: dict[str, str] = {}
    row_number: str = ""
    texts: tuple[str, ...] = ()
    nulls: dict[str, tuple[str, ...]] = {}


class Parquet(msgspec.Struct, frozen=True, tag="parquet"):
    """A Parquet file or glob, ingested.

    Parameters
    ----------
    path
        File or glob, relative to the project or absolute.
    times
        Text, date or number column to the formats its times are written in, as of ``Csv``; ``"date"`` makes a date
        the instant its day begins.
    rename
        Name in the file to name in the table; all other words here use the file's names.
    row_number
        A column to add that numbers the rows from 1, for a file without a key. Rows may only be added at its end.
    texts
        Columns to keep as text, such as whole numbers beyond 64 bits.
    without
        Columns that are not taken in, such as lists, which the row language does not have.
    """

    path: str
    times: dict[str, tuple[str, ...]] = {}
    rename: dict[str, str] = {}
    row_number: str = ""
    texts: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


Source: TypeAlias = Delta | Csv | Parquet | Postgres | Sql | Dlt
