"""Run a project's definition files and write down what they say.

This runs user code, so it is the main program of a short-lived worker: ``python -m millstream.definitions.load
FOLDER`` prints the manifest as JSON. Everybody else reads the manifest.
"""

from __future__ import annotations

import hashlib
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from millstream.definitions.broken import told, twice
from millstream.definitions.checks import Imported, Own
from millstream.definitions.manifest import Manifest, gather
from millstream.definitions.suites.making import digest
from millstream.errors import DefinitionError, MillstreamError

_SKIPPED = {"conftest.py", "setup.py"}
RUNNING = "MILLSTREAM_DEFINING"  # in the worker: the folder whose definitions it reads
BEGUN = b"> "  # before the name of each file, as it begins


def definition_files(folder: Path) -> list[Path]:
    """List the definition files of a project: the Python files at its top level and in ``definitions/``."""
    found = [*sorted(folder.glob("*.py")), *sorted((folder / "definitions").glob("*.py"))]
    return [each for each in found if each.name not in _SKIPPED and not each.name.startswith(("_", "test_"))]


def files_digest(folder: Path) -> str:
    """Hash the names and bytes of the definition files."""
    digest = hashlib.sha256()
    for each in definition_files(folder):
        body = each.read_bytes()
        digest.update(f"{each.relative_to(folder)}\0{len(body)}\0".encode() + body)
    return digest.hexdigest()


def load(
    folder: Path, *, cache: Path, timeout_s: float = 120.0, damaged: Callable[[Path], object] = lambda path: None
) -> Manifest:
    """Return the manifest of a project, running its files in a worker only if they changed.

    Parameters
    ----------
    folder
        The project.
    cache
        Where manifests are kept, by the hash of the files they came from and the hash of what they hold.
    timeout_s
        How long definition files may take.
    damaged
        Called with the file of a kept manifest that is not what was written; it is made again from the definitions.

    Raises
    ------
    DefinitionError
        When a file fails; the message names file, line and the text there.
    """
    came_from = files_digest(folder)
    for each in sorted(cache.glob(f"{came_from}-*.json")):
        manifest = _kept(each)
        if manifest is None:
            damaged(each)
            each.unlink(missing_ok=True)
        elif _code_is_as_it_lies(folder, manifest):
            return manifest
    manifest = run_aside(folder, timeout_s=timeout_s)
    body = manifest.encode()
    kept = cache / _name(came_from, body)
    cache.mkdir(parents=True, exist_ok=True)
    scratch = kept.with_suffix(f".{os.getpid()}")
    scratch.write_bytes(body)
    scratch.replace(kept)
    return manifest


def _name(came_from: str, body: bytes) -> str:
    return f"{came_from}-{hashlib.sha256(body).hexdigest()}.json"


def _kept(path: Path) -> Manifest | None:
    """Read a kept manifest; None when it is not what its name says."""
    try:
        body = path.read_bytes()
        return Manifest.decode(body) if path.name == _name(path.name.partition("-")[0], body) else None
    except (OSError, msgspec.MsgspecError):
        return None


def run_aside(folder: Path, *, timeout_s: float = 120.0) -> Manifest:
    """Run a project's definition files in a worker, whatever is kept, and return what they say.

    Raises
    ------
    DefinitionError
        As ``load``.
    """
    if not definition_files(folder):
        raise DefinitionError(
            f"{folder} has no definition files",
            expected="at least one .py file",
            do="millstream init DIR --example flights",
        )
    if os.environ.get(RUNNING) == str(folder.resolve()):  # it would run itself again, and again
        raise DefinitionError(
            "this file works with the project while its definitions are being read",
            expected="definitions only in the files at the top of a project",
            do="move it into a folder, as notebooks/, or let its name begin with _",
        )
    command = [sys.executable, "-m", "millstream.definitions.load", str(folder.resolve())]  # it runs in the folder
    inside = {**os.environ, RUNNING: str(folder.resolve())}
    try:
        done = subprocess.run(command, cwd=folder, env=inside, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as late:
        begun = [line.removeprefix(BEGUN) for line in (late.stdout or b"").splitlines() if line.startswith(BEGUN)]
        at = f"{begun[-1].decode()}: " if begun else ""
        raise DefinitionError(
            f"{at}the definition files did not finish in {timeout_s:.0f} s",
            expected="definitions only, no work at import",
            do="move what works with data into a folder, as notebooks/, or let its name begin with _",
        ) from None
    lines = done.stdout.splitlines()
    answer = msgspec.json.decode(lines[-1]) if lines and lines[-1].startswith(b"{") else None
    if answer is None:
        said = done.stderr.decode(errors="replace")[-2000:].strip()
        raise DefinitionError(
            f"the definition files ended Python, with exit code {done.returncode}{f': {said}' if said else ''}",
            expected="definitions only: no os._exit, and nothing that crashes when it is imported",
            do=f"python {definition_files(folder)[0].name} shows what happens",
        )
    if "error" in answer:
        raise DefinitionError(answer["error"], expected=answer["expected"], do=answer["do"])
    try:
        return msgspec.convert(answer["manifest"], Manifest)
    except msgspec.ValidationError as wrong:
        raise DefinitionError(
            f"the definitions hold a value of another type than its place takes: {wrong}",
            expected="values of the types that the page of each word names (docs/)",
            do="look for the value, or the place, in the definition files",
        ) from None


def _code_is_as_it_lies(folder: Path, manifest: Manifest) -> bool:
    """Say whether estimators' own code and suites of checks are still what lies in the project."""
    suites = {each for table in manifest.tables.values() for each in table.checks if isinstance(each, Imported | Own)}
    if any(digest(files, folder) != found for files, found in {(each.files, each.digest) for each in suites}):
        return False
    code = {name: text for model in manifest.models.values() for name, text in model.estimator.code.items()}
    try:
        return all((folder / name).read_text(encoding="utf-8") == text for name, text in code.items())
    except (OSError, UnicodeDecodeError):
        return False


def run_files(folder: Path) -> Manifest:
    """Run the definition files in this process and gather what they define."""
    sys.path.insert(0, str(folder))
    found: list[object] = []
    for each in definition_files(folder):
        sys.stdout.write(f"\n{BEGUN.decode()}{each.name}\n")
        sys.stdout.flush()
        try:
            found.extend(runpy.run_path(str(each)).values())
        except (Exception, SystemExit, KeyboardInterrupt) as wrong:  # noqa: BLE001 - a border: user code may raise anything
            raise told(wrong, each, folder) from None
    try:
        return gather(found)
    except DefinitionError as wrong:
        raise twice(wrong, definition_files(folder)) from None


def _main() -> int:
    try:
        answer: dict[str, object] = {"manifest": msgspec.to_builtins(run_files(Path(sys.argv[1]).resolve()))}
    except MillstreamError as wrong:
        answer = {"error": wrong.happened, "expected": wrong.expected, "do": wrong.do}
    sys.stdout.write("\n" + msgspec.json.encode(answer).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
