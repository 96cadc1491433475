"""
From keys to a plan: read them, decide about each. One record that trips a fault of ours stops none of the others.

`syncd plan`, `syncd apply` and the daemon's passes all plan here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncd import errors, log
from syncd.core import plan
from syncd.flow import collect, digest, fault
from syncd.flow.context import Context
from syncd.flow.trial import Trial
from syncd.model.change import AgreedKey, Plan, RecordPlan, RecordState
from syncd.model.ids import RecordId
from syncd.model.situation import EditTimes, Situation
from syncd.spec.rules import ConflictRule

_log = log.logger("flow.planning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """
    What was planned, and from what.

    Args:
        plan: of every record that is there; of those in `undecided` it only says why nothing is decided.
        collected: what it was made from.
        undecided: records of which something could not be read, or that trip a fault of our own, and why; they are tried
            again by themselves.
    """

    plan: Plan
    collected: collect.Collected
    undecided: Mapping[RecordId, str] = field(default_factory=dict)


def make(
    context: Context, ids: Sequence[RecordId], now: datetime, *, again: bool = False, trial: Trial | None = None
) -> Planned:
    """
    Read these records and everything that decides about them, and plan them.

    Args:
        again: a person wants what was refused to be tried again.
        trial: keeps, durable, what is under way, so that input that ends the process is found (PR10).

    Raises:
        ServiceError: a side could not be read; nothing was believed missing.
    """
    if trial is None:
        return _make(context, ids, now, again=again)
    parts = []
    for group in trial.groups(ids):
        trial.enter(group)
        try:
            parts.append(_make(context, [RecordId(one) for one in group], now, again=again))
        except Exception:
            # The process lives: none of them is what ends it.
            trial.leave(group)
            raise
    trial.leave(ids)
    return parts[0] if len(parts) == 1 else _joined(context, parts, now)


def _joined(context: Context, parts: Sequence[Planned], now: datetime) -> Planned:
    records = (one for part in parts for one in part.plan.records)
    return Planned(
        plan=_plan(context, sorted(records, key=lambda one: one.record), now),
        collected=collect.joined([part.collected for part in parts]),
        undecided={record: why for part in parts for record, why in part.undecided.items()},
    )


def _make(context: Context, ids: Sequence[RecordId], now: datetime, *, again: bool) -> Planned:
    collected = collect.collect(context, ids, now, again=again)
    undecided = {record: _failed(record, why) for record, why in collected.faults.items()}
    undecided |= {record: _unread(record, why) for record, why in collected.unread.items()}

    def decide(situations: Sequence[Situation]) -> tuple[RecordPlan, ...]:
        planned = plan.plan(situations, context.sync, context.rules.spec_hash, now)
        # Whatever a plan goes through later is tried here, where its record can be set apart.
        digest.of(planned)
        return planned.records

    def trip(situation: Situation, error: Exception) -> None:
        undecided[situation.record.id] = _failed(situation.record.id, fault.told(error))
        tell(context, situation.record.id, error)

    found = [one for part in fault.apart(collected.situations, decide, trip) for one in part]
    by_record = {situation.record.id: situation for situation in collected.situations}
    for one in _of_newest(context, found):
        try:
            decided = _with_edit_times(context, by_record[one.record], one)
        except errors.Throttled:
            raise
        except errors.ServiceError as error:
            # One odd log, or everything? Only a service that answers makes it this record's own trouble (I22).
            context.changelog.fetch_repository(context.repository_ids[0])
            undecided[one.record] = replace(_unread(one.record, error.message), linked=one.linked)
        else:
            found[found.index(one)] = decided
    records = [_unsure(one, collected.unsure) for one in found if one.record not in undecided]
    return Planned(
        plan=_plan(context, sorted((*records, *undecided.values()), key=lambda one: one.record), now),
        collected=collected,
        undecided={record: one.pending[0] for record, one in undecided.items()},
    )


def put_off(made: Planned, why: Mapping[RecordId, str]) -> Planned:
    """The same with these records undecided."""
    records = (
        replace(_unread(one.record, why[one.record]), linked=one.linked) if one.record in why else one
        for one in made.plan.records
    )
    return replace(made, plan=replace(made.plan, records=tuple(records)), undecided={**made.undecided, **why})


def tell(context: Context, record: RecordId, error: Exception) -> None:
    """The log's line on a fault of ours."""
    _log.error("record.failed", sync=context.name, record=record, kind=type(error).__name__, trace=fault.trace(error))


def _plan(context: Context, records: Sequence[RecordPlan], now: datetime) -> Plan:
    return Plan(sync=context.name, spec_hash=context.rules.spec_hash, at=now, records=tuple(records))


def _failed(record: RecordId, why: str) -> RecordPlan:
    return RecordPlan(record=record, state=RecordState.ERROR, note=why, pending=(why,))


def _unread(record: RecordId, reason: str) -> RecordPlan:
    """Something of it could not be read: that is no absence and no conflict, and nothing of the record is decided."""
    return RecordPlan(record=record, state=RecordState.PENDING, note=reason, pending=(reason,))


def _of_newest(context: Context, planned: Sequence[RecordPlan]) -> list[RecordPlan]:
    """The plans with a conflict that the newer edit decides."""
    newest = {rule.field.id for rule in context.sync.fields if rule.conflict is ConflictRule.NEWEST}
    return [one for one in planned if newest and any(conflict.field in newest for conflict in one.conflicts)]


def _with_edit_times(context: Context, situation: Situation, planned: RecordPlan) -> RecordPlan:
    """
    Where both sides moved and the newer edit wins, ask Bitbucket when its side was edited, and plan the record again.

    Asked only then: it costs a page of the activity log for each such field.
    """
    newest = {rule.field.id: rule for rule in context.sync.fields if rule.conflict is ConflictRule.NEWEST}
    times = dict(situation.edited)
    for conflict in planned.conflicts:
        key = AgreedKey(conflict.field, conflict.pull_request)
        rule = newest.get(conflict.field)
        if rule is None or conflict.pull_request is None or key not in situation.agreed:
            continue
        at = context.changelog.fetch_edited_on(
            context.repository(conflict.pull_request.repository),
            conflict.pull_request.number,
            (rule.attribute or "").partition(".")[2],
        )
        times[key] = EditTimes(bitbucket=at)
    if times == situation.edited:
        return planned
    return plan.plan_record(replace(situation, edited=times), context.sync)


def _unsure(planned: RecordPlan, unsure: Mapping[RecordId, str]) -> RecordPlan:
    """Whether the record is in scope is not known: nothing was planned, and that is not the same as being out of it."""
    reason = unsure.get(planned.record)
    if reason is None:
        return planned
    return replace(planned, state=RecordState.PENDING, pending=(*planned.pending, reason))
