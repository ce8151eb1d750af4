"""What a stock MLflow client sees of a project: run in a process of its own, with MLflow's API only."""

import json
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

uri, name, rows = sys.argv[1:4]
mlflow.set_tracking_uri(uri)
client = mlflow.MlflowClient()
experiment = client.get_experiment_by_name(name)
runs = mlflow.search_runs([experiment.experiment_id], output_format="list")
champion = client.get_model_version_by_alias(name, "champion")
loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
frame = pd.DataFrame(json.loads(Path(rows).read_text()))
print(
    json.dumps(
        {
            "runs": [
                {
                    "id": each.info.run_id,
                    "status": each.info.status,
                    "params": each.data.params,
                    "metrics": each.data.metrics,
                    "digests": sorted(given.dataset.digest for given in each.inputs.dataset_inputs),
                    "tags": each.data.tags,
                }
                for each in runs
            ],
            "champion": int(champion.version),
            "champion_run": champion.run_id,
            "versions": [int(each.version) for each in client.search_model_versions(f"name='{name}'")],
            "predicted": np.asarray(loaded.predict(frame)).tolist(),
            "has_millstream": "millstream" in sys.modules,
        }
    )
)
