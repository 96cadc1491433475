"""Answers that are lost, broken, hostile or late: what the client makes of them (reference/reliability.md BB01-BB08, BB13, NE05)."""

import json
import logging
import traceback
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from syncd import errors, ports
from syncd.bitbucket import client, side
from syncd.bitbucket.client import Credential
from syncd.model.ids import PullRequestKey
from syncd.sandbox.fault import FaultKind
from tests.bitbucket.house import House, OpenGate, StillClock, a_house

BRANCHES = "refs/branches$"


@pytest.fixture
def house() -> Iterator[House]:
    with a_house() as found:
        yield found


def answer(house: House, body: Any, **where: Any) -> None:
    """Let the service answer 200 with this body, and nothing else."""
    house.arm(FaultKind.REFUSE, status=200, body=json.dumps(body), **where)


def retitle(house: House) -> Any:
    wanted = ports.AttributeUpdate(
        pull_request=PullRequestKey(house.repository.id, 1), expected={"title": "T"}, wanted={"title": "U"}
    )
    return house.side.send_attributes(house.repository, wanted)


def open_pull_request(house: House) -> Any:
    return house.side.create_pull_request(
        house.repository, source="feature/x", destination="main", title="Ours", description="", draft=True
    )


# ------------------------------------------------------------------------------------------------------------- paging


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://evil.example/2.0/repositories",
        "{root}@evil.example/2.0/x",
        "{root}.evil.example/2.0/x",
        "http://127.0.0.1:1/2.0/x",
        "//evil.example/2.0/x",
        "{root}/internal/x",
        "{root}/2.0/../internal",
        "file:///etc/passwd",
        "http://[broken/2.0/x",
        "?page=2",
        "",
    ],
)
def test_a_link_to_the_next_page_that_leaves_the_api_is_never_followed(house: House, elsewhere: str) -> None:
    answer(house, {"values": [], "next": elsewhere.format(root=house.server.url)}, route=BRANCHES)
    with pytest.raises(errors.Unreachable) as failure:
        house.side.fetch_branches(house.repository)
    assert failure.value.code == "NEXT_ELSEWHERE"
    assert house.gate.reads == 1


def test_commits_of_a_page_that_leads_elsewhere_are_not_believed(house: House) -> None:
    """Found by the simulator: only the first page is read, and its link was not looked at."""
    answer(house, {"values": [], "next": "https://evil.example/2.0/x"}, route="/commits")
    with pytest.raises(errors.Unreachable) as failure:
        house.side.fetch_head(house.repository, "feature", "main")
    assert failure.value.code == "NEXT_ELSEWHERE"


def test_an_empty_first_page_of_commits_is_not_a_head_without_commits(house: House) -> None:
    house.do("push", repository="web", branch="feature/x", commits=2)
    (head,) = [one.target_commit for one in house.side.fetch_branches(house.repository) if one.name == "feature/x"]
    onward = f"{house.server.url}/2.0/repositories/acme/web/commits?include={head}&exclude=main"
    answer(house, {"values": [], "next": onward}, route="/commits")
    found = house.side.fetch_head(house.repository, head, "main")
    assert (len(found.commits), found.whole) == (2, True)


def test_links_that_go_round_in_a_circle_end_the_read(house: House) -> None:
    around = f"{house.server.url}/2.0/around"
    answer(house, {"values": [], "next": around}, count=None)
    with pytest.raises(errors.Unreachable) as failure:
        house.side.fetch_branches(house.repository)
    assert failure.value.code == "NEXT_LOOPS"
    assert house.gate.reads == 2


def test_a_list_without_end_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGES_MAX", 3)
    house.do("push", repository="web", branch="feature/x", commits=1)
    for number in range(151):
        house.do("push", repository="web", branch=f"b{number}", commits=0)
        house.do("create_pull_request", repository="web", source="feature/x", destination=f"b{number}")
    with pytest.raises(errors.Unreachable) as failure:
        house.side.fetch_pull_requests(house.repository, None)
    assert failure.value.code == "NEXT_ENDLESS"
    assert house.gate.reads == 3


def test_an_empty_page_in_between_is_not_the_end(house: House) -> None:
    onward = f"{house.server.url}/2.0/repositories/acme/web/refs/branches?page=1"
    answer(house, {"values": [], "next": onward}, route=BRANCHES)
    assert [one.name for one in house.side.fetch_branches(house.repository)] == ["main"]


