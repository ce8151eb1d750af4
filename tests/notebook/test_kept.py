"""Features that were computed once: taken again bit by bit or not at all, whatever changes, breaks or is killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import millstream
from millstream import FeatureView, Table, sources
from millstream import features as f
from millstream.definitions.manifest import gather
from millstream.features.engine import MEMORY
from millstream.features.join import PolarsEngine
from millstream.project.notebook import cache as kept_in
from millstream.project.notebook.cache import Cache, key_of
from millstream.project.notebook.columns import digest_of

START = datetime(2024, 1, 1, tzinfo=UTC)
COLUMNS = "id,who,at,known,amount,word"
FACTS = Table("facts", source=sources.Csv("facts-*.csv"), key="id", event_time="at", timezone="UTC", lag="1h",
              known_at={"*": "known"}, columns={"size": "amount * 2"})  # fmt: skip
PEOPLE = Table("people", source=sources.Csv("people.csv"), key="who")
BIG = Table(
    "big",
    of=[FACTS, PEOPLE],
    key="id",
    event_time="at",
    sql="select f.*, p.old from facts f left join people p using (who)",
)
FORM = {
    "n": f.count(over="2d"),
    "mean": f.mean("size", over="3d"),
    "p50": f.quantile("amount", 0.5, over="4d"),
    "words": f.distinct("word"),
    "trend": f.trend("amount", over="5d"),
    "usual": f.target("amount > 5"),
}
ROWS = pl.DataFrame(
    {"who": ["a", "b", "c", None, "nobody"] * 6, "when": [START + timedelta(hours=7 * n) for n in range(30)]}
).with_columns(pl.col("when").dt.cast_time_unit("us"))


def fact(number, *, later=0, amount=None):
    at = START + timedelta(hours=3 * (number % 60))
    said = amount if amount is not None else (number * 7919) % 13 + 0.1
    return f"{number},{'abc'[number % 3]},{at:%F %T},{at + timedelta(minutes=10 + later):%F %T},{said},w{number % 4}"


class World:
    """A small project, and the question that is asked of it."""

    def __init__(self, root):
        self.root = root
        (root / "millstream.toml").write_text('name = "kept"\n')
        (root / "people.csv").write_text("who,old\na,true\nb,false\n")
        self.said, self.files, self.number = [], 0, 0
        self.tables, self.form, self.of = [FACTS, PEOPLE, BIG], dict(FORM), "big"
        self.rows, self.pins = ROWS, {}
        self.arrive(40)
        self.project = millstream.open(root)
        self.project.progress = self.said.append
        self.define()

    def define(self):
        self.project.__dict__["manifest"] = gather(self.tables)
        self.project.__dict__.pop("lake", None)
        self.project.lake.refresh(actor="ann")

    def arrive(self, count):
        lines = [fact(self.number + each) for each in range(count)]
        self.number += count
        self.write(lines)

    def write(self, lines):
        (self.root / f"facts-{self.files}.csv").write_text("\n".join([COLUMNS, *lines]) + "\n")
        self.files += 1

    def table(self, **words):
        self.tables = [replace(self.tables[0], **words), *self.tables[1:]]

    def mask(self):
        head = self.project.lake.head("facts").version
        row = pl.DataFrame({"id": [self.number % 17], "check": ["by hand"], "reason": [f"{self.number}"]})
        with self.project.state.transact() as tx:
            self.project.lake.quarantine("facts", head, row, tx=tx)

    def asked(self):
        view = FeatureView("form", of=self.of, entity="who", features=self.form)
        pins = {self.of: self.pins[self.of]} if self.of in self.pins else None
        return self.project.features([view], rows=self.rows, at="when", pins=pins)

    def afresh(self):
        """Answer with nothing kept."""
        kept = self.project.cache
        self.project.__dict__["cache"] = Cache(self.root / "nothing", limit_bytes=0)
        try:
            return self.asked()
        finally:
            self.project.__dict__["cache"] = kept


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("kept"))
    yield made
    made.project.close()


CHANGES = {
    "facts arrive": lambda w: (w.arrive(3), w.define()),
    "a correction arrives": lambda w: (w.write([fact(5, later=600 + w.files, amount=99.5 + w.files)]), w.define()),
    "a fact is masked": lambda w: w.mask(),
    "another window": lambda w: w.form.update(mean=f.mean("size", over=f"{2 + w.files % 4}d")),
    "another filter": lambda w: w.form.update(n=f.count(over="2d", where=f"amount > {w.files % 5}")),
    "another lag of the window": lambda w: w.form.update(p50=f.quantile("amount", 0.5, over="4d", ago="1d")),
    "another quantile": lambda w: w.form.update(p50=f.quantile("amount", 0.1 * (w.files % 9), over="4d")),
    "another name": lambda w: w.form.update(again=w.form["n"]),
    "another order of features": lambda w: setattr(w, "form", dict(reversed(w.form.items()))),
    "a declared lag": lambda w: (w.table(lag=f"{1 + w.files % 5}h"), w.define()),
    "a time zone": lambda w: (w.table(timezone="America/New_York"), w.define()),
    "a computed column": lambda w: (w.table(columns={"size": f"amount * {w.files}"}), w.define()),
    "another sql": lambda w: (setattr(w, "tables", [*w.tables[:2], replace(BIG, sql=BIG.sql + " where amount > 1")]),
                              w.define()),
    "another table": lambda w: setattr(w, "of", "facts" if w.of == "big" else "big"),
    "another engine": lambda w: w.project.__dict__.update(engine=PolarsEngine(memory=1 + w.files % 2 * MEMORY)),
    "an older version": lambda w: w.pins.update(facts=0, big=0),
    "the newest version": lambda w: w.pins.clear(),
    "rows in another order": lambda w: setattr(w, "rows", w.rows.reverse()),
    "fewer rows": lambda w: setattr(w, "rows", w.rows.head(max(5, w.rows.height - 1))),
    "other instants": lambda w: setattr(w, "rows", w.rows.with_columns(pl.col("when") + timedelta(minutes=31))),
    "others": lambda w: setattr(w, "rows", w.rows.with_columns(pl.col("who").shift(1))),
    "all rows": lambda w: setattr(w, "rows", ROWS),
}  # fmt: skip


def same(left, right):
    """Whether two frames hold the same bits."""
    return left.columns == right.columns and [digest_of(each) for each in left] == [digest_of(each) for each in right]


def test_whatever_changes_what_is_kept_is_what_is_computed_afresh(world):
    """Every change once, then in any order: the answer is the one that nothing kept gives, and is kept itself."""

    def check(names):
        for name in names:
            CHANGES[name](world)
            found, fresh = world.asked(), world.afresh()
            assert same(found.frame, fresh.frame), name
            again = world.asked()
            assert same(again.frame, fresh.frame), name
            assert f"{len(world.form)} of {len(world.form)} features kept" in again.title

    check(CHANGES)

    @given(st.lists(st.sampled_from([*CHANGES]), min_size=2, max_size=4))
    @settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    def walk(names):
        check(names)

    walk()


def test_changing_one_feature_computes_that_one(tmp_path):
    world = World(tmp_path)
    world.asked()
    world.said.clear()
    world.form |= {"n": f.count(over="1d"), "more": f.max("amount")}
    assert "5 of 7 features kept from before, form.n, form.more computed in" in world.asked().title
    assert world.said == ["computing form.n, form.more; 5 features kept from before"]
    world.said.clear()
    world.asked()
    assert not world.said
    world.rows = world.rows.with_columns(note=pl.lit("a column no feature reads"))
    world.asked()
    assert not world.said
    world.project.close()


@pytest.mark.parametrize(
    "harm",
    [
        lambda path, data: path.write_bytes(data[: len(data) // 2]),
        lambda path, data: path.write_bytes(b""),
        lambda path, data: path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]),
        lambda path, data: path.write_bytes(data[:60] + bytes([data[60] ^ 128]) + data[61:]),
        lambda path, data: path.write_bytes(b"ARROW1" + data[6:]),
        lambda path, data: path.with_name("other.kept").replace(path),
    ],
)
def test_a_damaged_file_is_said_and_never_believed(tmp_path, harm):
    said = []
    cache = Cache(tmp_path, tell=said.append)
    frame = pl.DataFrame({"x": [1.5, None, 2.5]})
    for key in ("mine", "other"):
        cache.put(key, frame)
    assert cache.get("mine").frame.equals(frame) and not said
    path = tmp_path / "mine.kept"
    harm(path, path.read_bytes())
    assert cache.get("mine") is None and cache.damaged == 1 and not path.exists()
    assert said == ["a kept file was damaged and is gone, what it held is computed again: mine.kept"]
    cache.put("mine", frame)
    assert cache.get("mine").frame.equals(frame)


def test_a_damaged_column_is_computed_again_and_the_owner_told(tmp_path):
    world = World(tmp_path)
    first = world.asked()
    for each in world.project.places.cache.glob("*.kept"):
        data = each.read_bytes()
        each.write_bytes(data[:-20] + bytes(20))
    world.said.clear()
    assert same(world.asked().frame, first.frame)
    assert len([each for each in world.said if "damaged" in each]) == len(FORM)
    world.project.close()


def test_other_code_takes_nothing(monkeypatch):
    before = key_of("feature", "x")
    monkeypatch.setattr(kept_in, "engine", lambda: "another")
    assert key_of("feature", "x") != before


BESIDE = """
import os, signal, sys
from pathlib import Path
import polars as pl
from millstream.project.notebook.cache import Cache
cache = Cache(Path(sys.argv[1]), limit_bytes=int(sys.argv[2]))
if sys.argv[3] == "killed":
    os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
    cache.put("k0", pl.DataFrame({"x": range(9)}))
