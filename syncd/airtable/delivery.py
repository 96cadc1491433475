"""
Pings and payload pages: is it Airtable's, and what may have changed? Pure.

A ping only wakes the poller; a page names records and never supplies a value that is written. Sources: reference/airtable.md
5.4 to 5.7 and the faults AW04-AW10, AW14 of reference/reliability.md.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from syncd.airtable import shape, translate
from syncd.model.event import CellChange, Changes
from syncd.model.ids import AccountId, BaseId, FieldId, HookId, RecordId, TableId
from syncd.model.schema import Field
from syncd.model.value import NOTHING, Unknown, Value

MAC_HEADER = b"x-airtable-content-mac"
PAYLOADS_MAX = 50
"""The largest page of payloads (reference/airtable.md 5.5)."""

_MAC = re.compile(rb"hmac-sha256=[0-9a-f]{64}")
_FINAL_CODES = frozenset({"INVALID_FILTERS", "INVALID_HOOK"})

# ----------------------------------------------------------------------------------------------------------- pings


def verify(headers: Sequence[tuple[bytes, bytes]], body: bytes, secret: str) -> str:
    """
    Check the signature of a ping, in constant time, over the raw bytes.

    Args:
        headers: as received; names in any case.
        secret: `macSecretBase64` as the service gave it at creation; "" verifies nothing.

    Returns:
        "" when it is good; else "missing", "doubled", "malformed", "wrong", or "no secret" for one that cannot be used.
    """
    found = [content for name, content in headers if name.lower() == MAC_HEADER]
    if not found:
        return "missing"
    if len(found) > 1:
        return "doubled"
    if _MAC.fullmatch(found[0]) is None:
        return "malformed"
    try:
        key = base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        return "no secret"
    if not key:
        return "no secret"
    expected = b"hmac-sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest().encode("ascii")
    return "" if hmac.compare_digest(expected, found[0]) else "wrong"


def parse_ping(body: bytes) -> tuple[BaseId, HookId] | None:
    """Which webhook of which base has news; None for anything that is no ping (BW10)."""
    try:
        # UTF-8 by name: `loads` would guess another coding from the bytes.
        loaded = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    if not isinstance(loaded, dict):
        return None
    base, hook = _object(loaded.get("base")).get("id"), _object(loaded.get("webhook")).get("id")
    if not shape.is_id(base, "app") or not shape.is_id(hook, "ach"):
        return None
    return BaseId(str(base)), HookId(str(hook))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


# ----------------------------------------------------------------------------------------------------------- pages


def parse_changes(page: Any, cursor: int, fields: Mapping[FieldId, Field], own: AccountId | None) -> Changes:
    """
    What a page of payloads makes dirty.

    Args:
        page: the answer of the payload listing.
        cursor: the number that was asked for.
        fields: the fields whose previous values are wanted; others are passed over.
        own: the account behind our token, for the hint whose edit it was (5.7).

    Returns:
        Every record that the page names in any form. `gap` by arithmetic, because the service does not tell (5.5), and
        where a payload is an error object in the place of changes.

    Raises:
        ShapeError: the frame of the page is not as documented; nothing of it may be believed, nor its cursor.
    """
    payloads = shape.sequence(page, "payloads", "a page of payloads")
    after = page.get("cursor")
    if isinstance(after, bool) or not isinstance(after, int) or not len(payloads) < after <= shape.NUMBER_MAX:
        raise shape.ShapeError("a page of payloads has no fitting number 'cursor'")
    reading = _Reading(fields=fields, own=own)
    for payload in payloads:
        reading.read(payload)
    return Changes(
        table_records={table: tuple(records) for table, records in reading.records.items()},
        schema_changed=reading.schema_changed,
        next_cursor=after,
        # A page that brings nothing new and promises more would be asked for for ever.
        more=page.get("mightHaveMore") is True and after > cursor,
        # Later than asked: payloads are gone. Earlier: the numbering is not the one that we know (AW06).
        gap=reading.lost or after - len(payloads) != cursor,
        broken=reading.broken,
        cells=tuple(reading.cells),
        skipped=reading.skipped,
    )


@dataclass(slots=True, kw_only=True)
class _Reading:
    """What was found so far. Whatever has another form than documented is counted and passed over (AW10)."""

    fields: Mapping[FieldId, Field]
    own: AccountId | None
    # Dictionaries as sets that keep their order.
    records: dict[TableId, dict[RecordId, None]] = field(default_factory=dict)
    cells: list[CellChange] = field(default_factory=list)
    schema_changed: bool = False
    broken: str = ""
    lost: bool = False
    skipped: int = 0

    def read(self, payload: Any) -> None:
        """One payload: an action, a part of one, or an error object."""
        if not isinstance(payload, dict) or payload.get("error"):
            code = _object(payload).get("code")
            if isinstance(code, str) and code in _FINAL_CODES:
                self.broken = code
            else:
                # `INTERNAL_ERROR`, or no payload at all: what changed under this number will never be told.
                self.lost = True
                self.skipped += 1
            return
        at = shape.moment(payload.get("timestamp"))
        own = self._is_own(payload.get("actionMetadata"))
        for key, content in payload.items():
            match key:
                case "changedTablesById":
                    for table, change in self._rows(content, "tbl"):
                        self._table(TableId(table), change, at, own)
                case "createdTablesById":
                    self.schema_changed = True
                    for table, made in self._rows(content, "tbl"):
                        self._mark(TableId(table), _object(made).get("recordsById", {}))
                case "destroyedTableIds":
                    self.schema_changed = True
                case "timestamp" | "actionMetadata" | "baseTransactionNumber" | "payloadFormat":
                    pass
                case _:
                    self.skipped += 1

    def _is_own(self, metadata: Any) -> bool:
        told = _object(metadata)
        user = _object(_object(told.get("sourceMetadata")).get("user"))
        return told.get("source") == "publicApi" and self.own is not None and user.get("id") == self.own

    def _table(self, table: TableId, change: Any, at: datetime | None, own: bool) -> None:
        if not isinstance(change, dict):
            self.skipped += 1
            return
        for key, content in change.items():
            match key:
                case "createdRecordsById" | "destroyedRecordIds":
                    self._mark(table, content)
                case "changedRecordsById":
                    self._mark(table, content)
                    self._cells(content, at, own)
                case "changedViewsById":
                    # "created" and "destroyed" also mean: entered or left the view (5.6). Dirty is all they mean here.
                    for _, view in self._rows(content, "viw"):
                        self._table(table, view, at, own)
                case "changedMetadata" | "createdFieldsById" | "changedFieldsById" | "destroyedFieldIds":
                    self.schema_changed = True
                case _:
                    self.skipped += 1

    def _mark(self, table: TableId, content: Any) -> None:
        """The records of an object by id or of a list of ids."""
        if not isinstance(content, dict | list):
            self.skipped += 1
            return
        marked = self.records.setdefault(table, {})
        for each in content:
            if shape.is_id(each, "rec"):
                marked[RecordId(each)] = None
            else:
                self.skipped += 1

    def _cells(self, content: Any, at: datetime | None, own: bool) -> None:
        """
        The changed cells of changed records, for races and "newest".

        A cleared cell may be missing in `current` and a formerly empty one in `previous` (reference/airtable.md 11): the
        changed cells are those of either, and `previous` counts as told only when the payload has that part at all.
        """
        for record, change in self._rows(content, "rec"):
            told = _object(change)
            current = _cell_values(told.get("current"))
            before = _cell_values(told.get("previous"))
            if current is None or at is None:
                self.skipped += 1
                continue
            for name in dict.fromkeys([*current, *(before or {})]):
                column = self.fields.get(FieldId(name))
                if column is None:
                    continue
                previous: Value | Unknown | None = None
                if before is not None:
                    previous = translate.decode_hook(column, before[name]) if name in before else NOTHING
                present = translate.decode_hook(column, current[name]) if name in current else NOTHING
                self.cells.append(
                    CellChange(
                        record=RecordId(record),
                        field=column.id,
                        previous=None if isinstance(previous, Unknown) else previous,
                        present=None if isinstance(present, Unknown) else present,
                        at=at,
                        own=own,
                    )
                )

    def _rows(self, content: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        """The rows of an object keyed by ids; others are counted."""
        if not isinstance(content, dict):
            self.skipped += 1
            return
        for key, row in content.items():
            if shape.is_id(key, prefix):
                yield key, row
            else:
                self.skipped += 1


def _cell_values(part: Any) -> dict[str, Any] | None:
    found = _object(part).get("cellValuesByFieldId")
    return found if isinstance(found, dict) else None


def _object(raw: Any) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}
