import pytest

from millstream.project import Project

DEFINITIONS = """
from sklearn.linear_model import LogisticRegression
from millstream import Each, FeatureView, Model, Table, features as f, sources

customers = Table("customers", source=sources.Csv("customers.csv"), key="id", owner="sales",
    description="Who buys here.", about={"email": "where we write to"},
    sensitive={"email": "personal", "born": "personal", "id": "identity"})
orders = Table("orders", source=sources.Csv("orders.csv"), key="order_id", event_time="at",
    timezone="UTC", columns={"double_amount": "amount * 2"}, sensitive={"amount": "money", "customer": "identity"})
wide = Table("wide", of=[orders, customers], key="order_id", event_time="at",
    sql="select o.*, upper(c.email) as shout, c.region from orders o left join customers c on o.customer = c.id")
counted = Table("counted", of=[customers], key="region", sensitive={"people": "none"},
    sql="select region, count(email) as people, max(email) as last_email from customers group by 1")
spend = FeatureView("spend", of=orders, entity="customer", features=dict(total=f.sum("amount", over="30d"),
    orders=f.count(over="30d"), big=f.count(where="amount > 10", over="30d")))
buys = Model("buys", rows=Each(wide), label="region = 'EU'", features=[spend], estimator=LogisticRegression(),
    metrics=["roc_auc"], goal="roc_auc")
"""
SETTINGS = """
name = "shop"
[roles.analyst]
people = ["tina"]
mask = { personal = "redact", identity = "hash", money = "bucket:10" }
[roles.europe]
people = ["eva"]
mask = { "*" = "show" }
rows = { orders = "region_of = 'EU'", wide = "region = 'EU'" }
[roles.stranger]
people = ["nils"]
mask = { identity = "null", money = "show" }
[roles.owner]
people = ["ann"]
mask = { "*" = "show" }
"""


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A small shop with people's data and roles, read once; nobody changes it."""
    root = tmp_path_factory.mktemp("shop")
    (root / "shop.py").write_text(DEFINITIONS)
    (root / "millstream.toml").write_text(SETTINGS)
    customers = [f"{n},user{n}@example.org,{1950 + n},{'EU' if n % 2 else 'US'}" for n in range(1, 9)]
    (root / "customers.csv").write_text("\n".join(["id,email,born,region", *customers]) + "\n")
    orders = [
        f"{n},{n % 8 + 1},{n}.5,2013-01-{1 + n % 28:02d} 10:00:00,{'EU' if n % 3 else 'US'}" for n in range(1, 41)
    ]
    (root / "orders.csv").write_text("\n".join(["order_id,customer,amount,at,region_of", *orders]) + "\n")
    with Project(root, lock=True) as project:
        project.run("refresh", {"actor": "ann"})
    return root


@pytest.fixture
def opened(shop, monkeypatch):
    """The project as somebody opens it in a notebook."""
    import millstream

    held = []

    def as_(name):
        monkeypatch.setenv("MILLSTREAM_USER", name)
        project = millstream.open(shop)
        project.progress = lambda line: None
        held.append(project)
        return project

    yield as_
    for each in held:
        each.close()
