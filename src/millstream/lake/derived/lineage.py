"""What a derived table's SQL says about knowledge: which known-at of its inputs each column of the result waits for.

For plain selects over inner, left and cross joins the answer follows from the query. A column waits for the columns
it is computed from. A column of a left-joined table also waits for what finds its row: the other tables' columns in
the join's condition, and its own unless they are its key (a row names itself by its key). What a row's existence
depends on (``where``, inner joins) delays every column. Anything else (aggregates, unions, windows, limits,
subqueries) merges or drops rows by values, and must declare known-at itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, ParseError, SqlglotError, TokenError
from sqlglot.optimizer.qualify import qualify

from millstream.errors import DefinitionError, near
from millstream.lake.derived.validity import SINCE, Validity
from millstream.lake.shape import KNOWN, Knowledge
from millstream.types import Schema

_DIALECT = "duckdb, normalization_strategy=case_sensitive"
_SQL_TYPES = {"timestamptz": "TIMESTAMPTZ", "bigint": "BIGINT", "double": "DOUBLE", "varchar": "VARCHAR"}


@dataclass(frozen=True)
class Input:
    """What lineage needs to know of an input table."""

    schema: Schema
    known: Mapping[str, str]
    key: tuple[str, ...]
    event_time: str | None
    valid_from: str | None = None
    valid_to: str | None = None


@dataclass(frozen=True)
class Equal:
    """A join's condition that a column of one input equals a column of an earlier one."""

    column: str
    other: str
    other_column: str


@dataclass(frozen=True)
class Lineage:
    """A derived table's query, ready to run.

    Parameters
    ----------
    sql
        The query, hidden known-at columns added, over names of ``sources``.
    sources
        Name in ``sql`` to input table, in join order.
    plain
        Whether knowledge follows from the query.
    inherited
        Column of the result to the hidden columns it waits for.
    hidden
        Hidden columns of the result.
    straight
        Column of the result to the source and column it is, unchanged.
    equals
        Source to the equalities by which it is joined to earlier ones.
    used
        Source to the columns the query reads, known-at columns included.
    valid
        Source that is joined as of a time, to how its rows hold.
    """

    sql: str
    sources: dict[str, str]
    plain: bool
    inherited: dict[str, Knowledge] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    straight: dict[str, tuple[str, str]] = field(default_factory=dict)
    equals: dict[str, tuple[Equal, ...]] = field(default_factory=dict)
    used: dict[str, tuple[str, ...]] = field(default_factory=dict)
    valid: dict[str, Validity] = field(default_factory=dict)


def trace(table: str, sql: str, inputs: Mapping[str, Input]) -> Lineage:
    """Work out what each column of a query waits for.

    Parameters
    ----------
    table
        Name of the derived table, for messages.
    sql
        One SELECT in DuckDB's dialect.
    inputs
        The tables it may name.

    Raises
    ------
    DefinitionError
        For text that is not one SELECT, or a table or column that is not there.
    """
    tree = _parse(table, sql)
    _refuse_unknown_tables(table, tree, inputs)
    if not _plain(tree, inputs):
        _refuse_as_of(table, tree, inputs)
        return Lineage(sql=sql, sources={name: name for name in inputs}, plain=False)
    assert isinstance(tree, exp.Select)
    schema: dict[str, object] = {
        name: {column: _SQL_TYPES.get(kind, kind.upper()) for column, kind in each.schema.items()}
        for name, each in inputs.items()
    }
    try:
        made = qualify(tree.copy(), dialect=_DIALECT, schema=schema)
    except OptimizeError as wrong:
        columns = {column for each in inputs.values() for column in each.schema}
        named = str(wrong).split("'")
        raise DefinitionError(
            f"sql of table {table!r}: {wrong}",
            do=near(named[1].strip('"').split(".")[-1].strip('"'), columns) if len(named) > 1 else "",
        ) from None
    assert isinstance(made, exp.Select)
    return _Tracer(table, made, inputs).lineage()


def named_tables(sql: str, *, where: str) -> tuple[exp.Query, list[str]]:
    """Parse one SELECT and return it with the tables it names (not those it defines itself)."""
    tree = _parse(where, sql)
    return tree, sorted({each.name for each in _tables(tree)})


