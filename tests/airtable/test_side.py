"""The whole room over real HTTP against the emulated Airtable, under the choices that the documents leave open."""

import contextlib
import json
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd import errors, ports
from syncd.airtable import client, delivery, side, translate
from syncd.model import value
from syncd.model.ids import BaseId, HookId, RecordId, TableId, ViewId
from syncd.model.value import NOTHING, Text, Unknown, Value
from syncd.sandbox import choices as open_points
from syncd.sandbox.adapter import MachineAdapter
from syncd.sandbox.airtable.world import Limits
from syncd.sandbox.fault import FaultKind
from tests.airtable import stand
from tests.airtable.cells import VALUES, held_by
from tests.airtable.stand import Stand
from tests.sandbox import airtable_setup
from tests.sandbox.airtable_setup import ANNA, BOT
from tests.wire_stand import HandClock, NotingGate, RawServer, says

MISSING = RecordId("recAAAAAAAAAAAAAA")


@pytest.fixture
def at() -> Iterator[Stand]:
    with stand.opened() as made:
        yield made


@pytest.fixture(params=range(6), ids=lambda seed: f"choices {seed}")
def any_choice(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """Airtable under drawn answers to every open point."""
    with stand.opened(choices=open_points.draw(random.Random(request.param))) as made:
        yield made


def update(record: RecordId, **cells: Value) -> tuple[RecordId, dict[str, Value]]:
    return record, cells


def send(at: Stand, *updates: tuple[RecordId, dict[str, Value]]) -> Any:
    names = dict.fromkeys(name for _, cells in updates for name in cells)
    return at.side.send_cells(
        at.table,
        at.fields(*names),
        [
            ports.CellUpdate(record=record, cells={at.id(name): wanted for name, wanted in cells.items()})
            for record, cells in updates
        ],
    )


# ------------------------------------------------------------------------------------------------------ the codec


@pytest.fixture(scope="module")
def shared_stand() -> Iterator[Stand]:
    with stand.opened() as made:
        yield made


@settings(max_examples=25)
@given(data=st.data())
@pytest.mark.parametrize("kind", sorted(translate.WRITABLE))
def test_what_is_written_reads_back_the_same_over_http(kind: str, shared_stand: Stand, data: st.DataObject) -> None:
    """I28: in the answer to the write, and in a read afterwards; also when the cell held something else before."""
    at = shared_stand
    (record,) = at.create({})
    for wanted in (data.draw(VALUES[kind]), data.draw(held_by(kind))):
        answered = send(at, update(record, **{kind: wanted}))
        read = at.side.fetch_records(at.table, None, at.fields(kind), [record])
        assert answered[record].cells == read[record].cells == {at.id(kind): wanted}


# ------------------------------------------------------------------------------------------------------- reading


def test_the_account_is_asked_for(at: Stand) -> None:
    assert at.side.fetch_account() == BOT


def test_the_schema_is_read_with_its_choices_and_views(at: Stand) -> None:
    features, people = at.side.fetch_tables()
    assert (features.name, people.name) == ("Features", "People")
    assert features.primary == at.id("singleLineText")
    assert at.field("singleSelect").choices[1] == "Ready"
    assert (at.field("number").precision, at.field("percent").precision) == (2, 4)
    assert [view.name for view in features.views] == ["All", "Ready only"]


def test_a_listing_is_complete_over_pages_and_holds_only_what_was_asked(any_choice: Stand) -> None:
    at = any_choice
    made = at.create(*[{"singleLineText": f"row {row}", "number": row} for row in range(230)])
    found = at.side.fetch_listing(at.table, None, at.fields("number", "checkbox"))
    assert {record.id for record in found} == set(made)
    assert len(found) == 230
    by_id = {record.id: record for record in found}
    assert by_id[made[7]].cells == {at.id("number"): value.number(7), at.id("checkbox"): NOTHING}
    assert at.arrived("POST", "/listRecords") == 3
    assert not any(at.gate.charged)


def test_a_listing_keeps_only_what_is_made_of_each_record(at: Stand) -> None:
    made = at.create(*[{"number": row} for row in range(120)])
    found = at.side.fetch_each(at.table, None, at.fields("number"), lambda record: record.cells[at.id("number")])
    assert found == {record: value.number(row) for row, record in enumerate(made)}
    assert at.arrived("POST", "/listRecords") == 2


def test_a_view_lists_its_own_records(at: Stand) -> None:
    ready, planned = at.create({"singleSelect": "Ready"}, {"singleSelect": "Planned"})
    found = at.side.fetch_listing(at.table, at.view("Ready only"), at.fields("singleSelect"))
    assert [(record.id, record.in_view) for record in found] == [(ready, True)]
    read = at.side.fetch_records(
        at.table, at.view("Ready only"), at.fields("singleSelect"), [planned, ready, ready, MISSING]
    )
    assert {record: row.in_view for record, row in read.items()} == {ready: True, planned: False}
    assert read[planned].cells == {at.id("singleSelect"): Text("Planned")}


def test_many_records_are_read_a_hundred_to_a_request(at: Stand) -> None:
    made = at.create(*[{"number": row} for row in range(120)])
    read = at.side.fetch_records(at.table, at.view("All"), at.fields("number"), [*made, MISSING])
    assert set(read) == set(made)
    # Two in the view, and one for what is not in it.
    assert at.arrived("POST", "/listRecords") == 3
    assert at.side.fetch_records(at.table, None, at.fields("number"), []) == {}


def test_a_view_that_is_gone_holds_everything_up(at: Stand) -> None:
    for read in (
        lambda: at.side.fetch_listing(at.table, ViewId("viwAAAAAAAAAAAAAA"), ()),
        lambda: at.side.fetch_records(at.table, ViewId("viwAAAAAAAAAAAAAA"), (), [MISSING]),
    ):
        with pytest.raises(errors.Rejected) as caught:
            read()
        assert caught.value.code.startswith("VIEW_")


def test_an_error_in_a_cell_is_unknown(at: Stand) -> None:
    (record,) = at.create({"singleLineText": "x"})
    at.lab.control("compute", record=record, cells={"Sum": {"specialValue": "NaN"}})
    read = at.side.fetch_records(at.table, None, at.fields("Sum", "Title", "Files"), [record])[record]
    assert isinstance(read.cells[at.id("Sum")], Unknown)
    assert isinstance(read.cells[at.id("Files")], Unknown)
    assert read.cells[at.id("Title")] == Text("x!")


def test_a_listing_starts_again_when_its_offset_died(at: Stand) -> None:
    """AT08: and is whole then."""
    at.create(*[{"number": row} for row in range(150)])
    at.fail(
        FaultKind.REFUSE,
        "listRecords",
        after=1,
        status=422,
        body='{"error":{"type":"LIST_RECORDS_ITERATOR_NOT_AVAILABLE"}}',
    )
    assert len(at.side.fetch_listing(at.table, None, ())) == 150
    assert len(at.gate.charged) == 4


def test_a_listing_whose_offset_always_dies_is_given_up(at: Stand) -> None:
    at.create(*[{"number": row} for row in range(150)])
    for after in (1, 2, 3):
        at.fail(
            FaultKind.REFUSE,
            "listRecords",
            after=after,
            status=422,
            body='{"error":{"type":"LIST_RECORDS_ITERATOR_NOT_AVAILABLE"}}',
        )
    with pytest.raises(errors.Unreachable):
        at.side.fetch_listing(at.table, None, ())
    assert len(at.gate.charged) == 2 * (client.RESTARTS_MAX + 1)


def test_a_listing_that_fails_in_the_middle_is_no_listing(at: Stand) -> None:
    at.create(*[{"number": row} for row in range(150)])
    for kind in (FaultKind.REFUSE, FaultKind.HTML, FaultKind.CUT, FaultKind.ERROR_SHAPED, FaultKind.LOSE_REPLY):
        at.faulty.clear()
        at.fail(kind, "listRecords", after=1)
        with pytest.raises(errors.Unreachable):
            at.side.fetch_listing(at.table, None, ())


def test_a_record_is_gone_only_on_the_services_own_word(any_choice: Stand) -> None:
    at = any_choice
    here, deleted = at.create({}, {})
    at.lab.control("delete", record=deleted)
    (elsewhere,) = at.lab.ok("POST", at.lab.rows("People"), {"records": [{"fields": {"Name": "Ada"}}]})["records"]
    assert not at.side.fetch_is_gone(at.table, here)
    assert at.side.fetch_is_gone(at.table, deleted)
    assert at.side.fetch_is_gone(at.table, MISSING)
    assert at.side.fetch_is_gone(at.table, RecordId(elsewhere["id"])), "the service finds it in another table (3.2)"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, '{"error":"NOT_FOUND"}', errors.Gone),
        (404, "<html>no such page</html>", errors.Gone),
        (410, '{"error":{"type":"MODEL_ID_NOT_FOUND"}}', errors.Gone),
        (403, '{"error":{"type":"INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND","message":"x"}}', errors.Unauthorised),
    ],
)
def test_any_other_refusal_does_not_mean_gone(at: Stand, status: int, body: str, expected: type[Exception]) -> None:
    """I13."""
    at.fail(FaultKind.REFUSE, str(MISSING), status=status, body=body)
    with pytest.raises(expected):
        at.side.fetch_is_gone(at.table, MISSING)


