"""The embedded engine passes the public suite, with all the memory it wants and with next to none."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

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
