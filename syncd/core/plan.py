"""plan(situations, rules) → Plan: which work belongs to each record, whose values stand, where the status goes, what is made."""

from collections.abc import Iterable
from datetime import datetime

from syncd.core import action, columns, fields, link, scoping, transition
from syncd.core.draft import Draft
from syncd.model import value
from syncd.model.change import (
    AgreedKey,
    Cell,
    ForeignEdit,
    Kind,
    NewLink,
    NewMade,
    Owner,
    Plan,
    Priority,
    RecordPlan,
    RecordState,
    Side,
    Write,
)
from syncd.model.situation import Situation
from syncd.model.value import TRUE, Text, Unknown, Value
from syncd.spec.expression import ExpressionError
from syncd.spec.rules import ForeignEditRule, StatusRules, SyncRules, Transition


def plan(situations: Iterable[Situation], rules: SyncRules, spec_hash: str, now: datetime) -> Plan:
    """
    The plans of one sync's records.

    Args:
        situations: in any order, each record once.
        now: the instant of the pass.
    """
    records = sorted((plan_record(situation, rules) for situation in situations), key=lambda made: made.record)
    return Plan(sync=rules.name, spec_hash=spec_hash, at=now, records=tuple(records))


def in_scope(situation: Situation, rules: SyncRules) -> bool | Unknown:
    """
    Whether the sync's view and `where` hold the record.

    Returns:
        `Unknown` with the reason when `where` reads something that is not completely known, or fails.
    """
    if not situation.record.in_view:
        return False
    if rules.where is None:
        return True
    linked = link.linked(situation, rules)
    reason = scoping.unread(rules.where, situation, linked, rules)
    if reason:
        return Unknown(reason)
    try:
        return bool(rules.where.evaluate(scoping.Scope(situation, linked, rules)))
    except ExpressionError as exc:
        return Unknown(exc.message)


def plan_record(situation: Situation, rules: SyncRules) -> RecordPlan:
    """One record's plan; equal situations give equal plans, whatever the order of their lists. Never raises."""
    typed = columns.typed_link(situation, rules)
    followed = typed is not None and not typed.refusal
    linked = link.linked(situation, rules, typed.key if typed is not None and followed else None)
    draft = Draft(situation=situation, rules=rules, linked=linked, scope=scoping.Scope(situation, linked, rules))
    _links(draft, typed if followed else None)
    if not situation.in_scope:
        return _out_of_scope(draft)
    _holds(draft)
    if situation.parked:
        draft.note(f"the last change was refused: {situation.parked}")
    columns.plan_link_field(draft, typed)
    fields.plan_fields(draft)
    seen, sure = _status(draft)
    _actions(draft, seen, sure=sure)
    state, note = columns.record_state(draft), columns.note_of(draft)
    columns.plan_columns(draft, state, note)
    return _finished(draft, state, note)


def _finished(draft: Draft, state: RecordState, note: str) -> RecordPlan:
    writes = sorted(draft.writes, key=_order) if len(draft.writes) > 1 else draft.writes
    return RecordPlan(
        record=draft.situation.record.id,
        state=state,
        note=note,
        writes=tuple(writes),
        actions=tuple(draft.actions),
        conflicts=tuple(draft.conflicts),
        refusals=tuple(draft.refusals),
        foreign_edits=tuple(draft.foreign_edits),
        agreements=tuple(draft.agreements),
        tolerations=tuple(draft.tolerations),
        links=tuple(draft.links),
        made=tuple(draft.made),
        status=draft.status,
        pending=tuple(draft.pending),
        held=tuple(draft.held),
        linked=draft.linked.any,
        wake_at=min((at for at in draft.wakes if at > draft.situation.now), default=None),
    )


def _order(write: Write) -> tuple[int, str, str, int, str]:
    target = write.target
    if isinstance(target, Cell):
        return write.priority, "cell", target.field, 0, ""
    return write.priority, "attribute", target.pull_request.repository, target.pull_request.number, target.name


