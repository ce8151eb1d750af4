"""Millstream puts models to work on the data that runs your business, and keeps them honest.

The public door: the words a project's definitions are written in, and ``open`` for notebooks and scripts.
Everything is imported on first use, so ``import millstream`` costs milliseconds.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from millstream.version import __version__

if TYPE_CHECKING:
    from millstream.definitions import checks, features, loop, monitors, sources, splits, tasks, traffic
    from millstream.definitions.model import Model
    from millstream.definitions.rows import Each, Every
    from millstream.definitions.table import Table
    from millstream.definitions.view import FeatureView
    from millstream.project import Project, open

_DOOR = {
    "Each": "millstream.definitions.rows:Each",
    "Every": "millstream.definitions.rows:Every",
    "FeatureView": "millstream.definitions.view:FeatureView",
    "Model": "millstream.definitions.model:Model",
    "Project": "millstream.project:Project",
    "Table": "millstream.definitions.table:Table",
    "checks": "millstream.definitions.checks",
    "features": "millstream.definitions.features",
    "loop": "millstream.definitions.loop",
    "monitors": "millstream.definitions.monitors",
    "open": "millstream.project:open",
    "sources": "millstream.definitions.sources",
    "splits": "millstream.definitions.splits",
    "tasks": "millstream.definitions.tasks",
    "traffic": "millstream.definitions.traffic",
}

__all__ = [
    "Each",
    "Every",
    "FeatureView",
    "Model",
    "Project",
    "Table",
    "__version__",
    "checks",
    "features",
    "loop",
    "monitors",
    "open",
    "sources",
    "splits",
    "tasks",
    "traffic",
]


def __getattr__(name: str) -> Any:
    try:
        module, _, attribute = _DOOR[name].partition(":")
    except KeyError:
        raise AttributeError(f"module 'millstream' has no attribute {name!r}; it offers {sorted(_DOOR)}") from None
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def __dir__() -> list[str]:
    return sorted(__all__)


def _word(name: str) -> property:
    def read(module: ModuleType) -> Any:
        return __getattr__(name)

    return property(read, lambda module, value: None)


class _Door(ModuleType):
    """Keeps the public words apart from the rooms of the same name.

    ``from millstream import checks`` is the word of the definitions, also after a room ``millstream.checks`` was
    imported, which would otherwise take its place as an attribute of the package.
    """

    checks = _word("checks")
    features = _word("features")
    loop = _word("loop")
    sources = _word("sources")
    traffic = _word("traffic")


sys.modules[__name__].__class__ = _Door
