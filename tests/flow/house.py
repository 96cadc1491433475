"""A whole syncd in one thread: both emulated services behind adapters, virtual time, a state in memory."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from syncd import ports, wiring
from syncd.commands import world as worlds
from syncd.flow import control
from syncd.flow.intake import Verdict
from syncd.model.ids import EndpointId, OperationId, RunId, SyncName
from syncd.sandbox.adapter import MachineAdapter
from syncd.sandbox.airtable.machine import AirtableMachine
from syncd.sandbox.bitbucket.machine import BitbucketMachine
from syncd.sandbox.choices import Choices
from syncd.sandbox.fault import FaultyMachine
from syncd.sandbox.wire import Delivery, LogEntry
from syncd.settings import Settings
from syncd.store import sqlite
from syncd.store.generation import GenerationFile
from tests import shared

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
PUBLIC_URL = "https://sync.example.com"
AIRTABLE_URL = "http://airtable.test"
BITBUCKET_URL = "http://bitbucket.test/2.0"
REPOSITORIES = ("api", "web")
MINUTE = timedelta(minutes=1)


class VirtualClock:
    """Time that moves only when somebody waits."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        """The instant."""
        return self.at

    def monotonic_s(self) -> float:
        """Seconds since the start."""
        return (self.at - START).total_seconds()

    def wait(self, seconds: float) -> None:
        """Jump."""
        self.at += timedelta(seconds=seconds)


class SeededIds:
    """Ids from a seed."""

    def __init__(self, clock: VirtualClock, seed: int) -> None:
        self._clock = clock
        self._random = random.Random(seed)

    def run(self) -> RunId:
        """Sortable."""
        return RunId(wiring.uuid7(self._clock.now(), self._random.getrandbits(74)))

    def operation(self) -> OperationId:
        """Sortable."""
        return OperationId(wiring.uuid7(self._clock.now(), self._random.getrandbits(74)))

    def endpoint(self) -> EndpointId:
        """128 bits."""
        return EndpointId(f"{self._random.getrandbits(128):032x}")

    def jitter(self) -> float:
        """In [0, 1)."""
        return self._random.random()


class Crash(BaseException):
    """The process ends here, as by SIGKILL."""


# What changes the state; the rest only reads it.
_COMMITS = ("save_", "commit", "mark_", "claim_", "release_", "take_", "delete_", "purge")


class Doom:
    """
    Ends the process after a chosen number of commits and requests. From then on nothing it does has any effect, so that no
    `finally` writes after its death (reliability.md "Crash").
    """

    def __init__(self) -> None:
        self.passed = 0
        self.at: int | None = None
        self.every = 0
        self.dead = False

    def met(self) -> None:
        """One more commit or request is about to begin."""
        if self.dead:
            raise Crash
        if self.at is not None and self.passed >= self.at:
            self.dead = True
            raise Crash
        if self.every and self.passed % self.every == self.every - 1:
            self.passed += 1
            self.dead = True
            raise Crash
        self.passed += 1

    def revive(self) -> None:
        """A new process, which lives."""
        self.dead, self.at = False, None


class MortalStore:
    """A state that dies with its process."""

    def __init__(self, inner: sqlite.SqliteStore, doom: Doom) -> None:
        self._inner = inner
        self._doom = doom

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name == "image":
            return found
        if not name.startswith(_COMMITS):
            return found

        def called(*positional: Any, **named: Any) -> Any:
            self._doom.met()
            return found(*positional, **named)

        return called


class MortalAdapter(MachineAdapter):
    """A connection that dies with its process."""

    def __init__(self, machine: FaultyMachine, clock: VirtualClock, doom: Doom) -> None:
        super().__init__(machine, clock.now, clock.wait)
        self._doom = doom

    def send(self, *positional: Any, **named: Any) -> Any:
        """Ask the machine while the process lives."""
        self._doom.met()
        return super().send(*positional, **named)


class Lab:
    """
    The world, the house in it, and hands to move both.

    Args:
        hooks: whether the spec has a public_url, so that deliveries come.
        edit: changes the sample spec's text.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 1,
        hooks: bool = True,
        choices: Choices | None = None,
        edit: Callable[[str], str] = lambda text: text,
    ) -> None:
        self.clock = VirtualClock()
        self.airtable = FaultyMachine(AirtableMachine(seed, choices), "airtable")
        self.bitbucket = FaultyMachine(BitbucketMachine(seed, choices), "bitbucket")
        self.world = worlds.features_world(self.airtable, self.bitbucket, self.clock.now())
        self.records = dict(self.world.records)
        self.config = folder / "config"
        write_spec(self.config, hooks=hooks, edit=edit)
        self._folder = folder
        self.doom = Doom()
        self.crashes = 0
        self.outside = wiring.Outside(
            clock=self.clock,
            ids=SeededIds(self.clock, seed),
            environment={
                "SYNCD_AIRTABLE_TOKEN": worlds.AIRTABLE_TOKEN,
                "SYNCD_BITBUCKET_TOKEN": worlds.BITBUCKET_TOKEN,
                "SYNCD_HOOK_SECRET": worlds.HOOK_SECRET,
            },
            adapters={
                "airtable": lambda: MortalAdapter(self.airtable, self.clock, self.doom),
                "bitbucket": lambda: MortalAdapter(self.bitbucket, self.clock, self.doom),
            },
        )
        self.stop = ""
        self.open(None)

    def open(self, image: bytes | None) -> None:
        """Start syncd, on an empty state or on what a process left."""
        self.store = sqlite.SqliteStore.in_memory(image)
        settings = Settings.model_validate({"STATE_DIRECTORY": str(self._folder)})
        mortal = cast("ports.Store", MortalStore(self.store, self.doom))
        witness = GenerationFile(self._folder / "syncd.db")
        self.house = wiring.House(self.outside, self.config, "", settings, mortal, witness)
        self._employ()

    def _employ(self) -> None:
        self._reload_wanted = False
        self.crew = self.house.crew(lambda: self.stop, self._compare, self._want_reload)
        self.control = control.Control(
            contexts=lambda: [worker.context for worker in self.crew.workers],
            vital=lambda: self.house.vital(
                [
                    *(effort for worker in self.crew.workers for effort in worker.efforts),
                    *self.crew.keeper.efforts,
                ],
                [worker.context for worker in self.crew.workers],
                "",
                "",
            ),
            clock=self.clock,
            wake=lambda: None,
            want_compare=self._compare,
            reload=self._want_reload,
            exclusive=self.exclusive,
            ready=lambda: (True, ""),
            stop=lambda: self.stop,
        )

    def exclusive(self, sync: SyncName) -> AbstractContextManager[Any]:
        """The house's lock."""
        return self.house.exclusive(sync)

    def restart(self) -> None:
        """Kill and start again from what is durable."""
        while True:
            self.doom.revive()
            try:
                return self.open(self.store.image())
            except Crash:
                self.crashes += 1

    def reload(self, edit: Callable[[str], str] = lambda text: text) -> str:
        """Change the spec's file and take it over, as SIGHUP does. Why the old one stays, or ""."""
        path = self.config / "syncd.toml"
        path.write_text(edit(path.read_text()))
        problem = self.house.reload()
        self._employ()
        return problem

    def _want_reload(self) -> dict[str, Any]:
        self._reload_wanted = True
        return {}

    def _compare(self, sync: SyncName) -> None:
        for worker in self.crew.workers:
            if worker.context.name == sync:
                worker.want_compare()

    # ------------------------------------------------------------------------------------------------- time

    def step(self) -> datetime:
        """Deliver what is due, then let every thread do what is due once; when there is more to do."""
        self.deliver()
        if self._reload_wanted:
            self.reload()
        due = [self.crew.keeper.step(self.clock.now())]
        due += [worker.step(self.clock.now()) for worker in self.crew.workers]
        due += [at for machine in (self.airtable, self.bitbucket) if (at := machine.next_due_at()) is not None]
        return min(due)

    def run(self, span: timedelta) -> None:
        """Let time pass."""
        end = self.clock.now() + span
        for _ in range(20_000 + int(span.total_seconds() / 10)):
            try:
                again = self.step()
            except Crash:
                self.crashes += 1
                self.restart()
                again = self.clock.now()
            if again > end:
                self.clock.at = max(self.clock.at, end)
                return
            self.clock.at = max(self.clock.at, again) + timedelta(milliseconds=10)
            if self.clock.at > end:
                return
        raise AssertionError("syncd never comes to rest")

    def deliver(self) -> None:
        """Bring what the services want delivered to the listener's hands."""
        for provider, machine in (("airtable", self.airtable), ("bitbucket", self.bitbucket)):
            waiting = list(machine.due(self.clock.now()))
            while waiting:
                delivery = waiting.pop(0)
                try:
                    status: int | None = self._receive(provider, delivery)
                except Crash:
                    # Nobody answers any more.
                    for unanswered in (delivery, *waiting):
                        machine.delivered(unanswered, None, self.clock.now())
                    raise
                machine.delivered(delivery, status, self.clock.now())

    def _receive(self, provider: str, delivery: Delivery) -> int:
        prefix = f"{PUBLIC_URL}/hooks/{provider}/"
        if not delivery.url.startswith(prefix):
            return 404
        endpoint = delivery.url.removeprefix(prefix)
        headers = [(name.lower().encode(), text.encode()) for name, text in delivery.headers.items()]
        verdict = self.house.intake.verify(provider, endpoint, headers, delivery.body)
        if verdict is not Verdict.GOOD:
            return 404 if verdict is Verdict.UNKNOWN else 401
        kept = {name.lower(): text for name, text in delivery.headers.items() if name.lower().startswith("x-")}
        arrived = ports.Arrived(
            endpoint=EndpointId(endpoint), received_at=self.clock.now(), headers=kept, body=delivery.body
        )
        self.house.intake.save([arrived])
        return 200

    # ------------------------------------------------------------------------------------------------- looking

    def apply(self) -> Mapping[str, Any]:
        """What `syncd apply` does; a person types it again when the process died of it."""
        while True:
            try:
                return self.control.apply(None, None, [])
            except Crash:
                self.crashes += 1
                self.restart()

    def adopt(self) -> None:
        """Start, apply the first plan, and come to rest."""
        self.run(2 * MINUTE)
        self.apply()
        self.run(2 * MINUTE)

    def plan(self) -> Mapping[str, Any]:
        """What `syncd plan` shows of the one sync."""
        shown: Mapping[str, Any] = self.control.plan(None)["plans"][0]
        return shown

    def status(self) -> Mapping[str, Any]:
        """What `syncd status` shows."""
        return self.control.status()

    def cells(self, name: str) -> dict[str, Any]:
        """A record's true cells, by field name."""
        found = self.airtable.control("record", {"record": self.records[name]}, self.clock.now())
        cells: dict[str, Any] = found["fields"]
        return cells

    def field(self, name: str) -> str:
        """A field's id."""
        tables = self.airtable.control("schema", {}, self.clock.now())["tables"]
        return next(str(field["id"]) for table in tables for field in table["fields"] if field["name"] == name)

    def edit(self, name: str, user: str = "ada@acme.dev", **cells: Any) -> None:
        """A person edits a record."""
        fields = {key.replace("_", " "): cell for key, cell in cells.items()}
        self.person("edit", record=self.records[name], cells=fields, user=user)

    def create(self, name: str, **cells: Any) -> str:
        """A person adds a record; its id."""
        fields = {"Name": name, **{key.replace("_", " "): cell for key, cell in cells.items()}}
        made = self.person("create", table="Features", cells=fields, user="ada@acme.dev")
        self.records[name] = made["id"]
        return str(made["id"])

    def person(self, verb: str, **arguments: Any) -> Any:
        """A person does something in Airtable."""
        return self.airtable.control(verb, arguments, self.clock.now())

    def work(self, verb: str, **arguments: Any) -> Any:
        """A person does something in Bitbucket."""
        return self.bitbucket.control(verb, arguments, self.clock.now())

    def pull_request(self, repository: str, number: int) -> dict[str, Any]:
        """A pull request's true state."""
        found: dict[str, Any] = self.work("pull_request", repository=repository, id=number)
        return found

    def pull_requests(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Every pull request with the record's id in its branch: repository and true state."""
        record = self.records[name]
        return [
            (repository, one)
            for repository in REPOSITORIES
            for one in self.work("pull_requests", repository=repository)
            if record in one["source_branch"]
        ]

    def branches(self, name: str) -> list[tuple[str, str]]:
        """Every branch with the record's id in its name: repository and name."""
        record = self.records[name]
        return [
            (repository, branch)
            for repository in REPOSITORIES
            for branch in self.work("branches", repository=repository)
            if record in branch
        ]

    def journal(self, name: str | None = None) -> Sequence[Mapping[str, Any]]:
        """The journal, or a record's, oldest first."""
        record = None if name is None else self.records[name]
        rows: Sequence[Mapping[str, Any]] = self.control.journal(None, record, None, 0, 10_000)["rows"]
        return rows

    def requests(self) -> Counter[str]:
        """How many requests each service has seen from syncd."""
        return Counter(
            {
                machine.service: sum(1 for entry in machine.inner.log if entry.method != "CONTROL" and entry.status)
                for machine in (self.airtable, self.bitbucket)
            }
        )

    def writes(self) -> list[LogEntry]:
        """Changing requests of the daemon that a service answered, webhooks aside: Airtable's, then Bitbucket's."""
        return [
            entry
            for machine in (self.airtable, self.bitbucket)
            for entry in machine.inner.log
            if entry.method in {"PATCH", "PUT", "POST", "DELETE"}
            and not entry.path.endswith("/listRecords")
            and "/webhooks" not in entry.path
            and "/hooks" not in entry.path
        ]

    def end_state(self) -> dict[str, Any]:
        """All that the story is about, without what depends on the instant: run ids and hashes."""
        state: dict[str, Any] = {}
        for name in self.records:
            cells = {key: cell for key, cell in self.cells(name).items() if key != "Sync run"}
            heads = [one["source_commit"] for _, one in self.pull_requests(name)]
            shown = cells.pop("Last commit", None)
            cells["Last commit is a head"] = shown is None or any(head.startswith(shown) for head in heads)
            merged = cells.pop("Merged at", None)
            cells["Merged"] = merged is not None
            state[name] = {
                "cells": cells,
                "branches": self.branches(name),
                "pull requests": [
                    (repository, {key: one[key] for key in ("title", "description", "state", "draft")})
                    for repository, one in self.pull_requests(name)
                ],
            }
        return state


def write_spec(folder: Path, *, hooks: bool, edit: Callable[[str], str]) -> None:
    """The sample spec of `config/`, pointed at the emulated services."""
    folder.mkdir(parents=True)
    (folder / "templates").mkdir()
    source = shared.ROOT / "config"
    for template in (source / "templates").iterdir():
        (folder / "templates" / template.name).write_text(template.read_text())
    text = (source / "syncd.toml").read_text()
    for line, wanted in (
        ('# url  = "http://127.0.0.1:9001"', f'url  = "{AIRTABLE_URL}"'),
        ('# url     = "http://127.0.0.1:9002/2.0"', f'url     = "{BITBUCKET_URL}"'),
        *((('# public_url = "https://sync.example.com"', f'public_url = "{PUBLIC_URL}"'),) if hooks else ()),
    ):
        assert line in text, line
        text = text.replace(line, wanted)
    (folder / "syncd.toml").write_text(edit(text))
