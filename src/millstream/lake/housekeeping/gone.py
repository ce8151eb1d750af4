"""What housekeeping left of versions: which went, and which version brought which rows of a compacted file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import polars as pl

from millstream.errors import IntegrityError, NotFound
from millstream.lake.catalog import Catalog
from millstream.state import edits, housekeeping, versions
from millstream.state.housekeeping import Gone, Runs
from millstream.state.versions import DataFile, TableVersion

Span = tuple[int, int]
"""Versions that brought rows: after the first, up to and with the second."""
_SHOWN = 6


def gone(catalog: Catalog, name: str) -> dict[int, Gone]:
    """Return the versions of a table whose files went; in an overlay, of a shared table, with production's cleaning."""
    found = housekeeping.gone(catalog.state, name)
    over = catalog.places.over
    if over is not None and over.state_db.exists() and name in catalog.shared():
        found = housekeeping.gone_beside(over.state_db, name) | found
    return found


def refuse_gone(catalog: Catalog, version: TableVersion) -> None:
    """Refuse to read a version whose files went.

    Raises
    ------
    NotFound
        Saying when it went, with what, and which versions are kept.
    """
    said = why_gone(catalog, version.table, version.version)
    if said:
        raise NotFound(
            said,
            expected=f"one that is kept: {_kept(catalog, version.table)}",
            do=f"millstream pin {version.table}@NUMBER keeps one",
        )


def why_gone(catalog: Catalog, name: str, number: int) -> str:
    """Say that a version went, when and with whom; empty when it is kept."""
    found = gone(catalog, name).get(number)
    return f"{name}@{number} went with gc on {found.at[:10]} by {found.actor} ({found.why})" if found else ""


def _kept(catalog: Catalog, name: str) -> str:
    lost = gone(catalog, name)
    kept = [each.version for each in versions.history(catalog.state, name) if each.version not in lost]
    shown = ", ".join(f"{name}@{each}" for each in kept[-_SHOWN:])
    return f"{'..., ' * (len(kept) > _SHOWN)}{shown}"


def compacted(catalog: Catalog, name: str, files: Iterable[DataFile]) -> dict[str, Runs]:
    """Return which version brought which rows of those files that compaction wrote."""
    return housekeeping.runs(catalog.state, name) if any(each.brought is not None for each in files) else {}


def parts(
    file: DataFile, frame: pl.DataFrame, runs: Runs | None, span: Span | None
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Cut a file's rows by the version that brought them; of a compacted file, only those of a range of versions."""
    if runs is None:
        yield file.rows_since, frame
        return
    start = 0
    for since, count in runs:
        if span is None or span[0] < since <= span[1]:
            yield since, frame.slice(start, count)
        start += count
    if start != frame.height:
        raise IntegrityError(
            f"{file.path} has {frame.height:,} rows, and compaction wrote {start:,}", do="millstream verify"
        )


def basis(catalog: Catalog, name: str, version: int) -> int:
    """Return the version of its source that a version rests on: of an edited one, the one below the edits."""
    edit = edits.get(catalog.state, name, version) if version > versions.BRANCHED else None
    return version if edit is None else edit.base


def had_by(catalog: Catalog, name: str, version: int) -> Callable[[int], bool]:
    """Return what says whether rows that a version brought were there at this one.

    Edits are numbered far above the versions of the source, so that an edited version has the edits up to its number
    and, of the source, what the version below it has.
    """
    low = basis(catalog, name, version)
    return lambda since: since <= (version if since > versions.BRANCHED else low)


def batch(catalog: Catalog, name: str, *, since: int | None, version: int) -> tuple[TableVersion, list[DataFile], Span]:
    """Say how to read the rows that a version brought: of which version, without which files, and whose rows.

    A version that went is read from the newest, which has all its rows if the table only grows, as those of the lake's
    own do.
    """
    new = catalog.version(name, version)
    table = catalog.table(name)
    span = (-1 if since is None else basis(catalog, name, since), version)
    there = None if since is None else had_by(catalog, name, since)
    had = [] if since is None else catalog.files(table, since)
    if new.kind == "own" and why_gone(catalog, name, version):
        new = catalog.head(name)
    files = catalog.files(table, new.version)
    runs = compacted(catalog, name, files)
    again = [
        each
        for each in files
        if each.path not in runs and there is not None and each.brought is not None and there(each.brought)
    ]
    later = [each for each in files if each.path not in runs and new.version != version and each.rows_since > version]
    return new, [*had, *again, *later], span
