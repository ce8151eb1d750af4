"""Waits are said in seconds: of facts that wait and of those that became usable; freshness holds to the second too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream.cli.online import served as shown
from millstream.console.cataloged import table_page
from millstream.project import Project
from millstream.project.catalog.tables import catalog
from millstream.project.tables.posting import catch_up, post

from . import shop
from .shop import order


class Still:
    """A clock that stands until a test moves it."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def later(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def opened(root: Path) -> Iterator[tuple[Project, Still]]:
    with Project(root, lock=True) as project:
        clock = Still(shop.now())
        project.clock = clock
        catch_up(project)  # as the control plane begins
        yield project, clock


@pytest.fixture
def still(made: Path, tmp_path: Path) -> Iterator[tuple[Project, Still]]:
    """A project whose clock stands still."""
    yield from opened(shop.copy(made, tmp_path / "shop"))


def stands(project: Project, view: str) -> Any:
    return next(each for each in project.run("status", {})["served"] if each["view"] == view)


def test_how_long_facts_wait_and_waited(still: tuple[Project, Still], capsys: pytest.CaptureFixture[str]) -> None:
    project, clock = still
    assert [stands(project, "form")[each] for each in ("waiting", "waiting_seconds", "usable_seconds")] == [
        0,
        None,
        None,
    ]
    post(project, table="orders", rows=[order(1000)])
    clock.later(2)
    post(project, table="orders", rows=[order(1001), order(1002)])
    clock.later(1.5)
    said = stands(project, "form")
    assert (said["waiting"], said["waiting_seconds"], said["usable_seconds"]) == (3, 3.5, None)
    assert (stands(project, "seen")["waiting"], stands(project, "seen")["waiting_seconds"]) == (0, None)
    page = table_page(catalog(project, table="orders"))["table"]
    assert page["posted_says"] == "served; 3 wait, 3.50 s"
    catch_up(project)
    said = stands(project, "form")
    assert (said["waiting"], said["waiting_seconds"]) == (0, None)
    page = table_page(catalog(project, table="orders"))["table"]
    assert page["posted_says"] == "usable after 1.50 s, 99 % within 3.50 s"
    assert table_page(catalog(project, table="visits"))["table"]["posted_says"] == ""
    assert said["usable_seconds"] == {"p50": 1.5, "p99": 3.5, "facts": 3}
    shown([said])
    assert "facts of orders are usable after 1.50 s, 99 % of the last 3 within 3.50 s" in " ".join(
        capsys.readouterr().out.split()
    )
    post(project, table="orders", rows=[order(each) for each in range(2000, 2300)])
    clock.later(0.04)
    catch_up(project)
    assert stands(project, "form")["usable_seconds"] == {"p50": 0.04, "p99": 0.04, "facts": 303}


def test_facts_that_a_refresh_brought_waited_too(still: tuple[Project, Still]) -> None:
    project, clock = still
    post(project, table="orders", rows=[order(1000)])
    clock.later(30)
    project.run("check", {})
    assert stands(project, "form")["usable_seconds"] == {"p50": 30.0, "p99": 30.0, "facts": 1}


def test_a_freshness_of_seconds_covers_posted_rows(made: Path, tmp_path: Path) -> None:
    root = shop.copy(made, tmp_path / "shop")
    said = 'key="id", event_time="at", known_at="came")'
    file = root / "shop.py"
    file.write_text(file.read_text().replace(said, f'{said[:-1]}, checks=[checks.fresh(within="5s")])'))

    def visit(project: Project, number: int, at: datetime) -> None:
        post(project, table="visits", rows=[{"id": number, "shop": "a", "at": at.isoformat()}])

    def fresh(project: Project) -> bool:
        project.run("check", {})
        return not project.run("status", {})["tables"][1]["failed"]

    for project, clock in opened(root):
        visit(project, 1, clock.at)
        assert fresh(project)
        clock.later(5)
        assert fresh(project)  # the limit itself holds
        clock.later(1)
        assert not fresh(project)
        visit(project, 2, clock.at - timedelta(seconds=2))
        visit(project, 3, clock.at + timedelta(hours=1))  # has not happened
        table = catalog(project, table="visits")["table"]  # posted, in no version yet
        assert (table["seconds_behind"], table["allowed_seconds"], table["late"]) == (2.0, 5.0, False)
        clock.later(3.5)
        assert catalog(project, table="visits")["table"]["late"]
        assert catalog(project, table="orders")["table"]["seconds_behind"] > 60
