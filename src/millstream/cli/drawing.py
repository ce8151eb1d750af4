"""What everything in the terminal is drawn with: lines, tables, figures, and that long work goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from millstream.cli import grids

console = Console(highlight=False, soft_wrap=False)
_BARS = "▁▂▃▄▅▆▇█"
_SLOW = {
    "init": "reading, profiling, writing definitions, taking the data in",
    "train": "training beside the baseline",
    "backtest": "replaying the recipe",
    "retrain": "training a candidate and judging it",
    "reproduce": "training again from the pins",
    "release": "bundling, signing, rehearsing the rollback",
    "backup": "copying what is new",
    "restore": "writing and comparing every file",
    "gc": "looking at what may go",
    "compact": "writing small files anew",
    "verify": "reading ledger, tables and releases",
    "check": "checking what arrived",
    "profile": "looking at every column",
    "score": "scoring",
    "monitor": "judging",
    "features_parity": "computing what was served again",
}


@contextlib.contextmanager
def working(command: str, *, quiet: bool) -> Iterator[None]:
    """Show that long work goes on."""
    if quiet or command not in _SLOW or not console.is_terminal:
        yield
        return
    with console.status(f"[dim]{_SLOW[command]} ...[/]", spinner="dots"):
        yield


def spark(values: Sequence[float | None], *, width: int = 40) -> str:
    """Draw a line of numbers as one line of text, scaled to its own range; gaps stay gaps.

    >>> spark([0.0, 0.5, 1.0])
    '▁▅█'
    """
    if len(values) > width:
        step = len(values) / width
        values = [values[int(each * step)] for each in range(width)]
    present = [each for each in values if each is not None]
    if not present:
        return ""
    low, spread = min(present), (max(present) - min(present)) or 1.0
    return "".join(" " if each is None else _BARS[min(7, int((each - low) / spread * 7.999))] for each in values)


def table(*columns: str, rows: Sequence[Sequence[Any]], right: frozenset[int] | set[int] = frozenset()) -> None:
    """Print a small table that fits the terminal; NULL is a dot."""
    cells = [[None if each is None else Text.from_markup(str(each)) for each in row] for row in rows]
    heads = [Text.from_markup(each).plain for each in columns]
    for line in grids.lines(heads, cells, frozenset(right), console.width):
        console.print(line, soft_wrap=True)


def say(text: str, *, tone: str = "", indent: int = 0) -> None:
    """Print a sentence, its further lines as far in as its first word; ``tone`` is good, bad, warn or empty."""
    mark = {"good": "[green]✓[/] ", "bad": "[red]✗[/] ", "warn": "[yellow]![/] "}.get(tone, "")
    start = Text.from_markup(" " * indent + mark)
    for line in grids.wrapped(Text.from_markup(text), max(20, console.width - len(start)), whole=True):
        console.print(start + line, soft_wrap=True)
        start = Text(" " * len(start))


def number(value: float | None, *, digits: int = 4) -> str:
    """Write a figure; NULL is a dot."""
    return "·" if value is None else f"{value:,.{digits}f}" if isinstance(value, float) else f"{value:,}"


def age(seconds: float | None) -> str:
    """Write a length of time as people say it.

    >>> age(90), age(86400 * 3), age(None)
    ('2 min', '3 d', '·')
    """
    if seconds is None:
        return "·"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
