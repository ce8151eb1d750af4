"""A store that somebody wrote into is no answer and no traceback: it is computed again, and said so."""

from __future__ import annotations

import os

import pytest

from millstream.errors import Unavailable
from millstream.features.online import Lookup, layout
from millstream.features.online.store import Damaged
from millstream.project import Project
from millstream.project.tables.posting import catch_up, post
from millstream.serving.load import Loader
from millstream.types import to_micros

from . import shop
from .shop import computed, order, served


@pytest.mark.parametrize("kept", [0, 8192], ids=["whole", "but-its-head"])
def test_noise_in_the_store_is_told_and_computed_again(project: Project, kept: int) -> None:
    post(project, table="orders", rows=[order(1000, minutes=1, amount=99.0)])
    catch_up(project)
    before, plan = served(project), shop.plan(project)
    file = project.places.online / "data.mdb"
    with file.open("r+b") as noise:
        noise.seek(kept)
        noise.write(os.urandom(file.stat().st_size - kept))
    with pytest.raises(Damaged, match="is damaged"):
        Lookup(plan, project.online).lookup_one({"shop": "a"}, to_micros(shop.now()))
    said: list[str] = []
    project.said = said.append
    post(project, table="orders", rows=[order(1001, minutes=0.5, amount=98.0)])
    assert catch_up(project).behind == ()
    now = served(project)
    assert now["form.n"] == before["form.n"] + 1 and now["form.last"] == 98.0
    project.run("check", {})
    assert served(project) == computed(project)
    assert len(project.ledger.rows(acts=("online.damaged",))) == 1 and "computed again" in said[0]


def test_a_store_that_does_not_say_what_it_reflects_is_computed_again(project: Project) -> None:
    before = served(project)
    project.online.commit([(layout.APPLIED, b"{not json")])
    assert "cannot be read" in project.run("status", {})["served"][0]["stopped"]
    project.run("check", {})
    assert served(project) == before
    assert [each.act for each in project.ledger.rows(acts=("online.damaged",))] == ["online.damaged"]


@pytest.mark.parametrize("left", [20_480, 4096, 100])
def test_a_project_opens_over_what_is_no_store(project: Project, left: int) -> None:
    before, root, file = served(project), project.root, project.places.online / "data.mdb"
    project.close()
    file.write_bytes(os.urandom(left) if left > 4096 else file.read_bytes()[:left])
    with Project(root, lock=True) as again:
        again.run("check", {})
        assert served(again) == before


def test_a_server_that_starts_over_a_damaged_store_looks_again(project: Project) -> None:
    file, plan = project.places.online / "data.mdb", shop.plan(project)
    head = file.read_bytes()[:4096]
    before, root = served(project), project.root
    project.close()
    file.write_bytes(head)
    loader = Loader(keys=project.places.keys, online=project.places.online, python=None)
    store = loader._online()
    with pytest.raises(Unavailable, match="cannot be opened"):
        store.snapshot()
    with Project(root, lock=True) as again:
        again.run("check", {})
    store._look_at = 0.0
    found = Lookup(plan, store).lookup_one({"shop": "a"}, to_micros(shop.now()))
    assert found[plan.names.index("form.n")] == before["form.n"]
