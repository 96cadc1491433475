"""A whole syncd in one thread: both emulated services behind adapters, virtual time, a state in memory."""

import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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
from tests import shared

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
PUBLIC_URL = "https://sync.example.com"
AIRTABLE_URL = "http://airtable.test"
BITBUCKET_URL = "http://bitbucket.test/2.0"


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
        self.config = folder / "config"
        write_spec(self.config, hooks=hooks, edit=edit)
        self._folder = folder
        self._seed = seed
        self.outside = wiring.Outside(
            clock=self.clock,
            ids=SeededIds(self.clock, seed),
            environment={
                "SYNCD_AIRTABLE_TOKEN": worlds.AIRTABLE_TOKEN,
                "SYNCD_BITBUCKET_TOKEN": worlds.BITBUCKET_TOKEN,
                "SYNCD_HOOK_SECRET": worlds.HOOK_SECRET,
            },
            adapters={
                "airtable": lambda: MachineAdapter(self.airtable, self.clock.now, self.clock.wait),
                "bitbucket": lambda: MachineAdapter(self.bitbucket, self.clock.now, self.clock.wait),
            },
        )
        self.stop = ""
        self.open(None)

    def open(self, image: bytes | None) -> None:
        """Start syncd, on an empty state or on what a process left."""
        self.store = sqlite.SqliteStore.in_memory(image)
        settings = Settings.model_validate({"STATE_DIRECTORY": str(self._folder)})
        self.house = wiring.House(self.outside, self.config, "", settings, self.store)
        self.crew = self.house.crew(lambda: self.stop, self._compare, lambda: None)
        self.control = control.Control(
            contexts=lambda: [worker.context for worker in self.crew.workers],
            vital=lambda: self.house.vital(
                [effort for worker in self.crew.workers for effort in worker.efforts],
                [worker.context for worker in self.crew.workers],
                "",
                "",
            ),
            clock=self.clock,
            wake=lambda: None,
            want_compare=self._compare,
            reload=lambda: {},
            exclusive=self.exclusive,
            ready=lambda: (True, ""),
        )

    def exclusive(self, sync: SyncName) -> AbstractContextManager[Any]:
        """The house's lock."""
        return self.house.exclusive(sync)

    def restart(self) -> None:
        """Kill and start again from what is durable."""
        self.open(self.store.image())

    def _compare(self, sync: SyncName) -> None:
        for worker in self.crew.workers:
            if worker.context.name == sync:
                worker.want_compare()

    # ------------------------------------------------------------------------------------------------- time

    def step(self) -> datetime:
        """Deliver what is due, then let every thread do what is due once; when there is more to do."""
        self.deliver()
        due = [self.crew.keeper.step(self.clock.now())]
        due += [worker.step(self.clock.now()) for worker in self.crew.workers]
        due += [at for machine in (self.airtable, self.bitbucket) if (at := machine.next_due_at()) is not None]
        return min(due)

    def run(self, span: timedelta) -> None:
        """Let time pass."""
        end = self.clock.now() + span
        for _ in range(10_000):
            again = self.step()
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
            for delivery in machine.due(self.clock.now()):
                machine.delivered(delivery, self._receive(provider, delivery), self.clock.now())

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
        """What `syncd apply` does."""
        return self.control.apply(None, None, [])

    def cells(self, name: str) -> dict[str, Any]:
        """A record's true cells, by field name."""
        found = self.airtable.control("record", {"record": self.world.records[name]}, self.clock.now())
        cells: dict[str, Any] = found["fields"]
        return cells

    def edit(self, name: str, user: str = "ada@acme.dev", **cells: Any) -> None:
        """A person edits a record."""
        fields = {key.replace("_", " "): cell for key, cell in cells.items()}
        self.airtable.control(
            "edit", {"record": self.world.records[name], "cells": fields, "user": user}, self.clock.now()
        )

    def work(self, verb: str, **arguments: Any) -> Any:
        """A person does something in Bitbucket."""
        return self.bitbucket.control(verb, arguments, self.clock.now())

    def writes(self, since: int = 0) -> list[LogEntry]:
        """Changing requests of the daemon that reached a service, oldest first."""
        found = []
        for machine in (self.airtable, self.bitbucket):
            inner = machine.inner
            found += [
                entry
                for entry in inner.log
                if entry.method in {"PATCH", "PUT", "POST", "DELETE"}
                and not entry.path.endswith("/listRecords")
                and "/webhooks" not in entry.path
                and "/hooks" not in entry.path
                and entry.sequence > since
            ]
        return found


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
