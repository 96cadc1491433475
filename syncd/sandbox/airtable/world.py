"""
Everything the emulated Airtable holds, mutable, with ids and clocks in one place.

Cells are kept in a stored form (choice ids, user ids, record ids), so that renaming a choice changes what every record
reads without touching one. `cells` turns stored values into the REST and the webhook form.
"""

import random
import string
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from syncd.sandbox.choices import Choices
from syncd.sandbox.wire import Delivery

_ALPHABET = string.ascii_letters + string.digits

ROLES = ("none", "read", "comment", "edit", "create", "owner")

SCOPES = frozenset(
    {
        "data.records:read",
        "data.records:write",
        "data.recordComments:read",
        "data.recordComments:write",
        "schema.bases:read",
        "schema.bases:write",
        "webhook:manage",
        "user.email:read",
    }
)

# Types whose cells only the service fills (reference/airtable.md 4.2, "RO").
COMPUTED_TYPES = frozenset(
    {
        "multipleLookupValues",
        "rollup",
        "formula",
        "count",
        "createdTime",
        "lastModifiedTime",
        "createdBy",
        "lastModifiedBy",
        "autoNumber",
        "button",
        "aiText",
        "externalSyncSource",
        "manualSort",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    The service's limits; None lifts one. Sources: reference/airtable.md 3.1, 3.3, 5 and 8.1.

    `offset_life_s` ("some minutes"), `body_bytes_max` and `ping_delay_s` have no documented number. `page_full` is no limit of
    the service: a page then ends after so many records whatever was asked for, so that a small table has many pages.
    """

    base_per_second: int | None = 5
    user_per_second: int | None = 50
    penalty_s: float = 30.0
    batch: int = 10
    page: int = 100
    page_full: int | None = None
    payload_page: int = 50
    hooks_per_base: int = 10
    hooks_per_integration: int = 2
    url_characters: int = 16_000
    body_bytes_max: int = 5_000_000
    text_characters: int = 100_000
    offset_life_s: float = 300.0
    hook_life_days: int = 7
    ping_delay_s: float = 0.5
    ping_retries: int = 13


LIFTED = Limits(base_per_second=None, user_per_second=None)


@dataclass(slots=True, kw_only=True)
class User:
    """A person or a bot."""

    id: str
    name: str
    email: str


@dataclass(slots=True, kw_only=True)
class Token:
    """A personal access token, or an OAuth token when `integration` is set. `bases` None grants all of the user's."""

    value: str
    user: User
    scopes: frozenset[str]
    bases: set[str] | None = None
    expires_at: datetime | None = None
    revoked: bool = False
    integration: str | None = None


@dataclass(slots=True, kw_only=True)
class Choice:
    """One choice of a select."""

    id: str
    name: str
    color: str


@dataclass(slots=True, kw_only=True)
class Field:
    """A column. `choices` are the living ones in order; `choice_by_id` also knows the deleted ones."""

    id: str
    name: str
    type: str
    options: dict[str, Any] | None = None
    description: str | None = None
    locked: bool = False
    choices: list[Choice] = field(default_factory=list)
    choice_by_id: dict[str, Choice] = field(default_factory=dict)
    value: Any = None
    program: Any = None

    @property
    def computed(self) -> bool:
        """Whether only the service fills it."""
        return self.type in COMPUTED_TYPES

    def add_choice(self, choice: Choice) -> None:
        """Append a living choice."""
        self.choices.append(choice)
        self.choice_by_id[choice.id] = choice

    def choice_named(self, name: str) -> Choice | None:
        """The living choice of that name."""
        for choice in self.choices:
            if choice.name == name:
                return choice
        return None


@dataclass(slots=True, kw_only=True)
class View:
    """A view: all records, or those whose `field_id` reads as one of `values` (None among them means empty)."""

    id: str
    name: str
    type: str = "grid"
    field_id: str | None = None
    values: tuple[Any, ...] = ()


@dataclass(slots=True, kw_only=True)
class Comment:
    """One comment at a record."""

    id: str
    author: User
    text: str
    created_at: datetime
    updated_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Record:
    """One row. `cells` are what people and programs wrote, `computed` what the service derived, `given` what a control call set."""

    id: str
    table: "Table"
    number: int
    created_at: datetime
    created_by: str
    modified_at: datetime
    modified_by: str
    cells: dict[str, Any] = field(default_factory=dict)
    computed: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    moved_at: dict[str, datetime] = field(default_factory=dict)
    comments: list[Comment] = field(default_factory=list)

    def stored(self, field_id: str) -> Any:
        """The cell in stored form, None when empty."""
        value = self.cells.get(field_id)
        return self.computed.get(field_id) if value is None else value


@dataclass(slots=True, kw_only=True)
class Table:
    """One table of a base; `fields` and `views` in order."""

    id: str
    name: str
    description: str | None = None
    fields: dict[str, Field] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    primary_id: str = ""
    next_number: int = 1
    by_name: dict[str, Field] = field(default_factory=dict)
    computed_fields: tuple[Field, ...] = ()
    link_fields: tuple[Field, ...] = ()

    def index(self) -> None:
        """Renew what is looked up by name or kind; call after every change of the fields."""
        self.by_name = {each.name: each for each in self.fields.values()}
        self.computed_fields = tuple(each for each in self.fields.values() if each.computed)
        self.link_fields = tuple(each for each in self.fields.values() if each.type == "multipleRecordLinks")

    def find_field(self, key: str) -> Field | None:
        """A field by id or by name."""
        return self.fields.get(key) or self.by_name.get(key)

    def find_view(self, key: str) -> View | None:
        """A view by id or by name."""
        if key in self.views:
            return self.views[key]
        return next((view for view in self.views.values() if view.name == key), None)


@dataclass(slots=True, kw_only=True)
class Payload:
    """One numbered payload of a hook."""

    number: int
    at: datetime
    body: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Hook:
    """A webhook. `ping` is the delivery that waits, `in_flight` the one that was taken and not yet reported."""

    id: str
    url: str | None
    specification: dict[str, Any]
    secret: bytes
    expires_at: datetime
    integration: str | None = None
    enabled: bool = True
    notifies: bool = True
    broken: bool = False
    next_number: int = 1
    payloads: deque[Payload] = field(default_factory=deque)
    ping: Delivery | None = None
    in_flight: bool = False
    ping_again: bool = False
    pings: int = 0
    last_success_at: datetime | None = None
    last_result: dict[str, Any] | None = None


@dataclass(slots=True, kw_only=True)
class Workspace:
    """What is billed together. `monthly` None means no limit; `spent` counts the calls of `month`."""

    id: str
    monthly: int | None = None
    month: tuple[int, int] = (0, 0)
    spent: int = 0


@dataclass(slots=True, kw_only=True)
class Window:
    """A sliding second of requests and the penalty after too many."""

    hits: deque[datetime] = field(default_factory=deque)
    blocked_until: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Base:
    """One base; `records` finds a row in any of its tables, `trash` the deleted ones."""

    id: str
    name: str
    workspace: Workspace
    tables: dict[str, Table] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    trash: dict[str, Record] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
    transaction: int = 0
    window: Window = field(default_factory=Window)

    def find_table(self, key: str) -> Table | None:
        """A table by id or by name."""
        if key in self.tables:
            return self.tables[key]
        return next((table for table in self.tables.values() if table.name == key), None)


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """The rows of one listing, fixed at its first page; values are read when a page is."""

    query: Any
    ids: list[str]
    used_at: datetime


@dataclass(slots=True, kw_only=True)
class World:
    """All of it."""

    rng: random.Random
    choices: Choices
    limits: Limits
    users: dict[str, User] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    workspaces: dict[str, Workspace] = field(default_factory=dict)
    bases: dict[str, Base] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    user_windows: dict[str, Window] = field(default_factory=dict)
    ringing: dict[str, tuple[Base, Hook]] = field(default_factory=dict)
    in_flight: dict[str, tuple[Base, Hook]] = field(default_factory=dict)
    address: str = "https://v5.airtableusercontent.com"

    def new_id(self, prefix: str) -> str:
        """A fresh id: three letters and fourteen characters (reference/airtable.md section 1)."""
        return prefix + "".join(self.rng.choices(_ALPHABET, k=14))


def shaped(identifier: str, prefix: str) -> bool:
    """Whether it has the fixed shape of an id of that kind."""
    return len(identifier) == 17 and identifier.startswith(prefix) and identifier.isalnum()


def may(base: Base, user: User, role: str) -> bool:
    """Whether the user has at least that role in the base."""
    return ROLES.index(base.roles.get(user.id, "none")) >= ROLES.index(role)


def milliseconds(moment: datetime) -> str:
    """ISO in UTC with three digits of milliseconds and a Z, as Airtable prints moments."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def seconds(moment: datetime) -> str:
    """The same, cut to whole seconds."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"


# A record's birth is stamped a little after the action that made it (recorded: up to 0.35 s; reference/airtable.md 5.6).
BIRTH_DELAY = timedelta(milliseconds=350)


def in_view(view: View, field: Field | None, stored: Any) -> bool:
    """Whether a row whose filter cell is `stored` stands in the view."""
    if view.field_id is None or field is None:
        return True
    if stored is None:
        return None in view.values
    for each in stored if isinstance(stored, tuple) else (stored,):
        choice = field.choice_by_id.get(each) if isinstance(each, str) else None
        if (each if choice is None else choice.name) in view.values:
            return True
    return False
