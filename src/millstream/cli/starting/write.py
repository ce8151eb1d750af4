"""The definitions as text: one Python file, each guess with what it saw and how to change it."""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Sequence

import msgspec

from millstream.cli.starting import names
from millstream.cli.starting.choose import Choice
from millstream.cli.starting.guess import TableGuess
from millstream.cli.starting.target import Target
from millstream.definitions.sources import Csv, Delta, Parquet, Postgres

WIDTH = 118
IGNORED = ".millstream/\n__pycache__/\n"
"""The ``.gitignore`` of a project."""


class Recipe(msgspec.Struct, frozen=True):
    """What is said of the model beside its features.

    Parameters
    ----------
    name
        Of the model.
    imports, estimator
        As Python text.
    split
        Length and number of hold-outs; None for rows without time.
    delay
        How long after its row a label is taken to be known.
    timezone
        Of naive times and of hours.
    assumed_zone
        Whether that zone was assumed.
    """

    name: str
    imports: str
    estimator: str
    split: tuple[str, int] | None
    delay: str
    timezone: str
    assumed_zone: bool


def definitions(guess: TableGuess, others: Sequence[TableGuess], goal: Target, choice: Choice, recipe: Recipe) -> str:
    """Write the definitions of a project."""
    task = {"binary": f"How likely is {goal.expression}?", "multiclass": f"Which {goal.column}?"}.get(
        goal.task, f"How much is {goal.column}?"
    )
    lines = [
        f'"""{_doc(task)}',
        "",
        "Written by `millstream init --from`: every line below is a guess from the data, with what it saw beside it.",
        "Change what is wrong, commit, and train again.",
        '"""',
        "",
        recipe.imports,
        "",
        "from millstream import Each, FeatureView, Model, Table, checks, sources"
        + (", splits" if recipe.split else ""),
        "from millstream import features as f",
        "",
    ]
    for each in (*others, guess):
        lines += _table(each, goal if each is guess else None, recipe)
    lines += _left_out(choice)
    lines += _views(choice)
    lines += _model(guess, goal, choice, recipe)
    return "\n".join(lines) + "\n"


