"""The whole of syncd over loopback: both emulated services behind real ports, and the daemon as a real process."""

import hashlib
import hmac
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import requests

from syncd import wiring
from syncd.commands import stage as stages
from syncd.commands import world as worlds
from syncd.sandbox.fault import FaultyMachine
from syncd.sandbox.wire import Delivery, LogEntry, Request, Response
from tests import shared

RUN_COLUMN = "Sync run"
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One delivery that a service sent, and the answer: None when nobody answered."""

    delivery: Delivery
    status: int | None


class Witness:
    """A machine that remembers what became of each delivery; itself a machine."""

    def __init__(self, inner: FaultyMachine) -> None:
        self.inner = inner
        self.log: list[LogEntry] = inner.log
        self.sent: list[Sent] = []
        self.under_way = 0
        self.in_hand = 0
        self.slowness: Callable[[], tuple[float, float]] | None = None

    def handle(self, request: Request, now: datetime) -> Response:
        """Pass it on; with `slowness`, so many seconds before and after a change is made."""
        if self.slowness is None or request.method not in CHANGING:
            return self.inner.handle(request, now)
        before, after = self.slowness()
        self.in_hand += not request.path.endswith("/listRecords")
        try:
            Event().wait(before)
            answer = self.inner.handle(request, now)
            Event().wait(after)
        finally:
            self.in_hand -= not request.path.endswith("/listRecords")
        return answer

    def due(self, now: datetime) -> tuple[Delivery, ...]:
        """Pass it on, and count what leaves."""
        found = self.inner.due(now)
        self.under_way += len(found)
        return found

    def delivered(self, delivery: Delivery, status: int | None, now: datetime) -> None:
        """Remember it, and pass it on."""
        self.sent.append(Sent(delivery=delivery, status=status))
        self.under_way -= 1
        self.inner.delivered(delivery, status, now)

    def next_due_at(self) -> datetime | None:
        """Pass it on."""
        return self.inner.next_due_at()

    def control(self, verb: str, arguments: Mapping[str, Any], now: datetime) -> Any:
        """Pass it on."""
        return self.inner.control(verb, arguments, now)


class House(stages.Stage):
    """
    The demo's stage, with what tests ask of it beside.

    Args:
        folder: spec, state and log.
        spec: replaces values in the sample spec: key to TOML text.
    """

    def __init__(self, folder: Path, *, seed: int = 1, spec: Mapping[str, str] | None = None) -> None:
        (folder / "state").mkdir(parents=True, exist_ok=True)
        super().__init__(folder, shared.ROOT / "config", seed, wiring.SystemClock().now)
        self.variables: dict[str, str] = {}
        self.witnesses = (Witness(self.airtable), Witness(self.bitbucket))
        for service, witness in zip(self.services, self.witnesses, strict=True):
            service.machine = witness
        for key, wanted in (spec or {}).items():
            self.change_spec(key, wanted)

    @contextmanager
    def open(self) -> Iterator["House"]:
        """Both services serve; at the end nothing of it runs any more."""
        for service in self.services:
            service.start()
        try:
            yield self
        finally:
            self.kill()
            for service in self.services:
                service.stop()

    def lift_limits(self) -> None:
        """No service slows anybody down, and syncd may use all that there is."""
        self.in_airtable("set_limits", base_per_second=None, user_per_second=None)
        self.in_bitbucket("hourly_limit", limit=1_000_000)
        self.change_spec("budget", '{ month = 100000000, share = "100%" }')
        text = self.spec_file.read_text(encoding="utf-8")
        assert "budget    = { hour = 1000, share" in text
        text = text.replace("budget    = { hour = 1000, share", "budget    = { hour = 1000000, share")
        self.spec_file.write_text(text, encoding="utf-8")

    # -------------------------------------------------------------------------------------------------- the process

    @property
    def environment(self) -> dict[str, str]:
        """As the stage's, with what the test gives the process beside (`variables`)."""
        return {**super().environment, **self.variables}

    def spawn(self, *before: str, command: Sequence[str] = ("run",)) -> subprocess.Popen[bytes]:
        """
        Start the daemon, or a command in its place, and do not wait for it.

        Args:
            before: words in front of the command line: a program that runs it in a certain way.
        """
        with (self.folder / "daemon.log").open("ab") as output:
            self._daemon = subprocess.Popen(
                [*before, sys.executable, "-m", "syncd", *command, "--config", str(self.config)],
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self._daemon

    def answers(self) -> bool:
        """Whether the daemon is there and says that it takes work."""
        return self.control.answers() and self.control.ready()[0]

    @property
    def pid(self) -> int:
        """The daemon's process."""
        assert self._daemon is not None
        return self._daemon.pid

    @property
    def exit_status(self) -> int | None:
        """How the daemon ended; None while it runs."""
        assert self._daemon is not None
        return self._daemon.poll()

    def hang_up(self) -> None:
        """SIGHUP."""
        os.kill(self.pid, signal.SIGHUP)

    @property
    def state(self) -> Path:
        """The state file."""
        return self.folder / "state" / "syncd.db"

    @property
    def spec_file(self) -> Path:
        """The spec."""
        return self.config / "syncd.toml"

    def change_spec(self, key: str, wanted: str) -> None:
        """Set the first line of a key."""
        text = self.spec_file.read_text(encoding="utf-8")
        self.spec_file.write_text(stages.replaced(text, key, wanted), encoding="utf-8")

    def change_line(self, start: str, wanted: str) -> None:
        """Put another line in the place of the one that begins so."""
        lines = self.spec_file.read_text(encoding="utf-8").splitlines(keepends=True)
        (place,) = [number for number, line in enumerate(lines) if line.startswith(start)]
        lines[place] = f"{wanted}\n"
        self.spec_file.write_text("".join(lines), encoding="utf-8")

    def log_lines(self, event: str = "") -> list[dict[str, Any]]:
        """What the daemon logged, of one event or all."""
        text = (self.folder / "daemon.log").read_text(encoding="utf-8")
        # A line without its end is being written at this moment.
        complete = [line for line in text.splitlines(keepends=True) if line.startswith("{") and line.endswith("\n")]
        return [json.loads(line) for line in complete if f'"event": "{event}"' in line or not event]

    def syncd(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a user does."""
        return subprocess.run(
            [sys.executable, "-m", "syncd", *arguments, "--config", str(self.config)],
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def told(self) -> str:
        """What the daemon and commands said beside log lines: errors, and tracebacks that nobody wants."""
        text = (self.folder / "daemon.log").read_text(encoding="utf-8")
        return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("{"))

    # ---------------------------------------------------------------------------------------------------- waiting

    def wait_for(self, condition: Callable[[], bool], what: str) -> float:
        """As the stage's, and fails at once, with the daemon's own words, when one of its threads raised."""

        def holds() -> bool:
            failed = self.log_lines("worker.failed")
            assert not failed, failed[0]["exception"]
            return condition()

        return super().wait_for(holds, what)

    def adopt(self) -> None:
        """Plan, accept, and wait until everything is carried out."""
        self.wait_for(lambda: not self._unaccepted(), "the plan is accepted")
        self.settle()

    def _unaccepted(self) -> bool:
        (plan,) = self.control.plan(stages.SYNC)["plans"]
        if any(record["pending"] for record in plan["records"]):
            return True
        self.control.apply(stages.SYNC, plan["digest"], [])
        return bool(self.control.status()["syncs"][stages.SYNC]["adoption"])

    def quiet(self) -> bool:
        """Whether nothing is on its way: no delivery, nothing stored that was not read, no dirty key."""
        for service, witness in zip(self.services, self.witnesses, strict=True):
            with service.lock:
                if witness.under_way or witness.next_due_at() is not None:
                    return False
        with closing(self._database()) as database:
            (waiting,) = database.execute("SELECT count(*) FROM inbox WHERE disposition IS NULL").fetchone()
            (dirty,) = database.execute("SELECT count(*) FROM dirty_record WHERE parked = 0").fetchone()
            (work,) = database.execute("SELECT count(*) FROM dirty_work").fetchone()
            (unclear,) = database.execute("SELECT count(*) FROM operation WHERE ended_at IS NULL").fetchone()
        return not (waiting or dirty or work or unclear) and self._payloads_read()

    def _payloads_read(self) -> bool:
        rows = self.rows("SELECT hook, cursor FROM endpoint WHERE provider = 'airtable' AND active = 1")
        cursors = {row["hook"]: row["cursor"] for row in rows}
        hooks = self.in_airtable("hooks")
        return all(
            not hook["payloadNumbers"] or max(hook["payloadNumbers"]) < cursors.get(hook["id"], 0) for hook in hooks
        )

    def settle(self, within_s: float = 60.0) -> None:
        """Wait until nothing is on its way."""
        deadline = time.perf_counter() + within_s
        while not self.quiet():
            failed = self.log_lines("worker.failed")
            assert not failed, failed[0]["exception"]
            assert time.perf_counter() < deadline, f"still on its way after {within_s:.0f} s: {self._on_its_way()}"
            Event().wait(0.1)

    def _on_its_way(self) -> list[tuple[Any, ...]]:
        tables = ("dirty_record", "dirty_work", "operation WHERE ended_at IS NULL")
        return [tuple(row) for table in tables for row in self.rows(f"SELECT * FROM {table}")]

    def never(self, condition: Callable[[], bool], seconds: float) -> None:
        """Look for so long whether something happens that must not."""
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            assert not condition()
            Event().wait(0.1)

    # ---------------------------------------------------------------------------------------------------- looking

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Rows of the state, read as somebody who may only look."""
        with closing(self._database()) as database:
            found: list[sqlite3.Row] = database.execute(sql, values).fetchall()
        return found

    def _database(self) -> sqlite3.Connection:
        database = sqlite3.connect(f"{self.state.as_uri()}?mode=ro", uri=True, timeout=10)
        database.row_factory = sqlite3.Row
        return database

    def writes(self) -> list[LogEntry]:
        """Every request of the daemon that was to change something, beside those about webhooks, oldest first."""
        found: list[LogEntry] = []
        for service, witness in zip(self.services, self.witnesses, strict=True):
            with service.lock:
                found += [entry for entry in witness.log if is_write(entry)]
        return sorted(found, key=lambda entry: entry.at)

    def calls(self, service: int) -> list[LogEntry]:
        """Every request of the daemon to Airtable (0) or Bitbucket (1), refused ones too."""
        with self.services[service].lock:
            return [entry for entry in self.witnesses[service].log if entry.method not in {"CONTROL", "TASK"}]

    def endpoint(self, provider: str, subject: str = "") -> str:
        """The id of an active endpoint."""
        rows = self.rows("SELECT id, subject FROM endpoint WHERE provider = ? AND active = 1 ORDER BY id", provider)
        return next(str(row["id"]) for row in rows if subject in {"", row["subject"]})

    def repository(self, slug: str) -> str:
        """A repository's uuid."""
        return str(self.in_bitbucket("repository", repository=slug)["uuid"])

    def pull_requests(self, record: str) -> list[dict[str, Any]]:
        """All pull requests whose title or branch names a record."""
        return [
            one
            for slug in ("web", "api")
            for one in self.in_bitbucket("pull_requests", repository=slug)
            if record in one["title"] or record in one["source_branch"]
        ]

    def branches(self, record: str) -> list[str]:
        """All branches that name a record."""
        return [
            name for slug in ("web", "api") for name in self.in_bitbucket("branches", repository=slug) if record in name
        ]

    def new_record(self, name: str, repository: str = "Web", status: str = "Ready") -> str:
        """A product manager adds a feature."""
        cells = {"Name": name, "Status": status, "Repo": repository, "Details": f"{name}, as discussed."}
        return str(self.in_airtable("create", table="Features", user="ada@acme.dev", cells=cells)["id"])

    def edit(self, record: str, **cells: Any) -> None:
        """A product manager edits cells; underscores stand for spaces."""
        named = {name.replace("_", " "): cell for name, cell in cells.items()}
        self.in_airtable("edit", record=record, cells=named, user="ada@acme.dev")

    # ------------------------------------------------------------------------------------------------- deliveries

    def post(
        self, endpoint: str, body: bytes, headers: Mapping[str, str], *, provider: str = "bitbucket"
    ) -> requests.Response:
        """Send something to the hooks listener."""
        with requests.Session() as session:
            session.trust_env = False
            return session.post(
                f"http://{self.hooks}/hooks/{provider}/{endpoint}", data=body, headers=dict(headers), timeout=15
            )

    def deliver(self, endpoint: str, body: bytes, event: str, request: str) -> int:
        """Send a well signed Bitbucket delivery; the status of the answer."""
        headers = {
            "Content-Type": "application/json",
            "X-Event-Key": event,
            "X-Request-UUID": request,
            "X-Hook-UUID": "00000000-0000-0000-0000-000000000001",
            "X-Attempt-Number": "1",
            "X-Hub-Signature": signed(body),
        }
        return self.post(endpoint, body, headers).status_code


def is_write(entry: LogEntry) -> bool:
    """Whether a log entry is a request of the daemon that was to change something beside webhooks."""
    return entry.method in CHANGING and not entry.path.endswith("/listRecords") and "hooks" not in entry.path


def signed(body: bytes, secret: str = worlds.HOOK_SECRET) -> str:
    """The value of `X-Hub-Signature` (reference/bitbucket.md 4)."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def final_cells(house: House, records: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The true cells of some records, without the run's id, which differs from run to run."""
    return {
        record: {name: cell for name, cell in house.cells(record).items() if name != RUN_COLUMN} for record in records
    }
