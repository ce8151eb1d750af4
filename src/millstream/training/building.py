"""From an estimator's description back to the object, with what sameness needs fixed on the way."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from millstream.definitions.estimator import Estimator
from millstream.definitions.sources_of import packages_in
from millstream.errors import DefinitionError, near

_SKLEARN = ("sklearn", "lightgbm")


class Recipe(msgspec.Struct, frozen=True):
    """How an estimator is made: its class and its parameters as used, nested ones included, and what they come from.

    ``packages`` are the top-level packages that its classes and own code are imported from.
    """

    path: str
    params: dict[str, Any]
    packages: tuple[str, ...]

    def make(self) -> Any:
        """Make the estimator, new and unfitted."""
        return rebuild({"$object": self.path, "params": self.params})


def recipe(said: Estimator, *, names: Sequence[str], seed: int, threads: int) -> Recipe:
    """Fix seeds and threads wherever there are some, nested ones included, and columns named by feature.

    Parameters
    ----------
    said
        The description; imports must find its own code.
    names
        Features in the order of the matrix: a ColumnTransformer may name them.
    seed
        For every ``random_state`` the definition leaves open.
    threads
        For every ``n_jobs``.

    Raises
    ------
    DefinitionError
        When something cannot be imported, or a column is named that is no feature.
    """
    packages: set[str] = set()

    def fixed(node: Any) -> Any:
        if isinstance(node, list):
            return [fixed(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$object" not in node:
            if "$import" in node:
                packages.add(node["$import"].partition(":")[0].partition(".")[0])
            return {key: fixed(value) for key, value in node.items()}
        kind = imported(node["$object"])
        packages.add(kind.__module__.partition(".")[0])
        params = {name: fixed(value) for name, value in node.get("params", {}).items()}
        takes = _takes(kind)
        if "random_state" in takes:
            params.setdefault("random_state", seed)
        if "n_jobs" in takes:
            params["n_jobs"] = threads
        if kind.__name__ == "ColumnTransformer":
            params["transformers"] = _placed(params.get("transformers"), names)
        return {"$object": node["$object"], "params": params}

    made = fixed({"$object": said.path, "params": said.params})
    own = {name.partition("/")[0].removesuffix(".py") for name in said.code}
    found = (packages | packages_in(said.code)) - own - {"builtins", "millstream"}
    return Recipe(said.path, made["params"], tuple(sorted(found)))


def rebuild(node: Any) -> Any:
    """Make the value that a piece of plain data describes; the reverse of describing it."""
    if isinstance(node, list):
        return [rebuild(each) for each in node]
    if not isinstance(node, dict):
        return node
    known = next((_FORMS[key] for key in node if key in _FORMS), None)
    return known(node) if known else {key: rebuild(each) for key, each in node.items()}


def imported(path: str) -> Any:
    """Import ``module:name``.

    Raises
    ------
    DefinitionError
        When there is no such module, or nothing of that name in it.
    """
    module, _, name = path.partition(":")
    try:
        found = importlib.import_module(module)
    except ImportError as wrong:
        package = module.partition(".")[0]
        extra = "millstream[lightgbm]" if package in _SKLEARN else package
        raise DefinitionError(
            f"estimator {path} cannot be imported: {wrong}", expected="an installed package",
            do=f"pip install '{extra}'",
        ) from None  # fmt: skip
    except Exception as wrong:  # noqa: BLE001 - a border: a project's own module may raise anything
        raise DefinitionError(f"estimator {path} cannot be imported: {type(wrong).__name__}: {wrong}") from None
    try:
        for each in name.split("."):
            found = getattr(found, each)
    except AttributeError:
        raise DefinitionError(
            f"estimator {path}: module {module!r} has no {name!r}", expected=near(name, vars(found))
        ) from None
    return found


def _object(node: Mapping[str, Any]) -> Any:
    params = {name: rebuild(value) for name, value in node.get("params", {}).items()}
    return imported(node["$object"])(**params)


def _array(node: Mapping[str, Any]) -> Any:
    import numpy as np

    return np.array(rebuild(node["$array"]), dtype=node["dtype"])


_FORMS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "$object": _object,
    "$array": _array,
    "$tuple": lambda node: tuple(rebuild(each) for each in node["$tuple"]),
    "$dict": lambda node: {rebuild(key): rebuild(value) for key, value in node["$dict"]},
    "$float": lambda node: float(node["$float"]),
    "$import": lambda node: imported(node["$import"]),
    "$slice": lambda node: slice(*(rebuild(each) for each in node["$slice"])),
}


def _takes(kind: Any) -> set[str]:
    """Name the parameters a class takes, those it passes on to the classes it derives from included."""
    found: set[str] = set()
    for each in getattr(kind, "__mro__", ()):
        if "__init__" in vars(each) and each is not object:
            given = inspect.signature(each.__init__).parameters.values()
            found |= {one.name for one in given}
            if not any(one.kind is one.VAR_KEYWORD for one in given):
                break
    return found


def _placed(transformers: Any, names: Sequence[str]) -> Any:
    """Let a ColumnTransformer's columns be places of the matrix where they are names of features."""
    short = {name.partition(".")[2]: place for place, name in enumerate(names)}
    known = {**short, **{name: place for place, name in enumerate(names)}}

    def place(column: Any) -> Any:
        if not isinstance(column, str):
            return column
        if column not in known:
            raise DefinitionError(f"a ColumnTransformer names {column!r}, which is no feature", do=near(column, known))
        return known[column]

    def one(said: Any) -> Any:
        parts = said["$tuple"] if isinstance(said, dict) and "$tuple" in said else said
        if not isinstance(parts, list) or len(parts) != 3:
            return said
        columns = parts[2]
        listed = columns.get("$tuple", columns) if isinstance(columns, dict) else columns
        chosen = [place(each) for each in listed] if isinstance(listed, list) else listed
        chosen = [place(chosen)] if isinstance(chosen, str) else chosen
        return {"$tuple": [parts[0], parts[1], chosen]}

    return [one(each) for each in transformers] if isinstance(transformers, list) else transformers
