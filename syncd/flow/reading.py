"""
What is read of one repository in one go: each object completed by what its own answer does not tell, then saved together.

What nobody's rules read is not asked for; an object that cannot be completed is set apart by itself.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from syncd import errors, log, ports
from syncd.core import link
from syncd.flow import fault
from syncd.flow.context import Context
from syncd.model.event import Dirt, DirtyWork
from syncd.model.ids import RecordId, RepositoryId, SyncName
from syncd.model.schema import Repository
from syncd.model.work import Branch, Build, Commit, Deployment, List, PullRequest
from syncd.spec.expression import Expression
from syncd.spec.rules import SyncRules

_log = log.logger("flow.reading")

T = TypeVar("T")
R = TypeVar("R")

FINAL_STATES = frozenset({"MERGED", "DECLINED", "SUPERSEDED"})
# Of what a first listing shows and nothing links by its name, only what moved so lately is asked for its commits: a call for
# each of a thousand forgotten branches and merged pull requests would use up the hour again and again.
RECENT = timedelta(days=30)
# Of deployments: their state still changes.
UNFINISHED = frozenset({"UNDEPLOYED", "IN_PROGRESS"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which parts of work this sync's rules read: what nobody reads is not asked for."""

    builds: bool
    deployments: bool
    merged_on: bool
    open_tasks: bool


def wanted(syncs: Iterable[SyncRules]) -> Wanted:
    """What the rules of syncs that share a repository read beside pull requests, branches and their commits."""
    parts = [_wanted(sync) for sync in syncs]
    return Wanted(
        builds=any(one.builds for one in parts),
        deployments=any(one.deployments for one in parts),
        merged_on=any(one.merged_on for one in parts),
        open_tasks=any(one.open_tasks for one in parts),
    )


def _expressions(sync: SyncRules) -> list[Expression]:
    expressions = [rule.value for rule in sync.fields if rule.value is not None]
    expressions += [rule.when for rule in sync.actions]
    if sync.status is not None:
        expressions += [edge.when for edge in sync.status.transitions if edge.when is not None]
    return expressions


def decides_by(sync: SyncRules, attributes: Iterable[str]) -> bool:
    """
    Whether a rule of the sync computes or decides something from one of these attributes of a pull request.

    Args:
        attributes: without their primary, e.g. "title".
    """
    # A quantifier may compare any attribute, and names only its list.
    return any(
        f"pr.{name}" in one.names or ("prs" in one.names and name in one.source)
        for name in attributes
        for one in _expressions(sync)
    )


def _wanted(sync: SyncRules) -> Wanted:
    expressions = _expressions(sync)
    lists = {name for expression in expressions for name in expression.lists}
    names = {name for expression in expressions for name in expression.names}
    attributes = {rule.attribute for rule in sync.fields if rule.attribute}
    return Wanted(
        builds=List.BUILDS in lists or any(name.startswith("build.") for name in attributes),
        deployments=List.DEPLOYMENTS in lists or any(name.startswith("deployment.") for name in attributes),
        # A quantifier may compare any attribute, and names only its list.
        merged_on="pr.merged_on" in attributes | names or any("merged_on" in one.source for one in expressions),
        open_tasks="pr.open_tasks" in attributes | names or any("open_tasks" in one.source for one in expressions),
    )


def marking_of(context: Context, repository: RepositoryId, lane: ports.Lane, now: datetime) -> ports.Marking:
    """Whose records a change of this repository makes dirty: those of every sync that reads it."""
    return ports.Marking(syncs=tuple(sync.name for sync in context.sharing(repository)), lane=lane, now=now)


