"""
What both sides must hold once nothing moves any more: computed from the spec and the true state alone (I01, I11).

It shares no line with `core`: only the spec's rules and its expression language. Where SPEC leaves several outcomes open
(a field that was never agreed, a value that may be tolerated) it says nothing.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from syncd.model.change import Owner
from syncd.model.work import List
from syncd.sandbox.airtable import cells as airtable_cells
from syncd.sandbox.bitbucket import refs
from syncd.sandbox.bitbucket.graph import is_ancestor
from syncd.sandbox.bitbucket.world import PullRequest, Repository
from syncd.sandbox.wire import LogEntry
from syncd.spec.attributes import empty_element
from syncd.spec.expression import ExpressionError
from syncd.spec.rules import CreateBranchRule, FieldRule, ForeignEditRule, SyncRules

_RECORD = re.compile(r"(?=(rec[A-Za-z0-9]{14}))")
_WORST = ("FAILED", "STOPPED", "INPROGRESS", "SUCCESSFUL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as it must be. `invariant`: I01 for values, I11 for what a rule makes."""

    invariant: str
    record: str
    what: str
    expected: Any
    found: Any


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
        self.work = {record: self._work(record) for record in self.records()}

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

    def _work(self, record: str) -> Work:
        known = self.remembered.get(record, frozenset())
        linked = [
            pr
            for repository in self.repositories
            for pr in repository.pull_requests.values()
            if (repository.uuid, pr.id) in known or record in self.belongs(pr)
        ]
        branches = []
        for repository in self.repositories:
            main = repository.branches.get(repository.main)
            for branch in repository.branches.values():
                lacks = refs.ahead(repository, branch.target, main.target) if main is not None else []
                source = any(pr.source_branch == branch.name and pr.source_repository is repository for pr in linked)
                if source or record in branch.name or any(record in commit.message for commit in lacks):
                    branches.append((repository, branch.name))
        work = Work(pull_requests=linked, branches=branches)
        work.scope = self._scope(record, work)
        return work

    # ------------------------------------------------------------------------------------- for expressions

    def _scope(self, record: str, work: Work) -> dict[str, Any]:
        cells = self.cells(record)
        newest = sorted(work.pull_requests, key=lambda pr: (pr.created_on, pr.repository.uuid, pr.id), reverse=True)
        lists: dict[List, list[dict[str, Any]]] = {
            List.PULL_REQUESTS: [self.attributes(pr) for pr in newest],
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
            "pr": empty_element(List.PULL_REQUESTS) if primary is None else self.attributes(primary),
            "branch": next(iter(lists[List.BRANCHES]), empty_element(List.BRANCHES)),
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

    def _branch(self, repository: Repository, name: str) -> dict[str, Any]:
        branch, main = repository.branches.get(name), repository.branches.get(repository.main)
        lacks = [] if branch is None or main is None else refs.ahead(repository, branch.target, main.target)
        return {
            **empty_element(List.BRANCHES),
            "name": name,
            "repository": repository.slug,
            "target_commit": "" if branch is None else branch.target[:12],
            "ahead": bool(lacks),
        }

    def _builds(self, pr: PullRequest) -> list[dict[str, Any]]:
        found = pr.repository.statuses.get(pr.source_hash, {})
        return [
            {**empty_element(List.BUILDS), "key": one.key, "name": one.name, "state": one.state, "commit": one.hash}
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
                        }
                    )
        return found

    # ---------------------------------------------------------------------------------------- what must be

    def differences(
        self, moved: "Moves", excused: frozenset[str], conflicts: frozenset[tuple[str, str]]
    ) -> list[Difference]:
        """
        Everything that is not as it must be.

        Args:
            excused: records, or "record/field name", about which nothing is said (held, parked, drifted).
            conflicts: (record, field id) with an open conflict.
        """
        found: list[Difference] = []
        for record, work in self.work.items():
            if record in excused or not self._in_scope(work):
                continue
            hold = self.rules.columns.hold
            if hold is not None and work.scope["record"].get(hold.name):
                continue
            for rule in self.rules.fields:
                if f"{record}/{rule.field.name}" in excused or (record, rule.field.id) in conflicts:
                    continue
                found += self._field(record, work, rule, moved)
            if self.rules.link.url is not None and work.primary is not None:
                name = next(one.name for one in self.rules.table_fields.values() if one.id == self.rules.link.url)
                if f"{record}/{name}" not in excused:
                    found += self._url(record, name, work)
            found += self._status(record, work, excused)
            found += self._actions(record, work, moved)
        return found

    def _url(self, record: str, name: str, work: Work) -> list[Difference]:
        """A renamed repository answers under its old addresses too: they are followed, and need not be written anew."""
        pr, shown_url = work.primary, str(work.scope["record"].get(name) or "")
        assert pr is not None  # the caller's condition
        called = [known for known, id in self.names.items() if id == pr.repository.uuid]
        if any(shown_url == f"https://bitbucket.org/{known}/pull-requests/{pr.id}" for known in called):
            return []
        return _unless_equal("I01", record, name, work.scope["pr"]["url"], shown_url)

    def _in_scope(self, work: Work) -> bool:
        try:
            return self.rules.where is None or bool(self.rules.where.evaluate(work.scope))
        except ExpressionError:
            return False

    def _field(self, record: str, work: Work, rule: FieldRule, moved: "Moves") -> list[Difference]:
        name, cell, primary = rule.field.name, work.scope["record"].get(rule.field.name), work.primary
        if rule.value is not None:
            if not (work.pull_requests or work.branches):
                return []
            return _unless_equal("I01", record, name, rule.value.evaluate(work.scope), cell)
        kind, _, key = (rule.attribute or "").partition(".")
        if not (rule.writable and rule.owner in (Owner.AIRTABLE, Owner.BOTH)):
            has = {"pr": primary is not None, "build": work.scope["build"]["state"] is not None}.get(kind, True)
            if not has:
                return []
            raw = work.scope[kind][key]
            if norm(raw) is None and (record, rule.field.id) not in moved.wrote:
                return []  # never agreed: nothing is cleared before the owner had a value
            return _unless_equal("I01", record, name, rule.map.get(str(raw), raw) if rule.map else raw, cell)
        if primary is None:
            return []
        targets = [primary]
        if rule.each and primary.state == "OPEN":
            targets = [pr for pr in work.pull_requests if pr.state == "OPEN"]
        found: list[Difference] = []
        for pr in targets:
            lead, owners = self.lead(pr), self.belongs(pr)
            mine = lead == record or (lead is None and owners <= {record})
            if pr.state != "OPEN" or not mine or norm(cell) is None:
                continue
            held = self.attributes(pr)[key]
            if rule.foreign_edit is not ForeignEditRule.REVERT and rule.owner is Owner.AIRTABLE:
                place = f"{pr.repository.full_name}#{pr.id}"
                # Tolerated: the other side's edit came last, or too close to tell which was seen first.
                if moved.after(place, key, record, rule.field.id):
                    continue
            wanted = " ".join(str(cell).split()) if key == "title" else cell
            found += _unless_equal("I01", record, f"{name} on #{pr.id}", wanted, held)
        return found

    def _status(self, record: str, work: Work, excused: frozenset[str]) -> list[Difference]:
        status = self.rules.status
        if status is None or f"{record}/{status.field.name}" in excused:
            return []
        cell = work.scope["record"].get(status.field.name)
        if cell is None:
            return [
                Difference(invariant="I01", record=record, what=status.field.name, expected=status.initial, found=None)
            ]
        for edge in status.transitions:
            if edge.owner is Owner.AIRTABLE or edge.when is None or cell not in edge.sources or edge.target == cell:
                continue
            if edge.when.evaluate(work.scope):
                what = f"{status.field.name} ({edge.key} holds)"
                return [Difference(invariant="I01", record=record, what=what, expected=edge.target, found=cell)]
        return []

    def _actions(self, record: str, work: Work, moved: "Moves") -> list[Difference]:
        found: list[Difference] = []
        for rule in self.rules.actions:
            if not rule.when.evaluate(work.scope) or (
                record in moved.had_branch and isinstance(rule, CreateBranchRule)
            ):
                continue
            if isinstance(rule, CreateBranchRule):
                place = self.rules.create_in
                chosen = work.scope["record"].get(place.field) if place is not None and place.field else "here"
                if chosen and not work.branches:
                    found.append(
                        Difference(invariant="I11", record=record, what=rule.key, expected="a branch", found=None)
                    )
            elif any(one["ahead"] for one in work.scope["branches"]) and norm(work.scope["name"]) is not None:
                had = work.pull_requests or record in moved.had_pull_request
                if not had:
                    found.append(
                        Difference(invariant="I11", record=record, what=rule.key, expected="a pull request", found=None)
                    )
        return found


