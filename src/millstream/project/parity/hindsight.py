"""Look back: how the same answers would read from the tables as they are now, which is what training sees.

That an answer was served what its versions hold does not make it what training sees: a fact may have come late. Such
an answer is no broken promise, and it is not what the model was trained on either; so it is counted apart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from millstream.definitions.sources import Posted
from millstream.errors import MillstreamError
from millstream.features.online import layout
from millstream.state import posted
from millstream.types import from_micros

if TYPE_CHECKING:
    from millstream.definitions.table import Table
    from millstream.project.parity.proof import Proof
    from millstream.project.parity.proving import Prover, Released
    from millstream.serving.records import Logged, Prediction

_EXAMPLES = 5


def look_back(prover: Prover, proof: Proof, released: Released, logged: Sequence[Logged]) -> None:
    """Compare answers with what the newest versions give, and say of those that differ whether a fact came late.

    Answers that the proof has found to differ are left out: they were served wrong, and their cause is told.
    A fact that the lake had when the answer was given, but what is served had not, is ``not yet seen``; one that the
    lake got later, though by its own clock it was known, is a ``late fact``. Of posted rows that are known from when
    they came, none is late.
    """
    from millstream.monitoring.parity import How, compare, summed
    from millstream.monitoring.parity.causes import LATE, NOT_SEEN
    from millstream.monitoring.parity.recompute import served

    logged = [each for each in logged if each.prediction is not None and each.id not in prover.told]
    said = [each.prediction for each in logged if each.prediction is not None]
    if not said:
        return
    features, tables = released.recompute.features, _tables(released)
    try:
        heads = {name: prover.project.lake.head(name).version for name in tables}
        heads |= {
            f"{name}{layout.POSTED}": last for name in tables if (last := posted.last(prover.project.state, name))
        }
        now = released.recompute.stack(said, How(heads))
        mine = served(said, len(features))
    except (MillstreamError, ValueError):  # a version is gone, or vectors of another length: the proof has counted them
        return
    if mine.values.shape != now.values.shape:
        return
    close = compare(mine.values, now.values, summed(released.plan, features)).close
    moved = sorted({int(each) for each in mine.owner[~close.all(axis=1)]})
    proof.today.compared += len(said)
    proof.today.equal += len(said) - len(moved)
    unseen = _unseen(prover, released, said, moved, heads)
    proof.today.unseen += len(unseen)
    proof.today.late += len(moved) - len(unseen)
    for place in moved[: max(0, _EXAMPLES - len(proof.today.examples))]:
        row = next(int(each) for each in (mine.owner == place).nonzero()[0] if not close[each].all())
        column = int((~close[row]).argmax())
        proof.today.examples.append(
            {
                "id": logged[place].id,
                "release": released.name,
                "feature": features[column],
                "served": _shown(mine.values[row, column]),
                "today": _shown(now.values[row, column]),
                "cause": NOT_SEEN if place in unseen else LATE,
            }
        )


def _unseen(
    prover: Prover, released: Released, said: Sequence[Prediction], moved: Sequence[int], heads: Mapping[str, int]
) -> set[int]:
    """Return those that the tables, as the lake had them at the answer's instant, give otherwise already."""
    from millstream.monitoring.parity import How, compare, summed
    from millstream.monitoring.parity.recompute import served

    groups: dict[tuple[tuple[str, int], ...], list[int]] = {}
    tables = _tables(released)
    stamped = [name for name in tables if _stamped(prover.project.manifest.tables.get(name))]
    now = {name: number for name, number in heads.items() if name.removesuffix(layout.POSTED) in stamped}
    for place in moved:
        named = said[place].applied
        had = {**named, **{name: _had(prover, name, said[place]) for name in tables}}
        if now:  # at the answer's instant such tables read as the journal had them then
            apart = {each for each in had if each.partition("/")[2].removesuffix(layout.POSTED) in stamped}
            had = {**{each: number for each, number in had.items() if each not in apart}, **now}
        if had != named:
            groups.setdefault(tuple(had.items()), []).append(place)
    found: set[int] = set()
    for versions, places in groups.items():
        some = [said[each] for each in places]
        try:
            then = released.recompute.stack(some, How(dict(versions)))
        except MillstreamError:
            continue
        mine = served(some, len(released.recompute.features))
        close = compare(mine.values, then.values, summed(released.plan, released.recompute.features)).close
        found |= {places[int(each)] for each in mine.owner[~close.all(axis=1)]}
    return found


def _had(prover: Prover, table: str, said: Prediction) -> int:
    """Return the newest version of a table that the lake had at an answer's instant, or what the answer named."""
    versions = prover.versions(table)
    place = bisect_right([at for _, at in versions], from_micros(said.at_us)) - 1
    named = said.applied.get(table, versions[0][0])
    return max(named, versions[place][0]) if place >= 0 else named


def _stamped(table: Table | None) -> bool:
    """Say whether rows of a table are posted ones alone, and known from the very instant at which they came."""
    if table is None or not isinstance(table.source, Posted) or not table.source.arrived:
        return False
    return table.known_at == {"*": table.source.arrived}


def _tables(released: Released) -> tuple[str, ...]:
    return released.plan.learnt_from if released.plan.ranking is not None else released.plan.tables


def _shown(value: Any) -> float | None:
    return None if value != value else float(value)
