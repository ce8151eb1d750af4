"""``lab`` and ``mlflow``: other people's programs, opened on a project.

Each takes this process's place, so that Ctrl-C, its end and its exit code are its own. They listen on this machine
alone; JupyterLab, which runs whatever it is sent, asks for a token besides.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from millstream.cli import call as calls
from millstream.errors import Conflict, Unavailable

HOST = "127.0.0.1"
_LAB_PORT, _TRIED = 8888, 50


def lab(root: Path, *, port: int | None, browser: bool, as_json: bool) -> None:
    """Write the starter notebook and open JupyterLab on the project.

    Raises
    ------
    Unavailable
        When JupyterLab is not installed in this environment.
    Conflict
        When the port is in use.
    """
    from millstream.cli import render
    from millstream.project import Project
    from millstream.project.notebook import starter

    with Project(root) as project:
        written = starter.write(project.root, project.manifest)
        config = project.places.run / "lab"
    there = installed("jupyterlab") and installed("ipykernel")
    chosen = free_port(port, what="JupyterLab", after=_LAB_PORT) if there else port or _LAB_PORT
    command = [
        sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}", f"--ServerApp.ip={HOST}",
        f"--ServerApp.port={chosen}", "--ServerApp.port_retries=0", "--Application.log_level=WARN",
        "--KernelManager.transport=ipc",
    ]  # fmt: skip
    command += [f"--LabApp.workspaces_dir={config / 'workspaces'}"]  # tabs of this project, not of another
    command += ["--allow-root"] if os.geteuid() == 0 else []  # who is root has said so, as in a container
    command += [*([] if browser else ["--no-browser"]), str(starter.FILE)]
    page = f"http://{HOST}:{chosen}/lab/tree/{quote(str(starter.FILE))}"
    record = {"notebook": str(root / starter.FILE), "written": written, "command": command, "installed": there}
    if as_json or not there:
        calls.show(record | {"url": page}, render.lab, as_json=as_json)
    if as_json:
        return
    if not there:
        raise Unavailable(
            "JupyterLab is not installed in this environment, so the notebook was not opened",
            expected="the extra lab; any notebook program with this Python opens the file as well",
            do=f"{sys.executable} -m pip install 'millstream[lab]', then millstream lab",
        )
    token = secrets.token_urlsafe(24)
    calls.show(record | {"url": f"{page}?token={token}"}, render.lab, as_json=False)
    _write_defaults(config)
    # The token is not on the command line, which every user of the machine may read. The kernel is this Python.
    paths = os.pathsep.join(each for each in (str(config), os.environ.get("JUPYTER_CONFIG_PATH", "")) if each)
    become(command, root, {"JUPYTER_TOKEN": token, "JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_CONFIG_PATH": paths})


def mlflow(root: Path, *, port: int, as_json: bool) -> None:
    """Open MLflow's page on the project's store.

    Raises
    ------
    Unavailable
        When only MLflow's client is installed, which has no page.
    Conflict
        When the port is in use.
    """
    from millstream.cli import render
    from millstream.project import Project

    there = installed("mlflow")
    with Project(root) as project:
        project.tracking.migrate()
        uri, artifacts = project.tracking.uri, project.places.artifacts.as_uri()
    chosen = free_port(port, what="MLflow's page") if there else port
    command = [
        sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--default-artifact-root", artifacts,
        "--host", HOST, "--port", str(chosen), "--workers", "1",
    ]  # fmt: skip
    page = f"http://{HOST}:{chosen}/" if there else ""
    record = {"tracking_uri": uri, "command": command, "installed": there, "url": page}
    calls.show(record, render.mlflow, as_json=as_json)
    if as_json:
        return
    if not there:
        version = importlib.metadata.version("mlflow-skinny")
        raise Unavailable(
            f"MLflow's page is not installed in this environment: mlflow-skinny {version} is its client alone",
            expected=f"the extra mlflow, which brings the package mlflow {version}",
            do=f"{sys.executable} -m pip install 'millstream[mlflow]', then millstream mlflow",
        )
    become(command, root, {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"})


_DEFAULTS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"autoStartDefaultKernel": True},
}
"""Of JupyterLab's settings, below what its user chose: nothing leaves this machine, nobody is asked for a kernel."""


def _write_defaults(folder: Path) -> None:
    path = folder / "labconfig" / "default_setting_overrides.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_DEFAULTS), encoding="utf-8")


def become(command: list[str], folder: Path, more: Mapping[str, str]) -> None:
    """Let a program take this process's place, in a folder and with more variables."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(folder)
    os.execve(command[0], command, {**os.environ, **more})


def free_port(wanted: int | None, *, what: str, after: int = 0) -> int:
    """Return the port that is wanted, or a free one: 0 takes any, None the first from ``after`` on.

    Raises
    ------
    Conflict
        When it is in use.
    """
    if wanted is None:
        found = next((each for each in range(after, after + _TRIED) if _bound(each) is not None), None)
        return found if found is not None else free_port(0, what=what)
    port = _bound(wanted)
    if port is None:
        raise Conflict(
            f"port {wanted} of {HOST} is in use, or this user may not listen there, so {what} was not opened",
            expected="a free port",
            do="--port 0 takes one that is free",
        )
    return port


def installed(package: str) -> bool:
    """Say whether a distribution is installed beside this one."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec(package.replace("-", "_")) is not None


def _bound(port: int) -> int | None:
    """Return the port that binding this one gives, None where that is refused."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return None
        found: tuple[Any, ...] = probe.getsockname()
        return int(found[1])
