"""Trust: what must hold of a table, asked of every batch in one pass, told in words.

``run`` interprets the checks of a table's definition. What fails is reported with its values; rows that fail are
handed over with their reason, to be masked by key. Nothing is dropped, and nothing here is written anywhere.
"""

from millstream.checks.contract import Change, changes, compare, summary, validate
from millstream.checks.report import CheckReport, CheckResult
from millstream.checks.runner import by_the_clock, run
from millstream.checks.scene import Reader

__all__ = [
    "Change",
    "CheckReport",
    "CheckResult",
    "Reader",
    "by_the_clock",
    "changes",
    "compare",
    "run",
    "summary",
    "validate",
]
