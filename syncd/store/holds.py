"""What waits for a person, and what people decided: holds, conflicts, accepted rules, plans let past the guard once."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from syncd.model import value
from syncd.model.change import AgreedKey, Conflict, Side
from syncd.model.ids import FieldId, PullRequestKey, RecordId, RepositoryId, SyncName
from syncd.model.situation import Hold, OpenConflict
from syncd.ports import Lane
from syncd.store import columns, dirty
from syncd.store.columns import Connection

# ------------------------------------------------------------------------------------------------------------ holds


def save(db: Connection, sync: SyncName, hold: Hold, now: datetime) -> None:
    """As `ports.Store.save_hold`."""
    db.execute(
        "INSERT INTO hold (sync, record, field, reason, until) VALUES (:sync, :record, :field, :reason, :until)"
        " ON CONFLICT (sync, record, field) DO UPDATE SET reason = excluded.reason, until = excluded.until",
        {
            "sync": sync,
            "record": hold.record,
            "field": hold.field or "",
            "reason": columns.text(hold.reason),
            "until": columns.moment_or_none(hold.until),
        },
    )
    dirty.mark_records(db, sync, [hold.record], Lane.EDIT, now, now)


def delete(db: Connection, sync: SyncName, record: RecordId, field: FieldId | None, now: datetime) -> bool:
    """As `ports.Store.delete_hold`. The record becomes dirty: what was held may go out now."""
    row = {"sync": sync, "record": record, "field": field or ""}
    found = db.execute("DELETE FROM hold WHERE sync = :sync AND record = :record AND field = :field", row).rowcount
    if found:
        dirty.mark_records(db, sync, [record], Lane.EDIT, now, now)
    return bool(found)


def load(db: Connection, sync: SyncName, records: Sequence[RecordId] | None = None) -> tuple[Hold, ...]:
    """The holds of the sync, or of these records of it, ordered."""
    some = "" if records is None else " AND record IN (SELECT value FROM json_each(:records))"
    rows = db.execute(
        f"SELECT record, field, reason, until FROM hold WHERE sync = :sync{some} ORDER BY record, field",
        {"sync": sync, "records": columns.array(records or ())},
    )
    return tuple(
        Hold(
            record=RecordId(record),
            field=FieldId(field) if field else None,
            reason=reason,
            until=columns.at_or_none(until),
        )
        for record, field, reason, until in rows.fetchall()
    )


# -------------------------------------------------------------------------------------------------------- conflicts


def save_conflicts(db: Connection, sync: SyncName, conflicts: Sequence[Conflict]) -> None:
    """Open conflicts. A person's decision stands as long as both values are those it was made for."""
    db.executemany(
        "INSERT INTO conflict (sync, record, field, repository, number, airtable, bitbucket, what, rule, reason)"
        " VALUES (:sync, :record, :field, :repository, :number, :airtable, :bitbucket, :what, :rule, :reason)"
        " ON CONFLICT (sync, record, field, repository, number) DO UPDATE SET"
        " winner = CASE WHEN airtable = excluded.airtable AND bitbucket = excluded.bitbucket THEN winner END,"
        " airtable = excluded.airtable, bitbucket = excluded.bitbucket,"
        " what = excluded.what, rule = excluded.rule, reason = excluded.reason",
        [
            {
                "sync": sync,
                "record": one.record,
                **columns.place(AgreedKey(one.field, one.pull_request)),
                "airtable": value.dump(one.airtable),
                "bitbucket": value.dump(one.bitbucket),
                "what": columns.text(one.what),
                "rule": columns.text(one.rule),
                "reason": columns.text(one.reason),
            }
            for one in conflicts
        ],
    )


def close_conflicts(db: Connection, sync: SyncName, closed: Sequence[tuple[RecordId, AgreedKey]]) -> None:
    """Conflicts that are over."""
    db.executemany(
        "DELETE FROM conflict WHERE sync = :sync AND record = :record"
        " AND field = :field AND repository = :repository AND number = :number",
        [{"sync": sync, "record": record, **columns.place(key)} for record, key in closed],
    )


