import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.console.charts import Line, Mark, chart, ticks

DAYS = ["2013-02-01", "2013-02-02", "2013-02-03", "2013-02-04"]


def paths(drawn, style):
    return re.findall(rf'<path class="line {style}" d="([^"]*)"', str(drawn))


class Tags(HTMLParser):
    """Collects the names of the tags, and insists that each is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.seen, self.open = [], []
        self.feed(str(text))
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag != "path":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag if tag != "path" else True

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)


def test_a_missing_day_is_a_gap_and_a_day_alone_is_a_dot():
    drawn = chart(DAYS, [Line("model", (0.5, 0.6, None, 0.7), "model")], title="quality")
    (path,) = paths(drawn, "model")
    assert path.count("M") == 2
    assert path.count("L") == 1
    assert path.endswith("h0")


@pytest.mark.parametrize(
    "lines", [[], [Line("model", (None, None, None, None), "model")], [Line("m", (float("nan"),) * 4, "m")]]
)
def test_nothing_to_draw_is_said_in_words(lines):
    drawn = chart(DAYS, lines, title="quality")
    assert "quality will appear here after two judged days" in drawn
    assert "<svg" not in drawn


def test_one_day_is_not_a_line_yet():
    assert "<svg" not in chart(DAYS[:1], [Line("model", (0.5,), "model")], title="quality")


def test_the_text_alternative_says_what_the_lines_end_at():
    lines = [Line("model", (0.5, 0.6, 0.66, None), "model"), Line("simple rule", (0.5,) * 4, "baseline")]
    drawn = chart(DAYS, lines, title="quality", unit=" ms")
    assert 'aria-label="quality, 2013-02-01 to 2013-02-04. Latest: model 0.66 ms; simple rule 0.5 ms"' in drawn


def test_marks_outside_the_days_are_left_out_and_crowded_words_give_way():
    marks = [
        Mark(day, f"late@{number}", "said", "swap")
        for number, day in enumerate(["2012-12-31", *DAYS[1:3], "2014-01-01"])
    ]
    drawn = str(chart(DAYS, [Line("model", (1.0, 2.0, 3.0, 4.0), "model")], title="quality", marks=marks))
    assert drawn.count('class="mark swap"') == 2
    assert "late@1" in drawn
    assert "late@0" not in drawn
    assert "late@3" not in drawn


@pytest.mark.parametrize("place", ["title", "name", "word", "says"])
def test_a_hostile_word_stays_a_word(place):
    evil = "</svg><script>alert(1)</script>\"' onload=x"
    mark = Mark(DAYS[1], evil if place == "word" else "w", evil if place == "says" else "s", "swap")
    line = Line(evil if place == "name" else "n", (1.0, 2.0, 3.0, 4.0), "model")
    drawn = chart(DAYS, [line], title=evil if place == "title" else "t", marks=[mark])
    assert "script" not in Tags(drawn).seen
    assert "alert(1)" in drawn


def test_a_flat_line_has_room_above_and_below():
    drawn = chart(DAYS, [Line("model", (0.0,) * 4, "model")], title="flat")
    assert paths(drawn, "model")[0].startswith("M0.0 500.0")


finite = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)


@given(st.lists(st.one_of(st.none(), finite), min_size=4, max_size=4))
def test_every_value_lies_inside_the_plot(values):
    drawn = chart(DAYS, [Line("model", tuple(values), "model")], title="any")
    Tags(drawn)
    for path in paths(drawn, "model"):
        for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path):
            assert 0 <= float(x) <= 1000
            assert -0.1 <= float(y) <= 1000.1


@given(finite, finite)
def test_ticks_are_few_round_and_span_the_range(one, other):
    low, high = min(one, other), max(one, other)
    steps = ticks(low, high)
    assert 2 <= len(steps) <= 9
    assert steps == sorted(set(steps))
    span = steps[-1] - steps[0]
    assert steps[0] <= low + 1e-6 * span
    assert steps[-1] >= high - 1e-6 * span
    assert span > 0
