"""Access, limits, schema, truth and determinism of the emulated Airtable."""

import json
import random
from dataclasses import fields
from enum import Enum
from typing import Any

import pytest

from syncd.sandbox.airtable.world import Limits
from syncd.sandbox.choices import Choices, RatePenalty, UnknownToken, draw
from syncd.sandbox.wire import Request
from tests.sandbox.airtable_setup import ANNA, BOT, TOKEN, Lab, lab

NARROW = Limits()


@pytest.mark.parametrize(
    ("choice", "kind"),
    [(UnknownToken.AUTHENTICATION_REQUIRED, "AUTHENTICATION_REQUIRED"), (UnknownToken.UNAUTHORIZED, "UNAUTHORIZED")],
    ids=["recorded", "other"],
)
def test_unknown_revoked_or_expired_token_is_401(choice: UnknownToken, kind: str) -> None:
    service = lab(Choices(unknown_token=choice))
    service.control("add_token", user=BOT, token="short", expires_at="2026-11-21T07:00:00+00:00")
    assert service.call("GET", "/v0/meta/whoami", token="short")[0] == 200
    service.clock.forward(hours=1)
    service.control("revoke_token", token=TOKEN)
    for token in ("short", "nobody", TOKEN):
        service.token = token
        assert service.error("GET", "/v0/meta/whoami") == (401, kind)
    service.control("restore_token", token=TOKEN)
    assert service.ok("GET", "/v0/meta/whoami") == {"id": BOT, "email": "sync.bot@example.com"}


def test_removed_grant_answers_exactly_like_an_unknown_base() -> None:
    """Trap 3."""
    service = lab()
    service.control("remove_grant", token=TOKEN)
    refused = service.raw("GET", service.rows())
    unknown = service.raw("GET", "/v0/appUnknown0000001/Features")
    assert (refused.status, refused.body) == (unknown.status, unknown.body)
    assert refused.status == 403
    assert service.ok("GET", "/v0/meta/bases") == {"bases": []}
    service.control("restore_grant", token=TOKEN)
    service.ok("GET", service.rows())


def test_unknown_table_and_missing_scope_are_the_same_403() -> None:
    """Trap 3."""
    service = lab()
    service.control("add_token", user=BOT, token="reader", scopes=["data.records:read"])
    service.token = "reader"
    unknown = service.raw("GET", service.rows("Nothing"))
    scope = service.raw("POST", service.rows(), {"fields": {}})
    assert (unknown.status, unknown.body) == (scope.status, scope.body)
    assert unknown.status == 403


def test_role_and_field_permission_refuse_the_whole_write() -> None:
    service = lab()
    record = service.create({"Name": "a"})[0]
    service.control("lock_field", table="Features", field="Status", locked=True)
    status, answer = service.call("POST", service.rows(), {"fields": {"Name": "b", "Status": "Ready"}})
    assert (status, answer["error"]["type"]) == (403, "INVALID_PERMISSIONS")
    assert answer["error"]["message"] == f"You are not permitted to create records in table Features ({service.table})"
    update = {"fields": {"Status": "Ready"}}
    assert service.error("PATCH", f"{service.rows()}/{record}", update) == (403, "INVALID_PERMISSIONS")
    service.control("set_role", user=BOT, role="read")
    assert service.error("DELETE", f"{service.rows()}/{record}") == (403, "INVALID_PERMISSIONS")


@pytest.mark.parametrize(
    "path",
    ["/v0/junk/Features", "/v0/meta/bases/junk/tables", "/v0/{base}/Features/rec1", "/v1/x/y", "/", "/v0/{base}/a/b/c"],
)
def test_malformed_id_or_path_is_404_before_the_token_is_looked_at(path: str) -> None:
    service = lab()
    service.token = "nobody"
    status, answer = service.call("GET", path.format(base=service.base))
    assert (status, answer) == (404, {"error": "NOT_FOUND"})


# ----------------------------------------------------------------------------------------------------------- limits


