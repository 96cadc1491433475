"""The status machine: what a person may do to the cell, and where the work moves it. SPEC section 3, "Status"."""

from collections.abc import Callable
from dataclasses import dataclass

from syncd.model.change import Kind, Owner
from syncd.model.value import NOTHING, Text, Unknown, Value
from syncd.spec.rules import ForeignEditRule, StatusRules, Transition

# True, False, or why it cannot be told. The second argument is the status that the condition sees.
Holds = Callable[[Transition, str], bool | Unknown]


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """Where the machine came to, by which edges; `pending` or `held` say why it stopped before the end."""

    path: tuple[str, ...]
    edges: tuple[Transition, ...] = ()
    pending: str = ""
    held: str = ""

    @property
    def target(self) -> str:
        """The last state."""
        return self.path[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    What becomes of the status of one record.

    Args:
        state: the machine's state afterwards; None when the cell left the machine.
        write: the state to be written; None when the cell may stay.
        agree: the state to be remembered without a write.
        path, edges: how a written state was reached.
        illegal: the edit is not allowed: why, in words for the note. `tolerate`: it is left alone all the same.
        outside: why the cell is not in the machine.
        certain: False when a condition on the way is unknown.
    """

    state: str | None
    write: str | None = None
    kind: Kind = Kind.STATUS
    reason: str = ""
    agree: str | None = None
    path: tuple[str, ...] = ()
    edges: tuple[Transition, ...] = ()
    illegal: str = ""
    tolerate: bool = False
    outside: str = ""
    pending: str = ""
    held: str = ""

    @property
    def certain(self) -> bool:
        """Whether `state` is where the machine really stands."""
        return not self.pending and not self.held


def decide(rules: StatusRules, agreed: Value | Unknown, cell: Value, holds: Holds) -> Verdict:
    """
    The six cases.

    Args:
        agreed: the state that was agreed last; `Unknown` when none was, or it is not to be believed.
        cell: what Airtable holds now.
        holds: evaluates an edge's condition.
    """
    shown = cell.key if isinstance(cell, Text) else ""
    last = agreed.key if isinstance(agreed, Text) and agreed.key in rules.states else None
    if last is None and cell is NOTHING:
        return _written(_follow(rules, rules.initial, holds), shown, "", fresh=True)  # case 1, empty
    if shown not in rules.states:
        return _outside(rules, shown)  # case 2
    if last is None:
        return _written(_follow(rules, shown, holds), shown, "")  # case 1
    followed = _follow(rules, last, holds)  # case 3
    if shown == followed.target and not followed.held:
        return Verdict(state=shown, agree=shown, pending=followed.pending)  # case 4
    if shown == last:
        return _written(followed, shown, last)
    return _edited(rules, last, shown, followed, holds)


def _edited(rules: StatusRules, last: str, shown: str, followed: Followed, holds: Holds) -> Verdict:
    """A person changed the cell: cases 5 and 6."""
    allowed, closed, pending = _reach(rules, last, shown, holds)
    if allowed:
        return _written(_follow(rules, shown, holds), shown, last)
    if pending or followed.pending or followed.held:
        # The machine may be on its way to just that state, or the gate may be open.
        return Verdict(state=last, pending=pending or followed.pending, held=followed.held)
    why = _why_illegal(rules, last, shown, closed)
    if rules.illegal_edit is ForeignEditRule.REVERT:
        return Verdict(
            state=followed.target,
            write=followed.target,
            kind=Kind.ILLEGAL_EDIT,
            reason=why,
            path=followed.path,
            edges=followed.edges,
            illegal=why,
        )
    if followed.target == last:
        return Verdict(state=last, illegal=why, tolerate=True)
    # The edit was left alone until the work moved on: now it has.
    return _written(followed, shown, shown)


def _written(followed: Followed, shown: str, last: str, *, fresh: bool = False) -> Verdict:
    """The machine's own movement from what the cell holds (or from the agreed state, which it holds)."""
    if followed.held:
        # Held as a whole: no step of a circle is better than another.
        start = followed.path[0]
        return Verdict(state=start, agree=start if shown == start and last != start else None, held=followed.held)
    if followed.target == shown:
        return Verdict(state=shown, agree=shown, pending=followed.pending)
    edge = followed.edges[-1] if followed.edges else None
    reason = f"an empty status counts as {followed.target}" if edge is None else _because(edge)
    return Verdict(
        state=followed.target,
        write=followed.target,
        reason=reason,
        agree=None if fresh or last == shown else shown,
        path=followed.path,
        edges=followed.edges,
        pending=followed.pending,
    )


def _follow(rules: StatusRules, start: str, holds: Holds) -> Followed:
    """Along the edges of Bitbucket and release whose condition holds, first declared first, each state once."""
    path, edges = [start], list[Transition]()
    # Which edge was taken out of a state: named when the way leads back into it.
    left: dict[str, Transition] = {}
    while True:
        step: Transition | None = None
        for edge in rules.transitions:
            if path[-1] not in edge.sources or edge.owner is Owner.AIRTABLE or edge.target == path[-1]:
                continue
            if edge.when is None:
                continue  # a release edge without a condition: only a command fires it
            answer = holds(edge, path[-1])
            if isinstance(answer, Unknown):
                return Followed(path=tuple(path), edges=tuple(edges), pending=answer.reason)
            if answer:
                step = edge
                break
        if step is None:
            return Followed(path=tuple(path), edges=tuple(edges))
        if step.target in path:
            return Followed(path=tuple(path), edges=tuple(edges), held=_circle(left[step.target], step))
        left[path[-1]] = step
        path.append(step.target)
        edges.append(step)


def _reach(rules: StatusRules, start: str, goal: str, holds: Holds) -> tuple[bool, str, str]:
    """
    Whether edges of Airtable lead from one state to another.

    Returns:
        Whether they do; else the condition of a gate that is closed on the way (""), and why one is unknown ("").
    """
    seen, open_states = {start}, [start]
    closed = pending = ""
    while open_states:
        state = open_states.pop(0)
        for edge in rules.transitions:
            if edge.owner is not Owner.AIRTABLE or state not in edge.sources or edge.target in seen:
                continue
            answer = holds(edge, state)
            if isinstance(answer, Unknown):
                pending = pending or answer.reason
            elif not answer:
                if edge.target == goal and edge.when is not None:
                    closed = closed or edge.when.source
            elif edge.target == goal:
                return True, "", ""
            else:
                seen.add(edge.target)
                open_states.append(edge.target)
    return False, closed, pending


def _outside(rules: StatusRules, shown: str) -> Verdict:
    found = f'"{shown}" is not one of its states' if shown else "is empty"
    return Verdict(
        state=None,
        outside=f'"{rules.field.name}" {found}: {", ".join(rules.states)}. syncd waits until it is one of them',
    )


def _why_illegal(rules: StatusRules, last: str, shown: str, closed: str) -> str:
    if closed:
        return f'from "{last}" to "{shown}" only while this holds: {closed}'
    allowed = [edge.target for edge in rules.transitions if edge.owner is Owner.AIRTABLE and last in edge.sources]
    people = ", ".join(dict.fromkeys(allowed)) or "nothing"
    return f'from "{last}" to "{shown}" is not a step that people make here; from "{last}" they may choose: {people}'


def _because(edge: Transition) -> str:
    return f"{edge.key}: {edge.when.source}" if edge.when is not None else edge.key


def _circle(first: Transition, second: Transition) -> str:
    return (
        f'"{second.target}" would be entered twice: {first.key} leads out of it and {second.key} back into it, and both '
        "conditions hold"
    )
