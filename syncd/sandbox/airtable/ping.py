"""Pings: one small signed request that says "something changed"; retries and giving up (reference/airtable.md 5.3, 5.4)."""

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta

from syncd.sandbox.airtable.world import Base, Hook, World, milliseconds, seconds
from syncd.sandbox.choices import PingGaps
from syncd.sandbox.wire import Delivery

_FIRST_GAP_S = 10.0


def sign(secret: bytes, body: bytes) -> str:
    """The value of `X-Airtable-Content-MAC` for a body: HMAC-SHA256 over the raw bytes, lower-case hex."""
    return "hmac-sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def secret_text(secret: bytes) -> str:
    """`macSecretBase64`."""
    return base64.b64encode(secret).decode("ascii")


def active(hook: Hook, now: datetime) -> bool:
    """Whether it still makes payloads."""
    return hook.enabled and now < hook.expires_at


def ring(world: World, base: Base, hook: Hook, now: datetime) -> None:
    """Ask for a ping; several changes share one that waits."""
    if hook.url is None or not hook.notifies:
        return
    if hook.in_flight:
        hook.ping_again = True
    elif hook.ping is None:
        hook.pings += 1
        _schedule(world, base, hook, now, now + timedelta(seconds=world.limits.ping_delay_s), 1)


def _schedule(world: World, base: Base, hook: Hook, now: datetime, due_at: datetime, attempt: int) -> None:
    body = json.dumps(
        {"base": {"id": base.id}, "webhook": {"id": hook.id}, "timestamp": milliseconds(now)}, separators=(",", ":")
    ).encode()
    hook.ping = Delivery(
        id=f"{hook.id}-{hook.pings}-{attempt}",
        url=hook.url or "",
        headers={"content-type": "application/json", "x-airtable-content-mac": sign(hook.secret, body)},
        body=body,
        due_at=due_at,
        attempt=attempt,
    )
    world.ringing[hook.id] = (base, hook)


def take(world: World, now: datetime) -> tuple[Delivery, ...]:
    """Take the pings that are due, oldest first; those of hooks that died meanwhile are dropped."""
    taken: list[Delivery] = []
    for base, hook in list(world.ringing.values()):
        delivery = hook.ping
        if delivery is None or not hook.notifies or not active(hook, now) or hook.id not in base.hooks:
            hook.ping = None
            del world.ringing[hook.id]
        elif delivery.due_at <= now:
            hook.ping = None
            hook.in_flight = True
            del world.ringing[hook.id]
            world.in_flight[delivery.id] = (base, hook)
            taken.append(delivery)
    return tuple(sorted(taken, key=lambda each: (each.due_at, each.id)))


def next_due_at(world: World) -> datetime | None:
    """When the next ping is due."""
    if not world.ringing:
        return None
    return min((hook.ping.due_at for _, hook in world.ringing.values() if hook.ping is not None), default=None)


def report(world: World, delivery: Delivery, status: int | None, now: datetime) -> None:
    """
    Note a ping's outcome and plan what follows.

    200 and 204 are success. Otherwise up to 13 retries, doubling from 10 s, then notifications are switched off while
    payloads go on being stored.
    """
    known = world.in_flight.pop(delivery.id, None)
    if known is None:
        return
    base, hook = known
    hook.in_flight = False
    retry = delivery.attempt - 1
    success = status in {200, 204}
    again = retry < world.limits.ping_retries
    hook.last_result = {
        "success": success,
        "completionTimestamp": milliseconds(now),
        "durationMs": round(world.rng.uniform(2, 200), 6),
        "retryNumber": retry,
    }
    if success:
        hook.last_success_at = now
        if hook.ping_again:
            hook.ping_again = False
            ring(world, base, hook, now)
        return
    reason = (
        "The HTTP request did not complete in time."
        if status is None
        else f"The HTTP request returned a {status} status code instead of 200 or 204."
    )
    hook.last_result |= {"error": {"message": reason}, "willBeRetried": again}
    hook.ping_again = False
    if not again:
        hook.notifies = False
    elif hook.notifies:
        gap = _FIRST_GAP_S * 2**retry
        if world.choices.ping_gaps is PingGaps.JITTERED:
            gap *= world.rng.uniform(0.6, 1.0)
        _schedule(world, base, hook, now, now + timedelta(seconds=gap), delivery.attempt + 1)


def last_success(hook: Hook) -> str | None:
    """`lastSuccessfulNotificationTime`, whole seconds as recorded."""
    return None if hook.last_success_at is None else seconds(hook.last_success_at)
