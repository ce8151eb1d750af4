"""Which targets a row without one is answered for: those that a batch predicts at the same instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from millstream.errors import BadData
from millstream.features.plan import FeaturePlan, TickPlan
from millstream.features.ticks import existing
from millstream.lake.frame import TableFrame
from millstream.serving.targets import expanded, targets
from millstream.types import from_micros, to_micros

INSTANTS = [datetime(2013, 3, 29, 23, tzinfo=UTC) + timedelta(hours=each) for each in (0, 1, 11, 23, 25, 47, 700)]


def plan_of(step: str, horizon: tuple[str, str]) -> FeaturePlan:
    ticks = TickPlan(step, "Europe/Berlin", horizon, ("varchar",))
    return FeaturePlan("m", "shops", ("shop", "target_at"), (), (), {}, {}, None, None, None, None, ticks=ticks)


@pytest.mark.parametrize(
    ("step", "horizon"),
    [("1d", ("1d", "28d")), ("1h", ("1h", "36h")), ("1w", ("1w", "8w")), ("1mo", ("1mo", "3mo")), ("1d", ("0d", "2d"))],
)
def test_the_targets_of_a_request_are_those_of_a_batch(step: str, horizon: tuple[str, str]) -> None:
    plan = plan_of(step, horizon)
    shops = TableFrame("shops", 1, pl.DataFrame({"shop": ["a"]}), {"shop": "varchar"}, ("shop",), None)
    for at in INSTANTS:
        batch = existing(plan, shops, at)["target_at"].to_list()
        assert [from_micros(each) for each in targets(plan.ticks, to_micros(at))] == batch  # type: ignore[arg-type]
        rows, of = expanded(plan, [{"shop": "a"}, {"shop": "b", "target_at": "x"}], to_micros(at))
        assert of == [0] * len(batch) + [1] and rows[-1] == {"shop": "b", "target_at": "x"}
        assert [each["target_at"] for each in rows[:-1]] == [each.isoformat() for each in batch]


def test_a_horizon_of_which_nothing_is_to_come_is_refused() -> None:
    noon = to_micros(datetime(2013, 5, 1, 12, tzinfo=UTC))
    with pytest.raises(BadData, match="no target of the horizon 0d to 0d is to come"):
        expanded(plan_of("1d", ("0d", "0d")), [{"shop": "a"}], noon)
    rows, of = expanded(plan_of("1d", ("0d", "0d")), [], noon)
    assert rows == of == []
