"""From a notebook to production: train a change, look at it, compare, adopt, commit, release."""

import shutil
import subprocess

import msgspec
import pytest
from lightgbm import LGBMClassifier

import millstream
from millstream import FeatureView, splits
from millstream import features as f
from millstream.cli.examples import IDENTITY
from millstream.errors import DefinitionError, NotFound, Refused, UserError
from millstream.project import Project
from millstream.project.notebook import source
from millstream.project.notebook.runs import find
from millstream.training.record import Leak


class Homeless(LGBMClassifier):
    """Stands in for a class that somebody wrote into a notebook's cell."""


Homeless.__module__ = "__main__"


def commit(root, message):
    subprocess.run(["git", *IDENTITY, "commit", "-qam", message], cwd=root, check=True)


def by_command(notebook, arguments):
    """Release as a command does: a notebook changes nothing in production."""
    with Project(notebook.root, lock=True) as project:
        return project.run("release", arguments)


def test_the_walk_from_notebook_to_release(own):
    late = own.model("late")
    said = []
    own.progress = said.append
    run = own.train(late.but(estimator=LGBMClassifier(n_estimators=30, num_leaves=4)), note="shallower")
    assert run.version == 4 and any(each.startswith("fold at") for each in said)
    assert "shallower" in run._repr_html_() and run.definition.estimator.params["num_leaves"] == 4

    table = own.runs("late")
    first = next(iter(table))
    assert (first["version"], first["note"], first["who"], first["defined in"]) == (4, "shallower", "nora", "notebook")
    assert [each["state"] for each in table if each["version"] == 1] == ["live"]
    tracked = own.tracking.run(run.run_id)
    assert set(tracked.datasets) == {f"{name}@{at}" for name, at in run.pins.items()}

    beside = own.compare(run, "champion")
    assert beside.other == "late@1" and "-    estimator=" in beside.diff and "num_leaves=4" in beside.diff
    goal = next(each for each in beside.frame.iter_rows(named=True) if each["metric"] == "roc_auc")
    assert goal["low"] <= goal["gain"] <= goal["high"] and 0 <= goal["probability worse"] <= 1
    assert goal["gain"] == pytest.approx(goal["late@4"] - goal["late@1"])
    assert "<svg" in beside._repr_html_() and beside.says

    with pytest.raises(Refused, match=r'p\.adopt\("late@4"\)'):
        by_command(own, {"model": "late", "version": 4, "actor": "nora"})
    written = own.adopt(run)
    assert written.diff.count("\n-") == 1 and "num_leaves=4" in (own.root / "flights.py").read_text()
    assert (own.root / written.kept).read_text() != (own.root / "flights.py").read_text()
    assert own.adopt(run).diff == "" and "already" in own.adopt(run).says
    with pytest.raises(Refused, match="uncommitted"):
        by_command(own, {"model": "late", "version": 4, "actor": "nora"})
    commit(own.root, "Adopt late@4")
    with millstream.open(own.root) as fresh:
        made = by_command(fresh, {"model": "late", "version": 4, "actor": "nora"})
        assert made["model_version"] == 4 and made["decision"]
        assert fresh.ledger.verify().ok
        acts = [each.act for each in fresh.ledger.rows(limit=30)]
    assert {"definition.adopt", "model.register", "table.read", "release.build"} <= set(acts)


def test_dirty_keeps_the_definition_in_the_release(own):
    late = own.model("late")
    run = own.train(late.but(seed=11), until="2013-01-30")
    made = by_command(own, {"model": "late", "version": run.version, "dirty": True, "actor": "nora"})
    (text,) = (each.read_text() for each in own.places.releases.rglob("release.json") if made["release"] in str(each))
    assert "+    seed=11" in text


def test_training_what_the_files_say_is_no_notebook_definition(own):
    run = own.train("late", until="2013-01-30")
    assert own.tracking.run(run.run_id).tags.get("millstream.origin") is None
    assert own.compare(run, run).diff == ""
    assert own.compare(run.version, "late@1").run == run.name
    assert own.compare(run.run_id[:8], 1).run == run.name


def test_a_class_of_a_notebook_is_refused_with_the_file_to_put_it_in(p):
    with pytest.raises(DefinitionError, match=r"\.py") as wrong:
        p.train(p.model("late").but(estimator=Homeless()))
    assert "Homeless" in str(wrong.value)


