"""The demo's stage: both emulated services on loopback, a copy of the sample spec that points at them, and the real daemon as a process."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from syncd import errors
from syncd.commands import world as worlds
from syncd.commands.remote import RemoteControl
from syncd.sandbox.airtable.machine import AirtableMachine
from syncd.sandbox.bitbucket.machine import BitbucketMachine
from syncd.sandbox.fault import FaultyMachine
from syncd.sandbox.server import SandboxServer

SYNC = "features"
WAIT_S = 60.0
# Shorter than the sample spec's, so that the demo does not keep anybody waiting.
QUIET = "1s"
POLL = "10s"
COMPARE_EVERY = "10m"


class Stage:
    """
    Everything that runs during the demo.

    Args:
        folder: spec, state and log go here.
        source: the sample spec's folder.
        seed: of every id and name.
        clock: the wall clock.
    """

    def __init__(self, folder: Path, source: Path, seed: int, clock: Callable[[], datetime]) -> None:
        self.folder = folder
        self.clock = clock
        self.random = random.Random(seed)
        ports = free_ports(4)
        self.admin, self.hooks = f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"
        self.airtable = FaultyMachine(AirtableMachine(seed), "airtable")
        bitbucket = BitbucketMachine(seed, url=f"http://127.0.0.1:{ports[3]}/2.0")
        self.bitbucket = FaultyMachine(bitbucket, "bitbucket")
        self.world = worlds.features_world(self.airtable, self.bitbucket, clock())
        self.services = (
            SandboxServer(self.airtable, "127.0.0.1", ports[2], clock),
            SandboxServer(self.bitbucket, "127.0.0.1", ports[3], clock, delivery_timeout_s=10.0),
        )
        self.config = folder / "config"
        self._write_spec(source)
        self.control = RemoteControl(self.admin)
        self._daemon: subprocess.Popen[bytes] | None = None

    # ------------------------------------------------------------------------------------------------- the daemon

    @property
    def environment(self) -> dict[str, str]:
        """What the daemon and the commands need to know."""
        return {
            "SYNCD_AIRTABLE_TOKEN": worlds.AIRTABLE_TOKEN,
            "SYNCD_BITBUCKET_TOKEN": worlds.BITBUCKET_TOKEN,
            "SYNCD_HOOK_SECRET": worlds.HOOK_SECRET,
            "STATE_DIRECTORY": str(self.folder / "state"),
        }

    def start(self) -> float:
        """Start the daemon; how many seconds it took until it was ready."""
        began = time.perf_counter()
        (self.folder / "state").mkdir(exist_ok=True)
        with (self.folder / "daemon.log").open("ab") as output:
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", "syncd", "run", "--config", str(self.config)],
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.wait_for(self._ready, "the daemon is ready")
        return time.perf_counter() - began

    def _ready(self) -> bool:
        if self._daemon is not None and self._daemon.poll() is not None:
            raise errors.SyncdError(
                f"the daemon ended with exit status {self._daemon.returncode}",
                next_step=f"look at the end of {self.folder / 'daemon.log'}",
            )
        return self.control.answers() and self.control.ready()[0]

    def kill(self) -> None:
        """`kill -9`."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()

    def end(self) -> int:
        """SIGTERM, and the exit status."""
        if self._daemon is None or self._daemon.poll() is not None:
            return 0 if self._daemon is None else int(self._daemon.returncode)
        self._daemon.send_signal(signal.SIGTERM)
        return self._daemon.wait(25)

    def wait_forever(self) -> None:
        """Until Ctrl-C."""
        while True:
            threading.Event().wait(3600)

    def wait_for(self, condition: Callable[[], bool], what: str) -> float:
        """
        Wait until something holds; how many seconds it took.

        Raises:
            SyncdError: it did not, within a minute.
        """
        began = time.perf_counter()
        while not condition():
            if time.perf_counter() - began > WAIT_S:
                raise errors.SyncdError(
                    f"waited {WAIT_S:.0f} s in vain until {what}",
                    next_step=f"look at the end of {self.folder / 'daemon.log'}",
                )
            threading.Event().wait(0.1)
        return time.perf_counter() - began

    # ------------------------------------------------------------------------------------------------- the world

    def in_airtable(self, verb: str, **arguments: Any) -> Any:
        """What a person does in Airtable."""
        with self.services[0].lock:
            return self.airtable.control(verb, arguments, self.clock())

    def in_bitbucket(self, verb: str, **arguments: Any) -> Any:
        """What a person does in Bitbucket."""
        with self.services[1].lock:
            return self.bitbucket.control(verb, arguments, self.clock())

    def cells(self, record: str) -> dict[str, Any]:
        """A record's true cells by field name."""
        found: dict[str, Any] = self.in_airtable("record", record=record)["fields"]
        return found

    def _write_spec(self, source: Path) -> None:
        shutil.copytree(source, self.config)
        for overlay in self.config.glob("*.toml"):
            if overlay.name != "syncd.toml":
                overlay.unlink()
        file = self.config / "syncd.toml"
        text = file.read_text(encoding="utf-8")
        for key, wanted in (
            ("admin", json.dumps(self.admin)),
            ("hooks", json.dumps(self.hooks)),
            ("public_url", json.dumps(f"http://{self.hooks}")),
            ("poll", json.dumps(POLL)),
            ("compare_every", json.dumps(COMPARE_EVERY)),
            ("quiet", json.dumps(QUIET)),
        ):
            text = replaced(text, key, wanted)
        airtable, bitbucket = (service.url for service in self.services)
        head, mark, rest = text.partition("[bitbucket.acme]")
        text = (
            replaced(head, "url", json.dumps(airtable)) + mark + replaced(rest, "url", json.dumps(f"{bitbucket}/2.0"))
        )
        file.write_text(text, encoding="utf-8")


def replaced(text: str, key: str, wanted: str) -> str:
    """A spec's text with the first line of `key`, commented out or not, set to a value. Raises UsageError without such a line."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        bare = line.removeprefix("# ")
        if bare.partition("=")[0].strip() == key and not bare.startswith(" "):
            lines[number] = f"{key} = {wanted}\n"
            return "".join(lines)
    raise errors.UsageError(f"the sample spec has no line for {key!r}", next_step="git checkout config/syncd.toml")


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses at this moment."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
