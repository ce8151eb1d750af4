"""Small line charts as inline SVG: no script, readable without colour, with a text alternative."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from markupsafe import Markup, escape

_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 22


class Line(msgspec.Struct, frozen=True):
    """One line of a chart.

    Parameters
    ----------
    name
        What it is, for the legend.
    values
        One value a day; None is a gap.
    style
        CSS class that draws it (``model``, ``baseline``, ``actual``, ``limit``).
    """

    name: str
    values: tuple[float | None, ...]
    style: str


class Mark(msgspec.Struct, frozen=True):
    """Something that happened on a day: a vertical line with a word."""

    day: str
    says: str
    style: str


def chart(
    days: Sequence[str],
    lines: Sequence[Line],
    *,
    title: str,
    marks: Sequence[Mark] = (),
    width: int = 720,
    height: int = 190,
) -> Markup:
    """Draw lines over days.

    Parameters
    ----------
    days
        ISO days, one for each value.
    lines
        What is drawn; empty lines give an empty state in words.
    title
        What the chart shows, also for screen readers.
    marks
        Events to mark.
    width, height
        In CSS pixels of the drawing; it scales with the page.
    """
    present = [value for line in lines for value in line.values if value is not None]
    if len(days) < 2 or not present:
        return Markup('<p class="empty">{} appears here after two judged days.</p>').format(title)
    low, high = min(present), max(present)
    pad = (high - low or abs(high) or 1.0) * 0.08
    low, high = low - pad, high + pad

    def x(number: float) -> float:
        return _LEFT + number / (len(days) - 1) * (width - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (height - _TOP - _BOTTOM)

    parts = [_axes(days, low, high, x=x, y=y, width=width, height=height)]
    for mark in marks:
        if mark.day in days:
            at = x(days.index(mark.day))
            parts.append(
                Markup(
                    '<line class="mark {}" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"><title>{} {}</title></line>'
                ).format(mark.style, at, at, _TOP, height - _BOTTOM, mark.day, mark.says)
            )
    parts += [Markup('<path class="line {}" d="{}"/>').format(line.style, _path(line.values, x, y)) for line in lines]
    latest = "; ".join(f"{line.name} {_latest(line.values)}" for line in lines)
    legend = Markup("").join(
        Markup('<span class="key {}">{} <b>{}</b></span>').format(line.style, line.name, _latest(line.values))
        for line in lines
    )
    return Markup(
        '<figure><figcaption>{}<span class="legend">{}</span></figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}. Latest: {}">{}</svg></figure>'
    ).format(title, legend, width, height, title, latest, Markup("").join(parts))


def _axes(days: Sequence[str], low: float, high: float, *, x: object, y: object, width: int, height: int) -> Markup:
    assert callable(x) and callable(y)
    parts = []
    for share in (0.1, 0.5, 0.9):
        value = low + (high - low) * share
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text x="{}" y="{:.1f}" class="tick end">{}</text>'
            ).format(_LEFT, width - _RIGHT, y(value), y(value), _LEFT - 6, y(value) + 4, f"{value:.3g}")
        )
    for number in sorted({0, len(days) // 3, 2 * len(days) // 3, len(days) - 1}):
        place = "start" if number == 0 else "end" if number == len(days) - 1 else "middle"
        parts.append(
            Markup('<text x="{:.1f}" y="{}" class="tick {}">{}</text>').format(
                x(number), height - 6, place, escape(days[number])
            )
        )
    return Markup("").join(parts)


def _path(values: Sequence[float | None], x: object, y: object) -> str:
    assert callable(x) and callable(y)
    words, pen_down = [], False
    for number, value in enumerate(values):
        if value is None:
            pen_down = False
            continue
        words.append(f"{'L' if pen_down else 'M'}{x(number):.1f} {y(value):.1f}")
        pen_down = True
    return "".join(words)


def _latest(values: Sequence[float | None]) -> str:
    return next((f"{value:.3f}" for value in reversed(values) if value is not None), "none yet")
