"""The codec's law, its tables, and everything recorded through it (reference/airtable.md 4, 6.1, 7)."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.airtable import shape, translate
from syncd.model import value
from syncd.model.ids import BaseId, FieldId
from syncd.model.schema import Field
from syncd.model.value import NOTHING, TRUE, Day, Instant, Number, Options, Text, Unknown, Value
from tests import shared
from tests.airtable.cells import CHOICES, VALUES, a_field, any_json, any_text, held_by

BASE = BaseId("appTEST0000000001")


def number(digits: str) -> Number:
    return Number(Decimal(digits))


# ------------------------------------------------------------------------------------------------------------- laws


@given(st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), held_by(kind))))
def test_what_the_field_can_hold_is_written_and_reads_back(case: tuple[str, Value]) -> None:
    """I28. Through JSON, as on the wire; rich text also as the service stores it (4.2)."""
    kind, wanted = case
    field = a_field(kind)
    sent = json.loads(json.dumps(translate.encode(field, wanted), allow_nan=False))
    assert translate.decode(field, sent) == wanted
    assert (sent is None) == (wanted is NOTHING)
    if kind == "richText":
        assert translate.decode(field, f"{sent or ''}\n") == wanted


@given(
    st.sampled_from(sorted(VALUES)),
    st.one_of(
        st.one_of(*VALUES.values()),
        any_text.map(value.text),
        st.frozensets(any_text, min_size=1).map(Options),
        st.decimals(allow_nan=False, allow_infinity=False).map(Number),
    ),
)
def test_any_other_value_reads_back_or_is_refused_in_words(kind: str, wanted: Value) -> None:
    field = a_field(kind)
    try:
        sent = translate.encode(field, wanted)
    except ValueError:
        with pytest.raises(ValueError, match=kind):
            translate.encode(field, wanted)
    else:
        assert translate.decode(field, json.loads(json.dumps(sent, allow_nan=False))) == wanted


@given(st.sampled_from([*sorted(translate.READABLE), "aiText", "notYetInvented"]), any_json, st.booleans())
def test_no_cell_is_too_strange_to_be_read(kind: str, raw: Any, hook: bool) -> None:
    field = a_field(kind, result_kind="number" if kind == "rollup" else "")
    found = (translate.decode_hook if hook else translate.decode)(field, raw)
    assert isinstance(found, Unknown) or value.parse(value.dump(found)) == found
    if isinstance(found, Unknown):
        assert found.reason


# ---------------------------------------------------------------------------------------------------------- reading

AT = datetime(2021, 12, 26, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        pytest.param("singleLineText", None, NOTHING, id="an absent cell is empty"),
        pytest.param("singleLineText", "", NOTHING, id="an empty text is empty"),
        pytest.param("singleLineText", " \n", NOTHING, id="a blank text is empty"),
        pytest.param("richText", "\t\n", NOTHING, id="a tab and what the service appends are empty"),
        pytest.param("singleLineText", "\tx\x1c", Text("x"), id="blanks of any kind do not count at the edges"),
        pytest.param("checkbox", False, NOTHING, id="an unticked box is empty"),
        pytest.param("multipleSelects", [], NOTHING, id="no options are empty"),
        pytest.param("richText", "\n", NOTHING, id="a cleared rich text is empty"),
        pytest.param("number", 0, number("0"), id="zero is a value"),
        pytest.param("number", 0.1 + 0.2, number("0.3"), id="float noise is rounded away"),
        pytest.param("percent", 0.12345, number("0.1234"), id="a percent is a fraction"),
        pytest.param("duration", 0.5, number("0.5"), id="a duration can be fractional"),
        pytest.param("rating", 4, number("4"), id="rating"),
        pytest.param("count", 0, number("0"), id="count"),
        pytest.param("autoNumber", 221, number("221"), id="autoNumber"),
        pytest.param("checkbox", True, TRUE, id="ticked"),
        pytest.param("date", "2021-12-26", Day(date(2021, 12, 26)), id="day"),
        pytest.param("dateTime", "2021-12-26T12:00:00.000Z", Instant(AT), id="moment"),
        pytest.param("dateTime", "2021-12-26T13:00:00+01:00", Instant(AT), id="moment of another zone"),
        pytest.param("createdTime", "2021-12-26T12:00:00.000Z", Instant(AT), id="created"),
        pytest.param("singleSelect", "Ready", Text("Ready"), id="option"),
        pytest.param("multipleSelects", ["b", "a", "b"], Options(frozenset("ab")), id="options are a set"),
        pytest.param("richText", "* x\n  + y\n", Text("- x\n  - y"), id="bullets have one form"),
    ],
)
def test_a_cell_reads_as(kind: str, raw: Any, expected: Value) -> None:
    assert translate.decode(a_field(kind), raw) == expected


@pytest.mark.parametrize(
    ("kind", "result", "raw", "expected"),
    [
        ("formula", "singleLineText", "Brian1", Text("Brian1")),
        ("formula", "number", 7, number("7")),
        ("formula", "dateTime", "2021-12-26T12:00:00.000Z", Instant(AT)),
        ("formula", "date", "2021-12-26", Day(date(2021, 12, 26))),
        ("formula", "date", "2021-12-26T12:00:00.000Z", Day(date(2021, 12, 26))),
        ("formula", "", "text", Text("text")),
        ("formula", "", 1.5, number("1.5")),
        ("formula", "", True, TRUE),
        ("rollup", "number", 540.8333333333334, number("540.8333333333334")),
        ("rollup", "singleLineText", ["a", "", None, "b"], Text("a, b")),
        ("multipleLookupValues", "number", [497699], number("497699")),
        ("multipleLookupValues", "singleLineText", ["a", "b"], Text("a, b")),
        ("multipleLookupValues", "singleSelect", ["b", "a"], Options(frozenset("ab"))),
        ("multipleLookupValues", "singleSelect", ["a"], Options(frozenset("a"))),
        ("multipleLookupValues", "multipleSelects", [["a"], ["b", "a"]], Options(frozenset("ab"))),
        ("multipleLookupValues", "checkbox", [True], TRUE),
        ("multipleLookupValues", "number", [None], NOTHING),
        ("lastModifiedTime", "date", "2021-12-26", Day(date(2021, 12, 26))),
    ],
)
def test_a_computed_cell_reads_by_its_result(kind: str, result: str, raw: Any, expected: Value) -> None:
    assert translate.decode(a_field(kind, result_kind=result), raw) == expected


@pytest.mark.parametrize(
    ("kind", "result", "raw", "reason"),
    [
        ("formula", "number", {"error": "#ERROR!"}, "#ERROR!"),
        ("rollup", "number", {"specialValue": "NaN"}, "NaN"),
        ("multipleLookupValues", "number", [1, {"specialValue": "Infinity"}], "Infinity"),
        ("multipleLookupValues", "number", [1, 2], "several values"),
        ("multipleLookupValues", "multipleRecordLinks", ["recX"], "multipleRecordLinks"),
        ("number", "", "7", "no number"),
        ("number", "", True, "no number"),
        ("number", "", float("inf"), "exactly"),
        ("number", "", 1e300, "exactly"),
        ("singleLineText", "", 7, "no text"),
        ("singleLineText", "", "half \ud83d", "surrogate"),
        ("checkbox", "", "yes", "no checkmark"),
        ("date", "", "26.12.2021", "no day"),
        ("dateTime", "", "2021-12-26T12:00:00", "zone"),
        ("dateTime", "", "0001-01-01T00:00:00+14:00", "moment"),
        ("multipleSelects", "", "Red", "list"),
        ("multipleSelects", "", [{"id": "x"}], "no text"),
        ("multipleAttachments", "", None, "does not read"),
        ("multipleRecordLinks", "", ["rec1"], "does not read"),
        ("notYetInvented", "", 1, "does not read"),
    ],
)
def test_what_is_no_value_is_unknown_with_a_reason(kind: str, result: str, raw: Any, reason: str) -> None:
    """AT22, AT27: an error in a cell is never taken for an empty one."""
    found = translate.decode(a_field(kind, result_kind=result), raw)
    assert isinstance(found, Unknown)
    assert reason in found.reason


# ---------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize(
    ("kind", "wanted", "expected"),
    [
        ("number", value.number(7), 7),
        ("number", value.number("0.25"), 0.25),
        ("checkbox", TRUE, True),
        ("singleSelect", value.text("In Review"), "In Review"),
        ("singleSelect", value.text("edge"), " edge "),
        ("multipleSelects", value.options(["Ready", "Planned"]), ["Planned", "Ready"]),
        ("date", Day(date(987, 1, 2)), "0987-01-02"),
        ("dateTime", value.instant(AT), "2021-12-26T12:00:00.000Z"),
        ("dateTime", value.instant(AT.replace(year=987)), "0987-12-26T12:00:00.000Z"),
        ("multilineText", value.text(" a  \r\nb "), " a  \r\nb "),
        *[(kind, NOTHING, None) for kind in sorted(VALUES)],
    ],
)
def test_a_value_is_sent_as(kind: str, wanted: Value, expected: Any) -> None:
    sent = translate.encode(a_field(kind), wanted)
    assert (type(sent), sent) == (type(expected), expected)


@pytest.mark.parametrize(
    ("kind", "wanted", "reason"),
    [
        ("formula", value.text("x"), "cannot write"),
        ("notYetInvented", NOTHING, "cannot write"),
        ("singleSelect", value.text("Redy"), 'no option "Redy"'),
        ("multipleSelects", value.options(["Ready", "New"]), 'no option "New"'),
        ("singleLineText", value.text("a\x00b"), "U+0000"),
        ("singleLineText", value.text("a\ud83d"), "U+D83D"),
        ("singleLineText", Text("sha256:" + "0" * 64, None), "hash"),
        ("singleLineText", value.number(1), "not a number"),
        ("number", value.number("0.001"), "read back"),
        ("number", value.number(2**53 + 1), "read back"),
        ("number", Number(Decimal("1E+400")), "read back"),
        ("rating", value.number(0), "from 1"),
        ("rating", value.number("1.5"), "from 1"),
        ("checkbox", value.text("true"), "checkmark"),
        ("date", value.instant(AT), "a day"),
        ("dateTime", Day(date(2021, 1, 1)), "a moment"),
        ("richText", value.text("* x"), "read back"),
    ],
)
def test_a_value_that_has_no_place_is_refused_in_words(kind: str, wanted: Value, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("+", r"\+")):
        translate.encode(a_field(kind), wanted)


# --------------------------------------------------------------------------------------------------------- recorded


def recorded_field(name: str) -> Field:
    """A field of the recorded table, whose fields are named after their types."""
    kind = name.removeprefix("f_") if name.startswith("f_") else "singleLineText"
    return a_field(kind, choices=(), precision=None)


def test_every_recorded_cell_is_read() -> None:
    loaded = shared.load("fixtures/airtable/record-list-every-type--grouparoo.json")
    seen: set[str] = set()
    for raw in loaded["response"]["records"]:
        for name, cell in raw["fields"].items():
            field = recorded_field(name)
            found = translate.decode(field, cell)
            special = isinstance(cell, dict) and "specialValue" in cell
            several = field.kind == "multipleLookupValues" and len(cell) > 1
            assert isinstance(found, Unknown) == (field.kind not in translate.READABLE or special or several), name
            seen.add(field.kind)
    assert seen >= translate.READABLE


def test_what_was_sent_to_the_service_was_answered_as_an_equal_value() -> None:
    exchanges = shared.load("fixtures/airtable/record-write-every-type--grouparoo.json")
    compared = 0
    for exchange in exchanges:
        if "request" not in exchange:
            continue
        (sent,), (answered,) = exchange["request"]["records"], exchange["response"]["records"]
        for name, given_cell in sent["fields"].items():
            field, cell = recorded_field(name), given_cell
            if isinstance(cell, int) and field.kind == "dateTime":
                cell = value.format_instant(datetime.fromtimestamp(cell / 1000, UTC))
            assert translate.decode(field, answered["fields"].get(name)) == translate.decode(field, cell), name
            compared += 1
    assert compared > 30


def test_the_hook_form_of_a_cell_reads_as_its_rest_form() -> None:
    payload = shared.load("fixtures/airtable/webhook-payload-cells-v2--constructed.json")
    change = payload["changedTablesById"]["tbl00000000000001"]["changedRecordsById"]["rec00000000000001"]
    cells = change["current"]["cellValuesByFieldId"]
    rest: dict[str, tuple[Field, Any]] = {
        "fldSingleSelect00": (a_field("singleSelect"), "In Review"),
        "fldMultiSelect000": (a_field("multipleSelects"), ["backend"]),
        "fldLookup00000000": (a_field("multipleLookupValues", result_kind="singleLineText"), ["x"]),
        "fldCheckbox000000": (a_field("checkbox"), True),
        "fldDate0000000000": (a_field("date"), "2026-11-21"),
        "fldDateTime000000": (a_field("dateTime"), "2026-11-21T06:00:00.000Z"),
        "fldText0000000000": (a_field("singleLineText"), "plain"),
        "fldNumber00000000": (a_field("number"), 1.5),
    }
    for name, (field, form) in rest.items():
        found = translate.decode_hook(field, cells[name])
        assert found == translate.decode(field, form)
        assert not isinstance(found, Unknown | type(NOTHING))
    nested = {"linkedRecordIds": ["rec1"], "valuesByLinkedRecordId": {"rec1": [{"id": "sel1", "name": "A"}]}}
    lookup = a_field("multipleLookupValues", result_kind="singleSelect")
    assert translate.decode_hook(lookup, nested) == Options(frozenset("A"))


# ---------------------------------------------------------------------------------------------------------- schema


def test_every_recorded_field_definition_is_parsed() -> None:
    definitions = shared.load("fixtures/airtable/schema-fields-all-types--pyairtable.json")
    parsed = {name: translate.parse_field(raw) for name, raw in definitions.items()}
    assert {name: field.kind for name, field in parsed.items()} == {
        name: raw["type"] for name, raw in definitions.items()
    }
    assert parsed["SingleSelect"].choices == ("Todo", "In progress", "Done")
    assert parsed["Currency"].precision == 2
    assert parsed["Percent"].precision == 2
    assert parsed["Duration"].precision is None
    assert (parsed["Formula"].result_kind, parsed["Formula"].precision) == ("number", 0)
    assert parsed["CreatedTime"].result_kind == "dateTime"
    assert parsed["MultipleLookupValues"].result_kind == "multipleSelects"
    assert parsed["Unknown"].kind == "somethingUnrecognizable"
    assert parsed["SingleLineText"].id == FieldId("fldeica4zrxCGxsl1")


def test_the_recorded_schema_of_a_base_is_parsed() -> None:
    raw = shared.load("fixtures/airtable/schema-base-tables--pyairtable.json")
    tables = translate.parse_tables(BASE, raw)
    assert [table.name for table in tables] == [each["name"] for each in raw["tables"]]
    assert [len(table.fields) for table in tables] == [len(each["fields"]) for each in raw["tables"]]
    assert all(table.base == BASE and table.primary in {field.id for field in table.fields} for table in tables)
    assert {view.kind for table in tables for view in table.views} >= {"grid"}


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"tables": None},
        {"tables": {}},
        {"tables": [None]},
        {"tables": [{"id": "tbl1", "name": "T"}]},
        {"tables": [{"id": "tbl/../x", "name": "T", "primaryFieldId": "fld1", "fields": []}]},
        {"tables": [{"id": "tbl1", "name": "T", "primaryFieldId": "fld1"}]},
        {"tables": [{"id": "tbl1", "name": "T", "primaryFieldId": "fld1", "fields": [{"id": "fld1", "name": "N"}]}]},
        {"error": {"type": "INTERNAL_ERROR"}},
    ],
)
def test_a_schema_of_another_shape_is_no_schema(raw: Any) -> None:
    with pytest.raises(shape.ShapeError):
        translate.parse_tables(BASE, raw)


def test_a_record_holds_exactly_the_fields_that_were_asked_for() -> None:
    asked = [a_field("singleLineText"), a_field("number"), a_field("checkbox")]
    raw = {
        "id": "recAAAAAAAAAAAAAA",
        "createdTime": "2021-12-26T12:00:00.000Z",
        "fields": {"fldnumber": {"error": "#ERROR!"}, "fldother": 1, "fldcheckbox": True},
    }
    record = translate.parse_record(raw, asked, in_view=False)
    assert record.cells == {
        FieldId("fldsingleLineText"): NOTHING,
        FieldId("fldnumber"): Unknown(),
        FieldId("fldcheckbox"): TRUE,
    }
    assert (record.created_at, record.in_view) == (AT, False)


@pytest.mark.parametrize("key", ["id", "createdTime", "fields"])
@pytest.mark.parametrize("broken", [None, 7, "x", []])
def test_a_record_of_another_shape_is_no_record(key: str, broken: Any) -> None:
    raw: dict[str, Any] = {"id": "recAAAAAAAAAAAAAA", "createdTime": "2021-12-26T12:00:00.000Z", "fields": {}}
    with pytest.raises(shape.ShapeError):
        translate.parse_record({**raw, key: broken}, [])


# ---------------------------------------------------------------------------------------------------------- errors


def test_every_collected_error_is_explained() -> None:
    for entry in shared.load("fixtures/airtable/errors-catalogue--collected.json"):
        body = entry["body"]
        told = body.get("error", body.get("errors"))
        expected: tuple[str, str]
        match told:
            case str():
                expected = ("ROUTE_" + told, "")
            case dict():
                expected = (told["type"], told.get("message", ""))
            case _:
                expected = (told[0]["error"], told[0]["message"])
        assert translate.explain(entry["status"], body) == expected


def test_the_two_kinds_of_not_found_are_told_apart() -> None:
    assert translate.explain(404, {"error": {"type": "NOT_FOUND"}}) == ("NOT_FOUND", "")
    assert translate.explain(404, {"error": "NOT_FOUND"}) == ("ROUTE_NOT_FOUND", "")


@given(any_json)
def test_no_error_body_is_too_strange_to_be_explained(raw: Any) -> None:
    for body in (raw, {"error": raw}, {"errors": raw}, {"errors": [raw]}):
        code, detail = translate.explain(422, body)
        assert code.isprintable()
        assert isinstance(detail, str)


def test_every_option_is_found_by_the_form_that_is_compared() -> None:
    for choice in CHOICES:
        assert translate.encode(a_field("singleSelect"), value.text(choice)) == choice
