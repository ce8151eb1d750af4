"""Write a project from files: read, profile, guess, write, take the data in, and try the definitions."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from millstream.cli.examples import commit
from millstream.cli.starting import names
from millstream.cli.starting.choose import Choice, choose, hold_out, label_delay
from millstream.cli.starting.database import Asked, refuse_repeats, take_all
from millstream.cli.starting.given import Given
from millstream.cli.starting.guess import TableGuess, table, with_checks, with_references
from millstream.cli.starting.readme import readme
from millstream.cli.starting.target import Target, estimator, target
from millstream.cli.starting.write import Recipe, definitions
from millstream.definitions.sources import Delta
from millstream.errors import BadData, Conflict, MillstreamError, NotFound, UserError, near

IGNORED = ".millstream/\n__pycache__/\n"
BEGUN = ".millstream/init"
"""Names the files being written, while they are: what a killed ``init`` left is removed by the next."""


@dataclass(frozen=True)
class Wishes:
    """What a person asks ``init --from`` for.

    Parameters
    ----------
    folder
        Of the project; new or empty.
    files
        The data, files and tables of a database; the first holds the label unless ``label`` is ``table.column``.
    label
        What to predict.
    timezone
        Zone of naive times; UTC is assumed, and said, when left out.
    key, time
        The first table's key and event time, where the guess would be wrong; ``COLUMN=%d/%m/%Y`` also says how it is
        written.
    """

    folder: Path
    files: tuple[Path | Asked, ...]
    label: str
    timezone: str = ""
    key: tuple[str, ...] = ()
    time: str = ""


@dataclass(frozen=True)
class Design:
    """A project before it is written: its files by name, and what was guessed."""

    files: dict[str, str]
    record: dict[str, Any]


def begin(wishes: Wishes) -> dict[str, Any]:
    """Write a project, take its data in, and return what was guessed as plain data.

    Raises
    ------
    Conflict
        When the folder holds something already.
    NotFound
        For a file, column or zone that is not there.
    BadData
        For data that cannot be read or learnt from.
    NotYet
        For a label this version cannot learn.
    """
    designed = design(wishes)
    message = f"Start from {', '.join(each.table if isinstance(each, Asked) else each.name for each in wishes.files)}"
    taken = write(wishes.folder.expanduser(), designed.files, model=designed.record["model"], message=message)
    return {**designed.record, **taken}


def design(wishes: Wishes) -> Design:
    """Read, profile and guess; nothing is written. Raises what ``begin`` raises."""
    folder = wishes.folder.expanduser()
    refuse_full(folder)
    zone = _zone(wishes.timezone)
    time, ways = _time(wishes.time)
    given = take_all(wishes.files, folder=folder, timezone=zone, ways=ways)
    main, column = _label(given, wishes.label)
    guess = table(main, key=wishes.key, time=time or None, label=column)
    _refuse_uncertain_time(guess)
    guess.says["zone"] = zone
    others = [with_checks(table(each), []) for each in given if each is not main]
    for each in (guess, *others):
        refuse_repeats(each.given, each.key)
    goal = target(guess, column)
    guess, goal, choice, recipe = _design(guess, goal, others, zone=zone, assumed=not wishes.timezone)
    files = {
        f"{recipe.name}.py": formatted(definitions(guess, others, goal, choice, recipe)),
        "millstream.toml": f'name = "{recipe.name}"\ntimezone = "{zone}"\n' + _databases(given),
        ".gitignore": IGNORED,
        "README.md": readme(guess, goal, choice, recipe, sample=_sample(guess, choice)),
    }
    return Design(files, _record(guess, others, goal, choice, recipe))


def begin_empty(folder: Path) -> dict[str, Any]:
    """Write a small commented project with generated data."""
    from millstream.cli.starting.fresh import MODEL, files

    folder = folder.expanduser()
    refuse_full(folder)
    return {
        "model": MODEL,
        "said": ["the data are generated: no conclusion about the world follows from them"],
        **write(folder, files(), model=MODEL, message="Start"),
    }


def refuse_full(folder: Path) -> None:
    """Refuse a folder that holds something; what an earlier ``init`` left that was killed is removed first."""
    if folder.exists() and not folder.is_dir():
        raise Conflict(f"{folder} is a file", expected="a new folder", do="choose another name")
    if (folder / BEGUN).is_file():
        _remove(folder, (folder / BEGUN).read_text(encoding="utf-8").splitlines())
    if folder.is_dir() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty", expected="a new folder", do="choose another, or remove it")


def write(folder: Path, files: dict[str, str], *, model: str, message: str) -> dict[str, Any]:
    """Write the files, take the data in, try the definitions, and commit; nothing is left when that fails."""
    from millstream.project import Project
    from millstream.project.models.learn import plan

    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / BEGUN).parent.mkdir()
        (folder / BEGUN).write_text("\n".join(files), encoding="utf-8")
        for name, body in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(body, encoding="utf-8")
        with Project(folder, lock=True) as project:
            checked = project.run("check", {"actor": "init"})
            features = [each.name for each in plan(project, model).columns]
        git = commit(folder, message)
        (folder / BEGUN).unlink()
    except (MillstreamError, OSError, KeyboardInterrupt):
        _remove(folder, files)
        if new:
            folder.rmdir()
        raise
    failed = [
        f"{report['table']}: {each['says']}"
        for report in checked["reports"]
        for each in report["results"]
        if not each["ok"]
    ]
    return {
        "folder": str(folder.resolve()),
        "git": git,
        "features": len(features),
        "failed": failed,
    }


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Remove what ``init`` wrote into an empty folder, and nothing else."""
    for name in (".millstream", ".git", "__pycache__", *dict.fromkeys(name.split("/")[0] for name in names)):
        each = folder / name
        shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)


