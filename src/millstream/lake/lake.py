"""The lake: every table of a project, at every version."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal

import polars as pl

from millstream.definitions.manifest import Manifest
from millstream.definitions.table import Table
from millstream.errors import BadData, MillstreamError, UserError
from millstream.lake.bitemporal.beliefs import settled
from millstream.lake.cache import FileCache
from millstream.lake.catalog import Catalog, known
from millstream.lake.derived.maker import Maker
from millstream.lake.derived.steps import Meanwhile
from millstream.lake.files import Between
from millstream.lake.finding import Finding
from millstream.lake.frame import TableFrame
from millstream.lake.housekeeping.gone import basis, batch, had_by
from millstream.lake.ingest import agreed
from millstream.lake.reader import Reader, encode_keys, pinned
from millstream.lake.sql import query
from millstream.lake.strangers import strangers
from millstream.lake.verify import verify
from millstream.lake.writer import Writer
from millstream.ledger import Ledger
from millstream.settings import Places
from millstream.state import State, Transaction, quarantine, versions
from millstream.state.versions import TableVersion
from millstream.types import Clock, Pins, Schema


class Lake:
    """Tables and their versions: attach, ingest, derive, read pinned, recover.

    Safe to share between threads. Opening settles what a crash interrupted.

    Parameters
    ----------
    manifest
        The definitions.
    places
        Where the project's folders are.
    state, ledger, clock
        Where versions are registered, written down, and by which time.
    cache_bytes
        Bound on the decoded files held in memory.
    """

    def __init__(
        self,
        manifest: Manifest,
        places: Places,
        *,
        state: State,
        ledger: Ledger,
        clock: Clock,
        cache_bytes: int = 512 * 1024 * 1024,
    ) -> None:
        self._catalog = Catalog(manifest, places, state=state, ledger=ledger, clock=clock)
        self._reader = Reader(self._catalog, FileCache(cache_bytes))
        self.maker = Maker(self._catalog, self._reader)
        self._writer = Writer(self._catalog, self.maker)
        if versions.open_intents(state):
            self._writer.recover()

    def refresh(
        self,
        names: Iterable[str] | None = None,
        *,
        actor: str,
        ready: Callable[[str], object] | None = None,
        stopped: dict[str, MillstreamError] | None = None,
        meanwhile: Meanwhile | None = None,
        again: Mapping[str, Collection[str]] | None = None,
    ) -> list[TableVersion]:
        """Register what is new; the same again changes nothing.

        An attached table gets the version its Delta log is at, without a byte copied; files are ingested if what is
        in them changed; a derived table gets a version when its definition or a version of an input changed; a step
        runs when these, its code or what is in quarantine of its inputs changed.

        Parameters
        ----------
        names
            Tables, with what they are computed from; None for all.
        actor
            Who asked, for the ledger.
        ready
            Called with the name of each table a step reads, before it runs; what it raises stops the step.
        stopped
            Gets the tables that could not be made, each with its error, while the others go on. Left out, the first
            of these errors is raised after the others have gone on.
        meanwhile
            What goes on while a step runs.
        again
            Tables that are made although nothing changed, each with the partitions that are; none of them means all.

        Returns
        -------
        The new versions, inputs before what is computed from them.

        Raises
        ------
        NotFound
            For a table, folder or file that is not there.
        BadData
            When columns or types are not those the table had at first, or a file is empty or unreadable.
        """
        failed: dict[str, MillstreamError] = {} if stopped is None else stopped
        aside = meanwhile or Meanwhile()
        made = self._writer.refresh(
            names, actor=actor, ready=ready, stopped=failed, meanwhile=aside, again=dict(again or {})
        )
        if stopped is None and failed:
            raise next(iter(failed.values()))
        return made

    @property
    def catalog(self) -> Catalog:
        """What is registered of each table, for the other parts of this room."""
        return self._catalog

    def head(self, table: str) -> TableVersion:
        """Return the newest version of a table."""
        return self._catalog.head(table)

    def version(self, table: str, number: int) -> TableVersion:
        """Return one version; an older one of an attached table is registered now if its log still tells of it."""
        return self._catalog.version(table, number)

    def history(self, table: str) -> list[TableVersion]:
        """Return the registered versions of a table, oldest first."""
        return self._catalog.history(table)

    def heads(self) -> Pins:
        """Return the newest version of every table."""
        return self._catalog.heads()

    def shared(self) -> frozenset[str]:
        """Name the tables that an overlay reads from production; none in production itself."""
        return self._catalog.shared()

    def read(
        self,
        table: str,
        *,
        version: int | None = None,
        columns: Iterable[str] | None = None,
        between: Between | None = None,
        trusted: bool = True,
        pins: Pins | None = None,
    ) -> TableFrame:
        """Read rows of one version.

        Files are decoded once and kept, so a read of a few days costs milliseconds.

        Parameters
        ----------
        table
            Its name.
        version
            Its version; else the one in ``pins``, else the newest.
        columns
            Columns wanted; all when left out. Their known-at columns come along.
        between
            Half-open range of event time, either end open.
        trusted
            Leave out rows in quarantine.
        pins
            Table to version.

        Raises
        ------
        NotFound
            For a table, version or column that is not there.
        BadData
            For rows that are not of the types the row language has.
        IntegrityError
            When a file of the version is gone or cannot be read.
        """
        found = pinned(self._catalog, table, version, pins)
        return self._reader.read(found, columns=columns, between=between, trusted=trusted)

    def added(self, table: str, *, since: int | None, version: int) -> TableFrame:
        """Read the batch that a version brought: rows of files it has and ``since`` has not (None: all its rows).

        Rows that the owner of an attached table only wrote anew, as a compaction does, are not among them.
        For a derived table these are its rows that differ from every row of ``since``. Nothing is masked: a batch is
        read to be checked.
        """
        new = self._catalog.version(table, version)
        if new.kind == "derived":
            return self._reader.read(new, trusted=False) if since is None else self._compared(new, since, how="anti")
        read, without, span = batch(self._catalog, table, since=since, version=version)
        return self._reader.read(read, trusted=False, without=without, rows_of=span)

    def kept(self, table: str, *, since: int, version: int, columns: Iterable[str] | None = None) -> TableFrame:
        """Read the rows of a version that ``since`` had already: all but those that ``added`` gives; nothing is masked.

        Rows that were delivered again are not kept, even when they say the same.
        """
        new = self._catalog.version(table, version)
        if new.kind == "derived":
            return self._compared(new, since, how="semi")
        found = self._catalog.table(table)
        had, there = {each.path for each in self._catalog.files(found, since)}, had_by(self._catalog, table, since)
        brought = [
            each for each in self._catalog.files(found, version) if each.path not in had and not there(each.rows_since)
        ]
        span = (-1, basis(self._catalog, table, since))
        return self._reader.read(new, columns=columns, trusted=False, without=brought, rows_of=span)

    def _compared(self, new: TableVersion, since: int, *, how: Literal["anti", "semi"]) -> TableFrame:
        """Read the rows of a derived version that an earlier one has not, or has."""
        old = self._catalog.version(new.table, since)
        now, before = self._reader.read(new, trusted=False), self._reader.read(old, trusted=False)
        same = now.frame.columns
        rows = now.frame.join(before.frame.select(same), on=same, how=how, nulls_equal=True, maintain_order="left")
        return dataclasses.replace(now, frame=rows)

    def schema(self, table: str) -> Schema:
        """Return the columns of a table and their types, computed columns included."""
        found = self._catalog.table(table)
        if found.derived:
            return self._catalog.derivation(found).shape.schema
        return self._catalog.shape(found, self._catalog.columns(found)).schema

    def known(self, table: str) -> dict[str, str]:
        """Return which known-at column holds for which column, as ``TableFrame.known`` will have it."""
        return known(self._catalog, self._catalog.table(table))

    def assumptions(self, table: str) -> list[str]:
        """Say what is taken for granted about when the table's columns were known, one sentence each."""
        found = self._catalog.table(table)
        said = []
        if found.derived:
            return [line for each in found.of for line in self.assumptions(each)]
        if found.event_time is None and not found.known_at and found.history:
            first = f"{table} has no event time: what its first load brought is taken as always known"
            return [first, _corrected(found)]
        if found.event_time is None and not found.known_at:
            return [f"{table} has no event time: its rows are taken as always known"]
        if not found.known_at:
            said.append(f"{table} does not say when its rows became known: taken as {found.event_time}")
        for name in dict.fromkeys(word for text in found.known_at.values() for word in self._computed(table, text)):
            said.append(f"{table}.{name} is computed, and when columns became known rests on it: {found.columns[name]}")
        if found.made and found.known_at:
            by = "a step" if found.step is not None else "a query"
            said.append(f"{table} is made by {by}, and is taken to be known as declared: {found.known_at['*']}")
        if found.history:
            said.append(_corrected(found))
        if found.lag != "0s":
            said.append(f"{table} is taken to be here {found.lag} after its rows became known")
        return said

    def quarantine(self, table: str, version: int, rows: pl.DataFrame, *, tx: Transaction) -> int:
        """Mask the rows with these keys for trusted reads of this and later versions; return how many keys there are.

        Parameters
        ----------
        table, version
            What was checked.
        rows
            The table's key columns, ``check`` and ``reason``.
        tx
            The transaction that also writes what the check found.

        Raises
        ------
        UserError
            When the table has no key, by which alone a row can be masked.
        """
        found = self._catalog.table(table)
        if not rows.height:
            return 0
        if not found.key:
            raise UserError(
                f"rows of table {table!r} cannot be put in quarantine: it has no key", do="Table(..., key='...')"
            )
        missing = [each for each in (*found.key, "check", "reason") if each not in rows.columns]
        if missing:
            raise BadData(f"quarantine of {table!r} lacks {', '.join(missing)}", expected="key columns, check, reason")
        keys = encode_keys(rows, found.key)
        said = zip(keys, rows["check"].to_list(), rows["reason"].to_list(), strict=True)
        quarantine.put(tx, [quarantine.Masked(table, version, key, check, reason) for key, check, reason in said])
        return len(set(keys))

    def quarantined(self, table: str, version: int) -> pl.DataFrame:
        """Return what is masked at a version: key columns, ``version`` of the check, ``check`` and ``reason``."""
        return self._reader.quarantined(table, version)

    def append(self, table: str, frame: pl.DataFrame, *, app_id: str, app_version: int, actor: str) -> TableVersion:
        """Append rows to a table that the lake itself owns (made at the first append), durably and once.

        Parameters
        ----------
        table
            Its name; not one the project defines.
        frame
            Rows; columns and types must be those of the first append.
        app_id, app_version
            What is written: the same pair again returns the version it became and writes nothing.
        actor
            Who writes, for the ledger.

        Raises
        ------
        BadData
            For other columns or types than the table has.
        StorageFull
            When the disk refuses; nothing was acknowledged.
        """
        return self._writer.append(table, frame, app_id=app_id, app_version=app_version, actor=actor)

    def query(self, sql: str, *, pins: Pins | None = None) -> tuple[pl.DataFrame, Pins]:
        """Run one read-only SELECT over trusted rows; return the result and the versions that were read.

        Tables are read at ``pins``, else at their newest versions. The query reaches no file and no network. The
        caller writes the ledger row.
        """
        return query(sql, known=set(self.heads()), read=lambda name: settled(self.read(name, pins=pins)))

    def accept_schema(self, table: str, *, actor: str) -> None:
        """Agree to the columns a table waits for; where it waits for none, to any that the next refresh brings."""
        self._catalog.table(table)
        agreed.accept(self._catalog.state, self._catalog.ledger, table, actor=actor)

    def recover(self) -> list[Finding]:
        """Finish or forget the writes a crash interrupted; report commits nobody here intended."""
        return [*self._writer.recover(), *strangers(self._catalog)]

    def verify(self, *, deep: bool = False, actor: str = "somebody") -> list[Finding]:
        """Check that every registered version is still what was registered; name the first bad one of each table.

        ``deep`` reads the bytes of attached files too, and hashes those that nobody has hashed yet.
        """
        return [*verify(self._catalog, deep=deep, actor=actor), *strangers(self._catalog)]

    def _computed(self, table: str, text: str) -> list[str]:
        found = self._catalog.table(table)
        return [each for each in found.columns if each in text]


def _corrected(table: Table) -> str:
    """Say from when corrections of a table with history are taken as known."""
    if table.changed_at is not None:
        return f"corrections of {table.name} are taken as known from {table.changed_at} on, or else when they were seen"
    return f"corrections of {table.name} are taken as known when they were seen: nothing says when they were made"
