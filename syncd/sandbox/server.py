"""
The loopback front: one machine behind a real HTTP port, and a pump that sends its deliveries over real HTTP.

The standard library's server, because a lost reply needs the bare connection: an ASGI server always answers something.
"""

import contextlib
import ipaddress
import json
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qsl

import requests

from syncd.sandbox.fault import LOST_HEADER, NO_ANSWER
from syncd.sandbox.wire import Delivery, Machine, Request, Response

CONTROL_PREFIX = "/_sandbox/"
_POLL_S = 0.02
_SENDERS = 4


class SandboxServer:
    """
    A machine on a loopback port.

    `POST /_sandbox/{verb}` with a JSON object calls `machine.control` and answers its result, or 400 with the reason.

    Args:
        machine: the emulated service, with or without faults around it.
        host: an IPv4 loopback address, or localhost.
        port: 0 takes a free one; `url` says which.
        clock: the instant of each request and of the pump.
        delivery_timeout_s: how long a receiver may take: 25 for Airtable, 10 for Bitbucket.
        hang_s: how long a request that is never answered is held before the connection closes.
    """

    def __init__(
        self,
        machine: Machine,
        host: str,
        port: int,
        clock: Callable[[], datetime],
        *,
        delivery_timeout_s: float = 25.0,
        hang_s: float = 60.0,
    ) -> None:
        """Bind the port; nothing is served before `start`."""
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        if not address.is_loopback or address.version != 4:
            raise ValueError(f"the sandbox listens on IPv4 loopback only, not on {host!r}; use 127.0.0.1")
        self.machine = machine
        self.clock = clock
        self.delivery_timeout_s = delivery_timeout_s
        self.hang_s = hang_s
        self.stopping = Event()
        self.lock = Lock()
        self._http = _Server((host, port), self)
        self._threads: list[Thread] = []
        self._senders: ThreadPoolExecutor | None = None

    @property
    def url(self) -> str:
        """The root, without a slash at its end."""
        host, port = self._http.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> "SandboxServer":
        """Serve and pump until `stop`."""
        self._senders = ThreadPoolExecutor(max_workers=_SENDERS, thread_name_prefix="sandbox-sender")
        serve = Thread(target=lambda: self._http.serve_forever(poll_interval=_POLL_S), name="sandbox-http")
        pump = Thread(target=self._pump, name="sandbox-pump")
        self._threads = [serve, pump]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection, end every thread."""
        self.stopping.set()
        if self._threads:
            self._http.shutdown()
        self._http.close_connections()
        self._http.server_close()
        for thread in self._threads:
            thread.join()
        if self._senders is not None:
            self._senders.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "SandboxServer":
        """Start."""
        return self.start()

    def __exit__(self, *exception: object) -> None:
        """Stop."""
        self.stop()

    def handle(self, request: Request) -> Response:
        """One request, or one control call, under the machine's lock."""
        if request.path.startswith(CONTROL_PREFIX):
            return self._control(request)
        with self.lock:
            return self.machine.handle(request, self.clock())

    def _control(self, request: Request) -> Response:
        verb = request.path.removeprefix(CONTROL_PREFIX)
        try:
            if request.method != "POST":
                raise ValueError(f"use POST {CONTROL_PREFIX}{verb} with a JSON object")
            arguments = json.loads(request.body or b"{}")
            if not isinstance(arguments, dict):
                raise ValueError("the body must be a JSON object")
            with self.lock:
                answer = self.machine.control(verb, arguments, self.clock())
            return _json(200, answer)
        except ValueError as error:
            return _json(400, {"error": str(error)})

    def _pump(self) -> None:
        while not self.stopping.wait(_POLL_S):
            with self.lock:
                ready = self.machine.due(self.clock())
            for delivery in ready:
                if self._senders is not None and not self.stopping.is_set():
                    self._senders.submit(self._send, delivery)

    def _send(self, delivery: Delivery) -> None:
        status: int | None = None
        with requests.Session() as session:
            # A proxy or a .netrc of the user has no business between two loopback ports.
            session.trust_env = False
            with contextlib.suppress(requests.RequestException):
                answer = session.post(
                    delivery.url,
                    data=delivery.body,
                    headers=dict(delivery.headers),
                    timeout=self.delivery_timeout_s,
                    allow_redirects=False,
                )
                status = answer.status_code
        with self.lock:
            self.machine.delivered(delivery, status, self.clock())


class _Server(ThreadingHTTPServer):
    """The listening socket; knows its open connections, so that stopping leaves none behind."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], front: SandboxServer) -> None:
        self.front = front
        self._open: set[socket.socket] = set()
        self._guard = Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """End the reads of idle keep-alive connections."""
        with self._guard:
            waiting = list(self._open)
        for connection in waiting:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept alive."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *arguments: Any) -> None:
        """Say nothing: the machine has its own log."""

    def _serve(self) -> None:
        front = self.server.front
        if self.headers.get("transfer-encoding"):
            self.close_connection = True
            self._answer(Response(status=411))
            return
        length = self.headers.get("content-length") or "0"
        if not length.isdecimal():
            self.close_connection = True
            self._answer(Response(status=400))
            return
        body = self.rfile.read(int(length))
        path, _, query = self.path.partition("?")
        request = Request(
            method=self.command,
            path=path,
            query=tuple(parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
        )
        answer = front.handle(request)
        if answer.status == NO_ANSWER:
            if answer.headers.get(LOST_HEADER) == "hanging":
                front.stopping.wait(front.hang_s)
            self.close_connection = True
            return
        self._answer(answer)

    def _answer(self, answer: Response) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in {204, 304}:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD" and answer.status not in {204, 304}:
            self.wfile.write(answer.body)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815 - names of the base class


def _json(status: int, value: Any) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status=status, headers={"content-type": "application/json"}, body=body)
