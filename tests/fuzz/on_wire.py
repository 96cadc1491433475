"""Targets: deliveries, payload pages, every shape of answer, and the clients over a transport that says anything."""

import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from random import Random
from typing import Any, NoReturn

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter

from syncd import errors, ports, transport
from syncd.airtable import client as airtable_client
from syncd.airtable import delivery as airtable_delivery
from syncd.airtable import shape as airtable_shape
from syncd.airtable import translate as airtable_translate
from syncd.airtable.side import AirtableSide
from syncd.bitbucket import client as bitbucket_client
from syncd.bitbucket import delivery as bitbucket_delivery
from syncd.bitbucket import shape as bitbucket_shape
from syncd.bitbucket import translate as bitbucket_translate
from syncd.core import budget
from syncd.flow import ledger
from syncd.model import value
from syncd.model.ids import AccountId, BaseId, FieldId, HookId, RecordId, RepositoryId, TableId
from syncd.model.schema import Field
from syncd.model.value import Unknown
from syncd.store.sqlite import SqliteStore
from tests.airtable.cells import PRECISIONS
from tests.fuzz import mutate
from tests.fuzz.target import Target, recorded, require
from tests.wire_stand import HandClock

HOME = RepositoryId("{11111111-1111-1111-1111-111111111111}")
_OWN = AccountId("usrOWN00000000001")
_KINDS = (*sorted(airtable_translate.READABLE), "multipleAttachments")
_RESULTS = (
    "",
    "number",
    "singleLineText",
    "multipleSelects",
    "singleSelect",
    "date",
    "dateTime",
    "checkbox",
    "barcode",
)
FIELDS = tuple(
    Field(
        id=FieldId(f"fld{kind}{result}".ljust(17, "0")),
        name=f"{kind} {result}".strip(),
        kind=kind,
        choices=("Ready", "Planned"),
        precision=PRECISIONS.get(kind),
        result_kind=result,
    )
    for kind in _KINDS
    for result in (_RESULTS if kind in ("formula", "rollup", "multipleLookupValues") else ("",))
)
_BY_ID = {field.id: field for field in FIELDS}
_EVENT_KEYS = (
    *("repo:push", "pullrequest:created", "pullrequest:updated", "pullrequest:fulfilled", "repo:commit_status_created"),
    *(
        "repo:updated",
        "repo:fork",
        "issue:created",
        "pullrequest:comment_created",
        "repo:deleted",
        "new:kind",
        "",
        "REPO:PUSH",
    ),
    *("repo:push\n", "a" * 200, "répo:push", "pipeline:span_created"),
)


def loaded(data: bytes) -> Any:
    """JSON as the transport lets it through; None for anything else."""
    try:
        return json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def require_storable(found: Any) -> None:
    """Whatever comes out of a decoder can be kept: Unicode, 64 bits, moments in UTC, finite numbers."""
    ahead = [found]
    while ahead:
        here = ahead.pop()
        if isinstance(here, str):
            require(bitbucket_shape.is_unicode(here), "half a character came through")
        elif isinstance(here, bool | Enum) or here is None:
            continue
        elif isinstance(here, int):
            require(abs(here) < 2**63, "a number that no store takes")
        elif isinstance(here, datetime):
            require(here.utcoffset() is not None and not here.utcoffset(), "a moment that is not in UTC")
        elif isinstance(here, Decimal):
            require(here.is_finite(), "a number without end")
        elif dataclasses.is_dataclass(here):
            ahead += [getattr(here, field.name) for field in dataclasses.fields(here)]
        elif isinstance(here, Mapping):
            ahead += [*here.keys(), *here.values()]
        elif isinstance(here, tuple | list | set | frozenset):
            ahead += here
        else:
            require(isinstance(here, date), f"a {type(here).__name__}, which nobody knows")


# ----------------------------------------------------------------------------------------------- deliveries, pages


def run_bitbucket_delivery(data: bytes) -> None:
    """The first byte chooses the event key."""
    headers = {"x-event-key": _EVENT_KEYS[data[0] % len(_EVENT_KEYS)]} if data else {}
    try:
        event = bitbucket_delivery.parse(headers, data[1:])
    except bitbucket_delivery.Unreadable as refused:
        require(str(refused), "unreadable without a word")
        return
    require_storable(event)
    require(len(event.dirty) <= bitbucket_delivery.BRANCHES_MAX + 1, "more keys than a push may make dirty")
    require(
        event.dirty or event.repository is None or event.retired or not event.problem, "a problem makes nothing dirty"
    )
    hash(event)


