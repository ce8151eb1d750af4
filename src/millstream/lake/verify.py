"""Whether every registered version is still what was registered."""

from __future__ import annotations

from pathlib import Path

import msgspec

from millstream.definitions.table import Table
from millstream.errors import MillstreamError
from millstream.lake.catalog import Catalog, derived_hash, files_hash, folders, made_hash
from millstream.lake.delta import file_sha256
from millstream.lake.finding import Finding
from millstream.lake.housekeeping.gone import gone, why_gone
from millstream.lake.spare import EDITED
from millstream.ledger import LedgerRow
from millstream.state import edits, housekeeping, pins, versions
from millstream.state.versions import DataFile, TableVersion
from millstream.types import content_hash

_TOLD = ("kind", "rows", "files_hash", "inputs", "definition")
"""What the ledger's row of a version repeats."""


def verify(catalog: Catalog, *, deep: bool = False, actor: str = "somebody") -> list[Finding]:
    """Check every version of every table; one finding a table: how many hold, or the first that does not.

    Files must exist with their registered sizes, but for those of earlier versions that the owner of an attached table
    deleted, which are counted; files written here must have their registered bytes. Costs one read
    of the lake's own files and one look at each attached one. What a version says is compared with the ledger.

    Parameters
    ----------
    deep
        Read the bytes of attached files too; those that nobody hashed yet are hashed, and kept for the next time.
    actor
        Who asks, for the ledger's row of what was hashed.
    """
    found = []
    told = _told(catalog)
    said = _said_gone(catalog) if told is not None else {}
    for name in versions.heads(catalog.state):
        history = versions.history(catalog.state, name)
        if history[0].kind != "own" and name not in catalog.manifest.tables:
            found.append(Finding(True, name, "no longer defined; its versions are not looked at"))
            continue
        try:
            bad = _first_untold(told, history) or _first_altered(catalog, told, history)
            bad = bad or _first_untold_gone(catalog, told, name, said) or _first_uncompacted(catalog, told, name)
            bad = bad or _first_bad(catalog, name, history)
            looked = ""
            if bad is None and history[-1].kind == "attached":
                bad, looked = _attached(catalog, name, told, deep=deep, actor=actor)
        except MillstreamError as wrong:
            bad = Finding(False, name, wrong.happened)
        count = f"{len(history)} version{'s' * (len(history) != 1)}, as registered"
        went = housekeeping.gone(catalog.state, name)
        count += f"; the data of {len(went)} of them went with gc, as the ledger tells" if went else ""
        if bad is None and history[-1].kind == "attached":
            left = _left(catalog, name)
            files = f"{len(left)} file{'s' * (len(left) != 1)}"
            count += f"; of earlier ones its owner deleted {files}: what rests on them is named below" if left else ""
        found.append(bad or Finding(True, name, f"{count}{looked}"))
    return found


def _attached(
    catalog: Catalog, name: str, told: dict[str, LedgerRow] | None, *, deep: bool, actor: str
) -> tuple[Finding | None, str]:
    """Look at the bytes of files that somebody else owns: the first that is not as it was, and what was looked at."""
    late = versions.late_hashes(catalog.state, name)
    row = (told or {}).get(name)
    if told is not None and (late or row) and (row is None or content_hash(late) != row.detail["hashes"]):
        return Finding(False, name, "the hashes kept of its files are not as the ledger tells"), ""
    if not deep:
        return None, "; files there with their registered sizes (verify --deep reads their bytes)"
    where, fresh = folders(catalog, catalog.table(name)), {}
    left = _left(catalog, name)
    files = {each.path: each for each, _ in versions.all_files(catalog.state, name) if each.path not in left}
    for path, each in files.items():
        now, kept = file_sha256(where.place(path)), each.sha256 or late.get(path)
        if kept is None:
            fresh[path] = now
        elif kept != now:
            return Finding(False, name, f"file {where.place(path)} does not have the bytes it had"), ""
    if fresh and told is not None:
        with catalog.state.transact() as tx:
            versions.keep_hashes(tx, name, fresh)
            hashes = content_hash(versions.late_hashes(tx, name))
            catalog.ledger.append(tx, actor=actor, act="table.hash", subject=name, detail={"hashes": hashes})
    said = (
        f"; every byte of {len(files) - len(fresh)} of {len(files)} files as before" if len(files) > len(fresh) else ""
    )
    first = f"; {len(fresh)} hashed for the first time, for the next verify --deep" if fresh else ""
    return None, f"{said}{first}"


