"""When to try again, and when to stop."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core import retry
from tests.build import NOW


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 1), (2, 2), (3, 4), (5, 16), (10, 512), (11, 900), (10_000, 900)]
)
def test_the_longest_wait_doubles_up_to_a_quarter_of_an_hour(attempts: int, seconds: int) -> None:
    assert retry.ceiling(attempts) == timedelta(seconds=seconds)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_next_attempt_is_soon_but_never_now(attempts: int, jitter: float) -> None:
    wait = retry.next_attempt(attempts, NOW, jitter) - NOW
    assert timedelta(0) < wait <= retry.ceiling(attempts)


def test_jitter_spreads_over_the_whole_wait() -> None:
    assert retry.next_attempt(5, NOW, 0.25) - NOW == timedelta(seconds=4)
    assert retry.next_attempt(5, NOW, 0.75) - NOW == timedelta(seconds=12)


def test_five_tries_are_enough() -> None:
    assert [retry.must_park(attempts) for attempts in (1, 4, 5, 6)] == [False, False, True, True]
