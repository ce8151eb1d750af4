"""``lab``, ``mlflow`` and ``sql`` to a file, on the command line; the starter notebook, run from top to bottom."""

import json

import polars as pl
import pytest

import millstream
from millstream.cli import notebooks
from millstream.errors import NotFound
from millstream.project.notebook import starter
from millstream.project.tables.data import sql
from tests.server.example import run


def test_the_starter_notebook_runs_from_top_to_bottom(own, monkeypatch):
    """Each cell by plain exec in one namespace, as a kernel has it whose folder is the notebook's."""
    assert starter.write(own.root, own.manifest)
    assert not starter.write(own.root, own.manifest)  # what a person made of it stays
    path = own.root / starter.FILE
    said = json.loads(path.read_text())
    assert said["nbformat"] == 4 and len({each["id"] for each in said["cells"]}) == len(said["cells"])
    monkeypatch.chdir(path.parent)
    names = {"__name__": "__main__"}
    for cell in said["cells"]:
        if cell["cell_type"] == "code":
            *body, last = "".join(cell["source"]).splitlines()
            exec("\n".join(body), names)
            shown = eval(last, names) if not last.startswith("#") else None
            assert shown is None or (shown._repr_html_() and repr(shown))
    assert names["run"].version == 4 and names["ts"].frame.height > 1000
    names["p"].close()


def test_lab_writes_the_notebook_and_says_what_is_missing(place, monkeypatch):
    monkeypatch.setattr(notebooks, "installed", lambda package: False)
    with pytest.raises(millstream.errors.Unavailable, match=r"pip install .millstream\[lab\]"):
        notebooks.lab(place, port=None, browser=False, as_json=False)
    assert (place / starter.FILE).exists()


def test_lab_opens_what_is_installed(place, monkeypatch):
    opened = []
    monkeypatch.setattr(notebooks, "installed", lambda package: True)
    monkeypatch.setattr(notebooks, "become", lambda command, folder, more: opened.append((command, folder, more)))
    notebooks.lab(place, port=0, browser=False, as_json=False)
    command, folder, more = opened[0]
    assert command[1:3] == ["-m", "jupyterlab"] and "--no-browser" in command and folder == place
    assert "--ServerApp.ip=127.0.0.1" in command and len(more["JUPYTER_TOKEN"]) >= 32
    notebooks.mlflow(place, port=0, as_json=False)
    command = opened[1][0]
    assert command[1:4] == ["-m", "mlflow", "ui"] and f"sqlite:///{place}/.millstream/tracking.db" in command
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_mlflow_without_its_page_says_what_to_install_and_where_the_runs_are(place):
    done = run("mlflow", "-p", place)
    assert "tracking.db" in done.stdout
    assert notebooks.installed("mlflow") or (
        done.returncode == 10 and "pip install 'millstream[mlflow]'" in done.stderr
    )


def test_sql_writes_every_row_to_a_file(p, place, tmp_path):
    for name, read in (("rows.csv", pl.read_csv), ("rows.parquet", pl.read_parquet)):
        said = sql(p, query="select flight_id, carrier from schedule", out=str(tmp_path / name), actor="nora")
        rows = read(tmp_path / name)
        assert rows.height == said["count"] > 1000 and rows.columns == ["flight_id", "carrier"]
    with pytest.raises(NotFound, match="no folder"):
        sql(p, query="select 1 as n from planes", out=str(tmp_path / "nowhere" / "rows.csv"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["rows.csv", "rows.parquet"]
    done = run("sql", "select 1 as n from planes limit 1", "--csv", tmp_path / "rows.txt", "-p", place)
    assert done.returncode == 2 and "does not end in .csv" in done.stderr
