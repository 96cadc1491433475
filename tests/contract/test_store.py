"""What every `ports.Store` does: deliveries, dirty keys, endpoints, decisions. Work and runs have files of their own."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from syncd.model.change import AgreedKey, Conflict, Side
from syncd.model.event import Dirt, DirtyWork, Endpoint
from syncd.model.ids import EndpointId, FieldId, HookId, RecordId, SyncName
from syncd.model.schema import Repository
from syncd.model.situation import EditTimes, Hold
from syncd.model.value import text
from syncd.ports import Arrived, Disposition, Lane, Quarantined, QueueCounts, RecordCommit, Store
from tests import build
from tests.build import NOW, OTHER, RECORD, WEB
from tests.store.kinds import KINDS, State

SYNC, ELSEWHERE = SyncName("features"), SyncName("bugs")
ENDPOINT = EndpointId("e1")
QUIET = timedelta(seconds=5)
NAME = FieldId("fldName")


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[State]:
    with request.param(tmp_path) as opened:
        yield opened


@pytest.fixture
def store(state: State) -> Store:
    return state.store


def s(seconds: float) -> datetime:
    """A moment, in seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def an_endpoint(id: EndpointId = ENDPOINT, cursor: int = 1, hook: str = "ach1", **more: datetime | None) -> Endpoint:
    return Endpoint(
        id=id,
        provider="airtable",
        connection="roadmap",
        subject="app1",
        hook=HookId(hook),
        active=True,
        cursor=cursor,
        **more,
    )


def a_delivery(
    body: bytes = b"{}",
    request: str = "",
    endpoint: EndpointId = ENDPOINT,
    at: datetime = NOW,
    key: str = "repo:push",
) -> Arrived:
    headers = {"x-event-key": key, "x-request-uuid": request}
    headers = {name: content for name, content in headers.items() if content}
    return Arrived(endpoint=endpoint, received_at=at, headers=headers, body=body)


def mark(store: Store, record: RecordId = RECORD, at: datetime = NOW, lane: Lane = Lane.EDIT) -> None:
    store.mark_records(SYNC, [record], lane, at, at + QUIET)


def due_at(store: Store) -> datetime | None:
    return store.next_due(SYNC, [WEB])


# ------------------------------------------------------------------------------------------------------ deliveries


def test_deliveries_get_ascending_numbers_and_come_back_whole(store: Store) -> None:
    numbers = store.save_deliveries([a_delivery(b"\x00one\xff", "r1"), a_delivery(b"two", "r2")])

    first, second = store.load_deliveries(10)

    assert (first.sequence, second.sequence) == numbers
    assert numbers[0] < numbers[1]
    assert (first.endpoint, first.received_at, first.body) == (ENDPOINT, NOW, b"\x00one\xff")
    assert first.headers == {"x-event-key": "repo:push", "x-request-uuid": "r1"}


@pytest.mark.parametrize("body", [b"", b"\x00", b"x" * 5000], ids=["empty", "a zero byte", "of several pages"])
def test_any_body_comes_back_alone_and_in_a_group(store: Store, body: bytes) -> None:
    store.save_deliveries([])
    store.save_deliveries([a_delivery(body, "alone")])
    numbers = store.save_deliveries([a_delivery(b"", "r1"), a_delivery(body, "Ü \U0001f600"), a_delivery(b"", "r3")])
    assert numbers == tuple(sorted(numbers))
    assert [one.body for one in store.load_deliveries(10)] == [body, b"", body, b""]
    assert store.load_deliveries(10)[2].headers["x-request-uuid"] == "Ü \U0001f600"
    assert store.save_deliveries([a_delivery(b"", "r3"), a_delivery(body, "Ü \U0001f600")]) == numbers[:0:-1]


