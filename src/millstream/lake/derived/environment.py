"""What a step's result rests on beside rows and code: Python, and the packages its code imports, by their versions."""

from __future__ import annotations

import ast
import hashlib
import platform
import shutil
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from millstream.definitions.table import Table


def environment_of(table: Table, root: Path, files: Iterable[str]) -> dict[str, str]:
    """Name what is installed and counts for a table: name to version.

    For a function: Python, Polars, and each installed distribution that a file of the project it consists of imports by
    name. For a query: DuckDB. For a command: its program, by the hash of its file; packages that a program loads by
    itself are not seen.
    """
    if table.step is None:
        return {"duckdb": metadata.version("duckdb")}
    if not isinstance(table.step, str):
        program = shutil.which(table.step[0], path=None) or ""
        return {table.step[0]: _program(program) if program else "not found"}
    found = {"python": platform.python_version(), "polars": metadata.version("polars")}
    for name in sorted({each for file in files for each in _imports(root / file)}):
        if name not in sys.stdlib_module_names and not _own(root, name):
            for package in _distributions(name):
                found[package] = metadata.version(package)
    return found


def _own(root: Path, name: str) -> bool:
    return (root / f"{name}.py").exists() or (root / name).is_dir()


def _imports(file: Path) -> set[str]:
    """Name the top-level modules a file imports; none of one that is not Python."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    found = {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
    found |= {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    return {each.partition(".")[0] for each in found}


@cache
def _distributions(module: str) -> tuple[str, ...]:
    """Name the distributions that bring a module."""
    try:
        return (metadata.distribution(module).name,)
    except (metadata.PackageNotFoundError, ValueError):
        return tuple(sorted(set(_all_distributions().get(module, ()))))


@cache
def _all_distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


@cache
def _program(path: str) -> str:
    with Path(path).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]
