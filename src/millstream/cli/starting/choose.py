"""Which columns become features, and which do not, each with its reason; windows over the past; the split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from millstream.cli.starting import names
from millstream.cli.starting.guess import TableGuess, span
from millstream.cli.starting.target import Target
from millstream.profiling import Column, Suspect, suspects
from millstream.types import DType, Schema, parse_duration

MOST_FEATURES = 500
_REQUEST: tuple[DType, ...] = ("boolean", "bigint", "double", "varchar")
_MOST_TEXTS = 50
_ONE_HOT = 8


@dataclass(frozen=True)
class LeftOut:
    """A column that is no feature, and why."""

    column: str
    why: str


@dataclass(frozen=True)
class Feature:
    """One feature: name, expression, and what was seen of the column."""

    name: str
    expression: str
    says: str


@dataclass(frozen=True)
class Windows:
    """Features of an entity over its past rows, or of a row of another table.

    Parameters
    ----------
    view, table, entity
        Name of the view, its table, and the column of both that says whom a row is about.
    features
        Name to text of the definition.
    says
        Why, for the comment.
    on
        The rows' own columns that say whom they are about, where the database has foreign keys.
    """

    view: str
    table: str
    entity: str
    features: tuple[tuple[str, str], ...]
    says: str
    on: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the rows that say whom they are about."""
        return self.on or (self.entity,)

    @property
    def roles(self) -> tuple[str, ...]:
        """How the model names the view, for each of these columns, as Python text."""
        made = []
        for each in self.columns:
            name = f"{self.table}_by_{names.plain(each, fallback='row')}"
            made.append(
                self.view if each == self.entity else f"{self.view}.on({{{self.entity!r}: {each!r}}}, name={name!r})"
            )
        return tuple(made)


@dataclass(frozen=True)
class Choice:
    """Everything the model reads, and what it does not."""

    fields: dict[str, DType]
    features: tuple[Feature, ...]
    windows: tuple[Windows, ...]
    left_out: tuple[LeftOut, ...]
    says: tuple[str, ...]


def choose(guess: TableGuess, goal: Target, others: Sequence[TableGuess], *, linear: bool, delay: str) -> Choice:
    """Choose features.

    Parameters
    ----------
    guess, goal
        The rows' table and what is predicted.
    others
        Further tables.
    linear
        Whether the estimator is linear: texts become truth values then, one a frequent value.
    delay
        How long after its row a label is taken to be known.
    """
    frame, schema = guess.given.frame, guess.given.schema
    suspected = {
        each.column: each for each in suspects(frame.drop(_numbering(guess)), goal.column, event_time=guess.event_time)
    }
    usable: list[Column] = []
    left_out: list[LeftOut] = []
    for column in guess.found.columns:
        if column.name in (goal.column, guess.event_time):
            continue
        why = _not_a_feature(column, guess, schema[column.name], suspected.get(column.name)) or _named_row(
            column, guess
        )
        if why:
            left_out.append(LeftOut(column.name, why))
        else:
            usable.append(column)
    says = []
    if len(usable) > MOST_FEATURES:
        says.append(
            f"{len(usable):,} columns could be features; the first {MOST_FEATURES} with the fewest gaps are, "
            "chosen without looking at the label"
        )
        kept = {each.name for each in sorted(usable, key=lambda each: each.nulls)[:MOST_FEATURES]}
        over = [each.name for each in usable if each.name not in kept]
        left_out.append(LeftOut(f"{over[0]} ... {over[-1]}", f"{len(over):,} columns that are too many"))
        usable = [each for each in usable if each.name in kept]
    fields: dict[str, DType] = {each.name: schema[each.name] for each in usable}
    said_of = guess.given.told.comments if guess.given.told is not None else {}
    features = _features(usable, schema, linear=linear, said_of=said_of)
    if guess.event_time is not None:
        timed = _calendar(guess, names.sql(guess.event_time, schema), taken=[each.name for each in features])
        features += timed
        if timed:
            fields[guess.event_time] = "timestamptz"
    windows = [*_past(guess, goal, suspected, delay=delay), *_looked_up(guess, others)]
    return Choice(fields, tuple(features), tuple(windows), tuple(left_out), tuple(says))


def _numbering(guess: TableGuess) -> tuple[str, ...]:
    return guess.key if guess.numbered else ()


