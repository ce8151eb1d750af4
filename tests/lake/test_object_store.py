"""Files of an object store take the same road as those of a folder: listed, recognised by etag, taken once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.errors import BadData, NotFound, UserError
from millstream.lake.steps import Meanwhile
from tests.lake.house import House


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    pytest.importorskip("obstore")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    import obstore
    from obstore.store import from_url

    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    import urllib.request

    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/landing", method="PUT")).close()
    store = from_url("s3://landing")
    yield lambda key, body: obstore.put(store, key, body)
    server.stop()


def test_objects_are_taken_once_and_added(house: House, bucket: object) -> None:
    put = bucket
    put("in/day=2013-01-01/p.csv", b"n\n1\n2\n")  # type: ignore[operator]
    put("in/day=2013-01-02/p.csv", b"n\n3\n")  # type: ignore[operator]
    put("in/other.csv", b"x\n3\n")  # type: ignore[operator]
    table = Table("parts", source=Csv("s3://landing/in/day=*/*.csv", folders=("day",)))
    lake = house.lake([table])
    assert lake.refresh(actor="ann")[0].rows == 3
    assert lake.refresh(actor="ann") == []
    put("in/day=2013-01-03/p.csv", b"n\n4\n")  # type: ignore[operator]
    put("in/day=2013-01-02/p.csv", b"n\n5\n6\n")  # type: ignore[operator]
    said: list[str] = []
    lake.refresh(actor="ann", meanwhile=Meanwhile(tell=said.append))
    assert sorted(lake.read("parts").frame.rows()) == [
        (1, "2013-01-01"), (2, "2013-01-01"), (4, "2013-01-03"), (5, "2013-01-02"), (6, "2013-01-02"),
    ]  # fmt: skip
    assert said[0] == "parts: 1 file new with 1 rows"
    put("in/day=2013-01-04/p.csv", b"n\nmany\n")  # type: ignore[operator]
    with pytest.raises(BadData, match=r"line 2 of s3://landing/in/day=2013-01-04/p.csv"):
        lake.refresh(actor="ann")
    with pytest.raises(NotFound, match=r"nothing matches s3://landing/in/q\.csv"):
        house.lake([Table("q", source=Csv("s3://landing/in/q.csv"))]).refresh(actor="ann")


def test_without_the_package_it_is_said_what_is_missing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UserError, match="object store"):
        house.lake([Table("q", source=Csv("s3://landing/in/q.csv"))]).refresh(actor="ann")
