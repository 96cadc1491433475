import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from syncd import errors
from syncd.web import hooks, server
from tests.web import listening
from tests.web.listening import FakeReceiver, StillClock, ask, connect, post, read_answer, signature, signed

MIB = 1_048_576
LIMITS = hooks.Limits(body_wait_s=0.3, ack_wait_s=0.3, capacity=8)


@dataclass
class Place:
    """A running public listener."""

    receiver: FakeReceiver
    app: hooks.Hooks
    port: int


class Switchboard:
    """Hands requests to the application of the test that runs: starting a server for each would cost 0.2 s."""

    target: hooks.Hooks

    async def __call__(self, scope: hooks.Scope, receive: hooks.Receive, send: hooks.Send) -> None:
        await self.target(scope, receive, send)


@pytest.fixture(scope="module")
def switchboard() -> Iterator[tuple[Switchboard, int]]:
    board = Switchboard()
    with listening.serving(hooks=board) as where:
        yield board, where["hooks"]


@pytest.fixture
def place(switchboard: tuple[Switchboard, int]) -> Iterator[Place]:
    board, port = switchboard
    receiver = FakeReceiver()
    app = board.target = hooks.build(receiver, StillClock(), limits=LIMITS)
    yield Place(receiver, app, port)
    app.close()


@pytest.mark.parametrize("path", ["/hooks/bitbucket/e1", "/hooks/airtable/e1"])
def test_a_signed_delivery_is_durable_before_the_empty_200(place: Place, path: str) -> None:
    status, headers, body = ask(place.port, signed(b'{"a": 1}', path=path))
    assert (status, body, headers["content-length"]) == (200, b"", "0")
    (saved,) = place.receiver.saved
    assert (saved.endpoint, saved.body, saved.received_at) == ("e1", b'{"a": 1}', listening.NOW)


def test_only_the_four_headers_that_name_the_delivery_are_kept(place: Place) -> None:
    request = signed(
        b"{}",
        "X-Event-Key: repo:push",
        "X-Hook-UUID: u1",
        "X-Request-UUID: r1",
        "X-Attempt-Number: 2",
        "Authorization: Bearer hidden",
        "Cookie: a=b",
        "User-Agent: Bitbucket-Webhooks/2.0",
    )
    assert ask(place.port, request)[0] == 200
    assert place.receiver.saved[0].headers == {
        "x-event-key": "repo:push",
        "x-hook-uuid": "u1",
        "x-request-uuid": "r1",
        "x-attempt-number": "2",
    }


@pytest.mark.parametrize(
    "body",
    [b"not json", b'{"a": NaN}', b'{"a":1,"a":2}', b'"\\ud800"', b"\x1f\x8b\x08gzip", b"[" * 100_000, b"a=1&b=2", b""],
    ids=["text", "nan", "doubled key", "surrogate", "gzip", "deep", "form", "empty"],
)
def test_a_signed_body_that_nobody_can_read_is_still_taken(place: Place, body: bytes) -> None:
    """BW10: a 4xx would never be sent again; the daemon quarantines and shows it."""
    assert ask(place.port, signed(body))[0] == 200
    assert place.receiver.saved[0].body == body


