"""The recorded exchanges, replayed against the emulated Airtable and compared (fixtures/airtable)."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl

import pytest

from syncd.sandbox.airtable import cells, ping
from syncd.sandbox.airtable.world import Field
from syncd.sandbox.choices import Choices
from tests import shared
from tests.sandbox.airtable_setup import ANNA, BOT, Lab, lab

BASE = "appA1Qak1T4cGoiP7"
TABLE = "tbln73pmkdKl4Khj1"
PERSON = "usrPnLezZNh82BzJC"
BUTTON = {"label": "Open URL", "url": "https://www.grouparoo.com"}
_VOLATILE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z")


def fixture(name: str) -> Any:
    return shared.load(f"fixtures/airtable/{name}")


def typed(name: str, kind: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "options": options or None}


def choices(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


EVERY_TYPE: list[dict[str, Any]] = [
    typed("Name", "singleLineText"),
    typed("f_autoNumber", "autoNumber"),
    typed("f_checkbox", "checkbox"),
    typed("f_currency", "currency", precision=2, symbol="$"),
    typed("f_date", "date"),
    typed("f_dateTime", "dateTime", timeZone="utc"),
    typed("f_duration", "duration"),
    typed("f_email", "email"),
    typed("f_multilineText", "multilineText"),
    typed("f_multipleSelects", "multipleSelects", choices=choices("Red", "Green", "Blue")),
    typed("f_number", "number", precision=1),
    typed("f_percent", "percent", precision=1),
    typed("f_phoneNumber", "phoneNumber"),
    typed("f_rating", "rating", max=5),
    typed("f_richText", "richText"),
    typed("f_singleLineText", "singleLineText"),
    typed("f_singleSelect", "singleSelect", choices=choices("Red", "Green", "Blue")),
    typed("f_url", "url"),
    typed("f_barcode", "barcode"),
    typed("f_singleCollaborator", "singleCollaborator"),
    typed("f_multipleCollaborators", "multipleCollaborators"),
    typed("f_multipleAttachments", "multipleAttachments"),
    {**typed("f_button", "button"), "value": BUTTON},
    typed("f_createdBy", "createdBy"),
    typed("f_createdTime", "createdTime"),
    typed("f_formula", "formula", formula="{Name}&{f_autoNumber}"),
    typed("f_lastModifiedBy", "lastModifiedBy"),
    typed("f_lastModifiedTime", "lastModifiedTime"),
    {**typed("f_rollup", "rollup"), "value": {"specialValue": "NaN"}},
    {**typed("f_count", "count"), "value": 0},
    {**typed("f_multipleLookupValues", "multipleLookupValues")},
    {**typed("f_multipleRecordLinks", "multipleRecordLinks", linkedTableId="tblLinked00000001")},
]


def recorded_lab(next_number: int = 1, rows: list[dict[str, Any]] | None = None) -> Lab:
    """The base of the grouparoo recordings: every writable type and the computed ones."""
    service = lab()
    service.control("add_user", id=PERSON, name="User 1", email="user1@example.com")
    service.control("add_token", user=PERSON, token="recorded")
    tables = [
        {"name": "Empty", "id": TABLE, "fields": EVERY_TYPE, "nextNumber": next_number, "records": rows or []},
        {"name": "Linked", "id": "tblLinked00000001", "fields": [typed("Name", "singleLineText")]},
    ]
    service.ids = service.control(
        "add_base", id=BASE, name="Recorded", roles={PERSON: "create", BOT: "create", ANNA: "edit"}, tables=tables
    )
    service.token = "recorded"
    return service


def replay(service: Lab, exchange: dict[str, Any], ids: dict[str, str]) -> tuple[int, Any]:
    """Send one recorded request, with the recorded record ids replaced by ours."""
    path = exchange["path"]
    query: list[tuple[str, str]] = []
    for key, value in (exchange.get("query") or {}).items():
        for each in value if isinstance(value, list) else [value]:
            query += parse_qsl(f"{key}={translated(each, ids)}")
    path, _, inline = path.partition("?")
    query += parse_qsl(translated(inline, ids))
    body = exchange.get("request")
    sent = None if body is None else json.loads(translated(json.dumps(body), ids))
    status, answer = service.call(exchange["method"], translated(path, ids), sent, query)
    return int(status), answer


def translated(text: str, ids: dict[str, str]) -> str:
    for recorded, ours in ids.items():
        text = text.replace(recorded, ours)
    return text


def learn(recorded: Any, ours: Any, ids: dict[str, str]) -> None:
    """Remember which of our records stands for which recorded one, by position."""
    for theirs, mine in zip(recorded.get("records", []), ours.get("records", []), strict=True):
        ids[theirs["id"]] = mine["id"]


def still(value: Any) -> str:
    """JSON with every moment made the same, for comparison."""
    return _VOLATILE.sub("MOMENT", json.dumps(value, sort_keys=True))


def test_recorded_batch_atomicity_sequence_is_answered_alike() -> None:
    """Twenty-odd exchanges: refused batches, the singles after them, the reads between, the delete."""
    ids: dict[str, str] = {}
    john = {"records": [{"fields": {"Name": "John Doe", "f_richText": "x"}}]}
    # The recording starts with John Doe, number 221, rich text written and cleared, already there.
    service = recorded_lab(next_number=221)
    made = service.ok("POST", f"/v0/{BASE}/Empty/", john)["records"][0]["id"]
    service.ok("PATCH", f"/v0/{BASE}/Empty/{made}", {"fields": {"f_richText": None}})
    ids["recZYpqaezBCWg48A"] = made
    for at, exchange in enumerate(fixture("record-batch-atomicity-sequence--grouparoo.json")):
        service.clock.forward(seconds=1)
        status, answer = replay(service, exchange, ids)
        assert status == exchange["status"], f"exchange {at}: {answer}"
        recorded = exchange["response"]
        by_id = {ids.get(each["id"], each["id"]): each for each in recorded.get("records", [])}
        if exchange["method"] == "POST" and status == 200:
            learn(recorded, answer, ids)
            by_id = {ids[each["id"]]: each for each in recorded["records"]}
        if "records" in recorded:
            assert {each["id"] for each in answer["records"]} == set(by_id)
            for each in answer["records"]:
                assert still(each) == still({**by_id[each["id"]], "id": each["id"]}), f"exchange {at}"
        else:
            assert still(answer) == still(json.loads(translated(json.dumps(recorded), ids))), f"exchange {at}"


def test_recorded_write_of_every_type_is_answered_alike() -> None:
    service = recorded_lab(next_number=221)
    ids: dict[str, str] = {}
    for exchange in fixture("record-write-every-type--grouparoo.json"):
        service.clock.forward(seconds=2)
        status, answer = replay(service, exchange, ids)
        if exchange["method"] == "POST":
            learn(exchange["response"], answer, ids)
        assert status == exchange["status"]
        assert still(answer) == still(json.loads(translated(json.dumps(exchange["response"]), ids)))


def test_recorded_values_of_every_type_round_trip() -> None:
    """What the recorded list shows can be put into cells and reads the same, urls of attachments aside."""
    recorded = fixture("record-list-every-type--grouparoo.json")["response"]["records"]
    linked = sorted({each for row in recorded for each in row["fields"].get("f_multipleRecordLinks", [])})
    derived = {"f_createdBy", "f_lastModifiedBy", "f_createdTime", "f_lastModifiedTime", "f_autoNumber", "f_formula"}
    rows = []
    for row in recorded:
        fields = {key: value for key, value in row["fields"].items() if key not in derived}
        fields["f_multipleAttachments"] = [
            {"url": each["url"], "filename": each["filename"]} for each in fields.get("f_multipleAttachments", [])
        ]
        rows.append({"id": row["id"], "fields": fields})
    service = lab()
    service.control("add_user", id=PERSON, name="User 1", email="user1@example.com")
    tables = [
        {"name": "Linked", "id": "tblLinked00000001", "fields": [typed("Name", "singleLineText")],
         "records": [{"id": each, "fields": {}} for each in linked]},
        {"name": "Empty", "id": TABLE, "fields": EVERY_TYPE, "records": rows},
    ]  # fmt: skip
    service.control("add_base", id=BASE, name="Recorded", roles={PERSON: "create", BOT: "read"}, tables=tables)
    for row in recorded:
        shown = service.ok("GET", f"/v0/{BASE}/{TABLE}/{row['id']}")["fields"]
        assert set(shown) == set(row["fields"])
        for name, value in row["fields"].items():
            if name == "f_multipleAttachments":
                assert [each["filename"] for each in shown[name]] == [each["filename"] for each in value]
                assert {"id", "url", "filename", "size", "type"} <= set(shown[name][0]) <= set(value[0])
            elif name not in {"f_createdTime", "f_lastModifiedTime"}:
                assert shown[name] == value, name


@pytest.mark.parametrize(
    "name", ["upsert-create-and-update--airtable-net.json", "upsert-3-merge-fields--airtable-net.json"]
)
def test_recorded_upsert_is_answered_alike(name: str) -> None:
    exchange = fixture(name)
    fields = [
        typed("Name", "singleLineText"),
        typed("Bio", "multilineText"),
        typed("Bank Name", "singleLineText"),
        typed("On Display?", "checkbox"),
    ]
    known = []
    for row in exchange["response"]["records"]:
        if row["id"] in exchange["response"]["updatedRecords"]:
            known.append({"id": row["id"], "fields": row["fields"]})
    service = lab(tables=[{"name": "Artists", "fields": fields, "records": known}])
    answer = service.ok("PATCH", service.rows("Artists"), exchange["request"])
    recorded = exchange["response"]
    assert answer["updatedRecords"] == recorded["updatedRecords"]
    assert len(answer["createdRecords"]) == len(recorded["createdRecords"])
    assert [each["fields"] for each in answer["records"]] == [each["fields"] for each in recorded["records"]]
    assert set(answer) == set(recorded)


def test_recorded_upsert_on_a_name_keeps_other_cells() -> None:
    (exchange,) = fixture("upsert-name-key--trigger-dev.json")
    fields = [typed("Employee", "singleLineText"), typed("Phone", "phoneNumber")]
    row = {"id": "recHcnB1MbBr9Rd2P", "fields": {"Employee": "John Doe", "Phone": "(123) 456-7890"}}
    service = lab(tables=[{"name": "Team", "fields": fields, "records": [row]}])
    answer = service.ok("PATCH", service.rows("Team"), exchange["request"])
    assert answer["records"][0]["fields"]["Phone"] == "(123) 456-7890"
    assert answer["updatedRecords"] == exchange["response"]["updatedRecords"]


def test_recorded_clear_leaves_the_field_out() -> None:
    exchange = fixture("record-clear-field--airtable-net.json")
    fields = [typed("Name", "singleLineText"), typed("Bio", "multilineText"), typed("On Display?", "checkbox")]
    row = {"id": exchange["response"]["id"], "fields": {"Name": "Jony", "Bio": "x"}}
    service = lab(tables=[{"name": "Artists", "fields": fields, "records": [row]}])
    answer = service.ok("PATCH", f"{service.rows('Artists')}/{row['id']}", exchange["request"])
    assert answer["fields"] == exchange["response"]["fields"]
    assert set(answer) == set(exchange["response"])


def test_recorded_delete_takes_ids_with_and_without_brackets() -> None:
    made, deleted = fixture("record-batch-delete--trigger-dev.json")
    service = lab(tables=[{"name": "Team", "id": "tblvXn2TOeVPC9c6m", "fields": [typed("Employee", "singleLineText")]}])
    ids = {"appBlf3KsalIQeMUo": service.base}
    _, answer = replay(service, made, ids)
    learn(made["response"], answer, ids)
    status, gone = replay(service, deleted, ids)
    assert (status, gone) == (200, json.loads(translated(json.dumps(deleted["response"]), ids)))


def test_recorded_sorted_list_puts_the_empty_row_first() -> None:
    (exchange,) = fixture("record-list-post--trigger-dev.json")
    rows = [{"id": each["id"], "fields": each["fields"]} for each in reversed(exchange["response"]["records"])]
    service = lab(tables=[{"name": "Team", "fields": [typed("Employee", "singleLineText")], "records": rows}])
    answer = service.ok("POST", f"{service.rows('Team')}/listRecords", exchange["request"])
    assert [each["id"] for each in answer["records"]] == [each["id"] for each in exchange["response"]["records"]]
    assert answer["records"][0]["fields"] == {}


def test_recorded_text_format_reads_checked_and_joined() -> None:
    exchange = fixture("record-cellformat-string--airtable-net.json")
    wanted = exchange["response"]["records"][0]["fields"]
    names = wanted["Genre"].split(", ")
    fields = [
        typed("Name", "singleLineText"),
        typed("On Display?", "checkbox"),
        typed("Genre", "multipleSelects", choices=choices(*names)),
    ]
    row = {"fields": {"Name": wanted["Name"], "On Display?": True, "Genre": names}}
    service = lab(tables=[{"name": "Artists", "fields": fields, "records": [row]}])
    shown = service.ok("POST", f"{service.rows('Artists')}/listRecords", exchange["request"])["records"][0]["fields"]
    assert shown == {key: wanted[key] for key in ("Name", "On Display?", "Genre")}


# ----------------------------------------------------------------------------------------------------------- errors


def caused(service: Lab, recorded: dict[str, Any]) -> Any:
    """Provoke one error of the catalogue; None for those of another age or another deployment."""
    kind = recorded["body"].get("error", recorded["body"].get("errors"))
    kind = kind[0]["error"] if isinstance(kind, list) else kind if isinstance(kind, str) else kind["type"]
    text = str(recorded["body"])
    rows, record = service.rows(), service.create({"Name": "a"}, {"Name": "b"}, {"Name": "c"})[0]
    if kind == "AUTHENTICATION_REQUIRED":
        return service.call("GET", rows, token="none")
    if kind == "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND":
        return service.call("GET", service.rows("Nothing"))
    if kind == "INVALID_PERMISSIONS":
        service.control("lock_field", table="Features", field="Name", locked=True)
        path, method = (rows, "POST") if "create records" in text else (f"{rows}/{record}", "PATCH")
        return service.call(method, path, {"fields": {"Name": "x"}})
    if kind == "NOT_FOUND":
        return service.call("GET", "/v0/junk/x")
    if kind == "MODEL_ID_NOT_FOUND":
        return service.call("GET", f"{rows}/recXXXXXXXXXXXXXX")
    if kind == "ROW_DOES_NOT_EXIST":
        return service.call("PATCH", rows, {"records": [{"id": "recXXXXXXXXXXXXXX", "fields": {}}]})
    values = {
        "UNKNOWN_FIELD_NAME": {"NAME": 1},
        "INVALID_VALUE_FOR_COLUMN": {"No": 1} if "computed" in text else {"Name": 1},
        "INVALID_MULTIPLE_CHOICE_OPTIONS": {"Status": "NAME"},
        "INVALID_ATTACHMENT_OBJECT": {"Files": [{"id": "1", "url": "x"}]},
        "INVALID_REQUEST_UNKNOWN": None,
    }
    if kind in values:
        return service.call("POST", rows, {"fields": values[kind]})
    if kind == "INVALID_RECORDS":
        return service.call("POST", rows, {"records": [{"fields": {}}] * 100})
    if kind == "INVALID_FILTER_BY_FORMULA":
        return service.call("GET", rows, query={"filterByFormula": "(("})
    if kind == "VIEW_NAME_NOT_FOUND":
        return service.call("GET", rows, query={"view": "gone"})
    offset = service.ok("GET", rows, query={"pageSize": 1})["offset"]
    if kind == "LIST_RECORDS_ITERATOR_NOT_AVAILABLE":
        service.control("forget_offsets")
        return service.call("GET", rows, query={"pageSize": 1, "offset": offset})
    if kind == "INVALID_OFFSET_VALUE":
        return service.call("GET", rows, query={"pageSize": 1, "offset": "itrXXXXXXXXXXXXXX"})
    body = {"specification": {"options": {"filters": {"dataTypes": ["tableData"]}}}}
    if kind == "TOO_MANY_WEBHOOKS_IN_BASE":
        for _ in range(10):
            service.hook()
        return service.call("POST", service.hooks_path, body)
    if kind == "TOO_MANY_WEBHOOKS_IN_BASE_FOR_INTEGRATION":
        service.control("add_token", user=BOT, token="oauth", integration="int")
        for _ in range(3):
            last = service.call("POST", service.hooks_path, body, token="oauth")
        return last
    if kind == "RATE_LIMIT_REACHED":
        service.control("set_limits", base_per_second=0)
        return service.call("GET", rows)
    if kind == "PUBLIC_API_BILLING_LIMIT_EXCEEDED":
        service.control("set_quota", monthly=0)
        return service.call("GET", rows)
    return None


def catalogue() -> list[Any]:
    if not shared.names("fixtures/airtable", "errors-catalogue--collected.json"):
        return [pytest.param(None, id="missing")]
    entries = fixture("errors-catalogue--collected.json")
    return [pytest.param(entry, id=f"{entry['status']} {entry['when'][:40]}") for entry in entries]


@pytest.mark.parametrize("recorded", catalogue())
def test_error_of_the_catalogue_has_its_status_and_body(recorded: dict[str, Any] | None) -> None:
    shared.path("fixtures/airtable/errors-catalogue--collected.json")
    assert recorded is not None
    service = lab(Choices())
    answer = caused(service, recorded)
    if answer is None:
        assert "before 2023" in recorded["when"]
        return
    status, body = answer
    text = json.dumps(recorded["body"]).replace("TABLE_NAME", "Features").replace("TABLE_ID", service.table)
    wanted = json.loads(text)
    assert status == recorded["status"]
    if "INVALID_ATTACHMENT_OBJECT" in text:
        message = 'Invalid attachment object for field Files: {\n  "id": "1",\n  "url": "x"\n}'
        wanted["error"]["message"] = message
    if "Field" in text:
        wanted["error"]["message"] = wanted["error"]["message"].replace("NAME", "No" if "computed" in text else "Name")
    assert body == wanted


# --------------------------------------------------------------------------------------------------------- webhooks


def test_signature_of_every_vector_is_the_recorded_one() -> None:
    import base64

    for vector in fixture("webhook-mac-vectors--computed.json"):
        secret = base64.b64decode(vector["macSecretBase64"])
        assert ping.sign(secret, vector["bodyUtf8"].encode()) == vector["header"]
        assert ping.secret_text(secret) == vector["macSecretBase64"]


LIST_ENTRIES = [
    ("webhook-list-two-never-pinged--airtable-net.json", ()),
    ("webhook-list-ok-notification--airtable-net.json", (200,)),
    ("webhook-list-failed-notification--airtable-net.json", (404, 404, 404)),
]


@pytest.mark.parametrize(("name", "outcomes"), LIST_ENTRIES, ids=["never pinged", "pinged", "failed"])
def test_list_entry_has_the_recorded_keys_in_the_recorded_order(name: str, outcomes: tuple[int, ...]) -> None:
    recorded = fixture(name)["response"]["webhooks"][0]
    service = lab()
    hook = service.hook(recordChangeScope=service.table, includes={"includePreviousCellValues": True})
    if outcomes:
        service.create({"Name": "a"})
    for outcome in outcomes:
        due_at = service.machine.next_due_at()
        assert due_at is not None
        service.clock.now = due_at
        for delivery in service.machine.due(due_at):
            service.machine.delivered(delivery, outcome, due_at)
    entry = service.entry(hook)
    assert list(entry) == list(recorded)
    assert entry["cursorForNextPayload"] == recorded["cursorForNextPayload"]
    result, known = entry["lastNotificationResult"], recorded["lastNotificationResult"]
    assert (result is None) == (known is None)
    if result is not None:
        assert list(result) == list(known)
        for key in ("success", "retryNumber", "error", "willBeRetried"):
            assert result.get(key) == known.get(key)
    assert (entry["lastSuccessfulNotificationTime"] is None) == (recorded["lastSuccessfulNotificationTime"] is None)


def keys(value: Any) -> Any:
    """The shape: keys with the shapes below them, ids and scalars by kind."""
    if isinstance(value, dict):
        shaped = {}
        for key, each in value.items():
            shaped[re.sub(r"^(tbl|rec|fld|viw|usr)\w{14}$", r"\1", key)] = keys(each)
        return shaped
    if isinstance(value, list):
        return [keys(value[0])] if value else []
    return type(value).__name__


def test_recorded_payload_page_is_reproduced_in_shape() -> None:
    """Creates by publicApi, deletes by client, two rows in one delete."""
    recorded = fixture("webhook-payloads-page--airtable-net.json")["response"]
    service = lab(tables=[{"name": "Features", "fields": [typed("Name", "singleLineText")]}])
    hook = service.hook(recordChangeScope=service.table, includes={"includePreviousCellValues": True})
    text = {"Name": "Record for Testing Webhooks"}
    service.ok("DELETE", service.rows(), query=[("records[]", service.create(text)[0])])
    pair = [service.create(text)[0], service.create(text)[0]]
    service.control("delete", records=pair)
    service.control("delete", record=service.create(text)[0])
    service.create(text)
    page = service.page(hook)
    assert keys(page) == keys(recorded)
    assert [keys(each) for each in page["payloads"]] == [keys(each) for each in recorded["payloads"]]
    assert page["cursor"] == recorded["cursor"]
    sources = [each["actionMetadata"]["source"] for each in page["payloads"]]
    assert sources == [each["actionMetadata"]["source"] for each in recorded["payloads"]]
    numbers = [each["baseTransactionNumber"] for each in page["payloads"]]
    assert numbers == list(range(numbers[0], numbers[0] + 8))
    assert keys(service.ok("POST", f"{service.hooks_path}/{hook}/refresh")) == keys(
        fixture("webhook-refresh--airtable-net.json")["response"]
    )
    (delivery,) = service.machine.due(service.clock.forward(seconds=1))
    assert keys(json.loads(delivery.body)) == keys(fixture("webhook-ping--pyairtable.json"))


def test_hook_forms_have_the_documented_keys() -> None:
    payload = fixture("webhook-payload-cells-v2--constructed.json")
    (entry,) = payload["changedTablesById"]["tbl00000000000001"]["changedRecordsById"].values()
    shown = entry["current"]["cellValuesByFieldId"]
    service = lab()
    status = service.machine.world.bases[service.base].tables[service.table].fields[service.fld("Status")]
    base = service.machine.world.bases[service.base]

    def hook(field: Field, value: Any) -> Any:
        return cells.hook(service.machine.world, base, field, value, service.clock.now)

    assert set(hook(status, status.choices[0].id)) == set(shown["fldSingleSelect00"])
    person = base.tables[service.table].fields[service.fld("Owner")]
    assert set(hook(person, ANNA)) == set(shown["fldCollaborator00"])


@pytest.mark.parametrize("name", ["schema-base-tables--pyairtable.json", "schema-fields-all-types--pyairtable.json"])
def test_recorded_schema_is_told_as_it_was_given(name: str) -> None:
    recorded = fixture(name)
    if "tables" in recorded:
        service = lab(tables=recorded["tables"])
        assert service.ok("GET", f"/v0/meta/bases/{service.base}/tables") == recorded
        return
    known = list({each["id"]: each for each in recorded.values()}.values())
    service = lab(tables=[{"name": "All", "fields": known}])
    shown = service.ok("GET", f"/v0/meta/bases/{service.base}/tables")["tables"][0]["fields"]
    for told, given in zip(shown, known, strict=True):
        assert told == {key: value for key, value in given.items() if value is not None}
