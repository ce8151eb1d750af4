"""What a step is, as plain data: a function named by module, or a command."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from millstream.errors import DefinitionError

Step: TypeAlias = str | tuple[str, ...]
"""``module:function`` of the project, or a command and its arguments."""

_EXAMPLE = "step='steps:daily', a function in steps.py of the project"


def step_of(said: str | Callable[..., object] | Iterable[str], *, table: str) -> Step:
    """Write down a step as plain data.

    Parameters
    ----------
    said
        ``"module:function"``, the function itself, or a command as a list of words.
    table
        Name of the table, for messages.

    Raises
    ------
    DefinitionError
        For a lambda, a function of a notebook or inside another one, and what is no step at all.
    """
    if isinstance(said, str):
        return _named(said, table)
    if callable(said):
        return _named(_name(said, table), table)
    words = tuple(said) if isinstance(said, Iterable) else ()
    if not words or not all(isinstance(each, str) and each for each in words):
        raise DefinitionError(
            f"step of table {table!r} is {said!r}", expected=f"{_EXAMPLE}, or a command such as ['Rscript', 'make.R']"
        )
    return words


def in_words(step: Step) -> str:
    """Write a step as one writes it."""
    return step if isinstance(step, str) else " ".join(step)


def module_file(step: str) -> str:
    """Return the file of a function's module, relative to the project."""
    return f"{step.partition(':')[0].replace('.', '/')}.py"


def code_of(root: Path, files: Iterable[str]) -> dict[str, str]:
    """Hash files of the project; one that is not there has an empty hash."""
    found = {}
    for each in sorted(set(files)):
        try:
            found[each] = hashlib.sha256((root / each).read_bytes()).hexdigest()
        except OSError:
            found[each] = ""
    return found


def _named(text: str, table: str) -> str:
    module, colon, function = text.partition(":")
    if not colon or not function.isidentifier() or not all(each.isidentifier() for each in module.split(".")):
        command = f"; a command is a list of words: {text.split()!r}" if " " in text else ""
        raise DefinitionError(f"step of table {table!r} is {text!r}", expected=f"{_EXAMPLE}{command}")
    return text


def _name(function: Callable[..., object], table: str) -> str:
    name = getattr(function, "__qualname__", "")
    code = getattr(inspect.unwrap(function), "__code__", None)
    if not name.isidentifier() or code is None:
        what = "a lambda" if "<lambda>" in name else f"{name or type(function).__name__}, which has no name of a file"
        raise DefinitionError(
            f"step of table {table!r} is {what}",
            expected="a function at the top level of a file, which a worker can import",
            do=f"put it in steps.py of the project and say {_EXAMPLE.partition(',')[0]}",
        )
    file = Path(code.co_filename)
    if function.__module__ == "__main__" or not file.is_file():
        raise DefinitionError(
            f"step of table {table!r} is the function {name} of a notebook or a script",
            expected="a function in a file of the project, which a worker can import",
            do=f"put it in steps.py of the project and say step='steps:{name}'",
        )
    return f"{_module(function.__module__, file)}:{name}"


def _module(module: str, file: Path) -> str:
    """Name the module of a file; a definition file is run, not imported, and is named by where it lies."""
    if module in sys.modules and not module.startswith("<"):
        return module
    for each in sys.path:
        folder = Path(each or os.curdir).resolve()
        if file.resolve().is_relative_to(folder):
            parts = file.resolve().relative_to(folder).with_suffix("").parts
            if all(part.isidentifier() for part in parts):
                return ".".join(parts)
    return file.stem
