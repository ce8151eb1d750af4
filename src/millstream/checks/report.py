"""What checks found, as records that travel: to the ledger, the page, the quarantine and the alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from millstream.definitions.checks import Severity
from millstream.errors import ContractBroken


class CheckResult(msgspec.Struct, frozen=True):
    """What one check found.

    Parameters
    ----------
    check
        Its kind: ``unique``, ``between``, ``nulls``, ``holds``, ``references``, ``fresh``, ``complete`` or ``schema``.
    subject
        What it is about: ``movements.tailnum``.
    severity
        ``note``, ``warn`` or ``stop``.
    ok
        Whether the check holds.
    failed_rows
        Rows that fail it; for ``nulls`` the NULLs, for ``complete`` the missing rows of the days that fail.
    share
        What was measured, 0 to 1: the share of failing rows, of NULLs, or (``complete``) of expected rows present on
        the worst day judged. None where nothing was measured.
    threshold
        The limit the share was held against; None where there is none.
    says
        One sentence with the values.
    rows
        Keys of at most five failing rows.
    detail
        More, by kind: ``complete`` gives ``days``, the shares of each day judged.
    """

    check: str
    subject: str
    severity: Severity
    ok: bool
    failed_rows: int
    share: float | None
    threshold: float | None
    says: str
    rows: tuple[dict[str, Any], ...] = ()
    detail: dict[str, Any] = {}


@dataclass(frozen=True)
class CheckReport:
    """What all checks of a table found in one batch.

    Parameters
    ----------
    table, version
        What was checked.
    rows
        Rows of the batch.
    results
        One for each check, in the order they are declared.
    quarantine
        Rows to set aside: the table's key columns, ``check`` and ``reason`` (texts). A row that fails two checks
        stands there twice.
    """

    table: str
    version: int
    rows: int
    results: tuple[CheckResult, ...]
    quarantine: pl.DataFrame

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """Checks that do not hold."""
        return tuple(each for each in self.results if not each.ok)

    @property
    def stops(self) -> tuple[CheckResult, ...]:
        """Checks of severity ``stop`` that do not hold."""
        return tuple(each for each in self.failed if each.severity == "stop")

    @property
    def ok(self) -> bool:
        """Whether nothing keeps the version from being used."""
        return not self.stops

    def enforce(self) -> None:
        """Do nothing if the version may be used.

        Raises
        ------
        ContractBroken
            When a check of severity ``stop`` failed; the message holds every such sentence.
        """
        if self.stops:
            raise ContractBroken(
                f"table {self.table!r} version {self.version} breaks its contract: "
                + "; ".join(each.says for each in self.stops),
                expected="every check of severity 'stop' to hold",
                do=f"millstream check {self.table}",
            )