def comment(text: str, *, indent: int = 0) -> list[str]:
    """Write a comment, wrapped."""
    pad = " " * indent
    clean = "".join(each if each.isprintable() else " " for each in text)
    return textwrap.wrap(clean, WIDTH, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# ", break_on_hyphens=False)


def source_text(source: Csv | Parquet | Delta | Postgres) -> str:
    """Write a source as it is said in definitions, defaults left out."""
    kind = type(source)
    first = kind.__struct_fields__[0]
    defaults = msgspec.structs.asdict(kind("?"))
    said = {
        name: value
        for name, value in msgspec.structs.asdict(source).items()
        if name != first and value != defaults[name]
    }
    words = [repr(getattr(source, first)), *(f"{name}={value!r}" for name, value in said.items())]
    one_line = f"sources.{kind.__name__}({', '.join(words)})"
    if len(one_line) <= 90:
        return one_line
    inner = "".join(f"        {each},\n" for each in words)
    return f"sources.{kind.__name__}(\n{inner}    )"


def _table(guess: TableGuess, goal: Target | None, recipe: Recipe) -> list[str]:
    given = guess.given
    lines = [f"{guess.name} = Table(", f"    {guess.name!r},"]
    for said in (
        f"{guess.found.rows:,} rows, {given.frame.width - guess.numbered:,} columns",
        *given.says,
        *guess.found.says,
    ):
        lines += comment(said, indent=4)
    lines += [f"    source={source_text(given.source)},"]
    lines += comment(f"key: {guess.says['key']}", indent=4)
    key = guess.key[0] if len(guess.key) == 1 else guess.key
    lines += [f"    key={key!r},"]
    lines += comment(f"time: {guess.says['time']}", indent=4)
    if guess.event_time is not None:
        lines += [f"    event_time={guess.event_time!r},"]
    if given.naive:
        why = "assumed, because nobody said: --timezone, or here" if recipe.assumed_zone else "as you said"
        lines += [*comment(f"zone of times written without one: {why}", indent=4), f"    timezone={recipe.timezone!r},"]
    if guess.event_time is not None:
        lines += _known_at(guess, goal, recipe)
    if guess.checks:
        required = "; no NULL where the database has NOT NULL" if given.told is not None and given.told.required else ""
        said = f"what must hold: as it holds now{required}; severity 'stop' keeps bad data from models"
        lines += comment(said, indent=4)
        lines += ["    checks=[", *(f"        {each}," for each in guess.checks), "    ],"]
    return ["", *lines, ")", ""]


def _known_at(guess: TableGuess, goal: Target | None, recipe: Recipe) -> list[str]:
    assert guess.event_time is not None
    at = names.sql(guess.event_time, guess.given.schema)
    said = comment(
        "when it was known, per column. A guess: all of a row when it happened"
        + (f", but its label only {recipe.delay} later. If a column says when, name it here" if goal else "")
        + ". What is said too early here leaks the future into the model",
        indent=4,
    )
    known = {"*": at}
    if goal is not None:
        known[goal.column] = f"{at} + interval '{_interval(recipe.delay)}'"
    return [*said, f"    known_at={known!r},"]


def _interval(length: str) -> str:
    unit = {"d": "day", "h": "hour", "m": "minute", "s": "second"}[length[-1]]
    return f"{length[:-1]} {unit}"


def _left_out(choice: Choice) -> list[str]:
    if not choice.left_out:
        return []
    lines = ["", *comment("Columns that are no features, and why. To use one all the same, add it to at_request:")]
    for each in choice.left_out[:100]:
        lines += comment(f"  {each.column}: {each.why}")
    if len(choice.left_out) > 100:
        lines += comment(f"  and {len(choice.left_out) - 100:,} more")
    return lines


def _views(choice: Choice) -> list[str]:
    lines: list[str] = []
    for said in choice.says:
        lines += ["", *comment(said)]
    for view in choice.windows:
        lines += [
            "",
            *comment(view.says),
            f"{view.view} = FeatureView(",
            f"    {view.view!r},",
            f"    of={view.table},",
            f"    entity={view.entity!r},",
            "    features={",
        ]
        lines += [*(f"        {name!r}: {said}," for name, said in view.features), "    },", ")", ""]
    if choice.features:
        lines += [
            "",
            *comment("What a caller sends with each request, and the features made of it (SQL, in DuckDB's dialect)."),
        ]
        lines += ["at_request = FeatureView(", "    'at_request',", "    of=f.Request("]
        plain = all(each.isidentifier() and each.isascii() and not keyword.iskeyword(each) for each in choice.fields)
        fields = [f"{name}={kind!r}" if plain else f"{name!r}: {kind!r}" for name, kind in choice.fields.items()]
        inner = [f"            {each}," for each in fields]
        lines += [each[4:] for each in inner] if plain else ["        **{", *inner, "        }"]
        lines += ["    ),", "    features={"]
        for feature in choice.features:
            seen = "".join(each if each.isprintable() else " " for each in feature.says)
            lines += [f"        {feature.name!r}: {feature.expression!r},  # {seen}"]
        lines += ["    },", ")", ""]
    return lines


def _model(guess: TableGuess, goal: Target, choice: Choice, recipe: Recipe) -> list[str]:
    views = [*(role for each in choice.windows for role in each.roles), *(["at_request"] if choice.features else [])]
    lines = ["", f"{recipe.name} = Model(", f"    {recipe.name!r},"]
    if guess.event_time is not None:
        lines += comment('predicted for each row, decided when it happens; decide_at="..." asks earlier', indent=4)
    else:
        lines += comment(
            "predicted for each row; rows without time are parted into fit and judge by a hash of the key", indent=4
        )
    lines += [f"    rows=Each({guess.name}),"]
    for said in goal.says:
        lines += comment(f"label: {said}", indent=4)
    baseline = {"binary": "the share of true rows", "multiclass": "the share of each class"}.get(
        goal.task, "the median"
    )
    lines += [f"    label={goal.expression!r},", f"    features=[{', '.join(views)}],"]
    lines += [f"    estimator={recipe.estimator},"]
    lines += comment(f"a {goal.task} task; the baseline trained beside it is {baseline}; the goal decides", indent=4)
    lines += [f"    metrics={list(goal.metrics)!r},", f"    goal={goal.goal!r},"]
    if recipe.split is not None:
        test, folds = recipe.split
        lines += comment(
            f"judged on the last {test}, as often as folds says: a fifth of the rows if both sides hold both classes",
            indent=4,
        )
        lines += [f"    split=splits.Time(test={test!r}, folds={folds}),"]
    return [*lines, ")"]


def _doc(text: str) -> str:
    return text.replace("\\", "/").replace('"""', "'''").replace('"', "'")
