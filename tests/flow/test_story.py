"""From the first start to the merge, with deliveries and without, and under every open point of both services."""

import random
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.sandbox import choices
from tests.flow import stories
from tests.flow.house import MINUTE, Lab

MERGED_STORY = {
    "Status": "Merged",
    "PR state": "Merged",
    "Sync state": "ok",
    "Confidence": 60,
    "Merged": True,
    "Last commit is a head": True,
}


def test_nothing_is_written_before_the_first_plan_is_accepted(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.run(30 * MINUTE)
    lab.edit("Login page", Status="Ready")
    lab.edit("Audit log", Name="Audit trail")
    lab.run(30 * MINUTE)
    assert lab.writes() == []
    assert lab.status()["syncs"]["features"]["adoption"]
    assert any("syncd apply" in reason for reason in lab.status()["reasons"])


def test_the_first_plan_shows_what_the_first_apply_writes(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.run(2 * MINUTE)
    shown = lab.plan()
    assert shown["adoption"]
    assert lab.writes() == []
    lab.apply()
    told = {
        (one["record"], change["what"], str(change["after"])) for one in shown["records"] for change in one["changes"]
    }
    assert told == {(row["record"], row["place"], str(row["after"])) for row in lab.journal()}
    assert lab.cells("Audit log")["Status"] == "In Review"
    assert lab.cells("Dark mode")["Status"] == "Merged"


@pytest.mark.parametrize("hooks", [True, False], ids=["with hooks", "polling"])
def test_a_second_plan_is_empty_and_nothing_is_written_any_more(tmp_path: Path, hooks: bool) -> None:
    lab = Lab(tmp_path, hooks=hooks)
    stories.adopted(lab, 5 * MINUTE)
    before = len(lab.writes())
    shown = lab.plan()
    assert shown["totals"]["writes"] == shown["totals"]["actions"] == 0
    assert not shown["adoption"]
    lab.run(timedelta(hours=2))
    assert len(lab.writes()) == before
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


@pytest.mark.parametrize(("hooks", "pause"), [(True, MINUTE), (False, 4 * MINUTE)], ids=["with hooks", "polling"])
def test_a_feature_goes_from_ready_to_merged_by_what_people_do(tmp_path: Path, hooks: bool, pause: timedelta) -> None:
    lab = Lab(tmp_path, hooks=hooks)
    stories.adopted(lab, pause)
    lab.edit("Login page", Status="Ready")
    lab.run(pause)
    ((repository, branch),) = lab.branches("Login page")
    assert repository == "web"
    assert branch == f"feature/{lab.records['Login page']}-login-page"
    assert lab.pull_requests("Login page") == []
    lab.work("push", repository=repository, branch=branch, commits=["Sign in\n"])
    lab.run(pause)
    ((_, made),) = lab.pull_requests("Login page")
    assert made["draft"]
    assert made["title"] == f"[Airtable: {lab.records['Login page']}] Login page"
    assert made["description"].strip() == "Sign in with e-mail and password."
    assert lab.cells("Login page")["Status"] == "In Progress"
    assert lab.cells("Login page")["PR URL"].endswith(f"/web/pull-requests/{made['id']}")
    lab.work("edit_pull_request", repository=repository, id=made["id"], draft=False)
    lab.run(pause)
    assert lab.cells("Login page")["Status"] == "In Review"
    lab.work("approve", repository=repository, id=made["id"], user="ada")
    lab.work("approve", repository=repository, id=made["id"], user="grace")
    lab.run(pause)
    assert lab.cells("Login page")["Confidence"] == 60
    merged_at = lab.clock.now()
    lab.work("merge", repository=repository, id=made["id"])
    lab.run(pause)
    cells = lab.cells("Login page")
    assert (cells["Status"], cells["PR state"]) == ("Merged", "Merged")
    assert cells["Merged at"] == merged_at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{merged_at.microsecond // 1000:03d}Z"
    assert made["source_commit"].startswith(cells["Last commit"])
    before = len(lab.writes())
    lab.run(timedelta(hours=1))
    assert len(lab.writes()) == before


def test_a_deployment_to_production_releases_what_it_holds(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.work("deploy", repository="web", environment="Production", commit="main", status="SUCCESSFUL")
    lab.run(20 * MINUTE)  # deployments send no event: the full compare finds them
    assert lab.cells("Dark mode")["Status"] == "Released"
    assert lab.cells("Audit log")["Status"] == "In Review"


def test_no_write_of_syncd_is_answered_by_another(tmp_path: Path) -> None:
    """Echoes of own writes come back as deliveries and payloads; each cell is written at most once per cause (I02, I09)."""
    lab = Lab(tmp_path)
    stories.adopted(lab)
    stories.main_story(lab)
    written: dict[tuple[str, str, str], int] = {}
    for entry in lab.writes():
        for change in entry.changes:
            key = (change.object, change.attribute, str(change.after))
            written[key] = written.get(key, 0) + 1
    run_id = {key for key in written if key[1] == lab.field("Sync run")}
    assert {key: times for key, times in written.items() if times > 1 and key not in run_id} == {}


@pytest.mark.parametrize("seed", range(20))
def test_the_story_ends_the_same_whatever_the_services_leave_open(tmp_path: Path, seed: int) -> None:
    drawn = choices.draw(random.Random(seed))
    lab = Lab(tmp_path, seed=seed, choices=drawn, hooks=seed % 2 == 0)
    stories.adopted(lab, 5 * MINUTE)
    stories.main_story(lab, 5 * MINUTE)
    state = lab.end_state()["Login page"]
    assert {key: state["cells"].get(key) for key in MERGED_STORY} == MERGED_STORY, drawn
    assert [one["state"] for _, one in state["pull requests"]] == ["MERGED"]
    assert len(state["branches"]) == 1
    before = len(lab.writes())
    lab.run(timedelta(hours=1))
    assert len(lab.writes()) == before
    assert lab.status()["state"] == "ok", lab.status()["reasons"]
