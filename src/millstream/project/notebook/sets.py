"""Training sets, kept by what they follow from: the rows once, and each feature by itself.

A key is made of the table versions and masks that are read and of what is computed from them, so adding a feature
computes that feature and nothing else, and the same set again reads no table.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from millstream.errors import LeakError
from millstream.features.plan import FeatureColumn, FeaturePlan, ViewPlan
from millstream.project.notebook.cache import key_of
from millstream.state import quarantine
from millstream.types import Pins, parse_instant

if TYPE_CHECKING:
    from millstream.lake.frame import TableFrame
    from millstream.project.root import Project
    from millstream.training import TrainingSet

_SAID = "__set"
_OF_FEATURES = ("columns", "views", "request", "request_features", "combined")


def build(
    project: Project,
    plan: FeaturePlan,
    *,
    base_tables: Iterable[str],
    pins: Pins,
    since: datetime | None = None,
    until: datetime | None = None,
    static_at: datetime | None = None,
) -> TrainingSet:
    """Build a training set as ``training.build_set`` does, out of what is kept where that is possible.

    Parameters
    ----------
    project
        Whose lake and cache.
    plan
        What to read.
    base_tables
        The tables that rows and labels come from, those these are computed of included.
    pins
        Table to the version that is read.
    since, until, static_at
        As ``training.build_set`` takes them.
    """
    from millstream.features.join import combine
    from millstream.training import build_set
    from millstream.training.lists import Ranker

    cache = project.cache
    read = _reader(project, pins)
    span = [None if each is None else each.isoformat() for each in (since, until, static_at)]
    said = {name: value for name, value in msgspec.to_builtins(plan).items() if name not in _OF_FEATURES}
    model = project.manifest.model(plan.model)
    rows_key = [said, state_of(project, base_tables, pins), span, model.weight, model.segments]
    bare = _bare(plan)
    key = key_of("rows", rows_key, plan.request_columns)
    base = _kept(cache.get(key), bare)
    if base is None:
        project.progress(f"reading the rows of {plan.rows_table}@{pins[plan.rows_table]}")
        try:
            base = build_set(
                bare, read, until=until, since=since, static_at=static_at, model=model, engine=project.engine
            )
        except LeakError:
            build_set(
                plan, read, until=until, since=since, static_at=static_at, model=model
            )  # says it in the words of the plan
            raise
        cache.put(key, base.frame.with_columns(pl.lit(_words(base)).alias(_SAID)))
    frame = base.frame
    found: dict[str, pl.Series] = {}
    for view in plan.views:
        found |= _features(project, plan, view, frame, read=read, rows_key=rows_key, pins=pins)
    of_request = tuple(each for each in plan.columns if each.name in plan.request_features)
    asked = msgspec.structs.replace(plan, views=(), columns=of_request, combined={})
    frame = project.engine.point_in_time(asked, frame, {})
    found |= combine(plan, frame, found)
    frame = frame.with_columns(found[name] for name in plan.names if name in found)
    ordered = [each for each in frame.columns if each not in plan.names]
    used = {**base.pins, **{name: pins[name] for name in plan.tables}}
    ranker = (
        None if plan.ranking is None else Ranker(plan, {name: read(name) for name in plan.learnt_from}, project.engine)
    )
    return dataclasses.replace(base, plan=plan, frame=frame.select(*ordered, *plan.names), pins=used, ranker=ranker)


def _words(base: TrainingSet) -> str:
    """Write down what a set is beside its rows."""
    said = [None if each is None else each.isoformat() for each in (base.since, base.until, base.static_at)]
    return json.dumps([said, base.pins])


def _kept(frame: pl.DataFrame | None, plan: FeaturePlan) -> TrainingSet | None:
    """Make a set out of the frame that was kept of it."""
    from millstream.training import TrainingSet

    if frame is None:
        return None
    said, pins = json.loads(frame[_SAID][0])
    since, until, static_at = (None if each is None else parse_instant(each) for each in said)
    return TrainingSet(plan, frame.drop(_SAID), pins, since=since, until=until, static_at=static_at)


def _features(
    project: Project, plan: FeaturePlan, view: ViewPlan, frame: pl.DataFrame, *, read: Callable[[str], TableFrame],
    rows_key: Any, pins: Pins,
) -> dict[str, pl.Series]:  # fmt: skip
    """Return the features of a view for each row, computing those that are not kept."""
    names = {feature: f"{view.name}.{feature}" for feature in view.features}
    about = {name: value for name, value in msgspec.to_builtins(view).items() if name not in ("name", "features")}
    state = state_of(project, _upstream(project, view.table), pins)
    keys = {
        feature: key_of("feature", rows_key, about, state, msgspec.to_builtins(said))
        for feature, said in view.features.items()
    }
    found = {}
    for feature, key in keys.items():
        kept = project.cache.get(key)
        if kept is not None and kept.height == frame.height:
            found[feature] = kept.to_series().alias(names[feature])
    missing = {feature: said for feature, said in view.features.items() if feature not in found}
    if missing:
        project.progress(f"computing {view.name}: {', '.join(missing)}")
        part = msgspec.structs.replace(view, features=missing)
        columns = tuple(FeatureColumn(names[feature], said.dtype) for feature, said in missing.items())
        asked = msgspec.structs.replace(plan, views=(part,), columns=columns, request_features={}, combined={})
        made = project.engine.point_in_time(asked, frame, {view.table: read(view.table)}, learning=True)
        for feature in missing:
            found[feature] = made[names[feature]]
            project.cache.put(keys[feature], found[feature].to_frame())
    return {names[feature]: found[feature] for feature in view.features}


def _bare(plan: FeaturePlan) -> FeaturePlan:
    """Return the plan without features: rows, what a caller sends, and labels."""
    return msgspec.structs.replace(
        plan, views=(), columns=(), request_features={}, combined={}, request={**_entities(plan), **plan.request}
    )


def _entities(plan: FeaturePlan) -> dict[str, Any]:
    return {each: plan.request_types[each] for each in plan.entity_columns}


def _reader(project: Project, pins: Pins) -> Callable[[str], TableFrame]:
    return lambda table: project.lake.read(table, version=pins[table])


def _upstream(project: Project, table: str) -> list[str]:
    """Name a table and those it is computed of."""
    found, waiting = [], [table]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.append(name)
            waiting += project.manifest.tables[name].of if name in project.manifest.tables else ()
    return found


def state_of(project: Project, tables: Iterable[str], pins: Pins) -> list[Any]:
    """Say what a trusted read of tables at these pins depends on: versions, definitions, and what is masked."""
    return [
        [name, pins[name], project.lake.version(name, pins[name]).files_hash, quarantine.latest(project.state, name),
         _definition(project, name)]
        for name in sorted(set(tables))
    ]  # fmt: skip


def _definition(project: Project, table: str) -> Any:
    """Return what a definition says about rows; None for a table the lake wrote itself."""
    if table not in project.manifest.tables:
        return None
    said = msgspec.to_builtins(project.manifest.tables[table])
    return {name: value for name, value in said.items() if name not in ("checks", "owner", "description")}