@pytest.mark.parametrize("bad", ["rec/../x", "rec", "", "tblAAAAAAAAAAAAAA", "recA')", "rec%2f", "recÄ"])
def test_an_id_of_another_shape_never_reaches_an_address(at: Stand, bad: str) -> None:
    """DA15."""
    for act in (
        lambda: at.side.fetch_is_gone(at.table, RecordId(bad)),
        lambda: at.side.fetch_records(at.table, None, (), [RecordId(bad)]),
        lambda: at.side.send_cells(at.table, (), [ports.CellUpdate(record=RecordId(bad), cells={})]),
        lambda: at.side.fetch_is_gone(TableId(bad.replace("tbl", "tab")), MISSING),
        lambda: at.side.send_hook_deletion(HookId(bad)),
    ):
        with pytest.raises(ValueError, match="is no id"):
            act()
    assert at.gate.charged == []


# ------------------------------------------------------------------------------------------------------- writing


def test_ten_records_are_changed_in_one_request(at: Stand) -> None:
    made = at.create(*[{"number": 1, "singleLineText": "kept"} for _ in range(10)])
    answered = send(at, *[update(record, number=value.number(row)) for row, record in enumerate(made)])
    assert {record: row.cells for record, row in answered.items()} == {
        record: {at.id("number"): value.number(row)} for row, record in enumerate(made)
    }
    assert at.arrived("PATCH") == 1
    assert at.gate.charged == [True]
    assert at.lab.fields(made[3])["singleLineText"] == "kept"


