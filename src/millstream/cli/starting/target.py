"""What is predicted: the label as an expression, the task it makes, its metrics and its estimator."""

from __future__ import annotations

import dataclasses
import importlib.util
from dataclasses import dataclass

import polars as pl

from millstream.cli.starting import names
from millstream.cli.starting.guess import TableGuess
from millstream.definitions import tasks
from millstream.errors import BadData, NotYet, UserError

FEWEST_ROWS = 20
_TRUE = {"true", "yes", "y", "t", "1", "ja", "oui", "si", "sí", "positive", "on"}
_FALSE = {"false", "no", "n", "f", "0", "nein", "non", "negative", "off"}


@dataclass(frozen=True)
class Target:
    """The label.

    Parameters
    ----------
    column
        Where it lies.
    expression
        As the definitions say it.
    task
        ``binary``, ``multiclass`` or ``regression``.
    goal, metrics
        The metric that decides, and the others.
    says
        What was seen and how to change it, one sentence each.
    holds
        What a label that is read as true or false must be, as a check says it: a new word would count as false.
    """

    column: str
    expression: str
    task: str
    goal: str
    metrics: tuple[str, ...]
    says: tuple[str, ...]
    holds: str = ""


def target(guess: TableGuess, column: str) -> Target:
    """Work out what is predicted from the values of a column.

    Raises
    ------
    BadData
        For a label without values, with one class, of too few rows, or of a type that cannot be learnt.
    NotYet
        For classes, where this version cannot learn them.
    """
    series = guess.given.frame[column]
    values = series.drop_nulls()
    if values.len() < FEWEST_ROWS:
        raise BadData(
            f"label {column!r} has a value in {values.len():,} of {series.len():,} rows",
            expected=f"at least {FEWEST_ROWS}, to learn from some and judge on others",
            do="give more rows",
        )
    distinct = values.n_unique()
    if distinct == 1:
        raise BadData(
            f"label {column!r} has one class only: all {values.len():,} values are {values[0]!r}",
            expected="at least two different values to tell apart",
            do="give rows of another class, or choose another --label",
        )
    says = []
    if series.null_count():
        says.append(
            f"{series.null_count():,} of {series.len():,} rows have no label: they are kept, and not learnt from"
        )
    written = names.sql(column, guess.given.schema)
    if values.dtype == pl.Boolean:
        return _binary(column, written, values, [*says, f"true in {_mean(values):.1%} of the rows"])
    if isinstance(values.dtype, pl.Datetime) or values.dtype == pl.Date:
        raise BadData(
            f"label {column!r} is a time ({values.dtype})",
            expected="a truth value, a text or a number",
            do='say in the definitions what of it is predicted, for instance label="closed_at is not null"',
        )
    spelt = _spelt(column, written, values, says)
    if spelt is not None:
        return spelt
    if distinct == 2:
        return _two_values(column, written, values, says)
    if values.dtype == pl.String:
        return _classes(column, written, values, distinct, says)
    return _number(column, written, values, distinct, says)


def estimator(goal: Target, *, rows: int) -> tuple[str, str]:
    """Choose an estimator: the import, and the object; smaller trees for few rows.

    Raises
    ------
    UserError
        When nothing to learn with is installed.
    """
    classes = goal.task in ("binary", "multiclass")
    if importlib.util.find_spec("lightgbm") is not None:
        name = "LGBMClassifier" if classes else "LGBMRegressor"
        least = 20 if rows >= 2000 else 10 if rows >= 500 else 5
        trees = 150 if rows >= 5000 else 80
        leaves = 31 if rows >= 20_000 else 15 if rows >= 2000 else 7
        said = f"{name}(n_estimators={trees}, num_leaves={leaves}, learning_rate=0.08, min_child_samples={least})"
        return f"from lightgbm import {name}", said
    if importlib.util.find_spec("sklearn") is None:
        raise UserError(
            "there is nothing to learn with: neither LightGBM nor scikit-learn is installed",
            do="python -m pip install 'millstream[lightgbm]'",
        )
    name = "LogisticRegression" if classes else "Ridge"
    return f"from sklearn.linear_model import {name}", f"{name}(max_iter=1000)" if classes else "Ridge()"


def _spelt(column: str, written: str, values: pl.Series, says: list[str]) -> Target | None:
    """Read a label of yes and no in more than one spelling; None for any other."""
    if values.dtype != pl.String:
        return None
    plain = values.str.strip_chars().str.to_lowercase()
    words = sorted(plain.unique().to_list())
    yes, no = [each for each in words if each in _TRUE], [each for each in words if each in _FALSE]
    if not yes or not no or len(yes) + len(no) < len(words) or values.n_unique() == 2:
        return None
    truth = plain.is_in(yes)
    said = ", ".join(map(repr, sorted(values.unique().to_list())[:12]))
    expression = f"lower(trim({written})) in ({', '.join(map(names.text, yes))})"
    made = _binary(
        column, expression, truth, [*says, f"yes and no in several spellings: {said} ({_mean(truth):.1%} are true)"]
    )
    return dataclasses.replace(made, holds=f"lower(trim({written})) in ({', '.join(map(names.text, words))})")


