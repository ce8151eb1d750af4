"""Features of any rows somebody has at hand, as known at an instant each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import polars as pl

from millstream.definitions.features import Request
from millstream.definitions.manifest import Manifest, brought, gather
from millstream.definitions.model import Model
from millstream.definitions.rows import Each
from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.definitions.view import FeatureView, Role
from millstream.errors import NotFound, Refused, UserError, near
from millstream.project.catalog.reads import columns_of
from millstream.project.notebook import show
from millstream.project.notebook.columns import columns, made_of
from millstream.project.notebook.tables import instant, reading, refuse_strange
from millstream.project.notebook.why import Why, explained
from millstream.project.people import Person

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.project.root import Project

_NUMBER, _DECIDED = "__row", "decided_at"


class Asked(show.Answer):
    """Features of rows somebody has at hand.

    Attributes
    ----------
    names
        The features.
    masks
        What of them is masked.
    explain
        Explains a feature of a row.
    """

    names: tuple[str, ...] = ()
    masks: Mapping[str, str] = MappingProxyType({})
    explain: Callable[[str, int], Why]

    def why(self, column: str, *, row: int) -> Why:
        """Show the facts behind one number: those in its window, and those left out.

        Parameters
        ----------
        column
            A feature (``carrier_form.late_share_7d``).
        row
            Position in ``frame``, from 0.

        Raises
        ------
        NotFound
            For a feature or row that is not there.
        Refused
            For a feature that is masked: its facts would tell whether an entity exists.
        """
        if column not in self.names:
            raise NotFound(f"there is no feature {column!r}", do=near(column, self.names))
        if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < len(self):
            raise NotFound(f"there is no row {row!r}", expected=f"a position from 0 to {len(self) - 1}")
        if self.masks.get(column, "show") != "show":
            raise Refused(f"{column} is masked for you, and so are the facts behind it", expected="a role that sees it")
        if self.frame[_DECIDED][row] is None:
            raise UserError(f"row {row} has no instant, so nothing is known of it", expected="an instant in its column")
        return self.explain(column, row)


def asked(
    project: Project, features: Iterable[FeatureView | Role | str], rows: Any, *, at: str | datetime | None,
    pins: Mapping[str, int] | None = None,
) -> Asked:  # fmt: skip
    """Join features to rows as known at a column of instants, at one instant, or now, of the versions pinned or newest.

    Raises
    ------
    UserError
        When the rows are no frame, hold no row, or ``at`` is neither an instant nor a column of instants.
    NotFound
        For a feature view that is not there; near matches are named.
    """
    from millstream.expressions import door
    from millstream.training import TrainingSet

    began = time.perf_counter()
    given = door.frame(framed(rows), timezone=project.settings.timezone, where="rows")
    roles = _roles(project, features)
    spine = _decided(project, given, at).with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_NUMBER))
    manifest, plan = _plan(project, roles, door.schema(spine))
    if twice := [name for name in plan.names if name in spine.columns]:
        raise UserError(
            f"rows has {', '.join(twice)} already",
            expected="columns of other names than the features that are asked for",
            do=f"rows.drop({twice!r}), or leave the view out",
        )
    reader = Person(project, project.actor)
    masks = reader.masks_of_plan(plan, keys=True)
    read = dict(pins or {})
    for name in read:
        refuse_strange(project, name)
    read = {name: read.get(name, project.lake.head(name).version) for name in plan.tables}
    found, work = columns(
        project, plan, spine, read, read=lambda name: project.lake.read(name, version=read[name]), learning=False
    )
    made = made_of(project, plan, spine, found).select(plan.names)
    detail = {"features": list(plan.names), "rows": spine.height, "prep": asdict(work.prep(began))}
    reading(reader, read, columns_of(plan, rows=False), detail)
    kept = spine.drop(_NUMBER)
    shown = kept.hstack(reader.hide(made, masks).get_columns())
    title = f"{len(plan.names)} features, as known then"
    if timeless := kept[_DECIDED].null_count():
        title += f"; {timeless} of {kept.height} rows have no instant, so nothing is known of them"
    if ahead := int((kept[_DECIDED] > project.clock.now()).sum()):
        title += f"; {ahead} of {kept.height} rows are ahead of now: what becomes known until then is not in them"

    def explain(column: str, row: int) -> Why:
        from millstream.project.door import as_if

        other, found = as_if(project, manifest), TrainingSet(plan, kept.hstack(made.get_columns()), read)
        return explained(other, found, column, row, seen=(Person(other, project.actor), masks))

    asked_of = Asked(shown, pins=read, title=f"{title}: {work}" if str(work) else title)
    asked_of.explain, asked_of.masks, asked_of.names = explain, masks, plan.names
    return asked_of


def framed(rows: Any) -> pl.DataFrame:
    """Take rows in Polars, or in pandas by way of numpy."""
    if isinstance(rows, show.Answer):
        rows = rows.frame
    if isinstance(rows, pl.LazyFrame):
        raise UserError("rows is a LazyFrame", expected="its rows", do="rows.collect()")
    if not isinstance(rows, pl.DataFrame):
        columns = getattr(rows, "columns", None)
        if columns is None or not hasattr(rows, "to_dict"):
            raise UserError(f"rows is a {type(rows).__name__}", expected="a frame of Polars or pandas, a row an entity")
        names = [str(each) for each in columns]
        if twice := sorted({each for each in names if names.count(each) > 1}):
            raise UserError(f"rows has two columns called {twice[0]!r}", expected="columns of different names")
        rows = pl.DataFrame([_column(str(name), [_plain(each) for each in rows[name].tolist()]) for name in columns])
    taken: pl.DataFrame = rows
    if not taken.height:
        raise UserError("rows is empty", expected="a frame with a row an entity")
    return taken


def _column(name: str, values: list[Any]) -> pl.Series:
    """Make a column of values of one type, or of numbers; refuse a mixture, which would have to be guessed."""
    try:
        made = pl.Series(name, values)
        zones = {each.tzinfo is None for each in values if isinstance(each, datetime)}  # it would take all for UTC
        if made.dtype != pl.Object and len(zones) < 2:
            return made
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        pass
    kinds = sorted({_kind(each) for each in values if each is not None})
    if set(kinds) <= {"float", "int"}:
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    raise UserError(
        f"the column {name!r} of rows holds values that are no column together: {', '.join(kinds)}",
        expected="values of one type that the row language has",
        do=f"bring rows[{name!r}] to one type before asking",
    )


def _kind(value: Any) -> str:
    if isinstance(value, datetime):
        return f"times with{'' if value.tzinfo else 'out'} a zone"
    return type(value).__name__


def _plain(value: Any) -> Any:
    """Turn pandas' words for nothing into None."""
    if value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return None
    return value.to_pydatetime(warn=False) if hasattr(value, "to_pydatetime") else value  # microseconds, as all times