def test_eleven_records_are_a_mistake_of_the_caller(at: Stand) -> None:
    with pytest.raises(ValueError, match="1 to 10"):
        send(at, *[update(record, number=value.number(1)) for record in at.create(*[{}] * 11)])


def test_a_batch_is_refused_as_a_whole_before_it_is_sent_when_a_value_has_no_place(at: Stand) -> None:
    one, two = at.create({}, {})
    with pytest.raises(errors.Rejected) as caught:
        send(at, update(one, number=value.number(1)), update(two, singleSelect=value.text("Redy")))
    assert caught.value.code == "UNFIT_VALUE"
    assert 'no option "Redy"' in caught.value.detail
    assert at.gate.charged == []


@pytest.mark.parametrize(
    ("name", "wanted", "code"),
    [
        ("rating", value.number(11), "INVALID_VALUE_FOR_COLUMN"),
        ("singleSelect", value.text("Ready"), "INVALID_MULTIPLE_CHOICE_OPTIONS"),
    ],
)
def test_what_the_service_refuses_is_rejected_and_nothing_was_written(
    at: Stand, name: str, wanted: Value, code: str
) -> None:
    one, two = at.create({"number": 5}, {"number": 5})
    if name == "singleSelect":
        at.lab.control("delete_choice", table="Features", field=name, choice="Ready")
    with pytest.raises(errors.Rejected) as caught:
        send(at, update(one, number=value.number(1)), update(two, **{name: wanted}))
    assert (caught.value.status, caught.value.code) == (422, code)
    assert at.lab.fields(one)["number"] == 5


def test_a_record_that_went_away_makes_the_batch_rejected(at: Stand) -> None:
    with pytest.raises(errors.Rejected) as caught:
        send(at, update(*at.create({}), number=value.number(1)), update(MISSING, number=value.number(1)))
    assert caught.value.code == "ROW_DOES_NOT_EXIST"


