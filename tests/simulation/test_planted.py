"""The planted bugs still fit the product, name promises that there are, and leave no promise out without saying why."""

import re

import pytest

from syncd.core import retry
from syncd.simulate import generate, setting
from tests import shared
from tests.simulation import hunt, planted

_README = shared.ROOT / "tests" / "simulation" / "README.md"


def _promises() -> list[str]:
    text = shared.path("reference/reliability.md").read_text(encoding="utf-8")
    return re.findall(r"^\| (I\d\d) \|", text, re.MULTILINE)


@pytest.mark.parametrize("one", planted.BUGS, ids=lambda one: one.name)
def test_a_planted_bug_fits_the_product_and_goes_again(one: hunt.Bug) -> None:
    with hunt.planted(one) as patches:
        changed = patches.places()
        assert changed
        assert all(owner.__dict__[name] is not old for owner, name, old in changed)
    assert all(owner.__dict__[name] is old for owner, name, old in changed)


def test_a_patch_of_what_is_not_there_any_more_is_an_error() -> None:
    with pytest.raises(hunt.DeadPatch, match="next_attempts is not there any more"):
        hunt.Patches().set(retry, "next_attempts", lambda: None)


def test_a_patch_that_does_not_take_what_the_product_takes_is_an_error() -> None:
    with pytest.raises(hunt.DeadPatch, match="next_attempt takes"):
        hunt.Patches().set(retry, "next_attempt", lambda attempts: None)


def test_a_patch_to_the_same_value_is_an_error() -> None:
    with pytest.raises(hunt.DeadPatch, match="ATTEMPTS_MAX is 5 already"):
        hunt.Patches().set(retry, "ATTEMPTS_MAX", 5)


def test_every_promise_has_a_planted_bug_or_a_reason_why_not() -> None:
    broken = {name for one in planted.BUGS for name in one.breaks}
    assert sorted(broken | planted.ELSEWHERE.keys()) == _promises()
    assert not broken & planted.ELSEWHERE.keys()


def test_planted_bugs_have_names_of_their_own() -> None:
    names = [one.name for one in planted.BUGS]
    assert len(names) == len(set(names)) >= 40


def test_a_bug_is_found_by_its_promise_and_the_sound_product_is_not_blamed(home: setting.Setting) -> None:
    wrong = next(one for one in planted.BUGS if one.name == "the_other_side_wins")
    found = hunt.find(home, wrong, cpu_s=10)
    assert found.as_intended
    assert not found.unreached
    assert hunt.broken(home, generate.scenario(home, found.seed)) == set()


def test_a_patch_that_is_never_called_is_told(home: setting.Setting) -> None:
    dead = hunt.Bug(name="dead", breaks=("I01",), plant=lambda to: to.set(hunt, "line", lambda one: ""))
    found = hunt.find(home, dead, cpu_s=0.01)
    assert not found.as_intended
    assert found.unreached == ("tests.simulation.hunt.line",)


def test_the_readme_tells_of_every_planted_bug() -> None:
    told = re.findall(r"^\| ([a-z][a-z ]+?) \| I", _README.read_text(encoding="utf-8"), re.MULTILINE)
    assert told == [one.name.replace("_", " ") for one in planted.BUGS]
