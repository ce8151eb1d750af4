"""Tests of dbt, and a way to ask dbt itself for what it says; that is written down in ``dbt_said.json``.

Said by dbt-core 1.11.16 with dbt-duckdb 1.11.1 and the SQL of the generic tests of dbt_utils.

dbt is not installed beside Millstream (its requirements contradict ours). In an environment that has dbt-core before
1.12 and dbt-duckdb, with a folder that holds the package dbt_utils:
``python -m tests.checks.suites_said_dbt DBT_UTILS > dbt_said.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SCHEMA = """
version: 2
models:
  - name: orders
    data_tests:
      - dbt_utils.unique_combination_of_columns: {name: pair, arguments: {combination_of_columns: [n, s]}}
      - dbt_utils.expression_is_true: {name: x_to_y, arguments: {expression: "x <= y"}}
      - dbt_utils.expression_is_true:
          {name: x_to_y_of_7, arguments: {expression: "x <= y"}, config: {where: "n = 7", severity: warn}}
    columns:
      - name: id
        data_tests:
          - unique: {name: id_unique}
          - not_null: {name: id_there}
      - name: n
        data_tests:
          - unique: {name: n_unique}
          - accepted_values: {name: n_known, arguments: {values: [1, 2]}}
          - relationships: {name: n_of, arguments: {to: ref('customers'), field: id}}
          - unique: {name: n_unique_where, config: {where: "x > 0"}}
          - accepted_values: {name: n_known_where, arguments: {values: [1, 2, 7]}, config: {where: "s = 'a'"}}
          - relationships: {name: n_of_where, arguments: {to: ref('customers'), field: id}, config: {where: "n <> 7"}}
          - dbt_utils.not_constant: {name: n_varies}
          - dbt_utils.not_null_proportion: {name: n_mostly, arguments: {at_least: 0.8}}
      - name: x
        data_tests:
          - not_null: {name: x_there}
          - not_null: {name: x_there_where, config: {where: "n = 7"}}
          - dbt_utils.accepted_range: {name: x_range, arguments: {min_value: 0, max_value: 3}}
          - dbt_utils.accepted_range: {name: x_above, arguments: {min_value: 0, inclusive: false}}
          - dbt_utils.expression_is_true: {name: x_true, arguments: {expression: ">= 0"}}
          - dbt_utils.at_least_one: {name: x_any}
          - dbt_utils.not_null_proportion: {name: x_mostly, arguments: {at_least: 0.75}}
      - name: s
        data_tests:
          - accepted_values: {name: s_known, arguments: {values: [a, ab]}}
          - dbt_utils.not_accepted_values: {name: s_refused, arguments: {values: [a, ab]}}
          - dbt_utils.not_empty_string: {name: s_filled}
          - dbt_utils.not_constant: {name: s_varies}
"""
SINGULAR = {
    "no_large": "{{ config(severity='warn') }}\nselect id from {{ ref('orders') }} where x > 8",
    "enough": "select count(*) as found from {{ ref('orders') }} having count(*) < {{ var('least', 2) }}",
    "of_others": "select * from {{ ref('customers') }} where id is null",
    "known": "select id from {{ ref('orders') }} where n not in (select id from {{ ref('customers') }})",
}
CUSTOMERS = (1, 2, 3)


COLUMNS = {"id": "bigint", "n": "bigint", "x": "double", "y": "double", "s": "varchar"}


def sql(rows: list[tuple[Any, ...]]) -> str:
    """Write rows of ``suites_said`` as a model."""
    lines = [
        "select " + ", ".join(f"cast({_value(value)} as {COLUMNS[name]}) as {name}" for name, value in row.items())
        for row in (dict(zip(COLUMNS, each, strict=True)) for each in rows or [(None,) * len(COLUMNS)])
    ]
    return " union all ".join(lines) + ("" if rows else " limit 0")


def _value(value: Any) -> str:
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def ask(utils: Path, frames: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[str]]:
    """Run dbt; return, for each frame, the names of the tests that do not pass."""
    said: dict[str, list[str]] = {}
    with TemporaryDirectory() as held:
        root = Path(held)
        for folder in ("models", "tests"):
            (root / folder).mkdir()
        (root / "dbt_project.yml").write_text("name: shop\nversion: '1.0'\nprofile: shop\n")
        (root / "packages.yml").write_text(f"packages:\n  - local: {utils}\n")
        (root / "profiles.yml").write_text("shop: {target: a, outputs: {a: {type: duckdb, path: shop.duckdb}}}\n")
        (root / "models" / "schema.yml").write_text(SCHEMA)
        known = " union all ".join(f"select cast({each} as bigint) as id" for each in CUSTOMERS)
        (root / "models" / "customers.sql").write_text(known)
        for name, text in SINGULAR.items():
            (root / "tests" / f"{name}.sql").write_text(text)
        environment = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
        dbt = [str(Path(sys.executable).with_name("dbt")), "--no-use-colors"]
        subprocess.run([*dbt, "deps"], cwd=root, env=environment, stdout=sys.stderr, check=True)
        for name, rows in frames.items():
            (root / "models" / "orders.sql").write_text(sql(rows))
            subprocess.run([*dbt, "build"], cwd=root, env=environment, stdout=sys.stderr, check=False)
            results = json.loads((root / "target" / "run_results.json").read_text())["results"]
            assert not [each for each in results if each["status"] == "error"]
            nodes = json.loads((root / "target" / "manifest.json").read_text())["nodes"]
            said[name] = sorted(
                nodes[each["unique_id"]]["name"] for each in results if each["status"] in ("fail", "warn")
            )
    return said


if __name__ == "__main__":
    from tests.checks.suites_said import FRAMES

    print(json.dumps(ask(Path(sys.argv[1]).resolve(), FRAMES), indent=1))
