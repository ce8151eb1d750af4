"""Where production data comes from.

``Delta`` is attached: a version only names files, nothing is copied. ``Csv``, ``Json`` and ``Parquet`` files and tables
of a ``Postgres`` database are ingested into the lake, because they can change under one's feet and cannot be pinned. So
is what another database (``Sql``) or a resource of dlt (``Dlt``) gives; see ``definitions.databases``.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from millstream.definitions.databases import Dlt, Postgres, Sql
from millstream.errors import DefinitionError, near
from millstream.types import DType

__all__ = ["Csv", "Delta", "Dlt", "Files", "Json", "Parquet", "Posted", "Postgres", "Source", "Sql"]


class Delta(msgspec.Struct, frozen=True, tag="delta"):
    """A Delta table read where it lies.

    Parameters
    ----------
    path
        Folder of the table, relative to the project or absolute.
    without
        Columns that are not read: lists, structs, bytes, what nobody here should see.
    """

    path: str
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.without, str):
            raise DefinitionError(f"sources.Delta has without={self.without!r}", expected=f"({self.without!r},)")


class Csv(msgspec.Struct, frozen=True, tag="csv"):
    """A CSV file or glob, plain, ``.gz``, ``.bz2``, ``.xz`` or ``.zst``, ingested; blank lines are no rows.

    Numbers, truth values and times as ISO 8601 writes them (``2024-01-31T10:00:00Z``) are found without being named;
    other times are text until ``times`` says how they are written, because days and months are never guessed.

    Parameters
    ----------
    path
        File or glob, relative to the project or absolute (``**/`` is any folders), or in an object store:
        ``"s3://bucket/day=*/part-*.csv.gz"``.
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
    columns
        Columns to take; all when left out. Others are not kept (and of Parquet not read).
    folders
        Parts of the path that become text columns: ``("day",)`` for files in ``day=2024-01-01/``. All other words hold
        for them too.
    arrived
        A column to add with the instant at which the file was last written: a known-at for files that come late.
    mirror
        Let the rows of a file go when the file is gone. Otherwise they stay, because a delivery that was tidied away
        was made all the same.
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
    columns: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    arrived: str = ""
    mirror: bool = False


class Json(msgspec.Struct, frozen=True, tag="json"):
    """A file or glob of JSON lines, plain or packed as of ``Csv``, ingested: one object a line, one row.

    Objects inside are laid flat: ``{"at": {"lat": 1}}`` is column ``at_lat``. Lists are kept as JSON text. A field that
    a line lacks is NULL; a field that no line had before is refused by name.

    Parameters
    ----------
    path
        File or glob, as of ``Csv``.
    times
        Text or number column to the formats its times are written in, as of ``Csv``. Others are text.
    rename
        Name in the file, laid flat, to name in the table; all other words here use the file's names.
    row_number
        A column to add that numbers the rows from 1, for a file without a key. Rows may only be added at its end.
    texts
        Columns to keep as text.
    without
        Columns that are not taken in.
    columns
        Columns to take; all when left out. Others are not kept (and of Parquet not read).
    folders
        Parts of the path that become text columns: ``("day",)`` for files in ``day=2024-01-01/``. All other words hold
        for them too.
    arrived
        A column to add with the instant at which the file was last written: a known-at for files that come late.
    mirror
        Let the rows of a file go when the file is gone. Otherwise they stay, because a delivery that was tidied away
        was made all the same.
    """

    path: str
    times: dict[str, tuple[str, ...]] = {}
    rename: dict[str, str] = {}
    row_number: str = ""
    texts: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    arrived: str = ""
    mirror: bool = False


class Parquet(msgspec.Struct, frozen=True, tag="parquet"):
    """A Parquet file or glob, ingested, or attached where its files never change.

    Parameters
    ----------
    path
        File or glob, as of ``Csv``.
    times
        Text, date or number column to the formats its times are written in, as of ``Csv``; ``"date"`` makes a date
        the instant its day begins.
    rename
        Name in the file to name in the table; all other words here use the file's names.
    row_number
        A column to add that numbers the rows from 1, for a file without a key. Rows may only be added at its end.
    texts
        Columns to keep as text, such as whole numbers beyond 64 bits. Lists of numbers become JSON texts, of which the
        SQL of a derived table makes arrays: ``cast(e as float[16])``.
    without
        Columns that are not taken in, such as lists, which the row language does not have.
    attach
        Read the files where they lie, as they are; a version is the list of them with their hashes, and nothing is
        copied. For files that are written once: new ones make a new version, one that changed is refused by name.
    columns
        Columns to take; all when left out. Others are not kept (and of Parquet not read).
    folders
        Parts of the path that become text columns: ``("day",)`` for files in ``day=2024-01-01/``. All other words hold
        for them too.
    arrived
        A column to add with the instant at which the file was last written: a known-at for files that come late.
    mirror
        Let the rows of a file go when the file is gone. Otherwise they stay, because a delivery that was tidied away
        was made all the same.
    """

    path: str
    times: dict[str, tuple[str, ...]] = {}
    rename: dict[str, str] = {}
    row_number: str = ""
    texts: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    arrived: str = ""
    mirror: bool = False
    attach: bool = False

    def __post_init__(self) -> None:
        words = ("times", "rename", "row_number", "texts", "columns", "folders", "arrived", "mirror")
        said = [each for each in words if getattr(self, each)]
        if self.attach and said:
            raise DefinitionError(
                f"sources.Parquet({self.path!r}) is attached, and has {', '.join(said)}",
                expected="files that are read as they are; without=(...) leaves columns out",
                do="columns={...} of the table computes what they should say, or leave out attach=True",
            )


class Posted(msgspec.Struct, frozen=True, tag="posted"):
    """Rows that are posted, one fact at a time: ``POST /v1/tables/{table}/rows``.

    Tables of files take posted rows too, beside what their files bring.

    Parameters
    ----------
    columns
        Column to type: ``bigint``, ``double``, ``varchar``, ``boolean``, ``timestamptz`` or ``date``.
    arrived
        A column to add with the instant at which a row came: a known-at for facts that come late. Empty for none.
    """

    columns: dict[str, DType]
    arrived: str = ""

    def __post_init__(self) -> None:
        for name, kind in self.columns.items():
            if kind not in TYPES:
                raise DefinitionError(
                    f"sources.Posted has column {name!r} of type {kind!r}",
                    expected=", ".join(TYPES),
                    do=near(kind, TYPES),
                )
        if not self.columns or self.arrived in self.columns:
            wrong = f"{self.arrived!r} twice" if self.columns else "no columns"
            raise DefinitionError(f"sources.Posted has {wrong}", expected="columns={'id': 'bigint', ...}, each once")


TYPES: tuple[DType, ...] = ("bigint", "double", "varchar", "boolean", "timestamptz", "date")
"""Types that a posted column may have."""
Files: TypeAlias = Csv | Json | Parquet
Source: TypeAlias = Delta | Csv | Json | Parquet | Posted | Postgres | Sql | Dlt
