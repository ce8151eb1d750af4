"""Every source that is built in keeps the contract that is asked of those of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.testing import BoundedSuite, NarrowedSuite, Origin, RedeliveredSuite, SourceSuite
from tests.conformance.origins import Files, Lite, Loaded, Objects, Served
from tests.objects import Bucket
from tests.postgres import Server

HOW = [pytest.param("", id="snapshot", marks=pytest.mark.nightly), pytest.param("id", id="cursor")]


class TestFiles(SourceSuite, NarrowedSuite, RedeliveredSuite):
    @pytest.fixture(params=["csv.gz", "jsonl", "parquet"])
    def origin(self, request: pytest.FixtureRequest, tmp_path: Path) -> Origin:
        return Files(tmp_path / "in", request.param)


class TestObjects(SourceSuite, NarrowedSuite, RedeliveredSuite):
    @pytest.fixture
    def origin(self, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
        return Objects(bucket, tmp_path / "in", lambda url: monkeypatch.setenv("AWS_ENDPOINT_URL", url))


class TestSql(SourceSuite, NarrowedSuite):
    @pytest.fixture(params=HOW)
    def origin(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Origin]:
        made = Lite(tmp_path / "shop.db", cursor=request.param)
        yield made
        made.kept.close()


class TestPostgres(SourceSuite, NarrowedSuite):
    @pytest.fixture(params=HOW)
    def origin(self, request: pytest.FixtureRequest, server: Server) -> Origin:
        return Served(server, cursor=request.param)


@pytest.mark.nightly
class TestDlt(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return Loaded(tmp_path)


@pytest.mark.nightly
class TestMemory(BoundedSuite):
    @pytest.fixture(params=["csv.gz", "jsonl", "parquet", "sqlite", "postgres"])
    def origin(self, request: pytest.FixtureRequest, tmp_path: Path) -> Origin:
        if request.param == "sqlite":
            return Lite(tmp_path / "shop.db")
        if request.param == "postgres":
            return Served(request.getfixturevalue("server"))
        return Files(tmp_path / "in", request.param)
