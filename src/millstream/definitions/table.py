"""A lake table, and what is true of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from millstream.definitions.checks import Check
from millstream.definitions.databases import Relational
from millstream.definitions.periods import PERIODS
from millstream.definitions.sources import Delta, Dlt, Parquet, Source
from millstream.definitions.steps import Step, step_of
from millstream.errors import DefinitionError
from millstream.types import parse_duration


@dataclass(frozen=True, init=False)
class Table:
    """A table of production data, or one computed from others.

    Parameters
    ----------
    name
        Its name in the catalog, SQL, pages and pins.
    source
        Where it comes from; left out for a derived table.
    of
        The tables a derived table is computed from.
    sql
        The query of a derived table, in DuckDB's dialect, over the names in ``of``. Where it (or a step) gives an array
        ``e`` of numbers, the table has a column for each element: ``e_1``, ``e_2`` and so on.
    key
        The column or columns that name a row. A later row of the same key (by known-at) corrects the earlier.
    event_time
        Column that says when a row's fact happened; without it the table is static.
    known_at
        When each column became known, as expressions: one for all, or ``{"*": ..., "column": ...}``. Left out it
        is the event time, an assumption that is printed. A NULL known-at is never known.
    lag
        How much later than known-at a fact is here to be used, at worst (``"1d"``). Training and serving both
        wait for it; a measured lag beyond it is an alarm.
    timezone
        Zone of naive times, required where there are any.
    columns
        Columns computed from the row, name to expression; later ones may use earlier ones.
    checks
        What must hold.
    owner, description
        For the catalog.
    about
        Column to what it means, for the catalog.
    sensitive
        Column to what it is (``"personal"``, or several words), by which ``[roles]`` of ``millstream.toml`` mask it
        from people. Columns computed from it are as sensitive, in tables computed from this one too; ``"none"`` says
        that a computed column is not.
    step
        What makes a derived table where SQL does not: ``"module:function"`` of the project or the function itself,
        called with one Polars frame for each table in ``of``, by name; or a command as a list of words. It runs in a
        worker, and what it gives is stored.
    timeout
        How long a step may take; of a table in partitions, for one of them.
    grows
        Take columns that the source did not have before as they come, and say so; else a new column waits until
        somebody accepts it, because it may hold what not everybody is to see.
    history
        For a source that shows only what is so now: keep what was believed before. A row that comes changed is a
        correction, known when it was seen, column by column; a row that is gone is known to be gone from then on.
    changed_at
        With ``history``: the column in which the source says when a row was last changed; corrections are known from
        then on.
    partition
        Make the table piece by piece: ``"1h"``, ``"1d"``, ``"1w"``, ``"1mo"``, ``"1q"`` or ``"1y"`` of event time (in
        ``timezone``, else UTC), or the name of a column. Only pieces whose rows of the inputs changed are made again.
    lookback
        How much earlier rows a partition by time also reads, such as ``"28d"`` for a moving average.
    stored
        Compute the query once for each version and keep its rows, rather than on each read.
    valid_from, valid_to
        Columns from when, and until before when, a row holds: the table says what was so at a time, such as a price
        list. ``valid_from`` is its event time; a NULL ``valid_to`` is open. ``asof left join`` finds the row that
        held, and was known, at the time of a fact.
    """

    name: str
    source: Source | None
    of: tuple[str, ...]
    sql: str | None
    key: tuple[str, ...]
    event_time: str | None
    known_at: dict[str, str]
    lag: str
    timezone: str | None
    columns: dict[str, str]
    checks: tuple[Check, ...]
    owner: str
    description: str
    step: Step | None = None
    timeout: str = "10m"
    grows: bool = False
    history: bool = False
    changed_at: str | None = None
    partition: str = ""
    lookback: str = "0s"
    stored: bool = False
    valid_from: str | None = None
    valid_to: str | None = None
    about: dict[str, str] = field(default_factory=dict)
    sensitive: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __init__(  # noqa: PLR0913 - a definition record: its words are its parameters
        self,
        name: str,
        *,
        source: Source | None = None,
        of: Table | str | Iterable[Table | str] = (),
        sql: str | None = None,
        key: str | Iterable[str] = (),
        event_time: str | None = None,
        known_at: str | Mapping[str, str] | None = None,
        lag: str = "0s",
        timezone: str | None = None,
        columns: Mapping[str, str] | None = None,
        checks: Iterable[Check] = (),
        owner: str = "",
        description: str = "",
        step: str | Callable[..., object] | Iterable[str] | None = None,
        timeout: str = "10m",
        grows: bool = False,
        history: bool = False,
        changed_at: str | None = None,
        partition: str = "",
        lookback: str = "0s",
        stored: bool = False,
        valid_from: str | None = None,
        valid_to: str | None = None,
        about: Mapping[str, str] | None = None,
        sensitive: Mapping[str, str | Iterable[str]] | None = None,
    ) -> None:
        inputs = (of,) if isinstance(of, Table | str) else tuple(of)
        if columns is not None and not isinstance(columns, Mapping):
            raise DefinitionError(
                f"table {name!r} has columns={columns!r}", expected="name to expression, columns to be computed",
                do="columns=(...) or without=(...) of the source says which columns are read",
            )  # fmt: skip
        known = {"*": known_at} if isinstance(known_at, str) else dict(known_at or {})
        fields: dict[str, object] = {
            "name": name,
            "source": source,
            "of": tuple(each if isinstance(each, str) else each.name for each in inputs),
            "sql": sql,
            "key": (key,) if isinstance(key, str) else tuple(key),
            "event_time": event_time or valid_from,
            "known_at": known,
            "lag": lag,
            "timezone": timezone,
            "columns": dict(columns or {}),
            "checks": tuple(checks),
            "owner": owner,
            "description": description,
            "step": None if step is None else step_of(step, table=name),
            "timeout": timeout,
            "grows": grows,
            "history": history,
            "changed_at": changed_at,
            "partition": partition,
            "lookback": lookback,
            "stored": stored or bool(sql and partition),
            "valid_from": valid_from,
            "valid_to": valid_to,
            "about": dict(about or {}),
            "sensitive": {
                column: (said,) if isinstance(said, str) else tuple(said) for column, said in (sensitive or {}).items()
            },
        }
        for word, value in fields.items():
            object.__setattr__(self, word, value)
        self._refuse_contradictions()
        self._refuse_history()

    def _refuse_history(self) -> None:
        if self.changed_at is not None and not self.history:
            raise DefinitionError(
                f"table {self.name!r} has changed_at without history", expected="history=True beside it, or neither"
            )
        if not self.history:
            return
        attached = isinstance(self.source, Delta) or (isinstance(self.source, Parquet) and self.source.attach)
        if self.of or attached or isinstance(self.source, Dlt):
            what = "is attached, and nothing of it is copied" if attached else "dlt keeps its rows"
            what = "is computed from others" if self.of else what
            raise DefinitionError(
                f"table {self.name!r} has history=True, but {what}",
                expected="a source that is ingested: files, or a table of a database",
                do="history=True on the tables it is computed from" if self.of else "leave it out",
            )
        if not self.key:
            raise DefinitionError(
                f"table {self.name!r} has history=True and no key",
                expected="key='...', by which a row is recognised when it comes changed",
            )

    def _refuse_contradictions(self) -> None:
        if not self.name.isidentifier():
            raise DefinitionError(
                f"table name {self.name!r} is not a name",
                expected="letters, digits and _, not starting with a digit",
            )
        if (self.source is None) == (not self.of):
            has = "both a source and inputs" if self.source else "neither a source nor inputs"
            raise DefinitionError(
                f"table {self.name!r} has {has}",
                expected="source=... for production data, or of=[...] with sql=... for a derived table",
            )
        if self.source is not None and (self.sql or self.step):
            word = "sql" if self.sql else "a step"
            raise DefinitionError(f"table {self.name!r} has both a source and {word}", expected="one of them")
        if isinstance(self.source, Relational) and self.source.cursor and not self.key:
            raise DefinitionError(
                f"table {self.name!r} has a source with a cursor and no key",
                expected="key='...', by which rows that are read again are recognised",
            )
        if self.of and not self.sql and not self.step:
            raise DefinitionError(
                f"derived table {self.name!r} has no sql",
                expected="sql='select ... from ...', or step='module:function' where SQL will not do",
            )
        if self.of and self.grows:
            raise DefinitionError(f"table {self.name!r} is computed, and grows", expected="grows with a source")
        if self.sql and self.step:
            raise DefinitionError(f"table {self.name!r} has both sql and a step", expected="one of them")
        for column, said in self.sensitive.items():
            if not said or not all(each.isidentifier() for each in said) or ("none" in said and len(said) > 1):
                raise DefinitionError(
                    f"table {self.name!r}: sensitive[{column!r}] is {', '.join(said)!r}",
                    expected="one word such as 'personal', several in a list, or 'none' alone",
                )
        for word, text in (("lag", self.lag), ("timeout", self.timeout)):
            try:
                length = parse_duration(text)
            except ValueError as wrong:
                raise DefinitionError(f"table {self.name!r}: {word} {wrong}") from None
            if word == "timeout" and length <= timedelta(0):
                raise DefinitionError(f"table {self.name!r}: timeout {text!r} leaves no time", expected="such as '10m'")
        _refuse_pieces(self)

    @property
    def derived(self) -> bool:
        """Whether the table is computed from other tables when it is read."""
        return bool(self.of) and not self.made

    @property
    def made(self) -> bool:
        """Whether the table is made from other tables, by a step or a query, and the result stored."""
        return self.step is not None or self.stored


def _refuse_pieces(table: Table) -> None:
    """Refuse what contradicts itself in how a table is cut, kept and valid."""
    where = f"table {table.name!r}"
    if (table.partition or table.stored) and not table.of:
        word = "partition" if table.partition else "stored=True"
        raise DefinitionError(f"{where} has {word}, and its rows come from a source", expected=f"{word} with of=[...]")
    if table.stored and table.step:
        raise DefinitionError(f"{where} has stored=True and a step", expected="a step alone: what it gives is stored")
    if table.partition in PERIODS and table.event_time is None:
        raise DefinitionError(f"{where} has partitions by time and no event time", expected="event_time='...'")
    if table.partition and table.partition not in PERIODS and not table.partition.isidentifier():
        raise DefinitionError(
            f"{where} has partition {table.partition!r}", expected=f"one of {', '.join(PERIODS)}, or a column's name"
        )
    try:
        back = parse_duration(table.lookback)
    except ValueError as wrong:
        raise DefinitionError(f"{where}: lookback {wrong}") from None
    if back and table.partition not in PERIODS:
        raise DefinitionError(f"{where} has a lookback and no partitions by time", expected="partition='1d', lookback=")
    if table.valid_to is not None and table.valid_from is None:
        raise DefinitionError(f"{where} has valid_to and no valid_from", expected="valid_from='...'")
    if table.valid_from is not None and table.event_time != table.valid_from:
        raise DefinitionError(
            f"{where} is valid from {table.valid_from!r} and has event time {table.event_time!r}",
            expected="one of them: a row of such a table happens when it begins to hold",
        )
