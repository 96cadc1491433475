"""What every `ports.Store` does with records and runs: intents before, outcomes after, all or nothing."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.model.change import AgreedKey, Agreement, Conflict, ForeignEdit, NewLink, Side, Toleration
from syncd.model.ids import FieldId, OperationId, RecordId, RunId, SyncName
from syncd.model.outcome import Result
from syncd.model.situation import EditTimes, Made
from syncd.model.value import NOTHING, TRUE, Value, dump, number, options, text
from syncd.ports import Ended, JournalEntry, KnownRecord, Lane, Operation, RecordCommit, Remembered, RunRow, Store
from tests.build import NOW, OTHER, RECORD, a_key
from tests.store.kinds import KINDS, State

SYNC, ELSEWHERE = SyncName("features"), SyncName("bugs")
RUN = RunId("run-1")
NAME, SIZE = FieldId("fldName"), FieldId("fldSize")


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


def a_commit(record: RecordId = RECORD, **more: Any) -> RecordCommit:
    return RecordCommit(**({"record": record, "done": None, "state": "ok"} | more))


def commit(store: Store, *commits: RecordCommit, ended: tuple[Ended, ...] = (), at: datetime = NOW) -> None:
    store.commit(SYNC, commits, ended, at)


def remembered(store: Store, record: RecordId = RECORD) -> Remembered:
    return store.load_remembered(SYNC, [record])[record]


# ---------------------------------------------------------------------------------------------------------- records


def test_a_new_record_has_an_empty_memory(store: Store) -> None:
    assert store.load_remembered(SYNC, [RECORD, OTHER]) == {RECORD: Remembered(), OTHER: Remembered()}
    assert store.load_known(SYNC) == {}


def test_what_a_pass_learnt_about_a_record_is_remembered(state: State) -> None:
    key, of_pull_request = AgreedKey(NAME), AgreedKey(SIZE, a_key(3))
    commit(
        state.store,
        a_commit(
            state="error",
            note="Ü \ud800",
            status="Ready",
            linked=True,
            seen="f1",
            parked="refused",
            parked_for="cause",
            agreements=(Agreement(key=key, value=text("x")), Agreement(key=of_pull_request, value=number("1.50"))),
            tolerations=(Toleration(key=key, value=NOTHING),),
            links=(NewLink(record=RECORD, pull_request=a_key(3), evidence="branch"),),
            made=(Made(rule="cut", object="feature/x"), Made(rule="open", object="", intended=True)),
        ),
    )
    store = state.restart()
    store.save_edits(SYNC, [(RECORD, NAME, s(-5)), (RECORD, NAME, s(-9))])

    assert remembered(store) == Remembered(
        links=frozenset({a_key(3)}),
        agreed={key: text("x"), of_pull_request: number("1.5")},
        tolerated={key: NOTHING},
        made={"cut": Made(rule="cut", object="feature/x"), "open": Made(rule="open", object="", intended=True)},
        edited={key: EditTimes(airtable=s(-5))},
        parked="refused",
        parked_for="cause",
    )
    known = KnownRecord(record=RECORD, seen="f1", state="error", note="Ü \\ud800", status="Ready", linked=True)
    assert store.load_known(SYNC) == {RECORD: known}
    assert store.load_known(ELSEWHERE) == {}
    assert store.load_known(SYNC, [RECORD, OTHER]) == {RECORD: known}
    assert store.load_known(SYNC, [OTHER]) == store.load_known(SYNC, []) == {}
    assert store.load_remembered(ELSEWHERE, [RECORD]) == {RECORD: Remembered()}


VALUES: dict[str, Value] = {
    "nothing": NOTHING,
    "true": TRUE,
    "options": options(["b", "a"]),
    "long text": text("y" * 500),
    "number": number(3),
}


@pytest.mark.parametrize("found", VALUES.values(), ids=list(VALUES))
def test_every_kind_of_value_is_agreed_as_it_was(store: Store, found: Value) -> None:
    commit(store, a_commit(agreements=(Agreement(key=AgreedKey(NAME), value=found),)))
    assert remembered(store).agreed == {AgreedKey(NAME): found}


def test_long_texts_are_remembered_by_their_hash_only(store: Store) -> None:
    commit(store, a_commit(agreements=(Agreement(key=AgreedKey(NAME), value=text("y" * 500)),)))
    kept = remembered(store).agreed[AgreedKey(NAME)]
    assert "yyy" not in repr(kept)


def test_values_are_forgotten_and_the_last_word_about_a_key_counts(store: Store) -> None:
    key = AgreedKey(NAME)
    commit(store, a_commit(agreements=(Agreement(key=key, value=None), Agreement(key=key, value=text("x")))))
    assert remembered(store).agreed == {key: text("x")}
    commit(store, a_commit(agreements=(Agreement(key=key, value=text("y")), Agreement(key=key, value=None))))
    assert remembered(store).agreed == {}


def test_a_refusal_is_left_kept_or_forgotten_as_the_commit_says(store: Store) -> None:
    commit(store, a_commit(parked="no", parked_for="c"))
    commit(store, a_commit(parked=None))
    assert (remembered(store).parked, remembered(store).parked_for) == ("no", "c")
    commit(store, a_commit(parked=""))
    assert (remembered(store).parked, remembered(store).parked_for) == ("", "")


def test_a_commit_without_a_state_leaves_how_the_record_stands(store: Store) -> None:
    commit(store, a_commit(state="held", note="n", status="Ready", linked=True, seen="f"))
    before = store.load_known(SYNC)
    commit(store, a_commit(state=None, made=(Made(rule="cut", object="b"),), parked="no", parked_for="c"))
    commit(store, a_commit(OTHER, state=None, made=(Made(rule="cut", object="b"),)))

    assert store.load_known(SYNC) == before
    assert remembered(store).parked == "no"
    assert remembered(store, OTHER).made == {"cut": Made(rule="cut", object="b")}


def test_what_was_not_made_after_all_is_forgotten(store: Store) -> None:
    commit(store, a_commit(made=(Made(rule="cut", object="", intended=True),)))
    commit(store, a_commit(made=(Made(rule="cut", object=""),)))
    assert remembered(store).made == {}


def test_a_record_that_is_gone_drops_all_but_what_was_made_for_it(store: Store) -> None:
    key, made = AgreedKey(NAME), Made(rule="cut", object="b")
    conflict = Conflict(
        record=RECORD,
        field=NAME,
        what="Name",
        pull_request=None,
        airtable=text("a"),
        bitbucket=text("b"),
        rule="r",
        reason="both moved",
    )
    known = a_commit(
        links=(NewLink(record=RECORD, pull_request=a_key(3), evidence="url"),),
        made=(made,),
        agreements=(Agreement(key=key, value=text("x")),),
        tolerations=(Toleration(key=key, value=text("y")),),
        conflicts=(conflict,),
        linked=True,
        parked="no",
    )
    commit(store, known, a_commit(OTHER, linked=True))
    store.save_edits(SYNC, [(RECORD, NAME, NOW)])
    store.mark_records(SYNC, [RECORD], Lane.EDIT, NOW, NOW)
    commit(store, a_commit(gone=True))

    assert remembered(store) == Remembered(made={"cut": made})
    assert set(store.load_known(SYNC)) == {OTHER}
    assert store.load_conflicts(SYNC) == ()
    assert store.next_due(SYNC, []) is None
    assert store.states(SYNC) == {"ok": 1, "linked": 1}


def test_absences_are_counted_in_a_row(store: Store) -> None:
    commit(store, a_commit(), a_commit(OTHER))
    store.save_absent(SYNC, [RECORD, RecordId("recNever")], [OTHER])
    store.save_absent(SYNC, [RECORD, OTHER], [])
    store.save_absent(SYNC, [RECORD], [OTHER])
    assert {known.record: known.absent for known in store.load_known(SYNC).values()} == {RECORD: 3, OTHER: 0}


def test_states_count_known_records(store: Store) -> None:
    assert store.states(SYNC) == {"linked": 0}
    commit(store, a_commit(linked=True), a_commit(OTHER, state="held"), a_commit(RecordId("rec3"), linked=True))
    assert store.states(SYNC) == {"ok": 2, "held": 1, "linked": 2}
    assert store.states(ELSEWHERE) == {"linked": 0}


# ------------------------------------------------------------------------------------------------------------- runs


def a_run(run: RunId = RUN, at: datetime = NOW, **more: Any) -> RunRow:
    filled: dict[str, Any] = {"run": run, "sync": SYNC, "spec_hash": "abc", "started_at": at, "changes": 2, "clears": 1}
    return RunRow(**(filled | more))


def an_operation(id: str = "op1", **more: Any) -> Operation:
    filled: dict[str, Any] = {
        "sync": SYNC,
        "run": RUN,
        "side": Side.AIRTABLE,
        "kind": "cells",
        "request": {"cells": {"a": [1]}},
        "at": NOW,
    }
    return Operation(id=OperationId(id), **(filled | more))


def an_entry(record: RecordId = RECORD, operation: str = "op1", **more: Any) -> JournalEntry:
    filled: dict[str, Any] = {
        "sync": SYNC,
        "run": RUN,
        "spec_hash": "abc",
        "side": Side.AIRTABLE,
        "kind": "copy",
        "object": record,
        "field": NAME,
        "place": "Name",
        "before": dump(text("y" * 500), whole=True),
        "after": dump(text("b")),
        "owner": "bitbucket",
        "rule": "r",
        "reason": "Bitbucket moved → \ud800",
        "at": NOW,
    }
    return JournalEntry(record=record, operation=OperationId(operation), **(filled | more))


def ended(operation: str = "op1", result: Result = Result.APPLIED, **more: Any) -> Ended:
    return Ended(operation=OperationId(operation), result=result, at=s(2), **more)


def states(store: Store) -> list[str]:
    return [entry.state for entry in store.load_journal()]


def unfinished(store: Store) -> list[tuple[str, str]]:
    return [(one.id, one.state) for one in store.load_unfinished(SYNC)]


def test_intents_are_whole_before_anything_is_sent(state: State) -> None:
    state.store.save_intents(a_run(), [an_operation()], [an_entry(), an_entry(OTHER)])
    store = state.restart()

    assert store.load_unfinished(SYNC) == (an_operation(),)
    assert store.load_unfinished(ELSEWHERE) == ()
    first, second = store.load_journal()
    assert first == replace(an_entry(), sequence=first.sequence, reason="Bitbucket moved → \\ud800")
    assert second.record == OTHER
    assert second.sequence > first.sequence
    assert store.load_runs(SYNC, 5) == (a_run(),)


def test_an_operation_goes_from_planned_over_sent_to_its_end(store: Store) -> None:
    store.save_intents(a_run(), [an_operation(), an_operation("op2")], [an_entry(), an_entry(OTHER, "op2")])
    store.save_sent([OperationId("op1")], s(1))
    assert unfinished(store) == [("op1", "sent"), ("op2", "planned")]
    assert states(store) == ["sent", "planned"]

    commit(store, ended=(ended(error="fine"),))
    assert unfinished(store) == [("op2", "planned")]
    entry = store.load_journal()[0]
    assert (entry.state, entry.error, entry.ended_at) == ("applied", "fine", s(2))

    store.save_run_end(RUN, s(3))
    assert store.load_runs(SYNC, 5) == (a_run(ended_at=s(3)),)


@pytest.mark.parametrize("result", [one for one in Result if one is not Result.UNKNOWN])
def test_every_other_result_ends_an_operation(store: Store, result: Result) -> None:
    store.save_intents(a_run(), [an_operation()], [an_entry()])
    commit(store, ended=(ended(result=result),))
    assert (unfinished(store), states(store)) == ([], [result.value])


def test_an_unknown_outcome_stays_open_until_it_was_looked_up(store: Store) -> None:
    store.save_intents(a_run(), [an_operation()], [an_entry()])
    store.save_sent([OperationId("op1")], s(1))
    commit(store, ended=(ended(result=Result.UNKNOWN, error="no answer"),))
    store.save_looked(OperationId("op1"), s(2))
    store.save_looked(OperationId("op1"), s(4))

    (open_one,) = store.load_unfinished(SYNC)
    assert (open_one.state, open_one.attempts) == ("unknown", 2)
    assert (open_one.sent_at, open_one.looked_at) == (s(1), s(4))
    assert store.load_journal()[0].ended_at is None
    commit(store, ended=(ended(),))
    assert (unfinished(store), states(store)) == ([], ["applied"])


def test_the_parts_of_an_operation_end_one_by_one_and_it_with_the_last(store: Store) -> None:
    store.save_intents(a_run(), [an_operation()], [an_entry(), an_entry(OTHER)])
    commit(store, ended=(ended(record=RECORD, result=Result.MOVED),))
    assert (unfinished(store), states(store)) == ([("op1", "planned")], ["moved", "planned"])
    commit(store, ended=(ended(record=OTHER),))
    assert (unfinished(store), states(store)) == ([], ["moved", "applied"])


def test_what_has_ended_stays_as_it_ended(store: Store) -> None:
    store.save_intents(a_run(), [an_operation()], [an_entry()])
    commit(store, ended=(ended(result=Result.REFUSED, error="first"),))
    commit(store, ended=(ended(error="second"),))
    assert (states(store), store.load_journal()[0].error) == (["refused"], "first")


def test_further_intents_of_a_run_add_to_it(store: Store) -> None:
    store.save_intents(a_run(), [an_operation()], [])
    store.save_intents(a_run(changes=0, clears=0), [an_operation("op2")], [])
    assert store.load_runs(None, 5) == (a_run(),)


def test_the_journal_is_read_by_sync_record_run_and_number(store: Store) -> None:
    store.save_intents(
        a_run(), [an_operation()], [an_entry(), an_entry(OTHER), an_entry(sync=ELSEWHERE), an_entry(run=RunId("2"))]
    )
    one, two, three, four = (entry.sequence for entry in store.load_journal())

    def read(**asked: Any) -> list[int]:
        return [entry.sequence for entry in store.load_journal(**asked)]

    assert read(sync=SYNC) == [one, two, four]
    assert read(record=OTHER) == [two]
    assert read(run=RUN, sync=SYNC, record=RECORD) == [one]
    assert read(after=two) == [three, four]
    assert read(limit=2) == [one, two]
    assert read(limit=2, newest=True) == [three, four]


def test_runs_come_newest_first(store: Store) -> None:
    for number_ in range(3):
        store.save_intents(a_run(RunId(f"run-{number_}"), s(number_)), [], [])
    store.save_intents(a_run(RunId("other"), s(9), sync=ELSEWHERE), [], [])
    assert [row.run for row in store.load_runs(SYNC, 2)] == ["run-2", "run-1"]
    assert [row.run for row in store.load_runs(None, 2)] == ["other", "run-2"]


def test_recent_changes_are_what_was_sent_and_not_refused(store: Store) -> None:
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("a", "applied", {}),
        ("b", "refused", {}),
        ("c", "sent", {}),
        ("d", "planned", {}),
        ("e", "unknown", {}),
    ]
    cases += [
        ("f", "applied", {"kind": "column"}),
        ("g", "applied", {"at": s(-10)}),
        ("h", "applied", {"sync": ELSEWHERE}),
    ]
    cases += [("a", "applied", {"after": "null"}), ("e", "unknown", {"after": "null", "before": "null"})]
    entries = [an_entry(RecordId(record), state=state, **more) for record, state, more in cases]
    store.save_intents(a_run(), [], entries)
    assert store.load_recent_changes(SYNC, s(-5)) == (("a", NOW, 1), ("c", NOW, 0), ("e", NOW, 0))


def a_foreign_edit(treatment: str, found: str) -> ForeignEdit:
    return ForeignEdit(
        record=RECORD,
        field=NAME,
        what="Name",
        side=Side.BITBUCKET,
        value=text(found),
        owner_value=text("ours"),
        rule="r",
        treatment=treatment,
    )


def test_a_foreign_edit_that_is_left_alone_has_one_row(store: Store) -> None:
    for found in ("theirs", "theirs", "other", "theirs"):
        commit(store, a_commit(foreign_edits=(a_foreign_edit("ignore", found),)), at=s(1))
    commit(store, a_commit(foreign_edits=(a_foreign_edit("revert", "reverted"),)))

    rows = store.load_journal(record=RECORD)
    assert [row.after for row in rows] == [dump(text("theirs")), dump(text("other")), dump(text("theirs"))]
    assert (rows[0].kind, rows[0].before, rows[0].side, rows[0].run) == (
        "foreign edit",
        dump(text("ours")),
        Side.BITBUCKET,
        "",
    )
    assert store.load_recent_changes(SYNC, NOW) == ()


def test_a_lost_race_has_one_row_with_the_overwritten_value(store: Store) -> None:
    store.save_intents(a_run(), [an_operation()], [an_entry(state="applied")])
    (ours,) = store.load_journal()
    store.save_race(SYNC, ours.sequence, dump(text("theirs")))
    store.save_race(SYNC, ours.sequence, dump(text("again")))
    store.save_race(ELSEWHERE, ours.sequence, dump(text("again")))

    (_, race) = store.load_journal()
    assert (race.kind, race.before, race.after, race.record) == ("lost race", dump(text("theirs")), ours.after, RECORD)
    assert store.load_recent_changes(SYNC, NOW) == ((RECORD, NOW, 0),)


def test_purging_takes_old_ended_rows_and_then_their_runs(store: Store) -> None:
    store.save_intents(a_run(), [an_operation()], [an_entry(), an_entry(OTHER)])
    store.save_intents(
        a_run(RunId("2")), [an_operation("op2", run=RunId("2"))], [an_entry(run=RunId("2"), operation="op2")]
    )
    commit(store, ended=(ended(),))

    assert store.purge(NOW, NOW, 10) == 0
    assert store.purge(NOW, s(1), 1) == 1
    assert len(store.load_runs(SYNC, 5)) == 2
    assert store.purge(NOW, s(1), 5) == 1
    assert [row.run for row in store.load_runs(SYNC, 5)] == ["2"]
    assert unfinished(store) == [("op2", "planned")]
    assert states(store) == ["planned"]


def test_a_commit_is_all_or_nothing(store: Store) -> None:
    store.save_intents(a_run(), [an_operation()], [an_entry()])
    store.mark_records(SYNC, [RECORD], Lane.EDIT, NOW, NOW)
    (key,) = store.claim_records(SYNC, NOW, 10)
    broken = a_commit(OTHER, links=(NewLink(record=OTHER, pull_request="nonsense", evidence="x"),))  # type: ignore[arg-type]  # on purpose
    with pytest.raises(AttributeError):
        commit(store, a_commit(done=key.mark, seen="x"), broken, ended=(ended(),))

    assert unfinished(store) == [("op1", "planned")]
    assert store.load_known(SYNC) == {}
    store.release_records([key], NOW, failed=False)
    assert len(store.claim_records(SYNC, NOW, 10)) == 1