class _Tracer:
    def __init__(self, table: str, tree: exp.Select, inputs: Mapping[str, Input]) -> None:
        self._table = table
        self._tree = tree
        self._inputs: dict[str, Input] = {}
        self._sources: dict[str, str] = {}
        self._hidden: dict[tuple[str, str], str] = {}
        self._match: dict[str, Knowledge] = {}
        self._exists: Knowledge = frozenset()
        self._equals: dict[str, tuple[Equal, ...]] = {}
        self._valid: dict[str, Validity] = {}
        source = tree.args["from_"].this
        for each in (source, *(join.this for join in tree.args.get("joins") or [])):
            self._sources[each.alias_or_name] = each.name
            self._inputs[each.alias_or_name] = inputs[each.name]

    def lineage(self) -> Lineage:
        tree = self._tree
        for join in tree.args.get("joins") or []:
            self._join(join)
        if where := tree.args.get("where"):
            self._exists |= self._of(where)
        inherited: dict[str, Knowledge] = {}
        straight: dict[str, tuple[str, str]] = {}
        for each in tree.expressions:
            name, said = each.alias_or_name, each.unalias()
            if name in inherited:
                raise DefinitionError(
                    f"sql of table {self._table!r} gives two columns called {name!r}", expected="one name, one column"
                )
            inherited[name] = self._of(said) | self._exists
            if isinstance(said, exp.Column):
                straight[name] = (said.table, said.name)
        used = self._used(tree)
        for name, each in self._valid.items():
            wanted = [*each.by, each.valid_from, *([each.valid_to] if each.valid_to else [])]
            used[name] = tuple(dict.fromkeys([*(column for column in used[name] if column != SINCE), *wanted]))
        for (source, column), hidden in self._hidden.items():
            tree.select(exp.alias_(exp.column(column, table=source, quoted=True), hidden, quoted=True), copy=False)
            used[source] = (*used[source], column)
        for each in tree.find_all(exp.Table):
            each.set("this", exp.to_identifier(registered(each.alias_or_name), quoted=True))
        return Lineage(
            sql=tree.sql("duckdb"),
            sources=self._sources,
            plain=True,
            inherited=inherited,
            hidden=tuple(self._hidden.values()),
            straight=straight,
            equals=self._equals,
            used=used,
            valid={name: replace(each, known=self._known(name)) for name, each in self._valid.items()},
        )

    def _known(self, source: str) -> tuple[str, ...]:
        """Name the known-at columns that come along from a source."""
        return tuple(dict.fromkeys(column for each, column in self._hidden if each == source))

    def _join(self, join: exp.Join) -> None:
        name = join.this.alias_or_name
        condition = join.args.get("on")
        columns = list(condition.find_all(exp.Column)) if condition else []
        if join.method == "ASOF":
            self._as_of(join, name)
        theirs = self._all(each for each in columns if each.table != name)
        own = {each.name for each in columns if each.table == name}
        ours = self._all(each for each in columns if each.table == name)
        if join.side == "LEFT":
            key = set(self._inputs[name].key)
            names_itself = own and own <= key and join.method != "ASOF"
            found = {hidden for (source, _), hidden in self._hidden.items() if source == name}
            self._match[name] = theirs | (frozenset() if names_itself else ours)
            self._match[name] |= found if join.method == "ASOF" else set()
        else:
            self._exists |= theirs | ours | self._identity(name)
        self._equals[name] = tuple(self._equalities(name, condition))

    def _as_of(self, join: exp.Join, name: str) -> None:
        """Let an as-of join find the row that held and was known at the time of the fact: its timeline's."""
        said = self._inputs[name]
        assert said.valid_from is not None
        condition = join.args.get("on")
        parts = list(condition.flatten()) if isinstance(condition, exp.And) else [condition]
        by, bounds = [], []
        for each in parts:
            sides = [each.left, each.right] if isinstance(each, exp.EQ | exp.GTE | exp.LTE) else []
            own = [side for side in sides if isinstance(side, exp.Column) and side.table == name]
            if len(own) == 1 and isinstance(each, exp.EQ):
                by.append(own[0].name)
            elif len(own) == 1 and own[0].name == said.valid_from and own[0] is _not_later(each):
                bounds.append(own[0])
        if len(bounds) != 1 or len(by) != len(parts) - 1 or not by:
            text = condition.sql("duckdb") if condition else "without a condition"
            raise DefinitionError(
                f"sql of table {self._table!r}: the asof join with {name!r} is {text}",
                expected=f"equal columns, and one fact's time >= {name}.{said.valid_from}",
            )
        self._valid[name] = Validity(tuple(dict.fromkeys(by)), said.valid_from, said.valid_to, ())
        read = {each.name for each in self._tree.find_all(exp.Column) if each.table == name}
        read |= {said.valid_from, *([said.valid_to] if said.valid_to else [])}
        for known in dict.fromkeys(said.known[each] for each in said.schema if each in read & set(said.known)):
            self._hidden.setdefault((name, known), f"{KNOWN}in_{len(self._hidden)}")  # it counts when all is known
        bounds[0].set("this", exp.to_identifier(SINCE, quoted=True))

    def _equalities(self, name: str, condition: exp.Expr | None) -> list[Equal]:
        found = []
        for each in condition.flatten() if isinstance(condition, exp.And) else [condition]:
            if isinstance(each, exp.EQ) and isinstance(each.left, exp.Column) and isinstance(each.right, exp.Column):
                for one, other in ((each.left, each.right), (each.right, each.left)):
                    if one.table == name and other.table != name:
                        found.append(Equal(column=one.name, other=other.table, other_column=other.name))
        return found

    def _identity(self, source: str) -> Knowledge:
        said = self._inputs[source]
        columns = said.key or ((said.event_time,) if said.event_time else tuple(said.schema))
        return self._all(exp.column(each, table=source) for each in columns)

    def _of(self, tree: exp.Expr) -> Knowledge:
        return self._all(tree.find_all(exp.Column))

    def _all(self, columns: object) -> Knowledge:
        found: Knowledge = frozenset()
        for each in columns:  # type: ignore[attr-defined]
            known = self._inputs[each.table].known.get(each.name)
            if known is not None:
                hidden = self._hidden.setdefault((each.table, known), f"{KNOWN}in_{len(self._hidden)}")
                found |= {hidden}
            found |= self._match.get(each.table, frozenset())
        return found

    def _used(self, tree: exp.Select) -> dict[str, tuple[str, ...]]:
        used: dict[str, dict[str, None]] = {source: {} for source in self._sources}
        for each in tree.find_all(exp.Column):
            if each.table in used:
                used[each.table][each.name] = None
        return {source: tuple(columns) for source, columns in used.items()}