def _left(catalog: Catalog, name: str) -> set[str]:
    """Name the files of earlier versions of an attached table that its owner deleted since.

    That is the owner's right, and usual: a vacuum, a file tidied away. A file of the newest version is not among them.
    """
    where = folders(catalog, catalog.table(name))
    return {
        file.path
        for file, until in versions.all_files(catalog.state, name)
        if until is not None and not file.path.startswith(EDITED) and not where.place(file.path).exists()
    }


def unreadable(catalog: Catalog, name: str, number: int) -> str:
    """Say what keeps a version from being read as it was registered; empty when its files, or its inputs', are there.

    Sizes are looked at, bytes are not read.
    """
    found = versions.get(catalog.state, name, number)
    if found is None:
        return f"{name}@{number} is registered no more"
    if found.kind == "derived":
        return next((said for each, at in found.inputs.items() if (said := unreadable(catalog, each, at))), "")
    if said := why_gone(catalog, name, number):
        return said
    try:
        table = catalog.table(name)
        files = _files(catalog, table, found, versions.all_files(catalog.state, name))
    except MillstreamError as wrong:
        return wrong.happened
    if files_hash(files) != found.files_hash:
        return f"the list of files of {name}@{number} is not the one registered"
    where = folders(catalog, table)
    found_wrong = (_wrong(where.place(each.path), each, hashed=False) for each in files)
    return next((each for each in found_wrong if each is not None), "")


def _told(catalog: Catalog) -> dict[str, LedgerRow] | None:
    """Return the ledger's row of each version; None when the ledger itself does not hold, so nothing is compared."""
    if not catalog.ledger.verify().ok:
        return None
    rows = catalog.ledger.rows(acts=("table.version", "table.pull", "table.hash"), limit=1 << 40, newest=False)
    return {each.subject: each for each in rows}


def _first_untold(told: dict[str, LedgerRow] | None, history: list[TableVersion]) -> Finding | None:
    """Return the first version that the ledger tells otherwise, or not at all."""
    for each in history if told is not None else ():
        subject = f"{each.table}@{each.version}"
        row = told.get(subject) if told is not None else None
        if row is None and each.version < _pulled(told, history):
            continue  # taken over from production together with a later one
        if row is None:
            return Finding(False, subject, "no row of the ledger registers it")
        for name, said in row.detail.items():
            if name in _TOLD and getattr(each, name) != said:
                says = f"{name} is {getattr(each, name)!r}; row {row.sequence} of the ledger says {said!r}"
                return Finding(False, subject, says)
    return None


def _pulled(told: dict[str, LedgerRow] | None, history: list[TableVersion]) -> int:
    """Return the newest version of a table that was taken over from production; -1 for none."""
    rows = ((each.version, (told or {}).get(f"{each.table}@{each.version}")) for each in history)
    return max((version for version, row in rows if row is not None and row.act == "table.pull"), default=-1)


def _said_gone(catalog: Catalog) -> dict[str, list[list[int]]]:
    """Return, by table, the ranges of versions that the ledger says went."""
    found: dict[str, list[list[int]]] = {}
    for row in catalog.ledger.rows(acts=("lake.gc",), limit=1 << 40):
        for name, ranges in row.detail["versions"].items():
            found.setdefault(name, []).extend(ranges)
    return found


def _first_untold_gone(
    catalog: Catalog, told: dict[str, LedgerRow] | None, name: str, said: dict[str, list[list[int]]]
) -> Finding | None:
    """Return the first version that is kept as gone while no row of the ledger lets it go: its files may be missed."""
    for number in sorted(housekeeping.gone(catalog.state, name)) if told is not None else ():
        if not any(first <= number <= last for first, last in said.get(name, ())):
            return Finding(False, f"{name}@{number}", "is said to have gone with gc, and no row of the ledger tells so")
    return None


def _first_uncompacted(catalog: Catalog, told: dict[str, LedgerRow] | None, name: str) -> Finding | None:
    """Return the first compaction of which it is not kept, as the ledger tells, which version brought which rows."""
    if told is None or not housekeeping.runs(catalog.state, name):
        return None
    for row in catalog.ledger.rows(acts=("table.compact",), limit=1 << 40):
        if row.subject.rpartition("@")[0] != name:
            continue
        if housekeeping.runs_hash(catalog.state, name, row.detail["into"]) != row.detail["runs"]:
            return Finding(False, row.subject, "what is kept of its compacted rows is not as the ledger tells")
    return None


