"""The guarded session over real loopback connections (reference/reliability.md AT01-AT07, BB08, BB13, NE01-NE05)."""

import base64
import gzip
import io
import json
import socket
import ssl
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter

from syncd import errors, transport
from tests import wire_stand
from tests.wire_stand import STARTED_AT, HandClock, NotingGate, RawServer, hangs_up, says, sends

TOKEN = "canary-7f3a-token"
QUERY = "canary-in-the-query"
BODY = "canary-in-the-body"


def explain(status: int, body: Any) -> tuple[str, str]:
    match body:
        case {"error": {"type": str(code), "message": str(text)}}:
            return code, text
    return "", ""


def open_to(
    url: str,
    *,
    clock: HandClock | None = None,
    gate: NotingGate | None = None,
    paused: transport.Paused = transport.never_paused,
    adapter: BaseAdapter | None = None,
) -> transport.GuardedSession:
    ticking = clock or HandClock()
    session = transport.open_session(
        service="airtable",
        base_url=url,
        gate=gate or NotingGate(ticking),
        clock=ticking,
        explain=explain,
        user_agent="syncd-test",
        reads=lambda method, path: method == "GET" or path.endswith("/listRecords"),
        paused=paused,
        adapter=adapter,
    )
    session.headers["Authorization"] = f"Bearer {TOKEN}"
    return session


def read(session: requests.Session, url: str) -> requests.Response:
    return session.get(f"{url}/v0/thing", params={"q": QUERY})


def change(session: requests.Session, url: str) -> requests.Response:
    return session.patch(f"{url}/v0/thing", params={"q": QUERY}, json={"text": BODY})


def refused(code: str) -> str:
    return json.dumps({"error": {"type": code, "message": f"the token {TOKEN} will not do"}})


def everything_said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(vars(error))


# --------------------------------------------------------------------------------------------------------- statuses


@pytest.mark.parametrize(
    ("status", "when_reading", "when_changing"),
    [
        (400, errors.Rejected, errors.Rejected),
        (401, errors.Unauthorised, errors.Unauthorised),
        (403, errors.Unauthorised, errors.Unauthorised),
        (404, errors.Gone, errors.Gone),
        (408, errors.Unreachable, errors.Unclear),
        (409, errors.Rejected, errors.Rejected),
        (410, errors.Gone, errors.Gone),
        (413, errors.Rejected, errors.Rejected),
        (418, errors.Rejected, errors.Rejected),
        (422, errors.Rejected, errors.Rejected),
        (429, errors.Throttled, errors.Throttled),
        (500, errors.Unreachable, errors.Unclear),
        (502, errors.Unreachable, errors.Unclear),
        (503, errors.Unreachable, errors.Unclear),
        (504, errors.Unreachable, errors.Unclear),
        (555, errors.Unreachable, errors.Unclear),
        (300, errors.Unreachable, errors.Unclear),
        (304, errors.Unreachable, errors.Unclear),
    ],
)
@pytest.mark.parametrize("body", ["", "<html>down</html>", refused("SOME_CODE")], ids=["empty", "html", "json"])
def test_each_status_becomes_one_kind_of_error(
    status: int, when_reading: type[errors.ServiceError], when_changing: type[errors.ServiceError], body: str
) -> None:
    if status == 304:
        body = ""
    code = "SOME_CODE" if body.startswith("{") and status >= 400 else ""
    for act, kind in ((read, when_reading), (change, when_changing)):
        with RawServer(says(body, status)) as server, pytest.raises(errors.ServiceError) as caught:
            act(open_to(server.url), server.url)
        error = caught.value
        assert type(error) is kind
        assert (error.service, error.status, error.code) == ("airtable", status, code)
        assert error.request.endswith(" /v0/thing")
        assert len(server.requests) == 1
        assert_silent_about_secrets(error)


def assert_silent_about_secrets(error: BaseException) -> None:
    said = everything_said(error)
    for canary in (TOKEN, QUERY, BODY):
        assert canary not in said


