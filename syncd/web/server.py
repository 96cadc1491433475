"""
Several ASGI applications, each on its own address, in one thread with one event loop.

uvicorn is embedded: the process's signals stay ours, and its request head gets bounds that it lacks.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import re
import socket
import stat
import sys
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from syncd import errors

GRACEFUL_S = 5
START_WAIT_S = 10.0
HEAD_BYTES_MAX = 65_536
HEAD_WAIT_S = 10.0
# Chunk sizes and trailers of one body: what 1 MiB needs when it comes in chunks of one byte.
FRAMING_BYTES_MAX = 8 * 1_048_576
# Per listener. Both together stay below the 1024 descriptors that a process may have by default.
CONNECTIONS_MAX = 400
_BACKLOG = 2_048
# A busy Python thread starves the listener; shorter turns give back a factor of 3 to 5 (reference/dependencies.md 2).
_SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen: host and port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str) -> Address:
    """Read "host:port", "[v6]:port" or "unix:/path". Raises UsageError, naming the forms."""
    if text.startswith("unix:") and len(text) > len("unix:"):
        return Address(path=text.removeprefix("unix:"))
    matched = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]/]+)):([0-9]{1,5})", text)
    if matched is None or int(matched[3]) > 65_535:
        raise errors.UsageError(
            f'"{text}" is no address; expected "host:port", "[v6 host]:port" or "unix:/path"',
            next_step="correct daemon.admin or daemon.hooks in the spec, then: syncd check",
        )
    return Address(host=matched[1] or matched[2], port=int(matched[3]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """
    One application and where it listens.

    Args:
        name: "hooks" or "admin", for messages and `Listeners.address`.
        inherited: a socket that systemd bound already (socket activation); `address` is then only a description.
    """

    name: str
    address: Address
    app: Any
    inherited: socket.socket | None = None


class Listeners:
    """
    The listeners of one process.

    `start` returns when all of them take connections, `stop` when all are closed.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)
        self._servers: list[_Server] = []
        self._sockets: dict[str, socket.socket] = {}
        self._thread: threading.Thread | None = None
        self._trouble: BaseException | None = None

    def start(self) -> None:
        """
        Bind every address, then serve.

        Raises:
            UsageError: an address is taken or cannot be bound; none is then.
        """
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        with contextlib.ExitStack() as undo:
            for listener in self._listeners:
                bound = listener.inherited or _bind(listener.name, listener.address)
                undo.callback(bound.close)
                self._sockets[listener.name] = bound
                self._servers.append(_Server(_config(listener.app)))
            undo.pop_all()
        self._thread = threading.Thread(target=self._run, name="syncd-listeners", daemon=True)
        self._thread.start()
        for server in self._servers:
            if not server.up.wait(START_WAIT_S) or self._trouble is not None:
                self.stop()
                raise errors.SyncdError(
                    f"the listeners did not start: {self._trouble or 'no answer within 10 s'}",
                    next_step="look at the lines above this one, then start again",
                )

    def stop(self) -> None:
        """Take no new connections, finish what runs (at most 5 s), close. May be called twice."""
        for server in self._servers:
            server.should_exit = True
        if self._thread is not None:
            self._thread.join(GRACEFUL_S * 2)
        for listener in self._listeners:
            if listener.address.path and listener.inherited is None and listener.name in self._sockets:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(listener.address.path)

    def address(self, name: str) -> Address:
        """Where the named listener really listens: with the port that the system chose for port 0."""
        bound = next(listener.address for listener in self._listeners if listener.name == name)
        if bound.path:
            return bound
        host, port = self._sockets[name].getsockname()[:2]
        return Address(host=host, port=port)

    @property
    def beats(self) -> int:
        """Grows ten times a second while the event loop runs: for the watchdog."""
        return sum(server.ticks for server in self._servers)

    @property
    def alive(self) -> bool:
        """Whether the thread serves."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            self._trouble = error
            raise
        finally:
            for server in self._servers:
                server.up.set()

    async def _serve(self) -> None:
        sockets = self._sockets.values()
        await asyncio.gather(
            *(server.serve(sockets=[bound]) for server, bound in zip(self._servers, sockets, strict=True))
        )


class _Server(uvicorn.Server):
    """uvicorn's server without its hands on our signals, and with a sign that it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()
        self.ticks = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing: uvicorn would raise a signal again after serving, and end the process (dependencies.md 2)."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.up.set()

    async def on_tick(self, counter: int) -> bool:
        self.ticks += 1
        return await super().on_tick(counter)


class _BoundedProtocol(HttpToolsProtocol):
    """
    HTTP with bounds on the request's head.

    uvicorn's httptools protocol collects headers without limit and waits for them without end; a body is read only
    when the application asks, so its bounds are the application's.
    """

    _framing_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.close()
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # The parser keeps an unfinished line to itself, so only the bytes that come in can be counted.
        if self._framing_bytes > (HEAD_BYTES_MAX if self._head_timer is not None else FRAMING_BYTES_MAX):
            self.transport.close()
            return
        self._framing_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._framing_bytes = 0
        self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head only trailers can follow, which nobody reads.
        if self._head_timer is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._framing_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._framing_bytes -= len(body)
        super().on_body(body)

    def _expect_head(self) -> None:
        self._stop_timer()
        self._head_timer = self.loop.call_later(HEAD_WAIT_S, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def _config(app: Any) -> uvicorn.Config:
    # "Invalid request" is a warning that anyone outside could write into our log without end.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        loop="none",
        http=_BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_S,
        backlog=_BACKLOG,
    )


def _bind(name: str, address: Address) -> socket.socket:
    try:
        return _bind_unix(address.path) if address.path else _bind_tcp(address)
    except OSError as error:
        raise errors.UsageError(
            f"the {name} listener cannot have {address}: {error.strerror or error}",
            next_step=f"stop what listens there (ss -ltnp), or change daemon.{name} in the spec",
        ) from error


def _bind_tcp(address: Address) -> socket.socket:
    family, kind, _, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
        # Listening here, not later in the loop, finds a taken port now (two binds with SO_REUSEADDR can succeed).
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def _bind_unix(path: str) -> socket.socket:
    """Bind a unix socket that owner and group may use; a stale one of a process that was killed is replaced."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
    bound = socket.socket(socket.AF_UNIX)
    try:
        # On Linux the mode of the socket, set before bind, becomes the mode of the file: no moment with a wider one.
        os.fchmod(bound.fileno(), 0o660)
        bound.bind(path)
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound
