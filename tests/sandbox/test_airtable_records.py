"""Records of the emulated Airtable: traps of reference/airtable.md section 10 and refusals of section 7."""

from typing import Any

import pytest

from syncd.sandbox.airtable.world import Limits
from syncd.sandbox.choices import Choices, EmptyMergeKey, MissingRecord, UnsortedListOrder, UpsertAnswerOrder
from tests.sandbox.airtable_setup import ANNA, BOT, lab

# ------------------------------------------------------------------------------------------------------------ cells

ROUND_TRIPS: list[Any] = [
    pytest.param("Status", "Ready", "Ready", id="select by name"),
    pytest.param("Tags", ["Blue", "Red"], ["Blue", "Red"], id="the order of a multi-select is the cell's"),
    pytest.param("Estimate", 0, 0, id="zero is a value"),
    pytest.param("Estimate", 7.1, 7.1, id="number"),
    pytest.param("Flag", True, True, id="checkbox"),
    pytest.param("Due", "2026-11-21", "2026-11-21", id="date"),
    pytest.param("At", 1640520000000, "2021-12-26T12:00:00.000Z", id="epoch milliseconds are accepted"),
    pytest.param("At", "2026-07-01T12:00:00", "2026-07-01T10:00:00.000Z", id="no zone means the field's zone"),
    pytest.param("At", "2026-07-01T12:00:00+00:00", "2026-07-01T12:00:00.000Z", id="a zone is kept"),
    pytest.param(
        "Owner",
        {"email": "anna@example.com"},
        {"id": ANNA, "email": "anna@example.com", "name": "Anna"},
        id="person by e-mail",
    ),
    pytest.param(
        "Watchers", [BOT], [{"id": BOT, "email": "sync.bot@example.com", "name": "Sync Bot"}], id="people by id"
    ),
    pytest.param("Code", {"text": "A1"}, {"text": "A1"}, id="barcode"),
    pytest.param("Notes", "#header\n* bullet", "#header\n- bullet\n", id="rich text never comes back as sent"),
    pytest.param("Notes", "plain\n", "plain\n", id="rich text that is normal already stays"),
]


@pytest.mark.parametrize(("field", "sent", "read"), ROUND_TRIPS)
def test_cell_reads_back_in_its_rest_form(field: str, sent: Any, read: Any) -> None:
    service = lab()
    record = service.create({field: sent})[0]
    assert service.fields(record)[field] == read


REFUSED: list[Any] = [
    pytest.param("Status", "Nope", "INVALID_MULTIPLE_CHOICE_OPTIONS", id="unknown choice"),
    pytest.param("Status", 3, "INVALID_VALUE_FOR_COLUMN", id="number for a select"),
    pytest.param("Tags", "Red", "INVALID_VALUE_FOR_COLUMN", id="text for a list"),
    pytest.param("Estimate", "7", "INVALID_VALUE_FOR_COLUMN", id="text for a number"),
    pytest.param("Estimate", True, "INVALID_VALUE_FOR_COLUMN", id="truth for a number"),
    pytest.param("Name", 7, "INVALID_VALUE_FOR_COLUMN", id="number for text"),
    pytest.param("Name", "x" * 100_001, "INVALID_VALUE_FOR_COLUMN", id="text too long"),
    pytest.param("Stars", 0, "INVALID_VALUE_FOR_COLUMN", id="rating zero"),
    pytest.param("Stars", 6, "INVALID_VALUE_FOR_COLUMN", id="rating above the maximum"),
    pytest.param("Due", "21.11.2026", "INVALID_VALUE_FOR_COLUMN", id="date in another form"),
    pytest.param("Flag", "yes", "INVALID_VALUE_FOR_COLUMN", id="text for a checkbox"),
    pytest.param("Owner", {"id": "usrStranger000001"}, "INVALID_VALUE_FOR_COLUMN", id="person without access"),
    pytest.param("Files", [{"id": "1", "url": "https://x.example"}], "INVALID_ATTACHMENT_OBJECT", id="attachment"),
    pytest.param("Title", "x", "INVALID_VALUE_FOR_COLUMN", id="formula"),
    pytest.param("No", 40, "INVALID_VALUE_FOR_COLUMN", id="autoNumber"),
    pytest.param("Nme", "x", "UNKNOWN_FIELD_NAME", id="unknown field"),
]


