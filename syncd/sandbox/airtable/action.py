"""
One action on a base: everything that changes together, for one reason, by one actor.

An action is applied at once and committed once: the commit moves the clocks of the records, renews computed cells,
counts one transaction and collects the true changes for the log. `payload.finish` commits it and tells the webhooks.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncd.sandbox.airtable import cells, derive
from syncd.sandbox.airtable.world import Base, Field, Record, Table, World
from syncd.sandbox.wire import Change

Moves = dict[str, tuple[Any, Any]]


@dataclass(slots=True, kw_only=True)
class Action:
    """
    What one actor does in one step.

    `source` and `metadata` are those of reference/airtable.md 5.7; `user_id` is empty when no person acts.
    """

    world: World
    base: Base
    source: str
    user_id: str
    now: datetime
    metadata: dict[str, Any] | None = None
    created: dict[str, Record] = field(default_factory=dict)
    changed: dict[str, tuple[Record, Moves]] = field(default_factory=dict)
    derived: dict[str, tuple[Record, Moves]] = field(default_factory=dict)
    destroyed: dict[str, Record] = field(default_factory=dict)
    fields_created: list[tuple[Table, Field]] = field(default_factory=list)
    fields_changed: list[tuple[Table, Field, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    fields_destroyed: list[tuple[Table, Field]] = field(default_factory=list)
    tables_created: list[Table] = field(default_factory=list)
    tables_changed: list[tuple[Table, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    tables_destroyed: list[Table] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    changes: list[Change] = field(default_factory=list)

    # ------------------------------------------------------------------------------------------------- records

    def create(self, table: Table, stored: dict[str, Any], record_id: str | None = None) -> Record:
        """Make a row with these stored cells."""
        record = Record(
            id=record_id or self.world.new_id("rec"),
            table=table,
            number=table.next_number,
            created_at=self.now,
            created_by=self.user_id,
            modified_at=self.now,
            modified_by=self.user_id,
        )
        table.next_number += 1
        self._enter(record)
        for field_id, value in stored.items():
            self.put(record, field_id, value)
        return record

    def _enter(self, record: Record) -> None:
        record.table.records[record.id] = record
        self.base.records[record.id] = record
        self.created[record.id] = record
        self._say(record.id, "exists", False, True)

    def put(self, record: Record, field_id: str, value: Any) -> None:
        """Set one cell to a stored value (None empties it); the other end of a link follows. No move, no event."""
        before = record.cells.get(field_id)
        if before == value:
            return
        self._move(record, field_id, before, value)
        column = record.table.fields.get(field_id)
        if column is not None and column.type == "multipleRecordLinks":
            self._mirror(record, column, before or (), value or ())

    def _move(self, record: Record, field_id: str, before: Any, after: Any) -> None:
        if after is None:
            del record.cells[field_id]
        else:
            record.cells[field_id] = after
        if record.id in self.created:
            return
        moves = self.changed.setdefault(record.id, (record, {}))[1]
        first = moves[field_id][0] if field_id in moves else before
        moves[field_id] = (first, after)

    def _mirror(self, record: Record, column: Field, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        inverse = (column.options or {}).get("inverseLinkFieldId")
        if inverse is None:
            return
        for other_id in dict.fromkeys((*before, *after)):
            other = self.base.records.get(other_id)
            if other is None or (other_id in before) == (other_id in after):
                continue
            held = other.cells.get(inverse) or ()
            if other_id in after:
                wanted = held if record.id in held else (*held, record.id)
            else:
                wanted = tuple(each for each in held if each != record.id)
            if wanted != held:
                self._move(other, inverse, held or None, wanted or None)

    def destroy(self, record: Record) -> None:
        """Move a row to the trash; links to it go with it."""
        for column in record.table.link_fields:
            if record.id not in self.created:
                self._mirror(record, column, record.cells.get(column.id) or (), ())
        for other, column in self._one_way(record):
            held = other.cells[column.id]
            self._move(other, column.id, held, tuple(each for each in held if each != record.id) or None)
        del record.table.records[record.id]
        del self.base.records[record.id]
        self.base.trash[record.id] = record
        self.changed.pop(record.id, None)
        self.destroyed[record.id] = record
        self._say(record.id, "exists", True, False)

    def _one_way(self, record: Record) -> list[tuple[Record, Field]]:
        """The rows that link to this one by a field without a mirror in its table."""
        found: list[tuple[Record, Field]] = []
        for table in self.base.tables.values():
            for column in table.link_fields:
                options = column.options or {}
                if options.get("linkedTableId") == record.table.id and "inverseLinkFieldId" not in options:
                    rows = table.records.values()
                    found += [(row, column) for row in rows if record.id in (row.cells.get(column.id) or ())]
        return found

    def restore(self, record: Record) -> None:
        """Take a row back from the trash under its old id; it shows as created (reference/airtable.md 8.2)."""
        del self.base.trash[record.id]
        self._enter(record)
        for column in record.table.link_fields:
            kept = tuple(each for each in record.cells.get(column.id) or () if each in self.base.records)
            if kept:
                record.cells[column.id] = kept
            else:
                record.cells.pop(column.id, None)
            self._mirror(record, column, (), kept)

    # -------------------------------------------------------------------------------------------------- commit

    def commit(self) -> bool:
        """Move the clocks, renew computed cells, count the transaction. Returns False when nothing happened."""
        for record_id in [each for each, (_, moves) in self.changed.items() if all(a == b for a, b in moves.values())]:
            del self.changed[record_id]
        if not self._anything():
            return False
        self._touch()
        self._derive()
        self._tell()
        self.base.transaction += 1
        return True

    def _anything(self) -> bool:
        schema = self.fields_created or self.fields_changed or self.fields_destroyed or self.lost
        tables = self.tables_created or self.tables_changed or self.tables_destroyed
        return bool(self.created or self.changed or self.destroyed or self.derived or schema or tables)

    def _touch(self) -> None:
        for record, moves in self.changed.values():
            record.modified_at = self.now
            record.modified_by = self.user_id
            for field_id in moves:
                record.moved_at[field_id] = self.now
        for record in self.created.values():
            for field_id in record.cells:
                record.moved_at.setdefault(field_id, self.now)

    def _derive(self) -> None:
        """Renew computed cells of the rows that moved and of the rows linked to them."""
        touched = {**self.created, **{each: record for each, (record, _) in self.changed.items()}}
        rows = dict(touched)
        for record in (*touched.values(), *self.destroyed.values()):
            for column in record.table.link_fields:
                for other_id in record.cells.get(column.id) or ():
                    other = self.base.records.get(other_id)
                    if other is not None and other.table.computed_fields:
                        rows[other_id] = other
            for other, _ in self._one_way(record):
                rows[other.id] = other
        for record_id, record in rows.items():
            moves = derive.compute(self.world, self.base, record, self.now)
            if moves:
                self.derived[record_id] = (record, moves)

    def renew_all(self) -> None:
        """Renew every computed cell of the base, after a change of the schema."""
        for record in self.base.records.values():
            moves = derive.compute(self.world, self.base, record, self.now)
            if moves:
                self.derived[record.id] = (record, moves)

    def _tell(self) -> None:
        for record in self.created.values():
            for field_id, value in record.cells.items():
                self._say(record.id, field_id, None, self._rest(record, field_id, value))
        for record, moves in self.changed.values():
            for field_id, (before, after) in moves.items():
                if before != after:
                    self._say(
                        record.id,
                        field_id,
                        self._rest(record, field_id, before),
                        self._rest(record, field_id, after),
                    )

    def _rest(self, record: Record, field_id: str, value: Any) -> Any:
        column = record.table.fields.get(field_id)
        if value is None or column is None:
            return value
        # Attachments are shown as stored: their urls are made per read and say nothing about the cell.
        return value if column.type == "multipleAttachments" else cells.rest(self.world, column, value, self.now)

    def _say(self, subject: str, attribute: str, before: Any, after: Any, kind: str = "record") -> None:
        self.changes.append(Change(kind=kind, object=subject, attribute=attribute, before=before, after=after))

    def say_schema(self, subject: str, attribute: str, before: Any, after: Any) -> None:
        """Log a change of a table, field, choice or view."""
        self._say(subject, attribute, before, after, "schema")
