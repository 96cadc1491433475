"""Signatures, and what each event makes dirty (reference/bitbucket.md 4 to 6)."""

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.bitbucket import delivery
from syncd.model.event import Dirt
from tests import shared
from tests.bitbucket import recorded

HOME = "{1d29d34f-f8a1-4c3d-8269-f5d46bb6ca43}"
COMMIT = "bdf6fac0519ffd1562461eb82e018ff62efffbc9"
SECRET = "a secret of the tests"


def signed(body: bytes, secret: str = SECRET) -> bytes:
    return b"sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()


def dirt_of(name: str) -> list[str]:
    event = delivery.parse(recorded.headers(name), recorded.body(name))
    return [f"{one.dirt.value} {one.name}".strip() for one in event.dirty]


# -------------------------------------------------------------------------------------------------------- signatures


def test_every_signature_vector_is_verified() -> None:
    vectors = shared.load(f"{recorded.FOLDER}/signature-vectors.json")["vectors"]
    assert len(vectors) == 4
    for vector in vectors:
        body = recorded.body(vector["body_file"]) if "body_file" in vector else vector["body"].encode()
        header = [(b"X-Hub-Signature", vector["signature"].encode())]
        assert delivery.verify(header, body, [vector["secret"]]) == "", vector["name"]
        assert delivery.verify(header, body + b" ", [vector["secret"]]) == "wrong", vector["name"]


BODY = b'{"a": 1}'
GOOD = signed(BODY)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param([], "missing", id="no header"),
        pytest.param([(b"x-hub-signature-256", GOOD)], "missing", id="another header"),
        pytest.param([(b"x-hub-signature", GOOD), (b"X-Hub-Signature", GOOD)], "doubled", id="two headers"),
        pytest.param([(b"x-hub-signature", GOOD + b", " + GOOD)], "malformed", id="two in one"),
        pytest.param([(b"x-hub-signature", b"sha1=" + GOOD[7:])], "malformed", id="sha1"),
        pytest.param([(b"x-hub-signature", b"SHA256=" + GOOD[7:])], "malformed", id="upper-case prefix"),
        pytest.param([(b"x-hub-signature", b"sha256=" + GOOD[7:].upper())], "malformed", id="upper-case digits"),
        pytest.param([(b"x-hub-signature", GOOD + b"0")], "malformed", id="a trailing character"),
        pytest.param([(b"x-hub-signature", GOOD + b"\n")], "malformed", id="a trailing line end"),
        pytest.param([(b"x-hub-signature", GOOD[:-1])], "malformed", id="one digit short"),
        pytest.param([(b"x-hub-signature", GOOD[7:])], "malformed", id="bare digits"),
        pytest.param([(b"x-hub-signature", b"")], "malformed", id="empty"),
        pytest.param([(b"x-hub-signature", "sha256=ü".encode())], "malformed", id="not ascii"),
        pytest.param([(b"x-hub-signature", signed(b'{"a":1}'))], "wrong", id="of the re-serialised body"),
        pytest.param([(b"x-hub-signature", signed(BODY, "other"))], "wrong", id="of another secret"),
        pytest.param([(b"X-HUB-SIGNATURE", GOOD)], "", id="header names in any case"),
    ],
)
def test_only_one_exact_signature_is_good(headers: list[tuple[bytes, bytes]], reason: str) -> None:
    assert delivery.verify(headers, BODY, [SECRET]) == reason


def test_old_and_new_secret_are_both_good_during_a_rotation() -> None:
    for secret in ("old", "new"):
        assert delivery.verify([(b"x-hub-signature", signed(BODY, secret))], BODY, ["old", "new"]) == ""
    assert delivery.verify([(b"x-hub-signature", signed(BODY, "older"))], BODY, ["old", "new"]) == "wrong"


@pytest.mark.parametrize("secrets", [[], [""]], ids=["none", "an empty one"])
def test_nothing_is_good_without_a_secret(secrets: list[str]) -> None:
    assert delivery.verify([(b"x-hub-signature", signed(BODY, ""))], BODY, secrets) == "wrong"


