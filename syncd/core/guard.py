"""May this plan go out? Mass changes and emptied sides; pure. SPEC section 3, "Safety"."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.core import mapping
from syncd.core.draft import shown
from syncd.model import value
from syncd.model.change import CreateBranch, Kind, RecordPlan, Write
from syncd.model.ids import RecordId
from syncd.model.situation import Situation
from syncd.model.value import NOTHING, Unknown
from syncd.model.work import List
from syncd.spec.rules import GuardRules

_LARGEST = 10
# Our own columns and the link field say what syncd knows; they take nothing from anybody.
_OWN = frozenset({Kind.COLUMN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """One record that was changed earlier, and how many of its values were emptied then."""

    record: RecordId
    at: datetime
    clears: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    Whether a plan may go out.

    Args:
        reasons: why not, with the numbers; empty when it may.
        changed: distinct records changed, in the window and the plan.
        clears: values emptied, likewise.
        changes_max, clears_max: what is allowed without a person.
        largest: the ten largest changes as text, most first; empty when the plan may go out.
    """

    reasons: tuple[str, ...]
    changed: int
    clears: int
    changes_max: int
    clears_max: int
    largest: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether it may go out."""
        return not self.reasons


def check(
    plans: Sequence[RecordPlan],
    linked: int,
    recent: Iterable[Recent],
    rules: GuardRules,
    now: datetime,
) -> Verdict:
    """
    The guard against mass changes.

    Args:
        plans: the plan at hand.
        linked: how many records of the sync are linked.
        recent: what was changed before; older than the window does not count, and a time ahead of `now` does (CL02).

    Returns:
        A refusal names every limit that is passed, and the ten largest changes.
    """
    changed: set[RecordId] = set()
    clears = 0
    for earlier in recent:
        if now - earlier.at < rules.window:
            changed.add(earlier.record)
            clears += earlier.clears
    for plan in plans:
        if is_change(plan):
            changed.add(plan.record)
        clears += clears_of(plan)
    changes_max, clears_max = limit(rules.changes, linked, rules), limit(rules.clears, linked, rules)
    at_hand = [plan for plan in plans if is_change(plan)]
    reasons: list[str] = []
    if at_hand:
        window = f"within {_minutes(rules)} minutes"
        if len(changed) > changes_max:
            reasons.append(
                f"{len(changed)} records would be changed {window}, of {linked} linked; allowed are {changes_max}"
            )
        if clears > clears_max and any(clears_of(plan) for plan in at_hand):
            reasons.append(
                f"{clears} values would be emptied {window}, of {linked} linked records; allowed are {clears_max}"
            )
    return Verdict(
        reasons=tuple(reasons),
        changed=len(changed),
        clears=clears,
        changes_max=changes_max,
        clears_max=clears_max,
        largest=largest(plans) if reasons else (),
    )


def emptied_side(known: int, present: int, what: str, rules: GuardRules) -> str:
    """
    Why a complete listing is not to be believed; "" when it is.

    Args:
        known: how many were known before, e.g. records of the sync.
        present: how many of those the listing still holds.
        what: what is listed, for people.
    """
    gone = known - present
    allowed = limit(rules.clears, known, rules)
    if gone <= allowed:
        return ""
    return f"{gone} of {known} known {what} are missing from what was read completely; {allowed} may go without a person's word"


def emptied_work(situations: Iterable[Situation], linked: int, rules: GuardRules) -> str:
    """
    Why Bitbucket's side is not to be believed: all work of too many linked records is gone at once; "" when it is.

    Args:
        situations: of the records at hand.
        linked: how many records of the sync are linked, those at hand among them.
    """
    known = gone = 0
    for situation in situations:
        if not situation.remembered:
            continue
        work = situation.work
        unknown = List.PULL_REQUESTS in work.incomplete or List.BRANCHES in work.incomplete
        known += 1
        gone += not (unknown or work.pull_requests or work.branches)
    known = max(known, linked)
    return emptied_side(known, known - gone, "records with work", rules)


def limit(share: float, linked: int, rules: GuardRules) -> int:
    """max(floor, share of the linked records), rounded down."""
    # A share is a percentage: whole numbers keep 30 % of 10 at 3.
    return max(rules.floor, round(share * 100) * linked // 100)


def is_change(plan: RecordPlan) -> bool:
    """Whether the plan changes the record or its work; columns about the daemon itself do not count."""
    return bool(plan.actions) or any(write.kind not in _OWN for write in plan.writes)


def clears_of(plan: RecordPlan) -> int:
    """Values emptied by the plan: a cell or attribute counts one, a set each name that goes."""
    return sum(mapping.removed(write.before, write.after) for write in plan.writes if write.kind not in _OWN)


def holds_emptied(situation: Situation) -> bool:
    """
    Whether a cell is empty that held an agreed value: a person's edit, or what a changed field or a deleted option left
    behind, which nobody meant (reliability.md SD03, SD05).
    """
    return any(
        agreed is not NOTHING and situation.record.cells.get(key.field) is NOTHING and key not in situation.tolerated
        for key, agreed in situation.agreed.items()
    )


def largest(plans: Sequence[RecordPlan]) -> tuple[str, ...]:
    """The ten largest changes as lines for people: most values emptied first, then most changes, then by record."""
    changed = [plan for plan in plans if is_change(plan)]
    changed.sort(key=lambda plan: (-clears_of(plan), -plan.changes, plan.record))
    return tuple(_line(plan) for plan in changed[:_LARGEST])


def _line(plan: RecordPlan) -> str:
    parts = [_told(write) for write in plan.writes if write.kind not in _OWN]
    parts += [f"new {'branch' if isinstance(action, CreateBranch) else 'pull request'}" for action in plan.actions]
    return f"{plan.record}: {'; '.join(parts)}"


def _told(write: Write) -> str:
    before = "unknown" if isinstance(write.before, Unknown) else shown(write.before)
    return f"{write.what}: {before} → {shown(write.after) if write.after is not NOTHING else 'empty'}"


def _minutes(rules: GuardRules) -> str:
    return str(value.plain(value.number(rules.window.total_seconds() / 60, 1)))