def test_sixth_request_of_a_second_is_throttled_for_all_clients_together() -> None:
    """Trap 20."""
    service = lab(limits=NARROW)
    assert service.control("consume_rate", requests=3) == {"refused": 0}
    for _ in range(2):
        assert service.call("GET", service.rows())[0] == 200
    answer = service.raw("GET", service.rows())
    assert answer.status == 429
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("choice", list(RatePenalty), ids=lambda each: each.value)
def test_after_a_429_the_base_waits_or_only_the_excess_is_refused(choice: RatePenalty) -> None:
    service = lab(Choices(rate_penalty=choice), limits=NARROW)
    service.control("consume_rate", requests=5)
    assert service.error("GET", service.rows()) == (429, "RATE_LIMIT_REACHED")
    service.clock.forward(seconds=1)
    assert service.call("GET", service.rows())[0] == (429 if choice is RatePenalty.THIRTY_SECONDS else 200)
    service.clock.forward(seconds=29.5)
    assert service.call("GET", service.rows())[0] == (429 if choice is RatePenalty.THIRTY_SECONDS else 200)
    service.clock.forward(seconds=30)
    assert service.call("GET", service.rows())[0] == 200


def test_fifty_requests_a_second_are_a_users_limit_over_all_tokens() -> None:
    service = lab(limits=Limits(base_per_second=None))
    service.control("add_token", user=BOT, token="second")
    for at in range(50):
        assert service.call("GET", "/v0/meta/whoami", token="second" if at % 2 else TOKEN)[0] == 200
    assert service.error("GET", "/v0/meta/whoami") == (429, "RATE_LIMIT_REACHED")
    assert service.call("GET", "/v0/meta/whoami", token=anna(service))[0] == 200


def anna(service: Lab) -> str:
    return str(service.control("add_token", user=ANNA)["token"])


def test_spent_quota_is_the_other_429_and_lasts_until_the_month_turns() -> None:
    """Trap 19: the schema still answers."""
    service = lab(monthly=100)
    service.control("spend_quota", calls=99)
    assert service.call("GET", service.rows())[0] == 200
    assert service.error("GET", service.rows()) == (429, "PUBLIC_API_BILLING_LIMIT_EXCEEDED")
    assert service.call("GET", f"/v0/meta/bases/{service.base}/tables")[0] == 200
    service.clock.forward(days=9)
    assert service.call("GET", service.rows())[0] == 429
    service.clock.forward(days=1)
    assert service.call("GET", service.rows())[0] == 200
    assert service.control("usage")["spent"] == 1


# ----------------------------------------------------------------------------------------------------------- schema


def test_schema_can_be_read_and_the_permitted_part_changed() -> None:
    service = lab()
    meta = f"/v0/meta/bases/{service.base}/tables"
    table = service.ok("GET", meta)["tables"][0]
    assert table["primaryFieldId"] == service.fld("Name")
    assert [each["name"] for each in table["fields"][1]["options"]["choices"]] == ["Planned", "Ready", "Done"]
    assert "visibleFieldIds" not in table["views"][0]
    shown = service.ok("GET", meta, query={"include": "visibleFieldIds"})["tables"][0]["views"][0]
    assert shown["visibleFieldIds"][0] == service.fld("Name")
    made = service.ok("POST", f"{meta}/{service.table}/fields", {"name": "Link", "type": "url", "description": "d"})
    assert (made["type"], made["description"]) == ("url", "d")
    renamed = service.ok("PATCH", f"{meta}/{service.table}/fields/{made['id']}", {"name": "Address"})
    assert renamed["name"] == "Address"
    formula = {"name": "F", "type": "formula", "options": {"formula": "1"}}
    assert service.error("POST", f"{meta}/{service.table}/fields", formula)[0] == 422
    new = {"name": "New", "fields": [{"name": "Name", "type": "singleLineText"}]}
    assert service.ok("POST", meta, new)["views"][0]["name"] == "Grid view"
    service.ok("PATCH", f"{meta}/{service.table}", {"name": "Items"})
    people = service.ok("GET", f"/v0/meta/bases/{service.base}", query={"include": "collaborators"})
    assert people["individualCollaborators"]["baseCollaborators"][1]["email"] == "anna@example.com"