@pytest.mark.parametrize(
    ("kind", "expected", "written"),
    [
        (FaultKind.LOSE_REPLY, errors.Unclear, True),
        (FaultKind.CLOSE_BEFORE, errors.Unclear, False),
        (FaultKind.FAIL_AFTER, errors.Unclear, True),
        (FaultKind.REFUSE, errors.Unclear, False),
        (FaultKind.HTML, errors.Unclear, True),
        (FaultKind.CUT, errors.Unclear, True),
        (FaultKind.ERROR_SHAPED, errors.Unclear, True),
        (FaultKind.HANG, errors.Unclear, False),
        (FaultKind.THROTTLE, errors.Throttled, False),
    ],
)
def test_a_change_is_sent_once_whatever_becomes_of_it(
    at: Stand, kind: FaultKind, expected: type[errors.ServiceError], written: bool
) -> None:
    """AT03, AT04: a second blind request is never sent, and an uncertain outcome is never called a failure."""
    (record,) = at.create({"number": 1})
    at.fail(kind, count=None, method="PATCH")
    with pytest.raises(errors.ServiceError) as caught:
        send(at, update(record, number=value.number(2)))
    assert type(caught.value) is expected
    assert at.faulty.hits == {kind.value: 1}
    at.faulty.clear()
    assert at.lab.fields(record)["number"] == (2 if written else 1)


@pytest.mark.parametrize("body", ['{"records": []}', '{"records": [{}]}', "{}", '{"records": null}', "[]"])
def test_an_answer_that_leaves_records_out_is_unclear(at: Stand, body: str) -> None:
    (record,) = at.create({"number": 1})
    at.fail(FaultKind.ERROR_SHAPED, method="PATCH", body=body)
    with pytest.raises(errors.Unclear):
        send(at, update(record, number=value.number(2)))


# ---------------------------------------------------------------------------------------------- limits, credentials


def test_after_a_429_the_base_is_silent_until_the_gate_opens() -> None:
    """AT01: one is the most that we cause."""
    with stand.opened(limits=Limits(base_per_second=1)) as at:
        at.lab.clock.forward(seconds=5)
        at.side.fetch_listing(at.table, None, ())
        for _ in range(3):
            with pytest.raises(errors.Throttled) as caught:
                at.side.fetch_listing(at.table, None, ())
        assert caught.value.retry_at == at.clock.now() + timedelta(seconds=30)
        assert not caught.value.until_month
        assert at.arrived("POST") == 2
        at.clock.move(30)
        at.lab.clock.forward(seconds=30)
        at.side.fetch_listing(at.table, None, ())


def test_the_monthly_quota_is_told_apart(at: Stand) -> None:
    at.lab.control("set_quota", monthly=0)
    with pytest.raises(errors.Throttled) as caught:
        at.side.fetch_listing(at.table, None, ())
    assert caught.value.until_month


@pytest.mark.parametrize("seed", range(4))
def test_a_wrong_token_is_unauthorised_and_never_shown(seed: int) -> None:
    secret = "patCANARY.7f3a9b"
    with stand.opened(choices=open_points.draw(random.Random(seed)), token=secret) as at:
        for act in (at.side.fetch_account, at.side.fetch_tables, lambda: at.side.fetch_listing(at.table, None, ())):
            with pytest.raises(errors.Unauthorised) as caught:
                act()
            assert secret not in repr(vars(caught.value)) + str(caught.value)
        assert secret not in repr(at.side)


def test_a_grant_that_was_taken_away_is_unauthorised_not_gone(at: Stand) -> None:
    at.lab.control("remove_grant", token=at.lab.token)
    with pytest.raises(errors.Unauthorised) as caught:
        at.side.fetch_listing(at.table, None, ())
    assert caught.value.code == "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND"


@pytest.mark.parametrize(("token", "base"), [("", "appTEST0000000001"), ("pat", "app/../x"), ("pat", "")])
def test_a_side_needs_a_token_and_a_base(at: Stand, token: str, base: str) -> None:
    with pytest.raises(ValueError):
        side.open_side(
            base_url=at.url, base=BaseId(base), token=token, gate=at.gate, clock=at.clock, user_agent="syncd-test"
        )


# ------------------------------------------------------------------------------------------------------- webhooks


def test_a_hook_lives_through_its_calls(at: Stand) -> None:
    made = at.side.create_hook("https://sync.example.com/hooks/airtable/x")
    assert made.secret not in repr(made)
    assert made.expires is not None
    (state,) = at.side.fetch_hooks()
    assert (state.hook, state.url) == (made.hook, "https://sync.example.com/hooks/airtable/x")
    assert (state.healthy, state.notifying, state.next_payload) == (True, True, 1)
    at.lab.clock.forward(days=3)
    renewed = at.side.send_hook_renewal(made.hook)
    assert renewed == made.expires + timedelta(days=3)
    at.lab.ok("POST", f"{at.lab.hooks_path}/{made.hook}/enableNotifications", {"enable": False})
    assert [(state.healthy, state.notifying) for state in at.side.fetch_hooks()] == [(True, False)]
    at.side.send_hook_notifying(made.hook)
    assert [(state.healthy, state.notifying) for state in at.side.fetch_hooks()] == [(True, True)]
    at.lab.control("disable_hook", hook=made.hook)
    assert [state.healthy for state in at.side.fetch_hooks()] == [False]
    at.side.send_hook_deletion(made.hook)
    at.side.send_hook_deletion(made.hook)
    assert at.side.fetch_hooks() == ()


