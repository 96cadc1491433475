"""`ports.ChangeLog` over real HTTP against the emulated service, method by method."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from syncd import errors, ports
from syncd.model.ids import HookId, PullRequestKey
from syncd.sandbox.choices import Choices, DefaultReviewers, PullRequestPut, SecondPost
from syncd.sandbox.fault import FaultKind
from tests.bitbucket.house import House, a_house

URL = "https://sync.example.com/hooks/bitbucket/e1"


@pytest.fixture
def house() -> Iterator[House]:
    with a_house() as found:
        yield found


# -------------------------------------------------------------------------------------------- account, repositories


def test_the_account_is_the_one_behind_the_token(house: House) -> None:
    made = house.do("add_token", name="second-bot")
    assert house.open_side(made["token"]).fetch_account() == made["uuid"]


def test_an_api_token_goes_with_the_address_of_its_account(house: House) -> None:
    made = house.do("add_token", kind="api", user="ada")
    assert house.open_side(made["token"], made["email"]).fetch_account() == house.people["ada"]
    with pytest.raises(errors.Unauthorised):
        house.open_side(made["token"], "ben@acme.dev").fetch_account()


def test_a_good_token_that_may_not_ask_for_itself_has_no_account(house: House) -> None:
    made = house.do("add_token", repository="web", scopes=["repository", "pullrequest:write"])
    assert house.open_side(made["token"]).fetch_account() is None


def test_a_revoked_token_is_unauthorised(house: House) -> None:
    house.do("revoke_token", token=house.token)
    with pytest.raises(errors.Unauthorised):
        house.side.fetch_account()


def test_every_repository_of_the_workspace_is_listed_by_slug(house: House) -> None:
    for number in range(101):
        house.add_repository(f"Service {number}")
    found = house.side.fetch_repositories()
    assert len(found) == 102
    assert [one.slug for one in found] == sorted(one.slug for one in found)
    assert house.repository.id in {one.id for one in found}
    assert house.sent.count("GET /2.0/repositories/acme") == 2


def test_a_repository_is_found_by_slug_and_by_uuid(house: House) -> None:
    by_slug = house.side.fetch_repository("web")
    assert by_slug == house.side.fetch_repository(house.repository.id)
    assert (by_slug.slug, by_slug.name, by_slug.main_branch, by_slug.workspace) == ("web", "Web", "main", "acme")


def test_a_renamed_repository_is_still_read_by_its_uuid(house: House) -> None:
    house.pull_request()
    house.do("rename_repository", repository="web", name="Site")
    assert len(house.side.fetch_pull_requests(house.repository, None)) == 1
    assert house.side.fetch_repository(house.repository.id).slug == "site"


def test_a_missing_or_hidden_repository_is_gone(house: House) -> None:
    with pytest.raises(errors.Gone):
        house.side.fetch_repository("nowhere")
    house.do("hide_repository", repository="web")
    with pytest.raises(errors.Gone):
        house.side.fetch_pull_requests(house.repository, None)


def test_an_empty_repository_has_no_main_branch_head(house: House) -> None:
    empty = house.add_repository("Empty", empty=True)
    assert house.side.fetch_branches(empty) == ()
    with pytest.raises(errors.Rejected) as refusal:
        house.side.create_branch(empty, "feature/x", "main")
    assert refusal.value.code == "START_MISSING"


# ------------------------------------------------------------------------------------------------------ pull requests


def test_a_list_holds_every_state_and_the_people(house: House) -> None:
    for number in range(1, 5):
        house.pull_request(f"feature/{number}", reviewers=["ben"])
    house.do("approve", repository="web", id=1, user="ben")
    house.do("request_changes", repository="web", id=2, user="cleo")
    house.do("merge", repository="web", id=1)
    house.do("decline", repository="web", id=2, reason="not now")
    house.do("supersede", repository="web", id=3)
    found = house.side.fetch_pull_requests(house.repository, None)
    assert [(one.key.number, one.state) for one in found] == [
        (4, "OPEN"),
        (3, "SUPERSEDED"),
        (2, "DECLINED"),
        (1, "MERGED"),
    ]
    assert all(one.reviewers == (house.people["ben"],) for one in found)
    assert found[3].approved_by == (house.people["ben"],)
    assert found[2].changes_requested_by == (house.people["cleo"],)
    assert (found[2].reason, found[3].closed_by) == ("not now", house.people["ada"])
    assert len(found[3].merge_commit) == 12


def test_a_list_of_pages_is_one_listing(house: House) -> None:
    house.do("push", repository="web", branch="feature/x")
    for number in range(51):
        house.do("push", repository="web", branch=f"b{number}", base="main")
        house.do("create_pull_request", repository="web", source=f"b{number}")
    assert [one.key.number for one in house.side.fetch_pull_requests(house.repository, None)] == list(range(51, 0, -1))
    assert house.sent.count("GET /pullrequests") == 2


def test_a_list_and_a_single_read_agree(house: House) -> None:
    house.pull_request(reviewers=["ben"], description="a\nb", in_page=True, draft=True, close_source_branch=True)
    house.do("task", repository="web", id=1, text="todo")
    house.do("comment", repository="web", id=1, text="hm")
    (listed,) = house.side.fetch_pull_requests(house.repository, None)
    assert listed == house.side.fetch_pull_request(house.repository, 1)
    assert (listed.draft, listed.close_source_branch, listed.open_tasks, listed.comment_count) == (True, True, 1, 1)


def test_an_incremental_list_holds_what_moved_since(house: House) -> None:
    house.pull_request("feature/1")
    house.pull_request("feature/2")
    since = house.clock.at
    assert [one.key.number for one in house.side.fetch_pull_requests(house.repository, since)] == [2]
    house.do("edit_pull_request", repository="web", id=1, title="new")
    assert [one.key.number for one in house.side.fetch_pull_requests(house.repository, since)] == [2, 1]
    later = house.clock.at + timedelta(microseconds=1)
    assert house.side.fetch_pull_requests(house.repository, later) == ()


def test_where_the_service_does_not_know_queued_pull_requests_the_four_states_are_asked_for(house: House) -> None:
    house.pull_request()
    house.arm(FaultKind.REFUSE, status=400, body='{"error": {"message": "Invalid state"}}', route="pullrequests$")
    for _ in range(2):
        assert len(house.side.fetch_pull_requests(house.repository, None)) == 1
    asked = [sorted(value for name, value in one.query if name == "state") for one in house.machine.requests]
    assert asked == [["DECLINED", "MERGED", "OPEN", "SUPERSEDED"]] * 2
    assert house.gate.reads == 3


def test_another_refusal_of_the_list_is_not_taken_for_that(house: House) -> None:
    house.arm(FaultKind.REFUSE, status=400, route="pullrequests$", count=2)
    with pytest.raises(errors.Rejected):
        house.side.fetch_pull_requests(house.repository, None)
    house.side.fetch_pull_requests(house.repository, None)
    assert ("state", "QUEUED") in house.machine.requests[-1].query


@pytest.mark.parametrize("branch", ["feature/recA-x", 'quo"ted', "a#b%d+f&g"])
def test_pull_requests_are_found_by_their_source_branch(house: House, branch: str) -> None:
    house.pull_request("other")
    house.pull_request(branch)
    (found,) = house.side.fetch_pull_requests(house.repository, None, source=branch)
    assert found.source_branch == branch


def test_a_missing_pull_request_is_gone(house: House) -> None:
    with pytest.raises(errors.Gone):
        house.side.fetch_pull_request(house.repository, 7)


def test_a_queued_pull_request_is_an_open_one(house: House) -> None:
    house.pull_request()
    house.do("queue", repository="web", id=1)
    pr = house.side.fetch_pull_request(house.repository, 1)
    assert (pr.state, pr.queued) == ("OPEN", True)
    assert house.side.fetch_pull_requests(house.repository, None) == (pr,)


def test_the_moment_of_the_merge_comes_from_the_activity_log(house: House) -> None:
    house.pull_request()
    assert house.side.fetch_merged_on(house.repository, 1) is None
    house.do("merge", repository="web", id=1)
    merged_on = house.clock.at
    for _ in range(60):
        house.do("comment", repository="web", id=1, text="after the merge")
    assert house.side.fetch_pull_request(house.repository, 1).updated_on > merged_on
    assert house.side.fetch_merged_on(house.repository, 1) == merged_on


# -------------------------------------------------------------------------------------------------- branches, commits


def test_all_branches_are_listed_and_some_by_a_part_of_their_name(house: House) -> None:
    for name in ("feature/recAAA-one", "feature/RECaaa-two", "fix/recBBB"):
        house.do("push", repository="web", branch=name)
    names = [one.name for one in house.side.fetch_branches(house.repository)]
    assert names == ["feature/RECaaa-two", "feature/recAAA-one", "fix/recBBB", "main"]
    held = [one.name for one in house.side.fetch_branches(house.repository, holding="recaaa")]
    assert held == ["feature/RECaaa-two", "feature/recAAA-one"]
    assert house.side.fetch_branches(house.repository, holding='"') == ()


@pytest.mark.parametrize("name", ["feature/x", "a#b", "100%", "plus+", "ünï", "a&b=c", "%2F", "a;b", "(a)", '"a"'])
def test_a_branch_is_read_whatever_its_name_holds(house: House, name: str) -> None:
    head = house.do("push", repository="web", branch=name)["hash"]
    branch = house.side.fetch_branch(house.repository, name)
    assert branch is not None
    # One branch is one segment (reference/bitbucket.md 1), and nothing of it may end the path.
    segment = house.machine.requests[-1].path.removeprefix(
        f"/2.0/repositories/acme/{quote(house.repository.id)}/refs/branches/"
    )
    assert not set('/?#&;"(') & set(segment)
    assert (branch.name, branch.target_commit, branch.author) == (name, head, house.people["ada"])


def test_a_missing_branch_of_a_repository_that_answers_is_none(house: House) -> None:
    assert house.side.fetch_branch(house.repository, "feature/none") is None
    house.do("hide_repository", repository="web")
    with pytest.raises(errors.Gone):
        house.side.fetch_branch(house.repository, "feature/none")


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "a\ud800"])
def test_a_name_that_cannot_be_is_never_asked_for(house: House, name: str) -> None:
    with pytest.raises(errors.Rejected):
        house.side.fetch_branch(house.repository, name)
    assert house.sent == []


def test_the_head_of_a_branch_is_what_its_base_lacks(house: House) -> None:
    hashes = house.do("push", repository="web", branch="feature/x", commits=3)["hashes"]
    head = house.side.fetch_head(house.repository, "feature/x", "main")
    assert [one.hash for one in head.commits] == hashes[::-1]
    assert head.whole
    assert house.side.fetch_head(house.repository, hashes[1], hashes[0]).commits[0].hash == hashes[1]
    assert house.side.fetch_head(house.repository, "main", "feature/x") == ports.HeadCommits(commits=())


def test_a_head_is_not_asked_for_without_a_base(house: House) -> None:
    with pytest.raises(errors.Rejected):
        house.side.fetch_head(house.repository, "feature/x", "")
    assert house.sent == []


def test_a_head_of_more_than_a_hundred_commits_is_not_whole(house: House) -> None:
    house.do("push", repository="web", branch="feature/x", commits=101)
    head = house.side.fetch_head(house.repository, "feature/x", "main")
    assert (len(head.commits), head.whole) == (100, False)
    assert house.sent == ["GET /commits"]


def test_the_commits_of_a_pull_request_are_its_own(house: House) -> None:
    house.pull_request()
    (commit,) = house.side.fetch_pull_request_commits(house.repository, 1).commits
    pr = house.side.fetch_pull_request(house.repository, 1)
    assert commit.hash.startswith(pr.source_commit)


def test_a_pull_request_whose_fork_is_gone_has_no_commits(house: House) -> None:
    house.do("fork", repository="web", name="Copy")
    house.do("push", repository="copy", branch="feature/x")
    house.do("create_pull_request", repository="web", source="feature/x", fork="copy")
    assert len(house.side.fetch_pull_request_commits(house.repository, 1).commits) == 1
    house.do("delete_repository", repository="copy")
    assert house.side.fetch_pull_request(house.repository, 1).source_repository is None
    assert house.side.fetch_pull_request_commits(house.repository, 1) == ports.HeadCommits(commits=())
    with pytest.raises(errors.Gone):
        house.side.fetch_pull_request_commits(house.repository, 2)


def test_an_ancestor_is_the_commit_itself_or_behind_it(house: House) -> None:
    first, second = house.do("push", repository="web", branch="main", commits=2)["hashes"]
    aside = house.do("push", repository="web", branch="feature/x", base=first)["hash"]
    ask = house.side.fetch_is_ancestor
    assert ask(house.repository, first, second)
    assert ask(house.repository, second, second)
    assert ask(house.repository, first[:12], second)
    assert not ask(house.repository, second, first)
    assert not ask(house.repository, aside, second)
    assert house.sent == ["GET /commits"] * 5


def test_a_commit_that_the_repository_does_not_know_is_nobodys_ancestor(house: House) -> None:
    head = house.do("push", repository="web", branch="main")["hash"]
    assert not house.side.fetch_is_ancestor(house.repository, "0" * 40, head)
    house.do("hide_repository", repository="web")
    with pytest.raises(errors.Gone):
        house.side.fetch_is_ancestor(house.repository, "0" * 40, head)


# ----------------------------------------------------------------------------------------------- builds, deployments


def test_the_builds_of_a_commit_are_found_by_its_short_hash_too(house: House) -> None:
    head = house.do("push", repository="web", branch="feature/x")["hash"]
    house.do("set_status", repository="web", commit=head, key="unit", state="FAILED", refname="feature/x")
    house.do("set_status", repository="web", commit=head, key="lint", state="SUCCESSFUL")
    builds = house.side.fetch_builds(house.repository, head[:12])
    assert builds == house.side.fetch_builds(house.repository, head)
    assert [(one.key, one.state, one.commit, one.reference) for one in builds] == [
        ("lint", "SUCCESSFUL", head, ""),
        ("unit", "FAILED", head, "feature/x"),
    ]


def deploy(house: House, **arguments: Any) -> str:
    made: str = house.do("deploy", repository="web", environment="Live", **arguments)["uuid"]
    return made


def test_deployments_say_how_they_ended_and_where(house: House) -> None:
    house.do("add_environment", repository="web", name="Live", type="Production")
    running = deploy(house)
    failed = deploy(house, status="FAILED")
    good = deploy(house, status="SUCCESSFUL")
    found = house.side.fetch_deployments(house.repository, frozenset())
    assert [(one.id, one.state) for one in found] == [
        (good, "SUCCESSFUL"),
        (failed, "FAILED"),
        (running, "IN_PROGRESS"),
    ]
    assert {(one.environment, one.environment_type) for one in found} == {("Live", "Production")}
    assert [one.completed_on is None for one in found] == [False, False, True]
    assert all(len(one.commit) == 40 for one in found)


def test_deployments_are_read_back_to_the_first_page_that_is_known_and_finished(house: House) -> None:
    house.do("add_environment", repository="web", name="Live", type="Production")
    made = [deploy(house, status="SUCCESSFUL") for _ in range(201)]
    assert len(house.side.fetch_deployments(house.repository, frozenset())) == 201
    assert house.sent.count("GET /deployments") == 3
    house.machine.requests.clear()
    newest = deploy(house)
    found = house.side.fetch_deployments(house.repository, frozenset(made))
    assert found[0].id == newest
    assert house.sent.count("GET /deployments") == 2
    # It is known by now, but not finished: its page is not the last one to read.
    house.machine.requests.clear()
    assert house.side.fetch_deployments(house.repository, frozenset([*made, newest]))[0].state == "IN_PROGRESS"
    assert house.sent.count("GET /deployments") == 2


# ------------------------------------------------------------------------------------------- changing a pull request


def update(house: House, expected: dict[str, str | bool], wanted: dict[str, str | bool]) -> ports.AttributeUpdate:
    key = PullRequestKey(house.repository.id, 1)
    return ports.AttributeUpdate(pull_request=key, expected=expected, wanted=wanted)


@pytest.mark.parametrize("rule", PullRequestPut)
def test_every_put_keeps_what_it_does_not_change(rule: PullRequestPut) -> None:
    with a_house(Choices(pull_request_put=rule)) as house:
        before = house.pull_request(
            title="Old", description="Kept", reviewers=["ben", "cleo"], draft=True, close_source_branch=True
        )
        answer = house.side.send_attributes(house.repository, update(house, {"title": "Old"}, {"title": "New"}))
        assert not isinstance(answer, ports.Moved)
        assert answer.title == "New"
        after = house.machine.control("pull_request", {"repository": "web", "id": 1}, house.clock.at)
        moved = {name for name in after if after[name] != before[name]}
        assert moved <= {"title", "updated_on"}
        assert house.sent == ["GET /pullrequests/1", "PUT /pullrequests/1"]
        (body,) = house.bodies("PUT")
        assert sorted(body) == ["close_source_branch", "description", "destination", "draft", "reviewers", "title"]
        assert sorted(one["uuid"] for one in body["reviewers"]) == sorted(
            house.people[name] for name in ("ben", "cleo")
        )


def test_several_attributes_are_changed_by_one_put(house: House) -> None:
    house.do("push", repository="web", branch="stable", base="main")
    house.pull_request(title="T", description="D", draft=True)
    expected: dict[str, str | bool] = {"title": "T", "description": "D", "destination_branch": "main", "draft": True}
    wanted: dict[str, str | bool] = {"title": "U", "description": "E", "destination_branch": "stable", "draft": False}
    answer = house.side.send_attributes(house.repository, update(house, expected, wanted))
    assert not isinstance(answer, ports.Moved)
    assert (answer.title, answer.description, answer.destination_branch, answer.draft) == ("U", "E", "stable", False)
    assert answer == house.side.fetch_pull_request(house.repository, 1)


@pytest.mark.parametrize(
    ("expected", "wanted"),
    [
        ({"title": "Old"}, {"title": "New"}),
        ({"description": "Old"}, {"description": "New"}),
        ({"destination_branch": "stable"}, {"destination_branch": "main"}),
        ({"draft": True}, {"draft": False}),
        ({"title": "T", "draft": True}, {"title": "U", "draft": False}),
    ],
    ids=["title", "description", "destination", "draft", "one of two"],
)
def test_nothing_is_sent_when_an_attribute_moved(
    house: House, expected: dict[str, str | bool], wanted: dict[str, str | bool]
) -> None:
    house.pull_request(title="T", description="D")
    answer = house.side.send_attributes(house.repository, update(house, expected, wanted))
    assert answer == ports.Moved(now=house.side.fetch_pull_request(house.repository, 1))
    assert house.bodies("PUT") == []


@pytest.mark.parametrize("verb", ["merge", "decline", "supersede"])
def test_nothing_is_sent_to_a_pull_request_that_is_not_open(house: House, verb: str) -> None:
    house.pull_request(title="T")
    house.do(verb, repository="web", id=1)
    answer = house.side.send_attributes(house.repository, update(house, {"title": "T"}, {"title": "U"}))
    assert isinstance(answer, ports.Moved)
    assert answer.now.state != "OPEN"
    assert house.bodies("PUT") == []


@pytest.mark.parametrize("verb", ["merge", "decline"])
def test_a_pull_request_that_closes_between_read_and_write_has_moved(house: House, verb: str) -> None:
    house.pull_request(title="T")
    house.machine.before["PUT"] = lambda: house.do(verb, repository="web", id=1)
    answer = house.side.send_attributes(house.repository, update(house, {"title": "T"}, {"title": "U"}))
    assert isinstance(answer, ports.Moved)
    assert (answer.now.state != "OPEN", answer.now.title) == (True, "T")
    assert len(house.bodies("PUT")) == 1


def test_what_the_services_editor_leaves_behind_is_not_an_edit(house: House) -> None:
    house.pull_request(title="T", description="one\ntwo", in_page=True)
    assert house.side.fetch_pull_request(house.repository, 1).description != "one\ntwo"
    answer = house.side.send_attributes(
        house.repository, update(house, {"description": "one\ntwo"}, {"description": "E"})
    )
    assert not isinstance(answer, ports.Moved)
    assert answer.description == "E"


@pytest.mark.parametrize(
    ("expected", "wanted"),
    [
        ({}, {}),
        ({"title": "T"}, {"draft": True}),
        ({"state": "OPEN"}, {"state": "MERGED"}),
        ({"reviewers": ""}, {"reviewers": ""}),
    ],
    ids=["nothing", "other keys", "a state", "reviewers"],
)
def test_only_known_attributes_are_written(
    house: House, expected: dict[str, str | bool], wanted: dict[str, str | bool]
) -> None:
    with pytest.raises(ValueError, match="attributes"):
        house.side.send_attributes(house.repository, update(house, expected, wanted))
    assert house.sent == []


def test_a_reviewer_whose_account_was_closed_since_refuses_the_put_and_nothing_is_dropped(house: House) -> None:
    house.pull_request(title="T", reviewers=["ben", "cleo"])
    house.do("close_user", user="cleo")
    with pytest.raises(errors.Rejected) as refusal:
        house.side.send_attributes(house.repository, update(house, {"title": "T"}, {"title": "U"}))
    assert refusal.value.code == "field:reviewers"
    assert "reviewers" in refusal.value.detail
    assert len(house.bodies("PUT")) == 1
    pr = house.side.fetch_pull_request(house.repository, 1)
    assert (pr.title, len(pr.reviewers)) == ("T", 2)


def test_a_title_that_is_too_long_is_rejected_by_its_field(house: House) -> None:
    house.pull_request(title="T")
    with pytest.raises(errors.Rejected) as refusal:
        house.side.send_attributes(house.repository, update(house, {"title": "T"}, {"title": "U" * 256}))
    assert refusal.value.code == "field:title"
    assert "UUU" not in str(refusal.value)


# ------------------------------------------------------------------------------------------------------------ creates


def test_a_branch_is_made_at_the_whole_hash_of_its_start(house: House) -> None:
    head = house.do("push", repository="web", branch="main")["hash"]
    made = house.side.create_branch(house.repository, "feature/recA-ünï", "main")
    assert (made.name, made.target_commit) == ("feature/recA-ünï", head)
    assert house.bodies("POST") == [{"name": "feature/recA-ünï", "target": {"hash": head}}]


def test_a_branch_that_exists_is_rejected_by_the_services_own_code(house: House) -> None:
    house.do("push", repository="web", branch="feature/x")
    with pytest.raises(errors.Rejected) as refusal:
        house.side.create_branch(house.repository, "feature/x", "main")
    assert (refusal.value.status, refusal.value.code) == (400, "BRANCH_ALREADY_EXISTS")


def test_a_branch_from_a_start_that_is_not_there_is_never_sent(house: House) -> None:
    with pytest.raises(errors.Rejected) as refusal:
        house.side.create_branch(house.repository, "feature/x", "develop")
    assert refusal.value.code == "START_MISSING"
    assert house.bodies("POST") == []


@pytest.mark.parametrize("choice", DefaultReviewers)
def test_a_pull_request_is_opened_as_asked(choice: DefaultReviewers) -> None:
    with a_house(Choices(default_reviewers=choice)) as house:
        house.do("push", repository="web", branch="feature/x")
        house.do("default_reviewers", repository="web", users=["ben"])
        made = open_pull_request(house, "[Airtable: recA] Name")
        assert (made.title, made.description, made.draft, made.state) == ("[Airtable: recA] Name", "Body", True, "OPEN")
        assert (made.source_branch, made.destination_branch) == ("feature/x", "main")
        assert bool(made.reviewers) is (choice is DefaultReviewers.ADDED)


def open_pull_request(house: House, title: str) -> Any:
    return house.side.create_pull_request(
        house.repository, source="feature/x", destination="main", title=title, description="Body", draft=True
    )


@pytest.mark.parametrize("choice", SecondPost)
def test_a_second_post_rewrites_a_persons_pull_request_so_the_caller_must_look_first(choice: SecondPost) -> None:
    """The trap of reference/bitbucket.md 14.8: nothing in the answer but its date tells that it was not made just now."""
    with a_house(Choices(second_post=choice)) as house:
        house.pull_request(title="A person's", description="A person's words", reviewers=["ben"])
        made_on = house.side.fetch_pull_request(house.repository, 1).created_on
        answer = open_pull_request(house, "Ours")
        assert (answer.key.number, answer.title, answer.created_on) == (1, "Ours", made_on)
        assert (answer.description == "Body") is (choice is SecondPost.ALL)


def test_a_pull_request_without_commits_is_rejected(house: House) -> None:
    house.do("push", repository="web", branch="feature/x", commits=0)
    with pytest.raises(errors.Rejected) as refusal:
        open_pull_request(house, "T")
    assert refusal.value.status == 400


# -------------------------------------------------------------------------------------------------------------- hooks


def hooks_of(house: House) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = house.machine.control("hooks", {"repository": "web"}, house.clock.at)
    return found


def test_a_hook_is_made_signed_and_active_with_the_events_that_exist(house: House) -> None:
    made = house.side.create_hook(house.repository, URL, ["repo:push", "pullrequest:created", "issue:gone"], "s3cret")
    assert (made.secret, "s3cret" in repr(made)) == ("s3cret", False)
    (state,) = hooks_of(house).values()
    assert (state["secret_set"], state["active"], state["url"]) == (True, True, URL)
    assert set(state["events"]) == {"repo:push", "pullrequest:created"}
    (listed,) = house.side.fetch_hooks(house.repository)
    assert listed == ports.HookState(hook=made.hook, url=URL, healthy=True, events=("pullrequest:created", "repo:push"))


def test_the_list_of_events_is_asked_for_once(house: House) -> None:
    house.side.create_hook(house.repository, URL, ["repo:push"], "s")
    house.side.create_hook(house.repository, URL + "2", ["repo:push"], "s")
    # 25 names on pages of a hundred.
    assert house.sent.count("GET /2.0/hook_events/repository") == 1


def test_a_hook_for_events_that_nobody_sends_is_never_asked_for(house: House) -> None:
    with pytest.raises(errors.Rejected) as refusal:
        house.side.create_hook(house.repository, URL, ["issue:never"], "s")
    assert refusal.value.code == "NO_SUCH_EVENTS"
    assert house.bodies("POST") == []


def test_a_hook_is_never_made_without_a_secret(house: House) -> None:
    with pytest.raises(ValueError, match="secret"):
        house.side.create_hook(house.repository, URL, ["repo:push"], "")
    assert house.sent == []


@pytest.mark.parametrize("braces", [True, False], ids=["with braces", "without braces"])
def test_a_hook_that_somebody_switched_off_is_set_right(house: House, braces: bool) -> None:
    uuid = house.do("add_hook", repository="web", url=URL, events=["repo:push"], active=False)["uuid"]
    (listed,) = house.side.fetch_hooks(house.repository)
    assert not listed.healthy
    hook = HookId(uuid if braces else uuid.strip("{}").upper())
    house.side.send_hook(house.repository, hook, URL, ["repo:push", "pullrequest:updated"], "new")
    state = hooks_of(house)[uuid]
    assert (state["active"], state["secret_set"]) == (True, True)
    assert set(state["events"]) == {"repo:push", "pullrequest:updated"}


def test_a_hook_is_removed_and_gone_already_is_fine(house: House) -> None:
    hook = house.side.create_hook(house.repository, URL, ["repo:push"], "s").hook
    for _ in range(2):
        house.side.send_hook_deletion(house.repository, hook)
    assert hooks_of(house) == {}


def test_every_request_is_charged_before_it_is_sent(house: House) -> None:
    house.pull_request(title="T")
    house.side.send_attributes(house.repository, update(house, {"title": "T"}, {"title": "U"}))
    house.side.fetch_branches(house.repository)
    assert (house.gate.reads, house.gate.changes) == (2, 1)
