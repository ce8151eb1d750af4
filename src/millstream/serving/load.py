"""From a route to what answers: releases verified, their models loaded, the online store opened once."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from millstream.definitions.traffic import Champion
from millstream.errors import MillstreamError, NotFound, Unavailable
from millstream.features.online.store import LOOK_S, Change, LmdbOnline, OnlineStore, Snapshot
from millstream.features.requests import REQUESTS, Requests
from millstream.releases.verify import Release, open_release
from millstream.serving import models
from millstream.serving.chain import Chain
from millstream.serving.scorer import Scorer
from millstream.traffic import ReleaseRef, Route

_log = logging.getLogger("millstream.serving")


class Loader:
    """Opens releases for one scoring process; a release that is loaded already is not loaded again.

    Parameters
    ----------
    keys
        Folder of the keys that releases are signed with.
    online
        Folder of the online store.
    python
        Interpreter that workers of Python models run on; this one unless given.
    """

    def __init__(self, *, keys: Path, online: Path, python: str = "") -> None:
        self._keys, self._folder, self._python = keys, online, python
        self._store: OnlineStore | None = None

    def open_chain(self, route: Route, now: Chain | None) -> Chain:
        """Make what answers for a model; nothing of a release is used before all of it was verified.

        Raises
        ------
        NotFound
            When the model never had a release.
        IntegrityError
            When the live release is not exactly what was signed. (A previous one that is not is left out.)
        """
        if route.champion is None:
            raise NotFound(f"{route.model} has no live release", do=f"millstream release {route.model}")
        champion, traffic = self._open(route.champion, now)
        previous: Scorer | None = None
        if route.previous is not None and "previous" in traffic.fallback:
            try:
                previous, _ = self._open(route.previous, now)
            except MillstreamError:
                _log.exception("%s@%s cannot stand in", route.model, route.previous.version)
        return Chain(champion, previous=previous, traffic=traffic, generation=route.generation)

    def _open(self, wanted: ReleaseRef, now: Chain | None) -> tuple[Scorer, Champion]:
        release = open_release(wanted.path, self._keys, expected=wanted.id)
        for held in (now.champion, now.previous) if now is not None else ():
            if held is not None and held.release == release.id:
                return held, _traffic(release)
        scorer = Scorer(
            release.read,
            release=release.id,
            model=release.model,
            version=release.version,
            store=self._online(),
            python=self._python,
            requests=models.decode(release.read, REQUESTS, Requests) if REQUESTS in release.said.files else None,
        )
        return scorer, _traffic(release)

    def _online(self) -> OnlineStore:
        try:
            return self._opened()
        except Unavailable as wrong:
            return _Nothing(wrong, self._opened)

    def _opened(self) -> OnlineStore:
        if self._store is None:
            self._store = LmdbOnline(self._folder, readonly=True)
        return self._store


class _Nothing:
    """Stands in for an online store that cannot be opened: lookups say why, and fallbacks answer, until it can be."""

    def __init__(self, wrong: Unavailable, opened: Callable[[], OnlineStore]) -> None:
        self._wrong, self._opened = wrong, opened
        self._store: OnlineStore | None = None
        self._look_at = time.monotonic() + LOOK_S

    def _found(self) -> OnlineStore:
        if self._store is None and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            with contextlib.suppress(Unavailable):
                self._store = self._opened()
        if self._store is None:
            raise self._wrong
        return self._store

    def snapshot(self) -> Snapshot:
        return self._found().snapshot()

    def keys(self, prefix: bytes) -> list[bytes]:
        return self._found().keys(prefix)

    def commit(self, changes: Iterable[Change]) -> None:
        raise self._wrong

    def close(self) -> None:
        pass


class _Definition(msgspec.Struct, frozen=True):
    traffic: Champion = Champion()


class _Definitions(msgspec.Struct, frozen=True):
    models: dict[str, _Definition]


def _traffic(release: Release) -> Champion:
    """Read how traffic goes from the definitions in the release."""
    said = msgspec.json.decode(release.read("manifest.json"), type=_Definitions)
    return said.models.get(release.model, _Definition()).traffic
