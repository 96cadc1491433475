"""What of Bitbucket cannot be read, missed or misdated: it makes no others wait, and nothing is lost by it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd import ports
from syncd.flow.health import QUARANTINED_TOLD_MAX
from syncd.model.event import Dirt, DirtyWork
from syncd.sandbox.wire import Request, Response
from tests.flow.house import MINUTE, Lab, VirtualClock

_JSON = {"content-type": "application/json"}
_REFUSAL = b'{"type": "error", "error": {"message": "no"}}'
ANSWERS = {
    "not there": Response(status=404, headers=_JSON, body=_REFUSAL),
    "broken": Response(status=500, headers=_JSON, body=_REFUSAL),
    "unknown state": Response(status=200, headers=_JSON, body=b'{"type": "pullrequest", "id": 2, "state": "WEIRD"}'),
}


def adopted(folder: Path, **named: Any) -> Lab:
    """A lab at rest."""
    lab = Lab(folder, **named)
    lab.adopt()
    return lab


def spoil(lab: Lab, method: str, route: str, answer: Response) -> Callable[[], None]:
    """Let Bitbucket answer this to whatever asks for that route; what ends it."""
    inner = lab.bitbucket.inner
    handle = inner.handle

    def spoiled(request: Request, *more: Any, **named: Any) -> Response:
        if request.method == method and re.search(route, request.path):
            return answer
        return handle(request, *more, **named)

    inner.handle = spoiled  # type: ignore[method-assign]

    def mend() -> None:
        inner.handle = handle  # type: ignore[method-assign]

    return mend


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_pull_request_that_cannot_be_read_stops_only_its_own_record(tmp_path: Path, answer: Response) -> None:
    lab = adopted(tmp_path)
    repository, odd = lab.world.pull_requests["Audit log"]
    where, number = lab.world.pull_requests["Rate limits"]
    assert repository == where
    mend = spoil(lab, "GET", rf"/pullrequests/{odd}$", answer)
    lab.work("approve", repository=repository, id=odd, user="ada")
    lab.work("edit_pull_request", repository=where, id=number, draft=False, user="grace")
    lab.run(2 * MINUTE)
    assert lab.cells("Rate limits")["Status"] == "In Review"
    assert lab.cells("Rate limits")["Sync state"] == "ok"
    health = lab.status()
    assert health["syncs"]["features"]["pending"] == 1, "what is not known of it is not guessed"
    assert health["state"] == "degraded"
    assert any(f"pull request {odd} cannot be read" in reason for reason in health["reasons"])
    assert health["queue"]["parked"] == 1
    before = lab.requests()["bitbucket"]
    lab.run(5 * MINUTE)
    assert lab.requests()["bitbucket"] - before < 10, "what cannot be read is not asked for again and again"
    mend()
    lab.work("comment", repository=repository, id=odd, text="look")
    lab.run(2 * MINUTE)
    assert lab.status()["syncs"]["features"]["pending"] == 0
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_a_repository_that_cannot_be_read_is_not_taken_for_one_odd_object(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    repository, number = lab.world.pull_requests["Audit log"]
    mend = spoil(lab, "GET", "/repositories/", ANSWERS["broken"])
    lab.work("approve", repository=repository, id=number, user="ada")
    lab.run(5 * MINUTE)
    assert any(f"{repository} cannot be read" in reason for reason in lab.status()["reasons"])
    assert lab.status()["queue"]["parked"] == 0
    mend()
    lab.run(20 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


class _Skewed:
    """Our clock, which runs ahead of the services'."""

    def __init__(self, true: VirtualClock) -> None:
        self._true = true
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        """What our clock shows."""
        return self._true.at + self.ahead

    def monotonic_s(self) -> float:
        """As the true one."""
        return self._true.monotonic_s()

    def wait(self, seconds: float) -> None:
        """As the true one."""
        self._true.wait(seconds)


class SkewedLab(Lab):
    """A lab in which syncd's clock can run ahead of the world's."""

    def __init__(self, folder: Path, **named: Any) -> None:
        super().__init__(folder, **named)
        self.skewed = _Skewed(self.clock)
        self.outside = replace(self.outside, clock=self.skewed)
        self.restart()

    def step(self) -> datetime:
        """As `Lab.step`, by syncd's clock."""
        self.deliver()
        ours = [self.crew.keeper.step(self.skewed.now()) - self.skewed.ahead]
        ours += [worker.step(self.skewed.now()) - self.skewed.ahead for worker in self.crew.workers]
        theirs = [at for one in (self.airtable, self.bitbucket) if (at := one.next_due_at()) is not None]
        return min(ours + theirs)


@pytest.mark.parametrize("back", [False, True], ids=["stays ahead", "was ahead"])
def test_a_clock_ahead_hides_no_update_of_a_pull_request(tmp_path: Path, back: bool) -> None:
    lab = SkewedLab(tmp_path, hooks=False)
    lab.adopt()
    repository, number = lab.world.pull_requests["Rate limits"]
    lab.skewed.ahead = timedelta(hours=2)
    lab.run(20 * MINUTE)
    lab.work("edit_pull_request", repository=repository, id=number, draft=False, user="grace")
    if back:
        lab.skewed.ahead = timedelta(0)
    lab.run(20 * MINUTE)
    assert lab.cells("Rate limits")["Status"] == "In Review"


