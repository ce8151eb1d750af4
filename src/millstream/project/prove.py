"""Prove: where everything stands, how a version came about, and whether it all holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import IntegrityError
from millstream.ledger.chain import Anchor
from millstream.project import anchors, git, parity
from millstream.project.answering import answers
from millstream.project.answering.serving_state import stands as served_features
from millstream.project.housekeeping.quota import stands
from millstream.project.models.decide import brief
from millstream.project.people import Person
from millstream.project.tables.columns import waits
from millstream.project.tables.data import step_failure, verify_checks
from millstream.project.tables.habits import lately
from millstream.project.tables.lags import lag
from millstream.project.tables.pins import look
from millstream.project.tables.stopped import away, running
from millstream.project.telling import alarms_told, events_told, results_told
from millstream.project.timeline import frame, timeline, told
from millstream.state import (
    alarms,
    contracts,
    decisions,
    edits,
    jobs,
    leases,
    notes,
    observations,
    pointer,
    quarantine,
    versions,
)
from millstream.state import releases as rows
from millstream.types import SystemClock, content_hash, parse_instant, to_micros

if TYPE_CHECKING:
    from millstream.definitions.table import Table
    from millstream.project.root import Project
    from millstream.releases.verify import Release

ALARMS = 50
"""Open alarms shown, the worst; the count of all stands beside them."""
WAITING = 20
"""Waiting decisions shown, the oldest."""
SERIES_DAYS = 180
"""Judged days in a chart."""
_MOVES = 20
"""Moves of what is live that a chart marks."""


def status(project: Project, *, actor: str = "somebody") -> dict[str, Any]:
    """Say where everything stands; read only from the state, so it is cheap and true while all else is busy."""
    reader = Person(project, actor)
    return {
        **frame(project),
        "root": str(project.root),
        "tables": [_table(project, each, reader) for each in project.manifest.tables.values()],
        "pins": look(project),
        "quota": stands(project),
        "served": served_features(project),
        "models": [model_stands(project, name) for name in project.manifest.models],
        "alarms": alarms_told(reader, map(msgspec.to_builtins, alarms.worst(project.state, limit=ALARMS))),
        "alarms_open": alarms.count(project.state),
        "alarms_serious": alarms.count(project.state, notes=False),
        "decisions": [brief(project, each) for each in decisions.waiting(project.state, limit=WAITING)],
        "decisions_waiting": decisions.count(project.state, waiting=True),
        "decisions_taken": decisions.count(project.state) - decisions.count(project.state, waiting=True),
        "timeline": events_told(reader, timeline(project)),
        "servers": [msgspec.to_builtins(each) for each in leases.live(project.state, SystemClock().now().timestamp())],
        "jobs": [msgspec.to_builtins(each) for each in jobs.at_work(project.state)],
        **_counts(project),
        "links": {
            "mlflow": f"mlflow ui --backend-store-uri sqlite:///{project.places.tracking_db}",
            "notebook": f"import millstream; p = millstream.open({str(project.root)!r})",
        },
    }


def _table(project: Project, table: Table, reader: Person) -> dict[str, Any]:
    head = versions.head(project.state, table.name)
    checked = contracts.last(project.state, table.name)
    failed = [each for each in checked.report["results"] if not each["ok"]] if checked else []
    worst = "ok" if checked else "unchecked"
    for word in ("note", "warn", "stop"):
        worst = word if any(each["severity"] == word for each in failed) else worst
    behind = None
    if head is not None and head.event_max:
        behind = max(0.0, (project.clock.now() - parse_instant(head.event_max)).total_seconds())
    seen = (project.clock.now() - parse_instant(head.registered_at)).total_seconds() if head is not None else None
    stopped, waiting = step_failure(project, table) or away(project, table), waits(project, table.name)
    return {
        "name": table.name,
        "kind": head.kind if head is not None else "not read yet",
        "version": head.version if head is not None else None,
        "edited": edits.words(project.state, table.name, head.version) if head is not None else "",
        "rows": head.rows if head is not None else None,
        "quarantined": quarantine.count(project.state, table.name, head.version) if head is not None else 0,
        "copied_bytes": head.bytes_copied if head is not None else 0,
        "hops": _hops(project, table),
        "seconds_behind": behind,
        "seen_seconds_ago": seen,
        "lag": lag(project, table.name),
        "contract": worst if table.checks else "none",
        "failed": [
            *([stopped] if stopped else []),
            *([waiting] if waiting else []),
            *(each["says"] for each in results_told(reader, table.name, failed)),
        ],
        "schema_waits": waiting,
        "stopped": stopped,
        "running": running(project, table.name) if table.made else None,
        "lately": lately(project, table.name) if table.made else None,
        "inputs": dict(head.inputs) if head is not None else {},
        "owner": table.owner,
        "description": table.description,
    }


def _hops(project: Project, table: Table) -> int:
    """Count the copies and computations between the production table and this one."""
    if table.of:
        return 1 + max(_hops(project, project.manifest.table(each)) for each in table.of)
    head = versions.head(project.state, table.name)
    return 0 if head is None or head.kind == "attached" else 1


def model_stands(project: Project, name: str) -> dict[str, Any]:
    """Say where one model stands."""
    at = pointer.get(project.state, name)
    live = rows.get(project.state, at.release) if at.release else None
    previous = rows.get(project.state, at.previous) if at.previous else None
    goal = project.manifest.model(name).goal
    series = _series(project, name, goal)
    waiting = decisions.waiting(project.state, name, limit=1)
    trained = project.ledger.rows(acts=("model.register",), subject=f"{name}@", limit=1)
    moves = project.ledger.rows(acts=("pointer.swap", "pointer.rollback"), subject=f"{name}@", limit=_MOVES)
    stands = {
        "name": name,
        "goal": goal,
        "live": _release(live, at.changed_at) if live else None,
        "previous": _release(previous, "") if previous else None,
        "lately": _latest(series["performance"]),
        "lately_baseline": _latest(series["baseline"]),
        "generation": at.generation,
        "outcomes": {each: _total(project, name, each) for each in ("outcomes", "reported", "contradicted", "waiting")},
        "retrains": jobs.count(project.state, kind="retrain", model=name),
        "releases": rows.count(project.state, name),
        "alarms": alarms.count(project.state, model=name),
        "waiting": waiting[0].id if waiting else None,
        "trained_at": trained[0].at if trained else None,
        "series": series,
        "moves": [told(each) for each in moves],
        "parity": parity.stands(project, name),
    }
    return {**stands, "next": _next(project, stands)}


def _latest(points: list[tuple[str, float | None]]) -> float | None:
    return points[-1][1] if points else None


def _next(project: Project, stands: dict[str, Any]) -> dict[str, str]:
    """Say what a model without a live release lacks, and the command that gives it."""
    name = stands["name"]
    if stands["live"] or stands["waiting"]:
        return {"says": "", "do": ""}
    if stands["trained_at"]:
        again = "No version was approved yet: release" if stands["releases"] else "It is trained, but never released:"
        return {"says": f"{again} the newest version", "do": f"millstream release {name}"}
    tables = [project.manifest.model(name).rows.of]
    if all(versions.head(project.state, each) is None for each in tables):
        return {"says": f"The table {tables[0]} was not read yet: read and check the data", "do": "millstream check"}
    return {"says": "The data is here, but no version was trained yet: train one", "do": f"millstream train {name}"}


def _release(row: rows.ReleaseRow, since: str) -> dict[str, Any]:
    metrics = row.summary.get("metrics", {})
    goal = row.summary.get("goal", "")
    return {
        "version": row.version,
        "release": row.id,
        "since": since,
        "value": row.goal_value,
        "baseline": _scores(metrics.get("baseline", {})).get(goal),
    }


def _scores(said: dict[str, Any]) -> dict[str, Any]:
    inner = said.get("metrics", said)
    return inner if isinstance(inner, dict) else {}


def _series(project: Project, model: str, goal: str) -> dict[str, list[tuple[str, float | None]]]:
    performance, bias, latency = (
        observations.series(project.state, model, kind, subject, last=SERIES_DAYS)
        for kind, subject in (("performance", goal), ("bias", "mean"), ("latency", "p95"))
    )
    return {
        "performance": [(each.day, each.value) for each in performance if each.value is not None],
        "limit": [(each.day, each.threshold) for each in performance if each.threshold is not None],
        "baseline": [(each.day, each.detail.get("baseline")) for each in performance if each.detail.get("baseline")],
        "predicted": [(each.day, each.detail.get("mean_answer")) for each in bias if each.value is not None],
        "actual": [(each.day, each.detail.get("mean_truth")) for each in bias if each.value is not None],
        "latency": [(each.day, each.value) for each in latency if each.value is not None],
    }


def _counts(project: Project) -> dict[str, int]:
    found = {"predictions": 0, "outcomes": 0}
    for model in project.manifest.models:
        for subject in found:
            found[subject] += _total(project, model, subject)
    return {**found, "ledger_rows": project.ledger.head().sequence}


def _total(project: Project, model: str, subject: str) -> int:
    """Return a total as the last judged day left it."""
    series = observations.series(project.state, model, "totals", subject, last=1)
    return int(series[-1].value or 0) if series else 0


def audit(project: Project, *, subject: str, actor: str = "somebody") -> dict[str, Any]:
    """Answer the auditor's questions about one version, each from a record."""
    from millstream.project.models.ship import release_of

    row = release_of(project, subject)
    about = decisions.about(project.state, row.id)
    try:
        opened = project.releases.open(row)
        intact, of_bundle = f"yes: every file is as signed with key {opened.key}", _of_bundle(project, opened)
    except IntegrityError as wrong:
        intact, of_bundle = f"NO: {wrong.happened}", dict.fromkeys(_OF_BUNDLE, _NOT_SAID)
    told = _as_told(project, row, [each.id for each in about])
    history = [
        each
        for each in project.ledger.rows(limit=10_000, newest=False)
        if each.subject in (row.name, row.id, f"{row.model}@{row.model_version}")
        or each.detail.get("release") in (row.id, row.name)
    ]
    project.ledger.record(actor=actor, act="release.audit", subject=row.name)
    live_at = [each["at"] for each in pointer.was_live(project.state, row.model) if each["release"] == row.id]
    answers = [
        *of_bundle.items(),
        ("Which run?", f"{row.run_id} (model version {row.model_version}{_folder_gone(project, row)})"),
        ("Who built it?", f"{row.built_by}, {row.built_at[:16]}"),
        ("Who approved it?", "; ".join(_approval(each) for each in about) or "nobody yet"),
        ("What was said about it?", _said_about(project, about)),
        ("When was it live?", ", ".join(each[:16] for each in live_at) or "never"),
        ("Is the bundle intact?", intact),
        ("Is this as the ledger tells?", told),
    ]
    return {
        "subject": row.name,
        "release": row.id,
        "answers": [{"question": question, "answer": answer} for question, answer in answers],
        "history": [
            {"at": each.at, "actor": each.actor, "act": each.act, "sequence": each.sequence} for each in history
        ],
        "exit_code": IntegrityError.exit_code if "NO" in (intact[:2], told[:2]) else 0,
    }


