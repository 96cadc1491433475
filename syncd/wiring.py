"""
The one place where concrete classes meet: the only one that builds a client, opens the state or reads the wall clock.

`House` holds everything that lives as long as the process; `Crew` what lives as long as one spec snapshot.
"""

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import metadata
from pathlib import Path
from random import SystemRandom
from typing import Any, TypeVar

from pydantic import TypeAdapter
from requests.adapters import BaseAdapter

from syncd import daemon as daemons
from syncd import errors, log, ports, systemd
from syncd.airtable import delivery as airtable_delivery
from syncd.airtable import side as airtable_side
from syncd.bitbucket import client as bitbucket_client
from syncd.bitbucket import delivery as bitbucket_delivery
from syncd.bitbucket import side as bitbucket_side
from syncd.core import budget
from syncd.flow import context as contexts
from syncd.flow import control, effort, full_compare, generation, health, intake, keeper, ledger, recover, worker
from syncd.flow import trial as trials
from syncd.model.change import Side
from syncd.model.event import Delivery, Endpoint, Event
from syncd.model.ids import EndpointId, OperationId, RunId, SyncName
from syncd.model.schema import Repository, Table
from syncd.settings import Settings
from syncd.spec import connections, load, resolve, rules
from syncd.spec import secret as secrets
from syncd.store import pause, sqlite
from syncd.store.generation import GenerationFile
from syncd.web import admin, hooks, server
from syncd.web import control as web_control

_log = log.logger("wiring")

VERSION = metadata.version("syncd")
USER_AGENT = f"syncd/{VERSION}"
PINS = "pins"


class SystemClock:
    """The real clocks."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place that reads it

    def monotonic_s(self) -> float:
        """Seconds since some start."""
        return time.monotonic()  # noqa: TID251 - the one place that reads it

    def wait(self, seconds: float) -> None:
        """Really wait."""
        threading.Event().wait(seconds)


class SystemIds:
    """New ids from the system's randomness."""

    def __init__(self, clock: ports.Clock) -> None:
        self._clock = clock
        self._random = SystemRandom()

    def run(self) -> RunId:
        """A UUIDv7 (RFC 9562): milliseconds first, so that ids sort by time."""
        return RunId(uuid7(self._clock.now(), self._random.getrandbits(74)))

    def operation(self) -> OperationId:
        """A UUIDv7 too."""
        return OperationId(uuid7(self._clock.now(), self._random.getrandbits(74)))

    def endpoint(self) -> EndpointId:
        """128 random bits: it stands in a public URL."""
        return EndpointId(f"{self._random.getrandbits(128):032x}")

    def jitter(self) -> float:
        """In [0, 1)."""
        return self._random.random()


def uuid7(now: datetime, randomness: int) -> str:
    """A UUIDv7 from a moment and 74 random bits."""
    milliseconds = int(now.timestamp() * 1000) & ((1 << 48) - 1)
    high, low = randomness >> 62, randomness & ((1 << 62) - 1)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | (high & 0xFFF) << 64 | 2 << 62 | low))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """
    What the process gets from outside; the simulator and tests give their own.

    Args:
        adapters: stands in for the network, by service; missing: the real one.
        environment: the process's variables.
        read_spec: reads and checks the files of a spec and of an environment's overlay.
        resolve_names: finds the spec's names in what the services have; pure.
    """

    clock: ports.Clock
    ids: ports.Ids
    environment: Mapping[str, str]
    adapters: Mapping[str, Callable[[], BaseAdapter]] = field(default_factory=dict)
    read_spec: Callable[[Path, str], load.Spec] = load.load
    resolve_names: Callable[..., resolve.Resolved] = resolve.resolve


def outside() -> Outside:
    """The real outside."""
    clock = SystemClock()
    return Outside(clock=clock, ids=SystemIds(clock), environment=dict(os.environ))


@dataclass(slots=True, kw_only=True)
class Crew:
    """The work of one spec snapshot, as `daemon.Crew`."""

    workers: Sequence[worker.Worker]
    keeper: keeper.Keeper


