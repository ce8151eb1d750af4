"""Run a table's checks over a batch, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from millstream.checks import completeness, expected, outside, suited, volume
from millstream.checks.ask import MARKS, ROWS, Asked, ask, failing, positions
from millstream.checks.contract import kind, subject
from millstream.checks.report import CheckReport, CheckResult
from millstream.checks.scene import Reader, Scene
from millstream.checks.tell import tell
from millstream.definitions.checks import (
    Check,
    Complete,
    Defaults,
    Expected,
    Fresh,
    Frozen,
    Imported,
    NewCategory,
    Query,
    Volume,
    Zeros,
)
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError
from millstream.lake.frame import TableFrame
from millstream.types import parse_duration


def run(
    table: Table,
    batch: TableFrame,
    *,
    known_keys: Callable[[], pl.DataFrame] | None,
    other: Reader,
    now: datetime,
    timezone: str,
    since: datetime | None = None,
    newest: datetime | None = None,
) -> CheckReport:
    """Run every check of a table over the rows that a version brought.

    Parameters
    ----------
    table
        The definition, whose checks are run.
    batch
        The rows to check; none is fine, and then only completeness has something to say.
    known_keys
        Gives the key columns of all earlier rows, with their known-at columns where the table has them (as
        ``TableFrame.known`` names them); called only for ``unique``. None for a first batch.
    other
        Reads any table, the checked one included; see ``Reader``.
    now
        The project's instant, aware.
    timezone
        Zone whose midnights part the days of ``complete``.
    since
        The instant at which this table's checks last ran: ``complete`` judges each day that became due after it. Left
        out, it judges the last due day.
    newest
        The newest event of the rows before this batch, for ``fresh``: an old batch makes no table older.

    Returns
    -------
    CheckReport
        One result per check, and the rows to set aside.

    Raises
    ------
    DefinitionError
        When a check names a column or type that is not there; near matches are named.
    BadData
        When an expression of a check cannot be computed over these rows.

    Notes
    -----
    31 checks of 337,000 rows take 0.04 s; a clean batch is passed once.
    """
    scene = Scene(table, batch, known_keys, other, now, timezone, since, newest)
    apart = suited_apart(scene)
    asked = [Asked({}) if check in apart else _asked(check, scene, apart) for check in table.checks]
    answers = _answer(asked, scene)
    results: list[CheckResult] = []
    aside: list[pl.DataFrame] = []
    for check, answer in zip(table.checks, answers, strict=True):
        beside = _beside(check, scene)
        if beside is not None:
            results.append(beside)
            continue
        if isinstance(check, NewCategory | Zeros | Frozen | Defaults):
            continue  # ``noticed`` judges these, which need what earlier batches were like
        result, rows = apart[check] if check in apart else tell(check, answer, scene)
        results.append(result)
        if rows is not None:
            aside.append(rows)
    return CheckReport(
        table=table.name,
        version=batch.version,
        rows=batch.frame.height,
        results=tuple(results),
        quarantine=pl.concat(aside) if aside else _nothing(scene),
    )


def suited_apart(scene: Scene) -> dict[Check, suited.Told]:
    """Answer queries, and have tests that were not translated run by their own library."""
    found = outside.run(scene.table.checks, scene)
    for check in scene.table.checks:
        inner = check.check if isinstance(check, Imported) else check
        if not isinstance(inner, Query):
            continue
        try:
            made = suited.query(inner, scene, subject(scene.table, inner))
            found[check] = suited.told(check, made, {}) if isinstance(check, Imported) else made
        except DefinitionError as wrong:
            if not isinstance(check, Imported):
                raise
            found[check] = suited.refused(check, wrong, subject(scene.table, check)), None
    return found


def _asked(check: Check, scene: Scene, apart: dict[Check, suited.Told]) -> Asked:
    """Return what a check asks; a translated test that cannot be asked is answered at once, and stops no other."""
    try:
        return ask(check, scene)
    except DefinitionError as wrong:
        if not isinstance(check, Imported):
            raise
        apart[check] = suited.refused(check, wrong, subject(scene.table, check)), None
        return Asked({})


def _beside(check: Check, scene: Scene) -> CheckResult | None:
    """Judge a check that reads more than the batch; None for the others."""
    match check:
        case Complete():
            return completeness.check(check, scene)
        case Expected():
            return expected.check(check, scene)
        case Volume():
            return volume.check(check, scene)
        case _:
            return None


def by_the_clock(table: Table, *, now: datetime, timezone: str, since: datetime) -> tuple[Check, ...]:
    """Name the checks that time alone may break: no rows came since ``since``, and that may be the trouble."""
    lag = parse_duration(table.lag)
    newly_due = completeness.last_due(now, timezone=timezone, lag=lag) > completeness.last_due(
        since, timezone=timezone, lag=lag
    )
    daily = Complete | Expected | Volume
    return tuple(each for each in table.checks if isinstance(each, Fresh) or (isinstance(each, daily) and newly_due))


def _answer(asked: list[Asked], scene: Scene) -> list[dict[str, Any]]:
    """Compute everything asked in one select, and in a second one where the rows lie that failed."""
    if not scene.batch.frame.height:
        return [{} for _ in asked]
    found = _select([each.first for each in asked], asked, scene)
    where: list[dict[str, pl.Expr]] = []
    for each, answers in zip(asked, found, strict=True):
        some = each.fails is not None and failing(each, answers)
        where.append({ROWS: positions(each.fails)} if some and each.fails is not None else {})
        answers.pop(MARKS, None)
    nowhere = pl.Series(dtype=pl.Int64)
    return [
        {ROWS: nowhere, **first, **then}
        for first, then in zip(found, _select(where, asked, scene) if any(where) else where, strict=True)
    ]


def _select(questions: Sequence[Mapping[str, pl.Expr]], asked: list[Asked], scene: Scene) -> list[dict[str, Any]]:
    columns = [
        expression.alias(f"{number}.{name}")
        for number, each in enumerate(questions)
        for name, expression in each.items()
    ]
    if not columns:
        return [{} for _ in questions]
    try:
        found = scene.batch.frame.lazy().select(columns).collect()
    except pl.exceptions.PolarsError:
        raise _culprit(asked, scene) from None
    return [{name: _value(found[f"{number}.{name}"]) for name in each} for number, each in enumerate(questions)]


def _value(answer: pl.Series) -> Any:
    return answer[0] if isinstance(answer.dtype, pl.List) else answer.item()


def _culprit(asked: list[Asked], scene: Scene) -> BadData:
    """Find the check that could not be computed, asking one by one."""
    for check, each in zip(scene.table.checks, asked, strict=True):
        try:
            scene.batch.frame.select(**each.first)
        except pl.exceptions.PolarsError as wrong:
            return BadData(
                f"check {kind(check)!r} of table {scene.table.name!r} cannot be computed: {wrong}",
                expected="an expression that holds for every row; try_cast gives NULL where cast fails",
            )
    return BadData(f"the checks of table {scene.table.name!r} cannot be computed together", do="report this")


def _nothing(scene: Scene) -> pl.DataFrame:
    schema = {name: scene.batch.frame.schema[name] for name in scene.table.key if name in scene.batch.frame.schema}
    return pl.DataFrame(schema={**schema, "check": pl.String(), "reason": pl.String()})
