import pytest

from tests.releases.made import House


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path / "mill")
    yield house
    house.close()
