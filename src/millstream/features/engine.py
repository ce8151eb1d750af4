"""Who computes features: one protocol, the embedded engine (Polars, in process) the default.

An engine joins by passing ``millstream.testing.FeatureEngineSuite``; training, notebooks, batch scoring, what keeps
features served and what proves them ask it whatever it is.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import polars as pl

    from millstream.features.changes import Changes
    from millstream.features.plan import FeaturePlan, ViewPlan
    from millstream.lake.frame import TableFrame

MEMORY = 512 * 10**6
"""Bytes the embedded engine takes at most beside what it is given and what it answers, unless said."""


class FeatureEngine(Protocol):
    """Joins rows to what was known of their entities when each was decided.

    An engine that inherits from it need write ``point_in_time`` alone.
    """

    def point_in_time(
        self,
        plan: FeaturePlan,
        spine: pl.DataFrame,
        tables: Mapping[str, TableFrame],
        *,
        took: MutableMapping[str, float] | None = None,
        learning: bool = False,
    ) -> pl.DataFrame:
        """Add to every row of a spine the features as known at its ``decided_at``.

        Parameters
        ----------
        plan
            What to compute.
        spine
            Rows with the plan's entity columns, request fields and ``decided_at`` (see ``spine``).
        tables
            Table to the rows of the version that is read.
        took
            Where the seconds that each view took are put.
        learning
            Whether these are rows to learn from and judge on: then a row of a table without time is encoded by the
            labels of other folds, where what is served may know them all.

        Returns
        -------
        pl.DataFrame
            The spine, every row in its place, and one column per ``plan.columns``. A row without an instant, or with
            a NULL key, is like one of an entity never seen.

        Raises
        ------
        NotFound
            When a table of the plan is not among ``tables``.
        """
        ...

    def changes(self, view: ViewPlan, table: TableFrame, *, span: tuple[int, int], bound_bytes: int) -> Changes:
        """Answer a view for everybody at every instant at which an answer may change: what is served.

        Unless an engine has a quicker way, it asks ``point_in_time`` about these instants.

        Parameters
        ----------
        view
            What to compute.
        table
            The facts.
        span
            From when to before when decisions are made, microseconds; ``facts.FOREVER`` is without end.
        bound_bytes
            Most that the answers may take, as doubles with their instants.

        Returns
        -------
        Changes
            Everybody stands at the beginning of the span. Between two instants nothing changes but a time since.

        Raises
        ------
        Refused
            When they would take more than the bound; names the view.
        """
        from millstream.features.changes import by_rows

        return by_rows(self, view, table, span=span, bound_bytes=bound_bytes)
