"""Pandera, in a process of its own: ``python -m millstream.integrations.pandera TASK.json`` in the project's folder.

Runs the checks of a schema that have no translation, the project's own functions among them.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import msgspec

from millstream.checks.outside import Task, Verdict, pandas_of
from millstream.processes import die_with_parent


def schema_of(said: str) -> Any:
    """Load a schema, from ``module:NAME`` or YAML."""
    if said.endswith((".yaml", ".yml")):
        importlib.import_module("pandera.pandas")
        return importlib.import_module("pandera.io").from_yaml(Path(said).read_text(encoding="utf-8"))
    module, _, name = said.partition(":")
    found = getattr(importlib.import_module(module), name)
    return found.to_schema() if hasattr(found, "to_schema") else found


def run(rows: Any, said: str, tests: list[dict[str, Any]]) -> list[Verdict]:
    """Validate rows (Polars) against a whole schema; pick what it says of each test."""
    schema = schema_of(said)
    polars = type(schema).__module__.startswith("pandera.api.polars")
    errors = importlib.import_module("pandera.errors")
    for check in (*schema.checks, *(each for column in schema.columns.values() for each in column.checks)):
        check.raise_warning = False  # what only warns is told too, as a note
    try:
        schema.validate(rows if polars else pandas_of(rows), lazy=True)
        found: list[dict[str, Any]] = []
    except errors.SchemaErrors as wrong:
        cases = wrong.failure_cases
        found = cases.to_dicts() if polars else cases.to_dict("records")
    return [_verdict(each, found) for each in tests]


def _verdict(test: dict[str, Any], found: list[dict[str, Any]]) -> Verdict:
    mine = [each for each in found if _about(test, each)]
    places = {int(each["index"]) for each in mine if each["index"] is not None and each["index"] == each["index"]}
    said = ", ".join(str(each["failure_case"]) for each in mine[:3])
    return Verdict(
        ok=not mine,
        failed=len(places) or len(mine),
        at=tuple(sorted(places)),
        says=f"found {said[:200]}" if said else "",
    )


_WORDS = {"dtype": ("dtype", "coerce_dtype"), "strict": ("column_in_schema",), "ordered": ("column_ordered",)}


def _about(test: dict[str, Any], case: dict[str, Any]) -> bool:
    """Say whether a failure is one of a test: a check by its place in the schema, the rest by Pandera's name for it."""
    if str(case["check"]).startswith("column_in_dataframe"):  # a column that is missing fails every check of it
        return bool(str(case["failure_case"]) == test["column"])
    if (case["schema_context"] == "Column") != bool(test["column"]):
        return False
    if test["column"] and case["column"] != test["column"]:
        return False
    if test["number"] is not None:
        return bool(case["check_number"] == test["number"])
    name = str(test["check"])
    return str(case["check"]).partition("(")[0] in _WORDS.get(name, (name,))


def main() -> int:
    """Do the task."""
    import polars as pl

    die_with_parent()
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(Path.cwd()))
    task = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Task)
    specs = [json.loads(each) for each in task.tests]
    found: dict[int, Verdict] = {}
    for schema in {each["schema"] for each in specs}:
        mine = [place for place, each in enumerate(specs) if each["schema"] == schema]
        try:
            made = run(pl.read_parquet(task.rows, glob=False), schema, [specs[place] for place in mine])
        except ModuleNotFoundError as wrong:
            made = [Verdict(error=f"{wrong.name} is not installed here")] * len(mine)
        except Exception as wrong:  # noqa: BLE001 - a border: the project's own checks run here
            traceback.print_exc()
            made = [Verdict(error=f"Pandera says: {type(wrong).__name__}: {' '.join(str(wrong).split())[:300]}")] * len(
                mine
            )
        found |= dict(zip(mine, made, strict=True))
    Path(task.answer).write_bytes(msgspec.json.encode([found[place] for place in range(len(specs))]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