def test_a_failure_on_a_later_page_is_no_shorter_list(house: House) -> None:
    for number in range(101):
        house.do("push", repository="web", branch=f"b{number:03}")
    house.arm(FaultKind.REFUSE, route=BRANCHES, after=1)
    with pytest.raises(errors.Unreachable):
        house.side.fetch_branches(house.repository)


@pytest.mark.parametrize(
    "body",
    [{}, {"values": None}, {"values": {}}, {"values": [1]}, {"type": "error", "error": {"message": "x"}}, [], "x", 3],
    ids=str,
)
def test_an_answer_without_values_is_a_failed_read_and_never_an_empty_list(house: House, body: Any) -> None:
    answer(house, body, count=None)
    reads = [
        lambda: house.side.fetch_branches(house.repository),
        lambda: house.side.fetch_pull_requests(house.repository, None),
        lambda: house.side.fetch_head(house.repository, "main", "main"),
        lambda: house.side.fetch_is_ancestor(house.repository, "a" * 40, "main"),
        lambda: house.side.fetch_deployments(house.repository, frozenset()),
        lambda: house.side.fetch_hooks(house.repository),
        house.side.fetch_repositories,
        house.side.fetch_account,
    ]
    for read in reads:
        with pytest.raises(errors.Unreachable):
            read()


def test_one_unknown_state_is_told_apart_from_a_broken_answer(house: House) -> None:
    house.pull_request()
    raw = {"type": "pullrequest", "state": "PARKED", "participants": [], "source": {}, "destination": {}}
    answer(house, raw, route="pullrequests/1$")
    with pytest.raises(errors.Unreachable) as failure:
        house.side.fetch_pull_request(house.repository, 1)
    assert failure.value.code == "UNKNOWN_STATE"


# ------------------------------------------------------------------------------------------------------- lost replies


def test_a_lost_reply_to_a_put_is_unclear_after_exactly_one_request(house: House) -> None:
    house.pull_request(title="T")
    house.arm(FaultKind.LOSE_REPLY, method="PUT")
    with pytest.raises(errors.Unclear):
        retitle(house)
    assert len(house.bodies("PUT")) == 1
    assert house.side.fetch_pull_request(house.repository, 1).title == "U"


@pytest.mark.parametrize(
    "kind", [FaultKind.LOSE_REPLY, FaultKind.FAIL_AFTER, FaultKind.HTML, FaultKind.CUT, FaultKind.ERROR_SHAPED]
)
def test_a_spoilt_answer_to_a_create_is_unclear_after_exactly_one_request(house: House, kind: FaultKind) -> None:
    house.do("push", repository="web", branch="feature/x")
    house.arm(kind, method="POST")
    with pytest.raises(errors.Unclear):
        open_pull_request(house)
    assert len(house.bodies("POST")) == 1
    (made,) = house.side.fetch_pull_requests(house.repository, None, source="feature/x")
    assert made.title == "Ours"


def test_a_create_that_never_arrived_is_unclear_too(house: House) -> None:
    """A connection that ends without an answer does not tell whether the request was read."""
    house.do("push", repository="web", branch="feature/x")
    house.arm(FaultKind.CLOSE_BEFORE, method="POST")
    with pytest.raises(errors.Unclear):
        open_pull_request(house)
    assert house.gate.changes == 1
    assert house.side.fetch_pull_requests(house.repository, None) == ()


def test_an_answer_of_a_foreign_form_to_a_deletion_is_unclear(house: House) -> None:
    hook = house.side.create_hook(house.repository, "https://sync.example.com/h", ["repo:push"], "s").hook
    answer(house, {"type": "error"}, method="DELETE")
    with pytest.raises(errors.Unclear):
        house.side.send_hook_deletion(house.repository, hook)


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.CLOSE_BEFORE,
        FaultKind.LOSE_REPLY,
        FaultKind.REFUSE,
        FaultKind.FAIL_AFTER,
        FaultKind.HTML,
        FaultKind.CUT,
        FaultKind.ERROR_SHAPED,
    ],
)
def test_a_read_that_fails_is_unreachable_after_exactly_one_request(house: House, kind: FaultKind) -> None:
    house.pull_request()
    house.arm(kind)
    with pytest.raises(errors.Unreachable):
        house.side.fetch_pull_request(house.repository, 1)
    assert house.gate.reads == 1


def test_a_put_is_not_sent_when_the_read_before_it_failed(house: House) -> None:
    house.pull_request(title="T")
    house.arm(FaultKind.HTML, method="GET")
    with pytest.raises(errors.Unreachable):
        retitle(house)
    assert house.gate.changes == 0


