"""Compact: tables of many small files, written anew as a few large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.project.root import Project


def compact(project: Project, *, table: str = "", actor: str = "somebody") -> dict[str, Any]:
    """Write the small files of one table anew as large ones; without a name, of every table that has many.

    Parameters
    ----------
    table
        A table that is stored in the lake.
    actor
        Who asks, for the ledger.

    Raises
    ------
    UserError
        For an attached, derived or shared table.
    """
    from millstream.lake.housekeeping.compact import compact as carry_out
    from millstream.lake.housekeeping.compacting import MANY, small
    from millstream.state import versions

    catalog = project.lake.catalog
    names = [table] if table else _stored(project)
    made = []
    for name in names:
        before = catalog.head(name)
        files = catalog.files(catalog.table(name), before.version)
        version = carry_out(project.lake, name, actor=actor, least=2 if table else MANY)
        if version is None:
            made.append({"table": name, "version": None, "small": len(small(catalog, name)), "files": len(files)})
            continue
        after = catalog.files(catalog.table(name), version.version)
        made.append(
            {
                "table": name,
                "version": version.version,
                "rows": version.rows,
                "files": len(files),
                "into": len(after),
                "bytes": sum(each.size for each in files),
                "into_bytes": sum(each.size for each in after),
            }
        )
    return {"tables": made, "least": 2 if table else MANY, "stored": len(versions.heads(project.state))}


def _stored(project: Project) -> list[str]:
    from millstream.lake.housekeeping.cleaning import STORED
    from millstream.state import versions

    shared, heads = project.lake.shared(), versions.heads(project.state)
    found = {name: versions.get(project.state, name, number) for name, number in heads.items()}
    known = {name for name, each in found.items() if each is not None and each.kind in STORED}
    return sorted(
        name for name in known - shared if name in project.manifest.tables or getattr(found[name], "kind", "") == "own"
    )
