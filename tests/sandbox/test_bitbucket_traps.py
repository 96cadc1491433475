"""The traps of reference/bitbucket.md section 14 that concern the service, and each choice of section 15 under both answers."""

import base64
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox import choices as choice
from syncd.sandbox.choices import Choices
from tests.sandbox.bitbucket_setup import WEB, Answer, Company

PRS = f"{WEB}/pullrequests"


def put(company: Company, **body: Any) -> Answer:
    company.later()
    return company.call("PUT", f"{PRS}/1", body)


def reviewers(body: Any) -> list[str]:
    return [one["nickname"] for one in body["reviewers"]]


def test_trap_5_hashes_have_12_characters_in_pull_requests_and_40_elsewhere() -> None:
    company = Company()
    company.work()
    company.call("POST", f"{PRS}/1/merge", {})
    body = company.get("/pullrequests/1")
    assert {len(body[side]["commit"]["hash"]) for side in ("source", "destination")} == {12}
    assert len(body["merge_commit"]["hash"]) == 12
    head = company.get("/pullrequests/1/commits", fields="values.hash")["values"][0]["hash"]
    assert len(head) == 40
    assert head.startswith(body["source"]["commit"]["hash"])
    assert len(company.get("/refs/branches/main")["target"]["hash"]) == 40


def test_trap_7_one_unknown_reviewer_fails_the_whole_update() -> None:
    company = Company()
    company.work()
    cases = {
        "{00000000-0000-4000-8000-000000000000}": "reviewers: Malformed reviewers list",
        company.uuid("bob"): "reviewers: Bob is the author and cannot be included as a reviewer.",
    }
    for uuid, message in cases.items():
        answer = put(company, title="New", reviewers=[{"uuid": company.uuid("cy")}, {"uuid": uuid}])
        assert (answer.status, answer.message) == (400, message)
        assert "reviewers" in answer.body["error"]["fields"]
    stranger = company.control("add_user", nickname="dee", role=None)
    answer = put(company, title="New", reviewers=[{"uuid": stranger["uuid"]}])
    assert "is not a member of this workspace" in answer.message
    assert company.get("/pullrequests/1")["title"] == "Add the thing"


def test_trap_9_declined_is_final_and_a_new_pull_request_is_another_one() -> None:
    company = Company()
    company.work()
    assert company.call("POST", f"{PRS}/1/decline", {"id": 1}).body["state"] == "DECLINED"
    assert put(company, title="x").status == 400
    for verb in ("merge", "decline", "approve", "request-changes"):
        assert company.call("POST", f"{PRS}/1/{verb}", {}).status == 400
    again = company.call("POST", PRS, {"title": "Again", "source": {"branch": {"name": "feature/rec1"}}})
    assert (again.status, again.body["id"]) == (201, 2)


def test_trap_10_list_items_have_no_participants_unless_fields_ask() -> None:
    company = Company()
    company.work()
    company.control("approve", repository="web", id=1, user="cy")
    item = company.get("/pullrequests")["values"][0]
    assert not {"reviewers", "participants", "rendered"} & set(item)
    asked = company.get("/pullrequests", fields="+values.reviewers,+values.participants")["values"][0]
    assert asked["participants"][0]["approved"] is True
    assert set(asked) == set(item) | {"reviewers", "participants"}


def test_trap_11_a_draft_is_open() -> None:
    company = Company()
    company.work(draft=True)
    (item,) = company.get("/pullrequests")["values"]
    assert (item["state"], item["draft"]) == ("OPEN", True)


def test_trap_12_updated_on_moves_with_approvals_and_comments_but_the_activity_log_tells_them_apart() -> None:
    company = Company()
    company.work()
    stamps = [company.get("/pullrequests/1")["updated_on"]]
    for verb, arguments in (("approve", {"user": "cy"}), ("comment", {"text": "hm", "user": "cy"})):
        company.later(60)
        company.control(verb, repository="web", id=1, **arguments)
        stamps.append(company.get("/pullrequests/1")["updated_on"])
    assert len(set(stamps)) == 3
    entries = company.get("/pullrequests/1/activity")["values"]
    assert [next(key for key in one if key != "pull_request") for one in entries] == ["comment", "approval", "update"]
    assert entries[1]["approval"]["date"] == stamps[1]


