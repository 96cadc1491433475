"""
Read what may have changed in Bitbucket into the mirror, and name the records whose work it touches.

Every value comes from a read over REST; a repository that cannot be read makes its lists unknown, never empty.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from syncd import errors, log, ports
from syncd.core import link, retry
from syncd.flow import fault
from syncd.flow.context import Context
from syncd.model.event import Dirt, DirtyWork
from syncd.model.ids import RecordId, RepositoryId, SyncName
from syncd.model.schema import Repository
from syncd.model.work import Branch, Build, Commit, Deployment, List, PullRequest
from syncd.spec.rules import SyncRules

_log = log.logger("flow.work")

T = TypeVar("T")
R = TypeVar("R")

# A page of fifty replaces single reads from here on (DESIGN "Fewest calls").
SINGLE_READS_MAX = 5
# The services' clocks and ours differ: time windows overlap (reliability.md I19, CL06).
OVERLAP = timedelta(minutes=10)
CLAIM_MAX = 200
# What was read may be older than the event that led to it: look again after these (BW18).
LOOK_AGAIN = (timedelta(seconds=5), timedelta(seconds=30))
# How long a list may not show what an event told of (reliability.md BB27).
LIST_LAG = timedelta(seconds=30)
FINAL_STATES = frozenset({"MERGED", "DECLINED", "SUPERSEDED"})
# Of what a first listing shows and nothing links by its name, only what moved so lately is asked for its commits: a call for
# each of a thousand forgotten branches and merged pull requests would use up the hour again and again.
RECENT = timedelta(days=30)
# Builds last: they are read of the heads that pull requests have by then.
_ORDER = (Dirt.REPOSITORY, Dirt.PULL_REQUEST, Dirt.BRANCH, Dirt.COMMIT)
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


def _wanted(sync: SyncRules) -> Wanted:
    expressions = [rule.value for rule in sync.fields if rule.value is not None]
    expressions += [rule.when for rule in sync.actions]
    if sync.status is not None:
        expressions += [edge.when for edge in sync.status.transitions if edge.when is not None]
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


def refresh(context: Context, now: datetime, *, early: bool = False) -> int:
    """
    Read dirty work of this sync's repositories and mark the records it belongs to.

    Args:
        early: do not wait for quiet: records are about to be planned from it.

    Returns:
        How many marks were answered or given back.
    """
    marks = context.store.claim_work(context.repository_ids, now, CLAIM_MAX, early=early)
    by_repository: dict[Repository, list[ports.DirtyWorkMark]] = {}
    for mark in marks:
        by_repository.setdefault(context.repository(mark.work.repository), []).append(mark)
    for repository, group in sorted(by_repository.items(), key=lambda pair: pair[0].slug):
        try:
            _refresh_repository(context, repository, group, now)
        except errors.Throttled as error:
            context.store.release_work(group, error.retry_at, failed=False)
        except errors.ServiceError as error:
            attempts = max(mark.attempts for mark in group)
            again = retry.next_attempt(attempts, now, context.ids.jitter())
            trouble = f"{repository.slug} cannot be read: {error.message}"
            context.store.release_work(group, again, failed=True, error=trouble)
            set_trouble(context, repository, trouble, now)
    return len(marks)


def set_trouble(context: Context, repository: Repository, trouble: str, now: datetime) -> None:
    """
    Note whether a repository can be read. A change is said once, and every record that may have work there planned anew.

    Args:
        trouble: why it cannot; "" when it was just read.
    """
    views = context.store.load_repositories([repository.id])
    before = views[0].trouble if views else ""
    if trouble == before:
        return
    if trouble and before:
        context.store.save_trouble(repository.id, trouble)
        return
    context.store.save_trouble(repository.id, trouble, _marking(context, repository.id, ports.Lane.RETRY, now))
    if trouble:
        _log.error("side.lost", sync=context.name, side="bitbucket", repository=repository.slug, reason=trouble)
    else:
        _log.info("side.recovered", sync=context.name, side="bitbucket", repository=repository.slug)


def _marking(context: Context, repository: RepositoryId, lane: ports.Lane, now: datetime) -> ports.Marking:
    return ports.Marking(syncs=tuple(sync.name for sync in context.sharing(repository)), lane=lane, now=now)


def _refresh_repository(
    context: Context, repository: Repository, marks: Sequence[ports.DirtyWorkMark], now: datetime
) -> None:
    if any(mark.work.dirt is Dirt.REPOSITORY for mark in marks):
        read_repository(context, repository, now, marks, thorough=False)
        still = {one.work for one in context.store.load_dirty_work(repository.id)}
        marks = [mark for mark in marks if mark.work in still]
    reading = Reading(context, repository)
    read = _read_marks(context, reading, repository, marks)
    stale = _stale(read.through, reading)
    reading.save(now, [mark for mark in read.through if mark not in stale])
    for attempts in sorted({mark.attempts for mark in stale}):
        again = [mark for mark in stale if mark.attempts == attempts]
        reason = "the service does not show yet what its event told"
        context.store.release_work(again, now + LOOK_AGAIN[attempts], failed=True, error=reason)
    for mark, error in read.failed:
        _put_off(context, repository, mark, error, now)
    if read.throttled is not None:
        context.store.release_work(read.rest, read.throttled.retry_at, failed=False)
    set_trouble(context, repository, "", now)


@dataclass(slots=True)
class _Read:
    """What became of marks: answered; failed on an object of their own; not reached when a budget ran out."""

    through: list[ports.DirtyWorkMark] = field(default_factory=list)
    failed: list[tuple[ports.DirtyWorkMark, errors.ServiceError]] = field(default_factory=list)
    rest: list[ports.DirtyWorkMark] = field(default_factory=list)
    throttled: errors.Throttled | None = None


def _read_marks(
    context: Context, reading: "Reading", repository: Repository, marks: Sequence[ports.DirtyWorkMark]
) -> _Read:
    """
    Read each object by itself: one that cannot be read must not stop the others (I22).

    Raises:
        ServiceError: the repository itself cannot be read.
    """
    read = _Read()
    waiting = sorted(marks, key=lambda mark: (_ORDER.index(mark.work.dirt), len(mark.work.name), mark.work.name))
    try:
        listed = _listed(context, repository, marks)
        while waiting:
            mark = waiting[0]
            try:
                _read_one(context, reading, repository, mark.work, listed)
                read.through.append(mark)
            except errors.Throttled:
                raise
            except errors.ServiceError as error:
                if not read.failed:
                    # The object, or everything? Only a repository that answers makes it the object's own trouble.
                    context.changelog.fetch_repository(repository.id)
                read.failed.append((mark, error))
            except errors.SyncdError:
                raise
            except Exception as error:  # noqa: BLE001 - a fault of ours in one object must not stop the others (I22)
                _log.error(
                    "work.failed", repository=repository.slug, kind=type(error).__name__, trace=fault.trace(error)
                )
                told = errors.Unreachable(fault.told(error), service="bitbucket", request=str(mark.work.dirt.value))
                read.failed.append((mark, told))
            waiting.pop(0)
    except errors.Throttled as error:
        read.throttled, read.rest = error, waiting
    return read


def _read_one(
    context: Context, reading: "Reading", repository: Repository, work: DirtyWork, listed: Mapping[int, PullRequest]
) -> None:
    match work.dirt:
        case Dirt.PULL_REQUEST:
            number = int(work.name)
            # Comments, tasks and builds may not move the update time that the list filters by: read those singly.
            found = listed.get(number) or context.changelog.fetch_pull_request(repository, number)
            reading.pull_requests([found])
        case Dirt.BRANCH:
            reading.branches([(work.name, context.changelog.fetch_branch(repository, work.name))])
        case Dirt.COMMIT:
            reading.builds_of([work.name])


def _listed(
    context: Context, repository: Repository, marks: Sequence[ports.DirtyWorkMark]
) -> Mapping[int, PullRequest]:
    """Pull requests by number, when there are so many marks that a list saves calls."""
    if sum(mark.work.dirt is Dirt.PULL_REQUEST for mark in marks) <= SINGLE_READS_MAX:
        return {}
    since = min(mark.since for mark in marks) - OVERLAP
    try:
        # One that cannot be read there is asked for singly.
        listed = context.changelog.fetch_pull_requests(repository, since, odd=lambda _: None)
    except errors.Throttled:
        raise
    except errors.ServiceError:
        # What spoils the whole list may spoil nothing when each is asked for by itself.
        return {}
    return {one.key.number: one for one in listed}


def _put_off(
    context: Context, repository: Repository, mark: ports.DirtyWorkMark, error: errors.ServiceError, now: datetime
) -> None:
    """An object that cannot be read is tried again, later each time; in the end only its own records wait for it (I22)."""
    attempts = mark.attempts + 1
    reason = f"{repository.slug}: {mark.work.dirt.value} {mark.work.name} cannot be read: {error.message}"
    if not retry.must_park(attempts):
        again = retry.next_attempt(attempts, now, context.ids.jitter())
        context.store.release_work([mark], again, failed=True, error=reason)
        return
    marking = _marking(context, repository.id, ports.Lane.RETRY, now)
    context.store.save_parked_work(mark, now + retry.LONGEST_WAIT, reason, marking)
    if attempts == retry.ATTEMPTS_MAX:
        _log.error("side.lost", sync=context.name, side="bitbucket", repository=repository.slug, reason=reason)


def _stale(marks: Sequence[ports.DirtyWorkMark], reading: "Reading") -> list[ports.DirtyWorkMark]:
    """A webhook may come before the API shows the change (BW18): marks whose event knew more than what was read."""
    fresh = {str(one.key.number): one.updated_on for one in reading.read}
    return [
        mark
        for mark in marks
        if mark.work.dirt is Dirt.PULL_REQUEST
        and mark.happened_at is not None
        and mark.attempts < len(LOOK_AGAIN)
        and fresh.get(mark.work.name, mark.happened_at) < mark.happened_at
    ]


def read_repository(
    context: Context,
    repository: Repository,
    now: datetime,
    marks: Sequence[ports.DirtyWorkMark] = (),
    *,
    thorough: bool = True,
) -> int:
    """
    Read one repository: all pull requests the first time, later those updated since, and all branches.

    The first time, commits (whose messages may link) are asked of what a name or title links, of open pull requests, and of
    what moved within `RECENT`; from then on of every head that moves. What was read before a budget ran out is kept.

    Args:
        thorough: also what no event and no update time tells: a rename, builds of open heads, all deployments, and whom
            work is evidence for that was read under other rules.

    What it read answers every mark made before it began, whoever claimed it and whenever it is due.

    Returns:
        How many records' work changed.

    Raises:
        ServiceError: the repository could not be read; nothing of it was believed.
    """
    marks = (*marks, *context.store.load_dirty_work(repository.id))
    current = context.changelog.fetch_repository(repository.id) if thorough else repository
    if current.id != repository.id:
        raise errors.Gone(
            f"{repository.slug} is another repository now", service="bitbucket", request=f"GET {repository.slug}"
        )
    context.store.save_repository(current)
    (view,) = context.store.load_repositories([repository.id])
    since = None if view.listed_at is None else _listed_until(context, current)
    reading = Reading(context, current, new_since=now - RECENT if view.listed_at is None else None)
    try:
        odd: list[ports.Odd] = []
        reading.pull_requests(context.changelog.fetch_pull_requests(current, since, odd=odd.append), apart=True)
        reading.odd_pull_requests(odd)
        newest = max((one.updated_on for one in reading.read), default=None)
        odd = []
        listed = context.changelog.fetch_branches(current, odd=odd.append)
        reading.branches([(branch.name, branch) for branch in listed], complete=True)
        reading.odd_branches(odd)
        if thorough:
            reading.evidence_again()
            reading.tasks_of_open()
            reading.builds_of_open()
        reading.deployments(again=thorough)
    except errors.Throttled:
        reading.mark_odd(now)
        reading.save(now, ())
        raise
    # First: an object that no listing shows again is never forgotten.
    reading.mark_odd(now)
    changed = reading.save(now, _answered(marks, reading, now), listed_at=now)
    if newest is not None:
        context.store.save_text(_until_key(current), newest.isoformat())
    set_trouble(context, current, "", now)
    return len(changed.get(context.name, ()))


def _answered(marks: Sequence[ports.DirtyWorkMark], reading: "Reading", now: datetime) -> list[ports.DirtyWorkMark]:
    """
    What the lists of a repository tell; the rest is read singly: builds, pull requests that no list shows, and branches of
    which an event told so lately that a list may not show it yet (BB27).
    """
    stale, listed = _stale(marks, reading), {str(one.key.number) for one in reading.read}
    return [
        mark
        for mark in marks
        if (mark.work.dirt is Dirt.REPOSITORY and mark.work not in reading.odd)
        or (
            mark.work.dirt is Dirt.BRANCH
            and mark.work not in reading.odd
            and not -LIST_LAG < now - mark.since < LIST_LAG
        )
        or (mark.work.dirt is Dirt.PULL_REQUEST and mark.work.name in listed and mark not in stale)
    ]


def _until_key(repository: Repository) -> str:
    """Where the state keeps the newest update time that a listing of this repository showed."""
    return f"listed-until:{repository.id}"


def _listed_until(context: Context, repository: Repository) -> datetime | None:
    """
    From which update time on a listing is to be asked for; None: all of it.

    By the service's own stamps: a bound from our clock would hide every later change once that clock had jumped ahead
    (reliability.md I33, CL06). Of listings only: what a single read showed says nothing about the others.
    """
    until = context.store.load_text(_until_key(repository))
    return datetime.fromisoformat(until) - OVERLAP if until else None


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
        if not same_head and not (over and (known is not None or self._forgotten(read.updated_on))):
            head = changelog.fetch_pull_request_commits(self._repository, number)
            self._commits[f"pr:{number}"] = head.commits
            records = _records_in(head.commits) or records
        merged_on = known.merged_on if known is not None else None
        asked = self._belongs(replace(read, commit_records=records)) or not self._forgotten(read.updated_on)
        if read.state == "MERGED" and merged_on is None and self._wanted.merged_on and asked:
            merged_on = changelog.fetch_merged_on(self._repository, number)
        done = replace(read, commit_records=records, merged_on=merged_on)
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

    def _link(self, read: PullRequest) -> None:
        for sync in self._syncs:
            self._links[sync.name][f"pr:{read.key.number}"] = tuple(sorted(link.evidence(read, sync)))

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
            done = self._or_apart(Dirt.BRANCH, name, take, branch) if complete else take(branch)
            # It is there; what it is ahead of is not known.
            done = done or replace(self._known_branches.get(name, branch), ahead=None)
            self._branches.append(done)
            for sync in self._syncs:
                self._links[sync.name][f"branch:{name}"] = link.of_branch(done)
        self._complete = self._complete or complete

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
            marking=_marking(
                self._context,
                self._repository.id,
                ports.Lane.COMPARE if listed_at is not None else ports.Lane.EDIT,
                now,
            ),
        )


def _records_in(commits: Iterable[Commit]) -> tuple[RecordId, ...]:
    found = {record for commit in commits for record in link.record_ids(commit.message)}
    return tuple(sorted(found))


def incomplete(context: Context, views: Mapping[RepositoryId, ports.RepositoryView]) -> Mapping[List, str]:
    """For each list that is not known to be complete, why; the same for every record of the sync."""
    reasons = []
    for repository in context.sync.repositories:
        view = views.get(repository.id)
        if view is None or (view.listed_at is None and not view.trouble):
            reasons.append(f"{repository.slug} was not read yet")
        elif view.trouble:
            reasons.append(view.trouble)
        elif view.unread:
            reasons.append(f"{repository.slug} has {view.unread} change(s) that were not read yet")
    if not reasons:
        return {}
    return dict.fromkeys(List, "; ".join(reasons))


def unknown(context: Context, views: Mapping[RepositoryId, ports.RepositoryView]) -> Iterable[RepositoryId]:
    """The repositories that a record may wait for: of each, its lists or some of its objects are not known."""
    for repository in context.sync.repositories:
        view = views.get(repository.id)
        if view is None or view.listed_at is None or view.trouble or view.unread or view.parked:
            yield repository.id


def unread_of(own: ports.LinkedWork) -> Mapping[List, str]:
    """As `incomplete`, for the records alone that an object belongs to which cannot be read."""
    return dict.fromkeys(List, own.unread) if own.unread else {}
