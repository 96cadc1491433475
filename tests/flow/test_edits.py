"""People edit, on the right side and the wrong one, at once and against the rules; everything lost is in the journal."""

from pathlib import Path
from typing import Any

import pytest

from tests.flow import stories
from tests.flow.house import MINUTE, Lab

DETAILS = '"Details"     = { bitbucket = "pr.description", owner = "airtable", foreign_edit = "alert" }'


def details(rule: str, folder: Path) -> Lab:
    """A lab at rest whose Details follow another rule."""

    def edit(text: str) -> str:
        assert DETAILS in text
        return text.replace(DETAILS, f'"Details" = {{ bitbucket = "pr.description", {rule} }}')

    lab = Lab(folder, edit=edit)
    stories.adopted(lab)
    return lab


def reverted(lab: Lab, name: str) -> list[tuple[str, Any, Any]]:
    """What the journal says was put right: place, the losing value, the standing one."""
    return [(row["place"], row["before"], row["after"]) for row in lab.journal(name) if row["kind"] == "revert"]


def test_a_title_changed_in_bitbucket_is_put_right_and_kept_in_the_journal(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.work("edit_pull_request", repository="api", id=2, title="Audit everything")
    lab.run(MINUTE)
    title = f"[Airtable: {lab.records['Audit log']}] Audit log"
    assert lab.pull_request("api", 2)["title"] == title
    assert reverted(lab, "Audit log") == [("pr.title", "Audit everything", title)]
    assert lab.cells("Audit log")["Name"] == "Audit log"


def test_a_cell_that_bitbucket_owns_is_put_right_and_kept_in_the_journal(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.edit("Audit log", PR_state="Declined")
    lab.run(MINUTE)
    assert lab.cells("Audit log")["PR state"] == "Open"
    assert reverted(lab, "Audit log") == [("PR state", "Declined", "Open")]


def test_a_status_that_nobody_may_choose_is_put_back_and_the_note_says_why(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.edit("Login page", Status="Merged")
    lab.run(MINUTE)
    cells = lab.cells("Login page")
    assert cells["Status"] == "Planned"
    assert '"Status" was put back to "Planned"' in cells["Sync note"]
    assert cells["Sync state"] == "refused"
    rows = [(row["before"], row["after"]) for row in lab.journal("Login page") if row["kind"] == "illegal edit"]
    assert rows == [("Merged", "Planned")]
    before = len(lab.writes())
    lab.run(60 * MINUTE)
    assert len(lab.writes()) == before
    lab.edit("Login page", Status="Ready")
    lab.run(2 * MINUTE)
    assert lab.cells("Login page").get("Sync note") is None
    assert lab.cells("Login page")["Sync state"] == "ok"
    assert len(lab.branches("Login page")) == 1


@pytest.mark.parametrize("treatment", ["ignore", "alert"])
def test_a_foreign_edit_is_tolerated_until_the_owner_moves(tmp_path: Path, treatment: str) -> None:
    lab = details(f'owner = "airtable", foreign_edit = "{treatment}"', tmp_path)
    lab.work("edit_pull_request", repository="api", id=2, description="Written by a developer")
    lab.run(40 * MINUTE)
    assert lab.pull_request("api", 2)["description"] == "Written by a developer"
    assert lab.cells("Audit log")["Details"] == "Who changed what, and when."
    lab.edit("Audit log", Details="Who changed what.")
    lab.run(MINUTE)
    assert lab.pull_request("api", 2)["description"] == "Who changed what."


@pytest.mark.parametrize("treatment", ["ignore", "alert"])
def test_an_illegal_status_is_tolerated_when_the_spec_says_so(tmp_path: Path, treatment: str) -> None:
    lab = Lab(tmp_path, edit=lambda text: text.replace('illegal_edit = "revert"', f'illegal_edit = "{treatment}"'))
    stories.adopted(lab)
    lab.edit("Audit log", Status="Released")
    lab.run(40 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Released"
    lab.work("merge", repository="api", id=2)
    lab.run(MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"


def test_a_field_of_both_follows_the_side_that_moved(tmp_path: Path) -> None:
    lab = details('owner = "both"', tmp_path)
    lab.edit("Audit log", Details="From Airtable")
    lab.run(MINUTE)
    assert lab.pull_request("api", 2)["description"] == "From Airtable"
    lab.work("edit_pull_request", repository="api", id=2, description="From Bitbucket")
    lab.run(MINUTE)
    assert lab.cells("Audit log")["Details"] == "From Bitbucket"


def conflicting(folder: Path) -> Lab:
    """A lab with an open conflict on the Details of the audit log."""
    lab = details('owner = "both", conflict = "ask"', folder)
    lab.edit("Audit log", Details="From Airtable")
    lab.work("edit_pull_request", repository="api", id=2, description="From Bitbucket")
    lab.run(2 * MINUTE)
    return lab


def test_a_conflict_is_held_and_shown_and_everything_else_goes_on(tmp_path: Path) -> None:
    lab = conflicting(tmp_path)
    assert lab.cells("Audit log")["Details"] == "From Airtable"
    assert lab.pull_request("api", 2)["description"] == "From Bitbucket"
    (shown,) = lab.control.conflicts(None)["conflicts"]
    assert (shown["airtable"], shown["bitbucket"]) == ("From Airtable", "From Bitbucket")
    assert lab.cells("Audit log")["Sync state"] == "conflict"
    assert "From Bitbucket" in lab.cells("Audit log")["Sync note"]
    assert lab.status()["syncs"]["features"]["conflicts"] == 1
    lab.edit("Audit log", Name="Audit trail")
    lab.run(MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit trail")
    assert lab.pull_request("api", 2)["description"] == "From Bitbucket"


@pytest.mark.parametrize(("winner", "text"), [("airtable", "From Airtable"), ("bitbucket", "From Bitbucket")])
def test_a_conflict_ends_as_a_person_decides(tmp_path: Path, winner: str, text: str) -> None:
    lab = conflicting(tmp_path)
    lab.control.resolve("features", lab.records["Audit log"], "Details", winner)
    lab.run(MINUTE)
    assert lab.cells("Audit log")["Details"] == text
    assert lab.pull_request("api", 2)["description"] == text
    assert lab.control.conflicts(None)["conflicts"] == []
    assert (lab.cells("Audit log")["Sync state"], lab.cells("Audit log").get("Sync note")) == ("ok", None)


def test_a_conflict_ends_when_both_sides_are_made_equal(tmp_path: Path) -> None:
    lab = conflicting(tmp_path)
    lab.edit("Audit log", Details="From Bitbucket")
    lab.run(MINUTE)
    assert lab.control.conflicts(None)["conflicts"] == []
    assert (lab.cells("Audit log")["Sync state"], lab.cells("Audit log").get("Sync note")) == ("ok", None)


def test_a_held_record_is_left_alone_until_it_is_released(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.edit("Audit log", Hold_sync=True)
    lab.run(MINUTE)
    assert lab.cells("Audit log")["Sync state"] == "held"
    lab.edit("Audit log", Name="Audit trail")
    lab.work("merge", repository="api", id=2)
    lab.run(40 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "In Review"
    lab.edit("Audit log", Hold_sync=None)
    lab.run(MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"
    assert lab.cells("Audit log")["Sync state"] == "ok"


def test_a_field_held_by_command_is_left_alone_until_its_end(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    end = (lab.clock.now() + 30 * MINUTE).isoformat()
    lab.control.hold("features", lab.records["Audit log"], "Name", "a talk is going on", end)
    lab.run(MINUTE)
    lab.edit("Audit log", Name="Audit trail", Details="Who did what")
    lab.run(10 * MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit log")
    assert lab.pull_request("api", 2)["description"] == "Who did what"
    assert "a talk is going on" in lab.cells("Audit log")["Sync note"]
    lab.run(25 * MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit trail")
    assert lab.cells("Audit log").get("Sync note") is None


def test_a_released_hold_lets_the_writes_out(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.control.hold("features", lab.records["Audit log"], None, "audit week", None)
    lab.run(MINUTE)
    lab.work("merge", repository="api", id=2)
    lab.run(5 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "In Review"
    lab.control.unhold("features", lab.records["Audit log"], None)
    lab.run(MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"


def test_a_url_typed_by_a_person_links_the_pull_request(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.work("push", repository="web", branch="sso", commits=["Sign in with SSO\n"])
    made = lab.work("create_pull_request", repository="web", source="sso", title="SSO")
    lab.run(MINUTE)
    lab.edit("Login page", PR_URL=f"https://bitbucket.org/acme/web/pull-requests/{made['id']}")
    lab.run(MINUTE)
    assert lab.cells("Login page")["PR state"] == "Open"
    assert lab.pull_request("web", made["id"])["title"].endswith("Login page")
    lab.work("merge", repository="web", id=made["id"])
    lab.run(MINUTE)
    assert lab.cells("Login page")["PR state"] == "Merged"


def test_a_duplicated_row_does_not_steal_the_pull_request(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    copy = lab.person("duplicate", record=lab.records["Audit log"], user="ada@acme.dev")["id"]
    lab.records["Audit log copy"] = copy
    lab.run(20 * MINUTE)
    lab.edit("Audit log copy", Name="Not mine")
    lab.run(20 * MINUTE)
    assert lab.pull_request("api", 2)["title"] == f"[Airtable: {lab.records['Audit log']}] Audit log"
    assert lab.cells("Audit log")["PR URL"].endswith("/api/pull-requests/2")
    before = len(lab.writes())
    lab.run(60 * MINUTE)
    assert len(lab.writes()) == before
    assert len(lab.pull_requests("Audit log")) == 1


def test_a_status_comes_from_all_pull_requests_in_all_repositories(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    branch = f"{lab.records['Audit log']}-page"
    lab.work("push", repository="web", branch=branch, commits=["Page\n"])
    made = lab.work("create_pull_request", repository="web", source=branch, title="Audit page")
    lab.run(MINUTE)
    lab.work("merge", repository="api", id=2)
    lab.run(MINUTE)
    assert lab.cells("Audit log")["Status"] == "In Review"
    lab.work("merge", repository="web", id=made["id"])
    lab.run(MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"


def test_a_shared_pull_request_is_written_for_its_lead_and_read_into_all(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lead, other = lab.records["Audit log"], lab.records["Login page"]
    lab.edit("Login page", Status="Ready")
    lab.run(MINUTE)
    lab.work("push", repository="api", branch=f"feature/{lead}-audit-log", commits=[f"Also {other}\n"])
    lab.run(MINUTE)
    assert lab.cells("Login page")["PR state"] == "Open"
    assert lab.cells("Login page")["Status"] == "In Review"
    lab.edit("Login page", Name="Log in", Details="Mine")
    lab.edit("Audit log", Name="Audit trail")
    lab.run(MINUTE)
    assert lab.pull_request("api", 2)["title"] == f"[Airtable: {lead}] Audit trail"
    assert lab.pull_request("api", 2)["description"] == "Who changed what, and when."
    lab.work("merge", repository="api", id=2)
    lab.run(MINUTE)
    assert lab.cells("Login page")["PR state"] == lab.cells("Audit log")["PR state"] == "Merged"


def test_what_else_moved_in_a_pull_request_that_we_write_to_is_not_lost(tmp_path: Path) -> None:
    """The answer to a write shows it, but the plan was made without it; its own delivery never came."""
    lab = Lab(tmp_path)
    stories.adopted(lab)
    lab.bitbucket.arm(stories.no_delivery())
    repository, number = lab.world.pull_requests["Rate limits"]
    lab.work("edit_pull_request", repository=repository, id=number, draft=False, user="grace")
    lab.edit("Rate limits", Details="said again")
    lab.run(2 * MINUTE)
    assert lab.pull_request(repository, number)["description"] == "said again"
    assert lab.cells("Rate limits")["Status"] == "In Review"
