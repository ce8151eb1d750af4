"""What a store of served features must do: whole commits, consistent views, every byte; and features as computed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from millstream.features.online.store import Change, OnlineStore
from millstream.testing.bench import require

if TYPE_CHECKING:
    from millstream.features import FeaturePlan
    from millstream.features.online.live import Fresh, Reading
    from millstream.lake.frame import TableFrame
    from millstream.types import Schema

_START = datetime(2024, 1, 1, tzinfo=UTC)
_VALUES = (b"", b"\x00", b"\x00\xff" * 300, bytes(range(256)) * 4096)


class OnlineOrigin(Protocol):
    """Who opens a store, empty at first."""

    def open(self, *, readonly: bool = False) -> OnlineStore:
        """Open it; what was committed before is there. For reading it may be open beside a writer."""


class OnlineStoreSuite:
    """Laws of ``millstream.features.online.OnlineStore``. Inherit, and define the fixture ``online``: its origin."""

    def test_what_is_committed_is_read_byte_for_byte(self, online: OnlineOrigin) -> None:
        """Keys of up to 511 bytes and values of any length come back as they were; a key that is not there is None."""
        store = online.open()
        sized = enumerate(zip((1, 8, 100, 511), _VALUES, strict=True))
        wanted = {bytes([place]) * size: value for place, (size, value) in sized}
        store.commit(wanted.items())
        with store.snapshot() as seen:
            for key, value in wanted.items():
                found = seen.get(key)
                require(found is not None and bytes(found) == value, f"{key[:8]!r}: {len(value)} bytes came back wrong")
            require(seen.get(b"nothing") is None, "a key nobody wrote has a value")
        store.commit([(key, None) for key in wanted] + [(b"never there", None)])
        require(store.keys(b"") == [], "deleted keys are still there")
        store.close()

    def test_a_commit_is_all_or_nothing(self, online: OnlineOrigin) -> None:
        """Changes that break off leave everything as it was."""
        store = online.open()
        store.commit([(b"a", b"1"), (b"b", b"1")])

        def breaks() -> Iterator[Change]:
            yield b"a", b"2"
            yield b"b", None
            raise KeyError("in the middle")

        try:
            store.commit(breaks())
        except KeyError:
            pass
        else:
            raise AssertionError("changes that broke off were taken for whole")
        with store.snapshot() as seen:
            require([bytes(seen.get(each) or b"") for each in (b"a", b"b")] == [b"1", b"1"], "half a commit is seen")
        store.close()

    def test_a_snapshot_sees_one_commit(self, online: OnlineOrigin) -> None:
        """What is committed while a snapshot is open is not in it, and is in the next."""
        writer, reader = online.open(), online.open(readonly=True)
        writer.commit([(b"a", b"1"), (b"b", b"1")])
        with reader.snapshot() as seen:
            first = bytes(seen.get(b"a") or b"")
            done = threading.Thread(target=writer.commit, args=([(b"a", b"2"), (b"b", b"2")],))
            done.start()
            done.join()
            require((first, bytes(seen.get(b"b") or b"")) == (b"1", b"1"), "a snapshot saw two commits")
        with reader.snapshot() as seen:
            require(bytes(seen.get(b"b") or b"") == b"2", "a commit is not seen by who reads after it")
        reader.close()
        writer.close()

    def test_readers_beside_a_writer_see_whole_commits(self, online: OnlineOrigin) -> None:
        """While one thread commits, others never see a part of a commit, nor go back in time."""
        writer, reader = online.open(), online.open(readonly=True)
        writer.commit([(b"a", b"%06d" % 0), (b"b", b"%06d" % 0)])
        wrong: list[str] = []
        stopped = threading.Event()

        def read() -> None:
            last = b""
            while not stopped.is_set() and not wrong:
                with reader.snapshot() as seen:
                    pair = bytes(seen.get(b"a") or b""), bytes(seen.get(b"b") or b"")
                if pair[0] != pair[1] or pair[0] < last:
                    wrong.append(f"{pair} after {last!r}")
                last = pair[0]

        readers = [threading.Thread(target=read) for _ in range(2)]
        for each in readers:
            each.start()
        for number in range(1, 51):
            writer.commit([(b"a", b"%06d" % number), (b"b", b"%06d" % number)])
        stopped.set()
        for each in readers:
            each.join()
        require(not wrong, f"a reader saw {wrong}")
        reader.close()
        writer.close()

    def test_keys_are_listed_by_their_first_bytes(self, online: OnlineOrigin) -> None:
        """All keys with a prefix, in order, and no other."""
        store = online.open()
        keys = [b"\x00", b"a", b"aa", b"ab\x00", b"ab\xff", b"b", b"\xff\xff", b"\xff\xff\x01"]
        store.commit([(each, b"x") for each in reversed(keys)])
        for prefix in (b"", b"a", b"ab", b"\xff", b"\xff\xff", b"c"):
            wanted = [each for each in keys if each.startswith(prefix)]
            require(store.keys(prefix) == wanted, f"{prefix!r}: {store.keys(prefix)}, not {wanted}")
        store.close()

    def test_what_was_committed_is_there_after_a_restart(self, online: OnlineOrigin) -> None:
        """Closing and opening loses nothing."""
        store = online.open()
        store.commit([(b"a", b"1"), (b"b", b"2")])
        store.commit([(b"a", None), (b"c", b"3")])
        store.close()
        again = online.open()
        with again.snapshot() as seen:
            found = {key: bytes(seen.get(key) or b"") for key in again.keys(b"")}
        require(found == {b"b": b"2", b"c": b"3"}, f"after a restart it has {found}")
        again.close()

    def test_features_are_served_as_they_are_computed(self, online: OnlineOrigin) -> None:
        """Refreshed, then kept current fact by fact, then read by another: always what a point-in-time read says."""
        from millstream.features.online.live import Live
        from millstream.features.online.writer import Writer

        plan, facts = _plan(), _Facts()
        store, reader = online.open(), online.open(readonly=True)
        live, now = Live(Writer(store), facts), _START + timedelta(hours=2)
        facts.post((1, "a", 0, 1.0), (2, "b", 10, 2.5))
        live.refresh([plan], pins={"facts": 1}, now=now)
        _agree(plan, reader, facts)
        facts.post((3, "a", 30, 4.0), (4, "c", 50, None))
        live.catch_up([plan], now=now)
        _agree(plan, reader, facts)
        facts.post((1, "b", 0, 8.0), (5, "a", -9000, 3.0))  # it was b's; and one comes days late
        live.catch_up([plan], now=now)
        _agree(plan, reader, facts)
        reader.close()
        store.close()


class _Facts:
    """Facts in memory, each with its number, entity, minute and value; a row is known when it happens."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, int, float | None]] = []

    def post(self, *rows: tuple[int, str, int, float | None]) -> None:
        self.rows += rows

    def frame(self, start: int = 0) -> TableFrame:
        import polars as pl

        from millstream.lake.frame import TableFrame

        instant = pl.Datetime("us", "UTC")
        rows = [(*row[:2], _START + timedelta(minutes=row[2]), row[3]) for row in self.rows[start:]]
        frame = pl.DataFrame(rows, {"id": pl.Int64, "who": pl.String, "at": instant, "x": pl.Float64}, orient="row")
        schema: Schema = {"id": "bigint", "who": "varchar", "at": "timestamptz", "x": "double"}
        return TableFrame(
            "facts",
            1,
            frame.with_columns(k=pl.col("at")),
            schema,
            ("id",),
            "at",
            dict.fromkeys(schema, "k"),
        )

    def read(self, table: str, since: datetime | None, until: datetime | None, version: int) -> Reading:
        from millstream.features.online.live import Reading

        return Reading(self.frame(), len(self.rows), 0)

    def fresh(self, table: str, *, after: int, limit: int) -> Fresh | None:
        from millstream.features.online.live import Fresh

        rows = self.frame(after).frame
        return Fresh(rows, rows.select("id").clear(), len(self.rows)) if rows.height else None

    def same(self, table: str, applied: object, version: int) -> bool:
        return True


