"""Why a served value is not what a point-in-time read gives: by finding the reading that does give it.

Each cause is a reading of the lake under which the served values of a whole feature view come out. Nothing is guessed
from a value alone: what no reading explains is said to be unknown, with what was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from millstream.errors import MillstreamError
from millstream.features.online import layout
from millstream.features.plan import FeaturePlan, ViewPlan
from millstream.monitoring.parity.compare import Floats, Truths, compare, summed
from millstream.monitoring.parity.recompute import How, Recompute, Stack, State, names_of, state_of
from millstream.serving.records import Prediction
from millstream.types import MICROSECOND, Pins, from_micros

NOT_SEEN, STALE, LATE = "not yet seen", "stale key", "late fact"
ROUNDING, ZONE, CODE, QUARANTINE = "rounding", "time zone", "code changed", "quarantine"
RECORD, UNKNOWN = "record altered", "unknown"

_NEAR = 12
"""Versions before the one an answer named that are each tried; of older ones every power of two back."""
_AFTER = 6
_FEW_DIGITS = range(2, 10)
_HOUR = timedelta(hours=1)


class Evidence(NamedTuple):
    """What there is to try.

    ``versions`` lists those of a table that are kept, ascending; ``posted`` is the number of the last row posted to one
    (0 where none was); ``zones`` are the time zones that tables, project and expressions name; ``plans`` are
    definitions of the same model beside the release's, with what they are.
    """

    versions: Callable[[str], Sequence[int]]
    posted: Callable[[str], int]
    zones: Sequence[str]
    plans: Sequence[tuple[str, FeaturePlan]]


class Cause(NamedTuple):
    """Why some features of one answer differ: the first reading that explains them, and what else would."""

    features: tuple[str, ...]
    cause: str
    says: str
    also: tuple[str, ...] = ()


class _Part(NamedTuple):
    """Features that are computed together: those of one view, or one of the request, or one that is made of views'."""

    views: tuple[ViewPlan, ...]
    places: tuple[int, ...]


class _Claim:
    """Answers that named the same versions, and what was served to them beside what they should have got."""

    def __init__(self, recompute: Recompute, answers: Sequence[Prediction], served: Stack, again: Stack) -> None:
        self.recompute, self.answers, self.served, self.again = recompute, answers, served, again
        self.applied: Pins = answers[0].applied
        self._summed = summed(recompute.plan, recompute.features)
        self._older: dict[str, Floats | None] = {}

    def close(self, served: Floats, again: Floats, places: Sequence[int] | None = None) -> Truths:
        """Say which values are equal, of all features or of some."""
        return compare(served, again, self._summed if places is None else self._summed[list(places)]).close

    def values(self, bad: Sequence[int]) -> tuple[Floats, Floats]:
        """Return the vectors of some answers, as served and as computed again."""
        wanted = np.isin(self.served.owner, bad)
        return self.served.values[wanted], self.again.values[wanted]

    def older(self, applied: Pins) -> Floats | None:
        """Return the vectors of all answers at other versions; kept, since many answers may ask."""
        place = str(sorted(applied.items()))
        if place not in self._older:
            self._older[place] = self.under(How(applied), range(len(self.answers)))
        return self._older[place]

    def under(self, how: How, bad: Sequence[int]) -> Floats | None:
        """Return the vectors of some answers under another reading; None where that cannot be read."""
        try:
            return self.recompute.stack([self.answers[each] for each in bad], how).values
        except MillstreamError:
            return None


