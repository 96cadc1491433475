"""
Planted bugs: small patches, applied in a test process only, each naming the promise that it breaks.

`python -m tests.simulation.planted [NAME …]` prints which were found, by which promise and in how much CPU. A bug that is not
found is nearly always a world that never makes the needed event.
"""

import contextlib
import itertools
import random
import sqlite3
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from syncd import errors, log, ports, wiring
from syncd.airtable import client as airtable_client
from syncd.airtable import delivery as airtable_delivery
from syncd.bitbucket import client as bitbucket_client
from syncd.bitbucket import shape
from syncd.bitbucket import translate as bitbucket_translate
from syncd.core import action, attribute, columns, fields, link, mapping, ownership, retry, transition
from syncd.flow import (
    apply,
    changes,
    collect,
    cycle,
    effort,
    full_compare,
    generation,
    health,
    intake,
    keeper,
    ledger,
    reading,
    recover,
    request,
    schema,
    work,
    worker,
)
from syncd.flow.context import Context
from syncd.model import value
from syncd.model.change import Kind, Owner, Side
from syncd.model.outcome import Result
from syncd.simulate import mortal, stage
from syncd.store import sqlite
from tests.simulation import hunt
from tests.simulation.hunt import Bug, Patches, Plant

BUGS: list[Bug] = []
_log = log.logger("planted")


def bug(*breaks: str) -> Callable[[Plant], Plant]:
    """Put a plant into the list, under its own name."""

    def put(plant: Plant) -> Plant:
        BUGS.append(Bug(name=plant.__name__, breaks=breaks, plant=plant))
        return plant

    return put


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _ask_otherwise(to: Patches, changed: Callable[[str, Any], tuple[str, Any]]) -> None:
    """Let every write of cells leave as something else: `changed` makes another method and body of its own."""

    def make(old: Any) -> Any:
        def update(self: Any, *given: Any) -> Any:
            ask = self._ask

            def asked(parse: Any, method: str, *path: str, json: Any) -> Any:
                other, body = changed(method, json)
                return ask(parse, other, *path, json=body)

            self._ask = asked
            try:
                return old(self, *given)
            finally:
                del self._ask

        return update

    to.wrap(airtable_client.Client, "update", make)


# --------------------------------------------------------------------------------------------- convergence


@bug("I01")
def the_oldest_pull_request_is_the_primary(to: Patches) -> None:
    to.set(link, "primary", lambda prs: min(prs, key=lambda pr: (pr.created_on, pr.key), default=None))


@bug("I01")
def the_best_build_counts(to: Patches) -> None:
    to.set(attribute, "_WORST_RANK", {state: -rank for state, rank in attribute._WORST_RANK.items()})


@bug("I01")
def the_author_approves_too(to: Patches) -> None:
    to.set(attribute, "approvers", lambda pull_request, rules: sorted(pull_request.approved_by))


@bug("I01")
def a_merge_has_no_time(to: Patches) -> None:
    def make(old: Any) -> Any:
        return lambda rule, found, rules: value.NOTHING if rule.attribute == "pr.merged_on" else old(rule, found, rules)

    to.wrap(mapping, "attribute_value", make)


@bug("I01")
def an_outage_is_never_over(to: Patches) -> None:
    def make(old: Any) -> Any:
        def failed(self: Any, error: Any, now: Any, jitter: float) -> None:
            old(self, error, now, jitter)
            self.not_before = now + timedelta(hours=23)

        return failed

    to.wrap(effort.Effort, "failed", make)


@bug("I01")
def a_retry_comes_next_month(to: Patches) -> None:
    to.set(retry, "next_attempt", lambda attempts, now, jitter: now + timedelta(days=30))


@bug("I01")
def keys_are_forgotten_when_a_read_fails(to: Patches) -> None:
    to.set(sqlite.SqliteStore, "release_records", _nothing)


@bug("I01", "I18", "I16", "I19")
def a_foreign_edit_stands(to: Patches) -> None:
    def make(old: Any) -> Any:
        def decide(question: Any) -> Any:
            made = old(question)
            return ownership.Decision() if made.foreign is not None else made

        return decide

    to.wrap(ownership, "decide", make)


@bug("I01", "I11")
def the_first_edge_is_not_followed_on(to: Patches) -> None:
    def make(old: Any) -> Any:
        def follow(rules: Any, start: str, holds: Any) -> Any:
            return transition.Followed(path=(start,))

        return follow

    to.wrap(transition, "_follow", make)


