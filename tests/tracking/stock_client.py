"""What a stock MLflow client sees: run by a test in a process of its own, with MLflow's API only."""

import json
import sys

import mlflow
import numpy as np
import pandas as pd

uri, name, other = sys.argv[1:4]
mlflow.set_tracking_uri(uri)
client = mlflow.MlflowClient()
experiment = client.get_experiment_by_name(name)
(run,) = mlflow.search_runs([experiment.experiment_id], output_format="list")
version = client.get_model_version_by_alias(name, "champion")
loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
rows = pd.DataFrame({"form.delay": [-1.5, 0.0, 0.7, np.nan], "form.long": [0.0, 1.0, np.nan, 1.0]})
(logged,) = client.search_logged_models([experiment.experiment_id])
history = client.get_metric_history(run.info.run_id, "fold/candidate/roc_auc")
print(
    json.dumps(
        {
            "params": run.data.params,
            "metrics": run.data.metrics,
            "history": [[each.step, each.value] for each in history],
            "digests": sorted(each.dataset.digest for each in run.inputs.dataset_inputs),
            "commit": run.data.tags["mlflow.source.git.commit"],
            "status": run.info.status,
            "version": int(version.version),
            "run": version.run_id == run.info.run_id,
            "inputs": [str(each.type) for each in loaded.metadata.get_input_schema()],
            "predicted": np.asarray(loaded.predict(rows)).tolist(),
            "again": np.asarray(mlflow.pyfunc.load_model(f"models:/{logged.model_id}").predict(rows)).tolist(),
            "other": np.asarray(mlflow.pyfunc.load_model(f"models:/{other}@champion").predict(rows)).tolist(),
            "own": np.asarray(mlflow.pyfunc.load_model("models:/least@champion").predict(rows)).tolist(),
            "has_pyarrow": "pyarrow" in sys.modules,
            "has_millstream": "millstream" in sys.modules,
        }
    )
)
