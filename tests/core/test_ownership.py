"""Whose value stands: every row of SPEC's table "Per field", in both columns."""

from typing import Any

import pytest

from syncd.core import ownership
from syncd.core.ownership import Decision, Question
from syncd.model.change import Kind, Owner, Side
from syncd.model.situation import EditTimes, OpenConflict
from syncd.model.value import UNKNOWN
from syncd.spec.rules import ConflictRule, ForeignEditRule
from tests.build import at, val

A, B, BOTH = Owner.AIRTABLE, Owner.BITBUCKET, Owner.BOTH
IGNORE, ALERT = {"foreign_edit": ForeignEditRule.IGNORE}, {"foreign_edit": ForeignEditRule.ALERT}
NEWEST = {"on_conflict": ConflictRule.NEWEST}


def decide(owner: Owner, agreed: Any, airtable: Any, bitbucket: Any, **more: Any) -> Decision:
    known = UNKNOWN if agreed is UNKNOWN else val(agreed)
    if "tolerated" in more:
        more["tolerated"] = val(more["tolerated"])
    return ownership.decide(
        Question(owner=owner, agreed=known, airtable=val(airtable), bitbucket=val(bitbucket), **more)
    )


def outcome(decision: Decision) -> tuple[str, Any]:
    """What a decision does, in one word, and with which value."""
    if decision.agree is not None:
        return "agree", decision.agree
    if decision.conflict:
        return "conflict", None
    if decision.airtable is not None and decision.bitbucket is not None:
        return "both", decision.airtable
    if decision.airtable is not None:
        return "to airtable", decision.airtable
    if decision.bitbucket is not None:
        return "to bitbucket", decision.bitbucket
    return "tolerate" if decision.tolerate else "nothing", None


# case, owner, agreed, airtable, bitbucket, more, what, value
ROWS: list[tuple[str, Owner, Any, Any, Any, dict[str, Any], str, Any]] = [
    ("sides equal, owner airtable: agree", A, "a", "b", "b", {}, "agree", "b"),
    ("sides equal, owner bitbucket: agree", B, "a", "b", "b", {}, "agree", "b"),
    ("sides equal, owner both: agree", BOTH, UNKNOWN, "b", "b", {}, "agree", "b"),
    ("only the owner's side moved (airtable): across", A, "a", "b", "a", {}, "to bitbucket", "b"),
    ("only the owner's side moved (bitbucket): across", B, "a", "a", "b", {}, "to airtable", "b"),
    ("only the owner's side moved to empty: across", B, "a", "a", None, {}, "to airtable", None),
    ("owner both, airtable moved: copy", BOTH, "a", "b", "a", {}, "to bitbucket", "b"),
    ("owner both, bitbucket moved: copy", BOTH, "a", "a", "b", {}, "to airtable", "b"),
    ("only the other side moved: revert", A, "a", "a", "b", {}, "to bitbucket", "a"),
    ("only the other side moved: revert the cell", B, "a", "b", "a", {}, "to airtable", "a"),
    ("only the other side moved, ignore: tolerated", A, "a", "a", "b", IGNORE, "tolerate", None),
    ("only the other side moved, alert: tolerated", A, "a", "a", "b", ALERT, "tolerate", None),
    ("tolerated before: nothing", A, "a", "a", "b", IGNORE | {"tolerated": "b"}, "nothing", None),
    ("tolerated, then moved again: tolerated again", A, "a", "a", "c", IGNORE | {"tolerated": "b"}, "tolerate", None),
    ("tolerated until the owner moves", A, "a", "x", "b", IGNORE | {"tolerated": "b"}, "to bitbucket", "x"),
    ("both moved: the owner wins (airtable)", A, "a", "b", "c", {}, "to bitbucket", "b"),
    ("both moved: the owner wins (bitbucket)", B, "a", "b", "c", {}, "to airtable", "c"),
    ("both moved: the owner wins although foreign edits are ignored", A, "a", "b", "c", IGNORE, "to bitbucket", "b"),
    ("both moved, owner both, ask: conflict", BOTH, "a", "b", "c", {}, "conflict", None),
    ("first contact, both full: the owner wins", A, UNKNOWN, "b", "c", {}, "to bitbucket", "b"),
    ("first contact, both full, owner bitbucket", B, UNKNOWN, "b", "c", {}, "to airtable", "c"),
    ("first contact, both full, owner both: conflict", BOTH, UNKNOWN, "b", "c", {}, "conflict", None),
    ("first contact, the owner's side full: across", A, UNKNOWN, "b", None, {}, "to bitbucket", "b"),
    ("first contact, the owner's side empty: nothing", A, UNKNOWN, None, "c", {}, "nothing", None),
    ("first contact, the owner's side empty: nothing cleared", B, UNKNOWN, "b", None, {}, "nothing", None),
    ("first contact, the owner's side empty, adopt", A, UNKNOWN, None, "c", {"adopt": True}, "to airtable", "c"),
    ("adopt works once", A, UNKNOWN, None, "c", {"adopt": True, "further": True}, "nothing", None),
    ("adopt does not overrule the owner", A, UNKNOWN, "b", "c", {"adopt": True}, "to bitbucket", "b"),
    ("first contact, owner both, airtable empty: copy", BOTH, UNKNOWN, None, "c", {}, "to airtable", "c"),
    ("first contact, owner both, bitbucket empty: copy", BOTH, UNKNOWN, "b", None, {}, "to bitbucket", "b"),
    (
        "further pull request, owner both: from airtable",
        BOTH,
        UNKNOWN,
        "b",
        "c",
        {"further": True},
        "to bitbucket",
        "b",
    ),
    ("further pull request, airtable empty: nothing", BOTH, UNKNOWN, None, "c", {"further": True}, "nothing", None),
    ("sets merge per element", BOTH, ["a", "b"], ["a", "c"], ["a", "b", "d"], {}, "both", ["a", "c", "d"]),
    ("sets merge to one side only", BOTH, ["a"], ["a", "b", "c"], ["a", "b"], {}, "to bitbucket", ["a", "b", "c"]),
    ("sets, one side emptied and the other added", BOTH, ["a"], None, ["a", "b"], {}, "both", ["b"]),
    ("sets at first contact are united", BOTH, UNKNOWN, ["a"], ["b"], {}, "both", ["a", "b"]),
]


