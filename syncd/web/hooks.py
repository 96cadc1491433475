"""
The public listener: takes signed webhook requests, makes them durable, answers. It parses nothing and tells nothing.

A plain ASGI callable, because a framework's routing would cost a third of its throughput (reference/dependencies.md 2).
The handlers run in the listener's event loop; one writer thread commits what arrived together in one transaction.
"""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from syncd import errors, log, ports
from syncd.flow import intake
from syncd.model.ids import EndpointId

_log = log.logger("web.hooks")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Bitbucket never sends more than 256 KB, an Airtable ping has 100 bytes; the limit is SPEC section 5.
BODY_BYTES_MAX = 1_048_576
BODY_WAIT_S = 10.0
# Bitbucket gives up after 10 s and does not repeat; a 503 it does repeat (reference/bitbucket.md 4).
ACK_WAIT_S = 8.0
# Requests in flight, and bytes of their bodies: above either the answer is 503 at once. Fewer than the server takes
# connections, so that there is one left to say so.
CAPACITY = 256
HELD_BYTES_MAX = 64 * 1_048_576
GROUP_MAX = 256

KEPT_HEADERS = (b"x-event-key", b"x-hook-uuid", b"x-request-uuid", b"x-attempt-number")
_PATH = re.compile(r"/hooks/(bitbucket|airtable)/([A-Za-z0-9_-]{1,128})", re.ASCII)


