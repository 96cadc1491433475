"""`kill -9` at random moments, while people work on both sides: nothing is lost, nothing is doubled (I10, I16, I31)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end import cycles, proofs
from tests.end_to_end.running import House


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_thirty_kills_in_every_situation_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """The nightly share is `make kill-loop`."""
    figures = cycles.prove(tmp_path, cycles=30, seed=1)
    print(figures)
    # Else no kill came between a request and its answer, and nothing was proved about that.
    assert figures["answers lost and looked up"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_first_start_that_is_killed_at_a_call_to_the_disk_needs_no_help(tmp_path: Path) -> None:
    print(cycles.first_starts(tmp_path, cycles=14, seed=1))


@pytest.fixture
def busy_house(tmp_path: Path) -> Iterator[House]:
    """Services without limits and a guard that lets any number of changes pass: this is about crashes, not about pace."""
    made = House(tmp_path / "busy", spec={"floor": "100000"})
    made.lift_limits()
    with made.open():
        made.start()
        made.adopt()
        yield made


@pytest.mark.slow
def test_what_one_request_of_a_record_agreed_on_outlives_a_kill_in_the_next(busy_house: House) -> None:
    """Cells are written and answered, then the pull request's title hangs, then comes the kill."""
    house = busy_house
    record = house.new_record("Offline mode")
    house.wait_for(lambda: bool(house.branches(record)), "the branch is made")
    (branch,) = house.branches(record)
    house.settle()
    house.in_bitbucket("set_fault", kind="hang", method="PUT", count=None)
    # All of it is new to syncd at once: cells to write, and a title to put right.
    house.in_bitbucket("push", repository="web", branch=branch, commits=1, user="grace")
    title = f"[Airtable: {record}] mine"
    made = house.in_bitbucket("create_pull_request", repository="web", source=branch, title=title, user="grace")
    house.in_bitbucket("set_status", repository="web", commit=branch, key="ci", state="INPROGRESS", user="grace")
    house.wait_for(lambda: house.cells(record).get("Build") == "INPROGRESS", "the cells are written")
    house.wait_for(lambda: house.in_bitbucket("fault_hits").get("hang", 0) > 0, "the title hangs")
    house.kill()
    house.in_bitbucket("clear_faults")
    # The new head has no build: the cell must be emptied, for Bitbucket owns it and both sides had agreed on it.
    house.in_bitbucket("push", repository="web", branch=branch, commits=1, user="grace")
    house.start()
    house.control.compare(None)
    house.settle(within_s=150)
    head = house.in_bitbucket("pull_request", repository="web", id=made["id"])["source_commit"]
    assert house.cells(record)["Last commit"] == head[:12]
    assert "Build" not in house.cells(record)
    proofs.the_cells_follow_their_owners(house, record)
