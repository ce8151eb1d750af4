import shutil
import tempfile
from pathlib import Path

import pytest

from tests.releases.made import House

MEMORY = Path("/dev/shm")
"""Where a sync costs nothing; whether syncs are made, and in which order, is tested elsewhere."""


@pytest.fixture
def house(tmp_path):
    root = Path(tempfile.mkdtemp(dir=MEMORY)) if MEMORY.is_dir() else tmp_path
    house = House(root / "mill")
    yield house
    house.close()
    shutil.rmtree(root, ignore_errors=True)
