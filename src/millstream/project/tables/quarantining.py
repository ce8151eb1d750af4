"""Rows in quarantine: what is there and why, and a person's way to let rows back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import NotFound, Refused, UserError, near
from millstream.project.people import Person
from millstream.project.unseen import refuse_blind
from millstream.state import quarantine, released

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.state.quarantine import Masked

_SHOWN = 1000


def masked(project: Project, *, table: str, check: str = "", actor: str = "somebody") -> dict[str, Any]:
    """List what is in quarantine of a table: the checks that put it there, and its rows by key, with reasons.

    Reasons quote values and rows are named by their keys: who sees columns of the table masked sees neither.

    Raises
    ------
    Refused
        For somebody who sees only some rows of the table.
    """
    definition, reader = project.manifest.table(table), Person(project, actor)
    sight = reader.sight(table)
    if sight.where is not None:
        raise Refused(
            f"what is in quarantine of {table!r} may be rows that {actor} does not see",
            expected="a role that sees every row of it",
        )
    hides_key, hides_why = any(each in sight.masks for each in definition.key), bool(sight.masks)
    rows = _of(project, table, check)
    groups: dict[tuple[str, int], list[Masked]] = defaultdict(list)
    for each in rows:
        groups[(each.check, each.version)].append(each)
    return {
        "table": table,
        "key": list(definition.key),
        "checks": [
            {"check": name, "version": version, "rows": len(found), "reason": "" if hides_why else found[0].reason}
            for (name, version), found in sorted(groups.items(), key=lambda each: (each[0][1], each[0][0]))
        ],
        "rows": [
            {
                "key": "(masked)" if hides_key else words(each),
                "check": each.check,
                "version": each.version,
                "reason": "" if hides_why else each.reason,
            }
            for each in rows[:_SHOWN]
        ],
        "count": len({each.key for each in rows}),
        "released": released.of(project.state, table),
    }


def let_back(
    project: Project,
    *,
    table: str,
    keys: Sequence[str] = (),
    check: str = "",
    reason: str = "",
    actor: str = "somebody",
) -> dict[str, Any]:
    """Let rows out of quarantine: these keys, or all that a check put there; trusted reads have them again.

    Raises
    ------
    UserError
        Without a reason, or without saying which rows.
    NotFound
        For a key or check of which nothing is in quarantine.
    Refused
        For somebody who sees only some rows of the table, or names keys and sees them masked.
    """
    if not reason.strip():
        raise UserError("no reason is given", expected="why these rows may be trusted", do="--reason '...'")
    if not keys and not check:
        raise UserError("no rows are named", expected="keys, or a check", do="--release KEY, or --check NAME")
    definition = project.manifest.table(table)
    refuse_blind(Person(project, actor), table, definition.key if keys else ())
    rows = _of(project, table, check)
    if keys:
        there = {words(each) for each in rows}
        for each in keys:
            if each not in there:
                raise NotFound(f"nothing of key {each!r} is in quarantine of {table!r}", do=near(each, there))
        rows = [each for each in rows if words(each) in set(keys)]
    if not rows:
        raise NotFound(f"nothing is in quarantine of {table!r}", do=f"millstream quarantine {table}")
    at = project.clock.now().isoformat()
    before = {each for each in released.hashes(project.state) if each[0] == table}
    while (table, at) in before:  # a replayed clock stands still
        at += "+"
    with project.state.transact() as tx:
        written = released.put(tx, rows, actor=actor, reason=reason, at=at)
        said = {"rows": len(rows), "reason": reason, "check": check, "at": at, "released": written}
        project.ledger.append(tx, actor=actor, act="table.let_back", subject=table, detail=said)
    from millstream.project.tables.data import keep_served

    keep_served(project)
    return {"table": table, "rows": len(rows), "keys": len({each.key for each in rows}), "reason": reason}


def verify_released(project: Project) -> dict[str, str]:
    """Name the tables of which rows were let back that the ledger does not tell of."""
    told = {
        (each.subject, each.detail["at"]): each.detail["released"]
        for each in project.ledger.rows(acts=("table.let_back",), limit=1 << 40, newest=False)
    }
    kept = released.hashes(project.state)
    return {
        f"{name}": f"what was let back from quarantine at {at} is not as the ledger tells"
        for name, at in {*told, *kept}
        if told.get((name, at)) != kept.get((name, at))
    }


def words(row: Masked) -> str:
    """Write a key as a person would: its values, with commas between."""
    return ",".join(str(each) for each in msgspec.json.decode(row.key))


def _of(project: Project, table: str, check: str) -> list[Masked]:
    project.manifest.table(table)
    head = project.lake.head(table)
    rows = quarantine.upto(project.state, table, head.version)
    if not check:
        return rows
    found = [each for each in rows if check in (each.check, each.check.partition(" ")[0])]
    if rows and not found:
        names = {each.check for each in rows}
        raise NotFound(f"no check {check!r} put rows of {table!r} in quarantine", do=near(check, names))
    return found
