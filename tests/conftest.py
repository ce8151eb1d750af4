"""Property tests draw the same examples at each run of the test command; the nightly run draws new ones.

Tests of one file run in one process, and so do those of the files that need the replayed February.
"""

import os

import pytest
from hypothesis import settings

from tests.objects import bucket as bucket
from tests.objects import objects as objects
from tests.postgres import server as server

settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("new", print_blob=True, deadline=None)
settings.load_profile("new" if os.environ.get("MILLSTREAM_NEW_EXAMPLES") else "same")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests share a process: ``--dist loadgroup`` would scatter them."""
    files = {each: each.nodeid.partition("::")[0] for each in items}
    replayed = {files[each] for each in items if "february" in getattr(each, "fixturenames", ())}
    for each, file in files.items():
        each.add_marker(pytest.mark.xdist_group("february" if file in replayed else file))
