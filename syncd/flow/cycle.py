"""
One pass of one sync: claim dirty keys, read both sides, plan, ask the guard, send, commit.

`plan` and `apply`, one dirty key and the full compare, production and simulation: all of them come through here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncd import errors, log, ports
from syncd.core import guard, retry
from syncd.flow import apply, collect, digest, full_compare, outcomes, planning, recover, refusal, schema, work
from syncd.flow.context import Context
from syncd.flow.trial import Trial
from syncd.model.change import AgreedKey, Kind, Plan, RecordPlan, RecordState, Side
from syncd.model.ids import RecordId
from syncd.model.situation import Situation

_log = log.logger("flow.cycle")

CLAIM_MAX = 1000
# A refused plan is looked at again at the soonest after this: what caused it may have been put right by hand.
REFUSED_AGAIN = timedelta(minutes=1)
# Longer than any wait of a key: whatever waits is planned together while a refusal stands.
ALL_WAITING = timedelta(days=1)
# A look at what became of a lost answer marks its records at once; they are not asked for before that, or rarely.
UNANSWERED_AGAIN = timedelta(seconds=15)
# The first wait of a record that could not be read or planned; doubled each time.
PUT_OFF = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """
    What one pass came to.

    Args:
        planned: what it would do or did.
        verdict: the guard's refusal in words, or "".
        keys: the records that were claimed for it.
        schema_changed: the table is another one than the rules know. What might follow from that waits; for a person who
            applies a plan nothing is sent.
    """

    claimed: int
    planned: Plan
    verdict: str = ""
    largest: tuple[str, ...] = ()
    tally: outcomes.Tally | None = None
    run: str = ""
    digest: str = ""
    keys: tuple[RecordId, ...] = ()
    schema_changed: bool = False


def step(context: Context, now: datetime, stop: Callable[[], str], trial: Trial | None = None) -> Pass | None:
    """
    Carry out what is due for one sync.

    Args:
        trial: what of its records ended the process before, and is set apart.

    Returns:
        What it came to; call again at once while keys were claimed. None: nothing was due, or a budget holds it up.

    Raises:
        StoreError: nothing was sent after it.
    """
    refused = refusal.standing(context)
    if refused is not None and not refusal.is_due(context, refused, now):
        # Nothing is sent, and nothing is asked for: a refusal over a weekend must not use up the month's calls.
        while held := context.store.claim_records(context.name, now, CLAIM_MAX):
            context.store.release_records(held, refused.again, failed=False)
        return None
    keys = (
        claim_all(context, now + ALL_WAITING) if refused else context.store.claim_records(context.name, now, CLAIM_MAX)
    )
    if not keys:
        if refused is not None:
            refusal.lift(context)
        return None
    try:
        work.refresh(context, now, early=True)
        # What was read just now may have made more records due: they travel in the same batches.
        keys = (*keys, *context.store.claim_records(context.name, now, max(0, CLAIM_MAX - len(keys))))
        done = carry_out(context, keys, now, stop, trial=trial)
    except errors.Throttled as error:
        context.store.release_records(keys, error.retry_at, failed=False, error=error.message)
        return None
    except errors.ServiceError as error:
        attempts = max(key.attempts for key in keys)
        again = retry.next_attempt(attempts, now, context.ids.jitter())
        context.store.release_records(keys, again, failed=True, error=error.message)
        raise
    return replace(done, keys=tuple(key.record for key in keys))


def claim_all(context: Context, now: datetime) -> tuple[ports.DirtyRecord, ...]:
    """Every key that is due at that time, however many there are."""
    claimed: list[ports.DirtyRecord] = []
    while batch := context.store.claim_records(context.name, now, CLAIM_MAX):
        claimed.extend(batch)
    return tuple(claimed)


def carry_out(
    context: Context,
    keys: Sequence[ports.DirtyRecord],
    now: datetime,
    stop: Callable[[], str],
    *,
    accepting: bool = False,
    accept_mass_change: bool = False,
    expected: str | None = None,
    by: str = "daemon",
    trial: Trial | None = None,
) -> Pass:
    """
    Plan these keys and send what may be sent.

    Args:
        accepting: a person accepts the plan: writes of rules in adoption go out too.
        accept_mass_change: a person lets this plan pass the guard.
        expected: the digest of the plan that a person saw: that one is sent, or nothing.
        by: who wanted it, for the journal.
        trial: as in `step`.

    Raises:
        Refused: the plan is another one than `expected`; nothing was sent.
    """
    keys = _looked_up(context, keys, now)
    if trial is not None:
        keys = _set_apart(context, keys, now, trial)
    made = planning.make(context, [key.record for key in keys], now, again=accepting, trial=trial)
    collected, planned = made.collected, made.plan
    by_record = {situation.record.id: situation for situation in collected.situations}
    marks = {key.record: key for key in keys}
    accepted = context.sync.fingerprint in context.store.load_accepted(context.name)
    sendable = replace(
        planned,
        records=tuple(
            _unparked(_sendable(context, one, accepted, accepting=accepting), by_record[one.record])
            for one in planned.records
            if one.record not in made.undecided
        ),
    )
    plan_digest = digest.of(planned)
    if expected is not None and plan_digest != expected:
        raise errors.Refused(
            f"{context.name}: both sides changed since plan {expected} was made; it would now be {plan_digest}",
            next_step="syncd plan",
        )
    doubtful = _doubtful(context, sendable, by_record)
    if doubtful and by != "daemon":
        context.store.release_records(keys, now, failed=False)
        return Pass(claimed=0, planned=planned, digest=plan_digest, schema_changed=True)
    certain = replace(sendable, records=tuple(one for one in sendable.records if one.record not in doubtful))
    # A standing refusal is of all of them: what waits for another reason does not make the rest allowed.
    judged = sendable if refusal.standing(context) is not None else certain
    verdict = judge(context, judged, collected.situations, now, accepting=accepting)
    if not verdict.allowed and not accept_mass_change:
        _refuse(context, keys, verdict, plan_digest, now, accepting=accepting)
        return Pass(
            claimed=0,
            planned=planned,
            verdict="; ".join(verdict.reasons),
            largest=verdict.largest,
            digest=plan_digest,
            schema_changed=bool(doubtful),
        )
    if doubtful:
        made, sendable = planning.put_off(made, doubtful), certain
        planned = made.plan
    refusal.lift(context)
    _gone(context, collected.missing, marks, now)
    _put_off(context, made, marks, now)
    whole = {one.record: one for one in planned.records}
    jobs = []
    for one in sendable.records:
        key = marks.get(one.record)
        seen = collected.seen[one.record]
        jobs.append(
            outcomes.Job(
                plan=one,
                done=key.mark if key is not None else None,
                seen=seen,
                cause=collect.cause(context, by_record[one.record]),
                attempts=key.attempts if key is not None else 0,
                parked=bool(by_record[one.record].parked),
                settled=_settled(by_record[one.record], whole[one.record], one),
            )
        )
        _tell(context, one)
    run = apply.Run(context, jobs, stop=stop, by=by, alone=trial.tripped if trial is not None else frozenset())
    tally = run.carry_out()
    if trial is not None:
        trial.tripped = (trial.tripped - by_record.keys()) | tally.tripped
    return Pass(
        claimed=len(keys),
        planned=planned,
        tally=tally,
        run=run.run,
        digest=plan_digest,
        schema_changed=bool(doubtful),
    )


def _doubtful(context: Context, sendable: Plan, situations: Mapping[RecordId, Situation]) -> Mapping[RecordId, str]:
    """
    Records with an empty cell that held an agreed value, and why they wait, when the table is another one than the rules
    know: one request, and only when something of such a record would go out.
    """
    emptied = [one for one in sendable.records if _sides(one) and guard.holds_emptied(situations[one.record])]
    if not emptied:
        return {}
    open_sides = {side for side in Side if not context.switch.paused(context.name, side)}
    waiting = [one.record for one in emptied if _sides(one) & open_sides]
    changed = schema.changed(context, context.catalogue.fetch_tables()) if waiting else ()
    if not changed:
        return {}
    _log.warning("schema.changed", sync=context.name, fields=changed, records=len(waiting))
    why = f"the fields of the table changed ({', '.join(changed)}), and a cell of it is empty: the spec's names are asked for again"
    return dict.fromkeys(waiting, why)


def _sides(planned: RecordPlan) -> set[Side]:
    """Where something of it would go."""
    return {write.side for write in planned.writes} | ({Side.BITBUCKET} if planned.actions else set())


def _looked_up(context: Context, keys: Sequence[ports.DirtyRecord], now: datetime) -> tuple[ports.DirtyRecord, ...]:
    """The keys without those that wait for what became of a lost answer; the look marks them."""
    unanswered = recover.unanswered(context)
    waiting = [key for key in keys if key.record in unanswered]
    if waiting:
        context.store.release_records(waiting, now + UNANSWERED_AGAIN, failed=False)
    return tuple(key for key in keys if key.record not in unanswered)


def _settled(situation: Situation, planned: RecordPlan, sendable: RecordPlan) -> tuple[AgreedKey, ...]:
    """Open conflicts that the plan ends: it does not find them any more, and what decides them is not kept back."""
    standing = {AgreedKey(conflict.field, conflict.pull_request) for conflict in planned.conflicts}
    standing |= {write.agrees for write in planned.writes if write.agrees is not None and write not in sendable.writes}
    return tuple(sorted(situation.conflicts.keys() - standing, key=str))


def _set_apart(
    context: Context, keys: Sequence[ports.DirtyRecord], now: datetime, trial: Trial
) -> tuple[ports.DirtyRecord, ...]:
    """The keys without those under which the process died again and again; they are shown, and wait (PR10)."""
    until = {key.record: at for key in keys if (at := trial.apart_until(key.record, now)) is not None}
    if not until:
        return tuple(keys)
    rows = context.store.load_known(context.name, sorted(until))
    commits = []
    for key in keys:
        if key.record not in until:
            continue
        deaths = trial.deaths(key.record)
        why = f"syncd itself ended {deaths} times while it worked on this record; the log says where, please report it"
        commits.append(_waiting(key.record, rows, key, RecordState.ERROR, why, until[key.record]))
        _log.error("record.failed", sync=context.name, record=key.record, kind="death of the process", deaths=deaths)
    context.store.commit(context.name, commits, (), now)
    return tuple(key for key in keys if key.record not in until)


def _put_off(
    context: Context, made: planning.Planned, marks: Mapping[RecordId, ports.DirtyRecord], now: datetime
) -> None:
    """What could not be decided is tried again by itself, later each time; nothing else waits for it (I22)."""
    if not made.undecided:
        return
    states = {one.record: one.state for one in made.plan.records}
    rows = context.store.load_known(context.name, sorted(made.undecided))
    commits = []
    for record, why in sorted(made.undecided.items()):
        key = marks.get(record)
        again = now + retry.patience(key.attempts if key is not None else 0, PUT_OFF)
        commits.append(_waiting(record, rows, key, states[record], why, min(again, now + retry.LONGEST_WAIT)))
    context.store.commit(context.name, commits, (), now)


def _waiting(
    record: RecordId,
    rows: Mapping[RecordId, ports.KnownRecord],
    key: ports.DirtyRecord | None,
    state: RecordState,
    why: str,
    again_at: datetime,
) -> ports.RecordCommit:
    row = rows.get(record)
    return ports.RecordCommit(
        record=record,
        done=key.mark if key is not None else None,
        state=state.value,
        note=why,
        linked=row.linked if row is not None else False,
        status=row.status if row is not None else None,
        again_at=again_at,
        failed=True,
    )


def judge(
    context: Context, planned: Plan, situations: Sequence[Situation], now: datetime, *, accepting: bool
) -> guard.Verdict:
    """
    What the guard says to a plan, together with what changed in its window (SPEC section 3, "Safety").

    Args:
        accepting: a person accepts rules in adoption with this plan. Their first writes are what that person looked at,
            so they are not counted against the guard; everything else is.
    """
    counted = planned.records
    if accepting:
        counted = tuple(
            replace(one, writes=tuple(write for write in one.writes if not write.adoption)) for one in counted
        )
    known = context.store.states(context.name).get("linked", 0)
    verdict = guard.check(
        counted,
        linked=max(known, sum(1 for one in planned.records if one.linked)),
        recent=[
            guard.Recent(record=record, at=at, clears=clears)
            for record, at, clears in context.store.load_recent_changes(context.name, now - context.sync.guard.window)
        ],
        rules=context.sync.guard,
        now=now,
    )
    emptied = guard.emptied_work(situations, known, context.sync.guard)
    if not emptied:
        return verdict
    return replace(verdict, reasons=(*verdict.reasons, emptied), largest=guard.largest(planned.records))


def _sendable(context: Context, planned: RecordPlan, accepted: bool, *, accepting: bool) -> RecordPlan:
    """The plan without what waits for acceptance. A `mode = "plan"` sync sends nothing at all."""
    if not context.sync.writes_allowed:
        return replace(planned, writes=(), actions=(), agreements=(), tolerations=(), links=())
    if accepting:
        return planned
    if not accepted:
        return replace(
            planned,
            writes=(),
            actions=(),
            agreements=(),
            tolerations=(),
            conflicts=(),
            state=RecordState.PENDING,
            note="waits for the first `syncd apply`",
        )
    if not any(write.adoption for write in planned.writes):
        return planned
    return replace(planned, writes=tuple(write for write in planned.writes if not write.adoption))


def _unparked(planned: RecordPlan, situation: Situation) -> RecordPlan:
    """While a refusal stands nothing is sent but what tells of it: one try per change of its cause (BB29)."""
    if not situation.parked:
        return planned
    return replace(planned, writes=tuple(write for write in planned.writes if write.kind is Kind.COLUMN), actions=())


def _refuse(
    context: Context,
    keys: Sequence[ports.DirtyRecord],
    verdict: guard.Verdict,
    plan_digest: str,
    now: datetime,
    *,
    accepting: bool,
) -> None:
    before = refusal.standing(context)
    if before is None:
        _log.warning("plan.refused", sync=context.name, reason="; ".join(verdict.reasons), plan=plan_digest)
    # Later, and later again, but never as a failure of the records: they did nothing wrong.
    tries = 1 if before is None else before.tries + 1
    again = max(retry.next_attempt(tries, now, context.ids.jitter()), now + REFUSED_AGAIN)
    refusal.save(
        context,
        refusal.Refusal(
            digest=plan_digest,
            reason="; ".join(verdict.reasons),
            records=tuple(sorted(key.record for key in keys)),
            tries=tries,
            again=again,
            accepting=accepting,
            spec=context.rules.spec_hash,
        ),
    )
    context.store.release_records(keys, again, failed=False)


def _gone(
    context: Context,
    missing: Sequence[RecordId],
    marks: dict[RecordId, ports.DirtyRecord],
    now: datetime,
) -> None:
    """A record that was asked for and is not there: unknown ids are forgotten, known ones only when it is proved."""
    commits = []
    rows = context.store.load_known(context.name, missing) if missing else {}
    emptied = missing and context.store.load_text(full_compare.emptied_key(context.name))
    for record in missing:
        mark = marks[record].mark if record in marks else None
        row = rows.get(record)
        if row is None:
            commits.append(ports.RecordCommit(record=record, done=mark, state=RecordState.OK.value, gone=True))
            continue
        proved = not emptied and row.absent >= full_compare.ABSENT_MIN and _is_gone(context, record)
        note = "" if proved else "not found in Airtable; its links are kept until two complete listings say so"
        commits.append(
            ports.RecordCommit(
                record=record,
                done=mark,
                state=RecordState.PENDING.value,
                note=note,
                linked=row.linked,
                status=row.status,
                gone=proved,
            )
        )
    if commits:
        context.store.commit(context.name, commits, (), now)


def _is_gone(context: Context, record: RecordId) -> bool:
    try:
        return context.catalogue.fetch_is_gone(context.sync.table, record)
    except errors.Throttled:
        raise
    except errors.ServiceError:
        # Not proved, and asked again after the next listing: one odd answer must not stop the others (I22).
        return False


def _tell(context: Context, planned: RecordPlan) -> None:
    for conflict in planned.conflicts:
        _log.warning("conflict.found", sync=context.name, record=planned.record, field=conflict.field)
    for edit in planned.foreign_edits:
        if edit.treatment == "revert":
            _log.info("foreign_edit.reverted", sync=context.name, record=planned.record, field=edit.field)
