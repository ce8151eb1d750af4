"""What a delivery says anew of a table with history: rows that came, corrections by column, and keys that are gone.

Takes what was believed, as it lies in the files, the rows that were delivered and the keys that are said to be gone;
gives the rows to append. The same delivery again gives none, and a row that did not change costs none.

A correction is known from when it was seen, or from when the source says the row changed (``changed_at``): in the
columns that changed. The others keep the instant they had. A row that the source changed before one that is here
already is put between what was believed, and the one after it is written again where it says something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, near
from millstream.expressions import door
from millstream.lake.frame import CHANGED, EVER, GONE, HERE, LEFT, MOVED, PREFIX, SEEN, SINCE
from millstream.lake.shape import Shape, compile_shape
from millstream.types import parse_duration

INSTANT = pl.Datetime("us", "UTC")
_HASH, _AT, _NEW, _LATE = (f"{PREFIX}{word}" for word in ("hash", "at", "new", "late"))
_REACHED = f"{PREFIX}reached_"
_STEP = timedelta(microseconds=1)
_Frames = Callable[[], Iterable[pl.DataFrame]]


@dataclass(frozen=True)
class Delivery:
    """What a source delivered.

    Parameters
    ----------
    frames
        Gives the rows, some at a time; called twice. Columns and types are those of the table.
    schema
        Column to type.
    whole
        Whether it is all there is: keys that it has not are gone. Else these are rows that were added or changed.
    gone
        Key columns of rows that the source says are gone.
    """

    frames: _Frames
    schema: dict[str, pl.DataType]
    whole: bool
    gone: pl.DataFrame | None = None


@dataclass(frozen=True)
class Upsert:
    """Rows to append, and what they say.

    Parameters
    ----------
    schema
        Column to type, those of the lake included.
    frames
        The rows; to be taken once.
    new, changed, gone
        Keys.
    seen
        The instant they were seen.
    """

    schema: dict[str, pl.DataType]
    frames: Iterable[pl.DataFrame]
    new: int
    changed: int
    gone: int
    seen: datetime

    @property
    def empty(self) -> bool:
        """Whether nothing is new."""
        return not (self.new or self.changed or self.gone)


def upsert(table: Table, delivery: Delivery, *, before: pl.LazyFrame | None, now: datetime) -> Upsert:
    """Work out what to append.

    Parameters
    ----------
    table
        The definition, with ``history``.
    delivery
        What came.
    before
        Rows of the table's files, as they lie; None for a first load.
    now
        The project's instant. Rows are seen then, or right after the last that was seen, should the clock stand
        behind it.

    Raises
    ------
    BadData
        For a key that is NULL, or one that is there twice with different values.
    DefinitionError
        When ``changed_at`` is not an instant, or no column.

    Notes
    -----
    Keys, hashes and what changed are held, not the rows: 40 bytes a row and what is new.
    """
    work = _Work(table, delivery, before, now)
    arrived = work.arrived()
    if before is None and not work.repeated:
        return Upsert(work.schema, work.first(), arrived.height, 0, 0, work.seen)
    chosen, gone = work.compare(arrived)
    rows = work.rows(chosen, gone)
    new = chosen.filter(pl.col(_NEW)).select(table.key).unique().height
    changed = chosen.filter(~pl.col(_NEW)).select(table.key).unique().height
    return Upsert(work.schema, [rows] if rows.height else [], new, changed, gone.height, work.seen)


class _Work:
    """One delivery beside what was believed."""

    def __init__(self, table: Table, delivery: Delivery, before: pl.LazyFrame | None, now: datetime) -> None:
        self.table, self.delivery, self.before = table, delivery, before
        self.key = list(table.key)
        self.data = list(delivery.schema)
        self.types = [pl.col(name).cast(kind) for name, kind in delivery.schema.items()]
        self.where = f"table {table.name!r}"
        self.since = [f"{SINCE}{each}" for each in self.data]
        self._refuse_columns()
        own = {**dict.fromkeys(self.since, INSTANT), SEEN: INSTANT, CHANGED: INSTANT, GONE: pl.Int64()}
        self.schema: dict[str, pl.DataType] = {**delivery.schema, **own}
        self.shape: Shape = compile_shape(table, pl.DataFrame(schema=self.schema))
        self.known = self._believed_keys()
        last = self.known[SEEN].max()
        self.seen = max(now, last + _STEP) if isinstance(last, datetime) else now
        self.repeated = False

    def _refuse_columns(self) -> None:
        table = self.table
        taken = [each for each in self.data if each.startswith(PREFIX)]
        if taken:
            raise DefinitionError(f"{self.where} has a column {taken[0]!r}", expected=f"names without {PREFIX}")
        for word, names in (("key", table.key), ("changed_at", (table.changed_at,))):
            for each in names:
                if each is not None and each not in self.delivery.schema:
                    raise DefinitionError(
                        f"{word} of {self.where} names {each!r}, which is not a column of its source",
                        expected="a column that the source delivers, by which its rows are compared",
                        do=near(each, self.data),
                    )

    def _believed_keys(self) -> pl.DataFrame:
        """Return key, hash and instants of all that was believed, in order."""
        if self.before is None:
            types = {each: self.delivery.schema[each] for each in self.key}
            return pl.DataFrame(schema={**types, _HASH: pl.UInt64, SEEN: INSTANT, CHANGED: INSTANT, GONE: pl.Int64})
        hashed = pl.struct(self.data).hash().alias(_HASH)
        found = self.before.filter(pl.col(GONE) != MOVED).select(*self.key, hashed, SEEN, CHANGED, GONE).collect()
        return found.sort(CHANGED, SEEN)

    def arrived(self) -> pl.DataFrame:
        """Return key, hash and stamp of each row that came, once."""
        parts = [self._keyed(each) for each in self.delivery.frames()]
        types = {each: self.delivery.schema[each] for each in self.key}
        none = pl.DataFrame(schema={**types, _HASH: pl.UInt64, _AT: INSTANT})
        found = pl.concat([none, *parts]) if parts else none
        empty = found.filter(pl.any_horizontal(pl.col(each).is_null() for each in self.key)).height
        if empty:
            raise BadData(
                f"{empty:,} rows of {self.where} have no key ({', '.join(self.key)} is NULL)",
                expected="a key in every row, by which it is recognised when it comes changed",
                do="leave such rows out in the source (where=...), or name another key",
            )
        once = found.unique(maintain_order=True)
        self.repeated = once.height != found.height
        named = self.key if self.table.changed_at is None or self.delivery.whole else [*self.key, _AT]
        count = once.select(pl.struct(named).n_unique()).item()
        if count != once.height:
            twice = once.filter(pl.struct(named).is_duplicated()).row(0, named=True)
            said = ", ".join(f"{each}={twice[each]!r}" for each in self.key)
            raise BadData(
                f"{self.where} has {once.height - count:,} keys twice with different values, such as {said}",
                expected="one row for each key: which of two is so now, nothing says",
                do="mend the source, or name the columns that tell its rows apart in key=",
            )
        self.repeated |= once.select(pl.struct(self.key).n_unique()).item() != once.height
        return once

    def _keyed(self, frame: pl.DataFrame) -> pl.DataFrame:
        rows = frame.select(self.types)
        return rows.select(*self.key, pl.struct(self.data).hash().alias(_HASH), self._stamps(rows).alias(_AT))

    def _stamps(self, rows: pl.DataFrame) -> pl.Series:
        """Return when the source says that each row changed; NULL where it does not."""
        name = self.table.changed_at
        if name is None:
            return pl.Series([None], dtype=INSTANT).new_from_index(0, rows.height)
        made = door.frame(rows.select(name), timezone=self.table.timezone, where=self.where)[name]
        if made.dtype != INSTANT:
            raise DefinitionError(
                f"changed_at {name!r} of {self.where} is a {made.dtype}", expected="an instant (timestamptz)"
            )
        return made

    def first(self) -> Iterator[pl.DataFrame]:
        """Give the rows of a first load, each key of which is there once."""
        for each in self.delivery.frames():
            rows = each.select(self.types)
            yield self._fresh(rows, self._stamps(rows)).select(list(self.schema))

    def _fresh(self, rows: pl.DataFrame, stamps: pl.Series) -> pl.DataFrame:
        """Make rows of keys nobody knew: so as long as the definition says, or since they were seen where it does not.

        Of a first load what the definition does not say is taken as always so. Where the source says when a row was
        changed, nobody knows what it said before: key and event time alone are taken as they were.
        """
        told = self.table.event_time is not None or bool(self.table.known_at)
        changed = pl.Series(stamps).fill_null(self.seen)
        stays = {*self.key, self.table.event_time}
        begins = None if told or self.before is None else changed
        since = {
            f"{SINCE}{each}": changed if self.table.changed_at and each not in stays else begins for each in self.data
        }
        return rows.with_columns(
            *(pl.lit(None, INSTANT).alias(name) if each is None else each.alias(name) for name, each in since.items()),
            pl.lit(self.seen, INSTANT).alias(SEEN),
            changed.alias(CHANGED),
            pl.lit(HERE, pl.Int64()).alias(GONE),
        )

    def compare(self, arrived: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return what of the rows that came is new (with ``CHANGED``), and the keys that are gone."""
        latest = self.known.unique(self.key, keep="last", maintain_order=True)
        beside = arrived.join(
            latest.select(*self.key, pl.col(_HASH).alias("__had"), CHANGED, GONE), on=self.key, how="left"
        )
        beside = beside.rename({CHANGED: "__last"}).with_columns(pl.col(GONE).is_null().alias(_NEW))
        said = beside.filter(pl.col(_NEW) | (pl.col(GONE) != HERE) | (pl.col("__had") != pl.col(_HASH)))
        if self.table.changed_at and not self.delivery.whole:  # a row of an instant that was told already is no news
            told = self.known.filter(pl.col(GONE) == HERE)
            said = said.join(told, on=[*self.key, _HASH], how="anti")
            older = said.join(told, left_on=[*self.key, _AT], right_on=[*self.key, CHANGED], how="semi")
            older = older.filter(pl.col(_AT) < pl.col("__last"))
            said = said.join(older, on=[*self.key, _HASH], how="anti")
        seen = pl.lit(self.seen, dtype=INSTANT)
        after = pl.max_horizontal(seen, pl.col("__last") + _STEP)
        newer = pl.col(_AT) > pl.col("__last") if self.delivery.whole else pl.col(_AT) != pl.col("__last")
        stamp = pl.when(pl.col(_AT).is_not_null() & newer.fill_null(True)).then(pl.col(_AT)).otherwise(after)
        chosen = said.with_columns(stamp.alias(CHANGED)).select(*self.key, _HASH, CHANGED, _NEW)
        here = latest.filter(pl.col(GONE) == HERE)
        gone = here.clear()
        if self.delivery.whole:
            gone = here.join(arrived, on=self.key, how="anti")
        elif self.delivery.gone is not None:
            named = self.delivery.gone.select(self.key).cast({each: self.delivery.schema[each] for each in self.key})
            gone = here.join(named.unique(), on=self.key, how="semi").join(arrived, on=self.key, how="anti")
        return chosen, gone.with_columns(pl.max_horizontal(seen, pl.col(CHANGED) + _STEP).alias(CHANGED))

    def rows(self, chosen: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
        """Make the rows to append."""
        came = self._fetched(chosen)
        keys = pl.concat([chosen.select(self.key), gone.select(self.key)]).unique()
        had = self._had(keys)
        last = had.unique(self.key, keep="last", maintain_order=True)
        left = last.join(gone.select(*self.key, pl.col(CHANGED).alias(_AT)), on=self.key, how="inner")
        left = left.with_columns(pl.col(_AT).alias(CHANGED), pl.lit(LEFT, dtype=pl.Int64).alias(GONE)).drop(_AT)
        fresh = self._fresh(came.select(self.data), came[CHANGED])
        new = pl.concat([fresh.select(list(self.schema)), left.select(list(self.schema))])
        new = new.with_columns(pl.lit(self.seen, dtype=INSTANT).alias(SEEN))
        chain = pl.concat(
            [
                had.select(list(self.schema)).with_columns(pl.lit(False).alias(_NEW)),
                new.with_columns(pl.lit(True).alias(_NEW)),
            ]
        )
        chain = chain.sort(*self.key, CHANGED, SEEN, _NEW)
        return self._written(chain)

    def _fetched(self, chosen: pl.DataFrame) -> pl.DataFrame:
        """Read again the rows that are new."""
        wanted = chosen.select(*self.key, _HASH, CHANGED)
        found = [pl.DataFrame(schema={**self.delivery.schema, CHANGED: INSTANT})]
        for each in self.delivery.frames() if wanted.height else ():
            rows = each.select(self.types)
            rows = rows.with_columns(pl.struct(self.data).hash().alias(_HASH))
            found.append(rows.join(wanted, on=[*self.key, _HASH], how="inner").drop(_HASH).select(*self.data, CHANGED))
        return pl.concat(found).unique([*self.key, CHANGED], keep="first", maintain_order=True)

    def _had(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Read what was believed of some keys, in order; of a row that was written again the newer writing."""
        if self.before is None:
            return pl.DataFrame(schema=self.schema)
        found = self.before.filter(pl.col(GONE) != MOVED).select(list(self.schema))
        rows = found.join(keys.lazy(), on=self.key, how="semi").collect().sort(CHANGED, SEEN)
        return rows.unique([*self.key, CHANGED, GONE, *self.data], keep="last", maintain_order=True)

    def _written(self, chain: pl.DataFrame) -> pl.DataFrame:
        """Say of each column since when it is so, and keep the rows that say something new."""
        known = self._stated(chain)
        head = ~pl.all_horizontal(pl.col(each) == pl.col(each).shift(1) for each in self.key).fill_null(False)
        chain = chain.with_columns(head.alias("__head"), pl.col(GONE).shift(1).alias("__gone"), *known)
        broken = (pl.col(GONE) != HERE) | (pl.col("__gone") != HERE)
        reached = [
            pl.col(each.name).cum_max().forward_fill().shift(1).over(self.key).alias(f"{each.name}_before")
            for each in known
        ]
        since = []
        for each, late in zip(self.data, known, strict=True):
            differs = broken | pl.col(each).ne_missing(pl.col(each).shift(1))
            own = pl.when(pl.col("__head")).then(pl.col(f"{SINCE}{each}"))
            stamp = pl.max_horizontal(CHANGED, f"{late.name}_before")
            since.append(own.when(differs).then(stamp).alias(f"{SINCE}{each}"))
        made = chain.with_columns(reached).with_columns(since)
        made = made.with_columns(pl.col(self.since).forward_fill().over(self.key)).with_columns(
            pl.when(pl.col(late.name) < pl.col(f"{late.name}_before"))  # it was not known before it was
            .then(pl.max_horizontal(name, f"{late.name}_before"))
            .otherwise(pl.col(name))
            .alias(name)
            for name, late in zip(self.since, known, strict=True)
        )
        differs = pl.any_horizontal(pl.Series(made[each].ne_missing(chain[each])) for each in self.since)
        behind = pl.col(_NEW).cum_max().over(self.key)
        made = made.with_columns((pl.col(_NEW) | (behind & differs)).alias("__write"))
        ordinal = pl.col("__write").cast(pl.Int64).cum_sum().over(self.key) - 1
        seen = pl.lit(self.seen, dtype=INSTANT) + pl.duration(microseconds=ordinal)
        made = made.with_columns(pl.when("__write").then(seen).otherwise(pl.col(SEEN)).alias(SEEN))
        moved = self._moved(made)
        kept = made.filter("__write").select(list(self.schema))
        return pl.concat([moved, kept]).sort(SEEN, -pl.col(GONE), maintain_order=True)

    def _stated(self, chain: pl.DataFrame) -> list[pl.Series]:
        """Return until when, by the definition alone, each row's columns were unknown."""
        bare = chain.with_columns(pl.lit(None, dtype=INSTANT).alias(each) for each in self.since)
        shaped = self.shape.apply(bare.select(list(self.schema)))
        lag = parse_duration(self.table.lag) if self.table.changed_at else timedelta(0)
        found = []
        for each in self.data:
            column = shaped[self.shape.known[each]]
            reached = shaped.select(pl.when(column > EVER).then(column - lag)).to_series()
            found.append(reached.alias(f"{_REACHED}{each}"))
        return found

    def _moved(self, made: pl.DataFrame) -> pl.DataFrame:
        """Say of facts whose event time was corrected that they are no longer at the old one: ranges are read by it."""
        none = pl.DataFrame(schema=self.schema)
        if self.table.event_time is None or not made.height:
            return none
        event = self.shape.apply(made.select(list(self.schema)))[self.table.event_time]
        before = made.select(self.data).shift(1)
        rows = made.with_columns(before.get_columns()).with_columns(
            (event.ne_missing(event.shift(1)) & ~made["__head"]).alias(_LATE)
        )
        both = (pl.col(GONE) == HERE) & (pl.col("__gone") == HERE)
        moved = rows.filter(pl.col("__write") & pl.col(_LATE) & both)
        known = (pl.max_horizontal(f"{SINCE}{each}", f"{_REACHED}{each}").alias(f"{SINCE}{each}") for each in self.data)
        return moved.with_columns(*known, pl.lit(MOVED, dtype=pl.Int64).alias(GONE)).select(list(self.schema))
