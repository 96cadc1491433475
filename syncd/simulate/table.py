"""
A table that fits the syncs on it: every field that they name or read, of a type that can hold what it should, and rows in
different states of work, some of them outside what `where` chooses.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syncd import errors
from syncd.model.ids import FieldId
from syncd.model.schema import Field
from syncd.spec import fit, lint, load, rehearse, schema
from syncd.spec.attributes import ATTRIBUTES, Kind
from syncd.spec.expression import Expression, ExpressionError, Template

ROWS = ("Login page", "Password reset", "Rate limits", "Audit log", "Dark mode", "Search", "Export")
PRIVATE = "Nobody's field"
_SHOWN_IN = "The view it is in"
_KINDS = {Kind.NUMBER: "number", Kind.BOOLEAN: "checkbox", Kind.INSTANT: "dateTime", Kind.TEXTS: "multilineText"}
_ID = re.compile(r"(?:fld|tbl|viw)[A-Za-z0-9]{14}")
_LITERAL = r"""(?:"([^"]*)"|'([^']*)')"""
_LISTED = r"\[([^\]]*)\]"
_TRIES_MAX = 2_000

# A field that only people fill in: its type, and what they put there.
Guess = tuple[str, tuple[Any, ...]]
_GUESSES: tuple[Guess, ...] = (
    ("checkbox", (True, False)),
    ("singleLineText", ("Some words", "")),
    ("number", (0, 1, 5)),
    ("date", ("2026-10-30", "2026-11-30")),
    ("multipleSelects", (["One"], [])),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """
    A table as the emulated service makes it, and which of its rows are each sync's.

    Args:
        shape: the argument of the sandbox's `add_base`.
        rows: positions of rows by sync.
    """

    shape: Mapping[str, Any]
    rows: Mapping[str, Sequence[int]]


def primary_of(sync: schema.Sync) -> str:
    """The table's first field: the one that becomes a title, else "Name"."""
    return next((name for name, rule in sync.fields.items() if rule.bitbucket == "pr.title"), "Name")


def describe(spec: load.Spec, syncs: Mapping[str, schema.Sync], canary: str) -> Described:
    """
    Everything about one table.

    Args:
        syncs: those on it, by name; at least one.
        canary: stands in a field that no rule names.

    Raises:
        UsageError: no types of fields were found with which an expression of the spec works.
    """
    table = next(iter(syncs.values())).airtable.table
    fields: dict[str, dict[str, Any]] = {}
    for key, sync in syncs.items():
        for name, made in _fields(spec, key, sync).items():
            fields.setdefault(name, made)
    views = list(dict.fromkeys(sync.airtable.view for sync in syncs.values() if sync.airtable.view))
    fields[PRIVATE] = _field(PRIVATE, "multilineText")
    if len(views) > 1:
        # Two syncs write one field only for different records.
        fields[_SHOWN_IN] = _select(_SHOWN_IN, views)
    rows, mine = [], {key: list[int]() for key in syncs}
    for index, words in enumerate(ROWS):
        cells: dict[str, Any] = {PRIVATE: f"{canary} cell {table} {index}"}
        if len(views) > 1:
            cells[_SHOWN_IN] = views[index % len(views)]
        for key, sync in syncs.items():
            for name, value in _cells(spec, key, sync, index, words).items():
                cells.setdefault(name, value)
            if len(views) < 2 or sync.airtable.view in (None, cells[_SHOWN_IN]):
                mine[key].append(index)
        rows.append({"fields": cells})
    filters = [{"field": _SHOWN_IN, "values": [view]} if len(views) > 1 else None for view in views]
    shape = {
        **_named("Table", table, 1),
        "fields": list(fields.values()),
        "views": [
            {**_named("View", view, number), **({"filter": chosen} if chosen else {})}
            for number, (view, chosen) in enumerate(zip(views, filters, strict=True), 1)
        ],
        "records": rows,
    }
    return Described(shape=shape, rows=mine)


def filled_in(spec: load.Spec, key: str) -> Mapping[str, tuple[Any, ...]]:
    """
    What people put into the fields of a sync that they fill in, by name: those that only expressions read, and those that
    are switches. Titles, descriptions, the status and the repository have acts of their own. Raises as `describe`.
    """
    sync = spec.file.sync[key]
    found = {name: values for name, (_, values) in _read(spec, key, sync).items()}
    for name, rule in sync.fields.items():
        if rule.bitbucket == "pr.draft" and rule.owner in ("airtable", "both"):
            found[name] = tuple(rule.map.values()) if rule.map else (True, False)
    return found


# ------------------------------------------------------------------------------------------------------- fields


def _named(what: str, name: str, number: int) -> dict[str, Any]:
    """A spec may call things by their ids."""
    return {"id": name, "name": f"{what} {number}"} if _ID.fullmatch(name) else {"name": name}


def _field(name: str, kind: str, **options: Any) -> dict[str, Any]:
    named = _named("Field", name, sum(map(ord, name)))
    return {**named, "type": kind, **({"options": options} if options else {})}


def _select(name: str, choices: Any, kind: str = "singleSelect") -> dict[str, Any]:
    return _field(name, kind, choices=[{"name": choice} for choice in dict.fromkeys(choices)])


def _of_kind(name: str, kind: str, values: Sequence[Any] = ()) -> dict[str, Any]:
    match kind:
        case "number":
            return _field(name, kind, precision=2)
        case "checkbox":
            return _field(name, kind, color="redBright", icon="check")
        case "dateTime":
            return _field(name, kind, dateFormat={"name": "iso"}, timeFormat={"name": "24hour"}, timeZone="utc")
        case "date":
            return _field(name, kind, dateFormat={"name": "iso"})
        case "singleSelect":
            return _select(name, [value for value in values if value])
        case "multipleSelects":
            return _select(name, [one for value in values for one in value], kind)
    return _field(name, kind)


def _fields(spec: load.Spec, key: str, sync: schema.Sync) -> dict[str, dict[str, Any]]:
    """Every field that the sync names or reads, the primary first."""
    named = _named_fields(sync)
    read = _read(spec, key, sync)
    found = named | {name: _of_kind(name, kind, values) for name, (kind, values) in read.items()}
    known = [*_seen(named), *_seen(found, read)]
    states = tuple(sync.status.states) if sync.status is not None else ()
    for name, rule in sync.fields.items():
        if rule.value is not None and name != primary_of(sync):
            found[name] = _computed(name, rehearse.outcomes(rule.value, known, states))
    return found


def _named_fields(sync: schema.Sync) -> dict[str, dict[str, Any]]:
    primary = primary_of(sync)
    found = {primary: _field(primary, "singleLineText")}
    for name, rule in sync.fields.items():
        if rule.bitbucket is not None:
            found.setdefault(name, _mapped(name, rule))
    if sync.status is not None:
        found.setdefault(sync.status.field, _select(sync.status.field, sync.status.states))
    if sync.create_in is not None:
        found.setdefault(sync.create_in.field, _select(sync.create_in.field, sync.create_in.map))
    if sync.link.url is not None:
        found.setdefault(sync.link.url, _field(sync.link.url, "url"))
    for column, allowed in fit.COLUMNS.items():
        if named := getattr(sync.record, column):
            found.setdefault(named, _of_kind(named, allowed[0]))
    return found


def _mapped(name: str, rule: schema.MappedField) -> dict[str, Any]:
    if rule.map:
        return _select(name, rule.map.values())
    if rule.bitbucket == "pr.description":
        return _field(name, "multilineText")
    return _of_kind(name, _KINDS.get(ATTRIBUTES[rule.bitbucket or ""].kind, "singleLineText"))


def _computed(name: str, outcomes: Sequence[Any]) -> dict[str, Any]:
    """A field that can show whatever a rule's expression gives."""
    if any(one is not None and one not in ("", []) for one in outcomes):
        for kind in ("checkbox", "number", "dateTime", "date"):
            made = Field(id=FieldId(name), name=name, kind=kind)
            if not any(fit.value_problem(one, made) for one in outcomes):
                return _of_kind(name, kind)
    return _field(name, "multilineText")


def _seen(fields: Mapping[str, Mapping[str, Any]], only: Mapping[str, Any] | None = None) -> list[Field]:
    """Fields under the names by which expressions call them."""
    return [
        Field(
            id=FieldId(name),
            name=name,
            kind=made["type"],
            choices=tuple(one["name"] for one in made.get("options", {}).get("choices", ())),
        )
        for name, made in fields.items()
        if only is None or name in only
    ]


# --------------------------------------------------------------------------------- fields that rules only read


def _expressions(spec: load.Spec, key: str, sync: schema.Sync) -> Iterator[Expression | Template]:
    """All that read a record, description templates too."""
    yield from (made for _, made, _ in lint.deciding(sync, ()))
    yield from (rule.value for rule in sync.fields.values() if rule.value is not None)
    yield sync.link.branch
    if sync.link.title is not None:
        yield sync.link.title
    yield from (made for place, made in spec.templates.items() if place[0] == key)


def _read(spec: load.Spec, key: str, sync: schema.Sync) -> dict[str, Guess]:
    """A type and values for each field that expressions read and no rule names, such that every expression works."""
    named = {use.name for use in lint.uses(sync, ())} | {primary_of(sync)}
    readers = list(_expressions(spec, key, sync))
    names = sorted({name for made in readers for name in made.record_fields} - named)
    if not names:
        return {}
    fields = _named_fields(sync) | {
        name: _field(name, "multilineText") for name, rule in sync.fields.items() if rule.value is not None
    }
    chosen = {name: _guesses(name, readers)[0] for name in names}
    states = tuple(sync.status.states) if sync.status is not None else ()

    def failure(made: Expression | Template, tried: Mapping[str, Guess]) -> str:
        known = _seen(fields | {name: _of_kind(name, *tried[name]) for name in tried})
        known = [field for field in known if field.name in made.record_fields]
        failed = rehearse.failure(made, known, states)
        if not failed and made is sync.link.branch:
            failed = rehearse.branch_failure(sync.link.branch, known, states)
        return failed

    for made in readers:
        problem = failure(made, chosen)
        free = sorted(made.record_fields & chosen.keys())
        if not problem or not free:
            continue  # what has nothing to choose is told by the start, with its place in the file
        others = [one for one in readers if one.record_fields & set(free)]
        every = itertools.product(*(_guesses(name, readers) for name in free))
        for tried in itertools.islice(every, _TRIES_MAX):
            candidate = chosen | dict(zip(free, tried, strict=True))
            if not any(failure(one, candidate) for one in others):
                chosen = candidate
                break
        else:
            raise errors.UsageError(
                f"sync.{key}: no types of the fields {', '.join(free)} were found with which this works: {made.source}: {problem}",
                next_step="syncd check --live, which tries it on your own table",
            )
    return chosen


def _guesses(name: str, readers: Sequence[Expression | Template]) -> tuple[Guess, ...]:
    """Types that a field may have, the likeliest first: by what it is compared with."""
    quoted = re.escape(name)
    place = rf"""record\s*(?:\[\s*["']{quoted}["']\s*\]|\.{quoted}\b)"""
    texts: list[str] = []
    listed: list[str] = []
    numbers: list[float] = []
    first: list[Guess] = []
    for made in readers:
        if name not in made.record_fields:
            continue
        source = made.source
        texts += [a or b for a, b in re.findall(rf"{place}\s*[!=]=\s*{_LITERAL}", source)]
        texts += [a or b for a, b in re.findall(rf"{_LITERAL}\s*[!=]=\s*{place}", source)]
        for group in re.findall(rf"{place}\s*(?:not\s+)?in\s*{_LISTED}", source):
            texts += [a or b for a, b in re.findall(_LITERAL, group)]
        listed += [a or b for a, b in re.findall(rf"{_LITERAL}\s*(?:not\s+)?in\s*{place}", source)]
        numbers += [float(one) for one in re.findall(rf"{place}\s*(?:[<>]=?|[!=]=|[-+*/%])\s*([0-9.]+)", source)]
        if re.search(rf"{place}\s*[<>]=?\s*(?:today|now)|(?:today|now)\s*[<>]=?\s*{place}", source):
            first.append(_GUESSES[3])
        if isinstance(made, Template) or re.search(rf"{place}\s*(?:\||~)|~\s*{place}", source):
            first.append(_GUESSES[1])
        if made.factors & {name}:
            first.append(_GUESSES[2])
    known: list[Guess] = []
    if listed:
        known.append(("multipleSelects", (listed, [])))
        known.append(("singleLineText", (" ".join(listed), "")))
    if [one for one in texts if one]:
        known.append(("singleSelect", tuple(dict.fromkeys([*filter(None, texts), "Something else"]))))
    if numbers:
        known.append(("number", tuple(dict.fromkeys(each for one in numbers for each in (one + 1, one, one - 1)))))
    return tuple(dict.fromkeys((kind, _frozen(values)) for kind, values in (*known, *first, *_GUESSES)))


def _frozen(values: Sequence[Any]) -> tuple[Any, ...]:
    """Lists as tuples, so that guesses can be compared."""
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)