def test_retyped_field_converts_its_cells_and_deleted_choice_clears_them() -> None:
    service = lab()
    first, second = service.create({"Name": "5", "Status": "Ready"}, {"Name": "x", "Status": "Done"})
    service.control("retype_field", table="Features", field="Name", type="number")
    assert service.fields(first)["Name"] == 5
    assert "Name" not in service.fields(second)
    service.control("delete_choice", table="Features", field="Status", choice="Ready")
    assert "Status" not in service.fields(first)
    assert (
        service.error("POST", service.rows(), {"fields": {"Status": "Ready"}})[1] == "INVALID_MULTIPLE_CHOICE_OPTIONS"
    )


def test_deleted_table_is_403_and_its_records_are_gone() -> None:
    service = lab()
    record = service.create({"Name": "a"})[0]
    service.control("delete_table", table="Features")
    assert service.call("GET", service.rows())[0] == 403
    assert service.call("GET", f"{service.rows('People')}/{record}")[0] == 404


# ------------------------------------------------------------------------------------------------- truth, determinism


def test_log_holds_the_true_values_before_and_after_whoever_acted() -> None:
    service = lab()
    record = service.create({"Estimate": 1})[0]
    service.control("edit", record=record, cells={"Estimate": 2}, user=ANNA)
    service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Estimate": 3}})
    service.call("PATCH", f"{service.rows()}/{record}", {"fields": {"Estimate": "no"}})
    service.ok("GET", f"{service.rows()}/{record}")
    rows = service.control("log", since=len(service.machine.log) - 5)
    assert [(row["actor"], row["method"], row["status"]) for row in rows] == [
        (BOT, "POST", 200),
        (ANNA, "CONTROL", 200),
        (BOT, "PATCH", 200),
        (BOT, "PATCH", 422),
        (BOT, "GET", 200),
    ]
    moves = [
        (each["before"], each["after"]) for row in rows for each in row["changes"] if each["attribute"] != "exists"
    ]
    assert moves == [(None, 1), (1, 2), (2, 3)]
    assert [row["sequence"] for row in rows] == list(range(rows[0]["sequence"], rows[0]["sequence"] + 5))


def test_control_refuses_what_it_does_not_know_and_changes_nothing() -> None:
    service = lab()
    known = service.create({"Name": "a"}, {"Name": "b"})
    before = service.control("records", table="Features")
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("dance", {}),
        ("edit", {"record": "recMissing0000001", "cells": {}}),
        ("edit", {"cells": {}}),
        ("edit", {"records": {at: {"Name": "z", "Estimate": "no"} for at in known}}),
        ("edit", {"records": {known[0]: {"Name": "z"}, known[1]: {"Nope": 1}}}),
        ("edit", {"record": known[0], "cells": ["Name"]}),
        ("create", {"table": "Features", "cells": {"Nope": 1}}),
        ("compute", {"record": known[0], "cells": {"Sum": 1, "Name": 2}}),
        ("add_base", {"name": "Other", "roles": {BOT: "create"}, "tables": [{"name": "T", "fields": [{"name": "x"}]}]}),
        ("add_token", {"user": BOT, "scopes": ["all"]}),
        ("set_limits", {"speed": 1}),
    ]
    for verb, arguments in wrong:
        with pytest.raises(ValueError, match=verb):
            service.machine.control(verb, arguments, service.clock.now)
    assert service.control("records", table="Features") == before


def exercise(service: Lab, rng: random.Random) -> list[bytes]:
    """A fixed mix of calls; every answer as bytes."""
    said: list[bytes] = []
    hook = service.hook()
    records = service.create(*[{"Name": str(at), "Files": [{"url": "https://x.example/a"}]} for at in range(8)])
    for _ in range(60):
        service.clock.forward(seconds=rng.randrange(1, 600))
        record = rng.choice(records)
        said.append(service.raw("PATCH", f"{service.rows()}/{record}", {"fields": {"Estimate": rng.randrange(5)}}).body)
        service.control("edit", record=rng.choice(records), cells={"Status": rng.choice(["Ready", "Done", None])})
        said.append(service.raw("GET", service.rows(), query={"pageSize": 3}).body)
        said.append(service.raw("GET", f"{service.hooks_path}/{hook}/payloads", query={"cursor": 1}).body)
        for delivery in service.machine.due(service.clock.now):
            said += [delivery.body, str(delivery.headers).encode()]
            service.machine.delivered(delivery, rng.choice([200, 500, None]), service.clock.now)
    said.append(json.dumps(service.control("log"), sort_keys=True).encode())
    return said


