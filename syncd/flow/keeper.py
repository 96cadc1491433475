"""
What belongs to no single sync: deliveries into marks, payload cursors, webhooks kept alive, polling without them.

One thread calls `step(now)`; workers do the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from syncd import errors
from syncd.flow import changes, endpoints, intake
from syncd.flow.context import Context
from syncd.flow.effort import Effort
from syncd.model.event import Changes, Dirt, DirtyWork, Endpoint
from syncd.model.ids import EndpointId, RepositoryId, SyncName

IDLE = timedelta(seconds=15)
# While rules wait for something that is gone, the schema is read again this often.
BLOCKED_AGAIN = timedelta(minutes=15)
UNASKED_AGAIN = timedelta(minutes=1)


class Keeper:
    """
    Args:
        contexts: one per sync, of this thread alone.
        secrets: configured hook secrets of a repository, for a sync.
        want_compare: tell a sync's worker to compare in full.
        look_again: how long after the last look the spec's names are to be resolved again; None: nothing is blocked.
        reload_schema: something about a table changed: resolve the spec's names again.
        now_and_then: what is to be done once a minute; asked at each step.
        period: how far apart polls of a base must lie for its budget.
    """

    def __init__(
        self,
        contexts: Sequence[Context],
        intake: intake.Intake,
        secrets: Callable[[Context, str], Sequence[str]],
        want_compare: Callable[[SyncName], None],
        reload_schema: Callable[[], object],
        now_and_then: Callable[[], None] = lambda: None,
        period: Callable[[Context], timedelta] = lambda context: context.rules.daemon.poll,
        look_again: Callable[[], timedelta | None] = lambda: None,
    ) -> None:
        self._look_again = look_again
        self._now_and_then = now_and_then
        self._period = period
        self.contexts = tuple(contexts)
        self._intake = intake
        self._secrets = secrets
        self._want_compare = want_compare
        self._reload_schema = reload_schema
        self._pinged: set[EndpointId] = set()
        self._schema_moved = False
        self._polled_at: dict[str, datetime] = {}
        self._checked_at: dict[SyncName, datetime] = {}
        self._failed: dict[SyncName, frozenset[str]] = {}
        self.keeping: Mapping[SyncName, Effort] = {
            context.name: Effort(f"{context.name}: keeping the webhooks") for context in contexts
        }
        self.polling: dict[str, Effort] = {}
        self.moved = False
        """Whether the last step gave the workers anything to do."""

    @property
    def efforts(self) -> tuple[Effort, ...]:
        """All that may be in trouble, for health."""
        return (*self.keeping.values(), *self.polling.values())

    def step(self, now: datetime) -> datetime:
        """
        Do what is due.

        Returns:
            When to call again; a delivery wakes it earlier.

        Raises:
            StoreError: the state cannot be trusted.
        """
        processed = self._intake.process()
        self.moved, more = processed > 0, processed >= intake.PROCESS_MAX
        if self._intake.take_missed():
            self.moved = True
            for context in self.contexts:
                self._want_compare(context.name)
        for context in self.contexts:
            self._keep_endpoints(context)
        self._poll_airtable()
        self._poll_bitbucket()
        self._look_at_blocked(now)
        self._now_and_then()
        return now if more else self._next(now)

    def check_endpoints(self) -> None:
        """Look at the webhooks at the next step, whatever the time."""
        self._checked_at.clear()

    def _next(self, now: datetime) -> datetime:
        return now + min([IDLE, *(context.rules.daemon.poll for context in self.contexts)])

    def _keep_endpoints(self, context: Context) -> None:
        now, effort = context.clock.now(), self.keeping[context.name]
        checked, failed = self._checked_at.get(context.name), self._failed.get(context.name, frozenset())
        due = checked is None or not timedelta(0) <= now - checked < endpoints.CHECK_EVERY
        if not due and not (failed and effort.may(now)):
            return
        # Between two checks only what failed is tried again: every look is a request per repository.
        found = endpoints.ensure(context, now, lambda slug: self._secrets(context, slug), None if due else failed)
        self._intake.refresh(self._repositories())
        self._failed[context.name] = frozenset(found.problems) | found.later
        if due:
            self._checked_at[context.name] = now
        if found.problem is None:
            effort.succeeded()
        else:
            effort.failed(found.problem, context.clock.now(), context.ids.jitter())
        if found.missed:
            self.moved = True
            self._want_compare(context.name)

    def _repositories(self) -> list[RepositoryId]:
        return [id for context in self.contexts for id in context.repository_ids]

    # ------------------------------------------------------------------------------------------------- polling

    def _poll_airtable(self) -> None:
        if not self.contexts:
            return
        self._pinged |= self.contexts[0].store.take_pinged()
        done: set[str] = set()
        for context in self.contexts:
            if context.sync.base in done:
                continue
            done.add(context.sync.base)
            # Looked up only when there is reason to: this runs at every step.
            due = self._due(f"airtable:{context.sync.base}", self._period(context), context.clock.now())
            endpoint = endpoints.of_airtable(context) if due or self._pinged else None
            if endpoint is not None and (due or endpoint.id in self._pinged):
                self._poll_base(context, endpoint)

    def _poll_base(self, context: Context, endpoint: Endpoint) -> None:
        now = context.clock.now()
        effort = self.polling.setdefault(
            endpoint.subject, Effort(f"{context.sync.airtable}: reading Airtable's payloads")
        )
        if not effort.may(now):
            return
        together = tuple(one for one in self.contexts if one.sync.base == context.sync.base)
        try:
            polled = changes.poll(together, endpoint, now, partial(self._noticed, context, endpoint))
        except errors.Gone as error:
            # The list of hooks tells whether it is gone and to be made again (reference/airtable.md 5.5), or only not to be
            # seen for a while: then what it holds must not be lost with it (AT14).
            self.check_endpoints()
            effort.failed(error, context.clock.now(), context.ids.jitter())
            return
        except errors.ServiceError as error:
            effort.failed(error, context.clock.now(), context.ids.jitter())
            return
        finally:
            if self._schema_moved:
                self._schema_moved = False
                self._reload_schema()
        effort.succeeded()
        self.moved = True
        self._pinged.discard(endpoint.id)
        self._polled_at[f"airtable:{endpoint.subject}"] = now
        if polled.compare:
            for one in together:
                self._want_compare(one.name)

    def _noticed(self, context: Context, endpoint: Endpoint, page: Changes) -> None:
        # Asked for when the poll is over, whole or not: a reload ends what is under way.
        self._schema_moved |= page.schema_changed
        if page.broken:
            context.store.save_endpoint(replace(endpoint, active=False), None)
            self.check_endpoints()

    def _poll_bitbucket(self) -> None:
        """Without deliveries: one list by update time per repository and period, through the same road as a mark."""
        for context in self.contexts:
            now = context.clock.now()
            if not context.rules.daemon.public_url and self._due(
                f"bitbucket:{context.name}", context.rules.daemon.poll, now
            ):
                self._polled_at[f"bitbucket:{context.name}"] = now
                dirty = [(DirtyWork(repository=id, dirt=Dirt.REPOSITORY), None) for id in context.repository_ids]
                context.store.mark_work(dirty, now, now)
                self.moved = True

    def _look_at_blocked(self, now: datetime) -> None:
        """What was gone may be back without a word: the answer that told so may itself have been wrong (AT07)."""
        before = self._polled_at.setdefault("blocked", now)
        again = self._look_again()
        if again is not None and not timedelta(0) <= now - before < again:
            self._polled_at["blocked"] = now
            self._reload_schema()

    def _due(self, what: str, period: timedelta, now: datetime) -> bool:
        before = self._polled_at.get(what)
        return before is None or not timedelta(0) <= now - before < period
