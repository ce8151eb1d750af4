"""Building a release: everything of a trained model in one immutable, content-addressed, signed folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from millstream.disk import sync
from millstream.errors import BadData, Conflict, IntegrityError, Refused, StorageFull
from millstream.releases import environment, keys
from millstream.releases.card import card
from millstream.releases.desk import Desk, named
from millstream.releases.verify import RELEASE, SCHEMA_VERSION, SIGNATURE, Release, is_safe_name, open_release
from millstream.state import pointer, releases
from millstream.state.releases import ReleaseRow

LOCK = "environment.lock"
CARD = "card.md"
PATCH = "code.patch"
REQUIRED = ("baseline.json", "manifest.json", "model.json", "plan.json", "sample.json", "training.json")
_OURS = frozenset({RELEASE, SIGNATURE, LOCK, CARD, PATCH})
_FORMATS = frozenset({".json", ".txt", ".ubj", ".onnx", ".safetensors"})
"""A positive list: of what could run code when it is loaded, only what ``model.json`` names gets into a bundle."""
_BUILDING = ".building-"
_ABANDONED_S = 3600.0
_ATTEMPTS = 20


def build(
    desk: Desk,
    artifact: Path,
    *,
    actor: str,
    trained_by: str,
    note: str = "",
    model_version: int | None = None,
    code: Mapping[str, str] | None = None,
) -> Release:
    """Bundle an artifact folder, sign it and register it as a candidate.

    Building the same artifact again returns the release that exists, with the environment it was built in, so a
    stopped build can simply be repeated.

    Parameters
    ----------
    artifact
        A folder as training writes it; it stays as it is.
    actor, trained_by
        Who builds, who trained; neither may approve it later.
    note
        Why.
    model_version
        Version in the registry; the release takes the same number. Without one it takes the next.
    code
        Where the definitions came from: ``commit`` or ``snapshot``, ``dirty``, and ``patch``, which becomes a file.

    Raises
    ------
    BadData
        When the folder lacks a file or holds what no release may.
    Conflict
        When another artifact already has that number.
    StorageFull
        When the disk refuses; no row names what was begun.
    """
    actor = named(actor, "the builder's name")
    artifact_files = read_artifact(artifact)
    training = _object(artifact_files, "training.json")
    packages = tuple(_object(artifact_files, "model.json").get("packages", ()))
    extras = {LOCK: environment.lock(str(training.get("estimator", "")), packages).encode()}
    code = dict(code or {"snapshot": _sha256(artifact_files["manifest.json"])})
    if patch := code.pop("patch", ""):
        extras[PATCH] = patch.encode()
    model = named(str(training.get("model", "")), "the model's name in training.json")
    content = _content_hash(artifact_files)
    for _ in range(_ATTEMPTS):
        for each in releases.history(desk.state, model):
            if each.artifact == content and model_version in (None, each.version):
                return desk.open(each)
        said = {
            "schema": SCHEMA_VERSION,
            "model": model,
            "version": model_version or releases.next_version(desk.state, model),
            "artifact": content,
            "previous": pointer.get(desk.state, model).release,
            "run_id": str(training.get("run_id", "")),
            "model_version": model_version,
            "built_at": desk.now(),
            "built_by": actor,
            "trained_by": trained_by.strip(),
            "note": note,
            "code": code,
            "ledger": desk.ledger.head().text,
        }
        release = _write(desk, said, files=artifact_files | extras, training=training)
        try:
            _register(desk, release, training)
        except Conflict:
            _drop(desk, release)
            if model_version is not None and not _same(desk, model, model_version, content):
                raise _taken(model, model_version) from None
            continue
        return release
    raise Conflict(f"{_ATTEMPTS} other releases of {model} were built meanwhile", do="try again")


def read_artifact(folder: Path) -> dict[str, bytes]:
    """Read the plain files of an artifact folder, by path.

    Raises
    ------
    BadData
        When it is no folder, lacks a file, or holds a link, a name or a format that no release may hold.
    """
    if not folder.is_dir():
        raise BadData(
            f"{folder} is not a folder", expected="the folder of a trained model", do="millstream train MODEL"
        )
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        kind = path.lstat().st_mode
        if stat.S_ISDIR(kind):
            continue
        if not stat.S_ISREG(kind):
            raise BadData(f"{name} in {folder} is not a plain file", expected="files, no links or devices")
        if not is_safe_name(name) or name in _OURS:
            raise BadData(f"{name!r} in {folder} cannot be a file of a release", expected="a plain, free name")
        if path.suffix not in _FORMATS and name not in _named_code(folder):
            raise Refused(
                f"{name} in {folder} is of a format that may run code when it is loaded",
                expected=f"one of {', '.join(sorted(_FORMATS))}",
                do="save the model in a safe format; a pickle or code must be the model that model.json names",
            )
        files[name] = path.read_bytes()
    missing = [name for name in REQUIRED if name not in files]
    if missing:
        raise BadData(f"{folder} lacks {', '.join(missing)}", expected="a folder that training wrote", do="train again")
    return files


def _named_code(folder: Path) -> set[str]:
    """Name the files of a Python model: its own, and the project's code that it needs."""
    try:
        said = msgspec.json.decode((folder / "model.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return set()
    if said.get("kind") != "python":
        return set()
    code = {each for each in said.get("code", ()) if each.startswith("code/") and each.endswith(".py")}
    return code | {each for each in ("model.skops", "model.pickle", "model.zip") if each == said.get("file")}


def sweep(places_releases: Path, *, now_s: float) -> None:
    """Remove what builds that were stopped left behind; they were never named by a row."""
    for each in places_releases.glob(f"{_BUILDING}*"):
        if now_s - each.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(each, ignore_errors=True)


def _write(desk: Desk, said: dict[str, Any], *, files: Mapping[str, bytes], training: Mapping[str, Any]) -> Release:
    """Write, sync and rename a bundle, then open it as everybody else will."""
    root = desk.places.releases
    report = _object(files, "report.json") if "report.json" in files else None
    baseline, model = _object(files, "baseline.json"), _object(files, "model.json")
    text = card(said, training, report=report, baseline=baseline, model=model)
    contents = {**files, CARD: text.encode()}
    listed = {name: {"sha256": _sha256(content), "size": len(content)} for name, content in contents.items()}
    manifest = json.dumps({**said, "files": listed}, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"
    final = root / _sha256(manifest)
    scratch = root / f"{_BUILDING}{secrets.token_hex(8)}"
    try:
        scratch.mkdir(parents=True)
        sweep(root, now_s=time.time())
        desk.fault("build:begin")
        _write_files(scratch, contents)
        desk.fault("build:copied")
        _write_files(scratch, {RELEASE: manifest, SIGNATURE: keys.sign(desk.places.keys, manifest)})
        _sync_folders(scratch)
        desk.fault("build:signed")
        _put(scratch, final)
        desk.fault("build:renamed")
    except OSError as wrong:
        shutil.rmtree(scratch, ignore_errors=True)
        if wrong.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise StorageFull(
                f"{root} could not be written: {wrong.strerror}", do="free some space, try again"
            ) from None
        raise
    return open_release(final, desk.places.keys, expected=final.name)


def _register(desk: Desk, release: Release, training: Mapping[str, Any]) -> None:
    said = release.said
    metrics = training.get("metrics") or {}
    goal = training.get("goal")
    row = ReleaseRow(
        id=release.id,
        model=said.model,
        version=said.version,
        path=str(release.path),
        run_id=said.run_id,
        model_version=said.model_version,
        status="candidate",
        built_at=said.built_at,
        built_by=said.built_by,
        goal_value=(metrics.get("model") or {}).get(goal),
        summary={
            "goal": goal,
            "metrics": metrics,
            "pins": training.get("pins", {}),
            "trained_by": said.trained_by,
            "note": said.note,
            "code": said.code,
            "content_hash": training.get("content_hash", ""),
            "key": release.key,
        },
        artifact=said.artifact,
        previous=said.previous,
    )
    with desk.state.transact() as tx:
        desk.fault("build:registering")
        releases.add(tx, row, root=desk.state.path.parent)
        detail: dict[str, Any] = {
            "release": release.id,
            "artifact": said.artifact,
            "run": said.run_id,
            "code": said.code,
        }
        detail |= {"previous": said.previous, "key": release.key, "trained_by": said.trained_by, "note": said.note}
        desk.ledger.append(tx, actor=said.built_by, act="release.build", subject=release.name, detail=detail)
        desk.fault("build:registered")
    desk.fault("build:end")


def _put(scratch: Path, final: Path) -> None:
    """Give a synced folder its name; a twin that wrote the very same bytes first is as good."""
    try:
        scratch.rename(final)
    except OSError as wrong:
        if wrong.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(scratch)
    sync(final.parent)


def _drop(desk: Desk, release: Release) -> None:
    """Remove a bundle that lost its number, unless a twin registered the very same one."""
    if not desk.state.query("SELECT 1 FROM releases WHERE id = ?", (release.id,)):
        shutil.rmtree(release.path, ignore_errors=True)


def _same(desk: Desk, model: str, version: int, content: str) -> bool:
    return releases.named(desk.state, model, version).artifact == content


def _taken(model: str, version: int) -> Conflict:
    return Conflict(
        f"{model}@{version} is already a release, of another artifact",
        expected="one release for a model version",
        do=f"millstream train {model}, and release the new version",
    )


def _object(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(files[name], type=dict[str, Any])
    except msgspec.MsgspecError as wrong:
        raise IntegrityError(f"{name} cannot be read: {wrong}", do="train again") from None


def _content_hash(files: Mapping[str, bytes]) -> str:
    return _sha256("".join(f"{_sha256(files[name])}  {name}\n" for name in sorted(files)).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())


def _sync_folders(folder: Path) -> None:
    for path, _, _ in os.walk(folder, topdown=False):
        sync(Path(path))