@pytest.mark.parametrize(("field", "value", "kind"), REFUSED)
def test_value_that_does_not_fit_is_refused_with_its_type(field: str, value: Any, kind: str) -> None:
    service = lab()
    assert service.error("POST", service.rows(), {"fields": {field: value}}) == (422, kind)
    assert service.control("records", table="Features") == []


@pytest.mark.parametrize("empty", [None, "", [], False], ids=["null", "text", "list", "false"])
def test_absent_means_empty(empty: Any) -> None:
    """Trap 1."""
    field = {str: "Name", list: "Tags", bool: "Flag", type(None): "Estimate"}[type(empty)]
    filled: dict[str, Any] = {"Name": "a", "Tags": ["Red"], "Flag": True, "Estimate": 4}
    service = lab()
    record = service.create(filled)[0]
    answer = service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {field: empty}})
    assert field not in answer["fields"]
    assert field not in service.fields(record)


def test_cleared_rich_text_reads_a_newline() -> None:
    """Trap 5, recorded."""
    service = lab()
    record = service.create({"Notes": "x"})[0]
    service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Notes": None}})
    assert service.fields(record)["Notes"] == "\n"
    untouched = service.create({"Name": "x"})[0]
    assert "Notes" not in service.fields(untouched)


def test_numbers_keep_their_noise_moments_their_milliseconds_and_a_checkbox_is_never_false() -> None:
    """Trap 6: the precision of a field is for display."""
    service = lab()
    record = service.create({"Estimate": 0.1 + 0.2, "At": "2026-11-21T07:00:00.5+01:00", "Flag": False})[0]
    shown = service.fields(record)
    assert shown["Estimate"] == 0.30000000000000004
    assert shown["At"] == "2026-11-21T06:00:00.500Z"
    assert "Flag" not in shown


def test_renamed_choice_is_read_in_every_record_without_an_event() -> None:
    """Trap 18."""
    service = lab()
    record = service.create({"Status": "Ready"})[0]
    hook = service.hook()
    service.control("rename_choice", table="Features", field="Status", choice="Ready", name="Go")
    assert service.fields(record)["Status"] == "Go"
    assert service.payloads(hook) == []


def test_renamed_field_changes_keys_by_name_and_not_by_id() -> None:
    """Trap 18."""
    service = lab()
    record = service.create({"Name": "x"})[0]
    service.control("rename_field", table="Features", field="Name", name="Label")
    assert service.fields(record)["Label"] == "x"
    by_id = service.ok("GET", f"{service.rows()}/{record}", query={"returnFieldsByFieldId": "true"})
    assert by_id["fields"][service.fld("Name")] == "x"
    assert service.error("POST", service.rows(), {"fields": {"Name": "y"}}) == (422, "UNKNOWN_FIELD_NAME")


def test_attachment_urls_change_at_every_read_and_ids_stay() -> None:
    """Trap 26."""
    service = lab()
    record = service.create({"Files": [{"url": "https://x.example/a.png"}]})[0]
    first, second = service.fields(record)["Files"][0], service.fields(record)["Files"][0]
    assert first["url"] != second["url"]
    assert first["id"] == second["id"]
    kept = service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Files": [{"id": first["id"]}]}})
    assert kept["fields"]["Files"][0]["filename"] == "a.png"


def test_computed_cells_are_derived() -> None:
    service = lab()
    record = service.create({"Name": "a"})[0]
    fields = service.fields(record)
    assert fields["Title"] == "a!"
    assert fields["No"] == 1
    assert fields["Made"] == "2026-11-21T06:00:00.000Z"
    service.clock.forward(seconds=90)
    service.ok("PATCH", f"{service.rows()}/{record}", {"fields": {"Name": "b"}})
    assert service.fields(record)["Title"] == "b!"
    assert service.fields(record)["Touched"] == "2026-11-21T06:01:30.000Z"
    assert service.fields(record)["Made"] == "2026-11-21T06:00:00.000Z"


