"""What the tests of the transport and of both adapters stand on: a scripted raw server, a gate and a clock."""

import contextlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Thread

from syncd import errors

STARTED_AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
Script = Callable[[socket.socket], None]


@dataclass(slots=True)
class HandClock:
    """A clock that moves when told, and by `step_s` whenever the monotonic one is read."""

    at: datetime = STARTED_AT
    ran_s: float = 0.0
    step_s: float = 0.0
    waited_s: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        self.ran_s += self.step_s
        return self.ran_s

    def wait(self, seconds: float) -> None:
        self.waited_s.append(seconds)
        self.move(seconds)

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.ran_s += seconds


@dataclass(slots=True)
class NotingGate:
    """A gate that writes down what it is asked and told; `closed_until` lets nothing through."""

    clock: HandClock
    charged: list[bool] = field(default_factory=list)
    observed: list[tuple[int, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    closed_until: datetime | None = None

    def charge(self, *, changing: bool) -> None:
        if self.closed_until is not None and self.clock.now() < self.closed_until:
            raise errors.Throttled("the gate is shut", service="test", request="", retry_at=self.closed_until)
        self.charged.append(changing)

    def observe(self, status: int, headers: Mapping[str, str], code: str) -> datetime | None:
        self.observed.append((status, code))
        self.headers.append(dict(headers))
        if status != 429:
            return None
        self.closed_until = self.clock.now() + timedelta(seconds=30)
        return self.closed_until


class RawServer:
    """
    A loopback server that reads one request per connection turn and then does what its script says with the bare socket.

    Args:
        scripts: one per expected request, in order; the connection is closed after each.
    """

    def __init__(self, *scripts: Script) -> None:
        self.requests: list[bytes] = []
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self._thread = Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "RawServer":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(10)
                    request = _read_request(connection)
                    if not request:
                        continue
                    self.requests.append(request)
                    if self._scripts:
                        self._scripts.pop(0)(connection)


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return received
        received += piece
        if received.startswith(b"\x16"):  # a TLS greeting: no HTTP will come
            return received
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def says(body: bytes | str, status: int = 200, **headers: str) -> Script:
    """A complete answer; underscores in header names stand for hyphens."""
    sent = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(sent)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return sends(("\r\n".join(lines) + "\r\n\r\n").encode() + sent)


def sends(raw: bytes) -> Script:
    """These bytes, then the end of the connection."""

    def script(connection: socket.socket) -> None:
        connection.sendall(raw)

    return script


def hangs_up(connection: socket.socket) -> None:
    """No answer at all: the connection closes."""


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
