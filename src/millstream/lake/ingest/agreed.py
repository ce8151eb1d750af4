"""The columns agreed for a table: noted when a version brings others, waiting when somebody has to accept them."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.definitions.table import Table
from millstream.lake.files import empty
from millstream.lake.shape import compile_shape
from millstream.ledger import Ledger
from millstream.sources import SchemaChanged
from millstream.sources.drift import changed, differences, word
from millstream.state import State, Transaction, schemas, versions
from millstream.state.versions import TableVersion
from millstream.types import Clock

CHANGED = "table.schema"
"""Act of the ledger's row of a version that brought other columns than the one before."""
WAITS = "table.schema_waits"
ACCEPTED = "table.accept_schema"


def note(state: State, ledger: Ledger, tx: Transaction, made: TableVersion, *, actor: str) -> None:
    """Write down, before a version is registered, which columns it brings that the one before had not."""
    waiting = schemas.waiting(tx, made.table)
    if waiting is not None and made.columns == waiting.after:
        schemas.forget(tx, made.table)
    before = versions.before(state, made.table, made.version)
    if before is None or not before.columns or not made.columns or before.columns == made.columns:
        return
    says = differences(before.columns, made.columns)
    if not says:  # in another order
        return
    old, new = changed(before.columns, made.columns)
    accepted = waiting.accepted_by if waiting is not None and made.columns == waiting.after else ""
    detail = {"before": old, "after": new, "says": says, "accepted_by": accepted}
    ledger.append(tx, actor=actor, act=CHANGED, subject=f"{made.table}@{made.version}", detail=detail)


def wait(state: State, ledger: Ledger, clock: Clock, table: str, error: SchemaChanged, *, actor: str) -> None:
    """Note that a table waits for somebody to accept its columns; the same again is noted once."""
    known = schemas.waiting(state, table)
    if known is not None and known.after == error.after and not known.accepted_by:
        return
    fresh = schemas.Waiting(table, clock.now().isoformat(), error.happened, error.before, error.after)
    old, new = changed(error.before, error.after)
    with state.transact() as tx:
        schemas.put(tx, fresh)
        detail = {"before": old, "after": new, "says": error.happened}
        ledger.append(tx, actor=actor, act=WAITS, subject=table, detail=detail)


def accept(state: State, ledger: Ledger, table: str, *, actor: str) -> None:
    """Agree to the columns a table waits for, to no others; where it waits for none, to whichever come next."""
    waiting = schemas.waiting(state, table)
    with state.transact() as tx:
        if waiting is None or waiting.accepted_by:
            versions.forget_schema(tx, table)
            ledger.append(tx, actor=actor, act=ACCEPTED, subject=table)
            return
        versions.expect_schema(tx, table, waiting.after)
        schemas.put(tx, schemas.Waiting(table, waiting.at, waiting.says, waiting.before, waiting.after, actor))
        old, new = changed(waiting.before, waiting.after)
        detail = {"before": old, "after": new, "says": waiting.says}
        ledger.append(tx, actor=actor, act=ACCEPTED, subject=table, detail=detail)


def refuse_unfit(table: Table | None, columns: Mapping[str, str], *, kind: str) -> None:
    """Refuse rows that the definition of their table cannot use, before anything of them is committed.

    Parameters
    ----------
    table
        The definition; None for a table of the lake's own.
    columns
        Column to type, as Polars names it.
    kind
        How the rows come about; what a step makes was looked at when it was made.

    Raises
    ------
    BadData, DefinitionError
        Naming the column and what to declare.
    """
    if table is not None and kind == "ingested":
        named = {name: word(each) for name, each in columns.items()}
        compile_shape(table, empty(named, where=f"table {table.name!r}"))
