"""The worker that reads a resource with dlt: ``python -m millstream.integrations.dlt REQUEST.json``.

dlt extracts and normalizes; its load goes to files of rows that the lake takes in. Nothing is sent to dlt's makers, and
nothing is kept outside of the folder that the request names.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from millstream.errors import MillstreamError
from millstream.lake.derived.stepping import Answer
from millstream.lake.ingest.piped import Given, Request
from millstream.sources.values import AWARE, NAIVE, column

_ROWS = 20_000
"""Rows that are held together."""
_SECRET = re.compile("password|passwd|secret|token|api_?key|credential", re.IGNORECASE)
_KINDS: Mapping[str, pl.DataType] = {
    "text": pl.String(),
    "double": pl.Float64(),
    "decimal": pl.Float64(),
    "wei": pl.Float64(),
    "bool": pl.Boolean(),
    "bigint": pl.Int64(),
    "timestamp": AWARE,
    "date": pl.Date(),
    "time": pl.String(),
    "json": pl.String(),
}
"""dlt's types as they are kept; ``binary`` is refused."""


class _Wrong(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.error)
        self.answer = answer


class Rows:
    """Where dlt's load goes: files of rows, and what is to be known of them.

    Parameters
    ----------
    request
        What is read.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._digest = hashlib.sha256()
        self.rows, self.parts = 0, 0
        self.table: dict[str, Any] = {}

    def take(self, file: str, table: dict[str, Any]) -> None:
        """Take one file that dlt wrote: one JSON array of rows a line."""
        kinds = self._kinds(table)
        self.table = table
        held: list[dict[str, Any]] = []
        for rows in _lines(file):
            held += rows
            while len(held) >= _ROWS:
                self._put(held[:_ROWS], kinds)
                held = held[_ROWS:]
        if held:
            self._put(held, kinds)

    def given(self, state: str) -> Given:
        """Say what came, and what dlt is to be given next time."""
        columns = self.table.get("columns", {})
        marked = next((name for name, each in columns.items() if each.get("hard_delete")), "")
        key = [name for name, each in columns.items() if each.get("primary_key")]
        return Given(
            content=self._digest.hexdigest(),
            rows=self.rows,
            parts=self.parts,
            disposition=self.table.get("write_disposition", "append"),
            key=tuple(key or [name for name, each in columns.items() if each.get("merge_key")]),
            deleted=marked,
            state=state,
        )

    def _kinds(self, table: Mapping[str, Any]) -> dict[str, pl.DataType]:
        kinds = {}
        for name, each in table["columns"].items():
            kind = each.get("data_type")
            if kind is None or name.startswith("_dlt_"):
                continue
            if kind not in _KINDS:
                raise _Wrong(
                    Answer(
                        error=f"column {name!r} is {kind}, which is no number, text, truth value, date or time",
                        expected="columns that can be kept",
                        do=f"resource.add_map(lambda row: ...) without {name!r}",
                    )
                )
            naive = kind == "timestamp" and each.get("timezone") is False
            kinds[name] = NAIVE if naive else _KINDS[kind]
        strategy = table.get("x-merge-strategy")
        if strategy not in (None, "delete-insert", "upsert"):
            raise _Wrong(
                Answer(error=f"the merge strategy {strategy!r} is not done here", expected="upsert, or append")
            )
        return kinds

    def _put(self, rows: list[dict[str, Any]], kinds: Mapping[str, pl.DataType]) -> None:
        where = f"{self._request.where}, rows {self.rows + 1:,} to {self.rows + len(rows):,}"
        values = {name: [each.get(name) for each in rows] for name in kinds}
        self._digest.update(msgspec.msgpack.encode(values, enc_hook=str))
        frame = pl.DataFrame([column(name, each, kinds[name], where=where) for name, each in values.items()])
        frame.write_parquet(Path(self._request.folder) / f"{self.parts}.parquet")
        self.rows += len(rows)
        self.parts += 1
        print(f"{self.rows:,} rows read", flush=True)  # noqa: T201 - a worker's output is its progress


def main() -> int:
    """Read the resource that the request names; the exit code says whether it went well."""
    request = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Request)
    place = Path(request.folder).parent
    os.environ |= {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
        "NORMALIZE__DATA_WRITER__FILE_MAX_ITEMS": "100000",
        "DLT_DATA_DIR": str(place / "dlt"),
    }
    try:
        found = _read(request, place)
    except _Wrong as wrong:
        answer = wrong.answer
    except MillstreamError as wrong:
        answer = Answer(error=wrong.happened, expected=wrong.expected, do=wrong.do)
    except BaseException as wrong:  # noqa: BLE001 - a border: user code may raise anything, SystemExit too
        sys.stderr.write(_hidden("".join(traceback.format_exception(wrong))))
        root = _root(wrong)
        answer = Answer(error=_hidden(f"{type(root).__name__}: {root}"), do="refresh again, when it answers")
    else:
        Path(request.given).write_bytes(msgspec.json.encode(found))
        return 0
    Path(request.answer).write_bytes(msgspec.json.encode(answer))
    return 1


def _read(request: Request, place: Path) -> Given:
    try:
        import dlt
    except ImportError as wrong:
        raise _Wrong(
            Answer(error=f"dlt is not installed: {wrong}", do="python -m pip install 'millstream[dlt]'")
        ) from None
    rows = Rows(request)

    @dlt.destination(  # type: ignore[untyped-decorator, unused-ignore]
        batch_size=0,
        loader_file_format="typed-jsonl",
        name="millstream",
        naming_convention="direct",
        max_table_nesting=0,
        skip_dlt_columns_and_tables=True,
        max_parallel_load_jobs=1,
    )
    def lake(items: Any, table: Any) -> None:
        if rows.table and rows.table["name"] != table["name"]:
            raise _Wrong(
                Answer(error=f"it gives two tables, {rows.table['name']} and {table['name']}", expected="one table")
            )
        rows.take(items, table)

    resource = _resource(request)
    pipeline = dlt.pipeline("rows", destination=lake, pipelines_dir=str(place / "dlt"), dataset_name="rows")
    pipeline.config.restore_from_destination = False
    with pipeline.managed_state() as state:
        state["sources"] = _json().typed_loads(request.state)
    pipeline.run(resource)
    return rows.given(_json().typed_dumps(pipeline.state.get("sources", {})))


def _resource(request: Request) -> Any:
    """Find the one resource that is to be read."""
    module, _, name = request.resource.partition(":")
    function = getattr(importlib.import_module(module), name, None)
    if function is None:
        raise _Wrong(Answer(error=f"module {module} has no function {name}", expected="def that gives a dlt resource"))
    made = function(**request.arguments) if callable(function) else function
    several = getattr(made, "resources", None)
    if several is None:
        if not hasattr(made, "write_disposition"):
            raise _Wrong(
                Answer(error=f"{name} gave a {type(made).__name__}", expected="a dlt resource: @dlt.resource, rest_api")
            )
        return made
    there = list(several)
    wanted = request.name or (there[0] if len(there) == 1 else "")
    if wanted not in there:
        said = f"{name} has no resource {request.name!r}" if request.name else f"{name} has {len(there)} resources"
        raise _Wrong(Answer(error=said, expected=f"name= of sources.Dlt: one of {', '.join(there)}"))
    return made.with_resources(wanted)


def _lines(file: str) -> Iterator[list[dict[str, Any]]]:
    with contextlib.ExitStack() as held:
        opened = held.enter_context(Path(file).open("rb"))
        lines = held.enter_context(gzip.open(opened)) if file.endswith(".gz") else opened
        for line in lines:
            if line.strip():
                yield _json().typed_loadb(line)


def _json() -> Any:
    from dlt.common.json import json

    return json


def _root(wrong: BaseException) -> BaseException:
    """Find what the user's code or its server said, beneath what dlt says about it."""
    while wrong.__cause__ is not None:
        wrong = wrong.__cause__
    return wrong


def _hidden(text: str) -> str:
    """Leave out the values of secrets, as dlt finds them: in the environment and in ``.dlt/secrets.toml``."""
    values = [value for name, value in os.environ.items() if _SECRET.search(name)]
    file = Path(".dlt/secrets.toml")
    if file.is_file():
        values += re.findall(r'=\s*["\']([^"\']+)["\']', file.read_text(encoding="utf-8"))
    for each in sorted((value for value in values if len(value) > 3), key=len, reverse=True):
        text = text.replace(each, "***")
    return text


if __name__ == "__main__":
    sys.exit(main())
