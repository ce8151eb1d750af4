"""Resources of dlt become tables: a real REST server on this machine, pages, increments, keys, a kill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlparse

import polars as pl
import pytest

from millstream.definitions.sources import Dlt
from millstream.errors import DefinitionError
from millstream.project import Project

SOURCE = """
import dlt
from dlt.sources.rest_api import rest_api_resources


@dlt.source(name="shop")
def orders(base, word="merge", token=dlt.secrets.value):
    return rest_api_resources({
        "client": {"base_url": base, "auth": {"type": "bearer", "token": token},
                   "paginator": {"type": "page_number", "base_page": 1, "total_path": "pages"}},
        "resources": [{
            "name": "orders",
            "primary_key": "id",
            "write_disposition": word,
            "endpoint": {"path": "orders", "data_selector": "rows", "incremental": {
                "cursor_path": "changed", "start_param": "since", "initial_value": "2024-01-01T00:00:00Z"}},
            "columns": {"deleted": {"hard_delete": True, "data_type": "bool"}, "total": {"data_type": "double"}},
        }],
    })
"""
TABLE = """from millstream import Table, sources
orders = Table("orders", source=sources.Dlt("shopping:orders", arguments={arguments!r}), key="id"{more})
"""


class Api(ThreadingHTTPServer):
    """Orders by pages of ten, those changed since an instant; asks for a token."""

    daemon_threads = True
    token = "let-me-in-please"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rows: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.posted: list[str] = []
        self.dies_at = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def put(self, number: int, changed: str, **more: Any) -> None:
        self.rows = [each for each in self.rows if each["id"] != number]
        self.rows.append({"id": number, "changed": changed, "total": number * 1.5, "lines": [{"n": 1}], **more})


class _Handler(BaseHTTPRequestHandler):
    server: Api
    protocol_version: ClassVar[str] = "HTTP/1.1"

    def do_GET(self) -> None:
        said = parse_qs(urlparse(self.path).query)
        page, since = int(said["page"][0]), said["since"][0]
        self.server.asked.append(self.path)
        if self.headers["Authorization"] != f"Bearer {self.server.token}":
            return self._answer(401, {"error": "who are you"})
        if self.server.dies_at == page:
            return self._answer(400, {"error": f"page {page} is broken for {self.headers['Authorization']}"})
        rows = sorted((each for each in self.server.rows if each["changed"] >= since), key=lambda each: each["id"])
        return self._answer(200, {"rows": rows[page * 10 - 10 : page * 10], "pages": max(1, -(-len(rows) // 10))})

    def do_POST(self) -> None:
        self.server.posted.append(self.path)
        self._answer(204, {})

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # a worker that ended
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Shop:
    """A project over the API."""

    def __init__(self, root: Path, api: Api) -> None:
        self.root, self.api = root, api
        (root / "millstream.toml").write_text('name = "shop"\n')
        (root / "shopping.py").write_text(SOURCE)

    def define(self, more: str = "", **arguments: str) -> None:
        text = TABLE.format(arguments={"base": self.api.base, **arguments}, more=more)
        (self.root / "tables.py").write_text(text)

    def refresh(self) -> dict[str, Any]:
        with Project(self.root, lock=True) as project:
            return project.run("refresh", {"actor": "ann"})

    def why(self) -> list[str]:
        made = self.refresh()
        assert made["exit_code"] == 0, made["stopped"][0]["detail"]
        return [each["why"] for each in made["versions"]]

    def frame(self, version: int | None = None) -> pl.DataFrame:
        with Project(self.root) as project:
            return project.lake.read("orders", version=version).frame.sort("id")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with Api() as api:
        monkeypatch.setenv("SOURCES__SHOPPING__SHOP__TOKEN", api.token)
        monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY_ENDPOINT", f"{api.base}telemetry")
        monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "true")
        for number in range(1, 36):
            api.put(number, f"2024-01-02T00:{number:02}:00Z")
        try:
            yield Shop(tmp_path, api)
        finally:
            api.shutdown()


def test_a_dlt_source_says_a_function_and_no_secret() -> None:
    for words, says in (
        ({"resource": "shopping"}, "does not name a function"),
        ({"resource": "shopping:orders", "timeout": "soon"}, "timeout"),
        ({"resource": "shopping:orders", "arguments": {"api_key": "x"}}, "'api_key' would be written down"),
    ):
        with pytest.raises(DefinitionError, match=says):
            Dlt(**words)  # type: ignore[arg-type]


@pytest.mark.nightly
def test_pages_and_increments_of_a_rest_server_are_merged_by_their_key(shop: Shop) -> None:
    shop.define()
    assert shop.why() == ["read for the first time"]
    first = shop.frame()
    assert first["id"].to_list() == list(range(1, 36)) and first["total"].dtype == pl.Float64
    assert (
        first["lines"][0] == '[{"n": 1}]' and str(first["changed"].dtype) == "Datetime(time_unit='us', time_zone='UTC')"
    )
    asked = len(shop.api.asked)
    assert asked == 4, "four pages"
    assert shop.why() == []
    assert "since=2024-01-02T00" in shop.api.asked[-1] and len(shop.api.asked) == asked + 1
    shop.api.put(3, "2024-01-03T00:00:00Z", total=99)
    shop.api.put(36, "2024-01-03T00:00:01Z")
    shop.api.put(5, "2024-01-03T00:00:02Z", deleted=True)
    assert shop.why() == ["1 row new, 1 changed, 1 gone from the database (earlier versions keep them)"]
    now = shop.frame()
    assert now["id"].to_list() == [*range(1, 5), *range(6, 37)] and now.filter(id=3)["total"].to_list() == [99.0]
    assert shop.frame(0).equals(first) and shop.why() == []
    assert not shop.api.posted, "nothing is told to dlt's makers, whatever is configured"
    assert not (Path.home() / ".dlt/pipelines/rows").exists()


@pytest.mark.nightly
def test_a_resource_that_dies_or_is_killed_loses_and_doubles_nothing(shop: Shop) -> None:
    shop.define(', event_time="changed", known_at="changed"', word="append")
    shop.api.dies_at = 3
    made = shop.refresh()
    assert made["exit_code"] and "400" in made["stopped"][0]["detail"] and not made["versions"]
    shop.api.dies_at = 0
    shop.why()
    shop.api.put(40, "2024-01-05T00:00:00Z")
    code = (
        "from millstream.project import Project\n"
        f"with Project({str(shop.root)!r}, lock=True) as project: project.run('refresh', {{'actor': 'ann'}})\n"
    )
    for point, done in (("lake.intended", False), ("lake.committed", True)):
        killed = subprocess.run([sys.executable, "-c", code], env=os.environ | {"MILLSTREAM_FAULT": point}, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert (40 in _recovered(shop)["id"]) == done, point
    assert shop.why() == [], "what dlt noted came with the version"
    assert _recovered(shop)["id"].to_list() == [*range(1, 36), 40]
    shop.api.token = "changed-at-the-server"
    made = shop.refresh()
    assert made["stopped"][0]["table"] == "orders" and made["exit_code"] != 0
    for file in shop.root.rglob("*"):
        if file.is_file():
            assert b"let-me-in-please" not in file.read_bytes(), file


def _recovered(shop: Shop) -> pl.DataFrame:
    with Project(shop.root, lock=True) as project:
        return project.lake.read("orders").frame.sort("id")


@pytest.mark.nightly
def test_a_resource_that_is_none_is_told(shop: Shop) -> None:
    shop.define()
    (shop.root / "shopping.py").write_text("def orders(base):\n    return [1]\n")
    assert "orders gave a list" in shop.refresh()["stopped"][0]["detail"]
    (shop.root / "shopping.py").write_text("def orders(base):\n    raise ValueError('no luck')\n")
    made = shop.refresh()["stopped"][0]
    assert "ValueError: no luck" in made["detail"] and ".millstream/steps/orders.log" in made["do"]
    (shop.root / "shopping.py").write_text("import time\ndef orders(base):\n    time.sleep(60)\n")
    text = (shop.root / "tables.py").read_text().replace("arguments=", "timeout='3s', arguments=")
    (shop.root / "tables.py").write_text(text)
    assert "was not done after 3s" in shop.refresh()["stopped"][0]["detail"]
