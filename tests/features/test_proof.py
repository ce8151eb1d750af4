"""The slow recomputation: equal to the join over every aggregate, and naming the fact behind a value that leaked."""

import dataclasses
import operator

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.features import point_in_time
from millstream.features.proof import Recomputed
from millstream.features.proof.cells import equal
from millstream.features.proof.facts import plain
from millstream.features.proof.seen import then_and_now
from millstream.lake.frame import TableFrame

from .test_aggregates import AGO, LATER
from .test_shares import PLAN as SHARES
from .worlds import ask, asks, fact, plan, table

NO_ROWS = TableFrame("asks", 1, pl.DataFrame(), {}, (), None)


def slow(made, facts):
    return Recomputed(made, {"facts": facts, "asks": NO_ROWS})


def rows_of(spine):
    return [{name: each for name, each in row.items() if name != "row"} for row in plain(spine)]


PLANS = {None: plan(), "20s": plan(ttl="20s"), "order": LATER, "ago": AGO, "made": SHARES}
SIZED = st.fixed_dictionaries({"size": st.integers(0, 9)})


@pytest.mark.parametrize("made", PLANS.values(), ids=map(str, PLANS))
@given(st.lists(fact, max_size=14), st.lists(st.builds(operator.or_, ask, SIZED), min_size=1, max_size=5))
@settings(max_examples=12, deadline=None)
def test_every_cell_is_what_the_join_gives(made, facts, asked):
    frame, spine = table(facts), asks(asked)
    joined = point_in_time(made, spine, {"facts": frame})
    judge = slow(made, frame)
    for row, values in zip(rows_of(spine), joined.to_dicts(), strict=True):
        cells = judge.row(row)
        assert {name: values[name] for name in made.names if not equal(cells[name].value, values[name])} == {}
        assert not any(each.unproven for each in cells.values())


def test_a_table_without_time_too():
    made = plan(static=True, overs=(None,))
    known = table([{"id": n, "a": "u", "b": 1, "at": 1, "x": float(n), "n": n, "flag": n > 1, "word": "w",
                    "k1": 0, "k2": 0} for n in range(3)], static=True)  # fmt: skip
    spine = asks([{"p": "u", "q": 1, "at": 5}])
    joined = point_in_time(made, spine, {"facts": known}).to_dicts()[0]
    cells = slow(made, known).row(rows_of(spine)[0])
    assert all(equal(cells[name].value, joined[name]) for name in made.names)


def one_fact(number, *, at, known, x=1.0):
    return {
        "id": number,
        "a": "u",
        "b": 1,
        "at": at,
        "x": x,
        "n": 1,
        "flag": True,
        "word": "w",
        "k1": known,
        "k2": known,
    }


def test_the_fact_behind_a_difference_is_named():
    made, spine = plan(), asks([{"p": "u", "q": 1, "at": 10}])
    row = rows_of(spine)[0]
    future = slow(made, table([one_fact(1, at=2, known=3), one_fact(2, at=5, known=12, x=7.0)]))
    behind = future.behind("one.sum_x_ever", row, 8.0)
    assert (behind.key, behind.kind) == ({"id": 2}, "known only later")
    corrected = slow(made, table([one_fact(1, at=2, known=3), one_fact(1, at=2, known=12, x=7.0)]))
    behind = corrected.behind("one.sum_x_ever", row, 7.0)
    assert (behind.key, behind.kind) == ({"id": 1}, "known only later")
    stale = slow(made, table([one_fact(1, at=2, known=3), one_fact(1, at=2, known=6, x=7.0)]))
    assert stale.behind("one.sum_x_ever", row, 1.0).kind == "corrected by then"
    forgot = slow(made, table([one_fact(1, at=2, known=3), one_fact(2, at=3, known=4, x=7.0)]))
    behind = forgot.behind("one.sum_x_ever", row, 1.0)
    assert (behind.key, behind.kind) == ({"id": 2}, "left out, and known by then")
    assert forgot.behind("one.sum_x_ever", row, 123.0) is None


@pytest.mark.parametrize(
    ("then", "now", "kind"),
    [
        ([one_fact(1, at=2, known=3)], [one_fact(1, at=2, known=3), one_fact(2, at=4, known=5)], "came later"),
        ([one_fact(1, at=2, known=3)], [one_fact(1, at=2, known=3, x=9.0)], "was rewritten"),
        (
            [one_fact(1, at=2, known=3), one_fact(2, at=4, known=5)],
            [one_fact(1, at=2, known=3)],
            "was there and is no more",
        ),
    ],
)
def test_a_known_at_that_lies_shows_in_the_versions(then, now, kind):
    made, spine = plan(), asks([{"p": "u", "q": 1, "at": 10}])
    row = rows_of(spine)[0]
    found = then_and_now(made, row, {"facts": table(then)}, {"facts": table(now), "asks": NO_ROWS})
    names = {name for name, *_ in found}
    assert "one.sum_x_ever" in names
    assert {behind.kind for *_, behind in found} == {kind}
    same = then_and_now(made, row, {"facts": table(now)}, {"facts": dataclasses.replace(table(now), version=2)})
    assert same == []


def test_the_fact_named_is_one_that_the_feature_reads_in_its_window():
    made = plan()
    row = rows_of(asks([{"p": "u", "q": 1, "at": 24}]))[0]
    old, kept = one_fact(1, at=2, known=3), one_fact(3, at=21, known=21)
    then = table([old, kept])
    now = table([{**old, "x": 9.0}, {**kept, "x": 5.0}, one_fact(2, at=22, known=22)])
    found = {name: behind for name, _, _, behind in then_and_now(made, row, {"facts": then}, {"facts": now})}
    short = {name: behind for name, behind in found.items() if name.endswith("_5s")}
    assert found["one.sum_x_ever"].key == {"id": 1}, "all of them count: the first"
    assert found["one.count_all_5s"].key == {"id": 2}, "a number that was rewritten counts as much as before"
    assert {behind.key["id"] for behind in short.values()} <= {2, 3}, "what happened before the window is not named"
