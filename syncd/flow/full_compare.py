"""
The guarantee: read both sides completely and mark whatever differs from what is known. It only marks keys; the cycle does the rest.

A repository that cannot be read is marked as such and tried again; it never makes the others wait.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd import errors, log, ports
from syncd.core import guard, retry
from syncd.flow import collect, generation, patience, work
from syncd.flow.context import Context
from syncd.model.change import RecordState
from syncd.model.event import Dirt, DirtyWork
from syncd.model.ids import BaseId, RecordId, RepositoryId, SyncName
from syncd.model.record import Record
from syncd.model.value import Text

_log = log.logger("flow.full_compare")

# A record that a listing did not show is asked for directly; it is gone after this many complete listings without it.
ABSENT_MIN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a full compare found. `unread` names repositories that could not be read, with the reason."""

    records: int
    marked: int
    repositories: int
    unread: tuple[str, ...] = ()
    duration: timedelta = timedelta(0)


def due_key(sync: SyncName) -> str:
    """Where the state keeps when the sync was last compared completely."""
    return f"compared:{sync}"


def calls_key(sync: SyncName) -> str:
    """Where the state keeps how many requests the last compare took beside the first pages of its lists."""
    return f"further-calls:{sync}"


def emptied_key(sync: SyncName) -> str:
    """Where the state keeps that too many records are missing at once: a name for exactly those, and why, in lines."""
    return f"emptied:{sync}"


def forget(context: Context, base: BaseId | None = None, repository: RepositoryId | None = None) -> None:
    """
    Something may have been missed: no sync that reads this base or repository counts as compared any more.

    Durable, and said before whatever made it necessary is (a cursor that moves on, a hook that is new): a crash in between
    costs a compare too many, never one too few (I19).
    """
    for name, sync in context.rules.syncs.items():
        reads = repository is not None and any(one.id == repository for one in sync.repositories)
        if sync.base == base or reads:
            # The count first: a compare that is under way sees by it that it came too early.
            context.store.save_text(_missed_key(name), str(_missed(context, name) + 1))
            context.store.save_text(due_key(name), "")


def _missed_key(sync: SyncName) -> str:
    """Where the state counts how often something may have been missed."""
    return f"missed:{sync}"


def _missed(context: Context, sync: SyncName) -> int:
    return int(context.store.load_text(_missed_key(sync)) or 0)


def last(context: Context) -> datetime | None:
    """When the last complete compare of this sync began."""
    text = context.store.load_text(due_key(context.name))
    return datetime.fromisoformat(text) if text else None


def is_due(context: Context, now: datetime) -> bool:
    """Whether the next compare should begin. A clock that was set back does not put it off for ever."""
    before = last(context)
    if before is None or before > now:
        return True
    return now - before >= context.rules.daemon.compare_every


def compare(context: Context, now: datetime, stop: Callable[[], str]) -> Compared:
    """
    Read everything and mark what differs.

    Raises:
        ServiceError: Airtable could not be read, or a credential was refused; nothing was believed missing and the compare
            counts as not done.
    """
    unread, missed = [], _missed(context, context.name)
    for repository in context.sync.repositories:
        if stop():
            break
        if (problem := compare_repository(context, repository.id, now)) is not None:
            if problem.status == 401:
                # The credential: every other read would be refused as well, each minute (AT12).
                raise problem
            unread.append(unreadable(repository.slug, problem))
    records, marked = compare_table(context, now)
    ended = context.clock.now()
    if not unread and not stop():
        context.store.save_text(due_key(context.name), now.isoformat())
        if _missed(context, context.name) != missed:
            # What was missed after its place was read: only another compare finds it.
            context.store.save_text(due_key(context.name), "")
    done = Compared(
        records=records,
        marked=marked,
        repositories=len(context.sync.repositories),
        unread=tuple(unread),
        duration=ended - now,
    )
    _log.info(
        "compare.finished",
        sync=context.name,
        records=records,
        marked=marked,
        repositories=done.repositories,
        unread=len(unread),
        duration_ms=int(done.duration.total_seconds() * 1000),
    )
    return done


def unreadable(slug: str, error: errors.ServiceError) -> str:
    """In words for people."""
    return f"{slug} cannot be read: {error.message}"


