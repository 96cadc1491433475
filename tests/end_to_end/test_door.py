"""What reaches the hooks listener of a running daemon: forged, oversized, and every recorded delivery."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import shared
from tests.bitbucket import recorded
from tests.end_to_end.running import House, signed

BODY = b'{"repository": {"uuid": "{00000000-0000-0000-0000-000000000000}"}, "actor": {}}'
EVENT = {"Content-Type": "application/json", "X-Event-Key": "repo:push", "X-Request-UUID": "forged"}
GOOD = signed(BODY)


@pytest.fixture(scope="module")
def slow_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A daemon that waits for an hour of quiet before it reads what it marked: the marks can be looked at."""
    made = House(tmp_path_factory.mktemp("slow"), spec={"quiet": '"1h"'})
    with made.open():
        _begin(made)
        yield made


def _begin(made: House) -> None:
    made.start()
    made.wait_for(lambda: bool(made.log_lines("compare.finished")), "the first compare is done")
    made.wait_for(lambda: len(made.rows("SELECT id FROM endpoint WHERE active")) == 3, "the webhooks are there")
    made.wait_for(lambda: not made.rows("SELECT 1 FROM dirty_record WHERE not_before = since"), "it is planned")


# ---------------------------------------------------------------------------------------------------------- forged


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(BODY, EVENT, 401, id="no signature"),
        pytest.param(BODY, {**EVENT, "X-Hub-Signature": signed(BODY, "other")}, 401, id="of another secret"),
        pytest.param(BODY, {**EVENT, "X-Hub-Signature": GOOD[:-1]}, 401, id="one digit short"),
        pytest.param(BODY, {**EVENT, "X-Hub-Signature": "sha256="}, 401, id="no digit"),
        pytest.param(BODY + b" ", {**EVENT, "X-Hub-Signature": GOOD}, 401, id="of another body"),
        pytest.param(b"{not json", {**EVENT, "X-Hub-Signature": GOOD}, 401, id="not JSON and not signed"),
        pytest.param(b" " * 1_048_577, {**EVENT, "X-Hub-Signature": signed(b" " * 1_048_577)}, 413, id="over a MiB"),
    ],
)
def test_what_is_not_genuine_or_too_large_is_refused_and_leaves_no_trace(
    slow_house: House, body: bytes, headers: dict[str, str], status: int
) -> None:
    before = _count(slow_house)
    answer = slow_house.post(_bitbucket(slow_house), body, headers)
    assert (answer.status_code, answer.content) == (status, b"")
    assert _count(slow_house) == before


def test_an_oversized_body_without_a_length_is_refused_while_it_comes(slow_house: House) -> None:
    before = _count(slow_house)
    pieces = (b" " * 65_536 for _ in range(64))
    try:
        status = slow_house.post(_bitbucket(slow_house), pieces, EVENT).status_code  # type: ignore[arg-type]  # chunked
    except OSError:
        # The listener may hang up while we still send: that is a refusal too.
        status = 413
    assert status == 413
    assert _count(slow_house) == before


@pytest.mark.parametrize("endpoint", ["0" * 32, "..", "a/b"])
def test_an_endpoint_that_does_not_exist_is_not_found(slow_house: House, endpoint: str) -> None:
    assert slow_house.post(endpoint, BODY, {**EVENT, "X-Hub-Signature": GOOD}).status_code == 404


def test_an_endpoint_of_one_service_does_not_take_the_other_services_deliveries(slow_house: House) -> None:
    answer = slow_house.post(_bitbucket(slow_house), BODY, {**EVENT, "X-Hub-Signature": GOOD}, provider="airtable")
    assert answer.status_code == 404


def test_a_signed_body_that_is_no_json_is_kept_in_quarantine(slow_house: House) -> None:
    assert slow_house.deliver(_bitbucket(slow_house), b"{not json", "repo:push", "quarantined") == 200
    slow_house.wait_for(lambda: _disposition(slow_house, "quarantined") == "quarantined", "it is in quarantine")


