"""The in-process front: a transport adapter for `requests` that asks a machine instead of a socket."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from http.client import RemoteDisconnected
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import parse_qsl

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from syncd.sandbox.fault import LOST_HEADER, NO_ANSWER
from syncd.sandbox.wire import Request, Response

_REASON = {status.value: status.phrase for status in HTTPStatus}


class Answering(Protocol):
    """The part of a machine that a client meets."""

    def handle(self, request: Request, now: datetime) -> Response:
        """As `Machine.handle`."""


class MachineAdapter(BaseAdapter):
    """
    Mount it on a session: `session.mount("https://api.airtable.com", MachineAdapter(machine, clock))`.

    Args:
        machine: the emulated service.
        clock: the instant of each request.
        on_timeout: told the seconds a client has waited in vain (its read time-out; 0 without one), so that a simulated
            clock can move, before the time-out is raised.
    """

    def __init__(
        self,
        machine: Answering,
        clock: Callable[[], datetime],
        on_timeout: Callable[[float], object] | None = None,
    ) -> None:
        """Keep them."""
        super().__init__()
        self.machine = machine
        self.clock = clock
        self.on_timeout = on_timeout

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,  # noqa: ARG002 - the base class's signature
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,  # noqa: ARG002
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> requests.Response:
        """
        Ask the machine.

        Raises:
            requests.ConnectionError: the fault closed the connection, before or after the request was applied.
            requests.ReadTimeout: the fault never answers.
        """
        answer = self.machine.handle(_wire(request), self.clock())
        if answer.status == NO_ANSWER:
            raise lost(answer, _seconds(timeout), self.on_timeout, request)
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
        response.reason = _REASON.get(answer.status, "")
        response.url = request.url or ""
        response.request = request
        response.elapsed = timedelta(0)
        response.raw = BytesIO(answer.body)
        if not stream:
            response.content  # noqa: B018 - reads the body, as requests does when it does not stream
        return response

    def close(self) -> None:
        """Nothing is open."""


def lost(
    answer: Response, waited_s: float, on_timeout: Callable[[float], object] | None, request: Any = None
) -> requests.RequestException:
    """
    What a client meets when nobody answers.

    Args:
        answer: of status `NO_ANSWER`: the connection was closed, or hangs until the read time-out.
        waited_s: the read time-out, which `on_timeout` is told.
    """
    if answer.headers.get(LOST_HEADER, "closed") != "hanging":
        cause = ProtocolError(
            "Connection aborted.", RemoteDisconnected("Remote end closed connection without response")
        )
        return requests.ConnectionError(cause, request=request)
    if on_timeout is not None:
        on_timeout(waited_s)
    text = f"Read timed out. (read timeout={waited_s})"
    return requests.ReadTimeout(ReadTimeoutError(None, "", text), request=request)  # type: ignore[arg-type]  # there is no pool


def _seconds(timeout: float | tuple[float, float] | tuple[float, None] | None) -> float:
    return float((timeout[1] if isinstance(timeout, tuple) else timeout) or 0)


def _wire(request: requests.PreparedRequest) -> Request:
    """The prepared request as machines take it, with the headers that a real transport would have added."""
    target = (request.url or "").partition("#")[0]
    scheme, _, rest = target.partition("://")
    rest, _, query = rest.partition("?")
    host, slash, path = rest.partition("/")
    headers = {"host": host} | {name.lower(): value for name, value in request.headers.items()}
    if scheme == "https":
        headers["x-forwarded-proto"] = "https"
    return Request(
        method=request.method or "GET",
        path=slash + path if slash else "/",
        query=tuple(parse_qsl(query, keep_blank_values=True)) if query else (),
        headers=headers,
        body=_bytes(request.body),
    )


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    if hasattr(body, "read"):
        content = body.read()
        return content if isinstance(content, bytes) else str(content).encode()
    if isinstance(body, Iterable):
        return b"".join(part if isinstance(part, bytes) else str(part).encode() for part in body)
    raise TypeError(f"a request body must be bytes, text, a file or an iterable, not {type(body).__name__}")
