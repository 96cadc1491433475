"""A restart while a service takes no more requests: syncd starts, takes deliveries and says what it could not ask (AT11, I31)."""

from datetime import timedelta
from pathlib import Path

import pytest

from syncd import errors
from syncd.sandbox.fault import Fault, FaultKind
from tests.flow.house import Lab

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("service", ["airtable", "bitbucket"])
def test_a_restart_without_a_budget_starts_and_catches_up_afterwards(tmp_path: Path, service: str) -> None:
    lab = Lab(tmp_path)
    lab.adopt()
    lab.run(2 * MINUTE)
    machine = lab.airtable if service == "airtable" else lab.bitbucket
    number = machine.arm(Fault(kind=FaultKind.THROTTLE, service=service, count=None))
    lab.restart()
    lab.run(2 * MINUTE)
    status = lab.status()
    assert status["state"] != "ok"
    assert any("could not be asked at the start" in reason for reason in status["reasons"])
    lab.edit("Login page", Status="Ready")
    machine.clear(number)
    lab.run(timedelta(minutes=80))
    assert len(lab.branches("Login page")) == 1
    assert lab.status()["reasons"] == []


def test_a_first_start_asks_both_services(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.airtable.arm(Fault(kind=FaultKind.CLOSE_BEFORE, service="airtable", count=None))
    with pytest.raises(errors.Unreachable):
        lab.open(None)
