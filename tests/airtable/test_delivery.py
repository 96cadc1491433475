"""Pings and pages of payloads (reference/airtable.md 5.4 to 5.7; AW04 to AW10)."""

import base64
import copy
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.airtable import delivery, shape
from syncd.model.event import Changes
from syncd.model.ids import AccountId, FieldId, RecordId, TableId
from syncd.model.schema import Field
from syncd.model.value import NOTHING, Text
from tests import shared
from tests.airtable.cells import a_field, any_json

TABLE = TableId("tbl00000000000001")
RECORD = RecordId("rec00000000000001")
STATUS = Field(id=FieldId("fldSingleSelect00"), name="Status", kind="singleSelect", choices=("Ready", "In Review"))
ME = AccountId("usrBw9fdcVFbu7ug9")
SECRET = base64.b64encode(bytes(range(128))).decode()


def read(page: Any, cursor: int = 1, fields: tuple[Field, ...] = (), own: AccountId | None = ME) -> Changes:
    return delivery.parse_changes(page, cursor, {field.id: field for field in fields}, own)


def a_page(*payloads: Any, after: int | None = None, **rest: Any) -> dict[str, Any]:
    return {"payloads": list(payloads), "cursor": len(payloads) + 1 if after is None else after, **rest}


def a_payload(source: str = "client", user: str = "usrAnna", **rest: Any) -> dict[str, Any]:
    return {
        "timestamp": "2026-11-21T06:00:00.000Z",
        "baseTransactionNumber": 7,
        "payloadFormat": "v0",
        "actionMetadata": {"source": source, "sourceMetadata": {"user": {"id": user}}},
        **rest,
    }


def changed(current: Any, **rest: Any) -> dict[str, Any]:
    change = {"current": {"cellValuesByFieldId": current}, **rest}
    return {"changedTablesById": {TABLE: {"changedRecordsById": {RECORD: change}}}}


# ------------------------------------------------------------------------------------------------------------ pings


def mac(body: bytes, secret: str = SECRET) -> bytes:
    return b"hmac-sha256=" + hmac.new(base64.b64decode(secret), body, hashlib.sha256).hexdigest().encode()


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_recorded_signatures_verify(index: int) -> None:
    vector = shared.load("fixtures/airtable/webhook-mac-vectors--computed.json")[index]
    body, header, secret = vector["bodyUtf8"].encode(), vector["header"].encode(), vector["macSecretBase64"]
    assert delivery.verify([(b"X-Airtable-Content-MAC", header)], body, secret) == ""
    assert delivery.verify([(b"x-airtable-content-mac", header)], body + b" ", secret) == "wrong"
    assert delivery.verify([(b"x-airtable-content-mac", header)], body, SECRET[:-4]) == "wrong"


@pytest.mark.parametrize(
    ("headers", "secret", "reason"),
    [
        ([], SECRET, "missing"),
        ([(b"x-airtable-content-mac", mac(b"{}"))] * 2, SECRET, "doubled"),
        ([(b"x-airtable-content-mac", b"")], SECRET, "malformed"),
        ([(b"x-airtable-content-mac", mac(b"{}").upper())], SECRET, "malformed"),
        ([(b"x-airtable-content-mac", mac(b"{}") + b"\n")], SECRET, "malformed"),
        ([(b"x-airtable-content-mac", "hmac-sha256=é".encode())], SECRET, "malformed"),
        ([(b"x-airtable-content-mac", base64.b64encode(b"x" * 32))], SECRET, "malformed"),
        ([(b"x-airtable-content-mac", mac(b"other"))], SECRET, "wrong"),
        ([(b"x-airtable-content-mac", mac(b"{}"))], "", "no secret"),
        ([(b"x-airtable-content-mac", mac(b"{}"))], "not base64!", "no secret"),
        ([(b"x-airtable-content-mac", mac(b"{}"))], "é", "no secret"),
    ],
)
def test_a_ping_that_is_not_proven_is_told_apart(headers: list[tuple[bytes, bytes]], secret: str, reason: str) -> None:
    assert delivery.verify(headers, b"{}", secret) == reason


def test_a_body_of_any_bytes_is_verified_as_bytes() -> None:
    body = b"\xff\xfe\x00 no text"
    assert delivery.verify([(b"x-airtable-content-mac", mac(body))], body, SECRET) == ""


def test_the_recorded_ping_names_base_and_hook() -> None:
    body = shared.path("fixtures/airtable/webhook-ping--pyairtable.json").read_bytes()
    assert delivery.parse_ping(body) == ("app00000000000000", "ach00000000000000")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"base": {"id": "appX"}, "webhook": {"id": "../x"}}'),
        b'{"base": {"id": "appX"}, "webhook": {"id": "achX"}, "timestamp": NaN}',
        '{"base": {"id": "appX"}, "webhook": {"id": "achX"}}'.encode("utf-16"),
    ],
)
def test_what_is_no_ping_is_none(body: bytes) -> None:
    assert delivery.parse_ping(body) is None


