"""Features, proved: what a model was trained on, recomputed from raw facts that were known at each decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import IntegrityError, NotFound, UserError
from millstream.project.catalog.reads import record_training
from millstream.project.models.learn import chosen_version
from millstream.project.models.seen import seen_then
from millstream.project.people import Person
from millstream.project.tables.pins import refuse_lost
from millstream.types import parse_instant

if TYPE_CHECKING:
    from millstream.project.root import Project

ACT = "features.audit"
MOST_ROWS = 10_000


def audit(
    project: Project, *, model: str, version: int | None = None, rows: int = 100, actor: str = "somebody"
) -> dict[str, Any]:
    """Recompute sampled features of a version from raw facts cut at each decision, and compare every value.

    Raises
    ------
    NotFound
        When no version was ever trained.
    UserError
        For a number of rows nobody wants.
    IntegrityError
        When a pinned version is gone.
    """
    from millstream import training
    from millstream.features.proof import Recomputed
    from millstream.lake.housekeeping.holding import holding
    from millstream.training.artifact import read_manifest, read_plan
    from millstream.training.audited import audit_set

    if not 1 <= rows <= MOST_ROWS:
        raise UserError(f"{rows} rows cannot be sampled", expected=f"--rows from 1 to {MOST_ROWS:,}")
    project.manifest.model(model)
    chosen = chosen_version(project, model, version)
    if chosen is None:
        raise NotFound(f"{model} was never trained, so there is nothing to audit", do=f"millstream train {model}")
    folder, name = Path(chosen.path), f"{model}@{chosen.version}"
    record, plan = training.read_record(folder), read_plan(folder)
    refuse_lost(project, record.pins, of=f"auditing {name}")
    with holding(project.places):
        tables = {each: project.lake.read(each, version=record.pins[each]) for each in plan.learnt_from}
        found = training.build_set(
            plan,
            tables.__getitem__,
            since=parse_instant(record.since) if record.since else None,
            until=parse_instant(record.until) if record.until else None,
            static_at=parse_instant(record.static_at) if record.static_at else None,
            model=read_manifest(folder).model(record.model),
            engine=project.engine,
        )
        record_training(project, plan, record.pins, actor=actor, rows=rows)
        made = audit_set(found, Recomputed(plan, tables), rows=rows, folder=folder, tell=project.progress)
        seen = seen_then(project, found, tables, rows=rows)
    ok = made.ok and not seen["later"]
    told = {
        "model": model,
        "version": chosen.version,
        "ok": ok,
        "pins": record.pins,
        **msgspec.to_builtins(made),
        "says": says(name, msgspec.to_builtins(made), seen["later"]),
        "seen": seen,
    }
    kept = {each: told[each] for each in ("ok", "rows", "kept", "equal", "all", "different", "says")}
    kept["features"] = {each.feature: [each.equal, each.all] for each in made.features}
    kept["seen"] = {each: seen[each] for each in ("rows", "values", "later", "says")}
    kept["differs"] = sorted({each.feature for each in made.features if each.equal != each.all})
    project.ledger.record(actor=actor, act=ACT, subject=name, detail=kept)
    told = told if Person(project, actor).sees_all else _without_values(told)
    return {**told, "exit_code": 0 if ok else IntegrityError.exit_code}


def _without_values(told: dict[str, Any]) -> dict[str, Any]:
    """Return an audit as somebody may read it who does not see all: what differs, and no row, value or instant."""
    hidden = "a row, values and a fact that your role does not show"
    differences = [
        {**each, "row": {}, "decided_at": "", "trained": None, "recomputed": None, "fact": None,
         "says": f"{each['feature']} differs: {hidden}"}
        for each in told["differences"]
    ]  # fmt: skip
    findings = [
        {"feature": each["feature"], "says": f"{each['feature']}: {hidden}"} for each in told["seen"]["findings"]
    ]
    return {**told, "differences": differences, "seen": {**told["seen"], "findings": findings}}


def says(name: str, made: dict[str, Any], later: int) -> str:
    """Say what an audit came to in a sentence; ``later`` values are others than the tables gave then."""
    rows = f"{made['rows']:,} rows of its training set and {made['kept']:,} kept with it"
    unproven = [each["feature"] for each in made["features"] if each["unproven"]]
    beside = f"; {', '.join(unproven)} could not be recomputed" if unproven else ""
    short = made["rows"] + made["kept"] < made["asked"]
    beside += f"; time ran out before the other {made['asked'] - made['rows'] - made['kept']:,} rows" if short else ""
    if made["equal"] == made["all"] and later:
        return (
            f"{name}: {later:,} values were not known when their known-at says, though all {made['all']:,} of {rows}"
            f" are what raw facts give that say they were{beside}"
        )
    if made["equal"] == made["all"]:
        return f"{name}: all {made['all']:,} values of {rows} are what raw facts known by then give{beside}"
    wrong = f"{made['different']:,} of {made['all']:,} values"
    return f"{name}: {wrong} of {rows} are not what raw facts known by then give{beside}"


def audited(project: Project, model: str) -> dict[str, Any] | None:
    """Return what the last audit of a model found, with who asked for it and when; None before the first."""
    rows = [
        row for row in project.ledger.rows(act=ACT, subject=f"{model}@", limit=5) if row.subject.startswith(f"{model}@")
    ]
    if not rows:
        return None
    return {**rows[0].detail, "subject": rows[0].subject, "by": rows[0].actor, "at": rows[0].at}


def of_features(project: Project, model: str) -> dict[str, Any]:
    """Return what a model's page says of its features: what they are worth, what may leak, the last audit."""
    from millstream.training.record import read_record

    try:
        chosen = chosen_version(project, model, None)
        record = None if chosen is None else read_record(Path(chosen.path))
    except IntegrityError:  # its folder is gone or damaged, which verify and the page's alarms say
        record = None
    return {
        "audit": audited(project, model),
        "lift": None if record is None else msgspec.to_builtins(record.lift),
        "leaks": [] if record is None else msgspec.to_builtins(record.leaks),
    }
