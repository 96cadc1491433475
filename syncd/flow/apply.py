"""
Send what a plan says: intent first, one request at a time, outcome and agreed values after each, nothing sent twice.

Order: Airtable batches with the status cells first, then other cells, then pull request attributes, then new branches
and pull requests. A refused batch is split until the culprit is alone; a lost answer leaves an operation that is looked
up later, never repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from syncd import errors, log, ports
from syncd.core import action as actions
from syncd.core import batch, fields, guard, retry
from syncd.flow import effort, fault, operation, recover
from syncd.flow.context import Context
from syncd.model import value
from syncd.model.change import (
    Action,
    AgreedKey,
    Agreement,
    Attribute,
    Cell,
    CreateBranch,
    CreatePullRequest,
    Kind,
    NewLink,
    RecordPlan,
    RecordState,
    Side,
    Write,
)
from syncd.model.event import Dirt, DirtyWork
from syncd.model.ids import FieldId, OperationId, RecordId, RepositoryId, RunId
from syncd.model.outcome import Result
from syncd.model.record import Record
from syncd.model.schema import Repository
from syncd.model.situation import Made
from syncd.model.value import Unknown, Value
from syncd.model.work import Branch, PullRequest

_log = log.logger("flow.apply")

# Airtable first, then pull request attributes, then what is new.
_ORDER = ("cells", "attributes", "branch", "pull_request")
# A pause that lasts is looked through again at least this often.
PAUSED_AGAIN_MAX = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    One record's plan on its way, with what the commit needs to know about it.

    Args:
        done: the claimed mark; None when the record was not claimed.
        seen, cause: see `collect.fingerprint` and `collect.cause`.
        parked: a refusal stands and its cause did not change: only the note is written.
        settled: conflicts that are over once everything is sent.
    """

    plan: RecordPlan
    done: int | None
    seen: str
    cause: str
    attempts: int = 0
    parked: bool = False
    settled: tuple[AgreedKey, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Progress:
    """What became of one record's changes so far."""

    job: Job
    waiting: int = 0
    agreements: list[Agreement] = field(default_factory=list)
    links: list[NewLink] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    complete: bool = True
    parked: str | None = None
    again_at: datetime | None = None
    failed: bool = False


@dataclass(slots=True, kw_only=True)
class Tally:
    """
    What a run did, for the one line it logs and for the command that asked for it.

    Args:
        troubled: of each record that a service did not let us write for now, why; a budget or a pause is no trouble.
        tripped: records that travelled together in a request that tripped a fault of ours.
    """

    applied: int = 0
    refused: int = 0
    unknown: int = 0
    retried: int = 0
    moved: int = 0
    requests: int = 0
    records: int = 0
    troubled: dict[RecordId, str] = field(default_factory=dict)
    tripped: frozenset[RecordId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One changing request: the operation, the changes that travel in it, and how it is sent."""

    operation: ports.Operation
    writes: tuple[Write, ...] = ()
    action: Action | None = None
    together: batch.Batch = ()

    @property
    def records(self) -> tuple[RecordId, ...]:
        """The records whose changes travel in it."""
        if self.action is not None:
            return (self.action.record,)
        return tuple(sorted({write.record for write in self.writes}))


class Run:
    """
    One run: the plans of some records of one sync, carried out.

    Args:
        stop: asked before every request; a reason ends the run early, what is left stays dirty (SIGTERM, reload).
        by: who wanted it: "daemon" or "command".
        alone: records that travel alone, because a request that they were in tripped a fault of ours.
    """

    def __init__(
        self,
        context: Context,
        jobs: Sequence[Job],
        *,
        stop: Callable[[], str],
        by: str = "daemon",
        alone: frozenset[RecordId] = frozenset(),
    ) -> None:
        self._alone = alone
        self._over: set[OperationId] = set()
        self._context = context
        self._stop = stop
        self._by = by
        self._progress = {job.plan.record: _Progress(job=job) for job in jobs}
        self._run: RunId = context.ids.run()
        self._ended: list[ports.Ended] = []
        # A side that refuses our credential: nothing more goes there in this run.
        self._closed: dict[Side, tuple[timedelta, str]] = {}
        self.tally = Tally(records=sum(1 for job in jobs if job.plan.changes))

    @property
    def run(self) -> RunId:
        """The run's id."""
        return self._run

    def carry_out(self) -> Tally:
        """Send everything and commit every outcome. Raises StoreError only: then nothing more was sent."""
        store, now = self._context.store, self._context.clock.now()
        steps, entries = self._steps(now)
        self._commit([record for record in sorted(self._progress) if not self._progress[record].waiting])
        # What must not be sent anyway is not even intended: a long pause does not fill the journal.
        paused = {side: self._context.switch.paused(self._context.name, side) for side in Side}
        for step in [step for step in steps if paused[step.operation.side]]:
            self._through(step, self._paused_until(step), failed=True)
        steps = [step for step in steps if not paused[step.operation.side]]
        if not steps:
            return self.tally
        plans = [progress.job.plan for progress in self._progress.values()]
        row = ports.RunRow(
            run=self._run,
            sync=self._context.name,
            spec_hash=self._context.rules.spec_hash,
            started_at=now,
            changes=len({record for step in steps for record in step.records}),
            clears=sum(guard.clears_of(plan) for plan in plans),
            by=self._by,
        )
        rows = [entry for step in steps for entry in entries[step.operation.id]]
        store.save_intents(row, [step.operation for step in steps], rows)
        self._context.advance()
        _log.info("run.started", run_id=self._run, sync=self._context.name, records=row.changes, requests=len(steps))
        pending = list(steps)
        while pending:
            step = pending.pop(0)
            if stopped := self._stop():
                self._give_back([step, *pending], stopped)
                break
            if reason := self._context.switch.paused(self._context.name, step.operation.side):
                self._end(step, Result.RETRY, reason, again_at=self._paused_until(step), failed=True)
                continue
            if step.operation.side in self._closed:
                wait, reason = self._closed[step.operation.side]
                self._trouble(step, reason)
                self._end(step, Result.RETRY, reason, again_at=self._context.clock.now() + wait)
                continue
            pending = [*self._send(step), *pending]
        store.save_run_end(self._run, self._context.clock.now())
        _log.info(
            "run.finished",
            run_id=self._run,
            sync=self._context.name,
            records=self.tally.records,
            requests=self.tally.requests,
            applied=self.tally.applied,
            refused=self.tally.refused,
            unknown=self.tally.unknown,
            retried=self.tally.retried,
            duration_ms=int((self._context.clock.now() - now).total_seconds() * 1000),
        )
        return self.tally

    # ------------------------------------------------------------------------------------------------ intents

    def _steps(self, now: datetime) -> tuple[list[Step], Mapping[OperationId, list[ports.JournalEntry]]]:
        """The requests to send, with their journal rows. A record that cannot be made into one, by a fault of ours, is parked; the others go on."""
        records = sorted(self._progress)
        together = [record for record in records if record not in self._alone]

        def made(some: Sequence[RecordId]) -> list[tuple[Step, list[ports.JournalEntry]]]:
            found = self._made_of([self._progress[record].job.plan for record in some], now)
            return [(step, self._entries([step], now)) for step in found]

        parts = [*fault.apart(together, made, self._trip)]
        parts += [one for record in records if record in self._alone for one in fault.apart([record], made, self._trip)]
        found = sorted((pair for part in parts for pair in part), key=lambda pair: _ORDER.index(pair[0].operation.kind))
        for step, _ in found:
            for record in step.records:
                self._progress[record].waiting += 1
        return [step for step, _ in found], {step.operation.id: entries for step, entries in found}

    def _trip(self, record: RecordId, error: Exception) -> None:
        progress = self._progress[record]
        progress.parked, progress.complete, progress.failed = fault.told(error), False, True
        progress.again_at = retry.next_attempt(
            progress.job.attempts + 1, self._context.clock.now(), self._context.ids.jitter()
        )
        _log.error(
            "record.failed", sync=self._context.name, record=record, kind=type(error).__name__, trace=fault.trace(error)
        )

    def _made_of(self, plans: Sequence[RecordPlan], now: datetime) -> list[Step]:
        steps: list[Step] = []
        for together in batch.of_airtable(plans, adoption=True):
            steps.append(self._cells_step(together, now))
        for update in batch.of_bitbucket(plans, adoption=True):
            request = operation.attributes_request(update.pull_request, update.writes)
            sending = self._operation(Side.BITBUCKET, "attributes", request, now)
            steps.append(Step(operation=sending, writes=update.writes))
        for action in (action for plan in plans for action in plan.actions):
            kind = "branch" if isinstance(action, CreateBranch) else "pull_request"
            sending = self._operation(Side.BITBUCKET, kind, operation.action_request(action), now)
            steps.append(Step(operation=sending, action=action))
        return steps

    def _cells_step(self, together: batch.Batch, now: datetime) -> Step:
        writes = tuple(write for update in together for write in update.writes)
        sending = self._operation(Side.AIRTABLE, "cells", operation.cells_request(writes), now)
        return Step(operation=sending, writes=writes, together=together)

    def _operation(self, side: Side, kind: str, request: Mapping[str, Any], now: datetime) -> ports.Operation:
        return ports.Operation(
            id=self._context.ids.operation(),
            sync=self._context.name,
            run=self._run,
            side=side,
            kind=kind,
            request=request,
            at=now,
        )

    def _entries(self, steps: Sequence[Step], now: datetime) -> list[ports.JournalEntry]:
        entries = []
        for step in steps:
            for write in step.writes:
                entries.append(self._entry(step, write, now))
            if step.action is not None:
                entries.append(self._action_entry(step, step.action, now))
        return entries

    def _entry(self, step: Step, write: Write, now: datetime) -> ports.JournalEntry:
        target = write.target
        return ports.JournalEntry(
            sync=self._context.name,
            run=self._run,
            operation=step.operation.id,
            spec_hash=self._context.rules.spec_hash,
            record=write.record,
            side=write.side,
            kind=write.kind.value,
            object=write.record if isinstance(target, Cell) else str(target.pull_request),
            field=target.field if isinstance(target, Cell) else target.name,
            place=write.what,
            before=operation.dump(write.before),
            after=operation.dump(write.after),
            owner=write.owner.value,
            rule=write.rule,
            reason=write.reason if len(write.path) < 3 else f"{write.reason} ({' → '.join(write.path)})",
            at=now,
        )

    def _action_entry(self, step: Step, action: Action, now: datetime) -> ports.JournalEntry:
        made = action.name if isinstance(action, CreateBranch) else f"{action.source} → {action.destination}"
        return ports.JournalEntry(
            sync=self._context.name,
            run=self._run,
            operation=step.operation.id,
            spec_hash=self._context.rules.spec_hash,
            record=action.record,
            side=Side.BITBUCKET,
            kind="create branch" if isinstance(action, CreateBranch) else "create pull request",
            object=f"{action.repository}:{made}",
            field="",
            place="branch" if isinstance(action, CreateBranch) else "pull request",
            before="null",
            after=operation.dump(value.text(made)),
            owner="syncd",
            rule=action.rule,
            reason=action.reason,
            at=now,
        )

    # ------------------------------------------------------------------------------------------------- sending

    def _send(self, step: Step) -> list[Step]:
        """Send one request and commit what came of it; the parts of a split batch come back to be sent next."""
        self._context.store.save_sent([step.operation.id], self._context.clock.now())
        self.tally.requests += 1
        try:
            self._do(step)
        except errors.Throttled as error:
            self._end(step, Result.RETRY, error.message, again_at=error.retry_at, failed=False)
        except errors.Paused as error:
            self._end(step, Result.RETRY, error.message, again_at=self._paused_until(step), failed=True)
        except errors.Unclear as error:
            self._unclear(step, error.message)
        except errors.Rejected as error:
            if len(step.records) > 1:
                return self._split(step)
            self._refuse(step, f"{error.message} {error.detail}".strip(), error.detail)
        except errors.ServiceError as error:
            self._trouble(step, error.message)
            # Counted, so that the waits grow: what always fails must not be sent every second.
            self._end(step, Result.RETRY, error.message, again_at=self._next_attempt(step), failed=True)
            if isinstance(error, errors.Unauthorised) and error.status == 401:
                self._closed[step.operation.side] = (effort.PROBE_EVERY, error.message)
        except errors.SyncdError:
            raise
        except Exception as error:
            if step.operation.id in self._over:
                # It was sent and is through: what failed is the keeping of it, and no record's own fault.
                raise
            self._fail(step, error)
        return []

    def _fail(self, step: Step, error: Exception) -> None:
        """
        A fault of ours in the middle of a request: whether it left is not known, so it is looked up.

        Of several records any may be the culprit: from then on they travel alone, and who trips alone is parked (PR10).
        """
        reason = fault.told(error)
        _log.error(
            "record.failed",
            sync=self._context.name,
            record=", ".join(step.records),
            kind=type(error).__name__,
            trace=fault.trace(error),
        )
        if len(step.records) > 1:
            self.tally.tripped |= frozenset(step.records)
        else:
            self._progress[step.records[0]].parked = f"{_places(step)}: {reason}"
        self._unclear(step, reason)

    def _do(self, step: Step) -> None:
        match step.operation.kind:
            case "cells":
                self._send_cells(step)
            case "attributes":
                self._send_attributes(step)
            case "branch":
                assert isinstance(step.action, CreateBranch)
                self._create_branch(step, step.action)
            case "pull_request":
                assert isinstance(step.action, CreatePullRequest)
                self._create_pull_request(step, step.action)

    def _send_cells(self, step: Step) -> None:
        updates = []
        run_id = self._context.sync.columns.run_id
        for record in step.records:
            cells: dict[FieldId, Value] = {
                write.target.field: write.after
                for write in step.writes
                if write.record == record and isinstance(write.target, Cell)
            }
            if run_id is not None:
                # It rides in a write that is sent anyway and never causes one (SPEC section 3).
                cells[run_id.id] = value.text(self._run)
            updates.append(ports.CellUpdate(record=record, cells=cells))
        read = self._context.fields()
        if run_id is not None and run_id not in read:
            read = (*read, run_id)
        answered = self._context.catalogue.send_cells(self._context.sync.table, read, updates)
        for write in step.writes:
            assert isinstance(write.target, Cell)
            row = answered.get(write.record)
            if row is not None:
                self._agree(write, row.cells.get(write.target.field, value.NOTHING), row)
        self._end(step, Result.APPLIED)

    def _send_attributes(self, step: Step) -> None:
        targets = [(write, write.target) for write in step.writes if isinstance(write.target, Attribute)]
        key = targets[0][1].pull_request
        repository = self._context.repository(key.repository)
        update = ports.AttributeUpdate(
            pull_request=key,
            expected={target.name: operation.raw_attribute(target.name, write.before) for write, target in targets},
            wanted=_wanted(step.writes),
        )
        answered = self._context.changelog.send_attributes(repository, update)
        if isinstance(answered, ports.Moved):
            self._mirror(answered.now, step)
            self.tally.moved += 1
            self._end(step, Result.MOVED, "changed since it was read", again_at=self._context.clock.now(), failed=False)
            return
        self._mirror(answered, step)
        for write, target in targets:
            self._agree(write, fields.present(answered, target.name), answered)
        self._end(step, Result.APPLIED)

    def _create_branch(self, step: Step, action: CreateBranch) -> None:
        repository = self._context.repository(action.repository)
        found = recover.find_branch(self._context, repository.id, action.record)
        made = found is None
        if found is None:
            start = action.start or self._context.changelog.fetch_repository(repository.id).main_branch
            if not start:
                self._refuse(step, f"{repository.slug} is empty: it has no branch to start from")
                return
            found, made = self._new_branch(repository, action, start)
        self._reread(action.repository, Dirt.BRANCH, found.name)
        self._made(step, action, actions.object_of_branch(found.repository, found.name), found=not made)

    def _new_branch(self, repository: Repository, action: CreateBranch, start: str) -> tuple[Branch, bool]:
        """The branch, and whether it was made now: "exists" means that the list did not show it yet, and is taken over (BB15)."""
        try:
            return self._context.changelog.create_branch(repository, action.name, start), True
        except errors.Rejected:
            present = self._context.changelog.fetch_branch(repository, action.name)
            if present is None:
                raise
            return present, False

    def _create_pull_request(self, step: Step, action: CreatePullRequest) -> None:
        repository = self._context.repository(action.repository)
        pull_request = recover.find_pull_request(self._context, repository.id, action.source)
        found = pull_request is not None
        if pull_request is None:
            pull_request = self._context.changelog.create_pull_request(
                repository,
                source=action.source,
                destination=action.destination or repository.main_branch,
                title=action.title,
                description=action.description,
                draft=action.draft,
            )
        self._reread(action.repository, Dirt.PULL_REQUEST, str(pull_request.key.number))
        self._progress[action.record].links.append(
            NewLink(record=action.record, pull_request=pull_request.key, evidence="action")
        )
        self._made(step, action, actions.object_of_pull_request(pull_request.key), found=found)

    def _made(self, step: Step, action: Action, object: str, *, found: bool) -> None:
        self._progress[action.record].made.append(Made(rule=action.rule, object=object))
        # The new object changes what the record's rules say: plan it again at once.
        self._progress[action.record].complete = False
        told = "it was there already: found, not made" if found else ""
        self._end(step, Result.APPLIED, told, again_at=self._context.clock.now(), failed=False)

    def _mirror(self, read: PullRequest, step: Step) -> None:
        """Put what was answered into the mirror, unless more than its attributes moved: then all of it is read."""
        known = self._context.store.load_pull_requests(read.key.repository, [read.key.number])
        if not known or (known[0].source_commit, known[0].state) != (read.source_commit, read.state):
            self._reread(read.key.repository, Dirt.PULL_REQUEST, str(read.key.number))
            return
        kept = replace(read, commit_records=known[0].commit_records, merged_on=known[0].merged_on)
        marking = self._marking(read.key.repository, step.records)
        self._context.store.save_work(read.key.repository, pull_requests=[kept], marking=marking)

    def _reread(self, repository: RepositoryId, dirt: Dirt, name: str) -> None:
        """Only a complete read tells its commits, builds and whom it links to; the next pass does it before it plans."""
        now = self._context.clock.now()
        self._context.store.mark_work([(DirtyWork(repository=repository, dirt=dirt, name=name), None)], now, now)

    def _marking(self, repository: RepositoryId, own: Sequence[RecordId]) -> ports.Marking:
        """Others that share the work are planned anew; those of the step are committed from what was answered."""
        return ports.Marking(
            syncs=tuple(sync.name for sync in self._context.sharing(repository)),
            lane=ports.Lane.EDIT,
            now=self._context.clock.now(),
            besides=frozenset((self._context.name, record) for record in own),
        )

    # ------------------------------------------------------------------------------------------------ outcomes

    def _agree(self, write: Write, kept: Value | Unknown, answer: Record | PullRequest) -> None:
        """What the service answered is what both sides agree on; what it did not keep parks the record."""
        progress = self._progress[write.record]
        if kept != write.after:
            # One field silently ignored or rewritten: never fought over (AT20, AT26).
            progress.parked = (
                f"{write.what} was not kept as sent: the service holds {show(kept)} instead of {show(write.after)}"
            )
            progress.complete = False
            return
        agreed = fields.agreed_after(write, self._context.sync, answer)
        if agreed is not None and write.agrees is not None:
            progress.agreements.append(Agreement(key=write.agrees, value=agreed))

    def _end(
        self, step: Step, result: Result, error: str = "", *, again_at: datetime | None = None, failed: bool = False
    ) -> None:
        now = self._context.clock.now()
        self._ended.append(ports.Ended(operation=step.operation.id, result=result, at=now, error=error))
        match result:
            case Result.APPLIED:
                self.tally.applied += len(step.writes) or 1
            case Result.REFUSED:
                self.tally.refused += 1
            case Result.UNKNOWN:
                self.tally.unknown += 1
            case _:
                self.tally.retried += 1
        self._through(step, again_at, failed=failed)

    def _through(self, step: Step, again_at: datetime | None, *, failed: bool) -> None:
        """A request is done with, one way or another; records that wait for no other are committed."""
        self._over.add(step.operation.id)
        for record in step.records:
            progress = self._progress[record]
            progress.waiting -= 1
            progress.failed = progress.failed or failed
            if again_at is not None:
                progress.complete = False
                progress.again_at = again_at if progress.again_at is None else min(progress.again_at, again_at)
        waiting = [record for record in step.records if self._progress[record].waiting]
        self._commit([record for record in step.records if record not in waiting], waiting)

    def _unclear(self, step: Step, error: str) -> None:
        _log.warning("write.unclear", run_id=self._run, operation=step.operation.id, kind=step.operation.kind)
        self._trouble(step, error)
        if step.action is not None:
            self._progress[step.action.record].made.append(Made(rule=step.action.rule, object="", intended=True))
        # Counted, so that the waits grow: a service that answers every change with an error must not be asked each second.
        again = max(self._context.clock.now() + recover.LOOK_AFTER[0], self._next_attempt(step))
        self._end(step, Result.UNKNOWN, error, again_at=again, failed=True)

    def _trouble(self, step: Step, reason: str) -> None:
        for record in step.records:
            self.tally.troubled.setdefault(record, reason)

    def _refuse(self, step: Step, error: str, said: str = "") -> None:
        """
        Park the record.

        Args:
            error: for the journal.
            said: the service's own words, for the note.
        """
        (record,) = step.records
        progress = self._progress[record]
        progress.parked = f"{_places(step)}: {said or error}"
        progress.complete = False
        _log.warning("write.parked", run_id=self._run, record=record, operation=step.operation.id)
        self._end(step, Result.REFUSED, error, failed=True)

    def _split(self, step: Step) -> list[Step]:
        """Nothing of a refused batch was written, and the service does not say which record it was: halve it."""
        now = self._context.clock.now()
        halves = [self._cells_step(half, now) for half in batch.split(step.together)]
        row = ports.RunRow(
            run=self._run,
            sync=self._context.name,
            spec_hash=self._context.rules.spec_hash,
            started_at=now,
            changes=0,
            clears=0,
            by=self._by,
        )
        self._ended.append(
            ports.Ended(
                operation=step.operation.id, result=Result.REFUSED, at=now, error="one record of the batch was refused"
            )
        )
        self._context.store.save_intents(row, [half.operation for half in halves], self._entries(halves, now))
        return halves

    def _give_back(self, steps: Sequence[Step], reason: str) -> None:
        again = self._context.clock.now() + timedelta(seconds=2)
        for step in steps:
            self._end(step, Result.RETRY, reason, again_at=again)

    def _paused_until(self, step: Step) -> datetime:
        """When to look through a pause again: the longer it lasts, the rarer its records are read for it."""
        now = self._context.clock.now()
        return max(now + timedelta(seconds=2), min(self._next_attempt(step), now + PAUSED_AGAIN_MAX))

    def _next_attempt(self, step: Step) -> datetime:
        attempts = max(self._progress[record].job.attempts for record in step.records)
        return retry.next_attempt(attempts + 1, self._context.clock.now(), self._context.ids.jitter())

    def _commit(self, records: Sequence[RecordId], waiting: Sequence[RecordId] = ()) -> None:
        """
        One transaction: outcomes so far, and everything about the records that are through.

        Args:
            waiting: records of which another request is still to come. What this one agreed on must not wait for it: after a
                crash in between, the owner's next value would be first contact, and an emptied one would never go across.
        """
        if not records and not self._ended:
            return
        commits = [self._record_commit(self._progress[record]) for record in records]
        commits += [
            ports.RecordCommit(
                record=record, done=None, state=None, agreements=tuple(self._progress[record].agreements)
            )
            for record in waiting
            if self._progress[record].agreements
        ]
        ended, self._ended = self._ended, []
        self._context.store.commit(self._context.name, commits, ended, self._context.clock.now())

    def _parked(self, progress: _Progress) -> str | None:
        """The refusal to remember, "" to forget an old one whose cause is gone, None to leave it as it is."""
        if progress.parked:
            return progress.parked
        return "" if progress.complete and not progress.job.parked else None

    def _record_commit(self, progress: _Progress) -> ports.RecordCommit:
        job, plan = progress.job, progress.job.plan
        through = progress.complete and not plan.pending
        again = progress.again_at if progress.again_at is not None else plan.wake_at
        if progress.parked and not job.parked and again is None:
            again = self._context.clock.now()  # once more, to tell it in the note column
        state, note = plan.state, plan.note
        if progress.parked:
            state, note = RecordState.ERROR, progress.parked
        return ports.RecordCommit(
            record=plan.record,
            done=job.done,
            state=state.value,
            note=note,
            status=plan.status,
            linked=plan.linked,
            seen=job.seen if through else "",
            again_at=again,
            again_lane=ports.Lane.RETRY,
            # While a refusal stands the key waits, counted as parked, until something marks it.
            failed=progress.failed or (job.parked and again is None),
            parked=self._parked(progress),
            parked_for=job.cause if progress.parked else "",
            agreements=(*plan.agreements, *progress.agreements),
            tolerations=plan.tolerations,
            links=(*plan.links, *progress.links),
            conflicts=plan.conflicts,
            conflicts_closed=job.settled if progress.complete else (),
            foreign_edits=plan.foreign_edits,
            made=(*(Made(rule=one.rule, object=one.object) for one in plan.made), *progress.made),
        )


def _places(step: Step) -> str:
    """What a request was to change, for people; the columns about syncd itself only when there is nothing else."""
    if step.action is not None:
        return "the new branch" if isinstance(step.action, CreateBranch) else "the new pull request"
    mapped = [write.what for write in step.writes if write.kind is not Kind.COLUMN]
    return ", ".join(dict.fromkeys(mapped or [write.what for write in step.writes]))


def show(found: Value | Unknown) -> str:
    """A value in a sentence for people, shortened."""
    if isinstance(found, Unknown):
        return "something unreadable"
    plain = value.plain(found)
    if plain is None:
        return "nothing"
    text = str(plain)
    return repr(text if len(text) <= 60 else text[:57] + "…")


def _wanted(writes: Sequence[Write]) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {}
    for write in writes:
        assert isinstance(write.target, Attribute)
        found[write.target.name] = operation.raw_attribute(write.target.name, write.after)
    return found
