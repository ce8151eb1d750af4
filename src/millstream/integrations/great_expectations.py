"""Great Expectations, in a process of its own: ``python -m millstream.integrations.great_expectations TASK.json``.

Runs expectations that have no translation over rows in memory. Its telemetry is off.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec

from millstream.checks.outside import Task, Verdict, pandas_of
from millstream.processes import die_with_parent


def run(rows: Any, tests: tuple[str, ...]) -> list[Verdict]:
    """Validate a pandas frame; one verdict for each expectation, ``{"type": ..., "kwargs": ...}`` as JSON."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    gx = importlib.import_module("great_expectations")
    configuration = importlib.import_module("great_expectations.expectations.expectation_configuration")
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": rows})
    return [_one(configuration.ExpectationConfiguration, batch, json.loads(each)) for each in tests]


def _one(configuration: Any, batch: Any, spec: dict[str, Any]) -> Verdict:
    try:
        expectation = configuration(type=spec["type"], kwargs=spec["kwargs"]).to_domain_obj()
        made = batch.validate(expectation, result_format="COMPLETE")
    except Exception as wrong:  # noqa: BLE001 - a border: a foreign library may raise anything
        return Verdict(error=f"Great Expectations says: {_short(wrong)}")
    raised = _raised(made.exception_info or {})
    if raised:
        return Verdict(error=f"Great Expectations says: {raised}")
    found = made.result or {}
    at = [each for each in found.get("unexpected_index_list") or () if isinstance(each, int)]
    observed = found.get("observed_value")
    says = "" if observed is None else f"observed {str(observed)[:200]}"
    return Verdict(ok=bool(made.success), failed=int(found.get("unexpected_count") or 0), at=tuple(at), says=says)


def _raised(info: dict[str, Any]) -> str:
    for each in (info, *(inner for inner in info.values() if isinstance(inner, dict))):
        if each.get("raised_exception"):
            return _short(each.get("exception_message"))
    return ""


def _short(said: object) -> str:
    return " ".join(str(said).split())[:300]


def main() -> int:
    """Do the task."""
    import polars as pl

    die_with_parent()
    warnings.simplefilter("ignore")
    task = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Task)
    try:
        found = run(pandas_of(pl.read_parquet(task.rows, glob=False)), task.tests)
    except ModuleNotFoundError as wrong:
        found = [Verdict(error=f"{wrong.name} is not installed here")] * len(task.tests)
    Path(task.answer).write_bytes(msgspec.json.encode(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
