"""Learning: training sets, purged time-ordered splits, models beside their baselines, backtests and the gate.

Every function takes records and returns records. Libraries that fit models are imported when something is fitted.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.training.backtests import Backtest, BacktestReport, backtest
    from millstream.training.champion import Champion, read_champion
    from millstream.training.fit import train
    from millstream.training.gate import Verdict, judge
    from millstream.training.predictors import Predictor, read_predictor
    from millstream.training.record import TrainingRecord, read_record
    from millstream.training.reproduction import Reproduction, reproduce
    from millstream.training.sets import Prep, TrainingSet, build_set

_DOOR = {
    "Backtest": "backtests",
    "BacktestReport": "backtests",
    "Champion": "champion",
    "Predictor": "predictors",
    "Reproduction": "reproduction",
    "TrainingRecord": "record",
    "Prep": "sets",
    "TrainingSet": "sets",
    "Verdict": "gate",
    "backtest": "backtests",
    "build_set": "sets",
    "judge": "gate",
    "read_champion": "champion",
    "read_predictor": "predictors",
    "read_record": "record",
    "reproduce": "reproduction",
    "train": "fit",
}

__all__ = [
    "Backtest",
    "BacktestReport",
    "Champion",
    "Predictor",
    "Prep",
    "Reproduction",
    "TrainingRecord",
    "TrainingSet",
    "Verdict",
    "backtest",
    "build_set",
    "judge",
    "read_champion",
    "read_predictor",
    "read_record",
    "reproduce",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module 'millstream.training' has no attribute {name!r}; it offers {sorted(_DOOR)}")
    return getattr(importlib.import_module(f"millstream.training.{_DOOR[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