def test_last_modified_time_misses_computed_changes_and_comments() -> None:
    """Trap 23."""
    service = lab()
    record = service.create({"Name": "a"})[0]
    before = service.fields(record)["Touched"]
    service.clock.forward(minutes=5)
    service.control("compute", record=record, cells={"Sum": 9})
    service.control("comment", record=record, text="hello")
    assert service.fields(record)["Sum"] == 9
    assert service.fields(record)["Touched"] == before


# ----------------------------------------------------------------------------------------------------------- writes


def test_one_bad_record_refuses_ten_and_uses_no_number() -> None:
    """Trap 16, recorded."""
    service = lab()
    rows: list[dict[str, Any]] = [{"fields": {"Name": f"row {at}"}} for at in range(9)]
    bad = {"fields": {"Name": "bad", "No": 4}}
    assert service.error("POST", service.rows(), {"records": [*rows, bad]})[0] == 422
    assert service.control("records", table="Features") == []
    record = service.create({"Name": "good"})[0]
    assert service.fields(record)["No"] == 1
    update = [{"id": record, "fields": {"Name": "new"}}, {"id": "recMissing0000001", "fields": {}}]
    assert service.error("PATCH", service.rows(), {"records": update}) == (422, "ROW_DOES_NOT_EXIST")
    assert service.fields(record)["Name"] == "good"
    deleted = [("records[]", record), ("records[]", "recMissing0000001")]
    assert service.error("DELETE", service.rows(), query=deleted) == (422, "ROW_DOES_NOT_EXIST")
    assert service.fields(record)["Name"] == "good"


def test_typecast_of_a_refused_batch_leaves_no_choice_behind() -> None:
    service = lab()
    rows = [{"fields": {"Status": "Brand new"}}, {"fields": {"No": 3}}]
    assert service.error("POST", service.rows(), {"records": rows, "typecast": True})[0] == 422
    choices = service.control("schema")["tables"][0]["fields"][1]["options"]["choices"]
    assert [each["name"] for each in choices] == ["Planned", "Ready", "Done"]


def test_typecast_makes_new_choices() -> None:
    """Trap 17."""
    service = lab()
    body: dict[str, Any] = {"fields": {"Status": "In Reveiw", "Estimate": "2.5"}, "typecast": True}
    assert service.ok("POST", service.rows(), body)["fields"]["Status"] == "In Reveiw"
    choices = service.control("schema")["tables"][0]["fields"][1]["options"]["choices"]
    assert "In Reveiw" in [each["name"] for each in choices]
    service.control("set_role", user=BOT, role="edit")
    body["fields"]["Status"] = "Other"
    assert service.error("POST", service.rows(), body) == (422, "INVALID_MULTIPLE_CHOICE_OPTIONS")


def test_put_clears_what_it_does_not_name() -> None:
    """Trap 14."""
    service = lab()
    record = service.create({"Name": "a", "Estimate": 3})[0]
    service.ok("PUT", f"{service.rows()}/{record}", {"fields": {"Name": "b"}})
    assert "Estimate" not in service.fields(record)


def test_eleven_records_are_too_many() -> None:
    service = lab()
    status, answer = service.call("POST", service.rows(), {"records": [{"fields": {}}] * 11})
    assert status == 422
    assert answer["error"]["message"] == "A maximum of 10 records can be created per request but you have provided 11."


def test_create_sent_twice_makes_two_records() -> None:
    """Trap 15: no idempotency key exists."""
    service = lab()
    body = {"fields": {"Name": "same"}}
    assert service.ok("POST", service.rows(), body)["id"] != service.ok("POST", service.rows(), body)["id"]


def test_last_write_wins_without_a_condition() -> None:
    """Trap 13: an edit between a read and a write is lost, and nothing says so."""
    service = lab()
    record = service.create({"Estimate": 1})[0]
    service.control("edit", record=record, cells={"Estimate": 2}, user=ANNA)
    headers = service.raw("PATCH", f"{service.rows()}/{record}", {"fields": {"Estimate": 3}})
    assert headers.status == 200
    assert service.fields(record)["Estimate"] == 3
    moves = [(each.before, each.after) for entry in service.machine.log for each in entry.changes]
    assert (2, 3) in moves


