"""MLflow at the same work: ``python -m benchmarks.peers.mlflow_store HOW FOLDER``.

``defaults`` logs as its own guide does: a parameter, a metric at a time, a model of LightGBM whose requirements it
finds out; ``batched`` is the best it offers: one batch of each, requirements given. Both keep an SQLite store and local
files. ``read`` is a stock MLflow that reads what Millstream wrote, at the address in ``given.json``.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.asked import serve


def prepared(folder: Path) -> Any:
    """Point MLflow to a store of its own, made before the clock starts."""
    import lightgbm
    import mlflow

    store = folder / f"mlflow-{os.getpid()}"
    store.mkdir()
    mlflow.set_tracking_uri(f"sqlite:///{store}/mlflow.db")
    mlflow.create_experiment("late", (store / "artifacts").as_uri())
    mlflow.set_experiment("late")
    return lightgbm.Booster(model_file=str(folder / "model.txt"))


def defaults(folder: Path, given: dict[str, Any]) -> Callable[[], Any]:
    import mlflow
    import mlflow.lightgbm

    booster = prepared(folder)

    def run() -> Any:
        with mlflow.start_run() as active:
            for name, value in given["params"].items():
                mlflow.log_param(name, value)
            for name, values in given["series"].items():
                for step, value in enumerate(values):
                    mlflow.log_metric(name, value, step=step)
            mlflow.lightgbm.log_model(booster, name="model", registered_model_name="late")
        return active.info.run_id

    return run


def batched(folder: Path, given: dict[str, Any]) -> Callable[[], Any]:
    import mlflow
    import mlflow.lightgbm
    from mlflow.entities import Metric
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    booster, client = prepared(folder), mlflow.MlflowClient()
    columns = Schema([ColSpec("double", each) for each in booster.feature_name()])
    signature = ModelSignature(inputs=columns, outputs=Schema([ColSpec("double")]))

    def run() -> Any:
        with mlflow.start_run() as active:
            mlflow.log_params(given["params"])
            metrics = [
                Metric(name, value, 0, step)
                for name, values in given["series"].items()
                for step, value in enumerate(values)
            ]
            client.log_batch(active.info.run_id, metrics=metrics)
            mlflow.lightgbm.log_model(
                booster,
                name="model",
                registered_model_name="late",
                signature=signature,
                pip_requirements=["lightgbm"],
                await_registration_for=0,
            )
        return active.info.run_id

    return run


def found(run_id: str) -> dict[str, Any]:
    """Read a run back: how much was logged, the version registered, what the model answers."""
    import mlflow

    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    series = {name: [each.value for each in client.get_metric_history(run_id, name)] for name in run.data.metrics}
    (version,) = [each for each in client.search_model_versions("name = 'late'") if each.run_id == run_id]
    model = mlflow.pyfunc.load_model(f"models:/late/{version.version}")
    rows = _rows(model.metadata.get_input_schema() or 20)
    return {
        "params": run.data.params,
        "series": series,
        "version": int(version.version),
        "predictions": [float(each) for each in model.predict(rows)],
    }


def _rows(schema: Any) -> Any:
    import numpy as np
    import pandas as pd

    names = [f"Column_{place}" for place in range(schema)] if isinstance(schema, int) else schema.input_names()
    values = np.linspace(-2, 2, 5 * len(names)).reshape(5, -1)
    return pd.DataFrame(values, columns=names)


def read(folder: Path, given: dict[str, Any]) -> Callable[[], Any]:
    import mlflow

    mlflow.set_tracking_uri(given["uri"])
    runs = itertools.cycle(given["runs"])
    return lambda: next(runs)


def main() -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    how, folder = sys.argv[1], Path(sys.argv[2])
    serve(globals()[how](folder, json.loads((folder / "given.json").read_text())), found)


if __name__ == "__main__":
    main()
