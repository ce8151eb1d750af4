"""What is noticed in every batch without being asked for: a new category, zeros that may be missing, a frozen column.

Each is judged against a memory of the batches that were fine, not against a fixed limit. Rows of one batch are alike,
so habits count batches. On 24 real tables no rule was made on this raises at most one alarm a quarter: see
``docs/checks.md``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

import msgspec
import polars as pl

from millstream.checks.contract import kind
from millstream.checks.found import HABIT, Found
from millstream.checks.measure import Measured, Numbers, measure
from millstream.checks.memory import MOST_COLUMNS, MOST_VALUES, RECENT, SOME, Memory, Run, Share
from millstream.checks.report import CheckResult
from millstream.checks.still import frozen, stopped
from millstream.checks.words import count, percent, value
from millstream.definitions.checks import Defaults, Frozen, NewCategory, Zeros
from millstream.definitions.noticed import Notice
from millstream.definitions.severity import Severity
from millstream.definitions.table import Table
from millstream.lake.frame import TableFrame

FEW_ROWS, FEW_SHARE = 10, 0.2
"""A new value of fewer rows, and not surely a larger share of the batch, is written down, and no alarm."""
NEWS = 1 / 90
"""Where a batch is expected to bring more values never seen, a new one is no news: one a quarter of days."""
NAMES = 0.2
"""Where it is expected to bring more than one in five batches, a new value is no group to look at for zeros."""


class Noticed(msgspec.Struct, frozen=True):
    """What a batch was judged to be.

    Parameters
    ----------
    results
        One for each thing noticed, and for each that was noticed in the last batch and is gone.
    aside
        Rows to set aside, of checks that were asked for: key columns, ``check`` and ``reason``.
    memory
        To be kept for the next batch.
    remarks
        What was not, or could not be, judged.
    """

    results: tuple[CheckResult, ...]
    aside: list[pl.DataFrame]
    memory: Memory
    remarks: tuple[CheckResult, ...] = ()


def notice(table: Table, batch: TableFrame, memory: Memory | None, *, timezone: str, whole: bool = False) -> Noticed:
    """Judge a batch against what earlier ones were like, and learn from it.

    Parameters
    ----------
    table
        The definition: its checks say what is turned off and how bad each is.
    batch
        The rows that came.
    memory
        Of the batches before; None for a first batch, in which nothing is unusual.
    timezone
        Zone whose midnights part the days of a first batch.
    whole
        Whether each batch brings all rows of the table again.
    """
    found_now = measure(table, batch, memory, timezone=timezone)
    kept = memory if memory is not None else Memory()
    found: list[Found] = []
    if memory is not None and batch.frame.height:
        found = [each for each in judge(found_now, kept, batch, whole=whole) if wanted(table, each)]
    found = [msgspec.structs.replace(each, severity=severity_of(table, each)) for each in found]
    learnt = learn(kept, found_now, found, whole=whole)
    gone = [each for each in kept.failing if each not in learnt.failing] if batch.frame.height else []
    results = [_result(table, each) for each in found] + [_over(table, each) for each in gone]
    remarks = [_said(table, "first", _first(found_now))] if memory is None and batch.frame.height else []
    remarks += [_said(table, "wide", _wide(batch))] if len(batch.schema) > MOST_COLUMNS else []
    aside = [each for each in (_aside(table, batch, one) for one in found) if each is not None]
    return Noticed(tuple(results), aside, learnt, tuple(remarks))


def wanted(table: Table, found: Found) -> bool:
    """Say whether what was noticed is to be told: declared for its column, or not turned off."""
    if _declared(table, found.what, found.column) is not None:
        return True
    off = {each for check in table.checks if isinstance(check, Defaults) for each in check.off}
    return not {found.what, f"{found.what}.{found.column}"} & off


def still_wanted(table: Table, said: CheckResult) -> CheckResult | None:
    """Return what was noticed of a batch as the definition wants it now; None where it is turned off by now."""
    found = Found(said.check, said.subject.partition(".")[2], said.severity, 0.0, 0.0, "", 0)  # type: ignore[arg-type]
    if not wanted(table, found):
        return None
    return msgspec.structs.replace(said, severity=severity_of(table, found))


def severity_of(table: Table, found: Found) -> Severity:
    """Return how bad it is: as declared, else as noticed."""
    return _declared(table, found.what, found.column) or found.severity


def _declared(table: Table, what: str, column: str) -> Severity | None:
    for check in table.checks:
        if not isinstance(check, NewCategory | Zeros | Frozen) or kind(check) != what:
            continue
        if not check.columns or column in check.columns:
            return check.severity
    return None


def judge(now: Measured, memory: Memory, batch: TableFrame, *, whole: bool) -> list[Found]:
    """Name what is unusual of a batch."""
    found = [*_new_categories(now, memory), *_zeros(now, memory), *_group_zeros(now, memory)]
    found += frozen(now.numbers, memory, whole=whole)
    if not whole:
        found += stopped(now, memory, batch)
    return list({(each.what, each.column): each for each in reversed(found)}.values())[::-1]


def _new_categories(now: Measured, memory: Memory) -> list[Found]:
    found = []
    for column, values in now.texts.items():
        known = memory.texts.get(column)
        if not values or not known or len(known) + len(values) > 2 * MOST_VALUES:
            continue
        new = {each: rows for each, rows in values.items() if each not in known}
        if not new or not _settled(known, memory, column):
            continue
        rows, share = sum(new.values()), sum(new.values()) / now.numbers.rows
        few = _few(rows, now.numbers.rows)
        expected_anyway = _unseen(known) * now.numbers.rows
        usual = memory.batches - memory.fresh.get(column, -RECENT) < RECENT
        note = few or expected_anyway > 0.05 or memory.news(column) > NEWS or (usual and share < 0.05)
        most = sorted(new, key=lambda each: -new[each])
        some = ", ".join(value(each) for each in most[:3]) + (" ..." if len(new) > 3 else "")
        says = (
            f"{some} never was among the {count(len(known), 'value')} before; {count(rows, 'row')} of "
            f"{now.numbers.rows:,} ({percent(share)}) have it"
        )
        found.append(
            Found("new_category", column, "note" if note else "warn", share, 0.0, says, rows, column, tuple(most[:50]))
        )
    return found


def _few(rows: int, of: int) -> bool:
    """Say whether rows are too few to wake anybody: in number, and not surely a part of the batch that matters."""
    return rows < FEW_ROWS and at_least(rows, of) < FEW_SHARE


def _settled(known: dict[str, int], memory: Memory, column: str) -> bool:
    """Say whether a column has been seen often enough for a new value to be news: each known one many times."""
    return sum(known.values()) >= 20 * len(known) and (memory.batches >= HABIT or memory.rows >= 50 * SOME)


def _unseen(known: dict[str, int]) -> float:
    """Estimate the chance that a row's value is one never seen (Good 1953: the share of values seen once)."""
    return sum(1 for rows in known.values() if rows == 1) / max(1, sum(known.values()))


