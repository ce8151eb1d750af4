import pytest

import millstream
from tests.server import example


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The shared project, with one release live and one waiting; look, do not touch."""
    return example.waiting(tmp_path_factory)


@pytest.fixture(scope="module")
def place(made, tmp_path_factory):
    """A copy that the tests of one file read and keep sets in; none of them changes its definitions."""
    return example.copy(made, tmp_path_factory.mktemp("notebook") / "flights")


@pytest.fixture
def p(place, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_USER", "nora")
    with millstream.open(place) as project:
        project.progress = lambda line: None
        yield project


@pytest.fixture
def own(made, tmp_path, monkeypatch):
    """A copy to do anything with."""
    monkeypatch.setenv("MILLSTREAM_USER", "nora")
    with millstream.open(example.copy(made, tmp_path / "flights")) as project:
        project.progress = lambda line: None
        yield project
