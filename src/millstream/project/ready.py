"""Ready: a model against the eight points of a production set-up, each judged from what is recorded, none claimed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from millstream.errors import IntegrityError
from millstream.state import alarms, decisions, jobs, leases, notes, observations, pointer
from millstream.state import releases as rows
from millstream.types import SystemClock

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.releases.verify import Release
    from millstream.state.releases import ReleaseRow

Word = Literal["yes", "partly", "no"]
_DAYS = 28
"""Judged days that say how it copes with its load."""


@dataclass(frozen=True)
class _Seen:
    """What is looked at: the model, the release that answers, its bundle as verified, and what was found wrong."""

    project: Project
    model: str
    row: ReleaseRow | None
    bundle: Release | None
    wrong: str

    @property
    def at_work(self) -> bool:
        """Whether a release answers and its bundle is whole."""
        return self.row is not None and self.bundle is not None


def ready(project: Project, *, model: str, actor: str = "somebody") -> dict[str, Any]:
    """Judge a model against the eight points of a production set-up.

    Returns
    -------
    dict
        ``points``, each with its name, ``ready`` (yes, partly or no), what is so in words, the evidence it follows
        from, and the command that would give what is missing; and how many points stand at yes.
    """
    project.manifest.model(model)
    at = pointer.get(project.state, model)
    row = rows.get(project.state, at.release) if at.release else None
    bundle, wrong = None, ""
    if row is not None:
        try:
            bundle = project.releases.open(row)
        except IntegrityError as found:
            wrong = found.happened
    seen = _Seen(project, model, row, bundle, wrong)
    points = [_point(name, judge(seen)) for name, judge in _POINTS.items()]
    return {
        "model": model,
        "release": row.name if row is not None else None,
        "yes": sum(each["ready"] == "yes" for each in points),
        "points": points,
    }


def _point(name: str, judged: tuple[Word, str, str, str]) -> dict[str, str]:
    word, says, evidence, do = judged
    return {"point": name, "ready": word, "says": says, "evidence": evidence, "do": do}


def _packaging(seen: _Seen) -> tuple[Word, str, str, str]:
    row, bundle = seen.row, seen.bundle
    if row is None:
        built = rows.history(seen.project.state, seen.model, limit=1)
        if not built:
            return "no", "No version was ever packaged.", "", f"millstream release {seen.model}"
        return (
            "partly", "A bundle is built and signed, but none is live.", f"release {built[0].id[:16]}", _ask(seen, built[0]),
        )  # fmt: skip
    if bundle is None:
        return "no", f"The bundle is not whole: {seen.wrong}.", f"release {row.id[:16]}", f"millstream rollback {seen.model}"
    says = f"Model, features, schemas and environment are one signed bundle of {len(bundle.said.files)} files, all as signed."
    return "yes", says, f"release {row.id[:16]}, key {bundle.key}", ""


def _retraining(seen: _Seen) -> tuple[Word, str, str, str]:
    plan = seen.project.manifest.model(seen.model).retrain
    done = [each for each in jobs.recent(seen.project.state, model=seen.model, limit=50) if each.ended_at is not None]
    last = next((each for each in done if each.status in ("done", "refused", "rejected")), None)
    if plan is None:
        do = "add retrain=loop.Weekly(or_on=loop.Harm()) to the model's definition"
        return ("partly" if last else "no"), "It is never trained again by itself.", f"job {last.id}" if last else "", do
    how = f"It is trained again every {plan.period}{' or on measured harm' if plan.or_on else ''}"
    if last is None:
        return "partly", f"{how}; that has never run to its end.", "the model's definition", f"millstream retrain {seen.model}"
    return "yes", f"{how}; it last ran to its end on {str(last.ended_at)[:10]}.", f"job {last.id}", ""


def _audit(seen: _Seen) -> tuple[Word, str, str, str]:
    ledger = seen.project.ledger
    checked = ledger.rows(acts=("project.verify",), limit=1)
    if not checked:
        return "partly", "Every act is a row of the ledger; nobody has verified the chain yet.", "", "millstream verify"
    at = f"row {checked[0].sequence} of the ledger, {checked[0].at[:10]}"
    if not checked[0].detail.get("ok"):
        return "no", "The last verification found something that does not hold.", at, "millstream verify"
    if seen.row is None:
        return "partly", "The ledger was verified, but there is no live version to ask about.", at, _begin(seen)
    again = ledger.rows(acts=("model.reproduce",), subjects=(seen.row.name,), limit=1)
    if not again:
        do = f"millstream reproduce {seen.row.name}"
        return "partly", "The ledger was verified; nobody has rebuilt the live version from its data yet.", at, do
    if not again[0].detail.get("equal"):
        do = f"millstream audit {seen.row.name}"
        return "partly", "Rebuilt from its data, the live version came out different.", f"row {again[0].sequence}", do
    says = "The ledger was verified, and the live version was rebuilt from its data with equal bytes."
    return "yes", says, f"{at}; row {again[0].sequence}", ""


def _mode(seen: _Seen) -> tuple[Word, str, str, str]:
    if not seen.at_work:
        return "no", "Nothing answers for it yet.", "", _begin(seen)
    given = observations.series(seen.project.state, seen.model, "totals", "predictions", last=1)
    count = int(given[-1].value or 0) if given else 0
    serving = [each for each in leases.live(seen.project.state, SystemClock().now().timestamp())]
    here = [each.url for each in serving if seen.model in each.generations]
    batch = seen.project.ledger.rows(acts=("model.score",), subjects=(seen.row.name,), limit=1) if seen.row else []
    modes = [f"in real time, {count:,} answers so far"] if count else ["in real time"] if here else []
    modes += [f"in batch, last on {batch[0].at[:10]}"] if batch else []
    if not modes:
        do = "millstream up"
        return "partly", "A version is live, but nobody has been answered by it yet.", f"release {seen.row.id[:16]}" if seen.row else "", do
    where = f"server {', '.join(here)}" if here else "the prediction log; no server is up now"
    return "yes", f"It answers {' and '.join(modes)}, by one and the same scorer.", where, ""


def _scale(seen: _Seen) -> tuple[Word, str, str, str]:
    deadline = seen.project.manifest.model(seen.model).traffic.deadline_ms
    days = [
        each for each in observations.series(seen.project.state, seen.model, "latency", "p95", last=_DAYS) if each.value
    ]
    if not days:
        says = f"Whether it answers within its {deadline:g} ms under real load was not measured yet."
        return ("partly" if seen.at_work else "no"), says, "", "millstream up" if seen.at_work else _begin(seen)
    slowest = max(each.value or 0.0 for each in days)
    evidence = f"{len(days)} judged days, {days[0].day} to {days[-1].day}"
    says = f"On its slowest judged day 95 of 100 answers took at most {slowest:.3g} ms of the {deadline:g} ms allowed"
    if slowest > deadline:
        return "no", f"{says}: too slow.", evidence, f"millstream monitor {seen.model}"
    return "yes", f"{says}, on one machine.", evidence, ""


def _business(seen: _Seen) -> tuple[Word, str, str, str]:
    asked = decisions.recent(seen.project.state, model=seen.model, limit=20)
    if not asked:
        return "no", "Nobody was asked about any version.", "", _begin(seen)
    people = [each for each in asked if each.status in ("approved", "rejected") and not each.simulated]
    said = sum(notes.count(seen.project.state, each.id) for each in asked)
    left = f"; {said} note{'s' * (said != 1)} left" if said else ""
    about = decisions.about(seen.project.state, seen.row.id) if seen.row is not None else []
    taken = next((each for each in about if each.status == "approved" and not each.simulated), None)
    if taken is not None:
        says = f"{taken.decided_by}, who did not train it, approved what is live: {taken.reason}{left}."
        return "yes", says, f"decision {taken.id} (the name is asserted)", ""
    if people:
        says = f"A person has decided before, but not about what is live{left}."
        return "partly", says, f"decision {people[0].id}", f"millstream decision {people[0].id}"
    waiting = [each for each in asked if each.status == "waiting"]
    if waiting:
        return "partly", "A person was asked and has not answered yet.", f"decision {waiting[0].id}", f"millstream decision {waiting[0].id}"
    return "partly", "Only a simulation has decided, no person.", f"decision {asked[0].id}", f"millstream release {seen.model}"


def _environment(seen: _Seen) -> tuple[Word, str, str, str]:
    if seen.row is None or seen.bundle is None:
        return "no", "No live version fixes what it runs with.", "", _begin(seen)
    lines = (Path(seen.row.path) / "environment.lock").read_text(encoding="utf-8").splitlines()
    count = sum("==" in each for each in lines)
    lock = f"environment.lock with {count} packages and their hashes"
    code = dict(seen.bundle.said.code)
    if not code.get("commit"):
        return "partly", f"Packages are fixed by {lock}; the definitions are in no git commit.", lock, "git init, commit, then release"
    if code.get("dirty") == "yes":
        says = "Packages are fixed; the definitions differ from their commit by a patch kept in the release."
        return "partly", says, f"{lock}; commit {code['commit'][:12]}", f"git commit, then millstream release {seen.model}"
    return "yes", "Packages are fixed by name, version and hash, and the definitions by their commit.", f"{lock}; commit {code['commit'][:12]}", ""


def _rollback(seen: _Seen) -> tuple[Word, str, str, str]:
    if seen.row is None:
        return "no", "Nothing is live that could be taken back.", "", _begin(seen)
    chain = " → ".join(("the live version", *seen.project.manifest.model(seen.model).traffic.fallback))
    if seen.row.rehearsed_against is None:
        return "no", "Its rollback was never rehearsed.", "", f"millstream release {seen.model}"
    found = seen.project.ledger.rows(acts=("release.rehearse",), subjects=(seen.row.name,), limit=1)
    evidence = f"row {found[0].sequence} of the ledger: {found[0].detail.get('says', '')}" if found else ""
    if not seen.project.manifest.model(seen.model).traffic.fallback:
        return "partly", "Its rollback was rehearsed; when it fails, nobody steps in.", evidence, "add fallback=[\"previous\", \"baseline\"] to traffic"
    before = pointer.get(seen.project.state, seen.model).previous
    if before is None:
        says = f"When it fails, the next one answers ({chain}); there is no version before it to roll back to."
        return "partly", says, evidence, f"millstream retrain {seen.model}"
    name = rows.get(seen.project.state, before).name
    return "yes", f"One command puts {name} back, as rehearsed; when it fails, the next one answers ({chain}).", evidence, ""


def _begin(seen: _Seen) -> str:
    """Return the command that gets a model nearer to its first live version."""
    waiting = decisions.waiting(seen.project.state, seen.model, limit=1)
    if waiting:
        return f"millstream decision {waiting[0].id}"
    trained = seen.project.ledger.rows(acts=("model.register",), subject=f"{seen.model}@", limit=1)
    return f"millstream {'release' if trained else 'train'} {seen.model}"


def _ask(seen: _Seen, built: ReleaseRow) -> str:
    about = decisions.about(seen.project.state, built.id)
    return f"millstream decision {about[0].id}" if about and about[0].status == "waiting" else _begin(seen)


_POINTS: dict[str, Callable[[_Seen], tuple[Word, str, str, str]]] = {
    "packaging": _packaging,
    "retraining": _retraining,
    "audit": _audit,
    "mode": _mode,
    "scale": _scale,
    "business involvement": _business,
    "environment": _environment,
    "rollback and failover": _rollback,
}
