"""Webhooks of the emulated Airtable: payloads, cursor, life, pings (reference/airtable.md section 5 and traps 4, 6-12, 28)."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from syncd.sandbox.airtable.world import Limits
from syncd.sandbox.choices import (
    Choices,
    ClearedCell,
    ComputedChanges,
    EmptiedLog,
    InvalidCursor,
    PayloadCreatedTime,
    PayloadSplit,
    PersonCreates,
    PingGaps,
)
from tests.sandbox.airtable_setup import ANNA, BOT, START, Lab, lab

BARE = Choices(person_creates=PersonCreates.AT_ONCE)


def changed(payload: dict[str, Any], service: Lab, record: str) -> Any:
    return payload["changedTablesById"][service.table]["changedRecordsById"][record]


def test_hook_form_is_not_the_rest_form() -> None:
    """Trap 4."""
    service = lab()
    record = service.create({"Name": "a"})[0]
    hook = service.hook()
    cells = {"Status": "Ready", "Tags": ["Red"], "Owner": {"id": ANNA}}
    service.ok("PATCH", f"{service.rows()}/{record}", {"fields": cells})
    current = changed(service.payloads(hook)[0], service, record)["current"]["cellValuesByFieldId"]
    assert current[service.fld("Status")]["name"] == "Ready"
    assert set(current[service.fld("Status")]) == {"id", "name", "color"}
    assert [each["name"] for each in current[service.fld("Tags")]] == ["Red"]
    assert set(current[service.fld("Owner")]) == {"id", "email", "permissionLevel", "name", "profilePicUrl"}
    assert service.fields(record)["Status"] == "Ready"


def test_lookup_in_a_payload_names_its_linked_records() -> None:
    """Trap 4."""
    people = {"name": "People", "id": "tblPeople00000001", "fields": [{"name": "Name", "type": "singleLineText"}]}
    features = {"name": "Features", "fields": [{"name": "Name", "type": "singleLineText"}]}
    service = lab(tables=[features, people])
    options = {"linkedTableId": people["id"]}
    link = service.control("add_field", table="Features", name="Who", type="multipleRecordLinks", options=options)["id"]
    looked = {"recordLinkFieldId": link, "fieldIdInLinkedTable": service.fld("Name", "People")}
    lookup = service.control("add_field", table="Features", name="N", type="multipleLookupValues", options=looked)["id"]
    anna = service.ok("POST", service.rows("People"), {"fields": {"Name": "Anna"}})["id"]
    record = service.create({"Name": "f"})[0]
    hook = service.hook()
    service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Who": [anna]}})
    tables = service.payloads(hook)[0]["changedTablesById"]
    current = tables[service.table]["changedRecordsById"][record]["current"]["cellValuesByFieldId"]
    assert current[link] == [{"id": anna, "name": "Anna"}]
    assert current[lookup] == {"linkedRecordIds": [anna], "valuesByLinkedRecordId": {anna: ["Anna"]}}
    assert list(tables["tblPeople00000001"]["changedRecordsById"]) == [anna]


def test_twenty_single_writes_give_twenty_payloads_numbered_from_one() -> None:
    """Trap 8: the hook's numbers are a key, the base's transactions are not contiguous for it."""
    service = lab()
    record, other = service.create({"Name": "a"}, {"Name": "b"})
    hook = service.hook(watchDataInFieldIds=[service.fld("Name")])
    for at in range(20):
        service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Name": f"a{at}"}})
        service.ok("PATCH", f"{service.rows()}/{other}", {"fields": {"Estimate": at}})
    page = service.page(hook)
    assert (len(page["payloads"]), page["cursor"], page["mightHaveMore"]) == (20, 21, False)
    numbers = [each["baseTransactionNumber"] for each in page["payloads"]]
    assert numbers == sorted(numbers)
    assert numbers[-1] - numbers[0] > 19
    assert service.entry(hook)["cursorForNextPayload"] == 21


def test_pages_of_fifty_say_that_more_may_come() -> None:
    service = lab()
    hook = service.hook()
    for at in range(60):
        service.ok("POST", service.rows(), {"fields": {"Name": str(at)}})
    first = service.page(hook)
    assert (len(first["payloads"]), first["cursor"], first["mightHaveMore"]) == (50, 51, True)
    second = service.page(hook, 51)
    assert (len(second["payloads"]), second["cursor"], second["mightHaveMore"]) == (10, 61, False)
    assert service.page(hook, 61) == {"payloads": [], "cursor": 61, "mightHaveMore": False, "payloadFormat": "v0"}
    assert service.page(hook, 5, limit=3)["cursor"] == 8
    assert service.error("GET", f"{service.hooks_path}/{hook}/payloads", query={"limit": 51})[0] == 422


def test_old_cursor_skips_silently() -> None:
    """Trap 7: the loss shows in arithmetic only."""
    service = lab()
    hook = service.hook()
    for at in range(10):
        service.create({"Name": str(at)})
    service.control("drop_payloads", hook=hook, keep=4)
    page = service.page(hook, 3)
    assert (len(page["payloads"]), page["cursor"]) == (4, 11)
    assert page["cursor"] - len(page["payloads"]) > 3


def test_payloads_go_after_seven_days() -> None:
    """Trap 7."""
    service = lab()
    hook = service.hook()
    service.create({"Name": "old"})
    service.clock.forward(days=4)
    service.page(hook)
    service.create({"Name": "young"})
    service.clock.forward(days=3, seconds=1)
    page = service.page(hook)
    assert (len(page["payloads"]), page["cursor"]) == (1, 3)


@pytest.mark.parametrize(("choice", "cursor"), [(EmptiedLog.NEXT_NUMBER, 4), (EmptiedLog.SAME_CURSOR, 2)], ids=str)
def test_old_cursor_into_an_emptied_log(choice: EmptiedLog, cursor: int) -> None:
    service = lab(Choices(emptied_log=choice))
    hook = service.hook()
    for at in range(3):
        service.create({"Name": str(at)})
    service.control("drop_payloads", hook=hook)
    page = service.page(hook, 2)
    assert (page["payloads"], page["cursor"], page["mightHaveMore"]) == ([], cursor, False)
    assert service.entry(hook)["cursorForNextPayload"] == 4


@pytest.mark.parametrize("cursor", ["0", "-1", "x"])
@pytest.mark.parametrize("choice", list(InvalidCursor), ids=lambda each: each.value)
def test_invalid_cursor_is_refused_or_gives_an_empty_page(choice: InvalidCursor, cursor: str) -> None:
    service = lab(Choices(invalid_cursor=choice))
    hook = service.hook()
    service.create({"Name": "a"})
    status, answer = service.call("GET", f"{service.hooks_path}/{hook}/payloads", query={"cursor": cursor})
    assert status == (422 if choice is InvalidCursor.REFUSED else 200)
    assert choice is InvalidCursor.REFUSED or answer["payloads"] == []


@pytest.mark.parametrize("choice", list(ClearedCell), ids=lambda each: each.value)
def test_cleared_cell_is_null_or_absent_in_a_payload(choice: ClearedCell) -> None:
    service = lab(Choices(cleared_cell=choice))
    record = service.create({"Name": "a", "Estimate": 3})[0]
    hook = service.hook(includes={"includePreviousCellValues": True})
    service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Estimate": None, "Flag": True}})
    entry = changed(service.payloads(hook)[0], service, record)
    current, previous = (entry[key]["cellValuesByFieldId"] for key in ("current", "previous"))
    estimate, flag = service.fld("Estimate"), service.fld("Flag")
    assert previous[estimate] == 3
    assert current[flag] is True
    if choice is ClearedCell.NULL:
        assert current[estimate] is None
        assert previous[flag] is None
    else:
        assert estimate not in current
        assert flag not in previous


@pytest.mark.parametrize(
    ("choice", "born"),
    [
        (PayloadCreatedTime.WHOLE_SECONDS_LATER, "2026-11-21T06:00:01.000Z"),
        (PayloadCreatedTime.MILLISECONDS, "2026-11-21T06:00:01.100Z"),
    ],
    ids=["recorded", "milliseconds"],
)
def test_created_time_can_be_later_than_the_payload_that_announces_it(choice: PayloadCreatedTime, born: str) -> None:
    """Trap 28."""
    service = lab(Choices(payload_created_time=choice))
    hook = service.hook()
    service.clock.forward(milliseconds=750)
    record = service.create({"Name": "a"})[0]
    payload = service.payloads(hook)[0]
    entry = payload["changedTablesById"][service.table]["createdRecordsById"][record]
    assert entry["createdTime"] == born
    assert payload["timestamp"] == "2026-11-21T06:00:00.750Z"


@pytest.mark.parametrize("choice", list(PersonCreates), ids=lambda each: each.value)
def test_person_creates_an_empty_row_first_or_all_at_once(choice: PersonCreates) -> None:
    service = lab(Choices(person_creates=choice))
    hook = service.hook()
    record = service.control("create", table="Features", cells={"Name": "a"}, user=ANNA)["id"]
    payloads = service.payloads(hook)
    made = payloads[0]["changedTablesById"][service.table]["createdRecordsById"][record]["cellValuesByFieldId"]
    first = choice is PersonCreates.EMPTY_ROW_THEN_CELLS
    assert (service.fld("Name") in made) is not first
    assert len(payloads) == (2 if first else 1)
    assert payloads[0]["actionMetadata"]["source"] == "client"
    assert payloads[0]["actionMetadata"]["sourceMetadata"]["user"]["id"] == ANNA


@pytest.mark.parametrize("choice", list(ComputedChanges), ids=lambda each: each.value)
def test_computed_cells_come_with_their_cause_or_in_a_further_payload(choice: ComputedChanges) -> None:
    service = lab(Choices(computed_changes=choice))
    record = service.create({"Name": "a"})[0]
    hook = service.hook()
    service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Name": "b"}})
    payloads = service.payloads(hook)
    cells = [changed(each, service, record)["current"]["cellValuesByFieldId"] for each in payloads]
    assert cells[-1][service.fld("Title")] == "b!"
    if choice is ComputedChanges.SAME_PAYLOAD:
        assert len(payloads) == 1
    else:
        assert len(payloads) == 2
        assert service.fld("Title") not in cells[0]
        assert payloads[0]["actionMetadata"] == payloads[1]["actionMetadata"]


@pytest.mark.parametrize(("choice", "pieces"), [(PayloadSplit.BY_3, 3), (PayloadSplit.BY_25, 1)], ids=["3", "25"])
def test_one_action_can_be_split_over_several_payloads(choice: PayloadSplit, pieces: int) -> None:
    """Trap 8: the parts share time, transaction and author."""
    service = lab(Choices(payload_split=choice))
    hook = service.hook()
    service.create(*[{"Name": str(at)} for at in range(7)])
    payloads = service.payloads(hook)
    assert len(payloads) == pieces
    assert len({each["baseTransactionNumber"] for each in payloads}) == 1
    rows = [rec for each in payloads for rec in each["changedTablesById"][service.table]["createdRecordsById"]]
    assert len(set(rows)) == 7


def test_own_writes_come_back_with_the_user_of_the_token() -> None:
    """Trap 12."""
    service = lab()
    hook = service.hook()
    service.create({"Name": "a"})
    who = service.payloads(hook)[0]["actionMetadata"]
    assert who["source"] == "publicApi"
    assert who["sourceMetadata"]["user"]["id"] == service.ok("GET", "/v0/meta/whoami")["id"] == BOT


def test_names_and_addresses_of_people_arrive_unasked() -> None:
    """Trap 25."""
    service = lab()
    record = service.create({"Owner": {"id": ANNA}})[0]
    hook = service.hook()
    service.control("edit", record=record, cells={"Name": "a"}, user=ANNA)
    assert service.payloads(hook)[0]["actionMetadata"]["sourceMetadata"]["user"]["email"] == "anna@example.com"
    assert service.fields(record)["Owner"]["name"] == "Anna"


def test_automation_can_undo_a_write_and_says_who_it_is() -> None:
    """Trap 24."""
    service = lab()
    record = service.create({"Status": "Ready"})[0]
    hook = service.hook()
    service.control("edit", record=record, cells={"Status": "Planned"}, source="automation", automation="wflA")
    done_by = service.payloads(hook)[0]["actionMetadata"]
    assert done_by == {"source": "automation", "sourceMetadata": {"automationId": "wflA"}}
    assert service.fields(record)["Status"] == "Planned"


def test_deleted_records_come_as_ids_only_and_a_restored_one_as_created() -> None:
    service = lab(BARE)
    first, second = service.create({"Name": "a"}, {"Name": "b"})
    hook = service.hook(includes={"includePreviousCellValues": True})
    service.control("delete", records=[first, second], user=ANNA)
    service.control("restore", record=first, user=ANNA)
    gone, back = service.payloads(hook)
    assert gone["changedTablesById"][service.table] == {"destroyedRecordIds": [first, second]}
    restored = back["changedTablesById"][service.table]["createdRecordsById"][first]
    assert restored["cellValuesByFieldId"][service.fld("Name")] == "a"
    assert service.fields(first)["Name"] == "a"


def test_duplicate_has_the_cells_and_another_id() -> None:
    service = lab()
    record = service.create({"Name": "a", "Status": "Ready"})[0]
    copy = service.control("duplicate", record=record, user=ANNA)["id"]
    assert copy != record
    assert service.fields(copy)["Status"] == "Ready"


def test_write_of_the_same_value_moves_nothing() -> None:
    service = lab()
    record = service.create({"Name": "a"})[0]
    before = service.fields(record)["Touched"]
    hook = service.hook()
    service.clock.forward(minutes=1)
    service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Name": "a"}})
    assert service.payloads(hook) == []
    assert service.fields(record)["Touched"] == before


# ---------------------------------------------------------------------------------------------------------- filters


def test_view_scope_tells_entering_and_leaving_apart_from_life_and_death() -> None:
    service = lab(BARE)
    view = service.ids["tables"]["Features"]["views"]["Ready only"]
    record = service.create({"Name": "a", "Status": "Planned"})[0]
    hook = service.hook(recordChangeScope=view)
    for status in ("Ready", "Done"):
        service.control("edit", record=record, cells={"Status": status})
    service.control("edit", record=record, cells={"Name": "outside"})
    entered, left = (
        each["changedTablesById"][service.table]["changedViewsById"][view] for each in service.payloads(hook)
    )
    assert list(entered) == ["createdRecordsById"]
    assert entered["createdRecordsById"][record]["cellValuesByFieldId"][service.fld("Name")] == "a"
    assert left == {"destroyedRecordIds": [record]}
    assert service.fields(record)["Name"] == "outside"


FILTERS: list[Any] = [
    pytest.param({"changeTypes": ["remove"]}, ["delete"], id="change types"),
    pytest.param({"fromSources": ["client"]}, ["delete"], id="sources"),
    pytest.param({"watch": "Estimate"}, ["estimate", "delete"], id="watched field"),
    pytest.param({"scope": "People"}, [], id="another table"),
    pytest.param({"dataTypes": ["tableFields"]}, [], id="schema only"),
    pytest.param({}, ["create", "name", "estimate", "delete"], id="none"),
]


@pytest.mark.parametrize(("given", "seen"), FILTERS)
def test_filters_choose_what_a_hook_sees(given: dict[str, Any], seen: list[str]) -> None:
    service = lab(BARE)
    filters = dict(given)
    if "watch" in filters:
        filters["watchDataInFieldIds"] = [service.fld(filters.pop("watch"))]
    if "scope" in filters:
        filters["recordChangeScope"] = service.ids["tables"][filters.pop("scope")]["id"]
    hook = service.hook(**filters)
    record = service.create({"Name": "a"})[0]
    marks = {service.fld("Name"): "name", service.fld("Estimate"): "estimate"}
    service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Name": "b"}})
    service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Estimate": 2}})
    service.control("delete", record=record)
    told = []
    for payload in service.payloads(hook):
        table = payload["changedTablesById"][service.table]
        if "createdRecordsById" in table:
            told.append("create")
        if "destroyedRecordIds" in table:
            told.append("delete")
        for entry in table.get("changedRecordsById", {}).values():
            told += [marks[each] for each in entry["current"]["cellValuesByFieldId"] if each in marks]
    assert told == seen


def test_included_fields_stand_under_unchanged() -> None:
    service = lab()
    record = service.create({"Name": "a", "Status": "Ready"})[0]
    hook = service.hook(includes={"includeCellValuesInFieldIds": [service.fld("Status")]})
    service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Name": "b"}})
    kept = changed(service.payloads(hook)[0], service, record)["unchanged"]["cellValuesByFieldId"]
    assert [each["name"] for each in kept.values()] == ["Ready"]


def test_schema_changes_are_told_to_hooks_that_ask() -> None:
    service = lab()
    both = service.hook(dataTypes=["tableFields", "tableMetadata"], includes={"includePreviousFieldDefinitions": True})
    field = service.control("add_field", table="Features", name="Extra", type="number", user=ANNA)["id"]
    service.control("rename_field", table="Features", field="Extra", name="More")
    service.control("retype_field", table="Features", field="More", type="singleLineText")
    service.control("delete_field", table="Features", field="More")
    service.control("rename_table", table="Features", name="Items")
    told = [each["changedTablesById"][service.table] for each in service.payloads(both)]
    assert told == [
        {"createdFieldsById": {field: {"name": "Extra", "type": "number"}}},
        {"changedFieldsById": {field: {"current": {"name": "More"}, "previous": {"name": "Extra"}}}},
        {"changedFieldsById": {field: {"current": {"type": "singleLineText"}, "previous": {"type": "number"}}}},
        {"destroyedFieldIds": [field]},
        {"changedMetadata": {"current": {"name": "Items"}, "previous": {"name": "Features"}}},
    ]


def test_deleting_a_filtered_field_kills_the_hook_while_the_list_looks_healthy() -> None:
    """Trap 9."""
    service = lab()
    field = service.fld("Estimate")
    hook = service.hook(watchDataInFieldIds=[field, service.fld("Name")])
    harmless = service.hook(includes={"includeCellValuesInFieldIds": [field]})
    service.control("delete_field", table="Features", field="Estimate")
    service.create({"Name": "a"})
    payloads = service.payloads(hook)
    assert [each.get("code") for each in payloads] == ["INVALID_FILTERS"]
    assert payloads[0]["error"] is True
    entry = service.entry(hook)
    assert entry["isHookEnabled"] is True
    assert entry["areNotificationsEnabled"] is True
    assert len(service.payloads(harmless)) == 1


BAD_SPECIFICATIONS: list[Any] = [
    pytest.param({"dataTypes": []}, id="no data type"),
    pytest.param({"dataTypes": ["rows"]}, id="unknown data type"),
    pytest.param({"dataTypes": ["tableData"], "recordChangeScope": "Features"}, id="a name for an id"),
    pytest.param({"dataTypes": ["tableData"], "watchDataInFieldIds": ["fldMissing0000001"]}, id="unknown field"),
    pytest.param({"dataTypes": ["tableData"], "colour": "red"}, id="unknown key"),
]


@pytest.mark.parametrize("filters", BAD_SPECIFICATIONS)
def test_bad_specification_is_refused(filters: dict[str, Any]) -> None:
    service = lab()
    body = {"notificationUrl": None, "specification": {"options": {"filters": filters}}}
    assert service.error("POST", service.hooks_path, body)[0] == 422


# ------------------------------------------------------------------------------------------------------------- life


def test_secret_is_shown_once_and_is_128_bytes() -> None:
    """Trap 10."""
    service = lab()
    body = {"specification": {"options": {"filters": {"dataTypes": ["tableData"]}}}}
    made = service.ok("POST", service.hooks_path, body)
    assert len(base64.b64decode(made["macSecretBase64"])) == 128
    assert len(made["macSecretBase64"]) == 172
    assert "macSecret" not in json.dumps(service.ok("GET", service.hooks_path))


def test_eleventh_hook_of_a_base_is_refused() -> None:
    """Trap 10."""
    service = lab()
    for _ in range(10):
        service.hook()
    body = {"specification": {"options": {"filters": {"dataTypes": ["tableData"]}}}}
    assert service.error("POST", service.hooks_path, body) == (422, "TOO_MANY_WEBHOOKS_IN_BASE")


def test_third_hook_of_an_oauth_integration_is_refused_and_it_sees_only_its_own() -> None:
    service = lab()
    service.hook()
    service.control("add_token", user=BOT, token="oauth", integration="int1")
    service.token = "oauth"
    mine = [service.hook(), service.hook()]
    body = {"specification": {"options": {"filters": {"dataTypes": ["tableData"]}}}}
    assert service.error("POST", service.hooks_path, body) == (422, "TOO_MANY_WEBHOOKS_IN_BASE_FOR_INTEGRATION")
    assert [each["id"] for each in service.ok("GET", service.hooks_path)["webhooks"]] == mine


def test_listing_keeps_a_hook_alive_and_a_ping_does_not() -> None:
    """Trap 11."""
    service = lab()
    listed, quiet, refreshed = service.hook(), service.hook(), service.hook()
    service.clock.forward(days=6)
    service.create({"Name": "a"})
    for delivery in service.machine.due(service.clock.forward(seconds=1)):
        service.machine.delivered(delivery, 200, service.clock.now)
    service.page(listed)
    service.ok("POST", f"{service.hooks_path}/{refreshed}/refresh")
    service.clock.forward(days=2)
    assert service.entry(listed)["isHookEnabled"] is True
    assert service.entry(refreshed)["isHookEnabled"] is True
    assert service.entry(quiet)["isHookEnabled"] is False
    service.create({"Name": "b"})
    assert len(service.payloads(quiet)) == 1
    assert len(service.payloads(listed)) == 2


def test_expired_hook_stays_readable_for_a_week_and_cannot_be_brought_back() -> None:
    service = lab()
    hook = service.hook()
    service.create({"Name": "a"})
    service.control("expire_hook", hook=hook)
    assert len(service.payloads(hook)) == 1
    assert service.error("POST", f"{service.hooks_path}/{hook}/refresh")[0] == 404
    service.clock.forward(days=7, seconds=1)
    assert service.ok("GET", service.hooks_path) == {"webhooks": []}
    assert service.error("GET", f"{service.hooks_path}/{hook}/payloads")[0] == 404


def test_disabled_hook_makes_no_payloads() -> None:
    service = lab()
    hook = service.hook()
    service.control("disable_hook", hook=hook)
    service.create({"Name": "a"})
    assert service.payloads(hook) == []
    assert service.entry(hook)["isHookEnabled"] is False


def test_deleted_hook_is_gone_with_an_empty_answer() -> None:
    service = lab()
    hook = service.hook()
    service.create({"Name": "a"})
    assert service.raw("DELETE", f"{service.hooks_path}/{hook}").body == b""
    assert service.error("GET", f"{service.hooks_path}/{hook}/payloads")[0] == 404
    assert service.machine.due(service.clock.forward(hours=1)) == ()


# ------------------------------------------------------------------------------------------------------------ pings


def test_ping_is_signed_over_its_raw_body_and_shared_by_changes() -> None:
    service = lab()
    hook = service.hook()
    for at in range(3):
        service.create({"Name": str(at)})
    assert service.machine.next_due_at() is not None
    (ping,) = service.machine.due(service.clock.forward(seconds=1))
    secret = base64.b64decode(service.control("hooks")[0]["macSecretBase64"])
    wanted = "hmac-sha256=" + hmac.new(secret, ping.body, hashlib.sha256).hexdigest()
    assert ping.headers["x-airtable-content-mac"] == wanted
    assert json.loads(ping.body) == {
        "base": {"id": service.base},
        "webhook": {"id": hook},
        "timestamp": "2026-11-21T06:00:00.000Z",
    }
    assert (ping.url, ping.attempt) == ("https://example.com/ping", 1)
    service.create({"Name": "while in flight"})
    service.machine.delivered(ping, 204, service.clock.now)
    assert len(service.machine.due(service.clock.forward(seconds=1))) == 1


def test_spurious_ping_can_come() -> None:
    service = lab()
    service.hook()
    service.control("ring")
    assert len(service.machine.due(service.clock.forward(seconds=1))) == 1


@pytest.mark.parametrize("choice", list(PingGaps), ids=lambda each: each.value)
def test_pings_stop_after_thirteen_failed_retries_while_payloads_go_on(choice: PingGaps) -> None:
    """Trap 9."""
    service = lab(Choices(ping_gaps=choice))
    hook = service.hook()
    service.create({"Name": "a"})
    gaps: list[timedelta] = []
    attempts = 0
    while (due_at := service.machine.next_due_at()) is not None:
        gaps.append(due_at - service.clock.now)
        service.clock.now = due_at
        for delivery in service.machine.due(due_at):
            attempts += 1
            assert delivery.attempt == attempts
            service.machine.delivered(delivery, 503 if attempts % 2 else None, due_at)
    assert attempts == 14
    plain = [timedelta(seconds=10 * 2**at) for at in range(13)]
    if choice is PingGaps.PLAIN:
        assert gaps[1:] == plain
    else:
        assert all(0.6 * full <= gap <= full for gap, full in zip(gaps[1:], plain, strict=True))
        assert gaps[1:] != plain
    entry = service.entry(hook)
    assert entry["areNotificationsEnabled"] is False
    assert (entry["lastNotificationResult"]["retryNumber"], entry["lastNotificationResult"]["willBeRetried"]) == (
        13,
        False,
    )
    service.create({"Name": "b"})
    assert service.machine.next_due_at() is None
    assert len(service.payloads(hook)) == 2
    service.ok("POST", f"{service.hooks_path}/{hook}/enableNotifications", {"enable": True})
    service.create({"Name": "c"})
    assert service.machine.next_due_at() is not None


def test_hook_without_a_url_never_pings() -> None:
    service = lab()
    service.hook(url=None)
    service.create({"Name": "a"})
    assert service.machine.next_due_at() is None


def test_hooks_need_the_scopes_of_their_data() -> None:
    service = lab(limits=Limits(base_per_second=None))
    service.control("add_token", user=BOT, token="narrow", scopes=["webhook:manage"])
    service.token = "narrow"
    body = {"specification": {"options": {"filters": {"dataTypes": ["tableData"]}}}}
    assert service.error("POST", service.hooks_path, body) == (403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")
    service.control("add_token", user=ANNA, token="editor")
    service.token = "editor"
    assert service.error("POST", service.hooks_path, body) == (403, "INVALID_PERMISSIONS")
    assert service.clock.now == START