def test_a_hook_without_an_address_only_stores_payloads(at: Stand) -> None:
    made = at.side.create_hook("")
    assert [(state.hook, state.url, state.healthy) for state in at.side.fetch_hooks()] == [(made.hook, "", True)]


@contextlib.contextmanager
def hooks_say(body: object) -> Iterator[side.AirtableSide]:
    """A side to which one call is answered with this."""
    clock = HandClock()
    with RawServer(says(json.dumps(body))) as server:
        yield side.open_side(
            base_url=server.url,
            base=BaseId("appBASE0000000001"),
            token="patX",
            gate=NotingGate(clock),
            clock=clock,
            user_agent="syncd-test",
        )


@pytest.mark.parametrize("number", [10**30, 2**63, 0, True, 1.5, "8", None], ids=repr)
def test_a_hook_list_with_a_number_that_no_store_takes_is_a_failed_read(number: Any) -> None:
    hook = {"id": "achHOOK0000000001", "cursorForNextPayload": number}
    with hooks_say({"webhooks": [hook]}) as asked, pytest.raises(errors.Unreachable, match="cursorForNextPayload"):
        asked.fetch_hooks()


def test_one_hook_with_an_odd_address_does_not_cost_the_list() -> None:
    odd = {"id": "achHOOK0000000001", "cursorForNextPayload": 2**63 - 1, "notificationUrl": "https://a/\ud800"}
    plain = {"id": "achHOOK0000000002", "cursorForNextPayload": 1, "notificationUrl": "https://a/é"}
    with hooks_say({"webhooks": [odd, plain]}) as asked:
        assert [hook.url for hook in asked.fetch_hooks()] == ["https://a/?", "https://a/é"]


def test_a_new_hook_whose_secret_is_half_a_character_is_unclear() -> None:
    made = {"id": "achHOOK0000000001", "macSecretBase64": "\ud800", "expirationTime": "2026-11-28T06:00:00.000Z"}
    with hooks_say(made) as asked, pytest.raises(errors.Unclear, match="Base64"):
        asked.create_hook("")


def test_an_expired_hook_cannot_be_renewed(at: Stand) -> None:
    made = at.side.create_hook("")
    at.lab.control("expire_hook", hook=made.hook)
    with pytest.raises(errors.Gone):
        at.side.send_hook_renewal(made.hook)


def test_an_eleventh_hook_is_rejected_with_the_services_word(at: Stand) -> None:
    for _ in range(10):
        at.side.create_hook("")
    with pytest.raises(errors.Rejected) as caught:
        at.side.create_hook("")
    assert caught.value.code == "TOO_MANY_WEBHOOKS_IN_BASE"


@pytest.mark.parametrize("act", ["create", "renew", "notify", "delete"])
def test_a_hook_call_whose_answer_is_broken_is_unclear(at: Stand, act: str) -> None:
    made = at.side.create_hook("")
    at.fail(FaultKind.ERROR_SHAPED, "webhooks")
    acts: dict[str, Callable[[], object]] = {
        "create": lambda: at.side.create_hook(""),
        "renew": lambda: at.side.send_hook_renewal(made.hook),
        "notify": lambda: at.side.send_hook_notifying(made.hook),
        "delete": lambda: at.side.send_hook_deletion(made.hook),
    }
    with pytest.raises(errors.Unclear):
        acts[act]()


def pages(at: Stand, hook: HookId, cursor: int = 1) -> list[Any]:
    """All pages from a cursor on."""
    found = []
    for _ in range(50):
        page = at.side.fetch_changes(hook, cursor, {field.id: field for field in at.schema.fields})
        found.append(page)
        cursor = page.next_cursor
        if not page.more:
            return found
    raise AssertionError("the pages have no end")


