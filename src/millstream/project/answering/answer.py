"""Answer: score in batch, and say how one answer came about."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.errors import NotFound, UserError
from millstream.project.answering import answers
from millstream.project.answering.lists import outcome_of_list, score_lists
from millstream.project.catalog.reads import record_scoring
from millstream.project.people import Person
from millstream.types import from_micros, parse_instant

if TYPE_CHECKING:
    import polars as pl

    from millstream.features.plan import FeaturePlan
    from millstream.project.root import Project
    from millstream.serving.records import Logged
    from millstream.state.releases import ReleaseRow

_SAMPLE = 10


def score(
    project: Project,
    *,
    model: str,
    since: str | None = None,
    until: str | None = None,
    out: str | None = None,
    actor: str = "somebody",
) -> dict[str, Any]:
    """Score the rows of a span with the live release, by the scorer that answers requests."""
    from millstream.features import existing, spine
    from millstream.features.plan import FeaturePlan
    from millstream.project.models.learn import static_instant
    from millstream.project.models.ship import release_of
    from millstream.serving.batch import score_frame

    begun = time.perf_counter()
    release = release_of(project, f"{model}@champion")
    opened = project.releases.open(release)  # every file as signed, or no answer
    plan = FeaturePlan.decode(opened.read("plan.json"))
    try:
        span = tuple(None if each is None else parse_instant(each) for each in (since, until))
    except ValueError as wrong:
        raise UserError(str(wrong)) from None
    if plan.ranking is not None:
        made, count = score_lists(project, Path(release.path), plan, span=(span[0], span[1]))
        return _delivered(project, release, plan, made, out=out, begun=begun, rows=count, actor=actor)
    table = project.lake.read(plan.rows_table)
    if plan.ticks is not None and span == (None, None):
        rows = existing(plan, table, project.clock.now())
    else:
        end = span[1] if span[1] is not None or plan.ticks is None else project.clock.now()
        at = static_instant(project, plan.rows_table)
        rows = spine(plan, table, between=(span[0], end), static_at=at)
    if not rows.height:
        raise UserError(f"{model} has no rows decided in that span", do="millstream status shows what the tables hold")
    joined = project.engine.point_in_time(plan, rows, {name: project.lake.read(name) for name in plan.tables})
    answers_ = score_frame(Path(release.path), joined, [each.name for each in plan.columns])
    made = rows.select(*plan.row_key, "decided_at").with_columns(_columns(answers_))
    return _delivered(project, release, plan, made, out=out, begun=begun, rows=made.height, actor=actor)


def _delivered(
    project: Project,
    release: ReleaseRow,
    plan: FeaturePlan,
    made: pl.DataFrame,
    *,
    out: str | None,
    begun: float,
    rows: int,
    actor: str,
) -> dict[str, Any]:
    """Write what was scored where it is wanted, keys as the one who asks sees them, and say what was done."""
    reader = Person(project, actor)
    made = reader.hide(made, reader.masks_of_plan(plan))
    if out is not None:
        target = Path(out)
        if target.suffix not in (".parquet", ".csv"):
            raise UserError(f"{target.name} is neither .parquet nor .csv", do="choose one of them for --out")
        try:
            made.write_csv(target) if target.suffix == ".csv" else made.write_parquet(target)
        except OSError as wrong:
            raise UserError(
                f"{target} could not be written: {wrong.strerror or wrong}", do="give --out a path that can be"
            ) from None
    items = () if plan.ranking is None else (plan.ranking.candidates,)
    pins = {name: project.lake.head(name).version for name in (plan.rows_table, *plan.tables, *items)}
    project.ledger.record(actor=actor, act="model.score", subject=release.name, detail={"rows": rows, "pins": pins})
    record_scoring(project, plan, pins, actor=actor, rows=rows)
    sample = made.head(_SAMPLE).to_dicts()
    return {
        "model": plan.model,
        "version": release.version,
        "rows": rows,
        "seconds": round(time.perf_counter() - begun, 2),
        "out": out,
        "sample": [
            {name: str(value) if hasattr(value, "isoformat") else value for name, value in each.items()}
            for each in sample
        ],
    }


def _columns(told: list[dict[str, Any]]) -> list[pl.Series]:
    """Lay answers out in columns: ``value``, then such as ``probabilities.CLASS`` or ``quantiles.LEVEL``."""
    import polars as pl

    columns: list[pl.Series] = []
    for name, first in told[0].items():
        if not isinstance(first, dict):
            columns.append(pl.Series(name, [each[name] for each in told]))
            continue
        columns += [pl.Series(f"{name}.{part}", [each[name][part] for each in told], pl.Float64) for part in first]
    return columns


def why(project: Project, *, prediction: str, actor: str = "somebody") -> dict[str, Any]:
    """Say who answered, from which features of which table versions, and what became true; recompute the features."""
    from millstream.features.plan import FeaturePlan
    from millstream.serving.shape import told
    from millstream.state import releases as rows

    logged = answers.find(project, prediction)
    said = logged.prediction
    if said is None:
        raise NotFound(f"{prediction} is an outcome, not a prediction", do="give the id of an answer")
    release = rows.get(project.state, said.release)
    opened = project.releases.open(release)  # every file as signed, or nothing is explained by it
    plan = FeaturePlan.decode(opened.read("plan.json"))
    reader = Person(project, actor)
    masks = reader.masks_of_plan(plan)
    names = [each.name for each in plan.columns]
    values = [None if each != each else each for each in said.values()]
    project.ledger.record(actor=actor, act="prediction.why", subject=prediction, detail={"release": release.name})
    return {
        "id": prediction,
        "model": said.model,
        "version": said.version,
        "release": said.release,
        "at": from_micros(said.at_us).isoformat(),
        **told(said.value, said.said),
        "answered_by": said.answered_by,
        "degraded": said.degraded,
        "row": reader.hide_values(said.row, masks),
        "features": reader.hide_values(dict(zip(names, values, strict=False)), masks),  # of a list, of its first item
        "tables": said.applied,
        "recomputed": _recomputed(project, logged),
        **_became(project, plan, logged, hidden="label" in masks),
        "approved_by": _approver(project, said.release),
    }


def _recomputed(project: Project, logged: Logged) -> dict[str, Any] | None:
    """Compute the features again by a point-in-time read at the answer's instant and table versions."""
    from millstream.project.parity.proving import Prover

    said = logged.record
    at = from_micros(said.at_us)
    proof = Prover(project, said.model).prove(at, at, [logged], look=False)
    if proof.unproved:
        return {"equal": False, "says": f"they cannot be computed again: {next(iter(proof.unproved))}"}
    if not proof.compared:
        return None
    if proof.different:
        named = "; ".join(f"{each.feature or 'the record'}: {each.cause}" for each in proof.differences)
        return {"equal": False, "says": f"features differ from a point-in-time read: {named}"}
    return {"equal": True, "says": "a point-in-time read at that instant and those versions gives the same features"}


