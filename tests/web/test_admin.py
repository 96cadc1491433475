import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from syncd import errors
from syncd.web import admin, server
from syncd.web.control import Answer
from tests.web import listening
from tests.web.controlling import FakeControl
from tests.web.listening import ask, connect, read_answer

LOOPBACK = server.Address(host="127.0.0.1", port=0)


@dataclass
class Place:
    """A running admin listener."""

    control: FakeControl
    port: int

    def get(self, path: str, *headers: str, host: str | None = None) -> tuple[int, Any]:
        lines = [f"GET {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{self.port}'}", *headers]
        return self._send("\r\n".join(lines) + "\r\n\r\n")

    def post(self, path: str, body: str, *headers: str, content_type: str = "application/json") -> tuple[int, Any]:
        lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Content-Length: {len(body)}", *headers]
        lines += [f"Content-Type: {content_type}"] if content_type else []
        return self._send("\r\n".join(lines) + "\r\n\r\n" + body)

    def _send(self, request: str) -> tuple[int, Any]:
        status, headers, body = ask(self.port, request.encode("latin-1"))
        assert headers["cache-control"] == "no-store"
        return status, json.loads(body)


class Relay:
    """A control whose target the running test sets, so that one server serves all tests."""

    target: FakeControl

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


@pytest.fixture(scope="module")
def relay() -> Iterator[tuple[Relay, int]]:
    relay = Relay()
    with listening.serving(admin=admin.build(relay, LOOPBACK)) as where:
        yield relay, where["admin"]


@pytest.fixture
def place(relay: tuple[Relay, int]) -> Place:
    relay[0].target = FakeControl()
    return Place(relay[0].target, relay[1])


def test_health_asks_nobody_and_readiness_asks_the_daemon(place: Place) -> None:
    assert place.get("/healthz") == (200, {"alive": True})
    assert place.get("/readyz") == (200, {"ready": True, "reason": ""})
    place.control.is_ready = (False, "the first compare runs")
    assert place.get("/readyz") == (503, {"ready": False, "reason": "the first compare runs"})
    assert place.control.asked == []


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/status", ("status", ())),
        ("/conflicts", ("conflicts", (None,))),
        ("/conflicts?sync=features", ("conflicts", ("features",))),
        ("/journal", ("journal", (None, None, None, 0, 100))),
        ("/journal?sync=s&record=r&run=x&after=5&limit=7", ("journal", ("s", "r", "x", 5, 7))),
        ("/journal?limit=999999", ("journal", (None, None, None, 0, admin.JOURNAL_LIMIT_MAX))),
    ],
)
def test_reading_reaches_the_control(place: Place, path: str, asked: tuple[str, tuple[Any, ...]]) -> None:
    status, answer = place.get(path)
    assert (status, answer) == (200, place.control.answers[asked[0]])
    assert place.control.asked == [asked]


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("/plan", "", ("plan", (None,))),
        ("/plan", '{"sync": "features"}', ("plan", ("features",))),
        ("/apply", "{}", ("apply", (None, None, []))),
        ("/apply", '{"digest": "d", "accept": ["mass-change"]}', ("apply", (None, "d", ["mass-change"]))),
        ("/pause", '{"scope": "all", "reason": "deploy"}', ("pause", ("all", "deploy"))),
        ("/resume", '{"scope": "sync.x"}', ("resume", ("sync.x",))),
        (
            "/resolve",
            '{"sync": "s", "record": "r", "field": "f", "winner": "airtable"}',
            ("resolve", ("s", "r", "f", "airtable")),
        ),
        ("/hold", '{"sync": "s", "record": "r", "reason": "x"}', ("hold", ("s", "r", None, "x", None))),
        ("/unhold", '{"sync": "s", "record": "r", "field": "f"}', ("unhold", ("s", "r", "f"))),
        ("/compare", "{}", ("compare", (None,))),
        ("/reload", "", ("reload", ())),
    ],
)
def test_control_reaches_the_daemon(place: Place, path: str, body: str, asked: tuple[str, tuple[Any, ...]]) -> None:
    status, answer = place.post(path, body)
    assert (status, answer) == (200, place.control.answers.get(asked[0], {"done": asked[0]}))
    assert place.control.asked == [asked]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/pause", "{}", '"scope" is missing'),
        ("/pause", '{"scope": 1}', '"scope" must be a text'),
        ("/pause", '{"scpoe": "all", "scope": "all"}', '"scpoe" is not known'),
        ("/apply", '{"accept": "mass-change"}', '"accept" must be a list of texts'),
        ("/apply", '{"accept": [1]}', '"accept" must be a list of texts'),
        ("/apply", "[]", "the body is not a JSON object"),
        ("/apply", "{", "the body is not JSON"),
        ("/apply", "[" * 60_000, "the body is not JSON"),
        ("/hold", "{}", '"sync" is missing; "record" is missing; "reason" is missing'),
    ],
)
def test_a_request_that_is_not_as_expected_is_400_and_says_so(place: Place, path: str, body: str, message: str) -> None:
    status, answer = place.post(path, body)
    assert (status, answer["error"]["class"]) == (400, "UsageError")
    assert answer["error"]["message"].startswith(message)
    assert answer["error"]["next_step"]
    assert place.control.asked == []


@pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=1.5", "unknown=1"])
def test_a_query_that_is_not_as_expected_is_400(place: Place, query: str) -> None:
    assert place.get(f"/journal?{query}")[0] == 400


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.Refused("too many", next_step="look", largest=("rec1: 9",)), 409, "Refused"),
        (errors.UsageError("no such sync", next_step="syncd status"), 400, "UsageError"),
        (errors.StoreError("disk full"), 503, "StoreError"),
        (errors.StateInUse("held by another"), 503, "StateInUse"),
        (errors.Unreachable("down", service="bitbucket", request="GET /x"), 502, "Unreachable"),
        (
            errors.Throttled("wait", service="airtable", request="GET /x", retry_at=datetime(2026, 1, 1, tzinfo=UTC)),
            502,
            "Throttled",
        ),
        (errors.SyncdError("other"), 500, "SyncdError"),
    ],
)
def test_an_error_keeps_its_class_message_and_next_step(
    place: Place, error: errors.SyncdError, status: int, kind: str
) -> None:
    place.control.trouble["plan"] = error
    got, answer = place.post("/plan", "{}")
    assert got == status
    assert answer["error"]["class"] == kind
    assert answer["error"]["message"] == error.message
    assert answer["error"]["next_step"] == error.next_step
    assert answer["error"].get("largest") == (["rec1: 9"] if kind == "Refused" else None)


def test_an_invalid_spec_tells_every_problem(place: Place) -> None:
    problem = errors.Problem(file="a.toml", line=3, column=1, key="sync.x", got='"y"', expected="z")
    place.control.trouble["reload"] = errors.SpecError((problem,))
    status, answer = place.post("/reload", "{}")
    assert status == 400
    assert answer["error"]["problems"] == [
        {"file": "a.toml", "line": 3, "column": 1, "key": "sync.x", "got": '"y"', "expected": "z", "warning": False}
    ]


def test_a_bug_tells_nothing_and_the_listener_goes_on(place: Place) -> None:
    place.control.trouble["plan"] = RuntimeError("canary")
    status, answer = place.post("/plan", "{}")
    assert (status, answer["error"]["message"]) == (500, "unexpected error")
    assert place.get("/healthz")[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:PORT", 200),
        ("localhost:PORT", 200),
        ("LOCALHOST:PORT", 200),
        ("[::1]:PORT", 200),
        ("127.0.0.1", 403),
        ("127.0.0.1:1", 403),
        ("evil.example:PORT", 403),
        ("localhost.evil.example:PORT", 403),
        ("127.0.0.1:PORT@evil.example", 403),
    ],
)
def test_only_our_own_host_names_are_served(place: Place, host: str, status: int) -> None:
    assert place.get("/healthz", host=host.replace("PORT", str(place.port)))[0] == status


@pytest.mark.parametrize("headers", ["", "Host: 127.0.0.1:PORT\r\nHost: 127.0.0.1:PORT\r\n"], ids=["none", "two"])
def test_exactly_one_host_header_is_wanted(place: Place, headers: str) -> None:
    request = f"GET /healthz HTTP/1.1\r\n{headers.replace('PORT', str(place.port))}\r\n"
    assert ask(place.port, request.encode())[0] in (400, 403)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_post_that_a_foreign_page_could_send_is_refused(place: Place, content_type: str) -> None:
    assert place.post("/apply", "{}", content_type=content_type)[0] == 415
    assert place.control.asked == []


