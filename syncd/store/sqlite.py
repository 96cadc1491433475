"""
`ports.Store` on one SQLite file: each method one transaction of the one writing connection.

After a commit that failed nobody knows what is on the disk: the store is then failed, and every later call says so until
the state is opened again (reliability.md I32, ST03). What fails before the commit was undone and may be tried again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any

from syncd import errors
from syncd.model.change import AgreedKey, Conflict, Side
from syncd.model.event import Delivery, DirtyWork, Endpoint
from syncd.model.ids import EndpointId, FieldId, OperationId, RecordId, RepositoryId, RunId, SyncName
from syncd.model.schema import Repository
from syncd.model.situation import Hold
from syncd.model.work import Branch, Build, Commit, Deployment, PullRequest
from syncd.ports import (
    Arrived,
    DirtyRecord,
    DirtyWorkMark,
    Disposition,
    Ended,
    JournalEntry,
    KnownRecord,
    Lane,
    LinkedWork,
    Marking,
    Operation,
    Quarantined,
    QueueCounts,
    RecordCommit,
    Remembered,
    RepositoryView,
    RunRow,
    waiting_key,
)
from syncd.store import (
    agreed,
    columns,
    database,
    endpoints,
    holds,
    inbox,
    journal,
    linked,
    texts,
    work,
)
from syncd.store import dirty as dirty_keys
from syncd.store import records as record_rows
from syncd.store.columns import Connection, sqlite3

# SQLite's primary result codes (sqlite.org/rescode.html): I/O error, corrupt, cannot open, not a database, read-only: the file or the disk is not to be trusted any more.
_UNTRUSTED = frozenset({8, 10, 11, 14, 26})


class SqliteStore:
    """
    The state. May be called from several threads; calls wait for each other.

    Use `open` or `in_memory`.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        path: Path | None = None,
        lock: database.Lock | None = None,
        reader: bool = False,
    ) -> None:
        self._connection = connection
        self._path = path
        self._lock = lock
        self._reader = reader
        self._one_at_a_time = RLock()
        self._failed = ""
        self._trouble_now = ""
        self._patient = True
        self._locked_out = False
        # As opened: a file of the same name that appears later is another one.
        self._place = database.identity(path) if lock is not None and path is not None else None

    # -------------------------------------------------------------------------------------------- opening, closing

    @classmethod
    def open(
        cls, path: Path | str, *, lock: bool = True, connect: Callable[[str], Connection] = database.connect
    ) -> "SqliteStore":
        """
        Open the state file, or make it.

        Args:
            lock: hold the state's lock and write. Without it the store only reads, beside the process that writes.
            connect: makes the connection; tests wrap it to let statements fail.

        Raises:
            StateInUse: another process writes it.
            StoreError: it is damaged, of another program, or of a newer syncd.
        """
        file = Path(path)
        if not lock:
            return cls(database.open_reader(file, connect), path=file, reader=True)
        held = database.Lock(file)
        try:
            return cls(database.open_file(file, connect), path=file, lock=held)
        except errors.StoreError:
            held.release()
            raise

    @classmethod
    def in_memory(
        cls, image: bytes | None = None, *, connect: Callable[[str], Connection] = database.connect
    ) -> "SqliteStore":
        """A state in memory, empty or as it was when `image` was taken. Claims are free, as after a restart."""
        return cls(database.open_memory(_empty_image() if image is None else image, connect))

    def image(self) -> bytes:
        """The whole state as committed, for `in_memory`."""
        with self._reading() as db:
            return db.serialize()

    def backup(self, target: Path) -> None:
        """Copy the state into a file of its own, without stopping. Raises StoreError when it cannot be written there."""
        with self._one_at_a_time:
            self._require_sound()
            database.backup(self._connection, target)

    def close(self) -> None:
        """Checkpoint and close; the lock is free then. Closing twice is fine."""
        with self._one_at_a_time:
            try:
                if self._lock is not None and not self._failed:
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.ProgrammingError:
                # Closed already.
                return
            except sqlite3.Error as error:
                # With a full disk the log stays as it is, with every commit in it; the next start takes it from there.
                if database.primary_code(error) != columns.FULL:
                    raise self._trouble(error) from error
            finally:
                with database.left_alone(self._path if self._failed and not self._log_is_gone() else None):
                    self._connection.close()
                if self._lock is not None:
                    self._lock.release()

    @property
    def failed(self) -> str:
        return self._failed

    def trouble(self) -> str:
        return self._failed or self._trouble_now

    # ------------------------------------------------------------------------------------------------ transactions

    def _writing(self) -> AbstractContextManager[Connection]:
        """One writing transaction, durable when the block was left."""
        return _Change(self)

    def _reading(self) -> AbstractContextManager[Connection]:
        """All statements see the same state. Nobody else writes while we hold lock and turn: it takes no transaction then."""
        return self._snapshot() if self._reader else _Turn(self)

    def _taking(self) -> AbstractContextManager[Connection]:
        """
        A turn to look first, and to write only when something is there: most looks find nothing, and need no lock of SQLite.

        Nobody else writes meanwhile. While there is trouble one writes all the same: only that shows that it is over.
        """
        return _Turn(self)

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        """For a reader: another process may write meanwhile."""
        with self._one_at_a_time:
            self._require_sound()
            through = False
            try:
                self._connection.execute("BEGIN")
                yield self._connection
                through = True
            except sqlite3.Error as error:
                raise self._trouble(error) from error
            finally:
                if not through:
                    self._roll_back()
            self._commit()

    def _begin(self) -> None:
        """The first half of a change; the turn is taken."""
        try:
            self._require_in_place()
            self._require_sound()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._be_patient(True)
            except sqlite3.Error as error:
                self._roll_back()
                raise self._trouble(error) from error
        except errors.StoreError as error:
            self._trouble_now = error.message
            raise

    def _end(self, error: BaseException | None) -> None:
        """The second half: durable, or as if it had never begun. Raises StoreError in SQLite's place."""
        try:
            if error is None:
                self._commit()
                return
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise self._trouble(error) from error
        except errors.StoreError as trouble:
            self._trouble_now = trouble.message
            raise
        if isinstance(error, errors.StoreError):
            self._trouble_now = error.message

    def _be_patient(self, patient: bool) -> None:
        """While a foreign lock lasts only its first victim waits for it: all others wait for that one, listeners included."""
        if patient != self._patient:
            self._connection.execute(f"PRAGMA busy_timeout = {database.BUSY_TIMEOUT_S * 1000 if patient else 100:.0f}")
            self._patient = patient

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            if database.primary_code(error) != columns.FULL:
                # Never try an fsync again and go on: the page cache may have dropped what it could not write.
                self._failed = f"a commit failed: {error}"
            raise self._trouble(error) from error

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._failed = f"a transaction could not be undone: {error}"

    def _require_sound(self) -> None:
        if self._failed:
            raise self._broken(self._failed)

    def _require_in_place(self) -> None:
        """What is written to a file that was deleted, or put away for a backup, is lost: then nothing is acknowledged."""
        if self._place is not None and not self._failed and database.identity(self._path) != self._place:
            self._failed = "it was deleted or replaced while it was open"

    def _log_written_at(self) -> int:
        """When the log beside the file was last written, in nanoseconds; 0 without one."""
        return 0 if self._path is None else database.written_at(self._path)

    def _log_is_gone(self) -> bool:
        """Of a log that was deleted this process holds the only copy: SQLite folds it into the file as it closes."""
        return self._place is not None and database.identity(self._path) == (self._place[0], None)

    def _trouble(self, error: sqlite3.Error) -> errors.StoreError:
        """The error in our words. What says that the file cannot be trusted fails the store."""
        code = database.primary_code(error)
        if code in _UNTRUSTED and not self._failed:
            self._failed = str(error)
        if self._failed:
            return self._broken(self._failed)
        if code == columns.FULL:
            self._locked_out = False
            return errors.StoreError(
                f"no space is left for {self._name()}", next_step="free space on its disk; syncd goes on by itself then"
            )
        if code in columns.BUSY:
            self._locked_out = True
            self._be_patient(False)
            return errors.StoreError(
                f"{self._name()} is locked by another program ({error})",
                next_step="close whatever has it open (sqlite3, a backup); syncd tries again by itself",
            )
        return errors.StoreError(
            f"{self._name()} refused a statement: {error}", next_step="report this as a bug of syncd"
        )

    def _broken(self, why: str) -> errors.StoreError:
        return errors.StoreError(
            f"{self._name()} cannot be trusted any more: {why}",
            next_step="look at the disk (dmesg, df), then start syncd again: it checks the file",
        )

    def _name(self) -> str:
        return "the state" if self._path is None else str(self._path)

    # -------------------------------------------------------------------------------------------------- deliveries

    def save_deliveries(self, arrived: Sequence[Arrived]) -> tuple[int, ...]:
        with self._writing() as db:
            return inbox.save(db, arrived)

    def load_deliveries(self, limit: int) -> tuple[Delivery, ...]:
        with self._reading() as db:
            return inbox.load(db, limit)

    def save_processed(
        self,
        processed: Sequence[tuple[int, Disposition, str]],
        dirty: Sequence[tuple[DirtyWork, datetime | None]],
        pinged: Sequence[EndpointId],
        now: datetime,
        not_before: datetime,
    ) -> None:
        with self._writing() as db:
            inbox.process(db, processed)
            dirty_keys.mark_work(db, dirty, now, not_before)
            endpoints.save_pinged(db, pinged)

    # -------------------------------------------------------------------------------------------------- dirty keys

    def mark_records(
        self, sync: SyncName, records: Sequence[RecordId], lane: Lane, now: datetime, not_before: datetime
    ) -> None:
        with self._writing() as db:
            dirty_keys.mark_records(db, sync, records, lane, now, not_before)

    def mark_work(
        self, dirty: Sequence[tuple[DirtyWork, datetime | None]], now: datetime, not_before: datetime
    ) -> None:
        with self._writing() as db:
            dirty_keys.mark_work(db, dirty, now, not_before)

    def claim_records(self, sync: SyncName, now: datetime, limit: int) -> tuple[DirtyRecord, ...]:
        with self._taking() as db:
            found = dirty_keys.due_records(db, sync, now, limit)
            if not found and not self._trouble_now:
                return ()
            with self._writing():
                return dirty_keys.claim_records(db, sync, now, found)

    def claim_work(
        self, repositories: Sequence[RepositoryId], now: datetime, limit: int, *, early: bool = False
    ) -> tuple[DirtyWorkMark, ...]:
        with self._taking() as db:
            found = dirty_keys.due_work(db, repositories, now, limit, early=early)
            if not found and not self._trouble_now:
                return ()
            with self._writing():
                return dirty_keys.claim_work(db, repositories, now, found)

    def release_records(
        self, keys: Sequence[DirtyRecord], not_before: datetime, *, failed: bool, error: str = ""
    ) -> None:
        with self._writing() as db:
            dirty_keys.release_records(db, keys, not_before, failed=failed, error=error)

    def release_work(
        self, marks: Sequence[DirtyWorkMark], not_before: datetime, *, failed: bool, error: str = ""
    ) -> None:
        with self._writing() as db:
            dirty_keys.release_work(db, marks, not_before, failed=failed, error=error)

    def load_dirty_work(self, repository: RepositoryId) -> tuple[DirtyWorkMark, ...]:
        with self._reading() as db:
            return dirty_keys.load_work(db, repository)

    def save_parked_work(self, mark: DirtyWorkMark, again_at: datetime, error: str, marking: Marking) -> None:
        with self._writing() as db:
            dirty_keys.park_work(db, mark, again_at, error)
            records = work.records_of_changes(db, mark.work.repository, work.changed_by(mark.work))
            for sync in marking.syncs:
                _mark(db, sync, {*records.get(sync, ()), *record_rows.load_waiting(db, sync)}, marking, marking.lane)

    def free_claims(self, sync: SyncName, repositories: Sequence[RepositoryId]) -> None:
        with self._writing() as db:
            dirty_keys.free_claims(db, sync, repositories)

    def next_due(self, sync: SyncName, repositories: Sequence[RepositoryId]) -> datetime | None:
        with self._reading() as db:
            return dirty_keys.next_due(db, sync, repositories)

    # ------------------------------------------------------------------------------------------- the mirror of work

    def load_repositories(self, ids: Sequence[RepositoryId]) -> tuple[RepositoryView, ...]:
        with self._reading() as db:
            return work.load_repositories(db, ids)

    def save_repository(self, repository: Repository) -> None:
        with self._writing() as db:
            work.save_repository(db, repository)

    def save_trouble(self, repository: RepositoryId, trouble: str, marking: Marking | None = None) -> None:
        with self._writing() as db:
            work.save_trouble(db, repository, trouble)
            if marking is not None:
                for sync in marking.syncs:
                    _mark(db, sync, record_rows.load_linked(db, sync), marking, marking.lane)

    def save_work(
        self,
        repository: RepositoryId,
        *,
        pull_requests: Sequence[PullRequest] = (),
        branches: Sequence[Branch] = (),
        branches_gone: Sequence[str] = (),
        commits: Mapping[str, Sequence[Commit]] | None = None,
        builds: Mapping[str, Sequence[Build]] | None = None,
        deployments: Sequence[Deployment] = (),
        links: Mapping[SyncName, Mapping[str, Sequence[RecordId]]] | None = None,
        done: Sequence[DirtyWorkMark] = (),
        listed_at: datetime | None = None,
        branches_complete: bool = False,
        marking: Marking | None = None,
    ) -> Mapping[SyncName, frozenset[RecordId]]:
        changed = work.Changed()
        with self._writing() as db:
            work.save_pull_requests(db, repository, pull_requests, changed)
            work.save_branches(db, repository, branches, branches_gone, changed, complete=branches_complete)
            work.save_commits(db, repository, commits or {}, changed)
            work.save_builds(db, repository, builds or {}, changed)
            work.save_deployments(db, repository, deployments, changed)
            work.save_evidence(db, repository, links or {}, changed)
            if done:
                dirty_keys.done_work(db, done)
            if listed_at is not None:
                work.save_listed(db, repository, listed_at)
            records = work.records_of_changes(db, repository, changed)
            if marking is not None:
                for sync in marking.syncs:
                    _mark(db, sync, records.get(sync, ()), marking, marking.lane)
                    if done or listed_at is not None:
                        _mark_waiting(db, sync, repository, marking)
            return records

    def load_pull_requests(
        self, repository: RepositoryId, numbers: Sequence[int] | None = None
    ) -> tuple[PullRequest, ...]:
        with self._reading() as db:
            return work.load_pull_requests(db, repository, numbers)

    def load_branches(self, repository: RepositoryId) -> tuple[Branch, ...]:
        with self._reading() as db:
            return work.load_branches(db, repository)

    def load_deployments(self, repository: RepositoryId) -> tuple[Deployment, ...]:
        with self._reading() as db:
            return work.load_deployments(db, repository)

    def load_work(
        self, sync: SyncName, records: Sequence[RecordId], repositories: Sequence[RepositoryId]
    ) -> Mapping[RecordId, LinkedWork]:
        with self._reading() as db:
            return linked.load(db, sync, records, repositories)

    # ----------------------------------------------------------------------------------------------------- records

    def load_remembered(self, sync: SyncName, records: Sequence[RecordId]) -> Mapping[RecordId, Remembered]:
        with self._reading() as db:
            return record_rows.load_remembered(db, sync, records)

    def load_known(self, sync: SyncName, records: Sequence[RecordId] | None = None) -> Mapping[RecordId, KnownRecord]:
        with self._reading() as db:
            return record_rows.load_known(db, sync, records)

    def save_absent(self, sync: SyncName, missing: Sequence[RecordId], present: Sequence[RecordId]) -> None:
        with self._writing() as db:
            record_rows.save_absent(db, sync, missing, present)

    def save_edits(self, sync: SyncName, edits: Sequence[tuple[RecordId, FieldId, datetime]]) -> None:
        with self._writing() as db:
            agreed.save_edits(db, sync, edits)

    # -------------------------------------------------------------------------------------------------------- runs

    def save_intents(self, run: RunRow, operations: Sequence[Operation], entries: Sequence[JournalEntry]) -> None:
        with self._writing() as db:
            journal.save_intents(db, run, operations, entries)

    def save_sent(self, operations: Sequence[OperationId], now: datetime) -> None:
        with self._writing() as db:
            journal.save_sent(db, operations, now)

    def commit(self, sync: SyncName, commits: Sequence[RecordCommit], ended: Sequence[Ended], now: datetime) -> None:
        with self._writing() as db:
            journal.save_ended(db, ended)
            record_rows.save(db, sync, commits)
            agreed.save(db, "agreed", sync, [(one.record, change) for one in commits for change in one.agreements])
            agreed.save(db, "tolerated", sync, [(one.record, change) for one in commits for change in one.tolerations])
            _each(db, record_rows.save_links, sync, [change for one in commits for change in one.links])
            _each(
                db, holds.close_conflicts, sync, [(one.record, key) for one in commits for key in one.conflicts_closed]
            )
            _each(db, holds.save_conflicts, sync, [change for one in commits for change in one.conflicts])
            _each(db, record_rows.save_made, sync, [(one.record, change) for one in commits for change in one.made])
            edits = [edit for one in commits for edit in one.foreign_edits]
            if edits:
                journal.save_foreign_edits(db, sync, edits, now)
            dirty_keys.finish_records(db, sync, commits, now)
            gone = [one.record for one in commits if one.gone]
            _each(db, record_rows.forget, sync, gone)
            _each(db, dirty_keys.forget_records, sync, gone)

    def save_run_end(self, run: RunId, now: datetime) -> None:
        with self._writing() as db:
            journal.save_run_end(db, run, now)

    def load_unfinished(self, sync: SyncName) -> tuple[Operation, ...]:
        with self._reading() as db:
            return journal.load_unfinished(db, sync)

    def save_looked(self, operation: OperationId, now: datetime) -> None:
        with self._writing() as db:
            journal.save_looked(db, operation, now)

    def load_recent_changes(self, sync: SyncName, since: datetime) -> tuple[tuple[RecordId, datetime, int], ...]:
        with self._reading() as db:
            return journal.load_recent(db, sync, since)

    def load_journal(
        self,
        *,
        sync: SyncName | None = None,
        record: RecordId | None = None,
        run: RunId | None = None,
        after: int = 0,
        limit: int = 100,
        newest: bool = False,
    ) -> tuple[JournalEntry, ...]:
        with self._reading() as db:
            return journal.load(db, sync=sync, record=record, run=run, after=after, limit=limit, newest=newest)

    def save_race(self, sync: SyncName, sequence: int, overwritten: str) -> None:
        with self._writing() as db:
            journal.save_race(db, sync, sequence, overwritten)

    def load_runs(self, sync: SyncName | None, limit: int) -> tuple[RunRow, ...]:
        with self._reading() as db:
            return journal.load_runs(db, sync, limit)

    # ------------------------------------------------------------------------------------------- people's decisions

    def load_accepted(self, sync: SyncName) -> frozenset[str]:
        with self._reading() as db:
            return holds.load_accepted(db, sync)

    def save_accepted(self, sync: SyncName, fingerprints: frozenset[str], now: datetime) -> None:
        with self._writing() as db:
            holds.save_accepted(db, sync, fingerprints, now)

    def save_hold(self, sync: SyncName, hold: Hold, now: datetime) -> None:
        with self._writing() as db:
            holds.save(db, sync, hold, now)

    def delete_hold(self, sync: SyncName, record: RecordId, field: FieldId | None, now: datetime) -> bool:
        with self._writing() as db:
            return holds.delete(db, sync, record, field, now)

    def load_holds(self, sync: SyncName) -> tuple[Hold, ...]:
        with self._reading() as db:
            return holds.load(db, sync)

    def load_conflicts(self, sync: SyncName) -> tuple[Conflict, ...]:
        with self._reading() as db:
            return holds.load_conflicts(db, sync)

    def save_resolution(self, sync: SyncName, record: RecordId, key: AgreedKey, winner: Side, now: datetime) -> bool:
        with self._writing() as db:
            return holds.resolve(db, sync, record, key, winner, now)

    def save_acceptance_once(self, sync: SyncName, plan: str) -> None:
        with self._writing() as db:
            holds.save_once(db, sync, plan)

    def take_acceptance_once(self, sync: SyncName, plan: str) -> bool:
        with self._writing() as db:
            return holds.take_once(db, sync, plan)

    # --------------------------------------------------------------------------------------------------- endpoints

    def save_endpoint(self, endpoint: Endpoint, secret: str | None) -> None:
        with self._writing() as db:
            endpoints.save(db, endpoint, secret)

    def load_endpoints(self) -> tuple[Endpoint, ...]:
        with self._reading() as db:
            return endpoints.load(db)

    def load_secret(self, endpoint: EndpointId) -> str:
        with self._reading() as db:
            return endpoints.load_secret(db, endpoint)

    def save_changes(
        self,
        endpoint: EndpointId,
        cursor: int,
        marks: Mapping[SyncName, Sequence[RecordId]],
        now: datetime,
        not_before: datetime,
        *,
        edits: Sequence[tuple[SyncName, RecordId, FieldId, datetime]] = (),
    ) -> None:
        with self._writing() as db:
            endpoints.save_cursor(db, endpoint, cursor)
            for sync, marked in sorted(marks.items()):
                if marked:
                    dirty_keys.mark_records(db, sync, marked, Lane.EDIT, now, not_before)
            for sync in sorted({edit[0] for edit in edits}):
                agreed.save_edits(db, sync, [edit[1:] for edit in edits if edit[0] == sync])

    def take_pinged(self) -> frozenset[EndpointId]:
        with self._taking() as db:
            if not endpoints.has_pinged(db) and not self._trouble_now:
                return frozenset()
            with self._writing():
                return endpoints.take_pinged(db)

    # ---------------------------------------------------------------------------------------------------- the rest

    def load_text(self, key: str) -> str | None:
        with self._reading() as db:
            return texts.load(db, key)

    def save_text(self, key: str, text: str) -> None:
        with self._writing() as db:
            texts.save(db, key, text)

    def load_ledger(self, budget: str) -> Mapping[str, Any] | None:
        with self._reading() as db:
            return texts.load_ledger(db, budget)

    def save_ledgers(self, budgets: Mapping[str, Mapping[str, Any]]) -> None:
        with self._writing() as db:
            texts.save_ledgers(db, budgets)

    def counts(self, sync: SyncName | None = None) -> QueueCounts:
        with self._reading() as db:
            return dirty_keys.counts(db, sync, inbox.count(db))

    def load_quarantined(self, limit: int) -> tuple[int, tuple[Quarantined, ...]]:
        with self._reading() as db:
            return inbox.load_quarantined(db, limit)

    def states(self, sync: SyncName) -> Mapping[str, int]:
        with self._reading() as db:
            return record_rows.states(db, sync)

    def purge(self, events_before: datetime, journal_before: datetime, limit: int) -> int:
        with self._writing() as db:
            gone = inbox.purge(db, columns.moment(events_before), limit)
            return gone + journal.purge(db, columns.moment(journal_before), max(0, limit - gone))


