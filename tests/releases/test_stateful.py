"""Whatever people do in whatever order, the room agrees with a model of it that fits on a page."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from millstream.errors import Conflict, NotFound, Refused
from millstream.state import decisions, pointer
from tests.releases.conftest import MEMORY
from tests.releases.made import House, constant

PEOPLE = ("ann", "bob", "Ann ")


class Room(RuleBasedStateMachine):
    """The model: a status for each release, and a stack of what was live."""

    versions = Bundle("versions")

    @initialize()
    def begin(self):
        self.root = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.house = House(self.root / "mill")
        self.releases = self.house.releases
        self.status, self.trainer, self.against, self.waiting = {}, {}, {}, {}
        self.stack, self.generation, self.below = [], 0, {}

    def teardown(self):
        if hasattr(self, "house"):
            self.house.close()
            shutil.rmtree(self.root, ignore_errors=True)

    def live(self):
        return self.stack[-1] if self.stack else None

    def row(self, version):
        return self.releases.named("late", version)

    @rule(target=versions, by=st.sampled_from(PEOPLE))
    def build(self, by):
        number = len(self.status) + 1
        artifact = self.house.artifact(number / 100)
        assert self.releases.build(artifact, actor="ci", trained_by=by).version == number
        self.status[number], self.trainer[number], self.against[number] = "candidate", by, None
        return number

    @rule(version=versions)
    def rehearse(self, version):
        against = self.live() or "baseline"
        assert self.releases.rehearse(self.releases.open(self.row(version)), constant, actor="ci").ok
        if self.status[version] == "approved" and self.against[version] not in (None, against):
            self.status[version] = "candidate"
        self.against[version] = against

    @rule(version=versions)
    def ask(self, version):
        asked = self.releases.ask(self.row(version), {}, actor="ci")
        if self.status[version] in ("approved", "live") and version not in self.waiting:
            assert asked.status == "approved"
            return
        if version in self.waiting:
            assert asked.id == self.waiting[version]
            return
        self.waiting[version], self.status[version] = asked.id, "candidate"

    @rule(version=versions, by=st.sampled_from((*PEOPLE, "ci", "system:loop")), approve=st.booleans())
    def decide(self, version, by, approve):
        if version not in self.waiting:
            return
        own = by.strip().lower() in (self.trainer[version].strip().lower(), "ci", "system:loop")
        if approve and own:
            with pytest.raises(Refused):
                self.releases.decide(self.waiting[version], True, by=by, reason="r")
            return
        self.releases.decide(self.waiting[version], approve, by=by, reason="r")
        with pytest.raises(Conflict):
            self.releases.decide(self.waiting.pop(version), approve, by="zoe", reason="r")
        self.status[version] = "approved" if approve else "rejected"

    @rule(version=versions, late=st.integers(0, 1))
    def swap(self, version, late):
        """Release; sometimes having looked at the pointer before its last move."""
        expected = max(0, self.generation - late)
        ready = self.status[version] == "approved" and self.against[version] == (self.live() or "baseline")
        if expected != self.generation or not ready:
            with pytest.raises((Refused, Conflict)):
                self.releases.swap("late", self.row(version), expected_generation=expected, actor="bob", reason="r")
            return
        self.releases.swap("late", self.row(version), expected_generation=expected, actor="bob", reason="r")
        self._went_live(version, [*self.stack, version])

    @rule()
    def roll_back(self):
        if len(self.stack) < 2:
            with pytest.raises(NotFound):
                self.releases.rollback("late", actor="bob", reason="r")
            return
        self.releases.rollback("late", actor="bob", reason="r")
        self._went_live(self.stack[-2], self.below[self.stack[-2]])

    @rule(version=versions)
    def roll_back_to(self, version):
        if version not in self.below or version == self.live():
            with pytest.raises((Refused, Conflict, NotFound)):
                self.releases.rollback("late", to=version, actor="bob", reason="r")
            return
        self.releases.rollback("late", to=version, actor="bob", reason="r")
        self._went_live(version, self.below[version])

    def _went_live(self, version, stack):
        if self.live() is not None:
            self.status[self.live()] = "retired"
        self.stack = self.below[version] = stack
        self.status[version] = "live"
        self.generation += 1

    @invariant()
    def agrees(self):
        if not hasattr(self, "house"):
            return
        state = self.house.state
        at = pointer.get(state, "late")
        number = {each.id: each.version for each in self.releases.history("late")}
        assert at.generation == self.generation
        assert number.get(at.release) == self.live()
        assert number.get(at.previous) == (self.stack[-2] if len(self.stack) > 1 else None)
        assert {each.version: each.status for each in self.releases.history("late")} == self.status
        assert {number[each.release]: each.id for each in decisions.waiting(state)} == self.waiting
        assert self.house.ledger.verify().ok


Room.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRoom = Room.TestCase
