"""One control call on its way: its arguments, resolved, and what it changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncd.sandbox.airtable import payload
from syncd.sandbox.airtable.action import Action
from syncd.sandbox.airtable.cells import Draft, hook_user
from syncd.sandbox.airtable.world import Base, Field, Hook, Record, Table, User, World
from syncd.sandbox.wire import Change


@dataclass(slots=True, kw_only=True)
class Act:
    """A control call. Names and ids are both accepted; a base may be left out while there is only one."""

    world: World
    arguments: Mapping[str, Any]
    now: datetime
    actor: str = "operator"
    changes: list[Change] = field(default_factory=list)

    def base(self) -> Base:
        """The base `base`, by id or name. Raises KeyError."""
        key = self.arguments.get("base")
        if key is None and len(self.world.bases) == 1:
            return next(iter(self.world.bases.values()))
        for base in self.world.bases.values():
            if key in (base.id, base.name):
                return base
        raise KeyError(f"base {key!r}")

    def table(self) -> Table:
        """The table `table`, by id or name. Raises KeyError."""
        table = self.base().find_table(self.arguments["table"])
        if table is None:
            raise KeyError(f"table {self.arguments['table']!r}")
        return table

    def field(self) -> tuple[Table, Field]:
        """The field `field`, by id, or by name with `table`. Raises KeyError."""
        key = self.arguments["field"]
        tables = [self.table()] if "table" in self.arguments else list(self.base().tables.values())
        for table in tables:
            found = table.find_field(key)
            if found is not None:
                return table, found
        raise KeyError(f"field {key!r}")

    def record(self, record_id: str | None = None) -> Record:
        """A living row. Raises KeyError."""
        wanted = self.arguments["record"] if record_id is None else record_id
        record = self.base().records.get(wanted)
        if record is None:
            raise KeyError(f"record {wanted!r}")
        return record

    def hook(self) -> Hook:
        """The hook `hook`, or the only one. Raises KeyError."""
        hooks = self.base().hooks
        key = self.arguments.get("hook")
        if key is None and len(hooks) == 1:
            return next(iter(hooks.values()))
        if key not in hooks:
            raise KeyError(f"hook {key!r}")
        return hooks[key]

    def user(self) -> User:
        """The person `user`, by id, e-mail or name; else the first with a role in the base. Raises KeyError."""
        key = self.arguments.get("user")
        for user in self.world.users.values():
            if key in (user.id, user.email, user.name):
                return user
        if key is None:
            return self.world.users[next(iter(self.base().roles))]
        raise KeyError(f"user {key!r}")

    def action(self) -> Action:
        """
        An empty action from `source` (default `client`): by a person, or by `automation` (an id) when source says so.

        The form of `sourceMetadata` is that of reference/airtable.md 5.7.
        """
        base = self.base()
        source = self.arguments.get("source", "client")
        metadata: dict[str, Any] | None = None
        user_id = ""
        if source in {"client", "publicApi"}:
            user_id = self.user().id
            metadata = {"user": hook_user(self.world, base, user_id)}
        elif source == "automation":
            metadata = {"automationId": self.arguments.get("automation", "wfl00000000000000")}
        elif source == "formSubmission":
            metadata = {"viewId": self.arguments["view"]}
        elif source == "formPageSubmission":
            metadata = {"pageId": self.arguments["page"]}
        self.actor = user_id or source
        return Action(world=self.world, base=base, source=source, user_id=user_id, now=self.now, metadata=metadata)

    def draft(self) -> Draft:
        """What the values of this call are read with; a person's client makes no choice by mistake."""
        return Draft(world=self.world, base=self.base(), user=self.user(), now=self.now, typecast=False, choices=[])

    def finish(self, action: Action) -> None:
        """Commit and tell the hooks."""
        self.changes.extend(payload.finish(action))