def test_changes_of_people_and_our_own_are_told_with_what_stood_before(any_choice: Stand) -> None:
    at = any_choice
    (record,) = at.create({"singleSelect": "Planned", "number": 1})
    hook = at.side.create_hook("").hook
    at.lab.control("edit", record=record, cells={"singleSelect": "Ready"}, user=ANNA)
    send(at, update(record, singleSelect=NOTHING, multipleSelects=value.options(["Ready"])))
    found = pages(at, hook)
    assert {each for page in found for each in page.table_records.get(at.table, ())} == {record}
    assert not any(page.gap or page.broken or page.schema_changed for page in found)
    edits = [
        (cell.field, cell.previous, cell.own)
        for page in found
        for cell in page.cells
        if cell.field in (at.id("singleSelect"), at.id("multipleSelects"))
    ]
    assert edits[0] == (at.id("singleSelect"), Text("Planned"), False)
    assert len(edits) == 3
    assert set(edits[1:]) == {
        (at.id("singleSelect"), Text("Ready"), True),
        (at.id("multipleSelects"), NOTHING, True),
    }


def test_every_page_of_many_changes_is_read_without_a_gap(any_choice: Stand) -> None:
    at = any_choice
    hook = at.side.create_hook("").hook
    made = at.create(*[{"number": row} for row in range(70)])
    for record in made:
        at.lab.control("edit", record=record, cells={"number": 5}, user=ANNA)
    at.lab.control("delete", records=made[:5], user=ANNA)
    found = pages(at, hook)
    assert len(found) > 1
    assert {each for page in found for each in page.table_records[at.table]} == set(made)
    assert not any(page.gap for page in found)
    assert all(earlier.next_cursor < later.next_cursor for earlier, later in pairwise(found))
    (again,) = pages(at, hook, found[-1].next_cursor)
    assert (again.table_records, again.gap, again.more) == ({}, False, False)


def test_payloads_that_were_deleted_are_a_gap(at: Stand) -> None:
    """AW04."""
    hook = at.side.create_hook("").hook
    (record,) = at.create({})
    for row in range(5):
        at.lab.control("edit", record=record, cells={"number": row}, user=ANNA)
    at.lab.control("drop_payloads", hook=hook, keep=2)
    (page,) = pages(at, hook)
    assert page.gap
    assert page.next_cursor == at.side.fetch_hooks()[0].next_payload


def test_a_changed_schema_is_told(at: Stand) -> None:
    hook = at.side.create_hook("").hook
    at.lab.control("add_field", table="Features", name="New", type="singleLineText")
    assert any(page.schema_changed for page in pages(at, hook))


def test_a_hook_that_is_gone_is_gone(at: Stand) -> None:
    with pytest.raises(errors.Gone):
        at.side.fetch_changes(HookId("achAAAAAAAAAAAAAA"), 1, {})


def test_a_page_of_another_shape_moves_no_cursor(at: Stand) -> None:
    hook = at.side.create_hook("").hook
    at.side.fetch_account()
    for kind in (FaultKind.HTML, FaultKind.CUT, FaultKind.ERROR_SHAPED):
        at.fail(kind, "payloads")
        with pytest.raises(errors.Unreachable):
            at.side.fetch_changes(hook, 1, {})


def test_a_real_ping_verifies_with_the_secret_of_its_hook(at: Stand) -> None:
    made = at.side.create_hook("https://sync.example.com/hooks/airtable/x")
    at.create({"number": 1})
    at.lab.clock.forward(seconds=5)
    (ping,) = at.lab.machine.due(at.lab.clock.now)
    headers = [(name.encode(), content.encode()) for name, content in ping.headers.items()]
    assert delivery.verify(headers, ping.body, made.secret) == ""
    assert delivery.verify(headers, ping.body + b" ", made.secret) == "wrong"
    assert delivery.parse_ping(ping.body) == (at.lab.base, made.hook)


def test_the_in_process_front_serves_the_side_as_well() -> None:
    """The simulator's way in: no socket, the same bytes."""
    service = airtable_setup.lab(tables=stand.TABLES)
    clock = HandClock()
    made = side.open_side(
        base_url="https://api.airtable.com",
        base=BaseId(service.base),
        token=service.token,
        gate=NotingGate(clock),
        clock=clock,
        user_agent="syncd-test",
        adapter=MachineAdapter(service.machine, service.clock),
    )
    table = next(table for table in made.fetch_tables() if table.name == "Features")
    number = next(field for field in table.fields if field.name == "number")
    (record,) = (RecordId(each) for each in service.create({"number": 1}))
    made.send_cells(table.id, [number], [ports.CellUpdate(record=record, cells={number.id: value.number("2.5")})])
    (read,) = made.fetch_listing(table.id, None, [number])
    assert read.cells == {number.id: value.number("2.5")}
    made.send_hook_deletion(made.create_hook("").hook)
    assert made.fetch_hooks() == ()
