"""
Cell values: what a write may hold, what REST answers, and what a webhook payload says.

Four forms of a value: *sent* (JSON in a request), *stored* (`Record.cells`: choice, user and record ids), *REST* and
*hook*. Source: reference/airtable.md 4.1, 4.2 and the recordings named there. An empty cell is absent everywhere.
"""

# ruff: noqa: ARG001, ARG005 - the functions of one table share one signature, whatever each of them needs of it

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from syncd.sandbox.airtable import formula, refusal
from syncd.sandbox.airtable.world import (
    Base,
    Choice,
    Field,
    Record,
    User,
    World,
    may,
    milliseconds,
)

_BULLET = re.compile(r"^(\s*)[*+] ", re.MULTILINE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TEXT_TYPES = frozenset({"singleLineText", "multilineText", "email", "url", "phoneNumber"})
_NUMBER_TYPES = frozenset({"number", "percent", "currency", "duration"})
_COLORS = ("blueLight2", "cyanLight2", "tealLight2", "greenLight2", "yellowLight2", "orangeLight2", "redLight2")


@dataclass(slots=True, kw_only=True)
class Draft:
    """
    What one request is about to do beside its cells; applied only when the whole request is accepted.

    `choices` are select choices that typecast makes, `typecast` and `user` decide whether it may, `now` dates them.
    """

    world: World
    base: Base
    user: User
    now: datetime
    typecast: bool
    choices: list[tuple[Field, Choice]]

    def choice(self, field: Field, name: str) -> str:
        """The id of a choice by name, a new one under typecast with the right to add. Raises Refusal."""
        found = field.choice_named(name)
        if found is None:
            found = next((each for owner, each in self.choices if owner is field and each.name == name), None)
        if found is None and self.typecast and may(self.base, self.user, "create"):
            color = _COLORS[len(field.choices) % len(_COLORS)]
            found = Choice(id=self.world.new_id("sel"), name=name, color=color)
            self.choices.append((field, found))
        if found is None:
            raise refusal.unknown_choice(name)
        return found.id


# ---------------------------------------------------------------------------------------------------- sent → stored


def accept(draft: Draft, field: Field, value: Any, before: Any) -> Any:
    """
    Turn one sent value into its stored form; None empties the cell.

    Args:
        draft: the request this cell belongs to.
        field: the column.
        value: JSON as sent.
        before: the stored value now, None when empty (rich text that was filled reads a newline after clearing).

    Raises:
        Refusal: the value does not fit, as reference/airtable.md section 7 says it.
    """
    if field.computed:
        raise refusal.computed_field(field.name)
    if field.type == "richText":
        return _rich_text(draft, field, value, before)
    if value is None:
        return None
    reader = _READERS.get(field.type)
    return value if reader is None else reader(draft, field, value)


def _rich_text(draft: Draft, field: Field, value: Any, before: Any) -> str | None:
    """Recorded: `* x` comes back as `- x`, a newline is appended, and a cleared cell reads one newline."""
    if value is None or value == "":
        return None if before is None else "\n"
    text = _text(draft, field, value)
    if text is None:
        return None
    text = _BULLET.sub(r"\1- ", text)
    return text if text.endswith("\n") else text + "\n"


def _text(draft: Draft, field: Field, value: Any) -> str | None:
    if not isinstance(value, str) and draft.typecast and isinstance(value, int | float | bool):
        value = str(value)
    if not isinstance(value, str) or len(value) > draft.world.limits.text_characters:
        raise refusal.bad_value(field.name)
    return value or None


def _number(draft: Draft, field: Field, value: Any) -> float | int:
    if isinstance(value, str) and draft.typecast:
        try:
            value = float(value.strip().rstrip("%")) / (100 if value.strip().endswith("%") else 1)
        except ValueError:
            raise refusal.bad_value(field.name) from None
        value = int(value) if value.is_integer() else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refusal.bad_value(field.name)
    return value


def _rating(draft: Draft, field: Field, value: Any) -> int:
    value = _number(draft, field, value)
    highest = (field.options or {}).get("max", 10)
    if value != int(value) or not 1 <= value <= highest:
        raise refusal.bad_value(field.name)
    return int(value)


def _checkbox(draft: Draft, field: Field, value: Any) -> bool | None:
    if isinstance(value, str) and draft.typecast:
        value = value.strip().lower() in {"true", "checked", "yes", "1"}
    if not isinstance(value, bool):
        raise refusal.bad_value(field.name)
    return value or None


def _date(draft: Draft, field: Field, value: Any) -> str | None:
    if value == "":
        return None
    if not isinstance(value, str):
        raise refusal.bad_value(field.name)
    try:
        if _DATE.fullmatch(value):
            datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
            return value
        return f"{datetime.fromisoformat(value):%Y-%m-%d}"
    except ValueError:
        raise refusal.bad_value(field.name) from None


def _date_time(draft: Draft, field: Field, value: Any) -> str | None:
    """An ISO string, or epoch milliseconds (recorded); without a zone it is read in the field's own (4.2)."""
    if value == "":
        return None
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=_zone(field))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value / 1000, tz=UTC)
        else:
            raise refusal.bad_value(field.name)
        return milliseconds(moment)
    except (ValueError, OverflowError, OSError):
        raise refusal.bad_value(field.name) from None


