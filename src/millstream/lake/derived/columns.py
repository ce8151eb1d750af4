"""Column-level lineage of tables: which columns of which tables a column is made of, from the definitions themselves.

Three ways are told apart: ``value`` (computed from it), ``rows`` (it decides which rows there are: filters, joins,
groups) and ``time`` (it says when the column became known). Of a step nothing but its inputs is known, and of a query
that cannot be followed neither: lineage is then from every column of every input, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from millstream.definitions.table import Table
from millstream.errors import DefinitionError, ExpressionError
from millstream.expressions import parse
from millstream.lake.catalog import Catalog
from millstream.lake.derived.lineage import named_tables
from millstream.state import versions
from millstream.types import Schema, content_hash

How: TypeAlias = Literal["value", "rows", "time"]
Base: TypeAlias = tuple[str, str]
"""Table and column."""
_DIALECT = "duckdb, normalization_strategy=case_sensitive"
_DECIDING = ("where", "group", "having", "qualify", "distinct", "order", "limit", "offset")
STEP = "a step makes it: lineage is from table to table, since what the step does with columns cannot be read"


@dataclass(frozen=True)
class Origins:
    """Where the columns of one table come from, one step back.

    Parameters
    ----------
    values
        Column to the columns it is computed from; empty for one that comes from the source as it is.
    rows
        Columns that decide which rows there are.
    times
        Column to the columns of the same table that say when it became known.
    how
        Column to the expression that makes it, where there is one.
    named
        Columns of inputs that the definition names, so that renaming one breaks it; ``select *`` names none.
    exact
        Whether this is column by column.
    says
        Why it is not.
    """

    values: dict[str, tuple[Base, ...]]
    rows: tuple[Base, ...] = ()
    times: dict[str, tuple[Base, ...]] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    named: frozenset[Base] = frozenset()
    exact: bool = True
    says: str = ""


class Columns:
    """Reads lineage from definitions, a table at a time; what was read is kept.

    Parameters
    ----------
    catalog
        Definitions and registered versions; no data is read.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._found: dict[str, Origins] = {}
        self._schemas: dict[str, Schema] = {}

    def schema(self, table: str) -> Schema:
        """Return the columns a table has at its newest version; none before it was read."""
        if table not in self._schemas:
            head = versions.head(self._catalog.state, table)
            self._schemas[table] = {} if head is None else dict(head.schema)  # type: ignore[arg-type]
        return self._schemas[table]

    def of(self, table: str) -> Origins:
        """Return where a table's columns come from."""
        if table not in self._found:
            definition = self._catalog.table(table)
            schemas = [list(self.schema(each).items()) for each in (table, *definition.of)]
            said = content_hash([self._catalog.digest(table), schemas])
            kept = self._catalog.origins.get(table)
            if kept is None or kept[0] != said:
                kept = self._catalog.origins[table] = (said, self._origins(definition))
            assert isinstance(kept[1], Origins)
            self._found[table] = kept[1]
        return self._found[table]

    def _origins(self, table: Table) -> Origins:
        schema = self.schema(table.name)
        if table.made:
            found = self._vague(table, STEP)
        elif table.derived:
            found = self._queried(table)
        else:
            found = Origins(values={name: () for name in schema if name not in table.columns})
        values, how = dict(found.values), dict(found.how)
        for name, text in table.columns.items():
            values[name] = tuple((table.name, each) for each in named_columns(text, schema))
            how[name] = text
        times = {}
        for name in schema:
            text = table.known_at.get(name, table.known_at.get("*", ""))
            times[name] = (
                tuple((table.name, each) for each in named_columns(text, schema) if each != name) if text else ()
            )
        ordered = {name: values[name] for name in (schema or values) if name in values}
        return Origins(ordered, found.rows, times, how, found.named, found.exact, found.says)

    def _vague(self, table: Table, says: str) -> Origins:
        every = tuple((name, column) for name in table.of for column in self.schema(name))
        own = [each for each in self.schema(table.name) if each not in table.columns]
        return Origins(dict.fromkeys(own, every), rows=every, named=frozenset(every), exact=False, says=says)

    def _queried(self, table: Table) -> Origins:
        try:
            found = Query(table.sql or "", {name: self.schema(name) for name in table.of}, where=table.name).origins()
        except (SqlglotError, DefinitionError, LookupError) as wrong:
            said = str(wrong).splitlines()[0]
            return self._vague(table, f"its sql cannot be followed column by column ({said}): lineage is table-level")
        if lost := [each for each in self.schema(table.name) if each not in found.values and each not in table.columns]:
            return self._vague(table, f"its sql does not say where {lost[0]} comes from: lineage is table-level")
        return found


