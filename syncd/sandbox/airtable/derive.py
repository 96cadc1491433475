"""Computed cells: what the service derives from a row, its links and its history (reference/airtable.md 4.2, 8.2)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from syncd.sandbox.airtable import formula
from syncd.sandbox.airtable.cells import value_of
from syncd.sandbox.airtable.world import BIRTH_DELAY, Base, Field, Record, World, seconds


def compute(world: World, base: Base, record: Record, now: datetime) -> dict[str, tuple[Any, Any]]:
    """Renew the computed cells of one row and return those that changed: field id → (before, after), stored form."""
    changed: dict[str, tuple[Any, Any]] = {}
    for field in record.table.computed_fields:
        before = record.computed.get(field.id)
        after = _derive(world, base, record, field, now)
        if after != before:
            changed[field.id] = (before, after)
            if after is None:
                del record.computed[field.id]
            else:
                record.computed[field.id] = after
    return changed


def _derive(world: World, base: Base, record: Record, field: Field, now: datetime) -> Any:
    options = field.options or {}
    if field.id in record.given:
        return record.given[field.id]
    if field.type == "autoNumber":
        return record.number
    if field.type == "createdTime":
        return _moment(field, record.created_at + BIRTH_DELAY)
    if field.type == "lastModifiedTime":
        watched = options.get("referencedFieldIds")
        moments = [record.moved_at[each] for each in watched if each in record.moved_at] if watched else []
        if watched and not moments:
            return None
        return _moment(field, max(moments) if watched else record.modified_at)
    if field.type == "createdBy":
        return record.created_by
    if field.type == "lastModifiedBy":
        return record.modified_by
    if field.type in {"count", "multipleLookupValues"} and "recordLinkFieldId" in options:
        linked = record.cells.get(options["recordLinkFieldId"], ())
        return len(linked) if field.type == "count" else _look_up(world, base, linked, options, now)
    if field.program is not None:
        return formula.computed_value(
            field.program, Row(world=world, record=record, now=now, running=frozenset({field.id}))
        )
    return field.value


def _moment(field: Field, moment: datetime) -> str:
    result = (field.options or {}).get("result") or {}
    return f"{moment.astimezone(UTC):%Y-%m-%d}" if result.get("type") == "date" else seconds(moment)


def _look_up(world: World, base: Base, linked: tuple[str, ...], options: dict[str, Any], now: datetime) -> Any:
    values: dict[str, list[Any]] = {}
    for row in linked:
        record = base.records.get(row)
        value = None if record is None else value_of(world, record, options.get("fieldIdInLinkedTable", ""), now)
        if value is not None:
            values[row] = value if isinstance(value, list) else [value]
    return {"linkedRecordIds": list(linked), "valuesByLinkedRecordId": values} if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record as a formula sees it; `running` are the formula fields under evaluation, to end a circle."""

    world: World
    record: Record
    now: datetime
    running: frozenset[str] = frozenset()

    @property
    def record_id(self) -> str:
        """The record's id."""
        return self.record.id

    @property
    def created_at(self) -> datetime:
        """When it was made, whole seconds."""
        return (self.record.created_at + BIRTH_DELAY).replace(microsecond=0)

    @property
    def modified_at(self) -> datetime:
        """When an editable cell last changed, whole seconds."""
        return self.record.modified_at.replace(microsecond=0)

    def value(self, field_id: str) -> Any:
        """A cell in REST form, None when empty."""
        field = self.record.table.fields.get(field_id)
        if field is not None and field.program is not None and field_id not in self.running:
            deeper = Row(world=self.world, record=self.record, now=self.now, running=self.running | {field_id})
            return formula.computed_value(field.program, deeper)
        return value_of(self.world, self.record, field_id, self.now)
