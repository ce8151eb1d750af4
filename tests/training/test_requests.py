"""The rules that a release holds requests against: from the contract of the rows' table, and from training."""

from millstream.definitions import checks
from millstream.definitions.manifest import gather
from millstream.definitions.model import Estimator, Model
from millstream.definitions.rows import Each
from millstream.definitions.sources import Csv
from millstream.definitions.splits import Time
from millstream.definitions.table import Table
from millstream.features.requests import Gate, Rule
from millstream.training.requests import requests
from tests.training.made import LIGHTGBM, frame, training_set


def rules_of(*declared: checks.Check, rows: int = 2000) -> tuple[list[Rule], tuple[str, ...]]:
    flights = Table("flights", source=Csv("flights.csv"), key="flight_id", event_time="at", checks=list(declared))
    model = Model(
        "late",
        rows=Each(flights),
        label="outcome",
        features=[],
        estimator=Estimator(LIGHTGBM, {}),
        metrics=["roc_auc"],
        goal="roc_auc",
        split=Time(test="4d", folds=3),
    )
    made = frame(rows)
    found = requests(gather([flights, model]), training_set(made), made)
    return list(found.rules), found.unchecked


def test_the_contract_comes_first_then_what_training_has_seen() -> None:
    rules, unchecked = rules_of(
        checks.between("distance", 0, 6000),
        checks.nulls("distance"),
        checks.between("distance", 0, 10, severity="note"),
        checks.nulls("distance", at_most=0.1),
        checks.isin("state", ["open"]),
    )
    low, high = (each(frame()["distance"].to_list()) for each in (min, max))
    assert rules == [
        Rule("distance", "contract", low=0, high=6000),
        Rule("distance", "contract", filled=True),
        Rule("distance", "training", filled=True),
        Rule("distance", "training", low=low, high=high),
    ]
    assert unchecked == ()


def test_few_rows_teach_nothing_and_learnt_rows_are_never_odd() -> None:
    assert rules_of(rows=50) == ([], ())
    made = frame()
    flights = Table("flights", source=Csv("flights.csv"), key="flight_id", event_time="at")
    model = Model(
        "late",
        rows=Each(flights),
        label="outcome",
        features=[],
        estimator=Estimator(LIGHTGBM, {}),
        metrics=["roc_auc"],
        goal="roc_auc",
        split=Time(test="4d", folds=3),
    )
    gate = Gate(requests(gather([flights, model]), training_set(made), made))
    assert gate.rules and not any(gate.look(row) for row in made.select("distance").to_dicts())