T = TypeVar("T")
_TABLES = TypeAdapter(tuple[Table, ...])
_REPOSITORIES = TypeAdapter(tuple[Repository, ...])


def _pins(text: str) -> dict[str, str]:
    """The remembered pins; a state from before they were JSON holds a line for each."""
    if text.startswith("{"):
        return dict(json.loads(text))
    return dict(line.split("\t", 1) for line in text.splitlines())


class House:
    """
    One process's syncd: state, budgets, intake, and the present spec.

    Args:
        store: opened by the caller; closed by `close`.
        witness: says outside the state how far the state has come; None: nothing does.
    """

    def __init__(
        self,
        outside: Outside,
        config: Path,
        environment: str,
        settings: Settings,
        store: ports.Store,
        witness: ports.Witness | None = None,
    ) -> None:
        self.outside = outside
        self.store = store
        self._config = config
        self._environment = environment
        self._settings = settings
        self.ledger = ledger.Ledger(store, outside.clock)
        self._locks: dict[SyncName, threading.RLock] = {}
        self._trials: dict[str, trials.Trial] = {}
        self._employed: dict[SyncName, worker.Worker] = {}
        self._unasked: tuple[str, ...] = ()
        self._asked_in_vain = False
        self._spec = outside.read_spec(config, environment)
        self.rules = self._resolve(self._spec, starting=True)
        self.generation = generation.Generation(store, witness, outside.clock, outside.ids)
        if self.generation.doubt:
            # Also those that cannot run now, as when their table is not shown: they may later.
            syncs = [(SyncName(name), self.rules.spec_hash) for name in sorted(self._spec.file.sync)]
            generation.disbelieve(store, outside.ids, syncs, self.generation.doubt, outside.clock.now())
        self.generation.advance()
        self.switch = pause.PauseFiles(Path(self.rules.daemon.state).parent / "pause")
        self.intake = intake.Intake(
            store,
            outside.clock,
            {"airtable": self._verify_airtable, "bitbucket": self._verify_bitbucket},
            read_bitbucket,
            read_ping,
            self._quiet(),
            self.trial("deliveries"),
        )
        self.wake: Callable[[], None] = lambda: None

    # ------------------------------------------------------------------------------------------------ the spec

    def reload(self) -> str:
        """Read the spec again. Returns why the old one stays, or "". What failed is tried again soon."""
        self._asked_in_vain = False
        try:
            spec = self.outside.read_spec(self._config, self._environment)
            fresh = self._resolve(spec)
        except errors.SpecError as error:
            return "; ".join(f"{one.file}:{one.line} {one.key}: {one.expected}" for one in error.problems)
        except errors.ServiceError as error:
            self._asked_in_vain = True
            return f"its names cannot be resolved: {error.message}"
        except errors.StoreError as error:
            # A full disk must not end the daemon; a state that failed does so by itself.
            self._asked_in_vain = True
            return f"the state cannot be written: {error.message}"
        self._spec, self.rules = spec, fresh
        return ""

    def _resolve(self, spec: load.Spec, *, starting: bool = False) -> rules.Rules:
        """
        The spec's names, found in what the services have.

        Args:
            starting: a service that answers 429, or whose month is used up, is taken as it was at the last start: no restart
                would take deliveries or show a status until the month turns. One that is away, or refuses the token, ends
                the start with a message: systemd tries again.
        """
        tables, repositories, unasked = {}, {}, list[str]()
        for name, connection in connections.airtable(spec).items():
            catalogue = self._catalogue(spec, connection, None)
            tables[name] = self._remembered(
                f"Airtable, base {connection.base}", _TABLES, catalogue.fetch_tables, unasked if starting else None
            )
        for name, bitbucket in connections.bitbucket(spec).items():
            changelog = self._changelog(spec, bitbucket, None)
            repositories[name] = self._remembered(
                f"Bitbucket, workspace {bitbucket.workspace}",
                _REPOSITORIES,
                changelog.fetch_repositories,
                unasked if starting else None,
            )
        # A secret that is missing is told now, with its place, and not when the first delivery needs it (SP10).
        for bitbucket in connections.bitbucket(spec).values():
            for one in (one for source in bitbucket.sources for one in source.secrets):
                self.secret(spec, one)
        remembered = self.store.load_text(PINS)
        pins = _pins(remembered or "")
        resolved = self.outside.resolve_names(spec, tables, repositories, self._settings.state_path, pins)
        self.store.save_text(PINS, json.dumps(dict(sorted(resolved.pins.items()))))
        for sync in resolved.rules.syncs.values():
            for repository in sync.repositories:
                self.store.save_repository(repository)
        self.warnings = resolved.warnings
        for warning in resolved.warnings:
            _log.warning("spec.warned", file=warning.file, line=warning.line, key=warning.key, hint=warning.expected)
        _log.info("spec.loaded", spec_hash=resolved.rules.spec_hash, syncs=len(resolved.rules.syncs))
        self._unasked = tuple(unasked)
        return replace(resolved.rules, blocked=(*resolved.rules.blocked, *unasked))

    def _remembered(self, what: str, kind: TypeAdapter[T], fetch: Callable[[], T], unasked: list[str] | None) -> T:
        """
        What a service has, kept in the state.

        Args:
            unasked: takes the reason when no budget is left to ask and what the state holds is used; None: it must be asked.

        Raises:
            ServiceError: it does not answer, and nothing is kept, or it must be asked.
        """
        key = f"last-seen:{what}"
        try:
            found = fetch()
        except errors.Throttled as error:
            kept = self.store.load_text(key)
            if unasked is None or not kept:
                raise
            unasked.append(
                f"{what} could not be asked at the start, and is taken as it was at the last one: {error.message}"
            )
            return kind.validate_json(kept)
        shown = kind.dump_json(found).decode()
        if self.store.load_text(key) != shown:
            self.store.save_text(key, shown)
        return found

    def _quiet(self) -> timedelta:
        # Without any sync, while its table is gone, nothing of a delivery concerns us.
        return min((sync.quiet for sync in self.rules.syncs.values()), default=timedelta(0))

    # ------------------------------------------------------------------------------------------------- clients

    def secret(self, spec: load.Spec, secret: secrets.Secret) -> str:
        """A secret's text, read now. Raises SpecError."""
        return secrets.read(secret, self.outside.environment, spec.folder).text

    def _catalogue(
        self, spec: load.Spec, connection: rules.AirtableConnection, sync: SyncName | None
    ) -> ports.Catalogue:
        token = self.secret(spec, connection.token)
        return airtable_side.open_side(
            base_url=connection.url,
            base=connection.base,
            token=token,
            gate=self.ledger.gate("airtable", airtable_budgets(connection, token)),
            clock=self.outside.clock,
            user_agent=USER_AGENT,
            paused=lambda: self._barred(sync, Side.AIRTABLE),
            adapter=self._adapter("airtable"),
        )

    def _changelog(
        self, spec: load.Spec, connection: rules.BitbucketConnection, sync: SyncName | None
    ) -> ports.ChangeLog:
        return bitbucket_side.open_side(
            base_url=connection.url,
            workspace=connection.workspace,
            credential=bitbucket_client.Credential(token=self.secret(spec, connection.token), user=connection.user),
            gate=self.ledger.gate("bitbucket", [bitbucket_budget(connection)]),
            clock=self.outside.clock,
            user_agent=USER_AGENT,
            paused=lambda: self._barred(sync, Side.BITBUCKET),
            adapter=self._adapter("bitbucket"),
        )

    def _barred(self, sync: SyncName | None, side: Side) -> str:
        """Why no changing request may leave: the last commit failed (I32), or a person holds the switch."""
        return self.store.trouble() or self.switch.paused(sync, side)

    def _adapter(self, service: str) -> BaseAdapter | None:
        made = self.outside.adapters.get(service)
        return made() if made is not None else None

    def context(self, sync: rules.SyncRules) -> contexts.Context:
        """A sync's context with clients of its own, for one thread."""
        return contexts.Context(
            rules=self.rules,
            sync=sync,
            store=self.store,
            catalogue=self._catalogue(self._spec, self.rules.airtable[sync.airtable], sync.name),
            changelog=self._changelog(self._spec, self.rules.bitbucket[sync.bitbucket], sync.name),
            clock=self.outside.clock,
            ids=self.outside.ids,
            switch=self.switch,
            advance=self.generation.advance,
        )

    # -------------------------------------------------------------------------------------------------- the work

    def crew(
        self, stop: Callable[[], str], want_compare: Callable[[SyncName], None], reload: Callable[[], object]
    ) -> Crew:
        """Workers and keeper of the present spec, each with clients of its own."""
        workers = [
            worker.Worker(
                self.context(sync),
                stop,
                partial(self._compare_interval, sync),
                self.trial(f"records {sync.name}"),
                self.ledger.sent,
                reload,
            )
            for sync in self.rules.syncs.values()
        ]
        for one in workers:
            before = self._employed.get(one.context.name)
            if (
                before is not None
                and before.context.sync == one.context.sync
                and before.context.rules.spec_hash == self.rules.spec_hash
            ):
                one.succeed(before)
        self._employed = {one.context.name: one for one in workers}
        made = keeper.Keeper(
            [self.context(sync) for sync in self.rules.syncs.values()],
            self.intake,
            self.hook_secrets,
            want_compare,
            reload,
            self.generation.advance_now_and_then,
            lambda context: self.poll_period(context.sync),
            self._look_again,
        )
        repositories = [id for one in workers for id in one.context.repository_ids]
        self.intake.refresh(repositories, self._quiet())
        return Crew(workers=workers, keeper=made)

    def trial(self, name: str) -> trials.Trial:
        """What of these keys ended the process before; one for the whole life of this process, also after a reload."""
        if name not in self._trials:
            self._trials[name] = trials.Trial(self.store, name, self.outside.clock.now())
        return self._trials[name]

    def _look_again(self) -> timedelta | None:
        """How soon the names are resolved again: a service that could not be asked may answer any minute."""
        if self._unasked or self._asked_in_vain:
            return keeper.UNASKED_AGAIN
        blocked = self.rules.blocked or any(sync.blocked for sync in self.rules.syncs.values())
        return keeper.BLOCKED_AGAIN if blocked else None

    def hook_secrets(self, context: contexts.Context, slug: str) -> Sequence[str]:
        """The configured secrets of a repository's webhook, the present one first."""
        for source in context.bitbucket.sources:
            if source.repositories is None or slug in source.repositories:
                return [self.secret(self._spec, one) for one in source.secrets]
        return []

    def exclusive(self, sync: SyncName) -> threading.RLock:
        """The lock under which a sync is planned and written to."""
        return self._locks.setdefault(sync, threading.RLock())

    def problem(self, path: tuple[str, ...], expected: str) -> errors.Problem:
        """A problem of the present spec, with its place."""
        return self._spec.document.problem(path, expected)

    def repair_time(self, sync: rules.SyncRules, records: int | None = None) -> budget.RepairTime:
        """
        T of one sync, with its arithmetic (SPEC section 3, "Level, not edge").

        Args:
            records: how many there are; None: as many as the state knows.
        """
        if records is None:
            states = self.store.states(sync.name)
            records = sum(count for state, count in states.items() if state != "linked")
        further = self.store.load_text(full_compare.calls_key(sync.name))
        sizes = budget.Sizes(
            records=records, repositories=len(sync.repositories), further_calls=int(further) if further else 0
        )
        base = self.rules.airtable[sync.airtable]
        return budget.repair_time(
            sizes,
            self.ledger.get(f"airtable base {base.base}"),
            self.ledger.get(f"bitbucket {sync.bitbucket}"),
            self.rules.daemon.compare_every,
        )

    def poll_period(self, sync: rules.SyncRules) -> timedelta:
        """How far apart the payloads of a sync's base are polled: as the spec wishes, stretched as the budget needs it."""
        base = self.rules.airtable[sync.airtable].base
        return budget.poll_period(self.rules.daemon.poll, self.ledger.get(f"airtable base {base}"))

    def _compare_interval(self, sync: rules.SyncRules) -> timedelta:
        return self.repair_time(sync).interval

    def purge(self) -> None:
        """Delete what was kept long enough."""
        now = self.outside.clock.now()
        while self.store.purge(now - self.rules.daemon.retain_events, now - self.rules.daemon.retain_journal, 1000):
            pass

    def vital(
        self, efforts: Sequence[Any], found: Sequence[contexts.Context], failed: str, problem: str
    ) -> health.Vital:
        """What health is computed from."""
        storing = effort.Effort("the state cannot be written")
        if trouble := self.store.trouble():
            storing.trouble = f"{storing.purpose}: {trouble}"
        return health.Vital(
            rules=self.rules,
            contexts=found,
            efforts=[*efforts, storing],
            paused=self.switch.scopes(),
            budgets=self.ledger.status(),
            now=self.outside.clock.now(),
            version=VERSION,
            failed=failed,
            spec_problem=problem,
            poll_periods={one.name: self.poll_period(one.sync) for one in found},
            repair_times={} if failed else {one.name: self.repair_time(one.sync).time for one in found},
        )

    def close(self) -> None:
        """Save the ledgers and close the state."""
        with contextlib.suppress(errors.StoreError):
            self.ledger.save()
        self.store.close()

    # ---------------------------------------------------------------------------------------------- deliveries

    def _verify_airtable(self, endpoint: Endpoint, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> str:
        return airtable_delivery.verify(headers, body, self.store.load_secret(endpoint.id))

    def _verify_bitbucket(self, endpoint: Endpoint, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> str:
        connection = self.rules.bitbucket.get(endpoint.connection)
        if connection is None:
            return "its connection is not in the spec"
        slugs = [
            repository.slug
            for sync in self.rules.syncs.values()
            for repository in sync.repositories
            if repository.id == endpoint.subject
        ]
        accepted = [
            self.secret(self._spec, one)
            for source in connection.sources
            if source.repositories is None or set(slugs) & set(source.repositories)
            for one in source.secrets
        ]
        return bitbucket_delivery.verify(headers, body, accepted)


def airtable_budgets(connection: rules.AirtableConnection, token: str) -> list[budget.Budget]:
    """The base's and the token's: two connections with one token share the second. Its name tells nothing of it."""
    name = hashlib.sha256(token.encode()).hexdigest()[:8]
    return [
        budget.airtable_base(f"airtable base {connection.base}", connection.share, connection.month),
        budget.airtable_token(f"airtable token {name}", connection.share),
    ]


def bitbucket_budget(connection: rules.BitbucketConnection) -> budget.Budget:
    """The credential's rolling hour."""
    return budget.bitbucket(f"bitbucket {connection.name}", connection.hour, connection.share)


def read_bitbucket(delivery: Delivery) -> Event | str:
    """A stored Bitbucket delivery as an event, or why it cannot be read."""
    try:
        return bitbucket_delivery.parse(delivery.headers, delivery.body)
    except bitbucket_delivery.Unreadable as error:
        return str(error)


def read_ping(delivery: Delivery) -> str:
    """Why a stored Airtable delivery is no ping; "" when it is one."""
    return "" if airtable_delivery.parse_ping(delivery.body) else "not JSON, or without the ids of a base and a webhook"


# ----------------------------------------------------------------------------------------------- for the commands


def open_switch(config: Path, environment: str | None) -> ports.Switch:
    """The kill switch alone: needs no service, no state and no daemon."""
    spec = load.load(config, environment or "")
    state = Path(connections.daemon(spec, _settings().state_path).state)
    return pause.PauseFiles(state.parent / "pause")


@contextlib.contextmanager
def open_control(config: Path, environment: str | None) -> Iterator[control.Control]:
    """Everything that a command needs while no daemon runs; holds the state's lock. Raises StateInUse."""
    with open_house(outside(), config, environment or "") as house:
        found = [house.context(sync) for sync in house.rules.syncs.values()]
        for one in found:
            # What a daemon that was killed left open is looked up before anything is planned on top of it.
            recover.begin(one, house.outside.clock.now())
            recover.resolve(one, house.outside.clock.now())
        yield _control(house, lambda: found, lambda: house.vital((), found, "", ""), reload=lambda: {"reloaded": False})


@contextlib.contextmanager
def open_house(given: Outside, config: Path, environment: str) -> Iterator[House]:
    """The house with its state open. Raises StateInUse, StoreError, SpecError, ServiceError."""
    settings = _settings()
    spec = load.load(config, environment)
    state = Path(connections.daemon(spec, settings.state_path).state)
    # It holds values of the base: only the owner may look. One that cannot be made is told by the store.
    with contextlib.suppress(OSError):
        state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = sqlite.SqliteStore.open(state)
    try:
        house = House(given, config, environment, settings, store, GenerationFile(state))
    except BaseException:
        store.close()
        raise
    try:
        yield house
    finally:
        house.close()


@contextlib.contextmanager
def open_journal(config: Path, environment: str | None) -> Iterator[ports.Store]:
    """The state for reading alone, beside whoever writes it: needs no service and no lock. Raises StoreError, SpecError."""
    spec = load.load(config, environment or "")
    store = sqlite.SqliteStore.open(Path(connections.daemon(spec, _settings().state_path).state), lock=False)
    try:
        yield store
    finally:
        store.close()


def run_daemon(config: Path, environment: str | None) -> int:
    """Be the daemon until a signal comes. Returns the exit status."""
    settings = _settings()
    log.configure(settings.log_level)
    given = outside()
    with open_house(given, config, environment or "") as house:
        _log.info("daemon.started", version=VERSION, spec_hash=house.rules.spec_hash)
        running = _Running()
        found = _control(
            house,
            running.contexts,
            lambda: running.vital(house),
            wake=running.wake,
            want_compare=running.want_compare,
            reload=running.request_reload,
            ready=lambda: running.ready(house),
            stop=running.stop,
        )
        duties = daemons.Duties(
            clock=given.clock,
            crew=lambda stop: running.crew(house, stop),
            listeners=_listeners(house, found, running.wake, given),
            reload=house.reload,
            save_ledgers=house.ledger.save,
            purge=house.purge,
            beats=lambda: dict(house.ledger.charged),
            notify=lambda text: systemd.notify(settings.notify_socket, text),
            failed=lambda: house.store.failed,
            exclusive=house.exclusive,
            watchdog_s=settings.watchdog_usec / 1_000_000,
        )
        running.daemon = daemons.Daemon(duties)
        return running.daemon.run()


class _Running:
    """The daemon as its listeners ask it: they are made first, and it starts them."""

    def __init__(self) -> None:
        self.daemon: daemons.Daemon | None = None
        self._stop: Callable[[], str] = lambda: ""

    def crew(self, house: House, stop: Callable[[], str]) -> Crew:
        self._stop = stop
        return house.crew(stop, self.want_compare, self.request_reload)

    def stop(self) -> str:
        return self._stop()

    def contexts(self) -> list[contexts.Context]:
        return [] if self.daemon is None else [one.context for one in self.daemon.workers]

    def vital(self, house: House) -> health.Vital:
        running = self.daemon
        if running is None:
            return house.vital((), (), "the daemon is starting", "")
        efforts = [tried for one in running.workers for tried in one.efforts]
        if running.keeper is not None:
            efforts.extend(running.keeper.efforts)
        return house.vital(efforts, self.contexts(), running.failure, running.spec_problem)

    def wake(self) -> None:
        if self.daemon is not None:
            self.daemon.wake()

    def want_compare(self, sync: SyncName) -> None:
        if self.daemon is not None:
            self.daemon.want_compare(sync)

    def request_reload(self) -> dict[str, Any]:
        if self.daemon is not None:
            self.daemon.request_reload()
        return {"reloading": self.daemon is not None}

    def ready(self, house: House) -> tuple[bool, str]:
        if self.daemon is None or not self.daemon.ready:
            return False, "starting or stopping"
        trouble = self.daemon.failure or house.store.trouble()
        return not trouble, trouble


def check(config: Path, environment: str | None, live: bool) -> list[errors.Problem]:
    """Problems and warnings of a spec; with `live` also of its names against both services. Raises SpecError."""
    spec = load.load(config, environment or "")
    if not live:
        return list(spec.warnings)
    house = House(outside(), config, environment or "", _settings(), sqlite.SqliteStore.in_memory())
    try:
        return [
            *house.warnings,
            *(problem for sync in house.rules.syncs.values() for problem in _too_slow(house, sync)),
        ]
    finally:
        house.close()


def _too_slow(house: House, sync: rules.SyncRules) -> list[errors.Problem]:
    """`repair_within` that the budgets cannot keep, with the arithmetic."""
    found = house.context(sync)
    records = len(found.catalogue.fetch_listing(sync.table, sync.view, found.fields()))
    needed = house.repair_time(sync, records)
    wished = house.rules.daemon.repair_within
    if needed.time <= wished:
        return []
    return [
        house.problem(
            ("daemon", "repair_within"),
            f"at least {needed.time}, or larger budgets, for sync {sync.name}: {'; '.join(needed.arithmetic)}",
        )
    ]


def _settings() -> Settings:
    return Settings()


def _control(
    house: House,
    found: Callable[[], Sequence[contexts.Context]],
    vital: Callable[[], health.Vital],
    *,
    reload: Callable[[], Mapping[str, Any]],
    wake: Callable[[], None] = lambda: None,
    want_compare: Callable[[SyncName], None] = lambda _: None,
    ready: Callable[[], tuple[bool, str]] = lambda: (True, ""),
    stop: Callable[[], str] = lambda: "",
) -> control.Control:
    return control.Control(
        contexts=found,
        vital=vital,
        clock=house.outside.clock,
        wake=wake,
        want_compare=want_compare,
        reload=reload,
        exclusive=house.exclusive,
        ready=ready,
        stop=stop,
    )


class _WakingIntake:
    """The intake, which tells the workers after each group; also of a failed one, for they end a daemon whose state failed."""

    def __init__(self, inner: intake.Intake, wake: Callable[[], None]) -> None:
        self._inner = inner
        self._wake = wake

    def known(self, provider: str, endpoint: str) -> bool:
        return self._inner.known(provider, endpoint)

    def verify(
        self, provider: str, endpoint: str, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> intake.Verdict:
        return self._inner.verify(provider, endpoint, headers, body)

    def save(self, arrived: Sequence[ports.Arrived]) -> None:
        try:
            self._inner.save(arrived)
        finally:
            self._wake()


class _Serving:
    """Both listeners, and the writer behind the hooks, as one thing that starts and stops."""

    def __init__(self, listeners: server.Listeners, hooks_app: hooks.Hooks) -> None:
        self._listeners = listeners
        self._hooks = hooks_app

    def start(self) -> None:
        self._listeners.start()

    def stop(self) -> None:
        self._listeners.stop()
        self._hooks.close()

    @property
    def alive(self) -> bool:
        return self._listeners.alive

    @property
    def beats(self) -> int:
        # The smaller of both counts stands still as soon as one of them does.
        return min(self._listeners.beats, self._hooks.beats)


def _listeners(house: House, found: control.Control, wake: Callable[[], None], given: Outside) -> _Serving:
    hooks_app = hooks.build(_WakingIntake(house.intake, wake), given.clock)
    admin_address = server.parse_address(house.rules.daemon.admin)
    token = web_control.read_token(given.environment)
    inherited = systemd.inherited(given.environment, os.getpid())
    hooks_address = server.parse_address(house.rules.daemon.hooks)
    listeners = server.Listeners(
        [
            server.Listener(name="hooks", address=hooks_address, app=hooks_app, inherited=inherited.get("hooks")),
            server.Listener(name="admin", address=admin_address, app=admin.build(found, admin_address, token)),
        ]
    )
    return _Serving(listeners, hooks_app)