# ------------------------------------------------------------------------------------------------ recorded deliveries


@pytest.mark.parametrize("name", recorded.DELIVERIES)
def test_every_recorded_delivery_is_parsed(name: str) -> None:
    event = delivery.parse(recorded.headers(name), recorded.body(name))
    assert event.kind == recorded.event_key(name)
    assert event.retired is event.kind.startswith("issue:")
    told = json.loads(recorded.body(name))["repository"].get("uuid")
    if told is None:
        assert (event.repository, event.dirty) == (None, ())
        assert event.problem
        return
    assert event.repository == told
    assert all(one.repository == told for one in event.dirty)
    if event.kind.startswith("pullrequest:"):
        assert [one.dirt for one in event.dirty] == [Dirt.PULL_REQUEST]
        assert event.happened_at is not None


@pytest.mark.parametrize(
    ("name", "dirty"),
    [
        ("pullrequest-created--constructed-draft.json", ["pull request 42"]),
        ("pullrequest-fulfilled--ble-testsuite-closes-branch.json", ["pull request 7"]),
        ("pullrequest-comment-created--atlantis-on-merged.json", ["pull request 2"]),
        ("pullrequest-updated--constructed-fork-deleted.json", ["pull request 42"]),
        ("pullrequest-changes-request-removed--constructed.json", ["pull request 42"]),
        ("pullrequest-created--woodpecker-minimal.json", []),
        ("repo-push--ble-testsuite-branch-deleted-by-merge.json", ["branch feat/sync-from-bitbucket"]),
        ("repo-push--jenkins-branch-source-multiple-changes.json", ["branch main", "branch manchu"]),
        ("repo-push--jenkins-branch-source-force-push-truncated.json", ["branch feature/issue-819"]),
        ("repo-push--jenkins-branch-source-empty-changes.json", ["repository"]),
        ("repo-push--kanboard.json", ["branch master"]),
        ("repo-push--jenkins-branch-source-new-tag.json", []),
        ("repo-push--go-scm-tag-delete.json", []),
        ("repo-commit-status-updated--go-scm.json", [f"commit {COMMIT}"]),
        (
            "repo-commit-status-created--docs-example-go-playground.json",
            ["commit 9fec847784abb10b2fa567ee63b85bd238955d0e"],
        ),
        ("repo-updated--docs-example-go-playground.json", ["repository"]),
        ("repo-fork--docs-example-go-playground.json", []),
        ("repo-commit-comment-created--docs-example-go-playground.json", []),
        ("issue-updated--kanboard-closed.json", []),
    ],
)
def test_an_event_makes_dirty_what_it_names(name: str, dirty: list[str]) -> None:
    assert dirt_of(name) == dirty


def test_an_approval_happened_when_the_pull_request_says() -> None:
    name = "pullrequest-approved--ble-testsuite.json"
    event = delivery.parse(recorded.headers(name), recorded.body(name))
    assert event.happened_at == datetime(2023, 5, 12, 11, 45, 41, 426316, tzinfo=UTC)


def test_a_push_states_no_time_because_commits_carry_their_authors_clocks() -> None:
    name = "repo-push--ble-testsuite-one-commit.json"
    assert delivery.parse(recorded.headers(name), recorded.body(name)).happened_at is None


# ------------------------------------------------------------------------------------------------- events made by hand


def parse(key: str, **body: Any) -> tuple[str | None, list[tuple[str, str]], str]:
    event = delivery.parse({"x-event-key": key}, recorded.dumped({"repository": {"uuid": HOME}, **body}))
    return event.repository, [(one.dirt.value, one.name) for one in event.dirty], event.problem


def change(**refs: Any) -> dict[str, Any]:
    return {"push": {"changes": [refs]}}


@pytest.mark.parametrize(
    "key",
    ["repo:updated", "repo:transfer", "repo:deleted", "repo:imported", "repo:created", "repo:brand_new", "new:thing"],
)
def test_an_event_about_the_whole_repository_or_an_unknown_one_makes_it_dirty(key: str) -> None:
    assert parse(key) == (HOME, [("repository", "")], "")


