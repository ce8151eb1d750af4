"""The application of the demo: it asks for decisions over HTTP, many in flight, in the order of their time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import msgspec

from millstream.errors import Unavailable
from millstream.serving.client import Client

IN_FLIGHT = 16


@dataclass
class Tally:
    """What the caller saw.

    Parameters
    ----------
    ids
        Ids of acknowledged predictions.
    latencies_ms
        Time from sending a request to having its answer.
    answered_by
        How many answers each part of the fallback chain gave.
    failed
        Requests that got no 200.
    versions
        How many answers each release version gave.
    """

    ids: list[str] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    answered_by: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    versions: dict[int, int] = field(default_factory=dict)

    def quantile(self, share: float) -> float | None:
        """Return a quantile of answer time in ms."""
        ordered = sorted(self.latencies_ms)
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else None


def requests(decisions: Iterable[dict[str, Any]], *, fields: Sequence[str]) -> list[bytes]:
    """Encode one request body for each decision."""
    encode = msgspec.json.Encoder().encode
    return [encode({"rows": [{name: each[name] for name in fields}], "at": each["decided_at"]}) for each in decisions]


async def ask(client: Client, model: str, bodies: Sequence[bytes], tally: Tally) -> None:
    """Send the bodies in order with ``IN_FLIGHT`` at a time, and count what comes back."""
    waiting = iter(bodies)
    path = f"/v1/models/{model}/predict"

    async def caller() -> None:
        for body in waiting:
            begun = time.perf_counter()
            status, answer = await client.post(path, body)
            tally.latencies_ms.append((time.perf_counter() - begun) * 1000)
            if status != 200:
                tally.failed += 1
                continue
            for said in msgspec.json.decode(answer)["predictions"]:
                tally.ids.append(said["id"])
                tally.answered_by[said["answered_by"]] = tally.answered_by.get(said["answered_by"], 0) + 1
                tally.versions[said["version"]] = tally.versions.get(said["version"], 0) + 1

    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))


async def ready(client: Client, *, timeout_s: float = 20.0) -> None:
    """Wait until the scoring server answers."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            status, _ = await client.get("/ping")
        except OSError:
            status = 0
        if status == 200:
            return
        await asyncio.sleep(0.02)
    raise Unavailable(
        f"the scoring server did not answer in {timeout_s:.0f} s", do="look at .millstream/run/scoring.log"
    )


def by_day(decisions: Iterable[dict[str, Any]], *, zone: Any) -> dict[date, list[dict[str, Any]]]:
    """Group decisions by the local day they are made on, each in order of time."""
    days: dict[date, list[dict[str, Any]]] = {}
    for each in decisions:
        instant: datetime = each["decided_at"]
        days.setdefault(instant.astimezone(zone).date(), []).append(each)
    return days
