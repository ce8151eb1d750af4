"""Running a step: its inputs as files, user code in a process of its own, its rows brought back through the door."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl

from millstream.definitions.sources import Csv
from millstream.definitions.steps import in_words, module_file
from millstream.definitions.table import Table
from millstream.errors import BadData, MillstreamError, NotFound, StorageFull, UserError
from millstream.expressions import door
from millstream.lake.derived.stepping import Answer, Task
from millstream.lake.faults import VARIABLE
from millstream.lake.shape import compile_shape, whole
from millstream.sources import read
from millstream.types import parse_duration

_LOG_BYTES = 64 * 1024 * 1024
"""A step that prints more than this is ended."""
_MEMORY_SHARE = 0.8
_LOOK_S = 0.2
_MOST_LINES = 20
"""Of what a step prints within one look, the last lines are passed on."""


@dataclass(frozen=True)
class Bench:
    """Where steps are run.

    Parameters
    ----------
    root
        The project.
    folder
        Where scratch files and logs go.
    memory_bytes
        What all processes of a step may hold together.
    free_bytes
        What a step has to leave free of the disk, or it is ended: the ledger and the answers are written there too.
    """

    root: Path
    folder: Path
    memory_bytes: int
    free_bytes: int = 256 << 20

    def log(self, name: str) -> Path:
        """Return the log of a table's last step."""
        return self.folder / f"{name}.log"

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Hold a table's turn: one process or thread at a time looks whether its step has to run, and runs it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.turn").open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Hold a table's scratch folder, empty; one step of a table runs at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.lock").open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            place = self.folder / name
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            try:
                yield place
            finally:
                shutil.rmtree(place, ignore_errors=True)


@dataclass(frozen=True)
class Meanwhile:
    """What goes on while a step runs.

    Parameters
    ----------
    aside
        Makes a context in which the step runs: whoever calls lets go there of what others wait for.
    tell
        Called with each line that the step prints, as it prints it.
    """

    aside: Callable[[], AbstractContextManager[object]] = nullcontext
    tell: Callable[[str], object] = lambda line: None


class StepFailed(Exception):
    """A step gave no rows.

    Parameters
    ----------
    error
        What to say.
    files
        Files of the project it had imported.
    """

    def __init__(self, error: MillstreamError, files: Iterable[str] = ()) -> None:
        super().__init__(str(error))
        self.error = error
        self.files = tuple(files)


def bench(root: Path, state: Path) -> Bench:
    """Lay out the bench of a project; a step may use four fifths of the memory there is."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        there = min(there, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return Bench(root=root, folder=state / "steps", memory_bytes=int(there * _MEMORY_SHARE))


def first_files(table: Table, root: Path) -> tuple[str, ...]:
    """Name the files a step is known to consist of before it ran: its module, or the command's scripts.

    Raises
    ------
    NotFound
        When the module is not in the project.
    """
    step = table.step or ""
    if not step:
        return ()
    if not isinstance(step, str):
        inside = [each for each in step if not Path(each).is_absolute() and (root / each).is_file()]
        return tuple(dict.fromkeys(str(Path(each)) for each in inside))
    file = module_file(step)
    package = f"{file.removesuffix('.py')}/__init__.py"
    for each in (file, package):
        if (root / each).is_file():
            return (each,)
    raise NotFound(
        f"the step of table {table.name!r} is {step}, and the project has no {file}",
        expected=f"a file {file} with the function {step.partition(':')[2]}",
    )


def run_step(
    table: Table,
    inputs: Mapping[str, pl.DataFrame],
    *,
    at: Bench,
    expected: Mapping[str, str] | None,
    tell: Callable[[str], object] = lambda line: None,
    about: Mapping[str, str] | None = None,
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Run a table's step on rows of its inputs.

    Parameters
    ----------
    table
        The definition.
    inputs
        Table to its rows, for each table in ``of``.
    at
        Where.
    expected
        Column to type the table has, by which the texts of a CSV file are read; None when it may have any.
    tell
        Called with each line that the step prints, as it prints it.
    about
        What is said of the partition that is made: ``partition``, ``since``, ``until``.

    Returns
    -------
    Rows as the lake stores them, and the files of the project that were imported.

    Raises
    ------
    StepFailed
        When it failed, took too long, used too much memory, printed without end, or gave no rows the lake can hold.
    """
    assert table.step is not None
    with at.scratch(table.name) as place:
        function = table.step if isinstance(table.step, str) else ""
        paths = {name: str(place / f"{name}.parquet") for name in inputs}
        try:
            for name, frame in inputs.items():
                frame.write_parquet(paths[name])
        except (OSError, pl.exceptions.ComputeError) as wrong:
            raise StepFailed(
                StorageFull(f"{place} could not be written: {wrong}", do="free some space and try again")
            ) from None
        task = Task(
            root=str(at.root),
            function=function,
            command=() if function else tuple(table.step),
            inputs=paths,
            out=str(place / "__out"),
            answer=str(place / "__answer"),
            about=dict(about or {}),
        )
        answer = carried_out(table, task, at=at, place=place, tell=tell)
        try:
            return fit(table, _collected(table, Path(task.out), at=at, expected=expected)), answer.files
        except MillstreamError as wrong:
            raise StepFailed(wrong, answer.files) from None


