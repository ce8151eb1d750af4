"""A project of the flights example as its user has it: the company's tables, the commands, the servers, the replay."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from millstream.cli.examples import load_standin
from millstream.project import Project
from millstream.server.client import Control
from millstream.server.supervisor import Supervisor
from millstream.serving.client import Client
from millstream.settings import clock, places, read
from tests.awaited import until

MODEL = "late"
FIELDS = ("flight_id", "carrier", "origin", "dest", "scheduled_departure", "distance")
TRAINER, APPROVER = "tess", "ada"


@dataclass
class Answers:
    """What a caller saw."""

    given: list[dict[str, Any]] = field(default_factory=list)
    refused: list[tuple[int, bytes]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [each["id"] for each in self.given]

    def take(self, status: int, body: bytes) -> None:
        if status == 200:
            self.given += json.loads(body)["predictions"]
        else:
            self.refused.append((status, body))


class House:
    """One project and what stands around it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = read(root)
        self.places = places(root, self.settings)
        self.standin = load_standin(root)
        self.airline = self.standin.Airline(root / "ops")
        self.clock = clock(self.settings, self.places)

    def copy(self, to: Path) -> House:
        shutil.copytree(self.root, to, symlinks=True)
        return House(to)

    @contextmanager
    def opened(self) -> Iterator[Project]:
        """The project as a command has it that works alone."""
        with Project(self.root, lock=True) as project:
            yield project

    @contextmanager
    def opened_beside(self) -> Iterator[Project]:
        """The project as a notebook has it, while the servers run."""
        with Project(self.root) as project:
            yield project

    def run(self, command: str, **arguments: Any) -> Any:
        with self.opened() as project:
            return project.run(command, arguments)

    @contextmanager
    def up(self) -> Iterator[Up]:
        """Everything started, on free ports; nothing is left running."""
        supervisor = Supervisor(self.root, scoring_port=0, control_port=0)
        supervisor.start()
        try:
            yield Up(self, supervisor)
        finally:
            supervisor.stop()

    @cached_property
    def _schedule(self) -> pl.DataFrame:
        files = sorted((self.root / "ops" / "schedule").glob("schedule-2013-0[12]-*.parquet"))
        decided = pl.col("scheduled_departure") - timedelta(hours=2)
        return pl.concat([pl.read_parquet(each) for each in files]).select(*FIELDS, decided_at=decided)

    def decisions(self, day: date, *, one_in: int = 8) -> list[dict[str, Any]]:
        """What the booking system asks on a day, in order of time."""
        start, end = self.standin.midnight(day), self.standin.midnight(day + timedelta(days=1))
        mine = self._schedule.filter(
            pl.col("decided_at").is_between(start, end, closed="left"), pl.col("flight_id") % one_in == 0
        )
        return mine.sort("decided_at", "flight_id").to_dicts()

    def publish(self, day: date) -> None:
        """The airline commits a day, and the replay reaches the midnight after it."""
        self.airline.publish(day)
        self.clock.advance(self.standin.midnight(day + timedelta(days=1)))  # type: ignore[attr-defined]

    def rewrite(self, table: str, day: date, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        """Let something go wrong in a day that is not published yet."""
        staged = self.airline.staged / table / f"{day}.json"
        assert staged.exists(), f"{table} of {day} is published already"
        file = self.root / "ops" / table / f"{table}-{day}.parquet"
        frame = change(pl.read_parquet(file))
        frame.write_parquet(file, statistics=True)
        commit = self.standin._commit(file.name, file.stat().st_size, frame, number=0, at=self.standin.midnight(day))
        staged.write_text(commit)


class Up:
    """A project whose servers run."""

    def __init__(self, house: House, supervisor: Supervisor) -> None:
        self.house = house
        self.supervisor = supervisor
        self.url = supervisor.scoring_url

    @property
    def control(self) -> Control:
        """The control plane as it is now; waits for one that is being started again."""
        return self.supervisor.ready()

    def command(self, name: str, **arguments: Any) -> Any:
        return self.control.command(name, arguments)

    def turn(self, day: date) -> dict[str, Any]:
        """Publish the day before, let the replay reach ``day``, and turn the wheel once."""
        self.house.publish(day - timedelta(days=1))
        turned: dict[str, Any] = self.control.send("POST", "/api/tick", {})
        return turned

    def answering(self) -> None:
        """Wait until the champion answers."""
        until(lambda: self.says("/health").get("status") == "ok" and self.says("/v1/models")["models"], "champion live")

    def says(self, path: str) -> dict[str, Any]:
        async def get() -> tuple[int, bytes]:
            async with Client(self.url, timeout_s=5) as client:
                return await client.get(path)

        try:
            status, body = asyncio.run(get())
        except OSError:
            return {}
        return json.loads(body) if status == 200 else {}

    def ask(self, decisions: Sequence[dict[str, Any]], *, in_flight: int = 8) -> Answers:
        """Ask for each decision at its instant, in order."""
        answers = Answers()
        asyncio.run(_ask(self.url, bodies(decisions), answers, in_flight=in_flight))
        return answers

    @contextmanager
    def traffic(self, decisions: Sequence[dict[str, Any]], *, in_flight: int = 8) -> Iterator[Answers]:
        """Ask again and again from another thread, until the block ends."""
        answers, stop = Answers(), threading.Event()
        wanted = bodies(decisions)
        caller = threading.Thread(
            target=lambda: asyncio.run(_ask(self.url, wanted, answers, in_flight=in_flight, stop=stop)), daemon=True
        )
        caller.start()
        try:
            yield answers
        finally:
            stop.set()
            caller.join(timeout=30)
        assert not caller.is_alive()


def bodies(decisions: Sequence[dict[str, Any]]) -> list[bytes]:
    return [
        json.dumps(
            {"rows": [{name: each[name] for name in FIELDS}], "at": each["decided_at"].isoformat()},
            default=lambda instant: instant.isoformat(),
        ).encode()
        for each in decisions
    ]


async def _ask(
    url: str, wanted: list[bytes], answers: Answers, *, in_flight: int, stop: threading.Event | None = None
) -> None:
    path = f"/v1/models/{MODEL}/predict"

    def waiting() -> Iterator[bytes]:
        yield from wanted
        while stop is not None and not stop.is_set():
            yield from wanted

    queue = waiting()

    async def caller(client: Client) -> None:
        for body in queue:
            if stop is not None and stop.is_set():
                return
            try:
                answers.take(*await client.post(path, body))
            except OSError as wrong:
                answers.broken.append(type(wrong).__name__)
                await asyncio.sleep(0.01)

    async with Client(url) as client:
        await asyncio.gather(*(caller(client) for _ in range(in_flight)))
