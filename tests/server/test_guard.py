"""Who may talk to the control plane: by walking the router, so that a route made tomorrow is asked too."""

import asyncio
import json

import pytest
from starlette.routing import Mount, Route

from millstream.errors import UserError
from millstream.project import Project
from millstream.server.api import application
from millstream.server.client import POSTING, posting_token
from tests.server.asgi import ask

TOKEN = "the-token-of-this-test"
HOSTS = frozenset({"127.0.0.1:8310", "localhost:8310"})
AUTHORISED = {"authorization": f"Bearer {TOKEN}"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MEANT = {
    "{command}": "status", "{subject}": "2", "{decision:int}": "2", "{model}": "late", "{table}": "flights",
    "{name}": "flights",
}  # fmt: skip
SAFE = {"GET", "HEAD", "OPTIONS"}


class Hands:
    """A conductor without processes: every command runs here."""

    def __init__(self, project):
        self.project = project

    def command(self, name, arguments):
        return self.project.run(name, arguments)

    def tick(self, part="all"):
        raise RuntimeError("secret inner words")


@pytest.fixture(scope="module")
def opened(waiting):
    with Project(waiting) as project:
        yield project


@pytest.fixture(scope="module")
def app(opened):
    return application(Hands(opened), token=TOKEN, hosts=HOSTS)


def walk(routes, prefix=""):
    for route in routes:
        if isinstance(route, Mount):
            children = list(walk(route.routes, prefix + route.path))
            yield from children or [(f"{prefix}{route.path}/style.css", {"GET", "HEAD"})]
        else:
            assert isinstance(route, Route), f"a route of a kind this walk does not know: {route}"
            path = prefix + route.path
            for part, meant in MEANT.items():
                path = path.replace(part, meant)
            yield path, route.methods


def every(app):
    found = sorted(walk(app._app.routes), key=str)
    assert len(found) >= 8
    return [(path, method) for path, _ in found for method in METHODS]


def is_open(path):
    return path == "/health" or path.startswith("/static/")


def test_a_token_for_posting_rows_opens_that_alone(opened, monkeypatch):
    posting = "posts-and-nothing-else-0123"
    other = application(Hands(opened), token=TOKEN, hosts=HOSTS, posting=posting)
    for path, method in every(other):
        answer = ask(other, method, path, headers={"authorization": f"Bearer {posting}"})
        if not is_open(path):
            posts = (method, path) == ("POST", "/v1/tables/flights/rows")
            assert answer.status == (400 if posts else 401), (method, path)  # 400: there are no rows
    assert ask(other, "POST", "/v1/tables/flights/rows", headers={"authorization": "Bearer "}).status == 401
    for said, good in ((posting, True), ("", True), ("short", False), ("x" * 23, False), ("ü" * 30, False)):
        monkeypatch.setenv(POSTING, said)
        if good:
            assert posting_token() == said
        else:
            with pytest.raises(UserError, match="is no token") as refused:
                posting_token()
            assert said not in str(refused.value)


def test_without_the_token_nothing_opens(app):
    for path, method in every(app):
        answer = ask(app, method, path)
        if is_open(path):
            assert answer.status in (200, 405), (method, path)
        else:
            assert answer.status == 401, (method, path)
            assert answer.problem["title"] == "Unauthenticated"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong"},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer " + TOKEN[:-1]},
        {"authorization": "Bearer \xe9\xff"},
        {"cookie": f"other={TOKEN}"},
        {"cookie": "millstream-8310="},
        {"cookie": "=;;;millstream-8310"},
    ],
)
def test_what_is_not_the_token_is_not_the_token(app, headers):
    assert ask(app, "GET", "/board", headers=headers).status == 401


def test_an_address_with_a_token_opens_by_get_only(app):
    assert ask(app, "POST", f"/api/commands/status?token={TOKEN}").status == 401
    assert ask(app, "GET", "/?token=wrong", headers=AUTHORISED).status == 401
    opened = ask(app, "GET", f"/?token={TOKEN}")
    assert opened.status == 303
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert opened.headers["referrer-policy"] == "same-origin"
    kept = {"cookie": cookie.partition(";")[0]}
    assert ask(app, "GET", "/board", headers=kept).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:8311", "localhost:8310.evil.example", ""])
def test_a_foreign_host_is_refused_everywhere(app, host):
    for path, method in every(app):
        assert ask(app, method, path, headers={**AUTHORISED, "host": host}).status == 400, (method, path)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8310", "http://127.0.0.1:8311"])
