"""Everything a project's definitions say, as one record that is plain data keyed by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from millstream.definitions.features import Request, Window
from millstream.definitions.model import Model
from millstream.definitions.role import Role
from millstream.definitions.table import Table
from millstream.definitions.tasks import Ranking
from millstream.definitions.view import FeatureView
from millstream.errors import DefinitionError, NotFound, near

_Kind = TypeVar("_Kind", Table, FeatureView, Model)


class Manifest(msgspec.Struct, frozen=True):
    """The tables, views and models of a project.

    Parameters
    ----------
    tables, views, models
        By name. Tables stand in the order in which they can be computed.
    """

    tables: dict[str, Table]
    views: dict[str, FeatureView]
    models: dict[str, Model]

    @property
    def digest(self) -> str:
        """Hash of the content, in its order: the order of columns and features has a meaning."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    def table(self, name: str) -> Table:
        """Return a table by name."""
        return _named(self.tables, name, "table")

    def view(self, name: str) -> FeatureView:
        """Return a feature view by name."""
        return _named(self.views, name, "feature view")

    def model(self, name: str) -> Model:
        """Return a model by name."""
        return _named(self.models, name, "model")

    def roles(self, model: Model) -> tuple[Role, ...]:
        """Return the roles of views a model reads, each once, those that a view is made of before it."""
        found: dict[str, Role] = {}
        seen: set[str] = set()

        def visit(role: Role) -> None:
            if role.name in seen:
                return
            seen.add(role.name)
            of = self.views[role.view].of if role.view in self.views else None
            for used in of.roles if isinstance(of, Request) else ():
                visit(used)
            found[role.name] = role

        for each in model.features:
            visit(each)
        return tuple(found.values())

    def encode(self) -> bytes:
        """Return the manifest as JSON, in its order: a computed column may use those before it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Read a manifest written by ``encode``."""
        return msgspec.json.decode(data, type=cls)


def gather(objects: Iterable[object]) -> Manifest:
    """Put definitions together, order derived tables after their inputs and refuse what names nothing.

    Raises
    ------
    DefinitionError
        For two definitions of one name, a name that nothing has, or a cycle of tables.
    """
    found = list(objects)
    tables = _shelf(found, Table, "table")
    views = _shelf(found, FeatureView, "feature view")
    models = _shelf(found, Model, "model")
    manifest = Manifest(tables=_in_order(tables), views=views, models=models)
    _refuse_dangling(manifest)
    return manifest


def brought(roles: Iterable[Role]) -> dict[str, FeatureView]:
    """Return the views that roles bring along, as a notebook made them, those they are made of included."""
    found: dict[str, FeatureView] = {}
    waiting = list(roles)
    while waiting:
        view = waiting.pop().defined
        if view is not None and view.name not in found:
            found[view.name] = view
            waiting += view.of.roles if isinstance(view.of, Request) else ()
    return found


def _shelf(objects: Iterable[object], kind: type[_Kind], word: str) -> dict[str, _Kind]:
    shelf: dict[str, _Kind] = {}
    for each in objects:
        if isinstance(each, kind):
            name: str = each.name
            if shelf.setdefault(name, each) != each:
                raise DefinitionError(f"two different {word}s are called {name!r}", expected="one name, one definition")
    return shelf


def _in_order(tables: Mapping[str, Table]) -> dict[str, Table]:
    done: dict[str, Table] = {}
    open_: list[str] = []

    def visit(name: str, wanted_by: str) -> None:
        if name in done:
            return
        if name not in tables:
            raise DefinitionError(
                f"table {wanted_by!r} is computed of {name!r}, which nothing defines", do=near(name, tables)
            )
        if name in open_:
            raise DefinitionError(f"tables are computed from each other in a circle: {' -> '.join([*open_, name])}")
        open_.append(name)
        for each in tables[name].of:
            visit(each, name)
        open_.pop()
        done[name] = tables[name]

    for name in tables:
        visit(name, name)
    return done


def _refuse_dangling(manifest: Manifest) -> None:
    for view in manifest.views.values():
        for role in view.of.roles if isinstance(view.of, Request) else ():
            if role.view not in manifest.views:
                raise DefinitionError(
                    f"feature view {view.name!r} combines {role.view!r}, which no file names at its top level",
                    do=near(role.view, manifest.views),
                )
        if not isinstance(view.of, Request) and view.of not in manifest.tables:
            raise DefinitionError(
                f"feature view {view.name!r} is of table {view.of!r}, which nothing defines",
                do=near(view.of, manifest.tables),
            )
    for model in manifest.models.values():
        if not isinstance(model.rows.of, str):
            raise DefinitionError(
                f"model {model.name!r}: rows={type(model.rows).__name__} is no rows",
                expected="rows=Each(TABLE), or rows=Every('1d', of=TABLE)",
            )
        if model.rows.of not in manifest.tables:
            raise DefinitionError(
                f"model {model.name!r} has rows of table {model.rows.of!r}, which nothing defines",
                do=near(model.rows.of, manifest.tables),
            )
        if isinstance(model.task, Ranking) and model.task.candidates not in manifest.tables:
            raise DefinitionError(
                f"the candidates of model {model.name!r} are table {model.task.candidates!r}, which nothing defines",
                do=near(model.task.candidates, manifest.tables),
            )
        ahead = model.label.of if isinstance(model.label, Window) else None
        if ahead is not None and ahead not in manifest.tables:
            raise DefinitionError(
                f"the label of model {model.name!r} looks at table {ahead!r}, which nothing defines",
                do=near(ahead, manifest.tables),
            )
        for role in model.features:
            if role.view not in manifest.views:
                raise DefinitionError(
                    f"model {model.name!r} uses feature view {role.view!r}, which no file names at its top level",
                    do=near(role.view, manifest.views),
                )


def _named(shelf: Mapping[str, _Kind], name: str, word: str) -> _Kind:
    try:
        return shelf[name]
    except KeyError:
        raise NotFound(f"there is no {word} {name!r}", do=near(name, shelf)) from None
