"""
Load on the listener from a process of its own: `python -m bench.sender PORT CONNECTIONS SECONDS BODY_BYTES FIRST`.

Each connection sends one signed delivery after the other, each with a request id of its own, the next when the last was
acknowledged. Prints what came of it as JSON.
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import uvloop

ENDPOINT = "bench"
SECRET = "bench-secret"
_ACK = b"HTTP/1.1 200 "


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came of it; `refused` counts answers other than 200."""

    acks_per_second: float
    p50_ms: float
    p99_ms: float
    refused: int


async def send(port: int, connections: int, seconds: float, body_bytes: int, first: int) -> Load:
    """
    Send for some seconds.

    Args:
        first: number of the first request id: no two rounds may share one, or the store has seen the delivery before.
    """
    body = b'{"padding": "' + b"x" * (body_bytes - 15) + b'"}'
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST /hooks/bitbucket/{ENDPOINT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"X-Event-Key: pullrequest:updated\r\nX-Hub-Signature: sha256={signature}\r\nX-Request-UUID: "
    ).encode()
    loop = asyncio.get_running_loop()
    numbers = itertools.count(first)
    clients = [_Client(head, b"\r\n\r\n" + body, numbers) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]  # its own type is inferred too late
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    waited = [one for client in clients for one in client.waited_s]
    elapsed = time.perf_counter() - started
    for client in clients:
        client.end()
    ranks = statistics.quantiles(waited, n=100)
    return Load(
        acks_per_second=len(waited) / elapsed,
        p50_ms=ranks[49] * 1000,
        p99_ms=ranks[98] * 1000,
        refused=sum(client.refused for client in clients),
    )


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, head: bytes, rest: bytes, numbers: Iterator[int]) -> None:
        self._head, self._rest, self._numbers = head, rest, numbers
        self._transport: asyncio.Transport | None = None
        self._sent_at = 0.0
        self.waited_s: list[float] = []
        self.refused = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport can write
        self._next()

    def data_received(self, data: bytes) -> None:
        # An acknowledgement has no body and is far smaller than one segment.
        if data.startswith(_ACK):
            self.waited_s.append(time.perf_counter() - self._sent_at)
            self._next()
        else:
            self.refused += 1
            self.end()

    def _next(self) -> None:
        if self._transport is not None:
            self._sent_at = time.perf_counter()
            self._transport.write(b"".join((self._head, b"%d" % next(self._numbers), self._rest)))

    def end(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None


def main(port: int, connections: int, seconds: float, body_bytes: int, first: int) -> None:
    """Send and tell."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(send(port, connections, seconds, body_bytes, first)))))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
