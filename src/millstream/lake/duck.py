"""DuckDB over frames. The lake's only file that imports duckdb; one connection for each thread."""

from __future__ import annotations

import atexit
import functools
import tempfile
import threading
from collections.abc import Mapping
from typing import Any

import duckdb
import polars as pl
from duckdb.func import FunctionNullHandling

from millstream.errors import UserError
from millstream.expressions.duckdb import MACROS, functions

_here = threading.local()


class _Stream:
    """An Arrow stream and nothing else: neither DuckDB nor Polars then looks for pyarrow or keeps a reference."""

    def __init__(self, held: Any) -> None:
        self._held = held

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._held.__arrow_c_stream__(requested_schema)


def run(sql: str, tables: Mapping[str, pl.DataFrame], *, limit_s: float | None = None) -> pl.DataFrame:
    """Run a query over frames by name, in UTC, with no way to files or the network; stop it after ``limit_s``.

    Raises
    ------
    UserError
        With what DuckDB says, or when it took too long.
    """
    connection = _connection()
    late = threading.Event()

    def stop() -> None:
        late.set()
        connection.interrupt()

    timer = threading.Timer(limit_s or 0.0, stop)
    timer.daemon = True
    if limit_s is not None:
        timer.start()
    try:
        for name, frame in tables.items():
            connection.register(name, _Stream(frame))
        return pl.DataFrame(_Stream(connection.sql(sql)))
    except (duckdb.Error, pl.exceptions.ComputeError) as wrong:
        if late.is_set():
            raise UserError(
                f"the query was stopped after {limit_s:g} s",
                expected="an answer in that time: others wait for it",
                do="read fewer rows; for long work: millstream.open('.').table(NAME).frame() in a notebook",
            ) from None
        raise UserError(f"the query fails: {wrong}", do="try it with millstream sql") from None
    finally:
        timer.cancel()
        for name in tables:
            connection.unregister(name)


def _connection() -> duckdb.DuckDBPyConnection:
    kept: duckdb.DuckDBPyConnection | None = getattr(_here, "connection", None)
    if kept is None:
        kept = duckdb.connect(":memory:")
        kept.execute("SET TimeZone='UTC'")
        kept.execute("SET python_enable_replacements=false")
        kept.execute("SET temp_directory=?", [_aside()])
        kept.execute("SET enable_external_access=false")
        kept.execute("SET asof_loop_join_threshold=0")  # frames say no size: each would be looked through for each row
        _teach(kept)
        kept.execute("SET lock_configuration=true")
        _here.connection = kept
    return kept


@functools.cache
def _aside() -> str:
    """Return a folder for what does not fit into memory, gone with this process; DuckDB's own is where one stands."""
    folder = tempfile.TemporaryDirectory(prefix="millstream-duckdb-")
    atexit.register(folder.cleanup)
    return folder.name


def _teach(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a connection the functions of the row language that DuckDB has not."""
    for name, (function, returned) in functions().items():
        connection.create_function(
            name, function, ["DATE", "VARCHAR"], returned, null_handling=FunctionNullHandling.SPECIAL
        )
    for macro in MACROS:
        connection.execute(f"CREATE MACRO {macro}")