def test_the_same_delivery_again_gets_its_old_number(store: Store) -> None:
    numbers = store.save_deliveries([a_delivery(b"one", "r1"), a_delivery(b"one", "r1")])
    again = store.save_deliveries([a_delivery(b"one", "r1", at=s(60))])

    assert {*numbers, *again} == {numbers[0]}
    assert len(store.load_deliveries(10)) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(a_delivery(b"two", "r1"), id="another body under the same request id"),
        pytest.param(a_delivery(b"one", "r2"), id="the same body under another request id"),
        pytest.param(a_delivery(b"one"), id="the same body without a request id"),
        pytest.param(a_delivery(b"one", "r1", EndpointId("e2")), id="another endpoint"),
        pytest.param(a_delivery(b"one", "r1", key="repo:fork"), id="another event of the same body"),
        pytest.param(a_delivery(b"one", "r1", key=""), id="the same body without an event"),
    ],
)
def test_what_differs_is_another_delivery(store: Store, other: Arrived) -> None:
    store.save_deliveries([a_delivery(b"one", "r1"), other])
    assert len(store.load_deliveries(10)) == 2


def test_a_processed_delivery_is_not_loaded_again_but_still_known(store: Store) -> None:
    first, second = store.save_deliveries([a_delivery(b"one"), a_delivery(b"two")])
    store.save_processed([(first, Disposition.QUARANTINED, "not JSON")], [], [], NOW, NOW)

    assert [one.sequence for one in store.load_deliveries(10)] == [second]
    assert store.save_deliveries([a_delivery(b"one")]) == (first,)
    assert store.counts().inbox == 1


def test_what_could_not_be_read_is_counted_and_the_newest_are_told(store: Store) -> None:
    assert store.load_quarantined(5) == (0, ())
    one, two, three, four = store.save_deliveries(
        [a_delivery(b"one", at=s(1)), a_delivery(b"two"), a_delivery(b"three", at=s(3)), a_delivery(b"four")]
    )
    unkeyed = Arrived(endpoint=EndpointId("e2"), received_at=s(5), headers={}, body=b"five")
    (five,) = store.save_deliveries([unkeyed])
    bad, good = Disposition.QUARANTINED, Disposition.MARKED
    store.save_processed(
        [(one, bad, "not JSON"), (two, good, ""), (three, bad, "odd"), (five, bad, "odd")], [], [], NOW, NOW
    )

    count, newest = store.load_quarantined(2)
    assert count == 3
    assert newest == (
        Quarantined(sequence=five, endpoint=EndpointId("e2"), received_at=s(5), event_key="", reason="odd"),
        Quarantined(sequence=three, endpoint=ENDPOINT, received_at=s(3), event_key="repo:push", reason="odd"),
    )
    assert [waiting.sequence for waiting in store.load_deliveries(9)] == [four]


def test_processing_makes_the_marks_and_pings_it_found(store: Store) -> None:
    store.save_endpoint(an_endpoint(), None)
    (number,) = store.save_deliveries([a_delivery()])
    work = DirtyWork(repository=WEB, dirt=Dirt.PULL_REQUEST, name="12")
    store.save_processed([(number, Disposition.MARKED, "x")], [(work, s(-1))], [ENDPOINT], NOW, s(5))

    assert store.claim_work([WEB], s(4), 10) == ()
    (claimed,) = store.claim_work([WEB], s(5), 10)
    assert (claimed.work, claimed.happened_at, claimed.since) == (work, s(-1), NOW)
    assert store.take_pinged() == {ENDPOINT}
    assert store.take_pinged() == frozenset()


def test_deliveries_survive_a_restart(state: State) -> None:
    numbers = state.store.save_deliveries([a_delivery(b"one"), a_delivery(b"two")])
    assert tuple(one.sequence for one in state.restart().load_deliveries(10)) == numbers


# ------------------------------------------------------------------------------------------------------ dirty keys


def test_a_key_is_due_after_its_quiet_period_and_given_out_once(store: Store) -> None:
    mark(store)

    assert due_at(store) == s(5)
    assert store.claim_records(SYNC, s(4.9), 10) == ()
    (key,) = store.claim_records(SYNC, s(5), 10)
    assert (key.sync, key.record, key.lane, key.since, key.attempts) == (SYNC, RECORD, Lane.EDIT, NOW, 0)
    assert store.claim_records(SYNC, s(500), 10) == ()
    assert due_at(store) is None
    assert store.claim_records(ELSEWHERE, s(500), 10) == ()


