import re
from importlib import metadata

from millstream.releases import environment


def lines(text):
    return [each for each in text.splitlines() if not each.startswith("#")]


def test_the_lock_names_what_is_installed_and_only_that():
    for line in lines(environment.lock("lightgbm.sklearn:LGBMClassifier")):
        name, version, digest = re.fullmatch(r"([a-z0-9-]+)==(\S+)  # record sha256:([0-9a-f]{64})", line).groups()
        assert metadata.version(name) == version and digest


def test_the_lock_follows_dependencies_and_the_estimator():
    names = {each.partition("==")[0] for each in lines(environment.lock())}
    assert {"msgspec", "polars", "cryptography", "cffi"} <= names
    assert not {"pytest", "millstream"} & names
    estimator = {each.partition("==")[0] for each in lines(environment.lock("sklearn.linear_model:LogisticRegression"))}
    if "scikit-learn" in environment.closure({"scikit-learn"}):
        assert {"scikit-learn", "joblib", "scipy"} <= estimator
    assert names <= estimator


def test_the_lock_is_sorted_and_the_same_every_time():
    first = environment.lock("lightgbm.sklearn:LGBMClassifier")
    names = [each.partition("==")[0] for each in lines(first)]
    assert names == sorted(set(names))
    environment.lock.cache_clear()
    environment.source_hash.cache_clear()
    assert environment.lock("lightgbm.sklearn:LGBMClassifier") == first


def test_a_distribution_is_hashed_by_its_content_and_not_by_where_it_lies():
    class Path(metadata.PackagePath):
        pass

    def file(name, value):
        path = metadata.PackagePath(name)
        path.hash = metadata.FileHash(f"sha256={value}") if value else None
        return path

    class Installed:
        def __init__(self, files):
            self.files = files

    plain = [file("a/b.py", "x"), file("a/c.so", "y")]
    same = [*reversed(plain), file("../../bin/tool", "local"), file("a-1.dist-info/RECORD", None),
            file("a-1.dist-info/INSTALLER", "uv"), file("a/__pycache__/b.pyc", "z")]  # fmt: skip
    other = [file("a/b.py", "x2"), file("a/c.so", "y")]
    assert environment.record_hash(Installed(plain)) == environment.record_hash(Installed(same))
    assert environment.record_hash(Installed(plain)) != environment.record_hash(Installed(other))


def test_an_estimator_nobody_installed_adds_nothing():
    assert lines(environment.lock("nowhere.at_all:Model")) == lines(environment.lock())
