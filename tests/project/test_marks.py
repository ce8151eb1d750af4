"""Answers of an instant on are found in a growing segment without reading it from the start."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from millstream.project.answering import answers
from millstream.project.answering.answers import Marks
from millstream.serving import records
from millstream.serving.log import PredictionLog
from millstream.serving.records import Outcome, Prediction


def _said(at: int) -> Prediction:
    return Prediction(at, at, "late", 1, "r", {"id": at}, {}, 0.5, "champion", False, "", b"", {}, 100)


def test_what_is_found_is_what_a_whole_reading_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instants run forward but not quite in order, outcomes lie between, and any day may be asked for again."""
    chance = random.Random(3)
    monkeypatch.setattr(answers, "_MOST", 7)
    marks, day = Marks(), 100
    read: list[int] = []
    whole = records.read

    def counted(path: Path, offset: int = 0, **said: int) -> object:
        found = whole(path, offset, **said)
        read.append(len(found[0]))
        return found

    monkeypatch.setattr(records, "read", counted)

    async def nights() -> None:
        log = PredictionLog(tmp_path)
        for night in range(1, 30):
            for number in range(chance.randrange(20)):
                at = night * day + number + chance.randrange(-30, 30)
                await log.append([_said(at)])
                if chance.random() < 0.3:
                    await log.append([Outcome(at + 5 * day, at, "late", {"id": at}, True)])
            (path,) = records.segments(tmp_path) or [tmp_path / "none-0.log"]
            for since in {night * day, chance.randrange(1, night * day + 1)}:
                found = [each.id for each in marks.since(path, since) if _at(each) >= since]
                assert found == [each.id for each in answers.of_segment(path) if _at(each) >= since]
        read.clear()
        last = list(marks.since(path, 29 * day))
        assert sum(read) == len(last) < 70 < len(list(answers.of_segment(path)))
        log.close()

    def _at(each: records.Logged) -> int:
        return -1 if each.prediction is None else each.prediction.at_us

    asyncio.run(nights())
