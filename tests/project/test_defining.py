"""What definition files may not do while they are read."""

import subprocess

import pytest

from millstream import FeatureView
from millstream import features as f
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


@pytest.mark.parametrize(
    ("wrong", "says", "expected"),
    [
        (lambda: f.Request(amount="dubble"), "'amount' of a request is 'dubble'", "did you mean 'double'?"),
        (lambda: f.Request(amount="int"), "'amount' of a request is 'int'", "write 'bigint'"),
        (lambda: f.Request(amount=float), "which is no type", "write 'double'"),
        (lambda: f.Request("form", amount="double"), "given 'form', which is no feature view", "not their names"),
        (lambda: _view(features={"a": 5}), "feature v.a is 5", "a window such as"),
        (lambda: _view(features={" ": f.count()}), "a feature called ' '", "a name"),
        (lambda: _view(features=[f.count()]), "has features=", "features=dict"),
        (lambda: _view(of=_view()), "is of feature view 'v'", "a view of the request: f.Request(view, ...)"),
        (lambda: _view(of=3), "is of 3", "a table, its name"),
        (lambda: _view(entity=["shop", 3]), "about entity 3", "the name of a column"),
        (lambda: _view(features={"a": f.mean(3)}), "v.a: its value is 3", "as text"),
        (lambda: _view(features={"a": f.count(where=True)}), "v.a: its where is True", "as text"),
        (lambda: FeatureView("", of="orders", entity="shop", features={"a": f.count()}), "is called ''", "a name"),
    ],
)
def test_what_is_given_in_the_wrong_place_is_refused_where_it_stands(wrong, says, expected):
    with pytest.raises(DefinitionError) as told:
        wrong()
    assert says in told.value.happened and expected in f"{told.value.expected} {told.value.do}"


def _view(**words):
    return FeatureView("v", **{"of": "orders", "entity": "shop", "features": {"a": f.count()}, **words})


def test_a_value_of_another_type_than_its_place_takes_is_told_without_a_traceback(tmp_path):
    view = 'FeatureView("v", of=flights, entity="id", features={"a": f.quantile("x", "0.9")})'
    (tmp_path / "flights.py").write_text(f"{TABLE}from millstream import FeatureView, features as f\nv = {view}\n")
    with pytest.raises(DefinitionError, match="a value of another type than its place takes: Expected `float"):
        load.run_aside(tmp_path)
    assert [*FeatureView("v", of="orders", entity=(each for each in "ab"), features={"a": f.count()}).entity] == [
        "a",
        "b",
    ]
