"""
A world that fits a spec: its bases and tables, the repositories of its sources, people, records in different states of work,
and things that syncd must never touch.
"""

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncd import errors
from syncd.sandbox.fault import FaultyMachine
from syncd.sandbox.wire import LogEntry
from syncd.simulate import table
from syncd.spec import load, schema

PEOPLE = ("ada", "grace", "linus")
PEOPLE_AT = "@acme.dev"
"""Ends every address in Airtable."""
CANARY = "CANARY-9f1c7b"
"""Stands in cells that no rule names, in tokens and in secrets: it must turn up nowhere else."""
STRANGERS = "Nobody's table"
PRIVATE = table.PRIVATE
STRANGE_BRANCH = "chore/strangers"
_ROLES = {"syncd@acme.dev": "create", "ada@acme.dev": "owner", "grace@acme.dev": "edit", "linus@acme.dev": "edit"}


@dataclass(slots=True, kw_only=True)
class World:
    """
    Both services, and the names by which scenarios speak of what is in them.

    Args:
        records: ids per sync, in the order they were made; people's new records come behind.
        pull_requests: (repository, number) in the order they were made, of the world and of people.
        repositories: each as `workspace/slug`.
        tables: ids by sync.
    """

    airtable: FaultyMachine
    bitbucket: FaultyMachine
    at: datetime
    records: dict[str, list[str]] = field(default_factory=dict)
    pull_requests: list[tuple[str, int]] = field(default_factory=list)
    repositories: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)

    def image(self) -> "Image":
        """All of it, to be copied at once."""
        told: list[LogEntry] = []
        made = io.BytesIO()
        _Pickler(made, told).dump(self)
        return Image(bytes=made.getvalue(), told=tuple(told))


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """
    A world as it was.

    Args:
        bytes: all that may change from now on.
        told: entries of the logs, which never change: every copy has the same ones.
    """

    bytes: bytes
    told: tuple[LogEntry, ...]

    def world(self) -> World:
        """A copy of the world."""
        found: World = _Unpickler(io.BytesIO(self.bytes), self.told).load()
        return found


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, told: list[LogEntry]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._told = told

    def persistent_id(self, one: Any) -> int | None:
        if not isinstance(one, LogEntry):
            return None
        self._told.append(one)
        return len(self._told) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, told: Sequence[LogEntry]) -> None:
        super().__init__(file)
        self._told = told

    def persistent_load(self, number: int) -> LogEntry:
        return self._told[number]


def secret_of(kind: str, name: str) -> str:
    """The secret that stands at one place of the spec, in every simulated world."""
    return f"{CANARY}-{kind}-{name}"


def fill(world: World, spec: load.Spec) -> None:
    """
    Put everything into two empty machines.

    Raises:
        UsageError: no world fits the spec.
    """
    now = world.at
    for person in (*PEOPLE, "syncd"):
        world.airtable.control("add_user", {"name": person.title(), "email": f"{person}@acme.dev"}, now)
    for token in tokens(spec)["airtable"]:
        world.airtable.control("add_token", {"user": "syncd@acme.dev", "token": token}, now)
    # Two connections may name one base, and two syncs one table.
    bases = {connection.base: name for name, connection in reversed(spec.file.airtable.items())}
    for base, name in bases.items():
        _base(world, spec, base, name)
    _accounts(world, spec)
    for connection in spec.file.bitbucket.values():
        _repositories(world, spec, connection)
    for key, sync in spec.file.sync.items():
        _work(world, spec, key, sync)


# ------------------------------------------------------------------------------------------------------- Airtable


def _base(world: World, spec: load.Spec, base: str, name: str) -> None:
    by_table: dict[str, dict[str, schema.Sync]] = {}
    for key, sync in spec.file.sync.items():
        if spec.file.airtable[sync.airtable.base].base == base:
            by_table.setdefault(sync.airtable.table, {})[key] = sync
    described = [table.describe(spec, syncs, CANARY) for syncs in by_table.values()]
    tables = [*(one.shape for one in described), _strangers()]
    made = world.airtable.control("add_base", {"id": base, "name": name, "tables": tables, "roles": _ROLES}, world.at)
    for one in described:
        there = made["tables"][one.shape["name"]]
        for key, rows in one.rows.items():
            world.records[key] = [there["records"][row] for row in rows]
            world.tables[key] = there["id"]


def _strangers() -> dict[str, Any]:
    return {
        "name": STRANGERS,
        "fields": [{"name": "Name", "type": "singleLineText"}, {"name": "Text", "type": "multilineText"}],
        "records": [{"fields": {"Name": f"Not ours {number}", "Text": f"{CANARY} stranger"}} for number in range(3)],
    }


# ------------------------------------------------------------------------------------------------------ Bitbucket


def slugs_of(spec: load.Spec, bitbucket: schema.Bitbucket) -> list[str]:
    """The repositories that the sources name, and those into which new work goes."""
    found = [slug for source in bitbucket.sources for slug in source.repositories if slug != "*"]
    for sync in spec.file.sync.values():
        if sync.create_in is not None and spec.file.bitbucket[sync.bitbucket] is bitbucket:
            found += sync.create_in.map.values()
    return list(dict.fromkeys(found)) or ["web", "api"]


