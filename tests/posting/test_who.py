"""Who posted is kept with the rows, told by the ledger with the version that takes them, and limited by roles."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from millstream.errors import DefinitionError, Refused, UserError
from millstream.project import Project
from millstream.project.tables.posting import post
from millstream.settings import FILE
from millstream.state import posted

from . import shop
from .shop import order


def told(project: Project) -> list[dict[str, Any] | None]:
    """Return what each version of the orders says of posted rows, newest first."""
    rows = project.ledger.rows(act="table.version", limit=50)
    return [each.detail.get("posted") for each in rows if each.subject.startswith("orders@")]


def test_the_version_that_takes_rows_says_who_posted_how_many(project: Project) -> None:
    post(project, table="orders", rows=[order(1000), order(1001)], actor="ann")
    post(project, table="orders", rows=[order(1002)], actor=" ann ")
    post(project, table="orders", rows=[order(1003), order(1000)], actor="bob")  # the second was here: it is ann's
    post(project, table="orders", rows=[order(1004)])
    post(project, table="orders", rows=[order(1004)], actor="carl")
    assert posted.by(project.state, "orders", after=1, upto=4) == {"ann": 2, "bob": 1}
    project.run("check", {})
    first = {"rows": 5, "by": {"ann": 3, "bob": 1, "somebody": 1}}
    assert told(project) == [first, None]
    assert posted.by(project.state, "orders", after=0, upto=9) == {}  # the ledger has it now
    for each in range(8):
        rows = [order(2000 + 10 * each + row) for row in range(each + 1)]
        post(project, table="orders", rows=rows, actor=f"desk-{each}")
    project.run("check", {})
    few = {f"desk-{each}": each + 1 for each in (7, 6, 5, 4, 3)}
    assert told(project)[0] == {"rows": 36, "by": few, "others": 3, "others_rows": 6}
    assert project.ledger.verify().ok and all(each.ok for each in project.lake.verify())


def test_a_journal_from_before_names_were_kept_goes_on(project: Project) -> None:
    post(project, table="orders", rows=[order(1000)], actor="ann")
    root, file = project.root, project.places.state_db
    project.close()
    with sqlite3.connect(file) as old:
        old.execute("DROP TABLE posted_by")
        old.execute("PRAGMA user_version = 1")
    old.close()
    with Project(root, lock=True) as again:
        post(again, table="orders", rows=[order(1001)], actor="bob")
        again.run("check", {})
        assert told(again)[0] == {"rows": 2, "by": {"bob": 1}}


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "System:loop", "x" * 101])
def test_what_is_no_name_of_somebody(project: Project, name: str) -> None:
    with pytest.raises(UserError, match="is no name of who posts"):
        post(project, table="orders", rows=[order(1000)], actor=name)
    assert posted.last(project.state, "orders") == 0


def test_a_role_says_where_its_people_may_post(project: Project) -> None:
    def may(actor: str, table: str = "orders") -> bool:
        row = order(1000) if table == "orders" else {"id": 1, "shop": "a", "at": f"{shop.now():%FT%TZ}"}
        try:
            post(project, table=table, rows=[row], actor=actor)
        except Refused as wrong:
            assert f"may not post rows to {table}" in wrong.happened and actor in wrong.happened
            return False
        return True

    file = project.root / FILE
    plain = file.read_text()
    assert may("eve")  # without roles everybody with the token
    roles = '[roles.desk]\npeople = ["ann"]\npost = ["orders"]\n[roles.reader]\npeople = ["bob"]\n'
    file.write_text(plain + roles + '[roles.admin]\npeople = ["zoe"]\npost = ["*"]\n')  # holds at once
    assert [may("ann"), may("ann", "visits"), may("bob"), may("eve"), may("somebody")] == [True, *[False] * 4]
    assert may("zoe") and may("zoe", "visits")
    file.write_text(plain + roles + '[roles.default]\npost = ["visits"]\n')
    assert [may("eve", "visits"), may("eve"), may("bob", "visits")] == [True, False, False]
    file.write_text(plain + roles.replace("orders", "order"))
    with pytest.raises(DefinitionError, match=r"roles\.desk\.post names table 'order'"):
        may("ann")
