"""
What exists in the emulated Bitbucket: accounts, credentials, repositories and everything inside them. State only, no rules.

Identities are made from the seed and a counter, so that the same calls in the same order give the same ids.
"""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from syncd.sandbox.choices import Choices, ListLag
from syncd.sandbox.wire import LogEntry

STRATEGIES = ("merge_commit", "squash", "fast_forward")
"""The merge strategies a branch allows unless told otherwise."""

OPEN_STATES = ("OPEN", "QUEUED")
"""States in which a pull request can still be changed (reference/bitbucket.md 6.3, 11)."""


@dataclass(slots=True, kw_only=True)
class User:
    """A person's account, or (`kind` set) the bot user of an access token."""

    uuid: str
    account_id: str
    nickname: str
    display_name: str
    email: str
    created_on: datetime
    active: bool = True
    kind: str | None = None


@dataclass(slots=True, kw_only=True)
class Token:
    """
    One credential: `kind` is "access" (a bot user's, Bearer), "api" (a person's, Basic) or "oauth" (Bearer, expires).

    `scopes` None means every scope. An access token belongs to the `workspace` and perhaps only to one `repository`, by uuid.
    """

    secret: str
    kind: str
    user: User
    limit_key: str
    scopes: frozenset[str] | None = None
    workspace: str | None = None
    repository: str | None = None
    revoked: bool = False
    expires_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Consumer:
    """An OAuth consumer and the refresh tokens it still honours."""

    key: str
    secret: str
    user: User
    scopes: frozenset[str] | None
    refresh_tokens: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Commit:
    """One commit; `ordinal` rises with creation, so a parent's is always lower than its child's."""

    hash: str
    parents: tuple[str, ...]
    message: str
    raw_author: str
    user: User | None
    date: datetime
    ordinal: int


@dataclass(slots=True, kw_only=True)
class Branch:
    """A branch; `visible_at` is when lists begin to show it (reference/bitbucket.md 15, lag of a list)."""

    name: str
    target: str
    visible_at: datetime
    merge_strategies: tuple[str, ...] = STRATEGIES


@dataclass(slots=True, kw_only=True)
class Tag:
    """A tag; `message` None means lightweight."""

    name: str
    target: str
    message: str | None
    date: datetime
    tagger: User | None


@dataclass(slots=True, kw_only=True)
class Participant:
    """Somebody's part in a pull request; `state` is None, "approved" or "changes_requested"."""

    user: User
    state: str | None = None
    participated_on: datetime | None = None
    commented: bool = False


@dataclass(slots=True, kw_only=True)
class Comment:
    """A comment of a pull request. `changed_at` is the last change of its text."""

    id: int
    user: User
    raw: str
    created_on: datetime
    updated_on: datetime
    visible_at: datetime
    inline: dict[str, Any] | None = None
    parent: int | None = None
    deleted: bool = False
    resolved_by: User | None = None
    resolved_on: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Task:
    """A task of a pull request, perhaps below a comment."""

    id: int
    creator: User
    raw: str
    created_on: datetime
    updated_on: datetime
    visible_at: datetime
    comment: int | None = None
    resolved_by: User | None = None
    resolved_on: datetime | None = None
    pending: bool = False

    @property
    def state(self) -> str:
        """RESOLVED or UNRESOLVED, as the service names it."""
        return "UNRESOLVED" if self.resolved_on is None else "RESOLVED"


