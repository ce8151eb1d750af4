"""A table's contract: its schema and its checks, in words, and what is wrong with how they are written."""

from __future__ import annotations

from typing import Literal, NoReturn

import msgspec

from millstream.checks.report import CheckResult
from millstream.checks.words import percent, value
from millstream.definitions.checks import (
    Agrees,
    Between,
    Check,
    Complete,
    Defaults,
    Expected,
    Fresh,
    Frozen,
    Holds,
    Imported,
    Isin,
    Lag,
    Matches,
    NewCategory,
    Nulls,
    Outliers,
    Own,
    Query,
    References,
    Unique,
    Volume,
    Zeros,
)
from millstream.definitions.noticed import NOTICES
from millstream.definitions.table import Table
from millstream.errors import DefinitionError, near
from millstream.types import Schema, parse_duration

_NUMBERS = ("bigint", "double")


def kind(check: Check) -> str:
    """Return the word a check is declared with.

    >>> kind(Nulls(column="tailnum", at_most=0.05, severity="warn"))
    'nulls'
    """
    return str(type(check).__struct_config__.tag)


def subject(table: Table, check: Check) -> str:
    """Name what a check is about."""
    match check:
        case Imported():
            return subject(table, check.check)
        case Own():
            return f"{table.name}: {check.test}"
        case Query():
            return f"{table.name}: {check.name or check.sql}"
        case Unique(columns=columns):
            return f"{table.name}.{','.join(columns)}"
        case Between() | Nulls() | References() | Isin() | Matches() | Outliers():
            return f"{table.name}.{check.column}"
        case Agrees():
            return f"{table.name}: {check.expression}"
        case Lag():
            return table.name
        case Holds(expression=text):
            return f"{table.name}: {text}"
        case Fresh():
            return f"{table.name}.{table.event_time}" if table.event_time else table.name
        case Complete():
            return f"{table.name}.{check.key}"
        case (
            Expected(columns=columns) | NewCategory(columns=columns) | Zeros(columns=columns) | Frozen(columns=columns)
        ):
            return f"{table.name}.{','.join(columns)}" if columns else table.name
        case Volume() | Defaults():
            return table.name


def wording(check: Check) -> str:
    """Say what a check demands.

    >>> wording(Nulls(column="tailnum", at_most=0.05, severity="warn"))
    'tailnum: at most 5 % NULL'
    """
    match check:
        case Imported():
            return f"{wording(check.check)}, by {check.origin}"
        case Own():
            return f"{check.test}, as {check.library} runs it" if check.spec else f"{check.origin}: cannot be run here"
        case Query():
            return f"{check.name or check.sql}: no rows"
        case Unique(columns=columns):
            return f"{', '.join(columns)}: no two rows alike, corrections aside"
        case Between():
            return f"{check.column}: from {value(check.low)} to {value(check.high)}"
        case Nulls():
            return f"{check.column}: at most {percent(check.at_most)} NULL"
        case Isin():
            return f"{check.column}: one of {', '.join(value(each) for each in check.values)}"
        case Matches():
            return f"{check.column}: matches {check.pattern}"
        case Outliers():
            return f"{check.column}: at most {percent(check.at_most)} lie {check.spreads:g} spreads from the median"
        case Agrees():
            return f"{check.expression}: equals {check.value} of {check.table} with the same {check.on}"
        case Lag():
            return f"rows come at most {check.within} after they are known"
        case Holds():
            return f"{check.expression}: never false"
        case References():
            return f"{check.column}: found in {check.to}"
        case Fresh():
            return f"newest event at most {check.within} old"
        case Complete():
            habit = percent(check.at_least)
            return f"{check.key}: at least {habit} of a day's habitual share of what {check.against} expects"
        case Expected() | Volume() | NewCategory() | Zeros() | Frozen() | Defaults():
            return habitual(check)


def habitual(check: Expected | Volume | NewCategory | Zeros | Frozen | Defaults) -> str:
    """Say what a check demands that learns what is usual."""
    match check:
        case Expected():
            each = "day" if check.every == "1d" else "week"
            usual = f"{check.seen} of {check.of} like {each}s"
            share = percent(check.at_least)
            return f"{', '.join(check.columns)}: each {each} has what {usual} had, at least {share} of the habit"
        case Volume():
            each = "day" if check.every == "1d" else "week"
            return f"rows of a {each}: {check.at_least:g} to {check.at_most:g} times the habit"
        case NewCategory():
            return f"{', '.join(check.columns) or 'texts of few values'}: no value that never was"
        case Zeros():
            return f"{', '.join(check.columns) or 'numbers'}: no more zeros than usual, in any group"
        case Frozen():
            return f"{', '.join(check.columns) or 'columns'}: vary as usual"
        case Defaults():
            return f"not noticed unasked: {', '.join(check.off) or 'nothing is turned off'}"


