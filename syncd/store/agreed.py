"""Agreed and tolerated values, and when people last edited cells; long texts by their hash only (reliability.md I30)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from syncd.model import value
from syncd.model.change import AgreedKey, Agreement, Toleration
from syncd.model.ids import FieldId, RecordId, SyncName
from syncd.model.situation import EditTimes
from syncd.model.value import Value
from syncd.store import columns
from syncd.store.columns import Connection

Table = Literal["agreed", "tolerated"]


def save(
    db: Connection, table: Table, sync: SyncName, changes: Sequence[tuple[RecordId, Agreement | Toleration]]
) -> None:
    """Remember values, or forget those that are None; the last word about a key counts."""
    last = {(record, change.key): change.value for record, change in changes}
    forgotten, kept = [], []
    for (record, key), found in last.items():
        row = {"sync": sync, "record": record, **columns.place(key)}
        if found is None:
            forgotten.append(row)
        else:
            kept.append({**row, "value": value.dump(found)})
    if forgotten:
        db.executemany(
            f"DELETE FROM {table} WHERE sync = :sync AND record = :record"
            " AND field = :field AND repository = :repository AND number = :number",
            forgotten,
        )
    if kept:
        db.executemany(
            f"INSERT INTO {table} (sync, record, field, repository, number, value)"
            " VALUES (:sync, :record, :field, :repository, :number, :value)"
            " ON CONFLICT (sync, record, field, repository, number) DO UPDATE SET value = excluded.value",
            kept,
        )


def load(
    db: Connection, table: Table, sync: SyncName, records: Sequence[RecordId]
) -> Mapping[RecordId, Mapping[AgreedKey, Value]]:
    """The values of these records; a record without any has no key."""
    found: dict[RecordId, dict[AgreedKey, Value]] = {}
    rows = db.execute(
        f"SELECT record, field, repository, number, value FROM {table}"
        " WHERE sync = :sync AND record IN (SELECT value FROM json_each(:records))",
        {"sync": sync, "records": columns.array(records)},
    )
    for record, field, repository, number, line in rows.fetchall():
        found.setdefault(RecordId(record), {})[columns.key(field, repository, number)] = value.parse(line)
    return found


def save_edits(db: Connection, sync: SyncName, edits: Sequence[tuple[RecordId, FieldId, datetime]]) -> None:
    """When people edited cells; payloads may come twice and late, so the newest moment stays."""
    db.executemany(
        "INSERT INTO edited (sync, record, field, airtable_at) VALUES (:sync, :record, :field, :at)"
        " ON CONFLICT (sync, record, field) DO UPDATE SET airtable_at = max(airtable_at, excluded.airtable_at)",
        [
            {"sync": sync, "record": record, "field": field, "at": columns.moment(edited_at)}
            for record, field, edited_at in edits
        ],
    )


def load_edits(
    db: Connection, sync: SyncName, records: Sequence[RecordId]
) -> Mapping[RecordId, Mapping[AgreedKey, EditTimes]]:
    """The edit times of these records' cells. A cell is one, whatever pull request it agrees with: keyed without."""
    found: dict[RecordId, dict[AgreedKey, EditTimes]] = {}
    rows = db.execute(
        "SELECT record, field, airtable_at FROM edited"
        " WHERE sync = :sync AND record IN (SELECT value FROM json_each(:records))",
        {"sync": sync, "records": columns.array(records)},
    )
    for record, field, edited_at in rows.fetchall():
        key = AgreedKey(FieldId(field))
        found.setdefault(RecordId(record), {})[key] = EditTimes(airtable=columns.at(edited_at))
    return found
