"""Who am I, which bases, which tables and fields; and the little of the schema that the API can change (6.1)."""

from typing import Any

from syncd.sandbox.airtable import payload, refusal
from syncd.sandbox.airtable.call import Call
from syncd.sandbox.airtable.schema import FieldSpecError, add_field, describe_field, describe_table, new_table
from syncd.sandbox.airtable.world import Table, may

# Types that the API cannot make: each type's own page says so (reference/airtable.md 6.1).
_NOT_CREATABLE = frozenset(
    {
        "formula",
        "rollup",
        "count",
        "multipleLookupValues",
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


def whoami(call: Call) -> Any:
    """`GET /v0/meta/whoami`: needs no scope."""
    answer: dict[str, Any] = {"id": call.token.user.id}
    if "user.email:read" in call.token.scopes:
        answer["email"] = call.token.user.email
    if call.token.integration is not None:
        answer["scopes"] = sorted(call.token.scopes)
    return answer


def list_bases(call: Call) -> Any:
    """`GET /v0/meta/bases`: what user and token both may see."""
    call.need("schema.bases:read")
    user, granted = call.token.user, call.token.bases
    seen = [
        {"id": base.id, "name": base.name, "permissionLevel": base.roles[user.id]}
        for base in call.world.bases.values()
        if may(base, user, "read") and (granted is None or base.id in granted)
    ]
    return {"bases": seen}


def get_base(call: Call) -> Any:
    """`GET /v0/meta/bases/{base}?include=collaborators`."""
    call.need("schema.bases:read")
    base = call.base
    answer: dict[str, Any] = {
        "id": base.id,
        "name": base.name,
        "permissionLevel": base.roles[call.token.user.id],
        "workspaceId": base.workspace.id,
    }
    included = {part for key, value in call.request.query if key.startswith("include") for part in value.split(",")}
    if "collaborators" in included:
        people = [
            {"userId": user.id, "email": user.email, "permissionLevel": base.roles[user.id]}
            for user in (call.world.users[each] for each in base.roles)
        ]
        answer["individualCollaborators"] = {"baseCollaborators": people, "workspaceCollaborators": []}
        answer["groupCollaborators"] = {"baseCollaborators": [], "workspaceCollaborators": []}
    return answer


def list_tables(call: Call) -> Any:
    """`GET /v0/meta/bases/{base}/tables`: no paging."""
    call.need("schema.bases:read")
    visible = any(key.startswith("include") and "visibleFieldIds" in value for key, value in call.request.query)
    return {"tables": [describe_table(table, visible) for table in call.base.tables.values()]}


def create_table(call: Call) -> Any:
    """`POST …/tables`."""
    body = _writable_schema(call, frozenset({"name", "description", "fields"}))
    fields = body.get("fields")
    if not isinstance(body.get("name"), str) or not isinstance(fields, list) or not fields:
        raise refusal.bad_request()
    kinds = [each.get("type") if isinstance(each, dict) else None for each in fields]
    if not all(isinstance(kind, str) and kind not in _NOT_CREATABLE for kind in kinds):
        raise refusal.bad_request()
    if call.base.find_table(body["name"]) is not None:
        raise refusal.bad_request()
    action = call.action()
    try:
        table = new_table(action, {**body, "views": [{"name": "Grid view"}]})
    except FieldSpecError:
        raise refusal.bad_request() from None
    call.changes.extend(payload.finish(action))
    return describe_table(table, False)


def update_table(call: Call) -> Any:
    """`PATCH …/tables/{tbl}`: name, description."""
    body = _writable_schema(call, frozenset({"name", "description"}))
    table = _table(call)
    action = call.action()
    before = {key: getattr(table, key) for key in body}
    if not all(value is None or isinstance(value, str) for value in body.values()) or body.get("name", "x") is None:
        raise refusal.bad_request()
    for key, value in body.items():
        setattr(table, key, value)
        action.say_schema(table.id, key, before[key], value)
    action.tables_changed.append((table, before, body))
    call.changes.extend(payload.finish(action))
    return describe_table(table, False)


def create_field(call: Call) -> Any:
    """`POST …/tables/{tbl}/fields`."""
    body = _writable_schema(call, frozenset({"name", "type", "description", "options"}))
    table = _table(call)
    kind, name = body.get("type"), body.get("name")
    if not isinstance(kind, str) or kind in _NOT_CREATABLE or not isinstance(name, str) or name in table.by_name:
        raise refusal.bad_request()
    action = call.action()
    try:
        field = add_field(action, table, body)
    except FieldSpecError:
        raise refusal.bad_request() from None
    call.changes.extend(payload.finish(action))
    return describe_field(field)


def update_field(call: Call) -> Any:
    """`PATCH …/fields/{fld}`: name, description."""
    body = _writable_schema(call, frozenset({"name", "description"}))
    table = _table(call)
    field = table.fields.get(call.parts[7])
    if field is None:
        raise refusal.not_permitted_or_not_found()
    if not all(value is None or isinstance(value, str) for value in body.values()) or body.get("name", "x") is None:
        raise refusal.bad_request()
    action = call.action()
    before = {key: getattr(field, key) for key in body}
    for key, value in body.items():
        setattr(field, key, value)
        action.say_schema(field.id, key, before[key], value)
    table.index()
    action.fields_changed.append((table, field, before, body))
    call.changes.extend(payload.finish(action))
    return describe_field(field)


def _writable_schema(call: Call, allowed: frozenset[str]) -> dict[str, Any]:
    call.need("schema.bases:write")
    call.need_role("create")
    return call.body(allowed)


def _table(call: Call) -> Table:
    table = call.base.tables.get(call.parts[5])
    if table is None:
        raise refusal.not_permitted_or_not_found()
    return table
