import re
from datetime import date, timedelta
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

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


@given(
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["late@2", "late@12", "demand@103", "@7"])), max_size=12)
)
def test_words_of_marks_find_room_or_stay_a_line(moves):
    days = [(date(2013, 1, 1) + timedelta(days=number)).isoformat() for number in range(201)]
    marks = [Mark(days[at], word, "said", "swap") for at, word in moves]
    drawn = str(chart(days, [Line("model", tuple(map(float, range(201))), "model")], title="quality", marks=marks))
    assert drawn.count('class="mark swap"') == len(marks)
    assert all(f"<title>{word}, {days[at]}: said</title>" in drawn for at, word in moves)
    if moves:  # the newest is named, everywhere
        assert "none" not in re.findall(r'<span class="word ([^"]*)"', drawn)[-1]


WIDTHS = (280, 320, 520, 900)


def test_no_two_words_of_a_chart_touch(browser):
    """Drawn as a browser draws them, however wide the chart is."""
    days = [(date(2013, 1, 1) + timedelta(days=number)).isoformat() for number in range(200)]
    marks = [
        Mark(days[at], f"late@{number}", "said", "swap") for number, at in enumerate((3, 20, 26, 60, 64, 150, 190, 198))
    ]
    drawn = chart(days, [Line("model", tuple(map(float, range(200))), "model")], title="quality", marks=marks)
    style = (files("millstream.console") / "static" / "style.css").read_text(encoding="utf-8")
    boxes = "".join(f'<div id="w{width}" style="width:{width}px">{drawn}</div>' for width in WIDTHS)
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.set_content(f"<style>{style}</style>{boxes}")
    shown = {}
    for width in WIDTHS:
        rooms = page.evaluate(
            """id => [...document.querySelectorAll(`#${id} .word`)].filter(each => each.offsetParent)
               .map(each => [each.getBoundingClientRect(), each.textContent])
               .map(([box, word]) => [box.left, box.right, word])
               .sort((one, other) => one[0] - other[0])""",
            f"w{width}",
        )
        assert rooms[-1][2] == "late@7"  # what happened last is named
        assert all(one[1] < other[0] for one, other in pairwise(rooms)), rooms
        assert rooms[0][0] >= 0
        assert rooms[-1][1] <= width
        shown[width] = len(rooms)
    page.close()
    assert shown[900] > shown[280] >= 2