# -------------------------------------------------------------------------------------------------------- recorded


def test_every_recorded_delivery_is_stored_and_found_not_to_concern_this_spec(slow_house: House) -> None:
    names = recorded.DELIVERIES
    _require(names)
    endpoint, marks = _bitbucket(slow_house), _marks(slow_house)
    for name in names:
        assert slow_house.deliver(endpoint, recorded.body(name), recorded.event_key(name), f"as is {name}") == 200, name
    slow_house.wait_for(lambda: not _waiting(slow_house), "all of them are read")
    told = {name: _disposition(slow_house, f"as is {name}") for name in names}
    assert told == dict.fromkeys(names, "not concerning")
    assert _marks(slow_house) == marks
    assert slow_house.log_lines("worker.failed") == []


def test_every_recorded_delivery_about_a_known_repository_marks_its_objects(slow_house: House) -> None:
    _require(recorded.DELIVERIES)
    home = slow_house.repository("web")
    endpoint, expected, told = _bitbucket(slow_house), set(_marks(slow_house)), {}
    for name in recorded.DELIVERIES:
        loaded = shared.load(f"{recorded.FOLDER}/{name}")
        body = _moved(loaded, home)
        marks = _expected(recorded.event_key(name), json.loads(body))
        expected |= {(home, kind, what) for kind, what in marks}
        told[name] = "marked" if marks else "not concerning"
        assert slow_house.deliver(endpoint, body, recorded.event_key(name), f"ours {name}") == 200, name
    slow_house.wait_for(lambda: not _waiting(slow_house), "all of them are read")
    assert {name: _disposition(slow_house, f"ours {name}") for name in told} == told
    assert set(_marks(slow_house)) == expected
    assert len(expected) > 20
    assert slow_house.log_lines("worker.failed") == []


def test_the_recorded_ping_is_stored_and_only_says_look(slow_house: House) -> None:
    body = shared.path("fixtures/airtable/webhook-ping--pyairtable.json").read_bytes()
    (hook,) = slow_house.in_airtable("hooks")
    key = base64.b64decode(hook["macSecretBase64"])
    endpoint, listed = slow_house.endpoint("airtable"), _listings(slow_house)
    good = "hmac-sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
    for headers, status in (({}, 401), ({"X-Airtable-Content-MAC": good[:-2]}, 401)):
        assert slow_house.post(endpoint, body, headers, provider="airtable").status_code == status
    assert slow_house.post(endpoint, body, {"X-Airtable-Content-MAC": good}, provider="airtable").status_code == 200
    slow_house.wait_for(lambda: _listings(slow_house) > listed, "the payloads are listed")
    assert slow_house.rows("SELECT disposition FROM inbox WHERE body = ?", body)[0]["disposition"] == "marked"


def test_every_recorded_payload_is_read_and_one_of_this_table_marks_its_records(own_house: House) -> None:
    house = own_house
    house.change_spec("quiet", '"1h"')
    _begin(house)
    page = shared.load("fixtures/airtable/webhook-payloads-page--airtable-net.json")["response"]
    envelope = shared.load("fixtures/airtable/webhook-payload-envelope--pyairtable.json")
    changed = shared.load("fixtures/airtable/webhook-table-changed--pyairtable.json")
    cells = shared.load("fixtures/airtable/webhook-payload-cells-v2--constructed.json")
    foreign = [*page["payloads"], envelope, cells, {**envelope, "changedTablesById": {"tbl00000000000001": changed}}]
    ours = [_renamed(payload, house.world.table) for payload in foreign]
    named = {
        record
        for payload in ours
        for table in payload.get("changedTablesById", {}).values()
        for part in ("createdRecordsById", "changedRecordsById")
        for record in table.get(part, {})
    } | set(changed["destroyedRecordIds"])
    assert len(named) > 4

    _serve(house, foreign)
    assert not named & _dirty(house)
    _serve(house, ours)
    assert named <= _dirty(house)
    assert house.log_lines("worker.failed") == []


