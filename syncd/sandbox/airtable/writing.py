"""
Writing records: create, update, replace, upsert, delete; each request all or nothing (reference/airtable.md 3.3, 3.4).

Every handler first turns the whole request into stored values, raising on the first that does not fit, and only then
applies it: that is what makes a batch atomic.
"""

from dataclasses import dataclass
from typing import Any

from syncd.sandbox.airtable import cells, payload, reading, refusal
from syncd.sandbox.airtable.action import Action
from syncd.sandbox.airtable.call import Call
from syncd.sandbox.airtable.cells import Draft
from syncd.sandbox.airtable.world import Field, Record, Table, shaped
from syncd.sandbox.choices import EmptyMergeKey, UpsertAnswerOrder

_ONE = frozenset({"fields", "typecast", "returnFieldsByFieldId"})
_MANY = frozenset({"records", "performUpsert", "typecast", "returnFieldsByFieldId"})
_MERGE_TYPES = frozenset({"number", "singleLineText", "multilineText", "singleSelect", "multipleSelects", "date"})


@dataclass(slots=True, kw_only=True)
class _Row:
    """One row of a request: the record it hits (None makes one) and its new stored cells."""

    record: Record | None
    stored: dict[str, Any]


def create_records(call: Call) -> Any:
    """`POST /v0/{base}/{table}`, one or many."""
    table = _writable(call)
    body = call.body(_ONE | _MANY)
    if "records" not in body:
        if not isinstance(body.get("fields"), dict):
            raise refusal.bad_request()
        rows = [body["fields"]]
    else:
        rows = [_fields(each) for each in _records(call, body["records"], "created")]
    draft = _draft(call, body)
    drafted = [_Row(record=None, stored=_stored(draft, table, fields, None)) for fields in rows]
    if any(field.locked for row in rows for field in _named(table, row)):
        raise refusal.create_not_permitted(table.name, table.id)
    shown = _shown(call, body, _apply(call, table, draft, drafted))
    return shown[0] if "records" not in body else {"records": shown}


def update_record(call: Call) -> Any:
    """`PATCH` or `PUT` `…/{table}/{rec}`."""
    table = _writable(call)
    if not shaped(call.parts[3], "rec"):
        raise refusal.no_such_route()
    record = table.records.get(call.parts[3])
    if record is None:
        raise refusal.missing_record(call.world.choices)
    body = call.body(_ONE)
    if not isinstance(body.get("fields"), dict):
        raise refusal.bad_request()
    draft = _draft(call, body)
    row = _update(draft, table, record, body["fields"], call.request.method == "PUT")
    return _shown(call, body, _apply(call, table, draft, [row]))[0]


def update_records(call: Call) -> Any:
    """`PATCH` or `PUT` `…/{table}`, with or without `performUpsert`."""
    table = _writable(call)
    body = call.body(_MANY)
    records = _records(call, body.get("records"), "updated")
    if "performUpsert" in body:
        return _upsert(call, table, body, records)
    draft = _draft(call, body)
    rows: list[_Row] = []
    for each in records:
        record = _named_record(table, each.get("id"))
        if any(row.record is record for row in rows):
            raise refusal.bad_records("You cannot update the same record multiple times in a single request.")
        rows.append(_update(draft, table, record, _fields(each), call.request.method == "PUT"))
    return {"records": _shown(call, body, _apply(call, table, draft, rows))}


def delete_records(call: Call) -> Any:
    """`DELETE …/{table}?records[]=…`."""
    table = _writable(call)
    wanted = [value for key, value in call.request.query if key == "records" or key.startswith("records[")]
    if not wanted:
        raise refusal.bad_request()
    if len(wanted) > call.world.limits.batch:
        raise refusal.too_many_records("deleted", len(wanted))
    records = [_named_record(table, each) for each in dict.fromkeys(wanted)]
    _destroy(call, records)
    return {"records": [{"id": each.id, "deleted": True} for each in records]}


def delete_record(call: Call) -> Any:
    """`DELETE …/{table}/{rec}`."""
    table = _writable(call)
    if not shaped(call.parts[3], "rec"):
        raise refusal.no_such_route()
    record = table.records.get(call.parts[3])
    if record is None:
        raise refusal.missing_record(call.world.choices)
    _destroy(call, [record])
    return {"id": record.id, "deleted": True}


def add_choices(action: Action, choices: list[tuple[Field, Any]]) -> None:
    """Put drafted choices into their fields, as part of the action."""
    for field, choice in choices:
        table = next(each for each in action.base.tables.values() if field.id in each.fields)
        field.add_choice(choice)
        now = {"name": field.name, "type": field.type}
        action.fields_changed.append((table, field, now, now))
        action.say_schema(field.id, "choice", None, choice.name)


def _writable(call: Call) -> Table:
    call.need("data.records:write")
    table = call.table(call.parts[2])
    call.need_role("edit")
    return table


def _draft(call: Call, body: dict[str, Any]) -> Draft:
    if not isinstance(body.get("typecast", False), bool):
        raise refusal.bad_request()
    return Draft(
        world=call.world,
        base=call.base,
        user=call.token.user,
        now=call.now,
        typecast=body.get("typecast", False),
        choices=[],
    )


