"""Runs, operations and the journal: every change is here before it is sent, and its end after it (reliability.md I14)."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from syncd.model import value
from syncd.model.change import ForeignEdit, Kind, Side
from syncd.model.ids import OperationId, RecordId, RunId, SyncName
from syncd.model.outcome import Result
from syncd.ports import Ended, JournalEntry, Operation, RunRow
from syncd.store import columns
from syncd.store.columns import Connection

# An operation or row that has not come to its end; `unknown` must be looked up.
OPEN = "('planned', 'sent', 'unknown')"
# The state of rows that tell what others did: nothing was sent for them, nothing is to be undone.
SEEN = "seen"
FOREIGN_EDIT = "foreign edit"
LOST_RACE = "lost race"

_COLUMNS = (
    "sync, run, operation, spec_hash, record, side, kind, object, field, place, before, after, owner, rule, reason,"
    " at, state, error, ended_at"
)
# As `load` selects them.
_NAMES = ("sequence", *(name.strip() for name in _COLUMNS.split(",")))
_VALUES = (
    ":sync, :run, :operation, :spec_hash, :record, :side, :kind, :object, :field, :place, :before, :after, :owner, :rule,"
    " :reason, :at, :state, :error, :ended_at"
)


# ---------------------------------------------------------------------------------------------------------- intents


def save_intents(db: Connection, run: RunRow, operations: Sequence[Operation], entries: Sequence[JournalEntry]) -> None:
    """As `ports.Store.save_intents`. Further intents of a run add to its counts."""
    db.execute(
        "INSERT INTO run (id, sync, spec_hash, started_at, changes, clears, ended_at, by)"
        " VALUES (:id, :sync, :spec_hash, :started_at, :changes, :clears, :ended_at, :by)"
        " ON CONFLICT (id) DO UPDATE SET changes = changes + excluded.changes, clears = clears + excluded.clears",
        {
            "id": run.run,
            "sync": run.sync,
            "spec_hash": run.spec_hash,
            "started_at": columns.moment(run.started_at),
            "changes": run.changes,
            "clears": run.clears,
            "ended_at": columns.moment_or_none(run.ended_at),
            "by": run.by,
        },
    )
    db.executemany(
        "INSERT INTO operation (id, sync, run, side, kind, request, at, state, attempts)"
        " VALUES (:id, :sync, :run, :side, :kind, :request, :at, :state, :attempts)",
        [
            {
                "id": one.id,
                "sync": one.sync,
                "run": one.run,
                "side": one.side.value,
                "kind": one.kind,
                "request": json.dumps(dict(one.request)),
                "at": columns.moment(one.at),
                "state": one.state,
                "attempts": one.attempts,
            }
            for one in operations
        ],
    )
    db.executemany(f"INSERT INTO journal ({_COLUMNS}) VALUES ({_VALUES})", [_row(one) for one in entries])


def _row(one: JournalEntry) -> dict[str, Any]:
    return {
        "sync": one.sync,
        "run": one.run,
        "operation": one.operation,
        "spec_hash": one.spec_hash,
        "record": one.record,
        "side": one.side.value,
        "kind": one.kind,
        "object": columns.text(one.object),
        "field": columns.text(one.field),
        "place": columns.text(one.place),
        "before": columns.text(one.before),
        "after": columns.text(one.after),
        "owner": one.owner,
        "rule": columns.text(one.rule),
        "reason": columns.text(one.reason),
        "at": columns.moment(one.at),
        "state": one.state,
        "error": columns.text(one.error),
        "ended_at": columns.moment_or_none(one.ended_at),
    }


def save_sent(db: Connection, operations: Sequence[OperationId], now: datetime) -> None:
    """As `ports.Store.save_sent`."""
    rows = [{"id": id, "now": columns.moment(now)} for id in operations]
    db.executemany("UPDATE operation SET state = 'sent', sent_at = :now WHERE id = :id", rows)
    db.executemany("UPDATE journal SET state = 'sent' WHERE operation = :id AND state = 'planned'", rows)


# --------------------------------------------------------------------------------------------------------- outcomes


def save_ended(db: Connection, ended: Sequence[Ended]) -> None:
    """
    The ends of operations and of records' parts in them.

    What has ended stays as it ended. An operation whose records ended one by one ends with the last of them.
    """
    if not ended:
        return
    rows = [
        {
            "id": one.operation,
            "record": one.record,
            "state": one.result.value,
            "error": columns.text(one.error),
            "ended_at": None if one.result is Result.UNKNOWN else columns.moment(one.at),
        }
        for one in ended
    ]
    db.executemany(
        "UPDATE journal SET state = :state, error = :error, ended_at = :ended_at"
        f" WHERE operation = :id AND state IN {OPEN} AND (:record IS NULL OR record = :record)",
        rows,
    )
    db.executemany(
        "UPDATE operation SET state = :state, error = :error, ended_at = :ended_at"
        f" WHERE id = :id AND state IN {OPEN} AND (:record IS NULL OR NOT EXISTS ("
        f"SELECT 1 FROM journal WHERE operation = :id AND state IN {OPEN}))",
        rows,
    )


def save_run_end(db: Connection, run: RunId, now: datetime) -> None:
    """As `ports.Store.save_run_end`."""
    db.execute("UPDATE run SET ended_at = :now WHERE id = :id", {"id": run, "now": columns.moment(now)})


def save_looked(db: Connection, operation: OperationId, now: datetime) -> None:
    """As `ports.Store.save_looked`."""
    db.execute(
        "UPDATE operation SET attempts = attempts + 1, looked_at = :now WHERE id = :id",
        {"id": operation, "now": columns.moment(now)},
    )


def save_foreign_edits(db: Connection, sync: SyncName, edits: Sequence[ForeignEdit], now: datetime) -> None:
    """
    Rows for edits on the other side that are left alone (I08); one that is reverted has the row of its write.

    The same edit, seen again, has its row already.
    """
    db.executemany(
        f"INSERT INTO journal ({_COLUMNS})"
        " SELECT :sync, '', '', '', :record, :side, :kind, :object, :field, :place, :before, :after, '', :rule, :reason,"
        " :at, :state, '', :at WHERE NOT EXISTS ("
        "SELECT 1 FROM (SELECT after FROM journal WHERE record = :record AND sync = :sync AND kind = :kind"
        " AND field = :field AND side = :side ORDER BY sequence DESC LIMIT 1) WHERE after = :after)",
        [
            {
                "sync": sync,
                "record": one.record,
                "side": one.side.value,
                "kind": FOREIGN_EDIT,
                "object": one.record,
                "field": one.field,
                "place": columns.text(one.what),
                "before": value.dump(one.owner_value, whole=True),
                "after": value.dump(one.value, whole=True),
                "rule": columns.text(one.rule),
                "reason": f"an edit on the side that does not own the field: {one.treatment}",
                "at": columns.moment(now),
                "state": SEEN,
            }
            for one in edits
            if one.treatment != "revert"
        ],
    )


def save_race(db: Connection, sync: SyncName, sequence: int, overwritten: str) -> None:
    """As `ports.Store.save_race`."""
    db.execute(
        f"INSERT INTO journal ({_COLUMNS}, race_of)"
        " SELECT sync, run, operation, spec_hash, record, side, :kind, object, field, place, :overwritten, after, owner,"
        " rule, 'our write overwrote a value that came after we had read', at, :state, '', coalesce(ended_at, at), sequence"
        " FROM journal WHERE sequence = :sequence AND sync = :sync ON CONFLICT (race_of) DO NOTHING",
        {
            "sync": sync,
            "sequence": sequence,
            "kind": LOST_RACE,
            "overwritten": columns.text(overwritten),
            "state": SEEN,
        },
    )


# ---------------------------------------------------------------------------------------------------------- looking


def load_unfinished(db: Connection, sync: SyncName) -> tuple[Operation, ...]:
    """As `ports.Store.load_unfinished`."""
    rows = db.execute(
        "SELECT id, run, side, kind, request, at, state, attempts, sent_at, looked_at FROM operation"
        f" WHERE sync = :sync AND state IN {OPEN} ORDER BY sequence",
        {"sync": sync},
    )
    return tuple(
        Operation(
            id=OperationId(id),
            sync=sync,
            run=RunId(run),
            side=Side(side),
            kind=kind,
            request=json.loads(request),
            at=columns.at(at),
            state=state,
            attempts=attempts,
            sent_at=columns.at_or_none(sent_at),
            looked_at=columns.at_or_none(looked_at),
        )
        for id, run, side, kind, request, at, state, attempts, sent_at, looked_at in rows.fetchall()
    )


def load_recent(db: Connection, sync: SyncName, since: datetime) -> tuple[tuple[RecordId, datetime, int], ...]:
    """
    As `ports.Store.load_recent_changes`: what was sent and is not known to have failed, each record once.

    Columns about the daemon itself take nothing from anybody, and what a person applied was looked at: the guard counts neither.
    """
    rows = db.execute(
        "SELECT record, max(at), sum(after = 'null' AND before <> 'null') FROM journal"
        " WHERE sync = :sync AND at >= :since AND state IN ('sent', 'applied', 'unknown') AND kind <> :own"
        " AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = journal.run AND run.by = 'command')"
        " GROUP BY record ORDER BY record",
        {"sync": sync, "since": columns.moment(since), "own": Kind.COLUMN.value},
    )
    return tuple((RecordId(record), columns.at(at), clears) for record, at, clears in rows.fetchall())


def load(
    db: Connection,
    *,
    sync: SyncName | None,
    record: RecordId | None,
    run: RunId | None,
    after: int,
    limit: int,
    newest: bool,
) -> tuple[JournalEntry, ...]:
    """As `ports.Store.load_journal`."""
    asked = {"sync": sync, "record": record, "run": run, "after": after, "limit": limit}
    chosen = [f"{name} = :{name}" for name in ("sync", "record", "run") if asked[name] is not None]
    where = " AND ".join([*chosen, "sequence > :after"])
    order = "DESC" if newest else "ASC"
    rows = db.execute(
        f"SELECT sequence, {_COLUMNS} FROM journal WHERE {where} ORDER BY sequence {order} LIMIT :limit", asked
    ).fetchall()
    return tuple(_entry(row) for row in (reversed(rows) if newest else rows))


def _entry(row: tuple[Any, ...]) -> JournalEntry:
    cells = dict(zip(_NAMES, row, strict=True))
    cells["side"] = Side(cells["side"])
    cells["at"] = columns.at(cells["at"])
    cells["ended_at"] = columns.at_or_none(cells["ended_at"])
    return JournalEntry(**cells)


def load_runs(db: Connection, sync: SyncName | None, limit: int) -> tuple[RunRow, ...]:
    """As `ports.Store.load_runs`."""
    some = "" if sync is None else " WHERE sync = :sync"
    rows = db.execute(
        f"SELECT id, sync, spec_hash, started_at, changes, clears, ended_at, by FROM run{some}"
        " ORDER BY started_at DESC, id DESC LIMIT :limit",
        {"sync": sync, "limit": limit},
    )
    return tuple(
        RunRow(
            run=RunId(id),
            sync=SyncName(name),
            spec_hash=spec_hash,
            started_at=columns.at(started_at),
            changes=changes,
            clears=clears,
            ended_at=columns.at_or_none(ended_at),
            by=by,
        )
        for id, name, spec_hash, started_at, changes, clears, ended_at, by in rows.fetchall()
    )


def purge(db: Connection, before: int, limit: int) -> int:
    """Delete what is old and has ended: rows, then operations and runs that have none left."""
    bounds = {"before": before, "limit": limit}
    gone = db.execute(
        "DELETE FROM journal WHERE sequence IN (SELECT sequence FROM journal"
        f" WHERE at < :before AND state NOT IN {OPEN} ORDER BY at LIMIT :limit)",
        bounds,
    ).rowcount
    db.execute(
        "DELETE FROM operation WHERE sequence IN (SELECT sequence FROM operation AS o"
        f" WHERE at < :before AND state NOT IN {OPEN} AND NOT EXISTS ("
        "SELECT 1 FROM journal WHERE journal.operation = o.id) ORDER BY at LIMIT :limit)",
        bounds,
    )
    db.execute(
        "DELETE FROM run WHERE id IN (SELECT id FROM run AS r WHERE started_at < :before AND NOT EXISTS ("
        "SELECT 1 FROM journal WHERE journal.run = r.id) AND NOT EXISTS ("
        "SELECT 1 FROM operation WHERE operation.run = r.id) ORDER BY started_at LIMIT :limit)",
        bounds,
    )
    return int(gone)
