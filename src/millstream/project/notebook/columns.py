"""Features, each kept by itself: by whom it was asked of and when, what it is, and what it was read from.

A key says everything a feature follows from: the entities and instants of the rows (their bytes, in order), the
window, the version of the table with what it is computed of, its definition and what of it is in quarantine, and the
code that computes. A feature is computed from those columns of the rows alone that its key was made of, so nothing
else can have a say in it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from millstream.features.plan import TARGET, FeatureColumn, FeaturePlan, ViewPlan
from millstream.project.notebook.cache import Kept, key_of
from millstream.project.notebook.state import state_of

if TYPE_CHECKING:
    from millstream.lake.frame import TableFrame
    from millstream.project.root import Project
    from millstream.training import Prep
    from millstream.types import Pins

_DECIDED = "decided_at"
_NAMED, _PIECE, _WORTH_SAYING = 3, 250_000, 0.05


@dataclass
class Work:
    """Which features were there and which were computed.

    Parameters
    ----------
    kept, computed
        Names of features, in the plan's order.
    took
        View to the seconds its features took when they were computed, now or then.
    seconds
        What was spent on computing now.
    saved_s
        What those kept took when they were computed.
    """

    kept: list[str] = field(default_factory=list)
    computed: list[str] = field(default_factory=list)
    took: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    saved_s: float = 0.0

    def __str__(self) -> str:
        if not self.kept and not self.computed:
            return ""
        taken = f"{len(self.kept)} of {len(self.kept) + len(self.computed)} features kept from before"
        taken += f" ({self.saved_s:.1f} s saved)" if self.saved_s >= _WORTH_SAYING else ""
        if not self.computed:
            return taken
        return f"{taken}, {_listed(self.computed)} computed in {self.seconds:.1f} s"

    def prep(self, began: float) -> Prep:
        """Return what making something of these features took since ``began`` (of ``time.perf_counter``)."""
        from millstream.training import Prep

        return Prep(time.perf_counter() - began, len(self.computed), len(self.kept), self.saved_s)


def columns(
    project: Project, plan: FeaturePlan, spine: pl.DataFrame, pins: Pins, *,
    read: Callable[[str], TableFrame], learning: bool,
) -> tuple[dict[str, pl.Series], Work]:  # fmt: skip
    """Return every feature of the plan's views for each row of a spine, computing those that are not kept.

    Parameters
    ----------
    project
        Whose cache is used, and who is told what is computed.
    plan, spine
        What is asked of which rows: as ``features.point_in_time`` takes them.
    pins
        Table to the version that is read.
    read
        Gives a table of the plan at its pin; called only for what has to be computed.
    learning
        As ``features.point_in_time`` takes it.
    """
    rows, work = _Rows(spine), Work()
    found: dict[str, pl.Series] = {}
    missing: list[tuple[ViewPlan, list[str], dict[str, str]]] = []
    for view in plan.views:
        asked = _asked(project, plan, view, spine, learning=learning)
        keys = _keys(project, view, rows.identity(asked), pins, own=_own(project, plan, view, learning=learning))
        for feature, key in keys.items():
            kept = project.cache.get(key)
            if kept is not None and kept.frame.shape == (spine.height, 1):
                found[f"{view.name}.{feature}"] = kept.frame.to_series().alias(f"{view.name}.{feature}")
                work.kept.append(f"{view.name}.{feature}")
                work.took[view.name] = work.took.get(view.name, 0.0) + kept.said["seconds"]
                work.saved_s += kept.said["seconds"]
        left = {feature: key for feature, key in keys.items() if f"{view.name}.{feature}" not in found}
        work.computed += [f"{view.name}.{feature}" for feature in left]
        if left:
            missing.append((view, asked, left))
    if missing:
        kept_before = f"; {len(work.kept)} features kept from before" if work.kept else ""
        project.progress(f"computing {_listed(work.computed)}{kept_before}")
    for view, asked, left in missing:
        part = msgspec.structs.replace(view, features={each: view.features[each] for each in left})
        names = [f"{view.name}.{each}" for each in left]
        only = tuple(FeatureColumn(f"{view.name}.{each}", view.features[each].dtype) for each in left)
        one = msgspec.structs.replace(plan, views=(part,), columns=only, request_features={}, combined={})
        table = read(view.table)
        began = time.perf_counter()
        made = project.engine.point_in_time(one, spine.select(asked), {view.table: table}, learning=learning)
        seconds = time.perf_counter() - began
        found |= {name: made[name] for name in names}
        said = {"seconds": seconds / len(left)}
        project.cache.put_all({key: Kept(made.select(f"{view.name}.{each}"), said) for each, key in left.items()})
        work.took[view.name] = work.took.get(view.name, 0.0) + seconds
        work.seconds += seconds
    return {f"{view.name}.{each}": found[f"{view.name}.{each}"] for view in plan.views for each in view.features}, work


def made_of(project: Project, plan: FeaturePlan, spine: pl.DataFrame, found: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Add to a spine every column of a plan, out of its views' features: what rows and features are made into."""
    from millstream.features.join import combine

    of_request = tuple(each for each in plan.columns if each.name in plan.request_features)
    asked = msgspec.structs.replace(plan, views=(), columns=of_request, combined={})
    frame = project.engine.point_in_time(asked, spine, {})
    all_ = {**found, **combine(plan, frame, found)}
    return frame.with_columns(all_[name] for name in plan.names if name in all_)


