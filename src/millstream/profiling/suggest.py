"""Propose a contract from the data, and hold the proposal against the table's own past.

Each check is proposed twice: from the earlier part of the history, to be judged on the later part day by day, and from
all of it, to be printed. A check that would have raised more than one alarm a quarter in the later part is left out.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import TypeAlias

import msgspec
import polars as pl

from millstream.checks import expected, volume
from millstream.checks.runner import run
from millstream.checks.scene import Scene
from millstream.definitions import checks
from millstream.definitions.checks import Check, Expected, Fresh, Volume
from millstream.definitions.table import Table
from millstream.lake.frame import TableFrame
from millstream.profiling.columns import named_like_id
from millstream.types import parse_duration

MOST_JUDGED = 60
"""Days of the later part that are judged one by one."""
_QUARTER = 91
_SETS, _TIMES_EACH = 20, 50
_MOST_COLUMNS = 60


class Suggestion(msgspec.Struct, frozen=True):
    """A proposed check.

    Parameters
    ----------
    code
        As it is written in a definition.
    saw
        What of the data says so.
    alarms, judged
        Alarms it would have raised in how many later days; None where there is no past to hold it against.
    kept
        Whether it is proposed: not where it would have alarmed more than once a quarter.
    """

    code: str
    saw: str
    alarms: int | None
    judged: int
    kept: bool


def suggest(table: Table, batch: TableFrame, *, timezone: str, keys: Iterable[tuple[str, ...]]) -> list[Suggestion]:
    """Propose checks for a table from all its rows.

    Parameters
    ----------
    table
        Its definition; the checks it has are not looked at.
    batch
        All rows; columns that its schema leaves out are not looked at.
    timezone
        Zone whose midnights part days.
    keys
        What names each row, the likeliest first.
    """
    key = batch.key or next(iter(keys), ())
    proposed = propose(table, batch.frame, batch, key)
    days = _days(batch, timezone)
    if len(days) < 4:
        return [Suggestion(code(check), saw, None, 0, True) for check, saw in proposed]
    cut = days[int(len(days) * 0.7)]
    day = pl.col(str(batch.event_time)).dt.convert_time_zone(timezone).dt.date()
    earlier = propose(table, batch.frame.filter(day < cut), batch, key)
    later = [each for each in days if each >= cut][-MOST_JUDGED:]
    alarms = _alarms(table, batch, [check for check, _ in earlier], later, timezone)
    made = []
    for check, saw in proposed:
        about = _about(check)
        found: int | None
        if isinstance(check, Expected | Volume):
            found, judged = _periods(table, batch, check, timezone)
        else:
            found, judged = alarms.get(about), len(later)
        kept = found is None or found <= max(1, judged // _QUARTER)
        made.append(Suggestion(code(check), saw, found, judged if found is not None else 0, kept))
    return made


def code(check: Check) -> str:
    """Write a check as its definition does, without what is default.

    >>> code(checks.between("distance", 0, 6000)), code(checks.unique("id"))
    ("checks.between('distance', 0, 6000)", "checks.unique('id')")
    """
    fields = {name: getattr(check, name) for name in check.__struct_fields__ if name != "severity"}
    given = [repr(each) for each in fields.pop("columns", ())]
    for name in ("column", "low", "high", "values", "pattern"):
        if name in fields:
            found = fields.pop(name)
            given.append(repr(list(found)) if name == "values" else _plain(found))
    if isinstance(check, Expected | Volume):
        fields = {"every": check.every}
    given += [f"{name}={_plain(found)}" for name, found in fields.items() if (name, found) != ("at_most", 0.0)]
    return f"checks.{type(check).__struct_config__.tag}({', '.join(given)})"


def _plain(found: object) -> str:
    return f"{found:.12g}" if isinstance(found, float) else repr(found)


def propose(table: Table, frame: pl.DataFrame, batch: TableFrame, key: tuple[str, ...]) -> list[tuple[Check, str]]:
    """Propose checks from rows, each with what says so."""
    made: list[tuple[Check, str]] = []
    if not frame.height:
        return made
    if key and frame.select(key).n_unique() == frame.height:
        made.append((checks.unique(*key), f"{frame.height:,} rows, no two alike"))
    for name, kind in list(batch.schema.items())[:_MOST_COLUMNS]:
        made += _nulls(name, frame[name])
        if name in key or (named_like_id(name) and kind != "varchar"):
            continue
        if kind in ("bigint", "double"):
            made += _range(name, frame[name].drop_nulls())
        elif kind == "varchar":
            made += _texts(name, frame[name].drop_nulls())
    if table.event_time:
        made += _times(table, frame, batch, key)
    return made


def _nulls(name: str, column: pl.Series) -> list[tuple[Check, str]]:
    share = column.null_count() / column.len()
    if share > 0.5:
        return []
    limit = 0.0 if share == 0 else min(1.0, math.ceil(100 * (2 * share + 0.02)) / 100)
    return [(checks.nulls(name, at_most=limit), f"{share:.2%} NULL" if share else "never NULL")]


def _range(name: str, column: pl.Series) -> list[tuple[Check, str]]:
    low, high = column.min(), column.max()
    if not isinstance(low, int | float) or not isinstance(high, int | float) or low == high:
        return []
    if low in (0, 1) and high == 1 and column.dtype == pl.Int64:
        return [(checks.isin(name, [0, 1]), "only 0 and 1")]
    wide = 0.25 * (high - low)
    least = 0.0 if low >= 0 else _round(low - wide, up=False)
    return [(checks.between(name, least, _round(high + wide, up=True)), f"from {low:g} to {high:g}, a quarter wider")]


def _round(number: float, *, up: bool) -> float:
    """Round away from the data to two figures."""
    if not number:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(number))) - 1)
    return round((math.ceil if up else math.floor)(number / unit) * unit, 12)


def _texts(name: str, column: pl.Series) -> list[tuple[Check, str]]:
    distinct = column.unique().sort()
    if 0 < distinct.len() <= _SETS and column.len() >= _TIMES_EACH * distinct.len():
        return [(checks.isin(name, distinct.to_list()), f"{distinct.len()} values, each many times")]
    found = pattern(distinct.to_list()[:100_000])
    return [(checks.matches(name, found), f"{distinct.len():,} values of one shape")] if found else []


def pattern(texts: list[str]) -> str:
    """Return a regular expression of the one shape all texts have; empty where they have several.

    >>> pattern(["N14228", "N24211", "N5AA"]), pattern(["LAX", "SJU"]), pattern(["A-12", "B-7"])
    ('', '[A-Z]{3}', '[A-Z]-[0-9]{1,2}')
    """
    shapes: set[tuple[str, ...]] = set()
    lengths: list[tuple[int, int]] = []
    for each in texts:
        parts = re.findall(r"[A-Z]+|[a-z]+|[0-9]+|.", each, re.DOTALL)
        shape = tuple(_class(part) for part in parts)
        if shapes and shape not in shapes:
            return ""
        now = [(len(part), len(part)) for part in parts]
        lengths = now if not shapes else [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(lengths, now, strict=True)]
        shapes.add(shape)
    if not shapes or len(texts) < 2:
        return ""
    written = zip(next(iter(shapes)), lengths, strict=True)
    return "".join(
        one + ("" if (a, b) == (1, 1) else f"{{{a}}}" if a == b else f"{{{a},{b}}}") for one, (a, b) in written
    )


def _class(part: str) -> str:
    for one, name in (("A-Z", "[A-Z]"), ("a-z", "[a-z]"), ("0-9", "[0-9]")):
        if re.fullmatch(f"[{one}]+", part):
            return name
    return re.escape(part)


def _times(table: Table, frame: pl.DataFrame, batch: TableFrame, key: tuple[str, ...]) -> list[tuple[Check, str]]:
    instants = frame[str(table.event_time)].drop_nulls().unique().sort()
    if instants.len() < 20:
        return []
    longest = instants.diff().drop_nulls().max()
    made: list[tuple[Check, str]] = []
    if isinstance(longest, timedelta):
        hours = math.ceil(1.5 * longest.total_seconds() / 3600) + 24
        made.append((checks.fresh(within=f"{hours}h"), f"longest gap between events {longest}, half more, and a day"))
    first, last = instants[0], instants[-1]
    if last - first < timedelta(weeks=10):
        return made
    made.append((checks.volume(), f"{(last - first).days} days of rows"))
    names = [each for each in key if each != table.event_time and batch.schema.get(each) in ("bigint", "varchar")]
    if len(names) == len(key):  # the key names rows alone: what else names who rows are about
        names = [each for each, kind in batch.schema.items() if kind in ("bigint", "varchar") and named_like_id(each)]
        names = [each for each in names if frame[each].n_unique() > 1]
        names = sorted(names, key=lambda each: frame[each].n_unique())[:1]
    who = [each for each in names if 2 <= frame[each].n_unique() <= frame.height / _TIMES_EACH][:2]
    if who:
        made.append((checks.expected(*who), f"{frame.select(who).n_unique():,} combinations have rows"))
    return made


def _days(batch: TableFrame, timezone: str) -> list[date]:
    if batch.event_time is None or not batch.frame.height:
        return []
    return list(batch.frame[batch.event_time].drop_nulls().dt.convert_time_zone(timezone).dt.date().unique().sort())


def _run(table: Table, batch: TableFrame, whole: TableFrame, wanted: Sequence[Check], now: datetime) -> list[bool]:
    asked = dataclasses.replace(table, checks=tuple(wanted))
    made = run(asked, batch, known_keys=None, other=lambda *_, **__: whole, now=now, timezone="UTC")
    return [each.ok for each in made.results]


_About: TypeAlias = tuple[type[Check], object]


def _about(check: Check) -> _About:
    return type(check), getattr(check, "column", getattr(check, "columns", ""))


def _alarms(
    table: Table, batch: TableFrame, wanted: list[Check], later: list[date], timezone: str
) -> dict[_About, int]:
    """Count the days of the later part on which each check would have alarmed."""
    judged = [each for each in wanted if not isinstance(each, Expected | Volume | Fresh)]
    day = pl.col(str(batch.event_time)).dt.convert_time_zone(timezone).dt.date()
    found: dict[_About, int] = {}
    for each_day in later:
        part = batch.frame.filter(day == each_day)
        newest = part[str(batch.event_time)].max()
        assert isinstance(newest, datetime)
        one = TableFrame(batch.table, batch.version, part, batch.schema, batch.key, batch.event_time, batch.known)
        for check, ok in zip(judged, _run(table, one, batch, judged, newest), strict=True):
            about = _about(check)
            found[about] = found.get(about, 0) + (not ok)
    fresh = next((each for each in wanted if isinstance(each, Fresh)), None)
    if fresh is not None:
        gaps = batch.frame.filter(day.is_in(later))[str(batch.event_time)].drop_nulls().unique().sort().diff()
        limit = timedelta(hours=int(fresh.within.removesuffix("h")))
        found[_about(fresh)] = int((gaps > limit).sum())
    return found


def _periods(table: Table, batch: TableFrame, check: Expected | Volume, timezone: str) -> tuple[int, int]:
    """Count the periods of the whole past that a check of habits would have called short."""
    newest = batch.frame[str(batch.event_time)].max()
    assert isinstance(newest, datetime)
    now = newest + parse_duration(table.lag)
    scene = Scene(table, batch, None, lambda *_, **__: batch, now, timezone)
    made = expected.check(check, scene) if isinstance(check, Expected) else volume.check(check, scene)
    periods = made.detail["periods"]
    return sum(not each["ok"] for each in periods), len(periods)