for turn in range(40):
    for number in range(6):
        cache.put(f"k{number}", pl.DataFrame({"x": range(number, number + 300)}))
        found = cache.get(f"k{(number + turn) % 6}")
        first = (number + turn) % 6
        assert found is None or found.frame["x"].to_list() == list(range(first, first + 300))
assert cache.damaged == 0 and cache.hits > 0
"""


def beside(folder, limit, how):
    return subprocess.Popen([sys.executable, "-c", BESIDE, str(folder), str(limit), how])


def test_two_that_write_and_drop_the_same_files_never_see_half_of_one(tmp_path):
    both = [beside(tmp_path, 9_000, "whole") for _ in range(2)]
    assert [each.wait(60) for each in both] == [0, 0]
    assert not [*tmp_path.glob(".new-*")] and Cache(tmp_path).bytes() <= 9_000 * 1.5


def test_a_kill_in_the_middle_leaves_nothing_that_is_believed(tmp_path):
    assert beside(tmp_path, 10**6, "killed").wait(60) == -signal.SIGKILL
    cache = Cache(tmp_path)
    assert cache.get("k0") is None and cache.damaged == 0 and [*tmp_path.glob(".new-*")]
    cache.put("k1", pl.DataFrame({"x": [1]}))
    assert [*tmp_path.glob(".new-*")]  # somebody may still be writing it
    for each in tmp_path.glob(".new-*"):
        os.utime(each, (time.time() - 7200,) * 2)
    cache.put("k1", pl.DataFrame({"x": [1]}))
    assert not [*tmp_path.glob(".new-*")] and cache.get("k1") is not None


def test_the_bound_is_a_setting_and_nothing_is_kept_of_none(tmp_path):
    (tmp_path / "millstream.toml").write_text('name = "kept"\n[quota]\ncache = "0B"\n')
    with millstream.open(tmp_path) as project:
        project.cache.put("k", pl.DataFrame({"x": [1]}))
        assert project.cache.limit_bytes == 0 and project.cache.get("k") is None


def test_columns_are_told_apart_by_type_place_and_null():
    told = [
        pl.Series([1, 2]), pl.Series([2, 1]), pl.Series([1, 2], dtype=pl.Int32), pl.Series([1.0, 2.0]),
        pl.Series([0, None]), pl.Series([None, 0]), pl.Series([0, 0]), pl.Series(["", None]), pl.Series([None, ""]),
        pl.Series(["ab", "c"]), pl.Series(["a", "bc"]), pl.Series(["abc"]), pl.Series([True, False]),
        pl.Series([START, START]), pl.Series([START.replace(tzinfo=None)] * 2), pl.Series([[1], [2]]),
        pl.Series([[1, 2], []]), pl.Series([0.0, -0.0]), pl.Series([0.0, 0.0]),
    ]  # fmt: skip
    assert len({digest_of(each) for each in told}) == len(told)
    assert digest_of(pl.Series(["a", "b", "c"]).filter([True, False, True])) == digest_of(pl.Series(["a", "c"]))