def test_keys_come_by_lane_and_then_by_age(store: Store) -> None:
    for seconds, record, lane in [
        (0, "recC", Lane.COMPARE),
        (1, "recR", Lane.RETRY),
        (3, "recB", Lane.EDIT),
        (2, "recA", Lane.EDIT),
    ]:
        mark(store, RecordId(record), s(seconds), lane)

    assert [key.record for key in store.claim_records(SYNC, s(60), 3)] == ["recA", "recB", "recR"]
    assert [key.record for key in store.claim_records(SYNC, s(60), 3)] == ["recC"]


def test_a_key_marked_again_waits_for_its_last_edit_and_takes_the_better_lane(store: Store) -> None:
    mark(store, lane=Lane.COMPARE)
    mark(store, at=s(4), lane=Lane.EDIT)
    mark(store, at=s(6), lane=Lane.BACKFILL)

    assert due_at(store) == s(11)
    (key,) = store.claim_records(SYNC, s(11), 10)
    assert (key.since, key.lane) == (NOW, Lane.EDIT)


def test_a_key_whose_edits_never_pause_is_due_after_twelve_quiet_periods(store: Store) -> None:
    for seconds in range(0, 59, 3):
        mark(store, at=s(seconds))
    assert due_at(store) == s(60)


def test_an_earlier_not_before_does_not_shorten_the_wait(store: Store) -> None:
    mark(store, at=NOW)
    store.mark_records(SYNC, [RECORD], Lane.COMPARE, s(1), s(2))
    assert due_at(store) == s(5)


def test_a_key_marked_before_the_clock_was_set_back_is_due(store: Store) -> None:
    mark(store, at=s(86400))
    assert [key.record for key in store.claim_records(SYNC, NOW, 10)] == [RECORD]


def test_what_was_marked_before_the_clock_was_set_back_waits_like_any_other_once_it_was_claimed(store: Store) -> None:
    """Found by the simulator: it was due again as soon as it was given back, at full speed until the clock had caught up."""
    work = DirtyWork(repository=WEB, dirt=Dirt.REPOSITORY)
    mark(store, at=s(3600))
    store.mark_work([(work, None)], s(3600), s(3600))
    (key,), (one,) = store.claim_records(SYNC, NOW, 10), store.claim_work([WEB], NOW, 10)
    assert (key.since, one.since) == (NOW, NOW)
    store.release_records([key], s(60), failed=False)
    store.release_work([one], s(60), failed=False)
    assert store.claim_records(SYNC, s(1), 10) == ()
    assert store.claim_work([WEB], s(1), 10) == ()
    assert len(store.claim_records(SYNC, s(60), 10)) == len(store.claim_work([WEB], s(60), 10)) == 1


def test_no_key_that_was_marked_ahead_of_the_clock_is_left_behind_by_a_claim_of_others(store: Store) -> None:
    for record in (RECORD, OTHER):
        mark(store, record, at=s(86400))
    (first,) = store.claim_records(SYNC, NOW, 1)
    (second,) = store.claim_records(SYNC, NOW, 1)
    assert {first.record, second.record} == {RECORD, OTHER}


def test_claims_end_with_the_process(state: State) -> None:
    mark(state.store)
    state.store.mark_work([(DirtyWork(repository=WEB, dirt=Dirt.REPOSITORY), None)], NOW, NOW)
    keys, works = state.store.claim_records(SYNC, s(9), 10), state.store.claim_work([WEB], s(9), 10)

    again = state.restart()

    assert again.claim_records(SYNC, s(9), 10) == keys
    assert again.claim_work([WEB], s(9), 10) == works