@pytest.mark.parametrize("order", list(UpsertAnswerOrder), ids=lambda each: each.value)
def test_upsert_answers_in_the_chosen_order(order: UpsertAnswerOrder) -> None:
    service = lab(Choices(upsert_answer_order=order))
    known = service.create({"Name": "known"})[0]
    body = {
        "performUpsert": {"fieldsToMergeOn": ["Name"]},
        "records": [{"fields": {"Name": "new"}}, {"fields": {"Name": "known", "Estimate": 2}}],
    }
    answer = service.ok("PATCH", service.rows(), body)
    made = answer["createdRecords"][0]
    assert answer["updatedRecords"] == [known]
    wanted = [known, made] if order is UpsertAnswerOrder.UPDATED_THEN_CREATED else [made, known]
    assert [each["id"] for each in answer["records"]] == wanted


def test_upsert_that_matches_several_writes_nothing() -> None:
    service = lab()
    service.create({"Name": "twin"}, {"Name": "twin"})
    body = {
        "performUpsert": {"fieldsToMergeOn": ["Name"]},
        "records": [{"fields": {"Name": "other"}}, {"fields": {"Name": "twin", "Estimate": 5}}],
    }
    assert service.error("PATCH", service.rows(), body)[0] == 422
    assert [each["fields"].get("Estimate") for each in service.control("records", table="Features")] == [None, None]


@pytest.mark.parametrize("choice", list(EmptyMergeKey), ids=lambda each: each.value)
def test_upsert_on_a_null_key_matches_empty_rows_or_creates(choice: EmptyMergeKey) -> None:
    service = lab(Choices(empty_merge_key=choice))
    service.create({"Estimate": 1})
    body: Any = {"performUpsert": {"fieldsToMergeOn": ["Name"]}, "records": [{"fields": {"Name": None, "Estimate": 2}}]}
    answer = service.ok("PATCH", service.rows(), body)
    assert bool(answer["createdRecords"]) is (choice is EmptyMergeKey.ALWAYS_CREATES)


def test_upsert_record_must_carry_its_key() -> None:
    service = lab()
    body = {"performUpsert": {"fieldsToMergeOn": ["Name"]}, "records": [{"fields": {"Estimate": 2}}]}
    status, answer = service.call("PATCH", service.rows(), body)
    assert (status, answer["error"]["message"]) == (422, "Record must include columns to merge on")


@pytest.mark.parametrize(
    ("choice", "kind"),
    [(MissingRecord.MODEL_ID_NOT_FOUND, "MODEL_ID_NOT_FOUND"), (MissingRecord.NOT_FOUND, "NOT_FOUND")],
    ids=["recorded", "bare"],
)
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_missing_record_is_404_in_the_chosen_words(choice: MissingRecord, kind: str, method: str) -> None:
    service = lab(Choices(missing_record=choice))
    body: Any = {"fields": {}} if method == "PATCH" else None
    assert service.error(method, f"{service.rows()}/recMissing0000001", body) == (404, kind)


def test_direct_read_finds_a_row_of_another_table() -> None:
    """Trap 2."""
    service = lab()
    person = service.ok("POST", service.rows("People"), {"fields": {"Name": "Anna"}})["id"]
    assert service.ok("GET", f"{service.rows()}/{person}")["fields"] == {"Name": "Anna"}
    listed = service.ok("GET", service.rows(), query={"filterByFormula": f"RECORD_ID()='{person}'"})
    assert listed["records"] == []


# ------------------------------------------------------------------------------------------------------------ lists


@pytest.mark.parametrize("order", list(UnsortedListOrder), ids=lambda each: each.value)
def test_unsorted_list_comes_by_id_or_arbitrary(order: UnsortedListOrder) -> None:
    service = lab(Choices(unsorted_list_order=order))
    for _ in range(3):
        service.create(*[{"Name": str(at)} for at in range(10)])
    listed = [each["id"] for each in service.ok("GET", service.rows())["records"]]
    assert len(set(listed)) == 30
    assert (listed == sorted(listed)) is (order is UnsortedListOrder.BY_ID)