def test_the_service_text_is_kept_short_and_without_the_token() -> None:
    text = json.dumps({"error": {"type": "X", "message": f"{TOKEN}\x1b[31m\n" + "a" * 5000}})
    with RawServer(says(text, 422)) as server, pytest.raises(errors.Rejected) as caught:
        read(open_to(server.url), server.url)
    assert caught.value.detail.startswith("[removed] [31m aaa")
    assert len(caught.value.detail) == 300


def test_an_answered_read_is_given_as_it_is() -> None:
    with RawServer(says('\ufeff{"name": "ü"}')) as server:
        answer = read(open_to(server.url), server.url)
    assert answer.json() == {"name": "ü"}
    assert b"Authorization: Bearer " + TOKEN.encode() in server.requests[0]
    assert b"User-Agent: syncd-test" in server.requests[0]


def test_a_change_may_be_answered_without_a_body() -> None:
    with RawServer(says("", 204)) as server:
        assert change(open_to(server.url), server.url).status_code == 204


# ------------------------------------------------------------------------------------------------------------- gate


def test_every_request_is_charged_and_every_answer_observed() -> None:
    gate = NotingGate(HandClock())
    with RawServer(says("{}", X_Left="7"), says("{}"), says(refused("BAD"), 422)) as server:
        session = open_to(server.url, gate=gate)
        read(session, server.url)
        session.post(f"{server.url}/v0/thing/listRecords", json={})
        with pytest.raises(errors.Rejected):
            change(session, server.url)
    assert gate.charged == [False, False, True]
    assert gate.observed == [(200, ""), (200, ""), (422, "BAD")]
    assert gate.headers[0]["X-Left"] == "7"


def test_nothing_is_sent_when_the_gate_is_shut() -> None:
    gate = NotingGate(HandClock(), closed_until=STARTED_AT + timedelta(seconds=9))
    with RawServer(says("{}")) as server, pytest.raises(errors.Throttled) as caught:
        read(open_to(server.url, gate=gate), server.url)
    assert caught.value.retry_at == gate.closed_until
    assert server.requests == []


def test_a_429_is_followed_by_silence_until_the_gate_opens() -> None:
    clock = HandClock()
    gate = NotingGate(clock)
    with RawServer(says(refused("RATE_LIMIT_REACHED"), 429), says("{}")) as server:
        session = open_to(server.url, clock=clock, gate=gate)
        for _ in range(3):
            with pytest.raises(errors.Throttled) as caught:
                change(session, server.url)
            assert caught.value.retry_at == STARTED_AT + timedelta(seconds=30)
            assert not caught.value.until_month
        assert len(server.requests) == 1
        clock.move(30)
        read(session, server.url)
    assert len(server.requests) == 2


def test_the_monthly_quota_is_told_apart_by_its_code() -> None:
    with (
        RawServer(says(refused("PUBLIC_API_BILLING_LIMIT_EXCEEDED"), 429)) as server,
        pytest.raises(errors.Throttled) as caught,
    ):
        read(open_to(server.url), server.url)
    assert caught.value.until_month


# ----------------------------------------------------------------------------------------------------- broken answers

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(says("<html>log in</html>", Content_Type="text/html"), id="html"),
        pytest.param(says('{"records": ['), id="cut json"),
        pytest.param(says('{"a": NaN}'), id="not a number"),
        pytest.param(says("[" * 100_000), id="deep nesting"),
        pytest.param(says(b'{"a": "\xff"}'), id="not utf-8"),
        pytest.param(says("null"), id="null"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"), id="shorter than promised"),
        pytest.param(sends(CHUNKED + b"2\r\n{}\r\n"), id="chunks without an end"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), id="no gzip"),
        pytest.param(hangs_up, id="no answer"),
        pytest.param(sends(b"garbage\r\n\r\n"), id="no http"),
    ],
)
def test_a_broken_answer_is_a_failed_read_and_an_unclear_change(script: wire_stand.Script) -> None:
    for act, kind in ((read, errors.Unreachable), (change, errors.Unclear)):
        with RawServer(script, says("{}")) as server, pytest.raises(errors.ServiceError) as caught:
            act(open_to(server.url), server.url)
        assert type(caught.value) is kind
        assert len(server.requests) == 1
        assert_silent_about_secrets(caught.value)