def test_trap_16_a_merge_may_be_accepted_only_or_time_out_either_way() -> None:
    for outcome, status, state in (
        ("202", 202, "OPEN"),
        ("555_done", 555, "MERGED"),
        ("555_lost", 555, "OPEN"),
        ("409", 409, "OPEN"),
    ):
        company = Company()
        company.work()
        company.control("next_merge", outcome=outcome)
        assert company.call("POST", f"{PRS}/1/merge", {}).status == status
        assert company.get("/pullrequests/1")["state"] == state


def test_trap_16_an_accepted_merge_happens_later_or_fails_later() -> None:
    for conflicted, status, state in ((False, 200, "MERGED"), (True, 409, "OPEN")):
        company = Company()
        company.work()
        answer = company.call("POST", f"{PRS}/1/merge", {}, query=(("async", "true"),))
        task = f"{PRS}/1/merge/task-status/{answer.body['task_id']}"
        assert answer.headers["location"].endswith(task)
        assert company.call("GET", task).body["task_status"] == "PENDING"
        company.control("conflict", repository="web", id=1, conflicted=conflicted)
        assert company.machine.next_due_at() is not None
        company.later(3)
        assert company.events() == ([] if conflicted else ["repo:push", "pullrequest:fulfilled"])
        assert company.call("GET", task).status == status
        assert company.get("/pullrequests/1")["state"] == state


def test_trap_17_branch_names_are_encoded_and_do_not_nest() -> None:
    company = Company()
    odd = "feature/ü #1 %2F?".replace(" ", "").replace("?", "")
    made = company.call("POST", f"{WEB}/refs/branches", {"name": odd, "target": {"hash": "main"}})
    assert made.status == 201
    assert company.call("GET", f"{WEB}/refs/branches/feature%2F%C3%BC%231%252F").body["name"] == odd
    nested = company.call("POST", f"{WEB}/refs/branches", {"name": "feature", "target": {"hash": "main"}})
    assert nested.status == 400
    assert company.call("POST", f"{WEB}/refs/branches", {"name": f"{odd}/x", "target": {"hash": "main"}}).status == 400


def test_a_branch_is_made_from_a_whole_or_short_hash_or_a_branch_name_and_only_once() -> None:
    company = Company()
    head = company.get("/refs/branches/main")["target"]["hash"]
    for number, target in enumerate((head, head[:8], "main")):
        answer = company.call("POST", f"{WEB}/refs/branches", {"name": f"b{number}", "target": {"hash": target}})
        assert (answer.status, answer.body["target"]["hash"]) == (201, head)
    again = company.call("POST", f"{WEB}/refs/branches", {"name": "b0", "target": {"hash": "main"}})
    assert (again.status, again.body["error"]["data"]["key"]) == (400, "BRANCH_ALREADY_EXISTS")
    assert "already exists" in again.message
    assert company.call("POST", f"{WEB}/refs/branches", {"name": "c", "target": {"hash": "dead00"}}).status == 400
    assert company.call("DELETE", f"{WEB}/refs/branches/main").status == 400
    assert company.call("DELETE", f"{WEB}/refs/branches/b0").status == 204
    assert company.call("GET", f"{WEB}/refs/branches/b0").status == 404


def test_trap_19_after_a_force_push_the_builds_of_the_old_head_are_not_the_pull_requests() -> None:
    company = Company()
    head = company.work()["source_commit"]
    company.control("set_status", repository="web", commit=head, key="ci", state="SUCCESSFUL")
    assert len(company.get("/pullrequests/1/statuses")["values"]) == 1
    company.control("push", repository="web", branch="feature/rec1", base="main", force=True, user="bob")
    assert company.get("/pullrequests/1/statuses")["values"] == []
    assert len(company.get(f"/commit/{head}/statuses")["values"]) == 1


