"""What a piece of work says of itself, and which piece `pr`, `branch`, `build` and `deployment` speak of."""

from collections.abc import Callable, Mapping
from typing import Any

from syncd.core import link
from syncd.model.ids import RepositoryId
from syncd.model.work import Branch, Build, Commit, Deployment, List, PullRequest
from syncd.spec.attributes import ATTRIBUTES, PRIMARIES, Kind
from syncd.spec.rules import SyncRules

_WORST_FIRST = ("FAILED", "STOPPED", "INPROGRESS", "SUCCESSFUL")
_WORST_RANK = {state: rank for rank, state in enumerate(_WORST_FIRST)}


def approvers(pull_request: PullRequest, rules: SyncRules) -> list[str]:
    """Who approves and counts: neither the author nor a bot."""
    return sorted(one for one in pull_request.approved_by if one != pull_request.author and one not in rules.bots)


def _slug(repository: RepositoryId, rules: SyncRules) -> str:
    for known in rules.repositories:
        if known.id == repository:
            return known.slug
    return repository


# One function per kind: all attributes at once, as these are the innermost lines of every plan. None is empty; moments
# are still datetimes, `_shown` makes texts of them.
def _pull_request(pr: PullRequest, rules: SyncRules) -> dict[str, Any]:
    counted = approvers(pr, rules) if pr.approved_by else []
    return {
        "id": pr.key.number,
        "repository": _slug(pr.key.repository, rules),
        "url": pr.url,
        "title": link.title_without_prefix(pr.title, rules),
        "description": pr.description,
        "state": pr.state,
        "queued": pr.queued,
        "draft": pr.draft,
        "author": pr.author or None,
        "reviewers": sorted(pr.reviewers),
        "approvals": len(counted),
        "approved_by": counted,
        "changes_requested_by": sorted(pr.changes_requested_by),
        "source_branch": pr.source_branch,
        "destination_branch": pr.destination_branch,
        "source_commit": pr.source_commit or None,
        "merge_commit": pr.merge_commit or None,
        "comment_count": pr.comment_count,
        "open_tasks": pr.open_tasks,
        "created_on": pr.created_on,
        "updated_on": pr.updated_on,
        "merged_on": pr.merged_on,
        "closed_by": pr.closed_by or None,
        "reason": pr.reason or None,
    }


# The same words once more, for those that fields are mapped to most.
_SHORT: Mapping[str, Callable[[PullRequest, SyncRules], Any]] = {
    "title": lambda pr, rules: link.title_without_prefix(pr.title, rules),
    "description": lambda pr, _: pr.description,
    "reviewers": lambda pr, _: sorted(pr.reviewers),
    "state": lambda pr, _: pr.state,
    "draft": lambda pr, _: pr.draft,
    "source_commit": lambda pr, _: pr.source_commit or None,
    "merged_on": lambda pr, _: pr.merged_on,
}


def _branch(branch: Branch, rules: SyncRules) -> dict[str, Any]:
    return {
        "name": branch.name,
        "repository": _slug(branch.repository, rules),
        "url": branch.url,
        "target_commit": branch.target_commit,
        "target_on": branch.target_on,
        "author": branch.author or None,
        "ahead": bool(branch.ahead),
    }


def _commit(commit: Commit, rules: SyncRules) -> dict[str, Any]:
    return {
        "hash": commit.hash,
        "repository": _slug(commit.repository, rules),
        "url": commit.url,
        "message": commit.message,
        "author": commit.author or None,
        "date": commit.date,
    }


def _build(build: Build, _rules: SyncRules) -> dict[str, Any]:
    return {
        "key": build.key,
        "name": build.name,
        "state": build.state,
        "url": build.url or None,
        "commit": build.commit,
        "updated_on": build.updated_on,
    }


def _deployment(deployment: Deployment, _rules: SyncRules) -> dict[str, Any]:
    return {
        "environment": deployment.environment,
        "environment_type": deployment.environment_type,
        "state": deployment.state,
        "commit": deployment.commit,
        "release": deployment.release or None,
        "url": deployment.url or None,
        "completed_on": deployment.completed_on,
    }


ALL_OF: Mapping[str, Callable[[Any, SyncRules], dict[str, Any]]] = {
    "pr": _pull_request,
    "branch": _branch,
    "commit": _commit,
    "build": _build,
    "deployment": _deployment,
}


def _needs(attribute: str) -> frozenset[List]:
    """The lists that must be complete before the attribute of a primary means anything."""
    primary = attribute.partition(".")[0]
    lists = {PRIMARIES[primary]}
    if primary in ("branch", "build"):
        # The primary's source branch and builds are meant: which is the primary must be known first.
        lists.add(List.PULL_REQUESTS)
    return frozenset(lists)


MOMENTS = {
    kind: tuple(entry.key for entry in ATTRIBUTES.values() if entry.primary == kind and entry.kind is Kind.INSTANT)
    for kind in PRIMARIES
}
NEEDS: Mapping[str, frozenset[List]] = {name: _needs(name) for name in ATTRIBUTES}


def source(attribute: str, linked: link.Linked) -> PullRequest | Branch | Commit | Build | Deployment | None:
    """The piece of work that `pr.…`, `branch.…`, `build.…` or `deployment.…` speaks of; None when there is none."""
    match attribute.partition(".")[0]:
        case "pr":
            return linked.primary
        case "branch":
            return _primary_branch(linked)
        case "build":
            return _worst_build(linked)
        case "commit":
            return linked.commits[0] if linked.commits else None
        case _:
            return linked.deployments[0] if linked.deployments else None


def _primary_branch(linked: link.Linked) -> Branch | None:
    primary = linked.primary
    if primary is not None:
        for branch in linked.branches:
            if branch.name == primary.source_branch and branch.repository == primary.source_repository:
                return branch
    return linked.branches[0] if linked.branches else None


def _worst_build(linked: link.Linked) -> Build | None:
    """The worst of the primary's builds, the newest among equals."""
    head = linked.primary.source_commit if linked.primary is not None else ""
    if not head:
        return None
    builds = [build for build in linked.builds if build.commit.startswith(head)]
    # `builds` is newest first and `min` keeps the first of equals. An unknown state is never taken for success.
    return min(builds, key=lambda build: _WORST_RANK.get(build.state, 0), default=None)


def read(kind: str, key: str, found: Any, rules: SyncRules) -> Any:
    """One attribute, without making all of them where it stands as it is."""
    short = _SHORT.get(key) if kind == "pr" else None
    if short is not None:
        return short(found, rules)
    return ALL_OF[kind](found, rules)[key]
