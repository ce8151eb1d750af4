"""Taking over what production's step made, where an overlay's would rest on exactly the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import polars as pl

from millstream.lake.delta import file_sha256
from millstream.settings import Places
from millstream.state import versions
from millstream.state.database import State, beside
from millstream.state.versions import TableVersion
from millstream.types import Pins, content_hash

_Find = Callable[[str, int], TableVersion | None]


def made_before(
    places: Places,
    state: State,
    name: str,
    *,
    inputs: Pins,
    definition: str,
    masked: Mapping[str, int],
    code_of: Callable[[list[str]], Mapping[str, str]],
) -> tuple[TableVersion, pl.DataFrame] | None:
    """Return production's version that rests on the same code, definition, quarantine and inputs, with its rows.

    Inputs are the same when they are the same files, or computed by the same from the same; their numbers may differ.

    Parameters
    ----------
    places, state
        Of the overlay; production has neither anything to take over, nor has one whose files are not as registered.
    code_of
        Hashes files of the project as they lie.
    """
    if places.over is None or not places.over.state_db.exists():
        return None
    with closing(beside(places.over.state_db)) as there:
        mine = [_identity(lambda table, number: versions.get(state, table, number), *each) for each in inputs.items()]
        for candidate in _made_versions(there, name):
            making = candidate.making
            if making is None or (candidate.definition, making.masked) != (definition, dict(masked)):
                continue
            theirs = [
                _identity(lambda table, number: _get(there, table, number), *each) for each in candidate.inputs.items()
            ]
            if list(candidate.inputs) != list(inputs) or mine != theirs or None in mine:
                continue
            if dict(code_of(list(making.code))) == making.code:
                rows = _rows(there, places.over.lake / name, candidate)
                return None if rows is None else (candidate, rows)
    return None


def _identity(find: _Find, name: str, number: int) -> str | None:
    """Say what a version's rows follow from, whatever its number; None where that cannot be said."""
    found = find(name, number)
    if found is None:
        return None
    if found.kind not in ("derived", "made"):
        return found.files_hash
    of = {each: _identity(find, each, at) for each, at in found.inputs.items()}
    code = [found.making.code, found.making.masked] if found.making is not None else []
    return None if None in of.values() else content_hash([found.definition, of, code])


def _made_versions(there: sqlite3.Connection, name: str) -> list[TableVersion]:
    query = "SELECT body FROM table_versions WHERE name = ? AND kind = 'made' ORDER BY version DESC"
    return [msgspec.json.decode(body, type=TableVersion) for (body,) in there.execute(query, (name,)).fetchall()]


def _get(there: sqlite3.Connection, name: str, number: int) -> TableVersion | None:
    query = "SELECT body FROM table_versions WHERE name = ? AND version = ?"
    found = there.execute(query, (name, number)).fetchone()
    return None if found is None else msgspec.json.decode(found[0], type=TableVersion)


def _rows(there: sqlite3.Connection, folder: Path, version: TableVersion) -> pl.DataFrame | None:
    """Read the rows of a version from files that are as they were registered; None when one is not."""
    query = (
        "SELECT path, sha256 FROM table_files WHERE name = ? AND since <= ? AND (until IS NULL OR until > ?)"
        " ORDER BY since, rowid"
    )
    files = there.execute(query, (version.table, version.version, version.version)).fetchall()
    try:
        if not files or any(sha256 is None or file_sha256(folder / path) != sha256 for path, sha256 in files):
            return None
        return pl.concat([pl.read_parquet(folder / path, glob=False) for path, _ in files])
    except (OSError, pl.exceptions.PolarsError):
        return None
