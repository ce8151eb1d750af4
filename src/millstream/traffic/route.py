"""What a server should load for a model."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from millstream.definitions.traffic import Fallback
from millstream.state import State

_EVERYBODY: tuple[Fallback, ...] = ("previous", "baseline")
_SQL = """
    SELECT p.model, p.generation,
        c.id AS champion, c.version AS champion_version, c.path AS champion_path,
        b.id AS previous, b.version AS previous_version, b.path AS previous_path
    FROM pointer p
    LEFT JOIN releases c ON c.id = p.release
    LEFT JOIN releases b ON b.id = p.previous
"""


class ReleaseRef(msgspec.Struct, frozen=True):
    """A release to load: its id, number and absolute folder. Open it with ``releases.open_release``."""

    id: str
    version: int
    path: Path


class Answerer(msgspec.Struct, frozen=True):
    """One who may answer; a baseline's value stands in the ``baseline.json`` of the release it names."""

    role: Literal["champion", "previous", "baseline"]
    release: ReleaseRef


class Route(msgspec.Struct, frozen=True):
    """Who answers for a model.

    Parameters
    ----------
    generation
        Of the pointer; a server acknowledges it in its lease. 0 before the first release.
    champion, previous
        The live release, and the one a rollback would return to.
    chain
        Who answers, in order: the champion, then the fallbacks that exist. Empty before the first release.
    """

    model: str
    generation: int
    champion: ReleaseRef | None
    previous: ReleaseRef | None
    chain: tuple[Answerer, ...]


def route(state: State, model: str, *, fallback: Sequence[Fallback] = _EVERYBODY) -> Route:
    """Read who answers for a model, as one consistent picture.

    Parameters
    ----------
    fallback
        Who steps in, in order, as the model's definition says.
    """
    rows = state.query(f"{_SQL} WHERE p.model = ?", (model,))
    return _route(state, rows[0], fallback) if rows else Route(model, 0, None, None, ())


def routes(state: State) -> list[Route]:
    """Read who answers for every model that ever had a release, by name, as one consistent picture."""
    return [_route(state, each, _EVERYBODY) for each in state.query(f"{_SQL} ORDER BY p.model")]


def _route(state: State, row: sqlite3.Row, fallback: Sequence[Fallback]) -> Route:
    champion, previous = _ref(state, row, "champion"), _ref(state, row, "previous")
    chain: list[Answerer] = []
    if champion is not None:
        chain.append(Answerer("champion", champion))
        for role in fallback:
            stands_in = previous if role == "previous" else champion
            if stands_in is not None:
                chain.append(Answerer(role, stands_in))
    return Route(row["model"], row["generation"], champion, previous, tuple(chain))


def _ref(state: State, row: sqlite3.Row, role: str) -> ReleaseRef | None:
    if row[role] is None:
        return None
    return ReleaseRef(row[role], row[f"{role}_version"], state.path.parent / row[f"{role}_path"])
