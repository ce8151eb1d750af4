"""Tables fit the terminal: whole words, whole dates, and nothing lost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.markup import escape
from rich.text import Text

from millstream.cli import drawing, grids


def drawn(heads, rows, *, width=80, right=()):
    cells = [[None if each is None else Text(each) for each in row] for row in rows]
    return [each.plain for each in grids.lines(heads, cells, frozenset(right), width)]


READS = (
    ("when", "who", "version", "by", "rows", "columns", "what"),
    [
        ("2013-09-01 04:00:00", "system:loop", "flights@206", "training", "219,366",
         "arr_delay, carrier, dep_delay, dest, distance, flight_id, origin, scheduled_departure", "late"),
        ("2013-09-01 04:00:00", "demo", "flights@212", "sql", "1", "none by name", "select count(*) from flights"),
    ],
)  # fmt: skip


def test_words_and_dates_stay_whole_and_prose_stands_below_its_row():
    found = drawn(*READS, right={4})
    said = "\n".join(found)
    for word in (*READS[0][:5], "2013-09-01", "04:00:00", "system:loop", "flights@206", "scheduled_departure"):
        assert word in said
    assert "    columns: arr_delay, carrier, dep_delay, dest, distance, flight_id, origin," in found
    assert not any(each.endswith("columns") for each in found[:2])


def test_a_table_that_fits_stays_as_it_is():
    found = drawn(("table", "rows"), [("flights", "12"), ("planes", None)], right={1})
    assert found == ["", " table     rows", " ──────────────", " flights     12", " planes       ·", ""]


def test_a_column_in_which_nothing_stands_gives_way_and_is_named():
    wide = "a" * 30
    found = drawn(("table", "sensitive", "owner", "how"), [(wide, None, wide, "copied in")], width=77)
    assert "sensitive" not in found[1]
    assert found[-1] == "nothing stands under sensitive"


def test_a_table_of_too_many_columns_is_written_row_by_row():
    heads = [f"column_{number}" for number in range(20)]
    found = drawn(heads, [[f"value {number}" for number in range(20)]])
    assert found[1:3] == [" column_0   value 0", " column_1   value 1"]


def test_a_long_word_breaks_behind_a_sign_and_never_within_a_figure():
    name = "carrier_form.late_share_of_the_last_seven_days/per_airport"
    found = drawn(("feature", "value"), [(name, "1,234,567.891")], width=44, right={1})
    assert "1,234,567.891" in "\n".join(found)
    parts = [line.split()[0] for line in found[3:-1]]
    assert "".join(parts) == name
    assert all(re.search(r"[_./]$", each) for each in parts[:-1])


def test_a_message_goes_on_below_its_first_word(monkeypatch, capsys):
    from rich.console import Console

    monkeypatch.setattr(drawing, "console", Console(width=40, highlight=False))
    address = f"http://127.0.0.1:8400/?token={'x' * 40}"
    drawing.say(f"the page is served to this machine only, at {address}", tone="good")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("✓ the page")
    assert all(each.startswith("  ") for each in lines[1:])
    assert lines[-1] == f"  {address}"  # whole, to be copied


def test_names_of_columns_are_no_markup(capsys):
    drawing.table(escape("a[b]"), "c", rows=[(1, escape("[red]"))])
    assert capsys.readouterr().out.split() == ["a[b]", "c", "─" * 12, "1", "[red]"]


words = st.text(st.sampled_from("ab_/.:@-19, 漢[]\n"), max_size=60)


@given(
    st.integers(1, 9).flatmap(
        lambda count: st.tuples(
            st.lists(st.text("ab c_", min_size=1, max_size=12), min_size=count, max_size=count),
            st.lists(st.lists(st.none() | words, min_size=count, max_size=count), max_size=3),
            st.integers(20, 100),
        )
    )
)
def test_no_line_is_longer_than_the_terminal_and_no_letter_is_lost(made):
    heads, rows, width = made
    found = drawn(heads, rows, width=width, right={0})
    assert all(cell_len(each) <= width for each in found), found
    said = "".join(found)
    for letter in "漢@19[]":
        assert said.count(letter) >= sum((each or "").count(letter) for row in rows for each in row)


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_dates_never_fold(width):
    found = drawn(("from", "to", "values"), [("2013-01-01 06:00", "2013-09-01 03:00", "JFK 33%, LGA 33%")], width=width)
    said = "\n".join(found)
    assert said.count("2013-01-01") == said.count("2013-09-01") == 1
