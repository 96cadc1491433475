"""
The cut below HTTP: both typed clients without `requests` and without the services' libraries.

Everything that is ours stays real: what a client asks and how it reads answers, budgets, kill switch, deadline, the
classification of every refusal. What is left out (building and parsing HTTP, the libraries' own work) is proved at the other
cut, through the `requests` adapter, which costs three times as much per request.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

import requests

from syncd import errors, ports, transport
from syncd.airtable import client as airtable
from syncd.airtable import shape as airtable_shape
from syncd.airtable import translate as airtable_translate
from syncd.bitbucket import client as bitbucket
from syncd.bitbucket import shape as bitbucket_shape
from syncd.bitbucket import translate as bitbucket_translate
from syncd.model.ids import BaseId
from syncd.sandbox import adapter
from syncd.sandbox.fault import NO_ANSWER
from syncd.sandbox.wire import Request, Response

T = TypeVar("T")
Pairs = tuple[tuple[str, str], ...]


class Answer:
    """As much of a `requests.Response` as the transport and our clients read; `parsed` is the body's JSON."""

    __slots__ = ("content", "headers", "parsed", "raw", "status_code")

    def __init__(self, response: Response) -> None:
        self.status_code = response.status
        self.headers = response.headers
        self.raw = BytesIO(response.body)
        self.content = b""
        self.parsed: Any = None

    def close(self) -> None:
        """Nothing is open."""


class DirectSession(transport.GuardedSession):
    """
    The guarded session over a machine.

    Args:
        line: the service.
        headers: what the libraries would have sent: who asks, and where.
        waited: told the seconds that a read time-out lasted.
    """

    def __init__(
        self,
        line: adapter.Answering,
        headers: Mapping[str, str],
        waited: Callable[[float], object],
        *,
        base_url: str,
        gate: ports.Gate,
        clock: ports.Clock,
        explain: transport.Explain,
        reads: transport.Reads,
        paused: transport.Paused,
        service: str,
    ) -> None:
        parts = urlsplit(base_url)
        super().__init__(
            service=service,
            home=(parts.scheme, str(parts.hostname), parts.port or 443),
            gate=gate,
            clock=clock,
            explain=explain,
            reads=reads,
            paused=paused,
        )
        self._line = line
        self._headers = {"host": parts.netloc, "x-forwarded-proto": parts.scheme, **headers}
        self._waited = waited

    def ask(self, method: str, path: str, query: Pairs, body: bytes) -> Answer:
        """
        One request as the service sees it, and its answer; follows what the transport follows.

        Raises:
            ServiceError: as `GuardedSession.send`.
        """
        for _ in range(transport.REDIRECTS_MAX + 1):
            request = Request(method=method, path=path, query=query, headers=self._headers, body=body)
            call = transport.Call(text=f"{method} {path}", changing=not self.reads(method, path), secrets=())
            answer = cast("Answer", self._exchange(cast("requests.PreparedRequest", request), call))
            target = answer.headers.get("location", "")
            if answer.status_code < 300 or not target:
                return answer
            path, query = _aimed(target)
        raise self._failed(call, "too many redirects", code="REDIRECT_LOOP")

    def _carry(self, request: requests.PreparedRequest) -> requests.Response:
        asked = cast("Request", request)
        response = self._line.handle(asked, self.clock.now())
        if response.status == NO_ANSWER:
            raise adapter.lost(response, transport.READ_TIMEOUT_S, self._waited)
        return cast("requests.Response", Answer(response))

    def _keep(self, response: requests.Response, body: bytes, parsed: Any) -> None:
        answer = cast("Answer", response)
        answer.content, answer.parsed = body, parsed


class Airtable(airtable.Client):
    """The calls of one base, without pyairtable."""

    def __init__(self, session: DirectSession, base: BaseId) -> None:
        self._base = base
        self._direct = session

    def _ask(
        self,
        parse: Callable[[Any], T],
        method: str,
        *path: str,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> T:
        where = "/v0/" + "/".join(path)
        answer = self._direct.ask(method, where, _pairs(params), b"" if json is None else _encoded(json))
        try:
            return parse(answer.parsed)
        except airtable_shape.ShapeError as error:
            kind = errors.Unreachable if airtable.reads(method, where) else errors.Unclear
            raise kind(
                f"{method} {where}: the answer has another shape than documented: {error}",
                service=airtable.SERVICE,
                request=f"{method} {where}",
                code="BROKEN_ANSWER",
            ) from error


class Bitbucket(bitbucket.Client):
    """The calls of one workspace, without atlassian-python-api."""

    def __init__(self, session: DirectSession, base_url: str, workspace: str) -> None:
        self._base = urlsplit(base_url)
        self._direct = session
        self._workspace = workspace

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | Sequence[str]] | None = None,
        body: bitbucket_shape.Json | None = None,
        link: str = "",
    ) -> requests.Response:
        where, query = _aimed(link) if link else (f"{self._base.path}/{path}", _pairs(params))
        return cast(
            "requests.Response", self._direct.ask(method, where, query, b"" if body is None else _encoded(body))
        )

    def _parsed(self, method: str, path: str, answer: requests.Response, read: Callable[[Any], T]) -> T:
        return self._translated(method, path, cast("Answer", answer).parsed, read)


def explain(service: str) -> transport.Explain:
    """How a service words its refusals."""
    return airtable_translate.explain if service == "airtable" else bitbucket_translate.explain


def _encoded(body: Any) -> bytes:
    return json.dumps(body, allow_nan=False).encode()


def _pairs(params: Mapping[str, Any] | None) -> Pairs:
    """A query as `requests` encodes it: a sequence repeats its name."""
    if not params:
        return ()
    found: list[tuple[str, str]] = []
    for name, value in params.items():
        found += [
            (name, str(one)) for one in (value if isinstance(value, list | tuple | set | frozenset) else (value,))
        ]
    return tuple(found)


def _aimed(link: str) -> tuple[str, Pairs]:
    parts = urlsplit(link)
    return parts.path, tuple(parse_qsl(parts.query, keep_blank_values=True))