@dataclass(slots=True, kw_only=True)
class Moves:
    """When people last moved each place, from the services' own logs, and which records ever had work."""

    at: dict[tuple[str, str], datetime] = field(default_factory=dict)
    had_branch: set[str] = field(default_factory=set)
    had_pull_request: set[str] = field(default_factory=set)
    wrote: set[tuple[str, str]] = field(default_factory=set)

    def after(self, place: str, attribute: str, record: str, cell: str) -> bool:
        """Whether the pull request's attribute was moved by a person after the cell was, or nearly so."""
        there, here = self.at.get((place, attribute)), self.at.get((record, cell))
        if there is None:
            return False
        return here is None or (there - here).total_seconds() > -60


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


def _unless_equal(invariant: str, record: str, what: str, expected: Any, found: Any) -> list[Difference]:
    left, right = norm(expected), norm(found)
    if left == right or (isinstance(left, str) and isinstance(right, str) and _cut(left, right)):
        return []
    return [Difference(invariant=invariant, record=record, what=what, expected=expected, found=found)]


def _cut(left: str, right: str) -> bool:
    """Whether one is the other, cut with a visible ellipsis (BB28)."""
    short, long = sorted((left, right), key=len)
    return short.endswith("…") and len(short) > 150 and long.startswith(short[:-1].rstrip())
