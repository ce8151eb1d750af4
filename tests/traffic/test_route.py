import subprocess
import sys

from millstream.traffic import route, routes


def chain(found):
    return [(each.role, each.release.version) for each in found.chain]


def test_nobody_answers_before_the_first_release(house):
    found = route(house.state, "late")
    assert (found.generation, found.champion, found.previous, found.chain) == (0, None, None, ())
    assert routes(house.state) == []


def test_the_first_release_falls_back_to_its_baseline(house):
    release = house.live(0.1)
    found = route(house.state, "late")
    assert (found.champion.id, found.champion.path, found.generation) == (release.id, release.path, 1)
    assert chain(found) == [("champion", 1), ("baseline", 1)]


def test_the_one_before_stands_in_first_unless_said_otherwise(house):
    house.live(0.1)
    house.live(0.2)
    assert chain(route(house.state, "late")) == [("champion", 2), ("previous", 1), ("baseline", 2)]
    assert chain(route(house.state, "late", fallback=("baseline",))) == [("champion", 2), ("baseline", 2)]
    assert chain(route(house.state, "late", fallback=())) == [("champion", 2)]


def test_a_release_rolled_away_from_never_stands_in(house):
    house.live(0.1)
    house.live(0.2)
    house.live(0.3)
    house.releases.rollback("late", actor="o", reason="bad")
    assert chain(route(house.state, "late")) == [("champion", 2), ("previous", 1), ("baseline", 2)]


def test_every_model_by_name(house):
    house.live(0.1)
    house.live(0.2, model="churn")
    assert [(each.model, each.generation) for each in routes(house.state)] == [("churn", 1), ("late", 1)]
    assert routes(house.state)[1] == route(house.state, "late")


def test_a_server_can_ask_without_anything_heavy():
    code = (
        "import sys, millstream.traffic, millstream.releases\n"
        "heavy = {'polars', 'numpy', 'pandas', 'mlflow', 'duckdb', 'deltalake', 'sqlglot', 'starlette', 'dbos'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
