"""Everything in Bitbucket that may belong to a record, as read over REST (SPEC "Attributes of work")."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from syncd.model.ids import AccountId, PullRequestKey, RecordId, RepositoryId


class List(Enum):
    """The lists of work that an expression may read."""

    BRANCHES = "branches"
    PULL_REQUESTS = "prs"
    COMMITS = "commits"
    BUILDS = "builds"
    DEPLOYMENTS = "deployments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit. `hash` has 40 characters. `author` is an account or ""; the raw author line is never kept."""

    repository: RepositoryId
    hash: str
    url: str
    message: str
    author: str
    date: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """
    One branch.

    Args:
        target_commit: 40 characters.
        ahead: it has commits that the repository's main branch lacks; None when not asked yet.
        commit_records: record ids found in messages of those commits.
    """

    repository: RepositoryId
    name: str
    url: str
    target_commit: str
    target_on: datetime
    author: str
    ahead: bool | None = None
    commit_records: tuple[RecordId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """
    One pull request, title and description as the service holds them (canonical form is the value space's matter).

    Args:
        state: OPEN, MERGED, DECLINED or SUPERSEDED; a draft is OPEN with `draft` (reference/bitbucket.md 6.3).
        approved_by: everyone who approves; who counts is decided later (author and bots do not).
        source_commit, merge_commit: 12 characters, or "".
        merged_on: from the activity log, asked once; None when not merged or not asked.
        source_repository: None when the fork is gone; equal to `key.repository` unless it comes from a fork.
        commit_records: record ids found in messages of its commits.
    """

    key: PullRequestKey
    url: str
    title: str
    description: str
    state: str
    draft: bool
    queued: bool
    author: AccountId
    reviewers: tuple[AccountId, ...]
    approved_by: tuple[AccountId, ...]
    changes_requested_by: tuple[AccountId, ...]
    source_repository: RepositoryId | None
    source_branch: str
    destination_branch: str
    source_commit: str
    merge_commit: str
    comment_count: int
    open_tasks: int
    created_on: datetime
    updated_on: datetime
    close_source_branch: bool = False
    merged_on: datetime | None = None
    closed_by: AccountId | None = None
    reason: str = ""
    commit_records: tuple[RecordId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build status. `state` is SUCCESSFUL, FAILED, INPROGRESS or STOPPED; `commit` has 40 characters."""

    repository: RepositoryId
    commit: str
    key: str
    name: str
    state: str
    url: str
    updated_on: datetime
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment. `state` is UNDEPLOYED, IN_PROGRESS, SUCCESSFUL, FAILED or STOPPED (COMPLETED alone says nothing)."""

    repository: RepositoryId
    id: str
    environment: str
    environment_type: str
    state: str
    commit: str
    release: str
    url: str
    completed_on: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """
    All work that may belong to one record, newest first within each list.

    Args:
        incomplete: for each list that is not known to be complete, why. Unknown is not empty (SPEC section 3).
    """

    branches: tuple[Branch, ...] = ()
    pull_requests: tuple[PullRequest, ...] = ()
    commits: tuple[Commit, ...] = ()
    builds: tuple[Build, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    incomplete: Mapping[List, str] = field(default_factory=dict)
