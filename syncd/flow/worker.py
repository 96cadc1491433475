"""One sync's work, serial: what is open from before, dirty work, a full compare when it is due, dirty records."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from syncd import errors, log
from syncd.core import budget
from syncd.flow import cycle, full_compare, outcomes, recover, work
from syncd.flow.context import Context
from syncd.flow.effort import Effort
from syncd.flow.trial import Trial
from syncd.model.ids import RecordId

_log = log.logger("flow.worker")

T = TypeVar("T")

# With nothing to do the worker looks this often; a ping or a command wakes it earlier.
IDLE = timedelta(seconds=30)
# What is refused again and again asks for the names no more often than this: it begins all waits anew, and a refusal
# that stands for weeks must not use up the month's calls.
NAMES_EVERY = timedelta(minutes=15)


class Worker:
    """
    A plain `step(now)` for one sync, called by one thread, or by the simulator.

    Args:
        stop: a reason to end early, asked between requests; "" to go on.
        interval: how far apart full compares must lie for the budgets; None: as the spec wishes.
        trial: of the process, for the records of this sync.
        sent: how many requests this thread has sent; what a compare takes is counted by it.
        reload: ask for the spec's names to be resolved again: a repository is called differently now, or a field is gone.
    """

    def __init__(
        self,
        context: Context,
        stop: Callable[[], str],
        interval: Callable[[], timedelta] | None = None,
        trial: Trial | None = None,
        sent: Callable[[], int] = lambda: 0,
        reload: Callable[[], object] = lambda: None,
    ) -> None:
        self._sent = sent
        self._reload = reload
        self.context = context
        self._trial = trial
        self._interval = interval or (lambda: context.rules.daemon.compare_every)
        self._stop = stop
        self._begun = False
        # Whatever was delivered while no process ran is lost, and a new spec changes what every record's plan says.
        self._compare_wanted, self._hurried = True, False
        self.recovering = Effort(f"{context.name}: looking up what a lost answer did")
        self.reading = Effort(f"{context.name}: reading Bitbucket")
        self.comparing = Effort(f"{context.name}: comparing both sides in full")
        self.passing = Effort(f"{context.name}: reading and writing records")
        self.writing = Effort(f"{context.name}: writing")
        self._unwritten: dict[RecordId, str] = {}
        self._named_at: datetime | None = None
        self.stepping = Effort(f"{context.name}: a step broke off, the log says why; it begins anew")

    @property
    def efforts(self) -> tuple[Effort, ...]:
        """All that may be in trouble, for health."""
        return (self.recovering, self.reading, self.comparing, self.passing, self.writing, self.stepping)

    def want_compare(self) -> None:
        """Compare in full at the next step: something may have been missed, or a person asks for it."""
        self._compare_wanted = self._hurried = True

    def succeed(self, before: "Worker") -> None:
        """Take over from a worker of the same process and the same rules: what it compared need not be compared again."""
        self._compare_wanted, self._named_at = before._compare_wanted, before._named_at

    def step(self, now: datetime) -> datetime:
        """
        Do what is due.

        Returns:
            When to call again; `now` when there is more to do at once.

        Raises:
            StoreError: the state cannot be trusted; nothing was sent after it.
        """
        context, whole = self.context, False
        try:
            if not self._begun:
                # As after a restart: what was claimed and not finished is free, what was sent and not ended is unknown.
                context.store.free_claims(context.name, context.repository_ids)
                recover.begin(context, now)
            again = self._work()
            whole = True
        finally:
            self._begun = whole
            self.stepping.trouble = "" if whole else self.stepping.purpose
        return again

    def _work(self) -> datetime:
        context = self.context
        looked = self._try(self.recovering, lambda at: recover.resolve(context, at))
        read = self._try(self.reading, lambda at: work.refresh(context, at))
        if self._hurried:
            self._hurried = False
            self.comparing.hurry()
        due = self._compare_wanted or (
            full_compare.is_due(context, context.clock.now()) and self._afforded(context.clock.now())
        )
        if due and self._try(self.comparing, self._compare) is not None:
            self._compare_wanted = False
            # Both sides were read: what a pass met before is over, also when nothing is left for it to try again.
            self.passing.succeeded()
        if self.comparing.not_before is not None:
            # It is the guarantee: never later than the next one would be anyway.
            self.comparing.not_before = min(self.comparing.not_before, context.clock.now() + self._interval())
        # A pass to which nothing was due asked nobody, and proves nothing.
        passed = self._try(
            self.passing, lambda at: cycle.step(context, at, self._stop, self._trial), lambda found: found is not None
        )
        if passed is not None and passed.schema_changed:
            self._names_again(context.clock.now())
        if passed is not None and passed.tally is not None:
            undecided = {one.record for one in passed.planned.records if one.pending}
            self._tell_writes([key for key in passed.keys if key not in undecided], passed.tally)
            if passed.tally.refused:
                self._names_again(context.clock.now())
        after = context.clock.now()
        if (read or (passed is not None and passed.claimed)) and not self._stop():
            return after
        return self._next(after, looked)

    def _tell_writes(self, keys: Sequence[RecordId], tally: outcomes.Tally) -> None:
        """A write that a service does not let through is tried again by its record's mark; here it only shows (I35)."""
        for record in keys:
            self._unwritten.pop(record, None)
        self._unwritten.update(tally.troubled)
        if not self._unwritten:
            self.writing.succeeded()
            return
        first, others = next(iter(self._unwritten.values())), len(self._unwritten) - 1
        self.writing.shown(first + (f" (and {others} more records)" if others else ""))

    def _afforded(self, now: datetime) -> bool:
        """Whether the last compare is so long ago that the budgets allow another."""
        before = full_compare.last(self.context)
        return before is None or before > now or now - before >= self._interval()

    def _compare(self, now: datetime) -> full_compare.Compared:
        """A compare that could not read a repository is tried again like any other failure: later, and later again."""
        before, repeated = self._sent(), full_compare.last(self.context) is not None
        compared = full_compare.compare(self.context, now, self._stop)
        if repeated and not compared.unread:
            # The first one reads far more than those after it.
            taken = self._sent() - before - budget.calls_of(compared.records, compared.repositories)
            self.context.store.save_text(full_compare.calls_key(self.context.name), str(max(0, taken)))
        if self._renamed() or (self.context.rules.blocked and not compared.unread):
            # Links that people put into cells, and everything that is shown, name repositories as they are called now; and
            # one that was not listed any more may be, as it was read just now.
            self._reload()
        if compared.unread:
            raise errors.Unreachable("; ".join(compared.unread), service="bitbucket", request="full compare")
        return compared

    def _renamed(self) -> bool:
        called = {
            one.repository.id: one.repository.slug
            for one in self.context.store.load_repositories(self.context.repository_ids)
        }
        return any(called.get(one.id, one.slug) != one.slug for one in self.context.sync.repositories)

    def _try(
        self, effort: Effort, do: Callable[[datetime], T], proves: Callable[[T], bool] = lambda _: True
    ) -> T | None:
        now = self.context.clock.now()
        if self._stop() or not effort.may(now):
            return None
        try:
            result = do(now)
        except (errors.ServiceError, errors.Refused) as error:
            effort.failed(error, self.context.clock.now(), self.context.ids.jitter())
            if isinstance(error, errors.Rejected):
                self._names_again(now)
            return None
        if proves(result):
            effort.succeeded()
        return result

    def _names_again(self, now: datetime) -> None:
        """
        What is refused for what it says may name a field that is gone, or has another type now: without payloads nothing else
        tells, and the refusal of one cell takes the record's others along (SD02, SD03).
        """
        if self._named_at is None or not timedelta(0) <= now - self._named_at < NAMES_EVERY:
            self._named_at = now
            self._reload()

    def _next(self, now: datetime, looked: datetime | None) -> datetime:
        due = [now + IDLE]
        queued = self.context.store.next_due(self.context.name, self.context.repository_ids)
        if queued is not None:
            due.append(queued)
        if looked is not None:
            due.append(looked)
        before = full_compare.last(self.context)
        # The budgets only stretch what the spec wishes: while that lies further ahead, nothing has to be computed.
        if before is not None and before + self.context.rules.daemon.compare_every < min(due):
            due.append(before + self._interval())
        held_back = [one.not_before for one in self.efforts if one.not_before is not None and one.not_before > now]
        soonest = min(due)
        # Nothing is gained by waking before the trouble may be over.
        return max(soonest, min(held_back)) if held_back and soonest <= now else max(soonest, now)
