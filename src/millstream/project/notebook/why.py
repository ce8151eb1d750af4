"""Why a feature of one row has its value: the facts in its window at the decision, and those that came too late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from millstream.definitions.features import Window
from millstream.errors import NotFound, Refused, near
from millstream.project.notebook import beside, show
from millstream.project.notebook.beside import length
from millstream.project.notebook.facts_of import happened_at, known_at, mine_of, shown_facts
from millstream.project.notebook.tables import reading
from millstream.types import MICROSECOND, to_micros

if TYPE_CHECKING:
    from millstream.features.facts import Facts
    from millstream.features.plan import FeaturePlan, ViewPlan, WindowPlan
    from millstream.lake.frame import TableFrame
    from millstream.project.people import Person
    from millstream.project.root import Project
    from millstream.training import TrainingSet


@dataclass(frozen=True)
class Why:
    """The evidence behind one number.

    Parameters
    ----------
    column, value
        What is explained.
    row
        Key and entity of the row.
    decided_at
        The instant of the decision: only what was known by then counts.
    says
        How the value comes about, in words.
    facts
        What was in the window: the table's key, ``event_time``, ``known_at`` (lag included), ``value`` and whether it
        ``counts`` (a NULL does not; of a last or a least the one that decides), by time.
    too_late
        What had happened inside the window but was not known yet, with when it was (NULL: never) and ``because`` of
        what: known later itself, or the table's declared lag.
    corrected
        What was believed before a correction known by the decision took its place.
    outside
        What was known and believed and the window left out, ``because`` it is older, newer than the window's ``ago``,
        or of the row's own fold: at most the 20 nearest on either side.
    pins
        The version that was read.
    """

    column: str
    value: Any
    row: dict[str, Any]
    decided_at: datetime
    says: str
    facts: pl.DataFrame
    too_late: pl.DataFrame
    corrected: pl.DataFrame
    pins: dict[str, int]
    outside: pl.DataFrame = field(default_factory=pl.DataFrame)

    def __repr__(self) -> str:
        parts = [f"{self.column} = {show.plain(self.value)}", self.says]
        for title, frame in self._parts():
            parts += [f"{title}: {show.tail(frame, {})}", show.as_text(frame)] if frame.height else []
        return "\n".join([*parts, f"from {show.spelled(self.pins)}"])

    def _repr_html_(self) -> str:
        parts = [self.says]
        for title, frame in self._parts():
            parts += [f"{title}: {show.tail(frame, {})}", show.table(frame)] if frame.height else []
        return show.block(f"{self.column} = {show.plain(self.value)}", *parts, f"from {show.spelled(self.pins)}")

    def _parts(self) -> list[tuple[str, pl.DataFrame]]:
        return [
            ("in the window", self.facts),
            ("left out, not known yet", self.too_late),
            ("left out, corrected since", self.corrected),
            ("outside the window, the nearest", self.outside),
        ]


def explained(
    project: Project, found: TrainingSet, column: str, row: int, *, seen: tuple[Person, Mapping[str, str]]
) -> Why:
    """Explain one column of one row of a training set, as somebody (``seen``: who, and what of the set is masked) may.

    Raises
    ------
    NotFound
        For a column that is no feature; near matches are named.
    """
    if column in found.plan.combined:
        made = _combined(found, column, row, seen)
    else:
        made = _explained(project, found, column, row, seen[0], told=seen[1].get("label_known_at", "show") == "show")
    masks = {**seen[1], "event_time": seen[1].get("decided_at", "show")}
    of_facts = _of_facts(found.plan, column, seen)
    return replace(
        made,
        value=seen[0].hide_values({column: made.value}, {column: masks.get(column, "show")})[column],
        row=seen[0].hide_values(made.row, {name: mask for name, mask in masks.items() if name in made.row}),
        facts=seen[0].hide(made.facts if of_facts.get("value", "show") == "show" else _untold(made.facts), of_facts),
        too_late=seen[0].hide(made.too_late, of_facts),
        corrected=seen[0].hide(made.corrected, of_facts),
        outside=seen[0].hide(made.outside, of_facts),
    )


def _untold(facts: pl.DataFrame) -> pl.DataFrame:
    """Leave out which facts decide: of values that are masked it tells which is the least."""
    return facts.drop("counts", strict=False)


def _of_facts(plan: FeaturePlan, column: str, seen: tuple[Person, Mapping[str, str]]) -> dict[str, str]:
    """Return what of the facts behind a feature is masked."""
    table = next((view.table for view in plan.views if column.startswith(f"{view.name}.")), None)
    if column == "label" and plan.ahead is not None:
        table = plan.ahead.table
    if table is None:
        return {}
    masks = seen[0].sight(table).masks
    definition = seen[0].project.manifest.table(table)
    when = masks.get(definition.event_time or "", "show")
    return {**masks, "event_time": when, "known_at": seen[0].mask_of_known(table), "value": seen[1].get(column, "show")}


def _explained(project: Project, found: TrainingSet, column: str, row: int, reader: Person, *, told: bool) -> Why:
    plan, at = found.plan, found.frame.row(row, named=True)
    shown = {name: at[name] for name in plan.request_columns if name in at}
    if column == "label":
        from millstream.project.notebook.label import explained_label

        return explained_label(reader, found, at, shown, told=told)
    if column in plan.request_features:
        said = plan.request_features[column]
        fields = reader.hide_values({name: at[name] for name in said.columns}, reader.sight(plan.rows_table).masks)
        return Why(
            column=column, value=at[column], row=shown, decided_at=at["decided_at"],
            says=f"{said.text}, of the row itself: {_worded(fields)}",
            facts=pl.DataFrame(), too_late=pl.DataFrame(), corrected=pl.DataFrame(),
            pins=_pins(found, plan.rows_table),
        )  # fmt: skip
    for view in plan.views:
        feature = column.removeprefix(f"{view.name}.")
        if column != feature and feature in view.features and column in at:
            return _window(reader, found, view, feature, at, shown)
    raise NotFound(f"the set has no feature {column!r}", do=near(column, [*plan.names, "label"]))


def _combined(found: TrainingSet, column: str, row: int, seen: tuple[Person, Mapping[str, str]]) -> Why:
    """Say what a feature is made of; each part that the set shows can be asked about in its turn."""
    said, at = found.plan.combined[column], found.frame.row(row, named=True)
    shown = {name: at[name] for name in found.plan.request_columns if name in at}
    parts = {name: at[name] for name in said.columns if name in at}
    parts = seen[0].hide_values(parts, {name: seen[1].get(name, "show") for name in parts})
    rest = [name for name in said.columns if name not in at]
    unseen = f", and of {', '.join(rest)}, which the set does not show" if rest else ""
    return Why(
        column=column, value=at[column], row=shown, decided_at=at["decided_at"],
        says=f"{said.text}, made of {_worded(parts)}{unseen}",
        facts=pl.DataFrame(), too_late=pl.DataFrame(), corrected=pl.DataFrame(),
        pins=_pins(found, *found.pins),
    )  # fmt: skip


def _window(
    reader: Person, found: TrainingSet, view: ViewPlan, feature: str, at: dict[str, Any], shown: dict[str, Any]
) -> Why:
    from millstream.expressions import parse
    from millstream.expressions.polars import compute
    from millstream.features.facts import knowledge, read_facts

    project = reader.project
    window, column, decided = view.features[feature], f"{view.name}.{feature}", at["decided_at"]
    if reader.mask_of(view.table, view.entity) in ("null", "redact"):
        raise Refused(
            f"{', '.join(view.entity)} of {view.table} is masked for you, and which facts belong together"
            " would tell who is alike",
            expected="a role that sees whom the facts are about, or hashes of them",
        )
    table = project.lake.read(view.table, version=found.pins[view.table])
    asked = {name: at[key] for name, key in zip(view.entity, view.keys, strict=True)}
    mine, codes = mine_of(table, view.entity, asked)
    facts = read_facts(table, codes, waits_for=(waits := knowledge(table, view, window)))
    filtered, hidden = _definition(project, found, view, feature), False
    if filtered.where is not None:  # as the window has it: a fact for which it does not hold is none
        asked_of = {"where": parse(filtered.where, table.schema, where=f"feature {column}")}
        hidden = reader.mask_of(view.table, asked_of["where"].columns) != "show"
        if not hidden:  # else a list of facts for which it holds would tell what is masked
            mine &= compute(table.frame, asked_of, where="why")["where"].fill_null(False).to_numpy()
    own = beside.own_fold(found.plan, table, window, at)
    frames = _parted(table, view, window, at, facts=facts, waits=waits, mine=mine, own=own)
    frames["too_late"] = beside.late_because(project, table, frames["too_late"], decided)
    toward = beside.drawn_toward(reader, table, window, facts, frames["facts"], decided=decided, own=own)
    masked = "; those for which it does not hold are among them, since you see masked what it asks" if hidden else ""
    pins = {view.table: found.pins[view.table]}
    told = reader.hide_values(
        asked, {name: mask for name, mask in reader.sight(view.table).masks.items() if name in asked}
    )
    detail = {"why": column, "row": {name: str(value) for name, value in told.items()}, "rows": frames["facts"].height}
    read = [*view.entity, *(window.value.columns if window.value is not None else ())]
    reading(reader, pins, {view.table: read}, detail)
    said = _says(view, window, filtered, told, at, frames, static=table.event_time is None)
    return Why(
        column=column, value=at[column], row=shown, decided_at=decided, says=f"{said}{toward}{masked}", pins=pins,
        **frames,
    )  # fmt: skip


def _parted(
    table: TableFrame, view: ViewPlan, window: WindowPlan, at: dict[str, Any], *,
    facts: Facts, waits: tuple[str, ...], mine: Any, own: Any,
) -> dict[str, pl.DataFrame]:  # fmt: skip
    """Part the facts of an entity by what became of them, and show them."""
    from millstream.features.facts import FOREVER

    about = to_micros(at[getattr(view, "at", "decided_at")])  # under a horizon it may be the instant predicted
    now, ends, happened = to_micros(at["decided_at"]), about - window.ago_us, happened_at(table)
    known, knowable = known_at(table, waits)
    # A fact is in the window (T - over, T]: it falls out of it at event time + over.
    within = mine & (happened <= ends)
    if window.over_us is not None:
        within &= happened > ends - window.over_us
    in_time, current = knowable & (known <= now), facts.superseded > now
    said = shown_facts(table, window.value, known=known, knowable=knowable)
    left = beside.outside(window, said, happened, believed=mine & in_time & current, until=about, ends=ends)
    if own is not None:
        left = said.filter(pl.Series(within & own)).with_columns(pl.lit("the row's own fold").alias("because"))
        within &= ~own
    frames = {"outside": left}
    for name, rows in (
        ("facts", within & in_time & current),
        ("too_late", within & ~in_time),
        ("corrected", within & in_time & ~current & (facts.superseded != FOREVER)),
    ):
        frames[name] = said.filter(pl.Series(rows)).sort("event_time", *table.key, nulls_last=False)
    frames["facts"] = beside.counts(window, frames["facts"])
    return frames


def _definition(project: Project, found: TrainingSet, view: ViewPlan, feature: str) -> Window:
    """Return the words a feature was defined with."""
    roles = project.manifest.roles(project.manifest.model(found.plan.model))
    role = next(each for each in roles if each.name == view.name)
    said = project.manifest.view(role.view).features[feature]
    assert isinstance(said, Window)
    return said


def _says(
    view: ViewPlan, window: WindowPlan, defined: Window, asked: dict[str, Any], at: dict[str, Any],
    frames: dict[str, pl.DataFrame], *, static: bool,
) -> str:  # fmt: skip
    of = defined.value or "facts"
    of += f" where {defined.where}" if defined.where is not None else ""
    over = "all that was known" if window.over_us is None else f"over {length(window.over_us)}"
    counted, late = frames["facts"].height, frames["too_late"].height
    decided, ends = at["decided_at"], at[getattr(view, "at", "decided_at")] - window.ago_us * MICROSECOND
    span = "" if static or window.over_us is None else f", after {ends - window.over_us * MICROSECOND:%Y-%m-%d %H:%M}"
    if window.ago_us:
        over += f", ended {length(window.ago_us)} before"
        span += f" and not after {ends:%Y-%m-%d %H:%M}"
    which = f" at {window.q:g}" if window.q is not None else ""
    left = f"; {late:,} more had happened and {'was' if late == 1 else 'were'} not known yet" if late else ""
    return (
        f"{window.aggregate.replace('_', ' ')}({of}){which} {over}, of {view.table} with {_worded(asked)},"
        f" decided at {decided:%Y-%m-%d %H:%M}{span}: {counted:,} fact{'s' * (counted != 1)} in the window{left}"
    )


def _pins(found: TrainingSet, *tables: str) -> dict[str, int]:
    """Return the versions that were read; rows somebody brought have none."""
    return {name: found.pins[name] for name in tables if name in found.pins}


def _worded(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name} {show.plain(value)}" for name, value in fields.items()) or "no field"
