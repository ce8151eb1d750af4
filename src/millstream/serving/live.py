"""What one scoring process serves now: a chain for each model, and the lease that lets it answer as champion."""

from __future__ import annotations

import time
from collections.abc import Mapping

from millstream.errors import NotFound, near
from millstream.serving.chain import Chain

NO_LEASE = "this server could not renew its lease"


class Live:
    """The one thing that changes while a scoring process runs; replaced by whole references, read without locks."""

    def __init__(self, *, leased: bool = False) -> None:
        self.chains: Mapping[str, Chain] = {}
        self.problems: Mapping[str, str] = {}
        self.lease_until = float("inf") if leased else 0.0

    def replace(self, chains: Mapping[str, Chain], problems: Mapping[str, str]) -> None:
        """Serve something else from the next request on."""
        self.chains, self.problems = chains, problems

    @property
    def leased(self) -> bool:
        """Whether this process may answer as champion."""
        return time.monotonic() < self.lease_until

    @property
    def stopped(self) -> str:
        """Say why this process may not answer as champion; empty when it may."""
        return "" if self.leased else NO_LEASE

    @property
    def generations(self) -> dict[str, int]:
        """Generations served, which is what a lease acknowledges; a model whose live release was refused is behind."""
        return {name: chain.generation for name, chain in self.chains.items() if not chain.refused}

    def chain(self, model: str) -> Chain:
        """Return who answers for a model.

        Raises
        ------
        NotFound
            When no release of it is live here.
        """
        found = self.chains.get(model)
        if found is None:
            close = near(model, self.chains)
            next_ = "GET /health says what is live" if close.startswith("did you") else f"millstream release {model}"
            raise NotFound(f"no model {model!r} is live here", expected=close, do=self.problems.get(model, next_))
        return found
