"""Stories that people act out in the emulated services; told once, and run under every fault."""

from datetime import timedelta
from typing import Any

from syncd.sandbox.fault import Fault, FaultKind
from tests.flow.house import MINUTE, Lab

# The fields of the sample table that syncd may write to.
FIELDS = (
    *("Name", "Status", "Details", "PR URL", "PR state", "Last commit", "Merged at", "Build", "Confidence"),
    *("Sync run", "Sync state", "Sync note"),
)


def adopted(lab: Lab, pause: timedelta = 2 * MINUTE) -> None:
    """The first start and the first plan, accepted."""
    lab.run(pause)
    lab.apply()
    lab.run(pause)


def main_story(lab: Lab, pause: timedelta = 3 * MINUTE) -> None:
    """
    A feature from the product decision to the merge.

    Args:
        pause: how long people wait between their steps.
    """
    lab.edit("Login page", Status="Ready")
    lab.run(pause)
    (repository, branch) = lab.branches("Login page")[0]
    lab.work("push", repository=repository, branch=branch, commits=["Sign in\n"], user="grace")
    lab.run(pause)
    number = first_pull_request(lab, "Login page")["id"]
    lab.work("edit_pull_request", repository=repository, id=number, draft=False, user="grace")
    lab.run(pause)
    lab.work("approve", repository=repository, id=number, user="ada")
    lab.work("approve", repository=repository, id=number, user="grace")
    lab.run(pause)
    lab.work("merge", repository=repository, id=number, user="ada")
    lab.run(pause)


def first_pull_request(lab: Lab, name: str) -> dict[str, Any]:
    """The true state of the record's first pull request."""
    (_, found) = lab.pull_requests(name)[0]
    return found


def no_delivery(event: str = "") -> Fault:
    """A fault: webhook requests get lost, for as long as it is armed."""
    return Fault(kind=FaultKind.DROP_DELIVERY, event=event, count=None)
