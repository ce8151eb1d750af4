"""Make the pictures of the documents anew, from the flights example: ``python scripts/pictures.py [FOLDER]``.

It replays the example until a date on which a retrained version waits for a person, serves it, and photographs the
page, the decision, the profile of a table and a feature in headless Chromium. With a folder it uses the project there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from millstream import open as opened
from millstream.server.supervisor import Supervisor

DOCS = Path(__file__).parents[1] / "docs"
MOST_BYTES = 250_000
SIZE = {"width": 1180, "height": 900}
UNTIL = "2013-05-31"
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def main() -> None:
    """Make them all."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("there is no Chromium here: install it with the system's package manager")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        project = Path(sys.argv[1]) if len(sys.argv) > 1 else replayed(Path(scratch) / "flights")
        profile = Path(scratch) / "profile.html"
        millstream("profile", "weather", "--label", "visib", "--html", str(profile), "--project", str(project))
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        page = browser.new_context(viewport=SIZE).new_page()  # type: ignore[arg-type]
        supervisor = Supervisor(project.resolve(), scoring_port=0, control_port=0)
        supervisor.start()
        try:
            control = supervisor.ready()
            page.goto(f"{control.address.url}/?token={control.address.token}")
            taken(page, "page.png", height=1100)
            page.click("text=Read all about decision")
            page.wait_for_selector("#decision-title, .answers")
            taken(page, "decision.png", height=1150)
        finally:
            supervisor.stop()
        page.goto(profile.as_uri())
        taken(page, "profile.png", height=900)
        page.set_content(feature(project))
        taken(page, "picture.png", height=280, width=910)
        browser.close()


def feature(project: Path) -> str:
    """Draw a feature as a notebook does."""
    with opened(project) as door:
        drawn = door.training_set("late", since="2013-01-10").picture("carrier_form.late_share_7d")
    return f"<body style='font:14px sans-serif;margin:12px'>{drawn._repr_html_()}</body>"


def replayed(folder: Path) -> Path:
    """Replay the example, and ask for a decision that nobody takes."""
    millstream("demo", "--dir", str(folder), "--exit", "--until", UNTIL)
    if not json.loads(millstream("status", "--json", "--project", str(folder)))["decisions"]:
        millstream("retrain", "late", "-m", "more data since", "--project", str(folder))
    (asked, *_) = json.loads(millstream("status", "--json", "--project", str(folder)))["decisions"]
    said = "the morning shift is short of people: look at mornings first"
    millstream("note", str(asked["id"]), "-m", said, "--project", str(folder))
    return folder


def millstream(*words: str) -> str:
    """Run a command, and return what it prints."""
    command = [sys.executable, "-m", "millstream.cli", *words]
    environment = {**os.environ, "MILLSTREAM_USER": "tina"}
    return subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout


def taken(page: Page, name: str, *, height: int, width: int = SIZE["width"]) -> None:
    """Photograph the top of a page, and see that it is not too large for a document."""
    page.wait_for_timeout(300)
    whole = page.evaluate("document.documentElement.scrollHeight")
    picture = DOCS / name
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, whole)}
    page.screenshot(path=picture, full_page=True, clip=clip)  # type: ignore[arg-type]
    size = picture.stat().st_size
    sys.stdout.write(f"{picture.name}: {size:,} bytes\n")
    if size > MOST_BYTES:
        raise SystemExit(f"{picture} has {size:,} bytes; at most {MOST_BYTES:,} belong into a document")


if __name__ == "__main__":
    main()