def at_least(found: int, of: int, *, sure: float = 4.0) -> float:
    """Return the share that is at least so, almost surely (Wilson 1927; ``sure`` in standard deviations)."""
    if not of:
        return 0.0
    share, square = found / of, sure**2 / of
    half = sure * math.sqrt(share * (1 - share) / of + square / (4 * of))
    return max(0.0, (share + square / 2 - half) / (1 + square))


def _zeros(now: Measured, memory: Memory) -> list[Found]:
    found = []
    for column, zeros in now.numbers.zeros.items():
        past, filled = memory.zeros.get(column), now.numbers.filled[column]
        if past is None or memory.flags.get(column) or not zeros or filled < SOME or len(past.recent) < HABIT:
            continue
        middle = median(past.recent)
        wide = 1.4826 * median(abs(each - middle) for each in past.recent)
        limit = max(middle + 6 * wide, 1.25 * max(past.recent), past.share) + 0.05
        if at_least(zeros, filled) <= limit:
            continue
        usual = f"usual is {percent(middle)}" if past.found else f"none of {count(past.rows, 'value')} before was"
        says = f"{percent(zeros / filled)} of {count(filled, 'value')} are exactly 0, {usual}: a missing value?"
        found.append(Found("zeros", column, "warn", zeros / filled, limit, says, zeros))
    return found


