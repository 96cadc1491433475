"""The spec changes, the schema drifts: what changed is in adoption, names are followed by id, nothing is guessed."""

from pathlib import Path

from syncd.sandbox.fault import Fault, FaultKind
from tests.flow import stories
from tests.flow.house import MINUTE, Lab


def adopted(folder: Path) -> Lab:
    """A lab at rest."""
    lab = Lab(folder)
    stories.adopted(lab)
    return lab


def flip_title(text: str) -> str:
    """The title belongs to both from now on."""
    return text.replace('{ bitbucket = "pr.title", owner = "airtable" }', '{ bitbucket = "pr.title", owner = "both" }')


def test_a_flipped_owner_writes_nothing_before_it_is_accepted_and_all_else_goes_on(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    assert lab.reload(flip_title) == ""
    lab.edit("Audit log", Name="Audit trail")
    lab.run(30 * MINUTE)
    assert lab.pull_request("api", 2)["title"].endswith("] Audit log")
    assert lab.status()["syncs"]["features"]["adoption"]
    lab.work("merge", repository="api", id=2)
    lab.run(2 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"
    lab.edit("Rate limits", Name="Rates")
    lab.run(2 * MINUTE)
    assert lab.pull_request("api", 1)["title"].endswith("] Rate limits")
    lab.edit("Rate limits", Name="Rate limits")
    lab.run(2 * MINUTE)
    lab.apply()
    lab.run(2 * MINUTE)
    lab.edit("Rate limits", Name="Limits")
    lab.run(2 * MINUTE)
    assert lab.pull_request("api", 1)["title"].endswith("] Limits")
    assert not lab.status()["syncs"]["features"]["adoption"]


def test_another_scope_puts_the_whole_sync_into_adoption(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.person("add_view", table="Features", name="Everything")
    assert lab.reload(lambda text: text.replace('view = "Engineering"', 'view = "Everything"')) == ""
    before = len(lab.writes())
    lab.edit("Rate limits", Name="Rates")
    lab.work("merge", repository="api", id=2)
    lab.run(40 * MINUTE)
    assert len(lab.writes()) == before
    assert lab.status()["syncs"]["features"]["adoption"]
    lab.apply()
    lab.run(2 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"
    assert lab.pull_request("api", 1)["title"].endswith("] Rates")


def test_a_plan_that_changed_since_it_was_shown_is_not_applied(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.run(2 * MINUTE)
    shown = lab.plan()["digest"]
    assert lab.plan()["digest"] == shown
    lab.control.apply(None, shown, [])
    assert lab.writes()


def test_an_invalid_spec_keeps_the_old_one_at_work(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    assert "Statsu" in lab.reload(lambda text: text.replace('field   = "Status"', 'field   = "Statsu"'))
    lab.work("merge", repository="api", id=2)
    lab.run(2 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"


def test_a_renamed_field_is_followed(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.person("rename_field", table="Features", field="PR state", name="State of the PR")
    lab.run(2 * MINUTE)
    lab.work("merge", repository="api", id=2)
    lab.run(2 * MINUTE)
    assert lab.cells("Audit log")["State of the PR"] == "Merged"
    lab.restart()
    lab.work("merge", repository="api", id=1)
    lab.run(2 * MINUTE)
    assert lab.cells("Rate limits")["State of the PR"] == "Merged"


def test_a_renamed_option_parks_what_needs_it_and_clears_nothing(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.person("rename_choice", table="Features", field="PR state", choice="Merged", name="Done")
    lab.run(2 * MINUTE)
    lab.work("merge", repository="api", id=2)
    lab.run(20 * MINUTE)
    assert lab.cells("Audit log")["PR state"] == "Open"
    assert lab.cells("Dark mode")["PR state"] == "Done"
    options = {
        option["name"]
        for table in lab.person("schema")["tables"]
        for field in table["fields"]
        if field["name"] == "PR state"
        for option in field["options"]["choices"]
    }
    assert "Merged" not in options, "no option is ever made by syncd"
    lab.person("rename_choice", table="Features", field="PR state", choice="Done", name="Merged")
    lab.run(20 * MINUTE)
    assert lab.cells("Audit log")["PR state"] == "Merged"
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_a_deleted_field_clears_nothing_on_the_other_side(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    before = {number: lab.pull_request("api", number)["description"] for number in (1, 2)}
    lab.person("delete_field", table="Features", field="Details")
    lab.run(40 * MINUTE)
    assert {number: lab.pull_request("api", number)["description"] for number in (1, 2)} == before


def test_a_proxys_page_in_place_of_an_answer_is_no_answer(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    fault = lab.bitbucket.arm(Fault(kind=FaultKind.HTML, method="GET", count=None))
    lab.work("merge", repository="api", id=2)
    before = len(lab.writes())
    lab.run(20 * MINUTE)
    assert len(lab.writes()) == before
    lab.bitbucket.control("clear_faults", {"fault": fault}, lab.clock.now())
    lab.run(16 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"


def test_a_lost_answer_from_a_repository_that_left_the_spec_stops_nobody(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.bitbucket.arm(Fault(kind=FaultKind.LOSE_REPLY, method="PUT"))
    lab.bitbucket.arm(Fault(kind=FaultKind.REFUSE, method="GET", route="pullrequests/2$", after=1, count=None))
    lab.edit("Audit log", Name="Audit trail")
    lab.run(MINUTE)
    assert lab.bitbucket.hits["lose_reply"] == 1
    problem = lab.reload(
        lambda text: text.replace('repositories = ["web", "api"]', 'repositories = ["web"]').replace(
            'map = { Web = "web", API = "api" }', 'map = { Web = "web" }'
        )
    )
    assert problem == ""
    lab.run(2 * MINUTE)
    lab.apply()
    lab.edit("Login page", Status="Ready")
    lab.run(3 * MINUTE)
    assert len(lab.branches("Login page")) == 1
    assert {row["state"] for row in lab.journal("Audit log")} <= {"applied", "retry"}
