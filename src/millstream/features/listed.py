"""Resolve what is listed for whom: the items there are, who asks, and which columns belong to which."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from millstream.definitions.features import Window
from millstream.definitions.manifest import Manifest
from millstream.definitions.model import Model
from millstream.definitions.tasks import Ranking
from millstream.errors import DefinitionError, near
from millstream.features.plan import FeaturePlan, RankingPlan
from millstream.features.resolve import ENTITIES, refuse_unknown
from millstream.types import MICROSECOND, Schema, parse_duration

SAMPLED = "sampled"
"""Column of a training set of lists: 0 for a choice, else the number of the row sampled beside it."""


def item_columns(task: Ranking, schemas: Mapping[str, Schema]) -> Schema:
    """Return the columns of an item, which the rows of a list have as well; not the candidates' key."""
    schema = schemas.get(task.candidates, {})
    return {name: dtype for name, dtype in schema.items() if name != task.item}


def compile_ranking(
    manifest: Manifest, model: Model, task: Ranking, *, plan: FeaturePlan, schemas: Mapping[str, Schema]
) -> FeaturePlan:
    """Complete a plan with what is listed.

    Raises
    ------
    DefinitionError
        For columns and tables that do not fit, near matches named, and words that do not go with a list.
    """
    where = f"model {model.name}: task TopK"
    rows = manifest.table(model.rows.of)
    schema, items = schemas[rows.name], manifest.table(task.candidates)
    refuse_unknown((task.item,), schema, where=f"{where}: item", table=rows.name)
    if len(items.key) != 1:
        raise DefinitionError(
            f"{where}: the candidates, table {items.name!r}, have {'no key' if not items.key else 'a key of several'}",
            expected="a table with one row an item, whose key is the item",
            do=f"Table({items.name!r}, ..., key={task.item!r})",
        )
    there = schemas[items.name]
    held, named = schema[task.item], there[items.key[0]]
    if held != named or held not in ENTITIES:
        raise DefinitionError(
            f"{where}: item {rows.name}.{task.item} is {held}, the key {items.name}.{items.key[0]} is {named}",
            expected=f"the item as the key of the candidates, {task.item!r}",
            do=near(task.item, there) if task.item not in items.key else "",
        )
    _refuse_words(model, where, schema_time=rows.event_time, table=rows.name, plan=plan)
    given = {
        name: there[name]
        for name in dict.fromkeys((*plan.entity_columns, *plan.request))
        if name in there and name != task.item
    }
    others = [name for name in plan.entity_columns if name != task.item and name not in given]
    by = task.by or tuple(others)
    refuse_unknown(by, schema, where=f"{where}: by", table=rows.name)
    wrong = [name for name in by if name == task.item or name in given or schema[name] not in ENTITIES]
    if not by or wrong:
        raise DefinitionError(
            f"{where}: {wrong[0]!r} cannot say who asks" if wrong else f"{where}: nothing says who asks for a list",
            expected=f"columns of {rows.name!r} that no item has, such as user_id",
            do="tasks.TopK(..., by='user_id')",
        )
    texts = [name for name, _, dtype in plan.combined_parts if dtype == "varchar"]
    if texts:
        raise DefinitionError(
            f"{where} combines {texts[0]!r}, a text of a view, which a list keeps as a number",
            expected="combined features of numbers and booleans, or of texts of the request",
            do="compare in the view: f.last(\"genre = 'red'\")",
        )
    fields = [name for name in (*others, *plan.request) if name != task.item and name not in given]
    ranking = RankingPlan(
        k=task.k,
        item=task.item,
        item_type=held,
        candidates=items.name,
        candidate=items.key[0],
        given=given,
        by=by,
        by_types=tuple(schema[name] for name in by),
        asked=tuple(dict.fromkeys((*by, *fields))),
        choice_key=rows.key,
        choice_time=str(rows.event_time),
        within_us=parse_duration(task.within) // MICROSECOND,
        negatives=model.rows.negatives,
        seed=model.seed,
        exclude_seen=task.exclude_seen,
    )
    return msgspec.structs.replace(plan, ranking=ranking, row_key=by)


def _refuse_words(model: Model, where: str, *, schema_time: str | None, table: str, plan: FeaturePlan) -> None:
    if model.rows.step is not None or isinstance(model.label, Window) or plan.label is None:
        raise DefinitionError(
            f"{where} needs single choices to learn from", expected="rows=Each(table of choices), label='rating >= 4'"
        )
    if plan.label.dtype != "boolean":
        raise DefinitionError(
            f"{where}: the label {plan.label.text!r} is {plan.label.dtype}",
            expected="true or false: whether the item was a good one to list",
            do=f"label='{plan.label.text} >= ...'",
        )
    if schema_time is None:
        raise DefinitionError(
            f"{where}: table {table!r} does not say when something was chosen", expected="Table(..., event_time=...)"
        )
    unfit = {"weight": model.weight, "segments": model.segments, "threshold": model.threshold}
    for word, said in unfit.items():
        if said:
            raise DefinitionError(f"{where} does not go with {word}={said!r}", expected=f"no {word}")