def carried_out(table: Table, task: Task, *, at: Bench, place: Path, tell: Callable[[str], object]) -> Answer:
    """Run a task in a process of its own and see that all of it ends."""
    (place / "__task").write_bytes(msgspec.json.encode(task))
    words = os.environ | {f"MILLSTREAM_IN_{name}": path for name, path in task.inputs.items()}
    words |= {"MILLSTREAM_OUT": task.out, "PYTHONUNBUFFERED": "1"}
    words |= {f"MILLSTREAM_{name.upper()}": said for name, said in task.about.items()}
    words.pop(VARIABLE, None)
    log = at.log(table.name)
    running = at.folder / f"{table.name}.running"
    since = datetime.now(UTC).isoformat(timespec="seconds")
    running.write_bytes(msgspec.json.encode({"since": since, "pid": os.getpid()}))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "millstream.lake.derived.stepping", str(place / "__task")],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=words,
            start_new_session=True,
        )
    try:
        why = _watched(table, process, at=at, tell=tell)
    finally:  # on Ctrl-C too; a step's children end with it
        running.unlink(missing_ok=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
    try:
        answer = msgspec.json.decode(Path(task.answer).read_bytes(), type=Answer)
    except (FileNotFoundError, msgspec.DecodeError):
        answer = Answer()
    said = why or _ended(table, answer, process.returncode, log)
    if said:
        raise StepFailed(
            UserError(
                f"the step of table {table.name!r} ({in_words(table.step or '')}) {said}",
                expected=answer.expected or _wanted(table),
                do="; ".join(each for each in (answer.do, f"look at {_shown(log, at.root)}") if each),
            ),
            answer.files,
        )
    return answer


def _watched(
    table: Table,
    process: subprocess.Popen[bytes],
    *,
    at: Bench,
    tell: Callable[[str], object],
) -> str:
    """Wait for a step, passing on what it prints; return why it has to be ended, if so."""
    log, memory_bytes, told = at.log(table.name), at.memory_bytes, 0
    free = shutil.disk_usage(at.folder).free
    least = at.free_bytes if free > at.free_bytes else free // 2  # that a disk was full before is not its doing
    allowed_s = parse_duration(table.timeout).total_seconds()
    until = time.monotonic() + allowed_s
    while True:
        left = until - time.monotonic()
        try:
            process.wait(timeout=max(0.0, min(_LOOK_S, left)))
        except subprocess.TimeoutExpired:
            told = _passed_on(log, told, tell)
        else:
            _passed_on(log, told, tell)
            return ""
        if time.monotonic() >= until:
            return f"was not done after {table.timeout} and was ended; timeout= on the table gives it longer"
        if log.stat().st_size > _LOG_BYTES:
            return f"printed more than {_LOG_BYTES >> 20} MB and was ended"
        held = _held_bytes(process.pid)
        if held > memory_bytes:
            return f"held {_gb(held)} of memory, more than the {_gb(memory_bytes)} a step may have, and was ended"
        free = shutil.disk_usage(at.folder).free
        if free < least:
            return f"left {_gb(free)} free on the disk, less than the {_gb(least)} a step has to leave, and was ended"


def _passed_on(log: Path, since: int, tell: Callable[[str], object]) -> int:
    """Pass on the whole lines printed since a place in the log; return the place behind them."""
    with log.open("rb") as opened:
        opened.seek(since)
        data = opened.read(_LOG_BYTES)
    whole = data[: data.rfind(b"\n") + 1]
    for line in whole.decode(errors="replace").splitlines()[-_MOST_LINES:]:
        if line.strip():
            tell(line.rstrip()[:300])
    return since + len(whole)


def _held_bytes(session: int) -> int:
    """Sum the resident memory of a session's processes (Linux; elsewhere 0)."""
    pages = 0
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            fields = each.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                pages += int(fields[21])
    return pages * resource.getpagesize()


def _ended(table: Table, answer: Answer, code: int, log: Path) -> str:
    """Say what is wrong with how a step ended; empty for nothing."""
    if answer.error:
        return f"failed: {answer.error}"
    if answer.signal or code < 0:
        number = answer.signal or -code
        name = signal.Signals(number).name
        return f"was ended by {name}{', as the kernel does when memory runs out' if name == 'SIGKILL' else ''}"
    if code:
        last = _last_line(log)
        return f"ended with code {code}{f': {last}' if last else ', and printed nothing'}"
    return ""


def _last_line(log: Path) -> str:
    with log.open("rb") as opened:
        opened.seek(max(0, log.stat().st_size - 2000))
        lines = [each for each in opened.read().decode(errors="replace").splitlines() if each.strip()]
    return lines[-1].strip()[:300] if lines else ""


def _wanted(table: Table) -> str:
    if isinstance(table.step, str):
        name, takes = table.step.partition(":")[2], ", ".join(table.of)
        return f"{name}({takes}) gives a polars.DataFrame within {table.timeout}"
    return f"one Parquet or CSV file at $MILLSTREAM_OUT within {table.timeout}, and exit code 0"


def _collected(table: Table, out: Path, *, at: Bench, expected: Mapping[str, str] | None) -> pl.DataFrame:
    """Read what a step wrote."""
    where, log = f"what the step of table {table.name!r} wrote", _shown(at.log(table.name), at.root)
    if not out.is_file() or not out.stat().st_size:
        raise BadData(f"the step of table {table.name!r} wrote nothing", expected=_wanted(table), do=f"look at {log}")
    with out.open("rb") as opened:
        parquet = opened.read(4) == b"PAR1"
    if not parquet:
        return read([out], Csv(str(out)), expected=expected, where=where)
    try:
        lazy = pl.scan_parquet(out, glob=False, hive_partitioning=False)
        cells = lazy.select(pl.len()).collect().item() * len(lazy.collect_schema())
        if cells * 8 > at.memory_bytes // 2:
            raise BadData(
                f"the step of table {table.name!r} gives {cells:,} values, {_gb(cells * 8)} or more",
                expected=f"what fits into half of the {_gb(at.memory_bytes)} there are",
                do="aggregate inside the step, or write the table with Spark and attach it",
            )
        return lazy.collect()
    except (pl.exceptions.PolarsError, OSError) as wrong:
        raise BadData(f"{where} cannot be read: {str(wrong).splitlines()[0]}", do=f"look at {log}") from None


def fit(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Bring rows through the door, and see that the definition fits them."""
    where = f"table {table.name!r}"
    if not rows.width:
        raise BadData(f"the step of {where} gives a frame without columns", expected="columns and rows")
    made = door.frame(whole(rows), timezone=table.timezone, where=where)
    lengths = [name for name, each in made.schema.items() if isinstance(each, pl.Duration)]
    if lengths:
        raise BadData(
            f"{where}: column {lengths[0]!r} is a length of time, which is not stored",
            expected="a number with its unit in the name",
            do=f'pl.col("{lengths[0]}").dt.total_seconds()',
        )
    compile_shape(table, made.head(0))
    return made


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