def repositories_of(spec: load.Spec, sync: str) -> list[str]:
    """The same of a sync's connection, each as `workspace/slug`."""
    bitbucket = spec.file.bitbucket[spec.file.sync[sync].bitbucket]
    return [f"{bitbucket.workspace}/{slug}" for slug in slugs_of(spec, bitbucket)]


def _accounts(world: World, spec: load.Spec) -> None:
    """Workspaces, people and syncd's own accounts, one for each token."""

    def act(verb: str, **arguments: Any) -> Any:
        return world.bitbucket.control(verb, arguments, world.at)

    connections = spec.file.bitbucket.values()
    spaces = list(dict.fromkeys(one.workspace for one in connections))
    for workspace in spaces:
        act("add_workspace", slug=workspace)
        for person in PEOPLE:
            act("add_user", nickname=person, display_name=person.title(), workspace=workspace)
    reach: dict[str, str] = {}
    for name, one in spec.file.bitbucket.items():
        token = secret_of(*one.token)
        known = reach.setdefault(token, one.workspace)
        if known != one.workspace and one.user is None:
            raise errors.UsageError(
                f"bitbucket.{name}: an access token reaches one workspace, and this one is that of {known} already",
                next_step=f"give [bitbucket.{name}] a place of its own for its token, or an API token with `user`",
            )
        machine = world.bitbucket.inner.world  # type: ignore[attr-defined]  # no verb lets an account into a workspace
        if one.user and token in machine.tokens:
            machine.find_workspace(one.workspace).members[machine.tokens[token].user.uuid] = "owner"
        elif one.user:
            # An owner: only they may keep webhooks (reference/bitbucket.md 9).
            arguments = {"nickname": "syncd", "display_name": "Syncd", "email": one.user, "role": "owner"}
            account = act("add_user", **arguments, workspace=one.workspace)
            act("add_token", kind="api", secret=token, user=account["uuid"])
        else:
            act("add_token", kind="access", secret=token, name="syncd", workspace=one.workspace)


def _repositories(world: World, spec: load.Spec, bitbucket: schema.Bitbucket) -> None:
    def act(verb: str, **arguments: Any) -> Any:
        return world.bitbucket.control(verb, arguments, world.at)

    for slug in slugs_of(spec, bitbucket):
        full = f"{bitbucket.workspace}/{slug}"
        if full in world.repositories:
            continue
        act("add_repository", name=slug, slug=slug, workspace=bitbucket.workspace)
        act("add_environment", repository=full, name="Production")
        act("add_environment", repository=full, name="Staging")
        world.repositories.append(full)
        for branch in _branches_named(spec):
            act("push", repository=full, branch=branch, commits=["Begin\n"])
        # What nobody linked: it must stay as it is.
        act("push", repository=full, branch=STRANGE_BRANCH, commits=["Tidy up\n"])
        act("create_pull_request", repository=full, source=STRANGE_BRANCH, title="Not ours", description=CANARY)


def _branches_named(spec: load.Spec) -> list[str]:
    """Branches that the spec takes for granted."""
    found = []
    for action in (one for sync in spec.file.sync.values() for one in sync.actions.values()):
        found += [action.create_branch.start] if action.create_branch is not None else []
        found += [action.create_pull_request.into] if action.create_pull_request is not None else []
    return [one for one in dict.fromkeys(found) if one and one != "main"]


def _work(world: World, spec: load.Spec, key: str, sync: schema.Sync) -> None:
    """One draft, one in review that belongs to two records, one merged; the rest has none yet."""
    places, records = repositories_of(spec, key), world.records[key]

    def act(verb: str, **arguments: Any) -> Any:
        return world.bitbucket.control(verb, arguments, world.at)

    for index, (position, draft) in enumerate(((2, True), (3, False), (4, False))):
        if position >= len(records):
            return
        record, place = records[position], places[index % len(places)]
        branch = f"feature/{record}-{table.ROWS[position].lower().replace(' ', '-')}"
        also = f"See {records[5 % len(records)]}\n" if position == 3 else f"{table.ROWS[position]}\n"
        act("push", repository=place, branch=branch, commits=[also])
        title = f"{marker(sync, record)} {table.ROWS[position]}".strip()
        made = act("create_pull_request", repository=place, source=branch, title=title, draft=draft)
        world.pull_requests.append((place, made["id"]))
        if position == 4:
            act("merge", repository=place, id=made["id"])


def marker(sync: schema.Sync, record: str) -> str:
    """The prefix of a record's titles; "" when the spec has none."""
    return "" if sync.link.title is None else sync.link.title.render({"record_id": record})


def tokens(spec: load.Spec) -> Mapping[str, tuple[str, ...]]:
    """Every token of the spec's connections, by service."""
    airtable = (secret_of(*one.token) for one in spec.file.airtable.values())
    bitbucket = (secret_of(*one.token) for one in spec.file.bitbucket.values())
    return {"airtable": tuple(dict.fromkeys(airtable)), "bitbucket": tuple(dict.fromkeys(bitbucket))}


def token_of(spec: load.Spec, service: str, sync: str) -> str:
    """The token of a sync's connection to a service."""
    chosen = spec.file.sync[sync]
    if service == "airtable":
        return secret_of(*spec.file.airtable[chosen.airtable.base].token)
    return secret_of(*spec.file.bitbucket[chosen.bitbucket].token)
