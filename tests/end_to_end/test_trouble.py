"""One service is in trouble: what that costs, and that nothing is lost or believed wrongly meanwhile (I13, I23)."""

from datetime import timedelta

import pytest

from syncd.commands import world as worlds
from tests.end_to_end.running import House

PAUSE = timedelta(seconds=30)


@pytest.fixture
def calm_house(own_house: House) -> House:
    """A house of the test's own, adopted, with a guard that lets a dozen records pass."""
    own_house.change_spec("floor", "1000")
    own_house.lift_limits()
    own_house.start()
    own_house.adopt()
    return own_house


@pytest.mark.slow
def test_one_record_of_ten_that_is_refused_is_parked_alone(own_house: House) -> None:
    house = own_house
    house.change_spec("floor", "1000")
    house.lift_limits()
    # A text of 60,000 characters fits into a cell, twice of it does not: the service refuses the request that holds it.
    house.change_line('"Details" ', "")
    house.change_line('"Build" ', '"Build" = { value = \'record["Details"] ~ record["Details"]\' }')
    house.start()
    house.adopt()
    records = [house.new_record(f"Feature {number}") for number in range(10)]
    house.settle()
    house.edit(records[4], Details="x" * 60_000)
    for record in records:
        _opened(house, record)
    house.wait_for(
        lambda: all(house.cells(record).get("Status") == "In Review" for record in records if record != records[4]),
        "nine are through",
    )
    house.wait_for(lambda: bool(house.cells(records[4]).get("Sync note")), "the tenth says why it is parked")
    house.settle()
    assert house.cells(records[4])["Sync state"] == "error"
    assert any(entry.status == 422 for entry in house.writes())
    for record in set(records) - {records[4]}:
        cells = house.cells(record)
        assert (cells["Status"], cells["PR state"], cells["Sync state"]) == ("In Review", "Open", "ok")
        assert cells["Build"] == cells["Details"] * 2
        assert not cells.get("Sync note")
    parked = house.rows("SELECT record FROM record WHERE parked <> ''")
    assert [row["record"] for row in parked] == [records[4]]
    assert house.control.status()["syncs"]["features"]["errors"] == 1

    # A person shortens it, and it goes through by itself.
    house.edit(records[4], Details="short")
    house.wait_for(lambda: house.cells(records[4]).get("Build") == "shortshort", "it is tried again")
    house.settle()
    assert house.cells(records[4])["Sync state"] == "ok"
    assert not house.cells(records[4]).get("Sync note")


def _opened(house: House, record: str) -> int:
    (branch,) = house.branches(record)
    house.in_bitbucket("push", repository="web", branch=branch, commits=1, user="grace")
    title = f"[Airtable: {record}] {house.cells(record)['Name']}"
    made = house.in_bitbucket("create_pull_request", repository="web", source=branch, title=title, user="grace")
    return int(made["id"])


@pytest.mark.slow
def test_after_a_429_the_base_is_left_alone_for_thirty_seconds(own_house: House) -> None:
    house = own_house
    house.start()
    house.adopt()
    record = house.world.records["Audit log"]
    before = len(house.calls(0))
    # Another integration uses up this second: whoever asks now is refused, and every try starts the 30 seconds again.
    assert house.in_airtable("consume_rate", requests=6)["refused"] >= 1
    house.edit(record, Details="Written during the pause.")
    house.wait_for(lambda: any(entry.status == 429 for entry in house.calls(0)[before:]), "syncd is told to wait")
    # Bitbucket goes on meanwhile: its events are taken and read.
    _, number = house.world.pull_requests["Audit log"]
    told = len(house.calls(1))
    house.in_bitbucket("approve", repository="api", id=number, user="grace")
    house.wait_for(lambda: len(house.calls(1)) > told, "Bitbucket is read during the pause")
    house.wait_for(
        lambda: (
            house.in_bitbucket("pull_request", repository="api", id=number)["description"]
            == "Written during the pause."
        ),
        "the edit is there after the pause",
    )
    refused = [place for place, entry in enumerate(house.calls(0)) if entry.status == 429]
    assert len(refused) == 1
    calls = house.calls(0)
    assert calls[refused[0] + 1].at - calls[refused[0]].at >= PAUSE
    house.settle()
    assert house.cells(record)["Confidence"] == 70


@pytest.mark.parametrize("helped", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["reload", "by itself"])
def test_a_revoked_token_loses_nothing_and_the_status_says_so(calm_house: House, helped: bool) -> None:
    """After a 401 a service is tried once a minute; whoever put the token right need not wait for it."""
    house = calm_house
    record, (slug, number) = house.world.records["Rate limits"], house.world.pull_requests["Rate limits"]
    house.in_airtable("revoke_token", token=worlds.AIRTABLE_TOKEN)
    house.in_bitbucket("revoke_token", token=worlds.BITBUCKET_TOKEN)
    acknowledged = len(house.witnesses[1].sent)
    house.edit(record, Details="Edited while nobody could look.")
    house.in_bitbucket("edit_pull_request", repository=slug, id=number, draft=False, user="grace")
    house.in_bitbucket("approve", repository=slug, id=number, user="grace")
    house.wait_for(lambda: len(house.witnesses[1].sent) >= acknowledged + 2, "the deliveries are sent")
    assert {one.status for one in house.witnesses[1].sent[acknowledged:]} == {200}
    house.wait_for(lambda: house.control.status()["state"] == "degraded", "the status says so")
    reasons = " ".join(house.control.status()["reasons"])
    assert "401" in reasons or "token" in reasons, reasons
    written = len([entry for entry in house.writes() if entry.status < 300])

    house.never(lambda: len([entry for entry in house.writes() if entry.status < 300]) != written, 1.0)
    house.in_airtable("restore_token", token=worlds.AIRTABLE_TOKEN)
    house.in_bitbucket("restore_token", token=worlds.BITBUCKET_TOKEN)
    if helped:
        house.hang_up()
    house.wait_for(lambda: house.cells(record)["Status"] == "In Review", "it converges by itself")
    house.wait_for(
        lambda: (
            house.in_bitbucket("pull_request", repository=slug, id=number)["description"]
            == "Edited while nobody could look."
        ),
        "the edit follows",
    )
    house.settle()
    assert house.cells(record)["Confidence"] == 30
    assert house.control.status()["state"] == "ok"


def test_a_repository_that_is_not_found_moves_no_status(calm_house: House) -> None:
    house = calm_house
    record, (slug, _) = house.world.records["Audit log"], house.world.pull_requests["Audit log"]
    assert house.cells(record)["Status"] == "In Review"
    house.in_bitbucket("hide_repository", repository=slug)
    house.control.compare(None)
    house.wait_for(lambda: house.control.status()["syncs"]["features"]["pending"] > 0, "records wait")
    assert any("api cannot be read" in reason for reason in house.control.status()["reasons"])
    house.edit(house.world.records["Rate limits"], Details="Meanwhile.")
    house.never(
        lambda: (
            [house.cells(house.world.records[name])["Status"] for name in ("Audit log", "Rate limits")]
            != ["In Review", "In Progress"]
        ),
        3.0,
    )
    # The other repository is not held up by it.
    assert house.control.status()["state"] == "degraded"
    house.in_bitbucket("show_repository", repository=slug)
    house.control.compare(None)
    house.wait_for(
        lambda: (
            house.in_bitbucket("pull_request", repository=slug, id=house.world.pull_requests["Rate limits"][1])[
                "description"
            ]
            == "Meanwhile."
        ),
        "the edit follows",
    )
    house.settle()
    assert (house.cells(record)["Status"], house.cells(record)["PR state"]) == ("In Review", "Open")
