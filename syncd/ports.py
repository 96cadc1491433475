"""
Everything outside comes in through one of these: two services, the state, the clock, ids, the pause files.

Each has at least two implementations, and one suite of contract tests runs over all of them (`tests/contract/`).
Methods named `fetch_*` read over the network, `send_*` and `create_*` change something there, `load_*`/`save_*` use the
state. Every network method may raise `errors.ServiceError`; a method that returns a listing returns all of it or raises.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any, Protocol, TypeVar

from syncd.model.change import AgreedKey, Agreement, Conflict, ForeignEdit, NewLink, Side, Toleration
from syncd.model.event import Changes, Delivery, DirtyWork, Endpoint
from syncd.model.ids import (
    AccountId,
    EndpointId,
    FieldId,
    HookId,
    OperationId,
    PullRequestKey,
    RecordId,
    RepositoryId,
    RunId,
    SyncName,
    TableId,
    ViewId,
)
from syncd.model.outcome import Result
from syncd.model.record import Record
from syncd.model.schema import Field, Repository, Table
from syncd.model.situation import EditTimes, Hold, Made, OpenConflict
from syncd.model.value import Value
from syncd.model.work import Branch, Build, Commit, Deployment, PullRequest

T = TypeVar("T")

QUOTA_CODE = "PUBLIC_API_BILLING_LIMIT_EXCEEDED"
"""Airtable's error code for a month that is used up (reference/airtable.md 7)."""

# --------------------------------------------------------------------------------------------------- time and ids


class Clock(Protocol):
    """Both clocks and the only wait. The simulator's moves by itself; production's is `wiring`'s."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""

    def monotonic_s(self) -> float:
        """Seconds that never run backwards, for durations and deadlines."""

    def wait(self, seconds: float) -> None:
        """Let time pass: only the transport's pacing between requests calls this, for at most `transport.PACE_MAX_S`."""


class Ids(Protocol):
    """New names for new things; seeded in tests."""

    def run(self) -> RunId:
        """A UUIDv7: sortable by time."""

    def operation(self) -> OperationId:
        """One per changing request."""

    def endpoint(self) -> EndpointId:
        """Not guessable: it stands in a public URL."""

    def jitter(self) -> float:
        """In [0, 1), for retries."""


class Switch(Protocol):
    """The kill switch: files in `pause/` beside the state. Read before every changing request."""

    def paused(self, sync: SyncName | None, side: Side | None) -> str:
        """Why changing requests for this sync to this side must not start; "" when they may."""

    def pause(self, scope: str, reason: str) -> None:
        """Make the file of a scope: "all", "sync.NAME", "to-airtable", "to-bitbucket"."""

    def resume(self, scope: str) -> bool:
        """Remove it; False when there was none."""

    def scopes(self) -> Mapping[str, str]:
        """Every scope that is paused, with its reason."""


class Witness(Protocol):
    """Where the state's generation is kept outside the state: whoever restores an old state does not restore this."""

    def read(self) -> str | None:
        """What was last written; None when nothing was, "" when it cannot be read. Never raises."""

    def write(self, text: str) -> None:
        """Keep it, as far as possible; never raises."""


