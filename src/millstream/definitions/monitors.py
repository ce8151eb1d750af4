"""What is watched, and when it becomes an alarm."""

from __future__ import annotations

import msgspec


class Classic(msgspec.Struct, frozen=True):
    """The five classic alarms, and harm.

    Parameters
    ----------
    goal_worse
        Relative loss on the goal metric against the release's own backtest (0.10 is 10 %).
    nulls
        Share of NULLs in a column that features read, above what the reference had.
    kl
        Kullback-Leibler divergence (nats) of a feature's day against the reference.
    p95_ms
        95th percentile of answer time.
    bias
        Relative difference of the mean prediction and the mean truth: of a forecast, 0.05 is an alarm when all
        forecasts of the window together are surely more than 5 % too high or too low. None watches no bias.
    window
        Span over which performance and bias are judged.
    """

    goal_worse: float = 0.10
    nulls: float = 0.05
    kl: float = 0.3
    p95_ms: float = 500.0
    bias: float | None = 0.05
    window: str = "28d"
