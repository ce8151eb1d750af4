"""Checks that came with a suite of another tool: translated ones, and those its own library runs."""

from __future__ import annotations

import msgspec

from millstream.definitions.severity import Severity


class Query(msgspec.Struct, frozen=True, tag="query"):
    """A query returns no rows; those it returns, by the table's key, fail."""

    sql: str
    name: str
    severity: Severity


class Own(msgspec.Struct, frozen=True, tag="own"):
    """One test of a suite that could not be translated.

    Parameters
    ----------
    library
        ``great_expectations``, ``pandera`` or ``dbt``.
    test
        The test, as its suite names it.
    origin
        Library, file and test.
    spec
        What its own library needs to run it, as JSON; empty where nothing here can.
    why
        Why it was not translated.
    do
        What to do where it cannot be run.
    severity
        ``note``, ``warn`` or ``stop``.
    files
        Patterns of the files of the suite, relative to the project.
    digest
        Hash of what lay there.
    """

    library: str
    test: str
    origin: str
    spec: str
    why: str
    do: str
    severity: Severity
    files: tuple[str, ...] = ()
    digest: str = ""


def query(sql: str, *, name: str = "", severity: Severity = "warn") -> Query:
    """Require that a query returns no rows.

    Parameters
    ----------
    sql
        One SELECT in DuckDB's dialect: ``batch`` holds the rows that came, every other name is a table of the lake as
        it stands, the checked one included. Rows that bring the table's key columns are set aside by it.
    name
        What the query is about, for reports; left out, its text.
    severity
        ``note``, ``warn`` or ``stop``.
    """
    return Query(sql=" ".join(sql.split()) if "--" not in sql else sql, name=name, severity=severity)
