"""Examples that cannot be written leave nothing behind; one written into a relative folder is found whole."""

from pathlib import Path

import pytest

from millstream.cli import examples
from millstream.errors import NotFound


class Poor:
    """A stand-in whose data are not installed."""

    def prepare(self, folder):
        (folder / "half").touch()
        raise SystemExit("the example needs its data: pip install them")


@pytest.mark.parametrize("stands", [False, True])
def test_an_example_without_its_data_says_what_brings_them(tmp_path, monkeypatch, stands):
    monkeypatch.setattr(examples, "load_standin", lambda folder: Poor())
    folder = tmp_path / "flights"
    if stands:
        folder.mkdir()
    with pytest.raises(NotFound, match="the example needs its data") as wrong:
        examples.write("flights", folder)
    assert wrong.value.do == "pip install them"
    assert folder.exists() == stands
    assert not stands or list(folder.iterdir()) == []


def test_models_of_a_relative_folder_are_found(tmp_path, monkeypatch):
    examples.write("failures", tmp_path / "fails")
    monkeypatch.chdir(tmp_path)
    assert examples.models(Path("fails")) == ["fails"]
