"""What a check's answers mean: a result in words, and the rows to set aside with the reason why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from millstream.checks import suited
from millstream.checks.ask import ROWS, earlier, fingerprint, identity, positions
from millstream.checks.contract import kind, subject
from millstream.checks.report import CheckResult
from millstream.checks.scene import Scene
from millstream.checks.words import count, percent, span, value
from millstream.definitions.checks import (
    Agrees,
    Between,
    Check,
    Fresh,
    Holds,
    Imported,
    Isin,
    Lag,
    Matches,
    Nulls,
    Outliers,
    References,
    Unique,
)
from millstream.types import parse_duration

EXAMPLES = 5
"""Failing rows named in a result."""

Answers = Mapping[str, Any]


def tell(check: Check, answers: Answers, scene: Scene) -> tuple[CheckResult, pl.DataFrame | None]:
    """Turn a check's answers into its result and, for a check of rows that sets rows aside, those rows."""
    if isinstance(check, Imported):
        return suited.told(check, tell(check.check, {**answers, "exact": bool(check.where)}, scene), answers)
    if isinstance(check, Fresh):
        newest = max((each for each in (answers.get("newest"), scene.newest) if each is not None), default=None)
        return freshness(check, newest, scene), None
    if not scene.batch.frame.height:
        return _result(check, scene, ok=True, says=f"{subject(scene.table, check)}: no rows"), None
    match check:
        case Nulls():
            return _tell_nulls(check, answers, scene), None
        case Lag():
            return _tell_lag(check, answers, scene), None
        case _:
            return _tell_rows(check, answers, scene)


def _result(check: Check, scene: Scene, *, ok: bool, says: str, **more: Any) -> CheckResult:
    fields: dict[str, Any] = {"failed_rows": 0, "share": None, "threshold": None} | more
    named = subject(scene.table, check)
    return CheckResult(check=kind(check), subject=named, severity=check.severity, ok=ok, says=says, **fields)


def _tell_nulls(check: Nulls, answers: Answers, scene: Scene) -> CheckResult:
    rows, nulls = scene.batch.frame.height, int(answers["nulls"])
    ok = nulls <= check.at_most * rows
    says = (
        f"{subject(scene.table, check)}: {percent(nulls / rows)} NULL ({nulls:,} of {count(rows, 'row')}), "
        f"{'limit' if ok else 'above the limit of'} {percent(check.at_most)}"
    )
    share = nulls / rows
    return _result(check, scene, ok=ok, says=says, failed_rows=nulls, share=share, threshold=check.at_most)


def _tell_lag(check: Lag, answers: Answers, scene: Scene) -> CheckResult:
    rows, named, limit = scene.batch.frame.height, subject(scene.table, check), parse_duration(check.within)
    if scene.since is None:
        return _result(check, scene, ok=True, says=f"{named}: a first batch, which is of any age")
    late = int(answers["late"] or 0)
    longest = span(answers["longest"]) if answers["longest"] is not None else "never"
    beyond = f"{late:,} of {count(rows, 'row')} beyond {span(limit)}"
    says = f"{named}: rows came up to {longest} after they were known, {beyond}"
    return _result(check, scene, ok=not late, says=says, failed_rows=late, share=late / rows, threshold=0.0)


def freshness(check: Fresh, newest: datetime | None, scene: Scene) -> CheckResult:
    """Judge the newest event of a table, which a batch brought or an earlier one."""
    named = subject(scene.table, check)
    if newest is None:
        rows = scene.batch.frame.height
        return _result(check, scene, ok=not rows, says=f"{named}: no {'row has an event time' if rows else 'rows'}")
    age = scene.now - newest
    limit = parse_duration(check.within)
    when = f"{span(age)} {'old' if age.total_seconds() >= 0 else 'ahead of now'}"
    ok = age <= limit
    says = f"{named}: the newest event is {when}, {'limit' if ok else 'above the limit of'} {span(limit)}"
    return _result(check, scene, ok=ok, says=says, detail={"newest": newest.isoformat()})


def _tell_rows(check: Check, answers: Answers, scene: Scene) -> tuple[CheckResult, pl.DataFrame | None]:
    frame = scene.batch.frame
    at: pl.Series = answers[ROWS]
    if isinstance(check, Unique) and at.len() and not answers.get("exact"):
        at = _twins(check, at, scene)
    named, failed = subject(scene.table, check), at.len()
    if not failed:
        return _result(check, scene, ok=True, says=f"{named}: {_holds(check, answers, frame.height)}", share=0.0), None
    rows = frame[at]
    key = list(scene.table.key)
    shown = key or [each for each in _looked_at(check) if each in frame.columns]
    share = failed / frame.height
    allowed = check.at_most if isinstance(check, Outliers) else 0.0
    result = _result(
        check,
        scene,
        ok=share <= allowed,
        says=f"{named}: {failed:,} of {count(frame.height, 'row')} ({percent(share)}) {_fails(check, answers, rows)}",
        failed_rows=failed,
        share=share,
        threshold=allowed,
        rows=tuple(rows.head(EXAMPLES).select(shown).to_dicts()),
    )
    if check.severity == "note" or not key or result.ok:
        return result, None
    aside = rows.select(
        *key, pl.lit(f"{kind(check)} {named}").alias("check"), _reason(check, scene).cast(pl.String).alias("reason")
    )
    return result, aside


