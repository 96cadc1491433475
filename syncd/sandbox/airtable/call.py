"""One request on its way through the machine: who asks, about which base, with which body."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncd.sandbox.airtable import refusal
from syncd.sandbox.airtable.action import Action
from syncd.sandbox.airtable.cells import hook_user
from syncd.sandbox.airtable.world import Base, Table, Token, World, may
from syncd.sandbox.wire import Change, Request


@dataclass(slots=True, kw_only=True)
class Call:
    """A request after routing and authentication. Handlers put what they changed into `changes`."""

    world: World
    request: Request
    now: datetime
    token: Token
    parts: tuple[str, ...]
    found: Base | None = None
    changes: list[Change] = field(default_factory=list)

    @property
    def base(self) -> Base:
        """The base of the path; 403 when it is unknown or not granted, which cannot be told apart."""
        base = self.found
        if base is None or not may(base, self.token.user, "read"):
            raise refusal.not_permitted_or_not_found()
        if self.token.bases is not None and base.id not in self.token.bases:
            raise refusal.not_permitted_or_not_found()
        return base

    def need(self, scope: str) -> None:
        """Refuse a token without that scope."""
        if scope not in self.token.scopes:
            raise refusal.not_permitted_or_not_found()

    def need_role(self, role: str) -> None:
        """Refuse a user below that role."""
        if not may(self.base, self.token.user, role):
            raise refusal.not_permitted()

    def table(self, key: str) -> Table:
        """A table by id or name."""
        table = self.base.find_table(key)
        if table is None:
            raise refusal.not_permitted_or_not_found()
        return table

    def query(self, name: str) -> str | None:
        """The last value of a query parameter."""
        return next((value for key, value in reversed(self.request.query) if key == name), None)

    def body(self, allowed: frozenset[str]) -> dict[str, Any]:
        """The JSON object of the body. Raises Refusal for no JSON, another shape or an unknown key."""
        try:
            value = json.loads(self.request.body, parse_constant=_no_constant) if self.request.body else {}
        except (ValueError, RecursionError):
            raise refusal.bad_body() from None
        if not isinstance(value, dict) or not allowed.issuperset(value):
            raise refusal.bad_request()
        return value

    def action(self) -> Action:
        """An empty action of this caller through the API."""
        user = self.token.user
        return Action(
            world=self.world,
            base=self.base,
            source="publicApi",
            user_id=user.id,
            now=self.now,
            metadata={"user": hook_user(self.world, self.base, user.id)},
        )


def _no_constant(text: str) -> Any:
    """NaN and Infinity are no JSON."""
    raise ValueError(text)
