"""What to say of a definition file that cannot be run: file, line, the text there, a caret, and near matches."""

from __future__ import annotations

import builtins
import inspect
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from millstream.errors import DefinitionError, ExpressionError, MillstreamError, near

_KINDS = {"table": "Table", "feature view": "FeatureView", "model": "Model"}


def told(wrong: BaseException, file: Path, folder: Path) -> DefinitionError:
    """Turn whatever a definition file raised into an error that says where and what.

    Parameters
    ----------
    wrong
        What was raised.
    file
        The file that was run.
    folder
        The project: a line of it is named rather than one of a library.
    """
    if isinstance(wrong, SyntaxError):
        return _syntax(wrong, file)
    frames = traceback.extract_tb(wrong.__traceback__)
    own = [each for each in frames if _inside(each.filename, folder)]
    where = (
        f"{Path(own[-1].filename).name}, line {own[-1].lineno}:{_with_caret(own[-1])}\n" if own else f"{file.name}: "
    )
    if isinstance(wrong, MillstreamError):
        return DefinitionError(f"{where}{wrong.happened}", expected=wrong.expected, do=wrong.do)
    if isinstance(wrong, SystemExit | KeyboardInterrupt):
        return DefinitionError(
            f"{where}it ended Python ({type(wrong).__name__}{f': {wrong}' if str(wrong) else ''})",
            expected="definitions only: a file is run each time it has changed",
            do="take it out, or put it under if __name__ == '__main__':",
        )
    said = f"{type(wrong).__name__}: {wrong}"
    return DefinitionError(f"{where}{said}", expected="a file of definitions that Python can run", do=_advice(wrong))


def twice(wrong: DefinitionError, files: Iterable[Path]) -> DefinitionError:
    """Name the places of two definitions that have one name."""
    found = re.match(r"two different (.+)s are called '(.+)'", wrong.happened)
    if found is None or found[1] not in _KINDS:
        return wrong
    begins = re.compile(rf"\b{_KINDS[found[1]]}\(\s*[\"']{re.escape(found[2])}[\"']")
    places = [
        f"{each.name}, line {text.count(chr(10), 0, match.start()) + 1}"
        for each in files
        for text in [each.read_text(encoding="utf-8")]
        for match in begins.finditer(text)
    ]
    said = f"{wrong.happened}: {'; '.join(places)}" if places else wrong.happened
    return DefinitionError(said, expected=wrong.expected, do="give one of them another name, or take it out")


def placed(wrong: ExpressionError, files: Iterable[Path]) -> ExpressionError:
    """Name the file and line an expression stands in, where it is found there as it is."""
    lines = wrong.happened.splitlines()
    if len(lines) != 3 or set(lines[2].strip()) != {"^"}:
        return wrong
    text = lines[1].strip()
    for file in files:
        try:
            body = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for number, line in enumerate(body, start=1):
            if f'"{text}"' in line or f"'{text}'" in line:
                said = f"{file.name}, line {number}: {wrong.happened}"
                return ExpressionError(said, expected=wrong.expected, do=wrong.do)
    return wrong


def _syntax(wrong: SyntaxError, file: Path) -> DefinitionError:
    name = Path(wrong.filename).name if wrong.filename else file.name
    line = f", line {wrong.lineno}" if wrong.lineno else ""
    caret = f"\n    {(wrong.text or '').rstrip()}\n    {' ' * ((wrong.offset or 1) - 1)}^" if wrong.text else ""
    return DefinitionError(f"{name}{line}: {wrong.msg}{caret}", expected="a file that Python can read, in UTF-8")


def _inside(name: str, folder: Path) -> bool:
    return Path(name).is_relative_to(folder) and ".venv" not in Path(name).parts


def _with_caret(frame: traceback.FrameSummary) -> str:
    """Show the line, with carets under the part that failed."""
    line = frame.line or ""
    colno, end = getattr(frame, "colno", None), getattr(frame, "end_colno", None)
    if not line or colno is None or end is None or getattr(frame, "end_lineno", frame.lineno) != frame.lineno:
        return f" {line}"
    indent = len(getattr(frame, "_original_line", line)) - len(getattr(frame, "_original_line", line).lstrip())
    start = max(0, colno - indent)
    return f"\n    {line}\n    {' ' * start}{'^' * max(1, min(end - colno, len(line) - start))}"


def _advice(wrong: BaseException) -> str:
    """Say what was probably meant."""
    if isinstance(wrong, NameError) and wrong.name:
        frame = wrong.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        known = {*frame.tb_frame.f_globals, *frame.tb_frame.f_locals, *dir(builtins)} if frame is not None else set()
        return _close(wrong.name, known)
    if isinstance(wrong, ModuleNotFoundError):
        return f"install what brings {wrong.name!r} beside Millstream, or correct the name"
    if isinstance(wrong, ImportError):
        wanted = re.search(r"cannot import name '(\w+)'", str(wrong))
        module = sys.modules.get(wrong.name or "")
        if "circular import" in str(wrong):
            return "put what both files need into one of them, or into a third that begins with _"
        return _close(wanted[1], dir(module)) if wanted and module is not None else ""
    if isinstance(wrong, TypeError):
        found = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(wrong))
        kind = getattr(sys.modules.get("millstream"), found[1], None) if found else None
        if found and kind is not None:
            return near(found[2], list(inspect.signature(kind).parameters))
        if word := re.fullmatch(r"Unexpected keyword argument '(\w+)'", str(wrong)):  # of what, msgspec does not say
            return _whose(word[1])
    if isinstance(wrong, AttributeError) and wrong.name:
        return _close(wrong.name, [each for each in dir(wrong.obj) if not each.startswith("_")])
    if isinstance(wrong, NameError | ImportError | AttributeError):
        return ""
    return "mend it; a script that defines nothing goes into a folder, as notebooks/, or gets a name that begins with _"


def _whose(word: str) -> str:
    """Say which of the words of definitions takes an argument."""
    top = sys.modules.get("millstream")
    kinds = ("Table", "FeatureView", "Model", "Each", "Every")
    takes = [kind for kind in kinds if word in inspect.signature(getattr(top, kind)).parameters]
    return f"{word}= is for {' and '.join(takes)}" if takes else f"leave {word}= out, or correct the word"


def _close(name: str, known: Iterable[str]) -> str:
    said = near(name, known)
    return said if said.startswith("did you mean") else ""
