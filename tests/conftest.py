"""Property tests draw the same examples at each run of the test command; the nightly run draws new ones.

Tests of one file run in one process, and so do those of the files that need the replayed February.
"""

import os
import re
import signal

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.objects import bucket as bucket
from tests.objects import objects as objects
from tests.postgres import server as server

REPLAYED = re.compile(r"^tests/journeys/test_[34568]_")

settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("new", print_blob=True, deadline=None)
settings.load_profile("new" if os.environ.get("MILLSTREAM_NEW_EXAMPLES") else "same")


class Together(LoadScopeScheduling):
    """Hand out whole files, and the journeys through the replayed February as one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "february" if REPLAYED.search(file) else file


def pytest_configure(config: pytest.Config) -> None:
    """Take Ctrl-C as a process at a terminal does: one in the background ignores it, and so do its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Say which tests share a process."""
    return Together(config, log)
