"""
Every request is paid for before it leaves: the budgets of all credentials, shared by all threads, kept in the state.

The arithmetic is `core.budget`; here are the lock, the clock and the ledger that survives a restart.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from syncd import errors, log, ports
from syncd.core import budget
from syncd.core.budget import Budget

_log = log.logger("flow.ledger")

# The longest wait for the pace inside a request; a longer one goes back to the queue as `Throttled`.
PACE_MAX = timedelta(seconds=1)
# The wall clock and the steady one part by so much only when somebody set the first, or the machine slept.
SET_LEAST = timedelta(seconds=1)
# The gate turns so often for one request at most: other threads may take the place that was waited for.
TURNS_MAX = 50
# The longest silence that a service's header can ask for.
RETRY_AFTER_S_MAX = 3600
_DIGITS_MAX = 9


class Ledger:
    """All budgets by name. `charged` counts the requests of each thread: a sign of life for the watchdog."""

    def __init__(self, store: ports.Store, clock: ports.Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._budgets: dict[str, Budget] = {}
        self._looked: tuple[datetime, float] | None = None
        self.charged: dict[str, int] = {}

    def gate(self, service: str, limits: Sequence[Budget]) -> "BudgetGate":
        """A gate in front of these budgets; one that exists keeps what was used of it and takes the new limits."""
        with self._lock:
            for one in limits:
                self._budgets[one.name] = self._with_used(one)
        return BudgetGate(self, service, tuple(one.name for one in limits))

    def _with_used(self, fresh: Budget) -> Budget:
        present = self._budgets.get(fresh.name)
        if present is not None:
            return budget.load(fresh, budget.dump(present))
        kept = self._store.load_ledger(fresh.name)
        if kept is None:
            return fresh
        try:
            return budget.load(fresh, kept)
        except (KeyError, TypeError, ValueError) as error:
            raise errors.StoreError(
                f"the ledger of {fresh.name} cannot be read: {error}",
                next_step="restore a backup, or start with a fresh state file",
            ) from error

    def spend(self, names: Sequence[str], priority: int) -> timedelta:
        """Take one request out of all of them together, or out of none; how long to wait then."""
        with self._lock:
            now = self._now()
            asked = {name: budget.spend(self._budgets[name], 1, now, priority) for name in names}
            wait = max(wait for _, wait in asked.values())
            if wait <= timedelta(0):
                self._budgets.update({name: spent for name, (spent, _) in asked.items()})
                name = threading.current_thread().name
                self.charged[name] = self.charged.get(name, 0) + 1
            else:
                # Kept although nothing was charged: a clock set back is allowed for once, not at every question (CL02).
                self._budgets.update({name: budget.seen(self._budgets[name], now) for name in names})
        return wait

    def _now(self) -> datetime:
        """The wall clock. When it was set since the last look, every budget moves with it; the steady clock tells."""
        now, steady_s = self._clock.now(), self._clock.monotonic_s()
        if self._looked is not None:
            set_by = (now - self._looked[0]) - timedelta(seconds=steady_s - self._looked[1])
            if abs(set_by) > SET_LEAST:
                self._budgets = {name: budget.moved(one, set_by) for name, one in self._budgets.items()}
        self._looked = (now, steady_s)
        return now

    def penalise(self, names: Sequence[str], retry_after: timedelta | None, *, until_month: bool) -> datetime:
        """After a 429: nothing more goes to any of these budgets before the returned instant."""
        with self._lock:
            now = self._now()
            for name in names:
                present = self._budgets[name]
                self._budgets[name] = (
                    budget.month_exhausted(present, now)
                    if until_month
                    else budget.throttled(present, now, retry_after=retry_after)
                )
            return max(self._budgets[name].blocked_until or now for name in names)

    def status(self) -> dict[str, dict[str, Any]]:
        """Every budget as `GET /status` shows it (SPEC section 5)."""
        with self._lock:
            now = self._now()
            used = {name: budget.usage(one, now) for name, one in sorted(self._budgets.items())}
        return {
            name: {
                "limit": one.limit,
                "used": one.used,
                "resets": one.resets.isoformat(timespec="seconds"),
                "contended": one.contended,
            }
            for name, one in used.items()
        }

    def sent(self) -> int:
        """How many requests this thread has paid for."""
        with self._lock:
            return self.charged.get(threading.current_thread().name, 0)

    def get(self, name: str) -> Budget:
        """One budget as it is now."""
        with self._lock:
            return self._budgets[name]

    def save(self) -> None:
        """Remember every budget in the state."""
        # One at a time: an older sum must not be written over a newer one.
        with self._saving:
            with self._lock:
                dumped: Mapping[str, Mapping[str, Any]] = {
                    name: budget.dump(one) for name, one in self._budgets.items()
                }
            self._store.save_ledgers(dumped)

    def wait(self, seconds: float) -> None:
        """Let the pace pass."""
        self._clock.wait(seconds)

    def now(self) -> datetime:
        """The wall clock."""
        return self._clock.now()


class BudgetGate:
    """Implements `ports.Gate` for one credential: its budgets, charged together."""

    def __init__(self, ledger: Ledger, service: str, names: tuple[str, ...]) -> None:
        self._ledger = ledger
        self._service = service
        self._names = names

    def charge(self, *, changing: bool) -> None:
        """See `ports.Gate`. Changing requests may use the reserve: people wait for them."""
        for _ in range(TURNS_MAX):
            wait = self._ledger.spend(self._names, 0 if changing else 1)
            if wait <= timedelta(0):
                return
            if wait > PACE_MAX:
                break
            self._ledger.wait(wait.total_seconds())
        raise errors.Throttled(
            f"the budget of {self._names[0]} is used up for now",
            service=self._service,
            request="",
            retry_at=self._ledger.now() + wait,
            status=None,
        )

    def observe(self, status: int, headers: Mapping[str, str], code: str) -> datetime | None:
        """See `ports.Gate`."""
        if status != 429:
            return None
        quota = code == ports.QUOTA_CODE
        until = self._ledger.penalise(self._names, _retry_after(headers), until_month=quota)
        # At once: the next process must keep to it, too.
        self._ledger.save()
        _log.warning("side.throttled", budget=self._names[0], until=until.isoformat(), quota=quota)
        return until


def _retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Neither service documents the header (airtable.md 7, bitbucket.md 9); it is honoured if it ever appears, in seconds."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    if not text.isdecimal():
        return None
    # A number of thousands of digits is not even read: Python refuses those with an error of its own.
    return timedelta(seconds=RETRY_AFTER_S_MAX if len(text) > _DIGITS_MAX else min(int(text), RETRY_AFTER_S_MAX))
