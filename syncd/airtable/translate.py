"""
Cells, records and schemas: Airtable's JSON to the model and back. Pure.

The law: `decode(field, encode(field, value)) == value`, or `encode` refuses in words (DESIGN "Values", I28). An error in a
cell, a form that is not known and a type that is not read are `Unknown` with a reason, never empty (AT22, AT27).
"""

# ruff: noqa: ARG001 - the functions of one table share one signature, whatever each of them needs of it

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from syncd.airtable import shape
from syncd.model import value
from syncd.model.ids import BaseId, FieldId, RecordId, TableId, ViewId
from syncd.model.record import Record
from syncd.model.schema import Field, Table, View
from syncd.model.value import NOTHING, TRUE, Boolean, Day, Instant, Number, Options, Text, Unknown, Value

_TEXTS = frozenset({"singleLineText", "multilineText", "email", "url", "phoneNumber"})
_NUMBERS = frozenset({"number", "percent", "currency", "rating", "duration"})
_BY_RESULT = frozenset({"formula", "rollup", "multipleLookupValues"})

WRITABLE = _TEXTS | _NUMBERS | {"richText", "checkbox", "singleSelect", "multipleSelects", "date", "dateTime"}
"""The schema's type names of fields that syncd can write."""
READABLE = WRITABLE | _BY_RESULT | {"createdTime", "lastModifiedTime", "count", "autoNumber"}
"""Those that can be a source; formulas, rollups and lookups when their result is one of the others."""

# A lookup of lists of options has three; a body may have hundreds.
_LEVELS_MAX = 8


class _Unfit(ValueError):
    """A cell's JSON is not of its field's form. The text is for people and does not quote the cell."""


# -------------------------------------------------------------------------------------------------- cells: reading


def decode(field: Field, raw: Any) -> Value | Unknown:
    """
    A cell as REST answers it (reference/airtable.md 4.1, 4.2).

    Args:
        field: the column; its `precision` rounds.
        raw: the JSON; None for a cell that is absent, which means empty.

    Returns:
        The value, or `Unknown` with the reason.
    """
    if field.kind not in READABLE:
        return Unknown(f'"{field.name}" is a {field.kind} field, which syncd does not read')
    if raw is None or raw is False or raw in ("", []):
        return NOTHING
    try:
        if field.kind in _BY_RESULT:
            return _result(field, raw)
        return _DECODERS[field.kind](field, raw)
    except _Unfit as unfit:
        return Unknown(f'"{field.name}" {unfit}')


def decode_hook(field: Field, raw: Any) -> Value | Unknown:
    """A cell as webhook payloads show it, where selects are objects and lookups stand by record (reference/airtable.md 4.2)."""
    return decode(field, _rest_form(raw))


def _rest_form(raw: Any, levels: int = _LEVELS_MAX) -> Any:
    """Choices by name, lookups as one list; everything else, and what is nested deeper, stands as it is."""
    if not levels:
        return raw
    if isinstance(raw, list):
        return [_rest_form(each, levels - 1) for each in raw]
    if isinstance(raw, dict):
        by_record = raw.get("valuesByLinkedRecordId")
        if isinstance(by_record, dict):
            order = raw.get("linkedRecordIds")
            rows = order if isinstance(order, list) else list(by_record)
            found = [by_record[row] for row in rows if isinstance(row, str) and row in by_record]
            rows_of_cells = [cells if isinstance(cells, list) else [cells] for cells in found]
            return [_rest_form(each, levels - 1) for cells in rows_of_cells for each in cells]
        if shape.is_id(raw.get("id"), "sel") and isinstance(raw.get("name"), str):
            return raw["name"]
    return raw


def _text(field: Field, raw: Any) -> Value:
    return value.text(_string(raw))


def _rich_text(field: Field, raw: Any) -> Value:
    return value.rich_text(_string(raw))


def _string(raw: Any) -> str:
    if not isinstance(raw, str):
        _require_sound(raw)
        raise _Unfit("holds something that is no text")
    if not raw.isascii() and any("\ud800" <= letter <= "\udfff" for letter in raw):
        raise _Unfit("holds half a character (a lone surrogate)")
    return raw


