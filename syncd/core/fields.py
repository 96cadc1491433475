"""Every mapped field of one record: both sides brought into one space, decided, and turned into writes."""

from syncd.core import attribute, link, mapping, ownership, scoping
from syncd.core.draft import Draft
from syncd.model import value
from syncd.model.change import AgreedKey, Attribute, Cell, ForeignEdit, Kind, Owner, Side, Write
from syncd.model.record import Record
from syncd.model.situation import EditTimes, Situation
from syncd.model.value import NOTHING, Unknown, Value
from syncd.model.work import List, PullRequest
from syncd.spec.expression import ExpressionError
from syncd.spec.rules import FieldRule, SyncRules

_PULL_REQUESTS = frozenset({List.PULL_REQUESTS})


def is_two_way(rule: FieldRule) -> bool:
    """Whether the field may be written to a pull request, and so agrees per pull request."""
    return rule.writable and rule.owner in (Owner.AIRTABLE, Owner.BOTH) and (rule.attribute or "").startswith("pr.")


def plan_fields(draft: Draft) -> None:
    """Decide every mapped field, in the order of the spec."""
    for rule in draft.rules.fields:
        if rule.value is not None:
            _computed(draft, rule)
        elif is_two_way(rule):
            _two_way(draft, rule)
        else:
            _read_only(draft, rule)


def _computed(draft: Draft, rule: FieldRule) -> None:
    """A `value` field: syncd's own word, for linked records only."""
    if rule.value is None or not draft.linked.any:
        return
    try:
        outcome = draft.evaluate(rule.value)
    except ExpressionError as exc:
        draft.refuse(rule.field.id, rule.key, f'"{rule.field.name}": its expression fails: {"; ".join(exc.problems)}')
        return
    computed = outcome if isinstance(outcome, Unknown) else mapping.fit(outcome, rule.field)
    _towards_cell(draft, rule, computed, f"computed: {rule.value.source}")


def _read_only(draft: Draft, rule: FieldRule) -> None:
    """An attribute that only Bitbucket changes: the field agrees as a whole, whichever work is the primary."""
    name = rule.attribute or ""
    reason = scoping.incomplete(attribute.NEEDS[name], draft.situation)
    if reason:
        _not_known(draft, rule, reason)
        return
    found = attribute.source(name, draft.linked)
    if found is None and AgreedKey(rule.field.id) not in draft.situation.agreed:
        return  # never had work: there is nothing to show and nothing to take back
    _towards_cell(draft, rule, mapping.attribute_value(rule, found, draft.rules), "")


def _towards_cell(draft: Draft, rule: FieldRule, wanted: Value | Unknown | mapping.Unfit, reason: str) -> None:
    """A value of Bitbucket's, or computed, against the cell that shows it."""
    if isinstance(wanted, mapping.Unfit):
        draft.refuse(rule.field.id, rule.key, wanted.reason)
        return
    cell = draft.cell(rule.field)
    for side in (wanted, cell):
        if isinstance(side, Unknown):
            _not_known(draft, rule, side.reason)
            return
    assert not isinstance(wanted, Unknown)  # told above; for the type checker
    assert not isinstance(cell, Unknown)  # likewise
    key = AgreedKey(rule.field.id)
    _Carrier(draft, rule, key, None).carry(
        mapping.cell_value(rule, cell, draft.rules), wanted, Owner.BITBUCKET, reason=reason
    )


def _two_way(draft: Draft, rule: FieldRule) -> None:
    """An attribute that a person may set in Airtable: agreed per pull request, so that a new primary is first contact."""
    reason = scoping.incomplete(_PULL_REQUESTS, draft.situation)
    if reason:
        _not_known(draft, rule, reason)
        return
    pull_requests = _targets(draft, rule)
    if not pull_requests:
        return
    cell = draft.cell(rule.field)
    if isinstance(cell, Unknown):
        _not_known(draft, rule, cell.reason)
        return
    airtable = mapping.cell_value(rule, cell, draft.rules)
    found: list[tuple[_Carrier, Value]] = []
    for pull_request in pull_requests:
        bitbucket = mapping.attribute_value(rule, pull_request, draft.rules)
        if isinstance(bitbucket, mapping.Unfit):
            draft.refuse(rule.field.id, rule.key, bitbucket.reason)
        elif isinstance(bitbucket, Unknown):
            _not_known(draft, rule, bitbucket.reason)
        else:
            found.append((_Carrier(draft, rule, AgreedKey(rule.field.id, pull_request.key), pull_request), bitbucket))
    # Who moved comes first and who is new last: each is compared with what the cell will hold by then.
    if len(found) > 1:
        found.sort(key=lambda one: one[0].rank(one[1]))
    for position, (carrier, bitbucket) in enumerate(found):
        airtable = carrier.carry(airtable, bitbucket, rule.owner, further=position > 0)


