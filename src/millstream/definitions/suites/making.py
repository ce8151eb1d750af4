"""What readers of suites share: files and their hashes, how values and names are written, and the checks they make."""

from __future__ import annotations

import hashlib
import importlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from millstream.definitions import checks
from millstream.definitions.checks import Check, Imported, Plain
from millstream.definitions.imported import Own
from millstream.definitions.severity import Severity
from millstream.errors import DefinitionError, near


class Untranslatable(Exception):
    """A test that our checks do not say; the text is why."""


def text_of(file: str) -> str:
    """Read a file of a suite, relative to the project.

    Raises
    ------
    DefinitionError
        Where it is not there; near matches are named.
    """
    path = Path(file)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        beside = [str(each) for each in sorted(path.parent.glob("*"))] if path.parent.is_dir() else []
        said = wrong.strerror if isinstance(wrong, OSError) else "is no text"
        raise DefinitionError(
            f"suite {file!r} cannot be read: {said}",
            expected="a file, relative to the project" + (f"; {near(file, beside)}" if beside else ""),
        ) from None


def digest(patterns: Iterable[str], root: Path = Path()) -> str:
    """Hash the names and bytes of what lies under patterns, so that a changed suite is read again."""
    made = hashlib.sha256()
    for pattern in patterns:
        for each in sorted(root.glob(pattern)):
            if each.is_file():
                made.update(f"{each.relative_to(root)}\0".encode() + hashlib.sha256(each.read_bytes()).digest())
    return made.hexdigest()


def quoted(name: str) -> str:
    """Write the name of a column."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """Write a value.

    Raises
    ------
    Untranslatable
        For what the row language has no literal of.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise Untranslatable(f"{value!r} is no text, number or boolean")


def number(value: Any) -> float:
    """Take a finite number; anything else is not translated."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Untranslatable(f"{value!r} is no number, and the column's type is not known here")
    return value


def bounds(what: str, low: Any, high: Any, *, over: bool = False, under: bool = False) -> str:
    """Write that something lies between two numbers, either of which may be left out."""
    said = [] if low is None else [f"{what} {'>' if over else '>='} {literal(number(low))}"]
    said += [] if high is None else [f"{what} {'<' if under else '<='} {literal(number(high))}"]
    if not said:
        raise Untranslatable("it has no limit")
    return " and ".join(said)


def pattern(text: Any, *, anywhere: bool, start: bool = False, newline: bool = True) -> str:
    """Write a pattern of Python's ``re`` as one that our ``matches`` holds the whole text against.

    ``newline`` says whether ``$`` also matches before a last line break, as it does in Python and does not in Polars.

    Raises
    ------
    Untranslatable
        For what Rust's ``regex`` does not do the same: look-around, back-references and ``$`` inside.
    """
    if not isinstance(text, str):
        raise Untranslatable(f"{text!r} is no pattern")
    flat = re.sub(r"\[[^\]]*\]", "", re.sub(r"\\.", "", text))  # without what is escaped, and without classes
    ends = flat.endswith("$")
    body = text[:-1] if ends else text
    inside = flat.removesuffix("$").removeprefix("^")
    odd = re.search(r"[\^$]|\(\?[=!<P(]", inside) or re.search(r"\\[1-9ZGAbB]", text)
    while inside != (inside := re.sub(r"\([^()]*\)", "", inside)):
        pass
    if odd or ("|" in inside and (ends or flat.startswith("^"))):
        raise Untranslatable(f"pattern {text!r} may mean something else in Rust's regex")
    head = "(?s:.*)" if anywhere and not body.startswith("^") and not start else ""
    last = r"\n?" if newline else ""
    tail = last if ends else "(?s:.*)" if anywhere or start else ""
    return f"{head}(?:{body.removeprefix('^')}){tail}"


def yaml_of(file: str) -> dict[str, Any]:
    """Read a YAML file of a suite, relative to the project.

    Raises
    ------
    DefinitionError
        Where it is no YAML, or no mapping.
    """
    yaml: Any = importlib.import_module("yaml")
    try:
        found = yaml.safe_load(text_of(file))
    except yaml.YAMLError as wrong:
        raise DefinitionError(f"suite {file!r} is no YAML: {' '.join(str(wrong).split())}") from None
    if not isinstance(found, dict):
        raise DefinitionError(f"suite {file!r} is {type(found).__name__}", expected="a mapping of names")
    return found


@dataclass
class Maker:
    """Collects the checks a suite gives.

    Parameters
    ----------
    library, file
        What it is, and where.
    files
        Patterns of all files it depends on.
    severity
        For all; None for what each says.
    without
        Names of tests that are left out.
    """

    library: str
    file: str
    files: tuple[str, ...]
    severity: Severity | None
    without: frozenset[str]
    made: list[Check] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.digest = digest(self.files)
        self._met: set[str] = set()

    def left_out(self, *names: str) -> bool:
        """Say whether a test of one of these names is left out."""
        self._met |= set(names)
        return bool(self.without & set(names))

    def take(self, test: str, check: Plain, **more: Any) -> None:
        """Keep a translated test."""
        origin = f"{self.library} {self.file}: {test}"
        if self.severity is not None:
            check = msgspec.structs.replace(check, severity=self.severity)
        self.made.append(Imported(check=check, origin=origin, files=self.files, digest=self.digest, **more))

    def leave(self, test: str, *, spec: Any, why: str, do: str, severity: Severity) -> None:
        """Keep a test for its own library; without ``spec`` nothing can run it, and that is said."""
        self.made.append(
            Own(
                library=self.library,
                test=test,
                origin=f"{self.library} {self.file}: {test}",
                spec="" if spec is None else msgspec.json.encode(spec).decode(),
                why=why,
                do=do,
                severity=self.severity or severity,
                files=self.files,
                digest=self.digest,
            )
        )

    def done(self) -> list[Check]:
        """Return the checks.

        Raises
        ------
        DefinitionError
            Where a name that is to be left out is no test of the suite, or nothing is in it.
        """
        for each in sorted(self.without - self._met):
            raise DefinitionError(f"{self.library} {self.file} has no test {each!r}", expected=near(each, self._met))
        if not self.made and not self._met:
            raise DefinitionError(f"{self.library} {self.file} has no tests", expected="a suite with at least one")
        return self.made


def holds(condition: str, severity: Severity, *, where: str = "") -> Plain:
    """Make a check of a condition, of the rows for which ``where`` is true."""
    said = f"not coalesce({where}, false) or ({condition})" if where else condition
    return checks.holds(said, severity=severity)
