"""Resolve a model's features against the tables: every name found, every type known, no leak that reading can see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from millstream.definitions.features import Request, Window
from millstream.definitions.manifest import Manifest
from millstream.definitions.model import Model
from millstream.definitions.table import Table
from millstream.definitions.tasks import Ranking
from millstream.definitions.view import FeatureView, Role
from millstream.errors import DefinitionError, LeakError
from millstream.expressions import Expression, parse
from millstream.features.combine import Combiner, apart
from millstream.features.labels import compile_label
from millstream.features.listed import SAMPLED, compile_ranking, item_columns
from millstream.features.plan import TARGET, FeatureColumn, FeaturePlan, TickPlan, ViewPlan, WindowPlan
from millstream.features.resolve import (
    ACCEPTED,
    RESERVED,
    VALUELESS,
    answer_type,
    filtered,
    refuse_quantile,
    refuse_reserved,
    refuse_type,
    refuse_unknown,
    refuse_unlike,
    typed,
    window_span,
)
from millstream.features.seasons import compile_seasonal
from millstream.types import DType, Schema

_Features: TypeAlias = tuple[tuple[FeatureColumn, ...], tuple[ViewPlan, ...], dict[str, DType], dict[str, Expression]]


def compile_plan(
    manifest: Manifest,
    model_name: str,
    schemas: Mapping[str, Schema],
    known: Mapping[str, Mapping[str, str]],
    *,
    timezone: str = "UTC",
) -> FeaturePlan:
    """Resolve what a model reads.

    Parameters
    ----------
    manifest
        The project's definitions.
    model_name
        Which model.
    schemas
        Table to its columns and types, for the rows' table, every view's and the label's.
    known
        Table to (column to known-at column), as ``TableFrame.known`` has it: what becomes known together with the
        label is refused here, everything else when rows are read (``check_known``).
    timezone
        The project's, for the calendar of ``Every`` where the table names none.

    Raises
    ------
    NotFound
        When there is no such model.
    DefinitionError
        For unknown columns and types that do not fit; near matches are named.
    LeakError
        When a prediction reads its row's own label, or what becomes known only together with it.
    """
    model = manifest.model(model_name)
    rows = manifest.table(model.rows.of)
    schema = schemas[rows.name]
    ticks = model.rows.step is not None
    task = model.task if isinstance(model.task, Ranking) else None
    refuse_reserved(rows.name, schema, (*RESERVED, *((TARGET,) if ticks else ()), *((SAMPLED,) if task else ())))
    where = f"model {model.name}"
    if not rows.key:
        raise DefinitionError(
            f"{where} predicts rows of table {rows.name!r}, which has no key",
            expected="Table(..., key=...): predictions and outcomes are joined by it",
        )
    target = model.rows.horizon is not None
    rows_schema: Schema = {**schema, TARGET: "timestamptz"} if target else schema
    seen_schema = rows_schema if task is None else {**rows_schema, **item_columns(task, schemas)}
    columns, views, request, request_features = _features(manifest, model, schemas, seen_schema)
    request_features, combined = apart(request_features, request)
    calendar = _ticks(model, rows, schema, timezone)
    zone = None if calendar is None else calendar.timezone
    label, ahead = compile_label(manifest, model, schemas, rows_schema, zone=zone)
    plan = FeaturePlan(
        model=model.name,
        rows_table=rows.name,
        row_key=(*rows.key, TARGET) if target else rows.key,
        event_time=rows.event_time,
        decide_at=typed(model.rows.decide_at, schema, where=f"{where}: decide_at", accepted=("timestamptz",)),
        where=typed(model.rows.where, schema, where=f"{where}: where", accepted=("boolean",)),
        label=label,
        columns=columns,
        views=views,
        request=request,
        request_features=request_features,
        combined=combined,
        ahead=ahead,
        ticks=calendar,
        seasonal=compile_seasonal(model, ahead, calendar, schemas),
    )
    if model.rows.negatives and task is None:
        raise DefinitionError(
            f"{where} samples {model.rows.negatives} negatives and its task is no list",
            expected="task=tasks.TopK(...), or no negatives",
        )
    if task is not None:
        plan = compile_ranking(manifest, model, task, plan=plan, schemas=schemas)
    _refuse_own_label(plan, known.get(rows.name, {}))
    if rows.event_time is None and not rows.known_at and not known.get(rows.name):
        _refuse_own_label_in_window(plan)
    return plan


def _ticks(model: Model, rows: Table, schema: Schema, timezone: str) -> TickPlan | None:
    if model.rows.step is None:
        return None
    zone = rows.timezone or timezone
    return TickPlan(model.rows.step, zone, model.rows.horizon, tuple(schema[each] for each in rows.key))


def _features(manifest: Manifest, model: Model, schemas: Mapping[str, Schema], rows_schema: Schema) -> _Features:
    """Resolve the roles into what a plan says of features."""
    columns: list[FeatureColumn] = []
    request: dict[str, DType] = {}
    expressions: dict[str, Expression] = {}

    def windows(definition: FeatureView, role: Role) -> ViewPlan:
        return _view(definition, role, manifest=manifest, schemas=schemas, model=model, rows_schema=rows_schema)

    def merge(asked: Request, role: Role) -> None:
        _merge_request(request, asked, role, rows_schema=rows_schema, table=model.rows.of)

    resolved = Combiner(manifest, windows=windows, merge=merge)
    for role in model.features:
        if isinstance(manifest.view(role.view).of, Request):
            made = resolved.request(role)
            expressions |= made
            columns.extend(FeatureColumn(name, found.dtype) for name, found in made.items())
        else:
            view = resolved.view(role)
            columns.extend(FeatureColumn(f"{role.name}.{each}", window.dtype) for each, window in view.features.items())
    return tuple(columns), tuple(resolved.views.values()), request, expressions


def _view(
    definition: FeatureView,
    role: Role,
    *,
    manifest: Manifest,
    schemas: Mapping[str, Schema],
    model: Model,
    rows_schema: Schema,
) -> ViewPlan:
    where = f"feature view {role.name}"
    table = manifest.table(str(definition.of))
    schema, rows_table = schemas[table.name], model.rows.of
    if role.at == TARGET and model.rows.horizon is None:
        raise DefinitionError(
            f"{where} is about target_at, and the rows of model {model.name} have no horizon",
            expected='rows=Every(..., horizon=("1d", "28d")), or at="decided_at"',
        )
    refuse_unknown(definition.entity, schema, where=f"{where}: entity", table=table.name)
    refuse_unknown(role.keys, definition.entity, where=f"{where}: role", table=table.name)
    keys = tuple(role.keys.get(each, each) for each in definition.entity)
    refuse_unknown(keys, rows_schema, where=f"{where}: entity", table=rows_table)
    for column, key in zip(definition.entity, keys, strict=True):
        refuse_unlike((table.name, schema, column), (rows_table, rows_schema, key), where=where)
    encoding = [
        name for name, said in definition.features.items() if isinstance(said, Window) and said.smooth is not None
    ]
    if role.at == TARGET and encoding:
        raise DefinitionError(
            f"feature {role.name}.{encoding[0]} is the mean of known labels, and {where} is about target_at",
            expected='f.target(...) at="decided_at": labels of what is planned ahead are not known',
        )
    static = table.event_time is None
    windows = {
        feature: _window(said, schema, where=f"feature {role.name}.{feature}", ttl=definition.ttl, static=static)
        for feature, said in definition.features.items()
        if isinstance(said, Window)
    }
    types = tuple(schema[each] for each in definition.entity)
    return ViewPlan(role.name, table.name, definition.entity, types, keys, windows, role.at)


def _window(said: Window, schema: Schema, *, where: str, ttl: str | None, static: bool) -> WindowPlan:
    if said.ahead is not None or said.of is not None:
        raise DefinitionError(
            f"{where} looks ahead" if said.ahead else f"{where} names a table of its own, {said.of!r}",
            expected="a window that looks back over the view's table: over='7d'; only a label looks ahead",
        )
    span = window_span(said, where=where, ttl=ttl, static=static)
    refuse_quantile(said, where=where)
    if said.value is None:
        if said.aggregate not in VALUELESS:
            raise DefinitionError(f"{where} has no value", expected=f"f.{said.aggregate}('column', ...)")
        if said.where is None:
            return WindowPlan(said.aggregate, None, span.over_us, answer_type(said.aggregate, "bigint"), span.ago_us)
    if said.where is not None:  # each alone first: what is wrong is told in the words that were written
        parse(said.value or "true", schema, where=where)
        refuse_type(f"{where}: where", parse(said.where, schema, where=f"{where}: where"), ("boolean",))
    value = parse(filtered(said.value or "true", said.where), schema, where=where)
    if said.aggregate not in VALUELESS:
        refuse_type(f"{where}: {said.aggregate}", value, ACCEPTED[said.aggregate])
    dtype = answer_type(said.aggregate, value.dtype)
    return WindowPlan(said.aggregate, value, span.over_us, dtype, span.ago_us, said.q, said.smooth)


def _merge_request(request: dict[str, DType], asked: Request, role: Role, *, rows_schema: Schema, table: str) -> None:
    where = f"feature view {role.name}"
    refuse_unknown(asked.fields, rows_schema, where=f"{where}: request field", table=table)
    for field, dtype in asked.fields.items():
        held = rows_schema[field]
        if held != dtype and (held, dtype) != ("bigint", "double"):
            raise DefinitionError(f"{where}: request field {field!r} is {dtype}, {table}.{field} is {held}")
        if request.setdefault(field, dtype) != dtype:
            raise DefinitionError(f"{where}: request field {field!r} is {dtype} here and {request[field]} elsewhere")


def _refuse_own_label(plan: FeaturePlan, known: Mapping[str, str]) -> None:
    """Refuse reading the label's columns of the predicted row, and columns declared known only together with them."""
    if plan.label is None:
        return
    told_apart = len(set(known.values())) > 1
    with_label = {known[each] for each in plan.label.columns if each in known} if told_apart else set()
    for column in inputs(plan):
        if column in plan.label.columns:
            why = f"the label {plan.label.text!r} is made of it"
        elif known.get(column) in with_label:
            why = f"it becomes known only together with the label {plan.label.text!r}"
        else:
            continue
        raise LeakError(
            f"{readers(plan, column)[0]} reads {column!r} of the row it predicts, and {why}",
            expected="only columns that are known when the prediction is made",
            do=f"leave {column!r} out, or look back at other rows with a window over an entity",
        )


