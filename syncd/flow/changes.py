"""
Airtable's payload cursor: list what a webhook stored since last time and mark the records it names.

A ping only says "look"; the timer looks anyway. Cursor and marks become durable together, and a gap leads to a full
compare (reference/airtable.md 5.5).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncd import log, ports
from syncd.flow import full_compare
from syncd.flow.context import Context, schema_key
from syncd.model import value
from syncd.model.event import CellChange, Changes, Endpoint
from syncd.model.ids import FieldId, HookId, RecordId, SyncName

_log = log.logger("flow.changes")

PAGES_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What a poll found. `compare`: what was missed cannot be known, compare in full."""

    pages: int
    records: int
    compare: bool = False


def poll(
    contexts: tuple[Context, ...], endpoint: Endpoint, now: datetime, noticed: Callable[[Changes], object]
) -> Polled:
    """
    List payloads from the endpoint's cursor on, page by page, for every sync on its base.

    Args:
        noticed: is told each page before the cursor passes it: what a page says of the base or the hook comes only once, and
            the state may refuse what follows.

    Raises:
        ServiceError: not everything was listed; the cursor stands where the last stored page ends.
    """
    if not contexts:
        return Polled(pages=0, records=0)
    first = contexts[0]
    fields = {field.id: field for context in contexts for field in context.sync.table_fields.values()}
    cursor, pages, touched = endpoint.cursor, 0, 0
    compare = False
    while pages < PAGES_MAX:
        page = first.catalogue.fetch_changes(HookId(endpoint.hook), cursor, fields)
        pages += 1
        marks = _marks(contexts, page)
        if page.gap or page.broken or _fell_short(first, endpoint, page, cursor):
            full_compare.forget(first, base=first.sync.base)
            compare = True
            # What is gone may have told of it.
            page = replace(page, schema_changed=True)
        if page.schema_changed:
            # Before the cursor passes it: what a record was refused for may fit now.
            first.store.save_text(schema_key(first.sync.base), f"{endpoint.id} {page.next_cursor}")
        noticed(page)
        _tell_races(contexts, page)
        if page.next_cursor != cursor or marks:
            quiet = min(context.sync.quiet for context in contexts)
            edits = [edit for context in contexts for edit in _edits(context, page)]
            first.store.save_changes(endpoint.id, page.next_cursor, marks, now, now + quiet, edits=edits)
        touched += sum(len(records) for records in marks.values())
        cursor = page.next_cursor
        if page.broken or not page.more:
            break
    if compare:
        _log.warning("cursor.gap", endpoint=endpoint.id, cursor=endpoint.cursor)
    return Polled(pages=pages, records=touched, compare=compare)


def noted_key(endpoint: Endpoint) -> str:
    """Where the state keeps the number that the hook's next payload had when the hooks were last listed."""
    return f"next-payload:{endpoint.id}"


def _fell_short(context: Context, endpoint: Endpoint, page: Changes, cursor: int) -> bool:
    """An empty answer whose cursor is below what the list of hooks said: all payloads in between are gone (airtable.md 5.5)."""
    if page.more or page.next_cursor != cursor:
        return False
    noted = context.store.load_text(noted_key(endpoint))
    if not noted or int(noted) <= cursor:
        return False
    context.store.save_text(noted_key(endpoint), "")
    return True


def _marks(contexts: tuple[Context, ...], page: Changes) -> dict[SyncName, tuple[RecordId, ...]]:
    marks = {}
    for context in contexts:
        if records := page.table_records.get(context.sync.table):
            marks[context.name] = tuple(records)
    return marks


_UNKNOWN = '"unknown"'
# Our instant of a write and the service's differ by no more when both clocks are right.
_CLOCKS_AGREE = timedelta(minutes=2)
# States of rows whose value was, or may have been, written: the payload may come before the look at a lost answer.
WRITTEN = frozenset({"applied", "sent", "unknown"})


def _edits(context: Context, page: Changes) -> list[tuple[SyncName, RecordId, FieldId, datetime]]:
    mapped = {rule.field.id for rule in context.sync.fields}
    return [
        (context.name, change.record, change.field, change.at)
        for change in page.cells
        if not change.own and change.field in mapped
    ]


def _tell_races(contexts: tuple[Context, ...], page: Changes) -> None:
    """
    Our own write's payload says what it overwrote: when that is not what the journal holds as the value before, an edit
    between our read and our write was lost (I07). It is put into the journal, never lost in silence.
    """
    for context in contexts:
        mapped = {rule.field.id for rule in context.sync.fields} | _status_field(context)
        for change in page.cells:
            if change.own and change.previous is not None and change.field in mapped:
                _tell_race(context, change)


def _status_field(context: Context) -> set[FieldId]:
    return {context.sync.status.field.id} if context.sync.status is not None else set()


def _tell_race(context: Context, change: CellChange) -> None:
    rows = context.store.load_journal(sync=context.name, record=change.record, limit=50, newest=True)
    written = [row for row in rows if row.field == change.field and row.state in WRITTEN]
    row = _row_of(change, written)
    if row is None or change.previous is None or row.before == _UNKNOWN:
        return
    if value.parse(row.before) != change.previous:
        context.store.save_race(context.name, row.sequence, value.dump(change.previous, whole=True))
        _log.warning("race.lost", sync=context.name, record=change.record, field=change.field, row=row.sequence)


def _row_of(change: CellChange, written: Sequence[ports.JournalEntry]) -> ports.JournalEntry | None:
    """
    Which of our writes of that cell a payload is of: the one of its instant, or, as both clocks need not agree (CL06), one
    that put the same value there; of several the one that found what the payload says, else the newest.
    """
    closest = min(written, key=lambda row: abs(row.at - change.at), default=None)
    if closest is None or abs(closest.at - change.at) <= _CLOCKS_AGREE:
        return closest
    same = [
        row
        for row in written
        if change.present is not None and row.after != _UNKNOWN and value.parse(row.after) == change.present
    ]
    explained = (row for row in same if row.before != _UNKNOWN and value.parse(row.before) == change.previous)
    return next(explained, same[0] if same else None)