@pytest.mark.parametrize(
    "script", [says(""), says(" \n"), sends(b"HTTP/1.1 200")], ids=["empty", "blank", "half a line"]
)
def test_an_empty_answer_is_a_failed_read(script: wire_stand.Script) -> None:
    with RawServer(script) as server, pytest.raises(errors.Unreachable):
        read(open_to(server.url), server.url)


def test_chunks_and_compression_are_read_whole() -> None:
    packed = gzip.compress(b'{"a": "' + b"x" * 200_000 + b'"}')
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(packed[i : i + 50]), packed[i : i + 50]) for i in range(0, len(packed), 50)
    )
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    with RawServer(sends(head + chunks + b"0\r\n\r\n")) as server:
        assert len(read(open_to(server.url), server.url).json()["a"]) == 200_000


def test_a_trickling_answer_ends_at_the_deadline() -> None:
    """Each byte keeps the read time-out alive; only our own clock ends it (AT05)."""
    clock = HandClock(step_s=65.0)

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        connection.recv(1)  # until the client has had enough

    for act, kind in ((read, errors.Unreachable), (change, errors.Unclear)):
        with RawServer(trickle) as server, pytest.raises(kind, match="60 s"):
            act(open_to(server.url, clock=clock), server.url)


def test_an_endless_answer_ends_at_the_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BODY_BYTES_MAX", 1000)
    with RawServer(says('"' + "x" * 5000 + '"')) as server, pytest.raises(errors.Unreachable, match="larger"):
        read(open_to(server.url), server.url)


# ------------------------------------------------------------------------------------------------------ connections


def test_a_refused_connection_means_nothing_was_sent() -> None:
    url = f"http://127.0.0.1:{wire_stand.free_port()}"
    for act in (read, change):
        with pytest.raises(errors.Unreachable) as caught:
            act(open_to(url), url)
        assert caught.value.code == "NO_CONNECTION"
        assert_silent_about_secrets(caught.value)


def test_a_name_that_does_not_resolve_means_nothing_was_sent() -> None:
    url = "http://nowhere.invalid"
    for act in (read, change):
        with pytest.raises(errors.Unreachable) as caught:
            act(open_to(url), url)
        assert caught.value.code == "NO_CONNECTION"


def test_a_failed_handshake_never_falls_back_to_plain_http() -> None:
    with RawServer(says("{}"), says("{}")) as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(errors.Unreachable):
            open_to(url).get(f"{url}/v0/thing", verify=False)
    assert not any(request.startswith(b"GET") for request in server.requests)


class _Raising(BaseAdapter):
    """A network that fails in one way."""

    def __init__(self, failure: Callable[[], Exception]) -> None:
        super().__init__()
        self.failure = failure
        self.seen: list[dict[str, Any]] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.seen.append(kwargs)
        raise self.failure()

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("failure", "surely_not_sent"),
    [
        (lambda: requests.ConnectTimeout(f"…?q={QUERY}"), True),
        (lambda: requests.ReadTimeout(f"…?q={QUERY}"), False),
        (lambda: requests.ConnectionError(ConnectionResetError(f"…?q={QUERY}")), False),
        (lambda: requests.exceptions.SSLError(f"…?q={QUERY}"), False),
        (lambda: requests.exceptions.SSLError(ssl.SSLCertVerificationError("expired")), True),
        (lambda: ConnectionResetError(f"…?q={QUERY}"), False),
    ],
    ids=["connect time-out", "read time-out", "reset", "tls breaks off", "certificate refused", "bare reset"],
)
def test_a_change_is_unclear_unless_it_surely_was_not_sent(
    failure: Callable[[], Exception], surely_not_sent: bool
) -> None:
    adapter = _Raising(failure)
    session = open_to("https://api.airtable.com", adapter=adapter)
    with pytest.raises(errors.ServiceError) as caught:
        change(session, "https://api.airtable.com")
    assert type(caught.value) is (errors.Unreachable if surely_not_sent else errors.Unclear)
    assert_silent_about_secrets(caught.value)
    with pytest.raises(errors.Unreachable):
        read(session, "https://api.airtable.com")
    assert len(adapter.seen) == 2


