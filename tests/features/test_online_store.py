"""LMDB passes the suite of online stores; a store that does not keep its promises is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.features.online import LmdbOnline
from millstream.testing import OnlineStoreSuite


class Lmdb:
    """One folder; a process opens it once, so reader and writer share one object that closes with the last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, *, readonly: bool = False) -> LmdbOnline:
        if readonly:
            return _Shared(self._made)
        self._made = LmdbOnline(self._folder, map_bytes=64 << 20)
        return self._made


class _Shared:
    def __init__(self, made: LmdbOnline) -> None:
        self.snapshot, self.keys = made.snapshot, made.keys

    def close(self) -> None:
        pass


@pytest.fixture
def online(tmp_path: Path) -> Lmdb:
    return Lmdb(tmp_path / "online")


class TestLmdb(OnlineStoreSuite):
    pass


class Careless(LmdbOnline):
    """Commits each change by itself."""

    def commit(self, changes) -> None:
        for each in changes:
            super().commit([each])


def test_a_store_that_commits_in_pieces_is_noticed(tmp_path: Path) -> None:
    class Origin:
        def open(self, *, readonly: bool = False):
            return Careless(tmp_path, map_bytes=64 << 20)

    with pytest.raises(AssertionError, match="half a commit"):
        OnlineStoreSuite().test_a_commit_is_all_or_nothing(Origin())
