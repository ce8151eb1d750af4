"""Ended anywhere, no acknowledged fact is lost or doubled, and what is served is what the lake says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.lake.faults import LANDED, POINTS, POSTED_POINTS, interrupted
from millstream.project import Project
from millstream.project.tables.posting import catch_up, post
from millstream.state import posted

from . import shop
from .shop import computed, order, served

WRITER = """
import json, sys
from pathlib import Path
from millstream.project import Project
from millstream.project.tables.posting import catch_up, post
from tests.posting.shop import order
with Project(Path(sys.argv[1]), lock=True) as project:
    for each in range(int(sys.argv[2]), 10**6):
        post(project, table="orders", rows=[order(each, minutes=1)])
        print(each, flush=True)
        if each % 5 == 2:
            catch_up(project)
        if each % 7 == 3:
            project.run("check", {})
"""


def whole(root: Path, acknowledged: list[int], sent: int) -> None:
    """Every acknowledged row is there once, and perhaps the one whose answer never left."""
    with Project(root, lock=True) as project:
        catch_up(project)
        before = served(project)
        project.run("check", {})
        assert served(project) == before == computed(project)
        ids = [each for each in project.lake.read("orders").frame["id"].sort().to_list() if each >= 1000]
        assert len(set(ids)) == len(ids)
        assert set(acknowledged) <= set(ids) <= {*acknowledged, sent}
        assert posted.counts(project.state)["orders"][1] == 0
        assert all(each.ok for each in project.lake.verify())


def test_ended_at_each_point_nothing_is_lost_or_doubled(made: Path, tmp_path: Path) -> None:
    root, acknowledged = shop.copy(made, tmp_path / "shop"), []
    for number, point in enumerate((*POSTED_POINTS, LANDED, *POINTS), start=1000):
        with Project(root, lock=True) as project, interrupted(point):
            post(project, table="orders", rows=[order(number, minutes=1)])
            acknowledged.append(number)
            catch_up(project)
            project.run("check", {})
            raise AssertionError(f"{point} was never reached")
        whole(root, acknowledged, number)
        with Project(root, lock=True) as project:  # who got no answer sends it again
            post(project, table="orders", rows=[order(number, minutes=1)])
        acknowledged = sorted({*acknowledged, number})
        whole(root, acknowledged, number)


def killed(root: Path, first: int, after: int, fault: str = "") -> tuple[list[int], int]:
    """Post until killed after some answers, or at a fault; return what was acknowledged and what may have been sent."""
    environment = {"MILLSTREAM_FAULT": fault} if fault else {}
    done = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment, "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout is not None
    said = []
    for line in done.stdout:
        said.append(json.loads(line))
        if len(said) == after:
            done.send_signal(signal.SIGKILL)
    assert done.wait() == -signal.SIGKILL
    done.stdout.close()
    return said, (said[-1] if said else first - 1) + 1


def test_killed_while_it_posts(made: Path, tmp_path: Path) -> None:
    root = shop.copy(made, tmp_path / "shop")
    acknowledged, sent = killed(root, 1000, 9)
    assert len(acknowledged) >= 9
    whole(root, acknowledged, sent)


@pytest.mark.nightly
def test_killed_at_every_point_and_many_times(made: Path, tmp_path: Path) -> None:
    root = shop.copy(made, tmp_path / "shop")
    acknowledged: list[int] = []
    faults = [f"{each}:{time}" for each in (*POSTED_POINTS, LANDED, *POINTS) for time in (1, 2)]
    for number, fault in enumerate([*faults, *[""] * 12]):
        more, sent = killed(root, 1000 + 1000 * number, 0 if fault else number, fault)
        acknowledged += more
        whole(root, acknowledged, sent)
        with Project(root, lock=True) as project:
            have = set(project.lake.read("orders").frame["id"].to_list())
        acknowledged = sorted({*acknowledged, *({sent} & have)})
