"""The pace of requests, and a clock that is set back under it (reliability.md CL02)."""

from datetime import datetime, timedelta

import pytest

from syncd.core import budget
from syncd.flow.ledger import Ledger
from syncd.store.sqlite import SqliteStore
from tests.flow.house import VirtualClock

DAY = timedelta(days=1)


class SettableClock(VirtualClock):
    """Its wall clock can be set; its steady one goes on."""

    off = timedelta(0)

    def now(self) -> datetime:
        """What the wall clock shows."""
        return self.at + self.off


@pytest.mark.parametrize("by", [365 * DAY, DAY, -DAY, -timedelta(minutes=5)], ids=str)
def test_a_clock_that_is_set_frees_no_request_and_delays_none(by: timedelta) -> None:
    """Found by the simulator: after a jump ahead a second burst went out within the same second (CL01, I21)."""
    clock = SettableClock()
    ledger = Ledger(SqliteStore.in_memory(), clock)
    gate = ledger.gate("airtable", [budget.airtable_base("base", 0.8, None)])
    for _ in range(4):
        gate.charge(changing=True)
    clock.off = by
    for _ in range(4):
        gate.charge(changing=True)
    assert clock.monotonic_s() == 1.0


def test_a_clock_set_back_between_two_processes_costs_one_wait() -> None:
    """Found by the simulator: the wait began anew at each question, until the clock had caught up."""
    clock, store = VirtualClock(), SqliteStore.in_memory()
    ledger = Ledger(store, clock)
    gate = ledger.gate("airtable", [budget.airtable_base("base", 0.8, None)])
    for _ in range(4):
        gate.charge(changing=True)
    ledger.save()
    clock.at -= DAY
    before = clock.at
    again = Ledger(store, clock).gate("airtable", [budget.airtable_base("base", 0.8, None)])
    again.charge(changing=True)
    assert timedelta(0) < clock.at - before <= timedelta(seconds=1)


@pytest.mark.parametrize(
    ("header", "waits_s"),
    [
        pytest.param("7", 7, id="seconds"),
        pytest.param("3601", 3600, id="more than an hour"),
        pytest.param("9" * 5000, 3600, id="five thousand digits"),
        # What the budget waits by itself.
        pytest.param("-1", 30, id="negative"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", 30, id="a date"),
        pytest.param("", 30, id="empty"),
    ],
)
def test_a_refusal_for_now_is_followed_by_at_most_an_hour_of_silence(header: str, waits_s: int) -> None:
    clock = VirtualClock()
    gate = Ledger(SqliteStore.in_memory(), clock).gate("airtable", [budget.airtable_base("base", 0.8, None)])
    until = gate.observe(429, {"Retry-After": header}, "")
    assert until == clock.now() + timedelta(seconds=waits_s)