def _number(field: Field, raw: Any) -> Value:
    _require_sound(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise _Unfit("holds something that is no number")
    try:
        # The service keeps doubles: a whole number that is none has no meaning, and no end (DA10).
        float(raw)
        return value.number(raw, field.precision)
    except (ValueError, ArithmeticError):
        raise _Unfit("holds a number that cannot be compared exactly") from None


def _checkbox(field: Field, raw: Any) -> Value:
    _require_sound(raw)
    if raw is not True:
        raise _Unfit("holds something that is no checkmark")
    return TRUE


def _day(field: Field, raw: Any) -> Value:
    written = _string(raw)
    try:
        # Computed days may carry a time.
        return Day(date.fromisoformat(written) if len(written) == 10 else datetime.fromisoformat(written).date())
    except ValueError:
        raise _Unfit("holds something that is no day") from None


def _instant(field: Field, raw: Any) -> Value:
    written = _string(raw)
    if field.result_kind == "date":
        return _day(field, raw)
    found = shape.moment(written)
    if found is None:
        raise _Unfit("holds something that is no moment with a zone")
    return value.instant(found)


def _options(field: Field, raw: Any) -> Value:
    _require_sound(raw)
    if not isinstance(raw, list):
        raise _Unfit("holds something that is no list of options")
    return value.options([_string(each) for each in raw])


_DECODERS: Mapping[str, Callable[[Field, Any], Value]] = {
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_NUMBERS, _number),
    "richText": _rich_text,
    "checkbox": _checkbox,
    "singleSelect": _text,
    "multipleSelects": _options,
    "date": _day,
    "dateTime": _instant,
    "createdTime": _instant,
    "lastModifiedTime": _instant,
    "count": _number,
    "autoNumber": _number,
}


def _result(field: Field, raw: Any) -> Value:
    """A computed cell, by the type of its result; by its JSON when the schema names none."""
    _require_sound(raw)
    several = raw if isinstance(raw, list) else [raw]
    # A lookup of lists is a list of lists.
    cells = [each for entry in several for each in (entry if isinstance(entry, list) else [entry])]
    cells = [each for each in cells if each not in (None, "")]
    if not cells:
        return NOTHING
    kind = field.result_kind or _guess(cells[0])
    if kind not in READABLE - _BY_RESULT:
        raise _Unfit(f"computes a {kind}, which syncd does not read")
    if kind == "multipleSelects" or (kind == "singleSelect" and isinstance(raw, list)):
        return _options(field, cells)
    found = [_DECODERS[kind](field, each) for each in cells]
    if len(found) == 1:
        return found[0]
    if kind in _TEXTS or kind == "richText":
        return value.text(", ".join(_string(each) for each in cells))
    raise _Unfit("holds several values")


def _guess(raw: Any) -> str:
    _require_sound(raw)
    if isinstance(raw, bool):
        return "checkbox"
    return "singleLineText" if isinstance(raw, str) else "number"


def _require_sound(raw: Any) -> None:
    """Refuse what a computed cell holds in the place of a value: `{"error": …}`, `{"specialValue": "NaN"}`."""
    if isinstance(raw, dict):
        for key in ("error", "specialValue"):
            told = raw.get(key)
            if isinstance(told, str):
                shown = "".join(letter for letter in told if letter.isascii() and letter.isprintable())
                raise _Unfit(f"shows {shown[:40]} instead of a value")


# -------------------------------------------------------------------------------------------------- cells: writing


def encode(field: Field, wanted: Value) -> Any:
    """
    The JSON that makes a cell hold a value; None empties it.

    Raises:
        ValueError: the field cannot hold it, or it would not read back as an equal value; says why in words.
    """
    if field.kind not in WRITABLE:
        raise ValueError(f'"{field.name}" is a {field.kind} field, which syncd cannot write')
    if wanted is NOTHING:
        return None
    sent = _ENCODERS[field.kind](field, wanted)
    if decode(field, sent) != wanted:
        raise ValueError(f'"{field.name}" would not read back as it was written')
    return sent


