"""Which tables there are, which versions of them are registered, and which files each version is made of."""

from __future__ import annotations

import fcntl
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from millstream.definitions.manifest import Manifest
from millstream.definitions.sources import Delta, Parquet
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, IntegrityError, NotFound, near
from millstream.lake.delta import DeltaLog, Snapshot
from millstream.lake.derived.derive import Derivation, derivation
from millstream.lake.derived.lineage import Input
from millstream.lake.files import empty
from millstream.lake.ingest import agreed
from millstream.lake.shape import PIECE, Shape, compile_shape
from millstream.lake.spare import Folders
from millstream.ledger import Ledger
from millstream.settings import Places
from millstream.state import State, Transaction, edits, quarantine, versions
from millstream.state.versions import DataFile, Kind, Making, TableVersion
from millstream.types import Clock, Pins, content_hash, from_micros, parse_instant

_KEPT_LISTS = 64


class Catalog:
    """Definitions, versions and files of a project's tables."""

    def __init__(self, manifest: Manifest, places: Places, *, state: State, ledger: Ledger, clock: Clock) -> None:
        self.manifest = manifest
        self.places = places
        self.state = state
        self.ledger = ledger
        self.clock = clock
        self._logs: dict[str, DeltaLog] = {}
        self._shapes: dict[tuple[str, str], Shape] = {}
        self._derivations: dict[tuple[str, str], Derivation] = {}
        self._digests: dict[str, str] = {}
        self.origins: dict[str, tuple[str, object]] = {}
        """Table to what its lineage was read from, and the lineage; kept by ``lake.columns``."""
        self._shared: frozenset[str] = frozenset()
        self._listing = threading.Lock()
        self._lists: OrderedDict[tuple[str, int], list[DataFile]] = OrderedDict()

    def table(self, name: str) -> Table:
        """Return the definition of a table; a table the lake wrote itself has a bare one."""
        if name in self.manifest.tables:
            return self.manifest.tables[name]
        head = versions.head(self.state, name)
        if head is None or head.kind != "own":
            known = {*self.manifest.tables, *versions.heads(self.state)} - {name}
            said = f"there is no table {name!r}" if head is None else f"table {name!r} is no longer defined"
            raise NotFound(said, do=near(name, known))
        return Table(name, source=Delta(str(self._home(name) / name)))

    def kind(self, table: Table) -> Kind:
        """Say how a table's rows come to be here."""
        if table.name not in self.manifest.tables:
            return "own"
        if table.derived:
            return "derived"
        if table.made:
            return "made"
        return "attached" if isinstance(table.source, Delta) or not logged(table) else "ingested"

    def digest(self, name: str) -> str:
        """Hash what a definition says about rows, inputs included."""
        if name not in self._digests:
            table = self.table(name)
            said = msgspec.to_builtins(table)
            silent = ("checks", "owner", "description", "about", "sensitive", "timeout", "grows")
            for word in (*silent, *(() if table.made else ("step",))):
                said.pop(word)
            if not table.history:  # what a definition does not say leaves its hash as it was before there was the word
                said.pop("history"), said.pop("changed_at")
            for word in ("partition", "lookback", "stored", "valid_from", "valid_to"):
                if said[word] in ("", "0s", False, None):
                    said.pop(word)
            self._digests[name] = content_hash([said, [self.digest(each) for each in table.of]])
        return self._digests[name]

    def folder(self, table: Table) -> Path:
        """Return the folder of a table's files."""
        if self.kind(table) == "attached":
            return self.places.root / table.source.path if isinstance(table.source, Delta) else self.places.root
        return self._home(table.name) / table.name

    def shared(self) -> frozenset[str]:
        """Name the tables that an overlay reads from production; none in production itself."""
        over = self.places.over
        if over is not None:
            self._shared = versions.shared(self.state, over.state_db)
        return self._shared

    def _home(self, name: str) -> Path:
        """Return the lake that holds a table's files: in an overlay, production's for what is shared."""
        over = self.places.over
        return over.lake if over is not None and name in (self._shared or self.shared()) else self.places.lake

    def log(self, table: Table) -> DeltaLog:
        """Return the log of a table with files; one handle is kept for each."""
        if table.name not in self._logs:
            event_time = None if table.event_time in table.columns else table.event_time
            self._logs[table.name] = DeltaLog(self.folder(table), event_time=event_time, timezone=table.timezone)
        return self._logs[table.name]

    def shape(self, table: Table, columns: Mapping[str, str]) -> Shape:
        """Compile a definition against the columns of a table with files."""
        key = (table.name, content_hash(dict(columns)))
        if key not in self._shapes:
            self._shapes[key] = compile_shape(table, empty(columns, where=f"table {table.name!r}"))
        return self._shapes[key]

    def derivation(self, table: Table, pins: Pins | None = None) -> Derivation:
        """Compile a derived table against the columns of its inputs, at their present or at the versions pinned."""
        inputs = {}
        for name in table.of:
            said = self.table(name)
            at = None if pins is None else versions.get(self.state, name, pins[name])
            if said.derived:
                shape = self.derivation(said, None if at is None else at.inputs).shape
            else:
                shape = self.shape(said, self.columns(said) if at is None else columns_of(self, at))
            inputs[name] = Input(
                schema=shape.schema,
                known=shape.known,
                key=said.key,
                event_time=said.event_time,
                valid_from=said.valid_from,
                valid_to=said.valid_to,
            )
        key = (table.name, content_hash([[dict(each.schema), dict(each.known)] for each in inputs.values()]))
        if key not in self._derivations:
            self._derivations[key] = derivation(table, inputs)
        return self._derivations[key]

    def columns(self, table: Table) -> dict[str, str]:
        """Return the columns of a table's files, as Delta names their types."""
        kept = versions.expected_schema(self.state, table.name)
        if kept is not None:
            return kept
        if self.kind(table) != "attached" or not logged(table):
            head = versions.head(self.state, table.name)
            if head is None:
                raise NotFound(f"table {table.name!r} has no version yet", do=f"millstream ingest {table.name}")
            if not logged(table):
                return head.columns
        return shown(self.log(table).head().columns)

    def head(self, name: str) -> TableVersion:
        """Return the newest version of a table."""
        found = versions.head(self.state, name)
        if found is None:
            self.table(name)
            raise NotFound(f"table {name!r} has no version yet", do=f"millstream ingest {name}")
        return self._counted(found)

    def version(self, name: str, number: int) -> TableVersion:
        """Return one version; an older one of an attached table is registered now if it can still be read."""
        found = versions.get(self.state, name, number)
        if found is not None:
            return self._counted(found)
        table, head = self.table(name), self.head(name)
        if self.kind(table) != "attached" or not logged(table) or number > head.version or number < 0:
            numbers = [each.version for each in versions.history(self.state, name)]
            shown = ", ".join(map(str, numbers[-12:]))
            raise NotFound(f"table {name!r} has no version {number}", expected=f"one of (newest last): {shown}")
        snapshot = self.log(table).at(number)
        made = self.describe(table, snapshot, content="", copied=0)
        with self.locked(), self.state.transact() as tx:
            if not tx.query("SELECT 1 FROM table_versions WHERE name = ? AND version = ?", (name, number)):
                self.register(tx, made, added=(), removed=(), actor="system:lake", listed=False)
        return self._counted(made)

    def history(self, name: str) -> list[TableVersion]:
        """Return the registered versions of a table, oldest first."""
        self.table(name)
        return [self._counted(each) for each in versions.history(self.state, name)]

    def heads(self) -> dict[str, int]:
        """Return the newest version of every table."""
        return versions.heads(self.state)

    def files(self, table: Table, number: int) -> list[DataFile]:
        """Return the files of a registered version."""
        kept = self._lists.get((table.name, number))
        if kept is not None:
            return kept
        edit = edits.get(self.state, table.name, number) if number > versions.BRANCHED else None
        if edit is not None:
            found = edit.files(self.files(table, edit.base))
        elif versions.listed(self.state, table.name, number):
            found = versions.files(self.state, table.name, number)
        else:
            found = list(self.log(table).at(number).files.values())
        return self.remember(table.name, number, found)

    def remember(self, name: str, number: int, files: list[DataFile]) -> list[DataFile]:
        """Keep a version's file list at hand."""
        with self._listing:
            self._lists[(name, number)] = files
            while len(self._lists) > _KEPT_LISTS:
                self._lists.popitem(last=False)
        return files

    def describe(self, table: Table, snapshot: Snapshot, *, content: str, copied: int) -> TableVersion:
        """Make the record of a version of a table with files."""
        schema = dict(self.shape(table, snapshot.columns).schema)
        return self._record(table, snapshot, schema=schema, content=content, copied=copied)

    def _now(self, name: str) -> datetime:
        """Return the instant at which a version is seen: the clock's, never before the table's last version."""
        head = versions.head(self.state, name)
        return self.clock.now() if head is None else max(self.clock.now(), parse_instant(head.registered_at))

    def _record(
        self, table: Table, snapshot: Snapshot, *, schema: Mapping[str, str], content: str, copied: int
    ) -> TableVersion:
        files = snapshot.files.values()
        low = [each.low for each in files]
        high = [each.high for each in files]
        counts = [each.rows for each in files]
        return TableVersion(
            table=table.name,
            version=snapshot.version,
            rows=sum(each for each in counts if each is not None) if None not in counts else None,
            kind=self.kind(table),
            delta_version=snapshot.version if logged(table) else None,
            files_hash=files_hash(files),
            schema=dict(schema),
            inputs={},
            definition=self.digest(table.name) if table.name in self.manifest.tables else "",
            bytes_copied=copied,
            registered_at=self._now(table.name).isoformat(),
            event_min=_iso(min((each for each in low if each is not None), default=None)) if None not in low else None,
            event_max=_iso(max((each for each in high if each is not None), default=None))
            if None not in high
            else None,
            content=content,
            columns=shown(snapshot.columns),
        )

    def describe_made(self, table: Table, snapshot: Snapshot, note: Mapping[str, Any], *, copied: int) -> TableVersion:
        """Make the record of a version that a step made, from what its intent noted: definitions may have moved on."""
        making = msgspec.structs.replace(msgspec.convert(note["making"], Making), columns=shown(snapshot.columns))
        found = self._record(table, snapshot, schema=note["schema"], content=note["content"], copied=copied)
        return msgspec.structs.replace(
            found, kind="made", inputs=note["inputs"], definition=note["definition"], making=making
        )

    def describe_derived(self, table: Table, inputs: Pins, *, number: int) -> TableVersion:
        """Make the record of a version of a derived table."""
        return TableVersion(
            table=table.name,
            version=number,
            rows=None,
            kind="derived",
            delta_version=None,
            files_hash=derived_hash(inputs, self.digest(table.name)),
            schema=dict(self.derivation(table).shape.schema),
            inputs=dict(inputs),
            definition=self.digest(table.name),
            bytes_copied=0,
            registered_at=self._now(table.name).isoformat(),
            event_min=None,
            event_max=None,
        )

    def register(
        self,
        tx: Transaction,
        made: TableVersion,
        *,
        added: Iterable[DataFile],
        removed: Iterable[str],
        actor: str,
        listed: bool = True,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a version true: its row, its files and its ledger row (which also says ``more``), in one transaction."""
        agreed.note(self.state, self.ledger, tx, made, actor=actor)
        versions.insert(tx, made, listed=listed)
        brought = list(added)
        versions.change_files(tx, made.table, made.version, added=brought, removed=removed)
        versions.keep_brought(tx, made.table, made.version, brought)
        detail: dict[str, Any] = {
            "kind": made.kind,
            "rows": made.rows,
            "files_hash": made.files_hash,
            "inputs": made.inputs,
            "definition": made.definition,
            "bytes_copied": made.bytes_copied,
            "record": versions.record_hash(made),
        }
        if listed and made.kind != "derived":
            detail["files"] = versions.change_hash(tx, made.table, made.version)
        if any(each.brought is not None for each in brought):
            detail["brought"] = versions.brought_hash(tx, made.table, made.version)
        if made.making is not None:
            detail |= {"step": made.making.step, "code": made.making.code, "seconds": made.making.seconds}
            detail |= {"partitions": made.making.pieces} if made.making.pieces else {}
        detail |= more or {}
        self.ledger.append(tx, actor=actor, act="table.version", subject=f"{made.table}@{made.version}", detail=detail)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lake's lock: one writer at a time among threads and processes."""
        with lock(self.places.lake):
            yield

    def _counted(self, found: TableVersion) -> TableVersion:
        masked = quarantine.count(self.state, found.table, found.version)
        return msgspec.structs.replace(found, quarantined=masked) if masked else found


@contextmanager
def lock(lake: Path) -> Iterator[None]:
    """Hold the lock of a lake's folder, which is made when missing."""
    lake.mkdir(parents=True, exist_ok=True)
    with (lake / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def logged(table: Table) -> bool:
    """Say whether a table with files has a Delta log; attached Parquet files have none."""
    return not (isinstance(table.source, Parquet) and table.source.attach)


def folders(catalog: Catalog, table: Table) -> Folders:
    """Return where a table's files are, and where copies of those of its pinned versions."""
    edited = catalog.places.lake / ".edits" / table.name if catalog.places.over is not None else None
    return Folders(catalog.folder(table), catalog._home(table.name) / ".pins" / table.name, edited)


def columns_of(catalog: Catalog, version: TableVersion) -> dict[str, str]:
    """Return the columns a version is read with: its own, then those the table got since, which are NULL in it."""
    if version.making is not None:
        return version.making.columns
    table = catalog.table(version.table)
    now = catalog.columns(table)
    if version.columns in ({}, now):
        return now
    for name in (*table.key, *([table.event_time] if table.event_time else [])):
        if name in now and name not in version.columns:
            raise BadData(
                f"{version.table}@{version.version} has no column {name!r}, by which the table is defined now",
                expected=f"one of its columns: {', '.join(version.columns)}",
                do="read a later version, or define the table as it was then in an environment of its own",
            )
    return {**version.columns, **{name: kind for name, kind in now.items() if name not in version.columns}}


def known(catalog: Catalog, table: Table) -> dict[str, str]:
    """Return which known-at column holds for which column of a table."""
    shape = catalog.derivation(table).shape if table.derived else catalog.shape(table, catalog.columns(table))
    return dict(shape.known)


def files_hash(files: Iterable[DataFile]) -> str:
    """Hash the names and sizes of a version's files."""
    digest = hashlib.sha256()
    for each in sorted(files, key=lambda file: file.path):
        digest.update(f"{each.path}\0{each.size}\n".encode())
    return digest.hexdigest()


def derived_hash(inputs: Pins, definition: str) -> str:
    """Hash what a version of a derived table is computed from."""
    return content_hash([dict(inputs), definition])


def made_hash(
    inputs: Pins,
    definition: str,
    code: Mapping[str, str],
    masked: Mapping[str, int],
    environment: Mapping[str, str],
) -> str:
    """Hash what a version made by a step rests on."""
    return content_hash(
        [dict(inputs), definition, dict(code), dict(masked), *([dict(environment)] * bool(environment))]
    )


def shown(columns: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of a table's files that are its own: without the one that names partitions."""
    return {name: kind for name, kind in columns.items() if name != PIECE}


def refuse_other_kind(table: Table, head: TableVersion | None, kind: Kind) -> None:
    """Refuse to go on with a table whose versions came about in another way: their numbers mean something else."""
    if head is not None and head.kind != kind:
        raise DefinitionError(
            f"table {table.name!r} has versions that are {head.kind}; by its definition it is {kind} now",
            expected=f"a table that stays {head.kind}",
            do="give the new table a name of its own",
        )


def refuse_rewritten(head: TableVersion | None, snapshot: Snapshot, path: Path) -> None:
    """Refuse a table whose log went back: its versions no longer mean what was registered."""
    if head is not None and snapshot.version < head.version:
        raise IntegrityError(
            f"{path} is at version {snapshot.version}, but version {head.version} of {head.table!r} was registered",
            expected="a log that only grows",
            do="restore the table's log, or give the new table a name of its own",
        )


def _iso(micros: int | None) -> str | None:
    return None if micros is None else from_micros(micros).isoformat()
