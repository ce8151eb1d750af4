"""DuckDB over frames. The lake's only file that imports duckdb; one connection for each thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import duckdb
import polars as pl

from millstream.errors import UserError

_here = threading.local()


class _Stream:
    """An Arrow stream and nothing else: neither DuckDB nor Polars then looks for pyarrow or keeps a reference."""

    def __init__(self, held: Any) -> None:
        self._held = held

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._held.__arrow_c_stream__(requested_schema)


def run(sql: str, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Run a query over frames by name, in UTC, with no way to files or the network.

    Raises
    ------
    UserError
        With what DuckDB says.
    """
    connection = _connection()
    try:
        for name, frame in tables.items():
            connection.register(name, _Stream(frame))
        return pl.DataFrame(_Stream(connection.sql(sql)))
    except duckdb.Error as wrong:
        raise UserError(f"the query fails: {wrong}", do="try it with millstream sql") from None
    finally:
        for name in tables:
            connection.unregister(name)


def _connection() -> duckdb.DuckDBPyConnection:
    kept: duckdb.DuckDBPyConnection | None = getattr(_here, "connection", None)
    if kept is None:
        kept = duckdb.connect(":memory:")
        kept.execute("SET TimeZone='UTC'")
        kept.execute("SET python_enable_replacements=false")
        kept.execute("SET enable_external_access=false")
        kept.execute("SET lock_configuration=true")
        _here.connection = kept
    return kept
