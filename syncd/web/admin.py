"""
The admin listener: health, status and control, for this machine only.

A browser on this machine can be made to send requests by any page it shows. The Host header (DNS rebinding), the content
type and the origin (cross-site posts) are checked for that, and a listener that others can reach asks for a token.
"""

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from syncd import errors
from syncd.web import server
from syncd.web.control import Answer, Control

BODY_BYTES_MAX = 65_536
BODY_WAIT_S = 10.0
JOURNAL_LIMIT_MAX = 1_000
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_WILDCARDS = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One key of a POST's JSON object, or of a GET's query: its kind, and what it is when it is left out."""

    name: str
    kind: type
    required: bool = False
    default: Any = None


_SYNC = Argument(name="sync", kind=str)
_ONE_SYNC = Argument(name="sync", kind=str, required=True)
_RECORD = Argument(name="record", kind=str, required=True)
_FIELD = Argument(name="field", kind=str)

POSTS: Mapping[str, tuple[Argument, ...]] = {
    "plan": (_SYNC,),
    "apply": (_SYNC, Argument(name="digest", kind=str), Argument(name="accept", kind=list, default=())),
    "pause": (Argument(name="scope", kind=str, required=True), Argument(name="reason", kind=str, default="")),
    "resume": (Argument(name="scope", kind=str, required=True),),
    "resolve": (
        _ONE_SYNC,
        _RECORD,
        Argument(name="field", kind=str, required=True),
        Argument(name="winner", kind=str, required=True),
    ),
    "hold": (
        _ONE_SYNC,
        _RECORD,
        _FIELD,
        Argument(name="reason", kind=str, required=True),
        Argument(name="until", kind=str),
    ),
    "unhold": (_ONE_SYNC, _RECORD, _FIELD),
    "compare": (_SYNC,),
    "reload": (),
}
GETS: Mapping[str, tuple[Argument, ...]] = {
    "status": (),
    "conflicts": (_SYNC,),
    "journal": (
        _SYNC,
        Argument(name="record", kind=str),
        Argument(name="run", kind=str),
        Argument(name="after", kind=int, default=0),
        Argument(name="limit", kind=int, default=100),
    ),
}


def build(control: Control, address: server.Address, token: str = "") -> Starlette:
    """
    The application.

    Args:
        control: asked in worker threads, several at a time.
        address: where it will listen, as the spec says.
        token: when given, every request but `/healthz` must carry it.

    Raises:
        UsageError: others can reach the address and there is no token.
    """
    if not address.local and not token:
        raise errors.UsageError(
            f"daemon.admin = {address} can be reached from other machines, and no token protects it",
            next_step='set SYNCD_ADMIN_TOKEN, or use daemon.admin = "127.0.0.1:8484" or a unix socket',
        )
    routes = [
        Route("/healthz", _healthz, methods=["GET"]),
        Route("/readyz", _readyz(control), methods=["GET"]),
        *(Route(f"/{name}", _get(control, name, expected), methods=["GET"]) for name, expected in GETS.items()),
        *(Route(f"/{name}", _post(control, name, expected), methods=["POST"]) for name, expected in POSTS.items()),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Door, address=address, token=token)],
        exception_handlers={
            errors.SyncdError: _on_error,
            HTTPException: _on_http_error,
            Exception: _on_surprise,
        },
        max_body_size=BODY_BYTES_MAX,
    )


class Door:
    """Who may come in: the right name, no foreign page, and the token where one is needed."""

    def __init__(self, app: ASGIApp, address: server.Address, token: str) -> None:
        self._app = app
        self._address = address
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or not self._serves(hosts[0].lower(), scope["server"]):
            return _failure(403, "this listener does not serve that host name", "ask it at the address in daemon.admin")
        if self._token and scope["path"] != "/healthz" and not self._has_token(scope):
            return _failure(401, "the admin token is missing or wrong", "send Authorization: Bearer TOKEN")
        if scope["method"] in ("GET", "HEAD"):
            return None
        # A foreign page can post forms and plain text without asking first, JSON it cannot.
        types = [value.partition(";")[0].strip().lower() for value in _values(scope, b"content-type")]
        if types != ["application/json"]:
            return _failure(415, "a request that changes something is sent as application/json", "")
        origins = _values(scope, b"origin")
        if any(urlsplit(origin).netloc.lower() != hosts[0].lower() for origin in origins):
            return _failure(403, "requests from other sites are refused", "")
        return None

    def _serves(self, host: str, bound: tuple[str, int | None]) -> bool:
        # A page cannot reach a unix socket; on a wildcard address any name may be ours, and the token decides.
        if self._address.path or self._address.host in _WILDCARDS:
            return True
        names = {*_LOCAL_NAMES, *(_bracketed(name) for name in (self._address.host.lower(), bound[0]))}
        return host in {f"{name}:{bound[1]}" for name in names} or (bound[1] == 80 and host in names)

    def _has_token(self, scope: Scope) -> bool:
        sent = [value.encode("latin-1") for value in _values(scope, b"authorization")]
        return len(sent) == 1 and hmac.compare_digest(sent[0], b"Bearer " + self._token)


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _healthz(_request: Request) -> Response:
    """The process and its event loop live; asks nobody, so that nothing slow can make it late (NE08)."""
    return _json(200, {"alive": True})


def _readyz(control: Control) -> Callable[[Request], Any]:
    async def handle(_request: Request) -> Response:
        ready, reason = await run_in_threadpool(control.ready)
        return _json(200 if ready else 503, {"ready": ready, "reason": reason})

    return handle


def _get(control: Control, name: str, expected: tuple[Argument, ...]) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        given: dict[str, Any] = {}
        for key, text in request.query_params.multi_items():
            number = any(one.name == key and one.kind is int for one in expected)
            given[key] = int(text) if number and text.isascii() and text.isdigit() else text
        return _json(200, await _ask(control, name, read_arguments(given, expected)))

    return handle


def _post(control: Control, name: str, expected: tuple[Argument, ...]) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        try:
            async with asyncio.timeout(BODY_WAIT_S):
                body = await request.body()
        except TimeoutError as error:
            raise HTTPException(408, "the body did not come in time") from error
        try:
            given = json.loads(body or b"{}")
        except (ValueError, RecursionError) as error:
            raise errors.UsageError(f"the body is not JSON: {error}", next_step="send a JSON object") from error
        if not isinstance(given, dict):
            raise errors.UsageError("the body is not a JSON object", next_step="send a JSON object")
        return _json(200, await _ask(control, name, read_arguments(given, expected)))

    return handle


async def _ask(control: Control, name: str, arguments: Mapping[str, Any]) -> Answer:
    # By position: each table above lists its arguments in the method's order.
    answer: Answer = await run_in_threadpool(getattr(control, name), *arguments.values())
    return answer


def read_arguments(given: Mapping[str, Any], expected: tuple[Argument, ...]) -> dict[str, Any]:
    """Check a request's keys against what its method takes. Raises UsageError with everything that is wrong."""
    known = {argument.name for argument in expected}
    wrong = [f'"{key}" is not known' for key in sorted(set(given) - known)]
    read: dict[str, Any] = {}
    for argument in expected:
        value = given.get(argument.name)
        if value is None:
            if argument.required:
                wrong.append(f'"{argument.name}" is missing')
            value = list(argument.default) if argument.kind is list else argument.default
        elif not _fits(value, argument.kind):
            kinds = {str: "a text", int: "a whole number", list: "a list of texts"}
            wrong.append(f'"{argument.name}" must be {kinds[argument.kind]}')
        read[argument.name] = value
    if "limit" in known and isinstance(read["limit"], int):
        read["limit"] = max(1, min(read["limit"], JOURNAL_LIMIT_MAX))
    if wrong:
        names = ", ".join(sorted(known)) or "none"
        raise errors.UsageError("; ".join(wrong), next_step=f"expected keys: {names}")
    return read