class _Change:
    """A turn to write. A class of its own for the same reason as `_Turn`."""

    __slots__ = ("_log", "_store")

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._log = 0

    def __enter__(self) -> Connection:
        store = self._store
        if store._reader:
            raise errors.StoreError(
                f"{store._path} was opened for reading only", next_step="write through the running daemon, or stop it"
            )
        store._one_at_a_time.acquire()
        try:
            self._log = store._log_written_at() if store._trouble_now else 0
            store._begin()
        except BaseException:
            store._one_at_a_time.release()
            raise
        return store._connection

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        store = self._store
        try:
            store._end(error)
            # A commit without anything new, or of claims alone, which are in memory, does not touch the disk.
            if (
                error is None
                and store._trouble_now
                and (self._log == 0 or store._locked_out or store._log_written_at() != self._log)
            ):
                store._trouble_now, store._locked_out = "", False
        finally:
            store._one_at_a_time.release()


class _Turn:
    """A turn to read. A class of its own, as every step of the daemon takes dozens: `contextmanager` costs as much as a row."""

    __slots__ = ("_store",)

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __enter__(self) -> Connection:
        self._store._one_at_a_time.acquire()
        try:
            self._store._require_sound()
        except BaseException:
            self._store._one_at_a_time.release()
            raise
        return self._store._connection

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            # Before the next turn: after a read that failed nobody may write any more (ST02).
            if isinstance(error, sqlite3.Error):
                raise self._store._trouble(error) from error
        finally:
            self._store._one_at_a_time.release()


def _mark(db: Connection, sync: SyncName, records: Iterable[RecordId], marking: Marking, lane: Lane) -> None:
    marked = sorted(record for record in records if (sync, record) not in marking.besides)
    if marked:
        dirty_keys.mark_records(db, sync, marked, lane, marking.now, marking.now)


def _mark_waiting(db: Connection, sync: SyncName, repository: RepositoryId, marking: Marking) -> None:
    """Once for each time that lists were not known: a record may be pending for other reasons, which no read ends."""
    key = waiting_key(sync, repository)
    if texts.load(db, key) and not dirty_keys.has_unread(db, repository):
        texts.save(db, key, "")
        _mark(db, sync, record_rows.load_waiting(db, sync), marking, Lane.RETRY)


def _each(
    db: Connection, save: Callable[[Connection, SyncName, Any], None], sync: SyncName, changes: Sequence[Any]
) -> None:
    if changes:
        save(db, sync, changes)


@cache
def _empty_image() -> bytes:
    """An empty state, made once: a simulated start then costs no migration."""
    connection = database.open_memory(None, database.connect)
    try:
        return connection.serialize()
    finally:
        connection.close()
