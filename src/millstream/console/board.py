"""What the page shows, computed from the status record: charts, words and the newest of everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.console.charts import Line, Mark, chart

_TIMELINE = 40


def board(status: Mapping[str, Any]) -> dict[str, Any]:
    """Add what only the page needs to a status record."""
    return {
        **status,
        "models": [_model(each, status["timeline"]) for each in status["models"]],
        "timeline": status["timeline"][:_TIMELINE],
        "copied_bytes": sum(each["copied_bytes"] for each in status["tables"] if each["kind"] == "attached"),
    }


def _model(model: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    series = model["series"]
    marks = [
        Mark(day=each["at"][:10], says=each["says"], style=each["kind"])
        for each in timeline
        if each["kind"] in {"swap", "rollback"}
    ]
    return {
        **model,
        "performance": _draw(
            f"{model['goal']} over rolling weeks",
            (
                ("model", series.get("performance", ()), "model"),
                ("simple rule", series.get("baseline", ()), "baseline"),
            ),
            marks,
        ),
        "bias": _draw(
            "predicted and actual share",
            (("predicted", series.get("predicted", ()), "model"), ("actual", series.get("actual", ()), "actual")),
            marks,
        ),
        "latency": _draw("95th percentile of answer time, ms", (("p95", series.get("latency", ()), "model"),), ()),
    }


def _draw(title: str, lines: Sequence[tuple[str, Sequence[Any], str]], marks: Sequence[Mark]) -> Any:
    days = sorted({point[0] for _, points, _ in lines for point in points})
    drawn = [
        Line(name=name, values=tuple(dict(points).get(day) for day in days), style=style)
        for name, points, style in lines
        if points
    ]
    return chart(days, drawn, title=title, marks=marks)
