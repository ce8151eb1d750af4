"""Answers as the scoring server gives and logs them, without a server: to prove what was served against the lake."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from millstream.project import Project
from millstream.serving.digest import digest
from millstream.serving.log import PredictionLog
from millstream.serving.records import Prediction
from millstream.serving.scorer import Scorer


def serve(project: Project, model: str, asked: Sequence[tuple[dict[str, Any], int]]) -> list[Prediction]:
    """Answer rows, each at an instant in microseconds, by the release that is live."""
    live = project.releases.live(model)
    assert live is not None
    scorer = Scorer.open(Path(live.path), project.online)
    scored = scorer.score_many(scorer.check_many([raw for raw, _ in asked]), [at for _, at in asked])
    made = [
        Prediction(at, at, model, 1, live.id, scorer.key(raw, at), raw, each.value, "champion", False, "",
                   each.features.tobytes(), dict(each.applied), 100)
        for (raw, at), each in zip(asked, scored, strict=True)
    ]  # fmt: skip
    scorer.close()
    return [signed(each) for each in made]


def signed(said: Prediction, features: Any = None) -> Prediction:
    """Return a record as the server would have written it, had it served these features."""
    vector = said.features if features is None else np.asarray(features, dtype="<f8").tobytes()
    name = digest(vector, at_us=said.at_us, release=said.release, applied=said.applied)
    return msgspec.structs.replace(said, features=vector, digest=name)


def keep(project: Project, answers: Sequence[Prediction]) -> list[str]:
    """Log answers; return their ids."""
    log = PredictionLog(project.places.log)
    ids = asyncio.run(log.append(list(answers)))
    log.close()
    return ids