def compare_repository(context: Context, id: RepositoryId, now: datetime) -> errors.ServiceError | None:
    """Read one repository completely. Returns why it could not be read, or None."""
    repository = next(one for one in context.sync.repositories if one.id == id)
    if not context.store.load_repositories([repository.id]):
        context.store.save_repository(repository)
    try:
        work.read_repository(context, repository, now)
    except errors.Throttled:
        raise
    except errors.ServiceError as error:
        work.set_trouble(context, repository, unreadable(repository.slug, error), now)
        again = retry.next_attempt(3, now, context.ids.jitter())
        context.store.mark_work([(DirtyWork(repository=repository.id, dirt=Dirt.REPOSITORY), None)], now, again)
        return error
    return None


def compare_table(context: Context, now: datetime) -> tuple[int, int]:
    """
    List the table and mark every record that is not as the last plan left it.

    Returns:
        How many records there are, and how many were marked.
    """
    sync, store = context.sync, context.store
    newest = ""

    def seen(record: Record) -> str:
        nonlocal newest
        cell = record.cells.get(context.sync.columns.run_id.id) if context.sync.columns.run_id is not None else None
        if isinstance(cell, Text) and cell.key > newest and generation.is_run(cell.key, now):
            newest = cell.key
        return _seen(context, record)

    # Only fingerprints are kept: the records of a large table would fill the memory.
    listed: dict[RecordId, str] = {}

    def odd(one: ports.Odd) -> None:
        # It is there, and not as any plan left it.
        listed[RecordId(one.name)] = f"? {one.reason}"

    listed |= context.catalogue.fetch_each(sync.table, sync.view, context.fields(), seen, odd)
    generation.disbelieve_for_run(store, context.ids, (context.name, context.rules.spec_hash), newest, now)
    known = store.load_known(context.name)
    missing = sorted(known.keys() - listed.keys())
    if missing and sync.view is not None:
        # Out of the view is not gone: ask for them without it.
        for start in range(0, len(missing), 100):
            chunk = missing[start : start + 100]
            found = context.catalogue.fetch_records(sync.table, sync.view, context.fields(), chunk, odd)
            listed.update((id, seen(record)) for id, record in found.items())
        missing = [record for record in missing if record not in listed]
    store.save_absent(context.name, missing, sorted(id for id, row in known.items() if row.absent and id in listed))
    differing = [id for id, now_seen in listed.items() if (row := known.get(id)) is None or row.seen != now_seen]
    lane = ports.Lane.COMPARE if known else ports.Lane.BACKFILL
    marked = sorted({*differing, *(missing if _may_go(context, known, missing) else ())})
    if marked:
        store.mark_records(context.name, marked, lane, now, now)
    refused = (id for id, row in known.items() if row.state == RecordState.ERROR.value and id in listed)
    return len(listed), len(marked) + patience.renew(context, refused, now)


def _seen(context: Context, record: Record) -> str:
    """Its fingerprint; of a record that trips a fault of ours one that no plan left, so that it is marked and shown (PR10)."""
    try:
        return collect.fingerprint(context, record)
    except Exception as error:  # noqa: BLE001 - the pass that reads the record tells it
        return f"? {type(error).__name__}"


def _may_go(context: Context, known: Mapping[RecordId, ports.KnownRecord], missing: Sequence[RecordId]) -> bool:
    """
    Whether the missing records may be looked for and forgotten. Where too many are missing at once a person must say so.

    Until then they are kept, and everything else goes on: an emptied listing is no reason to stop comparing.
    """
    store, key = context.store, emptied_key(context.name)
    before = store.load_text(key) or ""
    refused = guard.emptied_side(len(known), len(known) - len(missing), "records", context.sync.guard)
    if refused:
        name = hashlib.sha256("\n".join(missing).encode()).hexdigest()[:12]
        # An acceptance waits for the last listing that it takes to prove them gone; then it is used up.
        proved = all(known[record].absent + 1 >= ABSENT_MIN for record in missing)
        if not (proved and store.take_acceptance_once(context.name, name)):
            if before.partition("\n")[0] != name:
                _log.warning("plan.refused", sync=context.name, reason=refused, plan=name)
            store.save_text(key, f"{name}\n{refused}")
            return False
    if before:
        store.save_text(key, "")
    return True