def test_trap_20_a_deleted_fork_leaves_no_source_repository_and_no_commits() -> None:
    company = Company()
    company.control("fork", repository="web", name="web-fork")
    company.control("push", repository="web-fork", branch="x", user="cy")
    company.control("create_pull_request", repository="web", fork="web-fork", source="x", user="cy")
    assert company.get("/pullrequests/1")["source"]["repository"]["full_name"] == "acme/web-fork"
    assert len(company.get("/pullrequests/1/commits")["values"]) == 1
    company.control("delete_repository", repository="web-fork")
    assert company.get("/pullrequests/1")["source"]["repository"] is None
    assert company.call("GET", f"{PRS}/1/commits").status == 404


def test_trap_21_a_hidden_repository_is_a_404_like_one_that_never_was() -> None:
    company = Company()
    company.control("hide_repository", repository="web")
    assert company.call("GET", WEB).message == "Repository acme/web not found"
    assert company.call("GET", "/2.0/repositories/acme").body["values"] == []
    company.control("show_repository", repository="web")
    assert company.get("")["slug"] == "web"


def test_trap_22_a_revoked_token_is_a_401_everywhere_and_what_it_wrote_stays() -> None:
    company = Company()
    company.work()
    company.call("POST", f"{PRS}/1/comments", {"content": {"raw": "mine"}})
    company.control("revoke_token", token=company.token)
    answer = company.call("GET", WEB)
    assert answer.status == 401
    assert answer.message == "Token is invalid, expired, or not supported for this endpoint."
    assert answer.headers["www-authenticate"] == 'Basic realm="Bitbucket.org HTTP"'
    company.control("restore_token", token=company.token)
    assert company.get("/pullrequests/1/comments")["values"][0]["user"]["type"] == "app_user"


def test_trap_23_the_rate_limit_answers_plain_text_without_a_time_and_frees_itself_by_the_hour() -> None:
    company = Company(hourly_limit=3)
    for _ in range(3):
        company.get("")
    answer = company.raw("GET", WEB)
    assert (answer.status, answer.headers["content-type"]) == (429, "text/plain")
    assert answer.body == b"Rate limit for this resource has been exceeded"
    assert len(answer.body) == 46
    assert "retry-after" not in answer.headers
    assert company.raw("GET", f"{WEB}/hooks").status == 200
    company.later(3600)
    assert company.raw("GET", WEB).status == 200


def test_a_ghost_client_uses_up_the_same_allowance() -> None:
    company = Company(hourly_limit=10)
    assert company.control("consume", token=company.token, calls=9) == 1
    assert [company.raw("GET", WEB).status for _ in range(2)] == [200, 429]
    company.control("hourly_limit", limit=20)
    assert company.raw("GET", WEB).status == 200


def test_trap_24_a_positive_list_without_next_ends_the_paging() -> None:
    company = Company()
    for number in range(12):
        company.control("push", repository="web", branch=f"b{number}")
    assert "next" in company.get("/refs/branches")
    assert set(company.get("/refs/branches", fields="values.name")) == {"values"}
    assert set(company.get("/refs/branches", fields="values.name,next,size")) == {"values", "next", "size"}


def test_trap_25_offset_paging_over_updated_on_skips_what_moves() -> None:
    company = Company()
    for number in range(4):
        company.work(branch=f"b{number}")
    first = company.get("/pullrequests", sort="-updated_on", pagelen="2")
    assert [one["id"] for one in first["values"]] == [4, 3]
    company.control("comment", repository="web", id=1, text="up")
    second = company.get("/pullrequests", sort="-updated_on", pagelen="2", page="2")
    assert [one["id"] for one in second["values"]] == [3, 2]


