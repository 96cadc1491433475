"""
Injected faults around any machine: refused, lost, broken and late answers, and lost, late, doubled, swapped deliveries.

Deterministic: what a fault does follows from the calls alone. A lost answer is a `Response` with the status `NO_ANSWER`,
which the fronts turn into a closed connection or a time-out.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from syncd.sandbox.wire import Delivery, LogEntry, Machine, Request, Response

NO_ANSWER = 0
LOST_HEADER = "x-sandbox-lost"
"""On a `NO_ANSWER` response: "closed" or "hanging"."""


class FaultKind(Enum):
    """What goes wrong. The first eight concern a request, the last four a delivery."""

    REFUSE = "refuse"
    """Not applied; answered with `status` (503) and `body`."""
    THROTTLE = "throttle"
    """Not applied; the service's own 429."""
    CLOSE_BEFORE = "close_before"
    """Not applied; the connection is closed."""
    LOSE_REPLY = "lose_reply"
    """Applied; the connection is closed before the answer."""
    HANG = "hang"
    """Never answered; applied only with `applied`."""
    FAIL_AFTER = "fail_after"
    """Applied; answered with `status` (502)."""
    HTML = "html"
    """Applied; a proxy's HTML page with `status` (200)."""
    CUT = "cut"
    """Applied; the second half of the body is missing."""
    ERROR_SHAPED = "error_shaped"
    """Applied; an error object under `status` (200)."""
    DROP_DELIVERY = "drop_delivery"
    """Not sent; the service believes `status` came back (200; 0 for nobody answered)."""
    DELAY_DELIVERY = "delay_delivery"
    """Sent `delay_s` (60) later."""
    DUPLICATE_DELIVERY = "duplicate_delivery"
    """Sent twice."""
    SWAP_DELIVERIES = "swap_deliveries"
    """`count` deliveries are held until all have come, or for `delay_s` (60), and sent in reverse."""


