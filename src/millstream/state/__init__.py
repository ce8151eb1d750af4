"""The only door to the state database: pointer, ledger rows, outbox, leases, policy and versions.

One SQLite file in WAL mode with synchronous FULL is the only truth; everything else is a projection of it. A file
here owns the tables of one kind of record: their DDL, one frozen record, and functions that take a transaction
to write or the state to read. A change of state is made by one function of the room that owns the act, which also
appends one ledger row in the same transaction.
"""

from millstream.state.database import State, Transaction

__all__ = ["State", "Transaction"]