def test_the_library_cannot_loosen_the_settings() -> None:
    adapter = _Raising(requests.ConnectTimeout)
    session = open_to("https://api.airtable.com", adapter=adapter)
    with pytest.raises(errors.Unreachable):
        session.get("https://api.airtable.com/x", verify=False, timeout=75, proxies={"https": "http://evil"})
    (seen,) = adapter.seen
    assert seen["verify"] is True
    assert seen["timeout"] == (5.0, 30.0)
    assert not seen["proxies"]


# ----------------------------------------------------------------------------------------------------- other hosts

ELSEWHERE = [
    "https://evil.example/v0/thing",
    "http://api.airtable.com/v0/thing",
    "https://api.airtable.com:444/v0/thing",
    "https://api.airtable.com.evil.example/v0/thing",
    f"https://user:{QUERY}@api.airtable.com/v0/thing",
    f"https://api.airtable.com@evil.example/{QUERY}",
    f"https://[::1/{QUERY}",
    f"/v0/{QUERY}",
]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_nothing_leaves_for_another_host(url: str) -> None:
    adapter = _Raising(AssertionError)
    gate = NotingGate(HandClock())
    session = open_to("https://api.airtable.com", adapter=adapter, gate=gate)
    for method in ("GET", "PATCH"):
        with pytest.raises(errors.Unreachable) as caught:
            session.request(method, url, params={"q": QUERY})
        assert_silent_about_secrets(caught.value)
    assert adapter.seen == []
    assert gate.charged == []


def test_a_read_follows_a_redirect_on_its_own_host_only() -> None:
    gate = NotingGate(HandClock())
    with RawServer(says("", 302, Location="/v0/other?x=1"), says('{"a": 1}')) as server:
        assert read(open_to(server.url, gate=gate), server.url).json() == {"a": 1}
    assert server.requests[1].startswith(b"GET /v0/other?x=1 HTTP")
    assert TOKEN.encode() in server.requests[1]
    assert gate.charged == [False, False]
    with RawServer(says("{}")) as evil, RawServer(says("", 302, Location=evil.url)) as server:
        with pytest.raises(errors.Unreachable) as caught:
            read(open_to(server.url), server.url)
        assert caught.value.code == "WRONG_HOST"
        assert evil.requests == []


class _Left(io.BytesIO):
    """A body that knows how far it was read when it was closed."""

    left_at = 0

    def close(self) -> None:
        self.left_at = self.left_at if self.closed else self.tell()
        super().close()


