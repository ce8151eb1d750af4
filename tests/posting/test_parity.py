"""What was served of posted facts is proved too: before a version has them, and after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from millstream.errors import Refused
from millstream.features.online import layout
from millstream.monitoring.parity import How
from millstream.monitoring.parity.causes import NOT_SEEN, STALE
from millstream.project import Project
from millstream.project.parity.folded import arrivals
from millstream.project.parity.proving import Prover
from millstream.project.tables.posting import catch_up, forget, post
from millstream.serving.records import Logged, Prediction
from millstream.state import decisions
from millstream.types import to_micros
from tests.served import keep, serve, signed

from . import shop
from .shop import order


def answer(project: Project, *shops: str) -> list[Prediction]:
    """Answer about shops now, as the server does."""
    names = shop.plan(project).request_columns
    at = to_micros(project.clock.now())
    return serve(project, "late", [({name: {"shop": each}.get(name, 1) for name in names}, at) for each in shops])


def proved(project: Project) -> dict[str, Any]:
    since = (shop.now() - timedelta(days=1)).isoformat()
    said: dict[str, Any] = project.run("features_parity", {"model": "late", "since": since})
    return said


def test_answers_that_reflect_posted_rows_are_proved_by_them_in_the_journal_and_in_a_version(project: Project) -> None:
    kept = answer(project, "a", "b")
    for number in range(3):
        post(
            project,
            table="orders",
            rows=[order(1000 + number, minutes=5 - number, amount=2000.0 if number == 1 else 9.0)],
        )
        catch_up(project)
        kept += answer(project, "a", "b")
    assert [each.applied.get(f"orders{layout.POSTED}", 0) for each in kept[::2]] == [0, 1, 2, 3]
    assert len({each.features for each in kept[::2]}) == 3, "the second is put aside, and served to nobody"
    keep(project, kept)
    said = proved(project)
    assert (said["compared"], said["different"], said["unproved"]) == (8, 0, {}), said["differences"]
    prover = Prover(project, "late")
    assert prover.prove(shop.now() - timedelta(days=1), project.clock.now()).claims == 4
    reads = [state for state, _ in prover._tables if state.table == "orders" and state.arrived]
    assert len(reads) == 1, "one read for all, however many rows were posted between"
    project.run("check", {})
    forget(project)
    again = proved(project)
    assert (again["compared"], again["different"], again["unproved"]) == (8, 0, {}), again["differences"]
    why = project.run("why", {"prediction": next(iter(_ids(project)))})
    assert why["recomputed"]["equal"]


def test_views_that_follow_versions_are_proved_beside_those_that_follow_facts(made: Path, tmp_path: Path) -> None:
    root = shop.copy(made, tmp_path / "usual")
    usual = """usual = FeatureView("usual", of=orders, entity="shop", features=dict(dear=f.target("dear", smooth=5)))
odd = FeatureView("odd", of=f.Request(usual, form), features=dict(n="usual.dear * form.n"))

