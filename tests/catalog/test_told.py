"""What checks, alarms, proposals and the list of reads say holds no value that a mask hides elsewhere."""

import json

import pytest

from millstream.errors import ContractBroken, DefinitionError, MillstreamError, Refused
from millstream.project import Project

DEFINITIONS = """
from millstream import Each, FeatureView, Model, Table, checks, sources, features as f
from sklearn.linear_model import LogisticRegression

people = Table("people", source=sources.Csv("people.csv"), key="id",
    sensitive={"email": "personal", "income": "money"},
    checks=[checks.between("income", 0, 50), checks.matches("email", "ok.*"), checks.unique("email")])
orders = Table("orders", source=sources.Csv("orders.csv"), key="id", checks=[checks.references("who", "people.id")])
plain = Table("plain", source=sources.Csv("orders.csv"), key="id", checks=[checks.between("who", 0, 2)])
mails = Table("mails", of=[people], key="id", sql="select id, lower(email) as mail from people")
seen = FeatureView("seen", of=people, entity="id", features=dict(income=f.last("income")))
buys = Model("buys", rows=Each(people), label="income > 5", features=[seen], estimator=LogisticRegression(),
    metrics=["roc_auc"], goal="roc_auc")
"""
ROLES = """
name = "told"
[roles.analyst]
people = ["tina"]
mask = { "*" = "redact" }
[roles.half]
people = ["eva"]
mask = { "*" = "show" }
rows = { people = "id > 2" }
[roles.owner]
people = ["ann"]
mask = { "*" = "show" }
"""
SECRETS = ("user3@", "777.25", "user2@")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A table that breaks its contract in columns that most may not see; checked by somebody who sees all."""
    root = tmp_path_factory.mktemp("told")
    (root / "people.py").write_text(DEFINITIONS)
    (root / "millstream.toml").write_text(ROLES)
    (root / "people.csv").write_text("id,email,income\n1,ok1,1.5\n2,user2@x.org,2.5\n3,user3@x.org,777.25\n4,ok,3.5\n")
    (root / "orders.csv").write_text("id,who\n1,1\n2,9\n3,4\n")
    with Project(root, lock=True) as project:
        project.tell = lambda: None
        project.run("check", {"actor": "ann"})
        project.run("monitor", {"actor": "ann"})
        yield project


def again(project, actor):
    """Check anew, as somebody: the reports of the contracts as they stand."""
    from millstream.project.telling import reports_told
    from millstream.state import contracts

    kept = [contracts.last(project.state, name) for name in ("people", "orders", "plain")]
    return reports_told(project, [each.report for each in kept], actor=actor)


@pytest.mark.parametrize("actor", ["tina", "eva", "nobody"])
@pytest.mark.parametrize("command", ["status", "monitor", "suggest", "reads"])
def test_no_sentence_tells_what_a_mask_hides(project, actor, command):
    project.run("sql", {"query": "select * from people where email = 'user3@x.org'", "actor": "ann"})
    asked = {"reads": {"table": "people"}}.get(command, {})
    try:
        said = json.dumps(project.run(command, {**asked, "actor": actor}))
    except Refused as wrong:  # a proposal from some of the rows
        said = str(wrong)
        assert command == "suggest" and actor != "tina"
    assert not [each for each in SECRETS if each in said]


def test_reports_are_whole_for_whoever_sees_the_table_and_bare_for_others(project):
    whole, bare = again(project, "ann"), again(project, "tina")
    assert SECRETS[0] in str(whole) and SECRETS[1] in str(whole)
    failed = [each for each in bare[0]["results"] if not each["ok"]]
    assert failed and not [each for each in SECRETS if each in str(bare)]
    assert all("does not hold; what it found is told to whoever sees all of people" in each["says"] for each in failed)
    assert [each["ok"] for each in bare[0]["results"]] == [each["ok"] for each in whole[0]["results"]]
    assert bare[1] != whole[1], "its checks read people beside it"
    assert bare[2] == whole[2], "nothing of this table is sensitive"


def test_a_check_run_by_somebody_masked_keeps_all_and_tells_less(project):
    file = project.root / "people.py"
    before = file.read_text()
    file.write_text(before.replace('"income", 0, 50', '"income", 0, 51'))
    try:
        with Project(project.root) as other:
            said = other.run("check", {"actor": "tina"})
    finally:
        file.write_text(before)
    assert said["reports"] and not [each for each in SECRETS if each in str(said)]
    assert SECRETS[1] in str(project.run("status", {"actor": "ann"}))


def test_a_proposal_looks_only_at_what_one_sees(project):
    said = project.run("suggest", {"tables": ["people"], "actor": "tina"})["tables"][0]
    assert said["left_out"] == ["email", "income"]
    assert all("email" not in each["code"] and "income" not in each["code"] for each in said["suggestions"])
    read = project.run("reads", {"table": "people", "by": "tina", "limit": 1, "actor": "tina"})["reads"][0]
    assert (read["how"], read["columns"], read["role"]) == ("suggest", ["id"], "analyst")


def test_letting_back_tells_no_key(project):
    with pytest.raises(Refused, match="sees only some rows"):
        project.run("let_back", {"table": "people", "keys": ["33"], "reason": "x", "actor": "eva"})


def test_a_broken_contract_stops_a_training_without_quoting(project):
    from millstream.project.tables.data import refuse_broken

    (project.root / "people.csv").write_text("id,email,income\n1,user3@x.org,1.5\n2,user3@x.org,2.5\n")
    with Project(project.root) as other:
        other.run("check", {"actor": "ann"})
        with pytest.raises(ContractBroken, match=r"people\.email: unique does not hold") as wrong:
            refuse_broken(other, ["people"])
    assert SECRETS[0] not in str(wrong.value)


def test_roles_are_read_as_they_are(project):
    file = project.root / "millstream.toml"

    def seen():
        return project.run(
            "sql", {"query": "select max(email) as m from people", "at": {"people": 0}, "actor": "tina"}
        )["rows"]

    def write(text):
        made = file.with_suffix(".new")
        made.write_text(text)
        made.replace(file)

    assert seen() == [["[redacted]"]]
    write(ROLES.replace('"redact"', '"null"'))
    assert seen() == [[None]]
    write(ROLES + "[roles")
    with pytest.raises(DefinitionError):
        seen()
    write(ROLES)
    assert seen() == [["[redacted]"]]


def test_a_read_of_what_is_computed_from_a_table_is_a_read_of_it(project):
    project.run("sql", {"query": "select mail from mails", "actor": "ann"})
    of_people = project.run("reads", {"table": "people", "actor": "ann", "limit": 1})["reads"][0]
    assert (of_people["table"], of_people["columns"]) == ("mails", ["mail"])
    project.run("sql", {"query": "select mail, income from mails join people using (id)", "actor": "ann"})
    both = project.run("reads", {"table": "people", "actor": "ann", "by": "ann"})
    assert both["reads"][0]["table"] == "people" and both["reads"][0]["columns"] == ["id", "income"]
    assert both["count"] == len(both["reads"]) == both["people"]["ann"]


KNOWN = """
from millstream import Each, Model, Table, sources
from sklearn.linear_model import LogisticRegression