@pytest.mark.parametrize("failed", [True, False])
def test_a_released_key_comes_again_when_it_was_said(store: Store, failed: bool) -> None:
    mark(store)
    keys = store.claim_records(SYNC, s(5), 10)
    store.release_records(keys, s(30), failed=failed, error="no answer")

    assert due_at(store) == s(30)
    assert store.claim_records(SYNC, s(29), 10) == ()
    (again,) = store.claim_records(SYNC, s(30), 10)
    assert (again.mark, again.since, again.attempts) == (keys[0].mark, NOW, int(failed))


def finish(store: Store, done: int | None, **more: object) -> None:
    store.commit(SYNC, [RecordCommit(record=RECORD, done=done, state="ok", **more)], [], s(10))  # type: ignore[arg-type]  # free


def claim(store: Store, at: datetime) -> int:
    (key,) = store.claim_records(SYNC, at, 10)
    return key.mark


def test_a_key_that_is_done_is_clean(store: Store) -> None:
    mark(store)
    finish(store, claim(store, s(5)), seen="x")
    assert (due_at(store), store.counts(SYNC).dirty) == (None, 0)


def test_a_key_marked_while_it_ran_stays_dirty_with_a_quiet_period_of_its_own(store: Store) -> None:
    mark(store)
    done = claim(store, s(5))
    mark(store, at=s(100))
    assert store.claim_records(SYNC, s(200), 10) == ()
    finish(store, done, seen="x")

    (key,) = store.claim_records(SYNC, s(105), 10)
    assert key.mark > done
    assert key.since == s(100)
    finish(store, key.mark, seen="x")
    assert due_at(store) is None


def test_a_key_that_failed_while_it_was_marked_again_keeps_its_age_and_counts_the_attempt(store: Store) -> None:
    mark(store)
    keys = store.claim_records(SYNC, s(5), 10)
    mark(store, at=s(8))
    store.release_records(keys, s(40), failed=True)

    assert due_at(store) == s(40)
    (key,) = store.claim_records(SYNC, s(40), 10)
    assert (key.since, key.attempts) == (NOW, 1)


def test_a_key_that_is_to_be_looked_at_again_comes_then(store: Store) -> None:
    mark(store)
    finish(store, claim(store, s(5)), again_at=s(60), again_lane=Lane.BACKFILL, failed=True)
    assert due_at(store) == s(60)
    (key,) = store.claim_records(SYNC, s(60), 10)
    assert (key.lane, key.attempts, key.since) == (Lane.BACKFILL, 1, NOW)
    finish(store, key.mark, again_at=s(90))
    (key,) = store.claim_records(SYNC, s(90), 10)
    assert key.attempts == 1, "it was neither done nor did it fail"


def test_a_key_that_only_waits_for_the_clock_is_not_behind_and_an_edit_is_its_first(store: Store) -> None:
    mark(store)
    finish(store, claim(store, s(5)), seen="x", again_at=s(86400))
    assert store.counts(SYNC) == QueueCounts(inbox=0, dirty=0, parked=0)
    assert due_at(store) == s(86400)

    mark(store, at=s(20))
    assert due_at(store) == s(25)
    assert store.counts(SYNC) == QueueCounts(inbox=0, dirty=1, parked=0, oldest_dirty=s(20))


def test_a_key_that_failed_for_good_is_parked_until_it_is_marked(store: Store) -> None:
    mark(store)
    finish(store, claim(store, s(5)), failed=True, parked="refused")
    assert due_at(store) is None
    assert store.claim_records(SYNC, s(9999), 10) == ()
    assert store.counts() == QueueCounts(inbox=0, dirty=0, parked=1)

    mark(store, at=s(100))
    (key,) = store.claim_records(SYNC, s(105), 10)
    assert key.attempts == 1


def test_a_record_that_nobody_claimed_can_be_queued_by_its_commit(store: Store) -> None:
    finish(store, None, again_at=s(30))
    assert due_at(store) == s(30)
    claimed = claim(store, s(30))
    finish(store, None, again_at=s(40))
    finish(store, claimed, seen="x")
    assert due_at(store) is not None, "the later look was asked for while the key ran"


