"""Who may send another request: the sliding second per base and per user, the penalty, the month's quota."""

from datetime import datetime, timedelta

from syncd.sandbox.airtable import refusal
from syncd.sandbox.airtable.world import Base, User, Window, Workspace, World
from syncd.sandbox.choices import RatePenalty

_SECOND = timedelta(seconds=1)


def admit(world: World, base: Base | None, user: User, now: datetime, *, blockable: bool) -> None:
    """
    Charge one request.

    Args:
        world: the service.
        base: the base it goes to, None for calls that name none.
        user: whose token it carries.
        now: the instant.
        blockable: False for `/v0/meta/…`, which has been seen to answer while data calls were blocked by the monthly
            quota (reference/airtable.md 6.1).

    Raises:
        Refusal: 429 of one of the two kinds.
    """
    limits = world.limits
    if limits.user_per_second is not None:
        window = world.user_windows.setdefault(user.id, Window())
        _charge(world, window, limits.user_per_second, now)
    if base is None:
        return
    if limits.base_per_second is not None:
        _charge(world, base.window, limits.base_per_second, now)
    spend(base.workspace, 1, now)
    monthly = base.workspace.monthly
    if blockable and monthly is not None and base.workspace.spent > monthly:
        raise refusal.quota_spent()


def spend(workspace: Workspace, calls: int, now: datetime) -> None:
    """Count calls of this calendar month (UTC)."""
    month = (now.year, now.month)
    if workspace.month != month:
        workspace.month, workspace.spent = month, 0
    workspace.spent += calls


def _charge(world: World, window: Window, per_second: int, now: datetime) -> None:
    """
    One more request in the sliding second.

    Under the penalty every refused request starts the 30 seconds again: "after a 429 wait 30 s" (8.1).
    """
    punishing = world.choices.rate_penalty is RatePenalty.THIRTY_SECONDS
    if punishing and window.blocked_until is not None and now < window.blocked_until:
        window.blocked_until = now + timedelta(seconds=world.limits.penalty_s)
        raise refusal.too_fast()
    while window.hits and window.hits[0] <= now - _SECOND:
        window.hits.popleft()
    if len(window.hits) >= per_second:
        window.blocked_until = now + timedelta(seconds=world.limits.penalty_s)
        raise refusal.too_fast()
    window.hits.append(now)


def consume(world: World, base: Base, requests: int, now: datetime) -> int:
    """Another client's requests to the base, all at this instant; returns how many of them were refused."""
    refused = 0
    for _ in range(requests):
        try:
            if world.limits.base_per_second is not None:
                _charge(world, base.window, world.limits.base_per_second, now)
            spend(base.workspace, 1, now)
        except refusal.Refusal:
            refused += 1
    return refused
