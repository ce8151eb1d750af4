"""Definitions as the Python that says them: for differences people read, and for writing a definition down."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from millstream.definitions.estimator import Estimator
from millstream.definitions.features import Request, Window
from millstream.definitions.manifest import Manifest
from millstream.definitions.model import Model
from millstream.definitions.view import FeatureView, Role

_WIDTH = 100
_OPTIONS = "millstream.definitions."
_FIRST = ("of", "step")
"""Words of rows, which stand without their name."""


class Unwritten(Exception):
    """Something cannot be written in the words of a file; the argument says what."""


class Names:
    """How a file calls what definitions refer to; by default by their own names.

    Parameters
    ----------
    tables, views
        Name to variable; None takes the name itself.
    words
        Imported name to what it is called (``features`` to ``f``); None takes the usual ones.
    """

    def __init__(
        self,
        tables: Mapping[str, str] | None = None,
        views: Mapping[str, str] | None = None,
        words: Mapping[str, str] | None = None,
    ) -> None:
        self._tables, self._views, self._words = tables, views, words

    def table(self, name: str) -> str:
        """Return the variable of a table, else its name as a text, which definitions take as well."""
        return name if self._tables is None else self._tables.get(name, literal(name))

    def view(self, name: str) -> str:
        """Return the variable of a feature view."""
        if self._views is None:
            return name
        if name not in self._views:
            raise Unwritten(f"the feature view {name!r} has no variable of its own in the file")
        return self._views[name]

    def word(self, name: str) -> str:
        """Return how a word of millstream is called."""
        if self._words is None:
            return "f" if name == "features" else name
        if name not in self._words:
            raise Unwritten(f"the file does not import {name!r} from millstream")
        return self._words[name]


def of_model(model: Model, names: Names | None = None) -> dict[str, str]:
    """Write the words of a model that differ from their defaults, each as source."""
    names = names or Names()
    return {
        each.name: written(getattr(model, each.name), names, word=each.name)
        for each in dataclasses.fields(model)
        if each.name != "name"
    }


def of_view(view: FeatureView, names: Names | None = None) -> dict[str, str]:
    """Write the words of a feature view, each as source."""
    names = names or Names()
    said = {"of": names.table(view.of) if isinstance(view.of, str) else written(view.of, names)}
    if view.entity:
        said["entity"] = literal(view.entity[0] if len(view.entity) == 1 else view.entity)
    if view.ttl is not None:
        said["ttl"] = literal(view.ttl)
    return {**said, "features": written(dict(view.features), names)}


def call(kind: str, name: str, words: Mapping[str, str], *, indent: str = "    ") -> str:
    """Write a call with one word a line."""
    lines = "".join(f"{indent}{word}={text},\n" for word, text in words.items())
    return f"{kind}(\n{indent}{literal(name)},\n{lines})"


def told(manifest: Manifest, name: str) -> str:
    """Write a model and the views it reads, as text to compare."""
    model = manifest.model(name)
    parts = [
        f"{role.view} = {call('FeatureView', role.view, of_view(manifest.view(role.view)))}"
        for role in {each.view: each for each in manifest.roles(model)}.values()
    ]
    return "\n\n".join([f"{name} = {call('Model', name, of_model(model))}", *parts]) + "\n"


def difference(before: str, after: str, *, old: str, new: str) -> str:
    """Return how two texts differ, as ``diff -u`` shows it; empty for the same."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), old, new, lineterm="", n=2)
    return "\n".join(lines)


