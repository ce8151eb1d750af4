"""Property tests draw the same examples at each run of the test command; the nightly run draws new ones."""

import os

from hypothesis import settings

from tests.postgres import server as server

settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("new", print_blob=True, deadline=None)
settings.load_profile("new" if os.environ.get("MILLSTREAM_NEW_EXAMPLES") else "same")