# ------------------------------------------------------------------------------------------------------------ pages


def test_the_recorded_page_names_every_record_it_touches() -> None:
    page = shared.load("fixtures/airtable/webhook-payloads-page--airtable-net.json")["response"]
    found = read(page)
    touched: set[str] = set()
    for payload in page["payloads"]:
        for change in payload["changedTablesById"].values():
            touched |= {*change.get("createdRecordsById", {}), *change.get("changedRecordsById", {})}
            touched |= set(change.get("destroyedRecordIds", []))
    assert {table: set(records) for table, records in found.table_records.items()} == {"tblUmsH10MkIMMGYP": touched}
    assert len(touched) > 3
    assert (found.next_cursor, found.gap, found.broken, found.skipped) == (9, False, "", 0)


def test_every_documented_part_of_a_table_is_understood() -> None:
    change = shared.load("fixtures/airtable/webhook-table-changed--pyairtable.json")
    found = read(a_page(a_payload(changedTablesById={TABLE: change})))
    assert set(found.table_records[TABLE]) == {"rec00000000000000", "rec00000000000001", "rec00000000000002"}
    assert found.schema_changed
    assert found.skipped == 0


def test_the_recorded_envelope_tells_that_tables_went() -> None:
    found = read(a_page(shared.load("fixtures/airtable/webhook-payload-envelope--pyairtable.json")))
    assert (found.schema_changed, found.skipped, found.table_records) == (True, 0, {})


def test_a_changed_cell_tells_what_stood_there_before() -> None:
    payload = shared.load("fixtures/airtable/webhook-payload-cells-v2--constructed.json")
    found = read(a_page(payload), fields=(STATUS,))
    (cell,) = found.cells
    assert (cell.record, cell.field, cell.previous) == (RECORD, STATUS.id, Text("Ready"))
    assert (cell.at, cell.own) == (datetime(2026, 11, 21, 6, 0, tzinfo=UTC), False)


@pytest.mark.parametrize(
    ("source", "user", "own"),
    [("publicApi", ME, True), ("publicApi", "usrOther", False), ("client", ME, False), ("automation", ME, False)],
)
def test_own_is_our_account_through_the_api(source: str, user: str, own: bool) -> None:
    payload = a_payload(source, user, **changed({STATUS.id: "x"}))
    assert [cell.own for cell in read(a_page(payload), fields=(STATUS,)).cells] == [own]
    assert [cell.own for cell in read(a_page(payload), fields=(STATUS,), own=None).cells] == [False]


ABSENT: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("current", "rest", "previous"),
    [
        ({STATUS.id: None}, {"previous": {"cellValuesByFieldId": {STATUS.id: "Ready"}}}, Text("Ready")),
        (ABSENT, {"previous": {"cellValuesByFieldId": {STATUS.id: "Ready"}}}, Text("Ready")),
        ({STATUS.id: "Ready"}, {"previous": {"cellValuesByFieldId": {STATUS.id: None}}}, NOTHING),
        ({STATUS.id: "Ready"}, {"previous": {"cellValuesByFieldId": ABSENT}}, NOTHING),
        ({STATUS.id: "Ready"}, {}, None),
        ({STATUS.id: "Ready"}, {"previous": {"cellValuesByFieldId": {STATUS.id: {"error": "#E"}}}}, None),
    ],
    ids=["cleared, null", "cleared, absent", "filled, null", "filled, absent", "not told", "an error stood there"],
)
def test_cleared_and_filled_cells_are_found_in_either_form(current: Any, rest: Any, previous: Any) -> None:
    """Null or absent: the documents do not say (reference/airtable.md 11)."""
    found = read(a_page(a_payload(**changed(current, **rest))), fields=(STATUS,))
    assert [cell.previous for cell in found.cells] == [previous]


def test_one_action_split_over_payloads_is_read_as_a_whole() -> None:
    """5.6: same time, same transaction, other records."""
    parts = []
    for at in range(3):
        part = a_payload(**changed({STATUS.id: "x"}))
        rows = part["changedTablesById"][TABLE]["changedRecordsById"]
        rows[f"rec0000000000000{at}A"] = rows.pop(RECORD)
        parts.append(part)
    found = read(a_page(*parts), fields=(STATUS,))
    assert len(found.table_records[TABLE]) == 3
    assert len(found.cells) == 3


