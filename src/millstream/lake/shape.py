"""What a table's definition makes of raw rows: types of the row language, computed columns, known-at columns.

Every kind of table goes through here, file by file or as a whole: attached, ingested, own and derived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from millstream.definitions.sources import Csv, Json
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, near
from millstream.expressions import Expression, door, parse
from millstream.expressions.polars import add
from millstream.lake.derived.arrays import named_in
from millstream.lake.frame import EVER, MARKS, PREFIX, SINCE
from millstream.types import Schema, parse_duration

KNOWN = "__known_"
"""Prefix of the columns that hold when others became usable; no declared column may start with it."""

POLARS: Mapping[str, pl.DataType] = {
    "boolean": pl.Boolean(),
    "bigint": pl.Int64(),
    "double": pl.Float64(),
    "varchar": pl.String(),
    "timestamptz": pl.Datetime("us", "UTC"),
    "date": pl.Date(),
    "interval": pl.Duration("us"),
}
"""How rows of the lake hold each type of the row language."""

PIECE = "__partition"
"""Column by which Delta keeps the partitions of a table that is made in them; no row of the lake shows it."""

Knowledge = frozenset[str]
"""Names of known-at columns of which the latest counts; empty is always known."""


@dataclass(frozen=True)
class Shape:
    """A definition compiled against the raw columns of a table.

    Parameters
    ----------
    table
        The definition.
    schema
        Column to type, computed columns included, known-at columns not.
    computed
        Computed columns in order.
    stated
        Known-at column to the expression that was declared for it; the event time where nothing was.
    latest
        Known-at column to the known-at columns of which it is the latest.
    known
        Column to the known-at column that holds for it.
    carried
        Known-at columns that come with the raw rows (of a derived table, or one with history) and go no further.
    """

    table: Table
    schema: Schema
    computed: dict[str, Expression] = field(default_factory=dict)
    stated: dict[str, Expression] = field(default_factory=dict)
    latest: dict[str, tuple[str, ...]] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    carried: tuple[str, ...] = ()

    def apply(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Turn raw rows into rows of the table, with their known-at columns behind the declared ones."""
        table = self.table
        lag = parse_duration(table.lag)
        rows = door.frame(whole(raw), timezone=table.timezone, where=f"table {table.name!r}").lazy()
        if self.carried and lag and (table.changed_at or not table.history):  # what was seen is here: it need not wait
            rows = rows.with_columns(pl.col(self.carried) + lag)
        if table.history:
            rows = rows.with_columns(pl.col(self.carried).fill_null(EVER))
        for name, expression in self.computed.items():
            rows = add(rows, {name: expression})
        rows = add(rows, self.stated).with_columns(pl.col(list(self.stated)) + lag)
        rows = rows.with_columns(_latest(parts).alias(name) for name, parts in self.latest.items())
        try:
            marks = [each for each in MARKS if each in raw.columns]
            return rows.select(*self.schema, *dict.fromkeys(self.known.values()), *marks).collect()
        except pl.exceptions.InvalidOperationError as wrong:
            raise BadData(f"a computed column of table {table.name!r} fails: {str(wrong).splitlines()[0]}") from None


def compile_shape(
    table: Table,
    raw: pl.DataFrame,
    *,
    inherited: Mapping[str, Knowledge] | None = None,
    carried: Iterable[str] = (),
) -> Shape:
    """Compile a definition against raw columns (an empty frame will do).

    Parameters
    ----------
    table
        The definition.
    raw
        A frame with the raw columns.
    inherited
        For a derived table: column to the carried known-at columns it depends on. None where SQL does not say.
    carried
        Known-at columns among the raw ones.

    Raises
    ------
    DefinitionError
        For a key or event time that is no column, a computed column that is one already, or a wrong expression.
    """
    carried, added = tuple(carried), tuple(carried)
    if table.history:
        added = tuple(each for each in raw.columns if each.startswith(PREFIX))
        carried = tuple(each for each in added if each.startswith(SINCE))
        inherited = {each.removeprefix(SINCE): frozenset({each}) for each in carried}
    schema = dict(
        door.schema(door.frame(whole(raw.head(0)).drop(added), timezone=table.timezone, where=f"table {table.name!r}"))
    )
    computed: dict[str, Expression] = {}
    for name, text in table.columns.items():
        if name in schema:
            raise DefinitionError(
                f"columns={{{name!r}: ...}} of table {table.name!r} is a column already",
                expected="a new name",
            )
        computed[name] = parse(text, schema, where=f"column {name!r} of table {table.name!r}")
        schema[name] = computed[name].dtype
    _refuse_reserved(table, schema)
    _refuse_unknown(table, schema)
    made = _Knowing(table, schema, computed, dict(inherited or {}))
    return Shape(
        table=table,
        schema=schema,
        computed=computed,
        stated=made.stated,
        latest=made.latest,
        known=made.known,
        carried=carried,
    )


