"""A small project in a folder, opened anew as often as wanted; and how a suite says what is not as it must be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from millstream.definitions.manifest import gather
from millstream.definitions.table import Table
from millstream.errors import MillstreamError
from millstream.ledger import Ledger
from millstream.settings import Settings, places
from millstream.state import State

if TYPE_CHECKING:
    from types import TracebackType

    from millstream.lake import Lake


@dataclass
class Told:
    """A clock that stands until it is told another instant."""

    at: datetime = field(default_factory=lambda: datetime(2030, 1, 1, tzinfo=UTC))

    def now(self) -> datetime:
        """Return the instant it was told last."""
        return self.at


class Bench:
    """A lake over tables, in a folder; entering opens everything, leaving closes it, so twice is a restart.

    Parameters
    ----------
    root
        The folder; made where it is not there.
    tables
        What the lake holds.
    databases
        Name to address, as under ``[databases]`` of ``millstream.toml``.
    clock
        What time it is; stands at 2030-01-01 unless said.
    """

    def __init__(
        self,
        root: Path,
        tables: Iterable[Table] = (),
        *,
        databases: Mapping[str, str] | None = None,
        clock: Told | None = None,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.tables = list(tables)
        self.clock = clock or Told()
        self.places = msgspec.structs.replace(places(root, Settings()), databases=dict(databases or {}))

    def __enter__(self) -> Lake:
        from millstream.lake import Lake

        self.state = State(self.places.state_db)
        self.ledger = Ledger(self.state, self.clock)
        return Lake(gather(self.tables), self.places, state=self.state, ledger=self.ledger, clock=self.clock)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.state.close()


def require(holds: bool, says: str) -> None:
    """Fail the test where something does not hold.

    Raises
    ------
    AssertionError
        With what must hold.
    """
    if not holds:
        raise AssertionError(says)


def refused(act: Callable[[], object], *, why: str) -> MillstreamError:
    """Return the error by which something is refused.

    Raises
    ------
    AssertionError
        When it is not refused, or by an error that is nobody's to read.
    """
    try:
        act()
    except MillstreamError as wrong:
        require(bool(wrong.happened) and bool(wrong.expected or wrong.do), f"an error that helps nobody: {wrong!r}")
        return wrong
    raise AssertionError(f"not refused, although {why}")