def test_json_with_a_charset_is_json(place: Place) -> None:
    assert place.post("/apply", "{}", content_type="application/json; charset=utf-8")[0] == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://127.0.0.1:PORT", 200), ("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403)],
)
def test_a_post_from_another_origin_is_refused(place: Place, origin: str, status: int) -> None:
    assert place.post("/apply", "{}", "Origin: " + origin.replace("PORT", str(place.port)))[0] == status


@pytest.mark.parametrize(
    ("request_line", "status"),
    [("GET /", 404), ("GET /apply", 405), ("GET /nothing", 404), ("GET /hooks/bitbucket/e1", 404)],
)
def test_what_is_not_there_is_said_as_json(place: Place, request_line: str, status: int) -> None:
    got, answer = place.get(request_line.split(" ")[1])
    assert got == status
    assert answer["error"]["message"]


def test_a_body_over_64_kib_is_413(place: Place) -> None:
    head = f"POST /apply HTTP/1.1\r\nHost: 127.0.0.1:{place.port}\r\nContent-Type: application/json\r\n"
    assert ask(place.port, f"{head}Content-Length: {admin.BODY_BYTES_MAX + 1}\r\n\r\n".encode())[0] == 413


def test_a_slow_or_hanging_request_holds_up_nobody(place: Place) -> None:
    release = threading.Event()
    original = place.control.plan

    def hanging(sync: str | None) -> Answer:
        assert release.wait(20)
        return original(sync)

    place.control.plan = hanging  # type: ignore[method-assign]  # this test's control hangs
    with connect(place.port) as slow, connect(place.port) as planning:
        slow.sendall(b"POST /apply HTTP/1.1\r\nHost:")
        head = f"POST /plan HTTP/1.1\r\nHost: 127.0.0.1:{place.port}\r\nContent-Type: application/json\r\n"
        planning.sendall(head.encode() + b"Content-Length: 2\r\n\r\n{}")
        assert place.get("/healthz")[0] == 200
        assert place.get("/status")[0] == 200
        release.set()
        assert read_answer(planning)[0] == 200


def test_values_from_cells_cannot_break_the_answer(place: Place) -> None:
    place.control.answers["status"] = {"state": "ok", "reasons": ["\ud800 \u202e \x00"]}
    status, answer = place.get("/status")
    assert (status, answer["reasons"]) == (200, ["\ud800 \u202e \x00"])


@pytest.mark.parametrize("text", ["0.0.0.0:8484", "[::]:8484", "10.0.0.5:8484", "host.example:8484"])
def test_an_address_that_others_reach_needs_a_token(text: str) -> None:
    address = server.parse_address(text)
    with pytest.raises(errors.UsageError, match="no token protects it"):
        admin.build(FakeControl(), address)
    admin.build(FakeControl(), address, token="t")


def test_with_a_token_everything_but_health_asks_for_it() -> None:
    with listening.serving(admin=admin.build(FakeControl(), LOOPBACK, token="s3cret")) as where:
        place = Place(FakeControl(), where["admin"])
        assert place.get("/healthz")[0] == 200
        assert place.get("/status")[0] == 401
        for wrong in ("Bearer nope", "Bearer ", "s3cret", "Basic s3cret", "Bearer s3cre\xff"):
            assert place.get("/status", f"Authorization: {wrong}")[0] == 401
        assert place.get("/status", "Authorization: Bearer s3cret")[0] == 200
        assert place.post("/apply", "{}")[0] == 401
        assert place.post("/apply", "{}", "Authorization: Bearer s3cret")[0] == 200


def test_a_unix_socket_serves_whatever_the_host_header_says(tmp_path: Path) -> None:
    address = server.Address(path=str(tmp_path / "admin.sock"))
    listeners = server.Listeners(
        [server.Listener(name="admin", address=address, app=admin.build(FakeControl(), address))]
    )
    listeners.start()
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address.path)
            connection.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_answer(connection)[0] == 200
    finally:
        listeners.stop()
