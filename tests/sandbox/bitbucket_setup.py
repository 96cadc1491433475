"""A small emulated company for the Bitbucket tests: workspace `acme`, people, one repository, and a caller that checks every answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from syncd.sandbox.bitbucket.machine import BitbucketMachine
from syncd.sandbox.choices import Choices
from syncd.sandbox.wire import Delivery, Request, Response
from tests.sandbox import description

START = datetime(2026, 11, 2, 9, 0, 0, 123456, tzinfo=UTC)
HOST = "127.0.0.1:9002"
WEB = "/2.0/repositories/acme/web"
ALL_EVENTS = (
    "repo:push",
    "repo:fork",
    "repo:updated",
    "repo:commit_status_created",
    "repo:commit_status_updated",
    "pullrequest:created",
    "pullrequest:updated",
    "pullrequest:approved",
    "pullrequest:unapproved",
    "pullrequest:changes_request_created",
    "pullrequest:changes_request_removed",
    "pullrequest:fulfilled",
    "pullrequest:rejected",
    "pullrequest:comment_created",
    "pullrequest:comment_updated",
    "pullrequest:comment_deleted",
    "pullrequest:comment_resolved",
    "pullrequest:comment_reopened",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A parsed answer."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def message(self) -> str:
        """The message of an error, of whichever shape."""
        return str(self.body.get("error", self.body)["message"])


class Company:
    """
    The machine with ada (owner), bob and cy (members), the repository `web`, an access token and a hook for all events.

    Every JSON answer is held against the official description; `deviations` gathers what was needed.
    """

    def __init__(self, choices: Choices | None = None, *, seed: int = 7, hook: bool = True, **more: Any) -> None:
        self.machine = BitbucketMachine(seed, choices, **more)
        self.now = START
        self.deviations: set[description.Deviation] = set()
        self.control("add_workspace", slug="acme", name="Acme")
        self.people = {name: self.control("add_user", nickname=name) for name in ("ada", "bob", "cy")}
        self.control("add_repository", name="Web", user="ada")
        self.token = str(self.control("add_token", name="sync-bot", secret="s3cret-token")["token"])
        if hook:
            self.control(
                "add_hook", repository="web", url="http://127.0.0.1:1/hooks/x", events=ALL_EVENTS, secret="hush"
            )
        self.drain()

    def uuid(self, name: str) -> str:
        """The uuid of a person."""
        return str(self.people[name]["uuid"])

    def later(self, seconds: float = 1.0) -> datetime:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self.now

    def control(self, verb: str, **arguments: Any) -> Any:
        """One act of a person."""
        return self.machine.control(verb, arguments, self.now)

    def raw(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        query: tuple[tuple[str, str], ...] = (),
        token: str | None = None,
    ) -> Response:
        """One request as bytes; `token` "" sends none."""
        secret = self.token if token is None else token
        given = {"host": HOST, **({"authorization": f"Bearer {secret}"} if secret else {}), **(headers or {})}
        return self.machine.handle(Request(method=method, path=path, query=query, headers=given, body=body), self.now)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: tuple[tuple[str, str], ...] = (),
        **parameters: Any,
    ) -> Answer:
        """One JSON request; the answer is held against the description unless `fields` picks parts of it."""
        encoded = b"" if body is None else json.dumps(body).encode()
        pairs = (*query, *parameters.items())
        answer = self.raw(method, path, encoded, headers=headers, query=pairs, token=token)
        if not answer.headers.get("content-type", "").startswith("application/json"):
            return Answer(status=answer.status, body=answer.body.decode() or None, headers=answer.headers)
        parsed = json.loads(answer.body)
        if description.present() and all(part.startswith("-") for part in parameters.get("fields", "-").split(",")):
            self.deviations |= description.validate_response(method, path, answer.status, parsed)
        return Answer(status=answer.status, body=parsed, headers=answer.headers)

    def get(self, path: str, **parameters: Any) -> Any:
        """The body of a successful GET below the repository."""
        answer = self.call("GET", WEB + path, **parameters)
        assert answer.status == 200, answer.body
        return answer.body

    def drain(self) -> tuple[Delivery, ...]:
        """Take and acknowledge what is due."""
        found = self.machine.due(self.now)
        for one in found:
            self.machine.delivered(one, 200, self.now)
        return found

    def events(self) -> list[str]:
        """The event keys of what is due, taken."""
        return [one.headers["X-Event-Key"] for one in self.drain()]

    def work(self, branch: str = "feature/rec1", **more: Any) -> dict[str, Any]:
        """A pushed branch with an open pull request by bob, reviewed by cy."""
        self.control("push", repository="web", branch=branch, user="bob", commits=2)
        self.later()
        arguments = {"title": "Add the thing", "description": "Because.", "reviewers": ["cy"], **more}
        made: dict[str, Any] = self.control(
            "create_pull_request", repository="web", source=branch, user="bob", **arguments
        )
        self.later()
        self.drain()
        return made
