"""Prove the answers of a span: find them, compute their vectors again claim by claim, and explain what differs."""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from millstream.errors import BadData, MillstreamError
from millstream.features.online import layout
from millstream.project.answering import answers as kept_answers
from millstream.project.parity.folded import arrivals, families
from millstream.project.parity.posted import with_posted
from millstream.project.parity.proof import SHOWN, Difference, Proof, count
from millstream.serving import models, records
from millstream.serving.digest import digest
from millstream.serving.records import Logged, Prediction
from millstream.state import posted as posted_rows
from millstream.state import releases as rows
from millstream.state import segments
from millstream.types import from_micros, parse_instant, to_micros

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.lake.frame import TableFrame
    from millstream.monitoring.parity import Cause, Recompute, Stack, State
    from millstream.project.root import Project

_SLACK = timedelta(days=2)
"""A segment is sealed by the project's clock, and a replay is asked a little ahead of it."""
_TABLES = 12
"""Table versions held at once."""
_OTHERS = 5
"""Other releases whose definitions are tried for a cause."""
_BATCH = 100_000
"""Answers in memory at once, some 400 MB."""
_EXPLAINED = 500
"""Answers of one claim whose cause is looked for; more are counted as unknown."""
_ZONE = re.compile(r"time zone '([^']+)'", re.IGNORECASE)


class Released(NamedTuple):
    """One release as it is proved by: its own plan and model, from its signed bundle."""

    name: str
    plan: FeaturePlan
    recompute: Recompute
    categories: dict[str, list[str]]


