"""Training sets, kept by what they follow from: the rows once, and each feature by itself (see ``columns``).

A key is made of the table versions and masks that are read and of what is computed from them, so adding a feature
computes that feature and nothing else, and the same set again reads no table.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from millstream.errors import LeakError
from millstream.features.plan import FeaturePlan
from millstream.project.notebook.cache import key_of
from millstream.project.notebook.columns import Work, columns, made_of
from millstream.project.notebook.state import state_of
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
) -> tuple[TrainingSet, Work]:
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

    Returns
    -------
    The set, and which of its features were kept from before.
    """
    from millstream.training import build_set
    from millstream.training.lists import Ranker

    cache, began = project.cache, time.perf_counter()
    read = _reader(project, pins)
    span = [None if each is None else each.isoformat() for each in (since, until, static_at)]
    said = {name: value for name, value in msgspec.to_builtins(plan).items() if name not in _OF_FEATURES}
    model = project.manifest.model(plan.model)
    state = [state_of(project, name, pins[name]) for name in sorted(set(base_tables))]
    bare = _bare(plan)
    key = key_of("rows", said, state, span, model.weight, model.segments, plan.request_columns)
    kept = cache.get(key)
    base = None if kept is None else _kept(kept.frame, bare)
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
    found, work = columns(project, plan, frame, pins, read=read, learning=True)
    frame = made_of(project, plan, frame, found)
    ordered = [each for each in frame.columns if each not in plan.names]
    used = {**base.pins, **{name: pins[name] for name in plan.tables}}
    ranker = None
    if plan.ranking is not None:
        ranker = Ranker(plan, {name: read(name) for name in plan.learnt_from}, project.engine)
    frame = frame.select(*ordered, *plan.names)
    took, prep = work.took, work.prep(began)
    return dataclasses.replace(base, plan=plan, frame=frame, pins=used, ranker=ranker, took=took, prep=prep), work


def _words(base: TrainingSet) -> str:
    """Write down what a set is beside its rows."""
    said = [None if each is None else each.isoformat() for each in (base.since, base.until, base.static_at)]
    return json.dumps([said, base.pins])


def _kept(frame: pl.DataFrame, plan: FeaturePlan) -> TrainingSet:
    """Make a set out of the frame that was kept of it."""
    from millstream.training import TrainingSet

    said, pins = json.loads(frame[_SAID][0])
    since, until, static_at = (None if each is None else parse_instant(each) for each in said)
    return TrainingSet(plan, frame.drop(_SAID), pins, since=since, until=until, static_at=static_at)


def _bare(plan: FeaturePlan) -> FeaturePlan:
    """Return the plan without features: rows, what a caller sends, and labels."""
    return msgspec.structs.replace(
        plan, views=(), columns=(), request_features={}, combined={}, request={**_entities(plan), **plan.request}
    )


def _entities(plan: FeaturePlan) -> dict[str, Any]:
    return {each: plan.request_types[each] for each in plan.entity_columns}


def _reader(project: Project, pins: Pins) -> Callable[[str], TableFrame]:
    return lambda table: project.lake.read(table, version=pins[table])