@dataclass(slots=True, kw_only=True)
class Activity:
    """One entry of the activity log: `kind` is update, approval, changes_requested or comment; `data` its frozen content."""

    sequence: int
    pull_request: "PullRequest"
    kind: str
    at: datetime
    user: User
    data: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class PullRequest:
    """A pull request. `source` and `destination` follow their branches while it is open and freeze when it closes."""

    id: int
    repository: "Repository"
    title: str
    description: str
    author: User
    source_repository: "Repository | None"
    source_branch: str
    source_hash: str
    destination_branch: str
    destination_hash: str
    created_on: datetime
    updated_on: datetime
    visible_at: datetime
    state: str = "OPEN"
    draft: bool = False
    queued: bool = False
    close_source_branch: bool = False
    reviewers: list[User] = field(default_factory=list)
    participants: dict[str, Participant] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    merge_hash: str | None = None
    closed_by: User | None = None
    reason: str = ""
    conflicted: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it can still be changed, merged or declined."""
        return self.state in OPEN_STATES


@dataclass(slots=True, kw_only=True)
class Status:
    """One build status; one per (commit, key)."""

    key: str
    hash: str
    state: str
    name: str
    url: str
    description: str
    refname: str | None
    created_on: datetime
    updated_on: datetime


@dataclass(slots=True, kw_only=True)
class Environment:
    """A deployment environment; `type` is Test, Staging or Production."""

    uuid: str
    name: str
    type: str


@dataclass(slots=True, kw_only=True)
class Deployment:
    """One deployment; `status` is set when `state` is COMPLETED."""

    uuid: str
    environment: Environment
    hash: str
    number: int
    pipeline_uuid: str
    step_uuid: str
    created_on: datetime
    updated_on: datetime
    state: str = "UNDEPLOYED"
    status: str | None = None
    started_on: datetime | None = None
    completed_on: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """One run of Pipelines; `result` is set when `state` is COMPLETED."""

    uuid: str
    number: int
    ref: str
    hash: str
    creator: User
    created_on: datetime
    state: str = "IN_PROGRESS"
    result: str | None = None
    completed_on: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Hook:
    """A webhook subscription of a repository, or (`repository` None) of the workspace."""

    uuid: str
    url: str
    description: str
    events: tuple[str, ...]
    active: bool
    created_at: datetime
    repository: "Repository | None"
    secret: str = ""
    skip_cert_verification: bool = False


@dataclass(slots=True, kw_only=True)
class Repository:
    """A repository with its refs, commits and discussions. `hidden` repositories answer 404 to everybody."""

    uuid: str
    slug: str
    name: str
    workspace: "Workspace"
    created_on: datetime
    updated_on: datetime
    visible_at: datetime
    project_key: str
    description: str = ""
    is_private: bool = True
    main: str = "main"
    hidden: bool = False
    parent: "Repository | None" = None
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, Branch] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    pull_requests: dict[int, PullRequest] = field(default_factory=dict)
    activity: list[Activity] = field(default_factory=list)
    statuses: dict[str, dict[str, Status]] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
    default_reviewers: list[User] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """`workspace/slug`, which changes when the repository is renamed."""
        return f"{self.workspace.slug}/{self.slug}"


@dataclass(slots=True, kw_only=True)
class Workspace:
    """A workspace; `members` maps a user's uuid to "owner" or "member"."""

    uuid: str
    slug: str
    name: str
    created_on: datetime
    members: dict[str, str] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class MergeTask:
    """An asynchronous merge: nothing has happened before `ready_at`; `error` says why it failed then."""

    id: str
    pull_request: PullRequest
    actor: User
    ready_at: datetime
    strategy: str | None
    message: str | None
    close: bool
    error: str | None = None


class World:
    """Everything, with the makers of identities."""

    def __init__(self, seed: int, choices: Choices) -> None:
        self.seed = seed
        self.choices = choices
        self.users: dict[str, User] = {}
        self.tokens: dict[str, Token] = {}
        self.consumers: dict[str, Consumer] = {}
        self.workspaces: dict[str, Workspace] = {}
        self.merge_tasks: dict[str, MergeTask] = {}
        self.waiting_merges: list[MergeTask] = []
        self.log: list[LogEntry] = []
        self.usage: dict[str, deque[datetime]] = {}
        self.next_merge: str | None = None
        self.hourly_limit = 1000
        self._counters: dict[str, int] = {}

    def count(self, name: str) -> int:
        """The next number of one counter, from 1."""
        value = self._counters.get(name, 0) + 1
        self._counters[name] = value
        return value

    def digest(self, kind: str) -> str:
        """64 hex digits that no other call of this world returns."""
        return hashlib.sha256(f"{self.seed}/{kind}/{self.count(kind)}".encode()).hexdigest()

    def uuid(self, kind: str) -> str:
        """A UUID in braces, of version 4 by its looks."""
        hexes = self.digest(kind)
        return f"{{{hexes[:8]}-{hexes[8:12]}-4{hexes[13:16]}-8{hexes[17:20]}-{hexes[20:32]}}}"

    def visible_at(self, now: datetime) -> datetime:
        """When lists begin to show what is created now: at once, or up to 30 s later (reference/bitbucket.md 15)."""
        if self.choices.list_lag is ListLag.NONE:
            return now
        return now + timedelta(milliseconds=int(self.digest("lag")[:8], 16) % 30_001)

    def commit_hash(self, parents: tuple[str, ...], message: str, author: str, date: datetime) -> tuple[str, int]:
        """A commit's 40-character hash over its content and place in history, and its ordinal."""
        ordinal = self.count("commit")
        text = f"{self.seed}\n{ordinal}\n{' '.join(parents)}\n{author}\n{date.isoformat()}\n{message}"
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), ordinal

    def find_repository(self, workspace: str, repository: str) -> Repository | None:
        """The repository under a slug or a UUID in braces, in a workspace named likewise; None when it is gone or hidden."""
        home = self.find_workspace(workspace)
        if home is None:
            return None
        found = home.repositories.get(repository.lower())
        if found is None and repository.startswith("{"):
            found = next((one for one in home.repositories.values() if one.uuid == repository), None)
        return None if found is None or found.hidden else found

    def find_workspace(self, name: str) -> Workspace | None:
        """The workspace under a slug or a UUID in braces."""
        found = self.workspaces.get(name.lower())
        if found is None and name.startswith("{"):
            found = next((one for one in self.workspaces.values() if one.uuid == name), None)
        return found

    def find_user(self, name: str) -> User | None:
        """The user under a uuid, an account id, an e-mail address or a nickname."""
        found = self.users.get(name)
        if found is not None:
            return found
        return next((one for one in self.users.values() if name in (one.account_id, one.email, one.nickname)), None)