late = Model("""
    code = shop.CODE.replace("late = Model(", usual).replace("features=[form", "features=[usual, odd, form")
    code = code.replace('visits_1h=f.count(over="1h")', 'visits_1h=f.count(over="60m")')
    code = code.replace("unseen.low, 0) + unseen.notes", "unseen.low, 1) + unseen.notes")
    code = code.replace('over="50h"', 'over="51h"')
    (root / "shop.py").write_text(code)
    with Project(root, lock=True) as project:
        project.run("train", {"model": "late", "actor": "tina"})
        released = project.run("release", {"model": "late", "actor": "tina", "dirty": True})
        assert sorted(released["serving"]) == [
            "computes unseen: its definition changed", "computes usual: it is not served yet"
        ], "said before anybody approves"  # fmt: skip
        bound, project.writer._bound_bytes = project.writer._bound_bytes, 1
        with pytest.raises(Refused, match="would keep 0 MB online"):
            project.run("approve", {"actor": "ada", "reason": "better"})
        project.writer._bound_bytes = bound
        assert decisions.get(project.state, released["decision"]).status == "waiting", "nothing was approved"
        project.releases.decide(released["decision"], True, by="ada", reason="better")  # and the process ends here
        again = project.run("release", {"model": "late", "actor": "tina", "dirty": True})
        assert (released["status"], again["status"]) == ("waiting", "approved")
        gone = project.run("approve", {"decision": again["decision"], "actor": "ada", "reason": "better"})
        assert "is live" in gone["says"]
        kept = answer(project, "a", "b")
        for number in range(4):
            post(project, table="orders", rows=[order(1000 + number, minutes=5 - number, amount=90.0)])
            catch_up(project)
            kept += answer(project, "a", "b")
            if number == 2:
                project.run("check", {})
                kept += answer(project, "a", "b")
        name = f"orders{layout.POSTED}"
        said = [(each.applied.get(name, 0), each.applied.get(f"usual/{name}")) for each in kept[::2]]
        assert said == [(0, None), (1, 0), (2, 0), (3, 0), (3, None), (4, 3)]
        keep(project, kept)
        found = proved(project)
        assert (found["compared"], found["different"], found["unproved"]) == (12, 0, {}), found["differences"]
        prover = Prover(project, "late")
        assert prover.prove(shop.now() - timedelta(days=1), project.clock.now()).claims == len(kept) // 2
        reads = [state for state, _ in prover._tables if state.table == "orders" and state.arrived]
        assert len(reads) == 1, "those before the version in one read"
        wrong = msgspec.structs.replace(kept[2], applied={**kept[2].applied, f"usual/{name}": 1})
        keep(project, [signed(wrong)])
        told = {each["feature"]: each["cause"] for each in proved(project)["differences"]}
        assert told == {"usual.dear": NOT_SEEN, "odd.n": NOT_SEEN}


def _ids(project: Project) -> Iterator[str]:
    from millstream.project.answering.answers import ids

    return ids(project)


@pytest.mark.parametrize("cause", [NOT_SEEN, STALE])
def test_a_posted_row_that_was_not_seen_is_told_from_a_key_left_behind(project: Project, cause: str) -> None:
    for number, name in enumerate("ab"):
        post(project, table="orders", rows=[order(1000 + number, minutes=5, shop=name, amount=9.0)])
    catch_up(project)
    kept = answer(project, "a", "b")
    fewer = How({**kept[0].applied, f"orders{layout.POSTED}": 0})
    older = Prover(project, "late").released(kept[0].release).recompute.stack(kept, fewer).values
    kept[0] = signed(kept[0], older[0])
    keep(project, kept if cause == STALE else kept[:1])
    said = proved(project)
    assert said["different"] == 1 and {each["cause"] for each in said["differences"]} == {cause}, said["differences"]
    assert "orders@" in said["differences"][0]["says"]


def test_answers_that_overtook_each_other_are_computed_alone() -> None:
    def said(at: int, posted: int) -> Logged:
        applied = {"orders": 1} | ({f"orders{layout.POSTED}": posted} if posted else {})
        return Logged("x-1", 1, Prediction(at, at, "late", 1, "r", {}, {}, 0.5, "champion", False, "", b"", applied, 1))

    family = [[said(1, 0)], [said(2, 1), said(5, 1)], [said(3, 2)], [said(6, 3)], [said(6, 4)]]
    found, apart = arrivals(family)
    assert found == {"orders": ((0, 1), (1, 2), (2, 3), (3, 6))}
    assert apart == {1, 4}


def test_a_posted_row_that_came_before_the_answer_was_not_yet_seen_and_is_no_late_fact(project: Project) -> None:
    visit = {"id": 1, "shop": "a", "at": shop.now().isoformat()}
    post(project, table="visits", rows=[visit])
    keep(project, answer(project, "a", "b"))  # in the journal, and not in what is served yet
    catch_up(project)
    keep(project, answer(project, "a", "b"))
    said = proved(project)
    assert (said["compared"], said["different"]) == (4, 0), said["differences"]
    today = said["today"]
    assert (today["unseen"], today["late"], today["equal"]) == (1, 0, 3), today
    assert {each["cause"] for each in today["examples"]} == {NOT_SEEN}
