"""What disappears from a base blocks the rules that use it, at work and at the next start alike (SD02 to SD08, I27)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncd import errors, wiring
from syncd.sandbox.fault import Fault, FaultKind
from syncd.settings import Settings
from syncd.store import sqlite
from tests.flow.house import MINUTE, Lab
from tests.flow.test_guards import crowded


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


# ------------------------------------------------------------------------------- nothing tells of it before it matters


def unheard(lab: Lab) -> None:
    """No payload is read any more: what the base says of its schema does not reach us."""
    lab.airtable.arm(Fault(kind=FaultKind.REFUSE, route="/payloads", count=None, status=503))


def requests_for_the_schema(lab: Lab) -> int:
    """How often the base's tables were asked for."""
    return sum(entry.path.endswith("/tables") and bool(entry.status) for entry in lab.airtable.inner.log)


def compared(lab: Lab) -> None:
    """The next full compare, and what follows from it."""
    lab.control.compare("features")
    lab.run(3 * MINUTE)


def test_cells_that_another_type_emptied_are_no_edits(tmp_path: Path) -> None:
    """Found by the simulator (SD03, I13): every description of the table would have been emptied."""
    lab = adopted(tmp_path)
    repository, number = lab.world.pull_requests["Audit log"]
    before = lab.pull_request(repository, number)["description"]
    assert before
    unheard(lab)
    schema(lab, "retype_field", field="Details", type="number", options={"precision": 0})
    assert "Details" not in lab.cells("Audit log")
    lab.edit("Audit log", Name="Audit trail")
    compared(lab)
    assert lab.pull_request(repository, number)["description"] == before
    assert "Audit trail" in lab.pull_request(repository, number)["title"], "every other rule goes on"
    assert any('"Details"' in reason and "number" in reason for reason in lab.status()["reasons"])