class _Knowing:
    """Work out which known-at column holds for which column."""

    def __init__(
        self, table: Table, schema: Schema, computed: Mapping[str, Expression], inherited: Mapping[str, Knowledge]
    ) -> None:
        self.table = table
        self.schema = schema
        self.stated: dict[str, Expression] = {}
        self.latest: dict[str, tuple[str, ...]] = {}
        self.known: dict[str, str] = {}
        self._by_text: dict[str, str] = {}
        self._by_parts: dict[Knowledge, str] = {}
        sets: dict[str, Knowledge] = {}
        for column in schema:
            silent = any(inherited.values()) and not table.history
            parts = self._declared(column, silent=silent) | inherited.get(column, frozenset())
            if column in computed:
                for needed in computed[column].columns:
                    parts |= sets[needed]
            sets[column] = parts
        for column, parts in sets.items():
            if parts:
                self.known[column] = self._column(parts)

    def _declared(self, column: str, *, silent: bool) -> Knowledge:
        table = self.table
        said = table.known_at.get(column, table.known_at.get("*"))
        if said is None:
            if silent or table.event_time is None:
                return frozenset()
            said = f'"{table.event_time}"'
        if said not in self._by_text:
            where = f"known_at of table {table.name!r}"
            expression = parse(said, self.schema, where=where)
            if expression.dtype != "timestamptz":
                raise DefinitionError(f"{where} is a {expression.dtype}: {said}", expected="an instant (timestamptz)")
            name = f"{KNOWN}{len(self._by_text)}"
            self._by_text[said] = name
            self.stated[name] = expression
        return frozenset({self._by_text[said]})

    def _column(self, parts: Knowledge) -> str:
        if len(parts) == 1:
            return next(iter(parts))
        if parts not in self._by_parts:
            name = f"{KNOWN}late_{len(self._by_parts)}"
            self._by_parts[parts] = name
            self.latest[name] = tuple(sorted(parts))
        return self._by_parts[parts]


def _latest(parts: tuple[str, ...]) -> pl.Expr:
    never = pl.any_horizontal(pl.col(each).is_null() for each in parts)
    return pl.when(~never).then(pl.max_horizontal(parts))


def whole(raw: pl.DataFrame) -> pl.DataFrame:
    """Turn whole decimals, as which SQL sums integers, into integers."""
    wholes = [name for name, kind in raw.schema.items() if isinstance(kind, pl.Decimal) and kind.scale == 0]
    return raw.with_columns(pl.col(wholes).cast(pl.Int64)) if wholes else raw


def _refuse_reserved(table: Table, schema: Schema) -> None:
    reserved = [each for each in schema if each.startswith(KNOWN)]
    if reserved:
        raise DefinitionError(
            f"table {table.name!r} has a column {reserved[0]!r}", expected=f"names that do not start with {KNOWN}"
        )


def _as_instant(table: Table, name: str, kind: str, word: str) -> str:
    """Say how a column of another type becomes an instant."""
    cast = f"columns={{'{name}_at': 'cast({name} as timestamptz)'}} and {word}='{name}_at'"
    if not isinstance(table.source, Csv | Json) or kind not in ("varchar", "date"):
        return cast
    written = next((each for each, to in table.source.rename.items() if to == name), name)
    layout = "%Y-%m-%d" if kind == "date" else "%Y-%m-%dT%H:%M:%SZ"
    return f"times={{'{written}': ('{layout}',)}} in its source, as it is written there; or {cast}"


def _meant(name: str, schema: Schema) -> str:
    parts = named_in(name, schema)
    return f"name its elements: {' to '.join(dict.fromkeys((parts[0], parts[-1])))}" if parts else near(name, schema)


def _refuse_unknown(table: Table, schema: Schema) -> None:
    for word, names in (
        ("key", table.key),
        ("event_time", (table.event_time,)),
        ("valid_to", (table.valid_to,)),
        ("known_at", table.known_at),
        ("about", table.about),
        ("sensitive", table.sensitive),
    ):
        for name in names:
            if name is not None and name != "*" and name not in schema:
                raise DefinitionError(
                    f"{word} of table {table.name!r} names {name!r}, which is not a column of it",
                    do=_meant(name, schema),
                )
    for word, name in (("event_time", table.event_time), ("valid_to", table.valid_to)):
        if name is None or schema[name] == "timestamptz":
            continue
        raise DefinitionError(
            f"{word} {name!r} of table {table.name!r} is a {schema[name]}",
            expected="an instant (timestamptz)",
            do=_as_instant(table, name, schema[name], word),
        )
