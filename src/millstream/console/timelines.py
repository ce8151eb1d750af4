"""A table over time, for the page of its profile: rows as bars, and where values are missing as rows of tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

STYLE = """
.time { display: grid; grid-template-columns: minmax(4.5rem, 11rem) minmax(0, 1fr) 3.6rem; gap: 3px 10px;
  align-items: center; margin-top: 8px; font-size: .85rem; }
.time > span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.time > span:nth-child(3n) { text-align: right; color: var(--soft); }
.time svg { width: 100%; height: 15px; display: block; } .time svg.rows { height: 64px; }
.time svg rect { fill: var(--water); } .time svg rect.none { fill: var(--line); }
.time svg rect.there { fill: var(--tint); }
.time .ends { grid-column: 2; white-space: nowrap; }
@media (max-width: 600px) { .time { grid-template-columns: 5.5rem minmax(0, 1fr) 2.6rem; } }
"""
_WORDS = {"1h": "hour", "1d": "day", "1w": "week", "1mo": "month", "1q": "quarter", "1y": "year"}


def over_time(timeline: Mapping[str, Any]) -> Markup:
    """Draw rows and missing values, period by period.

    Parameters
    ----------
    timeline
        As a profile's ``timeline``.
    """
    starts, rows = timeline["starts"], timeline["rows"]
    most = max(rows) or 1
    lines = [
        _line("rows", _rows(starts, rows, most), f"{most:,}"),
        *(
            _line(name, _tiles(name, starts, shares, rows), f"{_whole(shares, rows):.0%}")
            for name, shares in timeline["nulls"].items()
        ),
    ]
    ends = Markup('<span></span><div class="ends"><span>{}</span><span>{}</span></div><span></span>').format(
        starts[0], starts[-1]
    )
    empty = sum(not each for each in rows)
    word = _WORDS[timeline["every"]]
    gaps = f"; {empty:,} of {len(rows):,} have none" if empty else ""
    about = f"by {word} of {timeline['column']}, in UTC{gaps}" + (
        "; below, the stronger the colour, the more values of a column are missing"
        if timeline["nulls"]
        else "; no value is missing"
    )
    return Markup(
        '<section class="card"><h2>Over time</h2><div class="small soft">{}</div><div class="time">{}</div></section>'
    ).format(about, Markup("").join([*lines, ends]))


def _line(name: str, drawn: Markup, figure: str) -> Markup:
    return Markup('<span title="{0}">{0}</span>{1}<span>{2}</span>').format(name, drawn, figure)


def _rows(starts: Sequence[str], rows: Sequence[int], most: int) -> Markup:
    width = 1000 / len(rows)
    bars = Markup("").join(
        Markup(
            '<rect{} x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}: {:,} rows</title></rect>'
        ).format(
            "" if count else Markup(' class="none"'), place * width + 1, 100 - height, width - 2, height, start, count
        )
        for place, (start, count) in enumerate(zip(starts, rows, strict=True))
        for height in (max(100 * count / most, 2.0),)
    )
    return Markup(
        '<svg class="rows" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img"'
        ' aria-label="Rows by time, from {} to {}; at most {:,}">{}</svg>'
    ).format(starts[0], starts[-1], most, bars)


def _tiles(name: str, starts: Sequence[str], shares: Sequence[float | None], rows: Sequence[int]) -> Markup:
    width = 1000 / len(starts)
    tiles = Markup("").join(
        Markup('<rect class="there" x="{0:.1f}" width="{1:.1f}" height="10"/>').format(place * width + 1, width - 2)
        + Markup(
            '<rect x="{:.1f}" width="{:.1f}" height="10" fill-opacity="{:.2f}"><title>{}: {:.1%} missing</title></rect>'
        ).format(place * width + 1, width - 2, share**0.5, start, share)
        for place, (start, share) in enumerate(zip(starts, shares, strict=True))
        if share is not None
    )
    return Markup(
        '<svg viewBox="0 0 1000 10" preserveAspectRatio="none" role="img"'
        ' aria-label="Missing values of {} by time; {:.1%} in all">{}</svg>'
    ).format(name, _whole(shares, rows), tiles)


def _whole(shares: Sequence[float | None], rows: Sequence[int]) -> float:
    return sum((share or 0.0) * of for share, of in zip(shares, rows, strict=True)) / (sum(rows) or 1)
