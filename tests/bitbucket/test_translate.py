"""Every recorded answer of the service, and what may not be guessed (reference/bitbucket.md 1, 6, 7, 10, 13)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.bitbucket import shape, translate
from syncd.model.ids import RepositoryId
from syncd.model.work import PullRequest
from tests import shared
from tests.bitbucket import recorded

HOME = RepositoryId("{44444444-4444-4444-8444-444444444444}")
ADA = "{11111111-1111-4111-8111-111111111111}"
BEN = "{22222222-2222-4222-8222-222222222222}"
FULL = "bdf6fac0519ffd1562461eb82e018ff62efffbc9"


def named(*patterns: str) -> list[str]:
    return [name for pattern in patterns for name in shared.names(recorded.FOLDER, pattern)]


def home_of(raw: dict[str, Any]) -> RepositoryId:
    told = ((raw.get("destination") or {}).get("repository") or {}).get("uuid")
    return RepositoryId(told) if told else HOME


# -------------------------------------------------------------------------------------------------- recorded answers


@pytest.mark.parametrize("name", named("api--branch*.json"))
def test_every_recorded_branch_is_read(name: str) -> None:
    for raw in recorded.values(name):
        branch = translate.branch(raw, HOME)
        assert (branch.repository, branch.name, branch.ahead) == (HOME, raw["name"], None)
        assert branch.target_commit == raw["target"]["hash"]
        assert "@" not in branch.author


@pytest.mark.parametrize(
    "name",
    named("api--commit--*.json", "api--commits-*.json", "api--pr-commits*.json", "api--pullrequest-commits*.json"),
)
def test_every_recorded_commit_is_read_without_its_author_line(name: str) -> None:
    for raw in recorded.values(name):
        commit = translate.commit(raw, HOME)
        assert (commit.hash, commit.message) == (raw["hash"], raw["message"])
        assert commit.author == ((raw.get("author") or {}).get("user") or {}).get("uuid", "")
        assert commit.date.tzinfo is UTC


@pytest.mark.parametrize("name", named("api--status*.json", "api--commit-statuses*.json"))
def test_every_recorded_build_status_is_read(name: str) -> None:
    for raw in recorded.values(name):
        build = translate.build(raw, HOME)
        assert (build.key, build.state, len(build.commit)) == (raw["key"], raw["state"], 40)


@pytest.mark.parametrize("name", named("api--hook*.json"))
def test_every_recorded_webhook_is_read(name: str) -> None:
    for raw in recorded.values(name):
        hook = translate.hook(raw)
        assert (hook.hook, hook.url, hook.healthy) == (raw["uuid"], raw["url"], raw["active"])
        assert set(hook.events) == set(raw["events"])


@pytest.mark.parametrize("name", named("api--repo*.json"))
def test_every_recorded_repository_is_read(name: str) -> None:
    for raw in recorded.values(name):
        repository = translate.repository(raw)
        assert f"{repository.workspace}/{repository.slug}" == raw["full_name"]
        assert repository.main_branch == ((raw.get("mainbranch") or {}).get("name") or "")


PULL_REQUESTS = named("api--pr--*.json", "api--prs--*.json", "api--pullrequest-[12n]*.json", "api--pullrequest*s*.json")
PULL_REQUESTS = [name for name in PULL_REQUESTS if "commits" not in name]


@pytest.mark.parametrize("name", PULL_REQUESTS)
def test_every_recorded_pull_request_is_read_once_its_people_were_asked_for(name: str) -> None:
    for raw in recorded.values(name):
        pr = translate.pull_request({"reviewers": [], "participants": [], **raw}, home_of(raw))
        assert (pr.key.number, pr.state, pr.title) == (raw["id"], raw["state"], raw["title"])
        assert len(pr.source_commit) in {0, 12}
        assert pr.draft is raw.get("draft", False)
        assert pr.merged_on is None


@pytest.mark.parametrize("name", named("api--pullrequests-list-pagelen-50--*.json", "api--prs--*.json"))
def test_a_list_item_without_its_people_is_no_pull_request_without_people(name: str) -> None:
    for raw in recorded.values(name):
        with pytest.raises(shape.Malformed, match="participants"):
            translate.pull_request(raw, home_of(raw))
        with pytest.raises(shape.Malformed, match="reviewers"):
            translate.pull_request({**raw, "participants": []}, home_of(raw))


def test_every_recorded_webhook_body_holds_a_pull_request_of_the_same_form() -> None:
    for name in recorded.DELIVERIES:
        if name.startswith("pullrequest-") and "minimal" not in name and "docs-example" not in name:
            raw = recorded.answer(name)["pullrequest"]
            assert translate.pull_request(raw, home_of(raw)).key.number == raw["id"]


def test_a_deployment_that_only_says_completed_is_not_read() -> None:
    found = []
    for raw in recorded.values("api--deployments--devlake.json"):
        if raw["state"]["name"] == "COMPLETED":
            with pytest.raises(shape.Malformed, match=r"state\.status"):
                translate.deployment(raw, HOME)
            raw["state"]["status"] = {"name": "SUCCESSFUL"}
        found.append(translate.deployment(raw, HOME))
    assert {one.state for one in found} == {"SUCCESSFUL", "UNDEPLOYED"}
    assert {one.environment_type for one in found} == {"Test", "Staging", "Production"}


def test_the_activity_log_tells_a_merge_and_nothing_else() -> None:
    for name in named("api--activit*.json"):
        assert [translate.merged_at(raw) for raw in recorded.values(name)] == [None] * len(recorded.values(name))
    declined = next(raw for raw in recorded.values("api--activity-declined--faros-airbyte.json") if "update" in raw)
    merged = {"update": {**declined["update"], "state": "MERGED", "date": "2026-01-02T03:04:05.5+00:00"}}
    assert translate.merged_at(merged) == datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("api--error--go-scm.json", "", "Repository dev/null not found"),
        ("api--error-badrequest--gildas-bitbucket-cli.json", "field:links.avatar", "Bad request"),
        (
            "api--error-badrequest-nobranch--gildas-bitbucket-cli.json",
            "field:source",
            "source: branch not found: dummy",
        ),
        (
            "api--error-noapi--gildas-bitbucket-cli.json",
            "",
            "Resource not found (There is no API hosted at this URL)",
        ),
        (
            "api--error-privileges--gildas-bitbucket-cli.json",
            "",
            "Your credentials lack one or more required privilege scopes. (required: project)",
        ),
    ],
)
def test_every_recorded_refusal_is_explained(name: str, code: str, text: str) -> None:
    assert translate.explain(400, recorded.answer(name)) == (code, text)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"message": "Forbidden"}, ("", "Forbidden")),
        ({"error": {"message": "x", "data": {"key": "BRANCH_ALREADY_EXISTS"}}}, ("BRANCH_ALREADY_EXISTS", "x")),
        ({"error": {"message": "x", "fields": {"reviewers": "bad", "": ["all"]}}}, ("field:reviewers", "x")),
        ({"error": "x"}, ("", "")),
        (None, ("", "")),
        ([1], ("", "")),
        ({"error": {"message": 3, "detail": {"required": "x"}, "data": {"key": "a b"}, "fields": []}}, ("", "")),
    ],
)
def test_a_refusal_of_any_form_is_explained(raw: Any, expected: tuple[str, str]) -> None:
    assert translate.explain(403, raw) == expected


# ------------------------------------------------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2026-04-07T09:12:30.828883+00:00", datetime(2026, 4, 7, 9, 12, 30, 828883, tzinfo=UTC)),
        ("2015-08-27T03:25:04+00:00", datetime(2015, 8, 27, 3, 25, 4, tzinfo=UTC)),
        ("2015-08-27T03:25:04+05:30", datetime(2015, 8, 26, 21, 55, 4, tzinfo=UTC)),
        ("2023-02-20T09:38:47.20339Z", datetime(2023, 2, 20, 9, 38, 47, 203390, tzinfo=UTC)),
        ("2023-02-20T09:38:47Z", datetime(2023, 2, 20, 9, 38, 47, tzinfo=UTC)),
        ("2025-08-23T15:07:25.469063524Z", datetime(2025, 8, 23, 15, 7, 25, 469063, tzinfo=UTC)),
    ],
    ids=["update", "commit", "commit elsewhere", "pipeline", "pipeline, whole second", "webhook subscription"],
)
def test_every_date_format_of_the_service_is_one_instant(raw: str, expected: datetime) -> None:
    assert shape.instant(raw, "date") == expected


@pytest.mark.parametrize(
    "raw",
    [
        None,
        3,
        "",
        "2026-04-07",
        "2026-04-07T09:12:30",
        "2026-13-07T09:12:30Z",
        "2026-04-07T09:12:30Z\n",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-04-07T09:12:30.1234567890Z",
    ],
)
def test_what_is_no_date_is_malformed(raw: Any) -> None:
    assert shape.instant_or_none(raw) is None
    with pytest.raises(shape.Malformed, match="updated_on"):
        shape.instant(raw, "updated_on")


# ----------------------------------------------------------------------------------------------------- pull requests


def raw_pull_request(**changed: Any) -> dict[str, Any]:
    raw: dict[str, Any] = recorded.answer("pullrequest-created--constructed-draft.json")["pullrequest"]
    return {**raw, **changed}


def pull_request(**changed: Any) -> PullRequest:
    return translate.pull_request(raw_pull_request(**changed), HOME)


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in raw_pull_request().items() if key not in keys}


@pytest.mark.parametrize(
    ("state", "draft", "expected"),
    [
        ("OPEN", False, ("OPEN", False, False)),
        ("OPEN", True, ("OPEN", True, False)),
        ("DRAFT", False, ("OPEN", True, False)),
        ("QUEUED", False, ("OPEN", False, True)),
        ("MERGED", False, ("MERGED", False, False)),
        ("DECLINED", False, ("DECLINED", False, False)),
        ("SUPERSEDED", False, ("SUPERSEDED", False, False)),
    ],
)
def test_a_known_state_is_one_of_four(state: str, draft: bool, expected: tuple[str, bool, bool]) -> None:
    pr = pull_request(state=state, draft=draft)
    assert (pr.state, pr.draft, pr.queued) == expected


@pytest.mark.parametrize("state", ["PARKED", "open", ""])
def test_an_unknown_state_is_never_guessed(state: str) -> None:
    with pytest.raises(shape.UnknownState):
        pull_request(state=state)


def person(uuid: str | None) -> dict[str, Any]:
    return {"type": "user", "display_name": "Somebody", **({} if uuid is None else {"uuid": uuid})}


def test_verdicts_come_from_the_participants() -> None:
    def taking_part(uuid: str | None, **verdict: Any) -> dict[str, Any]:
        return {"type": "participant", "user": person(uuid), "role": "PARTICIPANT", **verdict}

    pr = pull_request(
        participants=[
            taking_part(BEN, approved=True, state="approved"),
            taking_part(ADA, approved=True),
            taking_part("{33333333-3333-4333-8333-333333333333}", approved=False, state="changes_requested"),
            taking_part("{55555555-5555-4555-8555-555555555555}", approved=False, state=None),
            taking_part(None, approved=True, state="approved"),
        ],
        reviewers=[person(BEN), person(ADA), person(BEN)],
    )
    assert pr.approved_by == (ADA, BEN)
    assert pr.changes_requested_by == ("{33333333-3333-4333-8333-333333333333}",)
    assert pr.reviewers == (BEN, ADA)


def test_what_may_be_null_or_absent_is_empty() -> None:
    raw = without("draft", "queued", "closed_by", "reason", "close_source_branch", "task_count", "links")
    raw |= {"description": None, "author": person(None), "merge_commit": None}
    raw["source"] = {"branch": {"name": "x"}, "commit": None, "repository": None}
    raw["destination"] = {"branch": None, "commit": None, "repository": None}
    pr = translate.pull_request(raw, HOME)
    assert (pr.draft, pr.queued, pr.close_source_branch) == (False, False, False)
    assert (pr.description, pr.reason, pr.url, pr.author, pr.closed_by) == ("", "", "", "", None)
    assert (pr.source_repository, pr.source_commit, pr.merge_commit) == (None, "", "")
    assert (pr.destination_branch, pr.open_tasks, pr.key.repository) == ("", 0, HOME)


@pytest.mark.parametrize(
    "key",
    [
        "id",
        "title",
        "description",
        "state",
        "reviewers",
        "participants",
        "source",
        "destination",
        "created_on",
        "updated_on",
    ],
)
def test_what_is_always_there_may_not_be_missing(key: str) -> None:
    with pytest.raises(shape.Malformed):
        translate.pull_request(without(key), HOME)


@pytest.mark.parametrize(
    "changed",
    [
        {"title": None},
        {"title": "lone \ud800"},
        {"id": True},
        {"id": 0},
        {"draft": "false"},
        {"comment_count": "3"},
        {"task_count": None},
        {"reviewers": None},
        {"reviewers": ["x"]},
        {"participants": [{"user": "ada", "approved": True}]},
        {"merge_commit": {"hash": "not a hash"}},
        {"updated_on": "yesterday"},
    ],
    ids=str,
)
def test_a_value_of_another_type_is_malformed(changed: dict[str, Any]) -> None:
    with pytest.raises(shape.Malformed):
        pull_request(**changed)


def test_a_pull_request_of_another_repository_is_refused() -> None:
    with pytest.raises(shape.Malformed, match="repository"):
        translate.pull_request(raw_pull_request(), RepositoryId("{00000000-0000-4000-8000-000000000009}"))


# ------------------------------------------------------------------------------------------------------ other answers


def test_a_build_of_an_unknown_state_is_never_guessed() -> None:
    raw = recorded.values("api--status--go-scm.json")[0]
    with pytest.raises(shape.UnknownState):
        translate.build({**raw, "state": "CANCELLED"}, HOME)


def test_a_build_without_commit_is_read_by_its_link() -> None:
    raw = recorded.values("api--commit-statuses-build--jenkins-branch-source.json")[0]
    raw = {key: value for key, value in raw.items() if key != "commit"}
    assert translate.build(raw, HOME).commit == "046d9a3c1532acf4cf08fe93235c00e4d673c1d2"
    with pytest.raises(shape.Malformed):
        translate.build({**raw, "links": {}}, HOME)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"name": "UNDEPLOYED"}, "UNDEPLOYED"),
        ({"name": "IN_PROGRESS"}, "IN_PROGRESS"),
        ({"name": "COMPLETED", "status": {"name": "SUCCESSFUL"}}, "SUCCESSFUL"),
        ({"name": "COMPLETED", "status": {"name": "FAILED"}}, "FAILED"),
        ({"name": "COMPLETED", "status": {"name": "STOPPED"}}, "STOPPED"),
    ],
)
def test_a_deployment_is_as_far_as_state_and_result_say(state: dict[str, Any], expected: str) -> None:
    raw = recorded.values("api--deployments--devlake.json")[0]
    assert translate.deployment({**raw, "state": state}, HOME).state == expected


@pytest.mark.parametrize("state", [{"name": "HALTED"}, {"name": "COMPLETED", "status": {"name": "EXPIRED"}}])
def test_a_deployment_of_an_unknown_state_is_never_guessed(state: dict[str, Any]) -> None:
    raw = recorded.values("api--deployments--devlake.json")[0]
    with pytest.raises(shape.UnknownState):
        translate.deployment({**raw, "state": state}, HOME)


def test_an_environment_without_its_names_means_that_the_question_was_not_understood() -> None:
    raw = recorded.values("api--deployments--devlake.json")[0]
    with pytest.raises(shape.Malformed):
        translate.deployment({**raw, "environment": {"uuid": ADA}}, HOME)


def test_an_empty_repository_has_no_main_branch() -> None:
    raw = recorded.values("api--repo--go-scm.json")[0]
    assert translate.repository({**raw, "mainbranch": None}).main_branch == ""


@pytest.mark.parametrize("raw", ["202cf34e-7ccf-44b7-ba6b-8827a14d5324", "{202CF34E-7ccf-44b7-ba6b-8827a14d5324}"])
def test_the_id_of_a_webhook_is_the_same_with_and_without_braces(raw: str) -> None:
    assert translate.hook_id(raw) == "{202cf34e-7ccf-44b7-ba6b-8827a14d5324}"


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"type": "error", "error": {}},
        {"values": None},
        {"values": {}},
        {"values": ["x"]},
        {"values": [], "next": 3},
    ],
)
def test_an_answer_without_a_list_of_objects_is_no_empty_list(raw: Any) -> None:
    with pytest.raises(shape.Malformed):
        translate.page(raw)


def test_an_empty_page_with_a_link_is_not_the_end() -> None:
    assert translate.page({"values": [], "next": "https://x"}) == ([], "https://x")


Reader = Callable[[Any], object]
READERS: dict[str, Reader] = {
    "page": translate.page,
    "repository": translate.repository,
    "pull request": lambda raw: translate.pull_request(raw, HOME),
    "branch": lambda raw: translate.branch(raw, HOME),
    "commit": lambda raw: translate.commit(raw, HOME),
    "build": lambda raw: translate.build(raw, HOME),
    "deployment": lambda raw: translate.deployment(raw, HOME),
    "activity": translate.merged_at,
    "hook": translate.hook,
    "event": translate.event_name,
    "account": translate.own_account,
}
LEAVES = st.sampled_from([None, True, 0, 1, "", "x", ADA, FULL, "2026-01-01T00:00:00Z", "OPEN", "COMPLETED", "MERGED"])
KEYS = [
    "uuid",
    "name",
    "full_name",
    "mainbranch",
    "id",
    "title",
    "description",
    "state",
    "source",
    "destination",
    "hash",
]
KEYS += [
    "branch",
    "commit",
    "repository",
    "target",
    "date",
    "reviewers",
    "participants",
    "user",
    "values",
    "next",
    "key",
]
KEYS += ["environment", "release", "status", "update", "events", "url", "active", "links", "html", "href", "updated_on"]
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=30,
)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_any_json_is_read_or_malformed(reader: Reader) -> None:
    @settings(max_examples=60, deadline=None)
    @given(raw=ANYTHING)
    def holds(raw: Any) -> None:
        said = ""
        try:
            reader(raw)
        except shape.Malformed as problem:
            said = str(problem)
        # No value is quoted: it could be a person's.
        assert ADA not in said

    holds()


PULL_REQUEST_KEYS = [
    "id",
    "title",
    "description",
    "state",
    "draft",
    "queued",
    "author",
    "reviewers",
    "participants",
    "links",
]
PULL_REQUEST_KEYS += ["source", "destination", "merge_commit", "reason", "closed_by", "comment_count", "updated_on"]


@settings(max_examples=100, deadline=None)
@given(changed=st.dictionaries(st.sampled_from(PULL_REQUEST_KEYS), ANYTHING, max_size=4))
def test_a_disturbed_pull_request_is_read_or_malformed(changed: dict[str, Any]) -> None:
    try:
        pr = pull_request(**changed)
    except shape.Malformed:
        return
    assert pr.state in translate.STATES