# --------------------------------------------------------------------------------------------------------- rows


def _cells(spec: load.Spec, key: str, sync: schema.Sync, index: int, words: str) -> dict[str, Any]:
    cells: dict[str, Any] = {primary_of(sync): words}
    if sync.create_in is not None:
        choices = list(sync.create_in.map)
        cells[sync.create_in.field] = choices[index % len(choices)]
    for name, rule in sync.fields.items():
        if rule.bitbucket == "pr.description" and name not in cells:
            cells[name] = f"About {words.lower()}."
    if sync.status is not None:
        cells[sync.status.field] = sync.status.states[min(index, 1, len(sync.status.states) - 1)]
    return {**cells, **_filled(spec, key, sync, index, cells)}


def _filled(spec: load.Spec, key: str, sync: schema.Sync, index: int, cells: Mapping[str, Any]) -> dict[str, Any]:
    """What people filled in: every value somewhere, and most rows inside what `where` chooses."""
    read = filled_in(spec, key)
    spread = {name: values[index % len(values)] for name, values in read.items()}
    where = sync.airtable.where
    if where is None or index == len(ROWS) - 1:
        return _plain(spread)
    states = tuple(sync.status.states) if sync.status is not None else ()
    chosen = sorted(where.record_fields & read.keys())
    for values in itertools.islice(itertools.product(*(read[name] for name in chosen)), _TRIES_MAX):
        tried = spread | dict(zip(chosen, values, strict=True))
        scope = next(iter(rehearse.scopes((), states)))[1]
        record = dict.fromkeys(where.record_fields) | dict(cells) | tried
        try:
            if where.evaluate({**scope, "record": _plain(record), "name": cells[primary_of(sync)]}):
                return _plain(tried)
        except ExpressionError:
            continue
    return _plain(spread)


def plain(value: Any) -> Any:
    """As the service takes and shows it."""
    return list(value) if isinstance(value, tuple) else value


def _plain(cells: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in cells.items()}
