"""Making versions: registering what attached tables grew to, ingesting files, deriving, appending our own rows.

A write of ours is: its intent in the state database, a Delta commit that carries the intent's id, everything synced,
then version, files and ledger row in one transaction. A crash between any two leaves an open intent, which
``recover`` turns into a version if the commit happened, and forgets if it did not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from millstream.definitions.databases import ASKED
from millstream.definitions.sources import Csv, Delta, Files, Json, Parquet, Posted
from millstream.definitions.table import Table
from millstream.errors import (
    BadData,
    Conflict,
    IntegrityError,
    MillstreamError,
    NotFound,
    StorageFull,
    UserError,
    near,
)
from millstream.expressions import door
from millstream.lake.attached import parquets
from millstream.lake.attached.foreign import Stage, leaving, stages
from millstream.lake.batches import Batches, Shelved
from millstream.lake.bitemporal.beliefs import plain, stored
from millstream.lake.branches.pulling import pulled
from millstream.lake.catalog import Catalog, derived_hash, logged, refuse_other_kind, refuse_rewritten, shown
from millstream.lake.delta import DeltaLog, Snapshot, file_sha256
from millstream.lake.derived.maker import Maker
from millstream.lake.derived.stays import stays
from millstream.lake.derived.steps import Meanwhile
from millstream.lake.faults import reach
from millstream.lake.files import empty
from millstream.lake.finding import Finding
from millstream.lake.housekeeping.compacting import COMPACTION, as_written, prepare, record_compacted
from millstream.lake.ingest import agreed
from millstream.lake.ingest.extract import Extract
from millstream.lake.ingest.extracts import drawn
from millstream.lake.ingest.snapshots import snapshot
from millstream.lake.ingest.taking import take
from millstream.lake.ingest.upsert import Delivery, upsert
from millstream.lake.shape import PIECE, compile_shape
from millstream.lake.strangers import bare
from millstream.sources import SchemaChanged, refuse_change
from millstream.state import Transaction, edits, pins, runs, schemas, taken, versions
from millstream.state.runs import Run
from millstream.state.versions import DataFile, Intent, TableVersion
from millstream.types import parse_instant

_HASHED_BYTES = 64 << 20
"""Of somebody else's files, what a version brings is hashed as it is registered up to this size (0.1 s)."""

_Change = tuple[TableVersion, list[DataFile], list[str]]


