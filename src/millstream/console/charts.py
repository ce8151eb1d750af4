"""Small line charts as inline SVG: no script, readable without colour, with a text alternative.

Only the lines are SVG, stretched to whatever room the page has; words and figures beside them are HTML, so that they
keep their size on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

import msgspec
from markupsafe import Markup

_TICKS = 4
_LETTER_PX, _APART_PX = 7.8, 8
"""Room of one letter of a marked word, and between two words; taken generously, as fonts differ."""
_WIDE_PX, _NARROW_PX = 450, 220
"""Width of a plot alone in its row, and of one that shares it or stands on a phone; ``@container`` of the style."""


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
    """Something that happened on a day: a vertical line with a word, and a sentence for whoever points at it."""

    day: str
    word: str
    says: str
    style: str


def chart(
    days: Sequence[str], lines: Sequence[Line], *, title: str, marks: Sequence[Mark] = (), unit: str = ""
) -> Markup:
    """Draw lines over days.

    Parameters
    ----------
    days
        ISO days in order, one for each value.
    lines
        What is drawn; no values give an empty state in words.
    title
        What the chart shows, also for screen readers.
    marks
        Events to mark; those outside the days are left out.
    unit
        Written behind the latest figures.
    """
    present = [value for line in lines for value in line.values if value is not None and math.isfinite(value)]
    if len(days) < 2 or not present:
        return Markup('<p class="empty chartless">{} will appear here after two judged days.</p>').format(title)
    steps = ticks(min(present), max(present))
    low, high = min(steps[0], *present), max(steps[-1], *present)

    def x(number: int) -> float:
        return number / (len(days) - 1)

    def y(value: float) -> float:
        return (high - value) / (high - low)

    paths = [
        Markup('<path class="line {}" d="{}"/>').format(line.style, _path(line.values, x, y))
        for line in reversed(lines)
    ]
    grid = [Markup('<path class="grid" d="M0 {0:.1f}H1000"/>').format(y(each) * 1000) for each in steps]
    scale = [
        Markup('<span class="tick y" style="top:{:.1f}%">{}</span>').format(y(each) * 100, _figure(each, steps))
        for each in steps
    ]
    events, named = _marks(days, marks)
    latest = "; ".join(f"{line.name} {_latest(line.values, unit)}" for line in lines)
    legend = Markup("").join(
        Markup('<span class="key {}">{} <b>{}</b></span>').format(line.style, line.name, _latest(line.values, unit))
        for line in lines
    )
    return Markup(
        '<figure><figcaption>{}<span class="legend">{}</span></figcaption><div class="plot">'
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img"'
        ' aria-label="{}, {} to {}. Latest: {}">{}</svg>'
        "{}</div></figure>"
    ).format(
        title, legend, title, days[0], days[-1], latest, Markup("").join([*grid, *events, *paths]),
        Markup("").join([*scale, *_dates(days), *named]),
    )  # fmt: skip


def ticks(low: float, high: float) -> list[float]:
    """Choose round numbers that span a range, about four of them.

    >>> ticks(0.52, 0.67)
    [0.5, 0.55, 0.6, 0.65, 0.7]
    >>> ticks(3.0, 3.0)
    [2.0, 3.0, 4.0]
    """
    size = max(abs(low), abs(high))
    if high - low < 1e-9 * max(1.0, size):  # flat: the line runs through the middle
        width = size / 3 if size > 1e-6 else 1.0
        return [low - width, low, low + width]
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each for each in (power, 2 * power, 5 * power, 10 * power) if each >= rough * 0.75)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def day_in_words(day: str, *, year: bool = False) -> str:
    """Write a day as people say it.

    >>> day_in_words("2013-02-01"), day_in_words("2013-02-01", year=True)
    ('1 Feb', '1 Feb 2013')
    """
    at = date.fromisoformat(day)
    return f"{at.day} {at:%b %Y}" if year else f"{at.day} {at:%b}"


def _marks(days: Sequence[str], marks: Sequence[Mark]) -> tuple[list[Markup], list[Markup]]:
    """Draw what happened as lines, and name them as far as their words find room: the newest first."""
    placed = [
        (next(number for number, day in enumerate(days) if day >= mark.day) / (len(days) - 1), mark)
        for mark in sorted(marks, key=lambda each: each.day)
        if days[0] <= mark.day <= days[-1]
    ]
    lines = [
        Markup('<path class="mark {}" d="M{:.1f} 0V1000"><title>{}, {}: {}</title></path>').format(
            mark.style, at * 1000, mark.word, mark.day, mark.says
        )
        for at, mark in placed
    ]
    wide, narrow = _sides(placed, _WIDE_PX), _sides(placed, _NARROW_PX)
    words = [
        Markup('<span class="word {} wide-{} narrow-{}" style="left:{:.1f}%" title="{}: {}">{}</span>').format(
            mark.style, one, other, at * 100, mark.day, mark.says, mark.word
        )
        for (at, mark), one, other in zip(placed, wide, narrow, strict=True)
        if (one, other) != ("none", "none")
    ]
    return lines, words


def _sides(placed: Sequence[tuple[float, Mark]], width_px: int) -> list[str]:
    """Choose on which side of its mark each word stands in a plot of a width, or none; the newest choose first."""
    chosen = ["none"] * len(placed)
    taken: list[tuple[float, float]] = []
    for number in reversed(range(len(placed))):
        at, mark = placed[number]
        length = (len(mark.word) * _LETTER_PX + _APART_PX) / width_px
        for side, start in (("right", at), ("left", at - length)):
            inside = start >= -0.01 and start + length <= 1.0
            if inside and all(start >= right or start + length <= left for left, right in taken):
                chosen[number] = side
                taken.append((start, start + length))
                break
    return chosen


def _dates(days: Sequence[str]) -> list[Markup]:
    last = len(days) - 1
    chosen = sorted({0, last // 3, 2 * last // 3, last} if last >= 6 else {0, last})
    return [
        Markup('<span class="tick x {}" style="left:{:.1f}%">{}</span>').format(
            "start" if number == 0 else "end" if number == last else "", number / last * 100, day_in_words(days[number])
        )
        for number in chosen
    ]


def _path(values: Sequence[float | None], x: object, y: object) -> str:
    """Write a path; a value alone between two gaps becomes a dot."""
    assert callable(x) and callable(y)
    words, pen_down = [], False
    for number, value in enumerate(values):
        if value is None or not math.isfinite(value):
            pen_down = False
            continue
        place = f"{x(number) * 1000:.1f} {y(value) * 1000:.1f}"
        words.append(f"L{place}" if pen_down else f"M{place}h0")
        pen_down = True
    return "".join(words)


def _figure(value: float, steps: Sequence[float]) -> str:
    digits = max(0, -math.floor(math.log10(steps[1] - steps[0]) + 1e-9))
    return f"{value:.{digits}f}"


def _latest(values: Sequence[float | None], unit: str) -> str:
    return next((f"{value:.3g}{unit}" for value in reversed(values) if value is not None), "none yet")