_OF_BUNDLE = (
    "Which data?",
    "Which rows?",
    "Which code?",
    "Which definitions?",
    "Which estimator?",
    "Which environment?",
    "Does it hold code?",
    "How good?",
    "Can it be trained again?",
)
"""Questions that only the signed bundle answers."""
_NOT_SAID = "cannot be said: its bundle is not as it was signed"


def _of_bundle(project: Project, opened: Release) -> dict[str, str]:
    """Answer what the signed bundle knows."""
    from millstream.training import read_record

    record = read_record(opened.path)
    source = opened.said.code
    said = (
        " ".join(_pinned(project, name, version) for name, version in record.pins.items()),
        f"decided before {record.until}; {msgspec.to_builtins(record.counts)}",
        _source(project, source),
        record.manifest_digest,
        f"{record.estimator}, seed {record.seed}, {record.threads} threads",
        _environment(opened.path),
        _code(opened.path),
        _scores_in_words(record),
        _again(project, record.pins),
    )
    return dict(zip(_OF_BUNDLE, said, strict=True))


def _folder_gone(project: Project, row: rows.ReleaseRow) -> str:
    """Say when the folder that training wrote is gone; its release holds all of it."""
    folder = project.places.state / "models" / row.model / str(row.model_version)
    return "" if row.model_version is None or folder.is_dir() else f"; its folder {folder} is gone, this bundle has it"


