"""
Send what a plan says: intent first, one request at a time, outcome and agreed values after each, nothing sent twice.

Order: Airtable batches with the status cells first, then other cells, then pull request attributes, then new branches
and pull requests. A refused batch is split until the culprit is alone; a lost answer leaves an operation that is looked
up later, never repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from syncd import errors, log, ports
from syncd.core import action as actions
from syncd.core import batch, fields, guard, retry
from syncd.flow import effort, fault, operation, reading, recover, request
from syncd.flow.context import Context
from syncd.flow.outcomes import Job, Outcomes, Tally
from syncd.flow.request import Step
from syncd.model import value
from syncd.model.change import (
    Action,
    Attribute,
    Cell,
    CreateBranch,
    CreatePullRequest,
    NewLink,
    Side,
    Write,
)
from syncd.model.event import Dirt, DirtyWork
from syncd.model.ids import FieldId, OperationId, RecordId, RepositoryId, RunId
from syncd.model.outcome import Result
from syncd.model.schema import Repository
from syncd.model.situation import Made
from syncd.model.value import Value
from syncd.model.work import Branch, PullRequest

_log = log.logger("flow.apply")

# Airtable first, then pull request attributes, then what is new.
_ORDER = ("cells", "attributes", "branch", "pull_request")


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
        self._context = context
        self._stop = stop
        self._by = by
        self._run: RunId = context.ids.run()
        # A side that refuses our credential: nothing more goes there in this run.
        self._closed: dict[Side, tuple[timedelta, str]] = {}
        self._requests = request.Requests(context, self._run)
        self._outcomes = Outcomes(context, jobs)
        self.tally = self._outcomes.tally

    @property
    def run(self) -> RunId:
        """The run's id."""
        return self._run

    def carry_out(self) -> Tally:
        """Send everything and commit every outcome. Raises StoreError only: then nothing more was sent."""
        store, now = self._context.store, self._context.clock.now()
        steps, entries = self._steps(now)
        self._outcomes.commit(
            [record for record in sorted(self._outcomes.progress) if not self._outcomes.progress[record].waiting]
        )
        # What must not be sent anyway is not even intended: a long pause does not fill the journal.
        paused = {side: self._context.switch.paused(self._context.name, side) for side in Side}
        for step in [step for step in steps if paused[step.operation.side]]:
            self._outcomes.through(step, self._outcomes.paused_until(step), failed=True)
        steps = [step for step in steps if not paused[step.operation.side]]
        if not steps:
            return self.tally
        plans = [progress.job.plan for progress in self._outcomes.progress.values()]
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
                self._outcomes.end(step, Result.RETRY, reason, again_at=self._outcomes.paused_until(step), failed=True)
                continue
            if step.operation.side in self._closed:
                wait, reason = self._closed[step.operation.side]
                self._outcomes.trouble(step, reason)
                self._outcomes.end(step, Result.RETRY, reason, again_at=self._context.clock.now() + wait)
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
        records = sorted(self._outcomes.progress)
        together = [record for record in records if record not in self._alone]

        def made(some: Sequence[RecordId]) -> list[tuple[Step, list[ports.JournalEntry]]]:
            found = self._requests.of_plans([self._outcomes.progress[record].job.plan for record in some], now)
            return [(step, self._requests.entries([step], now)) for step in found]

        parts = [*fault.apart(together, made, self._trip)]
        parts += [one for record in records if record in self._alone for one in fault.apart([record], made, self._trip)]
        found = sorted((pair for part in parts for pair in part), key=lambda pair: _ORDER.index(pair[0].operation.kind))
        for step, _ in found:
            for record in step.records:
                self._outcomes.progress[record].waiting += 1
        return [step for step, _ in found], {step.operation.id: entries for step, entries in found}

    def _trip(self, record: RecordId, error: Exception) -> None:
        progress = self._outcomes.progress[record]
        progress.parked, progress.complete, progress.failed = fault.told(error), False, True
        progress.again_at = retry.next_attempt(
            progress.job.attempts + 1, self._context.clock.now(), self._context.ids.jitter()
        )
        _log.error(
            "record.failed", sync=self._context.name, record=record, kind=type(error).__name__, trace=fault.trace(error)
        )

    # ------------------------------------------------------------------------------------------------- sending

    def _send(self, step: Step) -> list[Step]:
        """Send one request and commit what came of it; the parts of a split batch come back to be sent next."""
        self._context.store.save_sent([step.operation.id], self._context.clock.now())
        self.tally.requests += 1
        try:
            self._do(step)
        except errors.Throttled as error:
            self._outcomes.end(step, Result.RETRY, error.message, again_at=error.retry_at, failed=False)
        except errors.Paused as error:
            self._outcomes.end(
                step, Result.RETRY, error.message, again_at=self._outcomes.paused_until(step), failed=True
            )
        except errors.Unclear as error:
            self._unclear(step, error.message)
        except errors.Rejected as error:
            if len(step.records) > 1:
                return self._split(step)
            self._refuse(step, f"{error.message} {error.detail}".strip(), error.detail)
        except errors.ServiceError as error:
            self._outcomes.trouble(step, error.message)
            # Counted, so that the waits grow: what always fails must not be sent every second.
            self._outcomes.end(
                step, Result.RETRY, error.message, again_at=self._outcomes.next_attempt(step), failed=True
            )
            if isinstance(error, errors.Unauthorised) and error.status == 401:
                self._closed[step.operation.side] = (effort.PROBE_EVERY, error.message)
        except errors.SyncdError:
            raise
        except Exception as error:
            if step.operation.id in self._outcomes.over:
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
            self._outcomes.progress[step.records[0]].parked = f"{request.places(step)}: {reason}"
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
                self._outcomes.agree(write, row.cells.get(write.target.field, value.NOTHING), row)
        self._outcomes.end(step, Result.APPLIED)

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
            self._outcomes.end(
                step, Result.MOVED, "changed since it was read", again_at=self._context.clock.now(), failed=False
            )
            return
        self._mirror(answered, step)
        for write, target in targets:
            self._outcomes.agree(write, fields.present(answered, target.name), answered)
        # What was computed from the value before is computed anew at once.
        read = reading.decides_by(self._context.sync, (target.name for _, target in targets))
        self._outcomes.end(step, Result.APPLIED, again_at=self._context.clock.now() if read else None)

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
        self._outcomes.progress[action.record].links.append(
            NewLink(record=action.record, pull_request=pull_request.key, evidence="action")
        )
        self._made(step, action, actions.object_of_pull_request(pull_request.key), found=found)

    def _made(self, step: Step, action: Action, object: str, *, found: bool) -> None:
        self._outcomes.progress[action.record].made.append(Made(rule=action.rule, object=object))
        # The new object changes what the record's rules say: plan it again at once.
        self._outcomes.progress[action.record].complete = False
        told = "it was there already: found, not made" if found else ""
        self._outcomes.end(step, Result.APPLIED, told, again_at=self._context.clock.now(), failed=False)

    def _mirror(self, read: PullRequest, step: Step) -> None:
        """Put what was answered into the mirror, unless more than its attributes moved: then all of it is read."""
        known = self._context.store.load_pull_requests(read.key.repository, [read.key.number])
        kept = replace(read, commit_records=known[0].commit_records, merged_on=known[0].merged_on) if known else read
        ours = {write.target.name for write in step.writes if isinstance(write.target, Attribute)}
        # What else moved was not planned from, and an own record is not marked by what is saved here.
        before = (
            replace(known[0], updated_on=read.updated_on, **{name: getattr(read, name) for name in ours})
            if known
            else None
        )
        if before != kept:
            self._reread(read.key.repository, Dirt.PULL_REQUEST, str(read.key.number))
            return
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

    def _unclear(self, step: Step, error: str) -> None:
        _log.warning("write.unclear", run_id=self._run, operation=step.operation.id, kind=step.operation.kind)
        self._outcomes.trouble(step, error)
        if step.action is not None:
            self._outcomes.progress[step.action.record].made.append(
                Made(rule=step.action.rule, object="", intended=True)
            )
        # Counted, so that the waits grow: a service that answers every change with an error must not be asked each second.
        again = max(self._context.clock.now() + recover.LOOK_AFTER[0], self._outcomes.next_attempt(step))
        self._outcomes.end(step, Result.UNKNOWN, error, again_at=again, failed=True)

    def _refuse(self, step: Step, error: str, said: str = "") -> None:
        """
        Park the record.

        Args:
            error: for the journal.
            said: the service's own words, for the note.
        """
        (record,) = step.records
        progress = self._outcomes.progress[record]
        progress.parked = f"{request.places(step)}: {said or error}"
        progress.complete = False
        _log.warning("write.parked", run_id=self._run, record=record, operation=step.operation.id)
        self._outcomes.end(step, Result.REFUSED, error, failed=True)

    def _split(self, step: Step) -> list[Step]:
        """Nothing of a refused batch was written, and the service does not say which record it was: halve it."""
        now = self._context.clock.now()
        halves = [self._requests.of_cells(half, now) for half in batch.split(step.together)]
        row = ports.RunRow(
            run=self._run,
            sync=self._context.name,
            spec_hash=self._context.rules.spec_hash,
            started_at=now,
            changes=0,
            clears=0,
            by=self._by,
        )
        self._outcomes.ended.append(
            ports.Ended(
                operation=step.operation.id, result=Result.REFUSED, at=now, error="one record of the batch was refused"
            )
        )
        self._context.store.save_intents(row, [half.operation for half in halves], self._requests.entries(halves, now))
        return halves

    def _give_back(self, steps: Sequence[Step], reason: str) -> None:
        again = self._context.clock.now() + timedelta(seconds=2)
        for step in steps:
            self._outcomes.end(step, Result.RETRY, reason, again_at=again)


def _wanted(writes: Sequence[Write]) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {}
    for write in writes:
        assert isinstance(write.target, Attribute)
        found[write.target.name] = operation.raw_attribute(write.target.name, write.after)
    return found
