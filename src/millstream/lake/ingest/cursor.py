"""From where on a database is read: behind the largest value seen, unless that went back or lies in the future."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from millstream.definitions.databases import Relational
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, StorageFull
from millstream.lake.ingest.past import Past
from millstream.sources.reading import Reading, Tell
from millstream.types import parse_duration


class Cursor:
    """How far a table was read, and what of it is gone.

    Parameters
    ----------
    table, source
        The definition.
    found
        The database, open.
    past
        What is here; loses what is gone.
    scratch
        Where keys are put while they are compared.
    looked
        Where it is kept when all keys were last read; losing that means only to read them again.
    tell
        Called with what is odd.
    """

    def __init__(
        self, table: Table, source: Relational, found: Reading, past: Past, *, scratch: Path, looked: Path, tell: Tell
    ) -> None:
        self._table, self._source, self._found, self._past = table, source, found, past
        self._scratch = scratch
        self._looked = looked / f"{table.name}.keys"
        self._tell = tell
        self._compared = False
        self._name = source.rename.get(source.cursor, source.cursor)

    def since(self) -> Any:
        """Find from which value on to read; None for all.

        A value later than the clock of the database does not move the cursor: it would hide all that comes before it.

        Raises
        ------
        BadData
            When the largest value there is less than that.
        """
        if self._source.deletes and self._due():
            self._compare()
        limit = self._found.now(self._table.timezone)
        since, there = self._behind(limit), self._found.newest(limit)
        if self._source.deletes and _less(there, since):
            self._compare()  # what was newest may simply be deleted
            since = self._behind(limit)
        if _less(there, since):
            self._refuse_back(there, since)
        self._tell_future(limit)
        return since

    def _behind(self, limit: Any) -> Any:
        newest = self._past.newest(self._name, limit)
        if newest is None:
            return None
        return newest - _late(self._source, whole=self._found.schema[self._name] == pl.Int64)

    def _due(self) -> bool:
        try:
            last = float(self._looked.read_text())
        except (OSError, ValueError):
            return True
        return time.time() - last >= parse_duration(self._source.deletes).total_seconds()

    def _compare(self) -> None:
        """Read all keys, and lose those that are here and no longer there."""
        copied = self._found.keys(self._table.key, self._scratch, tell=self._tell)
        try:
            if not copied.rows:
                raise BadData(
                    f"table {self._table.name!r} has no key left: its source gives no rows", expected="at least one row"
                )
            files = []
            for number, frame in enumerate(copied.frames()):
                files.append(self._scratch / f"keys-{number}.parquet")
                try:
                    frame.write_parquet(files[-1])
                except (OSError, pl.exceptions.ComputeError) as wrong:
                    said = f"{self._scratch} could not be written: {wrong}"
                    raise StorageFull(said, do="free some space and try again") from None
            self._past.lose_others(files)
        finally:
            copied.close()
        self._compared = True

    def settled(self) -> None:
        """Note that what was found gone is gone from the lake too."""
        if self._compared:
            self._looked.write_text(str(time.time()))

    def _refuse_back(self, there: Any, since: Any) -> None:
        name, cursor = self._table.name, self._source.cursor
        has = "there is none any more" if there is None else f"the largest is {there}"
        raise BadData(
            f"the database forgot: {cursor!r} of table {name!r} was read up to {since}, now {has}; what comes "
            "below would never be read",
            expected="a cursor that never gets smaller; it does when newest rows are deleted (deletes= says that they "
            "may be), a backup is restored or a sequence is reset",
            do=f"ask its owner; to take the table as it stands: "
            f"millstream.open('.').lake.accept_schema({name!r}, actor='you'), which reads all of it anew",
        )

    def _tell_future(self, limit: Any) -> None:
        if limit is None:
            return
        count, most = self._past.beyond(self._name, limit)
        if count:
            self._tell(
                f"{count:,} row{'s' * (count != 1)} of {self._source.cursor!r} later than the database's own clock "
                f"({most}); the cursor stays before them, so that they hide nothing"
            )


def _less(there: Any, since: Any) -> bool:
    return since is not None and (there is None or there < since)


def _late(source: Relational, *, whole: bool) -> int | timedelta:
    if not source.late:
        return 0 if whole else timedelta(0)
    try:
        return int(source.late) if whole else parse_duration(source.late)
    except ValueError:
        raise DefinitionError(
            f"late={source.late!r} of cursor {source.cursor!r} is no {'whole number' if whole else 'length of time'}",
            expected="late='1000'" if whole else "late='10m'",
        ) from None
