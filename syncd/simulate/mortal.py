"""
The ports of one simulated process: time that moves when somebody waits, seeded ids, a state and connections that die with it.

A death is a switch on all ports, not an exception alone: from then on nothing the process does has any effect, so that no
`finally` and no context manager writes after its end (reliability.md "Crash").
"""

import random
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from syncd import ports, wiring
from syncd.model.change import Side
from syncd.model.ids import EndpointId, OperationId, RunId, SyncName
from syncd.sandbox.fault import FaultyMachine
from syncd.sandbox.wire import LogEntry, Request, Response
from syncd.simulate.scenario import Death, StoreTrouble
from syncd.store import sqlite
from syncd.store.columns import Connection, sqlite3

# What changes the state; the rest only reads it.
_COMMITS = ("save_", "commit", "mark_", "claim_", "release_", "take_", "delete_", "purge", "free_")
_STORE_CODES = {
    "ST01": (13, "database or disk is full"),
    "ST02": (10, "disk I/O error"),
    "ST04": (5, "database is locked"),
}
_COMMIT_FAILS = (1034, "disk I/O error")


# Many times what the busiest scenario needs (about 3,000).
POINTS_MAX = 30_000


class Crash(BaseException):
    """The process ends here, as by SIGKILL. No `except Exception` holds it up."""


class Spins(BaseException):
    """The process is busy without end: so many port calls, and it has not come to rest. No `except Exception` hides it."""


class SimClock:
    """Two clocks: `moment` is the world's time and never jumps; the process's wall clock is off by `skew`."""

    def __init__(self, at: datetime) -> None:
        self.begun_at = at
        self.moment = at
        self.skew = timedelta(0)

    def now(self) -> datetime:
        """What the process takes for the time."""
        return self.moment + self.skew

    def world(self) -> datetime:
        """The true time."""
        return self.moment

    def monotonic_s(self) -> float:
        """Seconds since the start; they never jump."""
        return (self.moment - self.begun_at).total_seconds()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.moment += timedelta(seconds=seconds)


class SeededIds:
    """Ids from a seed."""

    def __init__(self, clock: SimClock, seed: int) -> None:
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


class MemorySwitch:
    """The kill switch without files; it outlives every process, as files do."""

    def __init__(self) -> None:
        self._scopes: dict[str, str] = {}

    def paused(self, sync: SyncName | None, side: Side | None) -> str:
        """As `ports.Switch`."""
        if not self._scopes:
            return ""
        asked = ["all", *([f"sync.{sync}"] if sync else []), *([f"to-{side.value}"] if side else [])]
        return next((self._scopes[one] for one in asked if one in self._scopes), "")

    def pause(self, scope: str, reason: str) -> None:
        """As `ports.Switch`."""
        self._scopes[scope] = reason or "no reason given"

    def resume(self, scope: str) -> bool:
        """As `ports.Switch`."""
        return self._scopes.pop(scope, None) is not None

    def scopes(self) -> Mapping[str, str]:
        """As `ports.Switch`."""
        return dict(sorted(self._scopes.items()))


class MemoryWitness:
    """
    What stands beside the state file: it outlives every process, and no restored backup brings it back.

    Attributes:
        fate: of the present process.
    """

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.fate: Fate

    def read(self) -> str | None:
        """As `ports.Witness`."""
        return self.text

    def write(self, text: str) -> None:
        """As `ports.Witness`."""
        self.fate.point("witness", "write", "before")
        self.text = text
        self.fate.point("witness", "write", "after")


class Fate:
    """
    Every port call passes here, before and after: the places where the process may die, and the trace of its life.

    Args:
        deaths: each strikes once.
        at: also die at the point of this number, from 1 (the exhaustive mode).
    """

    def __init__(self, deaths: Sequence[Death], at: int = 0) -> None:
        self.passed = 0
        self.dead = False
        self.died: list[str] = []
        self.requests = 0
        self._left: list[list[Any]] = [[death, death.after] for death in deaths]
        self._at = at
        self._trace = 0

    def point(self, port: str, what: str, when: str) -> None:
        """Raises Crash when the process is dead, or dies here."""
        if self.dead:
            raise Crash
        self.passed += 1
        if self.passed > POINTS_MAX:
            raise Spins(f"{self.passed} port calls, the last one {port}: {what}")
        dies = self.passed == self._at
        for one in self._left:
            death: Death = one[0]
            if death.port == port and death.when == when and what.startswith(death.what):
                if one[1] == 0:
                    dies = True
                one[1] -= 1
        if dies:
            self._left = [one for one in self._left if one[1] >= 0]
            self.dead = True
            self.died.append(f"{when} {port}: {what}")
            raise Crash

    def note(self, *parts: Any) -> None:
        """One more line of the trace."""
        self._trace = zlib.crc32("\x1f".join(map(str, parts)).encode("utf-8", "backslashreplace"), self._trace)

    @property
    def trace(self) -> str:
        """The same for the same scenario, in every process."""
        return f"{self.passed}-{self._trace:08x}"


