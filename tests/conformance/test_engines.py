"""The embedded engine passes the public suite, with much memory and with next to none; nobody goes by an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import millstream
from millstream.features import FeatureEngine, PolarsEngine
from millstream.testing import FeatureEngineSuite


class TestPolars(FeatureEngineSuite):
    @pytest.fixture
    def engine(self) -> FeatureEngine:
        return PolarsEngine()


class RowByRow(FeatureEngine):
    """An engine that has one method."""

    def point_in_time(self, *given: Any, **words: Any) -> pl.DataFrame:
        return PolarsEngine().point_in_time(*given, **words)


@pytest.mark.parametrize("law", [name for name in dir(FeatureEngineSuite) if name.startswith("test_what_is_served")])
def test_what_is_served_can_be_asked_row_by_row(law: str) -> None:
    getattr(FeatureEngineSuite(), law)(RowByRow())


class TestPolarsInParts(FeatureEngineSuite):
    @pytest.fixture
    def engine(self) -> FeatureEngine:
        return PolarsEngine(memory=20_000)


EMBEDDED = re.compile(r"import (\([^)]*|[^\n]*)\b(ViewFacts|PlannedFacts|ask_in_parts|of_facts|point_in_time)\b")
"""What the embedded engine is made of."""
OF_THE_ENGINE = ("changes", "join", "parts", "planned", "views")
ASIDE = ("features/__init__.py", "features/ticks.py", "testing/onlines.py")
"""The door; what rows are believed to be, of which no feature is made; and a suite that asks what is true."""


def test_features_are_computed_by_the_engine_alone() -> None:
    root = Path(millstream.__file__).parent
    inside = {f"features/{each}.py" for each in OF_THE_ENGINE} | set(ASIDE)
    by = {str(each.relative_to(root)) for each in root.rglob("*.py") if EMBEDDED.search(each.read_text())}
    assert "features/join.py" in by
    assert by - inside == set(), "these ask the embedded engine for what they should ask the one they are given"