@pytest.mark.parametrize(
    ("owner", "agreed", "airtable", "bitbucket", "more", "what", "wanted"),
    [row[1:] for row in ROWS],
    ids=[row[0] for row in ROWS],
)
def test_per_field(
    owner: Owner, agreed: Any, airtable: Any, bitbucket: Any, more: dict[str, Any], what: str, wanted: Any
) -> None:
    found, decided = outcome(decide(owner, agreed, airtable, bitbucket, **more))
    assert found == what
    if found not in ("conflict", "tolerate", "nothing"):
        assert decided == val(wanted)


TIMES: list[tuple[str, float | None, float | None, str]] = [
    ("airtable's edit is newer", 20, 10, "to bitbucket"),
    ("bitbucket's edit is newer", 10, 20, "to airtable"),
    ("too close to tell", 10, 12, "conflict"),
    ("just beyond the tolerance", 10, 12.1, "to airtable"),
    ("airtable's time is not known", None, 20, "conflict"),
    ("bitbucket's time is not known", 20, None, "conflict"),
]


@pytest.mark.parametrize(("airtable", "bitbucket", "what"), [row[1:] for row in TIMES], ids=[row[0] for row in TIMES])
def test_newest_decides(airtable: float | None, bitbucket: float | None, what: str) -> None:
    edited = EditTimes(
        airtable=None if airtable is None else at(airtable), bitbucket=None if bitbucket is None else at(bitbucket)
    )
    assert outcome(decide(BOTH, "a", "b", "c", edited=edited, **NEWEST))[0] == what


def test_ask_does_not_look_at_times() -> None:
    edited = EditTimes(airtable=at(1), bitbucket=at(50))
    assert outcome(decide(BOTH, "a", "b", "c", edited=edited))[0] == "conflict"


def test_an_open_conflict_stays_although_one_side_went_back() -> None:
    open_conflict = OpenConflict(airtable=val("b"), bitbucket=val("c"))
    assert outcome(decide(BOTH, "a", "a", "c", conflict=open_conflict))[0] == "conflict"


def test_an_open_conflict_ends_when_the_sides_are_equal() -> None:
    open_conflict = OpenConflict(airtable=val("b"), bitbucket=val("c"))
    assert outcome(decide(BOTH, "a", "c", "c", conflict=open_conflict)) == ("agree", val("c"))


@pytest.mark.parametrize(
    ("winner", "what", "wanted"), [(Side.AIRTABLE, "to bitbucket", "b"), (Side.BITBUCKET, "to airtable", "c")]
)
def test_a_persons_decision_is_carried_out(winner: Side, what: str, wanted: str) -> None:
    decided = OpenConflict(airtable=val("b"), bitbucket=val("c"), winner=winner)
    decision = decide(BOTH, "a", "b", "c", conflict=decided)
    assert outcome(decision) == (what, val(wanted))
    assert decision.kind is Kind.RESOLVE


def test_a_decision_between_other_values_is_asked_again() -> None:
    decided = OpenConflict(airtable=val("b"), bitbucket=val("c"), winner=Side.AIRTABLE)
    assert "decided" in decide(BOTH, "a", "x", "c", conflict=decided).conflict


FOREIGN: list[tuple[str, Owner, Any, Any, Any, dict[str, Any], Side | None]] = [
    ("a reverted edit is told", A, "a", "a", "b", {}, Side.BITBUCKET),
    ("a tolerated edit is told", A, "a", "a", "b", IGNORE, Side.BITBUCKET),
    ("the losing edit of two is told", B, "a", "b", "c", {}, Side.AIRTABLE),
    ("the owner's edit is none", A, "a", "b", "a", {}, None),
    ("first contact is none", A, UNKNOWN, "b", "c", {}, None),
    ("an edit told before is not told again", A, "a", "x", "b", IGNORE | {"tolerated": "b"}, None),
]


@pytest.mark.parametrize(
    ("owner", "agreed", "airtable", "bitbucket", "more", "side"),
    [row[1:] for row in FOREIGN],
    ids=[row[0] for row in FOREIGN],
)
def test_foreign_edits(
    owner: Owner, agreed: Any, airtable: Any, bitbucket: Any, more: dict[str, Any], side: Side | None
) -> None:
    assert decide(owner, agreed, airtable, bitbucket, **more).foreign is side
