"""Answers as they are kept."""

from __future__ import annotations

from millstream.project import Project
from millstream.project.answering.answers import AnswerTail
from millstream.serving.records import Prediction
from tests.journeys.house import House


def logged(house: House) -> dict[str, Prediction]:
    """Every answer that is kept, in the log or in the lake."""
    with Project(house.root) as project:
        return {each.id: each.prediction for each in AnswerTail(project).poll() if each.prediction is not None}
