"""Which columns a table had at which version, and who let them change."""

from __future__ import annotations

from dataclasses import dataclass

from millstream.lake.catalog import Catalog
from millstream.lake.ingest.agreed import CHANGED
from millstream.sources.drift import differences
from millstream.state.versions import TableVersion


@dataclass(frozen=True)
class SchemaChange:
    """A version of a table that has other columns than the one before, or the first.

    Parameters
    ----------
    table, version
        The version that brought the columns.
    at
        When it was registered, by the project's clock.
    actor
        Who registered it; empty where the ledger here does not tell, as of what production registered.
    before, after
        Column to type: raw columns as Delta names their types; of a derived table its columns in the row language.
        ``before`` is empty for the first version.
    says
        Every difference in words; empty for the first version.
    accepted_by
        Who accepted it; empty for the first version and for what is taken silently.
    """

    table: str
    version: int
    at: str
    actor: str
    before: dict[str, str]
    after: dict[str, str]
    says: tuple[str, ...]
    accepted_by: str = ""


def schema_history(lake_catalog: Catalog, table: str) -> list[SchemaChange]:
    """List the changes of a table's columns, oldest first, its first version included.

    Parameters
    ----------
    lake_catalog
        ``Lake.catalog``.
    table
        Name of a table; one without a version has no history.

    Raises
    ------
    NotFound
        When there is no such table.

    Notes
    -----
    Cost: the records of all versions are read, about 20 microseconds each.
    """
    found: list[SchemaChange] = []
    before: TableVersion | None = None
    for each in lake_catalog.history(table):
        old, new = _columns(before, each)
        says = tuple(differences(old, new))
        if before is None or says:
            found.append(
                SchemaChange(table, each.version, each.registered_at, "", {} if before is None else old, new, says)
            )
        before = each
    told = _told(lake_catalog, found)
    return [_with(each, told.get(f"{each.table}@{each.version}", {})) for each in found]


def _columns(before: TableVersion | None, now: TableVersion) -> tuple[dict[str, str], dict[str, str]]:
    """Return the columns of two versions in one language: raw where both kept them."""
    if before is None:
        said = now.columns or dict(now.schema)
        return said, said
    if before.columns and now.columns:
        return before.columns, now.columns
    return dict(before.schema), dict(now.schema)


def _told(catalog: Catalog, found: list[SchemaChange]) -> dict[str, dict[str, str]]:
    """Return what the ledger tells of these versions: who registered each, and who accepted its columns."""
    told: dict[str, dict[str, str]] = {}
    subjects = [f"{each.table}@{each.version}" for each in found]
    if subjects:
        for row in catalog.ledger.rows(acts=("table.version", CHANGED), subjects=subjects, limit=1 << 20):
            kept = told.setdefault(row.subject, {})
            kept["actor"] = row.actor
            if row.act == CHANGED:
                kept["accepted_by"] = str(row.detail.get("accepted_by", ""))
    return told


def _with(change: SchemaChange, told: dict[str, str]) -> SchemaChange:
    return SchemaChange(
        change.table, change.version, change.at, told.get("actor", ""), change.before, change.after, change.says,
        told.get("accepted_by", ""),
    )  # fmt: skip
