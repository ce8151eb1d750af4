"""Whether every registered version, its folder and its run are still what training left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from millstream.errors import IntegrityError
from millstream.ledger import Ledger
from millstream.ledger.chain import LedgerRow
from millstream.settings import Places
from millstream.tracking.proof import altered, fingerprints, tree_hash

_OF_RELEASES = ("release.json", "signature", "environment.lock", "card.md", "code.patch")
"""Files a bundle adds to a version's own: a folder brought back from one has them as well."""


def kept(places: Places, name: str, version: int, *, run_id: str) -> dict[str, Any]:
    """Return what the ledger keeps of a version as it is registered: hashes of its folder and of its run's parts."""
    folder = places.state / "models" / name / str(version)
    return {
        "kept": tree_hash(folder, without=_OF_RELEASES),
        "tracked": fingerprints(places, name, version, run_id=run_id),
    }


def verify(places: Places, ledger: Ledger) -> list[tuple[bool, str, str]]:
    """Compare every registered version with the ledger; return for each model, or version that does not hold, how.

    Costs one read of every version's folder and of its files in tracking. Nothing is compared when the ledger itself
    does not hold.
    """
    if not ledger.verify().ok:
        return []
    counts: dict[str, int] = {}
    wrong: list[tuple[bool, str, str]] = []
    for row in ledger.rows(acts=("model.register",), limit=1 << 40, newest=False):
        name, _, number = row.subject.rpartition("@")
        counts[name] = counts.get(name, 0) + 1
        wrong += [(False, f"model {row.subject}", says) for says in _wrong(places, name, int(number), row)]
    broken = {subject.partition(" ")[2].rpartition("@")[0] for _, subject, _ in wrong}
    well = [
        (True, f"model {name}", f"{count} version{'s' * (count != 1)} and runs as registered")
        for name, count in counts.items()
        if name not in broken
    ]
    return well + wrong


def missing(ledger: Ledger, places: Places, name: str, version: int | None, *, bundles: Mapping[int, str]) -> None:
    """Refuse to take a version for untrained whose folder is gone.

    Parameters
    ----------
    version
        The one that is asked for; None for the newest.
    bundles
        Model version to the folder of a release of it.

    Raises
    ------
    IntegrityError
        When the ledger tells of it and its folder is not there; the message says how to bring it back.
    """
    rows = ledger.rows(acts=("model.register",), subject=f"{name}@", limit=1 << 40)
    known = {int(row.subject.rpartition("@")[2]): row for row in rows}
    wanted = version if version is not None else max(known, default=None)
    if wanted is None or wanted not in known:
        return
    folder = _folder(places, name, wanted)
    if folder.is_dir():
        return
    bundle = bundles.get(wanted)
    raise IntegrityError(
        f"{name}@{wanted} was trained (run {known[wanted].detail.get('run')}), and its folder {folder} is gone",
        expected="the folder that training wrote",
        do=f"mkdir -p {folder.parent} && cp -r {bundle} {folder}: its release has all of it"
        if bundle is not None
        else f"bring {folder} back from a backup, or millstream train {name} for another version",
    )


def _wrong(places: Places, name: str, number: int, row: LedgerRow) -> Iterable[str]:
    folder = _folder(places, name, number)
    if not folder.is_dir():
        yield f"its folder {folder} is gone; its release, if it has one, holds all of it"
    elif "kept" in row.detail and tree_hash(folder, without=_OF_RELEASES) != row.detail["kept"]:
        yield f"its folder {folder} is not as row {row.sequence} of the ledger registered it"
    tracked: dict[str, str] = row.detail.get("tracked", {})
    parts = altered(tracked, fingerprints(places, name, number, run_id=str(row.detail.get("run")))) if tracked else []
    if parts:
        yield f"its run in MLflow was altered after training: {', '.join(parts)}"


def _folder(places: Places, name: str, number: int) -> Path:
    return places.state / "models" / name / str(number)