def _refuse_own_label_in_window(plan: FeaturePlan) -> None:
    """Refuse windows over the labels of a table without time: each row's own label would be in its own feature."""
    for view in plan.views if plan.label is not None else ():
        for feature, window in view.features.items():
            read = () if window.value is None else window.value.columns
            shared = [each for each in read if plan.label is not None and each in plan.label.columns]
            if view.table == plan.rows_table and shared and window.aggregate != "target":
                raise LeakError(
                    f"feature {view.name}.{feature} reads {shared[0]!r}, of which the label is made, of every row of"
                    f" {view.table!r} that has its {', '.join(view.entity)}: the row's own among them, as the table"
                    " does not say when anything was known",
                    expected="labels that were known when the prediction is made",
                    do=f"f.target({window.value.text!r}), which leaves a row's own label out, or"  # type: ignore[union-attr]
                    f" Table({view.table!r}, event_time=..., known_at=...)",
                )


def inputs(plan: FeaturePlan) -> tuple[str, ...]:
    """Name every column of the predicted row that its prediction depends on, each once."""
    said = [name for each in (plan.where, plan.decide_at) if each is not None for name in each.columns]
    if plan.ranking is not None:  # who asks, and when, comes from the caller; what is chosen is what is predicted
        of_items = (*plan.ranking.by, plan.ranking.item, *plan.ranking.given)
        told = [name for name in plan.request if name not in of_items]
        return tuple(dict.fromkeys((*told, *(plan.where.columns if plan.where is not None else ()))))
    return tuple(dict.fromkeys((*plan.entity_columns, *plan.request, *said)))


def readers(plan: FeaturePlan, column: str) -> list[str]:
    """Say, in the user's words, what of a plan reads a column of the row that is predicted."""
    of_request = {**plan.request_features, **plan.combined}
    found = [f"feature {name}" for name, said in of_request.items() if column in said.columns]
    found += [f"feature view {each.name} (entity key)" for each in plan.views if column in each.keys]
    for word, said in (("where", plan.where), ("decide_at", plan.decide_at)):
        if said is not None and column in said.columns:
            found.append(f"{word} of model {plan.model}")
    if not found and column in plan.request:
        found.append(f"request field {column}")
    return found
