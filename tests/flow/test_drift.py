"""What disappears from a base blocks the rules that use it, at work and at the next start alike (SD02 to SD08, I27)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncd import errors, wiring
from syncd.settings import Settings
from syncd.store import sqlite
from tests.flow.house import MINUTE, Lab


def adopted(folder: Path, **named: Any) -> Lab:
    """A lab at rest."""
    lab = Lab(folder, **named)
    lab.adopt()
    lab.run(5 * MINUTE)
    return lab


def schema(lab: Lab, verb: str, **arguments: Any) -> None:
    """An administrator changes the table."""
    lab.person(verb, table="Features", **arguments)


@pytest.fixture(params=[False, True], ids=["goes on", "starts again"])
def after(request: pytest.FixtureRequest) -> Callable[[Lab], None]:
    """The daemon that was running, and the next one, must do the same."""

    def go(lab: Lab) -> None:
        if request.param:
            lab.restart()
        lab.run(20 * MINUTE)

    return go


def test_a_deleted_option_blocks_the_field_alone(tmp_path: Path, after: Callable[[Lab], None]) -> None:
    lab = adopted(tmp_path)
    schema(lab, "delete_choice", field="PR state", choice="Merged")
    after(lab)
    told = lab.status()
    assert told["state"] == "degraded"
    assert any('"PR state"' in reason and '"Merged"' in reason for reason in told["reasons"]), told["reasons"]
    lab.edit("Rate limits", Name="Rates")
    repository, number = lab.world.pull_requests["Audit log"]
    lab.work("merge", repository=repository, id=number, user="ada")
    lab.run(2 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged", "every other rule goes on"
    assert lab.cells("Audit log")["PR state"] == "Open"
    assert lab.status()["syncs"]["features"]["errors"] == 0
    schema(lab, "add_choice", field="PR state", name="Merged")
    lab.run(20 * MINUTE)
    lab.apply()
    lab.run(2 * MINUTE)
    assert lab.cells("Audit log")["PR state"] == "Merged"
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_a_deleted_state_blocks_the_status_and_what_reads_it(tmp_path: Path, after: Callable[[Lab], None]) -> None:
    lab = adopted(tmp_path)
    schema(lab, "delete_choice", field="Status", choice="In Review")
    after(lab)
    assert not lab.cells("Audit log").get("Status"), "its option is gone; nobody put another there"
    lab.edit("Login page", Status="Ready")
    lab.edit("Rate limits", Name="Rates")
    lab.run(5 * MINUTE)
    assert lab.branches("Login page") == []
    where, number = lab.world.pull_requests["Rate limits"]
    assert "Rates" in lab.pull_request(where, number)["title"]
    assert any("status" in reason for reason in lab.status()["reasons"])


def test_a_deleted_field_clears_nothing_on_the_other_side(tmp_path: Path, after: Callable[[Lab], None]) -> None:
    lab = adopted(tmp_path)
    repository, number = lab.world.pull_requests["Audit log"]
    lab.edit("Audit log", Details="what it is about")
    lab.run(2 * MINUTE)
    schema(lab, "delete_field", field="Details")
    after(lab)
    assert lab.pull_request(repository, number)["description"] == "what it is about"
    lab.edit("Audit log", Name="Audit trail")
    lab.run(2 * MINUTE)
    assert "Audit trail" in lab.pull_request(repository, number)["title"]
    assert any('"Details"' in reason for reason in lab.status()["reasons"])


def test_a_changed_type_blocks_the_field_before_the_first_write(tmp_path: Path, after: Callable[[Lab], None]) -> None:
    lab = adopted(tmp_path)
    repository, number = lab.world.pull_requests["Audit log"]
    before = lab.pull_request(repository, number)["description"]
    schema(lab, "retype_field", field="Details", type="number", options={"precision": 0})
    after(lab)
    assert lab.pull_request(repository, number)["description"] == before
    assert any('"Details"' in reason and "number" in reason for reason in lab.status()["reasons"])


def test_without_the_hold_column_nothing_is_written(tmp_path: Path, after: Callable[[Lab], None]) -> None:
    lab = adopted(tmp_path)
    repository, number = lab.world.pull_requests["Audit log"]
    lab.edit("Audit log", Hold_sync=True)
    lab.run(MINUTE)
    schema(lab, "delete_field", field="Hold sync")
    lab.edit("Audit log", Name="Audit trail")
    after(lab)
    assert "trail" not in lab.pull_request(repository, number)["title"], "it may have been held"


def test_a_deleted_table_stops_its_sync_and_not_the_daemon(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    schema(lab, "delete_table")
    lab.restart()
    lab.run(5 * MINUTE)
    assert any("features: nothing of it runs" in reason for reason in lab.status()["reasons"]), lab.status()["reasons"]


def test_a_check_still_names_what_is_gone(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    schema(lab, "delete_field", field="Details")
    settings = Settings.model_validate({"STATE_DIRECTORY": str(tmp_path)})
    with pytest.raises(errors.SpecError) as told:
        wiring.House(lab.outside, lab.config, "", settings, sqlite.SqliteStore.in_memory())
    assert any("Details" in one.key + one.expected for one in told.value.problems)


def test_a_mistake_of_a_changed_spec_is_no_drift(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    assert lab.reload(lambda text: text.replace('"Confidence"', '"Confidenze"')) != ""
    with pytest.raises(errors.SpecError):
        lab.restart()