GOOD = signature(b"{}")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["X-Hub-Signature: sha256=" + "0" * 64],
        ["X-Hub-Signature: " + GOOD.upper()],
        ["X-Hub-Signature: sha1=" + "0" * 40],
        ["X-Hub-Signature:"],
        ["X-Hub-Signature: " + GOOD, "X-Hub-Signature: " + GOOD],
        ["X-Hub-Signature: " + GOOD, "x-hub-signature: sha256=" + "0" * 64],
        ["X-Hub-Signature: \xff\xfe"],
    ],
    ids=["none", "wrong", "upper case", "sha1", "empty", "doubled", "doubled, one wrong", "not ASCII"],
)
def test_a_delivery_that_is_not_signed_as_it_must_be_is_401_and_not_stored(place: Place, headers: list[str]) -> None:
    status, answered, body = ask(place.port, post("/hooks/bitbucket/e1", b"{}", *headers))
    assert (status, body) == (401, b"")
    assert set(answered) == {"date", "content-length"}
    assert place.receiver.saved == []


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /hooks/bitbucket/e1",
        "HEAD /hooks/bitbucket/e1",
        "OPTIONS /hooks/bitbucket/e1",
        "PUT /hooks/bitbucket/e1",
        "DELETE /hooks/bitbucket/e1",
        "POST /hooks/bitbucket/e2",
        "POST /hooks/bitbucket/",
        "POST /hooks/bitbucket/e1/",
        "POST /hooks/bitbucket/e1/more",
        "POST /hooks/gitlab/e1",
        "POST /hooks/bitbucket/..%2fe1",
        "POST /hooks/bitbucket/e1%00",
        "POST /hooks/bitbucket/e1%0A",
        "POST /status",
        "GET /",
        "GET /healthz",
        "GET /metrics",
        "POST //hooks/bitbucket/e1",
    ],
)
def test_everything_else_is_the_same_404(place: Place, request_line: str) -> None:
    head = f"{request_line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-Hub-Signature: {signature(b'')}\r\n\r\n"
    status, headers, body = ask(place.port, head.encode())
    assert (status, body) == (404, b"")
    assert set(headers) == {"date", "content-length", "connection"}
    assert place.receiver.verified == 0


