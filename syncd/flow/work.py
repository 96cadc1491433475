"""
Read what may have changed in Bitbucket into the mirror, and name the records whose work it touches.

Every value comes from a read over REST; a repository that cannot be read makes its lists unknown, never empty.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from syncd import errors, log, ports
from syncd.core import retry
from syncd.flow import fault
from syncd.flow.context import Context
from syncd.flow.reading import RECENT, Reading, marking_of
from syncd.model.event import Dirt, DirtyWork
from syncd.model.schema import Repository
from syncd.model.work import Branch, PullRequest

_log = log.logger("flow.work")


# A page of fifty replaces single reads from here on (DESIGN "Fewest calls").
SINGLE_READS_MAX = 5
# The services' clocks and ours differ: time windows overlap (reliability.md I19, CL06).
OVERLAP = timedelta(minutes=10)
CLAIM_MAX = 200
# Nothing is given up sooner: the tries of a mark count, and those that failed with the whole service say nothing of its object.
PARKED_AFTER = timedelta(minutes=1)
# What was read may be older than the event that led to it: look again after these (BW18).
LOOK_AGAIN = (timedelta(seconds=5), timedelta(seconds=30))
# How long a list may not show what an event told of (reliability.md BB27).
LIST_LAG = timedelta(seconds=30)
# Branches that one list left out are asked for singly up to so many.
UNLISTED_MAX = 20
# Builds last: they are read of the heads that pull requests have by then.
_ORDER = (Dirt.REPOSITORY, Dirt.PULL_REQUEST, Dirt.BRANCH, Dirt.COMMIT)


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
    context.store.save_trouble(repository.id, trouble, marking_of(context, repository.id, ports.Lane.RETRY, now))
    if trouble:
        _log.error("side.lost", sync=context.name, side="bitbucket", repository=repository.slug, reason=trouble)
    else:
        _log.info("side.recovered", sync=context.name, side="bitbucket", repository=repository.slug)


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
    context: Context, reading: Reading, repository: Repository, marks: Sequence[ports.DirtyWorkMark]
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
    context: Context, reading: Reading, repository: Repository, work: DirtyWork, listed: Mapping[int, PullRequest]
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
    if not retry.must_park(attempts) or timedelta(0) <= now - mark.since < PARKED_AFTER:
        again = retry.next_attempt(attempts, now, context.ids.jitter())
        context.store.release_work([mark], again, failed=True, error=reason)
        return
    marking = marking_of(context, repository.id, ports.Lane.RETRY, now)
    context.store.save_parked_work(mark, now + retry.LONGEST_WAIT, reason, marking)
    if attempts == retry.ATTEMPTS_MAX:
        _log.error("side.lost", sync=context.name, side="bitbucket", repository=repository.slug, reason=reason)


def _stale(marks: Sequence[ports.DirtyWorkMark], reading: Reading) -> list[ports.DirtyWorkMark]:
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
        found = {branch.name: branch for branch in listed}
        unlisted = _unlisted(context, current, reading, {*found, *(one.name for one in odd)}, odd)
        reading.branches([*found.items(), *unlisted], complete=True)
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


def _unlisted(
    context: Context, repository: Repository, reading: Reading, listed: Collection[str], odd: list[ports.Odd]
) -> Iterable[tuple[str, Branch | None]]:
    """
    Records' branches that a list does not show any more, asked for directly: a list may lag behind what was read singly (BB27).

    So many at once were deleted; no lag hides them. One that cannot be asked for joins the odd ones.
    """
    missing = [name for name in reading.branches_of_records() if name not in listed]
    for name in missing if len(missing) <= UNLISTED_MAX else ():
        try:
            yield name, context.changelog.fetch_branch(repository, name)
        except errors.Throttled:
            raise
        except errors.ServiceError as error:
            odd.append(ports.Odd(name=name, reason=error.message))


def _answered(marks: Sequence[ports.DirtyWorkMark], reading: Reading, now: datetime) -> list[ports.DirtyWorkMark]:
    """
    What a repository's lists tell, and the builds that were read for them; the rest is read singly: pull requests that no
    list shows, and branches of which an event told so lately that a list may not show it yet (BB27).
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
        or (
            mark.work.dirt is Dirt.COMMIT
            and not reading.waits_for_builds_of(mark.work.name)
            and not -LIST_LAG < now - mark.since < LIST_LAG
        )
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