@bug("I01")
def deployments_are_not_read(to: Patches) -> None:
    to.set(reading.Reading, "deployments", _nothing)


@bug("I01")
def builds_are_not_swept(to: Patches) -> None:
    to.set(reading.Reading, "_read_builds", _nothing)


@bug("I01")
def a_dead_pull_request_keeps_its_state(to: Patches) -> None:
    def make(old: Any) -> Any:
        def completed(self: Any, read: Any) -> Any:
            done = old(self, read)
            return replace(done, state="OPEN") if done.state == "DECLINED" else done

        return completed

    to.wrap(reading.Reading, "_completed", make)


# ------------------------------------------------------------------------------------------ quiet and echoes


@bug("I02")
def a_column_tells_the_time(to: Patches) -> None:
    def make(old: Any) -> Any:
        return lambda draft: f"{old(draft)} at {draft.situation.now.isoformat()}"

    to.wrap(columns, "note_of", make)


@bug("I09")
def an_echo_is_answered(to: Patches) -> None:
    times = itertools.count()

    def make(old: Any) -> Any:
        def attribute_value(rule: Any, found: Any, rules: Any) -> Any:
            held = old(rule, found, rules)
            return (
                value.text(f"{held.key} {next(times)}")
                if isinstance(held, value.Text) and "commit" in rule.attribute
                else held
            )

        return attribute_value

    to.wrap(mapping, "attribute_value", make)


# --------------------------------------------------------------------------------------------- ownership


@bug("I03", "I01")
def the_other_side_wins(to: Patches) -> None:
    def make(old: Any) -> Any:
        def decide(question: Any) -> Any:
            made = old(question)
            if made.foreign is Side.BITBUCKET and question.owner is Owner.AIRTABLE:
                return ownership.Decision(airtable=question.bitbucket, reason="planted")
            return made

        return decide

    to.wrap(ownership, "decide", make)


@bug("I04")
def rows_are_put_not_patched(to: Patches) -> None:
    _ask_otherwise(to, lambda method, body: ("PUT", body))


@bug("I04")
def a_strangers_pull_request_is_declined(to: Patches) -> None:
    def make(old: Any) -> Any:
        def change(self: Any, home: Any, number: Any, body: Any) -> Any:
            changed = old(self, home, number, body)
            # The first one of every repository is nobody's.
            with contextlib.suppress(errors.ServiceError):
                path = self._in_repository(home, "pullrequests", "1", "decline")
                self._change("POST", path, {}, lambda raw: raw)
            return changed

        return change

    to.wrap(bitbucket_client.Client, "change_pull_request", make)


@bug("I05", "I03")
def a_write_takes_the_next_cell_along(to: Patches) -> None:
    def make(old: Any) -> Any:
        def send(self: Any, step: Any) -> Any:
            first = self._context.sync.primary
            extra = [
                replace(w, target=replace(w.target, field=first), after=value.text("planted")) for w in step.writes[:1]
            ]
            return old(self, replace(step, writes=(*step.writes, *extra)))

        return send

    to.wrap(apply.Run, "_send_cells", make)


@bug("I06")
def nobody_is_asked(to: Patches) -> None:
    to.set(
        ownership,
        "_both_moved",
        lambda question: ownership._write(Side.BITBUCKET, question.airtable, Kind.COPY, "planted"),
    )


@bug("I07", "I08")
def lost_races_are_not_told(to: Patches) -> None:
    to.set(changes, "_tell_races", _nothing)


@bug("I08", "I07")
def the_journal_forgets_what_was_there(to: Patches) -> None:
    def make(old: Any) -> Any:
        return lambda self, step, write, now: replace(old(self, step, write, now), before="null")

    to.wrap(request.Requests, "entry", make)


# ------------------------------------------------------------------------------------------- made once


@bug("I10")
def a_vanished_branch_is_made_again(to: Patches) -> None:
    to.set(action, "_made_before", lambda rule, made, situation, linked, *, wanted: action._NOTHING_TO_DO)

    def make(old: Any) -> Any:
        def decide(rule: Any, situation: Any, *rest: Any) -> Any:
            return old(rule, replace(situation, made={}), *rest)

        return decide

    to.wrap(action, "decide", make)
    to.set(action, "branch_name", lambda rendered, record: f"feature/{record}-{abs(hash(rendered)) % 97}-again")


@bug("I11")
def no_branch_is_cut(to: Patches) -> None:
    to.set(action, "_branch", lambda *_: action._NOTHING_TO_DO)


