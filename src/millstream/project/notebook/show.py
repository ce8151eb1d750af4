"""Tables that show themselves: HTML in Jupyter, aligned text elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

import polars as pl

from millstream.project.notebook.frames import to_pandas

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20
"""Rows a table shows of itself."""
_WIDEST = 60
_TEXT_WIDTH = 140


class Answer:
    """The rows of an answer, with where they came from.

    Parameters
    ----------
    frame
        The rows, in Polars.
    pins
        Table to the version that was read; empty where nothing was.
    title
        What it is, in a line.
    """

    def __init__(self, frame: pl.DataFrame, *, pins: Mapping[str, int] | None = None, title: str = "") -> None:
        self.frame = frame
        self.pins = dict(pins or {})
        self.title = title

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows in pandas."""
        return to_pandas(self.frame)

    def __len__(self) -> int:
        return self.frame.height

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.frame.iter_rows(named=True)

    def __getitem__(self, column: str) -> pl.Series:
        return self.frame[column]

    def __repr__(self) -> str:
        return "\n".join(each for each in (self.title, as_text(self.frame), tail(self.frame, self.pins)) if each)

    def _repr_html_(self) -> str:
        return block(self.title, table(self.frame), tail(self.frame, self.pins))


def records(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    """Make a frame of a few records; a column of mixed kinds becomes text."""
    made = {}
    for place, name in enumerate(columns):
        values = [row[place] for row in rows]
        kinds = {type(each) for each in values if each is not None} - ({int} if float in map(type, values) else set())
        mixed = len(kinds) > 1
        made[name] = pl.Series(name, [None if each is None else str(each) for each in values] if mixed else values)
        if made[name].dtype == pl.Null:
            made[name] = made[name].cast(pl.String)
    return pl.DataFrame(made)


def tail(frame: pl.DataFrame, pins: Mapping[str, int]) -> str:
    """Say how many rows there are, and of which versions."""
    rows = f"{frame.height:,} row{'s' * (frame.height != 1)}"
    more = f", the first {SHOWN} shown" if frame.height > SHOWN else ""
    return f"{rows}{more}{' from ' + spelled(pins) if pins else ''}"


def spelled(pins: Mapping[str, int]) -> str:
    """Write pins as people say them: ``flights@12 weather@7``."""
    return " ".join(f"{name}@{version}" for name, version in sorted(pins.items()))


def block(title: str, *parts: str) -> str:
    """Put a title and parts of HTML together; a part that is no HTML becomes a line."""
    head = f"<strong>{escape(title)}</strong>" if title else ""
    lines = [
        each if each.startswith("<") else f"<div style='opacity:.7'>{escape(each)}</div>" for each in parts if each
    ]
    return f"<div class='millstream'>{head}{''.join(lines)}</div>"


def table(frame: pl.DataFrame, *, rows: int = SHOWN, pictures: tuple[str, Sequence[str]] | None = None) -> str:
    """Write the first rows as an HTML table: numbers to the right, NULL a dot.

    Parameters
    ----------
    frame, rows
        What is shown, and how much of it.
    pictures
        A last column of small pictures: its name, and one SVG a row.
    """
    sides = [_side(dtype.is_numeric()) for dtype in frame.schema.values()]
    drawn = [] if pictures is None else list(pictures[1])

    def row(tag: str, cells: Sequence[str]) -> str:
        return "".join(f"<{tag} {side}>{escape(each)}</{tag}>" for each, side in zip(cells, sides, strict=True))

    head = row("th scope='col'", frame.columns).replace("</th scope='col'>", "</th>")
    head += "" if pictures is None else f"<th scope='col' {_side(False)}>{escape(pictures[0])}</th>"
    body = ""
    for place, cells in enumerate(frame.head(rows).rows()):
        last = f"<td {_side(False)}>{drawn[place]}</td>" if drawn else ""
        body += f"<tr>{row('td', [plain(each) for each in cells])}{last}</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def bars(counts: Sequence[float], *, says: str) -> str:
    """Draw counts as small bars, the largest as high as a line of text; ``says`` is read aloud for them."""
    most = max(counts, default=0) or 1
    drawn = "".join(
        f"<rect x='{6 * place}' y='{16 - tall:.1f}' width='5' height='{tall:.1f}'/>"
        for place, tall in enumerate(max(16 * each / most, 0.7 if each else 0.0) for each in counts)
    )
    return (
        f"<svg role='img' aria-label='{escape(says, quote=True)}' width='{6 * len(counts)}' height='16' "
        f"fill='#4a7fb5' style='vertical-align:middle'>{drawn}</svg>"
    )


def as_text(frame: pl.DataFrame) -> str:
    """Write the first rows as aligned text; columns beyond a terminal's width are counted."""
    right = [dtype.is_numeric() for dtype in frame.schema.values()]
    rows = [frame.columns, *([plain(each) for each in row] for row in frame.head(SHOWN).rows())]
    widths = [max(len(row[place]) for row in rows) for place in range(frame.width)]
    fit = max(1, sum(1 for place in range(frame.width) if sum(widths[: place + 1]) + 2 * place <= _TEXT_WIDTH))
    lines = []
    for row in rows:
        cells = zip(row[:fit], widths[:fit], right[:fit], strict=True)
        lines.append("  ".join(cell.rjust(width) if at else cell.ljust(width) for cell, width, at in cells).rstrip())
    if fit < frame.width:
        lines[0] += f"  … {frame.width - fit} more columns"
    return "\n".join(lines)


def plain(value: Any) -> str:
    """Write one value as people read it."""
    if value is None:
        return "·"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        ordinary = not value or 1e-3 <= abs(value) < 1e9
        return f"{value + 0.0:,.4f}".rstrip("0").rstrip(".") if ordinary else f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(":00")
    said = str(value)
    return said if len(said) <= _WIDEST else said[: _WIDEST - 1] + "…"


def _side(right: bool) -> str:
    return f"style='text-align:{'right' if right else 'left'};white-space:nowrap'"
