"""What the first definitions say of each table, and why: key, time, checks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import polars as pl

from millstream.cli.starting import names
from millstream.cli.starting.given import Given
from millstream.definitions.sources import Csv, Delta, Parquet, Postgres
from millstream.errors import BadData, NotFound, UserError, near
from millstream.profiling import TableProfile, profile
from millstream.sources.told import Reference

MOST_CHECKS = 8
FIRST_YEAR, LAST_YEAR = 1000, 2999
"""Years beyond which a time stands for none, as 0001-01-01 and 9999-12-31 do."""
MOST_AHEAD = 0.5
"""Share of rows whose time may lie ahead of today for it still to say when a row happened."""


@dataclass(frozen=True)
class TableGuess:
    """A table as the definitions will say it.

    Parameters
    ----------
    given
        Its rows and where they come from.
    found
        Its profile.
    key, event_time
        What names a row, and when it happened (None: rows without time).
    checks
        What must hold, as Python text.
    says
        Word of the definition to what was seen and how to change it.
    """

    given: Given
    found: TableProfile
    key: tuple[str, ...]
    event_time: str | None
    checks: tuple[str, ...] = ()
    says: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the table."""
        return self.given.name

    @property
    def references(self) -> tuple[Reference, ...]:
        """Foreign keys that the database has."""
        return self.given.told.references if self.given.told is not None else ()

    @property
    def numbered(self) -> bool:
        """Whether its rows are numbered for want of a key."""
        return isinstance(self.given.source, Csv | Parquet) and bool(self.given.source.row_number)


def table(given: Given, *, key: Sequence[str] = (), time: str | None = None, label: str | None = None) -> TableGuess:
    """Guess a table's definition.

    Parameters
    ----------
    given
        The table.
    key, time
        What the person says; else they are looked for.
    label
        The column to predict, which is neither key nor time.

    Raises
    ------
    NotFound
        When the person names a column that is not there.
    UserError
        When an attached table has no key: nothing can be added to it.
    BadData
        When the key given does not name rows, or the time given is no time.
    """
    frame = given.frame
    key, time = [_known(given, each) for each in key], _known(given, time) if time else None
    _refuse_no_key(given, key)
    told = given.told
    declared = told.key if told is not None and set(told.key) <= set(frame.columns) - {label} else ()
    if time is not None and not isinstance(frame.schema[time], pl.Datetime):
        raise BadData(
            f"--time {time}: its values are {frame.schema[time]}, such as {frame[time].drop_nulls().head(1).to_list()}",
            expected="times, or texts in one known way of writing them",
        )
    found = profile(frame.drop(label) if label else frame, key=key or declared, event_time=time)
    if told is not None:
        found = msgspec.structs.replace(found, rows=told.rows)
    instants = [each for each in found.times if isinstance(frame.schema[each], pl.Datetime)]
    past = [
        each
        for each in instants
        if frame[each].null_count() == 0 and _ahead(frame, each) <= MOST_AHEAD and not _stands_for_none(frame, each)
    ]
    event_time = time or next(iter(past), None)
    says = {"time": _says_time(frame, event_time, instants)}
    if found.keys:
        chosen = found.keys[0]
        others = [" + ".join(each) for each in found.keys[1:3]]
        says["key"] = (
            "as you said"
            if key
            else f"the database says so: its {'primary' if told and told.primary else 'unique'} key"
            if declared
            else "it has a value of its own in every row" + (f" (so has {', '.join(others)})" if others else "")
        )
        if len(chosen) > 1 and not key and not declared:
            says["key"] = "no column has a value of its own in every row, but these two together do"
    else:
        given, chosen = _numbered(given)
        says["key"] = (
            "no column has a value of its own in every row, so rows are numbered as they lie in the file; "
            "add rows only at its end, or name a column that names rows"
        )
    return TableGuess(given, found, chosen, event_time, says=says)


def with_checks(guess: TableGuess, features: Sequence[str]) -> TableGuess:
    """Add checks: the key is unique, columns that are read are no emptier than now, and signs stay."""
    checks = []
    if not guess.numbered:
        checks.append(f"checks.unique({', '.join(map(repr, guess.key))})")
    columns = [guess.found.column(each) for each in features if each not in guess.key]
    required = set(guess.given.told.required) if guess.given.told is not None else set()
    checks += [f"checks.nulls({each.name!r})" for each in columns if each.name in required]
    for each in columns[:MOST_CHECKS]:
        if each.null_share < 0.5 and each.name not in required:
            checks.append(f"checks.nulls({each.name!r}, at_most={math.ceil(each.null_share * 100 + 5) / 100:g})")
    signed = [each for each in columns if each.quantiles and each.low is not None and float(each.low) >= 0]
    for each in signed[:MOST_CHECKS]:
        held = f"{names.sql(each.name, guess.given.schema)} >= 0"
        checks.append(f"checks.holds({held!r}, severity='note')")
    return dataclasses.replace(guess, checks=tuple(checks))