class Reading:
    """
    What was read of one repository in one go, before it is put into the mirror together.

    Args:
        new_since: in a first listing, what is older counts as forgotten (`RECENT`).
    """

    def __init__(self, context: Context, repository: Repository, *, new_since: datetime | None = None) -> None:
        self._new_since = new_since
        self._context = context
        self._repository = repository
        self._syncs = context.sharing(repository.id)
        self._wanted = wanted(self._syncs)
        self._known = {one.key.number: one for one in context.store.load_pull_requests(repository.id)}
        self._known_branches = {one.name: one for one in context.store.load_branches(repository.id)}
        self.read: list[PullRequest] = []
        self._branches: list[Branch] = []
        self._gone: list[str] = []
        self._complete = False
        self._open_sources: frozenset[str] | None = None
        self._commits: dict[str, tuple[Commit, ...]] = {}
        self._builds: dict[str, tuple[Build, ...]] = {}
        self._deployments: list[Deployment] = []
        self.odd: dict[DirtyWork, str] = {}
        self._answers = False
        self._links: dict[SyncName, dict[str, tuple[RecordId, ...]]] = {sync.name: {} for sync in self._syncs}

    def pull_requests(self, read: Iterable[PullRequest], *, apart: bool = False) -> None:
        """
        Take pull requests, with the commits of heads that moved, builds of theirs, and the merge time, asked once.

        Args:
            apart: one of which something cannot be read is set apart; without it, it fails the read.
        """
        for pull_request in read:
            if not apart:
                self.read.append(self._completed(pull_request))
            elif done := self._or_apart(Dirt.PULL_REQUEST, str(pull_request.key.number), self._completed, pull_request):
                self.read.append(done)

    def _or_apart(self, dirt: Dirt, name: str, take: Callable[[T], R], read: T) -> R | None:
        """What `take` makes of an object of a listing; None when it cannot: then it alone is unknown (I22)."""
        try:
            return take(read)
        except errors.Throttled:
            raise
        except errors.ServiceError as error:
            if not self._answers:
                # The object, or everything? Only a repository that answers makes it the object's own trouble.
                self._context.changelog.fetch_repository(self._repository.id)
                self._answers = True
            self._set_apart(dirt, name, error.message)
        except errors.SyncdError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours in one object must not stop the others (I22)
            _log.error(
                "work.failed", repository=self._repository.slug, kind=type(error).__name__, trace=fault.trace(error)
            )
            self._set_apart(dirt, name, fault.told(error))
        return None

    def _set_apart(self, dirt: Dirt, name: str, reason: str) -> None:
        self.odd[DirtyWork(repository=self._repository.id, dirt=dirt, name=name)] = reason

    def odd_pull_requests(self, odd: Iterable[ports.Odd]) -> None:
        """Set apart what a listing showed and nobody can read, and say whose it may be: those records' work is unknown."""
        for one in odd:
            self._set_apart(Dirt.PULL_REQUEST, one.name, one.reason)
            known = self._known.get(int(one.name))
            for sync in self._syncs:
                records = link.hinted(one.source_branch, one.title, sync)
                if known is not None:
                    records |= link.evidence(known, sync).keys()
                self._links[sync.name][f"pr:{one.name}"] = tuple(sorted(records))

    def odd_branches(self, odd: Iterable[ports.Odd]) -> None:
        """Likewise; one that is known stays as it is, because it is there."""
        for one in odd:
            self._set_apart(Dirt.BRANCH, one.name, one.reason)
            if one.name in self._known_branches:
                self._branches.append(self._known_branches[one.name])
            for sync in self._syncs:
                self._links[sync.name][f"branch:{one.name}"] = tuple(sorted(link.record_ids(one.name)))

    def mark_odd(self, now: datetime) -> None:
        """Let everything odd be read by itself, and given up by itself; what waits for that already is left alone."""
        waiting = {mark.work for mark in self._context.store.load_dirty_work(self._repository.id)}
        fresh = [(work, None) for work in self.odd if work not in waiting]
        self._context.store.mark_work(fresh, now, now)

    def _completed(self, read: PullRequest) -> PullRequest:
        known = self._known.get(read.key.number)
        changelog, number = self._context.changelog, read.key.number
        same_head = known is not None and known.source_commit == read.source_commit
        records = known.commit_records if known is not None else ()
        over = read.state in FINAL_STATES
        # Before the first call that may fail: whose it may be is known, and those records wait for it (I12).
        read = replace(read, commit_records=records)
        self._link(read, known)
        if not same_head and not (over and (known is not None or self._forgotten(read.updated_on))):
            head = changelog.fetch_pull_request_commits(self._repository, number)
            self._commits[f"pr:{number}"] = head.commits
            read = replace(read, commit_records=_records_in(head.commits) or records)
        merged_on = known.merged_on if known is not None else None
        asked = self._belongs(read) or not self._forgotten(read.updated_on)
        if read.state == "MERGED" and merged_on is None and self._wanted.merged_on and asked:
            merged_on = changelog.fetch_merged_on(self._repository, number)
        done = replace(read, merged_on=merged_on)
        self._link(done)
        closed = known is not None and known.state == "OPEN" and over
        # Once more at its end: from then on no compare asks for the builds of a head that moves no more.
        if self._wanted.builds and self._belongs(done) and (closed or not same_head) and read.source_commit:
            self._read_builds(read.source_commit)
        if closed:
            self._recheck_branch(read.source_branch)
        return done

    def _forgotten(self, moved_on: datetime) -> bool:
        return self._new_since is not None and moved_on < self._new_since

    def _asks(self, branch: Branch, known: Branch | None) -> bool:
        """Whether a branch's commits are worth a call: it is linked, it moved, or it is new and not forgotten."""
        if link.record_ids(branch.name) or branch.name in self._sources():
            return True
        if known is not None:
            return known.target_commit != branch.target_commit
        return not self._forgotten(branch.target_on)

    def _sources(self) -> frozenset[str]:
        """The source branches of open pull requests that belong to a record."""
        if self._open_sources is None:
            self._open_sources = frozenset(
                one.source_branch for one in self._current().values() if one.state == "OPEN" and self._belongs(one)
            )
        return self._open_sources

    def _link(self, read: PullRequest, before: PullRequest | None = None) -> None:
        """Say whom a pull request belongs to by its looks, and by those it had before as long as they stand in the mirror."""
        for sync in self._syncs:
            records = {*link.evidence(read, sync), *(() if before is None else link.evidence(before, sync))}
            self._links[sync.name][f"pr:{read.key.number}"] = tuple(sorted(records))

    def _belongs(self, read: PullRequest) -> bool:
        """Whether a pull request belongs to a record by its looks, in any sync that reads the repository."""
        return any(link.evidence(read, sync) for sync in self._syncs)

    def _current(self) -> Mapping[int, PullRequest]:
        """Every pull request of the repository, as read now or else as known, by number."""
        return dict(sorted({**self._known, **{one.key.number: one for one in self.read}}.items()))

    def evidence_again(self) -> None:
        """Say of what was not read now, too, whom it belongs to: a sync may be new, or its prefix another than then."""
        read = {one.key.number for one in self.read}
        for number, one in self._known.items():
            if number not in read:
                self._link(one)

    def _recheck_branch(self, name: str) -> None:
        # After a merge the source branch is usually deleted, and has nothing that its destination lacks.
        if name in self._known_branches and not any(branch.name == name for branch in self._branches):
            self.branches([(name, self._context.changelog.fetch_branch(self._repository, name))], again=True)

    def branches(
        self, read: Iterable[tuple[str, Branch | None]], *, complete: bool = False, again: bool = False
    ) -> None:
        """
        Take branches (None: not there any more) and ask what a moved head has that the main branch lacks.

        When the main branch moved, what was ahead of it may not be any more. `ahead` is always against the main branch,
        also where a rule opens its pull request into another.
        """
        read = list(read)
        if not self._repository.main_branch and any(branch is not None for _, branch in read):
            # It was empty when it was last looked at; its first branch is here now.
            self._repository = self._context.changelog.fetch_repository(self._repository.id)
        # The main branch last: when the rest could not be asked, it counts as not moved yet.
        read = sorted(read, key=lambda pair: pair[0] == self._repository.main_branch)
        overtaken = self._overtaken(dict(read))
        if not complete:
            named = {name for name, _ in read}
            read = [*((name, one) for name, one in overtaken.items() if name not in named), *read]

        def take(branch: Branch) -> Branch:
            return self._headed(branch, again=again or branch.name in overtaken)

        for name, branch in read:
            if branch is None:
                self._gone.append(name)
                continue
            known = self._known_branches.get(name, branch)
            self._link_branch(branch, *link.of_branch(known))
            done = self._or_apart(Dirt.BRANCH, name, take, branch) if complete else take(branch)
            # It is there; what it is ahead of is not known.
            done = done or replace(known, ahead=None)
            self._branches.append(done)
            self._link_branch(done)
        self._complete = self._complete or complete

    def branches_of_records(self) -> list[str]:
        """Names of the branches that are known to belong to records, in order."""
        return sorted(name for name, one in self._known_branches.items() if link.of_branch(one))

    def _link_branch(self, read: Branch, *before: RecordId) -> None:
        records = tuple(sorted({*link.of_branch(read), *before}))
        for sync in self._syncs:
            self._links[sync.name][f"branch:{read.name}"] = records

    def _headed(self, branch: Branch, *, again: bool) -> Branch:
        """The branch with what its head has that the main branch lacks, asked only where that may be another than before."""
        known = self._known_branches.get(branch.name)
        if branch.name == self._repository.main_branch:
            return replace(branch, ahead=False)
        if known is not None and known.target_commit == branch.target_commit and not again and known.ahead is not None:
            return replace(branch, ahead=known.ahead, commit_records=known.commit_records)
        if not again and not self._asks(branch, known):
            return branch
        head = self._context.changelog.fetch_head(self._repository, branch.target_commit, self._repository.main_branch)
        self._commits[f"branch:{branch.name}"] = head.commits
        return replace(branch, ahead=bool(head.commits), commit_records=_records_in(head.commits))

    def _overtaken(self, read: Mapping[str, Branch | None]) -> Mapping[str, Branch]:
        """The linked branches that were ahead of where the main branch was before this read."""
        main = self._repository.main_branch
        before, after = self._known_branches.get(main), read.get(main)
        if before is None or after is None or before.target_commit == after.target_commit:
            return {}
        return {
            name: one
            for name, one in self._known_branches.items()
            if one.ahead and (link.of_branch(one) or name in self._sources())
        }

    def builds_of(self, commits: Iterable[str]) -> None:
        """Take the builds of these commits, when they are the head of a pull request that belongs to a record."""
        heads = {one.source_commit for one in (*self._known.values(), *self.read) if one.source_commit}
        for commit in commits:
            if self._wanted.builds and any(commit.startswith(head) for head in heads):
                self._read_builds(commit)

    def tasks_of_open(self) -> None:
        """Take every open linked pull request that no list showed: a task that is resolved need not move its update time."""
        if not self._wanted.open_tasks:
            return
        read = {one.key.number for one in self.read}
        for number, one in self._known.items():
            if number in read or one.state != "OPEN" or not self._belongs(one):
                continue
            self._or_apart(Dirt.PULL_REQUEST, str(number), self._read_task, number)

    def _read_task(self, number: int) -> None:
        self.pull_requests([self._context.changelog.fetch_pull_request(self._repository, number)])

    def builds_of_open(self) -> None:
        """Take the builds of every open linked head: nothing else repairs a lost build event."""
        if not self._wanted.builds:
            return
        for one in self._current().values():
            if (
                one.state == "OPEN"
                and one.source_commit
                and one.source_commit not in self._builds
                and self._belongs(one)
            ):
                self._or_apart(Dirt.COMMIT, one.source_commit, self._read_builds, one.source_commit)

    def waits_for_builds_of(self, commit: str) -> bool:
        """Whether the builds of this commit are still to be read: it is a head, and they were not read with the others."""
        heads = {one.source_commit for one in self._current().values() if one.source_commit}
        return any(commit.startswith(head) for head in heads - self._builds.keys())

    def _read_builds(self, commit: str) -> None:
        self._builds[commit] = self._context.changelog.fetch_builds(self._repository, commit)

    def deployments(self, *, again: bool) -> None:
        """
        Take deployments, and find whose merged commits each one holds, asked once per pair.

        Args:
            again: all of them; else what is new since they were last read, and what was not finished then.
        """
        if not self._wanted.deployments:
            return
        stored = {one.id: one for one in self._context.store.load_deployments(self._repository.id)}
        read = self._fetch_deployments({} if again else stored)
        self._deployments += read
        merged = [one for one in self._current().values() if one.state == "MERGED" and one.merge_commit]
        for sync in self._syncs:
            linked = [(one, records) for one in merged if (records := tuple(link.evidence(one, sync)))]
            # Also of those that are as they were: what they hold may have been merged, or linked, in the meantime.
            for deployment in {**stored, **{one.id: one for one in read}}.values():
                held = {record for one, records in linked if self._holds(deployment, one) for record in records}
                self._links[sync.name][f"deployment:{deployment.id}"] = tuple(sorted(held))

    def _fetch_deployments(self, stored: Mapping[str, Deployment]) -> Sequence[Deployment]:
        read = self._context.changelog.fetch_deployments(self._repository, frozenset(stored))
        open_ids = {one.id for one in stored.values() if one.state in UNFINISHED}
        if open_ids <= {one.id for one in read}:
            return read
        # One that was under way lies behind a page of finished ones: only the whole list tells how it ended.
        return self._context.changelog.fetch_deployments(self._repository, frozenset())

    def _holds(self, deployment: Deployment, merged: PullRequest) -> bool:
        head, commit, ended = deployment.commit, merged.merge_commit, deployment.completed_on
        if not head or (ended is not None and ended < (merged.merged_on or merged.created_on)):
            return False
        if head.startswith(commit):
            return True
        key = f"ancestor:{self._repository.id}:{commit}:{head}"
        answer = self._context.store.load_text(key)
        if answer is None:
            holds = self._context.changelog.fetch_is_ancestor(self._repository, commit, head)
            answer = "yes" if holds else "no"
            self._context.store.save_text(key, answer)
        return answer == "yes"

    def save(
        self, now: datetime, marks: Sequence[ports.DirtyWorkMark], *, listed_at: datetime | None = None
    ) -> Mapping[SyncName, frozenset[RecordId]]:
        """Put all of it into the mirror in one transaction and mark the records whose work changed."""
        return self._context.store.save_work(
            self._repository.id,
            pull_requests=self.read,
            branches=self._branches,
            branches_gone=self._gone,
            commits=self._commits,
            builds=self._builds,
            deployments=self._deployments,
            links=self._links,
            done=marks,
            listed_at=listed_at,
            branches_complete=self._complete,
            marking=marking_of(
                self._context,
                self._repository.id,
                ports.Lane.COMPARE if listed_at is not None else ports.Lane.EDIT,
                now,
            ),
        )


def _records_in(commits: Iterable[Commit]) -> tuple[RecordId, ...]:
    found = {record for commit in commits for record in link.record_ids(commit.message)}
    return tuple(sorted(found))
