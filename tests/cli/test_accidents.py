"""What happens to a project in real life: typos in definitions, missing files, flipped bits, Ctrl-C, two at once."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from millstream.state.lock import ProjectLock
from tests.awaited import until
from tests.server import example


def edit(root, old, new, *, name="flights.py"):
    file = root / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def fails(root, *words, code, user="ada"):
    done = example.said(*words, "-p", root, user=user)
    assert done.returncode == code, done.stderr
    return done.stderr or done.stdout


def test_a_syntax_error_is_shown_where_it_is(project):
    lines = (project / "flights.py").read_text(encoding="utf-8").splitlines()
    lines[6] = "broken = Table('x' Table"
    (project / "flights.py").write_text("\n".join(lines), encoding="utf-8")
    said = fails(project, "status", code=2)
    assert "flights.py, line 7" in said
    shown, caret = said.splitlines()[1:3]
    assert shown.strip() == "broken = Table('x' Table"
    assert caret.strip() == "^"
    assert shown[caret.index("^")] in "(T"


def test_an_unknown_column_is_named_with_what_was_meant(project):
    edit(project, 'f.mean("arr_delay > 15"', 'f.mean("arr_dela > 15"')
    said = fails(project, "train", "late", code=2)
    assert "there is no column 'arr_dela'" in said
    assert "^^^^^^^^" in said
    assert "did you mean 'arr_delay'?" in said


def test_a_metric_that_does_not_exist_is_named_before_anything_is_trained(project):
    edit(project, '"roc_auc"', '"roc_acu"')
    said = fails(project, "status", code=2)
    assert "model 'late' names a metric 'roc_acu'" in said and "did you mean 'roc_auc'?" in said


def test_a_missing_source_is_named_and_the_other_tables_are_checked(project):
    shutil.rmtree(project / "ops" / "weather")
    said = " ".join(fails(project, "check", code=3).split())
    assert "weather is not a Delta table" in said and "nothing arrived since the checks last ran" in said


def test_a_flipped_bit_in_the_live_bundle_is_named_and_never_answers(project):
    live = json.loads(example.run("status", "--json", "-p", project).stdout)["models"][0]["live"]["release"]
    file = project / ".millstream" / "releases" / live / "model.txt"
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(raw)
    done = example.said("verify", "-p", project)
    assert done.returncode == 8
    assert "model.txt" in done.stdout
    said = fails(project, "score", "late", "--since", "2013-01-30", "--until", "2013-01-31", code=8)
    assert "model.txt" in said


def test_its_trainer_cannot_approve(project):
    said = fails(project, "approve", "2", "-m", "I made it", code=4, user="Tina")
    assert "cannot approve it" in said
    assert "ask another person to run: millstream approve 2" in said


def test_two_at_once_are_told_of_each_other(project):
    lock = ProjectLock(project / ".millstream" / "run", holder="a long training")
    try:
        said = fails(project, "train", "late", code=5)
    finally:
        lock.release()
    assert "another process works on this project: a long training" in said
    assert f"process {os.getpid()}" in said
    assert "millstream up" in said


def test_ctrl_c_stops_cleanly_and_the_next_command_works(project):
    started = subprocess.Popen(
        [*example.MILLSTREAM, "train", "late", "-p", str(project)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "MILLSTREAM_USER": "tina"},
    )  # fmt: skip
    try:
        holder = project / ".millstream" / "run" / "lock"
        until(lambda: f'"pid": {started.pid}' in holder.read_text())
        loaded = Path(f"/proc/{started.pid}/maps")  # past its imports: at work
        until(lambda: "lightgbm" in loaded.read_text())
        started.send_signal(signal.SIGINT)
        out, said = started.communicate(timeout=30)
    finally:
        started.kill()
        started.wait()
    assert started.returncode == 130, (out, said)
    assert "stopped; what was acknowledged is kept" in said
    assert "Traceback" not in said
    after = example.run("verify", "--json", "-p", project)
    assert after.returncode == 0
    assert json.loads(after.stdout)["ok"] is True
    assert json.loads(example.run("status", "--json", "-p", project).stdout)["models"][0]["releases"] == 2


def test_unclean_definitions_are_not_released_unless_asked(project):
    edit(project, "min_child_samples=", "subsample_freq=0, min_child_samples=")
    said = fails(project, "release", "late", code=4)
    assert "uncommitted changes" in said
    assert "--dirty" in said
    done = example.said("release", "late", "--dirty", "--json", "-p", project, user="tina")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["version"] == 3
    bundle = project / ".millstream" / "releases" / made["release"]
    assert "subsample_freq=0" in "".join(
        each.read_text(encoding="utf-8") for each in bundle.iterdir() if "patch" in each.name
    )


def test_it_works_without_git(project, tmp_path):
    shutil.rmtree(project / ".git")
    environment = {"PATH": str(tmp_path)}
    released = example.run("release", "late", "--json", "-p", project, user="tina", env=environment)
    assert released.returncode == 0, released.stderr
    audited = example.run("audit", "late@3", "-p", project, env=environment)
    assert "Which code?" in audited.stdout
    assert "unknown" not in audited.stdout.split("Which code?")[1].splitlines()[0]


def test_results_lying_about_block_no_release_and_what_does_is_named(project):
    (project / "scores.parquet").write_bytes(b"what somebody has scored")
    (project / "helper.py").write_text("WIDTH = 3\n", encoding="utf-8")
    said = fails(project, "release", "late", code=4)
    assert "(helper.py)" in said
    (project / "helper.py").unlink()
    done = example.said("release", "late", "--json", "-p", project, user="tina")
    assert done.returncode == 0, done.stderr