def _send_text(field: Field, wanted: Value) -> str:
    if not isinstance(wanted, Text):
        raise ValueError(f'"{field.name}" holds text, not {_noun(wanted)}')
    if wanted.raw is None and wanted.key.startswith("sha256:"):
        raise ValueError(f'the text for "{field.name}" is remembered by its hash only')
    raw = wanted.key if wanted.raw is None else wanted.raw
    for letter in raw:
        if unicodedata.category(letter) in {"Cc", "Cs"} and letter not in "\t\n\r":
            raise ValueError(f'the text for "{field.name}" holds the control character U+{ord(letter):04X}')
    return raw


def _send_number(field: Field, wanted: Value) -> int | float:
    if not isinstance(wanted, Number):
        raise ValueError(f'"{field.name}" holds a number, not {_noun(wanted)}')
    exact = wanted.number
    whole = exact == exact.to_integral_value()
    if field.kind == "rating" and (not whole or exact < 1):
        raise ValueError(f'"{field.name}" holds whole numbers from 1 on')
    # The service keeps doubles; what those cannot hold is found by reading it back.
    return int(exact) if whole and abs(exact) <= 2**53 else float(exact)


def _send_checkbox(field: Field, wanted: Value) -> bool:
    if not isinstance(wanted, Boolean):
        raise ValueError(f'"{field.name}" holds a checkmark, not {_noun(wanted)}')
    return True


def _send_choice(field: Field, wanted: Value) -> str:
    raw = _send_text(field, wanted)
    # By their form for comparing, so that blanks around a choice's name do not matter; the exact name goes first.
    for choice in sorted(field.choices, key=lambda name: name != raw):
        if value.text(choice) == wanted:
            return choice
    if field.choices:
        raise ValueError(f'"{field.name}" has no option "{raw[:60]}"')
    return raw


def _send_choices(field: Field, wanted: Value) -> list[str]:
    if not isinstance(wanted, Options):
        raise ValueError(f'"{field.name}" holds a set of options, not {_noun(wanted)}')
    strange = sorted(wanted.names - frozenset(field.choices)) if field.choices else []
    if strange:
        raise ValueError(f'"{field.name}" has no option "{strange[0][:60]}"')
    order = {name: place for place, name in enumerate(field.choices)}
    return sorted(wanted.names, key=lambda name: (order.get(name, 0), name))


def _send_day(field: Field, wanted: Value) -> str:
    if not isinstance(wanted, Day):
        raise ValueError(f'"{field.name}" holds a day, not {_noun(wanted)}')
    return wanted.day.isoformat()


def _send_instant(field: Field, wanted: Value) -> str:
    if not isinstance(wanted, Instant):
        raise ValueError(f'"{field.name}" holds a moment, not {_noun(wanted)}')
    return value.format_instant(wanted.at)


_ENCODERS: Mapping[str, Callable[[Field, Value], Any]] = {
    **dict.fromkeys(_TEXTS, _send_text),
    **dict.fromkeys(_NUMBERS, _send_number),
    "richText": _send_text,
    "checkbox": _send_checkbox,
    "singleSelect": _send_choice,
    "multipleSelects": _send_choices,
    "date": _send_day,
    "dateTime": _send_instant,
}


def _noun(wanted: Value) -> str:
    return {"Nothing": "nothing", "Boolean": "a truth", "Options": "a set", "Day": "a day", "Instant": "a moment"}.get(
        type(wanted).__name__, f"a {type(wanted).__name__.lower()}"
    )


# --------------------------------------------------------------------------------------------------------- records


