"""Table versions as MLflow's datasets, for people who log their own runs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from millstream.errors import UserError
from millstream.tracking import quiet
from millstream.tracking.store import Tracking, digest

_PINS = "millstream.pins"


def dataset(table: str, version: int, *, schema: Mapping[str, str], rows: int | None) -> Any:
    """Return a table version as ``mlflow.log_input`` takes it; its digest is ``table@version``.

    Parameters
    ----------
    table, version
        What was read.
    schema
        Column to type of the row language.
    rows
        How many rows it has, None for a count nobody made.
    """
    with warnings.catch_warnings():
        quiet.silence()
        warnings.simplefilter("ignore")
        from mlflow.data.dataset import Dataset
        from mlflow.data.dataset_source import DatasetSource

    class TableVersion(DatasetSource):  # type: ignore[misc, unused-ignore]
        """Where a version is: in the lake of a project, by name."""

        @staticmethod
        def _get_source_type() -> str:
            return "millstream"

        def load(self) -> Any:
            raise UserError(
                f"{digest(table, version)} is a table of a project, which MLflow does not know how to open",
                expected="the project it is of",
                do=f"millstream.open(project).table({table!r}, version={version}).frame()",
            )

        @staticmethod
        def _can_resolve(raw_source: Any) -> bool:
            return False

        @classmethod
        def _resolve(cls, raw_source: Any) -> Any:
            return cls()  # never asked: see _can_resolve

        def to_dict(self) -> dict[str, Any]:
            return {"table": table, "version": version}

        @classmethod
        def from_dict(cls, source_dict: dict[Any, Any]) -> Any:
            return cls()

    class LakeDataset(Dataset):  # type: ignore[misc, unused-ignore]
        """A version of a table."""

        def _compute_digest(self) -> str:
            return digest(table, version)

        def to_dict(self) -> dict[str, str]:
            said = {"mlflow_colspec": [{"name": name, "type": dtype} for name, dtype in schema.items()]}
            profile = {} if rows is None else {"num_rows": rows}
            return {**super().to_dict(), "schema": json.dumps(said), "profile": json.dumps(profile)}

        @property
        def profile(self) -> Any:
            return None if rows is None else {"num_rows": rows}

        @property
        def schema(self) -> Any:
            return None

    return LakeDataset(TableVersion(), name=table, digest=digest(table, version))


def follow(
    tracking: Tracking, model: str, reads: Callable[[], Iterable[tuple[str, int]]], options: Mapping[str, Any]
) -> str:
    """Send what stock MLflow logs in this process to a project's store, and let each run name what was read before it.

    Parameters
    ----------
    tracking
        The project's store.
    model
        Its experiment is where runs go.
    reads
        Gives the table versions read in this process so far.
    options
        Of ``mlflow.autolog``.

    Returns
    -------
    The address of the store.
    """
    tracking.experiment(model)
    with warnings.catch_warnings():
        quiet.silence()
        warnings.simplefilter("ignore")
        import mlflow
        from mlflow.tracking._tracking_service import utils

        mlflow.set_tracking_uri(tracking.uri)
        mlflow.set_registry_uri(tracking.uri)
        mlflow.set_experiment(model)
        _name_reads(utils._get_store(tracking.uri), reads)
        mlflow.autolog(**{"silent": True, **options})
    return tracking.uri


def _name_reads(store: Any, reads: Callable[[], Iterable[tuple[str, int]]]) -> None:
    """Let a store note the datasets of each run it begins; runs that bring pins of their own keep those."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    begin = getattr(store, "_millstream_begin", store.create_run)

    def create_run(*given: Any, **named: Any) -> Any:
        run = begin(*given, **named)
        read = list(reads())
        if read and _PINS not in run.data.tags:
            inputs = [
                DatasetInput(
                    Dataset(
                        name=table, digest=digest(table, version), source_type="local", source=f"millstream:{table}"
                    ),
                    [InputTag("mlflow.data.context", "read before the run")],
                )
                for table, version in read
            ]
            store.log_inputs(run.info.run_id, inputs)
        return run

    store._millstream_begin = begin
    store.create_run = create_run
