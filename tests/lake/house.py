"""A small project for tests: daily Delta tables of made-up flights, and a lake over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from deltalake import write_deltalake

from millstream.definitions.manifest import gather
from millstream.definitions.sources import Csv, Delta
from millstream.definitions.table import Table
from millstream.lake import Lake
from millstream.ledger import Ledger
from millstream.settings import Places, Settings, places
from millstream.state import State

START = datetime(2013, 3, 8)
"""Two days before New York's clocks go forward."""


class Still:
    """A clock that stands."""

    def __init__(self) -> None:
        self.at = datetime(2013, 4, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


def schedule(**words: object) -> Table:
    said: dict[str, object] = {
        "source": Delta("ops/schedule"),
        "key": "id",
        "timezone": "America/New_York",
        "event_time": "leaves",
        "known_at": "leaves - interval '30 days'",
    }
    return Table("schedule", **(said | words))  # type: ignore[arg-type]


def movements(**words: object) -> Table:
    said: dict[str, object] = {
        "source": Delta("ops/movements"),
        "key": "id",
        "timezone": "America/New_York",
        "event_time": "leaves",
        "columns": {
            "left_at": "leaves + delay * interval '1 minute'",
            "landed_at": "left_at + air * interval '1 minute'",
        },
        "known_at": {"*": "landed_at", "delay": "left_at"},
        "lag": "1d",
    }
    return Table("movements", **(said | words))  # type: ignore[arg-type]


def planes() -> Table:
    return Table("planes", source=Csv("files/planes.csv"), key="tail")


def flights(sql: str | None = None, **words: object) -> Table:
    said: dict[str, object] = {
        "of": ["schedule", "movements"],
        "key": "id",
        "event_time": "leaves",
        "sql": sql or "select s.*, m.tail, m.delay, m.landed_at from schedule s left join movements m using (id)",
    }
    return Table("flights", **(said | words))  # type: ignore[arg-type]


def day(number: int, *, count: int = 20, start: datetime = START) -> pl.DataFrame:
    """One day of rows, naive local times, every tenth flight cancelled."""
    ids = [number * 1000 + each for each in range(count)]
    return pl.DataFrame(
        {
            "id": ids,
            "leaves": [start + timedelta(days=number, hours=6, minutes=17 * each) for each in range(count)],
            "tail": [f"N{each % 7}" for each in range(count)],
            "delay": [float((each * 7) % 40 - 5) if each % 10 else None for each in range(count)],
            "air": [60.0 + each if each % 10 else None for each in range(count)],
        }
    )


@dataclass
class House:
    """A project in a folder."""

    root: Path
    tables: list[Table] = field(default_factory=lambda: [schedule(), movements(), planes(), flights()])
    clock: Still = field(default_factory=Still)

    def __post_init__(self) -> None:
        (self.root / "files").mkdir(parents=True, exist_ok=True)
        if not (self.root / "files/planes.csv").exists():
            (self.root / "files/planes.csv").write_text("tail,seats\nN1,100\nN2,NA\n")
        self.places: Places = places(self.root, Settings())
        self.state = State(self.places.state_db)
        self.ledger = Ledger(self.state, self.clock)

    def lake(self, tables: Iterable[Table] | None = None) -> Lake:
        return Lake(
            gather(list(tables or self.tables)), self.places, state=self.state, ledger=self.ledger, clock=self.clock
        )

    def publish(self, number: int, frame: pl.DataFrame | None = None) -> None:
        """Commit one day to both tables, as their owner would."""
        rows = day(number) if frame is None else frame
        write_deltalake(self.root / "ops/schedule", rows.select("id", "leaves"), mode="append")
        write_deltalake(self.root / "ops/movements", rows, mode="append")

    def acts(self, act: str) -> int:
        return len(self.ledger.rows(act=act, limit=100_000))
