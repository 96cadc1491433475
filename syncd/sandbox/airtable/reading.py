"""Reading records: lists over snapshots, one record, and how a record looks (reference/airtable.md 3.1, 3.2)."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from syncd.sandbox.airtable import cells, derive, formula, refusal
from syncd.sandbox.airtable.call import Call
from syncd.sandbox.airtable.world import BIRTH_DELAY, Record, Snapshot, Table, View, World, in_view, seconds, shaped
from syncd.sandbox.choices import UnsortedListOrder

_SORT_KEY = re.compile(r"sort\[(\d+)\]\[(field|direction)\]")
_INDEXED = re.compile(r"(fields|recordMetadata|records)\[\d*\]")
_BY_ID = re.compile(r"OR\(RECORD_ID\(\)='[A-Za-z0-9]+'(?:,RECORD_ID\(\)='[A-Za-z0-9]+'){0,99}\)")
_QUOTED = re.compile(r"'([A-Za-z0-9]+)'")
_MANY_SNAPSHOTS = 64
_OPTIONS = frozenset(
    {
        "pageSize",
        "maxRecords",
        "offset",
        "view",
        "sort",
        "filterByFormula",
        "fields",
        "cellFormat",
        "timeZone",
        "userLocale",
        "returnFieldsByFieldId",
        "recordMetadata",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How records are shown: by field id or name, which fields, as text, with comment counts."""

    by_id: bool = False
    only: frozenset[str] | None = None
    as_text: bool = False
    comments: bool = False


def show(world: World, record: Record, look: Look, now: datetime) -> dict[str, Any]:
    """One record as REST answers it: empty cells left out, `createdTime` in whole seconds."""
    shown: dict[str, Any] = {}
    fields = record.table.fields
    for stored in (record.cells, record.computed):
        for field_id, value in stored.items():
            if look.only is None or field_id in look.only:
                field = fields[field_id]
                seen = cells.rest(world, field, value, now)
                if look.as_text:
                    seen = _text(record, field_id, seen, world, now)
                shown[field_id if look.by_id else field.name] = seen
    answer: dict[str, Any] = {"id": record.id, "createdTime": seconds(record.created_at + BIRTH_DELAY)}
    if look.comments:
        answer["commentCount"] = len(record.comments)
    answer["fields"] = shown
    return answer


def _text(record: Record, field_id: str, value: Any, world: World, now: datetime) -> str:
    """`cellFormat=string`: display text, "checked" and joined lists as recorded; links by their primary text."""
    if value is True:
        return "checked"
    if record.table.fields[field_id].type == "multipleRecordLinks":
        base = next(each for each in world.bases.values() if record.table.id in each.tables)
        return ", ".join(cells.primary_text(world, base, each, now) for each in value)
    return formula.as_text(value)


def get_record(call: Call) -> Any:
    """`GET /v0/{base}/{table}/{rec}`: looks through the whole base when the table has no such record (3.2)."""
    call.need("data.records:read")
    call.table(call.parts[2])
    if not shaped(call.parts[3], "rec"):
        raise refusal.no_such_route()
    record = call.base.records.get(call.parts[3])
    if record is None:
        raise refusal.missing_record(call.world.choices)
    look = Look(by_id=_flag(call.query("returnFieldsByFieldId")), as_text=call.query("cellFormat") == "string")
    return show(call.world, record, look, call.now)


def list_records(call: Call) -> Any:
    """`GET /v0/{base}/{table}`."""
    if sum(len(key) + len(value) for key, value in call.request.query) > 1000:
        length = len(call.request.path) + len(urlencode(call.request.query))
        if length > call.world.limits.url_characters:
            raise refusal.Refusal(414, None)
    return _page(call, _from_query(call))


def post_list_records(call: Call) -> Any:
    """`POST /v0/{base}/{table}/listRecords`: the same options as JSON."""
    options = call.body(_OPTIONS)
    for key in ("timeZone", "userLocale"):
        if call.query(key) is not None:
            options.setdefault(key, call.query(key))
    return _page(call, options)


def _from_query(call: Call) -> dict[str, Any]:
    options: dict[str, Any] = {}
    sorts: dict[int, dict[str, str]] = {}
    for key, value in call.request.query:
        sort = _SORT_KEY.fullmatch(key)
        indexed = _INDEXED.fullmatch(key)
        if sort:
            sorts.setdefault(int(sort.group(1)), {})[sort.group(2)] = value
        elif indexed or key in {"fields", "recordMetadata"}:
            options.setdefault(indexed.group(1) if indexed else key, []).append(value)
        else:
            options[key] = value
    if sorts:
        options["sort"] = [sorts[index] for index in sorted(sorts)]
    if not _OPTIONS.issuperset(options):
        raise refusal.bad_request()
    return options


def _page(call: Call, options: dict[str, Any]) -> Any:
    call.need("data.records:read")
    table = call.table(call.parts[2])
    size = _count(options.get("pageSize"), call.world.limits.page)
    if size > call.world.limits.page:
        raise refusal.bad_request()
    if call.world.limits.page_full is not None:
        size = min(size, call.world.limits.page_full)
    look = _look(table, options)
    snapshot_id, snapshot, start = _snapshot(call, table, options)
    page: list[dict[str, Any]] = []
    at = start
    while at < len(snapshot.ids) and len(page) < size:
        record = table.records.get(snapshot.ids[at])
        at += 1
        if record is not None:
            page.append(show(call.world, record, look, call.now))
    answer: dict[str, Any] = {"records": page}
    if at < len(snapshot.ids):
        call.world.snapshots[snapshot_id] = snapshot
        answer["offset"] = f"{snapshot_id}/{snapshot.ids[at]}"
    return answer


