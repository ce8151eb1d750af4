"""``lab`` and ``mlflow``: other people's programs, opened on a project."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from millstream.cli import call as calls
from millstream.errors import Unavailable


def lab(root: Path, *, port: int | None, browser: bool, as_json: bool) -> None:
    """Write the starter notebook and open JupyterLab on the project.

    Raises
    ------
    Unavailable
        When JupyterLab is not installed in this environment.
    """
    from millstream.cli import render
    from millstream.project import Project
    from millstream.project.notebook import starter

    with Project(root) as project:
        written = starter.write(project.root, project.manifest)
    path = str(root / starter.FILE)
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}", str(starter.FILE)]
    command += [f"--port={port}"] if port is not None else []
    command += [] if browser else ["--no-browser"]
    record = {"notebook": path, "written": written, "command": command, "installed": installed("jupyterlab")}
    calls.show(record, render.lab, as_json=as_json)
    if as_json:
        return
    if not record["installed"]:
        raise Unavailable(
            "JupyterLab is not installed in this environment, so the notebook was not opened",
            expected="jupyterlab beside millstream; any notebook program with this Python opens the file as well",
            do=f"{sys.executable} -m pip install jupyterlab, then millstream lab",
        )
    sys.exit(subprocess.call(command, cwd=root))


def mlflow(root: Path, *, port: int, as_json: bool) -> None:
    """Open MLflow's page on the project's store.

    Raises
    ------
    Unavailable
        When only MLflow's client is installed, which has no page.
    """
    from millstream.cli import render
    from millstream.project import Project

    with Project(root) as project:
        project.tracking.migrate()
        uri, artifacts = project.tracking.uri, project.places.artifacts.as_uri()
    command = [
        sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--default-artifact-root", artifacts,
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    record = {"tracking_uri": uri, "command": command, "installed": installed("mlflow")}
    calls.show(record, render.mlflow, as_json=as_json)
    if as_json:
        return
    if not record["installed"]:
        version = importlib.metadata.version("mlflow-skinny")
        raise Unavailable(
            f"MLflow's page is not installed in this environment: mlflow-skinny {version} is its client alone",
            expected=f"the package mlflow, version {version}",
            do=f"{sys.executable} -m pip install mlflow=={version}, then millstream mlflow",
        )
    sys.exit(subprocess.call(command, cwd=root, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}))


def installed(package: str) -> bool:
    """Say whether a distribution is installed beside this one."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec(package.replace("-", "_")) is not None