# ----------------------------------------------------------------------------------------------------------- refusals


def test_a_429_in_plain_text_is_throttled_without_sleep_or_second_try(house: House) -> None:
    house.arm(FaultKind.THROTTLE)
    before = house.clock.now()
    with pytest.raises(errors.Throttled) as refusal:
        house.side.fetch_branches(house.repository)
    assert refusal.value.retry_at > before
    assert (house.clock.now(), house.gate.reads) == (before, 1)


def test_a_429_with_a_time_does_not_make_the_library_sleep(house: House) -> None:
    house.arm(FaultKind.REFUSE, status=429, headers={"Retry-After": "1800"}, body="{}")
    with pytest.raises(errors.Throttled):
        house.side.fetch_branches(house.repository)
    assert house.gate.reads == 1


def test_the_hour_of_a_credential_ends_in_throttled(house: House) -> None:
    house.do("hourly_limit", limit=2)
    for _ in range(2):
        house.side.fetch_branches(house.repository)
    with pytest.raises(errors.Throttled):
        house.side.fetch_branches(house.repository)


def test_a_missing_scope_is_unauthorised_with_what_is_required(house: House) -> None:
    made = house.do("add_token", scopes=["repository"])
    side = house.open_side(made["token"])
    assert [one.name for one in side.fetch_branches(house.repository)] == ["main"]
    with pytest.raises(errors.Unauthorised) as refusal:
        side.fetch_pull_requests(house.repository, None)
    assert "pullrequest" in refusal.value.detail


def test_an_expired_token_is_unauthorised(house: House) -> None:
    until = house.clock.at + timedelta(minutes=5)
    side = house.open_side(house.do("add_token", expires_at=until.isoformat())["token"])
    side.fetch_branches(house.repository)
    house.clock.at = until
    with pytest.raises(errors.Unauthorised):
        side.fetch_branches(house.repository)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirected_change_is_not_sent_on(house: House, status: int) -> None:
    house.do("push", repository="web", branch="feature/x")
    house.arm(
        FaultKind.REFUSE,
        method="POST",
        status=status,
        headers={"Location": f"{house.server.url}/2.0/repositories/acme/web/pullrequests"},
    )
    with pytest.raises(errors.ServiceError):
        open_pull_request(house)
    assert house.gate.changes == 1
    assert house.side.fetch_pull_requests(house.repository, None) == ()


# ------------------------------------------------------------------------------------------------------------- secrets


def test_neither_token_nor_texts_nor_people_stand_in_logs_and_errors(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["canary-title", "canary-description", house.token, "Ben"]
    house.pull_request(title=words[0], description=words[1], reviewers=["ben"])
    said = []
    with caplog.at_level(logging.DEBUG):
        house.side.fetch_pull_requests(house.repository, None)
        house.arm(FaultKind.CUT, count=None)
        for read in (house.side.fetch_account, lambda: house.side.fetch_pull_request(house.repository, 1)):
            with pytest.raises(errors.Unreachable) as failure:
                read()
            said.append("".join(traceback.format_exception(failure.value)))
        house.faults.clear()
        house.do("close_user", user="ben")
        wanted = ports.AttributeUpdate(
            pull_request=PullRequestKey(house.repository.id, 1),
            expected={"title": words[0]},
            wanted={"title": "canary-new"},
        )
        with pytest.raises(errors.Rejected) as refusal:
            house.side.send_attributes(house.repository, wanted)
        said.append(str(refusal.value))
    text = caplog.text + "".join(said)
    assert [word for word in [*words, "canary-new"] if word in text] == []


def test_the_address_of_the_api_is_the_same_with_and_without_its_version(house: House) -> None:
    for url in (house.server.url, f"{house.server.url}/", f"{house.server.url}/2.0/"):
        assert house.open_side(house.token, url=url).fetch_repository("web").slug == "web"


def test_a_credential_has_a_token() -> None:
    with pytest.raises(ValueError, match="credential"):
        Credential(token="", user="a@b")


def test_a_credential_does_not_show_its_token() -> None:
    assert "canary" not in repr(Credential(token="canary", user="a@b"))


def test_a_side_needs_a_workspace() -> None:
    with pytest.raises(ValueError, match="workspace"):
        side.open_side(
            base_url="https://api.bitbucket.org/2.0",
            workspace="",
            credential=Credential(token="t"),
            gate=OpenGate(),
            clock=StillClock(),
            user_agent="syncd/tests",
        )