def _zone(field: Field) -> Any:
    name = (field.options or {}).get("timeZone", "utc")
    if name in {"utc", "client"}:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _single_select(draft: Draft, field: Field, value: Any) -> str | None:
    if not isinstance(value, str):
        raise refusal.bad_value(field.name)
    return draft.choice(field, value) if value else None


def _list(draft: Draft, field: Field, value: Any) -> list[Any]:
    if isinstance(value, str) and draft.typecast:
        return [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        raise refusal.bad_value(field.name)
    return value


def _multiple_selects(draft: Draft, field: Field, value: Any) -> tuple[str, ...] | None:
    found: list[str] = []
    for name in _list(draft, field, value):
        if not isinstance(name, str):
            raise refusal.bad_value(field.name)
        choice = draft.choice(field, name)
        if choice not in found:
            found.append(choice)
    return tuple(found) or None


def _person(draft: Draft, field: Field, value: Any) -> str:
    """Somebody with access to the base, by `{"id"}` or `{"email"}`."""
    if not isinstance(value, dict):
        raise refusal.bad_value(field.name)
    for user_id in draft.base.roles:
        user = draft.world.users[user_id]
        if value.get("id") == user.id or ("id" not in value and value.get("email") == user.email):
            return user.id
    raise refusal.bad_value(field.name)


def _people(draft: Draft, field: Field, value: Any) -> tuple[str, ...] | None:
    found = [
        _person(draft, field, {"id": each} if isinstance(each, str) else each) for each in _list(draft, field, value)
    ]
    return tuple(dict.fromkeys(found)) or None


def _links(draft: Draft, field: Field, value: Any) -> tuple[str, ...] | None:
    """Record ids of the linked table; under typecast also the text of their primary field."""
    linked = draft.base.tables.get((field.options or {}).get("linkedTableId", ""))
    found: list[str] = []
    for each in _list(draft, field, value):
        if not isinstance(each, str) or linked is None:
            raise refusal.bad_value(field.name)
        row = each
        if draft.typecast and row not in linked.records:
            row = next((rec.id for rec in linked.records.values() if rec.stored(linked.primary_id) == each), each)
        if row not in linked.records:
            raise refusal.missing_row(each)
        if row not in found:
            found.append(row)
    return tuple(found) or None


def _attachments(draft: Draft, field: Field, value: Any) -> tuple[dict[str, Any], ...] | None:
    """New ones by `url`, kept ones by `id`; both at once is malformed (recorded). Stored without any url."""
    stored: list[dict[str, Any]] = []
    for each in _list(draft, field, value):
        if not isinstance(each, dict) or ("url" in each) == ("id" in each):
            raise refusal.bad_attachment(field.name, each)
        if "id" in each:
            known = _known_attachment(draft.base, each["id"])
            if known is None:
                raise refusal.bad_attachment(field.name, each)
            stored.append(known)
        else:
            name = each.get("filename") or str(each["url"]).rstrip("/").rsplit("/", 1)[-1]
            stored.append(
                {
                    "id": draft.world.new_id("att"),
                    "filename": name,
                    "size": len(name) * 100,
                    "type": "application/octet-stream",
                }
            )
    return tuple(stored) or None


def _known_attachment(base: Base, attachment_id: Any) -> dict[str, Any] | None:
    for record in base.records.values():
        for value in record.cells.values():
            if isinstance(value, tuple):
                for each in value:
                    if isinstance(each, dict) and each.get("id") == attachment_id:
                        return each
    return None


def _barcode(draft: Draft, field: Field, value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict) or not isinstance(value.get("text"), str) or set(value) - {"text", "type"}:
        raise refusal.bad_value(field.name)
    return value if value["text"] else None


_READERS: dict[str, Callable[[Draft, Field, Any], Any]] = {
    **dict.fromkeys(_TEXT_TYPES, _text),
    **dict.fromkeys(_NUMBER_TYPES, _number),
    "rating": _rating,
    "checkbox": _checkbox,
    "date": _date,
    "dateTime": _date_time,
    "singleSelect": _single_select,
    "multipleSelects": _multiple_selects,
    "singleCollaborator": _person,
    "multipleCollaborators": _people,
    "multipleRecordLinks": _links,
    "multipleAttachments": _attachments,
    "barcode": _barcode,
}


# ------------------------------------------------------------------------------------------------ stored → REST, hook


def rest(world: World, field: Field, value: Any, now: datetime) -> Any:
    """The REST form of a stored value; attachment urls are new at every read (reference/airtable.md 3.5)."""
    shape = _REST.get(field.type)
    return value if shape is None else shape(world, field, value, now)


def _rest_choice(world: World, field: Field, value: Any, now: datetime) -> Any:
    choice = field.choice_by_id.get(value)
    return value if choice is None else choice.name


def _rest_person(world: World, field: Field, value: Any, now: datetime) -> Any:
    user = world.users.get(value)
    return value if user is None else {"id": user.id, "email": user.email, "name": user.name}


def _rest_attachments(world: World, field: Field, value: Any, now: datetime) -> Any:
    expires = int((now + timedelta(hours=2)).timestamp() * 1000)
    return [
        {**each, "url": f"{world.address}/v3/u/52/52/{expires}/{world.rng.getrandbits(64):016x}/{each['id']}"}
        for each in value
    ]


def _rest_lookup(world: World, field: Field, value: Any, now: datetime) -> Any:
    if not isinstance(value, dict) or "valuesByLinkedRecordId" not in value:
        return value
    return [each for row in value["linkedRecordIds"] for each in value["valuesByLinkedRecordId"].get(row, ())]


_REST: dict[str, Callable[[World, Field, Any, datetime], Any]] = {
    "singleSelect": _rest_choice,
    "externalSyncSource": _rest_choice,
    "multipleSelects": lambda world, field, value, now: [_rest_choice(world, field, each, now) for each in value],
    "singleCollaborator": _rest_person,
    "createdBy": _rest_person,
    "lastModifiedBy": _rest_person,
    "multipleCollaborators": lambda world, field, value, now: [_rest_person(world, field, each, now) for each in value],
    "multipleRecordLinks": lambda world, field, value, now: list(value),
    "multipleAttachments": _rest_attachments,
    "multipleLookupValues": _rest_lookup,
}


def hook(world: World, base: Base, field: Field, value: Any, now: datetime) -> Any:
    """The form inside webhook payloads, which differs for selects, links, lookups and people (reference/airtable.md 4.2)."""
    if value is None:
        return None
    if field.type in {"singleSelect", "externalSyncSource"}:
        return _hook_choice(field, value)
    if field.type == "multipleSelects":
        return [_hook_choice(field, each) for each in value]
    if field.type in {"singleCollaborator", "createdBy", "lastModifiedBy"}:
        return hook_user(world, base, value)
    if field.type == "multipleCollaborators":
        return [hook_user(world, base, each) for each in value]
    if field.type == "multipleRecordLinks":
        return [{"id": each, "name": primary_text(world, base, each, now)} for each in value]
    if field.type == "multipleLookupValues":
        return value
    return rest(world, field, value, now)


def _hook_choice(field: Field, value: Any) -> Any:
    choice = field.choice_by_id.get(value)
    return value if choice is None else {"id": choice.id, "name": choice.name, "color": choice.color}


def hook_user(world: World, base: Base, user_id: str) -> Any:
    """A person as payloads show one: e-mail, name and picture come unasked."""
    user = world.users.get(user_id)
    if user is None:
        return {"id": user_id}
    return {
        "id": user.id,
        "email": user.email,
        "permissionLevel": base.roles.get(user.id, "none"),
        "name": user.name,
        "profilePicUrl": f"https://static.airtable.com/images/userIcons/{user.id}.png",
    }


def primary_text(world: World, base: Base, record_id: str, now: datetime) -> str:
    """The primary field of a row as text, as link cells of payloads show it."""
    record = base.records.get(record_id) or base.trash.get(record_id)
    if record is None:
        return ""
    return formula.as_text(value_of(world, record, record.table.primary_id, now))


def value_of(world: World, record: Record, field_id: str, now: datetime) -> Any:
    """One cell in REST form, None when empty."""
    value = record.stored(field_id)
    field = record.table.fields.get(field_id)
    return value if value is None or field is None else rest(world, field, value, now)
