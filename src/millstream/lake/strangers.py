"""Commits in the lake's own folders that nobody here intended, and commits that a crash cut."""

from __future__ import annotations

from millstream.definitions.sources import Delta
from millstream.definitions.table import Table
from millstream.errors import MillstreamError
from millstream.lake.catalog import Catalog, logged
from millstream.lake.delta import DeltaLog
from millstream.lake.finding import Finding
from millstream.state import versions


def strangers(catalog: Catalog) -> list[Finding]:
    """Report commits in our own folders that nobody here intended, and commits cut by a crash."""
    found: list[Finding] = []
    for name, number in versions.heads(catalog.state).items():
        head = versions.get(catalog.state, name, number)
        if (
            head is None
            or head.kind == "derived"
            or (head.kind != "own" and name not in catalog.manifest.tables)
            or not logged(bare(catalog, name))
        ):
            continue
        log = catalog.log(bare(catalog, name))
        torn = log.torn()
        if torn is not None:
            says = f"the commit file of version {torn} is empty or cut; version {torn - 1} is read"
            found.append(Finding(False, f"{name}@{torn}", says))
        if head.kind != "attached" and name not in catalog.shared():  # production commits on, and looks at its own
            found.extend(_foreign(catalog, name, log))
    return found


def bare(catalog: Catalog, name: str) -> Table:
    """Return a table's definition, or, of one that only the lake writes, the little there is to say."""
    found = catalog.manifest.tables.get(name)
    return found or Table(name, source=Delta(str(catalog.places.lake / name)))


def _foreign(catalog: Catalog, name: str, log: DeltaLog) -> list[Finding]:
    registered = {each.version for each in versions.history(catalog.state, name)}
    try:
        newest = log.head().version
    except MillstreamError as wrong:
        return [Finding(False, name, wrong.happened)]
    return [
        Finding(False, f"{name}@{each}", f"version {each} was committed by nobody here; its rows are not read")
        for each in range(newest + 1)
        if each not in registered and log.changes(each) != ([], [])
    ]
