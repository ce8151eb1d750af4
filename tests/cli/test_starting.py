"""``init --from``: what is guessed, what is refused, and that what was written loads."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream import training
from millstream.cli.starting import Wishes, begin, design
from millstream.cli.starting.names import renamed
from millstream.errors import BadData, Conflict, MillstreamError, NotFound, UserError
from millstream.project import Project
from millstream.project.models.learn import plan

ROWS = 120
DRAW = random.Random(3)
DAY = datetime(2024, 1, 1)


def column(make):
    return [make(each) for each in range(ROWS)]


def number(_):
    return round(DRAW.gauss(0, 1), 3)


def answer(_):
    return DRAW.choice(["yes", "no"])


@pytest.fixture(autouse=True)
def no_git(monkeypatch):
    """A project without git is a project too, and quicker to make; the journey has one with."""
    monkeypatch.setattr("millstream.cli.starting.beginning.commit", lambda *_: None)


def start(folder: Path, frame: dict | pl.DataFrame, label: str = "y", **words):
    folder.mkdir(exist_ok=True)
    file = folder / "rows.csv"
    pl.DataFrame(frame).write_csv(file)
    return begin(Wishes(folder / "project", (file,), label, **words))


def guess(folder: Path, frame: dict, label: str = "y", **words):
    """What ``start`` would write, without writing it: the record, and the definitions."""
    file = folder / "rows.csv"
    pl.DataFrame(frame).write_csv(file)
    made = design(Wishes(folder / "project", (file,), label, **words))
    return made.record, next(body for name, body in made.files.items() if name.endswith(".py"))


def text(folder: Path) -> str:
    (file,) = (folder / "project").glob("*.py")
    return file.read_text()


def left_out(record) -> dict[str, str]:
    return {each["column"]: each["why"] for each in record["left_out"]}


def test_what_is_dishonest_is_not_made_and_said(tmp_path):
    truth = column(answer)
    record = start(
        tmp_path,
        {
            "ticket": column(lambda each: f"T-{each}"),
            "opened_at": column(lambda each: DAY + timedelta(days=each)),
            "seen": column(lambda each: DAY + timedelta(days=each + each % 2)),
            "resolved_by": column(lambda each: f"agent {each % 4}"),
            "y_reason": column(number),
            "code": [7 if each == "yes" else 3 for each in truth],
            "note": column(lambda each: f"called {each}"),
            "always": [1] * ROWS,
            "agent_id": column(lambda each: each % 6),
            "size": column(number),
            "y": truth,
        },
    )
    said = left_out(record)
    assert set(said) == {"ticket", "seen", "resolved_by", "y_reason", "code", "note", "always", "agent_id"}
    assert {name for name, why in said.items() if why.startswith("LEAK?")} == {
        "seen",
        "resolved_by",
        "y_reason",
        "code",
    }
    (table,) = record["tables"]
    assert (table["key"], table["event_time"], table["timezone"]) == (["ticket"], "opened_at", "UTC")
    assert "times without a zone were read as UTC: --timezone says another" in record["said"]
    written = text(tmp_path)
    assert "known_at={" in written and '"y": "opened_at + interval \'1 day\'"' in written
    for name, why in said.items():
        assert f"#   {name}: {why[:40]}" in written
    with Project(tmp_path / "project") as project:
        read = {each.name for each in plan(project, "y").columns}
        assert "at_request.size" in read and not [each for each in read if "code" in each or "seen" in each]
        entity = project.manifest.view("agent_id_past")
        assert entity.entity == ("agent_id",)
        assert all(each.value == "y = 'yes'" for each in entity.features.values())


def test_a_person_overrules_a_guess(tmp_path):
    frame = {
        "a_id": range(ROWS),
        "b": column(lambda each: f"b{each}"),
        "first": column(lambda each: DAY + timedelta(days=each)),
        "second": column(lambda each: DAY + timedelta(days=each, hours=1)),
        "x": column(number),
        "y": column(answer),
    }
    record = start(tmp_path, frame, key=("b",), time="second", timezone="Europe/Berlin")
    (table,) = record["tables"]
    assert (table["key"], table["event_time"], table["timezone"]) == (["b"], "second", "Europe/Berlin")
    assert "at time zone 'Europe/Berlin'" in text(tmp_path)
    with Project(tmp_path / "project") as project:
        first = project.lake.read("rows").frame["second"].min()
    assert first == datetime(2024, 1, 1, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "expression", "task"),
    [
        ([True, False, True], "y", "binary"),
        (["no", "yes", "no"], "y = 'yes'", "binary"),
        ([0, 1, 0], "y = 1", "binary"),
        ([1, 2, 2], "y = 1", "binary"),
        (["it's", "b", "b"], "y = 'it''s'", "binary"),
        ([1.5, 2.5, 9.0], "y", "regression"),
        ([1, 2, 3], "y", "regression"),
        ([None, True, False], "y", "binary"),
    ],
)
def test_the_label_makes_the_task(tmp_path, values, expression, task):
    record, _ = guess(tmp_path, {"x": column(number), "y": column(lambda each: values[each % 3])})
    assert (record["label"], record["task"]) == (expression, task)
    if values == [1, 2, 3]:
        assert any("taken as a number; if they are classes" in each for each in record["said"])
    if values[0] is None:
        assert any("40 of 120 rows have no label" in each for each in record["said"])


@pytest.mark.parametrize(
    ("true_from", "true_to", "split"),
    [(30, 120, "test='23d', folds=2"), (97, 120, "test='11d', folds=1"), (10, 88, "test='35d', folds=1")],
)
def test_both_classes_are_learnt_from_and_judged_on(tmp_path, true_from, true_to, split):
    frame = {
        "at": column(lambda each: DAY + timedelta(days=each)),
        "x": column(number),
        "y": column(lambda each: true_from <= each < true_to and each % 5 > 0),
    }
    _, written = guess(tmp_path, frame)
    assert f"split=splits.Time({split})" in written.replace('"', "'")


def test_rows_are_numbered_where_nothing_names_them(tmp_path):
    record, written = guess(tmp_path, {"x": column(lambda each: each % 5), "z": column(number), "y": column(answer)})
    (table,) = record["tables"]
    assert table["numbered"] and table["key"] == ["row_number"] and table["event_time"] is None
    assert record["sample"]["row_number"] == ROWS
    assert "rows are numbered as they lie in the file" in written


def test_odd_names_get_others_and_that_is_said(tmp_path):
    names = ["sp ace", 'qu"ote', "größe", "order", "価格", "Sp Ace", "label", "2nd", "__x", "true", "a\nb", "'; drop"]
    record = start(tmp_path, {each: column(number) for each in names} | {"Target?": column(answer)}, "Target?")
    assert record["tables"][0]["renamed"] == {
        "sp ace": "sp_ace",
        'qu"ote': "qu_ote",
        "Sp Ace": "sp_ace_2",
        "label": "label_",
        "2nd": "x_2nd",
        "__x": "x",
        "a\nb": "a_b",
        "'; drop": "drop",
        "Target?": "target",
    }
    assert record["features"] == len(names)
    assert (record["model"], record["label"]) == ("target", "target = 'yes'")


def test_several_files_are_several_tables(tmp_path):
    pl.DataFrame(
        {"shop": [f"s{each}" for each in range(6)], "region": list("nnssew"), "area": [10.5, 20, 30, 40, 50, 60]}
    ).write_csv(tmp_path / "shops.csv")
    pl.DataFrame(
        {
            "day": [date(2024, 1, 1) + timedelta(days=each // 6) for each in range(360)],
            "shop": [f"s{each % 6}" for each in range(360)],
            "sold": [each * 7 % 41 for each in range(360)],
        }
    ).write_parquet(tmp_path / "sales.parquet")
    files = (tmp_path / "shops.csv", tmp_path / "sales.parquet")
    record = begin(Wishes(tmp_path / "project", files, "sales.sold"))
    assert {each["table"]: (each["key"], each["event_time"]) for each in record["tables"]} == {
        "sales": (["shop", "day"], "day"),
        "shops": (["shop"], None),
    }
    with Project(tmp_path / "project") as project:
        names = [each.name for each in plan(project, "sold").columns]
    assert {"shops_of_shop.region", "shops_of_shop.area", "shop_past.mean_7d", "at_request.weekday"} <= set(names)


def test_a_delta_table_is_attached_and_never_numbered(tmp_path):
    from deltalake import write_deltalake

    frame = pl.DataFrame({"id": range(ROWS), "x": column(number), "y": column(answer)})
    write_deltalake(tmp_path / "events", frame)
    record = begin(Wishes(tmp_path / "project", (tmp_path / "events",), "y"))
    assert record["tables"][0]["key"] == ["id"]
    assert "source=sources.Delta(" in text(tmp_path)
    write_deltalake(tmp_path / "nameless", frame.drop("id"))
    with pytest.raises(UserError, match="no usable key") as refused:
        begin(Wishes(tmp_path / "second", (tmp_path / "nameless",), "y"))
    assert "--key" in refused.value.do
    assert not (tmp_path / "second").exists()


RAW = {
    "missing.csv": (None, NotFound, "there is no file"),
    "empty.csv": (b"", BadData, "is empty"),
    "only_names.csv": (b"x,y\n", BadData, "no rows"),
    "twice.csv": (b"x,x,y\n1,2,3\n", BadData, "two columns called 'x'"),
    "one_class.csv": (b"x,y\n" + b"1,yes\n" * 50, BadData, "one class only"),
    "three_rows.csv": (
        b"x,y\n" + b"".join(b"%d,%s\n" % (n * n % 97, b"no" if n > 2 else b"yes") for n in range(99)),
        BadData,
        "3 rows of its rarer class",
    ),
    "few.csv": (b"x,y\n1,2\n2,3\n", BadData, "in 2 of 2 rows"),
    "no_label.csv": (b"x,yy\n1,2\n", NotFound, "no column 'y' to predict"),
    "nothing_else.csv": (b"y\n" + b"1\n2\n3\n" * 20, BadData, "can be a feature"),
    "dates.csv": (b"x,y\n" + b"".join(b"%d,2024-01-%02d\n" % (n, n) for n in range(1, 30)), BadData, "is a time"),
    "names.csv": (b"x,y\n" + b"".join(b"%d,name%d\n" % (n % 7, n) for n in range(90)), BadData, "different values"),
    "picture.png": (b"\x89PNG", BadData, "of no kind that can be read"),
    "broken.parquet": (b"PAR1nonsense", BadData, "is not Parquet"),
    "no_zip.csv.gz": (b"x,y\n1,2\n", BadData, "is not a gzip file"),
}


@pytest.mark.parametrize("name", RAW)
def test_what_cannot_be_used_is_said_and_nothing_is_left(tmp_path, name):
    body, kind, says = RAW[name]
    if body is not None:
        (tmp_path / name).write_bytes(body)
    with pytest.raises(kind, match=says) as refused:
        begin(Wishes(tmp_path / "project", (tmp_path / name,), "y"))
    assert refused.value.expected or refused.value.do
    assert not (tmp_path / "project").exists()


def test_folders_zones_keys_and_times_that_cannot_be(tmp_path):
    frame = {"a": column(lambda each: each % 9), "t": column(number), "y": column(answer)}
    with pytest.raises(UserError, match="no time zone 'Europe/Berlim'") as zone:
        start(tmp_path, frame, timezone="Europe/Berlim")
    assert "'Europe/Berlin'" in zone.value.do
    with pytest.raises(BadData, match="does not name the rows"):
        start(tmp_path, frame, key=("a",))
    with pytest.raises(BadData, match="--time t"):
        start(tmp_path, frame, time="t")
    with pytest.raises(NotFound, match="no column 'aa'"):
        start(tmp_path, frame, key=("aa",))
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "mine.txt").write_text("mine")
    with pytest.raises(Conflict, match="not empty"):
        start(tmp_path, frame)
    assert [each.name for each in (tmp_path / "project").iterdir()] == ["mine.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(BadData, match="no Delta table"):
        begin(Wishes(tmp_path / "other", (tmp_path / "project",), "y"))


@pytest.mark.parametrize("count", [1500, pytest.param(5000, marks=pytest.mark.nightly)])
def test_thousands_of_columns(tmp_path, count):
    wide = {f"c{each}": [DRAW.randint(0, 9) for _ in range(100)] for each in range(count)}
    record, written = guess(tmp_path, wide | {"y": [DRAW.choice(["a", "b"]) for _ in range(100)]})
    assert len(record["sample"]) == 501
    assert f"#   c500 ... c{count - 1}: {count - 500:,} columns that are too many" in written
    assert written.count("\n") < 1100, "500 features, a line or two for each, and no list of the rest"
    assert any(f"{count:,} columns could be features" in each for each in record["said"])


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=8, unique=True))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_new_names_are_apart_and_can_be_written(names):
    made = renamed(names)
    final = [made.get(each, each) for each in names]
    assert len({each.lower() for each in final}) == len(names)
    assert [each for each in made.values() if not each.isidentifier()] == []


CELLS = [
    st.integers(-50, 10**6),
    st.floats(-1e9, 1e9, allow_nan=False).map(lambda each: round(each, 3)),
    st.sampled_from(["a", "b", "c d", "ä", ""]),
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12),
    st.booleans(),
    st.dates(date(2000, 1, 1), date(2024, 1, 1)),
    st.datetimes(datetime(2001, 1, 1), datetime(2024, 1, 1)).map(lambda each: each.replace(microsecond=0)),
    st.just("7"),
]
NAMES = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n\0"), min_size=1, max_size=8
).filter(lambda each: each.strip() == each and not each.replace(".", "").replace(",", "").isdigit())


@st.composite
def anything(draw):
    names = draw(st.lists(NAMES, min_size=2, max_size=6, unique=True))
    rows = draw(st.sampled_from([5, 60, 90]))
    seed = random.Random(draw(st.integers(0, 999)))
    frame = {}
    for name in names:
        pool = draw(st.lists(draw(st.sampled_from(CELLS)), min_size=1, max_size=12))
        gaps = draw(st.sampled_from([0.0, 0.0, 0.1, 0.99]))
        frame[name] = [None if seed.random() < gaps else seed.choice(pool) for _ in range(rows)]
    return frame, draw(st.sampled_from(names))


@given(anything())
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_frame_becomes_definitions_that_load_and_train_or_a_refusal(tmp_path_factory, made):
    frame, label = made
    folder = tmp_path_factory.mktemp("any")
    try:
        record = start(
            folder,
            {name: [None if each is None else str(each) for each in cells] for name, cells in frame.items()},
            label,
        )
    except MillstreamError as refused:
        assert refused.expected or refused.do, str(refused)
        assert not (folder / "project").exists()
        return
    with Project(folder / "project") as project:
        read = plan(project, record["model"])
        assert len(read.columns) == record["features"] > 0
        assert set(record["sample"]) == set(read.request_columns)
        try:
            now = project.clock.now()
            rows = training.build_set(read, project.lake.read, until=now, static_at=now)
            tested = training.backtest(project.manifest.model(record["model"]), rows)
        except MillstreamError as refused:
            assert refused.expected or refused.do, str(refused)
            return
    assert tested.report.rows > 0
