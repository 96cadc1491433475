"""
Every expression evaluated before the daemon starts: on an empty and a full record, and with each list empty in turn.

SPEC "Expressions": an error there is an error of the spec. The scopes have exactly the names and types that core gives.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from syncd.model.schema import Field
from syncd.model.work import List
from syncd.spec.attributes import BY_LIST, PRIMARIES, Kind, empty_element
from syncd.spec.expression import Expression, ExpressionError, Template
from syncd.spec.fit import NUMBERS

_INSTANT = "2026-01-02T03:04:05.678Z"
# What people write: a branch name made of it unchanged would be refused.
_ODD_TEXT = "Ünï: a ~text^ with [signs]"
_REFUSED_IN_A_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)|^[/.-]|[/.]$|/\.")
_FULL: Mapping[Kind, Any] = {
    Kind.TEXT: "text",
    Kind.NUMBER: 2,
    Kind.BOOLEAN: True,
    Kind.INSTANT: _INSTANT,
    Kind.TEXTS: ["{00000000-0000-0000-0000-000000000000}"],
}


def _full_element(members: List) -> dict[str, Any]:
    return {key: entry.values[0] if entry.values else _FULL[entry.kind] for key, entry in BY_LIST[members].items()}


# Two full elements of every kind of work, the same for every spec.
_WORK: Mapping[List, Any] = {members: [_full_element(members), _full_element(members)] for members in List}


def scopes(fields: Iterable[Field], states: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    The scopes of the rehearsal, each with the words that describe it.

    Args:
        fields: of the table.
        states: of the status machine; () without one.
    """
    table = tuple(fields)
    empty, full = _record(table, full=False), _record(table, full=True)
    state = states[0] if states else None
    yield "an empty record", _scope(empty, None, state, dict.fromkeys(List, ()))
    yield "a full record", _scope(full, _ODD_TEXT, state, _WORK)
    yield "an empty record with work", _scope(empty, None, state, _WORK)
    for members in List:
        yield f"a record without {members.value}", _scope(full, _ODD_TEXT, state, {**_WORK, members: ()})


def failure(made: Expression | Template, fields: Iterable[Field], states: tuple[str, ...]) -> str:
    """Why it fails on one of the scopes, and on which; "" when it never does."""
    table = tuple(fields)
    for field in table:
        if not _is_number(field) and made.factors & {field.name, field.id}:
            return f"a product of numbers; {field.name} is of type {field.result_kind or field.kind}"
    for told, scope in scopes(table, states):
        try:
            if isinstance(made, Expression):
                made.evaluate(scope)
            else:
                made.render(scope)
        except ExpressionError as exc:
            return f"an expression that works on every record; on {told}: {'; '.join(exc.problems)}"
    return ""


def branch_failure(made: Template, fields: Iterable[Field], states: tuple[str, ...]) -> str:
    """Why a branch of that name could not be made for some record; "" when it always can (git-check-ref-format)."""
    for told, scope in scopes(fields, states):
        name = made.render(scope)
        if _REFUSED_IN_A_REF.search(name):
            return f"a template that always gives a valid branch name; on {told} it does not. Put `| slug` behind texts"
    return ""


def outcomes(made: Expression, fields: Iterable[Field], states: tuple[str, ...]) -> list[Any]:
    """What it gives on every scope, for a check of types; it must not fail."""
    return [made.evaluate(scope) for _, scope in scopes(fields, states)]


def _scope(record: dict[str, Any], name: str | None, status: str | None, work: Mapping[List, Any]) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "record": record,
        "record_id": "recABCDEFGHIJKLMN",
        "name": name,
        "status": status,
        "today": _INSTANT[:10],
        "now": _INSTANT,
    }
    for primary, members in PRIMARIES.items():
        scope[members.value] = list(work[members])
        scope[primary] = work[members][0] if work[members] else empty_element(members)
    return scope


def _record(fields: Iterable[Field], *, full: bool) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for field in fields:
        record[field.name] = record[field.id] = _cell(field) if full else (False if field.kind == "checkbox" else None)
    return record


def sort(field: Field) -> str:
    """What an expression gets from a field, in a word: types of one sort compare alike."""
    kind = field.result_kind or field.kind
    if kind == "checkbox":
        return "checkbox"
    if kind == "multipleSelects":
        return "list"
    if _is_number(field):
        return "number"
    # Also instants and dates, which are texts of one form: another form compares otherwise.
    cell = _cell(field)
    return {_INSTANT: "time", _INSTANT[:10]: "date"}.get(cell, "text")


def _is_number(field: Field) -> bool:
    kind = field.result_kind or field.kind
    return kind in NUMBERS or kind in ("count", "autoNumber", "checkbox")


def _cell(field: Field) -> Any:
    kind = field.result_kind or field.kind
    if kind in NUMBERS or kind in ("count", "autoNumber"):
        return 2
    if kind == "checkbox":
        return True
    if kind == "multipleSelects":
        return list(field.choices[:1]) or ["option"]
    if kind in ("dateTime", "createdTime", "lastModifiedTime"):
        return _INSTANT
    if kind == "date":
        return _INSTANT[:10]
    return field.choices[0] if field.choices else _ODD_TEXT
