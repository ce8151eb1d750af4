"""Columns that froze and clocks that stopped."""

from __future__ import annotations

from statistics import median

from millstream.checks.found import HABIT, Found
from millstream.checks.measure import Measured, Numbers
from millstream.checks.memory import SOME, Memory
from millstream.checks.words import count, percent
from millstream.lake.frame import TableFrame
from millstream.types import from_micros

_CHANCE = 16.0
"""Rows expected to differ, at the least, from which on it is no chance that none does: exp(-16) is 1e-7."""
_ODDS = 1e-6
_LEAST_RUN = 3


def frozen(now: Numbers, memory: Memory, *, whole: bool) -> list[Found]:
    """Name columns with one value in all rows where they usually vary, or the same value batch after batch."""
    found = []
    small = now.rows < 0.9 * min(memory.sizes, default=0)  # a part of a batch: fewer values are no wonder
    fewer = now.rows < 0.5 * median(memory.sizes or [0])  # so is one value alone
    for column, only in now.only.items():
        past = memory.varied.get(column)
        least = min(past.recent) if past is not None and past.recent else 0.0
        if (
            past is not None
            and len(past.recent) >= HABIT
            and now.rows >= SOME
            and not small
            and now.rows * least > _CHANCE
        ):
            says = (
                f"all {count(now.rows, 'row')} have {only!r}; usually at least {percent(least)} differ from the first"
            )
            found.append(Found("frozen", column, "warn", 1.0, 1 - least, says, now.rows))
            continue
        run = memory.runs.get(column)
        if (
            whole
            or fewer
            or run is None
            or run.value != only
            or only in ("NULL", "0", "0.0")
            or memory.flags.get(column)
        ):
            continue
        length, before = run.length + 1, run.length - 1  # what is usual is learnt without the run itself
        usual = max(run.same - before, 1.0) / max(run.pairs - before, 1.0)
        if run.pairs < HABIT or length < _LEAST_RUN or length <= 2 * run.longest or usual ** (length - 1) > _ODDS:
            continue
        says = f"{only!r} in {length} batches in a row; {percent(usual)} of batches repeat the one before"
        found.append(Found("frozen", column, "warn", 1.0, usual, says, now.rows))
    return found


def stopped(now: Measured, memory: Memory, batch: TableFrame) -> list[Found]:
    """Notice that rows keep coming and none is newer than what was there."""
    if now.newest is None or memory.newest is None or batch.event_time is None or now.newest > memory.newest:
        return []
    tries = memory.advanced + memory.stopped
    if memory.batches < HABIT or memory.stopped < 1 or memory.advanced < 0.9 * (tries - memory.stopped):
        return []
    when = from_micros(memory.newest).isoformat()
    says = f"{memory.stopped + 1} batches brought rows and none newer than {when}: has its clock stopped?"
    return [Found("frozen", batch.event_time, "warn", 1.0, 0.0, says, now.numbers.rows)]
