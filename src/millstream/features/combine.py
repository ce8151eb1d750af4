"""Features made of other features of the same model: ratios, shares, differences, interactions, missing indicators."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from millstream.errors import DefinitionError, near
from millstream.expressions import Expression, mentioned, parse
from millstream.expressions.node import Call, Case, Column, Node
from millstream.expressions.node import columns as columns_of
from millstream.features.resolve import ANSWERS, refuse_type
from millstream.types import Schema


class Said(msgspec.Struct, frozen=True):
    """One expression of a view of the request, and the fields that view declares."""

    text: str
    fields: Schema


def resolve(said: Mapping[str, Said], features: Schema, *, model: str) -> dict[str, Expression]:
    """Read the expressions of a model's request views, in the order they stand.

    Parameters
    ----------
    said
        ``view.feature`` to its expression, over the view's request fields and any ``view.feature`` of the model.
    features
        Features that are windows, and their types.
    model
        Name of the model, for messages.

    Returns
    -------
    dict
        Expressions over request fields and features that are windows: what is said of another expression is put in
        its place.

    Raises
    ------
    DefinitionError
        For names that are not there (near matches are named), types that do not fit, and features made of each other.
    """
    done: dict[str, Expression] = {}

    def read(name: str, open_: tuple[str, ...]) -> Expression:
        if name in open_:
            circle = " -> ".join([*open_[open_.index(name) :], name])
            raise DefinitionError(
                f"model {model}: features are made of each other in a circle: {circle}",
                expected="features that begin with windows or fields of the request",
            )
        if name not in done:
            text, fields = said[name].text, said[name].fields
            others = {each: read(each, (*open_, name)) for each in mentioned(text) if each in said}
            schema = {**fields, **features, **{each: found.dtype for each, found in others.items()}}
            unread = [each for each in said if each not in schema]  # named in near matches only
            _refuse_strange(name, text, {*schema, *unread}, model=model)
            found = parse(text, schema, where=f"feature {name}")
            refuse_type(f"feature {name}", found, ANSWERS)
            node = _put(found.node, {each: other.node for each, other in others.items()})
            done[name] = msgspec.structs.replace(found, node=node, columns=columns_of(node))
        return done[name]

    return {name: read(name, ()) for name in said}


def _refuse_strange(name: str, text: str, there: set[str], *, model: str) -> None:
    """Refuse a feature that the model does not have."""
    for each in mentioned(text):
        if "." in each and each not in there:
            views = {known.partition(".")[0] for known in there if "." in known}
            view = each.partition(".")[0]
            features = sorted(known for known in there if "." in known)
            raise DefinitionError(
                f"feature {name} reads {each!r}, which model {model} does not have",
                expected="features of the model, by the names of its roles",
                do=near(each, features) if view in views else f"add the view to features=[...]; {near(view, views)}",
            )


def _put(node: Node, parts: Mapping[str, Node]) -> Node:
    """Put expressions in place of the columns that name them."""
    if not parts:
        return node
    if isinstance(node, Column):
        return parts.get(node.name, node)
    if isinstance(node, Call):
        return msgspec.structs.replace(node, args=tuple(_put(each, parts) for each in node.args))
    if isinstance(node, Case):
        return msgspec.structs.replace(
            node,
            conditions=tuple(_put(each, parts) for each in node.conditions),
            results=tuple(_put(each, parts) for each in node.results),
            otherwise=_put(node.otherwise, parts),
        )
    return node