def _twins(check: Unique, at: pl.Series, scene: Scene) -> pl.Series:
    """Find the rows that agree with another value by value; equal fingerprints may be chance."""
    same = identity(check.columns, scene)
    mark = fingerprint(same)
    marks = scene.batch.frame[at].select(mark.alias("mark"))["mark"].unique()
    at = scene.batch.frame.select(positions(mark.is_in(marks.implode())).alias("at"))["at"][0]
    found = scene.batch.frame[at].select(same).with_columns(at.alias("at"))
    inside = found.filter(pl.struct(same).is_duplicated())
    before = earlier(same, scene)
    if before is None:
        return inside["at"]
    outside = found.join(before, on=same, how="semi", nulls_equal=True)
    return pl.concat([inside["at"], outside["at"]]).unique().sort()


def _looked_at(check: Check) -> tuple[str, ...]:
    match check:
        case Unique(columns=columns):
            return columns
        case Between(column=column) | References(column=column) | Isin(column=column) | Matches(column=column):
            return (column,)
        case Outliers(column=column):
            return (column,)
        case _:
            return ()


def _holds(check: Check, answers: Answers, rows: int) -> str:
    match check:
        case Between() if answers["lowest"] is not None:
            bounds = f"{value(check.low)} to {value(check.high)}"
            return f"values from {value(answers['lowest'])} to {value(answers['highest'])}, within {bounds}"
        case Between():
            return "all NULL"
        case Unique():
            return f"no two of {count(rows, 'row')} alike"
        case References():
            return f"all found in {check.to}"
        case Isin():
            return f"all of {count(len(check.values), 'value')}"
        case Matches():
            return f"all match {check.pattern}"
        case Outliers():
            return f"none beyond {_fences(answers)}"
        case Agrees():
            return f"as {check.value} of {check.table} for {count(rows, 'row')}"
        case _:
            return f"true for {count(rows, 'row')}"


def _fences(answers: Answers) -> str:
    if answers["low"] is None:
        return "any value, as more than half are alike"
    how = "of the logarithms" if answers["skewed"] else "of the values"
    return f"{answers['low']:.4g} to {answers['high']:.4g} (median and MAD {how})"


def _fails(check: Check, answers: Answers, rows: pl.DataFrame) -> str:
    match check:
        case Between():
            extremes = f"values go from {value(answers['lowest'])} to {value(answers['highest'])}"
            return f"outside {value(check.low)} to {value(check.high)}; {extremes}"
        case Isin() | Matches():
            odd = rows[check.column].value_counts(sort=True).head(EXAMPLES)
            some = ", ".join(f"{value(each)} ({n:,})" for each, n in odd.rows())
            return f"{'not one of the set' if isinstance(check, Isin) else f'do not match {check.pattern}'}: {some}"
        case Outliers():
            return f"beyond {_fences(answers)}"
        case Agrees():
            return f"differ from {check.value} of {check.table} with the same {check.on}"
        case References():
            absent = rows[check.column].unique(maintain_order=True).to_list()
            some = ", ".join(value(each) for each in absent[:EXAMPLES]) + (" ..." if len(absent) > EXAMPLES else "")
            return f"not found in {check.to}: {some}"
        case Unique(columns=columns):
            first = rows.select(columns).row(0)
            example = ", ".join(f"{name} = {value(each)}" for name, each in zip(columns, first, strict=True))
            return f"repeat another row and are no correction of it, for instance {example}"
        case _:
            return "say false"


def _reason(check: Check, scene: Scene) -> pl.Expr:
    match check:
        case Between(column=column):
            limits = f"outside {value(check.low)} to {value(check.high)}"
            return pl.format("{} is {}, " + limits, pl.lit(column), pl.col(column))
        case References(column=column):
            return pl.format("{} is {}, not found in {}", pl.lit(column), pl.col(column), pl.lit(check.to))
        case Unique(columns=columns):
            when = " and known-at" if scene.batch.known_for(columns) else ""
            return pl.lit(f"another row has the same {', '.join(columns)}{when}")
        case Isin(column=column):
            return pl.format("{} is {}, not one of the set", pl.lit(column), pl.col(column))
        case Matches(column=column, pattern=pattern):
            return pl.format("{} is {}, which does not match {}", pl.lit(column), pl.col(column), pl.lit(pattern))
        case Outliers(column=column):
            return pl.format("{} is {}, far from the others", pl.lit(column), pl.col(column))
        case Agrees():
            return pl.lit(f"{check.expression} is not {check.value} of {check.table}")
        case Holds(expression=text):
            return pl.lit(f"not true: {text}")
        case _:
            return pl.lit(kind(check))
