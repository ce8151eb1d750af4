"""Delta tables: reading their log, naming their files, committing to our own. The only file that imports deltalake.

Once a snapshot is loaded, newer commits are read from the log itself (one small JSON file each, 0.2 ms), because
opening a table anew grows with its history. deltalake never syncs what it writes to a local disk, so ``sync`` does,
and must be called before a commit is acknowledged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import msgspec
import polars as pl
from arro3.core import RecordBatchReader
from arro3.core import Table as Arrow
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction, write_deltalake
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from millstream.disk import sync
from millstream.errors import BadData, DefinitionError, IntegrityError, NotFound, StorageFull, near
from millstream.lake.batches import Batches, Shelved
from millstream.state.versions import DataFile
from millstream.types import to_micros

_READABLE = {"timestampNtz", "columnMapping", "deletionVectors", "v2Checkpoint", "vacuumProtocolCheck"}
"""Reader features of which reading by file list is right, or which are refused where they are in use."""

_ANCHOR = "millstream.ledger"
_RETENTION = "delta.deletedFileRetentionDuration"
_KEEP_LOG = "interval 36500 days"


@dataclass(frozen=True)
class Snapshot:
    """The files one version of a Delta table is made of.

    Parameters
    ----------
    version
        Delta's number.
    files
        Path as in the log (decoded) to file.
    columns
        Column to Delta type (``long``, ``timestamp_ntz`` ...).
    partitions
        Columns that are not inside the files.
    retention
        How long the owner keeps files of earlier versions, as the table says it (``interval 1 week``).
    """

    version: int
    files: dict[str, DataFile]
    columns: dict[str, str]
    partitions: tuple[str, ...]
    retention: str = ""


@dataclass(frozen=True)
class Commit:
    """What one commit did.

    Parameters
    ----------
    version
        Its number.
    added
        Files it added, to their rows, where the log says.
    removed
        Files it removed, to the instant (ms since the epoch) from which the owner's retention counts.
    anew
        Whether it only wrote rows anew (``dataChange`` is false): compaction, clustering.
    """

    version: int
    added: dict[str, int | None]
    removed: dict[str, int]
    anew: bool


class DeltaLog:
    """The log of one Delta table on a local disk.

    Parameters
    ----------
    path
        Folder of the table.
    event_time
        Column whose file statistics are kept, if it is one of the files' own.
    timezone
        Zone of naive event times.
    """

    def __init__(
        self, path: Path, *, event_time: str | None = None, timezone: str | None = None, without: Iterable[str] = ()
    ) -> None:
        self.path = path
        self._without = tuple(without)
        self._all: tuple[str, ...] = ()
        self._event_time = event_time
        self._zone = ZoneInfo(timezone) if timezone else UTC
        self._kept: Snapshot | None = None

    def head(self) -> Snapshot:
        """Return the newest version, reading only commits that were not read before.

        A last commit of zero bytes, left by a crash of its writer, is not a version (see ``torn``).
        """
        kept = self._kept
        if kept is None or (self._checkpointed() > kept.version and not self._commit(kept.version + 1).exists()):
            kept = self._load(None)
        while True:
            actions = self._actions(kept.version + 1)
            if actions is None:
                break
            kept = self._advance(kept, actions)
        self._kept = kept
        return kept

    def refuse_unknown(self) -> None:
        """Refuse to leave out a column that the newest version does not have.

        Raises
        ------
        DefinitionError
            Naming it, with near matches.
        """
        self.head()
        for each in self._without:
            if each not in self._all:
                raise DefinitionError(
                    f"sources.Delta({str(self.path)!r}, without=...) names no column {each!r}", do=near(each, self._all)
                )

    def at(self, version: int) -> Snapshot:
        """Return one version.

        Raises
        ------
        NotFound
            When there is no such version, or its log was cleaned up by the table's owner.
        """
        if self._kept is not None and self._kept.version == version:
            return self._kept
        return self._load(version)

    def torn(self) -> int | None:
        """Return the version of a last commit file that is empty or cut, if there is one."""
        last = max((int(each.stem) for each in self._log.glob("*.json") if each.stem.isdigit()), default=None)
        if last is None:
            return None
        try:
            _parse(self._commit(last).read_bytes())
        except ValueError:
            return last
        return None

    def written_by(self, version: int) -> dict[str, int]:
        """Return the application ids and versions that a commit carries."""
        actions = self._actions(version) or []
        return {each["txn"]["appId"]: each["txn"]["version"] for each in actions if "txn" in each}

    def anchors(self) -> dict[int, str]:
        """Return, for each commit that kept one, the head of the ledger before it."""
        found = {}
        for path in sorted(self._log.glob("*.json")):
            actions = self._actions(int(path.stem)) if path.stem.isdigit() else None
            for each in actions or []:
                anchor = each.get("commitInfo", {}).get(_ANCHOR)
                if isinstance(anchor, str):
                    found[int(path.stem)] = anchor
        return found

    def changes(self, version: int) -> tuple[list[DataFile], list[str]]:
        """Return the files one commit added, and the paths it removed."""
        actions = self._actions(version) or []
        added = [self._file(each["add"]) for each in actions if each.get("add")]
        return added, [unquote(each["remove"]["path"]) for each in actions if each.get("remove")]

    def named(self) -> set[str]:
        """Return every file that any commit of the log added, whether it was removed since or not."""
        numbers = sorted(int(each.stem) for each in self._log.glob("*.json") if each.stem.isdigit())
        return {each.path for number in numbers for each in self.changes(number)[0]}

    def commits(self, first: int, last: int) -> list[Commit] | None:
        """Return what each commit of a range did; None when its owner cleaned the log of one."""
        found = []
        for version in range(first, last + 1):
            actions = self._actions(version)
            if actions is None:
                return None
            adds = [each["add"] for each in actions if each.get("add")]
            removes = [each["remove"] for each in actions if each.get("remove")]
            added = {each.path: each.rows for each in map(self._file, adds)}
            removed = {unquote(each["path"]): int(each.get("deletionTimestamp") or 0) for each in removes}
            anew = bool(adds) and not any(each.get("dataChange", True) for each in (*adds, *removes))
            found.append(Commit(version, added, removed, anew))
        return found

    def append(
        self,
        rows: pl.DataFrame | Batches | Shelved,
        *,
        app_id: str,
        app_version: int,
        overwrite: bool = False,
        anchor: str = "",
        by: str = "",
        only: Collection[str] | None = None,
    ) -> int:
        """Commit rows under an application's id; return the version. Nothing is synced yet.

        Batches are written as they come: memory holds a few of them. ``anchor`` is the ledger's head, kept with the
        commit (see ``anchors``). ``by`` is the column that parts the files; of these parts ``only`` those are
        overwritten that it names, and the files of the others stay as they are.

        Raises
        ------
        StorageFull
            When the disk refuses the write.
        IntegrityError
            When the log does not let itself be written.
        """
        said = {_ANCHOR: anchor} if anchor else None
        properties = CommitProperties(app_transactions=[Transaction(app_id, app_version)], custom_metadata=said)
        hooks = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
        words: dict[str, Any] = {"mode": "append"}
        if overwrite:
            words = {"mode": "overwrite"}
            words |= {"schema_mode": "overwrite"} if only is None else {"predicate": _named(by, only)}
        try:
            if isinstance(rows, Shelved):
                self._place(rows, properties, hooks, overwrite=overwrite)
                return self.head().version
            write_deltalake(
                self.path,
                _stream(rows) if isinstance(rows, Batches) else rows,
                partition_by=[by] if by else [],
                configuration={"delta.logRetentionDuration": _KEEP_LOG},
                commit_properties=properties,
                post_commithook_properties=hooks,
                **words,
            )
        except (DeltaError, OSError) as wrong:
            if "No space left" in str(wrong) or "Disk quota" in str(wrong):
                raise StorageFull(
                    f"{self.path} could not be written: {wrong}", do="free some space and try again"
                ) from None
            raise IntegrityError(f"{self.path} could not be written: {wrong}", do="millstream verify") from None
        return self.head().version

    def _place(
        self, rows: Shelved, properties: CommitProperties, hooks: PostCommitHookProperties, *, overwrite: bool
    ) -> None:
        """Commit data files that are there already, and let others go, in one commit."""
        schema = Schema.from_arrow(Arrow.from_arrow(pl.DataFrame(schema=rows.schema)).schema)
        now = int(datetime.now(UTC).timestamp() * 1000)
        adds = [AddAction(each.data, each.size, {}, now, not rows.anew, each.stats) for each in rows.files]
        if not self._log.is_dir():
            create_table_with_add_actions(
                str(self.path),
                schema,
                adds,
                configuration={"delta.logRetentionDuration": _KEEP_LOG},
                commit_properties=properties,
                post_commithook_properties=hooks,
            )
            return
        gone = (
            [] if overwrite else [RemoveAction(each.path, not rows.anew, now, each.size, {}) for each in rows.removed]
        )
        DeltaTable(self.path).create_write_transaction(
            [*adds, *gone],
            "overwrite" if overwrite else "append",
            schema,
            commit_properties=properties,
            post_commithook_properties=hooks,
        )

    def sync(self, version: int) -> list[DataFile]:
        """Force a commit to the disk: its files, its log entry, both folders; return the files with their hashes.

        Raises
        ------
        StorageFull
            When the disk refuses; the commit is not to be acknowledged.
        """
        try:
            return self._sync(version)
        except FileNotFoundError as wrong:
            raise IntegrityError(f"a file of version {version} of {self.path} is gone: {wrong}") from None
        except OSError as wrong:
            raise StorageFull(f"{self.path} could not be synced: {wrong}", do="free some space and try again") from None

    def _sync(self, version: int) -> list[DataFile]:
        added, _ = self.changes(version)
        hashed = []
        folders = {self.path, self._log, self.path.parent}
        for each in added:
            file = self.path / each.path
            sync(file)
            hashed.append(msgspec.structs.replace(each, sha256=file_sha256(file)))
            folders.add(file.parent)
        log = [self._commit(version), *self._log.glob(f"{version:020d}.checkpoint*"), self._log / "_last_checkpoint"]
        for file in log:
            if file.exists():
                sync(file)
        for folder in sorted(folders):
            sync(folder)
        return hashed

    @property
    def _log(self) -> Path:
        return self.path / "_delta_log"

    def _commit(self, version: int) -> Path:
        return self._log / f"{version:020d}.json"

    def _checkpointed(self) -> int:
        try:
            return int(msgspec.json.decode((self._log / "_last_checkpoint").read_bytes())["version"])
        except (FileNotFoundError, msgspec.DecodeError, KeyError):
            return -1

    def _actions(self, version: int) -> list[dict[str, Any]] | None:
        try:
            body = self._commit(version).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _parse(body)
        except ValueError:
            if self._commit(version + 1).exists():
                raise IntegrityError(
                    f"{self._commit(version)} is not a Delta commit, yet later versions follow it",
                    do="restore the file from the table's owner",
                ) from None
            return None

    def _open(self, version: int | None) -> DeltaTable:
        if not self._log.is_dir():
            raise NotFound(
                f"{self.path} is not a Delta table: it has no _delta_log",
                do="check the path in sources.Delta(...); relative paths start at the project",
            )
        try:
            return DeltaTable(self.path, version=version)
        except (DeltaError, OSError, ValueError) as wrong:
            which = "" if version is None else f"version {version} of "
            raise NotFound(f"{which}{self.path} cannot be read: {wrong}", do="millstream status") from None

    def _load(self, version: int | None) -> Snapshot:
        torn = self.torn()
        if torn is not None and version is None:
            if torn == 0:
                raise IntegrityError(f"{self.path} has only an empty commit", do="wait for its owner to write it again")
            version = torn - 1
        table = self._open(version)
        features = set(table.protocol().reader_features or [])
        self._refuse(features, table.metadata().configuration)
        if "deletionVectors" in features and pl.DataFrame(table.deletion_vectors()).height:
            raise _deletion_vectors(self.path)
        columns = self._columns(table.schema().to_json())
        partitions = tuple(table.metadata().partition_columns)
        files = {}
        for row in pl.DataFrame(table.get_add_actions(flatten=True)).iter_rows(named=True):
            made = DataFile(
                path=unquote(row["path"]),
                size=row["size_bytes"],
                rows=row.get("num_records"),
                parts={each: _text(row.get(f"partition.{each}")) for each in partitions},
                timed_by=self._event_time,
                low=self._instant(row.get(f"min.{self._event_time}")),
                high=self._instant(row.get(f"max.{self._event_time}")),
            )
            files[made.path] = made
        retention = str(table.metadata().configuration.get(_RETENTION, ""))
        return Snapshot(int(table.version()), files, columns, partitions, retention)

    def _advance(self, kept: Snapshot, actions: Iterable[dict[str, Any]]) -> Snapshot:
        files, columns, partitions, retention = dict(kept.files), kept.columns, kept.partitions, kept.retention
        for each in actions:
            if gone := each.get("remove"):
                files.pop(unquote(gone["path"]), None)
            elif added := each.get("add"):
                if added.get("deletionVector"):
                    raise _deletion_vectors(self.path)
                made = self._file(added)
                files[made.path] = made
            elif meta := each.get("metaData"):
                self._refuse(set(), meta.get("configuration") or {})
                retention = str((meta.get("configuration") or {}).get(_RETENTION, ""))
                columns, partitions = self._columns(meta["schemaString"]), tuple(meta["partitionColumns"])
            elif protocol := each.get("protocol"):
                self._refuse(set(protocol.get("readerFeatures") or []), {})
        return Snapshot(kept.version + 1, files, columns, partitions, retention)

    def _columns(self, schema: str) -> dict[str, str]:
        def word(kind: Any) -> str:
            return kind if isinstance(kind, str) else str(kind["type"])

        found = {each["name"]: word(each["type"]) for each in msgspec.json.decode(schema)["fields"]}
        self._all = tuple(found)
        return {name: kind for name, kind in found.items() if name not in self._without}

    def _file(self, added: dict[str, Any]) -> DataFile:
        stats = msgspec.json.decode(added["stats"]) if added.get("stats") else {}
        return DataFile(
            path=unquote(added["path"]),
            size=added["size"],
            rows=stats.get("numRecords"),
            parts=added.get("partitionValues") or {},
            timed_by=self._event_time,
            low=self._instant(stats.get("minValues", {}).get(self._event_time)),
            high=self._instant(stats.get("maxValues", {}).get(self._event_time)),
        )

    def _instant(self, said: Any) -> int | None:
        if isinstance(said, str):
            try:
                said = datetime.fromisoformat(said)
            except ValueError:
                return None
        if not isinstance(said, datetime):
            return None
        return to_micros(said if said.tzinfo else said.replace(tzinfo=self._zone))

    def _refuse(self, features: set[str], configuration: dict[str, Any]) -> None:
        unknown = sorted(features - _READABLE)
        if unknown:
            raise BadData(
                f"{self.path} uses the Delta feature {', '.join(unknown)}, which reading by file list does not know",
                do="ask its owner to rewrite the table without it",
            )
        if configuration.get("delta.columnMapping.mode", "none") != "none":
            raise BadData(
                f"{self.path} uses column mapping: the names in its files are not its column names",
                do="ask its owner to rewrite the table without column mapping",
            )


def _named(by: str, only: Collection[str]) -> str:
    """Write the predicate of the parts that are replaced; of none, one that no file fulfils."""
    texts = ", ".join("'" + each.replace("'", "''") + "'" for each in only)
    return f"{by} in ({texts})" if texts else f"{by} is null"


def _stream(rows: Batches) -> RecordBatchReader:
    """Hand over frames one after the other."""
    schema = Arrow.from_arrow(pl.DataFrame(schema=rows.schema)).schema
    return RecordBatchReader.from_batches(
        schema, (batch for frame in rows.frames for batch in Arrow.from_arrow(frame).to_batches())
    )


def anchors_in(lake: Path) -> dict[str, str]:
    """Return the head of the ledger that each commit to a lake's own tables has kept, by version (``table@3``)."""
    return {
        f"{path.parent.name}@{number}": text
        for path in sorted(lake.glob("*/_delta_log"))
        for number, text in DeltaLog(path.parent).anchors().items()
    }


def file_sha256(path: Path) -> str:
    """Hash a file's bytes."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _parse(body: bytes) -> list[dict[str, Any]]:
    if not body.strip():
        raise ValueError("an empty commit")
    try:
        return [msgspec.json.decode(line) for line in body.splitlines() if line.strip()]
    except msgspec.DecodeError as wrong:
        raise ValueError(str(wrong)) from None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _deletion_vectors(path: Path) -> BadData:
    return BadData(
        f"{path} uses deletion vectors: its files hold rows that were deleted",
        do="ask its owner to purge them (REORG TABLE ... APPLY (PURGE)) and to switch them off",
    )
