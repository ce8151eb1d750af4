"""How a command reaches the project: through the running control plane, else alone under the project's lock."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from millstream.errors import MillstreamError, NotFound, StorageFull, UserError
from millstream.settings import FILE, whoami

LONGEST = 4_000
"""Letters of a message that are shown; of a longer one, the beginning and the end."""


def find_root(start: Path | None) -> Path:
    """Find the project: the folder given, else the nearest one upward that has a ``millstream.toml``."""
    if start is not None:
        return start.resolve()
    here = Path.cwd()
    for each in (here, *here.parents):
        if (each / FILE).exists():
            return each
    raise NotFound(
        f"no {FILE} in {here} or above it",
        expected="a Millstream project",
        do="millstream init DIR --example flights, or --project DIR",
    )


def shown(text: str) -> str:
    """Return a message as a terminal can bear it: what was given may have been a million letters."""
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    return cut.encode(errors="backslashreplace").decode()


def one_file(*, csv: Path | None, parquet: Path | None) -> str | None:
    """Return the file to write, absolute; refuse two, and an ending that says something else."""
    if csv is not None and parquet is not None:
        raise UserError("both --csv and --parquet were given", expected="one of them")
    chosen = csv or parquet
    if chosen is None:
        return None
    ending = ".csv" if csv is not None else ".parquet"
    if chosen.suffix != ending:
        raise UserError(f"{chosen.name} does not end in {ending}", expected=f"for instance {chosen.stem}{ending}")
    return str(chosen.resolve())


def pins(said: list[str] | None) -> dict[str, int] | None:
    """Read ``TABLE=VERSION`` words; None for none."""
    found: dict[str, int] = {}
    for each in said or []:
        name, _, number = each.partition("=")
        if not name or not number.isdecimal():
            raise UserError(f"--at {each!r} is no version of a table", expected="--at TABLE=VERSION, such as orders=12")
        found[name] = int(number)
    return found or None


def call(root: Path, command: str, arguments: dict[str, Any]) -> Any:
    """Run a command of the project and return its record as plain data.

    The running control plane does it when there is one; else this process takes the project's lock.
    """
    from millstream.server.client import running

    control = running(root)
    arguments = {"actor": whoami(), **arguments}
    if control is not None:
        return control.command(command, arguments)
    from millstream.project import Project

    with Project(root, lock=True) as project:
        project.said = _said
        return project.run(command, arguments)


def _said(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def told(*, as_json: bool) -> Iterator[None]:
    """Turn errors into words and an exit code; never show a traceback for a user's mistake."""
    try:
        yield
    except MillstreamError as wrong:
        if as_json:
            problem = {name: shown(each) if isinstance(each, str) else each for name, each in wrong.problem().items()}
            sys.stdout.write(json.dumps(problem, indent=1) + "\n")
        sys.stderr.write(f"millstream: {shown(str(wrong))}\n")
        sys.exit(wrong.exit_code)
    except OSError as wrong:  # a folder that cannot be written, a disk that is full, where no room had its own words
        if isinstance(wrong, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        kind = StorageFull if wrong.errno in (errno.ENOSPC, errno.EDQUOT) else UserError
        where = f"{wrong.filename}: " if wrong.filename else ""
        full = kind is StorageFull
        said = kind(
            f"{where}{wrong.strerror or wrong}",
            expected="free space" if full else "folders that this user may read and write",
            do="free some space and try again" if full else "",
        )
        if as_json:
            sys.stdout.write(json.dumps(said.problem(), indent=1) + "\n")
        sys.stderr.write(f"millstream: {said}\n")
        sys.exit(said.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("\nmillstream: stopped; what was acknowledged is kept, nothing is half done\n")
        sys.exit(128 + signal.SIGINT)


def show(record: Any, render: Callable[[Any], None], *, as_json: bool) -> None:
    """Print a record: as JSON, or for a person."""
    if as_json:
        sys.stdout.write(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    else:
        render(record)