def test_trap_26_display_names_change_without_an_edit_of_the_pull_request() -> None:
    company = Company()
    company.work()
    before = company.get("/pullrequests/1")
    company.control("rename_user", user="bob", display_name="Robert", nickname="rob")
    after = company.get("/pullrequests/1")
    assert after["author"]["display_name"] == "Robert"
    assert {key for key in after if after[key] != before[key]} == {"author"}


def test_trap_27_descriptions_come_back_normalised() -> None:
    company = Company()
    company.work()
    assert put(company, title="t", description="a\nb  \n\n").body["description"] == "a\nb"
    company.control("edit_pull_request", repository="web", id=1, description="a\nb", in_page=True, user="bob")
    assert company.get("/pullrequests/1")["description"] == "a\r\nb\n\n\u200c"


def test_trap_28_a_former_user_keeps_the_uuid_and_cannot_be_a_reviewer() -> None:
    company = Company()
    company.work()
    company.control("close_user", user="cy")
    body = company.get("/pullrequests/1")
    assert reviewers(body) == ["Former user"]
    assert body["reviewers"][0]["uuid"] == company.uuid("cy")
    assert (
        put(company, title="t", reviewers=[{"uuid": company.uuid("cy")}]).message
        == "reviewers: Malformed reviewers list"
    )


def test_trap_30_a_long_key_fails_and_the_same_key_is_overwritten() -> None:
    company = Company()
    head = company.work()["source_commit"]
    build = {"state": "INPROGRESS", "url": "https://ci.example.com/1"}
    answer = company.call("POST", f"{WEB}/commit/{head}/statuses/build", {**build, "key": "k" * 58})
    assert answer.message == "key: Ensure this value has at most 40 characters (it has 58)."
    assert isinstance(answer.body["error"]["fields"]["key"], list)
    for state in ("INPROGRESS", "FAILED"):
        company.call("POST", f"{WEB}/commit/{head}/statuses/build", {**build, "key": "ci", "state": state})
    (one,) = company.get(f"/commit/{head}/statuses")["values"]
    assert (one["state"], one["refname"]) == ("FAILED", None)
    assert (
        company.call("POST", f"{WEB}/commit/{head}/statuses/build", {**build, "key": "x", "url": "ci"}).message
        == "url: Enter a valid URL."
    )


def test_trap_31_pipelines_link_to_an_internal_host() -> None:
    company = Company()
    company.control("run_pipeline", repository="web")
    assert "bitbucket-pipelines.prod" in company.get("/pipelines")["values"][0]["links"]["self"]["href"]


def test_trap_32_issue_events_cannot_be_subscribed_to() -> None:
    company = Company()
    answer = company.call("POST", f"{WEB}/hooks", {"url": "https://x.dev/h", "events": ["issue:created"]})
    assert answer.status == 400
    names = [
        one["event"]
        for one in company.call("GET", "/2.0/hook_events/repository", token="", pagelen="100").body["values"]
    ]
    assert "repo:push" in names
    assert not [name for name in names if name.startswith("issue:")]


def test_a_pull_request_on_a_branch_without_commits_is_a_400() -> None:
    company = Company()
    company.call("POST", f"{WEB}/refs/branches", {"name": "empty", "target": {"hash": "main"}})
    answer = company.call("POST", PRS, {"title": "x", "source": {"branch": {"name": "empty"}}})
    assert (answer.status, answer.message) == (400, "There are no changes to be pulled")


def test_a_missing_branch_and_a_missing_title_are_400s_that_name_the_field() -> None:
    company = Company()
    answer = company.call("POST", PRS, {"title": "x", "source": {"branch": {"name": "dummy"}}})
    assert answer.body["error"] == {
        "message": "source: branch not found: dummy",
        "fields": {"source": ["branch not found: dummy"]},
    }
    company.work()
    assert put(company, description="only").message == "title: This field is required."
    assert put(company, title="t" * 256).status == 400


