import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from tests.server import example

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)


@pytest.fixture(scope="session")
def waiting(tmp_path_factory):
    """The shared project; look, do not touch."""
    return example.waiting(tmp_path_factory)


@pytest.fixture
def project(waiting, tmp_path):
    """A copy of it to do anything with."""
    return example.copy(waiting, tmp_path / "flights")


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if CHROMIUM is None or sync_playwright is None:
        missing = "Chromium" if CHROMIUM is None else "playwright"
        if os.environ.get("CI"):
            pytest.fail(f"{missing} is missing, and this is CI")
        pytest.skip(f"{missing} is not installed here: the page is not driven")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        yield made
        made.close()


@pytest.fixture(scope="module")
def axe():
    """The source of axe-core, as a package brings it."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("axe-playwright-python is missing, and this is CI")
        pytest.skip("axe-playwright-python is not installed here: axe does not look at the pages")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")
