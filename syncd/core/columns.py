"""The cells that syncd owns: the link field, and the columns about the daemon itself."""

from dataclasses import dataclass

from syncd.core import link, mapping, scoping
from syncd.core.compare import Moved, moved
from syncd.core.draft import Draft
from syncd.model import value
from syncd.model.change import AgreedKey, Cell, ForeignEdit, Kind, Owner, Priority, RecordState, Side, Write
from syncd.model.ids import FieldId, PullRequestKey
from syncd.model.situation import Situation
from syncd.model.value import NOTHING, Text, Unknown, Value
from syncd.model.work import List
from syncd.spec.rules import SyncRules

LINK_RULE = "link.url"
# Between the sentences of a note; it occurs in none of them, so that one of them can be found again.
SEPARATOR = " | "
_PULL_REQUESTS = frozenset({List.PULL_REQUESTS})


# ------------------------------------------------------------------------------------------- the link field


@dataclass(frozen=True, slots=True)
class Typed:
    """A pull request's URL that a person put into the link field. `refusal` says why it is not followed."""

    key: PullRequestKey
    refusal: str = ""


def typed_link(situation: Situation, rules: SyncRules) -> Typed | None:
    """
    The link command in the record's link field, if it holds one.

    At first contact a URL may have come along with a duplicated row: one whose pull request belongs to another record
    is not trusted then (AT23).
    """
    cell = NOTHING if rules.link.url is None else situation.record.cells.get(rules.link.url, NOTHING)
    if rules.link.url is None or not isinstance(cell, Text):
        return None
    agreed = situation.agreed.get(AgreedKey(rules.link.url)) if rules.fingerprint in situation.accepted else None
    if agreed == cell:
        return None
    reference = link.url_reference(cell.key if cell.raw is None else cell.raw, rules.repositories)
    if reference is None:
        return None
    key = PullRequestKey(*reference)
    if key in situation.remembered:
        return None
    others = [one for one in situation.records_of.get(key, ()) if one != situation.record.id]
    if agreed is None and others:
        return Typed(
            key, f"pull request #{key.number} belongs to another record ({others[0]}), so the link here is not used"
        )
    found = next((pr for pr in situation.work.pull_requests if pr.key == key), None)
    if found is not None and link.is_fork(found) and not rules.link.forks:
        return Typed(key, f"pull request #{key.number} comes from a fork, and forks do not link here")
    return Typed(key)


def plan_link_field(draft: Draft, typed: Typed | None) -> None:
    """The link field shows the primary's URL; what a person put there is a command, or is put right."""
    field = draft.rules.link.url
    if field is None:
        return
    name = field_name(field, draft.rules)
    reason = scoping.incomplete(_PULL_REQUESTS, draft.situation)
    cell = draft.cell(field)
    if reason or isinstance(cell, Unknown):
        draft.unknown(name, reason or getattr(cell, "reason", ""))
        return
    primary = draft.linked.primary
    wanted: Value = NOTHING if primary is None else value.text(primary.url)
    if typed is not None and not typed.refusal and all(pr.key != typed.key for pr in draft.linked.pull_requests):
        draft.wait(f"{name}: pull request #{typed.key.number} is linked now and read next")
        return
    key = AgreedKey(field)
    accepted = draft.accepted()
    agreed = draft.agreed(key, accepted=accepted)
    who = moved(agreed, cell, wanted)
    if who is Moved.NOBODY:
        if wanted is not NOTHING or not isinstance(agreed, Unknown):
            draft.agree(key, wanted)
        return
    if not accepted:
        draft.forget(key)
    if wanted is NOTHING and who is not Moved.BITBUCKET:
        # There is nothing better to show: what a person typed stays, and is said to mean nothing.
        told = typed.refusal if typed is not None else "it holds no pull request of these repositories"
        draft.refuse(field, LINK_RULE, f'"{name}": {told}')
        return
    if draft.is_held(field):
        return
    if who in (Moved.AIRTABLE, Moved.BOTH) and typed is None:
        draft.foreign_edits.append(
            ForeignEdit(
                record=draft.situation.record.id,
                field=field,
                what=name,
                side=Side.AIRTABLE,
                value=cell,
                owner_value=wanted,
                rule=LINK_RULE,
                treatment="revert",
            )
        )
    reason = (
        "no pull request is linked any more"
        if primary is None
        else f"pull request #{primary.key.number} is the primary one"
    )
    draft.write(
        Write(
            record=draft.situation.record.id,
            target=Cell(field),
            what=name,
            before=cell,
            after=wanted,
            owner=Owner.SYNCD,
            kind=Kind.LINK,
            rule=LINK_RULE,
            reason=reason,
            agrees=key,
            adoption=not accepted,
        )
    )


def field_name(field: FieldId, rules: SyncRules) -> str:
    """The field's name, as people know it."""
    return next((known.name for known in rules.table_fields.values() if known.id == field), field)


# ------------------------------------------------------------------------------------------- state and note


def record_state(draft: Draft) -> RecordState:
    """One word for the record; the gravest that is true."""
    situation = draft.situation
    if not situation.in_scope:
        return RecordState.OUT_OF_SCOPE
    table = (
        (bool(draft.record_held), RecordState.HELD),
        (bool(situation.parked), RecordState.ERROR),
        (bool(draft.conflicts), RecordState.CONFLICT),
        (draft.refused, RecordState.REFUSED),
        (bool(draft.held), RecordState.HELD),
        (bool(draft.pending), RecordState.PENDING),
    )
    return next((state for holds, state in table if holds), RecordState.OK)


def note_of(draft: Draft) -> str:
    """The sentences for the note column, in the order in which they were found, each once."""
    return SEPARATOR.join(sentence.replace(SEPARATOR, " / ") for sentence in draft.notes)


def standing_note(draft: Draft, beginning: str) -> str:
    """The sentence of the note column that begins so; "" when it holds none."""
    note = draft.rules.columns.note
    cell = NOTHING if note is None else draft.cell(note)
    if not isinstance(cell, Text):
        return ""
    shown = cell.key if cell.raw is None else cell.raw
    return next((sentence for sentence in shown.split(SEPARATOR) if sentence.startswith(beginning)), "")


def plan_columns(draft: Draft, state: RecordState, note: str) -> None:
    """
    Write the state and note columns when they differ.

    What was found earlier is not taken back while something is unknown: it may still be true. "pending" is not written:
    every short outage would change every record twice.
    """
    columns = draft.rules.columns
    if columns.state is not None:
        cell = draft.cell(columns.state)
        calm = state is RecordState.OK and cell is NOTHING and not draft.linked.any
        if not calm and state is not RecordState.PENDING:
            _write_column(draft, columns.state.id, "columns.state", mapping.fit(state.value, columns.state), cell)
    if columns.note is not None and (note or not draft.uncertain):
        _write_column(draft, columns.note.id, "columns.note", mapping.fit(note, columns.note), draft.cell(columns.note))


def _write_column(
    draft: Draft, field: FieldId, rule: str, wanted: Value | mapping.Unfit, cell: Value | Unknown
) -> None:
    if isinstance(wanted, mapping.Unfit) or isinstance(cell, Unknown):
        # The spec's check tells of a column that cannot hold the words; a note about the note would help nobody.
        return
    draft.write(
        Write(
            record=draft.situation.record.id,
            target=Cell(field),
            what=field_name(field, draft.rules),
            before=cell,
            after=wanted,
            owner=Owner.SYNCD,
            kind=Kind.COLUMN,
            rule=rule,
            reason="tells what syncd found",
            priority=Priority.LOW,
            adoption=not draft.accepted(),
        )
    )
