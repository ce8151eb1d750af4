"""What names which version of which table, so that it is never let go: in every environment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from millstream.settings import places as places_of
from millstream.settings import read as read_settings
from millstream.state.database import beside
from millstream.state.ledger import ACT
from millstream.tracking.kept import named_versions

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.settings import Places

Version = tuple[str, int]

_NAMING = ("model", "release", "decision", "loop", "pointer")
"""What acts are about whose rows of the ledger hold the versions they name; reads and scoring do not."""
_NOT = "model.score"


class _Rows(Protocol):
    """A state database that can be asked: this environment's, or one beside it."""

    def query(self, sql: str, parameters: Any = ()) -> list[sqlite3.Row]: ...


def holders(project: Project) -> dict[Version, list[str]]:
    """Return every version that something names, each with what names it, in words.

    These are the newest versions, pins of people, releases, model versions, runs, backtests and decisions, what the
    newest and all other named versions of derived and made tables are computed from, and the same of every overlay;
    in an overlay, of production.
    """
    found: dict[Version, list[str]] = {}
    for who, version in _named(project.state, project.places, ""):
        _hold(found, version, who)
    others = [(f"environment {name}: ", places) for name, places in overlays(project)]
    if project.places.over is not None:  # what went from here to production is named there
        others.append(("production: ", project.places.over))
    for prefix, places in others:
        if places.state_db.exists():
            with _opened(places.state_db) as rows:
                for who, version in _named(rows, places, prefix):
                    _hold(found, version, who)
    return found


def overlays(project: Project) -> list[tuple[str, Places]]:
    """Return the overlays of production, each with its places; none in an overlay."""
    if project.settings.overlay:
        return []
    names = sorted(each.parent.name for each in (project.places.state / "env").glob("*/state.db"))
    return [(each, places_of(project.root, read_settings(project.root, each))) for each in names]


def _hold(found: dict[Version, list[str]], version: Version, who: str) -> None:
    held = found.setdefault(version, [])
    if who not in held:
        held.append(who)


def _named(rows: _Rows, places: Places, prefix: str) -> Iterator[tuple[str, Version]]:
    """Give what one environment names, and what that is computed from."""
    inputs = _inputs(rows)
    for who, version in _named_at_once(rows, places):
        yield prefix + who, version
        for each in _behind(version, inputs):
            yield f"{prefix}{version[0]}@{version[1]} ({who})", each


def _named_at_once(rows: _Rows, places: Places) -> Iterator[tuple[str, Version]]:
    known = {each["name"] for each in rows.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for each in rows.query("SELECT name, max(version) AS version FROM table_versions GROUP BY name"):
        yield "the newest version", (each["name"], each["version"])
    if "pins" in known:
        for each in rows.query("SELECT name, version, actor FROM pins"):
            yield f"a pin of {each['actor']}", (each["name"], each["version"])
    for each in rows.query('SELECT "table" AS name, max(version) AS version FROM contracts GROUP BY "table"'):
        yield "its last check", (each["name"], each["version"])
    for each in rows.query("SELECT model, version, summary FROM releases"):
        for version in _pins(msgspec.json.decode(each["summary"])):
            yield f"release {each['model']}@{each['version']}", version
    for each in rows.query("SELECT id, verdict FROM decisions"):
        for version in _pins(msgspec.json.decode(each["verdict"])):
            yield f"decision {each['id']}", version
    acts = " OR ".join(f"({ACT} >= '{each}.' AND {ACT} < '{each}/')" for each in _NAMING)  # an index finds them
    for each in rows.query(f"SELECT body FROM ledger WHERE ({acts}) AND {ACT} <> '{_NOT}'"):
        said = msgspec.json.decode(each["body"])
        word = {"model.register": "model version", "model.backtest": "a backtest of"}.get(said["act"], said["act"])
        for version in _pins(said["detail"]):
            yield f"{word} {said['subject']}", version
    for name, number, run in named_versions(places):
        yield f"run {run[:8]}", (name, number)


def _pins(said: Any) -> Iterator[Version]:
    """Find all pins (table to version) anywhere inside a record."""
    if isinstance(said, Mapping):
        for name, each in said.items():
            if name in ("pins", "inputs") and isinstance(each, Mapping):
                yield from ((table, number) for table, number in each.items() if isinstance(number, int))
            else:
                yield from _pins(each)
    elif isinstance(said, list):
        for each in said:
            yield from _pins(each)


def _inputs(rows: _Rows) -> dict[Version, dict[str, int]]:
    found = rows.query("SELECT name, version, body FROM table_versions WHERE kind IN ('derived', 'made')")
    return {(each["name"], each["version"]): msgspec.json.decode(each["body"])["inputs"] for each in found}


def _behind(version: Version, inputs: Mapping[Version, Mapping[str, int]]) -> Iterator[Version]:
    waiting, seen = [version], {version}
    while waiting:
        for each in inputs.get(waiting.pop(), {}).items():
            if each not in seen:
                seen.add(each)
                waiting.append(each)
                yield each


@contextmanager
def _opened(path: Path) -> Iterator[_Rows]:
    """Open the state of another environment to read from."""

    class Beside:
        def query(self, sql: str, parameters: Any = ()) -> list[sqlite3.Row]:
            return connection.execute(sql, parameters).fetchall()

    with closing(beside(path)) as connection:
        connection.row_factory = sqlite3.Row
        yield Beside()
