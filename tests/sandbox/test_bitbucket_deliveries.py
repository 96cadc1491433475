"""Deliveries: headers, signature, repeats, size, order, and the keys of the newest recorded payload of each event."""

import json
import re
from typing import Any

import pytest

from syncd.sandbox.bitbucket.deliveries import signature
from tests import shared
from tests.sandbox.bitbucket_setup import WEB, Company

Keys = dict[str, set[str]]
OPTIONAL: dict[str, set[str]] = {
    "author<author>": {"user"},
    "comment<pullrequest_comment>": {"inline", "parent"},
    "links": {"code"},
}
"""Keys that depend on the case, not on the form: an author without account, a comment on a line, a reply."""


def keys_of(value: Any, place: str = "") -> Keys:
    """The keys of every object by place; a place names list items `*` and the object's `type`, so that a team is no user."""
    found: Keys = {}
    if isinstance(value, dict):
        kind = value.get("type")
        here = f"{place}<{kind}>" if isinstance(kind, str) else place
        found.setdefault(here, set()).update(value)
        for key, inner in value.items():
            for where, keys in keys_of(inner, f"{here}/{key}").items():
                found.setdefault(where, set()).update(keys)
    elif isinstance(value, list):
        for inner in value:
            for where, keys in keys_of(inner, f"{place}/*").items():
                found.setdefault(where, set()).update(keys)
    return found


def recordings() -> list[tuple[str, str, str, str]]:
    """Date, nature, event and file of every payload in the index, newest first, constructed ones last."""
    text = shared.path("fixtures/bitbucket/INDEX.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `([^`]+)\.json` \| `([a-z]+:[a-z_]+)` \| ([0-9-]*) *\| (recorded|constructed) ", text, re.MULTILINE
    )
    found = [(date, nature, event, name) for name, event, date, nature in rows if "minimal" not in name]
    return sorted(found, key=lambda row: (row[1] == "recorded", row[0]), reverse=True)


def payload(name: str) -> Any:
    """A recorded payload."""
    return shared.load(f"fixtures/bitbucket/{name}.json")


def shape(body: Any) -> tuple[Any, ...]:
    """What kind of push this is: type of ref, created, closed, forced. Other events have one shape."""
    if "push" not in body or len(body["push"]["changes"]) != 1:
        return ()
    change = body["push"]["changes"][0]
    ref = change["new"] or change["old"]
    return (ref["type"], change["created"], change["closed"], change["forced"])


def assert_newest_keys(event: str, body: Any) -> None:
    """Every object has exactly the keys of the newest recording of its event; what that one lacks whole, of the newest that has it."""
    rows = recordings()
    # A forced push differs from another move by the link to its diff only, and no other move of a branch was recorded since 2023.
    wanted = shape(body)
    as_forced = wanted == ("branch", False, False, False)
    wanted = ("branch", False, False, True) if as_forced else wanted
    newest = next(row for row in rows if row[2] == event and shape(payload(row[3])) == wanted)
    ordered = [newest, *rows]
    loaded = [keys_of(payload(row[3])) for row in ordered]
    for place, keys in keys_of(body).items():
        expected = next((one[place] for one in loaded if place in one), None)
        assert expected is not None, f"{event}: no recording has {place}"
        if as_forced and place.endswith("/changes/*/links"):
            expected = expected | {"diff"}
        optional = OPTIONAL.get(place.rpartition("/")[2], set())
        assert keys - optional == expected - optional, f"{event} at {place or '/'}, newest is {ordered[0][3]}"


def deliveries(company: Company) -> list[tuple[str, Any]]:
    return [(one.headers["X-Event-Key"], json.loads(one.body)) for one in company.drain()]


def everything() -> list[tuple[str, Any]]:
    """One life of a repository, as its deliveries tell it."""
    company = Company()
    found: list[tuple[str, Any]] = []

    def act(verb: str, **arguments: Any) -> Any:
        company.later(700)
        result = company.control(verb, repository="web", **arguments)
        found.extend(deliveries(company))
        return result

    act("push", branch="feature/a", commits=7, user="bob")
    act("push", branch="feature/a", commits=1, user="bob")
    act("push", branch="feature/a", commits=1, user="bob", base="main", force=True)
    act("tag", name="v1", message="one", user="bob")
    act("tag", name="light", user="bob")
    act("delete_tag", name="light", user="bob")
    act("create_pull_request", source="feature/a", user="bob", reviewers=["cy"])
    act("edit_pull_request", id=1, title="Better", user="bob")
    act("approve", id=1, user="cy")
    act("unapprove", id=1, user="cy")
    act("request_changes", id=1, user="cy")
    act("withdraw_changes", id=1, user="cy")
    note = act("comment", id=1, text="plain", user="cy")["id"]
    act("delete_comment", id=1, comment=note, user="cy")
    inline = act("comment", id=1, text="here", path="a.py", to=3, user="cy")["id"]
    act("edit_comment", id=1, comment=inline, text="there", user="cy")
    act("resolve_comment", id=1, comment=inline, user="bob")
    act("reopen_comment", id=1, comment=inline, user="bob")
    act("set_status", commit="feature/a", key="ci", state="INPROGRESS", refname="feature/a", user="bob")
    act("set_status", commit="feature/a", key="ci", state="SUCCESSFUL", user="bob")
    act("merge", id=1, close_source_branch=True, user="ada")
    act("push", branch="feature/b", user="bob")
    act("create_pull_request", source="feature/b", user="bob")
    act("decline", id=2, reason="No", user="ada")
    return found


