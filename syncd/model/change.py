"""A plan and its parts: what would change, on which side, by which rule, and why. Values only; nothing here acts."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum

from syncd.model.ids import FieldId, PullRequestKey, RecordId, RepositoryId, SyncName
from syncd.model.value import Unknown, Value


class Side(Enum):
    """One of the two services."""

    AIRTABLE = "airtable"
    BITBUCKET = "bitbucket"


class Owner(Enum):
    """Whose word counts, for a field or for a transition (`RELEASE`: a release manager's command, or a rule by itself)."""

    AIRTABLE = "airtable"
    BITBUCKET = "bitbucket"
    BOTH = "both"
    RELEASE = "release"
    SYNCD = "syncd"  # the daemon's own columns and the link field


class Priority(IntEnum):
    """Lower goes out first."""

    STATUS = 0
    CRITICAL = 1
    NORMAL = 2
    LOW = 3


class Kind(Enum):
    """What a write is for, in the words of SPEC section 3."""

    COPY = "copy"  # the owner's (or the moved) side across
    REVERT = "revert"  # a foreign edit put right
    FIRST_CONTACT = "first contact"  # never agreed before
    ADOPT = "adopt"  # the other side's value taken over, once
    RESOLVE = "resolve"  # a person decided a conflict
    STATUS = "status"  # the status machine moved the cell
    ILLEGAL_EDIT = "illegal edit"  # the status cell put back
    LINK = "link"  # the link field shows the primary
    COLUMN = "column"  # a column about the daemon itself


class RecordState(Enum):
    """One word for a record, as it stands in the state column, on the page and in `GET /status`."""

    OK = "ok"
    PENDING = "pending"
    HELD = "held"
    CONFLICT = "conflict"
    REFUSED = "refused"
    ERROR = "error"
    OUT_OF_SCOPE = "out of scope"


@dataclass(frozen=True, slots=True, order=True)
class AgreedKey:
    """Where an agreed value stands: a field, and for a two-way or pull request field the pull request it agreed with."""

    field: FieldId
    pull_request: PullRequestKey | None = None


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A cell of the record that the write belongs to."""

    field: FieldId


@dataclass(frozen=True, slots=True, order=True)
class Attribute:
    """A writable attribute of one pull request: title, description, destination_branch, draft."""

    pull_request: PullRequestKey
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """
    One value to be put in one place.

    Args:
        what: the place in words: the field's name, or "pr.title".
        before: what is there now, in full: the journal keeps it for a rollback.
        rule: the key path of the spec rule, e.g. `fields."Name"` or `status.transitions[3]`.
        reason: for people: which side moved, which condition holds.
        agrees: the agreed value that this write brings about; None when it brings about none.
        path: of a status write: the states passed, first and last included.
        adoption: the rule was never accepted: shown, and sent only by `syncd apply`.
    """

    record: RecordId
    target: Cell | Attribute
    what: str
    before: Value | Unknown
    after: Value
    owner: Owner
    kind: Kind
    rule: str
    reason: str
    priority: Priority = Priority.NORMAL
    agrees: AgreedKey | None = None
    path: tuple[str, ...] = ()
    adoption: bool = False

    @property
    def side(self) -> Side:
        """The side that is written to."""
        return Side.AIRTABLE if isinstance(self.target, Cell) else Side.BITBUCKET


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBranch:
    """A branch to be made once per (rule, record); looked for by record id before it is made."""

    record: RecordId
    rule: str
    reason: str
    repository: RepositoryId
    name: str
    start: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePullRequest:
    """A pull request to be made once per (rule, record); looked for by its branches in all states before it is made."""

    record: RecordId
    rule: str
    reason: str
    repository: RepositoryId
    source: str
    destination: str
    title: str
    description: str
    draft: bool


Action = CreateBranch | CreatePullRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A field that both sides changed and no rule decides. Held until a person does, or the sides are equal again."""

    record: RecordId
    field: FieldId
    what: str
    pull_request: PullRequestKey | None
    airtable: Value
    bitbucket: Value
    rule: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that a rule does not allow, for one field or (None) for the whole record, in words for the note column."""

    record: RecordId
    field: FieldId | None
    rule: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignEdit:
    """An edit on the side that does not own the field. `treatment` is revert, ignore or alert."""

    record: RecordId
    field: FieldId
    what: str
    side: Side
    value: Value
    owner_value: Value
    rule: str
    treatment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """An agreed value that is to be remembered, or (`value` None) forgotten, without a write."""

    key: AgreedKey
    value: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """A foreign value that is left alone until the owner moves; None: no longer."""

    key: AgreedKey
    value: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLink:
    """A link to be remembered. `evidence` is branch, title, commit, url or action."""

    record: RecordId
    pull_request: PullRequestKey
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMade:
    """What an action would make exists already: remembered as made, so that it is never made again. As `situation.Made`."""

    record: RecordId
    rule: str
    object: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlan:
    """
    All that is to be done, remembered or told for one record.

    Args:
        status: the state of the status machine after this plan; None when there is none or the cell left the machine.
        pending: why something could not be decided, one sentence each.
        held: why something is not written to, one sentence each.
        clears: values emptied by the writes, for the guard.
        wake_at: when a condition on the clock may change next.
    """

    record: RecordId
    state: RecordState
    note: str = ""
    writes: tuple[Write, ...] = ()
    actions: tuple[Action, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    foreign_edits: tuple[ForeignEdit, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    links: tuple[NewLink, ...] = ()
    made: tuple[NewMade, ...] = ()
    status: str | None = None
    pending: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    linked: bool = False
    wake_at: datetime | None = None

    @property
    def changes(self) -> int:
        """How many writes and actions this plan holds."""
        return len(self.writes) + len(self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plans of one sync's records, ordered by record id, made from one spec at one instant."""

    sync: SyncName
    spec_hash: str
    at: datetime
    records: tuple[RecordPlan, ...]
