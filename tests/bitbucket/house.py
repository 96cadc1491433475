"""The real client over real HTTP against the emulated service, with a gate and a clock of the tests."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from syncd import ports
from syncd.bitbucket import side as bitbucket_side
from syncd.bitbucket.client import Credential
from syncd.model.schema import Repository
from syncd.sandbox.bitbucket.machine import BitbucketMachine
from syncd.sandbox.choices import Choices
from syncd.sandbox.fault import Fault, FaultKind, FaultyMachine
from syncd.sandbox.server import SandboxServer
from syncd.sandbox.wire import Request, Response
from tests.sandbox import description

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


class StillClock:
    """A clock that stands unless it is moved; implements `ports.Clock`."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return (self.at - START).total_seconds()

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class OpenGate:
    """Lets everything pass and counts; implements `ports.Gate`."""

    def __init__(self) -> None:
        self.reads = 0
        self.changes = 0
        self.codes: list[str] = []

    def charge(self, *, changing: bool) -> None:
        self.changes += changing
        self.reads += not changing

    def observe(self, status: int, headers: Mapping[str, str], code: str) -> datetime | None:
        del headers
        if status >= 400:
            self.codes.append(code)
        return None


class Watched(BitbucketMachine):
    """The emulated service, remembering every request as it was sent."""

    def __init__(self, choices: Choices) -> None:
        super().__init__(choices=choices)
        self.requests: list[Request] = []
        self.before: dict[str, Callable[[], object]] = {}
        """By method: what somebody does in the very moment before the next such request arrives."""

    def handle(self, request: Request, now: datetime) -> Response:
        self.requests.append(request)
        self.before.pop(request.method, lambda: None)()
        return super().handle(request, now)


class House:
    """One workspace `acme` with a repository `web`, three people and a bot, and the side that is tested."""

    def __init__(self, choices: Choices) -> None:
        self.clock = StillClock()
        self.gate = OpenGate()
        self.machine = Watched(choices)
        self.faults = FaultyMachine(self.machine, "bitbucket")
        self.server = SandboxServer(self.faults, "127.0.0.1", 0, self.clock.now)
        self.do("add_workspace", slug="acme")
        self.people = {name: self.do("add_user", nickname=name)["uuid"] for name in ("ada", "ben", "cleo")}
        self.token: str = self.do("add_token", name="sync-bot")["token"]
        self.repository = self.add_repository("Web")
        self.side = self.open_side(self.token)

    def open_side(self, token: str, user: str = "", url: str = "") -> bitbucket_side.BitbucketSide:
        side = bitbucket_side.open_side(
            base_url=url or f"{self.server.url}/2.0",
            workspace="acme",
            credential=Credential(token=token, user=user),
            gate=self.gate,
            clock=self.clock,
            user_agent="syncd/tests",
        )
        checked: ports.ChangeLog = side
        assert checked is side
        return side

    def do(self, verb: str, **arguments: Any) -> Any:
        """A person's act, a minute after whatever was before it."""
        self.clock.at += timedelta(minutes=1)
        return self.machine.control(verb, arguments, self.clock.at)

    def add_repository(self, name: str, **arguments: Any) -> Repository:
        made = self.do("add_repository", name=name, **arguments)
        return Repository(id=made["uuid"], workspace="acme", slug=made["slug"], name=name, main_branch=made["main"])

    def pull_request(self, source: str = "feature/x", **arguments: Any) -> dict[str, Any]:
        """A branch with one commit, and a pull request from it."""
        self.do("push", repository="web", branch=source)
        found: dict[str, Any] = self.do("create_pull_request", repository="web", source=source, **arguments)
        return found

    def arm(self, kind: FaultKind, **where: Any) -> None:
        self.faults.arm(Fault(kind=kind, **where))

    @property
    def sent(self) -> list[str]:
        """Every request as `METHOD path`, the repository's address cut off and the rest decoded."""
        home = f"/2.0/repositories/acme/{self.repository.id}"
        return [f"{one.method} {unquote(one.path).removeprefix(home)}" for one in self.machine.requests]

    def bodies(self, method: str) -> list[dict[str, Any]]:
        """The bodies that were sent with a method."""
        return [json.loads(one.body) for one in self.machine.requests if one.method == method]

    def validate_bodies(self) -> None:
        """Every body that was sent fits the official description."""
        for one in self.machine.requests:
            if one.body:
                description.validate_request(one.method, unquote(one.path), json.loads(one.body))


@contextmanager
def a_house(choices: Choices | None = None) -> Iterator[House]:
    """The house while its service answers; afterwards every body that was sent is held against the description."""
    house = House(choices or Choices())
    with house.server:
        yield house
    house.validate_bodies()