EVENTS_TOLD = (
    "repo:push",
    "repo:commit_status_created",
    "repo:commit_status_updated",
    "pullrequest:created",
    "pullrequest:updated",
    "pullrequest:approved",
    "pullrequest:unapproved",
    "pullrequest:changes_request_created",
    "pullrequest:changes_request_removed",
    "pullrequest:fulfilled",
    "pullrequest:rejected",
    "pullrequest:comment_created",
    "pullrequest:comment_deleted",
    "pullrequest:comment_updated",
    "pullrequest:comment_resolved",
    "pullrequest:comment_reopened",
)


@pytest.mark.parametrize("event", EVENTS_TOLD)
def test_a_delivery_has_the_keys_of_the_newest_recording_of_its_event(event: str) -> None:
    told = [body for key, body in everything() if key == event]
    assert told
    for body in told:
        assert_newest_keys(event, body)


def test_every_shape_of_push_is_told() -> None:
    shapes = {shape(body) for key, body in everything() if key == "repo:push"}
    assert shapes >= {
        ("branch", True, False, False),
        ("branch", False, False, False),
        ("branch", False, False, True),
        ("branch", False, True, False),
        ("tag", True, False, False),
        ("tag", False, True, False),
    }


def test_older_forms_come_only_when_asked_for_and_differ_by_seed() -> None:
    def keys(old_forms: bool, seed: int) -> set[frozenset[str]]:
        company = Company(seed=seed, old_forms=old_forms)
        company.work()
        for number in range(12):
            company.control("edit_pull_request", repository="web", id=1, title=f"T{number}", user="bob")
        return {frozenset(json.loads(one.body)["pullrequest"]) for one in company.drain()}

    assert len(keys(False, 1)) == 1
    assert len(keys(True, 1)) > 1


@pytest.mark.parametrize(
    "vector",
    shared.load("fixtures/bitbucket/signature-vectors.json")["vectors"] if shared.SHARED.exists() else [],
    ids=lambda one: one["name"],
)
def test_the_signature_is_the_recorded_one(vector: dict[str, str]) -> None:
    if "body_file" in vector:
        body = shared.path(f"fixtures/bitbucket/{vector['body_file']}").read_bytes()
    else:
        body = vector["body"].encode()
    assert signature(vector["secret"], body) == vector["signature"]


def test_a_delivery_carries_the_documented_headers() -> None:
    company = Company()
    company.control("push", repository="web", branch="x")
    (one,) = company.drain()
    known: set[str] = set()
    for row in shared.load("fixtures/bitbucket/delivery-headers.json")["sets"]:
        known |= set(row["headers"])
    assert set(one.headers) == known
    assert one.headers["X-Hub-Signature"] == signature("hush", one.body)
    assert one.headers["User-Agent"] == "Bitbucket-Webhooks/2.0"
    assert one.headers["X-Attempt-Number"] == "1"
    assert b"repo:push" not in one.body


def test_a_hook_without_secret_sends_no_signature() -> None:
    company = Company(hook=False)
    company.control("add_hook", repository="web", url="http://127.0.0.1:1/h", events=["repo:push"])
    company.control("push", repository="web", branch="x")
    assert "X-Hub-Signature" not in company.drain()[0].headers


def test_trap_1_a_5xx_is_repeated_twice_at_once_under_the_same_request_id() -> None:
    company = Company()
    company.control("push", repository="web", branch="x")
    seen = []
    while company.machine.next_due_at() is not None:
        (one,) = company.machine.due(company.now)
        seen.append((one.headers["X-Request-UUID"], one.headers["X-Attempt-Number"], one.attempt, one.body))
        company.machine.delivered(one, 503, company.now)
    assert [(row[1], row[2]) for row in seen] == [("1", 1), ("2", 2), ("3", 3)]
    assert len({(row[0], row[3]) for row in seen}) == 1


@pytest.mark.parametrize("status", [None, 400, 404, 410, 429, 301, 200], ids=str)
def test_trap_1_timeouts_and_4xx_are_never_delivered_again(status: int | None) -> None:
    company = Company()
    company.control("push", repository="web", branch="x")
    (one,) = company.machine.due(company.now)
    company.machine.delivered(one, status, company.now)
    assert company.machine.next_due_at() is None


