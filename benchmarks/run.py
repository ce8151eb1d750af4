"""Measure every work of this folder, print a table, write ``results.json``.

``make bench`` runs all, ``make bench ONLY=checks`` one (or some, separated by commas); the other lines of the file
then stay. Each work is measured in a process of its own, one after the other.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Record, Work, in_a_process

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
_OURSELVES = {"run", "harness", "__init__"}


def works() -> dict[str, Callable[[], Record]]:
    """Find what can be measured: the ``WORKS`` of every module of this folder."""
    found: dict[str, Callable[[], Record]] = {}
    for file in sorted(FOLDER.glob("*.py")):
        if file.stem not in _OURSELVES:
            module = importlib.import_module(f"benchmarks.{file.stem}")
            found |= getattr(module, "WORKS", {})
    return found


def chosen(only: str, known: dict[str, Callable[[], Record]]) -> list[str]:
    """Read ``ONLY``."""
    from millstream.errors import near

    names = [each.strip() for each in only.split(",") if each.strip()] or list(known)
    for each in names:
        if each not in known:
            raise SystemExit(f"there is no work {each!r}: {near(each, known)}")
    return names


def main() -> None:
    """Measure, show and write."""
    names = chosen(os.environ.get("ONLY", ""), works())
    kept = {each["work"]: each for each in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    for number, name in enumerate(names, start=1):
        print(f"measuring {name} ({number} of {len(names)}) ...", file=sys.stderr)
        kept[name] = in_a_process("work", name, read=json.loads)
        RESULTS.write_text(json.dumps([kept[each] for each in sorted(kept)], indent=1) + "\n")
    show([kept[each] for each in names])


def show(records: list[Record]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("work", "size", title="measured in turn, medians")
    for title in ("ours", "bare limit", "times the limit", "peak MB"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in records:
        unit = each["unit"]
        ratio = each["ours"] / each["limit"] if each["limit"] else float("nan")
        numbers = (f"{each['ours']:g} {unit}", f"{each['limit']:g} {unit}", f"{ratio:.2f}", f"{each['peak_mb']:g}")
        table.add_row(each["work"], each["size"], *numbers)
    console = Console()
    for each in records:
        for peer, seconds in sorted(each["peers"].items()):
            times = f"{seconds / each['ours']:.1f} times ours"
            most = each.get("peers_peak_mb", {}).get(peer)
            size = "" if most is None else f"{most:g}"
            table.add_row(f"  {peer}", each["size"], f"{seconds:g} {each['unit']}", "", times, size)
        for point in each.get("curve", ()):
            if "ours" not in point:  # a work whose curve says other things
                told = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in point.items())
                table.add_row(f"  {each['work']}", told, "", "", "", "")
                continue
            numbers = (f"{point['ours']:g}", f"{point['limit']:g}", f"{point['ours'] / point['limit']:.2f}")
            table.add_row(f"  {each['work']}", f"{point['rows']:,.0f} rows", *numbers, f"{point['peak_mb']:g}")
    wide = console if console.is_terminal else Console(width=120)
    wide.print(table)
    for each in records:
        for peer, said in each.get("peers_said", {}).items():
            wide.print(f"{each['work']}, {peer}: {said}", style="dim")


def one(word: str, name: str, point: str = "") -> None:
    """Measure one work here, or the memory it needs, and print that."""
    work = works()[name]
    if word == "peak":
        assert isinstance(work, Work)
        print(work.peak_mb(int(point) if point else None))
    else:
        print(json.dumps(work()))


if __name__ == "__main__":
    if sys.argv[1:]:
        one(*sys.argv[1:4])
    else:
        main()
