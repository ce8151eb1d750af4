"""What the commands say: their help, their JSON, and how each error reads and ends."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from millstream.cli.commands import app
from millstream.version import __version__
from tests.server import example

COMMANDS = sorted(each.callback.__name__ for each in app.registered_commands)


@pytest.fixture(scope="module")
def served(waiting, tmp_path_factory):
    """A project with its servers up: commands go through them."""
    root = example.copy(waiting, tmp_path_factory.mktemp("served") / "flights")
    with example.up(root) as (_, control):
        yield root, control


def test_the_version_is_told():
    for word in ("--version", "-V"):
        assert example.run(word).stdout == f"millstream {__version__}\n"


def test_the_installed_command_is_the_module():
    script = subprocess.run([f"{sys.prefix}/bin/millstream", "--version"], capture_output=True, text=True, check=False)
    assert script.stdout == example.run("--version").stdout


def test_every_command_has_help():
    overview = example.run("--help").stdout
    assert "Exit codes: 0 done, 2 bad input" in " ".join(overview.split())
    assert len(COMMANDS) >= 21
    for name in COMMANDS:
        assert name in overview
        said = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
        assert said.exit_code == 0, name
        assert "Usage" in said.stdout
        if name not in ("serve", "up"):
            assert "--json" in said.stdout, name
    assert "Name of a model" in example.run("train", "-h").stdout


BAD = {
    ("status", "-p", "/nowhere"): (3, "/nowhere is not a Millstream project"),
    ("train", "lat"): (3, "did you mean 'late'?"),
    ("check", "flight"): (3, "did you mean 'flights'?"),
    ("ingest", "nope"): (3, "there is: airports, flights, movements"),
    ("approve", "77", "-m", "r"): (3, "there is no decision 77"),
    ("approve", "two", "-m", "r"): (2, "'two' is no decision"),
    ("approve", "2", "-m", " "): (2, "the reason is empty"),
    ("note", "77", "-m", "r"): (3, "there is no decision 77"),
    ("note", "2", "-m", " "): (2, "the note is empty"),
    ("decision", "two"): (2, "'two' is no decision"),
    ("decisions", "--model", "lat"): (3, "did you mean 'late'?"),
    ("ready", "lat"): (3, "did you mean 'late'?"),
    ("audit", "late"): (2, "'late' names no version"),
    ("audit", "late@9"): (3, "did you mean 'late@2' or 'late@1'?"),
    ("features", "parity", "lat"): (3, "did you mean 'late'?"),
    ("features", "parity", "late", "--since", "soon"): (2, "'soon' is not an instant"),
    ("reproduce", "lat@1"): (3, "did you mean 'late'?"),
    ("why", "nothing"): (3, "'nothing' is not the id of a prediction"),
    ("why", "06gvp5jh6e1gigbi-99"): (3, "no prediction '06gvp5jh6e1gigbi-99' is in the log"),
    ("rollback", "late", "-m", "r"): (3, "there is no release before late@1"),
    ("rollback", "late", "--to", "9", "-m", "r"): (3, "there is no release late@9"),
    ("score", "late", "--since", "yesterday"): (2, "'yesterday' is not an instant"),
    ("score", "late", "--since", "2013-01-30", "--out", "x.json"): (2, "neither .parquet nor .csv"),
    ("sql", "drop table flights"): (2, "expected: one SELECT"),
    ("sql", "select 1; select 2"): (2, "expected: one SELECT"),
    ("sql", "select"): (2, "do next"),
    ("sql", "select * from flight"): (3, "did you mean 'flights'?"),
    ("sql", "select carier from flights"): (2, "carier"),
    ("sql", "select * from read_csv('/etc/passwd')"): (2, "reads from a function or a file"),
    ("sql", "select * from '/etc/passwd'"): (3, "there is no table"),
    ("sql", "select 1 as n from planes", "--csv", "x.csv", "--parquet", "x.parquet"): (2, "expected: one of them"),
    ("monitor", "lat"): (3, "did you mean 'late'?"),
    ("init", ".", "--example", "flight"): (3, "did you mean 'flights'?"),
    ("init", "new", "--from", "rows.csv"): (2, "--label COLUMN"),
    ("init", "new", "--label", "y"): (2, "--from FILE"),
    ("init", "new", "--from", "rows.csv", "--label", "y"): (3, "there is no file rows.csv"),
    ("quarantine", "flight"): (3, "did you mean 'flights'?"),
    ("quarantine", "planes", "--reason", "looked at"): (2, "no rows are named"),
    ("quarantine", "planes", "--release", "x"): (2, "no reason is given"),
    ("profile", "flight"): (3, "did you mean 'flights'?"),
    ("pin", "flight"): (3, "did you mean 'flights'?"),
    ("pin", "planes@two"): (2, "'planes@two' is no version of a table"),
    ("pin", "planes@0", "--copy"): (2, "stored in the lake"),
    ("refresh", "--accept-schema", "planes"): (2, "nothing of it waits to be accepted"),
    ("profile", "planes", "--label", "year_"): (3, "did you mean 'year'?"),
    ("catalog", "flight"): (3, "did you mean 'flights'?"),
    ("lineage", "flights.dep_dely"): (3, "did you mean 'flights.dep_delay'"),
    ("reads", "flights", "--since", "soon"): (2, "soon"),
    ("demo", "--until", "soon"): (2, "'soon' is not a day"),
    ("demo", "retial"): (3, "did you mean 'retail'?"),
    ("demo", "retail", "--until", "2013-02-12"): (2, "2017-06-14 to 2017-12-31"),
    ("demo", "--until", "2015-01-01"): (2, "2013-02-02 to 2013-12-31"),
    ("statu",): (2, "Did you mean 'status'?"),
    ("train",): (2, "Missing argument"),
    ("backtest", "late", "--version", "one"): (2, "Input should be a valid integer"),
}  # fmt: skip


def test_bad_input_is_told_and_ends_with_its_code(served):
    root, control = served
    before = control.command("status", {})["ledger_rows"]
    for words, (code, expected) in BAD.items():
        said = example.said(*words, cwd=root)
        text = " ".join((said.stderr + said.stdout).split())
        assert said.returncode == code, (words, text)
        assert expected in text, (words, text)
    assert control.command("status", {})["ledger_rows"] == before


JSON = [
    ("ingest",),
    ("refresh", "weather"),
    ("check",),
    ("train", "late", "--note", "again"),
    ("backtest", "late"),
    ("features", "parity", "late"),
    ("features", "audit", "late", "--rows", "5"),
    ("status",),
    ("audit", "late@champion"),
    ("note", "2", "-m", "look at mornings first"),
    ("decision", "2"),
    ("decisions", "--model", "late"),
    ("ready", "late"),
    ("catalog", "flights"),
    ("lineage", "movements.dep_delay"),
    ("reads", "flights"),
    ("verify",),
    ("branch", "storm"),
    ("usage",),
    ("gc",),
    ("compact",),
    ("quarantine", "movements"),
    ("check", "planes", "--suggest"),
    ("check", "--missing"),
    ("monitor",),
    ("reproduce", "late@1"),
    ("score", "late", "--since", "2013-01-30", "--until", "2013-01-31"),
    ("sql", "select carrier, arrived_at from flights limit 2"),
    ("lab",),
    ("mlflow",),
    ("profile", "schedule", "--label", "distance"),
    ("pin", "planes"),
    ("reject", "2", "-m", "no better"),
    ("release", "late"),
    ("approve", "-m", "fresher"),
    ("rollback", "late", "-m", "worse"),
]


def test_every_command_speaks_json(served):
    root, _ = served
    said = {}
    for words in JSON:
        done = example.said(*words, "--json", "-p", root, user="tina" if words[0] in ("train", "release") else "ada")
        assert done.returncode == 0, (words, done.stderr)
        said[" ".join(words[:2]) if words[0] == "features" else words[0]] = json.loads(done.stdout)
    assert said["approve"]["says"].startswith("late@4 is live on 1 server after")
    assert said["rollback"]["says"] == "late is rolled back to late@1"
    assert said["reproduce"]["equal"] is True
    parity, audit = said["features parity"], said["features audit"]
    assert (parity["different"], parity["equal"]) == (0, parity["compared"])
    assert audit["equal"] == audit["all"] > 100
    assert said["verify"]["ok"] is True
    assert [each["text"] for each in said["decision"]["notes"]] == ["look at mornings first"]
    assert [each["id"] for each in said["decisions"]["decisions"]] == [2, 1]
    assert len(said["ready"]["points"]) == 8
    assert said["sql"]["columns"] == ["carrier", "arrived_at"]
    assert said["score"]["rows"] > 800
    assert said["profile"]["profile"]["keys"] == [["flight_id"]]
    assert set(COMMANDS) - set(said) == {
        "backup", "demo", "init", "register", "restore", "retrain", "serve", "up", "why"
    }  # fmt: skip


def test_every_command_speaks_to_people_too(served):
    root, _ = served
    for words, expected in {
        ("status",): "late@1 live since 2013-02-01",
        ("audit", "late@1"): "Which data?",
        ("verify",): "ledger:",
        ("sql", "select count(*) as n from planes"): "3322",
        ("profile", "planes"): "manufacturer",
        ("catalog", "--find", "wind"): "wind_gust",
        ("lineage", "movements.dep_delay", "--down"): "these would fail",
        ("check",): "nothing arrived",
        ("decision", "1"): "What changes, and for whom?",
        ("decisions",): "approved by ada",
        ("ready", "late"): "of 8 points stand",
    }.items():
        done = example.said(*words, "-p", root)
        assert done.returncode == 0
        assert expected in done.stdout


def test_a_step_that_several_points_wait_for_is_said_once(project):
    said = example.said("ready", "late", "-p", project).stdout
    assert said.count("train late") == 1 and "of them:" in said


def test_a_demo_leaves_a_project_alone_that_is_none(project):
    done = example.run("demo", "--dir", project)
    assert done.returncode == 5
    assert "is a project, but not one a demo made" in done.stderr
    assert (project / "flights.py").exists()


def test_an_error_is_a_problem_document_with_json(project):
    done = example.run("audit", "late@9", "--json", "-p", project)
    assert done.returncode == 3
    problem = json.loads(done.stdout)
    assert (problem["title"], problem["status"]) == ("NotFound", 404)


def test_outside_a_project_it_says_how_to_make_one(tmp_path):
    done = example.run("status", cwd=tmp_path)
    assert done.returncode == 3
    assert "do next: millstream init DIR --example flights" in done.stderr
    (tmp_path / "deep").mkdir()
    (tmp_path / "millstream.toml").write_text("nonsense = 5\n")
    found = example.run("status", cwd=tmp_path / "deep")
    assert found.returncode == 2
    assert "unknown field `nonsense`" in found.stderr


def test_init_leaves_a_folder_that_holds_something(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    done = example.run("init", tmp_path)
    assert done.returncode == 5
    assert "is not empty" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]
