"""Looking, from time to time by the project's clock, whether a model is due."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from millstream.definitions.model import Model
from millstream.loop.durable import Durable
from millstream.loop.retraining import ACTOR, KIND
from millstream.loop.triggers import Trigger, due
from millstream.state import State, alarms, jobs
from millstream.types import parse_instant


class Schedule:
    """Starts retrains that are due.

    Parameters
    ----------
    models
        The project's.
    state, durable
        Where alarms and jobs are kept; what runs them.
    since
        For each model when its first release went live (its period counts from there); models without one are not
        retrained by themselves.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        *,
        state: State,
        durable: Durable,
        since: Callable[[str], datetime | None],
    ) -> None:
        self._models = models
        self._state = state
        self._durable = durable
        self._since = since

    def due(self, now: datetime) -> list[Trigger]:
        """List the models that are due, held ones included."""
        found = (self._due(each, now) for each in self._models.values())
        return [each for each in found if each is not None]

    def tick(self, now: datetime) -> list[Trigger]:
        """Start what is due and not held, go on with what was decided; return every trigger, held or not.

        Called once per replayed day, or each minute by a thread. Cost: under a millisecond when nothing is due.
        """
        triggers = self.due(now)
        for each in triggers:
            if not each.held:
                self._durable.begin(each.model, actor=ACTOR, reason=each.says)
        self._durable.look()
        return triggers

    def _due(self, model: Model, now: datetime) -> Trigger | None:
        if model.retrain is None or jobs.at_work(self._state, kind=KIND, model=model.name):
            return None
        asked = jobs.last_started(self._state, kind=KIND, model=model.name)
        last_at = parse_instant(asked) if asked else self._since(model.name)
        if last_at is None:
            return None
        opened = alarms.opened(self._state, model.name)
        return due(model.name, model.retrain, last_at=last_at, alarms=opened, now=now)


class Minutely(threading.Thread):
    """Ticks by the machine's clock, for projects that are not replayed."""

    def __init__(self, tick: Callable[[], object], *, every_s: float = 60.0) -> None:
        super().__init__(name="loop-schedule", daemon=True)
        self._tick = tick
        self._every_s = every_s
        self._stopping = threading.Event()

    def run(self) -> None:
        """Tick until stopped."""
        while not self._stopping.wait(self._every_s):
            self._tick()

    def stop(self) -> None:
        """Stop, and wait for a tick under way."""
        self._stopping.set()
        self.join()
