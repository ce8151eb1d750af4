import math

import msgspec
import polars as pl
import pytest

from millstream.errors import BadData
from millstream.releases.rehearsal import rehearse
from millstream.releases.verify import open_release
from millstream.serving.batch import replay, score_frame
from millstream.serving.scorer import Scorer
from tests.serving import mill


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return mill.write_trees(tmp_path_factory.mktemp("batch") / "r1")


def requests():
    return [
        mill.ROW | {"flight_id": n, "carrier": carrier, "distance": distance}
        for n, (carrier, distance) in enumerate([("UA", 100.0), ("AA", 1600.0), ("ZZ", None), (None, 1500.0)])
    ]


def served(release, at=0):
    scorer = Scorer.open(release, mill.Memory())
    return scorer, [scorer.score_one(scorer.check(row), at) for row in requests()]


def test_a_frame_of_joined_features_scores_as_requests_do(release):
    scorer, wanted = served(release)
    columns = list(zip(*(each.features.tolist() for each in wanted), strict=True))
    frame = pl.DataFrame(dict(zip(scorer.features, columns, strict=True)), strict=False).with_columns(
        pl.col("at_request.long_haul").fill_nan(None).cast(pl.Boolean), pl.col("form.mean", "form.max").fill_nan(None)
    )
    shuffled = frame.select(reversed(frame.columns))
    assert score_frame(release, shuffled, scorer.features) == [{"value": each.value} for each in wanted]
    assert score_frame(release, frame.clear(), scorer.features) == []
    with pytest.raises(BadData, match=r"form\.mean"):
        score_frame(release, frame.drop("form.mean"), scorer.features)


def sample(release):
    _, wanted = served(release)
    return {
        "rows": [row | {"decided_at": "2013-02-01T10:00:00Z"} for row in requests()],
        "features": [[None if math.isnan(each) else each for each in one.features] for one in wanted],
        "values": [one.value for one in wanted],
    }


def test_replayed_requests_answer_as_they_were_served(release):
    said = sample(release)
    (release / "sample.json").write_bytes(msgspec.json.encode(said))
    assert replay(release, said["rows"]) == [(each,) for each in said["values"]]
    with pytest.raises(BadData, match="features of 4 requests"):
        replay(release, said["rows"][:3])


def test_replay_computes_what_the_request_says_and_does_not_copy_it(release):
    said = sample(release)
    said["features"] = [[*each[:2], 23.0, 0.0] for each in said["features"]]  # wrong hours and hauls on record
    (release / "sample.json").write_bytes(msgspec.json.encode(said))
    assert replay(release, said["rows"]) == [(each,) for each in said["values"]]


def test_a_rehearsal_passes_with_it_and_fails_when_the_answers_changed(tmp_path, release):
    project = mill.Project(tmp_path / "project")
    text = (release / "model.txt").read_text()
    said = sample(release)
    for shift, ok in ((0.0, True), (1e-6, False)):
        wrong = said | {"values": [value + shift for value in said["values"]]}
        files = {"model.txt": text, "sample.json": msgspec.json.encode(wrong).decode()}
        built = project.build(model={"kind": "lightgbm", "file": "model.txt"}, files=files)
        opened = open_release(project.places.releases / built, project.places.keys)
        went = rehearse(opened, None, replay)
        assert went.ok is ok, went.says
    project.state.close()