def test_a_done_mark_of_an_earlier_process_takes_nothing_away(state: State) -> None:
    mark(state.store)
    old = claim(state.store, s(5))
    store = state.restart()
    mark(store, at=s(6))
    finish(store, old, seen="x")
    assert len(store.claim_records(SYNC, s(60), 10)) == 1


def test_work_is_marked_once_claimed_once_and_keeps_what_is_newer(store: Store) -> None:
    work = DirtyWork(repository=WEB, dirt=Dirt.BRANCH, name="feature/ü")
    store.mark_work([(work, s(-9)), (work, s(-3)), (work, None)], NOW, s(5))
    assert due_at(store) == s(5)

    (claimed,) = store.claim_work([WEB], s(5), 10)
    assert (claimed.work, claimed.happened_at) == (work, s(-3))
    assert store.claim_work([WEB], s(5), 10) == ()

    store.mark_work([(work, None)], s(6), s(11))
    store.save_work(WEB, done=[claimed])
    (newer,) = store.claim_work([WEB], s(11), 10)
    assert (newer.happened_at, newer.since, newer.attempts) == (None, s(6), 0)
    store.save_work(WEB, done=[newer])
    assert due_at(store) is None


def test_released_work_comes_again_and_says_nothing_about_its_repository(store: Store) -> None:
    store.save_repository(Repository(id=WEB, workspace="acme", slug="web", name="Web", main_branch="main"))
    work = DirtyWork(repository=WEB, dirt=Dirt.PULL_REQUEST, name="1")
    store.mark_work([(work, s(-1))], NOW, NOW)
    store.release_work(store.claim_work([WEB], NOW, 10), s(30), failed=True, error="502")

    (view,) = store.load_repositories([WEB])
    assert (view.trouble, view.unread, view.listed_at) == ("", 1, None)
    assert store.claim_work([WEB], s(29), 10) == ()
    (again,) = store.claim_work([WEB], s(30), 10)
    assert (again.attempts, again.happened_at) == (1, s(-1))
    store.save_work(WEB, done=[again])
    (view,) = store.load_repositories([WEB])
    assert view.unread == 0


def test_work_may_be_claimed_early_but_not_what_was_tried(store: Store) -> None:
    tried, fresh = (DirtyWork(repository=WEB, dirt=Dirt.PULL_REQUEST, name=name) for name in "12")
    store.mark_work([(tried, None)], NOW, NOW)
    store.release_work(store.claim_work([WEB], NOW, 10), s(60), failed=True)
    store.mark_work([(fresh, None)], NOW, s(5))
    assert store.claim_work([WEB], NOW, 10) == ()
    assert [mark.work for mark in store.claim_work([WEB], NOW, 10, early=True)] == [fresh]
    assert store.claim_work([WEB], NOW, 10, early=True) == ()


# ------------------------------------------------------------------------------------------------------- endpoints


def test_an_endpoint_is_remembered_with_its_secret(state: State) -> None:
    endpoint = an_endpoint(expires=s(600), created_at=NOW, last_delivery=s(1))
    state.store.save_endpoint(endpoint, "sesame")
    store = state.restart()

    assert store.load_endpoints() == (endpoint,)
    assert store.load_secret(ENDPOINT) == "sesame"
    store.save_endpoint(endpoint, None)
    assert store.load_secret(ENDPOINT) == "sesame"
    store.save_endpoint(endpoint, "new")
    assert store.load_secret(ENDPOINT) == "new"
    assert store.load_secret(EndpointId("other")) == ""


def test_an_endpoint_saved_from_an_older_copy_keeps_cursor_and_delivery_of_its_hook(store: Store) -> None:
    old = an_endpoint()
    store.save_endpoint(old, None)
    store.save_changes(ENDPOINT, 7, {}, NOW, NOW)
    store.save_deliveries([a_delivery(at=s(3))])
    store.save_endpoint(old, None)
    assert store.load_endpoints() == (an_endpoint(cursor=7, last_delivery=s(3)),)

    store.save_endpoint(an_endpoint(hook="ach2"), None)
    assert store.load_endpoints() == (an_endpoint(hook="ach2", last_delivery=s(3)),)


