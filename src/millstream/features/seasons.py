"""Resolve the simple rule of a forecast: which season, and how far it is looked back for."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.definitions.model import Model
from millstream.definitions.rows import at_most, read_length
from millstream.definitions.tasks import Forecast, Quantiles
from millstream.errors import DefinitionError
from millstream.features.plan import AheadPlan, SeasonalPlan, TickPlan, ViewPlan, WindowPlan
from millstream.types import MICROSECOND, Schema

SEASON = {"h": "1d", "d": "1w", "w": "52w", "mo": "12mo"}
"""After which what happens at steps of a unit usually looks alike."""

_FURTHER_BACK = 3
"""Seasons looked back at beyond the one that must be known by then, where that one holds nothing."""

_ZERO_WHEN_EMPTY = ("sum", "count", "any", "none")


def compile_seasonal(
    model: Model, ahead: AheadPlan | None, ticks: TickPlan | None, schemas: Mapping[str, Schema]
) -> SeasonalPlan | None:
    """Resolve the simple rule of a forecast; None for a model that is none.

    A number label under a horizon is one unless the definition gives another task; ``Quantiles`` under a horizon are
    measured by the same rule.

    Raises
    ------
    DefinitionError
        When a model is said to be a forecast and its rows or label are not of that kind.
    """
    numeric = ahead is not None and ahead.dtype in ("bigint", "double")
    horizon = ticks is not None and ticks.horizon is not None
    if isinstance(model.task, Forecast):
        if ahead is None or ticks is None or not numeric:
            raise DefinitionError(
                f"model {model.name!r} has task Forecast, and "
                + ("its label is no number ahead" if ticks is not None else "its rows are not entities at ticks"),
                expected='rows=Every("1d", of=..., horizon=("1d", "28d")) and label=f.sum("...", of=..., ahead="1d",'
                ' at="target_at")',
            )
    elif not (numeric and horizon and (model.task is None or isinstance(model.task, Quantiles))):
        return None
    assert ahead is not None and ticks is not None
    chosen = model.task.season if isinstance(model.task, Forecast) else None
    season = chosen or SEASON[read_length(ticks.step, where="step")[1]]
    length = at_most(season) // MICROSECOND
    reach = ahead.ahead_us + ahead.lag_us
    if ticks.horizon is not None:
        reach += at_most(ticks.horizon[1]) // MICROSECOND
    seasons = -(-reach // length) + _FURTHER_BACK
    back = None if ahead.aggregate in _ZERO_WHEN_EMPTY else seasons * length + reach
    said = f"{ahead.text}, every {season} of {seasons}, {ticks.step} {ticks.horizon} {ticks.timezone} {ahead.lag_us}"
    types = tuple(schemas[ahead.table][each] for each in ahead.entity)
    features = {said: WindowPlan("last", ahead.value, back, "double")}
    view = ViewPlan("seasonal naive", ahead.table, ahead.entity, types, ahead.keys, features, ahead.at)
    return SeasonalPlan(season, seasons, view)
