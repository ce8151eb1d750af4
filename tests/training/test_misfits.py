"""Estimators that fail, print, take a day, are stopped, or want more memory than there is."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

import millstream
from millstream import Model
from millstream.errors import DefinitionError
from millstream.server.workers import _ended
from millstream.training.calm import printed_to_log, within
from tests.server import example

CODE = """
import os, subprocess, sys, time
import numpy as np

class Mood:
    def __init__(self, mood):
        self.mood = mood
    def fit(self, x, y):
        print("hello from python")
        os.write(1, b"hello from below\\n")
        subprocess.run(["echo", "hello from a child"])
        if self.mood == "fails":
            raise RuntimeError("no such luck")
        if self.mood == "hungry":
            np.empty(1 << 57)
        while self.mood == "slow":
            try:
                time.sleep(0.01)
            except Exception:
                pass
        return self
    def predict(self, x):
        return np.full(len(x), 0.25) + 0.01 * np.nan_to_num(x[:, 0])
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The example, with a model of every mood in files of the project."""
    root = example.copy(example.waiting(tmp_path_factory), tmp_path_factory.mktemp("moods") / "flights")
    (root / "mood.py").write_text(CODE)
    return root


def of(project, mood, **more):
    from importlib import import_module

    late = project.model("late")
    return late.but(estimator=import_module("mood").Mood(mood), features=late.features[-1:], **more)


@pytest.fixture
def p(place):
    with millstream.open(place) as project:
        project.progress = lambda line: None
        yield project


def test_what_an_estimator_prints_is_kept_on_the_run_and_never_on_standard_output(p, capfd):
    run = p.train(of(p, "prints"))
    printed = p.tracking.run(run.run_id).tags["millstream.printed"]
    assert printed.splitlines() == ["hello from python", "hello from below", "hello from a child"]
    out, err = capfd.readouterr()
    assert out == "" and err.count("hello from a child") == 3  # both folds, and what ships
    assert run.record.printed == printed


def test_an_estimator_that_fails_says_where_and_what_it_printed_and_leaves_a_failed_run(p):
    before = len(p.runs("late"))
    with pytest.raises(DefinitionError) as wrong:
        p.train(of(p, "fails"), note="a bad day")
    said = str(wrong.value)
    assert "no such luck" in said and "mood.py, line" in said and "hello from below" in said
    table = p.runs("late")
    first = next(iter(table))
    assert len(table) == before + 1 and (first["version"], first["state"], first["note"]) == (
        None,
        "failed",
        "a bad day",
    )
    assert p.tracking.run(first["run"]).tags["millstream.stopped"].startswith("estimator mood:Mood failed")


def test_an_estimator_that_takes_a_day_is_stopped_in_time(p):
    began, before = time.monotonic(), (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0])
    with pytest.raises(DefinitionError, match=r"was stopped after .* fit_within='1s'"):
        p.train(of(p, "slow", fit_within="1s"))
    assert time.monotonic() - began < 20
    assert signal.getsignal(signal.SIGALRM) is before[0]
    assert (signal.getitimer(signal.ITIMER_REAL)[0] > 0) == (before[1] > 0)  # another alarm goes on


def test_a_limit_holds_in_a_thread_as_well_and_a_fast_fit_never_notices():
    said = []

    def work():
        try:
            with within("200ms", name="x"):
                while True:
                    time.sleep(0.005)
        except DefinitionError as wrong:
            said.append(str(wrong))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=20)
    assert "fit_within='200ms'" in said[0]
    with within("1h", name="x"), within(None, name="y"):
        pass


def test_too_little_memory_is_said_in_words(p):
    with pytest.raises(DefinitionError, match="ran out of memory"):
        p.train(of(p, "hungry"))
    assert "memory ran out" in _ended(-signal.SIGKILL, "train") and "code 3" in _ended(3, "train")


@pytest.mark.parametrize("said", ["soon", "0s", "-2h", 5])
def test_a_limit_that_is_no_length_of_time_is_refused(p, said):
    with pytest.raises(DefinitionError, match="a length of time"):
        p.model("late").but(fit_within=said)
    assert isinstance(p.model("late"), Model)


def test_ctrl_c_leaves_a_killed_run_nothing_registered_and_no_lock(p, place, tmp_path):
    versions = [each["version"] for each in p.runs("late") if each["version"]]
    root = example.copy(place, tmp_path / "flights")
    file = root / "flights.py"
    text = file.read_text()
    assert "LGBMClassifier(" in text
    start = text.index("estimator=LGBMClassifier(")
    end = text.index("),", start) + 1
    file.write_text("from mood import Mood\n" + text[:start] + 'estimator=Mood("slow")' + text[end:])
    with subprocess.Popen(
        [*example.MILLSTREAM, "train", "late", "--json", "-p", str(root)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "MILLSTREAM_USER": "nora"},
    ) as process:  # fmt: skip
        assert process.stderr.readline() == "hello from python\n"  # it fits
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err and out == ""
    with millstream.open(root) as project:
        table = list(project.runs("late"))
        assert (table[0]["version"], table[0]["state"], table[0]["who"]) == (None, "killed", "nora")
        assert [each["version"] for each in table if each["version"]] == versions
        assert not list(project.places.state.glob("tmp*"))
    assert json.loads(example.run("status", "--json", "-p", root).stdout)  # no lock is left


def test_json_stays_json_whatever_is_printed_below(capfd):
    with printed_to_log() as heard:
        print("one")
        os.write(1, b"two\n")
    print("{}")
    assert capfd.readouterr().out == "{}\n" and heard.text == "one\ntwo"
