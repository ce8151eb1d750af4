"""What the documents point at exists, and the commands they name are commands."""

import re
from pathlib import Path

import pytest
from typer import Context
from typer.main import get_command

from millstream.cli.commands import app
from millstream.cli.panels import PANELS

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"(?:^\s*|`)(?:[A-Z_]+=\S+ )*millstream ((?:--env \S+ )?[a-z]+)([^`#\n]*)", re.MULTILINE)
ROW = re.compile(r"^\| `([a-z]+)` \| (.+?) \|", re.MULTILINE)
CODE = re.compile(r"(\d+) ([a-z ]+)[,.]")


@pytest.mark.parametrize("page", PAGES, ids=lambda each: str(each.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), f"{page.name} points at {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda each: str(each.relative_to(ROOT)))
def test_commands_exist_with_their_options(page):
    known = get_command(app).commands
    for named, words in COMMAND.findall(page.read_text(encoding="utf-8")):
        command = named.split()[-1]
        assert command in known, command
        made = known[command]
        if (several := getattr(made, "commands", None)) is not None:
            command = words.split()[0]
            assert command in several, command
            made = several[command]
        options = {option for each in made.params for option in (*each.opts, *each.secondary_opts)}
        said = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", re.sub(r'"[^"]*"', "", words)))
        assert said <= options | {"-h", "--help"}, (command, said - options)


def test_every_command_is_documented_once_as_its_help_says_it():
    said = ROW.findall((ROOT / "docs" / "commands.md").read_text(encoding="utf-8"))
    known = get_command(app)
    assert [name for name, _ in said] == known.list_commands(Context(known)), "docs/commands.md follows cli/panels.py"
    assert dict(said) == {name: short for panel in PANELS.values() for name, short in panel.items()}
    assert all(len(short) <= 64 for _, short in said), "a line each, also in a narrow terminal"


def test_the_exit_codes_are_the_same_everywhere():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+) \| (.+?) \|$", page, re.MULTILINE)
    assert listed == CODE.findall(app.info.epilog)


def test_every_page_is_reached_from_the_first():
    first = set(LINK.findall((ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    assert {each.name for each in ROOT.glob("docs/*.md")} - {"README.md"} <= first


def test_pictures_are_small_and_made_by_the_script():
    script = (ROOT / "scripts" / "pictures.py").read_text(encoding="utf-8")
    for picture in ROOT.glob("docs/*.png"):
        assert picture.stat().st_size <= 250_000, f"{picture.name}: python scripts/pictures.py makes it anew"
        assert f'"{picture.name}"' in script or picture.name in OTHERS


OTHERS: frozenset[str] = frozenset({"notebook.png"})
"""Pictures that another script makes."""