class Writer:
    """The lake's one writer; its lock holds among threads and processes."""

    def __init__(self, catalog: Catalog, maker: Maker) -> None:
        self._catalog = catalog
        self._maker = maker
        self._state = catalog.state

    def refresh(
        self,
        names: Iterable[str] | None,
        *,
        actor: str,
        ready: Callable[[str], object] | None,
        stopped: dict[str, MillstreamError],
        meanwhile: Meanwhile,
        again: Mapping[str, Collection[str]],
    ) -> list[TableVersion]:
        """Register new versions. See ``Lake.refresh``."""
        catalog = self._catalog
        wanted = self._with_inputs(names)
        tables = [each for name, each in catalog.manifest.tables.items() if name in wanted]
        behind = self._behind()
        shared = catalog.shared()
        heads: dict[str, int] = {}
        waits: dict[str, str] = {}
        with catalog.locked():
            self._recover()
            made = pulled(catalog, (wanted & catalog.shared()) - set(edits.tables(self._state)), actor=actor)
            now = [each for each in tables if each.name not in behind]
            made += self._moved(now, heads, stopped=stopped, actor=actor, tell=meanwhile.tell)
        for table in (each for each in tables if each.name in behind):
            halted = next((each for each in table.of if each in stopped), None)
            if halted is not None:
                why = stopped[halted]
                waits[table.name] = halted
                stopped[table.name] = stays(table.name, waits, why)
            elif table.name in shared or not (table.made or isinstance(table.source, ASKED)):
                with catalog.locked():
                    made += self._moved([table], heads, stopped=stopped, actor=actor, tell=meanwhile.tell)
            else:
                try:
                    if table.made:
                        asked = again.get(table.name)
                        new = self._made(table, heads, actor=actor, ready=ready, meanwhile=meanwhile, again=asked)
                    else:
                        new = self._drawn(table, heads, actor=actor, meanwhile=meanwhile)
                except StorageFull:
                    raise
                except SchemaChanged as wrong:
                    stopped[table.name] = wrong if table.made else self._waits(table, wrong, actor=actor)
                except MillstreamError as wrong:
                    stopped[table.name] = wrong
                else:
                    self._waits_no_more(table.name)
                    made += new
        return made

    def _behind(self) -> set[str]:
        """Name the tables that somebody else makes, a step or a database, and those that are computed from them."""
        found: set[str] = set()
        for name, each in self._catalog.manifest.tables.items():
            if each.made or isinstance(each.source, ASKED) or found & set(each.of):
                found.add(name)
        return found

    def _moved(
        self,
        tables: Iterable[Table],
        heads: dict[str, int],
        *,
        stopped: dict[str, MillstreamError],
        actor: str,
        tell: Callable[[str], object],
    ) -> list[TableVersion]:
        """Register what moved of tables without a step; the lake's lock is held."""
        catalog = self._catalog
        shared = catalog.shared()
        changes: list[_Change] = []
        made: list[TableVersion] = []
        for table in tables:
            head = versions.head(self._state, table.name)
            found: list[_Change] = []
            lacks = next((each for each in table.of if each not in heads and each in stopped), None)
            try:
                if table.name in shared:
                    pass
                elif lacks is not None:
                    stopped[table.name] = stays(table.name, {table.name: lacks}, stopped[lacks])
                    continue
                elif table.derived:
                    found = self._derived(table, head, heads)
                elif isinstance(table.source, Delta):
                    found = self._attached(table, head)
                elif isinstance(table.source, Parquet) and table.source.attach:
                    found = self._attached_files(table, table.source, head)
                else:
                    assert isinstance(table.source, Csv | Json | Parquet | Posted)
                    ingested = self._ingested(table, table.source, head, actor=actor, tell=tell)
                    if ingested is not None:
                        made.append(ingested)
                    head = ingested or head
            except SchemaChanged as wrong:
                stopped[table.name] = self._waits(table, wrong, actor=actor)
            except (BadData, IntegrityError, NotFound) as wrong:
                stopped[table.name] = wrong
            else:
                self._waits_no_more(table.name)
            for change in found:
                changes.append(change)
                made.append(change[0])
                head = change[0]
            if head is not None:
                heads[table.name] = head.version
        if changes:
            with self._state.transact() as tx:
                for version, added, removed in changes:
                    if version.kind == "attached":
                        self._leave(tx, version, removed)
                        versions.expect_schema(tx, version.table, version.columns)
                    catalog.register(tx, version, added=added, removed=removed, actor=actor)
        return made

    def _leave(self, tx: Transaction, version: TableVersion, removed: list[str]) -> None:
        """Note from when the owner of a table may delete the files that a version has no more."""
        table = self._catalog.table(version.table)
        since = versions.before(self._state, version.table, version.version)
        if removed and since is not None and logged(table):
            log, now = self._catalog.log(table), self._catalog.clock.now().isoformat()
            pins.leave(tx, table.name, leaving(log, since.version, log.at(version.version), removed, now=now))

    def _waits(self, table: Table, wrong: SchemaChanged, *, actor: str) -> MillstreamError:
        """Note that a table waits for its columns to be accepted, or say why accepting them would not do."""
        try:
            compile_shape(table, empty(wrong.after, where=f"table {table.name!r}"))
        except MillstreamError as unfit:
            return BadData(
                f"{wrong.happened}; accepting them will not do: {unfit.happened}",
                expected=wrong.expected,
                do=f"change the definition of {table.name}, or have the columns back",
            )
        agreed.wait(self._state, self._catalog.ledger, self._catalog.clock, table.name, wrong, actor=actor)
        return wrong

    def _waits_no_more(self, name: str) -> None:
        """Forget what nobody accepted: the columns are as agreed again."""
        if name not in schemas.all_waiting(self._state):
            return
        with self._state.transact() as tx:
            schemas.forget(tx, name)

    def _made(
        self,
        table: Table,
        heads: dict[str, int],
        *,
        actor: str,
        ready: Callable[[str], object] | None,
        meanwhile: Meanwhile,
        again: Collection[str] | None,
    ) -> list[TableVersion]:
        """Run a step where something changed; the lake is locked only while its rows are written.

        Others wait for a table's turn, not for each other: who comes second finds what the first has made.
        """
        if ready is not None:
            for name in table.of:
                ready(name)
        with contextlib.ExitStack() as held:
            with meanwhile.aside():
                held.enter_context(self._maker.turn(table.name))
                head = versions.head(self._state, table.name)
                if head is not None:
                    heads[table.name] = head.version
                now = versions.heads(self._state)
                inputs = {each: max(heads[each], now[each]) for each in table.of}
                expected = self._expected_frame(table.name)
                done = self._maker.make(
                    table, inputs, head=head, expected=expected, actor=actor, tell=meanwhile.tell, again=again
                )
            if done is None:
                return []
            note, rows = done
            with self._catalog.locked():
                self._recover()
                if versions.head(self._state, table.name) != head:
                    raise Conflict(f"table {table.name!r} got another version while its step ran", do="refresh again")
                number = 0 if head is None else head.version + 1
                intent = self._intent(table.name, f"millstream:step:{table.name}", number, actor=actor, note=note)
                version = self._commit(intent, rows, overwrite=True)
            if table.partition:
                self._maker.finished(table)
        heads[table.name] = version.version
        return [version]

    def _drawn(self, table: Table, heads: dict[str, int], *, actor: str, meanwhile: Meanwhile) -> list[TableVersion]:
        """Ask a database for what is new; the lake is locked only while its rows are written."""
        assert isinstance(table.source, ASKED)
        with contextlib.ExitStack() as held:
            with meanwhile.aside():
                held.enter_context(self._maker.turn(table.name))
                head = versions.head(self._state, table.name)
                if head is not None:
                    heads[table.name] = head.version
                asking = drawn(
                    self._catalog,
                    table,
                    head=head,
                    expected=_delivered(self._expected_frame(table.name)),
                    tell=lambda line: meanwhile.tell(f"{table.name}: {line}"),
                )
                found = held.enter_context(asking)
            if found is None:
                return []
            with self._catalog.locked():
                self._recover()
                if versions.head(self._state, table.name) != head:
                    raise Conflict(f"table {table.name!r} got another version while it was read", do="refresh again")
                version = self._taken(table, found, head, actor=actor)
        if version is None:
            return []
        heads[table.name] = version.version
        return [version]

    def _taken(self, table: Table, found: Extract, head: TableVersion | None, *, actor: str) -> TableVersion | None:
        """Commit what a database gave; None where a table with history learns nothing from it."""
        if found.delivery is not None:
            return self._upserted(table, found.delivery, head, content=found.content, actor=actor)
        number = 0 if head is None else head.version + 1
        note = {"kind": "ingested", "content": found.content, "state": found.state}
        intent = self._intent(table.name, f"millstream:ingest:{table.name}", number, actor=actor, note=note)
        return self._commit(intent, found.rows, overwrite=found.overwrite)

    def append(self, name: str, frame: pl.DataFrame, *, app_id: str, app_version: int, actor: str) -> TableVersion:
        """Append rows to a table of the lake's own. See ``Lake.append``."""
        if name in self._catalog.manifest.tables:
            raise UserError(
                f"table {name!r} is defined by the project: its rows come from its source",
                expected="a table that only Millstream writes",
            )
        if not name.isidentifier():
            raise UserError(f"table name {name!r} is not a name", expected="letters, digits and _")
        rows = door.frame(frame, timezone=None, where=f"table {name!r}")
        rows = rows.select(
            pl.col(each).cast(pl.String) if kind == pl.Null else each for each, kind in rows.schema.items()
        )
        with self._catalog.locked():
            intent = self._intent(name, app_id, app_version, actor=actor, note={"kind": "own"})
            return self._commit(intent, rows, overwrite=False)

    def compact(self, name: str, *, actor: str, least: int) -> TableVersion | None:
        """Write a table's small files anew as large ones. See ``lake.compact.compact``."""
        with self._catalog.locked():
            self._recover()
            planned = prepare(self._catalog, name, least=least)
            if planned is None:
                return None
            note, rows = planned
            head = self._catalog.head(name)
            intent = self._intent(name, COMPACTION.format(name), head.version + 1, actor=actor, note=note)
            return self._commit(intent, rows, overwrite=False)

    def recover(self) -> list[Finding]:
        """Finish or forget what a crash interrupted. See ``Lake.recover``."""
        with self._catalog.locked():
            return self._recover()

    def _with_inputs(self, names: Iterable[str] | None) -> set[str]:
        tables = self._catalog.manifest.tables
        if names is None:
            return set(tables)
        wanted: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in tables:
                raise NotFound(f"there is no table {name!r}", do=near(name, tables))
            if name not in wanted:
                wanted.add(name)
                waiting.extend(tables[name].of)
        return wanted

    def _attached(self, table: Table, head: TableVersion | None) -> list[_Change]:
        catalog = self._catalog
        log = catalog.log(table)
        snapshot = log.head()
        refuse_rewritten(head, snapshot, catalog.folder(table))
        if head is not None and head.version == snapshot.version:
            return []
        expected = versions.expected_schema(self._state, table.name)
        if expected is not None:
            refuse_change(expected, snapshot.columns, where=f"table {table.name!r}", table=table)
        before = {} if head is None else {each.path: each for each in catalog.files(table, head.version)}
        changes: list[_Change] = []
        for stage in stages(log, before, None if head is None else head.version, snapshot):
            made = catalog.describe(table, stage.snapshot, content="", copied=0)
            changes.append(self._changed(made, before, stage))
            before = {each.path: each for each in catalog.files(table, made.version)}
        return changes

    def _attached_files(self, table: Table, source: Parquet, head: TableVersion | None) -> list[_Change]:
        refuse_other_kind(table, head, "attached")
        found = parquets.snapshot(self._catalog, table, source, head)
        if found is None:
            return []
        before = {} if head is None else {each.path: each for each in self._catalog.files(table, head.version)}
        made = self._catalog.describe(table, found, content="", copied=0)
        return [self._changed(made, before, Stage(found, {}))]

    def _changed(self, made: TableVersion, before: dict[str, DataFile], stage: Stage) -> _Change:
        snapshot = stage.snapshot
        added = [
            msgspec.structs.replace(each, since=made.version, brought=stage.brought.get(path))
            for path, each in snapshot.files.items()
            if path not in before
        ]
        unhashed = any(each.sha256 is None for each in added)
        if (
            unhashed and sum(each.size for each in added) <= _HASHED_BYTES
        ):  # more is for verify --deep: attaching takes no time
            folder = self._catalog.folder(self._catalog.table(made.table))
            added = [msgspec.structs.replace(each, sha256=_sha256(folder / each.path)) for each in added]
        removed = [path for path in before if path not in snapshot.files]
        kept = [each for path, each in before.items() if path in snapshot.files]
        self._catalog.remember(made.table, made.version, [*kept, *added])
        return made, added, removed

    def _derived(self, table: Table, head: TableVersion | None, heads: dict[str, int]) -> list[_Change]:
        refuse_other_kind(table, head, "derived")
        inputs = {each: heads[each] for each in table.of}
        if head is not None and head.files_hash == derived_hash(inputs, self._catalog.digest(table.name)):
            return []
        number = 0 if head is None else head.version + 1
        return [(self._catalog.describe_derived(table, inputs, number=number), [], [])]

    def _ingested(
        self,
        table: Table,
        source: Files | Posted,
        head: TableVersion | None,
        *,
        actor: str,
        tell: Callable[[str], object],
    ) -> TableVersion | None:
        if table.history:
            expected = _delivered(self._expected_frame(table.name))
            came = snapshot(self._catalog, table, head=head, expected=expected)
            return None if came is None else self._upserted(table, came[0], head, content=came[1], actor=actor)
        found = take(self._catalog, table, head=head, expected=self._expected_frame(table.name), tell=tell)
        if found is None:
            return None
        number = 0 if head is None else head.version + 1
        note = {"kind": "ingested", "content": found.content, "taking": msgspec.to_builtins(found.taking)}
        intent = self._intent(table.name, f"millstream:ingest:{table.name}", number, actor=actor, note=note)
        return self._commit(intent, found.rows, overwrite=found.taking.anew)

    def _upserted(
        self, table: Table, delivery: Delivery, head: TableVersion | None, *, content: str, actor: str
    ) -> TableVersion | None:
        """Append what a delivery says anew of a table with history."""
        before = stored(self._catalog, table, head)
        made = upsert(table, delivery, before=before, now=self._catalog.clock.now())
        if made.empty:
            return None
        note = {"kind": "ingested", "content": content, "seen": made.seen.isoformat(), "anew": before is None}
        number = 0 if head is None else head.version + 1
        intent = self._intent(table.name, f"millstream:ingest:{table.name}", number, actor=actor, note=note)
        return self._commit(intent, Batches(made.schema, made.frames), overwrite=before is None)

    def _expected_frame(self, name: str) -> dict[str, str] | None:
        expected = versions.expected_schema(self._state, name)
        if expected is None:
            return None
        return {column: str(kind) for column, kind in _frame_schema(expected).items()}

    def _intent(self, name: str, app_id: str, app_version: int, *, actor: str, note: dict[str, Any]) -> Intent:
        return Intent(
            table=name,
            app_id=app_id,
            app_version=app_version,
            actor=actor,
            at=self._catalog.clock.now().isoformat(),
            note=msgspec.json.encode(note).decode(),
        )

    def _commit(self, intent: Intent, frame: pl.DataFrame | Batches | Shelved, *, overwrite: bool) -> TableVersion:
        """Carry out an intended write, once however often it is tried. The lake's lock is held."""
        catalog = self._catalog
        before = versions.intent(self._state, intent.table, intent.app_id, intent.app_version)
        if before is not None and before.version is None:
            self._settle(before)
            before = versions.intent(self._state, intent.table, intent.app_id, intent.app_version)
        if before is not None and before.version is not None:
            return catalog.version(intent.table, before.version)
        expected, note = self._expected_frame(intent.table), msgspec.json.decode(intent.note)
        found = {name: str(kind) for name, kind in frame.schema.items() if name != PIECE}
        table = catalog.manifest.tables.get(intent.table)
        if expected is not None and not note.get("anew"):
            refuse_change(expected, found, where=f"table {intent.table!r}", table=table)
        agreed.refuse_unfit(table, found, kind=note["kind"])
        reach("lake.begun")
        with self._state.transact() as tx:
            versions.intend(tx, intent)
        reach("lake.intended")
        log = self._log(intent.table)
        head = catalog.ledger.head().text
        log.append(
            frame,
            app_id=intent.app_id,
            app_version=intent.app_version,
            overwrite=overwrite,
            anchor=head,
            by=note.get("by", ""),
            only=note.get("only"),
        )
        reach("lake.committed")
        made = self._settle(intent)
        if made is None:
            raise IntegrityError(f"a commit to {log.path} cannot be found after it was made", do="millstream verify")
        return made

    def _settle(self, intent: Intent) -> TableVersion | None:
        """Register the commit of an intended write; forget the intent when nothing was committed."""
        catalog = self._catalog
        log = self._log(intent.table)
        head = versions.head(self._state, intent.table)
        number = self._find(log, intent, since=-1 if head is None else head.version)
        if number is None:
            with self._state.transact() as tx:
                versions.forget_intent(tx, intent)
            return None
        added = [msgspec.structs.replace(each, since=number) for each in log.sync(number)]
        reach("lake.synced")
        _, removed = log.changes(number)
        table = bare(self._catalog, intent.table)
        before = [] if head is None else catalog.files(table, head.version)
        note = msgspec.json.decode(intent.note)
        if "compacted" in note:
            added = as_written(added, note["compacted"])
        kept = [each for each in before if each.path not in set(removed)]
        snapshot = log.at(number)
        snapshot = Snapshot(
            number, {each.path: each for each in [*kept, *added]}, snapshot.columns, snapshot.partitions
        )
        copied = sum(each.size for each in added) if note["kind"] in ("ingested", "made") else 0
        if note["kind"] == "made":
            made = catalog.describe_made(table, snapshot, note, copied=copied)
        else:
            made = catalog.describe(table, snapshot, content=note.get("content", ""), copied=copied)
        if "seen" in note:  # no version is older than the rows it brought, wherever the clock stands by now
            seen = max(note["seen"], made.registered_at, key=parse_instant)
            made = msgspec.structs.replace(made, registered_at=seen)
        with self._state.transact() as tx:
            if note.get("anew"):
                versions.forget_schema(tx, intent.table)
            versions.expect_schema(tx, intent.table, shown(snapshot.columns))
            runs.put(tx, intent.table, number, msgspec.convert(note.get("runs", []), list[Run]), at=made.registered_at)
            catalog.register(tx, made, added=added, removed=removed, actor=intent.actor)
            if "taking" in note:
                taken.record(tx, intent.table, number, msgspec.convert(note["taking"], taken.Taking))
            if "compacted" in note:
                record_compacted(catalog, tx, made, note["compacted"], before, actor=intent.actor)
            versions.fulfil(tx, intent, number)
            reach("lake.registering")
        reach("lake.registered")
        catalog.remember(intent.table, number, [*kept, *added])
        return made

    def _find(self, log: DeltaLog, intent: Intent, *, since: int) -> int | None:
        try:
            newest = log.head().version
        except (NotFound, IntegrityError):
            return None
        for number in range(newest, since, -1):
            if log.written_by(number).get(intent.app_id) == intent.app_version:
                return number
        return None

    def _recover(self) -> list[Finding]:
        found: list[Finding] = []
        for intent in versions.open_intents(self._state):
            try:
                made = self._settle(intent)
            except UserError as wrong:  # its definition does not fit it any more: its own refresh says so, others go on
                found.append(Finding(False, intent.table, f"a commit waits for its definition: {wrong.happened}"))
                continue
            if made is not None:
                found.append(
                    Finding(True, f"{made.table}@{made.version}", "committed before a crash, adopted now as intended")
                )
        return found

    def _log(self, name: str) -> DeltaLog:
        return self._catalog.log(bare(self._catalog, name))


def _sha256(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:  # it is named when it is read
        return None


def _delivered(columns: dict[str, str] | None) -> dict[str, str] | None:
    """Return the columns a source must deliver: those of a table without the lake's own."""
    return None if columns is None else plain(columns)


def _frame_schema(columns: dict[str, str]) -> pl.Schema:
    return empty(columns, where="a table").schema