def _snapshot(call: Call, table: Table, options: dict[str, Any]) -> tuple[str, Snapshot, int]:
    """The rows of this listing and where the page starts: fixed at the first request, kept for some idle minutes."""
    world = call.world
    query = (table.id, repr(sorted((key, repr(value)) for key, value in options.items() if key != "offset")))
    offset = options.get("offset")
    if offset is None:
        if len(world.snapshots) >= _MANY_SNAPSHOTS:
            _forget_stale(call)
        ids = _select(call, table, options)
        return world.new_id("itr"), Snapshot(query=query, ids=ids, used_at=call.now), 0
    if not isinstance(offset, str):
        raise refusal.bad_offset(str(offset))
    snapshot_id, slash, record_id = offset.partition("/")
    if not slash or not shaped(snapshot_id, "itr") or not shaped(record_id, "rec"):
        raise refusal.bad_offset(offset)
    _forget_stale(call)
    snapshot = world.snapshots.get(snapshot_id)
    if snapshot is None:
        raise refusal.offset_expired()
    if snapshot.query != query or record_id not in snapshot.ids:
        raise refusal.bad_offset(offset)
    snapshot.used_at = call.now
    return snapshot_id, snapshot, snapshot.ids.index(record_id)


def _forget_stale(call: Call) -> None:
    """Drop the listings that nobody went on with."""
    world = call.world
    oldest = call.now - timedelta(seconds=world.limits.offset_life_s)
    for stale in [each for each, kept in world.snapshots.items() if kept.used_at < oldest]:
        del world.snapshots[stale]


def _select(call: Call, table: Table, options: dict[str, Any]) -> list[str]:
    """The rows of a listing in order: filter, view, sort, maximum."""
    world = call.world
    rows = list(table.records.values())
    view = _view(table, options.get("view"))
    if view is not None:
        column = table.fields.get(view.field_id or "")
        rows = [row for row in rows if in_view(view, column, None if column is None else row.stored(column.id))]
    text = options.get("filterByFormula")
    if isinstance(text, str) and _BY_ID.fullmatch(text):
        # As the general way below, of which programs that ask for records by their ids need nothing.
        asked = set(_QUOTED.findall(text))
        rows = [row for row in rows if row.id in asked]
    elif text:
        program = _filter(table, text)
        rows = [row for row in rows if formula.keeps(program, derive.Row(world=world, record=row, now=call.now))]
    if options.get("sort"):
        rows = _sorted(call, table, rows, options["sort"])
    elif view is None:
        rows.sort(key=lambda row: row.id)
        if world.choices.unsorted_list_order is UnsortedListOrder.ARBITRARY:
            world.rng.shuffle(rows)
    most = _count(options.get("maxRecords"), len(rows))
    return [row.id for row in rows[:most]]


def _view(table: Table, key: Any) -> View | None:
    if key is None or key == "":
        return None
    view = table.find_view(key) if isinstance(key, str) else None
    # Form and list views cannot be listed; the refusal is not documented, and this one is what a client can act on.
    if view is None:
        raise refusal.missing_view(isinstance(key, str) and shaped(key, "viw"))
    return view


def _filter(table: Table, text: Any) -> formula.Program:
    def resolve(key: str) -> str | None:
        field = table.find_field(key)
        return None if field is None else field.id

    try:
        return formula.parse(text if isinstance(text, str) else "", resolve)
    except formula.FormulaError as error:
        if error.unknown:
            raise refusal.bad_formula("Unknown field names: " + ", ".join(error.unknown).lower()) from None
        raise refusal.bad_formula() from None
    except RecursionError:
        raise refusal.bad_formula() from None


def _sorted(call: Call, table: Table, rows: list[Record], sort: Any) -> list[Record]:
    if not isinstance(sort, list):
        raise refusal.bad_request()
    rows.sort(key=lambda row: row.id)
    for each in reversed(sort):
        if not isinstance(each, dict) or each.get("direction", "asc") not in ("asc", "desc"):
            raise refusal.bad_request()
        field = table.find_field(str(each.get("field")))
        if field is None:
            raise refusal.unknown_field(str(each.get("field")))
        order = {choice.name: index for index, choice in enumerate(field.choices)}

        def key(row: Record, field_id: str = field.id, order: dict[str, int] = order) -> tuple[bool, float, str]:
            value = cells.value_of(call.world, row, field_id, call.now)
            if isinstance(value, int | float):
                return True, float(value), ""
            return (
                value is not None,
                float(order.get(value, 0)) if isinstance(value, str) else 0.0,
                formula.as_text(value),
            )

        rows.sort(key=key, reverse=each.get("direction") == "desc")
    return rows


def _look(table: Table, options: dict[str, Any]) -> Look:
    only: frozenset[str] | None = None
    if options.get("fields") is not None:
        named = options["fields"] if isinstance(options["fields"], list) else [options["fields"]]
        found = {name: table.find_field(name) for name in map(str, named)}
        for name, field in found.items():
            if field is None:
                raise refusal.unknown_field(name)
        only = frozenset(field.id for field in found.values() if field is not None)
    as_text = options.get("cellFormat") == "string"
    if options.get("cellFormat") not in (None, "json", "string") or (
        as_text and not (options.get("timeZone") and options.get("userLocale"))
    ):
        raise refusal.bad_request()
    metadata = options.get("recordMetadata")
    return Look(
        by_id=_flag(options.get("returnFieldsByFieldId")),
        only=only,
        as_text=as_text,
        comments="commentCount" in (metadata if isinstance(metadata, list) else [metadata]),
    )


def _flag(value: Any) -> bool:
    return value is True or value in ("true", "1")


def _count(value: Any, default: int) -> int:
    if value is None:
        return default
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise refusal.bad_request() from None
    if number < 1 or isinstance(value, bool):
        raise refusal.bad_request()
    return number
