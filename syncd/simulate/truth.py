"""
Both services as they truly are, for one sync: each record's cells and work, as expressions and people see them.

It shares no line with the adapters or `core`: it reads the emulated services' own worlds.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from syncd.model.work import List
from syncd.sandbox.airtable import cells as airtable_cells
from syncd.sandbox.bitbucket import refs
from syncd.sandbox.bitbucket.graph import is_ancestor
from syncd.sandbox.bitbucket.world import Branch, PullRequest, Repository
from syncd.sandbox.wire import LogEntry
from syncd.simulate.world import PRIVATE, STRANGE_BRANCH, STRANGERS
from syncd.spec.attributes import empty_element
from syncd.spec.expression import Expression
from syncd.spec.rules import SyncRules

_RECORD = re.compile(r"(?=(rec[A-Za-z0-9]{14}))")
UNJUDGED = frozenset({"pr.updated_on", "branch.url", "deployment.release", "deployment.url", "deployment.completed_on"})
"""What no event tells of, or what is shown as the service pleases: fields and conditions on these, and on commits, are not judged."""
_WORST = ("FAILED", "STOPPED", "INPROGRESS", "SUCCESSFUL")


@dataclass(slots=True, kw_only=True)
class Work:
    """The true work of one record, with the elements that expressions see."""

    pull_requests: list[PullRequest]
    branches: list[tuple[Repository, str]]
    scope: dict[str, Any] = field(default_factory=dict)

    @property
    def primary(self) -> PullRequest | None:
        """The newest open one; else the newest merged; else the newest."""
        rank = {"OPEN": 2, "QUEUED": 2, "MERGED": 1}
        return max(
            self.pull_requests,
            key=lambda pr: (rank.get(pr.state, 0), pr.created_on, (pr.repository.uuid, pr.id)),
            default=None,
        )


class Truth:
    """
    Both services as they truly are, for one sync.

    Args:
        airtable, bitbucket: the machines' worlds.
        logs: everything that ever happened in Bitbucket.
        repositories: ids of repositories by every name that they ever had.
        remembered: (repository id, number) by record: links once found stay.
    """

    def __init__(
        self,
        rules: SyncRules,
        airtable: Any,
        bitbucket: Any,
        logs: Sequence[LogEntry],
        remembered: Mapping[Any, frozenset[tuple[Any, int]]],
        repositories: Mapping[str, str],
        now: datetime,
    ) -> None:
        self.rules = rules
        self.now = now
        self._world = airtable
        self.table = airtable.bases[rules.base].tables.get(rules.table)
        self.remembered = remembered
        self.repositories: list[Repository] = [
            one
            for workspace in bitbucket.workspaces.values()
            for one in workspace.repositories.values()
            if one.uuid in {known.id for known in rules.repositories} and not one.hidden
        ]
        self.names = repositories
        self.merged_at = {
            self._object(change.object): entry.at
            for entry in logs
            for change in entry.changes
            if change.kind == "pull_request" and change.attribute == "state" and change.after == "MERGED"
        }
        mark = "rec00000000000000"
        before, _, after = ("" if rules.link.title is None else rules.link.title.render({"record_id": mark})).partition(
            mark
        )
        self._prefix = (
            re.compile(f"{re.escape(before.lstrip())}(rec[A-Za-z0-9]{{14}}){re.escape(after.rstrip())}")
            if after or before
            else None
        )
        # What the looks of every pull request and branch say, once for all records.
        claimed = [
            (repository, pr, self.belongs(pr))
            for repository in self.repositories
            for pr in repository.pull_requests.values()
        ]
        told = [
            (repository, branch.name, self._told_of(repository, branch))
            for repository in self.repositories
            for branch in repository.branches.values()
        ]
        self.work = {record: self._work(record, claimed, told) for record in self.records()}

    def _object(self, name: str) -> str:
        """A pull request by its repository's id, whatever the repository was called."""
        place, found, rest = name.partition("#")
        return f"{self.names.get(place, place)}{found}{rest}"

    def records(self) -> list[str]:
        """Every record of the table."""
        return [] if self.table is None else list(self.table.records)

    def cells(self, record: str) -> dict[str, Any]:
        """A record's cells by field name, as the API shows them; empty ones are None, checkboxes false."""
        row = self.table.records[record]
        shown: dict[str, Any] = {}
        for one in self.table.fields.values():
            stored = row.stored(one.id)
            plain = None if stored is None else airtable_cells.rest(self._world, one, stored, self.now)
            shown[one.name] = shown[one.id] = bool(plain) if one.type == "checkbox" else plain
        return shown

    def titled(self, title: str) -> tuple[str | None, str]:
        """The record whose marker the title begins with, and the rest."""
        found = self._prefix.match(title) if self._prefix is not None else None
        return (None, title) if found is None else (found[1], title[found.end() :].lstrip())

    def belongs(self, pr: PullRequest) -> set[str]:
        """The records that a pull request belongs to by its looks."""
        if pr.source_repository is not pr.repository and not self.rules.link.forks:
            return set()
        found = set(_RECORD.findall(pr.source_branch))
        titled, _ = self.titled(pr.title)
        if titled:
            found.add(titled)
        for commit in refs.ahead(pr.repository, pr.source_hash, pr.destination_hash):
            found |= set(_RECORD.findall(commit.message))
        return found

    def lead(self, pr: PullRequest) -> str | None:
        """The one record for which the pull request is written."""
        titled, _ = self.titled(pr.title)
        named = set(_RECORD.findall(pr.source_branch))
        return titled or (named.pop() if len(named) == 1 else None)

    def _told_of(self, repository: Repository, branch: Branch) -> str:
        """Where records are named of whose work a branch is: its name, and what its own commits say."""
        main = repository.branches.get(repository.main)
        lacks = refs.ahead(repository, branch.target, main.target) if main is not None else []
        return "\n".join((branch.name, *(commit.message for commit in lacks)))

    def _work(
        self,
        record: str,
        claimed: Sequence[tuple[Repository, PullRequest, set[str]]],
        told: Sequence[tuple[Repository, str, str]],
    ) -> Work:
        known = self.remembered.get(record, frozenset())
        linked = [pr for repository, pr, owners in claimed if (repository.uuid, pr.id) in known or record in owners]
        branches = [
            (repository, name)
            for repository, name, text in told
            if record in text or any(pr.source_branch == name and pr.source_repository is repository for pr in linked)
        ]
        work = Work(pull_requests=linked, branches=branches)
        work.scope = self._scope(record, work)
        return work

    def mergeable(self, work: Work, into: str) -> bool:
        """Whether a branch of the record has commits that the destination, by default the main branch, lacks."""
        for repository, name in work.branches:
            branch, there = repository.branches.get(name), repository.branches.get(into or repository.main)
            if branch is not None and there is not None and refs.ahead(repository, branch.target, there.target):
                return True
        return False

    # ------------------------------------------------------------------------------------- for expressions

    def _scope(self, record: str, work: Work) -> dict[str, Any]:
        cells = self.cells(record)
        newest = sorted(work.pull_requests, key=lambda pr: (pr.created_on, pr.repository.uuid, pr.id), reverse=True)
        attributes = {id(pr): self.attributes(pr) for pr in newest}
        lists: dict[List, list[dict[str, Any]]] = {
            List.PULL_REQUESTS: list(attributes.values()),
            List.BRANCHES: [self._branch(repository, name) for repository, name in work.branches],
            List.BUILDS: [one for pr in newest if pr.state in ("OPEN", "MERGED") for one in self._builds(pr)],
            List.DEPLOYMENTS: self._deployments(newest),
            List.COMMITS: [],
        }
        primary = work.primary
        counted = primary is not None and primary.state in ("OPEN", "QUEUED", "MERGED")
        builds = (
            []
            if primary is None or not counted
            else sorted(self._builds(primary), key=lambda one: _WORST.index(one["state"]))
        )
        status = self.rules.status
        return {
            "record": cells,
            "record_id": record,
            "name": cells.get(self.rules.primary),
            "status": cells.get(status.field.name) if status is not None else None,
            "today": self.now.date().isoformat(),
            "now": shown(self.now),
            **{name.value: found for name, found in lists.items()},
            "pr": empty_element(List.PULL_REQUESTS) if primary is None else attributes[id(primary)],
            "branch": self._branch_meant(work, lists[List.BRANCHES]),
            "build": builds[0] if builds else empty_element(List.BUILDS),
            "commit": empty_element(List.COMMITS),
            "deployment": next(iter(lists[List.DEPLOYMENTS]), empty_element(List.DEPLOYMENTS)),
        }

    def attributes(self, pr: PullRequest) -> dict[str, Any]:
        """A pull request as expressions and fields see it."""
        verdicts = {part.user.uuid: part.state for part in pr.participants.values()}
        approved = sorted(
            uuid
            for uuid, state in verdicts.items()
            if state == "approved" and uuid != pr.author.uuid and uuid not in self.rules.bots
        )
        merged = self.merged_at.get(f"{pr.repository.uuid}#{pr.id}") if pr.state == "MERGED" else None
        return {
            **empty_element(List.PULL_REQUESTS),
            "id": pr.id,
            "repository": pr.repository.slug,
            "url": f"https://bitbucket.org/{pr.repository.full_name}/pull-requests/{pr.id}",
            "title": " ".join(self.titled(pr.title)[1].split()),
            "description": pr.description,
            "state": "OPEN" if pr.state == "QUEUED" else pr.state,
            "queued": pr.queued,
            "draft": pr.draft,
            "author": pr.author.uuid,
            "reviewers": sorted(one.uuid for one in pr.reviewers),
            "approvals": len(approved),
            "approved_by": approved,
            "changes_requested_by": sorted(uuid for uuid, state in verdicts.items() if state == "changes_requested"),
            "source_branch": pr.source_branch,
            "destination_branch": pr.destination_branch,
            "source_commit": pr.source_hash[:12],
            "merge_commit": pr.merge_hash[:12] if pr.merge_hash else None,
            "comment_count": sum(1 for one in pr.comments.values() if not one.deleted),
            "open_tasks": sum(1 for one in pr.tasks.values() if one.state == "UNRESOLVED"),
            "created_on": shown(pr.created_on),
            "updated_on": shown(pr.updated_on),
            "merged_on": shown(merged) if merged else None,
            "closed_by": None if pr.closed_by is None else pr.closed_by.uuid,
            "reason": pr.reason or None,
        }

    def _branch_meant(self, work: Work, branches: list[dict[str, Any]]) -> dict[str, Any]:
        """The primary's source, else the newest."""
        primary = work.primary
        if primary is not None and primary.source_repository is not None:
            home = primary.source_repository
            same = (one for one in branches if (one["repository"], one["name"]) == (home.slug, primary.source_branch))
            if (found := next(same, None)) is not None:
                return found
        newest = max(branches, key=lambda one: str(one["target_on"]), default=None)
        return empty_element(List.BRANCHES) if newest is None else newest

    def _branch(self, repository: Repository, name: str) -> dict[str, Any]:
        branch, main = repository.branches.get(name), repository.branches.get(repository.main)
        lacks = [] if branch is None or main is None else refs.ahead(repository, branch.target, main.target)
        head = None if branch is None else repository.commits.get(branch.target)
        return {
            **empty_element(List.BRANCHES),
            "name": name,
            "repository": repository.slug,
            "target_commit": "" if branch is None else branch.target,
            "target_on": None if head is None else shown(head.date),
            "author": None if head is None or head.user is None else head.user.uuid,
            "ahead": bool(lacks),
        }

    def _builds(self, pr: PullRequest) -> list[dict[str, Any]]:
        found = pr.repository.statuses.get(pr.source_hash, {})
        return [
            {
                "key": one.key,
                "name": one.name,
                "state": one.state,
                "url": one.url or None,
                "commit": one.hash,
                "updated_on": shown(one.updated_on),
            }
            for one in found.values()
        ]

    def _deployments(self, linked: Sequence[PullRequest]) -> list[dict[str, Any]]:
        found = []
        for repository in self.repositories:
            merged = [pr.merge_hash for pr in linked if pr.repository is repository and pr.merge_hash]
            for one in repository.deployments.values():
                if any(is_ancestor(repository.commits, commit, one.hash) for commit in merged):
                    state = one.status if one.state == "COMPLETED" else one.state
                    found.append(
                        {
                            **empty_element(List.DEPLOYMENTS),
                            "environment": one.environment.name,
                            "environment_type": one.environment.type,
                            "state": state,
                            "commit": one.hash,
                        }
                    )
        return found