def test_paging_is_a_snapshot_of_rows_and_not_of_values() -> None:
    """Trap 21."""
    service = lab()
    service.create(*[{"Name": f"{at}", "Estimate": 1} for at in range(6)])
    query = {"pageSize": 3, "filterByFormula": "{Estimate}=1"}
    first = service.ok("GET", service.rows(), query=query)
    rest = sorted(each["id"] for each in service.control("records", table="Features"))[3:]
    service.control("edit", record=rest[0], cells={"Estimate": 5})
    service.control("delete", record=rest[1])
    service.create({"Name": "late", "Estimate": 1})
    second = service.ok("GET", service.rows(), query={**query, "offset": first["offset"]})
    assert [each["id"] for each in second["records"]] == [rest[0], rest[2]]
    assert second["records"][0]["fields"]["Estimate"] == 5
    assert "offset" not in second


def test_offsets_expire_and_mangled_ones_are_refused() -> None:
    """Trap 22."""
    service = lab()
    service.create(*[{"Name": str(at)} for at in range(5)])
    offset = service.ok("GET", service.rows(), query={"pageSize": 2})["offset"]
    half = offset.partition("/")[0]
    assert service.error("GET", service.rows(), query={"pageSize": 2, "offset": half}) == (422, "INVALID_OFFSET_VALUE")
    other = {"pageSize": 2, "offset": offset, "view": "All"}
    assert service.error("GET", service.rows(), query=other) == (422, "INVALID_OFFSET_VALUE")
    for _ in range(2):
        service.clock.forward(seconds=299)
        service.ok("GET", service.rows(), query={"pageSize": 2, "offset": offset})
    service.clock.forward(seconds=301)
    gone = (422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")
    assert service.error("GET", service.rows(), query={"pageSize": 2, "offset": offset}) == gone


def test_restart_of_the_service_ends_every_listing() -> None:
    service = lab()
    service.create(*[{"Name": str(at)} for at in range(5)])
    offset = service.ok("GET", service.rows(), query={"pageSize": 2})["offset"]
    service.control("forget_offsets")
    assert service.error("GET", service.rows(), query={"pageSize": 2, "offset": offset})[0] == 422


def test_view_filters_rows_and_a_missing_view_is_refused() -> None:
    """Trap 2: a row that left the view is not deleted, and a view that is gone is not an empty list."""
    service = lab()
    record = service.create({"Name": "a", "Status": "Ready"})[0]
    view = {"view": "Ready only"}
    assert [each["id"] for each in service.ok("GET", service.rows(), query=view)["records"]] == [record]
    service.control("edit", record=record, cells={"Status": "Done"})
    assert service.ok("GET", service.rows(), query=view)["records"] == []
    view_id = service.ids["tables"]["Features"]["views"]["Ready only"]
    service.control("delete_view", table="Features", view="Ready only")
    assert service.error("GET", service.rows(), query=view) == (422, "VIEW_NAME_NOT_FOUND")
    assert service.error("GET", service.rows(), query={"view": view_id}) == (422, "VIEW_ID_NOT_FOUND")


FORMULAS = [
    pytest.param("{Name}='b'", ["b"], id="equals"),
    pytest.param('{Name}="it\'s"', ["it's"], id="an apostrophe in double quotes"),
    pytest.param("{Name}='it\\'s'", ["it's"], id="an escaped apostrophe"),
    pytest.param("OR({Name}='a', {Name}='b')", ["a", "b"], id="or"),
    pytest.param("AND({Estimate}>1, NOT({Name}='b'))", ["it's"], id="and, not"),
    pytest.param("{Tags}='Red, Blue'", ["a"], id="a list as text"),
    pytest.param("{Flag}", ["b"], id="truth"),
    pytest.param("IS_AFTER(LAST_MODIFIED_TIME(), '2026-11-21T06:30:00.000Z')", ["b"], id="changed since"),
    pytest.param("LAST_MODIFIED_TIME()<'2026-11-21T06:30:00.000Z'", ["a", "it's"], id="compared as moments"),
    pytest.param("{Status}=BLANK()", ["b", "it's"], id="empty"),
]


@pytest.mark.parametrize(("formula", "names"), FORMULAS)
def test_filter_by_formula_keeps_the_rows_it_says(formula: str, names: list[str]) -> None:
    service = lab()
    first = service.create(
        {"Name": "a", "Estimate": 1, "Tags": ["Red", "Blue"], "Status": "Ready"},
        {"Name": "b", "Estimate": 2},
        {"Name": "it's", "Estimate": 3},
    )
    service.clock.forward(hours=1)
    service.control("edit", record=first[1], cells={"Flag": True})
    listed = service.ok("GET", service.rows(), query={"filterByFormula": formula})["records"]
    assert sorted(each["fields"]["Name"] for each in listed) == names


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("{Name}='it's'", "Invalid formula. Please check your formula text."),
        ("SQRT(4)", "Invalid formula. Please check your formula text."),
        ("(" * 5000, "Invalid formula. Please check your formula text."),
        ("{Nme}='x'", "Unknown field names: nme"),
    ],
    ids=["unquoted apostrophe", "unknown function", "too deep", "unknown field"],
)
def test_unreadable_formula_is_refused(formula: str, message: str) -> None:
    service = lab()
    status, answer = service.call("POST", f"{service.rows()}/listRecords", {"filterByFormula": formula})
    assert (status, answer["error"]["type"]) == (422, "INVALID_FILTER_BY_FORMULA")
    assert answer["error"]["message"] == f"The formula for filtering records is invalid: {message}"