def run_airtable_changes(data: bytes) -> None:
    airtable_delivery.parse_ping(data)
    page = loaded(data)
    try:
        changes = airtable_delivery.parse_changes(page, 7, _BY_ID, _OWN)
    except airtable_shape.ShapeError as refused:
        require(str(refused), "refused without a word")
        return
    require_storable(changes)
    require(changes.next_cursor >= 1, "a cursor before the first payload")
    require(not changes.more or changes.next_cursor > 7, "the same page would be asked for for ever")
    for cell in changes.cells:
        if cell.previous is not None:
            _kept(cell.previous)


# ---------------------------------------------------------------------------------------------------------- answers

_BITBUCKET: tuple[Callable[[Any], Any], ...] = (
    bitbucket_translate.page,
    bitbucket_translate.repository,
    lambda raw: bitbucket_translate.pull_request(raw, HOME),
    lambda raw: bitbucket_translate.branch(raw, HOME),
    lambda raw: bitbucket_translate.commit(raw, HOME),
    lambda raw: bitbucket_translate.build(raw, HOME),
    lambda raw: bitbucket_translate.deployment(raw, HOME),
    bitbucket_translate.merged_at,
    bitbucket_translate.snapshot,
    bitbucket_translate.hook,
    bitbucket_translate.event_name,
    bitbucket_translate.own_account,
    bitbucket_translate.account,
    lambda raw: bitbucket_translate.explain(400, raw),
    bitbucket_translate.hook_id,
)
# What is only shown or handed on by the client, which refuses what it cannot use.
_NOT_KEPT = (bitbucket_translate.page, _BITBUCKET[13])


def run_bitbucket_answers(data: bytes) -> None:
    """The same answer to every reader: whole, and each entry of its list."""
    body = loaded(data)
    entries = body.get("values") if isinstance(body, dict) else None
    for raw in (body, *(entries[:3] if isinstance(entries, list) else ())):
        for read in _BITBUCKET:
            try:
                found = read(raw)
            except bitbucket_shape.Malformed as refused:
                require(refused.code and str(refused), "refused without a word")
                continue
            if read not in _NOT_KEPT:
                require_storable(found)


def run_airtable_answers(data: bytes) -> None:
    """As a schema, as records, and every piece of it as a cell of every kind of field."""
    body = loaded(data)
    _shaped(lambda: airtable_translate.parse_tables(BaseId("appBASE0000000001"), body))
    _shaped(lambda: airtable_translate.parse_field(body))
    records = body.get("records") if isinstance(body, dict) else None
    for raw in (body, *(records[:3] if isinstance(records, list) else ())):
        _shaped(partial(airtable_translate.parse_record, raw, FIELDS))
    airtable_translate.explain(422, body)
    pieces = [holder[key] for holder, key in mutate.places([body])[:4]]
    for field in FIELDS:
        for piece in pieces:
            for found in (airtable_translate.decode(field, piece), airtable_translate.decode_hook(field, piece)):
                if isinstance(found, Unknown):
                    require(found.reason, "unknown without a word")
                else:
                    _kept(found)
                    _written(field, found)


def _shaped(read: Callable[[], Any]) -> None:
    try:
        found = read()
    except airtable_shape.ShapeError as refused:
        require(str(refused), "refused without a word")
        return
    require_storable([cell for cell in _leaves(found) if not isinstance(cell, Unknown)])


def _leaves(found: Any) -> list[Any]:
    """The cells of a record; anything else as it is."""
    return [*found.cells.values(), found.id, found.created_at] if hasattr(found, "cells") else [found]


def _kept(found: value.Value) -> None:
    """A value goes into the state and comes back equal, and people see it."""
    require_storable(found)
    require(value.parse(value.dump(found)) == found, "the state gives another value back")
    json.dumps(value.plain(found))


def _written(field: Field, found: value.Value) -> None:
    if field.kind not in airtable_translate.WRITABLE:
        return
    try:
        sent = airtable_translate.encode(field, found)
    except ValueError:
        return
    require(airtable_translate.decode(field, sent) == found, "what is written reads back as something else")


# ---------------------------------------------------------------------------------------------------------- clients