def test_a_person_cannot_apply_what_another_type_emptied(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    repository, number = lab.world.pull_requests["Audit log"]
    before = lab.pull_request(repository, number)["description"]
    unheard(lab)
    schema(lab, "retype_field", field="Details", type="number", options={"precision": 0})
    with pytest.raises(errors.Refused, match="the fields of the table changed") as refused:
        lab.apply()
    assert refused.value.next_step == "syncd plan"
    lab.run(2 * MINUTE)
    lab.apply()
    assert lab.pull_request(repository, number)["description"] == before


def test_a_cell_that_a_person_emptied_costs_one_look_at_the_schema(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    repository, number = lab.world.pull_requests["Audit log"]
    before = requests_for_the_schema(lab)
    lab.edit("Audit log", Name="Audit trail")
    lab.run(2 * MINUTE)
    assert requests_for_the_schema(lab) == before, "an edit costs none"
    lab.edit("Audit log", Details="")
    lab.run(2 * MINUTE)
    assert lab.pull_request(repository, number)["description"] == ""
    assert requests_for_the_schema(lab) == before + 1


@pytest.mark.parametrize("heard", [True, False], ids=["payloads are read", "no payload is read"])
@pytest.mark.parametrize("field", ["PR URL", "Sync note", "Sync state", "Sync run", "Merged at"])
def test_a_field_that_fits_no_more_takes_no_other_cell_along(tmp_path: Path, field: str, heard: bool) -> None:
    """Found by the simulator (SD08, I01): all cells of a row go in one request, and it was refused for that one."""
    lab = adopted(tmp_path)
    if not heard:
        unheard(lab)
    schema(lab, "retype_field", field=field, type="autoNumber")
    repository, number = lab.world.pull_requests["Audit log"]
    lab.work("merge", repository=repository, id=number, user="ada")
    compared(lab)
    compared(lab)
    cells = lab.cells("Audit log")
    assert (cells["Status"], cells["PR state"]) == ("Merged", "Merged")
    told = lab.status()
    if heard:
        assert any(f'"{field}"' in reason and "autoNumber" in reason for reason in told["reasons"]), told["reasons"]
    assert told["syncs"]["features"]["errors"] == 0


def test_payloads_that_are_gone_may_have_told_of_another_type(tmp_path: Path) -> None:
    """AW04: what was missed is compared, and the names are asked for again."""
    lab = adopted(tmp_path)
    schema(lab, "retype_field", field="Sync note", type="autoNumber")
    lab.edit("Audit log", Name="Audit trail")
    lab.person("drop_payloads")
    lab.run(10 * MINUTE)
    told = lab.status()
    assert any('"Sync note"' in reason and "autoNumber" in reason for reason in told["reasons"]), told["reasons"]


def test_while_the_names_cannot_be_read_again_only_what_is_empty_waits(tmp_path: Path) -> None:
    """An invalid spec on disk keeps the old one at work, and with it the old names (SP01, I22)."""
    lab = adopted(tmp_path)
    repository, number = lab.world.pull_requests["Audit log"]
    before = lab.pull_request(repository, number)["description"]
    path = lab.config / "syncd.toml"
    good = path.read_text()
    path.write_text(good + "\n[nonsense]\n")
    schema(lab, "add_choice", field="PR state", name="Parked")
    lab.run(5 * MINUTE)
    asked = requests_for_the_schema(lab)
    lab.edit("Audit log", Details="")
    lab.edit("Rate limits", Name="Rates")
    lab.run(120 * MINUTE)
    where = lab.world.pull_requests["Rate limits"]
    assert "Rates" in lab.pull_request(*where)["title"], "every other record goes on"
    assert lab.pull_request(repository, number)["description"] == before
    assert requests_for_the_schema(lab) - asked <= 30, "later and later, not each minute"
    told = lab.status()
    assert (told["state"], told["syncs"]["features"]["pending"]) == ("degraded", 1)
    path.write_text(good)
    lab.run(20 * MINUTE)
    assert lab.pull_request(repository, number)["description"] == ""


def test_a_refused_plan_lets_no_emptied_cell_through(tmp_path: Path) -> None:
    """While the guard's refusal stood the schema was not asked for, and then the rest of the plan fitted under its floor."""
    lab, names = crowded(tmp_path)
    for first, last in ((5, 15), (15, 25), (25, 30)):
        lab.person("edit", records={lab.records[name]: {"Details": ""} for name in names[first:last]})
        lab.run(70 * MINUTE)
    before = {name: lab.pull_requests(name)[0][1]["description"] for name in names[:5]}
    assert all(before.values())
    lab.person("edit", records={lab.records[name]: {"Name": f"{name}, again"} for name in names[:25]})
    lab.run(2 * MINUTE)
    assert lab.status()["state"] == "halted"
    unheard(lab)
    schema(lab, "retype_field", field="Details", type="number", options={"precision": 0})
    lab.person("edit", records={lab.records[name]: {"Name": name} for name in names[:25]})
    lab.run(40 * MINUTE)
    assert {name: lab.pull_requests(name)[0][1]["description"] for name in names[:5]} == before


def test_a_pause_asks_for_no_schema(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.control.pause("all", "weekend")
    asked = requests_for_the_schema(lab)
    lab.edit("Audit log", Details="")
    lab.run(120 * MINUTE)
    assert requests_for_the_schema(lab) == asked


def _while_the_names_cannot_be_read(lab: Lab) -> None:
    unheard(lab)
    path = lab.config / "syncd.toml"
    path.write_text(path.read_text() + "\n[nonsense]\n")
    schema(lab, "add_choice", field="PR state", name="Parked")


def test_a_refused_plan_stays_refused_whole_while_its_records_are_doubtful(tmp_path: Path) -> None:
    lab, names = crowded(tmp_path)
    lab.person("edit", records={lab.records[name]: {"Details": ""} for name in names[:20]})
    lab.run(3 * MINUTE)
    refused = lab.status()["syncs"]["features"]["refused_plan"]
    assert refused
    _while_the_names_cannot_be_read(lab)
    lab.run(40 * MINUTE)
    told = lab.status()
    assert (told["state"], told["syncs"]["features"]["refused_plan"]) == ("halted", refused)
    assert all(lab.pull_requests(name)[0][1]["description"] for name in names[:20])


def test_a_refused_plan_with_a_doubtful_record_asks_for_the_names(tmp_path: Path) -> None:
    lab, names = crowded(tmp_path)
    unheard(lab)
    schema(lab, "add_choice", field="PR state", name="Parked")
    renamed = {lab.records[name]: {"Name": f"{name}, again"} for name in names[:25]}
    lab.person("edit", records=renamed | {lab.records[names[29]]: {"Details": ""}})
    lab.run(10 * MINUTE)
    applied = lab.control.apply(None, lab.status()["syncs"]["features"]["refused_plan"], ["mass-change"])
    assert applied["runs"]
    lab.run(2 * MINUTE)
    assert lab.pull_requests(names[29])[0][1]["description"] == ""
    assert all("again" in lab.pull_requests(name)[0][1]["title"] for name in names[:25])
