"""Writes that a service does not let through for now show in health until they went through, or nobody wants them (I35)."""

from pathlib import Path

import pytest

from syncd.sandbox.fault import Fault, FaultKind
from tests.flow import stories
from tests.flow.house import MINUTE, Lab


@pytest.mark.parametrize(
    ("service", "method", "status"),
    [
        pytest.param("bitbucket", "PUT", 403, id="a right of ours is gone in Bitbucket"),
        pytest.param("airtable", "PATCH", 403, id="a right of ours is gone in Airtable"),
        pytest.param("bitbucket", "PUT", 503, id="Bitbucket answers changes with errors"),
    ],
)
def test_writes_that_do_not_go_through_show_in_health_until_they_do(
    tmp_path: Path, service: str, method: str, status: int
) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    machine = lab.airtable if service == "airtable" else lab.bitbucket
    machine.arm(Fault(kind=FaultKind.REFUSE, method=method, route="pullrequests/|/tbl", count=None, status=status))
    if service == "airtable":
        lab.work("merge", repository="api", id=2)
    else:
        lab.edit("Rate limits", Name="Rates")
    lab.run(MINUTE)
    told = lab.status()
    assert told["state"] == "degraded"
    assert any(str(status) in reason and "writing" in reason for reason in told["reasons"]), told["reasons"]
    # Records that have nothing to write do not hide it.
    lab.edit("Dark mode", Details="dark")
    lab.run(4 * MINUTE)
    assert lab.status()["state"] == "degraded"
    machine.control("clear_faults", {}, lab.clock.now())
    lab.run(30 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_a_refused_write_that_nobody_wants_any_more_does_not_show_for_ever(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.bitbucket.arm(Fault(kind=FaultKind.REFUSE, method="PUT", route="pullrequests/", count=None, status=403))
    lab.edit("Rate limits", Name="Rates")
    lab.run(MINUTE)
    assert lab.status()["state"] == "degraded"
    lab.edit("Rate limits", Name="Rate limits")
    lab.run(5 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_changes_that_are_answered_with_errors_are_sent_ever_more_rarely(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.bitbucket.arm(Fault(kind=FaultKind.REFUSE, method="PUT", route="pullrequests/", count=None, status=503))
    lab.edit("Rate limits", Name="Rates")
    lab.run(10 * MINUTE)
    assert lab.bitbucket.hits["refuse"] <= 20
    before = lab.bitbucket.hits["refuse"]
    lab.run(10 * MINUTE)
    assert 1 <= lab.bitbucket.hits["refuse"] - before <= 12
