"""A scorer answers features of features, holidays and hashes from the release alone."""

import pickle
import subprocess
import sys
from hashlib import sha256

import msgspec
import pytest

from millstream.expressions import parse
from millstream.features.plan import FeatureColumn
from millstream.serving.chain import Chain
from millstream.serving.scorer import Scorer
from tests.serving import mill

SCHEMA = {**mill.REQUEST, "form.mean": "double", "form.max": "double"}
LOCAL = "scheduled_departure at time zone 'America/New_York'"
COMBINED = {
    "mixed.ratio": "form.max / form.mean",
    "mixed.far": "form.mean > 5 and distance > 1500",
    "mixed.free": f"is_holiday({LOCAL}, 'US')",
    "mixed.bucket": "bucket(form.max, 10, 50, 100) + hash_bucket(cast(cast(distance as bigint) as varchar), 4)",
}
IN_BUCKET = 2.0 + int(sha256(b"1600").hexdigest()[:15], 16) % 4
CHILD = """
import sys
from pathlib import Path
from millstream.serving.scorer import Scorer
from millstream.features.online import layout
from contextlib import contextmanager
import msgspec, pickle
class Store:
    @contextmanager
    def snapshot(self):
        yield pickle.loads(Path(sys.argv[2]).read_bytes())
scorer = Scorer.open(Path(sys.argv[1]), Store())
row = scorer.check(msgspec.json.decode(sys.argv[3]))
print(scorer.score_one(row, 0).features.tolist())
print(sorted({"holidays", "sqlglot", "polars", "pandas", "numpy", "duckdb"} & sys.modules.keys()))
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release whose model sees nothing but features of features."""
    folder = mill.write(tmp_path_factory.mktemp("r") / "r1")
    made = {name: parse(text, SCHEMA, where=name) for name, text in COMBINED.items()}
    columns = tuple(FeatureColumn(name, each.dtype) for name, each in made.items())
    plan = msgspec.structs.replace(mill.plan(), columns=columns, request_features={}, combined=made)
    (folder / "plan.json").write_bytes(plan.encode())
    said = {"kind": "constant", "task": "binary", "value": 0.5, "features": list(plan.names)}
    (folder / "model.json").write_bytes(msgspec.json.encode(said))
    return folder


def test_features_of_features_are_answered(release):
    scorer = Scorer.open(release, mill.Memory())
    fourth = mill.ROW | {"scheduled_departure": "2013-07-05T03:30:00Z"}  # still the fourth of July in New York
    assert scorer.score_one(scorer.check(fourth), 0).features.tolist() == [60.0 / 12.5, 1.0, 1.0, IN_BUCKET]
    assert scorer.score_one(scorer.check(mill.ROW), 1_000_000).features.tolist()[:3] == [61.0 / 13.5, 1.0, 0.0]
    unknown = scorer.score_one(scorer.check(mill.ROW | {"carrier": "ZZ", "distance": 1.0}), 0).features
    assert [each if each == each else None for each in unknown] == [None, 0.0, 0.0, None]
    assert scorer.score_many([scorer.check(fourth)] * 2, [0, 0])[1].features == scorer.score_one(
        scorer.check(fourth), 0
    ).features  # fmt: skip


def test_a_scorer_needs_no_library_for_them(release, tmp_path):
    (tmp_path / "kept").write_bytes(pickle.dumps(mill.Memory().kept))
    row = msgspec.json.encode(mill.ROW).decode()
    told = subprocess.run(
        [sys.executable, "-c", CHILD, str(release), str(tmp_path / "kept"), row],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert not told.returncode, told.stderr
    features, loaded = told.stdout.splitlines()
    assert features == f"[4.8, 1.0, 0.0, {IN_BUCKET}]" and loaded == "[]"


def test_a_row_that_cannot_be_computed_costs_the_others_nothing(release):
    chain = Chain(Scorer.open(release, mill.Memory()))
    rows = [mill.ROW, mill.ROW | {"distance": 1e300}, mill.ROW]
    found = chain.answer(rows, [0] * 3, until=float("inf"))
    assert [each.answered_by for each in found] == ["champion", "baseline", "champion"]
    assert found[1].reason == "1e+300 cannot be cast to bigint" and not found[0].reason
    assert msgspec.json.encode([each.reason for each in found]), "the log can hold it"
    assert found[0].features == found[2].features == chain.answer(rows[:1], [0], until=float("inf"))[0].features
