"""Which columns are sensitive: those a definition says are, and whatever is computed from them."""

from __future__ import annotations

from typing import TypeAlias

from millstream.lake.catalog import Catalog
from millstream.lake.derived.columns import Columns

NONE = "none"
"""Said of a computed column: it is not sensitive, whatever it is computed from."""
Tags: TypeAlias = dict[str, dict[str, str]]
"""Column to its words, each with the ``table.column`` it comes from."""


class Sensitivity:
    """Reads the tags of columns, the inherited ones included.

    Parameters
    ----------
    catalog
        Definitions.
    columns
        Their lineage. Where it is table-level every column inherits every tag of the inputs, unless the definition
        says otherwise: what nobody can follow is taken to be as sensitive as what went in.
    """

    def __init__(self, catalog: Catalog, columns: Columns) -> None:
        self._catalog = catalog
        self._columns = columns
        self._found: dict[str, Tags] = {}

    def of(self, table: str) -> Tags:
        """Return the sensitive columns of a table with their words; the others are left out."""
        if table not in self._found:
            self._found[table] = self._tags(table) if self._any(table) else {}
        return self._found[table]

    def _any(self, table: str) -> bool:
        said = self._catalog.table(table)
        return bool(said.sensitive) or any(self._any(each) for each in said.of)

    def _tags(self, table: str) -> Tags:
        definition = self._catalog.table(table)
        found: Tags = {}
        for column, said in definition.sensitive.items():
            found[column] = {word: f"{table}.{column}" for word in said if word != NONE}
        origins = self._columns.of(table)
        # a table that nobody read yet has no known columns: what it declares is all there is to say
        for column, bases in origins.values.items():
            if NONE in definition.sensitive.get(column, ()):
                continue
            mine = found.setdefault(column, {})
            for source, each in bases:
                held = found.get(each, {}) if source == table else self.of(source).get(each, {})
                for word, via in held.items():
                    mine.setdefault(word, via)
        return {column: words for column, words in found.items() if words}
