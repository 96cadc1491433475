"""
The spec, resolved and frozen: all that core and flow read. Ids, not names, travel from here on.

A rule's `fingerprint` changes when its meaning does (place, owner, scope). The state remembers which fingerprints a
person has accepted; a rule with another one is in adoption (SPEC section 3).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from syncd.model.change import Owner, Priority
from syncd.model.ids import AccountId, BaseId, FieldId, RepositoryId, SyncName, TableId, ViewId
from syncd.model.schema import Field, Repository
from syncd.spec.expression import Expression, Template
from syncd.spec.secret import Secret


class ForeignEditRule(Enum):
    """What happens to an edit on the side that does not own a field."""

    REVERT = "revert"
    IGNORE = "ignore"
    ALERT = "alert"


class ConflictRule(Enum):
    """How a field with owner both is decided when both sides moved."""

    ASK = "ask"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """
    The table [daemon]. Addresses are "host:port" or "unix:/path".

    Args:
        state: path of the state file, resolved.
        public_url: where the services reach `hooks`, without a trailing slash; "" makes the daemon poll.
        retain_events, retain_journal: how long raw deliveries and journal rows are kept.
    """

    state: str
    admin: str
    hooks: str
    public_url: str = ""
    poll: timedelta = timedelta(minutes=2)
    compare_every: timedelta = timedelta(minutes=15)
    repair_within: timedelta = timedelta(minutes=30)
    retain_events: timedelta = timedelta(days=7)
    retain_journal: timedelta = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class AirtableConnection:
    """One table [airtable.x]. `share` is the part of every limit that syncd may use, 0 to 1; `month` is in calls."""

    name: str
    base: BaseId
    token: Secret
    url: str = "https://api.airtable.com"
    month: int | None = None
    share: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One entry of [[bitbucket.x.sources]]. `repositories` holds slugs, once resolved the present ones, or None for all."""

    repositories: tuple[str, ...] | None
    events: tuple[str, ...]
    secrets: tuple[Secret, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BitbucketConnection:
    """One table [bitbucket.x]. With `user` the token is an API token (HTTP Basic), else an access token (Bearer)."""

    name: str
    workspace: str
    token: Secret
    user: str = ""
    url: str = "https://api.bitbucket.org/2.0"
    hour: int = 1000
    share: float = 0.8
    bots: tuple[AccountId, ...] = ()
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateIn:
    """Where new work is made: the record's `field` chooses by `choices`; `only` when every record has the same place."""

    field: FieldId | None
    choices: Mapping[str, RepositoryId]
    only: RepositoryId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRules:
    """How work is tied to a record. `title` is the prefix of a pull request's title; `url` the link field."""

    branch: Template
    title: Template | None
    url: FieldId | None
    forks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """
    One mapped field.

    Args:
        key: the key path below the sync, e.g. `fields."Name"`; stands in plans and journals.
        field: the Airtable field, with its type.
        attribute: e.g. "pr.title"; None for a `value` rule.
        value: the expression of a `value` rule, owned by neither side: syncd computes it.
        map: Bitbucket value → Airtable value, for attributes with names of states; empty: as it is.
        adopt: take the other side's value over at first contact while the owner's is empty, once.
        each: write to every open linked pull request instead of the primary.
        writable, required: of the attribute; a required one is never emptied.
    """

    key: str
    field: Field
    attribute: str | None
    value: Expression | None
    owner: Owner
    conflict: ConflictRule = ConflictRule.ASK
    tolerance: timedelta = timedelta(minutes=2)
    foreign_edit: ForeignEditRule = ForeignEditRule.REVERT
    map: Mapping[str, str] = dataclasses.field(default_factory=dict)
    adopt: bool = False
    each: bool = False
    priority: Priority = Priority.NORMAL
    writable: bool = False
    required: bool = False
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One edge of the status machine. `index` counts in the order of the spec; `sources` are the states it leaves."""

    key: str
    index: int
    sources: tuple[str, ...]
    target: str
    owner: Owner
    when: Expression | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRules:
    """The status machine of one sync."""

    key: str
    field: Field
    states: tuple[str, ...]
    initial: str
    illegal_edit: ForeignEditRule
    transitions: tuple[Transition, ...]
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBranchRule:
    """Make a branch once per record. `start` is the branch or tag it begins at; "" is the main branch."""

    key: str
    when: Expression
    start: str
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePullRequestRule:
    """Make a pull request once per record. `into` "" is the main branch; the title is prefix + name."""

    key: str
    when: Expression
    into: str
    draft: bool
    description: Template | None
    fingerprint: str = ""


ActionRule = CreateBranchRule | CreatePullRequestRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns about the daemon itself; None when the spec names none."""

    run_id: Field | None = None
    state: Field | None = None
    note: Field | None = None
    hold: Field | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRules:
    """Above max(floor, share of the linked records) in `window`, a person must decide. Shares are 0 to 1."""

    changes: float = 0.3
    clears: float = 0.2
    floor: int = 10
    window: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRules:
    """
    One sync, resolved.

    Args:
        repositories: every source repository of its Bitbucket connection, in order of slug.
        table_fields: every field of the table by name, for `record[...]` in expressions.
        fetch: the fields that must be read for a plan (mapped, in expressions, link, columns, create_in).
        writes_allowed: False with `mode = "plan"`, and while something is gone that everything depends on.
        blocked: what is gone in a service that rules use, and which rules wait for it; those are left out above.
        fingerprint: of the scope: base, table, view, where, workspace. Another one puts the whole sync into adoption.
    """

    name: SyncName
    airtable: str
    bitbucket: str
    base: BaseId
    table: TableId
    table_name: str
    view: ViewId | None
    where: Expression | None
    primary: FieldId
    repositories: tuple[Repository, ...]
    create_in: CreateIn | None
    quiet: timedelta
    link: LinkRules
    fields: tuple[FieldRule, ...]
    status: StatusRules | None
    actions: tuple[ActionRule, ...]
    columns: Columns
    guard: GuardRules
    table_fields: Mapping[str, Field]
    fetch: tuple[FieldId, ...]
    bots: tuple[AccountId, ...] = ()
    writes_allowed: bool = True
    fingerprint: str = ""
    blocked: tuple[str, ...] = ()

    def accepts(self) -> frozenset[str]:
        """The fingerprints that a person accepts with this sync's plan."""
        found = {
            self.fingerprint,
            *(rule.fingerprint for rule in self.fields),
            *(rule.fingerprint for rule in self.actions),
        }
        if self.status is not None:
            found.add(self.status.fingerprint)
            found.update(edge.fingerprint for edge in self.status.transitions)
        return frozenset(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    One immutable snapshot of the whole spec; a pass uses one, and its hash stands in every run and journal row.

    Args:
        blocked: syncs that are left out because their table is gone, and why.
    """

    spec_hash: str
    daemon: Daemon
    airtable: Mapping[str, AirtableConnection]
    bitbucket: Mapping[str, BitbucketConnection]
    syncs: Mapping[SyncName, SyncRules]
    blocked: tuple[str, ...] = ()
