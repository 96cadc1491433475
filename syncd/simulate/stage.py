"""
One scenario, played: the whole daemon in one thread over both emulated services, on virtual time.

Listener, keeper and workers are actors that take turns; while a request of one is under way the world may move. A crash
drops the house and starts another one from the last durable image.
"""

import base64
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, cast

from syncd import errors, ports, transport, wiring
from syncd.airtable import client as airtable_client
from syncd.airtable.side import AirtableSide
from syncd.bitbucket.side import BitbucketSide
from syncd.flow import control
from syncd.model.change import Side
from syncd.model.ids import SyncName
from syncd.sandbox.adapter import MachineAdapter
from syncd.sandbox.fault import Fault, FaultKind, FaultyMachine
from syncd.sandbox.wire import Delivery, Response
from syncd.settings import Settings
from syncd.simulate import direct, fault, listener, mortal, people, setting, truth
from syncd.simulate import world as worlds
from syncd.simulate.scenario import Net, Op, Scenario, Trouble
from syncd.spec import load, secret
from syncd.spec.rules import AirtableConnection, BitbucketConnection
from syncd.store import sqlite

# As `daemon`: after a failed statement a thread waits so long; systemd starts an ended process after so long.
RETRY = timedelta(seconds=5)
RESTART_AFTER = timedelta(seconds=5)
LONGEST_WAIT = timedelta(seconds=60)
# A process needs as long until its first request: Python, imports, the state's check.
START_TAKES = timedelta(seconds=1)
LEDGERS_EVERY = timedelta(seconds=60)
CHORES_EVERY_S = 3600.0
TURNS_MAX = 20_000
# How often the first plan is applied again, every ten minutes: two hours are enough for any hourly budget.
_PATIENCE = 12
# I35: the status tells of what cannot be reached within a minute.
AWAY_TOLD = timedelta(seconds=60)
_USELESS = (0, 401, 403)
_SETTINGS = Settings.model_validate({"STATE_DIRECTORY": "/nowhere"})
NETWORK = frozenset({"dns", "tls", "refused", "slow"})


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What the stage saw that no log of a service and no table of the state holds."""

    acks: list[tuple[datetime, str, str, int]] = field(default_factory=list)
    deaths: list[tuple[datetime, str]] = field(default_factory=list)
    starts: list[datetime] = field(default_factory=list)
    failed_starts: list[tuple[datetime, str]] = field(default_factory=list)
    internal: list[tuple[datetime, str]] = field(default_factory=list)
    pauses: list[tuple[datetime, str, bool, int]] = field(default_factory=list)
    """With how many statuses had been seen by then: one instant may hold several."""
    outages: list[tuple[datetime, str, bool]] = field(default_factory=list)
    store_failures: list[tuple[datetime, str, bool]] = field(default_factory=list)
    statuses: list[tuple[datetime, Mapping[str, Any]]] = field(default_factory=list)
    struck: list[datetime] = field(default_factory=list)
    """When a trouble truly hit a request or a delivery."""
    away: list[tuple[datetime, datetime, str, Mapping[str, Any]]] = field(default_factory=list)
    """Since when every request to a service had failed, by then; the service; and what the status said."""
    sent: list[tuple[datetime, str, str, str, Any, int]] = field(default_factory=list)
    forged: list[int] = field(default_factory=list)
    told: list[tuple[datetime, str, Mapping[str, Any], bool]] = field(default_factory=list)
    throttled: list[tuple[datetime, str]] = field(default_factory=list)
    restored_at: list[datetime] = field(default_factory=list)
    reloads: list[tuple[datetime, str, str]] = field(default_factory=list)
    applies: list[datetime] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)


class Cut(Enum):
    """Where the real program ends: at its typed clients, or at the adapter under `requests` (reliability.md "Cut")."""

    CLIENTS = "clients"
    HTTP = "http"


class House(wiring.House):
    """
    The house, which reads no real secret and speaks to machines.

    Args:
        lines: to each service.
        witness: stands beside the state.
        cut: with `CLIENTS` the sides sit on clients without HTTP.
    """

    def __init__(
        self,
        outside: wiring.Outside,
        store: ports.Store,
        witness: mortal.MemoryWitness,
        lines: Mapping[str, mortal.MortalLine],
        waited: Callable[[float], object],
        cut: Cut,
    ) -> None:
        self._lines = lines
        self._waited = waited
        self._cut = cut
        super().__init__(outside, Path("spec"), "", _SETTINGS, store, witness)

    def secret(self, spec: load.Spec, secret: secret.Secret) -> str:  # noqa: ARG002 - as the base class
        """The simulated world's secret of that place."""
        return worlds.secret_of(secret.kind.value, secret.name)

    def _catalogue(self, spec: load.Spec, connection: AirtableConnection, sync: SyncName | None) -> ports.Catalogue:
        if self._cut is Cut.HTTP:
            return super()._catalogue(spec, connection, sync)
        token = self.secret(spec, connection.token)
        session = self._session(
            "airtable",
            connection.url,
            {"authorization": f"Bearer {token}", "content-type": "application/json"},
            self.ledger.gate("airtable", wiring.airtable_budgets(connection, token)),
            airtable_client.reads,
            lambda: self._barred(sync, Side.AIRTABLE),
        )
        return AirtableSide(direct.Airtable(session, connection.base), connection.base)

    def _changelog(self, spec: load.Spec, connection: BitbucketConnection, sync: SyncName | None) -> ports.ChangeLog:
        if self._cut is Cut.HTTP:
            return super()._changelog(spec, connection, sync)
        token = self.secret(spec, connection.token)
        basic = base64.b64encode(f"{connection.user}:{token}".encode()).decode()
        session = self._session(
            "bitbucket",
            connection.url,
            {
                "authorization": f"Basic {basic}" if connection.user else f"Bearer {token}",
                "content-type": "application/json",
            },
            self.ledger.gate("bitbucket", [wiring.bitbucket_budget(connection)]),
            transport.reads_by_method,
            lambda: self._barred(sync, Side.BITBUCKET),
        )
        return BitbucketSide(direct.Bitbucket(session, connection.url, connection.workspace))

    def _session(
        self,
        service: str,
        url: str,
        headers: Mapping[str, str],
        gate: ports.Gate,
        reads: transport.Reads,
        paused: transport.Paused,
    ) -> direct.DirectSession:
        return direct.DirectSession(
            self._lines[service],
            headers,
            self._waited,
            base_url=url,
            gate=gate,
            clock=self.outside.clock,
            explain=direct.explain(service),
            reads=reads,
            paused=paused,
            service=service,
        )


