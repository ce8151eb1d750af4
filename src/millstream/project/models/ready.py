"""Ready: a model against the eight points of a production set-up, each judged from what is recorded, none claimed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from millstream.errors import IntegrityError
from millstream.project.models.decide import every
from millstream.state import decisions, jobs, leases, notes, observations, pointer
from millstream.state import releases as rows
from millstream.types import SystemClock

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.releases.verify import Release
    from millstream.state.releases import ReleaseRow

_DAYS = 28
"""Judged days that say how it copes with its load."""


@dataclass(frozen=True)
class _Point:
    """How ready one point is, what is so, what that follows from, and the command that gives what is missing."""

    ready: Literal["yes", "partly", "no"]
    says: str
    evidence: str = ""
    do: str = ""


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
        """Whether a release is live and its bundle is whole."""
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
    points = [{"point": name, **asdict(judge(seen))} for name, judge in _POINTS.items()]
    return {
        "model": model,
        "release": row.name if row is not None else None,
        "yes": sum(each["ready"] == "yes" for each in points),
        "points": points,
    }


def _packaging(seen: _Seen) -> _Point:
    row, bundle = seen.row, seen.bundle
    if row is None:
        built = rows.history(seen.project.state, seen.model, limit=1)
        if not built:
            return _Point("no", "No version was ever packaged.", do=_begin(seen))
        evidence = f"release {built[0].id[:16]}"
        return _Point("partly", "A bundle is built and signed, but none is live.", evidence, _begin(seen))
    if bundle is None:
        do = f"millstream rollback {seen.model}"
        return _Point("no", f"The bundle is not whole: {seen.wrong}.", f"release {row.id[:16]}", do)
    says = "Model, features, schemas and environment are one signed bundle"
    says += f" of {len(bundle.said.files)} files, all as signed."
    return _Point("yes", says, f"release {row.id[:16]}, key {bundle.key}")


def _retraining(seen: _Seen) -> _Point:
    plan = seen.project.manifest.model(seen.model).retrain
    ended = ("done", "refused", "rejected")
    done = jobs.recent(seen.project.state, model=seen.model, limit=50)
    last = next((each for each in done if each.status in ended), None)
    if plan is None:
        says, do = "It is never trained again by itself.", "add retrain=loop.Weekly(or_on=loop.Harm()) to the model"
        return _Point("partly", says, f"job {last.id}", do) if last else _Point("no", says, do=do)
    how = f"It is trained again {every(plan.period)}{' or on measured harm' if plan.or_on else ''}"
    if last is None:
        do = f"millstream retrain {seen.model}" if seen.at_work else _begin(seen)
        return _Point("partly", f"{how}; that has never run to its end.", "the model's definition", do)
    return _Point("yes", f"{how}; it last ran to its end on {str(last.ended_at)[:10]}.", f"job {last.id}")


def _audit(seen: _Seen) -> _Point:
    ledger = seen.project.ledger
    checked = ledger.rows(acts=("project.verify",), limit=1)
    if not checked:
        says = "Every act is a row of the ledger; nobody has verified the chain yet."
        return _Point("partly", says, do="millstream verify")
    at = f"row {checked[0].sequence} of the ledger, {checked[0].at[:10]}"
    if not checked[0].detail.get("ok"):
        return _Point("no", "The last verification found something that does not hold.", at, "millstream verify")
    if seen.row is None:
        return _Point("partly", "The ledger was verified; there is no live version to ask about.", at, _begin(seen))
    again = ledger.rows(acts=("model.reproduce",), subjects=(seen.row.name,), limit=1)
    if not again:
        says = "The ledger was verified; nobody has rebuilt the live version from its data yet."
        return _Point("partly", says, at, f"millstream reproduce {seen.row.name}")
    at += f"; row {again[0].sequence}"
    if not again[0].detail.get("equal"):
        says = "Rebuilt from its data, the live version came out different."
        return _Point("partly", says, at, f"millstream audit {seen.row.name}")
    return _Point("yes", "The ledger was verified, and the live version rebuilt from its data with equal bytes.", at)


def _mode(seen: _Seen) -> _Point:
    if seen.row is None or not seen.at_work:
        return _Point("no", "Nothing answers for it yet.", do=_begin(seen))
    given = observations.series(seen.project.state, seen.model, "totals", "predictions", last=1)
    count = int(given[-1].value or 0) if given else 0
    serving = leases.live(seen.project.state, SystemClock().now().timestamp())
    here = ", ".join(each.url for each in serving if seen.model in each.generations)
    batch = seen.project.ledger.rows(acts=("model.score",), subjects=(seen.row.name,), limit=1)
    modes = [f"in real time, {count:,} answers so far"] if count else []
    modes += [f"in batch, last on {batch[0].at[:10]}"] if batch else []
    if modes:
        evidence = f"server {here}" if here else "the prediction log and the ledger; no server is up now"
        return _Point("yes", f"It answers {' and '.join(modes)}, by one and the same scorer.", evidence)
    if here:
        do = f"POST to {here.partition(', ')[0]}/v1/models/{seen.model}/predict"
        return _Point(
            "partly", "A server is up and holds it, but no answer of it was judged yet.", f"server {here}", do
        )
    says = "A version is live, but nobody was answered by it yet."
    return _Point("partly", says, f"release {seen.row.id[:16]}", "millstream up")


def _scale(seen: _Seen) -> _Point:
    deadline = seen.project.manifest.model(seen.model).traffic.deadline_ms
    series = observations.series(seen.project.state, seen.model, "latency", "p95", last=_DAYS)
    days = [each for each in series if each.value is not None]
    if not days:
        says = f"Whether it answers within its {deadline:g} ms under real load was not measured yet."
        return _Point("partly", says, do="millstream up") if seen.at_work else _Point("no", says, do=_begin(seen))
    slowest = max(each.value or 0.0 for each in days)
    evidence = f"{len(days)} judged days, {days[0].day} to {days[-1].day}"
    says = f"On its slowest judged day 95 of 100 answers took at most {slowest:.3g} ms of the {deadline:g} ms allowed"
    if slowest > deadline:
        return _Point("no", f"{says}: too slow.", evidence, f"millstream monitor {seen.model}")
    return _Point("yes", f"{says}, on one machine.", evidence)


def _business(seen: _Seen) -> _Point:
    asked = decisions.recent(seen.project.state, model=seen.model, limit=20)
    if not asked:
        return _Point("no", "Nobody was asked about any version.", do=_begin(seen))
    said = sum(notes.count(seen.project.state, each.id) for each in asked)
    left = f"; {said} note{'s' * (said != 1)} left" if said else ""
    about = decisions.about(seen.project.state, seen.row.id, status="approved") if seen.row is not None else []
    taken = next((each for each in about if not each.simulated), None)
    if taken is not None:
        says = f"{taken.decided_by}, who did not train it, approved what is live (“{taken.reason}”){left}."
        return _Point("yes", says, f"decision {taken.id}; the name is asserted")
    waiting = next((each for each in asked if each.status == "waiting"), None)
    if waiting is not None:
        says = f"A person was asked and has not answered yet{left}."
        return _Point("partly", says, f"decision {waiting.id}", f"millstream decision {waiting.id}")
    people = [each for each in asked if each.status in ("approved", "rejected") and not each.simulated]
    says = "A person has decided before, but not about what is live" if people else "No person has decided yet"
    return _Point("partly", f"{says}{left}.", f"decision {(people or asked)[0].id}", f"millstream release {seen.model}")


def _environment(seen: _Seen) -> _Point:
    if seen.row is None or seen.bundle is None:
        return _Point("no", "No live version fixes what it runs with.", do=_begin(seen))
    lines = (Path(seen.row.path) / "environment.lock").read_text(encoding="utf-8").splitlines()
    lock = f"environment.lock with {sum('==' in each for each in lines)} packages and their hashes"
    code = dict(seen.bundle.said.code)
    if not code.get("commit"):
        says = "Packages are fixed by name, version and hash; the definitions are in no git commit."
        return _Point("partly", says, lock, f"git init and commit, then millstream release {seen.model}")
    evidence = f"{lock}; commit {code['commit'][:12]}"
    if code.get("dirty") == "yes":
        says = "Packages are fixed; the definitions differ from their commit by a patch kept in the release."
        return _Point("partly", says, evidence, f"git commit, then millstream release {seen.model}")
    return _Point("yes", "Packages are fixed by name, version and hash, and the definitions by their commit.", evidence)


def _rollback(seen: _Seen) -> _Point:
    if seen.row is None:
        return _Point("no", "Nothing is live that could be taken back.", do=_begin(seen))
    if seen.row.rehearsed_against is None:
        return _Point("no", "Its rollback was never rehearsed.", do=f"millstream release {seen.model}")
    found = seen.project.ledger.rows(acts=("release.rehearse",), subjects=(seen.row.name,), limit=1)
    evidence = f"row {found[0].sequence} of the ledger: {found[0].detail.get('says', '')}" if found else ""
    chain = seen.project.manifest.model(seen.model).traffic.fallback
    if not chain:
        says, do = "Its rollback was rehearsed; when it fails, nobody steps in.", "add fallback to the model's traffic"
        return _Point("partly", says, evidence, do)
    fails = f"when it fails, the next one answers ({' → '.join(('the live version', *chain))})"
    before = pointer.get(seen.project.state, seen.model).previous
    if before is None:
        says = f"There is no version before it to roll back to; {fails}."
        return _Point("partly", says, evidence, f"millstream retrain {seen.model}")
    name = rows.get(seen.project.state, before).name
    return _Point("yes", f"One command puts {name} back, as rehearsed; {fails}.", evidence)


def _begin(seen: _Seen) -> str:
    """Return the command that gets a model nearer to its first live version."""
    waiting = decisions.waiting(seen.project.state, seen.model, limit=1)
    if waiting:
        return f"millstream decision {waiting[0].id}"
    trained = seen.project.ledger.rows(acts=("model.register",), subject=f"{seen.model}@", limit=1)
    return f"millstream {'release' if trained else 'train'} {seen.model}"


_POINTS: dict[str, Callable[[_Seen], _Point]] = {
    "packaging": _packaging,
    "retraining": _retraining,
    "audit": _audit,
    "mode": _mode,
    "scale": _scale,
    "business involvement": _business,
    "environment": _environment,
    "rollback and failover": _rollback,
}
