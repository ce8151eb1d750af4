"""The suites notice what they are for: a part that is broken in one way fails the law of that way."""

from __future__ import annotations

import dataclasses
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from millstream.definitions.databases import Sql
from millstream.sources.reading import reading
from millstream.sources.stores import Entry, Store
from millstream.testing import Bench, DatabaseSuite, LakeSuite, RedeliveredSuite, SourceSuite, StoreSuite
from tests.conformance.origins import Files
from tests.conformance.test_stores import Folder, Opened


class Unsure(Files):
    """Writes other bytes when it delivers again, and never breaks off."""

    def again(self) -> None:
        name, frame = self._delivered[-1]
        self.write(f"{name}-again", self.written(frame.reverse()))

    @contextmanager
    def half(self, added: pl.DataFrame) -> Iterator[None]:
        self.put(added)
        yield


class Sized:
    """Takes files of one size for the same, and lists them as they come."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def entries(self, *, where: str) -> list[Entry]:
        return [self._plain(each) for each in reversed(self._store.entries(where=where))]

    def look(self, entry: Entry) -> Entry | None:
        found = self._store.look(entry)
        return found and self._plain(found)

    def _plain(self, entry: Entry) -> Entry:
        return dataclasses.replace(entry, stamp=str(entry.size))


class Loose(Folder):
    def store(self, pattern: str) -> Any:
        return Sized(super().store(pattern))


def test_a_source_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="expected shape"):
        RedeliveredSuite().test_what_is_delivered_again_is_taken_once(
            Unsure(tmp_path / "a/in", "csv.gz"), tmp_path / "a"
        )
    with pytest.raises(AssertionError, match="not refused"):
        SourceSuite().test_half_a_read_takes_nothing_and_the_next_takes_all(
            Unsure(tmp_path / "b/in", "parquet"), tmp_path / "b"
        )


def test_a_store_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="should be"):
        StoreSuite().test_what_matches_is_listed_by_path(Loose(tmp_path / "a"))
    with pytest.raises(AssertionError, match="looks unchanged"):
        StoreSuite().test_a_file_that_is_written_again_has_another_stamp_and_else_the_same(Loose(tmp_path / "b"))


def test_a_database_that_is_wrong(tmp_path: Path) -> None:
    class Skips(Opened):
        @contextmanager
        def reading(self, **words: Any) -> Iterator[Any]:
            with reading(Sql(**words), {"shop": self.address}, root=self.root, where="t") as found:
                whole = found.copy
                found.copy = lambda since=None, **more: whole(since=None if since is None else since + 1, **more)  # type: ignore[method-assign, assignment]
                yield found

    kept = sqlite3.connect(tmp_path / "shop.db", isolation_level=None)
    with pytest.raises(AssertionError, match="from 14 on"):
        DatabaseSuite().test_the_cursor_keeps_what_is_at_its_edge(
            Skips(Sql, "sqlite:///shop.db", tmp_path, kept.execute), tmp_path
        )
    kept.close()


def test_a_lake_that_is_wrong(tmp_path: Path) -> None:
    class Forgets(Bench):
        def __enter__(self) -> Any:
            lake = super().__enter__()
            numbers, whole = itertools.count(), lake.append
            lake.append = lambda *given, **words: whole(*given, **words | {"app_version": next(numbers)})  # type: ignore[method-assign]
            return lake

    with pytest.raises(AssertionError, match="became version"):
        LakeSuite().test_law_4_the_same_identity_again_is_the_same_version(Forgets(tmp_path))
