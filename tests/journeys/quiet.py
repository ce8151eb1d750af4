"""A year as it was, replayed batch by batch through a project of an example: which alarms about data are opened."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from millstream.cli.examples import load_standin, source
from millstream.project import Project
from millstream.project.watch import Watch
from millstream.state.alarms import Alarm


def untouched(example: str, root: Path, *, begins: date) -> Any:
    """Copy an example's definitions, without its data, with a clock that stands at a day's first turn."""
    root.mkdir()
    for each in source(example).iterdir():
        if each.is_file():
            shutil.copy(each, root / each.name)
    standin = load_standin(root)
    settings = (root / "millstream.toml").read_text()
    start = next(line for line in settings.splitlines() if line.startswith("start"))
    at = turn(standin)(begins).isoformat()
    (root / "millstream.toml").write_text(settings.replace(start, f'start = "{at}"'))
    return standin


def turn(standin: Any) -> Callable[[date], datetime]:
    """Return when a day of an example is turned: the retailer's batches come in the morning."""
    found: Callable[[date], datetime] = getattr(standin, "morning", None) or standin.midnight
    return found


def replay(root: Path, standin: Any, systems: Any, *, first: date, last: date) -> list[tuple[date, Alarm]]:
    """Publish, check and judge each day; return every alarm about a contract with the morning it was opened on."""
    opened: list[tuple[date, Alarm]] = []
    systems.publish_until(first - timedelta(days=1))
    with Project(root, lock=True) as project:
        watch = Watch(project)
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            if number:
                systems.publish(day - timedelta(days=1))
                project.clock.advance(turn(standin)(day))  # type: ignore[attr-defined]
            project.run("check")
            opened += [(day, alarm) for each in watch.judge() for alarm in each.opened if not alarm.model]
    return opened


def told(opened: list[tuple[date, Alarm]], tables: list[str]) -> dict[str, list[int]]:
    """Count alarms of each table by quarter of the year, and print them."""
    counts = {name: [0, 0, 0, 0] for name in tables}
    for day, alarm in opened:
        name = alarm.subject.partition(".")[0].partition(":")[0]
        counts[name][((day - timedelta(days=1)).month - 1) // 3] += 1
        print(f"{day} {alarm.subject}: {alarm.says}")
    for name, quarters in counts.items():
        print(f"{name}: alarms by quarter {quarters}")
    return counts