@bug("I11", "I01")
def no_pull_request_is_opened(to: Patches) -> None:
    to.set(action, "_pull_request", lambda *_: action._NOTHING_TO_DO)


# ------------------------------------------------------------------------------------------------ status


@bug("I12")
def the_status_jumps(to: Patches) -> None:
    def make(old: Any) -> Any:
        def decide(rules: Any, *rest: Any) -> Any:
            made = old(rules, *rest)
            return replace(made, write=rules.states[-1]) if made.write is not None else made

        return decide

    to.wrap(transition, "decide", make)


@bug("I12")
def people_may_not_move_the_status(to: Patches) -> None:
    to.set(transition, "_reach", lambda *_: (False, "", ""))


@bug("I13")
def an_error_is_an_empty_list(to: Patches) -> None:
    def make(old: Any) -> Any:
        def page(raw: Any) -> Any:
            try:
                return old(raw)
            except shape.Malformed:
                return [], None

        return page

    to.wrap(bitbucket_translate, "page", make)


@bug("I13")
def what_another_type_emptied_is_an_edit(to: Patches) -> None:
    to.set(schema, "changed", lambda context, tables: ())


@bug("I07")
def a_race_is_told_when_the_cursor_has_passed_it(to: Patches) -> None:
    tell, races = changes._tell_races, list[Any]()

    def make(old: Any) -> Any:
        def poll(*given: Any) -> Any:
            races.clear()
            polled = old(*given)
            for race in races:
                tell(*race)
            return polled

        return poll

    to.set(changes, "_tell_races", lambda *race: races.append(race))
    to.wrap(changes, "poll", make)


# ------------------------------------------------------------------------------------------------ journal


@bug("I14", "I05", "I08")
def intents_have_no_rows(to: Patches) -> None:
    def make(old: Any) -> Any:
        return lambda self, run, operations, entries: old(self, run, operations, ())

    to.wrap(sqlite.SqliteStore, "save_intents", make)


@bug("I14")
def what_is_made_has_no_rows(to: Patches) -> None:
    def make(old: Any) -> Any:
        def save(self: Any, run: Any, operations: Any, entries: Any) -> Any:
            return old(self, run, operations, [one for one in entries if not one.kind.startswith("create")])

        return save

    to.wrap(sqlite.SqliteStore, "save_intents", make)


@bug("I14")
def what_was_under_way_is_forgotten_at_start(to: Patches) -> None:
    to.set(recover, "begin", lambda context, now: 0)


@bug("I14")
def unclear_answers_are_never_looked_up(to: Patches) -> None:
    to.set(recover, "resolve", lambda context, now: None)


# ------------------------------------------------------------------------------------------------ the nets


@bug("I16")
def deliveries_are_acknowledged_and_dropped(to: Patches) -> None:
    to.set(intake.Intake, "save", _nothing)


@bug("I16")
def events_make_nothing_dirty(to: Patches) -> None:
    def make(old: Any) -> Any:
        return lambda self, processed, dirty, *rest: old(self, processed, (), *rest)

    to.wrap(sqlite.SqliteStore, "save_processed", make)


@bug("I16")
def pings_wake_nobody(to: Patches) -> None:
    to.set(sqlite.SqliteStore, "take_pinged", lambda self: frozenset())


@bug("I16")
def every_signature_is_good(to: Patches) -> None:
    to.set(intake.Intake, "verify", lambda self, *_: intake.Verdict.GOOD)


@bug("I18")
def the_sweep_sees_no_rows(to: Patches) -> None:
    to.set(full_compare, "compare_table", lambda context, now, *_: (0, 0))


@bug("I18")
def the_sweep_sees_no_repositories(to: Patches) -> None:
    to.set(full_compare, "compare_repository", lambda context, id, now: "")


@bug("I18")
def the_sweep_comes_once_a_year(to: Patches) -> None:
    to.set(wiring.House, "_compare_interval", lambda self, sync: timedelta(days=365))


@bug("I19")
def payloads_mark_nothing(to: Patches) -> None:
    to.set(changes, "_marks", lambda contexts, page: {})


@bug("I19")
def repositories_are_not_polled(to: Patches) -> None:
    to.set(keeper.Keeper, "_poll_bitbucket", _nothing)


@bug("I19")
def the_cursor_runs_ahead(to: Patches) -> None:
    def make(old: Any) -> Any:
        def save(self: Any, endpoint: Any, cursor: int, *rest: Any, **named: Any) -> Any:
            return old(self, endpoint, cursor + 1, *rest, **named)

        return save

    to.wrap(sqlite.SqliteStore, "save_changes", make)


