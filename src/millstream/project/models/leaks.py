"""Before and after a training: refuse what could not have been known, weigh what features are worth and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.definitions.features import Request
from millstream.types import parse_duration

if TYPE_CHECKING:
    from millstream.definitions.model import Model
    from millstream.project.root import Project
    from millstream.training import Backtest, TrainingSet
    from millstream.training.record import Leak, Lift


def looked_for(project: Project, model: Model, rows: TrainingSet) -> tuple[Leak, ...]:
    """Look for leaks in a training set and say each; refuse what is certain.

    Raises
    ------
    LeakError
        Naming each feature with the reason.
    """
    from millstream.training.folds import origins
    from millstream.training.leaks import find_leaks, refuse_leaks

    found = (*find_leaks(model, rows, origins(model, rows)[-1]), *_late(project, rows))
    for each in found:
        project.progress(f"leak? {each.says}")
    refuse_leaks(model, found)
    return found


def _late(project: Project, rows: TrainingSet) -> list[Leak]:
    """Name the tables whose facts are here later than they declare: they were learnt from as if they were not."""
    from millstream.project.tables.lags import lag
    from millstream.training.record import Leak

    found: list[Leak] = []
    for view in rows.plan.views:
        said = lag(project, view.table)
        if said is not None and said["late"] and not any(view.table in each.says for each in found):
            features = tuple(f"{view.name}.{each}" for each in view.features)
            found.append(Leak("late", features, False, f"table {view.table}: {said['says']}"))
    return found


def weighed(project: Project, model: str, rows: TrainingSet, tested: Backtest) -> Lift | None:
    """Weigh what views and features are worth to a model against what they cost."""
    from millstream.training.lift import lift

    return lift(project.manifest.model(model), rows, tested, lag_s=_lags(project, model))


def _lags(project: Project, model: str) -> dict[str, float]:
    """Return how late the facts of each view may be: as measured where that is later than declared."""
    found = {}
    for role in project.manifest.model(model).features:
        of = project.manifest.view(role.view).of
        if isinstance(of, Request):
            continue
        found[role.name] = max(_lag(project, each) for each in _made_of(project, of))
    return found


def _lag(project: Project, table: str) -> float:
    from millstream.project.tables.lags import lag

    declared = parse_duration(project.manifest.table(table).lag).total_seconds()
    return max(declared, (lag(project, table) or {}).get("p95") or 0.0)


def _made_of(project: Project, table: str) -> list[str]:
    """Name a table and every table that it is made of."""
    inputs = project.manifest.table(table).of
    return [table, *(name for each in inputs for name in _made_of(project, each))]
