"""Lists judged once their span has ended: by the release's own metric, and without what a list does not have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from millstream.definitions.monitors import Classic
from millstream.metrics.profile import Profile
from millstream.monitoring import OutcomeBook, Reference
from millstream.monitoring.performance import performance_findings

START = datetime(2024, 5, 1, tzinfo=UTC)
INSTANT = pl.Datetime("us", "UTC")


def book(hit: float, *, days: int = 8, a_day: int = 60) -> OutcomeBook:
    """A book of lists of two: of each ten, ``10 * hit`` have the one right item first, the others none; then one nobody
    chose anything after."""
    kept = OutcomeBook(due_after=timedelta(days=2))
    rows = [(f"{day}-{one}", START + timedelta(days=day, minutes=one)) for day in range(days) for one in range(a_day)]
    frame = pl.DataFrame(rows, schema={"id": pl.String, "at": INSTANT}, orient="row").with_columns(
        key="id", day=pl.col("at").dt.date(), value=pl.lit(0.5), version=pl.lit(1), degraded=pl.lit(value=False),
        latency_us=pl.lit(900.0), numbers=pl.lit(None, dtype=pl.List(pl.Float64)),
    )  # fmt: skip
    assert kept.add_predictions(frame) == days * a_day
    told = [
        (key, float(n % 11 < 10), at + timedelta(days=1), [float(n % 11 < 10 * hit), 0.0])
        for n, (key, at) in enumerate(rows)
    ]
    schema = {"key": pl.String, "label": pl.Float64, "label_known_at": INSTANT, "numbers": pl.List(pl.Float64)}
    labels = pl.DataFrame(told, schema=schema, orient="row")
    assert kept.settle(labels, START + timedelta(days=30)) == days * a_day
    assert kept.settle(labels, START + timedelta(days=30)) == 0, "settled again, nothing is news"
    return kept


def findings(hit: float) -> dict[str, object]:
    reference = Reference("picks@1", 1, "ndcg_at_k", 0.5, 0.2, Profile(0, {}), k=2)
    day = (START + timedelta(days=7)).date()
    found = performance_findings(
        day, model="picks", monitors=Classic(), reference=reference, book=book(hit), now=START + timedelta(days=30)
    )
    assert [each.kind for each in found] == ["performance", "harm"], "a list has no mean to be biased"
    return {each.kind: each for each in found}


@pytest.mark.parametrize(("hit", "verdict"), [(0.5, "ok"), (0.2, "alarm")])
def test_lists_are_judged_by_their_own_metric(hit: float, verdict: str) -> None:
    found = findings(hit)
    assert found["performance"].value == pytest.approx(hit, abs=0.01)  # type: ignore[attr-defined]
    assert found["performance"].verdict == found["harm"].verdict == verdict  # type: ignore[attr-defined]
    assert "simple rule" not in found["performance"].says  # type: ignore[attr-defined]
