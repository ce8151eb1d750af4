"""Files of an object store take the same road as those of a folder: listed, recognised by etag, taken once."""

from __future__ import annotations

import sys

import pytest

from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.errors import BadData, NotFound, Refused, Unavailable, UserError
from millstream.lake.derived.steps import Meanwhile
from tests.lake.house import House
from tests.objects import Bucket, Cut

NOBODY = {
    "AWS_ACCESS_KEY_ID": None,
    "AWS_SECRET_ACCESS_KEY": None,
    "AWS_METADATA_ENDPOINT": "http://127.0.0.1:9",  # a machine without a role
}


def parts(bucket: Bucket) -> Table:
    return Table("parts", source=Csv(f"s3://{bucket.name}/in/day=*/*.csv", folders=("day",)))


def test_objects_are_taken_once_and_added(house: House, bucket: Bucket) -> None:
    bucket.put("in/day=2013-01-01/p.csv", b"n\n1\n2\n")
    bucket.put("in/day=2013-01-02/p.csv", b"n\n3\n")
    bucket.put("in/other.csv", b"x\n3\n")
    lake = house.lake([parts(bucket)])
    assert lake.refresh(actor="ann")[0].rows == 3
    assert lake.refresh(actor="ann") == []
    bucket.put("in/day=2013-01-03/p.csv", b"n\n4\n")
    bucket.put("in/day=2013-01-02/p.csv", b"n\n5\n6\n")
    said: list[str] = []
    lake.refresh(actor="ann", meanwhile=Meanwhile(tell=said.append))
    assert sorted(lake.read("parts").frame.rows()) == [
        (1, "2013-01-01"), (2, "2013-01-01"), (4, "2013-01-03"), (5, "2013-01-02"), (6, "2013-01-02"),
    ]  # fmt: skip
    assert said[0] == "parts: 1 file new with 1 rows"
    bucket.put("in/day=2013-01-04/p.csv", b"n\nmany\n")
    with pytest.raises(BadData, match=rf"line 2 of s3://{bucket.name}/in/day=2013-01-04/p.csv"):
        lake.refresh(actor="ann")
    with pytest.raises(NotFound, match=r"nothing matches s3://landing\d+/in/q\.csv"):
        house.lake([Table("q", source=Csv(f"s3://{bucket.name}/in/q.csv"))]).refresh(actor="ann")


@pytest.mark.parametrize(
    ("words", "kind", "says"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, Refused, r"s3://landing\d+ refuses .*SignatureDoesNotMatch"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, Refused, r"s3://landing\d+ refuses .*InvalidAccessKeyId"),
        (NOBODY, Refused, r"(?s)there are no keys for s3://landing\d+.*AWS_ACCESS_KEY_ID"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, Unavailable, r"s3://landing\d+ does not answer"),
    ],
    ids=["secret", "who", "no keys", "nobody there"],
)
def test_who_may_not_read_is_told_and_nothing_is_taken(
    house: House,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    words: dict[str, str | None],
    kind: type[Exception],
    says: str,
) -> None:
    bucket.put("in/day=2013-01-01/p.csv", b"n\n1\n2\n")
    lake = house.lake([parts(bucket)])
    lake.refresh(actor="ann")
    bucket.put("in/day=2013-01-02/p.csv", b"n\n3\n")
    with monkeypatch.context() as wrong:
        for name, value in words.items():
            wrong.delenv(name) if value is None else wrong.setenv(name, value)
        with pytest.raises(kind, match=says) as raised:
            lake.refresh(actor="ann")
        assert "\n" not in raised.value.happened
        assert lake.head("parts").version == 0
    assert lake.refresh(actor="ann")[0].rows == 3


def test_a_bucket_that_is_not_there_is_named(house: House, bucket: Bucket) -> None:
    bucket.put("in/day=2013-01-01/p.csv", b"n\n1\n2\n")
    wrong = Table("parts", source=Csv("s3://landnig/in/*.csv"))
    with pytest.raises(NotFound, match="there is no bucket 'landnig'"):
        house.lake([wrong]).refresh(actor="ann")


def test_a_server_that_dies_while_an_object_is_read_leaves_nothing(
    house: House, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("in/day=2013-01-01/p.csv", b"n\n1\n2\n")
    bucket.put("in/day=2013-01-02/p.csv", b"n\n" + b"3\n" * 1_000_000)
    lake = house.lake([parts(bucket)])
    road = Cut(bucket.server.ports["s3.port"], after=600_000)
    with monkeypatch.context() as dying:
        dying.setenv("AWS_ENDPOINT_URL", road.url)
        with pytest.raises(Unavailable, match=r"s3://landing\d+ does not answer"):
            lake.refresh(actor="ann")
    assert "parts" not in lake.heads()
    assert lake.refresh(actor="ann")[0].rows == 1_000_002
    assert all(each.ok for each in lake.verify())


def test_without_the_package_it_is_said_what_is_missing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UserError, match="object store"):
        house.lake([Table("q", source=Csv("s3://landing/in/q.csv"))]).refresh(actor="ann")
