"""What a live release promised, gathered from its bundle and the data it was trained on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.monitoring import Reference
    from millstream.project.root import Project

_FALLBACK = "1970-01-01"


def reference_of(project: Project, release: Any) -> tuple[FeaturePlan, Reference]:
    """Read a release's promise: its goal value, its baseline, its features and how often its columns were NULL."""
    from millstream.definitions.tasks import WITHOUT_LABEL
    from millstream.features.plan import FeaturePlan
    from millstream.metrics.profile import Profile
    from millstream.monitoring import Reference, null_habits
    from millstream.training import read_record

    folder = Path(release.path)
    plan = FeaturePlan.decode((folder / "plan.json").read_bytes())
    record = read_record(folder)
    zone = ZoneInfo(project.settings.timezone)
    columns = read_columns(project, plan)
    days: dict[date, dict[str, tuple[int, int]]] = {}
    for table in sorted({each.partition(".")[0] for each in columns}):
        if project.manifest.table(table).event_time is None:
            continue
        until = datetime.fromisoformat(record.until or _FALLBACK)
        for column, counted in null_counts(project, table, columns, between=(None, until), zone=zone).items():
            for day, pair in counted.items():
                days.setdefault(day, {})[column] = pair
    value = record.metrics["model"].get(record.goal)
    simple = msgspec.json.decode((folder / "baseline.json").read_bytes())
    reference = Reference(
        release=release.name,
        version=release.version,
        goal=record.goal,
        goal_value=float(value) if value is not None else float("nan"),
        baseline=float(simple["value"]),
        profile=msgspec.json.decode((folder / "reference.json").read_bytes(), type=Profile),
        nulls=null_habits(days.values()),
        classes=record.classes,
        levels=record.levels,
        labelled=record.task not in WITHOUT_LABEL,
        scale=record.scale,
        offsets=tuple(simple.get("offsets", ())),
        ticks=plan.ticks,
        simple=tuple(simple.get("values", ())),
        k=record.k,
    )
    return plan, reference


def read_columns(project: Project, plan: FeaturePlan) -> dict[str, None]:
    """Name the source columns (``table.column``) that features read; a derived column stands for its inputs."""
    found: dict[str, None] = {}
    for view in plan.views:
        values = [each.value for each in view.features.values() if each.value is not None]
        for column in dict.fromkeys(name for each in values for name in each.columns):
            for source in sources(project, view.table, column):
                found[source] = None
    return found


def sources(project: Project, table: str, column: str) -> list[str]:
    """Trace a column to the source columns it is made of (``table.column``)."""
    from millstream.expressions import parse

    definition = project.manifest.table(table)
    if definition.derived:
        held = [each for each in definition.of if column in project.lake.schema(each)]
        return sources(project, held[0], column) if held else []
    if column in definition.columns:
        made = parse(definition.columns[column], project.lake.schema(table), where=f"{table}.{column}")
        return [each for name in made.columns for each in sources(project, table, name)]
    return [f"{table}.{column}"]


def null_counts(
    project: Project,
    table: str,
    columns: Collection[str],
    *,
    between: tuple[datetime | None, datetime | None],
    zone: ZoneInfo,
) -> Mapping[str, Mapping[date, tuple[int, int]]]:
    """Count, for each day of event time, the rows of a table and the NULLs of some of its columns."""
    import polars as pl

    from millstream.lake.bitemporal.beliefs import settled

    if project.manifest.table(table).event_time is None:
        return {}
    read = settled(project.lake.read(table, between=between))
    names = [each.partition(".")[2] for each in columns if each.partition(".")[0] == table]
    names = [each for each in names if each in read.frame.columns]
    if read.event_time is None or not names:
        return {}
    day = pl.col(read.event_time).dt.convert_time_zone(zone.key).dt.date().alias("__day__")
    counted = read.frame.group_by(day).agg(pl.len().alias("__rows__"), *(pl.col(each).null_count() for each in names))
    return {
        f"{table}.{name}": {
            at: (rows, missing)
            for at, rows, missing in counted.select("__day__", "__rows__", name).rows()
            if at is not None
        }
        for name in names
    }
