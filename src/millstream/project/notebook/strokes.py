"""Small charts as inline SVG: axes with round steps, a band, lines and bars; they read on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from millstream.project.notebook.show import plain

WIDE, HIGH = 420, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 46, 12, 34
INKS = ("#3b78b5", "#c9692c", "#3f8f5b", "#8a5fb0", "#8a8a2f")
"""Colours of lines, told apart without colour by their dashes."""
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 4")
_PALE = "#8884"


class Scale(NamedTuple):
    """Numbers from ``low`` to ``high`` over a length of pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where a value lies."""
        return self.start + (value - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.start)


def upright(values: Sequence[float | None], *, zero: bool = False) -> tuple[Scale, list[float]]:
    """Return a scale of the chart's height that holds some values, and its round steps."""
    there = [each for each in values if each is not None and math.isfinite(each)] or [0.0]
    low, high = min(there), max(there)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = (low - 0.5, high + 0.5) if not zero or low else (0.0, 1.0)
    size = 10 ** math.floor(math.log10((high - low) / 3))
    step = next(each * size for each in (1, 2, 5, 10) if (high - low) / (each * size) <= 4)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = [round(each * step, 12) for each in range(first, last + 1)]
    return Scale(ticks[0], ticks[-1], HIGH - _BOTTOM, _TOP), ticks


def across(count: int) -> Scale:
    """Return the places of so many steps, each at the middle of its own width."""
    wide = (WIDE - _RIGHT - _LEFT) / max(count, 1)
    return Scale(0, max(count - 1, 1), _LEFT + wide / 2, _LEFT + wide / 2 + wide * max(count - 1, 1))


def line(x: Scale, y: Scale, values: Sequence[float | None], *, ink: int = 0, dots: bool = False) -> str:
    """Draw a line through values; None is a gap, and a value between two gaps a dot."""
    path, parts = "", []
    for place, value in enumerate(values):
        if value is None:
            continue
        begins = place == 0 or values[place - 1] is None
        alone = begins and (place == len(values) - 1 or values[place + 1] is None)
        path += f"{'M' if begins else 'L'}{x(place):.1f} {y(value):.1f}"
        if dots or alone:
            parts.append(dot(x(place), y(value), ink=ink))
    dashed = f" stroke-dasharray='{_DASHES[ink % len(INKS)]}'" if _DASHES[ink % len(INKS)] else ""
    drawn = f"<path d='{path}' fill='none' stroke='{INKS[ink % len(INKS)]}' stroke-width='1.8'{dashed}/>"
    return drawn + "".join(parts)


def dot(x: float, y: float, *, ink: int = 0) -> str:
    """Draw a dot."""
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='2.6' fill='{INKS[ink % len(INKS)]}'/>"


def band(x: Scale, y: Scale, lows: Sequence[float | None], highs: Sequence[float | None], *, ink: int = 0) -> str:
    """Fill what lies between two lines."""
    drawn, run = "", list[tuple[int, float, float]]()
    for place, (low, high) in enumerate([*zip(lows, highs, strict=True), (None, None)]):
        if low is not None and high is not None:
            run.append((place, low, high))
        elif run:
            upper = " ".join(f"{x(at):.1f},{y(top):.1f}" for at, _, top in run)
            lower = " ".join(f"{x(at):.1f},{y(least):.1f}" for at, least, _ in reversed(run))
            drawn += f"<polygon points='{upper} {lower}' fill='{INKS[ink % len(INKS)]}' fill-opacity='0.18'/>"
            run = []
    return drawn


def whiskers(x: Scale, y: Scale, lows: Sequence[float | None], highs: Sequence[float | None], *, ink: int = 0) -> str:
    """Draw the range of each value as an upright line."""
    return "".join(
        f"<path d='M{x(place):.1f} {y(low):.1f}V{y(high):.1f}' stroke='{INKS[ink % len(INKS)]}' stroke-width='1.2'/>"
        for place, (low, high) in enumerate(zip(lows, highs, strict=True))
        if low is not None and high is not None
    )


def bars(x: Scale, counts: Sequence[float], *, tall: float = 0.3) -> str:
    """Draw counts as pale bars at the foot, the largest so high a share of the chart."""
    most, foot = max(counts, default=0) or 1, HIGH - _BOTTOM
    wide = (WIDE - _RIGHT - _LEFT) / max(len(counts), 1)
    return "".join(
        f"<rect x='{x(place) - wide * 0.42:.1f}' y='{foot - size:.1f}' width='{wide * 0.84:.1f}' height='{size:.1f}'"
        f" fill='{_PALE}'/>"
        for place, size in enumerate(tall * (foot - _TOP) * each / most for each in counts)
    )


def framed(x: Scale, y: Scale, ticks: Sequence[float], names: Sequence[str], *parts: str, says: str) -> str:
    """Put the parts of a chart between its axes; ``names`` stand under the steps as far as there is room."""
    rules = "".join(
        f"<path d='M{_LEFT} {y(each):.1f}H{WIDE - _RIGHT}' stroke='{_PALE}' stroke-width='1'/>"
        f"<text x='{_LEFT - 6}' y='{y(each) + 3.5:.1f}' text-anchor='end'>{escape(plain(each))}</text>"
        for each in ticks
    )
    room = max(1, math.ceil(len(names) * (7 + 6.2 * max(map(len, names), default=0)) / (WIDE - _RIGHT - _LEFT)))
    last = len(names) - 1
    words = "".join(
        f"<text x='{x(place):.1f}' y='{HIGH - _BOTTOM + 15}' text-anchor='middle'>{escape(name)}</text>"
        for place, name in enumerate(names)
        if place == last or (place % room == 0 and last - place >= room)
    )
    return (
        f"<svg role='img' aria-label='{escape(says, quote=True)}' viewBox='0 0 {WIDE} {HIGH}' width='{WIDE}'"
        f" height='{HIGH}' style='max-width:100%;font:11px sans-serif' fill='currentColor'>"
        f"{rules}{''.join(parts)}{words}</svg>"
    )


def legend(*entries: tuple[str, int]) -> str:
    """Name the lines of a chart by their ink and dashes."""
    drawn = "".join(
        f"<span style='white-space:nowrap;margin-right:1em'><svg width='22' height='8' aria-hidden='true'>"
        f"<path d='M1 4H21' stroke='{INKS[ink]}' stroke-width='2' stroke-dasharray='{_DASHES[ink]}'/></svg>"
        f" {escape(name)}</span>"
        for name, ink in entries
    )
    return f"<div style='font:12px sans-serif;margin-left:{_LEFT}px'>{drawn}</div>"