class Gate(Protocol):
    """One credential's budgets, as the transport sees them."""

    def charge(self, *, changing: bool) -> None:
        """Take one request out of every budget that applies, waiting a moment if need be. Raises Throttled without sending."""

    def observe(self, status: int, headers: Mapping[str, str], code: str) -> datetime | None:
        """Learn from an answer. Returns when requests may go on after a 429 (with the service's error `code`), else None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """
    One object of a listing that cannot be read, while the rest of the listing can: unknown, and never taken for absent.

    Args:
        name: a record's id, a pull request's number, a branch's name.
        reason: what is wrong with it, for people; no value is quoted.
        source_branch, title: of a pull request, as far as they can be read: whose it may be.
    """

    name: str
    reason: str
    source_branch: str = ""
    title: str = ""


TakeOdd = Callable[[Odd], None]


# ------------------------------------------------------------------------------------------------------- Airtable


@dataclass(frozen=True, slots=True, kw_only=True)
class HookState:
    """
    One webhook as the service lists it.

    Args:
        url: where it sends to; "" for a poll-only Airtable hook.
        next_payload: of Airtable: the number that the next payload will get.
        healthy: enabled.
        notifying: of Airtable: pings are on.
    """

    hook: HookId
    url: str
    healthy: bool
    notifying: bool = True
    next_payload: int = 1
    expires: datetime | None = None
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHook:
    """A webhook just made. `secret` is shown once (Airtable, base64) or is the one we gave (Bitbucket)."""

    hook: HookId
    secret: str = field(repr=False)
    expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellUpdate:
    """New values for some cells of one record. `NOTHING` clears."""

    record: RecordId
    cells: Mapping[FieldId, Value]


class Catalogue(Protocol):
    """One Airtable base: `airtable.side`, and the fake in `tests/fakes.py`."""

    def fetch_account(self) -> AccountId:
        """The account behind the token (`whoami`): the cheapest check of a credential."""

    def fetch_tables(self) -> tuple[Table, ...]:
        """The schema of the base."""

    def fetch_listing(
        self, table: TableId, view: ViewId | None, fields: Sequence[Field], odd: TakeOdd | None = None
    ) -> tuple[Record, ...]:
        """
        Every record of the table, or of the view; each with exactly these fields' cells. Complete, or it raises.

        Args:
            odd: told each record that cannot be read; without it, one such record fails the listing.
        """

    def fetch_each(
        self,
        table: TableId,
        view: ViewId | None,
        fields: Sequence[Field],
        take: Callable[[Record], T],
        odd: TakeOdd | None = None,
    ) -> Mapping[RecordId, T]:
        """The same listing, of which only what `take` makes of each record is kept: a large table's records fill the memory."""

    def fetch_records(
        self,
        table: TableId,
        view: ViewId | None,
        fields: Sequence[Field],
        ids: Sequence[RecordId],
        odd: TakeOdd | None = None,
    ) -> Mapping[RecordId, Record]:
        """These records as they are now, `in_view` told by the view itself. One that is in neither has no key, nor has an odd one."""

    def fetch_is_gone(self, table: TableId, record: RecordId) -> bool:
        """Ask for one record directly: True only for the service's own 404 on that record."""

    def send_cells(
        self, table: TableId, fields: Sequence[Field], updates: Sequence[CellUpdate]
    ) -> Mapping[RecordId, Record]:
        """
        Change the named cells of one to ten records, all or nothing.

        Args:
            fields: the fields that the answer is read into; all that `updates` name must be among them.

        Returns:
            The records as the service answered.

        Raises:
            Rejected: nothing was written; one of them is the culprit, the service does not say which.
            Unclear: the answer was lost.
        """

    def fetch_changes(self, hook: HookId, cursor: int, fields: Mapping[FieldId, Field]) -> Changes:
        """One page (at most 50) of a webhook's payloads from `cursor` on. Extends the hook's life by itself."""

    def fetch_hooks(self) -> tuple[HookState, ...]:
        """Every webhook of the base that the token may see."""

    def create_hook(self, url: str) -> NewHook:
        """A webhook on all data and fields of the base; "" makes one that only stores payloads."""

    def send_hook_renewal(self, hook: HookId) -> datetime:
        """Seven more days from now; the new expiry."""

    def send_hook_notifying(self, hook: HookId) -> None:
        """Switch pings on again."""

    def send_hook_deletion(self, hook: HookId) -> None:
        """Remove a webhook of ours; gone already is fine."""


