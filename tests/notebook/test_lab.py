"""``millstream lab`` with the JupyterLab that is installed: its token, its kernel, its end."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.awaited import until
from tests.server.example import MILLSTREAM, run


@contextlib.contextmanager
def lab(root, *words):
    """Run the command until the block ends; yield the process and the address it printed."""
    command = [*MILLSTREAM, "lab", "--no-browser", *words, "-p", str(root)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
        start_new_session=True, env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
    ) as process:  # fmt: skip
        try:
            lines = [process.stdout.readline() for _ in range(3)]
            yield process, lines[1].strip()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def status(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as wrong:
        return wrong.code
    except urllib.error.URLError:
        return None


def test_lab_answers_its_token_on_this_machine_alone_and_ctrl_c_ends_it(place):
    with lab(place, "--port", "0") as (process, url):
        page, _, token = url.partition("?token=")
        assert page.startswith("http://127.0.0.1:") and page.endswith("/lab/tree/notebooks/start.ipynb")
        assert len(token) >= 32
        assert until(lambda: status(url), within_s=60) == 200
        contents = page.partition("/lab/")[0] + "/api/contents"
        assert (status(contents), status(f"{contents}?token={token}")) == (403, 200)
        said = Path(f"/proc/{process.pid}/cmdline").read_text()
        assert token not in said  # every user of the machine may read it
        port = page.split(":")[2].partition("/")[0]
        taken = run("lab", "--no-browser", "--port", port, "-p", place)
        assert taken.returncode == 5 and f"port {port} of 127.0.0.1 is in use" in taken.stderr
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        rest = process.stdout.read()
        assert "Traceback" not in rest, rest
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=5):
            pass


@pytest.fixture
def kernel(own):
    """Run cells in one real kernel, the notebook's folder its own; give what each cell showed."""

    def execute(path):
        book = nbformat.read(path, as_version=4)
        client = NotebookClient(
            book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
        )
        client.execute(env={**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"})
        return [each for each in book.cells if each.cell_type == "code"]

    return execute


def test_the_starter_notebook_runs_in_a_real_kernel(own, kernel):
    assert run("lab", "--json", "-p", own.root).returncode == 0
    cells = kernel(own.root / "notebooks" / "start.ipynb")
    shown = ["".join(out.data.get("text/html", "") for out in each.outputs if "data" in out) for each in cells]
    assert all(each.count("<table") for each in shown[:-1])
    features = re.search(r"training set of late: (\d+) features", shown[3])
    assert features and shown[3].count("<svg") == int(features[1]) > 15  # a picture a feature
    assert "surely worse" in shown[6] or "as good as" in shown[6] or "better" in shown[6]
    assert "<svg" in shown[6] and "defined in" in shown[7]
    printed = "".join(out.text for each in cells for out in each.outputs if out.output_type == "stream")
    assert "computing carrier_form" in printed and "fold at" in printed


def test_a_class_of_a_cell_is_refused_in_a_real_kernel_with_the_file_to_put_it_in(own, kernel):
    book = nbformat.v4.new_notebook()
    book.cells = [
        nbformat.v4.new_code_cell("import millstream\np = millstream.open('.')"),
        nbformat.v4.new_code_cell(
            "class Mine:\n    def fit(self, x, y):\n        return self\n    def predict(self, x):\n        return x\n"
            "p.train(p.model('late').but(estimator=Mine()))"
        ),
    ]
    path = own.root / "notebooks" / "mine.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(book))
    with pytest.raises(CellExecutionError, match=r"put Mine into mine\.py and write: from mine import Mine"):
        kernel(path)


def test_lab_json_names_what_would_run_and_no_token(place):
    said = json.loads(run("lab", "--json", "-p", place).stdout)
    assert said["installed"] and said["command"][0] == sys.executable and "token" not in said["url"]
    done = run("lab", "--port", "99999", "-p", place)
    assert done.returncode == 2 and "less than or equal to 65535" in done.stderr
