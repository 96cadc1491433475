"""A refusal may have a cause on the service's side: a record that stands refused is tried again, ever more rarely (I22, BB29)."""

from datetime import timedelta
from pathlib import Path

import pytest

from syncd.sandbox.fault import Fault, FaultKind
from tests.flow import stories
from tests.flow.house import MINUTE, Lab

HOUR = timedelta(hours=1)


def refused(folder: Path) -> Lab:
    """A lab in which Bitbucket refuses every change of a pull request, and one is due."""
    lab = Lab(folder)
    stories.adopted(lab)
    lab.bitbucket.arm(Fault(kind=FaultKind.REFUSE, method="PUT", route="pullrequests/", count=None, status=400))
    lab.edit("Rate limits", Name="Rates")
    lab.run(5 * MINUTE)
    assert lab.status()["syncs"]["features"]["errors"] == 1
    return lab


def title(lab: Lab) -> str:
    """What the pull request is called."""
    repository, number = lab.world.pull_requests["Rate limits"]
    return str(lab.pull_request(repository, number)["title"])


@pytest.mark.parametrize("again", [False, True], ids=["goes on", "starts again"])
def test_what_was_refused_for_a_cause_of_the_service_goes_through_later(tmp_path: Path, again: bool) -> None:
    lab = refused(tmp_path)
    lab.bitbucket.control("clear_faults", {}, lab.clock.now())
    if again:
        lab.restart()
    lab.run(5 * MINUTE)
    assert "Rates" not in title(lab), "nothing changed, and it is not long ago"
    lab.run(HOUR)
    assert "Rates" in title(lab)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]
    assert lab.status()["queue"]["parked"] == 0


def test_what_is_refused_for_ever_is_tried_ever_more_rarely_and_stays_shown(tmp_path: Path) -> None:
    lab = refused(tmp_path)
    first = lab.bitbucket.hits["refuse"]
    lab.run(24 * HOUR)
    day = lab.bitbucket.hits["refuse"] - first
    assert 4 <= day <= 8
    assert lab.status()["syncs"]["features"]["errors"] == 1
    assert lab.status()["queue"]["parked"] == 1
    lab.run(48 * HOUR)
    assert 1 <= lab.bitbucket.hits["refuse"] - first - day <= 3
