from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.project import Project

from . import shop


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared project; look, do not touch."""
    return shop.made(tmp_path_factory)


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    """A copy of it to do anything with, open."""
    with Project(shop.copy(made, tmp_path / "shop"), lock=True) as opened:
        yield opened
