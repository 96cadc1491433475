"""Polls obey the month's calls, and T counts everything that a compare reads."""

from datetime import timedelta
from pathlib import Path

from tests.flow.house import MINUTE, Lab

DAY = timedelta(days=1)


def polls(lab: Lab) -> int:
    """How often the payloads were asked for."""
    return sum(entry.path.endswith("/payloads") for entry in lab.airtable.inner.log)


def test_a_small_month_stretches_the_polls(tmp_path: Path) -> None:
    lab = Lab(tmp_path, hooks=False, edit=lambda text: text.replace("month = 100000", "month = 1000"))
    lab.adopt()
    told = lab.status()["syncs"]["features"]
    assert told["poll_seconds"] > 3600
    before = polls(lab)
    lab.run(3 * DAY)
    # Three days are a tenth of a month, and polls may use a quarter of its six hundred calls.
    assert 1 <= polls(lab) - before <= 16


def test_a_large_month_polls_as_wished(tmp_path: Path) -> None:
    lab = Lab(tmp_path, hooks=False)
    lab.adopt()
    told = lab.status()["syncs"]["features"]
    before = polls(lab)
    lab.run(60 * MINUTE)
    assert told["poll_seconds"] <= 180
    assert polls(lab) - before >= 20


def test_a_ping_is_followed_at_once_however_small_the_month(tmp_path: Path) -> None:
    lab = Lab(tmp_path, edit=lambda text: text.replace("month = 100000", "month = 1000"))
    lab.adopt()
    lab.edit("Rate limits", Name="Rates")
    lab.run(MINUTE)
    repository, number = lab.world.pull_requests["Rate limits"]
    assert "Rates" in lab.pull_request(repository, number)["title"]


def test_the_calls_of_the_last_compare_count_for_the_next(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.adopt()
    lab.run(60 * MINUTE)
    (worker,) = lab.crew.workers
    before = lab.requests()["bitbucket"]
    lab.control.compare("features")
    lab.run(timedelta(seconds=30))
    taken = lab.requests()["bitbucket"] - before
    (line,) = [line for line in lab.house.repair_time(worker.context.sync).arithmetic if "Bitbucket" in line]
    assert line.endswith(f"= {taken} calls"), line