def _records(call: Call, value: Any, verb: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        raise refusal.bad_request()
    if len(value) > call.world.limits.batch:
        raise refusal.too_many_records(verb, len(value))
    return value


def _fields(each: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(each.get("fields"), dict) or set(each) - {"id", "fields"}:
        raise refusal.bad_request()
    fields: dict[str, Any] = each["fields"]
    return fields


def _named_record(table: Table, record_id: Any) -> Record:
    if not isinstance(record_id, str) or not shaped(record_id, "rec"):
        raise refusal.bad_request()
    record = table.records.get(record_id)
    if record is None:
        raise refusal.missing_row(record_id)
    return record


def _named(table: Table, fields: dict[str, Any]) -> list[Field]:
    found: list[Field] = []
    for name in fields:
        field = table.find_field(name)
        if field is None:
            raise refusal.unknown_field(name)
        found.append(field)
    return found


def _stored(draft: Draft, table: Table, fields: dict[str, Any], record: Record | None) -> dict[str, Any]:
    return {
        field.id: cells.accept(draft, field, value, None if record is None else record.cells.get(field.id))
        for field, value in zip(_named(table, fields), fields.values(), strict=True)
    }


def _update(draft: Draft, table: Table, record: Record, fields: dict[str, Any], replace: bool) -> _Row:
    stored = _stored(draft, table, fields, record)
    if any(table.fields[field_id].locked for field_id in stored):
        raise refusal.not_permitted()
    if replace:
        # PUT clears every writable cell it does not name (3.3).
        cleared = {
            each: cells.accept(draft, table.fields[each], None, value)
            for each, value in record.cells.items()
            if each not in stored and each in table.fields and not table.fields[each].computed
        }
        stored = {**cleared, **stored}
    return _Row(record=record, stored=stored)


def _apply(call: Call, table: Table, draft: Draft, rows: list[_Row]) -> list[Record]:
    """Do it, commit it, and return the records in the order of the rows."""
    action = call.action()
    add_choices(action, draft.choices)
    records: list[Record] = []
    for row in rows:
        if row.record is None:
            records.append(action.create(table, {key: value for key, value in row.stored.items() if value is not None}))
        else:
            for field_id, value in row.stored.items():
                action.put(row.record, field_id, value)
            records.append(row.record)
    call.changes.extend(payload.finish(action))
    return records


def _shown(call: Call, body: dict[str, Any], records: list[Record]) -> list[dict[str, Any]]:
    look = reading.Look(by_id=body.get("returnFieldsByFieldId") is True)
    return [reading.show(call.world, record, look, call.now) for record in records]


def _destroy(call: Call, records: list[Record]) -> None:
    action = call.action()
    for record in records:
        action.destroy(record)
    call.changes.extend(payload.finish(action))


# ---------------------------------------------------------------------------------------------------------- upsert


def _upsert(call: Call, table: Table, body: dict[str, Any], records: list[dict[str, Any]]) -> Any:
    keys = _merge_fields(table, body["performUpsert"])
    draft = _draft(call, body)
    replace = call.request.method == "PUT"
    rows: list[_Row] = []
    for each in records:
        fields = _fields(each)
        if "id" in each:
            rows.append(_update(draft, table, _named_record(table, each["id"]), fields, replace))
            continue
        wanted = _stored(draft, table, fields, None)
        if any(key.id not in wanted for key in keys):
            raise refusal.bad_records("Record must include columns to merge on")
        found = _matching(call, table, keys, wanted)
        if len(found) > 1:
            raise refusal.bad_records(
                "Cannot update more than one record with the same values of the fields to merge on"
            )
        if found:
            rows.append(_update(draft, table, found[0], fields, replace))
        else:
            rows.append(_Row(record=None, stored=wanted))
    existed = [row.record is not None for row in rows]
    applied = _apply(call, table, draft, rows)
    updated = [record for record, known in zip(applied, existed, strict=True) if known]
    created = [record for record, known in zip(applied, existed, strict=True) if not known]
    as_requested = call.world.choices.upsert_answer_order is UpsertAnswerOrder.AS_REQUESTED
    return {
        "records": _shown(call, body, applied if as_requested else updated + created),
        "updatedRecords": [record.id for record in updated],
        "createdRecords": [record.id for record in created],
    }


def _merge_fields(table: Table, value: Any) -> list[Field]:
    names = value.get("fieldsToMergeOn") if isinstance(value, dict) else None
    if not isinstance(names, list) or not 1 <= len(names) <= 3 or not all(isinstance(each, str) for each in names):
        raise refusal.bad_request()
    keys = _named(table, dict.fromkeys(names))
    if any(key.type not in _MERGE_TYPES for key in keys):
        raise refusal.bad_request()
    return keys


def _matching(call: Call, table: Table, keys: list[Field], wanted: dict[str, Any]) -> list[Record]:
    matches_empty = call.world.choices.empty_merge_key is EmptyMergeKey.MATCHES_EMPTY
    if not matches_empty and any(wanted[key.id] is None for key in keys):
        return []
    return [
        record for record in table.records.values() if all(record.cells.get(key.id) == wanted[key.id] for key in keys)
    ]