def _not_a_feature(column: Column, guess: TableGuess, kind: DType, suspect: Suspect | None) -> str:
    """Say why a column should not be a feature; empty when it may be one."""
    if suspect is not None:
        kind_of_leak = "known only afterwards" if suspect.reason == "later" else "it may tell the answer"
        return f"LEAK? {suspect.says}" if suspect.reason != "later" else f"LEAK? {kind_of_leak}: {suspect.says}"
    if guess.key == (column.name,):
        return "it is the key: it names the row and says nothing about another one"
    if column.role in ("empty", "constant", "near_constant", "id", "near_unique"):
        return column.says[-1] if column.says else column.role
    if kind not in _REQUEST:
        return "a time: write what of it matters, such as its hour, as an expression"
    if column.kind == "text" and column.distinct > max(_MOST_TEXTS, (column.rows - column.nulls) // 20):
        return f"{column.distinct:,} different texts are too many to learn from each"
    if column.null_share > 0.98:
        return f"{column.null_share:.1%} of the rows have no value"
    return ""


def _named_row(column: Column, guess: TableGuess) -> str:
    """Say which row of another table a number names, where the database says so."""
    found = [each for each in guess.references if each.column == column.name]
    if not found or column.kind != "integer":
        return ""
    return f"a foreign key: it names a row of {found[0].table}, and is no quantity"


def _features(usable: Sequence[Column], schema: Schema, *, linear: bool, said_of: Mapping[str, str]) -> list[Feature]:
    made: list[Feature] = []
    taken: list[str] = []

    def add(name: str, expression: str, says: str) -> None:
        taken.append(names.apart(names.plain(name, fallback=f"feature_{len(taken) + 1}"), taken))
        made.append(Feature(taken[-1], expression, says))

    for each in usable:
        written = names.sql(each.name, schema)
        if linear and each.kind == "text":
            for count in each.top[:_ONE_HOT]:
                if not count.value.endswith("…"):
                    add(f"{each.name}_{count.value}", f"{written} = {names.text(count.value)}", f"{count.rows:,} rows")
        else:
            comment = f'; "{said_of[each.name]}"' if each.name in said_of else ""
            add(each.name, written, _seen(each) + comment)
    return made


def _seen(column: Column) -> str:
    """Write in a few words what was seen of a column."""
    share = "<1%" if column.null_share < 0.01 else f"{column.null_share:.0%}"
    gaps = f", {share} without a value" if column.nulls else ""
    if column.kind == "boolean":
        return f"true in {column.mean or 0:.0%}{gaps}"
    if column.kind == "text":
        return f"{column.distinct:,} texts, most often {column.top[0].value!r}{gaps}" if column.top else f"texts{gaps}"
    return f"{column.low} to {column.high}, median {column.quantiles.get('0.5', 0):.4g}{gaps}"


def _calendar(guess: TableGuess, written: str, *, taken: Sequence[str]) -> list[Feature]:
    """Make features of the event time: the hour where there are hours, the day of the week where there are weeks."""
    assert guess.event_time is not None
    times = guess.given.frame[guess.event_time]
    zone = guess.says["zone"]
    local = times.dt.convert_time_zone(zone)
    made = []
    if local.dt.hour().n_unique() > 1:
        made.append(Feature(names.apart("hour_of_day", taken), f"hour({written} at time zone '{zone}')", "of its time"))
    if _span(times) >= timedelta(days=14):
        made.append(Feature(names.apart("weekday", taken), f"isodow({written} at time zone '{zone}')", "1 is Monday"))
    return made


def _past(guess: TableGuess, goal: Target, suspected: dict[str, Suspect], *, delay: str) -> list[Windows]:
    """Make windows over the label of an entity's past rows: known only ``delay`` after each."""
    if guess.event_time is None or goal.task == "multiclass":
        return []
    span = _span(guess.given.frame[guess.event_time])
    lengths = [
        each
        for each in ("28d", "7d", "1d")
        if parse_duration(each) * 4 <= span and parse_duration(each) > 2 * parse_duration(delay)
    ][:2]
    if not lengths:
        return []
    made = []
    for column in _entities(guess, goal, suspected)[:2]:
        features = [(f"mean_{each}", f"f.mean({goal.expression!r}, over={each!r})") for each in lengths]
        features.append((f"rows_{lengths[0]}", f"f.count({goal.expression!r}, over={lengths[0]!r})"))
        view = names.plain(f"{column.name}_past", fallback="past")
        says = (
            f"{column.distinct:,} different {column.name} in {column.rows:,} rows: what became of its earlier rows, as "
            f"far as it was known ({delay} after each) when the prediction was made"
        )
        made.append(Windows(view, guess.name, column.name, tuple(features), says))
    return made


def _entities(guess: TableGuess, goal: Target, suspected: dict[str, Suspect]) -> list[Column]:
    named = {each.column for each in guess.references}
    found = [
        each
        for each in guess.found.columns
        if each.name not in (goal.column, guess.event_time)
        and guess.key != (each.name,)
        and suspected.get(each.name) is None
        and each.kind in ("text", "integer")
        and 2 <= each.distinct <= max(2, each.rows // 5)
        and each.null_share < 0.5
        and (
            each.role == "id"
            or each.name in named
            or (each.kind == "text" and each.role == "usable")
            or each.name in guess.key
        )
    ]
    return sorted(
        found,
        key=lambda each: (each.name not in guess.key, each.role != "id" and each.name not in named, -each.distinct),
    )


def _looked_up(guess: TableGuess, others: Sequence[TableGuess]) -> list[Windows]:
    """Make views of other tables that share a column with the rows: their last values, their past rows."""
    made = []
    mine = guess.given.schema
    for other in others:
        theirs = other.given.schema
        shared = [
            name
            for name in theirs
            if name in mine
            and theirs[name] == mine[name]
            and name not in (guess.event_time, other.event_time)
            and theirs[name] in ("varchar", "bigint")
        ]
        by_key = [name for name in shared if other.key == (name,)]
        keys = [each for each in guess.references if each.table == other.given.own_name and (each.to,) == other.key]
        on = tuple(each.column for each in keys if mine.get(each.column) == theirs.get(each.to))
        entity = (
            other.key[0]
            if on
            else next(
                iter([*by_key, *(name for name in shared if other.found.column(name).role == "id"), *shared]), None
            )
        )
        if entity is None or (other.event_time is None and not by_key and not on):
            continue
        usable = [
            each
            for each in other.found.columns
            if each.role == "usable"
            and each.name != entity
            and theirs[each.name] in _REQUEST
            and (each.kind != "text" or each.distinct <= _MOST_TEXTS)
        ][:12]
        features = [
            (names.plain(each.name, fallback=f"value_{place}"), f"f.last({names.sql(each.name, theirs)!r})")
            for place, each in enumerate(usable, start=1)
        ]
        if other.event_time is not None:
            features.append(("rows_7d", "f.count(over='7d')"))
        if features:
            unique = {
                names.apart(name, [one for one, _ in features[:place]]): said
                for place, (name, said) in enumerate(features)
            }
            says = f"{other.name} has the column {entity} too: the last row of it that was known"
            if on:
                says = (
                    f"foreign key: {', '.join(on)} names a row of {other.name} by {entity}; what was last known of it"
                )
            made.append(
                Windows(
                    names.apart(f"{other.name}_of_{names.plain(entity, fallback='row')}", []),
                    other.name,
                    entity,
                    tuple(unique.items()),
                    says,
                    on,
                )
            )
    return made


def _span(times: pl.Series) -> timedelta:
    low, high = span(times)
    return high - low


def label_delay(guess: TableGuess) -> str:
    """Guess how long after its row a label becomes known: the longest of a few lengths that the data can bear."""
    if guess.event_time is None:
        return "0s"
    span = _span(guess.given.frame[guess.event_time])
    return next((each for each in ("1d", "1h", "1m") if span >= 30 * parse_duration(each)), "1s")


def hold_out(guess: TableGuess, goal: Target, *, delay: str) -> tuple[str, int] | None:
    """Choose length and number of the hold-outs: the last fifth of the rows, twice if the rest allows.

    Where one side would then hold one class only, a longer or shorter one is chosen.
    """
    if guess.event_time is None:
        return None
    labelled = guess.given.frame.filter(pl.col(goal.column).is_not_null()).sort(guess.event_time)
    times = labelled[guess.event_time]
    end = span(times)[1]
    lengths = [
        _length(end - span(times.slice(int(share * times.len())))[0]) for share in (0.8, 0.7, 0.6, 0.5, 0.9, 0.95)
    ]
    number, unit, seconds = next(
        (each for each in lengths if goal.task == "regression" or _both_sides(labelled, goal, each, guess, delay)),
        lengths[0],
    )
    before = times.filter(times < end - timedelta(seconds=2 * number * seconds))
    enough = before.len() >= times.len() // 3 and number == lengths[0][0] and unit == lengths[0][1]
    return f"{number}{unit}", 2 if enough else 1


def _length(wanted: timedelta) -> tuple[int, str, int]:
    """Write a length of time in whole units: their number, the unit, and its seconds."""
    length = wanted.total_seconds()
    unit, seconds = next(((u, s) for u, s in (("d", 86_400), ("h", 3_600), ("m", 60)) if length >= 2 * s), ("s", 1))
    return max(1, math.ceil(length / seconds)), unit, seconds


def _both_sides(
    labelled: pl.DataFrame, goal: Target, length: tuple[int, str, int], guess: TableGuess, delay: str
) -> bool:
    """Say whether more than one class is learnt from, and judged on."""
    assert guess.event_time is not None
    times = labelled[guess.event_time]
    cut = span(times)[1] - timedelta(seconds=length[0] * length[2])
    fit = labelled.filter(times + parse_duration(delay) <= cut)[goal.column]
    test = labelled.filter(times > cut)[goal.column]
    return min(fit.n_unique(), test.n_unique()) >= 2