def registered(source: str) -> str:
    """Return the name under which the rows of a source are registered to run a plain query."""
    return f"__rows_{source}"


def _parse(table: str, sql: str) -> exp.Query:
    try:
        trees = [each for each in sqlglot.parse(sql, dialect="duckdb") if each is not None]
    except (ParseError, TokenError) as wrong:
        raise DefinitionError(
            f"sql of {table}: {_plain_text(wrong)}", expected="one SELECT in DuckDB's dialect"
        ) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        said = "nothing" if not trees else " and ".join(each.key.upper() for each in trees)
        raise DefinitionError(f"sql of {table} is {said}", expected="one SELECT in DuckDB's dialect")
    if trees[0].find(exp.Insert, exp.Update, exp.Delete, exp.Into, exp.DDL) and trees[0].find(
        exp.Insert, exp.Update, exp.Delete, exp.Into, exp.Create, exp.Drop
    ):
        raise DefinitionError(f"sql of {table} writes", expected="one SELECT in DuckDB's dialect")
    return trees[0]


def _plain_text(wrong: SqlglotError) -> str:
    return str(wrong).replace("\x1b[4m", "").replace("\x1b[0m", "")


def _tables(tree: exp.Expr) -> list[exp.Table]:
    own = {each.alias_or_name for each in tree.find_all(exp.CTE)}
    return [each for each in tree.find_all(exp.Table) if each.name not in own]


def _refuse_unknown_tables(table: str, tree: exp.Expr, inputs: Mapping[str, Input]) -> None:
    for each in _tables(tree):
        if each.name not in inputs or each.db:
            raise DefinitionError(
                f"sql of table {table!r} reads {each.sql('duckdb')!r}, which is not among its inputs",
                expected=f"of=[{', '.join(inputs)}]",
                do=near(each.name, inputs),
            )


def _refuse_as_of(table: str, tree: exp.Expr, inputs: Mapping[str, Input]) -> None:
    """Refuse an as-of join that cannot be made to look only at what was known."""
    for each in tree.find_all(exp.Join):
        said = inputs.get(each.this.name) if isinstance(each.this, exp.Table) else None
        if each.method == "ASOF" and said is not None and said.valid_from:
            raise DefinitionError(
                f"sql of table {table!r} joins {each.this.name!r} as of a time and does more (or is no left join), so "
                "rows that were not known yet would be found",
                expected=f"asof left join {each.this.name} ... in a table of its own; aggregate that one",
            )


def _not_later(condition: exp.Expr | None) -> object:
    """Return the side of a comparison that is not the later one."""
    if isinstance(condition, exp.GTE):
        return condition.right
    return condition.left if isinstance(condition, exp.LTE) else None


def _plain(tree: exp.Expr, inputs: Mapping[str, Input]) -> bool:
    if not isinstance(tree, exp.Select):
        return False
    merging = ("group", "having", "distinct", "limit", "offset", "qualify", "with_", "laterals", "windows", "sample")
    if any(tree.args.get(each) for each in merging) or not tree.args.get("from_"):
        return False
    if tree.find(exp.AggFunc, exp.Window, exp.Unnest, exp.Explode) or len(list(tree.find_all(exp.Query))) > 1:
        return False
    joins = tree.args.get("joins") or []
    tables = [tree.args["from_"].this, *(each.this for each in joins)]
    return all(isinstance(each, exp.Table) and not each.args.get("joins") for each in tables) and all(
        each.side in ("", "LEFT")
        and each.kind in ("", "INNER", "CROSS", "OUTER")
        and (not each.method or ((each.method, each.side) == ("ASOF", "LEFT") and inputs[each.this.name].valid_from))
        for each in joins
    )
