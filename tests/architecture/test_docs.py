"""What the documents point at exists, and the commands they name are commands."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from millstream.cli.commands import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"^\s*(?:MILLSTREAM_USER=\S+ )?millstream ([a-z]+)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda each: str(each.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), f"{page.name} points at {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda each: str(each.relative_to(ROOT)))
def test_commands_exist(page):
    known = set(get_command(app).commands)
    named = set(COMMAND.findall(page.read_text(encoding="utf-8")))
    assert named <= known, named - known
