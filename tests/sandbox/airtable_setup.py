"""A small Airtable for the tests: one base with the fields that matter, a person, a bot, and a clock that is moved by hand."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from syncd.sandbox.airtable.machine import AirtableMachine
from syncd.sandbox.airtable.world import LIFTED, Limits
from syncd.sandbox.choices import Choices
from syncd.sandbox.wire import Request, Response

START = datetime(2026, 11, 21, 6, 0, 0, tzinfo=UTC)
TOKEN = "patTEST.secret"
BOT = "usrBot00000000001"
ANNA = "usrAnna0000000001"

TABLES: list[dict[str, Any]] = [
    {
        "name": "Features",
        "fields": [
            {"name": "Name", "type": "singleLineText"},
            {
                "name": "Status",
                "type": "singleSelect",
                "options": {"choices": [{"name": "Planned"}, {"name": "Ready"}, {"name": "Done"}]},
            },
            {
                "name": "Tags",
                "type": "multipleSelects",
                "options": {"choices": [{"name": "Red"}, {"name": "Green"}, {"name": "Blue"}]},
            },
            {"name": "Estimate", "type": "number", "options": {"precision": 1}},
            {"name": "Notes", "type": "richText"},
            {"name": "Flag", "type": "checkbox"},
            {"name": "Due", "type": "date"},
            {"name": "At", "type": "dateTime", "options": {"timeZone": "Europe/Berlin"}},
            {"name": "Owner", "type": "singleCollaborator"},
            {"name": "Watchers", "type": "multipleCollaborators"},
            {"name": "Files", "type": "multipleAttachments"},
            {"name": "Stars", "type": "rating", "options": {"max": 5}},
            {"name": "Code", "type": "barcode"},
            {"name": "Title", "type": "formula", "options": {"formula": '{Name}&"!"'}},
            {"name": "Made", "type": "createdTime"},
            {"name": "Touched", "type": "lastModifiedTime", "options": {"referencedFieldIds": []}},
            {"name": "No", "type": "autoNumber"},
            {"name": "Sum", "type": "rollup"},
        ],
        "views": [{"name": "All"}, {"name": "Ready only", "filter": {"field": "Status", "values": ["Ready"]}}],
    },
    {"name": "People", "fields": [{"name": "Name", "type": "singleLineText"}]},
]


@dataclass
class Clock:
    """Time that moves only when told to."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> datetime:
        self.now += timedelta(**span)
        return self.now


@dataclass
class Lab:
    """A machine with its base, its clock and short ways to call it."""

    machine: AirtableMachine
    clock: Clock
    ids: dict[str, Any]
    token: str = TOKEN
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return str(self.ids["id"])

    @property
    def table(self) -> str:
        return str(self.ids["tables"]["Features"]["id"])

    def fld(self, name: str, table: str = "Features") -> str:
        return str(self.ids["tables"][table]["fields"][name])

    def raw(self, method: str, path: str, body: Any = None, query: Any = (), token: str | None = None) -> Response:
        pairs = query.items() if isinstance(query, dict) else query
        request = Request(
            method=method,
            path=path,
            query=tuple((key, str(value)) for key, value in pairs),
            headers={"authorization": f"Bearer {token or self.token}"},
            body=b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode(),
        )
        return self.machine.handle(request, self.clock.now)

    def call(self, method: str, path: str, body: Any = None, query: Any = (), token: str | None = None) -> Any:
        """The status and the parsed body."""
        answer = self.raw(method, path, body, query, token)
        return answer.status, json.loads(answer.body) if answer.body else None

    def ok(self, method: str, path: str, body: Any = None, query: Any = ()) -> Any:
        status, answer = self.call(method, path, body, query)
        assert status == 200, answer
        return answer

    def error(self, method: str, path: str, body: Any = None, query: Any = ()) -> tuple[int, str]:
        """The status and the error type of a refusal."""
        status, answer = self.call(method, path, body, query)
        if "errors" in answer:
            return status, str(answer["errors"][0]["error"])
        return status, str(answer["error"] if isinstance(answer["error"], str) else answer["error"]["type"])

    def rows(self, table: str = "Features") -> str:
        return f"/v0/{self.base}/{quote(table)}"

    def create(self, *rows: dict[str, Any]) -> list[str]:
        answer = self.ok("POST", self.rows(), {"records": [{"fields": row} for row in rows]})
        return [record["id"] for record in answer["records"]]

    def fields(self, record: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.ok("GET", f"{self.rows()}/{record}")["fields"]
        return answer

    def control(self, verb: str, **arguments: Any) -> Any:
        return self.machine.control(verb, arguments, self.clock.now)

    # ---- webhooks

    @property
    def hooks_path(self) -> str:
        return f"/v0/bases/{self.base}/webhooks"

    def hook(self, url: str | None = "https://example.com/ping", includes: Any = None, **filters: Any) -> str:
        options: dict[str, Any] = {"filters": {"dataTypes": ["tableData"], **filters}}
        if includes is not None:
            options["includes"] = includes
        body = {"notificationUrl": url, "specification": {"options": options}}
        return str(self.ok("POST", self.hooks_path, body)["id"])

    def page(self, hook: str, cursor: int = 1, **query: Any) -> Any:
        return self.ok("GET", f"{self.hooks_path}/{hook}/payloads", query={"cursor": cursor, **query})

    def payloads(self, hook: str, cursor: int = 1) -> list[dict[str, Any]]:
        return list(self.page(hook, cursor)["payloads"])

    def entry(self, hook: str) -> Any:
        return next(each for each in self.ok("GET", self.hooks_path)["webhooks"] if each["id"] == hook)


def lab(
    choices: Choices | None = None,
    limits: Limits = LIFTED,
    seed: int = 1,
    tables: list[dict[str, Any]] | None = None,
    **base: Any,
) -> Lab:
    """A machine with one base, the bot's token (creator) and Anna (editor)."""
    machine = AirtableMachine(seed, choices or Choices(), limits)
    clock = Clock()
    machine.control("add_user", {"id": BOT, "name": "Sync Bot"}, clock.now)
    machine.control("add_user", {"id": ANNA, "name": "Anna"}, clock.now)
    machine.control("add_token", {"user": BOT, "token": TOKEN}, clock.now)
    ids = machine.control(
        "add_base",
        {"name": "Product", "roles": {BOT: "create", ANNA: "edit"}, "tables": tables or TABLES, **base},
        clock.now,
    )
    return Lab(machine=machine, clock=clock, ids=ids)
