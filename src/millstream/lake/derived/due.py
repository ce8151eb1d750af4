"""Which partitions of a table have to be made, and why each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from millstream.definitions.table import Table
from millstream.errors import BadData, NotFound, near
from millstream.lake.derived.slices import Slices
from millstream.state.runs import Run
from millstream.state.versions import Making

Bounds = tuple[datetime | None, datetime | None]


@dataclass(frozen=True)
class Due:
    """What is to be done.

    Parameters
    ----------
    why
        Each partition to be made, in order, and why.
    bounds
        Every partition there is, with its range of time.
    rests
        Every partition's digest of what it reads, by input.
    gone
        Partitions of which no rows of the inputs are left.
    slices
        The inputs, cut.
    """

    why: dict[str, str]
    bounds: dict[str, Bounds]
    rests: dict[str, dict[str, str]]
    gone: tuple[str, ...]
    slices: dict[str, Slices]

    def frames(self, piece: str) -> dict[str, pl.DataFrame]:
        """Return what a partition reads of each input."""
        return {name: each.rows(self.bounds[piece], piece) for name, each in self.slices.items()}

    def left_out(self) -> list[str]:
        """Say which inputs have rows that belong to no partition."""
        return [
            f"{each.left_out:,} rows of {name} say no time and are in no partition"
            for name, each in self.slices.items()
            if each.left_out
        ]


def due(
    table: Table,
    inputs: Mapping[str, tuple[pl.DataFrame, str | None]],
    *,
    before: Mapping[str, Run],
    because: str,
    again: Collection[str] | None,
) -> Due:
    """Compare what each partition reads with what it read when it was made.

    Parameters
    ----------
    table
        The definition.
    inputs
        Input to its rows and its event time.
    before
        The partitions of the newest version.
    because
        Why all of them have to be made; empty when none has to for that reason.
    again
        Partitions somebody asked for; none means all, None that nobody asked.

    Raises
    ------
    BadData
        When there is no partition at all, or no input can be cut.
    NotFound
        For a partition that is asked for and not there.
    """
    slices = {name: Slices(table, frame, event_time=event) for name, (frame, event) in inputs.items()}
    if not any(each.cut for each in slices.values()):
        raise BadData(
            f"no input of table {table.name!r} can be cut into partitions of {table.partition!r}",
            expected="an input with an event time, or with that column",
            do="leave partition= out",
        )
    bounds: dict[str, Bounds] = {}
    for cut in slices.values():
        bounds |= cut.names()
    if not bounds and not before:
        raise BadData(
            f"table {table.name!r} has no partition yet: its inputs have no rows",
            do="millstream refresh when they have",
        )
    bounds = dict(sorted(bounds.items()))
    rests = {
        piece: {name: each.digest(place, piece) for name, each in slices.items()} for piece, place in bounds.items()
    }
    unknown = [each for each in again or () if each not in bounds]
    if unknown:
        raise NotFound(f"table {table.name!r} has no partition {unknown[0]!r}", do=near(unknown[0], bounds))
    asked = set(bounds) if again is not None and not again else set(again or ())
    why = {
        piece: said
        for piece in bounds
        if (said := because or _changed(before.get(piece), rests[piece]) or ("asked for" if piece in asked else ""))
    }
    return Due(why, bounds, rests, tuple(each for each in before if each not in bounds), slices)


def _changed(before: Run | None, now: Mapping[str, str]) -> str:
    if before is None:
        return "its first rows came"
    said = []
    for name, digest in now.items():
        then = before.rests.get(name, "")
        if then != digest:
            more = _count(digest) - _count(then)
            rows = f"{abs(more):,} {'more' if more > 0 else 'fewer'} row{'s' * (abs(more) != 1)}"
            said.append(f"{rows} of {name}" if more else f"rows of {name} changed")
    return ", ".join(said)


def _count(digest: str) -> int:
    return int(digest.partition("-")[0] or 0)


def code_reasons(before: Making, code: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """Say what of a step's code and environment is not as it was."""
    edited = sorted(each for each in {**before.code, **code} if before.code.get(each) != code.get(each))
    said = [f"{', '.join(edited)} changed"] if edited else []
    if before.environment:
        for name in sorted({*before.environment, *environment}):
            then, now = before.environment.get(name, "not there"), environment.get(name, "not there")
            if then != now:
                said.append(f"{name} was {then} and is {now}")
    return said
