"""What the owner of an attached table did since we last looked: rows that came, went, or were only written anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from millstream.errors import MillstreamError
from millstream.lake.cache import FileCache
from millstream.lake.catalog import Catalog, folders
from millstream.lake.delta import Commit, DeltaLog, Snapshot
from millstream.lake.frame import TableFrame
from millstream.lake.reader import Reader
from millstream.state.versions import DataFile
from millstream.types import from_micros

_WEEK = timedelta(days=7)
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_LENGTH = re.compile(r"(\d+)\s*(second|minute|hour|day|week)s?")
_COMPARED_BYTES = 256 << 20
"""Rows of changed files are compared up to this size; of more, what the log says is told."""
_HASH = "__millstream_row"


@dataclass(frozen=True)
class Stage:
    """A version to register on the way to the newest.

    Parameters
    ----------
    snapshot
        Its files.
    brought
        Files whose rows earlier versions had already, to the first that had them.
    """

    snapshot: Snapshot
    brought: dict[str, int]


def stages(log: DeltaLog, before: Mapping[str, DataFile], since: int | None, newest: Snapshot) -> list[Stage]:
    """Say which versions to register from one on, so that rows that came and rows only written anew stay apart.

    A compaction that also took in rows not yet registered makes a version of its own, after one for those rows; when
    their files are gone, or its owner cleaned the log, or its row counts do not add up, all it wrote counts as new.
    """
    commits = None if since is None else log.commits(since + 1, newest.version)
    if since is None or commits is None or not any(each.anew for each in commits):
        return [Stage(newest, {})]
    held: dict[str, int] = {path: each.rows_since for path, each in before.items()}
    counts: dict[str, int | None] = {path: each.rows for path, each in before.items()}
    fresh: set[str] = set()
    made: list[Stage] = []
    for each in commits:
        anew = each.anew and _adds_up(each, counts)
        if anew and fresh & set(each.removed):
            if all((log.path / path).exists() for path in fresh):
                made.append(_stage(log, each.version - 1, held, since))
                held |= dict.fromkeys(fresh, each.version - 1)
                fresh = set()
            else:
                anew = False
        oldest = min((held[path] for path in each.removed if path in held), default=None)
        for path in each.removed:
            held.pop(path, None)
            fresh.discard(path)
        if anew and oldest is not None:
            held |= dict.fromkeys(each.added, oldest)
        else:
            fresh |= set(each.added)
        counts |= each.added
    last = _stage(log, newest.version, held, since, snapshot=newest)
    return [*made, last]


def _adds_up(commit: Commit, counts: Mapping[str, int | None]) -> bool:
    """Say whether a commit that claims to write rows anew has as many as it had; what is not told is believed."""
    old, new = [counts.get(path) for path in commit.removed], list(commit.added.values())
    if None in old or None in new:
        return True
    return sum(each or 0 for each in old) == sum(each or 0 for each in new)


def _stage(
    log: DeltaLog, version: int, held: Mapping[str, int], since: int, *, snapshot: Snapshot | None = None
) -> Stage:
    found = snapshot or log.at(version)
    return Stage(found, {path: held[path] for path in found.files if path in held})


def leaving(log: DeltaLog, since: int, newest: Snapshot, removed: Sequence[str], *, now: str) -> dict[str, str]:
    """Return from when (ISO 8601) the owner may delete files that the newest version has no more."""
    length = retention(newest.retention)
    told: dict[str, int] = {}
    for each in log.commits(since + 1, newest.version) or []:
        told |= each.removed
    said = {path: from_micros(told[path] * 1000) + length for path in removed if told.get(path)}
    return {path: said[path].isoformat() if path in said else now for path in removed}


def retention(said: str) -> timedelta:
    """Read a retention as Delta writes it; a week where nothing is said."""
    parts = _LENGTH.findall(said.lower())
    return timedelta(seconds=sum(int(count) * _UNITS[unit] for count, unit in parts)) if parts else _WEEK


def moved(catalog: Catalog, name: str, *, since: int, version: int) -> str:
    """Say how many rows came, changed and went between two versions of an attached table.

    Where its owner took no file away the log's counts are told; else the rows of the changed files are compared, by
    their key where the table has one.
    """
    table = catalog.table(name)
    had = {each.path: each for each in catalog.files(table, since)}
    has = {each.path: each for each in catalog.files(table, version)}
    gone = [each for path, each in had.items() if path not in has]
    fresh = [each for path, each in has.items() if path not in had]
    came = [each for each in fresh if each.rows_since > since]
    if not came and fresh:
        return f"its owner wrote {_count(gone, 'file')} anew as {len(fresh):,}: no row came or went"
    if not gone:
        return f"{_rows(came)} new" if came else "no row came or went"
    where = folders(catalog, table)
    small = sum(each.size for each in (*gone, *fresh)) <= _COMPARED_BYTES
    if small and all(where.place(each.path).exists() for each in gone):
        kept = [each for path, each in has.items() if path in had]
        reader = Reader(catalog, FileCache(0))
        try:
            new = reader.read(catalog.version(name, version), trusted=False, without=kept)
            old = reader.read(catalog.version(name, since), trusted=False, without=kept)
        except MillstreamError:  # what keeps them from being read is told where they are read
            return f"{_rows(fresh)} written, {_rows(gone)} taken away"
        return _compared(new, old)
    return f"{_rows(fresh)} written, {_rows(gone)} taken away, rows written anew counted in both"


def files_moved(catalog: Catalog, name: str, since: int, version: int) -> str:
    """Say how many files came, and name those that are gone."""
    table = catalog.table(name)
    had, has = ({each.path for each in catalog.files(table, at)} for at in (since, version))
    gone = sorted(had - has)
    named = f", {len(gone):,} gone ({', '.join(gone[:3])}{' ...' if len(gone) > 3 else ''})" if gone else ""
    fresh = len(has - had)
    return f"{fresh:,} file{'s' * (fresh != 1)} came{named}"


def _compared(new: TableFrame, old: TableFrame) -> str:
    columns = [each for each in new.schema if old.schema.get(each) == new.schema[each]]
    hashed = pl.struct(columns).hash().alias(_HASH)
    key = [each for each in new.key if each in columns]
    if not key or len(key) != len(new.key):
        now, before = (each.frame.select(hashed).group_by(_HASH).len() for each in (new, old))
        both = now.join(before, on=_HASH, how="full", coalesce=True).fill_null(0)
        more = both.select((pl.col("len").cast(pl.Int64) - pl.col("len_right").cast(pl.Int64)).alias("more"))["more"]
        return f"{_number(int(more.clip(0).sum()))} came, {-int(more.clip(upper_bound=0).sum()):,} vanished"
    now, before = new.frame.select(*key, hashed), old.frame.select(*key, hashed)
    came = now.join(before, on=key, how="anti", nulls_equal=True).height
    gone = before.join(now, on=key, how="anti", nulls_equal=True).height
    both = now.join(before, on=key, how="semi", nulls_equal=True)
    changed = both.join(before, on=[*key, _HASH], how="anti", nulls_equal=True).select(key).unique().height
    left = "; earlier versions keep what is gone" if gone else ""
    return f"{_number(came)} came, {changed:,} changed, {gone:,} vanished{left}"


def _rows(files: Sequence[DataFile]) -> str:
    known = [each.rows for each in files if each.rows is not None]
    return _number(sum(known)) if len(known) == len(files) else f"rows of {_count(files, 'file')}"


def _number(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


def _count(files: Sequence[DataFile], word: str) -> str:
    return f"{len(files):,} {word}{'s' * (len(files) != 1)}"