@pytest.mark.parametrize("rule", list(choice.PullRequestPut), ids=lambda one: one.value)
def test_trap_6_what_a_put_does_with_what_it_omits_is_a_choice(rule: choice.PullRequestPut) -> None:
    company = Company(Choices(pull_request_put=rule))
    company.work(draft=True)
    body = put(company, title="Only this").body
    partial, replaced = rule is choice.PullRequestPut.PARTIAL, rule is choice.PullRequestPut.REPLACES_ALL
    assert reviewers(body) == (["cy"] if partial else [])
    assert body["description"] == ("" if replaced else "Because.")
    assert body["draft"] is not replaced
    assert reviewers(put(company, title="t", reviewers=[{"uuid": company.uuid("ada")}]).body) == ["ada"]


@pytest.mark.parametrize("rule", list(choice.SecondPost), ids=lambda one: one.value)
def test_trap_8_a_second_post_rewrites_the_first_pull_request(rule: choice.SecondPost) -> None:
    company = Company(Choices(second_post=rule))
    company.work()
    created = company.get("/pullrequests/1")["created_on"]
    body = {"title": "Mine", "source": {"branch": {"name": "feature/rec1"}}, "close_source_branch": True}
    answer = company.call("POST", PRS, body)
    assert (answer.status, answer.body["id"], answer.body["title"]) == (201, 1, "Mine")
    assert answer.body["close_source_branch"] is True
    assert answer.body["created_on"] == created
    kept = rule is choice.SecondPost.TITLE_AND_CLOSE_ONLY
    assert answer.body["description"] == ("Because." if kept else "")
    assert reviewers(answer.body) == (["cy"] if kept else [])
    assert company.get("/pullrequests")["size"] == 1


@pytest.mark.parametrize("rule", list(choice.ReviewerNaming), ids=lambda one: one.value)
def test_a_reviewer_is_named_by_uuid_and_perhaps_by_account_id(rule: choice.ReviewerNaming) -> None:
    company = Company(Choices(reviewer_naming=rule))
    company.work(reviewers=[])
    answer = put(company, title="t", reviewers=[{"account_id": company.people["cy"]["account_id"]}])
    assert answer.status == (400 if rule is choice.ReviewerNaming.UUID_ONLY else 200)
    assert put(company, title="t", reviewers=[{"uuid": company.uuid("cy")}]).status == 200


@pytest.mark.parametrize("rule", list(choice.PipelinesNext), ids=lambda one: one.value)
def test_pipelines_may_never_link_to_their_next_page(rule: choice.PipelinesNext) -> None:
    company = Company(Choices(pipelines_next=rule))
    for _ in range(3):
        company.control("run_pipeline", repository="web")
    first = company.get("/pipelines", pagelen="2")
    assert ("next" in first) is (rule is choice.PipelinesNext.AS_ELSEWHERE)
    assert len(company.get("/pipelines", pagelen="2", page="2")["values"]) == 1
    assert company.get("/pipelines", pagelen="2", page="3")["values"] == []


@pytest.mark.parametrize("rule", list(choice.DefaultReviewers), ids=lambda one: one.value)
def test_default_reviewers_are_added_to_pull_requests_made_by_api_or_not(rule: choice.DefaultReviewers) -> None:
    company = Company(Choices(default_reviewers=rule))
    company.control("default_reviewers", repository="web", users=["ada"])
    company.control("push", repository="web", branch="x", user="bob")
    body = company.call("POST", PRS, {"title": "x", "source": {"branch": {"name": "x"}}}).body
    assert reviewers(body) == (["ada"] if rule is choice.DefaultReviewers.ADDED else [])
    (one,) = company.get("/effective-default-reviewers")["values"]
    assert (one["user"]["nickname"], one["reviewer_type"]) == ("ada", "repository")


