"""MLflow, imported so that it neither phones home nor talks."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from typing import Any

_importing = threading.Lock()
_TALKATIVE = ("mlflow", "alembic")


def silence() -> None:
    """Switch off MLflow's telemetry and log lines for this process and its children; safe to call any time.

    MLflow reads the variables at its import and again at each call, so this holds even where a notebook imported
    MLflow first.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)


def client(uri: str) -> Any:
    """Return an MLflow client bound to one store, whatever ``MLFLOW_*`` variables say.

    Parameters
    ----------
    uri
        Tracking and registry address.

    Notes
    -----
    The first call imports MLflow, 1 to 3 s; the first use of a new database migrates it, 2 to 6 s.
    """
    with _importing, warnings.catch_warnings():
        silence()
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def failure() -> type[Exception]:
    """Return the class of every error MLflow raises on purpose."""
    with _importing, warnings.catch_warnings():
        silence()
        warnings.simplefilter("ignore")
        from mlflow.exceptions import MlflowException

        return MlflowException  # type: ignore[no-any-return]
