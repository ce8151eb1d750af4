"""Models that people logged with stock MLflow, as they lie in the project's store."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import msgspec

from millstream.errors import DefinitionError, IntegrityError, NotFound, UserError, near
from millstream.tracking import quiet

if TYPE_CHECKING:
    from millstream.tracking.store import Tracking

_RUN = re.compile(r"(?:runs:/)?([0-9a-f]{32})(?:/(.+))?")
_LOGGED = re.compile(r"models:/(m-[0-9a-f]{32})|(m-[0-9a-f]{32})")
_EXPECTED = "runs:/RUN_ID/NAME, the id of a run, or models:/m-..., as MLflow prints them"


class LoggedModel(msgspec.Struct, frozen=True):
    """A model logged by somebody.

    Parameters
    ----------
    uri
        ``models:/m-...``: its one name in the store.
    run_id
        The run that logged it.
    folder
        Where its files are.
    flavors
        What MLflow can load it as; ``python_function`` left out.
    inputs
        Column to type, as its signature says; None without a signature of columns.
    datasets
        ``table@version`` of each table version the run names as read before it.
    started_at
        When the run began, ISO 8601.
    """

    uri: str
    run_id: str
    folder: str
    flavors: tuple[str, ...]
    inputs: dict[str, str] | None
    datasets: tuple[str, ...]
    started_at: str


def find(tracking: Tracking, said: str) -> LoggedModel:
    """Find a logged model by its address, or by the run that logged it.

    Raises
    ------
    UserError
        When the address is not one of MLflow's, or the run logged several models and none is named.
    NotFound
        When there is no such run or model; near matches are named.
    DefinitionError
        When the run logged no model.
    """
    client = tracking.client
    by_run, by_id = _RUN.fullmatch(said.strip()), _LOGGED.fullmatch(said.strip())
    if by_id is not None:
        try:
            logged = client.get_logged_model(by_id[1] or by_id[2])
        except quiet.failure():
            raise NotFound(f"the project's store has no logged model {said}", expected=_EXPECTED) from None
    elif by_run is not None:
        logged = _of_run(tracking, by_run[1], by_run[2])
    else:
        raise UserError(f"{said[:80]!r} is no address of a logged model", expected=_EXPECTED)
    folder = Path(unquote(urlparse(logged.artifact_location).path))
    if not (folder / "MLmodel").is_file():
        raise IntegrityError(
            f"the files of {said} are not in {folder}",
            expected="the folder MLflow wrote",
            do="log the model again, or bring the folder back",
        )
    run = tracking.run(logged.source_run_id)
    tables = tuple(each for each in run.datasets if re.fullmatch(r".+@\d+", each))
    flavors, inputs = _described(folder)
    return LoggedModel(f"models:/{logged.model_id}", run.run_id, str(folder), flavors, inputs, tables, run.started_at)


def _of_run(tracking: Tracking, run_id: str, name: str | None) -> Any:
    tracking.run(run_id)  # says which runs there are
    run = tracking.client.get_run(run_id)
    outputs = run.outputs.model_outputs if run.outputs else []
    found = {each.name: each for each in (tracking.client.get_logged_model(one.model_id) for one in outputs)}
    if not found:
        raise DefinitionError(
            f"run {run_id} logged no model", expected="a run with mlflow.sklearn.log_model(...) or log_models=True"
        )
    if name is None and len(found) > 1:
        raise UserError(f"run {run_id} logged {len(found)} models: {', '.join(found)}", expected=f"runs:/{run_id}/NAME")
    if name is not None and name not in found:
        raise NotFound(f"run {run_id} logged no model {name!r}", do=near(name, found))
    return found[name] if name is not None else next(iter(found.values()))


def _described(folder: Path) -> tuple[tuple[str, ...], dict[str, str] | None]:
    """Read what ``MLmodel`` says of flavors and of the signature's columns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.models import Model

        said = Model.load(str(folder)).to_dict()
    flavors = tuple(each for each in said.get("flavors", {}) if each != "python_function")
    columns = json.loads((said.get("signature") or {}).get("inputs") or "[]")
    if not columns or any("name" not in each or not isinstance(each.get("type"), str) for each in columns):
        return flavors, None
    return flavors, {each["name"]: each["type"] for each in columns}