_ON_DELIVERY = frozenset(
    {
        FaultKind.DROP_DELIVERY,
        FaultKind.DELAY_DELIVERY,
        FaultKind.DUPLICATE_DELIVERY,
        FaultKind.SWAP_DELIVERIES,
    }
)
_APPLIED = frozenset(
    {FaultKind.LOSE_REPLY, FaultKind.FAIL_AFTER, FaultKind.HTML, FaultKind.CUT, FaultKind.ERROR_SHAPED}
)
_STATUS = {FaultKind.REFUSE: 503, FaultKind.FAIL_AFTER: 502}
_JSON = {"content-type": "application/json; charset=utf-8"}
_HTML = b"<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
_THROTTLED = {
    "airtable": Response(
        status=429,
        headers=_JSON,
        body=b'{"errors":[{"error":"RATE_LIMIT_REACHED","message":"Rate limit exceeded. Please try again later"}]}',
    ),
    "bitbucket": Response(
        status=429,
        headers={"content-type": "text/plain"},
        body=b"Rate limit for this resource has been exceeded",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    One fault and where it strikes.

    `service`, `method` select requests; `route` is a regular expression searched in the path (for deliveries: in the url,
    and `event` in the header `x-event-key`). The first `after` matches pass, the next `count` are hit (None: all).
    """

    kind: FaultKind
    service: str | None = None
    method: str | None = None
    route: str = ""
    event: str = ""
    after: int = 0
    count: int | None = 1
    status: int | None = None
    body: str | None = None
    headers: Mapping[str, str] | None = None
    applied: bool = False
    delay_s: float = 60.0


@dataclass(slots=True, kw_only=True)
class _Armed:
    """A fault with how often it matched and hit."""

    id: int
    fault: Fault
    matched: int = 0
    hits: int = 0

    def strikes(self) -> bool:
        """Count one match and say whether it is hit."""
        self.matched += 1
        if self.matched <= self.fault.after or (self.fault.count is not None and self.hits >= self.fault.count):
            return False
        self.hits += 1
        return True


class FaultyMachine:
    """
    A machine with faults around it; itself a machine.

    Args:
        inner: the emulated service.
        service: its name, "airtable" or "bitbucket"; selects faults and the words of the throttling answer.
    """

    def __init__(self, inner: Machine, service: str) -> None:
        """Wrap it; no fault is armed."""
        self.inner = inner
        self.service = service
        self.log: list[LogEntry] = inner.log
        self.hits: Counter[str] = Counter()
        self._armed: list[_Armed] = []
        self._made = 0
        self._held: list[Delivery] = []
        self._swapping: list[Delivery] = []
        self._swap_by: datetime | None = None
        self._copies: set[str] = set()

    def arm(self, fault: Fault) -> int:
        """Add a fault; returns its number."""
        self._made += 1
        self._armed.append(_Armed(id=self._made, fault=fault))
        return self._made

    def clear(self, number: int | None = None) -> None:
        """Remove one fault, or all. Held deliveries go out when they are due."""
        self._armed = [each for each in self._armed if number is not None and each.id != number]

    # ------------------------------------------------------------------------------------------------ requests

    def handle(self, request: Request, now: datetime) -> Response:
        """Answer a request, through the first fault that strikes it."""
        if not self._armed:
            return self.inner.handle(request, now)
        fault = self._strike(request)
        if fault is None:
            return self.inner.handle(request, now)
        self.hits[fault.kind.value] += 1
        if fault.kind is FaultKind.THROTTLE:
            return _THROTTLED.get(self.service, _THROTTLED["bitbucket"])
        if fault.kind is FaultKind.CLOSE_BEFORE:
            return Response(status=NO_ANSWER, headers={LOST_HEADER: "closed"})
        answer = Response(status=200)
        if fault.kind in _APPLIED or (fault.kind is FaultKind.HANG and fault.applied):
            answer = self.inner.handle(request, now)
        if fault.kind is FaultKind.LOSE_REPLY:
            return Response(status=NO_ANSWER, headers={LOST_HEADER: "closed"})
        if fault.kind is FaultKind.HANG:
            return Response(status=NO_ANSWER, headers={LOST_HEADER: "hanging"})
        return _spoilt(fault, answer)

    def _strike(self, request: Request) -> Fault | None:
        struck: Fault | None = None
        for each in self._armed:
            fault = each.fault
            if fault.kind in _ON_DELIVERY or fault.service not in (None, self.service):
                continue
            if fault.method not in (None, request.method) or not re.search(fault.route, request.path):
                continue
            if struck is None and each.strikes():
                struck = fault
        return struck

    # ---------------------------------------------------------------------------------------------- deliveries

    def due(self, now: datetime) -> tuple[Delivery, ...]:
        """Take what is due, after the faults on deliveries."""
        ready = [each for each in self._held if each.due_at <= now]
        self._held = [each for each in self._held if each.due_at > now]
        for delivery in self.inner.due(now):
            ready += self._disturb(delivery, now)
        if self._swapping and self._swap_by is not None and now >= self._swap_by:
            ready += self._unswap()
        return tuple(ready)

    def _disturb(self, delivery: Delivery, now: datetime) -> list[Delivery]:
        armed = self._strike_delivery(delivery)
        if armed is None:
            return [delivery]
        fault = armed.fault
        self.hits[fault.kind.value] += 1
        if fault.kind is FaultKind.DROP_DELIVERY:
            self.inner.delivered(delivery, 200 if fault.status is None else (fault.status or None), now)
            return []
        late = now + timedelta(seconds=fault.delay_s)
        if fault.kind is FaultKind.DELAY_DELIVERY:
            self._held.append(replace(delivery, due_at=late))
            return []
        if fault.kind is FaultKind.DUPLICATE_DELIVERY:
            copy = replace(delivery, id=f"{delivery.id}+copy")
            self._copies.add(copy.id)
            return [delivery, copy]
        self._swapping.append(delivery)
        if self._swap_by is None:
            self._swap_by = late
        return self._unswap() if armed.hits == fault.count else []

    def _strike_delivery(self, delivery: Delivery) -> _Armed | None:
        struck: _Armed | None = None
        for each in self._armed:
            fault = each.fault
            if fault.kind not in _ON_DELIVERY or fault.service not in (None, self.service):
                continue
            event = delivery.headers.get("x-event-key", "")
            if not re.search(fault.route, delivery.url) or not re.search(fault.event, event):
                continue
            if struck is None and each.strikes():
                struck = each
        return struck

    def _unswap(self) -> list[Delivery]:
        reversed_ones = self._swapping[::-1]
        self._swapping, self._swap_by = [], None
        return reversed_ones

    def delivered(self, delivery: Delivery, status: int | None, now: datetime) -> None:
        """Pass the outcome on; that of a copy concerns nobody."""
        if delivery.id in self._copies:
            self._copies.discard(delivery.id)
        else:
            self.inner.delivered(delivery, status, now)

    def next_due_at(self) -> datetime | None:
        """When `due` will next have something."""
        inner = self.inner.next_due_at()
        if not self._held and self._swap_by is None:
            return inner
        moments = [each.due_at for each in self._held]
        moments += [moment for moment in (inner, self._swap_by) if moment is not None]
        return min(moments, default=None)

    # ------------------------------------------------------------------------------------------------- control

    def control(self, verb: str, arguments: Mapping[str, Any], now: datetime) -> Any:
        """
        The wrapped machine's verbs, and four of its own.

        `set_fault {kind, …}` (the fields of `Fault`) → `{fault}`; `clear_faults {fault?}`; `faults {}` → the armed ones with
        their hits; `fault_hits {}` → hits per kind, also of faults that were cleared.

        Raises:
            ValueError: unknown verb, kind or argument.
        """
        if verb == "set_fault":
            return {"fault": self.arm(_read(arguments))}
        if verb == "clear_faults":
            return self.clear(arguments.get("fault"))
        if verb == "faults":
            return [
                {"fault": each.id, "kind": each.fault.kind.value, "matched": each.matched, "hits": each.hits}
                for each in self._armed
            ]
        if verb == "fault_hits":
            return dict(sorted(self.hits.items()))
        return self.inner.control(verb, arguments, now)


def _read(arguments: Mapping[str, Any]) -> Fault:
    try:
        fault = Fault(**{**arguments, "kind": FaultKind(arguments.get("kind"))})
        re.compile(fault.route)
        re.compile(fault.event)
    except (TypeError, ValueError, re.error) as error:
        kinds = ", ".join(kind.value for kind in FaultKind)
        raise ValueError(f"set_fault: {error}; kinds: {kinds}; see Fault for the other arguments") from error
    return fault


def _spoilt(fault: Fault, answer: Response) -> Response:
    """The answer that a fault on the answer makes of the true one."""
    status = _STATUS.get(fault.kind, 200) if fault.status is None else fault.status
    if fault.kind is FaultKind.CUT:
        return replace(answer, body=answer.body[: len(answer.body) // 2])
    if fault.kind is FaultKind.ERROR_SHAPED:
        body = fault.body or '{"error":{"type":"INTERNAL_ERROR","message":"Something went wrong"},"type":"error"}'
        return Response(status=status, headers={**_JSON, **(fault.headers or {})}, body=body.encode())
    body_bytes = _HTML if fault.body is None else fault.body.encode()
    return Response(status=status, headers={"content-type": "text/html", **(fault.headers or {})}, body=body_bytes)
