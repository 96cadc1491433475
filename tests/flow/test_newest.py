"""A field of both sides with conflict = "newest", when both moved: decided by the services' own account of the edits."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.flow.house import Lab

NEWEST = '"Details"     = { bitbucket = "pr.description", owner = "both", conflict = "newest" }'


def _both(text: str) -> str:
    lines = [NEWEST if line.startswith('"Details"') else line for line in text.splitlines()]
    assert NEWEST in lines
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("last", ["airtable", "bitbucket"])
def test_the_newer_edit_stands_when_both_sides_moved(tmp_path: Path, last: str) -> None:
    lab = Lab(tmp_path, edit=_both)
    lab.run(timedelta(minutes=1))
    lab.apply()
    lab.run(timedelta(minutes=5))
    repository, number = lab.world.pull_requests["Audit log"]
    # Both edits happen while syncd does not run, ten minutes apart.
    for side in ("bitbucket", "airtable") if last == "airtable" else ("airtable", "bitbucket"):
        if side == "airtable":
            lab.edit("Audit log", Details="as Ada sees it")
        else:
            lab.work(
                "edit_pull_request", repository=repository, id=number, description="as Grace sees it", user="grace"
            )
        lab.clock.wait(600)
    lab.run(timedelta(minutes=5))
    wanted = "as Ada sees it" if last == "airtable" else "as Grace sees it"
    assert lab.cells("Audit log")["Details"] == wanted
    assert lab.work("pull_request", repository=repository, id=number)["description"] == wanted
    assert lab.control.status()["syncs"]["features"]["conflicts"] == 0


def test_edits_closer_than_the_tolerance_are_for_a_person(tmp_path: Path) -> None:
    lab = Lab(tmp_path, edit=_both)
    lab.run(timedelta(minutes=1))
    lab.apply()
    lab.run(timedelta(minutes=5))
    repository, number = lab.world.pull_requests["Audit log"]
    lab.edit("Audit log", Details="as Ada sees it")
    lab.work("edit_pull_request", repository=repository, id=number, description="as Grace sees it", user="grace")
    lab.run(timedelta(minutes=5))
    assert lab.cells("Audit log")["Details"] == "as Ada sees it"
    assert lab.work("pull_request", repository=repository, id=number)["description"] == "as Grace sees it"
    assert lab.control.status()["syncs"]["features"]["conflicts"] == 1
