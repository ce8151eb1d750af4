"""Following the pointer: a new release is loaded whole and verified before it answers, and a lease says so."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable

from millstream.errors import MillstreamError
from millstream.serving.chain import Chain
from millstream.serving.live import Live
from millstream.serving.log import PredictionLog
from millstream.state import State, Transaction, leases, segments
from millstream.traffic import Route, routes

_log = logging.getLogger("millstream.serving")

POLL_S = 0.02
RENEW_S = 1.0
LEASE_S = 3.0
_RETRY_S = 1.0
_DRAIN_S = 2.0

OpenChain = Callable[[Route, Chain | None], Chain]
"""Make what answers for a model by its route, given what answers now; raises when the release is not whole."""

Switch = Callable[[Callable[[], None]], None]
"""Run a function where requests are answered, between two of them, and return when it has run."""


class Watcher:
    """Keeps what is served equal to what the pointer says, in a thread of its own.

    Parameters
    ----------
    state
        The state database.
    live
        What is served.
    server, url
        Who and where this process is, for its lease.
    open_chain
        How a route becomes something that answers.
    log
        The prediction log, whose segments are made known with the lease; None for none.
    """

    def __init__(
        self,
        state: State,
        live: Live,
        *,
        server: str,
        url: str,
        open_chain: OpenChain,
        log: PredictionLog | None = None,
    ) -> None:
        self._log = log
        self._known: dict[str, int] = {}
        self._state = state
        self._live = live
        self._server, self._url = server, url
        self._open_chain = open_chain
        self._switch: Switch = lambda change: change()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen = -1
        self._failed: dict[str, tuple[int, float]] = {}
        self._starting: dict[str, Chain] = {}
        self._expires_at = 0.0
        self._renew_at = 0.0

    def tick(self) -> None:
        """Look once: load what is new, then renew the lease if it is time or something changed."""
        seen = self._state.data_version()
        now = time.monotonic()
        again = any(now >= each for _, each in self._failed.values())
        changed = seen != self._seen or again or bool(self._starting)
        if changed:
            changed = self._load()
            self._seen = seen
        if changed or now >= self._renew_at:
            self._renew()

    def start(self, switch: Switch) -> None:
        """Go on looking in a thread; ``switch`` runs a change where requests are answered."""
        self._switch = switch
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking and give the lease back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=LEASE_S)
        self._live.lease_until = 0.0
        try:
            with self._state.transact() as tx:
                leases.end(tx, self._server)
                begun = self._tell_of_log(tx)
            self._told_of_log(begun)
        except (MillstreamError, sqlite3.Error):
            _log.warning("the lease could not be given back; it runs out in %s s", LEASE_S, exc_info=True)

    def _run(self) -> None:
        self._seen = -1  # the number is a connection's own, and every thread has a connection of its own
        while not self._stop.wait(POLL_S):
            try:
                self.tick()
            except (MillstreamError, sqlite3.Error, OSError):
                _log.warning("the state database did not answer; the lease runs out by itself", exc_info=True)
                self._stop.wait(_RETRY_S / 4)

    def _load(self) -> bool:
        """Load what the routes say; return whether anything that is served changed."""
        chains = dict(self._live.chains)
        replaced: list[Chain] = []
        changed = False
        for each in routes(self._state):
            now = chains.get(each.model)
            if each.champion is None or self._is_served(each, now):
                continue
            chain = self._opened(each, now)
            if chain is None:
                continue
            if now is not None:
                replaced.append(now)
            chains[each.model] = chain
            changed = True
        if changed:
            problems = {name: chain.refused for name, chain in chains.items() if chain.refused}
            problems |= {name: said for name, said in self._live.problems.items() if name not in chains}
            self._switch(lambda: self._live.replace(chains, problems))
            self._drain(replaced)
            for gone in replaced:
                if not gone.in_use:
                    gone.close(keep=chains.values())
        return changed

    def _is_served(self, wanted: Route, now: Chain | None) -> bool:
        if now is not None and now.generation == wanted.generation and not now.refused:
            return True
        generation, again = self._failed.get(wanted.model, (-1, 0.0))
        return generation == wanted.generation and time.monotonic() < again

    def _opened(self, wanted: Route, now: Chain | None) -> Chain | None:
        """Open what a route names; one that is not whole never answers: what answered before stands in."""
        try:
            chain = self._started(wanted, now)
        except (MillstreamError, OSError) as wrong:
            named = f"{wanted.model}@{wanted.champion.version}" if wanted.champion else wanted.model
            said = f"{named} is not live here: {wrong}"
            if self._failed.get(wanted.model, (-1, 0.0))[0] != wanted.generation:
                _log.error(said)
            self._failed[wanted.model] = (wanted.generation, time.monotonic() + _RETRY_S)
            if now is None:
                self._live.problems = {**self._live.problems, wanted.model: said}
                return None
            if now.refused == said:
                return None
            return Chain(
                now.champion, previous=now.champion, traffic=now.traffic, generation=now.generation, refused=said
            )
        self._failed.pop(wanted.model, None)
        return chain

    def _started(self, wanted: Route, now: Chain | None) -> Chain | None:
        """Open what a route names, and return it when its worker, if it has one, is ready; until then None.

        A server that serves nothing yet takes it as it is: its fallbacks answer, labelled, while the worker starts.
        """
        begun = self._starting.pop(wanted.model, None)
        served = (now,) if now is not None else ()
        if begun is not None and begun.generation != wanted.generation:
            begun.close(keep=served)
            begun = None
        chain = begun or self._open_chain(wanted, now)
        try:
            if chain.ready or self._thread is None:
                return chain
        except MillstreamError:
            chain.close(keep=served)
            raise
        self._starting[wanted.model] = chain
        return None

    def _drain(self, replaced: list[Chain]) -> None:
        """Wait for the requests that older releases are still answering, so that an acknowledgement is true."""
        until = time.monotonic() + _DRAIN_S
        while any(chain.in_use for chain in replaced) and time.monotonic() < until:
            time.sleep(0.001)

    def _renew(self) -> None:
        generations = self._live.generations
        with self._state.transact() as tx:
            now_s, now = time.time(), time.monotonic()
            lease = leases.Lease(self._server, self._url, os.getpid(), generations, now_s + LEASE_S)
            behind = leases.renew(tx, lease, now_s=now_s)
            begun = self._tell_of_log(tx)
        self._told_of_log(begun)
        if behind and self._expires_at <= now_s:
            self._renew_at = time.monotonic() + POLL_S
            return
        self._expires_at = lease.expires_at
        self._live.lease_until = now + LEASE_S
        self._renew_at = now + RENEW_S

    def _tell_of_log(self, tx: Transaction) -> list[segments.Begun]:
        """Write down which segments of the log there are and how far they reach: one that is gone is missed then."""
        begun = [] if self._log is None else self._log.begun()
        for each in begun:
            if self._known.get(each.name) != each.last_sequence:
                segments.begin(tx, each)
        return begun

    def _told_of_log(self, begun: list[segments.Begun]) -> None:
        self._known = {each.name: each.last_sequence for each in begun}
        if self._log is not None:
            self._log.told(begun)
