"""Which Airtable field types can hold what (reference/airtable.md 4.2): said at start, not at the first write."""

from datetime import datetime
from typing import Any

from syncd.model.schema import Field
from syncd.spec import nearest, schema
from syncd.spec.attributes import Attribute, Kind

TEXTS = ("singleLineText", "multilineText", "richText", "email", "url", "phoneNumber")
NUMBERS = ("number", "percent", "currency", "rating", "duration")
COMPUTED = frozenset(
    {
        "formula",
        "rollup",
        "multipleLookupValues",
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
_HOLDS = {
    Kind.TEXT: (*TEXTS, "singleSelect"),
    Kind.NUMBER: ("number", "currency", "percent", "duration", *TEXTS),
    Kind.BOOLEAN: ("checkbox", *TEXTS),
    Kind.INSTANT: ("dateTime", "date", *TEXTS),
    Kind.TEXTS: ("multipleSelects", "multilineText", "singleLineText", "richText"),
}
# Only what reads back as it was written can be compared in both directions.
_HOLDS_BOTH = {Kind.TEXT: (*TEXTS, "singleSelect"), Kind.BOOLEAN: ("checkbox",)}
COLUMNS = {
    "run_id": ("singleLineText",),
    "state": ("singleLineText", "singleSelect"),
    "note": ("multilineText", "singleLineText", "richText"),
    "hold": ("checkbox",),
}
STATUS = ("singleSelect", "singleLineText")
LINK = ("url", "singleLineText")


def kind_problem(field: Field, allowed: tuple[str, ...]) -> str:
    """What is wrong with the field's type; "" when it is one of these."""
    if field.kind in allowed or not allowed:
        return ""
    computed = ", which Airtable computes: nobody can write it" if field.kind in COMPUTED else ""
    *most, last = allowed
    types = f"{', '.join(most)} or {last}" if most else last
    return f'a field of type {types}; "{field.name}" is of type {field.kind}{computed}'


def mapped_problem(rule: schema.MappedField, attribute: Attribute, field: Field) -> str:
    """What is wrong with an attribute on this field; "" when they fit."""
    if rule.owner == "airtable" and field.kind in COMPUTED and not rule.adopt:
        # Read only: fine, when its result is text.
        return "" if field.result_kind in TEXTS else kind_problem(field, _HOLDS_BOTH[Kind.TEXT])
    allowed = _HOLDS[attribute.kind] if rule.owner == "bitbucket" else _HOLDS_BOTH.get(attribute.kind, ())
    if rule.map:
        allowed = ("singleSelect", *TEXTS)
    return kind_problem(field, allowed)


def options_problem(field: Field, wanted: str) -> str:
    """What is wrong with writing this option; "" when the select has it, or the field is none."""
    if field.kind not in ("singleSelect", "multipleSelects") or wanted in field.choices:
        return ""
    return f'"{field.name}" has no option "{wanted}". {nearest.listed("Options", wanted, field.choices)}'


def value_problem(outcome: Any, field: Field) -> str:
    """What is wrong with an expression's outcome in this field; "" when it fits or is empty."""
    if outcome is None or outcome in ("", []):
        return ""
    shown = (
        "a list" if isinstance(outcome, list) else "a table" if isinstance(outcome, dict) else type(outcome).__name__
    )
    names = {"str": "a text", "int": "a number", "float": "a number", "bool": "true or false"}
    told = f'a value for "{field.name}", of type {field.kind}; the expression gives {names.get(shown, shown)}'
    if isinstance(outcome, list) and not all(isinstance(entry, str) for entry in outcome):
        return told
    if isinstance(outcome, dict):
        return told
    if field.kind in TEXTS:
        return ""
    is_number = isinstance(outcome, int | float) and not isinstance(outcome, bool)
    fits = {
        "checkbox": isinstance(outcome, bool),
        "singleSelect": isinstance(outcome, str) or is_number,
        "multipleSelects": isinstance(outcome, list | str),
        "date": _is_moment(outcome),
        "dateTime": _is_moment(outcome),
    }.get(field.kind, field.kind in NUMBERS and (is_number or _is_number(outcome)))
    return "" if fits else told


def _is_moment(outcome: Any) -> bool:
    try:
        datetime.fromisoformat(outcome)
    except (TypeError, ValueError):
        return False
    return True


def _is_number(outcome: Any) -> bool:
    try:
        float(outcome)
    except (TypeError, ValueError):
        return False
    return isinstance(outcome, str)
