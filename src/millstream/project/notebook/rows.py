"""A training set in a notebook: rows, features as known then, labels, and why each number is what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from millstream.errors import BadData, NotFound, UserError
from millstream.project.catalog.reads import columns_of
from millstream.project.models.learn import plan as resolved
from millstream.project.models.learn import static_instant, tables_of
from millstream.project.notebook import show
from millstream.project.notebook.frames import to_pandas
from millstream.project.notebook.sets import build
from millstream.project.notebook.tables import instant, reading, refuse_strange
from millstream.project.people import Person
from millstream.project.telling import unquoted

if TYPE_CHECKING:
    import pandas as pd

    from millstream.features.plan import FeaturePlan
    from millstream.project.notebook.columns import Work
    from millstream.project.notebook.pictures import Picture
    from millstream.project.notebook.why import Why
    from millstream.project.root import Project
    from millstream.training import TrainingSet


_BARS, _LISTED = 10, 200


class TrainingRows:
    """Rows joined to features as known when each was decided, and to labels.

    Parameters
    ----------
    project
        Where the tables are.
    found
        The set.
    work
        Which of its features were kept from before, in words.

    Attributes
    ----------
    frame
        Polars: keys, request fields, ``decided_at``, ``label`` (NULL is unlabelled), ``label_known_at`` and one
        column a feature, by decision and key.
    pins
        Table to the version that was read.
    """

    def __init__(self, project: Project, found: TrainingSet, work: str = "") -> None:
        self._project = project
        self._set = found
        self._work = work
        self._reader = Person(project, project.actor)
        changed = project.origin.get("millstream.origin") == "notebook"
        self._masks = self._reader.masks_of_plan(found.plan, changed=changed)
        self.frame = self._reader.hide(found.frame, self._masks)
        self.pins = dict(found.pins)
        self.model = found.plan.model
        self.since, self.until = found.since, found.until

    @property
    def reader(self) -> Person:
        """Who sees these rows, and what of them."""
        return self._reader

    @property
    def features(self) -> tuple[str, ...]:
        """Name the columns the model sees, in its order."""
        return self._set.plan.names

    @cached_property
    def counts(self) -> dict[str, int]:
        """Count rows: in all, without a label by now, and at the hold-out's cut those purged, fitted and tested."""
        from millstream.training.folds import origins
        from millstream.training.splits import NEVER

        try:
            split = origins(self._project.manifest.model(self.model), self._set)[-1]
        except BadData:  # too short to hold anything out; what can be counted is
            return {"total": self._set.rows, "unlabelled": int((self._set.known == NEVER).sum())}
        return dict(msgspec.to_builtins(split.counts))

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows in pandas."""
        return to_pandas(self.frame)

    def picture(self, feature: str) -> Picture:
        """Draw a feature over time and by label; its tables are ``over_time`` and ``by_label``.

        Raises
        ------
        NotFound
            For a column that is no feature.
        """
        from millstream.project.notebook.pictures import drawn

        return drawn(self.frame, feature, self.features)

    def why(self, column: str, *, row: int | Mapping[str, Any]) -> Why:
        """Show the facts behind one number: those in its window, and those left out because they came too late.

        Parameters
        ----------
        column
            A feature (``carrier_form.late_share_7d``) or ``label``.
        row
            Position in ``frame``, from 0, or the row's key (``{"flight_id": 7}``).

        Raises
        ------
        NotFound
            For a column or row that is not there.
        """
        from millstream.project.notebook.why import explained

        return explained(self._project, self._set, column, self._position(row), seen=(self._reader, self._masks))

    def _position(self, row: int | Mapping[str, Any]) -> int:
        height = self.frame.height
        if isinstance(row, Mapping):
            key = self._set.plan.row_key
            if set(row) != set(key):
                raise UserError(
                    f"{dict(row)} is no key of a row", expected=f"{{{', '.join(f'{each!r}: ...' for each in key)}}}"
                )
            same = pl.all_horizontal(pl.col(name) == value for name, value in row.items())
            found = self.frame.select(same.fill_null(False).arg_true())
            if not found.height:
                raise NotFound(
                    f"no row of the set has {dict(row)}", expected=f"one of {height:,} rows, since and until kept"
                )
            return int(found.item(0, 0))
        if isinstance(row, bool) or not isinstance(row, int):
            raise UserError(f"row is {row!r}", expected=f"a position from 0 to {height - 1}, or the row's key")
        if not -height <= row < height:
            raise NotFound(f"the set has no row {row}", expected=f"a position from 0 to {height - 1}")
        return row % height

    def __len__(self) -> int:
        return self.frame.height

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.frame.iter_rows(named=True)

    @property
    def _title(self) -> str:
        since, until = (f"{each:%Y-%m-%d %H:%M}" if each else "" for each in (self.since, self.until))
        span = f"from {since or 'the beginning'} to {until or 'the end'}"
        return f"training set of {self.model}: {len(self.features)} features, decided {span}"

    @property
    def _tail(self) -> str:
        counts = ", ".join(f"{name} {value:,}" for name, value in self.counts.items())
        work = f"; {self._work}" if self._work else ""
        return f"{counts}; from {show.spelled(self.pins)}{work}"

    def __repr__(self) -> str:
        return f"{self._title}\n{show.as_text(self.frame.head(5))}\n{self._tail}"

    def _repr_html_(self) -> str:
        drawn = [spread(self.frame[name]) for name in self.features]
        seen = show.table(summary(self.frame, self.features), rows=_LISTED, pictures=("values", drawn))
        return show.block(self._title, show.table(self.frame.head(5)), seen, self._tail)


def made(
    project: Project,
    model: str,
    *,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
    pins: Mapping[str, int] | None = None,
) -> TrainingRows:
    """Build the training set of a model; the read goes on the ledger."""
    start, end = instant(since), instant(until)
    plan = resolved(project, model)
    Person(project, project.actor).masks_of_plan(plan)  # refused before a row is looked at
    with unquoted(project, project.actor):
        found, work = keep(project, plan, since=start, until=end, pins=pins)
    rows = TrainingRows(project, found, str(work))  # refused before it is written down as read
    reads = columns_of(found.plan)
    reading(rows.reader, found.pins, reads, {"training_set": model, "rows": found.rows, "columns": reads})
    return rows


def keep(
    project: Project,
    plan: FeaturePlan,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    pins: Mapping[str, int] | None = None,
    static_at: datetime | None = None,
) -> tuple[TrainingSet, Work]:
    """Build a training set out of what is kept; without ``until`` it ends when these pins were first asked for."""
    wanted = tables_of(project, plan.model)
    for name in pins or {}:
        refuse_strange(project, name)
    read = {name: (pins or {}).get(name, project.lake.head(name).version) for name in wanted}
    end = until if until is not None else project.cache.first_asked(read, project.clock.now())
    base = tables_of(project, plan.model, features=False)
    at = static_at or min(static_instant(project, plan.rows_table), end)
    return build(project, plan, base_tables=base, pins=read, since=since, until=end, static_at=at)


def summary(frame: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """Return one row a feature: how much is missing, and where its values lie."""
    rows = []
    for name in names:
        series = frame[name]
        missing = series.null_count() / max(len(series), 1)
        number = series.cast(pl.Float64) if series.dtype.is_numeric() or series.dtype == pl.Boolean else None
        spread = (None,) * 3 if number is None else (number.min(), number.mean(), number.max())
        rows.append((name, str(series.dtype), f"{missing:.1%}", *spread))
    return show.records(("feature", "type", "missing", "least", "mean", "most"), rows)


def spread(series: pl.Series) -> str:
    """Draw how often a feature has which value: of numbers in ten equal steps, of texts the commonest."""
    there = series.drop_nulls()
    if not len(there):
        return ""
    if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        found = there.value_counts(sort=True).head(_BARS)
        return show.bars(found["count"].to_list(), says=f"{there.n_unique():,} values, the {found.height} commonest")
    numbers = there.cast(pl.Float64).to_numpy()
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return ""
    counts, edges = np.histogram(numbers, bins=_BARS)
    return show.bars(counts.tolist(), says=f"how often, from {show.plain(edges[0])} to {show.plain(edges[-1])}")
