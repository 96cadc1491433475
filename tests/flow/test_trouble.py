"""Refusals, limits, lost rights, vanished things, mass changes, the kill switch: nothing is lost, nothing is guessed."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd import errors
from syncd.commands import world as worlds
from syncd.sandbox.fault import Fault, FaultKind
from tests.flow import stories
from tests.flow.house import MINUTE, Lab

ALL = ("Login page", "Password reset", "Rate limits", "Audit log", "Dark mode")


def adopted(folder: Path, **named: Any) -> Lab:
    """A lab at rest."""
    lab = Lab(folder, **named)
    stories.adopted(lab)
    return lab


# ------------------------------------------------------------------------------------------------------ refusals


def test_one_refused_record_of_ten_is_parked_alone_and_heals_with_its_cause(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    # The schema is not read again: else the field would be blocked for all (tests/flow/test_drift.py).
    reload, lab.crew.keeper._reload_schema = lab.crew.keeper._reload_schema, lambda: None
    lab.crew.workers[0]._reload = lambda: None
    lab.person("delete_choice", table="Features", field="PR state", choice="Declined")
    lab.work("decline", repository="api", id=1)
    lab.work("merge", repository="api", id=2)
    lab.run(3 * MINUTE)
    assert lab.cells("Audit log")["PR state"] == "Merged"
    refused = lab.cells("Rate limits")
    assert refused["PR state"] == "Open"
    assert "PR state" in refused["Sync note"]
    assert refused["Sync state"] in {"error", "refused"}
    before = len(lab.writes())
    lab.run(60 * MINUTE)
    assert len(lab.writes()) - before <= 2, "a standing refusal is not sent again and again"
    lab.crew.keeper._reload_schema = reload
    lab.person("add_choice", table="Features", field="PR state", name="Declined")
    lab.run(20 * MINUTE)
    assert lab.cells("Rate limits")["PR state"] == "Declined"
    assert lab.cells("Rate limits").get("Sync note") is None
    assert lab.cells("Rate limits")["Sync state"] == "ok"


def test_a_record_that_the_service_refuses_is_parked_and_the_others_of_its_batch_are_written(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    # The service refuses whatever names this record, without our knowing why.
    lab.bitbucket.arm(Fault(kind=FaultKind.REFUSE, method="PUT", route="pullrequests/1$", count=None, status=400))
    lab.edit("Rate limits", Name="Rates")
    lab.edit("Audit log", Name="Audit trail")
    lab.run(3 * MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit trail")
    assert lab.cells("Rate limits")["Sync state"] == "error"
    assert "400" in lab.cells("Rate limits")["Sync note"]
    assert lab.status()["syncs"]["features"]["errors"] == 1
    tried = sum(entry.method == "PUT" and entry.path.endswith("/1") for entry in lab.writes())
    lab.run(40 * MINUTE)
    assert sum(entry.method == "PUT" and entry.path.endswith("/1") for entry in lab.writes()) == tried
    lab.bitbucket.control("clear_faults", {}, lab.clock.now())
    lab.edit("Rate limits", Name="Limits")
    lab.run(2 * MINUTE)
    assert lab.pull_request("api", 1)["title"].endswith("] Limits")
    assert lab.cells("Rate limits")["Sync state"] == "ok"
    assert lab.status()["syncs"]["features"]["errors"] == 0


def test_a_field_that_is_locked_for_us_does_not_hold_up_the_others(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.person("lock_field", table="Features", field="Merged at", locked=True)
    lab.work("merge", repository="api", id=2)
    lab.edit("Rate limits", Name="Rates")
    lab.run(5 * MINUTE)
    assert lab.pull_request("api", 1)["title"].endswith("] Rates")
    lab.person("lock_field", table="Features", field="Merged at", locked=False)
    lab.run(20 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"
    assert lab.cells("Audit log")["Merged at"]


# -------------------------------------------------------------------------------------------------------- limits


def test_a_throttled_base_is_left_alone_for_thirty_seconds(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.airtable.arm(Fault(kind=FaultKind.THROTTLE, method="PATCH"))
    lab.work("merge", repository="api", id=2)
    struck: datetime | None = None
    for _ in range(240):
        lab.run(timedelta(milliseconds=500))
        if struck is None and lab.airtable.hits["throttle"]:
            struck = lab.clock.now()
    assert struck is not None
    later = [entry.at for entry in lab.airtable.inner.log if entry.at > struck and entry.method != "CONTROL"]
    assert min(later) >= struck + timedelta(seconds=29)
    assert lab.cells("Audit log")["Status"] == "Merged"


@pytest.mark.parametrize("hooks", [True, False], ids=["with hooks", "polling"])
def test_a_busy_day_causes_no_429_of_our_own(tmp_path: Path, hooks: bool) -> None:
    lab = adopted(tmp_path, hooks=hooks)
    for hour in range(8):
        for number, name in enumerate(ALL):
            lab.edit(name, Details=f"{name} at {hour}")
            lab.run((1 + number) * MINUTE)
        for _ in range(3):
            lab.work("comment", repository="api", id=2, text="look")
        lab.work("push", repository="api", branch=f"side-{hour}", commits=3)
        lab.run(45 * MINUTE)
    statuses = [entry.status for machine in (lab.airtable, lab.bitbucket) for entry in machine.inner.log]
    assert 429 not in statuses
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_a_used_up_month_is_waited_out_and_nothing_is_lost(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    spent = lab.person("usage")["spent"]
    lab.person("set_quota", monthly=spent)
    lab.work("merge", repository="api", id=2)
    lab.run(60 * MINUTE)
    calls = sum(entry.status == 429 for entry in lab.airtable.inner.log)
    assert 1 <= calls <= 3, "no hot loop on a quota"
    assert lab.status()["state"] == "degraded"
    lab.clock.at = datetime(2026, 12, 1, 0, 5, tzinfo=lab.clock.at.tzinfo)
    lab.person("set_quota", monthly=None)
    lab.run(20 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"


# ---------------------------------------------------------------------------------------------------- lost rights


@pytest.mark.parametrize("side", ["airtable", "bitbucket"])
def test_a_revoked_token_loses_nothing_and_work_resumes_by_itself(tmp_path: Path, side: str) -> None:
    lab = adopted(tmp_path)
    token = worlds.AIRTABLE_TOKEN if side == "airtable" else worlds.BITBUCKET_TOKEN
    act = lab.person if side == "airtable" else lab.work
    act("revoke_token", token=token)
    lab.edit("Rate limits", Name="Rates")
    lab.work("merge", repository="api", id=2)
    lab.run(MINUTE)
    health = lab.status()
    assert health["state"] == "degraded"
    assert any("401" in reason or "token" in reason for reason in health["reasons"]), health["reasons"]
    before = lab.requests()[side]
    lab.run(120 * MINUTE)
    assert lab.requests()[side] - before <= 5 * 120 + 10, "probed about once a minute"
    act("restore_token", token=token)
    lab.run(18 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"
    assert lab.pull_request("api", 1)["title"].endswith("] Rates")
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_a_repository_that_cannot_be_seen_is_unknown_and_not_empty(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.edit("Login page", Status="Ready")
    lab.run(2 * MINUTE)
    lab.work("hide_repository", repository="api")
    before = {name: lab.cells(name) for name in ALL}
    writes = len(lab.writes())
    lab.run(60 * MINUTE)
    for name in ALL:
        assert {**lab.cells(name), "Sync run": ""} == {**before[name], "Sync run": ""}
    assert len(lab.writes()) == writes
    health = lab.status()
    assert health["state"] == "degraded"
    assert any("api" in reason for reason in health["reasons"])
    assert health["syncs"]["features"]["pending"] >= 2
    lab.work("show_repository", repository="api")
    lab.work("merge", repository="api", id=2)
    lab.run(20 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


# -------------------------------------------------------------------------------------------------- vanished things


def test_a_deleted_record_is_gone_only_after_two_listings_and_a_direct_look(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    record = lab.records.pop("Audit log")
    known = lab.status()["syncs"]["features"]["records"]
    lab.person("delete", record=record, user="ada@acme.dev")
    lab.run(2 * MINUTE)
    assert lab.status()["syncs"]["features"]["records"] == known
    lab.run(50 * MINUTE)
    assert lab.status()["syncs"]["features"]["records"] == known - 1
    assert lab.pull_request("api", 2)["state"] == "OPEN"
    assert lab.status()["state"] == "ok", lab.status()["reasons"]
    lab.person("restore", record=record, user="ada@acme.dev")
    lab.records["Audit log"] = record
    lab.run(20 * MINUTE)
    lab.work("merge", repository="api", id=2)
    lab.run(2 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"


def filtered(folder: Path) -> Lab:
    """A lab whose view shows only records of one repository."""
    lab = Lab(folder)
    lab.person("add_view", table="Features", name="Only API", filter={"field": "Repo", "values": ["API"]})
    lab.reload(lambda text: text.replace('view = "Engineering"', 'view = "Only API"'))
    stories.adopted(lab)
    return lab


def test_a_record_out_of_the_view_is_left_alone_and_goes_on_when_it_returns(tmp_path: Path) -> None:
    lab = filtered(tmp_path)
    assert lab.cells("Audit log")["Status"] == "In Review"
    assert lab.cells("Dark mode")["Status"] == "Ready"
    lab.edit("Audit log", Repo="Web")
    lab.run(2 * MINUTE)
    lab.work("merge", repository="api", id=2)
    lab.edit("Audit log", Name="Audit trail")
    before = len(lab.writes())
    lab.run(60 * MINUTE)
    assert len(lab.writes()) == before
    assert lab.cells("Audit log")["Status"] == "In Review"
    assert lab.status()["syncs"]["features"]["out_of_scope"] >= 1
    lab.edit("Audit log", Repo="API")
    lab.run(2 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"


def test_a_deleted_view_holds_the_sync(tmp_path: Path) -> None:
    lab = filtered(tmp_path)
    lab.person("delete_view", table="Features", view="Only API")
    lab.work("merge", repository="api", id=2)
    lab.edit("Rate limits", Name="Rates")
    before = len(lab.writes())
    lab.run(60 * MINUTE)
    assert len(lab.writes()) == before
    assert lab.status()["state"] == "degraded"


def crowd(lab: Lab, count: int) -> list[str]:
    """More features, each with a pull request of its own in the API repository, known to syncd."""
    names = [f"Feature {number}" for number in range(count)]
    for name in names:
        record = lab.create(name, Status="Ready", Repo="API", Details=f"{name}.")
        lab.work("push", repository="api", branch=f"feature/{record}", commits=[f"{name}\n"])
        lab.work("create_pull_request", repository="api", source=f"feature/{record}", title=name, draft=True)
    return names


def crowded(folder: Path, count: int = 30) -> tuple[Lab, list[str]]:
    """A lab at rest with a crowd in it, the guard's window over."""
    lab = Lab(folder)
    names = crowd(lab, count)
    stories.adopted(lab)
    lab.run(70 * MINUTE)
    return lab, names


