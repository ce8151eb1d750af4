"""How a training's features are told: what may leak, what each view is worth, and what it costs."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from millstream.cli.drawing import say, table


def weighed(record: dict[str, Any]) -> None:
    """Show what may leak, and what the views of a model are worth beside what they cost."""
    for each in record.get("leaks") or ():
        say(escape(f"leak? {each['says']}"), tone="warn")
    lift = record.get("lift")
    if not lift:
        return
    table(
        "view",
        f"worth, in {lift['goal']}",
        "95 % range",
        "missing",
        "ms for 1,000 rows",
        "late by",
        rows=[
            (
                each["name"],
                _signed(each["gain"]),
                _range(each),
                f"{each['missing']:.1%}",
                _ms(each),
                _late(each["lag_s"]),
            )
            for each in lift["views"]
        ],
        right={1, 2, 3, 4, 5},
    )
    say(escape(lift["says"]))


def _signed(value: float | None) -> str:
    return "not measured" if value is None else f"{value:+.4f}"


def _range(each: dict[str, Any]) -> str:
    return "" if each["low"] is None else f"{each['low']:+.4f} to {each['high']:+.4f}"


def _ms(each: dict[str, Any]) -> str:
    return "with the request" if each["compute_ms"] is None else f"{each['compute_ms']:.2f}"


def _late(seconds: float | None) -> str:
    if not seconds:
        return "" if seconds is None else "0"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
