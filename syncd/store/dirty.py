"""
Dirty keys: what may be out of step, each key once, given out once at a time, by lane and age.

A mark has a number from one sequence. Who finishes a key names the mark that was claimed; a newer one keeps it dirty.
Claims stand in a table of the connection, so that a restart frees them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from syncd.model.event import Dirt, DirtyWork
from syncd.model.ids import RecordId, RepositoryId, SyncName
from syncd.ports import DirtyRecord, DirtyWorkMark, Lane, QueueCounts, RecordCommit
from syncd.store import columns
from syncd.store.columns import Connection

# A key whose edits never pause is due at the latest after this many quiet periods (SPEC section 2, `quiet`).
QUIET_PERIODS_MAX = 12

# A mark on a key that only waits for a later look, or that is under way since its last mark, is a first mark.
_MARK_AFRESH = """
UPDATE dirty_record SET lane = :lane, since = :now, not_before = :not_before, waiting = 0
WHERE sync = :sync AND record IN (SELECT value FROM json_each(:records)) AND (waiting = 1 OR EXISTS (
  SELECT 1 FROM claimed_record AS claim
  WHERE claim.sync = dirty_record.sync AND claim.record = dirty_record.record AND claim.mark = dirty_record.mark))
"""
_MARK = f"""
INSERT INTO dirty_record (sync, record, lane, mark, since, not_before)
SELECT :sync, value, :lane, :mark, :now, :not_before FROM json_each(:records) WHERE true
ON CONFLICT (sync, record) DO UPDATE SET
  lane = min(lane, excluded.lane),
  mark = excluded.mark,
  not_before = min(
    max(not_before, excluded.not_before), since + {QUIET_PERIODS_MAX} * (excluded.not_before - :now)),
  parked = 0,
  error = ''
"""
_MARK_WORK_AFRESH = """
UPDATE dirty_work SET since = :now, not_before = :not_before, happened_at = NULL,
  attempts = CASE WHEN parked THEN 0 ELSE attempts END, parked = 0
WHERE repository = :repository AND dirt = :dirt AND name = :name AND (parked = 1 OR EXISTS (
  SELECT 1 FROM claimed_work AS claim
  WHERE claim.repository = dirty_work.repository AND claim.dirt = dirty_work.dirt AND claim.name = dirty_work.name
    AND claim.mark = dirty_work.mark))
"""
_MARK_WORK = f"""
INSERT INTO dirty_work (repository, dirt, name, mark, since, not_before, happened_at)
VALUES (:repository, :dirt, :name, :mark, :now, :not_before, :happened_at)
ON CONFLICT (repository, dirt, name) DO UPDATE SET
  mark = excluded.mark,
  not_before = min(
    max(not_before, excluded.not_before), since + {QUIET_PERIODS_MAX} * (excluded.not_before - :now)),
  happened_at = max(coalesce(happened_at, excluded.happened_at), coalesce(excluded.happened_at, happened_at)),
  error = ''
"""
# A key whose `since` lies ahead was marked before the wall clock was set back: it is due (reliability.md I33). So is work
# that was given back while the clock was ahead: after an error it never waits longer than this, ...
RETRIED_WITHIN = timedelta(minutes=15)
# ... and at most so long when a service asked for silence.
THROTTLED_WITHIN = timedelta(hours=24)
# Both as moments stand in columns.
_RETRIED_WITHIN = RETRIED_WITHIN // timedelta(microseconds=1)
_THROTTLED_WITHIN = THROTTLED_WITHIN // timedelta(microseconds=1)
_DUE = """
SELECT record, lane, mark, since, attempts FROM dirty_record AS key
WHERE sync = :sync AND parked = 0 AND (not_before <= :now OR since > :now) AND NOT EXISTS (
  SELECT 1 FROM claimed_record AS claim WHERE claim.sync = key.sync AND claim.record = key.record)