class _Answering(BaseAdapter):
    """A network that gives one answer."""

    def __init__(self, answer: urllib3.HTTPResponse) -> None:
        super().__init__()
        self.answer = answer

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        built: requests.Response = HTTPAdapter().build_response(request, self.answer)
        return built

    def close(self) -> None:
        pass


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["http://[::1", "http://*.example/", "http://a:b/", "//["])
def test_a_redirect_to_no_address_is_a_failed_read_and_an_unclear_change(status: int, location: str) -> None:
    for act, kind in ((read, errors.Unreachable), (change, errors.Unclear)):
        with RawServer(
            sends(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n".encode("latin-1"))
        ) as server:
            with pytest.raises(errors.ServiceError) as caught:
                act(open_to(server.url), server.url)
            assert len(server.requests) == 1
        assert type(caught.value) is kind
        assert_silent_about_secrets(caught.value)


def test_the_body_of_a_redirect_is_bounded_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base class would read it whole to look where it leads."""
    monkeypatch.setattr(transport, "BODY_BYTES_MAX", 100_000)
    whole = _Left(b"x" * 5_000_000)
    answer = urllib3.HTTPResponse(body=whole, status=302, headers={"location": "/v0/other"}, preload_content=False)
    with pytest.raises(errors.Gone):
        change(open_to("http://127.0.0.1:1", adapter=_Answering(answer)), "http://127.0.0.1:1")
    assert whole.left_at < 500_000


def test_redirects_that_never_end_are_a_failed_read() -> None:
    with RawServer(*[says("", 302, Location="/v0/thing")] * 9) as server, pytest.raises(errors.Unreachable):
        read(open_to(server.url), server.url)
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_change_follows_no_redirect(status: int) -> None:
    with RawServer(says("", status, Location="/v0/other"), says("{}")) as server, pytest.raises(errors.Gone) as caught:
        change(open_to(server.url), server.url)
    assert (len(server.requests), caught.value.code) == (1, "REDIRECTED")


def test_a_change_that_is_answered_elsewhere_is_unclear() -> None:
    with RawServer(says("", 303, Location="/v0/other")) as server, pytest.raises(errors.Unclear):
        change(open_to(server.url), server.url)


# ------------------------------------------------------------------------------------------------------- kill switch


def test_the_switch_is_asked_after_the_last_wait_and_holds_only_changes() -> None:
    clock = HandClock()
    gate = NotingGate(clock)
    asked: list[int] = []

    def paused() -> str:
        asked.append(len(gate.charged))
        return "stop"

    with RawServer(says("{}")) as server:
        session = open_to(server.url, clock=clock, gate=gate, paused=paused)
        with pytest.raises(errors.Paused) as caught:
            change(session, server.url)
        assert asked == [1], "it is asked when the gate has let the request through"
        assert server.requests == []
        read(session, server.url)
        assert asked == [1]
    assert caught.value.message == "paused: stop; nothing was sent"


# ------------------------------------------------------------------------------------------------------- credentials


def test_netrc_proxies_and_cookies_of_the_environment_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login robber password loot\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{wire_stand.free_port()}")
    with RawServer(says("{}", Set_Cookie="session=1"), says("{}")) as server:
        session = open_to(server.url)
        read(session, server.url)
        read(session, server.url)
    for request in server.requests:
        assert b"Authorization: Bearer " + TOKEN.encode() in request
        assert b"Cookie" not in request


@pytest.mark.parametrize(
    "token", [f"{TOKEN}\n", f"{TOKEN}\r\nX-Evil: 1", f"{TOKEN}ü", f"{TOKEN}\u2028", f"{TOKEN}\x00"]
)
def test_a_credential_that_cannot_be_sent_is_refused_without_quoting_it(token: str) -> None:
    adapter = _Raising(AssertionError)
    session = open_to("https://api.airtable.com", adapter=adapter)
    session.headers["Authorization"] = f"Bearer {token}"
    with pytest.raises(errors.Unauthorised) as caught:
        read(session, "https://api.airtable.com")
    assert_silent_about_secrets(caught.value)
    assert adapter.seen == []


def test_a_quoted_password_of_basic_authentication_is_removed() -> None:
    text = json.dumps({"error": {"type": "X", "message": "no user with password hunter22"}})
    with RawServer(says(text, 401)) as server:
        session = open_to(server.url)
        session.headers["Authorization"] = "Basic " + base64.b64encode(b"me:hunter22").decode()
        with pytest.raises(errors.Unauthorised) as caught:
            read(session, server.url)
    assert "hunter22" not in everything_said(caught.value)


@pytest.mark.parametrize("url", ["", "ftp://x/", "https://", "https://me:secret@api.airtable.com"])
def test_a_base_url_must_be_a_plain_http_address(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        open_to(url)
    assert "secret" not in str(caught.value)
