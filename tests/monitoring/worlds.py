"""A small world whose answers, truths and features are known, for the tests of this room."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from millstream.definitions.monitors import Classic
from millstream.metrics import roc_auc
from millstream.metrics.profile import profile
from millstream.monitoring import DriftWindow, Judgement, NullHabit, OutcomeBook, Reference, Watched, judge_day
from millstream.state.alarms import Alarm

START = date(2024, 1, 1)


@dataclass
class Change:
    """What is different from a day on."""

    noise: float = 0.0
    shift: float = 0.0
    answers: float = 0.0
    latency_us: float = 800.0
    nulls: int = 0
    lost: float = 0.0
    degraded: bool = False


@dataclass
class World:
    """Days with weather of their own; ``score`` is the log-odds the model knows."""

    seed: int = 1
    rows: int = 225
    version: int = 1
    changes: dict[date, Change] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.book = OutcomeBook(due_after=timedelta(days=1), habit=0.98)
        self.drift = DriftWindow()
        self.opened: dict[str, Alarm] = {}
        self.history: list[tuple[date, str, Alarm]] = []
        label, value, features = self._rows(30 * 900, Change(), weather=0.25 * self.random.standard_normal(27_000))
        self.reference = Reference(
            release=f"m@{self.version}",
            version=self.version,
            goal="roc_auc",
            goal_value=roc_auc(label, value),
            baseline=float(label.mean()),
            profile=profile(features),
            nulls={"weather.visib": NullHabit(0.0, 0.0), "weather.pressure": NullHabit(0.11, 0.53)},
        )

    def run(self, days: int, *, start: int = 0) -> World:
        """Live and judge some days."""
        for each in range(start, start + days):
            self.day(START + timedelta(days=each))
        return self

    def day(self, day: date) -> Judgement:
        """Live one day, then judge it."""
        change = self.changes.get(max((each for each in self.changes if each <= day), default=day), Change())
        label, value, features = self._rows(self.rows, change, weather=0.25 * self.random.standard_normal())
        now = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        frame = predictions(day, value, version=self.version, latency_us=change.latency_us, degraded=change.degraded)
        self.book.add_predictions(frame)
        keep = self.random.random(self.rows) >= change.lost + 0.02
        known = now + timedelta(hours=12)
        labels = pl.DataFrame({"key": frame["key"], "label": label, "label_known_at": [known] * self.rows})
        self.labels = pl.concat([getattr(self, "labels", labels.clear()), labels.filter(keep)]).tail(3 * self.rows)
        self.book.settle(self.labels, now)
        self.drift.add(day, features)
        pressure = int(72 * min(0.53, abs(0.15 * self.random.standard_normal())))
        judgement = judge_day(
            day,
            watched=Watched("m", Classic(), self.reference),
            book=self.book,
            drift=self.drift,
            batches={"weather.visib": (72, change.nulls), "weather.pressure": (72, pressure)},
            opened=list(self.opened.values()),
            now=now,
        )
        for alarm in (*judgement.opened, *judgement.updated):
            self.opened[alarm.id] = alarm
        for alarm in judgement.closed:
            self.opened.pop(alarm.id)
        self.history += [(day, "open", each) for each in judgement.opened]
        self.history += [(day, "close", each) for each in judgement.closed]
        return judgement

    def alarms(self, kind: str) -> list[tuple[date, Alarm]]:
        """List the alarms of a kind with the day they were opened."""
        return [(day, alarm) for day, what, alarm in self.history if what == "open" and alarm.kind == kind]

    def _rows(self, rows: int, change: Change, *, weather: object) -> tuple:  # type: ignore[type-arg]
        score = self.random.standard_normal(rows)
        seen = score + change.noise * self.random.standard_normal(rows)
        chance = 1 / (1 + np.exp(-(-1.2 + score + weather)))
        label = (self.random.random(rows) < chance).astype(float)
        value = np.clip(1 / (1 + np.exp(-(-1.2 + seen / np.sqrt(1 + change.noise**2)))) + change.answers, 0, 1)
        features = {"score": seen + change.shift, "hour": self.random.integers(5, 23, rows).astype(float)}
        return label, value, features


def predictions(
    day: date, value: object, *, version: int = 1, latency_us: float = 800.0, degraded: bool = False
) -> pl.DataFrame:
    """Return a frame of one day's predictions, an hour before noon."""
    values = np.asarray(value, dtype=float)
    names = [f"{day}-{version}-{each}" for each in range(len(values))]
    at = datetime(day.year, day.month, day.day, 11, tzinfo=UTC)
    return pl.DataFrame(
        {
            "id": names,
            "key": names,
            "at": [at] * len(values),
            "day": [day] * len(values),
            "value": values,
            "version": [version] * len(values),
            "answered_by": ["champion"] * len(values),
            "degraded": [degraded] * len(values),
            "latency_us": [latency_us] * len(values),
        },
        schema_overrides={"id": pl.String, "key": pl.String, "at": pl.Datetime("us", "UTC"), "day": pl.Date},
    )
