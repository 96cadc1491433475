"""A real side over real HTTP against an emulated Airtable with faults around it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from requests.adapters import HTTPAdapter

from syncd.airtable import side
from syncd.model.ids import BaseId, FieldId, RecordId, TableId, ViewId
from syncd.model.schema import Field, Table
from syncd.sandbox.airtable.world import LIFTED, Limits
from syncd.sandbox.choices import Choices
from syncd.sandbox.fault import Fault, FaultKind, FaultyMachine
from syncd.sandbox.server import SandboxServer
from tests.airtable.cells import CHOICES
from tests.sandbox.airtable_setup import TOKEN, Lab, lab
from tests.wire_stand import HandClock, NotingGate

_OPTIONS: dict[str, Any] = {
    "number": {"precision": 2},
    "currency": {"precision": 2, "symbol": "$"},
    "percent": {"precision": 2},
    "duration": {"durationFormat": "h:mm:ss.SSS"},
    "rating": {"max": 10},
    "singleSelect": {"choices": [{"name": name} for name in CHOICES]},
    "multipleSelects": {"choices": [{"name": name} for name in CHOICES]},
}
KINDS = (
    *("singleLineText", "multilineText", "richText", "email", "url", "phoneNumber", "number", "currency", "percent"),
    *("duration", "rating", "checkbox", "singleSelect", "multipleSelects", "date", "dateTime"),
)
TABLES: list[dict[str, Any]] = [
    {
        "name": "Features",
        "fields": [
            *[
                {"name": kind, "type": kind} | ({"options": _OPTIONS[kind]} if kind in _OPTIONS else {})
                for kind in KINDS
            ],
            {"name": "Sum", "type": "rollup"},
            {"name": "Title", "type": "formula", "options": {"formula": '{singleLineText}&"!"'}},
            {"name": "Files", "type": "multipleAttachments"},
        ],
        "views": [
            {"name": "All"},
            {"name": "Ready only", "filter": {"field": "singleSelect", "values": ["Ready"]}},
        ],
    },
    {"name": "People", "fields": [{"name": "Name", "type": "singleLineText"}]},
]


@dataclass(slots=True, kw_only=True)
class Stand:
    """The side, what it stands on, and short names of what is in the base."""

    lab: Lab
    faulty: FaultyMachine
    clock: HandClock
    gate: NotingGate
    side: side.AirtableSide
    url: str
    schema: Table

    @property
    def table(self) -> TableId:
        return self.schema.id

    @property
    def people(self) -> TableId:
        return TableId(self.lab.ids["tables"]["People"]["id"])

    def view(self, name: str) -> ViewId:
        return next(view.id for view in self.schema.views if view.name == name)

    def field(self, name: str) -> Field:
        return next(field for field in self.schema.fields if field.name == name)

    def fields(self, *names: str) -> tuple[Field, ...]:
        return tuple(self.field(name) for name in names)

    def id(self, name: str) -> FieldId:
        return self.field(name).id

    def create(self, *rows: dict[str, Any]) -> list[RecordId]:
        made: list[str] = []
        for at in range(0, len(rows), 10):
            made += self.lab.create(*rows[at : at + 10])
        return [RecordId(each) for each in made]

    def fail(self, kind: FaultKind, route: str = "", **rest: Any) -> None:
        self.faulty.arm(Fault(kind=kind, route=route, **rest))

    def arrived(self, method: str, ending: str = "") -> int:
        """How many such requests the service answered to our token."""
        return sum(1 for entry in self.lab.machine.log if entry.method == method and entry.path.endswith(ending))


@contextlib.contextmanager
def opened(
    *, choices: Choices | None = None, limits: Limits = LIFTED, hang_s: float = 0.2, token: str = TOKEN
) -> Iterator[Stand]:
    """A stand for one test, or for a module of tests that only read and write cells."""
    service = lab(choices=choices, limits=limits, tables=TABLES)
    faulty = FaultyMachine(service.machine, "airtable")
    clock = HandClock()
    gate = NotingGate(clock)
    # As the real one; kept here so that its connections can be closed.
    adapter = HTTPAdapter(max_retries=0)
    with SandboxServer(faulty, "127.0.0.1", 0, service.clock, hang_s=hang_s) as server, contextlib.closing(adapter):
        made = side.open_side(
            base_url=server.url,
            base=BaseId(service.base),
            token=token,
            gate=gate,
            clock=clock,
            user_agent="syncd-test",
            adapter=adapter,
        )
        reader = side.open_side(
            base_url=server.url,
            base=BaseId(service.base),
            token=TOKEN,
            gate=NotingGate(clock),
            clock=clock,
            user_agent="syncd-test",
            adapter=adapter,
        )
        schema = next(table for table in reader.fetch_tables() if table.name == "Features")
        service.machine.log.clear()
        yield Stand(lab=service, faulty=faulty, clock=clock, gate=gate, side=made, url=server.url, schema=schema)
