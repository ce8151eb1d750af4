"""Importing a project's own modules from their source text: what was written down is what runs, no file is read."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import sys
from collections.abc import Mapping, Sequence
from types import CodeType, ModuleType
from typing import Self


class OwnCode(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds modules in a mapping of path to source (``late.py``, ``shop/__init__.py``); folders are packages.

    Inside ``with OwnCode(files):`` imports find these files before anything on disk; outside all is as it was, so a
    notebook that imports a file again gets what lies there. Entered again, the same modules are there again.

    Parameters
    ----------
    files
        Path to source.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(files)
        self._tops = {name.partition("/")[0].removesuffix(".py") for name in files}
        self._mine: dict[str, ModuleType] = {}
        self._theirs: dict[str, ModuleType] = {}
        self._depth = 0

    def __enter__(self) -> Self:
        self._depth += 1
        if self.files and self._depth == 1:
            self._theirs = self._swap(self._mine)
            sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self.files and not self._depth:
            sys.meta_path.remove(self)
            self._mine = self._swap(self._theirs)

    def _swap(self, wanted: Mapping[str, ModuleType]) -> dict[str, ModuleType]:
        """Put modules of these names in place of those that are there; return the latter."""
        found = {name: each for name, each in sys.modules.items() if name.partition(".")[0] in self._tops}
        for name in found:
            del sys.modules[name]
        sys.modules.update(wanted)
        return found

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module by its dotted name."""
        name, package = self._file(fullname)
        if name is None and not package:
            return None
        origin = f"<own code>/{name}" if name else None
        return importlib.util.spec_from_loader(fullname, self, origin=origin, is_package=package)

    def get_source(self, fullname: str) -> str:
        """Return a module's source; a folder without ``__init__.py`` has none."""
        name, _ = self._file(fullname)
        return self.files[name] if name else ""

    def get_code(self, fullname: str) -> CodeType | None:
        """Compile a module; lines of its tracebacks are shown."""
        name, source = f"<own code>/{self._file(fullname)[0]}", self.get_source(fullname)
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        return compile(source, name, "exec", dont_inherit=True)

    def is_package(self, fullname: str) -> bool:
        """Say whether a name is a folder."""
        return self._file(fullname)[1]

    def _file(self, fullname: str) -> tuple[str | None, bool]:
        stem = fullname.replace(".", "/")
        if f"{stem}/__init__.py" in self.files:
            return f"{stem}/__init__.py", True
        if f"{stem}.py" in self.files:
            return f"{stem}.py", False
        return None, any(name.startswith(f"{stem}/") for name in self.files)
