"""Holding all versions for a while: nothing is let go while somebody copies them or is about to name some."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from millstream.errors import Conflict
from millstream.settings import Places


@contextmanager
def holding(places: Places) -> Iterator[None]:
    """Keep every version there is from being let go, in an overlay those of production too.

    Several may hold at once. Who dies holds no more.

    Parameters
    ----------
    places
        Where the lake is, and in an overlay production's.
    """
    with ExitStack() as held:
        for each in (places, places.over):
            if each is not None:
                held.enter_context(_locked(each.lake, fcntl.LOCK_SH))
        yield


@contextmanager
def letting_go(lake: Path) -> Iterator[None]:
    """Let nobody hold anything meanwhile.

    Raises
    ------
    Conflict
        When somebody does; nothing waits, since a training may take hours.
    """
    try:
        with _locked(lake, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield
    except BlockingIOError:
        raise Conflict(
            "a training, a backup or a pin holds all versions just now, so nothing was let go",
            expected="nobody who reads versions that nothing names yet",
            do="millstream gc --yes again, when it is done",
        ) from None


@contextmanager
def _locked(lake: Path, how: int) -> Iterator[None]:
    lake.mkdir(parents=True, exist_ok=True)
    opened = os.open(lake, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(opened, how)
        yield
    finally:
        os.close(opened)
