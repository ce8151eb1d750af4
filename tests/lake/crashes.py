"""Ways of changing a lake, each of which can be ended at any instant of it: by a kill, or by a disk that is full.

A child is forked off a process that has only imported things, so that a hundred kills take a minute. In it every
instant that matters is counted: before a transaction of the state database, before it commits and after, before and
after each sync of a file and each rename, and at each named point. It dies at one of them, by SIGKILL. What it
acknowledged came through a pipe.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy.dialects.sqlite  # noqa: F401 - imported before the fork, as the next two are

import millstream.lake.delta
import millstream.sources.sql  # noqa: F401
from millstream.definitions.sources import Csv, Sql
from millstream.definitions.table import Table
from millstream.errors import MillstreamError, NotFound, StorageFull
from millstream.lake import Lake, faults
from millstream.lake.ingest.agreed import ACCEPTED
from millstream.project import Project
from millstream.project.backups import restore
from millstream.state import State
from millstream.testing import Bench

DAILY = "select date_trunc('day', sold_at) as day, sum(paid) as paid, count(*) as sold from sales group by all"
_LIMIT = resource.RLIM_INFINITY


class Journey:
    """A way of changing a lake, with what was there before."""

    tables: tuple[Table, ...] = ()

    def bench(self, root: Path) -> Bench:
        return Bench(root, self.tables, databases={"shop": f"sqlite:///{root}/shop.db"})

    def prepare(self, root: Path) -> None:
        (root / "in").mkdir(parents=True)
        self.before(root)
        with self.bench(root) as lake:
            lake.refresh(actor="ann")
        self.after(root)

    def before(self, root: Path) -> None:
        """Put there what is there at first."""

    def after(self, root: Path) -> None:
        """Change it."""

    def act(self, root: Path) -> Iterator[str]:
        """Do what may be ended, however often; give what is acknowledged."""
        with self.bench(root) as lake:
            for each in lake.refresh(actor="ann"):
                yield f"{each.table}@{each.version}"

    @contextmanager
    def open(self, root: Path) -> Iterator[Lake]:
        """Hold the lake open."""
        with self.bench(root) as lake:
            yield lake

    def has(self, root: Path) -> set[str]:
        """Tell what is there of what could have been acknowledged; a lake that was just opened."""
        with self.bench(root) as lake:
            return {f"{name}@{each.version}" for name in lake.heads() for each in lake.history(name)}

    def facts(self, root: Path) -> dict[str, Any]:
        """Tell everything there is, and that it is whole."""
        bench = self.bench(root)
        with bench as lake:
            made = _rows(lake)
            bad = [str(each) for each in [*lake.recover(), *lake.verify(deep=True)] if not each.ok]
            acts = Counter(each.act for each in bench.ledger.rows(limit=10_000))
            return {**made, "bad": bad, "acts": dict(acts), "ledger": bench.ledger.verify().ok}


class Taking(Journey):
    """Files: a changed one, a new one, the same again under another name."""

    tables = (Table("t", source=Csv("in/*.csv"), key="id"),)

    def before(self, root: Path) -> None:
        for name, text in (("a", "1,x\n2,y\n"), ("b", "3,z\n")):
            (root / f"in/{name}.csv").write_text(f"id,word\n{text}")

    def after(self, root: Path) -> None:
        for name, text in (("a", "1,x\n2,changed\n9,more\n"), ("c", "4,new\n"), ("d", "4,new\n")):
            (root / f"in/{name}.csv").write_text(f"id,word\n{text}")


class Deleting(Journey):
    """A database by its cursor: rows that are new, changed and gone."""

    tables = (Table("t", source=Sql("t", "shop", cursor="n", deletes="0s"), key="id"),)

    def before(self, root: Path) -> None:
        self.run(root, "create table t (id integer primary key, n integer, word text)")
        self.run(root, *(f"insert into t values ({each}, {each}, 'w{each}')" for each in range(1, 11)))

    def after(self, root: Path) -> None:
        self.run(root, "delete from t where id in (2, 10)", "update t set n = 11, word = 'changed' where id = 3")
        self.run(root, "insert into t values (12, 12, 'new')")

    def run(self, root: Path, *statements: str) -> None:
        with closing(sqlite3.connect(root / "shop.db", isolation_level=None)) as kept:
            for each in statements:
                kept.execute(each)


class Believing(Journey):
    """A table with history: a correction, a new key, one that is gone."""

    tables = (Table("t", source=Csv("in/plans.csv"), key="id", history=True),)

    def before(self, root: Path) -> None:
        (root / "in/plans.csv").write_text("id,plan\n1,free\n2,free\n3,pro\n")

    def after(self, root: Path) -> None:
        (root / "in/plans.csv").write_text("id,plan\n1,pro\n2,free\n4,pro\n")


class Parting(Journey):
    """A stored query in partitions: a late row, a new day."""

    tables = (
        Table("sales", source=Csv("in/*.csv"), key="id", event_time="sold_at", timezone="UTC"),
        Table(
            "daily", of="sales", sql=DAILY, partition="1d", key="day", event_time="day",
            known_at="day + interval '1 day'",
        ),
    )  # fmt: skip

    def before(self, root: Path) -> None:
        (root / "in/a.csv").write_text("id,sold_at,paid\n1,2024-01-01T10:00:00,1.5\n2,2024-01-02T10:00:00,2.5\n")

    def after(self, root: Path) -> None:
        (root / "in/b.csv").write_text("id,sold_at,paid\n3,2024-01-01T11:00:00,4.0\n4,2024-01-03T10:00:00,8.0\n")


class Accepting(Taking):
    """Columns that wait, are accepted, and are taken."""

    def after(self, root: Path) -> None:
        for name, text in (("a", "1,x,7\n2,y,8\n"), ("b", "3,z,9\n")):
            (root / f"in/{name}.csv").write_text(f"id,word,extra\n{text}")
        with self.bench(root) as lake:
            _try(lambda: lake.refresh(actor="ann"))

    def act(self, root: Path) -> Iterator[str]:
        bench = self.bench(root)
        with bench as lake:
            if not bench.ledger.rows(act=ACCEPTED, limit=1):
                lake.accept_schema("t", actor="bo")
            yield "accepted"
        yield from super().act(root)

    def has(self, root: Path) -> set[str]:
        bench = self.bench(root)
        with bench:
            accepted = {"accepted"} if bench.ledger.rows(act=ACCEPTED, limit=1) else set()
        return accepted | super().has(root)


class Releasing(Journey):
    """A row in quarantine that a person lets back."""

    DEFINED = (
        "from millstream import Table, checks, sources\n"
        "t = Table('t', source=sources.Csv('in/*.csv'), key='id', checks=[checks.between('n', 0, 9)])\n"
    )

    def prepare(self, root: Path) -> None:
        (root / "in").mkdir(parents=True)
        (root / "millstream.toml").write_text('name = "shop"\n')
        (root / "tables.py").write_text(self.DEFINED)
        (root / "in/a.csv").write_text("id,n\n1,5\n2,50\n3,60\n")
        with Project(root, lock=True) as project:
            project.run("refresh", {"actor": "ann"})
            project.run("check", {"actor": "ann"})

    @contextmanager
    def open(self, root: Path) -> Iterator[Lake]:
        with Project(root) as project:
            yield project.lake

    def act(self, root: Path) -> Iterator[str]:
        with Project(root, lock=True) as project:
            said = {"table": "t", "keys": ["2"], "reason": "true all along", "actor": "bo"}
            _try(lambda: project.run("let_back", said), but=NotFound)
            yield "let back"

    def has(self, root: Path) -> set[str]:
        with Project(root) as project:
            return {"let back"} if 2 in project.lake.read("t").frame["id"] else set()

    def facts(self, root: Path) -> dict[str, Any]:
        with Project(root, lock=True) as project:
            made = _rows(project.lake)
            bad = [str(each) for each in project.lake.verify() if not each.ok]
            acts = Counter(each.act for each in project.ledger.rows(limit=10_000))
            return {**made, "bad": bad, "acts": dict(acts), "ledger": project.ledger.verify().ok}


class Restoring(Releasing):
    """A project that is made from a backup."""

    def prepare(self, root: Path) -> None:
        super().prepare(root / "shop")
        with Project(root / "shop", lock=True) as project:
            project.run("backup", {"to": str(root / "kept"), "actor": "bo"})

    @contextmanager
    def open(self, root: Path) -> Iterator[Lake]:
        with super().open(root / "shop") as lake:
            yield lake

    def act(self, root: Path) -> Iterator[str]:
        if not (root / "again/millstream.toml").exists():
            restore(root / "kept", root / "again", actor="bo")
        yield "restored"

    def has(self, root: Path) -> set[str]:
        return {"restored"} if (root / "again/millstream.toml").exists() else set()

    def facts(self, root: Path) -> dict[str, Any]:
        made = super().facts(root / "again")
        made["acts"].pop("project.restore", None)  # the project is there before it is told of
        return made


JOURNEYS = {each.__name__: each() for each in (Taking, Deleting, Believing, Parting, Accepting, Releasing, Restoring)}


class Boasting(Taking):
    """Acknowledges before it acts: what a test of kills has to notice."""

    def act(self, root: Path) -> Iterator[str]:
        yield "t@1"
        yield from super().act(root)


BROKEN = {"Boasting": Boasting()}


def _rows(lake: Lake) -> dict[str, Any]:
    return {
        name: [
            sorted(map(str, _plain(lake.read(name, version=each.version).frame).rows())) for each in lake.history(name)
        ]
        for name in lake.heads()
    }


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(each for each in sorted(frame.columns) if not each.startswith("__"))


def _try(act: Callable[[], object], *, but: type[MillstreamError] = MillstreamError) -> None:
    try:
        act()
    except but:
        return


def counted(die_at: int) -> Iterator[int]:
    """Count instants from now on, and die at one of them; gives the count so far."""
    count = itertools.count(1)
    reached = [0]

    def tick(*_: object) -> None:
        reached[0] = next(count)
        if reached[0] == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    transact, fsync, replace, rename = State.transact, os.fsync, os.replace, os.rename

    @contextmanager
    def transacting(self: State) -> Iterator[Any]:
        tick()
        with transact(self) as tx:
            yield tx
            tick()
        tick()

    def around(whole: Callable[..., Any]) -> Callable[..., Any]:
        def then(*given: Any, **words: Any) -> Any:
            tick()
            made = whole(*given, **words)
            tick()
            return made

        return then

    State.transact = transacting  # type: ignore[method-assign, assignment]
    os.fsync, os.replace, os.rename = around(fsync), around(replace), around(rename)
    for each in list(sys.modules.values()):
        if getattr(each, "reach", None) is faults.reach:
            each.reach = tick  # type: ignore[attr-defined]
    while True:
        yield reached[0]


def _killed(name: str, root: str, die_at: int, told: Connection) -> None:
    counts = counted(die_at)
    next(counts)
    for each in (JOURNEYS | BROKEN)[name].act(Path(root)):
        told.send(each)
    told.send(next(counts))


def _filled(name: str, root: str, most: int, told: Connection) -> None:
    """Act while no file may grow beyond so many bytes, with reads going on; then act again with room."""
    journey = (JOURNEYS | BROKEN)[name]
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with journey.open(Path(root)) as lake:
        before = _rows(lake)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        said = "done"
        try:
            list(journey.act(Path(root)))
        except StorageFull as wrong:
            said = f"full: {wrong.happened}"
        except BaseException as wrong:  # noqa: BLE001 - told to the test, which fails of it
            said = f"{type(wrong).__name__}: {wrong}"
        told.send(said)
        after = _rows(lake)
        if said != "done" and any(after[table][: len(made)] != made for table, made in before.items()):
            told.send("what was there is not read as it was")
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LIMIT, hard))
        list(journey.act(Path(root)))


def in_a_child(
    name: str, root: Path, number: int, *, act: Callable[[str, str, int, Connection], None] = _killed
) -> tuple[list[Any], int]:
    """Act in a process of its own; return what it told, and its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=act, args=(name, str(root), number, there))
    child.start()
    there.close()
    made = []
    with here:
        while True:
            try:
                made.append(here.recv())
            except EOFError:
                break
    child.join(60)
    assert child.exitcode is not None
    return made, child.exitcode


filled = _filled