class MortalStore:
    """A state that dies with its process. Reads are no points of death: nothing was done since the last one."""

    def __init__(
        self, inner: sqlite.SqliteStore, fate: Fate, clock: SimClock, written: Callable[[str], object]
    ) -> None:
        self._inner = inner
        self._fate = fate
        for name in dir(ports.Store):
            if name.startswith("_") or name == "failed":
                continue
            found = getattr(inner, name)
            setattr(
                self,
                name,
                self._mortal(name, found, clock, written) if name.startswith(_COMMITS) else self._living(found),
            )

    @property
    def failed(self) -> str:
        """As `ports.Store`."""
        return self._inner.failed

    def _living(self, found: Callable[..., Any]) -> Callable[..., Any]:
        fate = self._fate

        def called(*positional: Any, **named: Any) -> Any:
            if fate.dead:
                raise Crash
            return found(*positional, **named)

        return called

    def _mortal(
        self, name: str, found: Callable[..., Any], clock: SimClock, written: Callable[[str], object]
    ) -> Callable[..., Any]:
        fate = self._fate

        def called(*positional: Any, **named: Any) -> Any:
            fate.point("store", name, "before")
            answer = found(*positional, **named)
            fate.note("store", name, clock.moment)
            written(name)
            fate.point("store", name, "after")
            return answer

        return called


class MortalLine:
    """
    The line to one service: it dies with its process, takes its time, and the world may move while a request is under way.

    A machine itself, so that either cut can sit on it: the `requests` adapter, or the clients that leave HTTP out.

    Args:
        under_way: told (service, method, path, body) when a request has left and before it arrives; may raise what a network raises.
        answered: told (service, method, path, body, answer) when it was answered.
    """

    def __init__(
        self,
        machine: FaultyMachine,
        clock: SimClock,
        fate: Fate,
        latency: timedelta,
        under_way: Callable[[str, str, str, bytes], object],
        answered: Callable[[str, str, str, bytes, Response], object],
    ) -> None:
        self.log: list[LogEntry] = machine.log
        self._machine = machine
        self._service = machine.service
        self._clock = clock
        self._fate = fate
        self._latency = latency
        self._under_way = under_way
        self._answered = answered

    def handle(self, request: Request, now: datetime) -> Response:  # noqa: ARG002 - it arrives later than it left
        """Ask the machine while the process lives."""
        service, method, path, fate = self._service, request.method, request.path, self._fate
        fate.point(service, method, "before")
        fate.requests += 1
        self._under_way(service, method, path, request.body)
        self._clock.moment += self._latency
        response = self._machine.handle(request, self._clock.moment)
        self._answered(service, method, path, request.body, response)
        fate.note(service, method, path, request.query, request.body, response.status, self._clock.moment)
        self._clock.moment += self._latency
        fate.point(service, method, "after")
        return response


def no_connection(kind: str) -> requests.RequestException:
    """What `requests` raises when nothing was sent: no name, no route, or a certificate that is not believed."""
    if kind == "tls":
        return requests.exceptions.SSLError("certificate verify failed: certificate has expired")
    if kind == "dns":
        refused = NewConnectionError(None, "Failed to resolve the name")  # type: ignore[arg-type]  # there is no pool
        return requests.exceptions.ConnectionError(refused)
    return requests.exceptions.ConnectTimeout("Connection timed out")


class Disk:
    """
    Opens the state, and lets chosen statements fail.

    Args:
        troubles: each is counted from its start.

    `failed_at` are the moments at which a commit or a read failed for good: after one of them nobody knows what is on the
    disk. `full` are the spans from a commit for which there was no space to the next that went through. `struck_at`
    are all of them, whatever came of it.
    """

    def __init__(self, troubles: Sequence[StoreTrouble], clock: SimClock) -> None:
        self._clock = clock
        self.failed_at: list[datetime] = []
        self.full: list[tuple[datetime, datetime | None]] = []
        self.struck_at: list[datetime] = []
        self._left: list[list[Any]] = [[one, one.after, one.count] for one in troubles]
        self.hits: Counter[str] = Counter()
        self.healed = False
        self.opening = False

    def connect(self, target: str) -> Connection:
        """As `database.connect`."""
        opened: _Watched = sqlite3.connect(target, isolation_level=None, check_same_thread=False, factory=_Watched)
        opened.before = self._before
        return opened

    def _before(self, sql: str) -> None:
        if self.healed or self.opening:
            if self.healed and self._is_full():
                self.full[-1] = (self.full[-1][0], self._clock.moment)
            # What a file that cannot be opened does is proved with real files (tests/store).
            return
        for one in self._left:
            trouble: StoreTrouble = one[0]
            if not sql.lstrip().startswith(trouble.statement) or one[2] <= 0:
                continue
            if one[1] > 0:
                one[1] -= 1
                continue
            one[2] -= 1
            self.hits[trouble.fault] += 1
            self.struck_at.append(self._clock.moment)
            commits = sql.lstrip().startswith("COMMIT")
            if trouble.fault in ("ST02", "ST03"):
                self.failed_at.append(self._clock.moment)
            elif trouble.fault == "ST01" and commits and not self._is_full():
                self.full.append((self._clock.moment, None))
            code, text = _STORE_CODES.get(trouble.fault, _COMMIT_FAILS)
            error = sqlite3.OperationalError(text)
            error.sqlite_errorcode = code
            raise error
        if sql.lstrip().startswith("COMMIT") and self._is_full():
            self.full[-1] = (self.full[-1][0], self._clock.moment)

    def _is_full(self) -> bool:
        return bool(self.full) and self.full[-1][1] is None


class _Watched(sqlite3.Connection):
    before: Callable[[str], None]

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if "before" in self.__dict__:
            self.before(sql)
        return super().execute(sql, *parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        if "before" in self.__dict__:
            self.before(sql)
        return super().executemany(sql, parameters)