def _targets(draft: Draft, rule: FieldRule) -> list[PullRequest]:
    primary = draft.linked.primary
    if primary is None:
        return []
    if not rule.each or primary.state != "OPEN":
        return [primary]
    return [primary, *(pr for pr in draft.linked.pull_requests if pr.state == "OPEN" and pr.key != primary.key)]


def _not_known(draft: Draft, rule: FieldRule, reason: str) -> None:
    draft.unknown(rule.field.name, reason)
    draft.keep_conflicts(rule.field.id, rule.field.name, rule.key)


def may_write(draft: Draft, pull_request: PullRequest) -> tuple[bool, str]:
    """
    Whether attributes of this pull request are written for this record.

    Returns:
        The answer, and a sentence for the note when a person can change it. Only an open one can be edited (BB19); a
        shared one is written for its lead only (I37).
    """
    record = draft.situation.record.id
    if pull_request.state != "OPEN":
        return False, ""
    lead = link.lead(pull_request, draft.rules)
    if lead == record:
        return True, ""
    others = [one for one in draft.situation.records_of.get(pull_request.key, ()) if one != record]
    number = f"pull request #{pull_request.key.number}"
    if lead is None:
        if not others:
            return True, ""
        return (
            False,
            f"{number} belongs to several records and its title names none of them, so nothing is written to it",
        )
    return (
        False,
        "" if lead in others else f"{number} names another record ({lead}), so nothing is written to it from here",
    )


class _Carrier:
    """Turns one decision about one field (and pull request) into parts of the draft."""

    def __init__(self, draft: Draft, rule: FieldRule, key: AgreedKey, pull_request: PullRequest | None) -> None:
        self.draft = draft
        self.rule = rule
        self.key = key
        self.pull_request = pull_request
        self.accepted = draft.accepted(rule.fingerprint)

    def rank(self, bitbucket: Value) -> int:
        """0: Bitbucket's side moved; 1: it did not; 2: never agreed."""
        agreed = self.draft.agreed(self.key, accepted=self.accepted)
        return 2 if isinstance(agreed, Unknown) else int(agreed == bitbucket)

    def _agreed_elsewhere(self) -> bool:
        """Whether another pull request of this record agreed on the field."""
        return self.accepted and any(
            known.field == self.key.field and known.pull_request not in (None, self.key.pull_request)
            for known in self.draft.situation.agreed
        )

    def carry(
        self, airtable: Value, bitbucket: Value, owner: Owner, *, further: bool = False, reason: str = ""
    ) -> Value:
        """
        Decide, and put what follows into the draft.

        Args:
            reason: stands in the plan instead of the decision's own.

        Returns:
            What the cell holds once the plan is carried out.
        """
        draft, rule, key = self.draft, self.rule, self.key
        if airtable == bitbucket:
            # What `decide` says of equal sides, without asking it: nearly every field of nearly every plan.
            draft.agree(key, airtable)
            return airtable
        situation = draft.situation
        permitted, why_not = (True, "") if self.pull_request is None else may_write(draft, self.pull_request)
        decision = ownership.decide(
            ownership.Question(
                owner=owner,
                agreed=draft.agreed(key, accepted=self.accepted),
                airtable=airtable,
                bitbucket=bitbucket,
                tolerated=situation.tolerated.get(key) if self.accepted else None,
                # Between a cell and what nobody may write there is nothing to be decided by a person.
                conflict=situation.conflicts.get(key) if permitted else None,
                edited=_edit_times(situation, key),
                further=further or self._agreed_elsewhere(),
                on_conflict=rule.conflict,
                tolerance=rule.tolerance,
                foreign_edit=rule.foreign_edit,
                # What cannot be written cannot take a value over.
                adopt=rule.adopt and self.pull_request is not None,
            )
        )
        if not self.accepted:
            draft.forget(key)
        if draft.is_held(key.field):
            draft.keep_conflicts(key.field, rule.field.name, rule.key)
            return airtable
        if not permitted and (decision.airtable is None or decision.bitbucket is not None):
            # Read, and never written: what another record leads, or nobody may edit any more.
            if why_not and (decision.bitbucket is not None or decision.conflict):
                draft.note(why_not)
            return airtable
        if decision.conflict:
            draft.conflict(key, rule.field.name, rule.key, airtable, bitbucket, decision.conflict)
            return airtable
        if decision.bitbucket is not None and not self._to_bitbucket(decision, reason):
            return airtable
        self._tell(decision, airtable, bitbucket)
        if decision.airtable is None:
            return airtable
        self._to_airtable(decision, reason)
        return decision.airtable

    def _tell(self, decision: ownership.Decision, airtable: Value, bitbucket: Value) -> None:
        draft, rule, key = self.draft, self.rule, self.key
        foreign = airtable if decision.foreign is Side.AIRTABLE else bitbucket
        if decision.foreign is not None:
            draft.foreign_edits.append(
                ForeignEdit(
                    record=draft.situation.record.id,
                    field=key.field,
                    what=rule.field.name,
                    side=decision.foreign,
                    value=foreign,
                    owner_value=bitbucket if decision.foreign is Side.AIRTABLE else airtable,
                    rule=rule.key,
                    treatment=rule.foreign_edit.value if decision.tolerate else "revert",
                )
            )
        if decision.tolerate:
            draft.tolerate(key, foreign)

    def _to_airtable(self, decision: ownership.Decision, reason: str) -> None:
        assert decision.airtable is not None  # the caller's condition
        before = self.draft.cell(self.rule.field)
        self.draft.write(
            self._write(
                Cell(self.key.field),
                self.rule.field.name,
                before,
                decision.airtable,
                decision.kind,
                reason or decision.reason,
            )
        )

    def _to_bitbucket(self, decision: ownership.Decision, reason: str) -> bool:
        """Plan the write to the pull request; False when the value must not or cannot stand there."""
        assert decision.bitbucket is not None  # the caller's conditions
        assert self.pull_request is not None
        draft, rule = self.draft, self.rule
        if rule.required and decision.bitbucket is NOTHING:
            draft.hold(
                f'"{rule.field.name}" is empty here, and {rule.attribute} must not be: it keeps its value in Bitbucket'
            )
            return False
        after = mapping.written_value(rule, decision.bitbucket)
        if isinstance(after, mapping.Unfit):
            draft.refuse(rule.field.id, rule.key, after.reason)
            return False
        name = (rule.attribute or "").partition(".")[2]
        if name == "title":
            after = value.text(link.title_with_prefix(draft.situation.record.id, str(value.plain(after)), draft.rules))
        target = Attribute(self.pull_request.key, name)
        before = present(self.pull_request, name)
        draft.write(self._write(target, rule.attribute or "", before, after, decision.kind, reason or decision.reason))
        return True

    def _write(
        self, target: Cell | Attribute, what: str, before: Value | Unknown, after: Value, kind: Kind, reason: str
    ) -> Write:
        return Write(
            record=self.draft.situation.record.id,
            target=target,
            what=what,
            before=before,
            after=after,
            owner=self.rule.owner,
            kind=kind,
            rule=self.rule.key,
            reason=reason,
            priority=self.rule.priority,
            agrees=self.key,
            adoption=not self.accepted,
        )


