from __future__ import annotations

import pytest

from millstream.settings import Places
from tests.tracking.made import places_at


@pytest.fixture
def places(tmp_path) -> Places:
    return places_at(tmp_path)
