"""A record, its work, what was agreed, and the instant, read together: all that a plan is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syncd.model.change import AgreedKey, Side
from syncd.model.ids import FieldId, PullRequestKey, RecordId, SyncName
from syncd.model.record import Record
from syncd.model.value import Value
from syncd.model.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """
    Something that is not written to for now.

    Args:
        field: the held field; None holds the whole record.
        until: when it ends by itself; None: when a person releases it.
    """

    record: RecordId
    field: FieldId | None
    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenConflict:
    """A conflict as it was found. `winner` is the side that a person chose; None while nobody has."""

    airtable: Value
    bitbucket: Value
    winner: Side | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """
    What an action made for this record, once and for ever.

    Args:
        object: the branch's name or the pull request's key as text; "" in a commit means: nothing was made, forget it.
        intended: sent, the outcome is not known yet.
    """

    rule: str
    object: str
    intended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EditTimes:
    """When each side's value was edited by the service's own account of it; None: not known, or after a gap."""

    airtable: datetime | None = None
    bitbucket: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """
    Everything that decides about one record.

    Args:
        sync: the sync whose rules apply.
        record: the row as read in this pass.
        in_scope: in the view and `where` true. Out of scope nothing is written.
        work: work that is linked to the record, read completely or marked as incomplete.
        records_of: for each pull request in `work`: all records that it is linked to, this one included.
        remembered: pull requests whose link to this record the state already holds.
        agreed: what both sides last had in common; a missing key was never agreed.
        tolerated: foreign values that are left alone.
        conflicts: conflicts that are open or were decided by a person and not yet carried out.
        holds: of this record and its fields.
        made: what actions made for it, by rule.
        accepted: fingerprints of the rules that somebody accepted (`rules.FieldRule.fingerprint`, …).
        edited: when the sides' values were edited, for `conflict = "newest"`.
        parked: the service's refusal that this record waits on, or "".
        now: the instant of the pass.
    """

    sync: SyncName
    record: Record
    work: Work
    now: datetime
    in_scope: bool = True
    records_of: Mapping[PullRequestKey, tuple[RecordId, ...]] = field(default_factory=dict)
    remembered: frozenset[PullRequestKey] = frozenset()
    agreed: Mapping[AgreedKey, Value] = field(default_factory=dict)
    tolerated: Mapping[AgreedKey, Value] = field(default_factory=dict)
    conflicts: Mapping[AgreedKey, OpenConflict] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    made: Mapping[str, Made] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    edited: Mapping[AgreedKey, EditTimes] = field(default_factory=dict)
    parked: str = ""
