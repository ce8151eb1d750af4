"""Alarms about data: broken contracts, and batches that came later than declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from millstream.checks.report import CheckReport, CheckResult
from millstream.monitoring.finding import Finding
from millstream.state.observations import Verdict

_LATE_SHARE = 0.01


def from_checks(report: CheckReport, day: date) -> list[Finding]:
    """Turn the results of a batch's checks into findings; ``warn`` and ``stop`` can become alarms.

    The subject is what was checked and how: ``movements.complete``, ``weather.visib.nulls``.
    """
    return _from_results(report.table, report.version, report.rows, report.results, day)


def from_record(record: Mapping[str, Any], day: date) -> list[Finding]:
    """Do the same with a report as it is kept: ``table``, ``version``, ``rows`` and ``results`` as plain data."""
    results = msgspec.convert(record["results"], tuple[CheckResult, ...])
    return _from_results(
        record["table"], record["version"], record["rows"], results, day, checked_at=record.get("checked_at")
    )


def _from_results(
    table: str, version: int, rows: int, results: Iterable[CheckResult], day: date, *, checked_at: str | None = None
) -> list[Finding]:
    found: dict[str, Finding] = {}
    told = tuple(results)
    for result in told:
        subject = _subject(table, result)
        broken = not result.ok and result.severity != "note" and not _explained(result, told)
        finding = Finding(
            day=day.isoformat(),
            model="",
            kind="contract",
            subject=subject,
            verdict="alarm" if broken else "ok",
            value=result.share,
            threshold=result.threshold,
            says=f"{table}@{version}: {result.says}",
            severity=result.severity,
            since=day.isoformat(),
            next=f"millstream check {table}",
            detail={
                "check": result.check,
                "version": version,
                "checked_at": checked_at,
                "failed": result.failed_rows,
                "rows": rows,
                "repaired": result.ok and bool(result.detail.get("repaired")),
            },
        )
        before = found.get(subject)
        if before is not None and before.verdict == "alarm" and broken:  # one batch, one cause, several columns
            also = f"{before.says}; and {result.subject}"
            found[subject] = msgspec.structs.replace(before, says=also) if result.detail.get("noticed") else finding
        elif before is None or broken:  # two checks of one name: the broken one speaks
            found[subject] = finding
    return list(found.values())


def _explained(result: CheckResult, told: Iterable[CheckResult]) -> bool:
    """Whether a new category is told of already, by the zeros that came with it: one cause is one alarm."""
    if result.check != "new_category" or result.severity == "stop":
        return False
    zeros = [each.detail for each in told if each.check == "zeros" and not each.ok and each.severity != "note"]
    named = {value for each in zeros if each.get("by") == result.detail.get("by") for value in each.get("values", ())}
    return bool(named) and set(result.detail.get("values", ())) <= named


def _subject(table: str, result: CheckResult) -> str:
    if result.detail.get("noticed"):  # whichever columns: what froze or is zero in one batch has one cause
        return f"{table}.{result.check}"
    if result.check in ("complete", "fresh"):  # of the table, whichever column they look at
        return f"{table}.{result.check}"
    return result.subject if result.check == "holds" else f"{result.subject}.{result.check}"


def from_lag(table: str, day: date, *, known_at: pl.Series, seen_at: datetime, declared: timedelta) -> Finding:
    """Judge whether a batch arrived within the table's declared lag.

    Parameters
    ----------
    known_at
        When each of its rows became known, without the lag (instants; NULL is passed over).
    seen_at
        When the lake version that brought it was registered.
    declared
        The table's ``lag``. More than one row in a hundred later than that is an alarm: training believes it
        could have used them.
    """
    waits = (pl.lit(seen_at) - pl.col("known_at")).dt.total_seconds() / 3600
    hours = pl.DataFrame({"known_at": known_at.drop_nulls()}).select(waits.alias("hours"))["hours"].clip(lower_bound=0)
    limit = declared.total_seconds() / 3600
    late = int((hours > limit).sum())
    worst = hours.quantile(0.99)
    verdict: Verdict = "unknown" if worst is None else "alarm" if late > _LATE_SHARE * len(hours) else "ok"
    return Finding(
        day=day.isoformat(),
        model="",
        kind="lag",
        subject=table,
        verdict=verdict,
        value=worst,
        threshold=limit,
        says=f"{table}: no rows"
        if worst is None
        else f"{table}: 99 % of {len(hours)} rows were here {worst:.1f} h"
        f" after they were known, {late} later than the declared {limit:.0f} h",
        since=day.isoformat(),
        next=f"raise lag of table {table} in its definition, or ask its owner",
        detail={"late": late, "rows": len(hours)},
    )
