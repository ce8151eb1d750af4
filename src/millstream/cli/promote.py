"""The only door from an overlay to production: production trains the committed recipe itself, and asks there."""

from __future__ import annotations

import os
from pathlib import Path

from millstream.cli import call as calls
from millstream.cli import drawing, render
from millstream.errors import UserError
from millstream.settings import PRODUCTION, VARIABLE


def promote(folder: Path | None, *, model: str, version: int | None, note: str, to: str, as_json: bool) -> None:
    """Release to production what was tried in an overlay.

    The recipe travels, not the model: production trains it on its own tables at their newest versions, judges it
    beside its own champion, signs it and asks. What was tried is named in the note.
    """
    with calls.told(as_json=as_json):
        if to != PRODUCTION:
            raise UserError(f"--to {to} is no way to release", expected=f"--to {PRODUCTION}")
        root = calls.find_root(folder)
        tried = calls.call(root, "tried", {"model": model, **({} if version is None else {"version": version})})
        os.environ[VARIABLE] = PRODUCTION
        came = f"tried in {tried['environment']} as version {tried['version']} (run {tried['run_id']})"
        if tried["edited"]:
            came += f" on rows edited there, which production has not: {'; '.join(tried['edited'])}"
        said = f"{note}; {came}" if note else came
        with drawing.working("train", quiet=as_json):
            trained = calls.call(root, "train", {"model": model, "note": said})
        with drawing.working("release", quiet=as_json):
            released = calls.call(root, "release", {"model": model, "version": trained["version"], "note": said})
        calls.show({**released, "tried": tried, "trained": trained}, render.release, as_json=as_json)
