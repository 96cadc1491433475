"""The whole daemon against generated faults: every promise holds, and the same scenario gives the same life."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from syncd.simulate import campaign, generate, play, scenario, setting, stage
from syncd.simulate.scenario import Net, Op, Scenario
from tests import shared
from tests.simulation import homes

DAY = Scenario(
    ops=(
        Op(at_s=10, verb="edit", arguments={"record": 0, "cells": {"Status": "Ready"}}),
        Op(at_s=60, verb="push", arguments={"record": 0}),
        Op(at_s=70, verb="edit", arguments={"record": 2, "cells": {"Details": "Other words"}}),
        Op(at_s=100, verb="merge", arguments={"pull_request": 1}),
    ),
    minutes=4,
)


@pytest.mark.parametrize("seed", range(7000, 7012))
def test_every_promise_holds_in_a_generated_scenario(seed: int, home: setting.Setting) -> None:
    made = generate.scenario(home, seed)
    # One world per net: the variants of the spec and drawn service behaviour are left to `make simulate`.
    played = play.play(home, replace(made, choices=0, variant=""))
    assert homes.told(played) == []


@pytest.mark.parametrize("net", list(Net), ids=lambda net: net.value)
def test_each_net_alone_carries_an_ordinary_day(net: Net, home: setting.Setting) -> None:
    played = play.play(home, replace(DAY, net=net, minutes=8))
    assert homes.told(played) == []
    assert played.requests >= 30
    assert played.minutes >= 10


def test_the_same_scenario_lives_the_same_life_twice(home: setting.Setting) -> None:
    made = generate.scenario(home, 11)
    assert play.play(home, made).trace == play.play(home, made).trace


@pytest.mark.parametrize("seed", [3, 8, 12, 14])
def test_a_scenario_lives_the_same_life_with_and_without_http(seed: int, home: setting.Setting) -> None:
    """The cheap cut leaves out the libraries and nothing else: every request, answer and commit is the same."""
    made = replace(generate.scenario(home, seed), choices=0, variant="", narrow=False)
    lives = {play.play(home, made, cut=cut).trace for cut in stage.Cut}
    assert len(lives) == 1


def test_the_same_scenario_lives_the_same_life_under_every_hash_seed() -> None:
    """I34: a set's order decides nothing, neither in the plan nor in what is sent."""
    program = (
        "from tests.simulation import homes\n"
        "from syncd.simulate import generate, play\n"
        "home = homes.home()\n"
        "print([play.play(home, generate.scenario(home, seed)).trace for seed in (5, 12)])\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            cwd=shared.ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "4242")
    }
    assert len(seen) == 1, seen


def test_dying_at_points_of_a_day_changes_nothing_at_its_end(home: setting.Setting) -> None:
    """Every hundredth port call here; all of them in `make simulate-long`."""
    for played in campaign.every_death(home, DAY, step=101):
        assert homes.told(played) == [], played.deaths


def test_the_order_of_deliveries_does_not_matter(home: setting.Setting) -> None:
    """I17: doubled, late or swapped, the end is the same."""
    day = replace(DAY, net=Net.HOOKS, minutes=6)
    plain = play.play(home, day, keep=True).end
    for moved in campaign.reordered(day):
        played = play.play(home, moved, keep=True)
        assert played.hits, moved.troubles
        assert played.end == plain


def test_a_jump_of_the_clock_does_not_matter(home: setting.Setting) -> None:
    """I33: the end is that of the run without jumps."""
    plain = play.play(home, DAY, keep=True).end
    for seconds in (-3600.0, 31_536_000.0):
        jump = Op(at_s=20, verb="jump", arguments={"seconds": seconds})
        assert play.play(home, replace(DAY, ops=(*DAY.ops, jump)), keep=True).end == plain


@pytest.mark.parametrize("seed", range(40))
def test_a_scenario_is_what_its_json_says(seed: int, home: setting.Setting) -> None:
    made = generate.scenario(home, seed)
    assert scenario.load(scenario.dump(made)) == made
    assert generate.scenario(home, seed) == made