def formatted(text: str) -> str:
    """Give the text the layout of ruff where it is installed; it is right without."""
    ruff = Path(sys.executable).with_name("ruff")
    program = str(ruff) if ruff.exists() else shutil.which("ruff")
    if program is None:
        return text
    command = [program, "format", "--isolated", "--no-cache", "--line-length", "120", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 and done.stdout else text


def _design(
    guess: TableGuess, goal: Target, others: Sequence[TableGuess], *, zone: str, assumed: bool
) -> tuple[TableGuess, Target, Choice, Recipe]:
    imports, said = estimator(goal, rows=guess.found.rows)
    delay = label_delay(guess)
    choice = choose(guess, goal, others, linear="LGBM" not in said, delay=delay)
    if not choice.features and not choice.windows:
        why = "; ".join(f"{each.column}: {each.why}" for each in choice.left_out[:5])
        raise BadData(
            f"no column of {guess.given.file.name} can be a feature of {goal.column!r} ({why})",
            expected="at least one column that is known before the label and says something about it",
            do="give more columns",
        )
    guess = with_checks(guess, [each for each in choice.fields if each != guess.event_time])
    if goal.holds:
        guess = dataclasses.replace(guess, checks=(*guess.checks, f"checks.holds({goal.holds!r})"))
    guess = with_references(guess, others)
    taken = [guess.name, *(each.name for each in others), *(each.view for each in choice.windows), *names.TAKEN]
    name = names.of_table(goal.column, taken)
    recipe = Recipe(name, imports, said, hold_out(guess, goal, delay=delay), delay, zone, assumed)
    return guess, goal, choice, recipe


def _label(given: Sequence[Given], label: str) -> tuple[Given, str]:
    main, column = given[0], label
    head, dot, tail = label.partition(".")
    if dot and label not in main.frame.columns:
        named = [each for each in given if each.name == head]
        if named:
            main, column = named[0], tail
    rename = {} if isinstance(main.source, Delta) else main.source.rename
    column = rename.get(column, column)
    if column not in main.frame.columns:
        raise NotFound(
            f"{main.file.name} has no column {column!r} to predict",
            expected="--label COLUMN of the first file, or --label TABLE.COLUMN",
            do=near(column, [*main.frame.columns, *rename]),
        )
    return main, column


def _time(said: str) -> tuple[str, dict[str, str]]:
    """Part ``COLUMN=%d/%m/%Y`` into the column and its format."""
    name, equals, form = said.partition("=")
    return (name, {name: form}) if equals and "%" in form else (said, {})


def _refuse_uncertain_time(guess: TableGuess) -> None:
    """Refuse rows whose only time may be read in two ways: which came first would be a guess, and the split with it."""
    if guess.event_time is None and guess.given.uncertain:
        name = guess.given.uncertain[0]
        raise BadData(
            f"days and months of {name!r} cannot be told apart, and no other column says when a row happened",
            expected="somebody who knows which comes first",
            do=f"--time '{name}=%d/%m/%Y' where days do, --time '{name}=%m/%d/%Y' where months do",
        )


def _databases(given: Sequence[Given]) -> str:
    """Write where the tables of databases are; a password stays in the environment."""
    found = {each.database.name: each.database for each in given if each.database is not None}
    lines = ["", "[databases]"] if found else []
    for each in found.values():
        if each.variable:
            lines.append(f"# the password is not written down: export {each.variable}=... before each command")
        lines.append(f"{each.name} = {json.dumps(each.address)}")
    return "\n".join([*lines, ""]) if lines else ""


def _zone(said: str) -> str:
    if not said:
        return "UTC"
    try:
        return ZoneInfo(said).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(f"there is no time zone {said!r}", do=near(said, available_timezones())) from None


def _sample(guess: TableGuess, choice: Choice) -> str:
    """Write the last row as a caller would send it."""
    wanted = dict.fromkeys(
        [*guess.key, *(column for each in choice.windows for column in each.columns), *choice.fields]
    )
    row = guess.given.frame.select(list(wanted)).tail(1).row(0, named=True)
    plain = {
        name: value if value is None or isinstance(value, bool | int | float | str) else value.isoformat()
        for name, value in row.items()
    }
    return json.dumps(plain, ensure_ascii=False)


def _record(
    guess: TableGuess, others: Sequence[TableGuess], goal: Target, choice: Choice, recipe: Recipe
) -> dict[str, Any]:
    tables = [
        {
            "table": each.name,
            "rows": each.found.rows,
            "columns": each.given.frame.width - each.numbered,
            "key": list(each.key),
            "numbered": each.numbered,
            "event_time": each.event_time,
            "timezone": recipe.timezone if each.given.naive and each.event_time else None,
            "says": [*each.given.says, *each.found.says, f"key: {each.says['key']}", f"time: {each.says['time']}"],
            "renamed": {} if isinstance(each.given.source, Delta) else each.given.source.rename,
        }
        for each in (guess, *others)
    ]
    said = [f"label: {each}" for each in goal.says] + list(choice.says)
    variables = {each.given.database.variable for each in (guess, *others) if each.given.database is not None}
    said += [
        f"the password is not written down: export {each}=... before you go on" for each in sorted(variables) if each
    ]
    if recipe.assumed_zone and any(each["timezone"] for each in tables):
        said.append("times without a zone were read as UTC: --timezone says another")
    return {
        "model": recipe.name,
        "task": goal.task,
        "label": goal.expression,
        "goal": goal.goal,
        "tables": tables,
        "left_out": [dataclasses.asdict(each) for each in choice.left_out],
        "said": said,
        "sample": json.loads(_sample(guess, choice)),
    }