def _edit_times(situation: Situation, key: AgreedKey) -> EditTimes:
    """The cell is one, whichever pull requests the field agrees with; the attribute's time is each pull request's own."""
    cell = situation.edited.get(AgreedKey(key.field), _NO_TIMES)
    return EditTimes(airtable=cell.airtable, bitbucket=situation.edited.get(key, _NO_TIMES).bitbucket)


def present(pull_request: PullRequest, name: str) -> Value:
    """A writable attribute as the service holds it, in full: with the title's prefix, without a map."""
    match name:
        case "title":
            return value.text(pull_request.title)
        case "description":
            return value.text(pull_request.description)
        case "destination_branch":
            return value.text(pull_request.destination_branch)
        case "draft":
            return value.boolean(pull_request.draft)
        case _:
            return value.options(pull_request.reviewers)


def agreed_after(write: Write, rules: SyncRules, answer: Record | PullRequest) -> Value | None:
    """
    What both sides agree on after a write, from what the service answered and never from what was meant.

    Args:
        answer: the record or pull request as it was returned.

    Returns:
        The value for `write.agrees`; None when the write brings about no agreement, or the answer cannot be read.
    """
    return None if write.agrees is None else agreed_by(write.agrees, rules, answer)


def agreed_by(key: AgreedKey, rules: SyncRules, answer: Record | PullRequest) -> Value | None:
    """The value under a key that a record or pull request brings about; None when it cannot be read."""
    rule = next((known for known in rules.fields if known.field.id == key.field), None)
    found: Value | Unknown | mapping.Unfit
    if isinstance(answer, PullRequest):
        found = NOTHING if rule is None else mapping.attribute_value(rule, answer, rules)
    else:
        found = answer.cells.get(key.field, NOTHING)
        if rule is not None and not isinstance(found, Unknown):
            found = mapping.cell_value(rule, found, rules)
    return None if isinstance(found, Unknown | mapping.Unfit) else found


_NO_TIMES = EditTimes()
