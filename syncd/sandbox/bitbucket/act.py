"""One act in progress: who does it, when, what it truly changed and whom it tells. Requests and people's acts share it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncd.sandbox.bitbucket.deliveries import Outbox, Parts
from syncd.sandbox.bitbucket.world import Activity, PullRequest, Repository, User, World
from syncd.sandbox.wire import Change


@dataclass(slots=True, kw_only=True)
class Act:
    """The context of every change to the world."""

    world: World
    outbox: Outbox
    now: datetime
    actor: User
    changes: list[Change] = field(default_factory=list)

    def changed(self, kind: str, name: str, attribute: str, before: Any, after: Any) -> None:
        """Note the true effect on one attribute; nothing is noted when it did not change."""
        if before != after:
            self.changes.append(Change(kind=kind, object=name, attribute=attribute, before=before, after=after))

    def emit(self, event: str, repository: Repository, parts: Parts) -> None:
        """Tell the hooks of a repository."""
        self.outbox.emit(event, repository, self.actor, parts, self.now)


def name_of(pr: PullRequest) -> str:
    """A pull request in the log: `workspace/slug#id`."""
    return f"{pr.repository.full_name}#{pr.id}"


def branch_name(repository: Repository, branch: str) -> str:
    """A branch in the log: `workspace/slug:branch`."""
    return f"{repository.full_name}:{branch}"


def record(act: Act, pr: PullRequest, kind: str, data: dict[str, Any]) -> None:
    """Append to the activity log of the repository."""
    entry = Activity(
        sequence=act.world.count("activity"), pull_request=pr, kind=kind, at=act.now, user=act.actor, data=data
    )
    pr.repository.activity.append(entry)


def record_update(act: Act, pr: PullRequest, changes: dict[str, Any]) -> None:
    """Append the snapshot after a change (reference/bitbucket.md 7.1, Activity)."""
    data = {
        "state": pr.state,
        "draft": pr.draft,
        "title": pr.title,
        "description": pr.description,
        "reason": pr.reason,
        "reviewers": tuple(pr.reviewers),
        "changes": changes,
        "source": pr.source_branch,
        "source_hash": pr.source_hash,
        "source_repository": pr.source_repository,
        "destination": pr.destination_branch,
        "destination_hash": pr.destination_hash,
    }
    record(act, pr, "update", data)