def test_what_a_person_applied_does_not_count_against_the_next_hour(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    crowd(lab, 30)
    stories.adopted(lab)
    lab.edit("Login page", Status="Ready")
    lab.run(3 * MINUTE)
    assert len(lab.branches("Login page")) == len(lab.branches("Password reset")) == 1
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_an_emptied_table_is_not_believed(tmp_path: Path) -> None:
    lab, names = crowded(tmp_path)
    known = lab.status()["syncs"]["features"]["records"]
    before = len(lab.writes())
    lab.person("delete", records=[lab.records[name] for name in names], user="ada@acme.dev")
    lab.run(120 * MINUTE)
    assert lab.status()["syncs"]["features"]["records"] == known
    assert len(lab.writes()) == before
    assert lab.status()["state"] in {"degraded", "halted"}


def test_a_mass_change_is_refused_until_a_person_accepts_it_once(tmp_path: Path) -> None:
    lab, names = crowded(tmp_path)
    before = len(lab.writes())
    rename(lab, names, "2.0")
    lab.run(5 * MINUTE)
    assert len(lab.writes()) == before
    health = lab.status()
    assert health["state"] == "halted"
    assert "records would be changed" in " ".join(health["reasons"])
    with pytest.raises(errors.Refused) as refused:
        lab.apply()
    assert len(refused.value.largest) == 10
    lab.control.apply(None, None, ["mass-change"])
    lab.run(5 * MINUTE)
    assert all(one["title"].endswith(" 2.0") for name in names for _, one in lab.pull_requests(name))
    assert lab.status()["state"] == "ok", lab.status()["reasons"]
    lab.run(70 * MINUTE)
    rename(lab, names, "3.0")
    lab.run(5 * MINUTE)
    assert lab.status()["state"] == "halted"


def rename(lab: Lab, names: list[str], suffix: str) -> None:
    """All of them at once, in one action."""
    rows = {lab.records[name]: {"Name": f"{name} {suffix}"} for name in names}
    lab.person("edit", records=rows, user="ada@acme.dev")


def test_a_mass_change_in_slices_is_refused_all_the_same(tmp_path: Path) -> None:
    lab, names = crowded(tmp_path)
    for start in range(0, 30, 5):
        rename(lab, names[start : start + 5], "2.0")
        lab.run(2 * MINUTE)
    renamed = sum(one["title"].endswith(" 2.0") for name in names for _, one in lab.pull_requests(name))
    assert renamed <= 10
    assert lab.status()["state"] == "halted"


# ----------------------------------------------------------------------------------------------------- kill switch


@pytest.mark.parametrize("scope", ["all", "sync.features"])
def test_a_pause_stops_every_write_and_no_look(tmp_path: Path, scope: str) -> None:
    lab = adopted(tmp_path)
    lab.control.pause(scope, "a person says so")
    before, seen = len(lab.writes()), lab.requests()
    lab.edit("Rate limits", Name="Rates")
    lab.work("merge", repository="api", id=2)
    lab.run(40 * MINUTE)
    assert len(lab.writes()) == before
    assert lab.requests() > seen
    assert lab.plan()["totals"]["writes"] >= 2
    assert lab.status()["state"] == "paused"
    rows = len(lab.journal())
    lab.restart()
    lab.run(10 * MINUTE)
    assert len(lab.writes()) == before
    assert len(lab.journal()) == rows, "a pause does not fill the journal"
    lab.control.resume(scope)
    lab.run(2 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"
    assert lab.pull_request("api", 1)["title"].endswith("] Rates")
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_a_direction_can_be_paused_alone(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.control.pause("to-bitbucket", "release week")
    lab.edit("Rate limits", Name="Rates")
    lab.work("merge", repository="api", id=2)
    lab.run(5 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"
    assert lab.pull_request("api", 1)["title"].endswith("] Rate limits")
    lab.control.resume("to-bitbucket")
    lab.run(2 * MINUTE)
    assert lab.pull_request("api", 1)["title"].endswith("] Rates")