def test_an_unknown_endpoint_answers_like_a_known_path_with_a_wrong_method(place: Place) -> None:
    unknown = ask(place.port, post("/hooks/bitbucket/nobody", b"{}"))
    wrong = ask(place.port, b"GET /hooks/bitbucket/e1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [unknown[0], unknown[2], set(unknown[1])] == [wrong[0], wrong[2], set(wrong[1])]


def test_an_announced_body_over_the_limit_is_413_before_any_of_it_is_sent(place: Place) -> None:
    head = f"POST /hooks/bitbucket/e1 HTTP/1.1\r\nHost: x\r\nContent-Length: {10_000 * MIB}\r\n\r\n"
    status, headers, body = ask(place.port, head.encode())
    assert (status, headers["connection"], body) == (413, "close", b"")


def test_a_chunked_body_over_the_limit_is_413_while_it_is_read(place: Place) -> None:
    with connect(place.port) as connection:
        connection.sendall(b"POST /hooks/bitbucket/e1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"%x\r\n" % (MIB + 1) + b"a" * (MIB + 1))
        status, _, body = read_answer(connection)
    assert (status, body) == (413, b"")
    assert place.receiver.verified == 0


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB])
def test_a_body_up_to_the_limit_is_taken_also_in_chunks(place: Place, size: int) -> None:
    body = b"x" * size
    head = f"POST /hooks/bitbucket/e1 HTTP/1.1\r\nHost: x\r\nX-Hub-Signature: {signature(body)}\r\n"
    chunk = b"%x\r\n" % size + body + b"\r\n" if size else b""
    assert ask(place.port, head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n")[0] == 200
    assert ask(place.port, signed(body))[0] == 200
    assert [one.body for one in place.receiver.saved] == [body, body]


def test_a_body_that_does_not_come_in_time_is_408(place: Place) -> None:
    with connect(place.port) as connection:
        connection.sendall(b"POST /hooks/bitbucket/e1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        status, headers, body = read_answer(connection)
        assert (status, headers["connection"], body) == (408, "close", b"")
        assert connection.recv(1) == b""


def test_a_sender_that_goes_away_frees_its_place(place: Place) -> None:
    for _ in range(LIMITS.capacity + 4):
        with connect(place.port) as connection:
            connection.sendall(b"POST /hooks/bitbucket/e1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
    # The last of them may still be noticed: a good request is answered once they are.
    assert _until_not(503, lambda: ask(place.port, signed(b"{}"))[0]) == 200
    assert place.receiver.verified == 1


def _until_not(unwanted: int, attempt: Callable[[], int]) -> int:
    for _ in range(200):
        status = attempt()
        if status != unwanted:
            return status
    return unwanted


@pytest.mark.parametrize(
    "error", [errors.StoreError("disk full"), RuntimeError("a bug")], ids=["store error", "unexpected"]
)
def test_a_state_that_cannot_be_written_is_503_and_the_writer_lives_on(place: Place, error: Exception) -> None:
    """BW19: 503, never 2xx; Bitbucket repeats it."""
    place.receiver.broken = error
    status, _, body = ask(place.port, signed(b"{}"))
    assert (status, body) == (503, b"")
    place.receiver.broken = None
    assert ask(place.port, signed(b"{}"))[0] == 200


def test_a_commit_that_hangs_is_answered_503_before_the_sender_gives_up(place: Place) -> None:
    place.receiver.gate = threading.Event()
    try:
        assert ask(place.port, signed(b"{}"))[0] == 503
    finally:
        place.receiver.gate.set()


def test_above_capacity_the_answer_is_503_at_once() -> None:
    receiver = FakeReceiver(gate=threading.Event())
    assert receiver.gate is not None
    app = hooks.build(receiver, StillClock(), limits=hooks.Limits(capacity=3))
    with listening.serving(hooks=app) as where:
        waiting = [connect(where["hooks"]) for _ in range(3)]
        for connection in waiting:
            connection.sendall(signed(b"{}"))
        assert _until(lambda: receiver.verified == 3)
        assert ask(where["hooks"], signed(b"{}"))[0] == 503
        receiver.gate.set()
        assert [read_answer(connection)[0] for connection in waiting] == [200, 200, 200]
        for connection in waiting:
            connection.close()
        assert ask(where["hooks"], signed(b"{}"))[0] == 200
    app.close()


def _until(condition: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(condition() or pause.wait(0.01) for _ in range(1_000))


def test_bodies_together_are_bounded_too() -> None:
    receiver = FakeReceiver()
    app = hooks.build(receiver, StillClock(), limits=hooks.Limits(held_bytes_max=100))
    with listening.serving(hooks=app) as where:
        with connect(where["hooks"]) as slow:
            slow.sendall(b"POST /hooks/bitbucket/e1 HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n" + b"x" * 80)
            assert _until(lambda: ask(where["hooks"], signed(b"y" * 30))[0] == 503)
        assert _until(lambda: ask(where["hooks"], signed(b"y" * 30))[0] == 200)
    app.close()


def test_deliveries_that_arrive_together_share_a_commit() -> None:
    receiver = FakeReceiver(gate=threading.Event())
    assert receiver.gate is not None
    app = hooks.build(receiver, StillClock())
    with listening.serving(hooks=app) as where:
        bodies = [str(number).encode() for number in range(60)]
        with ThreadPoolExecutor(60) as pool:
            answers = [pool.submit(ask, where["hooks"], signed(body)) for body in bodies]
            assert _until(lambda: receiver.verified == 60)
            receiver.gate.set()
            assert [answer.result()[0] for answer in answers] == [200] * 60
    assert sorted(one.body for one in receiver.saved) == sorted(bodies)
    # The first commit held the rest back; they gathered behind it.
    assert len(receiver.groups) <= 3
    app.close()


def test_one_connection_may_carry_many_deliveries_also_at_once(place: Place) -> None:
    with connect(place.port) as connection:
        for number in range(3):
            connection.sendall(signed(str(number).encode()))
            assert read_answer(connection)[0] == 200
        connection.sendall(signed(b"3") + signed(b"4"))
        assert _until(lambda: len(place.receiver.saved) == 5)
    assert [one.body for one in place.receiver.saved] == [b"0", b"1", b"2", b"3", b"4"]


def test_closing_commits_what_was_taken_and_refuses_the_rest() -> None:
    receiver = FakeReceiver()
    app = hooks.build(receiver, StillClock())
    with listening.serving(hooks=app) as where:
        assert ask(where["hooks"], signed(b"{}"))[0] == 200
        app.close()
        app.close()
        assert ask(where["hooks"], signed(b"{}"))[0] == 503
    assert len(receiver.saved) == 1


def test_answers_are_counted_by_status(place: Place) -> None:
    ask(place.port, signed(b"{}"))
    ask(place.port, post("/hooks/bitbucket/e1", b"{}"))
    ask(place.port, post("/elsewhere", b""))
    assert place.app.counts == {200: 1, 401: 1, 404: 1}


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST /hooks/bitbucket/e1 HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /hooks/bitbucket/e1 HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /hooks/bitbucket/e1 HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"POST /hooks/bitbucket/e1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /hooks/\xff HTTP/1.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["no HTTP", "negative length", "two lengths", "length and chunks", "bad chunk", "bytes in path", "star"],
)
def test_broken_http_is_turned_away_and_the_next_request_is_served(place: Place, request_bytes: bytes) -> None:
    with connect(place.port) as connection:
        connection.sendall(request_bytes)
        status = read_answer(connection)[0]
    assert status in (400, 404, 408)
    assert ask(place.port, signed(b"{}"))[0] == 200
    assert len(place.receiver.saved) == 1


@pytest.mark.parametrize(
    "piece", [b"X-Filler: " + b"a" * 8_000 + b"\r\n", b"a" * 8_000], ids=["many headers", "one endless header"]
)
def test_a_head_without_end_is_cut_off(place: Place, piece: bytes) -> None:
    endless = b"POST /hooks/bitbucket/e1 HTTP/1.1\r\nX-First: " + piece * 10_000
    with connect(place.port) as connection, pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        connection.sendall(endless)
    assert ask(place.port, signed(b"{}"))[0] == 200


def test_a_head_that_does_not_come_is_cut_off(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_WAIT_S", 0.1)
    with connect(place.port) as silent, connect(place.port) as slow:
        slow.sendall(b"POST /hooks/bitb")
        assert silent.recv(1) == b""
        assert slow.recv(1) == b""


def test_connections_are_bounded_and_a_closed_one_makes_room(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 3)

    def is_served() -> bool:
        with connect(place.port) as connection:
            connection.sendall(signed(b"{}"))
            try:
                return read_answer(connection)[0] == 200
            except (OSError, errors.SyncdError):
                return False

    idle = [connect(place.port) for _ in range(3)]
    assert _until(lambda: not is_served())
    for connection in idle:
        connection.close()
    assert _until(is_served)


def test_a_full_listener_still_has_a_connection_to_say_so() -> None:
    assert hooks.CAPACITY < server.CONNECTIONS_MAX


def test_trailers_are_not_collected(place: Place) -> None:
    head = f"POST /hooks/bitbucket/e1 HTTP/1.1\r\nHost: x\r\nX-Hub-Signature: {signature(b'')}\r\n"
    trailer = "0\r\nX-Hub-Signature: again\r\n\r\n"
    assert ask(place.port, f"{head}Transfer-Encoding: chunked\r\n\r\n{trailer}".encode())[0] == 200


def test_an_upgrade_to_a_websocket_is_not_had(place: Place) -> None:
    request = b"GET /hooks/bitbucket/e1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert ask(place.port, request)[0] == 404


def test_expect_100_continue_is_answered_only_when_the_body_is_wanted(place: Place) -> None:
    for path, first in (("/hooks/bitbucket/e1", b"HTTP/1.1 100"), ("/hooks/bitbucket/e2", b"HTTP/1.1 404")):
        with connect(place.port) as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            assert connection.recv(65_536).startswith(first)


def test_the_writer_beats_also_when_nothing_comes(place: Place) -> None:
    before = place.app.beats
    assert _until(lambda: place.app.beats > before)


def test_the_recorded_signature_vector_is_what_the_fake_checks() -> None:
    """reference/bitbucket.md section 4, so that these tests are about real signatures."""
    assert signature(b"Hello World!") == "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"


def test_nothing_of_a_request_stands_in_the_log(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    ask(place.port, post("/hooks/bitbucket/canary-path", b"canary-body", "X-Canary: canary-header"))
    ask(place.port, b"canary nonsense\r\n\r\n")
    out, err = capfd.readouterr()
    assert "canary" not in out + err


def test_memory_of_a_connection_is_freed_when_it_is_reset(place: Place) -> None:
    connection = connect(place.port)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.sendall(b"POST /hooks/bitbucket/e1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
    connection.close()
    assert _until(lambda: place.app.counts[0] == 1)
