"""A table of a database as one names it to ``init --from``: read, and written into the project without its password."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import msgspec
import polars as pl

from millstream.cli.starting import names
from millstream.cli.starting.given import Database, Given, take
from millstream.definitions.sources import Postgres
from millstream.errors import BadData, UserError
from millstream.expressions import door
from millstream.sources.copied import REFUSED, Field
from millstream.sources.instants import instants
from millstream.sources.texts import settle
from millstream.sources.told import Told

MOST_ROWS = 1_000_000
"""Rows that are looked at; of a larger table a random part is."""
_PASSWORD = re.compile(r"(?<=://)([^:/@?]*):([^@]*)@|([?&]password=)([^&]*)")


@dataclass(frozen=True)
class Asked:
    """A table of a database.

    Parameters
    ----------
    address
        ``postgresql://...``, as it was typed.
    table
        Its name, with or without schema.
    """

    address: str
    table: str


def asked(data: Sequence[str], tables: Sequence[str]) -> tuple[Path | Asked, ...]:
    """Tell files from tables of a database.

    Raises
    ------
    UserError
        For an address without tables, tables without an address, or two addresses.
    """
    addresses = [each for each in data if is_address(each)]
    if len(addresses) > 1:
        raise UserError("--from names two databases", expected="one, with --table for each of its tables")
    if tables and not addresses:
        raise UserError(f"--table {tables[0]} without a database", expected="--from postgresql://user@host/database")
    found: list[Path | Asked] = []
    for each in data:
        if is_address(each):
            found += [Asked(each, table) for table in tables or ("",)]
        else:
            found.append(Path(each))
    return tuple(found)


def is_address(text: str) -> bool:
    """Say whether what follows ``--from`` is the address of a database."""
    return text.startswith(("postgresql://", "postgres://"))


def unwritten(address: str) -> tuple[str, str, str]:
    """Take the password out of an address.

    Returns
    -------
    tuple
        What the project calls the database; its address, with an environment variable for a password that was given;
        that variable's name, empty where there was none. The variable is set for this process.
    """
    path = address.partition("://")[2].partition("?")[0].rpartition("@")[2].partition("/")[2]
    name = names.plain(path, fallback="database")
    found = _PASSWORD.search(address)
    password = (found.group(2) or found.group(4) or "") if found else ""
    written = re.fullmatch(r"\$\{(\w+)\}", password)
    if found is None or not password or written:
        return name, address, written.group(1) if written else ""
    variable = f"{name.upper()}_PASSWORD"
    os.environ[variable] = unquote(password)
    said = f"{found.group(1)}:${{{variable}}}@" if found.group(2) else f"{found.group(3)}${{{variable}}}"
    return name, address[: found.start()] + said + address[found.end() :], variable


def take_all(
    data: Sequence[Path | Asked], *, folder: Path, timezone: str, ways: Mapping[str, str] | None = None
) -> list[Given]:
    """Read files and tables of a database. Raises what ``given.take`` and ``take_table`` raise."""
    found: list[Given] = []
    for each in data:
        taken = [one.name for one in found]
        if isinstance(each, Asked):
            found.append(take_table(each, taken=taken, timezone=timezone))
        else:
            found += take([each], folder=folder, timezone=timezone, ways=ways, taken=taken)
    return found


def take_table(wanted: Asked, *, taken: Sequence[str], timezone: str) -> Given:
    """Read a table of a database, and what the database says about it.

    Raises
    ------
    NotFound
        For a table that is not there, naming near ones.
    UserError
        When no table was named, saying which there are.
    Unavailable, Refused, BadData
        For a server that is not there or does not let one in, and for rows that cannot be kept.
    """
    from millstream.sources.constraints import constraints
    from millstream.sources.database import opened
    from millstream.sources.postgres import Reading, described, tables

    database, address, variable = unwritten(wanted.address)
    where = wanted.table or f"database {database}"
    with opened(address, where=where) as connection:
        if not wanted.table:
            there = tables(connection)
            raise UserError(
                f"--from names the database {database!r} and no table of it",
                expected=f"--table NAME: {', '.join(there[:20]) or 'it has none'}{' ...' if len(there) > 20 else ''}",
            )
        source = Postgres(wanted.table, database)
        fields = described(connection, source, where=where)
        kept = tuple(each.name for each in fields if each.kind not in REFUSED)
        if len(kept) < len(fields):
            source = msgspec.structs.replace(source, columns=kept)
        told = constraints(connection, wanted.table)
        share = None if told.rows <= MOST_ROWS else 0.99 * MOST_ROWS / told.rows
        with tempfile.TemporaryDirectory() as folder:
            reading = Reading(connection, source, where=where)
            with closing(reading.copy(order=told.key, since=None, folder=Path(folder), share=share)) as copied:
                frames = list(copied.frames())
    if not frames:
        raise BadData(f"{where} is empty: the table has no rows", expected="at least one row")
    raw = pl.concat(frames)
    times = instants(raw)
    rename = names.renamed(raw.columns)
    source = msgspec.structs.replace(source, times=times.formats, rename=rename)
    settled = settle(raw, source, where=where)
    says = [*_says(told, fields, looked_at=raw.height), *times.says]
    return Given(
        names.of_table(wanted.table.rpartition(".")[2], taken),
        Path(wanted.table),
        source,
        door.frame(settled, timezone=timezone, where=where),
        naive=any(isinstance(kind, pl.Datetime) and kind.time_zone is None for kind in settled.schema.values()),
        says=tuple(says),
        uncertain=times.uncertain,
        told=_renamed(told, rename),
        database=Database(database, address, variable),
    )


def refuse_repeats(given: Given, key: Sequence[str]) -> None:
    """Refuse a key that names rows in the part that was looked at, and not in the whole table.

    Raises
    ------
    UserError
        Asking for the key.
    """
    from millstream.sources.constraints import repeated
    from millstream.sources.database import opened

    told, source = given.told, given.source
    if told is None or given.database is None or not isinstance(source, Postgres) or tuple(key) == told.key:
        return
    if told.rows <= given.frame.height:
        return
    own = {new: name for name, new in source.rename.items()}
    with opened(given.database.address, where=source.table) as connection:
        if repeated(connection, source.table, [own.get(each, each) for each in key]):
            raise UserError(
                f"{source.table} has no key that the database or its rows tell: {' + '.join(key)} repeats in it",
                expected="columns that name a row",
                do="--key COLUMN (or --key A --key B)",
            )


def _says(told: Told, fields: Sequence[Field], *, looked_at: int) -> list[str]:
    """Say what the database itself said."""
    said = [f"in the database: {told.comments['']}"] if "" in told.comments else []
    if looked_at < told.rows:
        said.append(f"{looked_at:,} of its rows, chosen by chance, were looked at; the key holds for all")
    refused = [f"{each.name} ({each.kind})" for each in fields if each.kind in REFUSED]
    if refused:
        said.append(f"not read, because it cannot be kept: {', '.join(refused)}")
    said += [f"foreign key: {each.column} names a row of {each.table} by {each.to}" for each in told.references]
    return said


def _renamed(told: Told, rename: dict[str, str]) -> Told:
    """Give columns the names of the table."""
    return msgspec.structs.replace(
        told,
        key=tuple(rename.get(each, each) for each in told.key),
        required=tuple(rename.get(each, each) for each in told.required),
        references=tuple(
            msgspec.structs.replace(each, column=rename.get(each.column, each.column)) for each in told.references
        ),
        comments={rename.get(name, name): said for name, said in told.comments.items()},
    )
