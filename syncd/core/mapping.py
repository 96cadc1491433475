"""A field rule applied: work → value, value → work, an expression's outcome → value."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from syncd.core import attribute, link
from syncd.model import value
from syncd.model.schema import Field
from syncd.model.value import NOTHING, Boolean, Options, Text, Unknown, Value
from syncd.spec.attributes import ATTRIBUTES, Kind
from syncd.spec.rules import FieldRule, SyncRules

_ONE_LINE = frozenset({"singleLineText", "email", "url", "phoneNumber"})
_TEXTS = _ONE_LINE | {"multilineText", "richText"}
_NUMBERS = frozenset({"number", "percent", "currency", "rating", "duration"})
_LINE_ENDS = re.compile(r"\s*[\r\n]\s*")


@dataclass(frozen=True, slots=True)
class Unfit:
    """A value that cannot stand where it should. `reason` is for people."""

    reason: str


def attribute_value(rule: FieldRule, found: Any, rules: SyncRules) -> Value | Unfit | Unknown:
    """
    An attribute of work as its field's value.

    Args:
        rule: a rule with an attribute.
        found: the piece of work that the attribute is of (`source`); None when there is none.

    Returns:
        The value; `Unknown` when Bitbucket has not been asked; `Unfit` when the field cannot hold it.
    """
    if found is None:
        return NOTHING
    kind, _, key = (rule.attribute or "").partition(".")
    raw = attribute.read(kind, key, found, rules)
    if raw is None and key == "merged_on" and found.state == "MERGED":
        return Unknown(f"when pull request #{found.key.number} was merged is not known yet")
    if key == "ahead" and found.ahead is None:
        return Unknown(f"whether {found.name} has commits is not known yet")
    if rule.map and raw is not None:
        mapped = rule.map.get(_key_of(raw))
        if mapped is None:
            return Unfit(f'{rule.attribute} is "{_key_of(raw)}", for which "{rule.field.name}" has no value')
        raw = mapped
    elif rule.attribute == "pr.title":
        return value.text(link.title_line(raw, rules))
    return fit(raw, rule.field)


def cell_value(rule: FieldRule, cell: Value, rules: SyncRules) -> Value:
    """A cell in the form in which it is compared with the attribute: a title is one line that Bitbucket can hold."""
    if isinstance(cell, Text) and cell.raw is not None and not rule.map and rule.attribute == "pr.title":
        return value.text(link.title_line(cell.raw, rules))
    if isinstance(cell, value.Number) and rule.field.precision is not None:
        return value.number(cell.number, rule.field.precision)
    return cell


def written_value(rule: FieldRule, wanted: Value) -> Value | Unfit:
    """
    A field's value as the attribute's, for writing it to Bitbucket; the prefix of a title is put on by `plan`.

    Returns:
        The value; `Unfit` when the map does not say which attribute value is meant, or only a hash of it is known.
    """
    kind = ATTRIBUTES[rule.attribute or ""].kind
    if isinstance(wanted, Text) and wanted.raw is None and wanted.key.startswith("sha256:"):
        return Unfit(f'"{rule.field.name}" is remembered by its hash only')
    if not rule.map or (wanted is NOTHING and kind is not Kind.BOOLEAN):
        return wanted
    shown = value.plain(wanted)
    meant = [name for name, mapped in rule.map.items() if mapped == shown]
    if len(meant) != 1:
        which = "no value" if not meant else f"several values ({', '.join(sorted(meant))})"
        return Unfit(f'"{rule.field.name}" is {_quoted(shown)}, which stands for {which} of {rule.attribute}')
    if kind is Kind.BOOLEAN:
        return value.boolean(meant[0] == "true")
    return value.text(meant[0])


def fit(raw: Any, field: Field) -> Value | Unfit:
    """
    Anything that an attribute or an expression gives, as a value that the field can hold.

    Args:
        raw: text, number, truth, datetime, list of texts or None.

    Returns:
        The value as Airtable reads it back (reference/airtable.md 4.2), or why the field cannot hold it.
    """
    if raw is None or raw in ("", []):
        return NOTHING
    if field.kind in _TEXTS:
        return _as_text(raw, field)
    if field.kind in _NUMBERS:
        return _as_number(raw, field)
    match field.kind:
        case "checkbox":
            return value.boolean(raw) if isinstance(raw, bool) else _unfit(raw, field, "true or false")
        case "singleSelect":
            return _as_option(raw, field)
        case "multipleSelects":
            return _as_options(raw, field)
        case "date" | "dateTime":
            return _as_moment(raw, field)
    return Unfit(f'"{field.name}" is a {field.kind} field, which syncd cannot write')


def _as_text(raw: Any, field: Field) -> Value | Unfit:
    if isinstance(raw, bool):
        shown = "true" if raw else ""
    elif isinstance(raw, str):
        shown = raw
    elif isinstance(raw, int | float):
        shown = str(raw)
    elif isinstance(raw, datetime):
        shown = value.format_instant(raw)
    elif isinstance(raw, list):
        shown = ", ".join(str(entry) for entry in raw)
    else:
        return _unfit(raw, field, "text")
    if field.kind == "richText":
        return value.rich_text(shown)
    # A line end in a one-line cell would not read back.
    return value.text(_LINE_ENDS.sub(" ", shown) if field.kind in _ONE_LINE else shown)


def _as_number(raw: Any, field: Field) -> Value | Unfit:
    if isinstance(raw, int | float | str) and not isinstance(raw, bool):
        try:
            return value.number(raw, field.precision)
        except (ValueError, ArithmeticError):
            pass
    return _unfit(raw, field, "a number")


def _as_option(raw: Any, field: Field) -> Value | Unfit:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        return _unfit(raw, field, "the name of an option")
    chosen = value.text(str(raw))
    if field.choices and isinstance(chosen, Text) and chosen.key not in field.choices:
        return Unfit(f'"{field.name}" has no option "{chosen.key}"; options: {", ".join(field.choices)}')
    return chosen


def _as_options(raw: Any, field: Field) -> Value | Unfit:
    names = [raw] if isinstance(raw, str) else raw
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return _unfit(raw, field, "a list of option names")
    strange = [name for name in names if field.choices and name not in field.choices]
    if strange:
        return Unfit(f'"{field.name}" has no option "{strange[0]}"; options: {", ".join(field.choices)}')
    return value.options(names)


def _as_moment(raw: Any, field: Field) -> Value | Unfit:
    wanted = "a moment (ISO 8601)" if field.kind == "dateTime" else "a day (ISO 8601)"
    if not isinstance(raw, str | datetime):
        return _unfit(raw, field, wanted)
    try:
        moment = raw if isinstance(raw, datetime) else datetime.fromisoformat(raw)
    except ValueError:
        return _unfit(raw, field, wanted)
    if field.kind == "date":
        return value.Day(moment.astimezone(UTC).date() if moment.tzinfo else moment.date())
    if moment.tzinfo is None:
        if isinstance(raw, str) and len(raw) > len(date.min.isoformat()):
            return _unfit(raw, field, "a moment with its time zone")
        moment = moment.replace(tzinfo=UTC)
    return value.instant(moment)


def _key_of(raw: Any) -> str:
    return str(raw).lower() if isinstance(raw, bool) else str(raw)


def _unfit(raw: Any, field: Field, wanted: str) -> Unfit:
    return Unfit(f'"{field.name}" needs {wanted}, not {_quoted(raw)}')


def _quoted(raw: Any) -> str:
    shown = str(raw)
    return f'"{shown[:60]}"' if isinstance(raw, str) else f"{shown[:60]}"


def removed(before: Value | Unknown, after: Value) -> int:
    """How many values a write takes away: a value emptied counts one, a set each name that goes."""
    if isinstance(before, Options):
        return len(before.names - (after.names if isinstance(after, Options) else frozenset()))
    emptied = after is NOTHING and before is not NOTHING and not isinstance(before, Unknown | Boolean)
    return 1 if emptied else 0
