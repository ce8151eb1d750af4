"""The project's own source files that some modules need: what must travel with a model that is made of them."""

from __future__ import annotations

import ast
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from millstream.errors import DefinitionError

_LARGEST = 1 << 20


def sources_of(modules: Iterable[str]) -> dict[str, str]:
    """Return the own files behind some modules and whatever of the same folder they import, path to source.

    Installed packages and the standard library are not own; they are named by a release's environment lock. Found by
    reading ``import`` statements, so a module that is only imported by name at run time is not seen.

    Raises
    ------
    DefinitionError
        When a file is not Python source, or they are larger than 1 MB together.
    """
    found: dict[str, str] = {}
    for module in modules:
        file = _file(module)
        if file is None or not is_own(module, file):
            continue
        depth = module.count(".") + (file.name == "__init__.py")
        _follow(file.parents[depth], module, found)
    size = sum(len(text) for text in found.values())
    if size > _LARGEST:
        raise DefinitionError(
            f"the estimator's own code has {size:,} characters in {len(found)} files",
            expected=f"at most {_LARGEST:,}",
            do="install it as a package",
        )
    return dict(sorted(found.items()))


def is_own(module: str, file: Path) -> bool:
    """Say whether a module is the user's own file rather than something installed."""
    top = module.partition(".")[0]
    if top == "millstream" or any(file.is_relative_to(each) for each in _installed()):
        return False
    return top not in _distributed()


@cache
def _installed() -> tuple[str, ...]:
    """Name the folders of what is installed."""
    places = [sys.prefix, sys.base_prefix, *site.getsitepackages(), site.getusersitepackages()]
    return tuple(dict.fromkeys([*places, *sysconfig.get_paths().values()]))


@cache
def _distributed() -> frozenset[str]:
    """Name the top-level packages of installed distributions, those linked from elsewhere included; about 100 ms."""
    return frozenset(metadata.packages_distributions())


def packages_in(code: dict[str, str]) -> set[str]:
    """Name the top-level packages that own files import and that are neither own nor of Python itself."""
    own = {Path(name).parts[0].removesuffix(".py") for name in code}
    tops = {
        name.partition(".")[0]
        for source in code.values()
        for node in ast.walk(ast.parse(source))
        for name in _imported(node, "")
        if name
    }
    return tops - own - set(sys.stdlib_module_names)


def _follow(base: Path, module: str, found: dict[str, str]) -> None:
    """Add a module of a folder, the packages it lies in, and what of the folder these import."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        inside = base.joinpath(*parts[:depth])
        file = inside / "__init__.py" if inside.is_dir() else inside.with_suffix(".py")
        name = file.relative_to(base).as_posix()
        if name in found or not file.is_file():
            continue
        try:
            found[name] = file.read_text(encoding="utf-8")
            tree = ast.parse(found[name])
        except (ValueError, SyntaxError) as wrong:
            raise DefinitionError(f"{file} cannot be read as Python: {wrong}") from None
        package = ".".join(parts[:depth] if file.name == "__init__.py" else parts[: depth - 1])
        for node in ast.walk(tree):
            for each in _imported(node, package):
                if (base / each.partition(".")[0]).is_dir() or (base / f"{each.partition('.')[0]}.py").is_file():
                    _follow(base, each, found)


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: package.count(".") + 2 - node.level] if node.level and package else []
        if node.level and not package:
            return
        stem = ".".join([*above, *([node.module] if node.module else [])])
        if stem:
            yield stem
        yield from (f"{stem}.{each.name}".lstrip(".") for each in node.names)


def _file(module: str) -> Path | None:
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
        loaded = spec.origin if spec is not None and spec.has_location else None
    if loaded is None or not loaded.endswith(".py"):
        return None
    return Path(loaded).resolve()