def parse_record(raw: Any, fields: Sequence[Field], *, in_view: bool = True) -> Record:
    """
    A record with exactly these fields' cells, read with `returnFieldsByFieldId`. Raises ShapeError.

    Args:
        fields: those that were asked for; one that the answer leaves out is empty (reference/airtable.md 4.1).
    """
    created_at = shape.moment(shape.mapping(raw, "a record").get("createdTime"))
    if created_at is None:
        raise shape.ShapeError("a record has no moment 'createdTime'")
    cells = shape.mapping(raw.get("fields"), "a record's 'fields'")
    return Record(
        id=RecordId(shape.identity(raw, "id", "rec", "a record")),
        created_at=created_at,
        cells={field.id: decode(field, cells.get(field.id)) for field in fields},
        in_view=in_view,
    )


# ---------------------------------------------------------------------------------------------------------- schema


def parse_tables(base: BaseId, raw: Any) -> tuple[Table, ...]:
    """
    The schema of a base (reference/airtable.md 6.1): unknown types and keys are let through.

    Raises:
        ShapeError: the frame is not as documented; a schema is believed whole or not at all.
    """
    return tuple(_table(base, each) for each in shape.sequence(raw, "tables", "the schema"))


def _table(base: BaseId, raw: Any) -> Table:
    views = raw.get("views") if isinstance(raw, dict) else None
    return Table(
        base=base,
        id=TableId(shape.identity(raw, "id", "tbl", "a table")),
        name=shape.name(raw, "name", "a table"),
        primary=FieldId(shape.identity(raw, "primaryFieldId", "fld", "a table")),
        fields=tuple(parse_field(each) for each in shape.sequence(raw, "fields", "a table")),
        views=tuple(
            View(id=ViewId(each["id"]), name=_text_or_empty(each.get("name")), kind=_text_or_empty(each.get("type")))
            for each in (views if isinstance(views, list) else ())
            if isinstance(each, dict) and shape.is_id(each.get("id"), "viw")
        ),
    )


def parse_field(raw: Any) -> Field:
    """One field of the schema. `precision` counts digits of the stored number, so two more than a percent field shows."""
    kind = shape.name(raw, "type", "a field")
    options = _object(raw.get("options"))
    result = _object(options.get("result"))
    result_kind = result.get("type")
    computed = isinstance(result_kind, str) and kind not in WRITABLE
    digits = (_object(result.get("options")) if computed else options).get("precision")
    numeric = result_kind if computed else kind
    precision = digits if isinstance(digits, int) and not isinstance(digits, bool) and 0 <= digits <= 12 else None
    if precision is not None and numeric == "percent":
        precision += 2
    choices = options.get("choices")
    return Field(
        id=FieldId(shape.identity(raw, "id", "fld", "a field")),
        name=shape.name(raw, "name", "a field"),
        kind=kind,
        choices=tuple(
            shape.sound(each["name"])
            for each in (choices if isinstance(choices, list) else ())
            if isinstance(each, dict) and isinstance(each.get("name"), str)
        ),
        precision=precision if numeric in _NUMBERS else None,
        result_kind=shape.sound(str(result_kind)) if computed else "",
    )


def _object(raw: Any) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _text_or_empty(raw: Any) -> str:
    return shape.sound(raw) if isinstance(raw, str) else ""


# ---------------------------------------------------------------------------------------------------------- errors


def explain(status: int, raw: Any) -> tuple[str, str]:
    """
    Code and text of an error body, from all four shapes (reference/airtable.md 7); "" for what is not there.

    The bare text `{"error": "NOT_FOUND"}` says that the path is wrong, the object `{"type": "NOT_FOUND"}` that a record is
    missing: the first is told as `ROUTE_NOT_FOUND`, because nobody may take it for a deleted record.
    """
    body = _object(raw)
    errors = body.get("errors")
    first = _object(errors[0]) if isinstance(errors, list) and errors else {}
    told: Any = body.get("error", first.get("error"))
    message: Any = first.get("message")
    if isinstance(told, dict):
        message = told.get("message")
        told = told.get("type")
    elif told == "NOT_FOUND" and status == 404 and not first:
        told = "ROUTE_NOT_FOUND"
    code = told if isinstance(told, str) and told.isascii() and told.isprintable() and len(told) <= 80 else ""
    return code, message if isinstance(message, str) else ""
