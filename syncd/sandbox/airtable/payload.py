"""
Webhook payloads: which part of an action a hook sees, and how it reads (reference/airtable.md 5.2, 5.5, 5.6).

The body is fixed when the action is committed; a later rename does not reach it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from syncd.sandbox.airtable import cells, ping
from syncd.sandbox.airtable.action import Action, Moves
from syncd.sandbox.airtable.world import (
    BIRTH_DELAY,
    Base,
    Hook,
    Payload,
    Record,
    View,
    World,
    in_view,
    milliseconds,
    seconds,
)
from syncd.sandbox.choices import ClearedCell, ComputedChanges, PayloadCreatedTime
from syncd.sandbox.wire import Change

_LIFE = timedelta(days=7)
_FILTER_IDS = ("watchDataInFieldIds", "watchSchemasOfFieldIds")


def finish(action: Action) -> tuple[Change, ...]:
    """Commit an action and tell every living hook of the base. Returns the true changes, for the log."""
    if action.commit():
        _publish(action)
    return tuple(action.changes)


def _publish(action: Action) -> None:
    world, base = action.world, action.base
    later = world.choices.computed_changes is ComputedChanges.FURTHER_PAYLOAD and bool(action.derived)
    number = base.transaction
    if later:
        base.transaction += 1
    for hook in base.hooks.values():
        if hook.broken or not ping.active(hook, action.now):
            continue
        if action.lost & _named_by_filters(hook):
            hook.broken = True
            error = {"error": True, "code": "INVALID_FILTERS", "timestamp": milliseconds(action.now)}
            bodies = [error | {"baseTransactionNumber": number, "payloadFormat": "v0"}]
        else:
            view = _View(action=action, hook=hook)
            bodies = view.bodies(number, with_cells=True, with_computed=not later)
            if later:
                bodies += view.bodies(number + 1, with_cells=False, with_computed=True)
        for body in bodies:
            hook.payloads.append(Payload(number=hook.next_number, at=action.now, body=body))
            hook.next_number += 1
        if bodies:
            ping.ring(world, base, hook, action.now)


def prune(hook: Hook, now: datetime) -> None:
    """Drop payloads older than seven days; nobody is told."""
    oldest = now - _LIFE
    while hook.payloads and hook.payloads[0].at < oldest:
        hook.payloads.popleft()


def _named_by_filters(hook: Hook) -> set[str]:
    filters = hook.specification["options"]["filters"]
    named = {each for key in _FILTER_IDS for each in filters.get(key) or ()}
    if filters.get("recordChangeScope"):
        named.add(filters["recordChangeScope"])
    return named


@dataclass(slots=True, kw_only=True)
class _View:
    """One hook's view of one action."""

    action: Action
    hook: Hook

    @property
    def _filters(self) -> dict[str, Any]:
        filters: dict[str, Any] = self.hook.specification["options"]["filters"]
        return filters

    @property
    def _includes(self) -> dict[str, Any]:
        includes: dict[str, Any] = self.hook.specification["options"].get("includes") or {}
        return includes

    @property
    def _world(self) -> World:
        return self.action.world

    @property
    def _base(self) -> Base:
        return self.action.base

    def _wants(self, data_type: str, change_type: str) -> bool:
        change_types = self._filters.get("changeTypes")
        return data_type in self._filters["dataTypes"] and (not change_types or change_type in change_types)

    def bodies(self, transaction: int, *, with_cells: bool, with_computed: bool) -> list[dict[str, Any]]:
        """The payload bodies, several when the action is too large for one; empty when the hook does not care."""
        sources = self._filters.get("fromSources")
        if sources and self.action.source not in sources:
            return []
        pieces = self._schema() if with_cells else []
        events = self._record_events(with_cells, with_computed)
        size = self._world.choices.payload_split.value
        pieces += [_merged(events[at : at + size]) for at in range(0, len(events), size)]
        done_by: dict[str, Any] = {"source": self.action.source}
        if self.action.metadata is not None:
            done_by["sourceMetadata"] = self.action.metadata
        head = {
            "timestamp": milliseconds(self.action.now),
            "baseTransactionNumber": transaction,
            "actionMetadata": done_by,
            "payloadFormat": "v0",
        }
        return [head | piece for piece in pieces]

    # ------------------------------------------------------------------------------------------------- records

    def _record_events(self, with_cells: bool, with_computed: bool) -> list[tuple[str, str | None, str, str, Any]]:
        """Rows (table, view or None, section, record, value) in the order they happened."""
        if "tableData" not in self._filters["dataTypes"]:
            return []
        events: list[tuple[str, str | None, str, str, Any]] = []
        moved: dict[str, tuple[Record, Moves]] = {}
        if with_cells:
            for record in self.action.created.values():
                self._add(events, record, None, with_computed)
            moved = {each: (record, dict(moves)) for each, (record, moves) in self.action.changed.items()}
        if with_computed:
            for record_id, (record, moves) in self.action.derived.items():
                if not with_cells or record_id not in self.action.created:
                    moved.setdefault(record_id, (record, {}))[1].update(moves)
        for record, moves in moved.values():
            self._add(events, record, moves, with_computed)
        if with_cells:
            for record in self.action.destroyed.values():
                self._remove(events, record)
        return events

    def _scope(self, record: Record) -> tuple[bool, View | None]:
        """Whether the record's table is in scope, and the view that is watched, if one is."""
        scope = self._filters.get("recordChangeScope")
        if scope is None or scope == record.table.id:
            return True, None
        view = record.table.views.get(scope)
        return view is not None, view

    def _add(
        self,
        events: list[tuple[str, str | None, str, str, Any]],
        record: Record,
        moves: Moves | None,
        with_computed: bool,
    ) -> None:
        inside, view = self._scope(record)
        if not inside:
            return
        column = None if view is None else record.table.fields.get(view.field_id or "")
        stands = stood = True
        if view is not None:
            now = None if column is None else record.stored(column.id)
            stands = in_view(view, column, now)
            moved = moves.get(column.id) if moves is not None and column is not None else None
            stood = stands if moved is None else in_view(view, column, moved[0])
        view_id = None if view is None else view.id
        if moves is None or (stands and not stood):
            if stands and self._wants("tableData", "add"):
                entry = self._created(record, with_computed, entered=moves is not None)
                if entry is not None:
                    events.append((record.table.id, view_id, "createdRecordsById", record.id, entry))
        elif stood and not stands:
            if self._wants("tableData", "remove"):
                events.append((record.table.id, view_id, "destroyedRecordIds", record.id, None))
        elif stood and self._wants("tableData", "update"):
            entry = self._changed(record, moves)
            if entry is not None:
                events.append((record.table.id, view_id, "changedRecordsById", record.id, entry))

    def _remove(self, events: list[tuple[str, str | None, str, str, Any]], record: Record) -> None:
        inside, view = self._scope(record)
        if not inside or not self._wants("tableData", "remove"):
            return
        if view is not None:
            column = record.table.fields.get(view.field_id or "")
            if not in_view(view, column, None if column is None else record.stored(column.id)):
                return
        events.append((record.table.id, None if view is None else view.id, "destroyedRecordIds", record.id, None))

    def _created(self, record: Record, with_computed: bool, *, entered: bool) -> dict[str, Any] | None:
        stored = {**record.cells, **record.computed} if with_computed or entered else record.cells
        watched = self._filters.get("watchDataInFieldIds")
        if watched and not entered and not any(each in stored for each in watched):
            return None
        born = record.created_at + BIRTH_DELAY
        whole = self._world.choices.payload_created_time is PayloadCreatedTime.WHOLE_SECONDS_LATER
        return {
            "createdTime": seconds(born) if whole else milliseconds(born),
            "cellValuesByFieldId": {
                field_id: self._hook(record, field_id, value)
                for field_id, value in stored.items()
                if not watched or field_id in watched or self._included(field_id)
            },
        }

    def _changed(self, record: Record, moves: Moves) -> dict[str, Any] | None:
        watched = self._filters.get("watchDataInFieldIds")
        seen = {each: pair for each, pair in moves.items() if pair[0] != pair[1] and (not watched or each in watched)}
        if not seen:
            return None
        entry = {"current": self._cells(record, {each: after for each, (_, after) in seen.items()})}
        if self._includes.get("includePreviousCellValues"):
            entry["previous"] = self._cells(record, {each: before for each, (before, _) in seen.items()})
        if self._includes.get("includeCellValuesInFieldIds"):
            stored = {**record.cells, **record.computed}
            kept = {each: value for each, value in stored.items() if each not in seen and self._included(each)}
            entry["unchanged"] = self._cells(record, kept)
        return entry

    def _included(self, field_id: str) -> bool:
        included = self._includes.get("includeCellValuesInFieldIds")
        return included == "all" or (isinstance(included, list) and field_id in included)

    def _cells(self, record: Record, stored: dict[str, Any]) -> dict[str, Any]:
        absent = self._world.choices.cleared_cell is ClearedCell.ABSENT
        return {
            "cellValuesByFieldId": {
                field_id: self._hook(record, field_id, value)
                for field_id, value in stored.items()
                if value is not None or not absent
            }
        }

    def _hook(self, record: Record, field_id: str, value: Any) -> Any:
        column = record.table.fields.get(field_id)
        return value if column is None else cells.hook(self._world, self._base, column, value, self.action.now)

    # -------------------------------------------------------------------------------------------------- schema

    def _schema(self) -> list[dict[str, Any]]:
        """At most one piece with the changes of fields and tables."""
        action = self.action
        tables: dict[str, dict[str, Any]] = {}
        watched = self._filters.get("watchSchemasOfFieldIds")
        for table, column in action.fields_created:
            if self._wants("tableFields", "add") and (not watched or column.id in watched):
                entry = {"name": column.name, "type": column.type}
                tables.setdefault(table.id, {}).setdefault("createdFieldsById", {})[column.id] = entry
        for table, column, before, after in action.fields_changed:
            if self._wants("tableFields", "update") and (not watched or column.id in watched):
                change: dict[str, Any] = {"current": after}
                if self._includes.get("includePreviousFieldDefinitions"):
                    change["previous"] = before
                tables.setdefault(table.id, {}).setdefault("changedFieldsById", {})[column.id] = change
        for table, column in action.fields_destroyed:
            if self._wants("tableFields", "remove") and (not watched or column.id in watched):
                tables.setdefault(table.id, {}).setdefault("destroyedFieldIds", []).append(column.id)
        for table, before, after in action.tables_changed:
            if self._wants("tableMetadata", "update"):
                tables.setdefault(table.id, {})["changedMetadata"] = {"current": after, "previous": before}
        piece: dict[str, Any] = {"changedTablesById": tables} if tables else {}
        if action.tables_created and self._wants("tableMetadata", "add"):
            piece["createdTablesById"] = {
                table.id: {
                    "metadata": {"name": table.name, "description": table.description},
                    "fieldsById": {each.id: {"name": each.name, "type": each.type} for each in table.fields.values()},
                    "recordsById": {},
                }
                for table in action.tables_created
            }
        if action.tables_destroyed and self._wants("tableMetadata", "remove"):
            piece["destroyedTableIds"] = [table.id for table in action.tables_destroyed]
        return [piece] if piece else []


def _merged(events: list[tuple[str, str | None, str, str, Any]]) -> dict[str, Any]:
    tables: dict[str, dict[str, Any]] = {}
    for table_id, view_id, section, record_id, value in events:
        place = tables.setdefault(table_id, {})
        if view_id is not None:
            place = place.setdefault("changedViewsById", {}).setdefault(view_id, {})
        if value is None:
            place.setdefault(section, []).append(record_id)
        else:
            place.setdefault(section, {})[record_id] = value
    return {"changedTablesById": tables}