def _fits(value: Any, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    # By identity, because True is an int too.
    return type(value) is kind


def status_of(error: errors.SyncdError) -> int:
    """The HTTP status of an error of ours."""
    match error:
        case errors.Refused():
            return 409
        case errors.UsageError() | errors.SpecError():
            return 400
        case errors.StoreError():
            return 503
        case errors.ServiceError():
            return 502
        case _:
            return 500


async def _on_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, errors.SyncdError):
        raise error
    told: Answer = {"message": error.message, "next_step": error.next_step, "class": type(error).__name__}
    if isinstance(error, errors.Refused):
        told["largest"] = list(error.largest)
    if isinstance(error, errors.SpecError):
        told["problems"] = [
            {name: getattr(problem, name) for name in errors.Problem.__dataclass_fields__} for problem in error.problems
        ]
    return _json(status_of(error), {"error": told})


async def _on_http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return _failure(error.status_code, error.detail, "syncd --help lists what can be asked")


async def _on_surprise(_request: Request, _error: Exception) -> Response:
    """A bug: the server logs it with its traceback, the answer says only where to look."""
    return _failure(500, "unexpected error", "look at the daemon's log", "SyncdError")


def _failure(status: int, message: str, next_step: str, kind: str = "UsageError") -> Response:
    return _json(status, {"error": {"message": message, "next_step": next_step, "class": kind}})


def _json(status: int, answer: Answer) -> Response:
    # ASCII only: a lone surrogate or a bidi override from a cell can break neither the encoding nor a terminal (DA02, DA04).
    return Response(json.dumps(answer), status_code=status, media_type="application/json", headers=_HEADERS)