def load_conflicts(db: Connection, sync: SyncName) -> tuple[Conflict, ...]:
    """As `ports.Store.load_conflicts`, ordered."""
    rows = db.execute(
        "SELECT record, field, repository, number, airtable, bitbucket, what, rule, reason FROM conflict"
        " WHERE sync = :sync ORDER BY record, field, repository, number",
        {"sync": sync},
    )
    return tuple(
        Conflict(
            record=RecordId(record),
            field=FieldId(field),
            what=what,
            pull_request=PullRequestKey(RepositoryId(repository), number) if repository else None,
            airtable=value.parse(airtable),
            bitbucket=value.parse(bitbucket),
            rule=rule,
            reason=reason,
        )
        for record, field, repository, number, airtable, bitbucket, what, rule, reason in rows.fetchall()
    )


def load_open(
    db: Connection, sync: SyncName, records: Sequence[RecordId]
) -> Mapping[RecordId, Mapping[AgreedKey, OpenConflict]]:
    """The conflicts of these records, with who a person let win."""
    found: dict[RecordId, dict[AgreedKey, OpenConflict]] = {}
    rows = db.execute(
        "SELECT record, field, repository, number, airtable, bitbucket, winner FROM conflict"
        " WHERE sync = :sync AND record IN (SELECT value FROM json_each(:records))",
        {"sync": sync, "records": columns.array(records)},
    )
    for record, field, repository, number, airtable, bitbucket, winner in rows.fetchall():
        found.setdefault(RecordId(record), {})[columns.key(field, repository, number)] = OpenConflict(
            airtable=value.parse(airtable),
            bitbucket=value.parse(bitbucket),
            winner=Side(winner) if winner else None,
        )
    return found


def resolve(db: Connection, sync: SyncName, record: RecordId, key: AgreedKey, winner: Side, now: datetime) -> bool:
    """As `ports.Store.save_resolution`."""
    found = db.execute(
        "UPDATE conflict SET winner = :winner WHERE sync = :sync AND record = :record"
        " AND field = :field AND repository = :repository AND number = :number",
        {"sync": sync, "record": record, "winner": winner.value, **columns.place(key)},
    ).rowcount
    if found:
        dirty.mark_records(db, sync, [record], Lane.EDIT, now, now)
    return bool(found)


# ------------------------------------------------------------------------------------------------------- acceptance


def load_accepted(db: Connection, sync: SyncName) -> frozenset[str]:
    """As `ports.Store.load_accepted`."""
    rows = db.execute("SELECT fingerprint FROM accepted WHERE sync = :sync", {"sync": sync})
    return frozenset(fingerprint for (fingerprint,) in rows.fetchall())


def save_accepted(db: Connection, sync: SyncName, fingerprints: frozenset[str], now: datetime) -> None:
    """As `ports.Store.save_accepted`."""
    db.execute(
        "DELETE FROM accepted WHERE sync = :sync AND fingerprint NOT IN (SELECT value FROM json_each(:kept))",
        {"sync": sync, "kept": columns.array(sorted(fingerprints))},
    )
    db.executemany(
        "INSERT INTO accepted (sync, fingerprint, at) VALUES (:sync, :fingerprint, :at) ON CONFLICT DO NOTHING",
        [{"sync": sync, "fingerprint": one, "at": columns.moment(now)} for one in sorted(fingerprints)],
    )
    known = db.execute("SELECT record FROM record WHERE sync = :sync", {"sync": sync}).fetchall()
    dirty.mark_records(db, sync, [RecordId(record) for (record,) in known], Lane.COMPARE, now, now)


def save_once(db: Connection, sync: SyncName, plan: str) -> None:
    """As `ports.Store.save_acceptance_once`."""
    db.execute(
        "INSERT INTO accepted_once (sync, plan) VALUES (:sync, :plan) ON CONFLICT DO NOTHING",
        {"sync": sync, "plan": plan},
    )


def take_once(db: Connection, sync: SyncName, plan: str) -> bool:
    """As `ports.Store.take_acceptance_once`."""
    row = {"sync": sync, "plan": plan}
    return bool(db.execute("DELETE FROM accepted_once WHERE sync = :sync AND plan = :plan", row).rowcount)