class Prover:
    """Proves answers of one model; keeps tables and releases between claims.

    Parameters
    ----------
    project, model
        Whose answers.
    """

    def __init__(self, project: Project, model: str) -> None:
        self.project, self.model = project, model
        self._released: dict[str, Released] = {}
        self._unread: dict[str, int] = {}
        self._tables: OrderedDict[tuple[State, bool], TableFrame] = OrderedDict()
        self._versions: dict[str, list[tuple[int, datetime]]] = {}
        self.told: set[str] = set()
        """Ids of the answers that were found to differ: their cause is told, and no other is to be guessed."""

    def batches(self, since: datetime, until: datetime) -> Iterator[list[Logged]]:
        """Yield the model's answers of a half-open span, a bounded number at a time."""
        first, end = to_micros(since), to_micros(until)
        some: list[Logged] = []
        for each in self._kept(since):
            said = each.prediction
            if said is not None and said.model == self.model and first <= said.at_us < end:
                some.append(each)
                if len(some) >= _BATCH:
                    yield some
                    some = []
        if some:
            yield some

    def _kept(self, since: datetime) -> Iterator[Logged]:
        """Yield what was logged from an instant on: of sealed segments only those that may hold it."""
        sealed = {each.name: each for each in segments.all(self.project.state) if each.lake_version is not None}
        for each in sealed.values():
            if each.lake_version is None or parse_instant(each.sealed_at) < since - _SLACK:
                continue
            try:
                yield from kept_answers.of_commit(self.project, each.lake_version)
            except MillstreamError as wrong:  # verify names it; the answers of other segments are proved
                self._unread[f"answers that were sealed cannot be read: {wrong.happened}"] = each.records
        for path in records.segments(*kept_answers.folders(self.project)):
            if path.name not in sealed:
                yield from self.project.marks.since(path, to_micros(since))

    def prove(
        self, since: datetime, until: datetime, logged: Sequence[Logged] | None = None, *, look: bool = True
    ) -> Proof:
        """Prove every answer of a half-open span, or those given of it; ``look`` at what training sees today too."""
        proof = Proof(model=self.model, since=since.isoformat(), until=until.isoformat())
        for some in self.batches(since, until) if logged is None else [list(logged)]:
            for release, mine in self._provable(proof, some).items():
                self._of_release(proof, release, mine, look=look)
        proof.unproved |= self._unread
        proof.differences.sort(key=lambda each: (each.at, each.id, each.feature))
        return proof

    def _of_release(self, proof: Proof, release: str, logged: list[Logged], *, look: bool) -> None:
        """Prove answers of one release, together those that named the same versions."""
        from millstream.project.parity.hindsight import look_back

        try:
            released = self.released(release)
        except MillstreamError as wrong:
            count(proof.unproved, wrong.happened, len(logged))
            return
        claims: dict[tuple[tuple[str, int], ...], list[Logged]] = {}
        for each in logged:
            claims.setdefault(tuple(sorted(_said(each).applied.items())), []).append(each)
        for family in families(claims):
            for claim in self._folded(proof, released, family):
                self._claim(proof, released, claim)
        if look:
            look_back(self, proof, released, logged)

    def _provable(self, proof: Proof, logged: Sequence[Logged]) -> dict[str, list[Logged]]:
        """Count the answers, and return those that have looked up features, by release."""
        found: dict[str, list[Logged]] = {}
        for each in logged:
            said = _said(each)
            proof.answers += 1
            count(proof.answered_by, said.answered_by)
            why = _no_features(said)
            if why:
                count(proof.apart, why)
            else:
                found.setdefault(said.release, []).append(each)
        return found

    def released(self, release: str) -> Released:
        """Open a release.

        Raises
        ------
        MillstreamError
            When it is not there, or not as it was signed.
        """
        from millstream.features.plan import FeaturePlan
        from millstream.monitoring.parity import Recompute

        if release not in self._released:
            row = rows.get(self.project.state, release)
            opened = self.project.releases.open(row)  # every file as signed, or nothing is proved by it
            plan = FeaturePlan.decode(opened.read("plan.json"))
            file = models.read_model(models.read_from(Path(row.path)))
            recompute = Recompute(plan, file.features, file.categories, self.read, self.project.engine)
            known = {name: list(texts) for name, texts in file.categories.items()}
            self._released[release] = Released(row.name, plan, recompute, known)
        return self._released[release]

    def opened(self) -> list[Released]:
        """Return the releases that answers were proved by."""
        return list(self._released.values())

    def read(self, state: State, trusted: bool) -> TableFrame:
        """Read a table whole in a state, and keep it for the next claim."""
        place = (state, trusted)
        if place not in self._tables:
            rows = self.project.lake.read(state.table, version=state.version, trusted=trusted)
            self._tables[place] = with_posted(self.project, rows, state.posted, state.arrived) if state.posted else rows
            if len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(place)
        return self._tables[place]

    def versions(self, table: str) -> list[tuple[int, datetime]]:
        """List a table's versions, ascending, with when the lake had each."""
        if table not in self._versions:
            history = self.project.lake.history(table)
            self._versions[table] = sorted((each.version, parse_instant(each.registered_at)) for each in history)
        return self._versions[table]

    def _folded(self, proof: Proof, released: Released, family: list[list[Logged]]) -> list[list[Logged]]:
        """Prove answers that differ in what was posted alone, in one go; return the claims that this does not prove."""
        from millstream.monitoring.parity import How, compare, summed
        from millstream.monitoring.parity.recompute import served

        arrived, apart = arrivals(family)
        together = [claim for place, claim in enumerate(family) if place not in apart]
        if len(together) < 2 or released.plan.ranking is not None:
            return family
        said = [_said(each) for claim in together for each in claim]
        width = len(released.recompute.features)
        named = {f"{table}{layout.POSTED}": steps[-1][0] for table, steps in arrived.items()}
        try:
            again = released.recompute.stack(said, How({**said[0].applied, **named}, arrived=arrived))
        except MillstreamError:
            return family
        if any(len(each.features) != 8 * width for each in said):
            return family
        mine = served(said, width)
        held = compare(mine.values, again.values, summed(released.plan, released.recompute.features))
        unlike, inexact = ({int(each) for each in mine.owner[~found.all(axis=1)]} for found in (held.close, held.same))
        rest, start = [family[place] for place in sorted(apart)], 0
        for claim in together:
            places = range(start, start := start + len(claim))
            if not unlike.isdisjoint(places) or any(_is_altered(_said(each)) for each in claim):
                rest.append(claim)
                continue
            for each in claim:
                self._altered(proof, _said(each))
            proof.claims += 1
            proof.compared += len(claim)
            proof.equal += len(claim)
            proof.rounded += len(inexact.intersection(places))
        return rest

    def _claim(self, proof: Proof, released: Released, logged: list[Logged]) -> None:
        """Prove the answers that named the same versions."""
        from millstream.monitoring.parity import compare, summed
        from millstream.monitoring.parity.recompute import served

        said = [_said(each) for each in logged]
        try:
            again = released.recompute.stack(said)
        except MillstreamError as wrong:
            if isinstance(wrong, BadData) and len(logged) > 1:  # one row that cannot be read hides no other
                half = len(logged) // 2
                self._claim(proof, released, logged[:half])
                self._claim(proof, released, logged[half:])
                return
            count(proof.unproved, wrong.happened, len(logged))
            return
        width = len(released.recompute.features)
        fits = [
            len(each.features) == 8 * width * rows_of
            for each, rows_of in zip(said, _rows(again, len(said)), strict=True)
        ]
        if not all(fits):
            self._misfits(proof, released, logged, fits)
            return
        mine = served(said, width)
        held = compare(mine.values, again.values, summed(released.plan, released.recompute.features))
        bad = sorted({int(each) for each in mine.owner[~held.close.all(axis=1)]})
        rounded = {int(each) for each in mine.owner[~held.same.all(axis=1)]} - set(bad)
        altered = {place for place, each in enumerate(said) if self._altered(proof, each)}
        proof.claims += 1
        proof.compared += len(said)
        proof.rounded += len(rounded - altered)
        wrong_ones = sorted({*bad, *altered})
        self.told.update(logged[place].id for place in wrong_ones)
        proof.different += len(wrong_ones)
        proof.equal += len(said) - len(wrong_ones)
        if wrong_ones:
            self._differences(proof, released, logged, (mine, again), bad=bad, altered=altered)

    def _misfits(self, proof: Proof, released: Released, logged: list[Logged], fits: list[bool]) -> None:
        """Count vectors that are not of their release's length, and prove the others."""
        count(proof.unproved, "a vector has not as many values as its release has features", fits.count(False))
        rest = [each for each, fit in zip(logged, fits, strict=True) if fit]
        if rest:
            self._claim(proof, released, rest)

    def _altered(self, proof: Proof, said: Prediction) -> bool:
        """Say whether a record holds something else than its digest was taken of."""
        if not said.digest:
            count(proof.digests, "none")
            return False
        altered = _is_altered(said)
        count(proof.digests, "altered" if altered else "held")
        return altered

    def _differences(
        self,
        proof: Proof,
        released: Released,
        logged: list[Logged],
        stacks: tuple[Stack, Stack],
        *,
        bad: list[int],
        altered: set[int],
    ) -> None:
        """Write down each value that differs, with its cause."""
        from millstream.monitoring.parity import Cause, explain
        from millstream.monitoring.parity.causes import RECORD, UNKNOWN

        said = [_said(each) for each in logged]
        asked = [each for each in bad if each not in altered][:_EXPLAINED]
        causes = explain(released.recompute, said, stacks, asked, evidence=self.evidence(released)) if asked else {}
        for place in sorted({*bad, *altered}):
            alike = _values(stacks, place, released)
            if place in altered:
                right = said[place].digest == _digest_of(
                    said[place], stacks[1].values[stacks[1].owner == place].tobytes()
                )
                why = "; what left was right" if right else ""
                names = tuple(dict.fromkeys(name for name, *_ in alike)) or ("",)
                found = [Cause(names, RECORD, f"the record is not what its digest was taken of{why}")]
            else:
                left = tuple(dict.fromkeys(name for name, *_ in alike))
                found = causes.get(place) or [
                    Cause(left, UNKNOWN, "one of many that differ: its cause was not looked for")
                ]
            for cause in dict.fromkeys(each.cause for each in found):
                count(proof.causes, cause)
            for name in dict.fromkeys(name for each in found for name in each.features):
                count(proof.features, name)
            told = _told(logged[place], released, alike, found)
            proof.differences += told[: max(0, SHOWN - len(proof.differences))]

    def evidence(self, released: Released) -> Any:
        """Gather what is tried for a cause."""
        from millstream.monitoring.parity import Evidence

        def versions(table: str) -> list[int]:
            return [version for version, _ in self.versions(table)]

        def posted(table: str) -> int:
            return posted_rows.last(self.project.state, table)

        return Evidence(versions, posted, self._zones(released.plan), self._plans)

    def _zones(self, plan: FeaturePlan) -> list[str]:
        manifest, names = self.project.manifest, (plan.rows_table, *plan.tables)
        zones = [self.project.settings.timezone]
        zones += [zone for name in names if name in manifest.tables and (zone := manifest.tables[name].timezone)]
        texts = [each.text for each in (*plan.request_features.values(), *plan.combined.values())]
        texts += [each.value.text for view in plan.views for each in view.features.values() if each.value is not None]
        return sorted({*zones, *(zone for text in texts for zone in _ZONE.findall(text))})

    @cached_property
    def _plans(self) -> list[tuple[str, FeaturePlan]]:
        """Definitions other than a release's own: those in the folder now, and those of the last releases."""
        from millstream.features.plan import FeaturePlan
        from millstream.project.models.learn import plan

        found: list[tuple[str, FeaturePlan]] = []
        with contextlib.suppress(MillstreamError):
            found.append(("the project's folder now", plan(self.project, self.model)))
        for row in rows.history(self.project.state, self.model, limit=_OTHERS):
            try:
                found.append((row.name, FeaturePlan.decode(self.project.releases.open(row).read("plan.json"))))
            except MillstreamError:
                continue
        return found


