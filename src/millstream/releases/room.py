"""The releases of a project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from millstream.errors import IntegrityError
from millstream.ledger import Ledger
from millstream.releases import approval, bundle, outbox, rehearsal
from millstream.releases import swap as swap_
from millstream.releases.desk import Desk
from millstream.releases.fault import Fault, from_environment
from millstream.releases.notes import add_note
from millstream.releases.outbox import Finding, Handler
from millstream.releases.records import against_ledger
from millstream.releases.rehearsal import Rehearsal, Score
from millstream.releases.swap import Swap
from millstream.releases.verify import Release
from millstream.settings import Places
from millstream.state import State, pointer, releases
from millstream.state.decisions import Decision
from millstream.state.notes import Note
from millstream.state.releases import ReleaseRow
from millstream.types import Clock


class Releases:
    """Builds releases, rehearses them, asks about them, puts them live and takes them back.

    Every method that changes something appends one ledger row in the same transaction.

    Parameters
    ----------
    places, state, ledger, clock
        The project's.
    fault
        Called with the name of each step; by default kills the process at the step ``MILLSTREAM_FAULT`` names.
    """

    def __init__(
        self, places: Places, *, state: State, ledger: Ledger, clock: Clock, fault: Fault | None = None
    ) -> None:
        self._desk = Desk(places, state, ledger, clock, fault or from_environment())

    def build(
        self,
        artifact: Path,
        *,
        actor: str,
        trained_by: str,
        note: str = "",
        model_version: int | None = None,
        code: Mapping[str, str] | None = None,
    ) -> Release:
        """Bundle an artifact folder, sign it and register it as a candidate; see ``bundle.build``."""
        return bundle.build(
            self._desk,
            artifact,
            actor=actor,
            trained_by=trained_by,
            note=note,
            model_version=model_version,
            code=code,
        )

    def open(self, release: ReleaseRow | str) -> Release:
        """Verify the bundle of a registered release, by record or id."""
        return self._desk.open(self._desk.row(release))

    def live(self, model: str) -> ReleaseRow | None:
        """Return the live release of a model."""
        now = pointer.get(self._desk.state, model)
        return releases.get(self._desk.state, now.release) if now.release else None

    def named(self, model: str, version: int) -> ReleaseRow:
        """Return a release by model and version number."""
        return releases.named(self._desk.state, model, version)

    def history(self, model: str | None = None) -> list[ReleaseRow]:
        """List releases, newest first."""
        return releases.history(self._desk.state, model)

    def rehearse(self, release: Release, score: Score, *, actor: str) -> Rehearsal:
        """Rehearse swapping to a release and rolling back to what is live now, and keep how it went."""
        live = self.live(release.model)
        previous = self._desk.open(live) if live is not None else None
        went = rehearsal.rehearse(release, previous, score)
        return rehearsal.record(self._desk, release, went, actor=actor)

    def ask(self, release: Release | ReleaseRow | str, verdict: Mapping[str, Any], *, actor: str) -> Decision:
        """Ask a person to approve a release; see ``approval.ask``."""
        return approval.ask(self._desk, release, verdict, actor=actor)

    def decide(
        self, decision_id: int | str, approve: bool, *, by: str, reason: str, simulated: bool = False,
        before: Callable[[ReleaseRow], object] | None = None,
    ) -> Decision:  # fmt: skip
        """Answer a question about a release; see ``approval.decide``."""
        return approval.decide(
            self._desk, decision_id, approve, by=by, reason=reason, simulated=simulated, before=before
        )

    def note(self, decision: int, text: str, *, by: str) -> Note:
        """Keep a note with a decision; see ``notes.add_note``."""
        return add_note(self._desk, decision, text, by=by)

    def swap(
        self,
        model: str,
        release: Release | ReleaseRow | str,
        *,
        actor: str,
        reason: str,
        expected_generation: int | None = None,
        wait_s: float = 10.0,
    ) -> Swap:
        """Put an approved, rehearsed release live and wait for the servers; see ``swap.swap``."""
        return swap_.swap(
            self._desk,
            model,
            release,
            actor=actor,
            reason=reason,
            expected_generation=expected_generation,
            wait_s=wait_s,
        )

    def rollback(self, model: str, *, actor: str, reason: str, to: int | None = None, wait_s: float = 10.0) -> Swap:
        """Put a release back that was live before and wait for the servers; see ``swap.rollback``."""
        return swap_.rollback(self._desk, model, actor=actor, reason=reason, to=to, wait_s=wait_s)

    def project(self, handlers: Mapping[str, Handler]) -> int:
        """Tell other systems what they do not know yet; return how many entries are done now."""
        return outbox.project_outbox(self._desk.state, handlers, clock=self._desk.clock)

    def reconcile(self, champion_of: Callable[[str], int | None]) -> list[Finding]:
        """Compare the registry's champion aliases with what is live; see ``outbox.reconcile``."""
        return outbox.reconcile(self._desk.state, champion_of)

    def realign(self, model: str, *, actor: str, reason: str) -> int:
        """Put the champion alias back to what is live, by way of the outbox."""
        return outbox.realign(self._desk, model, actor=actor, reason=reason)

    def verify(self) -> list[Finding]:
        """Open every release; compare pointers with statuses, folders with rows, and rows with the ledger."""
        state, root = self._desk.state, self._desk.places.releases
        rows = releases.history(state)
        found = [self._whole(each) for each in rows]
        live = {each.id for each in rows if each.status == "live"}
        pointed = {each.release for each in pointer.all(state) if each.release}
        found += [
            Finding(False, f"release {each[:12]}", "is live by its status or by the pointer, but not by both")
            for each in sorted(live ^ pointed)
        ]
        folders = {each.name for each in root.iterdir() if not each.name.startswith(".")} if root.is_dir() else set()
        found += [
            Finding(True, f"release {each[:12]}", "lies there without a row: its build was stopped; nothing uses it")
            for each in sorted(folders - {each.id for each in rows})
        ]
        return found + self.against_ledger()

    def against_ledger(self) -> list[Finding]:
        """Compare decisions, releases and pointers with the ledger; see ``records.against_ledger``."""
        return against_ledger(self._desk)

    def _whole(self, row: ReleaseRow) -> Finding:
        try:
            opened = self._desk.open(row)
        except IntegrityError as wrong:
            return Finding(False, row.name, wrong.happened)
        return Finding(True, row.name, f"{len(opened.said.files)} files as signed with key {opened.key}")
