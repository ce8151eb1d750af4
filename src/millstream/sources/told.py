"""What a database itself says about a table: its key, its references, what must be there, and its owner's words."""

from __future__ import annotations

import msgspec


class Reference(msgspec.Struct, frozen=True):
    """A foreign key of one column: which, and the table (without schema) and column it names a row of."""

    column: str
    table: str
    to: str


class Told(msgspec.Struct, frozen=True):
    """What a database says about a table.

    Parameters
    ----------
    rows
        Rows it has.
    key
        Columns of its primary key, else of a unique key that is never NULL; none where there is neither.
    primary
        Whether that is the primary key.
    required
        Columns that are NOT NULL.
    references
        Foreign keys of one column.
    comments
        Column to its comment; ``""`` to the table's own.
    """

    rows: int
    key: tuple[str, ...] = ()
    primary: bool = False
    required: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    comments: dict[str, str] = {}