@pytest.mark.parametrize("rule", list(choice.SoonCommentUpdate), ids=lambda one: one.value)
def test_an_early_edit_of_a_comment_is_announced_or_not(rule: choice.SoonCommentUpdate) -> None:
    company = Company(Choices(soon_comment_update=rule))
    company.work()
    note = company.control("comment", repository="web", id=1, text="a", user="cy")["id"]
    company.drain()
    company.later(30)
    company.control("edit_comment", repository="web", id=1, comment=note, text="b", user="cy")
    assert company.events() == (["pullrequest:comment_updated"] if rule is choice.SoonCommentUpdate.SENT else [])
    company.later(601)
    company.control("edit_comment", repository="web", id=1, comment=note, text="c", user="cy")
    assert company.events() == ["pullrequest:comment_updated"]


@pytest.mark.parametrize("rule", list(choice.IssueTracker), ids=lambda one: one.value)
def test_the_issue_tracker_is_gone_one_way_or_the_other(rule: choice.IssueTracker) -> None:
    company = Company(Choices(issue_tracker=rule))
    status = 410 if rule is choice.IssueTracker.GONE_410 else 404
    for path in ("/issues", "/issues/1/comments", "/milestones"):
        assert company.call("GET", WEB + path).status == status


@pytest.mark.parametrize("rule", list(choice.CrossWorkspaceLists), ids=lambda one: one.value)
def test_cross_workspace_lists_are_gone_one_way_or_the_other(rule: choice.CrossWorkspaceLists) -> None:
    company = Company(Choices(cross_workspace_lists=rule))
    gone = rule is choice.CrossWorkspaceLists.GONE_410
    for path in ("/2.0/repositories", "/2.0/workspaces", "/2.0/user/permissions/repositories"):
        answer = company.call("GET", path)
        assert answer.status == (410 if gone else 404)
        assert answer.message.startswith("CHANGE-2770") is gone


@pytest.mark.parametrize("rule", list(choice.ListLag), ids=lambda one: one.value)
def test_a_list_may_lag_up_to_30_seconds_behind_a_create_but_a_read_does_not(rule: choice.ListLag) -> None:
    company = Company(Choices(list_lag=rule))
    company.control("push", repository="web", branch="x", user="bob")
    company.call("POST", PRS, {"title": "x", "source": {"branch": {"name": "x"}}})
    assert company.call("GET", f"{PRS}/1").status == 200
    assert company.get("/pullrequests")["size"] == (1 if rule is choice.ListLag.NONE else 0)
    company.later(30.1)
    assert company.get("/pullrequests")["size"] == 1
    assert company.get("/refs/branches", q='name = "x"')["size"] == 1


@pytest.mark.parametrize("rule", list(choice.OAuthTokenLife), ids=lambda one: str(one.value))
def test_an_oauth_token_lives_as_long_as_it_says_and_refreshes_once(rule: choice.OAuthTokenLife) -> None:
    company = Company(Choices(oauth_token_life=rule))
    consumer = company.control("add_consumer", user="ada")
    basic = base64.b64encode(f"{consumer['key']}:{consumer['secret']}".encode()).decode()

    def grant(form: bytes) -> tuple[int, Any]:
        answer = company.raw("POST", "/site/oauth2/access_token", form, headers={"authorization": f"Basic {basic}"})
        return answer.status, json.loads(answer.body)

    status, body = grant(b"grant_type=client_credentials")
    assert (status, body["expires_in"]) == (200, rule.value)
    assert company.call("GET", "/2.0/user", token=body["access_token"]).body["nickname"] == "ada"
    company.later(rule.value)
    assert company.call("GET", "/2.0/user", token=body["access_token"]).message.startswith("Access token expired.")
    form = f"grant_type=refresh_token&refresh_token={body['refresh_token']}".encode()
    assert grant(form)[0] == 200
    assert grant(form)[0] == 400


def test_every_bitbucket_choice_has_a_test_under_each_answer() -> None:
    """The points of section 15; plain text as the body of a 429 and the end of a list are no choices of this service."""
    ours = [one for one in fields(Choices) if "Bitbucket" in (getattr(one.type, "__doc__", "") or "")]
    text = Path(__file__).read_text(encoding="utf-8")
    assert ours
    for one in ours:
        assert f"list(choice.{getattr(one.type, '__name__', '')})" in text