@pytest.mark.parametrize(
    ("asked", "payloads", "after", "gap"),
    [
        (1, 0, 1, False),
        (5, 2, 7, False),
        (5, 3, 100, True),
        (5, 0, 9, True),
        (9, 0, 5, True),
        (9, 2, 5, True),
    ],
    ids=["nothing new", "in step", "old ones were deleted", "all were deleted", "we are ahead", "numbering began anew"],
)
def test_a_gap_is_found_by_arithmetic(asked: int, payloads: int, after: int, gap: bool) -> None:
    found = read(a_page(*[a_payload()] * payloads, after=after), asked)
    assert (found.gap, found.next_cursor) == (gap, after)


@pytest.mark.parametrize(
    ("asked", "payloads", "after", "told", "more"),
    [(1, 1, 2, True, True), (1, 1, 2, False, False), (2, 0, 2, True, False), (1, 1, 2, "yes", False)],
)
def test_more_is_asked_for_only_when_the_cursor_moved(
    asked: int, payloads: int, after: int, told: Any, more: bool
) -> None:
    assert read(a_page(*[a_payload()] * payloads, after=after, mightHaveMore=told), asked).more is more


@pytest.mark.parametrize("code", ["INVALID_FILTERS", "INVALID_HOOK"])
def test_a_final_error_breaks_the_hook_and_keeps_the_rest(code: str) -> None:
    found = read(a_page(a_payload(**changed({})), {"error": True, "code": code}))
    assert (found.broken, found.gap) == (code, False)
    assert found.table_records == {TABLE: (RECORD,)}


@pytest.mark.parametrize("payload", [{"error": True, "code": "INTERNAL_ERROR"}, {"error": True}, None, 7, "x"])
def test_an_error_in_the_place_of_changes_is_a_gap(payload: Any) -> None:
    found = read(a_page(a_payload(**changed({})), payload))
    assert (found.broken, found.gap, found.skipped) == ("", True, 1)
    assert found.table_records == {TABLE: (RECORD,)}


@pytest.mark.parametrize(
    "strange",
    [
        a_payload(changedInterfacesById={}),
        a_payload(changedTablesById={TABLE: {"changedRecordsById": {RECORD: {}}, "movedRecordIds": []}}),
        a_payload(changedTablesById={TABLE: {"changedRecordsById": {RECORD: {}, "../x": {}}}}),
        a_payload(changedTablesById={"nowhere": {}, **changed({})["changedTablesById"]}),
        a_payload(changedTablesById={TABLE: {"destroyedRecordIds": [RECORD, 7]}}),
        {"changedTablesById": {TABLE: {"changedRecordsById": {RECORD: {"current": None}}}}},
    ],
)
def test_unknown_parts_are_counted_and_known_ones_kept(strange: dict[str, Any]) -> None:
    """AW10: never dropped, never fatal."""
    found = read(a_page(strange, a_payload(**changed({}))), fields=(STATUS,))
    assert found.skipped >= 1
    assert found.table_records == {TABLE: (RECORD,)}


@pytest.mark.parametrize(
    "page",
    [
        None,
        [],
        {},
        {"payloads": None, "cursor": 1},
        {"payloads": {}, "cursor": 1},
        {"payloads": []},
        {"payloads": [], "cursor": "1"},
        {"payloads": [], "cursor": True},
        {"payloads": [], "cursor": 0},
        {"payloads": [{}, {}], "cursor": 1},
        {"error": {"type": "INTERNAL_ERROR"}},
    ],
)
def test_a_page_of_another_shape_is_not_believed(page: Any) -> None:
    with pytest.raises(shape.ShapeError):
        read(page)


GOOD = a_payload(
    changedTablesById={
        TABLE: {
            "createdRecordsById": {"recNew": {"cellValuesByFieldId": {STATUS.id: {"id": "sel1", "name": "Ready"}}}},
            "changedRecordsById": {
                RECORD: {
                    "current": {"cellValuesByFieldId": {STATUS.id: {"id": "sel1", "name": "Ready"}}},
                    "previous": {"cellValuesByFieldId": {STATUS.id: None}},
                }
            },
            "destroyedRecordIds": ["recOld"],
            "changedViewsById": {"viw1": {"destroyedRecordIds": ["recLeft"]}},
        }
    },
    createdTablesById={"tbl2": {"recordsById": {"recTwo": {}}}},
)


def places(raw: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    rows = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return [path, *[place for key, inner in rows for place in places(inner, (*path, key))]]


@given(st.sampled_from(places(GOOD)[1:]), any_json)
def test_no_payload_is_too_strange_to_be_passed_over(place: tuple[Any, ...], raw: Any) -> None:
    spoilt = copy.deepcopy(GOOD)
    inner: Any = spoilt
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = raw
    found = read(a_page(spoilt, a_payload(**changed({}))), fields=(STATUS, a_field("number")))
    assert RECORD in found.table_records[TABLE]
    json.dumps([sorted(records) for records in found.table_records.values()])
