"""One API request being answered: who asks, for what, and the helpers that every resource needs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from syncd.sandbox.bitbucket import paging, partial
from syncd.sandbox.bitbucket.act import Act
from syncd.sandbox.bitbucket.errors import ApiError, forbidden, missing, unauthorised
from syncd.sandbox.bitbucket.query import Getters
from syncd.sandbox.bitbucket.render import Json, Renderer
from syncd.sandbox.bitbucket.world import PullRequest, Repository, Token, Workspace, World

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer before it is bytes; a body of None is empty."""

    status: int = 200
    body: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Call:
    """
    A request with its caller.

    `url` is the absolute address without query; `token` is None for an anonymous caller, for whom `act.actor` is a nobody.
    """

    act: Act
    to: Renderer
    method: str
    url: str
    query: Sequence[tuple[str, str]]
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    token: Token | None

    @property
    def world(self) -> World:
        """The state that is asked about."""
        return self.act.world

    @property
    def now(self) -> datetime:
        """The instant of the request."""
        return self.act.now

    def values(self, name: str) -> list[str]:
        """All values of a repeatable parameter."""
        return [value for key, value in self.query if key == name]

    def json(self) -> Json:
        """The body as a JSON object; 400 when it is none. An empty body is an empty object."""
        if not self.raw.strip():
            return {}
        try:
            found = json.loads(self.raw)
        except ValueError:
            raise ApiError(400, "Bad request") from None
        if not isinstance(found, dict):
            raise ApiError(400, "Bad request")
        return found

    def form(self) -> list[tuple[str, str]]:
        """The body as form fields."""
        return parse_qsl(self.raw.decode("utf-8", "replace"), keep_blank_values=True)

    def workspace(self, name: str) -> Workspace:
        """The workspace named in the path, if the caller belongs to it; 404 otherwise."""
        found = self.world.find_workspace(name)
        if self.token is None:
            raise unauthorised()
        if found is None or not self.belongs(found):
            raise missing(f"No workspace with identifier '{name}'.")
        return found

    def belongs(self, workspace: Workspace) -> bool:
        """Whether the caller is a member, or an access token, of a workspace."""
        if self.token is None:
            return False
        if self.token.kind == "access":
            return self.token.workspace == workspace.uuid
        return self.token.user.uuid in workspace.members

    def repository(self, workspace: str, name: str) -> Repository:
        """The repository named in the path; 404 when it is missing or invisible, 401 when it is private and nobody asks."""
        found = self.world.find_repository(workspace, name)
        reading = self.method == "GET"
        if found is not None and not (reading and not found.is_private):
            if self.token is None:
                raise unauthorised()
            if not self.belongs(found.workspace) or self.token.repository not in (None, found.uuid):
                if not found.is_private:
                    raise forbidden()
                found = None
        if found is None:
            raise ApiError(404, f"Repository {workspace}/{name} not found")
        return found

    def require_admin(self, workspace: Workspace) -> None:
        """403 unless the caller administers the workspace's repositories; an access token's scope is enough."""
        if self.token is None:
            raise unauthorised()
        if self.token.kind != "access" and workspace.members.get(self.token.user.uuid) != "owner":
            raise forbidden()

    def pull_request(self, repository: Repository, number: str) -> PullRequest:
        """The pull request named in the path, or 404."""
        found = repository.pull_requests.get(int(number)) if number.isdigit() else None
        if found is None:
            raise missing(f"Pull request {number} not found")
        return found

    def visible(self, things: Sequence[Thing]) -> list[Thing]:
        """What lists already show; a list may lag behind a create (reference/bitbucket.md 15)."""
        return [one for one in things if getattr(one, "visible_at", self.now) <= self.now]

    def page(
        self,
        things: Sequence[Thing],
        narrow: Callable[[Thing], Json],
        *,
        getters: Getters | None = None,
        wide: Callable[[Thing], Json] | None = None,
        limit: int = 100,
        with_next: bool = True,
    ) -> Reply:
        """A numbered page of what the caller's `q` and `sort` choose among the visible objects."""
        found = paging.chosen(self.visible(things), self.parameters, getters)
        return Reply(
            body=paging.numbered(found, self.url, self.query, narrow, wide=wide, limit=limit, with_next=with_next)
        )

    def single(
        self, thing: Thing, narrow: Callable[[Thing], Json], wide: Callable[[Thing], Json] | None = None
    ) -> Reply:
        """One object, as far as `fields` asks for it."""
        fields = self.parameters.get("fields", "")
        body = narrow(thing)
        if fields:
            more = wide(thing) if wide is not None and partial.wants_more(fields) else body
            body = partial.select(body, more, fields)
        return Reply(body=body)


def flag(body: Mapping[str, Any], name: str, default: bool) -> bool:
    """A boolean of a request body; null counts as absent, anything else is a 400."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ApiError(400, f"{name}: expected a boolean", fields={name: ["expected a boolean"]})
    return value


def text(body: Mapping[str, Any], name: str) -> str | None:
    """A string of a request body; null counts as absent, anything else is a 400."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise ApiError(400, f"{name}: expected a string", fields={name: ["expected a string"]})
    return value


def inner(body: Mapping[str, Any], *path: str) -> Any:
    """A nested value of a request body, or None."""
    found: Any = body
    for key in path:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found