def test_list_options_choose_fields_order_and_number() -> None:
    service = lab()
    service.create({"Name": "b", "Estimate": 2}, {"Estimate": 3}, {"Name": "a", "Estimate": 1})
    query = [("fields[]", "Name"), ("sort[0][field]", "Name"), ("sort[0][direction]", "asc"), ("maxRecords", "2")]
    listed = service.ok("GET", service.rows(), query=query)["records"]
    assert [each["fields"] for each in listed] == [{}, {"Name": "a"}]
    by_body = {
        "sort": [{"field": "Estimate", "direction": "desc"}],
        "fields": ["Estimate"],
        "returnFieldsByFieldId": True,
    }
    posted = service.ok("POST", f"{service.rows()}/listRecords", by_body)["records"]
    assert [each["fields"] for each in posted] == [{service.fld("Estimate"): at} for at in (3, 2, 1)]
    assert service.error("GET", service.rows(), query={"fields[]": "Nme"}) == (422, "UNKNOWN_FIELD_NAME")
    assert service.error("GET", service.rows(), query={"pageSize": 101})[0] == 422


def test_comment_count_stands_beside_the_fields() -> None:
    service = lab()
    record = service.create({"Name": "a"})[0]
    service.control("comment", record=record, text="one", user=ANNA)
    listed = service.ok("GET", service.rows(), query={"recordMetadata[]": "commentCount"})["records"]
    assert listed[0]["commentCount"] == 1
    service.ok("POST", f"{service.rows()}/{record}/comments", {"text": f"@[{ANNA}] two"})
    answer = service.ok("GET", f"{service.rows()}/{record}/comments", query={"pageSize": 1})
    assert answer["comments"][0]["mentioned"][ANNA]["displayName"] == "Anna"
    last = service.ok("GET", f"{service.rows()}/{record}/comments", query={"offset": answer["offset"]})
    assert last["offset"] is None
    path = f"{service.rows()}/{record}/comments/"
    assert service.call("DELETE", path + last["comments"][0]["id"])[0] == 403
    assert service.call("DELETE", path + answer["comments"][0]["id"])[0] == 200


