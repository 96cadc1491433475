"""The rest of the machine: credentials, refusals, merging, commits over the API, hooks, the true log, and the same bytes twice."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.sandbox.wire import Machine, Request
from tests import shared
from tests.sandbox.bitbucket_setup import START, WEB, Company
from tests.sandbox.test_bitbucket_deliveries import keys_of

PRS = f"{WEB}/pullrequests"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def test_the_machine_is_one_of_the_sandboxs() -> None:
    machine: Machine = Company().machine
    assert machine.next_due_at() is None


def story(seed: int) -> list[Any]:
    company = Company(seed=seed, old_forms=True)
    found: list[Any] = []
    for method, path, body in (
        ("POST", f"{WEB}/refs/branches", {"name": "x", "target": {"hash": "main"}}),
        ("POST", f"{WEB}/hooks", {"url": "https://x.dev/h", "events": ["repo:push"]}),
        ("GET", f"{WEB}/commits", None),
    ):
        company.later()
        found.append(company.raw(method, path, b"" if body is None else json.dumps(body).encode()))
    company.work()
    company.call("POST", f"{PRS}/1/merge", {})
    return [*found, company.drain(), company.machine.log]


def test_the_same_calls_give_the_same_bytes_and_another_seed_others() -> None:
    assert story(1) == story(1)
    assert story(1) != story(2)


def test_paths_work_with_and_without_the_prefix_and_link_to_themselves() -> None:
    company = Company()
    for path, base in ((WEB, "http://127.0.0.1:9002/2.0"), (WEB.removeprefix("/2.0"), "http://127.0.0.1:9002")):
        assert company.call("GET", path).body["links"]["self"]["href"] == f"{base}/repositories/acme/web"
    answer = company.raw("GET", WEB, headers={"host": "api.bitbucket.org"})
    assert json.loads(answer.body)["links"]["self"]["href"] == "https://api.bitbucket.org/2.0/repositories/acme/web"


def basic(user: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (basic("ada@acme.dev", "api-ada"), 200),
        (basic("ada", "api-ada"), 401),
        (basic("bob@acme.dev", "api-ada"), 401),
        (basic("ada@acme.dev", "s3cret-token"), 401),
        ({"authorization": "Bearer api-ada"}, 401),
        ({"authorization": "Bearer s3cret-token"}, 200),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic %%%"}, 401),
        ({"authorization": "Nonsense"}, 401),
        ({}, 401),
    ],
    ids=str,
)
def test_an_api_token_is_basic_with_the_e_mail_and_an_access_token_is_bearer(
    headers: dict[str, str], status: int
) -> None:
    company = Company()
    company.control("add_token", kind="api", user="ada", secret="api-ada")
    assert company.call("GET", WEB, token="", headers=headers).status == status


@pytest.mark.parametrize(
    ("scopes", "method", "path", "status"),
    [
        (["pullrequest"], "GET", PRS, 200),
        (["pullrequest"], "GET", WEB, 200),
        (["pullrequest:write"], "GET", f"{WEB}/refs/branches", 200),
        (["repository"], "GET", PRS, 403),
        (["repository:admin"], "GET", WEB, 403),
        (["pullrequest"], "POST", f"{PRS}/1/approve", 403),
        (["pullrequest"], "POST", f"{PRS}/1/comments", 201),
        (["repository"], "GET", f"{WEB}/hooks", 403),
        (["webhook"], "GET", f"{WEB}/hooks", 200),
        (["repository"], "GET", "/2.0/user", 403),
        (["account"], "GET", "/2.0/user", 200),
    ],
    ids=str,
)
def test_a_missing_scope_is_a_403_that_names_it(scopes: list[str], method: str, path: str, status: int) -> None:
    company = Company()
    company.work()
    token = company.control("add_token", name="narrow", scopes=scopes)["token"]
    answer = company.call(method, path, {"content": {"raw": "x"}} if method == "POST" else None, token=token)
    assert answer.status == status
    assert answer.headers["x-oauth-scopes"] == ", ".join(scopes)
    if status == 403:
        recorded = shared.load("fixtures/bitbucket/api--error-privileges--gildas-bitbucket-cli.json")
        assert answer.message == recorded["error"]["message"]
        assert answer.body["error"]["detail"]["granted"] == scopes
        assert set(answer.body["error"]["detail"]) == set(recorded["error"]["detail"])


def test_scopes_of_api_tokens_imply_nothing() -> None:
    company = Company()
    company.work()
    made = company.control("add_token", kind="api", user="ada", scopes=["write:pullrequest:bitbucket"], secret="w")
    headers = basic(made["email"], "w")
    assert company.call("GET", PRS, token="", headers=headers).status == 403
    answer = company.call("POST", f"{PRS}/1/approve", token="", headers=headers)
    assert answer.body["error"]["detail"]["required"] == ["write:pullrequest:bitbucket", "read:pullrequest:bitbucket"]


def test_a_repository_token_sees_its_repository_only_and_subscribing_needs_the_events_scope() -> None:
    company = Company()
    company.control("add_repository", name="Api")
    token = company.control("add_token", name="r", repository="web", scopes=["repository", "webhook"])["token"]
    assert company.call("GET", WEB, token=token).status == 200
    assert company.call("GET", "/2.0/repositories/acme/api", token=token).status == 404
    assert company.call("GET", "/2.0/repositories/acme", token=token).body["size"] == 1
    hook = {"url": "https://x.dev/h", "events": ["repo:push"]}
    assert company.call("POST", f"{WEB}/hooks", hook, token=token).status == 201
    assert company.call("POST", f"{WEB}/hooks", {**hook, "events": ["pullrequest:created"]}, token=token).status == 403


def test_hooks_need_an_administrator_and_strangers_see_nothing() -> None:
    company = Company()
    company.control("add_user", nickname="dee", role=None)
    for user, hooks, repository in (("ada", 200, 200), ("bob", 403, 200), ("dee", 404, 404)):
        company.control("add_token", kind="api", user=user, secret=f"api-{user}")
        headers = basic(f"{user}@acme.dev", f"api-{user}")
        assert company.call("GET", f"{WEB}/hooks", token="", headers=headers).status == hooks
        assert company.call("GET", WEB, token="", headers=headers).status == repository


def test_unknown_paths_and_methods_are_refused_as_recorded() -> None:
    company = Company()
    recorded = shared.load("fixtures/bitbucket/api--error-noapi--gildas-bitbucket-cli.json")
    assert company.call("GET", f"{WEB}/nonsense").body == recorded
    assert company.call("PATCH", WEB).status == 405
    assert company.call("POST", PRS, "not an object").status == 400


def test_a_hook_never_shows_its_secret_and_keeps_it_when_a_put_omits_it() -> None:
    company = Company(hook=False)
    made = company.call(
        "POST", f"{WEB}/hooks", {"url": "https://x.dev/h", "events": ["repo:push"], "secret": "s", "active": True}
    )
    one = f"{WEB}/hooks/{made.body['uuid']}"
    recorded = shared.load("fixtures/bitbucket/api--hook-created--jenkins-branch-source.json")
    assert keys_of(made.body) == keys_of(recorded)
    assert made.headers["location"].endswith("%7D")
    for body, secret_set in (
        ({"active": True}, True),
        ({"secret": "t", "secret_set": False}, True),
        ({"secret": ""}, False),
        ({"secret": None}, False),
    ):
        assert company.call("PUT", one, body).body["secret_set"] is secret_set
    assert company.call("PUT", one, {"secret": "s" * 129}).status == 400
    assert company.call("PUT", one, {"events": []}).status == 400
    assert company.call("DELETE", one).status == 204
    assert company.call("GET", one).status == 404


def test_a_repository_takes_50_hooks() -> None:
    company = Company(hook=False)
    body = {"url": "https://x.dev/h", "events": ["repo:push"]}
    assert {company.call("POST", f"{WEB}/hooks", body).status for _ in range(50)} == {201}
    assert company.call("POST", f"{WEB}/hooks", body).status == 400


@pytest.mark.parametrize(
    ("strategy", "parents", "commits"),
    [("merge_commit", 2, 4), ("squash", 1, 2), ("fast_forward", 1, 3), ("rebase_merge", 2, 4)],
    ids=str,
)
def test_a_merge_makes_the_history_of_its_strategy(strategy: str, parents: int, commits: int) -> None:
    company = Company()
    company.work()
    company.control(
        "merge_strategies",
        repository="web",
        branch="main",
        strategies=["merge_commit", "squash", "fast_forward", "rebase_merge"],
    )
    body = company.call("POST", f"{PRS}/1/merge", {"merge_strategy": strategy, "message": "Done"}).body
    head = company.get("/commit/main")
    assert head["hash"].startswith(body["merge_commit"]["hash"])
    assert len(head["parents"]) == parents
    assert len(company.get("/commits/main")["values"]) == commits
    assert body["closed_by"]["display_name"] == "sync-bot"


def test_a_merge_is_refused_by_strategy_conflict_and_lost_fast_forward() -> None:
    company = Company()
    company.work()
    assert company.call("POST", f"{PRS}/1/merge", {"merge_strategy": "rebase_merge"}).status == 400
    company.control("conflict", repository="web", id=1)
    assert company.call("POST", f"{PRS}/1/merge", {}).status == 400
    company.control("conflict", repository="web", id=1, conflicted=False)
    company.control("push", repository="web", branch="main")
    assert company.call("POST", f"{PRS}/1/merge", {"merge_strategy": "fast_forward"}).status == 400
    assert company.call("POST", f"{PRS}/1/merge", {}).status == 200
    assert len(company.get("/pullrequests/1/commits")["values"]) == 2


def test_commits_are_the_difference_of_include_and_exclude_by_get_and_by_post() -> None:
    company = Company()
    hashes = company.control("push", repository="web", branch="x", commits=3)["hashes"]
    company.control("push", repository="web", branch="main", commits=2)
    by_get = [one["hash"] for one in company.get("/commits", include="x", exclude="main")["values"]]
    assert by_get == hashes[::-1]
    by_post = company.raw("POST", f"{WEB}/commits", f"include={hashes[1]}&exclude={hashes[0]}".encode(), headers=FORM)
    assert [one["hash"] for one in json.loads(by_post.body)["values"]] == [hashes[1]]
    assert company.call("GET", f"{WEB}/commits", include="nope").status == 404
    assert company.get(f"/commit/{hashes[0][:7]}")["hash"] == hashes[0]
    assert company.call("GET", f"{WEB}/commit/abc").status == 404


def test_posted_files_make_a_commit_on_a_branch_and_a_stale_parent_is_refused() -> None:
    company = Company()
    base = company.get("/refs/branches/main")["target"]["hash"]
    answer = company.raw(
        "POST", f"{WEB}/src", b"branch=feature/x&message=One&author=Bob <bob@acme.dev>&a.txt=1", headers=FORM
    )
    assert answer.status == 201
    assert company.events() == ["repo:push"]
    target = company.get("/refs/branches/feature%2Fx")["target"]
    assert answer.headers["location"].endswith(target["hash"])
    assert target["author"]["user"]["nickname"] == "bob"
    assert target["parents"][0]["hash"] == base
    stale = company.raw("POST", f"{WEB}/src", f"branch=feature/x&parents={base}&message=Two".encode(), headers=FORM)
    assert stale.status == 409
    unknown = company.raw("POST", f"{WEB}/src", b"parents=1a7eba6c-d4fe-47b7-b767-859abc660efc", headers=FORM)
    assert json.loads(unknown.body) == shared.load("fixtures/bitbucket/api--content-update-fail--go-scm.json")
    multipart = b'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\nThree\r\n--b\r\nContent-Disposition: form-data; name="branch"\r\n\r\nfeature/x\r\n--b\r\nContent-Disposition: form-data; name="a.txt"; filename="a.txt"\r\n\r\n2\r\n--b--\r\n'
    assert (
        company.raw("POST", f"{WEB}/src", multipart, headers={"content-type": "multipart/form-data; boundary=b"}).status
        == 201
    )
    assert company.get("/refs/branches/feature%2Fx")["target"]["message"] == "Three"


def test_comments_thread_resolve_and_leave_stubs() -> None:
    company = Company()
    company.work()
    home = f"{PRS}/1/comments"
    plain = company.call("POST", home, {"content": {"raw": "a"}}).body["id"]
    inline = company.call("POST", home, {"content": {"raw": "b"}, "inline": {"path": "x.py", "to": 3}}).body["id"]
    reply = company.call("POST", home, {"content": {"raw": "c"}, "parent": {"id": inline}}).body
    assert reply["parent"]["id"] == inline
    assert company.call("POST", f"{home}/{plain}/resolve").status == 403
    assert company.call("POST", f"{home}/{reply['id']}/resolve").status == 403
    assert company.call("POST", f"{home}/{inline}/resolve").status == 200
    assert company.call("POST", f"{home}/{inline}/resolve").status == 409
    assert company.call("DELETE", f"{home}/{inline}/resolve").status == 204
    assert company.call("POST", home, {"content": {"raw": " "}}).status == 400
    assert company.call("POST", home, {"content": {"raw": "x"}, "parent": {"id": 5}}).status == 400
    company.control("comment", repository="web", id=1, text="cy's", user="cy")
    theirs = company.get("/pullrequests/1/comments")["values"][-1]["id"]
    assert company.call("DELETE", f"{home}/{theirs}").status == 403
    assert company.call("DELETE", f"{home}/{plain}").status == 204
    stub = company.get("/pullrequests/1/comments")["values"][0]
    assert (stub["deleted"], stub["content"]["raw"]) == (True, "")
    assert company.get("/pullrequests/1")["comment_count"] == 3


def test_task_count_counts_open_ones_and_a_blank_task_is_a_400() -> None:
    company = Company()
    company.work()
    home = f"{PRS}/1/tasks"
    task = company.call("POST", home, {"content": {"raw": "a"}}).body
    assert "resolved_on" not in task
    company.call("POST", home, {"content": {"raw": "b"}})
    done = company.call("PUT", f"{home}/{task['id']}", {"state": "RESOLVED"}).body
    assert (done["state"], done["resolved_by"]["display_name"]) == ("RESOLVED", "sync-bot")
    assert company.get("/pullrequests/1")["task_count"] == 1
    assert company.call("POST", home, {"content": {"raw": ""}}).status == 400
    assert company.call("PUT", f"{home}/{task['id']}", {"state": "DONE"}).status == 400


def test_a_verdict_makes_a_participant_who_vanishes_when_it_is_withdrawn() -> None:
    company = Company()
    company.work()
    part = company.call("POST", f"{PRS}/1/approve", {"approved": True}).body
    assert (part["role"], part["approved"], part["state"]) == ("PARTICIPANT", True, "approved")
    assert company.call("POST", f"{PRS}/1/request-changes").body["state"] == "changes_requested"
    assert company.call("DELETE", f"{PRS}/1/approve").status == 404
    assert company.call("DELETE", f"{PRS}/1/request-changes").status == 204
    assert [one["role"] for one in company.get("/pullrequests/1")["participants"]] == ["REVIEWER"]


def test_the_activity_log_is_the_history_of_the_title() -> None:
    company = Company()
    company.work()
    for number, user in enumerate(("bob", "ada")):
        company.later(10)
        company.control("edit_pull_request", repository="web", id=1, title=f"T{number}", user=user)
    updates = [one["update"] for one in company.get("/pullrequests/1/activity")["values"]]
    assert [(one["title"], one["author"]["nickname"]) for one in updates] == [
        ("T1", "ada"),
        ("T0", "bob"),
        ("Add the thing", "bob"),
    ]
    recorded = keys_of(shared.load("fixtures/bitbucket/api--activity-update--gildas-bitbucket-cli.json"))
    assert set(updates[0]) == recorded["/update"]
    company.control("decline", repository="web", id=1, reason="No")
    newest = company.get("/pullrequests/activity")["values"][0]["update"]
    assert (newest["state"], newest["reason"]) == ("DECLINED", "No")


def test_members_are_found_by_e_mail_by_a_workspace_token_only() -> None:
    company = Company()
    asked: dict[str, Any] = {"q": 'user.email IN ("ada@acme.dev", "bob@acme.dev")', "fields": "+values.user.email"}
    found = company.call("GET", "/2.0/workspaces/acme/members", **asked).body["values"]
    assert [one["user"]["email"] for one in found] == ["ada@acme.dev", "bob@acme.dev"]
    plain = company.call("GET", "/2.0/workspaces/acme/members").body["values"]
    assert len(plain) == 3
    assert "email" not in plain[0]["user"]
    token = company.control("add_token", name="r", repository="web")["token"]
    assert company.call("GET", "/2.0/workspaces/acme/members", token=token, **asked).status == 403


@pytest.mark.parametrize(
    ("path", "fixture", "place"),
    [
        ("/pullrequests", "api--pullrequests-list-pagelen-50--jenkins-branch-source", "/values/*<pullrequest>"),
        ("/refs/branches", "api--branches-list-pagelen-100--jenkins-branch-source", "/values/*<branch>"),
        ("/commits", "api--commits-include-exclude--jenkins-branch-source", "/values/*<commit>"),
        ("", "api--repository--jenkins-branch-source", "<repository>"),
        ("/commit/main", "api--commit--jenkins-branch-source", "<commit>"),
        ("/refs/tags", "api--tags-list-pagelen-100--jenkins-branch-source", "/values/*<tag>"),
        ("/commit/feature%2Frec1/statuses/build/ci", "api--commit-statuses-build--jenkins-branch-source", "<build>"),
        ("/pullrequests/1/comments", "api--comments--danger-js", "/values/*<pullrequest_comment>"),
    ],
    ids=str,
)
def test_an_answer_has_the_keys_of_its_newest_recording(path: str, fixture: str, place: str) -> None:
    company = Company()
    company.work()
    company.control("tag", repository="web", name="v1", message="one")
    company.control("set_status", repository="web", commit="feature/rec1", key="ci", state="FAILED")
    company.control("comment", repository="web", id=1, text="hi", user="cy")
    if "statuses" in path:
        path = path.replace("feature%2Frec1", company.get("/refs/branches/feature%2Frec1")["target"]["hash"])
    ours, recorded = keys_of(company.get(path)), keys_of(shared.load(f"fixtures/bitbucket/{fixture}.json"))
    if place not in recorded:
        place_recorded = place.replace("/values", "", 1)
        assert ours[place] - {"inline"} <= recorded[place_recorded] | {"pullrequest"}
        return
    for where, keys in ours.items():
        if where.startswith(place) and where in recorded and "<team>" not in where:
            assert keys == recorded[where] or where.endswith("<author>"), where


def test_the_log_tells_what_truly_changed_whatever_was_answered() -> None:
    company = Company()
    company.work()
    company.control("next_merge", outcome="555_done")
    start = len(company.machine.log)
    company.call("GET", f"{PRS}/1")
    company.call("PUT", f"{PRS}/1", {"title": "New", "reviewers": []})
    company.call("POST", f"{PRS}/1/merge", {})
    company.call("POST", f"{PRS}/1/merge", {})
    read, changed, merged, refused = company.machine.log[start:]
    assert (read.method, read.actor, read.status, read.changes) == ("GET", "sync-bot", 200, ())
    found = {(one.kind, one.object, one.attribute): (one.before, one.after) for one in changed.changes}
    assert found == {
        ("pull_request", "acme/web#1", "title"): ("Add the thing", "New"),
        ("pull_request", "acme/web#1", "reviewers"): ((company.uuid("cy"),), ()),
    }
    assert merged.status == 555
    assert {("branch", "acme/web:main"), ("pull_request", "acme/web#1")} == {
        (one.kind, one.object) for one in merged.changes
    }
    assert (refused.status, refused.changes) == (400, ())
    assert [one.sequence for one in company.machine.log] == list(range(1, len(company.machine.log) + 1))
    company.control("approve", repository="web", id=company.work(branch="b")["id"], user="cy")
    assert (company.machine.log[-1].method, company.machine.log[-1].path, company.machine.log[-1].actor) == (
        "CONTROL",
        "approve",
        "cy",
    )


def test_control_refuses_what_it_does_not_know() -> None:
    company = Company()
    for verb, arguments, text in (
        ("dance", {}, "there is no verb 'dance'"),
        ("push", {"repository": "web", "branch": "x", "colour": 1}, "unknown arguments"),
        ("push", {"branch": "x"}, "'repository' is missing"),
        ("push", {"repository": "none"}, "there is no repository"),
        ("approve", {"repository": "web", "id": 1, "user": "zoe"}, "there is no user"),
        ("merge", {"repository": "web", "id": 9}, "there is no pull request 9"),
        ("create_pull_request", {"repository": "web", "source": "none"}, "branch not found"),
    ):
        with pytest.raises(ValueError, match=text):
            company.machine.control(verb, arguments, START)


def test_control_reads_the_true_state_as_json() -> None:
    company = Company()
    company.work()
    state = company.control("pull_request", repository="web", id=1)
    assert (state["ahead"], state["state"], state["reviewers"]) == (2, "OPEN", (company.uuid("cy"),))
    assert company.control("branches", repository="web")["feature/rec1"]["ahead"] == 2
    assert len(state["source_commit"]) == 40
    for verb in ("pull_requests", "branches", "repository", "hooks"):
        json.dumps(company.control(verb, repository="web"))
    log = company.control("log", since=2)
    json.dumps(log)
    assert [one["sequence"] for one in log] == list(range(3, len(company.machine.log) + 1))
    assert log[-1]["path"] == "create_pull_request"
    company.control("queue", repository="web", id=1)
    assert company.get("/pullrequests")["values"][0]["state"] == "QUEUED"
    company.control("unqueue", repository="web", id=1)
    company.control("supersede", repository="web", id=1)
    assert company.get("/pullrequests/1")["state"] == "SUPERSEDED"
    company.control("rename_branch", repository="web", branch="feature/rec1", name="feature/other")
    assert set(company.control("branches", repository="web")) == {"main", "feature/other"}


BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "title",
                    "source",
                    "branch",
                    "name",
                    "target",
                    "hash",
                    "reviewers",
                    "uuid",
                    "content",
                    "raw",
                    "parent",
                    "id",
                    "inline",
                    "path",
                    "key",
                    "state",
                    "url",
                    "events",
                    "secret",
                    "draft",
                    "destination",
                    "repository",
                    "full_name",
                    "message",
                    "merge_strategy",
                    "comment",
                    "type",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
PATHS = (
    "/pullrequests",
    "/pullrequests/1",
    "/pullrequests/1/comments",
    "/pullrequests/1/tasks",
    "/pullrequests/1/merge",
    "/refs/branches",
    "/refs/tags",
    "/hooks",
    "/commit/main/statuses/build",
    "/src",
    "/commits",
    "",
)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=st.sampled_from(PATHS),
    body=BODIES | st.binary(max_size=8),
    asked=st.text(max_size=6),
)
@settings(max_examples=300, deadline=None)
def test_no_request_makes_the_machine_raise(method: str, path: str, body: Any, asked: str) -> None:
    company = Company()
    company.work()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(
        method=method,
        path=WEB + path,
        query=(("q", asked), ("fields", asked), ("sort", asked), ("ctx", asked), ("page", asked or "1")),
        headers={
            "authorization": f"Bearer {company.token}",
            "content-type": "multipart/form-data; boundary=b" if asked else "",
        },
        body=raw,
    )
    assert company.machine.handle(request, company.now).status < 500
