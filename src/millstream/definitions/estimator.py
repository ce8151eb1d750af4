"""An estimator as plain data: where its class is imported from, its parameters, and the project's own source it needs.

What is nested is written down the same way: a pipeline is its steps, each step its class and parameters. Values that
JSON has no word for are an object with one key that begins with ``$``: ``$object``, ``$tuple``, ``$dict``, ``$float``,
``$import``, ``$slice``, ``$array``.
"""

from __future__ import annotations

import inspect
import math
import sys
from typing import Any, NoReturn

import msgspec

from millstream.definitions.sources_of import sources_of
from millstream.errors import DefinitionError

_MISSING = object()
_UNNAMED = ("__main__", "__mp_main__", "<run_path>", "builtins")
_LARGEST_INTEGER = 2**63


class Estimator(msgspec.Struct, frozen=True, omit_defaults=True):
    """An estimator as plain data.

    Parameters
    ----------
    path
        Where its class is imported from: ``module:Class``.
    params
        Its parameters as plain data, what is nested included.
    code
        The project's own files that it needs, path to source; empty where everything is installed.
    """

    path: str
    params: dict[str, Any]
    code: dict[str, str] = {}

    @classmethod
    def of(cls, estimator: Any) -> Estimator:
        """Describe an object with ``fit`` and ``predict``, whatever is nested in it.

        Raises
        ------
        DefinitionError
            When it has no ``fit``, or something of it cannot be written down; the message says which parameter, and
            what to write instead.
        """
        if isinstance(estimator, Estimator):
            return estimator
        if not callable(getattr(estimator, "fit", None)) or isinstance(estimator, type):
            raise DefinitionError(
                f"estimator {estimator!r} has no fit{' until it is made' if isinstance(estimator, type) else ''}",
                expected="an object such as LGBMClassifier(n_estimators=300)",
            )
        modules: dict[str, None] = {}
        said = _object(estimator, type(estimator).__name__, modules)
        return cls(path=said["$object"], params=said["params"], code=sources_of(modules))


def import_path(kind: Any) -> str:
    """Return ``module:name`` of a class or function, by its public module where a package hides a private one.

    Raises
    ------
    DefinitionError
        For what cannot be imported again: of a notebook, a definition file, inside a function, a lambda.
    """
    module, name = getattr(kind, "__module__", None) or "", getattr(kind, "__qualname__", kind.__name__)
    if name == "<lambda>" or "<locals>" in name:
        raise DefinitionError(
            f"{name} cannot be imported by name",
            expected="a function or class at the top of a file",
            do="def it at the top of a file of the project, and import it from there",
        )
    if module in _UNNAMED and not (module == "builtins" and hasattr(sys.modules[module], name)):
        file = f"{_snake(name)}.py"
        raise DefinitionError(
            f"{name} is defined where it is used (a notebook, a script or a definition file), so nothing else could "
            "import it",
            expected="a file of its own in the project's folder",
            do=f"put {name} into {file} and write: from {file[:-3]} import {name.partition('.')[0]}",
        )
    if _found(module, name) is not kind:
        raise DefinitionError(
            f"{name} of {module or 'no module'} cannot be imported by that name",
            expected="a function or class at the top of a module",
            do="def a function of your own that calls it, at the top of a file of the project",
        )
    parts = module.split(".")
    while parts[-1].startswith("_") and len(parts) > 1:
        if _found(".".join(parts[:-1]), name) is not kind:
            break
        parts.pop()
    return f"{'.'.join(parts)}:{name}"


