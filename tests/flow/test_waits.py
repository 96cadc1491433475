"""How long what failed waits, and what ends a wait before its time."""

from datetime import timedelta
from pathlib import Path

import pytest

from syncd import errors
from syncd.commands import world as worlds
from syncd.flow.effort import Effort
from syncd.model.event import Dirt, DirtyWork
from syncd.sandbox.fault import Fault, FaultKind
from tests.build import NOW
from tests.flow import stories
from tests.flow.house import MINUTE, Lab


@pytest.mark.parametrize("back", [timedelta(minutes=1), timedelta(hours=10), timedelta(days=1)])
def test_a_clock_set_back_puts_nothing_off_that_failed_before(back: timedelta) -> None:
    """CL02."""
    effort = Effort("reading")
    effort.failed(errors.Unauthorised("no", service="airtable", request="GET /x", status=401), NOW, 0.5)
    assert not effort.may(NOW + timedelta(seconds=30))
    assert effort.may(NOW - back)


def test_a_compare_that_meets_a_refused_token_is_tried_each_minute_and_asks_little(tmp_path: Path) -> None:
    """AT12."""
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.work("revoke_token", token=worlds.BITBUCKET_TOKEN)
    lab.control.compare("features")
    lab.run(10 * MINUTE)
    comparing = lab.crew.workers[0].comparing
    assert comparing.not_before is not None
    assert comparing.not_before - lab.clock.now() <= MINUTE
    before = lab.requests()
    lab.run(20 * MINUTE)
    asked = lab.requests()
    # A minute's two: the compare's first read, and the read of the repository that was found lost.
    assert asked["bitbucket"] - before["bitbucket"] <= 2 * 20 + 2
    assert asked["airtable"] - before["airtable"] <= 10, "the table is not read for a compare that cannot be made"


@pytest.mark.parametrize("head", [True, False], ids=["a head", "a head no more"])
def test_a_compare_answers_the_marks_of_builds_that_wait_for_long(tmp_path: Path, head: bool) -> None:
    """BB07."""
    lab = Lab(tmp_path)
    stories.adopted(lab)
    context = lab.crew.workers[0].context
    (work,) = [
        DirtyWork(repository=one.key.repository, dirt=Dirt.COMMIT, name=one.source_commit if head else "0" * 12)
        for id in context.repository_ids
        for one in lab.store.load_pull_requests(id)
        if one.state == "OPEN" and one.key.number == 1
    ]
    lab.store.mark_work([(work, None)], lab.clock.now(), lab.clock.now() + timedelta(hours=1))
    lab.run(2 * MINUTE)
    assert work in {mark.work for mark in lab.store.load_dirty_work(work.repository)}
    lab.control.compare("features")
    lab.run(MINUTE)
    assert work not in {mark.work for mark in lab.store.load_dirty_work(work.repository)}


@pytest.mark.parametrize("service", ["airtable", "bitbucket"])
def test_a_wait_that_a_service_asked_for_survives_a_restart(tmp_path: Path, service: str) -> None:
    """Found by the simulator (AT01, BB01, PR01, I21): the budgets were kept once a minute only."""
    lab = Lab(tmp_path)
    stories.adopted(lab)
    machine = lab.airtable if service == "airtable" else lab.bitbucket
    machine.arm(Fault(kind=FaultKind.THROTTLE, count=1))
    lab.control.compare("features")
    while not machine.hits["throttle"]:
        lab.run(timedelta(seconds=1))
    before = lab.requests()[service]
    lab.restart()
    lab.run(timedelta(seconds=20))
    assert lab.requests()[service] == before


def test_a_compare_that_a_person_asks_for_does_not_wait_for_the_last_failure(tmp_path: Path) -> None:
    """Found by the simulator (BB06, I35)."""
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.bitbucket.arm(Fault(kind=FaultKind.REFUSE, count=None, status=503))
    lab.control.compare("features")
    lab.run(30 * MINUTE)
    lab.bitbucket.control("clear_faults", {}, lab.clock.now())
    assert lab.status()["state"] == "degraded"
    lab.control.compare("features")
    lab.run(MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]
