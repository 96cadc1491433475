"""Which changes go out together, and in which order."""

from typing import Any

from syncd.core import batch
from syncd.model.change import Attribute, Cell, Kind, Owner, Priority, RecordPlan, RecordState, Write
from syncd.model.ids import RecordId
from tests.build import a_key, field_id, val


def a_write(record: RecordId, target: Cell | Attribute, priority: Priority = Priority.NORMAL, **more: Any) -> Write:
    return Write(
        record=record,
        target=target,
        what="x",
        before=val("a"),
        after=val("b"),
        owner=Owner.AIRTABLE,
        kind=Kind.COPY,
        rule="r",
        reason="r",
        priority=priority,
        **more,
    )


def a_plan(number: int, *writes: tuple[str, Priority], adoption: bool = False) -> RecordPlan:
    record = RecordId(f"rec{number:014d}")
    made = tuple(a_write(record, Cell(field_id(name)), priority, adoption=adoption) for name, priority in writes)
    return RecordPlan(record=record, state=RecordState.OK, writes=made)


def numbers(found: batch.Batch) -> list[int]:
    return [int(update.record[3:]) for update in found]


def test_batches_hold_at_most_ten_records() -> None:
    plans = [a_plan(number, ("Name", Priority.NORMAL)) for number in range(25)]
    assert [len(found) for found in batch.of_airtable(plans)] == [10, 10, 5]


def test_a_records_cells_are_one_update() -> None:
    ((update,),) = batch.of_airtable([a_plan(1, ("Status", Priority.STATUS), ("Build", Priority.LOW))])
    assert [write.target for write in update.writes] == [Cell(field_id("Build")), Cell(field_id("Status"))]
    assert update.priority is Priority.STATUS


def test_the_most_urgent_records_go_first_then_by_id() -> None:
    urgency = [Priority.LOW, Priority.NORMAL, Priority.CRITICAL, Priority.STATUS, Priority.NORMAL]
    plans = [a_plan(number, ("Name", priority)) for number, priority in enumerate(urgency)]
    for order in (plans, plans[::-1]):
        (found,) = batch.of_airtable(order)
        assert numbers(found) == [3, 2, 1, 4, 0]


def test_records_without_writes_take_no_place() -> None:
    assert batch.of_airtable([a_plan(1)]) == ()


def test_what_nobody_accepted_is_sent_only_when_asked_for() -> None:
    plans = [a_plan(1, ("Name", Priority.NORMAL), adoption=True)]
    assert batch.of_airtable(plans) == ()
    assert len(batch.of_airtable(plans, adoption=True)) == 1


def test_a_refused_batch_is_split_until_the_culprit_is_alone() -> None:
    """AT10: nine go through, one is parked."""
    (whole,) = batch.of_airtable([a_plan(number, ("Name", Priority.NORMAL)) for number in range(10)])
    sent, alone, waiting = [], [], [whole]
    while waiting:
        tried = waiting.pop()
        if 7 not in numbers(tried):
            sent += numbers(tried)
        elif halves := batch.split(tried):
            waiting += halves
        else:
            alone += numbers(tried)
    assert sorted(sent) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert alone == [7]


def test_attributes_of_one_pull_request_are_one_update() -> None:
    record = RecordId("rec00000000000001")
    first, second = a_key(1), a_key(2)
    writes = (
        a_write(record, Attribute(second, "title")),
        a_write(record, Attribute(first, "title"), Priority.LOW),
        a_write(record, Attribute(second, "draft")),
        a_write(record, Attribute(first, "description"), adoption=True),
        a_write(record, Cell(field_id("Name"))),
    )
    plan = RecordPlan(record=record, state=RecordState.OK, writes=writes)
    found = batch.of_bitbucket([plan])
    assert [(update.pull_request, len(update.writes)) for update in found] == [(second, 2), (first, 1)]
    assert [len(update.writes) for update in batch.of_bitbucket([plan], adoption=True)] == [2, 2]
