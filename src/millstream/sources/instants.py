"""Columns that are times written as text, date or number, and how; what is uncertain is not guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from millstream.sources.figures import PLAIN, all_like
from millstream.sources.texts import times

_DAY_DIGITS = r"^(19|20)\d{6}$"
_DAYS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y%m%d",
    "%d %b %Y",
    "%b %d, %Y",
    "%d.%m.%y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d-%b-%Y",
    "%d %B %Y",
    "%B %d, %Y",
)
_CLOCKS = (
    "",
    " %H:%M:%S",
    " %H:%M",
    "T%H:%M:%S",
    "T%H:%M",
    " %H:%M:%S%.f",
    "T%H:%M:%S%.f",
    " %I:%M %p",
    " %I:%M:%S %p",
)
_OFFSETS = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S%z", "%Y-%m-%dT%H:%M:%S%.f%z")
_SWAPPED = {"%d/%m/": "%m/%d/", "%m/%d/": "%d/%m/", "%d-%m-": "%m-%d-", "%m-%d-": "%d-%m-"}
_LIKE = r"^(\d{4}[-/]\d{1,2}[-/]\d|\d{1,2}[./-]\d{1,2}[./-]\d{2})"
_EPOCH_WORD = re.compile(
    r"(?:^|_)(ts|time|timestamp|epoch|unixtime|unix|datetime|at|date|created|event)(?:_|$)", re.IGNORECASE
)
_EPOCHS = {"epoch_s": (631_152_000, 4_102_444_800), "epoch_ms": (631_152_000_000, 4_102_444_800_000)}
_MOST = 20_000
_FEW = 0.5


class Instants(NamedTuple):
    """The columns that are times.

    Parameters
    ----------
    formats
        Column to the formats of it, where it needs any.
    says
        A sentence for each thing worth saying.
    uncertain
        Columns of days and months that nothing tells apart.
    """

    formats: dict[str, tuple[str, ...]]
    says: tuple[str, ...]
    uncertain: tuple[str, ...]


def instants(frame: pl.DataFrame, *, ways: Mapping[str, str] | None = None) -> Instants:
    """Find the columns of a frame that are times, and how they are written.

    Parameters
    ----------
    frame
        Texts, dates and numbers.
    ways
        Column to the format of its times, where somebody knows it; other columns are read in the same order.
    """
    formats: dict[str, tuple[str, ...]] = {name: (way,) for name, way in (ways or {}).items() if name in frame.columns}
    says: list[str] = []
    either: dict[str, tuple[str, str]] = {}
    written = frame.select(pl.col(pl.String))
    numbers = all_like(written, PLAIN) - all_like(written, _DAY_DIGITS) if written.width else set()
    for name, kind in frame.schema.items():
        if name in formats or (name in numbers and not _EPOCH_WORD.search(name)):
            continue
        column = frame[name].drop_nulls()
        if column.is_empty():
            continue
        found: tuple[str, ...] = ()
        if kind == pl.Date:
            found = ("date",)
        elif kind == pl.String:
            texts = column.unique(maintain_order=True).head(_MOST)
            found, said = _text_times(texts) if name not in numbers else ((), "")
            if len(found) == 1 and (other := _swapped(found[0])) and times(texts, (other,)).is_not_null().all():
                either[name] = (found[0], texts[0])
                continue
            found = found or _epoch(name, column.cast(pl.Float64, strict=False))
            says += [f"{name!r}: {said}"] if said else []
        elif kind.is_numeric():
            found = _epoch(name, column.cast(pl.Float64))
        if found:
            formats[name] = found
    settled, more, uncertain = _settle(either, formats)
    return Instants({**formats, **settled}, (*says, *more), uncertain)


def _settle(
    either: Mapping[str, tuple[str, str]], known: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, tuple[str, ...]], list[str], tuple[str, ...]]:
    """Tell days from months as the other columns of the file do, else not at all."""
    sure = {each.startswith("%d") for formats in known.values() for each in formats if _swapped(each)}
    formats: dict[str, tuple[str, ...]] = {}
    says: list[str] = []
    for name, (form, example) in either.items():
        if len(sure) == 1:
            formats[name] = (form if form.startswith("%d") in sure else _swapped(form),)
            says.append(
                f"{name!r}: days and months cannot be told apart; read as other dates of the file, {formats[name][0]}"
            )
        else:
            says.append(
                f"{name!r}: days and months cannot be told apart, such as {example!r}; kept as text. "
                f"times={{{name!r}: ({form!r},)}} in its source, or ({_swapped(form)!r},), says which it is"
            )
    return formats, says, tuple(each for each in either if each not in formats)


def _text_times(values: pl.Series) -> tuple[tuple[str, ...], str]:
    """Find the formats of texts that are times, and what is uncertain about them."""
    start = values.head(200).str.strip_chars()
    if not start.str.contains(r"\d.*[-/.: ].*\d|^\d{8}$").mean():
        return (), ""
    fits: dict[str, pl.Series] = {}
    for each in (*_OFFSETS, *(day + clock for clock in _CLOCKS for day in _DAYS)):
        if times(start, (each,)).is_not_null().any():
            read = times(values, (each,)).is_not_null()
            if read.any():
                fits[each] = read
    whole = [each for each, read in fits.items() if read.all()]
    if whole:
        said = "years of two digits: 00 to 69 are taken as 20.., 70 to 99 as 19.." if "%y" in whole[0] else ""
        return (whole[0],), said
    chosen: list[str] = []
    left = pl.repeat(True, values.len(), eager=True)
    for each in sorted(fits, key=lambda name: -int(fits[name].sum())):
        if (fits[each] & left).any():
            chosen.append(each)
            left = left & ~fits[each]
    if not chosen or left.any():
        return (), _said_of_others(values, left)
    if any(_swapped(each) in fits for each in chosen):
        return (), "its dates are written day first and month first, which cannot be told apart; kept as text"
    if len({each.endswith("%z") for each in chosen}) > 1:
        return (), "some of its times have a zone and others have none; kept as text"
    return tuple(chosen), f"its times are written in {len(chosen)} ways: {', '.join(chosen)}"


def _said_of_others(values: pl.Series, left: pl.Series) -> str:
    share = float((~left).sum()) / values.len()
    if share >= _FEW:
        other = values.filter(left)[0]
        return f"{share:.0%} of its values look like times, the others do not, such as {other!r}; kept as text"
    if values.str.contains(_LIKE).mean() == 1.0 and values.str.len_chars().min() >= 8:  # type: ignore[operator]
        return f"its values look like times, such as {values[0]!r}, but are written in no known way; kept as text"
    return ""


def _swapped(form: str) -> str:
    for day_first, month_first in _SWAPPED.items():
        if form.startswith(day_first):
            return form.replace(day_first, month_first, 1)
    return ""


def _epoch(name: str, column: pl.Series) -> tuple[str, ...]:
    """Take numbers for times only where they are named like one and lie between 1990 and 2100."""
    if not _EPOCH_WORD.search(name) or column.null_count():
        return ()
    for form, (low, high) in _EPOCHS.items():
        if column.is_between(low, high).all():
            return (form,)
    return ()