def _links(draft: Draft, typed: columns.Typed | None) -> None:
    """Every link that is not remembered yet; a person's command counts more than what the work looks like."""
    found = dict(draft.linked.evidence)
    if typed is not None:
        found[typed.key] = "url"
    record = draft.situation.record.id
    draft.links += [NewLink(record=record, pull_request=key, evidence=found[key]) for key in sorted(found)]


def _out_of_scope(draft: Draft) -> RecordPlan:
    """Links and agreed values are kept, open conflicts too; nothing is written, not even the columns."""
    for rule in draft.rules.fields:
        draft.keep_conflicts(rule.field.id, rule.field.name, rule.key)
    return _finished(draft, RecordState.OUT_OF_SCOPE, "")


def _holds(draft: Draft) -> None:
    """What is not written to for now: by the record's own checkbox, or by a command."""
    situation, column = draft.situation, draft.rules.columns.hold
    if column is not None:
        ticked = draft.cell(column)
        if ticked == TRUE:
            draft.record_held = f'"{column.name}" is ticked, so syncd changes nothing here'
        elif isinstance(ticked, Unknown):
            # It may be ticked: unknown is not empty.
            draft.record_held = f'"{column.name}" cannot be read, so syncd changes nothing here'
    for hold in sorted(situation.holds, key=lambda one: (one.field or "", one.reason)):
        if hold.until is not None and hold.until <= situation.now:
            continue
        if hold.until is not None:
            draft.wakes.append(hold.until)
        if hold.field is None:
            draft.record_held = draft.record_held or f"held: {hold.reason}"
        else:
            draft.field_holds[hold.field] = hold.reason
            draft.hold(f'"{columns.field_name(hold.field, draft.rules)}" is held: {hold.reason}')
    if draft.record_held:
        draft.hold(draft.record_held)


# ------------------------------------------------------------------------------------------- the status


def _status(draft: Draft) -> tuple[str | None, str]:
    """
    Move the status.

    Returns:
        The status that actions see, and why it is not sure ("" when it is).
    """
    rules = draft.rules.status
    if rules is None:
        return None, ""
    cell = draft.cell(rules.field)
    if isinstance(cell, Unknown):
        draft.unknown(rules.field.name, cell.reason)
        return None, cell.reason
    key = AgreedKey(rules.field.id)
    accepted = draft.accepted(rules.fingerprint)
    verdict = transition.decide(rules, draft.agreed(key, accepted=accepted), cell, _edge_holds(draft))
    draft.status = verdict.state
    shown = cell.key if isinstance(cell, Text) else None
    if verdict.pending:
        draft.unknown(rules.field.name, verdict.pending)
    if verdict.outside:
        draft.note(verdict.outside)
        return shown, ""
    if draft.is_held(rules.field.id):
        draft.status = shown
        return shown, verdict.pending
    if verdict.held:
        draft.hold(f'"{rules.field.name}" is held: {verdict.held}')
    if not accepted and verdict.agree is None:
        draft.forget(key)
    adoption = not draft.accepted(rules.fingerprint, *(edge.fingerprint for edge in verdict.edges))
    _remember(draft, rules, key, cell, verdict)
    if verdict.write is not None:
        _move(draft, rules, key, cell, verdict, adoption=adoption)
    else:
        _keep_standing_refusal(draft, rules, verdict)
    if adoption and verdict.write is not None:
        return shown, verdict.pending
    return verdict.state, verdict.pending or verdict.held


def _edge_holds(draft: Draft) -> transition.Holds:
    failed: dict[str, Unknown] = {}

    def holds(edge: Transition, status: str) -> bool | Unknown:
        if edge.when is None:
            return True
        draft.scope.with_status(status)
        try:
            outcome = draft.evaluate(edge.when)
        except ExpressionError as exc:
            if edge.key not in failed:
                failed[edge.key] = Unknown(f"{edge.key}: its condition fails: {'; '.join(exc.problems)}")
                draft.refuse(None, edge.key, failed[edge.key].reason)
            return failed[edge.key]
        return outcome if isinstance(outcome, Unknown) else bool(outcome)

    return holds