def _group_zeros(now: Measured, memory: Memory) -> list[Found]:
    found = []
    for by, values in now.groups.items():
        if not memory.texts.get(by):
            continue
        for column in next(iter(values.values()), {}):
            past = memory.zeros.get(column)
            if past is None or memory.flags.get(column) or past.rows < SOME:
                continue
            groups = [
                (name, *each[column], limit)
                for name, each in values.items()
                if (limit := _group_limit(by, name, column, memory, past)) is not None
                and at_least(each[column][1], each[column][0], sure=4.0 if _had(memory, by, name, column) else 2.3)
                > limit
            ]
            if groups:
                one = _of_groups(by, column, groups, memory, past)
                few = _few(one.rows, now.numbers.rows)
                found.append(msgspec.structs.replace(one, severity="note") if few else one)
    return found


def _group_limit(by: str, name: str, column: str, memory: Memory, past: Share) -> float | None:
    """Return the share of zeros above which a group has too many: by its own past, or for a new one the others'."""
    rows, zeros = _had(memory, by, name, column) or (0, 0)
    if rows:
        habit = rows >= 2 * SOME and memory.seen.get(by, {}).get(name, 0) >= HABIT
        return max(0.5, 2 * zeros / rows + 0.2) if habit else None
    if memory.news(by) > NAMES and name not in (memory.texts.get(by) or {}):
        return None
    others = [of[column] for of in memory.groups.get(by, {}).values() if of.get(column, (0, 0))[0] >= SOME]
    worst = max((zero / had for had, zero in others), default=past.share)
    return max(0.3, min(2 * past.share + 0.2, worst + 0.1))


def _had(memory: Memory, by: str, name: str, column: str) -> tuple[int, int] | None:
    """Return the rows and zeros a group had; None where nothing was learnt of it, as of one that only had faults."""
    found = memory.groups.get(by, {}).get(name, {}).get(column)
    return found if found is not None and found[0] else None


def _of_groups(
    by: str, column: str, groups: Sequence[tuple[str, int, int, float]], memory: Memory, past: Share
) -> Found:
    name, rows, zeros, limit = max(groups, key=lambda each: each[2])
    had = _had(memory, by, name, column)
    usual = f"usual there is {percent(had[1] / had[0])}" if had else f"usual elsewhere is {percent(past.share)}"
    history = "" if had else ", which has no history"
    says = (
        f"{zeros:,} of {count(rows, 'value')} ({percent(zeros / rows)}) are exactly 0 where {by} = {value(name)}"
        f"{history}; {usual}: a missing value?" + (f" So in {len(groups)} values of {by}" if len(groups) > 1 else "")
    )
    total = sum(each[2] for each in groups)
    return Found("zeros", column, "warn", zeros / rows, limit, says, total, by, tuple(each[0] for each in groups))


def learn(memory: Memory, now: Measured, found: Sequence[Found], *, whole: bool) -> Memory:
    """Return the memory with a batch taken in, without what was noticed of it."""
    made: Memory = msgspec.convert(msgspec.to_builtins(memory), Memory)
    rows = now.numbers.rows
    made.failing = sorted(f"{each.what}.{each.column}" for each in found) if rows else memory.failing
    if not rows:
        return made
    bad = {(each.what, each.column): each for each in found}
    _learn_texts(made, now, bad, whole=whole)
    for each in now.days or [now.numbers]:
        _learn_shares(made, each, bad)
        made.sizes = [*made.sizes, each.rows][-RECENT:]
    if now.days:
        for name, share in made.zeros.items():
            share.rows, share.found = now.numbers.filled[name], now.numbers.zeros[name]
    for name in now.numbers.zeros:
        made.flags[name] = made.flags.get(name, True) and name in now.numbers.flags
    if not whole:
        for name in now.numbers.differing:
            fault = f"frozen.{name}" in memory.failing
            made.runs[name] = made.runs.get(name, Run()).after(now.numbers.only.get(name), fault=fault)
    if now.newest is not None:
        ahead = made.newest is None or now.newest > made.newest
        made.stopped, made.advanced = (0, made.advanced + 1) if ahead else (made.stopped + 1, made.advanced)
        made.newest = max(now.newest, made.newest or now.newest)
    made.batches += max(1, len(now.days))
    made.times += now.times
    made.rows = rows if whole else made.rows + rows
    return made


