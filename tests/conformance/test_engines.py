"""The embedded engine passes the public suite, with all the memory it wants and with next to none."""

from __future__ import annotations

import pytest

from millstream.features import FeatureEngine, PolarsEngine
from millstream.testing import FeatureEngineSuite


class TestPolars(FeatureEngineSuite):
    @pytest.fixture
    def engine(self) -> FeatureEngine:
        return PolarsEngine()


class TestPolarsInParts(FeatureEngineSuite):
    @pytest.fixture
    def engine(self) -> FeatureEngine:
        return PolarsEngine(memory=20_000)
