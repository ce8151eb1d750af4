"""The thread that brings posted facts into what is served outlives whatever goes wrong within it."""

from __future__ import annotations

import pytest

from millstream.project import Project
from millstream.project.tables.posting import post
from millstream.server import posts
from millstream.server.posts import Applier
from tests.awaited import until

from .shop import computed, order, served


def test_it_goes_on_after_an_accident_and_says_so_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, wrong = posts.catch_up, [ZeroDivisionError("by nobody"), ZeroDivisionError("by nobody")]

    def fails_twice(project: Project) -> object:
        if wrong:
            raise wrong.pop()
        return honest(project)

    monkeypatch.setattr(posts, "catch_up", fails_twice)
    monkeypatch.setattr(posts, "_AGAIN_S", 0.01)
    applier = Applier(project)
    post(project, table="orders", rows=[order(1000)])
    applier.start()
    try:
        until(lambda: served(project)["form.n"] == 101 and not applier.trouble, "the fact is served", within_s=60.0)
        assert not wrong
    finally:
        applier.stop()
    project.run("check", {})
    assert served(project) == computed(project)
    told = [each.detail["error"] for each in project.ledger.rows() if each.act == "facts.wait"]
    assert len(told) == 1 and "ZeroDivisionError: by nobody" in str(told[0])
