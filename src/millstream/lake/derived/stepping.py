"""The worker of one step: ``python -m millstream.lake.derived.stepping TASK.json``, in a session of its own.

It forks: the child runs the step, the parent waits for it and for its own standard input to end, which is when the
process that started it is gone; then the whole session dies. Whatever user code prints goes where this process's
output goes; the answer is a file.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

_NO_PROGRAM = 127


class Task(msgspec.Struct, frozen=True):
    """What a worker is to do.

    Parameters
    ----------
    root
        The project: working directory, and where modules are found.
    function
        ``module:function``; empty for a command.
    command
        A command and its arguments; empty for a function.
    inputs
        Table to the Parquet file with its rows.
    out, answer
        Files to write: the rows, and what came of it.
    about
        What is said of the partition that is made: ``partition``, ``since``, ``until``; a function gets those it names.
    """

    root: str
    function: str
    command: tuple[str, ...]
    inputs: dict[str, str]
    out: str
    answer: str
    about: dict[str, str] = {}


class Answer(msgspec.Struct, frozen=True):
    """What came of a step.

    Parameters
    ----------
    error, expected, do
        What went wrong, if it did.
    files
        Files of the project that were imported, relative to it.
    signal
        Signal that ended it; 0 for none.
    """

    error: str = ""
    expected: str = ""
    do: str = ""
    files: tuple[str, ...] = ()
    signal: int = 0


def main() -> int:
    """Run the task, and end with it; the exit code is the step's."""
    task = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Task)
    child = os.fork()
    if child == 0:
        os._exit(_child(task))
    threading.Thread(target=_end_with_starter, daemon=True).start()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        _tell(task, Answer(signal=-code))
    return abs(code)


def _end_with_starter() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


def _child(task: Task) -> int:
    with contextlib.suppress(OSError):  # when memory runs out, this goes first
        Path("/proc/self/oom_score_adj").write_text("1000")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.chdir(task.root)
    if task.command:
        return _command(task)
    code = _function(task)
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _command(task: Task) -> int:
    try:
        os.execvp(task.command[0], task.command)
    except OSError as wrong:
        _tell(task, Answer(error=f"{task.command[0]} cannot be started: {wrong.strerror}"))
        return _NO_PROGRAM


def _function(task: Task) -> int:
    sys.dont_write_bytecode = True  # of code that changes twice in a second Python would run what it compiled first
    sys.path.insert(0, task.root)
    try:
        function = _imported(task)
        import polars as pl

        frames = {name: pl.read_parquet(file, glob=False) for name, file in task.inputs.items()}
        made = function(**frames, **_wanted(function, task))
        answer = _written(task, made)
    except _WrongStep as wrong:
        answer = wrong.answer
    except BaseException as wrong:  # noqa: BLE001 - a border: user code may raise anything, SystemExit too
        traceback.print_exc()
        answer = Answer(error=f"{type(wrong).__name__}: {wrong}{_where(task, wrong)}")
    _tell(task, msgspec.structs.replace(answer, files=_files(Path(task.root))))
    return 1 if answer.error else 0


class _WrongStep(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.error)
        self.answer = answer


def _imported(task: Task) -> Callable[..., Any]:
    module, _, name = task.function.partition(":")
    function: Callable[..., Any] | None = getattr(importlib.import_module(module), name, None)
    if not callable(function):
        raise _WrongStep(Answer(error=f"module {module} has no function {name}"))
    wants = inspect.signature(function)
    try:
        wants.bind(**task.inputs, **_wanted(function, task))
    except TypeError as wrong:
        takes = ", ".join(task.inputs)
        raise _WrongStep(
            Answer(error=f"{name}{wants} does not take its inputs: {wrong}", expected=f"def {name}({takes}): ...")
        ) from None
    return function


def _wanted(function: Callable[..., Any], task: Task) -> dict[str, Any]:
    """Pick what a function wants to know of its partition: its name, and its range as instants."""
    named = inspect.signature(function).parameters
    return {
        name: said if name == "partition" else datetime.fromisoformat(said)
        for name, said in task.about.items()
        if name in named and name not in task.inputs
    }


def _written(task: Task, made: object) -> Answer:
    import polars as pl

    if not isinstance(made, pl.DataFrame):
        hints = {
            "LazyFrame": "say .collect() at the end",
            "NoneType": "say return",
            "DataFrame": "polars.from_pandas(...)",
        }
        kind = type(made)
        return Answer(
            error=f"the function gave a {kind.__module__.partition('.')[0]}.{kind.__qualname__}",
            expected="a polars.DataFrame",
            do=hints.get(kind.__name__, ""),
        )
    odd = [name for name, each in made.schema.items() if each == pl.Object]
    if odd:
        return Answer(error=f"column {odd[0]!r} holds Python objects", expected="numbers, texts, booleans or times")
    made.write_parquet(task.out)
    return Answer()


def _where(task: Task, wrong: BaseException) -> str:
    """Say where in the project an error came from."""
    own = [each for each in traceback.extract_tb(wrong.__traceback__) if each.filename.startswith(task.root)]
    if not own:
        return ""
    return f" ({Path(own[-1].filename).relative_to(task.root)}, line {own[-1].lineno}: {own[-1].line})"


def _files(root: Path) -> tuple[str, ...]:
    """List the files of the project that were imported; packages installed inside of it are not the project's code."""
    found = set()
    for each in list(sys.modules.values()):
        file = getattr(each, "__file__", None)
        if file and Path(file).suffix == ".py" and Path(file).is_relative_to(root):
            inner = Path(file).relative_to(root)
            if not any(part.startswith(".") or part == "site-packages" for part in inner.parts):
                found.add(str(inner))
    return tuple(sorted(found))


def _tell(task: Task, answer: Answer) -> None:
    Path(task.answer).write_bytes(msgspec.json.encode(answer))


if __name__ == "__main__":
    sys.exit(main())