@pytest.mark.parametrize("seed", range(3))
def test_same_calls_give_the_same_bytes(seed: int) -> None:
    def run() -> list[bytes]:
        return exercise(lab(draw(random.Random(seed)), seed=seed), random.Random(seed))

    assert run() == run()


def test_draw_reaches_every_answer_of_every_point() -> None:
    drawn = [draw(random.Random(seed)) for seed in range(100)]
    for point in fields(Choices):
        seen = {getattr(each, point.name) for each in drawn}
        kind: type[Enum] = type(getattr(Choices(), point.name))
        assert seen == set(kind)
    assert draw(random.Random(5)) == draw(random.Random(5))


ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "x",
    "rec",
    "\ud800",
    [],
    [[]],
    [{}],
    {},
    {"id": []},
    {"text": 3},
    "9" * 30,
]
KEYS = [
    "fields", "records", "performUpsert", "typecast", "returnFieldsByFieldId", "sort", "view", "offset", "pageSize",
    "filterByFormula", "fieldsToMergeOn", "specification", "notificationUrl", "enable", "name", "type", "options", "text",
    "cellFormat", "recordMetadata", "maxRecords",
]  # fmt: skip


def odd(rng: random.Random, service: Lab, depth: int = 0) -> Any:
    kind = rng.random()
    if kind < 0.35 or depth > 3:
        return rng.choice(ODD)
    if kind < 0.5:
        return [odd(rng, service, depth + 1) for _ in range(rng.randrange(3))]
    names = [
        *KEYS,
        "id",
        "choices",
        "filters",
        "includes",
        "dataTypes",
        "recordChangeScope",
        *service.ids["tables"]["Features"]["fields"],
    ]
    return {rng.choice(names): odd(rng, service, depth + 1) for _ in range(rng.randrange(5))}


@pytest.mark.parametrize("seed", range(8))
def test_nothing_a_client_sends_makes_it_raise_or_half_apply(seed: int) -> None:
    rng = random.Random(seed)
    service = lab(seed=seed)
    record = service.create({"Name": "a"})[0]
    hook = service.hook()
    paths = [
        service.rows(),
        f"{service.rows()}/{record}",
        f"{service.rows()}/listRecords",
        f"{service.rows()}/{record}/comments",
        service.hooks_path,
        f"{service.hooks_path}/{hook}/payloads",
        f"{service.hooks_path}/{hook}/enableNotifications",
        f"/v0/meta/bases/{service.base}/tables",
        f"/v0/meta/bases/{service.base}/tables/{service.table}",
        f"/v0/meta/bases/{service.base}/tables/{service.table}/fields",
        "/v0/%ff%2f/..",
    ]
    for _ in range(400):
        body: Any = {rng.choice(KEYS): odd(rng, service) for _ in range(rng.randrange(1, 4))}
        if rng.random() < 0.3:
            body = {"fields": {rng.choice(list(service.ids["tables"]["Features"]["fields"])): odd(rng, service)}}
        before = len(service.machine.log)
        request = Request(
            method=rng.choice(["GET", "POST", "PATCH", "PUT", "BREW"]),
            path=rng.choice(paths),
            query=((rng.choice([*KEYS, "sort[0][field]", "fields[]", "cursor", "limit"]), str(odd(rng, service))),),
            headers={"authorization": f"Bearer {TOKEN}"},
            body=json.dumps(body).encode(),
        )
        answer = service.machine.handle(request, service.clock.now)
        assert 200 <= answer.status < 500
        entry = service.machine.log[before]
        assert answer.status == 200 or entry.changes == ()
        assert not answer.body or json.loads(answer.body) is not None
