"""What people read is masked and filtered as their role says, whatever they ask and by whatever road."""

import stat

import pytest

from millstream import settings
from millstream.errors import DefinitionError, MillstreamError, Refused
from millstream.project import Project

SECRET = "user3@example.org"


def test_a_mask_hides_and_an_owner_sees(opened):
    tina = opened("tina").sql("select id, email, born, region from customers order by region, email").frame
    ann = opened("ann").sql("select * from customers where email = 'user3@example.org'").frame
    assert set(tina["email"]) == {"[redacted]"} and tina["born"].null_count() == 8
    assert tina["id"].n_unique() == 8 and not set(tina["id"]) & set(range(1, 9))
    assert ann["email"].to_list() == [SECRET] and ann["id"].to_list() == [3]


@pytest.mark.parametrize(
    "query",
    [
        "select * from customers",
        "select c.email as mail, c.email || 'x' as y from customers c",
        "select x from (select email as x from customers) q",
        "with t as (select * from customers) select * from t",
        "select * from customers where email like '%user3%'",
        "select (select max(email) from customers) as m",
        "select last_email from counted",
        "select shout from wide",
        "select c from customers c",
        "select list(email) as l from customers",
        "select columns('e.*') from customers",
        "select k.v from (values ('user3@example.org')) k(v) join customers c on c.email = k.v",
        "select cast(email as integer) from customers",
        "select error(email) from customers",
        "select * from (describe customers)",
        "select * from (summarize customers)",
        "from customers",
        "select * from customers union all select * from customers",
        "pivot customers on email using count(*)",
        "select email from customers semi join (select 'user3@example.org' as email) using (email)",
    ],
)
def test_no_query_gets_round_a_mask(opened, query):
    try:
        said = str(opened("tina").sql(query).frame.rows())
    except MillstreamError as wrong:
        said = str(wrong).replace(SECRET if SECRET in query else "\0", "")  # what one knew is no news
    assert "@example.org" not in said.lower()


def test_hashes_join_and_stay_and_the_key_is_private(opened, shop):
    tina = opened("tina")
    both = tina.sql("select count(*) as n from orders o join customers c on o.customer = c.id").frame["n"].item()
    assert both == 40
    assert tina.sql("select id from customers order by region, born, email").frame.equals(
        opened("tina").sql("select id from customers order by region, born, email").frame
    )
    assert stat.S_IMODE((shop / ".millstream/keys/mask.key").stat().st_mode) == 0o600


def test_what_is_computed_is_as_sensitive_unless_it_says_not(opened):
    tina = opened("tina")
    rows = tina.sql("select amount, double_amount, shout from wide").frame
    assert all(each % 10 == 0 for each in rows["amount"]) and all(each % 10 == 0 for each in rows["double_amount"])
    assert set(rows["shout"]) == {"[redacted]"}
    assert tina.sql("select people from counted").frame["people"].to_list() == [4, 4]


def test_rows_are_filtered_before_anything_is_asked(opened):
    eva = opened("eva")
    assert set(eva.table("orders").frame()["region_of"]) == {"EU"}
    assert eva.sql("select count(*) as n from orders where region_of = 'US' or true").frame.height == 1
    assert eva.sql("select count(*) as n from orders where region_of = 'US'").frame["n"].item() == 0
    assert set(eva.sql("select region from wide").frame["region"]) == {"EU"}
    with pytest.raises(Refused, match="sees only some rows"):
        eva.training_set("buys")


def test_somebody_in_no_role_sees_nothing_sensitive(opened):
    bob = opened("bob")
    assert bob.sql("select email from customers").frame["email"].null_count() == 8
    assert bob.sql("select * from orders").frame.height == 0


def test_profile_and_table_are_masked_and_time_is_no_oracle(shop, opened):
    with Project(shop) as project:
        said = str(project.run("profile", {"table": "customers", "actor": "tina"}))
        assert "@example.org" not in said and "[redacted]" in said
        assert SECRET in str(project.run("profile", {"table": "customers", "actor": "ann"}))
    tina = opened("tina")
    assert "@example.org" not in tina.table("customers")._repr_html_() + repr(tina.table("customers"))
    assert tina.table("orders").frame(between=("2013-01-05", "2013-01-06")).height > 0  # event time is not sensitive


def test_a_training_set_is_shown_masked_and_trained_whole(opened):
    tina, ann = opened("tina").training_set("buys"), opened("ann").training_set("buys")
    assert set(tina.frame["customer"].drop_nulls()).isdisjoint(ann.frame["customer"])
    assert all(each % 10 == 0 for each in tina.frame["spend.total"].drop_nulls())
    assert tina.frame["spend.orders"].equals(ann.frame["spend.orders"])
    why = tina.why("spend.total", row=-1)
    assert all(each % 10 == 0 for each in why.facts["value"]) and why.facts["value"].len()
    assert f"customer {ann.frame['customer'][-1]}," not in why.says
    big, every = tina.why("spend.big", row=-1), tina.why("spend.orders", row=-1)
    assert big.facts.height == every.facts.height > ann.why("spend.big", row=0).facts.height
    assert "since you see masked what it asks" in big.says and "since you see" not in every.says


def test_whoever_may_not_tell_entities_apart_is_not_told_which_facts_are_of_one(opened):
    nils, tina = opened("nils").training_set("buys"), opened("tina").training_set("buys")
    assert nils.frame["customer"].null_count() == len(nils)
    with pytest.raises(Refused, match="customer of orders is masked for you"):
        nils.why("spend.orders", row=-1)
    assert tina.why("spend.orders", row=-1).facts.height > 0  # of hashes they see who is alike anyway


def test_features_asked_by_a_key_one_may_not_see_are_hidden(opened):
    import polars as pl

    rows = pl.DataFrame({"customer": [1, 2]})
    tina, ann = (opened(name).features(["spend"], rows=rows, at="2013-02-01") for name in ("tina", "ann"))
    assert tina.frame["spend.orders"].to_list() != ann.frame["spend.orders"].to_list()
    assert ann.why("spend.orders", row=0).facts.height == ann.frame["spend.orders"][0] > 0
    with pytest.raises(Refused, match=r"spend\.orders is masked for you"):
        tina.why("spend.orders", row=0)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ('[roles.a]\npeople=["x"]\nmask={personal="hsh"}', "did you mean 'hash'"),
        ('[roles.a]\npeople=["x"]\nmask={personal="bucket"}', "bucket:WIDTH"),
        ('[roles.a]\npeople=["x"]\n[roles.b]\npeople=["x"]', "one role a person"),
        ('[roles.default]\npeople=["x"]', "names people"),
        ("[roles.a]\nmask={}", "names nobody"),
    ],
)
def test_wrong_roles_are_refused_when_the_file_is_read(tmp_path, said, says):
    (tmp_path / "millstream.toml").write_text(said)
    with pytest.raises(DefinitionError, match=says):
        settings.read(tmp_path)


def test_words_about_columns_that_are_not_there_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("id,email\n1,x\n")
    (tmp_path / "millstream.toml").write_text('name = "a"')
    (tmp_path / "a.py").write_text(
        "from millstream import Table, sources\n"
        't = Table("t", source=sources.Csv("a.csv"), key="id", sensitive={"emial": "personal"})\n'
    )
    with Project(tmp_path, lock=True) as project, pytest.raises(DefinitionError, match="did you mean 'email'"):
        project.lake.refresh(actor="ann")