late = Table("late", source=sources.Csv("late.csv"), key="id", event_time="at", timezone="UTC",
    known_at="at + delay * interval '1 minute'", sensitive={"delay": "health"})
early = Model("early", rows=Each(late, decide_at="at"), label="ok", features=[], estimator=LogisticRegression(),
    metrics=["roc_auc"], goal="roc_auc")
named = Model("named", rows=Each(late, decide_at="at + interval '1 day'"), label="cast(delay as bigint)", features=[],
    estimator=LogisticRegression(), metrics=["accuracy"], goal="accuracy")
"""


def test_an_error_names_no_row_and_no_value_as_its_example(tmp_path, monkeypatch):
    import millstream

    (tmp_path / "late.py").write_text(KNOWN)
    (tmp_path / "millstream.toml").write_text('name = "late"\n[roles.a]\npeople = ["tina"]\nmask = {}\n')
    rows = [
        f"{each},2026-01-{1 + each % 28:02d}T10:00:00Z,{each}.5,{str(each % 2 == 0).lower()}" for each in range(1, 90)
    ]
    (tmp_path / "late.csv").write_text("\n".join(["id,at,delay,ok", *rows]) + "\n")
    with Project(tmp_path, lock=True) as project:
        project.run("refresh", {"actor": "ann"})
        said = []
        for model in ("early", "named"):
            with pytest.raises(MillstreamError) as wrong:
                project.run("train", {"model": model, "actor": "tina"})
            said.append(str(wrong.value))
    monkeypatch.setenv("MILLSTREAM_USER", "tina")
    with millstream.open(tmp_path) as project:
        project.progress = lambda line: None
        late = (tmp_path / "late.py").read_text().replace('decide_at="at")', "decide_at=\"at + interval '1 day'\")")
        (tmp_path / "late.py").write_text(late)
        why = project.training_set("early").why("label", row=5)
        assert "since when is masked" in why.says and "2026" not in why.says
        (tmp_path / "late.py").write_text(KNOWN)
        for ask in (project.training_set, project.train):
            with pytest.raises(MillstreamError) as wrong:
                ask("early")
            said.append(str(wrong.value))
    assert "not known at the decision in 89 of 89 rows" in said[0]
    assert not [each for each in said if "first is" in each or "id=1" in each or "10:01" in each]
