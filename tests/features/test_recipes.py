"""Recipes: what they write is read by the row language and means what they say."""

from __future__ import annotations

import doctest
import math
from typing import Any

import pytest

from millstream import features as f
from millstream.definitions import recipes
from millstream.errors import DefinitionError
from millstream.expressions import parse
from millstream.expressions.closure import to_closure
from millstream.types import Schema

SCHEMA: Schema = {"carrier": "varchar", "n": "bigint", "x": "double", "y": "double", "at": "timestamptz"}
FRIDAY = 1_372_986_000_000_000  # 2013-07-05 01:00Z: Thursday the fourth, 21:00 in New York


def answers(made: dict[str, str], **row: Any) -> dict[str, Any]:
    said = {name: parse(text, SCHEMA, where=name) for name, text in made.items()}
    return to_closure(said)({**dict.fromkeys(SCHEMA), **row})


def test_what_the_docstrings_show_is_so() -> None:
    assert doctest.testmod(recipes).failed == 0


@pytest.mark.parametrize(
    ("carrier", "wanted"), [("AA", (True, False, False)), ("B'6", (False, True, False)), ("ZZ", (False, False, True)),
                            (None, (False, False, False))],
)  # fmt: skip
def test_one_hot(carrier: str | None, wanted: tuple[bool, ...]) -> None:
    made = f.one_hot("carrier", ["AA", "B'6"], other=True)
    assert list(made) == ["carrier_AA", "carrier_B_6", "carrier_other"]
    assert tuple(answers(made, carrier=carrier).values()) == wanted


def test_missing_products_and_crosses() -> None:
    made = {**f.missing("x", "n"), **f.products("x", "y", "n"), **f.crossed("carrier", "carrier", buckets=8)}
    assert answers(made, x=2.0, y=3.0, carrier="AA") == {
        "x_missing": False, "n_missing": True, "x_x_y": 6.0, "x_x_n": None, "y_x_n": None,
        "carrier_x_carrier": answers({"h": "hash_bucket('AA & AA', 8)"})["h"],
    }  # fmt: skip


def test_time_goes_round_and_holidays_are_near() -> None:
    made = f.cycle("at", "day", "week", "year", timezone="America/New_York")
    said = answers(made, at=FRIDAY)
    angle = 2 * math.pi * 21 / 24
    assert said["at_day_sin"] == math.sin(angle) and said["at_day_cos"] == math.cos(angle)
    assert all(math.isclose(said[f"at_{each}_sin"] ** 2 + said[f"at_{each}_cos"] ** 2, 1) for each in ("week", "year"))
    assert answers(f.calendar("at", timezone="America/New_York", holidays="US"), at=FRIDAY) == {
        "at_hour": 21, "at_isodow": 4, "at_day": 4, "at_week": 27, "at_month": 7, "at_weekend": False,
        "at_holiday": True, "at_working_day": False, "at_until_holiday": 0, "at_since_holiday": 0,
    }  # fmt: skip


def test_a_slip_is_told_what_was_meant() -> None:
    for wrong, meant in (
        ("onehot", "one_hot"),
        ("calender", "calendar"),
        ("element", "elements"),
        ("sice_last", "since_last"),
    ):
        with pytest.raises(AttributeError, match=f"there is no f.{wrong}: did you mean '{meant}'"):
            getattr(f, wrong)
    written = {name for name, each in vars(recipes).items() if callable(each) and each.__module__ == recipes.__name__}
    for name in written - {"named_elements"}:
        if not name.startswith("_"):
            with pytest.raises(AttributeError, match=f"'{name}'"):
                getattr(f, f"{name}_")


def test_embeddings_element_by_element() -> None:
    schema: Schema = {f"{who}.e_{each}": "double" for who in "ab" for each in (1, 2)}
    said = {"dot": f.dot("a.e", "b.e", 2), "norm": f.norm("a.e", 2), "cosine": f.cosine("a.e", "b.e", 2)}
    one = to_closure({name: parse(text, schema, where=name) for name, text in said.items()})
    row = {"a.e_1": 3.0, "a.e_2": 4.0, "b.e_1": 4.0, "b.e_2": 3.0}
    assert one(row) == {"dot": 24.0, "norm": 5.0, "cosine": 24.0 / 25.0}
    assert one({**row, "b.e_2": None}) == {"dot": None, "norm": 5.0, "cosine": None}
    assert one(dict.fromkeys(row, 0.0)) == {"dot": 0.0, "norm": 0.0, "cosine": None}
    assert {name: (each.aggregate, each.over) for name, each in f.elements("e", 2, over="7d").items()} == {
        "e_1": ("last", "7d"), "e_2": ("last", "7d"),
    }  # fmt: skip
    assert {str(each.where) for each in f.elements("e", 2, where="whole").values()} == {"whole"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: f.one_hot("carrier", []), "has 0 values"),
        (lambda: f.one_hot("carrier", ["a b", "a_b"]), "two features called 'carrier_a_b'"),
        (lambda: f.one_hot("carrier", map(str, range(2000))), "has 2000 values"),
        (lambda: f.cycle("at", "month", timezone="UTC"), "no round 'month'"),  # type: ignore[arg-type]
        (lambda: f.dot("a", "b", 1000), "has 1000 elements"),
    ],
)
def test_what_cannot_be_made_is_refused(wrong: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        wrong()