def test_a_foreign_origin_cannot_act(app, opened, origin):
    before = opened.ledger.head()
    for path, method in every(app):
        answer = ask(app, method, path, headers={**AUTHORISED, "origin": origin})
        if method not in SAFE:
            assert answer.status == 403, (method, path)
    assert opened.ledger.head() == before


def test_its_own_origin_can_act(app):
    headers = {**AUTHORISED, "origin": "http://localhost:8310", "host": "localhost:8310"}
    assert ask(app, "POST", "/api/commands/status", headers=headers, body=b"{}").status == 200


def test_looking_changes_nothing(app, opened):
    before = opened.ledger.head(), opened.run("status")["decisions"]
    for path, method in every(app):
        if method in SAFE:
            assert ask(app, method, path, headers=AUTHORISED).status in (200, 405), (method, path)
    assert (opened.ledger.head(), opened.run("status")["decisions"]) == before


def test_there_are_no_websockets(app):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    asyncio.run(app({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_pages_carry_their_headers(app):
    for path in ("/", "/board"):
        headers = ask(app, "GET", path, headers=AUTHORISED).headers
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_person_without_the_token_gets_a_page(app):
    answer = ask(app, "GET", "/", headers={"accept": "text/html,*/*"})
    assert answer.status == 401
    assert b"This page needs its key" in answer.body
    assert TOKEN.encode() not in answer.body


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"not json", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b'{"model":' + b"9" * 900_000 + b"}", "not JSON"),
        (b"[]", "not an object"),
        (b'"late"', "not an object"),
        (b'{"a": "' + b"x" * (1 << 20) + b'"}', "larger than"),
        (b'{"model": 5}', "takes no model"),
        (b'{"actor": 5}', "Expected `str`, got `int`"),
        (b'{"actor": NaN}', "Expected `str`, got `float`"),
        (b'{"actor": null}', "Expected `str`, got `null`"),
    ],
)
def test_a_bad_body_is_told_what_is_wrong_with_it(app, body, says):
    answer = ask(app, "POST", "/api/commands/status", headers=AUTHORISED, body=body)
    assert answer.status == 400
    assert says in answer.problem["detail"]
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize(
    ("command", "arguments", "status", "says"),
    [
        ("aprove", {}, 404, "'approve'"),
        ("status", {"colour": "red"}, 400, "status takes no colour"),
        ("train", {}, 400, "train needs model"),
        ("audit", {"subject": "late@99"}, 404, "there is no release late@99"),
        ("rollback", {"model": "lat", "reason": "r"}, 404, "'late'"),
        ("approve", {"decision": "two"}, 400, "'two' is no decision"),
        ("approve", {"decision": 77}, 404, "77"),
        ("approve", {"decision": 2, "actor": "tina", "reason": "mine"}, 403, "cannot approve"),
        ("approve", {"decision": 2, "actor": "ada", "reason": " "}, 400, "the reason is empty"),
        ("approve", {"decision": 2, "actor": "", "reason": "why"}, 400, "the name of who decides is empty"),
    ],
)
def test_a_bad_command_is_told_what_is_wrong_with_it(app, command, arguments, status, says):
    answer = ask(app, "POST", f"/api/commands/{command}", headers=AUTHORISED, body=json.dumps(arguments).encode())
    assert answer.status == status
    problem = answer.problem
    assert problem["status"] == status
    assert says in f"{problem['detail']} {problem['expected']} {problem['do']}"


def test_nowhere_is_a_problem_too(app):
    assert ask(app, "GET", "/nowhere", headers=AUTHORISED).problem["status"] == 404
    assert ask(app, "GET", "/static/../board.py").status == 404
    assert ask(app, "GET", "/static/%2e%2e/board.py").status == 404
    assert ask(app, "DELETE", "/board", headers=AUTHORISED).problem["status"] == 405


def test_a_fault_of_ours_tells_no_inner_words(app):
    answer = ask(app, "POST", "/api/tick", headers=AUTHORISED, raises=True)
    assert answer.status == 500
    assert answer.problem["detail"] == "the control plane failed: RuntimeError"
    assert b"secret" not in answer.body


@pytest.mark.parametrize("body", [b"\xff", b"&" * 100, b"a=1&" * 30, b"reason=" + b"x" * 100_000, b""])
def test_a_bad_form_is_refused_in_words(app, body):
    answer = ask(app, "POST", "/approve/2", headers={**AUTHORISED, "hx-request": "true"}, body=body)
    assert answer.status == 400
    assert b'class="told bad"' in answer.body
