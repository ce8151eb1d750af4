"""What definition files may not do while they are read."""

import subprocess

import pytest

from millstream.definitions import load
from millstream.errors import DefinitionError

TABLE = 'from millstream import Table, sources\nflights = Table("flights", source=sources.Csv("f.csv"), key="id")\n'


def test_a_script_beside_the_definitions_that_works_with_the_project_is_refused_at_once(tmp_path):
    (tmp_path / "millstream.toml").write_text('name = "walk"\n')
    (tmp_path / "flights.py").write_text(TABLE)
    (tmp_path / "look.py").write_text(f"import millstream\np = millstream.open({str(tmp_path)!r})\np.model('late')\n")
    with pytest.raises(DefinitionError, match=r"(?s)look\.py, line 3.*while its definitions are being read") as wrong:
        load.run_aside(tmp_path)
    assert "notebooks/" in f"{wrong.value.do}"
    (tmp_path / "look.py").rename(tmp_path / "_look.py")
    assert [*load.run_aside(tmp_path).tables] == ["flights"]


def test_definitions_that_do_not_end_are_told_by_file(tmp_path, monkeypatch):
    (tmp_path / "flights.py").write_text(TABLE)
    (tmp_path / "long.py").write_text("")
    done = load.subprocess.run

    def late(command, *, timeout, **words):
        """Let the worker end, so that the clock of a busy machine decides nothing, and say that it did not."""
        said = done(command, timeout=timeout, **words).stdout
        raise subprocess.TimeoutExpired(command, timeout, output=said)

    monkeypatch.setattr(load.subprocess, "run", late)
    with pytest.raises(DefinitionError, match=r"long\.py: the definition files did not finish in 120 s"):
        load.run_aside(tmp_path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (TABLE.replace('"f.csv"', '"f.csv", history=True'), "history= is for Table"),
        (TABLE.replace('"f.csv"', '"f.csv", hystory=True'), "leave hystory= out, or correct the word"),
        ("nothing = 1 / 0\n", "a script that defines nothing goes into a folder"),
    ],
)
def test_what_python_refuses_says_what_to_do(tmp_path, line, says):
    (tmp_path / "flights.py").write_text(line)
    with pytest.raises(DefinitionError, match=r"flights\.py, line \d") as wrong:
        load.run_files(tmp_path)
    assert says in f"{wrong.value.do}"
