"""A folder and a bucket are the same to who reads files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import obstore
import pytest

from millstream.definitions.databases import Postgres, Relational, Sql
from millstream.sources.reading import Reading, reading
from millstream.sources.stores import Store, store
from millstream.testing import Bench, DatabaseSuite, LakeSuite, StoreSuite
from tests.objects import Bucket
from tests.postgres import Server


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def store(self, pattern: str) -> Store:
        return store(pattern, self.root)

    def put(self, key: str, body: bytes) -> None:
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / f"{key}.new").write_bytes(body)
        (self.root / f"{key}.new").rename(self.root / key)

    def remove(self, key: str) -> None:
        (self.root / key).unlink()


class Remote:
    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def store(self, pattern: str) -> Store:
        return store(f"s3://{self.bucket.name}/{pattern}", Path("/"))

    def put(self, key: str, body: bytes) -> None:
        self.bucket.put(key, body)

    def remove(self, key: str) -> None:
        obstore.delete(self.bucket.server.store(self.bucket.name), key)


class TestFolder(StoreSuite):
    @pytest.fixture
    def stock(self, tmp_path: Path) -> Folder:
        return Folder(tmp_path)


class TestObjectStore(StoreSuite):
    @pytest.fixture
    def stock(self, bucket: Bucket) -> Remote:
        return Remote(bucket)


class Opened:
    def __init__(self, kind: type[Relational], address: str, root: Path, run: Any) -> None:
        self.kind, self.address, self.root, self.run = kind, address, root, run

    def reading(self, **words: Any) -> AbstractContextManager[Reading]:
        return reading(self.kind(**words), {"shop": self.address}, root=self.root, where="table 't'")  # type: ignore[arg-type]


class TestSqlite(DatabaseSuite):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Opened]:
        kept = sqlite3.connect(tmp_path / "shop.db", isolation_level=None)
        yield Opened(Sql, "sqlite:///shop.db", tmp_path, kept.execute)
        kept.close()


class TestPostgres(DatabaseSuite):
    @pytest.fixture
    def database(self, server: Server, tmp_path: Path) -> Opened:
        name = server.database()
        return Opened(Postgres, server.url(name), tmp_path, lambda each: server.run(name, each))


class TestLake(LakeSuite):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return Bench(tmp_path)
