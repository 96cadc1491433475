"""When something that failed is tried again, and when it is given up: exponential, with full jitter."""

from datetime import datetime, timedelta

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=15)
# What failed for good is looked at again rarely: a cause may have gone that nobody told us of.
LONGEST_PATIENCE = timedelta(days=1)
# I22: five tries with growing waits, then the key is parked and shown.
ATTEMPTS_MAX = 5


def next_attempt(attempts: int, now: datetime, jitter: float) -> datetime:
    """
    When to try again.

    Args:
        attempts: tries that failed so far, from 1.
        jitter: in [0, 1); spreads callers that failed together.

    Returns:
        A moment after `now`, at most `LONGEST_WAIT` later.
    """
    return now + max(FIRST_WAIT / 10, ceiling(attempts) * jitter)


def ceiling(attempts: int) -> timedelta:
    """The longest wait after so many failed tries: 1 s, doubled each time, up to 15 minutes."""
    # More doublings than these are past the longest wait anyway, and could overflow.
    doublings = min(max(attempts, 1) - 1, 20)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


def patience(times: int, first: timedelta = timedelta(minutes=1)) -> timedelta:
    """How long to leave alone what was looked at again so many times in vain: `first`, doubled each time, up to a day."""
    return min(first * (1 << min(max(times, 0), 20)), LONGEST_PATIENCE)


def must_park(attempts: int) -> bool:
    """Whether it failed often enough to be left alone until a person or the next change wakes it."""
    return attempts >= ATTEMPTS_MAX
