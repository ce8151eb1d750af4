"""Tables that are valid from a time: a fact finds the row that held, and was known, at its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.errors import DefinitionError
from millstream.lake.derived.validity import SINCE, Validity, timeline
from tests.lake.house import House

START = datetime(2024, 1, 1, tzinfo=UTC)
PRICED = """select s.*, p.price, p.since as price_since
from sales s asof left join prices p on s.product = p.product and s.sold_at >= p.since"""


def day(number: int | None) -> datetime | None:
    return None if number is None else START + timedelta(days=number)


def prices(**words: object) -> Table:
    said = {"key": ("product", "since"), "valid_from": "since", "valid_to": "until", "known_at": "entered"}
    return Table("prices", source=Csv("files/prices.csv"), timezone="UTC", **(said | words))  # type: ignore[arg-type]


def sales() -> Table:
    return Table("sales", source=Csv("files/sales.csv"), key="id", event_time="sold_at", timezone="UTC")


def priced(sql: str = PRICED, **words: object) -> Table:
    return Table("priced", of=["sales", "prices"], sql=sql, key="id", event_time="sold_at", **words)  # type: ignore[arg-type]


def fill(house: House, rows: list[tuple[str, int, int | None, int, float]], sold: list[tuple[int, str, int]]) -> None:
    lines = [f"{name},{day(a)},{day(b) or ''},{day(k)},{price}" for name, a, b, k, price in rows]
    (house.root / "files/prices.csv").write_text("\n".join(["product,since,until,entered,price", *lines]) + "\n")
    facts = [f"{number},{name},{day(at)}" for number, name, at in sold]
    (house.root / "files/sales.csv").write_text("\n".join(["id,product,sold_at", *facts]) + "\n")


def test_the_price_of_the_time_as_known_then(house: House) -> None:
    book = [
        ("a", 0, None, 0, 1.0),
        ("a", 10, None, 5, 2.0),  # announced before it holds
        ("a", 12, None, 20, 9.0),  # holds from the 12th, entered on the 20th
        ("a", 10, None, 15, 3.0),  # corrects the second on the 15th
        ("a", 30, 33, 30, 0.5),  # an offer of three days
        ("b", 3, 5, 3, 7.0),
    ]
    sold = [(n, "a", at) for n, at in enumerate([-1, 0, 9, 10, 12, 15, 19, 20, 31, 33])] + [(50, "b", 4), (51, "b", 5)]
    fill(house, book, sold)
    lake = house.lake([sales(), prices(), priced()])
    lake.refresh(actor="ann")
    found = lake.read("priced")
    got = dict(zip(found.frame["id"], found.frame["price"], strict=True))
    assert next(iter(got.values())) is None and got[50] == 7.0 and got[51] is None
    assert [got[n] for n in range(1, 10)] == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 9.0, 0.5, 9.0]
    known = found.known["price"]
    rows = found.frame.filter(pl.col("price").is_not_null())
    assert (rows[known] == rows["sold_at"]).all(), "whatever is found was known at the fact's own time"
    assert found.frame.columns[:4] == ["id", "product", "sold_at", "price"]


def test_an_as_of_join_that_could_see_too_much_is_refused(house: House) -> None:
    fill(house, [("a", 0, 9, 0, 1.0)], [(1, "a", 2)])
    total = PRICED.replace("s.*, p.price, p.since as price_since", "s.product, sum(p.price) as price") + " group by 1"
    for sql, says in [
        (total, "would be found"),
        (PRICED.replace(" left", ""), "asof left join prices"),
        (
            PRICED.replace("p.since\n", "p.since").replace(">= p.since", ">= p.entered"),
            "one fact's time >= prices|p.since",
        ),
    ]:
        with pytest.raises(DefinitionError, match=says):
            house.lake([sales(), prices(), priced(sql, known_at="sold_at")]).refresh(actor="ann")


rows_ = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.none() | st.integers(1, 12), st.integers(0, 12)), max_size=12
)


@settings(max_examples=40, deadline=None)
@given(rows_, st.lists(st.tuples(st.sampled_from("ab"), st.integers(-1, 13)), min_size=1, max_size=6))
def test_property_a_timeline_says_what_an_oracle_says(
    book: list[tuple[str, int, int | None, int]], facts: list[tuple[str, int]]
) -> None:
    at = pl.Datetime("us", "UTC")
    frame = pl.DataFrame(
        {
            "product": [each[0] for each in book],
            "since": [day(each[1]) for each in book],
            "until": [day(each[2]) for each in book],
            "known": [day(each[3]) for each in book],
            "price": list(range(len(book))),
        },
        schema={"product": pl.String, "since": at, "until": at, "known": at, "price": pl.Int64},
    )
    made = timeline(frame, Validity(("product",), "since", "until", ("known",)))
    for product, instant in facts:
        held = made.filter((pl.col("product") == product) & (pl.col(SINCE) <= day(instant))).sort(SINCE)
        got = held["price"][-1] if held.height else None
        believed: dict[int, tuple[int, int, int | None]] = {}
        for number, (name, since, until, known) in enumerate(book):
            if name == product and since <= instant and known <= instant:
                believed[since] = max(
                    believed.get(since, (-1, -1, None)), (known, number, until), key=lambda row: row[:2]
                )
        holding = [since for since, (_, _, until) in believed.items() if until is None or until > instant]
        assert got == (believed[max(holding)][1] if holding else None)
