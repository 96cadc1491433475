"""
What both sides must hold once nothing moves any more: computed from the spec and the true state alone (I01, I11).

It shares no line with `core`: only the spec's rules and its expression language. Where SPEC leaves several outcomes open
(a field that was never agreed, a value that may be tolerated) it says nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncd.model.change import Owner
from syncd.simulate.truth import UNJUDGED, Truth, Work, norm, unjudged
from syncd.spec.expression import ExpressionError
from syncd.spec.rules import CreateBranchRule, FieldRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as it must be. `invariant`: I01 for values, I11 for what a rule makes."""

    invariant: str
    record: str
    what: str
    expected: Any
    found: Any


@dataclass(slots=True, kw_only=True)
class Moves:
    """
    When people last moved each place, from the services' own logs, and which records ever had work.

    Args:
        tolerant: fields whose foreign edits were left alone under a spec that was in force; they are until the owner moves.
    """

    at: dict[tuple[str, str], datetime] = field(default_factory=dict)
    had_branch: set[str] = field(default_factory=set)
    had_pull_request: set[str] = field(default_factory=set)
    wrote: set[tuple[str, str]] = field(default_factory=set)
    tolerant: set[str] = field(default_factory=set)

    def after(self, place: str, attribute: str, record: str, cell: str) -> bool:
        """Whether the pull request's attribute was moved by a person after the cell was, or nearly so."""
        there, here = self.at.get((place, attribute)), self.at.get((record, cell))
        if there is None:
            return False
        return here is None or (there - here).total_seconds() > -60


def differences(
    truth: Truth, moved: Moves, excused: frozenset[str], conflicts: frozenset[tuple[str, str]]
) -> list[Difference]:
    """
    Everything that is not as it must be.

    Args:
        excused: records, or "record/field name", about which nothing is said (held, parked, drifted).
        conflicts: (record, field id) with an open conflict.
    """
    found: list[Difference] = []
    for record, work in truth.work.items():
        if record in excused or not _in_scope(truth, work):
            continue
        hold = truth.rules.columns.hold
        if hold is not None and work.scope["record"].get(hold.name):
            continue
        for rule in truth.rules.fields:
            if f"{record}/{rule.field.name}" in excused or (record, rule.field.id) in conflicts:
                continue
            found += _field(truth, record, work, rule, moved)
        if truth.rules.link.url is not None and work.primary is not None:
            name = next(one.name for one in truth.rules.table_fields.values() if one.id == truth.rules.link.url)
            if f"{record}/{name}" not in excused:
                found += _url(truth, record, name, work)
        found += _status(truth, record, work, excused)
        found += _actions(truth, record, work, moved)
    return found


def _url(truth: Truth, record: str, name: str, work: Work) -> list[Difference]:
    """A renamed repository answers under its old addresses too: they are followed, and need not be written anew."""
    pr, shown_url = work.primary, str(work.scope["record"].get(name) or "")
    assert pr is not None  # the caller's condition
    called = [known for known, id in truth.names.items() if id == pr.repository.uuid]
    if any(shown_url == f"https://bitbucket.org/{known}/pull-requests/{pr.id}" for known in called):
        return []
    return _unless_equal("I01", record, name, work.scope["pr"]["url"], shown_url)


def _in_scope(truth: Truth, work: Work) -> bool:
    try:
        if truth.rules.where is not None and unjudged(truth.rules.where):
            return False
        return truth.rules.where is None or bool(truth.rules.where.evaluate(work.scope))
    except ExpressionError:
        return False


