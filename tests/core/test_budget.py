"""Budgets: never more than the limit in any window, whatever the clock does."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core import budget
from syncd.core.budget import Budget, Window
from tests.build import NOW

S = timedelta(seconds=1)
SMALL = Budget(name="small", windows=(Window(span=10 * S, limit=5), Window(span=60 * S, limit=12)))


def spend_many(found: Budget, count: int, now: datetime, priority: int = 0) -> tuple[Budget, int]:
    """As many requests as may go out at once, and how many those were."""
    for number in range(count):
        found, wait = budget.spend(found, 1, now, priority)
        if wait:
            return found, number
    return found, count


def test_the_share_is_part_of_the_limit() -> None:
    """I21: at most 80 % of every window."""
    assert spend_many(budget.airtable_base("b", 0.8, None), 50, NOW)[1] == 4
    assert spend_many(budget.airtable_token("t", 0.8), 50, NOW)[1] == 40
    assert spend_many(budget.bitbucket("w", 1000, 0.8), 1000, NOW)[1] == 200


def test_the_rolling_hour_holds() -> None:
    found, sent = budget.bitbucket("w", 1000, 0.8), 0
    for minute in range(59):
        found, more = spend_many(found, 1000, NOW + timedelta(minutes=minute))
        sent += more
    assert sent == 800


def test_a_wait_is_exactly_as_long_as_needed() -> None:
    found, _ = spend_many(SMALL, 5, NOW)
    found, wait = budget.spend(found, 1, NOW + 4 * S, 0)
    assert wait == 6 * S
    assert budget.spend(found, 1, NOW + 4 * S + wait - timedelta(microseconds=1), 0)[1] > timedelta(0)
    assert not budget.spend(found, 1, NOW + 4 * S + wait, 0)[1]


def test_the_reserve_is_for_what_people_wait_for() -> None:
    found = replace(SMALL, reserve=0.4)
    found, sent = spend_many(found, 9, NOW, priority=2)
    assert sent == 3
    assert spend_many(found, 9, NOW, priority=0)[1] == 2


def test_the_month_ends_and_turns() -> None:
    found = budget.airtable_base("b", 0.5, 20)
    now = NOW
    for _ in range(10):
        found, wait = budget.spend(found, 1, now, 0)
        assert not wait
        now += S
    wait = budget.spend(found, 1, now, 0)[1]
    assert now + wait == datetime(2026, 12, 1, tzinfo=NOW.tzinfo)
    assert not budget.spend(found, 1, now + wait, 0)[1]


def test_the_year_turns_too() -> None:
    assert budget.next_month(datetime(2026, 12, 31, 23, 59, tzinfo=NOW.tzinfo)) == datetime(
        2027, 1, 1, tzinfo=NOW.tzinfo
    )


def test_a_429_silences_for_thirty_seconds_and_longer_each_time() -> None:
    """AT01."""
    found, now, waits = SMALL, NOW, []
    for _ in range(7):
        found = budget.throttled(found, now)
        wait = budget.spend(found, 1, now, 0)[1]
        waits.append(wait / S)
        now += wait
    assert waits == [30, 60, 120, 240, 480, 900, 900]


def test_strikes_are_forgiven_after_an_hour() -> None:
    found = budget.throttled(budget.throttled(SMALL, NOW), NOW)
    later = NOW + timedelta(hours=2)
    assert budget.spend(budget.throttled(found, later), 1, later, 0)[1] == 30 * S


def test_retry_after_is_honoured() -> None:
    assert budget.spend(budget.throttled(SMALL, NOW, retry_after=90 * S), 1, NOW, 0)[1] == 90 * S


def test_a_foreign_429_halves_and_a_tenth_comes_back_each_minute() -> None:
    """AT02."""
    found = budget.throttled(SMALL, NOW)
    assert budget.factor_at(found, NOW) == 0.5
    assert budget.factor_at(found, NOW + timedelta(minutes=2)) == pytest.approx(0.7)
    assert budget.factor_at(found, NOW + timedelta(minutes=9)) == 1.0
    assert budget.usage(found, NOW).contended


def test_a_contended_budget_keeps_a_floor() -> None:
    found = SMALL
    for _ in range(20):
        found = budget.throttled(found, NOW)
    assert budget.factor_at(found, NOW) == budget.FACTOR_MIN


def test_a_used_up_quota_waits_for_the_month_to_turn() -> None:
    """AT11: no back-off in seconds."""
    wait = budget.spend(budget.month_exhausted(SMALL, NOW), 1, NOW, 0)[1]
    assert NOW + wait == budget.next_month(NOW)


def test_a_clock_set_back_regains_nothing_and_does_not_wait_for_ever() -> None:
    """CL02."""
    found, _ = spend_many(SMALL, 5, NOW)
    past = NOW - timedelta(days=365)
    found, wait = budget.spend(found, 1, past, 0)
    assert wait == 10 * S
    assert not budget.spend(found, 1, past + wait, 0)[1]


def test_a_penalty_survives_a_clock_set_back() -> None:
    found = budget.throttled(SMALL, NOW)
    assert budget.spend(found, 1, NOW - timedelta(hours=1), 0)[1] == 30 * S


def test_usage_tells_the_tightest_measure() -> None:
    found, _ = spend_many(SMALL, 5, NOW)
    shown = budget.usage(found, NOW)
    assert (shown.limit, shown.used, shown.resets) == (5, 5, NOW + 10 * S)


def test_the_ledger_keeps_everything_but_the_limits() -> None:
    found = budget.throttled(spend_many(budget.airtable_base("b", 1, 100), 5, NOW)[0], NOW)
    loaded = budget.load(budget.airtable_base("b", 1, 100), budget.dump(found))
    assert loaded == found
    assert budget.load(SMALL, budget.dump(SMALL)) == SMALL


steps = st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 3), st.integers(0, 3)), max_size=60)


@given(steps)
def test_never_more_than_the_limit_in_any_window(found_steps: Sequence[tuple[int, int, int]]) -> None:
    found, now, sent = SMALL, NOW, list[datetime]()
    for milliseconds, cost, priority in found_steps:
        now += timedelta(milliseconds=milliseconds)
        found, wait = budget.spend(found, cost, now, priority)
        sent += [] if wait else [now] * cost
    for window in SMALL.windows:
        for start in sent:
            assert sum(1 for at in sent if start <= at < start + window.span) <= window.limit


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(-100_000, 0)), max_size=60))
def test_a_clock_that_runs_backwards_gives_no_extra_allowance(moves: Sequence[tuple[int, int]]) -> None:
    """`true` is the time that really passed; `shown` is what the clock says."""
    found, true, shown, sent = SMALL, NOW, NOW, list[datetime]()
    for passed, jump in moves:
        true += timedelta(milliseconds=passed)
        shown += timedelta(milliseconds=passed + jump)
        found, wait = budget.spend(found, 1, shown, 0)
        assert wait <= 60 * S
        sent += [] if wait else [true]
    for window in SMALL.windows:
        for start in sent:
            assert sum(1 for at in sent if start <= at < start + window.span) <= window.limit


@given(steps)
def test_who_waits_as_told_is_served(found_steps: Sequence[tuple[int, int, int]]) -> None:
    found, now = SMALL, NOW
    for milliseconds, cost, priority in found_steps:
        now += timedelta(milliseconds=milliseconds)
        found, wait = budget.spend(found, cost, now, priority)
        if wait:
            found, wait_again = budget.spend(found, cost, now + wait, priority)
            assert not wait_again
            now += wait


def test_repair_time_is_the_wish_when_the_budgets_allow_it() -> None:
    sizes = budget.Sizes(records=1000, repositories=10)
    found = budget.repair_time(
        sizes, budget.airtable_base("b", 0.8, None), budget.bitbucket("w", 1000, 0.8), timedelta(minutes=15)
    )
    assert found.time == timedelta(minutes=15, seconds=15)
    assert found.arithmetic == (
        "Airtable: 1000 records, 10 calls",
        "Bitbucket: 10 repositories × 3 + 0 = 30 calls",
        "interval: 15 min",
        "reading: 15 s",
        "T = 15 min + 15 s = 15 min 15 s",
    )


def test_repair_time_is_stretched_by_bitbuckets_hour() -> None:
    sizes = budget.Sizes(records=100, repositories=100)
    found = budget.repair_time(
        sizes, budget.airtable_base("b", 0.8, None), budget.bitbucket("w", 1000, 0.8), timedelta(minutes=15)
    )
    # 300 calls of the 400 that half of the hour's share is.
    assert found.arithmetic[2] == "interval: 45 min (wished: 15 min)"


def test_repair_time_is_stretched_by_the_month() -> None:
    sizes = budget.Sizes(records=10_000, repositories=1)
    found = budget.repair_time(
        sizes, budget.airtable_base("b", 1, 100_000), budget.bitbucket("w", 1000, 0.8), timedelta(minutes=15)
    )
    # 100 calls each time, 50,000 a month: 500 compares in 720 hours.
    assert found.arithmetic[2] == "interval: 1 h 26 min 24 s (wished: 15 min)"


def test_a_month_counted_by_a_clock_that_was_ahead_turns_with_the_true_one() -> None:
    ahead, _ = budget.spend(budget.airtable_base("base", 0.8, 1000), 1, datetime(2027, 11, 2, tzinfo=UTC), 0)
    back, _ = budget.spend(ahead, 1, datetime(2026, 11, 2, tzinfo=UTC), 0)
    later, _ = budget.spend(back, 1, datetime(2026, 12, 1, tzinfo=UTC), 0)
    assert (back.month, back.month_used, later.month, later.month_used) == ("2026-11", 2, "2026-12", 1)
