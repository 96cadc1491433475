"""Whose value stands: the table "Per field" of SPEC section 3, for one field of one record and one pull request."""

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from syncd.core.compare import Moved, moved
from syncd.model.change import Kind, Owner, Side
from syncd.model.situation import EditTimes, OpenConflict
from syncd.model.value import NOTHING, Options, Unknown, Value, options
from syncd.spec.rules import ConflictRule, ForeignEditRule

_NO_TIMES = EditTimes()
_NAMES = {Side.AIRTABLE: "Airtable", Side.BITBUCKET: "Bitbucket"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """
    Everything that decides about one field.

    Args:
        owner: AIRTABLE, BITBUCKET or BOTH; what syncd computes counts as Bitbucket's.
        agreed: `Unknown` when the sides never agreed, or their agreement is not to be believed.
        tolerated: a foreign value that was left alone.
        conflict: the open or decided conflict of this field.
        further: another pull request of this record has agreed on this field already.
    """

    owner: Owner
    agreed: Value | Unknown
    airtable: Value
    bitbucket: Value
    tolerated: Value | None = None
    conflict: OpenConflict | None = None
    edited: EditTimes = _NO_TIMES
    further: bool = False
    on_conflict: ConflictRule = ConflictRule.ASK
    tolerance: timedelta = timedelta(minutes=2)
    foreign_edit: ForeignEditRule = ForeignEditRule.REVERT
    adopt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    What follows. A value of None means "not this".

    Args:
        airtable, bitbucket: what is to be written there.
        agree: what both sides hold already and is to be remembered.
        foreign: the side of a foreign edit; `tolerate` when it is left alone.
        conflict: why no rule decides; "" when one does.
    """

    airtable: Value | None = None
    bitbucket: Value | None = None
    kind: Kind = Kind.COPY
    reason: str = ""
    agree: Value | None = None
    foreign: Side | None = None
    tolerate: bool = False
    conflict: str = ""


_NOTHING_TO_DO = Decision()


def decide(question: Question) -> Decision:
    """One decision for every question; never raises."""
    who = moved(question.agreed, question.airtable, question.bitbucket)
    if who is Moved.NOBODY:
        return Decision(agree=question.airtable)
    if question.owner is Owner.BOTH:
        return _of_both(question, who)
    return _of_one(question, who, Side.AIRTABLE if question.owner is Owner.AIRTABLE else Side.BITBUCKET)


def _of_one(question: Question, who: Moved, owner: Side) -> Decision:
    other = Side.BITBUCKET if owner is Side.AIRTABLE else Side.AIRTABLE
    wanted, foreign = _value(question, owner), _value(question, other)
    match who:
        case Moved.FIRST_CONTACT:
            return _first_contact_of_one(question, owner, other)
        case Moved.BOTH if foreign == question.tolerated:
            # Told and left alone before: now the owner has moved, and its value goes across.
            return _write(other, wanted, Kind.COPY, f"changed in {_NAMES[owner]}")
        case Moved.BOTH:
            reason = f"changed on both sides; {_NAMES[owner]} owns it"
            return _write(other, wanted, Kind.COPY, reason, foreign=other)
        case Moved.AIRTABLE | Moved.BITBUCKET:
            if (who is Moved.AIRTABLE) == (owner is Side.AIRTABLE):
                return _write(other, wanted, Kind.COPY, f"changed in {_NAMES[owner]}")
            return _foreign_edit(question, owner, other)
        case Moved.NOBODY:
            return Decision(agree=wanted)
        case _:
            assert_never(who)


def _foreign_edit(question: Question, owner: Side, other: Side) -> Decision:
    if question.tolerated is not None and _value(question, other) == question.tolerated:
        return _NOTHING_TO_DO
    if question.foreign_edit is ForeignEditRule.REVERT:
        reason = f"changed in {_NAMES[other]}, which does not own it"
        return _write(other, _value(question, owner), Kind.REVERT, reason, foreign=other)
    return Decision(foreign=other, tolerate=True)


def _first_contact_of_one(question: Question, owner: Side, other: Side) -> Decision:
    wanted = _value(question, owner)
    if wanted is not NOTHING:
        return _write(other, wanted, Kind.FIRST_CONTACT, f"first contact; {_NAMES[owner]} owns it")
    # Once per field: a further pull request is no second chance.
    if question.adopt and not question.further:
        reason = f"first contact; empty in {_NAMES[owner]}, taken over from {_NAMES[other]}"
        return _write(owner, _value(question, other), Kind.ADOPT, reason)
    return _NOTHING_TO_DO


def _of_both(question: Question, who: Moved) -> Decision:
    if question.conflict is not None:
        return _of_conflict(question, question.conflict)
    match who:
        case Moved.AIRTABLE:
            return _write(Side.BITBUCKET, question.airtable, Kind.COPY, "changed in Airtable")
        case Moved.BITBUCKET:
            return _write(Side.AIRTABLE, question.bitbucket, Kind.COPY, "changed in Bitbucket")
        case Moved.FIRST_CONTACT:
            return _first_contact_of_both(question)
        case Moved.BOTH:
            return _both_moved(question)
        case Moved.NOBODY:
            return Decision(agree=question.airtable)
        case _:
            assert_never(who)


def _of_conflict(question: Question, found: OpenConflict) -> Decision:
    same = (question.airtable, question.bitbucket) == (found.airtable, found.bitbucket)
    if found.winner is None or not same:
        # A choice was made between two values; it says nothing about a third.
        changed = "" if found.winner is None else "; it changed again after it was decided"
        return Decision(conflict=f"changed on both sides{changed}")
    winner = found.winner
    loser = Side.BITBUCKET if winner is Side.AIRTABLE else Side.AIRTABLE
    return _write(loser, _value(question, winner), Kind.RESOLVE, f"a person decided for {_NAMES[winner]}")


def _first_contact_of_both(question: Question) -> Decision:
    if question.further:
        if question.airtable is NOTHING:
            return _NOTHING_TO_DO
        reason = "first contact with a further pull request; flows from Airtable"
        return _write(Side.BITBUCKET, question.airtable, Kind.FIRST_CONTACT, reason)
    if question.bitbucket is NOTHING:
        return _write(Side.BITBUCKET, question.airtable, Kind.FIRST_CONTACT, "first contact; empty in Bitbucket")
    if question.airtable is NOTHING:
        return _write(Side.AIRTABLE, question.bitbucket, Kind.FIRST_CONTACT, "first contact; empty in Airtable")
    if isinstance(question.airtable, Options) and isinstance(question.bitbucket, Options):
        return _merged(question, NOTHING, Kind.FIRST_CONTACT)
    return Decision(conflict="first contact, and both sides have a value")


def _both_moved(question: Question) -> Decision:
    sets = (question.airtable, question.bitbucket, question.agreed)
    if any(isinstance(one, Options) for one in sets) and all(
        one is NOTHING or isinstance(one, Options) for one in sets
    ):
        return _merged(question, question.agreed, Kind.COPY)
    if question.on_conflict is ConflictRule.ASK:
        return Decision(conflict="changed on both sides")
    newer = _newer(question.edited, question.tolerance)
    if newer is None:
        return Decision(conflict="changed on both sides, and which edit is newer cannot be told")
    older = Side.BITBUCKET if newer is Side.AIRTABLE else Side.AIRTABLE
    return _write(
        older, _value(question, newer), Kind.COPY, f"changed on both sides; the edit in {_NAMES[newer]} is newer"
    )


def _newer(edited: EditTimes, tolerance: timedelta) -> Side | None:
    """The side of the newer edit; None when a time is not known or the two clocks are too close to tell (CL06)."""
    if edited.airtable is None or edited.bitbucket is None or abs(edited.airtable - edited.bitbucket) <= tolerance:
        return None
    return Side.AIRTABLE if edited.airtable > edited.bitbucket else Side.BITBUCKET


def _merged(question: Question, agreed: Value | Unknown, kind: Kind) -> Decision:
    """Element by element: what either side added is in, what either side took out is out."""
    base, left, right = _names(agreed), _names(question.airtable), _names(question.bitbucket)
    wanted = options((base & left & right) | (left - base) | (right - base))
    return Decision(
        airtable=None if wanted == question.airtable else wanted,
        bitbucket=None if wanted == question.bitbucket else wanted,
        kind=kind,
        reason="changed on both sides; merged element by element",
    )


def _names(found: Value | Unknown) -> frozenset[str]:
    return found.names if isinstance(found, Options) else frozenset()


def _value(question: Question, side: Side) -> Value:
    return question.airtable if side is Side.AIRTABLE else question.bitbucket


def _write(to: Side, wanted: Value, kind: Kind, reason: str, foreign: Side | None = None) -> Decision:
    if to is Side.AIRTABLE:
        return Decision(airtable=wanted, kind=kind, reason=reason, foreign=foreign)
    return Decision(bitbucket=wanted, kind=kind, reason=reason, foreign=foreign)