def _first_altered(catalog: Catalog, told: dict[str, LedgerRow] | None, history: list[TableVersion]) -> Finding | None:
    """Return the first version whose record or list of files, statistics included, is not as it was registered."""
    name = history[0].table
    records = versions.record_hashes(catalog.state, name)
    pulled = _pulled(told, history)
    taken = versions.taken_hash(catalog.state, name, pulled) if pulled >= 0 else ""
    for each in history if told is not None else ():
        subject = f"{name}@{each.version}"
        row = told.get(subject) if told is not None else None
        said = row.detail if row is not None else {}
        if each.version == pulled and said.get("taken", taken) != taken:
            return Finding(False, subject, "what was taken over from production is not as the ledger tells")
        if "record" in said and records[each.version] != said["record"]:
            return Finding(False, subject, f"its record is not as row {row.sequence if row else 0} of the ledger tells")
        edit = edits.get(catalog.state, name, each.version) if "edit" in said else None
        if "edit" in said and (edit is None or edits.edit_hash(edit) != said["edit"]["hash"]):
            return Finding(False, subject, "what is kept of this edit is not as the ledger tells")
        anew = versions.brought_hash(catalog.state, name, each.version)
        if row is not None and row.act != "table.pull" and said.get("brought", "") != anew:
            return Finding(False, subject, "what is kept of its rewritten files is not as the ledger tells")
        if "files" in said and versions.change_hash(catalog.state, name, each.version) != said["files"]:
            return Finding(False, subject, "what is kept of its files is not as the ledger tells")
    stray = next((file for file, _ in versions.all_files(catalog.state, name) if file.since not in records), None)
    if stray is not None:
        return Finding(False, name, f"file {stray.path} is kept of a version that nobody registered")
    return None


def _first_bad(catalog: Catalog, name: str, history: list[TableVersion]) -> Finding | None:
    if history[0].kind == "derived":
        for each in history:
            if each.files_hash != derived_hash(each.inputs, each.definition):
                return Finding(False, f"{name}@{each.version}", "its inputs or definition were changed in the state")
        return None
    table = catalog.table(name)
    kept = versions.all_files(catalog.state, name)
    seen: set[str] = set()
    went = gone(catalog, name)
    where, copied = folders(catalog, table), pins.copies(catalog.state, name)
    lost = next((each for each in copied if not _same(where.copy(each), copied[each].sha256)), None)
    if lost is not None:
        return Finding(False, name, f"the copy {where.copy(lost)} of {lost} has not the bytes that were copied")
    left = _left(catalog, name) if history[-1].kind == "attached" else set()
    for each in history:
        making = each.making
        if making is not None and each.content != made_hash(
            each.inputs, each.definition, making.code, making.masked, making.environment
        ):
            return Finding(False, f"{name}@{each.version}", "its inputs, definition or code were changed in the state")
        files = _files(catalog, table, each, kept)
        if files_hash(files) != each.files_hash:
            return Finding(False, f"{name}@{each.version}", "its list of files is not the one registered")
        if each.version in went:
            continue
        for file in files:
            if file.path not in seen and file.path not in left:
                seen.add(file.path)
                wrong = _wrong(
                    where.place(file.path), file, hashed=each.kind != "attached" or file.path.startswith(EDITED)
                )
                if wrong:
                    return Finding(False, f"{name}@{each.version}", wrong)
    return None


def _files(
    catalog: Catalog, table: Table, version: TableVersion, kept: list[tuple[DataFile, int | None]]
) -> list[DataFile]:
    edit = edits.get(catalog.state, table.name, version.version) if version.version > versions.BRANCHED else None
    if edit is not None:
        base = msgspec.structs.replace(version, version=edit.base)
        return edit.files(_files(catalog, table, base, kept))
    if not versions.listed(catalog.state, table.name, version.version):
        return list(catalog.log(table).at(version.version).files.values())
    number = version.version
    return [file for file, until in kept if file.since <= number and (until is None or number < until)]


def _same(path: Path, sha256: str) -> bool:
    return path.is_file() and file_sha256(path) == sha256


def _wrong(path: Path, file: DataFile, *, hashed: bool) -> str | None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return f"file {path} is missing"
    if size != file.size:
        return f"file {path} has {size} bytes, registered were {file.size}"
    if hashed and file.sha256 is not None and file_sha256(path) != file.sha256:
        return f"file {path} does not have the bytes that were registered"
    return None