def _found(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for each in name.split("."):
        found = getattr(found, each, None)
    return found


def _object(made: Any, where: str, modules: dict[str, None]) -> dict[str, Any]:
    kind = type(made)
    path = import_path(kind)
    modules[kind.__module__] = None
    defaults = _defaults(kind)
    params = {}
    for name, value in _params(made, where).items():
        if value is None and defaults.get(name) is None:
            continue  # it is None by itself, or passed on to a class that takes more
        params[name] = _plain(value, f"{where}.{name}", modules)
    return {"$object": path, "params": params}


def _params(made: Any, where: str) -> dict[str, Any]:
    """Ask an object for its parameters, or read them where a class keeps them: under their own names."""
    if callable(getattr(made, "get_params", None)):
        try:
            return dict(made.get_params(deep=False))
        except TypeError:
            return dict(made.get_params())
    found: dict[str, Any] = {}
    if type(made).__init__ is object.__init__:
        return found
    for name, each in inspect.signature(type(made)).parameters.items():
        value = getattr(made, name, _MISSING)
        if value is _MISSING or each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            raise DefinitionError(
                f"{where}: the parameter {name!r} of {type(made).__name__} cannot be read back from it",
                expected=f"a class that keeps it (self.{name} = {name} in __init__), or has get_params",
                do="keep each parameter under its own name and nothing else in __init__",
            )
        found[name] = value
    return found


def _defaults(kind: type) -> dict[str, Any]:
    try:
        given = inspect.signature(kind).parameters
    except (TypeError, ValueError):
        return {}
    return {name: each.default for name, each in given.items()}


def _plain(value: Any, where: str, modules: dict[str, None]) -> Any:
    """Write one value down as plain data."""
    if type(value).__module__ == "numpy" and callable(getattr(value, "tolist", None)):
        if getattr(value, "shape", None) not in ((), None):
            return {"$array": _plain(value.tolist(), where, modules), "dtype": _dtype(value, where)}
        value = value.item()
    if value is None or type(value) in (bool, str):
        return value
    if type(value) is int:
        if abs(value) >= _LARGEST_INTEGER:
            _refuse(value, where, "an integer of at most 64 bits")
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if type(value) is list:
        return [_plain(each, f"{where}[{place}]", modules) for place, each in enumerate(value)]
    if type(value) is tuple:
        return {"$tuple": [_plain(each, f"{where}[{place}]", modules) for place, each in enumerate(value)]}
    if type(value) is dict:
        return _mapping(value, where, modules)
    if isinstance(value, slice):
        return {"$slice": [_plain(each, where, modules) for each in (value.start, value.stop, value.step)]}
    return _named(value, where, modules)


def _mapping(value: dict[Any, Any], where: str, modules: dict[str, None]) -> dict[str, Any]:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: _plain(each, f"{where}[{key!r}]", modules) for key, each in value.items()}
    pairs = value.items()
    return {"$dict": [[_plain(key, where, modules), _plain(each, f"{where}[{key!r}]", modules)] for key, each in pairs]}


def _named(value: Any, where: str, modules: dict[str, None]) -> dict[str, Any]:
    """Write down a class or function by its path, an object by its class and parameters."""
    try:
        if isinstance(value, type) or inspect.isroutine(value) or type(value).__name__ == "ufunc":
            path = import_path(value)
            modules[path.partition(":")[0]] = None
            return {"$import": path}
        module = type(value).__module__
        if module.startswith("numpy") or module == "builtins":
            _refuse(value, where, "a number as seed" if "random" in module else "plain data")
        return _object(value, where, modules)
    except DefinitionError as wrong:
        if not wrong.happened.startswith(where):
            wrong.happened = f"{where}: {wrong.happened}"
        raise


def _dtype(value: Any, where: str) -> str:
    if value.dtype.kind not in "biufU":
        _refuse(value, where, "an array of numbers or texts")
    return str(value.dtype)


def _refuse(value: Any, where: str, expected: str) -> NoReturn:
    raise DefinitionError(
        f"{where} is {str(value)[:80]!r}, a {type(value).__name__}, which cannot be written down as plain data",
        expected=f"{expected}; else numbers, texts, lists, tuples, dicts, functions and objects with parameters",
        do="make it inside fit of a class of your own, from parameters that are plain data",
    )


def _snake(name: str) -> str:
    first = name.partition(".")[0]
    return "".join(f"_{each.lower()}" if each.isupper() and place else each.lower() for place, each in enumerate(first))
