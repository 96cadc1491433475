"""What the listener tests share: a receiver and a clock without a daemon, and raw sockets."""

import hashlib
import hmac
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from syncd import errors, ports
from syncd.flow import intake
from syncd.web import server

SECRET = b"It's a Secret to Everybody"
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


class StillClock:
    """Always the same instant."""

    def now(self) -> datetime:
        return NOW

    def monotonic_s(self) -> float:
        return 0.0

    def wait(self, seconds: float) -> None:
        raise AssertionError("a listener never waits on the clock")


@dataclass
class FakeReceiver:
    """One known endpoint per provider, "e1"; checks Bitbucket's signature for both."""

    saved: list[ports.Arrived] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    broken: Exception | None = None
    gate: threading.Event | None = None
    verified: int = 0

    def known(self, provider: str, endpoint: str) -> bool:
        return provider in ("airtable", "bitbucket") and endpoint == "e1"

    def verify(
        self, provider: str, endpoint: str, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> intake.Verdict:
        self.verified += 1
        found = [value for name, value in headers if name == b"x-hub-signature"]
        wanted = signature(body).encode()
        good = len(found) == 1 and hmac.compare_digest(found[0], wanted)
        return intake.Verdict.GOOD if good else intake.Verdict.REFUSED

    def save(self, arrived: Sequence[ports.Arrived]) -> None:
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.broken is not None:
            raise self.broken
        self.groups.append(len(arrived))
        self.saved.extend(arrived)


def signature(body: bytes) -> str:
    """Bitbucket's header value (reference/bitbucket.md 4)."""
    return "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()


@contextmanager
def serving(**apps: Any) -> Iterator[dict[str, int]]:
    """Serve applications by name on loopback; yields their ports."""
    listeners = server.Listeners(
        [
            server.Listener(name=name, address=server.Address(host="127.0.0.1", port=0), app=app)
            for name, app in apps.items()
        ]
    )
    listeners.start()
    try:
        yield {name: listeners.address(name).port for name in apps}
    finally:
        listeners.stop()
        assert not listeners.alive


def connect(port: int) -> socket.socket:
    """A raw connection; reads give up after 15 s so that a broken listener fails the test."""
    return socket.create_connection(("127.0.0.1", port), timeout=15)


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer: status, headers by lower-case name, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        got = connection.recv(65_536)
        if not got:
            raise errors.SyncdError(f"connection closed after {data!r}")
        data += got
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65_536)
    return int(lines[0].split(" ")[1]), headers, body


def ask(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes on a new connection, read one answer."""
    with connect(port) as connection:
        connection.sendall(request)
        return read_answer(connection)


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A POST as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: sync.example.com", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def signed(body: bytes, *headers: str, path: str = "/hooks/bitbucket/e1") -> bytes:
    """A good delivery as bytes."""
    return post(path, body, f"X-Hub-Signature: {signature(body)}", *headers)
