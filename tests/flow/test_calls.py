"""What syncd costs: write requests of a burst of edits, reads of a burst of deliveries, a quiet hour, a first listing."""

import math
from datetime import timedelta
from pathlib import Path

import pytest

from tests.flow.house import MINUTE, Lab


def crowded(folder: Path, count: int) -> tuple[Lab, list[str]]:
    """A lab at rest with so many features more, each with an open pull request."""

    def edit(text: str) -> str:
        return text.replace("hour = 1000", "hour = 100000").replace("floor   = 10 ", "floor   = 1000 ")

    lab = Lab(folder, edit=edit)
    lab.person("set_limits", base_per_second=None, user_per_second=None)
    lab.work("hourly_limit", limit=100_000)
    names = [f"Feature {number}" for number in range(count)]
    for name in names:
        record = lab.create(name, Status="Ready", Repo="API", Details=f"{name}.")
        lab.work("push", repository="api", branch=f"feature/{record}", commits=[f"{name}\n"])
        lab.work(
            "create_pull_request",
            repository="api",
            source=f"feature/{record}",
            title=f"[Airtable: {record}] {name}",
            description=f"{name}.",
            draft=True,
        )
    lab.run(2 * MINUTE)
    lab.control.apply(None, None, ["mass-change"])
    lab.run(3 * MINUTE)
    return lab, names


def reads(lab: Lab) -> int:
    """Requests to Bitbucket so far that only read."""
    return sum(entry.method == "GET" for entry in lab.bitbucket.inner.log)


def test_a_burst_of_edits_is_written_in_full_batches(tmp_path: Path) -> None:
    """200 cells that Bitbucket owns are changed by hand: put right in 20 requests, or 21 (reliability.md "Figures")."""
    lab, names = crowded(tmp_path, 200)
    before = len(lab.writes())
    rows = {lab.records[name]: {"PR state": "Declined"} for name in names}
    lab.person("edit", records=rows, user="ada@acme.dev")
    lab.run(3 * MINUTE)
    sent = len(lab.writes()) - before
    assert all(lab.cells(name)["PR state"] == "Open" for name in names)
    assert sent <= math.ceil(math.ceil(200 / 10) * 1.05), f"{sent} write requests"


def test_a_burst_of_deliveries_is_read_in_pages(tmp_path: Path) -> None:
    """1,000 deliveries over 200 pull requests, all within the quiet time."""
    lab, names = crowded(tmp_path, 200)
    numbers = [one["id"] for name in names for _, one in lab.pull_requests(name)]
    before, writes = reads(lab), len(lab.writes())
    for _ in range(4):
        for number in numbers:
            lab.work("comment", repository="api", id=number, text="look")
    for number in numbers:
        lab.work("edit_pull_request", repository="api", id=number, draft=False)
    lab.run(2 * MINUTE)
    used, sent = reads(lab) - before, len(lab.writes()) - writes
    assert all(lab.cells(name)["Status"] == "In Review" for name in names)
    assert used <= 0.05 * 1000, f"{used} reads for 1,000 deliveries"
    assert sent <= 21, f"{sent} write requests for 200 records"


@pytest.mark.parametrize("hooks", [True, False], ids=["with hooks", "polling"])
def test_a_quiet_day_costs_a_small_part_of_the_budgets(tmp_path: Path, hooks: bool) -> None:
    lab = Lab(tmp_path, hooks=hooks)
    lab.run(2 * MINUTE)
    lab.apply()
    lab.run(60 * MINUTE)
    before = lab.requests()
    lab.run(timedelta(hours=6))
    used = {service: (lab.requests()[service] - before[service]) / 6 for service in ("airtable", "bitbucket")}
    # Of 1,000 an hour, and of 100,000 a month.
    assert used["bitbucket"] <= (60 if hooks else 240), used
    assert used["airtable"] * 24 * 30 <= 60_000, used


def test_a_first_listing_of_many_forgotten_branches_is_affordable(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    for number in range(900):
        lab.work("push", repository="web", branch=f"old-{number}", commits=1)
    lab.clock.wait(timedelta(days=60).total_seconds())
    before = reads(lab)
    lab.run(14 * MINUTE)
    assert reads(lab) - before <= 60, f"{reads(lab) - before} reads for 900 branches"
    assert lab.plan()["totals"]["pending"] == 0


def test_a_first_listing_that_costs_more_than_an_hour_goes_on_where_it_stopped(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    for number in range(1_000):
        lab.work("push", repository="web", branch=f"new-{number}", commits=1)
    lab.run(timedelta(hours=3))
    lab.apply()
    lab.run(2 * MINUTE)
    assert lab.cells("Dark mode")["Status"] == "Merged"
    assert 429 not in [entry.status for entry in lab.bitbucket.inner.log]