ORDER BY lane, since, record LIMIT :limit
"""
_DUE_WORK = """
SELECT repository, dirt, name, mark, since, attempts, happened_at FROM dirty_work AS key
WHERE repository IN (SELECT value FROM json_each(:repositories))
  AND (not_before <= :now OR since > :now OR (:early AND attempts = 0)
    OR not_before - :now > CASE WHEN error <> '' THEN :retried_within ELSE :throttled_within END)
  AND NOT EXISTS (
    SELECT 1 FROM claimed_work AS claim
    WHERE claim.repository = key.repository AND claim.dirt = key.dirt AND claim.name = key.name)
ORDER BY since, repository, dirt, name LIMIT :limit
"""


# ---------------------------------------------------------------------------------------------------------- marking


def next_mark(db: Connection) -> int:
    """The number of a new mark, or of a group of marks made together."""
    rows = db.execute("UPDATE counter SET value = value + 1 WHERE name = 'mark' RETURNING value").fetchall()
    return int(rows[0][0])


def mark_records(
    db: Connection, sync: SyncName, records: Iterable[RecordId], lane: Lane, now: datetime, not_before: datetime
) -> None:
    """As `ports.Store.mark_records`."""
    row = {
        "sync": sync,
        "records": columns.array(columns.text(record) for record in records),
        "lane": lane.value,
        "mark": next_mark(db),
        "now": columns.moment(now),
        "not_before": columns.moment(not_before),
    }
    db.execute(_MARK_AFRESH, row)
    db.execute(_MARK, row)


def mark_work(
    db: Connection, dirty: Sequence[tuple[DirtyWork, datetime | None]], now: datetime, not_before: datetime
) -> None:
    """As `ports.Store.mark_work`."""
    if not dirty:
        return
    mark = next_mark(db)
    rows = [
        {
            **_work_key(work),
            "mark": mark,
            "now": columns.moment(now),
            "not_before": columns.moment(not_before),
            "happened_at": columns.moment_or_none(happened_at),
        }
        for work, happened_at in dirty
    ]
    db.executemany(_MARK_WORK_AFRESH, rows)
    db.executemany(_MARK_WORK, rows)


def _work_key(work: DirtyWork) -> dict[str, Any]:
    return {"repository": work.repository, "dirt": work.dirt.value, "name": columns.text(work.name)}


# --------------------------------------------------------------------------------------------------------- claiming


def due_records(db: Connection, sync: SyncName, now: datetime, limit: int) -> list[tuple[Any, ...]]:
    """The rows of `ports.Store.claim_records`; they are not claimed yet."""
    return db.execute(_DUE, {"sync": sync, "now": columns.moment(now), "limit": limit}).fetchall()


def claim_records(
    db: Connection, sync: SyncName, now: datetime, found: Sequence[tuple[Any, ...]]
) -> tuple[DirtyRecord, ...]:
    """Claim what `due_records` found."""
    at = columns.moment(now)
    if any(one[3] > at for one in found):
        # Marked before the clock was set back: from now on it waits like any other, or it would be due for ever.
        db.execute(
            "UPDATE dirty_record SET since = :now, not_before = min(not_before, :now) WHERE sync = :sync AND since > :now",
            {"sync": sync, "now": at},
        )
    if found:
        db.executemany(
            "INSERT INTO claimed_record (sync, record, mark) VALUES (:sync, :record, :mark)",
            [{"sync": sync, "record": record, "mark": mark} for record, _, mark, _, _ in found],
        )
    return tuple(
        DirtyRecord(
            sync=sync,
            record=RecordId(record),
            lane=Lane(lane),
            mark=mark,
            since=columns.at(min(since, at)),
            attempts=attempts,
        )
        for record, lane, mark, since, attempts in found
    )


def due_work(
    db: Connection, repositories: Sequence[RepositoryId], now: datetime, limit: int, *, early: bool
) -> list[tuple[Any, ...]]:
    """The rows of `ports.Store.claim_work`; they are not claimed yet."""
    wanted = {
        "repositories": columns.array(repositories),
        "now": columns.moment(now),
        "limit": limit,
        "early": int(early),
        "retried_within": _RETRIED_WITHIN,
        "throttled_within": _THROTTLED_WITHIN,
    }
    return db.execute(_DUE_WORK, wanted).fetchall()


def claim_work(
    db: Connection, repositories: Sequence[RepositoryId], now: datetime, found: Sequence[tuple[Any, ...]]
) -> tuple[DirtyWorkMark, ...]:
    """Claim what `due_work` found."""
    at = columns.moment(now)
    if any(one[4] > at for one in found):
        db.execute(
            "UPDATE dirty_work SET since = :now, not_before = min(not_before, :now) WHERE since > :now"
            " AND repository IN (SELECT value FROM json_each(:repositories))",
            {"repositories": columns.array(repositories), "now": at},
        )
        found = [(*one[:4], min(one[4], at), *one[5:]) for one in found]
    if found:
        db.executemany(
            "INSERT INTO claimed_work (repository, dirt, name, mark) VALUES (:repository, :dirt, :name, :mark)",
            [{"repository": one[0], "dirt": one[1], "name": one[2], "mark": one[3]} for one in found],
        )
    return tuple(_work_mark(*row) for row in found)


def load_work(db: Connection, repository: RepositoryId) -> tuple[DirtyWorkMark, ...]:
    """As `ports.Store.load_dirty_work`."""
    found = db.execute(
        "SELECT repository, dirt, name, mark, since, attempts, happened_at FROM dirty_work"
        " WHERE repository = :repository ORDER BY dirt, name",
        {"repository": repository},
    ).fetchall()
    return tuple(_work_mark(*row) for row in found)


def _work_mark(
    repository: str, dirt: str, name: str, mark: int, since: int, attempts: int, happened_at: int | None
) -> DirtyWorkMark:
    return DirtyWorkMark(
        work=DirtyWork(repository=RepositoryId(repository), dirt=Dirt(dirt), name=name),
        mark=mark,
        since=columns.at(since),
        attempts=attempts,
        happened_at=columns.at_or_none(happened_at),
    )


def has_unread(db: Connection, repository: RepositoryId) -> bool:
    """Whether something of it was marked and not read; what is given up does not count."""
    row = db.execute(
        "SELECT 1 FROM dirty_work WHERE repository = :repository AND parked = 0 LIMIT 1", {"repository": repository}
    ).fetchone()
    return row is not None


def release_records(
    db: Connection, keys: Sequence[DirtyRecord], not_before: datetime, *, failed: bool, error: str
) -> None:
    """As `ports.Store.release_records`. A mark made meanwhile stays; its wait is at least this one."""
    rows = [
        {
            "sync": key.sync,
            "record": key.record,
            "mark": key.mark,
            "since": columns.moment(key.since),
            "not_before": columns.moment(not_before),
            "failed": int(failed),
            "error": columns.text(error),
        }
        for key in keys
    ]
    db.executemany(
        "UPDATE dirty_record SET not_before = CASE WHEN mark = :mark THEN :not_before ELSE max(not_before, :not_before) END,"
        " since = min(since, :since), waiting = 0, attempts = attempts + :failed, error = :error"
        " WHERE sync = :sync AND record = :record",
        rows,
    )
    _free_records(db, rows)


def release_work(
    db: Connection, marks: Sequence[DirtyWorkMark], not_before: datetime, *, failed: bool, error: str
) -> None:
    """As `ports.Store.release_work`."""
    rows = [
        {
            **_work_key(one.work),
            "mark": one.mark,
            "since": columns.moment(one.since),
            "not_before": columns.moment(not_before),
            "happened_at": columns.moment_or_none(one.happened_at),
            "failed": int(failed),
            "error": columns.text(error),
        }
        for one in marks
    ]
    db.executemany(
        "UPDATE dirty_work SET not_before = CASE WHEN mark = :mark THEN :not_before ELSE max(not_before, :not_before) END,"
        " since = min(since, :since), attempts = attempts + :failed, error = :error,"
        " happened_at = max(coalesce(happened_at, :happened_at), coalesce(:happened_at, happened_at))"
        " WHERE repository = :repository AND dirt = :dirt AND name = :name",
        rows,
    )
    _free_work(db, rows)


def park_work(db: Connection, one: DirtyWorkMark, not_before: datetime, error: str) -> None:
    """An object that failed often enough: looked at again now and then, and no longer counted as unread."""
    row = {
        **_work_key(one.work),
        "mark": one.mark,
        "not_before": columns.moment(not_before),
        "error": columns.text(error),
    }
    db.execute(
        "UPDATE dirty_work SET parked = 1, attempts = attempts + 1, not_before = :not_before, error = :error"
        " WHERE repository = :repository AND dirt = :dirt AND name = :name AND mark = :mark",
        row,
    )
    _free_work(db, [row])


def done_work(db: Connection, marks: Sequence[DirtyWorkMark]) -> None:
    """Marks that a read answered; one with a newer mark stays, with its tries counted afresh."""
    rows = [{**_work_key(one.work), "mark": one.mark} for one in marks]
    place = "WHERE repository = :repository AND dirt = :dirt AND name = :name"
    db.executemany(f"DELETE FROM dirty_work {place} AND mark = :mark", rows)
    db.executemany(f"UPDATE dirty_work SET attempts = 0 {place}", rows)
    _free_work(db, rows)


def free_claims(db: Connection, sync: SyncName, repositories: Sequence[RepositoryId]) -> None:
    """As `ports.Store.free_claims`."""
    db.execute("DELETE FROM claimed_record WHERE sync = :sync", {"sync": sync})
    db.execute(
        "DELETE FROM claimed_work WHERE repository IN (SELECT value FROM json_each(:repositories))",
        {"repositories": columns.array(repositories)},
    )


def _free_records(db: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    db.executemany("DELETE FROM claimed_record WHERE sync = :sync AND record = :record AND mark = :mark", rows)


def _free_work(db: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    db.executemany(
        "DELETE FROM claimed_work WHERE repository = :repository AND dirt = :dirt AND name = :name AND mark = :mark",
        rows,
    )


# -------------------------------------------------------------------------------------------------------- finishing

# Its plan was carried out, nothing is to be looked at again.
_FINISH = "DELETE FROM dirty_record WHERE sync = :sync AND record = :record AND mark = :mark"
# It failed for good: shown, and tried again when somebody marks it.
_PARK = """
UPDATE dirty_record SET parked = 1, attempts = attempts + 1, error = :error
WHERE sync = :sync AND record = :record AND mark = :mark
"""
# A key whose plan was carried out in full and that only waits for the clock (`waiting`) is not behind.
_AGAIN = """
INSERT INTO dirty_record (sync, record, lane, mark, since, not_before, attempts, waiting)
VALUES (:sync, :record, :lane, :new_mark, :now, :again_at, :failed, :waiting)
ON CONFLICT (sync, record) DO UPDATE SET
  lane = excluded.lane,
  not_before = excluded.not_before,
  since = CASE WHEN excluded.waiting THEN excluded.since ELSE since END,
  attempts = CASE WHEN :failed THEN attempts + 1 WHEN :through THEN 0 ELSE attempts END,
  waiting = excluded.waiting,
  error = :error