def test_a_cursor_moves_together_with_the_marks_and_edits_of_its_payloads(store: Store) -> None:
    store.save_endpoint(an_endpoint(), None)
    store.save_changes(
        ENDPOINT, 5, {SYNC: [RECORD, OTHER], ELSEWHERE: []}, NOW, s(5), edits=[(SYNC, RECORD, NAME, s(-2))]
    )

    assert store.load_endpoints()[0].cursor == 5
    assert [key.record for key in store.claim_records(SYNC, s(5), 10)] == [RECORD, OTHER]
    assert store.load_remembered(SYNC, [RECORD])[RECORD].edited == {AgreedKey(NAME): EditTimes(airtable=s(-2))}


# ------------------------------------------------------------------------------------------------ people's decisions


def test_accepted_rules_are_replaced_and_every_known_record_is_looked_at(store: Store) -> None:
    store.commit(SYNC, [RecordCommit(record=one, done=None, state="ok") for one in (RECORD, OTHER)], [], NOW)
    store.save_accepted(SYNC, frozenset({"a", "b"}), NOW)
    store.save_accepted(SYNC, frozenset({"b", "c"}), NOW)

    assert store.load_accepted(SYNC) == {"b", "c"}
    assert store.load_accepted(ELSEWHERE) == frozenset()
    assert {key.record for key in store.claim_records(SYNC, NOW, 10)} == {RECORD, OTHER}


def test_a_hold_is_set_replaced_and_released_and_each_makes_the_record_dirty(store: Store) -> None:
    whole, name = (
        Hold(record=RECORD, field=None, reason="frozen"),
        Hold(record=RECORD, field=NAME, reason="x", until=s(9)),
    )
    store.save_hold(SYNC, whole, NOW)
    store.save_hold(SYNC, Hold(record=RECORD, field=NAME, reason="old"), s(1))
    store.save_hold(SYNC, name, s(2))
    assert store.load_holds(SYNC) == (whole, name)
    assert store.load_remembered(SYNC, [RECORD])[RECORD].holds == (whole, name)
    assert store.counts(SYNC) == QueueCounts(inbox=0, dirty=1, parked=0, oldest_dirty=NOW)
    finish(store, claim(store, s(2)), seen="x")

    assert store.delete_hold(SYNC, RECORD, NAME, s(3))
    assert not store.delete_hold(SYNC, RECORD, NAME, s(4))
    assert not store.delete_hold(ELSEWHERE, RECORD, None, s(4))
    assert store.load_holds(SYNC) == (whole,)
    (key,) = store.claim_records(SYNC, s(3), 10)
    assert (key.record, key.since) == (RECORD, s(3))


def a_conflict(airtable: str = "A", number: int | None = 1) -> Conflict:
    return Conflict(
        record=RECORD,
        field=NAME,
        what="Name",
        pull_request=None if number is None else build.a_key(number),
        airtable=text(airtable),
        bitbucket=text("B"),
        rule='fields."Name"',
        reason="both moved",
    )


def test_a_conflict_stays_until_it_is_closed(state: State) -> None:
    conflicts = (a_conflict(number=None), a_conflict())
    state.store.commit(SYNC, [RecordCommit(record=RECORD, done=None, state="conflict", conflicts=conflicts)], [], NOW)
    store = state.restart()
    assert store.load_conflicts(SYNC) == conflicts
    assert store.load_conflicts(ELSEWHERE) == ()

    closed = RecordCommit(record=RECORD, done=None, state="ok", conflicts_closed=(AgreedKey(NAME),))
    store.commit(SYNC, [closed], [], NOW)
    assert store.load_conflicts(SYNC) == (a_conflict(),)