_STATUSES = (
    200,
    200,
    200,
    200,
    201,
    204,
    301,
    302,
    303,
    400,
    401,
    403,
    404,
    409,
    410,
    418,
    422,
    429,
    500,
    503,
    999,
    100,
)
_HEADERS: tuple[dict[str, str], ...] = (
    {"content-type": "application/json"},
    {},
    {"content-type": "text/html; charset=nonsense"},
    {"content-encoding": "gzip"},
    {"content-encoding": "deflate, br"},
    {"location": "https://elsewhere.example/2.0/x"},
    {"location": "//elsewhere.example"},
    {"location": "/v0/again"},
    *({"location": location} for location in ("http://[::1", "http://*.example", "http://", "//a:b/", "\xff")),
    {"retry-after": "9" * 400},
    {"retry-after": "9" * 5000},
    {"retry-after": "\u0663\u00b2"},
    {"retry-after": "-1"},
    {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"},
    {"content-length": "3"},
    {"set-cookie": "a=b; domain=.org"},
)


class _Anything(BaseAdapter):
    """A network that gives one answer to everything, and remembers who asked."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__()
        self.status, self.headers, self.body = status, headers, body
        self.asked: list[tuple[str, str]] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.asked.append((str(request.method), str(request.url)))
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(self.body), headers=self.headers, status=self.status, preload_content=False
        )
        built: requests.Response = HTTPAdapter().build_response(request, raw)
        return built

    def close(self) -> None:
        """Nothing is open."""


_TABLE, _RECORD, _HOOK = TableId("tblTABLE000000001"), RecordId("recRECORD00000001"), HookId("achHOOK0000000001")


def _side(calls: airtable_client.Client) -> AirtableSide:
    return AirtableSide(calls, BaseId("appBASE0000000001"))


_ASK_AIRTABLE: tuple[Callable[[airtable_client.Client], Any], ...] = (
    lambda one: one.whoami(),
    lambda one: one.tables(lambda raw: airtable_translate.parse_tables(BaseId("appBASE0000000001"), raw)),
    lambda one: one.records(
        lambda raw: airtable_translate.parse_record(raw, FIELDS), _TABLE, fields=[field.id for field in FIELDS]
    ),
    lambda one: one.record_exists(_TABLE, _RECORD),
    lambda one: one.update(
        lambda raw: airtable_translate.parse_record(raw, FIELDS), _TABLE, {_RECORD: {FIELDS[0].id: "x"}}
    ),
    lambda one: one.payloads(lambda raw: airtable_delivery.parse_changes(raw, 1, _BY_ID, None), _HOOK, 1),
    lambda one: require_storable(_side(one).fetch_hooks()),
    lambda one: require_storable(_side(one).create_hook("https://syncd.example/hooks/airtable/a1")),
    lambda one: require_storable(_side(one).send_hook_renewal(_HOOK)),
    lambda one: one.enable_notifications(_HOOK),
    lambda one: one.delete_hook(_HOOK),
)
_ASK_BITBUCKET: tuple[Callable[[bitbucket_client.Client], Any], ...] = (
    lambda one: one.user(),
    lambda one: one.repositories(),
    lambda one: one.pull_requests(HOME, since=None, source="a", states=bitbucket_translate.STATES),
    lambda one: one.pull_request(HOME, 1),
    lambda one: one.create_pull_request(HOME, {"title": "x"}),
    lambda one: one.change_pull_request(HOME, 1, {"title": "x"}),
    lambda one: one.pull_request_commits(HOME, 1),
    lambda one: list(one.activity(HOME, 1)),
    lambda one: list(one.snapshots(HOME, 1)),
    lambda one: one.branches(HOME, holding="a"),
    lambda one: one.branch(HOME, "a/b"),
    lambda one: one.create_branch(HOME, "a", "0" * 40),
    lambda one: one.builds(HOME, "0" * 40),
    lambda one: list(one.deployments(HOME)),
    lambda one: one.hooks(HOME),
    lambda one: one.delete_hook(HOME, HookId("{a}")),
)


def _network(data: bytes) -> _Anything:
    return _Anything(_STATUSES[data[1] % len(_STATUSES)], _HEADERS[data[2] % len(_HEADERS)], data[3:])


def _asked(ask: Callable[[], Any], network: _Anything, root: str, *, reads: transport.Reads) -> None:
    try:
        ask()
    except errors.ServiceError as refused:
        require(
            refused.message and bitbucket_shape.is_unicode(refused.message + refused.detail),
            "an error that cannot be told",
        )
    for _, url in network.asked:
        require(url.startswith(root), f"it asked elsewhere: {url[:60]}")
    changing = [method for method, url in network.asked if not reads(method, url)]
    require(len(changing) <= 1, "a changing request was sent twice")
    require(len(network.asked) <= 8, f"{len(network.asked)} requests for one answer")


# Only asked whether it holds a budget, which it never does.
_EMPTY = SqliteStore.in_memory()


def _gate(clock: HandClock, limits: budget.Budget) -> ports.Gate:
    """The real one: it reads headers of the answer as well. Nothing is loaded from the state or saved in it."""
    return ledger.Ledger(_EMPTY, clock).gate(limits.name, [limits])


def run_airtable_client(data: bytes) -> None:
    """The first three bytes choose the call, the status and the headers of the answer."""
    data = data.ljust(3, b"\0")
    network, clock, root = _network(data), HandClock(), "https://api.airtable.com"
    with transport.open_session(
        service="airtable",
        base_url=root,
        gate=_gate(clock, budget.airtable_base("airtable", 0.8, None)),
        clock=clock,
        explain=airtable_translate.explain,
        user_agent="syncd-test",
        reads=airtable_client.reads,
        adapter=network,
    ) as session:
        one = airtable_client.Client(session, base_url=root, base=BaseId("appBASE0000000001"), token="patX")
        call = _ASK_AIRTABLE[data[0] % len(_ASK_AIRTABLE)]
        _asked(lambda: call(one), network, f"{root}/", reads=airtable_client.reads)


def run_bitbucket_client(data: bytes) -> None:
    """As `run_airtable_client`."""
    data = data.ljust(3, b"\0")
    network, clock, root = _network(data), HandClock(), "https://api.bitbucket.org"
    with transport.open_session(
        service="bitbucket",
        base_url=root,
        gate=_gate(clock, budget.bitbucket("bitbucket", 1000, 1.0)),
        clock=clock,
        explain=bitbucket_translate.explain,
        user_agent="syncd-test",
        adapter=network,
    ) as session:
        credential = bitbucket_client.Credential(token="X")
        one = bitbucket_client.Client(session, base_url=root, workspace="acme", credential=credential)
        call = _ASK_BITBUCKET[data[0] % len(_ASK_BITBUCKET)]
        _asked(lambda: call(one), network, f"{root}/", reads=transport.reads_by_method)


# ------------------------------------------------------------------------------------------------------------ seeds


def _delivery_seeds() -> list[bytes]:
    bodies = [body for name, body in recorded("bitbucket") if not name.startswith("api--")]
    push = {"repository": {"uuid": HOME}, "push": {"changes": [{"new": {"type": "branch", "name": "a"}, "old": None}]}}
    request = {"repository": {"uuid": HOME}, "pullrequest": {"id": 1, "updated_on": "2026-11-21T06:00:00Z"}}
    seeds = [bytes([index]) + mutate.dumped(made) for index in range(6) for made in (push, request)]
    return [
        *seeds,
        *(bytes([index % 5]) + body for index, body in enumerate(bodies)),
        b"\x00\xff",
        b"\x01" + b"[" * 5000,
    ]


def _bodies(service: str) -> list[bytes]:
    found = [body for name, body in recorded(service) if service == "airtable" or name.startswith("api--")]
    # The recorded ones are often a story around the answer: its inner objects are seeds as well.
    inner = [mutate.dumped(holder[key]) for body in found for holder, key in mutate.places(loaded(body) or [])[:6]]
    return [
        *found,
        *(body for body in inner if 20 < len(body) < 8_000),
        b"{}",
        b'{"values": [{}]}',
        b'{"records": [{}]}',
    ]


def _pages() -> list[bytes]:
    user = {"source": "publicApi", "sourceMetadata": {"user": {"id": _OWN}}}
    cells = {field.id: 1 for field in FIELDS}
    both = {"current": {"cellValuesByFieldId": cells}, "previous": {"cellValuesByFieldId": cells}}
    table = {"changedRecordsById": {_RECORD: both}, "destroyedRecordIds": [_RECORD]}
    view = {"changedViewsById": {"viwVIEW0000000001": table}, **table}
    payload = {"timestamp": "2026-11-21T06:00:00.000Z", "actionMetadata": user, "changedTablesById": {_TABLE: view}}
    page = {"cursor": 8, "mightHaveMore": True, "payloads": [payload]}
    return [mutate.dumped(page), mutate.dumped({**page, "payloads": [{"error": True, "code": "INVALID_HOOK"}]})]


# Lists that lead back to themselves, elsewhere, or nowhere.
_ENDLESS_BITBUCKET = [
    mutate.dumped({"values": [], "next": following})
    for following in (
        "https://api.bitbucket.org/2.0/again",
        "https://elsewhere.example/2.0/x",
        "https://[",
        "x" * 5000,
        "",
    )
]
# A list of webhooks and a new one, right and with one thing that no store takes.
_HOOK_LIST = {
    "id": _HOOK,
    "notificationUrl": "https://syncd.example/hooks/airtable/a1",
    "cursorForNextPayload": 8,
    "isHookEnabled": True,
    "areNotificationsEnabled": True,
    "expirationTime": "2026-11-28T06:00:00.000Z",
    "macSecretBase64": "c2VjcmV0",
}
_HOOKS_AIRTABLE = [
    mutate.dumped({**made, "webhooks": [made]})
    for made in (
        _HOOK_LIST,
        {**_HOOK_LIST, "cursorForNextPayload": 10**30},
        {**_HOOK_LIST, "notificationUrl": "https://\ud800"},
        {**_HOOK_LIST, "macSecretBase64": "\ud800"},
        {**_HOOK_LIST, "expirationTime": "0001-01-01T00:00:00+14:00"},
    )
]
_ENDLESS_AIRTABLE = [mutate.dumped({"records": [], "offset": offset}) for offset in ("again", "", 1, "\ud800")]


def _to_each(calls: Sequence[object], endless: list[bytes], bodies: list[bytes]) -> list[bytes]:
    """Every header with statuses that look at it, every handmade body to every call, and each recorded answer to one."""
    found = [bytes([call, 0, 0]) + body for body in endless for call in range(len(calls))]
    # Every header with a redirect, another one, and a refusal for now: to a call that reads, and to one that changes.
    odd = [bytes([call, status, at]) for at in range(len(_HEADERS)) for status in (6, 8, 17) for call in (0, 4)]
    return odd + found + [bytes([at % len(calls), 0, 0]) + body for at, body in enumerate(bodies)]


def _mutate_json(head: int) -> mutate.Mutator:
    def made(data: bytes, random: Random) -> bytes:
        changed = (
            mutate.of_json_bytes(data, random, head=head) if random.randint(0, 3) else mutate.of_bytes(data, random)
        )
        if head and random.randint(0, 3) == 0:
            changed = bytes(random.randint(0, 255) for _ in range(head)) + changed[head:]
        return changed

    return made


TARGETS = (
    Target(
        name="bitbucket-delivery",
        files=("bitbucket/delivery.py", "bitbucket/shape.py", "bitbucket/translate.py"),
        seeds=_delivery_seeds,
        run=run_bitbucket_delivery,
        mutate=_mutate_json(1),
    ),
    Target(
        name="airtable-changes",
        files=("airtable/delivery.py", "airtable/shape.py", "airtable/translate.py"),
        seeds=lambda: [*_pages(), *_bodies("airtable")],
        run=run_airtable_changes,
        mutate=_mutate_json(0),
    ),
    Target(
        name="bitbucket-answers",
        files=("bitbucket/shape.py", "bitbucket/translate.py"),
        seeds=lambda: _bodies("bitbucket"),
        run=run_bitbucket_answers,
        mutate=_mutate_json(0),
    ),
    Target(
        name="airtable-answers",
        files=("airtable/shape.py", "airtable/translate.py", "model/value.py"),
        seeds=lambda: _bodies("airtable"),
        run=run_airtable_answers,
        mutate=_mutate_json(0),
    ),
    Target(
        name="bitbucket-client",
        files=("bitbucket/client.py", "bitbucket/translate.py", "bitbucket/shape.py", "transport.py", "flow/ledger.py"),
        seeds=lambda: _to_each(_ASK_BITBUCKET, _ENDLESS_BITBUCKET, _bodies("bitbucket")),
        run=run_bitbucket_client,
        mutate=_mutate_json(3),
    ),
    Target(
        name="airtable-client",
        files=(
            "airtable/client.py",
            "airtable/side.py",
            "airtable/translate.py",
            "airtable/shape.py",
            "transport.py",
            "flow/ledger.py",
        ),
        seeds=lambda: _to_each(_ASK_AIRTABLE, _HOOKS_AIRTABLE + _ENDLESS_AIRTABLE, _bodies("airtable")),
        run=run_airtable_client,
        mutate=_mutate_json(3),
    ),
)