def validate_habitual(
    table: Table, check: Expected | Volume | NewCategory | Zeros | Frozen | Defaults, schema: Schema
) -> None:
    """Refuse a check that learns what is usual where it cannot."""
    for each in getattr(check, "columns", ()):
        _column(table, check, each, schema)
    match check:
        case Expected() | Volume():
            if table.event_time is None:
                _refuse(table, check, "needs an event time, which the table has not", "Table(..., event_time='column')")
            if check.every not in ("1d", "1w"):
                _refuse(table, check, f"has every={check.every!r}", "'1d' or '1w'")
            if isinstance(check, Volume):
                if not 0 <= check.at_least < check.at_most:
                    found = f"has at_least={check.at_least} and at_most={check.at_most}"
                    _refuse(table, check, found, "0 <= at_least < at_most")
                return
            if not check.columns:
                _refuse(table, check, "names no column", "expected('store_id', 'category', ...)")
            _share(table, check, check.at_least, "at_least")
            if not 1 <= check.seen <= check.of:
                _refuse(table, check, f"has seen={check.seen} and of={check.of}", "1 <= seen <= of")
        case Defaults():
            for each in check.off:
                what, _, column = each.partition(".")
                if what not in NOTICES:
                    _refuse(table, check, f"turns off {each!r}, which is nothing that is noticed", near(what, NOTICES))
                if column:
                    _column(table, check, column, schema)
        case _:
            pass


def validate_values(table: Table, check: Isin | Matches | Outliers | Agrees | Lag, schema: Schema) -> None:
    """Refuse a check of values where it cannot be asked."""
    match check:
        case Isin():
            _column(table, check, check.column, schema)
            _one_type(table, check, schema[check.column])
        case Matches():
            _column(table, check, check.column, schema)
            if schema[check.column] != "varchar":
                _refuse(table, check, f"needs texts, and {check.column} is {schema[check.column]}", "a varchar column")
            wrong = wrong_pattern(check.pattern)
            if wrong:
                found = f"has a pattern that is no regular expression: {check.pattern!r}"
                _refuse(table, check, found, f"one of Rust's regex, without look-around; it says: {wrong}")
        case Outliers():
            _column(table, check, check.column, schema)
            if schema[check.column] not in _NUMBERS:
                _refuse(table, check, f"needs numbers, and {check.column} is {schema[check.column]}", "a number column")
            _share(table, check, check.at_most, "at_most")
            if not check.spreads > 0:
                _refuse(table, check, f"has spreads={check.spreads}", "a number above 0")
        case Lag():
            _fresh(table, check)
        case Agrees():
            pass  # both tables' expressions are parsed where they are asked; their errors carry a caret


def wrong_pattern(pattern: str) -> str:
    """Say what is wrong with a regular expression; empty where nothing is.

    >>> wrong_pattern("[A-Z]{3}"), wrong_pattern("[A-Z") != ""
    ('', True)
    """
    import polars as pl

    try:
        pl.select(pl.lit("").str.contains(pattern))
    except pl.exceptions.ComputeError as wrong:
        return " ".join(str(wrong).partition("\n\nThis error")[0].split())[:300]
    return ""


def _one_type(table: Table, check: Isin, dtype: str) -> None:
    """Refuse a set whose values are not of the column's type."""
    fits: dict[str, tuple[type, ...]] = {
        "varchar": (str,),
        "boolean": (bool,),
        "bigint": (int,),
        "double": (int, float),
    }
    if dtype not in fits:
        _refuse(table, check, f"cannot compare {check.column}, which is {dtype}", "a text, number or boolean column")
    if not check.values:
        _refuse(table, check, "names no value", "isin('column', ['a', 'b'])")
    for each in check.values:
        if not isinstance(each, fits[dtype]) or (isinstance(each, bool) and dtype != "boolean"):
            _refuse(table, check, f"has the value {each!r}, and {check.column} is {dtype}", f"values of type {dtype}")


def summary(table: Table, schema: Schema) -> tuple[str, ...]:
    """Say a table's contract in lines: its columns, its key, then each check with its severity."""
    columns = ", ".join(f"{name} {dtype}" for name, dtype in schema.items())
    lines = [f"columns: {columns}"]
    if table.key:
        lines.append(f"key: {', '.join(table.key)}")
    if table.event_time:
        lines.append(f"event time: {table.event_time}; usable {table.lag} after it is known")
    return (*lines, *(f"{wording(each)} ({each.severity})" for each in table.checks))