class Stage:
    """
    The world, the house in it, and time.

    Args:
        death_at: also die at the point of this number (the exhaustive mode).
        cut: where the real program ends.
    """

    def __init__(
        self,
        home: setting.Setting,
        scenario: Scenario,
        start: setting.Start | None = None,
        *,
        death_at: int = 0,
        cut: Cut = Cut.CLIENTS,
    ) -> None:
        begin = start or home.start(scenario)
        self.home = home
        self.cut = cut
        self.scenario = scenario
        self.world = begin.world.world()
        self.strangers_before = truth.strangers(
            self.world.airtable.inner.world,  # type: ignore[attr-defined]  # the machines' own truth
            self.world.bitbucket.inner.world,  # type: ignore[attr-defined]  # as above
        )
        self.logged_before = {one.service: len(one.log) for one in self.machines}
        self.clock = mortal.SimClock(begin.at)
        self.begun_at = begin.at
        self.fate = mortal.Fate(scenario.deaths, death_at)
        self.disk = mortal.Disk(scenario.store, self.clock)
        self.switch = mortal.MemorySwitch()
        self.witness = mortal.MemoryWitness(begin.witness)
        self.witness.fate = self.fate
        self.evidence = Evidence()
        self.variant = self._worked = scenario.variant
        self.renamed: dict[str, str] = {}
        self.contended_at: list[datetime] = []
        # A life that begins in a synced world must not draw the ids again that its adoption drew, with seed 0.
        self._ids = mortal.SeededIds(
            self.clock, scenario.seed if begin.state is not None else scenario.seed + (1 << 64)
        )
        self._latency = timedelta(milliseconds=scenario.latency_ms)
        self._ops = sorted((op for op in scenario.ops if op.during is None), key=lambda op: op.at_s)
        self._during: list[list[Any]] = [[op, op.during.after] for op in scenario.ops if op.during is not None]
        self._troubles = sorted(scenario.troubles, key=lambda one: one.at_s)
        self._armed: list[tuple[Trouble, list[tuple[FaultyMachine, int]]]] = []
        self._trickles = False
        self._network: list[list[Any]] = []
        self._remembered: bytes | None = None
        self._deliveries: list[tuple[str, Delivery]] = []
        self._restart_wanted = self._reload_wanted = self._employ_wanted = False
        self._away: dict[str, datetime] = {}
        self._strikes = 0
        self._away_told: set[datetime] = set()
        self._stopping = ""
        self._reload_behind: str | None = None
        self._unseen: dict[str, tuple[str, int]] = {}
        # A life is shorter than the time between two chores: how long the first process had run before it is drawn.
        chances = random.Random(f"{scenario.seed}: chores")
        self._chores_due = begin.at + timedelta(seconds=chances.uniform(0, CHORES_EVERY_S))
        self._busy: set[str] = set()
        self._healed = False
        self.on_reload: Callable[[], object] = lambda: None
        self.store: sqlite.SqliteStore
        self._listening = False
        self.journal_before = begin.journal
        self.begin_again(begin.state)

    @property
    def machines(self) -> tuple[FaultyMachine, FaultyMachine]:
        """Both services."""
        return self.world.airtable, self.world.bitbucket

    def spec(self) -> load.Spec:
        """The spec in its present variant."""
        return self.home.spec(self.variant, self.scenario.net, self.scenario.narrow)

    @property
    def rules(self) -> Any:
        """The resolved spec of the present house."""
        return self.house.rules

    # ------------------------------------------------------------------------------------------- the process

    def _open(self, image: bytes | None) -> sqlite.SqliteStore:
        if self.scenario.store:
            self.disk.opening = True
            try:
                return sqlite.SqliteStore.in_memory(image, connect=self.disk.connect)
            finally:
                self.disk.opening = False
        return sqlite.SqliteStore.in_memory(image)

    def _line(self, machine: FaultyMachine) -> mortal.MortalLine:
        return mortal.MortalLine(machine, self.clock, self.fate, self._latency, self._under_way, self._answered)

    def _start(self) -> None:
        """A new process on the present state; it tries again until it can start, as systemd does."""
        lines = {machine.service: self._line(machine) for machine in self.machines}
        outside = wiring.Outside(
            clock=self.clock,
            ids=self._ids,
            environment={},
            adapters={
                name: partial(MachineAdapter, line, self.clock.world, self.clock.wait) for name, line in lines.items()
            },
            read_spec=lambda *_: self.spec(),
            resolve_names=self.home.resolve,
        )
        store = cast("ports.Store", mortal.MortalStore(self.store, self.fate, self.clock, self._committed))
        for _ in range(2000):
            try:
                self.house = House(outside, store, self.witness, lines, self.clock.wait, self.cut)
                break
            except errors.SyncdError as error:
                told = (
                    "; ".join(one.expected for one in error.problems) if isinstance(error, errors.SpecError) else error
                )
                self.evidence.failed_starts.append((self.clock.moment, f"{type(error).__name__}: {told}"))
                if isinstance(error, errors.SpecError) and not self.evidence.starts and not self.scenario.events:
                    # Nothing was done to this world yet: no world fits the spec.
                    raise
                if isinstance(error, errors.SpecError):
                    # It died while it read a spec that it would have refused: a person puts back the one that worked.
                    self.variant = self._worked
                if self.store.failed:
                    # Started again by systemd, on what the disk holds.
                    self.store = self._open(self.image())
                    store = cast("ports.Store", mortal.MortalStore(self.store, self.fate, self.clock, self._committed))
                if self._healed and len(self.evidence.failed_starts) > 60:
                    raise
                self.clock.wait(RESTART_AFTER.total_seconds() * min(len(self.evidence.failed_starts), 12))
                self._move_world()
        else:
            raise AssertionError(f"it never starts: {self.evidence.failed_starts[-1][1]}")
        self._worked = self.variant
        self.house.switch = self.switch  # type: ignore[assignment]  # the same port, without files
        self.evidence.starts.append(self.clock.moment)
        self._employ()
        self._listening = True

    def _employ(self) -> None:
        self._stopping = ""
        self.crew = self.house.crew(lambda: self._stopping, self._compare, self._want_reload)
        self._keeper_due = self.clock.moment
        self._ledgers_due = self.clock.moment + LEDGERS_EVERY
        self._workers_due = [self.clock.moment for _ in self.crew.workers]
        self.listener = listener.Listener(self.house.intake, self.clock)
        self.control = control.Control(
            contexts=lambda: [worker.context for worker in self.crew.workers],
            vital=self._vital,
            clock=self.clock,
            wake=self._wake,
            want_compare=self._compare,
            reload=self._want_reload,
            exclusive=self.house.exclusive,
            ready=lambda: (True, ""),
        )

    def _vital(self) -> Any:
        efforts = [effort for worker in self.crew.workers for effort in worker.efforts]
        return self.house.vital(
            [*efforts, *self.crew.keeper.efforts],
            [worker.context for worker in self.crew.workers],
            self.store.failed,
            "",
        )

    def _wake(self) -> None:
        self._keeper_due = self.clock.moment
        self._workers_due = [self.clock.moment for _ in self._workers_due]

    def _want_reload(self) -> dict[str, Any]:
        self._reload_wanted = True
        return {}

    def _compare(self, sync: SyncName) -> None:
        for index, worker in enumerate(self.crew.workers):
            if worker.context.name == sync:
                worker.want_compare()
                self._workers_due[index] = self.clock.moment

    def image(self) -> bytes:
        """The state as it is on the disk."""
        healed, self.disk.healed = self.disk.healed, True
        try:
            if self.store.failed:
                return self._last_image()
            return self.store.image()
        finally:
            self.disk.healed = healed

    def _last_image(self) -> bytes:
        # A store that failed answers nothing any more; what it had committed is still there.
        return self.store._connection.serialize()

    def _crashed(self) -> None:
        self.evidence.deaths.append((self.clock.moment, self.fate.died[-1] if self.fate.dead else "restart"))
        if self.fate.dead:
            self.evidence.hits["PR01"] += 1
        self.begin_again(self.image())

    def begin_again(self, image: bytes | None) -> None:
        """Drop the process and start another one."""
        while True:
            self.fate.dead = self._listening = self._restart_wanted = False
            self._reload_behind = None
            self._away.clear()
            self._busy.clear()
            if self.evidence.starts:
                self.clock.wait(START_TAKES.total_seconds())
                self._chores_due = self.clock.moment + timedelta(seconds=CHORES_EVERY_S)
            self.store = self._open(image)
            try:
                self._start()
            except mortal.Crash:
                self.evidence.deaths.append((self.clock.moment, self.fate.died[-1]))
                image = self.image()
            except errors.StoreError as error:
                self.evidence.failed_starts.append((self.clock.moment, f"StoreError: {error}"))
                image = self.image()
            else:
                if self._employ_wanted:
                    # It died between reading the spec again and working by it.
                    self._employ_wanted = False
                    self.on_reload()
                return

    def _committed(self, what: str) -> None:
        """A commit of the process is durable."""

    # ------------------------------------------------------------------------------------------------ requests

    def _under_way(self, service: str, method: str, path: str, body: bytes) -> None:
        """A request has left: the network may fail it, and the world may move before it arrives."""
        for one in self._network:
            trouble: Trouble = one[0]
            if (
                trouble.service not in (None, service)
                or trouble.method not in (None, method)
                or trouble.route not in path
            ):
                continue
            one[1] += 1
            if one[1] <= trouble.after or (trouble.count is not None and one[1] > trouble.after + trouble.count):
                continue
            self.evidence.hits[trouble.fault] += 1
            self.evidence.struck.append(self.clock.moment)
            if trouble.kind == "slow":
                self._trickles = True
                continue
            self._contact(service, useless=True)
            raise mortal.no_connection(trouble.kind)
        for one in list(self._during):
            op: Op = one[0]
            during = op.during
            assert during is not None
            if during.service != service or during.method != method or during.route not in path:
                continue
            if during.body.encode() not in body:
                continue
            if (self.clock.moment - self.begun_at).total_seconds() < op.at_s or self._healed:
                continue
            if one[1] > 0:
                one[1] -= 1
                continue
            self._during.remove(one)
            self._do(op)
        if "listener" not in self._busy:
            self.deliver()

    def _answered(self, service: str, method: str, path: str, body: bytes, answer: Response) -> None:
        status = answer.status
        self._note_strikes()
        if status != 403 or method == "GET":
            # (A write that is forbidden says nothing of the service, and its record may be gone a minute later.)
            html = "html" in answer.headers.get("content-type", "")
            self._contact(service, useless=status in _USELESS or status >= 500 or html)
        if status == 429:
            self.evidence.throttled.append((self.clock.moment, service))
        if self._unseen:
            for fault_id in [one for one, shown in self._unseen.items() if shown == (service, status)]:
                self.evidence.hits[fault_id] += 1
                del self._unseen[fault_id]
        if method != "GET" and not path.endswith("/listRecords"):
            self.evidence.sent.append((self.clock.moment, service, method, path, body, status))
        if self._trickles:
            # The request was in time; its answer is not.
            self._trickles = False
            self.clock.wait(transport.READ_TIMEOUT_S - 1.0)
        if self._reload_behind is not None:
            variant, self._reload_behind = self._reload_behind, None
            self._read_spec(variant)

    def _note_strikes(self) -> None:
        strikes = sum(sum(machine.hits.values()) for machine in self.machines)
        if strikes != self._strikes:
            self._strikes = strikes
            self.evidence.struck.append(self.clock.moment)

    def _contact(self, service: str, *, useless: bool) -> None:
        if not useless:
            self._away.pop(service, None)
        elif service not in self._away:
            self._away[service] = self.clock.moment

    def _sample_away(self) -> None:
        """What the status says a minute after the first of so many failures."""
        for service, since in self._away.items():
            if since not in self._away_told and self.clock.moment >= since + AWAY_TOLD and self._listening:
                self._away_told.add(since)
                if not self.store.failed:
                    self.evidence.away.append((since, self.clock.moment, service, self.control.status()))

    # -------------------------------------------------------------------------------------------------- time

    def run(self, span: timedelta, until: Callable[[], bool] | None = None) -> bool:
        """
        Let time pass.

        Args:
            until: ends it earlier; asked whenever nothing is due at once.

        Returns:
            Whether `until` came true.
        """
        end = self.clock.moment + span
        for _ in range(TURNS_MAX):
            try:
                again = self._turn()
            except mortal.Crash:
                self._crashed()
                continue
            except errors.StoreError as error:
                self._store_failed(str(error))
                continue
            if again > self.clock.moment:
                if until is not None and until():
                    return True
                if again > end:
                    self.clock.moment = max(self.clock.moment, end)
                    return False
                self.clock.moment = again
            else:
                self.clock.moment += timedelta(milliseconds=10)
        raise mortal.Spins(f"{TURNS_MAX} turns in {span}")

    def _turn(self) -> datetime:
        """Everybody does what is due; when the next thing is."""
        self._move_world()
        self._sample_away()
        self.deliver()
        self._note_strikes()
        if self._restart_wanted:
            self._crashed()
        if self._reload_wanted:
            self._reload_wanted = False
            self.reload(self.variant)
        if self._employ_wanted:
            self._take_over()
        now = self.clock.moment
        if self._chores_due <= now:
            self._chores_due = now + timedelta(seconds=CHORES_EVERY_S)
            self._step("chores", self._do_chores)
        if self._ledgers_due <= now:
            self._ledgers_due = now + LEDGERS_EVERY
            self._step("ledgers", self._save_ledgers)
        if self._keeper_due <= now:
            self._keeper_due = self._step("keeper", self.crew.keeper.step)
            if self._stopping:
                return self.clock.moment
            if self.crew.keeper.moved:
                self._workers_due = [self.clock.moment for _ in self._workers_due]
        for index, worker in enumerate(self.crew.workers):
            if self._workers_due[index] <= self.clock.moment:
                due = self._step(f"worker {index}", worker.step)
                if self._stopping:
                    # Nobody of this crew takes another turn.
                    return self.clock.moment
                if index < len(self._workers_due):
                    self._workers_due[index] = due
        due_at = [self._keeper_due, self._chores_due, *self._workers_due]
        due_at += [at for machine in self.machines if (at := machine.next_due_at()) is not None]
        if (next_at := self._next_of_world()) is not None:
            due_at.append(next_at)
        return min(due_at)

    def _do_chores(self, now: datetime) -> datetime:
        """The daemon's hourly jobs: what was kept long enough goes, and webhooks are looked at."""
        self.house.purge()
        self.crew.keeper.check_endpoints()
        self._wake()
        return now

    def _save_ledgers(self, now: datetime) -> datetime:
        self.house.ledger.save()
        return now

    def _step(self, name: str, step: Callable[[datetime], datetime]) -> datetime:
        """One actor's turn, as its thread in `daemon` would take it; when it wants the next, in world time."""
        self._busy.add(name)
        try:
            again = step(self.clock.now())
        except errors.StoreError as error:
            return self._store_failed(str(error))
        except Exception as error:  # noqa: BLE001 - the top of a thread: the daemon logs it and goes on; here it is a finding
            self.evidence.internal.append((self.clock.moment, f"{name}: {type(error).__name__}: {error}"))
            return self.clock.moment + RETRY
        finally:
            self._busy.discard(name)
        return self.clock.moment + min(max(again - self.clock.now(), timedelta(0)), LONGEST_WAIT)

    def _store_failed(self, error: str) -> datetime:
        failed = bool(self.store.failed)
        self.evidence.store_failures.append((self.clock.moment, error, failed))
        if failed:
            # The daemon ends with exit status 1 and is started again.
            self.clock.wait(RESTART_AFTER.total_seconds())
            self.begin_again(self.image())
            return self.clock.moment
        return self.clock.moment + RETRY

    def _move_world(self) -> None:
        """People and troubles whose time has come."""
        at_s = (self.clock.moment - self.begun_at).total_seconds()
        while not self._healed and self._troubles and self._troubles[0].at_s <= at_s:
            self._arm(self._troubles.pop(0))
        for one in list(self._armed):
            if one[0].until_s is not None and one[0].until_s <= at_s:
                self._disarm(one)
        self._network = [one for one in self._network if one[0].until_s is None or one[0].until_s > at_s]
        while self._ops and self._ops[0].at_s <= at_s:
            self._do(self._ops.pop(0))

    def _next_of_world(self) -> datetime | None:
        moments = [op.at_s for op in self._ops[:1]]
        if not self._healed:
            moments += [one.at_s for one in self._troubles[:1]]
        moments += [one.until_s for one, _ in self._armed if one.until_s is not None]
        due_at = [self.begun_at + timedelta(seconds=min(moments))] if moments else []
        due_at += [since + AWAY_TOLD for since in self._away.values() if since not in self._away_told]
        return min(due_at, default=None)

    def _do(self, op: Op) -> None:
        done = people.do(self, op.verb, op.arguments)
        self.evidence.told.append((self.clock.moment, op.verb, op.arguments, done))
        if done and op.fault in fault.SHOWN:
            # What only the answers of a service show has struck when one of them does.
            self._unseen[op.fault] = fault.SHOWN[op.fault]
        elif done and op.fault:
            self.evidence.hits[op.fault] += 1

    def _arm(self, trouble: Trouble) -> None:
        if trouble.kind in NETWORK:
            self._network.append([trouble, 0])
            return
        fault = Fault(
            kind=FaultKind(trouble.kind),
            service=trouble.service,
            method=trouble.method,
            route=trouble.route,
            event=trouble.event,
            after=trouble.after,
            count=trouble.count,
            **trouble.more,
        )
        machines = [one for one in self.machines if trouble.service in (None, one.service)]
        self._armed.append((trouble, [(machine, machine.arm(fault)) for machine in machines]))

    def _disarm(self, one: tuple[Trouble, list[tuple[FaultyMachine, int]]]) -> None:
        trouble, armed = one
        for machine, number in armed:
            for told in machine.control("faults", {}, self.clock.moment):
                if told["fault"] == number:
                    self.evidence.hits[trouble.fault] += told["hits"]
            machine.clear(number)
        self._armed.remove(one)

    # ---------------------------------------------------------------------------------------------- deliveries

    def deliver(self) -> None:
        """Bring what the services want delivered to the listener."""
        if self.scenario.net is Net.POLLING or not self._listening:
            return
        for provider, machine in zip(("airtable", "bitbucket"), self.machines, strict=True):
            at = machine.next_due_at()
            if at is None or at > self.clock.moment:
                continue
            waiting = list(machine.due(self.clock.moment))
            while waiting:
                delivery = waiting.pop(0)
                if self.scenario.net is Net.SWEEP:
                    # Everything is lost, and the service believes that it arrived.
                    machine.delivered(delivery, 200, self.clock.moment)
                    continue
                self._deliveries.append((provider, delivery))
                try:
                    status = self.receive(provider, delivery)
                except mortal.Crash:
                    for unanswered in (delivery, *waiting):
                        # With no other net a delivery that nobody answered is sent again: that net allows no loss.
                        again = self.scenario.net is Net.HOOKS
                        machine.delivered(unanswered, 503 if again else None, self.clock.moment)
                    raise
                machine.delivered(delivery, status, self.clock.moment)

    def receive(self, provider: str, delivery: Delivery) -> int:
        """What the hooks listener answers; the wake-up comes after the answer, as in `wiring`."""
        prefix = f"{setting.PUBLIC_URL}/hooks/{provider}/"
        if not delivery.url.startswith(prefix):
            return 404
        self._busy.add("listener")
        try:
            status = self.listener.post(delivery)
        finally:
            self._busy.discard("listener")
        if status == 503:
            self.evidence.store_failures.append((self.clock.moment, "a delivery was refused", bool(self.store.failed)))
        if status == 200:
            self.evidence.acks.append((self.clock.moment, provider, delivery.id, 200))
            self._wake()
        return status

    def forged(self, status: int) -> None:
        """What a forged request was answered."""
        self.evidence.forged.append(status)

    def replay(self, number: int) -> None:
        """Send a genuine delivery once more."""
        if not self._deliveries:
            raise IndexError(number)
        provider, delivery = self._deliveries[number % len(self._deliveries)]
        self.receive(provider, delivery)

    def some_endpoint(self, provider: str) -> str:
        """The id of an active endpoint."""
        return next((one.id for one in self.store.load_endpoints() if one.provider == provider and one.active), "none")

    def hook_url(self, provider: str, endpoint: str) -> str:
        """Where its deliveries go."""
        return f"{setting.PUBLIC_URL}/hooks/{provider}/{endpoint}"

    # ------------------------------------------------------------------------------------------ for `people`

    def sync(self, given: Mapping[str, Any]) -> str:
        """The sync that an act is about."""
        names = sorted(self.world.records)
        return names[int(given.get("sync", 0)) % len(names)]

    def base(self, sync: str) -> str:
        """Its base's id."""
        spec = self.spec()
        return spec.file.airtable[spec.file.sync[sync].airtable.base].base

    def table(self, sync: str) -> str:
        """Its table's id."""
        return self.world.tables[sync]

    def marker(self, sync: str, record: str) -> str:
        """The prefix of a record's titles."""
        return worlds.marker(self.spec().file.sync[sync], record)

    def token(self, service: str, given: Mapping[str, Any]) -> str:
        """The token that an act is about."""
        return worlds.token_of(self.spec(), service, self.sync(given))

    def repositories(self, given: Mapping[str, Any]) -> list[str]:
        """Where the work of an act's sync is, under the names of the beginning."""
        own = set(worlds.repositories_of(self.spec(), self.sync(given)))
        return [one for one in self.world.repositories if one in own]

    def pull_request(self, given: Mapping[str, Any]) -> tuple[str, int]:
        """
        One of the pull requests that there are by now, strangers left out: the number counts in the order they came.

        Where there are several syncs, those that carry the id of one of the act's own records.
        """
        known, states = set(self.world.pull_requests), {}
        for slug in self.world.repositories:
            for one in self.world.bitbucket.control(
                "pull_requests", {"repository": self.renamed.get(slug, slug)}, self.clock.moment
            ):
                states[slug, one["id"]] = f"{one['source_branch']} {one['title']}"
                if (slug, one["id"]) not in known and "strangers" not in one["source_branch"]:
                    self.world.pull_requests.append((slug, one["id"]))
        found = self.world.pull_requests
        if len(self.world.records) > 1:
            own = self.world.records[self.sync(given)]
            found = [one for one in found if any(record in states.get(one, "") for record in own)]
        slug, id = found[int(given.get("pull_request", 0)) % len(found)] if found else ("", 0)
        return self.renamed.get(slug, slug), id

    def outage(self, what: str, *, over: bool) -> None:
        """Something cannot be reached from now on, or can again."""
        if over:
            self.sample()
        self.evidence.outages.append((self.clock.moment, what, over))

    def pause(self, scope: str, *, on: bool) -> None:
        """Set or release the kill switch."""
        if not on:
            self.sample()
        if on:
            self.switch.pause(scope, "the simulator")
        elif not self.switch.resume(scope):
            raise KeyError(scope)
        self.evidence.pauses.append((self.clock.moment, scope, on, len(self.evidence.statuses)))

    def want_restart(self) -> None:
        """The process is told to stop, ends after the request that is under way, and starts again."""
        self._restart_wanted, self._stopping = True, "the process was told to stop"

    def _require_process(self) -> None:
        if not self._listening:
            raise ValueError("no process runs that could be asked")

    def want_compare(self) -> None:
        """Compare every sync in full."""
        self._require_process()
        for worker in self.crew.workers:
            self._compare(worker.context.name)

    def reload(self, variant: str) -> None:
        """Take another variant of the spec over; a pass that runs ends behind the request that is under way, with the old one."""
        self._require_process()
        self.home.spec(variant, self.scenario.net, self.scenario.narrow)
        if self._busy - {"listener"}:
            # Another thread reads it: not before this one's request has arrived.
            self._reload_behind = variant
        else:
            self._read_spec(variant)

    def _read_spec(self, variant: str) -> None:
        before, self.variant, self._employ_wanted = self.variant, variant, True
        problem = self.house.reload()
        self.evidence.reloads.append((self.clock.moment, variant, problem))
        if problem:
            self.variant, self._employ_wanted = before, False
            return
        self._worked = variant
        if self._busy - {"listener"}:
            self._stopping = "the spec was read again"
        else:
            self._take_over()

    def _take_over(self) -> None:
        self._employ_wanted = False
        self.on_reload()
        self._employ()

    def apply(self, accept: Sequence[str]) -> None:
        """`syncd apply`; a person types it again when the process died of it."""
        self._require_process()
        self.evidence.applies.append(self.clock.moment)
        for _ in range(50):
            try:
                self.control.apply(None, None, list(accept))
            except mortal.Crash:
                self._crashed()
            except errors.SyncdError as error:
                raise ValueError(str(error)) from error
            else:
                return

    def resolve(self, winner: str) -> None:
        """Decide every open conflict."""
        self._require_process()
        for row in self.control.conflicts(None)["conflicts"]:
            self.control.resolve(row["sync"], row["record"], row["field"], winner)

    def remember_state(self) -> None:
        """Keep a backup."""
        self._remembered = self.image()

    def restore_state(self) -> None:
        """Start on the backup."""
        if self._remembered is None:
            raise KeyError("no backup")
        self.evidence.restored_at.append(self.clock.moment)
        self.begin_again(self._remembered)

    # ------------------------------------------------------------------------------------------------- phases

    def adopt(self) -> None:
        """The first start, the first plan accepted, and rest."""
        self.run(timedelta(minutes=3))
        for _ in range(_PATIENCE):
            try:
                self.apply(())
                break
            except ValueError:
                # A budget of the spec is used up for now: who types it tries again later.
                self.run(timedelta(minutes=10))
        else:
            self.apply(())
        self.run(timedelta(minutes=10), self.quiet)
        self.run(timedelta(minutes=6))

    def quiet(self) -> bool:
        """Nothing is waiting: no delivery, no key, no operation of unknown outcome."""
        if self.store.failed or any(machine.next_due_at() is not None for machine in self.machines):
            return False
        counts = self.store.counts()
        if counts.inbox or counts.dirty:
            return False
        return not any(self.store.load_unfinished(worker.context.name) for worker in self.crew.workers)

    def sample(self) -> None:
        """What `syncd status` says now; nothing while no process runs."""
        if self._listening and not self.store.failed:
            self.evidence.statuses.append((self.clock.moment, self.control.status()))

    def heal(self) -> None:
        """Everything that was broken works again; what people did stays, and what they have not begun they leave."""
        self._move_world()
        self._ops.clear()
        self._healed = True
        self._during.clear()
        self._troubles.clear()
        for one in list(self._armed):
            self._disarm(one)
        self._network.clear()
        self.disk.healed = True
        now = self.clock.moment
        for service, machine in zip(("airtable", "bitbucket"), self.machines, strict=True):
            for token in worlds.tokens(self.spec())[service]:
                machine.control("restore_token", {"token": token}, now)
            self.outage(f"{service} token", over=True)
        for sync in self.world.records:
            people.do(self, "role", {"sync": sorted(self.world.records).index(sync), "role": "create"})
        for slug in self.world.repositories:
            self.world.bitbucket.control("show_repository", {"repository": self.renamed.get(slug, slug)}, now)
            self.outage(f"repository {slug}", over=True)
        for scope in list(self.switch.scopes()):
            self.pause(scope, on=False)
        self._wake()
