"""
How fast requests may go, as a value: sliding windows, the month, penalties. No clock: `now` comes in.

A window is exact: in no stretch of its span are there more requests than its limit. The share that syncd may use is
part of the limit already, and leaves room for the service counting a little differently than we do.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

# reference/airtable.md 8: 5 requests a second per base, 50 per token; a penalty of 30 s.
AIRTABLE_BASE_PER_SECOND = 5
AIRTABLE_TOKEN_PER_SECOND = 50
PENALTY = timedelta(seconds=30)
PENALTY_MAX = timedelta(minutes=15)
# Below this part of its limit a contended budget never falls: it would not notice when it is alone again.
FACTOR_MIN = 1 / 16
_RECOVERY_PER_MINUTE = 0.1
_FORGIVEN_AFTER = timedelta(hours=1)
_ZERO = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """At most `limit` requests in any stretch of `span`."""

    span: timedelta
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """
    One thing that requests are charged to.

    Args:
        windows: all of them hold; a burst limit and a sustained rate are two windows.
        month_limit: requests in a calendar month (UTC); None: no such limit.
        reserve: part of every limit that only priority 0 may use (writes that people wait for).
        stamps: when requests were made, oldest first, as far back as the longest window.
        month, month_used: the month that is counted, as "2026-11", and its requests.
        blocked_until: nothing goes out before.
        factor, contended_at: what a foreign 429 left of the limits, and when; it grows again from then on (AT02).
        strikes: penalties in a row.
        seen_at: the last `now`; one that lies before it is a clock set back.
    """

    name: str
    windows: tuple[Window, ...]
    month_limit: int | None = None
    reserve: float = 0.0
    stamps: tuple[datetime, ...] = ()
    month: str = ""
    month_used: int = 0
    blocked_until: datetime | None = None
    factor: float = 1.0
    contended_at: datetime | None = None
    strikes: int = 0
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A budget for people: requests allowed and used in its tightest measure, and when it is free again."""

    limit: int
    used: int
    resets: datetime
    contended: bool


def airtable_base(name: str, share: float, month: int | None) -> Budget:
    """The budget of one base; all tokens and clients share the service's limit."""
    return Budget(
        name=name,
        windows=(_window(timedelta(seconds=1), AIRTABLE_BASE_PER_SECOND, share),),
        month_limit=None if month is None else max(1, int(month * share)),
        reserve=0.1,
    )


def airtable_token(name: str, share: float) -> Budget:
    """The budget of one Airtable token, over all bases."""
    return Budget(name=name, windows=(_window(timedelta(seconds=1), AIRTABLE_TOKEN_PER_SECOND, share),))


