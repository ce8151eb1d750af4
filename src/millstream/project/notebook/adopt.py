"""Writing a definition of a notebook into the file that defines the model: the words that changed, nothing else."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from millstream.definitions.load import definition_files, load
from millstream.definitions.manifest import Manifest
from millstream.definitions.model import Model
from millstream.errors import MillstreamError, Refused, StorageFull
from millstream.project.door import with_model
from millstream.project.notebook import show, source
from millstream.project.notebook.edit import edited
from millstream.project.notebook.runs import Run, find

if TYPE_CHECKING:
    from millstream.project.root import Project


@dataclass(frozen=True)
class Adopted:
    """What became of a definition file.

    Parameters
    ----------
    model, file
        What was written, and where; the file is relative to the project.
    diff
        What changed, as ``diff -u`` shows it; empty when the file said it already.
    kept
        Copy of the file as it was; empty where nothing was written.
    version
        The version trained from it; None where a definition was adopted that nobody trained.
    """

    model: str
    file: str
    diff: str
    kept: str
    version: int | None = None

    @property
    def says(self) -> str:
        """What happened and what comes next."""
        if not self.diff:
            return f"{self.file} says this of {self.model} already"
        then = f"millstream train {self.model}"
        if self.version is not None:
            then = f"millstream release {self.model} --version {self.version}"
        return (
            f"{self.file} now says this of {self.model}; before: {self.kept}\nnext: git commit -am '...', then {then}"
        )

    def __repr__(self) -> str:
        return "\n".join(each for each in (self.diff, self.says) if each)

    def _repr_html_(self) -> str:
        return show.block("", f"<pre>{escape(self.diff)}</pre>" if self.diff else "", *self.says.splitlines())


def adopted(project: Project, run: Run | int | str | Model, *, model: str | None = None) -> Adopted:
    """Write the definition of a run, or of a notebook's model, into its file.

    The words that changed are replaced where they stand; comments and everything else stay. The edited file is run
    aside before it takes the old one's place, and must say what the notebook says.

    Raises
    ------
    Refused
        When the change cannot be written safely; says what to paste where. The file is as it was.
    StorageFull
        When the disk refuses; the file is as it was.
    """
    version = None
    if isinstance(run, Model):
        wanted, name = with_model(project.manifest, run), run.name
    else:
        found = find(project, run, model=model)
        name, version = found.model, found.version
        then = found.manifest
        views = {role.view: then.view(role.view) for role in then.model(name).features}
        wanted = Manifest(
            tables=project.manifest.tables,
            views={**project.manifest.views, **views},
            models={**project.manifest.models, name: then.model(name)},
        )
    if same(project.manifest, wanted, name):
        return Adopted(name, _where(project, name), "", "", version)
    file, before, after = _edit(project, wanted, name)
    _refuse_other(project, file, after, wanted, name)
    kept = _write(project, file, before, after)
    relative = str(file.relative_to(project.root))
    diff = source.difference(before, after, old=f"a/{relative}", new=f"b/{relative}")
    project.ledger.record(
        actor=project.actor, act="definition.adopt", subject=name, detail={"file": relative, "diff": diff}
    )
    project.__dict__.pop("manifest", None)
    return Adopted(name, relative, diff, kept, version)


def same(one: Manifest, other: Manifest, name: str) -> bool:
    """Say whether two manifests mean the same by a model: its words, and the views it reads."""
    return source.meaning(one, name) == source.meaning(other, name)


def _edit(project: Project, wanted: Manifest, name: str) -> tuple[Path, str, str]:
    """Return the file that defines a model, its text, and its text with the words that changed."""
    for file in definition_files(project.root):
        text = file.read_bytes().decode("utf-8")
        try:
            after = edited(text, project.manifest, wanted, name)
        except source.Unwritten as why:
            raise _paste(wanted, name, str(file.relative_to(project.root)), str(why)) from None
        if after is not None:
            return file, text, after
    raise _paste(wanted, name, "a definition file", f"no file has a call Model({source.literal(name)}, ...)")


def _refuse_other(project: Project, file: Path, after: str, wanted: Manifest, name: str) -> None:
    """Run the edited files aside; refuse an edit that does not say what the notebook says."""
    with tempfile.TemporaryDirectory(dir=project.places.state) as scratch:
        aside = Path(scratch) / "project"
        _mirror(project.root, aside, file.relative_to(project.root), after)
        relative = str(file.relative_to(project.root))
        try:
            said = load(aside, cache=project.places.manifests)  # by content: the files are about to say this
        except MillstreamError as wrong:
            raise _paste(wanted, name, relative, f"the edited file does not load: {wrong.happened}") from None
        if not same(said, wanted, name):
            raise _paste(wanted, name, relative, "the file computes the definition in a way an edit cannot follow")


def _mirror(root: Path, aside: Path, changed: Path, text: str) -> None:
    """Lay a project out again as links, with one file of another text."""
    aside.mkdir()
    for each in root.iterdir():
        if each.name.startswith(".") or each == root / changed.parts[0]:
            continue
        (aside / each.name).symlink_to(each)
    if len(changed.parts) > 1:
        (aside / changed.parts[0]).mkdir()
        for each in (root / changed.parts[0]).iterdir():
            if each.name != changed.name:
                (aside / changed.parts[0] / each.name).symlink_to(each)
    (aside / changed).write_bytes(text.encode("utf-8"))


def _write(project: Project, file: Path, before: str, after: str) -> str:
    """Keep a copy of the file, then let the new text take its place in one step."""
    kept = project.places.state / "adopted"
    number = 1
    try:
        kept.mkdir(parents=True, exist_ok=True)
        while (copy := kept / f"{file.stem}-{number}.py").exists():
            number += 1
        copy.write_bytes(before.encode("utf-8"))
        scratch = file.with_name(f".{file.name}.new")
        scratch.write_bytes(after.encode("utf-8"))
        scratch.chmod(file.stat().st_mode)
        if file.read_bytes().decode("utf-8") != before:
            scratch.unlink()
            raise Refused(f"{file.name} was changed meanwhile", do="adopt again")
        scratch.replace(file)
    except OSError as wrong:
        raise StorageFull(f"{file} could not be written: {wrong}", do="free some space and adopt again") from wrong
    return str(copy.relative_to(project.root))


def _paste(wanted: Manifest, name: str, where: str, why: str) -> Refused:
    model = wanted.model(name)
    words = source.of_model(model)
    said = source.told(wanted, name)
    return Refused(
        f"the definition of {name} cannot be written into {where}: {why}",
        expected=f"a call Model({source.literal(name)}, ...) with its words in one file: {', '.join(words)}",
        do=f"write this into {where} yourself, then commit and release:\n{said}",
    )


def _where(project: Project, name: str) -> str:
    """Name the file that defines a model."""
    for file in definition_files(project.root):
        if f'"{name}"' in (text := file.read_text(encoding="utf-8")) or f"'{name}'" in text:
            return str(file.relative_to(project.root))
    return "the definition files"
