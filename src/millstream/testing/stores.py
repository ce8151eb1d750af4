"""What a store of delivered files must do: list what matches, tell when a file changed, open one, say what is wrong."""

from __future__ import annotations

from typing import Protocol

from millstream.sources.stores import Store
from millstream.testing.bench import refused, require

_PARTS = (
    "in/day=2024-01-01/a.csv",
    "in/day=2024-01-02/a.csv",
    "in/day=2024-01-02/b.csv",
    "in/deep/er/c.csv",
    "out/a.csv",
)


class StoreOrigin(Protocol):
    """Who writes into a store."""

    def store(self, pattern: str) -> Store:
        """Return the store, for a key or a glob below its root."""

    def put(self, key: str, body: bytes) -> None:
        """Write a file whole, in place of one that is there."""

    def remove(self, key: str) -> None:
        """Take a file away."""


class StoreSuite:
    """Laws of ``millstream.sources.stores.Store``. Inherit, and define the fixture ``stock``, a new ``StoreOrigin``."""

    def test_what_matches_is_listed_by_path(self, stock: StoreOrigin) -> None:
        """A glob lists what matches and nothing else: ``*`` stays in a folder, ``**/`` is any."""
        for number, key in enumerate(reversed(_PARTS)):
            stock.put(key, b"x" * (number + 1))
        for pattern, wanted in (
            ("in/day=*/*.csv", _PARTS[:3]),
            ("in/day=*/a.csv", _PARTS[:2]),
            ("in/**/*.csv", _PARTS[:4]),
            ("in/*.csv", ()),
            ("out/a.csv", _PARTS[4:]),
        ):
            if not wanted:
                refused(lambda pattern=pattern: stock.store(pattern).entries(where="t"), why="nothing matches")  # type: ignore[misc]
                continue
            found = stock.store(pattern).entries(where="t")
            paths = [each.path for each in found]
            ends = len(paths) == len(wanted) and all(
                path.endswith(each) for path, each in zip(paths, wanted, strict=True)
            )
            require(ends, f"{pattern} should be {wanted}, is {paths}")
            sizes = [5 - _PARTS.index(each) for each in wanted]
            require([each.size for each in found] == sizes, f"sizes should be {sizes}, are {found}")
            require(all(each.at.tzinfo is not None for each in found), "an instant without a zone")

    def test_what_is_not_there_is_told_with_what_lies_near(self, stock: StoreOrigin) -> None:
        """A name that is not there is an error that names what lies near."""
        stock.put("in/sales.csv", b"x")
        wrong = refused(lambda: stock.store("in/slaes.csv").entries(where="table 't'"), why="there is no such file")
        require("slaes.csv" in wrong.happened and "table 't'" in wrong.happened, wrong.happened)
        require("sales.csv" in str(wrong), f"what lies near is not named: {wrong}")

    def test_a_file_that_is_written_again_has_another_stamp_and_else_the_same(self, stock: StoreOrigin) -> None:
        """A stamp changes when a file is written, and at no other time."""
        stock.put("in/a.csv", b"n\n1\n")
        store = stock.store("in/*.csv")
        first = store.entries(where="t")[0]
        require(store.entries(where="t")[0] == first, "listed twice, a file differs from itself")
        require(store.look(first) == first, "looked at, a file differs from its entry in the list")
        stock.put("in/a.csv", b"n\n2\n")
        second = store.look(first)
        require(second is not None and second.stamp != first.stamp, "written with as many bytes, it looks unchanged")
        stock.remove("in/a.csv")
        require(store.look(first) is None, "a file that is gone is still seen")

    def test_a_file_is_read_from_its_start_as_often_as_wanted(self, stock: StoreOrigin) -> None:
        """Every byte comes, in pieces of any size, each time."""
        body = bytes(range(256)) * 20_000
        stock.put("in/a.bin", body)
        store = stock.store("in/a.bin")
        entry = store.entries(where="t")[0]
        require(entry.size == len(body), f"its size is {entry.size}")
        for _ in range(2):
            with store.open(entry) as opened:
                made = b"".join(iter(lambda: opened.read(70_001), b""))
            require(made == body, "other bytes came than were put")

    def test_a_file_that_is_gone_cannot_be_opened(self, stock: StoreOrigin) -> None:
        """A file that went between listing and opening is ``FileNotFoundError``."""
        stock.put("in/a.csv", b"n\n1\n")
        store = stock.store("in/a.csv")
        entry = store.entries(where="t")[0]
        stock.remove("in/a.csv")
        try:
            store.open(entry).read()
        except FileNotFoundError:
            return
        raise AssertionError("a file that is gone was opened, or by another error than FileNotFoundError")