def _roles(project: Project, features: Iterable[FeatureView | Role | str]) -> list[Role]:
    listed = [features] if isinstance(features, str | FeatureView | Role) else list(features)
    found = []
    for each in listed:
        if isinstance(each, str):
            if each not in project.manifest.views:
                raise NotFound(f"there is no feature view {each!r}", do=near(each, project.manifest.views))
            each = project.manifest.view(each)
        if not isinstance(each, FeatureView | Role):
            raise UserError(f"{each!r} is no feature view", expected="a FeatureView, a role of one, or its name")
        found.append(each if isinstance(each, Role) else each.on({}, name=each.name))
    if not found:
        raise UserError("no feature view was named", expected=f"for instance {[*project.manifest.views][:1]}")
    return found


def _decided(project: Project, given: pl.DataFrame, at: str | datetime | None) -> pl.DataFrame:
    """Add when each row is decided."""
    if isinstance(at, str) and at in given.columns:
        if not isinstance(given[at].dtype, pl.Datetime):
            raise UserError(
                f"the column {at!r} of rows is {given[at].dtype}",
                expected="a column of instants",
                do=f"pl.col({at!r}).str.to_datetime(time_zone='UTC') for text, .cast(pl.Datetime) for days",
            )
        return given.with_columns(pl.col(at).alias(_DECIDED))
    if at is None and _DECIDED in given.columns:
        raise UserError(
            f"rows has a column {_DECIDED!r}, and at= says nothing: features of now may not be what is wanted",
            expected=f"at={_DECIDED!r} for each row at its own instant, or at='2013-01-20 06:00' for all at one",
            do=f"rows.drop({_DECIDED!r}) for features of now",
        )
    try:
        moment = instant(at) or project.clock.now()
    except UserError:
        if not isinstance(at, str):
            raise
        raise UserError(
            f"at={at!r} is neither an instant nor a column of rows", expected="'2013-01-20 06:00', or a column",
            do=near(at, given.columns),
        ) from None  # fmt: skip
    return given.with_columns(pl.lit(moment).cast(pl.Datetime("us", "UTC")).alias(_DECIDED))


def _plan(project: Project, roles: list[Role], schema: dict[str, Any]) -> tuple[Manifest, FeaturePlan]:
    """Resolve the views against the rows, as if the rows were a table; return these definitions too."""
    from millstream.features import compile_plan

    views = {**project.manifest.views, **brought(roles)}
    name = "rows" if "rows" not in project.manifest.tables else "rows_at_hand"  # as errors call them
    table = Table(name, source=Csv("none.csv"), key=_NUMBER)
    model = Model(name, rows=Each(table), label=None, features=roles)
    manifest = gather([*project.manifest.tables.values(), table, *views.values(), model])
    all_ = manifest.roles(model)
    wanted = [str(view.of) for role in all_ if not isinstance((view := views[role.view]).of, Request)]
    schemas = {each: project.lake.schema(each) for each in wanted}
    rows = {each: dtype for each, dtype in schema.items() if each not in (_DECIDED, _NUMBER)}
    return manifest, compile_plan(manifest, name, {**schemas, name: rows}, {}, timezone=project.settings.timezone)