class Query:
    """One SELECT, resolved to the columns of the tables it reads.

    Parameters
    ----------
    sql
        In DuckDB's dialect.
    schemas
        Table to its columns.
    where
        Whose query it is, for messages.

    Raises
    ------
    SqlglotError, LookupError
        When it cannot be followed: an unknown column, a row taken as a whole, a table function.
    """

    def __init__(self, sql: str, schemas: Mapping[str, Schema], *, where: str) -> None:
        tree, _ = named_tables(sql, where=where)
        self._said = {each.name for each in tree.find_all(exp.Column)} | {
            each.name for join in tree.find_all(exp.Join) for each in join.args.get("using") or []
        }
        columns: dict[str, object] = {name: dict.fromkeys(each, "VARCHAR") for name, each in schemas.items()}
        made = qualify(tree.copy(), dialect=_DIALECT, schema=columns)
        root = build_scope(made)
        if root is None:
            raise LookupError("no query")
        self._root = root
        self._scopes = {id(each.expression): each for each in root.traverse()}
        self._selects: dict[int, dict[str, exp.Expr]] = {}
        self._kept: dict[tuple[int, str], frozenset[Base]] = {}
        self._tables = schemas

    def origins(self) -> Origins:
        """Return where each column of the result comes from."""
        values, how = {}, {}
        for each in _selects(self._first(self._root)):
            name = each.alias_or_name
            values[name] = tuple(sorted(self._output(self._root, name)))
            if not isinstance(each.unalias(), exp.Column):
                how[name] = each.unalias().sql("duckdb")
        rows = self.deciding()
        every = frozenset(base for bases in values.values() for base in bases) | rows
        named = frozenset(each for each in every if each[1] in self._said)
        return Origins(values, tuple(sorted(rows)), how=how, named=named)

    def deciding(self) -> frozenset[Base]:
        """Name the columns that decide which rows there are."""
        found: frozenset[Base] = frozenset()
        for scope in self._scopes.values():
            tree = scope.expression
            for part in (*(tree.args.get(each) for each in _DECIDING), *(tree.args.get("joins") or [])):
                if isinstance(part, exp.Expr):
                    found |= self._walk(part)
        return found

    def read(self) -> dict[str, list[str]]:
        """Name the columns that are read of each table, wherever in the query."""
        found: dict[str, set[str]] = {}
        for table, column in self._walk(self._root.expression):
            found.setdefault(table, set()).add(column)
        for each in self._root.expression.find_all(exp.Table):
            if each.name in self._tables:
                found.setdefault(each.name, set())
        return {table: sorted(columns) for table, columns in found.items()}

    def _first(self, scope: Scope) -> Scope:
        while isinstance(scope.expression, exp.SetOperation):
            scope = scope.set_operation_scopes[0]
        return scope

    def _output(self, scope: Scope, name: str) -> frozenset[Base]:
        key = (id(scope.expression), name)
        if key not in self._kept:
            self._kept[key] = frozenset()  # a query that names itself adds nothing to what it begins with
            self._kept[key] = self._made(scope, name)
        return self._kept[key]

    def _made(self, scope: Scope, name: str) -> frozenset[Base]:
        tree = scope.expression
        if isinstance(tree, exp.SetOperation):
            names = [each.alias_or_name for each in _selects(self._first(scope))]
            place, found = names.index(name), frozenset[Base]()
            for side in scope.set_operation_scopes:
                found |= self._output(side, _selects(self._first(side))[place].alias_or_name)
            return found
        if not isinstance(tree, exp.Select):
            return self._walk(tree)
        if id(tree) not in self._selects:
            self._selects[id(tree)] = {each.alias_or_name: each.unalias() for each in _selects(scope)}
        if name not in self._selects[id(tree)]:
            raise LookupError(f"no column {name}")
        return self._walk(self._selects[id(tree)][name])

    def _walk(self, tree: exp.Expr) -> frozenset[Base]:
        found: set[Base] = set()
        for each in tree.find_all(exp.Column, exp.Star, exp.TableColumn, exp.Columns):
            if isinstance(each, exp.Column):
                found |= self._base(each)
            elif not isinstance(each.parent, exp.Count):
                raise LookupError(f"{each.sql('duckdb')} stands for columns nobody can name")
        return frozenset(found)

    def _base(self, column: exp.Column) -> frozenset[Base]:
        for scope in self._around(column):
            if column.table in scope.sources:
                source = scope.sources[column.table]
                if isinstance(source, exp.Table):
                    if column.name not in self._tables.get(source.name, ()):
                        raise LookupError(f"{source.name} has no column {column.name}")
                    return frozenset({(source.name, column.name)})
                if isinstance(source, Scope):
                    return self._output(source, column.name)
                raise LookupError(f"{column.table} is no table")
        raise LookupError(f"nobody knows {column.sql()}")

    def _around(self, column: exp.Column) -> Iterator[Scope]:
        at: exp.Expr | None = column
        while at is not None:
            if id(at) in self._scopes:
                yield self._scopes[id(at)]
            at = at.parent


def _selects(scope: Scope) -> list[exp.Expr]:
    return list(scope.expression.selects) if isinstance(scope.expression, exp.Query) else []


def columns_read(sql: str, schemas: Mapping[str, Schema]) -> dict[str, list[str]]:
    """Name the columns a person's query reads of each table; all of them where that cannot be told."""
    try:
        return Query(sql, schemas, where="the query").read()
    except (SqlglotError, DefinitionError, LookupError):
        return {name: list(schema) for name, schema in schemas.items()}


def named_columns(text: str, schema: Schema) -> tuple[str, ...]:
    """Name the columns of an expression; none before the table was read."""
    try:
        return parse(text, schema, where="lineage").columns
    except ExpressionError:
        return ()