def test_work_given_back_while_the_clock_was_ahead_does_not_wait_for_it(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    (repository, *_) = lab.crew.workers[0].context.repository_ids
    now, year = lab.clock.now(), timedelta(days=365)
    lab.store.mark_work([(DirtyWork(repository=repository, dirt=Dirt.PULL_REQUEST, name="1"), None)], now, now)
    marks = lab.store.claim_work([repository], now + year, 10)
    lab.store.release_work(marks, now + year + MINUTE, failed=True, error="502")
    lab.run(MINUTE)
    assert lab.store.load_dirty_work(repository) == ()


def test_a_complete_read_answers_what_was_marked_before_it(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    (repository, *_) = lab.crew.workers[0].context.repository_ids
    now = lab.clock.now()
    dirty = [(Dirt.BRANCH, "main"), (Dirt.PULL_REQUEST, "1"), (Dirt.REPOSITORY, "")]
    lab.store.mark_work(
        [(DirtyWork(repository=repository, dirt=dirt, name=name), None) for dirt, name in dirty], now, now + MINUTE
    )
    # A younger mark of a branch is read singly: a list may lag so long (BB27).
    lab.clock.wait(31)
    lab.control.compare("features")
    lab.run(timedelta(seconds=1))
    assert lab.store.load_dirty_work(repository) == ()


def test_a_branch_that_main_caught_up_with_is_not_ahead_any_more(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    lab.edit("Login page", Status="Ready")
    lab.run(2 * MINUTE)
    ((repository, branch),) = lab.branches("Login page")
    lab.edit("Login page", Hold_sync=True)
    lab.run(MINUTE)
    lab.work("push", repository=repository, branch=branch, commits=["Sign in\n"], user="grace")
    lab.run(2 * MINUTE)
    lab.work("push", repository=repository, branch="main", base=branch, force=True, commits=0, user="grace")
    lab.run(2 * MINUTE)
    lab.edit("Login page", Hold_sync=False)
    lab.run(3 * MINUTE)
    assert [row for row in lab.journal("Login page") if row["kind"] == "create pull request"] == []
    assert lab.cells("Login page")["Sync state"] == "ok"


def _gated(text: str) -> str:
    """The sample spec with a step that reads tasks."""
    step = """any(prs, state="MERGED") and not any(prs, state="OPEN")'"""
    assert step in text
    return text.replace(step, step[:-1] + """ and not any(prs, open_tasks=3)'""")


def test_a_task_that_is_resolved_without_a_word_is_seen_by_the_compare(tmp_path: Path) -> None:
    lab = adopted(tmp_path, hooks=False, edit=_gated)
    repository, number = lab.world.pull_requests["Audit log"]
    task = lab.work("task", repository=repository, id=number, text="Tests are missing")["id"]
    lab.run(20 * MINUTE)
    # From here on the list by update time does not go back as far as the pull request with the task.
    lab.work("comment", repository=repository, id=lab.world.pull_requests["Rate limits"][1], text="look")
    lab.run(20 * MINUTE)
    (home,) = [one.id for one in lab.crew.workers[0].context.sync.repositories if one.slug == repository]
    assert lab.store.load_pull_requests(home, [number])[0].open_tasks == 1
    lab.work("edit_task", repository=repository, id=number, task=task, state="RESOLVED")
    lab.run(20 * MINUTE)
    assert lab.store.load_pull_requests(home, [number])[0].open_tasks == 0


@pytest.mark.parametrize("service", ["airtable", "bitbucket"])
def test_a_signed_delivery_that_nobody_can_read_is_shown_and_nothing_is_missed_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    """BW10, I16: its base is polled at once, or its repository read as a whole."""
    lab = adopted(tmp_path)
    # As no poll by time tells, and no compare in full.
    lab.run(5 * MINUTE)
    save = lab.house.intake.save
    providers = {endpoint.id: endpoint.provider for endpoint in lab.store.load_endpoints()}

    def cut(arrived: Sequence[ports.Arrived]) -> None:
        save([replace(one, body=one.body[:-1]) if providers[one.endpoint] == service else one for one in arrived])

    monkeypatch.setattr(lab.house.intake, "save", cut)
    assert lab.status()["quarantine"] == {"count": 0, "newest": []}
    lab.run(timedelta(seconds=1))
    if service == "airtable":
        lab.edit("Audit log", Name="Audit trail")
    else:
        lab.work("edit_pull_request", repository="api", id=2, title="better title", user="grace")
    lab.run(timedelta(seconds=45))
    title = lab.pull_request("api", 2)["title"]
    assert title.endswith("] Audit trail" if service == "airtable" else "] Audit log")
    quarantine = lab.status()["quarantine"]
    assert quarantine["count"] == len(quarantine["newest"]) >= 1
    shown = quarantine["newest"][0]
    assert providers[shown["endpoint"]] == service
    assert shown["event"] == ("" if service == "airtable" else "pullrequest:updated")
    assert "JSON" in shown["reason"]
    assert lab.status()["state"] == "ok"


def test_of_many_that_nobody_can_read_the_newest_are_shown(tmp_path: Path) -> None:
    lab = adopted(tmp_path)
    endpoint = next(one.id for one in lab.store.load_endpoints() if one.provider == "bitbucket")
    headers = {"x-event-key": "repo:push"}
    for number in range(9):
        body = b"{private %d" % number
        lab.house.intake.save(
            [ports.Arrived(endpoint=endpoint, received_at=lab.clock.now(), headers=headers, body=body)]
        )
    lab.run(MINUTE)
    quarantine = lab.status()["quarantine"]
    numbers = [one["delivery"] for one in quarantine["newest"]]
    assert quarantine["count"] == 9
    assert len(numbers) == QUARANTINED_TOLD_MAX
    assert numbers == sorted(numbers, reverse=True)
    assert "private" not in str(lab.status())
