"""What the project's folder is under git, or the content hash that stands in where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from millstream.errors import Refused


def commit(root: Path) -> str | None:
    """Return the commit of the project's own repository; None where it is no repository or there is no git."""
    if shutil.which("git") is None or _git(root, "rev-parse", "--show-toplevel") != str(root):
        return None
    return _git(root, "rev-parse", "--verify", "-q", "HEAD") or None


_WORK = (".", ":(exclude)*.ipynb")
"""What a release is made of: notebooks are not, so one that is open never stands in its way."""
_LYING = ("csv", "gz", "html", "jpg", "log", "parquet", "pdf", "png", "svg", "tsv", "xlsx", "zip")
"""Endings of files that are results: one that git does not know is no code, and is not missed by a release."""


def changes(root: Path) -> str:
    """Return what differs from the commit, untracked files named; notebooks and results are no definitions."""
    if commit(root) is None:
        return ""
    return "\n".join(each for each in (_git(root, "diff", "HEAD", "--", *_WORK), _untracked(root)) if each)


def _untracked(root: Path) -> str:
    results = [f":(exclude,icase)*.{ending}" for ending in _LYING]
    return _git(root, "ls-files", "--others", "--exclude-standard", "--", *_WORK, *results)


def described(root: Path, definitions: str) -> dict[str, str]:
    """Say where the code of a run came from, as tags of the run."""
    said = commit(root)
    if said is None:
        return {"millstream.snapshot": definitions}
    return {"mlflow.source.git.commit": said, "millstream.dirty": "yes" if changes(root) else "no"}


def source(root: Path, definitions: str, *, patch: bool) -> dict[str, str]:
    """Say where the code of a release came from; with ``patch`` what differs from the commit comes along."""
    said = commit(root)
    if said is None:
        return {"snapshot": definitions}
    different = changes(root)
    return {"commit": said, **({"dirty": "yes", "patch": different} if patch and different else {})}


def is_kept(root: Path, said: str) -> bool:
    """Say whether a commit is still on a branch or tag of the project's repository."""
    return commit(root) is not None and bool(_git(root, "for-each-ref", "--count=1", "--contains", said))


def refuse_dirty(root: Path) -> None:
    """Refuse definitions that are not committed.

    Raises
    ------
    Refused
        Naming what to do.
    """
    if changes(root):
        named = [*_git(root, "diff", "HEAD", "--name-only", "--", *_WORK).splitlines(), *_untracked(root).splitlines()]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        raise Refused(
            f"there are uncommitted changes ({', '.join(named[:3])}{more}), so nobody could say what was released",
            expected="a clean commit",
            do="git add and git commit them, or release with --dirty to keep the patch in the release",
        )


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