def strangers(airtable: Any, bitbucket: Any) -> dict[str, Any]:
    """What no rule names, as it is: a whole table, a field of every other one, and the pull requests of nobody."""
    found: dict[str, Any] = {}
    for base in airtable.bases.values():
        for table in base.tables.values():
            for one in table.fields.values():
                if table.name == STRANGERS or one.name == PRIVATE:
                    found |= {
                        f"{one.name} of {id} in {table.name}": row.stored(one.id) for id, row in table.records.items()
                    }
    for workspace in bitbucket.workspaces.values():
        for repository in workspace.repositories.values():
            for pr in repository.pull_requests.values():
                if pr.source_branch == STRANGE_BRANCH:
                    kept = [
                        pr.title,
                        pr.description,
                        pr.state,
                        pr.draft,
                        pr.source_hash,
                        len(pr.comments),
                        len(pr.tasks),
                    ]
                    verdicts = sorted((one.user.uuid, one.state) for one in pr.participants.values() if one.state)
                    found[f"pull request #{pr.id} of {repository.uuid}"] = (*kept, verdicts)
    return found


def unjudged(made: Expression) -> bool:
    """Whether an expression reads what is not computed here."""
    return List.COMMITS in made.lists or bool(UNJUDGED & made.names)


def norm(raw: Any) -> Any:
    """A value as both services hold it at most: what differs only in this is equal."""
    if raw in (None, "", [], (), False):
        return None
    if isinstance(raw, str):
        text = unicodedata.normalize("NFC", raw.replace("\r\n", "\n").replace("\r", "\n").replace("\u200c", ""))
        text = "\n".join(line.rstrip() for line in text.split("\n")).strip()
        return text or None
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return round(float(raw), 2)
    if isinstance(raw, list | tuple):
        return tuple(sorted(map(str, raw)))
    return raw


def shown(at: datetime) -> str:
    """A moment as Airtable writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