@bug("I18", "I19", "I01", "I33")
def listings_go_by_our_clock(to: Patches) -> None:
    def until(context: Context, repository: Any) -> Any:
        (view,) = context.store.load_repositories([repository.id])
        return view.listed_at - work.OVERLAP if view.listed_at else None

    to.set(work, "_listed_until", until)


@bug("I17")
def an_event_that_comes_late_is_taken_for_a_replay(to: Patches) -> None:
    def make(old: Any) -> Any:
        def event(self: Any, delivery: Any, endpoint: Any, dirty: Any) -> Any:
            marks: list[Any] = []
            answer = old(self, delivery, endpoint, marks)
            now = self._clock.now()
            dirty += [(one, at) for one, at in marks if at is None or now - at < timedelta(seconds=30)]
            return answer

        return event

    to.wrap(intake.Intake, "_event", make)


# ------------------------------------------------------------------------------------------------- clocks, old states


@bug("I33")
def a_clock_set_back_puts_the_sweep_off(to: Patches) -> None:
    def is_due(context: Context, now: Any) -> bool:
        before = full_compare.last(context)
        return before is None or now - before >= context.rules.daemon.compare_every

    to.set(full_compare, "is_due", is_due)


@bug("I25")
def an_old_state_is_believed(to: Patches) -> None:
    to.set(generation, "disbelieve", _nothing)


@bug("I34")
def the_order_of_a_batch_is_chance(to: Patches) -> None:
    def records(self: Any) -> tuple[Any, ...]:
        if self.action is not None:
            return (self.action.record,)
        found = sorted({write.record for write in self.writes})
        return tuple(random.SystemRandom().sample(found, len(found)))

    to.set(request.Step, "records", property(records))


# ------------------------------------------------------------------------------------------------- safety


@bug("I20")
def the_kill_switch_is_not_asked(to: Patches) -> None:
    to.set(mortal.MemorySwitch, "paused", lambda self, sync, side: "")


@bug("I21")
def requests_cost_nothing(to: Patches) -> None:
    to.set(ledger.Ledger, "spend", lambda self, names, priority: timedelta(0))


@bug("I21")
def bitbucket_is_not_listened_to_when_it_asks_us_to_wait(to: Patches) -> None:
    def make(old: Any) -> Any:
        def observe(self: Any, status: int, headers: Any, code: str) -> Any:
            return (
                self._ledger.now()
                if status == 429 and self._service == "bitbucket"
                else old(self, status, headers, code)
            )

        return observe

    to.wrap(ledger.BudgetGate, "observe", make)


@bug("I22")
def a_refusal_is_tried_at_once_for_ever(to: Patches) -> None:
    def refuse(self: Any, step: Any, error: str, said: str = "") -> None:
        self._outcomes.end(step, Result.RETRY, error, again_at=self._context.clock.now() + timedelta(seconds=1))

    to.set(apply.Run, "_refuse", refuse)


@bug("I22", "I02")
def a_refusal_told_in_the_note_is_a_reason_to_try_again(to: Patches) -> None:
    def make(old: Any) -> Any:
        def cause(context: Any, record: Any, own: Any) -> str:
            return f"{old(context, record, own)} {collect.fingerprint(context, record)}"

        return cause

    to.wrap(collect, "_cause", make)


@bug("I23")
def a_refused_token_refuses_the_write_for_ever(to: Patches) -> None:
    def make(old: Any) -> Any:
        def do(self: Any, step: Any) -> None:
            try:
                old(self, step)
            except errors.Unauthorised as error:
                raise errors.Rejected(error.message, service=error.service, request=error.request) from error

        return do

    to.wrap(apply.Run, "_do", make)


@bug("I23")
def what_waits_is_dropped_when_access_is_refused(to: Patches) -> None:
    def make(old: Any) -> Any:
        def carry_out(context: Context, keys: Any, now: Any, *rest: Any, **named: Any) -> Any:
            try:
                return old(context, keys, now, *rest, **named)
            except (errors.Unauthorised, errors.Gone):
                dropped = [ports.RecordCommit(record=key.record, done=key.mark, state=None) for key in keys]
                context.store.commit(context.name, dropped, (), now)
                raise

        return carry_out

    to.wrap(cycle, "carry_out", make)


