"""What a model predicts for: one row per row of a table, decided at an instant."""

from __future__ import annotations

from dataclasses import dataclass

from millstream.definitions.table import Table


@dataclass(frozen=True, init=False)
class Each:
    """One prediction per row of a table.

    Parameters
    ----------
    of
        The table. Its key joins predictions to outcomes.
    decide_at
        Expression of the instant at which the prediction is made; the row's event time when left out.
    where
        Expression; only rows for which it is true are predicted. It must be known at ``decide_at``.
    """

    of: str
    decide_at: str | None
    where: str | None

    def __init__(self, of: Table | str, *, decide_at: str | None = None, where: str | None = None) -> None:
        object.__setattr__(self, "of", of if isinstance(of, str) else of.name)
        object.__setattr__(self, "decide_at", decide_at)
        object.__setattr__(self, "where", where)
