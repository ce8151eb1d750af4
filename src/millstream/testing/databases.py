"""What the reader of a database must do: one transaction, rows in order, the cursor's edge, keys alone."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from millstream.sources.reading import Copied, Reading
from millstream.testing.bench import refused, require


class Database(Protocol):
    """A database with room for one table."""

    def run(self, statement: str) -> None:
        """Carry out a statement of plain SQL, as an owner would."""

    def reading(self, **words: Any) -> AbstractContextManager[Reading]:
        """Open a source of it in one transaction, with the words of ``sources.Sql``."""


class DatabaseSuite:
    """Laws of ``millstream.sources.reading.Reading``. Inherit, and define the fixture ``database``, a new one each."""

    def test_rows_come_in_order_and_hash_alike(self, database: Database, tmp_path: Path) -> None:
        """The same rows have one order and one hash, other rows another."""
        _filled(database)
        with database.reading(table="t") as found:
            require(list(found.schema) == ["id", "n", "word"], f"its columns are {found.schema}")
            one, other = (_copied(found, tmp_path, order=("id",)) for _ in range(2))
        require(one[0]["id"].to_list() == list(range(1, 31)), f"it has {one[0]}")
        require(one[1] == other[1] and one[0].equals(other[0]), "the same rows, copied twice, differ")
        database.run("update t set word = 'other' where id = 7")
        with database.reading(table="t") as found:
            require(_copied(found, tmp_path, order=("id",))[1] != one[1], "other rows have the same hash")

    def test_the_cursor_keeps_what_is_at_its_edge(self, database: Database, tmp_path: Path) -> None:
        """Rows that are equal to the cursor come again: a later one of that value is not lost."""
        _filled(database)
        with database.reading(table="t", cursor="n") as found:
            require(found.newest(None) == 15, f"the largest is 15, not {found.newest(None)}")
            require(found.newest(9) == 9, f"the largest up to 9 is not {found.newest(9)}")
            rest = _copied(found, tmp_path, order=("n", "id"), since=14)[0]
        require(rest["id"].to_list() == [27, 28, 29, 30], f"from 14 on there are {rest}")

    def test_keys_come_alone(self, database: Database, tmp_path: Path) -> None:
        """Looking for what is gone reads the keys and no other column."""
        _filled(database)
        with database.reading(table="t", cursor="n") as found:
            copied = found.keys(("id",), tmp_path, tell=lambda line: None)
            made = _all(copied)
        require(made.columns == ["id"] and made["id"].sort().to_list() == list(range(1, 31)), f"its keys are {made}")

    def test_a_cursor_that_is_empty_somewhere_is_refused(self, database: Database) -> None:
        """A row without a cursor would never be seen, so it is refused."""
        _filled(database)
        with database.reading(table="t", cursor="n") as found:
            found.refuse_empty_cursor()
        database.run("insert into t values (31, null, 'x')")
        with database.reading(table="t", cursor="n") as found:
            refused(found.refuse_empty_cursor, why="the cursor is NULL in a row")

    def test_nothing_is_read_of_what_is_no_query_or_not_there(self, database: Database) -> None:
        """What is no query, or names no table, is refused in words, and nothing is written."""
        _filled(database)
        for words in ({"query": "delete from t"}, {"query": "select n frm t where"}, {"table": "tt"}):
            refused(lambda words=words: database.reading(**words).__enter__(), why=f"{words} cannot be read")  # type: ignore[misc]
        with database.reading(table="t") as found:
            require(len(found.schema) == 3, "something was deleted")


def _filled(database: Database) -> None:
    database.run("create table t (id integer primary key, n integer, word varchar(20))")
    values = ", ".join(f"({each}, {(each + 1) // 2}, 'w{each % 3}')" for each in range(1, 31))
    database.run(f"insert into t values {values}")


def _copied(found: Reading, folder: Path, *, order: tuple[str, ...], since: object = None) -> tuple[pl.DataFrame, str]:
    copied = found.copy(order=order, since=since, folder=folder, tell=lambda line: None)
    return _all(copied), copied.content


def _all(copied: Copied) -> pl.DataFrame:
    try:
        return pl.concat(copied.frames())
    finally:
        copied.close()