def _source(project: Project, source: Mapping[str, str]) -> str:
    """Name the commit, and say when it is in the repository no more."""
    commit = source.get("commit")
    if commit is None:
        return source.get("snapshot") or "unknown"
    if git.is_kept(project.root, commit):
        return commit
    return (
        f"{commit}, which is on no branch or tag of this repository any more: its history was rewritten or lies"
        " elsewhere; the definitions as they were are in the bundle, signed"
    )


def _again(project: Project, pins: Mapping[str, int]) -> str:
    """Say whether the data it was trained on is still there; definitions and seed are in the bundle."""
    from millstream.lake.verify import unreadable

    gone = [said for name, version in pins.items() if (said := unreadable(project.lake.catalog, name, version))]
    if gone:
        return f"NO, not from its own data: {'; '.join(gone)}; it answers as before, and nobody can prove it again"
    return "yes, its data is there: millstream reproduce compares the bytes"


def _as_told(project: Project, row: rows.ReleaseRow, asked: list[int]) -> str:
    """Say whether what the state holds about a release is what the ledger tells."""
    chain = project.ledger.verify()
    if not chain.ok:
        return f"NO: the ledger itself does not hold: {chain.says}"
    mine = {f"release {row.name}", f"pointer {row.model}", *(f"decision {each}" for each in asked)}
    of_ledger = {
        f"decision {each.detail['decision']}"
        for each in project.ledger.rows(act="decision.ask", limit=10_000)
        if each.detail.get("release") == row.id
    }
    wrong = [each for each in project.releases.against_ledger() if not each.ok and each.subject in mine | of_ledger]
    return "NO: " + "; ".join(f"{each.subject}: {each.says}" for each in wrong) if wrong else "yes"


