"""What a source must do, whatever it is: bring every row once, take nothing of half a read, say what changed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import polars as pl

from millstream.definitions.sources import Source
from millstream.definitions.table import Table
from millstream.lake.faults import LANDED, POINTS, interrupted
from millstream.testing.bench import Bench, refused, require

_START = datetime(2024, 1, 1, tzinfo=UTC)
_NOTES = (
    "plain",
    None,
    "commas, and 'quotes'",
    'a "word"',
    "Ünï — 🚂",
    "two\nlines",
    " edges ",
    "back\\slash",
    "tab\tbed",
)


def rows(first: int, count: int) -> pl.DataFrame:
    """Make rows that an origin is asked to hold.

    Parameters
    ----------
    first, count
        The smallest ``id``, and how many there are.

    Returns
    -------
    ``id`` Int64, ``at`` instant (minutes apart, UTC), ``total`` Float64, ``note`` text with what texts can hold, NULL
    among it.
    """
    ids = range(first, first + count)
    return pl.DataFrame(
        {
            "id": ids,
            "at": [_START + timedelta(minutes=each) for each in ids],
            "total": [each * 0.1 for each in ids],
            "note": [_NOTES[each % len(_NOTES)] for each in ids],
        },
        schema={"id": pl.Int64, "at": pl.Datetime("us", "UTC"), "total": pl.Float64, "note": pl.String},
    )


class Origin(Protocol):
    """The other end of a source: who owns the rows, adds to them, and can fail."""

    databases: Mapping[str, str]
    """Name to address of the databases the source names; empty where it names none."""

    def source(self, *, columns: tuple[str, ...] = ()) -> Source:
        """Return the source as a definition would have it, of all columns or of some."""

    def put(self, added: pl.DataFrame) -> None:
        """Add rows, as ``rows`` makes them."""

    def half(self, added: pl.DataFrame) -> AbstractContextManager[None]:
        """Add rows while reading breaks off in the middle of them; on leaving it goes through."""

    def widen(self) -> None:
        """Let every row have one more column, ``extra``, a whole number."""

    def again(self) -> None:
        """Deliver once more what was delivered last; only ``RedeliveredSuite`` asks for it."""


class SourceSuite:
    """Laws of every source. Inherit, and define the fixture ``origin``, a new ``Origin`` each time."""

    def test_every_row_comes_once_and_as_it_was(self, origin: Origin, tmp_path: Path) -> None:
        """Rows arrive once, to the last digit and character."""
        origin.put(rows(1, 40))
        with bench(origin, tmp_path) as lake:
            made = lake.refresh(actor="suite")
            require([each.rows for each in made] == [40], f"40 rows were put, the version has {made}")
        expect(origin, tmp_path, rows(1, 40))

    def test_law_4_the_same_again_changes_nothing(self, origin: Origin, tmp_path: Path) -> None:
        """Where nothing is new, no version is made."""
        origin.put(rows(1, 40))
        for known in (False, True, True):
            with bench(origin, tmp_path) as lake:
                made = lake.refresh(actor="suite")
                require(bool(made) != known, f"nothing new was there, and it made {made}")

    def test_what_is_new_comes_once_and_earlier_versions_stay(self, origin: Origin, tmp_path: Path) -> None:
        """A version adds what is new; those before it are read as they were."""
        for first in (1, 11, 21):
            origin.put(rows(first, 10))
            with bench(origin, tmp_path) as lake:
                lake.refresh(actor="suite")
        with bench(origin, tmp_path) as lake:
            for number, last in enumerate((10, 20, 30)):
                found = lake.read("t", version=number).frame.select(rows(1, 1).columns).sort("id")
                require(found.equals(rows(1, last)), f"version {number} is not the {last} rows of its time")
        expect(origin, tmp_path, rows(1, 30))

    def test_half_a_read_takes_nothing_and_the_next_takes_all(self, origin: Origin, tmp_path: Path) -> None:
        """A read that breaks off is an error that helps, and leaves no row behind."""
        origin.put(rows(1, 20))
        with bench(origin, tmp_path) as lake:
            lake.refresh(actor="suite")
        with origin.half(rows(21, 40)):
            with bench(origin, tmp_path) as lake:
                refused(lambda: lake.refresh(actor="suite"), why="reading broke off in the middle")
            expect(origin, tmp_path, rows(1, 20), versions=1)
        with bench(origin, tmp_path) as lake:
            lake.refresh(actor="suite")
        expect(origin, tmp_path, rows(1, 60), versions=2)

    def test_law_6_ended_at_any_point_it_goes_on_to_the_same(self, origin: Origin, tmp_path: Path) -> None:
        """Ended at each named point of a write, the next refresh loses and doubles nothing."""
        last = 0
        for point in (LANDED, *POINTS):
            origin.put(rows(last + 1, 5))
            last += 5
            with bench(origin, tmp_path) as lake, interrupted(point):
                lake.refresh(actor="suite")
            with bench(origin, tmp_path) as lake:
                lake.refresh(actor="suite")
                found = lake.read("t").frame["id"].sort().to_list()
                require(found == list(range(1, last + 1)), f"ended at {point}, it then has ids {found}")
        expect(origin, tmp_path, rows(1, last), versions=len(POINTS) + 1)

    def test_another_column_waits_until_it_is_accepted(self, origin: Origin, tmp_path: Path) -> None:
        """A column nobody agreed to stops the table, by name, until somebody agrees."""
        origin.put(rows(1, 20))
        with bench(origin, tmp_path) as lake:
            lake.refresh(actor="suite")
        origin.widen()
        with bench(origin, tmp_path) as lake:
            wrong = refused(lambda: lake.refresh(actor="suite"), why="a column came that nobody agreed to")
            require("extra" in wrong.happened, f"the column is not named: {wrong.happened}")
            require(lake.head("t").version == 0, "a version was made of columns nobody agreed to")
            lake.accept_schema("t", actor="suite")
            lake.refresh(actor="suite")
            found = lake.read("t").frame
            require("extra" in found.columns and found["id"].sort().to_list() == list(range(1, 21)), f"it has {found}")
            before = lake.read("t", version=0).frame
            kept = "extra" not in before.columns or before["extra"].is_null().all()
            require(before.height == 20 and kept, f"an earlier version is not what it was: {before}")


class NarrowedSuite:
    """Laws of a source that reads only the columns wanted."""

    def test_fewer_columns_say_what_all_of_them_say(self, origin: Origin, tmp_path: Path) -> None:
        """Rows read of some columns are the rows read of all, with the others left out."""
        origin.put(rows(1, 40))
        for wanted in (("id", "at"), ("id", "at", "note"), ("id", "at", "total")):
            with bench(origin, tmp_path / "-".join(wanted), columns=wanted) as lake:
                lake.refresh(actor="suite")
                found = lake.read("t").frame.sort("id")
                has = {each for each in found.columns if not each.startswith("__")}
                require(
                    has == set(wanted) and found.select(wanted).equals(rows(1, 40).select(wanted)),
                    f"asked for {wanted}, it has {found}",
                )


class RedeliveredSuite:
    """Laws of a source to which the same can be delivered twice."""

    def test_what_is_delivered_again_is_taken_once(self, origin: Origin, tmp_path: Path) -> None:
        """The same delivery under another name adds no row."""
        origin.put(rows(1, 20))
        for _ in range(2):
            with bench(origin, tmp_path) as lake:
                lake.refresh(actor="suite")
            origin.again()
        origin.put(rows(21, 5))
        with bench(origin, tmp_path) as lake:
            lake.refresh(actor="suite")
        expect(origin, tmp_path, rows(1, 25))


class BoundedSuite:
    """Laws of memory; they take some seconds. Linux only: the peak is read from ``/proc``."""

    many: int = 2_000_000
    """Rows of the long origin, some 60 bytes each."""
    bound_mb: int = 400
    """By how much the process may grow over what it held before."""

    def test_memory_does_not_grow_with_the_rows(self, origin: Origin, tmp_path: Path) -> None:
        """The peak of memory stays below a bound, however long the table is."""
        for first in range(1, self.many, 200_000):
            origin.put(rows(first, min(200_000, self.many - first + 1)))
        with bench(origin, tmp_path) as lake:
            Path("/proc/self/clear_refs").write_text("5")
            before = _held("VmRSS")
            lake.refresh(actor="suite")
            grown = (_held("VmHWM") - before) >> 10
            require(lake.head("t").rows == self.many, "rows were lost")
        require(grown <= self.bound_mb, f"{self.many:,} rows took {grown} MB at once, more than {self.bound_mb}")


def bench(origin: Origin, folder: Path, *, columns: tuple[str, ...] = ()) -> Bench:
    """Return a lake over the one table ``t`` of an origin."""
    table = Table("t", source=origin.source(columns=columns), key="id", event_time="at", timezone="UTC")
    return Bench(folder / "project", [table], databases=origin.databases)


def expect(origin: Origin, folder: Path, wanted: pl.DataFrame, *, versions: int | None = None) -> None:
    """Require that the newest version is these rows, each once, and that everything kept of it is whole."""
    with bench(origin, folder) as lake:
        found = lake.read("t").frame.select(wanted.columns).sort("id")
        require(found.equals(wanted), f"expected {wanted}, found {found}")
        made = len(lake.history("t"))
        require(versions in (None, made), f"expected {versions} versions, there are {made}")
        bad = [each for each in [*lake.recover(), *lake.verify()] if not each.ok]
        require(not bad, f"not whole: {bad}")


def _held(word: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{word}:"):
            return int(line.split()[1])
    raise AssertionError(f"/proc/self/status has no {word}")
