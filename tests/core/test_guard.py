"""Mass changes and emptied sides: a person must decide."""

from datetime import timedelta

import pytest

from syncd.core import guard
from syncd.core.guard import Recent, Verdict
from syncd.model.change import Cell, Kind, Owner, RecordPlan, RecordState, Write
from syncd.model.ids import RecordId
from syncd.model.value import Value
from syncd.model.work import List
from syncd.spec.rules import GuardRules
from tests.build import NOW, a_branch, a_pull_request, a_record, a_situation, field_id, sync_rules, val

RULES = GuardRules()


def a_record_id(number: int) -> RecordId:
    return RecordId(f"rec{number:014d}")


def a_plan(number: int, before: object = "a", after: object = "b", kind: Kind = Kind.COPY) -> RecordPlan:
    known: Value = val(before)
    write = Write(
        record=a_record_id(number),
        target=Cell(field_id("Details")),
        what="Details",
        before=known,
        after=val(after),
        owner=Owner.BITBUCKET,
        kind=kind,
        rule="r",
        reason="r",
    )
    return RecordPlan(record=a_record_id(number), state=RecordState.OK, writes=(write,))


def check(changed: int, linked: int, *, clears: int = 0, recent: tuple[Recent, ...] = ()) -> Verdict:
    plans = [a_plan(number) for number in range(changed - clears)]
    plans += [a_plan(number + 1000, after=None) for number in range(clears)]
    return guard.check(plans, linked, recent, RULES, NOW)


ROWS = [
    ("up to the floor passes", 10, 12, 0, True),
    ("above the floor is refused", 11, 12, 0, False),
    ("up to the share passes", 30, 100, 0, True),
    ("above the share is refused", 31, 100, 0, False),
    ("the share is rounded down", 31, 103, 0, False),
    ("clears up to the share pass", 20, 100, 20, True),
    ("clears above the share are refused", 21, 100, 21, False),
]


@pytest.mark.parametrize(
    ("changed", "linked", "clears", "allowed"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_guard(changed: int, linked: int, clears: int, allowed: bool) -> None:
    assert check(changed, linked, clears=clears).allowed is allowed


def test_a_refusal_says_the_numbers_and_the_ten_largest_changes() -> None:
    verdict = check(40, 100, clears=5)
    assert verdict.reasons == ("40 records would be changed within 60 minutes, of 100 linked; allowed are 30",)
    assert len(verdict.largest) == 10
    assert all("empty" in line for line in verdict.largest[:5])
    assert verdict.largest[0] == 'rec00000000001000: Details: "a" → empty'


def test_the_window_counts_what_was_changed_before() -> None:
    before = tuple(Recent(record=a_record_id(500 + number), at=NOW - timedelta(minutes=59)) for number in range(8))
    assert check(2, 10, recent=before).allowed
    assert not check(3, 10, recent=before).allowed


def test_the_window_ends() -> None:
    before = tuple(Recent(record=a_record_id(500 + number), at=NOW - timedelta(hours=1)) for number in range(10))
    assert check(5, 10, recent=before).allowed


def test_a_record_counts_once() -> None:
    before = tuple(Recent(record=a_record_id(number), at=NOW) for number in range(10))
    assert check(10, 10, recent=before).allowed


def test_emptied_values_of_the_window_count() -> None:
    before = (Recent(record=a_record_id(500), at=NOW, clears=10),)
    assert not check(1, 10, clears=1, recent=before).allowed
    assert check(1, 10, recent=before).allowed


def test_a_clock_set_back_does_not_open_the_guard() -> None:
    before = tuple(Recent(record=a_record_id(500 + number), at=NOW + timedelta(days=1)) for number in range(10))
    assert not check(1, 10, recent=before).allowed


def test_a_plan_without_changes_is_never_refused() -> None:
    before = tuple(Recent(record=a_record_id(500 + number), at=NOW) for number in range(50))
    nothing = RecordPlan(record=a_record_id(1), state=RecordState.OK)
    assert guard.check([nothing], 10, before, RULES, NOW).allowed


def test_columns_about_the_daemon_itself_do_not_count() -> None:
    plans = [a_plan(number, after=None, kind=Kind.COLUMN) for number in range(50)]
    verdict = guard.check(plans, 50, (), RULES, NOW)
    assert (verdict.allowed, verdict.changed, verdict.clears) == (True, 0, 0)


def test_every_name_that_leaves_a_set_is_a_clear() -> None:
    assert guard.clears_of(a_plan(1, before=["a", "b", "c"], after=["a"])) == 2
    assert guard.clears_of(a_plan(1, before=["a", "b"], after=None)) == 2
    assert guard.clears_of(a_plan(1, before=["a"], after=["a", "b"])) == 0


LISTINGS = [
    ("all there", 100, 100, True),
    ("as many gone as may go", 100, 80, True),
    ("too many gone", 100, 79, False),
    ("the floor of a small table", 10, 0, True),
    ("all of a table gone", 11, 0, False),
]


@pytest.mark.parametrize(
    ("known", "present", "believed"), [row[1:] for row in LISTINGS], ids=[row[0] for row in LISTINGS]
)
def test_emptied_side(known: int, present: int, believed: bool) -> None:
    assert (guard.emptied_side(known, present, "records", RULES) == "") is believed


@pytest.mark.parametrize(
    ("gone", "incomplete", "believed"),
    [(4, False, False), (2, False, True), (4, True, True)],
    ids=["all work of many records vanished", "of a few", "not known to be complete"],
)
def test_emptied_work(gone: int, incomplete: bool, believed: bool) -> None:
    rules = sync_rules()
    missing = {List.PULL_REQUESTS: "x"} if incomplete else {}
    keys = frozenset({a_pull_request().key})
    empty = [a_situation(rules, record=a_record(), remembered=keys, incomplete=missing) for _ in range(gone)]
    full = [a_situation(rules, a_pull_request(), a_branch()) for _ in range(6)]
    unlinked = [a_situation(rules) for _ in range(50)]
    found = guard.emptied_work(empty + full + unlinked, 0, GuardRules(floor=2))
    assert (found == "") is believed
    assert guard.emptied_work(empty + full, 500, GuardRules(floor=2)) == "", "measured at all that is linked"