@bug("I26")
def a_new_rule_needs_no_word(to: Patches) -> None:
    to.set(cycle, "_sendable", lambda context, planned, accepted, *, accepting: planned)


@bug("I27")
def options_are_made_out_of_typos(to: Patches) -> None:
    _ask_otherwise(to, lambda method, body: (method, {**body, "typecast": True}))


@bug("I28")
def blanks_count(to: Patches) -> None:
    to.set(value, "canonical_text", lambda raw: raw)


@bug("I29")
def a_token_is_kept_in_the_state(to: Patches) -> None:
    def make(old: Any) -> Any:
        def secret(self: Any, spec: Any, found: Any) -> str:
            text: str = old(self, spec, found)
            self.store.save_text("token", text)
            return text

        return secret

    to.wrap(stage.House, "secret", make)


@bug("I29")
def the_credential_is_logged_in_other_letters(to: Patches) -> None:
    def make(old: Any) -> Any:
        def session(self: Any, service: str, url: str, headers: Any, *rest: Any) -> Any:
            _log.debug("event.skipped", sent=headers["authorization"].rpartition(" ")[2])
            return old(self, service, url, headers, *rest)

        return session

    to.wrap(stage.House, "_session", make)


@bug("I30")
def who_edited_is_kept_by_address(to: Patches) -> None:
    seen: list[str] = []

    def is_own(old: Any) -> Any:
        def asked(self: Any, metadata: Any) -> Any:
            seen.append(str(metadata))
            return old(self, metadata)

        return asked

    def save(old: Any) -> Any:
        def saved(self: Any, *given: Any, **named: Any) -> Any:
            self.save_text("people", seen.pop() if seen else "")
            return old(self, *given, **named)

        return saved

    to.wrap(airtable_delivery._Reading, "_is_own", is_own)
    to.wrap(sqlite.SqliteStore, "save_changes", save)


@bug("I30")
def every_field_is_read_and_kept(to: Patches) -> None:
    to.set(Context, "fields", lambda self: tuple(self.sync.table_fields.values()))

    def seen(context: Any, record: Any) -> str:
        return "|".join(value.dump(cell) for cell in record.cells.values() if not isinstance(cell, value.Unknown))

    to.set(collect, "fingerprint", seen)


@bug("I31")
def a_worker_stumbles(to: Patches) -> None:
    def make(old: Any) -> Any:
        def step(self: Any, now: Any) -> Any:
            again = old(self, now)
            if self.passing.trouble:
                raise KeyError("planted")
            return again

        return step

    to.wrap(worker.Worker, "step", make)


@bug("I32")
def a_failed_commit_is_tried_again(to: Patches) -> None:
    def commit(self: Any) -> None:
        for _ in range(2):
            try:
                self._connection.execute("COMMIT")
                return
            except sqlite3.Error:
                continue

    to.set(sqlite.SqliteStore, "_commit", commit)


@bug("I32")
def a_read_error_of_the_disk_passes(to: Patches) -> None:
    to.set(sqlite, "_UNTRUSTED", frozenset())


@bug("I35")
def the_status_is_always_fine(to: Patches) -> None:
    def make(old: Any) -> Any:
        return lambda vital: {**old(vital), "state": "ok", "reasons": []}

    to.wrap(health, "status", make)


@bug("I35")
def only_a_refused_token_is_told(to: Patches) -> None:
    def make(old: Any) -> Any:
        def failed(self: Any, error: Any, now: Any, jitter: float) -> None:
            old(self, error, now, jitter)
            if not isinstance(error, errors.Unauthorised):
                self.trouble = ""

        return failed

    to.wrap(effort.Effort, "failed", make)


@bug("I36")
def a_worker_never_rests(to: Patches) -> None:
    to.set(worker.Worker, "_next", lambda self, now, looked: now)


@bug("I37")
def everybody_writes_a_shared_pull_request(to: Patches) -> None:
    to.set(fields, "may_write", lambda draft, pull_request: (pull_request.state == "OPEN", ""))


# ---------------------------------------------------------------------------------------- what cannot be planted yet

ELSEWHERE: Mapping[str, str] = {
    "I15": "rollback is not built",
    "I24": (
        "one daemon is simulated. Two processes on one state: tests/store/test_database.py, with real ones. Two states for one "
        "spec are noticed only by a run id that the state does not know: tests/flow/test_generation.py"
    ),
}
"""Promises without a planted bug: the feature that is missing, or where they are proved instead."""


if __name__ == "__main__":
    sys.exit(hunt.main(BUGS, ELSEWHERE))
