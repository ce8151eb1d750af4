import http.client
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import mill
from tests.serving.test_server import until

ROOT = Path(__file__).parents[2]
LIST = ROOT / "requirements" / "scoring.txt"


def run(*command):
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=240)


def install(folder):
    """Make an environment as somebody installs a scoring server; return its python, or why it could not be made."""
    python = folder / "bin" / "python"
    beside = Path(sys.executable).with_name("uv")
    uv = shutil.which("uv") or (str(beside) if beside.exists() else None)
    if uv:
        make = [uv, "venv", "--python", sys.executable, folder]
        pip = [uv, "pip", "install", "--python", python, "--link-mode", "copy"]
    else:
        make = [sys.executable, "-m", "venv", folder]
        pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    for step in (make, [*pip, "--no-deps", "--require-hashes", "-r", LIST], [*pip, "--no-deps", ROOT]):
        done = run(*step)
        if done.returncode:
            return None, done.stderr
    return python, ""


def test_the_list_is_hashed_and_names_no_registry():
    said = LIST.read_text()
    assert "://" not in said and "index-url" not in said
    pinned = [line for line in said.splitlines() if "==" in line]
    assert len(pinned) == len([line for line in (ROOT / "requirements" / "scoring.in").read_text().splitlines()
                               if line and not line.startswith("#")])  # fmt: skip
    assert all(line.endswith("\\") for line in pinned)
    names = {line.partition("==")[0] for line in pinned}
    assert names.isdisjoint({"polars", "numpy", "pandas", "scipy", "deltalake", "mlflow", "duckdb", "starlette"})


def test_what_the_list_installs_is_small_and_answers(tmp_path):
    python, wrong = install(tmp_path / "venv")
    if python is None:
        if any(word in wrong.lower() for word in ("connect", "network", "timed out", "resolve host", "dns")):
            pytest.skip(f"the package index cannot be reached: {wrong[-200:]}")
        raise AssertionError(wrong)
    files = [path for path in (tmp_path / "venv").rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) <= 150e6

    project = mill.Project(tmp_path / "project")
    text = mill.booster().model_to_string()
    project.point(project.build(model={"kind": "lightgbm", "file": "model.txt"}, files={"model.txt": text}))
    log = (tmp_path / "stderr.txt").open("w+")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    server = subprocess.Popen(
        [python, "-m", "millstream.serving.server", "--project", project.root, "--port", "0"], stderr=log, env=clean
    )
    try:
        until(lambda: project.running() or server.poll() is not None)
        assert server.poll() is None, (tmp_path / "stderr.txt").read_text()
        connection = http.client.HTTPConnection(project.running().url.removeprefix("http://"), timeout=10)
        connection.request("POST", "/v1/models/late/predict", body=json.dumps({"rows": [mill.ROW]}))
        [answer] = json.loads(connection.getresponse().read())["predictions"]
        connection.close()
        assert answer["answered_by"] == "champion" and 0 < answer["value"] < 1
    finally:
        server.terminate()
        server.wait(timeout=10)
        log.close()
        project.state.close()
