"""Both fronts hand the same request to a machine and the same answer to the client."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from syncd.sandbox.adapter import MachineAdapter
from syncd.sandbox.server import SandboxServer
from syncd.sandbox.wire import Delivery, LogEntry, Request, Response

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ANSWER = Response(
    status=201, headers={"content-type": "text/plain; charset=utf-8", "x-mark": "1"}, body="gruß".encode()
)


class Mirror:
    """A machine that keeps what it is asked and always says the same."""

    def __init__(self, answer: Response = ANSWER) -> None:
        self.log: list[LogEntry] = []
        self.asked: list[Request] = []
        self.answer = answer

    def handle(self, request: Request, now: datetime) -> Response:
        assert now == NOW
        self.asked.append(request)
        return self.answer

    def due(self, now: datetime) -> tuple[Delivery, ...]:
        return ()

    def delivered(self, delivery: Delivery, status: int | None, now: datetime) -> None:
        raise AssertionError("nothing was due")

    def next_due_at(self) -> datetime | None:
        return None

    def control(self, verb: str, arguments: Mapping[str, Any], now: datetime) -> Any:
        return {verb: dict(arguments)}


ASKED: list[Any] = [
    pytest.param(
        "GET", "/v0/app1/To%20do%2Fnow", {"params": [("f[]", "a b"), ("f[]", ""), ("q", 'x="1"')]}, id="query"
    ),
    pytest.param("POST", "/2.0/x", {"json": {"a": "ü"}}, id="json"),
    pytest.param("POST", "/2.0/x", {"data": {"a": "1"}}, id="form"),
    pytest.param("PUT", "/2.0/x", {"files": {"f": ("n.txt", b"content")}}, id="multipart"),
    pytest.param("PATCH", "/2.0/x", {"data": "text"}, id="text"),
    pytest.param("DELETE", "/", {}, id="root"),
]


@pytest.mark.parametrize(("method", "path", "arguments"), ASKED)
def test_machine_is_asked_alike_by_both_fronts(method: str, path: str, arguments: dict[str, Any]) -> None:
    mirror = Mirror()
    with SandboxServer(mirror, "127.0.0.1", 0, lambda: NOW) as server, requests.Session() as session:
        session.trust_env = False
        prepared = session.prepare_request(requests.Request(method, server.url + path, **arguments))
        answers = [session.send(prepared, timeout=5)]
        session.mount("http://", MachineAdapter(mirror, lambda: NOW))
        answers.append(session.send(prepared))
    real, short = mirror.asked
    # `connection` concerns the bare connection only, and an empty body is announced by http.client.
    headers = {name: value for name, value in real.headers.items() if name != "connection"}
    assert replace(real, headers=headers) == replace(
        short, headers={name: value for name, value in short.headers.items() if name != "connection"}
    )
    assert real.path == path
    for answer in answers:
        assert (answer.status_code, answer.text, answer.headers["X-Mark"]) == (201, "gruß", "1")


def test_https_is_told_as_a_terminating_proxy_would() -> None:
    mirror = Mirror()
    with requests.Session() as session:
        session.mount("https://", MachineAdapter(mirror, lambda: NOW))
        session.get("https://api.bitbucket.org/2.0/user")
    assert mirror.asked[0].headers["host"] == "api.bitbucket.org"
    assert mirror.asked[0].headers["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("status", [200, 204, 304], ids=str)
def test_answer_without_a_body_keeps_the_connection_in_step(status: int) -> None:
    mirror = Mirror(Response(status=status))
    with SandboxServer(mirror, "127.0.0.1", 0, lambda: NOW) as server, requests.Session() as session:
        session.trust_env = False
        assert [session.get(server.url, timeout=5).status_code for _ in range(3)] == [status] * 3


def test_redirect_is_followed_in_process() -> None:
    mirror = Mirror(Response(status=302, headers={"location": "https://elsewhere.example/x"}))
    other = Mirror()
    with requests.Session() as session:
        session.mount("https://api.bitbucket.org", MachineAdapter(mirror, lambda: NOW))
        session.mount("https://elsewhere.example", MachineAdapter(other, lambda: NOW))
        assert session.get("https://api.bitbucket.org/2.0/raw", timeout=5).text == "gruß"
    assert other.asked[0].path == "/x"


def test_streamed_answer_can_be_read_in_pieces() -> None:
    with requests.Session() as session:
        session.mount("https://", MachineAdapter(Mirror(), lambda: NOW))
        with session.get("https://api.bitbucket.org/2.0/diff", stream=True) as answer:
            assert b"".join(answer.iter_content(2)).decode() == "gruß"


def test_control_call_reaches_the_machine() -> None:
    with SandboxServer(Mirror(), "localhost", 0, lambda: NOW) as server:
        answer = requests.post(f"{server.url}/_sandbox/edit", json={"a": 1}, timeout=5)
    assert answer.json() == {"edit": {"a": 1}}
