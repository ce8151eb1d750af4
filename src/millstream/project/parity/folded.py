"""Many answers that differ only in how many posted rows they reflect, computed again in one go.

Posted rows are served one by one, so nearly every answer names another number of them; a point-in-time read for each
would take as many reads as there were posts. But what answers reflect only grows with time: a row is reflected by the
answers from some instant on. Read as if it had become known no earlier than that, one read gives them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from millstream.errors import NotFound
from millstream.features.online import layout

if TYPE_CHECKING:
    import polars as pl

    from millstream.lake.frame import TableFrame
    from millstream.serving.records import Logged

Arrivals = tuple[tuple[int, int], ...]
"""Number of the last row reflected and instant of the first answer that does, both ascending."""


def families(claims: Mapping[tuple[tuple[str, int], ...], list[Logged]]) -> list[list[list[Logged]]]:
    """Put together the answers that named the same versions, whatever was posted beside."""
    found: dict[tuple[tuple[str, int], ...], list[list[Logged]]] = {}
    for named, logged in claims.items():
        plain = tuple(each for each in named if not _of_table(each[0]))
        found.setdefault(plain, []).append(logged)
    return list(found.values())


def _of_table(name: str) -> bool:
    """Say whether a name stands for the rows posted to a table, as the views reflect them that follow every fact."""
    return name.endswith(layout.POSTED) and "/" not in name


def arrivals(family: Sequence[list[Logged]]) -> tuple[dict[str, Arrivals], set[int]]:
    """Say from when on answers reflect which posted rows, by table; and which claims do not fit in.

    Two answers under way at once may be served in another order than they were asked: their claims are computed alone.
    """
    apart: set[int] = set()
    found: dict[str, Arrivals] = {}
    said = sorted(
        ((each.record.at_us, place, each.prediction.applied) for place, claim in enumerate(family) for each in claim
         if each.prediction is not None),
        key=lambda each: (each[0], each[1]),
    )  # fmt: skip
    for name in sorted({name for _, _, applied in said for name in applied if _of_table(name)}):
        steps: list[tuple[int, int]] = []
        before = -1
        for at_us, place, applied in said:
            number, last = applied.get(name, 0), steps[-1][0] if steps else -1
            if number < last or (number > last and at_us == before):
                apart.add(place)
                continue
            if number > last:
                steps.append((number, at_us))
            before = at_us
        found[name.removesuffix(layout.POSTED)] = tuple(steps)
    return found, apart


def as_they_arrived(base: TableFrame, posted: pl.DataFrame, *, after: int, arrived: Arrivals) -> TableFrame:
    """Add posted rows to a table, each known no earlier than the first answer that reflects it.

    Parameters
    ----------
    base
        The table at its version.
    posted
        Its posted rows above the number ``after``, in order.

    Raises
    ------
    NotFound
        Where a later row of a key became known before an earlier one: which of them holds would be told otherwise.
    """
    import dataclasses

    import numpy as np
    import polars as pl

    if not base.known:
        raise NotFound(f"table {base.table!r} has no column that says when a row was known")
    numbers = np.arange(after + 1, after + 1 + posted.height)
    place = np.searchsorted(np.array([number for number, _ in arrived]), numbers)
    since = pl.Series(np.array([at for _, at in arrived], dtype=np.int64)[place]).cast(pl.Datetime("us", "UTC"))
    columns = sorted(set(base.known.values()))
    whole = pl.concat([base.frame, posted])
    key = list(base.key)
    for each in columns:
        before = pl.col(each).shift(1).over(key)
        if key and whole.select((pl.col(each) < before).any()).item():
            raise NotFound(f"rows of table {base.table!r} correct others that became known later")
    names = {each: f"__reflected_{number}" for number, each in enumerate(columns)}
    later = [
        pl.when(pl.col(old).is_not_null()).then(pl.max_horizontal(pl.col(old), pl.lit(since))).alias(new)
        for old, new in names.items()
    ]
    frame = pl.concat(
        [base.frame.with_columns(pl.col(old).alias(new) for old, new in names.items()), posted.with_columns(later)]
    )
    return dataclasses.replace(base, frame=frame, known={name: names[old] for name, old in base.known.items()})
