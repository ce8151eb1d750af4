"""A model folder in MLflow's format, written directly.

``mlflow.lightgbm.log_model`` spends nearly all its time guessing requirements by loading the model in a new process;
here they are given.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from millstream.tracking.records import StoredModel

_REQUIRED = {"lightgbm": ("lightgbm", "numpy", "pandas", "scipy"), "linear": ("numpy", "pandas")}
_LOADERS = {"python": ("portable_python", "portable_python.py")}
_LOADER = ("portable_model", "portable.py")
"""Name under which a loader lies beside a model, and the file of ours that it is a copy of: one name, one source."""


def write(stored: StoredModel, folder: Path, *, run_id: str, model_id: str, location: str) -> None:
    """Write ``MLmodel``, the model, and the files that say what is needed to load it.

    Parameters
    ----------
    stored
        The model.
    folder
        Where to; made when missing.
    run_id, model_id, location
        What MLflow calls the run and the logged model, and the address of the folder.
    """
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types.schema import ColSpec, Map, ParamSchema, ParamSpec, Schema

    folder.mkdir(parents=True, exist_ok=True)
    for name, content in stored.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    described = Model(artifact_path=location, run_id=run_id, model_uuid=model_id, model_id=model_id)
    outputs = [ColSpec("double")]
    if stored.beside:
        value = "double" if stored.beside == "quantiles" else "string"
        own = [ColSpec("double", "distance")] if stored.beside == "distances" else []
        outputs = [ColSpec(value, "value"), *own, ColSpec(Map("double"), stored.beside)]
    described.signature = ModelSignature(
        inputs=Schema([ColSpec("double", name) for name in stored.features]),
        outputs=Schema(outputs),
        params=ParamSchema([ParamSpec("decide", "boolean", default=False)]) if stored.decides else None,
    )
    _add_flavors(described, stored, folder)
    described.model_size_bytes = sum(len(content) for content in stored.files.values())
    described.save(str(folder / "MLmodel"))
    needed = _REQUIRED["lightgbm" if stored.needs_lightgbm else "linear"]
    _write_environment(folder, _pinned(dict.fromkeys((*needed, *_distributions(stored.packages)))))


def _add_flavors(described: Any, stored: StoredModel, folder: Path) -> None:
    python: dict[str, Any] = {"python_version": platform.python_version()}
    python["env"] = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    if stored.kind == "lightgbm" and not stored.beside:
        own = {"lgb_version": importlib.metadata.version("lightgbm"), "model_class": "lightgbm.basic.Booster"}
        described.add_flavor("lightgbm", data="model.txt", code=None, **own)
        if not stored.decides:
            described.add_flavor("python_function", loader_module="mlflow.lightgbm", data="model.txt", **python)
            return
    (folder / "code").mkdir(exist_ok=True)
    loader, file = _LOADERS.get(stored.kind, _LOADER)
    (folder / "code" / f"{loader}.py").write_bytes(Path(__file__).with_name(file).read_bytes())
    described.add_flavor("python_function", loader_module=loader, data="model.json", code="code", **python)


def _pinned(names: Iterable[str]) -> list[str]:
    found = {each: importlib.metadata.version(each) for each in names if _installed(each)}
    mlflow = importlib.metadata.version("mlflow-skinny")
    return [f"mlflow=={mlflow}", *(f"{name}=={version}" for name, version in found.items())]


def _distributions(packages: Iterable[str]) -> list[str]:
    """Name the distributions that packages are imported from."""
    known = importlib.metadata.packages_distributions() if packages else {}
    return sorted({name for each in packages for name in known.get(each, ())})


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _write_environment(folder: Path, requirements: list[str]) -> None:
    python = platform.python_version()
    lines = "".join(f"  - {each}\n" for each in requirements)
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
    (folder / "python_env.yaml").write_text(f"python: {python}\ndependencies:\n- -r requirements.txt\n")
    (folder / "conda.yaml").write_text(
        f"channels:\n- conda-forge\ndependencies:\n- python={python}\n- pip\n- pip:\n{lines}name: mlflow-env\n"
    )