def _became(project: Project, plan: FeaturePlan, logged: Logged, *, hidden: bool) -> dict[str, Any]:
    """Say what became true: what a table says stands above what was reported, and both are shown."""
    if hidden:
        return {"outcome": None, "reported": []}
    told = [each.outcome for each in answers.reported(project, logged)]
    reported = [
        {"label": each.label, "known_at": from_micros(each.at_us).isoformat()} for each in told if each is not None
    ]
    found = _outcome(project, plan, logged.prediction)
    if found is None:
        return {"outcome": {**reported[-1], "told_by": "report"} if reported else None, "reported": reported}
    table = plan.rows_table if plan.ahead is None else plan.ahead.table
    return {"outcome": {**found, "told_by": f"table {table}"}, "reported": reported}


def _outcome(project: Project, plan: FeaturePlan, said: Any) -> dict[str, Any] | None:
    import polars as pl

    from millstream.features import outcomes_of, spine
    from millstream.project.models.learn import static_instant

    if plan.label_dtype is None:
        return None
    now = project.clock.now()
    if plan.ranking is not None:
        return outcome_of_list(project, plan, said, now)
    if plan.ticks is not None:
        (_, label, known, *_), *_ = outcomes_of(plan, [said.key], project.lake.read, now=now).rows()
        return None if label is None else {"label": label, "known_at": known.isoformat()}
    rows = project.lake.read(plan.rows_table)
    same = [pl.col(name) == value for name, value in said.key.items()]
    picked = type(rows)(
        table=rows.table,
        version=rows.version,
        frame=rows.frame.filter(*same),
        schema=rows.schema,
        key=rows.key,
        event_time=rows.event_time,
        known=rows.known,
    )
    facts = None if plan.ahead is None else project.lake.read(plan.ahead.table)
    between = (None, now) if facts is not None else (None, None)
    at = static_instant(project, plan.rows_table)
    found = spine(plan, picked, between=between, facts=facts, static_at=at)
    if not found.height or found["label"][0] is None or found["label_known_at"][0] > now:
        return None
    return {"label": found["label"][0], "known_at": found["label_known_at"][0].isoformat()}


def _approver(project: Project, release: str) -> str | None:
    from millstream.state import decisions

    approved = [each for each in decisions.about(project.state, release) if each.status == "approved"]
    return approved[-1].decided_by if approved else None
