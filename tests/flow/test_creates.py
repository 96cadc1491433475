"""Branches and pull requests that syncd makes: looked for before, looked up after, never made twice or taken from others."""

from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from syncd.sandbox.fault import Fault, FaultKind
from syncd.sandbox.wire import Request, Response
from tests.flow.house import MINUTE, Lab


def started(folder: Path) -> tuple[Lab, str, str]:
    """A lab with a record that has a branch: its repository and name."""
    lab = Lab(folder)
    lab.adopt()
    lab.edit("Login page", Status="Ready")
    lab.run(2 * MINUTE)
    ((repository, branch),) = lab.branches("Login page")
    return lab, repository, branch


def test_a_pull_request_from_a_fork_is_not_taken_for_the_records_own(tmp_path: Path) -> None:
    lab, repository, branch = started(tmp_path)
    lab.work("fork", repository=repository, name="contrib")
    lab.work("push", repository="contrib", branch=branch, commits=["Theirs\n"], user="grace")
    foreign = lab.work(
        "create_pull_request", repository=repository, source=branch, fork="contrib", title="Contribution", user="grace"
    )["id"]
    lab.run(3 * MINUTE)
    lab.work("push", repository=repository, branch=branch, commits=["Sign in\n"], user="grace")
    lab.run(5 * MINUTE)
    assert lab.pull_request(repository, foreign)["title"] == "Contribution"
    own = [one for _, one in lab.pull_requests("Login page") if one["id"] != foreign]
    assert [one["title"] for one in own] == [f"[Airtable: {lab.records['Login page']}] Login page"]
    assert lab.cells("Login page")["PR URL"].endswith(f"/{own[0]['id']}")


def creates(lab: Lab) -> list[tuple[str, str, str]]:
    """What the journal says of the record's creates: kind, state, error."""
    rows = [row for row in lab.journal("Login page") if row["kind"].startswith("create")]
    return [(row["kind"], row["state"], row["error"]) for row in rows]


def test_the_waits_between_looks_are_not_used_up_by_the_answer_that_was_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch is made, the answer hangs for a minute, and lists show it another minute later (BB04)."""
    lab = Lab(tmp_path)
    lab.adopt()
    lab.bitbucket.arm(Fault(kind=FaultKind.HANG, method="POST", route="refs/branches$", applied=True))
    handle = lab.bitbucket.inner.handle
    posts: list[datetime] = []
    looks: list[float] = []

    def lagging(request: Request, now: datetime) -> Response:
        listing = request.path.endswith("/refs/branches")
        if listing and request.method == "POST":
            posts.append(now)
        elif listing and posts:
            looks.append((now - posts[0]).total_seconds())
            if looks[-1] < 60:
                return Response(
                    status=200, headers={"content-type": "application/json"}, body=b'{"values":[],"pagelen":100}'
                )
        return handle(request, now)

    monkeypatch.setattr(lab.bitbucket.inner, "handle", lagging)
    lab.edit("Login page", Status="Ready")
    lab.run(10 * MINUTE)
    assert len(posts) == 1
    gaps = [round(later - earlier) for earlier, later in pairwise(looks[:5])]
    assert gaps == [2, 5, 15, 60], looks
    assert creates(lab) == [("create branch", "applied", "looked up: it was found")]
    assert len(lab.branches("Login page")) == 1


def test_a_branch_that_exists_although_no_list_shows_it_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path)
    lab.adopt()
    handle = lab.bitbucket.inner.handle

    def twice(request: Request, now: datetime) -> Response:
        if request.method == "POST" and request.path.endswith("/refs/branches"):
            handle(request, now)
        return handle(request, now)

    monkeypatch.setattr(lab.bitbucket.inner, "handle", twice)
    lab.edit("Login page", Status="Ready")
    lab.run(5 * MINUTE)
    assert creates(lab) == [("create branch", "applied", "it was there already: found, not made")]
    assert lab.cells("Login page")["Sync state"] == "ok"
    assert lab.cells("Login page").get("Sync note") is None


def test_what_was_made_says_nothing_of_having_been_found(tmp_path: Path) -> None:
    lab, _, _ = started(tmp_path)
    assert creates(lab) == [("create branch", "applied", "")]