def _two_values(column: str, written: str, values: pl.Series, says: list[str]) -> Target:
    counts = values.value_counts(name="rows").sort("rows", column)
    rare, common = counts[column][0], counts[column][1]
    texts = {_word(each): each for each in (rare, common)}
    yes = [value for text, value in texts.items() if text in _TRUE]
    no = [value for text, value in texts.items() if text in _FALSE]
    if len(yes) == 1 and len(no) == 1:
        true, why = yes[0], f"{yes[0]!r} is taken as true"
    else:
        true = rare
        why = f"two values: the rarer, {rare!r}, is taken as true; write {common!r} to ask the opposite"
    value = names.text(true) if isinstance(true, str) else _figure(true)
    share = _mean(values == true)
    made = _binary(column, f"{written} = {value}", values == true, [*says, f"{why} ({share:.1%} of rows)"])
    both = sorted(names.text(each) if isinstance(each, str) else _figure(each) for each in (rare, common))
    return dataclasses.replace(made, holds=f"{written} in ({', '.join(both)})")


def _word(value: object) -> str:
    """Write a value as one that may mean yes or no: 1.0 is 1."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip().lower()  # type: ignore[call-overload]


def _binary(column: str, expression: str, truth: pl.Series, says: list[str]) -> Target:
    few = min(int(truth.sum()), truth.len() - int(truth.sum()))
    if few < 10:
        raise BadData(
            f"label {column!r} has {few} rows of its rarer class",
            expected="at least 10, to learn from some and judge on others",
            do="give more rows of it, or choose another --label",
        )
    if few < 50:
        says = [*says, f"only {few} rows of the rarer class: expect a wide range of uncertainty"]
    return Target(column, expression, "binary", "roc_auc", ("log_loss", "brier"), tuple(says))


def _classes(column: str, written: str, values: pl.Series, distinct: int, says: list[str]) -> Target:
    if distinct > max(50, values.len() // 20):
        raise BadData(
            f"label {column!r} is a text with {distinct:,} different values in {values.len():,} rows",
            expected="a few classes that come back again and again",
            do="choose another --label",
        )
    if not hasattr(tasks, "Multiclass"):
        raise NotYet(
            f"label {column!r} has {distinct} classes",
            expected="a label of two values, or a number",
            do="choose another --label",
        )
    counts = values.value_counts(sort=True, name="rows")
    says = [*says, *_said_of_spellings(values, written)]
    says = [
        *says,
        f"{distinct} classes, from {counts[column][0]!r} ({counts['rows'][0]:,} rows) to "
        f"{counts[column][-1]!r} ({counts['rows'][-1]:,} rows)",
    ]
    rare = counts.filter(pl.col("rows") < 10)
    if rare.height:
        shown = ", ".join(f"{name!r} ({rows})" for name, rows in rare.head(5).rows())
        says.append(f"too rare to be learnt well: {shown}; put them together with others, or leave them out by where=")
    return Target(column, written, "multiclass", "log_loss", ("accuracy",), tuple(says))


def _said_of_spellings(values: pl.Series, written: str) -> list[str]:
    """Say which classes differ in case and spaces only."""
    spelt = (
        values.unique().to_frame("one").with_columns(pl.col("one").str.strip_chars().str.to_lowercase().alias("plain"))
    )
    twice = spelt.group_by("plain").agg(pl.col("one").sort()).filter(pl.col("one").list.len() > 1).sort("plain")
    if not twice.height:
        return []
    shown = "; ".join(" and ".join(map(repr, each)) for each in twice["one"].head(3).to_list())
    one = written.replace(chr(34), chr(39))
    return [f'classes that differ in case or spaces only: {shown}; if they are one, write label="lower(trim({one}))"']


def _number(column: str, written: str, values: pl.Series, distinct: int, says: list[str]) -> Target:
    if values.dtype == pl.Int64 and distinct == values.len() and _span(values) < 1.2 * distinct:
        raise BadData(
            f"label {column!r} numbers the rows: whole numbers without gaps, each once",
            expected="something that comes back, or a measured number",
            do="choose another --label",
        )
    middle = float(values.cast(pl.Float64).median() or 0.0)  # type: ignore[arg-type]
    says = [*says, f"a number with {distinct:,} different values, mean {_mean(values):.4g}, median {middle:.4g}"]
    if values.dtype == pl.Int64 and distinct <= 20:
        says.append(
            f"only {distinct} whole numbers: taken as a number; if they are classes, write "
            f'label="cast({written.replace(chr(34), chr(39))} as varchar)" and estimator=LGBMClassifier(...), '
            "goal='log_loss', metrics=['accuracy']"
        )
    return Target(column, written, "regression", "rmse", ("mae",), tuple(says))


def _span(values: pl.Series) -> int:
    low, high = values.min(), values.max()
    assert isinstance(low, int) and isinstance(high, int)
    return high - low


def _mean(values: pl.Series) -> float:
    return float(values.cast(pl.Float64).mean() or 0.0)  # type: ignore[arg-type]


def _figure(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