def explain(
    recompute: Recompute,
    answers: Sequence[Prediction],
    stacks: tuple[Stack, Stack],
    bad: Sequence[int],
    *,
    evidence: Evidence,
) -> dict[int, list[Cause]]:
    """Say why answers were served other features than they should have been.

    Parameters
    ----------
    recompute
        Of their release.
    answers
        All that named the same versions: those served right are witnesses.
    stacks
        Their vectors as served, and as computed again.
    bad
        Places of the answers to explain.
    evidence
        What there is to try.

    Returns
    -------
    dict
        Place of the answer to its causes, one for each view (or feature of the request) that differs.

    Notes
    -----
    Costs one point-in-time read of the answers to explain for each thing tried, some thirty.
    """
    claim = _Claim(recompute, answers, *stacks)
    parts = _parts(recompute)
    found: dict[int, list[Cause]] = {}
    tried = [(how, reading, claim.under(reading, bad)) for how, reading in _readings(claim, bad, evidence)]
    owners = np.repeat(np.asarray(bad), [int((claim.served.owner == each).sum()) for each in bad])
    served, again = claim.values(bad)
    close = claim.close(served, again)
    for each in bad:
        mine = owners == each
        for part in parts:
            places = list(part.places)
            wrong = ~close[np.ix_(mine, places)].all(axis=0)
            if wrong.any():
                names = tuple(recompute.features[place] for place in np.array(places)[wrong])
                alone = served[mine][:, places]
                fits = list(_rounding(alone, again[mine][:, places], close[np.ix_(mine, places)]))
                fits += [
                    said
                    for name, how, values in tried
                    if values is not None
                    and claim.close(alone, values[mine][:, places], places).all()
                    and (said := _say(name, how, claim, part, each)) is not None
                ]
                found.setdefault(each, []).append(_cause(names, fits, evidence, part))
    return found


def _parts(recompute: Recompute) -> list[_Part]:
    place = {name: at for at, name in enumerate(recompute.features)}
    plan = recompute.plan
    parts = [
        _Part((view,), tuple(place[name] for each in view.features if (name := f"{view.name}.{each}") in place))
        for view in plan.views
    ]
    for name, said in (plan.request_features | plan.combined).items():
        named = {each.partition(".")[0] for each in said.columns if "." in each}
        if name in place:
            parts.append(_Part(tuple(each for each in plan.views if each.name in named), (place[name],)))
    return parts


def _readings(claim: _Claim, bad: Sequence[int], evidence: Evidence) -> Iterator[tuple[str, How]]:
    """List what is tried, most telling first; the name says what it would mean."""
    plan = claim.recompute.plan
    for table in plan.learnt_from if plan.ranking else plan.tables:
        plain, posted = names_of(table, claim.applied)
        for version in sorted({claim.applied[each] for each in plain}):
            before = [each for each in evidence.versions(table) if each < version][::-1]
            after = [each for each in evidence.versions(table) if each > version]
            for each in (*before[:_NEAR], *_powers(before[_NEAR:]), *after[:_AFTER], *after[_AFTER:][-1:]):
                kept = {name: said for name, said in claim.applied.items() if name not in posted}
                yield table, How(kept | dict.fromkeys(plain, each))
        for name in posted or [f"{table}{layout.POSTED}"]:
            named = claim.applied.get(name, 0)
            fewer = list(range(named - 1, -1, -1))
            more = list(range(named + 1, evidence.posted(table) + 1))
            for each in (*fewer[:_NEAR], *_powers(fewer[_NEAR:]), *more[:_AFTER], *more[_AFTER:][-1:]):
                yield table, How({**claim.applied, name: each})
    yield QUARANTINE, How(trusted=False)
    for shift in _shifts(evidence.zones, [claim.answers[each].at_us for each in bad]):
        yield ZONE, How(asked_us=shift)
        yield ZONE, How(decided_us=shift)
    for name, plan in evidence.plans:
        yield f"{CODE}: {name}", How(plan=plan)


def _powers(older: Sequence[int]) -> list[int]:
    return [older[(1 << place) - 1] for place in range(len(older).bit_length())]