def validate(table: Table, check: Check, schema: Schema) -> None:
    """Refuse a check that cannot be asked of a table with this schema.

    Raises
    ------
    DefinitionError
        For a column the table has not (near matches are named), a type the check is not for, or an odd limit.
    """
    match check:
        case Imported():
            validate(table, check.check, schema)
        case Unique(columns=columns):
            if not columns:
                _refuse(table, check, "names no column", "unique('column', ...)")
            for each in columns:
                _column(table, check, each, schema)
        case Between():
            _column(table, check, check.column, schema)
            if schema[check.column] not in _NUMBERS:
                found = f"needs numbers, and {check.column} is {schema[check.column]}"
                _refuse(table, check, found, "a bigint or double column; for others write holds('...')")
            if not check.low <= check.high:
                _refuse(table, check, f"has bounds {check.low} and {check.high}", "low <= high")
        case Nulls():
            _column(table, check, check.column, schema)
            _share(table, check, check.at_most, "at_most")
        case References():
            _column(table, check, check.column, schema)
            if check.to.count(".") != 1:
                _refuse(table, check, f"points to {check.to!r}", "'table.column'")
        case Complete():
            _column(table, check, check.key, schema)
            _share(table, check, check.at_least, "at_least")
        case Fresh():
            _fresh(table, check)
        case Isin() | Matches() | Outliers() | Agrees() | Lag():
            validate_values(table, check, schema)
        case Expected() | Volume() | NewCategory() | Zeros() | Frozen() | Defaults():
            validate_habitual(table, check, schema)
        case Holds() | Own() | Query():
            pass  # the expression is parsed where it is asked; its errors carry a caret


class Change(msgspec.Struct, frozen=True):
    """One column that is not as the contract has it.

    Parameters
    ----------
    column
        Its name.
    what
        ``missing``, ``new`` or ``type``.
    says
        One phrase.
    """

    column: str
    what: Literal["missing", "new", "type"]
    says: str


def changes(expected: Schema, found: Schema) -> tuple[Change, ...]:
    """Compare a schema with the one expected: missing columns, changed types, then new columns.

    >>> [each.says for each in changes({"wind": "double"}, {"wind": "varchar", "gust": "double"})]
    ['wind was double and is varchar', 'gust (double) is new']
    """
    missing = [
        Change(name, "missing", f"{name} ({dtype}) is missing{_renamed(name, dtype, expected, found)}")
        for name, dtype in expected.items()
        if name not in found
    ]
    changed = [
        Change(name, "type", f"{name} was {dtype} and is {found[name]}")
        for name, dtype in expected.items()
        if name in found and found[name] != dtype
    ]
    new = [Change(name, "new", f"{name} ({dtype}) is new") for name, dtype in found.items() if name not in expected]
    return (*missing, *changed, *new)


def compare(table: str, expected: Schema, found: Schema) -> CheckResult:
    """Check a schema: a missing column or a changed type stops, a new column is a note."""
    all_changes = changes(expected, found)
    breaking = [each for each in all_changes if each.what != "new"]
    said = "; ".join(each.says for each in all_changes)
    return CheckResult(
        check="schema",
        subject=table,
        severity="stop" if breaking or not all_changes else "note",
        ok=not all_changes,
        failed_rows=0,
        share=None,
        threshold=None,
        says=f"{table}: {said}" if said else f"{table}: {len(found)} columns, as the contract has them",
        detail={"changes": [msgspec.to_builtins(each) for each in all_changes]},
    )


def _renamed(name: str, dtype: str, expected: Schema, found: Schema) -> str:
    candidates = [each for each in found if each not in expected and found[each] == dtype]
    said = near(name, candidates) if candidates else ""
    return f" ({said})" if said.startswith("did you mean") else ""


def _column(table: Table, check: Check, name: str, schema: Schema) -> None:
    if name not in schema:
        _refuse(table, check, f"names column {name!r}, which the table has not", near(name, schema))


def _share(table: Table, check: Check, share: float, name: str) -> None:
    if not 0 <= share <= 1:
        _refuse(table, check, f"has {name}={share}", "a share from 0 to 1")


def _fresh(table: Table, check: Fresh | Lag) -> None:
    if table.event_time is None:
        _refuse(table, check, "needs an event time, which the table has not", "Table(..., event_time='column')")
    try:
        parse_duration(check.within)
    except ValueError as wrong:
        _refuse(table, check, f"has within={check.within!r}", str(wrong))


def _refuse(table: Table, check: Check, happened: str, expected: str) -> NoReturn:
    raise DefinitionError(f"check {kind(check)!r} of table {table.name!r} {happened}", expected=expected)
