"""
The process: threads, periodic jobs, signals, readiness, watchdog, drain. Every decision is somebody else's.

One thread per sync calls `Worker.step`, one calls `Keeper.step`, one serves both listeners. APScheduler only wakes them.
"""

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from syncd import errors, log, ports
from syncd.flow.keeper import Keeper
from syncd.flow.worker import Worker
from syncd.model.ids import SyncName

_log = log.logger("daemon")

DRAIN_S = 18.0
RETRY_S = 5.0
# A thread that neither waits nor sent a request for this long hangs (reliability.md PR07).
HANGS_AFTER_S = 85.0
LEDGER_EVERY_S = 10
RETENTION_EVERY_S = 3600


class Served(Protocol):
    """Both listeners, as the daemon sees them."""

    def start(self) -> None:
        """Bind and serve. Raises UsageError when an address is taken."""

    def stop(self) -> None:
        """Stop taking requests, finish those under way."""

    @property
    def alive(self) -> bool:
        """Whether they serve."""

    @property
    def beats(self) -> int:
        """Grows at least once a second while neither their loop nor their writer is stuck."""


class Crew(Protocol):
    """What `wiring` builds from one spec snapshot: the threads' work."""

    @property
    def workers(self) -> Sequence[Worker]:
        """One per sync."""

    @property
    def keeper(self) -> Keeper:
        """The rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """
    What the daemon is given to do, by `wiring`.

    Args:
        crew: build the work from the present spec; `stop` is asked between requests.
        reload: read the spec again: an error in words when the old one stays, "" when the next `crew()` has a new one.
        save_ledgers, purge: periodic chores.
        beats: by the thread's name, how many requests it sent.
        notify: tell systemd.
        failed: the state's own word on whether it can still be trusted; "" while it can.
        exclusive: a lock per sync, shared with commands.
    """

    clock: ports.Clock
    crew: Callable[[Callable[[], str]], Crew]
    listeners: Served
    reload: Callable[[], str]
    save_ledgers: Callable[[], None]
    purge: Callable[[], None]
    beats: Callable[[], Mapping[str, int]]
    notify: Callable[[str], object]
    failed: Callable[[], str]
    exclusive: Callable[[SyncName], AbstractContextManager[Any]]
    watchdog_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Thread:
    """
    One thread's loop.

    Args:
        waiting: it waits for work, or for its turn: it does not hang.
        beats, still_since_s: its requests when they were last seen to grow, and since when they stand.
    """

    name: str
    step: Callable[[datetime], datetime]
    stop: Callable[[], str]
    wake: threading.Event = field(default_factory=threading.Event)
    waiting: bool = False
    thread: threading.Thread | None = None
    beats: int = 0
    still_since_s: float = 0.0


@dataclass(slots=True)
class _Relieved:
    """Whether a crew was relieved by another one, of a newer spec. Once said it is never taken back."""

    reason: str = ""


class Daemon:
    """Runs until a signal or a state that cannot be trusted ends it."""

    def __init__(self, duties: Duties) -> None:
        self._duties = duties
        self._ended = threading.Event()
        self._ended_or_due = threading.Event()
        self._reload_wanted = threading.Event()
        self._relieved = _Relieved()
        self._stop_reason = ""
        self._failure = ""
        self._threads: list[_Thread] = []
        self._workers: dict[SyncName, Worker] = {}
        self._keeper: Keeper | None = None
        self._lock = threading.RLock()
        self.ready = False
        self.spec_problem = ""

    # --------------------------------------------------------------------------------- asked by the listeners

    @property
    def failure(self) -> str:
        """Why the state cannot be trusted or written; "" when it can."""
        return self._failure or self._duties.failed()

    @property
    def workers(self) -> Sequence[Worker]:
        """The workers of the present spec."""
        return tuple(self._workers.values())

    @property
    def keeper(self) -> Keeper | None:
        """The keeper of the present spec."""
        return self._keeper

    def wake(self) -> None:
        """There may be something to do."""
        for thread in self._threads:
            thread.wake.set()

    def want_compare(self, sync: SyncName) -> None:
        """Compare a sync in full as soon as possible."""
        worker = self._workers.get(sync)
        if worker is not None:
            worker.want_compare()
        self.wake()

    def request_reload(self) -> None:
        """Read the spec again, soon."""
        self._reload_wanted.set()
        self._ended_or_due.set()

    # -------------------------------------------------------------------------------------------------- the run

    def run(self) -> int:
        """
        Serve until told to stop.

        Returns:
            The exit status: 0 after a signal, 1 when the state failed.

        Raises:
            UsageError: an address is taken.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop("the process was told to stop"))
        signal.signal(signal.SIGHUP, lambda *_: self.request_reload())
        scheduler = self._scheduler()
        try:
            self._assemble()
            self._duties.listeners.start()
            scheduler.start()
            self._start_threads()
            self.ready = True
            self._duties.notify("READY=1\nSTATUS=at work")
            _log.info("daemon.ready", syncs=len(self._workers))
            self._watch(scheduler)
        finally:
            self.ready = False
            self._duties.notify("STOPPING=1")
            _log.info("daemon.stopping", reason=self._stop_reason or self._failure or "an error")
            self._stop_reason = self._stop_reason or "the process ends"
            self._duties.listeners.stop()
            if scheduler.running:
                scheduler.shutdown(wait=False)
            self._join()
        _log.info("daemon.stopped", failure=self._failure)
        return 1 if self.failure else 0

    def _stop(self, reason: str) -> None:
        self._stop_reason = reason
        self._ended.set()
        self._ended_or_due.set()
        for thread in self._threads:
            thread.wake.set()

    def _watch(self, scheduler: BackgroundScheduler) -> None:
        """The main thread: watchdog, reloads, and the end."""
        every = self._duties.watchdog_s / 2 or 30.0
        served = -1
        while not self._ended.is_set():
            self._ended_or_due.wait(every)
            self._ended_or_due.clear()
            if self._reload_wanted.is_set() and not self._ended.is_set():
                self._reload()
            # After the clock jumped forward the scheduler would oversleep (dependencies.md section 4).
            scheduler.wakeup()
            hanging = self._hanging()
            if hanging:
                _log.error("worker.failed", thread=hanging, reason="it neither waits nor sends anything")
            serving = self._duties.listeners.alive and self._duties.listeners.beats != served
            served = self._duties.listeners.beats
            if not hanging and serving and not self._failure:
                self._duties.notify("WATCHDOG=1")
            if self.failure:
                # Also when it was a listener or a job that found out.
                self._ended.set()

    def _hanging(self) -> str:
        """The name of a thread that neither waits nor sent a request for long; "" when all of them live."""
        beats, now_s = self._duties.beats(), self._duties.clock.monotonic_s()
        hanging = ""
        for one in self._threads:
            sent = beats.get(f"syncd-{one.name}", 0)
            if one.waiting or sent != one.beats:
                one.beats, one.still_since_s = sent, now_s
            elif now_s - one.still_since_s > HANGS_AFTER_S:
                hanging = one.name
        return hanging

    def _scheduler(self) -> BackgroundScheduler:
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(2)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        scheduler.add_listener(self._job_failed, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
        scheduler.add_job(self._duties.save_ledgers, "interval", seconds=LEDGER_EVERY_S, id="ledgers")
        scheduler.add_job(self._duties.purge, "interval", seconds=RETENTION_EVERY_S, id="retention", jitter=300)
        scheduler.add_job(self._renew, "interval", seconds=RETENTION_EVERY_S, id="endpoints", jitter=300)
        scheduler.add_job(self.wake, "interval", seconds=30, id="sweep")
        return scheduler

    def _job_failed(self, event: JobExecutionEvent) -> None:
        _log.error("job.failed", job=event.job_id, reason=type(event.exception).__name__)
        if isinstance(event.exception, errors.StoreError):
            self._store_failed(event.exception)

    def _renew(self) -> None:
        if self._keeper is not None:
            self._keeper.check_endpoints()
        self.wake()

    # -------------------------------------------------------------------------------------------------- threads

    def _assemble(self) -> None:
        self._relieved = relieved = _Relieved()

        def stop() -> str:
            # Of this crew for ever: one of its threads may come to ask long after the next crew began.
            return self._stop_reason or self._failure or relieved.reason

        crew = self._duties.crew(stop)
        now_s = self._duties.clock.monotonic_s()
        with self._lock:
            self._workers = {worker.context.name: worker for worker in crew.workers}
            self._keeper = crew.keeper
            keeping = _Thread(name="keeper", step=lambda now: self._keep(crew.keeper, now), stop=stop)
            self._threads = [keeping, *(self._thread(worker, stop) for worker in crew.workers)]
            for one in self._threads:
                one.still_since_s = now_s

    def _thread(self, worker: Worker, stop: Callable[[], str]) -> _Thread:
        def step(now: datetime) -> datetime:
            # A command, or the crew before, may hold the sync for long: waiting for it is not hanging.
            made.waiting = True
            with self._duties.exclusive(worker.context.name):
                made.waiting = False
                return now if stop() else worker.step(self._duties.clock.now())

        made = _Thread(name=f"sync {worker.context.name}", step=step, stop=stop)
        return made

    def _keep(self, keeper: Keeper, now: datetime) -> datetime:
        again = keeper.step(now)
        if keeper.moved:
            for thread in self._threads[1:]:
                thread.wake.set()
        return again

    def _start_threads(self) -> None:
        for one in self._threads:
            one.thread = threading.Thread(target=self._loop, args=(one,), name=f"syncd-{one.name}", daemon=True)
            one.thread.start()

    def _loop(self, one: _Thread) -> None:
        clock = self._duties.clock
        while not one.stop():
            try:
                again = one.step(clock.now())
            except errors.StoreError as error:
                self._store_failed(error)
                again = clock.now() + timedelta(seconds=RETRY_S)
            except Exception:  # noqa: BLE001 - the top of a thread: it lives on, slowly, and the log holds the traceback
                _log.exception("worker.failed", thread=one.name)
                again = clock.now() + timedelta(seconds=RETRY_S)
            wait = (again - clock.now()).total_seconds()
            if wait > 0:
                one.waiting = True
                one.wake.wait(min(wait, 60.0))
                one.waiting = False
            one.wake.clear()
        one.waiting = True

    def _store_failed(self, error: errors.StoreError) -> None:
        _log.critical("store.failed", reason=error.message)
        if self._duties.failed():
            # A commit that failed is never tried again on the same connection (reliability.md I32, ST03).
            self._failure = error.message
            self._ended.set()
            self._ended_or_due.set()

    def _join(self) -> None:
        deadline = self._duties.clock.monotonic_s() + DRAIN_S
        for one in self._threads:
            one.wake.set()
        for one in self._threads:
            if one.thread is not None:
                one.thread.join(max(0.1, deadline - self._duties.clock.monotonic_s()))

    def _reload(self) -> None:
        """Finish the running request, then go on with the new spec; an invalid one leaves everything as it is."""
        self._reload_wanted.clear()
        self._duties.notify("RELOADING=1")
        problem = self._duties.reload()
        self.spec_problem = problem
        if problem:
            _log.warning("spec.rejected", reason=problem)
        else:
            self._relieved.reason = "the spec was read again"
            self._join()
            self._assemble()
            self._start_threads()
            _log.info("spec.loaded", syncs=len(self._workers))
        self._duties.notify("READY=1\nSTATUS=at work")