WHERE mark = :mark
"""
_OVERTAKEN = """
UPDATE dirty_record SET attempts = CASE WHEN :failed THEN attempts + 1 WHEN :through THEN 0 ELSE attempts END
WHERE sync = :sync AND record = :record AND mark > :mark
"""
# Nobody claimed it: whoever has it keeps it, and it stays dirty for the later look.
_ALSO = """
INSERT INTO dirty_record (sync, record, lane, mark, since, not_before, waiting)
VALUES (:sync, :record, :lane, :new_mark, :now, :again_at, :waiting)
ON CONFLICT (sync, record) DO UPDATE SET
  lane = min(lane, excluded.lane), mark = excluded.mark, not_before = min(not_before, excluded.not_before)
"""


def finish_records(db: Connection, sync: SyncName, commits: Sequence[RecordCommit], now: datetime) -> None:
    """What a pass says about the keys of its records: done, again, parked, or overtaken by a newer mark."""
    if not commits:
        return
    wanted = any(one.again_at is not None for one in commits)
    new_mark = next_mark(db) if wanted else 0
    rows = [_finish_row(sync, one, new_mark, columns.moment(now)) for one in commits]
    claimed = [row for row in rows if row["mark"] is not None]
    unclaimed = [row for row in rows if row["mark"] is None and row["again_at"] is not None]
    for statement, chosen in (
        (_OVERTAKEN, claimed),
        (_FINISH, [row for row in claimed if row["again_at"] is None and not row["failed"]]),
        (_PARK, [row for row in claimed if row["again_at"] is None and row["failed"]]),
        (_AGAIN, [row for row in claimed if row["again_at"] is not None]),
        (_ALSO, unclaimed),
    ):
        if chosen:
            db.executemany(statement, chosen)
    if claimed:
        _free_records(db, claimed)


def _finish_row(sync: SyncName, one: RecordCommit, new_mark: int, now: int) -> dict[str, Any]:
    through = bool(one.seen) and not one.failed
    again_at = columns.moment_or_none(one.again_at)
    return {
        "sync": sync,
        "record": one.record,
        "mark": one.done,
        "new_mark": new_mark,
        "now": now,
        "again_at": again_at,
        "lane": one.again_lane.value,
        "failed": int(one.failed),
        "through": int(through),
        "waiting": int(through and again_at is not None and again_at > now),
        "error": columns.text(one.parked or (one.note if one.failed else "")),
    }


def forget_records(db: Connection, sync: SyncName, records: Sequence[RecordId]) -> None:
    """Records that are gone have nothing to be looked at."""
    db.execute(
        "DELETE FROM dirty_record WHERE sync = :sync AND record IN (SELECT value FROM json_each(:records))",
        {"sync": sync, "records": columns.array(records)},
    )


# --------------------------------------------------------------------------------------------------------- counting


def next_due(db: Connection, sync: SyncName, repositories: Sequence[RepositoryId]) -> datetime | None:
    """As `ports.Store.next_due`; what is claimed is under way and not waited for."""
    (due,) = db.execute(
        "SELECT min(due) FROM ("
        " SELECT min(not_before) AS due FROM dirty_record AS key WHERE sync = :sync AND parked = 0 AND NOT EXISTS ("
        "  SELECT 1 FROM claimed_record AS claim WHERE claim.sync = key.sync AND claim.record = key.record)"
        " UNION ALL"
        " SELECT min(not_before) FROM dirty_work AS key"
        "  WHERE repository IN (SELECT value FROM json_each(:repositories)) AND NOT EXISTS ("
        "   SELECT 1 FROM claimed_work AS claim"
        "   WHERE claim.repository = key.repository AND claim.dirt = key.dirt AND claim.name = key.name))",
        {"sync": sync, "repositories": columns.array(repositories)},
    ).fetchone()
    return columns.at_or_none(due)


def counts(db: Connection, sync: SyncName | None, inbox: int) -> QueueCounts:
    """Sizes. A key that only waits for the clock is not behind; a record that waits on a refusal is parked."""
    here = "true" if sync is None else "sync = :sync"
    behind = f"FROM dirty_record WHERE {here} AND parked = 0 AND waiting = 0"
    dirty, oldest = db.execute(f"SELECT count(*), min(since) {behind}", {"sync": sync}).fetchone()
    (parked,) = db.execute(
        f"SELECT count(*) FROM (SELECT sync, record FROM dirty_record WHERE {here} AND parked = 1"
        f" UNION SELECT sync, record FROM record WHERE {here} AND parked <> '')",
        {"sync": sync},
    ).fetchone()
    if sync is None:
        work, oldest_work = db.execute("SELECT count(*), min(since) FROM dirty_work WHERE parked = 0").fetchone()
        (parked_work,) = db.execute("SELECT count(*) FROM dirty_work WHERE parked = 1").fetchone()
        dirty += work
        parked += parked_work
        oldest = min((one for one in (oldest, oldest_work) if one is not None), default=None)
    return QueueCounts(inbox=inbox, dirty=dirty, parked=parked, oldest_dirty=columns.at_or_none(oldest))
