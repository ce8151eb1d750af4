"""What is made of what: from source columns over tables, features and labels to models and their versions.

Edges come from the definitions themselves, and of a released version from the plan in its signed bundle. A table is
looked into when somebody asks about it, so a project of hundreds of tables costs what is reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from millstream.definitions.features import Request, Window
from millstream.definitions.model import Model
from millstream.definitions.tasks import Ranking
from millstream.definitions.view import FeatureView, Role
from millstream.expressions import mentioned
from millstream.lake.derived.columns import Columns, named_columns
from millstream.lake.derived.sensitive import Sensitivity
from millstream.types import Schema

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.project.root import Project

Node: TypeAlias = tuple[str, str]
"""Kind (source, table, column, view, feature, label, model, version, part, prediction) and name."""


@dataclass(frozen=True)
class Edge:
    """One thing another is made of.

    Parameters
    ----------
    node
        The other end.
    how
        ``value``, ``rows`` (it decides which rows there are), ``key`` (whom it is about), ``feature``, ``label``,
        ``table`` (nothing finer is known) or ``source``.
    says
        The expression, where there is one.
    """

    node: Node
    how: str
    says: str = ""


class Graph:
    """Edges of a project's definitions, upstream and downstream.

    Parameters
    ----------
    project
        Whose definitions.
    plans
        Released version (``late@2``) to what it reads.
    """

    def __init__(self, project: Project, plans: Mapping[str, FeaturePlan] | None = None) -> None:
        self.project = project
        self.columns = Columns(project.lake.catalog)
        self._plans = dict(plans or {})

    def up(self, node: Node) -> list[Edge]:
        """List what something is made of, one step back."""
        kind, name = node
        found = getattr(self, f"_up_{kind}")(name)
        return list(dict.fromkeys(found))

    def down(self, node: Node) -> list[Edge]:
        """List what is made of something, one step on."""
        kind, name = node
        found = getattr(self, f"_down_{kind}", lambda _: ())(name)
        return list(dict.fromkeys(found))

    # Upstream -------------------------------------------------------------------------------------------------

    def _up_source(self, _: str) -> Iterator[Edge]:
        return iter(())

    def _up_table(self, name: str) -> Iterator[Edge]:
        table = self.project.manifest.tables.get(name)
        for each in table.of if table is not None else ():
            yield Edge(("table", each), "table")
        if table is not None and table.source is not None:
            yield Edge(("source", source_of(self.project, name)), "source")

    def _up_column(self, name: str) -> Iterator[Edge]:
        table, _, column = name.partition(".")
        origins = self.columns.of(table)
        definition = self.project.manifest.tables.get(table)
        if not origins.exact and definition is not None and column not in definition.columns:
            for each in definition.of:
                yield Edge(("table", each), "table", origins.says)
            return
        for base in origins.values.get(column, ()):
            yield Edge(("column", ".".join(base)), "value", origins.how.get(column, ""))
        for base in origins.rows:
            yield Edge(("column", ".".join(base)), "rows")
        if not origins.values.get(column) and definition is not None and definition.source is not None:
            yield Edge(("source", source_of(self.project, table)), "source")

    def _up_view(self, name: str) -> Iterator[Edge]:
        of = self.project.manifest.view(name).of
        if isinstance(of, str):
            yield Edge(("table", of), "table")

    def _up_feature(self, name: str) -> Iterator[Edge]:
        view, feature = self._feature(name)
        said = view.features[feature]
        if isinstance(view.of, Request):
            for model in self._models_of_view(view.name):
                for each in mentioned(str(said)):
                    if each in view.of.fields:
                        yield Edge(("column", f"{model.rows.of}.{each}"), "value", f"{said}, sent with the request")
            for name in mentioned(str(said)):
                used, _, each = name.partition(".")
                for role in _read_by(view):
                    if role.name == used and each in self.project.manifest.view(role.view).features:
                        yield Edge(("feature", f"{role.view}.{each}"), "value", str(said))
            return
        assert isinstance(said, Window)
        yield from self._window(said, view.of, view.entity)

    def _up_label(self, name: str) -> Iterator[Edge]:
        model = self.project.manifest.model(name)
        if isinstance(model.label, Window):
            yield from self._window(model.label, model.label.of or model.rows.of, tuple(model.label.on or ()))
        elif model.label is not None:
            yield from self._row(model.rows.of, model.label, "value")

    def _up_model(self, name: str) -> Iterator[Edge]:
        model = self.project.manifest.model(name)
        for role in model.features:
            for feature in self.project.manifest.view(role.view).features:
                says = f"as {role.name}" if role.name != role.view else ""
                yield Edge(("feature", f"{role.view}.{feature}"), "feature", says)
        if model.label is not None:
            yield Edge(("label", name), "label")
        for text in _row_texts(model):
            yield from self._row(model.rows.of, text, "rows")
        yield from (Edge(("column", f"{model.rows.of}.{key}"), "key") for key in self._keys(model))
        if isinstance(model.task, Ranking):
            yield Edge(("table", model.task.candidates), "table", "the items there are")

    def _up_version(self, name: str) -> Iterator[Edge]:
        plan = self._plans[name]
        yield from (Edge(("part", f"{name}/{each.name}"), "feature") for each in plan.columns)
        if plan.label_dtype is not None:
            yield Edge(("part", f"{name}/label"), "label")
        for said in (plan.where, plan.decide_at):
            for column in said.columns if said is not None else ():
                yield Edge(("column", f"{plan.rows_table}.{column}"), "rows", said.text if said is not None else "")

    def _up_part(self, name: str) -> Iterator[Edge]:
        version, _, part = name.partition("/")
        plan = self._plans[version]
        if part == "label":
            said = plan.label if plan.ahead is None else plan.ahead.value
            table = plan.rows_table if plan.ahead is None else plan.ahead.table
            for column in said.columns if said is not None else ():
                yield Edge(("column", f"{table}.{column}"), "value", said.text if said is not None else "")
            if plan.ahead is not None:
                yield from (Edge(("column", f"{table}.{each}"), "key") for each in plan.ahead.entity)
        elif part in plan.combined:
            said = plan.combined[part]
            for each in said.columns:
                node = (
                    ("column", f"{plan.rows_table}.{each}") if each in plan.request else ("part", f"{version}/{each}")
                )
                yield Edge(node, "value", said.text)
        elif part in plan.request_features:
            said = plan.request_features[part]
            yield from (Edge(("column", f"{plan.rows_table}.{each}"), "value", said.text) for each in said.columns)
        else:
            role, _, feature = part.partition(".")
            view = next(each for each in plan.views if each.name == role)
            value = view.features[feature].value
            for column in value.columns if value is not None else ():
                yield Edge(("column", f"{view.table}.{column}"), "value", value.text if value is not None else "")
            yield from (Edge(("column", f"{view.table}.{each}"), "key") for each in view.entity)

    # Downstream -----------------------------------------------------------------------------------------------

    def _down_source(self, name: str) -> Iterator[Edge]:
        for each in self.project.manifest.tables.values():
            if each.source is not None and source_of(self.project, each.name) == name:
                yield Edge(("table", each.name), "source")

    def _down_table(self, name: str) -> Iterator[Edge]:
        yield from (Edge(("table", each), "table") for each in self.consumers.get(name, ()))
        yield from (Edge(("view", each.name), "table") for each in self._views_of(name))
        for model in self.project.manifest.models.values():
            if name in _model_tables(model):
                yield Edge(("model", model.name), "table")

    def _down_view(self, name: str) -> Iterator[Edge]:
        yield from (Edge(("model", each.name), "feature") for each in self._models_of_view(name))

    def _down_column(self, name: str) -> Iterator[Edge]:
        table, _, column = name.partition(".")
        for other in (table, *self.consumers.get(table, ())):
            origins = self.columns.of(other)
            if not origins.exact and other != table:
                yield Edge(("table", other), "table", origins.says)
                continue
            for made, bases in origins.values.items():
                if (table, column) in bases:
                    yield Edge(("column", f"{other}.{made}"), "value", origins.how.get(made, ""))
            if (table, column) in origins.rows:
                yield Edge(("table", other), "rows", "decides which rows there are")
        yield from self._described(table, column)

    def _described(self, table: str, column: str) -> Iterator[Edge]:
        """List features, labels and models that read a column."""
        me = ("column", f"{table}.{column}")
        views = {each.name: each for each in self._views_of(table)}
        models = [each for each in self.project.manifest.models.values() if table in _model_tables(each)]
        views |= {
            role.view: view
            for model in models
            for role in self.project.manifest.roles(model)
            if isinstance((view := self.project.manifest.view(role.view)).of, Request)
        }
        for view in views.values():
            for feature in view.features:
                for edge in self._up_feature(f"{view.name}.{feature}"):
                    if edge.node == me:
                        yield Edge(("feature", f"{view.name}.{feature}"), edge.how, edge.says)
        for model in models:
            if model.label is not None:
                for edge in self._up_label(model.name):
                    if edge.node == me:
                        yield Edge(("label", model.name), edge.how, edge.says)
            for edge in self._up_model(model.name):
                if edge.node == me:
                    yield Edge(("model", model.name), edge.how, edge.says)

    def _down_feature(self, name: str) -> Iterator[Edge]:
        view, feature = self._feature(name)
        for other in self.project.manifest.views.values():
            for role in _read_by(other):
                for each, said in other.features.items() if role.view == view.name else ():
                    if f"{role.name}.{feature}" in mentioned(str(said)):
                        yield Edge(("feature", f"{other.name}.{each}"), "value", str(said))
        yield from (Edge(("model", each.name), "feature") for each in self._models_of_view(view.name))

    def _down_label(self, name: str) -> Iterator[Edge]:
        yield Edge(("model", name), "label")

    def _down_model(self, name: str) -> Iterator[Edge]:
        from millstream.state import pointer, releases

        live = pointer.get(self.project.state, name).release
        for each in releases.history(self.project.state, name, limit=10):
            yield Edge(("version", each.name), "value", "answers now" if each.id == live else each.status)

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """The tags of columns."""
        return Sensitivity(self.project.lake.catalog, self.columns)

    # What leads to what ---------------------------------------------------------------------------------------

    @cached_property
    def consumers(self) -> dict[str, list[str]]:
        """Table to the tables computed from it."""
        found: dict[str, list[str]] = {}
        for each in self.project.manifest.tables.values():
            for name in each.of:
                found.setdefault(name, []).append(each.name)
        return found

    @cached_property
    def _views(self) -> dict[str, list[FeatureView]]:
        found: dict[str, list[FeatureView]] = {}
        for each in self.project.manifest.views.values():
            if isinstance(each.of, str):
                found.setdefault(each.of, []).append(each)
        return found

    def _views_of(self, table: str) -> list[FeatureView]:
        return self._views.get(table, [])

    def _models_of_view(self, view: str) -> list[Model]:
        models = self.project.manifest.models.values()
        return [each for each in models if any(role.view == view for role in self.project.manifest.roles(each))]

    def _feature(self, name: str) -> tuple[FeatureView, str]:
        view, _, feature = name.partition(".")
        return self.project.manifest.view(view), feature

    def _keys(self, model: Model) -> list[str]:
        """Name the columns of the rows that hold whom features are about."""
        found = []
        for role in self.project.manifest.roles(model):
            view = self.project.manifest.view(role.view)
            found += [role.keys.get(each, each) for each in view.entity]
        return list(dict.fromkeys(found))

    def _row(self, table: str, text: str, how: str) -> Iterator[Edge]:
        for each in named_columns(text, self._schema(table)):
            yield Edge(("column", f"{table}.{each}"), how, text)

    def _window(self, said: Window, table: str, entity: tuple[str, ...]) -> Iterator[Edge]:
        over = f" over {said.over}" if said.over else f" ahead {said.ahead}" if said.ahead else ""
        over += f", {said.ago} ago" if said.ago else ""
        schema = self._schema(table)
        for text, how in ((said.value, "value"), (said.where, "rows")):
            for each in named_columns(text, schema) if text else ():
                which = f", {said.q}" if said.q is not None else ""
                told = f"{said.aggregate}({text}{which}){over}" if how == "value" else f"where {text}"
                yield Edge(("column", f"{table}.{each}"), how, told)
        yield from (Edge(("column", f"{table}.{each}"), "key") for each in entity)

    def _schema(self, table: str) -> Schema:
        return self.columns.schema(table)


def source_of(project: Project, table: str) -> str:
    """Name where a table's rows come from, in a few words."""
    source = project.manifest.table(table).source
    if source is None:
        return ""
    said = {word: getattr(source, word, "") for word in ("path", "database", "table")}
    where = " ".join(str(each) for each in said.values() if each)
    return f"{type(source).__name__.lower()} {where}".strip()


def _read_by(view: FeatureView) -> tuple[Role, ...]:
    """List the roles whose features the expressions of a view may name: those it says, and itself."""
    return (*view.of.roles, view.on({}, name=view.name)) if isinstance(view.of, Request) else ()


def _row_texts(model: Model) -> list[str]:
    """List what a model says about its rows beside the label."""
    segments = [f'"{each}"' for each in model.segments]
    said = [model.rows.where, model.rows.decide_at, model.weight, *segments]
    return [each for each in said if isinstance(each, str)]


def _model_tables(model: Model) -> set[str]:
    """Name the tables that a model itself names."""
    found = {str(model.rows.of)}
    if isinstance(model.label, Window) and model.label.of:
        found.add(model.label.of)
    if isinstance(model.task, Ranking):
        found.add(model.task.candidates)
    return found