def _shifts(zones: Sequence[str], at_us: Sequence[int]) -> list[int]:
    """List by how much clocks of two zones, or of one before and after it changes, are apart, microseconds."""
    found: set[timedelta] = {_HOUR, -_HOUR}
    for at in {min(at_us), max(at_us)}:
        offsets = {from_micros(at).astimezone(ZoneInfo(each)).utcoffset() or timedelta() for each in ("UTC", *zones)}
        found |= {one - other for one in offsets for other in offsets if one != other}
    return sorted((each // MICROSECOND for each in found), key=abs)


def _rounding(served: Floats, again: Floats, close: Truths) -> Iterator[tuple[str, str]]:
    """Say how the right values would have to be rounded to give the served ones."""
    mine, right = served[~close], again[~close]
    if not (np.isfinite(mine).all() and np.isfinite(right).all()):
        return
    with np.errstate(over="ignore"):
        single = right.astype(np.float32).astype(np.float64)
    if (mine == single).all():
        yield ROUNDING, "served as 32 bit floating numbers"
        return
    digits = next((each for each in _FEW_DIGITS if (mine == np.round(right, each)).all()), None)
    if digits is not None:
        yield ROUNDING, f"served rounded to {digits} digits"
    elif (np.abs(mine - right) <= 1e-6 * np.maximum(1.0, np.abs(right))).all():
        yield ROUNDING, "the values are within a millionth of each other"


def _say(name: str, how: How, claim: _Claim, part: _Part, answer: int) -> tuple[str, str] | None:
    """Say what it means that a reading explains a part; None where the reading is not about that part."""
    if how.plan is not None:
        return CODE, f"served as {name.partition(': ')[2]} has it"
    if how.asked_us or how.decided_us:
        hours = (how.asked_us or how.decided_us) / 3.6e9
        which = "the instants that were sent" if how.asked_us else "the answer's instant"
        return ZONE, f"served as if {which} were {abs(hours):g} h {'later' if hours > 0 else 'earlier'}"
    if not how.trusted:
        return QUARANTINE, "served with rows that are in quarantine now: they were set aside, or let back, since"
    assert how.applied is not None
    return _say_version(name, how.applied, claim, part, answer)


def _say_version(table: str, applied: Pins, claim: _Claim, part: _Part, answer: int) -> tuple[str, str] | None:
    both = (
        (each, state_of(each, applied), state_of(each, claim.applied)) for each in part.views if each.table == table
    )
    view, instead, named = next((each for each in both if each[1] != each[2]), (None, None, None))
    if view is None or instead is None or named is None:
        return None
    if instead > named:
        return (
            LATE,
            f"served with rows of {_written(instead)}; the answer names {_written(named)}, which has not got them",
        )
    witnesses = _witnesses(claim, applied, part, view, answer)
    if witnesses:
        return STALE, (
            f"served as of {_written(instead)}; {witnesses:,} other{'s were' if witnesses > 1 else ' was'} served the"
            f" rows of {_written(named)} that the answer names: this key was left behind"
        )
    return NOT_SEEN, (
        f"served as of {_written(instead)}: the rows of {_written(named)}, which the answer names, were not seen yet"
    )


def _written(state: State) -> str:
    return f"{state.table}@{state.version}{f' and {state.posted} posted rows' if state.posted else ''}"


def _witnesses(claim: _Claim, applied: Pins, part: _Part, view: ViewPlan, answer: int) -> int:
    """Count answers about others that show the newer rows: served right, where the older version would not be."""
    older, places = claim.older(applied), list(part.places)
    if older is None:
        return 0
    right = claim.close(claim.served.values[:, places], claim.again.values[:, places], places).all(axis=1)
    moved = ~claim.close(older[:, places], claim.again.values[:, places], places).all(axis=1)
    who = _entity(view, claim.answers[answer].row)
    shows = {int(claim.served.owner[each]) for each in np.flatnonzero(right & moved)}
    return sum(_entity(view, claim.answers[each].row) != who for each in shows)


def _entity(view: ViewPlan, row: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(row.get(key) for key in view.keys)


def _cause(names: tuple[str, ...], fits: Sequence[tuple[str, str]], evidence: Evidence, part: _Part) -> Cause:
    if fits:
        (cause, says), *more = fits
        return Cause(names, cause, says, tuple(dict.fromkeys(each for each, _ in more if each != cause)))
    tables = dict.fromkeys(each.table for each in part.views)
    versions = "".join(f"{len(evidence.versions(each))} versions of {each}, " for each in tables)
    return Cause(
        names,
        UNKNOWN,
        f"no reading gives what was served: {versions}other zones, quarantine and {len(evidence.plans)} other"
        " definitions were tried; the served state itself may be damaged",
    )
