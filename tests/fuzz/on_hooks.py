"""Target: the public listener as a raw ASGI application, with intake, both verifiers and a real state behind it."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, NoReturn

from syncd import errors, ports, wiring
from syncd.airtable import delivery as airtable_delivery
from syncd.bitbucket import delivery as bitbucket_delivery
from syncd.flow import intake
from syncd.model.event import Delivery, DirtyWork, Endpoint, Event
from syncd.model.ids import EndpointId, RepositoryId
from syncd.store import sqlite
from syncd.web import hooks
from tests.fuzz import mutate
from tests.fuzz.target import Target, recorded, require
from tests.web.listening import StillClock

HOME = "{11111111-1111-1111-1111-111111111111}"
NEW, OLD, MAC_KEY = b"the new secret", "the öld one".encode(), b"0123456789abcdef"
BODY_MAX = 48 * 1024
_DECLARED = frozenset({200, 401, 404, 408, 413, 503})

_ROUTES = (
    *(("POST", "/hooks/bitbucket/e1"), ("POST", "/hooks/airtable/a1"), ("POST", "/hooks/bitbucket/e1")),
    *(("GET", "/hooks/bitbucket/e1"), ("POST", "/hooks/airtable/e1"), ("POST", "/hooks/bitbucket/old")),
    *(("POST", "/hooks/bitbucket/e1/"), ("POST", "/hooks/bitbucket/é1"), ("POST", "//hooks/bitbucket/e1")),
    *(
        ("POST", "/hooks/bitbucket/../bitbucket/e1"),
        ("POST", "/hooks/bitbucket/e1\n"),
        ("POST", ""),
        ("post", "/hooks/airtable/a1"),
    ),
)
_WAYS = ("whole", "bytes", "pieces", "empty pieces", "gone", "slow", "announced", "many digits", "lies", "broken store")
_SIGNED = (
    *("good", "good", "good", "old", "none", "wrong", "other body", "doubled", "same twice", "upper", "sha1", "short"),
    *("non-ASCII", "upper name", "of the other", "blank", "empty secret", "padded"),
)
_HEADERS: tuple[tuple[tuple[bytes, bytes], ...], ...] = (
    ((b"x-event-key", b"repo:push"), (b"x-request-uuid", b"r1"), (b"x-hook-uuid", b"h"), (b"x-attempt-number", b"1")),
    ((b"x-event-key", b"pullrequest:updated"),),
    (),
    ((b"x-event-key", b"\xff\xfe"), (b"x-request-uuid", b"\x7f\x01")),
    ((b"x-event-key", b"repo:push"), (b"x-event-key", b"issue:created"), (b"x-request-uuid", b"r" * 9000)),
    ((b"x-event-key", b"pipeline:span_created"), (b"content-encoding", b"gzip")),
    ((b"x-event-key", b"repo:push\r\nx: y"), (b"content-type", b"application/x-www-form-urlencoded")),
    ((b"x-event-key", "новый:ключ".encode()), (b"x-request-uuid", "\u202e'; --".encode())),
)


class _Noting(sqlite.SqliteStore):
    """The state in memory; says what became of deliveries, and can be told to fail."""

    processed: list[tuple[int, ports.Disposition, str]]
    marked: list[DirtyWork]
    pinged: list[EndpointId]
    broken: bool = False

    def save_deliveries(self, arrived: Sequence[ports.Arrived]) -> tuple[int, ...]:
        if self.broken:
            raise errors.StoreError("the disk is full")
        return super().save_deliveries(arrived)

    def save_processed(
        self,
        processed: Sequence[tuple[int, ports.Disposition, str]],
        dirty: Sequence[tuple[DirtyWork, datetime | None]],
        pinged: Sequence[EndpointId],
        now: datetime,
        not_before: datetime,
    ) -> None:
        super().save_processed(processed, dirty, pinged, now, not_before)
        self.processed = list(processed)
        self.marked = [work for work, _ in dirty]
        self.pinged = list(pinged)


@dataclass
class Stand:
    """The application and what stands behind it, for many inputs."""

    loop: asyncio.AbstractEventLoop
    store: _Noting
    intake: intake.Intake
    app: hooks.Hooks
    impatient: hooks.Hooks
    read: list[int]
    # (endpoint, request id, event key, digest) of what was stored: the same again is the same delivery.
    seen: set[tuple[str | bytes, ...]] = field(default_factory=set)
    inputs: int = 0

    def close(self) -> None:
        self.app.close()
        self.impatient.close()
        self.store.close()
        self.loop.close()


def opened() -> Stand:
    store = _Noting.in_memory()
    assert isinstance(store, _Noting)
    for name, provider, active in (("e1", "bitbucket", True), ("a1", "airtable", True), ("old", "bitbucket", False)):
        endpoint = Endpoint(
            id=EndpointId(name), provider=provider, connection="acme", subject=HOME, hook=f"h-{name}", active=active
        )
        store.save_endpoint(endpoint, base64.b64encode(MAC_KEY).decode() if provider == "airtable" else None)
    read: list[int] = []

    def reading(delivery: Delivery) -> Event | str:
        read.append(delivery.sequence)
        try:
            return bitbucket_delivery.parse(delivery.headers, delivery.body)
        except bitbucket_delivery.Unreadable as unreadable:
            return str(unreadable)

    made = intake.Intake(
        store,
        StillClock(),
        {
            "airtable": lambda found, headers, body: airtable_delivery.verify(
                headers, body, store.load_secret(found.id)
            ),
            "bitbucket": lambda _, headers, body: bitbucket_delivery.verify(
                headers, body, [NEW.decode(), OLD.decode()]
            ),
        },
        reading,
        wiring.read_ping,
        timedelta(seconds=5),
    )
    made.refresh([RepositoryId(HOME)])
    return Stand(
        loop=asyncio.new_event_loop(),
        store=store,
        intake=made,
        app=hooks.build(made, StillClock(), limits=hooks.Limits(body_bytes_max=BODY_MAX)),
        impatient=hooks.build(made, StillClock(), limits=hooks.Limits(body_bytes_max=BODY_MAX, body_wait_s=0.002)),
        read=read,
    )


class _Shared:
    """One stand for the whole run, renewed now and then so that the state stays small."""

    def __init__(self) -> None:
        self._stand: Stand | None = None

    def get(self) -> Stand:
        if self._stand is None or self._stand.inputs >= 1500:
            self.close()
            self._stand = opened()
        self._stand.inputs += 1
        return self._stand

    def close(self) -> None:
        if self._stand is not None:
            self._stand.close()
        self._stand = None


STAND = _Shared()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    path: str
    way: str
    signed: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def _request(data: bytes) -> _Request:
    data = data.ljust(4, b"\0")
    method, path = _ROUTES[data[0] % len(_ROUTES)]
    return _Request(
        method=method,
        path=path,
        way=_WAYS[data[1] % len(_WAYS)],
        signed=_SIGNED[data[2] % len(_SIGNED)],
        headers=_HEADERS[data[3] % len(_HEADERS)],
        body=data[4:],
    )


def _signature(request: _Request) -> list[tuple[bytes, bytes]]:
    is_airtable = "airtable" in request.path
    name = b"x-airtable-content-mac" if is_airtable else b"x-hub-signature"
    prefix = b"hmac-sha256=" if is_airtable else b"sha256="
    key = MAC_KEY if is_airtable else NEW

    def made(key: bytes, body: bytes) -> bytes:
        return prefix + hmac.new(key, body, hashlib.sha256).hexdigest().encode()

    good = made(key, request.body)
    match request.signed:
        case "good":
            return [(name, good)]
        case "old":
            return [(name, made(OLD, request.body))]
        case "none":
            return []
        case "wrong":
            return [(name, prefix + b"0" * 64)]
        case "other body":
            return [(name, made(key, request.body + b" "))]
        case "doubled":
            return [(name, prefix + b"0" * 64), (name, good)]
        case "same twice":
            return [(name, good), (name.upper(), good)]
        case "upper":
            return [(name, prefix + good[len(prefix) :].upper().replace(b"0", b"A"))]
        case "sha1":
            return [(name, b"sha1=" + hmac.new(key, request.body, hashlib.sha1).hexdigest().encode())]
        case "short":
            return [(name, good[:-1])]
        case "non-ASCII":
            return [(name, "sha256=é".encode() + good)]
        case "upper name":
            return [(name.upper(), good)]
        case "of the other":
            return [(b"x-hub-signature" if is_airtable else b"x-airtable-content-mac", good)]
        case "blank":
            return [(name, b"")]
        case "empty secret":
            return [(name, made(b"", request.body))]
    return [(name, good + b"\n")]


def _expected(request: _Request) -> int:
    """The status that SPEC section 5 asks for; 0 when the sender is gone before the end."""
    known = (request.method, request.path) in (("POST", "/hooks/bitbucket/e1"), ("POST", "/hooks/airtable/a1"))
    if not known:
        return 404
    if request.way in ("announced", "many digits"):
        return 413
    # Both send their whole body first.
    if len(request.body) > BODY_MAX:
        return 413
    if request.way == "gone":
        return 0
    if request.way == "slow":
        return 408
    genuine = {"good", "upper name"} | ({"old"} if "bitbucket" in request.path else set())
    if request.signed not in genuine:
        return 401
    return 503 if request.way == "broken store" else 200


def _messages(request: _Request) -> list[dict[str, Any]]:
    size = {"bytes": 1, "pieces": 1000, "empty pieces": 7}.get(request.way, len(request.body) or 1)
    size = max(size, len(request.body) // 200 + 1)
    pieces = [request.body[at : at + size] for at in range(0, len(request.body), size)] or [b""]
    if request.way == "empty pieces":
        pieces = [piece for one in pieces for piece in (b"", one)]
    found: list[dict[str, Any]] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if request.way == "gone":
        return [*found[:1], {"type": "http.disconnect"}]
    # The last message may come without either key.
    return [*found, {"type": "http.request"}]


def run_hooks(data: bytes) -> None:
    """The first four bytes choose route, way, signature and headers; the rest is the body."""
    request, stand = _request(data), STAND.get()
    wanted = _expected(request)
    stand.store.broken = request.way == "broken store"
    stand.read.clear()
    sent = _answered(stand, request)
    stand.store.broken = False
    require(not stand.read, "it was read before it was stored")
    if wanted == 0:
        require(not sent, "an answer to nobody")
    else:
        require([one["type"] for one in sent] == ["http.response.start", "http.response.body"], "not one answer")
        status = sent[0]["status"]
        require(status in _DECLARED, f"status {status}")
        require(status == wanted, f"status {status} where {wanted} was due")
        require(
            sent[1].get("body", b"") == b"" and (b"content-length", b"0") in sent[0]["headers"], "it tells something"
        )
    _stored(stand, request, wanted)


def _answered(stand: Stand, request: _Request) -> list[dict[str, Any]]:
    headers = [*request.headers, *_signature(request)]
    length = {"announced": b"%d" % (BODY_MAX + 1), "many digits": b"9" * 5000, "lies": b"1"}.get(request.way)
    if length is not None:
        headers.append((b"content-length", length))
    scope = {"type": "http", "method": request.method, "path": request.path, "headers": headers}
    messages, sent = _messages(request), list[dict[str, Any]]()

    async def receive() -> Any:
        if request.way == "slow" and len(messages) == 1:
            await asyncio.sleep(30)
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(dict(message))

    app = stand.impatient if request.way == "slow" else stand.app
    stand.loop.run_until_complete(app(scope, receive, send))
    return sent


def _stored(stand: Stand, request: _Request, wanted: int) -> None:
    """What was acknowledged, and nothing else, is in the state; then it is read, or kept and shown."""
    waiting = stand.store.load_deliveries(10)
    if wanted != 200:
        require(not waiting, "something was stored that was not acknowledged")
        return
    endpoint = request.path.rpartition("/")[2]
    told = [_last(request, b"x-request-uuid"), _last(request, b"x-event-key")]
    key: tuple[str | bytes, ...] = (endpoint, *told, hashlib.sha256(request.body).digest())
    require(len(waiting) == (0 if key in stand.seen else 1), f"{len(waiting)} rows for one delivery")
    stand.seen.add(key)
    if not waiting:
        return
    require(waiting[0].body == request.body, "other bytes than those that came")
    require(
        set(waiting[0].headers) <= {"x-event-key", "x-hook-uuid", "x-request-uuid", "x-attempt-number"},
        "a header too many",
    )
    require(stand.intake.process() == 1, "it was not processed")
    require(not stand.store.load_deliveries(10), "it waits for ever")
    ((_, disposition, reason),) = stand.store.processed
    require(not reason.startswith("reading it failed"), f"an undeclared error in the decoder: {reason}")
    if _unreadable(request.body):
        require(disposition is ports.Disposition.QUARANTINED and reason, f"unreadable, and {disposition.value}")
    if disposition is ports.Disposition.QUARANTINED:
        _, newest = stand.store.load_quarantined(1)
        require([one.sequence for one in newest] == [waiting[0].sequence], "it is not shown")
    if endpoint == "a1":
        require(stand.store.pinged == ["a1"], "its base is not looked at")
    elif _unreadable(request.body):
        require([work.name for work in stand.store.marked] == [""], "its repository is not looked at again")


def _last(request: _Request, name: bytes) -> str:
    """A header as it is kept; of several the last."""
    found = next((value for key, value in reversed(request.headers) if key == name), b"")
    return found.decode("utf-8", "replace")[:200]


def _unreadable(body: bytes) -> bool:
    """Whether no reader of JSON takes it; how deep is too deep is the decoder's own business."""
    try:
        json.loads(body.decode("utf-8"), parse_int=str, parse_constant=_refuse)
    except RecursionError:
        return False
    except ValueError:
        return True
    return False


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _seeds() -> list[bytes]:
    bodies = [body for name, body in recorded("bitbucket") if not name.startswith("api--")][::6]
    odd = [
        *(b"", b"null", b"NaN", b'{"a": NaN}', b"[" * 3000, b'{"a":' * 3000, b"\x1f\x8b\x08\x00", b"payload=%7B%7D"),
        *(
            b'{"repository":{"uuid":"%s"}}' % HOME.encode(),
            b'{"a":1,"a":2}',
            b'{"a":"\\ud800"}',
            b'{"a":"\xed\xa0\x80"}',
        ),
        *(b"\xff", "{}".encode("utf-16"), b"9" * 6000, b"x" * (BODY_MAX + 1)),
        b'{"repository":{"uuid":"%s"},"push":{"changes":[{"new":{"type":[]}}]}}' % HOME.encode(),
    ]
    controls = [
        *(bytes([0, 0, 0, 0]), bytes([1, 0, 0, 2]), bytes([0, 2, 3, 1])),
        *(bytes([route, 0, 0, 0]) for route in range(3, len(_ROUTES))),
        *(bytes([0, way, 0, 0]) for way in range(1, len(_WAYS))),
        *(bytes([index % 2, 0, index, 0]) for index in range(3, len(_SIGNED))),
        *(bytes([0, 0, 0, index]) for index in range(1, len(_HEADERS))),
    ]
    ping = (
        b'{"base":{"id":"appBASE0000000001"},"webhook":{"id":"achHOOK0000000001"},"timestamp":"2026-11-21T06:00:00Z"}'
    )
    good = b'{"repository":{"uuid":"%s"}}' % HOME.encode()
    return [
        *(control + good for control in controls),
        *(b"\0\0\0\0" + body for body in (*bodies, *odd)),
        *(b"\1\0\0\2" + body for body in (ping, ping[:-1], *odd[:-2])),
    ]


def _mutated(data: bytes, random: Random) -> bytes:
    changed = mutate.of_json_bytes(data, random, head=4) if random.randint(0, 1) else mutate.of_bytes(data, random)
    if random.randint(0, 1):
        # Most often a good signature on the usual way: what is refused at the door reaches nothing behind it.
        head = bytes(random.randint(0, 255) if random.randint(0, 2) == 0 else 0 for _ in range(4))
        changed = head + changed[4:]
    return changed


TARGETS = (
    Target(
        name="hooks",
        files=("web/hooks.py", "flow/intake.py", "bitbucket/delivery.py", "bitbucket/shape.py", "airtable/delivery.py"),
        seeds=_seeds,
        run=run_hooks,
        mutate=_mutated,
    ),
)
