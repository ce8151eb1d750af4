"""Rows that were posted to a table, as what is served reflected them before a version had them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from millstream.errors import NotFound
from millstream.project.parity.folded import Arrivals, as_they_arrived
from millstream.state import posted

if TYPE_CHECKING:
    import polars as pl

    from millstream.definitions.table import Table
    from millstream.lake.frame import TableFrame
    from millstream.project.root import Project


def with_posted(project: Project, base: TableFrame, upto: int, arrived: Arrivals = ()) -> TableFrame:
    """Add to the rows of a version those that were posted since, up to a number.

    They are in sealed files, whatever versions took these in, and in the journal. ``arrived`` says from which answer on
    each is reflected; nothing where all are.

    Raises
    ------
    NotFound
        When some of them are in neither.
    """
    import polars as pl

    from millstream.lake.ingest import posted as lake
    from millstream.project.tables.posting import put_aside

    after = lake.contained(project.state, base.table, base.version)
    if upto <= after:
        return base
    definition = project.manifest.table(base.table)
    raw = _raw(project, definition, after=after, upto=upto)
    shaped = lake.shaped(project.lake.catalog, definition, raw, version=0).frame.select(base.frame.columns)
    if arrived:
        joined = as_they_arrived(base, shaped, after=after, arrived=arrived)
    else:
        joined = dataclasses.replace(base, frame=pl.concat([base.frame, shaped]))
    # what a check of its own row put aside was served to nobody
    aside = put_aside(project, definition, dataclasses.replace(base, frame=shaped))
    if aside:
        gone = shaped[sorted(aside)].select(definition.key)
        frame = joined.frame.join(gone, on=list(base.key), how="anti", maintain_order="left", nulls_equal=True)
        joined = dataclasses.replace(joined, frame=frame)
    return joined


def _raw(project: Project, definition: Table, *, after: int, upto: int) -> pl.DataFrame:
    """Return posted rows above one number and up to another, as they came."""
    import polars as pl

    from millstream.lake.ingest import posted as lake

    kinds = lake.kinds_of(project.lake.catalog, definition)
    found: list[pl.DataFrame] = []
    here = after
    for file in sorted(lake.PostedFiles(project.places, definition.name).folder.glob("*.parquet")):
        first, last = int(file.stem.partition("-")[0]), lake.number_of(file.name)
        if first <= here + 1 <= min(last, upto):
            held = pl.read_parquet(file).slice(here + 1 - first, min(last, upto) - here)
            gained = [pl.lit(None, kind).alias(name) for name, kind in kinds.items() if name not in held.columns]
            found.append(held.with_columns(gained).select(list(kinds)))
            here = min(last, upto)
    kept = posted.waiting(project.state, definition.name, after=here, limit=upto - here) if here < upto else []
    if kept and kept[0].sequence == here + 1:
        found.append(lake.frame_of(lake.read_back(kept, kinds), kinds).select(list(kinds)))
        here = kept[-1].sequence
    if here < upto:
        raise NotFound(
            f"rows {here + 1} to {upto} that were posted to {definition.name} are in no file and not in the journal",
            expected="sealed files of posted rows, which stay where they are",
        )
    return pl.concat(found)