def _learn_texts(made: Memory, now: Measured, bad: dict[tuple[Notice, str], Found], *, whole: bool) -> None:
    for column, values in now.texts.items():
        known = made.texts.get(column, {})
        if values is None or known is None:
            made.texts[column] = None
            made.groups.pop(column, None)
            made.seen.pop(column, None)
            continue
        seen = made.seen.setdefault(column, {})
        made.seen[column] = seen | {each: seen.get(each, 0) + now.lasted(column, each) for each in values}
        if any(each not in known for each in values) and made.batches:
            made.fresh[column] = made.batches
        both = values | ({} if whole else {each: n + values.get(each, 0) for each, n in known.items()})
        made.texts[column] = {**dict.fromkeys(known, 0), **both} if len(both) <= MOST_VALUES else None
    for by, groups in now.groups.items():
        if made.texts.get(by) is None:
            made.groups.pop(by, None)
            continue
        kept = made.groups.setdefault(by, {})
        for name, counts in groups.items():
            old = {} if whole else kept.get(name, {})
            learnt = {
                column: (rows + old.get(column, (0, 0))[0], zeros + old.get(column, (0, 0))[1])
                for column, (rows, zeros) in counts.items()
                if not _is_bad(bad.get(("zeros", column)), by, name)
            }
            kept[name] = {**kept.get(name, {}), **learnt}


def _is_bad(found: Found | None, by: str, name: str) -> bool:
    return found is not None and (not found.by or (found.by == by and name in found.values))


def _learn_shares(made: Memory, now: Numbers, bad: dict[tuple[Notice, str], Found]) -> None:
    for name, zeros in now.zeros.items():
        if ("zeros", name) not in bad:
            made.zeros.setdefault(name, Share()).add(now.filled[name], zeros)
    for name, differ in now.differing.items():
        if ("frozen", name) not in bad:
            made.varied.setdefault(name, Share()).add(now.rows, differ)


def _result(table: Table, found: Found) -> CheckResult:
    subject = f"{table.name}.{found.column}"
    detail: dict[str, Any] = {"noticed": True}
    if found.by:
        detail |= {"by": found.by, "values": list(found.values)}
    return CheckResult(
        check=found.what,
        subject=subject,
        severity=found.severity,
        ok=False,
        failed_rows=found.rows,
        share=found.share,
        threshold=found.limit,
        says=f"{subject}: {found.says}",
        rows=tuple({found.by: each} for each in found.values[:5]) if found.by else (),
        detail=detail,
    )


def _said(table: Table, what: str, says: str) -> CheckResult:
    """Return what was not, or cannot be, looked at, as a result that holds: silence would be taken for a judgement."""
    return CheckResult(
        check="noticed",
        subject=table.name,
        severity="note",
        ok=True,
        failed_rows=0,
        share=None,
        threshold=None,
        says=f"{table.name}: {says}",
        detail={"remark": what},
    )


def _first(now: Measured) -> str:
    days = f" and the last {count(len(now.days), 'day')} of it one by one" if now.days else ""
    return (
        f"a first batch teaches what is usual: {count(now.numbers.rows, 'row')}{days}. Whether it was good itself"
        " nobody can tell from it alone; millstream profile shows what looks odd in it"
    )


def _wide(batch: TableFrame) -> str:
    return (
        f"{len(batch.schema):,} columns, of which {MOST_COLUMNS} are looked at unasked (those that checks.zeros,"
        " new_category or frozen name, then the first); checks of your own look at any column"
    )


def _over(table: Table, failing: str) -> CheckResult:
    what, _, column = failing.partition(".")
    subject = f"{table.name}.{column}"
    says = {"new_category": "no further new value", "zeros": "no more zeros than usual", "frozen": "varies again"}[what]
    return CheckResult(
        check=what,
        subject=subject,
        severity="warn",
        ok=True,
        failed_rows=0,
        share=None,
        threshold=None,
        says=f"{subject}: {says}",
        detail={"noticed": True},
    )


def _aside(table: Table, batch: TableFrame, found: Found) -> pl.DataFrame | None:
    """Return the rows to set aside: of a check that was asked for, of a table with a key, that names rows."""
    if _declared(table, found.what, found.column) in (None, "note") or not table.key or found.what == "frozen":
        return None
    at = pl.col(found.by).is_in(found.values) if found.by else pl.lit(True)
    if found.what == "zeros":
        at = at & (pl.col(found.column) == 0)
    reason = f"{found.column} is 0, and usually is not" if found.what == "zeros" else ""
    rows = batch.frame.filter(at)
    said = (
        pl.lit(reason) if reason else pl.format("{} is {}, which never was before", pl.lit(found.column), found.column)
    )
    named = pl.lit(f"{found.what} {table.name}.{found.column}")
    return rows.select(*table.key, named.alias("check"), said.alias("reason"))
