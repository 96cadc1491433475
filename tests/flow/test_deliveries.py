"""Deliveries get lost, doubled, late and swapped; hooks and cursors get broken. The state decides, the full compare repairs."""

from datetime import timedelta
from pathlib import Path

import pytest

from syncd.sandbox.fault import Fault, FaultKind
from tests.flow import stories
from tests.flow.house import MINUTE, PUBLIC_URL, Lab


@pytest.mark.parametrize("service", ["airtable", "bitbucket"])
def test_what_lost_deliveries_would_have_told_the_full_compare_finds(tmp_path: Path, service: str) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    machine = lab.airtable if service == "airtable" else lab.bitbucket
    machine.arm(stories.no_delivery())
    lab.edit("Audit log", Name="Audit trail")
    lab.work("edit_pull_request", repository="api", id=1, draft=False)
    lab.work("merge", repository="api", id=2)
    lab.run(17 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"
    assert lab.cells("Rate limits")["Status"] == "In Review"
    assert machine.hits["drop_delivery"]


def test_a_title_is_written_although_no_ping_came(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.airtable.arm(stories.no_delivery())
    lab.edit("Audit log", Name="Audit trail")
    lab.run(3 * MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit trail")


DISTURBED = (
    pytest.param(Fault(kind=FaultKind.DUPLICATE_DELIVERY, count=None), id="doubled"),
    pytest.param(Fault(kind=FaultKind.DELAY_DELIVERY, count=None, delay_s=150), id="late"),
    pytest.param(Fault(kind=FaultKind.DELAY_DELIVERY, count=4, after=2, delay_s=3 * 3600), id="some hours late"),
    pytest.param(Fault(kind=FaultKind.SWAP_DELIVERIES, count=6, delay_s=100), id="swapped"),
)


@pytest.mark.parametrize("fault", DISTURBED)
def test_disturbed_deliveries_end_in_the_same_state(tmp_path: Path, fault: Fault) -> None:
    calm, disturbed = Lab(tmp_path / "calm"), Lab(tmp_path / "disturbed")
    disturbed.airtable.arm(fault)
    disturbed.bitbucket.arm(fault)
    for lab in (calm, disturbed):
        stories.adopted(lab, 5 * MINUTE)
        stories.main_story(lab, 16 * MINUTE)
        lab.run(timedelta(hours=3))
    assert sum(disturbed.bitbucket.hits.values())
    assert disturbed.end_state() == calm.end_state()
    effects = [[entry.path for entry in lab.writes() if entry.method == "POST"] for lab in (calm, disturbed)]
    assert effects[0] == effects[1]


def hook_of(lab: Lab, repository: str) -> str:
    """The id of syncd's hook on a repository."""
    (found,) = lab.work("hooks", repository=repository)
    return str(found)


def test_a_hook_that_a_person_deleted_is_made_again_and_nothing_is_missed(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.work("delete_hook", repository="api", uuid=hook_of(lab, "api"))
    lab.work("merge", repository="api", id=2)
    lab.run(65 * MINUTE)
    assert hook_of(lab, "api")
    assert lab.cells("Audit log")["Status"] == "Merged"
    lab.work("edit_pull_request", repository="api", id=1, draft=False)
    lab.run(MINUTE)
    assert lab.cells("Rate limits")["Status"] == "In Review"


@pytest.mark.parametrize("change", [{"active": False}, {"events": ["repo:push"]}], ids=["switched off", "fewer events"])
def test_a_hook_that_a_person_changed_is_set_right(tmp_path: Path, change: dict[str, object]) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    before = lab.work("hooks", repository="api")[hook_of(lab, "api")]
    lab.work("edit_hook", repository="api", uuid=hook_of(lab, "api"), **change)
    lab.run(65 * MINUTE)
    after = lab.work("hooks", repository="api")[hook_of(lab, "api")]
    assert (after["active"], sorted(after["events"])) == (True, sorted(before["events"]))


def test_a_hook_of_a_lost_state_is_taken_over_and_not_doubled(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    before = {name: hook_of(lab, name) for name in ("api", "web")}
    lab.open(None)
    lab.run(2 * MINUTE)
    assert {name: hook_of(lab, name) for name in ("api", "web")} == before
    (airtable,) = lab.person("hooks")
    assert airtable["notificationUrl"].startswith(PUBLIC_URL)
    writes = len(lab.writes())
    lab.run(30 * MINUTE)
    assert len(lab.writes()) == writes, "a lost state is adoption: nothing is written before it is accepted"
    lab.apply()
    lab.edit("Audit log", Name="Audit trail")
    lab.run(MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit trail")
    assert len(lab.branches("Password reset")) == 1


def airtable_hook(lab: Lab) -> str:
    """The id of syncd's hook on the base."""
    (found,) = lab.person("hooks")
    return str(found["id"])


BROKEN = (
    pytest.param("disable_hook", {}, id="disabled"),
    pytest.param("expire_hook", {}, id="expired"),
    pytest.param("expire_hook", {"days_ago": 8}, id="gone"),
)


@pytest.mark.parametrize(("verb", "arguments"), BROKEN)
def test_a_broken_airtable_hook_is_made_again_and_nothing_is_missed(
    tmp_path: Path, verb: str, arguments: dict[str, int]
) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    before = airtable_hook(lab)
    lab.person(verb, **arguments)
    lab.edit("Audit log", Name="Audit trail")
    lab.run(65 * MINUTE)
    assert airtable_hook(lab) != before
    assert lab.pull_request("api", 2)["title"].endswith("] Audit trail")
    lab.edit("Audit log", Name="Audit record")
    lab.run(MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit record")
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_payloads_that_are_gone_are_made_up_for_by_a_compare(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.airtable.arm(stories.no_delivery())
    lab.edit("Audit log", Name="Audit trail")
    lab.person("drop_payloads")
    lab.edit("Rate limits", Name="Rates")
    lab.run(3 * MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit trail")
    assert lab.pull_request("api", 1)["title"].endswith("] Rates")


def test_pings_that_were_switched_off_are_switched_on_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.person("set_limits", ping_retries=2)
    fault = lab.airtable.arm(Fault(kind=FaultKind.DROP_DELIVERY, count=None, status=500))
    lab.edit("Audit log", Name="Audit trail")
    lab.run(3 * MINUTE)
    (hook,) = lab.person("hooks")
    assert not hook["areNotificationsEnabled"]
    lab.airtable.control("clear_faults", {"fault": fault}, lab.clock.now())
    lab.run(65 * MINUTE)
    (hook,) = lab.person("hooks")
    assert hook["areNotificationsEnabled"]
    lab.edit("Audit log", Name="Audit record")
    lab.run(MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit record")


def test_a_week_without_syncd_leaves_a_gap_that_the_compare_closes(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    image = lab.store.image()
    lab.edit("Audit log", Name="Audit trail")
    lab.work("merge", repository="api", id=1)
    lab.clock.wait(timedelta(days=8).total_seconds())
    for machine in (lab.airtable, lab.bitbucket):
        for delivery in machine.due(lab.clock.now()):
            machine.delivered(delivery, None, lab.clock.now())
    lab.open(image)
    lab.run(5 * MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit trail")
    assert lab.cells("Rate limits")["Status"] == "Merged"
    lab.edit("Audit log", Name="Audit record")
    lab.run(2 * MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit record")
    lab.run(60 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_the_hook_is_kept_alive_for_weeks(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    before = airtable_hook(lab)
    for _ in range(20):
        lab.clock.wait(timedelta(hours=11).total_seconds())
        lab.run(MINUTE)
    assert airtable_hook(lab) == before
    lab.edit("Audit log", Name="Audit trail")
    lab.run(MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit trail")
