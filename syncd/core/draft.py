"""The plan of one record while it is being made: what is known, what was found so far, what may be written."""

from dataclasses import dataclass, field
from datetime import datetime

from syncd.core import link, scoping
from syncd.model import value
from syncd.model.change import (
    Action,
    AgreedKey,
    Agreement,
    Conflict,
    ForeignEdit,
    NewLink,
    NewMade,
    Refusal,
    Toleration,
    Write,
)
from syncd.model.ids import FieldId, PullRequestKey
from syncd.model.schema import Field
from syncd.model.situation import Situation
from syncd.model.value import UNKNOWN, Unknown, Value
from syncd.spec.expression import Expression
from syncd.spec.rules import SyncRules


@dataclass(slots=True, kw_only=True)
class Draft:
    """
    What has been found about one record so far. It alone is changed while a plan is made, and dies with it.

    Args:
        record_held: why nothing but the columns about the daemon is written; "" when it may be.
        field_holds: why single fields are not written to.
        notes: sentences for the note column, in the order they were found.
        refused: something stands refused, so the record's state says so.
    """

    situation: Situation
    rules: SyncRules
    linked: link.Linked
    scope: scoping.Scope
    record_held: str = ""
    field_holds: dict[FieldId, str] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    foreign_edits: list[ForeignEdit] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    tolerations: list[Toleration] = field(default_factory=list)
    links: list[NewLink] = field(default_factory=list)
    made: list[NewMade] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wakes: list[datetime] = field(default_factory=list)
    status: str | None = None
    refused: bool = False
    uncertain: bool = False

    def accepted(self, *fingerprints: str) -> bool:
        """Whether a person accepted the sync and these rules of it."""
        accepted = self.situation.accepted
        return self.rules.fingerprint in accepted and accepted.issuperset(fingerprints)

    def cell(self, of: Field | FieldId) -> Value | Unknown:
        """What the record holds there; `Unknown` when the cell was not read or cannot be."""
        return self.situation.record.cells.get(of if isinstance(of, str) else of.id, _NOT_READ)

    def agreed(self, key: AgreedKey, *, accepted: bool) -> Value | Unknown:
        """What was agreed last; in adoption nothing was (SPEC section 3)."""
        return self.situation.agreed.get(key, UNKNOWN) if accepted else UNKNOWN

    def is_held(self, of: FieldId) -> bool:
        """Whether that field is not written to for now."""
        return bool(self.record_held) or of in self.field_holds

    def unknown(self, what: str, reason: str) -> None:
        """Something cannot be decided because a side is not completely known."""
        self.uncertain = True
        self.wait(f"{what}: {reason}")

    def wait(self, reason: str) -> None:
        """Something is not done yet, and why."""
        if reason not in self.pending:
            self.pending.append(reason)

    def note(self, sentence: str) -> None:
        """A sentence for the note column."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def refuse(self, of: FieldId | None, rule: str, reason: str) -> None:
        """A rule does not allow something, and that stands until somebody changes it."""
        self.refused = True
        self.refusals.append(Refusal(record=self.situation.record.id, field=of, rule=rule, reason=reason))
        self.note(reason)

    def hold(self, reason: str) -> None:
        """Something is not written to, and why."""
        if reason not in self.held:
            self.held.append(reason)
        self.note(reason)

    def agree(self, key: AgreedKey, agreed: Value) -> None:
        """Both sides hold this value; it is remembered unless it is already."""
        if self.situation.agreed.get(key) != agreed:
            self.agreements.append(Agreement(key=key, value=agreed))
        if self.situation.tolerated:
            self.tolerate(key, None)

    def forget(self, key: AgreedKey) -> None:
        """What was agreed there is not believed any more (ST11)."""
        if key in self.situation.agreed:
            self.agreements.append(Agreement(key=key, value=None))

    def tolerate(self, key: AgreedKey, foreign: Value | None) -> None:
        """A foreign value is left alone, or (None) not any more."""
        if self.situation.tolerated.get(key) != foreign and all(known.key != key for known in self.tolerations):
            self.tolerations.append(Toleration(key=key, value=foreign))

    def write(self, write: Write) -> None:
        """Plan a write, unless the value is there already; a later write to the same cell replaces the earlier one."""
        if any(known.target == write.target for known in self.writes):
            self.writes = [known for known in self.writes if known.target != write.target]
        if write.before == write.after:
            return
        self.writes.append(write)
        if write.agrees is not None:
            self.tolerate(write.agrees, None)

    def keep_conflicts(self, of: FieldId, what: str, rule: str) -> None:
        """An open conflict stays while nothing can be decided about its field."""
        for key, found in sorted(self.situation.conflicts.items(), key=_by_key):
            if key.field == of:
                self.conflict(key, what, rule, found.airtable, found.bitbucket, "changed on both sides")

    def conflict(self, key: AgreedKey, what: str, rule: str, airtable: Value, bitbucket: Value, reason: str) -> None:
        """A field that no rule decides."""
        self.conflicts.append(
            Conflict(
                record=self.situation.record.id,
                field=key.field,
                what=what,
                pull_request=key.pull_request,
                airtable=airtable,
                bitbucket=bitbucket,
                rule=rule,
                reason=reason,
            )
        )
        where = "" if key.pull_request is None else f" and pull request #{key.pull_request.number}"
        # Without the reason: it is another one from the second plan on, and the note would change for nothing.
        self.note(
            f'"{what}" differs and is held: here it is {shown(airtable)}, in Bitbucket{where} {shown(bitbucket)}. '
            "Make both equal, or let somebody decide it"
        )

    def evaluate(self, expression: Expression) -> object:
        """The outcome; `Unknown` when what it reads is not completely known. Raises ExpressionError."""
        reason = scoping.unread(expression, self.situation, self.linked, self.rules)
        if reason:
            return Unknown(reason)
        self.watch(expression)
        return expression.evaluate(self.scope)

    def watch(self, expression: Expression) -> None:
        """Remember when the clock alone may change an outcome."""
        wakes = expression.wakes_at(self.scope, self.situation.now) if expression.reads_clock else None
        if wakes is not None:
            self.wakes.append(wakes)


_NOT_READ = Unknown("the cell was not read")


def _by_key(entry: tuple[AgreedKey, object]) -> tuple[str, str]:
    key = entry[0]
    return key.field, "" if key.pull_request is None else _place(key.pull_request)


def _place(key: PullRequestKey) -> str:
    return f"{key.repository}#{key.number:010d}"


def shown(found: Value) -> str:
    """A value as a sentence for people shows it."""
    raw = value.plain(found)
    if raw is None:
        return "empty"
    if isinstance(found, value.Text) and found.key.startswith("sha256:"):
        # The state remembers its hash only, and the same value must always read the same.
        return "a long text"
    text = " ".join((", ".join(raw) if isinstance(raw, list) else str(raw)).split())
    return f'"{text}"' if len(text) <= 60 else f'"{text[:59]}…"'