def _remember(draft: Draft, rules: StatusRules, key: AgreedKey, cell: Value, verdict: transition.Verdict) -> None:
    """What is agreed, tolerated and told about the cell as it stands."""
    if verdict.agree is not None:
        draft.agree(key, value.text(verdict.agree))
    if not verdict.illegal:
        return
    told = verdict.tolerate and draft.situation.tolerated.get(key) == cell
    if not told:
        draft.foreign_edits.append(
            ForeignEdit(
                record=draft.situation.record.id,
                field=key.field,
                what=rules.field.name,
                side=Side.AIRTABLE,
                value=cell,
                owner_value=value.text(verdict.state or ""),
                rule=f"{rules.key}.illegal_edit",
                treatment=rules.illegal_edit.value if verdict.tolerate else "revert",
            )
        )
    if verdict.tolerate:
        draft.tolerate(key, cell)
        if rules.illegal_edit is ForeignEditRule.ALERT:
            draft.refuse(key.field, f"{rules.key}.illegal_edit", f'"{rules.field.name}": {verdict.illegal}')


def _move(
    draft: Draft, rules: StatusRules, key: AgreedKey, cell: Value, verdict: transition.Verdict, *, adoption: bool
) -> None:
    assert verdict.write is not None  # the caller's condition
    illegal = verdict.kind is Kind.ILLEGAL_EDIT
    if illegal:
        # Only where the note can tell later that it was told: else the next plan would take it back.
        reason = f"{_put_back(rules, verdict.write)}{verdict.illegal}"
        refused_before = draft.refused
        draft.refuse(key.field, f"{rules.key}.illegal_edit", reason)
        draft.refused = refused_before or draft.rules.columns.note is not None
    rule = (
        f"{rules.key}.illegal_edit" if illegal else verdict.edges[-1].key if verdict.edges else f"{rules.key}.initial"
    )
    draft.write(
        Write(
            record=draft.situation.record.id,
            target=Cell(key.field),
            what=rules.field.name,
            before=cell,
            after=value.text(verdict.write),
            owner=verdict.edges[-1].owner if verdict.edges else Owner.SYNCD,
            kind=verdict.kind,
            rule=rule,
            reason=verdict.reason,
            priority=Priority.STATUS,
            agrees=key,
            path=verdict.path,
            adoption=adoption,
        )
    )


def _put_back(rules: StatusRules, state: str) -> str:
    return f'"{rules.field.name}" was put back to "{state}": '


def _keep_standing_refusal(draft: Draft, rules: StatusRules, verdict: transition.Verdict) -> None:
    """
    Why an edit was put back stays readable until the status moves.

    The edit itself is gone with the next read; a note that went with it would never be seen by the person who made it.
    """
    if verdict.state is None or verdict.tolerate:
        return
    sentence = columns.standing_note(draft, _put_back(rules, verdict.state))
    if sentence:
        draft.note(sentence)
        draft.refused = True


# ------------------------------------------------------------------------------------------- the actions


def _actions(draft: Draft, status: str | None, *, sure: str) -> None:
    """What is to be made. An action that nobody accepted does not run (adoption)."""
    if draft.record_held:
        return
    draft.scope.with_status(status)
    for rule in draft.rules.actions:
        if not draft.accepted(rule.fingerprint):
            continue
        if sure and "status" in rule.when.names:
            draft.wait(f"{rule.key}: the status is not known ({sure})")
            continue
        draft.watch(rule.when)
        verdict = action.decide(rule, draft.situation, draft.linked, draft.scope, draft.rules)
        record = draft.situation.record.id
        if verdict.action is not None:
            draft.actions.append(verdict.action)
        if verdict.found:
            draft.made.append(NewMade(record=record, rule=rule.key, object=verdict.found))
        if verdict.refusal:
            draft.refuse(None, rule.key, verdict.refusal)
        if verdict.pending:
            draft.wait(verdict.pending)
            if verdict.person:
                draft.note(verdict.pending)
