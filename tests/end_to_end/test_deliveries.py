"""Deliveries that come twice, late, in another order or never end in the same state (I17, I18)."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.running import House

REPOSITORY = "web"
# What must be equal however the deliveries came: everything but ids, hashes, times and the run.
COMPARED = ("Status", "PR state", "Build", "Confidence", "Sync state", "Sync note", "Details")

FAULTS: dict[str, dict[str, Any]] = {
    "twice": {"kind": "duplicate_delivery", "count": None},
    "late": {"kind": "delay_delivery", "count": None, "delay_s": 3.0},
    "swapped": {"kind": "swap_deliveries", "count": 4, "delay_s": 3.0},
    "lost": {"kind": "drop_delivery", "count": None},
}


@pytest.fixture(scope="module")
def brisk_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Payloads are asked for every two seconds: without a ping nothing else says that there are any."""
    made = House(tmp_path_factory.mktemp("brisk"), spec={"poll": '"2s"'})
    made.lift_limits()
    with made.open():
        made.start()
        made.adopt()
        yield made


@pytest.mark.parametrize(
    "fault", ["twice", *(pytest.param(name, marks=pytest.mark.slow) for name in ("late", "swapped", "lost"))]
)
def test_the_end_is_the_same_however_deliveries_come(brisk_house: House, fault: str) -> None:
    house = brisk_house
    for act in (house.in_airtable, house.in_bitbucket):
        act("set_fault", **FAULTS[fault])
    try:
        record, seen = _story(house, lost=fault == "lost")
    finally:
        for act in (house.in_airtable, house.in_bitbucket):
            act("clear_faults")
    assert house.in_bitbucket("fault_hits").get(FAULTS[fault]["kind"], 0) > 0
    # Said by hand, from the rules of the sample spec: the ends that an undisturbed story has.
    in_review, merged = seen
    told = {"Build": "SUCCESSFUL", "Confidence": 70, "Sync state": "ok", "Sync note": None, "Details": "In one box."}
    assert in_review == {**told, "Status": "In Review", "PR state": "Open"}
    assert merged == {**told, "Status": "Merged", "PR state": "Merged"}
    assert len(house.branches(record)) == 1
    (made,) = house.pull_requests(record)
    assert made["title"] == f"[Airtable: {record}] Search box"
    assert made["description"] == "In one box."
    assert house.cells(record)["Last commit"] == made["source_commit"][:12]


def _story(house: House, *, lost: bool) -> tuple[str, list[dict[str, Any]]]:
    """Everything at once, without waiting for syncd in between; what the record says before and after the merge."""
    record = house.new_record("Search")
    _through(house, lost)
    (branch,) = house.branches(record)

    def act(verb: str, user: str, **arguments: Any) -> Any:
        return house.in_bitbucket(verb, repository=REPOSITORY, user=user, **arguments)

    act("push", "grace", branch=branch, commits=["One\n"])
    number = act("create_pull_request", "grace", source=branch, title=f"[Airtable: {record}] mine", draft=True)["id"]
    act("set_status", "grace", commit=branch, key="ci", state="FAILED")
    act("push", "grace", branch=branch, commits=["Two\n"])
    act("edit_pull_request", "grace", id=number, draft=False)
    act("approve", "ada", id=number)
    act("set_status", "grace", commit=branch, key="ci", state="INPROGRESS")
    act("set_status", "grace", commit=branch, key="ci", state="SUCCESSFUL")
    house.edit(record, Name="Search box")
    house.edit(record, Details="In one box.")
    _through(house, lost)
    seen = [_told(house, record)]
    act("merge", "ada", id=number)
    _through(house, lost)
    return record, [*seen, _told(house, record)]


def _through(house: House, lost: bool) -> None:
    """Until all that is on its way has come; what was lost is found by a full compare."""
    if lost:
        house.settle()
        ended = len(house.log_lines("compare.finished"))
        house.control.compare(None)
        house.wait_for(lambda: len(house.log_lines("compare.finished")) > ended, "both sides are compared")
    house.settle()


def _told(house: House, record: str) -> dict[str, Any]:
    cells = house.cells(record)
    return {name: cells.get(name) for name in COMPARED}
