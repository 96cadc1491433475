"""The pace of requests, and a clock that is set back under it (reliability.md CL02)."""

from datetime import timedelta

from syncd.core import budget
from syncd.flow.ledger import Ledger
from syncd.store.sqlite import SqliteStore
from tests.flow.house import VirtualClock

DAY = timedelta(days=1)


def test_a_clock_set_back_while_the_pace_is_waited_for_costs_one_wait() -> None:
    """Found by the simulator: the wait began anew at each question, until the clock had caught up."""
    clock = VirtualClock()
    ledger = Ledger(SqliteStore.in_memory(), clock)
    gate = ledger.gate("airtable", [budget.airtable_base("base", 0.8, None)])
    for _ in range(4):
        gate.charge(changing=True)
    clock.at -= DAY
    before = clock.at
    gate.charge(changing=True)
    assert timedelta(0) < clock.at - before <= timedelta(seconds=1)