# ------------------------------------------------------------------------------------------------------ Bitbucket


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadCommits:
    """
    What a branch or pull request has that its destination lacks.

    Args:
        commits: newest first, at most the first hundred: what only an older commit's message links is not found.
        whole: False when there were more than that.
    """

    commits: tuple[Commit, ...]
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeUpdate:
    """
    New values for some attributes of one pull request, with what they were when the plan was made.

    Args:
        expected: by attribute name ("title", "description", "destination_branch", "draft"): the full text or truth as read.
        wanted: likewise, what is to be there; the same keys.
    """

    pull_request: PullRequestKey
    expected: Mapping[str, str | bool]
    wanted: Mapping[str, str | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A place is no longer as it was when the plan was made; nothing was sent. `now` is what is there."""

    now: PullRequest


class ChangeLog(Protocol):
    """One Bitbucket workspace: `bitbucket.side`, and the fake in `tests/fakes.py`."""

    def fetch_account(self) -> AccountId | None:
        """The account behind the credential; None when the service does not tell (repository access tokens)."""

    def fetch_repositories(self) -> tuple[Repository, ...]:
        """Every repository of the workspace that the credential sees."""

    def fetch_repository(self, name: str) -> Repository:
        """One repository by slug or UUID. Raises Gone when missing or invisible."""

    def fetch_pull_requests(
        self, repository: Repository, since: datetime | None, *, source: str = "", odd: TakeOdd | None = None
    ) -> tuple[PullRequest, ...]:
        """
        All pull requests in all states, with participants and reviewers.

        Args:
            since: only those updated at or after it.
            source: only those from this source branch.
            odd: told each one that cannot be read; without it, one such pull request fails the listing.
        """

    def fetch_pull_request(self, repository: Repository, number: int) -> PullRequest:
        """One pull request."""

    def fetch_branches(
        self, repository: Repository, *, holding: str = "", odd: TakeOdd | None = None
    ) -> tuple[Branch, ...]:
        """All branches, or those whose name holds this text; `ahead` and `commit_records` are left open. `odd` as above."""

    def fetch_branch(self, repository: Repository, name: str) -> Branch | None:
        """One branch; None when the repository answers and the branch is not there."""

    def fetch_head(self, repository: Repository, head: str, base: str) -> HeadCommits:
        """The commits of `head` (branch or hash) that `base` lacks, newest first."""

    def fetch_pull_request_commits(self, repository: Repository, number: int) -> HeadCommits:
        """The commits of a pull request, newest first; empty when its source is gone."""

    def fetch_builds(self, repository: Repository, commit: str) -> tuple[Build, ...]:
        """All build statuses of a commit (12 or 40 characters)."""

    def fetch_deployments(self, repository: Repository, known: frozenset[str]) -> tuple[Deployment, ...]:
        """Deployments, newest first, back to the first page that holds only finished ones in `known`."""

    def fetch_is_ancestor(self, repository: Repository, commit: str, head: str) -> bool:
        """Whether `commit` is `head` or one of its ancestors."""

    def fetch_merged_on(self, repository: Repository, number: int) -> datetime | None:
        """When it was merged, from the activity log."""

    def fetch_edited_on(self, repository: Repository, number: int, attribute: str) -> datetime | None:
        """When a writable attribute got the value it has now, from the activity log; None when the log does not say."""

    def send_attributes(self, repository: Repository, update: AttributeUpdate) -> PullRequest | Moved:
        """
        Read the pull request, give up when an expected attribute is another or it is not open, else send the complete mutable set.

        Raises:
            Rejected: the service refuses these values.
            Unclear: the answer was lost.
        """

    def create_branch(self, repository: Repository, name: str, start: str) -> Branch:
        """A branch at the head of `start`. Raises Rejected when the name exists or the start does not."""

    def create_pull_request(
        self, repository: Repository, *, source: str, destination: str, title: str, description: str, draft: bool
    ) -> PullRequest:
        """Open a pull request. The caller has looked first: for branches that have one, the service rewrites that one."""

    def fetch_hooks(self, repository: Repository) -> tuple[HookState, ...]:
        """Every webhook of the repository."""

    def create_hook(self, repository: Repository, url: str, events: Sequence[str], secret: str) -> NewHook:
        """Register a signed webhook."""

    def send_hook(self, repository: Repository, hook: HookId, url: str, events: Sequence[str], secret: str) -> None:
        """Set an existing webhook of ours right: events, secret, active."""

    def send_hook_deletion(self, repository: Repository, hook: HookId) -> None:
        """Remove a webhook of ours; gone already is fine."""


# ------------------------------------------------------------------------------------------------------- the state


class Lane(IntEnum):
    """Lower goes first: people's edits before the full compare before the first filling."""

    EDIT = 0
    RETRY = 1
    COMPARE = 2
    BACKFILL = 3


class Disposition(Enum):
    """What became of a delivery."""

    MARKED = "marked"
    NOT_CONCERNING = "not concerning"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """
    A delivery that could not be read.

    Args:
        event_key: what its header calls it; "" without one.
        reason: why it could not be read; never quotes the body.
    """

    sequence: int
    endpoint: EndpointId
    received_at: datetime
    event_key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A verified webhook request that is to be made durable."""

    endpoint: EndpointId
    received_at: datetime
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DirtyRecord:
    """
    A claimed record key. `mark` is the number of its newest mark: a key that got a newer one while it ran stays dirty.

    Args:
        attempts: tries that failed since it was last done.
    """

    sync: SyncName
    record: RecordId
    lane: Lane
    mark: int
    since: datetime
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DirtyWorkMark:
    """A claimed mark on work; as `DirtyRecord`. `happened_at`: a read older than this is repeated later."""

    work: DirtyWork
    mark: int
    since: datetime
    attempts: int = 0
    happened_at: datetime | None = None


def waiting_key(sync: SyncName, repository: RepositoryId) -> str:
    """The text that says that records of this sync were planned while this repository was not known; "" when not."""
    return f"waiting:{sync}:{repository}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marking:
    """
    Whose records become dirty with what is saved: a change that is in the mirror and has marked nobody is never found again.

    Args:
        syncs: every sync that reads the repository; each has its own records and its own evidence.
        besides: records that need no mark, because they are being planned from it.
    """

    syncs: tuple[SyncName, ...]
    lane: Lane
    now: datetime
    besides: frozenset[tuple[SyncName, RecordId]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryView:
    """
    How far a repository is known.

    Args:
        listed_at: start of its last complete listing; None: never.
        trouble: why it could not be read the last time; "" when it could.
        unread: dirty marks that were not read yet.
        parked: why single objects cannot be read; whoever else has work there need not wait for them.
    """

    repository: Repository
    listed_at: datetime | None = None
    trouble: str = ""
    unread: int = 0
    parked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """All that the state holds about one record; the parts of a `Situation` that are not read from the services."""

    links: frozenset[PullRequestKey] = frozenset()
    agreed: Mapping[AgreedKey, Value] = field(default_factory=dict)
    tolerated: Mapping[AgreedKey, Value] = field(default_factory=dict)
    conflicts: Mapping[AgreedKey, OpenConflict] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    made: Mapping[str, Made] = field(default_factory=dict)
    edited: Mapping[AgreedKey, EditTimes] = field(default_factory=dict)
    parked: str = ""
    parked_for: str = ""  # the fingerprint of cells and work that the refusal was for


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedWork:
    """
    The mirror's work for one record: what is linked by evidence or remembered, not older than the repositories' views.

    Args:
        unread: why some of it cannot be read: its lists are not known to be complete; "" when all of it can.
    """

    branches: tuple[Branch, ...] = ()
    pull_requests: tuple[PullRequest, ...] = ()
    commits: tuple[Commit, ...] = ()
    builds: tuple[Build, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    records_of: Mapping[PullRequestKey, tuple[RecordId, ...]] = field(default_factory=dict)
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRecord:
    """
    One record as the last pass left it.

    Args:
        seen: fingerprint of its cells and scope when a plan was last carried out in full; "" otherwise.
        absent: in how many complete listings in a row it was missing.
    """

    record: RecordId
    seen: str
    state: str
    note: str = ""
    status: str | None = None
    linked: bool = False
    absent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """
    One change: intended before it is sent, ended afterwards.

    Args:
        operation: the request it travels in.
        object: "rec…" or "{uuid}#12" or "{uuid}:branch-name".
        place: the field's or attribute's name for people; `field` its id ("" for Bitbucket).
        state: planned, sent, or a `Result`'s value.
        before, after: whole values (`value.dump(whole=True)`), or plain text of an action.
    """

    sync: SyncName
    run: RunId
    operation: OperationId
    spec_hash: str
    record: RecordId
    side: Side
    kind: str
    object: str
    field: str
    place: str
    before: str
    after: str
    owner: str
    rule: str
    reason: str
    at: datetime
    sequence: int = 0
    state: str = "planned"
    error: str = ""
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """
    One changing request.

    Args:
        kind: "cells", "attributes", "branch", "pull_request".
        request: what is needed to look whether it was done, as JSON-ready values.
        at: when it was planned.
        looked_at: when it was last looked up without finding out; `attempts` counts these looks.
    """

    id: OperationId
    sync: SyncName
    run: RunId
    side: Side
    kind: str
    request: Mapping[str, Any]
    at: datetime
    state: str = "planned"
    attempts: int = 0
    sent_at: datetime | None = None
    looked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCommit:
    """
    What one pass learnt about one record; everything in it becomes durable in one transaction.

    Args:
        done: the claimed mark; None when the record was not claimed.
        state: a `RecordState`'s value; None leaves state, note, status, linked and seen as they are.
        seen: see `KnownRecord`; "" when the plan was not carried out in full.
        again_at: re-queue the key for then (retry, wake, repeated look); None: not by itself.
        failed: count this as a failed attempt.
        parked: the refusal to remember, None to leave as it is, "" to forget.
    """

    record: RecordId
    done: int | None
    state: str | None
    note: str = ""
    status: str | None = None
    linked: bool = False
    seen: str = ""
    again_at: datetime | None = None
    again_lane: Lane = Lane.RETRY
    failed: bool = False
    parked: str | None = None
    parked_for: str = ""
    agreements: tuple[Agreement, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    links: tuple[NewLink, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    conflicts_closed: tuple[AgreedKey, ...] = ()
    foreign_edits: tuple[ForeignEdit, ...] = ()
    made: tuple[Made, ...] = ()
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of one operation, or of one record's part in it (`record` set)."""

    operation: OperationId
    result: Result
    at: datetime
    record: RecordId | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run, for the journal and for people. `changes` counts records changed, `clears` values emptied."""

    run: RunId
    sync: SyncName
    spec_hash: str
    started_at: datetime
    changes: int
    clears: int
    ended_at: datetime | None = None
    by: str = "daemon"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """Sizes for `GET /status`."""

    inbox: int
    dirty: int
    parked: int
    oldest_dirty: datetime | None = None


class Store(Protocol):
    """
    The state. Each method is one transaction; a method that returns has committed with synchronous=FULL.

    Every method may raise `errors.StoreError`; after that nothing is acknowledged and nothing is sent (I32). It may be
    called from several threads.
    """

    @property
    def failed(self) -> str:
        """Why nothing can be committed any more until the file is opened again; "" while it can."""

    def trouble(self) -> str:
        """Why the last commit did not go through, until one does (a full disk, a lock), or `failed`; "" when it did."""

    # deliveries
    def save_deliveries(self, arrived: Sequence[Arrived]) -> tuple[int, ...]:
        """Make a group of deliveries durable in one commit. The same (endpoint, request id, body) again gets its old number."""

    def load_deliveries(self, limit: int) -> tuple[Delivery, ...]:
        """The oldest deliveries that were not processed yet."""

    def save_processed(
        self,
        processed: Sequence[tuple[int, Disposition, str]],
        dirty: Sequence[tuple[DirtyWork, datetime | None]],
        pinged: Sequence[EndpointId],
        now: datetime,
        not_before: datetime,
    ) -> None:
        """Say what became of deliveries (number, disposition, reason), together with the marks they make (as `mark_work`)."""

    # dirty keys
    def mark_records(
        self, sync: SyncName, records: Sequence[RecordId], lane: Lane, now: datetime, not_before: datetime
    ) -> None:
        """
        Make record keys dirty. A key that is dirty already keeps its first `since`, takes the better lane, and the later
        `not_before`, but never later than `since` + 12 × (not_before − now).
        """

    def mark_work(
        self, dirty: Sequence[tuple[DirtyWork, datetime | None]], now: datetime, not_before: datetime
    ) -> None:
        """Make work dirty; the instant is when it happened, if known."""

    def claim_records(self, sync: SyncName, now: datetime, limit: int) -> tuple[DirtyRecord, ...]:
        """Take due record keys by lane, then age. A claimed key is not given out again until it is saved or released."""

    def claim_work(
        self, repositories: Sequence[RepositoryId], now: datetime, limit: int, *, early: bool = False
    ) -> tuple[DirtyWorkMark, ...]:
        """
        Likewise for work.

        Args:
            early: also marks that were not tried yet and whose quiet time is not over: records are about to be planned,
                and an unread mark makes what they are planned from unknown.
        """

    def release_records(
        self, keys: Sequence[DirtyRecord], not_before: datetime, *, failed: bool, error: str = ""
    ) -> None:
        """Give keys back undone, for later; `failed` counts an attempt."""

    def release_work(
        self, marks: Sequence[DirtyWorkMark], not_before: datetime, *, failed: bool, error: str = ""
    ) -> None:
        """Likewise for work."""

    def load_dirty_work(self, repository: RepositoryId) -> tuple[DirtyWorkMark, ...]:
        """Every mark on work of this repository, due or not, claimed or not."""

    def save_parked_work(self, mark: DirtyWorkMark, again_at: datetime, error: str, marking: Marking) -> None:
        """
        Give a mark up whose object alone cannot be read: it is no longer unread, but what it belongs to is not complete.

        Args:
            again_at: looked at again then; earlier when it is marked anew.
            error: why, with the object's name.
            marking: makes the records dirty that the object belongs to, and those that wait.
        """

    def free_claims(self, sync: SyncName, repositories: Sequence[RepositoryId]) -> None:
        """Give back whatever this sync's worker claimed and did not finish: it ended in the middle, as after a restart."""

    def next_due(self, sync: SyncName, repositories: Sequence[RepositoryId]) -> datetime | None:
        """When the next key of this sync is due; None when nothing is dirty."""

    # the mirror of work
    def load_repositories(self, ids: Sequence[RepositoryId]) -> tuple[RepositoryView, ...]:
        """What is known of these repositories; unknown ids are left out."""

    def save_repository(self, repository: Repository) -> None:
        """Remember (or rename) a repository."""

    def save_trouble(self, repository: RepositoryId, trouble: str, marking: Marking | None = None) -> None:
        """
        Why the repository could not be read: its lists are unknown until it can. "" ends it, and nothing else does.

        Args:
            marking: makes every linked record of its syncs dirty: any of them may have work there.
        """

    def save_work(
        self,
        repository: RepositoryId,
        *,
        pull_requests: Sequence[PullRequest] = (),
        branches: Sequence[Branch] = (),
        branches_gone: Sequence[str] = (),
        commits: Mapping[str, Sequence[Commit]] | None = None,
        builds: Mapping[str, Sequence[Build]] | None = None,
        deployments: Sequence[Deployment] = (),
        links: Mapping[SyncName, Mapping[str, Sequence[RecordId]]] | None = None,
        done: Sequence[DirtyWorkMark] = (),
        listed_at: datetime | None = None,
        branches_complete: bool = False,
        marking: Marking | None = None,
    ) -> Mapping[SyncName, frozenset[RecordId]]:
        """
        Put what was read into the mirror, which all syncs share.

        Args:
            commits: by "pr:12" or "branch:name"; replaces all commits of that object, also by none.
            builds: by 40-character commit hash; replaces all builds of that commit.
            links: for each sync the record ids by evidence: key "pr:12" or "branch:name" or "deployment:uuid"; replaces what
                that sync has as evidence of that object.
            done: marks that this read answers; a newer mark on the same object stays.
            listed_at: start of a complete listing that this ends.
            branches_complete: `branches` are all there are: others are forgotten.
            marking: makes the records dirty whose work changed by this; and, when it answers the last mark of the repository
                or ends a listing, those that are pending and whose plan was not carried out in full, if any was made while
                lists were not known (`waiting_key`): it may have waited for this.

        Returns:
            For each sync that has any, the records whose linked work changed by this, before or after.
        """

    def load_pull_requests(
        self, repository: RepositoryId, numbers: Sequence[int] | None = None
    ) -> tuple[PullRequest, ...]:
        """Pull requests of the mirror; all of the repository without `numbers`."""

    def load_branches(self, repository: RepositoryId) -> tuple[Branch, ...]:
        """Branches of the mirror."""

    def load_deployments(self, repository: RepositoryId) -> tuple[Deployment, ...]:
        """Deployments of the mirror."""

    def load_work(
        self, sync: SyncName, records: Sequence[RecordId], repositories: Sequence[RepositoryId]
    ) -> Mapping[RecordId, LinkedWork]:
        """The work of these records, by evidence and by remembered links, within these repositories."""

    # records
    def load_remembered(self, sync: SyncName, records: Sequence[RecordId]) -> Mapping[RecordId, Remembered]:
        """All that is remembered about these records; a record that is new has an empty entry."""

    def load_known(self, sync: SyncName, records: Sequence[RecordId] | None = None) -> Mapping[RecordId, KnownRecord]:
        """Every record of the sync, or of these, that was ever planned and is not gone."""

    def save_absent(self, sync: SyncName, missing: Sequence[RecordId], present: Sequence[RecordId]) -> None:
        """Count a complete listing: one more absence for `missing`, none for `present`."""

    def save_edits(self, sync: SyncName, edits: Sequence[tuple[RecordId, FieldId, datetime]]) -> None:
        """When people last edited cells, from payloads."""

    # runs
    def save_intents(self, run: RunRow, operations: Sequence[Operation], entries: Sequence[JournalEntry]) -> None:
        """Make a run's operations and journal rows durable, before anything is sent."""

    def save_sent(self, operations: Sequence[OperationId], now: datetime) -> None:
        """Directly before the request."""

    def commit(self, sync: SyncName, commits: Sequence[RecordCommit], ended: Sequence[Ended], now: datetime) -> None:
        """Outcomes, agreed values, keys done: one transaction."""

    def save_run_end(self, run: RunId, now: datetime) -> None:
        """The run is over."""

    def load_unfinished(self, sync: SyncName) -> tuple[Operation, ...]:
        """Operations that are planned, sent or unknown, oldest first."""

    def save_looked(self, operation: OperationId, now: datetime) -> None:
        """One more look at an unknown operation found nothing: count it in `attempts`, and remember when it was."""

    def load_recent_changes(self, sync: SyncName, since: datetime) -> tuple[tuple[RecordId, datetime, int], ...]:
        """
        Records that the daemon changed by itself since then, each with when and how many values were emptied, for the
        guard. Runs that a person asked for (`RunRow.by` "command") were that person's decision and do not count.
        """

    def load_journal(
        self,
        *,
        sync: SyncName | None = None,
        record: RecordId | None = None,
        run: RunId | None = None,
        after: int = 0,
        limit: int = 100,
        newest: bool = False,
    ) -> tuple[JournalEntry, ...]:
        """Journal rows in order of their number: the first `limit` after `after`, or with `newest` the last ones."""

    def save_race(self, sync: SyncName, sequence: int, overwritten: str) -> None:
        """
        Our write of this journal row overwrote another value than its `before`: a further row of kind "lost race" keeps
        it, with the overwritten value as `before` and ours as `after`. Once per row.
        """

    def load_runs(self, sync: SyncName | None, limit: int) -> tuple[RunRow, ...]:
        """The newest runs first."""

    # people's decisions
    def load_accepted(self, sync: SyncName) -> frozenset[str]:
        """Fingerprints of accepted rules."""

    def save_accepted(self, sync: SyncName, fingerprints: frozenset[str], now: datetime) -> None:
        """Replace them; every known record of the sync becomes dirty."""

    def save_hold(self, sync: SyncName, hold: Hold, now: datetime) -> None:
        """Set a hold; the record becomes dirty."""

    def delete_hold(self, sync: SyncName, record: RecordId, field: FieldId | None, now: datetime) -> bool:
        """Release it, and the record becomes dirty; False when there was none."""

    def load_holds(self, sync: SyncName) -> tuple[Hold, ...]:
        """All holds of the sync."""

    def load_conflicts(self, sync: SyncName) -> tuple[Conflict, ...]:
        """All open conflicts of the sync."""

    def save_resolution(self, sync: SyncName, record: RecordId, key: AgreedKey, winner: Side, now: datetime) -> bool:
        """A person decided; the record becomes dirty. False when there is no such conflict."""

    def save_acceptance_once(self, sync: SyncName, plan: str) -> None:
        """A person lets the refused plan with this digest pass the guard once."""

    def take_acceptance_once(self, sync: SyncName, plan: str) -> bool:
        """Whether it may pass; it may not a second time."""

    # endpoints
    def save_endpoint(self, endpoint: Endpoint, secret: str | None) -> None:
        """Remember a webhook, with its secret in the same transaction; None keeps the secret."""

    def load_endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints, inactive ones included."""

    def load_secret(self, endpoint: EndpointId) -> str:
        """The secret that the service gave for this endpoint; "" when it gave none."""

    def save_changes(
        self,
        endpoint: EndpointId,
        cursor: int,
        marks: Mapping[SyncName, Sequence[RecordId]],
        now: datetime,
        not_before: datetime,
        *,
        edits: Sequence[tuple[SyncName, RecordId, FieldId, datetime]] = (),
    ) -> None:
        """The cursor and the record keys of its payloads, in one transaction (I19)."""

    def take_pinged(self) -> frozenset[EndpointId]:
        """Endpoints that were pinged since this was last asked."""

    # the rest
    def load_text(self, key: str) -> str | None:
        """A small remembered text: resolved names, due times, generation."""

    def save_text(self, key: str, text: str) -> None:
        """Remember it."""

    def load_ledger(self, budget: str) -> Mapping[str, Any] | None:
        """A budget as it was last saved."""

    def save_ledgers(self, budgets: Mapping[str, Mapping[str, Any]]) -> None:
        """Save all budgets."""

    def counts(self, sync: SyncName | None = None) -> QueueCounts:
        """Sizes of the queue."""

    def load_quarantined(self, limit: int) -> tuple[int, tuple[Quarantined, ...]]:
        """How many kept deliveries could not be read, and the newest of them, newest first."""

    def states(self, sync: SyncName) -> Mapping[str, int]:
        """How many known records are in each state, and under "linked" how many are linked."""

    def purge(self, events_before: datetime, journal_before: datetime, limit: int) -> int:
        """Delete old deliveries and journal rows in small steps; how many went."""

    def close(self) -> None:
        """Checkpoint and close."""
