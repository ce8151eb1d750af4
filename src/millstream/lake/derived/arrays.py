"""Array columns of derived tables, taken apart where their rows come in: ``e`` becomes ``e_1`` ... ``e_16``.

So everything behind, from the contract to what is served, sees ordinary columns of numbers. An array has a fixed
number of elements, which is part of its type (``FLOAT[16]`` of DuckDB, ``Array`` of Polars). A list has any number in
each row: it would give a table other columns with other rows, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from millstream.definitions.recipes import named_elements
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError


def taken_apart(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Put a column for each element in the place of every array.

    Parameters
    ----------
    rows
        What the query or the step of a derived table gave.
    table
        Its definition.

    Returns
    -------
    pl.DataFrame
        The same rows. An element that is NULL is NULL; of an array that is NULL all elements are. Types are those of
        the elements: what the door makes of every number, it makes of these.

    Raises
    ------
    BadData
        For a list, an array of anything but numbers or of more elements than an embedding may have, or an element's
        name that is a column already.
    """
    parts = elements(rows, table)
    if not parts:
        return rows
    made: list[pl.Expr] = []
    for name in rows.columns:
        names = parts.get(name)
        if names is None:
            made.append(pl.col(name))
        else:
            made += [pl.col(name).arr.get(place).alias(each) for place, each in enumerate(names)]
    return rows.select(made)


def elements(rows: pl.DataFrame, table: Table) -> dict[str, list[str]]:
    """Name the columns of each array's elements; see ``taken_apart`` for what is refused."""
    found: dict[str, list[str]] = {}
    for name, kind in rows.schema.items():
        if isinstance(kind, pl.List):
            raise _refused_list(rows[name], kind, table)
        if isinstance(kind, pl.Array):
            inner = kind.inner
            if not (inner.is_numeric() or inner == pl.Null):
                raise BadData(
                    f"table {table.name!r}: column {name!r} is an array of {'arrays' if inner.is_nested() else inner}",
                    expected="an array of numbers, which becomes a column for each of its elements",
                    do=_otherwise(name),
                )
            found[name] = _named(name, kind.size, table)
    _refuse_clash(rows.columns, found, table)
    return found


def named_in(column: str, schema: Iterable[str]) -> list[str]:
    """Name the columns that hold the elements of an array; none where there are none."""
    there = set(schema)
    found: list[str] = []
    while (each := f"{column}_{len(found) + 1}") in there:
        found.append(each)
    return found


def _named(name: str, size: int, table: Table) -> list[str]:
    try:
        return named_elements(name, size)
    except DefinitionError as wrong:
        raise BadData(f"table {table.name!r}: {wrong.happened}", expected=wrong.expected, do=wrong.do) from None


def _refuse_clash(columns: Iterable[str], found: Mapping[str, list[str]], table: Table) -> None:
    """Refuse an element called like a column; SQL does not tell upper from lower case."""
    taken = {each.lower(): each for each in columns}
    for name, names in found.items():
        for each in names:
            if each.lower() in taken:
                raise BadData(
                    f"table {table.name!r}: column {name!r} is an array, whose elements become {names[0]} to "
                    f"{names[-1]}, and there is a column {taken[each.lower()]!r} already",
                    expected="one name, one column",
                    do="give one of them another name",
                )
        taken |= {each.lower(): each for each in names}


def _refused_list(column: pl.Series, kind: pl.List, table: Table) -> BadData:
    name = column.name
    if not (kind.inner.is_numeric() or kind.inner == pl.Null):
        return BadData(
            f"table {table.name!r}: column {name!r} is a list of {'lists' if kind.inner.is_nested() else kind.inner}",
            expected="numbers, texts, booleans, dates or times, or an array of a fixed number of numbers",
            do=_otherwise(name),
        )
    lengths = column.list.len().drop_nulls().unique().sort().to_list()
    size = str(lengths[0]) if len(lengths) == 1 else "N"
    said = f" (here {' to '.join(map(str, dict.fromkeys((lengths[0], lengths[-1]))))})" if lengths else ""
    number = "bigint" if kind.inner.is_integer() else "float" if kind.inner == pl.Float32 else "double"
    do = f"cast({name} as {number}[{size}])" if table.step is None else f'pl.col("{name}").list.to_array({size})'
    if size == "N":
        do += "; N is how many numbers there are in each row"
    if not isinstance(table.step, str | None):
        do = f"write fixed_size_list of Arrow, or a column for each number: {name}_1, {name}_2 and so on"
    return BadData(
        f"table {table.name!r}: column {name!r} is a list, which may have any number of elements{said}",
        expected="an array of a fixed number of numbers, which becomes a column for each of its elements",
        do=do,
    )


def _otherwise(name: str) -> str:
    return f"take {name} apart into columns of its own, or leave it out"