class _Rows:
    """Rows that features are asked of, named by their content."""

    def __init__(self, spine: pl.DataFrame) -> None:
        self._spine = spine
        self._known: dict[str, str] = {}

    def identity(self, names: Sequence[str]) -> list[Any]:
        """Name what some columns hold, row by row; what a column is called is no part of it."""
        return [self._spine.height, [self._column(each) for each in names]]

    def _column(self, name: str) -> str:
        if name not in self._known:
            self._known[name] = digest_of(self._spine[name])
        return self._known[name]


def digest_of(series: pl.Series) -> str:
    """Hash a column by type and values, however they lie in memory."""
    digest = hashlib.blake2b(f"{series.dtype!r} {len(series)}".encode(), digest_size=32)
    digest.update(series.is_null().to_numpy().tobytes())
    if series.dtype == pl.String:
        texts = series.fill_null("")
        digest.update(texts.str.len_bytes().to_numpy().tobytes())
        for start in range(0, len(texts), _PIECE):
            digest.update("".join(texts.slice(start, _PIECE).to_list()).encode())
    elif series.dtype.is_numeric() or series.dtype.is_temporal() or series.dtype == pl.Boolean:
        plain = series.cast(pl.UInt8) if series.dtype == pl.Boolean else series.to_physical()
        digest.update(plain.fill_null(0).to_numpy().tobytes())
    else:
        digest.update(msgspec.msgpack.encode(series.to_list()))
    return digest.hexdigest()


def _asked(project: Project, plan: FeaturePlan, view: ViewPlan, spine: pl.DataFrame, *, learning: bool) -> list[str]:
    """Name what of the rows a view looks at: whom it is about, when, and which rows are its own."""
    names = [*view.keys, _DECIDED, *((TARGET,) if view.at == TARGET else ())]
    if _own(project, plan, view, learning=learning):
        names += [each for each in project.manifest.table(view.table).key if each in spine.columns]
    return list(dict.fromkeys(names))


def _own(project: Project, plan: FeaturePlan, view: ViewPlan, *, learning: bool) -> bool:
    """Whether rows without time are learnt from that are facts of the view too: encoded without their own fold."""
    return learning and view.table == plan.rows_table and project.manifest.table(view.table).event_time is None


def _keys(project: Project, view: ViewPlan, rows: list[Any], pins: Pins, *, own: bool) -> dict[str, str]:
    about = [view.entity, view.entity_types, view.at, own, repr(project.engine), type(project.engine).__qualname__]
    state = state_of(project, view.table, pins[view.table])
    return {feature: key_of("feature", rows, about, state, said) for feature, said in view.features.items()}


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