def with_references(guess: TableGuess, others: Sequence[TableGuess]) -> TableGuess:
    """Add a check for each foreign key to a table that the project has."""
    tables = {each.given.own_name: each for each in others}
    said = tuple(
        f"checks.references({each.column!r}, {f'{tables[each.table].name}.{each.to}'!r}, severity='note')"
        for each in guess.references
        if each.table in tables and each.to in tables[each.table].given.frame.columns
    )
    return dataclasses.replace(guess, checks=(*guess.checks, *said))


def _known(given: Given, name: str) -> str:
    """Find a column by its name in the file or in the table."""
    if name in given.frame.columns:
        return name
    rename = {} if isinstance(given.source, Delta) else given.source.rename
    if name in rename:
        return rename[name]
    raise NotFound(f"{given.file.name} has no column {name!r}", do=near(name, [*given.frame.columns, *rename]))


def _refuse_no_key(given: Given, key: Sequence[str]) -> None:
    if not key:
        return
    rows = given.frame.select(key)
    empty = sum(rows.null_count().row(0))
    twice = rows.height - rows.n_unique()
    if empty or twice:
        raise BadData(
            f"--key {' '.join(key)} does not name the rows of {given.file.name}: "
            f"{empty:,} have no value, {twice:,} repeat one",
            expected="a value of its own in every row",
            do="leave --key out to have rows numbered",
        )


def _numbered(given: Given) -> tuple[Given, tuple[str]]:
    if isinstance(given.source, Delta | Postgres):
        kind = "Delta" if isinstance(given.source, Delta) else "PostgreSQL"
        raise UserError(
            f"the {kind} table {given.file.name} has no usable key: no column, and no pair of an entity and a time, "
            "has a value of its own in every row, and nothing can be added to a table that is read where it lies",
            expected="a column that names rows",
            do="--key COLUMN (or --key A --key B), or give a CSV or Parquet file, whose rows can be numbered",
        )
    name = names.apart("row_number", given.frame.columns)
    frame = given.frame.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(name), pl.all())
    source = msgspec.structs.replace(given.source, row_number=name)
    return dataclasses.replace(given, source=source, frame=frame), (name,)


def span(times: pl.Series) -> tuple[datetime, datetime]:
    """Return the first and last of some times, of which there is at least one."""
    low, high = times.min(), times.max()
    assert isinstance(low, datetime) and isinstance(high, datetime)
    return low, high


def _stands_for_none(frame: pl.DataFrame, column: str) -> bool:
    years = frame[column].dt.year()
    return bool(((years < FIRST_YEAR) | (years > LAST_YEAR)).any())


def _ahead(frame: pl.DataFrame, column: str) -> float:
    share = (frame[column] > datetime.now(UTC)).mean()
    return float(share) if isinstance(share, float) else 0.0


def _says_time(frame: pl.DataFrame, chosen: str | None, instants: Sequence[str]) -> str:
    if chosen is None:
        holes = [each for each in instants if frame[each].null_count()]
        later = [each for each in instants if _ahead(frame, each) > MOST_AHEAD]
        none = [each for each in instants if _stands_for_none(frame, each)]
        if none:
            low, high = span(frame[none[0]].drop_nulls())
            return (
                f"{none[0]} goes from the year {low.year} to {high.year}, some of which stand for no time: rows "
                "without time"
            )
        if later:
            return f"{later[0]} lies ahead of today, so it cannot say when a row happened: rows without time"
        if holes:
            return f"{holes[0]} has rows without a time, so it cannot say when each row happened: rows without time"
        return "no column says when a row happened: rows without time, taken as always known"
    others = [each for each in instants if each != chosen]
    low, high = span(frame[chosen])
    also = f"; there is also {', '.join(others[:4])}" if others else ""
    ahead = _ahead(frame, chosen)
    if ahead:
        also += f"; {ahead:.1%} of the rows lie ahead of today and are learnt from when their time has come"
    return f"from {low:%Y-%m-%d %H:%M} to {high:%Y-%m-%d %H:%M} (UTC){also}"
