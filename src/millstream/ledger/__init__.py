"""Who did what: an append-only, hash-chained record of every act and every data access.

A row's hash covers its exact stored bytes and the hash before it, so changing, deleting, inserting or reordering
any row breaks the chain at a row that can be named. Cutting the tail is found against a head kept elsewhere.
"""

from millstream.ledger.chain import Anchor, Ledger, LedgerRow, Verification

__all__ = ["Anchor", "Ledger", "LedgerRow", "Verification"]
