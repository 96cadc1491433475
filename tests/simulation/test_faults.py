"""The faults of reliability.md: each id is made, met by every life, or has a reason; what is made strikes, and breaks nothing."""

import re
from dataclasses import replace

import pytest

from syncd.simulate import fault, generate, making, play, setting
from syncd.simulate.fault import FaultId
from syncd.simulate.scenario import Net, Scenario
from tests import shared
from tests.simulation import homes

_ROW = re.compile(r"^\| ([A-Z]{2}\d\d) \|", re.MULTILINE)
# Not of the reference: what I06 is about.
_OURS = {FaultId.SECOND.name}


def _lives(home: setting.Setting, one: FaultId, first: int, count: int) -> list[Scenario]:
    """Scenarios in which nothing but this goes wrong, in the world of the spec as it is."""
    found: list[Scenario] = []
    for seed in range(first, first + 10 * count):
        made = generate.scenario(home, seed, [one])
        marks = [
            *(op.fault for op in made.ops),
            *(two.fault for two in made.troubles),
            *(two.fault for two in made.store),
        ]
        if one.name in marks or made.deaths:
            found.append(replace(made, variant="", choices=0, narrow=True, fresh=False))
        if len(found) == count:
            break
    return found


def test_every_id_of_the_reference_is_made_or_always_met_or_has_a_reason() -> None:
    listed = _ROW.findall(shared.path("reference/reliability.md").read_text(encoding="utf-8"))
    assert len(listed) == len(set(listed)) > 100
    accounted = [*(one.name for one in FaultId), *fault.ALWAYS, *fault.MISSING]
    assert sorted(accounted) == sorted({*listed, *_OURS})
    assert all((*fault.ALWAYS.values(), *fault.MISSING.values()))


def test_every_fault_has_a_maker() -> None:
    assert set(making.MAKERS) == set(FaultId)


@pytest.mark.parametrize("one", list(FaultId), ids=lambda one: one.name)
def test_a_fault_strikes_where_it_is_made_and_breaks_no_promise(one: FaultId, home: setting.Setting) -> None:
    """At the latest in the eighth life that is made for it: a fault that nothing meets tells nothing."""
    struck = False
    for made in _lives(home, one, 900, 8):
        played = play.play(home, made)
        assert homes.told(played) == []
        struck = bool(played.hits[one.name])
        if struck:
            break
    assert struck


@pytest.mark.parametrize("net", list(Net), ids=lambda net: net.value)
def test_a_life_in_which_nothing_goes_wrong_counts_no_fault(net: Net, home: setting.Setting) -> None:
    quiet = next(made for seed in range(100) if (made := generate.scenario(home, seed, [])).net is net)
    assert play.play(home, replace(quiet, variant="", choices=0)).hits == {}