def test_a_person_s_decision_stands_while_both_values_are_those_it_was_made_for(store: Store) -> None:
    key = AgreedKey(NAME, build.a_key())
    assert not store.save_resolution(SYNC, RECORD, key, Side.AIRTABLE, NOW)
    found = RecordCommit(record=RECORD, done=None, state="conflict", conflicts=(a_conflict(),))
    store.commit(SYNC, [found], [], NOW)

    assert store.save_resolution(SYNC, RECORD, key, Side.AIRTABLE, NOW)
    assert [one.record for one in store.claim_records(SYNC, NOW, 10)] == [RECORD]
    store.commit(SYNC, [found], [], NOW)
    assert store.load_remembered(SYNC, [RECORD])[RECORD].conflicts[key].winner is Side.AIRTABLE

    moved = RecordCommit(record=RECORD, done=None, state="conflict", conflicts=(a_conflict("C"),))
    store.commit(SYNC, [moved], [], NOW)
    open_one = store.load_remembered(SYNC, [RECORD])[RECORD].conflicts[key]
    assert (open_one.airtable, open_one.bitbucket, open_one.winner) == (text("C"), text("B"), None)


def test_a_plan_passes_the_guard_once(state: State) -> None:
    state.store.save_acceptance_once(SYNC, "plan")
    store = state.restart()
    assert not store.take_acceptance_once(SYNC, "other")
    assert not store.take_acceptance_once(ELSEWHERE, "plan")
    assert store.take_acceptance_once(SYNC, "plan")
    assert not store.take_acceptance_once(SYNC, "plan")


# --------------------------------------------------------------------------------------------------------- the rest


def test_texts_and_ledgers_are_kept_and_replaced(state: State) -> None:
    assert state.store.load_text("due") is None
    assert state.store.load_ledger("month") is None
    state.store.save_text("due", "old")
    state.store.save_text("due", "Grüße \ud800 \x00")
    state.store.save_ledgers({"month": {"used": 1}, "hour": {"used": [1, 2.5, None]}})
    state.store.save_ledgers({"month": {"used": 2}})
    store = state.restart()

    assert store.load_text("due") == "Grüße \\ud800 \x00"
    assert store.load_ledger("month") == {"used": 2}
    assert store.load_ledger("hour") == {"used": [1, 2.5, None]}


def test_counts_tell_the_queue_of_one_sync_or_of_all(store: Store) -> None:
    assert store.counts() == QueueCounts(inbox=0, dirty=0, parked=0, oldest_dirty=None)
    mark(store, at=s(5))
    store.mark_records(ELSEWHERE, [OTHER], Lane.EDIT, s(3), s(8))
    store.mark_work([(DirtyWork(repository=WEB, dirt=Dirt.REPOSITORY), None)], s(1), s(2))
    store.save_deliveries([a_delivery()])
    store.commit(ELSEWHERE, [RecordCommit(record=RECORD, done=None, state="error", parked="no")], [], NOW)

    assert store.counts(SYNC) == QueueCounts(inbox=1, dirty=1, parked=0, oldest_dirty=s(5))
    assert store.counts(ELSEWHERE) == QueueCounts(inbox=1, dirty=1, parked=1, oldest_dirty=s(3))
    assert store.counts() == QueueCounts(inbox=1, dirty=3, parked=1, oldest_dirty=s(1))


def test_purging_takes_what_is_old_and_processed_in_small_steps(store: Store) -> None:
    bodies = [a_delivery(str(number).encode(), at=s(number)) for number in range(6)]
    numbers = store.save_deliveries(bodies)
    store.save_processed([(number, Disposition.MARKED, "") for number in numbers[1:]], [], [], NOW, NOW)

    assert store.purge(s(4), s(0), 2) == 2
    assert store.purge(s(4), s(0), 2) == 1
    assert store.purge(s(4), s(0), 2) == 0
    assert store.save_deliveries([bodies[0], bodies[4], bodies[5]]) == (numbers[0], numbers[4], numbers[5])
    assert store.save_deliveries([bodies[1]]) > (numbers[5],), "it is gone, and no number is used twice"


def test_nothing_is_failed_in_a_sound_store(store: Store) -> None:
    assert store.failed == ""
