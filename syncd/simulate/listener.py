"""The hooks listener in the simulator: its own handlers, with bytes and headers, in one thread and with a writer that commits at once."""

import asyncio
import os
from functools import cache
from urllib.parse import urlsplit

from syncd import ports
from syncd.sandbox.wire import Delivery
from syncd.web import hooks


class _AtOnce:
    """Commits each request by itself, where it arrives."""

    beats = 0

    def __init__(self, receiver: hooks.Receiver) -> None:
        self._receiver = receiver

    def put(self, waiting: hooks.Waiting) -> None:
        hooks.commit(self._receiver, [waiting])

    def start(self) -> None:
        """There is no thread."""

    def stop(self, timeout_s: float) -> None:
        """Nothing is queued."""


class Listener:
    """One process's listener."""

    def __init__(self, receiver: hooks.Receiver, clock: ports.Clock) -> None:
        self._app = hooks.build(receiver, clock, writer=_AtOnce(receiver))

    def post(self, delivery: Delivery) -> int:
        """
        Hand a delivery to the handler.

        Returns:
            The status it answered; 0 when it answered nothing.
        """
        headers = [
            (name.lower().encode("latin-1", "replace"), text.encode("latin-1", "replace"))
            for name, text in delivery.headers.items()
        ]
        headers.append((b"content-length", str(len(delivery.body)).encode()))
        scope: hooks.Scope = {"type": "http", "method": "POST", "path": urlsplit(delivery.url).path, "headers": headers}
        statuses: list[int] = []

        async def receive() -> hooks.Message:
            return {"type": "http.request", "body": delivery.body, "more_body": False}

        async def send(message: hooks.Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        _loop(os.getpid()).run_until_complete(self._app(scope, receive, send))
        return statuses[0] if statuses else 0


@cache
def _loop(process: int) -> asyncio.AbstractEventLoop:  # noqa: ARG001 - a forked process must not share it
    """One for all: a handler never waits for anything but the commit, which is done by then."""
    return asyncio.new_event_loop()