def test_an_unknown_event_of_a_pull_request_makes_that_pull_request_dirty() -> None:
    assert parse("pullrequest:push", pullrequest={"id": 3})[1] == [("pull request", "3")]
    assert parse("pullrequest:superseded", pullrequest={"id": 3})[1] == [("pull request", "3")]


def test_the_destination_counts_when_another_repository_is_named() -> None:
    other = "{00000000-0000-4000-8000-000000000001}"
    found = parse("pullrequest:updated", pullrequest={"id": 3, "destination": {"repository": {"uuid": other}}})
    assert found == (other, [("pull request", "3")], "")


@pytest.mark.parametrize("number", [None, "3", 0, -1, True, 1.5, 10**30], ids=str)
def test_a_pull_request_without_a_number_makes_the_repository_dirty(number: Any) -> None:
    _, dirty, problem = parse("pullrequest:updated", pullrequest={"id": number})
    assert (dirty, problem) == ([("repository", "")], "the body names no pull request")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="no push"),
        pytest.param({"push": {"changes": []}}, id="no changes"),
        pytest.param({"push": {"changes": {}}}, id="changes are no list"),
        pytest.param({"push": {"changes": [None]}}, id="a change is null"),
        pytest.param(change(old=None, new=None), id="both sides null"),
        pytest.param(change(old=None, new={"type": "branch"}), id="no name"),
        pytest.param(change(old=None, new={"type": "branch", "name": ""}), id="an empty name"),
        pytest.param(change(old=None, new={"type": "branch", "name": "a\ud800"}), id="a lone surrogate"),
        pytest.param(change(old=None, new={"type": "branch", "name": "a\0"}), id="a NUL"),
        pytest.param(change(old=None, new={"type": "branch", "name": "a" * 1025}), id="an endless name"),
        pytest.param(change(old=None, new={"type": "wormhole", "name": "a"}), id="an unknown kind of ref"),
    ],
)
def test_an_odd_push_makes_the_repository_dirty(body: dict[str, Any]) -> None:
    _, dirty, problem = parse("repo:push", **body)
    assert dirty == [("repository", "")]
    assert problem


def test_a_push_of_many_branches_makes_the_repository_dirty_once() -> None:
    def pushed(count: int) -> list[tuple[str, str]]:
        changes = [{"old": None, "new": {"type": "branch", "name": f"b{number}"}} for number in range(count)]
        return parse("repo:push", push={"changes": changes})[1]

    assert len(pushed(delivery.BRANCHES_MAX)) == delivery.BRANCHES_MAX
    assert pushed(delivery.BRANCHES_MAX + 1) == [("repository", "")]


def test_a_branch_that_is_named_twice_is_dirty_once() -> None:
    ref = {"type": "branch", "name": "main"}
    assert parse("repo:push", push={"changes": [{"old": ref, "new": ref}] * 3})[1] == [("branch", "main")]


def test_a_status_without_a_full_hash_makes_the_repository_dirty() -> None:
    _, dirty, problem = parse("repo:commit_status_created", commit_status={"commit": {"hash": COMMIT[:12]}})
    assert dirty == [("repository", "")]
    assert problem


def test_a_delivery_without_an_event_key_makes_the_repository_dirty() -> None:
    event = delivery.parse({}, recorded.dumped({"repository": {"uuid": HOME}}))
    assert [one.dirt for one in event.dirty] == [Dirt.REPOSITORY]
    assert event.kind == ""


@pytest.mark.parametrize("key", ["", "no colon", "Repo:Push", "repo:" + "x" * 100, "repo:push\n"])
def test_an_impossible_event_key_is_not_passed_on(key: str) -> None:
    event = delivery.parse({"X-Event-Key": key}, recorded.dumped({"repository": {"uuid": HOME}}))
    assert event.kind == ""
    assert event.problem


def test_a_uuid_is_normalised() -> None:
    bare = HOME.strip("{}").upper()
    event = delivery.parse({"x-event-key": "repo:updated"}, recorded.dumped({"repository": {"uuid": bare}}))
    assert event.repository == HOME