def _field(truth: Truth, record: str, work: Work, rule: FieldRule, moved: Moves) -> list[Difference]:
    name, cell, primary = rule.field.name, work.scope["record"].get(rule.field.name), work.primary
    if rule.value is not None:
        if unjudged(rule.value) or not (work.pull_requests or work.branches):
            return []
        return _unless_equal("I01", record, name, rule.value.evaluate(work.scope), cell)
    kind, _, key = (rule.attribute or "").partition(".")
    if kind == "commit" or rule.attribute in UNJUDGED:
        return []
    if not (rule.writable and rule.owner in (Owner.AIRTABLE, Owner.BOTH)):
        has = {"pr": primary is not None, "build": work.scope["build"]["state"] is not None}.get(kind, True)
        if not has:
            return []
        raw = work.scope[kind][key]
        if norm(raw) is None and (record, rule.field.id) not in moved.wrote:
            return []  # never agreed: nothing is cleared before the owner had a value
        if rule.map and _key(raw) not in rule.map:
            return []  # the spec does not say how it is shown: syncd says that, and writes nothing
        return _unless_equal("I01", record, name, rule.map[_key(raw)] if rule.map else raw, cell)
    if primary is None:
        return []
    targets = [primary]
    if rule.each and primary.state == "OPEN":
        targets = [pr for pr in work.pull_requests if pr.state == "OPEN"]
    found: list[Difference] = []
    for pr in targets:
        lead, owners = truth.lead(pr), truth.belongs(pr)
        mine = lead == record or (lead is None and owners <= {record})
        if pr.state != "OPEN" or not mine or norm(cell) is None:
            continue
        held = truth.attributes(pr)[key]
        if rule.map:
            if _key(held) not in rule.map or cell not in rule.map.values():
                continue
            held = rule.map[_key(held)]
        if rule.field.id in moved.tolerant and rule.owner is Owner.AIRTABLE:
            place = f"{pr.repository.full_name}#{pr.id}"
            # Tolerated: the other side's edit came last, or too close to tell which was seen first.
            if moved.after(place, key, record, rule.field.id):
                continue
        wanted = " ".join(str(cell).split()) if key == "title" else cell
        found += _unless_equal("I01", record, f"{name} on #{pr.id}", wanted, held)
    return found


def _key(raw: Any) -> str:
    """A value of Bitbucket as a map names it."""
    return str(raw).lower() if isinstance(raw, bool) else str(raw)


def _status(truth: Truth, record: str, work: Work, excused: frozenset[str]) -> list[Difference]:
    status = truth.rules.status
    if status is None or f"{record}/{status.field.name}" in excused:
        return []
    cell = work.scope["record"].get(status.field.name)
    if cell is None:
        return [Difference(invariant="I01", record=record, what=status.field.name, expected=status.initial, found=None)]
    for edge in status.transitions:
        if edge.owner is Owner.AIRTABLE or edge.when is None or cell not in edge.sources or edge.target == cell:
            continue
        if not unjudged(edge.when) and edge.when.evaluate(work.scope):
            what = f"{status.field.name} ({edge.key} holds)"
            return [Difference(invariant="I01", record=record, what=what, expected=edge.target, found=cell)]
    return []


def _actions(truth: Truth, record: str, work: Work, moved: Moves) -> list[Difference]:
    found: list[Difference] = []
    for rule in truth.rules.actions:
        if (
            unjudged(rule.when)
            or not rule.when.evaluate(work.scope)
            or (record in moved.had_branch and isinstance(rule, CreateBranchRule))
        ):
            continue
        if isinstance(rule, CreateBranchRule):
            place = truth.rules.create_in
            chosen = work.scope["record"].get(place.field) if place is not None and place.field else "here"
            if chosen and not work.branches:
                found.append(Difference(invariant="I11", record=record, what=rule.key, expected="a branch", found=None))
        elif truth.mergeable(work, rule.into) and norm(work.scope["name"]) is not None:
            had = work.pull_requests or record in moved.had_pull_request
            if not had:
                found.append(
                    Difference(invariant="I11", record=record, what=rule.key, expected="a pull request", found=None)
                )
    return found


def _unless_equal(invariant: str, record: str, what: str, expected: Any, found: Any) -> list[Difference]:
    left, right = norm(expected), norm(found)
    if isinstance(left, tuple) and isinstance(right, str):
        right = tuple(sorted(right.split(", ")))  # a list in a text field
    if left == right or (isinstance(left, str) and isinstance(right, str) and _cut(left, right)):
        return []
    return [Difference(invariant=invariant, record=record, what=what, expected=expected, found=found)]


def _cut(left: str, right: str) -> bool:
    """Whether one is the other, cut with a visible ellipsis (BB28)."""
    short, long = sorted((left, right), key=len)
    return short.endswith("…") and len(short) > 150 and long.startswith(short[:-1].rstrip())