def test_trap_2_over_256_kb_nothing_is_sent() -> None:
    company = Company()
    company.control("push", repository="web", branch="big")
    company.drain()
    company.control("create_pull_request", repository="web", source="big", description="x" * 70_000)
    assert company.events() == []
    assert company.machine.oversized == 1
    company.control("comment", repository="web", id=1, text="small")
    company.control("edit_pull_request", repository="web", id=1, description="short")
    assert company.events() == ["pullrequest:updated"]


def test_trap_3_the_hook_uuid_has_no_braces_in_the_header_but_in_the_api() -> None:
    company = Company()
    company.control("push", repository="web", branch="x")
    header = company.drain()[0].headers["X-Hook-UUID"]
    assert f"{{{header}}}" == company.get("/hooks")["values"][0]["uuid"]


def test_trap_4_a_deletion_has_neither_commits_nor_links_and_five_commits_prove_nothing() -> None:
    company = Company()
    company.control("push", repository="web", branch="x", commits=5)
    company.control("push", repository="web", branch="y", commits=6)
    company.control("delete_branch", repository="web", branch="x")
    five, six, gone = [body["push"]["changes"][0] for _, body in deliveries(company)]
    assert (len(five["commits"]), five["truncated"]) == (5, False)
    assert (len(six["commits"]), six["truncated"]) == (5, True)
    assert gone["new"] is None
    assert not {"commits", "links"} & set(gone)


def test_traps_13_and_18_one_merge_is_a_push_a_deletion_and_then_the_event() -> None:
    company = Company()
    company.work()
    company.call("POST", f"{WEB}/pullrequests/1/merge", {"close_source_branch": True})
    told = deliveries(company)
    assert [key for key, _ in told] == ["repo:push", "repo:push", "pullrequest:fulfilled"]
    assert told[1][1]["push"]["changes"][0]["closed"] is True
    assert told[2][1]["pullrequest"]["state"] == "MERGED"
    assert told[2][1]["actor"]["display_name"] == "sync-bot"


def test_trap_15_tasks_and_deployments_are_never_announced() -> None:
    company = Company()
    company.work()
    task = company.control("task", repository="web", id=1, text="do")["id"]
    company.control("edit_task", repository="web", id=1, task=task, state="RESOLVED")
    company.control("add_environment", repository="web", name="Production")
    company.control("deploy", repository="web", environment="Production", status="SUCCESSFUL")
    company.control("supersede", repository="web", id=1)
    assert company.events() == []


def test_trap_33_a_workspace_hook_and_a_repository_hook_deliver_the_same_action_twice() -> None:
    company = Company()
    company.control("add_hook", url="http://127.0.0.1:1/hooks/x", events=["repo:push"])
    company.control("push", repository="web", branch="x")
    first, second = company.drain()
    assert first.body == second.body
    assert first.headers["X-Request-UUID"] != second.headers["X-Request-UUID"]
    assert first.headers["X-Hook-UUID"] != second.headers["X-Hook-UUID"]


def test_an_inactive_hook_and_an_unsubscribed_event_get_nothing() -> None:
    company = Company(hook=False)
    uuid = company.control(
        "add_hook", repository="web", url="http://127.0.0.1:1/h", events=["repo:push"], active=False
    )["uuid"]
    company.control("push", repository="web", branch="x")
    assert company.events() == []
    company.control("edit_hook", repository="web", uuid=uuid, active=True, events=["pullrequest:created"])
    company.control("push", repository="web", branch="x")
    assert company.events() == []


def test_a_push_to_the_source_updates_the_pull_request_but_one_to_the_destination_does_not() -> None:
    company = Company()
    company.work()
    company.control("push", repository="web", branch="feature/rec1", user="bob")
    assert company.events() == ["repo:push", "pullrequest:updated"]
    company.control("push", repository="web", branch="main", user="bob")
    assert company.events() == ["repo:push"]


def test_trap_29_a_rename_tells_old_and_new_names_and_keeps_the_uuid() -> None:
    company = Company()
    before = company.get("")
    company.control("rename_repository", repository="web", name="Web Shop")
    ((key, body),) = deliveries(company)
    assert key == "repo:updated"
    assert body["changes"]["full_name"] == {"old": "acme/web", "new": "acme/web-shop"}
    assert set(body["changes"]) == set(payload("repo-updated--docs-example-go-playground")["changes"])
    assert body["repository"]["uuid"] == before["uuid"]
    assert company.call("GET", WEB).status == 404
    assert company.call("GET", f"/2.0/repositories/acme/%7B{before['uuid'][1:-1]}%7D").body["slug"] == "web-shop"