# ----------------------------------------------------------------------------------------------------- hostile bodies


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"payload=%7B%7D", id="form data"),
        pytest.param(b"\x1f\x8b\x08\x00", id="gzip"),
        pytest.param(b'{"a": "\xff"}', id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param('{"a": 1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": -Infinity}', id="infinity"),
        pytest.param(b"{} {}", id="two texts"),
        pytest.param(b'{"a":' * 100_000, id="deep objects"),
        pytest.param(b"[" * 500_000, id="deep lists"),
        pytest.param(b'{"a": ' + b" " * delivery.BODY_BYTES_MAX + b"1}", id="over 1 MiB"),
    ],
)
def test_what_is_not_json_is_unreadable(body: bytes) -> None:
    with pytest.raises(delivery.Unreadable):
        delivery.parse({"x-event-key": "repo:push"}, body)


def test_the_text_of_the_refusal_never_quotes_the_body() -> None:
    with pytest.raises(delivery.Unreadable) as refusal:
        delivery.parse({"x-event-key": "repo:push"}, b'{"name": "Ada Lovelace" oops}')
    assert "Ada" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    "filler",
    [
        pytest.param(b"9" * 1_000_000, id="one huge integer"),
        pytest.param(b"0." + b"9" * 1_000_000, id="one huge fraction"),
        pytest.param(b"1e" + b"9" * 1_000, id="one huge exponent"),
        pytest.param(b"[" + b"[]," * 300_000 + b"[]]", id="many lists"),
        pytest.param(b"[" * 500 + b"]" * 500, id="nested within bounds"),
        pytest.param(b'"' + b"\\ud800" * 100_000 + b'"', id="lone surrogates"),
    ],
)
def test_a_hostile_body_is_parsed_in_bounded_time(filler: bytes) -> None:
    body = b'{"x": ' + filler + b', "repository": {"uuid": "' + HOME.encode() + b'"}}'
    started = time.process_time()
    event = delivery.parse({"x-event-key": "repo:updated"}, body)
    assert time.process_time() - started < 2
    assert [one.dirt for one in event.dirty] == [Dirt.REPOSITORY]


@pytest.mark.parametrize("body", [b"null", b"[]", b"3", b'"a"', b"true"])
def test_json_that_is_no_object_is_an_event_that_names_nothing(body: bytes) -> None:
    event = delivery.parse({"x-event-key": "repo:push"}, body)
    assert (event.repository, event.dirty, event.problem) == (None, (), "the body is not an object")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = ["repository", "uuid", "push", "changes", "old", "new", "type", "name", "pullrequest", "id", "updated_on"]
KEYS += ["commit_status", "commit", "hash", "links", "href", "destination"]
SHAPED = st.recursive(
    st.sampled_from(
        [None, 1, True, "branch", "tag", HOME, COMMIT, "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=30,
)
EVENT_KEYS = st.sampled_from(["repo:push", "pullrequest:updated", "repo:commit_status_created", "issue:created", "x:y"])


@settings(max_examples=150, deadline=None)
@given(key=EVENT_KEYS | st.text(), loaded=JSON | SHAPED)
def test_every_json_is_an_event(key: str, loaded: Any) -> None:
    event = delivery.parse({"x-event-key": key}, recorded.dumped(loaded))
    assert all(one.repository == event.repository for one in event.dirty)
    for one in event.dirty:
        one.name.encode("utf-8")
        assert bool(one.name) is (one.dirt is not Dirt.REPOSITORY)


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=300))
def test_any_bytes_are_an_event_or_unreadable(body: bytes) -> None:
    try:
        event = delivery.parse({"x-event-key": "repo:push"}, body)
    except delivery.Unreadable:
        return
    assert event.kind == "repo:push"


@settings(max_examples=100, deadline=None)
@given(header=st.binary(max_size=80), body=st.binary(max_size=50))
def test_no_header_is_good_by_chance(header: bytes, body: bytes) -> None:
    assert delivery.verify([(b"x-hub-signature", header)], body, [SECRET]) in {"malformed", "wrong"}
