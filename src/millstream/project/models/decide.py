"""Decide: one decision with its whole history in plain words, those taken before it, and the notes people left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import UserError
from millstream.project.models import plain
from millstream.project.models.ship import live, waiting_one
from millstream.project.timeline import frame, told
from millstream.state import decisions, jobs, notes, pointer
from millstream.state import releases as rows
from millstream.types import parse_duration, parse_instant

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.state.decisions import Decision
    from millstream.state.releases import ReleaseRow

PAGE = 20
"""Decisions on one page of the list."""
_HISTORY = 200
_OTHERS = 10


def decision(project: Project, *, decision: int | str | None = None, actor: str = "somebody") -> dict[str, Any]:
    """Tell one decision in plain words, with its verdict, evidence, notes and history.

    Parameters
    ----------
    decision
        Its number; the only one that waits when left out.
    """
    asked = waiting_one(project, decision)
    row = rows.get(project.state, asked.release)
    return {
        **frame(project),
        **brief(project, asked),
        "release": row.id,
        "goal": asked.verdict.get("goal", ""),
        "comparisons": list(asked.verdict.get("comparisons", ())),
        "effect": asked.verdict.get("effect"),
        "segments": plain.segments(asked.verdict),
        "by_horizon": plain.by_horizon(asked.verdict),
        "segments_say": plain.segments_say(asked.verdict),
        "segments_judged": list(asked.verdict.get("segments", ())),
        "answers": _answers(project, asked, row),
        "notes": [msgspec.to_builtins(each) for each in notes.about(project.state, asked.id)],
        "evidence": _evidence(project, row),
        "history": _history(project, row),
        "others": [
            {"id": each.id, "status": each.status}
            for each in decisions.about(project.state, row.id, limit=_OTHERS)
            if each.id != asked.id
        ],
    }


def decisions_taken(
    project: Project, *, model: str | None = None, before: int | None = None, actor: str = "somebody"
) -> dict[str, Any]:
    """List decisions, newest first, twenty at a time.

    Parameters
    ----------
    before
        Only decisions with a smaller number: the page after one that ended there.
    """
    if model is not None:
        project.manifest.model(model)
    found = decisions.recent(project.state, model=model, before=before, limit=PAGE + 1)
    shown = found[:PAGE]
    return {
        **frame(project),
        "decisions": [brief(project, each) for each in shown],
        "waiting": decisions.count(project.state, waiting=True),
        "all": decisions.count(project.state),
        "older": shown[-1].id if len(found) > PAGE else None,
    }


def note(project: Project, *, decision: int | str, text: str, actor: str = "somebody") -> dict[str, Any]:
    """Keep a note with a decision, waiting or taken."""
    if isinstance(decision, str) and not decision.isdigit():
        raise UserError(f"{decision!r} is no decision", expected="its number, as millstream decision shows it")
    made = project.releases.note(int(decision), text, by=actor)
    return {"says": f"the note of {made.by} is kept with decision {made.decision}", **msgspec.to_builtins(made)}


def brief(project: Project, asked: Decision) -> dict[str, Any]:
    """Describe a decision for a card or a line of a list."""
    row = rows.get(project.state, asked.release)
    answering = live(project, asked.model) if asked.status == "waiting" else None
    return {
        "id": asked.id,
        "model": asked.model,
        "version": row.version,
        "name": row.name,
        "status": asked.status,
        "asked_at": asked.asked_at,
        "asked_by": asked.asked_by,
        "trained_by": asked.trained_by,
        "decided_by": asked.decided_by,
        "decided_at": asked.decided_at,
        "reason": asked.reason,
        "simulated": asked.simulated,
        "says": asked.verdict.get("says", "no verdict was given"),
        "reasons": [each["says"] for each in asked.verdict.get("comparisons", ())],
        "passed": asked.verdict.get("passed"),
        "short": plain.short(asked.verdict),
        "moved_on": _moved_on(asked.verdict, answering),
        "live": answering.name if answering else None,
        "notes_count": notes.count(project.state, asked.id),
    }


def _answers(project: Project, asked: Decision, row: ReleaseRow) -> list[dict[str, str]]:
    answering = live(project, asked.model)
    return plain.answers(
        asked.verdict,
        name=row.name,
        model=asked.model,
        live=answering.name if answering else None,
        status=asked.status,
        retrain=next_retrain(project, asked.model),
    )


def _moved_on(verdict: Mapping[str, Any], answering: ReleaseRow | None) -> str:
    """Say when what is live now is not what the candidate was compared with."""
    beside = [each["against"] for each in verdict.get("comparisons", ()) if each["against"] != "baseline"]
    if answering is None or not verdict.get("comparisons") or answering.name in beside:
        return ""
    was = f"It was compared with {beside[0]}" if beside else "It was compared with the simple rule alone"
    return f"{was}; {answering.name} is live now."


def every(period: str) -> str:
    """Write a period as people say it.

    >>> every("56d"), every("36h")
    ('every 56 days', 'every 36h')
    """
    return f"every {period[:-1]} days" if period[:-1].isdigit() and period.endswith("d") else f"every {period}"


def next_retrain(project: Project, model: str) -> str:
    """Say when a model is trained again by itself; empty for never."""
    plan = project.manifest.model(model).retrain
    if plan is None:
        return ""
    harm = ", or earlier when harm is measured" if plan.or_on is not None else ""
    since = jobs.last_started(project.state, kind="retrain", model=model)
    if since is None:
        moves = pointer.was_live(project.state, model)
        since = moves[-1]["at"] if moves else None
    if since is None:
        return f"Once a version is live, it is trained again {every(plan.period)}{harm}."
    due = parse_instant(since) + parse_duration(plan.period)
    return f"It is trained again about {due.day} {due:%B %Y}{harm}."


def _evidence(project: Project, row: ReleaseRow) -> list[dict[str, str]]:
    """List what proves what was said, each with the command that shows it."""
    found = project.ledger.rows(acts=("release.rehearse",), subjects=(row.name,), limit=1)
    rehearsed = found[0].detail.get("says", "") if found else "it was not rehearsed"
    version = row.model_version if row.model_version is not None else row.version
    return [
        {"says": "The signed bundle", "ref": f"release {row.id[:16]}", "do": "millstream verify"},
        {"says": "The rehearsal of its rollback", "ref": rehearsed, "do": f"millstream audit {row.name}"},
        {
            "says": "Every fold of its backtest",
            "ref": f"run {row.run_id or 'not tracked'}",
            "do": f"millstream backtest {row.model} --version {version}",
        },
        {"says": "Data, code, environment, people", "ref": row.name, "do": f"millstream audit {row.name}"},
    ]


def _history(project: Project, row: ReleaseRow) -> list[dict[str, Any]]:
    names = tuple(dict.fromkeys((row.name, row.id, f"{row.model}@{row.model_version}")))
    return [told(each) for each in project.ledger.rows(subjects=names, limit=_HISTORY)]
