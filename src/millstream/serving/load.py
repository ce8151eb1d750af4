"""From a pointer to what answers: releases verified, their models loaded, the online store opened once."""

from __future__ import annotations

from pathlib import Path

import msgspec

from millstream.definitions.traffic import Champion
from millstream.errors import MillstreamError, Unavailable
from millstream.features.online.store import LmdbOnline, OnlineStore, Snapshot
from millstream.releases.verify import Release, open_release
from millstream.serving.chain import Chain
from millstream.serving.scorer import Scorer
from millstream.settings import Places
from millstream.state import State, releases
from millstream.state.pointer import Pointer


class Loader:
    """Opens releases for one scoring process; a release that is loaded already is not loaded again.

    Parameters
    ----------
    places
        Addresses of the project.
    state
        The state database.
    """

    def __init__(self, places: Places, state: State) -> None:
        self._places = places
        self._state = state
        self._store: OnlineStore | None = None

    def open_chain(self, pointer: Pointer, now: Chain | None) -> Chain:
        """Make what answers for a model at a pointer; nothing of a release is used before all of it was verified.

        Raises
        ------
        IntegrityError
            When the live release is not exactly what was signed. (A previous one that is not is left out.)
        """
        assert pointer.release is not None
        champion, traffic = self._open(pointer.release, now)
        previous: Scorer | None = None
        if pointer.previous is not None and "previous" in traffic.fallback:
            try:
                previous, _ = self._open(pointer.previous, now)
            except MillstreamError:
                previous = None
        return Chain(champion, previous=previous, traffic=traffic, generation=pointer.generation)

    def _open(self, release: str, now: Chain | None) -> tuple[Scorer, Champion]:
        path = Path(releases.get(self._state, release).path)
        verified = open_release(path, self._places.keys, expected=release)
        traffic = _traffic(verified)
        for held in (now.champion, now.previous) if now is not None else ():
            if held is not None and held.release == release:
                return held, traffic
        scorer = Scorer(
            verified.read, release=release, model=verified.model, version=verified.version, store=self._online()
        )
        return scorer, traffic

    def _online(self) -> OnlineStore:
        if self._store is None:
            try:
                self._store = LmdbOnline(self._places.online, readonly=True)
            except Unavailable as wrong:
                return _Nothing(wrong)
        return self._store


class _Nothing:
    """Stands in for an online store that cannot be opened: every lookup says why, and fallbacks answer."""

    def __init__(self, wrong: Unavailable) -> None:
        self._wrong = wrong

    def snapshot(self) -> Snapshot:
        raise self._wrong

    def keys(self, prefix: bytes) -> list[bytes]:
        raise self._wrong

    def commit(self, changes: object) -> None:
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