def _serve(house: House, payloads: list[dict[str, Any]]) -> None:
    """Let the next listing answer these payloads, as the service would, and wait until it was read."""
    (endpoint,) = house.rows("SELECT id, cursor FROM endpoint WHERE provider = 'airtable' AND active = 1")
    answer = {"payloads": payloads, "cursor": endpoint["cursor"] + len(payloads), "mightHaveMore": False}
    house.in_airtable(
        "set_fault",
        kind="refuse",
        method="GET",
        route="/payloads",
        status=200,
        body=json.dumps(answer),
        headers={"content-type": "application/json"},
    )
    house.in_airtable("ring")
    house.wait_for(lambda: _cursor(house) >= answer["cursor"], "the payloads are read")


def _cursor(house: House) -> int:
    return max(int(row["cursor"]) for row in house.rows("SELECT cursor FROM endpoint WHERE provider = 'airtable'"))


def _renamed(payload: dict[str, Any], table: str) -> dict[str, Any]:
    bodies = list(payload.get("changedTablesById", {}).values())
    assert len(bodies) <= 1
    return {**payload, "changedTablesById": {table: bodies[0]} if bodies else {}}


def _moved(loaded: dict[str, Any], home: str) -> bytes:
    """A recorded delivery as if it had happened in a repository of this spec."""
    loaded["repository"]["uuid"] = home
    pull_request = loaded.get("pullrequest", {})
    if "destination" in pull_request:
        pull_request["destination"]["repository"]["uuid"] = home
    return json.dumps(loaded, ensure_ascii=False).encode()


def _expected(event: str, loaded: dict[str, Any]) -> set[tuple[str, str]]:
    """What a delivery is about, read off the recorded bodies (reference/bitbucket.md 6)."""
    if event.startswith("issue:") or event in {"repo:fork", "repo:commit_comment_created"}:
        return set()
    if event.startswith("pullrequest:"):
        return {("pull request", str(loaded["pullrequest"]["id"]))}
    if event == "repo:push":
        if not loaded["push"]["changes"]:
            return {("repository", "")}  # it says that something was pushed, and not what
        ends = [change[side] for change in loaded["push"]["changes"] for side in ("old", "new") if change[side]]
        return {("branch", end["name"]) for end in ends if "tag" not in end["type"]}
    if event.startswith("repo:commit_status_"):
        status = loaded["commit_status"]
        links = status["links"]["commit"]["href"]
        return {("commit", links.rstrip("/").rpartition("/")[2])}
    return {("repository", "")}


def _require(names: list[str]) -> None:
    shared.path(recorded.FOLDER)
    assert len(names) > 90


def _bitbucket(house: House) -> str:
    return house.endpoint("bitbucket", house.repository("web"))


def _count(house: House) -> int:
    return int(house.rows("SELECT count(*) AS found FROM inbox")[0]["found"])


def _waiting(house: House) -> int:
    return int(house.rows("SELECT count(*) AS found FROM inbox WHERE disposition IS NULL")[0]["found"])


def _disposition(house: House, request: str) -> str | None:
    rows = house.rows("SELECT disposition FROM inbox WHERE request = ?", request)
    assert len(rows) == 1
    return None if rows[0]["disposition"] is None else str(rows[0]["disposition"])


def _marks(house: House) -> list[tuple[str, str, str]]:
    rows = house.rows("SELECT repository, dirt, name FROM dirty_work ORDER BY 1, 2, 3")
    return [(row["repository"], row["dirt"], row["name"]) for row in rows]


def _dirty(house: House) -> set[str]:
    return {str(row["record"]) for row in house.rows("SELECT record FROM dirty_record")}


def _listings(house: House) -> int:
    return len([entry for entry in house.calls(0) if entry.path.endswith("/payloads")])