def test_links_have_two_ends_and_lookups_follow() -> None:
    people = {"name": "People", "id": "tblPeople00000001", "fields": [{"name": "Name", "type": "singleLineText"}]}
    features = {
        "name": "Features",
        "id": "tblFeatures000001",
        "fields": [{"name": "Name", "type": "singleLineText"}],
    }
    service = lab(tables=[features, people])
    link = service.control(
        "add_field", table="Features", name="Who", type="multipleRecordLinks", options={"linkedTableId": people["id"]}
    )["id"]
    lookup = {"recordLinkFieldId": link, "fieldIdInLinkedTable": service.fld("Name", "People")}
    service.control("add_field", table="Features", name="Names", type="multipleLookupValues", options=lookup)
    service.control("add_field", table="Features", name="Count", type="count", options=lookup)
    anna = service.ok("POST", service.rows("People"), {"fields": {"Name": "Anna"}})["id"]
    record = service.create({"Name": "f", "Who": [anna]})[0]
    assert service.fields(record) == {"Name": "f", "Who": [anna], "Names": ["Anna"], "Count": 1}
    assert service.ok("GET", f"{service.rows('People')}/{anna}")["fields"]["Features"] == [record]
    service.control("edit", record=anna, cells={"Name": "Anne"})
    assert service.fields(record)["Names"] == ["Anne"]
    service.control("delete", record=anna)
    assert service.fields(record) == {"Name": "f", "Count": 0}
    missing = {"fields": {"Who": [anna]}}
    assert service.error("PATCH", f"{service.rows()}/{record}", missing) == (422, "ROW_DOES_NOT_EXIST")
    service.control("restore", record=anna)
    assert service.fields(record)["Who"] == [anna]


def test_link_without_a_mirror_follows_its_row_too() -> None:
    people = {
        "name": "People",
        "id": "tblPeople00000001",
        "fields": [{"name": "Name", "id": "fldName0000000001", "type": "singleLineText"}],
    }
    looked = {"recordLinkFieldId": "fldWho00000000001", "fieldIdInLinkedTable": "fldName0000000001"}
    features = {
        "name": "Features",
        "fields": [
            {"name": "Name", "type": "singleLineText"},
            {
                "name": "Who",
                "id": "fldWho00000000001",
                "type": "multipleRecordLinks",
                "options": {"linkedTableId": "tblPeople00000001"},
            },
            {"name": "Count", "type": "count", "options": looked},
            {"name": "Names", "type": "multipleLookupValues", "options": looked},
        ],
    }
    service = lab(tables=[features, people])
    anna = service.ok("POST", service.rows("People"), {"fields": {"Name": "Anna"}})["id"]
    record = service.create({"Name": "f", "Who": [anna]})[0]
    service.control("edit", record=anna, cells={"Name": "Anne"})
    assert service.fields(record)["Names"] == ["Anne"]
    service.ok("DELETE", f"{service.rows('People')}/{anna}")
    assert service.fields(record) == {"Name": "f", "Count": 0}


# ------------------------------------------------------------------------------------------------- shape of requests

MALFORMED: list[Any] = [
    pytest.param("POST", b"{", "INVALID_REQUEST_BODY", id="cut json"),
    pytest.param("POST", b'{"fields":{"Estimate":NaN}}', "INVALID_REQUEST_BODY", id="no json number"),
    pytest.param("POST", {"fields": []}, "INVALID_REQUEST_UNKNOWN", id="fields are no object"),
    pytest.param("POST", {"fields": {}, "field": 1}, "INVALID_REQUEST_UNKNOWN", id="unknown key"),
    pytest.param("PATCH", {"records": {}}, "INVALID_REQUEST_UNKNOWN", id="records are no list"),
    pytest.param("PATCH", {"records": [{"fields": {}}]}, "INVALID_REQUEST_UNKNOWN", id="update without an id"),
]


@pytest.mark.parametrize(("method", "body", "kind"), MALFORMED)
def test_malformed_body_is_refused(method: str, body: Any, kind: str) -> None:
    service = lab()
    assert service.error(method, service.rows(), body) == (422, kind)


def test_too_long_a_url_and_too_large_a_body_are_refused() -> None:
    service = lab(limits=Limits(base_per_second=None, user_per_second=None, body_bytes_max=100))
    assert service.raw("GET", service.rows(), query={"filterByFormula": "x" * 16_000}).status == 414
    assert service.raw("POST", service.rows(), {"fields": {"Name": "x" * 100}}).status == 413
