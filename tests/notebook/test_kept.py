"""Features that were computed once: taken again bit by bit or not at all, whatever changes, breaks or is killed."""

import multiprocessing
import os
import signal
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
from millstream.project.notebook.cache import Cache, Kept, key_of
from millstream.project.notebook.columns import digest_of
from millstream.project.notebook.engine import engine

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
FORM = dict(n=f.count(over="2d"), mean=f.mean("size", over="3d"), p50=f.quantile("amount", 0.5, over="4d"),
            words=f.distinct("word"), trend=f.trend("amount", over="5d"), usual=f.target("amount > 5"))  # fmt: skip
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
