"""Features made of features: expressions over the request and over what other views say, in whatever depth.

Whatever depth there is in the definitions, an expression ends up over features of tables and fields of the request:
features of the request that it names are written out inside of it, so there is no order to keep and nothing to cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from millstream.definitions.features import Request
from millstream.definitions.manifest import Manifest
from millstream.definitions.role import Role
from millstream.definitions.view import FeatureView
from millstream.errors import DefinitionError
from millstream.expressions import Expression, Node, mentioned, parse
from millstream.expressions.node import Call, Case, Column, children, columns
from millstream.features.plan import ViewPlan
from millstream.features.resolve import ANSWERS, refuse_type
from millstream.types import DType

MOST_PARTS = 5_000
"""Parts of an expression in which all others have been written out."""
MOST_LEVELS = 200
"""Parts within parts of such an expression, and features made of features."""


class Combiner:
    """Resolves the roles of a model, and those their expressions name.

    Parameters
    ----------
    manifest
        The project's definitions.
    windows
        Makes the plan of a view over a table.
    merge
        Takes the fields of a request view.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        windows: Callable[[FeatureView, Role], ViewPlan],
        merge: Callable[[Request, Role], None],
    ) -> None:
        self._manifest, self._windows, self._merge = manifest, windows, merge
        self._roles: dict[str, Role] = {}
        self._made: dict[str, dict[str, Expression]] = {}
        self._open: list[str] = []
        self.views: dict[str, ViewPlan] = {}

    def view(self, role: Role) -> ViewPlan:
        """Return the plan of a view over a table."""
        self._refuse_twice(role)
        if role.name not in self.views:
            self.views[role.name] = self._windows(self._manifest.view(role.view), role)
        return self.views[role.name]

    def request(self, role: Role) -> dict[str, Expression]:
        """Return the features of a request view, over fields of the request and features of tables.

        Raises
        ------
        DefinitionError
            For a circle of views, for one role name with two meanings and for what is too long when written out.
        """
        self._refuse_twice(role)
        if role.name in self._made:
            return self._made[role.name]
        if role.view in self._open:
            raise DefinitionError(
                f"feature views are made of each other in a circle: {' -> '.join([*self._open, role.view])}",
                expected="views whose features lead back to tables or to the request",
            )
        _refuse_deep(role.view, len(self._open))
        self._open.append(role.view)
        definition = self._manifest.view(role.view)
        assert isinstance(definition.of, Request)
        self._merge(definition.of, role)
        schema: dict[str, DType] = dict(definition.of.fields)
        inside: dict[str, Node] = {}
        for used in definition.of.roles:
            if used.name == role.view != used.view:
                raise DefinitionError(
                    f"feature view {role.view!r} names {used.view!r} as itself",
                    expected="one role, one name",
                    do="view.on({...}, name='another name')",
                )
            if isinstance(self._manifest.view(used.view).of, Request):
                for name, said in self.request(used).items():
                    schema[name], inside[name] = said.dtype, said.node
            else:
                schema |= {f"{used.name}.{name}": said.dtype for name, said in self.view(used).features.items()}
        made = _View(definition, role, schema, inside).made()
        self._open.pop()
        self._made[role.name] = made
        return made

    def _refuse_twice(self, role: Role) -> None:
        if self._roles.setdefault(role.name, role) != role:
            raise DefinitionError(
                f"{role.name!r} names two different roles, one of view {self._roles[role.name].view!r} with"
                f" {self._roles[role.name].keys} and one of {role.view!r} with {role.keys}",
                expected="one role, one name",
                do="view.on({...}, name='another name')",
            )


class _View:
    """Reads the expressions of one view; they may name each other as ``view.feature``, in any order."""

    def __init__(
        self, definition: FeatureView, role: Role, schema: Mapping[str, DType], inside: Mapping[str, Node]
    ) -> None:
        self._role, self._inside = role, dict(inside)
        self._texts = {f"{role.view}.{feature}": str(text) for feature, text in definition.features.items()}
        # What is not read yet is named by nobody who is read before it: its type serves near matches alone.
        self._schema: dict[str, DType] = {**schema, **dict.fromkeys(self._texts, "double")}
        self._found: dict[str, Expression] = {}

    def made(self) -> dict[str, Expression]:
        """Return the features by the names the role gives them."""
        return {f"{self._role.name}.{name.partition('.')[2]}": self._read(name, ()) for name in self._texts}

    def _read(self, name: str, open_: tuple[str, ...]) -> Expression:
        if name in open_:
            raise DefinitionError(
                f"features are made of each other in a circle: {' -> '.join([*open_[open_.index(name) :], name])}",
                expected="features that lead back to tables or to the request",
            )
        if name not in self._found:
            text, where = self._texts[name], f"{self._role.name}.{name.partition('.')[2]}"
            _refuse_deep(where, len(open_))
            for other in mentioned(text) if "." in text else ():
                if other in self._texts:
                    said = self._read(other, (*open_, name))
                    self._schema[other], self._inside[other] = said.dtype, said.node
            found = parse(text, self._schema, where=f"feature {where}")
            refuse_type(f"feature {where}", found, ANSWERS)
            self._found[name] = _written_out(found, self._inside, where=where) if self._inside else found
        return self._found[name]


def _written_out(said: Expression, inside: Mapping[str, Node], *, where: str) -> Expression:
    """Write the features of the request that an expression names out inside of it."""
    node = _replaced(said.node, inside)
    parts, levels = _measured(node, {})
    if parts > MOST_PARTS:
        raise DefinitionError(
            f"feature {where} is too long when the features it is made of are written out",
            expected=f"at most {MOST_PARTS} parts",
            do="make fewer features of features of features",
        )
    _refuse_deep(where, levels)
    return msgspec.structs.replace(said, node=node, columns=columns(node))


def _replaced(node: Node, inside: Mapping[str, Node]) -> Node:
    if isinstance(node, Column):
        return inside.get(node.name, node)
    if isinstance(node, Call):
        return Call(node.function, tuple(_replaced(each, inside) for each in node.args), node.dtype)
    if isinstance(node, Case):
        return Case(
            tuple(_replaced(each, inside) for each in node.conditions),
            tuple(_replaced(each, inside) for each in node.results),
            _replaced(node.otherwise, inside),
            node.dtype,
        )
    return node


def _refuse_deep(where: str, levels: int) -> None:
    """Refuse what is made of more levels of features than evaluation can follow."""
    if levels > MOST_LEVELS:
        raise DefinitionError(
            f"{where} is made of features of features too many times over",
            expected=f"at most {MOST_LEVELS} parts within parts",
            do="make fewer features of features of features",
        )


def _measured(node: Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Count the parts of a tree, and the levels; a part that stands at several places is walked once."""
    if id(node) not in known:
        inner = [_measured(each, known) for each in children(node)]
        known[id(node)] = 1 + sum(parts for parts, _ in inner), 1 + max((levels for _, levels in inner), default=0)
    return known[id(node)]


def apart(
    expressions: Mapping[str, Expression], fields: Mapping[str, DType]
) -> tuple[dict[str, Expression], dict[str, Expression]]:
    """Tell the expressions that need nothing but fields of the request from those that need features of tables."""
    of_request = {name: each for name, each in expressions.items() if set(each.columns) <= fields.keys()}
    return of_request, {name: each for name, each in expressions.items() if name not in of_request}