@pytest.mark.parametrize(
    ("word", "error", "says"),
    [
        (lambda p: p.train("lat"), NotFound, "did you mean 'late'"),
        (lambda p: p.runs("lat"), NotFound, "did you mean 'late'"),
        (lambda p: p.compare(99), NotFound, "has no version 99"),
        (lambda p: p.compare("late@x"), UserError, "names no version"),
        (lambda p: p.compare("0123456789abcdef"), NotFound, "no run"),
        (lambda p: p.compare(1.5), UserError, "is no run"),
        (lambda p: p.model("late").but(estimater=1), DefinitionError, "no estimater"),
        (lambda p: p.train(p.model("late").but(goal="rocauc", metrics=[])), NotFound, "roc_auc"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_answered_with_the_right_one(p, word, error, says):
    with pytest.raises(error) as wrong:
        word(p)
    assert says in str(wrong.value)


def test_runs_of_a_model_that_no_file_defines_are_listed_and_found(own):
    models = own.places.state / "models"
    shutil.copytree(models / "late" / "1", models / "mine" / "1")
    assert "roc_auc" in own.runs("mine").frame.columns
    assert find(own, "mine@1").version == 1
    for ask in (lambda: own.runs("mien"), lambda: find(own, "mien@1")):
        with pytest.raises(NotFound, match="there is no model 'mien'"):
            ask()


def test_a_run_says_what_may_leak_and_what_its_features_are_worth(p):
    run = find(p, "late@1")
    said = "9 of 10 judged rows have a twin among the rows learnt from"
    leak = Leak(kind="duplicates", features=(), refused=False, says=said)
    run.record = msgspec.structs.replace(run.record, leaks=(leak,))
    assert f"Leak? {said}." in repr(run) and said in run._repr_html_()
    assert run.record.lift is not None and run.record.lift.says in repr(run)


def test_recipes_for_other_rows_are_not_compared(own):
    late = own.model("late")
    other = own.train(late.but(label="arr_delay > 30"), until="2013-01-30")
    with pytest.raises(UserError, match="do not predict the same rows or labels"):
        own.compare(other, "champion")


def test_adopting_views_options_and_words_that_were_not_there(own):
    late = own.model("late")
    file = own.root / "flights.py"
    before = file.read_text()
    view = own.manifest.view("carrier_form")
    changed = {"late_share_7d": f.mean("dep_delay > 15", over="7d"), "flights_9d": f.count(over="9d")}
    form = FeatureView("carrier_form", of="flights", entity="carrier", features={**view.features, **changed})
    roles = [form.on({}, name="carrier_form") if each.view == "carrier_form" else each for each in late.features]
    dest = FeatureView(
        "dest_form", of="flights", entity="dest", features={"late_2d": f.mean("arr_delay > 15", over="2d")}
    )
    wanted = late.but(features=[*roles, dest], split=splits.Time(test="5d", folds=2), seed=3, metrics=["roc_auc"])
    said = own.adopt(wanted)
    after = file.read_text()
    assert source.meaning(own.manifest, "late") == source.meaning(millstream.open(own.root).manifest, "late")
    assert own.manifest.model("late").seed == 3 and own.manifest.view("dest_form").entity == ("dest",)
    assert own.manifest.view("carrier_form").features["late_share_7d"].value == "dep_delay > 15"
    gone = [line for line in before.splitlines() if line not in after.splitlines()]
    assert len(gone) == 3, gone  # the window, the split and the metrics; every other line stands as it was
    assert said.version is None and "millstream train late" in said.says


def test_what_cannot_be_written_safely_is_said_and_nothing_changes(own):
    moved = own.model("late").but(goal="log_loss")
    file = own.root / "flights.py"
    file.write_text(file.read_text().replace('"late",\n    rows', '"la" + "te",\n    rows'))
    before = file.read_text()
    with pytest.raises(Refused, match=r"no file has a call Model\(\"late\"") as wrong:
        own.adopt(moved)
    assert 'goal="log_loss"' in wrong.value.do and file.read_text() == before


def test_an_edit_that_says_something_else_is_not_made(own):
    file = own.root / "flights.py"
    file.write_text(file.read_text() + "\nlate = late.but(seed=5)\n")
    before = file.read_text()
    assert own.model("late").seed == 5  # the file is read again when it changed
    with pytest.raises(Refused, match="an edit cannot follow"):
        own.adopt(own.model("late").but(seed=9))
    assert file.read_text() == before
