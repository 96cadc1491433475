"""The process dies, or an answer is lost, at every place where it hurts: looked up, never sent twice (I10, I14, I16, I31)."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.fault import Fault, FaultKind
from tests.flow import stories
from tests.flow.house import MINUTE, Lab

# Commits and requests of the story, and a few after its end; every one of them is a place to die at.
POINTS = 650
STRIDE = 13


def requests_without_a_row(lab: Lab) -> list[tuple[str, str]]:
    """Changes that a service saw from syncd more often than the journal has rows for them: (object, place)."""
    names = {one["uuid"]: one["slug"] for one in (lab.work("repository", repository=name) for name in ("api", "web"))}
    fields = {lab.field(name): name for name in stories.FIELDS}
    seen: Counter[tuple[str, str]] = Counter()
    for entry in lab.writes():
        if entry.status >= 300:
            continue
        if entry.method == "POST":
            seen.update({(change.object, "made") for change in entry.changes})
            continue
        for change in entry.changes:
            place = fields.get(change.attribute, change.attribute)
            if place not in {"Sync run", "updated_on"}:
                seen[(change.object, place)] += 1
    kept: Counter[tuple[str, str]] = Counter()
    for row in lab.journal():
        object, place = row["object"], row["place"].removeprefix("pr.")
        for uuid, slug in names.items():
            object = object.replace(uuid, f"acme/{slug}")
        if row["kind"] == "create pull request":
            repository, _, source = object.partition(" → ")[0].partition(":")
            numbers = [one["id"] for _, one in _all(lab) if one["source_branch"] == source]
            object, place = f"{repository}#{numbers[0]}" if numbers else object, "made"
        if row["kind"] == "create branch":
            place = "made"
        kept[(object, place)] += 1
    return sorted((seen - kept).elements())


def _all(lab: Lab) -> list[tuple[str, dict[str, Any]]]:
    return [(name, one) for name in ("api", "web") for one in lab.work("pull_requests", repository=name)]


def undisturbed(folder: Path) -> dict[str, Any]:
    """How the story ends when nothing goes wrong."""
    lab = Lab(folder / "undisturbed")
    stories.adopted(lab, 3 * MINUTE)
    stories.main_story(lab)
    return lab.end_state()


@pytest.mark.parametrize("first", range(0, STRIDE, 3))
def test_the_story_ends_the_same_wherever_the_process_dies(tmp_path: Path, first: int) -> None:
    expected = undisturbed(tmp_path)
    died = 0
    for point in range(first, POINTS, STRIDE * 5):
        lab = Lab(tmp_path / str(point))
        lab.doom.at = point
        stories.adopted(lab, 3 * MINUTE)
        stories.main_story(lab)
        died += lab.crashes
        told = f"died before commit or request {point}"
        assert lab.end_state() == expected, told
        assert requests_without_a_row(lab) == [], told
        assert {row["state"] for row in lab.journal()} <= {"applied", "retry", "moved"}, told
        assert sum(entry.method == "POST" for entry in lab.writes()) == 3, told
        assert lab.status()["state"] == "ok", (told, lab.status()["reasons"])
    assert died


def test_the_story_ends_the_same_when_the_process_dies_again_and_again(tmp_path: Path) -> None:
    expected = undisturbed(tmp_path)
    lab = Lab(tmp_path / "dying")
    lab.doom.every = 100
    stories.adopted(lab, 3 * MINUTE)
    stories.main_story(lab)
    assert lab.crashes >= 8
    assert lab.end_state() == expected
    assert requests_without_a_row(lab) == []
    assert sum(entry.method == "POST" for entry in lab.writes()) == 3


LOST = (
    pytest.param("airtable", "PATCH", "/tbl", FaultKind.LOSE_REPLY, id="cells written, reply lost"),
    pytest.param("airtable", "PATCH", "/tbl", FaultKind.CLOSE_BEFORE, id="cells not written, reply lost"),
    pytest.param("airtable", "PATCH", "/tbl", FaultKind.FAIL_AFTER, id="cells written, answered 502"),
    pytest.param("airtable", "PATCH", "/tbl", FaultKind.REFUSE, id="cells not written, answered 503"),
    pytest.param("airtable", "PATCH", "/tbl", FaultKind.HTML, id="cells written, answered with a page"),
    pytest.param("airtable", "PATCH", "/tbl", FaultKind.CUT, id="cells written, answer cut"),
    pytest.param("airtable", "PATCH", "/tbl", FaultKind.ERROR_SHAPED, id="cells written, answered with an error"),
    pytest.param("airtable", "PATCH", "/tbl", FaultKind.HANG, id="cells not written, never answered"),
    pytest.param("bitbucket", "POST", "branches", FaultKind.LOSE_REPLY, id="branch made, reply lost"),
    pytest.param("bitbucket", "POST", "branches", FaultKind.CLOSE_BEFORE, id="branch not made, reply lost"),
    pytest.param("bitbucket", "POST", "branches", FaultKind.FAIL_AFTER, id="branch made, answered 502"),
    pytest.param("bitbucket", "POST", "branches", FaultKind.CUT, id="branch made, answer cut"),
    pytest.param("bitbucket", "POST", "pullrequests$", FaultKind.LOSE_REPLY, id="pull request made, reply lost"),
    pytest.param("bitbucket", "POST", "pullrequests$", FaultKind.CLOSE_BEFORE, id="pull request not made, reply lost"),
    pytest.param("bitbucket", "POST", "pullrequests$", FaultKind.FAIL_AFTER, id="pull request made, answered 502"),
    pytest.param("bitbucket", "POST", "pullrequests$", FaultKind.HTML, id="pull request made, answered with a page"),
    pytest.param("bitbucket", "POST", "pullrequests$", FaultKind.HANG, id="pull request not made, never answered"),
    pytest.param("bitbucket", "PUT", "pullrequests/", FaultKind.LOSE_REPLY, id="attributes written, reply lost"),
    pytest.param("bitbucket", "PUT", "pullrequests/", FaultKind.CLOSE_BEFORE, id="attributes not written, reply lost"),
    pytest.param("bitbucket", "PUT", "pullrequests/", FaultKind.FAIL_AFTER, id="attributes written, answered 502"),
    pytest.param("bitbucket", "PUT", "pullrequests/", FaultKind.CUT, id="attributes written, answer cut"),
)


@pytest.mark.parametrize(("service", "method", "route", "kind"), LOST)
def test_a_lost_answer_is_looked_up_and_nothing_is_done_twice(
    tmp_path: Path, service: str, method: str, route: str, kind: FaultKind
) -> None:
    expected = undisturbed(tmp_path)
    lab = Lab(tmp_path / "lossy")
    stories.adopted(lab, 3 * MINUTE)
    machine = lab.airtable if service == "airtable" else lab.bitbucket
    machine.arm(Fault(kind=kind, method=method, route=route))
    if method == "PUT":
        lab.edit("Rate limits", Name="Rates")
        lab.run(3 * MINUTE)
        lab.edit("Rate limits", Name="Rate limits")
        lab.run(3 * MINUTE)
    stories.main_story(lab)
    assert machine.hits[kind.value] == 1
    assert lab.end_state() == expected
    assert requests_without_a_row(lab) == []
    assert {row["state"] for row in lab.journal()} <= {"applied", "retry"}
    effects = [entry for entry in lab.writes() if entry.method == "POST" and entry.status < 300]
    assert len(effects) == 3
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_an_answer_that_stays_away_for_long_makes_no_second_pull_request(tmp_path: Path) -> None:
    """The reply is lost, and then the service cannot be asked for ten minutes (BB04)."""
    expected = undisturbed(tmp_path)
    lab = Lab(tmp_path / "lossy")
    stories.adopted(lab, 3 * MINUTE)
    lab.bitbucket.arm(Fault(kind=FaultKind.LOSE_REPLY, method="POST", route="pullrequests$"))
    lab.edit("Login page", Status="Ready")
    lab.run(3 * MINUTE)
    ((repository, branch),) = lab.branches("Login page")
    down = lab.bitbucket.arm(Fault(kind=FaultKind.REFUSE, method="GET", route="pullrequests", after=3, count=None))
    lab.work("push", repository=repository, branch=branch, commits=["Sign in\n"], user="grace")
    lab.run(10 * MINUTE)
    lab.bitbucket.control("clear_faults", {"fault": down}, lab.clock.now())
    lab.run(20 * MINUTE)
    assert len(lab.pull_requests("Login page")) == 1
    assert lab.cells("Login page")["PR URL"]
    assert lab.end_state()["Audit log"] == expected["Audit log"]
    assert lab.status()["state"] == "ok", lab.status()["reasons"]