def literal(value: Any) -> str:
    """Write plain data as Python source; texts in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        inner = ", ".join(literal(each) for each in value)
        return f"({inner}{',' * (len(value) == 1)})" if isinstance(value, tuple) else f"[{inner}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(name)}: {literal(each)}" for name, each in value.items()) + "}"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    raise Unwritten(f"{value!r} is no plain value")


def written(value: Any, names: Names, *, word: str = "") -> str:
    """Write one value of a definition as source."""
    if word in ("metrics",):
        return literal(list(value))
    if word == "features":
        return _fold("[", [_role(each, names) for each in value], "]", indent=4)
    if isinstance(value, Estimator):
        return _estimator(value)
    if isinstance(value, Window):
        return _window(value, names)
    if isinstance(value, Request):
        views = [_role(each, names) for each in value.roles]
        inner = ", ".join([*views, *(f"{name}={literal(dtype)}" for name, dtype in value.fields.items())])
        return f"{names.word('features')}.Request({inner})"
    if isinstance(value, dict):
        items = [f"{name}={written(each, names)}" for name, each in value.items()]
        if all(str(name).isidentifier() for name in value):
            return _fold("dict(", items, ")", indent=4)
        return _fold("{", [f"{literal(name)}: {written(each, names)}" for name, each in value.items()], "}", indent=4)
    if dataclasses.is_dataclass(value) or isinstance(value, msgspec.Struct):
        return _option(value, names)
    return literal(value)


def _role(role: Role, names: Names) -> str:
    said = {each.name: getattr(role, each.name) for each in dataclasses.fields(role)}
    view, keys, name = said.pop("view"), said.pop("keys"), said.pop("name")
    more = {word: value for word, value in said.items() if value not in (None, "decided_at")}
    if not keys and name == view and not more:
        return names.view(view)
    extra = "".join(f", {word}={literal(value)}" for word, value in more.items())
    return f"{names.view(view)}.on({literal(keys)}, name={literal(name)}{extra})"


def _window(window: Window, names: Names) -> str:
    said = _changed(window)
    aggregate, value = said.pop("aggregate"), said.pop("value", None)
    if isinstance(said.get("of"), str):
        said["of"] = _Verbatim(names.table(said["of"]))
    parts = [literal(value)] if value is not None else []
    parts += [f"{word}={each if isinstance(each, _Verbatim) else literal(each)}" for word, each in said.items()]
    return f"{names.word('features')}.{aggregate}({', '.join(parts)})"


def _option(value: Any, names: Names) -> str:
    kind = type(value)
    if not kind.__module__.startswith(_OPTIONS):
        raise Unwritten(f"{value!r} is not of millstream's definitions")
    module, said = kind.__module__.removeprefix(_OPTIONS), _changed(value)
    if module == "rows":
        of = names.table(said.pop("of"))
        step = said.pop("step", None)
        head = f"{names.word('Each')}({of}" if step is None else f"{names.word('Every')}({literal(step)}, of={of}"
        return head + "".join(f", {word}={written(each, names)}" for word, each in said.items()) + ")"
    inner = ", ".join(f"{word}={written(each, names)}" for word, each in said.items())
    return f"{names.word(module)}.{kind.__name__}({inner})"


def parameters(said: Estimator) -> dict[str, str]:
    """Write the parameters of an estimator that are not its defaults, each as source."""
    module, _, name = said.path.partition(":")
    usual: dict[str, Any] = {}
    with contextlib.suppress(ImportError, AttributeError, TypeError):  # else every parameter is written: the same
        usual = getattr(importlib.import_module(module), name)().get_params(deep=False)
    params = dict(said.params)
    changed = {each: value for each, value in params.items() if each not in usual or usual[each] != value}
    changed |= {each: None for each, value in usual.items() if value is not None and each not in params}
    return {each: _value(value) for each, value in changed.items()}


def imports(value: Any) -> list[str]:
    """List what an estimator's source has to import, ``module:Class`` each, nested ones included."""
    if isinstance(value, Estimator):
        return [value.path, *imports(value.params)]
    if isinstance(value, list):
        return [path for each in value for path in imports(each)]
    if not isinstance(value, dict):
        return []
    own = [str(value[word]) for word in ("$object", "$import") if word in value]
    return own + [path for each in value.values() for path in imports(each)]


def _value(value: Any) -> str:
    """Write one parameter; what JSON has no word for is an object with a key that begins with ``$``."""
    if isinstance(value, list):
        return f"[{', '.join(_value(each) for each in value)}]"
    if not isinstance(value, dict):
        return literal(value)
    if "$object" in value:
        return _estimator(Estimator(path=value["$object"], params=value["params"]))
    if "$import" in value:
        return str(value["$import"]).partition(":")[2]
    if "$float" in value:
        return f"float({literal(value['$float'])})"
    if "$tuple" in value:
        inner = [_value(each) for each in value["$tuple"]]
        return f"({', '.join(inner)}{',' * (len(inner) == 1)})"
    if any(str(each).startswith("$") for each in value):
        raise Unwritten(f"the parameter {value!r} has no short source")
    return "{" + ", ".join(f"{literal(name)}: {_value(each)}" for name, each in value.items()) + "}"


def more_roles(before: Sequence[Role], after: Sequence[Role], names: Names) -> list[str]:
    """Write the roles that come after those there were; empty when those there were changed."""
    if tuple(after[: len(before)]) != tuple(before):
        return []
    return [_role(each, names) for each in after[len(before) :]]


def _estimator(said: Estimator) -> str:
    name = said.path.partition(":")[2]
    return _fold(f"{name}(", [f"{each}={text}" for each, text in parameters(said).items()], ")", indent=4)


def _changed(value: Any) -> dict[str, Any]:
    """Return the fields of a record that are not its defaults."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        return {each.name: getattr(value, each.name) for each in fields if getattr(value, each.name) != _default(each)}
    return {
        each.name: getattr(value, each.name)
        for each in dataclasses.fields(value)
        if getattr(value, each.name) not in (None, "")
    }


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _fold(head: str, items: list[str], tail: str, *, indent: int) -> str:
    """Write items on one line where they fit, else one a line."""
    line = f"{head}{', '.join(items)}{tail}"
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    inner = "".join(f"{' ' * (indent + 4)}{each},\n" for each in items)
    return f"{head}\n{inner}{' ' * indent}{tail}"


class _Verbatim(str):
    """A text that is source already."""


def meaning(manifest: Manifest, name: str) -> bytes:
    """Return what a model is by its definitions, as bytes to compare: its words, and its views."""
    model = manifest.model(name)
    views = {role.view: manifest.view(role.view) for role in manifest.roles(model)}
    order = [list(each.features) for each in views.values()]  # the order of features has a meaning, that of words none
    return msgspec.json.encode([model, views, order], order="deterministic")
