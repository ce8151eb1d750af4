"""Asking a database what it says about a table."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from millstream.sources.told import Reference, Told

_COLUMNS = """
    select a.attname, a.attnotnull, col_description(a.attrelid, a.attnum), a.attnum from pg_attribute a
    where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum"""
_KEYS = """
    select i.indisprimary, i.indkey::int2[] from pg_index i
    where i.indrelid = %s::regclass and i.indisunique and i.indpred is null and i.indexprs is null
    order by not i.indisprimary, i.indnkeyatts, i.indexrelid"""
_REFERENCES = """
    select a.attname, c.relname, b.attname from pg_constraint k
    join pg_class c on c.oid = k.confrelid
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
    join pg_attribute b on b.attrelid = k.confrelid and b.attnum = k.confkey[1]
    where k.contype = 'f' and k.conrelid = %s::regclass and array_length(k.conkey, 1) = 1 order by k.conkey"""


def constraints(connection: psycopg.Connection, table: str) -> Told:
    """Ask a database what it says about a table or view; ``table`` is there.

    Cost: one count of its rows beside what the catalogue holds.
    """
    name = sql.Identifier(*table.split(".")).as_string(connection)
    rows = connection.execute(sql.SQL("select count(*) from {}").format(sql.SQL(name))).fetchone()
    columns = connection.execute(_COLUMNS, (name,)).fetchall()
    numbered = {number: str(column) for column, _, _, number in columns}
    required = tuple(str(column) for column, must, _, _ in columns if must)
    primary, key = _key(connection.execute(_KEYS, (name,)).fetchall(), numbered, required)
    own = connection.execute("select obj_description(%s::regclass, 'pg_class')", (name,)).fetchone()
    comments = {"": own[0]} if own and own[0] else {}
    return Told(
        rows=int(rows[0]) if rows else 0,
        key=key,
        primary=primary,
        required=required,
        references=tuple(Reference(*map(str, each)) for each in connection.execute(_REFERENCES, (name,)).fetchall()),
        comments={**comments, **{str(column): str(said) for column, _, said, _ in columns if said}},
    )


def repeated(connection: psycopg.Connection, table: str, key: Sequence[str]) -> bool:
    """Say whether some value of these columns names two rows, or is NULL; looks at every row."""
    by = sql.SQL(", ").join(map(sql.Identifier, key))
    empty = sql.SQL(" or ").join(sql.SQL("{} is null").format(sql.Identifier(each)) for each in key)
    query = sql.SQL("select 1 from {} group by {} having count(*) > 1 or {} limit 1").format(
        sql.Identifier(*table.split(".")), by, empty
    )
    return connection.execute(query).fetchone() is not None


def _key(
    found: Sequence[tuple[bool, list[int]]], numbered: dict[int, str], required: Sequence[str]
) -> tuple[bool, tuple[str, ...]]:
    for primary, numbers in found:
        names = tuple(numbered[each] for each in numbers if each in numbered)
        if len(names) == len(numbers) and set(names) <= set(required):
            return primary, names
    return False, ()
