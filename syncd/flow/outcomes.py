"""
What became of each record's changes while a run is carried out, and its commit: outcomes and agreed values, one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from syncd import ports
from syncd.core import fields, retry
from syncd.flow.context import Context
from syncd.flow.request import Step
from syncd.model import value
from syncd.model.change import AgreedKey, Agreement, NewLink, RecordPlan, RecordState, Write
from syncd.model.ids import OperationId, RecordId
from syncd.model.outcome import Result
from syncd.model.record import Record
from syncd.model.situation import Made
from syncd.model.value import Unknown, Value
from syncd.model.work import PullRequest

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
class Progress:
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


class Outcomes:
    """
    The records of one run on their way.

    Args:
        jobs: one per record.
    """

    def __init__(self, context: Context, jobs: Sequence[Job]) -> None:
        self._context = context
        self.progress = {job.plan.record: Progress(job=job) for job in jobs}
        self.ended: list[ports.Ended] = []
        self.over: set[OperationId] = set()
        self.tally = Tally(records=sum(1 for job in jobs if job.plan.changes))

    def agree(self, write: Write, kept: Value | Unknown, answer: Record | PullRequest) -> None:
        """What the service answered is what both sides agree on; what it did not keep parks the record."""
        progress = self.progress[write.record]
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

    def end(
        self, step: Step, result: Result, error: str = "", *, again_at: datetime | None = None, failed: bool = False
    ) -> None:
        now = self._context.clock.now()
        self.ended.append(ports.Ended(operation=step.operation.id, result=result, at=now, error=error))
        match result:
            case Result.APPLIED:
                self.tally.applied += len(step.writes) or 1
            case Result.REFUSED:
                self.tally.refused += 1
            case Result.UNKNOWN:
                self.tally.unknown += 1
            case _:
                self.tally.retried += 1
        self.through(step, again_at, failed=failed)

    def through(self, step: Step, again_at: datetime | None, *, failed: bool) -> None:
        """A request is done with, one way or another; records that wait for no other are committed."""
        self.over.add(step.operation.id)
        for record in step.records:
            progress = self.progress[record]
            progress.waiting -= 1
            progress.failed = progress.failed or failed
            if again_at is not None:
                progress.complete = False
                progress.again_at = again_at if progress.again_at is None else min(progress.again_at, again_at)
        waiting = [record for record in step.records if self.progress[record].waiting]
        self.commit([record for record in step.records if record not in waiting], waiting)

    def trouble(self, step: Step, reason: str) -> None:
        for record in step.records:
            self.tally.troubled.setdefault(record, reason)

    def paused_until(self, step: Step) -> datetime:
        """When to look through a pause again: the longer it lasts, the rarer its records are read for it."""
        now = self._context.clock.now()
        return max(now + timedelta(seconds=2), min(self.next_attempt(step), now + PAUSED_AGAIN_MAX))

    def next_attempt(self, step: Step) -> datetime:
        attempts = max(self.progress[record].job.attempts for record in step.records)
        return retry.next_attempt(attempts + 1, self._context.clock.now(), self._context.ids.jitter())

    def commit(self, records: Sequence[RecordId], waiting: Sequence[RecordId] = ()) -> None:
        """
        One transaction: outcomes so far, and everything about the records that are through.

        Args:
            waiting: records of which another request is still to come. What this one agreed on must not wait for it: after a
                crash in between, the owner's next value would be first contact, and an emptied one would never go across.
        """
        if not records and not self.ended:
            return
        commits = [self._record_commit(self.progress[record]) for record in records]
        commits += [
            ports.RecordCommit(record=record, done=None, state=None, agreements=tuple(self.progress[record].agreements))
            for record in waiting
            if self.progress[record].agreements
        ]
        ended, self.ended = self.ended, []
        self._context.store.commit(self._context.name, commits, ended, self._context.clock.now())

    def _parked(self, progress: Progress) -> str | None:
        """The refusal to remember, "" to forget an old one whose cause is gone, None to leave it as it is."""
        if progress.parked:
            return progress.parked
        return "" if progress.complete and not progress.job.parked else None

    def _record_commit(self, progress: Progress) -> ports.RecordCommit:
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


def show(found: Value | Unknown) -> str:
    """A value in a sentence for people, shortened."""
    if isinstance(found, Unknown):
        return "something unreadable"
    plain = value.plain(found)
    if plain is None:
        return "nothing"
    text = str(plain)
    return repr(text if len(text) <= 60 else text[:57] + "…")
