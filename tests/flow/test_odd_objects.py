"""One object of a listing that cannot be read is unknown by itself: the rest is used, and it is never taken for absent."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.wire import Request, Response
from tests.flow.house import MINUTE, Lab


def adopted(folder: Path, **named: Any) -> Lab:
    """A lab at rest."""
    lab = Lab(folder, **named)
    lab.adopt()
    lab.run(5 * MINUTE)
    return lab


def bend(machine: Any, route: str, change: Callable[[Any], None]) -> Callable[[], None]:
    """Let good answers on that route say something else; what ends it."""
    inner = machine.inner
    handle = inner.handle

    def bent(request: Request, *more: Any, **named: Any) -> Response:
        answer: Response = handle(request, *more, **named)
        if answer.status != 200 or not re.search(route, request.path):
            return answer
        body = json.loads(answer.body)
        change(body)
        return replace(answer, body=json.dumps(body).encode())

    inner.handle = bent

    def mend() -> None:
        inner.handle = handle

    return mend


def pull_request_without_author_date(number: int) -> Callable[[Any], None]:
    """That one has no `updated_on` any more, in lists and alone."""

    def change(body: Any) -> None:
        for one in body.get("values", [body]):
            if one.get("id") == number:
                del one["updated_on"]

    return change


@pytest.mark.parametrize("hooks", [True, False], ids=["webhooks", "polling"])
def test_an_odd_pull_request_in_a_list_parks_itself_alone(tmp_path: Path, hooks: bool) -> None:
    lab = adopted(tmp_path, hooks=hooks)
    repository, odd = lab.world.pull_requests["Audit log"]
    where, number = lab.world.pull_requests["Rate limits"]
    assert repository == where
    before = lab.cells("Audit log")
    mend = bend(lab.bitbucket, r"/pullrequests(/\d+)?$", pull_request_without_author_date(odd))
    lab.work("approve", repository=repository, id=odd, user="ada")
    lab.work("edit_pull_request", repository=where, id=number, draft=False, user="grace")
    lab.run(40 * MINUTE)
    assert lab.cells("Rate limits")["Status"] == "In Review"
    assert lab.cells("Rate limits")["Sync state"] == "ok"
    health = lab.status()
    assert health["state"] == "degraded"
    assert any(f"pull request {odd} cannot be read" in reason for reason in health["reasons"]), health["reasons"]
    assert health["syncs"]["features"]["pending"] == 1
    assert lab.cells("Audit log")["Status"] == before["Status"]
    mend()
    lab.run(40 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_a_new_pull_request_that_nobody_can_read_is_not_taken_for_none(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.edit("Login page", Status="Ready")
    lab.run(2 * MINUTE)
    ((repository, branch),) = lab.branches("Login page")

    def odd(body: Any) -> None:
        for one in body.get("values", [body]):
            if (one.get("source") or {}).get("branch", {}).get("name") == branch:
                del one["updated_on"]

    mend = bend(lab.bitbucket, r"/pullrequests(/\d+)?$", odd)
    lab.work("push", repository=repository, branch=branch, commits=["Sign in\n"], user="grace")
    lab.work("create_pull_request", repository=repository, source=branch, destination="main", title="x", user="grace")
    lab.run(40 * MINUTE)
    assert len(lab.pull_requests("Login page")) == 1, "no second one is opened"
    assert lab.status()["syncs"]["features"]["pending"] == 1
    mend()
    lab.run(40 * MINUTE)
    assert len(lab.pull_requests("Login page")) == 1
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


@pytest.mark.parametrize("hooks", [True, False], ids=["webhooks", "polling"])
def test_a_new_pull_request_whose_commits_cannot_be_read_is_not_taken_for_none(tmp_path: Path, hooks: bool) -> None:
    lab = adopted(tmp_path, hooks=hooks)
    repository, first = lab.world.pull_requests["Audit log"]
    before = lab.cells("Audit log")["Status"]
    inner: Any = lab.bitbucket.inner
    handle = inner.handle

    def bent(request: Request, *more: Any, **named: Any) -> Response:
        answer: Response = handle(request, *more, **named)
        asked = re.search(r"/pullrequests/(\d+)/commits", request.path)
        return replace(answer, status=500, body=b"{}") if asked and int(asked[1]) != first else answer

    inner.handle = bent
    second = f"feature/{lab.records['Audit log']}-second"
    lab.work("push", repository=repository, branch=second, commits=["More\n"], user="grace")
    lab.work("create_pull_request", repository=repository, source=second, title="Second", user="grace")
    lab.run(5 * MINUTE)
    lab.work("merge", repository=repository, id=first, user="ada")
    lab.run(40 * MINUTE)
    assert lab.cells("Audit log")["Status"] == before, "another pull request is open"
    assert lab.status()["syncs"]["features"]["pending"] >= 1
    inner.handle = handle
    lab.run(80 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_an_odd_branch_in_a_list_is_still_there(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.edit("Login page", Status="Ready")
    lab.run(2 * MINUTE)
    ((repository, branch),) = lab.branches("Login page")

    def odd(body: Any) -> None:
        for one in body.get("values", [body]):
            if one.get("name") == branch:
                del one["target"]

    mend = bend(lab.bitbucket, r"/refs/branches", odd)
    lab.control.compare("features")
    lab.edit("Rate limits", Name="Rates")
    lab.run(20 * MINUTE)
    (home,) = [one.id for one in lab.crew.workers[0].context.sync.repositories if one.slug == repository]
    assert branch in [one.name for one in lab.store.load_branches(home)]
    assert lab.cells("Rate limits")["Sync state"] == "ok"
    assert any(branch in reason for reason in lab.status()["reasons"]), lab.status()["reasons"]
    mend()
    lab.run(40 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]
    assert lab.branches("Login page") == [(repository, branch)]


def test_builds_that_cannot_be_read_make_only_their_own_record_wait(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    repository, odd = lab.world.pull_requests["Audit log"]
    head = lab.pull_request(repository, odd)["source_commit"]

    def broken(body: Any) -> None:
        body["values"] = [{"state": "NEVER SEEN", "key": "x"}]

    mend = bend(lab.bitbucket, rf"/commit/{head[:12]}\w*/statuses", broken)
    lab.control.compare("features")
    lab.run(20 * MINUTE)
    assert not any("cannot be read" in reason and "commit" not in reason for reason in lab.status()["reasons"])
    assert lab.status()["syncs"]["features"]["pending"] == 1
    lab.edit("Rate limits", Name="Rates")
    lab.run(2 * MINUTE)
    where, number = lab.world.pull_requests["Rate limits"]
    assert "Rates" in lab.pull_request(where, number)["title"]
    mend()
    lab.run(40 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


@pytest.mark.parametrize("missing", ["createdTime", "fields"])
def test_an_odd_record_in_a_listing_waits_alone_and_is_never_missing(tmp_path: Path, missing: str) -> None:
    lab = adopted(tmp_path)
    record = lab.records["Audit log"]

    def odd(body: Any) -> None:
        for one in body.get("records", []):
            if one["id"] == record:
                one[missing] = 7

    mend = bend(lab.airtable, r"/listRecords$", odd)
    repository, number = lab.world.pull_requests["Audit log"]
    before = lab.pull_request(repository, number)
    lab.edit("Audit log", Name="Audit trail")
    lab.edit("Rate limits", Name="Rates")
    lab.run(120 * MINUTE)
    where, other = lab.world.pull_requests["Rate limits"]
    assert "Rates" in lab.pull_request(where, other)["title"]
    assert lab.pull_request(repository, number) == before
    told = lab.status()
    assert told["syncs"]["features"]["pending"] == 1
    assert told["syncs"]["features"]["records"] == 5, "absence counts only when it is proved"
    assert told["syncs"]["features"]["last_compare"] is not None
    (shown,) = [one for one in lab.plan()["records"] if one["record"] == record]
    assert "cannot be read" in shown["note"]
    mend()
    lab.run(40 * MINUTE)
    assert "Audit trail" in lab.pull_request(repository, number)["title"]
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def _no_records(body: Any) -> None:
    body.pop("records", None)


def _no_id(body: Any) -> None:
    for one in body.get("records", [])[:1]:
        del one["id"]


@pytest.mark.parametrize("change", [_no_records, _no_id], ids=["no list", "an object without an id"])
def test_a_listing_whose_frame_is_wrong_fails_as_a_whole(tmp_path: Path, change: Callable[[Any], None]) -> None:
    lab = adopted(tmp_path)
    compared = lab.status()["syncs"]["features"]["last_compare"]
    bend(lab.airtable, r"/listRecords$", change)
    lab.run(60 * MINUTE)
    assert lab.status()["syncs"]["features"]["last_compare"] == compared
    assert lab.status()["syncs"]["features"]["records"] == 5
    assert lab.status()["state"] == "degraded"


def test_a_pull_request_without_a_number_fails_its_whole_list(tmp_path: Path) -> None:
    lab = adopted(tmp_path)

    def change(body: Any) -> None:
        for one in body.get("values", []):
            one.pop("id", None)
            one.pop("updated_on", None)

    bend(lab.bitbucket, r"/pullrequests$", change)
    lab.run(60 * MINUTE)
    assert any("api cannot be read" in reason for reason in lab.status()["reasons"]), lab.status()["reasons"]
