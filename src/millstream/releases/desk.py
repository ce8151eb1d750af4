"""What every act on releases needs at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from millstream.errors import UserError
from millstream.ledger import Ledger
from millstream.releases.fault import Fault, no_fault
from millstream.releases.verify import Release, open_release
from millstream.settings import Places
from millstream.state import State, releases
from millstream.state.releases import ReleaseRow
from millstream.types import Clock


@dataclass(frozen=True)
class Desk:
    """The project's places, state, ledger and clock, and the fault points of tests."""

    places: Places
    state: State
    ledger: Ledger
    clock: Clock
    fault: Fault = no_fault

    def now(self) -> str:
        """Return the instant by the project's clock, ISO 8601."""
        return self.clock.now().isoformat()

    def open(self, row: ReleaseRow) -> Release:
        """Verify the bundle of a registered release; it must be the very one that was registered."""
        return open_release(Path(row.path), self.places.keys, expected=row.id)

    def row(self, release: Release | ReleaseRow | str) -> ReleaseRow:
        """Find a release by record or id."""
        return releases.get(self.state, release if isinstance(release, str) else release.id)


def named(who: str, what: str) -> str:
    """Insist on a name or reason; return it without blanks around."""
    said = who.strip()
    if not said:
        raise UserError(f"{what} is empty", expected="a few words that can be kept in the ledger")
    return said
