"""Tests that only their own library can run: one worker for each library, over the rows of a batch.

The worker is ``python -m millstream.integrations.LIBRARY TASK.json`` in the project's folder. It gets the rows as a
Parquet file and answers, for each test, whether it holds, how many rows fail, and which.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import polars as pl

from millstream.checks.contract import subject
from millstream.checks.report import CheckResult
from millstream.checks.scene import Scene
from millstream.checks.suited import EXAMPLES, Told, aside
from millstream.checks.words import count, percent
from millstream.definitions.checks import Check, Own
from millstream.processes import environment_of_child

TIMEOUT_S = 900.0
_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


class Task(msgspec.Struct, frozen=True):
    """What a worker is to do: the rows' file, the tests' specifications as JSON, and the file for the answers."""

    rows: str
    tests: tuple[str, ...]
    answer: str


class Verdict(msgspec.Struct, frozen=True):
    """What a library found of one test.

    Parameters
    ----------
    ok
        Whether it holds.
    failed
        Rows that fail.
    at
        Their positions in the batch, where the library says.
    says
        What it found, in words.
    error
        Why it could not be run; empty where it was.
    """

    ok: bool = False
    failed: int = 0
    at: tuple[int, ...] = ()
    says: str = ""
    error: str = ""


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Let workers run in a project's folder."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def run(checks: Sequence[Check], scene: Scene) -> dict[Check, Told]:
    """Have every test that was not translated run by its own library; say of each that cannot be, what to do."""
    found: dict[Check, Told] = {}
    wanted: dict[str, list[Own]] = {}
    for each in checks:
        if isinstance(each, Own) and not each.spec:
            found[each] = _unread(each, scene, each.why), None
        elif isinstance(each, Own):
            wanted.setdefault(each.library, []).append(each)
    for library, tests in wanted.items():
        for test, verdict in zip(tests, _ask(library, tests, scene), strict=True):
            found[test] = _told(test, verdict, scene)
    return found


def _ask(library: str, tests: list[Own], scene: Scene) -> Sequence[Verdict]:
    with TemporaryDirectory(prefix="millstream-suite-") as held:
        folder = Path(held)
        rows, answer, task = folder / "rows.parquet", folder / "answer.json", folder / "task.json"
        scene.batch.frame.select(list(scene.batch.schema)).write_parquet(rows)
        task.write_bytes(msgspec.json.encode(Task(str(rows), tuple(each.spec for each in tests), str(answer))))
        command = [sys.executable, "-m", f"millstream.integrations.{library}", str(task)]
        try:
            done = subprocess.run(
                command,
                cwd=_folder.get(),
                env=environment_of_child(GX_ANALYTICS_ENABLED="false"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [Verdict(error=f"{library} did not finish in {TIMEOUT_S:.0f} s")] * len(tests)
        if not answer.exists():
            said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][-300:]
            return [Verdict(error=f"{library} ended with exit code {done.returncode}: {said}")] * len(tests)
        return msgspec.json.decode(answer.read_bytes(), type=list[Verdict])


def _told(test: Own, verdict: Verdict, scene: Scene) -> Told:
    if verdict.error:
        return _unread(test, scene, verdict.error), None
    rows, about = scene.batch.frame.height, subject(scene.table, test)
    share = verdict.failed / rows if rows else 0.0
    how_many = f"{verdict.failed:,} of {count(rows, 'row')} ({percent(share)}) fail" if verdict.failed else ""
    said = "; ".join(each for each in (how_many, verdict.says) if each) or ("holds" if verdict.ok else "does not hold")
    failing = scene.batch.frame[list(verdict.at)] if verdict.at else None
    key = list(scene.table.key)
    result = CheckResult(
        check=f"{test.library}.own",
        subject=about,
        severity=test.severity,
        ok=verdict.ok,
        failed_rows=verdict.failed,
        share=share,
        threshold=None,
        says=f"{about}: {said} (run by {test.origin})",
        rows=tuple(failing.head(EXAMPLES).select(key or failing.columns[:4]).to_dicts()) if failing is not None else (),
        detail={"origin": test.origin, "not_translated": test.why},
    )
    if failing is None or not key or verdict.ok or test.severity == "note":
        return result, None
    return result, aside(failing, f"{test.library}.own {about}", f"fails {test.test}", scene)


def _unread(test: Own, scene: Scene, why: str) -> CheckResult:
    """Say that a test was not run: that is no pass."""
    about = subject(scene.table, test)
    return CheckResult(
        check=f"{test.library}.own",
        subject=about,
        severity="note" if test.severity == "note" else "warn",
        ok=False,
        failed_rows=0,
        share=None,
        threshold=None,
        says=f"{about}: was not run: {why}; {test.do} ({test.origin})",
        detail={"origin": test.origin, "not_translated": test.why, "not_run": why},
    )


def pandas_of(rows: pl.DataFrame) -> Any:
    """Turn rows into pandas without pyarrow: NULL is NaN and instants are naive UTC, as these libraries know them."""
    import pandas as pd

    def values(column: pl.Series) -> Any:
        if column.dtype == pl.String:
            return pd.array(column.to_list(), dtype="str")
        if column.dtype == pl.Boolean and column.null_count():
            return column.to_list()
        zoned = column.dtype == pl.Datetime("us", "UTC")
        return (column.dt.replace_time_zone(None) if zoned else column).to_numpy()

    return pd.DataFrame({each.name: values(each) for each in rows}, index=range(rows.height))
