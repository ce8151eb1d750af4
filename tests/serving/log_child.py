"""A process that logs under load and says on a pipe which ids were acknowledged, until it is killed."""

import asyncio
from pathlib import Path

from millstream.serving.log import PredictionLog
from millstream.serving.records import Outcome, Prediction


def prediction(number: int, *, size: int = 3) -> Prediction:
    return Prediction(
        at_us=number, wall_us=number, model="late", version=1, release="r" * 64, key={"flight_id": number},
        row={"flight_id": number, "origin": "JFK"}, value=0.25, answered_by="champion", degraded=False, reason="",
        features=b"\0" * 8 * size, applied={"flights": 3}, latency_us=120,
    )  # fmt: skip


def outcome(number: int) -> Outcome:
    return Outcome(at_us=number, wall_us=number, model="late", key={"flight_id": number}, label=True)


def log_until_killed(folder, pipe, acknowledge):
    async def caller(log, start):
        number = start
        while True:
            records = [prediction(number + index, size=number % 40) for index in range(1 + number % 3)]
            if number % 5 == 0:
                records.append(outcome(number))
            ids = await log.append(records)
            for id, record in zip(ids, records, strict=True):
                pipe.send_bytes(f"{id} {type(record).__name__} {record.key['flight_id']}".encode())
            number += 1000

    async def main():
        log = PredictionLog(Path(folder), acknowledge=acknowledge, rotate_bytes=20_000)
        await asyncio.gather(*(caller(log, start) for start in range(16)))

    asyncio.run(main())