def _told(
    logged: Logged, released: Released, alike: list[tuple[str, Any, Any, Any]], found: Sequence[Cause]
) -> list[Difference]:
    said = _said(logged)
    causes = {name: each for each in found for name in each.features}
    shown = [(name, item, one, other) for name, item, one, other in alike if name in causes]
    return [
        Difference(
            id=logged.id,
            at=from_micros(said.at_us).isoformat(),
            key=dict(said.key),
            release=released.name,
            feature=name,
            item=item,
            served=one,
            recomputed=other,
            cause=causes[name].cause,
            says=causes[name].says,
            also=causes[name].also,
        )
        for name, item, one, other in shown or [(next(iter(causes)), None, None, None)]
    ]


def _values(stacks: tuple[Stack, Stack], place: int, released: Released) -> list[tuple[str, Any, Any, Any]]:
    """List the values of one answer that differ: feature, number of the item, served and recomputed."""
    from millstream.monitoring.parity import compare, summed

    mine = stacks[0].owner == place
    served, again = stacks[0].values[mine], stacks[1].values[mine]
    wrong = ~compare(served, again, summed(released.plan, released.recompute.features)).close
    several = len(served) > 1
    return [
        (
            name := released.recompute.features[column],
            row if several else None,
            _shown(served[row, column], released.categories.get(name)),
            _shown(again[row, column], released.categories.get(name)),
        )
        for row, column in zip(*(each.tolist() for each in wrong.nonzero()), strict=True)
    ]


def _shown(value: float, texts: list[str] | None) -> Any:
    if value != value:
        return None
    return texts[int(value)] if texts is not None and 0 <= value < len(texts) and value == int(value) else float(value)


def _rows(stack: Stack, answers: int) -> list[int]:
    import numpy as np

    found: list[int] = np.bincount(stack.owner, minlength=answers).tolist()
    return found


def _no_features(said: Prediction) -> str:
    """Say why an answer has no looked up features; empty where it has."""
    if said.answered_by == "baseline":
        return "the simple rule answered"
    if not said.features:
        return "nothing was looked up"
    if not said.row:
        return "the caller sent the features"
    return ""


def _is_altered(said: Prediction) -> bool:
    return bool(said.digest) and said.digest != _digest_of(said, said.features)


def _digest_of(said: Prediction, features: bytes) -> str:
    return digest(features, at_us=said.at_us, release=said.release, applied=said.applied)


def _said(logged: Logged) -> Prediction:
    said = logged.prediction
    assert said is not None
    return said
