"""Alarms of tables, one a kind and table: opened, renewed and closed, each with its row on the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.state import alarms

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.state.database import Transaction

ACTOR = "system:lake"


class Wrong(msgspec.Struct, frozen=True):
    """What is wrong with a table.

    Parameters
    ----------
    says, next
        What it is, and what to do next.
    severity
        ``warn`` or ``stop``.
    value, threshold
        What was measured, and what it may be.
    detail
        More, for whoever looks.
    """

    says: str
    next: str
    severity: str = "warn"
    value: float | None = None
    threshold: float | None = None
    detail: dict[str, Any] = {}


def settle(
    project: Project,
    kind: str,
    *,
    wrong: Mapping[str, Wrong],
    over: Callable[[str], str | None],
    also: Callable[[Transaction], None] | None = None,
) -> None:
    """Open an alarm for each subject with something wrong, renew those that are open, close those that are over.

    Parameters
    ----------
    project, kind
        Where, and what the alarms are about.
    wrong
        Subjects, such as tables, with what is wrong.
    over
        Says of an open alarm's subject that is not wrong why it is over; None where that is not known.
    also
        Written in the same transaction.
    """
    open_ = alarms.of_tables(project.state, kind)
    ended = {each: says for each in open_ if each not in wrong and (says := over(each)) is not None}
    if not (wrong or ended or also):
        return
    now = project.clock.now().isoformat()
    with project.state.transact() as tx:
        if also is not None:
            also(tx)
        for subject, says in ended.items():
            alarm = open_[subject]
            alarms.put(tx, msgspec.structs.replace(alarm, closed_at=now, detail=alarm.detail | {"closed": says}))
            _tell(project, tx, "alarm.close", alarm, says)
        for subject, said in wrong.items():
            if subject in open_:
                renewed = {"last_at": now, "says": said.says, "value": said.value, "next": said.next}
                alarms.put(tx, msgspec.structs.replace(open_[subject], **renewed))
                continue
            fresh = alarms.Alarm(
                id=alarms.alarm_id("", kind, subject, now), model="", kind=kind, subject=subject, opened_at=now,
                since=now[:10], last_at=now, **msgspec.structs.asdict(said),
            )  # fmt: skip
            alarms.put(tx, fresh)
            _tell(project, tx, "alarm.open", fresh, fresh.says)


def undefined(project: Project, table: str) -> str | None:
    """Say of a table that nobody defines any more that this is so; None of one that is defined."""
    return None if table in project.manifest.tables else f"table {table} is no longer defined"


def _tell(project: Project, tx: Transaction, act: str, alarm: alarms.Alarm, says: str) -> None:
    detail = {"id": alarm.id, "model": "", "says": says}
    project.ledger.append(tx, actor=ACTOR, act=act, subject=f"{alarm.kind} {alarm.subject}", detail=detail)
