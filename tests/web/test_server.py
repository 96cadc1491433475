import asyncio
import http.client
import os
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from syncd import errors
from syncd.web import server
from tests.web import listening
from tests.web.listening import ask


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answers every request with the address it was asked at."""
    text = str(scope["server"][0]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def a_listener(address: server.Address, app: Any = hello, name: str = "admin") -> server.Listener:
    return server.Listener(name=name, address=address, app=app)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8484", server.Address(host="127.0.0.1", port=8484)),
        ("localhost:0", server.Address(host="localhost", port=0)),
        ("[::1]:8484", server.Address(host="::1", port=8484)),
        ("unix:/run/syncd/admin.sock", server.Address(path="/run/syncd/admin.sock")),
    ],
)
def test_an_address_is_read_and_shown_the_same(text: str, expected: server.Address) -> None:
    assert server.parse_address(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize("text", ["", "8484", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "::1:80", "unix:", "a:b"])
def test_an_address_that_is_none_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(errors.UsageError, match='expected "host:port"'):
        server.parse_address(text)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.8.0.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("unix:/x", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("192.168.1.5:1", False),
        ("127.evil.example:1", False),
        ("localhost.example:1", False),
    ],
)
def test_only_loopback_and_unix_sockets_are_local(text: str, local: bool) -> None:
    assert server.parse_address(text).local is local


def test_several_applications_are_served_in_one_thread() -> None:
    with listening.serving(hooks=hello, admin=hello) as ports:
        assert ports["hooks"] != ports["admin"]
        assert [ask(port, GET)[2] for port in ports.values()] == [b"127.0.0.1", b"127.0.0.1"]


def test_a_unix_socket_is_for_owner_and_group_and_goes_with_the_listener(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    listeners = server.Listeners([a_listener(server.Address(path=str(path)))])
    listeners.start()
    try:
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(GET)
            assert listening.read_answer(connection)[0] == 200
        assert str(listeners.address("admin")) == f"unix:{path}"
    finally:
        listeners.stop()
    assert not path.exists()


def test_a_unix_socket_left_by_a_killed_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    listeners = server.Listeners([a_listener(server.Address(path=str(path)))])
    listeners.start()
    listeners.stop()


@pytest.mark.parametrize("kind", ["live socket", "plain file"])
def test_a_unix_socket_never_replaces_what_is_not_a_dead_socket(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as other:
        if kind == "live socket":
            other.bind(str(path))
            other.listen()
        else:
            path.write_text("precious")
        with pytest.raises(errors.UsageError, match="admin listener cannot have unix:"):
            server.Listeners([a_listener(server.Address(path=str(path)))]).start()
        assert path.exists()


def test_a_port_in_use_names_the_listener_the_address_and_the_next_step() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = server.Listeners([a_listener(server.Address(host="127.0.0.1", port=port))])
        with pytest.raises(errors.UsageError) as caught:
            taken.start()
    assert caught.value.message == f"the admin listener cannot have 127.0.0.1:{port}: Address already in use"
    assert "daemon.admin" in caught.value.next_step


def test_when_one_address_is_taken_none_stays_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        first = server.Address(host="127.0.0.1", port=free.getsockname()[1])
        free.close()
        second = server.Address(host="127.0.0.1", port=other.getsockname()[1])
        with pytest.raises(errors.UsageError):
            server.Listeners([a_listener(first, name="hooks"), a_listener(second)]).start()
        with pytest.raises(ConnectionRefusedError):
            listening.connect(first.port)


def test_a_host_that_is_nobody_is_refused_like_a_taken_port() -> None:
    with pytest.raises(errors.UsageError, match=r"admin listener cannot have 192\.0\.2\.1:0"):
        server.Listeners([a_listener(server.Address(host="192.0.2.1", port=0))]).start()


def test_an_inherited_socket_is_served_as_it_is() -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    listener = server.Listener(name="hooks", address=server.Address(host="described"), app=hello, inherited=bound)
    listeners = server.Listeners([listener])
    listeners.start()
    try:
        assert ask(listeners.address("hooks").port, GET)[0] == 200
    finally:
        listeners.stop()


def test_signals_stay_with_the_process() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with listening.serving(admin=hello):
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_stopping_lets_a_running_request_finish() -> None:
    entered = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        await asyncio.sleep(0.3)
        await hello(scope, receive, send)

    listeners = server.Listeners([a_listener(server.Address(host="127.0.0.1", port=0), slow)])
    listeners.start()
    with listening.connect(listeners.address("admin").port) as connection:
        connection.sendall(GET)
        while not entered.is_set():
            os.sched_yield()
        listeners.stop()
        assert listening.read_answer(connection)[0] == 200
    listeners.stop()


def test_the_beat_goes_on_while_the_loop_runs_and_the_server_names_itself_nowhere() -> None:
    listeners = server.Listeners([a_listener(server.Address(host="127.0.0.1", port=0))])
    listeners.start()
    try:
        before = listeners.beats
        connection = http.client.HTTPConnection("127.0.0.1", listeners.address("admin").port, timeout=10)
        while listeners.beats == before:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            assert answer.getheader("server") is None
        connection.close()
        assert listeners.alive
    finally:
        listeners.stop()
    assert not listeners.alive


def test_busy_threads_give_way_often_while_listeners_run() -> None:
    sys.setswitchinterval(0.005)
    with listening.serving(admin=hello):
        assert sys.getswitchinterval() == pytest.approx(0.0005)
