"""Heads of the ledger that are kept outside of it: a tail that was cut, or a ledger written anew, contradicts them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import StorageFull, UserError
from millstream.ledger.chain import Anchor

if TYPE_CHECKING:
    from millstream.project.root import Project


class _Line(msgspec.Struct, frozen=True):
    """One line of a file of heads."""

    sequence: int
    hash: str
    at: str


def of_project(project: Project) -> list[Anchor]:
    """Return the heads that releases and commits of the lake have kept as they were made."""
    from millstream.lake.delta import anchors_in

    found = {f"in version {name} of the lake": text for name, text in anchors_in(project.places.lake).items()}
    for path in sorted(project.places.releases.glob("[!.]*/release.json")):
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # a broken bundle is a finding of its own
            said = msgspec.json.decode(path.read_bytes())
            found[f"in release {said['model']}@{said['version']}"] = str(said.get("ledger") or "")
    made = []
    for where, text in found.items():
        with contextlib.suppress(ValueError):
            made.append(Anchor.read(text, where=where))
    return made


def of_file(path: Path) -> list[Anchor]:
    """Return the heads in a file, one a line as ``keep`` writes them; none when it is not there yet.

    Raises
    ------
    UserError
        When it is another kind of file.
    """
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
        kept = [msgspec.json.decode(each, type=_Line) for each in lines if each.strip()]
        return [Anchor.read(f"{each.sequence}:{each.hash}", where=f"in {path.name} on {each.at[:10]}") for each in kept]
    except (OSError, ValueError) as wrong:  # msgspec's errors are ValueErrors
        raise UserError(
            f"{path} is not a file of heads of a ledger: {wrong}",
            expected="a file that verify --anchor wrote, or a new one",
            do=f"millstream verify --anchor {path.with_suffix('.heads')}",
        ) from None


def keep(path: Path, head: Anchor, *, at: str) -> dict[str, Any]:
    """Add a head to a file, synced, unless it is the last one there; return what was done."""
    known = of_file(path)
    if not known or known[-1].sequence != head.sequence:
        line = msgspec.json.encode(_Line(head.sequence, head.hash, at)) + b"\n"
        try:
            with path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as wrong:
            raise StorageFull(
                f"{path} could not be written: {wrong.strerror or wrong}", do="give --anchor a path that can be"
            ) from None
    return {"path": str(path), "compared": len(known), "sequence": head.sequence, "hash": head.hash}
