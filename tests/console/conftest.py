import pytest

from tests.server import example


@pytest.fixture(scope="session")
def waiting(tmp_path_factory):
    """The shared project; look, do not touch."""
    return example.waiting(tmp_path_factory)


@pytest.fixture
def project(waiting, tmp_path):
    """A copy of it to do anything with."""
    return example.copy(waiting, tmp_path / "flights")
