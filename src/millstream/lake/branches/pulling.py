"""Taking over production's versions in an overlay: records, no data."""

from __future__ import annotations

from collections.abc import Iterable

from millstream.lake.catalog import Catalog
from millstream.state import versions
from millstream.state.versions import TableVersion


def pulled(catalog: Catalog, wanted: Iterable[str], *, actor: str) -> list[TableVersion]:
    """Take over production's newest versions of tables it shares; the lake's lock is held."""
    over = catalog.places.over
    if over is None:
        return []
    with catalog.state.transact() as tx:
        made = versions.pull(tx, over.state_db, wanted)
        for each in made:
            detail = {"kind": each.kind, "rows": each.rows, "files_hash": each.files_hash, "bytes_copied": 0}
            detail["taken"] = versions.taken_hash(tx, each.table, each.version)
            subject = f"{each.table}@{each.version}"
            catalog.ledger.append(tx, actor=actor, act="table.pull", subject=subject, detail=detail)
    return made
