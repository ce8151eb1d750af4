"""Suites people already have, as checks: ``checks=[checks.unique("id"), *checks.suite.dbt("models/schema.yml", ...)]``.

Each function reads a suite and returns checks: its tests translated where they can be, and the others to be run by
their own library. Paths are relative to the project. A test keeps the severity its suite gives it: critical, warning
and info of Great Expectations are ``stop``, ``warn`` and ``note``, error and warn of dbt ``stop`` and ``warn``; one
that has none is ``warn``, and dbt's default is error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from millstream.definitions.severity import Severity

if TYPE_CHECKING:
    from millstream.definitions.checks import Check

__all__ = ["dbt", "great_expectations", "pandera"]


def great_expectations(file: str, *, severity: Severity | None = None, without: Iterable[str] = ()) -> list[Check]:
    """Read a suite of Great Expectations: the JSON that 1.x and 0.18 write.

    Parameters
    ----------
    file
        The suite, relative to the project.
    severity
        For all its expectations, in place of what they say.
    without
        Expectations to leave out, by type, for instance ``"expect_column_values_to_be_of_type"``.

    Raises
    ------
    DefinitionError
        For a file that is not there or holds no suite.
    """
    from millstream.definitions.suites import great_expectations as suites

    return suites.read(file, severity=severity, without=frozenset(without))


def pandera(schema: str, *, severity: Severity | None = None, without: Iterable[str] = ()) -> list[Check]:
    """Read a schema of Pandera: ``"module:NAME"`` of the project, or the YAML that ``to_yaml`` writes.

    Parameters
    ----------
    schema
        Where it is. A ``DataFrameSchema`` or a ``DataFrameModel``, of Polars or pandas.
    severity
        For all its checks; left out, ``warn``.
    without
        Checks to leave out, by ``column.check``, for instance ``"amount.greater_than"``.

    Raises
    ------
    DefinitionError
        For a module, name or file that is not there or no schema.
    """
    from millstream.definitions.suites import pandera as suites

    return suites.read(schema, severity=severity, without=frozenset(without))


def dbt(
    file: str,
    *,
    model: str,
    tables: Mapping[str, str] | None = None,
    tests: str = "",
    severity: Severity | None = None,
    without: Iterable[str] = (),
) -> list[Check]:
    """Read the tests dbt has of a model: those of a ``schema.yml``, and singular ones.

    Parameters
    ----------
    file
        The file with ``models:`` (or ``sources:``), relative to the project.
    model
        The model, or ``source.table``.
    tables
        What ``ref`` and ``source`` name to the lake's table, where they differ: ``{"raw.orders": "orders"}``.
    tests
        Pattern of singular tests, SQL whose rows are failures, relative to the project: ``"dbt/tests/*.sql"``. Those
        that name the model are taken.
    severity
        For all tests, in place of what they say.
    without
        Tests to leave out, by name, for instance ``"expect_row_values_to_have_recent_data"``.

    Raises
    ------
    DefinitionError
        For a file or model that is not there, or YAML that is none.
    """
    from millstream.definitions.suites import dbt as suites

    return suites.read(
        file, model=model, tables=dict(tables or {}), tests=tests, severity=severity, without=frozenset(without)
    )
