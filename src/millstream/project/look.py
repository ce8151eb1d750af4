"""Look: everything about one model on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from millstream.project.models.decide import brief, next_retrain
from millstream.project.models.featured import of_features
from millstream.project.models.ready import ready
from millstream.project.people import Person
from millstream.project.prove import model_stands
from millstream.project.telling import alarms_told
from millstream.project.timeline import frame
from millstream.state import alarms, decisions, jobs
from millstream.state import releases as rows

if TYPE_CHECKING:
    from millstream.project.root import Project

_FEW = 10


def look(project: Project, *, model: str, actor: str = "somebody") -> dict[str, Any]:
    """Show where one model stands: its charts, alarms, decisions, versions, retrains and readiness."""
    definition = project.manifest.model(model)
    shown, reader = rows.history(project.state, model, limit=_FEW), Person(project, actor)
    return {
        **frame(project),
        "model": model_stands(project, model),
        "what": {
            "rows": definition.rows.of,
            "label": definition.label if isinstance(definition.label, str) else "",
            "estimator": definition.estimator.path.rpartition(":")[2],
            "retrain": next_retrain(project, model),
        },
        "alarms": alarms_told(reader, map(msgspec.to_builtins, alarms.worst(project.state, model=model, limit=_FEW))),
        "alarms_open": alarms.count(project.state, model=model),
        "decisions": [brief(project, each) for each in decisions.recent(project.state, model=model, limit=_FEW)],
        "versions": [
            {
                "version": each.version,
                "status": each.status,
                "built_at": each.built_at,
                "built_by": each.built_by,
                "value": each.goal_value,
                "release": each.id,
            }
            for each in shown
        ],
        "jobs": [msgspec.to_builtins(each) for each in jobs.recent(project.state, model=model, limit=_FEW)],
        "ready": ready(project, model=model),
        "features": of_features(project, model),
    }