def _pinned(project: Project, table: str, version: int) -> str:
    """Name a version, the versions it is computed of and the step that made it."""
    found = versions.get(project.state, table, version)
    inputs = found.inputs if found is not None else {}
    of = f" (of {' '.join(f'{name}@{number}' for name, number in inputs.items())})" if inputs else ""
    making = found.making if found is not None else None
    by = f" by {making.step}, code {content_hash(making.code)[:12]}" if making is not None else ""
    return f"{table}@{version}{of}{by}"


def _code(folder: Path) -> str:
    """Say whether opening the model runs code, and where that is done."""
    said = msgspec.json.decode((folder / "model.json").read_bytes(), type=dict[str, Any])
    if said.get("kind") != "python":
        return "no: the model is plain data"
    own = f", with the project's own {', '.join(said['code'])}" if said.get("code") else ""
    form = "a pickle" if said["format"] == "pickle" else f"in {said['format']} format"
    return f"yes: {said['file']} is {form}{own}; covered by the signature, opened in a worker only"


def _environment(folder: Path) -> str:
    lines = [each for each in (folder / "environment.lock").read_text().splitlines() if "==" in each]
    return f"{len(lines)} packages with their hashes, in environment.lock"


def _scores_in_words(record: Any) -> str:
    model, simple = (_scores(msgspec.to_builtins(record.metrics[side])) for side in ("model", "baseline"))
    return ", ".join(
        f"{name} {value:.4f} (simple rule {simple.get(name) or float('nan'):.4f})"
        for name, value in model.items()
        if value is not None
    )


def _approval(decision: decisions.Decision) -> str:
    who = (
        f"{decision.decided_by}{' (simulated)' if decision.simulated else ''}" if decision.decided_by else "nobody yet"
    )
    return f"{decision.status} by {who}: {decision.reason}"


def _said_about(project: Project, about: list[decisions.Decision]) -> str:
    said = [each for asked in reversed(about) for each in notes.about(project.state, asked.id)]
    return "; ".join(f"{each.by}, {each.at[:16]}: {each.text}" for each in said) or "nothing: no note was left"


def verify(
    project: Project, *, anchor: str | None = None, deep: bool = False, actor: str = "somebody"
) -> dict[str, Any]:
    """Verify the ledger's chain, every table version, every release and the answers; name what does not hold.

    The chain is held against the heads that releases and the lake have kept, and those in the file ``anchor``; when all
    holds, the present head is added to that file. ``deep`` reads every byte of attached tables too.
    """
    from millstream import registry

    file = None if anchor is None else Path(anchor)
    given = [] if file is None else anchors.of_file(file)
    kept = anchors.of_project(project)
    chain = project.ledger.verify(anchors=[*kept, *given])
    beside = f"; {len(kept)} heads kept in releases and the lake hold" if chain.ok and kept else ""
    findings = [{"ok": chain.ok, "subject": "ledger", "says": f"{chain.says}{beside}"}]
    findings += [msgspec.to_builtins(each) for each in project.lake.verify(deep=deep, actor=actor)]
    findings += [
        {"ok": False, "subject": f"pin {each['version']}", "says": each["says"]}
        for each in look(project)
        if each["missing"]
    ]
    findings += verify_checks(project)
    told = registry.verify(project.places, project.ledger)
    findings += [{"ok": holds, "subject": subject, "says": says} for holds, subject, says in told]
    findings += [msgspec.to_builtins(each) for each in project.releases.verify()]
    findings += answers.verify(project)
    ok = all(each["ok"] for each in findings)
    now = project.clock.now().isoformat()
    head = Anchor(chain.rows, chain.head)
    added = anchors.keep(file, head, at=now) if file is not None and chain.ok else None
    project.ledger.record(actor=actor, act="project.verify", subject=project.settings.name, detail={"ok": ok})
    return {
        "ok": ok,
        "findings": findings,
        "head": {"sequence": head.sequence, "hash": head.hash} if chain.ok else None,
        "anchor": added,
        "exit_code": 0 if ok else IntegrityError.exit_code,
    }


def lost(project: Project, *, ids: Iterable[str], actor: str = "somebody") -> dict[str, Any]:
    """Count acknowledged answers, given by their ids, that are nowhere in the log."""
    kept = set(answers.ids(project))
    asked = list(ids)
    missing = [each for each in asked if each not in kept]
    return {"asked": len(asked), "lost": len(missing), "first": missing[:5], "now": to_micros(project.clock.now())}