def _plan() -> FeaturePlan:
    from millstream.expressions import parse
    from millstream.features.plan import FeatureColumn, FeaturePlan, ViewPlan, WindowPlan

    value = parse("x", {"x": "double"}, where="x")
    features = {
        "n": WindowPlan("count", None, None, "bigint"),
        "sum_1h": WindowPlan("sum", value, 3_600_000_000, "double"),
        "last": WindowPlan("last", value, None, "double"),
        "max_2h": WindowPlan("max", value, 7_200_000_000, "double"),
    }
    view = ViewPlan("v", "facts", ("who",), ("varchar",), ("who",), features)
    columns = tuple(FeatureColumn(f"v.{name}", each.dtype) for name, each in features.items())
    return FeaturePlan("m", "asks", ("row",), columns, (view,), {}, {}, None, None, None, None)


def _agree(plan: FeaturePlan, store: OnlineStore, facts: _Facts) -> None:
    import polars as pl

    from millstream.features import point_in_time
    from millstream.features.online.lookup import Lookup
    from millstream.types import to_micros

    instants = [_START + timedelta(minutes=each) for each in (111, 119, 120, 129, 130, 150, 240)]
    asks = [(who, at) for who in ("a", "b", "c", "nobody") for at in instants]
    rows = pl.DataFrame(asks, {"who": pl.String, "decided_at": pl.Datetime("us", "UTC")}, orient="row")
    table = replace(facts.frame(), version=1)
    wanted = point_in_time(plan, rows.with_columns(row=pl.int_range(pl.len())), {"facts": table}).select(plan.names)
    lookup = Lookup(plan, store)
    for (who, at), said in zip(asks, wanted.rows(), strict=True):
        found = [None if each != each else each for each in lookup.lookup_one({"who": who}, to_micros(at))]
        require(found == list(said), f"{who} at {at}: served {found}, computed {said}")