def bitbucket(name: str, hour: int, share: float) -> Budget:
    """The budget of one Bitbucket credential: a rolling hour, and no more than a quarter of it in one minute."""
    sustained = max(1, int(hour * share) // 4)
    return Budget(
        name=name,
        windows=(_window(timedelta(hours=1), hour, share), Window(span=timedelta(minutes=1), limit=sustained)),
        reserve=0.1,
    )


def spend(budget: Budget, cost: int, now: datetime, priority: int) -> tuple[Budget, timedelta]:
    """
    Take requests out of a budget.

    Args:
        cost: how many requests.
        priority: 0 may use the reserve.

    Returns:
        The budget afterwards and no wait; or the budget uncharged and how long to wait before asking again.
    """
    budget = seen(budget, now)
    wait = max((*_waits(budget, cost, now, priority), _month_wait(budget, cost, now, priority)), default=_ZERO)
    if budget.blocked_until is not None:
        wait = max(wait, budget.blocked_until - now)
    if wait > _ZERO:
        return budget, wait
    stamps, month_used = budget.stamps + (now,) * cost, budget.month_used + cost
    return _at(budget, now, stamps=stamps, month=budget.month, month_used=month_used, blocked_until=None), _ZERO


def moved(budget: Budget, by: timedelta) -> Budget:
    """The budget after the clock was set: every moment moves with it, so that nothing is freed and nothing delayed (CL01, CL02)."""
    return replace(
        budget,
        stamps=tuple(at + by for at in budget.stamps),
        blocked_until=None if budget.blocked_until is None else budget.blocked_until + by,
        contended_at=None if budget.contended_at is None else budget.contended_at + by,
        seen_at=None if budget.seen_at is None else budget.seen_at + by,
    )


def seen(budget: Budget, now: datetime) -> Budget:
    """
    The budget at `now`: what no window sees any more is dropped.

    A clock set back, while no process ran that could notice, is taken for no time passed at all.
    """
    if budget.seen_at is not None and budget.seen_at > now:
        budget = moved(budget, now - budget.seen_at)
    stamps = budget.stamps
    longest = max((window.span for window in budget.windows), default=_ZERO)
    if stamps and now - stamps[0] >= longest:
        stamps = stamps[bisect_right(stamps, now - longest) :]
    # A month that lies ahead was counted by a clock that was wrong: what was used then is used now.
    at = now.astimezone(UTC)
    month = f"{at.year}-{at.month:02}"
    month_used = 0 if month > budget.month else budget.month_used
    return _at(budget, now, stamps=stamps, month=month, month_used=month_used, blocked_until=budget.blocked_until)


def throttled(budget: Budget, now: datetime, *, retry_after: timedelta | None = None) -> Budget:
    """
    After a 429: silence, and half of what was allowed until now.

    As nothing leaves beyond the limits, somebody else uses the same ones: halved now, +10 % of the limit a minute later.

    Args:
        retry_after: what the service asked for; else 30 s, doubled with each one in a row up to 15 minutes.
    """
    budget = seen(budget, now)
    forgiven = budget.contended_at is None or now - budget.contended_at > _FORGIVEN_AFTER
    strikes = 0 if forgiven else budget.strikes
    wait = retry_after if retry_after is not None else min(PENALTY * (1 << min(strikes, 10)), PENALTY_MAX)
    until = now + wait
    return replace(
        budget,
        factor=max(FACTOR_MIN, factor_at(budget, now) / 2),
        contended_at=now,
        strikes=strikes + 1,
        blocked_until=until if budget.blocked_until is None else max(until, budget.blocked_until),
    )


def month_exhausted(budget: Budget, now: datetime) -> Budget:
    """After the service said that the monthly quota is used up: nothing until the month turns (AT11)."""
    return replace(seen(budget, now), blocked_until=next_month(now))


def factor_at(budget: Budget, now: datetime) -> float:
    """What part of its limits the budget may use."""
    if budget.contended_at is None:
        return 1.0
    minutes = max(_ZERO, now - budget.contended_at) / timedelta(minutes=1)
    return min(1.0, budget.factor + _RECOVERY_PER_MINUTE * minutes)


def usage(budget: Budget, now: datetime) -> Usage:
    """The measure that is nearest to its end, for `GET /status`."""
    budget = seen(budget, now)
    found: list[tuple[float, Usage]] = []
    contended = factor_at(budget, now) < 1
    for window in budget.windows:
        first = _first_within(budget, window, now)
        used = len(budget.stamps) - first
        resets = budget.stamps[first] + window.span if used else now
        found.append(_measure(window.limit, used, resets, contended=contended))
    if budget.month_limit is not None:
        found.append(_measure(budget.month_limit, budget.month_used, next_month(now), contended=contended))
    tightest = max(found, key=lambda entry: entry[0])[1]
    if budget.blocked_until is not None and budget.blocked_until > now:
        return replace(tightest, resets=max(tightest.resets, budget.blocked_until))
    return tightest


def dump(budget: Budget) -> dict[str, Any]:
    """What the ledger keeps: what was used, not the limits, which come from the spec."""
    return {
        "stamps": [(at - _EPOCH) // _MICROSECOND for at in budget.stamps],
        "month": budget.month,
        "month_used": budget.month_used,
        "blocked_until": _to_number(budget.blocked_until),
        "factor": budget.factor,
        "contended_at": _to_number(budget.contended_at),
        "strikes": budget.strikes,
        "seen_at": _to_number(budget.seen_at),
    }


def load(budget: Budget, ledger: Mapping[str, Any]) -> Budget:
    """A budget with what the ledger remembers of it. Raises ValueError, TypeError or KeyError on anything that `dump` did not write."""
    return replace(
        budget,
        stamps=tuple(sorted(_to_moment(at) for at in ledger["stamps"])),
        month=str(ledger["month"]),
        month_used=int(ledger["month_used"]),
        blocked_until=_to_moment_or_none(ledger["blocked_until"]),
        factor=float(ledger["factor"]),
        contended_at=_to_moment_or_none(ledger["contended_at"]),
        strikes=int(ledger["strikes"]),
        seen_at=_to_moment_or_none(ledger["seen_at"]),
    )


def next_month(now: datetime) -> datetime:
    """Midnight (UTC) at the start of the next month."""
    at = now.astimezone(UTC)
    return datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)


# ------------------------------------------------------------------------------------------- how long a repair takes


# Pull requests, branches, deployments.
LISTS_PER_REPOSITORY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """
    What a full compare reads.

    Args:
        records: of the table or view.
        repositories: all sources of the sync.
        calls_per_repository: lists of pull requests, branches and deployments, first pages.
        further_calls: pages beyond the first, builds, commits: counted at the last compare.
    """

    records: int
    repositories: int
    calls_per_repository: int = LISTS_PER_REPOSITORY
    further_calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairTime:
    """
    T: within this time a full compare repairs whatever deliveries missed. `arithmetic` shows how it comes about.

    Args:
        interval: from one compare to the next: the wish of the spec, stretched as far as the budgets need it.
    """

    time: timedelta
    interval: timedelta
    arithmetic: tuple[str, ...]


def calls_of(records: int, repositories: int) -> int:
    """The requests that a full compare takes at least: every page of records, and the first page of each list."""
    return max(1, ceil(records / 100)) + repositories * LISTS_PER_REPOSITORY


def repair_time(
    sizes: Sizes,
    airtable: Budget,
    bitbucket: Budget,
    compare_every: timedelta,
    *,
    call: timedelta = timedelta(seconds=0.5),
) -> RepairTime:
    """
    T from sizes and budgets: an edit just behind a compare waits one interval, then for the compare to come to it.

    Args:
        compare_every: the wish of the spec; budgets may stretch it.
        call: how long one request takes; they go out one after the other.
    """
    pages = max(1, ceil(sizes.records / 100))  # reference/airtable.md 3.1: a page has at most 100 records
    calls = sizes.repositories * sizes.calls_per_repository + sizes.further_calls
    stretched = max(
        compare_every, _interval(pages, airtable, timedelta(days=30)), _interval(calls, bitbucket, timedelta(days=30))
    )
    reading = max(_duration(pages, airtable, call), _duration(calls, bitbucket, call))
    lines = [
        f"Airtable: {sizes.records} records, {pages} calls",
        f"Bitbucket: {sizes.repositories} repositories × {sizes.calls_per_repository} + {sizes.further_calls} = {calls} calls",
        f"interval: {_told(stretched)}" + ("" if stretched == compare_every else f" (wished: {_told(compare_every)})"),
        f"reading: {_told(reading)}",
        f"T = {_told(stretched)} + {_told(reading)} = {_told(stretched + reading)}",
    ]
    return RepairTime(time=stretched + reading, interval=stretched, arithmetic=tuple(lines))


def poll_period(wish: timedelta, budget: Budget) -> timedelta:
    """
    How far apart polls of one call each must lie: as wished, or so that they use no more than a quarter of every measure.

    Half of the month is for full compares, a quarter stays for reading and writing records.
    """
    return max(wish, _interval(1, budget, timedelta(days=30), parts=4))


def _interval(calls: int, budget: Budget, month: timedelta, parts: int = 2) -> timedelta:
    """How far apart rounds of so many calls must lie, so that they use no more than one of so many parts of every measure."""
    longest = max((window.span * calls / max(1, window.limit // parts) for window in budget.windows), default=_ZERO)
    if budget.month_limit is not None:
        longest = max(longest, month * calls / max(1, budget.month_limit // parts))
    return longest


def _duration(calls: int, budget: Budget, call: timedelta) -> timedelta:
    paced = max((window.span * (calls // max(1, window.limit)) for window in budget.windows), default=_ZERO)
    return max(call * calls, paced)


def _told(span: timedelta) -> str:
    seconds = ceil(span.total_seconds())
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


# ------------------------------------------------------------------------------------------- inside


def _at(
    budget: Budget,
    now: datetime,
    *,
    stamps: tuple[datetime, ...],
    month: str,
    month_used: int,
    blocked_until: datetime | None,
) -> Budget:
    """The budget with another use. Every request makes several of them: `replace`, which asks for each field by its name, costs more than all the arithmetic."""
    return Budget(
        name=budget.name,
        windows=budget.windows,
        month_limit=budget.month_limit,
        reserve=budget.reserve,
        stamps=stamps,
        month=month,
        month_used=month_used,
        blocked_until=blocked_until,
        factor=budget.factor,
        contended_at=budget.contended_at,
        strikes=budget.strikes,
        seen_at=now,
    )


def _window(span: timedelta, limit: int, share: float) -> Window:
    return Window(span=span, limit=max(1, int(limit * share)))


def _first_within(budget: Budget, window: Window, now: datetime) -> int:
    """The position of the oldest request that the window still sees: every request asks for it, so it is not looked for."""
    return bisect_right(budget.stamps, now - window.span)


def _waits(budget: Budget, cost: int, now: datetime, priority: int) -> list[timedelta]:
    """For every window: how long until so many of its requests are old enough."""
    found = []
    for window in budget.windows:
        allowed = _allowed(budget, window.limit, now, priority)
        first = _first_within(budget, window, now)
        used = len(budget.stamps) - first
        # More than a window ever allows goes out as soon as it is empty.
        too_many = min(used + cost - allowed, used)
        if too_many > 0:
            found.append(budget.stamps[first + too_many - 1] + window.span - now)
    return found


def _month_wait(budget: Budget, cost: int, now: datetime, priority: int) -> timedelta:
    if budget.month_limit is None:
        return _ZERO
    kept = 0.0 if priority == 0 else budget.reserve
    if budget.month_used + cost <= int(budget.month_limit * (1 - kept)):
        return _ZERO
    return next_month(now) - now


def _allowed(budget: Budget, limit: int, now: datetime, priority: int) -> int:
    kept = 0.0 if priority == 0 else budget.reserve
    return max(1, int(limit * factor_at(budget, now) * (1 - kept)))


def _measure(limit: int, used: int, resets: datetime, *, contended: bool) -> tuple[float, Usage]:
    return used / limit, Usage(limit=limit, used=used, resets=resets, contended=contended)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _to_number(at: datetime | None) -> int | None:
    """Microseconds since 1970: exact, short and plain."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def _to_moment(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=int(number))


def _to_moment_or_none(number: int | None) -> datetime | None:
    return None if number is None else _to_moment(number)
