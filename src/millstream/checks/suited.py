"""Tests of other tools' suites among the checks: translated ones, queries, and those their own library ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from millstream.checks.report import CheckResult
from millstream.checks.words import count, percent
from millstream.definitions.checks import Imported, Query, Unique
from millstream.errors import DefinitionError, MillstreamError, near
from millstream.expressions import parse
from millstream.expressions.polars import to_polars

if TYPE_CHECKING:
    from millstream.checks.scene import Scene

EXAMPLES = 5
ABOUT = "about"
LIMIT_S = 600.0
"""How long a query may take."""

Told = tuple[CheckResult, pl.DataFrame | None]


def narrowed(
    check: Imported, first: Mapping[str, pl.Expr], fails: pl.Expr | None, scene: Scene
) -> tuple[dict[str, pl.Expr], pl.Expr | None]:
    """Add to what the check of a translated test asks how many rows it is about; compare only those it compares."""
    rows = _condition(check, scene) if check.where else pl.lit(True)
    asked = dict(first)
    if isinstance(check.check, Unique) and check.where:
        fails = rows & _twins(check.check.columns, rows, scene)
        asked = {"any": fails.any()}
    filled = rows & pl.col(check.of).is_not_null() if check.of else rows
    return {**asked, ABOUT: pl.len() if not check.where and not check.of else filled.sum()}, fails


def _condition(check: Imported, scene: Scene) -> pl.Expr:
    said = parse(check.where, scene.batch.schema, where=check.origin)
    return to_polars(said).fill_null(False)


def _twins(columns: tuple[str, ...], rows: pl.Expr, scene: Scene) -> pl.Expr:
    """Say which of those rows agree with another of them, or with an earlier row."""
    same = [*columns, *scene.batch.known_for(columns)]
    repeats = pl.struct(*same, rows.alias("\0about")).is_duplicated()
    before = scene.known_keys() if scene.known_keys is not None else None
    if before is not None and before.height and all(each in before.columns for each in same):
        types = scene.batch.frame.schema
        had = before.select(pl.col(each).cast(types[each]) for each in same)
        values = pl.col(same[0]) if len(same) == 1 else pl.struct(same)
        earlier = had[same[0]] if len(same) == 1 else had.to_struct("same")
        repeats = repeats | values.is_in(earlier.implode())
    return repeats


def told(check: Imported, made: Told, answers: Any) -> Told:
    """Turn what its check found into what the test says: so many rows may fail, and where it came from."""
    result, aside = made
    ok, share = result.ok, result.share
    if ABOUT in answers and answers[ABOUT] and check.at_most:
        share = result.failed_rows / answers[ABOUT]
        ok = (answers[ABOUT] - result.failed_rows) / answers[ABOUT] >= round(1 - check.at_most, 12)
    library = check.origin.partition(" ")[0]
    allowed = f"; {percent(check.at_most)} may fail" if check.at_most else ""
    result = msgspec.structs.replace(
        result,
        check=f"{library}.{result.check}",
        ok=ok,
        share=share,
        threshold=check.at_most if check.at_most else result.threshold,
        says=f"{result.says}{allowed} ({check.origin})",
        detail={**result.detail, "origin": check.origin},
    )
    if aside is None or ok:
        return result, None
    return result, aside.with_columns(pl.lit(f"{library}.").add(pl.col("check")).alias("check"))


def refused(check: Imported, wrong: MillstreamError, subject: str) -> CheckResult:
    """Say of a translated test that it cannot be asked of this table; the other checks go on."""
    return CheckResult(
        check=f"{check.origin.partition(' ')[0]}.{type(check.check).__struct_config__.tag}",
        subject=subject,
        severity=check.severity,
        ok=False,
        failed_rows=0,
        share=None,
        threshold=None,
        says=f"{subject}: cannot be asked: {wrong.happened} ({check.origin})",
        detail={"origin": check.origin},
    )


def query(check: Query, scene: Scene, subject: str) -> Told:
    """Ask a query; the rows it returns fail.

    Raises
    ------
    DefinitionError
        Where it is no SELECT of tables there are, or DuckDB refuses it.
    """
    from millstream.lake import duck
    from millstream.lake.derived.lineage import named_tables

    _, names = named_tables(check.sql, where=f"query of {subject}")
    frames = {}
    for each in names:
        if not each:
            raise DefinitionError(f"query of {subject} reads a function or a file", expected="tables, or batch")
        held = scene.batch if each == "batch" else _read(each, scene, subject)
        frames[each] = held.frame.select(list(held.schema))
    try:
        found = duck.run(check.sql, frames, limit_s=LIMIT_S)
    except MillstreamError as wrong:
        raise DefinitionError(f"{subject}: {wrong.happened}", expected="SQL as DuckDB reads it") from None
    key, failed = list(scene.table.key), found.height
    keyed = bool(key) and all(each in found.columns for each in key)
    says = f"{subject}: no rows" if not failed else f"{subject}: {count(failed, 'row')}, for instance {_first(found)}"
    result = CheckResult(
        check="query",
        subject=subject,
        severity=check.severity,
        ok=not failed,
        failed_rows=failed,
        share=None,
        threshold=None,
        says=says,
        rows=tuple(found.head(EXAMPLES).select(key if keyed else found.columns[:6]).to_dicts()) if failed else (),
    )
    if not keyed or not failed or check.severity == "note":
        return result, None
    return result, aside(found, f"query {subject}", f"returned by the query {check.name or check.sql}", scene)


def aside(rows: pl.DataFrame, label: str, reason: str, scene: Scene) -> pl.DataFrame:
    """Make the rows to set aside, by key."""
    types = scene.batch.frame.schema
    return rows.select(
        *(pl.col(each).cast(types[each]) for each in scene.table.key),
        pl.lit(label).alias("check"),
        pl.lit(reason).alias("reason"),
    )


def _read(name: str, scene: Scene, subject: str) -> Any:
    try:
        return scene.other(name)
    except (MillstreamError, KeyError) as wrong:
        said = wrong.do if isinstance(wrong, MillstreamError) else near(name, ())
        raise DefinitionError(
            f"query of {subject} names table {name!r}, which is not there",
            expected=said or "a table of the lake",
            do="tables={'what dbt calls it': 'what the lake does'}",
        ) from None


def _first(found: pl.DataFrame) -> str:
    row = found.row(0, named=True)
    return ", ".join(f"{name} = {value}" for name, value in list(row.items())[:4])
