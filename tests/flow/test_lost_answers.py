"""The service did what it was asked and its answer was lost: syncd knows its own write when it finds it (I08, I12, AT04)."""

from pathlib import Path

import pytest

from syncd.model.ids import SyncName
from syncd.sandbox.fault import Fault, FaultKind, FaultyMachine
from tests.flow import stories
from tests.flow.house import MINUTE, Lab


def adopted(folder: Path) -> Lab:
    """A lab at rest."""
    lab = Lab(folder)
    stories.adopted(lab)
    return lab


def until_lost(lab: Lab, machine: FaultyMachine, method: str, route: str) -> None:
    """Lose the answer of the next such request, and stop the moment it is lost."""
    machine.arm(Fault(kind=FaultKind.LOSE_REPLY, method=method, route=route))
    for _ in range(400):
        lab.step()
        if machine.hits["lose_reply"]:
            return
        lab.clock.wait(0.1)
    raise AssertionError(f"no {method} was sent")


def started(lab: Lab) -> tuple[str, str]:
    """A record with a branch: its repository and name."""
    lab.edit("Login page", Status="Ready")
    lab.run(2 * MINUTE)
    ((repository, branch),) = lab.branches("Login page")
    return repository, branch


@pytest.mark.parametrize("moves", ["pull request ready", "branch deleted"])
def test_a_status_whose_answer_was_lost_is_nobody_elses_step_when_the_work_moves_on(tmp_path: Path, moves: str) -> None:
    lab = adopted(tmp_path)
    repository, branch = started(lab)
    lab.work("push", repository=repository, branch=branch, commits=["Sign in\n"], user="grace")
    until_lost(lab, lab.airtable, "PATCH", "/tbl")
    assert lab.cells("Login page")["Status"] == "In Progress"
    if moves == "branch deleted":
        lab.work("delete_branch", repository=repository, branch=branch)
    else:
        number = stories.first_pull_request(lab, "Login page")["id"]
        lab.work("edit_pull_request", repository=repository, id=number, draft=False, user="grace")
    lab.run(5 * MINUTE)
    rows = [row for row in lab.journal("Login page") if row["place"] == "Status"]
    told = [(row["kind"], row["state"], row["error"]) for row in rows]
    assert ("status", "applied", "looked up: it was done") in told
    assert {kind for kind, _, _ in told} == {"status"}, told
    assert "put back" not in str(lab.cells("Login page").get("Sync note"))
    assert lab.cells("Login page")["Status"] == ("In Progress" if moves == "branch deleted" else "In Review")


def test_a_title_that_a_person_changed_after_our_lost_write_is_theirs(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.edit("Rate limits", Name="Rates")
    until_lost(lab, lab.bitbucket, "PUT", "pullrequests/1$")
    before = lab.pull_request("api", 1)["title"]
    assert before.endswith("] Rates")
    lab.work("edit_pull_request", repository="api", id=1, title=before.replace("Rates", "Theirs"), user="grace")
    lab.run(5 * MINUTE)
    looked = [row for row in lab.journal("Rate limits") if row["error"].startswith("looked up")]
    assert [(row["state"], row["error"]) for row in looked] == [
        ("applied", "looked up: it may have been done; something was changed since")
    ]
    # Airtable owns the name: the edit over there is put back, as the edit of a person that it is.
    assert lab.pull_request("api", 1)["title"] == before
    assert "Theirs" in lab.journal("Rate limits")[-1]["before"]


def test_one_record_that_holds_our_values_proves_the_write_of_the_others_of_its_batch(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.work("decline", repository="api", id=1)
    lab.work("merge", repository="api", id=2)
    # The first batch holds the status cells of both.
    until_lost(lab, lab.airtable, "PATCH", "/tbl")
    assert lab.cells("Audit log")["Status"] == "Merged"
    lab.edit("Audit log", Status="Planned")
    lab.run(5 * MINUTE)
    ends = {
        (name, row["state"], row["error"])
        for name in ("Rate limits", "Audit log")
        for row in lab.journal(name)
        if row["error"].startswith("looked up")
    }
    assert ends == {
        ("Rate limits", "applied", "looked up: it was done"),
        ("Audit log", "applied", "looked up: it was done; something was changed since"),
    }
    assert lab.cells("Audit log")["Status"] == "Merged"


def test_records_are_not_planned_before_a_lost_answer_was_looked_up(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    repository, branch = started(lab)
    lab.work("push", repository=repository, branch=branch, commits=["Sign in\n"], user="grace")
    until_lost(lab, lab.airtable, "PATCH", "/tbl")
    lab.airtable.arm(Fault(kind=FaultKind.REFUSE, method="POST", route="listRecords", count=None, status=503))
    lab.airtable.arm(Fault(kind=FaultKind.REFUSE, method="GET", route="/tbl", count=None, status=503))
    sent = len(lab.writes())
    lab.edit("Login page", Details="more")
    lab.run(5 * MINUTE)
    assert len(lab.writes()) == sent
    assert lab.status()["state"] == "degraded"
    assert any("lost answer" in reason for reason in lab.status()["reasons"])
    lab.airtable.control("clear_faults", {}, lab.clock.now())
    lab.run(20 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]
    assert [row["state"] for row in lab.journal("Login page") if row["place"] == "Status"][-1] == "applied"
    assert not [row for row in lab.journal("Login page") if row["kind"] == "lost race"]


def test_a_lost_answer_of_a_repository_that_left_the_spec_holds_nothing_up(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.edit("Rate limits", Name="Rates")
    until_lost(lab, lab.bitbucket, "PUT", "pullrequests/1$")
    problem = lab.reload(
        lambda text: text.replace('repositories = ["web", "api"]', 'repositories = ["web"]').replace(
            'map = { Web = "web", API = "api" }', 'map = { Web = "web" }'
        )
    )
    assert problem == ""
    lab.run(5 * MINUTE)
    assert lab.store.load_unfinished(SyncName("features")) == ()
    looked = {row["error"] for row in lab.journal("Rate limits") if row["place"] == "pr.title"}
    assert "the spec does not name its repository any more" in looked
    lab.edit("Login page", Status="Ready")
    lab.run(3 * MINUTE)
    assert len(lab.branches("Login page")) == 1
