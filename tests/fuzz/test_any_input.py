"""
Whatever comes in, only what is declared comes out: bytes, mutated recordings, JSON and grammar, a bounded number of each.

`guided` goes on from here, for as long as it is told to.
"""

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import shared
from tests.fuzz import generate, guided, mutate
from tests.fuzz.target import Target, kept, measured, timed

# Drawn from Hypothesis, so that a failing sequence of choices shrinks.
draws = st.randoms(use_true_random=False)
quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
targets = pytest.mark.parametrize("target", guided.TARGETS.values(), ids=list(guided.TARGETS))


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    yield
    guided.close()


@targets
@quick
@given(data=st.binary(max_size=200))
def test_bytes_without_any_sense_end_as_declared(target: Target, data: bytes) -> None:
    timed(target, data)


@targets
def test_recorded_and_handmade_inputs_end_as_declared(target: Target) -> None:
    shared.path("fixtures/bitbucket")
    for data in target.seeds()[:240]:
        timed(target, data)


@targets
@quick
@given(random=draws, data=st.data())
def test_what_is_nearly_right_ends_as_declared(target: Target, random: Random, data: st.DataObject) -> None:
    made = data.draw(st.sampled_from(_seeds(target)))
    timed(target, target.mutate(made, random))


@pytest.mark.parametrize("name", [name for name in guided.TARGETS if name not in ("expression", "template", "spec")])
@quick
@given(
    head=st.binary(min_size=4, max_size=4),
    made=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=8)
        | st.sampled_from(mutate.ODD_VALUES),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ),
)
def test_arbitrary_json_ends_as_declared(name: str, head: bytes, made: object) -> None:
    timed(guided.TARGETS[name], head + mutate.dumped(made))
    timed(guided.TARGETS[name], mutate.dumped(made))


@settings(quick, max_examples=150)
@given(random=draws)
def test_an_expression_of_the_grammar_is_read_or_refused_in_words(random: Random) -> None:
    timed(guided.TARGETS["expression"], generate.expression(random).encode("utf-8", "surrogatepass"))


@settings(quick, max_examples=150)
@given(random=draws)
def test_a_template_of_the_grammar_is_read_or_refused_in_words(random: Random) -> None:
    timed(guided.TARGETS["template"], generate.template(random).encode("utf-8", "surrogatepass"))


@settings(quick, max_examples=100)
@given(random=draws)
def test_a_template_that_would_grow_without_end_is_refused_or_ended(random: Random) -> None:
    timed(guided.TARGETS["template"], generate.growing(random).encode())


@settings(quick, max_examples=60)
@given(random=draws)
def test_a_spec_of_the_grammar_is_read_or_refused_with_places(random: Random) -> None:
    timed(guided.TARGETS["spec"], generate.spec(random).encode())


@pytest.mark.parametrize(
    ("target", "name", "data"),
    [
        pytest.param(target, name, data, id=f"{target.name}: {name}")
        for target in guided.TARGETS.values()
        for name, data in kept(target.name)
    ],
)
def test_an_input_that_once_failed_ends_as_declared(target: Target, name: str, data: bytes) -> None:
    timed(target, data)
    measured(target, data)


_SEEDS: dict[str, list[bytes]] = {}


def _seeds(target: Target) -> list[bytes]:
    """The seeds of a target that are small enough for a quick look, made once."""
    if target.name not in _SEEDS:
        _SEEDS[target.name] = [data for data in target.seeds() if len(data) < 8_000]
    return _SEEDS[target.name]