class Receiver(Protocol):
    """What the listener asks of the flow: `flow.intake.Intake`, and a fake in the tests."""

    def known(self, provider: str, endpoint: str) -> bool:
        """Whether there is an active endpoint of this id for this provider."""

    def verify(
        self, provider: str, endpoint: str, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> intake.Verdict:
        """Whether the raw request is genuine. May raise StoreError."""

    def save(self, arrived: Sequence[ports.Arrived]) -> None:
        """Make them durable in one commit, or raise StoreError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is taken at once; tests make it small."""

    body_bytes_max: int = BODY_BYTES_MAX
    body_wait_s: float = BODY_WAIT_S
    ack_wait_s: float = ACK_WAIT_S
    capacity: int = CAPACITY
    held_bytes_max: int = HELD_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One verified request in the writer's queue, with the handler that waits for its commit."""

    arrived: ports.Arrived
    loop: asyncio.AbstractEventLoop
    durable: "asyncio.Future[bool]"


class _Answered(Exception):
    """Ends a handler with a status; 0: the sender is gone, nobody is there to answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Writer(Protocol):
    """Commits what handlers wait for, and tells them: a thread, or the simulator's own turn."""

    @property
    def beats(self) -> int:
        """Grows at least once a second while it is not stuck."""

    def put(self, waiting: Waiting) -> None:
        """Commit this one soon, and answer its handler."""

    def start(self) -> None:
        """Begin."""

    def stop(self, timeout_s: float) -> None:
        """Commit what is queued, then end."""


@dataclass(slots=True)
class _Thread:
    """One thread that commits what is queued. No linger time is needed: while it commits, the next group gathers."""

    receiver: Receiver
    queue: "SimpleQueue[Waiting | None]" = field(default_factory=SimpleQueue)
    beats: int = 0
    _thread: threading.Thread | None = None

    def put(self, waiting: Waiting) -> None:
        self.queue.put(waiting)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="syncd-intake", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Commit what is queued, then end."""
        self.queue.put(None)
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            self.beats += 1
            try:
                group, last = self._gather()
            except Empty:
                continue
            if group:
                commit(self.receiver, group)
            if last:
                return

    def _gather(self) -> tuple[list[Waiting], bool]:
        """The next group, and whether it is the last. Raises Empty after a second without any, so that the beat goes on."""
        group: list[Waiting] = []
        while len(group) < GROUP_MAX:
            try:
                one = self.queue.get_nowait() if group else self.queue.get(timeout=1.0)
            except Empty:
                if not group:
                    raise
                return group, False
            if one is None:
                return group, True
            group.append(one)
        return group, False


def commit(receiver: Receiver, group: Sequence[Waiting]) -> None:
    """Make a group durable in one commit, and let its handlers answer."""
    saved = False
    try:
        receiver.save([one.arrived for one in group])
        saved = True
    except errors.StoreError as error:
        _log.critical("store.failed", error=error.message, deliveries=len(group))
    except Exception:  # noqa: BLE001 — top of the thread: it must answer 503 and live on, whatever broke
        _log.critical("store.failed", deliveries=len(group), exc_info=True)
    finally:
        # Also when the log itself fails: a handler must never wait for nothing.
        _answer_all(group, saved)


def _answer_all(group: Sequence[Waiting], saved: bool) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[bool]]] = {}
    for one in group:
        by_loop.setdefault(one.loop, []).append(one.durable)
    for loop, futures in by_loop.items():
        # A loop that was closed meanwhile has no handler left that could answer.
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, futures, saved)


def _resolve(futures: Sequence["asyncio.Future[bool]"], saved: bool) -> None:
    for future in futures:
        if not future.done():
            future.set_result(saved)


class Hooks:
    """
    The ASGI application of the public listener.

    Attributes:
        counts: answers by status since the start; 0 counts senders that went away.
    """

    def __init__(self, receiver: Receiver, clock: ports.Clock, limits: Limits, writer: Writer | None = None) -> None:
        self._receiver = receiver
        self._clock = clock
        self._limits = limits
        self._in_flight = 0
        self._held_bytes = 0
        self._closed = False
        self.counts: Counter[int] = Counter()
        self._writer: Writer = writer or _Thread(receiver)
        self._writer.start()

    @property
    def beats(self) -> int:
        """Grows at least once a second while the writer thread is not stuck: for the watchdog."""
        return self._writer.beats

    def close(self, timeout_s: float = 5.0) -> None:
        """Refuse new requests, commit what was taken, end the writer. May be called twice."""
        if not self._closed:
            self._closed = True
            self._writer.stop(timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await self._take(scope, receive)
            status = 200
        except _Answered as answered:
            status = answered.status
        except errors.StoreError as error:
            _log.critical("store.failed", error=error.message)
            status = 503
        self.counts[status] += 1
        if status:
            await _answer(send, status)

    async def _take(self, scope: Scope, receive: Receive) -> None:
        """Returns when the delivery is durable; every other end is `_Answered`. The order is SPEC section 5."""
        matched = _PATH.fullmatch(scope["path"])
        if matched is None or scope["method"] != "POST":
            raise _Answered(404)
        provider, endpoint = matched.groups()
        if not self._receiver.known(provider, endpoint):
            raise _Answered(404)
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        if _announced_bytes(headers) > self._limits.body_bytes_max:
            raise _Answered(413)
        if self._closed or self._in_flight >= self._limits.capacity:
            raise _Answered(503)
        chunks: list[bytes] = []
        self._in_flight += 1
        try:
            await self._read(receive, chunks)
            body = b"".join(chunks)
            verdict = self._receiver.verify(provider, endpoint, headers, body)
            if verdict is not intake.Verdict.GOOD:
                raise _Answered(404 if verdict is intake.Verdict.UNKNOWN else 401)
            await self._save(endpoint, headers, body)
        finally:
            self._in_flight -= 1
            self._held_bytes -= sum(map(len, chunks))

    async def _read(self, receive: Receive, chunks: list[bytes]) -> None:
        """Read the body into `chunks`, within its bounds of size, time and all bodies together."""
        try:
            async with asyncio.timeout(self._limits.body_wait_s):
                size, more = 0, True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Answered(0)
                    chunk: bytes = message.get("body", b"")
                    more = message.get("more_body", False)
                    size += len(chunk)
                    if size > self._limits.body_bytes_max:
                        raise _Answered(413)
                    if self._held_bytes + len(chunk) > self._limits.held_bytes_max:
                        raise _Answered(503)
                    chunks.append(chunk)
                    self._held_bytes += len(chunk)
        except TimeoutError as error:
            raise _Answered(408) from error

    async def _save(self, endpoint: str, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[bool] = loop.create_future()
        arrived = ports.Arrived(
            endpoint=EndpointId(endpoint), received_at=self._clock.now(), headers=_kept(headers), body=body
        )
        self._writer.put(Waiting(arrived=arrived, loop=loop, durable=durable))
        try:
            async with asyncio.timeout(self._limits.ack_wait_s):
                saved = await durable
        except TimeoutError as error:
            # The row may still be committed; the sender's next attempt is then recognised by its request id.
            raise _Answered(503) from error
        if not saved:
            raise _Answered(503)


def build(
    receiver: Receiver, clock: ports.Clock, *, limits: Limits | None = None, writer: Writer | None = None
) -> Hooks:
    """
    The application, its writer running.

    Args:
        receiver: verifies and saves; called from the event loop, `save` from the writer thread.
        clock: says when a delivery was received.
        writer: commits; None: a thread of its own.
    """
    return Hooks(receiver, clock, limits or Limits(), writer)


def _announced_bytes(headers: Sequence[tuple[bytes, bytes]]) -> int:
    """What Content-Length says; 0 when it says nothing. The server has refused one that is no number."""
    # More digits than any body has bytes: cut, because Python refuses to read thousands of them.
    lengths = (value.lstrip(b"0")[:19] for name, value in headers if name == b"content-length" and value.isdigit())
    return max((int(value or b"0") for value in lengths), default=0)


def _kept(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """The four headers that say what a delivery is; no other header reaches the state (I30)."""
    return {
        name.decode("ascii"): value.decode("utf-8", "replace")[:200] for name, value in headers if name in KEPT_HEADERS
    }


async def _answer(send: Send, status: int) -> None:
    """An empty answer. After a body that was not read to its end the connection is of no more use."""
    headers = [(b"content-length", b"0")]
    if status in (404, 408, 413, 503):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
