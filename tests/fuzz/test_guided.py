"""The coverage-guided driver finds what it is to find, tells it, and in CI goes on for a while."""

import dataclasses
from collections.abc import Iterator
from random import Random

import pytest

from tests.fuzz import guided, mutate, target

_PLANTED = """
def door(data):
    if data[:1] == b"s":
        if data[1:2] == b"y":
            if data[2:3] == b"n":
                if data[3:4] == b"c":
                    raise KeyError("a bug behind four doors")
"""


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    yield
    guided.close()


def _planted() -> target.Target:
    """A target whose bug blind mutation would need two thousand million tries for, and arcs a few thousand."""
    names: dict[str, target.Target] = {}
    exec(compile(_PLANTED, str(guided.ROOT / "planted.py"), "exec"), names)
    return target.Target(
        name="planted",
        files=("planted.py",),
        seeds=lambda: [b"aaaaaa"],
        run=names["door"],  # type: ignore[arg-type]  # a function, as the text above says
        mutate=mutate.of_bytes,
    )


def test_arcs_lead_to_a_bug_that_chance_alone_would_not_find() -> None:
    report = guided.search(_planted(), seconds=20, seed=1, failures_max=1)
    assert [failure.data for failure in report.failures] == [b"sync"]
    assert "KeyError" in report.failures[0].key
    assert report.kept >= 4


def test_one_seed_makes_one_sequence_of_inputs() -> None:
    made = guided.TARGETS["expression"]
    first, second = ([made.mutate(b"any(prs)", random) for _ in range(50)] for random in (Random(7), Random(7)))
    assert first == second


def test_an_input_that_takes_too_long_or_too_much_is_a_failure() -> None:
    def slow(data: bytes) -> None:
        sum(range(3_000_000))

    def large(data: bytes) -> None:
        bytearray(5_000_000)

    made = target.Target(
        name="x", files=(), seeds=list, run=slow, mutate=mutate.of_bytes, cpu_s_max=0.01, memory_bytes_max=1_000_000
    )
    with pytest.raises(target.Violation, match="s of CPU"):
        target.timed(made, b"")
    with pytest.raises(target.Violation, match="held"):
        target.measured(dataclasses.replace(made, run=large), b"")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", guided.TARGETS)
def test_twenty_seconds_of_search_find_nothing(name: str) -> None:
    report = guided.search(guided.TARGETS[name], seconds=20, seed=1)
    assert not report.failures, "\n".join(f"{found.key}: {found.data!r}\n{found.told}" for found in report.failures)
    assert report.arcs > 50
